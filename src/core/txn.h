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

#define LK_OP_WRITE 1u  /* opens a savepoint in the batch */
#define LK_OP_FREES 2u  /* gives space back: may use the reserve (T4) */
#define LK_OP_SILENT 4u /* send the observer nothing (LINKFS_CRED_KERNEL) */

struct lk_op {
	struct lk_fs *fs;
	int64_t view; /* LK_VIEW_LIVE or a snapshot's epoch */
	uint32_t flags;
	int64_t now_ns;
	struct lk_buf bytes;      /* arena for the bytes of records read; freed by lk_op_end() */
	struct lk_alloc_log alloc;
	struct lk_buf events;     /* txn.c's */
	struct lk_buf reclaim;    /* inodes (uint64_t) to reclaim once the op stands; see orphan.h */
};

/* Takes the lock, opens the batch and a savepoint when flags say WRITE (LINKFS_EROFS when the volume is read-only or
 * poisoned, LINKFS_ENOSPC when T4's proof fails). On failure nothing is held. */
int lk_op_begin(struct lk_fs *fs, struct lk_op *op, uint32_t flags);
/* Ends it: result 0 keeps, anything else takes everything back. Unlocks, then tells the observer and reclaims what
 * op->reclaim names. Returns result, or the error that kept the op from standing. */
int lk_op_end(struct lk_op *op, int result);

/* The flags for a credential: LK_OP_WRITE, and SILENT for the kernel's. */
uint32_t lk_op_flags(const struct linkfs_cred *cred, uint32_t more);

/* Records. get and scan read at op->view; put, insert and erase are for the live view. put and insert set the record's
 * born. Scans of a versioned table at a snapshot merge live and history in key order (LK_BY_KEY only). Bytes of a record
 * got live in op->bytes until lk_op_end(): pointers stay valid though the arena grows (it is chained, not moved). */
int lk_txn_get(struct lk_op *op, enum lk_table_id table, const void *key, void *record);
int lk_txn_put(struct lk_op *op, enum lk_table_id table, void *record);
int lk_txn_insert(struct lk_op *op, enum lk_table_id table, void *record);
int lk_txn_erase(struct lk_op *op, enum lk_table_id table, const void *key);
int lk_txn_scan(struct lk_op *op, const struct lk_scan *scan, lk_row_fn *fn, void *arg);

/* A counter's value after adding delta (lk_counter_id). Kept in memory, written at commit. */
int lk_txn_count(struct lk_op *op, int64_t counter, int64_t delta, int64_t *out);

/* Events for the observer, sent by lk_op_end() when the op stands. No-ops for LK_OP_SILENT. */
int lk_op_event(struct lk_op *op, enum linkfs_event_kind kind, uint64_t ino, const void *name, size_t name_len);

/* Makes everything that stands durable (T2's commit, shared by those who wait at once). No lock held. */
int lk_txn_commit(struct lk_fs *fs);

/* Starts and stops the batch and its keeper thread (commit interval, checkpoints). stop commits. */
int lk_txn_start(struct lk_fs *fs);
int lk_txn_stop(struct lk_fs *fs);
uint64_t lk_txn_commits(const struct lk_fs *fs);

#endif
