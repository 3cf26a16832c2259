/*
 * places.h - places (K5): the node ids of directories that several paths lead to, in memory while somebody knows them.
 * Layer: core. Everything here is called with fs->lock held, but for what says otherwise.
 *
 * A directory is named by its inode number as long as one path leads to it. One that is found through a bind, or by a name of a
 * directory that has several, and each directory below, is a place: (parent place, entry) -> inode, with a node id of its own,
 * LK_PLACE_SLOT above 48 bits that count up. So each path has its own ".." and its own node in the kernel, which
 * refuses one directory in two places. So has a tracked link in a place (D5), whose text depends on where it is read.
 *
 * P1 A place lives while it is held, or one below it does, or the op that found it is not over. Its id is never used again.
 * P2 The id goes with the entry when that is renamed through the place's own parent. Otherwise, and when the entry goes, the place
 *    is lost: its id names the directory for who has it, and no path leads to it any more.
 * P3 A directory that was held by its number when it got a second name keeps the number as the id of the place it was found in: it
 *    has a place whose id is its number. While there is one, no other path gives the number out.
 * P4 The table changes when an op stands (lk_places_end()), so an op that fails has changed nothing.
 */
#ifndef LK_PLACES_H
#define LK_PLACES_H

#include "dirents.h"

#define LK_PLACE_SLOT UINT64_C(0xffff)
static inline bool lk_id_is_place(uint64_t id)
{
	return id >> 48 == LK_PLACE_SLOT;
}

struct lk_places;
int lk_places_new(struct lk_places **out);
void lk_places_free(struct lk_places *places);

/* Whether a directory of the op's view may have more than one path. False is the rule, and costs nothing. */
bool lk_places_any(struct lk_op *op);
/* Whether there are places in memory. Needs no lock. */
bool lk_places_used(const struct lk_fs *fs);

/* Whether what an entry shows has places: a directory, and a tracked link, whose text is another one in each (D5). */
static inline bool lk_places_has(const struct lk_inode *inode)
{
	return lk_is_dir(inode) || (lk_is_lnk(inode) && (inode->flags & LK_INODE_TRACKED));
}
/* What the entry in slot, found in directory parent (a node id), shows: the place of what has places. */
int lk_places_enter(struct lk_op *op, uint64_t parent, const struct lk_slot *slot, uint64_t *id_out);
/* A place for it whatever is known: of an entry that there is not yet. */
int lk_places_make(struct lk_op *op, uint64_t parent, const struct lk_slot *slot, uint64_t *id_out);
/* The inode of a place, with its view's bits; 0: there is no such place. */
uint64_t lk_places_ino(struct lk_fs *fs, uint64_t id);
/* The parent of a node and the entry it is found at; false for a node that is no place. *entry_out.dir is 0 for a lost one. */
struct lk_place_entry {
	uint64_t parent; /* node id */
	int64_t dir, hash, ord;
};
bool lk_places_entry(struct lk_fs *fs, uint64_t id, struct lk_place_entry *out);
/* The node id of the directory that a node is found in; 0 for a node that is no place, or a lost one. */
uint64_t lk_places_dir(struct lk_fs *fs, uint64_t id);
/* The innermost bind on the way to a node; 0: none. */
uint64_t lk_places_bind(struct lk_fs *fs, uint64_t id);
/* Whether node from is node at or lies below it, by the way it was come by. */
bool lk_places_below(struct lk_op *op, uint64_t at, uint64_t from);

/* Holds by node id (lk_node_hold() and its kin for what is no place). unhold returns as that does, with *ino_out. */
int lk_places_hold(struct lk_fs *fs, uint64_t id, uint64_t count);
bool lk_places_unhold(struct lk_fs *fs, uint64_t id, uint64_t count, uint64_t *ino_out);
bool lk_places_held(struct lk_fs *fs, uint64_t id);

/* Whether directory node is from, or a way leads from it down to from: what lk_dirent_above() asks when there may be several. */
int lk_routes_above(struct lk_op *op, uint64_t node, uint64_t from, bool *out);
/* Whether more than one path leads to directory ino; what bind and its kin change is looked at anew, the rest is remembered. */
int lk_places_several(struct lk_op *op, uint64_t ino, bool *out);
/* Every path to directory ino, a number in the op's view, as the place at its end; LK_ROUTES_MAX at most, LINKFS_E2BIG beyond. Without places: ino itself. A
 * directory that no path leads to has none. */
#define LK_ROUTES_MAX 65536u
typedef int lk_route_fn(void *arg, uint64_t id);
int lk_places_routes(struct lk_op *op, uint64_t ino, lk_route_fn *fn, void *arg);

/* Changes of entries, for when the op stands. The directory that slot names, or shows, is not found there any more. */
int lk_places_removed(struct lk_op *op, const struct lk_slot *slot);
/* The entry from in directory from_id is renamed to the entry to in to_id. */
int lk_places_moved(struct lk_op *op, uint64_t from_id, const struct lk_slot *from, uint64_t to_id,
		    const struct lk_slot *to);
/* The directory at slot, which had this one name, gets another. */
int lk_places_linked(struct lk_op *op, const struct lk_slot *slot);

/* txn.c's: whether there is anything to do at the end of an op; the changes are made (stands) or forgotten, and what nobody holds goes. */
bool lk_places_due(const struct lk_op *op);
void lk_places_end(struct lk_op *op, bool stands);
/* Each event is made one for each node that the kernel may know its directory by. */
int lk_places_events(struct lk_op *op);

#endif
