/*
 * rollback_impl.h - between rollback.c and rollback_plan.c.
 * Layer: core, private to those.
 */
#ifndef LK_ROLLBACK_IMPL_H
#define LK_ROLLBACK_IMPL_H

#include "pairs.h"
#include "resolve.h"
#include "rollback.h"
#include "set.h"

/* A directory of then, and the one that is it now. */
struct lk_rollback_dir {
	uint64_t old, now; /* now 0: not there yet */
	char *path;        /* "" for the root */
};

struct lk_rollback {
	struct lk_fs *fs;
	const struct lk_rollback_ask *ask;
	const struct lk_then *then;
	struct lk_rollback_dir *dirs; /* parents first */
	size_t dir_count, dir_cap;
	struct lk_set old_inos;         /* all that was inside */
	struct lk_set inside;           /* directories that are inside now */
	struct lk_pairs now_of, old_of; /* old to now, and back */
	struct lk_set made;             /* what is new is as it is to be */
	struct lk_set settled;          /* old numbers of files that were looked at */
	struct lk_set moved;            /* in a dry run: entries that would have gone elsewhere (lk_slot_mark()) */
	struct lk_set placed;           /* files none of whose names inside is wrong (any more) */
	struct lk_set aside;            /* what was put aside: it is told of elsewhere */
	uint64_t fresh; /* numbers from it on were given since the rollback began: ours, or not to be touched (R6) */
	uint64_t steps, left; /* told */
	bool whole;           /* PATH is a directory, now inside and then */
};

/* An entry, copied. */
struct lk_rollback_entry {
	uint64_t dir, ino; /* bare */
	int64_t hash, ord;
	uint32_t type;
	uint32_t len;
	char name[LINKFS_NAME_MAX + 1];
};
/* fn for each entry of directory dir, of then or of now, in no op: it may change the directory. */
typedef int lk_rollback_entry_fn(void *arg, const struct lk_rollback_entry *entry);
int lk_rollback_entries(struct lk_rollback *r, bool then, uint64_t dir, lk_rollback_entry_fn *fn, void *arg);

/* The trees of then (dirs, old_inos) and of now (inside; top: the directory at PATH, 0: none). */
int lk_rollback_scan_then(struct lk_rollback *r);
int lk_rollback_scan_now(struct lk_rollback *r, uint64_t top);
int lk_rollback_add_dir(struct lk_rollback *r, uint64_t old, const char *above, const char *name, size_t len);

/* What was at that name then: *out 0 for nothing. In an op, which is in the live view before and after. */
int lk_rollback_then_at(struct lk_rollback *r, struct lk_op *op, uint64_t old_dir, const char *name, size_t len,
			uint64_t *out);
/* The old directory that directory now is; 0: none. */
uint64_t lk_rollback_old_dir(const struct lk_rollback *r, uint64_t now);
/* The same before anything is placed, for one made since too: it will be the one that had its path (R3). */
int lk_rollback_guess_dir(struct lk_rollback *r, struct lk_op *op, uint64_t now, uint64_t *out);
/* What is now, or is to become, old (R1, R3); slot: of the name it is looked for at. *out 0: it has to be made. */
int lk_rollback_find(struct lk_rollback *r, struct lk_op *op, const struct lk_inode *old, const struct lk_slot *slot,
		     uint64_t *out);
/* A name of ino, inside, that it did not have then: *found_out. In the op's arena. */
int lk_rollback_misplaced(struct lk_rollback *r, struct lk_op *op, uint64_t ino, uint64_t old, struct lk_dirent *out,
			  bool *found_out);

/* ---- telling (rollback_tell.c) ------------------------------------------------------------------------------------------ */

int lk_rollback_tell(struct lk_rollback *r, const struct linkfs_rollback *step);
/* An entry of the directory whose path is above ("" for the root). */
int lk_rollback_tell_entry(struct lk_rollback *r, enum linkfs_rollback_kind kind, const char *above, const char *name,
			   size_t len, uint32_t type, int error, const char *from);
/* The path of a directory of now, malloc'd; "" for the root, and NULL when it has none. */
int lk_rollback_path_of(struct lk_op *op, uint64_t dir, char **out);
/* The same of a name in a directory. */
int lk_rollback_path_of_name(struct lk_op *op, const struct lk_dirent *d, char **out);
/* What R7 leaves, and what fails because others removed it meanwhile (R6); anything else ends the work. In no op. */
bool lk_rollback_is_left(struct lk_rollback *r, int error);
bool lk_rollback_is_aside(const char *name, size_t len);
/* Others made it since the rollback began: nothing that was taken before has it. */
bool lk_rollback_is_fresh(const struct lk_rollback *r, uint64_t ino);

/* ---- phases: what else there is to do in the directory dirs[at] ----------------------------------------------------- */

struct lk_rollback_phase {
	struct lk_rollback *r;
	size_t at;
	bool dirs;
};
/* rollback_content.c. One file; all of them; directories, last of all. */
int lk_rollback_content(struct lk_rollback *r, const char *above, const char *name, size_t len, uint32_t type,
			uint64_t old);
int lk_rollback_contents(struct lk_rollback *r);
int lk_rollback_directories(struct lk_rollback *r);
/* rollback_later.c. An entry goes, of a directory all below it; quiet: it is told already, unless it is left. */
int lk_rollback_remove(struct lk_rollback *r, const char *above, bool quiet, const struct lk_rollback_entry *e);
int lk_rollback_later(struct lk_rollback *r);
/* Second names that directories did not have: what is moved next could come to lie in itself by them. */
int lk_rollback_second_names(struct lk_rollback *r);
/* Binds that were not there; placed: by what has become of all then, else as far as is known. */
int lk_rollback_unbind(struct lk_rollback *r, bool placed);
int lk_rollback_bind(struct lk_rollback *r);

static inline uint64_t lk_slot_mark(uint64_t dir, int64_t hash, int64_t ord)
{
	uint64_t h = dir * UINT64_C(0x9e3779b97f4a7c15) ^ ((uint64_t)hash << 8 | (uint64_t)ord);

	return (h ^ h >> 29) | 1;
}

#endif
