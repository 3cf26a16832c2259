/*
 * pairs.c - numbers by numbers: open addressing, nothing is ever removed.
 * Layer: base.
 */
#include "pairs.h"

#include <stdlib.h>

static size_t spot_of(const struct lk_pairs *pairs, uint64_t key)
{
	size_t at = (size_t)(key * UINT64_C(0x9e3779b97f4a7c15) >> 20) & (pairs->cap - 1);

	while (pairs->slots[at].key && pairs->slots[at].key != key)
		at = (at + 1) & (pairs->cap - 1);
	return at;
}

uint64_t lk_pairs_get(const struct lk_pairs *pairs, uint64_t key)
{
	return pairs->count ? pairs->slots[spot_of(pairs, key)].value : 0;
}

static int pairs_grow(struct lk_pairs *pairs)
{
	struct lk_pairs more = {.cap = pairs->cap ? pairs->cap * 2 : 64};

	more.slots = calloc(more.cap, sizeof(*more.slots));
	if (!more.slots)
		return LINKFS_ENOMEM;
	for (size_t i = 0; i < pairs->cap; i++)
		if (pairs->slots[i].key)
			more.slots[spot_of(&more, pairs->slots[i].key)] = pairs->slots[i];
	more.count = pairs->count;
	free(pairs->slots);
	*pairs = more;
	return 0;
}

int lk_pairs_set(struct lk_pairs *pairs, uint64_t key, uint64_t value)
{
	struct lk_pair *slot;
	int rc = pairs->count * 2 >= pairs->cap ? pairs_grow(pairs) : 0;

	if (rc)
		return rc;
	slot = &pairs->slots[spot_of(pairs, key)];
	pairs->count += slot->key == 0;
	*slot = (struct lk_pair){key, value};
	return 0;
}
