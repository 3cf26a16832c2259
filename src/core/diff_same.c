/*
 * diff_same.c - whether an inode is what it was: attributes, xattrs, texts, content (diff.h, D3).
 * Layer: core. Rows are compared first: blocks that lie at the same place have the same bytes, and full ones with other checksums have others.
 * Otherwise the bytes decide; they are read without the lock, as every read is.
 */
#include "diff_impl.h"

#include "extent.h"
#include "file.h"
#include "track.h"
#include "txn_impl.h"

#include <stdlib.h>
#include <string.h>

#define READ_BYTES ((size_t)LK_EXTENT_BLOCKS_MAX * LK_BLOCK_SIZE)
#define ROWS_IN_OP 128u
#define FEW_BLOCKS 4u /* reading so many is no dearer than looking their rows up first */

/* ---- attributes ------------------------------------------------------------------------------------------------- */

static uint32_t compare_attributes(const struct lk_inode *a, const struct lk_inode *b)
{
	uint32_t what = 0;

	if ((a->mode ^ b->mode) & 07777)
		what |= LINKFS_DIFF_MODE;
	if (a->uid != b->uid || a->gid != b->gid)
		what |= LINKFS_DIFF_OWNER;
	if (a->mtime_ns != b->mtime_ns && !lk_is_dir(a))
		what |= LINKFS_DIFF_TIME;
	if (a->rdev != b->rdev && !lk_is_reg(a))
		what |= LINKFS_DIFF_DEVICE;
	if ((a->flags ^ b->flags) & LK_INODE_KEEP_LINKS)
		what |= LINKFS_DIFF_FLAGS;
	return what;
}

static int read_xattrs(struct lk_diff *d, struct lk_op *op, int side, const struct lk_inode *inode,
		       struct lk_row_set *out)
{
	struct lk_xattr key = {.ino = inode->ino};
	struct lk_scan scan = {.table = &lk_tables[LK_T_XATTR], .index = LK_BY_KEY, .equal = 1, .from = &key};
	int rc;

	out->table = scan.table;
	lk_diff_see(d, op, side);
	rc = lk_txn_scan(op, &scan, lk_row_set_add, out);
	lk_row_set_ready(out);
	lk_diff_spend(d, out->count);
	return rc;
}

static int compare_xattrs(struct lk_diff *d, struct lk_op *op, const struct lk_inode inode[SIDES], uint32_t *what)
{
	struct lk_row_set set[SIDES] = {{0}, {0}};
	bool same;
	int rc = 0;

	if (inode[OLDER].xattr_count == 0 && inode[NEWER].xattr_count == 0)
		return 0;
	for (int side = 0; rc == 0 && side < SIDES; side++)
		rc = read_xattrs(d, op, side, &inode[side], &set[side]);
	same = set[OLDER].count == set[NEWER].count;
	for (uint32_t i = 0; rc == 0 && same && i < set[OLDER].count; i++) {
		const struct lk_xattr *a = lk_row_set_at(&set[OLDER], i), *b = lk_row_set_at(&set[NEWER], i);

		same = lk_bytes_compare(&a->name, &b->name) == 0 && lk_bytes_compare(&a->value, &b->value) == 0;
	}
	if (!same)
		*what |= LINKFS_DIFF_XATTRS;
	lk_row_set_done(&set[OLDER]);
	lk_row_set_done(&set[NEWER]);
	return rc;
}

/* A tracked link's text follows from what it tracks and from where both are. */
static int compare_texts(struct lk_diff *d, struct lk_op *op, const struct lk_inode inode[SIDES], uint32_t *what)
{
	struct lk_target row[SIDES];
	int rc = 0;

	for (int side = 0; rc == 0 && side < SIDES; side++) {
		lk_diff_see(d, op, side);
		rc = lk_symlink_row(op, &inode[side], &row[side]);
	}
	lk_diff_spend(d, SIDES);
	if (rc)
		return rc;
	if (row[OLDER].tracks != row[NEWER].tracks)
		*what |= LINKFS_DIFF_FOLLOWS;
	else if (row[OLDER].tracks == 0 && lk_bytes_compare(&row[OLDER].text, &row[NEWER].text) != 0)
		*what |= LINKFS_DIFF_CONTENT;
	return 0;
}

static int compare_files(struct lk_diff *d, struct lk_op *op, const struct lk_inode inode[SIDES], uint32_t *what,
			 enum lk_undecided *undecided)
{
	struct lk_inline row[SIDES] = {{.ino = inode[OLDER].ino}, {.ino = inode[NEWER].ino}};
	bool is_inline[SIDES];
	int rc = 0;

	for (int side = 0; side < SIDES; side++)
		is_inline[side] = inode[side].flags & LK_INODE_INLINE;
	if (inode[OLDER].size != inode[NEWER].size) {
		*what |= LINKFS_DIFF_CONTENT;
		return 0;
	}
	if (inode[OLDER].size == 0)
		return 0;
	if (!is_inline[OLDER] || !is_inline[NEWER]) {
		*undecided = is_inline[OLDER] || is_inline[NEWER] || inode[OLDER].ino != inode[NEWER].ino ? LK_WHOLE
													  : LK_RANGES;
		return 0;
	}
	for (int side = 0; rc == 0 && side < SIDES; side++) {
		lk_diff_see(d, op, side);
		rc = lk_txn_get(op, LK_T_INLINE, &row[side], &row[side]);
	}
	lk_diff_spend(d, SIDES);
	if (rc)
		return rc == LINKFS_ENOENT ? LINKFS_ECORRUPT : rc;
	bool packed[SIDES] = {inode[OLDER].flags & LK_INODE_PACKED, inode[NEWER].flags & LK_INODE_PACKED};
	bool same = lk_bytes_compare(&row[OLDER].content, &row[NEWER].content) == 0 && packed[OLDER] == packed[NEWER];
	/* Two ways to compress the same bytes differ. */
	if (!same && (packed[OLDER] || packed[NEWER]))
		*undecided = LK_WHOLE;
	else if (!same)
		*what |= LINKFS_DIFF_CONTENT;
	return 0;
}

int lk_diff_compare_inodes(struct lk_diff *d, struct lk_op *op, const struct lk_inode inode[SIDES], uint32_t *what_out,
			   enum lk_undecided *undecided_out)
{
	uint32_t what = compare_attributes(&inode[OLDER], &inode[NEWER]);
	enum lk_undecided undecided = LK_DECIDED;
	int rc = compare_xattrs(d, op, inode, &what);

	if (rc == 0 && lk_is_lnk(&inode[OLDER]))
		rc = compare_texts(d, op, inode, &what);
	if (rc == 0 && lk_is_reg(&inode[OLDER]))
		rc = compare_files(d, op, inode, &what, &undecided);
	if (rc)
		return rc;
	*what_out |= what;
	*undecided_out = undecided;
	return 0;
}

/* ---- content ---------------------------------------------------------------------------------------------------- */

struct reading {
	struct lk_diff *d;
	const struct lk_change *c;
	uint64_t size; /* of both */
	bool by_rows;  /* both are in blocks */
	bool differs;
};

/* Both as they are now: the live one may have become another meanwhile. */
static int look_at_both(struct reading *r, struct lk_op *op)
{
	struct lk_inode inode[SIDES];
	bool there;

	r->by_rows = true;
	for (int side = 0; side < SIDES; side++) {
		int rc = lk_diff_inode(r->d, op, side, r->c->ino[side], &inode[side], &there);

		if (rc)
			return rc;
		if (!there || !lk_is_reg(&inode[side])) {
			r->differs = true;
			return 0;
		}
		r->by_rows &= !(inode[side].flags & LK_INODE_INLINE);
	}
	r->size = (uint64_t)inode[OLDER].size;
	r->differs = inode[OLDER].size != inode[NEWER].size;
	return 0;
}

/* The number of blocks from at on that need no reading; then that of those which do, 0 when it is not known. */
static int skip_blocks(struct reading *r, struct lk_op *op, uint64_t at, uint64_t end, uint64_t *skip_out,
		       uint64_t *read_out)
{
	uint64_t from = at;

	*read_out = 0;
	for (uint32_t rows = 0; at < end && rows < ROWS_IN_OP; rows++) {
		struct lk_ext e[SIDES];
		uint64_t count = end - at;
		bool data = false;

		for (int side = 0; side < SIDES; side++) {
			int rc;

			lk_diff_see(r->d, op, side);
			rc = lk_extent_find(op, r->c->ino[side], at, &e[side]);
			if (rc)
				return rc;
			data |= lk_ext_data(e[side].codec);
			count = LK_MIN(count, e[side].at + e[side].count - at);
		}
		lk_diff_spend(r->d, SIDES);
		for (int side = 0; side < SIDES; side++)
			e[side] = lk_ext_part(&e[side], at - e[side].at, count);
		if (data && !lk_ext_same(&e[OLDER], &e[NEWER])) {
			*read_out = LK_MIN(count, (uint64_t)LK_EXTENT_BLOCKS_MAX);
			break;
		}
		at += count;
	}
	*skip_out = at - from;
	return 0;
}

static bool sums_differ(const struct lk_map map[SIDES])
{
	for (uint32_t i = 0, j = 0; i < map[OLDER].pieces && j < map[NEWER].pieces;) {
		const struct lk_ext *a = &map[OLDER].piece[i], *b = &map[NEWER].piece[j];
		uint64_t at = LK_MAX(a->at, b->at), end = LK_MIN(a->at + a->count, b->at + b->count);

		for (; a->codec == LK_CODEC_RAW && b->codec == LK_CODEC_RAW && at < end; at++)
			if (map[OLDER].sums[at - map[OLDER].first] != map[NEWER].sums[at - map[NEWER].first])
				return true;
		i += a->at + a->count == end;
		j += b->at + b->count == end;
	}
	return false;
}

/* Blocks with other checksums have other bytes: they need no reading. Not so the last one when it is not full, as what lies behind the size
 * is of no account. */
static int compare_sums(struct reading *r, struct lk_op *op, uint64_t at, uint64_t count)
{
	uint64_t full = r->size / LK_BLOCK_SIZE;
	struct lk_map *map;
	int rc = 0;

	if (at >= full)
		return 0;
	map = lk_op_alloc(op, SIDES * sizeof(*map));
	if (!map)
		return LINKFS_ENOMEM;
	for (int side = 0; rc == 0 && side < SIDES; side++) {
		lk_diff_see(r->d, op, side);
		rc = lk_extent_map(op, r->c->ino[side], at, (uint32_t)LK_MIN(count, full - at), &map[side]);
	}
	lk_diff_spend(r->d, SIDES);
	if (rc == 0)
		r->differs = sums_differ(map);
	return rc;
}

/* Bytes of both, at most READ_BYTES. */
static int compare_bytes(struct reading *r, uint64_t offset, size_t len)
{
	for (int side = 0; side < SIDES; side++) {
		size_t done = 0;
		struct lk_op op;
		int rc = lk_file_peek(r->d->fs, r->d->side[side].epoch, r->c->ino[side], offset, r->d->bytes[side], len,
				      &done);

		if (rc) {
			/* A snapshot that was deleted has lost some of its rows, and the live file may have gone. */
			int gone = lk_diff_begin(r->d, &op);

			if (gone == 0)
				gone = lk_op_end(&op, 0);
			if (gone || r->d->side[side].epoch != LK_VIEW_LIVE || rc != LINKFS_ESTALE)
				return gone ? gone : rc;
			done = 0;
		}
		if (done != len) {
			r->differs = true;
			return 0;
		}
	}
	r->differs = memcmp(r->d->bytes[OLDER], r->d->bytes[NEWER], len) != 0;
	return 0;
}

static int compare_blocks(struct reading *r, uint64_t at, uint64_t end)
{
	while (at < end) {
		uint64_t skip = 0, count = 0, offset;
		struct lk_op op;
		int rc = lk_diff_begin(r->d, &op);

		if (rc)
			return rc;
		rc = look_at_both(r, &op);
		end = LK_MIN(end, (r->size + LK_BLOCK_SIZE - 1) / LK_BLOCK_SIZE);
		if (rc == 0 && !r->differs && r->by_rows && at + FEW_BLOCKS < end)
			rc = skip_blocks(r, &op, at, end, &skip, &count);
		else if (rc == 0 && !r->differs && at < end) /* the last, or at most some pages of inline content */
			count = LK_MIN(end - at, (uint64_t)LK_EXTENT_BLOCKS_MAX);
		at += skip;
		if (rc == 0 && !r->differs && r->by_rows && count)
			rc = compare_sums(r, &op, at, count);
		rc = lk_op_end(&op, rc);
		offset = at * LK_BLOCK_SIZE;
		if (rc == 0 && !r->differs && count)
			rc = compare_bytes(r, offset, (size_t)LK_MIN(count * LK_BLOCK_SIZE, r->size - offset));
		if (rc || r->differs)
			return rc;
		at += count;
	}
	return 0;
}

int lk_diff_read(struct lk_diff *d, const struct lk_change *change, bool *differs_out)
{
	struct reading r = {.d = d, .c = change};
	uint64_t ino = change->ino[OLDER];
	int rc = 0;

	for (int side = 0; side < SIDES; side++) {
		if (!d->bytes[side])
			d->bytes[side] = malloc(READ_BYTES);
		if (!d->bytes[side])
			rc = LINKFS_ENOMEM;
	}
	if (rc == 0 && change->undecided == LK_WHOLE)
		rc = compare_blocks(&r, 0, UINT64_MAX);
	for (size_t i = lk_first_number(d->ranges.p, d->ranges.count, sizeof(*d->ranges.p), ino);
	     rc == 0 && change->undecided == LK_RANGES && i < d->ranges.count; i++) {
		if (r.differs || d->ranges.p[i].ino != ino)
			break;
		rc = compare_blocks(&r, d->ranges.p[i].at, d->ranges.p[i].at + d->ranges.p[i].count);
	}
	if (rc == 0)
		*differs_out = r.differs;
	return rc;
}
