/*
 * test_kill.c - a child that works on a volume is killed at any moment, again and again (F1, A2): the volume opens each time and is
 * some prefix of what the child did, not before the last sync that it reported; nothing else is in it, and no space is lost.
 */
#include "test.h"

#include <fcntl.h>
#include <linkfs.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define KILLS 40
#define WINDOW 30 /* files there are at any time */

static char path[4096];

static void file_name(char name[32], int64_t i)
{
	(void)snprintf(name, 32, "file %lld", (long long)i);
}

static size_t size_of(int64_t i)
{
	return i % 5 == 0 ? 200000 : (size_t)(i * 37 % 6000);
}

/* Step i makes file i, and removes file i - WINDOW: by unlink, or by renaming file i over it and back. */
static int step(struct linkfs_volume *v, int64_t i, uint8_t *bytes)
{
	char name[32], old[32];
	struct linkfs_file *file;
	file_name(name, i);
	file_name(old, i - WINDOW);
	memset(bytes, (int)i, size_of(i));
	int r = linkfs_file_open(v, NULL, LINKFS_ROOT_INO, i % 3 ? name : "temporary",
				 LINKFS_O_WRITE | LINKFS_O_CREATE | LINKFS_O_EXCL, 0644, &file);
	if (r)
		return r;
	r = linkfs_file_write(file, 0, bytes, size_of(i), NULL);
	if (r == 0 && i % 3 == 0)
		r = linkfs_path_rename(v, NULL, LINKFS_ROOT_INO, "temporary", LINKFS_ROOT_INO, name, 0);
	linkfs_file_close(file);
	/* Open while it loses its name: a kill now leaves an orphan. */
	if (r == 0 && i > WINDOW)
		r = linkfs_file_open(v, NULL, LINKFS_ROOT_INO, old, LINKFS_O_READ, 0, &file);
	if (r == 0 && i > WINDOW) {
		r = linkfs_path_unlink(v, NULL, LINKFS_ROOT_INO, old);
		linkfs_file_close(file);
	}
	return r;
}

static void child(int64_t first, int report)
{
	struct linkfs_volume *v;
	struct linkfs_open_options o = {.commit_interval_ms = 3};
	uint8_t *bytes = malloc(200000);
	if (!bytes || linkfs_volume_open(path, &o, &v, NULL))
		_exit(1);
	for (int64_t i = first;; i++) {
		if (step(v, i, bytes))
			_exit(2);
		if (i % 7 == 0 && (linkfs_volume_sync(v) || write(report, &i, sizeof(i)) != sizeof(i)))
			_exit(3);
	}
}

static bool there(struct linkfs_volume *v, const char *name, struct linkfs_stat *st)
{
	int r = linkfs_path_stat(v, NULL, LINKFS_ROOT_INO, name, 0, st);
	assert_true(r == 0 || r == LINKFS_ENOENT);
	return r == 0;
}

/* Returns the last step that is wholly there; the one after it may be there in part, call by call. */
static int64_t check(int64_t synced, int64_t previous)
{
	struct linkfs_volume *v;
	struct linkfs_message why = {""};
	struct linkfs_stat st;
	static uint8_t bytes[200000];
	char name[32];
	int r = linkfs_volume_open(path, NULL, &v, &why);
	if (r)
		fail_msg("cannot open: %s", why.text);
	int64_t last = synced > previous ? synced : previous;
	uint64_t files = 0, blocks = 0;
	file_name(name, last);
	assert_true(last == 0 || there(v, name, &st));
	for (;; last++) {
		file_name(name, last + 1);
		if (!there(v, name, &st))
			break;
	}
	/* The newest file may still have its predecessor's place, and may be cut off before its content. */
	bool full = true;
	for (int64_t i = last; i > last - WINDOW - 1 && i > 0; i--) {
		size_t done = 0;
		file_name(name, i);
		if (!there(v, name, &st)) {
			assert_int_equal(i, last - WINDOW);
			continue;
		}
		if (i == last && st.size != size_of(i)) {
			assert_int_equal(st.size, 0);
			full = false;
		} else {
			assert_int_equal(st.size, size_of(i));
		}
		assert_int_equal(linkfs_node_read(v, st.ino, 0, bytes, sizeof(bytes), &done), 0);
		assert_int_equal(done, st.size);
		for (size_t b = 0; b < done; b++)
			assert_int_equal(bytes[b], (uint8_t)i);
		files++;
		blocks += st.size > 2048 ? (st.size + 4095) / 4096 : 0;
	}
	file_name(name, last - WINDOW - 1);
	assert_false(there(v, name, &st));
	if (there(v, "temporary", &st)) {
		files++;
		blocks += st.size > 2048 ? (st.size + 4095) / 4096 : 0;
		assert_int_equal(linkfs_path_unlink(v, NULL, LINKFS_ROOT_INO, "temporary"), 0);
		files--;
		blocks -= st.size > 2048 ? (st.size + 4095) / 4096 : 0;
	}
	struct linkfs_info info;
	assert_int_equal(linkfs_volume_info(v, &info), 0);
	assert_int_equal(info.inodes, files + 1);
	assert_int_equal(info.data_blocks_used, blocks);
	/* Put right what was half done, so that the next child finds whole steps. */
	file_name(name, last - WINDOW);
	if (last > WINDOW && there(v, name, &st))
		assert_int_equal(linkfs_path_unlink(v, NULL, LINKFS_ROOT_INO, name), 0);
	if (!full) {
		struct linkfs_file *file;
		file_name(name, last);
		memset(bytes, (int)last, size_of(last));
		assert_int_equal(linkfs_file_open(v, NULL, LINKFS_ROOT_INO, name, LINKFS_O_WRITE, 0, &file), 0);
		assert_int_equal(linkfs_file_write(file, 0, bytes, size_of(last), NULL), 0);
		linkfs_file_close(file);
	}
	assert_int_equal(linkfs_volume_close(v), 0);
	return last;
}

static void kills(void **state)
{
	(void)state;
	char *top = lk_test_mkdir();
	struct lk_test_random random = {lk_test_seed()};
	int64_t last = 0, total = 0;
	(void)snprintf(path, sizeof(path), "%s/volume", top);
	assert_int_equal(linkfs_volume_create(path, NULL, NULL), 0);
	for (int i = 0; i < KILLS; i++) {
		int report[2], status;
		int64_t synced = last, n;
		assert_int_equal(pipe2(report, O_CLOEXEC), 0);
		pid_t pid = fork();
		assert_true(pid >= 0);
		if (pid == 0) {
			(void)close(report[0]);
			(void)alarm(60);
			child(last + 1, report[1]);
		}
		(void)close(report[1]);
		/* From its first report on, at any time. */
		while (read(report[0], &n, sizeof(n)) == sizeof(n)) {
			synced = n;
			if (lk_test_below(&random, 4) == 0)
				break;
		}
		(void)usleep((useconds_t)lk_test_below(&random, 15000));
		assert_int_equal(kill(pid, SIGKILL), 0);
		while (read(report[0], &n, sizeof(n)) == sizeof(n))
			synced = n;
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
		(void)close(report[0]);
		int64_t now = check(synced, last);
		total += now - last;
		last = now;
	}
	assert_true(total > KILLS);
	lk_test_rmdir(top);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(kills)};
	return cmocka_run_group_tests_name("api-kill", tests, NULL, NULL);
}
