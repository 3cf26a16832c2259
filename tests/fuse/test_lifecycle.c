/*
 * test_lifecycle.c - mounts that come and go: signals, dead servers, mount points in use, messages, ordinary users, and
 * that an idle mount does nothing.
 */
#include "test.h"

#include "mounted.h"
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

/* An ordinary user whom every system knows by name, which fusermount3 wants. */
#define NOBODY 65534

struct place {
	char *dir, volume[256], point[256];
};

static void place_begin(struct place *place)
{
	struct linkfs_message why;
	place->dir = lk_test_mkdir();
	assert_int_equal(chmod(place->dir, 0755), 0);
	snprintf(place->volume, sizeof(place->volume), "%s/volume", place->dir);
	snprintf(place->point, sizeof(place->point), "%s/mount point", place->dir); /* a blank, escaped in /proc */
	assert_int_equal(mkdir(place->point, 0755), 0);
	assert_int_equal(linkfs_volume_create(place->volume, NULL, &why), 0);
}

static bool mounted_at(const char *point)
{
	struct stat st, parent;
	char up[300];
	snprintf(up, sizeof(up), "%s/..", point);
	return stat(point, &st) || stat(up, &parent) || st.st_dev != parent.st_dev;
}

static struct linkfs_mount *the_mount; /* of a server process, for its signal handler */

static void on_signal(int number)
{
	(void)number;
	linkfs_mount_stop(the_mount);
}

static int open_mount(const struct place *place, const struct linkfs_mount_options *options,
		      struct linkfs_volume **volume, struct linkfs_message *why)
{
	const struct linkfs_open_options open = {0};
	struct linkfs_mount_options mine = {0};
	if (options)
		mine = *options;
	mine.source = place->volume;
	int r = linkfs_volume_open(place->volume, &open, volume, why);
	if (r)
		return r;
	r = linkfs_mount_open(*volume, place->point, &mine, &the_mount, why);
	if (r)
		linkfs_volume_close(*volume);
	return r;
}

/* What a daemon does; returns its exit status. ready gets a byte when the mount serves, or the message. */
static int server_main(const struct place *place, const struct linkfs_mount_options *options, int ready)
{
	struct linkfs_volume *volume;
	struct linkfs_message why = {{0}};
	int r = open_mount(place, options, &volume, &why);
	if (r) {
		ssize_t n = write(ready, why.text, strlen(why.text));
		return n < 0 ? 98 : 97;
	}
	signal(SIGTERM, on_signal);
	signal(SIGINT, on_signal);
	if (write(ready, "+", 1) != 1)
		return 96;
	r = linkfs_mount_serve(the_mount);
	linkfs_mount_close(the_mount);
	int c = linkfs_volume_close(volume);
	return r ? 1 : c ? 2 : 0;
}

/* Starts a server process; what it said lies in said ("+" when it serves). */
static pid_t server_start(const struct place *place, const struct linkfs_mount_options *options, char said[1024],
			  uid_t uid)
{
	int ready[2];
	assert_int_equal(pipe2(ready, O_CLOEXEC), 0);
	pid_t pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		alarm(60);
		if (uid && (setgroups(0, NULL) || setgid(uid) || setuid(uid)))
			_exit(99);
		_exit(server_main(place, options, ready[1]));
	}
	close(ready[1]);
	ssize_t n = read(ready[0], said, 1023);
	said[n > 0 ? n : 0] = 0;
	close(ready[0]);
	return pid;
}

static int server_wait(pid_t pid)
{
	int status;
	while (waitpid(pid, &status, 0) < 0)
		assert_int_equal(errno, EINTR);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static void put(const struct place *place, const char *name, const char *text)
{
	char path[600];
	snprintf(path, sizeof(path), "%s/%s", place->point, name);
	int fd = open(path, O_CREAT | O_WRONLY | O_TRUNC, 0644);
	if (fd < 0)
		fail_msg("%s: %s", path, strerror(errno));
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	assert_int_equal(fsync(fd), 0);
	close(fd);
}

static bool holds(const struct place *place, const char *name, const char *text)
{
	char path[600], buf[64] = {0};
	snprintf(path, sizeof(path), "%s/%s", place->point, name);
	int fd = open(path, O_RDONLY);
	ssize_t n = fd < 0 ? -1 : read(fd, buf, sizeof(buf) - 1);
	if (fd >= 0)
		close(fd);
	return n == (ssize_t)strlen(text) && !strcmp(buf, text);
}

static void signals(void **state)
{
	static const int numbers[] = {SIGTERM, SIGINT};
	struct place place;
	char said[1024];
	(void)state;
	place_begin(&place);
	for (size_t i = 0; i < 2; i++) {
		pid_t pid = server_start(&place, NULL, said, 0);
		assert_string_equal(said, "+");
		assert_true(mounted_at(place.point));
		if (i)
			assert_true(holds(&place, "file", "text"));
		put(&place, "file", "text");
		kill(pid, numbers[i]);
		assert_int_equal(server_wait(pid), 0);
		assert_false(mounted_at(place.point));
	}
	lk_test_rmdir(place.dir);
}

/* umount(8) from outside ends the server in order; so does a lazy one when the last user goes. */
static void unmounted_outside(void **state)
{
	struct place place;
	struct linkfs_message why;
	char said[1024], path[600];
	(void)state;
	place_begin(&place);
	pid_t pid = server_start(&place, NULL, said, 0);
	assert_string_equal(said, "+");
	snprintf(path, sizeof(path), "%s/busy", place.point);
	int fd = open(path, O_CREAT | O_RDWR, 0644);
	assert_true(fd >= 0);
	assert_int_equal(linkfs_unmount(place.point, 0, &why), LINKFS_EBUSY);
	assert_non_null(strstr(why.text, place.point));
	assert_int_equal(linkfs_unmount(place.point, 1, &why), 0);
	assert_false(mounted_at(place.point));
	assert_int_equal(write(fd, "still", 5), 5);
	close(fd);
	assert_int_equal(server_wait(pid), 0);
	assert_int_equal(linkfs_unmount(place.point, 0, &why), LINKFS_EINVAL);
	lk_test_rmdir(place.dir);
}

/* Told to stop while a file is open: the mount goes lazily and the server ends. */
static void stopped_while_busy(void **state)
{
	struct place place;
	char said[1024], path[600];
	(void)state;
	place_begin(&place);
	pid_t pid = server_start(&place, NULL, said, 0);
	assert_string_equal(said, "+");
	snprintf(path, sizeof(path), "%s/busy", place.point);
	int fd = open(path, O_CREAT | O_RDWR, 0644);
	assert_true(fd >= 0);
	kill(pid, SIGTERM);
	assert_int_equal(server_wait(pid), 0);
	assert_false(mounted_at(place.point));
	close(fd);
	lk_test_rmdir(place.dir);
}

/* A server that was killed leaves a mount that answers ENOTCONN. The next mount clears it, and what was fsynced is there. */
static void killed_server(void **state)
{
	struct place place;
	char said[1024];
	struct stat st;
	(void)state;
	place_begin(&place);
	pid_t pid = server_start(&place, NULL, said, 0);
	assert_string_equal(said, "+");
	put(&place, "file", "kept");
	kill(pid, SIGKILL);
	assert_int_equal(server_wait(pid), 128 + SIGKILL);
	assert_int_equal(stat(place.point, &st), -1);
	assert_int_equal(errno, ENOTCONN);
	pid = server_start(&place, NULL, said, 0);
	assert_string_equal(said, "+");
	assert_true(holds(&place, "file", "kept"));
	kill(pid, SIGTERM);
	assert_int_equal(server_wait(pid), 0);
	assert_false(mounted_at(place.point));
	lk_test_rmdir(place.dir);
}

static void refuse(const struct place *place, const char *point, int error, const char *word)
{
	const struct linkfs_open_options open = {0};
	const struct linkfs_mount_options options = {.source = place->volume};
	struct linkfs_message why = {{0}};
	struct linkfs_volume *volume;
	struct linkfs_mount *mount;
	assert_int_equal(linkfs_volume_open(place->volume, &open, &volume, &why), 0);
	assert_int_equal(linkfs_mount_open(volume, point, &options, &mount, &why), error);
	if (!strstr(why.text, word))
		fail_msg("'%s' does not name '%s'", why.text, word);
	assert_int_equal(linkfs_volume_close(volume), 0);
}

static void messages(void **state)
{
	struct place place, other;
	char said[1024], path[600];
	(void)state;
	place_begin(&place);
	place_begin(&other);
	refuse(&place, "relative", LINKFS_EINVAL, "absolute");
	snprintf(path, sizeof(path), "%s/absent", place.dir);
	refuse(&place, path, LINKFS_ENOENT, path);
	close(open(path, O_CREAT | O_RDWR, 0644));
	refuse(&place, path, LINKFS_ENOTDIR, "not a directory");
	pid_t pid = server_start(&other, NULL, said, 0);
	assert_string_equal(said, "+");
	refuse(&place, other.point, LINKFS_EBUSY, other.volume);
	assert_true(mounted_at(other.point)); /* and left alone */
	kill(pid, SIGTERM);
	assert_int_equal(server_wait(pid), 0);

	const struct linkfs_mount_options bad = {.extra = "nosuid,nosuchoption"};
	pid = server_start(&place, &bad, said, 0);
	assert_int_equal(server_wait(pid), 97);
	assert_non_null(strstr(said, "nosuchoption"));
	/* A directory that is not empty is no hindrance. */
	snprintf(path, sizeof(path), "%s/hidden", place.point);
	assert_int_equal(mkdir(path, 0755), 0);
	pid = server_start(&place, NULL, said, 0);
	assert_string_equal(said, "+");
	assert_int_equal(access(path, F_OK), -1);
	kill(pid, SIGTERM);
	assert_int_equal(server_wait(pid), 0);
	assert_int_equal(access(path, F_OK), 0);
	lk_test_rmdir(place.dir);
	lk_test_rmdir(other.dir);
}

static void mount_options(void **state)
{
	const struct linkfs_mount_options ro = {.extra = "ro,nosuid,nodev,noexec,noatime"};
	const struct linkfs_mount_options quick = {.no_snapshots = 1, .no_poll = 1, .threads = 1};
	struct place place;
	char said[1024], path[600];
	(void)state;
	place_begin(&place);
	pid_t pid = server_start(&place, &quick, said, 0);
	assert_string_equal(said, "+");
	put(&place, "file", "first");
	put(&place, "file", "second"); /* O_TRUNC without OPEN requests */
	assert_true(holds(&place, "file", "second"));
	put(&place, "file", "3");
	assert_true(holds(&place, "file", "3"));
	kill(pid, SIGTERM);
	assert_int_equal(server_wait(pid), 0);
	pid = server_start(&place, &ro, said, 0);
	assert_string_equal(said, "+");
	assert_true(holds(&place, "file", "3"));
	snprintf(path, sizeof(path), "%s/new", place.point);
	assert_int_equal(mkdir(path, 0755), -1);
	assert_int_equal(errno, EROFS);
	kill(pid, SIGTERM);
	assert_int_equal(server_wait(pid), 0);
	lk_test_rmdir(place.dir);
}

static double cpu_seconds(void)
{
	struct rusage use;
	getrusage(RUSAGE_SELF, &use);
	return (double)(use.ru_utime.tv_sec + use.ru_stime.tv_sec) +
	       (double)(use.ru_utime.tv_usec + use.ru_stime.tv_usec) / 1e6;
}

static void idle(void **state)
{
	struct mounted m;
	(void)state;
	mounted_begin(&m, NULL);
	for (int i = 0; i < 300; i++) {
		char name[32];
		snprintf(name, sizeof(name), "f%d", i);
		close(open(at(&m, name), O_CREAT | O_RDWR, 0644));
	}
	usleep(300000);
	double before = cpu_seconds();
	sleep(2);
	double used = cpu_seconds() - before;
	mounted_end(&m);
	if (used > 0.05)
		fail_msg("an idle mount used %.3f s of CPU in 2 s", used);
}

/* In a mount namespace of its own a device that is open to users, as on most machines; then as an ordinary user. */
static int as_ordinary_user(const struct place *place)
{
	char said[1024], device[600];
	snprintf(device, sizeof(device), "%s/fuse", place->dir);
	if (unshare(CLONE_NEWNS) || mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL))
		return 77;
	if (mknod(device, S_IFCHR | 0666, makedev(10, 229)) || chmod(device, 0666) ||
	    mount(device, "/dev/fuse", NULL, MS_BIND, NULL))
		return 77;
	pid_t pid = server_start(place, NULL, said, NOBODY);
	if (strcmp(said, "+")) {
		print_error("%s\n", said);
		server_wait(pid);
		return 1;
	}
	if (!mounted_at(place->point))
		return 2;
	/* Root is shut out of a mount without allow_other; the user is not. */
	pid_t user = fork();
	if (user == 0) {
		if (setgroups(0, NULL) || setgid(NOBODY) || setuid(NOBODY))
			_exit(99);
		put(place, "file", "text");
		_exit(holds(place, "file", "text") ? 0 : 1);
	}
	if (server_wait(user))
		return 3;
	kill(pid, SIGTERM);
	if (server_wait(pid))
		return 4;
	if (mounted_at(place->point))
		return 5;
	const struct linkfs_mount_options open_to_all = {.allow_other = 1};
	pid = server_start(place, &open_to_all, said, NOBODY);
	if (said[0] == '+')
		kill(pid, SIGTERM); /* this machine's fuse.conf allows it */
	else if (!strstr(said, "user_allow_other"))
		return 6;
	server_wait(pid);
	return 0;
}

static void ordinary_user(void **state)
{
	struct place place;
	(void)state;
	if (access("/usr/bin/fusermount3", X_OK) && access("/bin/fusermount3", X_OK)) {
		print_message("# skip: no fusermount3 (package fuse3)\n");
		skip();
	}
	place_begin(&place);
	assert_int_equal(chown(place.point, NOBODY, NOBODY), 0);
	assert_int_equal(chown(place.dir, NOBODY, NOBODY), 0);
	lk_test_rmdir(strdup(place.volume));
	/* The user's own volume. */
	pid_t pid = fork();
	if (pid == 0) {
		struct linkfs_create_options create = {.root_uid = NOBODY, .root_gid = NOBODY};
		struct linkfs_message why;
		if (setgroups(0, NULL) || setgid(NOBODY) || setuid(NOBODY))
			_exit(99);
		_exit(linkfs_volume_create(place.volume, &create, &why) ? 1 : 0);
	}
	assert_int_equal(server_wait(pid), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0)
		_exit(as_ordinary_user(&place));
	int status = server_wait(pid);
	lk_test_rmdir(place.dir);
	if (status == 77) {
		print_message("# skip: no mount namespaces here\n");
		skip();
	}
	assert_int_equal(status, 0);
}

static int tests(void)
{
	const struct CMUnitTest all[] = {
		cmocka_unit_test(signals),
		cmocka_unit_test(unmounted_outside),
		cmocka_unit_test(stopped_while_busy),
		cmocka_unit_test(killed_server),
		cmocka_unit_test(messages),
		cmocka_unit_test(mount_options),
		cmocka_unit_test(idle),
		cmocka_unit_test(ordinary_user),
	};
	return cmocka_run_group_tests_name("fuse-lifecycle", all, NULL, NULL);
}

int main(void)
{
	return run_guarded(tests);
}
