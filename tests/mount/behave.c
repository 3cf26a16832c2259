/*
 * behave.c - working directories, users and small checks for the behaviour tests.
 */
#include "behave.h"

#include <ftw.h>
#include <grp.h>
#include <stdlib.h>
#include <sys/wait.h>

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *at)
{
	(void)st;
	(void)type;
	(void)at;
	return remove(path);
}

int behave_setup(void **state)
{
	const char *dir = getenv("LINKFS_TEST_DIR");
	if (!dir) {
		print_error("LINKFS_TEST_DIR is not set: run this through tests/mount/mounted\n");
		return -1;
	}
	char *path = NULL;
	if (asprintf(&path, "%s/behave.XXXXXX", dir) < 0 || !mkdtemp(path) || chmod(path, 0777) || chdir(path)) {
		print_error("%s: %s\n", dir, strerror(errno));
		free(path);
		return -1;
	}
	(void)umask(022);
	*state = path;
	return 0;
}

int behave_teardown(void **state)
{
	char *path = *state;
	int r = chdir("/");
	(void)nftw(path, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
	free(path);
	return r;
}

void need_root(void)
{
	if (geteuid() != 0) {
		print_message("# SKIP needs root\n");
		skip();
	}
}

int as_user(uid_t uid, gid_t gid, gid_t group, mode_t mask, int (*fn)(const void *), const void *arg)
{
	need_root();
	pid_t pid = fork();
	if (pid < 0)
		fail_msg("fork: %s", strerror(errno));
	if (pid == 0) {
		if (setgroups(group ? 1 : 0, &group) || setresgid(gid, gid, gid) || setresuid(uid, uid, uid))
			_exit(254);
		(void)umask(mask);
		_exit(fn(arg));
	}
	int status = 0;
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	if (!WIFEXITED(status) || WEXITSTATUS(status) == 254)
		fail_msg("the child of user %u ended with status %#x", (unsigned)uid, (unsigned)status);
	return WEXITSTATUS(status);
}

void put_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
	OK(fd);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	OK(close(fd));
}

void expect_bytes(int fd, off_t offset, const void *bytes, size_t len)
{
	unsigned char *got = malloc(len + 1);
	assert_non_null(got);
	size_t done = 0;
	while (done < len) {
		ssize_t n = pread(fd, got + done, len - done, offset + (off_t)done);
		OK(n);
		if (n == 0)
			break;
		done += (size_t)n;
	}
	assert_int_equal(done, len);
	const unsigned char *want = bytes;
	for (size_t i = 0; i < len; i++) {
		if (got[i] != want[i])
			fail_msg("byte %lld is %#x, wanted %#x", (long long)offset + (long long)i, got[i], want[i]);
	}
	free(got);
}

void expect_file(const char *path, const char *text)
{
	int fd = open(path, O_RDONLY);
	OK(fd);
	assert_int_equal(stat_of_fd(fd).st_size, strlen(text));
	expect_bytes(fd, 0, text, strlen(text));
	OK(close(fd));
}

struct stat stat_of(const char *path)
{
	struct stat st;
	if (lstat(path, &st))
		fail_msg("lstat %s: %s", path, strerror(errno));
	return st;
}

struct stat stat_of_fd(int fd)
{
	struct stat st;
	OK(fstat(fd, &st));
	return st;
}

unsigned long long nlink_of(const char *path)
{
	return stat_of(path).st_nlink;
}

void drop_caches(void)
{
	int fd = open("/proc/sys/vm/drop_caches", O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return;
	/* Only clean caches go; what fails here fails no test, the reads just come from the cache. */
	if (write(fd, "3", 1) != 1)
		print_message("# drop_caches: %s\n", strerror(errno));
	(void)close(fd);
}
