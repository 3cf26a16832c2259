/*
 * clock.h - the library's clock in the test's hands, and the taking of snapshots that fails when it says so.
 */
#ifndef PRUNE_CLOCK_H
#define PRUNE_CLOCK_H

#include "one_volume.h"

#include <linkfs_prune.h>
#include <stdio.h>
#include <string.h>

#define SECOND INT64_C(1000000000)
#define HOUR (3600 * SECOND)
#define DAY (24 * HOUR)
#define START (INT64_C(1795768205) * SECOND) /* 2026-11-27 08:30:05 UTC, a Friday */

static int64_t now = START;
static int add_fails;

int64_t __wrap_lk_clock_now_ns(void);
int64_t __wrap_lk_clock_now_ns(void)
{
	return now;
}

int __real_lk_snapshot_add(void *op, void *snapshot);
int __wrap_lk_snapshot_add(void *op, void *snapshot);
int __wrap_lk_snapshot_add(void *op, void *snapshot)
{
	return add_fails ? add_fails : __real_lk_snapshot_add(op, snapshot);
}

static inline int begin(void **state)
{
	now = START;
	add_fails = 0;
	return volume_setup(state);
}

static inline int take(const char *name, const char *tags)
{
	return linkfs_snapshot_create(v, NULL, &(struct linkfs_snapshot_new){.name = name, .tags = tags}, NULL);
}

static inline int list_name(void *arg, const struct linkfs_snapshot *s)
{
	char *list = arg;
	(void)snprintf(list + strlen(list), 4000 - strlen(list), "%s%s", *list ? " " : "", s->name);
	return 0;
}

/* The names of all, in their order, with a space between. */
static inline const char *all(void)
{
	static char list[4000];
	list[0] = 0;
	OK(linkfs_snapshot_list(v, list_name, list));
	return list;
}

#endif
