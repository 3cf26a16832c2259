/*
 * test_threads.c - several threads make, write, link, rename, hold, sync and remove files of one volume at once while the keeper
 * commits: every call gives what it must for a thread's own files, and at the end nothing is left, in memory or reopened.
 */
#include "test.h"

#include "base.h"

#include <linkfs.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define THREADS 5
#define ROUNDS 250
#define SIZE_MAX_BYTES (300 * 1024)

struct worker {
	struct linkfs_volume *volume;
	pthread_t thread;
	int number;
	uint64_t seed;
	int line; /* where it failed; 0: it did not */
	int result;
};

#define TRY(call, expected)                                                                                            \
	do {                                                                                                           \
		int result_ = (call);                                                                                  \
		if (result_ != (expected)) {                                                                           \
			w->line = __LINE__;                                                                            \
			w->result = result_;                                                                           \
			goto out;                                                                                      \
		}                                                                                                      \
	} while (0)

static void *work(void *arg)
{
	struct worker *w = arg;
	struct linkfs_volume *v = w->volume;
	struct lk_test_random random = {w->seed};
	uint8_t *bytes = malloc(SIZE_MAX_BYTES), *back = malloc(SIZE_MAX_BYTES);
	for (int i = 0; bytes && back && i < ROUNDS; i++) {
		char a[64], b[64];
		struct linkfs_file *file = NULL;
		struct linkfs_stat st;
		size_t size = lk_test_below(&random, 4) ? lk_test_below(&random, 3000)
							: lk_test_below(&random, SIZE_MAX_BYTES);
		size_t done = 0;
		memset(bytes, w->number + i, size);
		(void)snprintf(a, sizeof(a), "a-%d-%d", w->number, i);
		(void)snprintf(b, sizeof(b), "dir/b-%d-%d", w->number, i);
		TRY(linkfs_file_open(v, NULL, LINKFS_ROOT_INO, a, LINKFS_O_READ | LINKFS_O_WRITE | LINKFS_O_CREATE,
				     0600, &file),
		    0);
		int r = linkfs_file_write(file, 0, bytes, size, &done);
		if (r || done != size) {
			w->line = __LINE__;
			w->result = r;
			linkfs_file_close(file);
			goto out;
		}
		uint64_t ino = linkfs_file_ino(file);
		TRY(linkfs_path_link(v, NULL, LINKFS_ROOT_INO, a, LINKFS_ROOT_INO, b, 0), 0);
		if (lk_test_below(&random, 8) == 0)
			TRY(linkfs_file_sync(file, 0), 0);
		TRY(linkfs_path_unlink(v, NULL, LINKFS_ROOT_INO, a), 0);
		TRY(linkfs_path_rename(v, NULL, LINKFS_ROOT_INO, b, LINKFS_ROOT_INO, a, 0), 0);
		TRY(linkfs_path_stat(v, NULL, LINKFS_ROOT_INO, b, 0, &st), LINKFS_ENOENT);
		TRY(linkfs_path_stat(v, NULL, LINKFS_ROOT_INO, a, 0, &st), 0);
		TRY(st.ino == ino && st.nlink == 1 && st.size == size, 1);
		TRY(linkfs_path_unlink(v, NULL, LINKFS_ROOT_INO, a), 0);
		/* Without a name it goes on working. */
		TRY(linkfs_file_read(file, 0, back, size, &done), 0);
		TRY(done == size && memcmp(back, bytes, size) == 0, 1);
		TRY(linkfs_file_stat(file, &st), 0);
		TRY((int)st.nlink, 0);
		if (lk_test_below(&random, 2)) {
			TRY(linkfs_node_hold(v, ino), 0);
			linkfs_file_close(file);
			TRY(linkfs_node_read(v, ino, 0, back, size, &done), 0);
			TRY(done == size && memcmp(back, bytes, size) == 0, 1);
			linkfs_node_release(v, ino, 1);
		} else {
			linkfs_file_close(file);
		}
		TRY(linkfs_node_getattr(v, ino, &st), LINKFS_ESTALE);
		TRY(linkfs_node_hold(v, ino), LINKFS_ESTALE);
	}
out:
	free(bytes);
	free(back);
	return NULL;
}

static void check_empty(struct linkfs_volume *v)
{
	struct linkfs_info info;
	assert_int_equal(linkfs_volume_info(v, &info), 0);
	assert_int_equal(info.inodes, 2);
	assert_int_equal(info.data_blocks_used, 0);
	assert_int_equal(info.poisoned, 0);
}

static void threads(void **state)
{
	(void)state;
	char *top = lk_test_mkdir(), path[4096];
	struct linkfs_volume *v;
	struct linkfs_stat st;
	struct worker workers[THREADS];
	struct linkfs_open_options o = {.commit_interval_ms = 15};
	struct linkfs_make dir = {.mode = 0040755};
	(void)snprintf(path, sizeof(path), "%s/volume", top);
	assert_int_equal(linkfs_volume_create(path, NULL, NULL), 0);
	assert_int_equal(linkfs_volume_open(path, &o, &v, NULL), 0);
	assert_int_equal(linkfs_path_make(v, NULL, LINKFS_ROOT_INO, "dir", &dir, &st), 0);
	uint64_t seed = lk_test_seed();
	for (int i = 0; i < THREADS; i++) {
		workers[i] = (struct worker){.volume = v, .number = i, .seed = seed * 1000 + (uint64_t)i};
		assert_int_equal(pthread_create(&workers[i].thread, NULL, work, &workers[i]), 0);
	}
	for (int i = 0; i < THREADS; i++)
		assert_int_equal(pthread_join(workers[i].thread, NULL), 0);
	for (int i = 0; i < THREADS; i++) {
		if (workers[i].line)
			fail_msg("thread %d: line %d gave %d (%s)", i, workers[i].line, workers[i].result,
				 linkfs_error_name(workers[i].result));
	}
	check_empty(v);
	assert_int_equal(linkfs_volume_close(v), 0);
	assert_int_equal(linkfs_volume_open(path, &o, &v, NULL), 0);
	check_empty(v);
	assert_int_equal(linkfs_volume_close(v), 0);
	lk_test_rmdir(top);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(threads)};
	return cmocka_run_group_tests_name("api-threads", tests, NULL, NULL);
}
