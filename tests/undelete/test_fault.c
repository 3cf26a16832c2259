/*
 * test_fault.c - P3 for deleted files: the n-th call of the metadata engine fails, for n = 1, 2, 3 ..., by itself or with the
 * transaction. Losing a name, giving it back, giving it up and setting the property happen wholly or not at all, and work the next time.
 */
#include "kept.h"

#include <db_fault.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define STATE_MAX 4096

struct scene {
	struct world w;
	struct lk_fault_seen seen; /* by the newest fault_off() */
};

static int unlink_file(struct world *w)
{
	return linkfs_path_unlink(w->volume, NULL, 1, "d/f");
}
static int unlink_one_name(struct world *w)
{
	return linkfs_path_unlink(w->volume, NULL, 1, "d/two");
}
static int remove_dir(struct world *w)
{
	return linkfs_path_rmdir(w->volume, NULL, 1, "d/empty");
}
static int replace(struct world *w)
{
	return linkfs_path_rename(w->volume, NULL, 1, "d/f", 1, "d/blocks", 0);
}
static int replace_by_symlink(struct world *w)
{
	return linkfs_path_replace_symlink(w->volume, NULL, "text", 1, "d/blocks", NULL);
}
static int64_t target; /* the deletion that is given back or up */
static int give_back(struct world *w)
{
	return restore(w, target);
}
static int purge_file(struct world *w)
{
	return linkfs_deleted_purge(w->volume, NULL, target);
}
static int set(struct world *w)
{
	return linkfs_volume_set_property(w->volume, NULL, LINKFS_KEEP_DELETED, "2d", NULL);
}

static const struct change {
	const char *name;
	int (*make)(struct world *w);
	const char *target;
} changes[] = {
	{"unlink", unlink_file, NULL},
	{"unlink one of two", unlink_one_name, NULL},
	{"rmdir", remove_dir, NULL},
	{"rename over", replace, NULL},
	{"symlink over", replace_by_symlink, NULL},
	{"restore", give_back, "/d/gone"},
	{"restore dir", give_back, "/d/gone-dir"},
	{"restore name", give_back, "/d/gone-name"},
	{"purge", purge_file, "/d/gone"},
	{"set", set, NULL},
};

/* The same at every time, but for the inode numbers. */
static void prepare(struct world *w, const struct change *c)
{
	if (at(w, "d/f"))
		fail_msg("the scene is not clean");
	put(w, "d/", NULL);
	put(w, "d/f", "file");
	put_blocks(w, "d/blocks", 3, 5);
	put(w, "d/two", "two");
	tie(w, "d/two", "d/names");
	put(w, "d/empty/", NULL);
	put_blocks(w, "d/gone", 4, 6);
	put(w, "d/gone-dir/", NULL);
	tie(w, "d/two", "d/gone-name");
	take(w, "d/gone");
	take(w, "d/gone-dir/");
	take(w, "d/gone-name");
	target = c->target ? lost(w, c->target) : 0;
}

static void clean(struct world *w)
{
	static const char *const files[] = {"d/f", "d/blocks", "d/two", "d/names", "d/gone", "d/gone-name"};
	for (size_t i = 0; i < LK_ARRAY_LEN(files); i++) {
		if (at(w, files[i]))
			take(w, files[i]);
	}
	if (at(w, "d/empty"))
		take(w, "d/empty/");
	if (at(w, "d/gone-dir"))
		take(w, "d/gone-dir/");
	take(w, "d/");
	const struct deletions *all = list(w, NULL, NULL);
	for (uint32_t i = 0; i < all->count; i++)
		assert_int_equal(linkfs_deleted_purge(w->volume, NULL, all->row[i].time_ns), 0);
	assert_int_equal(kept_inodes(w), 0);
	kept_set(w, "1d");
}

/* Everything that these changes can change. */
static void describe(struct world *w, char out[STATE_MAX])
{
	static const char *const paths[] = {"d",       "d/f",    "d/blocks",   "d/two",      "d/names",
					    "d/empty", "d/gone", "d/gone-dir", "d/gone-name"};
	struct linkfs_info info;
	char value[64];
	size_t n = 0;
	for (size_t i = 0; i < LK_ARRAY_LEN(paths); i++) {
		struct linkfs_stat st = {0};
		if (at(w, paths[i]))
			stat_of(w, paths[i], &st);
		n += (size_t)snprintf(out + n, STATE_MAX - n, "%s %o %u %llu\n", paths[i], st.mode, st.nlink,
				      (unsigned long long)st.size);
	}
	const struct deletions *all = list(w, NULL, NULL);
	for (uint32_t i = 0; i < all->count; i++)
		n += (size_t)snprintf(out + n, STATE_MAX - n, "deleted %s %u %u %llu\n", all->path[i],
				      all->row[i].stat.nlink, all->row[i].flags,
				      (unsigned long long)all->row[i].stat.size);
	assert_int_equal(linkfs_volume_info(w->volume, &info), 0);
	assert_int_equal(linkfs_volume_get_property(w->volume, LINKFS_KEEP_DELETED, value, sizeof(value)), 0);
	(void)snprintf(out + n, STATE_MAX - n, "%llu inodes, %llu kept with %llu blocks, for %s",
		       (unsigned long long)info.inodes, (unsigned long long)info.kept_inodes,
		       (unsigned long long)info.kept_blocks, value);
}

static void fault_on(struct scene *s, int error, bool lose, unsigned n)
{
	const struct lk_fault_plan plan = {.which = LK_FAULT_FORWARD, .n = n, .code = error, .lose = lose};
	lk_db_fault_plan(lk_volume_fs(s->w.volume)->db, &plan);
}

static void fault_off(struct scene *s)
{
	struct lk_db *db = lk_volume_fs(s->w.volume)->db;
	s->seen = lk_db_fault_seen(db);
	lk_db_fault_plan(db, NULL);
}

static unsigned try(struct scene *s, const struct change *c, int error, bool lose)
{
	char before[STATE_MAX], after[STATE_MAX], now[STATE_MAX];
	bool tripped = true;
	unsigned n = 1;
	prepare(&s->w, c);
	assert_int_equal(c->make(&s->w), 0);
	describe(&s->w, after);
	clean(&s->w);
	for (; tripped; n++) {
		assert_true(n < 500);
		prepare(&s->w, c);
		describe(&s->w, before);
		assert_int_equal(linkfs_volume_sync(s->w.volume), 0);
		fault_on(s, error, lose, n);
		int r = c->make(&s->w);
		fault_off(s);
		tripped = s->seen.failures > 0;
		/* A later call that loses the transaction loses what stood in it; every sync says so. */
		bool poisoned = atomic_load(&lk_volume_fs(s->w.volume)->poisoned);
		if (poisoned) {
			(void)linkfs_volume_close(s->w.volume);
			struct linkfs_open_options options = {.commit_interval_ms = 3600000};
			assert_int_equal(linkfs_volume_open(s->w.volume_path, &options, &s->w.volume, NULL), 0);
		}
		describe(&s->w, now);
		if (strcmp(now, r ? before : after) != 0 && (!poisoned || strcmp(now, before) != 0))
			fail_msg("%s, call %u (%s) fails with %s: returned %s\nbefore:\n%s\nnow:\n%s", c->name, n,
				 s->seen.in, linkfs_error_name(error), linkfs_error_name(r), before, now);
		kept_check(&s->w);
		if (strcmp(now, after) != 0) {
			assert_int_equal(c->make(&s->w), 0);
			describe(&s->w, now);
			assert_string_equal(now, after);
		}
		clean(&s->w);
	}
	return n - 2;
}

static void every_call_may_fail(void **state)
{
	(void)state;
	static const int errors[] = {LINKFS_EIO, LINKFS_ENOSPC, LINKFS_ENOMEM};
	struct scene *s = calloc(1, sizeof(*s));
	unsigned points = 0;
	assert_non_null(s);
	kept_open(&s->w, "1d", 0);
	for (size_t e = 0; e < LK_ARRAY_LEN(errors); e++) {
		for (size_t i = 0; i < LK_ARRAY_LEN(changes); i++) {
			points += try(s, &changes[i], errors[e], false);
			points += try(s, &changes[i], errors[e], true);
		}
	}
	printf("# %u points\n", points);
	assert_true(points > 200);
	assert_int_equal(kept_check(&s->w), 0);
	world_close(&s->w);
	free(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(every_call_may_fail)};
	return cmocka_run_group_tests_name("undelete-fault", tests, NULL, NULL);
}
