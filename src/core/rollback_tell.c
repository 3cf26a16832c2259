/*
 * rollback_tell.c - what a rollback tells of its steps, and the paths in it (rollback.h, R7 and R8).
 * Layer: core.
 */
#include "rollback_impl.h"

#include "paths.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ASIDE_LEN (sizeof(LK_ROLLBACK_ASIDE) - 1)

int lk_rollback_tell(struct lk_rollback *r, const struct linkfs_rollback *step)
{
	struct linkfs_rollback gone = *step;

	if (step->error == LINKFS_ESTALE) { /* of a number; who is told has a path */
		gone.error = LINKFS_ENOENT;
		step = &gone;
	}
	r->steps++;
	r->left += step->kind == LINKFS_ROLLBACK_LEFT;
	return r->ask->fn && r->ask->fn(r->ask->arg, step) ? LINKFS_EINTR : 0;
}

/* An entry of the directory whose path is above ("" for the root). */
int lk_rollback_tell_entry(struct lk_rollback *r, enum linkfs_rollback_kind kind, const char *above, const char *name,
			   size_t len, uint32_t type, int error, const char *from)
{
	char *path = malloc(strlen(above) + len + 2);
	int rc;

	if (!path)
		return LINKFS_ENOMEM;
	(void)snprintf(path, strlen(above) + len + 2, "%s/%.*s", above, (int)len, name);
	rc = lk_rollback_tell(
		r, &(struct linkfs_rollback){.kind = kind, .type = type, .error = error, .path = path, .from = from});
	free(path);
	return rc;
}

/* The path of a directory of now, malloc'd; "" for the root, and NULL when it has none. */
int lk_rollback_path_of(struct lk_op *op, uint64_t dir, char **out)
{
	struct lk_paths paths = {.op = op, .cred = lk_cred(NULL)};
	struct lk_bytes path;
	int rc = lk_paths_dir(&paths, dir, &path);

	*out = NULL;
	if (rc == 0) {
		size_t len = path.len == 1 ? 0 : path.len;

		*out = malloc(len + 1);
		rc = *out ? 0 : LINKFS_ENOMEM;
		if (*out) {
			memcpy(*out, path.p, len);
			(*out)[len] = 0;
		}
	}
	lk_paths_done(&paths);
	return rc == LINKFS_ENOENT ? 0 : rc;
}

bool lk_rollback_is_left(struct lk_rollback *r, int error)
{
	struct lk_op op;

	if (error == LINKFS_ESTALE || error == LINKFS_ENOENT) /* unless it is the snapshot that is gone */
		return lk_then_begin(r->fs, &op, r->then, 0) == 0 && lk_op_end(&op, 0) == 0;
	return error == LINKFS_EBUSY || error == LINKFS_ELOOP || error == LINKFS_EXDEV || error == LINKFS_EMLINK ||
	       error == LINKFS_ENOTEMPTY || error == LINKFS_EEXIST;
}

bool lk_rollback_is_fresh(const struct lk_rollback *r, uint64_t ino)
{
	return ino >= r->fresh && !lk_pairs_get(&r->old_of, ino);
}

bool lk_rollback_is_aside(const char *name, size_t len)
{
	return len > ASIDE_LEN && memcmp(name, LK_ROLLBACK_ASIDE, ASIDE_LEN) == 0;
}

int lk_rollback_path_of_name(struct lk_op *op, const struct lk_dirent *d, char **out)
{
	char *above;
	int rc = lk_rollback_path_of(op, (uint64_t)d->dir, &above);

	if (rc == 0 && above) {
		size_t size = strlen(above) + d->name.len + 2;

		*out = malloc(size);
		if (*out)
			(void)snprintf(*out, size, "%s/%.*s", above, (int)d->name.len, (const char *)d->name.p);
		else
			rc = LINKFS_ENOMEM;
	}
	free(above);
	return rc;
}
