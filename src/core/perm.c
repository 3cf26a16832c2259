/*
 * perm.c - permission checks and what drops privileges (F7).
 * Layer: core. The rules are those of fs/namei.c (generic_permission, may_create, may_delete) and fs/attr.c of Linux 6.18,
 * with uid 0 holding every capability.
 */
#include "perm.h"
#include "acl.h"
#include "file.h"
#include "xattr.h"

const struct linkfs_cred *lk_cred(const struct linkfs_cred *cred)
{
	static const struct linkfs_cred root = {.umask = 022};

	return cred ? cred : &root;
}

bool lk_cred_in_group(const struct linkfs_cred *cred, int64_t gid)
{
	if (cred->gid == gid)
		return true;
	for (uint32_t i = 0; i < cred->ngroups; i++)
		if (cred->groups[i] == gid)
			return true;
	return false;
}

bool lk_cred_owns(const struct linkfs_cred *cred, const struct lk_inode *inode)
{
	return lk_cred_may_all(cred) || cred->uid == inode->uid;
}

enum lk_decider lk_perm_decider(const struct linkfs_cred *cred, const struct lk_inode *inode)
{
	if (lk_cred_may_all(cred))
		return LK_BY_POWER;
	if (cred->uid == inode->uid)
		return LK_BY_OWNER;
	/* An ACL whose mask is empty grants nothing beyond other; Linux does not look at it then. */
	if ((inode->flags & LK_INODE_HAS_ACL) && (inode->mode & S_IRWXG))
		return LK_BY_ACL;
	return lk_cred_in_group(cred, inode->gid) ? LK_BY_GROUP : LK_BY_OTHER;
}

/* By mode and ACL alone: 0 or LINKFS_EACCES. */
static int check_mode(struct lk_op *op, const struct linkfs_cred *cred, const struct lk_inode *inode, uint32_t mask)
{
	uint32_t mode = (uint32_t)inode->mode;

	switch (lk_perm_decider(cred, inode)) {
	case LK_BY_OWNER:
		mode >>= 6;
		break;
	case LK_BY_ACL:
		return lk_acl_check(op, cred, inode, mask);
	case LK_BY_GROUP:
		mode >>= 3;
		break;
	case LK_BY_POWER:
	case LK_BY_OTHER:
		break;
	}
	return mask & ~mode ? LINKFS_EACCES : 0;
}

int lk_perm_check(struct lk_op *op, const struct linkfs_cred *cred, const struct lk_inode *inode, uint32_t mask)
{
	if (cred->flags & LINKFS_CRED_KERNEL)
		return 0;
	mask &= LK_MAY_READ | LK_MAY_WRITE | LK_MAY_EXEC;
	if (cred->uid == 0) {
		/* Root may all, but execute a file that nobody may execute. */
		if (!(mask & LK_MAY_EXEC) || lk_is_dir(inode) || (inode->mode & (S_IXUSR | S_IXGRP | S_IXOTH)))
			return 0;
		return LINKFS_EACCES;
	}
	return check_mode(op, cred, inode, mask);
}

int lk_perm_writable(const struct lk_op *op)
{
	return (op->flags & LK_OP_WRITE) && op->view == LK_VIEW_LIVE ? 0 : LINKFS_EROFS;
}

int lk_perm_create(struct lk_op *op, const struct linkfs_cred *cred, const struct lk_inode *dir)
{
	if (dir->nlink == 0)
		return LINKFS_ENOENT;
	return lk_perm_check(op, cred, dir, LK_MAY_WRITE | LK_MAY_EXEC);
}

int lk_perm_delete(struct lk_op *op, const struct linkfs_cred *cred, const struct lk_inode *dir,
		   const struct lk_inode *victim, bool want_dir)
{
	int rc = lk_perm_check(op, cred, dir, LK_MAY_WRITE | LK_MAY_EXEC);

	if (rc)
		return rc;
	if ((dir->mode & S_ISVTX) && !lk_cred_may_all(cred) && cred->uid != victim->uid && cred->uid != dir->uid)
		return LINKFS_EPERM;
	if (want_dir && !lk_is_dir(victim))
		return LINKFS_ENOTDIR;
	if (!want_dir && lk_is_dir(victim))
		return LINKFS_EISDIR;
	return 0;
}

bool lk_perm_drops_bits(const struct linkfs_cred *cred, const struct lk_inode *inode)
{
	if (!lk_is_reg(inode) || lk_cred_may_all(cred))
		return false;
	return (inode->mode & S_ISUID) ||
	       ((inode->mode & S_ISGID) && ((inode->mode & S_IXGRP) || !lk_cred_in_group(cred, inode->gid)));
}

int lk_perm_kill_caps(struct lk_op *op, struct lk_inode *inode)
{
	int rc;

	if (!(inode->flags & LK_INODE_HAS_CAPS))
		return 0;
	rc = lk_xattr_erase(op, inode, "security.capability");
	return rc == LINKFS_ENODATA ? LINKFS_ECORRUPT : rc;
}

int lk_perm_kill_privs(struct lk_op *op, const struct linkfs_cred *cred, struct lk_inode *inode, bool asked)
{
	int rc;

	if (lk_is_dir(inode))
		return 0;
	rc = lk_perm_kill_caps(op, inode);
	inode->mode &= ~(int64_t)S_ISUID;
	if ((inode->mode & S_IXGRP) || ((asked || !lk_cred_may_all(cred)) && !lk_cred_in_group(cred, inode->gid)))
		inode->mode &= ~(int64_t)S_ISGID;
	return rc;
}
