/*
 * gen.h - the generator's state and draws, which its two files share.
 */
#ifndef LK_DIFF_GEN_H
#define LK_DIFF_GEN_H

#include "diff.h"

#define KNOWN 24
#define QUEUE 64

/* What a path is drawn for: what should be there, most of the time. */
enum want { WANT_FILE, WANT_DIR, WANT_LINK, WANT_OTHER, WANT_KINDS, WANT_ANY = WANT_KINDS, WANT_NEW };

struct known {
	char paths[KNOWN][OP_PATTERN]; /* from the root, without the leading slash */
	size_t count;
};

#define GEN_COPIES 1u /* clone, unshare, dedupe, merge */
#define GEN_KEEP 2u   /* keep */
#define GEN_BINDS 4u  /* bind, unbind */
#define GEN_TRACK 8u  /* track; without binds, keep and merge, and with two names at most for a file */
#define GEN_DIRS 16u  /* linkdir; without binds and keep */
#define GEN_PLACES 4u /* how many binds, about */
#define GEN_NAMES 8u  /* how many names of directories that have several, about */

struct gen {
	uint64_t state;
	unsigned on;
	bool many_users;
	struct known known[WANT_KINDS]; /* what existed at some time */
	bool open[OP_SLOTS];
	struct op queue[QUEUE];
	size_t queued, taken;
	uint64_t drawn;
	char places[GEN_NAMES][OP_PATTERN]; /* where binds stand, or the names of directories with several, about */
	size_t place_count;
	unsigned features; /* of what only linkfs does */
};

int64_t lk_gen_below(struct gen *gen, int64_t limit);
bool lk_gen_chance(struct gen *gen, int percent);
#define PICK(gen, array) ((array)[lk_gen_below((gen), (int64_t)(sizeof(array) / sizeof((array)[0])))])
const char *lk_gen_name(struct gen *gen);
/* Appends to a pattern unless it would not fit. */
void lk_gen_append(char *out, const char *more);
void lk_gen_path(struct gen *gen, char *out, enum want want);
int64_t lk_gen_slot(struct gen *gen, bool open);
/* The numbers of an operation, and those of its paths that are no paths: xattr names, the text of a symlink. */
void lk_gen_numbers(struct gen *gen, struct op *op);
void lk_gen_target(struct gen *gen, char *out);
/* Puts an operation in the queue, which comes before what is drawn. */
void lk_gen_queue(struct gen *gen, const struct op *op);

/* gen_links.c */
unsigned lk_gen_features(uint64_t seed, unsigned on);
int lk_gen_links_weight(const struct gen *gen, enum op_kind kind);
/* How often in 2500 draws a story is told; 0 when the sequence has no operations for one. */
int lk_gen_stories(const struct gen *gen);
void lk_gen_story(struct gen *gen);
/* Few binds at a time, and more of those that stand are ended. */
void lk_gen_bind(struct gen *gen, struct op *op);
/* A bind was made or ended. */
void lk_gen_bound(struct gen *gen, const struct op *op);
/* The same of directories with several names. */
void lk_gen_dir_name(struct gen *gen, struct op *op);
void lk_gen_dir_named(struct gen *gen, const struct op *op, const char *answer);

#endif
