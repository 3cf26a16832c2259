/*
 * test_fault.c - the n-th failure of every database call during a set of ops (P3): each op leaves the old state or the new one,
 * in rows, counters and inode records alike (I1, I7, J1-J3); a poisoned volume is as of its last commit (I2, I4).
 */
#include "test.h"

#include "db_fault.h"
#include "inode.h"
#include "node.h"
#include "orphan.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define OPS 14
#define INOS 26

struct world {
	char *dir;
	struct lk_fs *fs;
	struct lk_db *fault;
	uint64_t made[INOS];
};

/* Everything that matters but times: rows of dirent, orphan and snapshot, history, the counters, and the inodes as
 * lk_inode_get gives them (after a commit their rows must say the same). */
struct digest {
	uint64_t sum;
	int64_t counters[LK_COUNTERS];
	int64_t epoch, newest;
};

static int digest_row(void *arg, const void *record)
{
	/* Called for one table at a time; arg is {table, digest}. */
	void **args = arg;
	const struct lk_table *table = args[0];
	struct digest *d = args[1];
	uint64_t h = 1469598103934665603u + table->id;
	for (uint8_t i = 0; i < table->column_count; i++) {
		const struct lk_column *c = &table->columns[i];
		if (strstr(c->name, "time_ns"))
			continue;
		uint64_t v = c->type == LK_INT ? (uint64_t)*lk_int_of(c, record)
					       : lk_block_sum(lk_bytes_of(c, record)->p, lk_bytes_of(c, record)->len);
		h = (h ^ v) * 1099511628211u;
	}
	d->sum += h; /* rows in any order */
	return 0;
}

static struct digest digest(struct world *w, bool committed)
{
	static const enum lk_table_id tables[] = {LK_T_DIRENT, LK_T_ORPHAN, LK_T_SNAPSHOT, LK_T_DIRENT_OLD};
	struct digest d = {0};
	struct lk_op op;
	lk_db_fault_pause(w->fault, true);
	assert_int_equal(lk_op_begin(w->fs, &op, 0), 0);
	for (size_t i = 0; i < LK_ARRAY_LEN(tables); i++) {
		void *args[] = {(void *)(uintptr_t)&lk_tables[tables[i]], &d};
		struct lk_scan scan = {.table = args[0], .index = LK_BY_KEY};
		assert_int_equal(lk_txn_scan(&op, &scan, digest_row, args), 0);
	}
	for (int i = 1; i < LK_COUNTERS; i++)
		assert_int_equal(lk_txn_count(&op, i, 0, &d.counters[i]), 0);
	d.epoch = w->fs->epoch;
	d.newest = w->fs->newest_snapshot;
	void *inode_args[] = {(void *)(uintptr_t)&lk_tables[LK_T_INODE], &d};
	for (uint64_t ino = 1; ino < INOS; ino++) {
		struct lk_inode inode = {0}, row = {.ino = (int64_t)ino};
		int a = lk_inode_get(&op, ino, &inode);
		assert_true(a == 0 || a == LINKFS_ESTALE);
		if (a == 0)
			assert_int_equal(digest_row(inode_args, &inode), 0);
		if (committed) {
			int b = lk_txn_get(&op, LK_T_INODE, &row, &row);
			assert_int_equal(b, a == LINKFS_ESTALE ? LINKFS_ENOENT : a);
			if (a == 0)
				assert_memory_equal(&inode, &row, sizeof(row));
		}
	}
	assert_int_equal(lk_op_end(&op, 0), 0);
	lk_db_fault_pause(w->fault, false);
	return d;
}

static int make_file(struct world *w, struct lk_op *op, int slot)
{
	struct lk_inode inode;
	int r = lk_inode_new(op, &inode);
	if (r)
		return r;
	inode.mode = S_IFREG | 0644;
	inode.nlink = 1;
	r = lk_inode_put(op, &inode);
	struct lk_dirent entry = {.dir = 1, .hash = 100 + slot, .ino = inode.ino, .type = 8, .name = {"name", 4}};
	if (r == 0)
		r = lk_txn_insert(op, LK_T_DIRENT, &entry);
	if (r == 0)
		r = lk_inode_touch_dir(op, 1, 0);
	w->made[slot] = (uint64_t)inode.ino;
	return r;
}

static int remove_file(struct world *w, struct lk_op *op, int slot)
{
	struct lk_inode inode;
	struct lk_dirent entry = {.dir = 1, .hash = 100 + slot};
	int r = lk_txn_erase(op, LK_T_DIRENT, &entry);
	if (r == 0)
		r = lk_inode_get(op, w->made[slot], &inode);
	if (r)
		return r;
	inode.nlink = 0;
	r = lk_inode_put(op, &inode);
	if (r == 0)
		r = lk_orphan_add(op, &inode);
	return r;
}

/* One of the ops of the script; number 5 and 10 are commits. */
static int run(struct world *w, int number)
{
	struct lk_op op;
	if (number == 5 || number == 10)
		return lk_txn_commit(w->fs);
	int r = lk_op_begin(w->fs, &op, LK_OP_WRITE);
	if (r)
		return r;
	struct lk_snapshot s = {.name = {"s", 1}};
	struct lk_inode inode;
	switch (number) {
	case 2:
		r = remove_file(w, &op, 0);
		break;
	case 3:
		r = lk_txn_snapshot_add(&op, &s);
		break;
	case 6: /* held: becomes an orphan */
		r = remove_file(w, &op, 1);
		break;
	case 7:
		r = lk_inode_get(&op, 1, &inode);
		inode.uid = 7;
		if (r == 0)
			r = lk_inode_put(&op, &inode);
		break;
	case 8: /* many in one op */
		for (int slot = 4; r == 0 && slot < 22; slot++)
			r = make_file(w, &op, slot);
		break;
	case 11:
	case 13:
		r = remove_file(w, &op, number - 7);
		break;
	default: {
		static const int slots[OPS] = {[0] = 0, [1] = 1, [4] = 2, [9] = 3, [12] = 0}; /* slot 1 gets ino 3 */
		r = make_file(w, &op, slots[number]);
	}
	}
	return lk_op_end(&op, r);
}

static void open_world(struct world *w)
{
	assert_int_equal(lk_db_open_sqlite(w->dir, 0, &w->fault, NULL), 0);
	assert_int_equal(lk_db_fault_open(w->fault, &w->fault), 0);
	assert_int_equal(lk_fs_open_on(w->fault, w->dir, 0, 600000, &w->fs, NULL), 0);
}

static void close_world(struct world *w, int expected)
{
	assert_int_equal(lk_fs_close(w->fs), expected);
	w->fs = NULL;
}

static bool same(const struct digest *a, const struct digest *b)
{
	return memcmp(a, b, sizeof(*a)) == 0;
}

/* Runs the script with the fail_at-th call failing. golden holds the digests after each op of the run without failures; with
 * fill they are taken. Returns false when nothing failed. */
static bool script(uint64_t fail_at, int error, bool lose, struct digest *golden, bool fill)
{
	struct world *w = calloc(1, sizeof(*w));
	assert_non_null(w);
	w->dir = lk_test_mkdir();
	assert_int_equal(lk_fs_create(w->dir, NULL, NULL), 0);
	open_world(w);
	assert_int_equal(lk_node_hold(w->fs, 3, 1), 0);
	struct digest before = digest(w, true), committed = before;
	const char *in = NULL;
	lk_db_fault_plan(w->fault,
			 &(struct lk_fault_plan){.which = LK_FAULT_FORWARD, .n = fail_at, .code = error, .lose = lose});
	for (int i = 0; i < OPS; i++) {
		int r = run(w, i);
		bool poisoned = atomic_load(&w->fs->poisoned);
		in = lk_db_fault_seen(w->fault).in;
		struct digest now = digest(w, r == 0 && (i == 5 || i == 10));
		if (r && !poisoned) {
			if (!same(&now, &before))
				fail_msg("op %d failed in %s (call %" PRIu64 ") and left something", i, in, fail_at);
			if (!in)
				fail_msg("op %d failed by itself: %s", i, linkfs_error_name(r));
			/* Only once: the second time it works. */
			assert_int_equal(run(w, i), 0);
			now = digest(w, false);
		}
		if (poisoned) {
			assert_non_null(in);
			if (!same(&now, &committed) && !same(&now, &before) && !same(&now, &golden[i]))
				fail_msg("poisoned in op %d, %s (call %" PRIu64 "): neither state", i, in, fail_at);
			assert_int_equal(run(w, 5), LINKFS_EPOISONED);
			struct lk_op op;
			assert_int_equal(lk_op_begin(w->fs, &op, LK_OP_WRITE), LINKFS_EROFS);
			break;
		}
		if (fill)
			golden[i] = now;
		else if (!same(&now, &golden[i]))
			fail_msg("after op %d (call %" PRIu64 " failed in %s) the state is not the expected one", i,
				 fail_at, in ? in : "nothing");
		before = now;
		if (i == 5 || i == 10)
			committed = now;
	}
	in = lk_db_fault_seen(w->fault).in;
	bool poisoned = atomic_load(&w->fs->poisoned);
	lk_db_fault_plan(w->fault, NULL);
	struct digest end = poisoned ? committed : before;
	close_world(w, poisoned ? LINKFS_EPOISONED : 0);
	open_world(w);
	/* Orphan 3 was only held: it is gone by now when the op that took its name was durable. */
	struct digest reopened = digest(w, true);
	if (!poisoned) {
		assert_int_equal(reopened.epoch, end.epoch);
		assert_int_equal(reopened.newest, end.newest);
		assert_int_equal(reopened.counters[LK_COUNTER_INODES], end.counters[LK_COUNTER_INODES] - 1);
	} else if (committed.counters[LK_COUNTER_INODES] != golden[10].counters[LK_COUNTER_INODES]) {
		/* Of what it was to sync a sync that failed says nothing: it may be there. */
		bool written = in && strcmp(in, "sync") == 0 && reopened.epoch == before.epoch &&
			       reopened.newest == before.newest &&
			       reopened.counters[LK_COUNTER_INODES] + 1 >= before.counters[LK_COUNTER_INODES];
		if (!same(&reopened, &end) && !written)
			fail_msg("reopened after poison in %s (call %" PRIu64 "): not the last commit", in, fail_at);
	}
	close_world(w, 0);
	lk_test_rmdir(w->dir);
	free(w);
	return in;
}

static struct digest golden_states[OPS];

static void every_call(int error, bool lose, uint64_t step)
{
	assert_false(script(0, 0, false, golden_states, true));
	uint64_t n = 1;
	while (script(n, error, lose, golden_states, false))
		n += step;
	assert_true(n > 100);
}

static void nth_failure(void **state)
{
	(void)state;
	every_call(LINKFS_EIO, false, 1);
}

static void nth_failure_for_space(void **state)
{
	(void)state;
	every_call(LINKFS_ENOSPC, false, 5);
	every_call(LINKFS_ENOMEM, false, 5);
}

static void nth_failure_loses_the_batch(void **state)
{
	(void)state;
	every_call(LINKFS_EIO, true, 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(nth_failure), cmocka_unit_test(nth_failure_for_space),
					   cmocka_unit_test(nth_failure_loses_the_batch)};
	return cmocka_run_group_tests_name("txn-fault", tests, NULL, NULL);
}
