/*
 * pass_links.c - binds: each stands at a directory entry and shows an inode that is there.
 * Layer: check.
 */
#include "check_impl.h"

/* The entry that the bind stands at. */
static int has_entry(struct lk_check *c, const struct lk_bind *b, bool *out)
{
	struct lk_dirent key = {.dir = b->dir, .hash = b->hash, .ord = b->ord};
	int r = lk_get(c, LK_T_DIRENT, &key, &key, NULL);
	*out = r == 0;
	return r == LINKFS_ENOENT ? 0 : r;
}

static int judge(struct lk_check *c, const struct lk_bind *b)
{
	struct lk_place place = {LK_NOWHERE, .ino = b->source, .dir = b->dir};
	enum lk_problem_id id = LK_P_COUNT;
	bool entry = true;
	int r = 0;
	if (b->dir < 1 || b->dir > LK_INO_MAX || b->source < 1 || b->source > LK_INO_MAX || b->ord < 0 ||
	    b->ord > 255 || b->hash < 16 || b->hash >= (INT64_C(1) << 55) - 1 || b->born < 1 || b->born > c->epoch)
		id = LK_P_BIND_FIELD;
	else
		r = has_entry(c, b, &entry);
	if (r)
		return lk_unreadable(c, LK_T_DIRENT, r);
	if (!entry)
		id = LK_P_BIND_NO_ENTRY;
	else if (id == LK_P_COUNT && !lk_seen_find(c, b->source))
		id = LK_P_BIND_NO_SOURCE;
	if (id == LK_P_COUNT)
		return 0;
	r = lk_found(c, id, &place);
	if (r > 0)
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
	lk_rows_init(&rows, c->db, LK_T_BIND, LK_BY_KEY);
	while ((r = lk_rows_peek(&rows, &record)) == 0 && record) {
		r = judge(c, record);
		if (r)
			break;
		lk_rows_next(&rows);
	}
	c->sum->records += rows.seen;
	lk_rows_done(&rows);
	return r ? lk_unreadable(c, LK_T_BIND, r) : 0;
}
