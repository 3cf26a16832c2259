/*
 * blocks.c - see blocks.h.
 * Layer: check.
 */
#include "blocks.h"

#include <stdlib.h>
#include <string.h>

struct more {
	uint64_t from, to;
};

struct lk_blocks {
	uint64_t groups, total;
	uint8_t **bits; /* by group; NULL: none set */
	struct lk_buf more;
};

int lk_blocks_new(uint64_t end, struct lk_blocks **out)
{
	struct lk_blocks *b = calloc(1, sizeof(*b));
	if (!b)
		return LINKFS_ENOMEM;
	b->groups = (end + LK_GROUP_BLOCKS - 1) / LK_GROUP_BLOCKS;
	b->bits = calloc((size_t)b->groups + 1, sizeof(*b->bits));
	if (!b->bits) {
		free(b);
		return LINKFS_ENOMEM;
	}
	*out = b;
	return 0;
}

void lk_blocks_free(struct lk_blocks *b)
{
	if (!b)
		return;
	for (uint64_t g = 0; g < b->groups; g++)
		free(b->bits[g]);
	free(b->bits);
	lk_buf_done(&b->more);
	free(b);
}

static int add_more(struct lk_blocks *b, uint64_t from, uint64_t to)
{
	struct more *last = b->more.len ? (struct more *)(void *)(b->more.p + b->more.len) - 1 : NULL;
	if (last && last->to == from) {
		last->to = to;
		return 0;
	}
	struct more m = {from, to};
	return lk_buf_append(&b->more, &m, sizeof(m));
}

int lk_blocks_name(struct lk_blocks *b, uint64_t block, uint64_t count)
{
	b->total += count;
	for (uint64_t i = block; i < block + count; i++) {
		uint8_t **bits = &b->bits[i / LK_GROUP_BLOCKS];
		if (!*bits)
			*bits = calloc(1, LK_GROUP_BLOCKS / 8);
		if (!*bits)
			return LINKFS_ENOMEM;
		uint8_t *byte = &(*bits)[i % LK_GROUP_BLOCKS / 8], bit = (uint8_t)(1u << (i % 8));
		if (!(*byte & bit)) {
			*byte |= bit;
			continue;
		}
		int r = add_more(b, i, i + 1);
		if (r)
			return r;
	}
	return 0;
}

const uint8_t *lk_blocks_bits(const struct lk_blocks *b, uint64_t group)
{
	return group < b->groups ? b->bits[group] : NULL;
}

uint64_t lk_blocks_groups(const struct lk_blocks *b)
{
	return b->groups;
}

uint64_t lk_blocks_total(const struct lk_blocks *b)
{
	return b->total;
}

/* Begins and ends of ranges, in order; ends before begins at one block. */
struct edge {
	uint64_t block;
	int64_t by;
};

static int compare_edges(const void *a, const void *b)
{
	const struct edge *x = a, *y = b;
	if (x->block != y->block)
		return x->block < y->block ? -1 : 1;
	return x->by < y->by ? -1 : x->by > y->by;
}

static int add_range(struct lk_buf *out, uint64_t from, uint64_t to, int64_t refs)
{
	struct lk_block_range *last = out->len ? (struct lk_block_range *)(void *)(out->p + out->len) - 1 : NULL;
	if (last && last->block + last->count == from && last->refs == refs) {
		last->count += to - from;
		return 0;
	}
	struct lk_block_range range = {from, to - from, refs};
	return lk_buf_append(out, &range, sizeof(range));
}

int lk_blocks_shared(struct lk_blocks *b, struct lk_buf *out)
{
	size_t count = b->more.len / sizeof(struct more);
	const struct more *more = (const void *)b->more.p;
	struct edge *edges = count ? malloc(2 * count * sizeof(*edges)) : NULL;
	if (count && !edges)
		return LINKFS_ENOMEM;
	for (size_t i = 0; i < count; i++) {
		edges[2 * i] = (struct edge){more[i].from, 1};
		edges[2 * i + 1] = (struct edge){more[i].to, -1};
	}
	if (count)
		qsort(edges, 2 * count, sizeof(*edges), compare_edges);
	int64_t depth = 0;
	int r = 0;
	for (size_t i = 0; r == 0 && i < 2 * count; i++) {
		if (depth > 0 && edges[i].block > edges[i - 1].block)
			r = add_range(out, edges[i - 1].block, edges[i].block, depth + 1);
		depth += edges[i].by;
	}
	free(edges);
	return r;
}
