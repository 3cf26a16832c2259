/*
 * refs_change.c - a removal or a rename as an overlay: what a walk would meet if it had been made (D3). Nothing is written: an op
 * that is undone would need a volume that may be written, would take back what waits to be written with it, and could not
 * remove a tree.
 * Layer: core. The rules of rename that do not depend on rights are those of rename.c.
 */
#include "refs.h"

#include "places.h"

static int find(struct lk_op *op, const struct lk_where *where, struct lk_place *out)
{
	struct lk_slot slot;
	int rc;

	if (where->last != LK_LAST_NAME)
		return LINKFS_EBUSY;
	rc = lk_walk_look(op, where, &slot, out);
	if (rc == 0 && slot.bound)
		return LINKFS_EBUSY;
	return rc == 0 && where->slash && !lk_is_dir(&out->inode) ? LINKFS_ENOTDIR : rc;
}

static void set_entry(struct lk_overlay *o, const struct lk_where *where, uint64_t ino)
{
	o->entries[o->count].dir = (uint64_t)where->dir.inode.ino;
	o->entries[o->count].name = where->name;
	o->entries[o->count].len = where->len;
	o->entries[o->count].ino = ino;
	o->count++;
}

int lk_refs_removal(struct lk_op *op, const struct lk_where *where, struct lk_refs_ask *ask)
{
	struct lk_place found;
	int rc = find(op, where, &found);

	if (rc)
		return rc;
	ask->kind = LK_REFS_CHANGE;
	ask->ino = (uint64_t)found.inode.ino;
	ask->overlay = (struct lk_overlay){0};
	set_entry(&ask->overlay, where, 0);
	return 0;
}

/* to is there, and is to make room for from. */
static int check_replaced(struct lk_op *op, const struct lk_place *from, const struct lk_where *from_where,
			  const struct lk_place *to)
{
	bool is = false;
	int rc;

	if (lk_is_dir(&to->inode)) {
		rc = lk_dirent_above(op, (uint64_t)to->inode.ino, (uint64_t)from_where->dir.inode.ino, &is);
		if (rc || is)
			return rc ? rc : LINKFS_ENOTEMPTY;
	}
	if (lk_is_dir(&from->inode) != lk_is_dir(&to->inode))
		return lk_is_dir(&to->inode) ? LINKFS_EISDIR : LINKFS_ENOTDIR;
	if (!lk_is_dir(&to->inode))
		return 0;
	rc = lk_dirent_empty(op, (uint64_t)to->inode.ino, &is);
	return rc || is ? rc : LINKFS_ENOTEMPTY;
}

int lk_refs_renaming(struct lk_op *op, const struct lk_where *from, const struct lk_where *to, struct lk_refs_ask *ask,
		     bool *same_out)
{
	uint64_t to_dir = (uint64_t)to->dir.inode.ino;
	struct lk_place moved, replaced;
	bool is = false;
	int rc = find(op, from, &moved), found;

	if (lk_places_bind(op->fs, from->dir.id) != lk_places_bind(op->fs, to->dir.id))
		return LINKFS_EXDEV;
	if (rc)
		return rc;
	found = find(op, to, &replaced);
	if (found && found != LINKFS_ENOENT)
		return found;
	if (found && to->slash && !lk_is_dir(&moved.inode))
		return LINKFS_ENOTDIR;
	if (lk_is_dir(&moved.inode))
		rc = lk_dirent_above(op, (uint64_t)moved.inode.ino, to_dir, &is);
	if (rc || is)
		return rc ? rc : lk_places_any(op) ? LINKFS_ELOOP : LINKFS_EINVAL;
	*same_out = found == 0 && replaced.inode.ino == moved.inode.ino;
	if (found == 0 && !*same_out)
		rc = check_replaced(op, &moved, from, &replaced);
	if (rc)
		return rc;
	ask->kind = LK_REFS_CHANGE;
	ask->ino = (uint64_t)moved.inode.ino;
	ask->overlay = (struct lk_overlay){0};
	set_entry(&ask->overlay, from, 0);
	set_entry(&ask->overlay, to, ask->ino);
	if (lk_is_dir(&moved.inode) && (uint64_t)from->dir.inode.ino != to_dir) {
		ask->overlay.moved = ask->ino;
		ask->overlay.parent = to_dir;
	}
	return 0;
}
