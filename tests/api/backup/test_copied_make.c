/*
 * test_copied_make.c - linkfs_copied_make(): files that come whole, all of a call or none, and are what the single calls would have made.
 */
#include "test.h"

#include <linkfs_backup.h>
#include <linkfs_check.h>
#include <linkfs_snapshots.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define ROOT LINKFS_ROOT_INO
#define BLOCK 4096u
#define COUNT LINKFS_COPIED_NEW_COUNT
#define MOST LINKFS_COPIED_NEW_MAX
#define OK(call) assert_int_equal(call, 0)

static char *top;
static char path[4096];
static struct linkfs_volume *v;
static uint64_t source;

static void open_with(uint32_t flags)
{
	struct linkfs_open_options o = {.flags = flags | LINKFS_OPEN_NOATIME};
	struct linkfs_message why = {"no message"};
	if (linkfs_volume_open(path, &o, &v, &why))
		fail_msg("open: %s", why.text);
}

static void make_volume(const char *property, uint64_t limit)
{
	const struct linkfs_create_options o = {
		.root_mode = 0777, .limit_bytes = limit, .properties = &property, .property_count = property != NULL};
	const struct linkfs_source s = {
		.dir = ROOT, .machine = "machine", .host = "host", .path = "/home", .rules = 1, .files = 1};
	(void)snprintf(path, sizeof(path), "%s/volume", top);
	OK(linkfs_volume_create(path, &o, NULL));
	open_with(0);
	OK(linkfs_source_put(v, NULL, &s, &source));
}

static int setup(void **state)
{
	(void)state;
	top = lk_test_mkdir();
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

/* ---- files ------------------------------------------------------------------------------------------------------------ */

static char names[COUNT][32];
static uint8_t bytes[COUNT][MOST];

/* File i of a call; text: it can be compressed. */
static struct linkfs_copied_new file(unsigned i, size_t size, bool text, struct lk_test_random *random)
{
	(void)snprintf(names[i], sizeof(names[i]), "file-%u", i);
	for (size_t k = 0; k < size; k++)
		bytes[i][k] = (uint8_t)(text ? (uint64_t) "the same words again and again "[(k + i) % 31]
					     : lk_test_next(random));
	return (struct linkfs_copied_new){.name = names[i],
					  .name_len = strlen(names[i]),
					  .content = bytes[i],
					  .size = size,
					  .attributes = {.valid = LINKFS_SET_MODE | LINKFS_SET_UID | LINKFS_SET_GID |
								  LINKFS_SET_ATIME | LINKFS_SET_MTIME,
							 .mode = 0640 + i % 8,
							 .uid = 1000 + i,
							 .gid = 2000 + i,
							 .atime_ns = INT64_C(1000000000) * i + 1,
							 .mtime_ns = INT64_C(1000000000) * i + 2},
					  .row = {.source = source,
						  .fs = 5,
						  .inode = 700 + i,
						  .mode = S_IFREG | (0640 + i % 8),
						  .nlink = 1,
						  .size = size,
						  .mtime_ns = INT64_C(1000000000) * i + 2,
						  .ctime_ns = 9}};
}

static bool exists(uint64_t dir, const char *name)
{
	struct linkfs_stat st;
	int r = linkfs_path_stat(v, NULL, dir, name, LINKFS_NOFOLLOW, &st);
	assert_true(r == 0 || r == LINKFS_ENOENT);
	return r == 0;
}

/* What was asked for is there. */
static void judge(uint64_t dir, const struct linkfs_copied_new *f, size_t count)
{
	static uint8_t got[MOST + 1];
	for (size_t i = 0; i < count; i++) {
		struct linkfs_stat st;
		size_t done = 0;
		OK(linkfs_path_stat(v, NULL, dir, f[i].name, LINKFS_NOFOLLOW, &st));
		assert_int_equal(st.ino, f[i].row.ino);
		assert_int_equal(st.mode, S_IFREG | f[i].attributes.mode);
		assert_int_equal(st.uid, f[i].attributes.uid);
		assert_int_equal(st.gid, f[i].attributes.gid);
		assert_int_equal(st.nlink, 1);
		assert_int_equal(st.size, f[i].size);
		assert_int_equal(st.atime_ns, f[i].attributes.atime_ns);
		assert_int_equal(st.mtime_ns, f[i].attributes.mtime_ns);
		OK(linkfs_node_read(v, st.ino, 0, got, sizeof(got), &done));
		assert_int_equal(done, f[i].size);
		assert_memory_equal(got, f[i].content, done);
	}
}

/* And remembered as it is now. */
static void judge_rows(const struct linkfs_copied_new *f, size_t count)
{
	struct linkfs_copied rows[COUNT + 1];
	uint64_t after = 0;
	size_t found = 0;
	OK(linkfs_copied_list(v, &after, rows, COUNT + 1, &found));
	assert_int_equal(found, count);
	for (size_t i = 0; i < count; i++) {
		assert_int_equal(rows[i].ino, f[i].row.ino);
		assert_int_equal(rows[i].inode, f[i].row.inode);
		assert_int_equal(rows[i].size, f[i].size);
		assert_int_equal(rows[i].flags, 0);
	}
}

static void reopen(void)
{
	OK(linkfs_volume_close(v));
	open_with(0);
}

static void every_size(const char *property)
{
	static const size_t sizes[] = {0,     1,         255,       256,           2047,     2048, 2049,      4095,
				       BLOCK, BLOCK + 1, BLOCK * 2, BLOCK * 3 - 1, MOST - 1, MOST, BLOCK * 7, 100};
	struct linkfs_copied_new f[COUNT];
	struct lk_test_random random = {lk_test_seed()};
	make_volume(property, 0);
	for (unsigned i = 0; i < COUNT; i++)
		f[i] = file(i, sizes[i], i % 2, &random);
	OK(linkfs_copied_make(v, NULL, ROOT, f, COUNT));
	judge(ROOT, f, COUNT);
	judge_rows(f, COUNT);
	reopen();
	judge(ROOT, f, COUNT);
	judge_rows(f, COUNT);
}

static void all_sizes_plain(void **state)
{
	(void)state;
	every_size(NULL);
}

static void all_sizes_compressed(void **state)
{
	(void)state;
	every_size("compression=zstd");
}

static uint64_t blocks_of(const char *name)
{
	struct linkfs_stat st;
	OK(linkfs_path_stat(v, NULL, ROOT, name, LINKFS_NOFOLLOW, &st));
	return st.blocks;
}

/* Content takes the space it takes when it is written by itself, compressed or not, and a directory's mark counts. */
static void as_single_calls(void **state)
{
	static const char *const properties[] = {NULL, "compression=zstd"};
	static const size_t sizes[] = {100, 3000, BLOCK, 20000, MOST};
	struct lk_test_random random = {lk_test_seed()};
	(void)state;
	for (unsigned p = 0; p < 2; p++) {
		struct linkfs_copied_new f[10];
		if (p) {
			OK(linkfs_volume_close(v));
			lk_test_rmdir(top);
			top = lk_test_mkdir();
		}
		make_volume(properties[p], 0);
		for (unsigned i = 0; i < 10; i++)
			f[i] = file(i, sizes[i / 2], i % 2, &random);
		OK(linkfs_copied_make(v, NULL, ROOT, f, 10));
		for (unsigned i = 0; i < 10; i++) {
			const struct linkfs_make how = {.mode = S_IFREG | 0600};
			struct linkfs_stat st;
			size_t done;
			OK(linkfs_node_make(v, NULL, ROOT, "other", 5, &how, 0, &st));
			OK(linkfs_node_write(v, NULL, st.ino, 0, bytes[i], f[i].size, 0, &done, NULL));
			assert_int_equal(blocks_of("other"), blocks_of(names[i]));
			OK(linkfs_node_unlink(v, NULL, ROOT, "other", 5));
		}
	}
}

static uint64_t used(void)
{
	struct linkfs_statfs st;
	OK(linkfs_volume_sync(v));
	OK(linkfs_volume_statfs(v, &st));
	return (st.inodes - st.inodes_free) * UINT64_C(1000000000) + st.blocks - st.blocks_free;
}

static void all_or_none(void **state)
{
	char longest[LINKFS_NAME_MAX + 1];
	struct linkfs_copied_new f[COUNT + 1];
	struct lk_test_random random = {lk_test_seed()};
	const struct linkfs_make how = {.mode = S_IFREG | 0600};
	struct linkfs_stat st;
	(void)state;
	make_volume(NULL, UINT64_C(64) << 20);
	for (unsigned i = 0; i < COUNT; i++)
		f[i] = file(i, i * 3000, true, &random);
	OK(linkfs_node_make(v, NULL, ROOT, names[9], strlen(names[9]), &how, 0, &st));
	uint64_t before = used();
	assert_int_equal(linkfs_copied_make(v, NULL, ROOT, f, COUNT), LINKFS_EEXIST);
	for (unsigned i = 0; i < COUNT; i++)
		assert_int_equal(exists(ROOT, names[i]), i == 9);
	assert_int_equal(used(), before);
	judge_rows(f, 0);
	/* The same name twice. */
	f[4].name = names[3];
	assert_int_equal(linkfs_copied_make(v, NULL, ROOT, f, 5), LINKFS_EEXIST);
	f[4].name = names[4];
	/* What a row may not say. */
	f[2].row.fs = 0;
	assert_int_equal(linkfs_copied_make(v, NULL, ROOT, f, 5), LINKFS_EINVAL);
	f[2].row.fs = 5;
	f[2].name = memset(longest, 'n', sizeof(longest));
	f[2].name_len = sizeof(longest);
	assert_int_equal(linkfs_copied_make(v, NULL, ROOT, f, 5), LINKFS_ENAMETOOLONG);
	f[2].name = names[2];
	f[2].name_len = strlen(names[2]);
	assert_int_equal(linkfs_copied_make(v, NULL, ROOT, f, COUNT + 1), LINKFS_EINVAL);
	f[1].size = MOST + 1;
	assert_int_equal(linkfs_copied_make(v, NULL, ROOT, f, 5), LINKFS_EINVAL);
	f[1].size = 3000;
	f[1].attributes.valid |= LINKFS_SET_SIZE;
	assert_int_equal(linkfs_copied_make(v, NULL, ROOT, f, 5), LINKFS_EINVAL);
	f[1].attributes.valid &= ~LINKFS_SET_SIZE;
	assert_int_equal(linkfs_copied_make(v, NULL, st.ino, f, 5), LINKFS_ENOTDIR);
	assert_int_equal(linkfs_copied_make(v, NULL, 999, f, 5), LINKFS_ESTALE);
	OK(linkfs_copied_make(v, NULL, ROOT, f, 0));
	assert_int_equal(used(), before);
	/* Of all that nothing stays in the way. */
	OK(linkfs_copied_make(v, NULL, ROOT, f, 9));
	judge(ROOT, f, 9);
	judge_rows(f, 9);
}

static void who_may(void **state)
{
	const struct linkfs_cred other = {.uid = 1000, .gid = 1000};
	struct linkfs_copied_new f[1];
	struct lk_test_random random = {lk_test_seed()};
	(void)state;
	make_volume(NULL, 0);
	f[0] = file(0, 5000, true, &random);
	assert_int_equal(linkfs_copied_make(v, &other, ROOT, f, 1), LINKFS_EPERM);
	assert_false(exists(ROOT, names[0]));
	OK(linkfs_volume_close(v));
	open_with(LINKFS_OPEN_READONLY);
	assert_int_equal(linkfs_copied_make(v, NULL, ROOT, f, 1), LINKFS_EROFS);
}

/* The volume's limit: nothing of the call stays, and what is freed is room again. */
static void full(void **state)
{
	struct linkfs_copied_new f[COUNT];
	struct lk_test_random random = {lk_test_seed()};
	char dir[16];
	struct linkfs_stat st;
	unsigned made = 0;
	int r = 0;
	(void)state;
	make_volume(NULL, UINT64_C(4) << 20);
	for (unsigned i = 0; i < COUNT; i++)
		f[i] = file(i, MOST, false, &random);
	for (; r == 0; made += r == 0) {
		(void)snprintf(dir, sizeof(dir), "%u", made);
		const struct linkfs_make how = {.mode = S_IFDIR | 0700};
		OK(linkfs_node_make(v, NULL, ROOT, dir, strlen(dir), &how, 0, &st));
		r = linkfs_copied_make(v, NULL, st.ino, f, COUNT);
	}
	assert_int_equal(r, LINKFS_ENOSPC);
	assert_in_range(made, 3, 4); /* a MiB each */
	for (unsigned i = 0; i < COUNT; i++)
		assert_false(exists(st.ino, names[i]));
	struct linkfs_stat first;
	OK(linkfs_path_stat(v, NULL, ROOT, "0", LINKFS_NOFOLLOW, &first));
	for (unsigned i = 0; i < COUNT; i++)
		OK(linkfs_node_unlink(v, NULL, first.ino, names[i], strlen(names[i])));
	OK(linkfs_volume_sync(v));
	OK(linkfs_copied_make(v, NULL, st.ino, f, COUNT));
	judge(st.ino, f, COUNT);
}

/* Room there is in single blocks only: what is compressed goes there as it is. */
static void in_pieces(void **state)
{
	struct linkfs_copied_new f[COUNT];
	struct lk_test_random random = {lk_test_seed()};
	const struct linkfs_make how = {.mode = S_IFREG | 0600};
	const uint64_t limit = UINT64_C(2) << 20;
	struct linkfs_stat st;
	uint64_t offset = 0;
	size_t done;
	int r = 0;
	(void)state;
	make_volume("compression=zstd", limit);
	for (unsigned i = 0; i < COUNT; i++)
		f[i] = file(i, MOST, false, &random);
	OK(linkfs_node_make(v, NULL, ROOT, "filler", 6, &how, 0, &st));
	while (r == 0) {
		/* No two blocks of a chunk are alike. */
		const uint8_t *block = bytes[offset / MOST % COUNT] + offset % MOST;
		r = linkfs_node_write(v, NULL, st.ino, offset, block, BLOCK, 0, &done, NULL);
		offset += BLOCK;
	}
	assert_int_equal(r, LINKFS_ENOSPC);
	for (uint64_t at = 0; at < offset - BLOCK; at += 2 * BLOCK)
		OK(linkfs_node_allocate(v, NULL, st.ino, LINKFS_ALLOC_PUNCH | LINKFS_ALLOC_KEEP_SIZE, at, BLOCK));
	OK(linkfs_volume_sync(v));
	/* Half of what could be compressed well, half of what cannot: to less than a row's worth only by a chunk. */
	for (unsigned i = 0; i < 8; i++) {
		f[i] = file(i, MOST, false, &random);
		memset(bytes[i] + MOST / 2, 'x', MOST / 2);
	}
	OK(linkfs_copied_make(v, NULL, ROOT, f, 8));
	judge(ROOT, f, 8);
	reopen();
	judge(ROOT, f, 8);
	judge_rows(f, 8);
}

/* A snapshot that was taken before has none of it, one that was taken after keeps it. */
static void beside_snapshots(void **state)
{
	struct linkfs_copied_new f[COUNT];
	struct lk_test_random random = {lk_test_seed()};
	(void)state;
	make_volume(NULL, 0);
	for (unsigned i = 0; i < COUNT; i++)
		f[i] = file(i, 1000 + i * 1000, i % 2, &random);
	const struct linkfs_snapshot_new before = {.name = "before"}, after = {.name = "after"};
	OK(linkfs_snapshot_create(v, NULL, &before, NULL));
	OK(linkfs_copied_make(v, NULL, ROOT, f, COUNT));
	OK(linkfs_snapshot_create(v, NULL, &after, NULL));
	for (unsigned i = 0; i < COUNT; i += 2)
		OK(linkfs_node_unlink(v, NULL, ROOT, names[i], strlen(names[i])));
	reopen();
	for (unsigned i = 1; i < COUNT; i += 2)
		judge(ROOT, &f[i], 1);
	OK(linkfs_snapshot_delete(v, NULL, "before", NULL, NULL, NULL));
	OK(linkfs_snapshot_delete(v, NULL, "after", NULL, NULL, NULL));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(all_sizes_plain, setup, teardown),
		cmocka_unit_test_setup_teardown(all_sizes_compressed, setup, teardown),
		cmocka_unit_test_setup_teardown(as_single_calls, setup, teardown),
		cmocka_unit_test_setup_teardown(all_or_none, setup, teardown),
		cmocka_unit_test_setup_teardown(who_may, setup, teardown),
		cmocka_unit_test_setup_teardown(full, setup, teardown),
		cmocka_unit_test_setup_teardown(in_pieces, setup, teardown),
		cmocka_unit_test_setup_teardown(beside_snapshots, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
