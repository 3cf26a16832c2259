/*
 * test_wire.c - records of a stream (docs/STREAM.md): what goes in comes out, for every type, with fields at their limits; everything else is refused,
 * and nothing but the bytes given is looked at.
 */
#include "test.h"
#include "wire.h"

#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

static struct lk_test_random rnd;
static char letters[LK_WIRE_DATA_MAX];

static struct lk_bytes some(size_t least, size_t most)
{
	size_t len = lk_test_below(&rnd, 3)   ? least + lk_test_below(&rnd, most - least + 1)
		     : lk_test_below(&rnd, 2) ? most
					      : least;

	return (struct lk_bytes){letters, len};
}

static uint64_t number(void)
{
	return lk_test_below(&rnd, 4) ? lk_test_below(&rnd, 100000) + 1 : lk_test_next(&rnd);
}

/* With every field of any type set; sizes that add up. */
static void draw(struct lk_wire *r, uint32_t type)
{
	static const char stage[] = LK_WIRE_STAGE "-7";

	*r = (struct lk_wire){.type = type,
			      .index = lk_test_next(&rnd),
			      .object = number(),
			      .dir = number(),
			      .other = number(),
			      .offset = lk_test_below(&rnd, 1u << 30),
			      .other_offset = lk_test_below(&rnd, 1u << 30),
			      .length = 1 + lk_test_below(&rnd, 1u << 30),
			      .mode = (uint32_t)lk_test_next(&rnd),
			      .uid = (uint32_t)lk_test_next(&rnd),
			      .gid = (uint32_t)lk_test_next(&rnd),
			      .flags = (uint32_t)lk_test_below(&rnd, 2),
			      .rdev_major = (uint32_t)lk_test_next(&rnd),
			      .rdev_minor = (uint32_t)lk_test_next(&rnd),
			      .atime_ns = (int64_t)lk_test_next(&rnd),
			      .mtime_ns = (int64_t)lk_test_next(&rnd),
			      .btime_ns = (int64_t)lk_test_next(&rnd),
			      .name = some(1, LINKFS_NAME_MAX),
			      .note = some(0, 4095),
			      .tags = some(0, 1024),
			      .base_name = some(0, 255),
			      .rest = some(0, LINKFS_SYMLINK_MAX),
			      .stage = {stage, sizeof(stage) - 1},
			      .resume = lk_test_next(&rnd)};
	r->data = type == LK_WIRE_DATA       ? some(1, LK_WIRE_DATA_MAX)
		  : type == LK_WIRE_XSET     ? some(0, LINKFS_XATTR_SIZE_MAX)
		  : type == LK_WIRE_PROPERTY ? some(0, 511)
					     : some(1, LINKFS_SYMLINK_MAX);
	memset(r->stream, 1, 16);
	memset(r->tree, 2, 16);
	memset(r->sum, 3, 16);
	memset(r->base, 4, 32);
	memset(r->self, 5, 32);
}

static void every_type_comes_back(void **state)
{
	struct lk_buf out = {0}, again = {0};
	struct lk_wire in, back;
	size_t len;
	(void)state;

	for (uint32_t i = 0; i < 200 * LK_WIRE_TYPES; i++) {
		uint32_t type = 1 + i % (LK_WIRE_TYPES - 1);

		draw(&in, type);
		out.len = again.len = 0;
		assert_int_equal(lk_wire_encode(&in, &out), 0);
		assert_int_equal(lk_wire_length(out.p, &len), 0);
		assert_int_equal(len, out.len);
		assert_true(len <= LK_WIRE_RECORD_MAX);
		assert_int_equal(lk_wire_decode(out.p, out.len, &back), 0);
		assert_int_equal(back.type, type);
		assert_int_equal(back.index, in.index);
		assert_int_equal(lk_wire_encode(&back, &again), 0);
		assert_int_equal(again.len, out.len);
		assert_memory_equal(again.p, out.p, out.len);
		if (type == LK_WIRE_ATTR) {
			assert_int_equal(back.mtime_ns, in.mtime_ns);
			assert_int_equal(back.gid, in.gid);
		}
		if (type == LK_WIRE_DATA) {
			assert_int_equal(back.data.len, in.data.len);
			assert_memory_equal(back.data.p, in.data.p, in.data.len);
		}
	}
	lk_buf_done(&out);
	lk_buf_done(&again);
}

/* A copy of its own size, so that a look past its end is found. */
static int decode(const uint8_t *bytes, size_t len)
{
	uint8_t *copy = malloc(len ? len : 1);
	struct lk_wire back;
	int rc;

	memcpy(copy, bytes, len);
	rc = lk_wire_decode(copy, len, &back);
	free(copy);
	return rc;
}

static void anything_else_is_refused(void **state)
{
	struct lk_buf out = {0};
	struct lk_wire in;
	(void)state;

	for (uint32_t type = 1; type < LK_WIRE_TYPES; type++) {
		draw(&in, type);
		in.data.len = in.data.len > 300 ? 300 : in.data.len;
		in.note.len = in.note.len > 100 ? 100 : in.note.len;
		out.len = 0;
		assert_int_equal(lk_wire_encode(&in, &out), 0);
		for (size_t len = 0; len < out.len; len++)
			assert_int_not_equal(decode(out.p, len), 0);
		for (size_t i = 0; i < out.len; i++) {
			out.p[i] ^= (uint8_t)(1u << i % 8);
			assert_int_not_equal(decode(out.p, out.len), 0);
			out.p[i] ^= (uint8_t)(1u << i % 8);
		}
		/* With a good checksum: a payload of other lengths than its fields'. */
		for (int more = -3; more <= 3; more++) {
			size_t payload = out.len - LK_WIRE_HEAD - LK_WIRE_TAIL + (size_t)more;
			uint8_t *copy = calloc(1, out.len + 8);

			if (more == 0 || payload > out.len + 8) {
				free(copy);
				continue;
			}
			memcpy(copy, out.p, out.len - LK_WIRE_TAIL);
			copy[4] = (uint8_t)payload;
			copy[5] = (uint8_t)(payload >> 8);
			lk_put_u64(copy + LK_WIRE_HEAD + payload, XXH3_64bits(copy, LK_WIRE_HEAD + payload));
			assert_int_not_equal(decode(copy, LK_WIRE_HEAD + payload + LK_WIRE_TAIL), 0);
			free(copy);
		}
	}
	lk_buf_done(&out);
}

static int encoded(struct lk_wire r)
{
	struct lk_buf out = {0};
	int rc = lk_wire_encode(&r, &out);

	if (rc == 0)
		rc = decode(out.p, out.len);
	lk_buf_done(&out);
	return rc;
}

static void values_that_cannot_be(void **state)
{
	static const char zero[4] = {'a', 0, 'b', 0};
	(void)state;
	assert_int_equal(encoded((struct lk_wire){.type = LK_WIRE_ADD, .name = {"a", 1}}), 0);
	assert_int_equal(encoded((struct lk_wire){.type = LK_WIRE_ADD, .name = {"", 0}}), LINKFS_EINVAL);
	assert_int_equal(encoded((struct lk_wire){.type = LK_WIRE_ADD, .name = {".", 1}}), LINKFS_EINVAL);
	assert_int_equal(encoded((struct lk_wire){.type = LK_WIRE_OLD, .name = {"..", 2}}), LINKFS_EINVAL);
	assert_int_equal(encoded((struct lk_wire){.type = LK_WIRE_DEL, .name = {"a/b", 3}}), LINKFS_EINVAL);
	assert_int_equal(encoded((struct lk_wire){.type = LK_WIRE_BIND, .name = {zero, 3}}), LINKFS_EINVAL);
	assert_int_equal(encoded((struct lk_wire){.type = LK_WIRE_ADD, .name = {letters, 256}}), LINKFS_EINVAL);
	assert_int_equal(encoded((struct lk_wire){.type = LK_WIRE_NEW, .data = {letters, 4096}}), LINKFS_EINVAL);
	assert_int_equal(encoded((struct lk_wire){.type = LK_WIRE_TEXT, .data = {zero, 3}}), LINKFS_EINVAL);
	assert_int_equal(encoded((struct lk_wire){.type = LK_WIRE_GONE, .data = {"a", 1}}), 0);
	assert_int_equal(encoded((struct lk_wire){.type = LK_WIRE_GONE, .data = {"", 0}}), LINKFS_EINVAL);
	assert_int_equal(encoded((struct lk_wire){.type = LK_WIRE_GONE, .data = {zero, 3}}), LINKFS_EINVAL);
	assert_int_equal(encoded((struct lk_wire){.type = LK_WIRE_GONE, .data = {"a", 1}, .rest = {zero, 3}}),
			 LINKFS_EINVAL);
	assert_int_equal(encoded((struct lk_wire){.type = LK_WIRE_SIZE, .length = LINKFS_FILE_SIZE_MAX}), 0);
	assert_int_equal(encoded((struct lk_wire){.type = LK_WIRE_SIZE, .length = LINKFS_FILE_SIZE_MAX + 1}),
			 LINKFS_EINVAL);
	assert_int_equal(
		encoded((struct lk_wire){.type = LK_WIRE_DATA, .offset = LINKFS_FILE_SIZE_MAX, .data = {"a", 1}}),
		LINKFS_EINVAL);
	assert_int_equal(encoded((struct lk_wire){.type = LK_WIRE_HOLE, .offset = 5, .length = UINT64_MAX - 2}),
			 LINKFS_EINVAL);
	assert_int_equal(encoded((struct lk_wire){.type = LK_WIRE_CLONE, .other_offset = UINT64_MAX, .length = 1}),
			 LINKFS_EINVAL);
	assert_int_equal(encoded((struct lk_wire){.type = LK_WIRE_TRACK, .dir = 1}), LINKFS_EINVAL);
	assert_int_equal(encoded((struct lk_wire){.type = LK_WIRE_BEGIN, .name = {"a", 1}, .stage = {"d", 1}}),
			 LINKFS_EINVAL);
}

static void lengths_are_bounded(void **state)
{
	uint8_t head[LK_WIRE_HEAD] = {0};
	size_t len = 7;
	(void)state;

	for (uint32_t type = 0; type < 300; type++) {
		head[0] = (uint8_t)type;
		head[1] = (uint8_t)(type >> 8);
		memset(head + 4, 0xff, 4);
		assert_int_equal(lk_wire_length(head, &len), LINKFS_EINVAL);
	}
	assert_int_equal(len, 7);
}

static void prefixes(void **state)
{
	uint8_t prefix[LK_WIRE_PREFIX];
	(void)state;

	lk_wire_prefix(prefix);
	assert_int_equal(lk_wire_prefix_check(prefix), 0);
	prefix[8]++;
	assert_int_equal(lk_wire_prefix_check(prefix), LINKFS_ENEWER);
	prefix[0] = 'l';
	assert_int_equal(lk_wire_prefix_check(prefix), LINKFS_EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(every_type_comes_back),
					   cmocka_unit_test(anything_else_is_refused),
					   cmocka_unit_test(values_that_cannot_be),
					   cmocka_unit_test(lengths_are_bounded), cmocka_unit_test(prefixes)};

	memset(letters, 'x', sizeof(letters));
	rnd.state = lk_test_seed();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
