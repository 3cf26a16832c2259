/*
 * zones.h - time zones with odd changes, and the C library's view of them.
 */
#ifndef RETAIN_ZONES_H
#define RETAIN_ZONES_H

#include "test.h"

#include <retain.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <tags.h>
#include <time.h>

#define NS INT64_C(1000000000)

static inline void set_zone(const char *zone)
{
	setenv("TZ", zone, 1);
	tzset();
}

static inline int32_t libc_zone(void *arg, int64_t time_s)
{
	time_t t = (time_t)time_s;
	struct tm tm;
	(void)arg;
	assert_non_null(localtime_r(&t, &tm));
	return (int32_t)tm.tm_gmtoff;
}

static inline int64_t floor_seconds(int64_t ns)
{
	return ns / NS - (ns % NS < 0);
}

static inline void add(struct lk_retain *rules, const char *rule, const char *value)
{
	assert_int_equal(lk_retain_add(rules, (struct lk_bytes){rule, strlen(rule)},
				       (struct lk_bytes){value, strlen(value)}, NULL),
			 0);
}

#endif
