/*
 * name_cache.h - names looked up or changed last, in memory: what each stands for, or that there is none.
 * Layer: core, behind dirents.c. The live view only. Guarded by fs->lock. An op's own changes are in it at once; when the op is
 * taken back, all of it is forgotten, which is cheap because ops hardly ever fail after their first change.
 */
#ifndef LK_NAME_CACHE_H
#define LK_NAME_CACHE_H

#include "dirents.h"

struct lk_name_cache;

int lk_name_cache_new(struct lk_name_cache **out);
void lk_name_cache_free(struct lk_name_cache *cache);
/* For slot's dir and hash: true when it is known what name is, or that it is not there; then slot is filled. */
bool lk_name_cache_find(struct lk_fs *fs, struct lk_slot *slot, const char *name, size_t len);
/* name is what slot says. */
void lk_name_cache_set(struct lk_fs *fs, const struct lk_slot *slot, const char *name, size_t len);
/* The same of a name that is new there. */
void lk_name_cache_add(struct lk_fs *fs, const struct lk_slot *slot, const char *name, size_t len);
/* The directory was just made, with a number that none had before: no name is in it. */
void lk_name_cache_made(struct lk_fs *fs, uint64_t dir);
/* No name in slot's dir has slot's hash. */
void lk_name_cache_set_empty(struct lk_fs *fs, const struct lk_slot *slot);
/* Nothing is known of names in slot's dir with slot's hash. */
void lk_name_cache_drop(struct lk_fs *fs, const struct lk_slot *slot);
void lk_name_cache_clear(struct lk_fs *fs);

#endif
