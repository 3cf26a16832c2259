/*
 * test_diff_random.c - what linkfs_diff() tells between any two of many snapshots and now, in both directions, of a tree that is changed at
 * random, against the two trees read whole. LINKFS_STEPS=N makes N changes; LINKFS_SEED replays.
 */
#include "tree.h"

#include "past.h"

#include <linkfs_links.h>
#include <linkfs_snapshots.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define SNAPSHOTS_MAX 64u

enum { PLAIN, LINKED, BOUND }; /* no directories with several paths; directory links; binds as well */
static int kind;

static struct {
	char name[32];
	struct tree was;
} taken[SNAPSHOTS_MAX];
static size_t taken_count;
static unsigned long made, compared, told;

/* ---- changes that the world does not make ----------------------------------------------------------------------- */

static void write_at(const char *path, uint64_t offset, size_t len, char byte)
{
	struct linkfs_file *file;
	static char bytes[300000];
	if (linkfs_file_open(v, NULL, ROOT, path, LINKFS_O_WRITE | LINKFS_O_NOFOLLOW, 0, &file))
		return;
	memset(bytes, byte, sizeof(bytes));
	OK(linkfs_file_write(file, offset, bytes, len, NULL));
	linkfs_file_close(file);
}

static void truncate_to(const char *path, uint64_t size)
{
	struct linkfs_setattr set = {.valid = LINKFS_SET_SIZE, .size = size};
	(void)linkfs_path_setattr(v, NULL, ROOT, path, LINKFS_NOFOLLOW, &set);
}

/* The same bytes once more, somewhere else. */
static void rewrite(const char *path)
{
	struct linkfs_file *file;
	static char bytes[300000];
	size_t n;
	if (linkfs_file_open(v, NULL, ROOT, path, LINKFS_O_READ | LINKFS_O_WRITE | LINKFS_O_NOFOLLOW, 0, &file))
		return;
	struct linkfs_stat st;
	OK(linkfs_file_stat(file, &st));
	OK(linkfs_file_read(file, 0, bytes, sizeof(bytes), &n));
	OK(linkfs_file_write(file, 0, bytes, n, NULL));
	linkfs_file_close(file);
	/* With the times that it had, so that nothing has changed. */
	struct linkfs_setattr set = {.valid = LINKFS_SET_MTIME, .mtime_ns = st.mtime_ns};
	OK(linkfs_path_setattr(v, NULL, ROOT, path, LINKFS_NOFOLLOW, &set));
}

static void set_xattr(const char *path)
{
	static const char *const names[] = {"user.a", "user.b", "user.c"};
	struct linkfs_stat st;
	const char *name = names[below(3)];
	char value[3] = {(char)('a' + below(3)), 'x', 0};
	if (linkfs_path_stat(v, NULL, ROOT, path, LINKFS_NOFOLLOW, &st))
		return;
	if (below(3))
		(void)linkfs_node_setxattr(v, NULL, st.ino, name, value, 1 + below(2), 0);
	else
		(void)linkfs_node_removexattr(v, NULL, st.ino, name);
}

static void make_special(void)
{
	static const uint32_t types[] = {S_IFIFO, S_IFSOCK, S_IFCHR, S_IFBLK};
	struct linkfs_make how = {.mode = types[below(4)] | 0600, .rdev_major = 1, .rdev_minor = (uint32_t)below(4)};
	char path[4096];
	(void)snprintf(path, sizeof(path), "%s/s%llu", some_path(S_IFDIR), (unsigned long long)below(5));
	(void)linkfs_path_make(v, NULL, ROOT, path, &how, NULL);
}

/* A file is opened, unlinked, and stays open: it has no name. */
static struct linkfs_file *nameless[4];
static void hold_nameless(void)
{
	struct linkfs_file **slot = &nameless[below(4)];
	const char *path = some_path(S_IFREG);
	if (*slot) {
		linkfs_file_close(*slot);
		*slot = NULL;
	} else if (linkfs_file_open(v, NULL, ROOT, path, LINKFS_O_READ | LINKFS_O_NOFOLLOW, 0, slot) == 0) {
		(void)linkfs_path_unlink(v, NULL, ROOT, path);
	}
}

static void change_more(void)
{
	const char *path = some_path(below(2) ? S_IFREG : 0), *file = some_path(S_IFREG);
	struct linkfs_setattr set = {.valid = LINKFS_SET_MODE, .mode = (uint32_t)(0600 + below(64))};
	switch (below(12)) {
	case 0:
		(void)linkfs_path_setattr(v, NULL, ROOT, path, LINKFS_NOFOLLOW, &set);
		break;
	case 1:
		set = (struct linkfs_setattr){.valid = LINKFS_SET_UID, .uid = (uint32_t)below(3)};
		(void)linkfs_path_setattr(v, NULL, ROOT, path, LINKFS_NOFOLLOW, &set);
		break;
	case 2:
		set = (struct linkfs_setattr){.valid = LINKFS_SET_MTIME, .mtime_ns = (int64_t)below(3)};
		(void)linkfs_path_setattr(v, NULL, ROOT, path, LINKFS_NOFOLLOW, &set);
		break;
	case 3:
	case 4:
		set_xattr(path);
		break;
	case 5:
		write_at(file, below(3) * 1000, 1 + below(600), (char)('a' + below(2)));
		break;
	case 6:
		write_at(file, 4096 * below(100), 1 + below(30) * 9000, (char)('a' + below(2)));
		break;
	case 7:
		truncate_to(file, below(2) ? below(3000) : below(300000));
		break;
	case 8:
		rewrite(file);
		break;
	case 9:
		hold_nameless();
		break;
	default:
		make_special();
		break;
	}
}

/* ---- snapshots -------------------------------------------------------------------------------------------------- */

static void drop(size_t i)
{
	OK(linkfs_snapshot_delete(v, NULL, taken[i].name, NULL, NULL, NULL));
	tree_free(&taken[i].was);
	for (; i + 1 < taken_count; i++)
		taken[i] = taken[i + 1];
	taken_count--;
}

static void take(void)
{
	if (taken_count == SNAPSHOTS_MAX)
		drop(below(taken_count));
	(void)snprintf(taken[taken_count].name, sizeof(taken[0].name), "at %lu", ++made);
	OK(linkfs_snapshot_create(v, NULL, &(struct linkfs_snapshot_new){.name = taken[taken_count].name}, NULL));
	tree_read(&taken[taken_count].was, root_of(taken[taken_count].name));
	taken_count++;
}

/* b: taken_count is now. */
static void compare(size_t a, size_t b)
{
	uint64_t at[2];
	struct tree now = {0};
	const struct tree *trees[2];
	const size_t which[2] = {a, b};
	for (int i = 0; i < 2; i++) {
		at[i] = which[i] == taken_count ? ROOT : root_of(taken[which[i]].name);
		trees[i] = which[i] == taken_count ? &now : &taken[which[i]].was;
	}
	/* Reading sets access times, which are changes to the volume and none that count. */
	if (a == taken_count || b == taken_count)
		tree_read(&now, ROOT);
	struct answer answer;
	answer_ask(&answer, at[0], at[1]);
	if (getenv("LINKFS_TRACE")) {
		print_message("# step %lu: %s to %s\n", step, a == taken_count ? "now" : taken[a].name,
			      b == taken_count ? "now" : taken[b].name);
		answer_print(&answer);
	}
	if (kind == BOUND)
		answer_check_loosely(&answer, trees[0], trees[1]);
	else
		answer_check(&answer, trees[0], trees[1]);
	compared++;
	told += answer.count;
	answer_free(&answer);
	tree_free(&now);
}

static void unbind_all(void)
{
	for (bool any = true; any;) {
		any = false;
		look();
		for (size_t i = 0; i < seen_count; i++)
			any |= linkfs_path_unbind(v, NULL, ROOT, seen[i].path) == 0;
	}
}

static void run(void **state)
{
	const char *steps = getenv("LINKFS_STEPS");
	unsigned long count = steps ? strtoul(steps, NULL, 10) : 500, binds = 0;
	kind = (int)(intptr_t)*state;
	made = compared = told = 0;
	taken_count = 0;
	memset(nameless, 0, sizeof(nameless));
	memset(done, 0, sizeof(done));
	places = kind != PLAIN;
	rnd.state = lk_test_seed() + (uint64_t)kind;
	print_message("# seed %llu, %lu changes\n", (unsigned long long)lk_test_seed(), count);
	for (step = 1; step <= count; step++) {
		if (step % 10 == 1 || multiplied)
			look();
		if (below(3))
			(void)change();
		else
			change_more();
		if (kind == LINKED && done[8] != binds) {
			unbind_all();
			binds = done[8];
		}
		if (below(25) == 0)
			take();
		if (taken_count && below(20) == 0)
			compare(below(taken_count + 1), below(taken_count + 1));
		if (taken_count > 8 && below(25) == 0)
			drop(below(taken_count));
		if (step % 400 == 0) {
			for (size_t i = 0; i < 4; i++) {
				if (nameless[i])
					linkfs_file_close(nameless[i]);
				nameless[i] = NULL;
			}
			reopen();
		}
	}
	for (size_t a = 0; a <= taken_count; a++)
		for (size_t b = 0; b <= taken_count; b++)
			compare(a, b);
	for (size_t i = 0; i < 4; i++) {
		if (nameless[i])
			linkfs_file_close(nameless[i]);
		nameless[i] = NULL;
	}
	check();
	while (taken_count)
		drop(taken_count - 1);
	print_message("# %lu snapshots, %lu answers, %lu changes told\n", made, compared, told);
	assert_true(compared > count / 20 && told > count);
}

static int setup_kind(void **state)
{
	void *which = *state;
	int r = setup(state);
	*state = which;
	return r;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		{"plain", run, setup_kind, teardown, (void *)(intptr_t)PLAIN},
		{"directory_links", run, setup_kind, teardown, (void *)(intptr_t)LINKED},
		{"binds", run, setup_kind, teardown, (void *)(intptr_t)BOUND},
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
