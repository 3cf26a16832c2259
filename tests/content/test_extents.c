/*
 * test_extents.c - linkfs_node_extents(): what has blocks is told once and in order, holes are not; files that share say so, at the
 * same place; long lists come in parts; errors change nothing.
 */
#include "world.h"

#include <extent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define B LK_BLOCK_SIZE
#define EXTENTS_MAX 1000

struct told {
	struct linkfs_extent list[EXTENTS_MAX];
	unsigned len, stop_at; /* stop_at: the call that is refused; 0: none */
	int result;
};

static int take(void *arg, const struct linkfs_extent *extent)
{
	struct told *t = arg;
	if (t->stop_at && t->len + 1 == t->stop_at)
		return t->result;
	assert_true(t->len < EXTENTS_MAX);
	t->list[t->len++] = *extent;
	return 0;
}

/* All of them; neighbours on disk with equal flags become one. Checks order and alignment. */
static void list(struct world *w, uint64_t ino, struct told *out)
{
	static struct told raw;
	uint64_t offset = 0;
	raw = (struct told){.len = 0};
	for (unsigned calls = 0; offset != UINT64_MAX; calls++) {
		assert_true(calls < 100);
		assert_int_equal(linkfs_node_extents(w->volume, ino, &offset, take, &raw), 0);
	}
	*out = (struct told){.len = 0};
	uint64_t end = 0;
	for (unsigned i = 0; i < raw.len; i++) {
		const struct linkfs_extent *e = &raw.list[i];
		assert_true(e->length > 0 && e->offset >= end);
		assert_true(e->offset % B == 0 && e->length % B == 0 && e->disk % B == 0);
		end = e->offset + e->length;
		struct linkfs_extent *last = out->len ? &out->list[out->len - 1] : NULL;
		if (last && last->offset + last->length == e->offset && last->disk + last->length == e->disk &&
		    last->flags == e->flags)
			last->length += e->length;
		else
			out->list[out->len++] = *e;
	}
}

static void fill(uint8_t *p, size_t len, uint64_t seed)
{
	struct lk_test_random random = {seed};
	for (size_t i = 0; i < len; i++)
		p[i] = (uint8_t)lk_test_next(&random);
}

static void what_has_blocks_is_told(void **state)
{
	(void)state;
	struct world w;
	struct told t;
	uint8_t bytes[4 * B];
	world_open(&w, 0);
	fill(bytes, sizeof(bytes), 1);
	uint64_t small = world_file(&w, "small"), empty = world_file(&w, "empty"), ino = world_file(&w, "f");
	world_write(&w, small, 0, bytes, 100);
	list(&w, small, &t);
	assert_int_equal(t.len, 0);
	list(&w, empty, &t);
	assert_int_equal(t.len, 0);
	world_write(&w, ino, 0, bytes, 2 * B);
	world_write(&w, ino, 10 * B, bytes, 3 * B);
	assert_int_equal(linkfs_node_allocate(w.volume, NULL, ino, LINKFS_ALLOC_KEEP_SIZE, 20 * B, 5 * B), 0);
	list(&w, ino, &t);
	assert_true(t.len >= 3);
	uint64_t written = 0, reserved = 0;
	for (unsigned i = 0; i < t.len; i++) {
		const struct linkfs_extent *e = &t.list[i];
		uint64_t end = e->offset + e->length;
		assert_int_equal(e->flags & LINKFS_EXTENT_SHARED, 0);
		if (e->flags & LINKFS_EXTENT_UNWRITTEN) {
			assert_true(e->offset >= 20 * B && end <= 25 * B);
			reserved += e->length;
		} else {
			assert_true(end <= 2 * B || (e->offset >= 10 * B && end <= 13 * B));
			written += e->length;
		}
	}
	assert_int_equal(written, 5 * B);
	assert_int_equal(reserved, 5 * B);
	world_close(&w);
}

static void copies_tell_the_same_place(void **state)
{
	(void)state;
	struct world w;
	static struct told a, b;
	uint8_t *bytes = malloc(100 * B);
	assert_non_null(bytes);
	fill(bytes, 100 * B, 2);
	world_open(&w, 0);
	uint64_t source = world_file(&w, "a");
	world_write(&w, source, 0, bytes, 100 * B);
	struct linkfs_stat copy;
	assert_int_equal(linkfs_node_clone(w.volume, NULL, source, 1, "b", 1, LINKFS_HOLD, &copy), 0);
	list(&w, source, &a);
	list(&w, copy.ino, &b);
	assert_int_equal(a.len, b.len);
	assert_memory_equal(a.list, b.list, a.len * sizeof(a.list[0]));
	for (unsigned i = 0; i < a.len; i++)
		assert_int_equal(a.list[i].flags, LINKFS_EXTENT_SHARED);
	/* Each keeps what was not written; what was written is no longer the other's. */
	world_write(&w, copy.ino, 0, bytes + B, 40 * B);
	list(&w, source, &a);
	list(&w, copy.ino, &b);
	uint64_t shared = 0, own = 0;
	for (unsigned i = 0; i < b.len; i++) {
		for (unsigned k = 0; k < a.len; k++) {
			const struct linkfs_extent *x = &a.list[k], *y = &b.list[i];
			uint64_t from = x->disk > y->disk ? x->disk : y->disk;
			uint64_t to =
				x->disk + x->length < y->disk + y->length ? x->disk + x->length : y->disk + y->length;
			if (from < to) {
				shared += to - from;
				assert_true(x->flags & y->flags & LINKFS_EXTENT_SHARED);
				assert_int_equal(from - x->disk + x->offset, from - y->disk + y->offset);
				assert_true(from - x->disk + x->offset >= 40 * B);
			}
		}
		own += b.list[i].flags & LINKFS_EXTENT_SHARED ? 0 : b.list[i].length;
	}
	assert_int_equal(shared, 60 * B);
	assert_int_equal(own, 40 * B);
	assert_int_equal(linkfs_node_unlink(w.volume, NULL, 1, "b", 1), 0);
	linkfs_node_release(w.volume, copy.ino, 1);
	list(&w, source, &a);
	for (unsigned i = 0; i < a.len; i++)
		assert_int_equal(a.list[i].flags, 0);
	free(bytes);
	world_close(&w);
}

static void long_lists_come_in_parts(void **state)
{
	(void)state;
	struct world w;
	static struct told t;
	uint8_t bytes[B];
	uint64_t offset;
	world_open(&w, 0);
	fill(bytes, sizeof(bytes), 3);
	uint64_t ino = world_file(&w, "f");
	for (uint64_t i = 0; i < 700; i++)
		world_write(&w, ino, 2 * i * B, bytes, B);
	list(&w, ino, &t);
	assert_int_equal(t.len, 700);
	for (unsigned i = 0; i < t.len; i++)
		assert_true(t.list[i].offset == 2 * i * B && t.list[i].length == B);
	/* Stopped by the callback: the extent that it refused comes again. */
	t = (struct told){.stop_at = 3, .result = 1};
	offset = 0;
	assert_int_equal(linkfs_node_extents(w.volume, ino, &offset, take, &t), 0);
	assert_int_equal(t.len, 2);
	assert_true(offset > 2 * B && offset <= 4 * B);
	t = (struct told){.stop_at = 2, .result = 1};
	assert_int_equal(linkfs_node_extents(w.volume, ino, &offset, take, &t), 0);
	assert_int_equal(t.len, 1);
	assert_int_equal(t.list[0].offset, 4 * B);
	/* From the middle of one on: that one too. */
	t = (struct told){.stop_at = 2, .result = 1};
	offset = 8 * B + 7;
	assert_int_equal(linkfs_node_extents(w.volume, ino, &offset, take, &t), 0);
	assert_int_equal(t.list[0].offset, 8 * B);
	/* A negative result is the call's, and nothing moved. */
	t = (struct told){.stop_at = 2, .result = LINKFS_EINTR};
	offset = 0;
	assert_int_equal(linkfs_node_extents(w.volume, ino, &offset, take, &t), LINKFS_EINTR);
	assert_int_equal(offset, 0);
	offset = UINT64_MAX - 1;
	t = (struct told){.len = 0};
	assert_int_equal(linkfs_node_extents(w.volume, ino, &offset, take, &t), 0);
	assert_true(t.len == 0 && offset == UINT64_MAX);
	world_close(&w);
}

static void errors_change_nothing(void **state)
{
	(void)state;
	struct world w;
	struct told t = {.len = 0};
	struct linkfs_stat st;
	uint64_t offset = 5;
	world_open(&w, 0);
	assert_int_equal(linkfs_node_extents(w.volume, 1, &offset, take, &t), LINKFS_EISDIR);
	assert_int_equal(linkfs_node_symlink(w.volume, NULL, 1, "l", 1, "x", 1, 0, &st), 0);
	assert_int_equal(linkfs_node_extents(w.volume, st.ino, &offset, take, &t), LINKFS_EINVAL);
	assert_int_equal(linkfs_node_extents(w.volume, 99999, &offset, take, &t), LINKFS_ESTALE);
	assert_int_equal(offset, 5);
	assert_int_equal(t.len, 0);
	world_close(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_has_blocks_is_told),
		cmocka_unit_test(copies_tell_the_same_place),
		cmocka_unit_test(long_lists_come_in_parts),
		cmocka_unit_test(errors_change_nothing),
	};
	return cmocka_run_group_tests_name("content-extents", tests, NULL, NULL);
}
