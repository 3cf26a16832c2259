/*
 * diff.c - what changed between two trees (linkfs_diff.h).
 * Layer: api.
 */
#include "diff.h"

#include "call.h"
#include "paths.h"
#include "views.h"

#include <sched.h>
#include <stdlib.h>
#include <string.h>

/* What is asked about on one side. */
struct scope {
	int64_t epoch;
	uint64_t ino; /* what the path names; 0: nothing */
	char *path;   /* from the root; NULL: all */
};

/* Where the path leads: a directory that it names or leads to, else the name itself. */
static int find_path(struct lk_op *op, const struct linkfs_cred *cred, uint64_t at, const char *path, struct scope *out)
{
	struct lk_paths paths = {.op = op, .cred = cred};
	struct lk_where where = {0};
	struct lk_place found = {0};
	struct lk_bytes where_is = {0};
	int rc = lk_resolve(op, cred, at, path, true, &found);
	bool is_dir = rc == 0 && lk_is_dir(&found.inode);

	if (is_dir) {
		rc = lk_paths_dir(&paths, found.id, &where_is);
	} else {
		rc = lk_walk_to(op, cred, at, path, &where);
		if (rc == 0)
			rc = lk_resolve(op, cred, at, path, false, &found);
		if (rc == 0)
			rc = lk_paths_name(&paths, where.dir.id, where.name, where.len, &where_is);
	}
	if (rc == 0) {
		out->path = calloc(1, where_is.len + 1);
		out->ino = (uint64_t)found.inode.ino;
		rc = out->path ? 0 : LINKFS_ENOMEM;
	}
	if (rc == 0) {
		memcpy(out->path, where_is.p, where_is.len);
	}
	lk_paths_done(&paths);
	return rc;
}

static int find_scope(struct linkfs_volume *volume, const struct linkfs_cred *cred, uint64_t at, const char *path,
		      struct scope *out)
{
	struct lk_inode dir;
	struct lk_op op;
	int rc = lk_op_begin(lk_volume_fs(volume), &op, 0);

	if (rc)
		return rc;
	rc = lk_inode_get(&op, at, &dir);
	if (rc == 0 && !lk_is_dir(&dir))
		rc = LINKFS_ENOTDIR;
	out->epoch = op.view;
	if (rc == 0 && path)
		rc = find_path(&op, cred, at, path, out);
	/* It may be there on the other side only. */
	return lk_op_end(&op, rc == LINKFS_ENOENT ? 0 : rc);
}

/* A path that is there on one side only is looked for by the same path on the other. */
static int match_scopes(const struct linkfs_diff *ask, struct scope *from, struct scope *to)
{
	struct scope *missing = from->ino ? to : from;
	const struct scope *there = from->ino ? from : to;

	if (!ask->from_path && !ask->to_path)
		return 0;
	if (from->ino && to->ino)
		return from->ino != to->ino && strcmp(from->path, to->path) != 0 ? LINKFS_EINVAL : 0;
	if (!there->ino)
		return LINKFS_ENOENT;
	missing->path = strdup(there->path);
	return missing->path ? 0 : LINKFS_ENOMEM;
}

static int gather(struct lk_diff *d, const struct linkfs_diff *ask)
{
	bool more = true;
	int rc = 0;

	while (rc == 0 && more) {
		struct linkfs_diff_progress progress;

		rc = lk_diff_step(d, &more);
		lk_diff_progress(d, &progress);
		if (rc == 0 && more && ask->progress && ask->progress(ask->progress_arg, &progress))
			rc = LINKFS_EINTR;
		(void)sched_yield();
	}
	return rc;
}

static int tell(struct lk_diff *d, linkfs_diff_fn *fn, void *arg)
{
	struct linkfs_diff_change change;
	bool any = true;
	int rc = 0;

	while (rc == 0 && any) {
		rc = lk_diff_next(d, &change, &any);
		if (rc == 0 && any && fn(arg, &change))
			break;
	}
	return rc;
}

static int diff(struct linkfs_volume *volume, const struct linkfs_cred *cred, const struct linkfs_diff *ask,
		bool covered, linkfs_diff_fn *fn, void *arg, struct linkfs_diff_progress *done_out)
{
	struct scope from = {0}, to = {0};
	struct lk_diff *d = NULL;
	int rc;

	cred = lk_cred(cred);
	rc = find_scope(volume, cred, ask->from, ask->from_path, &from);
	if (rc == 0)
		rc = find_scope(volume, cred, ask->to, ask->to_path, &to);
	if (rc == 0)
		rc = match_scopes(ask, &from, &to);
	if (rc == 0)
		rc = lk_diff_new(&(struct lk_diff_ask){.fs = lk_volume_fs(volume),
						       .cred = cred,
						       .covered = covered,
						       .from = {from.epoch, from.path},
						       .to = {to.epoch, to.path}},
				 &d);
	if (rc == 0)
		rc = gather(d, ask);
	if (rc == 0)
		rc = tell(d, fn, arg);
	if (done_out)
		*done_out = (struct linkfs_diff_progress){0};
	if (d && done_out)
		lk_diff_progress(d, done_out);
	lk_diff_free(d);
	free(from.path);
	free(to.path);
	return rc;
}

int linkfs_diff(struct linkfs_volume *volume, const struct linkfs_cred *cred, const struct linkfs_diff *ask,
		linkfs_diff_fn *fn, void *arg, struct linkfs_diff_progress *done_out)
{
	return diff(volume, cred, ask, false, fn, arg, done_out);
}

int lk_call_diff_covered(struct linkfs_volume *volume, const struct linkfs_diff *ask, linkfs_diff_fn *fn, void *arg)
{
	return diff(volume, NULL, ask, true, fn, arg, NULL);
}
