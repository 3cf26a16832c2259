/*
 * file_extents.c - where a file's content lies, for who asks which files share blocks (row D9, FIEMAP's question).
 * Layer: core. One operation tells a bounded number of rows; holes are passed over.
 */
#include "extent.h"
#include "file.h"
#include "file_impl.h"

#define ROWS_MAX 256u

static int tell(struct lk_op *op, const struct lk_ext *e, linkfs_extent_fn *fn, void *arg)
{
	bool shared = false;
	int r = lk_share_any(op, e->disk, lk_ext_named(e), &shared);
	if (r)
		return r;
	struct linkfs_extent extent = {.offset = e->at * LK_BLOCK_SIZE,
				       .length = e->count * LK_BLOCK_SIZE,
				       .disk = e->disk * LK_BLOCK_SIZE,
				       .disk_length = lk_ext_named(e) * LK_BLOCK_SIZE,
				       .flags = (shared ? LINKFS_EXTENT_SHARED : 0) |
						(e->codec == LK_CODEC_ZSTD ? LINKFS_EXTENT_COMPRESSED : 0) |
						(e->codec == LK_CODEC_UNWRITTEN ? LINKFS_EXTENT_UNWRITTEN : 0)};
	return fn(arg, &extent);
}

static int list(struct lk_op *op, uint64_t ino, uint64_t *offset, linkfs_extent_fn *fn, void *arg)
{
	uint64_t end, block = *offset / LK_BLOCK_SIZE;
	int r = lk_extent_end(op, ino, &end);
	for (unsigned row = 0; r == 0 && block < end && row < ROWS_MAX; row++) {
		struct lk_ext e;
		r = lk_extent_find(op, ino, block, &e);
		if (r == 0 && lk_ext_allocated(e.codec))
			r = tell(op, &e, fn, arg);
		if (r == 0)
			block = e.at + e.count;
	}
	if (r < 0)
		return r;
	*offset = r == 0 && block >= end ? UINT64_MAX : block * LK_BLOCK_SIZE;
	return 0;
}

int lk_file_extents(struct lk_fs *fs, int64_t view, uint64_t ino, uint64_t *offset, linkfs_extent_fn *fn, void *arg)
{
	struct lk_op op;
	struct lk_inode inode;
	uint64_t next = *offset;
	int r = lk_op_begin(fs, &op, 0);
	if (r)
		return r;
	op.view = view;
	r = lk_inode_get(&op, ino, &inode);
	if (r == 0)
		r = lk_file_check_type(&inode);
	if (r == 0 && (inode.flags & LK_INODE_INLINE))
		next = UINT64_MAX;
	else if (r == 0)
		r = list(&op, (uint64_t)inode.ino, &next, fn, arg);
	r = lk_op_end(&op, r);
	if (r == 0)
		*offset = next;
	return r;
}
