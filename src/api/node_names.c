/*
 * node_names.c - calls by inode number that make, remove and move names.
 * Layer: api.
 */
#include "binds.h"
#include "call.h"

int linkfs_node_make(struct linkfs_volume *volume, const struct linkfs_cred *cred, uint64_t dir, const char *name,
		     size_t name_len, const struct linkfs_make *how, uint32_t flags, struct linkfs_stat *out)
{
	struct lk_inode inode = {0};
	struct lk_place place = {0};
	struct lk_where where;
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
		rc = lk_link_make(&op, cred, &where, how, &inode);
	if (rc == 0)
		rc = lk_call_place(&op, &where, &inode, &place);
	return lk_call_end_at(&op, rc, &place, flags, out);
}

int linkfs_node_tmpfile(struct linkfs_volume *volume, const struct linkfs_cred *cred, uint64_t dir, uint32_t mode,
			struct linkfs_stat *out)
{
	struct lk_inode parent, inode = {0};
	struct lk_op op;
	bool made;
	int rc;

	cred = lk_cred(cred);
	rc = lk_call_begin(volume, &op, cred, 0);
	if (rc)
		return rc;
	rc = lk_inode_get(&op, dir, &parent);
	if (rc == 0)
		rc = lk_link_tmpfile(&op, cred, &parent, mode, true, &inode);
	made = rc == 0;
	rc = lk_call_end(&op, rc, &inode, 0, out);
	if (rc && made)
		lk_orphan_unhold(lk_volume_fs(volume), (uint64_t)inode.ino);
	return rc;
}

int linkfs_node_symlink(struct linkfs_volume *volume, const struct linkfs_cred *cred, uint64_t dir, const char *name,
			size_t name_len, const char *target, size_t target_len, uint32_t flags, struct linkfs_stat *out)
{
	struct lk_inode inode = {0};
	struct lk_where where;
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
		rc = lk_symlink_make(&op, cred, &where, target, target_len, &inode);
	return lk_call_end(&op, rc, &inode, flags, out);
}

/* Gives inode ino the name, in the way of give. */
static int name_node(struct linkfs_volume *volume, const struct linkfs_cred *cred, uint64_t ino, uint64_t dir,
		     const char *name, size_t name_len, lk_name_fn *give, uint32_t flags, struct linkfs_stat *out)
{
	struct lk_inode inode = {0};
	struct lk_where where;
	struct lk_op op;
	int rc;

	cred = lk_cred(cred);
	rc = lk_call_begin_both(volume, &op, cred, ino, dir);
	if (rc)
		return rc;
	rc = lk_inode_get(&op, ino, &inode);
	if (rc == 0)
		rc = lk_where_at(&op, cred, dir, name, name_len, &where);
	if (rc == 0)
		rc = give(&op, cred, &inode, &where);
	return lk_call_end(&op, rc, &inode, flags, out);
}

int linkfs_node_link(struct linkfs_volume *volume, const struct linkfs_cred *cred, uint64_t ino, uint64_t dir,
		     const char *name, size_t name_len, uint32_t flags, struct linkfs_stat *out)
{
	if (flags & ~LINKFS_HOLD)
		return LINKFS_EINVAL;
	return name_node(volume, cred, ino, dir, name, name_len, lk_link_add, flags, out);
}

int linkfs_node_link_directory(struct linkfs_volume *volume, const struct linkfs_cred *cred, uint64_t ino, uint64_t dir,
			       const char *name, size_t name_len)
{
	return name_node(volume, cred, ino, dir, name, name_len, lk_link_dir, 0, NULL);
}

int linkfs_node_bind(struct linkfs_volume *volume, const struct linkfs_cred *cred, uint64_t source, uint64_t dir,
		     const char *name, size_t name_len)
{
	return name_node(volume, cred, source, dir, name, name_len, lk_call_bind, 0, NULL);
}

int linkfs_node_unbind(struct linkfs_volume *volume, const struct linkfs_cred *cred, uint64_t dir, const char *name,
		       size_t name_len)
{
	struct lk_where where;
	struct lk_op op;
	int rc;

	cred = lk_cred(cred);
	rc = lk_call_begin(volume, &op, cred, LK_OP_FREES);
	if (rc)
		return rc;
	rc = lk_where_at(&op, cred, dir, name, name_len, &where);
	if (rc == 0)
		rc = lk_bind_remove(&op, cred, &where);
	return lk_op_end(&op, rc);
}

int linkfs_node_unlink(struct linkfs_volume *volume, const struct linkfs_cred *cred, uint64_t dir, const char *name,
		       size_t name_len)
{
	struct lk_where where;
	struct lk_op op;
	int rc;

	cred = lk_cred(cred);
	rc = lk_call_begin(volume, &op, cred, LK_OP_FREES);
	if (rc)
		return rc;
	rc = lk_where_at(&op, cred, dir, name, name_len, &where);
	if (rc == 0)
		rc = lk_link_unlink(&op, cred, &where);
	return lk_op_end(&op, rc);
}

int linkfs_node_rmdir(struct linkfs_volume *volume, const struct linkfs_cred *cred, uint64_t dir, const char *name,
		      size_t name_len)
{
	struct lk_where where;
	struct lk_op op;
	int rc;

	cred = lk_cred(cred);
	rc = lk_call_begin(volume, &op, cred, LK_OP_FREES);
	if (rc)
		return rc;
	rc = lk_where_at(&op, cred, dir, name, name_len, &where);
	if (rc == 0)
		rc = lk_link_rmdir(&op, cred, &where);
	return lk_op_end(&op, rc);
}

int linkfs_node_rename(struct linkfs_volume *volume, const struct linkfs_cred *cred, uint64_t old_dir,
		       const char *old_name, size_t old_len, uint64_t new_dir, const char *new_name, size_t new_len,
		       uint32_t flags)
{
	struct lk_where from, to;
	struct lk_op op;
	int rc;

	cred = lk_cred(cred);
	rc = lk_call_begin_both(volume, &op, cred, old_dir, new_dir);
	if (rc)
		return rc;
	rc = lk_where_at(&op, cred, old_dir, old_name, old_len, &from);
	if (rc == 0)
		rc = lk_where_at(&op, cred, new_dir, new_name, new_len, &to);
	if (rc == 0)
		rc = lk_rename(&op, cred, &from, &to, flags);
	return lk_op_end(&op, rc);
}
