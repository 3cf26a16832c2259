/*
 * chunk.h - compressed content read: chunks of at most LK_CHUNK_BLOCKS blocks that are stored, summed and unpacked as one. The last few
 * stay unpacked in memory, so that reading a file in small pieces unpacks each chunk once.
 * Layer: core. Any thread, the lock held or not; who does not hold it is a registered reader (K4).
 */
#ifndef LK_CHUNK_H
#define LK_CHUNK_H

#include "extent.h"

struct lk_chunks;

int lk_chunks_new(struct lk_chunks **out);
void lk_chunks_free(struct lk_chunks *chunks); /* NULL is allowed */

/* Bytes [from, from + len) of a ZSTD piece, which has sum, into out. LINKFS_ECORRUPT when what is stored is not what was written, or
 * holds less than the piece says. */
int lk_chunk_read(struct lk_fs *fs, const struct lk_ext *piece, uint64_t sum, uint64_t from, size_t len, void *out);

#endif
