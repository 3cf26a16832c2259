/*
 * test_keeper.c - the keeper and the log: it moves it into the database, and begins it anew ahead of who commits next.
 */
#include "test.h"

#include "db_fault.h"
#include "inode.h"
#include "root_uid.h"
#include "txn_impl.h"

#include <string.h>
#include <unistd.h>

static char *dir;
static struct lk_db *fault;

static struct lk_fs *open_fs(uint32_t interval_ms)
{
	struct lk_fs *fs;
	assert_int_equal(lk_db_open_sqlite(dir, 0, &fault, NULL), 0);
	assert_int_equal(lk_db_fault_open(fault, &fault), 0);
	assert_int_equal(lk_fs_open_on(fault, dir, 0, interval_ms, &fs, NULL), 0);
	return fs;
}

static int setup(void **state)
{
	(void)state;
	dir = lk_test_mkdir();
	return lk_fs_create(dir, NULL, NULL);
}

static int teardown(void **state)
{
	(void)state;
	lk_test_rmdir(dir);
	return 0;
}

/* A log of more than LK_WAL_CHECKPOINT, committed. */
static void grow_log(struct lk_fs *fs, int round)
{
	enum { ROWS = 6000 };
	static uint8_t content[2000];
	memset(content, round, sizeof(content));
	for (int64_t i = 0; i < ROWS; i++) {
		struct lk_op op;
		struct lk_inline row = {.ino = 100 + i, .content = {content, sizeof(content)}};
		assert_int_equal(lk_op_begin(fs, &op, LK_OP_WRITE), 0);
		assert_int_equal(lk_op_end(&op, lk_txn_put(&op, LK_T_INLINE, &row)), 0);
	}
	assert_int_equal(lk_txn_commit(fs), 0);
}

#define LOG_BEGUN UINT64_C(20000) /* bytes: some pages */

/* Bytes of the log once the keeper has moved it into the database and begun it anew; what it was before when that takes too long. */
static uint64_t log_rests(struct lk_fs *fs)
{
	struct lk_db_usage usage = {.wal_bytes = UINT64_MAX};
	for (int i = 0; i < 1000 && (usage.wal_bytes == 0 || usage.wal_bytes > LOG_BEGUN); i++) {
		(void)usleep(10000);
		(void)pthread_mutex_lock(&fs->lock);
		assert_int_equal(fs->db->ops->usage(fs->db, &usage), 0);
		(void)pthread_mutex_unlock(&fs->lock);
	}
	return usage.wal_bytes;
}

/* The log begins anew ahead of the next commit, which only adds to it; where the engine has no checkpoint beside its owner (T5), the keeper
 * makes it in the owner's place. */
static void checkpoints(void **state)
{
	(void)state;
	for (int slices = 0; slices < 2; slices++) {
		struct lk_fs *fs = open_fs(600000);
		uint64_t commits = 0;
		if (slices)
			lk_db_fault_plan(fault, &(struct lk_fault_plan){.which = LK_FAULT_BESIDE,
									.n = 1,
									.code = LINKFS_EAGAIN,
									.all_later = true});
		for (int round = 0; round < 2; round++) {
			grow_log(fs, round + slices);
			uint64_t begun = log_rests(fs);
			assert_true(begun > 4096 && begun <= LOG_BEGUN);
			commits += 2;
			assert_int_equal(lk_txn_commits(fs), commits);
			/* Asked once, it remembers. */
			if (slices)
				assert_int_equal(lk_db_fault_seen(fault).failures, 1);
			assert_int_equal(set_uid(fs, 7 + round, 0), 0);
			assert_int_equal(lk_txn_commit(fs), 0);
			commits++;
			uint64_t longer = log_rests(fs);
			assert_true(longer > begun && longer <= LOG_BEGUN);
			assert_int_equal(lk_txn_commits(fs), commits);
		}
		assert_int_equal(lk_fs_close(fs), 0);
	}
}

/* Not when an op waits for a commit: that one begins the log. Nor is anything lost when it fails. */
static void begins_no_log(void **state)
{
	(void)state;
	struct lk_fs *fs = open_fs(600000);
	struct lk_inode root;
	grow_log(fs, 1);
	assert_int_equal(set_uid(fs, 9, 0), 0);
	(void)usleep(300000);
	/* It may have been before the op. */
	uint64_t commits = lk_txn_commits(fs);
	assert_true(commits <= 2);
	assert_int_equal(lk_txn_commit(fs), 0);
	assert_int_equal(lk_txn_commits(fs), commits + 1);
	assert_int_equal(lk_fs_close(fs), 0);
	fs = open_fs(600000);
	lk_db_fault_plan(fault, &(struct lk_fault_plan){.which = LK_FAULT_COMMIT, .n = 2, .code = LINKFS_EIO});
	grow_log(fs, 2);
	for (int i = 0; i < 1000 && !atomic_load(&fs->poisoned); i++)
		(void)usleep(10000);
	assert_true(atomic_load(&fs->poisoned));
	lk_db_fault_plan(fault, NULL);
	assert_int_equal(lk_txn_commit(fs), LINKFS_EPOISONED);
	(void)lk_fs_close(fs);
	fs = open_fs(600000);
	struct lk_op op;
	struct lk_inline row = {.ino = 100};
	assert_int_equal(lk_op_begin(fs, &op, 0), 0);
	assert_int_equal(lk_inode_get(&op, 1, &root), 0);
	assert_int_equal(root.uid, 9);
	assert_int_equal(lk_txn_get(&op, LK_T_INLINE, &row, &row), 0);
	assert_int_equal(((const uint8_t *)row.content.p)[0], 2);
	assert_int_equal(lk_op_end(&op, 0), 0);
	assert_int_equal(lk_fs_close(fs), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(checkpoints, setup, teardown),
		cmocka_unit_test_setup_teardown(begins_no_log, setup, teardown),
	};
	return cmocka_run_group_tests_name("txn-keeper", tests, NULL, NULL);
}
