/*
 * dedupe.h - between cmd_dedupe.c, which collects and acts, and dedupe_group.c, which finds what may be equal.
 */
#ifndef CLI_DEDUPE_H
#define CLI_DEDUPE_H

#include "cli.h"
#include "progress.h"

/* A name that was met. */
struct dedupe_name {
	uint64_t ino, dir;
	char *name, *display;
};

/* A regular file that was met, however many of its names. */
struct dedupe_file {
	struct linkfs_stat st;
	size_t first, names; /* its names in the set */
	uint64_t digest[2];
	bool fixed; /* keeps the blocks it has; others may come to share them */
	bool done;  /* has its answer */
	/* The answer: it was compared with set->files[with], unless that is itself. */
	size_t with;
	int error;
	bool equal;
	struct linkfs_dedupe what;
};

struct dedupe_set {
	struct cli *cli;
	struct linkfs_volume *volume;
	struct dedupe_name *names;
	size_t nnames, names_cap;
	struct dedupe_file *files;
	size_t nfiles, files_cap;
	unsigned threads;
	struct cli_progress progress;
	uint64_t compared, to_compare; /* bytes */
	/* Told of files that cannot be read, from the thread that called dedupe_set_group(). */
	void (*refuse)(void *arg, const struct dedupe_file *f, int error);
	void *arg;
};

/* What must be equal besides the content before two files become one. */
struct dedupe_rules {
	bool mode, owner, time, xattrs;
};

void dedupe_set_done(struct dedupe_set *set);
int dedupe_set_add(struct dedupe_set *set, const struct linkfs_stat *st, uint64_t dir, const char *name, size_t len,
		   const char *display);
/* One whose names do not matter. */
int dedupe_set_add_file(struct dedupe_set *set, const struct linkfs_stat *st, bool fixed);
/* Sorts names by file, and leaves of the files those that another has the size and the digest of, equal ones beside each other, the
 * fixed ones first, then the one with the most names, then the one with the smallest number. Files beside none but fixed ones are left out. By several
 * threads; progress is shown, and the wish to stop noticed. LINKFS_ENOMEM. */
int dedupe_set_group(struct dedupe_set *set);
bool dedupe_alike(const struct dedupe_file *a, const struct dedupe_file *b);
/* Whether the rules let two files become one; negative LINKFS_E... */
int dedupe_may_join(const struct dedupe_set *set, const struct dedupe_rules *rules, const struct dedupe_file *a,
		    const struct dedupe_file *b, bool *may_out);

/* Compares files that are alike, and lets those that are equal, and not fixed, share unless dry: of set->files those from first on and before end. Several
 * threads at once; progress is shown. Each gets its answer, in files that were not looked at any more done is false. A file that
 * the rules (NULL: none) keep apart from the first of its kind begins another group with those that are left. LINKFS_ENOMEM. */
int dedupe_prove(struct dedupe_set *set, const struct dedupe_rules *rules, bool dry, size_t first, size_t end);

#endif
