/*
 * places_impl.h - what places*.c share: the table of places.
 * Layer: core, private.
 */
#ifndef LK_PLACES_IMPL_H
#define LK_PLACES_IMPL_H

#include "places.h"

struct lk_spot {
	uint64_t id, parent;    /* node ids */
	uint64_t ino;           /* with the bits of its view (views.h) */
	int64_t dir, hash, ord; /* the entry; dir 0: lost (P2) */
	uint64_t holds;         /* of a place whose id is its number (P3): 0, they are the inode's */
	uint32_t kids;          /* places whose parent this is */
	bool counted; /* the parent is a place, and has this one among its kids: it may have become a place since (P3) */
	bool bound;   /* the entry is a bind's */
	bool loose;   /* in the list of those to be looked at when the op is over */
	struct lk_spot *next_id, *next_entry, *next_ino, *next_loose;
};

#define LK_SPOT_CHAINS 1024u /* of each index; a power of two */

struct lk_places {
	_Atomic uint32_t count;
	uint64_t next;       /* the next id */
	uint32_t generation; /* of the names of directories, and binds: what several[] says holds for one */
	struct {
		uint64_t ino;
		uint32_t generation;
		bool several;
	} several[LK_SPOT_CHAINS]; /* routes.c's */
	struct lk_spot *loose;
	struct lk_spot *by_id[LK_SPOT_CHAINS], *by_entry[LK_SPOT_CHAINS], *by_ino[LK_SPOT_CHAINS];
};

static inline uint32_t lk_spot_chain(uint64_t number)
{
	return (uint32_t)((number * UINT64_C(0x9e3779b97f4a7c15)) >> 54);
}
_Static_assert(LK_SPOT_CHAINS == 1u << (64 - 54), "the shift gives a chain's number");

struct lk_spot *lk_spot_find(const struct lk_places *places, uint64_t id);
static inline struct lk_spot *lk_spot_of_ino(const struct lk_places *places, uint64_t ino)
{
	return places->by_ino[lk_spot_chain(ino)];
}
static inline bool lk_spot_at(const struct lk_spot *s, int64_t dir, int64_t hash, int64_t ord)
{
	return s->dir == dir && s->hash == hash && s->ord == ord;
}
/* A place for the entry: id 0 for a new one. spot is room for it, from malloc(). */
void lk_spot_add(struct lk_fs *fs, struct lk_spot *spot, uint64_t id, uint64_t ino, uint64_t parent,
		 const struct lk_slot *slot);
/* P2: it is found at another entry from now on, or (slot NULL) at none. */
void lk_spot_move(struct lk_fs *fs, struct lk_spot *spot, uint64_t parent, const struct lk_slot *slot);
/* Goes when nothing needs it any more; its parents likewise. */
void lk_spot_settle(struct lk_fs *fs, struct lk_spot *spot);
/* Holds of ino by its number alone. */
uint64_t lk_spot_plain_holds(struct lk_fs *fs, uint64_t ino);

/* Of table dirent and bind: what leads to directory ino. Gathered in the arena. */
struct lk_way {
	struct lk_slot slot; /* in slot.dir; ino and bound as lk_dirent_find() has them */
	struct lk_way *next;
};
int lk_ways_to(struct lk_op *op, uint64_t ino, bool covered, struct lk_way **out);

#endif
