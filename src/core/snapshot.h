/*
 * snapshot.h - the snapshots of a volume by name (E1, E2): taken, found, renamed, deleted in steps.
 * Layer: core. What a snapshot is made of is K2's and K3's (txn_snapshot.c); how its nodes are called, views.h's.
 */
#ifndef LK_SNAPSHOT_H
#define LK_SNAPSHOT_H

#include "views.h"

#define LK_SNAPSHOT_STEP 256u /* history rows in one step of a deletion */
/* Row writes in the open transaction after which a step commits, whoever made them: what was given back may be used then, and a commit, which
 * holds up all others, stays short, however many deletions go on at once. A step that has the transaction for itself goes on until then,
 * unless somebody waits to write. */
#define LK_SNAPSHOT_COMMIT 2048u

/* Whether it may be a snapshot's name: 1 to 255 bytes without '/' and NUL, not "." or "..". LINKFS_EINVAL, LINKFS_ENAMETOOLONG. */
int lk_snapshot_check(const char *name, size_t len);
/* The state before this op, which has changed nothing yet, with the name, note, tags and time of *s (0: now); the rest of it is set. LINKFS_EEXIST. */
int lk_snapshot_add(struct lk_op *op, struct lk_snapshot *s);
/* LINKFS_ENOENT: there is none, or it is being deleted. */
int lk_snapshot_find(struct lk_op *op, const char *name, size_t len, struct lk_snapshot *out);
/* The newest whose time is not after time_ns. LINKFS_ENOENT. */
int lk_snapshot_at(struct lk_op *op, int64_t time_ns, struct lk_snapshot *out);
/* In the order they were taken in, those being deleted left out; after epoch. fn: as lk_row_fn, of a struct lk_snapshot. */
int lk_snapshot_scan(struct lk_op *op, int64_t after, lk_row_fn *fn, void *arg);
/* Tags of two lists come and go. LINKFS_ENOENT, and the errors of lk_tags_change(). */
int lk_snapshot_tag(struct lk_op *op, const char *name, size_t len, struct lk_bytes add, struct lk_bytes remove);
/* LINKFS_EEXIST, LINKFS_ENOENT. */
int lk_snapshot_rename(struct lk_op *op, const char *name, size_t len, const char *to, size_t to_len);

/* Whether anything has changed that the snapshot, which exists, shows. */
int lk_snapshot_differs(struct lk_op *op, int64_t epoch, bool *out);
/* A deletion. The first op takes the snapshot away: nobody reads it from then on, and its name is free. What it alone kept goes by steps, of
 * which that op is one: each an op of bounded length, and a commit when many rows were written. more: there are others. rows and blocks grow
 * by those that were looked at, and given back. */
struct lk_snapshot_work {
	int64_t epoch;
	bool more;
	uint64_t rows, blocks;
};
/* The first op, of the snapshot of that name, or of the one that work->epoch says where name is NULL. LINKFS_ENOENT; LINKFS_EBUSY: what is
 * received starts from it. With another error work->more says that it is gone all the same. */
int lk_snapshot_delete(struct lk_fs *fs, const char *name, size_t len, struct lk_snapshot_work *work);
int lk_snapshot_step(struct lk_fs *fs, struct lk_snapshot_work *work);
/* What is left of deletions is the keeper's. No lock held. */
void lk_snapshot_leave(struct lk_fs *fs);
/* At open: a deletion that was cut off is the keeper's to finish. */
int lk_snapshot_recover(struct lk_fs *fs);
/* The keeper's work: some steps of what is left to delete. fs->snapshots_due says whether there is more. No lock held. */
void lk_snapshot_clean(struct lk_fs *fs);

#endif
