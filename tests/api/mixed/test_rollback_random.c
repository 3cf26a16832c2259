/*
 * test_rollback_random.c - a tree that is changed at random goes back to snapshots of it (E1): the whole of it, subtrees, single files. It
 * shows then what it showed, but for ctime, by each path: types, modes, owners, times, contents, texts, attributes, which names are of one file, and where
 * symlinks lead. What is outside stays as it is; a dry run changes nothing; a second run finds nothing to do; check is clean.
 * LINKFS_STEPS=N makes N rollbacks; LINKFS_SEED replays.
 */
#include "world.h"

#include <linkfs_links.h>
#include <linkfs_snapshots.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static bool second; /* run, which is to do nothing */
static unsigned long steps_told, lefts, whole_done, part_done, refused, wrapped, judged;

static int on_step(void *arg, const struct linkfs_rollback *told)
{
	(void)arg;
	steps_told++;
	lefts += told->kind == LINKFS_ROLLBACK_LEFT;
	if (getenv("LINKFS_TRACE") || second)
		print_message("#   kind %d what %x type %o error %d %s (%s)\n", told->kind, told->what, told->type,
			      told->error, told->path, told->from ? told->from : "");
	return 0;
}

static int take_id(void *arg, const struct linkfs_snapshot *s)
{
	*(uint64_t *)arg = s->id;
	return 0;
}

static uint64_t root_of(uint64_t id)
{
	struct linkfs_stat st;
	OK(linkfs_snapshot_root(v, id, 0, &st));
	return st.node;
}

static void same(const char *what, const char *path, char *was, char *is)
{
	if (strcmp(was, is) != 0) {
		const char *a = was, *b = is;
		while (*a && *a == *b) {
			a++;
			b++;
		}
		while (a > was && a[-1] != '\n') {
			a--;
			b--;
		}
		fail_msg("seed %llu, step %lu: %s of '%s'\n was %.*s\n is  %.*s", (unsigned long long)lk_test_seed(),
			 step, what, path, (int)strcspn(a, "\n"), a, (int)strcspn(b, "\n"), b);
	}
	free(was);
	free(is);
}

static bool is_below(const char *path, const char *top)
{
	size_t len = strlen(top);
	return strncmp(path, top, len) == 0 && (path[len] == '/' || path[len] == 0);
}

/* Files and directories none of whose paths lead through top. */
struct outside {
	char *path;
	struct linkfs_stat st;
};
static struct outside outside[PATHS_MAX];
static size_t outside_count;

static bool has_path_in(uint64_t ino, const char *top)
{
	for (size_t i = 0; i < seen_count; i++)
		if (seen[i].st.ino == ino && is_below(seen[i].path, top))
			return true;
	return false;
}

static void note_outside(const char *top)
{
	struct linkfs_stat dir = {0};
	char *above = strndup(top, (size_t)(strrchr(top, '/') - top));
	(void)linkfs_path_stat(v, NULL, ROOT, *above ? above : "/", LINKFS_NOFOLLOW, &dir);
	free(above);
	look();
	outside_count = 0;
	for (size_t i = 0; i < seen_count; i++) {
		if (seen[i].st.ino != dir.ino && !S_ISLNK(seen[i].st.mode) && !has_path_in(seen[i].st.ino, top))
			outside[outside_count++] = (struct outside){strdup(seen[i].path), seen[i].st};
	}
}

static void same_outside(const char *top)
{
	for (size_t i = 0; i < outside_count; i++) {
		const struct linkfs_stat *was = &outside[i].st;
		struct linkfs_stat st;
		int r = linkfs_path_stat(v, NULL, ROOT, outside[i].path, LINKFS_NOFOLLOW, &st);
		/* A directory of several paths of which one leads through what was rolled back, or a bind that is gone. */
		if (r == 0 && st.ino == was->ino &&
		    (st.mtime_ns != was->mtime_ns || st.size != was->size || st.mode != was->mode))
			fail_msg("seed %llu, step %lu: %s is outside of %s and changed",
				 (unsigned long long)lk_test_seed(), step, outside[i].path, top);
		if (r && !places)
			fail_msg("seed %llu, step %lu: %s is outside of %s and gone",
				 (unsigned long long)lk_test_seed(), step, outside[i].path, top);
		free(outside[i].path);
	}
	outside_count = 0;
}

/* What a bind shows is not of the tree that it stands in. */
static bool bound_below;

static int on_bind(void *arg, const struct linkfs_bind *bind)
{
	/* By any of the paths to its directory. */
	for (size_t i = 0; i < seen_count; i++)
		bound_below |= seen[i].st.ino == bind->dir && is_below(seen[i].path, arg);
	bound_below |= is_below(bind->path, arg);
	return 0;
}

static bool has_binds(char *top)
{
	uint64_t hidden = 0;
	bound_below = false;
	look();
	OK(linkfs_volume_binds(v, NULL, 0, on_bind, top, &hidden));
	return bound_below || hidden;
}

static bool is_seen(const char *path)
{
	bool found = false;
	for (size_t i = 0; i < seen_count; i++)
		found |= strcmp(seen[i].path, path) == 0;
	return found;
}

/* Whether its directory is one now, and not a symlink to another. */
static bool is_physical(const char *path)
{
	size_t len = *path ? (size_t)(strrchr(path, '/') - path) : 0;
	bool found = len == 0;
	for (size_t i = 0; i < seen_count; i++)
		found |= S_ISDIR(seen[i].st.mode) && strlen(seen[i].path) == len &&
			 strncmp(seen[i].path, path, len) == 0;
	return found;
}

static void back(uint64_t id, char *path, bool had_binds)
{
	uint64_t then = root_of(id);
	bool whole = !*path;
	const char *top = whole ? "" : path;
	char *before = describe(ROOT, "", true);
	int dry = linkfs_path_rollback(v, NULL, ROOT, whole ? "/" : path, id, LINKFS_ROLLBACK_DRY_RUN, on_step, NULL);
	same("a dry run", path, before, describe(ROOT, "", true));
	/* What a bind covers is inside and is not seen there. */
	bool covers = has_binds(path) || had_binds || !is_physical(path);
	bool judge = !whole && !covers;
	if (judge)
		note_outside(path);
	unsigned long before_left = lefts;
	if (getenv("LINKFS_TRACE"))
		print_message("# rollback %s\n", path);
	int r = linkfs_path_rollback(v, NULL, ROOT, whole ? "/" : path, id, 0, on_step, NULL);
	if (getenv("LINKFS_TRACE"))
		print_message("# = %d\n", r);
	if (judge)
		same_outside(path);
	judged += judge;
	if (r) {
		/* Its directory is gone, or what is outside holds it fast. */
		bool walk = r == dry && (r == LINKFS_ENOENT || r == LINKFS_ELOOP || r == LINKFS_ENOTDIR);
		if ((!walk && r != LINKFS_EBUSY) || whole)
			fail_msg("seed %llu, step %lu: rollback of '%s' is %s (dry: %d)",
				 (unsigned long long)lk_test_seed(), step, path, linkfs_error_name(r), dry);
		refused++;
		return;
	}
	OK(dry);
	assert_int_equal(lefts, before_left);
	/* A path that leads through a symlink now is another's. */
	if (whole || (!covers && !has_binds(path) && is_seen(path)))
		same("what was", path, describe(then, top, false), describe(ROOT, top, false));
	steps_told = 0;
	second = true;
	OK(linkfs_path_rollback(v, NULL, ROOT, whole ? "/" : path, id, 0, on_step, NULL));
	second = false;
	if (steps_told)
		fail_msg("seed %llu, step %lu: a second rollback of '%s' finds something to do",
			 (unsigned long long)lk_test_seed(), step, path);
	whole_done += whole;
	part_done += !whole;
}

/* A new directory takes path's name, and path lies in it. */
static void wrap(const char *path)
{
	if (linkfs_path_make(v, NULL, ROOT, "/around", &(struct linkfs_make){.mode = S_IFDIR | 0755}, NULL))
		return;
	if (linkfs_path_rename(v, NULL, ROOT, path, ROOT, "/around/inner", 0) == 0 &&
	    linkfs_path_rename(v, NULL, ROOT, "/around", ROOT, path, 0) == 0)
		wrapped++;
	else
		(void)linkfs_path_rmdir(v, NULL, ROOT, "/around");
}

static void some_changes(uint64_t count)
{
	for (uint64_t i = 0; i < count; i++) {
		if (i % 20 == 0 || multiplied)
			look();
		(void)change();
	}
}

static void run(bool with_places)
{
	const char *steps = getenv("LINKFS_STEPS");
	unsigned long count = steps ? strtoul(steps, NULL, 10) : 70;
	places = with_places;
	steps_told = lefts = whole_done = part_done = refused = wrapped = judged = 0;
	rnd.state = lk_test_seed();
	print_message("# seed %llu, %lu rollbacks\n", (unsigned long long)lk_test_seed(), count);
	some_changes(100);
	for (step = 1; step <= count; step++) {
		char name[32];
		uint64_t id = 0;
		(void)snprintf(name, sizeof(name), "at %lu", step);
		OK(linkfs_snapshot_create(v, NULL, &(struct linkfs_snapshot_new){.name = name}, NULL));
		OK(linkfs_snapshot_show(v, name, take_id, &id));
		look();
		char *path = strdup(below(3) == 0 ? "" : some_path(0));
		bool binds = has_binds(path);
		some_changes(5 + below(60));
		if (*path && below(4) == 0)
			wrap(path);
		some_changes(below(10));
		back(id, path, binds);
		free(path);
		if (step % 10 == 0)
			check();
		if (step % 40 == 0)
			reopen();
		/* Others stay. */
		if (below(3))
			OK(linkfs_snapshot_delete(v, NULL, name, NULL, NULL, NULL));
	}
	check();
	print_message(
		"# %lu times all, %lu times a part, %lu refused, %lu wrapped, %lu with an eye on what is outside\n",
		whole_done, part_done, refused, wrapped, judged);
	assert_true(whole_done > count / 8 && part_done > count / 8 && judged > count / 16);
}

static void links_of_all_kinds(void **state)
{
	(void)state;
	run(true);
}

static void without_binds_and_directory_links(void **state)
{
	(void)state;
	run(false);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(without_binds_and_directory_links, setup, teardown),
		cmocka_unit_test_setup_teardown(links_of_all_kinds, setup, teardown)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
