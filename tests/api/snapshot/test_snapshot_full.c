/*
 * test_snapshot_full.c - deleting snapshots on a full host (E2, F4): it frees space, so it succeeds, however far apart what goes lies.
 */
#include "small_host.h"
#include "test.h"

#include <linkfs.h>
#include <linkfs_check.h>
#include <linkfs_links.h>
#include <linkfs_snapshots.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#define OK(call) assert_int_equal(call, 0)
#define GONE 250u /* names that go before the second snapshot */
#define USED 12u  /* and on the full host, before the first deletion: the log has less left than it began with */

static struct linkfs_volume *v;

static char name[16];

static size_t name_of(unsigned i)
{
	return (size_t)snprintf(name, sizeof(name), "n%u", i);
}

static void open_volume(const char *path)
{
	struct linkfs_message why = {""};
	if (linkfs_volume_open(path, NULL, &v, &why))
		fail_msg("open: %s", why.text);
}

static void take(const char *snapshot)
{
	OK(linkfs_snapshot_create(v, NULL, &(struct linkfs_snapshot_new){.name = snapshot}, NULL));
}

static void check(void)
{
	struct linkfs_check_options o = {0};
	struct linkfs_check_summary sum = {0};
	struct linkfs_message why = {""};
	OK(linkfs_volume_check(v, &o, &sum, &why));
	assert_int_equal(sum.problems, 0);
}

static void unlink_name(unsigned i)
{
	size_t len = name_of(i);
	OK(linkfs_node_unlink(v, NULL, LINKFS_ROOT_INO, name, len));
}

/* Some names go after the snapshot "first" and the rest after "second". In history's indexes, which go by a hash of the name, the first ones lie
 * anywhere: with 400 names for each in a page of their own, mostly, of each index. */
static void make_history(unsigned names)
{
	struct linkfs_make how = {.mode = S_IFREG | 0644};
	struct linkfs_stat st;
	OK(linkfs_path_make(v, NULL, LINKFS_ROOT_INO, "f", &how, &st));
	for (unsigned i = 0; i < names + USED; i++) {
		size_t len = name_of(i);
		OK(linkfs_node_link(v, NULL, st.ino, LINKFS_ROOT_INO, name, len, 0, &st));
	}
	take("first");
	for (unsigned i = 0; i < names; i += names / GONE)
		unlink_name(i);
	take("second");
	for (unsigned i = 0; i < names; i++) {
		if (i % (names / GONE))
			unlink_name(i);
	}
}

static void delete_on_a_full_host(unsigned names, const char *first, const char *then)
{
	char *dir = small_host_make("128m"), *path = NULL;
	assert_true(asprintf(&path, "%s/volume", dir) > 0);
	OK(linkfs_volume_create(path, NULL, NULL));
	open_volume(path);
	make_history(names);
	OK(linkfs_volume_close(v));
	small_host_fill(dir);
	open_volume(path);
	for (unsigned i = 0; i < USED; i++) {
		unlink_name(names + i);
		OK(linkfs_volume_sync(v));
	}
	OK(linkfs_snapshot_delete(v, NULL, first, NULL, NULL, NULL));
	OK(linkfs_volume_sync(v));
	check();
	OK(linkfs_snapshot_delete(v, NULL, then, NULL, NULL, NULL));
	OK(linkfs_volume_sync(v));
	check();
	OK(linkfs_volume_close(v));
	free(path);
	small_host_done(dir);
}

static void the_oldest(void **state)
{
	(void)state;
	delete_on_a_full_host(400 * GONE, "first", "second");
}

/* Its history goes to the older one, row by row. */
static void the_newest(void **state)
{
	(void)state;
	delete_on_a_full_host(40 * GONE, "second", "first");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_oldest),
		cmocka_unit_test(the_newest),
	};
	return cmocka_run_group_tests_name("api-snapshot-full", tests, NULL, NULL);
}
