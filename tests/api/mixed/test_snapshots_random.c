/*
 * test_snapshots_random.c - snapshots of a tree that is changed at random (E1, E2): each shows, as long as it is there, what was seen when it
 * was taken, by each path: types, modes, owners, times, contents, texts, attributes, which names are of one file, and where symlinks lead; names and referrers are what a full scan of it finds.
 * They go in any order; in the end the space is that of the live tree. LINKFS_STEPS=N makes N changes; LINKFS_SEED replays.
 */
#include "world.h"

#include "past.h"

#include <linkfs_snapshots.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SNAPSHOTS_MAX 1000u

static struct {
	char name[32];
	char *was;
} taken[SNAPSHOTS_MAX];
static size_t taken_count;
static unsigned long made, compared, deleted;

static void compare_one(size_t i)
{
	char *now = describe(root_of(taken[i].name), "", true);
	if (strcmp(now, taken[i].was) != 0) {
		const char *a = taken[i].was, *b = now;
		while (*a && *a == *b) {
			a++;
			b++;
		}
		while (a > taken[i].was && a[-1] != '\n') {
			a--;
			b--;
		}
		fail_msg("seed %llu, step %lu: snapshot %s\n was %.*s\n is  %.*s", (unsigned long long)lk_test_seed(),
			 step, taken[i].name, (int)strcspn(a, "\n"), a, (int)strcspn(b, "\n"), b);
	}
	free(now);
	compared++;
	/* Of it is seen what was last looked at. */
	for (int n = 0; seen_count && n < 8; n++) {
		const struct seen *s = &seen[below(seen_count)];
		same_names(s);
		if (!S_ISLNK(s->st.mode))
			same_referrers(root_of(taken[i].name), s);
	}
}

static void take(void)
{
	if (taken_count == SNAPSHOTS_MAX)
		return;
	char *was = describe(ROOT, "", true);
	(void)snprintf(taken[taken_count].name, sizeof(taken[0].name), "at %lu", ++made);
	OK(linkfs_snapshot_create(v, NULL, &(struct linkfs_snapshot_new){.name = taken[taken_count].name}, NULL));
	taken[taken_count++].was = was;
}

static int stop_at_once(void *arg, const struct linkfs_snapshot_progress *progress)
{
	(void)arg;
	(void)progress;
	return 1;
}

static void delete_one(size_t i)
{
	int r = linkfs_snapshot_delete(v, NULL, taken[i].name, below(3) ? NULL : stop_at_once, NULL, NULL);
	assert_true(r == 0 || r == LINKFS_EINTR);
	free(taken[i].was);
	taken[i] = taken[--taken_count];
	deleted++;
}

static uint64_t used(void)
{
	struct linkfs_info info;
	OK(linkfs_volume_sync(v));
	OK(linkfs_volume_info(v, &info));
	return info.data_blocks_used;
}

static uint64_t disk[1000000]; /* blocks, some of them several times */
static size_t disk_count;

static int take_extent(void *arg, const struct linkfs_extent *e)
{
	(void)arg;
	for (uint64_t at = 0; at < e->disk_length; at += 4096) {
		assert_true(disk_count < sizeof(disk) / sizeof(disk[0]));
		disk[disk_count++] = e->disk + at;
	}
	return 0;
}

static int by_number(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
	return x < y ? -1 : x > y;
}

/* What binds cover is not seen and has blocks all the same. */
static void unbind_all(void)
{
	for (bool any = true; any;) {
		any = false;
		look();
		for (size_t i = 0; i < seen_count; i++)
			any |= linkfs_path_unbind(v, NULL, ROOT, seen[i].path) == 0;
	}
}

/* Blocks that files of the live tree lie in. */
static uint64_t needed(void)
{
	uint64_t blocks = 0;
	look();
	disk_count = 0;
	for (size_t i = 0; i < seen_count; i++) {
		uint64_t offset = 0;
		while (S_ISREG(seen[i].st.mode) && offset != UINT64_MAX)
			OK(linkfs_node_extents(v, seen[i].st.ino, &offset, take_extent, NULL));
	}
	qsort(disk, disk_count, sizeof(disk[0]), by_number);
	for (size_t i = 0; i < disk_count; i++)
		blocks += i == 0 || disk[i] != disk[i - 1];
	return blocks;
}

static void run(void **state)
{
	const char *steps = getenv("LINKFS_STEPS");
	unsigned long count = steps ? strtoul(steps, NULL, 10) : 3000;
	(void)state;
	places = true;
	rnd.state = lk_test_seed();
	print_message("# seed %llu, %lu changes\n", (unsigned long long)lk_test_seed(), count);
	for (step = 1; step <= count; step++) {
		if (step % 20 == 1 || multiplied)
			look();
		(void)change();
		if (below(40) == 0)
			take();
		if (taken_count && below(120) == 0)
			compare_one(below(taken_count));
		if (taken_count > 20 && below(30) == 0)
			delete_one(below(taken_count));
		if (step % 500 == 0)
			check();
		if (step % 700 == 0)
			reopen();
	}
	for (size_t i = 0; i < taken_count; i++)
		compare_one(i);
	while (taken_count) {
		delete_one(below(taken_count));
		if (taken_count)
			compare_one(below(taken_count));
	}
	reopen(); /* what was left of deletions goes on by itself */
	assert_true(compared > 20 && deleted > 20);
	print_message("# %lu snapshots, compared %lu times\n", made, compared);
	check();
	unbind_all();
	uint64_t want = needed();
	for (unsigned waits = 0; waits < 200 && used() != want; waits++)
		(void)usleep(50000);
	assert_int_equal(used(), want);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test_setup_teardown(run, setup, teardown)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
