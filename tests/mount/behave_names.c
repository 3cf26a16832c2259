/*
 * behave_names.c - lengths of names and paths, odd bytes, directory positions, file handles.
 */
#include "behave.h"

#include <dirent.h>
#include <stdlib.h>
#include <sys/xattr.h>

static void names_of_255_bytes_work_and_256_do_not(void **state)
{
	(void)state;
	char n255[256], n256[257], other[256];
	memset(n255, 'n', 255);
	n255[255] = 0;
	memset(n256, 'n', 256);
	n256[256] = 0;
	memset(other, 'o', 255);
	other[255] = 0;

	put_file(n255, "x");
	OK(link(n255, other));
	OK(unlink(other));
	OK(rename(n255, other));
	OK(renameat2(AT_FDCWD, other, AT_FDCWD, n255, RENAME_NOREPLACE));
	OK(unlink(n255));
	OK(mkdir(n255, 0755));
	OK(rmdir(n255));
	OK(symlink("t", n255));
	OK(unlink(n255));
	OK(mkfifo(n255, 0644));
	OK(unlink(n255));

	struct stat st;
	char buf[8];
	put_file("f", "x");
	FAILS(ENAMETOOLONG, open(n256, O_RDONLY));
	FAILS(ENAMETOOLONG, open(n256, O_WRONLY | O_CREAT, 0644));
	FAILS(ENAMETOOLONG, stat(n256, &st));
	FAILS(ENAMETOOLONG, lstat(n256, &st));
	FAILS(ENAMETOOLONG, mkdir(n256, 0755));
	FAILS(ENAMETOOLONG, mkfifo(n256, 0644));
	FAILS(ENAMETOOLONG, symlink("t", n256));
	FAILS(ENAMETOOLONG, link("f", n256));
	FAILS(ENAMETOOLONG, link(n256, "g"));
	FAILS(ENAMETOOLONG, rename("f", n256));
	FAILS(ENAMETOOLONG, rename(n256, "g"));
	FAILS(ENAMETOOLONG, unlink(n256));
	FAILS(ENAMETOOLONG, rmdir(n256));
	FAILS(ENAMETOOLONG, readlink(n256, buf, sizeof(buf)));
	FAILS(ENAMETOOLONG, chmod(n256, 0644));
	FAILS(ENAMETOOLONG, truncate(n256, 0));
	FAILS(ENAMETOOLONG, getxattr(n256, "user.a", buf, sizeof(buf)));
}

static void paths_to_4095_bytes_work_and_4096_do_not(void **state)
{
	(void)state;
	/* "./" repeated is a path of any length that names a file here. */
	char path[4200];
	put_file("f", "x");
	for (size_t len = 4094; len <= 4096; len++) {
		memset(path, '/', len);
		path[0] = '.';
		path[len - 1] = 'f';
		path[len] = 0;
		struct stat st;
		if (len <= 4095)
			OK(stat(path, &st));
		else
			FAILS(ENAMETOOLONG, stat(path, &st));
	}
	/* A real tree deeper than one path can say, by way of openat. */
	int at = open(".", O_RDONLY | O_DIRECTORY);
	OK(at);
	char name[201];
	memset(name, 'd', 200);
	name[200] = 0;
	for (int depth = 0; depth < 30; depth++) {
		OK(mkdirat(at, name, 0755));
		int next = openat(at, name, O_RDONLY | O_DIRECTORY);
		OK(next);
		OK(close(at));
		at = next;
	}
	OK(mkdirat(at, "end", 0755));
	OK(close(at));
	/* Take it down from the bottom, which nftw cannot reach by path. */
	at = open(".", O_RDONLY | O_DIRECTORY);
	OK(at);
	int fds[32] = {at};
	int n = 0;
	while ((fds[n + 1] = openat(fds[n], name, O_RDONLY | O_DIRECTORY)) >= 0)
		n++;
	assert_int_equal(n, 30);
	OK(unlinkat(fds[n], "end", AT_REMOVEDIR));
	for (; n > 0; n--) {
		OK(close(fds[n]));
		OK(unlinkat(fds[n - 1], name, AT_REMOVEDIR));
	}
	OK(close(at));
}

static void a_name_is_any_bytes(void **state)
{
	(void)state;
	char name[3] = {0};
	for (int c = 1; c < 256; c++) {
		if (c == '/')
			continue;
		name[0] = 'n';
		name[1] = (char)c;
		put_file(name, name);
	}
	int seen = 0;
	DIR *dir = opendir(".");
	assert_non_null(dir);
	for (struct dirent *e; (e = readdir(dir));)
		seen += e->d_name[0] == 'n';
	OK(closedir(dir));
	assert_int_equal(seen, 254);
	for (int c = 1; c < 256; c++) {
		if (c == '/')
			continue;
		name[1] = (char)c;
		expect_file(name, name);
	}
	put_file("A", "upper");
	put_file("a", "lower");
	expect_file("A", "upper");
}

/* telldir and seekdir survive changes to the directory: what exists throughout is seen exactly once. */
static void directory_positions_survive_changes(void **state)
{
	(void)state;
	enum { KEPT = 2000 };
	char name[32];
	for (int i = 0; i < KEPT; i++) {
		(void)snprintf(name, sizeof(name), "kept%04d", i);
		put_file(name, "");
		(void)snprintf(name, sizeof(name), "gone%04d", i);
		put_file(name, "");
	}
	static unsigned char seen[KEPT];
	memset(seen, 0, sizeof(seen));
	DIR *dir = opendir(".");
	assert_non_null(dir);
	int read_entries = 0, i;
	for (struct dirent *e; (e = readdir(dir));) {
		if (sscanf(e->d_name, "kept%d", &i) == 1) {
			assert_in_range(i, 0, KEPT - 1);
			assert_int_equal(seen[i], 0);
			seen[i] = 1;
		}
		if (++read_entries % 50 == 0) {
			long position = telldir(dir);
			(void)snprintf(name, sizeof(name), "gone%04d", read_entries / 50);
			(void)unlink(name);
			(void)snprintf(name, sizeof(name), "new%d", read_entries);
			put_file(name, "");
			rewinddir(dir);
			(void)readdir(dir);
			seekdir(dir, position);
		}
	}
	OK(closedir(dir));
	for (i = 0; i < KEPT; i++)
		assert_int_equal(seen[i], 1);
}

static void a_saved_position_is_where_it_was(void **state)
{
	(void)state;
	char name[32];
	for (int i = 0; i < 300; i++) {
		(void)snprintf(name, sizeof(name), "f%d", i);
		put_file(name, "");
	}
	DIR *dir = opendir(".");
	assert_non_null(dir);
	long positions[303];
	char *names[303];
	int n = 0;
	for (;;) {
		positions[n] = telldir(dir);
		struct dirent *e = readdir(dir);
		if (!e)
			break;
		names[n] = strdup(e->d_name);
		assert_non_null(names[n]);
		n++;
	}
	assert_int_equal(n, 302);
	for (int i = n - 1; i >= 0; i -= 7) {
		seekdir(dir, positions[i]);
		struct dirent *e = readdir(dir);
		assert_non_null(e);
		assert_string_equal(e->d_name, names[i]);
	}
	for (int i = 0; i < n; i++)
		free(names[i]);
	OK(closedir(dir));
}

struct handle {
	struct file_handle h;
	unsigned char bytes[MAX_HANDLE_SZ];
};

static void file_handles_survive_a_dropped_cache(void **state)
{
	(void)state;
	need_root();
	OK(mkdir("d", 0755));
	put_file("d/f", "by handle");
	struct handle file = {.h.handle_bytes = MAX_HANDLE_SZ}, dir = {.h.handle_bytes = MAX_HANDLE_SZ};
	int mount_id;
	OK(name_to_handle_at(AT_FDCWD, "d/f", &file.h, &mount_id, 0));
	OK(name_to_handle_at(AT_FDCWD, "d", &dir.h, &mount_id, 0));
	int root = open(".", O_RDONLY | O_DIRECTORY);
	OK(root);
	drop_caches();
	OK(rename("d/f", "moved"));
	drop_caches();
	int fd = open_by_handle_at(root, &file.h, O_RDONLY);
	OK(fd);
	expect_bytes(fd, 0, "by handle", 9);
	OK(close(fd));
	fd = open_by_handle_at(root, &dir.h, O_RDONLY | O_DIRECTORY);
	OK(fd);
	OK(close(fd));
	OK(unlink("moved"));
	drop_caches();
	FAILS(ESTALE, open_by_handle_at(root, &file.h, O_RDONLY));
	OK(close(root));
}

static const struct CMUnitTest tests[] = {
	BEHAVE(names_of_255_bytes_work_and_256_do_not),
	BEHAVE(paths_to_4095_bytes_work_and_4096_do_not),
	BEHAVE(a_name_is_any_bytes),
	BEHAVE(directory_positions_survive_changes),
	BEHAVE(a_saved_position_is_where_it_was),
	BEHAVE(file_handles_survive_a_dropped_cache),
};
BEHAVE_MAIN(tests)
