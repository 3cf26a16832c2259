/*
 * pass_index.c - the index of names against the directories, both ways, where the engine said that they differ.
 * Layer: check.
 *
 * The index is a second copy of every name. What it alone has comes back into its directory when its hash is right, its inode and
 * its directory exist and its place is free; then the index is made anew. Where both say something of one place, the entry stays
 * unless its own hash is wrong and the index's is right.
 */
#include "check_impl.h"

#include <string.h>

/* Names of the index for places that hold another entry: put there after the index is whole, for that takes an erase. */
struct conflicts {
	struct lk_buf rows, names;
};

static bool hash_right(const struct lk_check *c, const struct lk_dirent *d)
{
	return lk_name_valid(d->name.p, d->name.len) && lk_name_hash(c->secret, d->name.p, d->name.len) == d->hash;
}

static bool same_name(const struct lk_dirent *a, const struct lk_dirent *b)
{
	return a->ino == b->ino && a->name.len == b->name.len && memcmp(a->name.p, b->name.p, a->name.len) == 0;
}

/* Whether an index row may become an entry. */
static bool worth(struct lk_check *c, const struct lk_dirent *d)
{
	const struct lk_seen_inode *dir = lk_seen_find(c, d->dir), *inode = lk_seen_find(c, d->ino);
	return lk_dirent_valid(d) && hash_right(c, d) && inode && dir && dir->type == S_IFDIR &&
	       d->ino != (int64_t)LINKFS_ROOT_INO;
}

static int bring_back(struct lk_check *c, const struct lk_dirent *d)
{
	struct lk_dirent row = *d;
	row.type = lk_seen_find(c, d->ino)->type >> 12;
	row.born = c->epoch;
	int r = lk_mend_insert(c, LK_T_DIRENT, &row);
	return r ? r : lk_mend_point(c);
}

static int keep_conflict(struct conflicts *k, const struct lk_dirent *d)
{
	struct lk_dirent row = *d;
	row.name.p = (const void *)(uintptr_t)k->names.len;
	int r = lk_buf_append(&k->names, d->name.p, d->name.len);
	return r ? r : lk_buf_append(&k->rows, &row, sizeof(row));
}

/* One row of the index against the entry at its place. */
static int judge_index_row(struct lk_check *c, const struct lk_dirent *d, struct lk_buf *bytes, struct conflicts *k)
{
	struct lk_dirent entry;
	bytes->len = 0;
	int r = lk_get(c, LK_T_DIRENT, d, &entry, bytes);
	if (r == 0 && same_name(&entry, d))
		return 0;
	if (r && r != LINKFS_ENOENT)
		return r;
	struct lk_place place = {LK_NOWHERE, .ino = d->ino, .dir = d->dir, .name = d->name};
	bool good = worth(c, d);
	if (r == LINKFS_ENOENT) {
		/* What is no name any more is only the index's error, which LK_P_INDEX told. */
		if (!good)
			return 0;
		r = lk_found(c, LK_P_NAME_LOST, &place);
		return r > 0 ? bring_back(c, d) : r;
	}
	r = lk_found(c, LK_P_NAME_DIFFERS, &place);
	return r > 0 && good && !hash_right(c, &entry) ? keep_conflict(k, d) : LK_MIN(r, 0);
}

static int from_index(struct lk_check *c, struct conflicts *k)
{
	struct lk_rows rows;
	struct lk_buf bytes = {0};
	const void *record;
	int r;
	lk_rows_init(&rows, c->db, LK_T_DIRENT, LK_DIRENT_BY_INO);
	while ((r = lk_rows_peek(&rows, &record)) == 0 && record) {
		r = judge_index_row(c, record, &bytes, k);
		if (r)
			break;
		lk_rows_next(&rows);
	}
	c->sum->records += rows.seen;
	lk_rows_done(&rows);
	lk_buf_done(&bytes);
	/* An index whose tree is broken is read as far as it goes: what is there is as good as ever. One that cannot be read now and could
	 * when the engine looked at it (pass_engine.c) is another matter: it is not made anew, for it may be all that has a name. */
	if (r == LINKFS_ECORRUPT && !c->failed)
		return 0;
	return r < 0 ? lk_unreadable(c, LK_T_DIRENT, r) : r;
}

static int found_row(void *arg, const void *record)
{
	(void)record;
	*(bool *)arg = true;
	return 1;
}

/* Entries that the index lacks: told; making the index anew brings all of them in. */
static int from_table(struct lk_check *c)
{
	struct lk_rows rows;
	const void *record;
	int r;
	lk_rows_init(&rows, c->db, LK_T_DIRENT, LK_BY_KEY);
	while ((r = lk_rows_peek(&rows, &record)) == 0 && record) {
		const struct lk_dirent *d = record;
		struct lk_scan scan = {
			.table = rows.table, .index = LK_DIRENT_BY_INO, .equal = 6, .from = d, .limit = 1};
		bool there = false;
		r = lk_db_scan(c->db, &scan, found_row, &there);
		if (r == LINKFS_ECORRUPT)
			r = 0;
		if (r == 0 && !there) {
			struct lk_place place = {LK_NOWHERE, .ino = d->ino, .dir = d->dir, .name = d->name};
			r = lk_found(c, LK_P_NAME_UNINDEXED, &place);
		}
		/* Told is enough: the index is made anew as a whole. */
		if (r < 0)
			break;
		lk_rows_next(&rows);
	}
	lk_rows_done(&rows);
	return r < 0 ? lk_unreadable(c, LK_T_DIRENT, r) : 0;
}

/* With the new index in one transaction: the old one was all that had these names. */
static int put_conflicts(struct lk_check *c, void *arg)
{
	const struct conflicts *k = arg;
	const struct lk_dirent *rows = (const void *)k->rows.p;
	int r = 0;
	for (size_t i = 0; r == 0 && i < k->rows.len / sizeof(*rows); i++) {
		struct lk_dirent row = rows[i];
		row.name.p = k->names.p + (uintptr_t)row.name.p;
		row.type = lk_seen_find(c, row.ino)->type >> 12;
		row.born = c->epoch;
		r = lk_mend_put(c, LK_T_DIRENT, &row);
	}
	return r;
}

int lk_pass_index(struct lk_check *c)
{
	struct conflicts k = {0};
	if (!(c->stale >> LK_T_DIRENT & 1) || !c->have_secret || lk_is_broken(c, LK_T_INODE))
		return 0;
	int r = from_table(c);
	if (r == 0)
		r = from_index(c, &k);
	/* Entries that came back stand before the index is made anew: it is their second copy until then. */
	if (r == 0 && c->repair)
		r = lk_index_rebuild(c, LK_T_DIRENT, put_conflicts, &k);
	if (r == 0)
		r = lk_mend_end(c);
	lk_buf_done(&k.rows);
	lk_buf_done(&k.names);
	return r;
}
