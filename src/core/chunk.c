/*
 * chunk.c - see chunk.h.
 * Layer: core. What is kept is found by its place on disk and the checksum of what is stored there, so that a chunk that took the
 * place of another one is not taken for it.
 */
#include "chunk.h"

#include "pack.h"

#include <stdlib.h>
#include <string.h>

#define SLOTS 8u

struct slot {
	uint64_t disk, sum, used; /* used: 0 is empty */
	uint32_t length;
	size_t size;
	uint8_t *bytes; /* LK_CHUNK_BYTES */
};

struct lk_chunks {
	pthread_mutex_t lock;
	uint64_t clock;
	struct slot slots[SLOTS];
};

int lk_chunks_new(struct lk_chunks **out)
{
	struct lk_chunks *c = calloc(1, sizeof(*c));
	if (!c)
		return LINKFS_ENOMEM;
	if (pthread_mutex_init(&c->lock, NULL)) {
		free(c);
		return LINKFS_ENOMEM;
	}
	*out = c;
	return 0;
}

void lk_chunks_free(struct lk_chunks *c)
{
	if (!c)
		return;
	for (unsigned i = 0; i < SLOTS; i++)
		free(c->slots[i].bytes);
	(void)pthread_mutex_destroy(&c->lock);
	free(c);
}

static bool known(struct lk_chunks *c, const struct lk_ext *piece, uint64_t sum, uint64_t begin, size_t len, void *out)
{
	bool found = false;
	(void)pthread_mutex_lock(&c->lock);
	for (unsigned i = 0; i < SLOTS && !found; i++) {
		struct slot *s = &c->slots[i];
		found = s->used && s->disk == piece->disk && s->sum == sum && s->length == piece->length &&
			begin + len <= s->size;
		if (found) {
			s->used = ++c->clock;
			memcpy(out, s->bytes + begin, len);
		}
	}
	(void)pthread_mutex_unlock(&c->lock);
	return found;
}

/* Without memory for it nothing is kept. */
static void remember(struct lk_chunks *c, const struct lk_ext *piece, uint64_t sum, const uint8_t *bytes, size_t size)
{
	(void)pthread_mutex_lock(&c->lock);
	struct slot *s = &c->slots[0];
	for (unsigned i = 1; i < SLOTS; i++) {
		if (c->slots[i].used < s->used)
			s = &c->slots[i];
	}
	if (!s->bytes)
		s->bytes = malloc(LK_CHUNK_BYTES);
	if (s->bytes) {
		memcpy(s->bytes, bytes, size);
		*s = (struct slot){piece->disk, sum, ++c->clock, piece->length, size, s->bytes};
	}
	(void)pthread_mutex_unlock(&c->lock);
}

static int unpack(struct lk_fs *fs, struct lk_packer *packer, const struct lk_ext *piece, uint64_t sum, uint64_t begin,
		  size_t len, void *out)
{
	size_t named = (size_t)lk_ext_named(piece), size = 0;
	int r = lk_data_read(fs->data, piece->disk, (uint32_t)named, packer->stored);
	if (r)
		return r;
	if (lk_block_sum(packer->stored, named * LK_BLOCK_SIZE) != sum)
		return LINKFS_ECORRUPT;
	r = lk_pack_size(packer->stored, piece->length, &size);
	if (r || size % LK_BLOCK_SIZE || size < (piece->offset + piece->count) * LK_BLOCK_SIZE)
		return LINKFS_ECORRUPT;
	if (begin == 0 && len == size)
		return lk_pack_expand(packer, packer->stored, piece->length, out, size);
	r = lk_pack_expand(packer, packer->stored, piece->length, packer->plain, size);
	if (r)
		return r;
	memcpy(out, packer->plain + begin, len);
	remember(fs->chunks, piece, sum, packer->plain, size);
	return 0;
}

int lk_chunk_read(struct lk_fs *fs, const struct lk_ext *piece, uint64_t sum, uint64_t from, size_t len, void *out)
{
	uint64_t begin = (uint64_t)piece->offset * LK_BLOCK_SIZE + from;
	if (known(fs->chunks, piece, sum, begin, len, out))
		return 0;
	struct lk_packer *packer = lk_pack_take(fs->pack);
	if (!packer)
		return LINKFS_ENOMEM;
	int r = unpack(fs, packer, piece, sum, begin, len, out);
	lk_pack_give(fs->pack, packer);
	return r;
}
