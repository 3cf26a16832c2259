/*
 * test_packed.c - compressed content (E10): when it is, what rows become of it, what is left alone, who may ask for it. That every change of
 * such content is right is content-model-packed's to prove.
 */
#include "world.h"

#include <extent.h>
#include <file.h>
#include <linkfs_snapshots.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define B LK_BLOCK_SIZE
#define CHUNK LK_CHUNK_BYTES

static uint8_t plain[4 * CHUNK], noise[4 * CHUNK], got[4 * CHUNK];

/* Two of three bits of it say nothing; noise says all. */
static void fill(void)
{
	struct lk_test_random random = {7};
	for (size_t i = 0; i < sizeof(plain); i++) {
		noise[i] = (uint8_t)lk_test_next(&random);
		plain[i] = (uint8_t)("abcdefgh"[noise[i] & 7]);
	}
}

static void set(struct world *w, const char *value)
{
	assert_int_equal(linkfs_volume_set_property(w->volume, NULL, LINKFS_COMPRESSION, value, NULL), 0);
}

static uint64_t features(struct world *w)
{
	struct linkfs_info info;
	assert_int_equal(linkfs_volume_info(w->volume, &info), 0);
	return info.features_incompat;
}

struct rows {
	struct lk_ext e[300];
	size_t count;
	uint64_t ino;
};

static int take(void *arg, const void *record)
{
	struct rows *r = arg;
	const struct lk_extent *row = record;
	if ((uint64_t)row->ino != r->ino)
		return 0;
	assert_true(r->count < LK_ARRAY_LEN(r->e));
	r->e[r->count++] = (struct lk_ext){(uint64_t)row->file_block, (uint64_t)row->count,  (uint64_t)row->disk_block,
					   (uint32_t)row->codec,      (uint32_t)row->length, (uint32_t)row->offset};
	return 0;
}

static void rows_of(struct world *w, uint64_t ino, struct rows *out)
{
	struct lk_extent from = {.ino = (int64_t)ino};
	struct lk_scan scan = {.table = &lk_tables[LK_T_EXTENT], .index = LK_BY_KEY, .equal = 1, .from = &from};
	struct lk_op op;
	*out = (struct rows){.ino = ino};
	assert_int_equal(lk_op_begin(lk_volume_fs(w->volume), &op, 0), 0);
	assert_int_equal(lk_txn_scan(&op, &scan, take, out), 0);
	assert_int_equal(lk_op_end(&op, 0), 0);
}

static void same(struct world *w, uint64_t ino, const uint8_t *want, size_t size)
{
	assert_int_equal(world_size(w, ino), size);
	world_read(w, ino, 0, got, size);
	assert_memory_equal(got, want, size);
}

static void open_plain(struct world *w)
{
	assert_null(getenv("LINKFS_TEST_PROPERTY"));
	world_open(w, 0);
	fill();
}

static void what_is_compressed(void **state)
{
	(void)state;
	struct world w;
	struct rows r;
	open_plain(&w);
	uint64_t before = world_file(&w, "before");
	world_write(&w, before, 0, plain, CHUNK);
	assert_int_equal(world_blocks(&w, before), 32);
	set(&w, "zstd");
	/* The bit that keeps older versions off comes with the first compressed row, and not before. */
	uint64_t raw = world_file(&w, "noise");
	world_write(&w, raw, 0, noise, sizeof(noise));
	assert_int_equal(world_blocks(&w, raw), sizeof(noise) / B);
	assert_int_equal(features(&w), 0);
	uint64_t ino = world_file(&w, "f");
	world_write(&w, ino, 0, plain, 2 * CHUNK + 3 * B + 5);
	assert_int_equal(features(&w), 1);
	rows_of(&w, ino, &r);
	assert_int_equal(r.count, 3);
	for (size_t i = 0; i < 3; i++) {
		assert_int_equal(r.e[i].codec, LK_CODEC_ZSTD);
		assert_int_equal(r.e[i].at, i * LK_CHUNK_BLOCKS);
		assert_int_equal(r.e[i].offset, 0);
		assert_true(lk_ext_named(&r.e[i]) <= r.e[i].count / 2);
	}
	assert_int_equal(r.e[2].count, 4);
	uint64_t named = lk_ext_named(&r.e[0]) + lk_ext_named(&r.e[1]) + lk_ext_named(&r.e[2]);
	assert_int_equal(world_blocks(&w, ino), named);
	same(&w, ino, plain, 2 * CHUNK + 3 * B + 5);
	same(&w, before, plain, CHUNK);
	same(&w, raw, noise, sizeof(noise));
	/* Small files take no blocks, those neither that do not get smaller. */
	uint64_t small = world_file(&w, "small"), dense = world_file(&w, "dense");
	uint64_t all = world_check(&w);
	world_write(&w, small, 0, plain, 16000);
	world_write(&w, dense, 0, noise, 8000);
	assert_int_equal(world_check(&w), all);
	same(&w, small, plain, 16000);
	same(&w, dense, noise, 8000);
	world_reopen(&w);
	same(&w, small, plain, 16000);
	same(&w, ino, plain, 2 * CHUNK + 3 * B + 5);
	/* Off again: what is there stays, what comes is plain. */
	set(&w, "none");
	uint64_t after = world_file(&w, "after");
	world_write(&w, after, 0, plain, CHUNK);
	assert_int_equal(world_blocks(&w, after), 32);
	same(&w, ino, plain, 2 * CHUNK + 3 * B + 5);
	world_close(&w);
}

static void values_of_the_property(void **state)
{
	static const char *const bad[] = {"",        "zst",     "zstd:",    "zstd:0", "zstd:20",
					  "zstd:3x", "zstd:-1", "zstd:003", "lz4",    "on"};
	(void)state;
	struct world w;
	struct linkfs_message why;
	char value[64];
	open_plain(&w);
	for (size_t i = 0; i < LK_ARRAY_LEN(bad); i++) {
		assert_int_equal(linkfs_volume_set_property(w.volume, NULL, LINKFS_COMPRESSION, bad[i], &why),
				 LINKFS_EINVAL);
		assert_non_null(strstr(why.text, "zstd:LEVEL"));
	}
	for (unsigned level = 1; level <= LINKFS_COMPRESSION_LEVEL_MAX; level++) {
		(void)snprintf(value, sizeof(value), "zstd:%u", level);
		set(&w, value);
		uint64_t ino = world_file(&w, value);
		world_write(&w, ino, 0, plain, CHUNK);
		assert_true(world_blocks(&w, ino) <= 16);
		same(&w, ino, plain, CHUNK);
	}
	world_close(&w);
}

static void a_chunk_that_is_cut(void **state)
{
	(void)state;
	struct world w;
	struct rows r;
	open_plain(&w);
	set(&w, "zstd");
	uint64_t ino = world_file(&w, "f"), other = world_file(&w, "g"), done;
	world_write(&w, ino, 0, plain, CHUNK);
	uint64_t named = world_check(&w);
	assert_int_equal(world_blocks(&w, ino), named);
	/* A block in the middle: two rows that name all of the chunk, one of a block. */
	world_write(&w, ino, 5 * B + 10, "x", 1);
	plain[5 * B + 10] = 'x';
	rows_of(&w, ino, &r);
	assert_int_equal(r.count, 3);
	assert_true(r.e[0].count == 5 && r.e[0].offset == 0 && r.e[0].codec == LK_CODEC_ZSTD);
	assert_true(r.e[1].count == 1 && r.e[1].codec == LK_CODEC_RAW);
	assert_true(r.e[2].count == 26 && r.e[2].offset == 6 && r.e[2].disk == r.e[0].disk &&
		    r.e[2].length == r.e[0].length);
	assert_int_equal(world_check(&w), named + 1);
	same(&w, ino, plain, CHUNK);
	/* A part of it in another file. */
	assert_int_equal(linkfs_node_copy_range(w.volume, NULL, ino, 8 * B, other, 0, 4 * B, &done), 0);
	assert_int_equal(done, 4 * B);
	same(&w, other, plain + 8 * B, 4 * B);
	assert_int_equal(world_check(&w), named + 1);
	/* It goes with the last row that names it. */
	world_truncate(&w, ino, 0);
	assert_int_equal(world_check(&w), named);
	assert_int_equal(world_blocks(&w, other), 4);
	same(&w, other, plain + 8 * B, 4 * B);
	assert_int_equal(
		linkfs_node_allocate(w.volume, NULL, other, LINKFS_ALLOC_PUNCH | LINKFS_ALLOC_KEEP_SIZE, 0, 4 * B), 0);
	assert_int_equal(world_check(&w), 0);
	world_close(&w);
}

static void small_writes_become_chunks(void **state)
{
	(void)state;
	struct world w;
	struct rows r;
	open_plain(&w);
	set(&w, "zstd");
	uint64_t ino = world_file(&w, "f");
	for (size_t at = 0; at < CHUNK + 20 * B; at += 1000)
		world_write(&w, ino, at, plain + at, 1000);
	size_t size = (size_t)world_size(&w, ino);
	rows_of(&w, ino, &r);
	assert_true(r.e[0].codec == LK_CODEC_ZSTD && r.e[0].count == LK_CHUNK_BLOCKS);
	assert_true(r.count > 1 && r.e[1].codec == LK_CODEC_RAW);
	linkfs_node_written(w.volume, ino);
	rows_of(&w, ino, &r);
	assert_int_equal(r.count, 2);
	assert_int_equal(r.e[1].codec, LK_CODEC_ZSTD);
	same(&w, ino, plain, size);
	/* As closing a file does. */
	struct linkfs_file *file;
	assert_int_equal(linkfs_file_open(w.volume, NULL, 1, "h", LINKFS_O_CREATE | LINKFS_O_WRITE, 0644, &file), 0);
	uint64_t small = linkfs_file_ino(file);
	for (size_t at = 0; at < 3 * B; at += 500)
		assert_int_equal(linkfs_file_write(file, at, plain + at, 500, NULL), 0);
	assert_true(world_blocks(&w, small) >= 3);
	linkfs_file_close(file);
	uint64_t found;
	struct linkfs_stat st;
	assert_int_equal(linkfs_path_stat(w.volume, NULL, 1, "h", 0, &st), 0);
	found = st.ino;
	rows_of(&w, found, &r);
	assert_int_equal(r.count, 0); /* in its row */
	world_close(&w);
}

static uint64_t compress_all(struct world *w, const struct linkfs_cred *cred, uint64_t ino, uint32_t level)
{
	uint64_t offset = 0, saved = 0;
	while (offset != UINT64_MAX)
		assert_int_equal(linkfs_node_compress(w->volume, cred, ino, level, &offset, &saved), 0);
	return saved;
}

static void what_is_there_is_compressed(void **state)
{
	static const struct linkfs_cred owner = {.uid = 1000, .gid = 100}, stranger = {.uid = 1001, .gid = 100};
	(void)state;
	struct world w;
	struct linkfs_stat before, after;
	open_plain(&w);
	uint64_t ino = world_file(&w, "f"), raw = world_file(&w, "n"), offset = 0, saved = 0;
	world_write(&w, ino, 0, plain, sizeof(plain));
	world_write(&w, raw, 0, noise, sizeof(noise));
	struct linkfs_setattr change = {.valid = LINKFS_SET_UID | LINKFS_SET_GID, .uid = 1000, .gid = 100};
	assert_int_equal(linkfs_node_setattr(w.volume, NULL, ino, &change, NULL), 0);
	assert_int_equal(linkfs_node_compress(w.volume, &stranger, ino, 3, &offset, &saved), LINKFS_EPERM);
	assert_int_equal(linkfs_node_compress(w.volume, NULL, ino, 20, &offset, &saved), LINKFS_EINVAL);
	assert_int_equal(linkfs_node_compress(w.volume, NULL, 1, 3, &offset, &saved), LINKFS_EISDIR);
	assert_true(offset == 0 && saved == 0);
	assert_int_equal(compress_all(&w, NULL, ino, 0), 0); /* nobody says how */
	assert_int_equal(linkfs_node_getattr(w.volume, ino, &before), 0);
	uint64_t was = world_check(&w);
	saved = compress_all(&w, &owner, ino, 3);
	assert_true(saved > sizeof(plain) / 2);
	assert_int_equal(world_check(&w), was - saved / B);
	assert_int_equal(linkfs_node_getattr(w.volume, ino, &after), 0);
	assert_int_equal(after.blocks, before.blocks - saved / 512);
	assert_true(after.mtime_ns == before.mtime_ns && after.ctime_ns == before.ctime_ns &&
		    after.size == before.size);
	same(&w, ino, plain, sizeof(plain));
	assert_int_equal(compress_all(&w, NULL, ino, 3), 0); /* once */
	assert_int_equal(compress_all(&w, NULL, raw, 19), 0);
	world_close(&w);
}

static void what_others_have_is_left_alone(void **state)
{
	(void)state;
	struct world w;
	struct linkfs_snapshot_new what = {.name = "s"};
	open_plain(&w);
	uint64_t ino = world_file(&w, "f"), copy = world_file(&w, "g"), done;
	world_write(&w, ino, 0, plain, CHUNK);
	assert_int_equal(linkfs_node_copy_range(w.volume, NULL, ino, 0, copy, 0, CHUNK, &done), 0);
	assert_int_equal(compress_all(&w, NULL, ino, 3), 0);
	world_truncate(&w, copy, 0);
	assert_int_equal(linkfs_snapshot_create(w.volume, NULL, &what, NULL), 0);
	assert_int_equal(compress_all(&w, NULL, ino, 3), 0);
	world_write(&w, ino, 0, plain, CHUNK);
	assert_true(compress_all(&w, NULL, ino, 3) > 0);
	same(&w, ino, plain, CHUNK);
	(void)world_check(&w);
	world_close(&w);
}

static void directories_hand_it_on(void **state)
{
	(void)state;
	struct world w;
	struct linkfs_make dir = {.mode = S_IFDIR | 0755}, file = {.mode = S_IFREG | 0644};
	struct linkfs_stat st, in;
	const uint32_t both = LINKFS_INO_COMPRESS | LINKFS_INO_NO_COMPRESS;
	open_plain(&w);
	assert_int_equal(linkfs_node_make(w.volume, NULL, 1, "d", 1, &dir, 0, &st), 0);
	assert_int_equal(linkfs_node_set_flags(w.volume, NULL, st.ino, both, both, NULL), LINKFS_EINVAL);
	assert_int_equal(linkfs_node_set_flags(w.volume, NULL, st.ino, LINKFS_INO_COMPRESS, both, NULL), 0);
	assert_int_equal(features(&w), 1); /* older versions take the flag for damage */
	assert_int_equal(
		linkfs_node_set_flags(w.volume, NULL, st.ino, LINKFS_INO_NO_COMPRESS, LINKFS_INO_NO_COMPRESS, NULL),
		LINKFS_EINVAL);
	assert_int_equal(linkfs_path_make(w.volume, NULL, 1, "d/e", &dir, &in), 0);
	assert_int_equal(in.flags, LINKFS_INO_COMPRESS);
	assert_int_equal(linkfs_path_make(w.volume, NULL, 1, "d/e/f", &file, &in), 0);
	assert_int_equal(in.flags, LINKFS_INO_COMPRESS);
	world_write(&w, in.ino, 0, plain, CHUNK);
	assert_true(world_blocks(&w, in.ino) <= 16);
	/* And the other way round. */
	set(&w, "zstd:9");
	assert_int_equal(linkfs_node_set_flags(w.volume, NULL, in.ino, LINKFS_INO_NO_COMPRESS, both, &in), 0);
	assert_int_equal(in.flags, LINKFS_INO_NO_COMPRESS);
	world_write(&w, in.ino, 0, plain, CHUNK);
	assert_int_equal(world_blocks(&w, in.ino), 32);
	same(&w, in.ino, plain, CHUNK);
	world_close(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_compressed),          cmocka_unit_test(values_of_the_property),
		cmocka_unit_test(a_chunk_that_is_cut),         cmocka_unit_test(small_writes_become_chunks),
		cmocka_unit_test(what_is_there_is_compressed), cmocka_unit_test(what_others_have_is_left_alone),
		cmocka_unit_test(directories_hand_it_on),
	};
	return cmocka_run_group_tests_name("content-packed", tests, NULL, NULL);
}
