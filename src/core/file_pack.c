/*
 * file_pack.c - content compressed: what a write brings, what several writes left, small files in their inode's row.
 * Layer: core.
 *
 * Z1 A chunk is at most LK_CHUNK_BLOCKS blocks of one file between two multiples of it, compressed to fewer disk blocks, which lie in one piece
 *    and have one checksum. It is never changed: who writes into it gets new blocks, and what is left of the chunk is one or more rows
 *    that all name all of it.
 * Z2 Compressing and unpacking take no metadata lock, but for small files whose row is changed in place by rare calls.
 * Z3 What does not get smaller by a block and an eighth stays as it is: zstd is given no room for more, and gives up.
 * Z4 Content that is rewritten for compression alone is as it was to everybody: no time changes. Where a snapshot or another file has the
 *    blocks they are left alone, as they would be there twice.
 */
#include "chunk.h"
#include "file_impl.h"
#include "pack.h"
#include "txn_impl.h"

#include <stdlib.h>
#include <string.h>

void lk_making_done(struct lk_making *m)
{
	free(m->chunks);
	lk_buf_done(&m->bytes);
	*m = (struct lk_making){0};
}

int lk_file_pack_level(const struct lk_fs *fs, const struct lk_inode *inode)
{
	if (inode->flags & LK_INODE_NO_COMPRESS)
		return 0;
	if (inode->flags & LK_INODE_COMPRESS)
		return fs->pack_level ? fs->pack_level : LK_PACK_LEVEL_DEFAULT;
	return fs->pack_level;
}

int lk_file_pack_feature(struct lk_fs *fs)
{
	struct lk_super super = {.id = 1};
	struct lk_op op;
	int r = lk_op_begin(fs, &op, 0);
	if (r)
		return r;
	bool known = fs->features_incompat & LK_FEATURE_PACKED;
	r = lk_op_end(&op, 0);
	if (r || known)
		return r;
	r = lk_op_begin(fs, &op, LK_OP_WRITE | LK_OP_SILENT);
	if (r)
		return r;
	r = lk_txn_get(&op, LK_T_SUPER, &super, &super);
	super.features_incompat |= (int64_t)LK_FEATURE_PACKED;
	if (r == 0)
		r = lk_txn_put(&op, LK_T_SUPER, &super);
	r = lk_op_end(&op, r == LINKFS_ENOENT ? LINKFS_ECORRUPT : r);
	if (r)
		return r;
	(void)pthread_mutex_lock(&fs->lock);
	fs->features_incompat |= LK_FEATURE_PACKED;
	(void)pthread_mutex_unlock(&fs->lock);
	return 0;
}

/* ---- making ------------------------------------------------------------------------------------------------------ */

/* count blocks from p on become the chunk for file block at. */
static int make_chunk(struct lk_making *m, struct lk_packer *packer, int level, uint64_t at, const uint8_t *p,
		      uint32_t count)
{
	uint32_t gain = LK_MAX(count / 16, 1u);
	struct lk_made chunk = {.at = at, .count = count, .bytes = m->bytes.len};
	size_t len = 0;
	int r = lk_pack_make(packer, level, p, (size_t)count * LK_BLOCK_SIZE, packer->stored,
			     (size_t)(count - gain) * LK_BLOCK_SIZE, &len);
	if (r || len == 0)
		return r;
	size_t whole = (size_t)lk_blocks_up(len) * LK_BLOCK_SIZE;
	memset(packer->stored + len, 0, whole - len);
	chunk.length = (uint32_t)len;
	lk_put_u64(chunk.sum, lk_block_sum(packer->stored, whole));
	r = lk_buf_append(&m->bytes, packer->stored, whole);
	if (r)
		return r;
	m->chunks[m->count++] = chunk;
	return 0;
}

static int make_chunks(struct lk_making *m, struct lk_packer *packer, int level, uint64_t offset, const uint8_t *buf,
		       size_t size, uint64_t old_size)
{
	uint64_t end = offset + size, at = lk_blocks_up(offset);
	/* Past the old end the rest of the last block is zeros. */
	uint64_t last = end >= old_size ? lk_blocks_up(end) : lk_block_of(end);
	int r = 0;
	if (last < at + 2)
		return 0;
	m->chunks = malloc((size_t)((last - at) / LK_CHUNK_BLOCKS + 2) * sizeof(*m->chunks));
	if (!m->chunks)
		return LINKFS_ENOMEM;
	while (r == 0 && at + 2 <= last) {
		uint32_t count = (uint32_t)LK_MIN(last - at, LK_CHUNK_BLOCKS - at % LK_CHUNK_BLOCKS);
		const uint8_t *from = buf + (at * LK_BLOCK_SIZE - offset);
		size_t there = (size_t)LK_MIN(end - at * LK_BLOCK_SIZE, (uint64_t)count * LK_BLOCK_SIZE);
		if (there < (size_t)count * LK_BLOCK_SIZE) {
			memcpy(packer->plain, from, there);
			memset(packer->plain + there, 0, (size_t)count * LK_BLOCK_SIZE - there);
			from = packer->plain;
		}
		if (count >= 2)
			r = make_chunk(m, packer, level, at, from, count);
		at += count;
	}
	return r;
}

/* All of a small file. */
static int make_row(struct lk_making *m, struct lk_packer *packer, int level, const uint8_t *buf, size_t size)
{
	/* What would need a block does better in the row, smaller or not. */
	size_t len = 0, room = size > LK_INLINE_MAX ? LK_PACKED_MAX : size - size / 8;
	int r = lk_pack_make(packer, level, buf, size, packer->stored, room, &len);
	if (r == 0 && len)
		r = lk_buf_append(&m->bytes, packer->stored, len);
	m->in_row = r == 0 && len > 0;
	return r;
}

int lk_file_make(struct lk_fs *fs, int level, uint64_t offset, const uint8_t *buf, size_t size, uint64_t old_size,
		 bool row, struct lk_making *out)
{
	struct lk_packer *packer = lk_pack_take(fs->pack);
	int r = packer ? 0 : LINKFS_ENOMEM;
	if (r == 0 && row && offset == 0 && size >= old_size && size >= LK_PACK_LEAST && size <= LK_PACKED_SIZE_MAX)
		r = make_row(out, packer, level, buf, size);
	if (r == 0 && !out->in_row)
		r = make_chunks(out, packer, level, offset, buf, size, old_size);
	lk_pack_give(fs->pack, packer);
	if (r == 0 && (out->in_row || out->count))
		r = lk_file_pack_feature(fs);
	if (r)
		lk_making_done(out);
	return r;
}

/* ---- unpacking --------------------------------------------------------------------------------------------------- */

/* In one op: the content again, which nobody else can have changed. */
static int put_plain(struct lk_op *op, uint64_t ino, const uint8_t *plain, size_t size)
{
	struct lk_inode inode;
	int r = lk_inode_get_any(op, ino, &inode);
	if (r)
		return r;
	if (size <= LK_INLINE_MAX)
		r = lk_file_inline_put(op, &inode, plain, size);
	else
		r = lk_file_to_extents(op, &inode, UINT64_MAX);
	return r ? r : lk_inode_put(op, &inode);
}

int lk_file_unpack(struct lk_fs *fs, uint64_t ino)
{
	struct lk_inode inode;
	struct lk_bytes stored;
	struct lk_op op;
	size_t len = 0;
	struct lk_packer *packer = lk_pack_take(fs->pack);
	if (!packer)
		return LINKFS_ENOMEM;
	int r = lk_op_begin(fs, &op, 0);
	if (r) {
		lk_pack_give(fs->pack, packer);
		return r;
	}
	r = lk_inode_get_any(&op, ino, &inode);
	bool packed = r == 0 && (inode.flags & LK_INODE_PACKED);
	if (packed)
		r = lk_file_inline_stored(&op, &inode, &stored);
	if (packed && r == 0) {
		len = stored.len;
		memcpy(packer->stored, stored.p, len);
	}
	r = lk_op_end(&op, r);
	if (r == 0 && packed)
		r = lk_pack_expand(packer, packer->stored, len, packer->plain, (size_t)inode.size);
	if (r == 0 && packed) {
		r = lk_op_begin(fs, &op, LK_OP_WRITE | LK_OP_SILENT);
		if (r == 0)
			r = lk_op_end(&op, put_plain(&op, ino, packer->plain, (size_t)inode.size));
	}
	lk_pack_give(fs->pack, packer);
	return r;
}

/* ---- what is there already --------------------------------------------------------------------------------------- */

/* A range of a file that may become one chunk, or all of a small file. */
struct again {
	struct lk_fs *fs;
	uint64_t ino;
	uint64_t at;
	uint32_t count;  /* blocks; 0: there is nothing to do */
	uint64_t size;   /* of the file */
	uint64_t blocks; /* that what is there has on disk */
	int level;
	struct lk_making made;
};

/* Whether the range is content alone, that nobody else has and that is not one chunk already. */
static int look_again(struct lk_op *op, struct again *a)
{
	struct lk_map map;
	int64_t oldest = INT64_MAX;
	bool worth = true;
	int r = lk_extent_map(op, a->ino, a->at, a->count, &map);
	if (r == 0 && map.end < a->at + a->count)
		r = LINKFS_ECORRUPT;
	if (r == 0)
		r = lk_extent_oldest(op, a->ino, a->at, a->count, &oldest);
	worth = r == 0 && oldest > op->fs->newest_snapshot;
	a->blocks = 0;
	for (uint32_t i = 0; r == 0 && worth && i < map.pieces; i++) {
		const struct lk_ext *p = &map.piece[i];
		bool shared = false;
		worth = lk_ext_data(p->codec) && !(p->codec == LK_CODEC_ZSTD && p->count == a->count);
		if (worth)
			r = lk_share_any(op, p->disk, lk_ext_named(p), &shared);
		worth = worth && !shared;
		a->blocks += lk_ext_named(p);
	}
	if (!worth)
		a->count = 0;
	return r;
}

static int look_at(struct again *a, uint64_t at)
{
	struct lk_inode inode;
	struct lk_op op;
	int r = lk_op_begin(a->fs, &op, 0);
	if (r)
		return r;
	r = lk_inode_get(&op, a->ino, &inode);
	a->count = 0;
	a->at = at;
	if (r == 0 && lk_is_reg(&inode) && !(inode.flags & (LK_INODE_INLINE | LK_INODE_TRIM)) &&
	    !(a->fs->open_flags & LINKFS_OPEN_READONLY)) {
		uint64_t blocks = lk_blocks_up((uint64_t)inode.size);
		a->size = (uint64_t)inode.size;
		if (a->level == 0)
			a->level = lk_file_pack_level(a->fs, &inode);
		if (at < blocks && a->level)
			a->count = (uint32_t)LK_MIN(blocks - at, (uint64_t)LK_CHUNK_BLOCKS - at % LK_CHUNK_BLOCKS);
		bool small = at == 0 && a->size <= LK_PACKED_SIZE_MAX;
		if (a->count == 1 && !small)
			a->count = 0;
		if (a->count)
			r = look_again(&op, a);
	}
	return lk_op_end(&op, r);
}

static int make_again(struct again *a)
{
	size_t len = (size_t)LK_MIN((uint64_t)a->count * LK_BLOCK_SIZE, a->size - a->at * LK_BLOCK_SIZE), got = 0;
	uint8_t *bytes = malloc(len);
	int r = bytes ? lk_file_peek(a->fs, LK_VIEW_LIVE, a->ino, a->at * LK_BLOCK_SIZE, bytes, len, &got)
		      : LINKFS_ENOMEM;
	if (r == 0 && got != len)
		r = LINKFS_ECORRUPT;
	if (r == 0)
		r = lk_file_make(a->fs, a->level, a->at * LK_BLOCK_SIZE, bytes, len, a->size, true, &a->made);
	free(bytes);
	/* One chunk, of all that was asked for, and smaller than what is there. */
	if (r == 0 && !a->made.in_row &&
	    (a->made.count != 1 || a->made.chunks[0].count != a->count ||
	     lk_blocks_up(a->made.chunks[0].length) >= a->blocks))
		a->count = 0;
	return r;
}

static int swap_row(struct lk_op *op, struct lk_inode *inode, const struct again *a)
{
	bool more = false;
	int r = lk_extent_trim(op, inode, 0, UINT32_MAX, &more);
	inode->size = 0;
	inode->flags |= LK_INODE_INLINE;
	return r ? r : lk_file_inline_store(op, inode, a->made.bytes.p, a->made.bytes.len, (size_t)a->size, true);
}

static int swap_chunk(struct lk_op *op, struct lk_inode *inode, struct again *a)
{
	struct lk_made *m = &a->made.chunks[0];
	struct lk_seg seg = {
		.count = m->count, .disk = m->run.block, .codec = LK_CODEC_ZSTD, .sums = m->sum, .length = m->length};
	int r = lk_alloc_use(a->fs->alloc, &op->alloc, &m->run);
	if (r)
		lk_alloc_unreserve(a->fs->alloc, &m->run);
	return r ? r : lk_extent_replace(op, inode, a->at, &seg, 1);
}

static int swap_again(struct again *a)
{
	struct lk_inode inode;
	struct lk_op op;
	int r = lk_op_begin(a->fs, &op, LK_OP_WRITE);
	if (r) {
		(void)pthread_mutex_lock(&a->fs->lock);
		if (!a->made.in_row)
			lk_alloc_unreserve(a->fs->alloc, &a->made.chunks[0].run);
		(void)pthread_mutex_unlock(&a->fs->lock);
		return r;
	}
	r = lk_inode_get(&op, a->ino, &inode);
	if (r && !a->made.in_row)
		lk_alloc_unreserve(a->fs->alloc, &a->made.chunks[0].run);
	if (r == 0)
		r = a->made.in_row ? swap_row(&op, &inode, a) : swap_chunk(&op, &inode, a);
	if (r == 0)
		r = lk_inode_put(&op, &inode);
	if (r == 0)
		r = lk_op_event(&op, LINKFS_EVENT_ATTR, a->ino, NULL, 0);
	return lk_op_end(&op, r);
}

/* Reserves and writes the chunk. */
static int put_again(struct again *a)
{
	struct lk_made *m = &a->made.chunks[0];
	uint32_t n = 0;
	(void)pthread_mutex_lock(&a->fs->lock);
	int r = lk_alloc_reserve(a->fs->alloc, (uint32_t)lk_blocks_up(m->length), 0, &m->run, 1, &n);
	(void)pthread_mutex_unlock(&a->fs->lock);
	if (r)
		return r;
	r = lk_data_write(a->fs->data, m->run.block, m->run.count, a->made.bytes.p + m->bytes);
	if (r == 0)
		return 0;
	(void)pthread_mutex_lock(&a->fs->lock);
	lk_alloc_unreserve(a->fs->alloc, &m->run);
	(void)pthread_mutex_unlock(&a->fs->lock);
	return r;
}

int lk_file_pack_chunk(struct lk_fs *fs, uint64_t ino, int level, uint64_t at, uint64_t *saved_out)
{
	struct again a = {.fs = fs, .ino = ino, .level = level};
	*saved_out = 0;
	int r = look_at(&a, at);
	if (r == 0 && a.count)
		r = make_again(&a);
	if (r == 0 && a.count) {
		uint64_t now = a.made.in_row ? a.made.bytes.len : lk_blocks_up(a.made.chunks[0].length) * LK_BLOCK_SIZE;
		r = a.made.in_row ? 0 : put_again(&a);
		if (r == 0)
			r = swap_again(&a);
		if (r == 0)
			*saved_out = a.blocks * LK_BLOCK_SIZE - now;
	}
	lk_making_done(&a.made);
	return r;
}

void lk_file_pack_behind(struct lk_fs *fs, uint64_t ino, uint64_t old_size, uint64_t offset, uint64_t end)
{
	uint64_t chunk = old_size / LK_CHUNK_BYTES, saved;
	/* Only who fills it goes on to the next. */
	if (offset != old_size || old_size % LK_CHUNK_BYTES == 0 || end < (chunk + 1) * LK_CHUNK_BYTES)
		return;
	(void)lk_file_pack_chunk(fs, ino, 0, chunk * LK_CHUNK_BLOCKS, &saved);
}

int lk_file_pack_end(struct lk_fs *fs, uint64_t ino)
{
	struct lk_inode inode;
	struct lk_op op;
	uint64_t saved = 0, at = 0;
	bool worth = false;
	int r = lk_op_begin(fs, &op, 0);
	if (r)
		return r;
	r = lk_inode_get(&op, ino, &inode);
	if (r == 0 && op.view == LK_VIEW_LIVE && lk_is_reg(&inode) && lk_file_pack_level(fs, &inode) &&
	    !(inode.flags & LK_INODE_INLINE) && inode.size) {
		at = lk_block_of((uint64_t)inode.size - 1) / LK_CHUNK_BLOCKS * LK_CHUNK_BLOCKS;
		worth = true;
	}
	r = lk_op_end(&op, r);
	if (r || !worth)
		return r;
	r = lk_node_lock(fs, ino);
	if (r)
		return r;
	r = lk_file_pack_chunk(fs, ino, 0, at, &saved);
	lk_node_unlock(fs, ino);
	return r;
}

#define PACK_CHUNKS 32u /* looked at in one call: 4 MiB */

/* Who may: root and the owner. *at: in blocks; behind the file when all was looked at. */
static int pack_look(struct lk_fs *fs, const struct linkfs_cred *cred, uint64_t ino, uint64_t *end_out)
{
	struct lk_inode inode;
	struct lk_op op;
	int r = lk_op_begin(fs, &op, lk_op_flags(cred, 0));
	if (r)
		return r;
	r = lk_perm_writable(&op);
	if (r == 0)
		r = lk_inode_get(&op, ino, &inode);
	if (r == 0 && op.view != LK_VIEW_LIVE)
		r = LINKFS_EROFS;
	if (r == 0)
		r = lk_file_check_type(&inode);
	if (r == 0 && !lk_cred_owns(cred, &inode))
		r = LINKFS_EPERM;
	if (r == 0)
		*end_out = inode.flags & LK_INODE_INLINE ? 0 : lk_blocks_up((uint64_t)inode.size);
	return lk_op_end(&op, r);
}

int lk_file_pack(struct lk_fs *fs, const struct linkfs_cred *cred, uint64_t ino, int level, uint64_t *offset,
		 uint64_t *saved_out)
{
	uint64_t at = *offset / LK_CHUNK_BYTES * LK_CHUNK_BLOCKS, end = 0, saved = 0;
	int r = pack_look(fs, lk_cred(cred), ino, &end);
	for (unsigned i = 0; r == 0 && i < PACK_CHUNKS && at < end; i++) {
		uint64_t here = 0;
		r = lk_node_lock(fs, ino);
		if (r)
			break;
		r = lk_file_pack_chunk(fs, ino, level, at, &here);
		lk_node_unlock(fs, ino);
		saved += here;
		at += LK_CHUNK_BLOCKS;
	}
	*saved_out += saved;
	if (r == 0)
		*offset = at < end ? at * LK_BLOCK_SIZE : UINT64_MAX;
	return r;
}
