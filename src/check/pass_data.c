/*
 * pass_data.c - every block of data that a row names, live or history, against its checksum.
 * Layer: check. Rows are gathered by the thousands and their blocks read in the order of the disk, neighbours at once: that is
 * no slower than reading the pieces through. A block that several rows name is read once for those that are gathered together.
 */
#include "check_impl.h"

#include "blocks.h"
#include "pack.h"

#include <stdlib.h>
#include <string.h>

#define GATHER_BLOCKS 65536u /* 256 MiB of data, 512 KiB of checksums */
#define READ_BLOCKS 256u

/* A row's blocks. */
struct stretch {
	uint64_t disk;
	uint32_t count;
	uint32_t sums; /* offset in the batch's sums, in checksums */
	int64_t ino, file_block, last;
	uint32_t length, plain; /* compressed: bytes there, and blocks that they must unpack to; else 0 */
};

struct data {
	struct lk_check *c;
	const struct lk_table *table; /* of the rows */
	struct lk_buf stretches, sums, bad;
	uint8_t *window;      /* READ_BLOCKS blocks */
	uint64_t first, have; /* of the window */
	uint64_t error_at;    /* of the window's blocks, the first that could not be read; UINT64_MAX */
	uint64_t done;
	struct stretch good; /* the compressed one that was found whole last; several rows may name it */
	uint64_t good_sum;
};

struct bad_block {
	int64_t ino, file_block, last;
};

static int enter(struct lk_check *c, bool fresh)
{
	return c->job->enter ? c->job->enter(c->job->arg, fresh) : 0;
}

static void leave(struct lk_check *c)
{
	if (c->job->leave)
		c->job->leave(c->job->arg);
}

/* ---- gathering -------------------------------------------------------------------------------------------------------- */

static int add(struct data *d, const void *record)
{
	const struct lk_extent *e = record;
	/* What breaks a rule was told by the passes before. */
	bool packed = e->codec == LK_CODEC_ZSTD;
	int64_t named = lk_blocks_named(e->codec, e->count, e->length);
	if ((e->codec != LK_CODEC_RAW && !packed) || lk_extent_fault(e) ||
	    (uint64_t)(e->disk_block + named) > d->c->block_end)
		return 0;
	struct stretch s = {.disk = (uint64_t)e->disk_block,
			    .count = (uint32_t)named,
			    .length = packed ? (uint32_t)e->length : 0,
			    .plain = packed ? (uint32_t)(e->offset + e->count) : 0,
			    .sums = (uint32_t)(d->sums.len / 8),
			    .ino = e->ino,
			    .file_block = e->file_block,
			    .last = d->table->id == LK_T_EXTENT ? 0 : lk_record_last(d->table, record)};
	int r = lk_buf_append(&d->sums, e->sums.p, e->sums.len);
	return r ? r : lk_buf_append(&d->stretches, &s, sizeof(s));
}

static int gather(struct data *d, struct lk_rows *rows, bool *end_out)
{
	const void *record;
	d->stretches.len = d->sums.len = 0;
	*end_out = false;
	int r = enter(d->c, true);
	if (r)
		return r;
	while (d->sums.len / 8 < GATHER_BLOCKS && (r = lk_rows_peek(rows, &record)) == 0) {
		if (!record) {
			*end_out = true;
			break;
		}
		r = add(d, record);
		if (r)
			break;
		lk_rows_next(rows);
	}
	leave(d->c);
	return r;
}

/* ---- reading ---------------------------------------------------------------------------------------------------------- */

static int compare(const void *a, const void *b)
{
	const struct stretch *x = a, *y = b;
	return x->disk < y->disk ? -1 : x->disk > y->disk;
}

/* How far the disk blocks from stretch i's block on run on. */
static uint64_t run_end(const struct data *d, size_t i, uint64_t from)
{
	const struct stretch *all = (const void *)d->stretches.p;
	uint64_t end = all[i].disk + all[i].count;
	for (size_t k = i + 1; k < d->stretches.len / sizeof(*all) && all[k].disk <= end; k++) {
		end = LK_MAX(end, all[k].disk + all[k].count);
		if (end - from >= READ_BLOCKS)
			return from + READ_BLOCKS;
	}
	return LK_MIN(end, from + READ_BLOCKS);
}

/* The blocks from from on into the window; one by one when they cannot be read at once. */
static int load(struct data *d, size_t i, uint64_t from)
{
	d->first = from;
	d->have = run_end(d, i, from) - from;
	d->error_at = UINT64_MAX;
	int r = lk_data_read(d->c->data, from, (uint32_t)d->have, d->window);
	if (r == 0 || r == LINKFS_ENOMEM)
		return r;
	for (uint64_t k = 0; k < d->have; k++) {
		r = lk_data_read(d->c->data, from + k, 1, d->window + k * LK_BLOCK_SIZE);
		if (r == LINKFS_ENOMEM)
			return r;
		if (r) { /* the window ends before it, or is it alone */
			d->have = k ? k : 1;
			d->error_at = k ? UINT64_MAX : from;
			return 0;
		}
	}
	return 0;
}

static int tell(struct data *d, const struct stretch *s, uint32_t k, enum lk_problem_id problem)
{
	struct lk_check *c = d->c;
	struct lk_place place = {.ino = s->ino, .block = (uint64_t)s->file_block + k, .have = (int64_t)(s->disk + k)};
	int r = enter(c, false);
	if (r)
		return r;
	r = lk_found(c, problem, &place);
	leave(c);
	if (r <= 0)
		return r;
	struct bad_block b = {s->ino, s->file_block + k, s->last};
	return lk_buf_append(&d->bad, &b, sizeof(b));
}

static bool unpacks(struct lk_packer *packer, const struct stretch *s, const uint8_t *stored)
{
	size_t size = 0;
	return lk_pack_size(stored, s->length, &size) == 0 && size % LK_BLOCK_SIZE == 0 &&
	       size >= (size_t)s->plain * LK_BLOCK_SIZE &&
	       lk_pack_expand(packer, stored, s->length, packer->plain, size) == 0;
}

/* Compressed content, which is whole or not. */
static int verify_packed(struct data *d, size_t i)
{
	const struct stretch *s = (const struct stretch *)(const void *)d->stretches.p + i, *good = &d->good;
	uint64_t sum = lk_get_u64(d->sums.p + (size_t)s->sums * 8);
	if (good->length == s->length && good->disk == s->disk && d->good_sum == sum && good->plain >= s->plain)
		return 0;
	int r = 0;
	if (s->disk < d->first || s->disk + s->count > d->first + d->have)
		r = load(d, i, s->disk);
	if (r)
		return r;
	if (d->have < s->count || d->error_at == s->disk)
		return tell(d, s, 0, LK_P_DATA_READ);
	const uint8_t *at = d->window + (s->disk - d->first) * LK_BLOCK_SIZE;
	if (lk_block_sum(at, (size_t)s->count * LK_BLOCK_SIZE) != sum)
		return tell(d, s, 0, LK_P_DATA_SUM);
	struct lk_packer *packer = lk_pack_take(d->c->pack);
	if (!packer)
		return LINKFS_ENOMEM;
	bool whole = unpacks(packer, s, at);
	lk_pack_give(d->c->pack, packer);
	if (!whole)
		return tell(d, s, 0, LK_P_DATA_PACKED);
	d->good = *s;
	d->good_sum = sum;
	return 0;
}

static int verify(struct data *d, size_t i)
{
	const struct stretch *s = (const struct stretch *)(const void *)d->stretches.p + i;
	int r = s->length ? verify_packed(d, i) : 0;
	if (s->length) {
		d->done += s->count;
		return r ? r : lk_progress(d->c, d->done * LK_BLOCK_SIZE);
	}
	for (uint32_t k = 0; r == 0 && k < s->count; k++) {
		uint64_t block = s->disk + k;
		if (block < d->first || block >= d->first + d->have)
			r = load(d, i, block);
		if (r)
			return r;
		bool unread = block == d->error_at;
		const uint8_t *at = d->window + (block - d->first) * LK_BLOCK_SIZE;
		if (unread || lk_block_sum(at, LK_BLOCK_SIZE) != lk_get_u64(d->sums.p + ((size_t)s->sums + k) * 8))
			r = tell(d, s, k, unread ? LK_P_DATA_READ : LK_P_DATA_SUM);
	}
	d->done += s->count;
	return r ? r : lk_progress(d->c, d->done * LK_BLOCK_SIZE);
}

/* ---- dropping --------------------------------------------------------------------------------------------------------- */

struct covering {
	const struct bad_block *b;
	const struct lk_table *table;
	_Alignas(8) char row[LK_RECORD_MAX + 8];
	struct lk_buf sums;
	bool found;
};

static int covers(void *arg, const void *record)
{
	struct covering *k = arg;
	const struct lk_extent *e = record;
	if (e->file_block + (int64_t)LK_EXTENT_BLOCKS_MAX <= k->b->file_block)
		return 1;
	if (e->file_block + e->count <= k->b->file_block ||
	    (k->b->last && lk_record_last(k->table, record) != k->b->last))
		return 0;
	memcpy(k->row, record, k->table->record_size);
	k->found = true;
	int r = lk_buf_append(&k->sums, e->sums.p, e->sums.len);
	return r ? r : 1;
}

static int put_part(struct lk_check *c, const struct lk_table *table, const void *row, int64_t from, int64_t to,
		    const uint8_t *sums, bool hole)
{
	_Alignas(8) char part[LK_RECORD_MAX + 8];
	memcpy(part, row, table->record_size);
	struct lk_extent *e = (void *)part;
	if (from >= to)
		return 0;
	e->file_block += from;
	e->count = to - from;
	e->disk_block = hole ? 0 : e->disk_block + from;
	e->codec = hole ? LK_CODEC_HOLE : LK_CODEC_RAW;
	e->length = e->offset = 0;
	e->sums = hole ? (struct lk_bytes){"", 0} : (struct lk_bytes){sums + from * 8, (size_t)(to - from) * 8};
	return lk_mend_put(c, table->id, part);
}

/* One block of a row becomes a hole: the row is cut in up to three. */
static int drop(struct data *d, const struct bad_block *b)
{
	struct lk_check *c = d->c;
	struct covering k = {.b = b, .table = d->table};
	_Alignas(8) char from[LK_RECORD_MAX + 8] = {0};
	struct lk_extent key = {.ino = b->ino, .file_block = b->file_block};
	lk_record_to_old(&lk_tables[LK_T_EXTENT], &key, INT64_MAX, from);
	struct lk_scan scan = {.table = d->table,
			       .index = d->table->id == LK_T_EXTENT ? LK_BY_KEY : LK_OLD_BY_KEY,
			       .equal = 1,
			       .ranged = (uint8_t)(d->table->key_count - 1),
			       .reverse = true,
			       .from = from};
	int r = lk_db_scan(c->db, &scan, covers, &k);
	const struct lk_extent *e = (const void *)k.row;
	if (r == 0 && k.found && e->codec == LK_CODEC_ZSTD) {
		r = lk_mend_erase(c, d->table->id, k.row);
		if (r == 0)
			r = put_part(c, d->table, k.row, 0, e->count, k.sums.p, true);
		if (r == 0)
			r = lk_mend_point(c);
	} else if (r == 0 && k.found && e->codec == LK_CODEC_RAW) {
		int64_t at = b->file_block - e->file_block;
		r = lk_mend_erase(c, d->table->id, k.row);
		if (r == 0)
			r = put_part(c, d->table, k.row, 0, at, k.sums.p, false);
		if (r == 0)
			r = put_part(c, d->table, k.row, at, at + 1, k.sums.p, true);
		if (r == 0)
			r = put_part(c, d->table, k.row, at + 1, e->count, k.sums.p, false);
		if (r == 0)
			r = lk_mend_point(c);
	}
	lk_buf_done(&k.sums);
	return r;
}

/* ---- all -------------------------------------------------------------------------------------------------------------- */

static int batch(struct data *d)
{
	size_t n = d->stretches.len / sizeof(struct stretch);
	int r = 0;
	d->have = 0;
	d->bad.len = 0;
	if (n)
		qsort(d->stretches.p, n, sizeof(struct stretch), compare);
	for (size_t i = 0; r == 0 && i < n; i++)
		r = verify(d, i);
	const struct bad_block *bad = (const void *)d->bad.p;
	for (size_t i = 0; r == 0 && i < d->bad.len / sizeof(*bad); i++)
		r = drop(d, &bad[i]);
	return r;
}

static int one_table(struct data *d, enum lk_table_id table)
{
	struct lk_rows rows;
	bool end = lk_is_broken(d->c, table);
	int r = 0;
	d->table = &lk_tables[table];
	lk_rows_init(&rows, d->c->db, table, LK_BY_KEY);
	while (r == 0 && !end) {
		r = gather(d, &rows, &end);
		if (r)
			r = lk_unreadable(d->c, table, r);
		if (r == 0)
			r = batch(d);
		end |= lk_is_broken(d->c, table);
	}
	lk_rows_done(&rows);
	return r;
}

int lk_pass_data(struct lk_check *c)
{
	struct data d = {.c = c};
	if (!(c->options->flags & LINKFS_CHECK_DATA) || c->round > 1)
		return 0;
	c->progress.total = lk_blocks_total(c->blocks) * LK_BLOCK_SIZE;
	d.window = malloc((size_t)READ_BLOCKS * LK_BLOCK_SIZE);
	int r = d.window ? one_table(&d, LK_T_EXTENT) : LINKFS_ENOMEM;
	if (r == 0)
		r = one_table(&d, LK_T_EXTENT_OLD);
	c->sum->blocks = d.done;
	c->sum->bytes = d.done * LK_BLOCK_SIZE;
	lk_buf_done(&d.stretches);
	lk_buf_done(&d.sums);
	lk_buf_done(&d.bad);
	free(d.window);
	return r;
}
