/*
 * extent_edit.c - extent rows changed: replaced, cut off at the end, moved (extent.h).
 * Layer: core.
 *
 * A replacement is composed from what is left of the first row, the new parts and what is left of the last row, joined
 * where file and disk blocks run on; then compared with the rows there were, so that only what differs is written.
 */
#include "extent_impl.h"

#include <string.h>

#define SHIFT_ROWS 256u

static const struct lk_table *const extent_table = &lk_tables[LK_T_EXTENT];

/* Old rows that touch [first, end], ascending, the neighbours on both sides included. */
static int collect(struct lk_op *op, uint64_t ino, uint64_t first, uint64_t end, struct lk_ext_rows *l)
{
	struct lk_extent from = {.ino = (int64_t)ino, .file_block = (int64_t)end};
	struct lk_scan scan = {
		.table = extent_table, .index = LK_BY_KEY, .equal = 1, .ranged = 1, .reverse = true, .from = &from};
	l->stop = first;
	int r = lk_txn_scan(op, &scan, lk_ext_rows_add, l);
	if (r)
		return r;
	size_t n = lk_ext_rows_count(l);
	for (size_t i = 0, k = n; i + 1 < k; i++) {
		struct lk_ext_row t = *lk_ext_rows_at(l, i);
		*lk_ext_rows_at(l, i) = *lk_ext_rows_at(l, --k);
		*lk_ext_rows_at(l, k) = t;
	}
	for (size_t i = 0; i + 1 < n; i++) {
		if (lk_ext_end(&lk_ext_rows_at(l, i)->e) != lk_ext_rows_at(l, i + 1)->e.at)
			return LINKFS_ECORRUPT;
	}
	/* The row before first, or the file's first row, must be there. */
	if (n && lk_ext_rows_at(l, 0)->e.at && lk_ext_rows_at(l, 0)->e.at >= first)
		return LINKFS_ECORRUPT;
	return 0;
}

struct build {
	struct lk_op *op;
	uint64_t ino;
	const struct lk_ext_rows *old;
	size_t old_at; /* old rows before this one are dealt with */
	bool any;
	struct lk_ext row; /* being built */
	uint8_t sums[LK_EXTENT_BLOCKS_MAX * 8];
};

static size_t sums_len(const struct lk_ext *e)
{
	return (size_t)lk_sums_of((int64_t)e->codec, (int64_t)e->count) * 8;
}

static int build_flush(struct build *b)
{
	if (!b->any)
		return 0;
	b->any = false;
	size_t n = lk_ext_rows_count(b->old);
	bool fresh = true;
	for (; b->old_at < n; b->old_at++) {
		const struct lk_ext_row *o = lk_ext_rows_at(b->old, b->old_at);
		if (o->e.at > b->row.at)
			break;
		if (o->e.at == b->row.at) {
			b->old_at++;
			fresh = false;
			if (o->e.count == b->row.count && o->e.disk == b->row.disk && o->e.codec == b->row.codec &&
			    o->e.length == b->row.length && o->e.offset == b->row.offset &&
			    (!lk_ext_data(o->e.codec) ||
			     memcmp(b->old->sums.p + o->sums, b->sums, sums_len(&o->e)) == 0))
				return 0;
			break;
		}
		int r = lk_ext_erase(b->op, b->ino, o->e.at);
		if (r)
			return r;
	}
	return lk_ext_put(b->op, b->ino, &b->row, b->sums, fresh);
}

/* How many of the part's blocks may join the row being built. */
static uint64_t joins(const struct build *b, const struct lk_ext *part, bool whole)
{
	const struct lk_ext *row = &b->row;
	if (!b->any || row->codec != part->codec)
		return 0;
	if (part->codec == LK_CODEC_HOLE)
		return part->count;
	if (row->disk + row->count != part->disk)
		return 0;
	/* A row lies in one group. */
	uint64_t room = LK_GROUP_BLOCKS - row->disk % LK_GROUP_BLOCKS - row->count;
	if (part->codec == LK_CODEC_RAW)
		room = LK_MIN(room, LK_EXTENT_BLOCKS_MAX - row->count);
	if (part->count > room && whole)
		return 0;
	return LK_MIN(part->count, room);
}

/* Adds a part that follows the row being built. whole: it was a row's, and is joined only if it ends with that. */
static int build_add(struct build *b, const struct lk_ext *e, const uint8_t *sums, bool whole)
{
	struct lk_ext part = *e;
	/* Parts of a chunk stay rows of their own, each of which counts as a reference to all of it. */
	if (part.codec == LK_CODEC_ZSTD) {
		int r = build_flush(b);
		if (r)
			return r;
		b->any = true;
		b->row = part;
		memcpy(b->sums, sums, 8);
		return 0;
	}
	while (part.count) {
		uint64_t n = joins(b, &part, whole);
		if (n == 0) {
			int r = build_flush(b);
			if (r)
				return r;
			n = part.count;
			if (part.codec == LK_CODEC_RAW)
				n = LK_MIN(n, (uint64_t)LK_EXTENT_BLOCKS_MAX);
			if (part.codec != LK_CODEC_HOLE)
				n = LK_MIN(n, LK_GROUP_BLOCKS - part.disk % LK_GROUP_BLOCKS);
			b->any = true;
			b->row = part;
			b->row.count = 0;
		}
		if (part.codec == LK_CODEC_RAW) {
			memcpy(b->sums + b->row.count * 8, sums, (size_t)n * 8);
			sums += n * 8;
		}
		b->row.count += n;
		part.at += n;
		part.count -= n;
		if (part.codec != LK_CODEC_HOLE)
			part.disk += n;
	}
	return 0;
}

static int build_end(struct build *b)
{
	int r = build_flush(b);
	for (size_t n = lk_ext_rows_count(b->old); r == 0 && b->old_at < n; b->old_at++)
		r = lk_ext_erase(b->op, b->ino, lk_ext_rows_at(b->old, b->old_at)->e.at);
	return r;
}

/* The part of an old row within [from, to) of file blocks. */
static int build_old(struct build *b, const struct lk_ext_row *o, uint64_t from, uint64_t to)
{
	from = LK_MAX(from, o->e.at);
	to = LK_MIN(to, lk_ext_end(&o->e));
	if (from >= to)
		return 0;
	uint64_t skip = from - o->e.at;
	struct lk_ext part = lk_ext_part(&o->e, skip, to - from);
	return build_add(b, &part, lk_ext_sums(b->old, o, skip), true);
}

static int blocks_add(struct lk_inode *inode, int64_t delta)
{
	inode->blocks += delta;
	return inode->blocks < 0 ? LINKFS_ECORRUPT : 0;
}

/* A row of a chunk is cut: each of its halves, of left and right blocks, names all of the chunk, as it did itself. */
static int cut_chunk(struct lk_op *op, struct lk_inode *inode, const struct lk_ext *old, uint64_t left, uint64_t right)
{
	struct lk_ext a = lk_ext_part(old, 0, left), z = lk_ext_part(old, old->count - right, right);
	int r = 0;
	if (left && right)
		r = lk_share_add(op, old->disk, lk_ext_named(old));
	else if (!left && !right)
		r = lk_share_sub(op, old->disk, lk_ext_named(old));
	return r ? r : blocks_add(inode, lk_ext_counted(&a) + lk_ext_counted(&z) - lk_ext_counted(old));
}

/* Gives up [from, to) of an old row, but for the parts that kept segments take over. */
static int give_up(struct lk_op *op, struct lk_inode *inode, const struct lk_ext *old, uint64_t first,
		   const struct lk_seg *segs, uint32_t seg_count, uint64_t from, uint64_t to)
{
	uint64_t at = first;
	bool chunk = old->codec == LK_CODEC_ZSTD;
	for (uint32_t i = 0; i < seg_count && at < to; at += segs[i++].count) {
		uint64_t a = LK_MAX(from, at), z = LK_MIN(to, at + segs[i].count);
		if (a >= z)
			continue;
		uint64_t disk = old->disk + (a - old->at);
		if (segs[i].kept) {
			if (old->codec != LK_CODEC_UNWRITTEN || disk != segs[i].disk + (a - at))
				return LINKFS_ECORRUPT;
			continue;
		}
		if (!lk_ext_allocated(old->codec) || chunk)
			continue;
		int r = lk_share_sub(op, disk, z - a);
		if (r == 0)
			r = blocks_add(inode, -(int64_t)(z - a));
		if (r)
			return r;
	}
	return chunk ? cut_chunk(op, inode, old, from - old->at, lk_ext_end(old) - to) : 0;
}

static int compose(struct build *b, uint64_t first, uint64_t end, const struct lk_seg *segs, uint32_t seg_count)
{
	size_t n = lk_ext_rows_count(b->old);
	uint64_t rows_end = n ? lk_ext_end(&lk_ext_rows_at(b->old, n - 1)->e) : 0;
	int r = 0;
	for (size_t i = 0; r == 0 && i < n; i++)
		r = build_old(b, lk_ext_rows_at(b->old, i), 0, first);
	if (r == 0 && rows_end < first) {
		struct lk_ext hole = {.at = rows_end, .count = first - rows_end, .codec = LK_CODEC_HOLE};
		r = build_add(b, &hole, NULL, false);
	}
	uint64_t at = first;
	for (uint32_t i = 0; r == 0 && i < seg_count; at += segs[i++].count) {
		struct lk_ext part = {at, segs[i].count, segs[i].disk, segs[i].codec, segs[i].length, segs[i].offset};
		r = build_add(b, &part, segs[i].sums, false);
	}
	for (size_t i = 0; r == 0 && i < n; i++)
		r = build_old(b, lk_ext_rows_at(b->old, i), end, UINT64_MAX);
	return r ? r : build_end(b);
}

/* none: the file has no rows, and none are looked for. */
static int replace(struct lk_op *op, struct lk_inode *inode, uint64_t first, const struct lk_seg *segs,
		   uint32_t seg_count, bool none)
{
	uint64_t ino = (uint64_t)inode->ino, end = first;
	int64_t added = 0;
	for (uint32_t i = 0; i < seg_count; i++) {
		end += segs[i].count;
		if (!segs[i].kept)
			added += lk_blocks_counted(segs[i].codec, (int64_t)segs[i].count, segs[i].length);
	}
	if (end > LK_FILE_BLOCKS_MAX)
		return LINKFS_EFBIG;
	if (end == first)
		return 0;
	struct lk_ext_rows old = {0};
	int r = none ? 0 : collect(op, ino, first, end, &old);
	struct build b = {.op = op, .ino = ino, .old = &old};
	if (r == 0)
		r = compose(&b, first, end, segs, seg_count);
	if (r == 0)
		r = blocks_add(inode, added);
	for (size_t i = 0; r == 0 && i < lk_ext_rows_count(&old); i++) {
		const struct lk_ext *e = &lk_ext_rows_at(&old, i)->e;
		uint64_t from = LK_MAX(first, e->at), to = LK_MIN(end, lk_ext_end(e));
		if (from < to)
			r = give_up(op, inode, e, first, segs, seg_count, from, to);
	}
	lk_ext_rows_done(&old);
	return r;
}

int lk_extent_replace(struct lk_op *op, struct lk_inode *inode, uint64_t first, const struct lk_seg *segs,
		      uint32_t seg_count)
{
	return replace(op, inode, first, segs, seg_count, false);
}

int lk_extent_begin(struct lk_op *op, struct lk_inode *inode, const struct lk_seg *segs, uint32_t seg_count)
{
	return replace(op, inode, 0, segs, seg_count, true);
}

static int trim_row(struct lk_op *op, struct lk_inode *inode, const struct lk_ext_rows *l, const struct lk_ext_row *o,
		    uint64_t from)
{
	struct lk_ext keep = o->e;
	keep.count = o->e.at < from ? from - o->e.at : 0;
	int r = keep.count ? lk_ext_put(op, (uint64_t)inode->ino, &keep, lk_ext_sums(l, o, 0), false)
			   : lk_ext_erase(op, (uint64_t)inode->ino, o->e.at);
	if (r || !lk_ext_allocated(o->e.codec))
		return r;
	if (o->e.codec == LK_CODEC_ZSTD)
		return cut_chunk(op, inode, &o->e, keep.count, 0);
	uint64_t cut = o->e.count - keep.count;
	r = lk_share_sub(op, o->e.disk + keep.count, cut);
	return r ? r : blocks_add(inode, -(int64_t)cut);
}

int lk_extent_trim(struct lk_op *op, struct lk_inode *inode, uint64_t from, uint32_t max_rows, bool *more_out)
{
	struct lk_ext_rows l = {0};
	struct lk_extent top = {.ino = inode->ino, .file_block = INT64_MAX};
	struct lk_scan scan = {.table = extent_table,
			       .index = LK_BY_KEY,
			       .equal = 1,
			       .ranged = 1,
			       .reverse = true,
			       .from = &top,
			       .limit = max_rows};
	l.stop = from;
	int r = lk_txn_scan(op, &scan, lk_ext_rows_add, &l);
	size_t n = lk_ext_rows_count(&l);
	for (size_t i = 0; r == 0 && i < n; i++) {
		const struct lk_ext_row *o = lk_ext_rows_at(&l, i);
		if (lk_ext_end(&o->e) > from)
			r = trim_row(op, inode, &l, o, from);
	}
	if (r == 0)
		*more_out = n == max_rows && lk_ext_rows_at(&l, n - 1)->e.at > from;
	lk_ext_rows_done(&l);
	return r;
}

/* Up to SHIFT_ROWS rows of the file from *from on, ascending, or from *from down to not below low. */
static int shift_batch(struct lk_op *op, uint64_t ino, bool down, uint64_t from, struct lk_ext_rows *l)
{
	l->rows.len = 0;
	l->sums.len = 0;
	l->ascending = !down;
	struct lk_extent key = {.ino = (int64_t)ino, .file_block = (int64_t)from};
	struct lk_scan scan = {.table = extent_table,
			       .index = LK_BY_KEY,
			       .equal = 1,
			       .ranged = 1,
			       .exclusive = down,
			       .reverse = down,
			       .from = &key,
			       .limit = SHIFT_ROWS};
	return lk_txn_scan(op, &scan, lk_ext_rows_add, l);
}

int lk_extent_shift(struct lk_op *op, uint64_t ino, uint64_t from, int64_t delta)
{
	/* Rows that move up are taken from the top, those that move down from the bottom: a row never lands on another. */
	bool down = delta > 0;
	uint64_t next = down ? LK_FILE_BLOCKS_MAX : from;
	struct lk_ext_rows l = {0};
	bool more = true;
	int r = 0;
	while (r == 0 && more) {
		r = shift_batch(op, ino, down, next, &l);
		size_t n = lk_ext_rows_count(&l);
		more = n == SHIFT_ROWS;
		for (size_t i = 0; r == 0 && i < n; i++) {
			const struct lk_ext_row *o = lk_ext_rows_at(&l, i);
			if (o->e.at < from) {
				more = false;
				break;
			}
			struct lk_ext moved = o->e;
			moved.at = (uint64_t)((int64_t)moved.at + delta);
			/* What holds no blocks may leave at the end; for the rest there is no place, which ext4 calls EINVAL. */
			if (moved.codec == LK_CODEC_HOLE && moved.at < LK_FILE_BLOCKS_MAX)
				moved.count = LK_MIN(moved.count, LK_FILE_BLOCKS_MAX - moved.at);
			else if (moved.codec != LK_CODEC_HOLE && lk_ext_end(&moved) > LK_FILE_BLOCKS_MAX)
				r = LINKFS_EINVAL;
			if (r == 0)
				r = lk_ext_erase(op, ino, o->e.at);
			if (r == 0 && moved.at < LK_FILE_BLOCKS_MAX)
				r = lk_ext_put(op, ino, &moved, lk_ext_sums(&l, o, 0), true);
			next = down ? o->e.at : o->e.at + 1;
		}
	}
	lk_ext_rows_done(&l);
	return r;
}

int lk_extent_remove(struct lk_op *op, struct lk_inode *inode, uint64_t first, uint64_t count)
{
	struct lk_ext_rows l = {0};
	uint64_t next = first, end = first + count;
	int r = 0;
	while (r == 0 && next < end) {
		r = shift_batch(op, (uint64_t)inode->ino, false, next, &l);
		size_t n = lk_ext_rows_count(&l);
		if (r == 0 && n == 0)
			r = LINKFS_ECORRUPT;
		for (size_t i = 0; r == 0 && i < n && next < end; i++) {
			const struct lk_ext *e = &lk_ext_rows_at(&l, i)->e;
			if (e->at != next || lk_ext_end(e) > end) {
				r = LINKFS_ECORRUPT;
				break;
			}
			next = lk_ext_end(e);
			r = lk_ext_erase(op, (uint64_t)inode->ino, e->at);
			if (r == 0 && lk_ext_allocated(e->codec))
				r = lk_share_sub(op, e->disk, lk_ext_named(e));
			if (r == 0 && lk_ext_allocated(e->codec))
				r = blocks_add(inode, -lk_ext_counted(e));
		}
	}
	lk_ext_rows_done(&l);
	return r;
}

int lk_extent_split(struct lk_op *op, struct lk_inode *inode, uint64_t block)
{
	uint64_t ino = (uint64_t)inode->ino;
	struct lk_ext_rows l = {0};
	struct lk_extent from = {.ino = (int64_t)ino, .file_block = (int64_t)block};
	struct lk_scan scan = {.table = extent_table,
			       .index = LK_BY_KEY,
			       .equal = 1,
			       .ranged = 1,
			       .reverse = true,
			       .from = &from,
			       .limit = 1};
	int r = lk_txn_scan(op, &scan, lk_ext_rows_add, &l);
	if (r == 0 && lk_ext_rows_count(&l)) {
		const struct lk_ext_row *o = lk_ext_rows_at(&l, 0);
		if (o->e.at < block && lk_ext_end(&o->e) > block) {
			uint64_t n = block - o->e.at;
			struct lk_ext left = lk_ext_part(&o->e, 0, n), right = lk_ext_part(&o->e, n, o->e.count - n);
			r = lk_ext_put(op, ino, &left, lk_ext_sums(&l, o, 0), false);
			if (r == 0)
				r = lk_ext_put(op, ino, &right, lk_ext_sums(&l, o, n), true);
			if (r == 0 && o->e.codec == LK_CODEC_ZSTD)
				r = cut_chunk(op, inode, &o->e, left.count, right.count);
		}
	}
	lk_ext_rows_done(&l);
	return r;
}

int lk_extent_put_hole(struct lk_op *op, uint64_t ino, uint64_t at, uint64_t count)
{
	struct lk_ext hole = {.at = at, .count = count, .codec = LK_CODEC_HOLE};
	return lk_ext_put(op, ino, &hole, NULL, true);
}

static int history_kept(struct lk_op *op, const void *record)
{
	const struct lk_extent *row = record;
	struct lk_ext e;
	int r = lk_ext_check(row, (uint64_t)row->ino, &e);
	return r || !lk_ext_allocated(e.codec) ? r : lk_share_add(op, e.disk, lk_ext_named(&e));
}

static int history_dropped(struct lk_op *op, const void *record)
{
	const struct lk_extent *row = record;
	struct lk_ext e;
	int r = lk_ext_check(row, (uint64_t)row->ino, &e);
	return r || !lk_ext_allocated(e.codec) ? r : lk_share_sub(op, e.disk, lk_ext_named(&e));
}

void lk_extent_start(struct lk_fs *fs)
{
	lk_txn_on_history(fs, LK_T_EXTENT, history_kept, history_dropped);
}
