/*
 * test_data.c - data pieces: what is written comes back, what was not is zero, across pieces and reopening; sync,
 * space and discard; more pieces than descriptors; hostile files in a piece's place.
 */
#include "test.h"

#include <data.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#define B LK_BLOCK_SIZE

static void fill(uint8_t *p, size_t len, uint64_t seed)
{
	struct lk_test_random random = {seed};
	for (size_t i = 0; i + 8 <= len; i += 8)
		lk_put_u64(p + i, lk_test_next(&random));
}

static bool is_zero(const uint8_t *p, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (p[i])
			return false;
	return true;
}

static struct lk_data *open_data(const char *dir, bool read_only)
{
	struct lk_data *d = NULL;
	struct linkfs_message why = {""};
	int r = lk_data_open(dir, read_only, &d, &why);
	if (r)
		fail_msg("%d: %s", r, why.text);
	return d;
}

static void blocks_come_back_across_pieces_and_reopening(void **state)
{
	(void)state;
	char *dir = lk_test_mkdir();
	struct lk_data *d = open_data(dir, false);
	uint8_t wrote[8 * B], got[8 * B];
	fill(wrote, sizeof(wrote), 7);
	uint64_t edge = LK_PIECE_BLOCKS - 3; /* three blocks in piece 0, five in piece 1 */
	memset(got, 0xee, sizeof(got));
	assert_int_equal(lk_data_read(d, edge, 8, got), 0);
	assert_true(is_zero(got, sizeof(got)));
	assert_int_equal(lk_data_write(d, edge, 8, wrote), 0);
	assert_int_equal(lk_data_dirty_bytes(d), sizeof(wrote));
	assert_int_equal(lk_data_read(d, edge, 8, got), 0);
	assert_memory_equal(got, wrote, sizeof(got));
	/* One block further: the last is past the end of the file, and zero. */
	assert_int_equal(lk_data_read(d, edge + 1, 8, got), 0);
	assert_memory_equal(got, wrote + B, 7 * B);
	assert_true(is_zero(got + 7 * B, B));
	assert_int_equal(lk_data_sync(d), 0);
	assert_int_equal(lk_data_dirty_bytes(d), 0);
	lk_data_close(d);

	char path[4300];
	struct stat st;
	(void)snprintf(path, sizeof(path), "%s/data.000000", dir);
	assert_int_equal(stat(path, &st), 0);
	assert_true(st.st_size == (off_t)LK_PIECE_BLOCKS * B);
	assert_int_equal(st.st_mode & 077, 0); /* a volume's bytes are its owner's */
	(void)snprintf(path, sizeof(path), "%s/data.000001", dir);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_size, 5 * B);

	d = open_data(dir, true);
	assert_int_equal(lk_data_read(d, edge, 8, got), 0);
	assert_memory_equal(got, wrote, sizeof(got));
	assert_int_equal(lk_data_write(d, edge, 1, wrote), LINKFS_EROFS);
	assert_int_equal(lk_data_allocate(d, edge, 1), LINKFS_EROFS);
	lk_data_discard(d, edge, 8);
	assert_int_equal(lk_data_read(d, edge, 8, got), 0);
	assert_memory_equal(got, wrote, sizeof(got));
	lk_data_close(d);
	lk_test_rmdir(dir);
}

static void ranges_outside_the_format_are_refused(void **state)
{
	(void)state;
	char *dir = lk_test_mkdir();
	struct lk_data *d = open_data(dir, false);
	uint8_t block[2 * B] = {0};
	assert_int_equal(lk_data_read(d, (uint64_t)LK_DISK_BLOCK_MAX, 2, block), LINKFS_ECORRUPT);
	assert_int_equal(lk_data_read(d, UINT64_MAX, 1, block), LINKFS_ECORRUPT);
	assert_int_equal(lk_data_write(d, (uint64_t)LK_DISK_BLOCK_MAX, 2, block), LINKFS_EFBIG);
	assert_int_equal(lk_data_read(d, (uint64_t)LK_DISK_BLOCK_MAX, 1, block), 0);
	lk_data_discard(d, UINT64_MAX, 1);
	DIR *list = opendir(dir);
	assert_non_null(list);
	const struct dirent *e;
	while ((e = readdir(list)) != NULL)
		assert_int_equal(e->d_name[0], '.'); /* reading makes nothing */
	closedir(list);
	lk_data_close(d);
	lk_test_rmdir(dir);
}

static void what_is_no_file_is_damage(void **state)
{
	(void)state;
	char *dir = lk_test_mkdir();
	char path[4300];
	uint8_t block[B];
	(void)snprintf(path, sizeof(path), "%s/data.000000", dir);
	for (int kind = 0; kind < 3; kind++) {
		struct lk_data *d = open_data(dir, kind == 1);
		if (kind == 0)
			assert_int_equal(symlink("/dev/zero", path), 0);
		else if (kind == 1)
			assert_int_equal(mkfifo(path, 0600), 0);
		else
			assert_int_equal(mkdir(path, 0700), 0);
		assert_int_equal(lk_data_read(d, 0, 1, block), LINKFS_ECORRUPT);
		lk_data_close(d);
		assert_int_equal(kind == 2 ? rmdir(path) : unlink(path), 0);
	}
	struct lk_data *d = NULL;
	struct linkfs_message why = {""};
	(void)snprintf(path, sizeof(path), "%s/absent", dir);
	assert_int_equal(lk_data_open(path, false, &d, &why), LINKFS_ENOENT);
	assert_null(d);
	assert_non_null(strstr(why.text, "absent"));
	lk_test_rmdir(dir);
}

static void discard_gives_space_back(void **state)
{
	(void)state;
	char *dir = lk_test_mkdir();
	struct lk_data *d = open_data(dir, false);
	size_t len = 256 * (size_t)B;
	uint8_t *bytes = malloc(len), *got = malloc(len);
	assert_true(bytes && got);
	fill(bytes, len, 3);
	assert_int_equal(lk_data_write(d, 1000, 256, bytes), 0);
	assert_int_equal(lk_data_sync(d), 0);
	char path[4300];
	(void)snprintf(path, sizeof(path), "%s/data.000000", dir);
	struct stat before, after;
	assert_int_equal(stat(path, &before), 0);
	lk_data_discard(d, 1010, 200);
	assert_int_equal(stat(path, &after), 0);
	assert_int_equal(before.st_size, after.st_size);
	if (lk_data_can_discard(d))
		assert_int_equal(before.st_blocks - after.st_blocks, 200 * (B / 512));
	assert_int_equal(lk_data_read(d, 1000, 256, got), 0);
	assert_memory_equal(got, bytes, 10 * (size_t)B);
	assert_memory_equal(got + 210 * (size_t)B, bytes + 210 * (size_t)B, 46 * (size_t)B);
	uint64_t free_bytes, total;
	assert_int_equal(lk_data_space(d, &free_bytes, &total), 0);
	assert_true(free_bytes <= total && total > 0);
	/* Allocation never changes what is there. */
	int r = lk_data_allocate(d, 1000, 512);
	assert_true(r == 0 || r == LINKFS_EOPNOTSUPP);
	assert_int_equal(lk_data_read(d, 1000, 10, got), 0);
	assert_memory_equal(got, bytes, 10 * (size_t)B);
	free(bytes);
	free(got);
	lk_data_close(d);
	lk_test_rmdir(dir);
}

static void pieces_may_outnumber_descriptors(void **state)
{
	(void)state;
	char *dir = lk_test_mkdir();
	struct rlimit old, small;
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
	small = old;
	small.rlim_cur = 200;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &small), 0);
	struct lk_data *d = open_data(dir, false);
	uint8_t block[B], got[B];
	for (uint32_t i = 0; i < 300; i++) {
		fill(block, B, i);
		assert_int_equal(lk_data_write(d, (uint64_t)i * LK_PIECE_BLOCKS + i, 1, block), 0);
		if (i % 40 == 0)
			assert_int_equal(lk_data_sync(d), 0);
	}
	assert_int_equal(lk_data_sync(d), 0);
	for (uint32_t i = 300; i-- > 0;) {
		fill(block, B, i);
		assert_int_equal(lk_data_read(d, (uint64_t)i * LK_PIECE_BLOCKS + i, 1, got), 0);
		assert_memory_equal(got, block, B);
	}
	lk_data_close(d);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
	lk_test_rmdir(dir);
}

struct worker {
	struct lk_data *data;
	uint64_t seed;
	int result;
};

/* Each thread has blocks of its own in 160 pieces, so that descriptors come and go under the others' feet. */
static void *work(void *arg)
{
	struct worker *w = arg;
	uint8_t block[B], got[B];
	for (uint32_t round = 0; round < 3 && !w->result; round++) {
		for (uint32_t i = 0; i < 160 && !w->result; i++) {
			uint64_t at = (uint64_t)i * LK_PIECE_BLOCKS + w->seed;
			fill(block, B, w->seed * 1000 + i + round);
			w->result = lk_data_write(w->data, at, 1, block);
			if (!w->result && i % 16 == 0)
				w->result = lk_data_sync(w->data);
			if (!w->result)
				w->result = lk_data_read(w->data, at, 1, got);
			if (!w->result && memcmp(got, block, B))
				w->result = 1;
		}
	}
	return NULL;
}

static void threads_do_not_meet(void **state)
{
	(void)state;
	char *dir = lk_test_mkdir();
	struct lk_data *d = open_data(dir, false);
	struct worker w[4];
	pthread_t t[4];
	for (unsigned i = 0; i < 4; i++) {
		w[i] = (struct worker){d, i + 1, 0};
		assert_int_equal(pthread_create(&t[i], NULL, work, &w[i]), 0);
	}
	for (unsigned i = 0; i < 4; i++) {
		assert_int_equal(pthread_join(t[i], NULL), 0);
		assert_int_equal(w[i].result, 0);
	}
	assert_int_equal(lk_data_sync(d), 0);
	assert_int_equal(lk_data_dirty_bytes(d), 0);
	lk_data_close(d);
	lk_test_rmdir(dir);
}

static unsigned begun;
int __wrap_sync_file_range(int fd, off64_t offset, off64_t count, unsigned flags);
int __wrap_sync_file_range(int fd, off64_t offset, off64_t count, unsigned flags)
{
	struct stat st;
	assert_int_equal(fstat(fd, &st), 0);
	assert_int_equal(offset, 0);
	assert_int_equal(count, 0);
	/* Only a beginning: who waits here takes an error away from the sync, which then says that all is well. */
	assert_int_equal(flags, SYNC_FILE_RANGE_WRITE);
	begun++;
	errno = EIO;
	return -1;
}

/* The host is told to write before a sync asks for it, when much waits in a piece; its answer decides nothing. */
static void the_host_writes_before_the_sync(void **state)
{
	(void)state;
	enum { STEP = 256, MANY = 4096 * 2 / STEP };
	char *dir = lk_test_mkdir();
	struct lk_data *d = open_data(dir, false);
	uint8_t *buf = malloc((size_t)STEP * B);
	assert_non_null(buf);
	fill(buf, (size_t)STEP * B, 3);
	begun = 0;
	for (uint32_t i = 0; i < 4; i++) /* little, in each of two pieces */
		assert_int_equal(lk_data_write(d, (uint64_t)(i % 2) * LK_PIECE_BLOCKS + i * STEP, STEP, buf), 0);
	assert_int_equal(begun, 0);
	for (uint32_t i = 0; i < MANY; i++)
		assert_int_equal(lk_data_write(d, 4 * STEP + i * STEP, STEP, buf), 0);
	assert_in_range(begun, 2, MANY / 4);
	assert_int_equal(lk_data_dirty_bytes(d), (4 + MANY) * STEP * B);
	assert_int_equal(lk_data_sync(d), 0);
	assert_int_equal(lk_data_dirty_bytes(d), 0);
	/* What was synced is not told again. */
	unsigned before = begun;
	assert_int_equal(lk_data_write(d, 0, STEP, buf), 0);
	assert_int_equal(begun, before);
	free(buf);
	lk_data_close(d);
	lk_test_rmdir(dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(blocks_come_back_across_pieces_and_reopening),
		cmocka_unit_test(ranges_outside_the_format_are_refused),
		cmocka_unit_test(what_is_no_file_is_damage),
		cmocka_unit_test(discard_gives_space_back),
		cmocka_unit_test(pieces_may_outnumber_descriptors),
		cmocka_unit_test(threads_do_not_meet),
		cmocka_unit_test(the_host_writes_before_the_sync),
	};
	return cmocka_run_group_tests_name("data", tests, NULL, NULL);
}
