/*
 * receive_core.c - see receive_core.h.
 * Layer: core.
 */
#include "receive_core.h"

#include "acl.h"
#include "property.h"
#include "snapshot.h"
#include "track.h"
#include "views.h"
#include "xattr.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define NOTE_KEY "receive"

static int begin(struct lk_fs *fs, struct lk_op *op, uint64_t ino, struct lk_inode *inode)
{
	int rc = lk_op_begin(fs, op, LK_OP_WRITE);

	if (rc)
		return rc;
	rc = lk_inode_get(op, ino, inode);
	return rc ? lk_op_end(op, rc) : 0;
}

static int tell(struct lk_op *op, enum linkfs_event_kind kind, uint64_t ino)
{
	return lk_op_event(op, kind, ino, NULL, 0);
}

int lk_receive_attributes(struct lk_fs *fs, uint64_t ino, const struct lk_received_attributes *what)
{
	struct lk_inode inode;
	struct lk_op op;
	int rc = begin(fs, &op, ino, &inode);

	if (rc)
		return rc;
	if ((what->mode & S_IFMT) != (inode.mode & S_IFMT) || (what->mode & ~(uint32_t)(S_IFMT | 07777)) ||
	    (what->flags & ~LINKFS_INO_KEEP_LINKS) || (what->flags && !lk_is_reg(&inode) && !lk_is_dir(&inode)) ||
	    (lk_is_lnk(&inode) && what->mode != (uint32_t)inode.mode))
		rc = LINKFS_EINVAL;
	inode.mode = what->mode;
	inode.uid = what->uid;
	inode.gid = what->gid;
	inode.atime_ns = what->atime_ns;
	inode.mtime_ns = what->mtime_ns;
	if (what->made)
		inode.btime_ns = what->btime_ns;
	inode.flags = (inode.flags & ~(int64_t)LK_INODE_KEEP_LINKS) |
		      (what->flags & LINKFS_INO_KEEP_LINKS ? LK_INODE_KEEP_LINKS : 0);
	lk_inode_touch(&op, &inode, false);
	if (rc == 0 && (inode.flags & LK_INODE_HAS_ACL))
		rc = lk_acl_chmod(&op, &inode);
	if (rc == 0)
		rc = lk_inode_put(&op, &inode);
	if (rc == 0)
		rc = tell(&op, LINKFS_EVENT_ATTR, ino);
	return lk_op_end(&op, rc);
}

int lk_receive_xattr(struct lk_fs *fs, uint64_t ino, const char *name, const void *value, size_t size)
{
	struct lk_inode inode;
	struct lk_op op;
	int rc = begin(fs, &op, ino, &inode);

	if (rc)
		return rc;
	rc = value ? lk_xattr_set(&op, lk_cred(NULL), &inode, name, value, size, 0)
		   : lk_xattr_remove(&op, lk_cred(NULL), &inode, name);
	return lk_op_end(&op, rc == LINKFS_ENODATA ? 0 : rc);
}

int lk_receive_text(struct lk_fs *fs, uint64_t ino, const char *text, size_t len)
{
	struct lk_inode inode;
	struct lk_target row;
	struct lk_op op;
	int rc = begin(fs, &op, ino, &inode);

	if (rc)
		return rc;
	rc = lk_is_lnk(&inode) ? lk_symlink_row(&op, &inode, &row) : LINKFS_EINVAL;
	if (rc == 0 && row.text.len == len && memcmp(row.text.p, text, len) == 0)
		return lk_op_end(&op, 0);
	if (rc == 0)
		rc = lk_symlink_rewrite(&op, &inode, &row, text, len);
	if (rc == 0)
		rc = lk_txn_put(&op, LK_T_TARGET, &row);
	lk_inode_touch(&op, &inode, true);
	if (rc == 0)
		rc = lk_inode_put(&op, &inode);
	if (rc == 0)
		rc = tell(&op, LINKFS_EVENT_DATA, ino);
	return lk_op_end(&op, rc);
}

int lk_receive_track(struct lk_fs *fs, uint64_t ino, uint64_t target, uint64_t dir, const char *name, size_t len)
{
	struct lk_inode inode, followed;
	struct lk_slot slot = {0};
	struct lk_op op;
	int rc = begin(fs, &op, ino, &inode);

	if (rc)
		return rc;
	rc = lk_is_lnk(&inode) && inode.nlink == 1 ? lk_inode_get(&op, target, &followed) : LINKFS_EINVAL;
	if (rc == 0 && lk_is_lnk(&followed))
		rc = LINKFS_EINVAL;
	if (rc == 0 && dir) {
		rc = lk_dirent_find(&op, dir, name, len, &slot);
		if (rc == 0 && slot.ino != target)
			rc = LINKFS_ENOENT;
	}
	if (rc == 0)
		rc = lk_track_set(&op, target, dir ? &slot : NULL, &inode);
	if (rc == 0)
		rc = lk_track_tell(&op, &inode);
	return lk_op_end(&op, rc);
}

int lk_receive_followed(struct lk_fs *fs, uint64_t bits, uint64_t ino, uint64_t *target_out)
{
	struct lk_inode inode;
	struct lk_target row = {0};
	struct lk_op op;
	uint64_t node;
	int rc = lk_op_begin(fs, &op, 0);

	if (rc)
		return rc;
	rc = lk_view_see(&op, bits | LINKFS_ROOT_INO, &node);
	if (rc == 0)
		rc = lk_inode_get(&op, ino, &inode);
	if (rc == 0 && lk_is_lnk(&inode))
		rc = lk_symlink_row(&op, &inode, &row);
	rc = lk_op_end(&op, rc);
	if (rc == 0)
		*target_out = (uint64_t)row.tracks;
	return rc;
}

int lk_receive_find(struct lk_fs *fs, uint64_t bits, uint64_t dir, const char *name, size_t len, uint64_t *ino_out,
		    uint64_t *bound_out)
{
	struct lk_slot slot = {0};
	struct lk_inode inode;
	struct lk_op op;
	uint64_t node;
	int rc = lk_op_begin(fs, &op, 0);

	if (rc)
		return rc;
	rc = lk_view_see(&op, bits | LINKFS_ROOT_INO, &node);
	if (rc == 0)
		rc = lk_inode_get(&op, dir, &inode);
	if (rc == 0 && !lk_is_dir(&inode))
		rc = LINKFS_ENOTDIR;
	if (rc == 0)
		rc = lk_dirent_find(&op, dir, name, len, &slot);
	rc = lk_op_end(&op, rc);
	if (rc)
		return rc;
	*ino_out = slot.ino;
	if (bound_out)
		*bound_out = slot.bound;
	return 0;
}

/* ---- the note --------------------------------------------------------------------------------------------------- */

int lk_receive_note(struct lk_fs *fs, const char *text)
{
	struct lk_op op;
	int rc = lk_op_begin(fs, &op, LK_OP_WRITE);

	if (rc)
		return rc;
	rc = lk_op_end(&op, lk_property_note(&op, NOTE_KEY, text));
	if (rc)
		(void)lk_property_reload(fs);
	return rc;
}

int lk_receive_noted(struct lk_fs *fs, struct lk_buf *out)
{
	struct lk_op op;
	int rc = lk_op_begin(fs, &op, 0);

	if (rc)
		return rc;
	return lk_op_end(&op,
			 lk_property_noted((struct lk_bytes){fs->properties.p, fs->properties.len}, NOTE_KEY, out));
}

int64_t lk_receive_base(const struct lk_fs *fs)
{
	struct lk_buf text = {0};
	int64_t epoch = 0;

	/* Most of the time there is no such line; without memory for it there is one. */
	if (lk_property_noted((struct lk_bytes){fs->properties.p, fs->properties.len}, NOTE_KEY, &text) == 0 &&
	    sscanf((const char *)text.p, "%*d %*s %*s %*s %*u %" SCNd64, &epoch) != 1)
		epoch = 0;
	lk_buf_done(&text);
	return epoch;
}

int lk_receive_done(struct lk_fs *fs, struct lk_snapshot *s)
{
	struct lk_op op;
	int rc = lk_op_begin(fs, &op, LK_OP_WRITE);

	if (rc)
		return rc;
	rc = lk_snapshot_add(&op, s);
	if (rc == 0)
		rc = lk_property_note(&op, NOTE_KEY, NULL);
	rc = lk_op_end(&op, rc);
	if (rc)
		(void)lk_property_reload(fs);
	return rc;
}
