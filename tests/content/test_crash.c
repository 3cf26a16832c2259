/*
 * test_crash.c - a process that goes away in the middle: long truncations and punches are finished by the next open, and
 * nobody sees the old end meanwhile; random work cut off leaves a volume whose records agree.
 */
#include "checked.h"
#include "world.h"

#include <errno.h>
#include <file.h>
#include <node.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define B LK_BLOCK_SIZE
#define PAIRS 2000u /* a block and a hole each: 4,000 rows */

#define CHECK(x)                                                                                                       \
	do {                                                                                                           \
		if (!(x)) {                                                                                            \
			fprintf(stderr, "child, line %d: %s\n", __LINE__, #x);                                         \
			_exit(9);                                                                                      \
		}                                                                                                      \
	} while (0)

static void make_sparse(struct world *w, uint64_t ino)
{
	uint8_t page[B];
	memset(page, 0x5a, B);
	for (unsigned i = 0; i < PAIRS; i++)
		world_write(w, ino, (uint64_t)i * 2 * B, page, B);
	world_truncate(w, ino, (uint64_t)PAIRS * 2 * B);
}

/* Runs fn on the volume in a child that ends without closing it. */
static void in_child(struct world *w, uint64_t ino, void (*fn)(struct world *, uint64_t))
{
	assert_int_equal(linkfs_volume_close(w->volume), 0);
	fflush(stdout);
	pid_t pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		struct linkfs_open_options options = {.commit_interval_ms = 3600000};
		CHECK(linkfs_volume_open(w->volume_path, &options, &w->volume, NULL) == 0);
		CHECK(linkfs_node_hold(w->volume, ino) == 0);
		fn(w, ino);
		_exit(0);
	}
	int status = 0;
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
	/* What is still to be done is no problem. */
	lk_test_clean(w->volume_path, LINKFS_CHECK_DATA);
	struct linkfs_message why = {""};
	int r = linkfs_volume_open(w->volume_path, NULL, &w->volume, &why);
	if (r)
		fail_msg("open after the crash: %s: %s", linkfs_error_name(r), why.text);
	assert_int_equal(linkfs_node_hold(w->volume, ino), 0);
}

/* The op of a truncation without the steps that would follow it, then some steps; all of it durable. */
static void cut_off_truncation(struct world *w, uint64_t ino, unsigned steps)
{
	struct lk_fs *fs = lk_volume_fs(w->volume);
	struct lk_op op;
	struct lk_inode inode;
	struct linkfs_stat st;
	bool more = true;
	uint64_t at;
	uint8_t got[3 * B];
	size_t done = 0;
	CHECK(lk_op_begin(fs, &op, LK_OP_WRITE) == 0);
	CHECK(lk_inode_get(&op, ino, &inode) == 0);
	CHECK(lk_file_resize(&op, &inode, B + 7) == 0);
	CHECK(lk_inode_put(&op, &inode) == 0);
	CHECK(op.reclaim_count == 1);
	op.reclaim_count = 0;
	CHECK(lk_op_end(&op, 0) == 0);
	for (unsigned i = 0; i < steps; i++) {
		CHECK(lk_op_begin(fs, &op, LK_OP_WRITE) == 0);
		CHECK(lk_op_end(&op, lk_file_trim_step(&op, ino, &more)) == 0);
		CHECK(more);
	}
	/* The size is the new one for everybody. */
	CHECK(linkfs_node_getattr(w->volume, ino, &st) == 0 && st.size == B + 7);
	CHECK(linkfs_node_read(w->volume, ino, 0, got, sizeof(got), &done) == 0 && done == B + 7);
	CHECK(linkfs_node_seek(w->volume, ino, B + 7, LINKFS_SEEK_DATA, &at) == LINKFS_ENXIO);
	CHECK(linkfs_volume_sync(w->volume) == 0);
}

static void cut_off_at_once(struct world *w, uint64_t ino)
{
	cut_off_truncation(w, ino, 0);
}

static void cut_off_later(struct world *w, uint64_t ino)
{
	cut_off_truncation(w, ino, 3);
}

/* Between the steps somebody makes the file larger again: nothing old comes back. */
static void grown_between(struct world *w, uint64_t ino)
{
	uint8_t got[3 * B];
	size_t done = 0;
	cut_off_truncation(w, ino, 1);
	struct linkfs_setattr grow = {.valid = LINKFS_SET_SIZE, .size = (uint64_t)PAIRS * 2 * B};
	CHECK(linkfs_node_setattr(w->volume, NULL, ino, &grow, NULL) == 0);
	CHECK(linkfs_node_read(w->volume, ino, 2 * B, got, sizeof(got), &done) == 0 && done == sizeof(got));
	for (size_t i = 0; i < sizeof(got); i++)
		CHECK(got[i] == 0);
	CHECK(linkfs_volume_sync(w->volume) == 0);
}

static void written_between(struct world *w, uint64_t ino)
{
	uint8_t got[3 * B];
	size_t done = 0;
	cut_off_truncation(w, ino, 1);
	CHECK(linkfs_node_write(w->volume, NULL, ino, (uint64_t)PAIRS * 2 * B - 1, "", 1, 0, &done, NULL) == 0);
	CHECK(linkfs_node_read(w->volume, ino, 2 * B, got, sizeof(got), &done) == 0 && done == sizeof(got));
	for (size_t i = 0; i < sizeof(got); i++)
		CHECK(got[i] == 0);
	CHECK(linkfs_volume_sync(w->volume) == 0);
}

static void unlinked_between(struct world *w, uint64_t ino)
{
	cut_off_truncation(w, ino, 1);
	CHECK(linkfs_node_unlink(w->volume, NULL, 1, "f", 1) == 0);
	CHECK(linkfs_volume_sync(w->volume) == 0);
}

static void long_truncations_are_finished(void **state)
{
	(void)state;
	void (*const ways[])(struct world *, uint64_t) = {cut_off_at_once, cut_off_later, grown_between,
							  written_between};
	uint8_t got[4 * B];
	for (size_t i = 0; i < LK_ARRAY_LEN(ways); i++) {
		struct world w;
		world_open(&w, 0);
		uint64_t ino = world_file(&w, "f");
		make_sparse(&w, ino);
		assert_int_equal(world_check(&w), PAIRS);
		in_child(&w, ino, ways[i]);
		assert_int_equal(world_check(&w), i == 3 ? 2 : 1);
		uint64_t size = i < 2 ? B + 7 : (uint64_t)PAIRS * 2 * B;
		assert_int_equal(world_size(&w, ino), size);
		world_truncate(&w, ino, 4 * B);
		world_read(&w, ino, 0, got, 4 * B);
		for (size_t k = 0; k < 4 * B; k++)
			assert_int_equal(got[k], k < B ? 0x5a : 0);
		world_close(&w);
	}
}

static void a_crash_drops_what_has_no_name(void **state)
{
	(void)state;
	struct world w;
	world_open(&w, 0);
	uint64_t keep = world_file(&w, "keep"), ino = world_file(&w, "f");
	make_sparse(&w, ino);
	assert_int_equal(linkfs_volume_close(w.volume), 0);
	fflush(stdout);
	pid_t pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		struct linkfs_open_options options = {.commit_interval_ms = 3600000};
		CHECK(linkfs_volume_open(w.volume_path, &options, &w.volume, NULL) == 0);
		CHECK(linkfs_node_hold(w.volume, ino) == 0);
		unlinked_between(&w, ino);
		_exit(0);
	}
	int status = 0;
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	assert_int_equal(linkfs_volume_open(w.volume_path, NULL, &w.volume, NULL), 0);
	struct linkfs_stat st;
	assert_int_equal(linkfs_node_getattr(w.volume, ino, &st), LINKFS_ESTALE);
	assert_int_equal(linkfs_node_getattr(w.volume, keep, &st), 0);
	assert_int_equal(world_check(&w), 0);
	world_close(&w);
}

/* An intent to punch, as the first step of a long one leaves it. */
static void cut_off_punch(struct world *w, uint64_t ino)
{
	struct lk_fs *fs = lk_volume_fs(w->volume);
	struct lk_op op;
	struct lk_intent row = {.id = LK_INTENT_ID(LK_INTENT_PUNCH, ino),
				.kind = LK_INTENT_PUNCH,
				.ino = (int64_t)ino,
				.from = 100,
				.to = 2 * PAIRS - 100};
	CHECK(lk_op_begin(fs, &op, LK_OP_WRITE) == 0);
	CHECK(lk_op_end(&op, lk_txn_put(&op, LK_T_INTENT, &row)) == 0);
	CHECK(linkfs_volume_sync(w->volume) == 0);
}

static void long_punches_are_finished(void **state)
{
	(void)state;
	struct world w;
	world_open(&w, 0);
	uint64_t ino = world_file(&w, "f"), at;
	make_sparse(&w, ino);
	in_child(&w, ino, cut_off_punch);
	assert_int_equal(world_check(&w), 100);
	assert_int_equal(linkfs_node_seek(w.volume, ino, 99 * B, LINKFS_SEEK_DATA, &at), 0);
	assert_int_equal(at, (2 * PAIRS - 100) * (uint64_t)B);
	world_close(&w);
}

static void random_work(struct world *w, uint64_t ino)
{
	const char *seed = getenv("LINKFS_CHILD_SEED");
	struct lk_test_random random = {seed ? strtoull(seed, NULL, 10) : 1};
	uint8_t *bytes = malloc(1 << 20);
	CHECK(bytes);
	memset(bytes, 0x77, 1 << 20);
	unsigned steps = 20 + (unsigned)lk_test_below(&random, 200);
	for (unsigned i = 0; i < steps; i++) {
		uint64_t at = lk_test_below(&random, 4 << 20), len = 1 + lk_test_below(&random, 1 << 18), done;
		size_t n;
		int r = 0;
		switch (lk_test_below(&random, 6)) {
		case 0: {
			struct linkfs_setattr s = {.valid = LINKFS_SET_SIZE, .size = at};
			r = linkfs_node_setattr(w->volume, NULL, ino, &s, NULL);
			break;
		}
		case 1:
			r = linkfs_node_allocate(w->volume, NULL, ino, 3, at, len);
			break;
		case 2:
			r = linkfs_node_allocate(w->volume, NULL, ino, 16, at, len);
			break;
		case 3:
			r = linkfs_node_copy_range(w->volume, NULL, ino, at / B * B, ino, (8 << 20) + at / B * B, len,
						   &done);
			break;
		case 4:
			if (lk_test_below(&random, 3) == 0)
				r = linkfs_volume_sync(w->volume);
			break;
		default:
			r = linkfs_node_write(w->volume, NULL, ino, at, bytes, (size_t)len, 0, &n, NULL);
			break;
		}
		CHECK(r == 0);
	}
}

static void work_cut_off_leaves_agreeing_records(void **state)
{
	(void)state;
	uint64_t seed = lk_test_seed();
	struct world w;
	world_open(&w, 0);
	uint64_t ino = world_file(&w, "f");
	uint8_t *got = malloc(1 << 20);
	assert_non_null(got);
	for (unsigned round = 0; round < 12; round++) {
		char text[32];
		(void)snprintf(text, sizeof(text), "%llu", (unsigned long long)(seed * 1000 + round));
		assert_int_equal(setenv("LINKFS_CHILD_SEED", text, 1), 0);
		in_child(&w, ino, random_work);
		(void)world_check(&w);
		/* Every byte has its checksum, and is one that was written. */
		uint64_t size = world_size(&w, ino);
		for (uint64_t at = 0; at < size; at += 1 << 20) {
			size_t n = (size_t)LK_MIN(size - at, (uint64_t)(1 << 20));
			world_read(&w, ino, at, got, n);
			for (size_t i = 0; i < n; i++)
				assert_true(got[i] == 0 || got[i] == 0x77);
		}
	}
	free(got);
	world_close(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(long_truncations_are_finished),
		cmocka_unit_test(a_crash_drops_what_has_no_name),
		cmocka_unit_test(long_punches_are_finished),
		cmocka_unit_test(work_cut_off_leaves_agreeing_records),
	};
	return cmocka_run_group_tests_name("content-crash", tests, NULL, NULL);
}
