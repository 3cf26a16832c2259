/*
 * behave_space.c - fallocate leaves exactly the right bytes; SEEK_DATA and SEEK_HOLE are exact; sparse files; ioctls.
 */
#include "behave.h"

#include <linux/falloc.h>
#include <linux/fs.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/statfs.h>
#include <sys/vfs.h>

enum { BLOCK = 4096, SIZE = 20 * BLOCK + 123 };

static bool on_fuse(void)
{
	struct statfs s;
	OK(statfs(".", &s));
	return s.f_type == 0x65735546;
}

/* A file of SIZE bytes and the same in memory. */
static int patterned(unsigned char **model)
{
	int fd = open("f", O_RDWR | O_CREAT | O_TRUNC, 0644);
	OK(fd);
	*model = calloc(1, 64 * BLOCK);
	assert_non_null(*model);
	for (int i = 0; i < SIZE; i++)
		(*model)[i] = (unsigned char)(i * 7 + i / 251 + 1);
	assert_int_equal(pwrite(fd, *model, SIZE, 0), SIZE);
	return fd;
}

static void zeroing_and_punching_leave_the_rest(void **state)
{
	(void)state;
	const struct {
		int mode;
		off_t at, len;
		off_t size_after;
	} cases[] = {
		{FALLOC_FL_ZERO_RANGE, 0, BLOCK, SIZE},
		{FALLOC_FL_ZERO_RANGE, 100, 50, SIZE},
		{FALLOC_FL_ZERO_RANGE, BLOCK - 1, 2, SIZE},
		{FALLOC_FL_ZERO_RANGE, 3 * BLOCK + 17, 5 * BLOCK + 3, SIZE},
		{FALLOC_FL_ZERO_RANGE, SIZE - 10, 5000, SIZE + 4990},
		{FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE, SIZE - 10, 5000, SIZE},
		{FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 1, SIZE},
		{FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 2 * BLOCK, 4 * BLOCK, SIZE},
		{FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 2 * BLOCK + 5, 4 * BLOCK + 9, SIZE},
		{FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, SIZE - 1, 100000, SIZE},
		{0, 0, SIZE, SIZE},
		{0, SIZE - 100, 1000, SIZE + 900},
		{FALLOC_FL_KEEP_SIZE, SIZE, 10 * BLOCK, SIZE},
	};
	for (size_t c = 0; c < sizeof(cases) / sizeof(cases[0]); c++) {
		unsigned char *model;
		int fd = patterned(&model);
		OK(fallocate(fd, cases[c].mode, cases[c].at, cases[c].len));
		if (cases[c].mode & (FALLOC_FL_ZERO_RANGE | FALLOC_FL_PUNCH_HOLE)) {
			for (off_t i = cases[c].at; i < cases[c].at + cases[c].len && i < 64 * BLOCK; i++)
				model[i] = 0;
		}
		assert_int_equal(stat_of_fd(fd).st_size, cases[c].size_after);
		expect_bytes(fd, 0, model, (size_t)cases[c].size_after);
		OK(fsync(fd));
		drop_caches();
		expect_bytes(fd, 0, model, (size_t)cases[c].size_after);
		free(model);
		OK(close(fd));
	}
}

static void refused_modes_change_nothing(void **state)
{
	(void)state;
	unsigned char *model;
	int fd = patterned(&model);
	FAILS(EOPNOTSUPP, fallocate(fd, FALLOC_FL_UNSHARE_RANGE, 0, BLOCK));
	FAILS(EOPNOTSUPP, fallocate(fd, FALLOC_FL_PUNCH_HOLE, 0, BLOCK));
	FAILS(EOPNOTSUPP, fallocate(fd, FALLOC_FL_ZERO_RANGE | FALLOC_FL_PUNCH_HOLE, 0, BLOCK));
	if (on_fuse()) { /* never reach a FUSE server */
		FAILS(EOPNOTSUPP, fallocate(fd, FALLOC_FL_COLLAPSE_RANGE, 0, BLOCK));
		FAILS(EOPNOTSUPP, fallocate(fd, FALLOC_FL_INSERT_RANGE, 0, BLOCK));
	}
	FAILS(EINVAL, fallocate(fd, 0, 0, 0));
	FAILS(EINVAL, fallocate(fd, 0, -1, 10));
	expect_bytes(fd, 0, model, SIZE);
	int ro = open("f", O_RDONLY);
	OK(ro);
	FAILS(EBADF, fallocate(ro, 0, 0, BLOCK));
	OK(close(ro));
	free(model);
	OK(close(fd));
}

static void holes_and_data_are_exact(void **state)
{
	(void)state;
	int fd = open("f", O_RDWR | O_CREAT, 0644);
	OK(fd);
	OK(ftruncate(fd, 40 * BLOCK));
	FAILS(ENXIO, lseek(fd, 0, SEEK_DATA));
	assert_int_equal(lseek(fd, 0, SEEK_HOLE), 0);
	assert_int_equal(pwrite(fd, "x", 1, 10 * BLOCK + 5), 1);
	assert_int_equal(pwrite(fd, "y", 1, 30 * BLOCK), 1);
	assert_int_equal(lseek(fd, 0, SEEK_DATA), 10 * BLOCK);
	assert_int_equal(lseek(fd, 10 * BLOCK + 7, SEEK_DATA), 10 * BLOCK + 7);
	assert_int_equal(lseek(fd, 10 * BLOCK, SEEK_HOLE), 11 * BLOCK);
	assert_int_equal(lseek(fd, 11 * BLOCK, SEEK_DATA), 30 * BLOCK);
	assert_int_equal(lseek(fd, 30 * BLOCK, SEEK_HOLE), 31 * BLOCK);
	FAILS(ENXIO, lseek(fd, 31 * BLOCK, SEEK_DATA));
	FAILS(ENXIO, lseek(fd, 40 * BLOCK, SEEK_HOLE));
	FAILS(ENXIO, lseek(fd, 40 * BLOCK, SEEK_DATA));
	/* after a punch */
	OK(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 10 * BLOCK, BLOCK));
	assert_int_equal(lseek(fd, 0, SEEK_DATA), 30 * BLOCK);
	/* after truncation: the end of a file counts as a hole */
	OK(ftruncate(fd, 30 * BLOCK + 100));
	assert_int_equal(lseek(fd, 30 * BLOCK, SEEK_HOLE), 30 * BLOCK + 100);
	OK(ftruncate(fd, 30 * BLOCK));
	FAILS(ENXIO, lseek(fd, 0, SEEK_DATA));
	OK(close(fd));
	/* small files */
	put_file("small", "text");
	fd = open("small", O_RDONLY);
	OK(fd);
	assert_int_equal(lseek(fd, 1, SEEK_DATA), 1);
	assert_int_equal(lseek(fd, 1, SEEK_HOLE), 4);
	FAILS(ENXIO, lseek(fd, 4, SEEK_DATA));
	OK(close(fd));
}

static void truncation_forgets_what_it_cut(void **state)
{
	(void)state;
	const off_t cuts[] = {0, 1, 100, 2047, 2048, 2049, BLOCK - 1, BLOCK, BLOCK + 1, 7 * BLOCK + 77, SIZE - 1};
	for (size_t c = 0; c < sizeof(cuts) / sizeof(cuts[0]); c++) {
		unsigned char *model;
		int fd = patterned(&model);
		OK(ftruncate(fd, cuts[c]));
		OK(ftruncate(fd, SIZE + BLOCK));
		memset(model + cuts[c], 0, (size_t)(SIZE + BLOCK - cuts[c]));
		expect_bytes(fd, 0, model, SIZE + BLOCK);
		OK(fsync(fd));
		drop_caches();
		expect_bytes(fd, 0, model, SIZE + BLOCK);
		free(model);
		OK(close(fd));
	}
}

static void files_over_4_gib_are_sparse(void **state)
{
	(void)state;
	int fd = open("big", O_RDWR | O_CREAT, 0644);
	OK(fd);
	const off_t far = ((off_t)5 << 30) + 3;
	assert_int_equal(pwrite(fd, "far", 3, far), 3);
	struct stat st = stat_of_fd(fd);
	assert_int_equal(st.st_size, far + 3);
	assert_true(st.st_blocks < 1000);
	expect_bytes(fd, far - 3, "\0\0\0far", 6);
	OK(ftruncate(fd, (off_t)1 << 43));
	assert_int_equal(lseek(fd, far + BLOCK, SEEK_HOLE) / BLOCK, far / BLOCK + 1);
	FAILS(EFBIG, ftruncate(fd, (off_t)1 << 45));
	OK(close(fd));
}

static void unknown_ioctls_are_enotty(void **state)
{
	(void)state;
	put_file("f", "x");
	int fd = open("f", O_RDWR);
	OK(fd);
	int value = 0;
	FAILS(ENOTTY, ioctl(fd, _IOR('Z', 99, int), &value));
	struct winsize {
		unsigned short a, b, c, d;
	} w;
	FAILS(ENOTTY, ioctl(fd, 0x5413 /* TIOCGWINSZ */, &w));
	OK(close(fd));
}

static const struct CMUnitTest tests[] = {
	BEHAVE(zeroing_and_punching_leave_the_rest),
	BEHAVE(refused_modes_change_nothing),
	BEHAVE(holes_and_data_are_exact),
	BEHAVE(truncation_forgets_what_it_cut),
	BEHAVE(files_over_4_gib_are_sparse),
	BEHAVE(unknown_ioctls_are_enotty),
};
BEHAVE_MAIN(tests)
