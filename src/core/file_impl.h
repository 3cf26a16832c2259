/*
 * file_impl.h - what the file*.c share: blocks read and made, inline content, the rules every change of content follows.
 * Layer: core, private to file*.c.
 *
 * Bytes of a file's last block past its size are undefined: a truncation downwards needs no space that way. Whoever
 * makes a file larger sees to it that they read as zeros (lk_file_clean_tail(), or by rewriting the block).
 */
#ifndef LK_FILE_IMPL_H
#define LK_FILE_IMPL_H

#include "extent.h"
#include "file.h"
#include "node.h"
#include "perm.h"

#define LK_FILE_STEP_ROWS 512u  /* extent rows changed in one LK_OP_BULK op at most (T4 proves space for so many) */
#define LK_FILE_FIRST_ROWS 128u /* and in another's */

static inline uint64_t lk_block_of(uint64_t offset)
{
	return offset / LK_BLOCK_SIZE;
}
static inline uint64_t lk_blocks_up(uint64_t bytes)
{
	return bytes / LK_BLOCK_SIZE + (bytes % LK_BLOCK_SIZE != 0);
}

/* LINKFS_EISDIR, or LINKFS_EINVAL for what has no content. */
int lk_file_check_type(const struct lk_inode *inode);
/* The content of an inline file, in the op's arena; room bytes can be had in the same place (zeros behind the size). */
int lk_file_inline_get(struct lk_op *op, const struct lk_inode *inode, size_t room, uint8_t **content_out);
/* Puts size bytes as the content; 0 erases. Sets inode->size. */
int lk_file_inline_put(struct lk_op *op, struct lk_inode *inode, const uint8_t *content, size_t size);
/* An inline file becomes one of extents; a content of more than 0 bytes goes to a block (written under the lock). */
int lk_file_to_extents(struct lk_op *op, struct lk_inode *inode);

/* Reads one block of RAW content and verifies it. */
int lk_file_block_read(struct lk_fs *fs, uint64_t disk, uint64_t sum, void *out);
/* Writes a new block and puts it in the place of file block at, in this op: for single blocks at the edges. replaced: 1 when
 * a block goes for it. */
int lk_file_block_put(struct lk_op *op, struct lk_inode *inode, uint64_t at, uint32_t replaced, const void *block);
/* Bytes [from, to) of file block at become zeros. */
int lk_file_zero_part(struct lk_op *op, struct lk_inode *inode, uint64_t at, uint32_t from, uint32_t to);
/* Before the size grows: what the last block holds past the size becomes zeros. */
int lk_file_clean_tail(struct lk_op *op, struct lk_inode *inode);
/* Makes the rows reach over blocks, with a hole. */
int lk_file_extend(struct lk_op *op, struct lk_inode *inode, uint64_t blocks);

/* What every change of content does to the inode: times, setuid and setgid bits, capabilities; put and told. */
int lk_file_changed(struct lk_op *op, const struct linkfs_cred *cred, struct lk_inode *inode, uint32_t flags);
/* LK_INODE_TRIM: finishes the truncation. Node locked, no op open. */
int lk_file_settle(struct lk_fs *fs, uint64_t ino);

/* lk_file_write() with the node locked. */
int lk_file_write_locked(struct lk_fs *fs, const struct linkfs_cred *cred, uint64_t ino, uint64_t offset,
			 const void *buf, size_t size, uint32_t flags, size_t *done_out, uint64_t *offset_out);

#endif
