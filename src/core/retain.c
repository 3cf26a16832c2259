/*
 * retain.c - see retain.h.
 * Layer: core. Periods of the calendar are numbers that count up with local time; the proleptic Gregorian calendar, whose weeks begin on
 * Mondays: two times are in one week of ISO 8601 when they are after the same Monday.
 */
#include "retain.h"

#include "tags.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SECOND INT64_C(1000000000)
#define DAY 86400
#define PERIOD_MAX 100000 /* of each unit: so many years are beyond all times there are */

const struct linkfs_prune_rule lk_keep_rules[LK_KEEP_RULES] = {
	{"last", "a number or unlimited", "the last so many"},
	{"hourly", "a number or unlimited", "the newest of each of so many hours"},
	{"daily", "a number or unlimited", "the newest of each of so many days"},
	{"weekly", "a number or unlimited", "the newest of each of so many weeks"},
	{"monthly", "a number or unlimited", "the newest of each of so many months"},
	{"yearly", "a number or unlimited", "the newest of each of so many years"},
	{"within", "a length of time as 1y5m7d2h", "all that are so young"},
	{"within-hourly", "a length of time as 1y5m7d2h", "one for each hour of those so young"},
	{"within-daily", "a length of time as 1y5m7d2h", "one for each day of those so young"},
	{"within-weekly", "a length of time as 1y5m7d2h", "one for each week of those so young"},
	{"within-monthly", "a length of time as 1y5m7d2h", "one for each month of those so young"},
	{"within-yearly", "a length of time as 1y5m7d2h", "one for each year of those so young"},
	{"tag", "tags with + or , between", "all that have these tags"},
};

/* ---- as text ---------------------------------------------------------------------------------------------------- */

static bool is_word(struct lk_bytes word, const char *text)
{
	return word.len == strlen(text) && memcmp(word.p, text, word.len) == 0;
}

/* Digits from *p on, at most max. */
static bool number(const char **p, const char *end, int32_t max, int32_t *out)
{
	const char *from = *p;
	int64_t n = 0;
	for (; *p < end && **p >= '0' && **p <= '9'; ++*p) {
		n = n * 10 + (**p - '0');
		if (n > max)
			return false;
	}
	*out = (int32_t)n;
	return *p > from;
}

static bool parse_count(struct lk_bytes value, int32_t *out)
{
	const char *p = value.p, *end = p + value.len;
	if (is_word(value, "unlimited") || is_word(value, "-1")) {
		*out = -1;
		return true;
	}
	return number(&p, end, INT32_MAX, out) && p == end;
}

static bool parse_period(struct lk_bytes value, struct lk_period *out)
{
	const char *p = value.p, *end = p + value.len;
	struct lk_period period = {0};
	unsigned seen = 0;
	while (p < end) {
		int32_t n;
		if (!number(&p, end, PERIOD_MAX, &n) || p == end)
			return false;
		unsigned unit = *p == 'y' ? 1 : *p == 'm' ? 2 : *p == 'd' ? 4 : *p == 'h' ? 8 : 0;
		if (!unit || (seen & unit))
			return false;
		*(unit == 1   ? &period.years
		  : unit == 2 ? &period.months
		  : unit == 4 ? &period.days
			      : &period.hours) = n;
		seen |= unit;
		p++;
	}
	*out = period;
	return seen != 0;
}

/* A list, with ',' between. */
static int add_tags(struct lk_retain *retain, struct lk_bytes value)
{
	size_t old = retain->tags.len;
	int r = value.len > LK_TAGS_MAX ? LINKFS_EINVAL : lk_buf_append(&retain->tags, value.p, value.len);
	if (r == 0)
		r = lk_buf_append(&retain->tags, "", 1);
	if (r)
		return r;
	struct lk_buf made = {0};
	char *list = (char *)retain->tags.p + old;
	for (size_t i = 0; i < value.len; i++)
		list[i] = list[i] == '+' ? ',' : list[i];
	r = lk_tags_make((struct lk_bytes){list, value.len}, &made);
	lk_buf_done(&made);
	if (r)
		retain->tags.len = old;
	return r == LINKFS_ENAMETOOLONG ? LINKFS_EINVAL : r;
}

int lk_retain_add(struct lk_retain *retain, struct lk_bytes rule, struct lk_bytes value, struct linkfs_message *why)
{
	size_t i = 0;
	bool good;
	if (!value.len)
		value.p = "";
	while (i < LK_KEEP_RULES && !is_word(rule, lk_keep_rules[i].name))
		i++;
	if (i == LK_KEEP_RULES)
		return lk_fail(why, LINKFS_EINVAL,
			       "'%.*s' is no rule; there are last, hourly, daily, weekly, monthly, yearly, within, "
			       "within-hourly and so on, and tag",
			       (int)LK_MIN(rule.len, 64), (const char *)rule.p);
	if (i == LK_KEEP_TAG) {
		int r = add_tags(retain, value);
		if (r == LINKFS_ENOMEM)
			return r;
		good = r == 0;
	} else if (i < LK_KEEP_WITHIN) {
		good = parse_count(value, &retain->counts[i]);
	} else {
		good = parse_period(value, &retain->within[i - LK_KEEP_WITHIN]);
	}
	return good ? 0
		    : lk_fail(why, LINKFS_EINVAL, "%s: '%.*s' is not %s", lk_keep_rules[i].name,
			      (int)LK_MIN(value.len, 64), (const char *)value.p, lk_keep_rules[i].form);
}

int lk_retain_parse(struct lk_retain *retain, const char *text, struct linkfs_message *why)
{
	int r = 0;
	if (strcmp(text, "off") == 0)
		return 0;
	while (r == 0) {
		size_t len = strcspn(text, ","), key = strcspn(text, "=,");
		if (key >= len)
			return lk_fail(why, LINKFS_EINVAL, "'%.*s' is not RULE=VALUE", (int)LK_MIN(len, 64), text);
		r = lk_retain_add(retain, (struct lk_bytes){text, key},
				  (struct lk_bytes){text + key + 1, len - key - 1}, why);
		if (!text[len])
			break;
		text += len + 1;
	}
	return r;
}

static bool is_zero(const struct lk_period *p)
{
	return !p->years && !p->months && !p->days && !p->hours;
}

bool lk_retain_is_empty(const struct lk_retain *retain)
{
	for (size_t i = 0; i < LK_KEEP_COUNTS; i++) {
		if (retain->counts[i] || !is_zero(&retain->within[i]))
			return false;
	}
	return retain->tags.len == 0;
}

/* "rule=", after a comma when it is not the first. */
static int put_rule(struct lk_buf *out, size_t rule)
{
	int r = out->len ? lk_buf_append(out, ",", 1) : 0;
	if (r == 0)
		r = lk_buf_append(out, lk_keep_rules[rule].name, strlen(lk_keep_rules[rule].name));
	return r ? r : lk_buf_append(out, "=", 1);
}

static int put_number(struct lk_buf *out, int32_t n, const char *unit)
{
	char text[32];
	if (n == 0 && *unit)
		return 0;
	if (n < 0)
		return lk_buf_append(out, "unlimited", 9);
	return lk_buf_append(out, text, (size_t)snprintf(text, sizeof(text), "%d%s", (int)n, unit));
}

static int put_period(struct lk_buf *out, const struct lk_period *p)
{
	int r = put_number(out, p->years, "y");
	if (r == 0)
		r = put_number(out, p->months, "m");
	if (r == 0)
		r = put_number(out, p->days, "d");
	return r ? r : put_number(out, p->hours, "h");
}

int lk_retain_format(const struct lk_retain *retain, struct lk_buf *out)
{
	int r = 0;
	out->len = 0;
	for (size_t i = 0; r == 0 && i < LK_KEEP_COUNTS; i++) {
		if (!retain->counts[i])
			continue;
		r = put_rule(out, i);
		if (r == 0)
			r = put_number(out, retain->counts[i], "");
	}
	for (size_t i = 0; r == 0 && i < LK_KEEP_COUNTS; i++) {
		if (is_zero(&retain->within[i]))
			continue;
		r = put_rule(out, LK_KEEP_WITHIN + i);
		if (r == 0)
			r = put_period(out, &retain->within[i]);
	}
	for (size_t at = 0; r == 0 && at < retain->tags.len;) {
		const char *list = (const char *)retain->tags.p + at;
		size_t len = strlen(list), from;
		r = put_rule(out, LK_KEEP_TAG);
		from = out->len;
		if (r == 0)
			r = lk_buf_append(out, list, len);
		for (; r == 0 && from < out->len; from++)
			out->p[from] = out->p[from] == ',' ? '+' : out->p[from];
		at += len + 1;
	}
	return r == 0 && out->len == 0 ? lk_buf_append(out, "off", 3) : r;
}

void lk_retain_done(struct lk_retain *retain)
{
	lk_buf_done(&retain->tags);
}

/* ---- the calendar ------------------------------------------------------------------------------------------------ */

static int64_t floor_div(int64_t a, int64_t b)
{
	return a / b - (a % b < 0);
}

/* Days since 1970-01-01 of a day of a month that is counted from January of the year 0. The year is taken to begin in March, so that
 * its leap day is its last: 153 days in five months, 146,097 in 400 years. */
static int64_t days_of(int64_t month, int64_t day)
{
	int64_t from_march = month - 2, year = floor_div(from_march, 12), m = from_march - year * 12;
	return year * 365 + floor_div(year, 4) - floor_div(year, 100) + floor_div(year, 400) + (153 * m + 2) / 5 + day -
	       1 - 719468;
}

/* The month, counted so, that has the day. */
static int64_t month_of(int64_t days)
{
	int64_t month = floor_div(days * 4800, 146097) + 1970 * 12; /* at most one off */
	while (days_of(month, 1) > days)
		month--;
	while (days_of(month + 1, 1) <= days)
		month++;
	return month;
}

struct zone {
	linkfs_zone_fn *fn;
	void *arg;
};

static int64_t offset(const struct zone *zone, int64_t time_s)
{
	return zone->fn ? zone->fn(zone->arg, time_s) : 0;
}

static int64_t local_of(const struct zone *zone, int64_t time_ns)
{
	int64_t s = floor_div(time_ns, SECOND);
	return s + offset(zone, s);
}

/* The period of a rule by count that local time is in. */
static int64_t period_of(size_t rule, int64_t local)
{
	int64_t days = floor_div(local, DAY);
	switch (rule) {
	case LK_KEEP_HOURLY:
		return floor_div(local, 3600);
	case LK_KEEP_DAILY:
		return days;
	case LK_KEEP_WEEKLY:
		return floor_div(days + 3, 7); /* 1970-01-01 was a Thursday */
	case LK_KEEP_MONTHLY:
		return month_of(days);
	default:
		return floor_div(month_of(days), 12);
	}
}

/* What is younger is within the period before latest. Years, months and days go by the calendar: the same time of another day, which a month
 * that is too short has at the start of the next. */
static int64_t cutoff(const struct zone *zone, const struct lk_period *period, int64_t latest_ns)
{
	int64_t local = local_of(zone, latest_ns), days = floor_div(local, DAY), month = month_of(days), s;
	int64_t day = days - days_of(month, 1) + 1;
	int64_t before = days_of(month - period->months - INT64_C(12) * period->years, day) - period->days;
	local = before * DAY + (local - days * DAY);
	/* Local time back to the world's: twice, for the offset of a time near its change. */
	s = local - offset(zone, local - offset(zone, local)) - INT64_C(3600) * period->hours;
	if (s <= INT64_MIN / SECOND)
		return INT64_MIN;
	return s * SECOND + (latest_ns - floor_div(latest_ns, SECOND) * SECOND);
}

void lk_zone_stamp(linkfs_zone_fn *zone, void *zone_arg, int64_t time_ns, char out[LK_STAMP_MAX])
{
	int64_t local = local_of(&(struct zone){zone, zone_arg}, time_ns), days = floor_div(local, DAY);
	int64_t month = month_of(days);
	int s = (int)(local - days * DAY);
	(void)snprintf(out, LK_STAMP_MAX, "%04d-%02d-%02dT%02d:%02d:%02d", (int)floor_div(month, 12),
		       (int)(month - floor_div(month, 12) * 12) + 1, (int)(days - days_of(month, 1)) + 1, s / 3600,
		       s / 60 % 60, s % 60);
}

/* ---- the rules --------------------------------------------------------------------------------------------------- */

struct member {
	int64_t period;
	size_t item;
};

struct work {
	struct zone zone;
	struct lk_retained *items;
	int64_t *local;
	struct member *members;
	size_t count;
	bool *first; /* the newest of its period */
};

static int by_period(const void *a, const void *b)
{
	const struct member *x = a, *y = b;
	if (x->period != y->period)
		return x->period < y->period ? -1 : 1;
	return x->item > y->item ? -1 : 1; /* the newest first */
}

/* Sets first for those after cut_ns. */
static void find_first(struct work *w, size_t rule, int64_t cut_ns)
{
	size_t n = 0;
	memset(w->first, 0, w->count * sizeof(*w->first));
	for (size_t i = 0; i < w->count; i++) {
		if (rule == LK_KEEP_LAST)
			w->first[i] = true;
		else if (w->items[i].time_ns > cut_ns || cut_ns == INT64_MIN)
			w->members[n++] = (struct member){period_of(rule, w->local[i]), i};
	}
	if (rule == LK_KEEP_LAST)
		return;
	qsort(w->members, n, sizeof(*w->members), by_period);
	for (size_t i = 0; i < n; i++)
		w->first[w->members[i].item] = i == 0 || w->members[i].period != w->members[i - 1].period;
}

static void keep(struct lk_retained *item, size_t rule, bool as_oldest)
{
	item->kept_by |= UINT32_C(1) << rule;
	if (as_oldest)
		item->as_oldest |= UINT32_C(1) << rule;
}

static void apply_count(struct work *w, size_t rule, int32_t left)
{
	find_first(w, rule, INT64_MIN);
	for (size_t i = w->count; i-- > 0 && left;) {
		if (!w->first[i] && i)
			continue;
		keep(&w->items[i], rule, !w->first[i]);
		left -= left > 0;
	}
}

static void apply_within(struct work *w, size_t rule, const struct lk_period *period, int64_t latest_ns)
{
	int64_t cut = latest_ns == INT64_MIN ? INT64_MIN : cutoff(&w->zone, period, latest_ns);
	find_first(w, rule, cut);
	for (size_t i = 0; i < w->count; i++) {
		bool young = w->items[i].time_ns > cut || cut == INT64_MIN;
		if (young && (w->first[i] || i == 0))
			keep(&w->items[i], LK_KEEP_WITHIN + rule, !w->first[i]);
	}
}

static void apply_tags(struct work *w, const struct lk_buf *lists)
{
	for (size_t at = 0; at < lists->len;) {
		struct lk_bytes list = {(const char *)lists->p + at, strlen((const char *)lists->p + at)};
		for (size_t i = 0; i < w->count; i++) {
			if (lk_tags_have(w->items[i].tags, list))
				keep(&w->items[i], LK_KEEP_TAG, false);
		}
		at += list.len + 1;
	}
}

int lk_retain_apply(const struct lk_retain *retain, linkfs_zone_fn *zone, void *zone_arg, int64_t now_ns,
		    struct lk_retained *items, size_t count)
{
	struct work w = {.zone = {zone, zone_arg}, .items = items, .count = count};
	int64_t latest = INT64_MIN;
	w.local = calloc(count + 1, sizeof(*w.local));
	w.members = calloc(count + 1, sizeof(*w.members));
	w.first = calloc(count + 1, sizeof(*w.first));
	int r = w.local && w.members && w.first ? 0 : LINKFS_ENOMEM;
	for (size_t i = 0; r == 0 && i < count; i++) {
		items[i].kept_by = items[i].as_oldest = 0;
		w.local[i] = local_of(&w.zone, items[i].time_ns);
		if (items[i].time_ns <= now_ns && items[i].time_ns > latest)
			latest = items[i].time_ns;
	}
	for (size_t i = 0; r == 0 && i < LK_KEEP_COUNTS; i++) {
		if (retain->counts[i])
			apply_count(&w, i, retain->counts[i]);
		if (!is_zero(&retain->within[i]))
			apply_within(&w, i, &retain->within[i], latest);
	}
	if (r == 0)
		apply_tags(&w, &retain->tags);
	free(w.local);
	free(w.members);
	free(w.first);
	return r;
}
