/*
 * volume.h - the public handle of an open volume, and the way from it to core.
 * Layer: api, private.
 */
#ifndef LK_VOLUME_H
#define LK_VOLUME_H

#include "fs.h"

struct lk_owner_file; /* volume_lock.c */

struct linkfs_volume {
	struct lk_fs *fs;            /* constant while the volume is open */
	struct lk_owner_file *owner; /* the lock file we hold */
};

static inline struct lk_fs *lk_volume_fs(struct linkfs_volume *volume)
{
	return volume->fs;
}

#endif
