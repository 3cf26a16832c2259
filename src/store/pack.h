/*
 * pack.h - compression: bytes packed into a zstd frame, and taken out of it. The only room that knows zstd.
 * Layer: store. A frame says how many bytes it holds; nothing that a frame says makes unpacking write more than it was given room for.
 * Any thread; each needs a packer of its own while it works, which a pool hands out.
 */
#ifndef LK_PACK_H
#define LK_PACK_H

#include "schema.h"

#define LK_PACK_LEVEL_DEFAULT 3
#define LK_PACK_LEVEL_MAX 19 /* above it zstd takes memory by the hundred megabytes */

struct lk_pack;

/* What one thread works with. The buffers are the caller's to use until it gives the packer back. */
struct lk_packer {
	struct lk_packer *next;
	void *compress, *expand;        /* pack.c's */
	uint8_t stored[LK_CHUNK_BYTES]; /* as on disk */
	uint8_t plain[LK_CHUNK_BYTES];
};

int lk_pack_new(struct lk_pack **out);
void lk_pack_free(struct lk_pack *pack); /* NULL is allowed */

/* NULL: out of memory. */
struct lk_packer *lk_pack_take(struct lk_pack *pack);
void lk_pack_give(struct lk_pack *pack, struct lk_packer *packer); /* NULL is allowed */

/* len bytes, at most LK_CHUNK_BYTES, into at most room bytes at out: *len_out of them, 0 when they do not fit. level: 1 to
 * LK_PACK_LEVEL_MAX. LINKFS_ENOMEM. */
int lk_pack_make(struct lk_packer *packer, int level, const void *from, size_t len, void *out, size_t room,
		 size_t *len_out);
/* What the frame says it holds. LINKFS_ECORRUPT when it is none, does not say, or says more than LK_CHUNK_BYTES. */
int lk_pack_size(const void *from, size_t len, size_t *size_out);
/* Exactly size bytes. LINKFS_ECORRUPT when the frame holds another number, or is damaged. LINKFS_ENOMEM. */
int lk_pack_expand(struct lk_packer *packer, const void *from, size_t len, void *out, size_t size);

#endif
