/*
 * file.c - the content of regular files: reading and seeking, and what the changes have in common (file_impl.h).
 * Layer: core. file_write.c writes, file_size.c resizes and drops, file_alloc.c allocates and punches, file_copy.c shares.
 *
 * T1: a read collects rows and registers itself under the lock, then reads and verifies without it. A write holds the node's
 * lock throughout and the metadata lock only to look and to swap rows, so readers see the old blocks or the new ones;
 * the old ones are not used again while a registered reader may look at them (K4).
 */
#include "file_impl.h"

#include "chunk.h"
#include "deleted.h"
#include "pack.h"
#include "views.h"

#include <string.h>

int lk_file_check_type(const struct lk_inode *inode)
{
	if (lk_is_reg(inode))
		return 0;
	return lk_is_dir(inode) ? LINKFS_EISDIR : LINKFS_EINVAL;
}

/* ---- inline content -------------------------------------------------------------------------------------------- */

int lk_file_inline_stored(struct lk_op *op, const struct lk_inode *inode, struct lk_bytes *out)
{
	struct lk_inline row = {.ino = inode->ino};
	bool packed = inode->flags & LK_INODE_PACKED;
	if (inode->size > (int64_t)(packed ? LK_PACKED_SIZE_MAX : LK_INLINE_MAX))
		return LINKFS_ECORRUPT;
	int r = lk_txn_get(op, LK_T_INLINE, &row, &row);
	if (r)
		return r == LINKFS_ENOENT ? LINKFS_ECORRUPT : r;
	if (packed ? row.content.len > LK_PACKED_MAX : row.content.len != (size_t)inode->size)
		return LINKFS_ECORRUPT;
	*out = row.content;
	return 0;
}

int lk_file_inline_plain(struct lk_fs *fs, const struct lk_inode *inode, struct lk_bytes stored, uint8_t *out)
{
	if (inode->size == 0)
		return 0;
	if (!(inode->flags & LK_INODE_PACKED)) {
		memcpy(out, stored.p, stored.len);
		return 0;
	}
	struct lk_packer *packer = lk_pack_take(fs->pack);
	int r = packer ? lk_pack_expand(packer, stored.p, stored.len, out, (size_t)inode->size) : LINKFS_ENOMEM;
	lk_pack_give(fs->pack, packer);
	return r;
}

int lk_file_inline_get(struct lk_op *op, const struct lk_inode *inode, size_t room, uint8_t **content_out)
{
	size_t size = (size_t)inode->size;
	struct lk_bytes stored = {NULL, 0};
	int r = size ? lk_file_inline_stored(op, inode, &stored) : 0;
	if (r)
		return r;
	uint8_t *content = lk_op_alloc(op, LK_MAX(LK_MAX(size, room), (size_t)1));
	if (!content)
		return LINKFS_ENOMEM;
	r = lk_file_inline_plain(op->fs, inode, stored, content);
	if (r)
		return r;
	if (room > size)
		memset(content + size, 0, room - size);
	*content_out = content;
	return 0;
}

int lk_file_inline_put(struct lk_op *op, struct lk_inode *inode, const uint8_t *content, size_t size)
{
	return lk_file_inline_store(op, inode, content, size, size, false);
}

int lk_file_inline_store(struct lk_op *op, struct lk_inode *inode, const uint8_t *stored, size_t len, size_t size,
			 bool packed)
{
	struct lk_inline row = {.ino = inode->ino, .content = {stored, len}};
	int r = 0;
	if (packed ? len > LK_PACKED_MAX || size > LK_PACKED_SIZE_MAX : size > LK_INLINE_MAX)
		return LINKFS_ECORRUPT;
	op->pages += (uint32_t)(len / (LK_BLOCK_SIZE / 2)); /* overflow pages, here and in the history */
	if (size && inode->size)
		r = lk_txn_put(op, LK_T_INLINE, &row);
	else if (size) /* what is empty has no row */
		r = lk_txn_insert(op, LK_T_INLINE, &row);
	else if (inode->size)
		r = lk_txn_erase(op, LK_T_INLINE, &row);
	if (r == 0) {
		inode->size = (int64_t)size;
		inode->flags &= ~(int64_t)LK_INODE_PACKED;
		inode->flags |= packed ? LK_INODE_PACKED : 0;
		inode->rdev = packed ? (int64_t)len : 0;
	}
	return r == LINKFS_ENOENT || r == LINKFS_EEXIST ? LINKFS_ECORRUPT : r;
}

int lk_file_to_extents(struct lk_op *op, struct lk_inode *inode, uint64_t keep)
{
	int64_t size = inode->size;
	uint32_t blocks = (uint32_t)lk_blocks_up(LK_MIN(keep, (uint64_t)size));
	uint8_t *content;
	int r = lk_file_inline_get(op, inode, (size_t)lk_blocks_up((uint64_t)size) * LK_BLOCK_SIZE, &content);
	if (r == 0)
		r = lk_file_inline_put(op, inode, NULL, 0);
	if (r)
		return r;
	inode->flags &= ~(int64_t)LK_INODE_INLINE;
	inode->size = size;
	for (uint32_t i = 0; r == 0 && i < blocks; i++)
		r = lk_file_block_put(op, inode, i, 0, content + (size_t)i * LK_BLOCK_SIZE);
	return r;
}

/* ---- single blocks ---------------------------------------------------------------------------------------------- */

int lk_file_block_read(struct lk_fs *fs, const struct lk_ext *piece, uint64_t sum, void *out)
{
	if (piece->codec == LK_CODEC_ZSTD)
		return lk_chunk_read(fs, piece, sum, 0, LK_BLOCK_SIZE, out);
	int r = lk_data_read(fs->data, piece->disk, 1, out);
	if (r)
		return r;
	return lk_block_sum(out, LK_BLOCK_SIZE) == sum ? 0 : LINKFS_ECORRUPT;
}

int lk_file_block_put(struct lk_op *op, struct lk_inode *inode, uint64_t at, uint32_t replaced, const void *block)
{
	struct lk_fs *fs = op->fs;
	struct lk_run run;
	uint32_t runs;
	uint8_t sum[8];
	int r = lk_alloc_reserve_for(fs->alloc, 1, replaced, 0, &run, 1, &runs);
	if (r)
		return r;
	r = lk_data_write(fs->data, run.block, 1, block);
	if (r == 0)
		r = lk_alloc_use(fs->alloc, &op->alloc, &run);
	if (r) {
		lk_alloc_unreserve(fs->alloc, &run);
		return r;
	}
	lk_put_u64(sum, lk_block_sum(block, LK_BLOCK_SIZE));
	struct lk_seg seg = {.count = 1, .disk = run.block, .codec = LK_CODEC_RAW, .sums = sum};
	return lk_extent_replace(op, inode, at, &seg, 1);
}

int lk_file_zero_part(struct lk_op *op, struct lk_inode *inode, uint64_t at, uint32_t from, uint32_t to)
{
	struct lk_map map;
	uint8_t block[LK_BLOCK_SIZE];
	int r = lk_extent_map(op, (uint64_t)inode->ino, at, 1, &map);
	if (r || map.pieces == 0 || !lk_ext_data(map.piece[0].codec))
		return r;
	bool chunk = map.piece[0].codec == LK_CODEC_ZSTD;
	r = lk_file_block_read(op->fs, &map.piece[0], map.sums[0], block);
	if (r)
		return r;
	uint8_t any = 0;
	for (uint32_t i = from; i < to; i++)
		any |= block[i];
	if (!any)
		return 0;
	memset(block + from, 0, to - from);
	return lk_file_block_put(op, inode, at, !chunk, block); /* no block goes for it while the chunk is needed */
}

int lk_file_clean_tail(struct lk_op *op, struct lk_inode *inode)
{
	uint32_t used = (uint32_t)((uint64_t)inode->size % LK_BLOCK_SIZE);
	if (!used || (inode->flags & LK_INODE_INLINE))
		return 0;
	return lk_file_zero_part(op, inode, lk_block_of((uint64_t)inode->size), used, LK_BLOCK_SIZE);
}

int lk_file_extend(struct lk_op *op, struct lk_inode *inode, uint64_t blocks)
{
	uint64_t end;
	int r = lk_extent_end(op, (uint64_t)inode->ino, &end);
	if (r || end >= blocks)
		return r;
	struct lk_seg hole = {.count = blocks - end, .codec = LK_CODEC_HOLE};
	return lk_extent_replace(op, inode, end, &hole, 1);
}

/* ---- what every change does -------------------------------------------------------------------------------------- */

int lk_file_changed(struct lk_op *op, const struct linkfs_cred *cred, struct lk_inode *inode, uint32_t flags)
{
	bool kill = flags & LINKFS_WRITE_KILL_SUIDGID;
	int r = 0;
	cred = lk_cred(cred);
	if (flags & LINKFS_WRITE_MAPPED)
		r = 0;
	else if (kill || lk_perm_drops_bits(cred, inode))
		r = lk_perm_kill_privs(op, cred, inode, kill);
	else
		r = lk_perm_kill_caps(op, inode);
	lk_inode_touch(op, inode, true);
	if (r == 0)
		r = lk_inode_put(op, inode);
	return r ? r : lk_op_event(op, LINKFS_EVENT_DATA, (uint64_t)inode->ino, NULL, 0);
}

/* What was freed becomes allocatable; then kept files give theirs back, in growing steps. */
static bool find_blocks(struct lk_fs *fs, bool host, unsigned tries)
{
	uint64_t used, waiting;
	(void)pthread_mutex_lock(&fs->lock);
	lk_alloc_usage(fs->alloc, &used, &waiting);
	bool kept = lk_deleted_any(fs);
	(void)pthread_mutex_unlock(&fs->lock);
	if (tries < 2 && (waiting || host))
		return lk_txn_commit(fs) == 0;
	return kept && lk_deleted_make_room(fs, tries < 2 ? 0 : tries - 2);
}

bool lk_file_again(struct lk_fs *fs, int r, bool host, unsigned *tries)
{
	if (r != LINKFS_ENOSPC || !find_blocks(fs, host, (*tries)++))
		return false;
	if (host) {
		(void)pthread_mutex_lock(&fs->lock);
		lk_alloc_tight(fs->alloc);
		(void)pthread_mutex_unlock(&fs->lock);
	}
	return true;
}

/* ---- reading ------------------------------------------------------------------------------------------------------ */

struct reading {
	uint64_t offset; /* of the first byte wanted */
	size_t size;
	struct lk_map map;
};

/* Bytes [from, to) of file blocks first.. of one piece, from the disk into the caller's buffer. */
static int read_blocks(struct lk_fs *fs, const struct reading *q, uint64_t at, uint32_t count, uint64_t disk,
		       uint8_t *buf)
{
	const uint64_t *sums = &q->map.sums[at - q->map.first];
	uint64_t begin = at * LK_BLOCK_SIZE, end = begin + (uint64_t)count * LK_BLOCK_SIZE;
	uint64_t want_end = q->offset + q->size;
	if (begin >= q->offset && end <= want_end) {
		uint8_t *to = buf + (begin - q->offset);
		int r = lk_data_read(fs->data, disk, count, to);
		for (uint32_t i = 0; r == 0 && i < count; i++) {
			if (lk_block_sum(to + (size_t)i * LK_BLOCK_SIZE, LK_BLOCK_SIZE) != sums[i])
				r = LINKFS_ECORRUPT;
		}
		return r;
	}
	/* A partial block at the edge: count is 1 (read_pieces cuts so). */
	uint8_t block[LK_BLOCK_SIZE];
	struct lk_ext piece = {.at = at, .count = 1, .disk = disk, .codec = LK_CODEC_RAW};
	int r = lk_file_block_read(fs, &piece, sums[0], block);
	if (r)
		return r;
	uint64_t from = LK_MAX(begin, q->offset), to = LK_MIN(end, want_end);
	memcpy(buf + (from - q->offset), block + (from - begin), (size_t)(to - from));
	return 0;
}

/* No lock held; the reader is registered. Pieces that run on on the disk are read at once. */
static int read_pieces(struct lk_fs *fs, const struct reading *q, uint8_t *buf)
{
	uint64_t want_end = q->offset + q->size;
	uint64_t whole_from = lk_blocks_up(q->offset), whole_to = lk_block_of(want_end);
	int r = 0;
	for (uint32_t i = 0; r == 0 && i < q->map.pieces;) {
		const struct lk_ext *p = &q->map.piece[i++];
		uint64_t at = p->at, count = p->count, disk = p->disk;
		if (p->codec != LK_CODEC_RAW) {
			uint64_t from = LK_MAX(at * LK_BLOCK_SIZE, q->offset);
			uint64_t to = LK_MIN((at + count) * LK_BLOCK_SIZE, want_end);
			uint8_t *out = buf + (from - q->offset);
			if (p->codec == LK_CODEC_ZSTD)
				r = lk_chunk_read(fs, p, q->map.sums[at - q->map.first], from - at * LK_BLOCK_SIZE,
						  (size_t)(to - from), out);
			else
				memset(out, 0, (size_t)(to - from));
			continue;
		}
		while (i < q->map.pieces && q->map.piece[i].codec == LK_CODEC_RAW &&
		       q->map.piece[i].disk == disk + count)
			count += q->map.piece[i++].count;
		while (r == 0 && count) {
			uint64_t n = count;
			if (at < whole_from || at >= whole_to)
				n = 1;
			else
				n = LK_MIN(n, whole_to - at);
			r = read_blocks(fs, q, at, (uint32_t)n, disk, buf);
			at += n;
			disk += n;
			count -= n;
		}
	}
	return r;
}

/* At most LK_MAP_BLOCKS blocks. */
static int read_some(struct lk_fs *fs, int64_t view, uint64_t ino, uint64_t offset, uint8_t *buf, size_t size,
		     size_t *done_out, bool *atime_out)
{
	struct lk_op op;
	struct lk_inode inode;
	struct reading q;                /* its map is large, and filled only when it is needed */
	struct lk_packer *packed = NULL; /* holds what is to be unpacked */
	size_t stored = 0;
	uint64_t ticket = 0;
	q.offset = offset;
	q.size = 0;
	q.map.pieces = 0;
	int r = lk_op_begin(fs, &op, 0);
	if (r)
		return r;
	op.view = view;
	/* What is known of the snapshot's inodes is kept by its slot. */
	if (view != LK_VIEW_LIVE)
		op.bits = lk_view_bits_taken(fs, view);
	r = lk_inode_get(&op, ino, &inode);
	if (r == 0)
		r = lk_file_check_type(&inode);
	if (r == 0 && offset < (uint64_t)inode.size)
		q.size = (size_t)LK_MIN((uint64_t)inode.size - offset, (uint64_t)size);
	bool raw = r == 0 && q.size && !(inode.flags & LK_INODE_INLINE);
	if (raw) {
		uint64_t first = lk_block_of(offset), last = lk_block_of(offset + q.size - 1);
		if (last - first >= LK_MAP_BLOCKS) {
			last = first + LK_MAP_BLOCKS - 1;
			q.size = (size_t)((last + 1) * LK_BLOCK_SIZE - offset);
		}
		r = lk_extent_map(&op, (uint64_t)inode.ino, first, (uint32_t)(last - first + 1), &q.map);
		if (r == 0 && q.map.end <= last)
			r = LINKFS_ECORRUPT; /* rows tile the size */
		raw = r == 0;
	} else if (r == 0 && q.size) {
		struct lk_bytes content;
		r = lk_file_inline_stored(&op, &inode, &content);
		if (r == 0 && (inode.flags & LK_INODE_PACKED)) {
			packed = lk_pack_take(fs->pack);
			stored = content.len;
			r = packed ? 0 : LINKFS_ENOMEM;
			if (r == 0)
				memcpy(packed->stored, content.p, stored);
		} else if (r == 0) {
			memcpy(buf, (const uint8_t *)content.p + offset, q.size);
		}
	}
	if (r == 0)
		*atime_out = lk_atime_due(&op, &inode);
	if (raw)
		ticket = lk_alloc_reader_begin(fs->alloc);
	r = lk_op_end(&op, r);
	if (raw) {
		if (r == 0)
			r = read_pieces(fs, &q, buf);
		lk_alloc_reader_end(fs->alloc, ticket);
	}
	if (r == 0 && packed)
		r = lk_pack_expand(packed, packed->stored, stored, packed->plain, (size_t)inode.size);
	if (r == 0 && packed)
		memcpy(buf, packed->plain + offset, q.size);
	lk_pack_give(fs->pack, packed);
	if (r == 0)
		*done_out = q.size;
	return r;
}

static int read_all(struct lk_fs *fs, int64_t view, uint64_t ino, uint64_t offset, uint8_t *to, size_t size,
		    size_t *done_out, bool *atime_out)
{
	size_t done = 0;
	int r;
	do {
		size_t n = 0;
		r = read_some(fs, view, ino, offset + done, to + done, size - done, &n, atime_out);
		if (r || n == 0)
			break;
		done += n;
	} while (done < size);
	if (r && done == 0)
		return r;
	*done_out = done;
	return 0;
}

int lk_file_read(struct lk_fs *fs, int64_t view, uint64_t ino, uint64_t offset, void *buf, size_t size,
		 size_t *done_out)
{
	bool atime = false;
	int r = read_all(fs, view, ino, offset, buf, size, done_out, &atime);
	if (r == 0 && atime && size && offset < LINKFS_FILE_SIZE_MAX)
		lk_atime_touch(fs, ino);
	return r;
}

int lk_file_peek(struct lk_fs *fs, int64_t view, uint64_t ino, uint64_t offset, void *buf, size_t size,
		 size_t *done_out)
{
	bool atime = false;
	return read_all(fs, view, ino, offset, buf, size, done_out, &atime);
}

/* ---- seeking ------------------------------------------------------------------------------------------------------ */

struct seeking {
	uint64_t ino, block, end; /* end: of the row seen before */
	bool data;
	bool found;
};

static int seek_row(void *arg, const void *record)
{
	struct seeking *s = arg;
	const struct lk_extent *row = record;
	uint64_t at = (uint64_t)row->file_block;
	if (row->ino != (int64_t)s->ino || at != s->end || row->count < 1 || row->count > (int64_t)LK_FILE_BLOCKS_MAX)
		return LINKFS_ECORRUPT;
	s->end = at + (uint64_t)row->count;
	/* As on ext4, what is allocated and was never written is a hole. */
	if (lk_ext_data((uint32_t)row->codec) == s->data) {
		s->block = at;
		s->found = true;
		return 1;
	}
	return 0;
}

static int seek_extents(struct lk_op *op, const struct lk_inode *inode, uint64_t offset, bool data, uint64_t *out)
{
	struct lk_ext e;
	int r = lk_extent_find(op, (uint64_t)inode->ino, lk_block_of(offset), &e);
	if (r)
		return r;
	struct seeking s = {(uint64_t)inode->ino, e.at, e.at + e.count, data, lk_ext_data(e.codec) == data};
	if (!s.found) {
		struct lk_extent from = {.ino = inode->ino, .file_block = (int64_t)s.end};
		struct lk_scan scan = {
			.table = &lk_tables[LK_T_EXTENT], .index = LK_BY_KEY, .equal = 1, .ranged = 1, .from = &from};
		r = lk_txn_scan(op, &scan, seek_row, &s);
		if (r)
			return r;
	}
	uint64_t size = (uint64_t)inode->size, at = s.found ? LK_MAX(offset, s.block * LK_BLOCK_SIZE) : size;
	if (data && at >= size)
		return LINKFS_ENXIO;
	*out = LK_MIN(at, size);
	return 0;
}

int lk_file_seek(struct lk_fs *fs, int64_t view, uint64_t ino, uint64_t offset, int whence, uint64_t *out)
{
	struct lk_op op;
	struct lk_inode inode;
	uint64_t at = 0;
	if (whence != LINKFS_SEEK_DATA && whence != LINKFS_SEEK_HOLE)
		return LINKFS_EINVAL;
	int r = lk_op_begin(fs, &op, 0);
	if (r)
		return r;
	op.view = view;
	r = lk_inode_get(&op, ino, &inode);
	if (r == 0)
		r = lk_file_check_type(&inode);
	if (r == 0 && offset >= (uint64_t)inode.size)
		r = LINKFS_ENXIO;
	if (r == 0 && (inode.flags & LK_INODE_INLINE))
		at = whence == LINKFS_SEEK_DATA ? offset : (uint64_t)inode.size;
	else if (r == 0)
		r = seek_extents(&op, &inode, offset, whence == LINKFS_SEEK_DATA, &at);
	r = lk_op_end(&op, r);
	if (r == 0)
		*out = at;
	return r;
}
