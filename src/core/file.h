/*
 * file.h - the content of regular files: inline, extents, holes.
 * Layer: core. The functions without an op take the locks of T1 themselves.
 */
#ifndef LK_FILE_H
#define LK_FILE_H

#include "inode.h"

/* Within an op, the node's write lock held (lk_node_lock, before lk_op_begin, until after lk_op_end, which takes the
 * further steps of a large truncation). Sets size, blocks, times; does not put. */
int lk_file_resize(struct lk_op *op, struct lk_inode *inode, uint64_t size);

/* After a call that failed with r: whether another try is worth it. Commits, so that freed blocks can be used, and has kept files
 * give theirs back; host: it was the host that had no room. Node locked, no op open. */
bool lk_file_again(struct lk_fs *fs, int r, bool host, unsigned *tries);
int lk_file_read(struct lk_fs *fs, int64_t view, uint64_t ino, uint64_t offset, void *buf, size_t size,
		 size_t *done_out);
/* As lk_file_read(), but it is no access: no time changes. */
int lk_file_peek(struct lk_fs *fs, int64_t view, uint64_t ino, uint64_t offset, void *buf, size_t size,
		 size_t *done_out);
int lk_file_write(struct lk_fs *fs, const struct linkfs_cred *cred, uint64_t ino, uint64_t offset, const void *buf,
		  size_t size, uint32_t flags, size_t *done_out, uint64_t *offset_out);

/* Content of files that do not exist yet. At most LK_NEW_MAX bytes each. */
#define LK_NEW_MAX 65536u
struct lk_new;
/* Writes the content of count files that are to be made in directory dir (as far as that says whether it is compressed). The bytes stay
 * the caller's, and where they are until lk_new_done(). LINKFS_ENOSPC comes at once: who has other ways to write looks for space. No op open. */
int lk_new_write(struct lk_fs *fs, uint64_t dir, const struct lk_bytes *contents, size_t count, struct lk_new **out);
/* In the op that made the empty file *inode: its content is that of file at. Sets size and blocks, does not put. Each once. */
int lk_new_put(struct lk_op *op, struct lk_new *n, size_t at, struct lk_inode *inode);
/* After the op's end, or without one: gives back what was not put. No op open. May be NULL. */
void lk_new_done(struct lk_new *n);

int lk_file_allocate(struct lk_fs *fs, const struct linkfs_cred *cred, uint64_t ino, uint32_t mode, uint64_t offset,
		     uint64_t length);
int lk_file_seek(struct lk_fs *fs, int64_t view, uint64_t ino, uint64_t offset, int whence, uint64_t *out);
/* linkfs_node_extents(). */
int lk_file_extents(struct lk_fs *fs, int64_t view, uint64_t ino, uint64_t *offset, linkfs_extent_fn *fn, void *arg);
int lk_file_copy_range(struct lk_fs *fs, const struct linkfs_cred *cred, uint64_t from, uint64_t from_offset,
		       uint64_t to, uint64_t to_offset, uint64_t length, uint64_t *done_out);
/* The same of a range that is less than a block, begins one in both, and ends file to: its last block is from's, shared. *done_out false: it is no
 * such range, and nothing was done. */
int lk_file_share_tail(struct lk_fs *fs, uint64_t from, uint64_t from_offset, uint64_t to, uint64_t to_offset,
		       uint64_t length, bool *done_out);
/* Gives the new and nameless file to the content of from, whose blocks it shares; unwritten blocks become holes.
 * Both nodes are locked, no op is open; in bounded steps. Sizes are equal then, times are not looked at. */
int lk_file_clone(struct lk_fs *fs, uint64_t from, uint64_t to);
/* Before the first compressed row, or mark of an inode that asks for one: who does not know of it must not open the volume (V4). No op open. */
int lk_file_pack_feature(struct lk_fs *fs);
/* linkfs_node_compress(). level 0: as the file says. */
int lk_file_pack(struct lk_fs *fs, const struct linkfs_cred *cred, uint64_t ino, int level, uint64_t *offset,
		 uint64_t *saved_out);
/* After the last write to a file: its last chunk, which several writes may have left in parts, is compressed as one. Best effort: nothing
 * is lost by a failure. Takes the node's lock. */
int lk_file_pack_end(struct lk_fs *fs, uint64_t ino);
/* One step of a truncation that needs several (LK_INODE_TRIM); 0 when there is none. */
int lk_file_trim_step(struct lk_op *op, uint64_t ino, bool *more_out);
/* Finishes a long operation that a crash cut off. */
int lk_file_resume(struct lk_fs *fs, const struct lk_intent *intent);

#endif
