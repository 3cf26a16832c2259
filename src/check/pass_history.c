/*
 * pass_history.c - history rows (K2): what each says of when it was there, and the record itself. Blocks that old extents name are
 * counted (K3).
 * Layer: check.
 */
#include "check_impl.h"

#include "blocks.h"

#include <string.h>

/* The rows of one table. */
struct past {
	struct lk_check *c;
	const struct lk_table *table; /* the live one */
	const struct lk_table *old;
	struct lk_buf before; /* the key of the row before, as a record without bytes but those of a key */
	struct lk_buf name;
	int64_t before_last;
	bool any;
};

static int64_t *born_at(const struct past *p, void *record)
{
	return lk_int_at(&p->table->columns[p->table->born_column], record);
}

static int64_t ino_of(const struct past *p, const void *record)
{
	return p->table->id == LK_T_DIRENT ? ((const struct lk_dirent *)record)->ino
					   : *lk_int_of(&p->table->columns[0], record);
}

/* The rules of the table for a record, whenever it was. */
static bool record_valid(const struct past *p, const void *record)
{
	const struct lk_check *c = p->c;
	int64_t ino = *lk_int_of(&p->table->columns[0], record);
	if (ino < 1 || ino > LK_INO_MAX)
		return false;
	switch ((int)p->table->id) {
	case LK_T_INODE: {
		const struct lk_inode *i = record;
		return lk_type_known(i->mode) && !lk_inode_fault(i, c->epoch);
	}
	case LK_T_DIRENT: {
		const struct lk_dirent *d = record;
		return lk_dirent_valid(d) && d->type >= 0 && d->type <= 15 && lk_type_known(d->type << 12) &&
		       lk_name_valid(d->name.p, d->name.len) &&
		       (!c->have_secret || lk_name_hash(c->secret, d->name.p, d->name.len) == d->hash);
	}
	case LK_T_TARGET:
		return lk_text_valid(&((const struct lk_target *)record)->text) && lk_tracks_valid(record);
	case LK_T_INLINE: {
		const struct lk_inline *in = record;
		return in->content.len > 0 && in->content.len <= LK_PACKED_MAX;
	}
	case LK_T_EXTENT: {
		const struct lk_extent *e = record;
		return !lk_extent_fault(e) &&
		       (e->codec == LK_CODEC_HOLE ||
			(uint64_t)(e->disk_block + lk_blocks_named(e->codec, e->count, e->length)) <= c->block_end);
	}
	case LK_T_XATTR:
		return !lk_xattr_fault(record);
	default:
		return true;
	}
}

static bool same_key(const struct past *p, const void *record)
{
	return p->any && lk_record_compare(p->table, NULL, p->table->key_count, p->before.p, record) == 0;
}

static int remember(struct past *p, const void *record, int64_t last)
{
	p->before.len = p->name.len = 0;
	p->any = true;
	p->before_last = last;
	int r = lk_buf_append(&p->before, record, p->table->record_size);
	if (r || p->table->id != LK_T_XATTR)
		return r;
	struct lk_xattr *x = (void *)p->before.p;
	r = lk_buf_append(&p->name, x->name.p, x->name.len);
	x->name.p = p->name.p;
	return r;
}

static int drop(struct past *p, const void *record)
{
	int r = lk_mend_erase(p->c, p->old->id, record);
	return r ? r : lk_mend_point(p->c);
}

/* last names no snapshot: K2's rule for a snapshot that is gone. */
static int pass_on(struct past *p, const void *record, int64_t last)
{
	_Alignas(8) char moved[LK_RECORD_MAX + 8], live[LK_RECORD_MAX + 8];
	struct lk_check *c = p->c;
	lk_record_from_old(p->table, record, live);
	int64_t before = lk_snapshot_before(c, last);
	int r = lk_mend_erase(c, p->old->id, record);
	if (r == 0 && before && *born_at(p, live) <= before && !(same_key(p, live) && p->before_last >= before)) {
		lk_record_to_old(p->table, live, before, moved);
		r = lk_mend_insert(c, p->old->id, moved);
		r = r == LINKFS_EEXIST ? 0 : r;
	}
	return r ? r : lk_mend_point(c);
}

/* Epochs. 1: the row is gone or moved; 0: it stays, born perhaps corrected in *record. */
static int judge_epochs(struct past *p, void *record, int64_t last)
{
	struct lk_check *c = p->c;
	int64_t born = *born_at(p, record);
	struct lk_place place = {LK_NOWHERE, .ino = ino_of(p, record), .have = born, .want = last,
				 .what = p->old->name};
	int r;
	if (born < 1 || born > last) {
		r = lk_found(c, LK_P_HISTORY_BORN, &place);
		if (r > 0)
			r = drop(p, record);
		return r < 0 ? r : 1;
	}
	if (!lk_is_snapshot(c, last) && !lk_is_broken(c, LK_T_SNAPSHOT)) {
		place.have = last;
		r = lk_found(c, LK_P_HISTORY_LAST, &place);
		if (r > 0) {
			r = pass_on(p, record, last);
			return r ? r : 1;
		}
		if (r < 0)
			return r;
	}
	if (same_key(p, record) && born <= p->before_last) {
		place.want = p->before_last;
		r = lk_found(c, LK_P_HISTORY_OVERLAP, &place);
		if (r > 0) {
			*born_at(p, record) = p->before_last + 1;
			r = lk_mend_put(c, p->old->id, record);
		}
		return r;
	}
	return 0;
}

/* The live row of the key that the rows before were of. */
static int judge_live(struct past *p)
{
	_Alignas(8) char live[LK_RECORD_MAX + 8];
	struct lk_check *c = p->c;
	struct lk_buf bytes = {0};
	if (!p->any || lk_is_broken(c, p->table->id))
		return 0;
	int r = lk_db_get(c->db, p->table, p->before.p, live, &bytes);
	if (r == 0 && *born_at(p, live) <= p->before_last) {
		struct lk_place place = {LK_NOWHERE, .ino = ino_of(p, live), .have = *born_at(p, live),
					 .want = p->before_last, .what = p->table->name};
		r = lk_found(c, LK_P_HISTORY_LIVE, &place);
		if (r > 0) {
			*born_at(p, live) = LK_MIN(p->before_last + 1, c->epoch);
			r = lk_mend_put(c, p->table->id, live);
		}
	} else if (r == LINKFS_ENOENT) {
		r = 0;
	}
	lk_buf_done(&bytes);
	return r < 0 ? lk_unreadable(c, p->table->id, r) : 0;
}

/* What others need to know of the row, which is in order. */
static int note(struct past *p, const void *record, int64_t last)
{
	struct lk_check *c = p->c;
	if (p->table->id == LK_T_INODE) {
		const struct lk_inode *i = record;
		c->packed |= (i->flags & LK_INODE_PACKED) != 0;
		struct lk_seen_old old = {i->ino, last, i->born};
		c->largest_ino = LK_MAX(c->largest_ino, i->ino);
		return lk_buf_append(&c->olds, &old, sizeof(old));
	}
	if (p->table->id == LK_T_EXTENT) {
		const struct lk_extent *e = record;
		c->packed |= e->codec == LK_CODEC_ZSTD;
		return e->codec == LK_CODEC_HOLE
			       ? 0
			       : lk_blocks_name(c->blocks, (uint64_t)e->disk_block,
						(uint64_t)lk_blocks_named(e->codec, e->count, e->length));
	}
	if (p->table->id != LK_T_DIRENT || lk_is_broken(c, LK_T_INODE_OLD) || lk_is_broken(c, LK_T_INODE))
		return 0;
	const struct lk_dirent *d = record;
	/* Rows of a snapshot that is being deleted stand for the one before, and those of its inodes may have gone already. */
	int64_t readable = lk_snapshot_before(c, last);
	if (!readable || d->born > readable)
		return 0;
	int r = lk_seen_at_snapshot(c, d->ino, readable);
	if (r)
		return r < 0 ? lk_unreadable(c, LK_T_INODE, r) : 0;
	struct lk_place place = {LK_NOWHERE, .ino = d->ino, .dir = d->dir, .name = d->name, .have = last};
	r = lk_found(c, LK_P_HISTORY_NAME, &place);
	return r > 0 ? drop(p, record) : r;
}

static int one_row(struct past *p, const void *record)
{
	_Alignas(8) char row[LK_RECORD_MAX + 8];
	struct lk_check *c = p->c;
	int64_t last = lk_record_last(p->old, record);
	int r;
	memcpy(row, record, p->old->record_size);
	if (p->any && !same_key(p, row)) {
		r = judge_live(p);
		if (r)
			return r;
	}
	if (!record_valid(p, row)) {
		struct lk_place place = {LK_NOWHERE, .ino = ino_of(p, row), .have = last, .what = p->old->name};
		r = lk_found(c, LK_P_HISTORY_FIELD, &place);
		return r > 0 ? drop(p, row) : r;
	}
	r = judge_epochs(p, row, last);
	if (r)
		return r < 0 ? r : 0;
	r = remember(p, row, last);
	return r ? r : note(p, row, last);
}

static int one_table(struct lk_check *c, const struct lk_table *table)
{
	struct past p = {.c = c, .table = table, .old = &lk_tables[table->old]};
	struct lk_rows rows;
	const void *record;
	int r;
	lk_rows_init(&rows, c->db, table->old, LK_OLD_BY_KEY);
	while ((r = lk_rows_peek(&rows, &record)) == 0 && record) {
		r = one_row(&p, record);
		if (r == 0)
			r = lk_progress(c, rows.seen);
		if (r)
			break;
		lk_rows_next(&rows);
	}
	if (r)
		r = lk_unreadable(c, table->old, r);
	if (r == 0)
		r = judge_live(&p);
	c->sum->records += rows.seen;
	lk_rows_done(&rows);
	lk_buf_done(&p.before);
	lk_buf_done(&p.name);
	return r;
}

int lk_pass_history(struct lk_check *c)
{
	int r = 0;
	c->olds.len = 0;
	for (int t = 0; r == 0 && t < LK_T_LIVE_COUNT; t++) {
		if (lk_tables[t].versioned)
			r = one_table(c, &lk_tables[t]);
	}
	return r;
}
