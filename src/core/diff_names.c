/*
 * diff_names.c - the names of one inode at two views, and what became of each: it stayed, came, went, or is another (diff.h).
 * Layer: core. An inode may have very many names, so they are looked at in steps.
 */
#include "diff_impl.h"

#include "binds.h"
#include "dirents.h"
#include "txn_impl.h"

#include <stdlib.h>
#include <string.h>

#define NAME_ROWS 32u /* that are read at once of an inode with very many */
#define BIND_ROWS 6u  /* that looking at a bind's place costs */

int lk_diff_spell(struct lk_diff *d, const struct lk_dirent *entry, struct lk_spell *out)
{
	*out = (struct lk_spell){.dir = entry->dir,
				 .hash = entry->hash,
				 .ord = entry->ord,
				 .name = d->names.len,
				 .len = (uint32_t)entry->name.len};
	return lk_buf_append(&d->names, entry->name.p, entry->name.len);
}

/* At an entry where a bind stands at a view its inode is not to be seen. */
static int is_covered(struct lk_diff *d, struct lk_op *op, const struct lk_dirent *at, bool *out)
{
	int rc = 0;

	*out = false;
	for (int side = 0; rc == 0 && d->any_binds && !d->covered && !*out && side < SIDES; side++) {
		struct lk_slot slot = {.dir = (uint64_t)at->dir, .hash = at->hash, .ord = at->ord};

		lk_diff_see(d, op, side);
		rc = lk_bind_find(op, &slot);
		*out = slot.bound != 0;
	}
	return rc;
}

static int add_change(struct lk_diff *d, uint64_t ino, enum linkfs_diff_kind kind, uint32_t what,
		      const struct lk_spell *older, const struct lk_spell *newer)
{
	struct lk_change c = {.kind = kind, .what = what};

	/* What else became of a file is told with the names that it keeps. */
	if (kind == LINKFS_DIFF_MODIFIED || kind == LINKFS_DIFF_RENAMED)
		c.undecided = d->now.undecided;
	for (int side = 0; side < SIDES; side++)
		c.ino[side] = d->now.there[side] ? ino : 0;
	if (older)
		c.at[OLDER] = *older;
	if (newer)
		c.at[NEWER] = *newer;
	return LK_LIST_ADD(&d->changes, c);
}

static bool any_difference(const struct lk_diff *d)
{
	return d->now.what || d->now.undecided;
}

/* A place that is the inode's name at one view, or at both. */
static int look_at(struct lk_diff *d, struct lk_op *op, uint64_t ino, const struct lk_life *lives, uint32_t count)
{
	const struct lk_dirent *entry[SIDES] = {NULL, NULL};
	struct lk_spell spell[SIDES] = {{0}, {0}};
	bool covered = false;
	int rc = 0;

	for (int side = 0; side < SIDES; side++)
		for (uint32_t i = 0; i < count && d->now.there[side]; i++)
			if (lives[i].seen >> side & 1)
				entry[side] = &lives[i].row;
	if (entry[OLDER] && entry[NEWER] && lk_bytes_compare(&entry[OLDER]->name, &entry[NEWER]->name) == 0) {
		if (!any_difference(d))
			return 0;
		rc = is_covered(d, op, entry[NEWER], &covered);
		if (rc || covered)
			return rc;
		for (int side = 0; rc == 0 && side < SIDES; side++)
			rc = lk_diff_spell(d, entry[side], &spell[side]);
		return rc ? rc : add_change(d, ino, LINKFS_DIFF_MODIFIED, d->now.what, &spell[OLDER], &spell[NEWER]);
	}
	for (int side = 0; rc == 0 && side < SIDES; side++) {
		if (!entry[side])
			continue;
		rc = lk_diff_spell(d, entry[side], &spell[side]);
		if (rc == 0)
			rc = LK_LIST_ADD(&d->now.names[side], spell[side]);
	}
	return rc;
}

/* ---- pairs ------------------------------------------------------------------------------------------------------ */

static int by_hash(const void *a, const void *b)
{
	const struct lk_spell *x = a, *y = b;

	if (x->hash != y->hash)
		return x->hash < y->hash ? -1 : 1;
	return lk_diff_by_key(a, b);
}

static int64_t dir_of(const struct lk_spell *s)
{
	return s->dir;
}

static int64_t hash_of(const struct lk_spell *s)
{
	return s->hash;
}

static int64_t nothing_of(const struct lk_spell *s)
{
	(void)s;
	return 0;
}

static void drop_taken(struct lk_diff *d, int side)
{
	size_t kept = 0;

	for (size_t i = 0; i < d->now.names[side].count; i++)
		if (d->now.names[side].p[i].len)
			d->now.names[side].p[kept++] = d->now.names[side].p[i];
	d->now.names[side].count = kept;
}

/* Names that went and names that came and have key in common are taken for one that was renamed. Both are in the order of key. */
static int pair(struct lk_diff *d, uint64_t ino, int64_t (*key)(const struct lk_spell *))
{
	size_t i = 0, j = 0;
	int rc = 0;

	while (rc == 0 && i < d->now.names[OLDER].count && j < d->now.names[NEWER].count) {
		struct lk_spell *older = &d->now.names[OLDER].p[i], *newer = &d->now.names[NEWER].p[j];

		if (key(older) < key(newer)) {
			i++;
		} else if (key(older) > key(newer)) {
			j++;
		} else {
			rc = add_change(d, ino, LINKFS_DIFF_RENAMED, d->now.what, older, newer);
			older->len = newer->len = 0;
			i++;
			j++;
		}
	}
	drop_taken(d, OLDER);
	drop_taken(d, NEWER);
	return rc;
}

/* A rename in a directory is likelier than one that moves and keeps the name, and that likelier than any other. */
static int pair_names(struct lk_diff *d, uint64_t ino)
{
	int (*const orders[])(const void *, const void *) = {lk_diff_by_key, by_hash, lk_diff_by_key};
	int64_t (*const keys[])(const struct lk_spell *) = {dir_of, hash_of, nothing_of};
	int rc = 0;

	for (size_t k = 0; rc == 0 && k < LK_ARRAY_LEN(keys); k++) {
		if (d->now.names[OLDER].count == 0 || d->now.names[NEWER].count == 0)
			break;
		for (int side = 0; side < SIDES; side++)
			qsort(d->now.names[side].p, d->now.names[side].count, sizeof(struct lk_spell), orders[k]);
		rc = pair(d, ino, keys[k]);
	}
	return rc;
}

/* What has no other of its kind came or went. */
static int tell_rest(struct lk_diff *d, uint64_t ino)
{
	uint32_t what = d->now.there[OLDER] && d->now.there[NEWER] ? LINKFS_DIFF_LINKS : 0;
	int rc = 0;

	for (int side = 0; side < SIDES; side++) {
		for (size_t i = 0; rc == 0 && i < d->now.names[side].count; i++) {
			const struct lk_spell *s = &d->now.names[side].p[i];

			rc = add_change(d, ino, lk_diff_alone(d, side), what, side == OLDER ? s : NULL,
					side == NEWER ? s : NULL);
		}
		d->now.names[side].count = 0;
	}
	return rc;
}

/* ---- steps ------------------------------------------------------------------------------------------------------ */

/* The names of the inode from where the step before stopped. */
static int read_names(struct lk_diff *d, struct lk_op *op, uint64_t ino, struct lk_lives *out)
{
	int64_t number = (int64_t)ino;
	struct lk_lives_ask ask = {.op = op,
				   .inos = &number,
				   .count = 1,
				   .views = {d->side[OLDER].epoch, d->side[NEWER].epoch},
				   .view_count = SIDES,
				   .from = d->now.from,
				   .limit = NAME_ROWS};
	int rc = lk_lives_read(&ask, out);

	lk_diff_spend(d, out->rows);
	return rc;
}

int lk_diff_names(struct lk_diff *d, struct lk_op *op, uint64_t ino, const struct lk_lives *names, bool *done_out)
{
	struct lk_lives read;
	int rc = 0;

	if (ino == LINKFS_ROOT_INO) { /* which no bind shows */
		*done_out = true;
		return any_difference(d) ? add_change(d, ino, LINKFS_DIFF_MODIFIED, d->now.what, NULL, NULL) : 0;
	}
	if (!names) {
		rc = read_names(d, op, ino, &read);
		names = &read;
	}
	for (uint32_t i = 0, n; rc == 0 && i < names->count; i += n) {
		n = i + 1 < names->count && lk_life_same_place(&names->p[i], &names->p[i + 1]) ? 2 : 1;
		rc = look_at(d, op, ino, &names->p[i], n);
	}
	if (rc)
		return rc;
	if (!names->whole) {
		d->now.from = names->next;
		return 0;
	}
	*done_out = true;
	if (d->now.there[OLDER] && d->now.there[NEWER])
		rc = pair_names(d, ino);
	if (rc == 0 && any_difference(d))
		rc = lk_diff_tell_binds(d, op, ino);
	return rc ? rc : tell_rest(d, ino);
}

/* ---- binds ------------------------------------------------------------------------------------------------------ */

/* What is shown at an entry: a bind's source, or what it names. */
static int shown_at(struct lk_diff *d, struct lk_op *op, int side, const struct lk_spell *at, struct lk_change *c,
		    uint64_t *bound_out)
{
	struct lk_dirent entry = {.dir = at->dir, .hash = at->hash, .ord = at->ord};
	struct lk_slot slot = {.dir = (uint64_t)at->dir, .hash = at->hash, .ord = at->ord};
	int rc;

	*bound_out = 0;
	lk_diff_see(d, op, side);
	rc = lk_txn_get(op, LK_T_DIRENT, &entry, &entry);
	if (rc)
		return rc == LINKFS_ENOENT ? 0 : rc;
	rc = lk_dirent_at(op, (uint64_t)at->dir, at->hash, at->ord, (uint64_t)entry.ino, &entry);
	if (rc == 0)
		rc = lk_bind_find(op, &slot);
	if (rc == 0)
		rc = lk_diff_spell(d, &entry, &c->at[side]);
	*bound_out = slot.bound;
	c->ino[side] = slot.bound ? slot.bound : (uint64_t)entry.ino;
	return rc;
}

int lk_diff_tell_binds(struct lk_diff *d, struct lk_op *op, uint64_t ino)
{
	size_t i = lk_first_number(d->shown.p, d->shown.count, sizeof(*d->shown.p), ino);

	for (; i < d->shown.count && d->shown.p[i].source == ino; i++) {
		struct lk_change c = {.kind = LINKFS_DIFF_MODIFIED,
				      .undecided = d->now.undecided,
				      .what = d->now.what,
				      .shown = true};
		uint64_t bound[SIDES];
		int rc = 0;

		for (int side = 0; rc == 0 && side < SIDES; side++)
			rc = shown_at(d, op, side, &d->shown.p[i].at, &c, &bound[side]);
		lk_diff_spend(d, BIND_ROWS);
		if (rc == 0 && bound[OLDER] == ino && bound[NEWER] == ino)
			rc = LK_LIST_ADD(&d->changes, c);
		if (rc)
			return rc;
	}
	return 0;
}

int lk_diff_compare_binds(struct lk_diff *d, struct lk_op *op, bool *done_out)
{
	struct lk_change c = {.kind = LINKFS_DIFF_MODIFIED, .what = LINKFS_DIFF_BIND, .binds = true};
	uint64_t bound[SIDES];
	int rc = 0;

	if (d->next == d->binds.count) {
		*done_out = true;
		return 0;
	}
	for (int side = 0; rc == 0 && side < SIDES; side++)
		rc = shown_at(d, op, side, &d->binds.p[d->next], &c, &bound[side]);
	lk_diff_spend(d, BIND_ROWS);
	d->next++;
	if (rc || bound[OLDER] == bound[NEWER])
		return rc;
	if (c.at[OLDER].len == 0 || c.at[NEWER].len == 0)
		c.kind = lk_diff_alone(d, c.at[OLDER].len ? OLDER : NEWER);
	return LK_LIST_ADD(&d->changes, c);
}
