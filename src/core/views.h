/*
 * views.h - node ids of snapshots (M4): a slot above 48 bits of the inode number says which snapshot a node is of, all ones there is a
 * place (places.h), 0 is the live tree. An op reads the view of the node it is asked about first.
 * Layer: core. Called with fs->lock held.
 *
 * V1 A slot stands for one snapshot as long as that exists or a node of it is held. So an id never comes to mean another snapshot's node
 *    for who holds it; when the snapshot is deleted it is LINKFS_ESTALE.
 * V2 Inside core, what a record has (dir, ino) is a bare number. Node ids (lk_place.id, holds, what stat shows) have the slot.
 */
#ifndef LK_VIEWS_H
#define LK_VIEWS_H

#include "places.h"
#include "txn.h"

#define LK_VIEW_SLOTS                                                                                                  \
	65533u /* 1 to that: what is left of 16 bits beside the live tree, the directory of snapshots, and places */

struct lk_views;
int lk_views_new(struct lk_views **out);
void lk_views_free(struct lk_views *views);

/* The slot's bits for the snapshot of that epoch, which exists. LINKFS_EMFILE when all slots are taken. */
int lk_view_bits(struct lk_fs *fs, int64_t epoch, uint64_t *bits_out);
/* The same where it has a slot and is not deleted, else 0. */
uint64_t lk_view_bits_taken(const struct lk_fs *fs, int64_t epoch);
/* Whether the snapshot that got these bits is there still. */
bool lk_view_stands(const struct lk_fs *fs, int64_t epoch, uint64_t bits);
/* The op reads the view of node id from now on, and *ino_out is its number. LINKFS_ESTALE: there is no such node, or the op has
 * begun in another view. */
int lk_view_see(struct lk_op *op, uint64_t id, uint64_t *ino_out);
/* Whether a node is the root of its view. */
static inline bool lk_id_is_root(uint64_t id)
{
	return (id & LK_INO_MASK) == LINKFS_ROOT_INO && !lk_id_is_place(id);
}
/* The record of an inode of the view that op reads, if it was read lately: what a snapshot has does not change. NULL: not known. The record is
 * good until the next one is kept. */
const struct lk_inode *lk_view_known(const struct lk_op *op, uint64_t ino);
void lk_view_know(struct lk_op *op, const struct lk_inode *inode);
/* Whether there may be binds in the snapshot that op reads. */
bool lk_view_has_binds(struct lk_op *op);
/* Back to the live tree, in an op that has read a snapshot's node for what it is about to write. */
static inline void lk_view_leave(struct lk_op *op)
{
	op->view = LK_VIEW_LIVE;
	op->bits = 0;
}
/* The slot's bits of a node id, which may be a place's. */
uint64_t lk_view_bits_of(struct lk_fs *fs, uint64_t id);
/* Holds of a node without a place of its own count for its slot (V1). */
void lk_view_hold(struct lk_fs *fs, uint64_t id, uint64_t count);
void lk_view_unhold(struct lk_fs *fs, uint64_t id, uint64_t count);
/* The snapshot is deleted. */
void lk_view_gone(struct lk_fs *fs, int64_t epoch);

#endif
