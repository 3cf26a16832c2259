/*
 * behave_attr.c - times, extended attributes, setuid bits and file capabilities.
 */
#include "behave.h"

#include <stdlib.h>
#include <sys/statvfs.h>
#include <sys/xattr.h>
#include <time.h>

static void times_now_and_omit_each_alone(void **state)
{
	(void)state;
	put_file("f", "");
	const struct timespec set[2] = {{100, 5}, {200, 6}};
	OK(utimensat(AT_FDCWD, "f", set, 0));
	const struct timespec omit_a[2] = {{0, UTIME_OMIT}, {300, 7}};
	OK(utimensat(AT_FDCWD, "f", omit_a, 0));
	struct stat st = stat_of("f");
	assert_int_equal(st.st_atim.tv_sec, 100);
	assert_int_equal(st.st_atim.tv_nsec, 5);
	assert_int_equal(st.st_mtim.tv_sec, 300);
	assert_int_equal(st.st_mtim.tv_nsec, 7);
	const struct timespec omit_m[2] = {{400, 8}, {0, UTIME_OMIT}};
	OK(utimensat(AT_FDCWD, "f", omit_m, 0));
	st = stat_of("f");
	assert_int_equal(st.st_atim.tv_sec, 400);
	assert_int_equal(st.st_mtim.tv_sec, 300);
	time_t before = time(NULL) - 1;
	const struct timespec now_a[2] = {{0, UTIME_NOW}, {0, UTIME_OMIT}};
	OK(utimensat(AT_FDCWD, "f", now_a, 0));
	st = stat_of("f");
	assert_in_range(st.st_atim.tv_sec, before, time(NULL) + 1);
	assert_int_equal(st.st_mtim.tv_sec, 300);
	const struct timespec now_m[2] = {{500, 9}, {0, UTIME_NOW}};
	OK(utimensat(AT_FDCWD, "f", now_m, 0));
	st = stat_of("f");
	assert_int_equal(st.st_atim.tv_sec, 500);
	assert_in_range(st.st_mtim.tv_sec, before, time(NULL) + 1);
	struct timespec ctime = st.st_ctim;
	const struct timespec nothing[2] = {{0, UTIME_OMIT}, {0, UTIME_OMIT}};
	OK(utimensat(AT_FDCWD, "f", nothing, 0));
	st = stat_of("f");
	assert_int_equal(st.st_atim.tv_sec, 500);
	assert_memory_equal(&st.st_ctim, &ctime, sizeof(ctime));
	const struct timespec bad[2] = {{0, 1000000000}, {0, 0}};
	FAILS(EINVAL, utimensat(AT_FDCWD, "f", bad, 0));
	/* A symlink has times of its own. */
	OK(symlink("f", "s"));
	OK(utimensat(AT_FDCWD, "s", set, AT_SYMLINK_NOFOLLOW));
	assert_int_equal(stat_of("s").st_mtim.tv_sec, 200);
	assert_int_equal(stat_of("f").st_atim.tv_sec, 500);
}

static void times_reach_before_1970_and_after_2106(void **state)
{
	(void)state;
	put_file("f", "");
	/* 1910, the second before the epoch, 2106 + 1 s, 2250; both file systems hold these. */
	const time_t seconds[] = {-1893456000, -1, 4294967296, 8835984000};
	for (size_t i = 0; i < sizeof(seconds) / sizeof(seconds[0]); i++) {
		const struct timespec set[2] = {{seconds[i], 999999999}, {seconds[i], 1}};
		OK(utimensat(AT_FDCWD, "f", set, 0));
		drop_caches();
		struct stat st = stat_of("f");
		assert_int_equal(st.st_atim.tv_sec, seconds[i]);
		assert_int_equal(st.st_atim.tv_nsec, 999999999);
		assert_int_equal(st.st_mtim.tv_sec, seconds[i]);
		assert_int_equal(st.st_mtim.tv_nsec, 1);
	}
}

static int touch_now(const void *arg)
{
	return utimensat(AT_FDCWD, arg, NULL, 0) ? errno : 0;
}
static int touch_then(const void *arg)
{
	const struct timespec set[2] = {{1, 0}, {1, 0}};
	return utimensat(AT_FDCWD, arg, set, 0) ? errno : 0;
}

static void who_may_set_times(void **state)
{
	(void)state;
	need_root();
	put_file("f", "");
	OK(chmod("f", 0666));
	assert_int_equal(as_user(ALICE, ALICE, 0, 0, touch_now, "f"), 0);
	assert_int_equal(as_user(ALICE, ALICE, 0, 0, touch_then, "f"), EPERM);
	OK(chmod("f", 0644));
	assert_int_equal(as_user(ALICE, ALICE, 0, 0, touch_now, "f"), EACCES);
	OK(chown("f", ALICE, ALICE));
	OK(chmod("f", 0));
	assert_int_equal(as_user(ALICE, ALICE, 0, 0, touch_then, "f"), 0);
}

static bool later(struct timespec a, struct timespec b)
{
	return a.tv_sec > b.tv_sec || (a.tv_sec == b.tv_sec && a.tv_nsec > b.tv_nsec);
}
static void wait_a_tick(void)
{
	const struct timespec tick = {0, 12000000};
	(void)nanosleep(&tick, NULL);
}

static void changes_move_the_right_times(void **state)
{
	(void)state;
	put_file("f", "x");
	OK(mkdir("d", 0755));
	struct stat f = stat_of("f"), d = stat_of("d");
	wait_a_tick();
	OK(chmod("f", 0600));
	struct stat now = stat_of("f");
	assert_true(later(now.st_ctim, f.st_ctim));
	assert_false(later(now.st_mtim, f.st_mtim));
	f = now;
	wait_a_tick();
	int fd = open("f", O_WRONLY | O_APPEND);
	OK(fd);
	assert_int_equal(write(fd, "y", 1), 1);
	OK(close(fd));
	now = stat_of("f");
	assert_true(later(now.st_mtim, f.st_mtim));
	assert_true(later(now.st_ctim, f.st_ctim));
	f = now;
	wait_a_tick();
	OK(link("f", "d/f"));
	now = stat_of("f");
	assert_true(later(now.st_ctim, f.st_ctim));
	assert_false(later(now.st_mtim, f.st_mtim));
	struct stat d2 = stat_of("d");
	assert_true(later(d2.st_mtim, d.st_mtim));
	assert_true(later(d2.st_ctim, d.st_ctim));
	f = now;
	wait_a_tick();
	OK(unlink("d/f"));
	assert_true(later(stat_of("f").st_ctim, f.st_ctim));
	assert_true(later(stat_of("d").st_mtim, d2.st_mtim));
	f = stat_of("f");
	wait_a_tick();
	OK(setxattr("f", "user.a", "1", 1, 0));
	assert_true(later(stat_of("f").st_ctim, f.st_ctim));
	f = stat_of("f");
	wait_a_tick();
	OK(rename("f", "d/g"));
	assert_true(later(stat_of("d/g").st_ctim, f.st_ctim));
}

static void birth_time_is_told(void **state)
{
	(void)state;
	struct timespec before;
	OK(clock_gettime(CLOCK_REALTIME, &before));
	put_file("f", "");
	const struct timespec set[2] = {{1, 0}, {1, 0}};
	OK(utimensat(AT_FDCWD, "f", set, 0));
	struct statx stx;
	OK(statx(AT_FDCWD, "f", 0, STATX_ALL, &stx));
	assert_true(stx.stx_mask & STATX_BTIME);
	assert_in_range(stx.stx_btime.tv_sec, before.tv_sec - 1, before.tv_sec + 60);
	assert_int_equal(stx.stx_mtime.tv_sec, 1);
}

static void xattrs_obey_linux(void **state)
{
	(void)state;
	put_file("f", "");
	char v[64];
	FAILS(ENODATA, getxattr("f", "user.none", v, sizeof(v)));
	FAILS(ENODATA, removexattr("f", "user.none"));
	OK(setxattr("f", "user.a", "one", 3, XATTR_CREATE));
	FAILS(EEXIST, setxattr("f", "user.a", "two", 3, XATTR_CREATE));
	FAILS(ENODATA, setxattr("f", "user.b", "two", 3, XATTR_REPLACE));
	OK(setxattr("f", "user.a", "three", 5, XATTR_REPLACE));
	assert_int_equal(getxattr("f", "user.a", NULL, 0), 5);
	FAILS(ERANGE, getxattr("f", "user.a", v, 4));
	assert_int_equal(getxattr("f", "user.a", v, sizeof(v)), 5);
	assert_memory_equal(v, "three", 5);
	OK(setxattr("f", "user.empty", "", 0, 0));
	assert_int_equal(getxattr("f", "user.empty", v, sizeof(v)), 0);
	FAILS(EOPNOTSUPP, setxattr("f", "nonsense.a", "1", 1, 0));
	FAILS(EOPNOTSUPP, getxattr("f", "nonsense.a", v, 1));
	char list[256];
	ssize_t n = listxattr("f", list, sizeof(list));
	OK(n);
	assert_non_null(memmem(list, (size_t)n, "user.a", 7));
	assert_non_null(memmem(list, (size_t)n, "user.empty", 11));
	FAILS(ERANGE, listxattr("f", list, 3));
	char name[300] = "user.";
	memset(name + 5, 'x', 250);
	name[255] = 0;
	OK(setxattr("f", name, "1", 1, 0));
	name[255] = 'x';
	name[256] = 0;
	FAILS(ERANGE, setxattr("f", name, "1", 1, 0));
	/* user.* is for files and directories. */
	OK(symlink("f", "s"));
	FAILS(EPERM, lsetxattr("s", "user.a", "1", 1, 0));
	OK(mkfifo("p", 0666));
	FAILS(EPERM, setxattr("p", "user.a", "1", 1, 0));
	OK(removexattr("f", "user.a"));
	FAILS(ENODATA, getxattr("f", "user.a", v, sizeof(v)));
}

static int set_trusted(const void *arg)
{
	return setxattr(arg, "trusted.t", "1", 1, 0) ? errno : 0;
}
static int get_trusted(const void *arg)
{
	char v[8];
	return getxattr(arg, "trusted.t", v, sizeof(v)) < 0 ? errno : 0;
}
static int list_shows_trusted(const void *arg)
{
	char list[256];
	ssize_t n = listxattr(arg, list, sizeof(list));
	return n < 0 ? errno : memmem(list, (size_t)n, "trusted.t", 10) ? 1 : 0;
}
static int set_user(const void *arg)
{
	return setxattr(arg, "user.u", "1", 1, 0) ? errno : 0;
}
static int get_security(const void *arg)
{
	char v[8];
	return getxattr(arg, "security.s", v, sizeof(v)) < 0 ? errno : 0;
}
static int set_security(const void *arg)
{
	return setxattr(arg, "security.s", "2", 1, 0) ? errno : 0;
}

static void xattr_namespaces_have_owners(void **state)
{
	(void)state;
	need_root();
	put_file("f", "");
	OK(chmod("f", 0666));
	OK(setxattr("f", "trusted.t", "1", 1, 0));
	OK(setxattr("f", "security.s", "1", 1, 0));
	assert_int_equal(list_shows_trusted("f"), 1);
	assert_int_equal(as_user(ALICE, ALICE, 0, 0, set_trusted, "f"), EPERM);
	assert_int_equal(as_user(ALICE, ALICE, 0, 0, get_trusted, "f"), ENODATA);
	assert_int_equal(as_user(ALICE, ALICE, 0, 0, set_user, "f"), 0);
	assert_int_equal(as_user(ALICE, ALICE, 0, 0, get_security, "f"), 0);
	assert_int_equal(as_user(ALICE, ALICE, 0, 0, set_security, "f"), EPERM);
	OK(chmod("f", 0644));
	assert_int_equal(as_user(ALICE, ALICE, 0, 0, set_user, "f"), EACCES);
}

static int write_a_byte(const void *arg)
{
	int fd = open(arg, O_WRONLY);
	if (fd < 0)
		return errno;
	return pwrite(fd, "z", 1, 0) == 1 ? close(fd) : errno;
}
static int truncate_it(const void *arg)
{
	return truncate(arg, 0) ? errno : 0;
}

/* A valid file capability (version 2: cap_net_raw permitted). */
static const unsigned char capability[20] = {0, 0, 0, 2, 0, 32};

static void setuid_and_capabilities_are_dropped(void **state)
{
	(void)state;
	need_root();
	put_file("f", "text");
	OK(chown("f", ALICE, ALICE));
	char v[64];
	/* by a write of an ordinary user */
	OK(chmod("f", 06777));
	OK(setxattr("f", "security.capability", capability, sizeof(capability), 0));
	assert_int_equal(stat_of("f").st_mode & 07777, 06777);
	assert_int_equal(as_user(BOB, BOB, 0, 0, write_a_byte, "f"), 0);
	assert_int_equal(stat_of("f").st_mode & 07777, 0777);
	FAILS(ENODATA, getxattr("f", "security.capability", v, sizeof(v)));
	/* by truncation */
	OK(chmod("f", 06777));
	OK(setxattr("f", "security.capability", capability, sizeof(capability), 0));
	assert_int_equal(as_user(BOB, BOB, 0, 0, truncate_it, "f"), 0);
	assert_int_equal(stat_of("f").st_mode & 07777, 0777);
	FAILS(ENODATA, getxattr("f", "security.capability", v, sizeof(v)));
	/* by chown, also root's; setgid without group execution is a locking mark and stays */
	OK(chmod("f", 06777));
	OK(setxattr("f", "security.capability", capability, sizeof(capability), 0));
	OK(chown("f", BOB, BOB));
	assert_int_equal(stat_of("f").st_mode & 07777, 0777);
	FAILS(ENODATA, getxattr("f", "security.capability", v, sizeof(v)));
	OK(chmod("f", 06767));
	OK(chown("f", ALICE, ALICE));
	assert_int_equal(stat_of("f").st_mode & 07777, 02767);
	/* a directory keeps them */
	OK(mkdir("d", 0755));
	OK(chmod("d", 06755));
	OK(chown("d", BOB, BOB));
	assert_int_equal(stat_of("d").st_mode & 07777, 06755);
	/* root's own write keeps the bits, but not the capability */
	OK(chmod("f", 06777));
	OK(setxattr("f", "security.capability", capability, sizeof(capability), 0));
	assert_int_equal(write_a_byte("f"), 0);
	assert_int_equal(stat_of("f").st_mode & 07777, 06777);
	FAILS(ENODATA, getxattr("f", "security.capability", v, sizeof(v)));
}

static int chmod_setgid(const void *arg)
{
	return chmod(arg, 02755) ? errno : 0;
}
static int chown_to_team(const void *arg)
{
	return chown(arg, (uid_t)-1, TEAM) ? errno : 0;
}
static int chown_to_bob(const void *arg)
{
	return chown(arg, BOB, (gid_t)-1) ? errno : 0;
}

static void who_may_change_owner_and_mode(void **state)
{
	(void)state;
	need_root();
	put_file("f", "");
	OK(chown("f", ALICE, TEAM));
	assert_int_equal(as_user(BOB, BOB, TEAM, 0, chmod_setgid, "f"), EPERM);
	assert_int_equal(as_user(ALICE, ALICE, 0, 0, chmod_setgid, "f"), 0);
	assert_int_equal(stat_of("f").st_mode & 07777, 0755); /* not in the group: the bit is not given */
	assert_int_equal(as_user(ALICE, ALICE, TEAM, 0, chmod_setgid, "f"), 0);
	assert_int_equal(stat_of("f").st_mode & 07777, 02755);
	OK(chown("f", ALICE, ALICE));
	assert_int_equal(as_user(ALICE, ALICE, 0, 0, chown_to_team, "f"), EPERM);
	assert_int_equal(as_user(ALICE, ALICE, TEAM, 0, chown_to_team, "f"), 0);
	assert_int_equal(as_user(ALICE, ALICE, TEAM, 0, chown_to_bob, "f"), EPERM);
}

static void statfs_tells_names_and_space(void **state)
{
	(void)state;
	struct statvfs v;
	OK(statvfs(".", &v));
	assert_int_equal(v.f_namemax, 255);
	assert_true(v.f_blocks > 0 && v.f_bfree > 0 && v.f_bfree <= v.f_blocks && v.f_files > 0);
}

static const struct CMUnitTest tests[] = {
	BEHAVE(times_now_and_omit_each_alone),
	BEHAVE(times_reach_before_1970_and_after_2106),
	BEHAVE(who_may_set_times),
	BEHAVE(changes_move_the_right_times),
	BEHAVE(birth_time_is_told),
	BEHAVE(xattrs_obey_linux),
	BEHAVE(xattr_namespaces_have_owners),
	BEHAVE(setuid_and_capabilities_are_dropped),
	BEHAVE(who_may_change_owner_and_mode),
	BEHAVE(statfs_tells_names_and_space),
};
BEHAVE_MAIN(tests)
