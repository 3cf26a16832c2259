/*
 * cow.c - a name gets an inode of its own; a file begins as a copy of another (D8).
 * Layer: api. Each is three steps: look and hold, copy (core/cow.h), name the copy in one operation.
 */
#include "cow.h"

#include "call.h"

/* Refuses what the last step would refuse, before anything is copied. */
static int look_at_name(struct lk_op *op, const struct linkfs_cred *cred, const struct lk_where *where,
			struct lk_inode *out)
{
	struct lk_place there;
	struct lk_slot slot;
	int rc;

	if (where->last != LK_LAST_NAME)
		return LINKFS_EISDIR;
	rc = lk_perm_writable(op);
	if (rc == 0)
		rc = lk_walk_look(op, where, &slot, &there);
	if (rc == 0 && lk_is_dir(&there.inode))
		rc = LINKFS_EISDIR;
	if (rc == 0 && where->slash)
		rc = LINKFS_ENOTDIR;
	if (rc == 0 && !lk_cred_owns(cred, &there.inode))
		rc = LINKFS_EPERM;
	if (rc == 0)
		rc = lk_perm_delete(op, cred, &where->dir.inode, &there.inode, false);
	if (rc == 0 && slot.bound)
		rc = LINKFS_EBUSY;
	if (rc == 0)
		*out = there.inode;
	return rc;
}

int linkfs_node_unshare(struct linkfs_volume *volume, const struct linkfs_cred *cred, uint64_t dir, const char *name,
			size_t name_len, uint32_t flags, struct linkfs_stat *out)
{
	struct lk_inode inode = {0}, copy = {0};
	struct lk_where where;
	struct lk_cow cow;
	struct lk_op op;
	int rc;

	if (flags & ~LINKFS_HOLD)
		return LINKFS_EINVAL;
	cred = lk_cred(cred);
	rc = lk_call_begin(volume, &op, cred, 0);
	if (rc)
		return rc;
	rc = lk_where_at(&op, cred, dir, name, name_len, &where);
	if (rc == 0)
		rc = look_at_name(&op, cred, &where, &inode);
	if (rc || inode.nlink == 1)
		return lk_call_end(&op, rc, &inode, flags, out);
	rc = lk_call_end(&op, 0, &inode, LINKFS_HOLD, NULL);
	if (rc)
		return rc;
	rc = lk_cow_begin(lk_volume_fs(volume), cred, (uint64_t)inode.ino, &cow);
	if (rc == 0) {
		rc = lk_call_begin(volume, &op, cred, LK_OP_FREES);
		if (rc == 0) {
			rc = lk_where_at(&op, cred, dir, name, name_len, &where);
			if (rc == 0)
				rc = lk_cow_split(&op, cred, &cow, &where, &copy);
			rc = lk_call_end(&op, rc, &copy, flags, out);
		}
		lk_cow_end(&cow);
	}
	lk_orphan_unhold(lk_volume_fs(volume), (uint64_t)inode.ino);
	return rc;
}

static int look_at_source(struct lk_op *op, const struct linkfs_cred *cred, uint64_t ino, struct lk_where *where,
			  struct lk_inode *out)
{
	struct lk_inode inode;
	struct lk_slot slot;
	int rc = lk_inode_get(op, ino, &inode);

	if (rc == 0 && lk_is_dir(&inode))
		rc = LINKFS_EISDIR;
	if (rc == 0 && (S_ISCHR((mode_t)inode.mode) || S_ISBLK((mode_t)inode.mode)) && !lk_cred_may_all(cred))
		rc = LINKFS_EPERM;
	if (rc == 0 && lk_is_reg(&inode) && !lk_cred_owns(cred, &inode))
		rc = lk_perm_check(op, cred, &inode, LK_MAY_READ);
	if (rc == 0)
		rc = lk_link_prepare(op, cred, where, false, &slot);
	if (rc == 0)
		*out = inode;
	return rc;
}

int linkfs_node_clone(struct linkfs_volume *volume, const struct linkfs_cred *cred, uint64_t ino, uint64_t dir,
		      const char *name, size_t name_len, uint32_t flags, struct linkfs_stat *out)
{
	struct lk_inode inode = {0}, copy = {0};
	struct lk_where where;
	struct lk_cow cow;
	struct lk_op op;
	int rc;

	if (flags & ~LINKFS_HOLD)
		return LINKFS_EINVAL;
	cred = lk_cred(cred);
	rc = lk_call_begin_both(volume, &op, cred, ino, dir);
	if (rc)
		return rc;
	rc = lk_where_at(&op, cred, dir, name, name_len, &where);
	if (rc == 0)
		rc = look_at_source(&op, cred, ino, &where, &inode);
	rc = lk_call_end(&op, rc, &inode, LINKFS_HOLD, NULL);
	if (rc)
		return rc;
	rc = lk_cow_begin(lk_volume_fs(volume), cred, ino, &cow);
	if (rc == 0) {
		rc = lk_call_begin(volume, &op, cred, 0);
		if (rc == 0) {
			rc = lk_where_at(&op, cred, dir, name, name_len, &where);
			if (rc == 0)
				rc = lk_cow_link(&op, cred, &cow, &where, &copy);
			rc = lk_call_end(&op, rc, &copy, flags, out);
		}
		lk_cow_end(&cow);
	}
	lk_orphan_unhold(lk_volume_fs(volume), ino);
	return rc;
}

int linkfs_path_unshare(struct linkfs_volume *volume, const struct linkfs_cred *cred, uint64_t at, const char *path,
			struct linkfs_stat *out)
{
	const char *name;
	size_t len;
	uint64_t dir;
	int slash;
	int rc = linkfs_path_parent(volume, cred, at, path, &dir, &name, &len, &slash);

	if (rc == 0 && slash)
		rc = LINKFS_EISDIR;
	return rc ? rc : linkfs_node_unshare(volume, cred, dir, name, len, 0, out);
}

int linkfs_path_clone(struct linkfs_volume *volume, const struct linkfs_cred *cred, uint64_t old_at,
		      const char *old_path, uint64_t new_at, const char *new_path, uint32_t flags,
		      struct linkfs_stat *out)
{
	struct linkfs_stat old;
	const char *name;
	size_t len;
	uint64_t dir;
	int rc, slash;

	if (flags & ~LINKFS_FOLLOW)
		return LINKFS_EINVAL;
	rc = linkfs_path_stat(volume, cred, old_at, old_path,
			      LINKFS_HOLD | (flags & LINKFS_FOLLOW ? 0 : LINKFS_NOFOLLOW), &old);
	if (rc)
		return rc;
	rc = linkfs_path_parent(volume, cred, new_at, new_path, &dir, &name, &len, &slash);
	if (rc == 0 && slash) { /* no directory is made */
		struct linkfs_stat there;
		rc = linkfs_node_lookup(volume, cred, dir, name, len, 0, &there);
		rc = rc ? rc : LINKFS_EEXIST;
	}
	if (rc == 0)
		rc = linkfs_node_clone(volume, cred, old.ino, dir, name, len, 0, out);
	lk_call_unhold(lk_volume_fs(volume), old.node, 1);
	return rc;
}
