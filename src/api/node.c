/*
 * node.c - calls by inode number that read or change one node: lookup, attributes, access, symlink text, xattrs.
 * Layer: api.
 */
#include "call.h"
#include "file.h"
#include "keep.h"
#include "xattr.h"

#include <string.h>

int linkfs_node_lookup(struct linkfs_volume *volume, const struct linkfs_cred *cred, uint64_t dir, const char *name,
		       size_t name_len, uint32_t flags, struct linkfs_stat *out)
{
	struct lk_where where;
	struct lk_place found = {0};
	struct lk_slot slot;
	struct lk_op op;
	int rc;

	if (flags & ~LINKFS_HOLD)
		return LINKFS_EINVAL;
	rc = lk_op_begin(lk_volume_fs(volume), &op, 0);
	if (rc)
		return rc;
	rc = lk_where_at(&op, lk_cred(cred), dir, name, name_len, &where);
	if (rc == 0)
		rc = lk_walk_look(&op, &where, &slot, &found);
	return lk_call_end_at(&op, rc, &found, flags, out);
}

int linkfs_node_setattr(struct linkfs_volume *volume, const struct linkfs_cred *cred, uint64_t ino,
			const struct linkfs_setattr *change, struct linkfs_stat *out)
{
	return lk_call_setattr(volume, cred, ino, change, false, out);
}

int linkfs_node_set_flags(struct linkfs_volume *volume, const struct linkfs_cred *cred, uint64_t ino, uint32_t flags,
			  uint32_t mask, struct linkfs_stat *out)
{
	struct lk_inode inode = {0};
	struct lk_op op;
	int rc;

	cred = lk_cred(cred);
	rc = flags & (LINKFS_INO_COMPRESS | LINKFS_INO_NO_COMPRESS) ? lk_file_pack_feature(lk_volume_fs(volume)) : 0;
	if (rc == 0)
		rc = lk_call_begin(volume, &op, cred, 0);
	if (rc)
		return rc;
	lk_op_own(&op, ino);
	rc = lk_keep_set(&op, cred, ino, flags, mask, &inode);
	return lk_call_end(&op, rc, &inode, 0, out);
}

int linkfs_node_access(struct linkfs_volume *volume, const struct linkfs_cred *cred, uint64_t ino, uint32_t mask)
{
	struct lk_fs *fs = lk_volume_fs(volume);
	struct lk_inode inode;
	struct lk_op op;
	int rc;

	if (mask & ~(LK_MAY_READ | LK_MAY_WRITE | LK_MAY_EXEC))
		return LINKFS_EINVAL;
	rc = lk_op_begin(fs, &op, 0);
	if (rc)
		return rc;
	rc = lk_inode_get(&op, ino, &inode);
	if (rc == 0 && (mask & LK_MAY_WRITE) && (lk_is_reg(&inode) || lk_is_dir(&inode) || lk_is_lnk(&inode)) &&
	    ((fs->open_flags & LINKFS_OPEN_READONLY) || op.bits || atomic_load(&fs->poisoned)))
		rc = LINKFS_EROFS;
	if (rc == 0)
		rc = lk_perm_check(&op, lk_cred(cred), &inode, mask);
	return lk_op_end(&op, rc);
}

int linkfs_node_readlink(struct linkfs_volume *volume, uint64_t ino, char *buf, size_t size, size_t *len_out)
{
	struct lk_fs *fs = lk_volume_fs(volume);
	struct lk_inode inode;
	const char *text;
	size_t len = 0;
	bool due = false;
	struct lk_op op;
	int rc = lk_op_begin(fs, &op, 0);

	if (rc)
		return rc;
	rc = lk_inode_get(&op, ino, &inode);
	if (rc == 0)
		rc = lk_symlink_text(&op, &inode, lk_places_dir(fs, ino), &text, &len);
	if (rc == 0) {
		len = LK_MIN(len, size);
		memcpy(buf, text, len);
		due = lk_atime_due(&op, &inode);
	}
	rc = lk_op_end(&op, rc);
	if (rc)
		return rc;
	*len_out = len;
	if (due)
		lk_atime_touch(fs, ino);
	return 0;
}

int linkfs_node_getxattr(struct linkfs_volume *volume, const struct linkfs_cred *cred, uint64_t ino, const char *name,
			 void *buf, size_t size, size_t *len_out)
{
	struct lk_inode inode;
	struct lk_op op;
	size_t len = 0;
	int rc = lk_op_begin(lk_volume_fs(volume), &op, 0);

	if (rc)
		return rc;
	rc = lk_inode_get(&op, ino, &inode);
	if (rc == 0)
		rc = lk_xattr_get(&op, lk_cred(cred), &inode, name, buf, size, &len);
	rc = lk_op_end(&op, rc);
	if (rc == 0)
		*len_out = len;
	return rc;
}

int linkfs_node_setxattr(struct linkfs_volume *volume, const struct linkfs_cred *cred, uint64_t ino, const char *name,
			 const void *value, size_t size, uint32_t flags)
{
	struct lk_inode inode;
	struct lk_op op;
	int rc;

	cred = lk_cred(cred);
	rc = lk_call_begin(volume, &op, cred, 0);
	if (rc)
		return rc;
	lk_op_own(&op, ino);
	rc = lk_inode_get(&op, ino, &inode);
	if (rc == 0)
		rc = lk_xattr_set(&op, cred, &inode, name, value, size, flags);
	return lk_op_end(&op, rc);
}

int linkfs_node_listxattr(struct linkfs_volume *volume, const struct linkfs_cred *cred, uint64_t ino, char *buf,
			  size_t size, size_t *len_out)
{
	struct lk_inode inode;
	struct lk_op op;
	size_t len = 0;
	int rc = lk_op_begin(lk_volume_fs(volume), &op, 0);

	if (rc)
		return rc;
	rc = lk_inode_get(&op, ino, &inode);
	if (rc == 0)
		rc = lk_xattr_list(&op, lk_cred(cred), &inode, buf, size, &len);
	rc = lk_op_end(&op, rc);
	if (rc == 0)
		*len_out = len;
	return rc;
}

int linkfs_node_removexattr(struct linkfs_volume *volume, const struct linkfs_cred *cred, uint64_t ino,
			    const char *name)
{
	struct lk_inode inode;
	struct lk_op op;
	int rc;

	cred = lk_cred(cred);
	rc = lk_call_begin(volume, &op, cred, LK_OP_FREES);
	if (rc)
		return rc;
	lk_op_own(&op, ino);
	rc = lk_inode_get(&op, ino, &inode);
	if (rc == 0)
		rc = lk_xattr_remove(&op, cred, &inode, name);
	return lk_op_end(&op, rc);
}
