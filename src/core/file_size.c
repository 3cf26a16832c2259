/*
 * file_size.c - a file's size set, content dropped with its inode, and truncations that take several steps.
 * Layer: core.
 *
 * A truncation sets the size at once and cuts rows from the end backwards, so that rows tile [0, E) at every moment. What
 * does not fit one op is marked (LK_INODE_TRIM) and has an intent: the size is true from the first step on, and
 * nobody makes the file larger before the last.
 */
#include "file_impl.h"
#include "orphan.h"

static int intent_put(struct lk_op *op, int64_t kind, const struct lk_inode *inode)
{
	struct lk_intent row = {.id = LK_INTENT_ID(kind, inode->ino), .kind = kind, .ino = inode->ino};
	return lk_txn_put(op, LK_T_INTENT, &row);
}

static int intent_erase(struct lk_op *op, int64_t kind, uint64_t ino)
{
	struct lk_intent row = {.id = LK_INTENT_ID(kind, ino)};
	int r = lk_txn_erase(op, LK_T_INTENT, &row);
	return r == LINKFS_ENOENT ? 0 : r;
}

/* One step: rows past the size go. inode gets or loses the mark; not put. */
static int trim(struct lk_op *op, struct lk_inode *inode, bool *more_out)
{
	bool more = false, marked = inode->flags & LK_INODE_TRIM;
	uint32_t rows = op->flags & LK_OP_BULK ? LK_FILE_STEP_ROWS : LK_FILE_FIRST_ROWS;
	int r = lk_extent_trim(op, inode, lk_blocks_up((uint64_t)inode->size), rows, &more);
	if (r == 0 && more && !marked)
		r = intent_put(op, LK_INTENT_TRIM, inode);
	if (r == 0 && !more && marked)
		r = intent_erase(op, LK_INTENT_TRIM, (uint64_t)inode->ino);
	if (r)
		return r;
	if (more) {
		inode->flags |= LK_INODE_TRIM;
	} else {
		inode->flags &= ~(int64_t)LK_INODE_TRIM;
		if (inode->size == 0)
			inode->flags |= LK_INODE_INLINE; /* small again: as a new file */
	}
	*more_out = more;
	return 0;
}

static int resize_inline(struct lk_op *op, struct lk_inode *inode, uint64_t size)
{
	uint8_t *content;
	/* An empty file made larger is a hole, not content. */
	if (size == (uint64_t)inode->size)
		return 0;
	if (size > LK_INLINE_MAX || inode->size == 0) {
		int r = lk_file_to_extents(op, inode, size);
		return r ? r : lk_file_extend(op, inode, lk_blocks_up(size));
	}
	if (size == 0)
		return lk_file_inline_put(op, inode, NULL, 0);
	int r = lk_file_inline_get(op, inode, (size_t)size, &content);
	return r ? r : lk_file_inline_put(op, inode, content, (size_t)size);
}

static int resize_extents(struct lk_op *op, struct lk_inode *inode, uint64_t size)
{
	bool more = false;
	int r = 0;
	/* Not from here on, normally: the steps follow the op that began them. */
	while (r == 0 && (inode->flags & LK_INODE_TRIM))
		r = trim(op, inode, &more);
	if (r)
		return r;
	if (inode->flags & LK_INODE_INLINE)
		return resize_inline(op, inode, size);
	if (size > (uint64_t)inode->size) {
		r = lk_file_clean_tail(op, inode);
		return r ? r : lk_file_extend(op, inode, lk_blocks_up(size));
	}
	/* The same size: what was allocated past the end goes, as on ext4. */
	inode->size = (int64_t)size;
	r = trim(op, inode, &more);
	if (r == 0 && more)
		r = lk_op_reclaim(op, (uint64_t)inode->ino);
	return r;
}

int lk_file_resize(struct lk_op *op, struct lk_inode *inode, uint64_t size)
{
	int r = lk_file_check_type(inode);
	if (r)
		return r;
	if (size > LINKFS_FILE_SIZE_MAX)
		return LINKFS_EFBIG;
	r = inode->flags & LK_INODE_INLINE ? resize_inline(op, inode, size) : resize_extents(op, inode, size);
	if (r)
		return r;
	inode->size = (int64_t)size;
	lk_inode_touch(op, inode, true);
	return lk_op_event(op, LINKFS_EVENT_DATA, (uint64_t)inode->ino, NULL, 0);
}

int lk_file_trim_step(struct lk_op *op, uint64_t ino, bool *more_out)
{
	struct lk_inode inode;
	bool more = false;
	*more_out = false;
	int r = lk_inode_get_any(op, ino, &inode);
	if (r == LINKFS_ESTALE)
		return intent_erase(op, LK_INTENT_TRIM, ino);
	if (r || !(inode.flags & LK_INODE_TRIM))
		return r;
	r = trim(op, &inode, &more);
	if (r == 0)
		r = lk_inode_put(op, &inode);
	if (r == 0)
		*more_out = more;
	return r;
}

int lk_file_settle(struct lk_fs *fs, uint64_t ino)
{
	bool more = true;
	int r = 0;
	while (r == 0 && more) {
		struct lk_op op;
		r = lk_op_begin(fs, &op, LK_OP_WRITE | LK_OP_FREES | LK_OP_BULK | LK_OP_SILENT | LK_OP_PURGE);
		if (r)
			break;
		r = lk_op_end(&op, lk_file_trim_step(&op, ino, &more));
	}
	return r;
}

int lk_file_drop(struct lk_op *op, struct lk_inode *inode, uint32_t max_rows, bool *more_out)
{
	bool more = false;
	int r;
	if (inode->flags & LK_INODE_INLINE) {
		r = lk_file_inline_put(op, inode, NULL, 0);
	} else {
		uint64_t end = 0;
		r = lk_extent_trim(op, inode, 0, max_rows, &more);
		if (r == 0 && more)
			r = lk_extent_end(op, (uint64_t)inode->ino, &end);
		/* Rows tile the size for whoever still looks. */
		inode->size = (int64_t)LK_MIN((uint64_t)inode->size, end * LK_BLOCK_SIZE);
		if (r == 0 && !more && (inode->flags & LK_INODE_TRIM))
			r = intent_erase(op, LK_INTENT_TRIM, (uint64_t)inode->ino);
		if (!more)
			inode->flags = (inode->flags & ~(int64_t)LK_INODE_TRIM) | LK_INODE_INLINE;
	}
	if (r == 0)
		*more_out = more;
	return r;
}
