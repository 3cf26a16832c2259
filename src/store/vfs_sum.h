/*
 * vfs_sum.h - the file layer below SQLite: page checksums and preallocation (V3, T4).
 * Layer: store.
 */
#ifndef LK_VFS_SUM_H
#define LK_VFS_SUM_H

#include "schema.h"

struct lk_space {
	int unused;
};

#endif
