/*
 * paths.c - paths by climbing: each directory's one name and parent are a row of the reverse index.
 * Layer: core. The time is that of the depth, whatever the size of the volume. A directory with several paths has a place for each
 * (places.h), which knows its way up; by its number alone it is told by one of them.
 */
#include "paths.h"
#include "binds.h"
#include "views.h"

#include <string.h>

struct up {
	uint64_t dir, bits; /* a node id; of the view's */
	struct lk_buf *names;
	struct lk_slot slot; /* the entry */
	int error;
};

/* Appends the name and then its length, so that they are read from the end. */
static int up_row(void *arg, const void *record)
{
	const struct lk_dirent *d = record;
	struct up *up = arg;
	uint8_t len = (uint8_t)d->name.len;

	up->dir = up->bits | (uint64_t)d->dir;
	up->slot = (struct lk_slot){.dir = (uint64_t)d->dir, .hash = d->hash, .ord = d->ord};
	up->error = lk_buf_append(up->names, d->name.p, d->name.len);
	if (up->error == 0)
		up->error = lk_buf_append(up->names, &len, 1);
	return 1;
}

/* By the place's own entry. */
static int climb_place(struct lk_op *op, const struct lk_place_entry *entry, struct up *up)
{
	struct lk_dirent d = {.dir = entry->dir, .hash = entry->hash, .ord = entry->ord};
	int rc = entry->dir ? lk_txn_get(op, LK_T_DIRENT, &d, &d) : LINKFS_ENOENT;

	if (rc == 0 && (d.name.len == 0 || d.name.len > LINKFS_NAME_MAX))
		rc = LINKFS_ECORRUPT;
	if (rc == 0)
		(void)up_row(up, &d);
	up->dir = entry->parent;
	return rc;
}

/* By one of its names. */
static int climb_name(struct lk_op *op, uint64_t dir, struct up *up)
{
	int rc = lk_dirent_names(op, dir, 1, up_row, up);

	if (rc == 0 && up->dir)
		rc = lk_bind_find(op, &up->slot);
	return rc == 0 && up->slot.bound ? LINKFS_ENOENT : rc;
}

/* dir may be searched, and its name and parent. */
static int climb(struct lk_paths *paths, uint64_t *dir)
{
	struct up up = {.names = &paths->names, .bits = paths->op->bits};
	struct lk_place_entry entry;
	struct lk_inode inode;
	int rc = lk_inode_get(paths->op, *dir, &inode);

	if (rc)
		return rc;
	if (!lk_is_dir(&inode))
		return LINKFS_ECORRUPT;
	rc = lk_perm_check(paths->op, paths->cred, &inode, LK_MAY_EXEC);
	if (rc || lk_id_is_root(*dir))
		return rc;
	if (lk_places_entry(paths->op->fs, *dir, &entry))
		rc = climb_place(paths->op, &entry, &up);
	else
		rc = climb_name(paths->op, (uint64_t)inode.ino, &up);
	if (rc == 0)
		rc = up.error ? up.error : up.dir == 0 ? LINKFS_ENOENT : 0;
	*dir = up.dir;
	return rc;
}

/* All the names from dir up to the root. A loop of parents, which is damage, is found as in lk_dirent_above(). */
static int gather(struct lk_paths *paths, uint64_t dir)
{
	uint64_t mark = dir, steps = 0, power = 2;
	int rc;

	paths->names.len = 0;
	while (!lk_id_is_root(dir)) {
		rc = climb(paths, &dir);
		if (rc)
			return rc;
		if (dir == mark)
			return LINKFS_ECORRUPT;
		if (++steps == power) {
			mark = dir;
			power *= 2;
		}
	}
	return climb(paths, &dir);
}

static int assemble(struct lk_paths *paths)
{
	const uint8_t *p = paths->names.p;
	int rc = 0;

	paths->path.len = 0;
	if (paths->names.len == 0)
		return lk_buf_append(&paths->path, "/", 1);
	for (size_t end = paths->names.len; rc == 0 && end;) {
		uint8_t len = p[--end];

		end -= len;
		rc = lk_buf_append(&paths->path, "/", 1);
		if (rc == 0)
			rc = lk_buf_append(&paths->path, p + end, len);
	}
	return rc;
}

int lk_paths_dir(struct lk_paths *paths, uint64_t dir, struct lk_bytes *out)
{
	if (paths->dir != dir) {
		paths->dir = 0;
		paths->error = gather(paths, dir);
		if (paths->error == 0)
			paths->error = assemble(paths);
		if (paths->error && paths->error != LINKFS_EACCES && paths->error != LINKFS_ENOENT)
			return paths->error;
		paths->dir = dir;
	}
	if (paths->error)
		return paths->error;
	*out = (struct lk_bytes){paths->path.p, paths->path.len};
	return 0;
}

int lk_paths_name(struct lk_paths *paths, uint64_t dir, const char *name, size_t len, struct lk_bytes *out)
{
	struct lk_bytes above;
	int rc = lk_paths_dir(paths, dir, &above);
	size_t at;
	char *p;

	if (rc)
		return rc;
	at = lk_id_is_root(dir) ? 0 : above.len;
	p = lk_op_alloc(paths->op, at + len + 2);
	if (!p)
		return LINKFS_ENOMEM;
	if (at)
		memcpy(p, above.p, at);
	p[at] = '/';
	memcpy(p + at + 1, name, len);
	p[at + 1 + len] = 0;
	*out = (struct lk_bytes){p, at + 1 + len};
	return 0;
}

void lk_paths_done(struct lk_paths *paths)
{
	lk_buf_done(&paths->path);
	lk_buf_done(&paths->names);
}
