/*
 * test_live.c - a volume that is being changed is whole at every moment that a check looks at, with its data, beside the owner's calls; also
 * where the host has no shared memory (T5).
 */
#include "sample.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define B LK_BLOCK_SIZE
#define FILES 6u

struct work {
	struct linkfs_volume *volume;
	uint64_t ino[FILES];
	uint64_t seed;
	atomic_bool stop;
	_Atomic uint64_t done;
};

static void change(struct work *w, struct lk_test_random *random, uint8_t *bytes)
{
	struct linkfs_volume *v = w->volume;
	uint64_t ino = w->ino[lk_test_below(random, FILES)], other = w->ino[lk_test_below(random, FILES)], copied;
	uint64_t at = lk_test_below(random, 100 * B), len = 1 + lk_test_below(random, 40 * B);
	struct linkfs_setattr size = {.valid = LINKFS_SET_SIZE, .size = at};
	struct linkfs_make how = {.mode = S_IFREG | 0600};
	struct linkfs_stat st;
	char name[40];
	size_t done;
	int len_name = snprintf(name, sizeof(name), "n%u", (unsigned)lk_test_below(random, 200));
	int r = 0;
	switch (lk_test_below(random, 9)) {
	case 0:
		r = linkfs_node_setattr(v, NULL, ino, &size, NULL);
		break;
	case 1:
		r = linkfs_node_allocate(v, NULL, ino, 3, at, len);
		break;
	case 2:
		r = ino == other ? 0 : linkfs_node_copy_range(v, NULL, ino, at / B * B, other, 0, len, &copied);
		break;
	case 3:
		r = linkfs_node_make(v, NULL, LINKFS_ROOT_INO, name, (size_t)len_name, &how, 0, &st);
		r = r == LINKFS_EEXIST ? 0 : r;
		break;
	case 4:
		r = linkfs_node_unlink(v, NULL, LINKFS_ROOT_INO, name, (size_t)len_name);
		r = r == LINKFS_ENOENT ? 0 : r;
		break;
	case 5:
		r = lk_test_below(random, 10) ? 0 : linkfs_volume_sync(v);
		break;
	default:
		memset(bytes, (int)lk_test_below(random, 256), (size_t)len);
		r = linkfs_node_write(v, NULL, ino, at, bytes, (size_t)len, 0, &done, NULL);
		break;
	}
	if (r)
		fail_msg("a change failed: %s", linkfs_error_name(r));
	atomic_fetch_add(&w->done, 1);
}

static void *worker(void *arg)
{
	struct work *w = arg;
	struct lk_test_random random = {w->seed};
	uint8_t *bytes = malloc(50 * B);
	while (bytes && !atomic_load(&w->stop))
		change(w, &random, bytes);
	free(bytes);
	return NULL;
}

static int told(void *arg, const struct linkfs_finding *f)
{
	print_message("# %s: %s\n", f->problem->id, f->text);
	++*(unsigned *)arg;
	return 0;
}

static void check_beside(const char *path, unsigned checks)
{
	struct linkfs_message why = {""};
	struct linkfs_open_options how = {.commit_interval_ms = 20};
	struct work w = {.seed = lk_test_seed()};
	unsigned found = 0;
	if (linkfs_volume_open(path, &how, &w.volume, &why))
		fail_msg("%s", why.text);
	for (unsigned i = 0; i < FILES; i++) {
		char name[20];
		struct linkfs_make file = {.mode = S_IFREG | 0600};
		struct linkfs_stat st;
		(void)snprintf(name, sizeof(name), "f%u", i);
		assert_int_equal(linkfs_path_make(w.volume, NULL, LINKFS_ROOT_INO, name, &file, &st), 0);
		w.ino[i] = st.ino;
	}
	pthread_t thread;
	assert_int_equal(pthread_create(&thread, NULL, worker, &w), 0);
	uint64_t blocks = 0, during = 0;
	/* Until it has looked at something, while something was done, however the threads are scheduled. */
	for (unsigned i = 0; i < checks || blocks <= checks || during <= checks; i++) {
		struct linkfs_check_options options = {.flags = LINKFS_CHECK_DATA, .finding = told, .arg = &found};
		struct linkfs_check_summary sum;
		uint64_t before = atomic_load(&w.done);
		int r = linkfs_volume_check(w.volume, &options, &sum, &why);
		if (r)
			fail_msg("%s: %s", linkfs_error_name(r), why.text);
		blocks += sum.blocks;
		during += atomic_load(&w.done) - before;
		assert_int_equal(found, 0);
	}
	atomic_store(&w.stop, true);
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_int_equal(linkfs_volume_close(w.volume), 0);
}

static void a_moment_is_whole_while_others_write(void **state)
{
	char *dir = lk_test_mkdir(), path[4200];
	(void)state;
	(void)snprintf(path, sizeof(path), "%s/v", dir);
	assert_int_equal(linkfs_volume_create(path, NULL, NULL), 0);
	check_beside(path, lk_test_long() ? 2000 : 25);
	lk_test_rmdir(dir);
}

static void also_without_shared_memory(void **state)
{
	char *dir = lk_test_mkdir(), path[4200], shm[4300];
	struct linkfs_check_summary sum;
	(void)state;
	(void)snprintf(path, sizeof(path), "%s/v", dir);
	(void)snprintf(shm, sizeof(shm), "%s/meta.db-shm", path);
	assert_int_equal(linkfs_volume_create(path, NULL, NULL), 0);
	/* A directory where SQLite would have its shared memory. */
	(void)unlink(shm);
	assert_int_equal(mkdir(shm, 0700), 0);
	check_beside(path, lk_test_long() ? 2000 : 25);
	/* Closed as well, and repaired. */
	struct linkfs_check_options options = {.flags = LINKFS_CHECK_DATA};
	assert_int_equal(linkfs_check(path, &options, &sum, NULL), 0);
	assert_int_equal(sum.problems, 0);
	options.flags |= LINKFS_CHECK_REPAIR;
	assert_int_equal(linkfs_check(path, &options, &sum, NULL), 0);
	assert_int_equal(sum.problems, 0);
	lk_test_rmdir(dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_moment_is_whole_while_others_write),
		cmocka_unit_test(also_without_shared_memory),
	};
	return cmocka_run_group_tests_name("check-live", tests, NULL, NULL);
}
