/*
 * extent.h - the extent rows of a file that is not inline: which disk blocks hold its content.
 * Layer: core. Rows tile [0, E) without gap or overlap, E at least the size in blocks; rows past the size are holes and
 * unwritten blocks only (but while LK_INODE_TRIM says that a truncation is still at work). Every row read is checked (F5).
 */
#ifndef LK_EXTENT_H
#define LK_EXTENT_H

#include "inode.h"
#include "share.h"

#define LK_FILE_BLOCKS_MAX ((LINKFS_FILE_SIZE_MAX + LK_BLOCK_SIZE - 1) / LK_BLOCK_SIZE)
#define LK_MAP_BLOCKS 256u

/* A stretch of file blocks that one row maps, or shall map. */
struct lk_ext {
	uint64_t at; /* first file block */
	uint64_t count;
	uint64_t disk; /* first disk block, of a chunk's the first of all; 0 for a hole */
	uint32_t codec;
	uint32_t length, offset; /* ZSTD: bytes stored; which block of the chunk the first one is */
};

/* What rows say of a short range of file blocks. */
struct lk_map {
	uint64_t first;
	uint32_t count; /* asked for; at most LK_MAP_BLOCKS */
	uint32_t pieces;
	uint64_t
		end; /* of the last row that begins at or before the range's last block: E if that is less than the range's end */
	uint64_t disk_end;                  /* the disk block after that row's last; 0 for a hole */
	struct lk_ext piece[LK_MAP_BLOCKS]; /* clipped to the range, ascending */
	uint64_t sums[LK_MAP_BLOCKS]; /* by block of the range, where the codec is RAW; a ZSTD piece's at its first */
};

/* LINKFS_ECORRUPT when rows leave a gap or overlap. What lies at or after map->end no row covers. */
int lk_extent_map(struct lk_op *op, uint64_t ino, uint64_t first, uint32_t count, struct lk_map *map);
/* The row that covers block, without its sums; LINKFS_ECORRUPT when none does. */
int lk_extent_find(struct lk_op *op, uint64_t ino, uint64_t block, struct lk_ext *out);
/* E: where the rows end. */
int lk_extent_end(struct lk_op *op, uint64_t ino, uint64_t *end_out);
/* The epoch of the oldest row that maps some of count blocks from first on; INT64_MAX: none does. */
int lk_extent_oldest(struct lk_op *op, uint64_t ino, uint64_t first, uint32_t count, int64_t *born_out);
/* How many rows begin at or after block from. */
int lk_extent_count(struct lk_op *op, uint64_t ino, uint64_t from, uint64_t *rows_out);
/* How many blocks from first on, at most count, at most max_rows rows cover. first lies below E. */
int lk_extent_span(struct lk_op *op, uint64_t ino, uint64_t first, uint64_t count, uint32_t max_rows,
		   uint64_t *span_out);

/* A part of a new mapping. */
struct lk_seg {
	uint64_t count;
	uint64_t disk;
	uint32_t codec;
	bool kept;               /* the row that is replaced names the same disk blocks: they are not given up */
	const uint8_t *sums;     /* RAW: 8 bytes a block, as in the row; ZSTD: 8 bytes */
	uint32_t length, offset; /* ZSTD */
};
/* Replaces the mapping of the file blocks from first on by segs; fills with a hole when first lies past E. Blocks no
 * longer named lose a reference; the new ones have theirs already. Keeps inode->blocks; does not put. */
int lk_extent_replace(struct lk_op *op, struct lk_inode *inode, uint64_t first, const struct lk_seg *segs,
		      uint32_t seg_count);
/* The same from block 0 on of a file that has no rows: one that was inline. */
int lk_extent_begin(struct lk_op *op, struct lk_inode *inode, const struct lk_seg *segs, uint32_t seg_count);
/* Cuts the rows from block from on away, from the end backwards, at most max_rows; says if more are left. */
int lk_extent_trim(struct lk_op *op, struct lk_inode *inode, uint64_t from, uint32_t max_rows, bool *more_out);
/* Moves the rows from block from on (a row begins there, or none is left) by delta blocks; downwards over a gap made by erasing. */
int lk_extent_shift(struct lk_op *op, uint64_t ino, uint64_t from, int64_t delta);
/* Erases the rows of [first, first + count) whole, which begin and end there. Leaves a gap for lk_extent_shift(). */
int lk_extent_remove(struct lk_op *op, struct lk_inode *inode, uint64_t first, uint64_t count);
/* Fills a gap that lk_extent_shift() left. */
int lk_extent_put_hole(struct lk_op *op, uint64_t ino, uint64_t at, uint64_t count);
/* Makes a row begin at block. Both halves of a chunk name all of it. Keeps inode->blocks. */
int lk_extent_split(struct lk_op *op, struct lk_inode *inode, uint64_t block);
/* After lk_txn_start(): history rows count as references (K3). */
void lk_extent_start(struct lk_fs *fs);

static inline bool lk_ext_allocated(uint32_t codec)
{
	return codec != LK_CODEC_HOLE;
}
/* Whether it holds bytes that were written. */
static inline bool lk_ext_data(uint32_t codec)
{
	return codec == LK_CODEC_RAW || codec == LK_CODEC_ZSTD;
}
/* How many disk blocks it names, from disk on. */
static inline uint64_t lk_ext_named(const struct lk_ext *e)
{
	return (uint64_t)lk_blocks_named((int64_t)e->codec, (int64_t)e->count, (int64_t)e->length);
}
/* What it adds to inode->blocks. */
static inline int64_t lk_ext_counted(const struct lk_ext *e)
{
	return lk_blocks_counted((int64_t)e->codec, (int64_t)e->count, (int64_t)e->length);
}
/* The part of count blocks from the skip-th on. */
static inline struct lk_ext lk_ext_part(const struct lk_ext *e, uint64_t skip, uint64_t count)
{
	struct lk_ext part = *e;
	part.at += skip;
	part.count = count;
	if (e->codec == LK_CODEC_ZSTD)
		part.offset += (uint32_t)skip;
	else if (lk_ext_allocated(e->codec))
		part.disk += skip;
	return part;
}
/* Whether two stretches, of the same length, have the same bytes because they are the same blocks. */
static inline bool lk_ext_same(const struct lk_ext *a, const struct lk_ext *b)
{
	return lk_ext_data(a->codec) && a->codec == b->codec && a->disk == b->disk && a->length == b->length &&
	       a->offset == b->offset;
}

#endif
