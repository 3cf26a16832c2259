/*
 * file_equal.c - see equal.h: the digest of a content, comparing two, sharing what is equal.
 * Layer: core. Comparing takes no bytes from the disk where both files name the same blocks already.
 */
#include "equal.h"
#include "file_impl.h"

#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#define STEP_BLOCKS 128u /* compared and shared with both files locked */
#define STEP_BYTES ((size_t)STEP_BLOCKS * LK_BLOCK_SIZE)

/* ---- digest ----------------------------------------------------------------------------------------------------- */

#define DIGEST_ROWS 256u /* looked at in one op */
#define TOKENS 62u

/* A content is the sums of its blocks in turn, the last one filled up with zeros; a run of blocks of zeros, which may be a hole of any
 * length, is the sum of such a block and their number. */
struct digest {
	uint64_t fold[2]; /* of all tokens before those in token: hashed together with them */
	uint64_t token[TOKENS];
	uint32_t count;
	uint64_t zero_sum, zeros;
};

static void fold(struct digest *d)
{
	XXH128_hash_t h;
	_Static_assert(offsetof(struct digest, token) == sizeof(d->fold), "hashed as one piece");
	h = XXH3_128bits(d, sizeof(d->fold) + d->count * sizeof(d->token[0]));
	d->fold[0] = h.low64;
	d->fold[1] = h.high64;
	d->count = 0;
}

static void add_token(struct digest *d, uint64_t token)
{
	d->token[d->count++] = token;
	if (d->count == TOKENS)
		fold(d);
}

static void end_zeros(struct digest *d)
{
	if (!d->zeros)
		return;
	add_token(d, d->zero_sum);
	add_token(d, d->zeros);
	d->zeros = 0;
}

static void add_sum(struct digest *d, uint64_t sum)
{
	if (sum == d->zero_sum) {
		d->zeros++;
		return;
	}
	end_zeros(d);
	add_token(d, sum);
}

/* What a file's rows say of blocks from *at on, at most DIGEST_ROWS rows and not past end. *packed: blocks from there on whose bytes
 * must be read, as they are compressed. */
static int digest_rows(struct lk_op *op, uint64_t ino, uint64_t *at, uint64_t end, struct digest *d, struct lk_map *map,
		       uint32_t *packed)
{
	for (uint32_t row = 0; row < DIGEST_ROWS && *at < end; row++) {
		struct lk_ext e;
		int r = lk_extent_find(op, ino, *at, &e);
		if (r)
			return r;
		uint64_t left = LK_MIN(lk_block_of(UINT64_MAX), e.at + e.count) - *at;
		left = LK_MIN(left, end - *at);
		if (e.codec == LK_CODEC_ZSTD) {
			*packed = (uint32_t)LK_MIN(left, (uint64_t)LK_CHUNK_BLOCKS);
			return 0;
		}
		if (e.codec != LK_CODEC_RAW) {
			d->zeros += left;
			*at += left;
			continue;
		}
		uint32_t count = (uint32_t)LK_MIN(left, (uint64_t)LK_MAP_BLOCKS);
		r = lk_extent_map(op, ino, *at, count, map);
		if (r)
			return r;
		for (uint32_t i = 0; i < count; i++)
			add_sum(d, map->sums[i]);
		*at += count;
	}
	return 0;
}

static int digest_bytes(struct lk_fs *fs, int64_t view, uint64_t ino, uint64_t *at, uint32_t count, struct digest *d)
{
	size_t len = (size_t)count * LK_BLOCK_SIZE, got = 0;
	uint8_t *bytes = malloc(len);
	int r = bytes ? lk_file_peek(fs, view, ino, *at * LK_BLOCK_SIZE, bytes, len, &got) : LINKFS_ENOMEM;
	if (r == 0 && got < len) /* cut off meanwhile */
		memset(bytes + got, 0, len - got);
	for (uint32_t i = 0; r == 0 && i < count; i++)
		add_sum(d, lk_block_sum(bytes + (size_t)i * LK_BLOCK_SIZE, LK_BLOCK_SIZE));
	free(bytes);
	*at += count;
	return r;
}

/* One op, and what it says must be read. *size_out: the content's; *done_out: no full blocks are left. */
static int digest_step(struct lk_fs *fs, int64_t view, uint64_t ino, uint64_t *at, struct digest *d, uint64_t *size_out,
		       bool *done_out)
{
	uint32_t packed = 0;
	struct lk_map map = {0};
	struct lk_inode inode;
	struct lk_op op;
	int r = lk_op_begin(fs, &op, 0);
	if (r)
		return r;
	op.view = view;
	r = lk_inode_get(&op, ino, &inode);
	if (r == 0)
		r = lk_file_check_type(&inode);
	if (r == 0) {
		uint64_t full = lk_block_of((uint64_t)inode.size);
		*size_out = (uint64_t)inode.size;
		if (*at < full && (inode.flags & LK_INODE_INLINE))
			packed = (uint32_t)LK_MIN(full - *at, (uint64_t)LK_CHUNK_BLOCKS);
		else if (*at < full)
			r = digest_rows(&op, (uint64_t)inode.ino, at, full, d, &map, &packed);
		*done_out = *at >= full;
	}
	r = lk_op_end(&op, r);
	return r || !packed ? r : digest_bytes(fs, view, ino, at, packed, d);
}

int lk_file_digest(struct lk_fs *fs, int64_t view, uint64_t ino, uint64_t out[2])
{
	uint8_t block[LK_BLOCK_SIZE] = {0};
	struct digest d = {.zero_sum = lk_block_sum(block, sizeof(block))};
	uint64_t at = 0, size = 0;
	bool done = false;
	size_t got = 0;
	int r = 0;
	while (r == 0 && !done)
		r = digest_step(fs, view, ino, &at, &d, &size, &done);
	uint64_t rest = size - at * LK_BLOCK_SIZE;
	/* Written meanwhile: some number is as good as another. */
	if (r == 0 && size > at * LK_BLOCK_SIZE)
		r = lk_file_peek(fs, view, ino, at * LK_BLOCK_SIZE, block,
				 (size_t)LK_MIN(rest, (uint64_t)LK_BLOCK_SIZE), &got);
	if (r)
		return r;
	if (got)
		add_sum(&d, lk_block_sum(block, sizeof(block)));
	end_zeros(&d);
	add_token(&d, size);
	if (d.count)
		fold(&d);
	out[0] = d.fold[0];
	out[1] = d.fold[1];
	return 0;
}

/* ---- comparing --------------------------------------------------------------------------------------------------- */

struct pair {
	struct lk_fs *fs;
	uint64_t from, to;
	uint64_t size;
	bool blocks; /* neither is inline */
	uint8_t *a, *b;
};

static int pair_new(struct lk_fs *fs, uint64_t from, uint64_t to, struct pair *p)
{
	*p = (struct pair){.fs = fs, .from = from, .to = to, .a = malloc(2 * STEP_BYTES)};
	p->b = p->a ? p->a + STEP_BYTES : NULL;
	return p->a ? 0 : LINKFS_ENOMEM;
}

/* Sizes; what a truncation left behind goes first. Locked. */
static int look(struct pair *p, bool *equal)
{
	struct lk_inode from = {0}, to = {0};
	struct lk_op op;
	int r = lk_op_begin(p->fs, &op, 0);
	if (r)
		return r;
	r = lk_inode_get(&op, p->from, &from);
	if (r == 0)
		r = lk_inode_get(&op, p->to, &to);
	if (r == 0)
		r = lk_file_check_type(&from);
	if (r == 0)
		r = lk_file_check_type(&to);
	r = lk_op_end(&op, r);
	if (r == 0 && (from.flags & LK_INODE_TRIM))
		r = lk_file_settle(p->fs, p->from);
	if (r == 0 && (to.flags & LK_INODE_TRIM))
		r = lk_file_settle(p->fs, p->to);
	if (r)
		return r;
	p->size = (uint64_t)from.size;
	p->blocks = !((from.flags | to.flags) & LK_INODE_INLINE);
	*equal = from.size == to.size;
	return 0;
}

#define IN_CHUNK (UINT64_C(1) << 63)

/* Where count file blocks lie on disk, each + 1; 0 where there is no content on disk. Of a chunk's blocks it is a mark that no other has. */
static int disks(struct lk_op *op, uint64_t ino, uint64_t first, uint32_t count, struct lk_map *map, uint64_t *disk)
{
	int r = lk_extent_map(op, ino, first, count, map);
	if (r == 0 && map->end < first + count)
		r = LINKFS_ECORRUPT;
	memset(disk, 0, count * sizeof(*disk));
	for (uint32_t i = 0; r == 0 && i < map->pieces; i++) {
		const struct lk_ext *e = &map->piece[i];
		for (uint64_t k = 0; e->codec == LK_CODEC_RAW && k < e->count; k++)
			disk[e->at - first + k] = e->disk + k + 1;
		for (uint64_t k = 0; e->codec == LK_CODEC_ZSTD && k < e->count; k++)
			disk[e->at - first + k] = IN_CHUNK | (e->disk * LK_CHUNK_BLOCKS + e->offset + k);
	}
	return r;
}

/* Whether both files name the same blocks, or none, everywhere in the range. */
static int same_blocks(struct pair *p, uint64_t first, uint32_t count, bool *same)
{
	uint64_t a[STEP_BLOCKS] = {0}, b[STEP_BLOCKS] = {0};
	struct lk_map map = {0};
	struct lk_op op;
	int r = lk_op_begin(p->fs, &op, 0);
	if (r)
		return r;
	r = disks(&op, p->from, first, count, &map, a);
	if (r == 0)
		r = disks(&op, p->to, first, count, &map, b);
	r = lk_op_end(&op, r);
	*same = r == 0 && memcmp(a, b, count * sizeof(*a)) == 0;
	return r;
}

/* Bytes [offset, offset + n) of both. */
static int compare(struct pair *p, uint64_t offset, size_t n, bool *equal)
{
	size_t got_a = 0, got_b = 0;
	int r = lk_file_peek(p->fs, LK_VIEW_LIVE, p->from, offset, p->a, n, &got_a);
	if (r == 0)
		r = lk_file_peek(p->fs, LK_VIEW_LIVE, p->to, offset, p->b, n, &got_b);
	if (r == 0 && (got_a != n || got_b != n))
		r = LINKFS_ECORRUPT;
	*equal = r == 0 && memcmp(p->a, p->b, n) == 0;
	return r;
}

static uint32_t blocks_from(const struct pair *p, uint64_t first)
{
	return (uint32_t)LK_MIN(lk_blocks_up(p->size) - first, (uint64_t)STEP_BLOCKS);
}

/* A row of the file from block at on: where it ends, and whether it reads as zeros. */
static int row_at(struct lk_op *op, uint64_t ino, uint64_t at, uint64_t *end, bool *zeros)
{
	struct lk_ext e;
	int r = lk_extent_find(op, ino, at, &e);
	if (r)
		return r;
	*end = LK_MIN(lk_block_of(UINT64_MAX), e.at + e.count);
	*zeros = !lk_ext_data(e.codec);
	return 0;
}

/* To the first block from *at on where one of the files has content: holes are of any length. */
static int skip_zeros(struct pair *p, uint64_t *at)
{
	struct lk_op op;
	int r = p->blocks ? lk_op_begin(p->fs, &op, 0) : 0;
	if (r || !p->blocks)
		return r;
	for (unsigned row = 0; r == 0 && row < DIGEST_ROWS && *at < lk_blocks_up(p->size); row++) {
		uint64_t ends[2] = {0, 0};
		bool zeros[2] = {false, false};
		r = row_at(&op, p->from, *at, &ends[0], &zeros[0]);
		if (r == 0)
			r = row_at(&op, p->to, *at, &ends[1], &zeros[1]);
		if (r || !zeros[0] || !zeros[1])
			break;
		*at = LK_MIN(ends[0], ends[1]);
	}
	return lk_op_end(&op, r);
}

/* One step: *same says that nothing is left to share in it. */
static int compare_step(struct pair *p, uint64_t first, bool *equal, bool *same)
{
	uint64_t offset = first * LK_BLOCK_SIZE;
	*same = false;
	int r = p->blocks ? same_blocks(p, first, blocks_from(p, first), same) : 0;
	*equal = true;
	if (r || *same)
		return r;
	return compare(p, offset, (size_t)LK_MIN(p->size - offset, (uint64_t)STEP_BYTES), equal);
}

int lk_file_equal(struct lk_fs *fs, uint64_t from, uint64_t to, bool *equal_out)
{
	struct pair p;
	bool equal = false, same;
	int r = pair_new(fs, from, to, &p);
	if (r == 0)
		r = look(&p, &equal);
	uint64_t at = 0;
	if (r == 0 && equal)
		r = skip_zeros(&p, &at);
	while (r == 0 && equal && at < lk_blocks_up(p.size)) {
		r = compare_step(&p, at, &equal, &same);
		at += STEP_BLOCKS;
		if (r == 0)
			r = skip_zeros(&p, &at);
	}
	free(p.a);
	*equal_out = r == 0 && equal;
	return r;
}

/* ---- sharing ------------------------------------------------------------------------------------------------------ */

/* Blocks of a range that only one row names, so that they are free when it goes. */
static int count_own(struct lk_op *op, uint64_t disk, uint64_t count, uint64_t *own)
{
	bool any = false;
	int r = lk_share_any(op, disk, count, &any);
	if (r == 0 && !any)
		*own += count;
	for (uint64_t k = 0; r == 0 && any && count > 1 && k < count; k++) {
		bool shared = false;
		r = lk_share_any(op, disk + k, 1, &shared);
		*own += r == 0 && !shared;
	}
	return r;
}

/* File blocks of to from at on take from's, which piece says. */
static int share_run(struct lk_op *op, struct lk_inode *to, uint64_t at, const struct lk_ext *piece,
		     const uint64_t *sums)
{
	uint8_t bytes[STEP_BLOCKS * 8];
	struct lk_seg seg = {.count = piece->count,
			     .disk = piece->disk,
			     .codec = piece->codec,
			     .sums = bytes,
			     .length = piece->length,
			     .offset = piece->offset};
	for (uint32_t i = 0; i < (uint32_t)lk_sums_of((int64_t)piece->codec, (int64_t)piece->count); i++)
		lk_put_u64(bytes + (size_t)i * 8, sums[i]);
	int r = lk_share_add(op, piece->disk, lk_ext_named(piece));
	return r ? r : lk_extent_replace(op, to, at, &seg, 1);
}

/* The piece of a map that covers block, from it on. */
static struct lk_ext piece_from(const struct lk_map *map, uint32_t *i, uint64_t block, const uint64_t **sum)
{
	while (map->piece[*i].at + map->piece[*i].count <= block)
		++*i;
	const struct lk_ext *p = &map->piece[*i];
	uint64_t skip = block - p->at;
	*sum = &map->sums[p->at - map->first + (p->codec == LK_CODEC_RAW ? skip : 0)];
	return lk_ext_part(p, skip, p->count - skip);
}

/* Both are equal there and locked. Only what is on disk in both is shared: a hole costs less than any block. A part of a chunk is not
 * given up for another, as the rest keeps it. */
static int share_op(struct lk_op *op, struct pair *p, uint64_t first, bool share, struct linkfs_dedupe *out)
{
	uint64_t shared = 0, own = 0;
	uint32_t count = blocks_from(p, first), i = 0, at_a = 0, at_b = 0;
	struct lk_map a = {0}, b = {0};
	struct lk_inode to;
	int r = lk_inode_get(op, p->to, &to);
	if (r == 0)
		r = lk_extent_map(op, p->to, first, count, &b);
	if (r == 0)
		r = lk_extent_map(op, p->from, first, count, &a);
	if (r == 0 && (a.end < first + count || b.end < first + count))
		r = LINKFS_ECORRUPT;
	while (r == 0 && i < count) {
		const uint64_t *sums, *none;
		struct lk_ext x = piece_from(&a, &at_a, first + i, &sums), y = piece_from(&b, &at_b, first + i, &none);
		uint64_t whole = y.count;
		bool all = y.codec != LK_CODEC_ZSTD || (x.count >= whole && y.at == b.piece[at_b].at);
		x.count = y.count = LK_MIN(LK_MIN(x.count, y.count), (uint64_t)(count - i));
		i += (uint32_t)x.count;
		if (!lk_ext_data(x.codec) || !lk_ext_data(y.codec) || lk_ext_same(&x, &y) || !all)
			continue;
		r = count_own(op, y.disk, lk_ext_named(&y), &own);
		if (r == 0 && share)
			r = share_run(op, &to, x.at, &x, sums);
		shared += x.count;
	}
	if (r == 0 && share && shared)
		r = lk_inode_put(op, &to);
	if (r)
		return r;
	out->shared += shared * LK_BLOCK_SIZE;
	out->freed += own * LK_BLOCK_SIZE;
	return 0;
}

static int share_step(struct pair *p, uint64_t first, bool share, struct linkfs_dedupe *out)
{
	unsigned tries = 0;
	int r;
	do {
		struct linkfs_dedupe now = *out;
		struct lk_op op;
		r = lk_op_begin(p->fs, &op, share ? LK_OP_WRITE | LK_OP_SILENT | LK_OP_BULK : 0);
		if (r)
			return r;
		r = lk_op_end(&op, share_op(&op, p, first, share, &now));
		if (r == 0)
			*out = now;
	} while (share && lk_file_again(p->fs, r, false, &tries));
	return r;
}

/* From block *at on, which is left where the next step begins. */
static int dedupe_step(struct pair *p, uint64_t *at, bool share, struct linkfs_dedupe *out, bool *more)
{
	bool equal = false, same = false;
	int r = lk_node_lock2(p->fs, p->from, p->to);
	if (r)
		return r;
	r = look(p, &equal);
	if (r == 0 && equal)
		r = skip_zeros(p, at);
	*more = r == 0 && equal && *at < lk_blocks_up(p->size);
	if (*more)
		r = compare_step(p, *at, &equal, &same);
	if (r == 0 && *more && equal && !same && p->blocks)
		r = share_step(p, *at, share, out);
	*at += STEP_BLOCKS;
	out->equal = equal;
	*more = *more && equal;
	lk_node_unlock2(p->fs, p->from, p->to);
	return r;
}

int lk_file_dedupe(struct lk_fs *fs, uint64_t from, uint64_t to, bool share, struct linkfs_dedupe *out)
{
	struct pair p;
	bool more = true;
	uint64_t at = 0;
	*out = (struct linkfs_dedupe){0};
	int r = pair_new(fs, from, to, &p);
	while (r == 0 && more)
		r = dedupe_step(&p, &at, share, out, &more);
	free(p.a);
	return r;
}
