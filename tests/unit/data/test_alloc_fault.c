/*
 * test_alloc_fault.c - the allocator when memory, reads and writes of group rows fail at any point, at the format's limit, and
 * with more groups than it keeps in memory. A call that fails has changed nothing, and works when its cause is gone.
 * The database is rows in memory.
 */
#include "test.h"

#include <alloc_impl.h>
#include <no_memory.h>
#include <stdlib.h>
#include <string.h>

#define G LK_GROUP_BLOCKS

/* ---- the rows ------------------------------------------------------------------------------------------------------ */

struct row {
	int64_t used;
	size_t len;
	uint8_t bitmap[G / 8];
};

static struct {
	struct lk_db db;
	struct row *rows;
	uint32_t count, cap;
	unsigned gets, puts;
	int get_error, scan_error;
	unsigned fail_put; /* countdown */
} rows;

static int rows_get(struct lk_db *db, const struct lk_table *table, const void *key, void *record, struct lk_buf *bytes)
{
	const struct lk_group *k = key;
	(void)db;
	assert_int_equal(table->id, LK_T_GROUP);
	rows.gets++;
	if (rows.get_error)
		return rows.get_error;
	assert_in_range(k->number, 0, rows.count - 1);
	const struct row *row = &rows.rows[k->number];
	int r = lk_buf_append(bytes, row->bitmap, row->len);
	if (r)
		return r;
	*(struct lk_group *)record =
		(struct lk_group){k->number, row->used, {bytes->p + bytes->len - row->len, row->len}};
	return 0;
}

static int rows_put(struct lk_db *db, const struct lk_table *table, const void *record)
{
	const struct lk_group *g = record;
	(void)db;
	assert_int_equal(table->id, LK_T_GROUP);
	assert_int_equal(g->bitmap.len, G / 8);
	assert_in_range(g->number, 0, rows.cap - 1);
	if (rows.fail_put && --rows.fail_put == 0)
		return LINKFS_ENOSPC;
	rows.count = LK_MAX(rows.count, (uint32_t)g->number + 1);
	struct row *row = &rows.rows[g->number];
	row->used = g->used;
	row->len = g->bitmap.len;
	memcpy(row->bitmap, g->bitmap.p, g->bitmap.len);
	rows.puts++;
	return 0;
}

static int rows_scan(struct lk_db *db, const struct lk_scan *scan, lk_row_fn *fn, void *arg)
{
	(void)db;
	assert_int_equal(scan->table->id, LK_T_GROUP);
	for (uint32_t i = 0; i < rows.count; i++) {
		struct lk_group g = {i, rows.rows[i].used, {rows.rows[i].bitmap, rows.rows[i].len}};
		int r = fn(arg, &g);
		if (r)
			return r < 0 ? r : 0;
	}
	return rows.scan_error;
}

static const struct lk_db_ops rows_ops = {.get = rows_get, .put = rows_put, .scan = rows_scan};

/* The first used blocks of a group are allocated. */
static void row_set(uint32_t number, uint32_t used)
{
	struct row *row = &rows.rows[number];
	row->used = used;
	row->len = sizeof(row->bitmap);
	memset(row->bitmap, 0, sizeof(row->bitmap));
	for (uint32_t i = 0; i < used; i++)
		row->bitmap[i / 8] |= (uint8_t)(1u << i % 8);
}

static bool row_bit(uint64_t block)
{
	return rows.rows[block / G].bitmap[block % G / 8] >> (block % 8) & 1;
}

static char *dir;
static struct lk_data *data;

static int setup(void **state)
{
	(void)state;
	fail_memory = 0;
	dir = lk_test_mkdir();
	memset(&rows, 0, sizeof(rows));
	rows.db.ops = &rows_ops;
	rows.cap = 2000;
	rows.rows = calloc(rows.cap, sizeof(*rows.rows));
	return rows.rows ? lk_data_open(dir, false, &data, NULL) : -1;
}

static int teardown(void **state)
{
	(void)state;
	fail_memory = 0;
	lk_data_close(data);
	free(rows.rows);
	lk_test_rmdir(dir);
	return 0;
}

static struct lk_alloc *open_alloc(void)
{
	struct lk_alloc *a = NULL;
	assert_int_equal(lk_alloc_open(&rows.db, data, 0, &a), 0);
	return a;
}

static uint64_t used_of(struct lk_alloc *a, uint64_t *pending_out)
{
	uint64_t used, pending;
	lk_alloc_usage(a, &used, &pending);
	if (pending_out)
		*pending_out = pending;
	return used;
}

static void commit(struct lk_alloc *a)
{
	assert_int_equal(lk_alloc_flush(a), 0);
	lk_alloc_written(a);
	lk_alloc_committed(a);
}

static void free_kept(struct lk_alloc *a, uint64_t block, uint32_t count)
{
	struct lk_alloc_log log = {0};
	struct lk_run run = {block, count};
	assert_int_equal(lk_alloc_free(a, &log, &run), 0);
	lk_alloc_keep(a, &log);
	lk_buf_done(&log.entries);
}

/* ---- memory -------------------------------------------------------------------------------------------------------- */

static void opening_without_memory(void **state)
{
	(void)state;
	struct lk_alloc *a = NULL;
	unsigned failures = 0;
	int r;
	/* More groups than it makes room for at first. */
	for (rows.count = 0; rows.count < 40; rows.count++)
		row_set(rows.count, 7);
	do {
		fail_memory = failures + 1;
		r = lk_alloc_open(&rows.db, data, 0, &a);
		fail_memory = 0;
		if (r) {
			assert_int_equal(r, LINKFS_ENOMEM);
			assert_null(a);
			failures++;
		}
	} while (r);
	assert_true(failures >= 3); /* itself, and its groups twice */
	assert_int_equal(used_of(a, NULL), 40 * 7);
	lk_alloc_close(a);
}

static void a_reservation_without_memory(void **state)
{
	(void)state;
	enum { COUNT = 20 * G };
	unsigned failures = 0;
	int r;
	row_set(0, 100);
	row_set(1, 200);
	rows.count = 2;
	do {
		struct lk_alloc *a = open_alloc();
		struct lk_run runs[64];
		uint32_t n = 77;
		/* What is left of two groups, and new ones, for which the table of groups grows. */
		fail_memory = failures + 1;
		r = lk_alloc_reserve(a, COUNT, 150, runs, 64, &n);
		fail_memory = 0;
		if (r) {
			assert_int_equal(r, LINKFS_ENOMEM);
			assert_int_equal(n, 77);
			assert_int_equal(used_of(a, NULL), 300);
			assert_int_equal(lk_alloc_reserve(a, COUNT, 150, runs, 64, &n), 0);
			failures++;
		}
		assert_int_equal(used_of(a, NULL), 300 + COUNT);
		for (uint32_t i = 0; i < n; i++)
			lk_alloc_unreserve(a, &runs[i]);
		assert_int_equal(used_of(a, NULL), 300);
		lk_alloc_close(a);
	} while (r);
	assert_true(failures > 2 + COUNT / G);
}

static void an_operation_without_memory(void **state)
{
	(void)state;
	struct lk_alloc *a = open_alloc();
	struct lk_alloc_log log = {0};
	struct lk_run run;
	uint32_t n;
	assert_int_equal(lk_alloc_reserve(a, 10, 0, &run, 1, &n), 0);
	fail_memory = 1;
	assert_int_equal(lk_alloc_use(a, &log, &run), LINKFS_ENOMEM);
	assert_int_equal(fail_memory, 0);
	/* Still reserved: not to be freed, but used or given back. */
	assert_int_equal(lk_alloc_free(a, &log, &run), LINKFS_ECORRUPT);
	assert_int_equal(lk_alloc_use(a, &log, &run), 0);
	lk_alloc_keep(a, &log);
	lk_buf_done(&log.entries);
	log = (struct lk_alloc_log){0};
	commit(a);
	fail_memory = 1;
	assert_int_equal(lk_alloc_free(a, &log, &run), LINKFS_ENOMEM);
	assert_int_equal(fail_memory, 0);
	lk_alloc_undo(a, &log);
	assert_int_equal(used_of(a, NULL), 10);
	commit(a);
	for (uint32_t i = 0; i < 10; i++)
		assert_true(row_bit(run.block + i));
	assert_int_equal(lk_alloc_free(a, &log, &run), 0);
	lk_alloc_undo(a, &log);
	lk_buf_done(&log.entries);
	lk_alloc_close(a);
}

/* Blocks that are freed when there is no memory to remember it: what is durable says they are free; they may be busy until the
 * volume is opened again, and nothing else is lost. */
static void freed_without_memory(void **state)
{
	(void)state;
	enum { RUNS = 40, LEN = 20, GAP = 44 };
	unsigned failures = 0;
	bool failed;
	do {
		rows.count = 1;
		row_set(0, RUNS * (LEN + GAP));
		struct lk_alloc *a = open_alloc();
		uint64_t pending, used = RUNS * (LEN + GAP);
		struct lk_run run;
		struct lk_alloc_log log = {0};
		uint32_t n;
		for (uint32_t i = 0; i < RUNS; i++) {
			run = (struct lk_run){i * (LEN + GAP), LEN};
			assert_int_equal(lk_alloc_free(a, &log, &run), 0);
		}
		/* And blocks of this batch, which are free at once. */
		assert_int_equal(lk_alloc_reserve(a, LEN, 0, &run, 1, &n), 0);
		assert_int_equal(lk_alloc_use(a, &log, &run), 0);
		assert_int_equal(lk_alloc_free(a, &log, &run), 0);
		fail_memory = failures + 1;
		lk_alloc_keep(a, &log);
		assert_int_equal(lk_alloc_flush(a), 0);
		lk_alloc_written(a);
		lk_alloc_committed(a);
		failed = fail_memory == 0;
		fail_memory = 0;
		lk_alloc_discard(a);
		commit(a);
		lk_buf_done(&log.entries);
		used -= RUNS * LEN;
		uint64_t now = used_of(a, &pending);
		assert_int_equal(now - pending, used);
		assert_true(failed || pending == 0);
		/* It goes on. */
		assert_int_equal(lk_alloc_reserve(a, 1000, 0, &run, 1, &n), 0);
		lk_alloc_close(a);
		a = open_alloc();
		assert_int_equal(used_of(a, &pending), used);
		assert_int_equal(pending, 0);
		for (uint64_t b = 0; b < G; b++)
			assert_int_equal(row_bit(b), b < RUNS * (LEN + GAP) && b % (LEN + GAP) >= LEN);
		lk_alloc_close(a);
		failures += failed;
	} while (failed);
	assert_true(failures >= 3);
}

/* ---- rows that cannot be read or written -------------------------------------------------------------------------- */

static void a_group_that_cannot_be_read(void **state)
{
	(void)state;
	/* What the engine says, and what the caller hears. A group's row that is gone since the volume was opened is damage. */
	static const int said[][2] = {{LINKFS_EIO, LINKFS_EIO},
				      {LINKFS_ENOMEM, LINKFS_ENOMEM},
				      {LINKFS_ENOENT, LINKFS_ECORRUPT},
				      {LINKFS_ECORRUPT, LINKFS_ECORRUPT}};
	rows.count = 1;
	row_set(0, 100);
	struct lk_alloc *a = open_alloc();
	struct lk_alloc_log log = {0};
	struct lk_run run, old = {5, 10};
	uint32_t n;
	for (size_t i = 0; i < LK_ARRAY_LEN(said); i++) {
		for (uint64_t hint = 0; hint < 200; hint += 150) {
			rows.get_error = said[i][0];
			assert_int_equal(lk_alloc_reserve(a, 1, hint, &run, 1, &n), said[i][1]);
			assert_int_equal(lk_alloc_free(a, &log, &old), said[i][1]);
			assert_int_equal(used_of(a, NULL), 100);
		}
	}
	rows.get_error = 0;
	/* A bitmap that is cut short, or counts something else than when the volume was opened. */
	rows.rows[0].len--;
	assert_int_equal(lk_alloc_free(a, &log, &old), LINKFS_ECORRUPT);
	rows.rows[0].len++;
	rows.rows[0].used++;
	assert_int_equal(lk_alloc_reserve(a, 1, 0, &run, 1, &n), LINKFS_ECORRUPT);
	rows.rows[0].used--;
	assert_int_equal(log.entries.len, 0);
	assert_int_equal(lk_alloc_free(a, &log, &old), 0);
	lk_alloc_keep(a, &log);
	commit(a);
	assert_int_equal(used_of(a, NULL), 90);
	lk_buf_done(&log.entries);
	lk_alloc_close(a);
	/* Opening fails with the scan. */
	rows.scan_error = LINKFS_EIO;
	a = NULL;
	assert_int_equal(lk_alloc_open(&rows.db, data, 0, &a), LINKFS_EIO);
	assert_null(a);
}

/* A flush that fails half way is made good by the next: every changed row is written. */
static void a_group_that_cannot_be_written(void **state)
{
	(void)state;
	enum { GROUPS = 5 };
	for (rows.count = 0; rows.count < GROUPS; rows.count++)
		row_set(rows.count, G);
	for (unsigned fail = 1; fail <= GROUPS - 1; fail++) {
		struct lk_alloc *a = open_alloc();
		for (uint32_t i = 0; i < GROUPS; i++) {
			if (i != 2)
				free_kept(a, (uint64_t)i * G + fail, 1);
		}
		rows.fail_put = fail;
		assert_int_equal(lk_alloc_flush(a), LINKFS_ENOSPC);
		rows.puts = 0;
		commit(a);
		assert_int_equal(rows.puts, GROUPS - 1);
		for (uint32_t i = 0; i < GROUPS; i++)
			assert_int_equal(row_bit((uint64_t)i * G + fail), i == 2);
		lk_alloc_close(a);
	}
}

/* ---- limits -------------------------------------------------------------------------------------------------------- */

/* The format numbers no more blocks. A volume of 2^40 blocks is not made here: the allocator is told that it has one. */
static void no_group_beyond_the_format(void **state)
{
	(void)state;
	struct lk_alloc *a = open_alloc();
	a->group_count = LK_GROUPS_MAX;
	assert_int_equal(lk_group_append(a), LINKFS_ENOSPC);
	assert_int_equal(a->group_count, LK_GROUPS_MAX);
	a->group_count = 0;
	assert_int_equal(lk_group_append(a), 0);
	lk_alloc_close(a);
}

/* Full groups, then one block free in the last; and a hint that lies on or beyond the end of all groups. */
static void full_groups(void **state)
{
	(void)state;
	row_set(0, G);
	row_set(1, G - 1);
	rows.count = 2;
	struct lk_alloc *a = open_alloc();
	struct lk_run run[4];
	uint32_t n;
	assert_int_equal(lk_alloc_reserve(a, 1, G - 1, run, 1, &n), 0);
	assert_int_equal(run[0].block, 2 * G - 1);
	const uint64_t hints[] = {2 * G - 1, 2 * G, UINT64_C(1) << 40, UINT64_MAX};
	for (size_t i = 0; i < LK_ARRAY_LEN(hints); i++) {
		assert_int_equal(lk_alloc_reserve(a, 5, hints[i], run, 4, &n), 0);
		assert_int_equal(n, 1);
		assert_int_equal(run[0].count, 5);
		assert_true(run[0].block >= 2 * G && run[0].block + 5 <= 3 * G);
	}
	/* Nothing asked for, and nowhere to put it. */
	assert_int_equal(lk_alloc_reserve(a, 0, 0, run, 4, &n), 0);
	assert_int_equal(n, 0);
	assert_int_equal(lk_alloc_reserve(a, 1, 0, NULL, 4, &n), LINKFS_ENOSPC);
	lk_alloc_close(a);
}

/* ---- many groups --------------------------------------------------------------------------------------------------- */

/* Bitmaps of more groups than are kept: those that nothing needs go after a commit and are read again, and no change is lost; those
 * with reservations stay. */
static void bitmaps_come_and_go(void **state)
{
	(void)state;
	enum { GROUPS = 1500, TOUCHED = LK_GROUPS_LOADED_MAX + 100, HELD = 50 };
	struct lk_run held[HELD], run;
	uint32_t n;
	for (rows.count = 0; rows.count < GROUPS; rows.count++)
		row_set(rows.count, G - 1);
	struct lk_alloc *a = open_alloc();
	assert_int_equal(rows.gets, 0);
	for (uint32_t i = 0; i < HELD; i++) {
		assert_int_equal(lk_alloc_reserve(a, 1, (i + 1) * (uint64_t)G - 1, &held[i], 1, &n), 0);
		assert_int_equal(held[i].block, (i + 1) * (uint64_t)G - 1);
	}
	for (uint32_t i = 0; i < TOUCHED; i++)
		free_kept(a, (uint64_t)i * G, 1);
	assert_int_equal(rows.gets, TOUCHED);
	commit(a);
	/* What is held costs no read; of the others at least half do, not all. */
	rows.gets = 0;
	for (uint32_t i = 0; i < HELD; i++)
		lk_alloc_unreserve(a, &held[i]);
	assert_int_equal(rows.gets, 0);
	for (uint32_t i = 0; i < GROUPS; i++)
		free_kept(a, (uint64_t)i * G + 2, 1);
	assert_in_range(rows.gets, GROUPS - TOUCHED + TOUCHED / 2, GROUPS - HELD);
	commit(a);
	assert_int_equal(used_of(a, NULL), (uint64_t)GROUPS * (G - 2) - TOUCHED);
	for (uint32_t i = 0; i < GROUPS; i++) {
		assert_int_equal(row_bit((uint64_t)i * G), i >= TOUCHED);
		assert_true(row_bit((uint64_t)i * G + 1));
		assert_false(row_bit((uint64_t)i * G + 2));
		assert_int_equal(rows.rows[i].used, G - 2 - (i < TOUCHED));
	}
	/* All in use: none can go. */
	for (uint32_t i = 0; i < GROUPS; i++)
		assert_int_equal(lk_alloc_reserve(a, 1, (uint64_t)i * G + 2, &run, 1, &n), 0);
	rows.gets = 0;
	commit(a);
	for (uint32_t i = 0; i < GROUPS; i++) {
		run = (struct lk_run){(uint64_t)i * G + 2, 1};
		lk_alloc_unreserve(a, &run);
	}
	assert_int_equal(rows.gets, 0);
	assert_int_equal(used_of(a, NULL), (uint64_t)GROUPS * (G - 2) - TOUCHED);
	lk_alloc_close(a);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(opening_without_memory),      TEST(a_reservation_without_memory),
		TEST(an_operation_without_memory), TEST(freed_without_memory),
		TEST(a_group_that_cannot_be_read), TEST(a_group_that_cannot_be_written),
		TEST(no_group_beyond_the_format),  TEST(full_groups),
		TEST(bitmaps_come_and_go),
	};
	return cmocka_run_group_tests_name("alloc-fault", tests, NULL, NULL);
}
