/*
 * test_mixed.c - hard links, symlinks, tracked ones, directory links, binds, cow names, links that are kept and files made one, changed at
 * random on one volume; every so often the whole tree is walked by each of its paths, and what the indexes answer (names, referrers, what a
 * tracked link follows, check) must be what that shows (C1, D1, D2, D5 to D8, E7). LINKFS_STEPS=N makes N changes; LINKFS_SEED replays.
 */
#include "world.h"

#include <linkfs_links.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define EVERY 250u

static bool is_tracked(const struct linkfs_stat *st)
{
	return S_ISLNK(st->mode) && (st->flags & LINKFS_INO_TRACKED);
}

/* A tracked link ends at what it tracks, by each of its paths, as long as any path leads to that. */
static void tracked(const struct seen *s)
{
	struct linkfs_stat end;
	uint64_t target = 0;
	int r = linkfs_node_tracks(v, NULL, s->st.ino, NULL, NULL, &target);
	if (r == LINKFS_ENOENT || r == LINKFS_EINVAL)
		return;
	OK(r);
	for (size_t i = 0; i < seen_count; i++) {
		if (seen[i].st.ino != target)
			continue;
		r = linkfs_path_stat(v, NULL, ROOT, s->path, 0, &end);
		if (r || end.ino != target)
			fail_msg("seed %llu, step %lu: %s tracks %s and leads to %s",
				 (unsigned long long)lk_test_seed(), step, s->path, seen[i].path,
				 r ? linkfs_error_name(r) : "another file");
		done[19]++;
		return;
	}
}

static void compare(void)
{
	look();
	check();
	for (int i = 0; seen_count && i < 12; i++) {
		const struct seen *s = &seen[below(seen_count)];
		same_names(s);
		if (!S_ISLNK(s->st.mode))
			same_referrers(ROOT, s);
	}
	for (size_t i = 0; i < seen_count; i++)
		if (is_tracked(&seen[i].st))
			tracked(&seen[i]);
}

static void run(void)
{
	const char *steps = getenv("LINKFS_STEPS");
	unsigned long count = steps ? strtoul(steps, NULL, 10) / 2 : 4000;
	memset(done, 0, sizeof(done));
	rnd.state = lk_test_seed();
	print_message("# seed %llu, %lu changes\n", (unsigned long long)lk_test_seed(), count);
	for (step = 1; step <= count; step++) {
		/* What may have multiplied the paths is looked at before it is done again. */
		if (step % 20 == 1 || multiplied)
			look();
		(void)change();
		if (step % (getenv("LINKFS_EACH") ? 1 : EVERY) == 0)
			compare();
		if (step % 5000 == 0)
			reopen();
	}
	compare();
	for (unsigned i = 0; i < 19; i++) {
		print_message("# kind %u: %lu times\n", i, done[i]);
		assert_true(done[i] || count < 4000 || (!places && i >= 7 && i <= 9));
	}
	assert_true(done[19] || count < 4000);
	print_message("# %lu times a tracked link led where it should\n", done[19]);
}

static void links_of_all_kinds(void **state)
{
	(void)state;
	places = true;
	run();
}

static void without_binds_and_directory_links(void **state)
{
	(void)state;
	places = false;
	run();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(links_of_all_kinds, setup, teardown),
		cmocka_unit_test_setup_teardown(without_binds_and_directory_links, setup, teardown)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
