/*
 * test_snapshot.c - K2 and K3 for content: what a snapshot saw stays readable through every later change, block counts
 * agree all the way, and deleting snapshots gives back exactly what only they named. Below the public API, which has no
 * snapshots yet.
 */
#include "world.h"

#include <file.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <txn.h>

#define B LK_BLOCK_SIZE
#define SIZE_LIMIT (400u * B)
#define SNAPSHOTS 5u

struct past {
	int64_t epoch;
	uint64_t size;
	uint8_t *bytes;
};

static int64_t take(struct world *w)
{
	struct lk_op op;
	static unsigned count;
	char name[16];
	(void)snprintf(name, sizeof(name), "s%u", count++);
	struct lk_snapshot s = {.name = {name, strlen(name)}};
	assert_int_equal(lk_op_begin(lk_volume_fs(w->volume), &op, LK_OP_WRITE), 0);
	assert_int_equal(lk_op_end(&op, lk_txn_snapshot_add(&op, &s)), 0);
	return s.epoch;
}

static void drop(struct world *w, int64_t epoch)
{
	struct lk_op op;
	bool more = true;
	assert_int_equal(lk_op_begin(lk_volume_fs(w->volume), &op, LK_OP_WRITE), 0);
	assert_int_equal(lk_op_end(&op, lk_txn_snapshot_mark(&op, epoch)), 0);
	while (more) {
		assert_int_equal(lk_op_begin(lk_volume_fs(w->volume), &op, LK_OP_WRITE | LK_OP_FREES | LK_OP_BULK), 0);
		assert_int_equal(lk_op_end(&op, lk_txn_snapshot_drop(&op, epoch, 50, &(uint32_t){0}, &more)), 0);
	}
}

static void check_past(struct world *w, uint64_t ino, const struct past *p, uint8_t *buf)
{
	size_t done = 0;
	int r = lk_file_read(lk_volume_fs(w->volume), p->epoch, ino, 0, buf, SIZE_LIMIT + B, &done);
	if (r)
		fail_msg("read at epoch %lld: %s", (long long)p->epoch, linkfs_error_name(r));
	assert_int_equal(done, p->size);
	assert_memory_equal(buf, p->bytes, (size_t)p->size);
}

static void change(struct world *w, uint64_t ino, uint64_t other, struct lk_test_random *random, uint8_t *buf)
{
	uint64_t at = lk_test_below(random, SIZE_LIMIT / 2), n = 1 + lk_test_below(random, SIZE_LIMIT / 2 - 1), done;
	if (lk_test_below(random, 2)) {
		at = at / B * B;
		n = (n + B - 1) / B * B;
	}
	switch (lk_test_below(random, 9)) {
	case 0:
		world_truncate(w, ino, at);
		break;
	case 1:
		assert_int_equal(linkfs_node_allocate(w->volume, NULL, ino, 3, at, n), 0);
		break;
	case 2:
		assert_int_equal(linkfs_node_allocate(w->volume, NULL, ino, 16, at, n), 0);
		break;
	case 3:
		assert_int_equal(linkfs_node_allocate(w->volume, NULL, ino, 0, at, n), 0);
		break;
	case 4:
		assert_int_equal(linkfs_node_copy_range(w->volume, NULL, ino, at, other, 0, n, &done), 0);
		break;
	case 5:
		assert_int_equal(linkfs_node_copy_range(w->volume, NULL, other, 0, ino, at, n, &done), 0);
		break;
	default:
		memset(buf, (int)(1 + lk_test_below(random, 255)), (size_t)n);
		n = lk_test_below(random, 3) ? n % (10 * B) + 1 : n;
		world_write(w, ino, at, buf, (size_t)n);
		break;
	}
}

static void the_past_stays_as_it_was(void **state)
{
	(void)state;
	struct lk_test_random random = {lk_test_seed()};
	struct world w;
	world_open(&w, 0);
	uint64_t ino = world_file(&w, "f"), other = world_file(&w, "g");
	struct past past[SNAPSHOTS] = {0};
	uint8_t *buf = malloc(SIZE_LIMIT + B);
	assert_non_null(buf);
	for (unsigned i = 0; i < SNAPSHOTS; i++) {
		past[i].bytes = malloc(SIZE_LIMIT);
		assert_non_null(past[i].bytes);
	}
	for (unsigned step = 0; step < 400; step++) {
		struct past *p = &past[lk_test_below(&random, SNAPSHOTS)];
		if (lk_test_below(&random, 12) == 0) {
			if (p->epoch) {
				drop(&w, p->epoch);
				p->epoch = 0;
			} else {
				p->size = world_size(&w, ino);
				if (p->size)
					world_read(&w, ino, 0, p->bytes, (size_t)p->size);
				p->epoch = take(&w);
			}
		}
		change(&w, ino, other, &random, buf);
		if (p->epoch)
			check_past(&w, ino, p, buf);
		if (step % 20 == 19)
			(void)world_check(&w);
		if (step % 100 == 99) {
			world_reopen(&w);
			for (unsigned i = 0; i < SNAPSHOTS; i++)
				if (past[i].epoch)
					check_past(&w, ino, &past[i], buf);
		}
	}
	world_truncate(&w, ino, 0);
	world_truncate(&w, other, 0);
	for (unsigned i = 0; i < SNAPSHOTS; i++) {
		if (past[i].epoch) {
			check_past(&w, ino, &past[i], buf);
			drop(&w, past[i].epoch);
		}
		free(past[i].bytes);
	}
	assert_int_equal(world_check(&w), 0);
	free(buf);
	world_close(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_past_stays_as_it_was),
	};
	return cmocka_run_group_tests_name("content-snapshot", tests, NULL, NULL);
}
