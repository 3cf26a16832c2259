/*
 * recover_content.c - the bytes of a file: which rows say where they lie, which of the blocks are what was written, and what
 * is a hole in the new file because it is lost.
 * Layer: check.
 *
 * Rows of rank REACHED and LOST claim their blocks, whether their content is still there or not: what they name and does not match its
 * checksum is lost. Rows of doubtful pages fill what is left over, block by block, where the checksum of the data speaks for
 * them; holes in them are believed as well, but make the file doubtful.
 */
#include "recover_impl.h"

#include "file.h"
#include "node.h"
#include "pack.h"
#include "perm.h"

#include <stdlib.h>
#include <string.h>

#define RUN LK_EXTENT_BLOCKS_MAX

/* A stretch of file blocks and the row that says where they lie. */
struct stretch {
	uint64_t at, count;
	const struct lk_extent_row *row;
};

struct content {
	struct lk_recovery *r;
	struct lk_found *f;
	struct lk_array stretches; /* by at, without overlap */
	uint64_t size;
	struct linkfs_recover_problem lost; /* the range that is growing */
};

/* ---- lost ranges ---------------------------------------------------------------------------------------------------- */

static int tell_lost(struct content *c)
{
	struct linkfs_recover_problem problem = c->lost;
	if (problem.length == 0)
		return 0;
	c->lost.length = 0;
	c->r->result.lost_ranges++;
	c->r->result.lost_bytes += problem.length;
	return lk_recovery_report(c->r, c->f, &problem);
}

static int lose(struct content *c, uint64_t from, uint64_t to)
{
	int e = 0;
	to = LK_MIN(to, c->size);
	if (from >= to)
		return 0;
	if (c->lost.length && c->lost.offset + c->lost.length != from)
		e = tell_lost(c);
	if (c->lost.length == 0) {
		c->lost.what = LINKFS_RECOVER_RANGE_LOST;
		c->lost.offset = from;
	}
	c->lost.length = to - c->lost.offset;
	return e;
}

/* ---- which row holds for which block ---------------------------------------------------------------------------------- */

static int add_stretch(struct lk_array *a, uint64_t at, uint64_t to, const struct lk_extent_row *row)
{
	struct stretch *s = a->len ? (struct stretch *)a->p + a->len - 1 : NULL;
	if (at >= to)
		return 0;
	if (s && s->row == row && s->at + s->count == at) {
		s->count += to - at;
		return 0;
	}
	s = lk_array_add(a, sizeof(*s));
	if (!s)
		return LINKFS_ENOMEM;
	*s = (struct stretch){at, to - at, row};
	return 0;
}

/* The parts of [at, to) that no stretch of old covers. from: where in old to look first; old is sorted. */
static int add_rest(struct lk_array *out, const struct lk_array *old, size_t *from, uint64_t at, uint64_t to,
		    const struct lk_extent_row *row)
{
	const struct stretch *s = old->p;
	int e = 0;
	while (*from < old->len && s[*from].at + s[*from].count <= at)
		(*from)++;
	for (size_t i = *from; i < old->len && s[i].at < to && e == 0; i++) {
		e = add_stretch(out, at, LK_MIN(s[i].at, to), row);
		at = LK_MAX(at, s[i].at + s[i].count);
	}
	return e ? e : add_stretch(out, at, to, row);
}

static int by_at(const void *a, const void *b)
{
	const struct stretch *x = a, *y = b;
	return (x->at > y->at) - (x->at < y->at);
}

static bool has_content(const struct lk_extent_row *row)
{
	return row->codec == LK_CODEC_RAW || row->codec == LK_CODEC_ZSTD;
}

static bool unpack(struct lk_recovery *r, const struct lk_extent_row *row)
{
	uint8_t *stored = r->chunk->stored;
	uint32_t blocks = (row->length + LK_BLOCK_SIZE - 1) / LK_BLOCK_SIZE;
	r->chunk_row = NULL;
	if (lk_data_read(r->data, row->disk, blocks, stored) ||
	    lk_block_sum(stored, (size_t)blocks * LK_BLOCK_SIZE) != lk_get_u64(row->sums) ||
	    lk_pack_size(stored, row->length, &r->chunk_size) ||
	    lk_pack_expand(r->chunk, stored, row->length, r->chunk->plain, r->chunk_size))
		return false;
	r->chunk_row = row;
	return true;
}

/* Block i of a row of compressed content; NULL: it is lost. */
static const uint8_t *packed_block(struct lk_recovery *r, const struct lk_extent_row *row, uint64_t i)
{
	const struct lk_extent_row *had = r->chunk_row;
	if (!r->chunk)
		r->chunk = lk_pack_take(r->pack);
	if (!r->chunk)
		return NULL;
	if (!(had && had->disk == row->disk && had->length == row->length && memcmp(had->sums, row->sums, 8) == 0) &&
	    !unpack(r, row))
		return NULL;
	size_t at = (size_t)(row->offset + i) * LK_BLOCK_SIZE;
	return at + LK_BLOCK_SIZE <= r->chunk_size ? r->chunk->plain + at : NULL;
}

static bool block_holds(struct lk_recovery *r, const struct lk_extent_row *row, uint64_t i, uint8_t *buf)
{
	if (row->codec == LK_CODEC_ZSTD) {
		const uint8_t *block = packed_block(r, row, i);
		if (block)
			memcpy(buf, block, LK_BLOCK_SIZE);
		return block != NULL;
	}
	return lk_data_read(r->data, row->disk + i, 1, buf) == 0 &&
	       lk_block_sum(buf, LK_BLOCK_SIZE) == lk_get_u64(row->sums + 8 * i);
}

/* Makes more part of what is claimed. */
static int settle(struct content *c, struct lk_array *more)
{
	const struct stretch *p = more->p;
	int e = 0;
	for (size_t i = 0; i < more->len && e == 0; i++)
		e = add_stretch(&c->stretches, p[i].at, p[i].at + p[i].count, p[i].row);
	lk_array_done(more);
	if (e == 0 && c->stretches.len)
		qsort(c->stretches.p, c->stretches.len, sizeof(struct stretch), by_at);
	return e;
}

/* A block that a row names and whose content proves it. */
struct proof {
	uint64_t block;
	const struct lk_extent_row *row;
};

static int by_block(const void *a, const void *b)
{
	const struct proof *x = a, *y = b;
	if (x->block != y->block)
		return x->block < y->block ? -1 : 1;
	return (x->row->order < y->row->order) - (x->row->order > y->row->order);
}

static int gather_proofs(struct content *c, const struct lk_extent_row *row, uint64_t blocks, struct lk_array *out)
{
	uint8_t block[LK_BLOCK_SIZE];
	uint64_t to = LK_MIN(row->at + row->count, blocks);
	for (uint64_t b = row->at; has_content(row) && b < to; b++) {
		if (!block_holds(c->r, row, b - row->at, block))
			continue;
		struct proof *p = lk_array_add(out, sizeof(*p));
		if (!p)
			return LINKFS_ENOMEM;
		*p = (struct proof){b, row};
	}
	return 0;
}

/* Claims the blocks that prove their rows, of two rows for one block the later version's. */
static int claim_proved(struct content *c, const struct lk_extent_row *rows, size_t count, uint64_t blocks)
{
	struct lk_array proofs = {0}, more = {0};
	size_t from = 0;
	int e = 0;
	for (size_t i = 0; i < count && e == 0; i++)
		e = gather_proofs(c, &rows[i], blocks, &proofs);
	struct proof *p = proofs.p;
	if (proofs.len)
		qsort(p, proofs.len, sizeof(*p), by_block);
	for (size_t i = 0; i < proofs.len && e == 0; i++) {
		if (i == 0 || p[i].block != p[i - 1].block)
			e = add_rest(&more, &c->stretches, &from, p[i].block, p[i].block + 1, p[i].row);
	}
	lk_array_done(&proofs);
	if (e)
		lk_array_done(&more);
	return e ? e : settle(c, &more);
}

/* Claims what the rows of one rank say, as far as better ones have not. only_holes: not what they say of content. */
static int claim(struct content *c, const struct lk_extent_row *rows, size_t count, uint64_t blocks, bool only_holes)
{
	struct lk_array more = {0};
	size_t from = 0;
	uint64_t next = 0;
	int e = 0;
	for (size_t i = 0; i < count && e == 0; i++) {
		const struct lk_extent_row *row = &rows[i];
		uint64_t at = LK_MAX(row->at, next), to = LK_MIN(row->at + row->count, blocks);
		if (at >= to || (only_holes && has_content(row)))
			continue;
		next = to;
		e = add_rest(&more, &c->stretches, &from, at, to, row);
	}
	if (e)
		lk_array_done(&more);
	return e ? e : settle(c, &more);
}

static bool overlap(const struct lk_extent_row *rows, size_t count)
{
	for (size_t i = 1; i < count; i++) {
		if (rows[i].at < rows[i - 1].at + rows[i - 1].count)
			return true;
	}
	return false;
}

/* What an intent is still to punch is a hole, and better proved than any row. */
static int claim_punch(struct content *c, uint64_t blocks)
{
	static const struct lk_extent_row hole = {.codec = LK_CODEC_HOLE, .rank = LK_RANK_REACHED};
	size_t count;
	const struct lk_punch *p = lk_recover_rows_of(&c->r->rows.punches, sizeof(*p), c->f->ino, &count);
	return p ? add_stretch(&c->stretches, p->from, LK_MIN(p->to, blocks), &hole) : 0;
}

static int claim_all(struct content *c, const struct lk_extent_row *rows, size_t count, uint64_t blocks)
{
	int e = claim_punch(c, blocks);
	for (size_t i = 0, n; i < count && e == 0; i += n) {
		for (n = 1; i + n < count && rows[i + n].rank == rows[i].rank;)
			n++;
		bool bad = lk_bad_rank(rows[i].rank);
		if (bad || overlap(rows + i, n))
			e = claim_proved(c, rows + i, n, blocks);
		if (e == 0)
			e = claim(c, rows + i, n, blocks, bad);
	}
	return e;
}

/* ---- copying ----------------------------------------------------------------------------------------------------------- */

static int put(struct content *c, uint64_t offset, const uint8_t *p, uint64_t len)
{
	struct lk_recovery *r = c->r;
	if (offset >= c->size)
		return 0;
	len = LK_MIN(len, c->size - offset);
	r->result.bytes += len;
	if (!r->fs)
		return 0;
	uint64_t done = 0;
	while (done < len) {
		size_t n = 0;
		int e = lk_file_write(r->fs, lk_cred(NULL), c->f->new_ino, offset + done, p + done,
				      (size_t)(len - done), 0, &n, NULL);
		if (e || n == 0)
			return e ? e : LINKFS_EFBIG;
		done += n;
	}
	return 0;
}

/* A run of at most RUN blocks of one row: read at once, or, when the host cannot, block by block. */
static int copy_run(struct content *c, const struct stretch *s, uint64_t from, uint64_t count)
{
	struct lk_recovery *r = c->r;
	const struct lk_extent_row *row = s->row;
	uint64_t first = s->at + from - row->at, start = 0;
	uint8_t *buf = r->block.p;
	bool whole = row->codec == LK_CODEC_RAW && lk_data_read(r->data, row->disk + first, (uint32_t)count, buf) == 0;
	int e = 0;
	for (uint64_t i = 0; i <= count && e == 0; i++) {
		uint8_t *block = buf + i * LK_BLOCK_SIZE;
		bool good = false;
		if (i < count && whole)
			good = lk_block_sum(block, LK_BLOCK_SIZE) == lk_get_u64(row->sums + 8 * (first + i));
		else if (i < count)
			good = block_holds(r, row, first + i, block);
		if (good)
			continue;
		uint64_t at = (s->at + from) * LK_BLOCK_SIZE;
		if (i > start)
			e = put(c, at + start * LK_BLOCK_SIZE, buf + start * LK_BLOCK_SIZE,
				(i - start) * LK_BLOCK_SIZE);
		if (e == 0 && i < count)
			e = lose(c, at + i * LK_BLOCK_SIZE, at + (i + 1) * LK_BLOCK_SIZE);
		start = i + 1;
	}
	return e;
}

static int copy_stretch(struct content *c, const struct stretch *s)
{
	int e = 0;
	/* Old versions may name blocks that hold other content by now, and a hole proves nothing. */
	if (s->row->rank == LK_RANK_STALE || (lk_bad_rank(s->row->rank) && !has_content(s->row)))
		c->f->doubtful = true;
	if (!has_content(s->row))
		return 0;
	for (uint64_t i = 0; i < s->count && e == 0; i += RUN)
		e = copy_run(c, s, i, LK_MIN(s->count - i, RUN));
	return e;
}

static int copy_extents(struct content *c, uint64_t blocks)
{
	const struct stretch *s = c->stretches.p;
	uint64_t at = 0;
	int e = lk_buf_reserve(&c->r->block, RUN * LK_BLOCK_SIZE);
	for (size_t i = 0; i < c->stretches.len && e == 0; i++) {
		/* Rows tile a file: what none covers is lost, were it a hole. */
		e = lose(c, at * LK_BLOCK_SIZE, s[i].at * LK_BLOCK_SIZE);
		if (e == 0)
			e = copy_stretch(c, &s[i]);
		at = s[i].at + s[i].count;
	}
	return e ? e : lose(c, at * LK_BLOCK_SIZE, blocks * LK_BLOCK_SIZE);
}

/* Where the inode is lost: the end of the last block with content. */
static uint64_t guess_size(const struct lk_extent_row *rows, size_t count)
{
	uint64_t end = 0;
	for (size_t i = 0; i < count; i++) {
		if (has_content(&rows[i]))
			end = LK_MAX(end, rows[i].at + rows[i].count);
	}
	return LK_MIN(end * LK_BLOCK_SIZE, LINKFS_FILE_SIZE_MAX);
}

static int from_extents(struct content *c)
{
	const struct lk_inode_row *inode = c->f->inode;
	size_t count;
	const struct lk_extent_row *rows = lk_recover_rows_of(&c->r->rows.extents, sizeof(*rows), c->f->ino, &count);
	c->size = inode ? (uint64_t)inode->inode.size : guess_size(rows, count);
	uint64_t blocks = (c->size + LK_BLOCK_SIZE - 1) / LK_BLOCK_SIZE;
	int e = claim_all(c, rows, count, blocks);
	if (e == 0)
		e = copy_extents(c, blocks);
	lk_array_done(&c->stretches);
	return e;
}

/* Of a file without a record nothing tells whether it was compressed but that it unpacks. */
static int from_packed(struct content *c, const struct lk_bytes_row *row, bool *done_out)
{
	const struct lk_inode_row *inode = c->f->inode;
	size_t size = 0;
	*done_out = false;
	if (inode && !(inode->inode.flags & LK_INODE_PACKED))
		return 0;
	if (!c->r->chunk)
		c->r->chunk = lk_pack_take(c->r->pack);
	if (!c->r->chunk)
		return LINKFS_ENOMEM;
	c->r->chunk_row = NULL;
	bool good = lk_pack_size(row->bytes.p, row->bytes.len, &size) == 0 && size <= LK_PACKED_SIZE_MAX &&
		    lk_pack_expand(c->r->chunk, row->bytes.p, row->bytes.len, c->r->chunk->plain, size) == 0;
	*done_out = good || inode;
	if (!good)
		return inode ? lose(c, 0, c->size) : 0;
	if (!inode)
		c->size = size;
	c->f->doubtful |= lk_bad_rank(row->rank) || size != c->size;
	int e = put(c, 0, c->r->chunk->plain, size);
	return e ? e : lose(c, size, c->size);
}

static int from_inline(struct content *c, const struct lk_bytes_row *row)
{
	const struct lk_inode_row *inode = c->f->inode;
	bool done = false;
	c->size = inode ? (uint64_t)inode->inode.size : row ? row->bytes.len : 0;
	if (!row)
		return lose(c, 0, c->size);
	int e = from_packed(c, row, &done);
	if (e || done)
		return e;
	c->f->doubtful |= lk_bad_rank(row->rank) || row->bytes.len != c->size;
	e = put(c, 0, row->bytes.p, row->bytes.len);
	return e ? e : lose(c, row->bytes.len, c->size);
}

int lk_recovery_content(struct lk_recovery *r, struct lk_found *f, uint64_t *size_out)
{
	struct content c = {.r = r, .f = f};
	size_t count;
	const struct lk_bytes_row *row = lk_recover_rows_of(&r->rows.inlines, sizeof(*row), f->ino, &count);
	bool in_row = f->inode ? f->inode->inode.flags & LK_INODE_INLINE : row != NULL;
	int e = in_row ? from_inline(&c, row) : from_extents(&c);
	if (e == 0)
		e = tell_lost(&c);
	*size_out = c.size;
	return e;
}
