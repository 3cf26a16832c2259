/*
 * set.h - a set of numbers other than 0.
 * Layer: base.
 */
#ifndef LK_SET_H
#define LK_SET_H

#include "base.h"

/* Zero-initialised is empty; lk_set_done() frees. */
struct lk_set {
	uint64_t *slots;
	size_t count, cap; /* cap: a power of two, at most three quarters of it used */
};
/* *added_out: it was not there. LINKFS_ENOMEM. */
int lk_set_add(struct lk_set *set, uint64_t number, bool *added_out);
bool lk_set_has(const struct lk_set *set, uint64_t number);
void lk_set_done(struct lk_set *set);

#endif
