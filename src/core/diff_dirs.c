/*
 * diff_dirs.c - paths of directories that one path leads to, for diff_paths.c: their names are read for many at once, and remembered.
 * Layer: core. Most directories have one name, and so have those above them: then the path is those names, whatever places and binds may do
 * to others. Of any other directory this knows nothing, and routes.c is asked. What is known of a snapshot holds until the diff is over,
 * what is known of the live tree for a step.
 */
#include "diff_impl.h"

#include "binds.h"
#include "pairs.h"
#include "perm.h"

#include <stdlib.h>
#include <string.h>

#define DIRS_MAX 8192u              /* of a side */
#define NAMES_MAX ((size_t)1 << 20) /* bytes of their names */
#define DEPTH_MAX (LINKFS_PATH_MAX / 2)
#define DIR_NAMES 256u /* rows of names of LK_INODES_MANY directories */

struct dir {
	int64_t ino,
		parent; /* parent 0: of the root; what has another number of names than one has none either, and is not plain */
	size_t name;
	uint8_t len;
	bool plain, closed; /* it has one name; the caller may not search it */
};

struct lk_diff_dirs {
	LK_LIST(struct dir) list;
	struct lk_buf names;
	struct lk_pairs places; /* in the list, by inode number: place + 1 */
};

void lk_diff_dirs_free(struct lk_diff_dirs *dirs)
{
	if (dirs) {
		free(dirs->list.p);
		free(dirs->places.slots);
		lk_buf_done(&dirs->names);
	}
	free(dirs);
}

static const struct dir *find(const struct lk_diff_dirs *dirs, int64_t ino)
{
	uint64_t place = dirs ? lk_pairs_get(&dirs->places, (uint64_t)ino) : 0;

	return place ? &dirs->list.p[place - 1] : NULL;
}

static void forget(struct lk_diff_dirs *dirs)
{
	dirs->list.count = 0;
	dirs->names.len = 0;
	free(dirs->places.slots);
	dirs->places = (struct lk_pairs){0};
}

void lk_diff_dirs_begin(struct lk_diff *d)
{
	for (int side = 0; side < SIDES; side++)
		if (d->side[side].epoch == LK_VIEW_LIVE && d->dirs[side])
			forget(d->dirs[side]);
}

static bool is_full(const struct lk_diff_dirs *dirs)
{
	return dirs->list.count >= DIRS_MAX || dirs->names.len >= NAMES_MAX;
}

/* entry: its one name; NULL: it has none, or several. */
static int add(const struct lk_diff *d, struct lk_op *op, struct lk_diff_dirs *dirs, const struct lk_inode *inode,
	       const struct lk_dirent *entry)
{
	struct dir dir = {.ino = inode->ino, .name = dirs->names.len};
	int rc = 0;

	dir.plain = lk_is_dir(inode) && (entry || inode->ino == (int64_t)LINKFS_ROOT_INO);
	if (dir.plain)
		rc = lk_perm_check(op, d->cred, inode, LK_MAY_EXEC);
	dir.closed = rc == LINKFS_EACCES;
	if (rc && !dir.closed)
		return rc;
	rc = 0;
	if (dir.plain && entry) {
		dir.parent = entry->dir;
		dir.len = (uint8_t)entry->name.len;
		rc = lk_buf_append(&dirs->names, entry->name.p, entry->name.len);
	}
	if (rc == 0)
		rc = LK_LIST_ADD(&dirs->list, dir);
	return rc ? rc : lk_pairs_set(&dirs->places, (uint64_t)inode->ino, dirs->list.count);
}

/* The one name of names[0 .. count) that is seen at the view of that bit; NULL: none is, or several are. */
static const struct lk_dirent *only_name(const struct lk_life *names, uint32_t count, uint32_t bit)
{
	const struct lk_dirent *only = NULL;

	for (uint32_t i = 0; i < count; i++) {
		if (!(names[i].seen >> bit & 1))
			continue;
		if (only)
			return NULL;
		only = &names[i].row;
	}
	return only;
}

/* The op sees the side from now on. NULL: its directories may have paths through binds, and each is looked up by itself; so it is
 * without memory. */
static struct lk_diff_dirs *begin(struct lk_diff *d, struct lk_op *op, int side)
{
	lk_diff_see(d, op, side);
	if (lk_binds_any(op))
		return NULL;
	if (!d->dirs[side])
		d->dirs[side] = calloc(1, sizeof(*d->dirs[side]));
	return d->dirs[side];
}

int lk_diff_dirs_learn(struct lk_diff *d, struct lk_op *op, const struct lk_lives *names)
{
	int rc = 0;

	for (int side = 0; rc == 0 && side < SIDES; side++) {
		const struct lk_inode *inode = &d->now.inode[side];
		struct lk_diff_dirs *dirs;

		if (!d->now.there[side] || !lk_is_dir(inode) || d->side[side].epoch == LK_VIEW_LIVE)
			continue;
		dirs = begin(d, op, side);
		if (dirs && !is_full(dirs) && !find(dirs, inode->ino))
			rc = add(d, op, dirs, inode, only_name(names->p, names->count, (uint32_t)side));
	}
	return rc;
}

/* ---- those that are not known ------------------------------------------------------------------------------------- */

static int read_some(struct lk_diff *d, struct lk_op *op, struct lk_diff_dirs *dirs, int side, const int64_t *inos,
		     uint32_t count)
{
	struct lk_lives_ask ask = {.op = op,
				   .inos = inos,
				   .count = count,
				   .views = {d->side[side].epoch},
				   .view_count = 1,
				   .limit = DIR_NAMES};
	struct lk_inode inode[LK_INODES_MANY];
	bool there[LK_INODES_MANY];
	struct lk_lives names;
	uint32_t first = 0;
	int rc = lk_diff_inodes(d, op, side, inos, count, inode, there);

	if (rc == 0)
		rc = lk_lives_read(&ask, &names);
	if (rc)
		return rc;
	lk_diff_spend(d, names.rows);
	for (uint32_t i = 0; rc == 0 && i < count; i++) {
		struct lk_inode none = {.ino = inos[i]};
		const struct lk_life *mine = names.p + first;
		uint32_t n = 0;

		while (first + n < names.count && mine[n].at == i)
			n++;
		first += n;
		/* Of what is not whole there may be more names. */
		rc = add(d, op, dirs, there[i] ? &inode[i] : &none, i < names.whole ? only_name(mine, n, 0) : NULL);
	}
	return rc;
}

/* The first on its way up that is not known; 0: they all are, or a path by names alone ends there. */
static int64_t first_unknown(struct lk_diff_dirs *dirs, int64_t ino)
{
	const struct dir *dir = find(dirs, ino);

	/* A loop of parents is damage, which routes.c tells. */
	for (unsigned depth = 0; dir && depth < DEPTH_MAX; depth++) {
		ino = dir->parent;
		dir = ino ? find(dirs, ino) : NULL;
	}
	return dir ? 0 : ino;
}

/* What there is to read for them, sorted and each once. */
static uint32_t settle(struct lk_diff_dirs *dirs, int64_t *inos, uint32_t count)
{
	uint32_t kept = 0;

	for (uint32_t i = 0; i < count; i++)
		inos[i] = first_unknown(dirs, inos[i]);
	if (count)
		qsort(inos, count, sizeof(*inos), lk_by_number);
	for (uint32_t i = 0; i < count; i++)
		if (inos[i] > 0 && (kept == 0 || inos[i] != inos[kept - 1]))
			inos[kept++] = inos[i];
	return kept;
}

int lk_diff_dirs_find(struct lk_diff *d, struct lk_op *op, int side, int64_t *inos, uint32_t count)
{
	struct lk_diff_dirs *dirs = begin(d, op, side);
	int rc = 0;

	if (!dirs)
		return 0;
	if (is_full(dirs))
		forget(dirs);
	/* These, then those above them, and so on: each is read once. */
	for (count = settle(dirs, inos, count); rc == 0 && count && !is_full(dirs); count = settle(dirs, inos, count))
		rc = read_some(d, op, dirs, side, inos, count);
	return rc;
}

/* ---- the answer ------------------------------------------------------------------------------------------------- */

int lk_diff_dirs_path(const struct lk_diff *d, struct lk_op *op, int side, int64_t ino, struct lk_diff_dir *out,
		      bool *known_out)
{
	const struct lk_diff_dirs *dirs = d->dirs[side];
	const struct dir *dir = find(dirs, ino), *at = dir;
	size_t len = 0;
	bool closed = false;
	char *path;

	*known_out = false;
	for (unsigned depth = 0; at && at->plain && at->parent && depth < DEPTH_MAX; depth++) {
		closed |= at->closed;
		len += 1u + at->len;
		at = find(dirs, at->parent);
	}
	if (!at || !at->plain || at->parent)
		return 0;
	*known_out = true;
	out->closed = closed || at->closed;
	if (out->closed)
		return 0;
	path = lk_op_alloc(op, len + 1);
	if (!path)
		return LINKFS_ENOMEM;
	path[0] = '/';
	out->path = (struct lk_bytes){path, LK_MAX(len, (size_t)1)};
	for (; dir && dir->parent; dir = find(dirs, dir->parent)) {
		len -= 1u + dir->len;
		path[len] = '/';
		memcpy(path + len + 1, dirs->names.p + dir->name, dir->len);
	}
	return 0;
}
