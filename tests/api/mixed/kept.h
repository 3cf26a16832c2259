/*
 * kept.h - what a tree shows, kept aside in memory: a line for each path with all that belongs to it, so that a difference names itself.
 * Lines that many trees have are kept once.
 */
#ifndef MIXED_KEPT_H
#define MIXED_KEPT_H

#include "world.h"

struct kept {
	const char **lines; /* one that has the same text is the same line */
	size_t count;
};
/* What is seen below root node at; of some files the names too are asked for, and must be those that are seen. */
void kept_take(uint64_t at, struct kept *out);
/* Fails the test when what is there now is something else. */
void kept_compare(const struct kept *was, uint64_t at, const char *what);
void kept_free(struct kept *k);
/* All that was ever kept is given back; no kept tree is used after it. */
void kept_end(void);

#endif
