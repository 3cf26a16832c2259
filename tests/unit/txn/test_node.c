/*
 * test_node.c - holds and write locks of inodes: counts against a model, exclusion between threads, memory for a million.
 */
#include "test.h"

#include "node.h"

#include <stdlib.h>
#include <string.h>

static struct lk_fs *make_fs(void)
{
	struct lk_fs *fs = calloc(1, sizeof(*fs));
	assert_non_null(fs);
	assert_int_equal(lk_node_table_new(&fs->nodes), 0);
	return fs;
}

static void free_fs(struct lk_fs *fs)
{
	lk_node_table_free(fs->nodes);
	free(fs);
}

#define MODEL_INOS 2000

static void holds_against_model(void **state)
{
	(void)state;
	struct lk_fs *fs = make_fs();
	struct lk_test_random random = {lk_test_seed()};
	static uint64_t holds[MODEL_INOS];
	static bool marked[MODEL_INOS];
	memset(holds, 0, sizeof(holds));
	memset(marked, 0, sizeof(marked));
	for (int step = 0; step < 300000; step++) {
		/* Waves: the table grows, then shrinks. */
		bool grow = step / 30000 % 2 == 0;
		uint64_t i = lk_test_below(&random, MODEL_INOS), ino = 1 + i * 64;
		uint64_t choice = lk_test_below(&random, 10);
		if (choice == 0) {
			assert_int_equal(lk_node_held(fs, ino), holds[i] > 0);
		} else if (choice == 1) {
			assert_int_equal(lk_node_mark_orphan(fs, ino), holds[i] > 0);
			marked[i] = holds[i] > 0;
		} else if (choice == 2) {
			assert_int_equal(lk_node_lock(fs, ino), 0);
			assert_int_equal(lk_node_held(fs, ino), holds[i] > 0);
			lk_node_unlock(fs, ino);
		} else if ((choice < 8) == grow) {
			uint64_t n = 1 + lk_test_below(&random, 3);
			assert_int_equal(lk_node_hold(fs, ino, n), 0);
			holds[i] += n;
		} else if (holds[i]) {
			uint64_t n = 1 + lk_test_below(&random, holds[i]);
			holds[i] -= n;
			assert_int_equal(lk_node_unhold(fs, ino, n), holds[i] == 0 && marked[i]);
			if (!holds[i])
				marked[i] = false;
		} else {
			assert_false(lk_node_unhold(fs, ino, 1));
		}
	}
	uint64_t nodes, bytes, expected = 0;
	for (uint64_t i = 0; i < MODEL_INOS; i++) {
		assert_int_equal(lk_node_held(fs, 1 + i * 64), holds[i] > 0);
		expected += holds[i] > 0;
	}
	lk_node_usage(fs, &nodes, &bytes);
	assert_int_equal(nodes, expected);
	for (uint64_t i = 0; i < MODEL_INOS; i++) {
		if (holds[i])
			(void)lk_node_unhold(fs, 1 + i * 64, holds[i]);
	}
	lk_node_usage(fs, &nodes, &bytes);
	assert_int_equal(nodes, 0);
	free_fs(fs);
}

static void million_held(void **state)
{
	(void)state;
	enum { COUNT = 1000000 };
	struct lk_fs *fs = make_fs();
	uint64_t nodes, bytes, empty;
	lk_node_usage(fs, &nodes, &empty);
	for (uint64_t i = 1; i <= COUNT; i++)
		assert_int_equal(lk_node_hold(fs, i, 1), 0);
	lk_node_usage(fs, &nodes, &bytes);
	assert_int_equal(nodes, COUNT);
	/* 20 bytes a node when the table has just filled, twice that when it has just grown. */
	assert_true(bytes <= (uint64_t)COUNT * 40);
	for (uint64_t i = 1; i <= COUNT; i++)
		assert_false(lk_node_unhold(fs, i, 1));
	lk_node_usage(fs, &nodes, &bytes);
	assert_int_equal(nodes, 0);
	assert_true(bytes <= empty + 64 * 1024);
	free_fs(fs);
}

#define THREADS 4
#define ROUNDS 20000
#define LOCKED_INOS 5

struct contest {
	struct lk_fs *fs;
	uint64_t seed;
	long *counters; /* unguarded but by the node locks */
};

static void *contender(void *arg)
{
	struct contest *c = arg;
	struct lk_test_random random = {c->seed};
	for (int i = 0; i < ROUNDS; i++) {
		uint64_t a = lk_test_below(&random, LOCKED_INOS), b = lk_test_below(&random, LOCKED_INOS);
		if (lk_node_lock2(c->fs, a + 1, b + 1))
			return arg;
		long x = c->counters[a], y = c->counters[b];
		/* Other nodes come and go, so that entries move under waiting lockers. */
		if (i % 64 == 0)
			(void)lk_node_hold(c->fs, 1000 + c->seed * ROUNDS + (uint64_t)i, 1);
		c->counters[a] = x + 1;
		if (a != b)
			c->counters[b] = y + 1;
		lk_node_unlock2(c->fs, a + 1, b + 1);
	}
	return NULL;
}

static void locks_exclude(void **state)
{
	(void)state;
	struct lk_fs *fs = make_fs();
	pthread_t threads[THREADS];
	struct contest contests[THREADS];
	long counters[LOCKED_INOS] = {0}, expected = 0, total = 0;
	uint64_t nodes, bytes;
	for (uint64_t i = 0; i < THREADS; i++) {
		contests[i] = (struct contest){fs, lk_test_seed() + i, counters};
		assert_int_equal(pthread_create(&threads[i], NULL, contender, &contests[i]), 0);
	}
	for (uint64_t i = 0; i < THREADS; i++) {
		void *result;
		assert_int_equal(pthread_join(threads[i], &result), 0);
		assert_null(result);
		struct lk_test_random random = {lk_test_seed() + i};
		for (int n = 0; n < ROUNDS; n++) {
			uint64_t a = lk_test_below(&random, LOCKED_INOS), b = lk_test_below(&random, LOCKED_INOS);
			expected += a == b ? 1 : 2;
		}
	}
	for (int i = 0; i < LOCKED_INOS; i++)
		total += counters[i];
	assert_int_equal(total, expected);
	/* The locks left nothing behind: only the holds are there. */
	lk_node_usage(fs, &nodes, &bytes);
	assert_int_equal(nodes, THREADS * ((ROUNDS + 63) / 64));
	free_fs(fs);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(holds_against_model), cmocka_unit_test(million_held),
					   cmocka_unit_test(locks_exclude)};
	return cmocka_run_group_tests_name("txn-node", tests, NULL, NULL);
}
