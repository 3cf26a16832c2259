/*
 * moment.h - a volume at one moment, read beside its owner (T5): a file system of its own over a read-only connection, in whose one
 * transaction all is as the last commit left it.
 * Layer: core.
 */
#ifndef LK_MOMENT_H
#define LK_MOMENT_H

#include "fs.h"

/* A flag of lk_fs_open_on() beside the public ones: the database is in a read transaction, which lasts until the file system is closed. Such
 * a one has no data and no allocator: metadata is all that it can tell. */
#define LK_FS_MOMENT 0x80000000u

/* Commits, and opens that commit. LINKFS_EAGAIN: nobody can read beside the owner here, or it is a reader itself; nothing is amiss.
 * Closed by lk_fs_close(), before the owner. No lock held. */
int lk_moment_open(struct lk_fs *owner, struct lk_fs **out);

#endif
