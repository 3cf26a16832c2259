/*
 * test_snapshots_many.c - many snapshots of a tree that is changed at random (E1, E2): each shows, as long as it is there, what was seen when it
 * was taken, by each path: types, modes, owners, times, contents, texts, attributes, which names are of one file, and where symlinks lead.
 * They go in any order, several at once, left to the volume half way, over closes and kills; in the end the space is that of the live tree, and
 * check with all data is clean throughout. LINKFS_SNAPSHOTS=N keeps N of them at one time; LINKFS_SEED replays.
 */
#include "edits.h"
#include "kept.h"
#include "rows.h"

#include "past.h"

#include <linkfs_check.h>
#include <linkfs_links.h>
#include <linkfs_snapshots.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define SNAPSHOTS_MAX 1500u
#define AT_ONCE 4u

static struct taken {
	char name[32];
	struct kept was;
} taken[SNAPSHOTS_MAX];
static size_t taken_count, most;
static unsigned long made, compared, deleted, cut_off, kills, survived;

/* ---- taken, and looked at ------------------------------------------------------------------------------------------------ */

static void compare_one(size_t i)
{
	kept_compare(&taken[i].was, root_of(taken[i].name), taken[i].name);
	compared++;
}

static void take(void)
{
	struct taken *t = &taken[taken_count];
	assert_true(taken_count < SNAPSHOTS_MAX);
	(void)snprintf(t->name, sizeof(t->name), "at %lu", ++made);
	/* Looking afterwards changes nothing of what is kept. */
	OK(linkfs_snapshot_create(v, NULL, &(struct linkfs_snapshot_new){.name = t->name}, NULL));
	kept_take(ROOT, &t->was);
	if (++taken_count > most)
		most = taken_count;
}

static void rename_one(void)
{
	struct taken *t = &taken[below(taken_count)];
	char name[sizeof(t->name)];
	(void)snprintf(name, sizeof(name), "renamed %lu", step);
	OK(linkfs_snapshot_rename(v, NULL, t->name, name));
	memcpy(t->name, name, sizeof(name));
}

static void change_something(void)
{
	if (step % 16 == 1 || multiplied)
		look();
	if (below(2))
		(void)change();
	else
		edit(taken_count ? root_of(taken[below(taken_count)].name) : 0);
	step++;
}

static int on_problem(void *arg, const struct linkfs_finding *f)
{
	(void)arg;
	print_message("# check: %s: %s\n", f->problem->id, f->text);
	return 0;
}

static void check_all(void)
{
	struct linkfs_check_options options = {.flags = LINKFS_CHECK_DATA, .finding = on_problem};
	struct linkfs_check_summary sum;
	OK(linkfs_volume_check(v, &options, &sum, NULL));
	if (sum.problems)
		fail_msg("seed %llu, step %lu: check finds %llu problems", (unsigned long long)lk_test_seed(), step,
			 (unsigned long long)sum.problems);
}

static void close_and_open(void)
{
	edits_close();
	reopen();
}

/* ---- deleted ---------------------------------------------------------------------------------------------------------------- */

struct job {
	pthread_t thread;
	char name[32];
	unsigned stop_after; /* steps; 0: none */
	int result;
	struct linkfs_snapshot_progress done;
};

static int on_step(void *arg, const struct linkfs_snapshot_progress *progress)
{
	struct job *j = arg;
	(void)progress;
	return j->stop_after && --j->stop_after == 0;
}

static void *delete_main(void *arg)
{
	struct job *j = arg;
	j->result = linkfs_snapshot_delete(v, NULL, j->name, on_step, j, &j->done);
	return NULL;
}

static void drop(size_t i)
{
	kept_free(&taken[i].was);
	taken[i] = taken[--taken_count];
	deleted++;
}

/* Some at once, the first of them by two threads now and then, while the tree changes and others are looked at. */
static void delete_some(unsigned count)
{
	struct job jobs[AT_ONCE + 1];
	unsigned all = 0;
	for (; all < count && taken_count; all++) {
		size_t i = below(taken_count);
		jobs[all] = (struct job){.stop_after = below(3) ? 0 : 1 + (unsigned)below(2)};
		memcpy(jobs[all].name, taken[i].name, sizeof(jobs[all].name));
		drop(i);
	}
	if (!all)
		return;
	bool twice = below(6) == 0;
	if (twice) {
		jobs[all] = jobs[0];
		all++;
	}
	for (unsigned i = 0; i < all; i++)
		assert_int_equal(pthread_create(&jobs[i].thread, NULL, delete_main, &jobs[i]), 0);
	for (uint64_t n = below(6); n; n--)
		change_something();
	if (taken_count && below(4) == 0)
		compare_one(below(taken_count));
	for (unsigned i = 0; i < all; i++)
		assert_int_equal(pthread_join(jobs[i].thread, NULL), 0);
	if (twice) {
		int *one = &jobs[0].result, *other = &jobs[all - 1].result;
		assert_true((*one == LINKFS_ENOENT) != (*other == LINKFS_ENOENT));
		*(*one == LINKFS_ENOENT ? one : other) = 0;
	}
	for (unsigned i = 0; i < all; i++) {
		if (jobs[i].result && jobs[i].result != LINKFS_EINTR)
			fail_msg("seed %llu, step %lu: deleting %s: %s", (unsigned long long)lk_test_seed(), step,
				 jobs[i].name, linkfs_error_name(jobs[i].result));
		cut_off += jobs[i].result == LINKFS_EINTR;
	}
}

struct last_steps {
	uint64_t left;
};

static int die_on_step(void *arg, const struct linkfs_snapshot_progress *progress)
{
	struct last_steps *l = arg;
	(void)progress;
	if (l->left-- == 0)
		(void)kill(getpid(), SIGKILL);
	return 0;
}

static void child(char names[][32], unsigned count, unsigned synced, uint64_t left)
{
	struct linkfs_open_options o = {.commit_interval_ms = 3600000};
	struct last_steps l = {left};
	(void)alarm(120);
	if (linkfs_volume_open(world_path(), &o, &v, NULL))
		_exit(1);
	for (unsigned i = 0; i < count; i++)
		if (linkfs_snapshot_delete(v, NULL, names[i], die_on_step, &l, NULL) ||
		    (i < synced && linkfs_volume_sync(v)))
			_exit(2);
	(void)kill(getpid(), SIGKILL);
}

static size_t index_of(const char *name)
{
	for (size_t i = 0; i < taken_count; i++)
		if (strcmp(taken[i].name, name) == 0)
			return i;
	fail_msg("there is no %s", name);
	return 0;
}

/* A process deletes some, and is killed between steps or after them: what it was told is durable is gone, and the rest is gone or whole. */
static void delete_and_be_killed(void)
{
	char names[3][32];
	unsigned count = 0, synced = (unsigned)below(3);
	uint64_t left = below(5);
	int status;
	for (; count < 3 && count < taken_count; count++)
		memcpy(names[count], taken[(count * 7919 + made) % taken_count].name, sizeof(names[0]));
	for (unsigned i = 1; i < count; i++)
		if (strcmp(names[i], names[0]) == 0 || (i == 2 && strcmp(names[2], names[1]) == 0))
			count = i;
	edits_close();
	OK(linkfs_volume_close(v));
	pid_t pid = fork();
	assert_true(pid >= 0);
	if (pid == 0)
		child(names, count, synced, left);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	OK(linkfs_volume_open(world_path(), NULL, &v, NULL));
	kills++;
	for (unsigned i = 0; i < count; i++) {
		uint64_t id;
		int r = linkfs_snapshot_show(v, names[i], take_id, &id);
		if (r == 0) {
			survived++;
			compare_one(index_of(names[i]));
		} else {
			assert_int_equal(r, LINKFS_ENOENT);
			drop(index_of(names[i]));
		}
	}
}

/* ---- space ------------------------------------------------------------------------------------------------------------------- */

static uint64_t used(void)
{
	struct linkfs_info info;
	OK(linkfs_volume_sync(v));
	OK(linkfs_volume_info(v, &info));
	return info.data_blocks_used;
}

static uint64_t *disk; /* blocks, some of them several times */
static size_t disk_count, disk_cap;

static int take_extent(void *arg, const struct linkfs_extent *e)
{
	(void)arg;
	for (uint64_t at = 0; at < e->disk_length; at += 4096) {
		if (disk_count == disk_cap) {
			disk_cap = disk_cap ? 2 * disk_cap : 65536;
			disk = realloc(disk, disk_cap * sizeof(*disk));
			assert_non_null(disk);
		}
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

static void add_blocks(uint64_t at)
{
	look_at(at);
	for (size_t i = 0; i < seen_count; i++) {
		uint64_t offset = 0;
		while (S_ISREG(seen[i].st.mode) && offset != UINT64_MAX)
			OK(linkfs_node_extents(v, seen[i].st.ino, &offset, take_extent, NULL));
	}
}

/* Blocks that files of the live tree and of all snapshots lie in. */
static uint64_t needed(void)
{
	uint64_t blocks = 0;
	disk_count = 0;
	for (size_t i = 0; i < taken_count; i++)
		add_blocks(root_of(taken[i].name));
	add_blocks(ROOT);
	qsort(disk, disk_count, sizeof(disk[0]), by_number);
	for (size_t i = 0; i < disk_count; i++)
		blocks += i == 0 || disk[i] != disk[i - 1];
	free(disk);
	disk = NULL;
	disk_cap = 0;
	return blocks;
}

/* What is left of deletions goes on by itself. */
static void space_is_what_is_seen(void)
{
	uint64_t want = needed();
	for (unsigned waits = 0; waits < 400 && used() != want; waits++)
		(void)usleep(25000);
	if (used() != want)
		fail_msg("seed %llu, step %lu: %llu blocks are in use, %llu are needed",
			 (unsigned long long)lk_test_seed(), step, (unsigned long long)used(),
			 (unsigned long long)want);
}

/* ---- the tests ---------------------------------------------------------------------------------------------------------------- */

static void begin(bool with_places, bool with_open_files)
{
	memset(edited, 0, sizeof(edited));
	memset(done, 0, sizeof(done));
	made = compared = deleted = cut_off = kills = survived = most = 0;
	taken_count = 0;
	step = 1;
	places = with_places;
	edits_open = with_open_files;
	paths_many = 250;
	multiplied = false;
	rnd.state = lk_test_seed();
}

static void told(void)
{
	print_message(
		"# %lu snapshots in %lu changes, %zu at one time, compared %lu times; %lu deletions left half way, %lu "
		"killed (%lu snapshots stayed)\n",
		made, step, most, compared, cut_off, kills, survived);
}

static void many(void **state)
{
	const char *text = getenv("LINKFS_SNAPSHOTS");
	size_t alive = text ? (size_t)strtoul(text, NULL, 10) : lk_test_long() ? 1000 : 80;
	size_t every = alive < 500 ? 60 : 300; /* changes from one check, and from one opening, to the next */
	(void)state;
	begin(true, true);
	if (alive >= SNAPSHOTS_MAX)
		alive = SNAPSHOTS_MAX - 1;
	while (made < 2 * alive) {
		change_something();
		if (below(12) == 0)
			take();
		if (taken_count && below(60) == 0)
			compare_one(below(taken_count));
		if (taken_count && below(100) == 0)
			rename_one();
		if (taken_count >= alive || (taken_count > 3 && below(200) == 0))
			delete_some(1 + (unsigned)below(AT_ONCE));
		if (below(10 * every) == 0)
			check_all();
		if (below(5 * every) == 0)
			close_and_open();
	}
	assert_true(most >= alive);
	for (size_t i = 0; i < taken_count; i++)
		compare_one(i);
	check_all();
	while (taken_count) {
		if (below(12) == 0)
			delete_and_be_killed();
		else
			delete_some(1 + (unsigned)below(AT_ONCE));
		if (taken_count)
			compare_one(below(taken_count));
		if (below(taken_count + 1) < 2 || below(every / 3) == 0)
			check_all();
		if (below(8) == 0)
			close_and_open();
	}
	close_and_open();
	check_all();
	unbind_all();
	space_is_what_is_seen();
	no_row_is_left(v);
	check_all();
	told();
	assert_true(deleted == made && compared > alive && cut_off && kills);
	for (unsigned i = 0; i < EDITS; i++)
		assert_true(edited[i]);
}

/* Each deletion gives back what nothing else has, no more and no less, and says how much. */
static void exact(void **state)
{
	const struct linkfs_setattr set = {.valid = LINKFS_SET_MODE, .mode = 0777};
	unsigned long count = lk_test_long() ? 2000 : 40;
	(void)state;
	begin(false, false);
	while (made < count || taken_count) {
		for (uint64_t n = 5 + below(25); n; n--)
			change_something();
		if (below(3) == 0)
			edit_long();
		if (made < count && (taken_count < 8 || below(2))) {
			take();
			continue;
		}
		struct job j = {.stop_after = below(3) ? 0 : 1};
		size_t i = below(taken_count);
		memcpy(j.name, taken[i].name, sizeof(j.name));
		uint64_t before = used();
		/* With something else in the transaction its steps are short. */
		if (j.stop_after)
			OK(linkfs_node_setattr(v, NULL, ROOT, &set, NULL));
		(void)delete_main(&j);
		drop(i);
		assert_true(j.result == 0 || j.result == LINKFS_EINTR);
		cut_off += j.result == LINKFS_EINTR;
		if (j.result == 0)
			assert_int_equal(j.done.bytes, (before - used()) * 4096);
		space_is_what_is_seen();
		if (below(8) == 0)
			check_all();
	}
	no_row_is_left(v);
	check_all();
	told();
	assert_true(cut_off);
}

/* A row of the index of components is there as long as a text needs it, and is a last one as long as it is one in some text. */
static void texts_that_went(void **state)
{
	struct linkfs_make dir = {.mode = S_IFDIR | 0755};
	(void)state;
	begin(true, false);
	OK(linkfs_path_make(v, NULL, ROOT, "/d", &dir, NULL));
	OK(linkfs_path_track(v, NULL, ROOT, "/d", ROOT, "/link", 0, NULL));
	take();
	OK(linkfs_path_rename(v, NULL, ROOT, "/d", ROOT, "/other", 0));
	OK(linkfs_path_make(v, NULL, ROOT, "/d", &dir, NULL));
	OK(linkfs_path_rename(v, NULL, ROOT, "/other", ROOT, "/d/e", 0));
	take();
	OK(linkfs_path_rmdir(v, NULL, ROOT, "/d/e")); /* the link keeps the text "d/e", and had "d" */
	check_all();
	take();
	OK(linkfs_path_unlink(v, NULL, ROOT, "/link"));
	while (taken_count) {
		for (size_t i = 0; i < taken_count; i++)
			compare_one(i);
		OK(linkfs_snapshot_delete(v, NULL, taken[0].name, NULL, NULL, NULL));
		drop(0);
		check_all();
	}
	no_row_is_left(v);
}

static int end(void **state)
{
	while (taken_count)
		kept_free(&taken[--taken_count].was);
	kept_end();
	edits_close();
	return teardown(state);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test_setup_teardown(texts_that_went, setup, end),
					   cmocka_unit_test_setup_teardown(exact, setup, end),
					   cmocka_unit_test_setup_teardown(many, setup, end)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
