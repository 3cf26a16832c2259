/*
 * pack.c - see pack.h. Frames are plain ones, as the zstd program writes and reads: content size, no checksum (what is stored has its own), no
 * dictionary.
 * Layer: store.
 */
#include "pack.h"

#include <pthread.h>
#include <stdlib.h>
#include <zstd.h>
#include <zstd_errors.h>

#define IDLE_MAX 4u /* packers kept for the next: each is a few hundred KiB, and its contexts as much again */

struct lk_pack {
	pthread_mutex_t lock;
	struct lk_packer *idle;
	unsigned idle_count;
};

int lk_pack_new(struct lk_pack **out)
{
	struct lk_pack *p = calloc(1, sizeof(*p));
	if (!p)
		return LINKFS_ENOMEM;
	if (pthread_mutex_init(&p->lock, NULL)) {
		free(p);
		return LINKFS_ENOMEM;
	}
	*out = p;
	return 0;
}

static void packer_free(struct lk_packer *packer)
{
	(void)ZSTD_freeCCtx(packer->compress);
	(void)ZSTD_freeDCtx(packer->expand);
	free(packer);
}

void lk_pack_free(struct lk_pack *p)
{
	if (!p)
		return;
	while (p->idle) {
		struct lk_packer *packer = p->idle;
		p->idle = packer->next;
		packer_free(packer);
	}
	(void)pthread_mutex_destroy(&p->lock);
	free(p);
}

struct lk_packer *lk_pack_take(struct lk_pack *p)
{
	(void)pthread_mutex_lock(&p->lock);
	struct lk_packer *packer = p->idle;
	if (packer) {
		p->idle = packer->next;
		p->idle_count--;
	}
	(void)pthread_mutex_unlock(&p->lock);
	if (!packer) {
		packer = malloc(sizeof(*packer));
		if (packer)
			packer->compress = packer->expand = NULL;
	}
	return packer;
}

void lk_pack_give(struct lk_pack *p, struct lk_packer *packer)
{
	if (!packer)
		return;
	(void)pthread_mutex_lock(&p->lock);
	bool keep = p->idle_count < IDLE_MAX;
	if (keep) {
		packer->next = p->idle;
		p->idle = packer;
		p->idle_count++;
	}
	(void)pthread_mutex_unlock(&p->lock);
	if (!keep)
		packer_free(packer);
}

int lk_pack_make(struct lk_packer *packer, int level, const void *from, size_t len, void *out, size_t room,
		 size_t *len_out)
{
	if (!packer->compress)
		packer->compress = ZSTD_createCCtx();
	if (!packer->compress)
		return LINKFS_ENOMEM;
	size_t n = ZSTD_compressCCtx(packer->compress, out, room, from, len, level);
	/* Too small a room is the only way to fail that has to do with the bytes. */
	if (ZSTD_isError(n) && ZSTD_getErrorCode(n) != ZSTD_error_dstSize_tooSmall)
		return LINKFS_ENOMEM;
	*len_out = ZSTD_isError(n) ? 0 : n;
	return 0;
}

int lk_pack_size(const void *from, size_t len, size_t *size_out)
{
	unsigned long long size = ZSTD_getFrameContentSize(from, len);
	/* Both of its errors are larger than any content. */
	if (size > LK_CHUNK_BYTES || ZSTD_findFrameCompressedSize(from, len) != len)
		return LINKFS_ECORRUPT;
	*size_out = (size_t)size;
	return 0;
}

int lk_pack_expand(struct lk_packer *packer, const void *from, size_t len, void *out, size_t size)
{
	size_t said = 0;
	int r = lk_pack_size(from, len, &said);
	if (r || said != size)
		return LINKFS_ECORRUPT;
	if (!packer->expand)
		packer->expand = ZSTD_createDCtx();
	if (!packer->expand)
		return LINKFS_ENOMEM;
	size_t n = ZSTD_decompressDCtx(packer->expand, out, size, from, len);
	if (ZSTD_isError(n) && ZSTD_getErrorCode(n) == ZSTD_error_memory_allocation)
		return LINKFS_ENOMEM;
	return ZSTD_isError(n) || n != size ? LINKFS_ECORRUPT : 0;
}
