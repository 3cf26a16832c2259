/*
 * test_retain.c - which snapshots stay (E6, src/core/retain.c). The model asks for each snapshot alone whether a newer one has the same
 * label of strftime(3), in the C library's time zone; the code counts periods. The examples are worked out by hand from what restic's
 * manual says of its forget.
 */
#include "test.h"

#include <retain.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <tags.h>
#include <time.h>

#define NS INT64_C(1000000000)
#define MAX 2000

static const char *const zones[] = {
	"UTC0",
	"CET-1CEST,M3.5.0,M10.5.0/3",
	"EST5EDT,M3.2.0,M11.1.0",
	"<+1030>-10:30<+11>-11,M10.1.0,M4.1.0", /* half an hour */
	"NST3:30NDT,M3.2.0/0:01,M11.1.0/0:01",  /* back over midnight */
	"<+0545>-5:45",
	"<-03>3<-02>,M3.5.0/-2,M10.5.0/-1",
};

static void set_zone(const char *zone)
{
	setenv("TZ", zone, 1);
	tzset();
}

static int32_t libc_zone(void *arg, int64_t time_s)
{
	time_t t = (time_t)time_s;
	struct tm tm;
	(void)arg;
	assert_non_null(localtime_r(&t, &tm));
	return (int32_t)tm.tm_gmtoff;
}

static int64_t floor_seconds(int64_t ns)
{
	return ns / NS - (ns % NS < 0);
}

/* ---- the model ---------------------------------------------------------------------------------------------------- */

static const char *const labels[] = {"", "%Y-%m-%d %H", "%Y-%m-%d", "%G-%V", "%Y-%m", "%Y"};

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
static void label_of(int rule, int64_t ns, char out[40])
{
	time_t t = (time_t)floor_seconds(ns);
	struct tm tm;
	localtime_r(&t, &tm);
	strftime(out, 40, labels[rule], &tm);
}
#pragma GCC diagnostic pop

struct model {
	char label[MAX][6][40];
	uint32_t kept_by[MAX], as_oldest[MAX];
};

/* No newer one of those that in tells of has the label. */
static bool newest_of_its_period(const struct model *m, const bool *in, size_t count, size_t i, int rule)
{
	for (size_t j = i + 1; rule && j < count; j++) {
		if (in[j] && strcmp(m->label[j][rule], m->label[i][rule]) == 0)
			return false;
	}
	return true;
}

/* The moments that have the local time of the period before latest. How many there are. */
static size_t moments(const struct lk_period *p, int64_t latest_ns, time_t out[4])
{
	time_t t = (time_t)floor_seconds(latest_ns);
	struct tm tm, day = {.tm_isdst = 0};
	size_t n = 0;
	localtime_r(&t, &tm);
	/* timegm() puts the fields of an impossible date right, without a zone. */
	day.tm_year = tm.tm_year - p->years;
	day.tm_mon = tm.tm_mon - p->months;
	day.tm_mday = tm.tm_mday;
	time_t plain = timegm(&day) - 86400 * (time_t)p->days;
	plain += tm.tm_hour * 3600 + tm.tm_min * 60 + tm.tm_sec;
	for (time_t off = -14 * 3600; off <= 14 * 3600; off += 900) {
		time_t at = plain - off;
		if (libc_zone(NULL, at) == off)
			out[n++] = at;
		assert_true(n < 4);
	}
	return n;
}

/* False when the calendar is of two minds about a length of time. */
static bool model_apply(struct model *m, const struct lk_retain *rules, int64_t now_ns, const struct lk_retained *items,
			size_t count)
{
	bool in[MAX];
	int64_t latest = INT64_MIN;
	for (size_t i = 0; i < count; i++) {
		for (int rule = 1; rule < 6; rule++)
			label_of(rule, items[i].time_ns, m->label[i][rule]);
		m->kept_by[i] = m->as_oldest[i] = 0;
		if (items[i].time_ns <= now_ns && items[i].time_ns > latest)
			latest = items[i].time_ns;
	}
	for (int rule = 0; rule < 6; rule++) {
		int64_t left = rules->counts[rule];
		for (size_t i = 0; i < count; i++)
			in[i] = true;
		for (size_t i = count; i-- > 0 && left != 0;) {
			bool first = newest_of_its_period(m, in, count, i, rule);
			if (!first && i != 0)
				continue;
			m->kept_by[i] |= 1u << rule;
			if (!first)
				m->as_oldest[i] |= 1u << rule;
			if (left > 0)
				left--;
		}
	}
	for (int rule = 0; rule < 6; rule++) {
		const struct lk_period *p = &rules->within[rule];
		time_t at[4];
		if (p->years + p->months + p->days + p->hours == 0)
			continue;
		if (latest != INT64_MIN && moments(p, latest, at) != 1)
			return false;
		for (size_t i = 0; i < count; i++) {
			int64_t cut_s = latest == INT64_MIN ? 0 : (int64_t)at[0] - 3600 * (int64_t)p->hours;
			int64_t rest = latest - floor_seconds(latest) * NS;
			in[i] = latest == INT64_MIN || items[i].time_ns - rest > cut_s * NS;
		}
		for (size_t i = 0; i < count; i++) {
			bool first = newest_of_its_period(m, in, count, i, rule);
			if (!in[i] || (!first && i != 0))
				continue;
			m->kept_by[i] |= 1u << (LK_KEEP_WITHIN + rule);
			if (!first)
				m->as_oldest[i] |= 1u << (LK_KEEP_WITHIN + rule);
		}
	}
	for (size_t i = 0; i < count; i++) {
		/* The tags drawn are single letters. */
		const char *lists = (const char *)rules->tags.p;
		for (size_t at = 0; at < rules->tags.len; at += strlen(lists + at) + 1) {
			bool all = lists[at] || items[i].tags.len == 0;
			for (const char *c = lists + at; *c; c++)
				all = all && (*c == ',' ||
					      (items[i].tags.len && memchr(items[i].tags.p, *c, items[i].tags.len)));
			if (all)
				m->kept_by[i] |= 1u << LK_KEEP_TAG;
		}
	}
	return true;
}

static void add(struct lk_retain *rules, const char *rule, const char *value)
{
	assert_int_equal(lk_retain_add(rules, (struct lk_bytes){rule, strlen(rule)},
				       (struct lk_bytes){value, strlen(value)}, NULL),
			 0);
}

static struct lk_test_random rnd;
static uint64_t below(uint64_t limit)
{
	return lk_test_below(&rnd, limit);
}

static void draw_rules(struct lk_retain *rules)
{
	static const char *const lists[] = {"a", "b", "a,b", "", "c+a"};
	for (int i = 0; i < 6; i++) {
		char text[64];
		if (below(3) == 0) {
			(void)snprintf(text, sizeof(text), "%d", (int)below(9) - 1);
			add(rules, lk_keep_rules[i].name, text);
		}
		if (below(6) == 0) {
			(void)snprintf(text, sizeof(text), "%um%uy%ud%uh", (unsigned)below(8), (unsigned)below(2),
				       (unsigned)below(20), (unsigned)below(40));
			add(rules, lk_keep_rules[LK_KEEP_WITHIN + i].name, text);
		}
	}
	for (unsigned n = (unsigned)below(8); n > 5; n--)
		add(rules, "tag", lists[below(LK_ARRAY_LEN(lists))]);
}

static size_t draw_history(struct lk_retained *items, int64_t *now)
{
	static const char *const tags[] = {"", "", "a", "b", "a,b", "a,c"};
	static const int64_t gaps[] = {0, 1, 600, 3600, 7200, 40000, 86400, 300000, 1500000, 9000000};
	size_t count = (size_t)below(below(10) == 0 ? 150 : 40);
	int64_t t = INT64_C(900000000) + (int64_t)below(1100000000), most = gaps[below(LK_ARRAY_LEN(gaps))];
	bool back = below(8) == 0;
	for (size_t i = 0; i < count; i++) {
		int64_t gap = (int64_t)below((uint64_t)most + 1);
		const char *tag = tags[below(LK_ARRAY_LEN(tags))];
		t += back && below(10) == 0 ? -gap : gap;
		items[i] = (struct lk_retained){.time_ns = t * NS + (below(2) ? 0 : (int64_t)below((uint64_t)NS)),
						.tags = {tag, strlen(tag)}};
		if (i && !back && items[i].time_ns < items[i - 1].time_ns)
			items[i].time_ns = items[i - 1].time_ns;
	}
	*now = t * NS + NS - (int64_t)(below(6) == 0 ? below((uint64_t)most * 20 + 1) * (uint64_t)NS : 0);
	return count;
}

static void random_histories(void **state)
{
	static struct lk_retained items[MAX];
	struct model *m = calloc(1, sizeof(*m));
	unsigned rounds = lk_test_long() ? 400000 : 20000, judged = 0, kept = 0, gone = 0;
	(void)state;
	assert_non_null(m);
	rnd.state = lk_test_seed();
	for (unsigned round = 0; round < rounds; round++) {
		const char *zone = zones[below(LK_ARRAY_LEN(zones))];
		struct lk_retain rules = {0};
		int64_t now;
		size_t count = draw_history(items, &now);
		set_zone(zone);
		draw_rules(&rules);
		assert_int_equal(lk_retain_apply(&rules, libc_zone, NULL, now, items, count), 0);
		if (model_apply(m, &rules, now, items, count)) {
			judged++;
			for (size_t i = 0; i < count; i++) {
				if (items[i].kept_by != m->kept_by[i] || items[i].as_oldest != m->as_oldest[i])
					fail_msg("round %u, zone %s, item %zu of %zu: %x/%x, want %x/%x", round, zone,
						 i, count, items[i].kept_by, items[i].as_oldest, m->kept_by[i],
						 m->as_oldest[i]);
				kept += items[i].kept_by != 0;
				gone += items[i].kept_by == 0;
			}
		}
		lk_retain_done(&rules);
	}
	free(m);
	assert_true(judged > rounds * 8 / 10);
	assert_true(kept > rounds && gone > rounds);
}

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

static void stamps(void **state)
{
	char have[LK_STAMP_MAX], want[64];
	(void)state;
	rnd.state = lk_test_seed();
	for (unsigned i = 0; i < 50000; i++) {
		int64_t s = (int64_t)below(UINT64_C(18000000000)) - INT64_C(9000000000);
		time_t t = (time_t)s;
		struct tm tm;
		set_zone(zones[below(LK_ARRAY_LEN(zones))]);
		localtime_r(&t, &tm);
		strftime(want, sizeof(want), "%Y-%m-%dT%H:%M:%S", &tm);
		lk_zone_stamp(libc_zone, NULL, s * NS + (int64_t)below((uint64_t)NS), have);
		assert_string_equal(have, want);
	}
	lk_zone_stamp(NULL, NULL, INT64_C(1795768205) * NS, have);
	assert_string_equal(have, "2026-11-27T08:30:05");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(twelve_sundays),   cmocka_unit_test(a_hundred_years),
		cmocka_unit_test(weeks_and_years),  cmocka_unit_test(clocks_change),
		cmocka_unit_test(ends_of_months),   cmocka_unit_test(times_that_are_odd),
		cmocka_unit_test(tags_keep),        cmocka_unit_test(none_and_one),
		cmocka_unit_test(as_text),          cmocka_unit_test(stamps),
		cmocka_unit_test(random_histories),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
