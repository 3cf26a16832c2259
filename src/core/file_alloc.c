/*
 * file_alloc.c - fallocate's modes (A7): allocate, zero, punch, collapse, insert; results and errors are ext4's.
 * Layer: core.
 *
 * Zeroing a range takes new unwritten blocks even where old ones are there: the old ones may be named by the durable
 * state, and unwritten blocks are written in place (file_write.c).
 */
#include "file_impl.h"

#include <string.h>

#define FILL_RUNS 32u
#define FILL_FINDS 256u /* rows looked at in one op */

struct change {
	struct lk_fs *fs;
	const struct linkfs_cred *cred;
	uint64_t ino, offset, end;
	bool keep, zero;
	bool any; /* kept files too: what a crash cut off */
	bool host_full;
};

static int begin(struct change *c, struct lk_op *op, uint32_t more, struct lk_inode *inode)
{
	int r = lk_op_begin(c->fs, op, lk_op_flags(c->cred, more));
	if (r)
		return r;
	r = c->any ? lk_inode_get_any(op, c->ino, inode) : lk_inode_get(op, c->ino, inode);
	return r ? lk_op_end(op, r) : 0;
}

/* ---- punch ------------------------------------------------------------------------------------------------------ */

static int punch_intent(struct lk_op *op, uint64_t ino, uint64_t from, uint64_t to)
{
	struct lk_intent row = {.id = LK_INTENT_ID(LK_INTENT_PUNCH, ino),
				.kind = LK_INTENT_PUNCH,
				.ino = (int64_t)ino,
				.from = (int64_t)from,
				.to = (int64_t)to};
	if (from < to)
		return lk_txn_put(op, LK_T_INTENT, &row);
	int r = lk_txn_erase(op, LK_T_INTENT, &row);
	return r == LINKFS_ENOENT ? 0 : r;
}

/* A hole from *from on, over as many rows as one op may change. */
static int punch_step(struct lk_op *op, struct lk_inode *inode, uint64_t *from, uint64_t to)
{
	uint64_t span;
	int r = lk_extent_span(op, (uint64_t)inode->ino, *from, to - *from, LK_FILE_STEP_ROWS, &span);
	if (r)
		return r;
	struct lk_seg hole = {.count = span, .codec = LK_CODEC_HOLE};
	r = lk_extent_replace(op, inode, *from, &hole, 1);
	*from += span;
	return r;
}

/* The steps after the first. A failure takes the intent away: it must not punch what is written later. */
static int punch_rest(struct change *c, uint64_t from, uint64_t to)
{
	int r = 0;
	while (r == 0 && from < to) {
		struct lk_op op;
		struct lk_inode inode;
		uint64_t next = from;
		r = begin(c, &op, LK_OP_FREES | LK_OP_BULK, &inode);
		if (r)
			break;
		r = punch_step(&op, &inode, &next, to);
		if (r == 0)
			r = punch_intent(&op, c->ino, next, to);
		if (r == 0)
			r = lk_inode_put(&op, &inode);
		r = lk_op_end(&op, r);
		from = next;
	}
	if (r) {
		struct lk_op op;
		if (lk_op_begin(c->fs, &op, lk_op_flags(c->cred, LK_OP_FREES)) == 0)
			(void)lk_op_end(&op, punch_intent(&op, c->ino, 1, 0));
	}
	return r;
}

static int punch_inline(struct lk_op *op, struct change *c, struct lk_inode *inode)
{
	uint64_t size = (uint64_t)inode->size, end = LK_MIN(c->end, size);
	uint8_t *content;
	if (c->offset == 0 && end == size) {
		int r = lk_file_inline_put(op, inode, NULL, 0);
		inode->size = (int64_t)size;
		inode->flags &= ~(int64_t)LK_INODE_INLINE;
		return r ? r : lk_file_extend(op, inode, lk_blocks_up(size));
	}
	int r = lk_file_inline_get(op, inode, 0, &content);
	if (r)
		return r;
	memset(content + c->offset, 0, (size_t)(end - c->offset));
	return lk_file_inline_put(op, inode, content, (size_t)size);
}

/* The bytes of the blocks at the edges of [offset, end) that are not in it whole. */
static int zero_edges(struct lk_op *op, struct lk_inode *inode, uint64_t offset, uint64_t end)
{
	uint64_t head = lk_block_of(offset), tail = lk_block_of(end);
	uint32_t from = (uint32_t)(offset % LK_BLOCK_SIZE), to = (uint32_t)(end % LK_BLOCK_SIZE);
	int r = 0;
	if (from)
		r = lk_file_zero_part(op, inode, head, from, head == tail ? to : LK_BLOCK_SIZE);
	if (r == 0 && to && !(from && head == tail))
		r = lk_file_zero_part(op, inode, tail, 0, to);
	return r;
}

static int punch(struct change *c)
{
	struct lk_op op;
	struct lk_inode inode;
	int r = begin(c, &op, LK_OP_FREES | LK_OP_BULK, &inode);
	if (r)
		return r;
	uint64_t size = (uint64_t)inode.size, from = lk_blocks_up(c->offset), to = lk_block_of(c->end);
	if (c->offset >= size) {
		from = to = 0;
	} else if (inode.flags & LK_INODE_INLINE) {
		from = to = 0;
		r = punch_inline(&op, c, &inode);
	} else {
		/* To the end of the last block, when it reaches the size. */
		bool whole_tail = c->end >= size;
		to = whole_tail ? lk_blocks_up(size) : to;
		r = zero_edges(&op, &inode, c->offset, whole_tail ? to * LK_BLOCK_SIZE : c->end);
	}
	if (r == 0 && from < to)
		r = punch_step(&op, &inode, &from, to);
	if (r == 0 && from < to)
		r = punch_intent(&op, c->ino, from, to);
	if (r == 0)
		r = lk_file_changed(&op, c->cred, &inode, 0);
	r = lk_op_end(&op, r);
	return r ? r : punch_rest(c, from, to);
}

int lk_file_resume(struct lk_fs *fs, const struct lk_intent *intent)
{
	static const struct linkfs_cred kernel = {.flags = LINKFS_CRED_KERNEL};
	struct change c = {.fs = fs, .cred = &kernel, .ino = (uint64_t)intent->ino, .any = true};
	struct lk_inode inode;
	struct lk_op op;
	if (intent->kind == LK_INTENT_TRIM)
		return lk_file_settle(fs, c.ino);
	if (intent->kind != LK_INTENT_PUNCH || intent->from < 0 || intent->to < 0)
		return LINKFS_ECORRUPT;
	int r = begin(&c, &op, LK_OP_FREES, &inode);
	uint64_t to = 0;
	if (r == 0) {
		r = inode.flags & LK_INODE_INLINE ? 0 : lk_extent_end(&op, c.ino, &to);
		r = lk_op_end(&op, r);
	}
	to = LK_MIN(to, (uint64_t)intent->to);
	if (r == 0 && (uint64_t)intent->from < to)
		return punch_rest(&c, (uint64_t)intent->from, to);
	if (r && r != LINKFS_ESTALE)
		return r;
	r = lk_op_begin(fs, &op, LK_OP_WRITE | LK_OP_FREES | LK_OP_SILENT);
	return r ? r : lk_op_end(&op, punch_intent(&op, c.ino, 1, 0));
}

/* ---- allocate and zero -------------------------------------------------------------------------------------------- */

/* The next file blocks from *at on, below last, that need unwritten blocks: holes, and with zero what was written in the whole blocks.
 * *count is 0 when there are none; *at goes on over what needs nothing. */
static int find_need(struct lk_op *op, struct change *c, uint64_t *at, uint64_t last, uint64_t *count)
{
	uint64_t end, zero_from = lk_blocks_up(c->offset), zero_to = lk_block_of(c->end);
	int r = lk_extent_end(op, c->ino, &end);
	*count = 0;
	for (unsigned finds = 0; r == 0 && *at < last && finds < FILL_FINDS; finds++) {
		struct lk_ext e = {.at = *at, .count = last - *at, .codec = LK_CODEC_HOLE};
		if (*at < end)
			r = lk_extent_find(op, c->ino, *at, &e);
		if (r)
			return r;
		uint64_t stop = LK_MIN(e.at + e.count, last);
		bool need = e.codec == LK_CODEC_HOLE;
		if (c->zero && lk_ext_data(e.codec) && *at < zero_to && stop > zero_from) {
			need = true;
			if (*at < zero_from) {
				need = false;
				stop = zero_from;
			} else {
				stop = LK_MIN(stop, zero_to);
			}
		}
		if (need) {
			*count = LK_MIN(stop - *at, (uint64_t)LK_GROUP_BLOCKS);
			return 0;
		}
		*at = stop;
	}
	return r;
}

static int fill_reserve(struct lk_fs *fs, uint64_t *count, struct lk_run *runs, uint32_t *run_count)
{
	int r;
	while ((r = lk_alloc_reserve(fs->alloc, (uint32_t)*count, 0, runs, FILL_RUNS, run_count)) == LINKFS_ENOSPC &&
	       *count > 1)
		*count /= 2;
	return r;
}

/* Unwritten blocks, reserved here and asked of the host, for [at, at + count). */
static int fill_put(struct change *c, uint64_t at, struct lk_run *runs, uint32_t run_count)
{
	struct lk_op op;
	struct lk_inode inode;
	struct lk_seg segs[FILL_RUNS];
	uint32_t used = 0;
	int r = 0;
	for (uint32_t i = 0; r == 0 && i < run_count; i++) {
		segs[i] = (struct lk_seg){.count = runs[i].count, .disk = runs[i].block, .codec = LK_CODEC_UNWRITTEN};
		r = lk_data_allocate(c->fs->data, runs[i].block, runs[i].count);
		if (r == LINKFS_EOPNOTSUPP)
			r = 0;
		c->host_full = r == LINKFS_ENOSPC;
	}
	int begun = r ? r : begin(c, &op, 0, &inode);
	if (begun) {
		(void)pthread_mutex_lock(&c->fs->lock);
		for (uint32_t i = 0; i < run_count; i++)
			lk_alloc_unreserve(c->fs->alloc, &runs[i]);
		(void)pthread_mutex_unlock(&c->fs->lock);
		return begun;
	}
	for (; r == 0 && used < run_count; used += r == 0)
		r = lk_alloc_use(c->fs->alloc, &op.alloc, &runs[used]);
	for (uint32_t i = used; i < run_count; i++)
		lk_alloc_unreserve(c->fs->alloc, &runs[i]);
	if (r == 0)
		r = lk_extent_replace(&op, &inode, at, segs, run_count);
	if (r == 0)
		r = lk_inode_put(&op, &inode);
	return lk_op_end(&op, r);
}

static int fill_blocks(struct change *c)
{
	uint64_t at = lk_block_of(c->offset), last = lk_blocks_up(c->end);
	int r = 0;
	while (r == 0 && at < last) {
		struct lk_op op;
		struct lk_inode inode;
		struct lk_run runs[FILL_RUNS];
		uint32_t run_count = 0;
		uint64_t count = 0;
		r = begin(c, &op, 0, &inode);
		if (r)
			break;
		r = find_need(&op, c, &at, last, &count);
		if (r == 0 && count)
			r = fill_reserve(c->fs, &count, runs, &run_count);
		r = lk_op_end(&op, r);
		if (r == 0 && count)
			r = fill_put(c, at, runs, run_count);
		at += count;
	}
	return r;
}

/* Zeroing within what stays inline. */
static int zero_inline(struct lk_op *op, struct change *c, struct lk_inode *inode)
{
	uint64_t size = c->keep ? (uint64_t)inode->size : LK_MAX((uint64_t)inode->size, c->end);
	uint64_t end = LK_MIN(c->end, size);
	uint8_t *content;
	int r = lk_file_inline_get(op, inode, (size_t)size, &content);
	if (r)
		return r;
	if (c->offset < end)
		memset(content + c->offset, 0, (size_t)(end - c->offset));
	return lk_file_inline_put(op, inode, content, (size_t)size);
}

static int fill(struct change *c)
{
	struct lk_op op;
	struct lk_inode inode;
	int r = begin(c, &op, 0, &inode);
	if (r)
		return r;
	if (c->zero && (inode.flags & LK_INODE_INLINE) && inode.size && c->end <= LK_INLINE_MAX) {
		r = zero_inline(&op, c, &inode);
		if (r == 0)
			r = lk_file_changed(&op, c->cred, &inode, 0);
		return lk_op_end(&op, r);
	}
	if (inode.flags & LK_INODE_INLINE)
		r = lk_file_to_extents(&op, &inode, UINT64_MAX);
	if (r == 0 && c->zero)
		r = zero_edges(&op, &inode, c->offset, c->end);
	if (r == 0)
		r = lk_inode_put(&op, &inode);
	r = lk_op_end(&op, r);
	if (r == 0)
		r = fill_blocks(c);
	if (r == 0)
		r = begin(c, &op, 0, &inode);
	if (r)
		return r;
	if (!c->keep && c->end > (uint64_t)inode.size) {
		r = lk_file_clean_tail(&op, &inode);
		inode.size = (int64_t)c->end;
	}
	if (r == 0)
		r = lk_file_changed(&op, c->cred, &inode, 0);
	return lk_op_end(&op, r);
}

/* ---- collapse and insert ------------------------------------------------------------------------------------------- */

/* One op however many rows move: rows in two places at once would be damage to a reader. */
static int shift(struct change *c, bool insert)
{
	struct lk_op op;
	struct lk_inode inode;
	uint64_t length = c->end - c->offset, from = lk_block_of(c->offset), count = lk_block_of(length);
	if ((c->offset | length) % LK_BLOCK_SIZE)
		return LINKFS_EINVAL;
	int r = begin(c, &op, 0, &inode);
	if (r)
		return r;
	uint64_t size = (uint64_t)inode.size;
	if (insert ? c->offset >= size : c->end >= size)
		r = LINKFS_EINVAL;
	else if (insert && length > LINKFS_FILE_SIZE_MAX - size)
		r = LINKFS_EFBIG;
	uint64_t rows = 0;
	if (r == 0)
		r = lk_extent_count(&op, c->ino, from, &rows);
	if (r == 0)
		r = lk_op_need(&op, (uint32_t)LK_MIN(rows / 2 + 16, (uint64_t)UINT32_MAX));
	if (r == 0 && (inode.flags & LK_INODE_INLINE))
		r = lk_file_to_extents(&op, &inode, UINT64_MAX);
	if (r == 0)
		r = lk_extent_split(&op, &inode, from);
	if (r == 0 && insert) {
		r = lk_extent_shift(&op, c->ino, from, (int64_t)count);
		if (r == 0)
			r = lk_extent_put_hole(&op, c->ino, from, count);
	} else if (r == 0) {
		r = lk_extent_split(&op, &inode, from + count);
		if (r == 0)
			r = lk_extent_remove(&op, &inode, from, count);
		if (r == 0)
			r = lk_extent_shift(&op, c->ino, from + count, -(int64_t)count);
	}
	inode.size = (int64_t)(insert ? size + length : size - length);
	if (r == 0)
		r = lk_file_changed(&op, c->cred, &inode, 0);
	return lk_op_end(&op, r);
}

/* ---- the call ------------------------------------------------------------------------------------------------------ */

static int check_type(const struct lk_inode *inode)
{
	switch (inode->mode & S_IFMT) {
	case S_IFREG:
		return 0;
	case S_IFDIR:
		return LINKFS_EISDIR;
	case S_IFIFO:
		return LINKFS_ESPIPE;
	default:
		return LINKFS_ENODEV;
	}
}

static int run(struct change *c, uint32_t mode)
{
	struct lk_op op;
	struct lk_inode inode;
	int r = begin(c, &op, 0, &inode);
	if (r)
		return r;
	r = check_type(&inode);
	if (r == 0 && c->end > LINKFS_FILE_SIZE_MAX)
		r = LINKFS_EFBIG;
	r = lk_op_end(&op, r);
	if (r == 0 && (inode.flags & LK_INODE_TRIM))
		r = lk_file_settle(c->fs, c->ino);
	if (r == 0 && (inode.flags & LK_INODE_PACKED) && inode.size > (int64_t)LK_INLINE_MAX)
		r = lk_file_unpack(c->fs, c->ino);
	if (r)
		return r;
	switch (mode & ~LINKFS_ALLOC_KEEP_SIZE) {
	case LINKFS_ALLOC_PUNCH:
		return punch(c);
	case LINKFS_ALLOC_COLLAPSE:
		return shift(c, false);
	case LINKFS_ALLOC_INSERT:
		return shift(c, true);
	default:
		return fill(c);
	}
}

int lk_file_allocate(struct lk_fs *fs, const struct linkfs_cred *cred, uint64_t ino, uint32_t mode, uint64_t offset,
		     uint64_t length)
{
	if (offset > INT64_MAX || length == 0 || length > INT64_MAX)
		return LINKFS_EINVAL;
	switch (mode) {
	case 0:
	case LINKFS_ALLOC_KEEP_SIZE:
	case LINKFS_ALLOC_PUNCH | LINKFS_ALLOC_KEEP_SIZE:
	case LINKFS_ALLOC_ZERO:
	case LINKFS_ALLOC_ZERO | LINKFS_ALLOC_KEEP_SIZE:
	case LINKFS_ALLOC_COLLAPSE:
	case LINKFS_ALLOC_INSERT:
		break;
	default:
		return LINKFS_EOPNOTSUPP;
	}
	struct change c = {.fs = fs,
			   .cred = cred,
			   .ino = ino,
			   .offset = offset,
			   .end = offset + length,
			   .keep = mode & LINKFS_ALLOC_KEEP_SIZE,
			   .zero = mode & LINKFS_ALLOC_ZERO};
	unsigned tries = 0;
	int r = lk_node_lock(fs, ino);
	if (r)
		return r;
	do {
		c.host_full = false;
		r = run(&c, mode);
	} while (lk_file_again(fs, r, c.host_full, &tries));
	lk_node_unlock(fs, ino);
	return r;
}
