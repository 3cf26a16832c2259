/*
 * test_library.c - libraries that are loaded when a command needs them: what is found, and what is told when one is not there.
 */
#include <library.h>

#include <test.h>

#include <string.h>

static void functions_are_found(void **state)
{
	double (*cosine)(double) = NULL;
	double (*root)(double) = NULL;
	const char *const names[] = {"cos", "sqrt", NULL};
	void *const places[] = {&cosine, &root};
	const char *why = NULL;
	(void)state;
	assert_true(cli_library_load("libm.so.6", names, places, &why));
	assert_true(cosine(0) > 0.999 && cosine(0) < 1.001);
	assert_true(root(4) > 1.999 && root(4) < 2.001);
	assert_null(why);
}

static void a_library_that_is_not_there_is_named(void **state)
{
	double (*cosine)(double) = NULL;
	const char *const names[] = {"cos", NULL};
	void *const places[] = {&cosine};
	const char *why = NULL;
	(void)state;
	assert_false(cli_library_load("libno-such-thing.so.1", names, places, &why));
	assert_non_null(strstr(why, "libno-such-thing.so.1"));
}

static void a_function_that_is_not_in_it_is_named(void **state)
{
	double (*cosine)(double) = NULL;
	const char *const names[] = {"cos", "no_such_function", NULL};
	void *const places[] = {&cosine, &cosine};
	const char *why = NULL;
	(void)state;
	assert_false(cli_library_load("libm.so.6", names, places, &why));
	assert_non_null(strstr(why, "no_such_function"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(functions_are_found),
		cmocka_unit_test(a_library_that_is_not_there_is_named),
		cmocka_unit_test(a_function_that_is_not_in_it_is_named),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
