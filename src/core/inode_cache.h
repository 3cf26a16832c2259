/*
 * inode_cache.h - live inode records in memory: those used last, and those changed since the last flush.
 * Layer: core, behind inode.c and txn*.c. Guarded by fs->lock.
 *
 * J1 A clean record equals the database's row.
 * J2 A dirty record is newer than its row (or has none yet). Rows of table inode are written by a flush only, which is never
 *    inside a savepoint; an op erases rows in its savepoint. So what an op did to dirty records is undone from its log,
 *    and clean ones need no undo.
 * J3 The flush comes before COMMIT and before a snapshot: what is durable or in history is complete.
 */
#ifndef LK_INODE_CACHE_H
#define LK_INODE_CACHE_H

#include "txn.h"

struct lk_inode_cache;

#define LK_INODES_DIRTY_MAX 2048u

/* ready: its tables' pages, which are all in use soon, are made real at once, when they cost a fraction of what they cost one by one; not for who
 * asks one question and goes. */
int lk_inode_cache_new(bool ready, struct lk_inode_cache **out);
void lk_inode_cache_free(struct lk_inode_cache *cache);
/* NULL when it is not there. Valid until the next call. */
const struct lk_inode *lk_inode_cache_find(struct lk_fs *fs, uint64_t ino);
/* A clean record, as just read. */
void lk_inode_cache_set(struct lk_fs *fs, const struct lk_inode *inode);
/* The op changes a record; fresh: it has no row. LINKFS_ENOMEM changes nothing. */
int lk_inode_cache_change(struct lk_op *op, const struct lk_inode *inode, bool fresh);
/* The op removes it from memory. *row_out: there is a row as well. */
int lk_inode_cache_remove(struct lk_op *op, uint64_t ino, bool *row_out);
void lk_inode_cache_undo(struct lk_op *op);
/* Forgets everything: what was not flushed is lost. */
void lk_inode_cache_clear(struct lk_fs *fs);

/* Writes the dirty records' rows. Outside any savepoint. After a failure they are all still dirty. */
int lk_inode_cache_flush(struct lk_fs *fs);
uint32_t lk_inode_cache_dirty(const struct lk_fs *fs);
/* Each record that is newer than its row, in no order. fn must not use the cache; a result other than 0 ends it and is returned. */
int lk_inode_cache_each_dirty(const struct lk_fs *fs, int (*fn)(void *arg, const struct lk_inode *inode), void *arg);
/* Pages that a flush may dirty, for T4. */
uint32_t lk_inode_cache_pages(const struct lk_fs *fs);

#endif
