/*
 * name_fresh.c - see name_fresh.h.
 * Layer: core. A direct-mapped table of directories, whose numbers follow each other; of each a set of hashes, by open addressing: they are good hashes
 * already. Names that go stay in the set, where they cost a search and no more. A directory that has too many is new no longer.
 */
#include "name_fresh.h"

#include <stdlib.h>
#include <string.h>

#define DIRS 128u
#define SLOTS_MIN 64u
#define SLOTS_MAX 2048u /* 16 KiB; half of them are used at most */

struct dir {
	uint64_t ino; /* 0: none */
	uint32_t used, slots;
	int64_t *hashes; /* 0: free; no name's hash is (K1) */
};

struct lk_name_fresh {
	struct dir dirs[DIRS];
};

int lk_name_fresh_new(struct lk_name_fresh **out)
{
	*out = calloc(1, sizeof(**out));
	return *out ? 0 : LINKFS_ENOMEM;
}

void lk_name_fresh_free(struct lk_name_fresh *fresh)
{
	for (size_t i = 0; fresh && i < DIRS; i++)
		free(fresh->dirs[i].hashes);
	free(fresh);
}

static int64_t *place_of(int64_t *hashes, uint32_t slots, int64_t hash)
{
	uint32_t at = (uint32_t)((uint64_t)hash >> 16) & (slots - 1);

	while (hashes[at] && hashes[at] != hash)
		at = (at + 1) & (slots - 1);
	return &hashes[at];
}

void lk_name_fresh_made(struct lk_name_fresh *fresh, uint64_t dir)
{
	struct dir *d = &fresh->dirs[dir % DIRS];

	d->ino = dir;
	d->used = 0;
	if (d->hashes)
		memset(d->hashes, 0, d->slots * sizeof(*d->hashes));
}

/* False: it stays as it is. */
static bool grow(struct dir *d)
{
	uint32_t slots = d->slots ? d->slots * 2 : SLOTS_MIN;
	int64_t *hashes = slots <= SLOTS_MAX ? calloc(slots, sizeof(*hashes)) : NULL;

	if (!hashes)
		return false;
	for (uint32_t i = 0; i < d->slots; i++)
		if (d->hashes[i])
			*place_of(hashes, slots, d->hashes[i]) = d->hashes[i];
	free(d->hashes);
	d->hashes = hashes;
	d->slots = slots;
	return true;
}

void lk_name_fresh_add(struct lk_name_fresh *fresh, uint64_t dir, int64_t hash)
{
	struct dir *d = &fresh->dirs[dir % DIRS];

	if (d->ino != dir)
		return;
	if (2 * d->used >= d->slots && !grow(d)) {
		d->ino = 0;
		return;
	}
	int64_t *place = place_of(d->hashes, d->slots, hash);
	d->used += *place == 0;
	*place = hash;
}

bool lk_name_fresh_lacks(const struct lk_name_fresh *fresh, uint64_t dir, int64_t hash)
{
	const struct dir *d = &fresh->dirs[dir % DIRS];

	return d->ino == dir && (d->used == 0 || *place_of(d->hashes, d->slots, hash) == 0);
}

void lk_name_fresh_clear(struct lk_name_fresh *fresh)
{
	for (size_t i = 0; i < DIRS; i++)
		fresh->dirs[i].ino = 0;
}
