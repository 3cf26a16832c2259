/*
 * vfs_sum.h - the file layer below SQLite: every page of the database and of its WAL carries a checksum (V3), and the
 * WAL and the database are preallocated (T4).
 * Layer: store. A shim over SQLite's "unix" file layer, registered under a name of its own and used by name only.
 *
 * A page's last 16 bytes are reserved: at 4080 the XXH3-64 of the first 4080 bytes seeded with the page's number,
 * little-endian; at 4088 eight bytes that keep SQLite's checksum of the WAL frame as SQLite computed it (vfs_sum.c). So
 * a WAL made here is one to every SQLite, and what a plain SQLite copies out of it keeps its checksum.
 */
#ifndef LK_VFS_SUM_H
#define LK_VFS_SUM_H

#include "page.h"

#include <sqlite3.h>

#define LK_SHM_REGION 32768 /* bytes in which SQLite maps the WAL index */

/* Codes of xRead. They are kinds of SQLITE_CORRUPT on purpose: after an IOERR SQLite would take the whole transaction
 * back, though a failed read leaves the pager as it was (no page is spilled before COMMIT). */
#define LK_SQLITE_BAD_SUM (SQLITE_CORRUPT | 101 << 8)
#define LK_SQLITE_BAD_READ (SQLITE_CORRUPT | 102 << 8)

/* What the owner's connections share with their files. The WAL's numbers are the owner thread's. */
struct lk_space {
	int wal_fd, db_fd;      /* for preallocation; -1: none */
	int shm_fd;             /* of the WAL index, likewise; opened by the file layer */
	int shm_regions;        /* of it, allocated */
	uint64_t wal_used;      /* bytes written since the WAL began anew */
	uint64_t wal_allocated; /* bytes that writes to the WAL cannot lack */
	uint64_t db_allocated;
	bool no_fallocate; /* the host has none: zeros are written */
};

/* File control: hands a struct lk_space to the main database file of a connection, for it and its WAL. */
#define LK_FCNTL_SPACE 0x6c6b01

/* The name to open with; registers the layer once per process. NULL when it cannot. */
const char *lk_vfs_sum(void);

/* A wrapped file: how much memory it takes with base's behind it, and its xOpen. */
int lk_sum_file_size(const sqlite3_vfs *base);
int lk_sum_file_open(sqlite3_vfs *base, const char *name, sqlite3_file *file, int flags, int *out_flags);

/* Allocates bytes from to to of the file: its length may grow where the host has no fallocate. */
int lk_space_allocate(struct lk_space *space, int fd, uint64_t from, uint64_t to);
/* After the connections are closed: closing any descriptor of meta.db or its WAL index drops SQLite's locks on it. */
void lk_space_close(struct lk_space *space);

#endif
