/*
 * test_fresh.c - what is known of new directories (core/name_fresh.h): never that a name is missing which was added; and that it is, as long as
 * there are few, for as many directories as are filled at a time.
 */
#include "name_fresh.h"
#include "test.h"

#include <stdlib.h>
#include <string.h>

#define DIRS 300u
#define NAMES 1500u

static int64_t hash_of(uint64_t dir, uint64_t name)
{
	struct lk_test_random random = {dir << 32 | name};

	/* As names' hashes are: not negative, and not small. */
	return (int64_t)(lk_test_next(&random) >> 9 | 16);
}

static void few_in_many(void **state)
{
	struct lk_name_fresh *f;

	(void)state;
	assert_int_equal(lk_name_fresh_new(&f), 0);
	assert_false(lk_name_fresh_lacks(f, 7, hash_of(7, 0)));
	for (uint64_t dir = 100; dir < 200; dir++) {
		lk_name_fresh_made(f, dir);
		assert_true(lk_name_fresh_lacks(f, dir, hash_of(dir, 0)));
	}
	for (uint64_t name = 0; name < 200; name++)
		for (uint64_t dir = 100; dir < 200; dir++) {
			assert_true(lk_name_fresh_lacks(f, dir, hash_of(dir, name)));
			lk_name_fresh_add(f, dir, hash_of(dir, name));
			assert_false(lk_name_fresh_lacks(f, dir, hash_of(dir, name)));
			lk_name_fresh_add(f, dir, hash_of(dir, name / 2));
		}
	/* Of another nothing is known. */
	assert_false(lk_name_fresh_lacks(f, 99, hash_of(99, 0)));
	lk_name_fresh_clear(f);
	for (uint64_t dir = 100; dir < 200; dir++)
		assert_false(lk_name_fresh_lacks(f, dir, hash_of(dir, 1000)));
	/* A number that was taken back is given out again. */
	lk_name_fresh_made(f, 150);
	assert_true(lk_name_fresh_lacks(f, 150, hash_of(150, 0)));
	lk_name_fresh_free(f);
}

static void one_of_many_names(void **state)
{
	struct lk_name_fresh *f;
	uint64_t name = 0;

	(void)state;
	assert_int_equal(lk_name_fresh_new(&f), 0);
	lk_name_fresh_made(f, 5);
	for (; name < NAMES && lk_name_fresh_lacks(f, 5, hash_of(5, name)); name++)
		lk_name_fresh_add(f, 5, hash_of(5, name));
	assert_in_range(name, 1000, NAMES - 1);
	for (uint64_t i = 0; i < NAMES; i++)
		assert_false(lk_name_fresh_lacks(f, 5, hash_of(5, i)));
	lk_name_fresh_free(f);
}

/* Any order of all calls, beside a table of what was added. */
static void random_calls(void **state)
{
	static bool has[DIRS][NAMES];
	struct lk_test_random random = {lk_test_seed()};
	struct lk_name_fresh *f;
	unsigned lacks = 0;

	(void)state;
	assert_int_equal(lk_name_fresh_new(&f), 0);
	for (unsigned i = 0; i < 400000; i++) {
		uint64_t dir = 1 + lk_test_below(&random, DIRS - 1), name = lk_test_below(&random, NAMES);

		switch (lk_test_below(&random, 2000)) {
		case 0:
			lk_name_fresh_made(f, dir);
			memset(has[dir], 0, sizeof(has[dir]));
			break;
		case 1:
			if (lk_test_below(&random, 20) == 0)
				lk_name_fresh_clear(f);
			break;
		default:
			if (lk_name_fresh_lacks(f, dir, hash_of(dir, name))) {
				if (has[dir][name])
					fail_msg("seed %llu: a name that is there is said to be missing",
						 (unsigned long long)lk_test_seed());
				lacks++;
			}
			if (lk_test_below(&random, 3) == 0) {
				lk_name_fresh_add(f, dir, hash_of(dir, name));
				has[dir][name] = true;
			}
		}
	}
	assert_true(lacks > 1000);
	lk_name_fresh_free(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(few_in_many),
		cmocka_unit_test(one_of_many_names),
		cmocka_unit_test(random_calls),
	};
	return cmocka_run_group_tests_name("core-names-fresh", tests, NULL, NULL);
}
