/*
 * test_advise.c - linkfs_advise(): each rule of linkfs-advise(1) by a question that it decides (D4).
 */
#include "test.h"

#include <linkfs_links.h>

static enum linkfs_advised advised(struct linkfs_question q, const char *rule)
{
	struct linkfs_advice a;
	linkfs_advise(&q, &a);
	assert_string_equal(a.rule, rule);
	assert_non_null(a.why);
	return a.link;
}

#define Q(...) ((struct linkfs_question){__VA_ARGS__})
static void advice_by_the_rules(void **state)
{
	const enum linkfs_answer yes = LINKFS_YES, no = LINKFS_NO;
	struct linkfs_question q = {0};
	struct linkfs_advice a;
	size_t n = 0;
	(void)state;
	assert_int_equal(advised(Q(.share_edits = no, .same_volume = no), "R1"), LINKFS_ADVISE_COPY);
	assert_int_equal(advised(Q(.share_edits = no, .directory = yes), "R2"), LINKFS_ADVISE_COPY);
	assert_int_equal(advised(Q(.share_edits = no), "R3"), LINKFS_ADVISE_COW);
	assert_int_equal(advised(Q(.same_volume = no, .survive_target_delete = yes), "R4"), LINKFS_ADVISE_COPY);
	assert_int_equal(advised(Q(.same_volume = no), "R5"), LINKFS_ADVISE_ABSOLUTE);
	assert_int_equal(advised(Q(.exists = no, .survive_target_delete = yes), "R6"), LINKFS_ADVISE_SYMLINK);
	assert_int_equal(advised(Q(.covers = yes), "R7"), LINKFS_ADVISE_BIND);
	assert_int_equal(advised(Q(.directory = yes, .survive_target_delete = yes), "R8"), LINKFS_ADVISE_DIRECTORY);
	assert_int_equal(advised(Q(.directory = yes, .follows = no), "R9"), LINKFS_ADVISE_DIRECTORY);
	assert_int_equal(advised(Q(.directory = yes, .replaced = yes), "R10"), LINKFS_ADVISE_SYMLINK);
	assert_int_equal(advised(Q(.directory = yes, .survive_target_move = yes), "R11"), LINKFS_ADVISE_TRACKED);
	assert_int_equal(advised(Q(.directory = yes, .survive_link_move = yes), "R12"), LINKFS_ADVISE_TRACKED);
	assert_int_equal(advised(Q(.directory = yes), "R13"), LINKFS_ADVISE_SYMLINK);
	assert_int_equal(advised(Q(.replaced = yes, .follows = no), "R14"), LINKFS_ADVISE_HARD);
	assert_int_equal(advised(Q(.replaced = yes, .survive_target_move = yes), "R15"), LINKFS_ADVISE_TRACKED);
	assert_int_equal(advised(Q(.replaced = yes), "R16"), LINKFS_ADVISE_SYMLINK);
	assert_int_equal(advised(Q(.follows = no), "R17"), LINKFS_ADVISE_HARD);
	assert_int_equal(advised(Q(.survive_target_delete = yes), "R18"), LINKFS_ADVISE_HARD);
	assert_int_equal(advised(Q(.survive_target_move = yes), "R19"), LINKFS_ADVISE_HARD);
	assert_int_equal(advised(Q(.survive_link_move = yes), "R20"), LINKFS_ADVISE_HARD);
	assert_int_equal(advised(q, "R21"), LINKFS_ADVISE_SYMLINK);
	/* What was assumed is said, what was answered is not. */
	linkfs_advise(&q, &a);
	while (a.assumed[n])
		n++;
	assert_int_equal(n, 10);
	q = Q(.same_volume = yes, .exists = yes, .directory = no, .covers = no, .share_edits = yes, .replaced = no,
	      .follows = yes, .survive_target_move = no, .survive_link_move = no, .survive_target_delete = no);
	linkfs_advise(&q, &a);
	assert_null(a.assumed[0]);
	q = Q(.share_edits = no);
	linkfs_advise(&q, &a);
	assert_non_null(a.assumed[1]); /* one volume, and no directory */
	assert_null(a.assumed[2]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(advice_by_the_rules)};
	return cmocka_run_group_tests_name("advise", tests, NULL, NULL);
}
