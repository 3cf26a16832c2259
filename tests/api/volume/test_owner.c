/*
 * test_owner.c - who owns a volume (F6, T6), what a crash leaves (F1, A2), and a failed sync (F4).
 * lk_data_sync is wrapped at link time to fail when told.
 */
#include "test.h"

#include "data.h"

#include <linkfs.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

int __real_lk_data_sync(struct lk_data *data);
int __wrap_lk_data_sync(struct lk_data *data);
static bool fail_sync;

int __wrap_lk_data_sync(struct lk_data *data)
{
	return fail_sync ? LINKFS_EIO : __real_lk_data_sync(data);
}

static char *top;
static char path[4096], lock_path[4200];

static int setup(void **state)
{
	(void)state;
	top = lk_test_mkdir();
	fail_sync = false;
	(void)snprintf(path, sizeof(path), "%s/volume", top);
	(void)snprintf(lock_path, sizeof(lock_path), "%s/lock", path);
	return linkfs_volume_create(path, NULL, NULL);
}

static int teardown(void **state)
{
	(void)state;
	lk_test_rmdir(top);
	return 0;
}

static int try_open(uint32_t flags, const char *mount_point, struct linkfs_volume **out, struct linkfs_message *why)
{
	struct linkfs_open_options o = {
		.flags = flags, .mount_point = mount_point, .control_socket = "/run/x y%\n.sock"};
	return linkfs_volume_open(path, &o, out, why);
}

static struct linkfs_volume *open_volume(void)
{
	struct linkfs_volume *v = NULL;
	struct linkfs_message why = {""};
	int r = try_open(0, NULL, &v, &why);
	if (r)
		fail_msg("open: %s: %s", linkfs_error_name(r), why.text);
	return v;
}

static void put_lock_text(const void *text, size_t len)
{
	FILE *f = fopen(lock_path, "w");
	assert_non_null(f);
	assert_int_equal(fwrite(text, 1, len, f), len);
	assert_int_equal(fclose(f), 0);
}

static void owner_is_told(void **state)
{
	(void)state;
	struct linkfs_owner owner;
	struct linkfs_message why;
	struct linkfs_volume *v = NULL, *w = NULL;
	char host[256] = "", pid[32];
	assert_int_equal(gethostname(host, sizeof(host) - 1), 0);
	(void)snprintf(pid, sizeof(pid), "%d", (int)getpid());
	assert_int_equal(linkfs_volume_owner(path, &owner), LINKFS_ENOENT);
	assert_int_equal(linkfs_volume_owner(top, &owner), LINKFS_ENOTVOLUME);
	assert_int_equal(linkfs_volume_owner("/nonexistent", &owner), LINKFS_ENOTVOLUME);

	/* Mount points are bytes: spaces, newlines, anything. */
	const char *point = "/mnt/a b\nc%41\xff";
	assert_int_equal(try_open(0, point, &v, &why), 0);
	assert_int_equal(linkfs_volume_owner(path, &owner), 0);
	assert_int_equal(owner.pid, getpid());
	assert_int_equal(owner.local, 1);
	assert_string_equal(owner.host, host);
	assert_string_equal(owner.mount_point, point);
	assert_string_equal(owner.control_socket, "/run/x y%\n.sock");

	/* A second open in this process. */
	assert_int_equal(try_open(0, NULL, &w, &why), LINKFS_ELOCKED);
	assert_non_null(strstr(why.text, path));
	assert_non_null(strstr(why.text, host));
	assert_non_null(strstr(why.text, pid));
	/* What a terminal would take for a command, or for broken text, is a question mark in the message. */
	assert_non_null(strstr(why.text, "/mnt/a b?c%41?"));
	assert_int_equal(try_open(LINKFS_OPEN_READONLY, NULL, &w, &why), LINKFS_ELOCKED);
	assert_non_null(strstr(why.text, pid));
	assert_null(w);

	assert_int_equal(linkfs_volume_set_owner(v, NULL, NULL), 0);
	assert_int_equal(linkfs_volume_owner(path, &owner), 0);
	assert_string_equal(owner.mount_point, "");
	assert_string_equal(owner.control_socket, "");
	assert_int_equal(owner.pid, getpid());
	char longer[5000];
	memset(longer, 'm', sizeof(longer));
	longer[4999] = '\0';
	assert_int_equal(linkfs_volume_set_owner(v, longer, NULL), LINKFS_ENAMETOOLONG);
	longer[4095] = '\0';
	assert_int_equal(linkfs_volume_set_owner(v, longer, NULL), 0);
	assert_int_equal(linkfs_volume_owner(path, &owner), 0);
	assert_string_equal(owner.mount_point, longer);
	assert_int_equal(linkfs_volume_close(v), 0);
	assert_int_equal(linkfs_volume_owner(path, &owner), LINKFS_ENOENT);
}

static void other_process(void **state)
{
	(void)state;
	int ready[2], done[2];
	char byte;
	assert_int_equal(pipe(ready), 0);
	assert_int_equal(pipe(done), 0);
	pid_t child = fork();
	assert_true(child >= 0);
	if (child == 0) {
		struct linkfs_volume *v;
		(void)alarm(60);
		if (try_open(0, "/mnt/other", &v, NULL))
			_exit(1);
		(void)!write(ready[1], "r", 1);
		(void)!read(done[0], &byte, 1);
		/* Killed, not closed: the lock goes with the process, its text stays. */
		(void)raise(SIGKILL);
	}
	assert_int_equal(read(ready[0], &byte, 1), 1);
	struct linkfs_volume *v = NULL;
	struct linkfs_message why;
	struct linkfs_owner owner;
	char pid[32];
	(void)snprintf(pid, sizeof(pid), "process %d", (int)child);
	assert_int_equal(try_open(0, NULL, &v, &why), LINKFS_ELOCKED);
	assert_non_null(strstr(why.text, pid));
	assert_non_null(strstr(why.text, "/mnt/other"));
	assert_non_null(strstr(why.text, "linkfs umount"));
	assert_int_equal(linkfs_volume_owner(path, &owner), 0);
	assert_int_equal(owner.pid, child);
	assert_int_equal(write(done[1], "d", 1), 1);
	assert_int_equal(waitpid(child, NULL, 0), child);
	assert_int_equal(linkfs_volume_owner(path, &owner), LINKFS_ENOENT);
	assert_int_equal(linkfs_volume_close(open_volume()), 0);
	for (int i = 0; i < 2; i++) {
		(void)close(ready[i]);
		(void)close(done[i]);
	}
}

/* A reader says nowhere who it is, but it is waited for as an owner is. */
static void unused_is_waited_for(void **state)
{
	(void)state;
	static const uint32_t flags[] = {0, LINKFS_OPEN_READONLY};
	assert_int_equal(linkfs_volume_wait_unused(top, 0), LINKFS_ENOTVOLUME);
	assert_int_equal(linkfs_volume_wait_unused("/nonexistent", 0), LINKFS_ENOTVOLUME);
	for (size_t i = 0; i < 2; i++) {
		int ready[2];
		char byte;
		assert_int_equal(pipe(ready), 0);
		assert_int_equal(linkfs_volume_wait_unused(path, 0), 0);
		pid_t child = fork();
		assert_true(child >= 0);
		if (child == 0) {
			struct linkfs_volume *v;
			(void)alarm(60);
			if (try_open(flags[i], NULL, &v, NULL))
				_exit(1);
			(void)!write(ready[1], "r", 1);
			(void)usleep(300000);
			_exit(0);
		}
		assert_int_equal(read(ready[0], &byte, 1), 1);
		assert_int_equal(linkfs_volume_wait_unused(path, 20), LINKFS_ELOCKED);
		assert_int_equal(linkfs_volume_wait_unused(path, 60000), 0);
		assert_int_equal(waitpid(child, NULL, 0), child);
		(void)close(ready[0]);
		(void)close(ready[1]);
	}
	assert_int_equal(linkfs_volume_close(open_volume()), 0);
}

/* T6: a heartbeat of another host that is not old keeps us out; an old one, or our own host's, does not. */
static void stranger(void **state)
{
	(void)state;
	struct linkfs_volume *v = NULL;
	struct linkfs_message why;
	struct linkfs_owner owner;
	char text[512];
	int n = snprintf(text, sizeof(text), "linkfs 1\npid 4711\nhost faraway\nboot 123\nbeat %lld\n",
			 (long long)time(NULL));
	put_lock_text(text, (size_t)n);
	assert_int_equal(try_open(0, NULL, &v, &why), LINKFS_ELOCKED);
	assert_non_null(strstr(why.text, "faraway"));
	assert_non_null(strstr(why.text, "4711"));
	assert_int_equal(linkfs_volume_owner(path, &owner), 0);
	assert_int_equal(owner.local, 0);
	assert_string_equal(owner.host, "faraway");
	n = snprintf(text, sizeof(text), "linkfs 1\npid 4711\nhost faraway\nboot 123\nbeat %lld\n",
		     (long long)time(NULL) - 3600);
	put_lock_text(text, (size_t)n);
	assert_int_equal(linkfs_volume_owner(path, &owner), LINKFS_ENOENT);
	assert_int_equal(linkfs_volume_close(open_volume()), 0);
	/* Without a beat the owner was on a host where flock suffices. */
	n = snprintf(text, sizeof(text), "linkfs 1\npid 4711\nhost faraway\nboot 123\n");
	put_lock_text(text, (size_t)n);
	assert_int_equal(linkfs_volume_close(open_volume()), 0);
}

static void damaged_lock_file(void **state)
{
	(void)state;
	struct lk_test_random random = {lk_test_seed()};
	struct linkfs_owner owner;
	static char text[40000];
	/* Whatever is in it, a volume that nobody holds opens, and asking who owns it does no harm. */
	for (int i = 0; i < 300; i++) {
		size_t len = lk_test_below(&random, i % 10 ? 400 : sizeof(text));
		for (size_t n = 0; n < len; n++)
			text[n] = (char)lk_test_next(&random);
		static const char *const keys[] = {"pid ", "host ", "boot ", "mount ",    "socket ",
						   "\n",   "%",     "%0",    "linkfs 1\n"};
		for (int k = 0; k < 20 && len > 20; k++) {
			const char *key = keys[lk_test_below(&random, LK_ARRAY_LEN(keys))];
			memcpy(text + lk_test_below(&random, len - 10), key, strlen(key));
		}
		put_lock_text(text, len);
		int r = linkfs_volume_owner(path, &owner);
		assert_true(r == 0 || r == LINKFS_ENOENT);
		if (i % 30 == 0)
			assert_int_equal(linkfs_volume_close(open_volume()), 0);
	}
	/* Held, with a text that somebody spoiled. */
	struct linkfs_volume *v = open_volume(), *w = NULL;
	struct linkfs_message why;
	put_lock_text("nonsense", 8);
	assert_int_equal(linkfs_volume_owner(path, &owner), 0);
	assert_int_equal(owner.pid, 0);
	assert_int_equal(try_open(0, NULL, &w, &why), LINKFS_ELOCKED);
	assert_non_null(strstr(why.text, path));
	assert_int_equal(linkfs_volume_close(v), 0);
	/* A lock file that is none. */
	assert_int_equal(unlink(lock_path), 0);
	assert_int_equal(mkfifo(lock_path, 0600), 0);
	assert_int_equal(try_open(0, NULL, &w, &why), LINKFS_ENOTVOLUME);
	assert_int_equal(unlink(lock_path), 0);
	assert_int_equal(symlink("/etc/passwd", lock_path), 0);
	assert_int_not_equal(try_open(0, NULL, &w, &why), 0);
	assert_int_equal(unlink(lock_path), 0);
	/* None at all: made again. */
	assert_int_equal(linkfs_volume_close(open_volume()), 0);
}

static int write_file(struct linkfs_volume *v, const char *name, char letter, size_t size, bool sync)
{
	struct linkfs_file *file;
	static char bytes[1 << 20];
	memset(bytes, letter, size);
	int r = linkfs_file_open(v, NULL, LINKFS_ROOT_INO, name, LINKFS_O_WRITE | LINKFS_O_CREATE, 0644, &file);
	if (r)
		return r;
	r = linkfs_file_write(file, 0, bytes, size, NULL);
	if (r == 0 && sync)
		r = linkfs_file_sync(file, 0);
	linkfs_file_close(file);
	return r;
}

static int check_file(struct linkfs_volume *v, const char *name, char letter, size_t size)
{
	struct linkfs_stat st;
	static char bytes[1 << 20];
	size_t done = 0;
	int r = linkfs_path_stat(v, NULL, LINKFS_ROOT_INO, name, 0, &st);
	if (r)
		return r;
	assert_int_equal(st.size, size);
	assert_int_equal(linkfs_node_read(v, st.ino, 0, bytes, sizeof(bytes), &done), 0);
	assert_int_equal(done, size);
	for (size_t i = 0; i < size; i++)
		assert_int_equal(bytes[i], letter);
	return 0;
}

/* A child that dies without closing: what was synced is there, unlinked open files are gone with their space, and what
 * came after the sync is there wholly or not at all, in order. */
static void crash(void **state)
{
	(void)state;
	pid_t child = fork();
	assert_true(child >= 0);
	if (child == 0) {
		struct linkfs_volume *v;
		struct linkfs_file *held;
		(void)alarm(60);
		if (try_open(0, NULL, &v, NULL) || write_file(v, "big", 'b', 1 << 20, false) ||
		    write_file(v, "small", 's', 4096, false) || write_file(v, "held", 'h', 1 << 20, false) ||
		    linkfs_file_open(v, NULL, LINKFS_ROOT_INO, "held", LINKFS_O_READ, 0, &held) ||
		    linkfs_path_unlink(v, NULL, LINKFS_ROOT_INO, "held") || write_file(v, "synced", 'y', 5000, true))
			_exit(1);
		for (int i = 0; i < 20; i++) {
			char name[32];
			(void)snprintf(name, sizeof(name), "late%02d", i);
			if (write_file(v, name, 'l', 70000, false))
				_exit(2);
		}
		_exit(0);
	}
	int status;
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	struct linkfs_volume *v = open_volume();
	assert_int_equal(check_file(v, "big", 'b', 1 << 20), 0);
	assert_int_equal(check_file(v, "small", 's', 4096), 0);
	assert_int_equal(check_file(v, "synced", 'y', 5000), 0);
	assert_int_equal(check_file(v, "held", 'h', 1 << 20), LINKFS_ENOENT);
	uint64_t late = 0;
	for (int i = 0; i < 20; i++) {
		char name[32];
		(void)snprintf(name, sizeof(name), "late%02d", i);
		int r = check_file(v, name, 'l', 70000);
		assert_true(r == LINKFS_ENOENT || (r == 0 && late == (uint64_t)i));
		late += r == 0;
	}
	struct linkfs_info info;
	assert_int_equal(linkfs_volume_info(v, &info), 0);
	assert_int_equal(info.inodes, 4 + late);
	assert_int_equal(info.data_blocks_used, 256 + 1 + 2 + 18 * late);
	assert_int_equal(linkfs_volume_close(v), 0);
}

static void poison(void **state)
{
	(void)state;
	struct linkfs_volume *v = open_volume();
	struct linkfs_info info;
	assert_int_equal(write_file(v, "kept", 'k', 100000, true), 0);
	assert_int_equal(write_file(v, "lost", 'l', 100000, false), 0);
	fail_sync = true;
	assert_int_equal(linkfs_volume_sync(v), LINKFS_EIO);
	fail_sync = false;
	assert_int_equal(linkfs_volume_sync(v), LINKFS_EPOISONED);
	assert_int_equal(linkfs_volume_info(v, &info), 0);
	assert_int_equal(info.poisoned, 1);
	assert_int_equal(info.read_only, 1);
	assert_int_equal(write_file(v, "more", 'm', 10, false), LINKFS_EROFS);
	assert_int_equal(linkfs_path_unlink(v, NULL, LINKFS_ROOT_INO, "kept"), LINKFS_EROFS);
	assert_int_equal(check_file(v, "kept", 'k', 100000), 0);
	assert_int_equal(linkfs_errno(LINKFS_EPOISONED), 5);
	assert_int_equal(linkfs_volume_close(v), LINKFS_EPOISONED);
	v = open_volume();
	assert_int_equal(check_file(v, "kept", 'k', 100000), 0);
	assert_int_equal(check_file(v, "lost", 'l', 100000), LINKFS_ENOENT);
	assert_int_equal(write_file(v, "more", 'm', 10, true), 0);
	assert_int_equal(linkfs_volume_close(v), 0);
}

#define UNIT(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		UNIT(owner_is_told), UNIT(other_process),     UNIT(unused_is_waited_for),
		UNIT(stranger),      UNIT(damaged_lock_file), UNIT(crash),
		UNIT(poison),
	};
	return cmocka_run_group_tests_name("api-owner", tests, NULL, NULL);
}
