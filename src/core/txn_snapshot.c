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

/* K2's rule for one history row whose last is a deleted snapshot; before is the newest existing one before that. */
static int pass_on(struct lk_op *op, const struct lk_table *table, const void *row, int64_t before)
{
	const struct lk_table *old_table = &lk_tables[table->old];
	_Alignas(8) char moved[LK_RECORD_MAX + 8];
	int r = lk_op_writes(op);
	if (r == 0)
		r = lk_db_erase(op->fs->db, old_table, row);
	if (r)
		return r;
	if (before && *lk_int_of(&table->columns[table->born_column], row) <= before) {
		lk_record_to_old(table, row, before, moved);
		return lk_db_insert(op->fs->db, old_table, moved);
	}
	return op->fs->batch->dropped[table->id] ? op->fs->batch->dropped[table->id](op, row) : 0;
}

int lk_txn_snapshot_drop(struct lk_op *op, int64_t epoch, uint32_t max_rows, uint32_t *rows_out, bool *more_out)
{
	_Alignas(8) char from[LK_RECORD_MAX + 8];
	int64_t before;
	struct lk_snapshot s = {.epoch = epoch};
	int r = lk_txn_get(op, LK_T_SNAPSHOT, &s, &s);
	if (r)
		return r;
	if (!s.deleting)
		return LINKFS_EINVAL;
	*rows_out = 0;
	r = newest_below(op, epoch, &before);
	for (int t = 0; r == 0 && t < LK_T_LIVE_COUNT; t++) {
		const struct lk_table *table = &lk_tables[t];
		if (!table->versioned)
			continue;
		struct lk_row_set set = {.table = &lk_tables[table->old]};
		memset(from, 0, sizeof(from));
		memcpy(from + table->record_size, &epoch, sizeof(epoch));
		/* Index 0 of every history table is (last). */
		struct lk_scan scan = {
			.table = set.table, .index = 0, .equal = 1, .from = from, .limit = max_rows - *rows_out};
		r = lk_db_scan(op->fs->db, &scan, lk_row_set_add, &set);
		lk_row_set_ready(&set);
		for (uint32_t i = 0; r == 0 && i < set.count; i++)
			r = pass_on(op, table, lk_row_set_at(&set, i), before);
		*rows_out += set.count;
		lk_row_set_done(&set);
		if (r == 0 && *rows_out >= max_rows) {
			*more_out = true;
			return 0;
		}
	}
	if (r == 0)
		r = lk_txn_erase(op, LK_T_SNAPSHOT, &s);
	if (r == 0)
		*more_out = false;
	return r;
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
	/* Index 0 of every history table is (last). */
	struct lk_scan scan = {.table = &lk_tables[table->old], .index = 0, .ranged = 1, .from = from, .limit = 1};
	memcpy(from + table->record_size, &epoch, sizeof(epoch));
	*any_out = false;
	return lk_db_scan(op->fs->db, &scan, one_row, any_out);
}
