/*
 * name_cache.c - a direct-mapped table by (directory, hash of the name).
 * Layer: core. An entry says either "this name is that inode", which says nothing of other names of that hash, or "no
 * name of this hash is there". A generation makes forgetting everything one addition.
 */
#include "name_cache.h"

#include "name_fresh.h"

#include <stdlib.h>
#include <string.h>

#define ENTRIES 32768u
#define NAME_BYTES 64u /* longer names are looked up in the database each time */

struct entry {
	uint64_t dir; /* 0: empty */
	int64_t hash;
	uint64_t ino; /* 0: no name of this hash */
	uint32_t generation;
	uint8_t ord, type, len; /* type: S_IFMT bits >> 12 */
	char name[NAME_BYTES];
};

struct lk_name_cache {
	uint32_t generation;
	struct lk_name_fresh *fresh;
	struct entry entries[ENTRIES];
};

int lk_name_cache_new(struct lk_name_cache **out)
{
	/* Pages of it are real only once touched. */
	struct lk_name_cache *cache = calloc(1, sizeof(*cache));
	int rc = cache ? lk_name_fresh_new(&cache->fresh) : LINKFS_ENOMEM;

	if (rc)
		free(cache);
	else
		*out = cache;
	return rc;
}

void lk_name_cache_free(struct lk_name_cache *cache)
{
	if (cache)
		lk_name_fresh_free(cache->fresh);
	free(cache);
}

static struct entry *entry_of(struct lk_fs *fs, const struct lk_slot *slot)
{
	uint64_t mixed =
		((uint64_t)slot->hash ^ slot->dir * UINT64_C(0x9e3779b97f4a7c15)) * UINT64_C(0xff51afd7ed558ccd);

	return &fs->names->entries[mixed >> 49];
}

_Static_assert(ENTRIES == UINT64_C(1) << (64 - 49), "the shift gives an entry's number");

static bool is_of(const struct lk_fs *fs, const struct entry *e, const struct lk_slot *slot)
{
	return e->dir == slot->dir && e->hash == slot->hash && e->generation == fs->names->generation;
}

bool lk_name_cache_find(struct lk_fs *fs, struct lk_slot *slot, const char *name, size_t len)
{
	const struct entry *e = entry_of(fs, slot);
	bool known = is_of(fs, e, slot);

	if (known ? e->ino == 0 : lk_name_fresh_lacks(fs->names->fresh, slot->dir, slot->hash)) {
		slot->ino = 0;
		slot->type = 0;
		slot->ord = 0;
		return true;
	}
	if (!known)
		return false;
	if (e->len != len || memcmp(e->name, name, len) != 0)
		return false;
	slot->ino = e->ino;
	slot->type = (uint32_t)e->type << 12;
	slot->ord = e->ord;
	return true;
}

static void fill(struct lk_fs *fs, const struct lk_slot *slot, uint64_t ino, const char *name, size_t len)
{
	struct entry *e = entry_of(fs, slot);

	e->dir = slot->dir;
	e->hash = slot->hash;
	e->ino = ino;
	e->generation = fs->names->generation;
	e->ord = (uint8_t)slot->ord;
	e->type = (uint8_t)(slot->type >> 12);
	e->len = (uint8_t)len;
	memcpy(e->name, name, len);
}

void lk_name_cache_set(struct lk_fs *fs, const struct lk_slot *slot, const char *name, size_t len)
{
	if (len <= NAME_BYTES)
		fill(fs, slot, slot->ino, name, len);
	else
		lk_name_cache_drop(fs, slot);
}

void lk_name_cache_add(struct lk_fs *fs, const struct lk_slot *slot, const char *name, size_t len)
{
	lk_name_fresh_add(fs->names->fresh, slot->dir, slot->hash);
	lk_name_cache_set(fs, slot, name, len);
}

void lk_name_cache_made(struct lk_fs *fs, uint64_t dir)
{
	lk_name_fresh_made(fs->names->fresh, dir);
}

void lk_name_cache_set_empty(struct lk_fs *fs, const struct lk_slot *slot)
{
	fill(fs, slot, 0, "", 0);
}

void lk_name_cache_drop(struct lk_fs *fs, const struct lk_slot *slot)
{
	struct entry *e = entry_of(fs, slot);

	if (is_of(fs, e, slot))
		e->dir = 0;
}

void lk_name_cache_clear(struct lk_fs *fs)
{
	/* Changes were taken back, which is a change. */
	atomic_fetch_add(&fs->name_changes, 1);
	lk_name_fresh_clear(fs->names->fresh);
	/* Around once in four thousand million: then what is old would look new. */
	if (++fs->names->generation == 0)
		memset(fs->names->entries, 0, sizeof(fs->names->entries));
}
