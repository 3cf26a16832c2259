/*
 * routes.c - what leads to a directory: every name and bind, upwards, and the paths they make (K5).
 * Layer: core. With directory links and binds the directories are no tree but a graph without cycles. An entry that a bind stands at has
 * two edges: to what it shows, and to what it covers, which comes back one day; no cycle may be made with either.
 */
#include "places_impl.h"

#include "binds.h"
#include "set.h"

#include <stdlib.h>

struct gather {
	struct lk_op *op;
	uint64_t ino;
	bool bind;
	struct lk_way *ways;
};

static int add_way(struct gather *g, int64_t dir, int64_t hash, int64_t ord)
{
	struct lk_way *way = lk_op_alloc(g->op, sizeof(*way));

	if (!way)
		return LINKFS_ENOMEM;
	*way = (struct lk_way){.slot = {.dir = (uint64_t)dir, .hash = hash, .ord = ord, .type = S_IFDIR}};
	if (g->bind)
		way->slot.bound = g->ino;
	else
		way->slot.ino = g->ino;
	way->next = g->ways;
	g->ways = way;
	return 0;
}

static int name_row(void *arg, const void *record)
{
	const struct lk_dirent *d = record;

	return add_way(arg, d->dir, d->hash, d->ord);
}

static int bind_row(void *arg, const void *record)
{
	const struct lk_bind *b = record;

	return add_way(arg, b->dir, b->hash, b->ord);
}

/* Names that a bind covers lead nowhere. */
static int drop_covered(struct lk_op *op, struct lk_way **ways)
{
	while (*ways) {
		struct lk_way *way = *ways;
		int rc = way->slot.bound ? 0 : lk_bind_find(op, &way->slot);

		if (rc)
			return rc;
		if (way->slot.ino && way->slot.bound)
			*ways = way->next;
		else
			ways = &way->next;
	}
	return 0;
}

int lk_ways_to(struct lk_op *op, uint64_t ino, bool covered, struct lk_way **out)
{
	struct gather g = {.op = op, .ino = ino};
	int rc = lk_dirent_names(op, ino, 0, name_row, &g);

	if (rc == 0 && lk_binds_any(op)) {
		if (!covered)
			rc = drop_covered(op, &g.ways);
		g.bind = true;
		if (rc == 0)
			rc = lk_bind_scan(op, ino, NULL, 0, bind_row, &g);
	}
	if (rc == 0)
		*out = g.ways;
	return rc;
}

/* ---- above ------------------------------------------------------------------------------------------------------ */

/* Directories that are still to be climbed from. */
struct climb {
	struct lk_set seen;
	uint64_t *left;
	size_t count, cap;
};

static int climb_add(struct climb *c, uint64_t ino)
{
	bool added = false;
	int rc = lk_set_add(&c->seen, ino, &added);

	if (rc || !added)
		return rc;
	if (c->count == c->cap) {
		size_t cap = c->cap ? c->cap * 2 : 64;
		uint64_t *p = reallocarray(c->left, cap, sizeof(*p));

		if (!p)
			return LINKFS_ENOMEM;
		c->left = p;
		c->cap = cap;
	}
	c->left[c->count++] = ino;
	return 0;
}

int lk_routes_above(struct lk_op *op, uint64_t node, uint64_t from, bool *out)
{
	struct climb c = {0};
	bool found = false;
	int rc = climb_add(&c, from);

	while (rc == 0 && c.count && !found) {
		uint64_t at = c.left[--c.count];
		struct lk_way *ways = NULL;

		found = at == node;
		if (!found && at != LINKFS_ROOT_INO)
			rc = lk_ways_to(op, at, true, &ways);
		for (; rc == 0 && ways; ways = ways->next)
			rc = climb_add(&c, ways->slot.dir);
	}
	lk_set_done(&c.seen);
	free(c.left);
	if (rc == 0)
		*out = found;
	return rc;
}

/* ---- routes ----------------------------------------------------------------------------------------------------- */

/* The ways that are being gone: from the directory asked about up to the root. Down again they make places. */
struct level {
	struct lk_way *way; /* the one being gone; NULL: this level is done */
};

struct routes {
	struct lk_op *op;
	struct level *levels;
	size_t depth, cap;
	uint32_t found;
};

static int routes_push(struct routes *r, uint64_t ino)
{
	struct lk_way *ways = NULL;
	int rc;

	if (r->depth >= LINKFS_PATH_MAX / 2)
		return LINKFS_ECORRUPT; /* no path is as deep: a cycle */
	if (r->depth == r->cap) {
		size_t cap = r->cap ? r->cap * 2 : 32;
		struct level *p = reallocarray(r->levels, cap, sizeof(*p));

		if (!p)
			return LINKFS_ENOMEM;
		r->levels = p;
		r->cap = cap;
	}
	rc = lk_ways_to(r->op, ino, false, &ways);
	r->levels[r->depth++].way = ways;
	return rc;
}

/* The way stands from the root down: its place. */
static int routes_tell(struct routes *r, lk_route_fn *fn, void *arg)
{
	uint64_t id = r->op->bits | LINKFS_ROOT_INO;
	int rc = 0;

	if (r->found++ == LK_ROUTES_MAX)
		return LINKFS_E2BIG;
	for (size_t i = r->depth; rc == 0 && i--;)
		rc = lk_places_enter(r->op, id, &r->levels[i].way->slot, &id);
	return rc ? rc : fn(arg, id);
}

int lk_places_routes(struct lk_op *op, uint64_t ino, lk_route_fn *fn, void *arg)
{
	struct routes r = {.op = op};
	int rc;

	if (ino == LINKFS_ROOT_INO || !lk_places_any(op))
		return fn(arg, op->bits | ino);
	rc = routes_push(&r, ino);
	while (rc == 0 && r.depth) {
		struct lk_way *way = r.levels[r.depth - 1].way;

		if (!way) {
			r.depth--;
			if (r.depth)
				r.levels[r.depth - 1].way = r.levels[r.depth - 1].way->next;
		} else if (way->slot.dir == LINKFS_ROOT_INO) {
			rc = routes_tell(&r, fn, arg);
			r.levels[r.depth - 1].way = way->next;
		} else {
			rc = routes_push(&r, way->slot.dir);
		}
	}
	free(r.levels);
	return rc;
}

/* ---- several ---------------------------------------------------------------------------------------------------- */

static int find_several(struct lk_op *op, uint64_t ino, bool *out)
{
	bool several = false;
	int rc = 0;

	for (unsigned depth = 0; rc == 0 && !several && ino != LINKFS_ROOT_INO; depth++) {
		struct lk_way *ways = NULL;

		if (depth == LINKFS_PATH_MAX / 2)
			return LINKFS_ECORRUPT;
		/* What a bind covers comes back: names in it may be known then. */
		rc = lk_ways_to(op, ino, true, &ways);
		several = ways && ways->next;
		if (rc == 0 && !ways)
			break;
		ino = ways ? ways->slot.dir : ino;
	}
	*out = several;
	return rc;
}

int lk_places_several(struct lk_op *op, uint64_t ino, bool *out)
{
	struct lk_places *places = op->fs->places;
	uint32_t i = lk_spot_chain(ino);
	bool several = false;
	int rc = 0;

	if (!lk_dir_links_any(op) && !lk_binds_any(op)) {
		*out = false;
		return 0;
	}
	if (places->several[i].ino != ino || places->several[i].generation != places->generation) {
		rc = find_several(op, ino, &several);
		if (rc)
			return rc;
		places->several[i].ino = ino;
		places->several[i].generation = places->generation;
		places->several[i].several = several;
	}
	*out = places->several[i].several;
	return 0;
}
