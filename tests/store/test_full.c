/*
 * test_full.c - T4 on a full host: what reserve() promised, COMMIT and checkpoint keep; freeing works from the reserve;
 * the space is usable again; also after reopening on the full host. On a small tmpfs, and on ext4 with blocks of 1 KiB.
 */
#include <db_model.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <unistd.h>

#define PAGES 64u /* what each operation reserves */
#define INLINE_TABLE (&lk_tables[LK_T_INLINE])

/* As the transaction layer does: on ENOSPC everything is committed and moved to the database, then it tries once more. */
static int prove(struct lk_db *db, bool freeing)
{
	int r = db->ops->reserve(db, PAGES, freeing);
	if (r != LINKFS_ENOSPC)
		return r;
	assert_int_equal(db->ops->commit(db), 0);
	assert_int_equal(db->ops->checkpoint(db, true), 0);
	assert_int_equal(db->ops->begin(db), 0);
	return db->ops->reserve(db, PAGES, freeing);
}

/* The number of rows that went in before ENOSPC. */
static int64_t fill_up(struct lk_db *db)
{
	static uint8_t content[8000];
	int64_t i = 0;
	int r;
	memset(content, 7, sizeof(content));
	assert_int_equal(db->ops->begin(db), 0);
	while ((r = prove(db, false)) == 0) {
		struct lk_inline row = {.ino = ++i, .content = {content, sizeof(content)}};
		assert_int_equal(db->ops->savepoint(db), 0);
		assert_int_equal(lk_db_insert(db, INLINE_TABLE, &row), 0);
		assert_int_equal(db->ops->release(db), 0);
	}
	assert_int_equal(r, LINKFS_ENOSPC);
	assert_int_equal(db->ops->commit(db), 0);
	r = db->ops->checkpoint(db, false);
	/* Opened on a full host it may have no room for shared memory, and then asks for a slice. */
	assert_int_equal(r == LINKFS_EAGAIN ? db->ops->checkpoint(db, true) : r, 0);
	return i;
}

static void erase_all(struct lk_db *db, int64_t rows)
{
	assert_int_equal(db->ops->begin(db), 0);
	for (int64_t i = 1; i <= rows; i++) {
		struct lk_inline row = {.ino = i};
		assert_int_equal(prove(db, true), 0);
		assert_int_equal(lk_db_erase(db, INLINE_TABLE, &row), 0);
	}
	assert_int_equal(db->ops->commit(db), 0);
	assert_int_equal(db->ops->checkpoint(db, true), 0);
}

static struct lk_db *open_db(const char *dir, uint32_t flags)
{
	struct lk_db *db = NULL;
	struct linkfs_message why = {"nothing"};
	int r = lk_db_open_sqlite(dir, flags, &db, &why);
	if (r)
		fail_msg("open: %s: %s", linkfs_error_name(r), why.text);
	return db;
}

/* Somebody else takes the rest. */
static void fill_host(const char *dir)
{
	char path[4200];
	static uint8_t block[4096];
	(void)snprintf(path, sizeof(path), "%s/ballast", dir);
	FILE *f = fopen(path, "w");
	assert_non_null(f);
	setbuf(f, NULL);
	while (fwrite(block, 1, sizeof(block), f) == sizeof(block))
		;
	(void)fclose(f);
}

static void full_host(const char *dir)
{
	struct lk_db *db = open_db(dir, LK_DB_CREATE);
	int64_t first = fill_up(db);
	assert_true(first > 150);
	erase_all(db, first);
	int64_t second = fill_up(db);
	/* The database keeps its pages, so as much fits again. */
	assert_true(second >= first * 9 / 10);
	lk_db_close(db);
	fill_host(dir);
	db = open_db(dir, 0);
	struct lk_inline row = {.ino = second};
	assert_int_equal(lk_db_get(db, INLINE_TABLE, &row, &row, NULL), 0);
	assert_int_equal(row.content.len, 8000);
	erase_all(db, second);
	struct lk_db_usage usage;
	assert_int_equal(db->ops->usage(db, &usage), 0);
	assert_true(usage.free_pages >= usage.pages / 2);
	int64_t third = fill_up(db);
	assert_true(third >= second / 2);
	lk_db_close(db);
}

static void on_tmpfs(void **in)
{
	(void)in;
	char *dir = lk_test_mkdir();
	if (mount("none", dir, "tmpfs", MS_NOSUID | MS_NODEV, "size=6m")) {
		print_message("# cannot mount a tmpfs: %s\n", strerror(errno));
		lk_test_rmdir(dir);
		skip();
	}
	full_host(dir);
	assert_int_equal(umount2(dir, MNT_DETACH), 0);
	lk_test_rmdir(dir);
}

/* A program's exit status; 127 when there is none. */
static int run(const char *const argv[])
{
	pid_t child;
	int status = -1;
	char *copy[8] = {0};
	for (size_t i = 0; argv[i] && i + 1 < LK_ARRAY_LEN(copy); i++)
		copy[i] = strdup(argv[i]);
	if (posix_spawnp(&child, copy[0], NULL, NULL, copy, environ) == 0)
		(void)waitpid(child, &status, 0);
	for (size_t i = 0; i < LK_ARRAY_LEN(copy); i++)
		free(copy[i]);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 127;
}

static void on_ext4_with_small_blocks(void **in)
{
	(void)in;
	char *dir = lk_test_mkdir();
	char image[4200], where[4200];
	(void)snprintf(image, sizeof(image), "%s/image", dir);
	(void)snprintf(where, sizeof(where), "%s/v", dir);
	int fd = open(image, O_RDWR | O_CREAT, 0600);
	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, 9 << 20), 0);
	assert_int_equal(close(fd), 0);
	assert_int_equal(mkdir(where, 0700), 0);
	const char *const mkfs[] = {"mkfs.ext4", "-q", "-b", "1024", image, NULL};
	const char *const mount_it[] = {"mount", "-o", "loop", image, where, NULL};
	if (geteuid() != 0 || run(mkfs) != 0 || run(mount_it) != 0) {
		print_message("# cannot mount an image: needs root, loop devices and mkfs.ext4\n");
		lk_test_rmdir(dir);
		skip();
	}
	char *path = NULL;
	assert_true(asprintf(&path, "%s/v", dir) > 0);
	full_host(path);
	assert_int_equal(umount2(path, MNT_DETACH), 0);
	free(path);
	lk_test_rmdir(dir);
}

/* The host fails while COMMIT writes: the transaction is gone as a whole, and rollback() leads on. */
static void a_commit_that_fails_changes_nothing(void **in)
{
	(void)in;
	static uint8_t content[8000];
	char *dir = lk_test_mkdir();
	struct lk_db *db = open_db(dir, LK_DB_CREATE);
	struct lk_inline row = {.ino = 1, .content = {content, sizeof(content)}}, got = {.ino = 1};
	struct rlimit before, small;
	assert_int_equal(db->ops->begin(db), 0);
	assert_int_equal(lk_db_put(db, INLINE_TABLE, &row), 0);
	assert_int_equal(db->ops->commit(db), 0);
	(void)signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
	small = before;
	/* Room for some of the frames but not for all. */
	small.rlim_cur = 300000;
	for (int round = 0; round < 3; round++) {
		assert_int_equal(db->ops->begin(db), 0);
		for (row.ino = 1; row.ino <= 200; row.ino++) {
			memset(content, round + 1, sizeof(content));
			assert_int_equal(lk_db_put(db, INLINE_TABLE, &row), 0);
		}
		assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
		int r = db->ops->commit(db);
		int later = lk_db_get(db, INLINE_TABLE, &got, &got, NULL);
		int undone = db->ops->rollback(db);
		assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
		assert_true(r == LINKFS_EIO || r == LINKFS_ENOSPC);
		assert_true(later == LINKFS_EIO || later == 0);
		assert_int_equal(undone, 0);
		struct lk_buf bytes = {0};
		assert_int_equal(lk_db_get(db, INLINE_TABLE, &got, &got, &bytes), 0);
		assert_int_equal(bytes.p[0], 0);
		lk_buf_done(&bytes);
		got.ino = 2;
		assert_int_equal(lk_db_get(db, INLINE_TABLE, &got, &got, NULL), LINKFS_ENOENT);
		got.ino = 1;
	}
	/* And on it goes. */
	assert_int_equal(db->ops->begin(db), 0);
	row.ino = 3;
	assert_int_equal(lk_db_put(db, INLINE_TABLE, &row), 0);
	assert_int_equal(db->ops->commit(db), 0);
	lk_db_close(db);
	db = open_db(dir, 0);
	got.ino = 3;
	assert_int_equal(lk_db_get(db, INLINE_TABLE, &got, &got, NULL), 0);
	got.ino = 2;
	assert_int_equal(lk_db_get(db, INLINE_TABLE, &got, &got, NULL), LINKFS_ENOENT);
	lk_db_close(db);
	lk_test_rmdir(dir);
}

static uint64_t bytes_used(const char *dir)
{
	struct statvfs st;
	assert_int_equal(statvfs(dir, &st), 0);
	return (uint64_t)(st.f_blocks - st.f_bfree) * st.f_frsize;
}

static void an_empty_volume_is_small(void **in)
{
	(void)in;
	char *dir = lk_test_mkdir();
	if (mount("none", dir, "tmpfs", MS_NOSUID | MS_NODEV, "size=64m")) {
		print_message("# cannot mount a tmpfs: %s\n", strerror(errno));
		lk_test_rmdir(dir);
		skip();
	}
	lk_db_close(open_db(dir, LK_DB_CREATE));
	assert_true(bytes_used(dir) < 4 << 20);
	assert_int_equal(umount2(dir, MNT_DETACH), 0);
	lk_test_rmdir(dir);
}

/* A failed test leaves no mount behind. */
static int unmount_left(void **in)
{
	(void)in;
	FILE *mounts = fopen("/proc/self/mounts", "r");
	char line[5000], dir[4200];
	while (mounts && fgets(line, sizeof(line), mounts)) {
		const char *mine = getenv("LINKFS_TEST_FULL_DIR");
		if (mine && sscanf(line, "%*s %4199s", dir) == 1 && strncmp(dir, mine, strlen(mine)) == 0)
			(void)umount2(dir, MNT_DETACH);
	}
	if (mounts)
		(void)fclose(mounts);
	return 0;
}

int main(void)
{
	/* All directories of this run lie in one of its own, so that what is left mounted there is surely ours. */
	char *top = lk_test_mkdir();
	(void)setenv("LINKFS_TEST_FULL_DIR", top, 1);
	(void)setenv("TMPDIR", top, 1);
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(on_tmpfs),
		cmocka_unit_test(on_ext4_with_small_blocks),
		cmocka_unit_test(an_empty_volume_is_small),
		cmocka_unit_test(a_commit_that_fails_changes_nothing),
	};
	int failed = cmocka_run_group_tests(tests, NULL, unmount_left);
	lk_test_rmdir(top);
	return failed;
}
