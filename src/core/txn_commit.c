/*
 * txn_commit.c - the batch: commit, group commit, poison (T2, T4).
 * Layer: core. A commit has a leader. It syncs the data pieces without the lock, so that other ops go on and join, then under
 * the lock syncs what was written since, and COMMITs, and syncs the log without the lock again: others go on in the next transaction, which is
 * not written before that is over. A batch that has grown is committed by the keeper, beside those who go on;
 * only who would make it grow past its bounds waits for that. Callers that come meanwhile wait; most find their op durable then.
 */
#include "txn_impl.h"

#include "inode_cache.h"
#include "moment.h"
#include "name_cache.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

void lk_batch_lock(struct lk_fs *fs)
{
	struct lk_batch *batch = fs->batch;
	atomic_fetch_add_explicit(&batch->coming, 1, memory_order_relaxed);
	(void)pthread_mutex_lock(&fs->lock);
	atomic_fetch_sub_explicit(&batch->coming, 1, memory_order_relaxed);
}

int lk_batch_open(struct lk_fs *fs)
{
	struct lk_batch *batch = fs->batch;
	if (batch->open)
		return 0;
	int r = fs->db->ops->begin(fs->db);
	if (r == 0) {
		batch->open = true;
		batch->proved = 0;
	}
	return r;
}

static int counters_write(struct lk_fs *fs)
{
	struct lk_batch *batch = fs->batch;
	for (int i = 1; i < LK_COUNTERS; i++) {
		if (!(batch->counters_dirty & (1u << i)))
			continue;
		struct lk_counter c = {.id = i, .value = batch->counters[i]};
		int r = lk_db_put(fs->db, &lk_tables[LK_T_COUNTER], &c);
		if (r)
			return r;
	}
	return 0;
}

static int counter_row(void *arg, const void *record)
{
	struct lk_batch *batch = arg;
	const struct lk_counter *c = record;
	if (c->id <= 0 || c->id >= LK_COUNTERS || c->value < 0)
		return LINKFS_ECORRUPT;
	batch->counters[c->id] = c->value;
	return 0;
}

/* By key, so the newest comes last. */
static int snapshot_row(void *arg, const void *record)
{
	struct lk_fs *fs = arg;
	const struct lk_snapshot *s = record;
	if (s->epoch <= 0 || s->epoch >= fs->epoch)
		return LINKFS_ECORRUPT;
	if (!s->deleting)
		fs->newest_snapshot = s->epoch;
	return 0;
}

static int largest_row(void *arg, const void *record)
{
	*(int64_t *)arg = *(const int64_t *)record; /* ino is the first column of both tables */
	return 1;
}

/* K1: a number that is or was an inode's is never given out again; a new record would go over the old one. */
static int check_next_ino(struct lk_fs *fs, int64_t next)
{
	static const enum lk_table_id tables[] = {LK_T_INODE, LK_T_INODE_OLD};
	for (size_t i = 0; i < LK_ARRAY_LEN(tables); i++) {
		int64_t largest = 0;
		struct lk_scan scan = {.table = &lk_tables[tables[i]],
				       .index = tables[i] == LK_T_INODE ? LK_BY_KEY : LK_OLD_BY_KEY,
				       .reverse = true,
				       .limit = 1};
		int r = lk_db_scan(fs->db, &scan, largest_row, &largest);
		if (r || largest >= next)
			return r ? r : LINKFS_ECORRUPT;
	}
	return 0;
}

int lk_counters_load(struct lk_fs *fs)
{
	struct lk_batch *batch = fs->batch;
	memset(batch->counters, 0, sizeof(batch->counters));
	batch->counters_dirty = 0;
	struct lk_scan counters = {.table = &lk_tables[LK_T_COUNTER], .index = LK_BY_KEY};
	int r = lk_db_scan(fs->db, &counters, counter_row, batch);
	if (r)
		return r;
	lk_counters_tell(fs);
	int64_t next = batch->counters[LK_COUNTER_NEXT_INO];
	fs->epoch = batch->counters[LK_COUNTER_EPOCH];
	if (next <= (int64_t)LINKFS_ROOT_INO || next > LK_INO_MAX + 1 || fs->epoch < 1)
		return LINKFS_ECORRUPT;
	r = check_next_ino(fs, next);
	if (r)
		return r;
	fs->newest_snapshot = 0;
	struct lk_scan snapshots = {.table = &lk_tables[LK_T_SNAPSHOT], .index = LK_BY_KEY};
	return lk_db_scan(fs->db, &snapshots, snapshot_row, fs);
}

int lk_batch_poison(struct lk_fs *fs, int error, bool rolled_back)
{
	struct lk_batch *batch = fs->batch;
	atomic_store(&fs->poisoned, true);
	batch->written = batch->durable = batch->standing;
	batch->dirty_since = 0;
	if (rolled_back) {
		batch->torn = true;
		(void)lk_batch_mend(fs);
	}
	(void)pthread_cond_broadcast(&batch->done);
	return error;
}

int lk_batch_mend(struct lk_fs *fs)
{
	struct lk_batch *batch = fs->batch;
	/* The engine may have rolled back by itself: then this says so and changes nothing. */
	int r = fs->db->ops->rollback(fs->db);
	if (r)
		return r;
	batch->open = batch->torn = false;
	lk_inode_cache_clear(fs);
	lk_name_cache_clear(fs);
	/* Only for what info and statfs show: nothing is written any more. */
	(void)lk_counters_load(fs);
	return 0;
}

/* With nothing in it but an op that failed, a new transaction is as good. */
static int roll_back(struct lk_fs *fs)
{
	struct lk_batch *batch = fs->batch;
	int r = fs->db->ops->rollback(fs->db);
	if (r)
		return r;
	batch->open = false;
	batch->rows = 0;
	lk_inode_cache_clear(fs);
	lk_name_cache_clear(fs);
	return 0;
}

void lk_batch_drop(struct lk_fs *fs)
{
	int r = roll_back(fs);
	if (r)
		(void)lk_batch_poison(fs, r, true);
}

void lk_batch_lost(struct lk_fs *fs, int error)
{
	if (atomic_load(&fs->poisoned))
		return;
	if (lk_batch_waits(fs->batch) || roll_back(fs) != 0)
		(void)lk_batch_poison(fs, error, true);
}

void lk_batch_check(struct lk_fs *fs)
{
	/* A reserve of nothing fails only when there is no transaction any more to reserve it in. */
	if (fs->batch->open && !(fs->open_flags & LINKFS_OPEN_READONLY) && !atomic_load(&fs->poisoned) &&
	    fs->db->ops->reserve(fs->db, 0, true) == LINKFS_EIO)
		lk_batch_lost(fs, LINKFS_EIO);
}

int lk_batch_close(struct lk_fs *fs)
{
	struct lk_batch *batch = fs->batch;
	int r = lk_batch_commit(fs);
	/* Only reads are left in it. */
	if (r == 0 && batch->open) {
		r = fs->db->ops->rollback(fs->db);
		if (r == 0)
			batch->open = false;
	}
	return r;
}

/* T2's commit but for the log's sync. */
static int write_batch(struct lk_fs *fs)
{
	struct lk_batch *batch = fs->batch;
	int r = lk_data_sync(fs->data);
	if (r)
		return lk_batch_poison(fs, r, false);
	r = lk_inode_cache_flush(fs);
	if (r == 0)
		r = lk_alloc_flush(fs->alloc);
	if (r == 0)
		r = counters_write(fs);
	if (r == 0)
		r = fs->db->ops->write(fs->db);
	/* The engine may have rolled back by itself: what it shows from now on is the last commit, surely. */
	if (r)
		return lk_batch_poison(fs, r, true);
	batch->open = false;
	batch->written = batch->standing;
	batch->counters_dirty = 0;
	batch->rows = 0;
	batch->dirty_since = 0;
	batch->commit_due = false;
	atomic_fetch_add(&batch->commits, 1);
	lk_alloc_written(fs->alloc);
	return 0;
}

/* What was written is durable, or the log's sync has failed. */
static int finish_batch(struct lk_fs *fs, int r)
{
	struct lk_batch *batch = fs->batch;
	if (atomic_load(&fs->poisoned))
		return LINKFS_EPOISONED;
	if (r)
		return lk_batch_poison(fs, r, true);
	if (batch->durable == batch->written) /* somebody needed it under the lock meanwhile */
		return 0;
	batch->durable = batch->written;
	lk_alloc_committed(fs->alloc);
	return 0;
}

int lk_batch_commit(struct lk_fs *fs)
{
	struct lk_batch *batch = fs->batch;
	int r = atomic_load(&fs->poisoned) ? LINKFS_EPOISONED : 0;
	/* A leader syncs the log: what it wrote is durable before anything follows it there. */
	if (r == 0 && batch->durable != batch->written)
		r = finish_batch(fs, fs->db->ops->sync(fs->db));
	if (r || !lk_batch_waits(batch))
		return r;
	r = write_batch(fs);
	return r ? r : finish_batch(fs, fs->db->ops->sync(fs->db));
}

int lk_batch_move_log(struct lk_fs *fs)
{
	int r = lk_batch_close(fs);
	if (r == 0)
		(void)fs->db->ops->checkpoint(fs->db, true);
	return r;
}

uint64_t lk_batch_log_bytes(struct lk_fs *fs)
{
	struct lk_db_usage usage = {0};
	return fs->db->ops->usage(fs->db, &usage) == 0 ? usage.wal_bytes : 0;
}

static void wake_keeper(struct lk_batch *batch)
{
	if (!batch->keeper_idle)
		return;
	batch->keeper_idle = false;
	(void)pthread_cond_signal(&batch->keeper);
}

/* After a commit, under the lock: a WAL that has grown is moved into the database. */
static void after_commit(struct lk_fs *fs)
{
	struct lk_batch *batch = fs->batch;
	uint64_t wal = lk_batch_log_bytes(fs);
	if (wal > LK_WAL_HARD) {
		/* Beside us it cannot be emptied while commits keep coming: the engine needs a moment without us, and without who came while
		 * the log was synced. */
		(void)lk_batch_move_log(fs);
	} else if (wal > LK_WAL_CHECKPOINT) {
		batch->checkpoint_due = true;
		lk_keeper_wake(fs);
	}
}

/* Under the lock, which it gives up meanwhile: the leader waits for as many callers as the last commit served, and lets in those
 * that stand before the lock, for at most as long as a commit takes. A caller who is always alone never waits. */
static void gather(struct lk_fs *fs)
{
	struct lk_batch *batch = fs->batch;
	const uint64_t pause = 50000;
	uint64_t now = lk_clock_monotonic_ns(), end = now + LK_MIN(batch->commit_ns, LK_GATHER_MAX_NS);
	while (now < end && !atomic_load(&fs->poisoned)) {
		bool coming = atomic_load_explicit(&batch->coming, memory_order_relaxed) > 0;
		if (!coming && batch->waiting + 1 >= batch->group)
			return;
		struct timespec at = lk_batch_time(coming ? LK_MIN(now + pause, end) : end);
		(void)pthread_cond_timedwait(&batch->joined, &fs->lock, &at);
		now = lk_clock_monotonic_ns();
	}
}

/* Under the lock, given up while the log is synced. */
static int lead_log(struct lk_fs *fs)
{
	int r = lk_batch_waits(fs->batch) ? write_batch(fs) : 0;
	if (r || fs->batch->durable == fs->batch->written)
		return r;
	(void)pthread_mutex_unlock(&fs->lock);
	r = fs->db->ops->sync(fs->db);
	lk_batch_lock(fs);
	return finish_batch(fs, r);
}

/* The leader's part, under the lock. */
static int lead(struct lk_fs *fs)
{
	struct lk_batch *batch = fs->batch;
	batch->committing = true;
	(void)pthread_mutex_unlock(&fs->lock);
	int r = lk_data_sync(fs->data);
	if (r == 0 && lk_data_dirty_bytes(fs->data) > LK_SYNC_REST)
		r = lk_data_sync(fs->data);
	lk_batch_lock(fs);
	if (r == 0)
		gather(fs);
	if (atomic_load(&fs->poisoned)) {
		r = LINKFS_EPOISONED;
	} else if (r) {
		(void)lk_batch_poison(fs, r, false);
	} else {
		uint64_t start = lk_clock_monotonic_ns();
		batch->group = batch->waiting + 1;
		r = lead_log(fs);
		batch->commit_ns = (batch->commit_ns * 3 + (lk_clock_monotonic_ns() - start)) / 4;
	}
	batch->committing = false;
	(void)pthread_cond_broadcast(&batch->done);
	return r;
}

int lk_txn_commit(struct lk_fs *fs)
{
	struct lk_batch *batch = fs->batch;
	int r = 0;
	bool led = false;
	lk_batch_lock(fs);
	uint64_t target = batch->standing;
	for (;;) {
		if (atomic_load(&fs->poisoned)) {
			r = LINKFS_EPOISONED;
			break;
		}
		if (batch->durable >= target)
			break;
		if (batch->committing) {
			batch->waiting++;
			(void)pthread_cond_signal(&batch->joined);
			(void)pthread_cond_wait(&batch->done, &fs->lock);
			batch->waiting--;
			continue;
		}
		r = lead(fs);
		led = r == 0;
		if (led)
			after_commit(fs);
		break;
	}
	(void)pthread_mutex_unlock(&fs->lock);
	if (led)
		lk_alloc_discard(fs->alloc);
	return r;
}

int lk_txn_settle(struct lk_fs *fs)
{
	lk_batch_lock(fs);
	int r = atomic_load(&fs->poisoned) ? 0 : lk_batch_commit(fs);
	if (r)
		(void)pthread_mutex_unlock(&fs->lock);
	return r;
}

bool lk_batch_stands(struct lk_fs *fs, const struct lk_op *op)
{
	struct lk_batch *batch = fs->batch;
	batch->standing++;
	batch->rows += op->rows;
	uint64_t dirty = lk_data_dirty_bytes(fs->data);
	if (!batch->dirty_since) {
		batch->dirty_since = lk_clock_monotonic_ns();
		wake_keeper(batch);
	}
	if (!batch->committing && !batch->commit_due && (batch->rows >= LK_BATCH_ROWS || dirty >= LK_BATCH_DATA)) {
		batch->commit_due = true;
		lk_keeper_wake(fs);
	}
	return batch->rows >= LK_BATCH_ROWS_MAX || dirty >= LK_BATCH_DATA_MAX;
}

static int conds_init(struct lk_batch *batch)
{
	pthread_cond_t *conds[] = {&batch->keeper, &batch->joined, &batch->done};
	pthread_condattr_t attr;
	if (pthread_condattr_init(&attr))
		return LINKFS_ENOMEM;
	int r = pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	size_t n = 0;
	while (r == 0 && n < LK_ARRAY_LEN(conds)) {
		r = pthread_cond_init(conds[n], &attr);
		n += r == 0;
	}
	(void)pthread_condattr_destroy(&attr);
	while (r && n)
		(void)pthread_cond_destroy(conds[--n]);
	return r ? LINKFS_ENOMEM : 0;
}

static void batch_free(struct lk_fs *fs)
{
	struct lk_batch *batch = fs->batch;
	(void)pthread_cond_destroy(&batch->keeper);
	(void)pthread_cond_destroy(&batch->joined);
	(void)pthread_cond_destroy(&batch->done);
	lk_buf_done(&batch->scratch);
	lk_buf_done(&batch->spare_log);
	free(batch);
	fs->batch = NULL;
}

int lk_txn_start(struct lk_fs *fs)
{
	struct lk_batch *batch = calloc(1, sizeof(*batch));
	if (!batch)
		return LINKFS_ENOMEM;
	int r = conds_init(batch);
	if (r) {
		free(batch);
		return r;
	}
	fs->batch = batch;
	batch->open = fs->open_flags & LK_FS_MOMENT;
	r = lk_counters_load(fs);
	if (r) {
		batch_free(fs);
		return r;
	}
	if (!(fs->open_flags & LINKFS_OPEN_READONLY))
		r = lk_keeper_start(fs);
	if (r)
		batch_free(fs);
	return r;
}

int lk_txn_stop(struct lk_fs *fs)
{
	struct lk_batch *batch = fs->batch;
	if (!batch)
		return 0;
	lk_keeper_stop(fs);
	int r = 0;
	if (!(fs->open_flags & LINKFS_OPEN_READONLY))
		r = lk_txn_commit(fs);
	/* Only reads can be left in it: what stood is committed, or lost to the poison. */
	if (batch->open)
		(void)fs->db->ops->rollback(fs->db);
	batch->open = false;
	if (r == 0 && !(fs->open_flags & LINKFS_OPEN_READONLY))
		(void)fs->db->ops->checkpoint(fs->db, true);
	batch_free(fs);
	return r;
}

uint64_t lk_txn_commits(const struct lk_fs *fs)
{
	return atomic_load(&fs->batch->commits);
}
