/*
 * cow.c - see cow.h.
 * Layer: core.
 */
#include "cow.h"

#include "file.h"
#include "link.h"
#include "node.h"
#include "orphan.h"
#include "track.h"
#include "xattr.h"

#include <string.h>

/* The nameless inode that is to become the copy. The kernel hands over what it still holds of the source when it is told
 * that the source changed, and takes it anew. */
static int make_nameless(struct lk_op *op, const struct linkfs_cred *cred, uint64_t from, struct lk_inode *out)
{
	struct lk_inode source, copy;
	int rc = lk_inode_get(op, from, &source);

	if (rc == 0 && lk_is_dir(&source))
		rc = LINKFS_EISDIR;
	if (rc == 0)
		rc = lk_inode_new(op, &copy);
	if (rc)
		return rc;
	copy.mode = (source.mode & S_IFMT) | 0600;
	copy.uid = cred->uid;
	copy.gid = cred->gid;
	copy.rdev = lk_is_reg(&source) ? 0 : source.rdev;
	copy.nlink = 0;
	copy.flags |= LK_INODE_TMPFILE | (lk_is_reg(&copy) ? LK_INODE_INLINE : 0);
	if (lk_is_lnk(&copy))
		rc = lk_symlink_copy(op, &source, &copy);
	if (rc == 0)
		rc = lk_inode_put(op, &copy);
	if (rc == 0)
		rc = lk_op_event(op, LINKFS_EVENT_DATA, from, NULL, 0);
	if (rc == 0)
		rc = lk_orphan_add_held(op, &copy);
	if (rc == 0)
		*out = copy;
	return rc;
}

int lk_cow_begin(struct lk_fs *fs, const struct linkfs_cred *cred, uint64_t from, struct lk_cow *out)
{
	struct lk_inode copy = {0};
	struct lk_op op;
	bool made;
	int rc = lk_op_begin(fs, &op, lk_op_flags(cred, 0));

	if (rc)
		return rc;
	rc = make_nameless(&op, cred, from, &copy);
	made = rc == 0;
	rc = lk_op_end(&op, rc);
	if (rc && made)
		lk_orphan_unhold(fs, (uint64_t)copy.ino);
	if (rc)
		return rc;
	rc = lk_node_lock2(fs, from, (uint64_t)copy.ino);
	if (rc == 0 && lk_is_reg(&copy)) {
		rc = lk_file_clone(fs, from, (uint64_t)copy.ino);
		if (rc)
			lk_node_unlock2(fs, from, (uint64_t)copy.ino);
	}
	if (rc) {
		lk_orphan_unhold(fs, (uint64_t)copy.ino);
		return rc;
	}
	*out = (struct lk_cow){fs, from, (uint64_t)copy.ino};
	return 0;
}

void lk_cow_end(struct lk_cow *cow)
{
	lk_node_unlock2(cow->fs, cow->from, cow->to);
	lk_orphan_unhold(cow->fs, cow->to);
}

/* What the copy takes from the source, beside content: all of it, or what cp would give a copy. */
static int take_metadata(struct lk_op *op, const struct lk_inode *source, bool all, bool privileged,
			 struct lk_inode *copy)
{
	copy->flags &= ~(int64_t)LK_INODE_TMPFILE;
	if (!all)
		return 0;
	copy->mode = source->mode;
	copy->uid = source->uid;
	copy->gid = source->gid;
	copy->atime_ns = source->atime_ns;
	copy->mtime_ns = source->mtime_ns;
	copy->flags |= source->flags & LK_INODE_INHERITED;
	return lk_xattr_copy(op, source, copy, privileged);
}

static int both(struct lk_op *op, const struct lk_cow *cow, struct lk_inode *source, struct lk_inode *copy)
{
	int rc = lk_inode_get(op, cow->from, source);

	if (rc == 0)
		rc = lk_inode_get(op, cow->to, copy);
	return rc;
}

int lk_cow_split(struct lk_op *op, const struct linkfs_cred *cred, struct lk_cow *cow, struct lk_where *where,
		 struct lk_inode *out)
{
	struct lk_inode source, copy;
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
	if (rc == 0 && slot.ino != cow->from)
		rc = LINKFS_EAGAIN;
	if (rc == 0)
		rc = both(op, cow, &source, &copy);
	if (rc == 0 && !lk_cred_owns(cred, &source))
		rc = LINKFS_EPERM;
	if (rc == 0)
		rc = lk_perm_delete(op, cred, &where->dir.inode, &source, false);
	if (rc == 0 && source.nlink == 1) { /* the others went meanwhile: it is alone already */
		*out = source;
		return 0;
	}
	/* Reads only up to here. */
	if (rc == 0)
		rc = lk_track_before(op, &source, NULL, false);
	if (rc == 0)
		rc = take_metadata(op, &source, true, true, &copy);
	if (rc == 0)
		rc = lk_orphan_remove(op, cow->to);
	if (rc)
		return rc;
	copy.nlink = 1;
	lk_inode_touch(op, &copy, false);
	rc = lk_inode_put(op, &copy);
	if (rc == 0)
		rc = lk_dirent_replace(op, &slot, where->name, where->len, cow->to, (uint32_t)copy.mode);
	if (rc)
		return rc;
	source.nlink--;
	lk_inode_touch(op, &source, false);
	rc = lk_inode_put(op, &source);
	if (rc == 0)
		rc = lk_op_event(op, LINKFS_EVENT_ATTR, cow->from, NULL, 0);
	if (rc == 0)
		rc = lk_track_renamed(op, &source);
	if (rc == 0)
		rc = lk_track_tell(op, &source);
	lk_inode_touch(op, &where->dir.inode, true);
	if (rc == 0)
		rc = lk_inode_put(op, &where->dir.inode);
	if (rc == 0)
		*out = copy;
	return rc;
}

int lk_cow_link(struct lk_op *op, const struct linkfs_cred *cred, struct lk_cow *cow, struct lk_where *where,
		struct lk_inode *out)
{
	struct lk_inode source, copy;
	const struct lk_inode *dir = &where->dir.inode;
	struct lk_slot slot;
	int rc = lk_link_prepare(op, cred, where, false, &slot);

	if (rc == 0)
		rc = both(op, cow, &source, &copy);
	if (rc)
		return rc;
	bool all = lk_cred_owns(cred, &source), privileged = lk_cred_may_all(cred);

	rc = take_metadata(op, &source, all, privileged, &copy);
	if (rc == 0 && !all)
		rc = lk_link_own(op, cred, dir, (uint32_t)source.mode & (S_IFMT | 0777), &copy);
	else if (rc == 0 && !privileged && !lk_cred_in_group(cred, source.gid)) {
		/* A group is given by who is in it. */
		copy.gid = dir->mode & S_ISGID ? dir->gid : cred->gid;
		copy.mode &= ~(int64_t)S_ISGID;
	}
	/* Made in it, like any other; but how a file is compressed it may say itself. */
	if (lk_is_reg(&copy))
		copy.flags |= dir->flags & LK_INODE_KEEP_LINKS;
	if (lk_is_reg(&copy) && !(copy.flags & (LK_INODE_COMPRESS | LK_INODE_NO_COMPRESS)))
		copy.flags |= dir->flags & LK_INODE_INHERITED;
	if (rc == 0)
		rc = lk_orphan_remove(op, cow->to);
	if (rc)
		return rc;
	copy.nlink = 1;
	lk_inode_touch(op, &copy, !all);
	rc = lk_inode_put(op, &copy);
	if (rc == 0)
		rc = lk_dirent_insert(op, &slot, where->name, where->len, cow->to, (uint32_t)copy.mode);
	if (rc)
		return rc;
	lk_inode_touch(op, &where->dir.inode, true);
	rc = lk_inode_put(op, &where->dir.inode);
	if (rc == 0)
		*out = copy;
	return rc;
}
