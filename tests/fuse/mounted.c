/*
 * mounted.c - see mounted.h.
 */
#include "test.h"

#include "mounted.h"
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static void *serve(void *arg)
{
	struct mounted *m = arg;
	m->served = linkfs_mount_serve(m->mount);
	return NULL;
}

void mounted_begin(struct mounted *m, const struct linkfs_mount_options *options)
{
	struct linkfs_mount_options mine = {0};
	struct linkfs_message why = {{0}};
	const struct linkfs_open_options open = {0};
	memset(m, 0, sizeof(*m));
	m->dir = lk_test_mkdir();
	assert_int_equal(chmod(m->dir, 0755), 0);
	snprintf(m->volume_path, sizeof(m->volume_path), "%s/volume", m->dir);
	snprintf(m->point, sizeof(m->point), "%s/mount", m->dir);
	assert_int_equal(mkdir(m->point, 0755), 0);
	assert_int_equal(linkfs_volume_create(m->volume_path, NULL, &why), 0);
	assert_int_equal(linkfs_volume_open(m->volume_path, &open, &m->volume, &why), 0);
	if (options)
		mine = *options;
	mine.source = m->volume_path;
	if (linkfs_mount_open(m->volume, m->point, &mine, &m->mount, &why)) {
		print_error("%s\n", why.text);
		fail();
	}
	assert_int_equal(pthread_create(&m->server, NULL, serve, m), 0);
}

void mounted_end(struct mounted *m)
{
	struct stat st, parent;
	linkfs_mount_stop(m->mount);
	assert_int_equal(pthread_join(m->server, NULL), 0);
	assert_int_equal(m->served, 0);
	linkfs_mount_close(m->mount);
	assert_int_equal(stat(m->point, &st), 0);
	assert_int_equal(stat(m->dir, &parent), 0);
	assert_int_equal(st.st_dev, parent.st_dev);
	assert_int_equal(linkfs_volume_close(m->volume), 0);
	lk_test_rmdir(m->dir);
}

const char *at(const struct mounted *m, const char *name)
{
	static _Thread_local char buffers[8][1024];
	static _Thread_local unsigned next;
	char *buffer = buffers[next++ % 8];
	snprintf(buffer, sizeof(buffers[0]), "%s/%s", m->point, name);
	return buffer;
}

uint64_t requests(struct mounted *m, const char *operation)
{
	struct linkfs_mount_counter counter;
	for (size_t i = 0; linkfs_mount_counter(m->mount, i, &counter) == 0; i++) {
		if (!strcmp(counter.operation, operation))
			return counter.requests;
	}
	fail_msg("no counter %s", operation);
	return 0;
}

uint64_t link_count(const char *path)
{
	struct stat st;
	if (lstat(path, &st))
		fail_msg("%s: %s", path, strerror(errno));
	return st.st_nlink;
}

void drop_caches(void)
{
	int fd = open("/proc/sys/vm/drop_caches", O_WRONLY | O_CLOEXEC);
	if (fd >= 0) {
		assert_int_equal(write(fd, "2", 1), 1);
		close(fd);
	}
}

int as_user(uid_t uid, gid_t gid, gid_t extra, int (*fn)(struct mounted *m), struct mounted *m)
{
	int status;
	pid_t pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		if (setgroups(1, &extra) || setgid(gid) || setuid(uid))
			_exit(99);
		_exit(fn(m));
	}
	while (waitpid(pid, &status, 0) < 0)
		assert_int_equal(errno, EINTR);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/* Takes off every mount below dir, whether its server lives or not. */
static void unmount_below(const char *dir)
{
	FILE *mounts = fopen("/proc/self/mounts", "re");
	char line[4096], point[1024];
	if (!mounts)
		return;
	while (fgets(line, sizeof(line), mounts)) {
		if (sscanf(line, "%*s %1023s", point) == 1 && !strncmp(point, dir, strlen(dir)))
			umount2(point, MNT_DETACH);
	}
	fclose(mounts);
}

int run_guarded(int (*tests)(void))
{
	int status = 0;
	char *dir = lk_test_mkdir();
	if (!lk_test_has_fuse() || geteuid() != 0) {
		printf("1..0 # SKIP %s\n", geteuid() ? "needs root: mounts with mount(2)" : "no usable FUSE here");
		lk_test_rmdir(dir);
		return 0;
	}
	chmod(dir, 0755);
	setenv("TMPDIR", dir, 1);
	fflush(stdout);
	pid_t pid = fork();
	if (pid == 0) {
		alarm(100);
		exit(tests());
	}
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		continue;
	unmount_below(dir);
	lk_test_rmdir(dir);
	if (WIFSIGNALED(status))
		printf("Bail out! killed by signal %d\n", WTERMSIG(status));
	return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}
