/*
 * test_snapshot_full.c - deleting snapshots on a full host (E2, F4): it frees space, so it succeeds, however far apart what goes lies.
 */
#include "one_volume.h"
#include "small_host.h"

#include <linkfs_snapshots.h>
#include <stdio.h>

#define GONE 250u /* names that go before the second snapshot */
#define USED 12u  /* and on the full host, before the first deletion: the log has less left than it began with */

static char name[16];

static size_t name_of(unsigned i)
{
	return (size_t)snprintf(name, sizeof(name), "n%u", i);
}

static void take(const char *snapshot)
{
	OK(linkfs_snapshot_create(v, NULL, &(struct linkfs_snapshot_new){.name = snapshot}, NULL));
}

static void unlink_name(unsigned i)
{
	size_t len = name_of(i);
	OK(linkfs_node_unlink(v, NULL, ROOT, name, len));
}

/* Some names go after the snapshot "first" and the rest after "second". In history's indexes, which go by a hash of the name, the first ones lie
 * anywhere: with 400 names for each in a page of their own, mostly, of each index. */
static void make_history(unsigned names)
{
	struct linkfs_make how = {.mode = S_IFREG | 0644};
	struct linkfs_stat st;
	OK(linkfs_path_make(v, NULL, ROOT, "f", &how, &st));
	for (unsigned i = 0; i < names + USED; i++) {
		size_t len = name_of(i);
		OK(linkfs_node_link(v, NULL, st.ino, ROOT, name, len, 0, &st));
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
	char *dir = small_host_make("128m");
	(void)snprintf(volume_path, sizeof(volume_path), "%s/volume", dir);
	OK(linkfs_volume_create(volume_path, NULL, NULL));
	volume_open();
	make_history(names);
	OK(linkfs_volume_close(v));
	small_host_fill(dir);
	volume_open();
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
