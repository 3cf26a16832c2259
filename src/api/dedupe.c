/*
 * dedupe.c - files with equal content share blocks, or become one (E7).
 * Layer: api. Merging is three steps: look and hold, compare with both files locked, give the name over in one operation.
 */
#include "equal.h"

#include "call.h"
#include "file.h"
#include "node.h"
#include "orphan.h"

int linkfs_node_digest(struct linkfs_volume *volume, uint64_t ino, uint64_t digest_out[2])
{
	return lk_file_digest(lk_volume_fs(volume), LK_VIEW_LIVE, ino, digest_out);
}

static int regular(struct lk_op *op, uint64_t ino, struct lk_inode *out)
{
	int rc = lk_inode_get(op, ino, out);

	if (rc == 0 && !lk_is_reg(out))
		rc = lk_is_dir(out) ? LINKFS_EISDIR : LINKFS_EINVAL;
	return rc;
}

int linkfs_node_dedupe(struct linkfs_volume *volume, const struct linkfs_cred *cred, uint64_t from, uint64_t to,
		       uint32_t flags, struct linkfs_dedupe *out)
{
	struct lk_inode source, copy;
	bool share = !(flags & LINKFS_DEDUPE_LOOK);
	struct lk_op op;
	int rc;

	*out = (struct linkfs_dedupe){0};
	if ((flags & ~LINKFS_DEDUPE_LOOK) || from == to)
		return LINKFS_EINVAL;
	cred = lk_cred(cred);
	rc = lk_call_begin_both(volume, &op, cred, from, to);
	if (rc)
		return rc;
	rc = regular(&op, from, &source);
	if (rc == 0)
		rc = regular(&op, to, &copy);
	if (rc == 0 && share)
		rc = lk_perm_writable(&op);
	if (rc == 0)
		rc = lk_perm_check(&op, cred, &source, LK_MAY_READ);
	if (rc == 0 && !lk_cred_owns(cred, &copy))
		rc = lk_perm_check(&op, cred, &copy, LK_MAY_WRITE);
	rc = lk_op_end(&op, rc);
	return rc ? rc : lk_file_dedupe(lk_volume_fs(volume), from, to, share, out);
}

/* Finds the file that has the name, and holds it. The kernel hands over what it still holds of both when it is told that they changed. */
static int find(struct linkfs_volume *volume, const struct linkfs_cred *cred, uint64_t ino, uint64_t dir,
		const char *name, size_t len, uint64_t *to_out)
{
	struct lk_inode source, there;
	struct lk_where where;
	struct lk_slot slot;
	struct lk_place place;
	struct lk_op op;
	int rc = lk_call_begin_both(volume, &op, cred, ino, dir);

	if (rc)
		return rc;
	rc = regular(&op, ino, &source);
	if (rc == 0)
		rc = lk_where_at(&op, cred, dir, name, len, &where);
	if (rc == 0 && where.last != LK_LAST_NAME)
		rc = LINKFS_EISDIR;
	if (rc == 0)
		rc = lk_perm_writable(&op);
	if (rc == 0)
		rc = lk_walk_look(&op, &where, &slot, &place);
	if (rc == 0 && slot.bound)
		rc = LINKFS_EBUSY;
	if (rc == 0)
		rc = regular(&op, slot.ino, &there);
	if (rc == 0 && (!lk_cred_owns(cred, &source) || !lk_cred_owns(cred, &there)))
		rc = LINKFS_EPERM;
	if (rc == 0 && slot.ino != ino)
		rc = lk_op_event(&op, LINKFS_EVENT_DATA, ino, NULL, 0);
	if (rc == 0 && slot.ino != ino)
		rc = lk_op_event(&op, LINKFS_EVENT_DATA, slot.ino, NULL, 0);
	if (rc == 0)
		*to_out = slot.ino;
	return lk_call_end(&op, rc, &there, LINKFS_HOLD, NULL);
}

int linkfs_node_merge(struct linkfs_volume *volume, const struct linkfs_cred *cred, uint64_t ino, uint64_t dir,
		      const char *name, size_t name_len)
{
	struct lk_fs *fs = lk_volume_fs(volume);
	struct lk_where where;
	struct lk_op op;
	bool equal = false;
	uint64_t to = 0;
	int rc;

	cred = lk_cred(cred);
	rc = find(volume, cred, ino, dir, name, name_len, &to);
	if (rc)
		return rc;
	if (to != ino) {
		rc = lk_node_lock2(fs, ino, to);
		if (rc == 0) {
			rc = lk_file_equal(fs, ino, to, &equal);
			if (rc == 0 && !equal)
				rc = LINKFS_ENODATA;
			if (rc == 0)
				rc = lk_call_begin(volume, &op, cred, LK_OP_FREES);
			if (rc == 0) {
				rc = lk_where_at(&op, cred, dir, name, name_len, &where);
				if (rc == 0)
					rc = lk_dedupe_link(&op, cred, ino, to, &where);
				rc = lk_op_end(&op, rc);
			}
			lk_node_unlock2(fs, ino, to);
		}
	}
	lk_orphan_unhold(fs, to);
	return rc;
}
