/*
 * attr.c - changes of attributes under POSIX's rules, and relatime.
 * Layer: core. After Linux's fs/attr.c (may_setattr, setattr_prepare, notify_change), fs/open.c (chown_common,
 * vfs_truncate) and ext4_setattr().
 */
#include "acl.h"
#include "file.h"
#include "perm.h"
#include "xattr.h"

#define EXPLICIT_TIMES (LINKFS_SET_ATIME | LINKFS_SET_MTIME)
#define NOW_TIMES (LINKFS_SET_ATIME_NOW | LINKFS_SET_MTIME_NOW)
#define TIMES (EXPLICIT_TIMES | NOW_TIMES)
#define DAY_NS (INT64_C(24) * 3600 * 1000000000)

/* Setting both times to now asks for write permission; anything else about times for ownership. */
static bool touches(uint32_t valid)
{
	return (valid & NOW_TIMES) == NOW_TIMES;
}

static int may_change_size(struct lk_op *op, const struct linkfs_cred *cred, const struct lk_inode *inode,
			   uint64_t size, bool opened)
{
	int rc;

	if (lk_is_dir(inode))
		return LINKFS_EISDIR;
	if (!lk_is_reg(inode))
		return LINKFS_EINVAL;
	rc = lk_perm_writable(op);
	if (rc == 0 && !opened)
		rc = lk_perm_check(op, cred, inode, LK_MAY_WRITE);
	if (rc == 0 && size > LINKFS_FILE_SIZE_MAX)
		rc = LINKFS_EFBIG;
	return rc;
}

static int may_change(struct lk_op *op, const struct linkfs_cred *cred, const struct lk_inode *inode,
		      const struct linkfs_setattr *c, bool opened)
{
	bool owner = cred->uid == inode->uid;
	int rc;

	if (c->valid & LINKFS_SET_SIZE) {
		rc = may_change_size(op, cred, inode, c->size, opened);
		if (rc)
			return rc;
	}
	rc = lk_perm_writable(op);
	if (rc || (cred->flags & LINKFS_CRED_KERNEL))
		return rc;
	if (touches(c->valid) && !lk_cred_owns(cred, inode)) {
		rc = lk_perm_check(op, cred, inode, LK_MAY_WRITE);
		if (rc)
			return rc;
	}
	if ((c->valid & LINKFS_SET_MODE) && lk_is_lnk(inode))
		return LINKFS_EOPNOTSUPP;
	if (cred->uid == 0)
		return 0;
	if ((c->valid & LINKFS_SET_UID) && !(owner && c->uid == inode->uid))
		return LINKFS_EPERM;
	if ((c->valid & LINKFS_SET_GID) && !(owner && (c->gid == inode->gid || lk_cred_in_group(cred, c->gid))))
		return LINKFS_EPERM;
	if ((c->valid & LINKFS_SET_MODE) && !owner)
		return LINKFS_EPERM;
	if ((c->valid & TIMES) && !touches(c->valid) && !owner)
		return LINKFS_EPERM;
	return 0;
}

static int apply_size(struct lk_op *op, const struct linkfs_cred *cred, struct lk_inode *inode,
		      const struct linkfs_setattr *c)
{
	bool asked = c->valid & LINKFS_SET_KILL_SUIDGID;
	bool bits = asked || lk_perm_drops_bits(cred, inode);
	int rc = bits ? lk_perm_kill_privs(op, cred, inode, asked) : lk_perm_kill_caps(op, inode);

	/* As on ext4 the times change also when the size stays. */
	return rc ? rc : lk_file_resize(op, inode, c->size);
}

static int apply_owner(struct lk_op *op, const struct linkfs_cred *cred, struct lk_inode *inode,
		       const struct linkfs_setattr *c)
{
	int rc = lk_perm_kill_privs(op, cred, inode, false);

	if (rc)
		return rc;
	if (c->valid & LINKFS_SET_UID)
		inode->uid = c->uid;
	if (c->valid & LINKFS_SET_GID)
		inode->gid = c->gid;
	return 0;
}

/* The kernel's order to drop privileges with nothing beside it. It does not tell why: chown(-1, -1), which drops all of
 * them, or root's write to a file with capabilities, which drops only those. */
static int apply_kill(struct lk_op *op, const struct linkfs_cred *cred, struct lk_inode *inode)
{
	if (cred->uid == 0 && (inode->flags & LK_INODE_HAS_CAPS))
		return lk_perm_kill_caps(op, inode);
	return lk_perm_kill_privs(op, cred, inode, cred->uid != 0);
}

static int apply_mode(struct lk_op *op, const struct linkfs_cred *cred, struct lk_inode *inode, uint32_t mode)
{
	inode->mode = (inode->mode & S_IFMT) | (mode & 07777);
	if (!lk_cred_may_all(cred) && !lk_cred_in_group(cred, inode->gid))
		inode->mode &= ~(int64_t)S_ISGID;
	return inode->flags & LK_INODE_HAS_ACL ? lk_acl_chmod(op, inode) : 0;
}

int lk_attr_set(struct lk_op *op, const struct linkfs_cred *cred, struct lk_inode *inode,
		const struct linkfs_setattr *c, bool opened)
{
	struct lk_inode changed = *inode;
	int rc;

	if ((c->valid & (LINKFS_SET_UID)) && c->uid == UINT32_MAX)
		return LINKFS_EINVAL;
	if ((c->valid & LINKFS_SET_GID) && c->gid == UINT32_MAX)
		return LINKFS_EINVAL;
	rc = may_change(op, cred, inode, c, opened);
	if (rc)
		return rc;
	if (c->valid & LINKFS_SET_SIZE)
		rc = apply_size(op, cred, &changed, c);
	if (rc == 0 && (c->valid & (LINKFS_SET_UID | LINKFS_SET_GID)))
		rc = apply_owner(op, cred, &changed, c);
	else if (rc == 0 && (c->valid & LINKFS_SET_KILL_SUIDGID) && !(c->valid & LINKFS_SET_SIZE))
		rc = apply_kill(op, cred, &changed);
	if (rc == 0 && (c->valid & LINKFS_SET_MODE))
		rc = apply_mode(op, cred, &changed, c->mode);
	if (rc)
		return rc;
	if (c->valid & LINKFS_SET_ATIME_NOW)
		changed.atime_ns = op->now_ns;
	else if (c->valid & LINKFS_SET_ATIME)
		changed.atime_ns = c->atime_ns;
	if (c->valid & LINKFS_SET_MTIME_NOW)
		changed.mtime_ns = op->now_ns;
	else if (c->valid & LINKFS_SET_MTIME)
		changed.mtime_ns = c->mtime_ns;
	lk_inode_touch(op, &changed, false);
	if ((c->valid & LINKFS_SET_CTIME) && (cred->flags & LINKFS_CRED_KERNEL))
		changed.ctime_ns = c->ctime_ns;
	rc = lk_inode_put(op, &changed);
	if (rc)
		return rc;
	*inode = changed;
	/* A change of size has said so already. */
	return c->valid & LINKFS_SET_SIZE ? 0 : lk_op_event(op, LINKFS_EVENT_ATTR, (uint64_t)inode->ino, NULL, 0);
}

bool lk_atime_due(const struct lk_op *op, const struct lk_inode *inode)
{
	const struct lk_fs *fs = op->fs;
	int64_t now_ns = op->now_ns;

	if (op->view != LK_VIEW_LIVE || (fs->open_flags & (LINKFS_OPEN_READONLY | LINKFS_OPEN_NOATIME)))
		return false;
	if (fs->open_flags & LINKFS_OPEN_STRICTATIME)
		return inode->atime_ns != now_ns;
	return inode->mtime_ns >= inode->atime_ns || inode->ctime_ns >= inode->atime_ns ||
	       inode->atime_ns <= now_ns - DAY_NS;
}

void lk_atime_touch(struct lk_fs *fs, uint64_t ino)
{
	struct lk_inode inode;
	struct lk_op op;
	int rc;

	if (lk_op_begin(fs, &op, LK_OP_WRITE | LK_OP_SILENT | LK_OP_PURGE))
		return;
	rc = lk_inode_get(&op, ino, &inode);
	if (rc == 0 && lk_atime_due(&op, &inode)) {
		inode.atime_ns = op.now_ns;
		rc = lk_inode_put(&op, &inode);
	}
	(void)lk_op_end(&op, rc);
}
