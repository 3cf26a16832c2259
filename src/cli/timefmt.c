/*
 * timefmt.c - times shown and read in the caller's time zone. The C library has one zone for the whole process, so in
 * an owner that serves callers with different TZ the zone is switched under a lock, in a buffer that the environment
 * points to: no thread ever sees the environment move. Nothing else in the process uses local time.
 */
#include "cli.h"
#include <inttypes.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define NS 1000000000
#define ZONE_MAX 200

static pthread_mutex_t zone_lock = PTHREAD_MUTEX_INITIALIZER;
static char zone_setting[ZONE_MAX + 8];
static bool zone_known;

/* Takes the lock with the zone set to the caller's. */
static void zone_enter(const struct cli *cli)
{
	char want[sizeof(zone_setting)];
	const char *tz = cli->tz && strlen(cli->tz) < ZONE_MAX ? cli->tz : NULL;
	pthread_mutex_lock(&zone_lock);
	/* TZ=":/etc/localtime" is what an unset TZ means. */
	snprintf(want, sizeof(want), "TZ=%s", tz ? tz : ":/etc/localtime");
	if (!zone_known || strcmp(want, zone_setting) != 0) {
		memcpy(zone_setting, want, sizeof(want));
		if (!zone_known)
			putenv(zone_setting);
		zone_known = true;
		tzset();
	}
}

static void zone_leave(void)
{
	pthread_mutex_unlock(&zone_lock);
}

int64_t cli_now_ns(void)
{
	struct timespec ts;
	clock_gettime(CLOCK_REALTIME, &ts);
	return (int64_t)ts.tv_sec * NS + ts.tv_nsec;
}

static time_t seconds_of(int64_t ns, unsigned *rest_out)
{
	int64_t sec = ns / NS, rest = ns % NS;
	if (rest < 0) {
		sec--;
		rest += NS;
	}
	*rest_out = (unsigned)rest;
	return (time_t)sec;
}

/* strftime with a format that came from a user; every directive it has takes a struct tm. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
size_t cli_time_format(struct cli *cli, char *buf, size_t size, const char *format, int64_t ns)
{
	char plain[512];
	unsigned rest;
	time_t sec = seconds_of(ns, &rest);
	size_t n = 0;
	for (const char *p = format; *p && n + 12 < sizeof(plain); p++) {
		if (p[0] == '%' && p[1] == 'N') {
			n += (size_t)snprintf(plain + n, sizeof(plain) - n, "%09u", rest);
			p++;
		} else {
			if (p[0] == '%' && p[1])
				plain[n++] = *p++;
			plain[n++] = *p;
		}
	}
	plain[n] = '\0';
	struct tm tm = {0};
	zone_enter(cli);
	localtime_r(&sec, &tm);
	n = strftime(buf, size, plain, &tm);
	zone_leave();
	if (n == 0 && size)
		buf[0] = '\0';
	return n;
}
#pragma GCC diagnostic pop

int32_t cli_zone(void *arg, int64_t time_s)
{
	const struct cli *cli = arg;
	time_t sec = (time_t)time_s;
	struct tm tm = {0};
	zone_enter(cli);
	localtime_r(&sec, &tm);
	zone_leave();
	return (int32_t)tm.tm_gmtoff;
}

void cli_time_iso(int64_t ns, char buf[96])
{
	unsigned rest;
	time_t sec = seconds_of(ns, &rest);
	struct tm tm = {0};
	gmtime_r(&sec, &tm);
	snprintf(buf, 96, "%04d-%02d-%02dT%02d:%02d:%02d.%09uZ", tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday,
		 tm.tm_hour, tm.tm_min, tm.tm_sec, rest);
}

/* ---- reading ---- */

static bool digits(const char **p, unsigned count, int *out)
{
	int value = 0;
	for (unsigned i = 0; i < count; i++) {
		if ((*p)[i] < '0' || (*p)[i] > '9')
			return false;
		value = value * 10 + (*p)[i] - '0';
	}
	*p += count;
	*out = value;
	return true;
}

static bool in_range(const struct tm *tm)
{
	return tm->tm_mon >= 0 && tm->tm_mon < 12 && tm->tm_mday >= 1 && tm->tm_mday <= 31 && tm->tm_hour < 24 &&
	       tm->tm_min < 60 && tm->tm_sec <= 60;
}

/* The largest and smallest seconds that fit in nanoseconds of 64 bits. */
static int pack(time_t sec, int64_t rest, int64_t *out)
{
	if (sec > INT64_MAX / NS - 1 || sec < INT64_MIN / NS + 1)
		return LINKFS_EINVAL;
	*out = (int64_t)sec * NS + rest;
	return 0;
}

static int pack_local(struct cli *cli, struct tm tm, int64_t rest, int64_t *out)
{
	struct tm check = tm;
	check.tm_isdst = -1;
	if (!in_range(&tm))
		return LINKFS_EINVAL;
	zone_enter(cli);
	time_t sec = mktime(&check);
	zone_leave();
	if (check.tm_mday != tm.tm_mday && tm.tm_sec < 60) /* 30 February */
		return LINKFS_EINVAL;
	return pack(sec, rest, out);
}

static int64_t fraction(const char **p)
{
	int64_t value = 0, unit = NS / 10;
	if (**p != '.' && **p != ',')
		return 0;
	for (++*p; **p >= '0' && **p <= '9'; ++*p, unit /= 10)
		value += (**p - '0') * unit;
	return value;
}

static int parse_epoch(const char *p, int64_t *out)
{
	char *end;
	bool negative = *p == '-';
	if (!((*p >= '0' && *p <= '9') || (negative && p[1] >= '0' && p[1] <= '9')))
		return LINKFS_EINVAL;
	long long sec = strtoll(p, &end, 10);
	const char *rest = end;
	int64_t ns = fraction(&rest);
	if (*rest)
		return LINKFS_EINVAL;
	return pack((time_t)sec, negative ? -ns : ns, out);
}

/* "Z", "UTC", "+HH", "+HHMM", "+HH:MM"; found is false when there is none. */
static int parse_zone(const char **p, bool *found, long *offset)
{
	int hours, minutes = 0;
	*found = true;
	*offset = 0;
	if (**p == 'Z' || **p == 'z') {
		++*p;
		return 0;
	}
	if (strncmp(*p, "UTC", 3) == 0 || strncmp(*p, "GMT", 3) == 0) {
		*p += 3;
		return 0;
	}
	if (**p != '+' && **p != '-') {
		*found = false;
		return 0;
	}
	long sign = *(*p)++ == '-' ? -1 : 1;
	if (!digits(p, 2, &hours))
		return LINKFS_EINVAL;
	if (**p == ':')
		++*p;
	if (**p && !digits(p, 2, &minutes))
		return LINKFS_EINVAL;
	*offset = sign * (hours * 3600L + minutes * 60L);
	return 0;
}

static void skip_spaces(const char **p)
{
	while (**p == ' ')
		++*p;
}

/* YYYY-MM-DD[(T| )HH:MM[:SS[.FRACTION]]][ ZONE] */
static int parse_iso(struct cli *cli, const char *p, int64_t *out)
{
	struct tm tm = {.tm_isdst = -1};
	int64_t rest = 0;
	bool has_zone;
	long offset;
	if (!digits(&p, 4, &tm.tm_year) || *p++ != '-' || !digits(&p, 2, &tm.tm_mon) || *p++ != '-' ||
	    !digits(&p, 2, &tm.tm_mday))
		return LINKFS_EINVAL;
	if (*p == 'T' || (*p == ' ' && p[1] >= '0' && p[1] <= '9')) {
		p++;
		if (!digits(&p, 2, &tm.tm_hour) || *p++ != ':' || !digits(&p, 2, &tm.tm_min))
			return LINKFS_EINVAL;
		if (*p == ':') {
			p++;
			if (!digits(&p, 2, &tm.tm_sec))
				return LINKFS_EINVAL;
			rest = fraction(&p);
		}
	}
	skip_spaces(&p);
	if (parse_zone(&p, &has_zone, &offset) || *p)
		return LINKFS_EINVAL;
	tm.tm_year -= 1900;
	tm.tm_mon -= 1;
	if (!has_zone)
		return pack_local(cli, tm, rest, out);
	if (!in_range(&tm))
		return LINKFS_EINVAL;
	return pack(timegm(&tm) - offset, rest, out);
}

/* "2 days ago", "1 hour", "-3 weeks" */
static int parse_relative(const char *p, int64_t now_ns, int64_t *out)
{
	static const struct {
		const char *name;
		int64_t seconds;
	} units[] = {{"second", 1},  {"sec", 1},     {"minute", 60},   {"min", 60},
		     {"hour", 3600}, {"day", 86400}, {"week", 604800}, {"fortnight", 1209600}};
	char *end;
	long count = strtol(p, &end, 10);
	if (end == p || count > 1000000 || count < -1000000)
		return LINKFS_EINVAL;
	p = end;
	skip_spaces(&p);
	for (size_t i = 0; i < CLI_ARRAY_LEN(units); i++) {
		size_t len = strlen(units[i].name);
		if (strncmp(p, units[i].name, len) != 0)
			continue;
		const char *after = p + len + (p[len] == 's');
		skip_spaces(&after);
		if (strcmp(after, "ago") == 0)
			count = -count;
		else if (*after)
			continue;
		int64_t delta;
		if (__builtin_mul_overflow(count * units[i].seconds, NS, &delta) ||
		    __builtin_add_overflow(now_ns, delta, &delta))
			return LINKFS_EINVAL;
		*out = delta;
		return 0;
	}
	return LINKFS_EINVAL;
}

int cli_time_parse(struct cli *cli, const char *text, int64_t now_ns, int64_t *out)
{
	static const struct {
		const char *name;
		int64_t seconds;
	} words[] = {{"now", 0}, {"today", 0}, {"", 0}, {"yesterday", -86400}, {"tomorrow", 86400}};
	skip_spaces(&text);
	if (*text == '@')
		return parse_epoch(text + 1, out);
	for (size_t i = 0; i < CLI_ARRAY_LEN(words); i++) {
		if (strcmp(text, words[i].name) == 0) {
			*out = now_ns + words[i].seconds * NS;
			return 0;
		}
	}
	int error = parse_iso(cli, text, out);
	return error ? parse_relative(text, now_ns, out) : 0;
}

/* [[CC]YY]MMDDhhmm[.ss] (touch -t); two-digit years below 69 are in this century, as POSIX says. */
int cli_time_parse_stamp(struct cli *cli, const char *text, int64_t now_ns, int64_t *out)
{
	struct tm tm = {.tm_isdst = -1};
	const char *dot = strchr(text, '.');
	size_t len = dot ? (size_t)(dot - text) : strlen(text);
	int year = 0, century = 0;
	unsigned rest;
	if (len == 8) {
		time_t sec = seconds_of(now_ns, &rest);
		struct tm now = {0};
		zone_enter(cli);
		localtime_r(&sec, &now);
		zone_leave();
		tm.tm_year = now.tm_year;
	} else if (len == 10 && digits(&text, 2, &year)) {
		tm.tm_year = year < 69 ? year + 100 : year;
	} else if (len == 12 && digits(&text, 2, &century) && digits(&text, 2, &year)) {
		tm.tm_year = century * 100 + year - 1900;
	} else {
		return LINKFS_EINVAL;
	}
	if (!digits(&text, 2, &tm.tm_mon) || !digits(&text, 2, &tm.tm_mday) || !digits(&text, 2, &tm.tm_hour) ||
	    !digits(&text, 2, &tm.tm_min))
		return LINKFS_EINVAL;
	if (*text == '.') {
		text++;
		if (!digits(&text, 2, &tm.tm_sec))
			return LINKFS_EINVAL;
	}
	tm.tm_mon -= 1;
	return *text ? LINKFS_EINVAL : pack_local(cli, tm, 0, out);
}
