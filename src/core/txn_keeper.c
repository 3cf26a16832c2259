/*
 * txn_keeper.c - the keeper: the thread that commits when the interval is over or a batch has grown, moves the log into the database (T2, T4),
 * and goes on with what callers leave: kept files whose time is over, deletions of snapshots that were cut off.
 * Layer: core.
 */
#include "txn_impl.h"

#include "deleted.h"
#include "snapshot.h"

void lk_keeper_wake(struct lk_fs *fs)
{
	(void)pthread_cond_signal(&fs->batch->keeper);
}

/* Under the lock; sleeps until deadline_ns on the monotonic clock, or for good when it is 0. */
static void keeper_sleep(struct lk_fs *fs, uint64_t deadline_ns)
{
	struct lk_batch *batch = fs->batch;
	if (!deadline_ns) {
		batch->keeper_idle = true;
		(void)pthread_cond_wait(&batch->keeper, &fs->lock);
		batch->keeper_idle = false;
		return;
	}
	struct timespec at = lk_batch_time(deadline_ns);
	(void)pthread_cond_timedwait(&batch->keeper, &fs->lock, &at);
}

/* A log of which all is in the database begins anew with the next commit, whose caller would wait for one sync more: the head of a log is
 * durable before what follows it is written. So that commit is made now, of a row that is written as it was, unless somebody is about to.
 * Under the lock, given up meanwhile. */
static void begin_log(struct lk_fs *fs)
{
	struct lk_batch *batch = fs->batch;
	if (atomic_load(&fs->poisoned) || batch->open || batch->dirty_since || lk_batch_open(fs) != 0)
		return;
	if (lk_batch_log_bytes(fs) != 0 || fs->db->ops->reserve(fs->db, LK_ROW_PAGES, false) != 0) {
		(void)lk_batch_close(fs);
		return;
	}
	batch->counters_dirty |= 1u << LK_COUNTER_EPOCH;
	batch->standing++;
	(void)pthread_mutex_unlock(&fs->lock);
	(void)lk_txn_commit(fs);
	(void)pthread_mutex_lock(&fs->lock);
}

static void keeper_checkpoint(struct lk_fs *fs)
{
	struct lk_batch *batch = fs->batch;
	batch->checkpoint_due = false;
	int r = LINKFS_EAGAIN;
	if (!batch->checkpoint_slice) {
		(void)pthread_mutex_unlock(&fs->lock);
		r = fs->db->ops->checkpoint(fs->db, false);
		(void)pthread_mutex_lock(&fs->lock);
	}
	if (r == LINKFS_EAGAIN) {
		batch->checkpoint_slice = true;
		(void)lk_batch_move_log(fs);
	}
	begin_log(fs);
}

/* The earlier of two times, of which 0 is never. */
static uint64_t earlier(uint64_t a, uint64_t b)
{
	return a && b ? LK_MIN(a, b) : a + b;
}

static void *keeper_main(void *arg)
{
	struct lk_fs *fs = arg;
	struct lk_batch *batch = fs->batch;
	uint64_t interval = (uint64_t)fs->commit_interval_ms * 1000000u;
	(void)pthread_mutex_lock(&fs->lock);
	while (!batch->stopping) {
		uint64_t due = batch->dirty_since ? batch->dirty_since + interval : 0;
		if (due && (batch->commit_due || lk_clock_monotonic_ns() >= due)) {
			(void)pthread_mutex_unlock(&fs->lock);
			(void)lk_txn_commit(fs);
			(void)pthread_mutex_lock(&fs->lock);
			continue;
		}
		if (batch->checkpoint_due && !atomic_load(&fs->poisoned)) {
			keeper_checkpoint(fs);
			continue;
		}
		if (fs->deleted_due && !atomic_load(&fs->poisoned) && lk_clock_monotonic_ns() >= fs->deleted_due) {
			(void)pthread_mutex_unlock(&fs->lock);
			lk_deleted_expire(fs);
			(void)pthread_mutex_lock(&fs->lock);
			continue;
		}
		if (atomic_load(&fs->snapshots_due) && !atomic_load(&fs->poisoned)) {
			(void)pthread_mutex_unlock(&fs->lock);
			lk_snapshot_clean(fs);
			(void)pthread_mutex_lock(&fs->lock);
			continue;
		}
		keeper_sleep(fs, earlier(due, atomic_load(&fs->poisoned) ? 0 : fs->deleted_due));
	}
	(void)pthread_mutex_unlock(&fs->lock);
	return NULL;
}

int lk_keeper_start(struct lk_fs *fs)
{
	struct lk_batch *batch = fs->batch;
	if (pthread_create(&batch->keeper_thread, NULL, keeper_main, fs))
		return LINKFS_EAGAIN;
	batch->keeper_running = true;
	return 0;
}

void lk_keeper_stop(struct lk_fs *fs)
{
	struct lk_batch *batch = fs->batch;
	if (!batch->keeper_running)
		return;
	(void)pthread_mutex_lock(&fs->lock);
	batch->stopping = true;
	lk_keeper_wake(fs);
	(void)pthread_mutex_unlock(&fs->lock);
	(void)pthread_join(batch->keeper_thread, NULL);
	batch->keeper_running = false;
}
