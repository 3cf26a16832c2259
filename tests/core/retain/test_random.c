/*
 * test_random.c - which snapshots stay (E6, src/core/retain.c), of random histories by random rules, against a model: it asks for each
 * snapshot alone whether a newer one has the same label of strftime(3), in the C library's time zone; the code counts periods.
 */
#include "zones.h"

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
	const struct CMUnitTest tests[] = {cmocka_unit_test(stamps), cmocka_unit_test(random_histories)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
