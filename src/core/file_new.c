/*
 * file_new.c - the content of small files that are not there yet, of several at once (lk_new_write()).
 * Layer: core.
 *
 * As in file_write.c content comes first, without the metadata lock, and rows name it afterwards (I3). Here all that belongs to a
 * new file is one op's business, and that of several files: so nobody meets half of one, and the lock is taken for all of them at once.
 * What one file has on disk begins where the one before it ends, as far as there is room, and is written together.
 */
#include "file_impl.h"

#include <stdlib.h>
#include <string.h>

#define NEW_BLOCKS (LK_NEW_MAX / LK_BLOCK_SIZE)

struct content {
	const uint8_t *plain;
	size_t size;
	struct lk_making made; /* what compression made of it: its row, or one chunk, or nothing */
	uint32_t blocks;       /* on disk; 0: it is in a row */
	struct lk_run runs[NEW_BLOCKS];
	uint32_t run_count, used; /* runs before used are the op's business */
	uint8_t sums[NEW_BLOCKS * 8];
};

struct lk_new {
	struct lk_fs *fs;
	size_t count;
	uint32_t blocks;
	uint8_t *bytes; /* of all blocks */
	struct content content[];
};

static bool has_chunk(const struct content *c)
{
	return c->made.count > 0;
}

static void give_back(struct lk_new *n)
{
	(void)pthread_mutex_lock(&n->fs->lock);
	for (size_t i = 0; i < n->count; i++) {
		struct content *c = &n->content[i];
		for (; c->used < c->run_count; c->used++)
			lk_alloc_unreserve(n->fs->alloc, &c->runs[c->used]);
		c->run_count = c->used = 0;
	}
	(void)pthread_mutex_unlock(&n->fs->lock);
}

void lk_new_done(struct lk_new *n)
{
	if (!n)
		return;
	give_back(n);
	for (size_t i = 0; i < n->count; i++)
		lk_making_done(&n->content[i].made);
	free(n->bytes);
	free(n);
}

/* What becomes of each, with how many blocks. */
static int make(struct lk_new *n, int level)
{
	n->blocks = 0;
	for (size_t i = 0; i < n->count; i++) {
		struct content *c = &n->content[i];
		lk_making_done(&c->made);
		int r = level ? lk_file_make(n->fs, level, 0, c->plain, c->size, 0, true, &c->made) : 0;
		if (r)
			return r;
		c->blocks = (uint32_t)lk_blocks_up(c->size);
		if (has_chunk(c) && (c->made.count > 1 || c->made.chunks[0].count != c->blocks))
			lk_making_done(&c->made); /* it does not go into one */
		if (c->made.in_row || (!has_chunk(c) && c->size <= LK_INLINE_MAX))
			c->blocks = 0;
		else if (has_chunk(c))
			c->blocks = (uint32_t)lk_blocks_up(c->made.chunks[0].length);
		n->blocks += c->blocks;
	}
	return 0;
}

/* Blocks as they will be on disk, and their sums. */
static int fill(struct lk_new *n)
{
	free(n->bytes);
	n->bytes = NULL;
	if (n->blocks == 0)
		return 0;
	n->bytes = malloc((size_t)n->blocks * LK_BLOCK_SIZE);
	if (!n->bytes)
		return LINKFS_ENOMEM;
	uint8_t *at = n->bytes;
	for (size_t i = 0; i < n->count; i++) {
		struct content *c = &n->content[i];
		size_t len = has_chunk(c) ? c->made.bytes.len : c->size, whole = (size_t)c->blocks * LK_BLOCK_SIZE;
		if (c->blocks == 0)
			continue;
		memcpy(at, has_chunk(c) ? c->made.bytes.p : c->plain, len);
		memset(at + len, 0, whole - len);
		if (has_chunk(c))
			memcpy(c->sums, c->made.chunks[0].sum, 8);
		for (uint32_t b = 0; b < c->blocks && !has_chunk(c); b++)
			lk_put_u64(c->sums + (size_t)b * 8,
				   lk_block_sum(at + (size_t)b * LK_BLOCK_SIZE, LK_BLOCK_SIZE));
		at += whole;
	}
	return 0;
}

/* The metadata lock is held. What was reserved stays with n when it fails. */
static int reserve(struct lk_new *n)
{
	uint64_t hint = 0;
	int r = 0;
	for (size_t i = 0; r == 0 && i < n->count; i++) {
		struct content *c = &n->content[i];
		uint32_t max = has_chunk(c) ? 1 : NEW_BLOCKS;
		if (c->blocks == 0)
			continue;
		r = lk_alloc_reserve_for(n->fs->alloc, c->blocks, 0, hint, c->runs, max, &c->run_count);
		if (r == LINKFS_ENOSPC && hint)
			r = lk_alloc_reserve_for(n->fs->alloc, c->blocks, 0, 0, c->runs, max, &c->run_count);
		if (r)
			c->run_count = 0;
		else
			hint = c->runs[c->run_count - 1].block + c->runs[c->run_count - 1].count;
	}
	return r;
}

/* Blocks that follow each other on disk are written in one. */
static int put(struct lk_new *n)
{
	struct lk_run run = {0};
	const uint8_t *from = n->bytes;
	int r = 0;
	for (size_t i = 0; r == 0 && i < n->count; i++) {
		const struct content *c = &n->content[i];
		for (uint32_t k = 0; r == 0 && k < c->run_count; k++) {
			if (run.count && run.block + run.count == c->runs[k].block) {
				run.count += c->runs[k].count;
				continue;
			}
			if (run.count)
				r = lk_data_write(n->fs->data, run.block, run.count, from);
			from += (size_t)run.count * LK_BLOCK_SIZE;
			run = c->runs[k];
		}
	}
	if (r == 0 && run.count)
		r = lk_data_write(n->fs->data, run.block, run.count, from);
	return r;
}

static int write_once(struct lk_new *n, int level)
{
	struct lk_op op;
	int r = make(n, level);
	if (r == 0)
		r = fill(n);
	if (r || n->blocks == 0)
		return r;
	r = lk_op_begin(n->fs, &op, 0);
	if (r)
		return r;
	r = lk_op_end(&op, reserve(n));
	if (r == 0)
		r = put(n);
	if (r)
		give_back(n);
	return r;
}

/* 0 where there is no such directory, as who makes the files will say. */
static int level_in(struct lk_fs *fs, uint64_t dir)
{
	struct lk_inode inode;
	struct lk_op op;
	int level = 0;
	if (lk_op_begin(fs, &op, 0))
		return 0;
	int r = lk_inode_get(&op, dir, &inode);
	if (r == 0) {
		const struct lk_inode made = {.mode = S_IFREG, .flags = inode.flags & LK_INODE_INHERITED};
		level = lk_file_pack_level(fs, &made);
	}
	(void)lk_op_end(&op, r);
	return level;
}

int lk_new_write(struct lk_fs *fs, uint64_t dir, const struct lk_bytes *contents, size_t count, struct lk_new **out)
{
	if ((fs->open_flags & LINKFS_OPEN_READONLY) || atomic_load(&fs->poisoned))
		return LINKFS_EROFS;
	struct lk_new *n = calloc(1, sizeof(*n) + count * sizeof(n->content[0]));
	int level, r;
	if (!n)
		return LINKFS_ENOMEM;
	n->fs = fs;
	n->count = count;
	for (size_t i = 0; i < count; i++) {
		n->content[i].plain = contents[i].p;
		n->content[i].size = contents[i].len;
	}
	level = level_in(fs, dir);
	r = write_once(n, level);
	/* There may be room for blocks as they are where there is none for chunks in one piece. */
	if (r == LINKFS_ENOSPC && level)
		r = write_once(n, 0);
	if (r)
		lk_new_done(n);
	else
		*out = n;
	return r;
}

int lk_new_put(struct lk_op *op, struct lk_new *n, size_t at, struct lk_inode *inode)
{
	struct content *c = &n->content[at];
	struct lk_seg segs[NEW_BLOCKS];
	const uint8_t *sums = c->sums;
	int r = 0;
	if (c->made.in_row)
		return lk_file_inline_store(op, inode, c->made.bytes.p, c->made.bytes.len, c->size, true);
	if (c->blocks == 0)
		return lk_file_inline_put(op, inode, c->plain, c->size);
	for (; r == 0 && c->used < c->run_count; c->used += r == 0)
		r = lk_alloc_use(op->fs->alloc, &op->alloc, &c->runs[c->used]);
	if (r)
		return r;
	for (uint32_t k = 0; k < c->run_count; k++) {
		segs[k] = (struct lk_seg){
			.count = c->runs[k].count, .disk = c->runs[k].block, .codec = LK_CODEC_RAW, .sums = sums};
		sums += (size_t)c->runs[k].count * 8;
	}
	if (has_chunk(c)) {
		segs[0].codec = LK_CODEC_ZSTD;
		segs[0].count = c->made.chunks[0].count;
		segs[0].length = c->made.chunks[0].length;
	}
	inode->flags &= ~(int64_t)LK_INODE_INLINE;
	r = lk_extent_begin(op, inode, segs, c->run_count);
	if (r == 0)
		inode->size = (int64_t)c->size;
	return r;
}
