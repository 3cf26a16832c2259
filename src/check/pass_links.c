/*
 * pass_links.c - binds: each stands at a directory entry, shows an inode that is there and as much of a directory as what it covers, and
 * makes no directory lie in itself.
 * Layer: check.
 */
#include "check_impl.h"

/* The entry that the bind stands at. */
static int has_entry(struct lk_check *c, const struct lk_bind *b, bool *out, bool *is_dir_out)
{
	struct lk_dirent key = {.dir = b->dir, .hash = b->hash, .ord = b->ord};
	int r = lk_get(c, LK_T_DIRENT, &key, &key, NULL);
	const struct lk_seen_inode *covered = r == 0 ? lk_seen_find(c, key.ino) : NULL;
	*out = r == 0;
	*is_dir_out = covered && covered->type == S_IFDIR;
	return r == LINKFS_ENOENT ? 0 : r;
}

static int judge(struct lk_check *c, const struct lk_bind *b)
{
	struct lk_place place = {LK_NOWHERE, .ino = b->source, .dir = b->dir};
	enum lk_problem_id id = LK_P_COUNT;
	const struct lk_seen_inode *source = lk_seen_find(c, b->source);
	bool entry = true, is_dir = false, source_is = source && source->type == S_IFDIR;
	int r = 0;
	if (b->dir < 1 || b->dir > LK_INO_MAX || b->source < 1 || b->source > LK_INO_MAX || b->ord < 0 ||
	    b->ord > 255 || b->hash < 16 || b->hash >= (INT64_C(1) << 55) - 1 || b->born < 1 || b->born > c->epoch)
		id = LK_P_BIND_FIELD;
	else
		r = has_entry(c, b, &entry, &is_dir);
	if (r)
		return lk_unreadable(c, LK_T_DIRENT, r);
	if (!entry)
		id = LK_P_BIND_NO_ENTRY;
	else if (id == LK_P_COUNT && (!source || source->flags & LK_SEEN_KEPT || source->nlink == 0))
		id = LK_P_BIND_NO_SOURCE;
	else if (id == LK_P_COUNT && is_dir != source_is)
		id = LK_P_BIND_TYPE;
	if (id == LK_P_COUNT)
		return source_is ? lk_way_add(c, b->dir, b->source, b) : 0;
	r = lk_found(c, id, &place);
	if (r <= 0)
		return r;
	c->binds--;
	r = lk_mend_erase(c, LK_T_BIND, b);
	return r ? r : lk_mend_point(c);
}

int lk_pass_links(struct lk_check *c)
{
	struct lk_rows rows;
	const void *record;
	int r;
	if (lk_is_broken(c, LK_T_INODE) || lk_is_broken(c, LK_T_DIRENT))
		return 0;
	c->binds = 0;
	lk_rows_init(&rows, c->db, LK_T_BIND, LK_BY_KEY);
	while ((r = lk_rows_peek(&rows, &record)) == 0 && record) {
		c->binds++;
		r = judge(c, record);
		if (r)
			break;
		lk_rows_next(&rows);
	}
	c->sum->records += rows.seen;
	lk_rows_done(&rows);
	return r ? lk_unreadable(c, LK_T_BIND, r) : lk_graph_check(c, true);
}
