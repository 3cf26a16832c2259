/*
 * test_dedupe.c - files with equal content (E7): digests say what may be equal, sharing changes nothing but the space, merging makes
 * one file of two, and what is not equal stays as it is, also while it is being written.
 */
#include "test.h"

#include <linkfs.h>
#include <linkfs_check.h>
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

static void open_it(void)
{
	struct linkfs_message why = {"no message"};
	if (linkfs_volume_open(path, NULL, &v, &why))
		fail_msg("open: %s", why.text);
}

static int setup(void **state)
{
	struct linkfs_create_options o = {.root_mode = 0777};
	(void)state;
	top = lk_test_mkdir();
	(void)snprintf(path, sizeof(path), "%s/volume", top);
	OK(linkfs_volume_create(path, &o, NULL));
	open_it();
	return 0;
}

/* Every test ends with a volume that is whole, every checksum looked at. */
static int teardown(void **state)
{
	struct linkfs_check_options o = {.flags = LINKFS_CHECK_DATA};
	struct linkfs_check_summary sum;
	(void)state;
	OK(linkfs_volume_close(v));
	OK(linkfs_check(path, &o, &sum, NULL));
	assert_int_equal(sum.problems, 0);
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

static uint64_t ino(const char *name)
{
	return status(name).ino;
}

static void write_at(const char *name, uint64_t offset, const void *bytes, size_t size)
{
	struct linkfs_file *file;
	OK(linkfs_file_open(v, NULL, ROOT, name, LINKFS_O_WRITE | LINKFS_O_CREATE, 0644, &file));
	OK(linkfs_file_write(file, offset, bytes, size, NULL));
	linkfs_file_close(file);
}

/* size bytes that depend on seed. */
static void put(const char *name, unsigned seed, size_t size)
{
	static unsigned char bytes[2 << 20];
	assert_true(size <= sizeof(bytes));
	for (size_t i = 0; i < size; i++)
		bytes[i] = (unsigned char)((i * 2654435761u + (i >> 12) * 97 + seed) >> 7);
	write_at(name, 0, bytes, size);
}

static void assert_same(const char *a, const char *b)
{
	size_t size = status(a).size, n;
	unsigned char *x = malloc(size + 1), *y = malloc(size + 1);
	assert_non_null(x);
	assert_non_null(y);
	assert_int_equal(size, status(b).size);
	OK(linkfs_node_read(v, ino(a), 0, x, size, &n));
	assert_int_equal(n, size);
	OK(linkfs_node_read(v, ino(b), 0, y, size, &n));
	assert_int_equal(n, size);
	assert_memory_equal(x, y, size);
	free(x);
	free(y);
}

static void set_size(const char *name, uint64_t size)
{
	struct linkfs_setattr change = {.valid = LINKFS_SET_SIZE, .size = size};
	OK(linkfs_node_setattr(v, NULL, ino(name), &change, NULL));
}

static uint64_t used(void)
{
	struct linkfs_info info;
	OK(linkfs_volume_info(v, &info));
	return info.data_blocks_used;
}

static bool digests_equal(const char *a, const char *b)
{
	uint64_t x[2], y[2];
	OK(linkfs_node_digest(v, ino(a), x));
	OK(linkfs_node_digest(v, ino(b), y));
	return x[0] == y[0] && x[1] == y[1];
}

static void a_digest_is_of_the_content_alone(void **state)
{
	static const size_t sizes[] = {0, 1, 100, 1000, 4095, 4096, 4097, 8192, 300000, 1 << 20, (1 << 20) + 5};
	static const char zeros[3 * BLOCK];
	char a[32], b[32];
	(void)state;
	for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
		(void)snprintf(a, sizeof(a), "/a%zu", i);
		(void)snprintf(b, sizeof(b), "/b%zu", i);
		put(a, 5, sizes[i]);
		/* The same in pieces, from the end, through a file that was longer. */
		put(b, 9, sizes[i] + 5000);
		put(b, 5, sizes[i]);
		set_size(b, sizes[i]);
		assert_true(digests_equal(a, b));
		for (size_t k = 0; k < i; k++) {
			(void)snprintf(b, sizeof(b), "/b%zu", k);
			assert_false(digests_equal(a, b));
		}
	}
	/* One byte, wherever it is. */
	put("/x", 5, 300000);
	for (size_t at = 0; at < 300000; at += 99999) {
		put("/y", 5, 300000);
		write_at("/y", at, "\xff\xfe", 1);
		assert_false(digests_equal("/x", "/y"));
	}
	/* Zeros on disk, reserved, or not there at all. */
	write_at("/z", 0, zeros, sizeof(zeros));
	write_at("/h", 3 * BLOCK - 1, "", 1);
	write_at("/r", 3 * BLOCK - 1, "", 1);
	OK(linkfs_node_allocate(v, NULL, ino("/r"), 0, 0, 2 * BLOCK));
	assert_true(digests_equal("/z", "/h"));
	assert_true(digests_equal("/z", "/r"));
	set_size("/h", UINT64_C(1) << 43); /* 8 TiB of nothing */
	assert_false(digests_equal("/z", "/h"));
	OK(linkfs_path_make(v, NULL, ROOT, "/d", &(struct linkfs_make){.mode = S_IFDIR | 0755}, NULL));
	uint64_t none[2];
	assert_int_equal(linkfs_node_digest(v, ino("/d"), none), LINKFS_EISDIR);
	assert_int_equal(linkfs_node_digest(v, 999999, none), LINKFS_ESTALE);
}

static void sharing_changes_nothing_but_the_space(void **state)
{
	struct linkfs_dedupe what;
	size_t size = 1500000;
	uint64_t blocks = (size + BLOCK - 1) / BLOCK;
	(void)state;
	put("/a", 1, size);
	put("/b", 1, size);
	struct linkfs_stat a = status("/a"), b = status("/b"), after;
	assert_int_equal(used(), 2 * blocks);
	OK(linkfs_node_dedupe(v, NULL, a.ino, b.ino, LINKFS_DEDUPE_LOOK, &what));
	assert_int_equal(what.shared, blocks * BLOCK);
	assert_int_equal(what.freed, blocks * BLOCK);
	assert_true(what.equal);
	assert_int_equal(used(), 2 * blocks);
	OK(linkfs_node_dedupe(v, NULL, a.ino, b.ino, 0, &what));
	assert_int_equal(what.shared, blocks * BLOCK);
	assert_int_equal(what.freed, blocks * BLOCK);
	OK(linkfs_volume_sync(v));
	assert_int_equal(used(), blocks);
	after = status("/b");
	assert_memory_equal(&after, &b, sizeof(b));
	after = status("/a");
	assert_memory_equal(&after, &a, sizeof(a));
	assert_same("/a", "/b");
	/* Again: nothing is left to do. */
	OK(linkfs_node_dedupe(v, NULL, a.ino, b.ino, 0, &what));
	assert_int_equal(what.shared, 0);
	assert_int_equal(what.freed, 0);
	assert_true(what.equal);
	/* A write shows in one of them, and takes its own block. */
	write_at("/b", 5 * BLOCK + 7, "Z", 1);
	OK(linkfs_volume_sync(v));
	assert_int_equal(used(), blocks + 1);
	char c = 0;
	size_t n;
	OK(linkfs_node_read(v, a.ino, 5 * BLOCK + 7, &c, 1, &n));
	assert_int_not_equal(c, 'Z');
	OK(linkfs_path_unlink(v, NULL, ROOT, "/a"));
	OK(linkfs_node_read(v, b.ino, 5 * BLOCK + 7, &c, 1, &n));
	assert_int_equal(c, 'Z');
	OK(linkfs_volume_sync(v));
	assert_int_equal(used(), blocks);
}

static void what_differs_is_kept(void **state)
{
	struct linkfs_dedupe what;
	size_t size = 1 << 20;
	(void)state;
	put("/a", 1, size);
	put("/b", 1, size);
	write_at("/b", 700000, "!", 1);
	put("/c", 1, size + 1);
	put("/copy", 1, size);
	write_at("/copy", 700000, "!", 1);
	OK(linkfs_node_dedupe(v, NULL, ino("/a"), ino("/b"), 0, &what));
	assert_false(what.equal);
	assert_true(what.shared <= 700000);
	assert_same("/b", "/copy");
	OK(linkfs_node_dedupe(v, NULL, ino("/a"), ino("/c"), 0, &what));
	assert_false(what.equal);
	assert_int_equal(what.shared, 0);
	/* Holes stay holes, and take nothing. */
	write_at("/h", size - 1, "x", 1);
	write_at("/g", size - 1, "x", 1);
	uint64_t before = used();
	OK(linkfs_node_dedupe(v, NULL, ino("/h"), ino("/g"), 0, &what));
	assert_true(what.equal);
	OK(linkfs_volume_sync(v));
	assert_int_equal(used(), before - 1);
	assert_int_equal(linkfs_node_dedupe(v, NULL, ino("/a"), ino("/a"), 0, &what), LINKFS_EINVAL);
	assert_int_equal(linkfs_node_dedupe(v, NULL, ino("/a"), ROOT, 0, &what), LINKFS_EISDIR);
	assert_int_equal(linkfs_node_dedupe(v, NULL, ino("/a"), ino("/b"), 8, &what), LINKFS_EINVAL);
}

static void blocks_with_several_owners_are_not_free(void **state)
{
	struct linkfs_dedupe what;
	size_t size = 40 * BLOCK;
	(void)state;
	put("/a", 1, size);
	put("/b", 1, size);
	OK(linkfs_node_clone(v, NULL, ino("/b"), ROOT, "c", 1, 0, NULL)); /* c shares b's blocks */
	write_at("/c", 3 * BLOCK, "only b's now", 12);
	OK(linkfs_volume_sync(v));
	uint64_t before = used();
	OK(linkfs_node_dedupe(v, NULL, ino("/a"), ino("/b"), 0, &what));
	assert_true(what.equal);
	assert_int_equal(what.shared, size);
	assert_int_equal(what.freed, BLOCK);
	OK(linkfs_volume_sync(v));
	assert_int_equal(used(), before - 1);
}

static void rights_are_asked_for(void **state)
{
	struct linkfs_cred ann = {.uid = 1000, .gid = 1000};
	struct linkfs_setattr mode = {.valid = LINKFS_SET_MODE}, owner = {.valid = LINKFS_SET_UID, .uid = 1000};
	struct linkfs_dedupe what;
	(void)state;
	put("/a", 1, 9000);
	put("/b", 1, 9000);
	mode.mode = 0600;
	OK(linkfs_node_setattr(v, NULL, ino("/a"), &mode, NULL));
	OK(linkfs_node_setattr(v, NULL, ino("/b"), &owner, NULL));
	assert_int_equal(linkfs_node_dedupe(v, &ann, ino("/a"), ino("/b"), 0, &what), LINKFS_EACCES);
	mode.mode = 0644;
	OK(linkfs_node_setattr(v, NULL, ino("/a"), &mode, NULL));
	assert_int_equal(linkfs_node_dedupe(v, &ann, ino("/b"), ino("/a"), 0, &what), LINKFS_EACCES);
	assert_int_equal(linkfs_node_merge(v, &ann, ino("/a"), ROOT, "b", 1), LINKFS_EPERM);
	assert_int_equal(linkfs_node_merge(v, &ann, ino("/b"), ROOT, "a", 1), LINKFS_EPERM);
	OK(linkfs_node_dedupe(v, &ann, ino("/a"), ino("/b"), 0, &what));
	assert_int_equal(what.shared, 3 * BLOCK);
	assert_int_not_equal(ino("/a"), ino("/b"));
}

static void merging_makes_one_file_of_two(void **state)
{
	static const size_t sizes[] = {0, 6, 9000, 1 << 20};
	struct linkfs_stat a, b;
	(void)state;
	for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
		put("/a", 1, sizes[i]);
		put("/b", 1, sizes[i]);
		OK(linkfs_path_link(v, NULL, ROOT, "/b", ROOT, "/b2", 0));
		a = status("/a");
		OK(linkfs_node_merge(v, NULL, a.ino, ROOT, "b", 1));
		b = status("/b");
		assert_int_equal(b.ino, a.ino);
		assert_int_equal(b.nlink, 2);
		assert_int_equal(b.mtime_ns, a.mtime_ns);
		assert_int_equal(status("/b2").nlink, 1);
		assert_int_not_equal(status("/b2").ino, a.ino);
		OK(linkfs_node_merge(v, NULL, a.ino, ROOT, "b", 1)); /* its own already */
		assert_int_equal(status("/a").nlink, 2);
		OK(linkfs_node_merge(v, NULL, a.ino, ROOT, "b2", 2));
		assert_int_equal(status("/a").nlink, 3);
		assert_int_equal(linkfs_node_getattr(v, b.ino, &b), 0);
		put("/c", 2, sizes[i] + 1);
		assert_int_equal(linkfs_node_merge(v, NULL, a.ino, ROOT, "c", 1), LINKFS_ENODATA);
		assert_int_equal(status("/c").nlink, 1);
		assert_int_equal(status("/c").size, sizes[i] + 1);
		assert_int_equal(linkfs_node_merge(v, NULL, a.ino, ROOT, "none", 4), LINKFS_ENOENT);
		assert_int_equal(linkfs_node_merge(v, NULL, ROOT, ROOT, "c", 1), LINKFS_EISDIR);
		OK(linkfs_path_unlink(v, NULL, ROOT, "/a"));
		OK(linkfs_path_unlink(v, NULL, ROOT, "/b"));
		OK(linkfs_path_unlink(v, NULL, ROOT, "/b2"));
		OK(linkfs_path_unlink(v, NULL, ROOT, "/c"));
	}
	OK(linkfs_volume_sync(v));
	assert_int_equal(used(), 0);
}

/* A file that loses its last name while it is open is its opener's. */
static void who_has_it_open_keeps_it(void **state)
{
	struct linkfs_file *file;
	char c = 0;
	size_t n;
	(void)state;
	put("/a", 1, 9000);
	put("/b", 1, 9000);
	OK(linkfs_file_open(v, NULL, ROOT, "/b", LINKFS_O_READ | LINKFS_O_WRITE, 0, &file));
	OK(linkfs_node_merge(v, NULL, ino("/a"), ROOT, "b", 1));
	OK(linkfs_file_write(file, 0, "mine", 4, NULL));
	OK(linkfs_file_read(file, 0, &c, 1, &n));
	assert_int_equal(c, 'm');
	linkfs_file_close(file);
	put("/want", 1, 9000);
	assert_same("/a", "/want");
	assert_same("/b", "/want");
}

/* ---- beside a writer ------------------------------------------------------------------------------------------------- */

static atomic_bool stop;

/* Writes whole files of one byte, longer and shorter, into b: each must be there as a whole when nobody writes. */
static void *writer(void *arg)
{
	static char bytes[600000];
	atomic_uint *count = arg;
	for (unsigned i = 1; !stop; i++) {
		memset(bytes, 'A' + (int)(i % 3), sizeof(bytes));
		write_at("/b", 0, bytes, sizeof(bytes));
		atomic_store(count, i);
	}
	return NULL;
}

static void a_writer_loses_nothing(void **state)
{
	static char bytes[600000], got[600000];
	struct linkfs_dedupe what;
	atomic_uint count = 0;
	unsigned shared = 0;
	pthread_t thread;
	size_t n;
	(void)state;
	memset(bytes, 'A', sizeof(bytes));
	write_at("/a", 0, bytes, sizeof(bytes));
	write_at("/b", 0, bytes, sizeof(bytes));
	stop = false;
	OK(pthread_create(&thread, NULL, writer, &count));
	for (int i = 0; i < 300 || count < 50; i++) {
		OK(linkfs_node_dedupe(v, NULL, ino("/a"), ino("/b"), 0, &what));
		shared += what.shared > 0;
	}
	stop = true;
	OK(pthread_join(thread, NULL));
	/* /a is as it was, and /b what the writer wrote last. */
	OK(linkfs_node_read(v, ino("/a"), 0, got, sizeof(got), &n));
	assert_memory_equal(got, bytes, sizeof(got));
	memset(bytes, 'A' + (int)(count % 3), sizeof(bytes));
	OK(linkfs_node_read(v, ino("/b"), 0, got, sizeof(got), &n));
	assert_memory_equal(got, bytes, sizeof(got));
	print_message("# %u writes, %u times something was shared\n", (unsigned)count, shared);
}

/* A hole of sixteen tebibytes is looked at as one, not step by step, which would take longer than this test may. */
static void holes_of_any_length_cost_nothing(void **state)
{
	const uint64_t size = UINT64_C(17592186040319), far = UINT64_C(1) << 43;
	struct linkfs_setattr set = {.valid = LINKFS_SET_SIZE, .size = size};
	struct linkfs_dedupe done;
	unsigned char bytes[BLOCK];
	(void)state;
	memset(bytes, 'x', sizeof(bytes));
	write_at("a", far, bytes, sizeof(bytes));
	write_at("b", far, bytes, sizeof(bytes));
	write_at("c", far + BLOCK, bytes, sizeof(bytes));
	OK(linkfs_path_setattr(v, NULL, ROOT, "a", 0, &set));
	OK(linkfs_path_setattr(v, NULL, ROOT, "b", 0, &set));
	OK(linkfs_path_setattr(v, NULL, ROOT, "c", 0, &set));
	OK(linkfs_node_dedupe(v, NULL, ino("a"), ino("b"), 0, &done));
	assert_true(done.equal);
	assert_int_equal(done.shared, BLOCK);
	OK(linkfs_node_dedupe(v, NULL, ino("a"), ino("c"), 0, &done));
	assert_false(done.equal);
	OK(linkfs_node_merge(v, NULL, ino("a"), ROOT, "b", 1));
	assert_int_equal(ino("a"), ino("b"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_digest_is_of_the_content_alone, setup, teardown),
		cmocka_unit_test_setup_teardown(sharing_changes_nothing_but_the_space, setup, teardown),
		cmocka_unit_test_setup_teardown(what_differs_is_kept, setup, teardown),
		cmocka_unit_test_setup_teardown(blocks_with_several_owners_are_not_free, setup, teardown),
		cmocka_unit_test_setup_teardown(rights_are_asked_for, setup, teardown),
		cmocka_unit_test_setup_teardown(merging_makes_one_file_of_two, setup, teardown),
		cmocka_unit_test_setup_teardown(who_has_it_open_keeps_it, setup, teardown),
		cmocka_unit_test_setup_teardown(holes_of_any_length_cost_nothing, setup, teardown),
		cmocka_unit_test_setup_teardown(a_writer_loses_nothing, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
