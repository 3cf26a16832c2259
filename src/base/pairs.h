/*
 * pairs.h - numbers by numbers, of which none is 0.
 * Layer: base.
 */
#ifndef LK_PAIRS_H
#define LK_PAIRS_H

#include "base.h"

/* Zero-initialised is empty; free(slots) frees. */
struct lk_pairs {
	struct lk_pair {
		uint64_t key, value;
	} * slots;
	size_t count, cap;
};
uint64_t lk_pairs_get(const struct lk_pairs *pairs, uint64_t key); /* 0: none */
int lk_pairs_set(struct lk_pairs *pairs, uint64_t key, uint64_t value);

#endif
