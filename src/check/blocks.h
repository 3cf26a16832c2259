/*
 * blocks.h - which disk blocks extent rows name, and how often (K3): a bit for the first row that names a block, and a list
 * of ranges for the others.
 * Layer: check, private.
 */
#ifndef LK_CHECK_BLOCKS_H
#define LK_CHECK_BLOCKS_H

#include "schema.h"

struct lk_blocks;

struct lk_block_range {
	uint64_t block, count;
	int64_t refs; /* at least 2 */
};

/* Blocks 0 to end - 1. */
int lk_blocks_new(uint64_t end, struct lk_blocks **out);
void lk_blocks_free(struct lk_blocks *b);
/* One more row names them. They lie below end. */
int lk_blocks_name(struct lk_blocks *b, uint64_t block, uint64_t count);
/* The bits of a group, LK_GROUP_BLOCKS / 8 bytes as in table grp; NULL: none is set. */
const uint8_t *lk_blocks_bits(const struct lk_blocks *b, uint64_t group);
uint64_t lk_blocks_groups(const struct lk_blocks *b);
/* How many blocks rows have named, each as often as it was. */
uint64_t lk_blocks_total(const struct lk_blocks *b);
/* After the last name: the ranges that are named twice or more, ascending, neighbours with one count as one. */
int lk_blocks_shared(struct lk_blocks *b, struct lk_buf *out);

#endif
