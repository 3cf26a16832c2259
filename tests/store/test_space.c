/*
 * test_space.c - T4: space taken ahead, on hosts of every kind. fallocate and ioctl are wrapped at link time.
 */
#include "volume.h"

#include <vfs_sum.h>

#include <errno.h>
#include <fcntl.h>
#include <linux/fiemap.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int __wrap_fallocate(int fd, int mode, off_t offset, off_t len);
int __wrap_fallocate64(int fd, int mode, off_t offset, off_t len);
int __wrap_ioctl(int fd, unsigned long request, void *arg);

static int allocate_errors[4]; /* of the calls to come; 0: it does */
static unsigned allocate_calls;

int __wrap_fallocate(int fd, int mode, off_t offset, off_t len)
{
	(void)fd;
	assert_int_equal(mode, FALLOC_FL_KEEP_SIZE);
	assert_true(offset >= 0 && len > 0);
	assert_true(allocate_calls < LK_ARRAY_LEN(allocate_errors));
	errno = allocate_errors[allocate_calls++];
	return errno ? -1 : 0;
}

int __wrap_fallocate64(int fd, int mode, off_t offset, off_t len)
{
	return __wrap_fallocate(fd, mode, offset, len);
}

/* What the host says of a file's extents: in units of 4096, at most so many at a time. */
static struct host_map {
	unsigned count, at_once;
	struct {
		unsigned from, len, flags;
	} extents[40];
	int error;
	unsigned lie; /* added to the number of extents */
} host_map;

int __wrap_ioctl(int fd, unsigned long request, void *arg)
{
	struct fiemap *map = arg;
	(void)fd;
	assert_true(request == FS_IOC_FIEMAP);
	if (host_map.error) {
		errno = host_map.error;
		return -1;
	}
	map->fm_mapped_extents = 0;
	for (unsigned i = 0; i < host_map.count; i++) {
		uint64_t from = host_map.extents[i].from * UINT64_C(4096),
			 len = host_map.extents[i].len * UINT64_C(4096);
		if (from + len < map->fm_start + (len > 0) || from >= map->fm_start + map->fm_length ||
		    map->fm_mapped_extents == map->fm_extent_count || map->fm_mapped_extents == host_map.at_once)
			continue;
		map->fm_extents[map->fm_mapped_extents++] = (struct fiemap_extent){
			.fe_logical = from, .fe_length = len, .fe_flags = host_map.extents[i].flags};
	}
	map->fm_mapped_extents += host_map.lie;
	return 0;
}

static int allocate(struct lk_space *space, int fd, uint64_t from, uint64_t to, int first, int second)
{
	allocate_errors[0] = first;
	allocate_errors[1] = second;
	allocate_calls = 0;
	return lk_space_allocate(space, fd, from, to);
}

static void the_host_allocates_or_says_why(void **in)
{
	(void)in;
	struct lk_space space = {0};
	assert_int_equal(allocate(&space, -1, 0, 4096, 0, 0), 0);
	assert_int_equal(allocate_calls, 1);
	assert_int_equal(allocate(&space, -1, 0, 4096, EINTR, 0), 0);
	assert_int_equal(allocate_calls, 2);
	/* A quota and a limit are a lack of space, that leads to a checkpoint and not to poison. */
	assert_int_equal(allocate(&space, -1, 0, 4096, EDQUOT, 0), LINKFS_ENOSPC);
	assert_int_equal(allocate(&space, -1, 0, 4096, EFBIG, 0), LINKFS_ENOSPC);
	assert_int_equal(allocate(&space, -1, 0, 4096, EIO, 0), LINKFS_EIO);
	assert_int_equal(allocate(&space, -1, 0, 4096, EINTR, EIO), LINKFS_EIO);
	assert_false(space.no_fallocate);
}

/* A host without fallocate: zeros behind the end; what is there stays, and it is asked once. */
static void zeros_where_the_host_allocates_nothing(void **in)
{
	(void)in;
	static const int errors[] = {EOPNOTSUPP, ENOSYS};
	char *dir = lk_test_mkdir(), path[4200];
	static uint8_t old[5000];
	memset(old, 0x5a, sizeof(old));
	(void)snprintf(path, sizeof(path), "%s/f", dir);
	for (size_t i = 0; i < LK_ARRAY_LEN(errors); i++) {
		struct lk_space space = {0};
		struct file_bytes bytes;
		int fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
		assert_true(fd >= 0);
		assert_int_equal(lk_pwrite_all(fd, old, sizeof(old), 0), 0);
		assert_int_equal(allocate(&space, fd, 4096, 200000, errors[i], 0), 0);
		assert_int_equal(allocate_calls, 1);
		assert_true(space.no_fallocate);
		file_read(dir, "f", &bytes);
		assert_int_equal(bytes.len, 200000);
		for (size_t b = 0; b < bytes.len; b++)
			assert_int_equal(bytes.p[b], b < 5000 ? 0x5a : 0);
		free(bytes.p);
		/* There already. */
		assert_int_equal(allocate(&space, fd, 0, 100000, 0, 0), 0);
		assert_int_equal(allocate_calls, 0);
		assert_int_equal(lseek(fd, 0, SEEK_END), 200000);
		assert_int_equal(close(fd), 0);
		/* A file that cannot be written, and one that has no end. */
		int pipes[2];
		fd = open(path, O_RDONLY);
		assert_true(allocate(&space, fd, 0, 300000, 0, 0) < 0);
		assert_int_equal(lseek(fd, 0, SEEK_END), 200000);
		assert_int_equal(close(fd), 0);
		assert_int_equal(pipe(pipes), 0);
		assert_true(allocate(&space, pipes[1], 0, 4096, 0, 0) < 0);
		assert_int_equal(close(pipes[0]) | close(pipes[1]), 0);
	}
	lk_test_rmdir(dir);
}

/* A full host that wants space even where it has allocated all: what its map says counts, and in doubt there is none. */
static void a_full_host_has_what_is_there(void **in)
{
	(void)in;
	static const struct {
		struct host_map map;
		int result;
	} cases[] = {
		{{1, 32, {{0, 100, 0}}, 0, 0}, 0},
		{{1, 32, {{3, 17, FIEMAP_EXTENT_UNWRITTEN}}, 0, 0}, 0},
		{{3, 32, {{0, 8, 0}, {8, 8, FIEMAP_EXTENT_UNWRITTEN}, {16, 4, FIEMAP_EXTENT_LAST}}, 0, 0}, 0},
		{{3, 1, {{0, 8, 0}, {8, 8, 0}, {16, 4, 0}}, 0, 0}, 0},
		/* Nothing, a hole before, between and behind. */
		{{0, 32, {{0, 0, 0}}, 0, 0}, LINKFS_ENOSPC},
		{{1, 32, {{5, 50, 0}}, 0, 0}, LINKFS_ENOSPC},
		{{2, 32, {{0, 8, 0}, {9, 50, 0}}, 0, 0}, LINKFS_ENOSPC},
		{{2, 32, {{0, 8, 0}, {8, 11, 0}}, 0, 0}, LINKFS_ENOSPC},
		/* Not decided yet, unknown, or of no length. */
		{{1, 32, {{0, 100, FIEMAP_EXTENT_DELALLOC}}, 0, 0}, LINKFS_ENOSPC},
		{{2, 32, {{0, 8, 0}, {8, 100, FIEMAP_EXTENT_UNKNOWN}}, 0, 0}, LINKFS_ENOSPC},
		{{1, 32, {{4, 0, 0}}, 0, 0}, LINKFS_ENOSPC},
		/* A host that has no map, and one that counts more than it was asked for. */
		{{1, 32, {{0, 100, 0}}, EOPNOTSUPP, 0}, LINKFS_ENOSPC},
		{{1, 32, {{0, 100, 0}}, 0, 50}, 0},
	};
	for (size_t i = 0; i < LK_ARRAY_LEN(cases); i++) {
		struct lk_space space = {0};
		host_map = cases[i].map;
		int r = allocate(&space, -1, 4 * 4096, 20 * 4096, ENOSPC, 0);
		if (r != cases[i].result)
			fail_msg("case %zu: %s", i, linkfs_error_name(r));
		assert_int_equal(allocate_calls, 1);
		assert_false(space.no_fallocate);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_host_allocates_or_says_why),
		cmocka_unit_test(zeros_where_the_host_allocates_nothing),
		cmocka_unit_test(a_full_host_has_what_is_there),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
