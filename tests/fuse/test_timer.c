/*
 * test_timer.c - the thread of a mount that has snapshots taken (src/fuse/timer.c), over a fake library: when it asks, what it says of
 * failures, and that nothing else wakes it. That it is the library's own clock and rules is mount-snapshot-every's.
 */
#include "test.h"

#include "fake.h"
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define MS INT64_C(1000000)

/* What the fake library answers, by the number of the call. */
static int (*answer)(unsigned call, struct linkfs_tick *out);
static _Atomic unsigned calls, lines, zones;
static char last_line[200];

static int64_t now_ns(void)
{
	struct timespec t;
	clock_gettime(CLOCK_REALTIME, &t);
	return t.tv_sec * INT64_C(1000000000) + t.tv_nsec;
}

static int tick(const struct linkfs_tick_options *options, struct linkfs_tick *out)
{
	int r = answer(atomic_load(&calls), out);
	if (options->zone)
		(void)options->zone(options->zone_arg, 0);
	options->hand_over(options->hand_over_arg);
	atomic_fetch_add(&calls, 1);
	return r;
}

static int32_t zone(void *arg, int64_t time_s)
{
	(void)time_s;
	atomic_fetch_add((_Atomic unsigned *)arg, 1);
	return 0;
}

static void log_line(void *arg, int error, const char *text)
{
	(void)snprintf(last_line, sizeof(last_line), "%s: %s", text, linkfs_strerror(error));
	atomic_fetch_add((_Atomic unsigned *)arg, 1);
}

static struct linkfs_mount *begin(int (*what)(unsigned call, struct linkfs_tick *out), bool no_snapshots)
{
	struct linkfs_mount *mount = fake_mount();
	const struct linkfs_mount_options options = {
		.no_snapshots = no_snapshots, .zone = zone, .zone_arg = &zones, .log = log_line, .log_arg = &lines};
	fake_reset();
	fake.tick = tick;
	answer = what;
	atomic_store(&calls, 0);
	atomic_store(&lines, 0);
	atomic_store(&zones, 0);
	assert_int_equal(lk_fuse_timer_new(mount, &options), 0);
	return mount;
}

static void end(struct linkfs_mount *mount)
{
	lk_fuse_timer_end(mount);
	assert_null(mount->timer);
}

/* Until so many calls were made. */
static void wait_for(unsigned count)
{
	for (unsigned i = 0; atomic_load(&calls) < count; i++) {
		assert_true(i < 60000);
		poll(NULL, 0, 1);
	}
}

static int never(unsigned call, struct linkfs_tick *out)
{
	(void)call;
	(void)out;
	return 0;
}

static int in_a_day(unsigned call, struct linkfs_tick *out)
{
	(void)call;
	out->next_ns = now_ns() + 86400000 * MS;
	return 0;
}

static void asks_once_and_when_woken(void **state)
{
	(void)state;
	for (unsigned round = 0; round < 2; round++) {
		struct linkfs_mount *mount = begin(round ? in_a_day : never, false);
		assert_int_equal(lk_fuse_timer_start(mount), 0);
		wait_for(1);
		poll(NULL, 0, 50);
		assert_int_equal(atomic_load(&calls), 1);
		lk_fuse_timer_wake(mount);
		wait_for(2);
		const struct linkfs_event set = {.kind = LINKFS_EVENT_PROPERTY, .ino = 1};
		const struct linkfs_event texts = {.kind = LINKFS_EVENT_TEXTS, .ino = 1};
		lk_fuse_notify_events(mount, &set, 1);
		wait_for(3);
		lk_fuse_notify_events(mount, &texts, 1);
		poll(NULL, 0, 50);
		assert_int_equal(atomic_load(&calls), 3);
		assert_int_equal(atomic_load(&zones), 3);
		end(mount); /* though nothing is due for a day */
	}
}

static int soon(unsigned call, struct linkfs_tick *out)
{
	(void)call;
	out->next_ns = now_ns() + 20 * MS;
	return 0;
}

static int long_ago(unsigned call, struct linkfs_tick *out)
{
	out->next_ns = call < 3 ? -86400000 * MS : INT64_MAX;
	return 0;
}

static void asks_when_it_is_due(void **state)
{
	struct linkfs_mount *mount = begin(soon, false);
	int64_t start = now_ns();
	(void)state;
	assert_int_equal(lk_fuse_timer_start(mount), 0);
	wait_for(6);
	assert_true(now_ns() - start >= 5 * 20 * MS);
	end(mount);
	mount = begin(long_ago, false);
	assert_int_equal(lk_fuse_timer_start(mount), 0);
	wait_for(4);
	end(mount);
	assert_int_equal(atomic_load(&lines), 0);
}

/* Fails three times, is well twice (nothing due, then a snapshot), fails again after a snapshot. */
static int fails(unsigned call, struct linkfs_tick *out)
{
	static const int results[] = {LINKFS_ENOSPC, LINKFS_ENOSPC, LINKFS_EIO, 0, LINKFS_ENOSPC, 0,
				      LINKFS_EIO,    LINKFS_EIO};
	out->next_ns = call < 7 ? now_ns() + 5 * MS : INT64_MAX;
	out->taken = call == 5 || call >= 6 ? 7 : 0;
	return call < 8 ? results[call] : 0;
}

static void says_once_that_it_fails(void **state)
{
	struct linkfs_mount *mount = begin(fails, false);
	(void)state;
	assert_int_equal(lk_fuse_timer_start(mount), 0);
	wait_for(8);
	lk_fuse_timer_stop(mount);
	assert_int_equal(atomic_load(&lines), 2);
	assert_non_null(strstr(last_line, "old automatic snapshots cannot be deleted: "));
	assert_non_null(strstr(last_line, linkfs_strerror(LINKFS_EIO)));
	end(mount);
}

static void not_in_every_mount(void **state)
{
	struct linkfs_mount *mount = begin(never, true);
	const struct linkfs_mount_options options = {0};
	(void)state;
	assert_null(mount->timer);
	assert_int_equal(lk_fuse_timer_start(mount), 0);
	lk_fuse_timer_wake(mount);
	lk_fuse_timer_stop(mount);
	fake.read_only = 1;
	assert_int_equal(lk_fuse_timer_new(mount, &options), 0);
	assert_null(mount->timer);
	fake.result = LINKFS_EIO;
	assert_int_equal(lk_fuse_timer_new(mount, &options), LINKFS_EIO);
	assert_null(mount->timer);
	fake_reset();
	end(mount);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(asks_once_and_when_woken),
		cmocka_unit_test(asks_when_it_is_due),
		cmocka_unit_test(says_once_that_it_fails),
		cmocka_unit_test(not_in_every_mount),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
