/*
 * inode_cache.c - a set-associative table of live inode records.
 * Layer: core. A set's ways are kept in order of use. An op notes each inode it changes before it changes it; when it is undone
 * those are dropped (or all, when it changed more than it can note), whatever was evicted and read again meanwhile.
 */
#include "inode_cache.h"

#include <stdlib.h>
#include <string.h>

#define WAYS 4u
#define SETS 4096u /* 16,384 records, 1.9 MiB of memory once touched */

struct lk_inode_cache {
	uint32_t stamp;
	uint32_t used[SETS][WAYS];
	struct lk_inode inode[SETS][WAYS]; /* ino 0: empty */
};

int lk_inode_cache_new(struct lk_inode_cache **out)
{
	struct lk_inode_cache *cache = calloc(1, sizeof(*cache));
	if (!cache)
		return LINKFS_ENOMEM;
	*out = cache;
	return 0;
}

void lk_inode_cache_free(struct lk_inode_cache *cache)
{
	free(cache);
}

static uint32_t set_of(uint64_t ino)
{
	return (uint32_t)((ino * UINT64_C(0x9e3779b97f4a7c15)) >> 40) % SETS;
}

const struct lk_inode *lk_inode_cache_find(struct lk_fs *fs, uint64_t ino)
{
	struct lk_inode_cache *cache = fs->inodes;
	uint32_t s = set_of(ino);
	for (uint32_t w = 0; w < WAYS; w++) {
		if ((uint64_t)cache->inode[s][w].ino == ino) {
			cache->used[s][w] = ++cache->stamp;
			return &cache->inode[s][w];
		}
	}
	return NULL;
}

void lk_inode_cache_set(struct lk_fs *fs, const struct lk_inode *inode)
{
	struct lk_inode_cache *cache = fs->inodes;
	uint32_t s = set_of((uint64_t)inode->ino), victim = 0, oldest = 0;
	for (uint32_t w = 0; w < WAYS; w++) {
		if (cache->inode[s][w].ino == inode->ino) {
			victim = w;
			break;
		}
		uint32_t age = cache->inode[s][w].ino ? cache->stamp - cache->used[s][w] : UINT32_MAX;
		if (age > oldest) {
			oldest = age;
			victim = w;
		}
	}
	cache->used[s][victim] = ++cache->stamp;
	cache->inode[s][victim] = *inode;
}

void lk_inode_cache_drop(struct lk_fs *fs, uint64_t ino)
{
	struct lk_inode_cache *cache = fs->inodes;
	uint32_t s = set_of(ino);
	for (uint32_t w = 0; w < WAYS; w++) {
		if ((uint64_t)cache->inode[s][w].ino == ino)
			cache->inode[s][w].ino = 0;
	}
}

void lk_inode_cache_changes(struct lk_op *op, uint64_t ino)
{
	for (uint8_t i = 0; i < op->inode_count; i++) {
		if (op->inodes[i] == ino)
			return;
	}
	if (op->inode_count == LK_OP_INODES)
		op->inodes_lost = true;
	else
		op->inodes[op->inode_count++] = ino;
}

void lk_inode_cache_undo(struct lk_op *op)
{
	if (op->inodes_lost) {
		lk_inode_cache_clear(op->fs);
		return;
	}
	for (uint8_t i = 0; i < op->inode_count; i++)
		lk_inode_cache_drop(op->fs, op->inodes[i]);
}

void lk_inode_cache_clear(struct lk_fs *fs)
{
	if (fs->inodes)
		memset(fs->inodes, 0, sizeof(*fs->inodes));
}
