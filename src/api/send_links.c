/*
 * send_links.c - tracked links that a difference has to tell of though no row of theirs differs (send.h, S2): what they follow went or came back, or
 * that is gone and their directory may go by other names first, here or there, than it did.
 * Layer: api. The rows of table component are candidates, and which of them there are is a matter of the day: what is added is told by
 * the two snapshots alone (S1), in the order of inode numbers.
 */
#include "call.h"

#include <string.h>

#include "send.h"

#include "binds.h"
#include "set.h"
#include "track.h"

#include <stdlib.h>
#include <sys/stat.h>

#define SCAN_ROWS 256u

struct links {
	struct lk_sending *s;
	struct lk_set known; /* items, and candidates */
	uint64_t *inos;      /* candidates that are looked at, then those to add */
	size_t count, cap, kept;
	struct lk_component last;
	uint32_t rows;
};

static int candidate_row(void *arg, const void *record)
{
	struct links *l = arg;

	l->last = *(const struct lk_component *)record;
	l->rows++;
	if (l->count == l->cap) {
		size_t cap = l->cap ? l->cap * 2 : 64;
		uint64_t *more = reallocarray(l->inos, cap, sizeof(*more));

		if (!more)
			return LINKFS_ENOMEM;
		l->inos = more;
		l->cap = cap;
	}
	l->inos[l->count++] = (uint64_t)l->last.ino;
	return 0;
}

/* What the link follows at that side; 0: it is not there, or no tracked one. *gone_out: that has no name there. */
static int read_link(struct lk_sending *s, int side, uint64_t ino, uint64_t *tracks_out, bool *gone_out)
{
	struct lk_inode link, target;
	struct lk_target row;
	struct lk_op op;
	int rc = lk_send_begin(s, side, &op);

	*tracks_out = 0;
	if (rc)
		return rc;
	rc = lk_inode_get_any(&op, ino, &link);
	if (rc == 0 && link.nlink > 0 && lk_is_lnk(&link)) {
		rc = lk_symlink_row(&op, &link, &row);
		if (rc == 0 && row.tracks) {
			*tracks_out = (uint64_t)row.tracks;
			rc = lk_inode_get_any(&op, (uint64_t)row.tracks, &target);
			*gone_out = rc == LINKFS_ESTALE || target.nlink == 0;
		}
	}
	return lk_op_end(&op, rc == LINKFS_ESTALE ? 0 : rc);
}

/* Those of the candidates from l->kept on that keep says stay, without those that are items. */
static int keep_some(struct links *l, int (*keep)(struct links *l, uint64_t link, uint64_t arg, bool *out),
		     uint64_t arg)
{
	int rc = 0;

	for (size_t i = l->kept; rc == 0 && i < l->count; i++) {
		uint64_t ino = l->inos[i];
		bool good = false;

		if (!lk_set_has(&l->known, ino))
			rc = keep(l, ino, arg, &good);
		if (rc == 0 && good)
			rc = lk_set_add(&l->known, ino, &good);
		if (rc == 0 && good)
			l->inos[l->kept++] = ino;
	}
	l->count = l->kept;
	return rc;
}

/* ---- what they follow ------------------------------------------------------------------------------------------- */

static int followed(struct links *l, uint64_t link, uint64_t target, bool *out)
{
	uint64_t tracks;
	bool gone;
	int rc = read_link(l->s, LK_SEND_BASE, link, &tracks, &gone);

	*out = tracks == target;
	return rc;
}

/* Links to what goes have the text then that they had last, whether or not that was written when it went here; links to what comes back follow
 * it again. */
static int find_followers(struct links *l)
{
	struct lk_sending *s = l->s;
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < s->count; i++) {
		const struct lk_send_item *item = &s->items[i];
		struct lk_component key = {.hash = LK_TRACKS_HASH(item->ino)};
		struct lk_scan scan = {
			.table = &lk_tables[LK_T_COMPONENT], .index = LK_BY_KEY, .equal = 1, .from = &key};
		struct lk_op op;

		if (item->there[LK_SEND_BASE] == item->there[LK_SEND_NOW] ||
		    item->ino >= (uint64_t)s->side[LK_SEND_BASE].next_ino)
			continue;
		rc = lk_send_begin(s, LK_SEND_BASE, &op);
		if (rc == 0)
			rc = lk_op_end(&op, lk_db_scan(s->fs->db, &scan, candidate_row, l));
		if (rc == 0)
			rc = keep_some(l, followed, item->ino);
	}
	return rc;
}

/* ---- what they told last ---------------------------------------------------------------------------------------- */

static int count_row(void *arg, const void *record)
{
	(void)record;
	++*(uint32_t *)arg;
	return 0;
}

struct first {
	uint64_t dir;
	uint32_t names;
};

static int name_row(void *arg, const void *record)
{
	struct first *f = arg;

	if (f->names++ == 0)
		f->dir = (uint64_t)((const struct lk_dirent *)record)->dir;
	return 0;
}

/* Whether more than one way leads to the link at that side. */
static int has_ways(struct lk_sending *s, int side, uint64_t ino, bool *out)
{
	uint32_t depth = 0, ways = 1;
	struct lk_op op;
	int rc = lk_send_begin(s, side, &op);

	if (rc)
		return rc;
	for (; rc == 0 && ways == 1 && ino != LINKFS_ROOT_INO && depth < LINKFS_SYMLINK_MAX; depth++) {
		struct first f = {0};

		ways = 0;
		rc = lk_dirent_names_past(&op, ino, 0, 0, 2, name_row, &f);
		if (rc == 0)
			rc = lk_bind_scan(&op, ino, NULL, 1, count_row, &ways);
		ways += f.names;
		ino = f.dir;
	}
	*out = ways > 1 || depth == LINKFS_SYMLINK_MAX;
	return lk_op_end(&op, rc);
}

static int dangles(struct links *l, uint64_t link, uint64_t arg, bool *out)
{
	uint64_t tracks;
	bool gone = false;
	int rc = read_link(l->s, LK_SEND_NOW, link, &tracks, &gone);

	(void)arg;
	for (int side = LK_SEND_NOW; rc == 0 && tracks && gone && !*out && side >= LK_SEND_BASE; side--)
		rc = has_ways(l->s, side, link, out);
	return rc;
}

/* Marks of tracked links come before the components of names. */
static int marked_row(void *arg, const void *record)
{
	return ((const struct lk_component *)record)->hash >= 0 ? 1 : candidate_row(arg, record);
}

static int find_dangling(struct links *l)
{
	int rc = 0;

	l->last = (struct lk_component){.hash = INT64_MIN};
	do {
		const struct lk_component from = l->last;
		struct lk_scan scan = {.table = &lk_tables[LK_T_COMPONENT],
				       .index = LK_BY_KEY,
				       .ranged = 3,
				       .exclusive = true,
				       .from = &from,
				       .limit = SCAN_ROWS};
		struct lk_op op;

		l->rows = 0;
		rc = lk_send_begin(l->s, LK_SEND_NOW, &op);
		if (rc == 0)
			rc = lk_op_end(&op, lk_db_scan(l->s->fs->db, &scan, marked_row, l));
		if (rc == 0)
			rc = keep_some(l, dangles, 0);
	} while (rc == 0 && l->rows == SCAN_ROWS);
	return rc;
}

/* Whether a directory may go by another name first: one that was there has got or lost one, or there are binds, which cover names. */
static int names_differ(struct lk_sending *s, bool *out)
{
	int rc = lk_send_any_bind(s, LK_SEND_BASE, out);

	if (rc == 0 && !*out)
		rc = lk_send_any_bind(s, LK_SEND_NOW, out);
	for (size_t i = 0; rc == 0 && !*out && i < s->count; i++) {
		const struct lk_send_item *item = &s->items[i];

		if (!S_ISDIR(item->type) || !item->there[LK_SEND_BASE] || !item->there[LK_SEND_NOW])
			continue;
		rc = lk_send_names(s, item);
		for (int side = 0; side < LK_SEND_SIDES; side++)
			for (size_t j = 0; rc == 0 && j < s->names[side].count; j++)
				*out |= !s->names[side].p[j].common;
	}
	return rc;
}

/* ---- all -------------------------------------------------------------------------------------------------------- */

int lk_send_find_links(struct lk_sending *s)
{
	struct links l = {.s = s};
	bool differ = false, added;
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < s->count; i++)
		rc = lk_set_add(&l.known, s->items[i].ino, &added);
	if (rc == 0)
		rc = find_followers(&l);
	if (rc == 0)
		rc = names_differ(s, &differ);
	if (rc == 0 && differ)
		rc = find_dangling(&l);
	if (l.kept)
		qsort(l.inos, l.kept, sizeof(l.inos[0]), lk_by_number);
	for (size_t i = 0; rc == 0 && i < l.kept; i++)
		rc = lk_send_add_item(s, l.inos[i]);
	free(l.inos);
	lk_set_done(&l.known);
	return rc;
}
