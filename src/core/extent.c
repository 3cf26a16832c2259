/*
 * extent.c - extent rows read and checked (extent.h).
 * Layer: core. extent_edit.c changes them.
 */
#include "extent_impl.h"

#include <string.h>

int lk_ext_check(const struct lk_extent *row, uint64_t ino, struct lk_ext *out)
{
	int64_t count_max = (int64_t)LK_FILE_BLOCKS_MAX;
	bool packed = row->codec == LK_CODEC_ZSTD;
	switch (row->codec) {
	case LK_CODEC_RAW:
		count_max = LK_EXTENT_BLOCKS_MAX;
		break;
	case LK_CODEC_ZSTD:
		count_max = LK_CHUNK_BLOCKS;
		break;
	case LK_CODEC_UNWRITTEN:
		count_max = LK_GROUP_BLOCKS;
		break;
	case LK_CODEC_HOLE:
		break;
	default:
		return LINKFS_ECORRUPT;
	}
	if (row->ino != (int64_t)ino || row->file_block < 0 || row->file_block >= (int64_t)LK_FILE_BLOCKS_MAX ||
	    row->count < 1 || row->count > count_max || row->count > (int64_t)LK_FILE_BLOCKS_MAX - row->file_block)
		return LINKFS_ECORRUPT;
	if (packed ? row->length < 1 || row->length > (int64_t)(LK_CHUNK_BYTES - LK_BLOCK_SIZE) || row->offset < 0 ||
			     row->offset > (int64_t)LK_CHUNK_BLOCKS - row->count
		   : row->length != 0 || row->offset != 0)
		return LINKFS_ECORRUPT;
	if (row->sums.len != (size_t)lk_sums_of(row->codec, row->count) * 8)
		return LINKFS_ECORRUPT;
	int64_t named = lk_blocks_named(row->codec, row->count, row->length);
	if (row->codec == LK_CODEC_HOLE ? row->disk_block != 0
					: row->disk_block < 0 || row->disk_block > LK_DISK_BLOCK_MAX ||
						  row->disk_block % LK_GROUP_BLOCKS + named > LK_GROUP_BLOCKS)
		return LINKFS_ECORRUPT;
	*out = (struct lk_ext){(uint64_t)row->file_block, (uint64_t)row->count,  (uint64_t)row->disk_block,
			       (uint32_t)row->codec,      (uint32_t)row->length, (uint32_t)row->offset};
	return 0;
}

int lk_ext_rows_add(void *list, const void *record)
{
	struct lk_ext_rows *l = list;
	const struct lk_extent *row = record;
	struct lk_ext_row r = {.sums = l->sums.len};
	int rc = lk_ext_check(row, (uint64_t)row->ino, &r.e);
	if (rc == 0 && row->sums.len)
		rc = lk_buf_append(&l->sums, row->sums.p, row->sums.len);
	if (rc == 0)
		rc = lk_buf_append(&l->rows, &r, sizeof(r));
	if (rc)
		return rc;
	return !l->ascending && (r.e.at < l->stop || r.e.at == 0);
}

int lk_ext_put(struct lk_op *op, uint64_t ino, const struct lk_ext *e, const uint8_t *sums, bool fresh)
{
	struct lk_extent row = {.ino = (int64_t)ino,
				.file_block = (int64_t)e->at,
				.disk_block = (int64_t)e->disk,
				.count = (int64_t)e->count,
				.codec = (int64_t)e->codec,
				.length = e->length,
				.offset = e->offset};
	if (lk_ext_data(e->codec))
		row.sums = (struct lk_bytes){sums, (size_t)lk_sums_of((int64_t)e->codec, (int64_t)e->count) * 8};
	int r = fresh ? lk_txn_insert(op, LK_T_EXTENT, &row) : lk_txn_put(op, LK_T_EXTENT, &row);
	return r == LINKFS_EEXIST ? LINKFS_ECORRUPT : r;
}

int lk_ext_erase(struct lk_op *op, uint64_t ino, uint64_t at)
{
	struct lk_extent key = {.ino = (int64_t)ino, .file_block = (int64_t)at};
	int r = lk_txn_erase(op, LK_T_EXTENT, &key);
	return r == LINKFS_ENOENT ? LINKFS_ECORRUPT : r;
}

/* ---- reading ------------------------------------------------------------------------------------------------ */

struct mapping {
	struct lk_map *map;
	uint64_t ino, last;
	uint64_t below; /* where the row seen before begins; UINT64_MAX for none */
	uint32_t from;  /* pieces are filled downwards from the end of the array */
};

static int map_row(void *arg, const void *record)
{
	struct mapping *m = arg;
	struct lk_map *map = m->map;
	const struct lk_extent *row = record;
	struct lk_ext e;
	int r = lk_ext_check(row, m->ino, &e);
	if (r)
		return r;
	uint64_t end = lk_ext_end(&e);
	if (m->below == UINT64_MAX) {
		map->end = end;
		map->disk_end = lk_ext_allocated(e.codec) ? e.disk + lk_ext_named(&e) : 0;
	} else if (end != m->below) {
		return LINKFS_ECORRUPT;
	}
	m->below = e.at;
	uint64_t from = LK_MAX(e.at, map->first), to = LK_MIN(end, m->last + 1);
	if (from < to) {
		struct lk_ext *piece = &map->piece[--m->from];
		*piece = lk_ext_part(&e, from - e.at, to - from);
		if (e.codec == LK_CODEC_ZSTD) {
			map->sums[from - map->first] = lk_get_u64(row->sums.p);
		} else if (e.codec == LK_CODEC_RAW) {
			const uint8_t *sums = (const uint8_t *)row->sums.p + (from - e.at) * 8;
			for (uint64_t i = 0; i < piece->count; i++)
				map->sums[from - map->first + i] = lk_get_u64(sums + i * 8);
		}
	}
	return e.at <= map->first;
}

int lk_extent_map(struct lk_op *op, uint64_t ino, uint64_t first, uint32_t count, struct lk_map *map)
{
	map->first = first;
	map->count = count;
	map->pieces = 0;
	map->end = 0;
	map->disk_end = 0;
	struct mapping m = {map, ino, first + count - 1, UINT64_MAX, LK_MAP_BLOCKS};
	struct lk_extent from = {.ino = (int64_t)ino, .file_block = (int64_t)m.last};
	struct lk_scan scan = {.table = &lk_tables[LK_T_EXTENT],
			       .index = LK_BY_KEY,
			       .equal = 1,
			       .ranged = 1,
			       .reverse = true,
			       .from = &from};
	int r = lk_txn_scan(op, &scan, map_row, &m);
	if (r)
		return r;
	if (m.below != UINT64_MAX && m.below > first)
		return LINKFS_ECORRUPT;
	map->pieces = LK_MAP_BLOCKS - m.from;
	if (m.from)
		memmove(map->piece, map->piece + m.from, map->pieces * sizeof(*map->piece));
	return 0;
}

struct found {
	uint64_t ino;
	struct lk_ext ext;
	bool any;
};

static int found_row(void *arg, const void *record)
{
	struct found *f = arg;
	int r = lk_ext_check(record, f->ino, &f->ext);
	f->any = true;
	return r ? r : 1;
}

static int find_at_or_below(struct lk_op *op, uint64_t ino, uint64_t block, struct found *f)
{
	struct lk_extent from = {.ino = (int64_t)ino, .file_block = (int64_t)block};
	struct lk_scan scan = {.table = &lk_tables[LK_T_EXTENT],
			       .index = LK_BY_KEY,
			       .equal = 1,
			       .ranged = 1,
			       .reverse = true,
			       .from = &from,
			       .limit = 1};
	*f = (struct found){.ino = ino};
	return lk_txn_scan(op, &scan, found_row, f);
}

int lk_extent_find(struct lk_op *op, uint64_t ino, uint64_t block, struct lk_ext *out)
{
	struct found f;
	int r = find_at_or_below(op, ino, block, &f);
	if (r)
		return r;
	if (!f.any || lk_ext_end(&f.ext) <= block)
		return LINKFS_ECORRUPT;
	*out = f.ext;
	return 0;
}

int lk_extent_end(struct lk_op *op, uint64_t ino, uint64_t *end_out)
{
	struct found f;
	int r = find_at_or_below(op, ino, LK_FILE_BLOCKS_MAX, &f);
	if (r == 0)
		*end_out = f.any ? lk_ext_end(&f.ext) : 0;
	return r;
}

struct span {
	uint64_t ino, end, limit;
	uint32_t rows;
};

static int span_row(void *arg, const void *record)
{
	struct span *s = arg;
	struct lk_ext e;
	int r = lk_ext_check(record, s->ino, &e);
	if (r)
		return r;
	if (e.at != s->end)
		return LINKFS_ECORRUPT;
	if (e.at >= s->limit)
		return 1;
	s->end = lk_ext_end(&e);
	return 0;
}

int lk_extent_span(struct lk_op *op, uint64_t ino, uint64_t first, uint64_t count, uint32_t max_rows,
		   uint64_t *span_out)
{
	struct lk_ext e;
	int r = lk_extent_find(op, ino, first, &e);
	if (r)
		return r;
	struct span s = {ino, lk_ext_end(&e), first + count, max_rows};
	if (s.end < s.limit && max_rows > 1) {
		struct lk_extent from = {.ino = (int64_t)ino, .file_block = (int64_t)s.end};
		struct lk_scan scan = {.table = &lk_tables[LK_T_EXTENT],
				       .index = LK_BY_KEY,
				       .equal = 1,
				       .ranged = 1,
				       .from = &from,
				       .limit = max_rows - 1};
		r = lk_txn_scan(op, &scan, span_row, &s);
	}
	if (r == 0)
		*span_out = LK_MIN(s.end, s.limit) - first;
	return r;
}

struct oldest {
	int64_t first, born;
};

static int oldest_row(void *arg, const void *record)
{
	const struct lk_extent *row = record;
	struct oldest *o = arg;
	o->born = LK_MIN(o->born, row->born);
	return row->file_block <= o->first;
}

int lk_extent_oldest(struct lk_op *op, uint64_t ino, uint64_t first, uint32_t count, int64_t *born_out)
{
	struct lk_extent from = {.ino = (int64_t)ino, .file_block = (int64_t)(first + count - 1)};
	struct lk_scan scan = {.table = &lk_tables[LK_T_EXTENT],
			       .index = LK_BY_KEY,
			       .equal = 1,
			       .ranged = 1,
			       .reverse = true,
			       .from = &from};
	struct oldest o = {(int64_t)first, INT64_MAX};
	int r = lk_txn_scan(op, &scan, oldest_row, &o);
	if (r == 0)
		*born_out = o.born;
	return r;
}

static int count_row(void *arg, const void *record)
{
	(void)record;
	++*(uint64_t *)arg;
	return 0;
}

int lk_extent_count(struct lk_op *op, uint64_t ino, uint64_t from, uint64_t *rows_out)
{
	uint64_t rows = 0;
	struct lk_extent key = {.ino = (int64_t)ino, .file_block = (int64_t)from};
	struct lk_scan scan = {
		.table = &lk_tables[LK_T_EXTENT], .index = LK_BY_KEY, .equal = 1, .ranged = 1, .from = &key};
	int r = lk_txn_scan(op, &scan, count_row, &rows);
	if (r == 0)
		*rows_out = rows;
	return r;
}
