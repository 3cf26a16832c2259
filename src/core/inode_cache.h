/*
 * inode_cache.h - the live inode records used last, in memory: write-through, so that it never knows more than the database.
 * Layer: core, behind inode.c. Guarded by fs->lock.
 */
#ifndef LK_INODE_CACHE_H
#define LK_INODE_CACHE_H

#include "txn.h"

struct lk_inode_cache;

int lk_inode_cache_new(struct lk_inode_cache **out);
void lk_inode_cache_free(struct lk_inode_cache *cache);
/* NULL when it is not there. Valid until the next call. */
const struct lk_inode *lk_inode_cache_find(struct lk_fs *fs, uint64_t ino);
/* What the database holds now. */
void lk_inode_cache_set(struct lk_fs *fs, const struct lk_inode *inode);
void lk_inode_cache_drop(struct lk_fs *fs, uint64_t ino);
/* Notes that op changes ino's record: an undo forgets it. */
void lk_inode_cache_changes(struct lk_op *op, uint64_t ino);
void lk_inode_cache_undo(struct lk_op *op);
void lk_inode_cache_clear(struct lk_fs *fs);

#endif
