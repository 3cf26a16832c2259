/*
 * path.c - calls by path: one walk and one core call in one operation.
 * Layer: api. The walk and its end are atomic: nothing changes between the lookup and what is done with it.
 */
#include "binds.h"
#include "call.h"

#include <string.h>

int linkfs_path_stat(struct linkfs_volume *volume, const struct linkfs_cred *cred, uint64_t at, const char *path,
		     uint32_t flags, struct linkfs_stat *out)
{
	struct lk_place found = {0};
	struct lk_op op;
	int rc;

	if (flags & ~(LINKFS_NOFOLLOW | LINKFS_HOLD))
		return LINKFS_EINVAL;
	rc = lk_op_begin(lk_volume_fs(volume), &op, 0);
	if (rc)
		return rc;
	rc = lk_resolve(&op, lk_cred(cred), at, path, !(flags & LINKFS_NOFOLLOW), &found);
	return lk_call_end_at(&op, rc, &found, flags, out);
}

int linkfs_path_parent(struct linkfs_volume *volume, const struct linkfs_cred *cred, uint64_t at, const char *path,
		       uint64_t *dir_out, const char **name_out, size_t *name_len_out, int *slash_out)
{
	struct lk_where where = {0};
	struct lk_op op;
	int rc = lk_op_begin(lk_volume_fs(volume), &op, 0);

	if (rc)
		return rc;
	rc = lk_walk_to(&op, lk_cred(cred), at, path, &where);
	rc = lk_op_end(&op, rc);
	if (rc)
		return rc;
	/* A place is good only while somebody holds it. */
	*dir_out = where.dir.id == at ? at : op.bits | (uint64_t)where.dir.inode.ino;
	*name_out = where.name;
	*name_len_out = where.len;
	if (slash_out)
		*slash_out = where.slash;
	return 0;
}

int linkfs_path_make(struct linkfs_volume *volume, const struct linkfs_cred *cred, uint64_t at, const char *path,
		     const struct linkfs_make *how, struct linkfs_stat *out)
{
	struct lk_inode inode = {0};
	struct lk_where where;
	struct lk_op op;
	int rc = lk_link_how(how, NULL);

	if (rc)
		return rc;
	cred = lk_cred(cred);
	rc = lk_call_begin(volume, &op, cred, 0);
	if (rc)
		return rc;
	rc = lk_walk_to(&op, cred, at, path, &where);
	if (rc == 0)
		rc = lk_link_make(&op, cred, &where, how, &inode);
	return lk_call_end(&op, rc, &inode, 0, out);
}

typedef int symlink_fn(struct lk_op *op, const struct linkfs_cred *cred, struct lk_where *where, const char *target,
		       size_t len, struct lk_inode *out);

static int make_symlink(struct linkfs_volume *volume, const struct linkfs_cred *cred, const char *target, uint64_t at,
			const char *path, symlink_fn *fn, struct linkfs_stat *out)
{
	size_t len = strnlen(target, LINKFS_PATH_MAX);
	struct lk_inode inode = {0};
	struct lk_where where;
	struct lk_op op;
	int rc;

	/* Linux reads the text before it looks at the path. */
	if (len == 0)
		return LINKFS_ENOENT;
	if (len > LINKFS_SYMLINK_MAX)
		return LINKFS_ENAMETOOLONG;
	cred = lk_cred(cred);
	rc = lk_call_begin(volume, &op, cred, 0);
	if (rc)
		return rc;
	rc = lk_walk_to(&op, cred, at, path, &where);
	if (rc == 0)
		rc = fn(&op, cred, &where, target, len, &inode);
	return lk_call_end(&op, rc, &inode, 0, out);
}

int linkfs_path_symlink(struct linkfs_volume *volume, const struct linkfs_cred *cred, const char *target, uint64_t at,
			const char *path, struct linkfs_stat *out)
{
	return make_symlink(volume, cred, target, at, path, lk_symlink_make, out);
}

int linkfs_path_replace_symlink(struct linkfs_volume *volume, const struct linkfs_cred *cred, const char *target,
				uint64_t at, const char *path, struct linkfs_stat *out)
{
	return make_symlink(volume, cred, target, at, path, lk_symlink_replace, out);
}

/* Gives what old_path names the name new_path, in the way of give. */
static int name_path(struct linkfs_volume *volume, const struct linkfs_cred *cred, uint64_t old_at,
		     const char *old_path, bool follow, uint64_t new_at, const char *new_path, lk_name_fn *give)
{
	struct lk_place old;
	struct lk_where where;
	struct lk_op op;
	int rc;

	cred = lk_cred(cred);
	rc = lk_call_begin_both(volume, &op, cred, old_at, new_at);
	if (rc)
		return rc;
	rc = lk_resolve(&op, cred, old_at, old_path, follow, &old);
	if (rc == 0)
		rc = lk_walk_to(&op, cred, new_at, new_path, &where);
	if (rc == 0)
		rc = give(&op, cred, &old.inode, &where);
	return lk_op_end(&op, rc);
}

int linkfs_path_link(struct linkfs_volume *volume, const struct linkfs_cred *cred, uint64_t old_at,
		     const char *old_path, uint64_t new_at, const char *new_path, uint32_t flags)
{
	if (flags & ~LINKFS_FOLLOW)
		return LINKFS_EINVAL;
	return name_path(volume, cred, old_at, old_path, flags & LINKFS_FOLLOW, new_at, new_path, lk_link_add);
}

int linkfs_path_link_directory(struct linkfs_volume *volume, const struct linkfs_cred *cred, uint64_t old_at,
			       const char *old_path, uint64_t new_at, const char *new_path)
{
	return name_path(volume, cred, old_at, old_path, true, new_at, new_path, lk_link_dir);
}

int linkfs_path_bind(struct linkfs_volume *volume, const struct linkfs_cred *cred, uint64_t source_at,
		     const char *source_path, uint64_t at, const char *path)
{
	return name_path(volume, cred, source_at, source_path, true, at, path, lk_call_bind);
}

int linkfs_path_unbind(struct linkfs_volume *volume, const struct linkfs_cred *cred, uint64_t at, const char *path)
{
	struct lk_where where;
	struct lk_op op;
	int rc;

	cred = lk_cred(cred);
	rc = lk_call_begin(volume, &op, cred, LK_OP_FREES);
	if (rc)
		return rc;
	rc = lk_walk_to(&op, cred, at, path, &where);
	if (rc == 0)
		rc = lk_bind_remove(&op, cred, &where);
	return lk_op_end(&op, rc);
}

int linkfs_path_unlink(struct linkfs_volume *volume, const struct linkfs_cred *cred, uint64_t at, const char *path)
{
	struct lk_where where;
	struct lk_op op;
	int rc;

	cred = lk_cred(cred);
	rc = lk_call_begin(volume, &op, cred, LK_OP_FREES);
	if (rc)
		return rc;
	rc = lk_walk_to(&op, cred, at, path, &where);
	if (rc == 0)
		rc = lk_link_unlink(&op, cred, &where);
	return lk_op_end(&op, rc);
}

int linkfs_path_rmdir(struct linkfs_volume *volume, const struct linkfs_cred *cred, uint64_t at, const char *path)
{
	struct lk_where where;
	struct lk_op op;
	int rc;

	cred = lk_cred(cred);
	rc = lk_call_begin(volume, &op, cred, LK_OP_FREES);
	if (rc)
		return rc;
	rc = lk_walk_to(&op, cred, at, path, &where);
	if (rc == 0)
		rc = lk_link_rmdir(&op, cred, &where);
	return lk_op_end(&op, rc);
}

int linkfs_path_rename(struct linkfs_volume *volume, const struct linkfs_cred *cred, uint64_t old_at,
		       const char *old_path, uint64_t new_at, const char *new_path, uint32_t flags)
{
	struct lk_where from, to;
	struct lk_op op;
	int rc = lk_rename_flags(flags);

	if (rc)
		return rc;
	cred = lk_cred(cred);
	rc = lk_call_begin_both(volume, &op, cred, old_at, new_at);
	if (rc)
		return rc;
	rc = lk_walk_to(&op, cred, old_at, old_path, &from);
	if (rc == 0)
		rc = lk_walk_to(&op, cred, new_at, new_path, &to);
	if (rc == 0)
		rc = lk_rename(&op, cred, &from, &to, flags);
	return lk_op_end(&op, rc);
}

int linkfs_path_readlink(struct linkfs_volume *volume, const struct linkfs_cred *cred, uint64_t at, const char *path,
			 char *buf, size_t size, size_t *len_out)
{
	struct lk_fs *fs = lk_volume_fs(volume);
	struct lk_place found = {0};
	const char *text;
	size_t len = 0;
	bool due = false;
	struct lk_op op;
	int rc = lk_op_begin(fs, &op, 0);

	if (rc)
		return rc;
	rc = lk_resolve(&op, lk_cred(cred), at, path, false, &found);
	if (rc == 0)
		rc = lk_symlink_text(&op, &found.inode, lk_places_dir(fs, found.id), &text, &len);
	if (rc == 0) {
		len = LK_MIN(len, size);
		memcpy(buf, text, len);
		due = lk_atime_due(&op, &found.inode);
	}
	rc = lk_op_end(&op, rc);
	if (rc)
		return rc;
	*len_out = len;
	if (due)
		lk_atime_touch(fs, (uint64_t)found.inode.ino);
	return 0;
}

/* A change of size takes the node's write lock before the volume's, so the walk comes first, in an op of its own; the
 * hold keeps what it found. */
static int setattr_size(struct linkfs_volume *volume, const struct linkfs_cred *cred, uint64_t at, const char *path,
			uint32_t flags, const struct linkfs_setattr *change)
{
	struct linkfs_stat found;
	int rc = linkfs_path_stat(volume, cred, at, path, flags | LINKFS_HOLD, &found);

	if (rc)
		return rc;
	rc = linkfs_node_setattr(volume, cred, found.ino, change, NULL);
	lk_call_unhold(lk_volume_fs(volume), found.node, 1);
	return rc;
}

int linkfs_path_setattr(struct linkfs_volume *volume, const struct linkfs_cred *cred, uint64_t at, const char *path,
			uint32_t flags, const struct linkfs_setattr *change)
{
	struct lk_place found;
	struct lk_op op;
	int rc;

	if (flags & ~LINKFS_NOFOLLOW)
		return LINKFS_EINVAL;
	if (change->valid & LINKFS_SET_SIZE)
		return setattr_size(volume, cred, at, path, flags, change);
	cred = lk_cred(cred);
	rc = lk_call_begin(volume, &op, cred, 0);
	if (rc)
		return rc;
	rc = lk_resolve(&op, cred, at, path, !(flags & LINKFS_NOFOLLOW), &found);
	if (rc == 0)
		rc = lk_attr_set(&op, cred, &found.inode, change, false);
	return lk_op_end(&op, rc);
}
