/*
 * test_buf.c - growable buffers, little-endian access, sorted arrays, whole-buffer I/O and clocks of the base layer.
 */
#include "test.h"

#include <base.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static void empty_buffers_are_zero(void **state)
{
	(void)state;
	struct lk_buf buf = {0};
	lk_buf_done(&buf);
	lk_buf_done(&buf);
	assert_null(buf.p);
	assert_int_equal(lk_buf_append(&buf, NULL, 0), 0);
	assert_int_equal(buf.len, 0);
	lk_buf_done(&buf);
}

static void appended_bytes_come_back(void **state)
{
	(void)state;
	struct lk_test_random random = {lk_test_seed()};
	struct lk_buf buf = {0};
	uint8_t model[40000];
	size_t len = 0;
	while (len < sizeof(model) - 700) {
		uint8_t piece[700];
		size_t n = (size_t)lk_test_below(&random, sizeof(piece));
		for (size_t i = 0; i < n; i++)
			piece[i] = (uint8_t)lk_test_next(&random);
		assert_int_equal(lk_buf_append(&buf, piece, n), 0);
		memcpy(model + len, piece, n);
		len += n;
		assert_int_equal(buf.len, len);
		assert_true(buf.cap >= buf.len);
	}
	assert_memory_equal(buf.p, model, len);
	lk_buf_done(&buf);
	assert_int_equal(buf.len + buf.cap, 0);
}

static void reserve_makes_room_and_keeps_what_is_there(void **state)
{
	(void)state;
	struct lk_buf buf = {0};
	assert_int_equal(lk_buf_append(&buf, "abc", 3), 0);
	assert_int_equal(lk_buf_reserve(&buf, 100000), 0);
	assert_true(buf.cap >= 100003);
	assert_int_equal(buf.len, 3);
	assert_memory_equal(buf.p, "abc", 3);
	const uint8_t *before = buf.p;
	assert_int_equal(lk_buf_reserve(&buf, 100000), 0);
	assert_ptr_equal(before, buf.p);
	lk_buf_done(&buf);
}

static void impossible_sizes_fail_and_change_nothing(void **state)
{
	(void)state;
	struct lk_buf buf = {0};
	assert_int_equal(lk_buf_append(&buf, "abc", 3), 0);
	struct lk_buf before = buf;
	assert_int_equal(lk_buf_reserve(&buf, SIZE_MAX), LINKFS_ENOMEM);
	assert_int_equal(lk_buf_reserve(&buf, SIZE_MAX - 2), LINKFS_ENOMEM);
	assert_int_equal(lk_buf_reserve(&buf, SIZE_MAX / 2), LINKFS_ENOMEM);
	assert_memory_equal(&buf, &before, sizeof(buf));
	assert_memory_equal(buf.p, "abc", 3);
	lk_buf_done(&buf);
}

static void u64_is_little_endian(void **state)
{
	(void)state;
	static const uint8_t bytes[8] = {0xef, 0xcd, 0xab, 0x89, 0x67, 0x45, 0x23, 0x01};
	uint8_t got[10] = {0};
	lk_put_u64(got + 1, UINT64_C(0x0123456789abcdef)); /* unaligned on purpose */
	assert_memory_equal(got + 1, bytes, 8);
	assert_int_equal(got[0] | got[9], 0);
	assert_true(lk_get_u64(got + 1) == UINT64_C(0x0123456789abcdef));
	lk_put_u64(got, UINT64_MAX);
	assert_true(lk_get_u64(got) == UINT64_MAX);
}

static void file_io_is_whole_or_an_error(void **state)
{
	(void)state;
	char *dir = lk_test_mkdir();
	char path[4200];
	(void)snprintf(path, sizeof(path), "%s/file", dir);
	int fd = open(path, O_RDWR | O_CREAT | O_EXCL, 0600);
	assert_true(fd >= 0);
	assert_int_equal(lk_pwrite_all(fd, "0123456789", 10, 5), 0);
	struct stat st;
	assert_int_equal(fstat(fd, &st), 0);
	assert_int_equal(st.st_size, 15);

	char got[32];
	memset(got, 'z', sizeof(got));
	assert_int_equal(lk_pread_all(fd, got, 15, 0), 0);
	assert_memory_equal(got,
			    "\0\0\0\0\0"
			    "0123456789",
			    15);
	assert_int_equal(got[15], 'z');
	/* One byte too many: an error for the whole read, a short count for the other. */
	assert_int_equal(lk_pread_all(fd, got, 16, 0), LINKFS_EIO);
	size_t done = 99;
	assert_int_equal(lk_pread_some(fd, got, 16, 0, &done), 0);
	assert_int_equal(done, 15);
	assert_int_equal(lk_pread_some(fd, got, 16, 1000, &done), 0);
	assert_int_equal(done, 0);

	int closed = dup(fd);
	close(closed);
	done = 99;
	assert_int_equal(lk_pread_some(closed, got, 1, 0, &done), LINKFS_EBADF);
	assert_int_equal(done, 99); /* outputs are untouched on failure */
	assert_int_equal(lk_pwrite_all(closed, got, 1, 0), LINKFS_EBADF);
	close(fd);

	fd = open("/dev/full", O_WRONLY);
	assert_true(fd >= 0);
	assert_int_equal(lk_pwrite_all(fd, "x", 1, 0), LINKFS_ENOSPC);
	close(fd);
	lk_test_rmdir(dir);
}

static void clocks_run(void **state)
{
	(void)state;
	int64_t wall = lk_clock_now_ns();
	int64_t now = (int64_t)time(NULL);
	assert_true(wall / 1000000000 >= now - 2 && wall / 1000000000 <= now + 2);
	uint64_t a = lk_clock_monotonic_ns();
	struct timespec nap = {.tv_nsec = 2000000};
	(void)nanosleep(&nap, NULL);
	assert_true(lk_clock_monotonic_ns() - a >= 2000000);
}

static void random_bytes_fill_all_of_it(void **state)
{
	(void)state;
	/* Each of 512 bytes stays zero in all of 16 draws with probability 2^-128. */
	uint8_t any[512] = {0}, got[513];
	for (int i = 0; i < 16; i++) {
		memset(got, 0, sizeof(got));
		assert_int_equal(lk_random(got, 512), 0);
		for (size_t j = 0; j < 512; j++)
			any[j] |= got[j];
		assert_int_equal(got[512], 0);
	}
	for (size_t j = 0; j < 512; j++)
		assert_int_not_equal(any[j], 0);
}

static void the_first_of_a_number_is_found(void **state)
{
	(void)state;
	struct lk_test_random random = {lk_test_seed()};
	struct element {
		uint64_t number, other;
	} elements[50];
	assert_int_equal(lk_first_number(NULL, 0, sizeof(elements[0]), 7), 0);
	for (unsigned round = 0; round < 200; round++) {
		size_t count = (size_t)lk_test_below(&random, LK_ARRAY_LEN(elements) + 1), want = 0;
		uint64_t number = lk_test_below(&random, 22);
		for (size_t i = 0; i < count; i++)
			elements[i] = (struct element){lk_test_below(&random, 20), lk_test_next(&random)};
		if (count)
			elements[0].number = UINT64_MAX; /* not taken for a negative one */
		qsort(elements, count, sizeof(elements[0]), lk_by_number);
		for (size_t i = 1; i < count; i++)
			assert_true(elements[i - 1].number <= elements[i].number);
		while (want < count && elements[want].number < number)
			want++;
		assert_int_equal(lk_first_number(elements, count, sizeof(elements[0]), number), want);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(empty_buffers_are_zero),
		cmocka_unit_test(appended_bytes_come_back),
		cmocka_unit_test(reserve_makes_room_and_keeps_what_is_there),
		cmocka_unit_test(impossible_sizes_fail_and_change_nothing),
		cmocka_unit_test(u64_is_little_endian),
		cmocka_unit_test(the_first_of_a_number_is_found),
		cmocka_unit_test(file_io_is_whole_or_an_error),
		cmocka_unit_test(clocks_run),
		cmocka_unit_test(random_bytes_fill_all_of_it),
	};
	return cmocka_run_group_tests_name("buf", tests, NULL, NULL);
}
