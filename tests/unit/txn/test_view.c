/*
 * test_view.c - K2's reads at a snapshot when memory or the engine fails at any point, and what a caller may ask of a scan: limits,
 * an end of its own, errors of its own, either direction. More rows than the merge takes at once.
 */
#include "test.h"

#include "db_fault.h"
#include "no_memory.h"
#include "txn.h"

#include <stdlib.h>
#include <string.h>

#define ROWS 150 /* at the snapshot, from FIRST on; later some are others, gone, or new behind */
#define LATER 80
#define FIRST 1000
#define LONG 20000 /* more than an op's arena grows by */

static char *dir;
static struct lk_fs *fs;
static struct lk_db *fault;
static int64_t epoch;

static size_t len_of(int64_t ino)
{
	return ino % 50 == 0 ? LONG : 10;
}

static void put(struct lk_op *op, int64_t ino, int generation)
{
	static uint8_t content[LONG];
	memset(content, generation, sizeof(content));
	struct lk_inline row = {.ino = ino, .content = {content, len_of(ino)}};
	assert_int_equal(lk_txn_put(op, LK_T_INLINE, &row), 0);
}

static int setup(void **state)
{
	(void)state;
	struct lk_op op;
	struct lk_snapshot s = {0};
	fail_memory = 0;
	dir = lk_test_mkdir();
	assert_int_equal(lk_fs_create(dir, NULL, NULL), 0);
	assert_int_equal(lk_db_open_sqlite(dir, 0, &fault, NULL), 0);
	assert_int_equal(lk_db_fault_open(fault, &fault), 0);
	assert_int_equal(lk_fs_open_on(fault, dir, 0, 600000, &fs, NULL), 0);
	assert_int_equal(lk_op_begin(fs, &op, LK_OP_WRITE), 0);
	for (int64_t ino = FIRST; ino < FIRST + ROWS; ino++)
		put(&op, ino, 1);
	assert_int_equal(lk_op_end(&op, 0), 0);
	assert_int_equal(lk_op_begin(fs, &op, LK_OP_WRITE), 0);
	assert_int_equal(lk_txn_snapshot_add(&op, &s), 0);
	assert_int_equal(lk_op_end(&op, 0), 0);
	epoch = s.epoch;
	assert_int_equal(lk_op_begin(fs, &op, LK_OP_WRITE), 0);
	for (int64_t ino = FIRST; ino < FIRST + ROWS; ino++) {
		struct lk_inline key = {.ino = ino};
		if (ino % 7 == 0)
			assert_int_equal(lk_txn_erase(&op, LK_T_INLINE, &key), 0);
		else if (ino % 3 == 0)
			put(&op, ino, 2);
	}
	for (int64_t ino = FIRST + ROWS; ino < FIRST + ROWS + LATER; ino++)
		put(&op, ino, 2);
	return lk_op_end(&op, 0);
}

static int teardown(void **state)
{
	(void)state;
	fail_memory = 0;
	lk_db_fault_plan(fault, NULL);
	assert_int_equal(lk_fs_close(fs), 0);
	lk_test_rmdir(dir);
	return 0;
}

struct seen {
	int count;
	int64_t next, step;
	int end_after, result; /* after so many rows the caller's answer is result */
};

static void is_row(const struct lk_inline *row)
{
	assert_int_equal(row->content.len, len_of(row->ino));
	for (size_t i = 0; i < row->content.len; i++)
		assert_int_equal(((const uint8_t *)row->content.p)[i], 1);
}

static int see(void *arg, const void *record)
{
	struct seen *s = arg;
	const struct lk_inline *row = record;
	assert_int_equal(row->ino, s->next);
	is_row(row);
	s->next += s->step;
	return ++s->count == s->end_after ? s->result : 0;
}

static int scan_view(bool reverse, uint32_t limit, struct seen *s)
{
	struct lk_op op;
	struct lk_inline from = {.ino = reverse ? INT64_MAX : 0};
	struct lk_scan scan = {.table = &lk_tables[LK_T_INLINE],
			       .index = LK_BY_KEY,
			       .ranged = 1,
			       .from = &from,
			       .reverse = reverse,
			       .limit = limit};
	s->count = 0;
	s->next = reverse ? FIRST + ROWS - 1 : FIRST;
	s->step = reverse ? -1 : 1;
	int r = lk_op_begin(fs, &op, 0);
	if (r)
		return r;
	op.view = epoch;
	return lk_op_end(&op, lk_txn_scan(&op, &scan, see, s));
}

/* All rows of the view by key, and two that are not in it. */
static int get_view(void)
{
	struct lk_op op;
	struct lk_inline row;
	int r = lk_op_begin(fs, &op, 0);
	if (r)
		return r;
	op.view = epoch;
	for (int64_t ino = FIRST; ino < FIRST + ROWS && !r; ino++) {
		struct lk_inline key = {.ino = ino};
		r = lk_txn_get(&op, LK_T_INLINE, &key, &row);
		if (!r)
			is_row(&row);
		assert_int_not_equal(r, LINKFS_ENOENT);
	}
	const int64_t none[] = {FIRST - 1, FIRST + ROWS};
	for (size_t i = 0; i < LK_ARRAY_LEN(none) && !r; i++) {
		struct lk_inline key = {.ino = none[i]};
		r = lk_txn_get(&op, LK_T_INLINE, &key, &row);
		assert_int_not_equal(r, 0);
		if (r == LINKFS_ENOENT)
			r = 0;
	}
	return lk_op_end(&op, r);
}

static int read_view(int how)
{
	struct seen s = {0};
	int r = how == 2 ? get_view() : scan_view(how, 0, &s);
	if (!r && how < 2)
		assert_int_equal(s.count, ROWS);
	return r;
}

/* An error is an error: never fewer rows, or others; and it does not outlive its cause. */
static void memory_fails_at_any_point(void **state)
{
	(void)state;
	for (int how = 0; how < 3; how++) {
		long n = 0, failures = 0;
		bool struck;
		do {
			fail_memory = ++n;
			int r = read_view(how);
			struck = fail_memory == 0;
			fail_memory = 0;
			if (r) {
				assert_true(struck);
				assert_int_equal(r, LINKFS_ENOMEM);
				failures++;
				assert_int_equal(read_view(how), 0);
			}
		} while (struck);
		assert_true(failures > 1);
	}
	assert_false(atomic_load(&fs->poisoned));
}

static void reads_fail_at_any_point(void **state)
{
	(void)state;
	static const int codes[] = {LINKFS_EIO, LINKFS_ECORRUPT, LINKFS_ENOMEM};
	for (int how = 0; how < 3; how++) {
		for (size_t c = 0; c < LK_ARRAY_LEN(codes); c++) {
			uint64_t hits = 1, n = 0;
			for (; hits; n++) {
				lk_db_fault_plan(fault, &(struct lk_fault_plan){.which = LK_FAULT_SCAN | LK_FAULT_GET,
										.n = n + 1,
										.code = codes[c]});
				int r = read_view(how);
				hits = lk_db_fault_seen(fault).failures;
				assert_int_equal(r, hits ? codes[c] : 0);
				lk_db_fault_plan(fault, NULL);
			}
			assert_true(n > 4);
			assert_int_equal(read_view(how), 0);
		}
	}
	assert_false(atomic_load(&fs->poisoned));
}

/* A caller has as many rows as it wants, ends the scan, or fails it; wherever in the merge that falls. */
static void limits_and_ends(void **state)
{
	(void)state;
	for (int reverse = 0; reverse < 2; reverse++) {
		for (uint32_t n = 1; n <= ROWS + 10; n += n < 10 || (n > 60 && n < 70) || n >= ROWS - 3 ? 1 : 10) {
			int want = (int)LK_MIN(n, (uint32_t)ROWS);
			struct seen s = {0};
			assert_int_equal(scan_view(reverse, n, &s), 0);
			assert_int_equal(s.count, want);
			s = (struct seen){.end_after = (int)n, .result = 1};
			assert_int_equal(scan_view(reverse, 0, &s), 0);
			assert_int_equal(s.count, want);
			s = (struct seen){.end_after = (int)n, .result = LINKFS_ELOOP};
			assert_int_equal(scan_view(reverse, 0, &s), n <= ROWS ? LINKFS_ELOOP : 0);
			assert_int_equal(s.count, want);
		}
	}
}

/* The view has no indexes but the key, and no more columns than it has. */
static void scans_that_cannot_be(void **state)
{
	(void)state;
	struct lk_op op;
	struct seen s = {0};
	struct lk_inline from = {0};
	struct lk_dirent dirent = {0};
	struct lk_scan columns = {
		.table = &lk_tables[LK_T_INLINE], .index = LK_BY_KEY, .equal = 1, .ranged = 1, .from = &from};
	struct lk_scan index = {
		.table = &lk_tables[LK_T_DIRENT], .index = LK_DIRENT_BY_INO, .equal = 1, .from = &dirent};
	assert_int_equal(lk_op_begin(fs, &op, 0), 0);
	op.view = epoch;
	assert_int_equal(lk_txn_scan(&op, &columns, see, &s), LINKFS_EINVAL);
	assert_int_equal(lk_txn_scan(&op, &index, see, &s), LINKFS_EINVAL);
	assert_int_equal(s.count, 0);
	/* All of a key is a scan of one row. */
	columns.ranged = 0;
	from.ino = FIRST + 7;
	s.next = FIRST + 7;
	assert_int_equal(lk_txn_scan(&op, &columns, see, &s), 0);
	assert_int_equal(s.count, 1);
	from.ino = FIRST + ROWS;
	assert_int_equal(lk_txn_scan(&op, &columns, see, &s), 0);
	assert_int_equal(s.count, 1);
	assert_int_equal(lk_op_end(&op, 0), 0);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(memory_fails_at_any_point),
		TEST(reads_fail_at_any_point),
		TEST(limits_and_ends),
		TEST(scans_that_cannot_be),
	};
	return cmocka_run_group_tests_name("txn-view", tests, NULL, NULL);
}
