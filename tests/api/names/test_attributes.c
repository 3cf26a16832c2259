/*
 * test_attributes.c - times, events, what the kernel's calls bring with them, sizes of xattrs (A1, A7, F7, M9).
 */
#include "volume.h"

#define ROOT LINKFS_ROOT_INO

static void set_times(struct fixture *f, const char *path, int64_t ns)
{
	struct linkfs_setattr change = {.valid = LINKFS_SET_ATIME | LINKFS_SET_MTIME, .atime_ns = ns, .mtime_ns = ns};

	assert_int_equal(linkfs_path_setattr(f->v, NULL, ROOT, path, LINKFS_NOFOLLOW, &change), 0);
}

static void times(void **state)
{
	struct fixture *f = *state;
	struct linkfs_setattr change = {.valid = LINKFS_SET_ATIME, .atime_ns = -5000000001};
	struct linkfs_stat before, after;

	make(f, "f", S_IFREG | 0644);
	make(f, "d", S_IFDIR | 0755);
	before = look(f, "f");
	assert_true(before.btime_ns == before.mtime_ns && before.mtime_ns == before.ctime_ns);
	/* One time, before 1970, to the nanosecond; the other is left, ctime is now. */
	assert_int_equal(linkfs_path_setattr(f->v, NULL, ROOT, "f", 0, &change), 0);
	after = look(f, "f");
	assert_true(after.atime_ns == -5000000001);
	assert_true(after.mtime_ns == before.mtime_ns && after.ctime_ns > before.ctime_ns);
	assert_true(after.btime_ns == before.btime_ns);
	/* After 2106. */
	change = (struct linkfs_setattr){.valid = LINKFS_SET_MTIME | LINKFS_SET_ATIME_NOW,
					 .mtime_ns = 5000000000123456789};
	assert_int_equal(linkfs_path_setattr(f->v, NULL, ROOT, "f", 0, &change), 0);
	after = look(f, "f");
	assert_true(after.mtime_ns == 5000000000123456789 && after.atime_ns == after.ctime_ns);
	/* Names change the directory's times and the file's ctime, and not its mtime. */
	set_times(f, "f", 1000);
	set_times(f, "d", 1000);
	before = look(f, "f");
	assert_int_equal(linkfs_path_link(f->v, NULL, ROOT, "f", ROOT, "d/g", 0), 0);
	after = look(f, "f");
	assert_true(after.ctime_ns > before.ctime_ns && after.mtime_ns == 1000 && after.atime_ns == 1000);
	assert_true(look(f, "d").mtime_ns == after.ctime_ns && look(f, "d").atime_ns == 1000);
	set_times(f, "d", 1000);
	set_times(f, "/", 1000);
	assert_int_equal(linkfs_path_rename(f->v, NULL, ROOT, "d/g", ROOT, "h", 0), 0);
	assert_true(look(f, "d").mtime_ns > 1000 && look(f, "/").mtime_ns > 1000);
	assert_true(look(f, "f").ctime_ns > after.ctime_ns && look(f, "f").mtime_ns == 1000);
	set_times(f, "/", 1000);
	before = look(f, "f");
	assert_int_equal(linkfs_path_unlink(f->v, NULL, ROOT, "h"), 0);
	assert_true(look(f, "f").ctime_ns > before.ctime_ns && look(f, "/").mtime_ns > 1000);
	/* ext4: truncating to the size it has changes the times. */
	set_times(f, "f", 1000);
	change = (struct linkfs_setattr){.valid = LINKFS_SET_SIZE, .size = 0};
	assert_int_equal(linkfs_path_setattr(f->v, NULL, ROOT, "f", 0, &change), 0);
	assert_true(look(f, "f").mtime_ns > 1000);
	/* A rename of a name onto another of the same file changes nothing. */
	assert_int_equal(linkfs_path_link(f->v, NULL, ROOT, "f", ROOT, "g", 0), 0);
	before = look(f, "f");
	assert_int_equal(linkfs_path_rename(f->v, NULL, ROOT, "f", ROOT, "g", 0), 0);
	after = look(f, "f");
	assert_memory_equal(&before, &after, sizeof(before));
}

/* M9: relatime, unless the volume was opened otherwise. */
static void access_times(void **state)
{
	struct fixture *f = *state;
	struct linkfs_setattr change = {.valid = LINKFS_SET_ATIME, .atime_ns = 1000};
	struct linkfs_dir *dir;
	const struct linkfs_entry *entry;
	struct linkfs_stat st;
	int64_t seen;
	char buf[8];
	size_t len;

	assert_int_equal(linkfs_path_symlink(f->v, NULL, "t", ROOT, "l", &st), 0);
	assert_int_equal(linkfs_path_setattr(f->v, NULL, ROOT, "l", LINKFS_NOFOLLOW, &change), 0);
	assert_int_equal(linkfs_path_readlink(f->v, NULL, ROOT, "l", buf, sizeof(buf), &len), 0);
	seen = look(f, "l").atime_ns;
	assert_true(seen > 1000);
	assert_true(look(f, "l").ctime_ns < seen);
	assert_int_equal(linkfs_node_readlink(f->v, st.ino, buf, sizeof(buf), &len), 0);
	assert_true(look(f, "l").atime_ns == seen);
	make(f, "d", S_IFDIR | 0755);
	assert_int_equal(linkfs_path_setattr(f->v, NULL, ROOT, "d", 0, &change), 0);
	assert_int_equal(linkfs_dir_open(f->v, NULL, ROOT, "d", &dir), 0);
	assert_int_equal(linkfs_dir_read(dir, &entry), 0);
	linkfs_dir_close(dir);
	assert_true(look(f, "d").atime_ns > 1000);
	assert_int_equal(linkfs_volume_close(f->v), 0);
	open_volume(f, LINKFS_OPEN_NOATIME);
	assert_int_equal(linkfs_path_setattr(f->v, NULL, ROOT, "l", LINKFS_NOFOLLOW, &change), 0);
	assert_int_equal(linkfs_path_readlink(f->v, NULL, ROOT, "l", buf, sizeof(buf), &len), 0);
	assert_true(look(f, "l").atime_ns == 1000);
	assert_int_equal(linkfs_volume_close(f->v), 0);
	open_volume(f, LINKFS_OPEN_STRICTATIME);
	assert_int_equal(linkfs_path_readlink(f->v, NULL, ROOT, "l", buf, sizeof(buf), &len), 0);
	seen = look(f, "l").atime_ns;
	assert_int_equal(linkfs_path_readlink(f->v, NULL, ROOT, "l", buf, sizeof(buf), &len), 0);
	assert_true(look(f, "l").atime_ns > seen);
}

struct events {
	int entries, attrs, datas;
	char names[64];
};

static void observe(void *arg, const struct linkfs_event *events, size_t count)
{
	struct events *e = arg;

	for (size_t i = 0; i < count; i++) {
		e->entries += events[i].kind == LINKFS_EVENT_ENTRY;
		e->attrs += events[i].kind == LINKFS_EVENT_ATTR;
		e->datas += events[i].kind == LINKFS_EVENT_DATA;
		if (events[i].kind == LINKFS_EVENT_ENTRY)
			strncat(e->names, events[i].name, events[i].name_len);
	}
}

/* The observer hears of every change but the kernel's own, and of none that did not happen. */
static void events(void **state)
{
	struct fixture *f = *state;
	const struct linkfs_cred kernel = {.umask = 022, .flags = LINKFS_CRED_KERNEL};
	struct linkfs_make how = {.mode = S_IFREG | 0644};
	struct linkfs_setattr change = {.valid = LINKFS_SET_MODE, .mode = 0600};
	struct events e = {0};
	uint64_t ino;

	linkfs_volume_observe(f->v, observe, &e);
	ino = make(f, "f", S_IFREG | 0644);
	assert_int_equal(e.entries, 1);
	assert_int_equal(linkfs_path_make(f->v, NULL, ROOT, "f", &how, NULL), LINKFS_EEXIST);
	assert_int_equal(e.entries, 1);
	assert_int_equal(linkfs_path_rename(f->v, NULL, ROOT, "f", ROOT, "g", 0), 0);
	assert_int_equal(e.entries, 3);
	assert_string_equal(e.names, "ffg");
	e.attrs = 0;
	assert_int_equal(linkfs_node_setattr(f->v, NULL, ino, &change, NULL), 0);
	assert_int_equal(e.attrs, 1);
	assert_int_equal(linkfs_node_setxattr(f->v, NULL, ino, "user.a", "x", 1, 0), 0);
	assert_int_equal(e.attrs, 2);
	assert_int_equal(linkfs_node_link(f->v, NULL, ino, ROOT, "h", 1, 0, NULL), 0);
	assert_int_equal(e.attrs, 3);
	change = (struct linkfs_setattr){.valid = LINKFS_SET_SIZE, .size = 9};
	assert_int_equal(linkfs_node_setattr(f->v, NULL, ino, &change, NULL), 0);
	assert_int_equal(e.datas, 1);
	e = (struct events){0};
	assert_int_equal(linkfs_node_make(f->v, &kernel, ROOT, "k", 1, &how, 0, NULL), 0);
	assert_int_equal(linkfs_node_setattr(f->v, &kernel, ino, &change, NULL), 0);
	assert_int_equal(linkfs_node_unlink(f->v, &kernel, ROOT, "k", 1), 0);
	assert_int_equal(e.entries + e.attrs + e.datas, 0);
	linkfs_volume_observe(f->v, NULL, NULL);
}

/* The kernel has checked: nothing is refused for rights, and what a change brings with it happens all the same. */
static void kernel_calls(void **state)
{
	struct fixture *f = *state;
	const struct linkfs_cred kernel = {.uid = 2000, .gid = 2000, .umask = 027, .flags = LINKFS_CRED_KERNEL};
	struct linkfs_make how = {.mode = S_IFREG | 06777};
	struct linkfs_setattr change = {.valid = LINKFS_SET_MODE, .mode = 0700};
	struct linkfs_stat st, d;
	size_t len;
	char buf[64];

	make(f, "d", S_IFDIR | 0700);
	d = look(f, "d");
	assert_int_equal(linkfs_path_setattr(f->v, NULL, ROOT, "d", 0, &change), 0);
	assert_int_equal(linkfs_node_make(f->v, &kernel, d.ino, "f", 1, &how, 0, &st), 0);
	assert_int_equal(st.uid, 2000);
	assert_int_equal(st.mode, S_IFREG | 06750);
	change = (struct linkfs_setattr){.valid = LINKFS_SET_SIZE, .size = 3};
	assert_int_equal(linkfs_node_setattr(f->v, &kernel, st.ino, &change, &st), 0);
	assert_int_equal(st.mode & 07000, 06000);
	change.valid |= LINKFS_SET_KILL_SUIDGID;
	assert_int_equal(linkfs_node_setattr(f->v, &kernel, st.ino, &change, &st), 0);
	assert_int_equal(st.mode & 07000, 0);
	change = (struct linkfs_setattr){.valid = LINKFS_SET_MODE, .mode = 04755};
	assert_int_equal(linkfs_node_setattr(f->v, &kernel, st.ino, &change, &st), 0);
	change = (struct linkfs_setattr){.valid = LINKFS_SET_UID | LINKFS_SET_KILL_SUIDGID, .uid = 5};
	assert_int_equal(linkfs_node_setattr(f->v, &kernel, st.ino, &change, &st), 0);
	assert_int_equal(st.mode, S_IFREG | 0755);
	assert_int_equal(st.uid, 5);
	change = (struct linkfs_setattr){.valid = LINKFS_SET_CTIME | LINKFS_SET_MTIME, .mtime_ns = 7, .ctime_ns = 8};
	assert_int_equal(linkfs_node_setattr(f->v, &kernel, st.ino, &change, &st), 0);
	assert_true(st.mtime_ns == 7 && st.ctime_ns == 8);
	assert_int_equal(linkfs_node_setattr(f->v, NULL, st.ino, &change, &st), 0);
	assert_true(st.ctime_ns != 8);
	/* The list is for the user who asks, even so. */
	assert_int_equal(linkfs_node_setxattr(f->v, &kernel, st.ino, "trusted.a", "x", 1, 0), 0);
	assert_int_equal(linkfs_node_listxattr(f->v, &kernel, st.ino, buf, sizeof(buf), &len), 0);
	assert_int_equal(len, 0);
	assert_int_equal(linkfs_node_unlink(f->v, &kernel, d.ino, "f", 1), 0);
}

/* Buffers too small for values and lists; more names than a list may hold. */
static void xattr_sizes(void **state)
{
	struct fixture *f = *state;
	uint64_t ino = make(f, "f", S_IFREG | 0644);
	char name[256], *list = malloc(70000);
	size_t len = 77;
	int rc = 0, n;

	assert_non_null(list);
	assert_int_equal(linkfs_node_setxattr(f->v, NULL, ino, "user.abc", "12345", 5, 0), 0);
	assert_int_equal(linkfs_node_getxattr(f->v, NULL, ino, "user.abc", NULL, 0, &len), 0);
	assert_int_equal(len, 5);
	len = 77;
	assert_int_equal(linkfs_node_getxattr(f->v, NULL, ino, "user.abc", list, 4, &len), LINKFS_ERANGE);
	assert_int_equal(len, 77);
	assert_int_equal(linkfs_node_listxattr(f->v, NULL, ino, NULL, 0, &len), 0);
	assert_int_equal(len, 9);
	assert_int_equal(linkfs_node_listxattr(f->v, NULL, ino, list, 8, &len), LINKFS_ERANGE);
	assert_int_equal(linkfs_node_listxattr(f->v, NULL, ino, list, 9, &len), 0);
	assert_memory_equal(list, "user.abc", 9);
	for (n = 0; n < 400 && rc == 0; n++) {
		memset(name, 'n', sizeof(name));
		memcpy(name, "user.", 5);
		(void)snprintf(name + 240, 16, "%015d", n);
		rc = linkfs_node_setxattr(f->v, NULL, ino, name, "x", 1, 0);
	}
	assert_int_equal(rc, LINKFS_ENOSPC);
	assert_int_equal(n, (65536 - 9) / 256 + 1);
	assert_int_equal(linkfs_node_listxattr(f->v, NULL, ino, list, 65536, &len), 0);
	assert_int_equal(len, 9 + (n - 1) * 256);
	/* Replacing one of them is no new name. */
	assert_int_equal(linkfs_node_setxattr(f->v, NULL, ino, "user.abc", "new", 3, 0), 0);
	assert_int_equal(linkfs_path_unlink(f->v, NULL, ROOT, "f"), 0);
	free(list);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(times), TEST(access_times), TEST(events), TEST(kernel_calls), TEST(xattr_sizes),
	};

	return cmocka_run_group_tests_name("attributes", tests, NULL, NULL);
}
