/*
 * test_replies.c - what each request asks of the library and what the kernel gets back, byte for byte: the agreement,
 * nodes and names. test_values.c has the rest.
 */
#include "test.h"

#include "fake.h"
#include <errno.h>
#include <fcntl.h>
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

static void lookup(uint64_t dir, const char *name)
{
	message_begin(&m, FUSE_LOOKUP, dir);
	message_name(&m, name);
}

static void negotiation(void **state)
{
	static struct linkfs_mount mount;
	struct fuse_init_in in = {
		.major = 7, .minor = 45, .max_readahead = 131072, .flags = UINT32_MAX, .flags2 = UINT32_MAX};
	(void)state;
	memset(&mount, 0, sizeof(mount));
	fake_reset();
	/* Nothing is served before INIT. */
	message_valid(&m, FUSE_GETATTR);
	assert_int_equal(message_send(&mount, &m, &r), -EIO);
	/* A kernel of protocol 8 is told our version and asks again. */
	in.major = 8;
	message_begin(&m, FUSE_INIT, 0);
	message_add(&m, &in, sizeof(in));
	const struct fuse_init_out *out = good(&mount, sizeof(*out));
	assert_int_equal(out->major, 7);
	assert_false(mount.conn.ready);
	/* One too old for what is used here is refused. */
	in.major = 7;
	in.minor = 12;
	message_begin(&m, FUSE_INIT, 0);
	message_add(&m, &in, sizeof(in));
	assert_int_equal(message_send(&mount, &m, &r), -EIO);
	assert_false(mount.conn.ready);

	in.minor = 45;
	message_begin(&m, FUSE_INIT, 0);
	message_add(&m, &in, sizeof(in));
	out = good(&mount, sizeof(*out));
	const uint32_t must = FUSE_ASYNC_READ | FUSE_BIG_WRITES | FUSE_ASYNC_DIO | FUSE_PARALLEL_DIROPS |
			      FUSE_DO_READDIRPLUS | FUSE_READDIRPLUS_AUTO | FUSE_EXPORT_SUPPORT | FUSE_DONT_MASK |
			      FUSE_POSIX_ACL | FUSE_HANDLE_KILLPRIV_V2 | FUSE_SETXATTR_EXT | FUSE_CACHE_SYMLINKS |
			      FUSE_EXPLICIT_INVAL_DATA | FUSE_MAX_PAGES | FUSE_INIT_EXT | FUSE_ATOMIC_O_TRUNC;
	const uint32_t must_not = FUSE_AUTO_INVAL_DATA | FUSE_HANDLE_KILLPRIV | FUSE_POSIX_LOCKS | FUSE_FLOCK_LOCKS |
				  FUSE_WRITEBACK_CACHE | FUSE_NO_OPEN_SUPPORT;
	assert_int_equal(out->flags & must, must);
	assert_int_equal(out->flags & must_not, 0);
	assert_int_equal(out->flags2, 0);
	assert_int_equal(out->time_gran, 1);
	assert_int_equal(out->max_pages, 256);
	assert_int_equal(out->max_write, 1048576);
	assert_true(mount.conn.ready);
	/* Once is enough. */
	assert_int_equal(message_send(&mount, &m, &r), -EIO);

	/* What the kernel does not offer is not taken. */
	memset(&mount, 0, sizeof(mount));
	in.flags = FUSE_BIG_WRITES | FUSE_DONT_MASK;
	message_begin(&m, FUSE_INIT, 0);
	message_add(&m, &in, sizeof(in));
	out = good(&mount, sizeof(*out));
	assert_int_equal(out->flags, FUSE_BIG_WRITES | FUSE_DONT_MASK);
}

/* M2: OPEN may be switched off, but then O_TRUNC must not be left to it. */
static void without_open(void **state)
{
	static struct linkfs_mount mount;
	(void)state;
	memset(&mount, 0, sizeof(mount));
	mount.conn.no_open = true;
	message_valid(&m, FUSE_INIT);
	const struct fuse_init_out *out = good(&mount, sizeof(*out));
	assert_int_equal(out->flags & FUSE_ATOMIC_O_TRUNC, 0);
	message_valid(&m, FUSE_OPEN);
	assert_int_equal(message_send(&mount, &m, &r), -ENOSYS);
	/* A kernel that cannot do without keeps both. */
	memset(&mount, 0, sizeof(mount));
	mount.conn.no_open = true;
	struct fuse_init_in in = {.major = 7, .minor = 45, .flags = FUSE_ATOMIC_O_TRUNC};
	message_begin(&m, FUSE_INIT, 0);
	message_add(&m, &in, sizeof(in));
	out = good(&mount, sizeof(*out));
	assert_int_equal(out->flags, FUSE_ATOMIC_O_TRUNC);
	message_valid(&m, FUSE_OPEN);
	assert_int_equal(message_send(&mount, &m, &r), 0);
}

static void lookups(void **state)
{
	struct linkfs_mount *mount = fake_mount();
	const struct fuse_entry_out *out;
	(void)state;
	fake_reset();
	fake.st.size = 123;
	fake.st.nlink = 3;
	fake.st.mtime_ns = -1;
	fake.st.atime_ns = 7300000000ll * 1000000000 + 5;
	lookup(1, "file");
	out = good(mount, sizeof(*out));
	assert_int_equal(out->nodeid, FAKE_FILE);
	assert_int_equal(out->attr.ino, FAKE_FILE);
	assert_int_equal(out->generation, 77);
	assert_true(out->entry_valid > 1ull << 32 && out->attr_valid > 1ull << 32);
	assert_int_equal(out->attr.size, 123);
	assert_int_equal(out->attr.nlink, 3);
	assert_true((int64_t)out->attr.mtime == -1);
	assert_int_equal(out->attr.mtimensec, 999999999);
	assert_true(out->attr.atime == 7300000000ull);
	assert_int_equal(out->attr.atimensec, 5);
	assert_int_equal(fake.cred.uid, 1000);
	assert_int_equal(fake.cred.gid, 100);
	assert_int_equal(fake.cred.flags, LINKFS_CRED_KERNEL);
	assert_int_equal(fake.holds[FAKE_FILE], 1);
	/* The kernel did not take the reply: it will not send a FORGET. */
	lk_fuse_undo(&r.rq, r.bytes, r.len);
	assert_int_equal(fake_held(), 0);

	/* An absent name is remembered for ever. */
	lookup(1, "absent");
	out = good(mount, sizeof(*out));
	assert_int_equal(out->nodeid, 0);
	assert_true(out->entry_valid > 1ull << 32);

	/* File handles: "." of any type, ".." of a directory; the root is known without being counted. */
	lookup(FAKE_FILE, ".");
	out = good(mount, sizeof(*out));
	assert_int_equal(out->nodeid, FAKE_FILE);
	assert_int_equal(fake.holds[FAKE_FILE], 1);
	lookup(FAKE_DIR, "..");
	out = good(mount, sizeof(*out));
	assert_int_equal(out->nodeid, 1);
	assert_int_equal(out->generation, 0);
	assert_int_equal(fake.holds[1], 0);
	lookup(1, ".");
	good(mount, sizeof(*out));
	assert_int_equal(fake.holds[1], 0);

	/* An unreadable volume is no absent name. */
	fake.result = LINKFS_ECORRUPT;
	lookup(1, "file");
	assert_int_equal(message_send(mount, &m, &r), -EIO);
}

static void forgets(void **state)
{
	struct linkfs_mount *mount = fake_mount();
	const struct fuse_forget_in forget = {.nlookup = 5};
	(void)state;
	fake_reset();
	fake.holds[FAKE_FILE] = 6;
	fake.holds[FAKE_DIR] = 2;
	message_begin(&m, FUSE_FORGET, FAKE_FILE);
	message_add(&m, &forget, sizeof(forget));
	assert_int_equal(message_send(mount, &m, &r), 1);
	assert_int_equal(fake.holds[FAKE_FILE], 1);
	message_valid(&m, FUSE_BATCH_FORGET);
	assert_int_equal(message_send(mount, &m, &r), 1);
	assert_int_equal(fake_held(), 0);
	/* The root was never held. */
	message_begin(&m, FUSE_FORGET, 1);
	message_add(&m, &forget, sizeof(forget));
	message_send(mount, &m, &r);
	assert_int_equal(fake.holds[1], 0);
	/* A count beyond what came is cut. */
	const struct fuse_batch_forget_in many = {.count = 1000000};
	const struct fuse_forget_one one = {.nodeid = FAKE_FILE, .nlookup = 3};
	fake.holds[FAKE_FILE] = 3;
	message_begin(&m, FUSE_BATCH_FORGET, 0);
	message_add(&m, &many, sizeof(many));
	message_add(&m, &one, sizeof(one));
	message_send(mount, &m, &r);
	assert_int_equal(fake_held(), 0);
}

static void making(void **state)
{
	struct linkfs_mount *mount = fake_mount();
	(void)state;
	fake_reset();
	message_valid(&m, FUSE_CREATE);
	const struct fuse_entry_out *out = good(mount, sizeof(struct fuse_entry_out) + sizeof(struct fuse_open_out));
	const struct fuse_open_out *file = (const void *)(out + 1);
	assert_int_equal(out->nodeid, FAKE_NEW);
	assert_int_equal(file->open_flags, FOPEN_KEEP_CACHE | FOPEN_NOFLUSH);
	assert_int_equal(fake.how.mode, S_IFREG | 0666);
	assert_int_equal(fake.cred.umask, 077);
	assert_string_equal(fake.name, "new");
	assert_int_equal(fake.holds[FAKE_NEW], 1);

	message_valid(&m, FUSE_MKDIR);
	good(mount, sizeof(*out));
	assert_int_equal(fake.how.mode, S_IFDIR | 0777);
	assert_int_equal(fake.cred.umask, 027);

	/* Device numbers beyond eight bits. */
	const struct fuse_mknod_in arg = {.mode = S_IFCHR | 0600, .rdev = 0xabc << 8 | 0x12 | 0x34500u << 12};
	message_begin(&m, FUSE_MKNOD, 1);
	message_add(&m, &arg, sizeof(arg));
	message_name(&m, "new");
	good(mount, sizeof(*out));
	assert_int_equal(fake.how.rdev_major, 0xabc);
	assert_int_equal(fake.how.rdev_minor, 0x34512);
	fake.st.rdev_major = 0xabc;
	fake.st.rdev_minor = 0x34512;
	message_valid(&m, FUSE_GETATTR);
	const struct fuse_attr_out *attr = good(mount, sizeof(*attr));
	assert_int_equal(attr->attr.rdev, arg.rdev);

	message_valid(&m, FUSE_SYMLINK);
	good(mount, sizeof(*out));
	assert_string_equal(fake.name2, "target/text");
	message_valid(&m, FUSE_LINK);
	out = good(mount, sizeof(*out));
	assert_int_equal(out->nodeid, FAKE_FILE);
	assert_int_equal(fake.length, FAKE_FILE);
	assert_int_equal(fake.ino, 1);
	assert_int_equal(fake.holds[FAKE_FILE], 1);
	message_valid(&m, FUSE_TMPFILE);
	good(mount, sizeof(*out) + sizeof(*file));
	assert_string_equal(fake.call, "tmpfile");
	message_valid(&m, FUSE_RENAME2);
	good(mount, 0);
	assert_int_equal(fake.flags, LINKFS_RENAME_NOREPLACE);
	assert_int_equal(fake.dir, FAKE_DIR);
	assert_string_equal(fake.name2, "new");

	/* The kernel checks no permission on what CREATE returns: an existing file must not come that way. */
	fake.result = LINKFS_EEXIST;
	message_valid(&m, FUSE_CREATE);
	assert_int_equal(message_send(mount, &m, &r), -ESTALE);
	struct fuse_create_in create = {.flags = O_CREAT | O_EXCL | O_RDWR, .mode = 0666};
	message_begin(&m, FUSE_CREATE, 1);
	message_add(&m, &create, sizeof(create));
	message_name(&m, "new");
	assert_int_equal(message_send(mount, &m, &r), -EEXIST);
}

static void symlink_text(void **state)
{
	struct linkfs_mount *mount = fake_mount();
	static char text[4200];
	(void)state;
	fake_reset();
	memset(text, 't', sizeof(text));
	for (size_t len = 4094; len <= 4097; len++) {
		message_begin(&m, FUSE_SYMLINK, 1);
		message_name(&m, "new");
		message_add(&m, text, len);
		message_add(&m, "", 1);
		assert_int_equal(message_send(mount, &m, &r), len <= 4095 ? 0 : -ENAMETOOLONG);
	}
	message_begin(&m, FUSE_SYMLINK, 1);
	message_name(&m, "new");
	message_name(&m, "");
	assert_int_equal(message_send(mount, &m, &r), -ENOENT);
	message_valid(&m, FUSE_READLINK);
	const char *out = good(mount, 5);
	assert_memory_equal(out, "ttttt", 5);
	assert_true(fake.size >= 4095);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(negotiation), cmocka_unit_test(without_open), cmocka_unit_test(lookups),
		cmocka_unit_test(forgets),     cmocka_unit_test(making),       cmocka_unit_test(symlink_text),
	};
	return cmocka_run_group_tests_name("fuse-replies", tests, NULL, NULL);
}
