/*
 * space_rows.c - rows of content, and which of them a deletion drops (space.h, Q1 to Q3).
 * Layer: core.
 */
#include "space_impl.h"

#include "extent_impl.h"

#include <string.h>

int lk_space_next(struct lk_space_run *run, struct lk_space_scan *scan)
{
	const struct lk_table *table = &lk_tables[scan->table];
	uint8_t columns[LK_COLUMNS_MAX];
	struct lk_scan s = {.table = table,
			    .index = scan->index,
			    .equal = scan->equal,
			    .exclusive = true,
			    .from = scan->from,
			    .limit = LK_SPACE_ROWS};
	int rc = 0;

	if (scan->begun) {
		rc = lk_space_rest(run);
		s.ranged = (uint8_t)(lk_index_order(table, scan->index, columns) - scan->equal);
	}
	scan->set.table = table;
	lk_row_set_clear(&scan->set);
	if (rc || scan->ended)
		return rc;
	scan->begun = true;
	rc = lk_db_scan(run->fs->db, &s, lk_row_set_add, &scan->set);
	lk_row_set_ready(&scan->set);
	scan->ended = scan->set.count < LK_SPACE_ROWS;
	if (rc == 0 && scan->set.count)
		memcpy(scan->from, lk_row_set_at(&scan->set, scan->set.count - 1), table->record_size);
	return rc;
}

/* How many snapshots of the set see a row. */
static uint64_t seen_by(const struct lk_space_run *run, int64_t born, int64_t last)
{
	size_t from = lk_space_first(run->gone, run->gone_count, born);
	size_t to = last == INT64_MAX ? run->gone_count : lk_space_first(run->gone, run->gone_count, last + 1);

	return to > from ? to - from : 0;
}

static void inline_goes(struct lk_space_run *run, uint64_t len)
{
	run->sum->exclusive += len;
	run->sum->inline_bytes += len;
}

/* Content of the set that stays; ino: the live file that has it, or 0. */
static int inline_stays(struct lk_space_run *run, uint64_t ino, int64_t born, int64_t last, uint64_t len)
{
	struct lk_space_file file = {ino, len};
	size_t from = lk_space_first(run->stay, run->stay_count, born);
	size_t to = last == INT64_MAX ? run->stay_count : lk_space_first(run->stay, run->stay_count, last + 1);

	run->sum->shared += len;
	if (!run->with)
		return 0;
	if (from < to) {
		run->inline_stay[from] += len;
		run->inline_stay[to] -= len;
	}
	return ino ? lk_buf_append(&run->files, &file, sizeof(file)) : 0;
}

static int extent_row(struct lk_space_run *run, const struct lk_extent *row, enum lk_space_fate fate)
{
	struct lk_ext e;
	int rc = lk_ext_check(row, (uint64_t)row->ino, &e);

	return rc || !lk_ext_allocated(e.codec) ? rc : lk_space_blocks(run, e.disk, lk_ext_named(&e), fate);
}

/* ---- history that goes ------------------------------------------------------------------------------------------------ */

static int history_row(struct lk_space_run *run, enum lk_table_id table, const void *row, int64_t last)
{
	const struct lk_inline *content = row;
	const struct lk_extent *extent = row;
	int64_t born = table == LK_T_INLINE_OLD ? content->born : extent->born;
	enum lk_space_fate fate = seen_by(run, born, last) ? LK_SPACE_DROPPED : LK_SPACE_GOING;

	if (lk_space_stays(run, born, last))
		return 0;
	if (table == LK_T_EXTENT_OLD)
		return extent_row(run, extent, fate);
	if (fate == LK_SPACE_DROPPED)
		inline_goes(run, content->content.len);
	return 0;
}

/* Rows that epoch is the last to see. */
static int history_of(struct lk_space_run *run, enum lk_table_id table, int64_t epoch)
{
	struct lk_space_scan scan = {.table = table, .index = LK_BY_KEY, .equal = 1};
	int rc = 0;

	memcpy(scan.from + lk_tables[table].record_size - sizeof(epoch), &epoch, sizeof(epoch));
	while (rc == 0 && (rc = lk_space_next(run, &scan)) == 0 && scan.set.count)
		for (uint32_t i = 0; rc == 0 && i < scan.set.count; i++)
			rc = history_row(run, table, lk_row_set_at(&scan.set, i), epoch);
	lk_row_set_done(&scan.set);
	return rc;
}

/* ---- files without a name ------------------------------------------------------------------------------------------------- */

/* A row of one: it goes with the file, and a snapshot of the set that sees it is what would keep it. */
static int nameless_row(struct lk_space_run *run, enum lk_table_id table, const void *row)
{
	const struct lk_inline *content = row;
	const struct lk_extent *extent = row;
	int64_t born = table == LK_T_INLINE ? content->born : extent->born;
	bool seen = seen_by(run, born, INT64_MAX) != 0;

	if (lk_space_stays(run, born, INT64_MAX)) {
		if (!run->full || !seen)
			return 0;
		return table == LK_T_EXTENT ? extent_row(run, extent, LK_SPACE_STAYS)
					    : inline_stays(run, 0, born, INT64_MAX, content->content.len);
	}
	if (table == LK_T_EXTENT)
		return extent_row(run, extent, seen ? LK_SPACE_DROPPED : LK_SPACE_GOING);
	if (seen)
		inline_goes(run, content->content.len);
	return 0;
}

static int nameless_rows(struct lk_space_run *run, enum lk_table_id table, int64_t ino)
{
	struct lk_space_scan scan = {.table = table, .index = LK_BY_KEY, .equal = 1};
	int rc = 0;

	memcpy(scan.from, &ino, sizeof(ino)); /* the first column of both tables */
	while (rc == 0 && (rc = lk_space_next(run, &scan)) == 0 && scan.set.count)
		for (uint32_t i = 0; rc == 0 && i < scan.set.count; i++)
			rc = nameless_row(run, table, lk_row_set_at(&scan.set, i));
	lk_row_set_done(&scan.set);
	return rc;
}

static int nameless(struct lk_space_run *run, int64_t ino)
{
	struct lk_inode inode;
	bool added;
	int rc = lk_inode_get_any(&run->op, (uint64_t)ino, &inode);

	/* A row of table orphan or deleted may have outlived it. */
	if (rc || inode.nlink || !lk_is_reg(&inode))
		return rc == LINKFS_ESTALE ? 0 : rc;
	rc = lk_set_add(&run->counted, (uint64_t)ino, &added);
	if (rc || !added)
		return rc;
	rc = lk_set_add(&run->dropped, (uint64_t)ino, &added);
	if (rc == 0)
		rc = nameless_rows(run, LK_T_EXTENT, ino);
	return rc ? rc : nameless_rows(run, LK_T_INLINE, ino);
}

static int all_nameless(struct lk_space_run *run, enum lk_table_id table)
{
	struct lk_space_scan scan = {.table = table, .index = LK_BY_KEY};
	int rc = 0;

	while (rc == 0 && (rc = lk_space_next(run, &scan)) == 0 && scan.set.count) {
		for (uint32_t i = 0; rc == 0 && i < scan.set.count; i++) {
			const void *row = lk_row_set_at(&scan.set, i);

			rc = nameless(run, table == LK_T_ORPHAN ? ((const struct lk_orphan *)row)->ino
								: ((const struct lk_deleted *)row)->ino);
		}
	}
	lk_row_set_done(&scan.set);
	return rc;
}

int lk_space_history(struct lk_space_run *run)
{
	bool stay = run->q->flags & LINKFS_SPACE_NOW; /* then they are what nobody asks of */
	int rc = stay ? 0 : all_nameless(run, LK_T_ORPHAN);

	if (rc == 0 && !stay)
		rc = all_nameless(run, LK_T_DELETED);
	for (size_t i = 0; rc == 0 && i < run->gone_count + run->going_count; i++) {
		int64_t epoch = i < run->gone_count ? run->gone[i] : run->going[i - run->gone_count];

		rc = history_of(run, LK_T_EXTENT_OLD, epoch);
		if (rc == 0)
			rc = history_of(run, LK_T_INLINE_OLD, epoch);
	}
	return rc;
}

/* ---- live files ------------------------------------------------------------------------------------------------------- */

struct found {
	int64_t born;
	uint64_t len;
};

static int found_row(void *arg, const void *record)
{
	const struct lk_inline *row = record;

	*(struct found *)arg = (struct found){row->born, row->content.len};
	return 1;
}

static int inline_file(struct lk_space_run *run, const struct lk_inode *inode, bool dropped)
{
	struct lk_inline key = {.ino = inode->ino};
	struct lk_scan scan = {
		.table = &lk_tables[LK_T_INLINE], .index = LK_BY_KEY, .equal = 1, .from = &key, .limit = 1};
	struct found found = {0};
	int rc = lk_db_scan(run->fs->db, &scan, found_row, &found);

	if (rc || found.len == 0)
		return rc;
	if (dropped && !lk_space_stays(run, found.born, INT64_MAX))
		inline_goes(run, found.len);
	else
		rc = inline_stays(run, dropped ? 0 : (uint64_t)inode->ino, found.born, INT64_MAX, found.len);
	return rc;
}

int lk_space_file(struct lk_space_run *run, const struct lk_inode *inode, bool dropped)
{
	struct lk_extent key = {.ino = inode->ino};
	struct lk_space_scan scan = {.table = LK_T_EXTENT, .index = LK_BY_KEY, .equal = 1};
	bool added;
	int rc = 0;

	if (!lk_is_reg(inode))
		return 0;
	if (run->full && run->gone_count)
		rc = lk_set_add(&run->counted, (uint64_t)inode->ino, &added);
	if (rc == 0 && run->with && dropped)
		rc = lk_set_add(&run->dropped, (uint64_t)inode->ino, &added);
	if (rc == 0 && (inode->flags & LK_INODE_INLINE))
		return inline_file(run, inode, dropped);
	memcpy(scan.from, &key, sizeof(key));
	while (rc == 0 && (rc = lk_space_next(run, &scan)) == 0 && scan.set.count) {
		for (uint32_t i = 0; rc == 0 && i < scan.set.count; i++) {
			const struct lk_extent *row = lk_row_set_at(&scan.set, i);
			bool goes = dropped && !lk_space_stays(run, row->born, INT64_MAX);

			rc = extent_row(run, row, goes ? LK_SPACE_DROPPED : LK_SPACE_STAYS);
		}
	}
	lk_row_set_done(&scan.set);
	return rc;
}

/* ---- all that snapshots see --------------------------------------------------------------------------------------------- */

typedef int row_fn(struct lk_space_run *run, const void *row, int64_t last);

static int seen_inode(struct lk_space_run *run, const void *row, int64_t last)
{
	const struct lk_inode *inode = row;

	if (inode->nlink > 0)
		lk_space_sizes(run, inode, seen_by(run, inode->born, last));
	return 0;
}

/* What is dropped was told by its last (Q1), and what the files of the set have by them. */
static bool is_new(const struct lk_space_run *run, int64_t ino, int64_t born, int64_t last)
{
	if (seen_by(run, born, last) == 0)
		return false;
	return last == INT64_MAX ? !lk_set_has(&run->counted, (uint64_t)ino) : lk_space_stays(run, born, last);
}

static int seen_extent(struct lk_space_run *run, const void *row, int64_t last)
{
	const struct lk_extent *extent = row;

	return is_new(run, extent->ino, extent->born, last) ? extent_row(run, extent, LK_SPACE_STAYS) : 0;
}

static int seen_inline(struct lk_space_run *run, const void *row, int64_t last)
{
	const struct lk_inline *content = row;
	uint64_t live = last == INT64_MAX ? (uint64_t)content->ino : 0;

	if (!is_new(run, content->ino, content->born, last))
		return 0;
	return inline_stays(run, live, content->born, last, content->content.len);
}

static int seen_table(struct lk_space_run *run, enum lk_table_id id, row_fn *fn)
{
	struct lk_space_scan scan = {.table = id, .index = LK_BY_KEY};
	int rc = 0;

	while (rc == 0 && (rc = lk_space_next(run, &scan)) == 0 && scan.set.count) {
		for (uint32_t i = 0; rc == 0 && i < scan.set.count; i++) {
			const void *row = lk_row_set_at(&scan.set, i);
			bool live = lk_tables[id].versioned;

			rc = fn(run, row, live ? INT64_MAX : lk_record_last(&lk_tables[id], row));
		}
	}
	lk_row_set_done(&scan.set);
	return rc;
}

int lk_space_seen(struct lk_space_run *run)
{
	static const struct {
		enum lk_table_id id;
		row_fn *fn;
	} tables[] = {{LK_T_INODE, seen_inode},       {LK_T_INODE_OLD, seen_inode}, {LK_T_EXTENT, seen_extent},
		      {LK_T_EXTENT_OLD, seen_extent}, {LK_T_INLINE, seen_inline},   {LK_T_INLINE_OLD, seen_inline}};
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < LK_ARRAY_LEN(tables); i++)
		rc = seen_table(run, tables[i].id, tables[i].fn);
	return rc;
}
