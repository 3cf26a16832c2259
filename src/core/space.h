/*
 * space.h - what a set of snapshots and paths costs, what of it is shared, and what its deletion gives back (E2).
 * Layer: core. By K3 a block is free when no row names it. So the rows that a deletion drops are found, and each block of theirs is
 * looked at: when all the references it has are such rows it is the set's alone. Nothing is estimated.
 *
 * Q1 A history row is dropped when no snapshot that remains lies in [born, last] (K2, whatever the order of deletions). Those rows have a
 *    deleted snapshot as their last: index (last) finds them without a look at the rest.
 * Q2 A live row is dropped when its file loses its last name and no snapshot that remains is as new as born.
 * Q3 Rows that only snapshots have that are being deleted already are nobody's: they count as references that go. So do those of files
 *    without a name, which are open still, or kept for a while (deleted.h), unless they are to stay (LINKFS_SPACE_NOW).
 */
#ifndef LK_SPACE_H
#define LK_SPACE_H

#include "resolve.h"

#include <linkfs_space.h>

struct lk_space_item {
	enum lk_space_kind {
		LK_SPACE_SNAPSHOT, /* epoch, the whole of it */
		LK_SPACE_NAME,     /* the live entry (dir, hash, ord), which names ino */
		LK_SPACE_NODE,     /* ino, which does not go: it is shown by a bind, or is the root */
		LK_SPACE_PAST,     /* ino as it was at epoch */
	} kind;
	int64_t epoch;
	uint64_t ino;
	uint64_t dir;
	int64_t hash, ord;
};
/* What a path names. In an op of the owner's. */
int lk_space_find(struct lk_op *op, const struct linkfs_cred *cred, uint64_t at, const char *path,
		  struct lk_space_item *out);

struct lk_space_ask {
	const struct linkfs_cred *cred;
	const struct linkfs_space_question *question; /* its items are not looked at */
	const struct lk_space_item *items;
	size_t item_count;
	bool slices; /* others change fs, and shall not wait long: LINKFS_EAGAIN when they did change it */
	bool whole;  /* one op from end to end */
};
/* fs: a moment (moment.h), or the volume itself. No op open. */
int lk_space_count(struct lk_fs *fs, const struct lk_space_ask *ask, struct linkfs_space_sum *out);

#endif
