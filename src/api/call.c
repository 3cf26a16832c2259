/*
 * call.c - see call.h.
 * Layer: api.
 */
#include "call.h"

#include "file.h"
#include "track.h"

int lk_call_end(struct lk_op *op, int rc, const struct lk_inode *inode, uint32_t flags, struct linkfs_stat *out)
{
	struct lk_fs *fs = op->fs;
	struct linkfs_stat st;
	bool held = false;

	if (rc == 0 && out)
		rc = lk_stat(op, inode, &st);
	if (rc == 0 && (flags & LINKFS_HOLD)) {
		rc = lk_node_hold(fs, (uint64_t)inode->ino, 1);
		held = rc == 0;
	}
	rc = lk_op_end(op, rc);
	if (rc && held)
		lk_orphan_unhold(fs, (uint64_t)inode->ino);
	if (rc == 0 && out)
		*out = st;
	return rc;
}

int lk_call_setattr(struct linkfs_volume *volume, const struct linkfs_cred *cred, uint64_t ino,
		    const struct linkfs_setattr *change, bool opened, struct linkfs_stat *out)
{
	struct lk_fs *fs = lk_volume_fs(volume);
	bool resize = change->valid & LINKFS_SET_SIZE;
	struct lk_inode inode = {0};
	unsigned tries = 0;
	struct lk_op op;
	int rc;

	cred = lk_cred(cred);
	/* T1: the node's write lock comes before the volume's. */
	rc = resize ? lk_node_lock(fs, ino) : 0;
	if (rc)
		return rc;
	do {
		rc = lk_call_begin(volume, &op, cred, resize ? LK_OP_FREES : 0);
		if (rc)
			break;
		rc = lk_inode_get(&op, ino, &inode);
		if (rc == 0)
			rc = lk_attr_set(&op, cred, &inode, change, opened);
		rc = lk_call_end(&op, rc, &inode, 0, out);
	} while (resize && lk_file_again(fs, rc, false, &tries));
	if (resize)
		lk_node_unlock(fs, ino);
	return rc;
}
