/*
 * test_values.c - as test_replies.c, for what is in files: attributes, times, content, extended attributes, entries.
 */
#include "test.h"

#include "fake.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/stat.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

static struct message m;
static struct reply r;

static const void *good(struct linkfs_mount *mount, size_t size)
{
	assert_int_equal(message_send(mount, &m, &r), 0);
	const void *content = reply_content(&r, size);
	assert_non_null(content);
	return content;
}

static void set(uint32_t valid, uint64_t size, uint32_t expect)
{
	struct linkfs_mount *mount = fake_mount();
	const struct fuse_setattr_in arg = {.valid = valid,
					    .size = size,
					    .mode = S_IFREG | 04711,
					    .uid = 3,
					    .gid = 4,
					    .atime = (uint64_t)-5,
					    .atimensec = 999999999,
					    .mtime = 9,
					    .mtimensec = 1};
	fake_reset();
	message_begin(&m, FUSE_SETATTR, FAKE_FILE);
	message_add(&m, &arg, sizeof(arg));
	good(mount, sizeof(struct fuse_attr_out));
	assert_int_equal(fake.change.valid, expect);
}

static void setattr(void **state)
{
	(void)state;
	set(FATTR_MODE, 0, LINKFS_SET_MODE);
	assert_int_equal(fake.change.mode, 04711);
	set(FATTR_UID | FATTR_GID, 0, LINKFS_SET_UID | LINKFS_SET_GID);
	assert_int_equal(fake.change.uid, 3);
	assert_int_equal(fake.change.gid, 4);
	/* UTIME_NOW and UTIME_OMIT apart for each time. */
	set(FATTR_ATIME | FATTR_ATIME_NOW, 0, LINKFS_SET_ATIME_NOW);
	set(FATTR_MTIME | FATTR_ATIME | FATTR_ATIME_NOW, 0, LINKFS_SET_ATIME_NOW | LINKFS_SET_MTIME);
	assert_int_equal(fake.change.mtime_ns, 9000000001);
	set(FATTR_MTIME | FATTR_MTIME_NOW | FATTR_ATIME, 0, LINKFS_SET_ATIME | LINKFS_SET_MTIME_NOW);
	assert_true(fake.change.atime_ns == -4000000001);
	set(FATTR_CTIME | FATTR_MTIME, 0, LINKFS_SET_CTIME | LINKFS_SET_MTIME);
	/* truncate() leaves mtime alone when the size stays, ftruncate() does not: it comes with a file handle. */
	set(FATTR_SIZE | FATTR_LOCKOWNER, 7, LINKFS_SET_SIZE);
	assert_int_equal(fake.change.size, 7);
	set(FATTR_SIZE | FATTR_FH, 7, LINKFS_SET_SIZE | LINKFS_SET_MTIME_NOW);
	set(FATTR_SIZE | FATTR_KILL_SUIDGID, 7, LINKFS_SET_SIZE | LINKFS_SET_KILL_SUIDGID);
	/* Nothing left of the request: the kernel's order to drop setuid and setgid. */
	set(0, 0, LINKFS_SET_KILL_SUIDGID);
	set(FATTR_FH, 0, LINKFS_SET_KILL_SUIDGID);
}

/* Root's write takes capabilities off a file but leaves setuid: the same empty request, after a REMOVEXATTR. */
static void capability_dropped(void **state)
{
	struct linkfs_mount *mount = fake_mount();
	const struct fuse_setattr_in empty = {0};
	(void)state;
	for (uint32_t uid = 0; uid <= 1000; uid += 1000) {
		message_begin(&m, FUSE_REMOVEXATTR, FAKE_FILE);
		m.header.uid = uid;
		message_name(&m, "security.capability");
		good(mount, 0);
		for (int i = 0; i < 2; i++) {
			fake_reset();
			message_begin(&m, FUSE_SETATTR, FAKE_FILE);
			m.header.uid = uid;
			message_add(&m, &empty, sizeof(empty));
			good(mount, sizeof(struct fuse_attr_out));
			assert_string_equal(fake.call, uid == 0 && i == 0 ? "getattr" : "setattr");
		}
	}
}

/* What 64 bits of nanoseconds do not hold is clamped, not wrapped. */
static void far_times(void **state)
{
	(void)state;
	assert_true(lk_fuse_unpack_time(1ull << 40, 0) == INT64_MAX);
	assert_true(lk_fuse_unpack_time((uint64_t) - (1ll << 40), 0) == INT64_MIN);
	assert_true(lk_fuse_unpack_time(UINT64_MAX, 4000000000u) == -1);
	for (int64_t t = -3; t <= 3; t++) {
		struct fuse_attr attr;
		struct linkfs_stat st = {.ctime_ns = t * 500000000};
		lk_fuse_pack_attr(&attr, &st);
		assert_true(lk_fuse_unpack_time(attr.ctime, attr.ctimensec) == st.ctime_ns);
	}
}

static void birth_time(void **state)
{
	struct linkfs_mount *mount = fake_mount();
	(void)state;
	fake_reset();
	fake.st.btime_ns = -1500000000;
	fake.st.ctime_ns = 12;
	message_valid(&m, LK_FUSE_STATX);
	const struct lk_fuse_statx_out *out = good(mount, sizeof(*out));
	assert_int_equal(out->stat.mask, STATX_BASIC_STATS | STATX_BTIME);
	assert_true(out->stat.btime.sec == -2);
	assert_int_equal(out->stat.btime.nsec, 500000000);
	assert_int_equal(out->stat.ctime.nsec, 12);
	assert_int_equal(out->stat.mode, S_IFDIR | 0644);
	assert_int_equal(out->stat.ino, 1);
}

static void content(void **state)
{
	struct linkfs_mount *mount = fake_mount();
	struct fuse_read_in read = {.size = 1000, .offset = 5};
	(void)state;
	fake_reset();
	message_begin(&m, FUSE_READ, FAKE_FILE);
	message_add(&m, &read, sizeof(read));
	assert_int_equal(((const char *)good(mount, 1000))[999], 'r');
	assert_int_equal(fake.offset, 5);
	read.size = UINT32_MAX;
	message_begin(&m, FUSE_READ, FAKE_FILE);
	message_add(&m, &read, sizeof(read));
	good(mount, 1048576);

	message_valid(&m, FUSE_WRITE);
	const struct fuse_write_out *written = good(mount, sizeof(*written));
	assert_int_equal(written->size, 5);
	assert_int_equal(fake.offset, 10);
	assert_int_equal(fake.mode, 'h' + 'e' + 'l' + 'l' + 'o');
	assert_int_equal(fake.flags, 0);
	struct fuse_write_in write = {.size = 6, .write_flags = FUSE_WRITE_KILL_SUIDGID, .flags = O_DSYNC | O_DIRECT};
	message_begin(&m, FUSE_WRITE, FAKE_FILE);
	message_add(&m, &write, sizeof(write));
	message_add(&m, "hello", 5);
	assert_int_equal(message_send(mount, &m, &r), -EINVAL);
	message_add(&m, "!", 1);
	good(mount, sizeof(*written));
	assert_int_equal(fake.flags, LINKFS_WRITE_KILL_SUIDGID | LINKFS_WRITE_SYNC);

	struct fuse_open_in open = {.flags = O_RDWR | O_TRUNC, .open_flags = FUSE_OPEN_KILL_SUIDGID};
	message_begin(&m, FUSE_OPEN, FAKE_FILE);
	message_add(&m, &open, sizeof(open));
	const struct fuse_open_out *opened = good(mount, sizeof(*opened));
	assert_int_equal(opened->open_flags, FOPEN_KEEP_CACHE | FOPEN_NOFLUSH);
	assert_string_equal(fake.call, "setattr");
	assert_int_equal(fake.change.valid, LINKFS_SET_SIZE | LINKFS_SET_MTIME_NOW | LINKFS_SET_KILL_SUIDGID);
	assert_int_equal(fake.change.size, 0);

	message_valid(&m, FUSE_LSEEK);
	const struct fuse_lseek_out *at = good(mount, sizeof(*at));
	assert_int_equal(at->offset, 7);
	/* The first form of the copy answers in 32 bits: it must not promise more. */
	message_valid(&m, FUSE_COPY_FILE_RANGE);
	written = good(mount, sizeof(*written));
	assert_true(written->size <= UINT32_MAX && written->size % 4096 == 0 && written->size > 0);
	message_valid(&m, LK_FUSE_COPY_FILE_RANGE_64);
	const struct lk_fuse_copy_out *copied = good(mount, sizeof(*copied));
	assert_true(copied->bytes_copied == 5000000000);
	const struct fuse_fsync_in sync = {.fsync_flags = FUSE_FSYNC_FDATASYNC};
	message_begin(&m, FUSE_FSYNC, FAKE_FILE);
	message_add(&m, &sync, sizeof(sync));
	good(mount, 0);
	assert_int_equal(fake.flags, 1);
	message_valid(&m, FUSE_FSYNC);
	good(mount, 0);
	assert_int_equal(fake.flags, 0);
	message_valid(&m, FUSE_STATFS);
	const struct fuse_statfs_out *fs = good(mount, sizeof(*fs));
	assert_int_equal(fs->st.blocks, 100);
	assert_int_equal(fs->st.bavail, 50);
	assert_int_equal(fs->st.bsize, 4096);
	assert_int_equal(fs->st.namelen, 255);
}

static void xattrs(void **state)
{
	struct linkfs_mount *mount = fake_mount();
	char name[300];
	(void)state;
	fake_reset();
	message_valid(&m, FUSE_GETXATTR);
	assert_memory_equal(good(mount, 5), "value", 5);
	struct fuse_getxattr_in get = {.size = 0};
	message_begin(&m, FUSE_GETXATTR, FAKE_FILE);
	message_add(&m, &get, sizeof(get));
	message_name(&m, "user.name");
	const struct fuse_getxattr_out *size = good(mount, sizeof(*size));
	assert_int_equal(size->size, 5);
	get.size = 4;
	message_begin(&m, FUSE_GETXATTR, FAKE_FILE);
	message_add(&m, &get, sizeof(get));
	message_name(&m, "user.name");
	assert_int_equal(message_send(mount, &m, &r), -ERANGE);
	/* Questions about links, answered for the caller and not for the kernel. */
	get.size = 100;
	message_begin(&m, FUSE_GETXATTR, FAKE_FILE);
	message_add(&m, &get, sizeof(get));
	message_name(&m, "linkfs.names");
	assert_true(lk_fuse_asks_links(m.bytes, m.len));
	assert_memory_equal(good(mount, 14), "/a\n/b\\012\\134\n", 14);
	assert_int_equal(fake.cred.flags & LINKFS_CRED_KERNEL, 0);
	assert_int_equal(fake.cred.uid, m.header.uid);
	get.size = 13;
	message_begin(&m, FUSE_GETXATTR, FAKE_FILE);
	message_add(&m, &get, sizeof(get));
	message_name(&m, "linkfs.names");
	assert_int_equal(message_send(mount, &m, &r), -ERANGE);
	message_begin(&m, FUSE_GETXATTR, FAKE_FILE);
	message_add(&m, &get, sizeof(get));
	message_name(&m, "linkfs.referrers");
	good(mount, 0);
	message_begin(&m, FUSE_GETXATTR, FAKE_DIR);
	message_add(&m, &get, sizeof(get));
	message_name(&m, "linkfs.kind");
	assert_memory_equal(good(mount, 9), "directory", 9);
	message_begin(&m, FUSE_GETXATTR, FAKE_FILE);
	message_add(&m, &get, sizeof(get));
	message_name(&m, "linkfs.other");
	assert_int_equal(message_send(mount, &m, &r), -ENODATA);
	message_valid(&m, FUSE_LISTXATTR);
	assert_false(lk_fuse_asks_links(m.bytes, m.len));
	assert_memory_equal(good(mount, 14), "user.a\0user.b", 14);

	struct fuse_setxattr_in in = {.size = 5, .flags = 2, .setxattr_flags = FUSE_SETXATTR_ACL_KILL_SGID};
	message_begin(&m, FUSE_SETXATTR, FAKE_FILE);
	message_add(&m, &in, sizeof(in));
	message_name(&m, "user.name");
	message_add(&m, "value", 5);
	good(mount, 0);
	assert_int_equal(fake.flags, LINKFS_XATTR_REPLACE | LINKFS_XATTR_KILL_SGID);
	assert_string_equal(fake.name, "user.name");
	assert_string_equal(fake.name2, "value");
	message_add(&m, "x", 1); /* more than it says */
	assert_int_equal(message_send(mount, &m, &r), -EINVAL);
	in.size = 65537;
	static char big[65537];
	message_begin(&m, FUSE_SETXATTR, FAKE_FILE);
	message_add(&m, &in, sizeof(in));
	message_name(&m, "user.name");
	message_add(&m, big, sizeof(big));
	assert_int_equal(message_send(mount, &m, &r), -E2BIG);
	memset(name, 'n', sizeof(name));
	for (size_t len = 255; len <= 256; len++) {
		message_begin(&m, FUSE_REMOVEXATTR, FAKE_FILE);
		message_add(&m, name, len);
		message_add(&m, "", 1);
		assert_int_equal(message_send(mount, &m, &r), len == 255 ? 0 : -ERANGE);
	}
	/* A kernel without SETXATTR_EXT sends the short form. */
	mount->conn.agreed &= ~(uint64_t)FUSE_SETXATTR_EXT;
	in.size = 5;
	message_begin(&m, FUSE_SETXATTR, FAKE_FILE);
	message_add(&m, &in, 8);
	message_name(&m, "user.short");
	message_add(&m, "value", 5);
	good(mount, 0);
	assert_string_equal(fake.name, "user.short");
	assert_int_equal(fake.flags, LINKFS_XATTR_REPLACE);
}

/* Lists the whole directory with replies of one size, as the kernel does; returns the number of names. */
static unsigned list(struct linkfs_mount *mount, bool plus, uint32_t size)
{
	struct fuse_read_in in = {.size = size};
	unsigned names = 0;
	for (;;) {
		message_begin(&m, plus ? FUSE_READDIRPLUS : FUSE_READDIR, FAKE_DIR);
		message_add(&m, &in, sizeof(in));
		assert_int_equal(message_send(mount, &m, &r), 0);
		size_t at = sizeof(r.header);
		assert_true(r.len - at <= size);
		if (at == r.len)
			return names;
		while (at < r.len) {
			const struct fuse_direntplus *entry = (const void *)(r.bytes + at);
			const struct fuse_dirent *dirent = plus ? &entry->dirent : (const void *)(r.bytes + at);
			char expect[16];
			if (names < 2)
				snprintf(expect, sizeof(expect), "%s", names ? ".." : ".");
			else
				snprintf(expect, sizeof(expect), "entry%u", names);
			assert_int_equal(dirent->namelen, strlen(expect));
			assert_memory_equal(dirent->name, expect, strlen(expect));
			assert_int_equal(dirent->off, names + 1);
			assert_int_equal(dirent->type, names < 2 ? S_IFDIR >> 12 : S_IFREG >> 12);
			if (plus)
				assert_int_equal(entry->entry_out.nodeid, names < 2 ? 0 : FAKE_FILE);
			in.offset = dirent->off;
			at += plus ? FUSE_DIRENTPLUS_SIZE(entry) : FUSE_DIRENT_SIZE(dirent);
			names++;
		}
		assert_int_equal(at, r.len);
	}
}

static void directories(void **state)
{
	struct linkfs_mount *mount = fake_mount();
	(void)state;
	for (unsigned batch = 0; batch < 4; batch++) {
		for (uint32_t size = 200; size < 9000; size += 613) {
			fake_reset();
			fake.batch = batch;
			assert_int_equal(list(mount, false, size), FAKE_ENTRIES + 2);
			assert_int_equal(fake_held(), 0);
			assert_int_equal(list(mount, true, size), FAKE_ENTRIES + 2);
			assert_int_equal(fake.holds[FAKE_FILE], FAKE_ENTRIES);
		}
	}
	/* Every hold of a reply that was not taken goes back. */
	fake_reset();
	message_valid(&m, FUSE_READDIRPLUS);
	assert_int_equal(message_send(mount, &m, &r), 0);
	assert_true(fake_held() > 0);
	lk_fuse_undo(&r.rq, r.bytes, r.len);
	assert_int_equal(fake_held(), 0);
	/* No room for one entry. */
	const struct fuse_read_in in = {.size = 16};
	message_begin(&m, FUSE_READDIR, FAKE_DIR);
	message_add(&m, &in, sizeof(in));
	assert_int_equal(message_send(mount, &m, &r), -EINVAL);
}

/* One READDIR of FAKE_DIR; returns how often the library was asked for it. */
static unsigned readdir_at(struct linkfs_mount *mount, uint64_t offset, uint32_t size)
{
	const struct fuse_read_in in = {.offset = offset, .size = size};
	message_begin(&m, FUSE_READDIR, FAKE_DIR);
	message_add(&m, &in, sizeof(in));
	fake.readdirs = 0;
	assert_int_equal(message_send(mount, &m, &r), 0);
	const struct fuse_dirent *first = (const void *)(r.bytes + sizeof(r.header));
	assert_true(r.len > sizeof(r.header));
	assert_int_equal(first->off, offset + 1);
	return fake.readdirs;
}

/* What was read ahead is the answer to the request that goes on from there, once, while no name has changed. */
static void listing_ahead(void **state)
{
	enum { SIZE = 400 };
	struct linkfs_mount *mount = fake_mount();
	(void)state;
	fake_reset();
	mount->ahead = lk_fuse_ahead_new();
	assert_non_null(mount->ahead);
	assert_true(readdir_at(mount, 0, SIZE) > 0);
	uint64_t next = r.rq.next_cookie;
	assert_true(next > 2 && next < FAKE_ENTRIES);

	lk_fuse_ahead_make(&r.rq);
	assert_int_equal(readdir_at(mount, next, SIZE), 0);
	static struct reply ahead;
	memcpy(&ahead, &r, sizeof(ahead));
	assert_true(readdir_at(mount, next, SIZE) > 0); /* given once */
	assert_int_equal(r.len, ahead.len);
	assert_memory_equal(r.bytes + sizeof(r.header), ahead.bytes + sizeof(r.header), r.len - sizeof(r.header));
	assert_int_equal(r.rq.next_cookie, ahead.rq.next_cookie);

	readdir_at(mount, 0, SIZE);
	lk_fuse_ahead_make(&r.rq);
	fake.name_changes++;
	assert_true(readdir_at(mount, next, SIZE) > 0);

	readdir_at(mount, 0, SIZE);
	lk_fuse_ahead_make(&r.rq);
	assert_true(readdir_at(mount, next + 1, SIZE) > 0);
	readdir_at(mount, 0, SIZE);
	lk_fuse_ahead_make(&r.rq);
	assert_true(readdir_at(mount, next, SIZE + 100) > 0);

	/* A directory that ends: nothing is expected after the empty answer. */
	for (next = FAKE_ENTRIES; next; next = r.rq.next_cookie) {
		const struct fuse_read_in in = {.offset = next, .size = SIZE};
		message_begin(&m, FUSE_READDIR, FAKE_DIR);
		message_add(&m, &in, sizeof(in));
		assert_int_equal(message_send(mount, &m, &r), 0);
		assert_true(r.len > sizeof(r.header) || r.rq.next_cookie == 0);
	}
	lk_fuse_ahead_free(mount->ahead);
	mount->ahead = NULL;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(setattr),     cmocka_unit_test(capability_dropped),
		cmocka_unit_test(far_times),   cmocka_unit_test(birth_time),
		cmocka_unit_test(content),     cmocka_unit_test(xattrs),
		cmocka_unit_test(directories), cmocka_unit_test(listing_ahead),
	};
	return cmocka_run_group_tests_name("fuse-values", tests, NULL, NULL);
}
