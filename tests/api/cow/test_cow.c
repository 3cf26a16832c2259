/*
 * test_cow.c - names that get inodes of their own, and files that begin as copies (D8): equal in everything, apart at the first
 * write, and without a data block more until then.
 */
#include "test.h"

#include <linkfs.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define ROOT LINKFS_ROOT_INO
#define BLOCK 4096u
#define OK(call) assert_int_equal(call, 0)

static char *top;
static char path[4096];
static struct linkfs_volume *v;

static void open_it(uint32_t flags)
{
	struct linkfs_open_options o = {.flags = flags};
	struct linkfs_message why = {"no message"};
	if (linkfs_volume_open(path, &o, &v, &why))
		fail_msg("open: %s", why.text);
}

static void reopen(uint32_t flags)
{
	OK(linkfs_volume_close(v));
	open_it(flags);
}

static int setup(void **state)
{
	struct linkfs_create_options o = {.root_mode = 0777, .limit_bytes = 16 << 20};
	(void)state;
	top = lk_test_mkdir();
	(void)snprintf(path, sizeof(path), "%s/volume", top);
	OK(linkfs_volume_create(path, &o, NULL));
	open_it(0);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	OK(linkfs_volume_close(v));
	lk_test_rmdir(top);
	return 0;
}

static struct linkfs_stat status(const char *name)
{
	struct linkfs_stat st;
	int r = linkfs_path_stat(v, NULL, ROOT, name, LINKFS_NOFOLLOW, &st);
	if (r)
		fail_msg("%s: %s", name, linkfs_error_name(r));
	return st;
}

static void put(const char *name, uint64_t offset, char fill, size_t size)
{
	struct linkfs_file *file;
	char *bytes = malloc(size + 1);
	assert_non_null(bytes);
	memset(bytes, fill, size);
	OK(linkfs_file_open(v, NULL, ROOT, name, LINKFS_O_WRITE | LINKFS_O_CREATE, 0644, &file));
	OK(linkfs_file_write(file, offset, bytes, size, NULL));
	linkfs_file_close(file);
	free(bytes);
}

static char *content(const char *name, size_t *size_out)
{
	struct linkfs_stat st = status(name);
	char *bytes = malloc(st.size + 1);
	assert_non_null(bytes);
	OK(linkfs_node_read(v, st.ino, 0, bytes, st.size, size_out));
	assert_int_equal(*size_out, st.size);
	return bytes;
}

static void assert_same(const char *a, const char *b)
{
	size_t an, bn;
	char *ap = content(a, &an), *bp = content(b, &bn);
	assert_int_equal(an, bn);
	assert_memory_equal(ap, bp, an);
	free(ap);
	free(bp);
}

static char byte_at(const char *name, uint64_t offset)
{
	char c = 0;
	size_t n;
	OK(linkfs_node_read(v, status(name).ino, offset, &c, 1, &n));
	assert_int_equal(n, 1);
	return c;
}

static uint64_t blocks_used(void)
{
	struct linkfs_info info;
	OK(linkfs_volume_info(v, &info));
	return info.data_blocks_used;
}

static void link_to(const char *from, const char *to)
{
	OK(linkfs_path_link(v, NULL, ROOT, from, ROOT, to, 0));
}

/* What makes two files alike but for their numbers and the times of birth and change. */
static void assert_alike(const struct linkfs_stat *a, const struct linkfs_stat *b)
{
	assert_int_equal(a->mode, b->mode);
	assert_int_equal(a->uid, b->uid);
	assert_int_equal(a->gid, b->gid);
	assert_int_equal(a->size, b->size);
	assert_int_equal(a->blocks, b->blocks);
	assert_int_equal(a->atime_ns, b->atime_ns);
	assert_int_equal(a->mtime_ns, b->mtime_ns);
	assert_int_equal(a->rdev_major, b->rdev_major);
	assert_int_equal(a->rdev_minor, b->rdev_minor);
}

static void assert_xattr(const char *name, const char *xattr, const char *value)
{
	char buf[64];
	size_t n;
	OK(linkfs_node_getxattr(v, NULL, status(name).ino, xattr, buf, sizeof(buf), &n));
	assert_int_equal(n, strlen(value));
	assert_memory_equal(buf, value, n);
}

static void a_name_gets_its_own_inode(void **state)
{
	(void)state;
	/* 10 blocks and a bit: the bit's block is shared too. */
	put("a", 0, 'x', 10 * BLOCK + 100);
	struct linkfs_setattr change = {.valid = LINKFS_SET_MODE | LINKFS_SET_UID | LINKFS_SET_GID | LINKFS_SET_MTIME |
						 LINKFS_SET_ATIME,
					.mode = 06751,
					.uid = 1000,
					.gid = 100,
					.mtime_ns = 123456789,
					.atime_ns = 987654321};
	OK(linkfs_path_setattr(v, NULL, ROOT, "a", 0, &change));
	OK(linkfs_node_setxattr(v, NULL, status("a").ino, "user.colour", "red", 3, 0));
	OK(linkfs_node_setxattr(v, NULL, status("a").ino, "trusted.t", "", 0, 0));
	OK(linkfs_node_setxattr(v, NULL, status("a").ino, "security.s", "1", 1, 0));
	link_to("a", "b");
	link_to("a", "c");
	OK(linkfs_volume_sync(v));
	uint64_t used = blocks_used();
	struct linkfs_stat a = status("a"), out, b;
	OK(linkfs_path_unshare(v, NULL, ROOT, "b", &out));
	b = status("b");
	assert_int_equal(out.ino, b.ino);
	assert_true(b.ino != a.ino);
	assert_int_equal(b.nlink, 1);
	assert_int_equal(status("a").nlink, 2);
	assert_int_equal(status("c").ino, a.ino);
	assert_alike(&a, &b);
	assert_int_equal(b.mode & 07777, 06751);
	assert_xattr("b", "user.colour", "red");
	assert_xattr("b", "trusted.t", "");
	assert_xattr("b", "security.s", "1");
	OK(linkfs_volume_sync(v));
	assert_int_equal(blocks_used(), used);
	assert_same("a", "b");

	/* Apart from here on, both ways. */
	put("a", 5 * BLOCK, 'y', 1);
	put("b", 7 * BLOCK, 'z', 1);
	put("b", 10 * BLOCK + 100, 'w', 10);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(byte_at("c", 5 * BLOCK), 'y');
		assert_int_equal(byte_at("b", 5 * BLOCK), 'x');
		assert_int_equal(byte_at("a", 7 * BLOCK), 'x');
		assert_int_equal(byte_at("b", 7 * BLOCK), 'z');
		assert_int_equal(byte_at("b", 10 * BLOCK + 99), 'x');
		assert_int_equal(byte_at("b", 10 * BLOCK + 109), 'w');
		assert_int_equal(status("a").size, 10 * BLOCK + 100);
		reopen(0);
	}
	assert_int_equal(blocks_used(), used + 3);
	/* The space comes back with the last of them. */
	OK(linkfs_path_unlink(v, NULL, ROOT, "a"));
	OK(linkfs_path_unlink(v, NULL, ROOT, "c"));
	OK(linkfs_volume_sync(v));
	assert_int_equal(blocks_used(), 11);
	OK(linkfs_path_unlink(v, NULL, ROOT, "b"));
	OK(linkfs_volume_sync(v));
	assert_int_equal(blocks_used(), 0);
}

static void a_name_that_is_alone_stays(void **state)
{
	(void)state;
	put("a", 0, 'x', 5000);
	struct linkfs_stat a = status("a"), out;
	OK(linkfs_path_unshare(v, NULL, ROOT, "a", &out));
	assert_int_equal(out.ino, a.ino);
	assert_int_equal(status("a").ctime_ns, a.ctime_ns);
}

/* Contents of every shape: none, inline, sparse, in many pieces, allocated and not written. */
static void contents(void **state)
{
	(void)state;
	put("empty", 0, 'x', 0);
	put("inline", 0, 'x', 300);
	put("sparse", 0, 'x', 1);
	put("sparse", UINT64_C(1) << 40, 'y', BLOCK);
	for (uint32_t i = 0; i < 600; i++)
		put("pieces", (uint64_t)i * 2 * BLOCK, (char)('a' + i % 26), BLOCK);
	put("unwritten", 0, 'x', BLOCK);
	OK(linkfs_node_allocate(v, NULL, status("unwritten").ino, 0, BLOCK, 100 * BLOCK));
	put("hole", 0, 'x', 0);
	struct linkfs_setattr grow = {.valid = LINKFS_SET_SIZE, .size = 100 * BLOCK};
	OK(linkfs_path_setattr(v, NULL, ROOT, "hole", 0, &grow));
	put("short", 0, 'x', 20 * BLOCK);
	struct linkfs_setattr cut = {.valid = LINKFS_SET_SIZE, .size = BLOCK / 2};
	OK(linkfs_path_setattr(v, NULL, ROOT, "short", 0, &cut));
	OK(linkfs_volume_sync(v));
	uint64_t used = blocks_used();
	static const char *const names[] = {"empty", "inline", "pieces", "unwritten", "hole", "short"};
	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
		char copy[32];
		(void)snprintf(copy, sizeof(copy), "%s2", names[i]);
		OK(linkfs_path_clone(v, NULL, ROOT, names[i], ROOT, copy, 0, NULL));
		assert_same(names[i], copy);
		put(copy, 3 * BLOCK + 1, 'q', 1);
		assert_true(status(names[i]).size <= 3 * BLOCK + 1 || byte_at(names[i], 3 * BLOCK + 1) != 'q');
		put(names[i], 4 * BLOCK, 'r', 1);
		assert_true(status(copy).size <= 4 * BLOCK || byte_at(copy, 4 * BLOCK) != 'r');
		OK(linkfs_path_unlink(v, NULL, ROOT, copy));
	}
	/* What lay past a size does not come back. */
	assert_int_equal(byte_at("short", BLOCK / 2 + 1), 0);
	OK(linkfs_path_clone(v, NULL, ROOT, "sparse", ROOT, "sparse2", 0, NULL));
	assert_int_equal(status("sparse2").size, (UINT64_C(1) << 40) + BLOCK);
	assert_int_equal(status("sparse2").blocks, status("sparse").blocks);
	assert_int_equal(byte_at("sparse2", 0), 'x');
	assert_int_equal(byte_at("sparse2", BLOCK), 0);
	assert_int_equal(byte_at("sparse2", UINT64_C(1) << 40), 'y');
	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
		OK(linkfs_path_unlink(v, NULL, ROOT, names[i]));
	OK(linkfs_path_unlink(v, NULL, ROOT, "sparse"));
	OK(linkfs_path_unlink(v, NULL, ROOT, "sparse2"));
	OK(linkfs_volume_sync(v));
	assert_true(used > 600);
	assert_int_equal(blocks_used(), 0);
}

static void other_types(void **state)
{
	(void)state;
	struct linkfs_make fifo = {.mode = S_IFIFO | 0640},
			   device = {.mode = S_IFBLK | 0600, .rdev_major = 7, .rdev_minor = 3};
	char text[64];
	size_t n;
	OK(linkfs_path_symlink(v, NULL, "some/../where", ROOT, "link", NULL));
	OK(linkfs_path_make(v, NULL, ROOT, "fifo", &fifo, NULL));
	OK(linkfs_path_make(v, NULL, ROOT, "device", &device, NULL));
	OK(linkfs_path_make(v, NULL, ROOT, "dir", &(struct linkfs_make){.mode = S_IFDIR | 0755}, NULL));
	static const char *const names[] = {"link", "fifo", "device"};
	for (size_t i = 0; i < 3; i++) {
		char other[32], copy[32];
		(void)snprintf(other, sizeof(other), "%s2", names[i]);
		(void)snprintf(copy, sizeof(copy), "%s3", names[i]);
		link_to(names[i], other);
		struct linkfs_stat before = status(names[i]), after;
		OK(linkfs_path_unshare(v, NULL, ROOT, other, NULL));
		after = status(other);
		assert_true(before.ino != after.ino);
		assert_alike(&before, &after);
		OK(linkfs_path_clone(v, NULL, ROOT, names[i], ROOT, copy, 0, NULL));
		after = status(copy);
		assert_alike(&before, &after);
	}
	OK(linkfs_path_readlink(v, NULL, ROOT, "link2", text, sizeof(text), &n));
	assert_int_equal(n, 13);
	assert_memory_equal(text, "some/../where", n);
	OK(linkfs_path_unlink(v, NULL, ROOT, "link"));
	OK(linkfs_path_readlink(v, NULL, ROOT, "link3", text, sizeof(text), &n));
	assert_int_equal(linkfs_path_unshare(v, NULL, ROOT, "dir", NULL), LINKFS_EISDIR);
	assert_int_equal(linkfs_path_unshare(v, NULL, ROOT, "dir/", NULL), LINKFS_EISDIR);
	assert_int_equal(linkfs_path_unshare(v, NULL, ROOT, ".", NULL), LINKFS_EISDIR);
	assert_int_equal(linkfs_path_unshare(v, NULL, ROOT, "absent", NULL), LINKFS_ENOENT);
	assert_int_equal(linkfs_path_clone(v, NULL, ROOT, "dir", ROOT, "new", 0, NULL), LINKFS_EISDIR);
	assert_int_equal(linkfs_path_clone(v, NULL, ROOT, "fifo", ROOT, "fifo2", 0, NULL), LINKFS_EEXIST);
	assert_int_equal(linkfs_path_clone(v, NULL, ROOT, "absent", ROOT, "new", 0, NULL), LINKFS_ENOENT);
	/* A symlink is followed when asked. */
	put("file", 0, 'f', 10);
	OK(linkfs_path_symlink(v, NULL, "file", ROOT, "to-file", NULL));
	OK(linkfs_path_clone(v, NULL, ROOT, "to-file", ROOT, "file2", LINKFS_FOLLOW, NULL));
	assert_true(S_ISREG(status("file2").mode));
	reopen(LINKFS_OPEN_READONLY);
	assert_int_equal(linkfs_path_unshare(v, NULL, ROOT, "fifo", NULL), LINKFS_EROFS);
	assert_int_equal(linkfs_path_clone(v, NULL, ROOT, "file", ROOT, "new", 0, NULL), LINKFS_EROFS);
}

/* Who has the file open keeps the inode he opened, nameless at last. */
static void open_files_keep_their_inode(void **state)
{
	(void)state;
	struct linkfs_file *file;
	char c;
	size_t n;
	put("a", 0, 'x', 2 * BLOCK);
	link_to("a", "b");
	OK(linkfs_file_open(v, NULL, ROOT, "a", LINKFS_O_READ | LINKFS_O_WRITE, 0, &file));
	OK(linkfs_path_unshare(v, NULL, ROOT, "a", NULL));
	OK(linkfs_path_unlink(v, NULL, ROOT, "b"));
	OK(linkfs_file_write(file, 0, "y", 1, NULL));
	OK(linkfs_file_read(file, 0, &c, 1, &n));
	assert_int_equal(c, 'y');
	assert_int_equal(byte_at("a", 0), 'x');
	linkfs_file_close(file);
	OK(linkfs_volume_sync(v));
	assert_int_equal(blocks_used(), 2);
}

static void rights(void **state)
{
	(void)state;
	const struct linkfs_cred alice = {.uid = 1000, .gid = 1000, .umask = 027},
				 bob = {.uid = 1001, .gid = 1001, .umask = 022};
	struct linkfs_file *file;
	OK(linkfs_file_open(v, &alice, ROOT, "a", LINKFS_O_WRITE | LINKFS_O_CREATE, 0644, &file));
	OK(linkfs_file_write(file, 0, "hello", 5, NULL));
	linkfs_file_close(file);
	link_to("a", "b");
	OK(linkfs_node_setxattr(v, NULL, status("a").ino, "security.s", "1", 1, 0));
	OK(linkfs_node_setxattr(v, NULL, status("a").ino, "user.u", "1", 1, 0));
	assert_int_equal(linkfs_path_unshare(v, &bob, ROOT, "b", NULL), LINKFS_EPERM);
	/* The copy of another's file is one's own, with what cp would give it. */
	struct linkfs_setattr mode = {.valid = LINKFS_SET_MODE, .mode = 04755};
	char buf[8];
	size_t n;
	OK(linkfs_path_setattr(v, NULL, ROOT, "a", 0, &mode));
	OK(linkfs_path_clone(v, &bob, ROOT, "a", ROOT, "bobs", 0, NULL));
	assert_int_equal(status("bobs").uid, 1001);
	assert_int_equal(status("bobs").gid, 1001);
	assert_int_equal(status("bobs").mode & 07777, 0755);
	assert_same("a", "bobs");
	assert_int_equal(linkfs_node_getxattr(v, NULL, status("bobs").ino, "security.s", buf, 8, &n), LINKFS_ENODATA);
	assert_int_equal(linkfs_node_getxattr(v, NULL, status("bobs").ino, "user.u", buf, 8, &n), LINKFS_ENODATA);
	mode.mode = 0600;
	OK(linkfs_path_setattr(v, NULL, ROOT, "a", 0, &mode));
	assert_int_equal(linkfs_path_clone(v, &bob, ROOT, "a", ROOT, "bobs2", 0, NULL), LINKFS_EACCES);
	/* One's own is copied as it is, but a group that one is not in is not given. */
	struct linkfs_setattr group = {.valid = LINKFS_SET_GID | LINKFS_SET_MODE, .gid = 50, .mode = 06750};
	OK(linkfs_path_setattr(v, NULL, ROOT, "a", 0, &group));
	OK(linkfs_path_clone(v, &alice, ROOT, "a", ROOT, "alices", 0, NULL));
	assert_int_equal(status("alices").uid, 1000);
	assert_int_equal(status("alices").gid, 1000);
	assert_int_equal(status("alices").mode & 07777, 04750);
	assert_xattr("alices", "user.u", "1");
	assert_int_equal(linkfs_node_getxattr(v, NULL, status("alices").ino, "security.s", buf, 8, &n), LINKFS_ENODATA);
	/* unshare changes the number and nothing else. */
	OK(linkfs_path_unshare(v, &alice, ROOT, "b", NULL));
	assert_int_equal(status("b").gid, 50);
	assert_int_equal(status("b").mode & 07777, 06750);
	assert_xattr("b", "security.s", "1");
	/* A name in a directory that is not one's to write. */
	struct linkfs_setattr closed = {.valid = LINKFS_SET_MODE, .mode = 0755};
	link_to("a", "c");
	OK(linkfs_path_setattr(v, NULL, ROOT, "/", 0, &closed));
	assert_int_equal(linkfs_path_unshare(v, &alice, ROOT, "c", NULL), LINKFS_EACCES);
	assert_int_equal(linkfs_path_clone(v, &alice, ROOT, "a", ROOT, "d", 0, NULL), LINKFS_EACCES);
}

/* It costs no space, so a full volume has room for it; what is written then needs some. */
static void on_a_full_volume(void **state)
{
	(void)state;
	struct linkfs_file *file;
	char *bytes = calloc(1, 1 << 20);
	size_t size = 0;
	assert_non_null(bytes);
	memset(bytes, 'x', 1 << 20);
	OK(linkfs_file_open(v, NULL, ROOT, "a", LINKFS_O_WRITE | LINKFS_O_CREATE, 0644, &file));
	for (size_t step = 1 << 20; step >= BLOCK;) {
		int r = linkfs_file_write(file, size, bytes, step, NULL);
		assert_true(r == 0 || r == LINKFS_ENOSPC);
		size += r ? 0 : step;
		step /= r ? 2 : 1;
	}
	assert_int_equal(size, 16 << 20);
	OK(linkfs_path_clone(v, NULL, ROOT, "a", ROOT, "b", 0, NULL));
	assert_same("a", "b");
	assert_int_equal(linkfs_file_write(file, 0, "y", 1, NULL), LINKFS_ENOSPC);
	assert_same("a", "b");
	linkfs_file_close(file);
	free(bytes);
}

/* ---- of one moment ------------------------------------------------------------------------------------------------- */

enum { WHOLE = 64 * BLOCK };

static atomic_bool stop;

static void *writer_main(void *arg)
{
	uint64_t ino = *(uint64_t *)arg;
	char *bytes = malloc(WHOLE);
	for (unsigned i = 0; bytes && !atomic_load(&stop); i++) {
		memset(bytes, 'a' + (int)(i % 26), WHOLE);
		if (linkfs_node_write(v, NULL, ino, 0, bytes, WHOLE, 0, NULL, NULL))
			break;
	}
	free(bytes);
	return NULL;
}

/* Each write replaces the whole file; so a copy has one letter in it. */
static void copies_are_of_one_moment(void **state)
{
	(void)state;
	pthread_t thread;
	put("a", 0, 'a', WHOLE);
	uint64_t ino = status("a").ino;
	atomic_store(&stop, false);
	assert_int_equal(pthread_create(&thread, NULL, writer_main, &ino), 0);
	for (int i = 0; i < 60; i++) {
		size_t n;
		if (i % 2) {
			OK(linkfs_path_clone(v, NULL, ROOT, "a", ROOT, "copy", 0, NULL));
		} else {
			link_to("a", "copy");
			OK(linkfs_path_unshare(v, NULL, ROOT, "copy", NULL));
		}
		char *bytes = content("copy", &n);
		assert_int_equal(n, WHOLE);
		for (size_t k = 1; k < n; k++)
			assert_int_equal(bytes[k], bytes[0]);
		free(bytes);
		OK(linkfs_path_unlink(v, NULL, ROOT, "copy"));
	}
	atomic_store(&stop, true);
	assert_int_equal(pthread_join(thread, NULL), 0);
	OK(linkfs_volume_sync(v));
	assert_int_equal(blocks_used(), WHOLE / BLOCK);
}

/* ---- against a model ------------------------------------------------------------------------------------------------- */

enum { FILES = 6, SIZE = 40 * BLOCK };

static uint8_t *model[FILES];
static size_t sizes[FILES];

static void change(struct lk_test_random *random, unsigned f, const char *name)
{
	uint64_t offset = lk_test_below(random, SIZE - 2 * BLOCK);
	size_t n = (size_t)lk_test_below(random, 2 * BLOCK) + 1;
	char fill = (char)lk_test_next(random);
	switch (lk_test_below(random, 3)) {
	case 0: {
		struct linkfs_setattr s = {.valid = LINKFS_SET_SIZE, .size = offset};
		OK(linkfs_path_setattr(v, NULL, ROOT, name, 0, &s));
		if (offset < sizes[f])
			memset(model[f] + offset, 0, sizes[f] - offset);
		sizes[f] = offset;
		break;
	}
	case 1:
		OK(linkfs_node_allocate(v, NULL, status(name).ino, LINKFS_ALLOC_PUNCH | LINKFS_ALLOC_KEEP_SIZE, offset,
					n));
		memset(model[f] + offset, 0, n);
		break;
	default:
		put(name, offset, fill, n);
		memset(model[f] + offset, fill, n);
		sizes[f] = sizes[f] > offset + n ? sizes[f] : offset + n;
		break;
	}
}

static void copies_of_copies(void **state)
{
	(void)state;
	struct lk_test_random random = {lk_test_seed()};
	char names[FILES][8];
	for (unsigned f = 0; f < FILES; f++) {
		(void)snprintf(names[f], sizeof(names[f]), "f%u", f);
		model[f] = calloc(1, SIZE);
		assert_non_null(model[f]);
		sizes[f] = 0;
		put(names[f], 0, 0, 0);
	}
	int rounds = lk_test_long() ? 20000 : 1500;
	for (int i = 0; i < rounds; i++) {
		unsigned f = (unsigned)lk_test_below(&random, FILES), g = (unsigned)lk_test_below(&random, FILES);
		if (f != g && lk_test_below(&random, 4) == 0) {
			OK(linkfs_path_unlink(v, NULL, ROOT, names[g]));
			if (lk_test_below(&random, 2)) {
				OK(linkfs_path_clone(v, NULL, ROOT, names[f], ROOT, names[g], 0, NULL));
			} else {
				link_to(names[f], names[g]);
				OK(linkfs_path_unshare(v, NULL, ROOT, names[lk_test_below(&random, 2) ? f : g], NULL));
			}
			memcpy(model[g], model[f], SIZE);
			sizes[g] = sizes[f];
		} else {
			change(&random, f, names[f]);
		}
		size_t n;
		char *bytes = content(names[f], &n);
		assert_int_equal(n, sizes[f]);
		assert_memory_equal(bytes, model[f], n);
		free(bytes);
		if (lk_test_below(&random, 200) == 0)
			reopen(0);
	}
	for (unsigned f = 0; f < FILES; f++) {
		size_t n;
		char *bytes = content(names[f], &n);
		assert_int_equal(n, sizes[f]);
		assert_memory_equal(bytes, model[f], n);
		free(bytes);
		OK(linkfs_path_unlink(v, NULL, ROOT, names[f]));
		free(model[f]);
	}
	OK(linkfs_volume_sync(v));
	assert_int_equal(blocks_used(), 0);
}

#define UNIT(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		UNIT(a_name_gets_its_own_inode),
		UNIT(a_name_that_is_alone_stays),
		UNIT(contents),
		UNIT(other_types),
		UNIT(open_files_keep_their_inode),
		UNIT(rights),
		UNIT(on_a_full_volume),
		UNIT(copies_are_of_one_moment),
		UNIT(copies_of_copies),
	};
	return cmocka_run_group_tests_name("api-cow", tests, NULL, NULL);
}
