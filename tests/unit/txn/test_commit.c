/*
 * test_commit.c - T2 and T4: the order of a commit and who holds the lock when, group commit, the interval, idleness, poison.
 * lk_data_sync, lk_alloc_committed and lk_alloc_discard are wrapped at link time, the database by db_fault.
 */
#include "test.h"

#include "db_fault.h"
#include "inode.h"
#include "root_uid.h"
#include "txn_impl.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int __real_lk_data_sync(struct lk_data *data);
int __wrap_lk_data_sync(struct lk_data *data);
int __real_lk_alloc_flush(struct lk_alloc *alloc);
int __wrap_lk_alloc_flush(struct lk_alloc *alloc);
void __real_lk_alloc_committed(struct lk_alloc *alloc);
void __wrap_lk_alloc_committed(struct lk_alloc *alloc);
void __real_lk_alloc_discard(struct lk_alloc *alloc);
void __wrap_lk_alloc_discard(struct lk_alloc *alloc);

static struct lk_fs *watched;
static _Atomic long syncs;
static _Atomic int fail_sync; /* countdown: the call that makes it 0 fails */
static _Atomic long sync_ms;
static _Atomic bool gate; /* no sync ends while it is closed */
static pthread_mutex_t log_mutex = PTHREAD_MUTEX_INITIALIZER;
static char log_text[256];
static bool logging;

/* Upper case: the volume's lock was held. */
static void note(char letter)
{
	(void)pthread_mutex_lock(&log_mutex);
	if (logging && watched) {
		bool free_lock = pthread_mutex_trylock(&watched->lock) == 0;
		if (free_lock)
			(void)pthread_mutex_unlock(&watched->lock);
		size_t n = strlen(log_text);
		if (n + 1 < sizeof(log_text))
			log_text[n] = (char)(free_lock ? letter : letter - 'a' + 'A');
	}
	(void)pthread_mutex_unlock(&log_mutex);
}

int __wrap_lk_data_sync(struct lk_data *data)
{
	syncs++;
	note('s');
	if (sync_ms)
		(void)usleep((useconds_t)(sync_ms * 1000));
	while (gate)
		(void)usleep(1000);
	if (fail_sync && --fail_sync == 0)
		return LINKFS_EIO;
	return __real_lk_data_sync(data);
}

int __wrap_lk_alloc_flush(struct lk_alloc *alloc)
{
	note('f');
	return __real_lk_alloc_flush(alloc);
}

void __wrap_lk_alloc_committed(struct lk_alloc *alloc)
{
	note('c');
	__real_lk_alloc_committed(alloc);
}

void __wrap_lk_alloc_discard(struct lk_alloc *alloc)
{
	note('d');
	__real_lk_alloc_discard(alloc);
}

static char *dir;
static struct lk_db *fault;

static struct lk_fs *open_fs(uint32_t interval_ms)
{
	struct lk_fs *fs;
	assert_int_equal(lk_db_open_sqlite(dir, 0, &fault, NULL), 0);
	assert_int_equal(lk_db_fault_open(fault, &fault), 0);
	assert_int_equal(lk_fs_open_on(fault, dir, 0, interval_ms, &fs, NULL), 0);
	watched = fs;
	return fs;
}

static int setup(void **state)
{
	(void)state;
	dir = lk_test_mkdir();
	syncs = sync_ms = 0;
	fail_sync = 0;
	logging = false;
	memset(log_text, 0, sizeof(log_text));
	return lk_fs_create(dir, NULL, NULL);
}

static int teardown(void **state)
{
	(void)state;
	watched = NULL;
	lk_test_rmdir(dir);
	return 0;
}

static void order(void **state)
{
	(void)state;
	struct lk_fs *fs = open_fs(600000);
	assert_int_equal(set_uid(fs, 1, 0), 0);
	logging = true;
	assert_int_equal(lk_txn_commit(fs), 0);
	logging = false;
	/* Data without the lock, data with it, groups, COMMIT (counted below), blocks released, discard without the lock. */
	assert_string_equal(log_text, "sSFCd");
	assert_int_equal(lk_db_fault_seen(fault).commits, 1);
	assert_int_equal(lk_txn_commits(fs), 1);
	assert_int_equal(lk_fs_close(fs), 0);
}

static void nothing_to_commit(void **state)
{
	(void)state;
	struct lk_fs *fs = open_fs(20);
	(void)get_uid(fs);
	struct lk_fault_seen before = lk_db_fault_seen(fault);
	assert_int_equal(lk_txn_commit(fs), 0);
	/* An op that is undone, or writes nothing, leaves nothing to commit. */
	assert_int_equal(set_uid(fs, 5, LINKFS_EPERM), LINKFS_EPERM);
	struct lk_op op;
	assert_int_equal(lk_op_begin(fs, &op, LK_OP_WRITE), 0);
	assert_int_equal(lk_op_end(&op, 0), 0);
	assert_int_equal(lk_txn_commit(fs), 0);
	assert_int_equal(syncs, 0);
	assert_int_equal(lk_db_fault_seen(fault).commits, 0);
	before = lk_db_fault_seen(fault);
	(void)usleep(300000);
	/* The keeper sleeps: no call at all. */
	assert_int_equal(lk_db_fault_seen(fault).calls, before.calls);
	assert_int_equal(lk_db_fault_seen(fault).begins, before.begins);
	assert_int_equal(syncs, 0);
	assert_int_equal(lk_fs_close(fs), 0);
}

static void interval(void **state)
{
	(void)state;
	struct lk_fs *fs = open_fs(50);
	assert_int_equal(set_uid(fs, 3, 0), 0);
	for (int i = 0; i < 500 && !lk_txn_commits(fs); i++)
		(void)usleep(10000);
	assert_int_equal(lk_txn_commits(fs), 1);
	/* And again after a pause in which it slept without a deadline. */
	(void)usleep(100000);
	assert_int_equal(set_uid(fs, 4, 0), 0);
	for (int i = 0; i < 500 && lk_txn_commits(fs) < 2; i++)
		(void)usleep(10000);
	assert_int_equal(lk_txn_commits(fs), 2);
	assert_int_equal(lk_fs_close(fs), 0);
}

static _Atomic int64_t done_ops;

/* When no op has ended for a while. */
static void *open_gate(void *arg)
{
	int64_t before = -1;
	for (int still = 0; still < 10; before = done_ops) {
		(void)usleep(30000);
		still = done_ops > LK_BATCH_ROWS && done_ops == before ? still + 1 : 0;
	}
	gate = false;
	return arg;
}

/* A batch that has grown is committed without anybody's asking, and meanwhile ops go on; but not without bound. */
static void a_grown_batch(void **state)
{
	(void)state;
	struct lk_fs *fs = open_fs(3600000);
	int64_t ops = 0;
	for (; ops < LK_BATCH_ROWS - 1; ops++)
		assert_int_equal(set_uid(fs, ops, 0), 0);
	(void)usleep(50000);
	assert_int_equal(syncs, 0);
	sync_ms = 400;
	assert_int_equal(set_uid(fs, ops++, 0), 0);
	for (int i = 0; i < 1000 && !syncs; i++)
		(void)usleep(5000);
	assert_int_equal(syncs, 1);
	for (int i = 0; i < 100; i++)
		assert_int_equal(set_uid(fs, ops++, 0), 0);
	assert_int_equal(lk_txn_commits(fs), 0);
	for (int i = 0; i < 1000 && !lk_txn_commits(fs); i++)
		(void)usleep(5000);
	assert_int_equal(lk_txn_commits(fs), 1);

	/* A commit that takes longer than the rest of the batch: who fills it waits. */
	pthread_t thread;
	sync_ms = 0;
	done_ops = 0;
	gate = true;
	assert_int_equal(pthread_create(&thread, NULL, open_gate, NULL), 0);
	for (ops = 0; lk_txn_commits(fs) == 1 && ops < 2 * LK_BATCH_ROWS_MAX; done_ops = ++ops)
		assert_int_equal(set_uid(fs, ops, 0), 0);
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_int_equal(ops, LK_BATCH_ROWS_MAX);
	assert_int_equal(lk_txn_commits(fs), 2);
	assert_int_equal(get_uid(fs), ops - 1);
	/* Neither the keeper nor anybody else has more to commit. */
	long before = syncs;
	(void)usleep(50000);
	assert_int_equal(syncs, before);
	assert_int_equal(lk_txn_commits(fs), 2);
	assert_int_equal(lk_fs_close(fs), 0);
}

#define THREADS 8
#define ROUNDS 40

static void *committer(void *arg)
{
	struct lk_fs *fs = arg;
	for (int i = 0; i < ROUNDS; i++) {
		uint64_t commits = lk_txn_commits(fs);
		if (set_uid(fs, i, 0) || lk_txn_commit(fs) || lk_txn_commits(fs) == commits)
			return arg;
	}
	return NULL;
}

static void group(void **state)
{
	(void)state;
	struct lk_fs *fs = open_fs(600000);
	pthread_t threads[THREADS];
	sync_ms = 1;
	for (int i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, committer, fs), 0);
	for (int i = 0; i < THREADS; i++) {
		void *result;
		assert_int_equal(pthread_join(threads[i], &result), 0);
		assert_null(result);
	}
	/* Callers that wait at once share: far fewer commits than callers. */
	assert_true(lk_txn_commits(fs) <= THREADS * ROUNDS / 2);
	assert_true(lk_txn_commits(fs) >= ROUNDS);
	assert_int_equal(lk_fs_close(fs), 0);
}

static void check_poisoned(struct lk_fs *fs, int64_t uid)
{
	struct lk_op op;
	uint64_t commits = lk_db_fault_seen(fault).commits;
	assert_true(atomic_load(&fs->poisoned));
	assert_int_equal(lk_txn_commit(fs), LINKFS_EPOISONED);
	assert_int_equal(lk_txn_commit(fs), LINKFS_EPOISONED);
	assert_int_equal(lk_op_begin(fs, &op, LK_OP_WRITE), LINKFS_EROFS);
	assert_int_equal(get_uid(fs), uid);
	assert_int_equal(lk_db_fault_seen(fault).commits, commits);
	assert_int_equal(lk_fs_close(fs), LINKFS_EPOISONED);
}

static void poison_by_data_sync(void **state)
{
	(void)state;
	for (int which = 1; which <= 2; which++) {
		struct lk_fs *fs = open_fs(600000);
		assert_int_equal(set_uid(fs, 10, 0), 0);
		assert_int_equal(lk_txn_commit(fs), 0);
		assert_int_equal(set_uid(fs, 11, 0), 0);
		fail_sync = which;
		assert_int_equal(lk_txn_commit(fs), LINKFS_EIO);
		/* Nothing was lost in memory: readers go on with what they saw. */
		check_poisoned(fs, 11);
		fs = open_fs(600000);
		assert_int_equal(get_uid(fs), 10);
		assert_int_equal(lk_txn_commit(fs), 0);
		assert_int_equal(lk_fs_close(fs), 0);
	}
}

static void poison_by_commit(void **state)
{
	(void)state;
	struct lk_fs *fs = open_fs(600000);
	assert_int_equal(set_uid(fs, 10, 0), 0);
	assert_int_equal(lk_txn_commit(fs), 0);
	assert_int_equal(set_uid(fs, 11, 0), 0);
	/* The counters are clean: the root's row, then COMMIT. */
	lk_db_fault_plan(fault, &(struct lk_fault_plan){.which = LK_FAULT_FORWARD, .n = 2, .code = LINKFS_EIO});
	assert_int_equal(lk_txn_commit(fs), LINKFS_EIO);
	assert_string_equal(lk_db_fault_seen(fault).in, "commit");
	lk_db_fault_plan(fault, NULL);
	check_poisoned(fs, 10);
	fs = open_fs(600000);
	assert_int_equal(get_uid(fs), 10);
	assert_int_equal(lk_fs_close(fs), 0);
}

/* COMMIT fails, and then the rollback too: half of what waited is in the database's transaction, and nobody may see it. */
static void poison_without_rollback(void **state)
{
	(void)state;
	struct lk_fs *fs = open_fs(600000);
	struct lk_op op;
	assert_int_equal(set_uid(fs, 10, 0), 0);
	assert_int_equal(lk_txn_commit(fs), 0);
	assert_int_equal(set_uid(fs, 11, 0), 0);
	lk_db_fault_plan(fault, &(struct lk_fault_plan){.which = LK_FAULT_COMMIT | LK_FAULT_ROLLBACK,
							.n = 1,
							.code = LINKFS_EIO,
							.all_later = true});
	assert_int_equal(lk_txn_commit(fs), LINKFS_EIO);
	assert_int_equal(lk_db_fault_seen(fault).failures, 2);
	for (int i = 0; i < 2; i++)
		assert_int_equal(lk_op_begin(fs, &op, 0), LINKFS_EIO);
	assert_int_equal(lk_op_begin(fs, &op, LK_OP_WRITE), LINKFS_EROFS);
	/* The last commit's state, as soon as it can be had. */
	lk_db_fault_plan(fault, NULL);
	check_poisoned(fs, 10);
	fs = open_fs(600000);
	assert_int_equal(get_uid(fs), 10);
	assert_int_equal(lk_fs_close(fs), 0);
}

static int no_space_once(struct lk_db *db, uint32_t pages, bool freeing)
{
	(void)db;
	(void)pages;
	(void)freeing;
	return LINKFS_ENOSPC;
}

/* T4: no space, even after a commit and a checkpoint: an op says so at its first write, with no effect, and reads and
 * other errors are as ever. */
static void no_space(void **state)
{
	(void)state;
	struct lk_fs *fs = open_fs(600000);
	struct lk_db_ops ops = *fs->db->ops;
	const struct lk_db_ops *old = fs->db->ops;
	ops.reserve = no_space_once;
	fs->db->ops = &ops;
	assert_int_equal(set_uid(fs, 1, 0), LINKFS_ENOSPC);
	assert_int_equal(lk_txn_commits(fs), 0);
	fs->db->ops = old;
	assert_int_equal(set_uid(fs, 1, 0), 0);
	fs->db->ops = &ops;
	/* What was proved ahead is used up; then what stands is committed, to make room, and there is none. */
	int64_t uid = 1;
	while (uid < 10000 && set_uid(fs, uid + 1, 0) == 0)
		uid++;
	assert_true(uid < 10000);
	assert_int_equal(lk_txn_commits(fs), 1);
	assert_int_equal(get_uid(fs), uid);
	assert_int_equal(set_uid(fs, 1, 0), LINKFS_ENOSPC);
	assert_int_equal(lk_txn_commits(fs), 1);
	struct lk_op op;
	struct lk_inode inode;
	assert_int_equal(lk_op_begin(fs, &op, LK_OP_WRITE), 0);
	assert_int_equal(lk_inode_get(&op, 77, &inode), LINKFS_ESTALE);
	assert_int_equal(lk_op_end(&op, LINKFS_ESTALE), LINKFS_ESTALE);
	fs->db->ops = old;
	assert_int_equal(set_uid(fs, 2, 0), 0);
	assert_int_equal(lk_fs_close(fs), 0);
}

struct observed {
	int calls;
	size_t count;
	uint64_t ino;
	char name[16];
};

static void observe(void *arg, const struct linkfs_event *events, size_t count)
{
	struct observed *o = arg;
	o->calls++;
	o->count += count;
	o->ino = events[count - 1].ino;
	if (events[count - 1].name)
		memcpy(o->name, events[count - 1].name, events[count - 1].name_len + 1);
	/* No lock is held: a read works. */
	(void)get_uid(watched);
}

static void events(void **state)
{
	(void)state;
	struct lk_fs *fs = open_fs(600000);
	struct observed o = {0};
	struct lk_op op;
	fs->observer = observe;
	fs->observer_arg = &o;
	for (int i = 0; i < 3; i++) {
		assert_int_equal(lk_op_begin(fs, &op, LK_OP_WRITE | (i == 1 ? LK_OP_SILENT : 0)), 0);
		for (uint64_t n = 0; n < 20; n++)
			assert_int_equal(lk_op_event(&op, LINKFS_EVENT_ENTRY, n, "name", 4), 0);
		assert_int_equal(o.calls, 0);
		(void)lk_op_end(&op, i == 0 ? LINKFS_EPERM : 0);
		assert_int_equal(o.calls, i == 2);
	}
	assert_int_equal(o.count, 20);
	assert_int_equal(o.ino, 19);
	assert_string_equal(o.name, "name");
	assert_int_equal(lk_fs_close(fs), 0);
}

/* Bytes of records stay while the arena grows by far more than its first chunk. */
static void arena(void **state)
{
	(void)state;
	enum { ROWS = 100 };
	struct lk_fs *fs = open_fs(600000);
	struct lk_op op;
	char text[3000];
	struct lk_inline rows[ROWS];
	assert_int_equal(lk_op_begin(fs, &op, LK_OP_WRITE), 0);
	for (int64_t i = 0; i < ROWS; i++) {
		memset(text, (int)i, sizeof(text));
		struct lk_inline row = {.ino = 100 + i, .content = {text, i % 3 ? sizeof(text) : 10}};
		assert_int_equal(lk_txn_put(&op, LK_T_INLINE, &row), 0);
	}
	for (int64_t i = 0; i < ROWS; i++) {
		struct lk_inline key = {.ino = 100 + i};
		assert_int_equal(lk_txn_get(&op, LK_T_INLINE, &key, &rows[i]), 0);
	}
	for (int i = 0; i < ROWS; i++) {
		assert_int_equal(rows[i].content.len, i % 3 ? sizeof(text) : 10);
		for (size_t b = 0; b < rows[i].content.len; b++)
			assert_int_equal(((const unsigned char *)rows[i].content.p)[b], i);
	}
	assert_int_equal(lk_op_end(&op, 0), 0);
	assert_int_equal(lk_fs_close(fs), 0);
}

/* What no op may do, and what it answers then; nothing of it stays. */
static void refusals(void **state)
{
	(void)state;
	struct lk_fs *fs = open_fs(600000);
	struct lk_op op;
	int64_t inodes = 0, value = -1;
	struct lk_inline row = {.ino = 99};
	assert_int_equal(lk_op_begin(fs, &op, 0), 0);
	assert_int_equal(lk_txn_count(&op, LK_COUNTER_INODES, 0, &inodes), 0);
	assert_int_equal(lk_txn_count(&op, LK_COUNTER_INODES, 1, &value), LINKFS_EROFS);
	assert_int_equal(lk_txn_count(&op, 0, 0, &value), LINKFS_EINVAL);
	assert_int_equal(lk_txn_count(&op, LK_COUNTERS, 0, &value), LINKFS_EINVAL);
	assert_int_equal(lk_txn_put(&op, LK_T_INLINE, &row), LINKFS_EROFS);
	assert_null(lk_op_alloc(&op, SIZE_MAX / 2));
	assert_int_equal(lk_op_end(&op, 0), 0);
	assert_int_equal(lk_op_begin(fs, &op, LK_OP_WRITE), 0);
	assert_int_equal(lk_txn_count(&op, LK_COUNTER_INODES, INT64_MAX, &value), LINKFS_ECORRUPT);
	assert_int_equal(lk_txn_count(&op, LK_COUNTER_INODES, -inodes - 1, &value), LINKFS_ECORRUPT);
	assert_int_equal(value, -1);
	op.view = 1;
	assert_int_equal(lk_txn_put(&op, LK_T_INLINE, &row), LINKFS_EROFS);
	op.view = LK_VIEW_LIVE;
	assert_int_equal(lk_txn_put(&op, LK_T_INLINE, &row), 0);
	/* Its space was proved when it began. */
	assert_int_equal(lk_op_need(&op, 100000), 0);
	assert_int_equal(lk_op_end(&op, LINKFS_EPERM), LINKFS_EPERM);
	assert_int_equal(lk_op_begin(fs, &op, LK_OP_WRITE), 0);
	assert_int_equal(lk_txn_count(&op, LK_COUNTER_INODES, 0, &value), 0);
	assert_int_equal(value, inodes);
	assert_int_equal(lk_txn_get(&op, LK_T_INLINE, &row, &row), LINKFS_ENOENT);
	/* Poisoned in its middle, it does not stand. */
	assert_int_equal(lk_txn_put(&op, LK_T_INLINE, &row), 0);
	atomic_store(&fs->poisoned, true);
	assert_int_equal(lk_txn_put(&op, LK_T_ORPHAN, &(struct lk_orphan){.ino = 3}), 0);
	assert_int_equal(lk_op_end(&op, 0), LINKFS_EROFS);
	assert_int_equal(lk_fs_close(fs), LINKFS_EPOISONED);
}

static int snapshot_op(struct lk_fs *fs, struct lk_snapshot *add, int64_t mark, int64_t drop, bool after_a_change)
{
	struct lk_op op;
	bool more = true;
	struct lk_inline row = {.ino = 99};
	int r = lk_op_begin(fs, &op, LK_OP_WRITE);
	if (r)
		return r;
	if (after_a_change)
		r = lk_txn_put(&op, LK_T_INLINE, &row);
	if (r == 0 && add)
		r = lk_txn_snapshot_add(&op, add);
	if (r == 0 && mark)
		r = lk_txn_snapshot_mark(&op, mark);
	if (r == 0 && drop)
		r = lk_txn_snapshot_drop(&op, drop, 10, &(uint32_t){0}, &more);
	return lk_op_end(&op, r);
}

/* Snapshots in the wrong order, or that are not there; one that is being deleted does not count, also after opening. */
static void snapshot_refusals(void **state)
{
	(void)state;
	struct lk_fs *fs = open_fs(600000);
	struct lk_snapshot a = {.name = {"a", 1}}, b = {.name = {"b", 1}};
	assert_int_equal(snapshot_op(fs, &a, 0, 0, true), LINKFS_EINVAL);
	assert_int_equal(fs->newest_snapshot, 0);
	assert_int_equal(snapshot_op(fs, &a, 0, 0, false), 0);
	assert_int_equal(snapshot_op(fs, &b, 0, 0, false), 0);
	assert_true(b.epoch > a.epoch);
	assert_int_equal(snapshot_op(fs, NULL, b.epoch + 5, 0, false), LINKFS_ENOENT);
	assert_int_equal(snapshot_op(fs, NULL, 0, b.epoch + 5, false), LINKFS_ENOENT);
	assert_int_equal(snapshot_op(fs, NULL, 0, a.epoch, false), LINKFS_EINVAL); /* not marked */
	assert_int_equal(snapshot_op(fs, NULL, b.epoch, 0, false), 0);
	assert_int_equal(fs->newest_snapshot, a.epoch);
	assert_int_equal(lk_fs_close(fs), 0);
	fs = open_fs(600000);
	assert_int_equal(fs->newest_snapshot, a.epoch);
	/* The keeper goes on with it by itself, and may be the first. */
	int dropped = snapshot_op(fs, NULL, 0, b.epoch, false);
	assert_true(dropped == 0 || dropped == LINKFS_ENOENT);
	assert_int_equal(snapshot_op(fs, NULL, a.epoch, 0, false), 0);
	assert_int_equal(snapshot_op(fs, NULL, 0, a.epoch, false), 0);
	assert_int_equal(fs->newest_snapshot, 0);
	assert_int_equal(lk_fs_close(fs), 0);
}

#define UNIT(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		UNIT(order),
		UNIT(nothing_to_commit),
		UNIT(interval),
		UNIT(a_grown_batch),
		UNIT(group),
		UNIT(poison_by_data_sync),
		UNIT(poison_by_commit),
		UNIT(poison_without_rollback),
		UNIT(no_space),
		UNIT(events),
		UNIT(arena),
		UNIT(refusals),
		UNIT(snapshot_refusals),
	};
	return cmocka_run_group_tests_name("txn-commit", tests, NULL, NULL);
}
