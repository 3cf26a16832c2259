/*
 * test_live.c - changes that the library makes beside the kernel are seen at once when the call returns (M3, M6), whatever
 * the kernel had cached.
 */
#include "test.h"

#include "mounted.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static struct mounted m;

static int begin(void **state)
{
	(void)state;
	mounted_begin(&m, NULL);
	return 0;
}

static int end(void **state)
{
	(void)state;
	mounted_end(&m);
	return 0;
}

static unsigned names_in(const char *path)
{
	unsigned n = 0;
	DIR *dir = opendir(path);
	assert_non_null(dir);
	while (readdir(dir))
		n++;
	closedir(dir);
	return n;
}

static struct stat status(const char *name)
{
	struct stat st;
	if (lstat(at(&m, name), &st))
		fail_msg("%s: %s", name, strerror(errno));
	return st;
}

static bool absent(const char *name)
{
	struct stat st;
	return lstat(at(&m, name), &st) == -1 && errno == ENOENT;
}

static void names(void **state)
{
	const struct linkfs_make file = {.mode = S_IFREG | 0644}, dir = {.mode = S_IFDIR | 0755};
	struct linkfs_stat st;
	(void)state;
	for (int i = 0; i < 50; i++) {
		/* Absent is cached, and the listing is. */
		assert_true(absent("file"));
		assert_int_equal(names_in(m.point), 2);
		assert_int_equal(names_in(m.point), 2);
		assert_int_equal(linkfs_path_make(m.volume, NULL, 1, "/file", &file, &st), 0);
		assert_int_equal(status("file").st_ino, st.ino);
		assert_int_equal(names_in(m.point), 3);
		assert_int_equal(linkfs_path_link(m.volume, NULL, 1, "/file", 1, "/second", 0), 0);
		assert_int_equal(status("file").st_nlink, 2);
		assert_int_equal(status("second").st_nlink, 2);
		assert_int_equal(linkfs_path_rename(m.volume, NULL, 1, "/file", 1, "/third", 0), 0);
		assert_true(absent("file"));
		assert_int_equal(status("third").st_ino, st.ino);
		assert_int_equal(linkfs_path_unlink(m.volume, NULL, 1, "/second"), 0);
		assert_true(absent("second"));
		assert_int_equal(status("third").st_nlink, 1);
		assert_int_equal(linkfs_path_make(m.volume, NULL, 1, "/dir", &dir, NULL), 0);
		assert_int_equal(status(".").st_nlink, 3);
		assert_int_equal(linkfs_path_rmdir(m.volume, NULL, 1, "/dir"), 0);
		assert_true(absent("dir"));
		assert_int_equal(status(".").st_nlink, 2);
		assert_int_equal(linkfs_path_unlink(m.volume, NULL, 1, "/third"), 0);
		assert_true(absent("third"));
	}
}

/* A directory that is some process's working directory is moved; nobody falls out of the tree. */
static void directory_moved(void **state)
{
	char cwd[1024];
	(void)state;
	assert_int_equal(mkdir(at(&m, "a"), 0755), 0);
	assert_int_equal(mkdir(at(&m, "a/b"), 0755), 0);
	assert_int_equal(mkdir(at(&m, "c"), 0755), 0);
	int old = open(".", O_PATH | O_DIRECTORY);
	assert_int_equal(chdir(at(&m, "a/b")), 0);
	assert_int_equal(linkfs_path_rename(m.volume, NULL, 1, "/a/b", 1, "/c/d", 0), 0);
	assert_true(absent("a/b"));
	assert_true(S_ISDIR(status("c/d").st_mode));
	assert_non_null(getcwd(cwd, sizeof(cwd)));
	assert_string_equal(cwd, at(&m, "c/d"));
	assert_int_equal(access("../../c/d", F_OK), 0);
	assert_int_equal(fchdir(old), 0);
	close(old);
	assert_int_equal(status("a").st_nlink, 2);
	assert_int_equal(status("c").st_nlink, 3);
}

static void attributes(void **state)
{
	const struct linkfs_setattr change = {
		.valid = LINKFS_SET_MODE | LINKFS_SET_UID | LINKFS_SET_MTIME, .mode = 0600, .uid = 77, .mtime_ns = -5};
	(void)state;
	close(open(at(&m, "file"), O_CREAT | O_RDWR, 0644));
	assert_int_equal(status("file").st_mode, S_IFREG | 0644);
	assert_int_equal(linkfs_path_setattr(m.volume, NULL, 1, "/file", 0, &change), 0);
	struct stat st = status("file");
	assert_int_equal(st.st_mode, S_IFREG | 0600);
	assert_int_equal(st.st_uid, 77);
	assert_int_equal(st.st_mtim.tv_sec, -1);
	assert_int_equal(st.st_mtim.tv_nsec, 999999995);
}

static void content(void **state)
{
	char buf[16];
	(void)state;
	int fd = open(at(&m, "file"), O_CREAT | O_RDWR, 0644);
	assert_int_equal(write(fd, "old content", 11), 11);
	assert_int_equal(pread(fd, buf, sizeof(buf), 0), 11);
	uint64_t ino = status("file").st_ino;
	assert_int_equal(linkfs_node_write(m.volume, NULL, ino, 0, "NEW", 3, 0, NULL, NULL), 0);
	assert_int_equal(pread(fd, buf, sizeof(buf), 0), 11);
	assert_memory_equal(buf, "NEW content", 11);
	/* Longer, then shorter. */
	assert_int_equal(linkfs_node_write(m.volume, NULL, ino, 11, "+tail", 5, 0, NULL, NULL), 0);
	assert_int_equal(status("file").st_size, 16);
	assert_int_equal(pread(fd, buf, sizeof(buf), 0), 16);
	assert_memory_equal(buf, "NEW content+tail", 16);
	const struct linkfs_setattr cut = {.valid = LINKFS_SET_SIZE, .size = 3};
	assert_int_equal(linkfs_path_setattr(m.volume, NULL, 1, "/file", 0, &cut), 0);
	assert_int_equal(status("file").st_size, 3);
	assert_int_equal(pread(fd, buf, sizeof(buf), 0), 3);
	close(fd);
}

static void symlinks(void **state)
{
	char buf[16];
	(void)state;
	assert_int_equal(symlink("one", at(&m, "link")), 0);
	assert_int_equal(readlink(at(&m, "link"), buf, sizeof(buf)), 3);
	for (int i = 0; i < 100; i++) {
		const char *text = i & 1 ? "one" : "three";
		assert_int_equal(linkfs_path_replace_symlink(m.volume, NULL, text, 1, "/link", NULL), 0);
		assert_int_equal(readlink(at(&m, "link"), buf, sizeof(buf)), strlen(text));
		assert_memory_equal(buf, text, strlen(text));
	}
}

struct churn {
	pthread_t thread;
	int number;
	int failures;
};

/* Makes and removes names by the library while others do the same through the mount: nothing may hang, and after each of
 * its own calls each side sees what it did. */
static void *churn_library(void *arg)
{
	struct churn *churn = arg;
	const struct linkfs_make how = {.mode = S_IFREG | 0644};
	char path[80], name[64];
	for (int i = 0; i < 300; i++) {
		snprintf(name, sizeof(name), "shared/l%d.%d", churn->number, i);
		snprintf(path, sizeof(path), "/%s", name);
		if (linkfs_path_make(m.volume, NULL, 1, path, &how, NULL) || access(at(&m, name), F_OK) ||
		    linkfs_path_unlink(m.volume, NULL, 1, path) || access(at(&m, name), F_OK) == 0)
			churn->failures++;
	}
	return NULL;
}

static void *churn_mount(void *arg)
{
	struct churn *churn = arg;
	char name[64];
	struct linkfs_stat st;
	for (int i = 0; i < 300; i++) {
		snprintf(name, sizeof(name), "shared/m%d.%d", churn->number, i);
		int fd = open(at(&m, name), O_CREAT | O_EXCL | O_RDWR, 0644);
		if (fd < 0 || linkfs_path_stat(m.volume, NULL, 1, name, 0, &st) || unlink(at(&m, name)) ||
		    linkfs_path_stat(m.volume, NULL, 1, name, 0, &st) != LINKFS_ENOENT)
			churn->failures++;
		if (fd >= 0)
			close(fd);
	}
	return NULL;
}

static void both_at_once(void **state)
{
	struct churn churns[4] = {{0}};
	(void)state;
	assert_int_equal(mkdir(at(&m, "shared"), 0755), 0);
	for (int i = 0; i < 4; i++) {
		churns[i].number = i;
		assert_int_equal(
			pthread_create(&churns[i].thread, NULL, i & 1 ? churn_library : churn_mount, &churns[i]), 0);
	}
	for (int i = 0; i < 4; i++) {
		pthread_join(churns[i].thread, NULL);
		assert_int_equal(churns[i].failures, 0);
	}
	assert_int_equal(names_in(at(&m, "shared")), 2);
}

struct busy {
	struct mounted *m;
	uint64_t ino;
	int fd;
	atomic_bool end;
};

static void *write_through_mount(void *arg)
{
	struct busy *b = arg;
	/* Parts of pages that are not cached: the kernel keeps such a page locked until we have answered. */
	for (off_t n = 0; pwrite(b->fd, "kernel", 6, n * 7 % 1500 * 4096 + 50) == 6; n++)
		continue;
	return NULL;
}

static void *write_beside(void *arg)
{
	static const char block[1 << 20];
	struct busy *b = arg;
	size_t done;
	for (uint64_t n = 0; !atomic_load(&b->end); n++)
		linkfs_node_write(b->m->volume, NULL, b->ino, n % 6 << 20, block, sizeof(block), 0, &done, NULL);
	return NULL;
}

/* Both sides write one file: neither waits for the other for good, also when the mount ends meanwhile. */
static void both_write(void **state)
{
	(void)state;
	for (int i = 0; i < 4; i++) {
		struct mounted own;
		struct busy b = {.m = &own};
		struct stat st;
		struct timespec until;
		pthread_t through, beside;
		mounted_begin(&own, NULL);
		b.fd = open(at(&own, "file"), O_RDWR | O_CREAT, 0600);
		assert_true(b.fd >= 0);
		assert_int_equal(fstat(b.fd, &st), 0);
		b.ino = st.st_ino;
		assert_int_equal(pthread_create(&through, NULL, write_through_mount, &b), 0);
		assert_int_equal(pthread_create(&beside, NULL, write_beside, &b), 0);
		usleep(300000);
		linkfs_mount_stop(own.mount);
		usleep(500000);
		atomic_store(&b.end, true);
		clock_gettime(CLOCK_REALTIME, &until);
		until.tv_sec += 15;
		if (pthread_timedjoin_np(beside, NULL, &until))
			fail_msg("a change beside the kernel hangs");
		mounted_end(&own);
		assert_int_equal(pthread_join(through, NULL), 0);
		close(b.fd);
	}
}

static int tests(void)
{
	const struct CMUnitTest all[] = {
		cmocka_unit_test_setup_teardown(names, begin, end),
		cmocka_unit_test_setup_teardown(directory_moved, begin, end),
		cmocka_unit_test_setup_teardown(attributes, begin, end),
		cmocka_unit_test_setup_teardown(content, begin, end),
		cmocka_unit_test_setup_teardown(symlinks, begin, end),
		cmocka_unit_test_setup_teardown(both_at_once, begin, end),
		cmocka_unit_test(both_write),
	};
	return cmocka_run_group_tests_name("fuse-live", all, NULL, NULL);
}

int main(void)
{
	return run_guarded(tests);
}
