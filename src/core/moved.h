/*
 * moved.h - where things were before they were moved (D3): what `dangling --fix` proves with that a symlink's target, or the symlink, has moved.
 * Layer: core. Table moved has a row for a rename when a symlink may be broken by it: when some text has the name as a component, when a symlink goes
 * to another directory, or a directory does and some text has a "..". It is a bounded journal, LK_MOVED_MAX rows, of which the oldest go,
 * and tells of now, not of snapshots.
 *
 * What it costs where nothing is recorded: a rename and a new name look at a bit in memory; where the texts have more than
 * LK_MENTIONS_MAX components a rename looks once in table component.
 */
#ifndef LK_MOVED_H
#define LK_MOVED_H

#include "dirents.h"

#define LK_MOVED_MAX 4096u
#define LK_MENTIONS_MAX 16384u

/* In the op that moves it: inode had the entry slot, by name. other_dir: it is in another directory now; filled: something else has the
 * name already. */
int lk_moved_note(struct lk_op *op, const struct lk_inode *inode, const struct lk_slot *slot, const char *name,
		  size_t len, bool other_dir, bool filled);
/* In the op that puts a name where there was none. */
int lk_moved_filled(struct lk_op *op, const struct lk_slot *slot, const char *name, size_t len);
/* A symlink's text has a component with this hash. */
void lk_moved_mention(struct lk_fs *fs, int64_t hash);

/* The first row after time of a place, or of an inode. LINKFS_ENOENT. Its name is in the op's arena. */
int lk_moved_from_place(struct lk_op *op, uint64_t dir, const char *name, size_t len, int64_t time_ns,
			struct lk_moved *out);
int lk_moved_of(struct lk_op *op, uint64_t ino, int64_t time_ns, struct lk_moved *out);
/* The row of exactly that time. */
int lk_moved_at(struct lk_op *op, int64_t time_ns, struct lk_moved *out);

#endif
