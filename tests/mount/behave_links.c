/*
 * behave_links.c - link counts at once and through every name; unlinked and replaced files; renames; symlinks.
 */
#include "behave.h"

#include <dirent.h>
#include <stdlib.h>
#include <sys/xattr.h>

static void counts_show_through_every_name_at_once(void **state)
{
	(void)state;
	put_file("a", "1");
	int fd = open("a", O_RDWR);
	OK(fd);
	OK(mkdir("d", 0755));
	for (unsigned n = 2; n <= 40; n++) {
		char name[32];
		(void)snprintf(name, sizeof(name), n % 2 ? "d/%u" : "%u", n);
		OK(link("a", name));
		assert_int_equal(nlink_of("a"), n);
		assert_int_equal(nlink_of(name), n);
		assert_int_equal(stat_of_fd(fd).st_nlink, n);
		assert_int_equal(stat_of(name).st_ino, stat_of("a").st_ino);
	}
	OK(chmod("d/3", 0600));
	assert_int_equal(stat_of("a").st_mode & 0777, 0600);
	assert_int_equal(stat_of("2").st_mode & 0777, 0600);
	OK(setxattr("4", "user.k", "v", 1, 0));
	char v;
	assert_int_equal(getxattr("d/5", "user.k", &v, 1), 1);
	put_file("d/7", "longer text");
	assert_int_equal(stat_of("a").st_size, 11);
	for (unsigned n = 40; n >= 2; n--) {
		char name[32];
		(void)snprintf(name, sizeof(name), n % 2 ? "d/%u" : "%u", n);
		OK(n % 3 ? unlink(name) : rename("a", "a"));
		if (n % 3 == 0)
			OK(unlink(name));
		assert_int_equal(nlink_of("a"), n - 1);
		assert_int_equal(stat_of_fd(fd).st_nlink, n - 1);
	}
	OK(unlink("a"));
	assert_int_equal(stat_of_fd(fd).st_nlink, 0);
	OK(close(fd));
}

static void rename_over_a_name_drops_its_count(void **state)
{
	(void)state;
	put_file("old", "old");
	OK(link("old", "old2"));
	put_file("new", "new");
	int fd = open("old", O_RDONLY);
	OK(fd);
	OK(rename("new", "old"));
	assert_int_equal(stat_of_fd(fd).st_nlink, 1);
	assert_int_equal(nlink_of("old2"), 1);
	assert_int_equal(nlink_of("old"), 1);
	OK(rename("old", "old2"));
	assert_int_equal(stat_of_fd(fd).st_nlink, 0);
	expect_file("old2", "new");
	expect_bytes(fd, 0, "old", 3);
	OK(close(fd));
}

static void directories_count_their_subdirectories(void **state)
{
	(void)state;
	OK(mkdir("p", 0755));
	assert_int_equal(nlink_of("p"), 2);
	OK(mkdir("p/a", 0755));
	OK(mkdir("p/b", 0755));
	put_file("p/f", "");
	assert_int_equal(nlink_of("p"), 4);
	OK(mkdir("q", 0755));
	OK(rename("p/a", "q/a"));
	assert_int_equal(nlink_of("p"), 3);
	assert_int_equal(nlink_of("q"), 3);
	OK(renameat2(AT_FDCWD, "q/a", AT_FDCWD, "p/f", RENAME_EXCHANGE));
	assert_int_equal(nlink_of("p"), 4);
	assert_int_equal(nlink_of("q"), 2);
	OK(mkdir("p/empty", 0755));
	OK(rename("p/b", "p/empty"));
	assert_int_equal(nlink_of("p"), 4);
	OK(rmdir("p/empty"));
	assert_int_equal(nlink_of("p"), 3);
	int fd = open("p/f", O_RDONLY | O_DIRECTORY);
	OK(fd);
	OK(rmdir("p/f"));
	assert_int_equal(stat_of_fd(fd).st_nlink, 0);
	assert_int_equal(nlink_of("p"), 2);
	FAILS(ENOENT, openat(fd, "x", O_CREAT | O_WRONLY, 0644));
	OK(close(fd));
}

static void an_unlinked_open_file_lives_on(void **state)
{
	(void)state;
	put_file("f", "hello");
	int fd = open("f", O_RDWR);
	OK(fd);
	OK(unlink("f"));
	put_file("f", "another");
	OK(fchmod(fd, 0640));
	assert_int_equal(stat_of_fd(fd).st_mode & 0777, 0640);
	assert_int_equal(stat_of("f").st_mode & 0777, 0644);
	OK(ftruncate(fd, 3));
	assert_int_equal(stat_of_fd(fd).st_size, 3);
	expect_bytes(fd, 0, "hel", 3);
	assert_int_equal(pwrite(fd, "p me!", 5, 3), 5);
	expect_bytes(fd, 0, "help me!", 8);
	const struct timespec times[2] = {{1000, 1}, {2000, 2}};
	OK(futimens(fd, times));
	struct stat st = stat_of_fd(fd);
	assert_int_equal(st.st_mtim.tv_sec, 2000);
	assert_int_equal(st.st_mtim.tv_nsec, 2);
	assert_int_equal(st.st_nlink, 0);
	OK(fsetxattr(fd, "user.a", "b", 1, 0));
	char v = 0;
	assert_int_equal(fgetxattr(fd, "user.a", &v, 1), 1);
	assert_int_equal(v, 'b');
	OK(fsync(fd));
	expect_file("f", "another");
	/* A file that had a name and lost the last one gets none again. */
	char self[64];
	(void)snprintf(self, sizeof(self), "/proc/self/fd/%d", fd);
	FAILS(ENOENT, linkat(AT_FDCWD, self, AT_FDCWD, "back", AT_SYMLINK_FOLLOW));
	OK(close(fd));
}

static void a_replaced_open_file_lives_on(void **state)
{
	(void)state;
	put_file("f", "old content");
	put_file("g", "new");
	int fd = open("f", O_RDWR);
	OK(fd);
	OK(rename("g", "f"));
	OK(fchmod(fd, 0600));
	OK(ftruncate(fd, 3));
	expect_bytes(fd, 0, "old", 3);
	expect_file("f", "new");
	assert_int_equal(stat_of("f").st_mode & 0777, 0644);
	OK(close(fd));
}

static void a_temporary_file_gets_a_name(void **state)
{
	(void)state;
	int fd = open(".", O_RDWR | O_TMPFILE, 0640);
	OK(fd);
	assert_int_equal(stat_of_fd(fd).st_nlink, 0);
	assert_int_equal(write(fd, "text", 4), 4);
	char self[64];
	(void)snprintf(self, sizeof(self), "/proc/self/fd/%d", fd);
	OK(linkat(AT_FDCWD, self, AT_FDCWD, "named", AT_SYMLINK_FOLLOW));
	assert_int_equal(stat_of_fd(fd).st_nlink, 1);
	expect_file("named", "text");
	assert_int_equal(stat_of("named").st_mode & 0777, 0640);
	FAILS(EEXIST, linkat(AT_FDCWD, self, AT_FDCWD, "named", AT_SYMLINK_FOLLOW));
	OK(close(fd));
	fd = open(".", O_RDWR | O_TMPFILE | O_EXCL, 0600);
	OK(fd);
	(void)snprintf(self, sizeof(self), "/proc/self/fd/%d", fd);
	FAILS(ENOENT, linkat(AT_FDCWD, self, AT_FDCWD, "never", AT_SYMLINK_FOLLOW));
	OK(close(fd));
}

static void renames_follow_the_rules(void **state)
{
	(void)state;
	put_file("a", "A");
	put_file("b", "B");
	FAILS(EEXIST, renameat2(AT_FDCWD, "a", AT_FDCWD, "b", RENAME_NOREPLACE));
	expect_file("a", "A");
	OK(renameat2(AT_FDCWD, "a", AT_FDCWD, "c", RENAME_NOREPLACE));
	OK(renameat2(AT_FDCWD, "c", AT_FDCWD, "b", RENAME_EXCHANGE));
	expect_file("c", "B");
	expect_file("b", "A");
	FAILS(ENOENT, renameat2(AT_FDCWD, "c", AT_FDCWD, "none", RENAME_EXCHANGE));
	FAILS(EINVAL, renameat2(AT_FDCWD, "c", AT_FDCWD, "b", RENAME_EXCHANGE | RENAME_NOREPLACE));
	FAILS(EINVAL, renameat2(AT_FDCWD, "c", AT_FDCWD, "b", 64));
	/* Names of one file: nothing happens and that is success. */
	OK(link("b", "b2"));
	OK(rename("b", "b2"));
	assert_int_equal(nlink_of("b"), 2);
	assert_int_equal(nlink_of("b2"), 2);
	OK(mkdir("d", 0755));
	OK(mkdir("d/e", 0755));
	FAILS(EINVAL, rename("d", "d/e/x"));
	FAILS(EINVAL, renameat2(AT_FDCWD, "d", AT_FDCWD, "d/e", RENAME_EXCHANGE));
	FAILS(EISDIR, rename("b", "d"));
	FAILS(ENOTDIR, rename("d", "b"));
	OK(mkdir("full", 0755));
	put_file("full/f", "");
	FAILS(ENOTEMPTY, rename("d", "full"));
	FAILS(ENOTDIR, rename("b/", "z"));
	FAILS(EBUSY, rename("d/.", "z"));
	FAILS(EPERM, link("d", "dlink"));
	FAILS(EISDIR, unlink("d"));
	FAILS(ENOTDIR, rmdir("b"));
	FAILS(EINVAL, rmdir("d/."));
	FAILS(ENOTEMPTY, rmdir("d/.."));
	FAILS(ENOTEMPTY, rmdir("d"));
	/* ".." follows a moved directory. */
	OK(rename("d/e", "full/e"));
	struct stat up = stat_of("full/e/..");
	assert_int_equal(up.st_ino, stat_of("full").st_ino);
}

static void the_working_directory_survives_renames(void **state)
{
	(void)state;
	OK(mkdir("a", 0755));
	OK(mkdir("a/b", 0755));
	OK(mkdir("elsewhere", 0755));
	OK(chdir("a/b"));
	OK(rename("../../a", "../../elsewhere/moved"));
	char *cwd = getcwd(NULL, 0);
	assert_non_null(cwd);
	assert_non_null(strstr(cwd, "/elsewhere/moved/b"));
	free(cwd);
	put_file("here", "1");
	OK(chdir("../../.."));
	expect_file("elsewhere/moved/b/here", "1");
}

static void symlinks_are_read_at_each_access(void **state)
{
	(void)state;
	OK(symlink("target", "s"));
	struct stat st = stat_of("s");
	assert_int_equal(st.st_size, 6);
	assert_int_equal(st.st_mode, 0120777);
	FAILS(ENOENT, open("s", O_RDONLY));
	put_file("target", "one");
	expect_file("s", "one");
	put_file("t2", "two");
	OK(rename("t2", "target"));
	expect_file("s", "two");
	FAILS(ELOOP, open("s", O_RDONLY | O_NOFOLLOW));
	OK(link("s", "s2"));
	assert_int_equal(nlink_of("s"), 2);
	assert_int_equal(stat_of("s2").st_ino, st.st_ino);
	OK(symlink("loop", "loop"));
	FAILS(ELOOP, open("loop", O_RDONLY));
	char text[4097];
	memset(text, 'x', sizeof(text));
	text[4095] = 0;
	OK(symlink(text, "long"));
	char got[5000];
	assert_int_equal(readlink("long", got, sizeof(got)), 4095);
	assert_memory_equal(got, text, 4095);
	assert_int_equal(stat_of("long").st_size, 4095);
	text[4095] = 'x';
	text[4096] = 0;
	FAILS(ENAMETOOLONG, symlink(text, "longer"));
	FAILS(ENOENT, symlink("", "empty"));
	assert_int_equal(readlink("s", got, 3), 3);
	/* Bytes, not characters. */
	OK(symlink("\xff\x01//./..", "odd"));
	assert_int_equal(readlink("odd", got, sizeof(got)), 8);
	assert_memory_equal(got, "\xff\x01//./..", 8);
}

static void forty_expansions_and_no_more(void **state)
{
	(void)state;
	put_file("l0", "end");
	for (int i = 1; i <= 41; i++) {
		char to[16], from[16];
		(void)snprintf(to, sizeof(to), "l%d", i - 1);
		(void)snprintf(from, sizeof(from), "l%d", i);
		OK(symlink(to, from));
	}
	expect_file("l40", "end");
	FAILS(ELOOP, open("l41", O_RDONLY));
}

static void special_files_have_names_too(void **state)
{
	(void)state;
	OK(mkfifo("fifo", 0644));
	OK(link("fifo", "fifo2"));
	assert_int_equal(nlink_of("fifo"), 2);
	OK(unlink("fifo"));
	assert_true(S_ISFIFO(stat_of("fifo2").st_mode));
	OK(mknod("sock", S_IFSOCK | 0600, 0));
	assert_true(S_ISSOCK(stat_of("sock").st_mode));
	if (geteuid() == 0) {
		OK(mknod("null", S_IFCHR | 0600, (dev_t)0x103));
		OK(link("null", "null2"));
		assert_int_equal(stat_of("null2").st_rdev, 0x103);
	}
}

static void a_link_to_another_file_system_is_refused(void **state)
{
	(void)state;
	put_file("f", "");
	FAILS(EXDEV, link("f", "/dev/shm/linkfs-behave"));
	FAILS(EXDEV, rename("f", "/dev/shm/linkfs-behave"));
}

static const struct CMUnitTest tests[] = {
	BEHAVE(counts_show_through_every_name_at_once),
	BEHAVE(rename_over_a_name_drops_its_count),
	BEHAVE(directories_count_their_subdirectories),
	BEHAVE(an_unlinked_open_file_lives_on),
	BEHAVE(a_replaced_open_file_lives_on),
	BEHAVE(a_temporary_file_gets_a_name),
	BEHAVE(renames_follow_the_rules),
	BEHAVE(the_working_directory_survives_renames),
	BEHAVE(symlinks_are_read_at_each_access),
	BEHAVE(forty_expansions_and_no_more),
	BEHAVE(special_files_have_names_too),
	BEHAVE(a_link_to_another_file_system_is_refused),
};
BEHAVE_MAIN(tests)
