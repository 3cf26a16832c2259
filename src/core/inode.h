/*
 * inode.h - inode records: the one door to table inode, and what every change of one shares.
 * Layer: core.
 */
#ifndef LK_INODE_H
#define LK_INODE_H

#include "txn.h"

#include <sys/stat.h>

/* ino may be a node id of a place or of a snapshot (views.h), out->ino is the inode's. LINKFS_ESTALE when there is none (LINKFS_ECORRUPT for a record that breaks a rule: mode, counts, sizes). */
int lk_inode_get(struct lk_op *op, uint64_t ino, struct lk_inode *out);
/* Also one that is kept after it lost its last name (deleted.h), which is LINKFS_ESTALE to the former unless it is held. */
int lk_inode_get_any(struct lk_op *op, uint64_t ino, struct lk_inode *out);
/* The records of several at the op's view, by number, in ascending order, at most LK_INODES_MANY: a fraction of what as many calls cost. Those
 * that are kept included; there[i] false: there is none. */
#define LK_INODES_MANY 32u
int lk_inode_get_many(struct lk_op *op, const int64_t *inos, uint32_t count, struct lk_inode *out, bool *there);
/* A record of the op's view that was met otherwise, as just read: the next get has it. LINKFS_ECORRUPT. */
int lk_inode_know(struct lk_op *op, uint64_t ino, const struct lk_inode *row);
int lk_inode_put(struct lk_op *op, struct lk_inode *inode);
/* A new record with the next number and times now; mode, uid, gid, rdev, nlink are set by the caller before put. */
int lk_inode_new(struct lk_op *op, struct lk_inode *out);
int lk_inode_erase(struct lk_op *op, uint64_t ino);

/* Sets ctime (and mtime) to the op's time. Not put. */
void lk_inode_touch(struct lk_op *op, struct lk_inode *inode, bool modified);
/* As touch for directory dir, by number, with get and put: mtime and ctime; nlink changes by subdirs. */
int lk_inode_touch_dir(struct lk_op *op, uint64_t dir, int64_t subdirs);

/* All but the size of a tracked link, which is that of its last stored text: lk_stat() in track.h has it. */
void lk_inode_stat(const struct lk_inode *inode, struct linkfs_stat *out);

static inline bool lk_is_dir(const struct lk_inode *i)
{
	return S_ISDIR((mode_t)i->mode);
}
static inline bool lk_is_reg(const struct lk_inode *i)
{
	return S_ISREG((mode_t)i->mode);
}
static inline bool lk_is_lnk(const struct lk_inode *i)
{
	return S_ISLNK((mode_t)i->mode);
}

#endif
