/*
 * vfs_layer.c - the file layer that SQLite is told to use: opens vfs_sum.c's files, keeps the WAL's file, and leaves the rest
 * to SQLite's own layer.
 * Layer: store.
 */
#include "vfs_sum.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <string.h>
#include <unistd.h>

static sqlite3_vfs *base_of(sqlite3_vfs *vfs)
{
	return vfs->pAppData;
}

static int vfs_open(sqlite3_vfs *vfs, const char *name, sqlite3_file *file, int flags, int *out_flags)
{
	sqlite3_vfs *base = base_of(vfs);
	/* A journal may name a super-journal anywhere, and SQLite deletes it after the rollback. We never have one. */
	if (flags & SQLITE_OPEN_SUPER_JOURNAL)
		return SQLITE_CANTOPEN;
	if (!(flags & (SQLITE_OPEN_MAIN_DB | SQLITE_OPEN_WAL)))
		return base->xOpen(base, name, file, flags, out_flags);
	return lk_sum_file_open(base, name, file, flags, out_flags);
}

#define WAL_SUFFIX "-wal"

/* SQLite deletes the WAL when the last connection has moved it into the database. The file stays, as the reserve for the
 * next owner (a full disk must not lock its user out of deleting): a WAL without a valid header holds nothing. */
static int retire_wal(const char *name)
{
	static const uint8_t zeros[LK_WAL_HEADER];
	int fd = open(name, O_WRONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT ? SQLITE_OK : SQLITE_IOERR_DELETE;
	off_t size = lseek(fd, 0, SEEK_END);
	int r = size > 0 ? lk_pwrite_all(fd, zeros, sizeof(zeros), 0) : 0;
	if (close(fd))
		r = LINKFS_EIO;
	return r ? SQLITE_IOERR_DELETE : SQLITE_OK;
}

static int vfs_delete(sqlite3_vfs *vfs, const char *name, int sync_dir)
{
	size_t len = strlen(name), end = sizeof(WAL_SUFFIX) - 1;
	if (len > end && strcmp(name + len - end, WAL_SUFFIX) == 0)
		return retire_wal(name);
	return base_of(vfs)->xDelete(base_of(vfs), name, sync_dir);
}

static int vfs_access(sqlite3_vfs *vfs, const char *name, int flags, int *out)
{
	return base_of(vfs)->xAccess(base_of(vfs), name, flags, out);
}

static int vfs_full_pathname(sqlite3_vfs *vfs, const char *name, int size, char *out)
{
	return base_of(vfs)->xFullPathname(base_of(vfs), name, size, out);
}

static int vfs_randomness(sqlite3_vfs *vfs, int size, char *out)
{
	return base_of(vfs)->xRandomness(base_of(vfs), size, out);
}

static int vfs_sleep(sqlite3_vfs *vfs, int us)
{
	return base_of(vfs)->xSleep(base_of(vfs), us);
}

static int vfs_current_time(sqlite3_vfs *vfs, double *out)
{
	return base_of(vfs)->xCurrentTime(base_of(vfs), out);
}

static int vfs_last_error(sqlite3_vfs *vfs, int size, char *out)
{
	return base_of(vfs)->xGetLastError(base_of(vfs), size, out);
}

static int vfs_current_time64(sqlite3_vfs *vfs, sqlite3_int64 *out)
{
	return base_of(vfs)->xCurrentTimeInt64(base_of(vfs), out);
}

/* SQLite keeps a pointer to a registered layer for good: one per process, never changed after its registration. */
static sqlite3_vfs layer = {
	.iVersion = 2,
	.zName = "linkfs",
	.xOpen = vfs_open,
	.xDelete = vfs_delete,
	.xAccess = vfs_access,
	.xFullPathname = vfs_full_pathname,
	.xRandomness = vfs_randomness,
	.xSleep = vfs_sleep,
	.xCurrentTime = vfs_current_time,
	.xGetLastError = vfs_last_error,
	.xCurrentTimeInt64 = vfs_current_time64,
};
static pthread_once_t once = PTHREAD_ONCE_INIT;
static bool registered;

static void register_layer(void)
{
	sqlite3_vfs *base = sqlite3_vfs_find("unix");
	if (!base || base->iVersion < 2)
		return;
	layer.szOsFile = lk_sum_file_size(base);
	layer.mxPathname = base->mxPathname;
	layer.pAppData = base;
	registered = sqlite3_vfs_register(&layer, 0) == SQLITE_OK;
}

const char *lk_vfs_sum(void)
{
	return pthread_once(&once, register_layer) == 0 && registered ? layer.zName : NULL;
}
