/*
 * txn.h - operations, versioned records and commits (K2, T1, T2, T4).
 * Layer: core. One struct lk_op is one operation: it lives on the caller's stack from lk_op_begin() to lk_op_end(),
 * with fs->lock held all the while. It happens wholly or not at all; a function over an op can be run again from the
 * start (L1), so it has no effect outside the op until lk_op_end().
 */
#ifndef LK_TXN_H
#define LK_TXN_H

#include "fs.h"

#define LK_VIEW_LIVE INT64_MAX

#define LK_COUNTERS 9 /* slots by lk_counter_id; 0 is unused */

#define LK_OP_WRITE 1u  /* opens a savepoint in the batch at its first write */
#define LK_OP_FREES 2u  /* gives space back: may use the reserve (T4) */
#define LK_OP_SILENT 4u /* send the observer nothing (LINKFS_CRED_KERNEL) */
#define LK_OP_PURGE 16u /* gives space back for good, or matters little: no kept file is given up for it (deleted.h) */
#define LK_OP_BULK 8u   /* a step of long work, with hundreds of rows: T4 proves more for it */
#define LK_OP_ALONE                                                                                                    \
	32u /* where nothing waits for a commit it has no savepoint, whose pages cost: what it did is taken back with the batch */

/* of an event: the kernel's own change, which concerns the other places of the directory, if it has any (places.h) */
#define LK_EVENT_MAYBE (UINT32_C(1) << 31)

#define LK_OP_ARENA 4096
#define LK_FIRST_KEY 3
#define LK_OP_OWN 4

/* Zeroed by lk_op_begin() but for the arena's first chunk; callers set view, and read fs, view, flags and now_ns. */
struct lk_op {
	struct lk_fs *fs;
	int64_t view;  /* LK_VIEW_LIVE or a snapshot's epoch */
	uint64_t bits; /* of the node ids of that view (views.h) */
	uint32_t flags;
	int64_t now_ns;
	struct lk_alloc_log alloc;
	/* The rest is txn's. */
	uint32_t rows;  /* row writes so far */
	uint32_t pages; /* that they dirtied, at most */
	bool changed;   /* something was written */
	bool savepoint; /* the savepoint is open */
	bool alone;     /* there is none: the batch is this op's alone */
	bool first;     /* first_key was inserted before a savepoint: its undo is to erase it */
	bool tight;     /* T4: nothing but the reserve is left */
	bool discard;   /* a commit within begin: the discard that belongs to it is due */
	int refused;    /* why the first write must fail: T4's proof */
	enum lk_table_id first_table;
	int64_t first_key[LK_FIRST_KEY];
	struct lk_inode_log *inode_log; /* inode_cache.c's */
	int64_t counters[LK_COUNTERS];  /* as they were at begin, as is newest_snapshot */
	int64_t newest_snapshot;
	struct linkfs_event *events; /* in the arena */
	uint32_t event_count, event_cap;
	uint32_t reclaim_count, reclaim_cap;
	uint64_t *reclaim;                     /* in the arena: inodes to reclaim once the op stands; see orphan.h */
	struct lk_place_change *place_changes; /* in the arena; places_change.c's */
	uint64_t own[LK_OP_OWN];               /* node ids of directories that the kernel's call named */
	uint32_t own_count;
	uint64_t unshared, unshared_end; /* share.c's: no range of shared blocks is between; of a BULK op */
	struct lk_arena_chunk *chunks;
	char *arena, *arena_end; /* what is free in the newest chunk */
	_Alignas(16) char first_chunk[LK_OP_ARENA];
};

/* Takes the lock and opens the batch. With WRITE: LINKFS_EROFS when the volume is read-only or poisoned; when T4's proof
 * of space fails, the op's first write is LINKFS_ENOSPC (so that an op that fails for another reason says that one). On
 * failure nothing is held. */
int lk_op_begin(struct lk_fs *fs, struct lk_op *op, uint32_t flags);
/* Ends it: result 0 keeps, anything else takes everything back. Unlocks, then tells the observer and reclaims what
 * op->reclaim names. Returns result, or the error that kept the op from standing. */
int lk_op_end(struct lk_op *op, int result);

/* The flags for a credential: LK_OP_WRITE, and SILENT for the kernel's. */
uint32_t lk_op_flags(const struct linkfs_cred *cred, uint32_t more);

/* T4 for an op that writes more than LK_OP_PAGES pages (see txn_impl.h): before its first write, proves pages more. */
int lk_op_need(struct lk_op *op, uint32_t pages);
/* Whether it is LK_OP_ALONE and may be. */
bool lk_op_is_alone(const struct lk_op *op);

/* len bytes (16-aligned, not zeroed) that live until lk_op_end(); NULL when out of memory. */
void *lk_op_alloc(struct lk_op *op, size_t len);

/* Records. Table inode is inode.h's alone: its live rows may be older than its records until a commit. get and scan read
 * at op->view; put, insert and erase are for the live view. put and insert set the record's born. Scans of a versioned table at a snapshot merge live and history in key order (LK_BY_KEY only). Bytes of a record
 * got live in the op's arena until lk_op_end(): pointers stay valid though it grows (it is chained, not moved). */
int lk_txn_get(struct lk_op *op, enum lk_table_id table, const void *key, void *record);
int lk_txn_put(struct lk_op *op, enum lk_table_id table, void *record);
int lk_txn_insert(struct lk_op *op, enum lk_table_id table, void *record);
int lk_txn_erase(struct lk_op *op, enum lk_table_id table, const void *key);
int lk_txn_scan(struct lk_op *op, const struct lk_scan *scan, lk_row_fn *fn, void *arg);

/* A counter's value after adding delta (lk_counter_id). Kept in memory, written at commit. */
int lk_txn_count(struct lk_op *op, int64_t counter, int64_t delta, int64_t *out);

/* Once this op stands, lk_orphan_released(ino). */
int lk_op_reclaim(struct lk_op *op, uint64_t ino);
/* The kernel's call names node id: it needs not be told of what this op does there. */
static inline void lk_op_own(struct lk_op *op, uint64_t id)
{
	if (op->own_count < LK_OP_OWN)
		op->own[op->own_count++] = id;
}
/* Events for the observer, sent by lk_op_end() when the op stands. For LK_OP_SILENT only of directories that the kernel
 * knows by other nodes as well. */
int lk_op_event(struct lk_op *op, enum linkfs_event_kind kind, uint64_t ino, const void *name, size_t name_len);
/* Of what the kernel's own call changed besides what it asked for: sent for LK_OP_SILENT, and for no other. */
int lk_op_event_beside(struct lk_op *op, enum linkfs_event_kind kind, uint64_t ino, const void *name, size_t name_len);

/* K3: called in the op that saves a live row to history, or drops one from it, with the live form of the record; the
 * room that counts references (extents) sets them once, after lk_txn_start(). */
typedef int lk_history_fn(struct lk_op *op, const void *record);
void lk_txn_on_history(struct lk_fs *fs, enum lk_table_id table, lk_history_fn *kept, lk_history_fn *dropped);

/* K2's snapshots, as far as rows go. add: the state before this op under s->name; sets s->epoch; the op's first
 * write. mark: not readable any more. drop, of one that is marked: at most max_rows of its history rows (*rows_out), fewer where T4 can prove
 * space for fewer only, or where somebody waits; when none is left the snapshot's row goes. */
int lk_txn_snapshot_add(struct lk_op *op, struct lk_snapshot *s);
int lk_txn_snapshot_mark(struct lk_op *op, int64_t epoch);
int lk_txn_snapshot_drop(struct lk_op *op, int64_t epoch, uint32_t max_rows, uint32_t *rows_out, bool *more_out);

/* Whether the history of a versioned table has a row that lasts until epoch or longer. */
int lk_txn_history_since(struct lk_op *op, enum lk_table_id table, int64_t epoch, bool *any_out);

/* Makes everything that stands durable (T2's commit, shared by those who wait at once). No lock held. */
int lk_txn_commit(struct lk_fs *fs);
/* The same, and the lock is held when it returns 0: rows are the last commit's until it is given up. A poisoned volume is as it
 * was committed last. */
int lk_txn_settle(struct lk_fs *fs);

/* Starts and stops the batch and its keeper thread (commit interval, checkpoints). stop commits. */
int lk_txn_start(struct lk_fs *fs);
int lk_txn_stop(struct lk_fs *fs);
uint64_t lk_txn_commits(const struct lk_fs *fs);

#endif
