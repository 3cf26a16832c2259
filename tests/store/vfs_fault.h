/*
 * vfs_fault.h - a file layer that stands in for SQLite's "unix" one, below linkfs's: the n-th call of a kind on the database or its
 * WAL fails with a chosen code and has done nothing.
 */
#ifndef LK_TEST_VFS_FAULT_H
#define LK_TEST_VFS_FAULT_H

#include <sqlite3.h>
#include <stdbool.h>

enum {
	VFS_OPEN = 1 << 0,   /* nothing is opened */
	VFS_OPENED = 1 << 1, /* fails with the file open: SQLite is to close it */
	VFS_READ = 1 << 2,
	VFS_WRITE = 1 << 3,
	VFS_TRUNCATE = 1 << 4,
	VFS_SYNC = 1 << 5,
	VFS_SIZE = 1 << 6,
	VFS_SHM_MAP = 1 << 7,
	VFS_CLOSE = 1 << 8, /* the file is closed all the same */
	VFS_ALL = (1 << 9) - 1,
};

struct vfs_plan {
	unsigned which;
	int file;   /* SQLITE_OPEN_MAIN_DB, SQLITE_OPEN_WAL; both */
	unsigned n; /* of those calls, the n-th (from 1) fails; 0: none */
	int code;
	bool all_later;
};

/* Before linkfs's layer is made, once. */
void vfs_fault_register(void);
/* NULL: none fails. */
void vfs_fault_plan(const struct vfs_plan *plan);
/* Failures since the plan was made. */
unsigned vfs_fault_hits(void);

#endif
