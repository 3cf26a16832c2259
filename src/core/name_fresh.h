/*
 * name_fresh.h - directories made lately: they were empty, and which names they got since is known, by their hashes, so that a name that is none
 * of those is not looked for. Backups, imports and unpacked archives fill new directories.
 * Layer: core, behind name_cache.c. Guarded by fs->lock. An op's own changes are in it at once; when one is taken back all is forgotten: its
 * numbers are given out again.
 */
#ifndef LK_NAME_FRESH_H
#define LK_NAME_FRESH_H

#include "base.h"

struct lk_name_fresh;

int lk_name_fresh_new(struct lk_name_fresh **out);
void lk_name_fresh_free(struct lk_name_fresh *fresh);
/* The directory is new and has no names. */
void lk_name_fresh_made(struct lk_name_fresh *fresh, uint64_t dir);
/* It gets a name of this hash. */
void lk_name_fresh_add(struct lk_name_fresh *fresh, uint64_t dir, int64_t hash);
/* True: it surely has no name of this hash. */
bool lk_name_fresh_lacks(const struct lk_name_fresh *fresh, uint64_t dir, int64_t hash);
void lk_name_fresh_clear(struct lk_name_fresh *fresh);

#endif
