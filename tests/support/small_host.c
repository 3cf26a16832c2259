/*
 * small_host.c - see small_host.h.
 */
#include "small_host.h"

#include "test.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>

char *small_host_make(const char *size)
{
	char options[64], *dir = lk_test_mkdir();
	(void)snprintf(options, sizeof(options), "size=%s,mode=0700", size);
	if (unshare(CLONE_NEWNS) || mount("none", "/", NULL, MS_REC | MS_SLAVE, NULL) ||
	    mount("linkfs-test", dir, "tmpfs", 0, options)) {
		printf("# skip: no private mount here: %s\n", strerror(errno));
		lk_test_rmdir(dir);
		skip();
	}
	return dir;
}

void small_host_fill(const char *dir)
{
	static const char bytes[4096];
	char *path = NULL;
	ssize_t wrote;
	assert_true(asprintf(&path, "%s/filler", dir) > 0);
	int fd = open(path, O_WRONLY | O_CREAT | O_APPEND, 0600);
	assert_true(fd >= 0);
	while ((wrote = write(fd, bytes, sizeof(bytes))) > 0)
		;
	assert_true(wrote < 0 && errno == ENOSPC);
	assert_int_equal(close(fd), 0);
	free(path);
}

void small_host_done(char *dir)
{
	(void)umount2(dir, MNT_DETACH);
	lk_test_rmdir(dir);
}
