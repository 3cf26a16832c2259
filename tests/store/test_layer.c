/*
 * test_layer.c - calls of the file layer one by one: odd sizes and offsets, pages that are not there, headers that wait for
 * their page, and the WAL's file that stays (vfs_sum.h, vfs_layer.c).
 * close is wrapped at link time.
 */
#include "vfs_fault.h"
#include "volume.h"

#include <vfs_sum.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- the pages' files ------------------------------------------------------------------------------------------------ */

struct files {
	char *dir;
	sqlite3 *handle;
	sqlite3_file *main, *wal;
};

/* A connection with frames in its WAL. */
static void files_open(struct files *f)
{
	char path[4200];
	struct lk_db *db = NULL;
	f->dir = lk_test_mkdir();
	f->handle = NULL;
	assert_int_equal(lk_db_open_sqlite(f->dir, LK_DB_CREATE, &db, NULL), 0);
	lk_db_close(db);
	(void)snprintf(path, sizeof(path), "%s/meta.db", f->dir);
	assert_int_equal(sqlite3_open_v2(path, &f->handle, SQLITE_OPEN_READWRITE, lk_vfs_sum()), SQLITE_OK);
	for (int i = 0; i < 3; i++)
		assert_int_equal(sqlite3_exec(f->handle, "INSERT INTO orphan VALUES(NULL)", NULL, NULL, NULL),
				 SQLITE_OK);
	assert_int_equal(sqlite3_file_control(f->handle, "main", SQLITE_FCNTL_FILE_POINTER, &f->main), SQLITE_OK);
	assert_int_equal(sqlite3_file_control(f->handle, "main", SQLITE_FCNTL_JOURNAL_POINTER, &f->wal), SQLITE_OK);
}

static void files_close(struct files *f)
{
	assert_int_equal(sqlite3_close(f->handle), SQLITE_OK);
	lk_test_rmdir(f->dir);
}

/* Only whole pages in their places get a sum, so nothing else is written; what is read in part has no sum to prove it. */
static void odd_sizes_and_offsets(void **in)
{
	(void)in;
	static const struct {
		bool wal;
		int amount;
		int64_t offset;
	} odd[] = {{false, 100, 0},
		   {false, LK_PAGE_SIZE, 512},
		   {false, 2 * LK_PAGE_SIZE, 0},
		   {true, LK_WAL_HEADER, 8},
		   {true, 8, 0},
		   {true, LK_FRAME_HEADER, 0},
		   {true, LK_FRAME_HEADER, LK_WAL_HEADER + 1},
		   {true, LK_PAGE_SIZE, 0},
		   {true, LK_PAGE_SIZE, LK_WAL_HEADER},
		   {true, LK_FRAME_SIZE, LK_WAL_HEADER}};
	struct files f;
	struct file_bytes before, after;
	uint8_t buf[2 * LK_PAGE_SIZE], first[100];
	files_open(&f);
	for (size_t i = 0; i < LK_ARRAY_LEN(odd); i++) {
		const char *name = odd[i].wal ? "meta.db-wal" : "meta.db";
		sqlite3_file *file = odd[i].wal ? f.wal : f.main;
		memset(buf, 0xee, sizeof(buf));
		file_read(f.dir, name, &before);
		assert_int_equal(file->pMethods->xWrite(file, buf, odd[i].amount, odd[i].offset), SQLITE_IOERR_WRITE);
		assert_int_equal(file->pMethods->xSync(file, SQLITE_SYNC_NORMAL), SQLITE_OK);
		file_read(f.dir, name, &after);
		assert_int_equal(before.len, after.len);
		assert_memory_equal(before.p, after.p, before.len);
		free(before.p);
		free(after.p);
	}
	assert_int_equal(f.main->pMethods->xRead(f.main, first, 100, 0), SQLITE_OK);
	assert_memory_equal(first, "SQLite format 3", 16);
	assert_int_equal(f.main->pMethods->xRead(f.main, buf, LK_PAGE_SIZE, 512), SQLITE_OK);
	assert_int_equal(f.wal->pMethods->xRead(f.wal, first, LK_WAL_HEADER, 0), SQLITE_OK);
	assert_int_equal(f.wal->pMethods->xRead(f.wal, buf, LK_PAGE_SIZE, LK_WAL_HEADER), SQLITE_OK);
	assert_int_equal(f.wal->pMethods->xRead(f.wal, buf, LK_FRAME_SIZE, LK_WAL_HEADER + LK_FRAME_SIZE / 2),
			 SQLITE_OK);
	files_close(&f);
}

/* A page that the file ends before, or in, is damage; so is one that cannot be read. Memory is only memory. */
static void pages_that_are_not_there(void **in)
{
	(void)in;
	struct files f;
	uint8_t page[LK_PAGE_SIZE];
	sqlite3_int64 size = 0;
	files_open(&f);
	assert_int_equal(f.main->pMethods->xFileSize(f.main, &size), SQLITE_OK);
	assert_int_equal(size % LK_PAGE_SIZE, 0);
	assert_int_equal(f.main->pMethods->xRead(f.main, page, LK_PAGE_SIZE, size), LK_SQLITE_BAD_SUM);
	assert_int_equal(f.main->pMethods->xRead(f.main, page, 100, size), SQLITE_IOERR_SHORT_READ);
	int64_t at = LK_WAL_HEADER + LK_FRAME_SIZE * INT64_C(100000) + LK_FRAME_HEADER;
	assert_int_equal(f.wal->pMethods->xRead(f.wal, page, LK_PAGE_SIZE, at), LK_SQLITE_BAD_SUM);
	static const int said[][2] = {{SQLITE_IOERR_READ, LK_SQLITE_BAD_READ},
				      {SQLITE_IOERR_CORRUPTFS, LK_SQLITE_BAD_READ},
				      {SQLITE_IOERR_SHORT_READ, LK_SQLITE_BAD_SUM},
				      {SQLITE_IOERR_NOMEM, SQLITE_IOERR_NOMEM},
				      {SQLITE_BUSY, SQLITE_BUSY}};
	for (size_t i = 0; i < LK_ARRAY_LEN(said); i++) {
		for (int wal = 0; wal < 2; wal++) {
			sqlite3_file *file = wal ? f.wal : f.main;
			at = wal ? LK_WAL_HEADER + LK_FRAME_HEADER : 0;
			vfs_fault_plan(&(struct vfs_plan){.which = VFS_READ,
							  .file = SQLITE_OPEN_WAL | SQLITE_OPEN_MAIN_DB,
							  .n = 1,
							  .code = said[i][0]});
			assert_int_equal(file->pMethods->xRead(file, page, LK_PAGE_SIZE, at), said[i][1]);
			assert_int_equal(vfs_fault_hits(), 1);
			assert_int_equal(file->pMethods->xRead(file, page, LK_PAGE_SIZE, at), SQLITE_OK);
		}
	}
	vfs_fault_plan(NULL);
	files_close(&f);
}

/* A frame's header waits for its page. Whatever comes instead, it is written first; when that fails, so does the call. */
static void a_header_without_its_page(void **in)
{
	(void)in;
	struct files f;
	uint8_t header[LK_FRAME_HEADER] = {0, 0, 0, 9}, buf[LK_PAGE_SIZE];
	sqlite3_int64 size = 0;
	files_open(&f);
	const sqlite3_io_methods *m = f.wal->pMethods;
	assert_int_equal(m->xFileSize(f.wal, &size), SQLITE_OK);
	int64_t end = LK_WAL_HEADER + (size - LK_WAL_HEADER + LK_FRAME_SIZE - 1) / LK_FRAME_SIZE * LK_FRAME_SIZE;
	for (int i = 0; i < 8; i++) {
		for (int fail = 0; fail < 2; fail++) {
			int64_t at = end + (i * 2 + fail) * (int64_t)LK_FRAME_SIZE;
			int code = -1;
			header[7] = (uint8_t)i;
			assert_int_equal(m->xRead(f.wal, buf, LK_PAGE_SIZE, LK_WAL_HEADER + LK_FRAME_HEADER),
					 SQLITE_OK);
			assert_int_equal(m->xWrite(f.wal, header, LK_FRAME_HEADER, at), SQLITE_OK);
			vfs_fault_plan(&(struct vfs_plan){
				.which = VFS_WRITE, .file = SQLITE_OPEN_WAL, .n = (unsigned)fail, .code = SQLITE_FULL});
			switch (i) {
			case 0:
				code = m->xSync(f.wal, SQLITE_SYNC_NORMAL);
				break;
			case 1:
				code = m->xFileSize(f.wal, &size);
				break;
			case 2:
				code = m->xTruncate(f.wal, at + LK_FRAME_SIZE);
				break;
			case 3:
				code = m->xRead(f.wal, buf, LK_FRAME_HEADER, at);
				break;
			case 4:
				code = m->xRead(f.wal, buf, LK_PAGE_SIZE, LK_WAL_HEADER + LK_FRAME_HEADER);
				break;
			case 5: /* another frame's page */
				code = m->xWrite(f.wal, buf, LK_PAGE_SIZE, LK_WAL_HEADER + LK_FRAME_HEADER);
				break;
			case 6: /* another header */
				code = m->xWrite(f.wal, header, LK_FRAME_HEADER, at);
				if (code == SQLITE_OK)
					code = m->xSync(f.wal, SQLITE_SYNC_NORMAL);
				break;
			default: /* what is refused */
				code = m->xWrite(f.wal, header, 5, at);
				break;
			}
			assert_int_equal(code, fail ? SQLITE_FULL : i == 7 ? SQLITE_IOERR_WRITE : SQLITE_OK);
			vfs_fault_plan(NULL);
			if (!fail) {
				assert_int_equal(m->xRead(f.wal, buf, LK_FRAME_HEADER, at), SQLITE_OK);
				assert_memory_equal(buf, header, LK_FRAME_HEADER);
			}
		}
	}
	files_close(&f);
}

/* A page is written into its frame again while that still waits to be written. */
static void a_page_written_again_at_once(void **in)
{
	(void)in;
	struct files f;
	uint8_t header[LK_FRAME_HEADER] = {0, 0, 0, 9}, first[LK_PAGE_SIZE], second[LK_PAGE_SIZE], got[LK_PAGE_SIZE];
	sqlite3_int64 size = 0;
	files_open(&f);
	const sqlite3_io_methods *m = f.wal->pMethods;
	memset(first, 1, sizeof(first));
	memset(second, 2, sizeof(second));
	assert_int_equal(m->xFileSize(f.wal, &size), SQLITE_OK);
	int64_t at = LK_WAL_HEADER + (size - LK_WAL_HEADER + LK_FRAME_SIZE - 1) / LK_FRAME_SIZE * LK_FRAME_SIZE;
	for (int i = 0; i < 3; i++) {
		assert_int_equal(m->xWrite(f.wal, header, LK_FRAME_HEADER, at + i * LK_FRAME_SIZE), SQLITE_OK);
		assert_int_equal(m->xWrite(f.wal, first, LK_PAGE_SIZE, at + i * LK_FRAME_SIZE + LK_FRAME_HEADER),
				 SQLITE_OK);
	}
	assert_int_equal(m->xWrite(f.wal, second, LK_PAGE_SIZE, at + LK_FRAME_SIZE + LK_FRAME_HEADER), SQLITE_OK);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(m->xRead(f.wal, got, LK_PAGE_SIZE, at + i * LK_FRAME_SIZE + LK_FRAME_HEADER),
				 SQLITE_OK);
		assert_memory_equal(got, i == 1 ? second : first, LK_PAGE_SUMMED);
		assert_int_equal(m->xRead(f.wal, got, LK_FRAME_HEADER, at + i * LK_FRAME_SIZE), SQLITE_OK);
		assert_memory_equal(got, header, LK_FRAME_HEADER);
	}
	files_close(&f);
}

/* The owner's space is of the database's file; to another file the control means nothing. */
static void controls(void **in)
{
	(void)in;
	struct files f;
	struct lk_space space = {.wal_fd = -1, .db_fd = -1, .shm_fd = -1};
	files_open(&f);
	assert_int_equal(f.wal->pMethods->xFileControl(f.wal, LK_FCNTL_SPACE, &space), SQLITE_NOTFOUND);
	assert_int_equal(f.main->pMethods->xFileControl(f.main, 0x6c6bff, &space), SQLITE_NOTFOUND);
	assert_int_equal(f.main->pMethods->xFileControl(f.main, LK_FCNTL_SPACE, &space), SQLITE_OK);
	/* Preallocated: the WAL is never cut, the database never made shorter, both stay as long as they are. */
	sqlite3_int64 size = 0, now = 0;
	for (int wal = 0; wal < 2; wal++) {
		sqlite3_file *file = wal ? f.wal : f.main;
		assert_int_equal(file->pMethods->xFileSize(file, &size), SQLITE_OK);
		space.wal_used = 77;
		assert_int_equal(file->pMethods->xTruncate(file, LK_PAGE_SIZE), SQLITE_OK);
		assert_int_equal(space.wal_used, 77);
		assert_int_equal(file->pMethods->xTruncate(file, 0), SQLITE_OK);
		assert_int_equal(space.wal_used, wal ? 0 : 77);
		assert_int_equal(file->pMethods->xFileSize(file, &now), SQLITE_OK);
		assert_true(size > LK_PAGE_SIZE && now == size);
	}
	assert_int_equal(f.main->pMethods->xFileSize(f.main, &size), SQLITE_OK);
	assert_int_equal(f.main->pMethods->xTruncate(f.main, size + LK_PAGE_SIZE), SQLITE_OK);
	assert_int_equal(f.main->pMethods->xFileSize(f.main, &now), SQLITE_OK);
	assert_true(now == size + LK_PAGE_SIZE);
	assert_int_equal(f.main->pMethods->xTruncate(f.main, size), SQLITE_OK);
	/* Without an owner's space files are cut. */
	assert_int_equal(f.main->pMethods->xFileControl(f.main, LK_FCNTL_SPACE, NULL), SQLITE_OK);
	assert_int_equal(f.main->pMethods->xTruncate(f.main, size), SQLITE_OK);
	assert_int_equal(f.main->pMethods->xFileSize(f.main, &now), SQLITE_OK);
	assert_true(now == size);
	files_close(&f);
}

/* ---- the layer ------------------------------------------------------------------------------------------------------- */

int __real_close(int fd);
int __wrap_close(int fd);
static bool fail_close;

int __wrap_close(int fd)
{
	int r = __real_close(fd);
	if (!fail_close)
		return r;
	errno = EIO;
	return -1;
}

static size_t make_file(const char *path, size_t len)
{
	uint8_t bytes[10000];
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	assert_true(fd >= 0 && len <= sizeof(bytes));
	memset(bytes, 0x5a, sizeof(bytes));
	assert_int_equal(lk_pwrite_all(fd, bytes, len, 0), 0);
	assert_int_equal(close(fd), 0);
	return len;
}

/* The file is as make_file() made it, but for its first bytes, which are 0. */
static void file_is(const char *path, size_t len, size_t zeros)
{
	uint8_t bytes[10000] = {1};
	struct stat st;
	int fd = open(path, O_RDONLY);
	assert_true(fd >= 0);
	assert_int_equal(fstat(fd, &st), 0);
	assert_int_equal(st.st_size, len);
	assert_int_equal(lk_pread_all(fd, bytes, len, 0), 0);
	assert_int_equal(close(fd), 0);
	for (size_t i = 0; i < len; i++)
		assert_int_equal(bytes[i], i < zeros ? 0 : 0x5a);
}

/* A WAL that SQLite deletes is a reserve that stays, and holds nothing any more. */
static void a_deleted_wal_stays_and_is_empty(void **in)
{
	(void)in;
	sqlite3_vfs *vfs = sqlite3_vfs_find(lk_vfs_sum());
	char *dir = lk_test_mkdir(), wal[4200], other[4200];
	assert_non_null(vfs);
	(void)snprintf(wal, sizeof(wal), "%s/a-wal", dir);
	(void)snprintf(other, sizeof(other), "%s/other", dir);
	/* None there: as good as deleted. */
	assert_int_equal(vfs->xDelete(vfs, wal, 0), SQLITE_OK);
	assert_int_equal(access(wal, F_OK), -1);
	size_t len = make_file(wal, 9000);
	assert_int_equal(vfs->xDelete(vfs, wal, 0), SQLITE_OK);
	file_is(wal, len, LK_WAL_HEADER);
	len = make_file(wal, 0);
	assert_int_equal(vfs->xDelete(vfs, wal, 0), SQLITE_OK);
	file_is(wal, 0, 0);
	/* What cannot be written is not called deleted. */
	struct rlimit before, none;
	len = make_file(wal, 9000);
	(void)signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
	none = before;
	none.rlim_cur = 0;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &none), 0);
	int code = vfs->xDelete(vfs, wal, 0);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
	assert_int_equal(code, SQLITE_IOERR_DELETE);
	file_is(wal, len, 0);
	fail_close = true;
	code = vfs->xDelete(vfs, wal, 0);
	fail_close = false;
	assert_int_equal(code, SQLITE_IOERR_DELETE);
	/* A symlink leads nowhere. */
	assert_int_equal(unlink(wal), 0);
	len = make_file(other, 9000);
	assert_int_equal(symlink("other", wal), 0);
	assert_int_equal(vfs->xDelete(vfs, wal, 0), SQLITE_IOERR_DELETE);
	file_is(other, len, 0);
	/* Other files are deleted. */
	assert_int_equal(vfs->xDelete(vfs, other, 0), SQLITE_OK);
	assert_int_equal(access(other, F_OK), -1);
	assert_int_equal(vfs->xDelete(vfs, "x", 0), SQLITE_IOERR_DELETE_NOENT);
	lk_test_rmdir(dir);
}

/* A journal may name a super-journal anywhere, which SQLite would read and delete. */
static void no_super_journal(void **in)
{
	(void)in;
	sqlite3_vfs *vfs = sqlite3_vfs_find(lk_vfs_sum());
	char *dir = lk_test_mkdir(), path[4200];
	sqlite3_file *file = calloc(1, (size_t)vfs->szOsFile);
	assert_non_null(file);
	(void)snprintf(path, sizeof(path), "%s/super", dir);
	size_t len = make_file(path, 100);
	assert_int_equal(vfs->xOpen(vfs, path, file, SQLITE_OPEN_SUPER_JOURNAL | SQLITE_OPEN_READWRITE, NULL),
			 SQLITE_CANTOPEN);
	assert_null(file->pMethods);
	file_is(path, len, 0);
	free(file);
	lk_test_rmdir(dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(odd_sizes_and_offsets),
		cmocka_unit_test(pages_that_are_not_there),
		cmocka_unit_test(a_header_without_its_page),
		cmocka_unit_test(a_page_written_again_at_once),
		cmocka_unit_test(controls),
		cmocka_unit_test(a_deleted_wal_stays_and_is_empty),
		cmocka_unit_test(no_super_journal),
	};
	vfs_fault_register();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
