/*
 * seen.c - which states were judged already: a set of hashes.
 */
#include "power.h"

#include <stdlib.h>
#include <string.h>

bool seen_before(struct seen *s, uint64_t key)
{
	if (2 * s->count >= s->cap) {
		size_t cap = s->cap ? 2 * s->cap : 1024;
		struct seen more = {calloc(cap, sizeof(uint64_t)), 0, cap};
		if (!more.keys)
			abort();
		for (size_t i = 0; i < s->cap; i++) {
			if (s->keys[i])
				(void)seen_before(&more, s->keys[i]);
		}
		free(s->keys);
		*s = more;
	}
	key |= key == 0;
	size_t at = (size_t)(key % s->cap);
	while (s->keys[at] && s->keys[at] != key)
		at = (at + 1) % s->cap;
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
