/*
 * behave_scale.c - large directories, deep trees, many names of one file. LINKFS_SCALE is the number of files in one
 * directory: 100,000 unless set, a million in the long tier.
 */
#include "behave.h"

#include <dirent.h>
#include <stdlib.h>
#include <sys/vfs.h>

static unsigned scale(void)
{
	const char *text = getenv("LINKFS_SCALE");
	return text && *text ? (unsigned)strtoul(text, NULL, 10) : 100000;
}

/* Lists the current directory's numbered files: each once, all with number % step == 0 and below count. */
static void expect_numbers(unsigned count, unsigned step)
{
	unsigned char *seen = calloc(count, 1);
	unsigned total = 0;
	assert_non_null(seen);
	DIR *dir = opendir(".");
	assert_non_null(dir);
	for (struct dirent *entry; (entry = readdir(dir));) {
		if (entry->d_name[0] == '.')
			continue;
		unsigned number = (unsigned)strtoul(entry->d_name + 5, NULL, 10);
		if (number >= count || number % step != 0 || seen[number])
			fail_msg("%s is listed twice, or should not be there", entry->d_name);
		assert_int_equal(entry->d_type, DT_REG);
		seen[number] = 1;
		total++;
	}
	OK(closedir(dir));
	assert_int_equal(total, (count + step - 1) / step);
	free(seen);
}

static void many_files_in_one_directory(void **state)
{
	(void)state;
	unsigned count = scale();
	char name[32];
	OK(mkdir("many", 0755));
	OK(chdir("many"));
	for (unsigned i = 0; i < count; i++) {
		(void)snprintf(name, sizeof(name), "file-%u", i);
		OK(mknod(name, S_IFREG | 0644, 0));
	}
	FAILS(EEXIST, mknod("file-7", S_IFREG | 0644, 0));
	expect_numbers(count, 1);
	drop_caches();
	expect_numbers(count, 1);
	for (unsigned i = 0; i < count; i += count / 1000 + 1) {
		(void)snprintf(name, sizeof(name), "file-%u", i);
		assert_int_equal(stat_of(name).st_nlink, 1);
		(void)snprintf(name, sizeof(name), "file-%u.none", i);
		FAILS(ENOENT, access(name, F_OK));
	}
	FAILS(ENOTEMPTY, rmdir("../many"));
	for (unsigned i = 0; i < count; i++) {
		(void)snprintf(name, sizeof(name), "file-%u", i);
		if (i % 10)
			OK(unlink(name));
	}
	expect_numbers(count, 10);
	/* Unlinking while listing, as rm -r does, misses nothing. */
	DIR *dir = opendir(".");
	assert_non_null(dir);
	for (struct dirent *entry; (entry = readdir(dir));) {
		if (entry->d_name[0] != '.')
			OK(unlink(entry->d_name));
	}
	OK(closedir(dir));
	OK(chdir(".."));
	OK(rmdir("many"));
}

#define DEEP 1000

static void a_tree_1000_deep(void **state)
{
	(void)state;
	char path[2 * DEEP + 64], cwd[8192];
	int fd = open(".", O_RDONLY | O_DIRECTORY);
	OK(fd);
	for (int i = 0; i < DEEP; i++) {
		OK(mkdirat(fd, "d", 0755));
		int next = openat(fd, "d", O_RDONLY | O_DIRECTORY);
		OK(next);
		OK(close(fd));
		fd = next;
	}
	int file = openat(fd, "bottom", O_RDWR | O_CREAT | O_EXCL, 0644);
	OK(file);
	assert_int_equal(write(file, "deep", 4), 4);
	/* The whole way in one path, down and up. */
	for (int i = 0; i < DEEP; i++)
		memcpy(path + 2 * i, "d/", 2);
	strcpy(path + 2 * DEEP, "bottom");
	expect_file(path, "deep");
	drop_caches();
	expect_file(path, "deep");
	path[2 * DEEP] = '\0';
	struct stat top = stat_of(".");
	OK(chdir(path));
	assert_non_null(getcwd(cwd, sizeof(cwd)));
	assert_true(strlen(cwd) > 2 * DEEP - 1);
	for (int i = 0; i < DEEP; i++)
		OK(chdir(".."));
	struct stat up = stat_of(".");
	assert_int_equal(up.st_ino, top.st_ino);
	/* Half of it moves; what is open goes along. */
	path[DEEP] = '\0';
	OK(rename(path, "half"));
	FAILS(ENOENT, access("d/d", F_OK) == 0 ? access(path, F_OK) : -1);
	assert_int_equal(pwrite(file, "DEEP", 4, 0), 4);
	strcpy(cwd, "half");
	for (int i = 0; i < DEEP - DEEP / 2; i++)
		strcat(cwd, "/d");
	strcat(cwd, "/bottom");
	expect_file(cwd, "DEEP");
	/* Below itself it cannot go. */
	cwd[strlen(cwd) - strlen("bottom")] = '\0';
	strcat(cwd, "loop");
	FAILS(EINVAL, rename("half", cwd));
	OK(close(file));
	OK(close(fd));
}

static void a_file_of_70000_names(void **state)
{
	(void)state;
	/* ext4 counts to 65,000; linkfs to 2^31 - 1 (row A4; its EMLINK is tested in the core, where a count can be set). */
	struct statfs fs;
	OK(statfs(".", &fs));
	unsigned limit = (unsigned long)fs.f_type == 0xef53 ? 65000 : 70001;
	char name[32], other[32];
	put_file("file", "one content");
	OK(mkdir("names", 0755));
	for (unsigned i = 1; i < limit; i++) {
		(void)snprintf(name, sizeof(name), "names/n%u", i);
		OK(link("file", name));
	}
	assert_int_equal(nlink_of("file"), limit);
	if (limit == 65000)
		FAILS(EMLINK, link("file", "names/one-more"));
	drop_caches();
	assert_int_equal(nlink_of("names/n777"), limit);
	expect_file("names/n64999", "one content");
	/* A name of the file onto another name of it: nothing happens, and it succeeds. */
	OK(rename("names/n1", "names/n2"));
	assert_int_equal(nlink_of("names/n1"), limit);
	for (unsigned i = 1; i < 1000; i++) {
		(void)snprintf(name, sizeof(name), "names/n%u", i);
		(void)snprintf(other, sizeof(other), "names/m%u", i);
		OK(rename(name, other));
	}
	assert_int_equal(nlink_of("file"), limit);
	for (unsigned i = 1; i < limit; i++) {
		(void)snprintf(name, sizeof(name), "names/%c%u", i < 1000 ? 'm' : 'n', i);
		OK(unlink(name));
	}
	assert_int_equal(nlink_of("file"), 1);
	OK(rmdir("names"));
	expect_file("file", "one content");
}

static void long_names_fill_a_directory(void **state)
{
	(void)state;
	char name[256];
	unsigned count = 3000, seen = 0;
	memset(name, 'n', 255);
	name[255] = '\0';
	for (unsigned i = 0; i < count; i++) {
		name[(int)snprintf(name, 8, "%07u", i)] = 'n';
		OK(mkdir(name, 0700));
	}
	assert_int_equal(nlink_of("."), count + 2);
	for (int round = 0; round < 2; round++, seen = 0) {
		DIR *dir = opendir(".");
		assert_non_null(dir);
		for (struct dirent *entry; (entry = readdir(dir));) {
			if (entry->d_name[0] == '.')
				continue;
			assert_int_equal(strlen(entry->d_name), 255);
			seen++;
		}
		assert_int_equal(seen, count);
		OK(closedir(dir));
		drop_caches();
	}
}

static const struct CMUnitTest tests[] = {
	BEHAVE(many_files_in_one_directory),
	BEHAVE(a_tree_1000_deep),
	BEHAVE(a_file_of_70000_names),
	BEHAVE(long_names_fill_a_directory),
};
BEHAVE_MAIN(tests)
