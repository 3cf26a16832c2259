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

struct lk_node_table;  /* node.h */
struct lk_batch;       /* txn.c */
struct lk_inode_cache; /* inode_cache.h */
struct lk_name_cache;  /* name_cache.h */
struct lk_places;      /* places.h */
struct lk_pack;        /* pack.h */
struct lk_chunks;      /* chunk.h */

/* What moved.c knows of its table without looking. */
struct lk_moved_memory {
	bool loaded;
	uint32_t count;        /* of rows, or a few more: those of ops that failed */
	uint64_t places[1024]; /* a bit for each place that has rows; more may be set */
	/* Components of symlinks' texts: a bit for each in names, while there are few. */
	enum { LK_TEXTS_UNKNOWN, LK_TEXTS_FEW, LK_TEXTS_MANY } texts;
	uint32_t mentions;
	uint64_t names[2048];
};

struct lk_fs {
	pthread_mutex_t lock; /* T1 */
	struct lk_db *db;
	struct lk_data *data;
	struct lk_alloc *alloc;
	struct lk_node_table *nodes;
	struct lk_batch *batch;
	struct lk_inode_cache *inodes;
	struct lk_name_cache *names;
	struct lk_places *places;
	struct lk_views *views;
	struct lk_pack *pack;     /* any thread */
	struct lk_chunks *chunks; /* any thread */
	char *path;               /* absolute, of the volume's directory; constant */
	uint8_t name_secret[192];
	uint8_t uuid[16];
	char label[256];
	int64_t created_ns;
	uint64_t features_compat, features_ro_compat, features_incompat;
	uint64_t limit_blocks;
	struct lk_buf properties;  /* the super record's text */
	int64_t keep_deleted_ns;   /* of them; 0: off (deleted.h) */
	int64_t snapshot_every_ns; /* of them; 0: off (linkfs_prune.h) */
	int pack_level;            /* of them: how content is compressed; 0: not */
	uint64_t deleted_due;      /* monotonic: when the keeper looks after kept files; 0: there are none */
	uint32_t open_flags;       /* LINKFS_OPEN_...; constant */
	uint32_t commit_interval_ms;
	int64_t epoch;
	int64_t newest_snapshot;                                           /* K2's N; 0 if none */
	enum { LK_SHARES_UNKNOWN, LK_SHARES_NONE, LK_SHARES_SOME } shares; /* share.c: whether table shared has rows */
	struct lk_moved_memory moved;                                      /* moved.h */
	atomic_bool snapshots_due;     /* a deletion was cut off: the keeper goes on with it (snapshot.h) */
	atomic_bool linked;            /* there are directory links or binds; any thread may look */
	_Atomic uint64_t name_changes; /* linkfs_volume_name_changes(); any thread may look */
	_Atomic uint64_t
		tree_changes;      /* grows with each change that a ctime tells, and with binds; any thread may look */
	atomic_bool receiving;     /* a stream is being received (api); any thread */
	atomic_bool poisoned;      /* T4; any thread may look */
	linkfs_observer *observer; /* constant while calls are in flight */
	void *observer_arg;
};

/* Feature bits that this version knows. */
#define LK_FEATURES_COMPAT UINT64_C(0)
#define LK_FEATURES_RO_COMPAT UINT64_C(0)
#define LK_FEATURE_PACKED UINT64_C(1) /* incompatible: rows of codec ZSTD, or inodes with LK_INODE_PACKED */
#define LK_FEATURES_INCOMPAT LK_FEATURE_PACKED

/* Writes a new volume's database and data into directory dir, which is empty; durable when it returns 0. */
int lk_fs_create(const char *dir, const struct linkfs_create_options *options, struct linkfs_message *why);
/* Opens it; the caller owns the lock file. Recovers what a crash left unless LINKFS_OPEN_READONLY. */
int lk_fs_open(const char *dir, uint32_t open_flags, uint32_t commit_interval_ms, struct lk_fs **out,
	       struct linkfs_message *why);
/* The same over a database that is open already; it is closed with the file system, or by a failure here. */
int lk_fs_open_on(struct lk_db *db, const char *dir, uint32_t open_flags, uint32_t commit_interval_ms,
		  struct lk_fs **out, struct linkfs_message *why);
/* Commits and frees. NULL is allowed. Returns the result of the commit. */
int lk_fs_close(struct lk_fs *fs);

#endif
