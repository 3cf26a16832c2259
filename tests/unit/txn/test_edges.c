/*
 * test_edges.c - the batch at its edges: starting without memory or threads, counters that cannot be, an engine that fails to
 * begin, loses the transaction or cannot take it back, poison that comes while a leader syncs, bounds that make an op commit.
 * Threads and the data layer are wrapped at link time, the database by db_fault.
 */
#include "test.h"

#include "db_fault.h"
#include "inode.h"
#include "no_memory.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int __real_pthread_condattr_init(pthread_condattr_t *attr);
int __real_pthread_cond_init(pthread_cond_t *cond, const pthread_condattr_t *attr);
int __real_pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*start)(void *), void *arg);
int __real_lk_data_sync(struct lk_data *data);
uint64_t __real_lk_data_dirty_bytes(struct lk_data *data);
int __wrap_pthread_condattr_init(pthread_condattr_t *attr);
int __wrap_pthread_cond_init(pthread_cond_t *cond, const pthread_condattr_t *attr);
int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*start)(void *), void *arg);
int __wrap_lk_data_sync(struct lk_data *data);
uint64_t __wrap_lk_data_dirty_bytes(struct lk_data *data);

enum kind { MEMORY, COND_ATTR, COND, THREAD, KINDS };
/* Countdowns: the call that makes one 0 fails. */
static _Atomic long fail_attr, fail_cond, fail_thread;
static _Atomic long *const fail[KINDS] = {&fail_memory, &fail_attr, &fail_cond, &fail_thread};

static bool strikes(enum kind kind)
{
	return *fail[kind] > 0 && --*fail[kind] == 0;
}

int __wrap_pthread_condattr_init(pthread_condattr_t *attr)
{
	return strikes(COND_ATTR) ? ENOMEM : __real_pthread_condattr_init(attr);
}

int __wrap_pthread_cond_init(pthread_cond_t *cond, const pthread_condattr_t *attr)
{
	return strikes(COND) ? ENOMEM : __real_pthread_cond_init(cond, attr);
}

int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*start)(void *), void *arg)
{
	return strikes(THREAD) ? EAGAIN : __real_pthread_create(thread, attr, start, arg);
}

static _Atomic int syncing;    /* calls of lk_data_sync under way or done */
static _Atomic bool hold_sync; /* they wait */
static _Atomic bool much_data;

int __wrap_lk_data_sync(struct lk_data *data)
{
	syncing++;
	while (hold_sync)
		(void)usleep(1000);
	return __real_lk_data_sync(data);
}

uint64_t __wrap_lk_data_dirty_bytes(struct lk_data *data)
{
	return much_data ? UINT64_C(256) << 20 : __real_lk_data_dirty_bytes(data);
}

static char *dir;
static struct lk_db *fault;

static int try_open(struct lk_fs **out)
{
	struct linkfs_message why = {""};
	assert_int_equal(lk_db_open_sqlite(dir, 0, &fault, NULL), 0);
	assert_int_equal(lk_db_fault_open(fault, &fault), 0);
	return lk_fs_open_on(fault, dir, 0, 600000, out, &why);
}

static struct lk_fs *open_fs(void)
{
	struct lk_fs *fs = NULL;
	assert_int_equal(try_open(&fs), 0);
	return fs;
}

static int setup(void **state)
{
	(void)state;
	dir = lk_test_mkdir();
	for (int i = 0; i < KINDS; i++)
		*fail[i] = 0;
	syncing = 0;
	hold_sync = much_data = false;
	return lk_fs_create(dir, NULL, NULL);
}

static int teardown(void **state)
{
	(void)state;
	for (int i = 0; i < KINDS; i++)
		*fail[i] = 0;
	hold_sync = false;
	lk_test_rmdir(dir);
	return 0;
}

/* An op that writes a row. */
static int put_row(struct lk_fs *fs, int64_t ino)
{
	struct lk_op op;
	struct lk_inline row = {.ino = ino};
	int r = lk_op_begin(fs, &op, LK_OP_WRITE);
	return r ? r : lk_op_end(&op, lk_txn_put(&op, LK_T_INLINE, &row));
}

static int get_row(struct lk_fs *fs, int64_t ino)
{
	struct lk_op op;
	struct lk_inline row = {.ino = ino};
	int r = lk_op_begin(fs, &op, 0);
	return r ? r : lk_op_end(&op, lk_txn_get(&op, LK_T_INLINE, &row, &row));
}

/* Read-only, and a sync says so (T4); what a new opening finds is told by the rows. */
static void close_poisoned(struct lk_fs *fs)
{
	assert_true(atomic_load(&fs->poisoned));
	assert_int_equal(put_row(fs, 999), LINKFS_EROFS);
	assert_int_equal(lk_txn_commit(fs), LINKFS_EPOISONED);
	assert_int_equal(lk_fs_close(fs), LINKFS_EPOISONED);
}

/* Opening says why it cannot, holds nothing (the sanitizer looks), and works when it can. */
static void opening_at_any_lack(void **state)
{
	(void)state;
	static const int errors[KINDS] = {LINKFS_ENOMEM, LINKFS_ENOMEM, LINKFS_ENOMEM, LINKFS_EAGAIN};
	for (int kind = 0; kind < KINDS; kind++) {
		long failures = 0, n = 0;
		bool struck;
		do {
			struct lk_fs *fs = NULL;
			assert_int_equal(lk_db_open_sqlite(dir, 0, &fault, NULL), 0);
			*fail[kind] = ++n;
			int r = lk_fs_open_on(fault, dir, 0, 600000, &fs, NULL);
			struck = *fail[kind] == 0;
			*fail[kind] = 0;
			if (r) {
				assert_true(struck);
				assert_int_equal(r, errors[kind]);
				assert_null(fs);
				failures++;
			} else {
				assert_int_equal(put_row(fs, 100 + kind), 0);
				assert_int_equal(lk_fs_close(fs), 0);
			}
		} while (struck);
		assert_true(failures >= (kind == COND ? 3 : 1));
	}
	struct lk_fs *fs = open_fs();
	for (int kind = 0; kind < KINDS; kind++)
		assert_int_equal(get_row(fs, 100 + kind), 0);
	assert_int_equal(lk_fs_close(fs), 0);
}

static void opening_with_failing_reads(void **state)
{
	(void)state;
	uint64_t hits = 1, failures = 0;
	for (uint64_t n = 1; hits; n++) {
		struct lk_fs *fs = NULL;
		_Atomic uint64_t counted = 0;
		assert_int_equal(lk_db_open_sqlite(dir, 0, &fault, NULL), 0);
		assert_int_equal(lk_db_fault_open(fault, &fault), 0);
		lk_db_fault_plan(fault, &(struct lk_fault_plan){.which = LK_FAULT_GET | LK_FAULT_SCAN,
								.n = n,
								.code = LINKFS_EIO,
								.counter = &counted});
		int r = lk_fs_open_on(fault, dir, 0, 600000, &fs, NULL);
		hits = counted;
		failures += r != 0;
		if (r) {
			assert_int_equal(r, LINKFS_EIO);
			assert_null(fs);
			continue;
		}
		lk_db_fault_plan(fault, NULL);
		assert_int_equal(lk_fs_close(fs), 0);
	}
	/* The super record, groups, counters, both tables of inodes, snapshots. */
	assert_true(failures >= 6);
}

/* In the volume that nobody has open. */
static void edit(enum lk_table_id table, const void *put, const void *erase)
{
	struct lk_db *db;
	assert_int_equal(lk_db_open_sqlite(dir, 0, &db, NULL), 0);
	assert_int_equal(db->ops->begin(db), 0);
	if (erase)
		assert_int_equal(lk_db_erase(db, &lk_tables[table], erase), 0);
	if (put)
		assert_int_equal(lk_db_put(db, &lk_tables[table], put), 0);
	assert_int_equal(db->ops->commit(db), 0);
	lk_db_close(db);
}

static void counters_that_cannot_be(void **state)
{
	(void)state;
	struct lk_fs *fs = open_fs();
	int64_t good[LK_COUNTERS] = {0};
	struct lk_op op;
	assert_int_equal(lk_op_begin(fs, &op, 0), 0);
	for (int i = 1; i < LK_COUNTERS; i++)
		assert_int_equal(lk_txn_count(&op, i, 0, &good[i]), 0);
	assert_int_equal(lk_op_end(&op, 0), 0);
	assert_int_equal(lk_fs_close(fs), 0);
	const struct lk_counter counters[] = {
		{0, 1},
		{-3, 1},
		{LK_COUNTERS, 1},
		{INT64_MAX, 1},
		{LK_COUNTER_INODES, -1},
		{LK_COUNTER_NEXT_INO, (int64_t)LINKFS_ROOT_INO},
		{LK_COUNTER_NEXT_INO, LK_INO_MAX + 2},
		{LK_COUNTER_EPOCH, 0},
	};
	for (size_t i = 0; i < LK_ARRAY_LEN(counters); i++) {
		const struct lk_counter *c = &counters[i];
		bool ours = c->id > 0 && c->id < LK_COUNTERS;
		struct lk_counter was = {c->id, ours ? good[c->id] : 0};
		edit(LK_T_COUNTER, c, NULL);
		assert_int_equal(try_open(&fs), LINKFS_ECORRUPT);
		edit(LK_T_COUNTER, ours ? &was : NULL, ours ? NULL : c);
	}
	/* Snapshots are of epochs that have ended. */
	const int64_t epochs[] = {0, -1, good[LK_COUNTER_EPOCH], good[LK_COUNTER_EPOCH] + 1};
	for (size_t i = 0; i < LK_ARRAY_LEN(epochs); i++) {
		struct lk_snapshot s = {.epoch = epochs[i], .name = {"s", 1}};
		edit(LK_T_SNAPSHOT, &s, NULL);
		assert_int_equal(try_open(&fs), LINKFS_ECORRUPT);
		edit(LK_T_SNAPSHOT, NULL, &s);
	}
	/* K1: a number that an inode has, or had, is not to come again. */
	struct lk_inode inode = {.ino = good[LK_COUNTER_NEXT_INO], .mode = 0100644, .nlink = 1};
	edit(LK_T_INODE, &inode, NULL);
	assert_int_equal(try_open(&fs), LINKFS_ECORRUPT);
	edit(LK_T_INODE, NULL, &inode);
	fs = open_fs();
	assert_int_equal(put_row(fs, 100), 0);
	assert_int_equal(lk_fs_close(fs), 0);
}

static void a_transaction_that_does_not_begin(void **state)
{
	(void)state;
	struct lk_fs *fs = open_fs();
	/* The commit ends the one that opening left. */
	assert_int_equal(put_row(fs, 99), 0);
	assert_int_equal(lk_txn_commit(fs), 0);
	lk_db_fault_plan(
		fault, &(struct lk_fault_plan){.which = LK_FAULT_BEGIN, .n = 1, .code = LINKFS_EIO, .all_later = true});
	assert_int_equal(put_row(fs, 100), LINKFS_EIO);
	assert_int_equal(get_row(fs, 100), LINKFS_EIO);
	lk_db_fault_plan(fault, NULL);
	/* Nothing is held, nothing was lost. */
	assert_int_equal(get_row(fs, 100), LINKFS_ENOENT);
	assert_int_equal(put_row(fs, 100), 0);
	assert_int_equal(lk_fs_close(fs), 0);
}

/* The engine rolls back by itself: with nothing in the batch a new one is as good, unless the old cannot be ended. */
static void a_transaction_that_is_lost(void **state)
{
	(void)state;
	for (int stuck = 0; stuck < 2; stuck++) {
		struct lk_fs *fs = open_fs();
		assert_int_equal(put_row(fs, 100), 0);
		assert_int_equal(lk_txn_commit(fs), 0);
		lk_db_fault_plan(fault,
				 &(struct lk_fault_plan){.which = LK_FAULT_PUT | (stuck ? LK_FAULT_ROLLBACK : 0u),
							 .n = 1,
							 .code = LINKFS_EIO,
							 .all_later = true,
							 .lose = true});
		assert_int_equal(put_row(fs, 200), LINKFS_EIO);
		assert_int_equal(atomic_load(&fs->poisoned), stuck);
		if (stuck)
			assert_int_equal(get_row(fs, 100), LINKFS_EIO);
		lk_db_fault_plan(fault, NULL);
		assert_int_equal(get_row(fs, 100), 0);
		assert_int_equal(get_row(fs, 200), LINKFS_ENOENT);
		if (stuck) {
			close_poisoned(fs);
		} else {
			assert_int_equal(put_row(fs, 300), 0);
			assert_int_equal(lk_fs_close(fs), 0);
		}
	}
	struct lk_fs *fs = open_fs();
	assert_int_equal(get_row(fs, 100), 0);
	assert_int_equal(get_row(fs, 200), LINKFS_ENOENT);
	assert_int_equal(get_row(fs, 300), 0);
	/* An op that ends in poison and cannot be taken back is not there either. */
	struct lk_op op;
	struct lk_inline row = {.ino = 400};
	assert_int_equal(lk_op_begin(fs, &op, LK_OP_WRITE), 0);
	assert_int_equal(lk_txn_put(&op, LK_T_INLINE, &row), 0);
	atomic_store(&fs->poisoned, true);
	lk_db_fault_plan(fault, &(struct lk_fault_plan){.which = LK_FAULT_UNDO, .n = 1, .code = LINKFS_EIO});
	assert_int_equal(lk_op_end(&op, 0), LINKFS_EROFS);
	assert_int_equal(lk_db_fault_seen(fault).failures, 1);
	lk_db_fault_plan(fault, NULL);
	close_poisoned(fs);
	fs = open_fs();
	assert_int_equal(get_row(fs, 400), LINKFS_ENOENT);
	assert_int_equal(lk_fs_close(fs), 0);
}

/* T4: no space, and what is to make some fails. */
static void making_space_fails(void **state)
{
	(void)state;
	struct lk_fs *fs = open_fs();
	int64_t n = 0;
	/* Nothing waits, and the transaction of a read cannot be ended. */
	assert_int_equal(put_row(fs, 100), 0);
	assert_int_equal(lk_txn_commit(fs), 0);
	assert_int_equal(get_row(fs, 100), 0);
	lk_db_fault_plan(fault, &(struct lk_fault_plan){.which = LK_FAULT_RESERVE | LK_FAULT_ROLLBACK,
							.n = 1,
							.code = LINKFS_ENOSPC,
							.all_later = true});
	assert_int_equal(put_row(fs, 101), LINKFS_ENOSPC);
	lk_db_fault_plan(fault, NULL);
	assert_false(atomic_load(&fs->poisoned));
	assert_int_equal(get_row(fs, 101), LINKFS_ENOENT);
	assert_int_equal(put_row(fs, 101), 0);
	assert_int_equal(lk_txn_commit(fs), 0);
	/* What waits cannot be committed. */
	assert_int_equal(put_row(fs, 102), 0);
	lk_db_fault_plan(fault, &(struct lk_fault_plan){.which = LK_FAULT_RESERVE | LK_FAULT_COMMIT,
							.n = 1,
							.code = LINKFS_ENOSPC,
							.all_later = true});
	while (n < 10000 && put_row(fs, 200 + n) == 0)
		n++;
	assert_true(n < 10000);
	lk_db_fault_plan(fault, NULL);
	close_poisoned(fs);
	fs = open_fs();
	assert_int_equal(get_row(fs, 101), 0);
	assert_int_equal(get_row(fs, 102), LINKFS_ENOENT);
	assert_int_equal(get_row(fs, 200), LINKFS_ENOENT);
	assert_int_equal(lk_fs_close(fs), 0);
}

static void *commits(void *fs)
{
	return (void *)(intptr_t)lk_txn_commit(fs);
}

/* The batch is lost while a leader syncs data without the lock, and another caller waits for it: both are told, and nothing is
 * committed. */
static void poison_while_a_leader_syncs(void **state)
{
	(void)state;
	enum { CALLERS = 3 };
	struct lk_fs *fs = open_fs();
	pthread_t callers[CALLERS];
	assert_int_equal(put_row(fs, 100), 0);
	assert_int_equal(lk_txn_commit(fs), 0);
	assert_int_equal(put_row(fs, 101), 0);
	syncing = 0;
	hold_sync = true;
	uint64_t commits_before = lk_txn_commits(fs);
	for (int i = 0; i < CALLERS; i++)
		assert_int_equal(pthread_create(&callers[i], NULL, commits, fs), 0);
	while (!syncing)
		(void)usleep(1000);
	lk_db_fault_plan(fault,
			 &(struct lk_fault_plan){.which = LK_FAULT_PUT, .n = 1, .code = LINKFS_EIO, .lose = true});
	assert_int_equal(put_row(fs, 102), LINKFS_EIO);
	hold_sync = false;
	for (int i = 0; i < CALLERS; i++) {
		void *result;
		assert_int_equal(pthread_join(callers[i], &result), 0);
		assert_int_equal((intptr_t)result, LINKFS_EPOISONED);
	}
	assert_int_equal(lk_txn_commits(fs), commits_before);
	/* Seen is the last commit. */
	assert_int_equal(get_row(fs, 100), 0);
	assert_int_equal(get_row(fs, 101), LINKFS_ENOENT);
	lk_db_fault_plan(fault, NULL);
	close_poisoned(fs);
	fs = open_fs();
	assert_int_equal(get_row(fs, 100), 0);
	assert_int_equal(get_row(fs, 101), LINKFS_ENOENT);
	assert_int_equal(lk_fs_close(fs), 0);
}

static bool is_locked(struct lk_fs *fs)
{
	if (pthread_mutex_trylock(&fs->lock))
		return true;
	(void)pthread_mutex_unlock(&fs->lock);
	return false;
}

/* With 0 the lock is held and the rows are the last commit's, of a poisoned volume too; with an error it is not. */
static void settled(void **state)
{
	(void)state;
	struct lk_fs *fs = open_fs();
	assert_int_equal(put_row(fs, 100), 0);
	assert_int_equal(lk_txn_settle(fs), 0);
	assert_true(is_locked(fs));
	assert_int_equal(lk_txn_commits(fs), 1);
	(void)pthread_mutex_unlock(&fs->lock);
	assert_int_equal(put_row(fs, 101), 0);
	lk_db_fault_plan(fault, &(struct lk_fault_plan){.which = LK_FAULT_COMMIT, .n = 1, .code = LINKFS_EIO});
	assert_int_equal(lk_txn_settle(fs), LINKFS_EIO);
	assert_false(is_locked(fs));
	lk_db_fault_plan(fault, NULL);
	assert_int_equal(lk_txn_settle(fs), 0);
	assert_true(is_locked(fs));
	assert_int_equal(lk_txn_commits(fs), 1);
	(void)pthread_mutex_unlock(&fs->lock);
	assert_int_equal(get_row(fs, 101), LINKFS_ENOENT);
	close_poisoned(fs);
}

static uint64_t wal_said;

static int usage_said(struct lk_db *db, struct lk_db_usage *out)
{
	(void)db;
	*out = (struct lk_db_usage){.wal_bytes = wal_said};
	return 0;
}

/* A WAL that keeps growing beside a checkpointer is emptied by who commits; a short one is left alone. */
static void a_wal_that_has_grown(void **state)
{
	(void)state;
	struct lk_fs *fs = open_fs();
	struct lk_db_ops ops = *fs->db->ops;
	const struct lk_db_ops *old = fs->db->ops;
	ops.usage = usage_said;
	for (int i = 0; i < 2; i++) {
		wal_said = i ? UINT64_C(200) << 20 : 4096;
		fs->db->ops = &ops;
		lk_db_fault_plan(fault, &(struct lk_fault_plan){.which = LK_FAULT_CHECKPOINT});
		assert_int_equal(put_row(fs, 100 + i), 0);
		assert_int_equal(lk_txn_commit(fs), 0);
		assert_int_equal(lk_db_fault_seen(fault).calls, i);
		fs->db->ops = old;
	}
	lk_db_fault_plan(fault, NULL);
	assert_int_equal(lk_fs_close(fs), 0);
}

/* Much data that waits for a sync makes the op that finds it commit. */
static void much_dirty_data(void **state)
{
	(void)state;
	struct lk_fs *fs = open_fs();
	assert_int_equal(put_row(fs, 100), 0);
	assert_int_equal(lk_txn_commits(fs), 0);
	much_data = true;
	assert_int_equal(put_row(fs, 101), 0);
	assert_int_equal(lk_txn_commits(fs), 1);
	/* An op that does not stand commits nothing. */
	struct lk_op op;
	struct lk_inline row = {.ino = 102};
	assert_int_equal(lk_op_begin(fs, &op, LK_OP_WRITE), 0);
	assert_int_equal(lk_txn_put(&op, LK_T_INLINE, &row), 0);
	assert_int_equal(lk_op_end(&op, LINKFS_EPERM), LINKFS_EPERM);
	assert_int_equal(lk_txn_commits(fs), 1);
	much_data = false;
	assert_int_equal(put_row(fs, 103), 0);
	assert_int_equal(lk_txn_commits(fs), 1);
	assert_int_equal(lk_fs_close(fs), 0);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(opening_at_any_lack),         TEST(opening_with_failing_reads),
		TEST(counters_that_cannot_be),     TEST(a_transaction_that_does_not_begin),
		TEST(a_transaction_that_is_lost),  TEST(making_space_fails),
		TEST(poison_while_a_leader_syncs), TEST(settled),
		TEST(a_wal_that_has_grown),        TEST(much_dirty_data),
	};
	return cmocka_run_group_tests_name("txn-edges", tests, NULL, NULL);
}
