/*
 * seen.c - which states were judged already: a set of hashes.
 */
#include "power.h"

#include <stdlib.h>
#include <string.h>

/* Where the key is, or belongs. cap is a power of two, and some of it is free. */
static size_t place_of(const uint64_t *keys, size_t cap, uint64_t key)
{
	size_t at = (size_t)key & (cap - 1);
	while (keys[at] && keys[at] != key)
		at = (at + 1) & (cap - 1);
	return at;
}

static void grow(struct seen *s)
{
	size_t cap = s->cap ? 2 * s->cap : 1024;
	uint64_t *keys = calloc(cap, sizeof(*keys));
	if (!keys)
		abort();
	for (size_t i = 0; i < s->cap; i++) {
		if (s->keys[i])
			keys[place_of(keys, cap, s->keys[i])] = s->keys[i];
	}
	free(s->keys);
	s->keys = keys;
	s->cap = cap;
}

bool seen_before(struct seen *s, uint64_t key)
{
	if (2 * s->count >= s->cap)
		grow(s);
	key |= key == 0;
	size_t at = place_of(s->keys, s->cap, key);
	if (s->keys[at])
		return true;
	s->keys[at] = key;
	s->count++;
	return false;
}

void seen_free(struct seen *s)
{
	free(s->keys);
	memset(s, 0, sizeof(*s));
}
