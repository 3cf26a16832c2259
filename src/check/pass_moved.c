/*
 * pass_moved.c - the journal of moves (D3): each row by itself. What it names may be gone.
 * Layer: check.
 */
#include "check_impl.h"

static const char *fault_of(const struct lk_check *c, const struct lk_moved *m)
{
	if (m->ino < 1 || m->ino > LK_INO_MAX || m->dir < 1 || m->dir > LK_INO_MAX)
		return "its inode or directory is out of range";
	if (!lk_name_valid(m->name.p, m->name.len))
		return "its name is none";
	if (c->have_secret && m->hash != lk_name_hash(c->secret, m->name.p, m->name.len))
		return "its hash is not its name's";
	return m->filled == 0 || m->filled == 1 ? NULL : "its mark is neither 0 nor 1";
}

static int judge(struct lk_check *c, const struct lk_moved *m, const char *fault)
{
	int r = lk_found(c, LK_P_MOVED_FIELD, &(struct lk_place){LK_NOWHERE, .what = fault});
	if (r > 0)
		r = lk_mend_erase(c, LK_T_MOVED, m);
	return r < 0 ? r : lk_mend_point(c);
}

int lk_pass_moved(struct lk_check *c)
{
	struct lk_rows rows;
	const void *record;
	int r;
	lk_rows_init(&rows, c->db, LK_T_MOVED, LK_BY_KEY);
	while ((r = lk_rows_peek(&rows, &record)) == 0 && record) {
		const char *fault = fault_of(c, record);
		r = fault ? judge(c, record, fault) : 0;
		if (r)
			break;
		lk_rows_next(&rows);
	}
	c->sum->records += rows.seen;
	lk_rows_done(&rows);
	return r ? lk_unreadable(c, LK_T_MOVED, r) : 0;
}
