/*
 * retain.h - rules for which snapshots stay (E6), as text, and what they say of a list. No volume, no clock, no time zone but what is
 * given.
 * Layer: core. The rules are described in linkfs_prune.h.
 */
#ifndef LK_RETAIN_H
#define LK_RETAIN_H

#include "base.h"

#include <linkfs_prune.h>

enum lk_keep_rule {
	LK_KEEP_LAST,
	LK_KEEP_HOURLY,
	LK_KEEP_DAILY,
	LK_KEEP_WEEKLY,
	LK_KEEP_MONTHLY,
	LK_KEEP_YEARLY,
	LK_KEEP_WITHIN, /* this and the next five: the first six within a length of time */
	LK_KEEP_TAG = 12,
	LK_KEEP_RULES,
};
#define LK_KEEP_COUNTS 6

struct lk_period {
	int32_t years, months, days, hours;
};

/* Zeroed: no rules. */
struct lk_retain {
	int32_t counts[LK_KEEP_COUNTS]; /* 0: no such rule; -1: all */
	struct lk_period within[LK_KEEP_COUNTS];
	struct lk_buf tags; /* lists, each with a NUL behind it */
};

extern const struct linkfs_prune_rule lk_keep_rules[LK_KEEP_RULES];

int lk_retain_add(struct lk_retain *retain, struct lk_bytes rule, struct lk_bytes value, struct linkfs_message *why);
/* "last=3,daily=7", or "off" for none. */
int lk_retain_parse(struct lk_retain *retain, const char *text, struct linkfs_message *why);
/* The text, without a NUL: rules in their order; "off" when there are none. */
int lk_retain_format(const struct lk_retain *retain, struct lk_buf *out);
bool lk_retain_is_empty(const struct lk_retain *retain);
void lk_retain_done(struct lk_retain *retain);

struct lk_retained {
	int64_t time_ns;
	struct lk_bytes tags;        /* as in the record (tags.h) */
	uint32_t kept_by, as_oldest; /* what the rules say: bits by lk_keep_rule */
};
/* items: in the order in which they were taken, the oldest first. zone NULL: UTC. LINKFS_ENOMEM. */
int lk_retain_apply(const struct lk_retain *retain, linkfs_zone_fn *zone, void *zone_arg, int64_t now_ns,
		    struct lk_retained *items, size_t count);

/* "2026-11-27T08:30:05" of the zone. */
#define LK_STAMP_MAX 80u
void lk_zone_stamp(linkfs_zone_fn *zone, void *zone_arg, int64_t time_ns, char out[LK_STAMP_MAX]);

#endif
