/*
 * keep.c - see keep.h.
 * Layer: core. The kernel, when the rename is its own, knows nothing of the names that followed: it is told of attributes and
 * listings, and asks for the names of such files at each use (fuse/pack.c).
 */
#include "keep.h"
#include "binds.h"

#include <string.h>

#define COMPRESSION (LINKFS_INO_COMPRESS | LINKFS_INO_NO_COMPRESS)
#define SETTABLE (LINKFS_INO_KEEP_LINKS | COMPRESSION)

_Static_assert(LINKFS_INO_KEEP_LINKS == LK_INODE_KEEP_LINKS, "the public flag is the stored one");
_Static_assert(LINKFS_INO_COMPRESS == LK_INODE_COMPRESS && LINKFS_INO_NO_COMPRESS == LK_INODE_NO_COMPRESS,
	       "so are these");

static int tell_name(void *arg, const void *record)
{
	const struct lk_dirent *d = record;

	return lk_op_event(arg, LINKFS_EVENT_ENTRY, (uint64_t)d->dir, d->name.p, d->name.len);
}

int lk_keep_set(struct lk_op *op, const struct linkfs_cred *cred, uint64_t ino, uint32_t flags, uint32_t mask,
		struct lk_inode *out)
{
	int rc;

	if ((mask & ~SETTABLE) || (flags & ~mask))
		return LINKFS_EINVAL;
	rc = lk_perm_writable(op);
	if (rc == 0)
		rc = lk_inode_get(op, ino, out);
	if (rc)
		return rc;
	if (!lk_is_reg(out) && !lk_is_dir(out))
		return LINKFS_EINVAL;
	if (!lk_cred_owns(cred, out))
		return LINKFS_EPERM;
	if ((out->flags & (int64_t)mask) == (int64_t)flags)
		return 0;
	out->flags = (out->flags & ~(int64_t)mask) | (int64_t)flags;
	if ((out->flags & COMPRESSION) == COMPRESSION)
		return LINKFS_EINVAL;
	lk_inode_touch(op, out, false);
	rc = lk_inode_put(op, out);
	if (rc == 0)
		rc = lk_op_event(op, LINKFS_EVENT_ATTR, (uint64_t)out->ino, NULL, 0);
	/* What is known of its names was meant to hold for ever. */
	if (rc == 0 && lk_is_reg(out) && (flags & LINKFS_INO_KEEP_LINKS))
		rc = lk_dirent_names(op, (uint64_t)out->ino, 0, tell_name, op);
	if (rc == 0 && lk_is_reg(out) && (flags & LINKFS_INO_KEEP_LINKS))
		rc = lk_bind_tell(op, (uint64_t)out->ino);
	return rc;
}

static int tell_known_name(void *arg, const void *record)
{
	const struct lk_dirent *d = record;

	return lk_op_event_beside(arg, LINKFS_EVENT_ENTRY, (uint64_t)d->dir, d->name.p, d->name.len);
}

int lk_keep_tell(struct lk_op *op, const struct lk_inode *fresh)
{
	int rc = lk_dirent_names(op, (uint64_t)fresh->ino, 0, tell_name, op);

	return rc ? rc : lk_dirent_names(op, (uint64_t)fresh->ino, 0, tell_known_name, op);
}

static bool keeps(const struct linkfs_cred *cred, const struct lk_inode *old, const struct lk_inode *fresh)
{
	return (old->flags & LK_INODE_KEEP_LINKS) && lk_is_reg(old) && lk_is_reg(fresh) &&
	       (cred->uid == 0 || (old->uid == cred->uid && fresh->uid == cred->uid));
}

bool lk_keep_follows(const struct linkfs_cred *cred, const struct lk_inode *old, const struct lk_inode *fresh)
{
	bool others = old->nlink > 1 || (old->flags & LK_INODE_FOLLOWED);

	return others && keeps(cred, old, fresh);
}

int lk_keep_binds(struct lk_op *op, const struct linkfs_cred *cred, const struct lk_inode *old, struct lk_inode *fresh)
{
	if (!keeps(cred, old, fresh))
		return 0;
	fresh->flags |= LK_INODE_KEEP_LINKS;
	return lk_bind_follow(op, (uint64_t)old->ino, (uint64_t)fresh->ino);
}

static int add_name(void *arg, const void *record)
{
	struct lk_keep *keep = arg;
	const struct lk_dirent *d = record;
	char *copy;

	if (keep->replaced.dir == (uint64_t)d->dir && keep->replaced.hash == d->hash && keep->replaced.ord == d->ord)
		return 0;
	if (keep->count == keep->cap)
		return LINKFS_ECORRUPT;
	copy = lk_op_alloc(keep->op, d->name.len);
	if (!copy)
		return LINKFS_ENOMEM;
	memcpy(copy, d->name.p, d->name.len);
	keep->names[keep->count++] = (struct lk_keep_name){(uint64_t)d->dir, copy, d->name.len};
	return 0;
}

int lk_keep_list(struct lk_op *op, const struct lk_inode *old, const struct lk_slot *replaced, struct lk_keep *out)
{
	int rc;

	*out = (struct lk_keep){.op = op, .replaced = *replaced, .cap = (uint32_t)old->nlink - 1};
	out->names = lk_op_alloc(op, out->cap * sizeof(*out->names));
	if (!out->names)
		return LINKFS_ENOMEM;
	rc = lk_dirent_names(op, (uint64_t)old->ino, 0, add_name, out);
	return rc == 0 && out->count != out->cap ? LINKFS_ECORRUPT : rc;
}

/* The directory of a name that follows is written to, as by any rename. */
static int touch_dir(struct lk_op *op, uint64_t ino, struct lk_inode *const dirs[2], int64_t *mtime_out)
{
	struct lk_inode dir;
	int rc;

	for (int i = 0; i < 2; i++) {
		if (dirs[i] && (uint64_t)dirs[i]->ino == ino) {
			*mtime_out = dirs[i]->mtime_ns;
			return 0;
		}
	}
	rc = lk_inode_get(op, ino, &dir);
	if (rc)
		return rc;
	*mtime_out = dir.mtime_ns;
	lk_inode_touch(op, &dir, true);
	rc = lk_inode_put(op, &dir);
	return rc ? rc : lk_op_event_beside(op, LINKFS_EVENT_LISTING, ino, NULL, 0);
}

static int follow_one(struct lk_keep *keep, const struct lk_keep_name *n, struct lk_inode *old, struct lk_inode *fresh,
		      struct lk_inode *const dirs[2])
{
	struct lk_lost lost = {n->dir, n->name, n->len, 0, true};
	struct lk_op *op = keep->op;
	struct lk_slot slot;
	int rc = lk_dirent_find(op, n->dir, n->name, n->len, &slot);

	if (rc == 0 && slot.ino != (uint64_t)old->ino)
		rc = LINKFS_ECORRUPT;
	if (rc == 0)
		rc = lk_dirent_replace(op, &slot, n->name, n->len, (uint64_t)fresh->ino, (uint32_t)fresh->mode);
	if (rc == 0)
		rc = touch_dir(op, n->dir, dirs, &lost.dir_mtime_ns);
	if (rc == 0)
		rc = lk_link_drop_name(op, old, &lost);
	fresh->nlink++;
	return rc;
}

int lk_keep_follow(struct lk_keep *keep, struct lk_inode *old, struct lk_inode *fresh, struct lk_inode *const dirs[2])
{
	struct lk_op *op = keep->op;
	int rc = 0;

	for (uint32_t i = 0; rc == 0 && i < keep->count; i++)
		rc = follow_one(keep, &keep->names[i], old, fresh, dirs);
	fresh->flags |= LK_INODE_KEEP_LINKS;
	if (rc == 0)
		rc = lk_op_event_beside(op, LINKFS_EVENT_ATTR, (uint64_t)old->ino, NULL, 0);
	if (rc == 0)
		rc = lk_op_event_beside(op, LINKFS_EVENT_ATTR, (uint64_t)fresh->ino, NULL, 0);
	return rc;
}
