/*
 * pass_files.c - inodes with what they have: inline content, extents, symlink texts, extended attributes, all read in the order of
 * inode numbers and merged.
 * Layer: check. content.c, xattrs.c and pass_targets.c judge the parts; here is the record itself, and what has none.
 */
#include "check_impl.h"

#include "blocks.h"

#include <string.h>

/* The number in the first column of a cursor's row at hand; INT64_MAX at its end. A table that cannot be read ends early. */
static int head(struct lk_check *c, struct lk_rows *rows, int64_t *out)
{
	const void *record;
	int r = lk_rows_peek(rows, &record);
	*out = r == 0 && record ? *lk_int_of(&rows->table->columns[0], record) : INT64_MAX;
	return r ? lk_unreadable(c, rows->table->id, r) : 0;
}

/* ---- the record ------------------------------------------------------------------------------------------------- */

static int one_row(void *arg, const void *record)
{
	(void)record;
	*(bool *)arg = true;
	return 1;
}

static int has_entries(struct lk_check *c, int64_t dir, bool *out)
{
	struct lk_dirent key = {.dir = dir};
	struct lk_scan scan = {
		.table = &lk_tables[LK_T_DIRENT], .index = LK_BY_KEY, .equal = 1, .from = &key, .limit = 1};
	*out = false;
	return lk_db_scan(c->db, &scan, one_row, out);
}

static int64_t head_of(struct lk_rows *rows)
{
	const void *record;
	return rows && lk_rows_peek(rows, &record) == 0 && record ? *lk_int_of(&rows->table->columns[0], record) : 0;
}

/* What an inode is by what it has. */
static int tell_type(struct lk_check *c, const struct lk_file *f, int64_t *type_out)
{
	bool entries;
	int r = has_entries(c, f->inode.ino, &entries);
	if (r)
		return r;
	*type_out = head_of(f->targets) == f->inode.ino ? S_IFLNK : entries ? S_IFDIR : S_IFREG;
	return 0;
}

static int64_t clamp(int64_t value, int64_t low, int64_t high)
{
	return value < low ? low : value > high ? high : value;
}

static void clamp_fields(struct lk_check *c, struct lk_inode *i)
{
	int64_t type = i->mode & LK_CHECK_MODE_MASK;
	if (i->uid < 0 || i->uid > UINT32_MAX)
		i->uid = 0;
	if (i->gid < 0 || i->gid > UINT32_MAX)
		i->gid = 0;
	i->nlink = clamp(i->nlink, 0, LINKFS_LINK_MAX);
	i->size = clamp(i->size, 0,
			type == S_IFREG   ? (int64_t)LINKFS_FILE_SIZE_MAX
			: type == S_IFLNK ? LINKFS_SYMLINK_MAX
					  : 0);
	i->blocks = clamp(i->blocks, 0, LK_DISK_BLOCK_MAX);
	if (i->rdev < 0 || (type != S_IFCHR && type != S_IFBLK && !(type == S_IFREG && (i->flags & LK_INODE_PACKED))))
		i->rdev = 0;
	i->xattr_count = clamp(i->xattr_count, 0, INT32_MAX);
	i->flags &= lk_flags_allowed(i->mode);
	if (i->flags & LK_INODE_COMPRESS)
		i->flags &= ~(int64_t)LK_INODE_NO_COMPRESS;
	if (!(i->flags & LK_INODE_INLINE))
		i->flags &= ~(int64_t)LK_INODE_PACKED;
	i->rdev = i->flags & LK_INODE_PACKED ? clamp(i->rdev, 1, LK_PACKED_MAX) : i->rdev;
	i->born = clamp(i->born, 1, c->epoch);
}

static int judge_record(struct lk_check *c, struct lk_file *f)
{
	struct lk_inode *i = &f->inode;
	struct lk_place place = {LK_NOWHERE, .ino = i->ino, .have = i->mode};
	int r = 0;
	if (!lk_type_known(i->mode)) {
		r = lk_found(c, LK_P_INODE_TYPE, &place);
		if (r > 0) {
			int64_t type = S_IFREG;
			r = tell_type(c, f, &type);
			i->mode = type | (i->mode & 07777);
			f->changed = true;
		}
		if (r)
			return r;
	}
	place.what = lk_type_known(i->mode) ? lk_inode_fault(i, c->epoch) : NULL;
	if (place.what)
		r = lk_found(c, LK_P_INODE_FIELD, &place);
	if (place.what)
		clamp_fields(c, i); /* also to go on with */
	f->changed |= r > 0;
	return r < 0 ? r : 0;
}

/* ---- content without a record ------------------------------------------------------------------------------------- */

static int newest_old(void *arg, const void *record)
{
	memcpy(arg, record, sizeof(struct lk_inode));
	return 1;
}

/* A record as history last knew it, or a plain one. */
static int make_record(struct lk_check *c, struct lk_file *f)
{
	struct lk_inode *i = &f->inode;
	struct lk_inode key = {.ino = i->ino};
	_Alignas(8) char from[LK_RECORD_MAX + 8];
	int64_t type, now = lk_clock_now_ns();
	lk_record_to_old(&lk_tables[LK_T_INODE], &key, INT64_MAX, from);
	struct lk_scan scan = {.table = &lk_tables[LK_T_INODE_OLD],
			       .index = LK_OLD_BY_KEY,
			       .equal = 1,
			       .ranged = 1,
			       .reverse = true,
			       .from = from,
			       .limit = 1};
	int r = tell_type(c, f, &type);
	if (r)
		return r;
	int64_t ino = i->ino;
	*i = (struct lk_inode){.ino = ino,
			       .mode = type | (type == S_IFDIR   ? 0700
					       : type == S_IFLNK ? 0777
								 : 0600),
			       .atime_ns = now,
			       .mtime_ns = now,
			       .ctime_ns = now,
			       .btime_ns = now};
	r = lk_db_scan(c->db, &scan, newest_old, i);
	if ((i->mode & LK_CHECK_MODE_MASK) != type)
		i->mode = type | (i->mode & 0777);
	i->born = c->epoch;
	clamp_fields(c, i);
	i->blocks = i->xattr_count = i->size = 0;
	i->flags = 0;
	f->exists = f->changed = f->made = true;
	return r;
}

/* Rows of an inode that has no record, and gets none. */
static int pass_over(struct lk_check *c, struct lk_file *f, struct lk_rows *rows, enum lk_problem_id id)
{
	const void *record;
	int r;
	while ((r = lk_rows_peek(rows, &record)) == 0 && record &&
	       *lk_int_of(&rows->table->columns[0], record) == f->inode.ino) {
		struct lk_place place = {LK_NOWHERE, .ino = f->inode.ino};
		if (id == LK_P_XATTR_EXTRA)
			place.name = ((const struct lk_xattr *)record)->name;
		else if (id == LK_P_EXTENT_EXTRA)
			place.block = (uint64_t)((const struct lk_extent *)record)->file_block;
		else if (id == LK_P_INLINE_EXTRA)
			place.have = (int64_t)((const struct lk_inline *)record)->content.len;
		r = lk_found(c, id, &place);
		if (r > 0)
			r = lk_mend_erase(c, rows->table->id, record);
		if (r < 0)
			return r;
		lk_rows_next(rows);
	}
	return r ? lk_unreadable(c, rows->table->id, r) : 0;
}

static int erase_all(struct lk_check *c, struct lk_file *f)
{
	int r = pass_over(c, f, f->inlines, LK_P_INLINE_EXTRA);
	if (r == 0)
		r = pass_over(c, f, f->extents, LK_P_EXTENT_EXTRA);
	if (r == 0)
		r = pass_over(c, f, f->targets, LK_P_TARGET_EXTRA);
	return r ? r : pass_over(c, f, f->xattrs, LK_P_XATTR_EXTRA);
}

static bool number_valid(int64_t ino)
{
	return ino >= 1 && ino <= LK_INO_MAX;
}

/* There are rows, and no record. */
static int no_record(struct lk_check *c, struct lk_file *f)
{
	int64_t ino = f->inode.ino;
	struct lk_place place = {LK_NOWHERE, .ino = ino};
	bool content = head_of(f->inlines) == ino || head_of(f->extents) == ino || head_of(f->targets) == ino;
	if (!number_valid(ino) || !content)
		return erase_all(c, f);
	place.what = head_of(f->targets) == ino ? "a symlink's text" : "content";
	int r = lk_found(c, LK_P_INODE_MISSING, &place);
	if (r > 0)
		r = make_record(c, f);
	return r;
}

/* ---- one inode ------------------------------------------------------------------------------------------------------ */

static int remember(struct lk_check *c, const struct lk_inode *i)
{
	struct lk_seen_inode s = {.ino = i->ino,
				  .nlink = (uint32_t)i->nlink,
				  .parent = LK_NO_PARENT,
				  .type = (uint16_t)(i->mode & LK_CHECK_MODE_MASK)};
	if (s.type == S_IFLNK || (s.type == S_IFREG && i->size > 0))
		s.flags |= LK_SEEN_CONTENT;
	if (i->flags & LK_INODE_TRIM)
		s.flags |= LK_SEEN_TRIM;
	if (i->flags & LK_INODE_TMPFILE)
		s.flags |= LK_SEEN_TMPFILE;
	if (i->flags & LK_INODE_KEPT) {
		s.flags |= LK_SEEN_KEPT;
		c->kept++;
		c->kept_blocks += i->blocks;
	}
	c->largest_ino = LK_MAX(c->largest_ino, i->ino);
	return lk_buf_append(&c->inodes, &s, sizeof(s));
}

static int judge_file(struct lk_check *c, struct lk_file *f)
{
	int r = f->made ? 0 : judge_record(c, f);
	if (r == 0)
		r = lk_target_check(c, f);
	if (r == 0 && f->exists)
		r = lk_content_check(c, f);
	if (r == 0)
		r = f->exists ? lk_xattrs_check(c, f) : erase_all(c, f);
	if (r || !f->exists)
		return r;
	if (f->changed)
		r = f->made ? lk_mend_new_inode(c, &f->inode) : lk_mend_put(c, LK_T_INODE, &f->inode);
	return r ? r : remember(c, &f->inode);
}

/* The rows of one number. */
static int one_inode(struct lk_check *c, struct lk_file *f)
{
	int r;
	if (!f->exists && lk_is_broken(c, LK_T_INODE)) {
		r = 0; /* its record may be among those that cannot be read */
	} else if (!f->exists) {
		r = no_record(c, f);
	} else if (!number_valid(f->inode.ino)) {
		r = lk_found(c, LK_P_INODE_NUMBER, &(struct lk_place){LK_NOWHERE, .ino = f->inode.ino});
		if (r > 0)
			r = lk_mend_erase(c, LK_T_INODE, &f->inode);
		if (r == 0)
			r = erase_all(c, f);
		return r < 0 ? r : lk_mend_point(c);
	} else {
		r = 0;
	}
	if (r < 0)
		return r;
	if (f->exists)
		r = judge_file(c, f);
	else
		r = lk_rows_of_nothing(c, f);
	return r < 0 ? r : lk_mend_point(c);
}

static int merge(struct lk_check *c, struct lk_rows *inodes, struct lk_file *f)
{
	struct lk_rows *const parts[] = {f->inlines, f->extents, f->targets, f->xattrs};
	for (;;) {
		int64_t ino, first, at;
		int r = head(c, inodes, &ino);
		first = ino;
		for (size_t i = 0; r == 0 && i < LK_ARRAY_LEN(parts); i++) {
			r = head(c, parts[i], &at);
			first = LK_MIN(first, at);
		}
		if (r || first == INT64_MAX)
			return r;
		f->exists = first == ino;
		f->changed = f->made = false;
		f->inode = (struct lk_inode){.ino = first};
		if (f->exists) {
			const void *record = NULL;
			r = lk_rows_peek(inodes, &record);
			if (r == 0 && record)
				memcpy(&f->inode, record, sizeof(f->inode));
			lk_rows_next(inodes);
		}
		if (r == 0)
			r = one_inode(c, f);
		if (r == 0)
			r = lk_progress(c, inodes->seen);
		if (r)
			return r;
	}
}

static int block_end(struct lk_check *c)
{
	uint64_t end = 0;
	struct lk_rows rows;
	const void *record;
	int r = lk_data_end(c->data, &end);
	if (r)
		return r;
	/* Groups that have rows count, dense as they are, for a piece is made when it is first written. */
	uint64_t groups = 0;
	lk_rows_init(&rows, c->db, LK_T_GROUP, LK_BY_KEY);
	rows.limit = 16;
	while ((r = lk_rows_peek(&rows, &record)) == 0 && record &&
	       ((const struct lk_group *)record)->number == (int64_t)groups) {
		groups++;
		lk_rows_next(&rows);
	}
	lk_rows_done(&rows);
	/* Without the rest of them blocks would seem to lie outside: such rows are told, and none is changed. */
	if (r)
		r = lk_unreadable(c, LK_T_GROUP, r);
	if (r)
		return r;
	c->block_end = LK_MAX(end, groups * LK_GROUP_BLOCKS);
	return 0;
}

int lk_pass_files(struct lk_check *c)
{
	struct lk_rows inodes, inlines, extents, targets, xattrs;
	struct lk_file f = {.inlines = &inlines, .extents = &extents, .targets = &targets, .xattrs = &xattrs};
	int r = block_end(c);
	c->inodes.len = 0;
	c->packed = false;
	c->largest_ino = c->kept = c->kept_blocks = 0;
	lk_blocks_free(c->blocks);
	c->blocks = NULL;
	if (r == 0)
		r = lk_blocks_new(c->block_end, &c->blocks);
	if (r)
		return r;
	lk_rows_init(&inodes, c->db, LK_T_INODE, LK_BY_KEY);
	lk_rows_init(&inlines, c->db, LK_T_INLINE, LK_BY_KEY);
	lk_rows_init(&extents, c->db, LK_T_EXTENT, LK_BY_KEY);
	lk_rows_init(&targets, c->db, LK_T_TARGET, LK_BY_KEY);
	lk_rows_init(&xattrs, c->db, LK_T_XATTR, LK_BY_KEY);
	r = merge(c, &inodes, &f);
	c->sum->records += inodes.seen + inlines.seen + extents.seen + targets.seen + xattrs.seen;
	c->sum->inodes = lk_seen_count(c);
	lk_rows_done(&inodes);
	lk_rows_done(&inlines);
	lk_rows_done(&extents);
	lk_rows_done(&targets);
	lk_rows_done(&xattrs);
	return r;
}
