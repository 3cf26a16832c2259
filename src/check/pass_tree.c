/*
 * pass_tree.c - the tree that the names make: every directory leads to the root, everything has a name or a reason to have none, and
 * link counts agree.
 * Layer: check.
 */
#include "check_impl.h"

static bool is_dir(const struct lk_seen_inode *s)
{
	return s->type == S_IFDIR;
}

/* ---- no name -------------------------------------------------------------------------------------------------------- */

static int no_name(struct lk_check *c, size_t at)
{
	struct lk_seen_inode *s = lk_seen_at(c, at);
	struct lk_place place = {LK_NOWHERE, .ino = s->ino};
	bool reason = (s->flags & (LK_SEEN_ORPHAN | LK_SEEN_KEPT)) && s->nlink == 0 && !s->entries;
	int r;
	if (s->names || s->ino == (int64_t)LINKFS_ROOT_INO || reason)
		return 0;
	if (s->nlink == 0 && !s->entries && !(s->flags & LK_SEEN_CONTENT)) {
		struct lk_orphan row = {s->ino};
		r = lk_found(c, LK_P_ORPHAN_MISSING, &place);
		s->flags |= LK_SEEN_ORPHAN;
		return r > 0 ? lk_mend_put(c, LK_T_ORPHAN, &row) : r;
	}
	r = lk_found(c, LK_P_INODE_NO_NAME, &place);
	if (r <= 0)
		return r;
	/* What it was marked as before, it is no more. */
	if (s->flags & LK_SEEN_ORPHAN) {
		struct lk_orphan row = {s->ino};
		s->flags &= (uint16_t)~LK_SEEN_ORPHAN;
		r = lk_mend_erase(c, LK_T_ORPHAN, &row);
	} else {
		r = 0;
	}
	return r ? r : lk_reconnect(c, place.ino);
}

/* ---- cycles ------------------------------------------------------------------------------------------------------------ */

/* Its first name, by the reverse index. */
static int name_row(void *arg, const void *record)
{
	struct lk_dirent *d = arg;
	const struct lk_dirent *found = record;
	d->dir = found->dir;
	d->hash = found->hash;
	d->ord = found->ord;
	return 1;
}

static int cut_out(struct lk_check *c, int64_t ino)
{
	struct lk_dirent d = {.ino = ino, .name = {"", 0}};
	struct lk_scan scan = {
		.table = &lk_tables[LK_T_DIRENT], .index = LK_DIRENT_BY_INO, .equal = 1, .from = &d, .limit = 1};
	struct lk_dirent found = {0};
	int r = lk_db_scan(c->db, &scan, name_row, &found);
	if (r == 0 && found.dir)
		r = lk_mend_erase(c, LK_T_DIRENT, &found);
	if (r)
		return r;
	struct lk_seen_inode *s = lk_seen_find(c, ino);
	struct lk_seen_inode *parent = s->parent == LK_NO_PARENT ? NULL : lk_seen_at(c, s->parent);
	if (parent && parent->children)
		parent->children--;
	/* One that has others comes to have this one in /lost+found instead. */
	c->dir_names -= s->names > 1;
	s->names--;
	s->parent = LK_NO_PARENT;
	return lk_reconnect(c, ino);
}

/* Marks the way from a directory upwards. 1: it ends in a circle, at *at_out. */
static bool walk(struct lk_check *c, uint32_t from, uint32_t *at_out)
{
	uint32_t at = from;
	bool circle = false;
	while (at != LK_NO_PARENT) {
		struct lk_seen_inode *s = lk_seen_at(c, at);
		if (s->flags & LK_SEEN_WALKED || s->ino == (int64_t)LINKFS_ROOT_INO)
			break;
		if (s->flags & LK_SEEN_WALKING) {
			circle = true;
			*at_out = at;
			break;
		}
		s->flags |= LK_SEEN_WALKING;
		at = s->parent;
	}
	for (at = from; at != LK_NO_PARENT && lk_seen_at(c, at)->flags & LK_SEEN_WALKING;
	     at = lk_seen_at(c, at)->parent) {
		lk_seen_at(c, at)->flags &= (uint16_t)~LK_SEEN_WALKING;
		lk_seen_at(c, at)->flags |= LK_SEEN_WALKED;
	}
	return circle;
}

static int check_cycles(struct lk_check *c)
{
	int r = 0;
	/* Reconnecting may add one inode, with the largest number: positions stay. */
	for (uint32_t i = 0; r >= 0 && i < lk_seen_count(c); i++) {
		uint32_t at = 0;
		if (!is_dir(lk_seen_at(c, i)) || !walk(c, i, &at))
			continue;
		int64_t ino = lk_seen_at(c, at)->ino;
		r = lk_found(c, LK_P_DIR_CYCLE, &(struct lk_place){LK_NOWHERE, .ino = ino});
		if (r > 0)
			r = cut_out(c, ino);
		if (r == 0)
			r = lk_mend_point(c);
	}
	return r < 0 ? r : 0;
}

/* ---- counts ------------------------------------------------------------------------------------------------------------ */

static int64_t links_of(const struct lk_seen_inode *s)
{
	if (!is_dir(s))
		return s->names;
	if (s->ino == (int64_t)LINKFS_ROOT_INO)
		return 2 + (int64_t)s->children;
	return s->names ? (int64_t)s->names + 1 + (int64_t)s->children : 0;
}

static int count(struct lk_check *c, struct lk_seen_inode *s)
{
	struct lk_place place = {LK_NOWHERE, .ino = s->ino, .have = s->nlink, .want = links_of(s)};
	int r = 0;
	/* What has no name and could not be given one was told. */
	if (!s->names && s->ino != (int64_t)LINKFS_ROOT_INO && s->nlink)
		return 0;
	if (place.have != place.want && place.want <= (int64_t)LINKFS_LINK_MAX) {
		struct lk_inode row = {.ino = s->ino};
		r = lk_found(c, LK_P_INODE_NLINK, &place);
		if (r > 0)
			r = lk_get(c, LK_T_INODE, &row, &row, NULL);
		else
			return r;
		row.nlink = place.want;
		s->nlink = (uint32_t)place.want;
		if (r == 0)
			r = lk_mend_put(c, LK_T_INODE, &row);
	}
	if (r == 0 && s->names && (s->flags & LK_SEEN_TMPFILE)) {
		r = lk_found(c, LK_P_INODE_TMPFILE, &place);
		if (r > 0)
			r = lk_mark_erase(c, s->ino, LK_INODE_TMPFILE);
	}
	return r;
}

int lk_pass_tree(struct lk_check *c)
{
	if (lk_is_broken(c, LK_T_INODE) || lk_is_broken(c, LK_T_DIRENT) || lk_is_broken(c, LK_T_ORPHAN) ||
	    !c->have_secret)
		return 0;
	int r = 0;
	size_t n = lk_seen_count(c);
	for (size_t i = 0; r == 0 && i < n; i++) {
		r = no_name(c, i);
		if (r == 0)
			r = lk_mend_point(c);
	}
	if (r == 0)
		r = lk_graph_check(c, false);
	if (r == 0)
		r = check_cycles(c);
	for (size_t i = 0; r == 0 && i < lk_seen_count(c); i++) {
		r = count(c, lk_seen_at(c, i));
		if (r == 0)
			r = lk_mend_point(c);
	}
	return r;
}
