/*
 * copied.h - what a backup remembers (E4): trees of hosts that are backed up, and from which file of such a tree a file was made.
 * Layer: core. A row of table copied says what the source's file was when ino was made like it, and the ctime that ino had then. Every change
 * of a file moves its ctime, so that a row is void, by itself, once anybody has changed the copy in any way; only the calls of a backup, which
 * name, unname and move copies, take a row along that was not void (lk_copied_note(), lk_copied_follow()). A row whose inode is gone is void
 * as well; the next backup erases those it meets. None of it is needed to read a volume.
 */
#ifndef LK_COPIED_H
#define LK_COPIED_H

#include "inode.h"

/* The copy is what it is now. *row without own_ctime_ns, which is set. LINKFS_ESTALE. */
int lk_copied_put(struct lk_op *op, struct lk_copied *row);
/* 0 as well when there is none. */
int lk_copied_erase(struct lk_op *op, uint64_t ino);

/* A row that is not void before a change of its inode's names. */
struct lk_copied_note {
	struct lk_copied row;
	bool valid;
};
int lk_copied_note(struct lk_op *op, uint64_t ino, struct lk_copied_note *out);
/* After the change: the row is as good as it was before; it goes with its inode. */
int lk_copied_follow(struct lk_op *op, const struct lk_copied_note *note);

/* What became of the copy that a row tells of. */
enum lk_copied_state { LK_COPIED_AS_MADE, LK_COPIED_CHANGED, LK_COPIED_GONE };
/* The next rows, at most max, whose ino is above after. Files changed in this volume's open batch are as they are now. */
int lk_copied_some(struct lk_op *op, uint64_t after, struct lk_copied *rows, enum lk_copied_state *states, size_t max,
		   size_t *count_out);

/* Sources in the order of their ids. fn: as lk_row_fn, of a struct lk_source. */
int lk_source_scan(struct lk_op *op, lk_row_fn *fn, void *arg);
/* id 0: a new one, which is set. LINKFS_EINVAL, LINKFS_ENAMETOOLONG. */
int lk_source_put(struct lk_op *op, struct lk_source *source);
/* What a record may be. */
bool lk_source_valid(const struct lk_source *source, const char **fault_out);
bool lk_copied_valid(const struct lk_copied *row, const char **fault_out);

#endif
