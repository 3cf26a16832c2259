/*
 * test_calls.c - the watch that other tests rely on sees what it must: every kind of call, a volume's and SQLite's too,
 * in order; and what a hook fails or shortens is what the caller gets.
 */
#include "calls.h"
#include "test.h"

#include <errno.h>
#include <fcntl.h>
#include <linkfs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

struct seen {
	char log[16384];
	size_t len;
	enum call_kind fail_kind;
	int fail_with;
	uint64_t shorten;
	unsigned count[CALL_KINDS];
	unsigned wal_writes, wal_syncs, data_writes, data_syncs, maps_of_others;
	bool quiet;
};

static int before(void *arg, struct call *call)
{
	struct seen *s = arg;
	if (s->fail_with && call->kind == s->fail_kind)
		return s->fail_with;
	if (s->shorten && (call->kind == CALL_WRITE || call->kind == CALL_READ) && call->len > s->shorten)
		call->len = s->shorten;
	return 0;
}

static void after(void *arg, const struct call *call, int64_t result, int error)
{
	struct seen *s = arg;
	s->count[call->kind]++;
	bool wal = strcmp(call->name ? call->name : "", "meta.db-wal") == 0;
	bool data = strncmp(call->name ? call->name : "", "data.", 5) == 0;
	s->wal_writes += wal && call->kind == CALL_WRITE;
	s->wal_syncs += wal && call->kind == CALL_SYNC;
	s->data_writes += data && call->kind == CALL_WRITE;
	s->data_syncs += data && call->kind == CALL_SYNC;
	s->maps_of_others += call->kind == CALL_MAP && strcmp(call->name, "meta.db-shm") != 0;
	if (s->quiet)
		return;
	/* A call of a hook's own is not seen: this one would lead to no end otherwise. */
	(void)!write(-1, "", 0);
	int n = snprintf(s->log + s->len, sizeof(s->log) - s->len, "%s %u %s%s%s %llu+%llu%s = %lld %d\n",
			 call_kind_name(call->kind), call->file, call->name ? call->name : "-", call->to ? " to " : "",
			 call->to ? call->to : "", (unsigned long long)call->offset, (unsigned long long)call->len,
			 call->made ? " made" : "", call->kind == CALL_OPEN && result > 0 ? 0LL : (long long)result,
			 error);
	s->len += n > 0 ? (size_t)n : 0;
}

static const uint32_t all_kinds = (1u << CALL_KINDS) - 1;

static void every_kind_is_seen(void **state)
{
	(void)state;
	static struct seen s;
	const struct calls_hooks hooks = {.arg = &s, .kinds = all_kinds, .before = before, .after = after};
	char *dir = lk_test_mkdir(), cwd[4096], buf[16];
	assert_non_null(getcwd(cwd, sizeof(cwd)));
	assert_int_equal(chdir(dir), 0);
	calls_watch(dir, &hooks);
	int top = open(".", O_RDONLY | O_DIRECTORY);
	int at = open(dir, O_RDONLY | O_DIRECTORY);
	int fd = openat(at, "a", O_RDWR | O_CREAT, 0600);
	assert_true(fd >= 0 && top >= 0 && at >= 0);
	assert_int_equal(write(fd, "hello", 5), 5);
	struct iovec v[2] = {{(void *)(uintptr_t) "xy", 2}, {(void *)(uintptr_t) "z", 1}};
	assert_int_equal(writev(fd, v, 2), 3);
	assert_int_equal(pwritev(fd, v, 2, 100), 3);
	assert_int_equal(pwrite(fd, "q", 1, 50), 1);
	assert_int_equal(pread(fd, buf, 8, 0), 8);
	assert_memory_equal(buf, "helloxyz", 8);
	assert_int_equal(read(fd, buf, 16), 16);
	assert_int_equal(ftruncate(fd, 4096), 0);
	assert_int_equal(fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, 8192), 0);
	assert_int_equal(posix_fallocate(fd, 0, 4096), 0);
	assert_int_equal(fdatasync(fd), 0);
	assert_int_equal(fsync(at), 0);
	void *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	assert_true(p != MAP_FAILED);
	assert_int_equal(munmap(p, 4096), 0);
	assert_int_equal(rename("a", "b"), 0);
	assert_int_equal(renameat2(AT_FDCWD, "b", AT_FDCWD, "c", RENAME_NOREPLACE), 0);
	assert_int_equal(rename("c", "b"), 0);
	assert_int_equal(fdatasync(fd), 0);
	assert_int_equal(unlink("b"), 0);
	int again = open("b", O_RDWR | O_CREAT | O_EXCL, 0600);
	assert_true(again >= 0);
	assert_int_equal(mkdir("d", 0700), 0);
	assert_int_equal(rmdir("d"), 0);
	int elsewhere = open("/dev/null", O_WRONLY);
	assert_int_equal(write(elsewhere, "no", 2), 2);
	assert_int_equal(close(again), 0);
	assert_int_equal(close(fd), 0);
	calls_unwatch();
	assert_int_equal(write(elsewhere, "no", 2), 2);
	(void)close(elsewhere);
	(void)close(at);
	(void)close(top);
	assert_int_equal(chdir(cwd), 0);
	static const char expected[] = "open 1  0+0 = 0 0\n"
				       "open 2 a 0+0 made = 0 0\n"
				       "write 2 a 0+5 = 5 0\n"
				       "write 2 a 5+3 = 3 0\n"
				       "write 2 a 100+3 = 3 0\n"
				       "write 2 a 50+1 = 1 0\n"
				       "read 2 a 0+8 = 8 0\n"
				       "read 2 a 8+16 = 16 0\n"
				       "truncate 2 a 4096+0 = 0 0\n"
				       "allocate 2 a 0+8192 = 0 0\n"
				       "allocate 2 a 0+4096 = 0 0\n"
				       "sync 2 a 0+0 = 0 0\n"
				       "sync 1  0+0 = 0 0\n"
				       "map 2 a 0+4096 = 0 0\n"
				       "rename 2 a to b 0+0 = 0 0\n"
				       "rename 2 b to c 0+0 = 0 0\n"
				       "rename 2 c to b 0+0 = 0 0\n"
				       "sync 2 b 0+0 = 0 0\n"
				       "unlink 2 b 0+0 = 0 0\n"
				       "open 3 b 0+0 made = 0 0\n"
				       "mkdir 0 d 0+0 = 0 0\n"
				       "unlink 0 d 0+0 = 0 0\n";
	const char *got = strstr(s.log, "open 1  0+0 = 0 0\nopen 2");
	assert_non_null(got);
	assert_string_equal(got, expected);
	lk_test_rmdir(dir);
}

static int call_one(enum call_kind kind, int fd, const char *path, const char *dir)
{
	char buf[1];
	if (kind == CALL_OPEN)
		return open(path, O_RDONLY);
	if (kind == CALL_READ)
		return (int)read(fd, buf, 1);
	if (kind == CALL_WRITE)
		return (int)pwrite(fd, "x", 1, 0);
	if (kind == CALL_TRUNCATE)
		return ftruncate(fd, 10);
	if (kind == CALL_SYNC)
		return fdatasync(fd);
	if (kind == CALL_RENAME)
		return rename(path, dir);
	if (kind == CALL_UNLINK)
		return unlink(path);
	if (kind == CALL_MAP)
		return mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0) == MAP_FAILED ? -1 : 0;
	assert_int_equal(posix_fallocate(fd, 0, 1), EDQUOT);
	return fallocate(fd, 0, 0, 1);
}

static void what_a_hook_fails_or_shortens_is_seen(void **state)
{
	(void)state;
	static struct seen s = {.quiet = true};
	const struct calls_hooks hooks = {.arg = &s, .kinds = all_kinds, .before = before, .after = after};
	char *dir = lk_test_mkdir(), *path = NULL, buf[16];
	assert_true(asprintf(&path, "%s/a", dir) > 0);
	calls_watch(dir, &hooks);
	int fd = open(path, O_RDWR | O_CREAT, 0600);
	static const enum call_kind kinds[] = {CALL_OPEN, CALL_READ,   CALL_WRITE,  CALL_TRUNCATE, CALL_ALLOCATE,
					       CALL_SYNC, CALL_RENAME, CALL_UNLINK, CALL_MAP};
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		s.fail_kind = kinds[i];
		s.fail_with = EDQUOT;
		errno = 0;
		assert_int_equal(call_one(kinds[i], fd, path, dir), -1);
		assert_int_equal(errno, EDQUOT);
	}
	s.fail_with = 0;
	assert_int_equal(lseek(fd, 0, SEEK_END), 0); /* nothing of it was done */
	s.shorten = 3;
	assert_int_equal(pwrite(fd, "abcdef", 6, 0), 3);
	assert_int_equal(pread(fd, buf, 6, 0), 3);
	s.shorten = 0;
	/* Answered, and not done. */
	s.fail_kind = CALL_WRITE;
	s.fail_with = CALL_PRETEND;
	assert_int_equal(pwrite(fd, "abcdef", 6, 0), 6);
	s.fail_kind = CALL_SYNC;
	assert_int_equal(fdatasync(fd), 0);
	s.fail_with = 0;
	assert_int_equal(lseek(fd, 0, SEEK_END), 3);
	calls_unwatch();
	(void)close(fd);
	free(path);
	lk_test_rmdir(dir);
}

/* What reaches a volume comes from linkfs and from SQLite: both are seen, and nothing but the WAL's index is mapped. */
static void a_volume_is_seen(void **state)
{
	(void)state;
	static struct seen s = {.quiet = true};
	const struct calls_hooks hooks = {.arg = &s, .kinds = all_kinds, .before = before, .after = after};
	char *dir = lk_test_mkdir(), *path = NULL;
	struct linkfs_volume *volume;
	struct linkfs_file *file;
	static char bytes[100000];
	size_t done = 0;
	assert_true(asprintf(&path, "%s/v", dir) > 0);
	assert_int_equal(linkfs_volume_create(path, NULL, NULL), 0);
	calls_watch(path, &hooks);
	assert_int_equal(linkfs_volume_open(path, NULL, &volume, NULL), 0);
	assert_int_equal(
		linkfs_file_open(volume, NULL, LINKFS_ROOT_INO, "f", LINKFS_O_WRITE | LINKFS_O_CREATE, 0644, &file), 0);
	assert_int_equal(linkfs_file_write(file, 0, bytes, sizeof(bytes), &done), 0);
	assert_int_equal(s.data_syncs, 0);
	assert_int_equal(linkfs_file_sync(file, 0), 0);
	linkfs_file_close(file);
	assert_true(s.wal_writes >= 2 && s.wal_syncs >= 1);
	assert_true(s.data_writes >= 1);
	assert_int_equal(s.data_syncs, 1);
	assert_int_equal(s.maps_of_others, 0);
	assert_true(s.count[CALL_MAP] > 0 && s.count[CALL_OPEN] > 0);
	/* A failed sync is the volume's end, and is told. */
	s.fail_kind = CALL_SYNC;
	s.fail_with = EIO;
	assert_int_equal(linkfs_path_symlink(volume, NULL, "t", LINKFS_ROOT_INO, "l", NULL), 0);
	assert_int_equal(linkfs_volume_sync(volume), LINKFS_EIO);
	s.fail_with = 0;
	assert_int_equal(linkfs_volume_sync(volume), LINKFS_EPOISONED);
	(void)linkfs_volume_close(volume);
	calls_unwatch();
	free(path);
	lk_test_rmdir(dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_kind_is_seen),
		cmocka_unit_test(what_a_hook_fails_or_shortens_is_seen),
		cmocka_unit_test(a_volume_is_seen),
	};
	return cmocka_run_group_tests_name("unit-calls", tests, NULL, NULL);
}
