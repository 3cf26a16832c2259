/*
 * fs.h - the open file system: what one owner process knows of a volume.
 * Layer: core. Everything here is guarded by lock unless its comment says otherwise.
 *
 * Lock order: a node's write lock (node.h), then fs->lock. fs->lock is held for microseconds, but at COMMIT.
 */
#ifndef LK_FS_H
#define LK_FS_H

#include "alloc.h"

#include <pthread.h>
#include <stdatomic.h>

struct lk_node_table; /* node.h */
struct lk_batch;      /* txn.c */

struct lk_fs {
	pthread_mutex_t lock; /* T1 */
	struct lk_db *db;
	struct lk_data *data;
	struct lk_alloc *alloc;
	struct lk_node_table *nodes;
	struct lk_batch *batch;
	char *path; /* absolute, of the volume's directory; constant */
	uint8_t name_secret[192];
	uint8_t uuid[16];
	char label[256];
	int64_t created_ns;
	uint64_t features_compat, features_ro_compat, features_incompat;
	uint64_t limit_blocks;
	uint32_t open_flags; /* LINKFS_OPEN_...; constant */
	uint32_t commit_interval_ms;
	int64_t epoch;
	int64_t newest_snapshot; /* K2's N; 0 if none */
	atomic_bool poisoned;    /* T4; any thread may look */
	linkfs_observer *observer; /* constant while calls are in flight */
	void *observer_arg;
};

#endif
