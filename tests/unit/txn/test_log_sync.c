/*
 * test_log_sync.c - T2, T4: the log is synced without the lock. Others go on meanwhile; nobody is told that his op is durable before it is, nothing
 * follows in the log before, and a sync that fails is never forgotten. fdatasync is wrapped at link time; the volume's data has none to make.
 */
#include "test.h"

#include "root_uid.h"
#include "txn_impl.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

int __real_fdatasync(int fd);
int __wrap_fdatasync(int fd);

static struct lk_fs *fs;
static char *dir;
static _Atomic bool gate; /* no sync ends while it is closed */
static _Atomic unsigned at_gate, syncs;
static _Atomic int fail_sync; /* countdown: the sync that makes it 0 fails */
static _Atomic bool locked;   /* the lock was held in one of them */

int __wrap_fdatasync(int fd)
{
	syncs++;
	if (fs && pthread_mutex_trylock(&fs->lock))
		locked = true;
	else if (fs)
		(void)pthread_mutex_unlock(&fs->lock);
	at_gate++;
	while (gate)
		(void)usleep(1000);
	at_gate--;
	if (fail_sync && --fail_sync == 0) {
		errno = EIO;
		return -1;
	}
	return __real_fdatasync(fd);
}

static void open_fs(void)
{
	struct lk_db *db;
	assert_int_equal(lk_db_open_sqlite(dir, 0, &db, NULL), 0);
	assert_int_equal(lk_fs_open_on(db, dir, 0, 600000, &fs, NULL), 0);
}

static int setup(void **state)
{
	(void)state;
	dir = lk_test_mkdir();
	fail_sync = 0;
	gate = locked = false;
	assert_int_equal(lk_fs_create(dir, NULL, NULL), 0);
	open_fs();
	return 0;
}

static int teardown(void **state)
{
	struct lk_fs *closing = fs;
	(void)state;
	fs = NULL;
	(void)lk_fs_close(closing);
	lk_test_rmdir(dir);
	return 0;
}

struct caller {
	pthread_t thread;
	int (*call)(struct lk_fs *fs);
	_Atomic bool back;
	int result;
};

static void *call_it(void *arg)
{
	struct caller *c = arg;
	c->result = c->call(fs);
	c->back = true;
	return NULL;
}

static void start(struct caller *c, int (*call)(struct lk_fs *fs))
{
	*c = (struct caller){.call = call};
	assert_int_equal(pthread_create(&c->thread, NULL, call_it, c), 0);
}

static int end(struct caller *c)
{
	assert_int_equal(pthread_join(c->thread, NULL), 0);
	return c->result;
}

static void wait_at_gate(unsigned count)
{
	for (int i = 0; i < 5000 && at_gate < count; i++)
		(void)usleep(1000);
	assert_true(at_gate >= count);
}

/* A commit that stands at the gate, of uid 1. */
static void begin_commit(struct caller *c)
{
	/* So that the log need not begin anew. */
	assert_int_equal(set_uid(fs, 100, 0), 0);
	assert_int_equal(lk_txn_commit(fs), 0);
	assert_int_equal(set_uid(fs, 1, 0), 0);
	locked = false;
	gate = true;
	start(c, lk_txn_commit);
	wait_at_gate(1);
}

static void others_go_on(void **state)
{
	struct caller first, second;
	(void)state;
	begin_commit(&first);
	uint64_t commits = lk_txn_commits(fs);
	for (int64_t uid = 2; uid < 50; uid++) {
		assert_int_equal(get_uid(fs), uid - 1);
		assert_int_equal(set_uid(fs, uid, 0), 0);
	}
	/* Neither is durable. */
	start(&second, lk_txn_commit);
	(void)usleep(50000);
	assert_false(first.back || second.back);
	assert_int_equal(lk_txn_commits(fs), commits);
	assert_false(locked);
	gate = false;
	assert_int_equal(end(&first), 0);
	assert_int_equal(end(&second), 0);
	assert_int_equal(lk_txn_commits(fs), commits + 1);
	assert_int_equal(get_uid(fs), 49);
}

static int settle(struct lk_fs *of)
{
	int r = lk_txn_settle(of);
	if (r == 0)
		(void)pthread_mutex_unlock(&of->lock);
	return r;
}

/* Who must commit with the lock held does not write to the log before what it has is durable. */
static void nothing_follows_before(void **state)
{
	struct caller first, second;
	(void)state;
	begin_commit(&first);
	assert_int_equal(set_uid(fs, 2, 0), 0);
	uint64_t log = lk_batch_log_bytes(fs);
	start(&second, settle);
	(void)usleep(50000);
	assert_false(first.back || second.back);
	struct lk_db_usage usage = {0};
	/* The second has the lock, and waits. */
	assert_int_equal(fs->db->ops->usage(fs->db, &usage), 0);
	assert_int_equal(usage.wal_bytes, log);
	gate = false;
	assert_int_equal(end(&first), 0);
	assert_int_equal(end(&second), 0);
	assert_int_equal(fs->batch->durable, fs->batch->standing);
	assert_true(lk_batch_log_bytes(fs) > log);
	assert_int_equal(get_uid(fs), 2);
}

static struct lk_db_ops ops;
static const struct lk_db_ops *below;
static _Atomic int slices, sliced;

static int too_long(struct lk_db *db, struct lk_db_usage *out)
{
	int r = below->usage(db, out);
	out->wal_bytes = LK_WAL_HARD + 1;
	return r;
}

static int count_slices(struct lk_db *db, bool slice)
{
	int r = below->checkpoint(db, slice);
	slices += slice;
	sliced += slice && r == 0;
	return r;
}

/* A log that is too long is moved under the lock, though somebody came while it was synced and has opened the next transaction. */
static void moved_whoever_came(void **state)
{
	struct caller first;
	(void)state;
	for (int writes = 0; writes < 2; writes++) {
		begin_commit(&first);
		below = fs->db->ops;
		ops = *below;
		ops.usage = too_long;
		ops.checkpoint = count_slices;
		fs->db->ops = &ops;
		slices = sliced = 0;
		assert_int_equal(get_uid(fs), 1);
		if (writes)
			assert_int_equal(set_uid(fs, 2, 0), 0);
		gate = false;
		assert_int_equal(end(&first), 0);
		assert_int_equal(slices, 1);
		assert_int_equal(sliced, 1);
		fs->db->ops = below;
		assert_int_equal(get_uid(fs), writes ? 2 : 1);
		assert_int_equal(lk_txn_commit(fs), 0);
	}
}

/* With others at work in the next transaction and two more who wait: all are told, and what they did is gone. */
static void failure(void **state)
{
	struct caller first, second, third;
	struct lk_op op;
	(void)state;
	begin_commit(&first);
	assert_int_equal(set_uid(fs, 2, 0), 0);
	start(&second, lk_txn_commit);
	start(&third, settle);
	(void)usleep(20000);
	fail_sync = 1;
	gate = false;
	/* Not told that all is well because the host tells of an error once. */
	int r[] = {end(&first), end(&second), end(&third)};
	for (size_t i = 0; i < LK_ARRAY_LEN(r); i++)
		assert_true(r[i] == LINKFS_EIO || r[i] == LINKFS_EPOISONED);
	assert_true(r[0] == LINKFS_EIO || r[1] == LINKFS_EIO || r[2] == LINKFS_EIO);
	assert_int_equal(lk_txn_commit(fs), LINKFS_EPOISONED);
	assert_int_equal(lk_op_begin(fs, &op, LK_OP_WRITE), LINKFS_EROFS);
	assert_int_equal(get_uid(fs), 1);
	assert_int_equal(fs->db->ops->sync(fs->db), LINKFS_EIO);
	unsigned before = syncs;
	assert_int_equal(fs->db->ops->sync(fs->db), LINKFS_EIO);
	assert_int_equal(syncs, before);
	assert_int_equal(lk_fs_close(fs), LINKFS_EPOISONED);
	/* What was written may be there: here it is, as the host lost nothing. */
	open_fs();
	assert_int_equal(get_uid(fs), 1);
	assert_int_equal(set_uid(fs, 3, 0), 0);
	assert_int_equal(lk_txn_commit(fs), 0);
}

#define UNIT(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		UNIT(others_go_on),
		UNIT(nothing_follows_before),
		UNIT(moved_whoever_came),
		UNIT(failure),
	};
	return cmocka_run_group_tests_name("txn-log-sync", tests, NULL, NULL);
}
