/*
 * set.c - a set of numbers: open addressing, nothing is ever removed.
 * Layer: base.
 */
#include "set.h"

#include <stdlib.h>

static size_t slot_of(const struct lk_set *set, uint64_t number)
{
	size_t i = (size_t)((number * UINT64_C(0x9e3779b97f4a7c15)) >> 32) & (set->cap - 1);

	while (set->slots[i] && set->slots[i] != number)
		i = (i + 1) & (set->cap - 1);
	return i;
}

static int grow(struct lk_set *set)
{
	struct lk_set larger = {.cap = set->cap ? set->cap * 2 : 64};

	larger.slots = calloc(larger.cap, sizeof(*larger.slots));
	if (!larger.slots)
		return LINKFS_ENOMEM;
	for (size_t i = 0; i < set->cap; i++)
		if (set->slots[i])
			larger.slots[slot_of(&larger, set->slots[i])] = set->slots[i];
	larger.count = set->count;
	free(set->slots);
	*set = larger;
	return 0;
}

int lk_set_add(struct lk_set *set, uint64_t number, bool *added_out)
{
	size_t i;
	int rc = set->count >= set->cap / 4 * 3 ? grow(set) : 0;

	if (rc)
		return rc;
	i = slot_of(set, number);
	*added_out = set->slots[i] == 0;
	set->count += *added_out;
	set->slots[i] = number;
	return 0;
}

bool lk_set_has(const struct lk_set *set, uint64_t number)
{
	return set->cap && set->slots[slot_of(set, number)] == number;
}

void lk_set_done(struct lk_set *set)
{
	free(set->slots);
	*set = (struct lk_set){0};
}
