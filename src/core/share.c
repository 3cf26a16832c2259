/*
 * share.c - reference counts of shared blocks (share.h): disjoint ranges, neighbours with one count merged.
 * Layer: core.
 */
#include "share.h"

#define REFS_MAX (INT64_C(1) << 48)

struct range {
	uint64_t from, to; /* empty when equal */
	int64_t refs;
};

static int range_row(void *arg, const void *record)
{
	const struct lk_shared *row = record;
	if (row->disk_block < 0 || row->count < 1 || row->refs < 2 || row->refs > REFS_MAX ||
	    row->disk_block > LK_DISK_BLOCK_MAX || row->count > LK_DISK_BLOCK_MAX + 1 - row->disk_block)
		return LINKFS_ECORRUPT;
	*(struct range *)arg =
		(struct range){(uint64_t)row->disk_block, (uint64_t)(row->disk_block + row->count), row->refs};
	return 1;
}

/* The last range that starts below top; empty if there is none. */
static int last_below(struct lk_op *op, uint64_t top, struct range *out)
{
	struct lk_shared from = {.disk_block = (int64_t)top};
	struct lk_scan scan = {.table = &lk_tables[LK_T_SHARED],
			       .index = LK_BY_KEY,
			       .ranged = 1,
			       .exclusive = true,
			       .reverse = true,
			       .from = &from,
			       .limit = 1};
	*out = (struct range){0};
	return lk_txn_scan(op, &scan, range_row, out);
}

/* An op that gives back much learns where nothing is shared: from the end of the range below, which was just found, to the next one. */
static int learn_unshared(struct lk_op *op, uint64_t below, uint64_t top)
{
	struct lk_shared from = {.disk_block = (int64_t)top};
	struct lk_scan scan = {
		.table = &lk_tables[LK_T_SHARED], .index = LK_BY_KEY, .ranged = 1, .from = &from, .limit = 1};
	struct range above = {0};
	if (!(op->flags & LK_OP_BULK))
		return 0;
	int r = lk_txn_scan(op, &scan, range_row, &above);
	op->unshared = below;
	op->unshared_end = above.to > above.from ? above.from : UINT64_MAX;
	return r;
}

static int range_put(struct lk_op *op, uint64_t from, uint64_t to, int64_t refs)
{
	struct lk_shared row = {(int64_t)from, (int64_t)(to - from), refs};
	op->unshared = op->unshared_end = 0;
	return lk_txn_put(op, LK_T_SHARED, &row);
}

static int range_erase(struct lk_op *op, uint64_t from)
{
	struct lk_shared key = {.disk_block = (int64_t)from};
	int r = lk_txn_erase(op, LK_T_SHARED, &key);
	return r == LINKFS_ENOENT ? LINKFS_ECORRUPT : r;
}

/* Puts a range that no row covers, merged with its neighbours. */
static int range_add(struct lk_op *op, uint64_t from, uint64_t to, int64_t refs)
{
	struct range left, right;
	int r = last_below(op, to + 1, &right);
	if (r == 0 && right.to > right.from && right.from == to && right.refs == refs) {
		r = range_erase(op, to);
		to = right.to;
	}
	if (r == 0)
		r = last_below(op, from, &left);
	if (r == 0 && left.to > left.from && left.to == from && left.refs == refs)
		from = left.from;
	return r ? r : range_put(op, from, to, refs);
}

/* Changes the count of [from, to), which lies in row. */
static int range_change(struct lk_op *op, const struct range *row, uint64_t from, uint64_t to, int64_t refs)
{
	if (refs > REFS_MAX)
		return LINKFS_EMLINK;
	int r = row->from < from ? range_put(op, row->from, from, row->refs) : range_erase(op, from);
	if (r == 0 && to < row->to)
		r = range_put(op, to, row->to, row->refs);
	if (r == 0 && refs >= 2)
		r = range_add(op, from, to, refs);
	return r;
}

static int free_blocks(struct lk_op *op, uint64_t from, uint64_t to)
{
	while (from < to) {
		struct lk_run run = {from, (uint32_t)LK_MIN(to - from, (uint64_t)LK_GROUP_BLOCKS)};
		int r = lk_alloc_free(op->fs->alloc, &op->alloc, &run);
		if (r)
			return r;
		from += run.count;
	}
	return 0;
}

/* Most volumes share nothing: that is found out once, before the first change since opening, and forgotten for good with the
 * first range, so that it holds whatever is undone. */
static int look_for_any(struct lk_op *op)
{
	struct range row;
	if (op->fs->shares != LK_SHARES_UNKNOWN)
		return 0;
	int r = last_below(op, (uint64_t)INT64_MAX, &row);
	if (r == 0)
		op->fs->shares = row.to > row.from ? LK_SHARES_SOME : LK_SHARES_NONE;
	return r;
}

/* From the top down: each step does the highest part that one row, or none, covers. */
static int change(struct lk_op *op, uint64_t block, uint64_t count, int64_t delta)
{
	uint64_t top = block + count;
	int any = look_for_any(op);
	if (any)
		return any;
	if (delta > 0)
		op->fs->shares = LK_SHARES_SOME;
	else if (op->fs->shares == LK_SHARES_NONE || (block >= op->unshared && top <= op->unshared_end))
		return free_blocks(op, block, top);
	while (top > block) {
		struct range row;
		int r = last_below(op, top, &row);
		if (r)
			return r;
		uint64_t from;
		if (row.to < top) { /* a part, or all, that is named once */
			from = LK_MAX(row.to, block);
			r = delta > 0 ? range_add(op, from, top, 2) : free_blocks(op, from, top);
			if (r == 0 && delta < 0)
				r = learn_unshared(op, row.to, top);
		} else {
			from = LK_MAX(row.from, block);
			r = range_change(op, &row, from, top, row.refs + delta);
		}
		if (r)
			return r;
		top = from;
	}
	return 0;
}

int lk_share_add(struct lk_op *op, uint64_t block, uint64_t count)
{
	return change(op, block, count, 1);
}

int lk_share_sub(struct lk_op *op, uint64_t block, uint64_t count)
{
	return change(op, block, count, -1);
}

int lk_share_any(struct lk_op *op, uint64_t block, uint64_t count, bool *any_out)
{
	struct range row = {0};
	int r = look_for_any(op);
	if (r == 0 && op->fs->shares == LK_SHARES_SOME)
		r = last_below(op, block + count, &row);
	if (r == 0)
		*any_out = row.to > block;
	return r;
}

int lk_share_at(struct lk_op *op, uint64_t block, struct lk_share_range *out)
{
	struct lk_shared from = {.disk_block = (int64_t)block};
	struct lk_scan scan = {.table = &lk_tables[LK_T_SHARED],
			       .index = LK_BY_KEY,
			       .ranged = 1,
			       .exclusive = true,
			       .from = &from,
			       .limit = 1};
	struct range row = {0};
	*out = (struct lk_share_range){block, UINT64_MAX, 1};
	int r = look_for_any(op);
	if (r == 0 && op->fs->shares == LK_SHARES_SOME)
		r = last_below(op, block + 1, &row);
	if (r == 0 && row.to > block)
		*out = (struct lk_share_range){row.from, row.to, (uint64_t)row.refs};
	if (r || op->fs->shares != LK_SHARES_SOME || row.to > block)
		return r;
	row = (struct range){0};
	r = lk_txn_scan(op, &scan, range_row, &row);
	if (r == 0 && row.to > row.from)
		out->to = row.from;
	return r;
}
