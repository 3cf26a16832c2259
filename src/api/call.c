/*
 * call.c - see call.h.
 * Layer: api.
 */
#include "call.h"

#include "binds.h"
#include "file.h"
#include "track.h"
#include "views.h"

void lk_call_unhold(struct lk_fs *fs, uint64_t node, uint64_t count)
{
	uint64_t ino = node;
	bool last;

	if (node <= (uint64_t)LK_INO_MAX && !lk_places_used(fs)) {
		last = lk_node_unhold(fs, node, count);
	} else {
		(void)pthread_mutex_lock(&fs->lock);
		last = lk_places_unhold(fs, node, count, &ino);
		(void)pthread_mutex_unlock(&fs->lock);
	}
	if (last)
		(void)lk_orphan_released(fs, ino);
}

int lk_call_begin_both(struct linkfs_volume *volume, struct lk_op *op, const struct linkfs_cred *cred, uint64_t a,
		       uint64_t b)
{
	int rc = lk_call_begin(volume, op, cred, 0);

	if (rc == 0 && lk_view_bits_of(op->fs, a) != lk_view_bits_of(op->fs, b))
		rc = lk_op_end(op, LINKFS_EXDEV);
	return rc;
}

static int end(struct lk_op *op, int rc, uint64_t node, const struct lk_inode *inode, uint32_t flags,
	       struct linkfs_stat *out)
{
	struct lk_fs *fs = op->fs;
	struct linkfs_stat st;
	bool held = false;

	if (rc == 0 && out)
		rc = lk_stat(op, inode, node, &st);
	if (rc == 0 && (flags & LINKFS_HOLD)) {
		rc = lk_places_hold(fs, node, 1);
		held = rc == 0;
	}
	rc = lk_op_end(op, rc);
	if (rc && held)
		lk_call_unhold(fs, node, 1);
	if (rc == 0 && out) {
		*out = st;
		if (flags & LINKFS_HOLD)
			out->node = node;
	}
	return rc;
}

int lk_call_end(struct lk_op *op, int rc, const struct lk_inode *inode, uint32_t flags, struct linkfs_stat *out)
{
	return end(op, rc, op->bits | (uint64_t)inode->ino, inode, flags, out);
}

int lk_call_end_at(struct lk_op *op, int rc, const struct lk_place *place, uint32_t flags, struct linkfs_stat *out)
{
	return end(op, rc, place->id, &place->inode, flags, out);
}

int lk_call_bind(struct lk_op *op, const struct linkfs_cred *cred, struct lk_inode *inode, struct lk_where *where)
{
	return lk_bind_add(op, cred, inode, where);
}

int lk_call_place(struct lk_op *op, const struct lk_where *where, const struct lk_inode *inode, struct lk_place *out)
{
	struct lk_slot slot;

	if (lk_places_has(inode) && lk_places_any(op))
		return lk_walk_look(op, where, &slot, out);
	*out = (struct lk_place){op->bits | (uint64_t)inode->ino, *inode};
	return 0;
}

int lk_call_setattr(struct linkfs_volume *volume, const struct linkfs_cred *cred, uint64_t ino,
		    const struct linkfs_setattr *change, bool opened, struct linkfs_stat *out)
{
	struct lk_fs *fs = lk_volume_fs(volume);
	bool resize = change->valid & LINKFS_SET_SIZE;
	struct lk_inode inode = {0};
	unsigned tries = 0;
	struct lk_op op;
	int rc;

	cred = lk_cred(cred);
	/* T1: the node's write lock comes before the volume's. */
	rc = resize ? lk_node_lock(fs, ino) : 0;
	if (rc)
		return rc;
	do {
		rc = lk_call_begin(volume, &op, cred, resize ? LK_OP_FREES : 0);
		if (rc)
			break;
		lk_op_own(&op, ino);
		rc = lk_inode_get(&op, ino, &inode);
		if (rc == 0)
			rc = lk_attr_set(&op, cred, &inode, change, opened);
		rc = end(&op, rc, ino, &inode, 0, out);
	} while (resize && lk_file_again(fs, rc, false, &tries));
	if (resize)
		lk_node_unlock(fs, ino);
	return rc;
}
