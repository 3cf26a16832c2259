/*
 * pass_orphans.c - the tables that tell why an inode has no name, or what is still to be done to it: orphan, deleted, intent.
 * Layer: check. After the names were counted, before the tree is looked at.
 */
#include "check_impl.h"

#include <string.h>

int lk_mark_erase(struct lk_check *c, int64_t ino, int64_t flag)
{
	struct lk_inode row = {.ino = ino};
	int r = lk_get(c, LK_T_INODE, &row, &row, NULL);
	row.flags &= ~flag;
	return r ? r : lk_mend_put(c, LK_T_INODE, &row);
}

/* ---- orphan --------------------------------------------------------------------------------------------------------- */

static int judge_orphan(struct lk_check *c, const struct lk_orphan *row)
{
	struct lk_seen_inode *s = lk_seen_find(c, row->ino);
	struct lk_place place = {LK_NOWHERE, .ino = row->ino};
	int r = 0;
	if (!s) {
		r = lk_found(c, LK_P_ORPHAN_NO_INODE, &place);
	} else if (s->names || s->nlink) {
		place.have = LK_MAX(s->names, s->nlink);
		r = lk_found(c, LK_P_ORPHAN_NAMED, &place);
	} else {
		s->flags |= LK_SEEN_ORPHAN;
	}
	return r > 0 ? lk_mend_erase(c, LK_T_ORPHAN, row) : r;
}

/* ---- deleted -------------------------------------------------------------------------------------------------------- */

static int judge_deleted(struct lk_check *c, const struct lk_deleted *row)
{
	if (row->ino < 1 || row->ino > LK_INO_MAX || row->dir < 1 || row->dir > LK_INO_MAX ||
	    !lk_name_valid(row->name.p, row->name.len) ||
	    (row->how != LK_DELETED_REMOVED && row->how != LK_DELETED_REPLACED)) {
		struct lk_place place = {LK_NOWHERE, .ino = row->ino, .name = row->name};
		int r = lk_found(c, LK_P_DELETED_FIELD, &place);
		return r > 0 ? lk_mend_erase(c, LK_T_DELETED, row) : r;
	}
	struct lk_seen_inode *s = lk_seen_find(c, row->ino);
	if (s)
		s->flags |= LK_SEEN_DELETED;
	return 0;
}

static int judge_kept(struct lk_check *c, struct lk_seen_inode *s)
{
	struct lk_place place = {LK_NOWHERE, .ino = s->ino, .have = LK_MAX(s->names, s->nlink)};
	int r = 0;
	if (!(s->flags & LK_SEEN_KEPT))
		return 0;
	if (s->names || s->nlink)
		r = lk_found(c, LK_P_KEPT_NAMED, &place);
	else if (!(s->flags & LK_SEEN_DELETED))
		r = lk_is_broken(c, LK_T_DELETED) ? 0 : lk_found(c, LK_P_KEPT_NO_ROW, &place);
	if (r <= 0)
		return r;
	struct lk_inode row = {.ino = s->ino};
	r = lk_get(c, LK_T_INODE, &row, &row, NULL);
	if (r == 0)
		r = lk_mark_erase(c, s->ino, LK_INODE_KEPT);
	s->flags &= (uint16_t)~LK_SEEN_KEPT;
	c->kept--;
	c->kept_blocks -= row.blocks;
	return r;
}

/* ---- intent --------------------------------------------------------------------------------------------------------- */

static const char *intent_fault(const struct lk_intent *row)
{
	if (row->kind != LK_INTENT_TRIM && row->kind != LK_INTENT_PUNCH)
		return "its kind is unknown";
	if (row->ino < 1 || row->ino > LK_INO_MAX || row->id != LK_INTENT_ID(row->kind, row->ino))
		return "its number is not its inode's";
	if (row->kind == LK_INTENT_PUNCH &&
	    (row->from < 0 || row->from >= row->to || row->to > (int64_t)(LINKFS_FILE_SIZE_MAX / LK_BLOCK_SIZE + 1)))
		return "its range is out of range";
	return NULL;
}

/* A truncation's mark that has its intent is taken off the list of those that lack one. */
static int judge_intent(struct lk_check *c, const struct lk_intent *row)
{
	struct lk_place place = {LK_NOWHERE, .ino = row->ino, .have = row->id, .what = intent_fault(row)};
	int r;
	if (place.what) {
		r = lk_found(c, LK_P_INTENT_FIELD, &place);
		return r > 0 ? lk_mend_erase(c, LK_T_INTENT, row) : r;
	}
	struct lk_seen_inode *s = lk_seen_find(c, row->ino);
	bool stale = !s || s->type != S_IFREG || (row->kind == LK_INTENT_TRIM && !(s->flags & LK_SEEN_TRIM));
	if (s && row->kind == LK_INTENT_TRIM)
		s->flags &= (uint16_t)~LK_SEEN_TRIM;
	if (!stale)
		return 0;
	r = lk_found(c, LK_P_INTENT_STALE, &place);
	return r > 0 ? lk_mend_erase(c, LK_T_INTENT, row) : r;
}

static int trim_left(struct lk_check *c, const struct lk_seen_inode *s)
{
	if (!(s->flags & LK_SEEN_TRIM) || lk_is_broken(c, LK_T_INTENT))
		return 0;
	int r = lk_found(c, LK_P_INTENT_MISSING, &(struct lk_place){LK_NOWHERE, .ino = s->ino});
	struct lk_intent row = {.id = LK_INTENT_ID(LK_INTENT_TRIM, s->ino), .kind = LK_INTENT_TRIM, .ino = s->ino};
	return r > 0 ? lk_mend_put(c, LK_T_INTENT, &row) : r;
}

/* ---- all ------------------------------------------------------------------------------------------------------------ */

static int each_row(struct lk_check *c, enum lk_table_id table)
{
	struct lk_rows rows;
	const void *record;
	int r;
	lk_rows_init(&rows, c->db, table, LK_BY_KEY);
	while ((r = lk_rows_peek(&rows, &record)) == 0 && record) {
		r = table == LK_T_ORPHAN    ? judge_orphan(c, record)
		    : table == LK_T_DELETED ? judge_deleted(c, record)
					    : judge_intent(c, record);
		if (r == 0)
			r = lk_mend_point(c);
		if (r == 0)
			r = lk_progress(c, rows.seen);
		if (r)
			break;
		lk_rows_next(&rows);
	}
	c->sum->records += rows.seen;
	lk_rows_done(&rows);
	return r ? lk_unreadable(c, table, r) : 0;
}

int lk_pass_orphans(struct lk_check *c)
{
	if (lk_is_broken(c, LK_T_INODE) || lk_is_broken(c, LK_T_DIRENT) || !c->have_secret)
		return 0;
	int r = each_row(c, LK_T_ORPHAN);
	if (r == 0)
		r = each_row(c, LK_T_DELETED);
	if (r == 0)
		r = each_row(c, LK_T_INTENT);
	for (size_t i = 0; r == 0 && i < lk_seen_count(c); i++) {
		r = judge_kept(c, lk_seen_at(c, i));
		if (r == 0)
			r = trim_left(c, lk_seen_at(c, i));
		if (r == 0)
			r = lk_mend_point(c);
	}
	return r;
}
