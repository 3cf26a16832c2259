/*
 * vfs_fault.c - the file layer of vfs_fault.h.
 */
#include "vfs_fault.h"

#include <test.h>

#include <string.h>

static sqlite3_vfs *real, layer;
static struct vfs_plan plan;
static unsigned calls, hits;

struct file {
	sqlite3_file base; /* first; the real file lies behind */
	int kind;
};

static sqlite3_file *below(sqlite3_file *file)
{
	return (sqlite3_file *)(void *)((char *)file + sizeof(struct file));
}

/* The code this call fails with, or SQLITE_OK. */
static int now(unsigned call, int kind)
{
	if (!(plan.which & call) || !(plan.file & kind) || !plan.n)
		return SQLITE_OK;
	calls++;
	if (plan.all_later ? calls < plan.n : calls != plan.n)
		return SQLITE_OK;
	hits++;
	return plan.code;
}

static int now_at(unsigned call, sqlite3_file *file)
{
	return now(call, ((const struct file *)(const void *)file)->kind);
}

static int fault_close(sqlite3_file *file)
{
	int code = now_at(VFS_CLOSE, file);
	int closed = below(file)->pMethods->xClose(below(file));
	return code ? code : closed;
}

static int fault_read(sqlite3_file *file, void *buf, int amount, sqlite3_int64 offset)
{
	int code = now_at(VFS_READ, file);
	return code ? code : below(file)->pMethods->xRead(below(file), buf, amount, offset);
}

static int fault_write(sqlite3_file *file, const void *buf, int amount, sqlite3_int64 offset)
{
	int code = now_at(VFS_WRITE, file);
	return code ? code : below(file)->pMethods->xWrite(below(file), buf, amount, offset);
}

static int fault_truncate(sqlite3_file *file, sqlite3_int64 size)
{
	int code = now_at(VFS_TRUNCATE, file);
	return code ? code : below(file)->pMethods->xTruncate(below(file), size);
}

/* No power cut comes: thousands of syncs would only take long. */
static int fault_sync(sqlite3_file *file, int flags)
{
	(void)flags;
	return now_at(VFS_SYNC, file);
}

static int fault_size(sqlite3_file *file, sqlite3_int64 *size)
{
	int code = now_at(VFS_SIZE, file);
	return code ? code : below(file)->pMethods->xFileSize(below(file), size);
}

static int fault_lock(sqlite3_file *file, int level)
{
	return below(file)->pMethods->xLock(below(file), level);
}

static int fault_unlock(sqlite3_file *file, int level)
{
	return below(file)->pMethods->xUnlock(below(file), level);
}

static int fault_check_lock(sqlite3_file *file, int *out)
{
	return below(file)->pMethods->xCheckReservedLock(below(file), out);
}

static int fault_control(sqlite3_file *file, int op, void *arg)
{
	return below(file)->pMethods->xFileControl(below(file), op, arg);
}

static int fault_sector_size(sqlite3_file *file)
{
	return below(file)->pMethods->xSectorSize(below(file));
}

static int fault_characteristics(sqlite3_file *file)
{
	return below(file)->pMethods->xDeviceCharacteristics(below(file));
}

static int fault_shm_map(sqlite3_file *file, int region, int size, int extend, void volatile **out)
{
	int code = now_at(VFS_SHM_MAP, file);
	return code ? code : below(file)->pMethods->xShmMap(below(file), region, size, extend, out);
}

static int fault_shm_lock(sqlite3_file *file, int offset, int count, int flags)
{
	return below(file)->pMethods->xShmLock(below(file), offset, count, flags);
}

static void fault_shm_barrier(sqlite3_file *file)
{
	below(file)->pMethods->xShmBarrier(below(file));
}

static int fault_shm_unmap(sqlite3_file *file, int remove)
{
	return below(file)->pMethods->xShmUnmap(below(file), remove);
}

static const sqlite3_io_methods methods = {
	.iVersion = 2,
	.xClose = fault_close,
	.xRead = fault_read,
	.xWrite = fault_write,
	.xTruncate = fault_truncate,
	.xSync = fault_sync,
	.xFileSize = fault_size,
	.xLock = fault_lock,
	.xUnlock = fault_unlock,
	.xCheckReservedLock = fault_check_lock,
	.xFileControl = fault_control,
	.xSectorSize = fault_sector_size,
	.xDeviceCharacteristics = fault_characteristics,
	.xShmMap = fault_shm_map,
	.xShmLock = fault_shm_lock,
	.xShmBarrier = fault_shm_barrier,
	.xShmUnmap = fault_shm_unmap,
};

static int fault_open(sqlite3_vfs *vfs, const char *name, sqlite3_file *file, int flags, int *out_flags)
{
	struct file *f = (struct file *)(void *)file;
	(void)vfs;
	f->kind = flags & (SQLITE_OPEN_MAIN_DB | SQLITE_OPEN_WAL);
	f->base.pMethods = NULL;
	int code = now(VFS_OPEN, f->kind);
	if (code)
		return code;
	code = real->xOpen(real, name, below(file), flags, out_flags);
	if (below(file)->pMethods)
		f->base.pMethods = &methods;
	return code ? code : now(VFS_OPENED, f->kind);
}

/* Nobody is waited for: SQLite tries again at once. */
static int fault_sleep(sqlite3_vfs *vfs, int us)
{
	(void)vfs;
	return us;
}

void vfs_fault_register(void)
{
	real = sqlite3_vfs_find("unix");
	assert_non_null(real);
	layer = *real;
	layer.szOsFile = (int)sizeof(struct file) + real->szOsFile;
	layer.xOpen = fault_open;
	layer.xSleep = fault_sleep;
	/* The newest of a name is the one that is found. */
	assert_int_equal(sqlite3_vfs_register(&layer, 1), SQLITE_OK);
	assert_ptr_equal(sqlite3_vfs_find("unix"), &layer);
}

void vfs_fault_plan(const struct vfs_plan *p)
{
	plan = p ? *p : (struct vfs_plan){0};
	calls = hits = 0;
}

unsigned vfs_fault_hits(void)
{
	return hits;
}
