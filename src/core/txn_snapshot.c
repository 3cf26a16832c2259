/*
 * txn_snapshot.c - K2's snapshots as far as rows go: taking one is two writes, deleting one gives its history to the next older.
 * Layer: core.
 */
#include "txn_impl.h"

#include "inode_cache.h"

#include <string.h>

int lk_txn_snapshot_add(struct lk_op *op, struct lk_snapshot *s)
{
	int64_t epoch = op->fs->epoch, next_ino;
	/* Inode records must be rows before the epoch ends, and rows they become outside savepoints only. */
	if (op->changed)
		return LINKFS_EINVAL;
	int r = lk_op_changes(op);
	if (r == 0)
		r = lk_inode_cache_flush(op->fs);
	if (r == 0)
		r = lk_txn_count(op, LK_COUNTER_NEXT_INO, 0, &next_ino);
	if (r)
		return r;
	struct lk_snapshot row = *s;
	row.epoch = epoch;
	row.next_ino = next_ino;
	row.deleting = 0;
	r = lk_txn_insert(op, LK_T_SNAPSHOT, &row);
	if (r == 0)
		r = lk_txn_count(op, LK_COUNTER_EPOCH, 1, NULL);
	if (r)
		return r;
	op->fs->newest_snapshot = epoch;
	*s = row;
	return 0;
}

struct newest {
	int64_t below, found;
};

static int newest_row(void *arg, const void *record)
{
	struct newest *n = arg;
	const struct lk_snapshot *s = record;
	if (!s->deleting && s->epoch < n->below && s->epoch > n->found)
		n->found = s->epoch;
	return 0;
}

/* The newest existing snapshot before epoch; 0: none. */
static int newest_below(struct lk_op *op, int64_t below, int64_t *out)
{
	struct newest n = {.below = below};
	struct lk_scan scan = {.table = &lk_tables[LK_T_SNAPSHOT], .index = LK_BY_KEY};
	int r = lk_db_scan(op->fs->db, &scan, newest_row, &n);
	if (r == 0)
		*out = n.found;
	return r;
}

int lk_txn_snapshot_mark(struct lk_op *op, int64_t epoch)
{
	struct lk_snapshot s = {.epoch = epoch};
	int r = lk_txn_get(op, LK_T_SNAPSHOT, &s, &s);
	if (r)
		return r;
	s.deleting = 1;
	r = lk_txn_put(op, LK_T_SNAPSHOT, &s);
	if (r)
		return r;
	return newest_below(op, INT64_MAX, &op->fs->newest_snapshot);
}

/* K2's rule for one history row whose last was a deleted snapshot, and which is gone; before is the newest existing one before that. */
static int pass_on(struct lk_op *op, const struct lk_table *table, const void *row, int64_t before)
{
	const struct lk_table *old_table = &lk_tables[table->old];
	_Alignas(8) char moved[LK_RECORD_MAX + 8];
	if (before && *lk_int_of(&table->columns[table->born_column], row) <= before) {
		lk_record_to_old(table, row, before, moved);
		return lk_db_insert(op->fs->db, old_table, moved);
	}
	return op->fs->batch->dropped[table->id] ? op->fs->batch->dropped[table->id](op, row) : 0;
}

/* The next rows of a snapshot, at most limit, one by one. */
static int take_each(struct lk_op *op, const void *from, uint32_t limit, struct lk_row_set *rows)
{
	_Alignas(8) char row[LK_RECORD_MAX + 8];
	struct lk_row_set keys = {.table = rows->table};
	struct lk_scan scan = {
		.table = keys.table, .index = LK_BY_KEY, .equal = 1, .from = from, .limit = limit, .keys_only = true};
	struct lk_buf bytes = {0};
	int r = lk_db_scan(op->fs->db, &scan, lk_row_set_add, &keys);
	lk_row_set_ready(&keys);
	for (uint32_t i = 0; r == 0 && i < keys.count; i++) {
		bytes.len = 0;
		r = lk_db_get(op->fs->db, keys.table, lk_row_set_at(&keys, i), row, &bytes);
		if (r == 0)
			r = lk_row_set_add(rows, row);
		if (r == 0)
			r = lk_db_erase(op->fs->db, keys.table, row);
	}
	lk_buf_done(&bytes);
	lk_row_set_done(&keys);
	return r;
}

/* Some of a snapshot's rows, one at least and at most limit, if it has any left. They lie together, so that one search finds them all;
 * they are looked at where somebody has to be told of them. */
static int drop_some(struct lk_op *op, const struct lk_table *table, int64_t epoch, int64_t before, uint32_t limit,
		     uint32_t *rows_out, bool *more_out)
{
	_Alignas(8) char from[LK_RECORD_MAX + 8] = {0};
	struct lk_row_set rows = {.table = &lk_tables[table->old]};
	bool seen = before || op->fs->batch->dropped[table->id];
	int64_t next = 0;
	uint32_t count = 0;
	memcpy(from + table->record_size, &epoch, sizeof(epoch));
	/* The first row that has to wait. Like it there may be any number more, so all of its number do. */
	int r = lk_db_nth(op->fs->db, rows.table, from, limit, &next);
	*more_out = r == 0;
	if (r == LINKFS_ENOENT)
		r = 0;
	if (r == 0)
		r = lk_op_writes(op);
	if (r == 0)
		r = lk_db_take(op->fs->db, rows.table, from, *more_out ? next - 1 : INT64_MAX,
			       seen ? lk_row_set_add : NULL, &rows, &count);
	if (r == 0 && *more_out && count == 0) {
		r = take_each(op, from, limit, &rows);
		count = rows.count;
	}
	op->pages += count * LK_ROW_PAGES;
	lk_row_set_ready(&rows);
	for (uint32_t i = 0; r == 0 && i < rows.count; i++)
		r = pass_on(op, table, lk_row_set_at(&rows, i), before);
	*rows_out += count;
	lk_row_set_done(&rows);
	return r;
}

int lk_txn_snapshot_drop(struct lk_op *op, int64_t epoch, uint32_t max_rows, uint32_t *rows_out, bool *more_out)
{
	int64_t before;
	struct lk_snapshot s = {.epoch = epoch};
	int r = lk_txn_get(op, LK_T_SNAPSHOT, &s, &s);
	if (r)
		return r;
	if (!s.deleting)
		return LINKFS_EINVAL;
	*rows_out = 0;
	*more_out = false;
	r = newest_below(op, epoch, &before);
	for (int t = 0; r == 0 && t < LK_T_LIVE_COUNT; t++) {
		if (!lk_tables[t].versioned)
			continue;
		*more_out = *rows_out == max_rows;
		if (!*more_out)
			r = drop_some(op, &lk_tables[t], epoch, before, max_rows - *rows_out, rows_out, more_out);
		if (*more_out)
			return r;
	}
	return r ? r : lk_txn_erase(op, LK_T_SNAPSHOT, &s);
}

static int one_row(void *arg, const void *record)
{
	(void)record;
	*(bool *)arg = true;
	return 1;
}

int lk_txn_history_since(struct lk_op *op, enum lk_table_id id, int64_t epoch, bool *any_out)
{
	_Alignas(8) char from[LK_RECORD_MAX + 8] = {0};
	const struct lk_table *table = &lk_tables[id];
	struct lk_scan scan = {
		.table = &lk_tables[table->old], .index = LK_BY_KEY, .ranged = 1, .from = from, .limit = 1};
	memcpy(from + table->record_size, &epoch, sizeof(epoch));
	*any_out = false;
	return lk_db_scan(op->fs->db, &scan, one_row, any_out);
}
