/*
 * test_holes.c - copies of holes of any length: what takes one step where both files have one there, and is a hole afterwards, whatever the
 * target was. Done block by block these copies would take hours.
 */
#include "world.h"

#include <string.h>

#define B LK_BLOCK_SIZE
#define TIB (UINT64_C(1) << 40)

static void copy(struct world *w, uint64_t from, uint64_t from_offset, uint64_t to, uint64_t to_offset, uint64_t length)
{
	uint64_t done = 0;
	assert_int_equal(linkfs_node_copy_range(w->volume, NULL, from, from_offset, to, to_offset, length, &done), 0);
	assert_int_equal(done, length);
}

static void put(struct world *w, uint64_t ino, uint64_t offset, const char *text)
{
	world_write(w, ino, offset, text, strlen(text));
}

static void has(struct world *w, uint64_t ino, uint64_t offset, const char *text)
{
	char got[64];
	world_read(w, ino, offset, got, strlen(text));
	assert_memory_equal(got, text, strlen(text));
}

/* From offset on there are no data before until, and zeros are read. */
static void is_hole(struct world *w, uint64_t ino, uint64_t offset, uint64_t until)
{
	static const uint8_t zeros[2 * B];
	uint8_t got[2 * B];
	uint64_t data = UINT64_MAX;
	int r = linkfs_node_seek(w->volume, ino, offset, LINKFS_SEEK_DATA, &data);
	assert_true(r == LINKFS_ENXIO || (r == 0 && data >= until));
	world_read(w, ino, offset, got, sizeof(got));
	assert_memory_equal(got, zeros, sizeof(got));
	world_read(w, ino, until - sizeof(got), got, sizeof(got));
	assert_memory_equal(got, zeros, sizeof(got));
}

/* "begin", 5 TiB of nothing, "middle", and nothing up to a size that ends no block. */
static uint64_t source_of(struct world *w)
{
	uint64_t ino = world_file(w, "source");
	put(w, ino, 0, "begin");
	put(w, ino, 5 * TIB + 100, "middle");
	world_truncate(w, ino, 12 * TIB + 1234);
	return ino;
}

static void a_new_file_gets_the_same_holes(void **state)
{
	struct world w;
	(void)state;
	world_open(&w, 0);
	uint64_t from = source_of(&w), to = world_file(&w, "to");
	copy(&w, from, 0, to, 0, 12 * TIB + 1234);
	assert_int_equal(world_size(&w, to), 12 * TIB + 1234);
	has(&w, to, 0, "begin");
	is_hole(&w, to, B, 5 * TIB);
	has(&w, to, 5 * TIB + 100, "middle");
	is_hole(&w, to, 5 * TIB + B, 12 * TIB);
	/* Bytes at the end that are no whole block are written. */
	assert_in_range(world_blocks(&w, to), world_blocks(&w, from), world_blocks(&w, from) + 1);
	(void)world_check(&w);
	world_close(&w);
}

static void what_was_there_is_gone(void **state)
{
	struct world w;
	(void)state;
	world_open(&w, 0);
	uint64_t from = source_of(&w), to = world_file(&w, "to");
	put(&w, to, 0, "first");
	put(&w, to, TIB, "second");
	put(&w, to, 3 * TIB + 17, "third");
	put(&w, to, 4 * TIB + B, "stays");
	assert_int_equal(linkfs_node_allocate(w.volume, NULL, to, 0, 2 * TIB, 100 * B), 0);
	copy(&w, from, B, to, 0, 4 * TIB + 5);
	assert_int_equal(world_size(&w, to), 4 * TIB + B + 5);
	is_hole(&w, to, B, 4 * TIB);
	has(&w, to, 4 * TIB + B, "stays");
	copy(&w, from, B, to, 0, 4 * TIB);
	is_hole(&w, to, 0, 4 * TIB);
	(void)world_check(&w);
	world_close(&w);
}

static void what_lies_in_the_record_is_gone(void **state)
{
	struct world w;
	(void)state;
	world_open(&w, 0);
	uint64_t from = source_of(&w), to = world_file(&w, "to"), behind = world_file(&w, "behind");
	put(&w, to, 0, "short");
	put(&w, behind, 0, "short");
	copy(&w, from, B, to, 0, 2 * TIB);
	assert_int_equal(world_size(&w, to), 2 * TIB);
	is_hole(&w, to, 0, 2 * TIB);
	copy(&w, from, B, behind, B, 2 * TIB);
	assert_int_equal(world_size(&w, behind), 2 * TIB + B);
	has(&w, behind, 0, "short");
	is_hole(&w, behind, B, 2 * TIB + B);
	(void)world_check(&w);
	world_close(&w);
}

/* Bytes past the end of a file, which a program may have written through a mapping, do not come to light. */
static void what_is_before_stays(void **state)
{
	static const uint8_t zeros[B];
	struct world w;
	uint8_t bytes[2 * B], got[B];
	(void)state;
	world_open(&w, 0);
	uint64_t from = source_of(&w), to = world_file(&w, "to");
	memset(bytes, 'x', sizeof(bytes));
	world_write(&w, to, 0, bytes, sizeof(bytes));
	world_truncate(&w, to, B + 10);
	copy(&w, from, B, to, 8 * B, 3 * TIB);
	assert_int_equal(world_size(&w, to), 3 * TIB + 8 * B);
	world_read(&w, to, 0, got, B);
	assert_memory_equal(got, bytes, B);
	world_read(&w, to, B + 10, got, B);
	assert_memory_equal(got, zeros, B);
	is_hole(&w, to, 2 * B, 3 * TIB + 8 * B);
	/* In the middle of a file it does not make it shorter or longer. */
	put(&w, to, 4 * TIB, "end");
	copy(&w, from, B, to, 8 * B, 2 * TIB);
	assert_int_equal(world_size(&w, to), 4 * TIB + 3);
	has(&w, to, 4 * TIB, "end");
	(void)world_check(&w);
	world_close(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_new_file_gets_the_same_holes),
		cmocka_unit_test(what_was_there_is_gone),
		cmocka_unit_test(what_lies_in_the_record_is_gone),
		cmocka_unit_test(what_is_before_stays),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
