/*
 * file_copy.c - copy_file_range: whole blocks are shared (K3), the rest is copied; and files that begin as copies.
 * Layer: core. Both nodes stay locked; each op does a bounded part, so a failure after the first gives a short count.
 */
#include "file_impl.h"
#include "perm.h"
#include "views.h"

#include <stdlib.h>

#define COPY_BYTES ((size_t)256 << 10)

struct copy {
	struct lk_fs *fs;
	const struct linkfs_cred *cred;
	uint64_t from, from_offset, to, to_offset, length;
	uint8_t *buf;
	bool atime; /* the source's is due (M9) */
	bool tail;  /* lk_file_share_tail() */
	bool bytes; /* the source has nothing to share: it lies in its inode's row */
};

/* Linux's generic_copy_file_checks(). *length_out: what there is to copy. */
static int check(struct copy *c, bool *settle)
{
	struct lk_op op;
	struct lk_inode from, to;
	int r = lk_op_begin(c->fs, &op, lk_op_flags(c->cred, 0));
	if (r)
		return r;
	r = lk_inode_get(&op, c->from, &from);
	c->atime = r == 0 && lk_atime_due(&op, &from);
	c->bytes = r == 0 && (from.flags & LK_INODE_INLINE);
	lk_view_leave(&op);
	if (r == 0)
		r = lk_inode_get(&op, c->to, &to);
	if (r == 0)
		r = lk_perm_writable(&op);
	if (r == 0)
		r = lk_file_check_type(&from);
	if (r == 0)
		r = lk_file_check_type(&to);
	if (r == 0 && (c->from_offset > UINT64_MAX - c->length || c->to_offset > UINT64_MAX - c->length))
		r = LINKFS_EOVERFLOW;
	else if (r == 0 && (c->from_offset > INT64_MAX || c->to_offset > INT64_MAX))
		r = LINKFS_EINVAL;
	if (r == 0) {
		uint64_t size = (uint64_t)from.size;
		c->length = c->from_offset < size ? LK_MIN(c->length, size - c->from_offset) : 0;
		if (c->to_offset >= LINKFS_FILE_SIZE_MAX)
			r = LINKFS_EFBIG;
		else
			c->length = LK_MIN(c->length, LINKFS_FILE_SIZE_MAX - c->to_offset);
		if (r == 0 && c->from == c->to && c->to_offset < c->from_offset + c->length &&
		    c->from_offset < c->to_offset + c->length)
			r = LINKFS_EINVAL;
		*settle = to.flags & LK_INODE_TRIM;
	}
	return lk_op_end(&op, r);
}

/* What the source's rows become in the copy: the same blocks once more, holes for what reads as zeros. */
static int share_map(struct lk_op *op, const struct lk_map *map, struct lk_seg *segs, uint8_t *sums)
{
	for (uint32_t i = 0; i < map->pieces; i++) {
		const struct lk_ext *p = &map->piece[i];
		bool data = lk_ext_data(p->codec);
		segs[i] = (struct lk_seg){.count = p->count,
					  .disk = data ? p->disk : 0,
					  .codec = data ? p->codec : LK_CODEC_HOLE,
					  .sums = sums + (p->at - map->first) * 8,
					  .length = p->length,
					  .offset = p->offset};
		int r = data ? lk_share_add(op, p->disk, lk_ext_named(p)) : 0;
		if (r)
			return r;
	}
	for (uint32_t i = 0; i < map->count; i++)
		lk_put_u64(sums + (size_t)i * 8, map->sums[i]);
	return 0;
}

static int share_op(struct lk_op *op, struct copy *c, uint32_t blocks)
{
	struct lk_map map = {0};
	struct lk_seg segs[LK_MAP_BLOCKS];
	uint8_t sums[LK_MAP_BLOCKS * 8];
	struct lk_inode inode;
	uint64_t first = lk_block_of(c->to_offset), end = c->to_offset + (uint64_t)blocks * LK_BLOCK_SIZE;
	uint64_t from;
	/* The source may be a snapshot's. */
	int r = lk_view_see(op, c->from, &from);
	if (r == 0)
		r = lk_extent_map(op, from, lk_block_of(c->from_offset), blocks, &map);
	lk_view_leave(op);
	if (r == 0)
		r = lk_inode_get(op, c->to, &inode);
	if (r == 0 && map.end < map.first + blocks)
		r = LINKFS_ECORRUPT;
	if (r)
		return r;
	r = share_map(op, &map, segs, sums);
	if (r == 0 && (inode.flags & LK_INODE_INLINE))
		r = lk_file_to_extents(op, &inode, UINT64_MAX);
	if (r == 0 && c->to_offset > (uint64_t)inode.size)
		r = lk_file_clean_tail(op, &inode);
	if (r == 0)
		r = lk_extent_replace(op, &inode, first, segs, map.pieces);
	if (r)
		return r;
	if (c->tail) /* a last block that is not full */
		end = c->to_offset + c->length;
	inode.size = (int64_t)LK_MAX((uint64_t)inode.size, end);
	return lk_file_changed(op, c->cred, &inode, 0);
}

/* Blocks from at on for one op, so that chunks are not cut where ops meet. */
static uint32_t blocks_once(uint64_t at, uint64_t left)
{
	uint64_t most = LK_MAP_BLOCKS - (at + LK_MAP_BLOCKS) % LK_CHUNK_BLOCKS;
	return (uint32_t)LK_MIN(left, most);
}

/* How many blocks from the offsets on are a hole in both, however many that are, or lie behind the target's rows; 0: none. */
static int common_hole(struct lk_op *op, const struct copy *c, uint64_t *blocks_out)
{
	uint64_t at = lk_block_of(c->from_offset), to = lk_block_of(c->to_offset), from, end = 0;
	struct lk_ext source, target = {.codec = LK_CODEC_HOLE};
	struct lk_inode inode;
	int r = lk_view_see(op, c->from, &from);
	*blocks_out = 0;
	if (r == 0)
		r = lk_extent_find(op, from, at, &source);
	lk_view_leave(op);
	if (r)
		return r;
	r = lk_inode_get(op, c->to, &inode);
	if (r || lk_ext_data(source.codec) || (inode.flags & LK_INODE_INLINE && inode.size))
		return r;
	r = lk_extent_end(op, c->to, &end);
	if (r == 0 && to < end)
		r = lk_extent_find(op, c->to, to, &target);
	if (r || target.codec != LK_CODEC_HOLE)
		return r;
	*blocks_out = LK_MIN(source.at + source.count - at, lk_block_of(c->length));
	if (to < end)
		*blocks_out = LK_MIN(*blocks_out, target.at + target.count - to);
	return 0;
}

/* Makes the target reach over blocks that are a hole in both. */
static int pass_hole(struct lk_op *op, struct copy *c, uint64_t blocks)
{
	struct lk_inode inode;
	uint64_t end = c->to_offset + blocks * LK_BLOCK_SIZE;
	int r = lk_inode_get(op, c->to, &inode);
	if (r == 0 && (inode.flags & LK_INODE_INLINE))
		r = lk_file_to_extents(op, &inode, UINT64_MAX);
	if (r == 0 && end > (uint64_t)inode.size)
		r = lk_file_clean_tail(op, &inode);
	if (r == 0)
		r = lk_file_extend(op, &inode, lk_block_of(end));
	if (r)
		return r;
	inode.size = (int64_t)LK_MAX((uint64_t)inode.size, end);
	return lk_file_changed(op, c->cred, &inode, 0);
}

static int share_some(struct copy *c, uint64_t *done_out)
{
	struct lk_op op;
	uint64_t blocks = blocks_once(lk_block_of(c->from_offset), lk_block_of(c->length)), hole = 0;
	int r = lk_op_begin(c->fs, &op, lk_op_flags(c->cred, LK_OP_BULK));
	if (r)
		return r;
	if (lk_block_of(c->length) > blocks)
		r = common_hole(&op, c, &hole);
	if (r == 0 && hole > blocks)
		r = pass_hole(&op, c, blocks = hole);
	else if (r == 0)
		r = share_op(&op, c, (uint32_t)blocks);
	r = lk_op_end(&op, r);
	if (r == 0)
		*done_out = blocks * LK_BLOCK_SIZE;
	return r;
}

static int copy_bytes(struct copy *c, uint64_t want, uint64_t *done_out)
{
	size_t n = (size_t)LK_MIN(want, (uint64_t)COPY_BYTES), got = 0, done = 0;
	if (!c->buf)
		c->buf = malloc(COPY_BYTES);
	if (!c->buf)
		return LINKFS_ENOMEM;
	int r = lk_file_read(c->fs, LK_VIEW_LIVE, c->from, c->from_offset, c->buf, n, &got);
	if (r == 0 && got)
		r = lk_file_write_locked(c->fs, c->cred, c->to, c->to_offset, c->buf, got, 0, &done, NULL);
	if (r == 0)
		*done_out = done;
	return r;
}

static int copy_some(struct copy *c, uint64_t *done_out)
{
	uint64_t part = c->from_offset % LK_BLOCK_SIZE;
	if (c->bytes || part != c->to_offset % LK_BLOCK_SIZE)
		return copy_bytes(c, c->length, done_out);
	if (part)
		return copy_bytes(c, LK_MIN(c->length, LK_BLOCK_SIZE - part), done_out);
	return c->length >= LK_BLOCK_SIZE ? share_some(c, done_out) : copy_bytes(c, c->length, done_out);
}

static int copy_locked(struct copy *c, uint64_t *done_out)
{
	bool settle = false;
	unsigned tries = 0;
	uint64_t done = 0;
	int r = check(c, &settle);
	if (r == 0 && settle)
		r = lk_file_settle(c->fs, c->to);
	/* As Linux has it, reading comes before the write, whose mtime would have a say when both are one file. */
	if (r == 0 && c->length && c->atime)
		lk_atime_touch(c->fs, c->from);
	while (r == 0 && c->length) {
		uint64_t n = 0;
		r = copy_some(c, &n);
		if (lk_file_again(c->fs, r, false, &tries)) {
			r = 0;
			continue;
		}
		if (r || n == 0)
			break;
		done += n;
		c->from_offset += n;
		c->to_offset += n;
		c->length -= n;
	}
	if (r && done == 0)
		return r;
	*done_out = done;
	return 0;
}

/* The target ends with the range, which begins a block in both and is less than one. */
static int is_tail(struct lk_op *op, const struct copy *c, bool *out)
{
	struct lk_inode from, to;
	int r = lk_inode_get(op, c->from, &from);
	lk_view_leave(op);
	if (r == 0)
		r = lk_inode_get(op, c->to, &to);
	if (r)
		return r;
	*out = lk_is_reg(&from) && lk_is_reg(&to) && !(from.flags & LK_INODE_INLINE) && !(to.flags & LK_INODE_TRIM) &&
	       c->length && c->length < LK_BLOCK_SIZE && c->from_offset % LK_BLOCK_SIZE == 0 &&
	       c->to_offset % LK_BLOCK_SIZE == 0 && c->from_offset + c->length <= (uint64_t)from.size &&
	       c->to_offset + c->length == (uint64_t)to.size;
	return 0;
}

int lk_file_share_tail(struct lk_fs *fs, uint64_t from, uint64_t from_offset, uint64_t to, uint64_t to_offset,
		       uint64_t length, bool *done_out)
{
	struct copy c = {.fs = fs,
			 .from = from,
			 .from_offset = from_offset,
			 .to = to,
			 .to_offset = to_offset,
			 .length = length,
			 .tail = true};
	struct lk_op op;
	int r;
	*done_out = false;
	r = lk_node_lock2(fs, from, to);
	if (r)
		return r;
	r = lk_op_begin(fs, &op, LK_OP_WRITE | LK_OP_BULK);
	if (r == 0) {
		r = is_tail(&op, &c, done_out);
		if (r == 0 && *done_out)
			r = share_op(&op, &c, 1);
		r = lk_op_end(&op, r);
	}
	lk_node_unlock2(fs, from, to);
	return r;
}

int lk_file_copy_range(struct lk_fs *fs, const struct linkfs_cred *cred, uint64_t from, uint64_t from_offset,
		       uint64_t to, uint64_t to_offset, uint64_t length, uint64_t *done_out)
{
	struct copy c = {.fs = fs,
			 .cred = cred,
			 .from = from,
			 .from_offset = from_offset,
			 .to = to,
			 .to_offset = to_offset,
			 .length = length};
	int r = lk_node_lock2(fs, from, to);
	if (r)
		return r;
	r = copy_locked(&c, done_out);
	lk_node_unlock2(fs, from, to);
	free(c.buf);
	return r;
}

/* ---- clones ----------------------------------------------------------------------------------------------------- */

#define CLONE_HOLES 256u /* rows passed over in one op */

/* The next blocks of the source that hold content, from block *at on; *count_out 0: none before end or before too many rows. */
static int next_content(struct lk_op *op, uint64_t from, uint64_t *at, uint64_t end, uint32_t *count_out)
{
	struct lk_ext ext;
	for (uint32_t i = 0; i < CLONE_HOLES && *at < end; i++) {
		int r = lk_extent_find(op, from, *at, &ext);
		if (r)
			return r;
		if (lk_ext_data(ext.codec)) {
			*count_out = blocks_once(*at, end - *at);
			return 0;
		}
		*at = LK_MIN(ext.at + ext.count, end);
	}
	*count_out = 0;
	return 0;
}

/* One op: some content, or at the end what makes the rest a hole. */
static int clone_step(struct copy *c, uint64_t end, bool *done_out)
{
	struct lk_op op;
	struct lk_inode from, to;
	uint64_t at = lk_block_of(c->from_offset);
	uint32_t count = 0;
	int r = lk_op_begin(c->fs, &op, LK_OP_WRITE | LK_OP_SILENT | LK_OP_BULK);
	if (r)
		return r;
	r = next_content(&op, c->from, &at, end, &count);
	c->from_offset = c->to_offset = at * LK_BLOCK_SIZE;
	if (r == 0 && count) {
		r = share_op(&op, c, count);
	} else if (r == 0 && at == end) {
		r = lk_inode_get(&op, c->from, &from);
		if (r == 0)
			r = lk_inode_get(&op, c->to, &to);
		if (r == 0 && (to.flags & LK_INODE_INLINE))
			r = lk_file_to_extents(&op, &to, UINT64_MAX);
		if (r == 0)
			r = lk_file_extend(&op, &to, end);
		to.size = from.size;
		if (r == 0)
			r = lk_inode_put(&op, &to);
		*done_out = r == 0;
	}
	r = lk_op_end(&op, r);
	if (r == 0)
		c->from_offset = c->to_offset = (at + count) * LK_BLOCK_SIZE;
	return r;
}

/* Content that lies in the inode's row. */
static int clone_inline(struct lk_op *op, const struct lk_inode *from, uint64_t to)
{
	struct lk_inode copy;
	struct lk_bytes stored = {NULL, 0};
	int r = lk_inode_get(op, to, &copy);
	if (r == 0 && from->size)
		r = lk_file_inline_stored(op, from, &stored);
	if (r == 0)
		r = lk_file_inline_store(op, &copy, stored.p, stored.len, (size_t)from->size,
					 from->flags & LK_INODE_PACKED);
	return r ? r : lk_inode_put(op, &copy);
}

int lk_file_clone(struct lk_fs *fs, uint64_t from, uint64_t to)
{
	struct copy c = {.fs = fs, .cred = lk_cred(NULL), .from = from, .to = to};
	struct lk_inode source;
	struct lk_op op;
	bool done = false;
	int r = lk_op_begin(fs, &op, LK_OP_WRITE | LK_OP_SILENT);
	if (r)
		return r;
	r = lk_inode_get(&op, from, &source);
	if (r == 0 && (source.flags & LK_INODE_INLINE)) {
		r = clone_inline(&op, &source, to);
		done = true;
	}
	r = lk_op_end(&op, r);
	while (r == 0 && !done)
		r = clone_step(&c, lk_blocks_up((uint64_t)source.size), &done);
	return r;
}
