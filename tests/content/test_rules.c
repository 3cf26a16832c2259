/*
 * test_rules.c - content, rule by rule: errors as ext4 gives them, stale tails, rows that grow, sharing, unwritten blocks,
 * large truncations in steps, damage found, times and bits.
 */
#include "world.h"

#include <errno.h>
#include <extent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define B LK_BLOCK_SIZE

static void fill(uint8_t *p, size_t len, uint64_t seed)
{
	struct lk_test_random random = {seed};
	for (size_t i = 0; i < len; i++)
		p[i] = (uint8_t)(lk_test_next(&random) | 1); /* no zeros */
}

static bool is_zero(const uint8_t *p, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (p[i])
			return false;
	return true;
}

static int allocate(struct world *w, uint64_t ino, uint32_t mode, uint64_t offset, uint64_t length)
{
	return linkfs_node_allocate(w->volume, NULL, ino, mode, offset, length);
}

static int count_row(void *arg, const void *record)
{
	(void)record;
	++*(unsigned *)arg;
	return 0;
}

static unsigned rows(struct world *w, enum lk_table_id table, int64_t ino)
{
	unsigned n = 0;
	struct lk_op op;
	struct lk_extent from = {.ino = ino};
	struct lk_scan q = {.table = &lk_tables[table], .index = LK_BY_KEY, .equal = ino ? 1 : 0, .from = &from};
	assert_int_equal(lk_op_begin(lk_volume_fs(w->volume), &op, 0), 0);
	assert_int_equal(lk_op_end(&op, lk_txn_scan(&op, &q, count_row, &n)), 0);
	return n;
}

static void small_files_stay_inline(void **state)
{
	(void)state;
	struct world w;
	world_open(&w, 0);
	uint64_t ino = world_file(&w, "f");
	uint8_t bytes[3 * B], got[3 * B];
	fill(bytes, sizeof(bytes), 1);
	world_write(&w, ino, 0, bytes, LK_INLINE_MAX);
	assert_int_equal(world_check(&w), 0);
	assert_int_equal(rows(&w, LK_T_EXTENT, (int64_t)ino), 0);
	world_write(&w, ino, LK_INLINE_MAX, bytes + LK_INLINE_MAX, 1);
	assert_int_equal(world_check(&w), 1);
	assert_int_equal(rows(&w, LK_T_INLINE, 0), 0);
	world_read(&w, ino, 0, got, LK_INLINE_MAX + 1);
	assert_memory_equal(got, bytes, LK_INLINE_MAX + 1);
	/* Rewritten from nothing it is small again. */
	world_truncate(&w, ino, 0);
	world_write(&w, ino, 0, bytes, 100);
	assert_int_equal(world_check(&w), 0);
	/* A write far past a small file keeps what was there. */
	world_write(&w, ino, 2 * B, bytes, 5);
	world_read(&w, ino, 0, got, 2 * B + 5);
	assert_memory_equal(got, bytes, 100);
	assert_true(is_zero(got + 100, 2 * B - 100));
	assert_memory_equal(got + 2 * B, bytes, 5);
	assert_int_equal(world_check(&w), 2);
	world_close(&w);
}

/* Whatever makes a file larger after it was cut shows zeros, not what was there. */
static void cut_tails_read_as_zeros(void **state)
{
	(void)state;
	struct world w;
	world_open(&w, 0);
	uint8_t bytes[4 * B], got[8 * B];
	fill(bytes, sizeof(bytes), 2);
	for (int how = 0; how < 8; how++) {
		char name[16];
		(void)snprintf(name, sizeof(name), "f%d", how);
		uint64_t ino = world_file(&w, name), done;
		uint64_t source = how == 6 ? world_file(&w, "source") : 0;
		uint64_t cut = how == 7 ? 100 : B + 100; /* how 7: within one block */
		world_write(&w, ino, 0, bytes, sizeof(bytes));
		world_truncate(&w, ino, cut);
		uint64_t size = 6 * B;
		switch (how) {
		case 0:
			world_truncate(&w, ino, size);
			break;
		case 1:
			world_write(&w, ino, size - 1, "\0", 1);
			break;
		case 2:
			assert_int_equal(allocate(&w, ino, 0, 5 * B, B), 0);
			break;
		case 3:
			assert_int_equal(allocate(&w, ino, LINKFS_ALLOC_ZERO, 5 * B, B), 0);
			break;
		case 4:
			world_write(&w, ino, cut + 50, "\0", 1);
			world_truncate(&w, ino, size);
			break;
		case 5:
			world_truncate(&w, ino, cut + 1);
			world_truncate(&w, ino, size);
			break;
		case 6:
			world_truncate(&w, source, 2 * B);
			assert_int_equal(linkfs_node_copy_range(w.volume, NULL, source, 0, ino, 4 * B, 2 * B, &done),
					 0);
			break;
		default:
			assert_int_equal(allocate(&w, ino, 0, 0, size), 0);
			break;
		}
		world_read(&w, ino, 0, got, (size_t)size);
		assert_memory_equal(got, bytes, (size_t)cut);
		if (!is_zero(got + cut, (size_t)(size - cut)))
			fail_msg("way %d shows old bytes", how);
		(void)world_check(&w);
	}
	world_close(&w);
}

static void appends_extend_the_last_row(void **state)
{
	(void)state;
	struct world w;
	world_open(&w, 0);
	uint64_t ino = world_file(&w, "f"), far = world_file(&w, "g");
	uint8_t bytes[B];
	for (unsigned i = 0; i < 640; i++) {
		fill(bytes, B, i);
		world_write(&w, ino, (uint64_t)i * B, bytes, B);
	}
	assert_int_equal(rows(&w, LK_T_EXTENT, (int64_t)ino), 640 / LK_EXTENT_BLOCKS_MAX);
	/* One hole is one row, however large. */
	world_truncate(&w, far, UINT64_C(1) << 43);
	world_truncate(&w, far, LINKFS_FILE_SIZE_MAX);
	assert_int_equal(rows(&w, LK_T_EXTENT, (int64_t)far), 1);
	world_write(&w, far, UINT64_C(1) << 42, bytes, B);
	assert_int_equal(rows(&w, LK_T_EXTENT, (int64_t)far), 3);
	assert_int_equal(allocate(&w, far, 3, UINT64_C(1) << 42, B), 0);
	assert_int_equal(rows(&w, LK_T_EXTENT, (int64_t)far), 1);
	assert_int_equal(world_check(&w), 640);
	world_close(&w);
}

/* A file over the border of two groups: rows end there (docs/FORMAT.md). */
static void rows_lie_in_one_group(void **state)
{
	(void)state;
	struct world w;
	world_open(&w, 0);
	uint64_t first = world_file(&w, "a"), ino = world_file(&w, "b");
	assert_int_equal(allocate(&w, first, 0, 0, (LK_GROUP_BLOCKS - 10) * (uint64_t)B), 0);
	uint8_t page[B];
	memset(page, 3, B);
	for (unsigned i = 0; i < 30; i++)
		world_write(&w, ino, (uint64_t)i * B, page, B);
	assert_int_equal(world_check(&w), LK_GROUP_BLOCKS + 20);
	assert_true(rows(&w, LK_T_EXTENT, (int64_t)ino) <= 3);
	world_close(&w);
}

static void limits_and_kinds(void **state)
{
	(void)state;
	struct world w;
	world_open(&w, 0);
	uint64_t ino = world_file(&w, "f"), max = LINKFS_FILE_SIZE_MAX, at, done64;
	size_t done = 77;
	uint8_t b[16] = {1};
	assert_int_equal(linkfs_node_write(w.volume, NULL, ino, max, b, 1, 0, &done, NULL), LINKFS_EFBIG);
	assert_int_equal(done, 77);
	assert_int_equal(linkfs_node_write(w.volume, NULL, ino, UINT64_MAX, b, 1, 0, &done, NULL), LINKFS_EFBIG);
	assert_int_equal(linkfs_node_write(w.volume, NULL, ino, max - 4, b, 16, 0, &done, NULL), 0);
	assert_int_equal(done, 4);
	assert_true(world_size(&w, ino) == max);
	assert_int_equal(linkfs_node_write(w.volume, NULL, ino, 0, b, 1, LINKFS_WRITE_APPEND, &done, NULL),
			 LINKFS_EFBIG);
	assert_int_equal(linkfs_node_read(w.volume, ino, max, b, 16, &done), 0);
	assert_int_equal(done, 0);
	assert_int_equal(linkfs_node_read(w.volume, ino, UINT64_MAX - 3, b, 16, &done), 0);
	assert_int_equal(done, 0);
	struct linkfs_setattr grow = {.valid = LINKFS_SET_SIZE, .size = max + 1};
	assert_int_equal(linkfs_node_setattr(w.volume, NULL, ino, &grow, NULL), LINKFS_EFBIG);
	assert_int_equal(allocate(&w, ino, 0, max, 1), LINKFS_EFBIG);
	assert_int_equal(allocate(&w, ino, 0, INT64_MAX, INT64_MAX), LINKFS_EFBIG);
	assert_int_equal(allocate(&w, ino, LINKFS_ALLOC_INSERT, 0, B), LINKFS_EFBIG);
	assert_int_equal(linkfs_node_seek(w.volume, ino, max, LINKFS_SEEK_HOLE, &at), LINKFS_ENXIO);
	assert_int_equal(linkfs_node_seek(w.volume, ino, 0, 0, &at), LINKFS_EINVAL);
	assert_int_equal(linkfs_node_seek(w.volume, ino, 0, LINKFS_SEEK_DATA, &at), 0);
	assert_true(at == max - B);

	struct linkfs_make fifo = {.mode = S_IFIFO | 0600}, sock = {.mode = S_IFSOCK | 0600};
	struct linkfs_stat st;
	assert_int_equal(linkfs_node_make(w.volume, NULL, 1, "p", 1, &fifo, LINKFS_HOLD, &st), 0);
	assert_int_equal(allocate(&w, st.ino, 0, 0, B), LINKFS_ESPIPE);
	assert_int_equal(linkfs_node_read(w.volume, st.ino, 0, b, 1, &done), LINKFS_EINVAL);
	assert_int_equal(linkfs_node_make(w.volume, NULL, 1, "s", 1, &sock, LINKFS_HOLD, &st), 0);
	assert_int_equal(allocate(&w, st.ino, 0, 0, B), LINKFS_ENODEV);
	assert_int_equal(allocate(&w, 1, 0, 0, B), LINKFS_EISDIR);
	assert_int_equal(allocate(&w, 1, 0, 0, 0), LINKFS_EINVAL);
	assert_int_equal(allocate(&w, 1, 2, 0, B), LINKFS_EOPNOTSUPP);
	assert_int_equal(linkfs_node_read(w.volume, 1, 0, b, 1, &done), LINKFS_EISDIR);
	assert_int_equal(linkfs_node_write(w.volume, NULL, 1, 0, b, 1, 0, &done, NULL), LINKFS_EISDIR);
	assert_int_equal(linkfs_node_copy_range(w.volume, NULL, ino, 0, 1, 0, 1, &done64), LINKFS_EISDIR);
	assert_int_equal(linkfs_node_copy_range(w.volume, NULL, ino, 0, st.ino, 0, 1, &done64), LINKFS_EINVAL);
	assert_int_equal(linkfs_node_read(w.volume, 999, 0, b, 1, &done), LINKFS_ESTALE);
	assert_int_equal(linkfs_node_write(w.volume, NULL, 999, 0, b, 1, 0, &done, NULL), LINKFS_ESTALE);
	world_close(&w);
}

/* copy_range names the same blocks twice; a write to one file does not show in the other; the last name frees. */
static void copies_share_blocks(void **state)
{
	(void)state;
	struct world w;
	world_open(&w, 0);
	uint64_t a = world_file(&w, "a"), b = world_file(&w, "b"), c = world_file(&w, "c"), done;
	size_t len = 200 * (size_t)B;
	uint8_t *bytes = malloc(len), *got = malloc(len), page[B];
	assert_true(bytes && got);
	fill(bytes, len, 3);
	world_write(&w, a, 0, bytes, len);
	assert_int_equal(linkfs_node_copy_range(w.volume, NULL, a, 0, b, 1, UINT64_MAX, &done), LINKFS_EOVERFLOW);
	assert_int_equal(linkfs_node_copy_range(w.volume, NULL, a, 0, b, INT64_MAX, 5 * B, &done), LINKFS_EFBIG);
	assert_int_equal(linkfs_node_copy_range(w.volume, NULL, a, 0, b, 0, 10 * len, &done), 0);
	assert_int_equal(done, len);
	assert_int_equal(linkfs_node_copy_range(w.volume, NULL, b, 64 * B, c, 0, 64 * B, &done), 0);
	assert_int_equal(world_check(&w), 200);
	assert_int_equal(world_blocks(&w, b), 200);
	fill(page, B, 4);
	world_write(&w, b, 100 * B, page, B);
	assert_int_equal(world_check(&w), 201);
	world_read(&w, a, 0, got, len);
	assert_memory_equal(got, bytes, len);
	world_read(&w, c, 0, got, 64 * B);
	assert_memory_equal(got, bytes + 64 * B, 64 * B);
	world_truncate(&w, a, 0);
	assert_int_equal(world_check(&w), 201);
	world_truncate(&w, b, 0);
	assert_int_equal(world_check(&w), 64);
	world_read(&w, c, 0, got, 64 * B);
	assert_memory_equal(got, bytes + 64 * B, 64 * B);
	/* Within one file: apart is fine, overlapping is not. */
	assert_int_equal(linkfs_node_copy_range(w.volume, NULL, c, 0, c, 32 * B, 33 * B, &done), LINKFS_EINVAL);
	assert_int_equal(linkfs_node_copy_range(w.volume, NULL, c, 0, c, 32 * B, 32 * B, &done), 0);
	assert_int_equal(world_check(&w), 32);
	assert_int_equal(world_blocks(&w, c), 64);
	assert_int_equal(linkfs_node_copy_range(w.volume, NULL, c, 64 * B, c, 0, B, &done), 0);
	assert_int_equal(done, 0);
	world_truncate(&w, c, 0);
	assert_int_equal(world_check(&w), 0);
	free(bytes);
	free(got);
	world_close(&w);
}

static void allocated_blocks_are_used_in_place(void **state)
{
	(void)state;
	struct world w;
	world_open(&w, 0);
	uint64_t ino = world_file(&w, "f"), at;
	uint8_t bytes[3 * B], got[20 * B];
	fill(bytes, sizeof(bytes), 5);
	assert_int_equal(allocate(&w, ino, LINKFS_ALLOC_KEEP_SIZE, 0, 20 * B), 0);
	assert_int_equal(world_size(&w, ino), 0);
	assert_int_equal(world_blocks(&w, ino), 20);
	assert_int_equal(allocate(&w, ino, 0, 0, 20 * B), 0);
	assert_int_equal(world_size(&w, ino), 20 * B);
	assert_int_equal(linkfs_node_seek(w.volume, ino, 0, LINKFS_SEEK_DATA, &at), LINKFS_ENXIO);
	world_write(&w, ino, 5 * B + 10, bytes, 2 * B);
	assert_int_equal(world_blocks(&w, ino), 20);
	assert_int_equal(world_check(&w), 20);
	world_reopen(&w);
	assert_int_equal(linkfs_node_hold(w.volume, ino), 0);
	world_read(&w, ino, 0, got, sizeof(got));
	assert_true(is_zero(got, 5 * B + 10));
	assert_memory_equal(got + 5 * B + 10, bytes, 2 * B);
	assert_true(is_zero(got + 7 * B + 10, 13 * B - 10));
	assert_int_equal(linkfs_node_seek(w.volume, ino, 0, LINKFS_SEEK_DATA, &at), 0);
	assert_int_equal(at, 5 * B);
	assert_int_equal(linkfs_node_seek(w.volume, ino, at, LINKFS_SEEK_HOLE, &at), 0);
	assert_int_equal(at, 8 * B);
	/* Truncating to the same size gives back what lies past it. */
	assert_int_equal(allocate(&w, ino, LINKFS_ALLOC_KEEP_SIZE, 20 * B, 30 * B), 0);
	assert_int_equal(world_blocks(&w, ino), 50);
	world_truncate(&w, ino, 20 * B);
	assert_int_equal(world_check(&w), 20);
	world_close(&w);
}

/* More rows than one op cuts: holes and blocks in turn. */
static void large_cuts_take_steps(void **state)
{
	(void)state;
	struct world w;
	world_open(&w, 0);
	uint64_t ino = world_file(&w, "f");
	uint8_t page[B], got[B];
	unsigned n = 2500;
	fill(page, B, 6);
	for (unsigned i = 0; i < n; i++)
		world_write(&w, ino, (uint64_t)i * 2 * B, page, B);
	assert_true(rows(&w, LK_T_EXTENT, (int64_t)ino) >= 2 * n - 1);
	assert_int_equal(allocate(&w, ino, 3, B / 2, 2 * B * (uint64_t)(n / 2)), 0);
	assert_int_equal(world_check(&w), n - n / 2 + 1);
	world_read(&w, ino, 0, got, B);
	assert_memory_equal(got, page, B / 2);
	assert_true(is_zero(got + B / 2, B / 2));
	world_truncate(&w, ino, B);
	assert_int_equal(world_check(&w), 1);
	for (unsigned i = 0; i < n; i++)
		world_write(&w, ino, (uint64_t)i * 2 * B, page, B);
	assert_int_equal(linkfs_node_unlink(w.volume, NULL, 1, "f", 1), 0);
	assert_int_equal(world_check(&w), n); /* held */
	linkfs_node_release(w.volume, ino, 1);
	assert_int_equal(world_check(&w), 0);
	world_close(&w);
}

static void flip(const struct world *w, uint64_t at, uint8_t bit)
{
	char path[4300];
	uint8_t byte;
	(void)snprintf(path, sizeof(path), "%s/data.000000", w->volume_path);
	int fd = open(path, O_RDWR);
	assert_true(fd >= 0);
	assert_int_equal(pread(fd, &byte, 1, (off_t)at), 1);
	byte ^= bit;
	assert_int_equal(pwrite(fd, &byte, 1, (off_t)at), 1);
	close(fd);
}

/* F3: any flipped bit of content is an error for whoever reads that block, and for nobody else. */
static void flipped_bits_are_found(void **state)
{
	(void)state;
	struct world w;
	world_open(&w, 0);
	struct lk_test_random random = {lk_test_seed()};
	uint64_t ino = world_file(&w, "f"), other = world_file(&w, "g"), done64;
	size_t blocks = 70, done;
	uint8_t *bytes = malloc(blocks * B), *got = malloc(blocks * B), page[B];
	assert_true(bytes && got);
	fill(bytes, blocks * B, 7);
	world_write(&w, ino, 0, bytes, blocks * B);
	assert_int_equal(linkfs_volume_sync(w.volume), 0);
	struct lk_op op;
	struct lk_map map;
	assert_int_equal(lk_op_begin(lk_volume_fs(w.volume), &op, 0), 0);
	assert_int_equal(lk_extent_map(&op, ino, 0, (uint32_t)blocks, &map), 0);
	assert_int_equal(lk_op_end(&op, 0), 0);
	assert_int_equal(map.piece[0].codec, LK_CODEC_RAW);
	for (int i = 0; i < 200; i++) {
		uint64_t b = lk_test_below(&random, map.piece[0].count), byte = lk_test_below(&random, B);
		uint8_t bit = (uint8_t)(1u << lk_test_below(&random, 8));
		flip(&w, (map.piece[0].disk + b) * B + byte, bit);
		memset(got, 0xcc, B);
		assert_int_equal(linkfs_node_read(w.volume, ino, b * B, got, B, &done), LINKFS_ECORRUPT);
		assert_int_equal(linkfs_node_read(w.volume, ino, b * B + 5, got, 1, &done), LINKFS_ECORRUPT);
		/* Neither a partial write nor a partial zero builds on it, nor does growth; the file stays as it is. */
		assert_int_equal(linkfs_node_write(w.volume, NULL, ino, b * B + 1, page, 5, 0, &done, NULL),
				 LINKFS_ECORRUPT);
		assert_int_equal(allocate(&w, ino, 3, b * B + 1, 5), LINKFS_ECORRUPT);
		if (b)
			world_read(&w, ino, 0, got, (size_t)b * B);
		assert_memory_equal(got, bytes, (size_t)b * B);
		/* A read over it gives what is before, or the error. */
		int r = linkfs_node_read(w.volume, ino, 0, got, blocks * B, &done);
		assert_int_equal(r, LINKFS_ECORRUPT);
		flip(&w, (map.piece[0].disk + b) * B + byte, bit);
	}
	/* Shared, it is found through both; a whole rewrite of the block mends. */
	assert_int_equal(linkfs_node_copy_range(w.volume, NULL, ino, 0, other, 0, 10 * B, &done64), 0);
	flip(&w, map.piece[0].disk * B, 1);
	assert_int_equal(linkfs_node_read(w.volume, other, 0, got, B, &done), LINKFS_ECORRUPT);
	world_write(&w, other, 0, bytes, B);
	world_read(&w, other, 0, got, 10 * B);
	assert_memory_equal(got, bytes, 10 * B);
	assert_int_equal(linkfs_node_read(w.volume, ino, 0, got, B, &done), LINKFS_ECORRUPT);
	(void)world_check(&w);
	free(bytes);
	free(got);
	w.damaged = true;
	world_close(&w);
}

/* F5: rows that lie are errors, whatever they say. */
static void lying_rows_are_damage(void **state)
{
	(void)state;
	static const struct lk_extent bad[] = {
		{.file_block = 0, .disk_block = 0, .count = 0},
		{.file_block = 0, .disk_block = 0, .count = 65},
		{.file_block = 0, .disk_block = -1, .count = 4},
		{.file_block = 0, .disk_block = INT64_MAX, .count = 4},
		{.file_block = 0, .disk_block = LK_DISK_BLOCK_MAX - 2, .count = 4},
		{.file_block = 0, .disk_block = LK_GROUP_BLOCKS - 2, .count = 4},
		{.file_block = 0, .disk_block = 8, .count = 4, .codec = 9},
		{.file_block = 0, .disk_block = 8, .count = 4, .length = 1},
		{.file_block = 0, .disk_block = 8, .count = 4, .offset = -1},
		{.file_block = 0, .disk_block = 8, .count = 4, .codec = LK_CODEC_HOLE},
		{.file_block = 0, .disk_block = 0, .count = INT64_MAX, .codec = LK_CODEC_HOLE},
		{.file_block = 0, .disk_block = 8, .count = 40000, .codec = LK_CODEC_UNWRITTEN},
		{.file_block = 0, .disk_block = 8, .count = 3}, /* short: a gap */
		{.file_block = 1, .disk_block = 8, .count = 4},
	};
	struct world w;
	world_open(&w, 0);
	uint8_t bytes[4 * B], got[4 * B], sums[65 * 8] = {0};
	fill(bytes, sizeof(bytes), 8);
	for (size_t i = 0; i < LK_ARRAY_LEN(bad) + 1; i++) {
		char name[16];
		(void)snprintf(name, sizeof(name), "f%zu", i);
		uint64_t ino = world_file(&w, name);
		world_write(&w, ino, 0, bytes, sizeof(bytes));
		struct lk_op op;
		struct lk_extent row = {.ino = (int64_t)ino}, key = row;
		assert_int_equal(lk_op_begin(lk_volume_fs(w.volume), &op, LK_OP_WRITE), 0);
		assert_int_equal(lk_txn_get(&op, LK_T_EXTENT, &key, &row), 0);
		assert_int_equal(lk_txn_erase(&op, LK_T_EXTENT, &key), 0);
		if (i < LK_ARRAY_LEN(bad)) {
			struct lk_extent lie = bad[i];
			lie.ino = (int64_t)ino;
			if (lie.codec == LK_CODEC_RAW)
				lie.sums = (struct lk_bytes){sums, (size_t)lie.count * 8};
			assert_int_equal(lk_txn_put(&op, LK_T_EXTENT, &lie), 0);
		} else { /* sums too short */
			row.sums.len -= 8;
			assert_int_equal(lk_txn_put(&op, LK_T_EXTENT, &row), 0);
		}
		assert_int_equal(lk_op_end(&op, 0), 0);
		size_t done = 0;
		int r = linkfs_node_read(w.volume, ino, 0, got, sizeof(got), &done);
		if (r != LINKFS_ECORRUPT)
			fail_msg("lie %zu: read gives %s", i, linkfs_error_name(r));
		r = linkfs_node_write(w.volume, NULL, ino, 2 * B + 1, bytes, 2 * B - 2, 0, &done, NULL);
		if (r != LINKFS_ECORRUPT)
			fail_msg("lie %zu: write gives %s", i, linkfs_error_name(r));
	}
	w.damaged = true;
	world_close(&w);
}

static void changes_touch_times_and_bits(void **state)
{
	(void)state;
	struct world w;
	world_open(&w, 0);
	struct linkfs_cred user = {.uid = 1000, .gid = 1000, .umask = 022};
	uint64_t ino = world_file(&w, "f");
	struct linkfs_setattr mode = {.valid = LINKFS_SET_MODE, .mode = 06777};
	struct linkfs_stat a, b;
	size_t done;
	for (int how = 0; how < 8; how++) {
		assert_int_equal(linkfs_node_setattr(w.volume, NULL, ino, &mode, &a), 0);
		usleep(1000);
		const struct linkfs_cred *cred = how & 1 ? &user : NULL;
		if (how < 4) { /* 2 and 3: the kernel asks for it */
			uint32_t flags = how & 2 ? LINKFS_WRITE_KILL_SUIDGID : 0;
			assert_int_equal(linkfs_node_write(w.volume, cred, ino, (uint64_t)how * 2000, "x", 1, flags,
							   &done, NULL),
					 0);
		} else if (how < 6) {
			assert_int_equal(linkfs_node_allocate(w.volume, cred, ino, 0, 0, 3 * B), 0);
		} else {
			assert_int_equal(linkfs_node_allocate(w.volume, cred, ino, 3, 0, B), 0);
		}
		assert_int_equal(linkfs_node_getattr(w.volume, ino, &b), 0);
		assert_true(b.mtime_ns > a.mtime_ns && b.ctime_ns > a.ctime_ns && b.ctime_ns == b.mtime_ns);
		bool dropped = cred || how == 2;
		assert_int_equal(b.mode & 06000, dropped ? 0 : 06000);
		assert_int_equal(b.mode & 0777, 0777);
	}
	/* relatime: the first read after a change, not the next. An empty read is none. */
	assert_int_equal(linkfs_node_read(w.volume, ino, 0, &a, 0, &done), 0);
	assert_int_equal(linkfs_node_getattr(w.volume, ino, &a), 0);
	assert_true(a.atime_ns <= a.mtime_ns);
	uint8_t byte;
	world_read(&w, ino, 0, &byte, 1);
	assert_int_equal(linkfs_node_getattr(w.volume, ino, &b), 0);
	assert_true(b.atime_ns > b.mtime_ns && b.ctime_ns == a.ctime_ns);
	usleep(1000);
	world_read(&w, ino, 0, &byte, 1);
	assert_int_equal(linkfs_node_getattr(w.volume, ino, &a), 0);
	assert_true(a.atime_ns == b.atime_ns);
	world_close(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(small_files_stay_inline),
		cmocka_unit_test(cut_tails_read_as_zeros),
		cmocka_unit_test(appends_extend_the_last_row),
		cmocka_unit_test(rows_lie_in_one_group),
		cmocka_unit_test(limits_and_kinds),
		cmocka_unit_test(copies_share_blocks),
		cmocka_unit_test(allocated_blocks_are_used_in_place),
		cmocka_unit_test(large_cuts_take_steps),
		cmocka_unit_test(flipped_bits_are_found),
		cmocka_unit_test(lying_rows_are_damage),
		cmocka_unit_test(changes_touch_times_and_bits),
	};
	return cmocka_run_group_tests_name("content-rules", tests, NULL, NULL);
}
