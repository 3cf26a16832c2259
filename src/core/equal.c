/*
 * equal.c - see equal.h: a name goes over to another file with the same content.
 * Layer: core.
 */
#include "equal.h"

#include "binds.h"
#include "link.h"
#include "track.h"

static int may(struct lk_op *op, const struct linkfs_cred *cred, const struct lk_where *where,
	       const struct lk_inode *from, const struct lk_inode *to)
{
	if (!lk_cred_owns(cred, from) || !lk_cred_owns(cred, to))
		return LINKFS_EPERM;
	if (from->nlink == 0)
		return LINKFS_ENOENT;
	if (from->nlink >= (int64_t)LINKFS_LINK_MAX)
		return LINKFS_EMLINK;
	return lk_perm_delete(op, cred, &where->dir.inode, to, false);
}

int lk_dedupe_link(struct lk_op *op, const struct linkfs_cred *cred, uint64_t from, uint64_t to, struct lk_where *where)
{
	struct lk_inode *dir = &where->dir.inode, kept;
	struct lk_place there;
	struct lk_slot slot;
	int rc;

	if (where->last != LK_LAST_NAME)
		return LINKFS_EISDIR;
	rc = lk_perm_writable(op);
	if (rc == 0)
		rc = lk_walk_look(op, where, &slot, &there);
	if (rc == 0 && slot.bound)
		rc = LINKFS_EBUSY;
	if (rc == 0 && slot.ino != to)
		rc = LINKFS_EAGAIN;
	if (rc == 0)
		rc = lk_inode_get(op, from, &kept);
	if (rc == 0)
		rc = may(op, cred, where, &kept, &there.inode);
	if (rc)
		return rc;
	/* Reads only up to here. */
	struct lk_lost lost = {(uint64_t)dir->ino, where->name, where->len, dir->mtime_ns, true};

	/* What tracks the file by this name tracks the one that has it now. */
	rc = lk_track_follow(op, &there.inode, &kept, there.inode.nlink > 1 ? &slot : NULL);
	kept.nlink++;
	lk_inode_touch(op, &kept, false);
	if (rc == 0)
		rc = lk_inode_put(op, &kept);
	if (rc == 0)
		rc = lk_dirent_replace(op, &slot, where->name, where->len, from, (uint32_t)kept.mode);
	lk_inode_touch(op, dir, true);
	if (rc == 0)
		rc = lk_inode_put(op, dir);
	if (rc == 0)
		rc = lk_op_event(op, LINKFS_EVENT_ATTR, from, NULL, 0);
	/* As in lk_link_add(). */
	if (rc == 0 && lk_binds_any(op))
		rc = lk_track_tell(op, &kept);
	return rc ? rc : lk_link_drop_name(op, &there.inode, &lost);
}
