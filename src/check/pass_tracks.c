/*
 * pass_tracks.c - tracked symlinks (D5) against the files they track: what the rows of both say. After names are mended.
 * Layer: check. A target that is gone is in order: the link dangles with its stored text.
 */
#include "check_impl.h"

/* It becomes an ordinary one. */
static int end_tracking(struct lk_check *c, const struct lk_target *t)
{
	struct lk_target row = *t;
	struct lk_place place = {LK_NOWHERE, .ino = t->ino, .have = t->tracks};
	int r = lk_found(c, LK_P_TRACKS_NONE, &place);
	if (r <= 0)
		return r;
	row.tracks = row.by_dir = row.by_hash = row.by_ord = 0;
	r = lk_mend_put(c, LK_T_TARGET, &row);
	if (r == 0)
		r = lk_mark_erase(c, t->ino, LK_INODE_TRACKED);
	return r ? r : lk_mend_point(c);
}

static int check_mark(struct lk_check *c, const struct lk_target *t)
{
	struct lk_inode followed = {.ino = t->tracks};
	struct lk_place place = {LK_NOWHERE, .ino = t->tracks, .have = t->ino};
	int r = lk_get(c, LK_T_INODE, &followed, &followed, NULL);
	if (r || (followed.flags & LK_INODE_FOLLOWED))
		return r == LINKFS_ENOENT ? 0 : r;
	r = lk_found(c, LK_P_TRACKS_MARK, &place);
	if (r <= 0)
		return r;
	followed.flags |= LK_INODE_FOLLOWED;
	r = lk_mend_put(c, LK_T_INODE, &followed);
	return r ? r : lk_mend_point(c);
}

static int take_entry(void *arg, const void *record)
{
	const struct lk_dirent *d = record;
	struct lk_target *row = arg;
	row->by_dir = d->dir;
	row->by_hash = d->hash;
	row->by_ord = d->ord;
	return 1;
}

/* The first entry of the row's target, by the index of names. */
static int first_entry(struct lk_check *c, struct lk_target *row)
{
	struct lk_dirent key = {.ino = row->tracks};
	struct lk_scan scan = {
		.table = &lk_tables[LK_T_DIRENT], .index = LK_DIRENT_BY_INO, .equal = 1, .from = &key, .limit = 1};
	return lk_db_scan(c->db, &scan, take_entry, row);
}

static int check_entry(struct lk_check *c, const struct lk_target *t)
{
	struct lk_dirent d = {.dir = t->by_dir, .hash = t->by_hash, .ord = t->by_ord};
	struct lk_place place = {LK_NOWHERE, .ino = t->ino, .have = t->tracks};
	struct lk_target row = *t;
	int r = t->by_dir ? lk_get(c, LK_T_DIRENT, &d, &d, NULL) : LINKFS_ENOENT;
	if ((r == 0 && d.ino == t->tracks) || (r && r != LINKFS_ENOENT))
		return r;
	r = lk_found(c, LK_P_TRACKS_ENTRY, &place);
	if (r <= 0)
		return r;
	r = first_entry(c, &row);
	if (r == 0)
		r = lk_mend_put(c, LK_T_TARGET, &row);
	return r ? r : lk_mend_point(c);
}

static int judge(struct lk_check *c, const struct lk_target *t)
{
	const struct lk_seen_inode *link = lk_seen_find(c, t->ino), *target = lk_seen_find(c, t->tracks);
	int r;
	if (!link || link->type != S_IFLNK || !lk_tracks_valid(t))
		return 0; /* found by an earlier pass */
	if (link->names > 1 || (target && target->type == S_IFLNK))
		return end_tracking(c, t);
	if (!target)
		return 0;
	r = check_mark(c, t);
	if (r == 0 && target->type != S_IFDIR && target->names)
		r = check_entry(c, t);
	return r;
}

int lk_pass_tracks(struct lk_check *c)
{
	struct lk_rows rows;
	const void *record;
	int r;
	if (lk_is_broken(c, LK_T_INODE) || lk_is_broken(c, LK_T_DIRENT))
		return 0;
	lk_rows_init(&rows, c->db, LK_T_TARGET, LK_BY_KEY);
	while ((r = lk_rows_peek(&rows, &record)) == 0 && record) {
		r = ((const struct lk_target *)record)->tracks ? judge(c, record) : 0;
		if (r)
			break;
		lk_rows_next(&rows);
	}
	lk_rows_done(&rows);
	return r ? lk_unreadable(c, LK_T_TARGET, r) : 0;
}
