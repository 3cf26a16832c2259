/*
 * cow.h - copies that share their content (D8): a name gets an inode of its own, or a new file begins as a copy.
 * Layer: core. A copy is made in steps without a name, an orphan that a crash leaves to the next open; one op then gives it
 * its metadata and its name. The source's content stays locked in between, so that the copy is of one moment.
 */
#ifndef LK_COW_H
#define LK_COW_H

#include "resolve.h"

struct lk_cow {
	struct lk_fs *fs;
	uint64_t from, to;
};

/* Makes the copy: content and type; both nodes are locked, *out holds both. The caller holds from, and no lock.
 * LINKFS_EISDIR for a directory. */
int lk_cow_begin(struct lk_fs *fs, const struct linkfs_cred *cred, uint64_t from, struct lk_cow *out);
/* In one op, and once: where, which names the source, names the copy from now on; *out is the copy. LINKFS_EPERM unless cred
 * owns the file, LINKFS_EAGAIN when the name is another file's by now. */
int lk_cow_split(struct lk_op *op, const struct linkfs_cred *cred, struct lk_cow *cow, struct lk_where *where,
		 struct lk_inode *out);
/* Likewise: the copy gets the new name where. Who does not own the source gets a file of his own, as cp makes it. */
int lk_cow_link(struct lk_op *op, const struct linkfs_cred *cred, struct lk_cow *cow, struct lk_where *where,
		struct lk_inode *out);
/* Unlocks and gives up the hold of the copy, which goes when it got no name. */
void lk_cow_end(struct lk_cow *cow);

#endif
