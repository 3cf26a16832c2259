/*
 * test_tick.c - linkfs_snapshot_tick() (E6): when a snapshot is due, whether it is taken, what goes; properties snapshot-every and
 * snapshot-keep.
 */
#include "clock.h"

static struct linkfs_tick tick;
static unsigned handed_over;
static struct linkfs_message why;

static void hand_over(void *arg)
{
	(void)arg;
	handed_over++;
}

static int32_t an_hour_east(void *arg, int64_t time_s)
{
	(void)arg;
	(void)time_s;
	return 3600;
}

static int run(void)
{
	const struct linkfs_tick_options options = {.zone = an_hour_east, .hand_over = hand_over};
	memset(&tick, 0xff, sizeof(tick));
	return linkfs_snapshot_tick(v, &options, &tick);
}

static void set(const char *key, const char *value)
{
	int r = linkfs_volume_set_property(v, NULL, key, value, &why);
	if (r)
		fail_msg("%s=%s: %d, %s", key, value, r, why.text);
}

/* Nothing is due before then. */
static void nothing_until(int64_t then)
{
	unsigned before = handed_over;
	OK(run());
	assert_int_equal(tick.taken, 0);
	assert_int_equal(tick.next_ns, then);
	assert_int_equal(handed_over, before);
}

static void one_is_taken(void)
{
	OK(run());
	assert_true(tick.taken > 0);
	assert_true(tick.next_ns > now);
}

/* It is due, and nothing has changed. */
static void none_is_taken(int64_t every)
{
	OK(run());
	assert_int_equal(tick.taken, 0);
	assert_int_equal(tick.next_ns, now + every);
}

static int see(void *arg, const struct linkfs_snapshot *s)
{
	*(int64_t *)arg = s->time_ns;
	assert_string_equal(s->tags, "auto");
	assert_string_equal(s->note, "");
	return 0;
}

static void when_it_is_due(void **state)
{
	int64_t time_ns;
	(void)state;
	nothing_until(INT64_MAX); /* off at first */
	OK(take("mine", NULL));
	set(LINKFS_SNAPSHOT_EVERY, "60m");
	/* There is none yet; the user's own is none of these. */
	one_is_taken();
	assert_int_equal(tick.next_ns, START + HOUR);
	assert_int_equal(handed_over, 1);
	assert_string_equal(all(), "mine 2026-11-27T09:30:05"); /* as the zone has it */
	OK(linkfs_snapshot_show(v, "2026-11-27T09:30:05", see, &time_ns));
	assert_int_equal(time_ns, START);
	put("f", "new");
	nothing_until(START + HOUR);
	now += HOUR - 1;
	nothing_until(START + HOUR);
	now += 1;
	one_is_taken();
	assert_int_equal(tick.next_ns, START + 2 * HOUR);
	/* Days later, the machine slept. */
	now += 3 * DAY;
	put("f", "newer");
	one_is_taken();
	assert_int_equal(tick.next_ns, now + HOUR);
	assert_string_equal(all(), "mine 2026-11-27T09:30:05 2026-11-27T10:30:05 2026-11-30T10:30:05");
	/* A shorter or longer time holds at once. */
	set(LINKFS_SNAPSHOT_EVERY, "10s");
	nothing_until(now + 10 * SECOND);
	set(LINKFS_SNAPSHOT_EVERY, "1w");
	nothing_until(now + 7 * DAY);
	reopen();
	nothing_until(now + 7 * DAY);
	set(LINKFS_SNAPSHOT_EVERY, "off");
	now += 30 * DAY;
	nothing_until(INT64_MAX);
	check();
}

static void clocks_are_set(void **state)
{
	(void)state;
	set(LINKFS_SNAPSHOT_EVERY, "1h");
	now = START + 400 * DAY;
	one_is_taken();
	/* Back to where it belongs: what is of the future does not put it off for a year. */
	now = START;
	none_is_taken(HOUR);
	put("f", "new");
	one_is_taken();
	assert_int_equal(tick.next_ns, START + HOUR);
	/* The last one counts, not the one with the latest time. */
	put("f", "newer");
	nothing_until(START + HOUR);
	now += HOUR;
	one_is_taken();
	now = START;
}

static void write_at(const char *name, const char *text)
{
	struct linkfs_file *file;
	OK(linkfs_file_open(v, NULL, ROOT, name, LINKFS_O_WRITE, 0, &file));
	OK(linkfs_file_write(file, 0, text, strlen(text), NULL));
	linkfs_file_close(file);
}

static void if_something_has_changed(void **state)
{
	struct linkfs_setattr mode = {.valid = LINKFS_SET_MODE, .mode = 0600};
	char big[20001];
	(void)state;
	memset(big, 'b', 20000);
	big[20000] = 0;
	put("f", "one");
	put("big", big);
	make_dir("d");
	put("d/g", "two");
	set(LINKFS_SNAPSHOT_EVERY, "1h");
	one_is_taken();
	for (int change = 0; change < 15; change++) {
		now += HOUR;
		none_is_taken(HOUR);
		OK(take(change % 2 ? "odd" : "even", NULL)); /* is no change */
		set(LINKFS_KEEP_DELETED, "off");
		if (change % 3 == 0)
			reopen();
		else
			OK(linkfs_volume_sync(v));
		none_is_taken(HOUR);
		switch (change) {
		case 0:
			put("f", "other");
			break;
		case 1:
			write_at("big", "c");
			break;
		case 2:
			OK(linkfs_path_setattr(v, NULL, ROOT, "f", 0, &mode));
			break;
		case 3:
			OK(linkfs_path_rename(v, NULL, ROOT, "d/g", ROOT, "d/h", 0));
			break;
		case 4:
			OK(linkfs_path_link(v, NULL, ROOT, "d/h", ROOT, "i", 0));
			break;
		case 5:
			OK(linkfs_path_unlink(v, NULL, ROOT, "i"));
			break;
		case 6:
			OK(linkfs_path_symlink(v, NULL, "f", ROOT, "l", NULL));
			break;
		case 7:
			put("d/new", "");
			break;
		case 8:
			OK(linkfs_node_setxattr(v, NULL, status("f").ino, "user.a", "x", 1, 0));
			break;
		case 9:
			put("g", "made");
			OK(linkfs_path_unlink(v, NULL, ROOT, "g")); /* the directory's time tells */
			break;
		case 10:
			OK(linkfs_path_bind(v, NULL, ROOT, "f", ROOT, "big"));
			break;
		case 11:
			OK(linkfs_path_unbind(v, NULL, ROOT, "big"));
			break;
		case 12:
			assert_int_equal(linkfs_path_rmdir(v, NULL, ROOT, "d"), LINKFS_ENOTEMPTY);
			make_dir("e");
			break;
		case 13:
			OK(linkfs_path_rmdir(v, NULL, ROOT, "e"));
			break;
		default:
			/* Seen by a snapshot of the user's in between, which then goes. */
			put("f", "between");
			OK(take("between", NULL));
			OK(linkfs_snapshot_delete(v, NULL, "between", NULL, NULL, NULL));
		}
		OK(linkfs_snapshot_delete(v, NULL, change % 2 ? "odd" : "even", NULL, NULL, NULL));
		if (change % 4 == 1)
			reopen();
		OK(run());
		if (!tick.taken)
			fail_msg("change %d is none", change);
	}
	/* What failed is no change. */
	now += HOUR;
	assert_int_equal(linkfs_path_unlink(v, NULL, ROOT, "nothing"), LINKFS_ENOENT);
	none_is_taken(HOUR);
	check();
}

static void names_that_are_taken(void **state)
{
	(void)state;
	OK(take("2026-11-27T09:30:05", NULL));
	OK(take("2026-11-27T09:30:05.2", NULL));
	now = START;
	set(LINKFS_SNAPSHOT_EVERY, "1h");
	one_is_taken();
	assert_string_equal(all(), "2026-11-27T09:30:05 2026-11-27T09:30:05.2 2026-11-27T09:30:05.3");
}

static void next_one(unsigned number)
{
	char text[16];
	(void)snprintf(text, sizeof(text), "%u", number);
	now += HOUR;
	put("f", text);
	one_is_taken();
}

static void what_stays(void **state)
{
	(void)state;
	OK(take("mine", "important"));
	set(LINKFS_SNAPSHOT_EVERY, "1h");
	set(LINKFS_SNAPSHOT_KEEP, "last=2");
	one_is_taken();
	next_one(1);
	assert_int_equal(tick.gone, 0);
	next_one(2);
	assert_int_equal(tick.gone, 1);
	assert_string_equal(all(), "mine 2026-11-27T10:30:05 2026-11-27T11:30:05");
	/* What is not tagged any more is the user's. */
	OK(linkfs_snapshot_tag(v, NULL, "2026-11-27T10:30:05", "kept", "auto"));
	next_one(3);
	next_one(4);
	assert_string_equal(all(), "mine 2026-11-27T10:30:05 2026-11-27T12:30:05 2026-11-27T13:30:05");
	/* Other rules hold from the next one on. */
	set(LINKFS_SNAPSHOT_KEEP, "last=1");
	nothing_until(now + HOUR);
	next_one(5);
	assert_int_equal(tick.gone, 2);
	assert_string_equal(all(), "mine 2026-11-27T10:30:05 2026-11-27T14:30:05");
	/* Rules that would not keep the one just taken. */
	set(LINKFS_SNAPSHOT_KEEP, "tag=none");
	next_one(6);
	assert_string_equal(all(), "mine 2026-11-27T10:30:05 2026-11-27T15:30:05");
	/* Days as the zone has them: 23:30 and 0:30. */
	set(LINKFS_SNAPSHOT_KEEP, "daily=2");
	now = START + 13 * HOUR;
	next_one(7);
	next_one(8);
	assert_string_equal(all(), "mine 2026-11-27T10:30:05 2026-11-27T23:30:05 2026-11-28T00:30:05");
	set(LINKFS_SNAPSHOT_KEEP, "off");
	next_one(9);
	assert_int_equal(tick.gone, 0);
	check();
}

static int at_once(void *arg, const struct linkfs_snapshot_progress *progress)
{
	(void)arg;
	(void)progress;
	return 1;
}

static void ended_and_gone_on_with(void **state)
{
	const struct linkfs_tick_options ends = {.progress = at_once};
	(void)state;
	set(LINKFS_SNAPSHOT_EVERY, "1h");
	one_is_taken();
	next_one(1);
	set(LINKFS_SNAPSHOT_KEEP, "last=1");
	now += HOUR;
	put("f", "x");
	OK(linkfs_snapshot_tick(v, &ends, &tick));
	assert_true(tick.taken);
	assert_int_equal(tick.gone, 0);
	next_one(2);
	assert_int_equal(tick.gone, 3);
	check();
}

static void failures(void **state)
{
	(void)state;
	set(LINKFS_SNAPSHOT_EVERY, "1h");
	add_fails = LINKFS_ENOSPC;
	assert_int_equal(run(), LINKFS_ENOSPC);
	assert_int_equal(tick.taken, 0);
	assert_int_equal(tick.next_ns, START + HOUR); /* no sooner */
	add_fails = 0;
	one_is_taken();
	OK(linkfs_volume_close(v));
	OK(linkfs_volume_open(volume_path, &(struct linkfs_open_options){.flags = LINKFS_OPEN_READONLY}, &v, NULL));
	now += DAY;
	assert_int_equal(run(), LINKFS_EROFS);
	assert_int_equal(tick.next_ns, now + HOUR);
	OK(linkfs_volume_close(v));
	OK(linkfs_volume_open(volume_path, NULL, &v, NULL));
	/* Without options: UTC, nobody to hand over. */
	put("f", "x");
	OK(linkfs_snapshot_tick(v, NULL, &tick));
	assert_string_equal(all(), "2026-11-27T09:30:05 2026-11-28T08:30:05");
}

static unsigned properties_told;
static void observe(void *arg, const struct linkfs_event *events, size_t count)
{
	(void)arg;
	for (size_t i = 0; i < count; i++)
		properties_told += events[i].kind == LINKFS_EVENT_PROPERTY && events[i].ino == ROOT;
}

static const char *get(const char *key)
{
	static char value[512];
	OK(linkfs_volume_get_property(v, key, value, sizeof(value)));
	return value;
}

static void refused(const char *key, const char *value, const char *part)
{
	why.text[0] = 0;
	assert_int_equal(linkfs_volume_set_property(v, NULL, key, value, &why), LINKFS_EINVAL);
	if (!strstr(why.text, part))
		fail_msg("%s=%s: %s", key, value, why.text);
}

static void the_properties(void **state)
{
	struct linkfs_cred other = {.uid = 1000, .gid = 1000};
	char many[600];
	(void)state;
	assert_string_equal(get(LINKFS_SNAPSHOT_EVERY), "off");
	assert_string_equal(get(LINKFS_SNAPSHOT_KEEP), "off");
	linkfs_volume_observe(v, observe, NULL);
	set(LINKFS_SNAPSHOT_EVERY, "90m");
	set(LINKFS_SNAPSHOT_KEEP, "daily=7,tag=b+a,last=03,within-yearly=5y");
	linkfs_volume_observe(v, NULL, NULL);
	assert_int_equal(properties_told, 2);
	reopen();
	assert_string_equal(get(LINKFS_SNAPSHOT_EVERY), "90m");
	assert_string_equal(get(LINKFS_SNAPSHOT_KEEP), "last=3,daily=7,within-yearly=5y,tag=b+a");
	refused(LINKFS_SNAPSHOT_EVERY, "often", "snapshot-every: 'often' is not a duration");
	refused(LINKFS_SNAPSHOT_KEEP, "often", "snapshot-keep: 'often' is not RULE=VALUE");
	refused(LINKFS_SNAPSHOT_KEEP, "last=1,lost=2", "snapshot-keep: 'lost' is no rule");
	refused(LINKFS_SNAPSHOT_KEEP, "last=x", "snapshot-keep: last: 'x' is not a number");
	many[0] = 0;
	for (unsigned i = 0; i < 60; i++)
		(void)snprintf(many + strlen(many), sizeof(many) - strlen(many), "%stag=t%03u", i ? "," : "", i);
	refused(LINKFS_SNAPSHOT_KEEP, many, "511 bytes");
	many[strlen(many) - 27] = 0; /* 57 of them */
	many[511] = 0;
	assert_int_equal(linkfs_volume_set_property(v, &other, LINKFS_SNAPSHOT_EVERY, "1h", &why), LINKFS_EPERM);
	assert_string_equal(get(LINKFS_SNAPSHOT_KEEP), "last=3,daily=7,within-yearly=5y,tag=b+a");
	set(LINKFS_SNAPSHOT_KEEP, many);
	assert_string_equal(get(LINKFS_SNAPSHOT_KEEP), many);
	reopen();
	assert_string_equal(get(LINKFS_SNAPSHOT_KEEP), many);
	set(LINKFS_SNAPSHOT_KEEP, "last=0");
	assert_string_equal(get(LINKFS_SNAPSHOT_KEEP), "off");
	check();
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, begin, volume_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(when_it_is_due),
		CASE(clocks_are_set),
		CASE(if_something_has_changed),
		CASE(names_that_are_taken),
		CASE(what_stays),
		CASE(ended_and_gone_on_with),
		CASE(failures),
		CASE(the_properties),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
