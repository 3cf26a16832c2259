/*
 * deleted.h - names that went and files that are kept after their last one (E9).
 * Layer: core. With property keep-deleted each name that goes leaves a row in table deleted, and an inode that loses its last name is
 * marked LK_INODE_KEPT instead of erased: lk_inode_get() says LINKFS_ESTALE of it (unless it is held) and it comes back with a name. A
 * row lives for keep-deleted, or until space runs short: then the oldest go first. A kept inode goes with the last row that names it.
 *
 * A crash needs no care: a kept inode has its row in the same op, and no row in table orphan. A file that was open when it lost its
 * last name is kept from that moment; what is written to it until it is closed belongs to it.
 */
#ifndef LK_DELETED_H
#define LK_DELETED_H

#include "perm.h"

/* A name that is going in this op. */
struct lk_lost {
	uint64_t dir;
	const char *name;
	size_t len;
	int64_t dir_mtime_ns; /* before */
	bool replaced;        /* another file takes it */
};

/* inode lost it; not put yet. With nlink 0 the inode becomes a kept one (in the record; the caller puts it). */
int lk_deleted_add(struct lk_op *op, struct lk_inode *inode, const struct lk_lost *lost);

/* ---- giving space back -------------------------------------------------------------------------------------------- */

/* The row and, when no other names it, the kept inode go for good. */
int lk_deleted_purge(struct lk_op *op, const struct lk_deleted *row);
/* Space is short: rows go, the oldest first, for a step (0, 1, 2 ...: each twice as large as the one before), and what they gave back
 * is made allocatable by a commit. False when nothing went. No lock held, no op open. */
bool lk_deleted_make_room(struct lk_fs *fs, unsigned step);
/* Whether lk_deleted_make_room() may find something. Lock held. */
bool lk_deleted_any(struct lk_fs *fs);
/* Rows whose time is over go, at most a bounded number: the keeper's work. Sets fs->deleted_due. No lock held, no op open. */
void lk_deleted_expire(struct lk_fs *fs);
/* At open, once all is in place: the first of it, and when the keeper is to go on. A failure leaves it to the keeper. */
void lk_deleted_recover(struct lk_fs *fs);
/* After a change of keep-deleted: the keeper plans anew. No lock held. */
void lk_deleted_look(struct lk_fs *fs);

/* ---- finding and giving back (undelete.c) --------------------------------------------------------------------------- */

/* The row with this time: LINKFS_ENOENT. Its name lies in the op's arena. */
int lk_deleted_get(struct lk_op *op, int64_t time_ns, struct lk_deleted *out);
/* The newest row of an inode; LINKFS_ENOENT. */
int lk_deleted_of(struct lk_op *op, uint64_t ino, struct lk_deleted *out);
/* The topmost of the kept directories that dir is, or lies in: *time_out is its row's. 0 in it when dir is there. LINKFS_ESTALE when dir
 * is gone for good. */
int lk_deleted_missing(struct lk_op *op, uint64_t dir, int64_t *time_out);

struct lk_undelete {
	uint64_t dir; /* where to; 0: where it was */
	const char *name;
	size_t len;    /* 0: as it was called */
	bool dir_time; /* the directory's mtime goes back when this removal was its last change */
};
/* Gives a name back. LINKFS_EPERM (not the owner), LINKFS_EACCES (the directory), LINKFS_EEXIST, LINKFS_EBUSY (a directory that is held),
 * LINKFS_ESTALE (its directory is not there), LINKFS_ENOENT (the file is gone). */
int lk_deleted_restore(struct lk_op *op, const struct linkfs_cred *cred, const struct lk_deleted *row,
		       const struct lk_undelete *how, struct lk_inode *out);

/* Where a name was. */
struct lk_deleted_place {
	const char
		*path; /* in the op's arena: from the root, with the name; NULL when it is not known, or not for cred */
	bool below;    /* it lies in the directory that was asked about, at any depth */
	bool dir_kept, dir_gone;
};
int lk_deleted_place(struct lk_op *op, const struct linkfs_cred *cred, const struct lk_deleted *row, uint64_t below,
		     struct lk_deleted_place *out);

#endif
