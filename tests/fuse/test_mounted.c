/*
 * test_mounted.c - a real mount through linkfs_mount.h: what the kernel's caches and the server must agree on at once
 * (issue: "What FUSE file systems get wrong").
 */
#include "test.h"

#include "mounted.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

static struct mounted m;

static int begin(void **state)
{
	(void)state;
	mounted_begin(&m, NULL);
	return 0;
}

static int end(void **state)
{
	(void)state;
	mounted_end(&m);
	return 0;
}

static int make(const char *name)
{
	int fd = open(at(&m, name), O_CREAT | O_EXCL | O_RDWR, 0644);
	if (fd < 0)
		fail_msg("create %s: %s", name, strerror(errno));
	return fd;
}

static struct stat status_of(int fd)
{
	struct stat st;
	assert_int_equal(fstat(fd, &st), 0);
	return st;
}

static bool later(struct timespec a, struct timespec b)
{
	return a.tv_sec > b.tv_sec || (a.tv_sec == b.tv_sec && a.tv_nsec > b.tv_nsec);
}

/* Counts are right at once through every name and through an open descriptor, also 0. */
static void link_counts(void **state)
{
	(void)state;
	int fd = make("a");
	struct stat before = status_of(fd);
	assert_int_equal(before.st_nlink, 1);
	usleep(20000);
	assert_int_equal(link(at(&m, "a"), at(&m, "b")), 0);
	assert_int_equal(link_count(at(&m, "a")), 2);
	assert_int_equal(link_count(at(&m, "b")), 2);
	struct stat st = status_of(fd);
	assert_int_equal(st.st_nlink, 2);
	assert_true(later(st.st_ctim, before.st_ctim));
	before = st;
	usleep(20000);
	assert_int_equal(unlink(at(&m, "a")), 0);
	assert_int_equal(link_count(at(&m, "b")), 1);
	st = status_of(fd);
	assert_int_equal(st.st_nlink, 1);
	assert_true(later(st.st_ctim, before.st_ctim));
	/* Onto another name of the same file: nothing happens, and both stay. */
	assert_int_equal(link(at(&m, "b"), at(&m, "c")), 0);
	assert_int_equal(rename(at(&m, "b"), at(&m, "c")), 0);
	assert_int_equal(link_count(at(&m, "b")), 2);
	/* Over another file. */
	int other = make("d");
	assert_int_equal(rename(at(&m, "c"), at(&m, "d")), 0);
	assert_int_equal(status_of(other).st_nlink, 0);
	assert_int_equal(status_of(fd).st_nlink, 2);
	assert_int_equal(unlink(at(&m, "b")), 0);
	assert_int_equal(unlink(at(&m, "d")), 0);
	assert_int_equal(status_of(fd).st_nlink, 0);
	close(fd);
	close(other);
}

/* A file without names works by descriptor in every way. */
static void nameless(void **state)
{
	char buf[8];
	const struct timespec times[2] = {{.tv_sec = -100, .tv_nsec = 7}, {.tv_sec = 5000000000, .tv_nsec = 999999999}};
	(void)state;
	int fd = make("file");
	assert_int_equal(write(fd, "before", 6), 6);
	assert_int_equal(unlink(at(&m, "file")), 0);
	assert_int_equal(access(at(&m, "file"), F_OK), -1);
	assert_int_equal(pwrite(fd, "B", 1, 0), 1);
	assert_int_equal(pread(fd, buf, sizeof(buf), 0), 6);
	assert_memory_equal(buf, "Before", 6);
	assert_int_equal(fchmod(fd, 0600), 0);
	assert_int_equal(ftruncate(fd, 3), 0);
	assert_int_equal(futimens(fd, times), 0);
	assert_int_equal(fsetxattr(fd, "user.x", "y", 1, 0), 0);
	drop_caches();
	struct stat st = status_of(fd);
	assert_int_equal(st.st_mode, S_IFREG | 0600);
	assert_int_equal(st.st_size, 3);
	assert_int_equal(st.st_nlink, 0);
	assert_int_equal(st.st_atim.tv_sec, -100);
	assert_int_equal(st.st_atim.tv_nsec, 7);
	assert_int_equal(st.st_mtim.tv_sec, 5000000000);
	assert_int_equal(st.st_mtim.tv_nsec, 999999999);
	assert_int_equal(fgetxattr(fd, "user.x", buf, sizeof(buf)), 1);
	/* A new file of the same name is another one. */
	int other = make("file");
	assert_int_not_equal(status_of(other).st_ino, st.st_ino);
	close(fd);
	close(other);
}

static void directories(void **state)
{
	(void)state;
	assert_int_equal(link_count(m.point), 2);
	assert_int_equal(mkdir(at(&m, "d"), 0755), 0);
	assert_int_equal(mkdir(at(&m, "e"), 0755), 0);
	assert_int_equal(link_count(m.point), 4);
	assert_int_equal(mkdir(at(&m, "d/sub"), 0755), 0);
	assert_int_equal(link_count(at(&m, "d")), 3);
	assert_int_equal(rename(at(&m, "d/sub"), at(&m, "e/sub")), 0);
	assert_int_equal(link_count(at(&m, "d")), 2);
	assert_int_equal(link_count(at(&m, "e")), 3);
	int fd = open(at(&m, "e/sub"), O_RDONLY | O_DIRECTORY);
	assert_true(fd >= 0);
	assert_int_equal(rmdir(at(&m, "e/sub")), 0);
	assert_int_equal(link_count(at(&m, "e")), 2);
	assert_int_equal(status_of(fd).st_nlink, 0);
	assert_int_equal(openat(fd, "x", O_CREAT | O_RDWR, 0644), -1);
	assert_int_equal(errno, ENOENT);
	close(fd);
	assert_int_equal(renameat2(AT_FDCWD, at(&m, "d"), AT_FDCWD, at(&m, "e"), RENAME_NOREPLACE), -1);
	assert_int_equal(errno, EEXIST);
	close(make("d/inside"));
	assert_int_equal(renameat2(AT_FDCWD, at(&m, "d"), AT_FDCWD, at(&m, "e"), RENAME_EXCHANGE), 0);
	assert_int_equal(access(at(&m, "e/inside"), F_OK), 0);
	assert_int_equal(access(at(&m, "d/inside"), F_OK), -1);
	assert_int_equal(link(at(&m, "d"), at(&m, "hard")), -1);
	assert_int_equal(errno, EPERM);
}

static void tmpfile_linkat(void **state)
{
	char proc[64];
	(void)state;
	int fd = open(m.point, O_TMPFILE | O_RDWR, 0640);
	assert_true(fd >= 0);
	assert_int_equal(status_of(fd).st_nlink, 0);
	assert_int_equal(write(fd, "text", 4), 4);
	snprintf(proc, sizeof(proc), "/proc/self/fd/%d", fd);
	assert_int_equal(linkat(AT_FDCWD, proc, AT_FDCWD, at(&m, "named"), AT_SYMLINK_FOLLOW), 0);
	assert_int_equal(link_count(at(&m, "named")), 1);
	assert_int_equal(status_of(fd).st_nlink, 1);
	assert_int_equal(status_of(fd).st_size, 4);
	close(fd);
	/* One that loses its last name cannot come back. */
	fd = make("gone");
	unlink(at(&m, "gone"));
	snprintf(proc, sizeof(proc), "/proc/self/fd/%d", fd);
	assert_int_equal(linkat(AT_FDCWD, proc, AT_FDCWD, at(&m, "back"), AT_SYMLINK_FOLLOW), -1);
	assert_int_equal(errno, ENOENT);
	close(fd);
	/* O_EXCL forbids a name for good. */
	fd = open(m.point, O_TMPFILE | O_EXCL | O_RDWR, 0640);
	assert_true(fd >= 0);
	snprintf(proc, sizeof(proc), "/proc/self/fd/%d", fd);
	assert_int_equal(linkat(AT_FDCWD, proc, AT_FDCWD, at(&m, "back"), AT_SYMLINK_FOLLOW), -1);
	close(fd);
}

static struct timespec birth(const char *path)
{
	struct statx sx;
	assert_int_equal(statx(AT_FDCWD, path, 0, STATX_BTIME, &sx), 0);
	assert_true(sx.stx_mask & STATX_BTIME);
	return (struct timespec){sx.stx_btime.tv_sec, sx.stx_btime.tv_nsec};
}

static void birth_time(void **state)
{
	const struct timespec old[2] = {{.tv_sec = 1}, {.tv_sec = 1}};
	(void)state;
	int fd = make("file");
	struct timespec now, born = birth(at(&m, "file"));
	clock_gettime(CLOCK_REALTIME, &now);
	assert_true(llabs(now.tv_sec - born.tv_sec) < 60);
	usleep(10000);
	assert_int_equal(write(fd, "x", 1), 1);
	assert_int_equal(fchmod(fd, 0600), 0);
	assert_int_equal(futimens(fd, old), 0);
	close(fd);
	assert_int_equal(rename(at(&m, "file"), at(&m, "file2")), 0);
	struct timespec again = birth(at(&m, "file2"));
	assert_memory_equal(&again, &born, sizeof(born));
	drop_caches();
	again = birth(at(&m, "file2"));
	assert_memory_equal(&again, &born, sizeof(born));
}

static void file_handles(void **state)
{
	union {
		struct file_handle handle;
		char room[sizeof(struct file_handle) + MAX_HANDLE_SZ];
	} file, dir;
	int id;
	char buf[4];
	(void)state;
	assert_int_equal(mkdir(at(&m, "d"), 0755), 0);
	assert_int_equal(mkdir(at(&m, "d/e"), 0755), 0);
	int fd = make("d/e/file"), root = open(m.point, O_RDONLY | O_DIRECTORY);
	assert_int_equal(write(fd, "text", 4), 4);
	close(fd);
	file.handle.handle_bytes = dir.handle.handle_bytes = MAX_HANDLE_SZ;
	assert_int_equal(name_to_handle_at(AT_FDCWD, at(&m, "d/e/file"), &file.handle, &id, 0), 0);
	assert_int_equal(name_to_handle_at(AT_FDCWD, at(&m, "d/e"), &dir.handle, &id, 0), 0);
	drop_caches();
	fd = open_by_handle_at(root, &file.handle, O_RDONLY);
	assert_true(fd >= 0);
	assert_int_equal(read(fd, buf, 4), 4);
	assert_memory_equal(buf, "text", 4);
	close(fd);
	drop_caches();
	/* A directory is put back into its tree by way of "..". */
	fd = open_by_handle_at(root, &dir.handle, O_RDONLY | O_DIRECTORY);
	assert_true(fd >= 0);
	assert_int_equal(faccessat(fd, "file", F_OK, 0), 0);
	assert_int_equal(faccessat(fd, "../../d/e/file", F_OK, 0), 0);
	close(fd);
	assert_int_equal(unlink(at(&m, "d/e/file")), 0);
	/* The kernel may hold the inode a moment longer: a RELEASE of its last descriptor is not waited for. */
	for (int i = 0; i < 200; i++) {
		drop_caches();
		fd = open_by_handle_at(root, &file.handle, O_RDONLY);
		if (fd < 0)
			break;
		close(fd);
		usleep(10000);
	}
	assert_int_equal(fd, -1);
	assert_int_equal(errno, ESTALE);
	close(root);
}

static void long_names(void **state)
{
	char name[258];
	(void)state;
	memset(name, 'n', sizeof(name));
	name[255] = 0;
	close(make(name));
	assert_int_equal(mkdir(at(&m, "d"), 0755), 0);
	assert_int_equal(link_count(at(&m, name)), 1);
	name[255] = 'n';
	name[256] = 0;
	assert_int_equal(open(at(&m, name), O_CREAT | O_RDWR, 0644), -1);
	assert_int_equal(errno, ENAMETOOLONG);
	assert_int_equal(mkdir(at(&m, name), 0755), -1);
	assert_int_equal(errno, ENAMETOOLONG);
	assert_int_equal(symlink("x", at(&m, name)), -1);
	assert_int_equal(errno, ENAMETOOLONG);
	assert_int_equal(rename(at(&m, "d"), at(&m, name)), -1);
	assert_int_equal(errno, ENAMETOOLONG);
	assert_int_equal(access(at(&m, name), F_OK), -1);
	assert_int_equal(errno, ENAMETOOLONG);
}

static void content_again(void **state)
{
	const size_t size = 3u << 20;
	char *data = malloc(size), *back = malloc(size);
	struct lk_test_random random = {lk_test_seed()};
	(void)state;
	for (size_t i = 0; i < size; i++)
		data[i] = (char)lk_test_next(&random);
	int fd = make("file");
	assert_int_equal(write(fd, data, size), size);
	assert_int_equal(fsync(fd), 0);
	posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
	assert_int_equal(pread(fd, back, size, 0), size);
	assert_memory_equal(data, back, size);
	/* A shared mapping is written back by pages. */
	char *map = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	assert_true(map != MAP_FAILED);
	memcpy(map + 12345, "mapped", 6);
	memcpy(data + 12345, "mapped", 6);
	assert_int_equal(msync(map, size, MS_SYNC), 0);
	munmap(map, size);
	posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
	assert_int_equal(pread(fd, back, size, 0), size);
	assert_memory_equal(data, back, size);
	/* The library sees the same. */
	size_t done;
	assert_int_equal(linkfs_node_read(m.volume, status_of(fd).st_ino, 0, back, size, &done), 0);
	assert_int_equal(done, size);
	assert_memory_equal(data, back, size);
	assert_int_equal(ftruncate(fd, 100), 0);
	assert_int_equal(ftruncate(fd, 5000), 0);
	assert_int_equal(pread(fd, back, size, 0), 5000);
	for (size_t i = 100; i < 5000; i++)
		assert_int_equal(back[i], 0);
	close(fd);
	/* O_TRUNC empties, and changes mtime of an empty file too. */
	fd = open(at(&m, "file"), O_RDWR | O_TRUNC);
	struct stat before = status_of(fd);
	assert_int_equal(before.st_size, 0);
	usleep(20000);
	int again = open(at(&m, "file"), O_RDWR | O_TRUNC);
	assert_true(later(status_of(again).st_mtim, before.st_mtim));
	close(again);
	close(fd);
	free(data);
	free(back);
}

static void counters(void **state)
{
	struct linkfs_mount_counter counter;
	(void)state;
	uint64_t before = requests(&m, "MKDIR");
	assert_int_equal(mkdir(at(&m, "d"), 0755), 0);
	assert_int_equal(requests(&m, "MKDIR"), before + 1);
	for (int i = 0; i < 10; i++)
		assert_int_equal(link_count(at(&m, "d")), 2);
	before = requests(&m, "GETATTR") + requests(&m, "LOOKUP");
	for (int i = 0; i < 1000; i++)
		assert_int_equal(link_count(at(&m, "d")), 2);
	assert_int_equal(requests(&m, "GETATTR") + requests(&m, "LOOKUP"), before);
	/* Absent names are remembered too, and a symlink's text. */
	assert_int_equal(access(at(&m, "absent"), F_OK), -1);
	before = requests(&m, "LOOKUP");
	for (int i = 0; i < 1000; i++)
		assert_int_equal(access(at(&m, "absent"), F_OK), -1);
	assert_int_equal(requests(&m, "LOOKUP"), before);
	assert_int_equal(linkfs_mount_counter(m.mount, 1000, &counter), LINKFS_ENOENT);
}

static int write_as_user(struct mounted *mounted)
{
	int fd = open(at(mounted, "suid"), O_WRONLY);
	struct stat st;
	if (fd < 0 || write(fd, "x", 1) != 1 || fstat(fd, &st))
		return 1;
	return st.st_mode == (S_IFREG | 0755) ? 0 : 2;
}

static int chown_like_user(struct mounted *mounted)
{
	struct stat st;
	if (chown(at(mounted, "chowned"), (uid_t)-1, (gid_t)-1) || stat(at(mounted, "chowned"), &st))
		return 1;
	return st.st_mode == (S_IFREG | 0755) ? 0 : 2;
}

static int write_locked(struct mounted *mounted)
{
	int fd = open(at(mounted, "locked"), O_WRONLY);
	return fd < 0 || write(fd, "x", 1) != 1;
}

static int truncate_locked(struct mounted *mounted)
{
	return truncate(at(mounted, "locked"), 0) != 0;
}

static int open_locked(struct mounted *mounted)
{
	return open(at(mounted, "locked"), O_WRONLY | O_TRUNC) < 0;
}

/* setgid without group execution stays for members of the file's group, by whichever of their groups, and goes for
 * others. */
static void setgid_without_execution(void **state)
{
	static int (*const changes[])(struct mounted *) = {write_locked, truncate_locked, open_locked};
	struct stat st;
	(void)state;
	close(make("locked"));
	assert_int_equal(chown(at(&m, "locked"), 0, 2000), 0);
	for (size_t i = 0; i < sizeof(changes) / sizeof(changes[0]); i++) {
		assert_int_equal(chmod(at(&m, "locked"), 02666), 0);
		assert_int_equal(as_user(1000, 1000, 2000, changes[i], &m), 0);
		assert_int_equal(stat(at(&m, "locked"), &st), 0);
		assert_int_equal(st.st_mode, S_IFREG | 02666);
		assert_int_equal(as_user(1000, 2000, 1000, changes[i], &m), 0);
		assert_int_equal(stat(at(&m, "locked"), &st), 0);
		assert_int_equal(st.st_mode, S_IFREG | 02666);
		assert_int_equal(as_user(1000, 1000, 200, changes[i], &m), 0);
		assert_int_equal(stat(at(&m, "locked"), &st), 0);
		assert_int_equal(st.st_mode, S_IFREG | 0666);
	}
}

/* setuid and setgid go with a write by others than root, at once for everybody. */
static void setuid_dropped(void **state)
{
	struct stat st;
	(void)state;
	close(make("suid"));
	close(make("chowned"));
	assert_int_equal(chown(at(&m, "suid"), 1000, 1000), 0);
	assert_int_equal(chown(at(&m, "chowned"), 1000, 1000), 0);
	assert_int_equal(chmod(at(&m, "suid"), 06755), 0);
	assert_int_equal(chmod(at(&m, "chowned"), 06755), 0);
	assert_int_equal(stat(at(&m, "suid"), &st), 0);
	assert_int_equal(st.st_mode, S_IFREG | 06755);
	assert_int_equal(as_user(1000, 1000, 1000, write_as_user, &m), 0);
	assert_int_equal(stat(at(&m, "suid"), &st), 0);
	assert_int_equal(st.st_mode, S_IFREG | 0755);
	assert_int_equal(as_user(1000, 1000, 1000, chown_like_user, &m), 0);
	/* Root's writes keep them. */
	assert_int_equal(chmod(at(&m, "suid"), 06755), 0);
	int fd = open(at(&m, "suid"), O_WRONLY);
	assert_int_equal(write(fd, "y", 1), 1);
	assert_int_equal(status_of(fd).st_mode, S_IFREG | 06755);
	close(fd);
}

static int make_as_user(struct mounted *mounted)
{
	struct stat st;
	umask(027);
	int fd = open(at(mounted, "open/file"), O_CREAT | O_EXCL | O_RDWR, 0666);
	if (fd < 0 || fstat(fd, &st) || st.st_uid != 1000 || st.st_gid != 100 || st.st_mode != (S_IFREG | 0640))
		return 1;
	if (mkdir(at(mounted, "shared/dir"), 0777) || stat(at(mounted, "shared/dir"), &st) || st.st_uid != 1000 ||
	    st.st_gid != 5000 || st.st_mode != (S_IFDIR | 02750))
		return 2;
	/* Member of the directory's group by a supplementary group: may keep setgid on a file. */
	fd = open(at(mounted, "shared/member"), O_CREAT | O_EXCL | O_RDWR, 02770);
	if (fd < 0 || fstat(fd, &st) || st.st_gid != 5000 || st.st_mode != (S_IFREG | 02750))
		return 3;
	if (chmod(at(mounted, "shared/member"), 02755) || stat(at(mounted, "shared/member"), &st) ||
	    st.st_mode != (S_IFREG | 02755))
		return 4;
	/* Not a member of the other one's. */
	fd = open(at(mounted, "foreign/file"), O_CREAT | O_EXCL | O_RDWR, 02770);
	if (fd < 0 || fstat(fd, &st) || st.st_gid != 6000 || st.st_mode != (S_IFREG | 0750))
		return 5;
	if (open(at(mounted, "closed/file"), O_CREAT | O_RDWR, 0666) >= 0 || errno != EACCES)
		return 6;
	return 0;
}

/* New files belong to the caller; groups and umask are applied once. */
static void ownership(void **state)
{
	(void)state;
	assert_int_equal(mkdir(at(&m, "open"), 0777), 0);
	assert_int_equal(chmod(at(&m, "open"), 0777), 0);
	assert_int_equal(mkdir(at(&m, "closed"), 0755), 0);
	assert_int_equal(mkdir(at(&m, "shared"), 0777), 0);
	assert_int_equal(chown(at(&m, "shared"), 0, 5000), 0);
	assert_int_equal(chmod(at(&m, "shared"), 02777), 0);
	assert_int_equal(mkdir(at(&m, "foreign"), 0777), 0);
	assert_int_equal(chown(at(&m, "foreign"), 0, 6000), 0);
	assert_int_equal(chmod(at(&m, "foreign"), 02777), 0);
	assert_int_equal(as_user(1000, 100, 5000, make_as_user, &m), 0);
}

static void refused_calls(void **state)
{
	(void)state;
	int fd = make("file"), arg = 0;
	assert_int_equal(ioctl(fd, 0x12345678, &arg), -1);
	assert_int_equal(errno, ENOTTY);
	assert_int_equal(write(fd, "0123456789", 10), 10);
	assert_int_equal(fallocate(fd, 0x40, 0, 4096), -1); /* unshare */
	assert_int_equal(errno, EOPNOTSUPP);
	assert_int_equal(lseek(fd, 0, SEEK_DATA), 0);
	assert_int_equal(lseek(fd, 3, SEEK_HOLE), 10);
	assert_int_equal(lseek(fd, 10, SEEK_DATA), -1);
	assert_int_equal(errno, ENXIO);
	close(fd);
}

static int tests(void)
{
	const struct CMUnitTest all[] = {
		cmocka_unit_test_setup_teardown(link_counts, begin, end),
		cmocka_unit_test_setup_teardown(nameless, begin, end),
		cmocka_unit_test_setup_teardown(directories, begin, end),
		cmocka_unit_test_setup_teardown(tmpfile_linkat, begin, end),
		cmocka_unit_test_setup_teardown(birth_time, begin, end),
		cmocka_unit_test_setup_teardown(file_handles, begin, end),
		cmocka_unit_test_setup_teardown(long_names, begin, end),
		cmocka_unit_test_setup_teardown(content_again, begin, end),
		cmocka_unit_test_setup_teardown(counters, begin, end),
		cmocka_unit_test_setup_teardown(setuid_dropped, begin, end),
		cmocka_unit_test_setup_teardown(setgid_without_execution, begin, end),
		cmocka_unit_test_setup_teardown(ownership, begin, end),
		cmocka_unit_test_setup_teardown(refused_calls, begin, end),
	};
	return cmocka_run_group_tests_name("fuse-mounted", all, NULL, NULL);
}

int main(void)
{
	return run_guarded(tests);
}
