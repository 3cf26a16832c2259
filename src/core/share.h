/*
 * share.h - how many extent rows, live and old, name a disk block (K3): table shared holds the ranges named twice or more,
 * the allocator's bitmaps tell those named once from free ones.
 * Layer: core. Additions are made before subtractions, so that no count falls to 0 on the way.
 */
#ifndef LK_SHARE_H
#define LK_SHARE_H

#include "txn.h"

/* One more row names the blocks, which are named already. */
int lk_share_add(struct lk_op *op, uint64_t block, uint64_t count);
/* One row less names them. Those that none names any more are freed. */
int lk_share_sub(struct lk_op *op, uint64_t block, uint64_t count);
/* Whether any of them is named twice or more. */
int lk_share_any(struct lk_op *op, uint64_t block, uint64_t count, bool *any_out);

/* A stretch of disk blocks that are all named as often: refs is 1 for those that table shared does not know (and free ones). */
struct lk_share_range {
	uint64_t from, to;
	uint64_t refs;
};
/* The stretch that block lies in, from block on at least. */
int lk_share_at(struct lk_op *op, uint64_t block, struct lk_share_range *out);

#endif
