/*
 * file_write.c - writing (T1, K3): look, write new blocks, swap rows.
 * Layer: core.
 *
 * Three steps under the node's lock. Look (op one): the inode, the rows under the range, a reservation; a file small enough
 * to stay inline is done in one op then. Write (no metadata lock): read and verify what partial blocks keep, checksum,
 * pwrite. Swap (op two): the inode once more (it may be gone), blocks from reserved to allocated, rows, times.
 *
 * Blocks of an unwritten row are written in place: no row, durable or not, calls their content valid, so a crash or a
 * failure leaves zeros. This holds only while no other row names them; then they are replaced like any other.
 *
 * Where content is compressed (file_pack.c) there is a step between two looks, without the metadata lock: the blocks that the range covers
 * whole are compressed in chunks; what comes out decides how many blocks are reserved.
 */
#include "file_impl.h"

#include <stdlib.h>
#include <string.h>

#define SIZE_MAX_ONE ((size_t)0x7ffff000) /* as Linux: more is written in part */
#define INLINE_RUNS 16u

/* A block at the edge of the range of which old bytes are kept. */
struct edge {
	bool partial;        /* some bytes of the block are not in the range */
	bool read;           /* and must be read: from disk, with sum */
	uint32_t from, to;   /* bytes in the range */
	uint32_t valid;      /* bytes of old content: up to the old size */
	struct lk_ext piece; /* that block */
	uint64_t sum;
	uint8_t block[LK_BLOCK_SIZE];
};

struct writing {
	struct lk_fs *fs;
	const struct linkfs_cred *cred;
	uint64_t ino, offset;
	const uint8_t *buf;
	size_t size;
	uint32_t flags;
	bool host_full; /* the host refused a write */
	bool settle;    /* a truncation must be finished first */
	bool unpack;    /* what lies compressed in the inode's row must be taken out first */
	bool tried;     /* compression was: made has what came out of it */
	bool row;       /* the file's content is in its inode's row */
	int level;      /* with which to compress; 0: not */
	uint64_t old_size;
	struct lk_making made;
	uint32_t made_at;   /* chunks before it stand in want, and when their blocks are reserved ... */
	uint32_t made_used; /* ... those before it are the op's business */

	uint64_t first;
	uint32_t blocks, fresh;   /* in the range; of them to be reserved */
	uint32_t replaced;        /* of those, in the place of blocks that nobody else names */
	struct lk_buf want, segs; /* struct lk_seg: stretches as found, then with disk blocks */
	struct lk_run few[INLINE_RUNS], *runs;
	uint32_t run_count, used; /* runs before used are the op's business */
	uint8_t few_sums[(LK_MAP_BLOCKS + 1) * 8], *sums;
	uint64_t ticket;
	bool reader;
	struct edge head, tail;
};

static void plan_done(struct writing *w)
{
	lk_buf_done(&w->want);
	lk_buf_done(&w->segs);
	lk_making_done(&w->made);
	if (w->runs != w->few)
		free(w->runs);
	if (w->sums != w->few_sums)
		free(w->sums);
}

/* The metadata lock is held. */
static void give_back(struct writing *w)
{
	for (uint32_t i = w->used; i < w->run_count; i++)
		lk_alloc_unreserve(w->fs->alloc, &w->runs[i]);
	w->run_count = w->used = 0;
	for (uint32_t i = w->made_used; i < w->made.count; i++) {
		struct lk_made *m = &w->made.chunks[i];
		if (m->run.count)
			lk_alloc_unreserve(w->fs->alloc, &m->run);
		m->run.count = 0;
	}
}

/* ---- look ---------------------------------------------------------------------------------------------------------- */

static int put_inline(struct lk_op *op, struct writing *w, struct lk_inode *inode)
{
	size_t end = (size_t)w->offset + w->size, size = LK_MAX(end, (size_t)inode->size);
	uint8_t *content;
	int r = lk_file_inline_get(op, inode, size, &content);
	if (r)
		return r;
	memcpy(content + w->offset, w->buf, w->size);
	r = lk_file_inline_put(op, inode, content, size);
	return r ? r : lk_file_changed(op, w->cred, inode, w->flags);
}

/* The node is locked, so the file is as it was or gone. */
static int write_inline(struct writing *w)
{
	struct lk_op op;
	struct lk_inode inode;
	int r = lk_op_begin(w->fs, &op, lk_op_flags(w->cred, 0));
	if (r)
		return r;
	r = lk_inode_get(&op, w->ino, &inode);
	return lk_op_end(&op, r ? r : put_inline(&op, w, &inode));
}

static void edge_init(struct edge *e, uint64_t block, uint64_t offset, uint64_t end, uint64_t old_size)
{
	uint64_t begin = block * LK_BLOCK_SIZE;
	e->from = offset > begin ? (uint32_t)(offset - begin) : 0;
	e->to = end < begin + LK_BLOCK_SIZE ? (uint32_t)(end - begin) : LK_BLOCK_SIZE;
	e->valid = old_size > begin ? (uint32_t)LK_MIN(old_size - begin, (uint64_t)LK_BLOCK_SIZE) : 0;
	e->partial = e->from > 0 || e->to < LK_BLOCK_SIZE;
	e->read = false;
	if (e->partial)
		memset(e->block, 0, sizeof(e->block));
}

static void edge_look(struct edge *e, uint64_t block, const struct lk_map *map, const struct lk_ext *p)
{
	bool keeps = e->partial && ((e->from > 0 && e->valid > 0) || e->valid > e->to);
	if (!keeps || !lk_ext_data(p->codec) || block < p->at || block >= p->at + p->count)
		return;
	e->read = true;
	e->piece = lk_ext_part(p, block - p->at, 1);
	e->sum = map->sums[(p->codec == LK_CODEC_ZSTD ? p->at : block) - map->first];
}

static int want_add(struct writing *w, uint64_t count, uint64_t disk, bool kept)
{
	struct lk_seg *last = w->want.len ? (struct lk_seg *)(void *)(w->want.p + w->want.len) - 1 : NULL;
	if (!kept)
		w->fresh += (uint32_t)count;
	if (last && !kept && !last->kept && last->codec == LK_CODEC_RAW) {
		last->count += count;
		return 0;
	}
	struct lk_seg seg = {.count = count, .disk = disk, .codec = LK_CODEC_RAW, .kept = kept};
	return lk_buf_append(&w->want, &seg, sizeof(seg));
}

/* The same for [at, at + count), but where chunks take the place of what is there. */
static int want_range(struct writing *w, uint64_t at, uint64_t count, uint64_t disk, bool kept)
{
	uint64_t end = at + count;
	int r = 0;
	while (r == 0 && at < end) {
		/* The last chunk that was met may go on here. */
		const struct lk_made *before = w->made_at ? &w->made.chunks[w->made_at - 1] : NULL;
		if (before && before->at + before->count > at) {
			at = LK_MIN(end, before->at + before->count);
			continue;
		}
		const struct lk_made *next = w->made_at < w->made.count ? &w->made.chunks[w->made_at] : NULL;
		if (next && next->at == at) {
			struct lk_seg seg = {.count = next->count, .disk = w->made_at++, .codec = LK_CODEC_ZSTD};
			r = lk_buf_append(&w->want, &seg, sizeof(seg));
			continue;
		}
		uint64_t n = (next ? LK_MIN(end, next->at) : end) - at;
		r = want_add(w, n, kept ? disk + (at - (end - count)) : 0, kept);
		at += n;
	}
	return r;
}

/* One part of the range, of at most LK_MAP_BLOCKS blocks. */
static int look_part(struct lk_op *op, struct writing *w, const struct lk_inode *inode, uint64_t at, uint32_t count,
		     uint64_t *hint)
{
	struct lk_map map;
	int r = lk_extent_map(op, w->ino, at, count, &map);
	if (r)
		return r;
	if (map.end < at + count && map.end < lk_blocks_up((uint64_t)inode->size))
		return LINKFS_ECORRUPT;
	if (!*hint && map.end <= at + count)
		*hint = map.disk_end;
	uint64_t covered = at;
	for (uint32_t i = 0; r == 0 && i < map.pieces; i++) {
		const struct lk_ext *p = &map.piece[i];
		bool unwritten = p->codec == LK_CODEC_UNWRITTEN, shared = true;
		/* Who replaces blocks may do so on a full volume. */
		if (unwritten || (w->fs->limit_blocks && p->codec == LK_CODEC_RAW))
			r = lk_share_any(op, p->disk, p->count, &shared);
		if (!shared && !unwritten)
			w->replaced += (uint32_t)p->count;
		if (r == 0)
			r = want_range(w, p->at, p->count, p->disk, unwritten && !shared);
		edge_look(&w->head, w->first, &map, p);
		edge_look(&w->tail, w->first + w->blocks - 1, &map, p);
		covered += p->count;
	}
	if (r == 0 && covered < at + count)
		r = want_range(w, covered, at + count - covered, 0, false);
	return r;
}

/* Each chunk lies in one piece. */
static int reserve_chunks(struct writing *w, uint64_t *hint)
{
	int r = 0;
	for (uint32_t i = 0; r == 0 && i < w->made.count; i++) {
		struct lk_made *m = &w->made.chunks[i];
		uint32_t n = 0, want = (uint32_t)lk_blocks_up(m->length), replaced = LK_MIN(w->replaced, want);
		r = lk_alloc_reserve_for(w->fs->alloc, want, replaced, *hint, &m->run, 1, &n);
		if (r == LINKFS_ENOSPC && *hint)
			r = lk_alloc_reserve_for(w->fs->alloc, want, replaced, 0, &m->run, 1, &n);
		if (r) {
			m->run.count = 0;
			break;
		}
		w->replaced -= replaced;
		*hint = m->run.block + m->run.count;
	}
	return r;
}

static int reserve(struct writing *w, uint64_t hint)
{
	uint32_t n = 0;
	int r = reserve_chunks(w, &hint);
	if (r || w->fresh == 0)
		return r;
	r = lk_alloc_reserve_for(w->fs->alloc, w->fresh, w->replaced, hint, w->few, INLINE_RUNS, &n);
	if (r == LINKFS_ENOSPC && w->fresh > INLINE_RUNS) {
		/* Room there may be, but in pieces. */
		w->runs = malloc(w->fresh * sizeof(*w->runs));
		if (!w->runs) {
			w->runs = w->few;
			return LINKFS_ENOMEM;
		}
		r = lk_alloc_reserve_for(w->fs->alloc, w->fresh, w->replaced, hint, w->runs, w->fresh, &n);
	}
	if (r == 0)
		w->run_count = n;
	return r;
}

/* Gives every stretch its disk blocks. */
static int assign(struct writing *w)
{
	const struct lk_seg *want = (void *)w->want.p;
	const uint8_t *sums = w->sums;
	uint32_t run = 0, taken = 0;
	for (size_t i = 0; i < w->want.len / sizeof(*want); i++) {
		struct lk_seg seg = want[i];
		uint64_t left = seg.count;
		while (left) {
			if (seg.codec == LK_CODEC_ZSTD) {
				const struct lk_made *m = &w->made.chunks[want[i].disk];
				seg.disk = m->run.block;
				seg.length = m->length;
			} else if (!seg.kept) {
				seg.disk = w->runs[run].block + taken;
				seg.count = LK_MIN(left, (uint64_t)w->runs[run].count - taken);
				taken += (uint32_t)seg.count;
				if (taken == w->runs[run].count) {
					run++;
					taken = 0;
				}
			}
			seg.sums = seg.codec == LK_CODEC_ZSTD ? w->made.chunks[want[i].disk].sum : sums;
			sums += seg.count * 8;
			left -= seg.count;
			int r = lk_buf_append(&w->segs, &seg, sizeof(seg));
			if (r)
				return r;
		}
	}
	return 0;
}

static int look_extents(struct lk_op *op, struct writing *w, const struct lk_inode *inode)
{
	uint64_t end = w->offset + w->size, old_size = (uint64_t)inode->size;
	uint64_t last = lk_block_of(end - 1), hint = 0;
	w->first = lk_block_of(w->offset);
	w->blocks = (uint32_t)(last - w->first + 1);
	edge_init(&w->head, w->first, w->offset, end, old_size);
	if (w->blocks > 1)
		edge_init(&w->tail, last, w->offset, end, old_size);
	if (w->blocks > LK_MAP_BLOCKS + 1) {
		w->sums = malloc((size_t)w->blocks * 8);
		if (!w->sums) {
			w->sums = w->few_sums;
			return LINKFS_ENOMEM;
		}
	}
	int r = 0;
	if (inode->flags & LK_INODE_INLINE) {
		/* Its bytes are the head's, or become block 0 when the rows are put. More than a block is all overwritten. */
		uint8_t *content;
		bool kept = w->first == 0 && w->head.partial && old_size <= LK_BLOCK_SIZE;
		if (kept)
			r = lk_file_inline_get(op, inode, 0, &content);
		if (r == 0 && kept)
			memcpy(w->head.block, content, (size_t)old_size);
		if (r == 0)
			r = want_range(w, w->first, w->blocks, 0, false);
	}
	for (uint64_t at = w->first; r == 0 && !(inode->flags & LK_INODE_INLINE) && at <= last; at += LK_MAP_BLOCKS)
		r = look_part(op, w, inode, at, (uint32_t)LK_MIN(last + 1 - at, (uint64_t)LK_MAP_BLOCKS), &hint);
	if (r == 0)
		r = reserve(w, hint);
	if (r == 0)
		r = assign(w);
	if (r) {
		give_back(w);
		return r;
	}
	if (w->head.read || w->tail.read) {
		w->ticket = lk_alloc_reader_begin(w->fs->alloc);
		w->reader = true;
	}
	return 0;
}

/* Whether it is worth to try: blocks that are written whole, or all that a small file has. */
static bool worth_packing(const struct writing *w, const struct lk_inode *inode)
{
	uint64_t end = w->offset + w->size;
	if ((inode->flags & LK_INODE_INLINE) && w->offset == 0 && end >= (uint64_t)inode->size &&
	    end <= LK_PACKED_SIZE_MAX)
		return end >= LK_PACK_LEAST;
	return w->size > LK_BLOCK_SIZE;
}

static int look_at_file(struct lk_op *op, struct writing *w, const struct lk_inode *inode, bool *small_out)
{
	uint64_t end = w->offset + w->size;
	bool is_inline = inode->flags & LK_INODE_INLINE, packed = inode->flags & LK_INODE_PACKED;
	w->settle = inode->flags & LK_INODE_TRIM;
	if (w->settle)
		return 0;
	w->old_size = (uint64_t)inode->size;
	w->row = is_inline;
	w->level = lk_file_pack_level(w->fs, inode);
	if (w->tried || !w->level || !worth_packing(w, inode)) {
		*small_out = is_inline && LK_MAX(end, w->old_size) <= LK_INLINE_MAX;
		/* What one block can hold is taken out as plain content is. */
		w->unpack =
			packed && !*small_out && w->old_size > LK_BLOCK_SIZE && (w->offset > 0 || end < w->old_size);
		w->tried = true;
		return *small_out || w->unpack ? 0 : look_extents(op, w, inode);
	}
	/* So that what is compressed at once does not take all memory. */
	if (w->size > LK_PACK_WRITE_MAX)
		w->size = LK_PACK_WRITE_MAX - (size_t)(w->offset % LK_CHUNK_BYTES);
	return 0;
}

/* *done: nothing is left to do. */
static int look(struct writing *w, bool *done)
{
	struct lk_op op;
	struct lk_inode inode;
	bool small = false;
	if ((w->fs->open_flags & LINKFS_OPEN_READONLY) || atomic_load(&w->fs->poisoned))
		return LINKFS_EROFS;
	/* Looking needs no proof of space (T4), but what so little is written to is likely a small file, and then this is all. */
	bool at_once =
		!(w->flags & LINKFS_WRITE_APPEND) && w->offset < LK_INLINE_MAX && w->size <= LK_INLINE_MAX - w->offset;
	int r = lk_op_begin(w->fs, &op, at_once ? lk_op_flags(w->cred, 0) : 0);
	if (r)
		return r;
	r = lk_inode_get(&op, w->ino, &inode);
	if (r == 0)
		r = lk_file_check_type(&inode);
	if (r == 0 && (w->flags & LINKFS_WRITE_APPEND))
		w->offset = (uint64_t)inode.size;
	if (r == 0 && w->offset >= LINKFS_FILE_SIZE_MAX)
		r = LINKFS_EFBIG;
	if (r == 0) {
		w->size = (size_t)LK_MIN((uint64_t)w->size, LINKFS_FILE_SIZE_MAX - w->offset);
		r = look_at_file(&op, w, &inode, &small);
	}
	if (r == 0 && small && at_once)
		r = put_inline(&op, w, &inode);
	int end = lk_op_end(&op, r);
	if (r == 0 && end) {
		(void)pthread_mutex_lock(&w->fs->lock);
		give_back(w);
		(void)pthread_mutex_unlock(&w->fs->lock);
	}
	*done = end == 0 && small;
	return *done && !at_once ? write_inline(w) : end;
}

/* ---- write --------------------------------------------------------------------------------------------------------- */

static int edge_fill(struct writing *w, struct edge *e, const uint8_t *from)
{
	if (!e->partial)
		return 0;
	if (e->read) {
		int r = lk_file_block_read(w->fs, &e->piece, e->sum, e->block);
		if (r)
			return r;
		memset(e->block + e->valid, 0, LK_BLOCK_SIZE - e->valid);
	}
	memcpy(e->block + e->from, from, e->to - e->from);
	return 0;
}

/* Blocks [rel, rel + count) of the range, which lie on disk from disk on. */
static int put_blocks(struct writing *w, uint32_t rel, uint32_t count, uint64_t disk, uint8_t *sums)
{
	while (count) {
		const uint8_t *from;
		uint32_t n = 1;
		if (rel == 0 && w->head.partial) {
			from = w->head.block;
		} else if (rel && rel == w->blocks - 1 && w->tail.partial) {
			from = w->tail.block;
		} else {
			from = w->buf + ((w->first + rel) * LK_BLOCK_SIZE - w->offset);
			n = w->tail.partial ? LK_MIN(count, w->blocks - 1 - rel) : count;
		}
		for (uint32_t i = 0; i < n; i++)
			lk_put_u64(sums + (size_t)i * 8, lk_block_sum(from + (size_t)i * LK_BLOCK_SIZE, LK_BLOCK_SIZE));
		int r = lk_data_write(w->fs->data, disk, n, from);
		if (r) {
			w->host_full = r == LINKFS_ENOSPC;
			return r;
		}
		rel += n;
		count -= n;
		disk += n;
		sums += (size_t)n * 8;
	}
	return 0;
}

static int put_all(struct writing *w)
{
	const struct lk_seg *segs = (void *)w->segs.p;
	uint32_t rel = 0;
	int r = edge_fill(w, &w->head, w->buf);
	if (r == 0 && w->blocks > 1)
		r = edge_fill(w, &w->tail, w->buf + ((w->first + w->blocks - 1) * LK_BLOCK_SIZE - w->offset));
	uint32_t chunk = 0;
	for (size_t i = 0; r == 0 && i < w->segs.len / sizeof(*segs); i++) {
		if (segs[i].codec == LK_CODEC_ZSTD) {
			const struct lk_made *m = &w->made.chunks[chunk++];
			r = lk_data_write(w->fs->data, m->run.block, m->run.count, w->made.bytes.p + m->bytes);
			w->host_full = r == LINKFS_ENOSPC;
			rel += m->count;
			continue;
		}
		r = put_blocks(w, rel, (uint32_t)segs[i].count, segs[i].disk, w->sums + (size_t)rel * 8);
		rel += (uint32_t)segs[i].count;
	}
	return r;
}

/* ---- swap ---------------------------------------------------------------------------------------------------------- */

static int put_rows(struct lk_op *op, struct writing *w)
{
	const struct lk_seg *segs = (void *)w->segs.p;
	uint32_t seg_count = (uint32_t)(w->segs.len / sizeof(*segs));
	struct lk_inode inode;
	bool begins = false; /* with this content the file gets its first rows */
	int r = lk_inode_get(op, w->ino, &inode);
	/* At worst each block had a row of its own. */
	if (r == 0 && w->blocks > LK_MAP_BLOCKS)
		r = lk_op_need(op, (w->blocks + seg_count) / 4);
	if (r)
		return r;
	for (; r == 0 && w->used < w->run_count; w->used += r == 0)
		r = lk_alloc_use(w->fs->alloc, &op->alloc, &w->runs[w->used]);
	for (; r == 0 && w->made_used < w->made.count; w->made_used += r == 0)
		r = lk_alloc_use(w->fs->alloc, &op->alloc, &w->made.chunks[w->made_used].run);
	if (r == 0 && (inode.flags & LK_INODE_INLINE)) {
		begins = w->first == 0;
		if (begins) {
			int64_t size = inode.size;
			r = lk_file_inline_put(op, &inode, NULL, 0);
			inode.size = size;
			inode.flags &= ~(int64_t)LK_INODE_INLINE;
		} else {
			r = lk_file_to_extents(op, &inode, UINT64_MAX);
		}
	}
	/* The old last block is rewritten when it is in the range; else its rest shows from now on. */
	if (r == 0 && w->offset > (uint64_t)inode.size && lk_block_of((uint64_t)inode.size) < w->first)
		r = lk_file_clean_tail(op, &inode);
	if (r == 0)
		r = begins ? lk_extent_begin(op, &inode, segs, seg_count)
			   : lk_extent_replace(op, &inode, w->first, segs, seg_count);
	if (r == 0)
		inode.size = (int64_t)LK_MAX((uint64_t)inode.size, w->offset + w->size);
	return r ? r : lk_file_changed(op, w->cred, &inode, w->flags);
}

static int swap(struct writing *w)
{
	struct lk_op op;
	int r = lk_op_begin(w->fs, &op, lk_op_flags(w->cred, 0));
	if (r) {
		(void)pthread_mutex_lock(&w->fs->lock);
		give_back(w);
		(void)pthread_mutex_unlock(&w->fs->lock);
		return r;
	}
	r = put_rows(&op, w);
	if (r)
		give_back(w);
	return lk_op_end(&op, r);
}

/* All of a small file, compressed. */
static int write_packed(struct writing *w)
{
	struct lk_op op;
	struct lk_inode inode;
	int r = lk_op_begin(w->fs, &op, lk_op_flags(w->cred, 0));
	if (r)
		return r;
	r = lk_inode_get(&op, w->ino, &inode);
	if (r == 0)
		r = lk_file_inline_store(&op, &inode, w->made.bytes.p, w->made.bytes.len, w->size, true);
	return lk_op_end(&op, r ? r : lk_file_changed(&op, w->cred, &inode, w->flags));
}

/* A look that asks for compression is followed by another one. Where there is no room for chunks in one piece there may be some for
 * blocks as they are. */
static int look_and_pack(struct writing *w, bool *done)
{
	int r = look(w, done);
	if (r || *done || w->settle || w->tried)
		return r;
	w->tried = true;
	r = lk_file_make(w->fs, w->level, w->offset, w->buf, w->size, w->old_size, w->row, &w->made);
	if (r == 0 && w->made.in_row) {
		*done = true;
		return write_packed(w);
	}
	if (r == 0)
		r = look(w, done);
	if (r == LINKFS_ENOSPC && w->made.count) {
		lk_making_done(&w->made);
		plan_done(w);
		w->fresh = w->replaced = w->made_at = 0;
		w->runs = w->few;
		w->sums = w->few_sums;
		r = look(w, done);
	}
	return r;
}

static int write_once(struct writing *w)
{
	bool done = false;
	w->runs = w->few;
	w->sums = w->few_sums;
	int r = look_and_pack(w, &done);
	if (r == 0 && !done && !w->settle && !w->unpack) {
		r = put_all(w);
		if (w->reader)
			lk_alloc_reader_end(w->fs->alloc, w->ticket);
		if (r) {
			(void)pthread_mutex_lock(&w->fs->lock);
			give_back(w);
			(void)pthread_mutex_unlock(&w->fs->lock);
		} else {
			r = swap(w);
		}
	} else if (w->reader) {
		lk_alloc_reader_end(w->fs->alloc, w->ticket);
	}
	plan_done(w);
	return r;
}

/* The node is locked. *w says afterwards what was written where. */
static int write_part(struct writing *w, struct lk_fs *fs, const struct linkfs_cred *cred, uint64_t ino,
		      uint64_t offset, const void *buf, size_t size, uint32_t flags)
{
	unsigned tries = 0;
	int r;
	do {
		/* All but the edges' bytes, which edge_init() clears. */
		memset(w, 0, offsetof(struct writing, few));
		w->run_count = w->used = 0;
		w->reader = false;
		w->head.partial = w->head.read = w->tail.partial = w->tail.read = false;
		w->fs = fs;
		w->cred = cred;
		w->ino = ino;
		w->offset = offset;
		w->buf = buf;
		w->size = LK_MIN(size, SIZE_MAX_ONE);
		w->flags = flags;
		r = write_once(w);
		if (r == 0 && w->settle)
			r = lk_file_settle(fs, ino);
		else if (r == 0 && w->unpack)
			r = lk_file_unpack(fs, ino);
	} while ((r == 0 && (w->settle || w->unpack)) || lk_file_again(fs, r, w->host_full, &tries));
	return r;
}

int lk_file_write_locked(struct lk_fs *fs, const struct linkfs_cred *cred, uint64_t ino, uint64_t offset,
			 const void *buf, size_t size, uint32_t flags, size_t *done_out, uint64_t *offset_out)
{
	struct writing w;
	size_t done = 0;
	uint64_t at = offset;
	int r;
	do {
		r = write_part(&w, fs, cred, ino, offset + done, (const uint8_t *)buf + done, size - done, flags);
		if (r == 0 && done == 0)
			at = w.offset;
		if (r == 0)
			done += w.size;
	} while (r == 0 && w.level && w.size == LK_PACK_WRITE_MAX - (size_t)(w.offset % LK_CHUNK_BYTES) && done < size);
	if (r && done == 0)
		return r;
	if (w.level)
		lk_file_pack_behind(fs, ino, w.old_size, w.offset, w.offset + w.size);
	if (done_out)
		*done_out = done;
	if (offset_out)
		*offset_out = at;
	return 0;
}

int lk_file_write(struct lk_fs *fs, const struct linkfs_cred *cred, uint64_t ino, uint64_t offset, const void *buf,
		  size_t size, uint32_t flags, size_t *done_out, uint64_t *offset_out)
{
	if (size == 0) {
		if (done_out)
			*done_out = 0;
		if (offset_out)
			*offset_out = offset;
		return 0;
	}
	int r = lk_node_lock(fs, ino);
	if (r)
		return r;
	size_t done = 0;
	uint64_t at = 0;
	r = lk_file_write_locked(fs, cred, ino, offset, buf, size, flags, &done, &at);
	lk_node_unlock(fs, ino);
	if (r == 0 && (flags & LINKFS_WRITE_SYNC))
		r = lk_txn_commit(fs);
	if (r)
		return r;
	if (done_out)
		*done_out = done;
	if (offset_out)
		*offset_out = at;
	return 0;
}
