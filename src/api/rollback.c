/*
 * rollback.c - a file or tree back to what it was in a snapshot (linkfs_snapshots.h).
 * Layer: api. What path names now and named then is found here; core/rollback.c does the work, step by step.
 */
#include "rollback.h"

#include "call.h"
#include "orphan.h"
#include "paths.h"
#include "snapshot.h"

#include <stdlib.h>
#include <string.h>

/* For who may take snapshots. */
static int may_roll_back(struct lk_op *op, const struct linkfs_cred *cred)
{
	struct lk_inode root;
	int rc = lk_inode_get(op, LINKFS_ROOT_INO, &root);

	return rc == 0 && !lk_cred_owns(cred, &root) ? LINKFS_EPERM : rc;
}

/* The directory that holds PATH and its path; 0 for the root. */
static int find_dir(struct lk_op *op, const struct linkfs_cred *cred, uint64_t at, const char *path, struct lk_buf *out,
		    struct lk_rollback_ask *ask)
{
	struct lk_paths paths = {.op = op, .cred = lk_cred(NULL)};
	struct lk_bytes found;
	struct lk_where where;
	struct lk_place place, parent;
	int rc = lk_walk_to(op, cred, at, path, &where);

	if (rc == 0 && op->bits)
		rc = LINKFS_EROFS;
	if (rc)
		return rc;
	if (where.last == LK_LAST_NAME) {
		rc = lk_paths_name(&paths, where.dir.id, where.name, where.len, &found);
		ask->dir = (uint64_t)where.dir.inode.ino;
		ask->len = where.len;
	} else {
		rc = lk_resolve(op, cred, at, path, false, &place);
		if (rc == 0)
			rc = lk_paths_dir(&paths, place.id, &found);
		if (rc == 0 && place.inode.ino != (int64_t)LINKFS_ROOT_INO) {
			rc = lk_place_parent(op, &place, &parent);
			ask->dir = (uint64_t)parent.inode.ino;
			ask->len = found.len - 1 -
				   (size_t)((const char *)memrchr(found.p, '/', found.len) - (const char *)found.p);
		}
	}
	if (rc == 0)
		rc = lk_buf_append(out, found.p, found.len);
	if (rc == 0)
		rc = lk_buf_append(out, "", 1);
	lk_paths_done(&paths);
	return rc;
}

/* By the root's right: what the snapshot had does not depend on who asks. */
static int find_then(struct lk_fs *fs, bool slash, struct lk_rollback_ask *ask)
{
	struct lk_place place;
	struct lk_op op;
	int rc = lk_op_begin(fs, &op, 0);

	if (rc)
		return rc;
	rc = lk_resolve(&op, lk_cred(NULL), ask->then.bits | LINKFS_ROOT_INO, ask->path, false, &place);
	if (rc == LINKFS_ENOTDIR)
		rc = LINKFS_ENOENT;
	/* As it was: what is there now goes. */
	if (rc == 0 && slash && !lk_is_dir(&place.inode))
		rc = LINKFS_ENOTDIR;
	if (rc == 0)
		ask->old = (uint64_t)place.inode.ino;
	return lk_op_end(&op, rc);
}

static int find(struct linkfs_volume *volume, const struct linkfs_cred *cred, uint64_t at, const char *path,
		uint64_t id, bool dry, struct lk_buf *full, struct lk_rollback_ask *ask)
{
	struct lk_fs *fs = lk_volume_fs(volume);
	struct lk_snapshot row = {.epoch = (int64_t)id};
	struct lk_op op;
	int rc = lk_op_begin(fs, &op, dry ? 0 : LK_OP_WRITE);

	if (rc)
		return rc;
	rc = may_roll_back(&op, cred);
	if (rc == 0)
		rc = lk_txn_get(&op, LK_T_SNAPSHOT, &row, &row);
	if (rc == 0 && row.deleting)
		rc = LINKFS_ENOENT;
	if (rc == 0)
		rc = find_dir(&op, cred, at, path, full, ask);
	ask->then.view = row.epoch;
	ask->then.next_ino = row.next_ino;
	rc = lk_op_end(&op, rc);
	if (rc)
		return rc;
	ask->path = (const char *)full->p;
	ask->name = ask->dir ? (const char *)full->p + full->len - 1 - ask->len : NULL;
	return find_then(fs, *path && path[strlen(path) - 1] == '/', ask);
}

int linkfs_path_rollback(struct linkfs_volume *volume, const struct linkfs_cred *cred, uint64_t at, const char *path,
			 uint64_t id, uint32_t flags, linkfs_rollback_fn *fn, void *arg)
{
	struct lk_rollback_ask ask = {.dry = flags & LINKFS_ROLLBACK_DRY_RUN, .fn = fn, .arg = arg};
	struct linkfs_stat root;
	struct lk_buf full = {0};
	int rc =
		flags & ~LINKFS_ROLLBACK_DRY_RUN ? LINKFS_EINVAL : linkfs_snapshot_root(volume, id, LINKFS_HOLD, &root);

	if (rc)
		return rc;
	ask.then.bits = root.node & ~LK_INO_MASK;
	rc = find(volume, lk_cred(cred), at, path, id, ask.dry, &full, &ask);
	if (rc == 0)
		rc = lk_rollback(lk_volume_fs(volume), &ask);
	lk_buf_done(&full);
	lk_call_unhold(lk_volume_fs(volume), root.node, 1);
	return rc;
}
