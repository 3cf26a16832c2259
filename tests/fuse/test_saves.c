/*
 * test_saves.c - renames over files that keep their links (D7) through a mount: whoever looks after a rename has returned sees what it made
 * of all names, however soon.
 */
#include "test.h"

#include "mounted.h"
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>

#define ROUNDS 1500
#define CHURNERS 4

static struct mounted m;

static void make_file(const char *name, size_t size)
{
	static const char bytes[4096];
	int fd = open(at(&m, name), O_CREAT | O_EXCL | O_WRONLY, 0644);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, bytes, size), size);
	assert_int_equal(close(fd), 0);
}

/* d/a, d/b and e/c are one file that keeps its links. */
static int begin(void **state)
{
	struct linkfs_stat st;
	(void)state;
	mounted_begin(&m, NULL);
	assert_int_equal(mkdir(at(&m, "d"), 0777), 0);
	assert_int_equal(mkdir(at(&m, "e"), 0777), 0);
	make_file("d/a", 1);
	assert_int_equal(linkfs_path_stat(m.volume, NULL, 1, "/d/a", 0, &st), 0);
	assert_int_equal(
		linkfs_node_set_flags(m.volume, NULL, st.ino, LINKFS_INO_KEEP_LINKS, LINKFS_INO_KEEP_LINKS, NULL), 0);
	assert_int_equal(link(at(&m, "d/a"), at(&m, "d/b")), 0);
	assert_int_equal(link(at(&m, "d/a"), at(&m, "e/c")), 0);
	return 0;
}

static uint64_t make_by_library(uint64_t dir, const char *name, uint32_t mode)
{
	const struct linkfs_make how = {.mode = mode};
	struct linkfs_stat st;
	assert_int_equal(linkfs_node_make(m.volume, NULL, dir, name, strlen(name), &how, 0, &st), 0);
	return st.ino;
}

/* The same three names, of which the kernel was not told: the mount has met no file that keeps its links. */
static int begin_unseen(void **state)
{
	(void)state;
	mounted_begin(&m, NULL);
	uint64_t d = make_by_library(1, "d", S_IFDIR | 0777), e = make_by_library(1, "e", S_IFDIR | 0777),
		 a = make_by_library(d, "a", S_IFREG | 0644);
	assert_int_equal(linkfs_node_set_flags(m.volume, NULL, a, LINKFS_INO_KEEP_LINKS, LINKFS_INO_KEEP_LINKS, NULL),
			 0);
	assert_int_equal(linkfs_node_link(m.volume, NULL, a, d, "b", 1, 0, NULL), 0);
	assert_int_equal(linkfs_node_link(m.volume, NULL, a, e, "c", 1, 0, NULL), 0);
	return 0;
}

static int end(void **state)
{
	(void)state;
	mounted_end(&m);
	return 0;
}

static void save(const char *name, size_t size)
{
	make_file("temporary", size);
	if (rename(at(&m, "temporary"), at(&m, name)) != 0)
		fail_msg("rename over %s: %s", name, strerror(errno));
}

static void size_is(const char *name, size_t size)
{
	struct stat st;
	assert_int_equal(stat(at(&m, name), &st), 0);
	if ((size_t)st.st_size != size || st.st_nlink != 3)
		fail_msg("%s: %lld bytes and %lu names, not %zu and 3", name, (long long)st.st_size,
			 (unsigned long)st.st_nlink, size);
}

struct churner {
	pthread_t thread;
	char path[300];
	atomic_bool *stop;
};

/* Holds the directory's lock, for which a word about a name in it has to wait. */
static void *churn(void *arg)
{
	struct churner *c = arg;
	while (!atomic_load(c->stop)) {
		int fd = open(c->path, O_CREAT | O_WRONLY, 0600);
		if (fd < 0 || close(fd) != 0 || unlink(c->path) != 0)
			return c;
	}
	return NULL;
}

static void two_at_once(void **state)
{
	struct churner churners[CHURNERS];
	atomic_bool stop = false;
	void *failed;
	(void)state;
	for (int i = 0; i < CHURNERS; i++) {
		churners[i].stop = &stop;
		snprintf(churners[i].path, sizeof(churners[i].path), "%s-%d", at(&m, "d/churn"), i);
		assert_int_equal(pthread_create(&churners[i].thread, NULL, churn, &churners[i]), 0);
	}
	for (size_t i = 0; i < ROUNDS; i++) {
		save("d/b", 10 + i % 100);
		save("d/a", 1000 + i % 100);
		size_is("d/b", 1000 + i % 100);
		size_is("e/c", 1000 + i % 100);
		size_is("d/a", 1000 + i % 100);
	}
	atomic_store(&stop, true);
	for (int i = 0; i < CHURNERS; i++) {
		assert_int_equal(pthread_join(churners[i].thread, &failed), 0);
		assert_null(failed);
	}
}

/* The file that comes was looked up, to be known for ever, and not made by the save. */
static void known_before(void **state)
{
	(void)state;
	make_file("plain", 7);
	drop_caches();
	size_t before = requests(&m, "LOOKUP");
	struct stat st;
	assert_int_equal(stat(at(&m, "plain"), &st), 0);
	assert_true(requests(&m, "LOOKUP") > before);
	assert_int_equal(rename(at(&m, "plain"), at(&m, "d/a")), 0);
	save("d/b", 20);
	size_is("d/a", 20);
	size_is("d/b", 20);
	size_is("e/c", 20);
}

/* The file that comes was looked up before the kernel was told of any file that keeps its links: the rename's own walk is the first. */
static void known_before_any(void **state)
{
	struct stat st;
	(void)state;
	make_file("plain", 7);
	drop_caches();
	assert_int_equal(stat(at(&m, "plain"), &st), 0);
	uint64_t lookups = requests(&m, "LOOKUP");
	assert_int_equal(stat(at(&m, "plain"), &st), 0);
	assert_int_equal(requests(&m, "LOOKUP"), lookups);
	uint64_t renames = requests(&m, "RENAME") + requests(&m, "RENAME2");
	assert_int_equal(rename(at(&m, "plain"), at(&m, "d/a")), 0);
	assert_int_equal(requests(&m, "RENAME") + requests(&m, "RENAME2"), renames + 2);
	save("d/b", 20);
	size_is("d/a", 20);
	size_is("d/b", 20);
	size_is("e/c", 20);
}

/* The file that comes has another name, which the kernel knows. Kernels before 6.18 may be told too late. */
static void of_two_names(void **state)
{
	struct stat one, other;
	unsigned major = 0, minor = 0;
	struct utsname host;
	(void)state;
	assert_int_equal(uname(&host), 0);
	assert_int_equal(sscanf(host.release, "%u.%u", &major, &minor), 2);
	if (major < 6 || (major == 6 && minor < 18))
		skip();
	for (size_t i = 0; i < 300; i++) {
		make_file("d/new", 1);
		assert_int_equal(link(at(&m, "d/new"), at(&m, "d/other")), 0);
		assert_int_equal(stat(at(&m, "d/other"), &other), 0);
		assert_int_equal(rename(at(&m, "d/new"), at(&m, "d/a")), 0);
		make_file("d/new", 2);
		assert_int_equal(rename(at(&m, "d/new"), at(&m, "d/b")), 0);
		assert_int_equal(stat(at(&m, "d/other"), &other), 0);
		assert_int_equal(stat(at(&m, "d/a"), &one), 0);
		assert_int_equal(one.st_size, 2);
		if (other.st_ino != one.st_ino)
			fail_msg("round %zu: the other name is still another file's", i);
		assert_int_equal(unlink(at(&m, "d/other")), 0);
	}
}

/* What a rename costs: a second request for a save, nothing for others. */
static void counts(void **state)
{
	struct stat st;
	(void)state;
	save("d/a", 5);
	make_file("plain", 3);
	make_file("other", 3);
	uint64_t renames = requests(&m, "RENAME") + requests(&m, "RENAME2");
	save("d/a", 6);
	assert_int_equal(requests(&m, "RENAME") + requests(&m, "RENAME2"), renames + 2);
	assert_int_equal(rename(at(&m, "plain"), at(&m, "other")), 0);
	assert_int_equal(rename(at(&m, "other"), at(&m, "third")), 0);
	assert_int_equal(requests(&m, "RENAME") + requests(&m, "RENAME2"), renames + 4);
	uint64_t lookups = requests(&m, "LOOKUP");
	assert_int_equal(stat(at(&m, "third"), &st), 0);
	assert_int_equal(requests(&m, "LOOKUP"), lookups);
}

static void error_is(int result, int error)
{
	int e = errno;
	assert_int_equal(result, error ? -1 : 0);
	if (error)
		assert_int_equal(e, error);
}

/* On a directory that nobody else may write to. */
static int rename_as_other(struct mounted *mounted)
{
	if (rename(at(mounted, "mine"), at(mounted, "d/a")) != -1 || errno != EACCES)
		return 1;
	return rename(at(mounted, "open/theirs"), at(mounted, "open/kept")) == 0 ? 0 : 2;
}

/* Renames that fail, or take one name only, say and do what they would without. */
static void others(void **state)
{
	struct stat st;
	(void)state;
	make_file("temporary", 9);
	error_is(rename(at(&m, "absent"), at(&m, "d/a")), ENOENT);
	error_is(rename(at(&m, "temporary"), at(&m, "e")), EISDIR);
	error_is(rename(at(&m, "e"), at(&m, "d/a")), ENOTDIR);
	error_is(renameat2(AT_FDCWD, at(&m, "temporary"), AT_FDCWD, at(&m, "d/a"), RENAME_NOREPLACE), EEXIST);
	error_is(renameat2(AT_FDCWD, at(&m, "temporary"), AT_FDCWD, at(&m, "d/a"), RENAME_EXCHANGE), 0);
	error_is(renameat2(AT_FDCWD, at(&m, "temporary"), AT_FDCWD, at(&m, "d/a"), RENAME_EXCHANGE), 0);
	size_is("d/b", 1);
	make_file("mine", 2);
	assert_int_equal(chmod(m.point, 0755), 0);
	assert_int_equal(mkdir(at(&m, "open"), 0777), 0);
	assert_int_equal(chmod(at(&m, "open"), 0777), 0);
	assert_int_equal(link(at(&m, "d/a"), at(&m, "open/kept")), 0);
	make_file("open/theirs", 8);
	assert_int_equal(chown(at(&m, "open/theirs"), 1000, 1000), 0);
	if (geteuid() == 0) {
		assert_int_equal(as_user(1000, 1000, 1000, rename_as_other, &m), 0);
		assert_int_equal(stat(at(&m, "open/kept"), &st), 0);
		assert_int_equal(st.st_size, 8);
		assert_int_equal(st.st_nlink, 1);
		size_is("d/a", 1);
	}
}

static int tests(void)
{
	const struct CMUnitTest all[] = {
		cmocka_unit_test_setup_teardown(two_at_once, begin, end),
		cmocka_unit_test_setup_teardown(known_before, begin, end),
		cmocka_unit_test_setup_teardown(known_before_any, begin_unseen, end),
		cmocka_unit_test_setup_teardown(of_two_names, begin, end),
		cmocka_unit_test_setup_teardown(counts, begin, end),
		cmocka_unit_test_setup_teardown(others, begin, end),
	};
	return cmocka_run_group_tests_name("fuse-saves", all, NULL, NULL);
}

int main(void)
{
	return run_guarded(tests);
}
