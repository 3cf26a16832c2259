/*
 * undelete.c - deleted names are found, told where they were, and given back (deleted.h).
 * Layer: core. A kept directory keeps its number, so what went from it finds its place again with it.
 */
#include "deleted.h"

#include "link.h"
#include "node.h"
#include "places.h"
#include "track.h"

#include <string.h>

/* How far a place may be from the root: a name of one byte and its slash, down a whole path. */
#define DEPTH_MAX (LINKFS_PATH_MAX / 2)

static int verify(const struct lk_deleted *d)
{
	if (d->ino < 1 || d->ino > LK_INO_MAX || d->dir < 1 || d->dir > LK_INO_MAX || d->name.len > LINKFS_NAME_MAX ||
	    (d->how != LK_DELETED_REMOVED && d->how != LK_DELETED_REPLACED) || lk_name_check(d->name.p, d->name.len))
		return LINKFS_ECORRUPT;
	const char *name = d->name.p;
	if (name[0] == '.' && (d->name.len == 1 || (d->name.len == 2 && name[1] == '.')))
		return LINKFS_ECORRUPT;
	return 0;
}

int lk_deleted_get(struct lk_op *op, int64_t time_ns, struct lk_deleted *out)
{
	struct lk_deleted row = {.time_ns = time_ns};
	int r = lk_txn_get(op, LK_T_DELETED, &row, &row);
	if (r == 0)
		r = verify(&row);
	if (r == 0)
		*out = row;
	return r;
}

static int take_time(void *arg, const void *record)
{
	struct lk_deleted *out = arg;
	out->time_ns = ((const struct lk_deleted *)record)->time_ns;
	out->ino = 1;
	return 1;
}

int lk_deleted_of(struct lk_op *op, uint64_t ino, struct lk_deleted *out)
{
	struct lk_deleted key = {.ino = (int64_t)ino}, found = {.ino = 0};
	struct lk_scan scan = {.table = &lk_tables[LK_T_DELETED],
			       .index = LK_DELETED_BY_INO,
			       .equal = 1,
			       .reverse = true,
			       .from = &key,
			       .limit = 1};
	int r = lk_txn_scan(op, &scan, take_time, &found);
	if (r)
		return r;
	return found.ino ? lk_deleted_get(op, found.time_ns, out) : LINKFS_ENOENT;
}

int lk_deleted_missing(struct lk_op *op, uint64_t dir, int64_t *time_out)
{
	int64_t time = 0;
	for (unsigned depth = 0; depth < DEPTH_MAX; depth++) {
		struct lk_deleted row;
		struct lk_inode inode;
		int r = lk_inode_get_any(op, dir, &inode);
		if (r)
			return r;
		if (!lk_is_dir(&inode))
			return LINKFS_ECORRUPT;
		if (!(inode.flags & LK_INODE_KEPT)) {
			if (inode.nlink == 0)
				return LINKFS_ESTALE;
			*time_out = time;
			return 0;
		}
		r = lk_deleted_of(op, dir, &row);
		if (r)
			return r == LINKFS_ENOENT ? LINKFS_ECORRUPT : r;
		time = row.time_ns;
		dir = (uint64_t)row.dir;
	}
	return LINKFS_ECORRUPT;
}

/* ---- giving back ---------------------------------------------------------------------------------------------------- */

/* The inode has the name again: counted, no longer kept. */
static int revive(struct lk_op *op, struct lk_inode *inode)
{
	int r = 0;
	if (lk_is_dir(inode) && (inode->flags & LK_INODE_KEPT)) {
		inode->nlink = 2;
	} else if (inode->nlink >= (int64_t)LINKFS_LINK_MAX) {
		return LINKFS_EMLINK;
	} else {
		inode->nlink++;
	}
	if (inode->flags & LK_INODE_KEPT) {
		r = lk_txn_count(op, LK_COUNTER_KEPT, -1, NULL);
		if (r == 0)
			r = lk_txn_count(op, LK_COUNTER_KEPT_BLOCKS, -inode->blocks, NULL);
		inode->flags &= ~(int64_t)LK_INODE_KEPT;
	}
	lk_inode_touch(op, inode, false);
	return r ? r : lk_inode_put(op, inode);
}

static int put_name(struct lk_op *op, const struct lk_deleted *row, const struct lk_undelete *how, struct lk_slot *slot,
		    const char *name, size_t len, struct lk_inode *dir, struct lk_inode *inode)
{
	int64_t mtime =
		how->dir_time && dir->ino == row->dir && dir->mtime_ns == row->time_ns ? row->dir_mtime_ns : op->now_ns;
	if (lk_is_dir(inode) && dir->nlink >= (int64_t)LINKFS_LINK_MAX)
		return LINKFS_EMLINK;
	int r = lk_is_dir(inode) && inode->nlink ? lk_link_dir_again(op, inode, (uint64_t)dir->ino) : 0;
	if (r == 0)
		r = lk_track_before(op, inode, NULL, false);
	if (r == 0)
		r = revive(op, inode);
	if (r == 0)
		r = lk_dirent_insert(op, slot, name, len, (uint64_t)inode->ino, (uint32_t)inode->mode);
	if (r == 0)
		r = lk_track_renamed(op, inode);
	if (r == 0)
		r = lk_track_tell(op, inode);
	if (r)
		return r;
	lk_inode_touch(op, dir, true);
	dir->mtime_ns = mtime;
	dir->nlink += lk_is_dir(inode) ? 1 : 0;
	r = lk_inode_put(op, dir);
	if (r == 0)
		r = lk_op_event(op, LINKFS_EVENT_ATTR, (uint64_t)dir->ino, NULL, 0);
	return r ? r : lk_op_event(op, LINKFS_EVENT_ATTR, (uint64_t)inode->ino, NULL, 0);
}

int lk_deleted_restore(struct lk_op *op, const struct linkfs_cred *cred, const struct lk_deleted *row,
		       const struct lk_undelete *how, struct lk_inode *out)
{
	uint64_t to = how->dir ? how->dir : (uint64_t)row->dir;
	const char *name = how->len ? how->name : row->name.p;
	size_t len = how->len ? how->len : row->name.len;
	struct lk_inode inode, dir;
	struct lk_slot slot;
	int r = lk_perm_writable(op);
	if (r == 0)
		r = lk_inode_get_any(op, (uint64_t)row->ino, &inode);
	if (r)
		return r == LINKFS_ESTALE ? LINKFS_ENOENT : r;
	if (!lk_cred_owns(cred, &inode))
		return LINKFS_EPERM;
	/* The kernel takes a removed directory that it still knows for dead, whatever its name. */
	if (lk_is_dir(&inode) && (inode.flags & LK_INODE_KEPT) && lk_node_held(op->fs, (uint64_t)inode.ino))
		return LINKFS_EBUSY;
	r = lk_inode_get(op, to, &dir);
	if (r == 0 && !lk_is_dir(&dir))
		r = how->dir ? LINKFS_ENOTDIR : LINKFS_ECORRUPT;
	/* A kept directory that is held reads as what it is: removed. */
	if (r == 0 && dir.nlink == 0)
		r = LINKFS_ESTALE;
	if (r == 0)
		r = lk_perm_create(op, cred, &dir);
	if (r == 0)
		r = lk_dirent_find(op, to, name, len, &slot);
	if (r)
		return r;
	if (slot.ino && slot.ino != (uint64_t)inode.ino)
		return LINKFS_EEXIST;
	if (!slot.ino)
		r = put_name(op, row, how, &slot, name, len, &dir, &inode);
	if (r == 0)
		r = lk_txn_erase(op, LK_T_DELETED, row);
	if (r == 0)
		*out = inode;
	return r;
}

/* ---- where it was --------------------------------------------------------------------------------------------------- */

struct parent {
	uint64_t dir;
	size_t len;
	char name[LINKFS_NAME_MAX];
};

static void take_parent(struct parent *p, int64_t dir, const struct lk_bytes *name)
{
	p->dir = (uint64_t)dir;
	p->len = name->len;
	memcpy(p->name, name->p, name->len);
}

/* The name of directory dir and the directory that has, or had it. LINKFS_ESTALE: gone. */
static int parent_of(struct lk_op *op, const struct lk_inode *dir, struct parent *out)
{
	struct lk_deleted row;
	int r;
	out->dir = 0;
	if (!(dir->flags & LK_INODE_KEPT)) {
		struct lk_dirent first;
		r = lk_dirent_first(op, (uint64_t)dir->ino, &first);
		if (r == 0)
			take_parent(out, first.dir, &first.name);
		return r == LINKFS_ENOENT ? LINKFS_ESTALE : r;
	}
	r = lk_deleted_of(op, (uint64_t)dir->ino, &row);
	if (r)
		return r == LINKFS_ENOENT ? LINKFS_ECORRUPT : r;
	take_parent(out, row.dir, &row.name);
	return 0;
}

/* Puts "/name" before what is in the buffer, which ends at its end. */
static bool prepend(char *buf, size_t *start, const void *name, size_t len)
{
	if (*start < len + 1)
		return false;
	*start -= len;
	memcpy(buf + *start, name, len);
	buf[--*start] = '/';
	return true;
}

int lk_deleted_place(struct lk_op *op, const struct linkfs_cred *cred, const struct lk_deleted *row, uint64_t below,
		     struct lk_deleted_place *out)
{
	char buf[LINKFS_PATH_MAX];
	size_t start = sizeof(buf) - 1;
	uint64_t at = (uint64_t)row->dir;
	bool known = prepend(buf, &start, row->name.p, row->name.len);
	buf[sizeof(buf) - 1] = 0;
	*out = (struct lk_deleted_place){.below = at == below};
	for (unsigned depth = 0; known && depth < DEPTH_MAX; depth++) {
		struct lk_inode dir;
		struct parent parent;
		int r = lk_inode_get_any(op, at, &dir);
		if (r == 0 && !lk_is_dir(&dir))
			return LINKFS_ECORRUPT;
		if (r == 0 && at == (uint64_t)row->dir)
			out->dir_kept = dir.flags & LK_INODE_KEPT;
		/* Who may not search a directory learns nothing of the names on the way to it. */
		if (r == 0)
			r = lk_perm_check(op, cred, &dir, LK_MAY_EXEC);
		if (r == LINKFS_EACCES)
			return 0;
		if (r == 0 && at == LINKFS_ROOT_INO)
			break;
		if (r == 0)
			r = parent_of(op, &dir, &parent);
		if (r == LINKFS_ESTALE) {
			out->dir_gone = true;
			return 0;
		}
		if (r)
			return r;
		known = prepend(buf, &start, parent.name, parent.len);
		at = parent.dir;
		out->below |= at == below;
	}
	if (!known || at != LINKFS_ROOT_INO)
		return 0;
	char *copy = lk_op_alloc(op, sizeof(buf) - start);
	if (!copy)
		return LINKFS_ENOMEM;
	memcpy(copy, buf + start, sizeof(buf) - start);
	out->path = copy;
	return 0;
}
