/*
 * test_snapshot_fault.c - deleting a snapshot of which a part cannot be given back (E2): it is gone all the same, the error is told once, it
 * keeps nobody from deleting others, and what fails is met again at the next opening only (linkfs_snapshots.h).
 */
#include "db_wrap.h"
#include "one_volume.h"

#include <linkfs_prune.h>
#include <linkfs_snapshots.h>
#include <string.h>

static void take(const char *name)
{
	OK(linkfs_snapshot_create(v, NULL, &(struct linkfs_snapshot_new){.name = name}, NULL));
}

static int name_it(void *arg, const struct linkfs_snapshot *s)
{
	(void)strncat(arg, s->name, 8);
	return 0;
}

static void left(const char *want)
{
	char names[100] = "";
	OK(linkfs_snapshot_list(v, name_it, names));
	assert_string_equal(names, want);
}

static struct lk_db *db; /* the volume's own: a check opens another one */

/* Nothing can be erased: as if its pages were damaged. */
static void damage(void)
{
	lk_db_fault_plan(db, &(struct lk_fault_plan){
				     .which = LK_FAULT_ERASE, .n = 1, .code = LINKFS_ECORRUPT, .all_later = true});
}

static int setup(void **state)
{
	int r = volume_setup(state);
	db = lk_db_wrapped();
	return r;
}

/* Without the damage. */
static void open_again(void)
{
	reopen();
	db = lk_db_wrapped();
}

static void make_three(void)
{
	put("f", "1");
	take("a");
	put("f", "2");
	take("b");
	put("f", "3");
	take("c");
	put("f", "4");
	OK(linkfs_volume_sync(v));
}

static void told_once(void **state)
{
	(void)state;
	for (int beside = 0; beside < 2; beside++) {
		make_three();
		/* Alone in its transaction, and with something else in it. */
		if (beside)
			put("g", "waits");
		damage();
		assert_int_equal(linkfs_snapshot_delete(v, NULL, "b", NULL, NULL, NULL), LINKFS_ECORRUPT);
		assert_int_equal(linkfs_snapshot_delete(v, NULL, "b", NULL, NULL, NULL), LINKFS_ENOENT);
		left("ac");
		take("b");
		if (beside)
			same_text("g", "waits");
		open_again();
		left("acb");
		check();
		for (const char *s = "abc"; *s; s++)
			OK(linkfs_snapshot_delete(v, NULL, (char[]){*s, 0}, NULL, NULL, NULL));
		same_text("f", "4");
		check();
	}
}

static int prune(void)
{
	struct linkfs_prune_options options = {0};
	struct linkfs_prune_rules *rules;
	int r;
	OK(linkfs_prune_rules_new(&rules));
	OK(linkfs_prune_rules_add(rules, "last", "1", NULL));
	options.rules = rules;
	r = linkfs_prune(v, NULL, &options, NULL, NULL);
	linkfs_prune_rules_free(rules);
	return r;
}

/* Each run gets one further, and the last has nothing to do. */
static void pruned_in_the_end(void **state)
{
	(void)state;
	make_three();
	damage();
	assert_int_equal(prune(), LINKFS_ECORRUPT);
	left("bc");
	assert_int_equal(prune(), LINKFS_ECORRUPT);
	left("c");
	OK(prune());
	open_again();
	left("c");
	check();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(told_once, setup, volume_teardown),
		cmocka_unit_test_setup_teardown(pruned_in_the_end, setup, volume_teardown),
	};
	return cmocka_run_group_tests_name("api-snapshot-fault", tests, NULL, NULL);
}
