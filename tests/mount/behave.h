/*
 * behave.h - what the behaviour tests share. They run in any directory (LINKFS_TEST_DIR), on a linkfs mount and on the
 * host's ext4 alike: what Linux promises is the same on both, so ext4 proves the tests and the tests prove the mount.
 */
#ifndef BEHAVE_H
#define BEHAVE_H

#include "test.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

/* Every test starts in an empty directory of its own (mode 0777, the process's working directory) and leaves it. */
int behave_setup(void **state);
int behave_teardown(void **state);
#define BEHAVE(f) cmocka_unit_test_setup_teardown(f, behave_setup, behave_teardown)
#define BEHAVE_MAIN(tests)                                                                                             \
	int main(void)                                                                                                 \
	{                                                                                                              \
		return cmocka_run_group_tests_name(__FILE__, tests, NULL, NULL);                                       \
	}

/* Two ordinary users and a group both are in. */
enum { ALICE = 41001, BOB = 41002, TEAM = 41100 };

/* Runs fn in a child as uid and gid with one supplementary group (0: none) and the umask; gives what fn returned (0 to
 * 255, by custom 0 or an errno), or fails the test when the child died. Skips the test when this process is not root. */
int as_user(uid_t uid, gid_t gid, gid_t group, mode_t mask, int (*fn)(const void *), const void *arg);
/* Skips the test unless root. */
void need_root(void);

/* Calls that must work, and calls that must fail with just this errno. */
#define OK(call)                                                                                                       \
	do {                                                                                                           \
		errno = 0;                                                                                             \
		if ((long long)(call) < 0)                                                                             \
			fail_msg("%s: %s", #call, strerror(errno));                                                    \
	} while (0)
#define FAILS(expected, call)                                                                                          \
	do {                                                                                                           \
		errno = 0;                                                                                             \
		long long fails_r = (long long)(call);                                                                 \
		int fails_e = errno;                                                                                   \
		if (fails_r != -1 || fails_e != (expected))                                                            \
			fail_msg("%s: returned %lld, errno %s, wanted %s", #call, fails_r, strerrorname_np(fails_e),   \
				 strerrorname_np(expected));                                                           \
	} while (0)

/* Makes a file with text in it, mode 0644. */
void put_file(const char *path, const char *text);
/* The whole content is text (length its strlen). */
void expect_file(const char *path, const char *text);
void expect_bytes(int fd, off_t offset, const void *bytes, size_t len);
struct stat stat_of(const char *path);
struct stat stat_of_fd(int fd);
unsigned long long nlink_of(const char *path);

/* Drops the kernel's clean caches when root (needs /proc/sys/vm/drop_caches), after a sync of fd. */
void drop_caches(void);

#include <stdio.h>
#include <string.h>

#endif
