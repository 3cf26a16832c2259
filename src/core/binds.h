/*
 * binds.h - binds (C1 to C3): an entry that shows another file or directory than the one it names.
 * Layer: core. A bind is a row of table bind with the key of the entry it stands at, and goes by the source's number. What the entry
 * names is covered: it keeps its name and comes back. While a bind stands, its entry is neither removed nor renamed, and its source
 * keeps its last name (LINKFS_EBUSY).
 */
#ifndef LK_BINDS_H
#define LK_BINDS_H

#include "resolve.h"

/* Whether there are binds in the op's view. */
bool lk_binds_any(struct lk_op *op);
/* Fills slot->bound of an entry that is there. Called by lk_dirent_find() only. */
int lk_bind_find(struct lk_op *op, struct lk_slot *slot);
/* source, as walked to, is shown at where. LINKFS_ENOENT, LINKFS_ENOTDIR or LINKFS_EISDIR (one is a directory and the other not), LINKFS_EBUSY (a
 * bind stands there), LINKFS_ELOOP (it would contain itself), LINKFS_EPERM (not the source's owner), LINKFS_EACCES. */
int lk_bind_add(struct lk_op *op, const struct linkfs_cred *cred, const struct lk_inode *source,
		struct lk_where *where);
/* One that stood there before, or in another volume, for root. A file's may stand at a name of the file itself: D7 makes such ones where a
 * file takes the names of what a bind covers. */
int lk_bind_again(struct lk_op *op, const struct lk_inode *source, struct lk_where *where);
/* LINKFS_EINVAL: no bind stands there. */
int lk_bind_remove(struct lk_op *op, const struct linkfs_cred *cred, struct lk_where *where);
/* Whether ino is the source of a bind. */
int lk_bind_shows(struct lk_op *op, uint64_t ino, bool *out);
/* Events for the entries at which ino is shown. */
int lk_bind_tell(struct lk_op *op, uint64_t ino);
/* D7: binds of old show fresh from now on. */
int lk_bind_follow(struct lk_op *op, uint64_t old, uint64_t fresh);

/* Rows of the binds of source (0: of all), after the one at (dir, hash, ord), at most limit. fn: as lk_row_fn, of a
 * verified struct lk_bind. */
int lk_bind_scan(struct lk_op *op, uint64_t source, const struct lk_bind *after, uint32_t limit, lk_row_fn *fn,
		 void *arg);
/* The same of the binds at entries of directory dir. */
int lk_bind_scan_dir(struct lk_op *op, uint64_t dir, lk_row_fn *fn, void *arg);

#endif
