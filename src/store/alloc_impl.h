/*
 * alloc_impl.h - what alloc.c (groups, the log), alloc_reserve.c and alloc_free.c (the life of a freed block) share.
 * Layer: store, private to alloc*.c. Guarded by the metadata lock but for what its comment says.
 *
 * A block is in exactly one state:
 *   free       busy bit clear                           may be reserved
 *   reserved   busy set, allocated clear, no list        somebody writes it; no row names it
 *   allocated  busy and allocated set                    a row of the open batch names it
 *   freed      busy set, allocated clear, in a log       the op that freed it is still under way
 *   pending    ... in pending, then in written           the durable state names it: until the batch is durable
 *   draining   ... in drain[]                            a read that began before may still look at it
 *   punching   ... in to_punch, a discarder's hands, or punched
 * In that order, each step one way (an undo leads from freed back to allocated). Only free blocks are reserved, so
 * a punch never meets new data, a reader never meets a block used again, and the last durable state stays whole.
 */
#ifndef LK_ALLOC_IMPL_H
#define LK_ALLOC_IMPL_H

#include "alloc.h"

#include <pthread.h>
#include <stdatomic.h>

#define LK_GROUP_WORDS (LK_GROUP_BLOCKS / 64)
#define LK_GROUPS_MAX ((uint32_t)((LK_DISK_BLOCK_MAX + 1) / LK_GROUP_BLOCKS))
#define LK_GROUPS_LOADED_MAX 1024u /* bitmaps kept in memory beyond those in use: 12 MiB */
#define LK_PUNCH_BLOCKS_MIN 16u

struct lk_group_bits {
	uint64_t allocated[LK_GROUP_WORDS];
	uint64_t busy[LK_GROUP_WORDS];
	uint64_t durable[LK_GROUP_WORDS]; /* allocated as of the last commit, which is written at least */
};

struct lk_group_state {
	struct lk_group_bits *bits; /* NULL: not loaded */
	uint32_t used;              /* allocated blocks */
	uint32_t busy;              /* busy blocks */
	uint32_t longest;           /* no free run is longer than this */
	bool changed;               /* differs from its row */
};

/* Runs that were freed together and are punched together. */
struct lk_punch {
	struct lk_punch *next;
	struct lk_buf runs;
};

struct lk_alloc {
	struct lk_db *db;
	struct lk_data *data;
	uint64_t limit_blocks;
	struct lk_group_state *groups;
	uint32_t group_count, group_cap, loaded;
	uint32_t changed_from, changed_to; /* groups that may be changed */
	uint64_t busy;                     /* busy blocks of all groups */
	uint64_t waiting;                  /* of those, freed ones: from the end of their op until they are free */
	uint64_t rotor;                    /* where the last reservation ended */
	bool tight;                        /* the host is full: stay low, where it has blocks already */
	struct lk_buf scratch;

	struct lk_buf pending; /* struct lk_run; of the open batch */
	struct lk_buf written; /* of the one that is committed and not durable yet */
	struct lk_buf drain[2];
	uint64_t drain_blocks;
	unsigned era; /* new readers count in readers[era], freed blocks wait in drain[era] */
	_Atomic uint64_t readers[2];

	pthread_mutex_t punch_lock;
	struct lk_punch *to_punch; /* punch_lock */
	struct lk_punch *punched;  /* punch_lock */
	atomic_bool any_punched;
};

/* ---- bits ---------------------------------------------------------------------------------------------------- */

static inline uint64_t lk_word_mask(uint32_t from, uint32_t to) /* bits from to to - 1 of a word; from < to <= 64 */
{
	return (UINT64_MAX << from) & (UINT64_MAX >> (64 - to));
}

/* Calls for each word that [from, from + count) touches. */
#define LK_FOR_WORDS(word, mask, from, count)                                                                          \
	for (uint32_t at_ = (from), end_ = (from) + (count), word, next_;                                              \
	     at_ < end_ && (word = at_ / 64, next_ = LK_MIN(end_, (word + 1) * 64), true); at_ = next_)                \
		for (uint64_t mask = lk_word_mask(at_ % 64, next_ - word * 64), once_ = 1; once_; once_ = 0)

static inline void lk_bits_set(uint64_t *bits, uint32_t from, uint32_t count)
{
	LK_FOR_WORDS(w, mask, from, count)
	{
		bits[w] |= mask;
	}
}

static inline void lk_bits_clear(uint64_t *bits, uint32_t from, uint32_t count)
{
	LK_FOR_WORDS(w, mask, from, count)
	{
		bits[w] &= ~mask;
	}
}

static inline bool lk_bits_all(const uint64_t *bits, uint32_t from, uint32_t count, bool set)
{
	LK_FOR_WORDS(w, mask, from, count)
	{
		if (((set ? ~bits[w] : bits[w]) & mask) != 0)
			return false;
	}
	return true;
}

/* The first position from from on, below limit, whose bit is value; limit if there is none. */
static inline uint32_t lk_bits_next(const uint64_t *bits, uint32_t from, uint32_t limit, bool value)
{
	if (from >= limit)
		return limit;
	uint32_t w = from / 64;
	uint64_t word = (value ? bits[w] : ~bits[w]) & (UINT64_MAX << (from % 64));
	while (!word) {
		if (++w * 64 >= limit)
			return limit;
		word = value ? bits[w] : ~bits[w];
	}
	return LK_MIN(limit, w * 64 + (uint32_t)__builtin_ctzll(word));
}

static inline uint32_t lk_group_of(uint64_t block)
{
	return (uint32_t)(block / LK_GROUP_BLOCKS);
}

static inline uint32_t lk_bit_of(uint64_t block)
{
	return (uint32_t)(block % LK_GROUP_BLOCKS);
}

/* alloc.c */
int lk_group_load(struct lk_alloc *alloc, uint32_t number);
/* LINKFS_ENOSPC at the format's limit. */
int lk_group_append(struct lk_alloc *alloc);
/* Busy blocks of the run become free. Their groups are loaded. */
void lk_group_release(struct lk_alloc *alloc, const struct lk_run *run);

/* alloc_free.c */
/* Takes a freed run over from an op that stands. durable: the last durable state names it. */
void lk_freed_add(struct lk_alloc *alloc, const struct lk_run *run, bool durable);
/* Makes free what may be. hard: also what only waits for a punch. */
void lk_freed_advance(struct lk_alloc *alloc, bool hard);
void lk_freed_written(struct lk_alloc *alloc);
void lk_freed_committed(struct lk_alloc *alloc);
void lk_freed_done(struct lk_alloc *alloc);

#endif
