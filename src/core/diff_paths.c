/*
 * diff_paths.c - where the changes are: their paths, as far as the caller may know them, their order, and changes at one place put together
 * (diff.h).
 * Layer: core. A name that went and one that came at the same place are a file that took another's place.
 */
#include "diff_impl.h"

#include "dirents.h"
#include "paths.h"
#include "places.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PATHS_MAX 256u /* to a directory; of more those are chosen from that are found first */
#define PATH_ROWS 4u   /* that a directory of a path costs, about */

/* ---- one place -------------------------------------------------------------------------------------------------- */

static const struct lk_spell *key_of(const struct lk_diff *d, const struct lk_change *c)
{
	return c->at[d->to].len ? &c->at[d->to] : &c->at[d->from];
}

/* The answer's order at one place: what was removed comes first, what only tells of a bind last. */
static int rank(const struct lk_change *c)
{
	if (c->binds)
		return 3;
	return c->kind == LINKFS_DIFF_REMOVED ? 0 : c->kind == LINKFS_DIFF_ADDED ? 1 : 2;
}

/* What was removed and what was added at a place. */
static void join_files(const struct lk_diff *d, struct lk_change *removed, struct lk_change *added)
{
	removed->kind = LINKFS_DIFF_MODIFIED;
	removed->what = LINKFS_DIFF_FILE;
	removed->ino[d->to] = added->ino[d->to];
	removed->at[d->to] = added->at[d->to];
	removed->path[d->to] = added->path[d->to];
	added->path[d->to] = NULL;
	added->gone = true;
}

/* A bind at a place where something else changed. */
static void join_bind(struct lk_change *other, struct lk_change *bind)
{
	other->what |= LINKFS_DIFF_BIND;
	for (int side = 0; side < SIDES; side++)
		if (bind->ino[side])
			other->ino[side] = bind->ino[side];
	other->undecided = LK_DECIDED;
	other->shown = true;
	bind->gone = true;
}

/* Changes of one place, in order. Where what is covered counts, a bind and what it stands at are told apart. */
static void join(const struct lk_diff *d, struct lk_change *c, size_t count)
{
	struct lk_change *last = NULL;

	for (size_t i = 0; i < count; i++) {
		if (last && last->kind == LINKFS_DIFF_REMOVED && c[i].kind == LINKFS_DIFF_ADDED && !c[i].binds) {
			join_files(d, last, &c[i]);
			continue;
		}
		if (last && c[i].binds && !d->covered) {
			join_bind(last, &c[i]);
			continue;
		}
		/* A bind alone where nothing is any more: the entry was renamed, and that is told. */
		c[i].gone = c[i].binds && c[i].kind == LINKFS_DIFF_REMOVED;
		last = &c[i];
	}
}

static int compare_keys(const struct lk_diff *d, const struct lk_change *x, const struct lk_change *y)
{
	const struct lk_spell *a = key_of(d, x), *b = key_of(d, y);
	size_t len = LK_MIN(a->len, b->len);
	int r;

	if (a->dir != b->dir)
		return a->dir < b->dir ? -1 : 1;
	if (a->hash != b->hash)
		return a->hash < b->hash ? -1 : 1;
	r = len ? memcmp(d->names.p + a->name, d->names.p + b->name, len) : 0;
	return r ? r : (a->len > b->len) - (a->len < b->len);
}

static int by_key(const void *a, const void *b, void *arg)
{
	int r = compare_keys(arg, a, b);

	return r ? r : rank(a) - rank(b);
}

static const char *path_of(const struct lk_diff *d, const struct lk_change *c)
{
	return c->path[d->to] ? c->path[d->to] : c->path[d->from];
}

static int by_path(const void *a, const void *b, void *arg)
{
	int r = strcmp(path_of(arg, a), path_of(arg, b));

	return r ? r : rank(a) - rank(b);
}

typedef int same_fn(const struct lk_diff *d, const struct lk_change *a, const struct lk_change *b);

static int compare_paths(const struct lk_diff *d, const struct lk_change *a, const struct lk_change *b)
{
	return strcmp(path_of(d, a), path_of(d, b));
}

static void join_all(struct lk_diff *d, int (*order)(const void *, const void *, void *), same_fn *same)
{
	struct lk_change *c = d->changes.p;
	size_t count = d->changes.count;

	if (count == 0)
		return;
	qsort_r(c, count, sizeof(*c), order, d);
	for (size_t i = 0, n; i < count; i += n) {
		n = 1;
		while (i + n < count && same(d, &c[i], &c[i + n]) == 0)
			n++;
		join(d, &c[i], n);
	}
	lk_diff_sweep(d);
}

int lk_diff_join_keys(struct lk_diff *d, struct lk_op *op, bool *done_out)
{
	(void)op;
	join_all(d, by_key, compare_keys);
	*done_out = true;
	return 0;
}

int lk_diff_join_paths(struct lk_diff *d, struct lk_op *op, bool *done_out)
{
	(void)op;
	join_all(d, by_path, compare_paths);
	*done_out = true;
	return 0;
}

/* ---- paths ------------------------------------------------------------------------------------------------------ */

/* The paths of a directory that the caller may know. */
struct dir_paths {
	struct lk_op *op;
	struct lk_paths paths;
	int64_t dir; /* 0: none yet */
	uint32_t count;
	bool hidden; /* there are others */
	struct {
		struct lk_bytes path;
		bool bind; /* it leads through one */
	} list[PATHS_MAX];
};

static int route(void *arg, uint64_t id)
{
	struct dir_paths *p = arg;
	struct lk_bytes path;
	char *copy;
	int rc = lk_paths_dir(&p->paths, id, &path);

	if (rc == LINKFS_EACCES || rc == LINKFS_ENOENT) {
		p->hidden |= rc == LINKFS_EACCES;
		return 0;
	}
	if (rc)
		return rc;
	copy = lk_op_alloc(p->op, path.len + 1);
	if (!copy)
		return LINKFS_ENOMEM;
	memcpy(copy, path.p, path.len);
	p->list[p->count].path = (struct lk_bytes){copy, path.len};
	p->list[p->count].bind = lk_places_bind(p->op->fs, id) != 0;
	return ++p->count == PATHS_MAX;
}

static int find_dir(struct lk_diff *d, struct dir_paths *p, int side, int64_t dir)
{
	struct lk_diff_dir plain;
	bool known;
	int rc;

	if (p->dir == dir)
		return 0;
	p->dir = dir;
	p->count = 0;
	p->hidden = false;
	p->paths.dir = 0; /* of another view, maybe */
	rc = lk_diff_dirs_path(d, p->op, side, dir, &plain, &known);
	if (rc)
		return rc;
	if (known) {
		p->hidden = plain.closed;
		if (!plain.closed) {
			p->list[0].path = plain.path;
			p->list[0].bind = false;
			p->count = 1;
		}
		return 0;
	}
	lk_diff_see(d, p->op, side);
	rc = lk_places_routes(p->op, (uint64_t)dir, route, p);
	lk_diff_spend(d, PATH_ROWS * (p->count + 1));
	return rc > 0 || rc == LINKFS_E2BIG ? 0 : rc;
}

static bool is_within(const char *path, const char *prefix)
{
	size_t len = prefix ? strlen(prefix) : 0;

	if (len == 0 || (len == 1 && prefix[0] == '/'))
		return true;
	return strncmp(path, prefix, len) == 0 && (path[len] == 0 || path[len] == '/');
}

/* Where c's name at a side is: the best of its paths, NULL when none is to be told. */
static int find_path(struct lk_diff *d, struct dir_paths *p, const struct lk_change *c, int side, bool *within_out,
		     bool *hidden_out, char **out)
{
	const struct lk_spell *at = &c->at[side];
	char *best = NULL;
	bool best_within = false, best_bind = false;
	int rc;

	if (c->ino[side] == LINKFS_ROOT_INO && at->len == 0) {
		best = strdup("/");
		*out = best;
		*within_out |= best && is_within(best, d->side[side].prefix);
		return best ? 0 : LINKFS_ENOMEM;
	}
	if (at->len == 0)
		return 0;
	rc = find_dir(d, p, side, at->dir);
	for (uint32_t i = 0; rc == 0 && i < p->count; i++) {
		const struct lk_bytes *dir = &p->list[i].path;
		size_t len = dir->len == 1 ? 0 : dir->len;
		char *path = malloc(len + at->len + 2);
		bool within, bind = p->list[i].bind, better;

		if (!path) {
			free(best);
			return LINKFS_ENOMEM;
		}
		memcpy(path, dir->p, len);
		path[len] = '/';
		memcpy(path + len + 1, d->names.p + at->name, at->len);
		path[len + 1 + at->len] = 0;
		within = is_within(path, d->side[side].prefix);
		if (!best || within != best_within)
			better = !best || within;
		else
			better = bind != best_bind ? !bind : strcmp(path, best) < 0;
		if (better) {
			free(best);
			best = path;
			best_within = within;
			best_bind = bind;
		} else {
			free(path);
		}
	}
	if (rc) {
		free(best);
		return rc;
	}
	*hidden_out |= !best && p->hidden;
	*within_out |= best_within;
	*out = best;
	return 0;
}

/* A place that no path leads to. */
static int name_covered(struct lk_diff *d, struct lk_change *c, bool *within_out)
{
	const struct lk_spell *at = c->at[d->to].len ? &c->at[d->to] : &c->at[d->from];
	int side = c->at[d->to].len ? d->to : d->from;

	*within_out = true;
	return asprintf(&c->path[side], "/(covered)/%" PRId64 "/%.*s", at->dir, (int)at->len,
			(const char *)d->names.p + at->name) < 0
		       ? LINKFS_ENOMEM
		       : 0;
}

/* Finds its paths, and what it is to who may not see both. */
static int place_change(struct lk_diff *d, struct dir_paths p[SIDES], struct lk_change *c)
{
	bool within = false, hidden = false;
	int rc = find_path(d, &p[d->to], c, d->to, &within, &hidden, &c->path[d->to]);

	if (rc == 0 && (c->kind != LINKFS_DIFF_MODIFIED || !within))
		rc = find_path(d, &p[d->from], c, d->from, &within, &hidden, &c->path[d->from]);
	if (rc == 0 && d->covered && !c->path[OLDER] && !c->path[NEWER])
		rc = name_covered(d, c, &within);
	if (rc)
		return rc;
	c->gone = !within;
	d->progress.hidden += hidden;
	if (c->kind == LINKFS_DIFF_RENAMED && !(c->path[OLDER] && c->path[NEWER])) {
		c->kind = c->path[d->to] ? LINKFS_DIFF_ADDED : LINKFS_DIFF_REMOVED;
		c->what = 0;
		c->undecided = LK_DECIDED;
	}
	/* Its directory has taken the place of the one where it was: so it has the path that it had. */
	if (c->kind == LINKFS_DIFF_RENAMED && strcmp(c->path[OLDER], c->path[NEWER]) == 0) {
		c->kind = LINKFS_DIFF_MODIFIED;
		c->gone |= c->what == 0 && !c->undecided;
	}
	return 0;
}

/* The directories of the next changes, together. *until_out: of so many. */
static int find_dirs(struct lk_diff *d, struct lk_op *op, size_t *until_out)
{
	size_t until = LK_MIN(d->changes.count, d->next + LK_INODES_MANY);
	int rc = 0;

	for (int side = 0; rc == 0 && side < SIDES; side++) {
		int64_t inos[LK_INODES_MANY];
		uint32_t count = 0;

		for (size_t i = d->next; i < until; i++) {
			const struct lk_change *c = &d->changes.p[i];
			/* As place_change() will ask. */
			bool asked = side == d->to || c->kind != LINKFS_DIFF_MODIFIED || d->side[d->to].prefix;

			if (asked && c->at[side].len)
				inos[count++] = c->at[side].dir;
		}
		rc = lk_diff_dirs_find(d, op, side, inos, count);
	}
	*until_out = until;
	return rc;
}

int lk_diff_find_paths(struct lk_diff *d, struct lk_op *op, bool *done_out)
{
	struct dir_paths *p = calloc(SIDES, sizeof(*p));
	size_t until = 0;
	int rc = p ? 0 : LINKFS_ENOMEM;

	for (int side = 0; rc == 0 && side < SIDES; side++) {
		p[side].op = op;
		p[side].paths = (struct lk_paths){.op = op, .cred = d->cred};
	}
	/* Those in one directory follow each other. What was found of the live tree holds for this step. */
	while (rc == 0 && d->budget && d->next < d->changes.count) {
		if (d->next >= until)
			rc = find_dirs(d, op, &until);
		if (rc)
			break;
		rc = place_change(d, p, &d->changes.p[d->next++]);
		lk_diff_spend(d, 1);
	}
	for (int side = 0; p && side < SIDES; side++)
		lk_paths_done(&p[side].paths);
	free(p);
	if (rc == 0 && d->next == d->changes.count) {
		lk_diff_sweep(d);
		*done_out = true;
	}
	return rc;
}
