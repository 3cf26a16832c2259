/*
 * call.h - what the public calls share: beginning and ending an operation, holds that come with a result.
 * Layer: api, private.
 */
#ifndef LK_CALL_H
#define LK_CALL_H

#include "link.h"
#include "node.h"
#include "orphan.h"
#include "places.h"
#include "volume.h"

#include <linkfs_diff.h>

/* A writing op for cred; on a read-only volume a reading one, in which core says LINKFS_EROFS at the point where Linux
 * does (lk_perm_writable()). more: LK_OP_FREES or 0. */
static inline int lk_call_begin(struct linkfs_volume *volume, struct lk_op *op, const struct linkfs_cred *cred,
				uint32_t more)
{
	int rc = lk_op_begin(lk_volume_fs(volume), op, lk_op_flags(cred, more));

	return rc == LINKFS_EROFS ? lk_op_begin(lk_volume_fs(volume), op, 0) : rc;
}

/* The same for a call on two nodes, which have to be of one view: LINKFS_EXDEV. */
int lk_call_begin_both(struct linkfs_volume *volume, struct lk_op *op, const struct linkfs_cred *cred, uint64_t a,
		       uint64_t b);

/* Ends op with the result rc of a call that found or made *inode: with LINKFS_HOLD in flags, holds it in the same step.
 * out may be NULL. */
int lk_call_end(struct lk_op *op, int rc, const struct lk_inode *inode, uint32_t flags, struct linkfs_stat *out);
/* The same of what was found at a place: with LINKFS_HOLD the place is held, and told. */
int lk_call_end_at(struct lk_op *op, int rc, const struct lk_place *place, uint32_t flags, struct linkfs_stat *out);
/* The place of *inode, which where names now. */
int lk_call_place(struct lk_op *op, const struct lk_where *where, const struct lk_inode *inode, struct lk_place *out);
/* How an inode gets a name: lk_link_add(), lk_link_dir(), lk_call_bind(), which shows it at one. */
typedef int lk_name_fn(struct lk_op *op, const struct linkfs_cred *cred, struct lk_inode *inode,
		       struct lk_where *where);
lk_name_fn lk_call_bind;
/* Gives up holds of a node: an inode or a place. No lock held. */
void lk_call_unhold(struct lk_fs *fs, uint64_t node, uint64_t count);

/* linkfs_diff() for root, with what binds cover. */
int lk_call_diff_covered(struct linkfs_volume *volume, const struct linkfs_diff *ask, linkfs_diff_fn *fn, void *arg);

/* linkfs_node_setattr(); opened: see lk_attr_set(). */
int lk_call_setattr(struct linkfs_volume *volume, const struct linkfs_cred *cred, uint64_t ino,
		    const struct linkfs_setattr *change, bool opened, struct linkfs_stat *out);

#endif
