/*
 * past.h - snapshots by their names, for tests through the public headers. Who includes it has the volume v, and OK() for calls that
 * succeed.
 */
#ifndef LK_TEST_PAST_H
#define LK_TEST_PAST_H

#include <linkfs_snapshots.h>

static inline int take_id(void *arg, const struct linkfs_snapshot *s)
{
	*(uint64_t *)arg = s->id;
	return 0;
}

/* Takes one, and gives its number. */
static inline uint64_t take_snapshot(const char *name)
{
	uint64_t id = 0;
	OK(linkfs_snapshot_create(v, NULL, &(struct linkfs_snapshot_new){.name = name}, &id));
	return id;
}

/* The node of its root. */
static inline uint64_t root_of(const char *name)
{
	struct linkfs_stat st;
	uint64_t id = 0;
	OK(linkfs_snapshot_show(v, name, take_id, &id));
	OK(linkfs_snapshot_root(v, id, 0, &st));
	return st.node;
}

#endif
