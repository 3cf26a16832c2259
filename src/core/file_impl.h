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
/* The row's bytes, compressed when the inode has LK_INODE_PACKED; they live as long as the op. Size is not 0. */
int lk_file_inline_stored(struct lk_op *op, const struct lk_inode *inode, struct lk_bytes *out);
/* What they are, inode->size bytes. Needs no lock. */
int lk_file_inline_plain(struct lk_fs *fs, const struct lk_inode *inode, struct lk_bytes stored, uint8_t *out);
/* Puts len bytes that stand for size. Sets inode->size and LK_INODE_PACKED. */
int lk_file_inline_store(struct lk_op *op, struct lk_inode *inode, const uint8_t *stored, size_t len, size_t size,
			 bool packed);
/* An inline file becomes one of extents; its first keep bytes go to blocks (written under the lock). */
int lk_file_to_extents(struct lk_op *op, struct lk_inode *inode, uint64_t keep);

/* Reads the first block of a piece of content and verifies it. */
int lk_file_block_read(struct lk_fs *fs, const struct lk_ext *piece, uint64_t sum, void *out);
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

/* ---- compression: file_pack.c ------------------------------------------------------------------------------------- */

#define LK_PACK_LEAST 256u                        /* a small file below it stays as it is */
#define LK_PACK_WRITE_MAX (128u * LK_CHUNK_BYTES) /* of a write, compressed at once */

/* A chunk that was compressed. */
struct lk_made {
	uint64_t at;
	uint32_t count;    /* file blocks */
	uint32_t length;   /* bytes */
	size_t bytes;      /* where in the making's bytes its blocks begin */
	uint8_t sum[8];    /* as in its row */
	struct lk_run run; /* count 0: not reserved */
};
struct lk_making {
	struct lk_made *chunks; /* ascending */
	uint32_t count;
	bool in_row; /* instead of chunks: bytes are all of the file, for its row */
	struct lk_buf bytes;
};
void lk_making_done(struct lk_making *m); /* and clears */

/* With which level the content of a file is to be compressed; 0: not at all. Within an op. */
int lk_file_pack_level(const struct lk_fs *fs, const struct lk_inode *inode);
/* What of a write can be compressed with gain; nothing is no error. old_size: the file's before it. row: it may go to the inode's row,
 * as all of a small file that has nothing elsewhere, or will have. No lock needed, no op open. */
int lk_file_make(struct lk_fs *fs, int level, uint64_t offset, const uint8_t *buf, size_t size, uint64_t old_size,
		 bool row, struct lk_making *out);
/* After a write of [offset, end) to a file of old_size bytes: if it appended, and filled the chunk that the old end lay in, the chunk's
 * parts become one. Best effort. Node locked, no op open. */
void lk_file_pack_behind(struct lk_fs *fs, uint64_t ino, uint64_t old_size, uint64_t offset, uint64_t end);
/* Compressed content of an inode's row becomes plain, in the row or in blocks. Node locked, no op open. */
int lk_file_unpack(struct lk_fs *fs, uint64_t ino);

/* What is there from block at on, a multiple of LK_CHUNK_BLOCKS, becomes one chunk, or all of a small file part of its row, where that
 * saves space (Z4). level 0: as the file says. *saved_out: bytes. Node locked, no op open. */
int lk_file_pack_chunk(struct lk_fs *fs, uint64_t ino, int level, uint64_t at, uint64_t *saved_out);

/* lk_file_write() with the node locked. */
int lk_file_write_locked(struct lk_fs *fs, const struct linkfs_cred *cred, uint64_t ino, uint64_t offset,
			 const void *buf, size_t size, uint32_t flags, size_t *done_out, uint64_t *offset_out);

#endif
