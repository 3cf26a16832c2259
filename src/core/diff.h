/*
 * diff.h - what changed between two views of the tree (E3): the live one and snapshots.
 * Layer: core. The functions take the lock themselves, for a step at a time.
 *
 * D1 Whatever changes a name, a count, an attribute, a text or content changes the record of the inode concerned as well (its ctime at the
 *    least). So an inode that is another at the newer view has a row of history whose last is in [older, newer), or was made since and has a
 *    number from the older snapshot's next one on; live records that were changed and are not rows yet are in the inode cache. Not so binds,
 *    and what a tracked link follows: those have rows of their own tables.
 * D2 The row of a key at the older view, if it is another at the newer one, is the history row with born <= older <= last < newer. Deleting a
 *    snapshot between the two moves rows to a smaller last, which is in the interval still. So history is read from the largest last
 *    down: what moves meanwhile is met later.
 * D3 Extent rows tile a file, so that D2 names every block of a file of unchanged size whose bytes may differ.
 */
#ifndef LK_DIFF_H
#define LK_DIFF_H

#include "fs.h"

#include <linkfs_diff.h>

struct lk_diff;
struct lk_diff_ask {
	struct lk_fs *fs;
	const struct linkfs_cred *cred;
	bool covered; /* what binds cover as well: of no path, "/(covered)/" with a number and the name are told */
	struct {
		int64_t epoch;      /* LK_VIEW_LIVE or a snapshot's */
		const char *prefix; /* only what lies there: a path from the root, or NULL. Must live */
	} from, to;
};
int lk_diff_new(const struct lk_diff_ask *ask, struct lk_diff **out);
void lk_diff_free(struct lk_diff *d);

/* Gathers what may differ, one step of bounded length. LINKFS_ESTALE: a snapshot is not there any more. */
int lk_diff_step(struct lk_diff *d, bool *more_out);
/* For who compares himself: true after the step in which the last of the inodes was found that may differ. They are sorted, and d's. Binds are not among
 * them. */
bool lk_diff_found(const struct lk_diff *d, const uint64_t **inos_out, size_t *count_out);
/* When there are no more steps: the next change, in order. *any_out false: there is none. Its strings are valid until the next call. */
int lk_diff_next(struct lk_diff *d, struct linkfs_diff_change *out, bool *any_out);
void lk_diff_progress(const struct lk_diff *d, struct linkfs_diff_progress *out);

#endif
