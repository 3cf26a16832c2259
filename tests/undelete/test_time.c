/*
 * test_time.c - the time of deleted files ends (E9): by the keeper, at open, and when keep-deleted is made shorter; a reader waits for nobody.
 */
#include "kept.h"

#include <time.h>
#include <unistd.h>

static int64_t now_ns(void)
{
	struct timespec ts;
	(void)clock_gettime(CLOCK_REALTIME, &ts);
	return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

/* Waits until all is given up; the time at which it was seen. */
static int64_t wait_until_gone(struct world *w)
{
	for (int i = 0; i < 6000; i++) {
		if (list(w, NULL, NULL)->count == 0)
			return now_ns();
		usleep(10000);
	}
	fail_msg("it is still kept");
	return 0;
}

static void time_ends_the_keeping(void **state)
{
	(void)state;
	struct world w;
	kept_open(&w, "1s", 0);
	uint64_t blocks = kept_check(&w);
	int64_t before = now_ns();
	put_blocks(&w, "f", 300, 7);
	put(&w, "d/", NULL);
	take(&w, "d/");
	take(&w, "f");
	assert_true(wait_until_gone(&w) - before >= 1000000000);
	assert_int_equal(kept_check(&w), blocks);
	/* At open: what is due already goes with it. */
	put_blocks(&w, "f", 3, 7);
	take(&w, "f");
	assert_int_equal(linkfs_volume_close(w.volume), 0);
	usleep(1100000);
	assert_int_equal(linkfs_volume_open(w.volume_path, NULL, &w.volume, NULL), 0);
	assert_int_equal(list(&w, NULL, NULL)->count, 0);
	assert_int_equal(kept_check(&w), blocks);
	/* A shorter time, and none, hold for what is kept already. */
	kept_set(&w, "1h");
	put(&w, "f", "x");
	take(&w, "f");
	assert_int_equal(list(&w, NULL, NULL)->count, 1);
	kept_set(&w, "1s");
	(void)wait_until_gone(&w);
	kept_set(&w, "1h");
	for (int i = 0; i < 600; i++) {
		put(&w, "f", "x");
		take(&w, "f");
	}
	kept_set(&w, "off");
	(void)wait_until_gone(&w);
	assert_int_equal(kept_inodes(&w), 0);
	assert_int_equal(kept_check(&w), blocks);
	world_close(&w);
}

static void a_reader_lists_and_changes_nothing(void **state)
{
	(void)state;
	struct world w;
	kept_open(&w, "1s", 0);
	put(&w, "f", "x");
	take(&w, "f");
	assert_int_equal(linkfs_volume_close(w.volume), 0);
	usleep(1200000);
	struct linkfs_open_options options = {.flags = LINKFS_OPEN_READONLY};
	assert_int_equal(linkfs_volume_open(w.volume_path, &options, &w.volume, NULL), 0);
	assert_int_equal(list(&w, NULL, NULL)->count, 1);
	assert_int_equal(restore(&w, lost(&w, "/f")), LINKFS_EROFS);
	assert_int_equal(linkfs_deleted_purge(w.volume, NULL, lost(&w, "/f")), LINKFS_EROFS);
	assert_int_equal(linkfs_volume_set_property(w.volume, NULL, LINKFS_KEEP_DELETED, "off", NULL), LINKFS_EROFS);
	world_close(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(time_ends_the_keeping),
		cmocka_unit_test(a_reader_lists_and_changes_nothing),
	};
	return cmocka_run_group_tests_name("undelete-time", tests, NULL, NULL);
}
