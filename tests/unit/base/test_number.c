/*
 * test_number.c - numbers in text: only digits, only what fits, only with the byte after them that was said; else nothing is touched.
 */
#include "test.h"

#include <base.h>
#include <string.h>

static void taken(const char *text, char end, uint64_t max, uint64_t expected)
{
	const char *p = text;
	uint64_t n = 77;

	assert_true(lk_take_number(&p, end, max, &n));
	assert_int_equal(n, expected);
	assert_ptr_equal(p, text + strspn(text, "0123456789") + 1);
}

static void refused(const char *text, char end, uint64_t max)
{
	const char *p = text;
	uint64_t n = 77;

	assert_false(lk_take_number(&p, end, max, &n));
	assert_int_equal(n, 77);
	assert_ptr_equal(p, text);
}

static void numbers_up_to_their_most(void **state)
{
	(void)state;
	taken("0", 0, 0, 0);
	taken("0 x", ' ', 1, 0);
	taken("1-", '-', 1, 1);
	taken("007", 0, 7, 7);
	taken("4294967295", 0, UINT32_MAX, UINT32_MAX);
	taken("18446744073709551615 ", ' ', UINT64_MAX, UINT64_MAX);
}

static void more_than_their_most_is_refused(void **state)
{
	(void)state;
	/* A most of one digit is less than most digits are. */
	for (unsigned max = 0; max < 9; max++) {
		char text[] = {(char)('1' + max), 0};

		refused(text, 0, max);
	}
	refused("10", 0, 9);
	refused("19", 0, 5);
	refused("4294967296", 0, UINT32_MAX);
	refused("18446744073709551616", 0, UINT64_MAX);
	refused("99999999999999999999999999", 0, UINT64_MAX);
}

static void other_text_is_no_number(void **state)
{
	(void)state;
	refused("", 0, 9);
	refused(" 1", 0, 9);
	refused("+1", 0, 9);
	refused("-1", 0, UINT64_MAX);
	refused("x", 0, 9);
	refused("1", ' ', 9);
	refused("1 ", 0, 9);
	refused("1.0", 0, 9);
	refused("0x1", 0, 9);
}

static void signed_numbers(void **state)
{
	static const struct {
		const char *text;
		int64_t n;
	} good[] = {{"0", 0},
		    {"-0", 0},
		    {"-1", -1},
		    {"12", 12},
		    {"9223372036854775807", INT64_MAX},
		    {"-9223372036854775808", INT64_MIN}};
	static const char *const bad[] = {
		"", "-", "--1", "- 1", "+1", "1-", "9223372036854775808", "-9223372036854775809"};

	(void)state;
	for (size_t i = 0; i < LK_ARRAY_LEN(good); i++) {
		const char *p = good[i].text;
		int64_t n = 77;

		assert_true(lk_take_signed(&p, 0, &n));
		assert_true(n == good[i].n);
		assert_ptr_equal(p, good[i].text + strlen(good[i].text) + 1);
	}
	for (size_t i = 0; i < LK_ARRAY_LEN(bad); i++) {
		const char *p = bad[i];
		int64_t n = 77;

		assert_false(lk_take_signed(&p, 0, &n));
		assert_int_equal(n, 77);
		assert_ptr_equal(p, bad[i]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(numbers_up_to_their_most),
		cmocka_unit_test(more_than_their_most_is_refused),
		cmocka_unit_test(other_text_is_no_number),
		cmocka_unit_test(signed_numbers),
	};
	return cmocka_run_group_tests_name("number", tests, NULL, NULL);
}
