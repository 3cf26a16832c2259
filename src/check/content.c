/*
 * content.c - the content of one inode: inline or extents, and how they agree with its record.
 * Layer: check.
 */
#include "check_impl.h"

#include "blocks.h"
#include "pack.h"

#include <string.h>

static int64_t blocks_up(int64_t bytes)
{
	return bytes / LK_BLOCK_SIZE + (bytes % LK_BLOCK_SIZE != 0);
}

/* ---- extents ------------------------------------------------------------------------------------------------------ */

/* The cursor's row at hand, when it is of ino. */
static int row_of(struct lk_check *c, struct lk_rows *rows, int64_t ino, const void **out)
{
	int r = lk_rows_peek(rows, out);
	if (r)
		*out = NULL;
	if (*out && *lk_int_of(&rows->table->columns[0], *out) != ino)
		*out = NULL;
	return r ? lk_unreadable(c, rows->table->id, r) : 0;
}

static int name_blocks(struct lk_check *c, const struct lk_extent *e)
{
	int64_t named = lk_blocks_named(e->codec, e->count, e->length);
	c->packed |= e->codec == LK_CODEC_ZSTD;
	if (e->codec == LK_CODEC_HOLE || (uint64_t)(e->disk_block + named) > c->block_end)
		return 0;
	return lk_blocks_name(c->blocks, (uint64_t)e->disk_block, (uint64_t)named);
}

static int put_hole(struct lk_check *c, int64_t ino, int64_t at, int64_t count, int64_t born)
{
	struct lk_extent hole = {
		.ino = ino, .file_block = at, .count = count, .codec = LK_CODEC_HOLE, .sums = {"", 0}, .born = born};
	return lk_mend_put(c, LK_T_EXTENT, &hole);
}

/* The first n blocks of a row go: it moves up in the file, or goes wholly. */
static int cut_front(struct lk_check *c, const struct lk_extent *row, int64_t n)
{
	struct lk_extent e = *row;
	int r = lk_mend_erase(c, LK_T_EXTENT, row);
	if (r || n >= e.count)
		return r;
	e.file_block += n;
	e.count -= n;
	if (e.codec == LK_CODEC_ZSTD)
		e.offset += n;
	else if (e.codec != LK_CODEC_HOLE)
		e.disk_block += n;
	if (e.codec == LK_CODEC_RAW)
		e.sums = (struct lk_bytes){(const uint8_t *)e.sums.p + n * 8, e.sums.len - (size_t)n * 8};
	/* A row that begins there decides in its own time. */
	r = lk_mend_insert(c, LK_T_EXTENT, &e);
	return r == LINKFS_EEXIST ? 0 : r;
}

struct tiling {
	int64_t at;     /* blocks below are mapped */
	int64_t blocks; /* named */
	int64_t size;   /* in blocks */
	bool past;      /* content past the size is in order */
};

/* Between the rows seen and the row at hand. again_out: the row at hand must be read anew. */
static int judge_place(struct lk_check *c, const struct lk_extent *e, struct tiling *t, bool *again_out)
{
	struct lk_place place = {.ino = e->ino};
	int r = 0;
	if (e->file_block > t->at) {
		place.block = (uint64_t)t->at;
		place.count = e->file_block - t->at;
		r = lk_found(c, LK_P_EXTENT_GAP, &place);
		if (r > 0) {
			r = put_hole(c, e->ino, t->at, place.count, c->epoch);
			t->at = e->file_block;
		}
	} else if (e->file_block < t->at) {
		place.block = (uint64_t)e->file_block;
		place.count = LK_MIN(t->at - e->file_block, e->count);
		r = lk_found(c, LK_P_EXTENT_OVERLAP, &place);
		if (r > 0) {
			r = cut_front(c, e, place.count);
			*again_out = true;
		}
	}
	return r;
}

/* A row that names what it must not becomes a hole. */
static int judge_disk(struct lk_check *c, struct lk_extent *e, const struct tiling *t)
{
	struct lk_place place = {.ino = e->ino, .block = (uint64_t)e->file_block, .have = e->disk_block};
	int r = 0;
	bool data = e->codec == LK_CODEC_RAW || e->codec == LK_CODEC_ZSTD;
	int64_t named = lk_blocks_named(e->codec, e->count, e->length);
	if (e->codec != LK_CODEC_HOLE && (uint64_t)(e->disk_block + named) > c->block_end)
		r = lk_found(c, LK_P_EXTENT_OUTSIDE, &place);
	else if (data && e->file_block >= t->size && !t->past)
		r = lk_found(c, LK_P_EXTENT_PAST, &place);
	if (r <= 0)
		return r;
	int64_t born = e->born;
	r = put_hole(c, e->ino, e->file_block, e->count, born);
	*e = (struct lk_extent){.ino = e->ino, .file_block = e->file_block, .count = e->count, .codec = LK_CODEC_HOLE};
	return r;
}

static int judge_row(struct lk_check *c, struct lk_rows *rows, const struct lk_extent *row, struct tiling *t)
{
	struct lk_extent e = *row;
	bool again = false;
	struct lk_place place = {.ino = e.ino, .block = (uint64_t)e.file_block, .what = lk_extent_fault(&e)};
	if (!place.what && (e.born < 1 || e.born > c->epoch))
		place.what = "its epoch is out of range";
	if (place.what) {
		int r = lk_found(c, LK_P_EXTENT_FIELD, &place);
		if (r > 0)
			r = lk_mend_erase(c, LK_T_EXTENT, row);
		lk_rows_next(rows);
		return r;
	}
	int r = judge_place(c, row, t, &again);
	if (r == 0 && again) {
		lk_rows_reread(rows);
		return 0;
	}
	if (r == 0)
		r = judge_disk(c, &e, t);
	if (r == 0)
		r = name_blocks(c, &e);
	t->blocks += lk_blocks_counted(e.codec, e.count, e.length);
	t->at = LK_MAX(t->at, e.file_block + e.count);
	lk_rows_next(rows);
	return r;
}

/* A hole was put behind the rows that were read: it must not be met as another inode's. */
static int pass_hole(struct lk_check *c, struct lk_file *f)
{
	const void *row;
	lk_rows_reread(f->extents);
	int r = row_of(c, f->extents, f->inode.ino, &row);
	if (r == 0 && row)
		lk_rows_next(f->extents);
	return r;
}

int lk_extents_check(struct lk_check *c, struct lk_file *f, int64_t *end_out, int64_t *blocks_out)
{
	const struct lk_inode *i = &f->inode;
	struct tiling t = {.size = blocks_up(i->size), .past = f->made || (i->flags & LK_INODE_TRIM)};
	const void *row;
	int r;
	while ((r = row_of(c, f->extents, i->ino, &row)) == 0 && row) {
		r = judge_row(c, f->extents, row, &t);
		if (r)
			return r;
	}
	if (r == 0 && t.at < t.size && !lk_is_broken(c, LK_T_EXTENT)) {
		struct lk_place place = {.ino = i->ino, .block = (uint64_t)t.at, .count = t.size - t.at};
		r = lk_found(c, LK_P_EXTENT_SHORT, &place);
		if (r > 0) {
			r = put_hole(c, i->ino, t.at, place.count, c->epoch);
			t.at = t.size;
			if (r == 0)
				r = pass_hole(c, f);
		}
	}
	*end_out = t.at;
	*blocks_out = t.blocks;
	return r;
}

/* ---- rows that belong to nothing ------------------------------------------------------------------------------------ */

static int drop_extents(struct lk_check *c, struct lk_file *f)
{
	const void *row;
	int r;
	while ((r = row_of(c, f->extents, f->inode.ino, &row)) == 0 && row) {
		const struct lk_extent *e = row;
		struct lk_place place = {.ino = f->inode.ino, .block = (uint64_t)e->file_block};
		r = lk_found(c, LK_P_EXTENT_EXTRA, &place);
		if (r > 0)
			r = lk_mend_erase(c, LK_T_EXTENT, row);
		else if (r == 0 && !lk_extent_fault(e))
			r = name_blocks(c, e);
		if (r < 0)
			return r;
		lk_rows_next(f->extents);
	}
	return r;
}

static int drop_inline(struct lk_check *c, struct lk_file *f)
{
	const void *row;
	int r = row_of(c, f->inlines, f->inode.ino, &row);
	if (r || !row)
		return r;
	struct lk_place place = {LK_NOWHERE, .ino = f->inode.ino,
				 .have = (int64_t)((const struct lk_inline *)row)->content.len};
	r = lk_found(c, LK_P_INLINE_EXTRA, &place);
	if (r > 0)
		r = lk_mend_erase(c, LK_T_INLINE, row);
	lk_rows_next(f->inlines);
	return r;
}

int lk_rows_of_nothing(struct lk_check *c, struct lk_file *f)
{
	struct lk_rows *const others[] = {f->inlines, f->targets, f->xattrs};
	const void *row;
	int r;
	while ((r = row_of(c, f->extents, f->inode.ino, &row)) == 0 && row) {
		if (!lk_extent_fault(row))
			r = name_blocks(c, row);
		if (r)
			return r;
		lk_rows_next(f->extents);
	}
	for (size_t k = 0; r == 0 && k < LK_ARRAY_LEN(others); k++) {
		while ((r = row_of(c, others[k], f->inode.ino, &row)) == 0 && row)
			lk_rows_next(others[k]);
	}
	return r;
}

/* ---- inline ----------------------------------------------------------------------------------------------------------- */

static int wrong_flags(struct lk_check *c, struct lk_file *f, int64_t want)
{
	struct lk_place place = {LK_NOWHERE, .ino = f->inode.ino, .have = f->inode.flags, .want = want};
	int r = lk_found(c, LK_P_INODE_FLAGS, &place);
	f->inode.flags = want; /* also to go on with */
	f->changed |= r > 0;
	return r < 0 ? r : 0;
}

static int inline_missing(struct lk_check *c, struct lk_file *f)
{
	struct lk_inode *i = &f->inode;
	struct lk_place place = {LK_NOWHERE, .ino = i->ino, .want = i->size};
	if (lk_is_broken(c, LK_T_INLINE))
		return 0;
	int r = lk_found(c, LK_P_INLINE_MISSING, &place);
	if (r <= 0)
		return r;
	i->flags &= ~(int64_t)(LK_INODE_INLINE | LK_INODE_PACKED);
	i->rdev = 0;
	f->changed = true;
	r = put_hole(c, i->ino, 0, blocks_up(i->size), c->epoch);
	if (r == 0)
		lk_rows_reread(f->extents);
	return r;
}

/* The content is one record and so whole: the size follows it. */
static int inline_size(struct lk_check *c, struct lk_file *f, const struct lk_inline *row)
{
	struct lk_inode *i = &f->inode;
	struct lk_inline fixed = *row;
	struct lk_place place = {LK_NOWHERE, .ino = i->ino, .have = i->size, .want = (int64_t)row->content.len};
	int r = lk_found(c, LK_P_INLINE_SIZE, &place);
	if (r <= 0)
		return r;
	fixed.content.len = LK_MIN(fixed.content.len, (size_t)LK_INLINE_MAX);
	i->size = (int64_t)fixed.content.len;
	f->changed = true;
	if (fixed.content.len == row->content.len && fixed.content.len)
		return 0;
	return fixed.content.len ? lk_mend_put(c, LK_T_INLINE, &fixed) : lk_mend_erase(c, LK_T_INLINE, row);
}

int lk_packed_size(struct lk_check *c, struct lk_bytes stored, int64_t *size_out)
{
	size_t size = 0;
	if (stored.len > LK_PACKED_MAX || lk_pack_size(stored.p, stored.len, &size) || size > LK_PACKED_SIZE_MAX)
		return LINKFS_ECORRUPT;
	struct lk_packer *packer = lk_pack_take(c->pack);
	int r = packer ? lk_pack_expand(packer, stored.p, stored.len, packer->plain, size) : LINKFS_ENOMEM;
	lk_pack_give(c->pack, packer);
	if (r == 0)
		*size_out = (int64_t)size;
	return r;
}

/* The size follows what unpacks; what does not is lost. */
static int check_packed(struct lk_check *c, struct lk_file *f, const struct lk_inline *row)
{
	struct lk_inode *i = &f->inode;
	struct lk_place place = {LK_NOWHERE, .ino = i->ino, .have = i->size};
	int64_t size = 0;
	int r = lk_packed_size(c, row->content, &size);
	if (r == LINKFS_ENOMEM)
		return r;
	c->packed = true;
	if (size != i->size) {
		place.want = size;
		r = lk_found(c, LK_P_INLINE_PACKED, &place);
		if (r > 0 && size == 0) {
			r = lk_mend_erase(c, LK_T_INLINE, row);
			i->rdev = 0;
			i->flags &= ~(int64_t)(LK_INODE_INLINE | LK_INODE_PACKED);
			if (r == 0)
				r = put_hole(c, i->ino, 0, blocks_up(i->size), c->epoch);
			if (r == 0)
				lk_rows_reread(f->extents);
			f->changed = true;
			return r;
		}
		if (r > 0) {
			i->size = size;
			f->changed = true;
		}
		if (r < 0 || size == 0)
			return r;
	}
	if (i->rdev == (int64_t)row->content.len)
		return 0;
	place.have = i->rdev;
	place.want = (int64_t)row->content.len;
	r = lk_found(c, LK_P_INLINE_STORED, &place);
	if (r > 0) {
		i->rdev = place.want;
		f->changed = true;
	}
	return r < 0 ? r : 0;
}

/* Bytes that are no plain content of this size, and unpack to it, are a compressed one whose mark is lost. With the record lost there is no size
 * to tell: what unpacks was compressed. */
static int lost_mark(struct lk_check *c, struct lk_file *f, const struct lk_inline *row)
{
	struct lk_inode *i = &f->inode;
	int64_t size = 0;
	if ((i->flags & LK_INODE_PACKED) || (!f->made && (int64_t)row->content.len == i->size))
		return 0;
	int r = lk_packed_size(c, row->content, &size);
	if (r == LINKFS_ENOMEM)
		return r;
	if (f->made && size) {
		i->flags |= LK_INODE_PACKED;
		i->size = size;
		i->rdev = (int64_t)row->content.len;
	} else if (size && size == i->size) {
		r = wrong_flags(c, f, i->flags | LK_INODE_PACKED);
		i->rdev = (int64_t)row->content.len;
		return r;
	}
	return 0;
}

static int check_inline(struct lk_check *c, struct lk_file *f)
{
	struct lk_inode *i = &f->inode;
	const void *row;
	int r = row_of(c, f->inlines, i->ino, &row);
	if (r)
		return r;
	if (!row)
		return i->size ? inline_missing(c, f) : 0;
	const struct lk_inline *content = row;
	if (f->made)
		i->size = (int64_t)content->content.len;
	r = lost_mark(c, f, content);
	if (r)
		return r;
	if (i->flags & LK_INODE_PACKED)
		r = check_packed(c, f, content);
	else if (content->content.len == 0 || content->content.len > LK_INLINE_MAX ||
		 (int64_t)content->content.len != i->size)
		r = inline_size(c, f, content);
	lk_rows_next(f->inlines);
	return r;
}

/* ---- all ---------------------------------------------------------------------------------------------------------------- */

/* Which of the two it is: the flag says so, and what is there when the flag is surely wrong. */
static int settle_kind(struct lk_check *c, struct lk_file *f)
{
	struct lk_inode *i = &f->inode;
	const void *content, *extent;
	int r = row_of(c, f->inlines, i->ino, &content);
	if (r == 0)
		r = row_of(c, f->extents, i->ino, &extent);
	if (r)
		return r;
	bool is_inline = i->flags & LK_INODE_INLINE;
	if (f->made) {
		if (content && !extent)
			i->flags |= LK_INODE_INLINE;
		return 0;
	}
	if (is_inline && extent && !content && i->size) {
		i->rdev = 0;
		return wrong_flags(c, f, i->flags & ~(int64_t)(LK_INODE_INLINE | LK_INODE_PACKED));
	}
	if (is_inline && i->size == 0 && !content && (i->flags & LK_INODE_PACKED)) {
		i->rdev = 0;
		return wrong_flags(c, f, i->flags & ~(int64_t)LK_INODE_PACKED);
	}
	if (!is_inline && content && !extent)
		return wrong_flags(c, f, (i->flags | LK_INODE_INLINE) & ~(int64_t)LK_INODE_TRIM);
	return 0;
}

static int check_regular(struct lk_check *c, struct lk_file *f, int64_t *blocks_out)
{
	struct lk_inode *i = &f->inode;
	int64_t end = 0;
	int r = settle_kind(c, f);
	if (r == 0 && (i->flags & LK_INODE_INLINE)) {
		r = check_inline(c, f);
		if (r == 0 && (i->flags & LK_INODE_INLINE))
			return drop_extents(c, f);
	} else if (r == 0) {
		r = drop_inline(c, f);
	}
	if (r == 0)
		r = lk_extents_check(c, f, &end, blocks_out);
	if (f->made)
		i->size = LK_MIN(end * LK_BLOCK_SIZE, (int64_t)LINKFS_FILE_SIZE_MAX);
	return r;
}

int lk_content_check(struct lk_check *c, struct lk_file *f)
{
	struct lk_inode *i = &f->inode;
	int64_t blocks = 0;
	int r;
	if ((i->mode & LK_CHECK_MODE_MASK) == S_IFREG) {
		r = check_regular(c, f, &blocks);
	} else {
		r = drop_inline(c, f);
		if (r == 0)
			r = drop_extents(c, f);
	}
	if (r || i->blocks == blocks || lk_is_broken(c, LK_T_EXTENT))
		return r;
	if (!f->made) {
		struct lk_place place = {LK_NOWHERE, .ino = i->ino, .have = i->blocks, .want = blocks};
		r = lk_found(c, LK_P_INODE_BLOCKS, &place);
	}
	if (r > 0 || f->made) {
		i->blocks = blocks;
		f->changed = true;
	}
	return r < 0 ? r : 0;
}
