/*
 * behave_atime.c - access times: relatime unless the mount says otherwise. LINKFS_ATIME tells what was mounted: relatime
 * (the default) or noatime.
 */
#include "behave.h"

#include <stdlib.h>

static bool mounted_noatime(void)
{
	const char *text = getenv("LINKFS_ATIME");
	return text && strcmp(text, "noatime") == 0;
}

static void set_times(const char *path, time_t atime, time_t mtime)
{
	const struct timespec times[2] = {{atime, 5}, {mtime, 6}};
	OK(utimensat(AT_FDCWD, path, times, AT_SYMLINK_NOFOLLOW));
}

static void read_file(const char *path)
{
	char byte;
	int fd = open(path, O_RDONLY);
	OK(fd);
	/* Reads that the kernel serves from its cache never reach a FUSE server. */
	OK(posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED));
	drop_caches();
	assert_int_equal(read(fd, &byte, 1), 1);
	OK(close(fd));
}

static void a_read_after_a_change_is_noted(void **state)
{
	(void)state;
	put_file("file", "x");
	need_root();
	set_times("file", 1000, 2000);
	read_file("file");
	if (mounted_noatime())
		assert_int_equal(stat_of("file").st_atim.tv_sec, 1000);
	else
		assert_true(stat_of("file").st_atim.tv_sec > 1500000000);
	assert_int_equal(stat_of("file").st_mtim.tv_sec, 2000);
}

static void a_second_read_is_not(void **state)
{
	(void)state;
	put_file("file", "x");
	need_root();
	/* Newer than the last change of content and of attributes, and less than a day old. */
	time_t soon = stat_of("file").st_ctim.tv_sec + 3600;
	set_times("file", soon, 2000);
	read_file("file");
	assert_int_equal(stat_of("file").st_atim.tv_sec, soon);
}

static void a_day_later_it_is_again(void **state)
{
	(void)state;
	put_file("file", "x");
	need_root();
	time_t long_ago = stat_of("file").st_ctim.tv_sec - 2 * 86400;
	set_times("file", long_ago, long_ago - 1000);
	read_file("file");
	if (mounted_noatime())
		assert_int_equal(stat_of("file").st_atim.tv_sec, long_ago);
	else
		assert_true(stat_of("file").st_atim.tv_sec > long_ago + 86400);
}

static const struct CMUnitTest tests[] = {
	BEHAVE(a_read_after_a_change_is_noted),
	BEHAVE(a_second_read_is_not),
	BEHAVE(a_day_later_it_is_again),
};
BEHAVE_MAIN(tests)
