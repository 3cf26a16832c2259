/*
 * rows.c - see rows.h. Below the public API, which tells of files, not of rows.
 */
#include "rows.h"

#include "test.h"

#include <string.h>
#include <txn.h>
#include <volume.h>

struct rows {
	uint64_t count, components;
};

static int count_row(void *arg, const void *record)
{
	(void)record;
	((struct rows *)arg)->count++;
	return 0;
}

/* docs/FORMAT.md, "component". */
static int count_components(void *arg, const void *record)
{
	const struct lk_target *t = record;
	struct rows *rows = arg;
	uint64_t before = rows->components;
	for (size_t at = 0, len; at < t->text.len; at += len + 1) {
		const char *p = (const char *)t->text.p + at, *slash = memchr(p, '/', t->text.len - at);
		len = slash ? (size_t)(slash - p) : t->text.len - at;
		rows->components += len && !(len == 1 && *p == '.');
	}
	rows->components += (rows->components == before ? 1u : 0u) + (t->tracks ? 1u : 0u);
	return 0;
}

static void scan(struct linkfs_volume *volume, enum lk_table_id table, lk_row_fn *fn, struct rows *rows)
{
	static const char zero[LK_RECORD_MAX + 8] __attribute__((aligned(8)));
	struct lk_scan all = {.table = &lk_tables[table], .index = LK_BY_KEY, .from = zero};
	struct lk_op op;
	assert_int_equal(lk_op_begin(lk_volume_fs(volume), &op, 0), 0);
	assert_int_equal(lk_op_end(&op, lk_txn_scan(&op, &all, fn, rows)), 0);
}

void no_row_is_left(struct linkfs_volume *volume)
{
	struct rows rows = {0};
	scan(volume, LK_T_SNAPSHOT, count_row, &rows);
	for (int t = 0; t < LK_T_LIVE_COUNT; t++)
		if (lk_tables[t].versioned)
			scan(volume, (enum lk_table_id)lk_tables[t].old, count_row, &rows);
	assert_int_equal(rows.count, 0);
	scan(volume, LK_T_COMPONENT, count_row, &rows);
	scan(volume, LK_T_TARGET, count_components, &rows);
	assert_int_equal(rows.count, rows.components);
}
