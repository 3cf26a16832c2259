/*
 * test_examples.c - which snapshots stay (E6, src/core/retain.c): examples worked out by hand from what restic's manual says of its forget,
 * and rules as text.
 */
#include "zones.h"

/* ---- examples ------------------------------------------------------------------------------------------------------ */

static struct lk_retained row[40000];
static size_t rows;

/* "2026-11-27 08:30:05", in the present zone; UTC with a Z. */
static void taken(const char *when)
{
	struct tm tm = {.tm_isdst = -1};
	const char *rest = strptime(when, "%Y-%m-%d %H:%M:%S", &tm);
	assert_non_null(rest);
	time_t t = *rest == 'Z' ? timegm(&tm) : mktime(&tm);
	row[rows++] = (struct lk_retained){.time_ns = t * NS, .tags = {"", 0}};
}

/* Applies rules as of property snapshot-keep. */
static void apply(const char *text)
{
	struct lk_retain rules = {0};
	assert_int_equal(lk_retain_parse(&rules, text, NULL), 0);
	assert_int_equal(lk_retain_apply(&rules, libc_zone, NULL, INT64_MAX, row, rows), 0);
	lk_retain_done(&rules);
}

/* Which stay: a letter for each, the oldest first; 'o' only as the oldest. */
static void stay(const char *rules, const char *want)
{
	char have[64] = "";
	apply(rules);
	for (size_t i = 0; i < rows; i++)
		have[i] = row[i].kept_by == 0 ? '-' : row[i].kept_by == row[i].as_oldest ? 'o' : 'K';
	assert_string_equal(have, want);
}

static void begin(const char *zone)
{
	set_zone(zone);
	rows = 0;
}

static void twelve_sundays(void **state)
{
	(void)state;
	begin("UTC0");
	const char *const days[] = {"2019-09-01", "2019-09-08", "2019-09-15", "2019-09-22", "2019-09-29", "2019-10-06",
				    "2019-10-13", "2019-10-20", "2019-10-27", "2019-11-03", "2019-11-10", "2019-11-17"};
	for (size_t i = 0; i < LK_ARRAY_LEN(days); i++) {
		char when[32];
		(void)snprintf(when, sizeof(when), "%s 11:00:00", days[i]);
		taken(when);
	}
	stay("daily=4", "--------KKKK");
	stay("weekly=4", "--------KKKK");
	stay("monthly=2", "--------K--K");
	/* September, October, November: one is left over for the oldest. */
	stay("monthly=4", "o---K---K--K");
	stay("yearly=1", "-----------K");
	stay("yearly=2", "o----------K");
	stay("last=1", "-----------K");
	stay("last=100", "KKKKKKKKKKKK");
	stay("daily=unlimited", "KKKKKKKKKKKK");
	stay("daily=-1", "KKKKKKKKKKKK");
	stay("within=14d", "----------KK"); /* the one of 14 days ago is not younger than that */
	stay("within=14d1h", "---------KKK");
	stay("within-monthly=1m", "--------K--K");
	stay("within-yearly=1y", "o----------K");
	stay("last=0,daily=0", "------------");
}

static void a_hundred_years(void **state)
{
	size_t kept = 0;
	(void)state;
	begin("UTC0");
	struct tm tm = {.tm_year = 26, .tm_mon = 10, .tm_mday = 28, .tm_hour = 12}; /* 1926-11-28 */
	struct tm last = {.tm_year = 126, .tm_mon = 10, .tm_mday = 27, .tm_hour = 12};
	for (time_t t = timegm(&tm); t <= timegm(&last); t += 86400)
		row[rows++] = (struct lk_retained){.time_ns = t * NS, .tags = {"", 0}};
	apply("daily=7,weekly=5,monthly=12,yearly=75");
	for (size_t i = 0; i < rows; i++)
		kept += row[i].kept_by != 0;
	/* 21 to 27 November 2026, a Friday. Sundays of three weeks more: the 15th, 8th and 1st. Ends of months from October 2026 to December
	 * 2025: 11. Ends of years from 2024, as 2025's is one of those, to 1952: 73. */
	assert_int_equal(kept, 7 + 3 + 11 + 73);
	assert_int_equal(row[0].kept_by, 0);
	assert_int_equal(row[rows - 1].kept_by,
			 1 << LK_KEEP_DAILY | 1 << LK_KEEP_WEEKLY | 1 << LK_KEEP_MONTHLY | 1 << LK_KEEP_YEARLY);
}

static void weeks_and_years(void **state)
{
	(void)state;
	begin("UTC0");
	taken("2026-12-27 23:59:59"); /* a Sunday, week 52 */
	taken("2026-12-28 00:00:00"); /* week 53 of 2026: to Sunday, 3 January */
	taken("2026-12-31 23:59:59");
	taken("2027-01-01 00:00:00");
	taken("2027-01-03 23:59:59");
	taken("2027-01-04 00:00:00"); /* week 1 of 2027 */
	stay("weekly=2", "----KK");
	stay("weekly=3", "K---KK");
	stay("yearly=2", "--K--K");
	stay("monthly=2", "--K--K");
}

static void clocks_change(void **state)
{
	(void)state;
	begin("CET-1CEST,M3.5.0,M10.5.0/3");
	/* 2026-10-25: two hours are called 2. */
	taken("2026-10-24 23:30:00Z"); /* 01:30 */
	taken("2026-10-25 00:10:00Z"); /* 02:10 in summer */
	taken("2026-10-25 00:50:00Z"); /* 02:50 in summer */
	taken("2026-10-25 01:10:00Z"); /* 02:10 again */
	taken("2026-10-25 02:10:00Z"); /* 03:10 */
	stay("hourly=2", "---KK");
	stay("hourly=3", "K--KK");
	/* Where the world's hours differ nobody's do. */
	set_zone("UTC0");
	stay("hourly=2", "---KK");
	stay("hourly=3", "--KKK");
	/* A day of 25 hours: the same time of the day before. */
	begin("CET-1CEST,M3.5.0,M10.5.0/3");
	taken("2026-10-24 10:00:00Z"); /* 12:00 */
	taken("2026-10-24 10:00:01Z");
	taken("2026-10-24 11:00:01Z");
	taken("2026-10-25 11:00:00Z"); /* 12:00 */
	stay("within=1d", "-KKK");
	stay("within=24h", "--KK");
	/* 2026-03-29 has 23. */
	begin("CET-1CEST,M3.5.0,M10.5.0/3");
	taken("2026-03-28 23:10:00Z"); /* 00:10 */
	taken("2026-03-29 00:59:59Z"); /* 01:59:59 */
	taken("2026-03-29 01:00:00Z"); /* 03:00 */
	taken("2026-03-29 21:59:59Z"); /* 23:59:59 */
	taken("2026-03-29 22:00:00Z"); /* the next day */
	stay("daily=2", "---KK");
	stay("daily=3", "o--KK");
	stay("hourly=3", "--KKK");
	stay("hourly=4", "-KKKK");
}

static void ends_of_months(void **state)
{
	(void)state;
	begin("UTC0");
	taken("2027-03-03 12:00:00");
	taken("2027-03-03 12:00:01");
	taken("2027-03-31 12:00:00"); /* a month before is 31 February, the 3rd of March */
	stay("within=1m", "-KK");
	stay("within=1m1h", "KKK");
	begin("UTC0");
	taken("2028-02-29 12:00:01");
	taken("2028-03-01 12:00:01");
	taken("2028-03-31 12:00:00"); /* 31 February is the 2nd of March */
	stay("within=1m", "--K");
	stay("within=1y", "KKK");
	begin("UTC0");
	taken("2027-02-28 12:00:00");
	taken("2027-03-01 12:00:01");
	taken("2028-02-29 12:00:00"); /* a year before is the 1st of March */
	stay("within=1y", "-KK");
}

static void times_that_are_odd(void **state)
{
	struct lk_retain rules = {0};
	(void)state;
	/* Three at one time: the one taken last is the newest. */
	begin("UTC0");
	for (int i = 0; i < 3; i++)
		taken("2026-11-27 12:00:00");
	stay("last=1", "--K");
	stay("hourly=1", "--K");
	stay("hourly=2", "o-K");
	/* The clock was a year ahead for a while: what was taken then grows old all the same. */
	begin("UTC0");
	taken("2026-11-26 12:00:00");
	taken("2027-11-26 12:00:00");
	taken("2027-11-27 12:00:00");
	taken("2026-11-27 12:00:00");
	taken("2026-11-28 12:00:00");
	stay("last=2", "---KK");
	stay("daily=2", "---KK");
	stay("daily=3", "--KKK");
	/* Lengths of time do not begin in the future, and nothing of the future is old. */
	add(&rules, "within", "1d1h");
	int64_t now = row[4].time_ns;
	assert_int_equal(lk_retain_apply(&rules, NULL, NULL, now, row, rows), 0);
	for (size_t i = 0; i < rows; i++)
		assert_int_equal(row[i].kept_by != 0, i != 0);
	/* All are. */
	assert_int_equal(lk_retain_apply(&rules, NULL, NULL, row[0].time_ns - 1, row, rows), 0);
	for (size_t i = 0; i < rows; i++)
		assert_true(row[i].kept_by);
	lk_retain_done(&rules);
	/* Before 1970, and the ends of time. */
	begin("CET-1CEST,M3.5.0,M10.5.0/3");
	row[rows++] = (struct lk_retained){.time_ns = INT64_MIN, .tags = {"", 0}};
	taken("1969-12-31 23:30:00");
	taken("1969-12-31 23:59:59");
	taken("1970-01-01 00:00:00");
	row[rows++] = (struct lk_retained){.time_ns = INT64_MAX, .tags = {"", 0}};
	stay("hourly=3", "--KKK");
	stay("yearly=4", "K-KKK");
	stay("within=100000y100000m100000d100000h", "KKKKK");
	stay("daily=0", "-----");
}

static void tags_keep(void **state)
{
	(void)state;
	begin("UTC0");
	for (int i = 0; i < 5; i++)
		taken("2026-11-27 12:00:00");
	row[1].tags = (struct lk_bytes){"a", 1};
	row[2].tags = (struct lk_bytes){"a,b", 3};
	row[3].tags = (struct lk_bytes){"ab,b", 4};
	stay("tag=a", "-KK--");
	stay("tag=b", "--KK-");
	stay("tag=a+b", "--K--");
	stay("tag=b+a", "--K--");
	stay("tag=a,tag=ab", "-KKK-");
	stay("tag=", "K---K");
	stay("tag=c", "-----");
	stay("last=1,tag=ab", "---KK");
}

static void none_and_one(void **state)
{
	(void)state;
	begin("UTC0");
	stay("last=3,within=1y,tag=a", "");
	taken("2026-11-27 12:00:00");
	stay("hourly=1", "K");
	stay("within=1h", "K");
	stay("within-daily=1h", "K");
}

/* ---- as text -------------------------------------------------------------------------------------------------------- */

static void written(const char *text, const char *want)
{
	struct lk_retain rules = {0};
	struct lk_buf out = {0};
	assert_int_equal(lk_retain_parse(&rules, text, NULL), 0);
	assert_int_equal(lk_retain_format(&rules, &out), 0);
	assert_int_equal(lk_buf_append(&out, "", 1), 0);
	assert_string_equal((const char *)out.p, want);
	assert_int_equal(lk_retain_is_empty(&rules), strcmp(want, "off") == 0);
	lk_buf_done(&out);
	lk_retain_done(&rules);
}

static void refused(const char *text, const char *part)
{
	struct lk_retain rules = {0};
	struct linkfs_message why = {""};
	assert_int_equal(lk_retain_parse(&rules, text, &why), LINKFS_EINVAL);
	if (!strstr(why.text, part))
		fail_msg("'%s': '%s'", text, why.text);
	lk_retain_done(&rules);
}

static void as_text(void **state)
{
	char long_list[1200];
	(void)state;
	written("off", "off");
	written("last=3", "last=3");
	written("weekly=04,daily=7,daily=8,last=-1", "last=unlimited,daily=8,weekly=4");
	written("last=0,within=0d,within-daily=0y0h", "off");
	written("within-weekly=7d1y", "within-weekly=1y7d");
	written("tag=b+a,within=2h,tag=", "within=2h,tag=b+a,tag=");
	written("yearly=2147483647,monthly=unlimited", "monthly=unlimited,yearly=2147483647");
	refused("", "is not RULE=VALUE");
	refused("last", "'last' is not RULE=VALUE");
	refused("last=3,", "'' is not RULE=VALUE");
	refused("last=3,daily", "'daily' is not RULE=VALUE");
	refused("=3", "'' is no rule");
	refused("minutely=3", "'minutely' is no rule; there are last, hourly");
	refused("last=", "last: '' is not a number or unlimited");
	refused("last=-2", "last: '-2' is not a number");
	refused("daily=3d", "daily: '3d' is not a number");
	refused("daily= 3", "daily: ' 3' is not a number");
	refused("daily=2147483648", "is not a number");
	refused("daily=99999999999999999999", "is not a number");
	refused("within=3", "within: '3' is not a length of time as 1y5m7d2h");
	refused("within=1w", "within: '1w'");
	refused("within=", "within: ''");
	refused("within=-1d", "within: '-1d'");
	refused("within=d", "within: 'd'");
	refused("within=1d1d", "within: '1d1d'");
	refused("within=100001y", "within: ");
	refused("within=unlimited", "within: ");
	refused("tag=a b", "tag: 'a b' is not tags");
	refused("tag=a++b", "tag: ");
	memset(long_list, 'x', sizeof(long_list));
	memcpy(long_list, "tag=", 4);
	long_list[4 + LK_TAG_MAX + 1] = 0;
	refused(long_list, "tag: ");
	long_list[4 + LK_TAG_MAX] = 0;
	written(long_list, long_list);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(twelve_sundays),  cmocka_unit_test(a_hundred_years),
		cmocka_unit_test(weeks_and_years), cmocka_unit_test(clocks_change),
		cmocka_unit_test(ends_of_months),  cmocka_unit_test(times_that_are_odd),
		cmocka_unit_test(tags_keep),       cmocka_unit_test(none_and_one),
		cmocka_unit_test(as_text),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
