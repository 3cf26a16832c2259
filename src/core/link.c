/*
 * link.c - names come and go: make, temporary files, link, unlink, rmdir (A1-A7).
 * Layer: core. Checks come in the order of Linux 6.18's fs/namei.c (filename_create, may_create, may_delete, vfs_link ...)
 * and then ext4's, so that a call that is wrong in two ways says what ext4 says.
 */
#include "link.h"
#include "acl.h"
#include "binds.h"
#include "name_cache.h"
#include "node.h"
#include "orphan.h"
#include "places.h"
#include "track.h"

#include <string.h>

int lk_link_own(struct lk_op *op, const struct linkfs_cred *cred, const struct lk_inode *dir, uint32_t mode,
		struct lk_inode *inode)
{
	inode->uid = cred->uid;
	inode->gid = cred->gid;
	if (dir->mode & S_ISGID) {
		inode->gid = dir->gid;
		if (S_ISDIR(mode))
			mode |= S_ISGID;
		else if ((mode & S_IXGRP) && !lk_cred_may_all(cred) && !lk_cred_in_group(cred, dir->gid))
			mode &= ~(uint32_t)S_ISGID;
	}
	inode->mode = mode;
	return S_ISLNK(mode) ? 0 : lk_acl_inherit(op, cred, dir, inode);
}

int lk_link_new_inode(struct lk_op *op, const struct linkfs_cred *cred, const struct lk_inode *dir, uint32_t mode,
		      struct lk_inode *out)
{
	int rc = lk_inode_new(op, out);

	if (rc)
		return rc;
	if (S_ISREG(mode))
		out->flags |= LK_INODE_INLINE; /* empty: small until it grows */
	if (S_ISREG(mode) || S_ISDIR(mode))
		out->flags |= dir->flags & LK_INODE_INHERITED;
	return lk_link_own(op, cred, dir, mode, out);
}

int lk_link_prepare(struct lk_op *op, const struct linkfs_cred *cred, struct lk_where *where, bool want_dir,
		    struct lk_slot *slot)
{
	int rc;

	if (where->last != LK_LAST_NAME)
		return LINKFS_EEXIST;
	if (where->dir.inode.nlink == 0)
		return LINKFS_ENOENT;
	rc = lk_dirent_find(op, (uint64_t)where->dir.inode.ino, where->name, where->len, slot);
	if (rc)
		return rc;
	if (slot->ino)
		return LINKFS_EEXIST;
	if (where->slash && !want_dir)
		return LINKFS_ENOENT;
	rc = lk_perm_writable(op);
	return rc ? rc : lk_perm_create(op, cred, &where->dir.inode);
}

int lk_link_how(const struct linkfs_make *how, uint32_t *mode_out)
{
	uint32_t type = how->mode & S_IFMT, bits = 07777;

	switch (type) {
	case 0:
		type = S_IFREG;
		break;
	case S_IFREG:
	case S_IFIFO:
	case S_IFSOCK:
	case S_IFCHR:
	case S_IFBLK:
		break;
	case S_IFDIR: /* mkdir takes no setuid and setgid; the directory above hands setgid on */
		bits = 01777;
		break;
	default:
		return LINKFS_EINVAL;
	}
	if (mode_out)
		*mode_out = type | (how->mode & bits);
	return 0;
}

/* Linux keeps device nodes to those with CAP_MKNOD, but for the one that names no device: overlayfs's whiteout. */
static bool is_device(uint32_t mode)
{
	return S_ISCHR(mode) || S_ISBLK(mode);
}

static bool is_whiteout(uint32_t mode, const struct linkfs_make *how)
{
	return S_ISCHR(mode) && how->rdev_major == 0 && how->rdev_minor == 0;
}

int lk_link_make_at(struct lk_op *op, const struct linkfs_cred *cred, struct lk_where *where, struct lk_slot *slot,
		    const struct linkfs_make *how, struct lk_inode *out)
{
	struct lk_inode *dir = &where->dir.inode, inode;
	uint32_t mode;
	int rc = lk_link_how(how, &mode);

	if (rc)
		return rc;
	if (is_device(mode) && !lk_cred_may_all(cred) && !is_whiteout(mode, how))
		return LINKFS_EPERM;
	if (S_ISDIR(mode) && dir->nlink >= (int64_t)LINKFS_LINK_MAX)
		return LINKFS_EMLINK;
	rc = lk_link_new_inode(op, cred, dir, mode, &inode);
	if (rc)
		return rc;
	inode.nlink = S_ISDIR(mode) ? 2 : 1;
	if (is_device(mode))
		inode.rdev = (int64_t)((uint64_t)(how->rdev_major & 0x7fffffff) << 32 | how->rdev_minor);
	rc = lk_inode_put(op, &inode);
	if (rc == 0)
		rc = lk_dirent_insert(op, slot, where->name, where->len, (uint64_t)inode.ino, mode);
	if (rc)
		return rc;
	if (S_ISDIR(mode))
		lk_name_cache_made(op->fs, (uint64_t)inode.ino);
	lk_inode_touch(op, dir, true);
	dir->nlink += S_ISDIR(mode) ? 1 : 0;
	rc = lk_inode_put(op, dir);
	if (rc == 0)
		*out = inode;
	return rc;
}

int lk_link_make(struct lk_op *op, const struct linkfs_cred *cred, struct lk_where *where,
		 const struct linkfs_make *how, struct lk_inode *out)
{
	struct lk_slot slot;
	uint32_t mode;
	int rc = lk_link_how(how, &mode);

	if (rc == 0)
		rc = lk_link_prepare(op, cred, where, S_ISDIR(mode), &slot);
	return rc ? rc : lk_link_make_at(op, cred, where, &slot, how, out);
}

int lk_link_tmpfile(struct lk_op *op, const struct linkfs_cred *cred, struct lk_inode *dir, uint32_t mode,
		    bool linkable, struct lk_inode *out)
{
	struct lk_inode inode;
	int rc;

	if (!lk_is_dir(dir))
		return LINKFS_ENOTDIR;
	rc = lk_perm_writable(op);
	if (rc == 0)
		rc = lk_perm_create(op, cred, dir);
	if (rc == 0)
		rc = lk_link_new_inode(op, cred, dir, S_IFREG | (mode & 07777), &inode);
	if (rc)
		return rc;
	inode.nlink = 0;
	if (linkable)
		inode.flags |= LK_INODE_TMPFILE;
	rc = lk_inode_put(op, &inode);
	if (rc == 0)
		rc = lk_orphan_add_held(op, &inode);
	if (rc == 0)
		*out = inode;
	return rc;
}

int lk_link_add(struct lk_op *op, const struct linkfs_cred *cred, struct lk_inode *inode, struct lk_where *where)
{
	struct lk_slot slot;
	int rc = lk_link_prepare(op, cred, where, false, &slot);

	if (rc)
		return rc;
	if (lk_is_dir(inode))
		return LINKFS_EPERM;
	if (inode->nlink == 0 && !(inode->flags & LK_INODE_TMPFILE))
		return LINKFS_ENOENT;
	/* A tracked link has one name, for its text is one. */
	if (inode->nlink >= (int64_t)LINKFS_LINK_MAX || (inode->flags & LK_INODE_TRACKED))
		return LINKFS_EMLINK;
	if (inode->nlink == 0) {
		rc = lk_orphan_remove(op, (uint64_t)inode->ino);
		if (rc)
			return rc;
	}
	inode->nlink++;
	inode->flags &= ~(int64_t)LK_INODE_TMPFILE;
	lk_inode_touch(op, inode, false);
	rc = lk_inode_put(op, inode);
	if (rc == 0)
		rc = lk_dirent_insert(op, &slot, where->name, where->len, (uint64_t)inode->ino, (uint32_t)inode->mode);
	if (rc)
		return rc;
	lk_inode_touch(op, &where->dir.inode, true);
	rc = lk_inode_put(op, &where->dir.inode);
	if (rc == 0)
		rc = lk_op_event(op, LINKFS_EVENT_ATTR, (uint64_t)inode->ino, NULL, 0);
	/* Texts lead by another name than theirs when a bind covers that. */
	return rc == 0 && lk_binds_any(op) ? lk_track_tell(op, inode) : rc;
}

/* Its links but that of the name that went: a directory has them from "." and the directories in it as well. */
static int links_left(struct lk_op *op, const struct lk_inode *inode, int64_t *out)
{
	bool named = false, bound = false;
	int rc = 0;

	if (inode->nlink < (lk_is_dir(inode) ? 2 : 1))
		return LINKFS_ECORRUPT;
	if (lk_is_dir(inode) && lk_dir_links_any(op)) {
		rc = lk_dirent_named(op, (uint64_t)inode->ino, &named);
		if (rc == 0 && named)
			rc = lk_txn_count(op, LK_COUNTER_DIR_NAMES, -1, NULL);
		if (rc == 0 && named && inode->nlink < 3)
			rc = LINKFS_ECORRUPT;
	}
	if (rc)
		return rc;
	*out = lk_is_dir(inode) && !named ? 0 : inode->nlink - 1;
	/* C2 */
	if (*out == 0)
		rc = lk_bind_shows(op, (uint64_t)inode->ino, &bound);
	return rc == 0 && bound ? LINKFS_EBUSY : rc;
}

int lk_link_drop_name(struct lk_op *op, struct lk_inode *inode, const struct lk_lost *lost)
{
	bool keep = op->fs->keep_deleted_ns > 0;
	int64_t left;
	int rc = links_left(op, inode, &left);

	if (rc)
		return rc;
	inode->nlink = left;
	lk_inode_touch(op, inode, false);
	if (keep)
		rc = lk_deleted_add(op, inode, lost);
	/* An inode that goes in this op need not be written first. */
	if (rc == 0 && (inode->nlink || keep || lk_node_held(op->fs, (uint64_t)inode->ino)))
		rc = lk_inode_put(op, inode);
	if (rc == 0)
		rc = lk_op_event(op, LINKFS_EVENT_ATTR, (uint64_t)inode->ino, NULL, 0);
	if (rc == 0 && inode->nlink && (inode->flags & LK_INODE_FOLLOWED))
		rc = lk_track_renamed(op, inode);
	/* A directory that goes is empty, and below one that stays texts may have led by the name. */
	if (rc == 0 && (inode->nlink || (inode->flags & (LK_INODE_FOLLOWED | LK_INODE_TRACKED))))
		rc = lk_track_tell(op, inode);
	if (rc == 0 && inode->nlink == 0 && !keep)
		rc = lk_orphan_add(op, inode);
	return rc;
}

/* Takes the entry away and touches the directory. */
static int remove_name(struct lk_op *op, struct lk_where *where, const struct lk_slot *slot, struct lk_inode *victim)
{
	struct lk_inode *dir = &where->dir.inode;
	struct lk_lost lost = {(uint64_t)dir->ino, where->name, where->len, dir->mtime_ns, false};
	bool is_dir = lk_is_dir(victim);
	int rc = lk_track_before(op, NULL, victim, false);

	if (rc == 0)
		rc = lk_dirent_remove(op, slot, where->name, where->len);
	if (rc)
		return rc;
	lk_inode_touch(op, dir, true);
	if (is_dir && dir->nlink <= 2)
		return LINKFS_ECORRUPT;
	dir->nlink -= is_dir ? 1 : 0;
	rc = lk_inode_put(op, dir);
	if (rc == 0 && lk_places_has(victim))
		rc = lk_places_removed(op, slot);
	return rc ? rc : lk_link_drop_name(op, victim, &lost);
}

int lk_link_unlink(struct lk_op *op, const struct linkfs_cred *cred, struct lk_where *where)
{
	struct lk_place victim;
	struct lk_slot slot;
	int rc;

	if (where->last != LK_LAST_NAME)
		return LINKFS_EISDIR;
	rc = lk_perm_writable(op);
	if (rc == 0)
		rc = lk_walk_look(op, where, &slot, &victim);
	if (rc == 0 && where->slash)
		rc = lk_is_dir(&victim.inode) ? LINKFS_EISDIR : LINKFS_ENOTDIR;
	if (rc == 0)
		rc = lk_perm_delete(op, cred, &where->dir.inode, &victim.inode, false);
	if (rc == 0 && slot.bound)
		rc = LINKFS_EBUSY;
	return rc ? rc : remove_name(op, where, &slot, &victim.inode);
}

static int count_row(void *arg, const void *record)
{
	(void)record;
	++*(uint32_t *)arg;
	return 0;
}

int lk_link_may_go(struct lk_op *op, uint64_t dir, bool *out)
{
	uint32_t names = 0;
	bool bound;
	int rc = lk_dir_links_any(op) ? lk_dirent_names(op, dir, 2, count_row, &names) : 0;

	*out = names > 1;
	if (rc || names > 1)
		return rc;
	/* Told before it is emptied in vain. */
	rc = lk_bind_shows(op, dir, &bound);
	if (rc || bound)
		return rc ? rc : LINKFS_EBUSY;
	return lk_dirent_empty(op, dir, out);
}

int lk_link_rmdir(struct lk_op *op, const struct linkfs_cred *cred, struct lk_where *where)
{
	struct lk_place victim;
	struct lk_slot slot;
	bool empty;
	int rc;

	if (where->last == LK_LAST_DOT)
		return LINKFS_EINVAL;
	if (where->last == LK_LAST_DOTDOT)
		return LINKFS_ENOTEMPTY;
	if (where->last == LK_LAST_ROOT)
		return LINKFS_EBUSY;
	rc = lk_perm_writable(op);
	if (rc == 0)
		rc = lk_walk_look(op, where, &slot, &victim);
	if (rc == 0)
		rc = lk_perm_delete(op, cred, &where->dir.inode, &victim.inode, true);
	if (rc == 0 && slot.bound)
		rc = LINKFS_EBUSY;
	if (rc == 0)
		rc = lk_link_may_go(op, slot.ino, &empty);
	if (rc == 0 && !empty)
		rc = LINKFS_ENOTEMPTY;
	return rc ? rc : remove_name(op, where, &slot, &victim.inode);
}
