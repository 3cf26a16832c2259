/*
 * test_stream_hostile.c - streams that nobody's sender wrote, with good checksums: what cannot be carried out is refused before anything is begun.
 */
#include "one_volume.h"

#include "stream_case.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

/* As docs/STREAM.md has them. */
enum {
	BEGIN = 1,
	END,
	OLD,
	NEW,
	UNBIND,
	DEL,
	RMDIR,
	SIZE,
	DATA,
	HOLE,
	CLONE,
	TEXT,
	ADD,
	TRACK,
	BIND,
	XSET,
	XDEL,
	ATTR,
	PROPERTY,
	GONE
};

static struct stream_bytes stream;
static size_t record_at;
static uint64_t next_index;

static void bytes(const void *p, size_t len)
{
	if (stream.len + len > stream.cap) {
		stream.cap = (stream.len + len) * 2;
		stream.p = realloc(stream.p, stream.cap);
		assert_non_null(stream.p);
	}
	if (len)
		memcpy(stream.p + stream.len, p, len);
	stream.len += len;
}

static void number(uint64_t value, size_t size)
{
	unsigned char p[8];
	for (size_t i = 0; i < size; i++)
		p[i] = (unsigned char)(value >> (8 * i));
	bytes(p, size);
}

static void u32(uint32_t value)
{
	number(value, 4);
}

static void u64(uint64_t value)
{
	number(value, 8);
}

static void field(const void *p, size_t len)
{
	u32((uint32_t)len);
	bytes(p, len);
}

static void text(const char *s)
{
	field(s, strlen(s));
}

static void start(uint32_t type)
{
	record_at = stream.len;
	u32(type);
	u32(0);
	u64(next_index++);
}

static void done(void)
{
	size_t len = stream.len - record_at - 16;
	for (int i = 0; i < 4; i++)
		stream.p[record_at + 4 + (size_t)i] = (unsigned char)(len >> (8 * i));
	u64(XXH3_64bits(stream.p + record_at, stream.len - record_at));
}

static void begin(const char *stage, const char *tags, int64_t time_ns)
{
	unsigned char ids[5][16] = {{1}, {2}, {0}, {0}, {0}};
	stream.len = 0;
	next_index = 0;
	bytes("LKSTRM\r\n", 8);
	u32(1);
	u32(0);
	start(BEGIN);
	u32(0);
	u64(0);
	bytes(ids, sizeof(ids));
	u64((uint64_t)time_ns);
	text("hostile");
	text("");
	text(tags);
	text(stage);
	text("");
	u64(0);
	done();
}

static void end(uint64_t objects)
{
	unsigned char tree[16] = {0};
	XXH128_canonical_t sum;
	XXH128_canonicalFromHash(&sum, XXH3_128bits(stream.p, stream.len));
	start(END);
	u64(objects);
	bytes(tree, 16);
	bytes(sum.digest, 16);
	done();
}

static int receive(struct linkfs_message *why)
{
	return stream_case_receive(v, &stream, stream.len, 0, why);
}

static void nothing_is_pending(void)
{
	struct linkfs_receive_pending pending;
	assert_int_equal(linkfs_receive_pending(v, &pending), LINKFS_ENOENT);
	check();
}

/* Words of the line that says what is pending are parted by spaces. */
static void odd_stages(void **state)
{
	static const char *const stages[] = {".linkfs-receive x",  ".linkfs-receive\nkeep-deleted=1d",
					     ".linkfs-receivex",   ".linkfs-receive-",
					     ".linkfs-receive-1x", ".linkfs-receive\xff"};
	(void)state;
	for (size_t i = 0; i < sizeof(stages) / sizeof(stages[0]); i++) {
		begin(stages[i], "", 1);
		end(1);
		assert_int_equal(receive(NULL), LINKFS_EINVAL);
		nothing_is_pending();
	}
	begin(".linkfs-receive-17", "", 1);
	end(1);
	assert_int_equal(receive(NULL), LINKFS_EAGAIN); /* another tree */
	OK(linkfs_receive_abort(v, NULL, NULL));
	nothing_is_pending();
}

static void odd_tags(void **state)
{
	(void)state;
	begin(".linkfs-receive", "a,,b", 1);
	end(1);
	assert_int_equal(receive(NULL), LINKFS_EINVAL);
	nothing_is_pending();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(odd_stages, volume_setup, volume_teardown),
		cmocka_unit_test_setup_teardown(odd_tags, volume_setup, volume_teardown),
	};
	int r = cmocka_run_group_tests(tests, NULL, NULL);
	stream_case_free(&stream);
	return r;
}
