/*
 * txn_snapshot.c - K2's snapshots as far as rows go: taking one is two writes, deleting one gives its history to the next older.
 * Layer: core.
 */
#include "txn_impl.h"

#include "inode_cache.h"
#include "snapshot.h"

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

/* ---- a deletion -------------------------------------------------------------------------------------------------------------- */

#define SLICE_PAGES 1024u /* proved for rows that go at once, where there is room for as many */

struct drop {
	struct lk_op *op;
	int64_t epoch, before; /* the snapshot, and the newest existing one before it; 0: none */
	uint32_t proved;       /* T4: what op->pages may become */
	uint32_t max, rows;    /* history rows: allowed, gone so far */
	bool more;             /* there are others */
	const struct lk_table *table, *old;
	lk_history_fn *dropped;                   /* who has to be told; NULL: nobody */
	uint32_t pages;                           /* that the end of one row of the table dirties, at most */
	_Alignas(8) char from[LK_RECORD_MAX + 8]; /* the least key of the snapshot's rows */
};

/* K2's rule for one history row whose last was a deleted snapshot, and which is gone. */
static int pass_on(const struct drop *d, const void *row)
{
	_Alignas(8) char moved[LK_RECORD_MAX + 8];
	if (d->before && *lk_int_of(&d->table->columns[d->table->born_column], row) <= d->before) {
		lk_record_to_old(d->table, row, d->before, moved);
		return lk_db_insert(d->op->fs->db, d->old, moved);
	}
	return d->dropped ? d->dropped(d->op, row) : 0;
}

static int64_t second_of(const struct drop *d, const void *row)
{
	return *lk_int_of(&d->old->columns[1], row);
}

/* Unseen, with one search, as they lie together: how many, which may be none where more have the same number than may go. */
static int clear(struct drop *d, uint32_t limit, uint32_t *count)
{
	struct lk_db *db = d->op->fs->db;
	int64_t next = 0;
	/* The first row that has to wait. Like it there may be any number more, so all of its number do. */
	int r = lk_db_nth(db, d->old, d->from, limit, &next);
	d->more = r == 0;
	if (r == LINKFS_ENOENT)
		r = 0;
	return r ? r : lk_db_clear(db, d->old, d->from, d->more ? next - 1 : INT64_MAX, count);
}

/* The same, with a look at them before; or one by one, where they have the same number. */
static int take(struct drop *d, uint32_t limit, struct lk_row_set *rows)
{
	struct lk_db *db = d->op->fs->db;
	struct lk_scan scan = {.table = d->old, .index = LK_BY_KEY, .equal = 1, .from = d->from, .limit = limit + 1};
	uint32_t count = 0;
	int r = lk_db_scan(db, &scan, lk_row_set_add, rows);
	lk_row_set_ready(rows);
	if (r)
		return r;
	d->more = rows->count > limit;
	int64_t next = d->more ? second_of(d, lk_row_set_at(rows, limit)) : 0;
	while (d->more && rows->count && second_of(d, lk_row_set_at(rows, rows->count - 1)) == next)
		rows->count--;
	if (rows->count || !d->more) {
		r = lk_db_clear(db, d->old, d->from, d->more ? next - 1 : INT64_MAX, &count);
		return r == 0 && count != rows->count ? LINKFS_ECORRUPT : r;
	}
	rows->count = limit;
	for (uint32_t i = 0; r == 0 && i < limit; i++)
		r = lk_db_erase(db, d->old, lk_row_set_at(rows, i));
	return r;
}

/* Some rows, one at least and at most limit, of a table that has some left. They are looked at where somebody has to be told of them. */
static int drop_some(struct drop *d, uint32_t limit)
{
	struct lk_row_set rows = {.table = d->old};
	bool seen = d->before || d->dropped;
	uint32_t count = 0;
	int r = lk_op_writes(d->op);
	if (r == 0 && !seen)
		r = clear(d, limit, &count);
	if (r == 0 && count == 0) {
		r = take(d, limit, &rows);
		count = rows.count;
	}
	d->rows += count;
	d->op->rows += count;
	d->op->pages += count * d->pages;
	for (uint32_t i = 0; r == 0 && seen && i < rows.count; i++)
		r = pass_on(d, lk_row_set_at(&rows, i));
	lk_row_set_done(&rows);
	return r;
}

/* Its leaf, a sibling and two above in each tree, twice where it goes to an older snapshot with all its bytes: a snapshot's rows lie together,
 * but anywhere in the indexes. Who has to be told changes rows of his own and counts them himself, so that they are only guessed here. */
static uint32_t pages_of_one(const struct drop *d)
{
	uint32_t pages = (1u + d->old->index_count) * (LK_ROW_PAGES / 2);
	if (d->before)
		pages = 2 * pages + (d->table->id == LK_T_XATTR ? LINKFS_XATTR_SIZE_MAX / (LK_BLOCK_SIZE / 2) : 2);
	return d->dropped ? pages + 2 * LK_ROW_PAGES : pages;
}

/* How many rows may go now; the op's first one may, whatever it is. */
static int room(struct drop *d, uint32_t *rows_out)
{
	struct lk_db *db = d->op->fs->db;
	bool awaited = d->rows >= LK_SNAPSHOT_STEP &&
		       atomic_load_explicit(&d->op->fs->batch->coming, memory_order_relaxed) > 0;
	int r = LINKFS_ENOSPC;
	*rows_out = 0;
	if (d->rows == d->max || awaited)
		return 0;
	if (d->proved < d->op->pages + SLICE_PAGES / 2)
		r = db->ops->reserve(db, SLICE_PAGES, false);
	if (r == 0)
		d->proved = d->op->pages + SLICE_PAGES;
	uint32_t left = d->proved - LK_MIN(d->proved, d->op->pages);
	*rows_out = LK_MIN(LK_MAX(left / d->pages, (uint32_t)(d->rows == 0)), d->max - d->rows);
	return r == LINKFS_ENOSPC ? 0 : r;
}

static int drop_table(struct drop *d, const struct lk_table *table)
{
	uint32_t limit = 0;
	int64_t first;
	d->table = table;
	d->old = &lk_tables[table->old];
	d->dropped = d->op->fs->batch->dropped[table->id];
	d->pages = pages_of_one(d);
	memset(d->from, 0, sizeof(d->from));
	memcpy(d->from + table->record_size, &d->epoch, sizeof(d->epoch));
	/* Most tables have none: then no other statement is made ready. */
	int r = lk_db_nth(d->op->fs->db, d->old, d->from, 0, &first);
	if (r == LINKFS_ENOENT)
		return 0;
	d->more = true;
	while (r == 0 && d->more) {
		r = room(d, &limit);
		if (r || limit == 0)
			break;
		r = drop_some(d, limit);
	}
	return r;
}

int lk_txn_snapshot_drop(struct lk_op *op, int64_t epoch, uint32_t max_rows, uint32_t *rows_out, bool *more_out)
{
	struct drop d = {.op = op, .epoch = epoch, .max = max_rows};
	struct lk_snapshot s = {.epoch = epoch};
	int r = lk_txn_get(op, LK_T_SNAPSHOT, &s, &s);
	if (r)
		return r;
	if (!s.deleting)
		return LINKFS_EINVAL;
	d.proved = op->flags & LK_OP_BULK ? LK_OP_BULK_PAGES : LK_OP_PAGES;
	r = newest_below(op, epoch, &d.before);
	for (int t = 0; r == 0 && !d.more && t < LK_T_LIVE_COUNT; t++) {
		if (lk_tables[t].versioned)
			r = drop_table(&d, &lk_tables[t]);
	}
	if (r == LINKFS_ENOENT) /* a row that is named; of the snapshot it means something else */
		r = LINKFS_ECORRUPT;
	*rows_out = d.rows;
	*more_out = d.more;
	return r || d.more ? r : lk_txn_erase(op, LK_T_SNAPSHOT, &s);
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
