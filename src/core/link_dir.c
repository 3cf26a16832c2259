/*
 * link_dir.c - a directory gets another name (D6).
 * Layer: core. The links of a directory are its names, its ".", and the ".." of each directory in it: 2 and the directories in it for
 * one with a single name, as everywhere.
 */
#include "binds.h"
#include "link.h"
#include "places.h"
#include "track.h"

int lk_link_dir_again(struct lk_op *op, struct lk_inode *inode, uint64_t dir)
{
	struct lk_dirent first;
	struct lk_slot slot;
	bool above;
	int rc = lk_dirent_above(op, (uint64_t)inode->ino, dir, &above);

	if (rc || above)
		return rc ? rc : LINKFS_ELOOP;
	if (inode->nlink >= (int64_t)LINKFS_LINK_MAX)
		return LINKFS_EMLINK;
	rc = lk_dirent_first(op, (uint64_t)inode->ino, &first);
	if (rc)
		return rc == LINKFS_ENOENT ? LINKFS_ECORRUPT : rc;
	slot = (struct lk_slot){.dir = (uint64_t)first.dir,
				.hash = first.hash,
				.ord = first.ord,
				.ino = (uint64_t)inode->ino,
				.type = S_IFDIR};
	rc = lk_places_linked(op, &slot);
	return rc ? rc : lk_txn_count(op, LK_COUNTER_DIR_NAMES, 1, NULL);
}

int lk_link_dir(struct lk_op *op, const struct linkfs_cred *cred, struct lk_inode *inode, struct lk_where *where)
{
	struct lk_inode *dir = &where->dir.inode;
	struct lk_slot slot;
	int rc = lk_link_prepare(op, cred, where, true, &slot);

	if (rc)
		return rc;
	if (!lk_is_dir(inode))
		return LINKFS_ENOTDIR;
	if (inode->ino == (int64_t)LINKFS_ROOT_INO)
		return LINKFS_ELOOP;
	if (!lk_cred_owns(cred, inode))
		return LINKFS_EPERM;
	if (inode->nlink == 0)
		return LINKFS_ENOENT;
	if (dir->nlink >= (int64_t)LINKFS_LINK_MAX)
		return LINKFS_EMLINK;
	rc = lk_link_dir_again(op, inode, (uint64_t)dir->ino);
	if (rc)
		return rc;
	inode->nlink++;
	lk_inode_touch(op, inode, false);
	rc = lk_inode_put(op, inode);
	if (rc == 0)
		rc = lk_dirent_insert(op, &slot, where->name, where->len, (uint64_t)inode->ino, (uint32_t)inode->mode);
	if (rc)
		return rc;
	lk_inode_touch(op, dir, true);
	dir->nlink++;
	rc = lk_inode_put(op, dir);
	if (rc == 0)
		rc = lk_op_event(op, LINKFS_EVENT_ATTR, (uint64_t)inode->ino, NULL, 0);
	return rc ? rc : lk_track_tell(op, inode);
}
