/*
 * orphan.h - inodes without a name: kept while held, reclaimed after, finished at open.
 * Layer: core.
 */
#ifndef LK_ORPHAN_H
#define LK_ORPHAN_H

#include "inode.h"

/* nlink of inode just became 0 in this op (put already). Records the orphan; when nobody holds it, small ones are erased
 * in this op and large ones are named in op->reclaim. */
int lk_orphan_add(struct lk_op *op, struct lk_inode *inode);
/* The same for an inode made without a name in this op (put already): held once first, or it would go at once. A failure leaves
 * no hold. */
int lk_orphan_add_held(struct lk_op *op, struct lk_inode *inode);
/* An orphan got a name again (linkat of a temporary file). */
int lk_orphan_remove(struct lk_op *op, uint64_t ino);
/* The last hold of ino went: reclaims it if it is an orphan. No lock held; in bounded steps. */
int lk_orphan_released(struct lk_fs *fs, uint64_t ino);
/* Gives up one hold; an orphan's last one reclaims it. What cannot be reclaimed now is when the volume is next opened. No lock
 * held. */
void lk_orphan_unhold(struct lk_fs *fs, uint64_t ino);
/* Everything a crash left: orphans and intents. Called once at open, no lock held. */
int lk_orphan_recover(struct lk_fs *fs);

/* What erasing an inode needs from the rooms that keep its parts. Each erases at most max_rows rows, says if more are left. */
int lk_file_drop(struct lk_op *op, struct lk_inode *inode, uint32_t max_rows, bool *more_out); /* file.c */
int lk_xattr_drop(struct lk_op *op, struct lk_inode *inode);                                   /* xattr.c */
int lk_symlink_drop(struct lk_op *op, struct lk_inode *inode);                                 /* symlink.c */

#endif
