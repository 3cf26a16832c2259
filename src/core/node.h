/*
 * node.h - nodes in memory: who holds an inode, and its write lock.
 * Layer: core. A node exists while it has holds. Own locking inside.
 */
#ifndef LK_NODE_H
#define LK_NODE_H

#include "fs.h"

int lk_node_table_new(struct lk_node_table **out);
void lk_node_table_free(struct lk_node_table *table);

/* Holds keep an unlinked inode alive. Hold with fs->lock held, so that "no name and no hold" is decided in one place;
 * unhold needs no lock. */
int lk_node_hold(struct lk_fs *fs, uint64_t ino, uint64_t count);
/* Returns true when the last hold went and the inode may be an orphan: callers then ask lk_orphan_released(). (The mark
 * is a hint that only grows while the node is held, so an undone op cannot lose it.) */
bool lk_node_unhold(struct lk_fs *fs, uint64_t ino, uint64_t count);
bool lk_node_held(struct lk_fs *fs, uint64_t ino);
uint64_t lk_node_holds(struct lk_fs *fs, uint64_t ino);
/* A held inode lost its last name. False when it is not held. */
bool lk_node_mark_orphan(struct lk_fs *fs, uint64_t ino);

/* T1's write lock of an inode's content: taken before fs->lock, for write, truncate, allocate, copy. The second form
 * takes two in ascending order (equal numbers once). They fail only with LINKFS_ENOMEM. */
int lk_node_lock(struct lk_fs *fs, uint64_t ino);
void lk_node_unlock(struct lk_fs *fs, uint64_t ino);
int lk_node_lock2(struct lk_fs *fs, uint64_t a, uint64_t b);
void lk_node_unlock2(struct lk_fs *fs, uint64_t a, uint64_t b);

/* The lock's holder has changed the content: the observer is told so by the unlock and no sooner. Telling waits for the kernel,
 * which may hold a page that it is writing, and that write waits for the lock (M6). False when it is not locked. */
bool lk_node_tell_later(struct lk_fs *fs, uint64_t ino);

/* Nodes in the table, and its memory in bytes. */
void lk_node_usage(struct lk_fs *fs, uint64_t *nodes_out, uint64_t *bytes_out);

#endif
