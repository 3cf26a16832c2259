/*
 * tree.h - a whole tree by its paths with all that linkfs_diff() compares, and whether an answer of that is what differs between two:
 * worked out from the two trees alone.
 */
#ifndef DIFF_TREE_H
#define DIFF_TREE_H

#include "world.h"

#include <linkfs_diff.h>

struct entry {
	char *path;
	struct linkfs_stat st;
	uint64_t ino, dir; /* without the snapshot's bits; dir: of the directory that the path is in */
	uint64_t content;  /* of a file, a digest */
	char *text, *xattrs;
	uint64_t tracks; /* a tracked link: 0 when it cannot be told */
	bool tracked;
	bool first; /* the first path of its key, which is told */
};
struct tree {
	struct entry *e; /* by path; the root is "/" */
	size_t count;
};
/* By each path of what lies below root node at. */
void tree_read(struct tree *t, uint64_t at);
void tree_free(struct tree *t);
/* They are the same name in the same directory. */
bool same_key(const struct entry *a, const struct entry *b);
const struct entry *tree_find(const struct tree *t, const char *path);

/* What linkfs_diff() told. */
struct answer {
	struct told {
		struct linkfs_diff_change c; /* strings of its own */
	} * told;
	size_t count, cap;
	struct linkfs_diff_progress done;
};
void answer_ask(struct answer *a, uint64_t from, uint64_t to);
void answer_free(struct answer *a);
/* The answer is right and whole. Fails with what is wrong. */
void answer_check(const struct answer *a, const struct tree *from, const struct tree *to);
/* The same as far as it can be told when binds hide names: all that is told is so, and each path that differs is explained. */
void answer_check_loosely(const struct answer *a, const struct tree *from, const struct tree *to);
void answer_print(const struct answer *a);

#endif
