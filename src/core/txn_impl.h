/*
 * txn_impl.h - what the txn*.c files share: the open batch, the arena, sets of copied rows.
 * Layer: core, private to txn*.c. Guarded by fs->lock unless a comment says otherwise.
 */
#ifndef LK_TXN_IMPL_H
#define LK_TXN_IMPL_H

#include "txn.h"

#include <time.h>

#define LK_OP_PAGES 64u       /* what T4 proves for an op: it may dirty as many pages */
#define LK_OP_BULK_PAGES 192u /* and for a step of long work: 512 neighbouring extent rows fill 75 */
_Static_assert(LK_OP_BULK_PAGES + LK_OP_PAGES <= LK_DB_RESERVE_PAGES,
	       "a step of reclaiming fits what a full host leaves");
#define LK_BATCH_ROWS 40000u     /* row writes in a batch after which the keeper commits beside those who go on */
#define LK_BATCH_ROWS_MAX 64000u /* and after which whoever comes waits for it: bounds the pages a batch dirties */
#define LK_ROW_PAGES 8u     /* a row's write dirties no more: a leaf, its new sibling and two above, in two trees */
#define LK_PROOF_AHEAD 512u /* pages proved at once, for the ops that follow */
#define LK_BATCH_DATA (UINT64_C(160) << 20) /* the same of bytes that the host has and the disk need not have */
#define LK_BATCH_DATA_MAX (UINT64_C(256) << 20)
#define LK_SYNC_REST (UINT64_C(4) << 20)   /* written during the sync before a commit: more is synced once more */
#define LK_GATHER_MAX_NS UINT64_C(2000000) /* a leader waits for company no longer than this, nor than a commit takes */
#define LK_WAL_CHECKPOINT (UINT64_C(8) << 20) /* the keeper checkpoints beside us above this */
#define LK_WAL_HARD (UINT64_C(128) << 20)     /* and in a slice under the lock above this */

struct lk_arena_chunk {
	struct lk_arena_chunk *next;
	_Alignas(16) char bytes[];
};

struct lk_batch {
	bool open;    /* a database transaction is open */
	bool torn;    /* it is, though poisoned: it could not be rolled back, and is shown to nobody */
	bool started; /* counters are loaded */
	bool stopping;
	bool committing; /* a leader is between its first data sync and the end of the log's */
	bool keeper_running;
	bool keeper_idle; /* it sleeps without a deadline */
	bool commit_due;  /* it is to commit as soon as it can */
	bool checkpoint_due;
	bool checkpoint_slice;   /* the host has no checkpoint beside us (T5) */
	uint32_t counters_dirty; /* bit per slot */
	uint32_t waiting;        /* callers waiting for the leader */
	uint32_t group;          /* callers that the last commit served, its leader included */
	uint64_t commit_ns;      /* how long a commit takes, lately */
	_Atomic uint32_t coming; /* writers and committers on their way to the lock */
	uint64_t rows;           /* row writes in the open transaction */
	uint32_t proved;         /* pages that T4 has proved for it and that no op has used */
	uint64_t standing;       /* number of the newest op that stands */
	uint64_t written;        /* every op up to this one is committed; those after it are in the open transaction */
	uint64_t durable;        /* every op up to this one is durable: as written, but while the log is synced */
	uint64_t dirty_since;    /* monotonic; 0 when nothing waits for a commit */
	int64_t counters[LK_COUNTERS];
	_Atomic uint64_t commits;
	struct lk_buf scratch;   /* bytes of the row being read */
	struct lk_buf spare_log; /* an empty lk_alloc_log's memory, kept from op to op */
	pthread_cond_t joined;   /* somebody waits for the leader now */
	pthread_cond_t done;     /* a commit ended */
	pthread_cond_t keeper;   /* wakes the keeper */
	pthread_t keeper_thread;
	lk_history_fn *kept[LK_T_LIVE_COUNT];
	lk_history_fn *dropped[LK_T_LIVE_COUNT];
};

/* Takes the lock, for an op that writes or a commit: the leader sees that somebody comes. */
void lk_batch_lock(struct lk_fs *fs);
/* LINKFS_EAGAIN: the host has no thread. */
int lk_keeper_start(struct lk_fs *fs);
void lk_keeper_stop(struct lk_fs *fs); /* also of one that did not start; without the lock */
/* The keeper looks at once at what is due. */
void lk_keeper_wake(struct lk_fs *fs);
static inline struct timespec lk_batch_time(uint64_t ns)
{
	return (struct timespec){.tv_sec = (time_t)(ns / 1000000000u), .tv_nsec = (long)(ns % 1000000000u)};
}
/* Opens the database transaction when it is not open. */
int lk_batch_open(struct lk_fs *fs);
/* T2's commit under the lock, data sync included. 0 when there is nothing to commit. */
int lk_batch_commit(struct lk_fs *fs);
/* Of the log since it began anew. */
uint64_t lk_batch_log_bytes(struct lk_fs *fs);
/* As commit, and the database transaction is closed then. */
int lk_batch_close(struct lk_fs *fs);
/* As close, and the log is moved into the database, as far as that can be; the next transaction begins it anew. */
int lk_batch_move_log(struct lk_fs *fs);
/* Ops stand in the open transaction. */
static inline bool lk_batch_waits(const struct lk_batch *batch)
{
	return batch->standing != batch->written;
}
/* An op that is alone in the batch goes with it. Poison when it cannot. */
void lk_batch_drop(struct lk_fs *fs);
/* The engine has lost the batch (it rolled back by itself, or cannot undo): poison when ops are lost with it. */
void lk_batch_lost(struct lk_fs *fs, int error);
/* After an error that may have done that: finds out. */
void lk_batch_check(struct lk_fs *fs);
/* The op stands: counts it, and wakes the keeper when it must. Returns true when the caller must commit (bounds). */
bool lk_batch_stands(struct lk_fs *fs, const struct lk_op *op);
/* T4: read-only from now on. With rolled_back, what is in memory and not in the database is forgotten too. Returns error. */
int lk_batch_poison(struct lk_fs *fs, int error, bool rolled_back);
/* A torn batch: tries again to roll it back. */
int lk_batch_mend(struct lk_fs *fs);
int lk_counters_load(struct lk_fs *fs);
/* Sets fs->linked by them. */
static inline void lk_counters_tell(struct lk_fs *fs)
{
	const int64_t *counters = fs->batch->counters;
	bool linked = counters[LK_COUNTER_DIR_NAMES] > 0 || counters[LK_COUNTER_BINDS] > 0;
	if (linked != atomic_load_explicit(&fs->linked, memory_order_relaxed))
		atomic_store_explicit(&fs->linked, linked, memory_order_relaxed);
}

/* Before a change of anything: EROFS, T4's answer. */
int lk_op_changes(struct lk_op *op);
/* Before a row write: that, and the savepoint. */
int lk_op_writes(struct lk_op *op);
/* An op that is no caller's, for work on rows between ops. */
void lk_op_internal(struct lk_fs *fs, struct lk_op *op);
void lk_op_internal_done(struct lk_op *op);
/* K2's put, without lk_op_writes(). */
int lk_row_put(struct lk_op *op, const struct lk_table *table, void *record);
/* Copies a record and its bytes into the op's arena. */
int lk_record_copy(struct lk_op *op, const struct lk_table *table, const void *record, void *out);
/* The live row, whatever op->view is. */
int lk_live_get(struct lk_op *op, const struct lk_table *table, const void *key, void *record);
int lk_view_get(struct lk_op *op, const struct lk_table *table, const void *key, void *record);
/* The same of a key whose live row is known not to be seen. */
int lk_view_get_old(struct lk_op *op, const struct lk_table *table, const void *key, void *record);
int lk_view_scan(struct lk_op *op, const struct lk_scan *scan, lk_row_fn *fn, void *arg);

/* Copied rows, for work on them after the scan that found them. Zero-initialised but for table. */
struct lk_row_set {
	const struct lk_table *table;
	struct lk_buf records, bytes;
	uint32_t count;
};
/* A lk_row_fn; arg is the set. */
int lk_row_set_add(void *set, const void *record);
/* After the last add: byte pointers become valid. */
void lk_row_set_ready(struct lk_row_set *set);
const void *lk_row_set_at(const struct lk_row_set *set, uint32_t i);
void lk_row_set_clear(struct lk_row_set *set);
void lk_row_set_done(struct lk_row_set *set);

#endif
