/*
 * test_diff.c - the rules of linkfs_diff() (E3; linkfs_diff.h): who is told what, what it costs, and what happens beside it. That each answer is
 * right and whole is api-diff-random's.
 */
#include <db_wrap.h>

#include "one_volume.h"

#include "past.h"

#include <linkfs_diff.h>
#include <linkfs_snapshots.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static uint64_t snapshot(const char *name)
{
	OK(linkfs_snapshot_create(v, NULL, &(struct linkfs_snapshot_new){.name = name}, NULL));
	return root_of(name);
}

/* The answer as text: a line for each change. */
static char text[100000];
static size_t changes;

static int take(void *arg, const struct linkfs_diff_change *c)
{
	static const char letters[] = "?ADMTR";
	size_t len = strlen(text);
	(void)arg;
	changes++;
	if (len + 1000 < sizeof(text))
		(void)snprintf(text + len, sizeof(text) - len, "%c%x %s%s%s\n", letters[c->kind], c->what,
			       c->old_path ? c->old_path : "", c->old_path ? " " : "", c->path);
	return 0;
}

static int ask_as(const struct linkfs_cred *cred, const struct linkfs_diff *ask, struct linkfs_diff_progress *done)
{
	text[0] = 0;
	changes = 0;
	return linkfs_diff(v, cred, ask, take, NULL, done);
}

static const char *diff(uint64_t from, uint64_t to)
{
	OK(ask_as(NULL, &(struct linkfs_diff){.from = from, .to = to}, NULL));
	return text;
}

static void move(const char *from, const char *to)
{
	OK(linkfs_path_rename(v, NULL, ROOT, from, ROOT, to, 0));
}

static void set_mode(const char *path, uint32_t mode)
{
	OK(linkfs_path_setattr(v, NULL, ROOT, path, 0,
			       &(struct linkfs_setattr){.valid = LINKFS_SET_MODE, .mode = mode}));
}

/* ---- what it costs ---------------------------------------------------------------------------------------------- */

#define MANY 20000u

static void many_files(void)
{
	char name[64];
	for (unsigned i = 0; i < MANY; i++) {
		if (i % 200 == 0) {
			(void)snprintf(name, sizeof(name), "d%u", i / 200);
			make_dir(name);
		}
		(void)snprintf(name, sizeof(name), "d%u/f%u", i / 200, i);
		OK(linkfs_path_make(v, NULL, ROOT, name, &(struct linkfs_make){.mode = S_IFREG | 0644}, NULL));
	}
}

static uint64_t calls_of(uint64_t from, uint64_t to, struct linkfs_diff_progress *done)
{
	_Atomic uint64_t calls = 0;
	struct lk_fault_plan plan = {.which = LK_FAULT_GET | LK_FAULT_SCAN, .calls = &calls};
	lk_db_fault_plan(lk_db_wrapped(), &plan);
	OK(ask_as(NULL, &(struct linkfs_diff){.from = from, .to = to}, done));
	lk_db_fault_plan(lk_db_wrapped(), NULL);
	return calls;
}

static void the_cost_is_that_of_the_change(void **state)
{
	struct linkfs_diff_progress done;
	char name[64], other[64];
	(void)state;
	many_files();
	uint64_t before = snapshot("before");
	for (unsigned i = 0; i < 10; i++) {
		(void)snprintf(name, sizeof(name), "d%u/f%u", i * 7, i * 7 * 200 + i);
		(void)snprintf(other, sizeof(other), "d%u/g%u", i * 7, i);
		if (i % 3 == 0)
			put(name, "changed");
		else if (i % 3 == 1)
			move(name, other);
		else
			OK(linkfs_path_unlink(v, NULL, ROOT, name));
	}
	/* Live: what is not in rows yet, and then what is. */
	uint64_t live = calls_of(before, ROOT, &done);
	assert_int_equal(changes, 10);
	print_message("# 10 changes of %u files: %lu calls of the engine, %lu rows, %lu inodes\n", MANY,
		      (unsigned long)live, (unsigned long)done.rows, (unsigned long)done.inodes);
	assert_true(live < 600 && done.rows < 400 && done.inodes <= 20);
	OK(linkfs_volume_sync(v));
	assert_true(calls_of(before, ROOT, &done) < 600);
	assert_int_equal(changes, 10);
	uint64_t after = snapshot("after");
	assert_true(calls_of(before, after, &done) < 800 && done.rows < 400);
	assert_int_equal(changes, 10);
	assert_true(calls_of(after, before, &done) < 800 && done.rows < 400);
	assert_int_equal(changes, 10);
	/* Nor does it matter how much changed before and after. */
	for (unsigned i = 0; i < 2000; i++) {
		(void)snprintf(name, sizeof(name), "d%u/f%u", 90 + i / 200, 90 * 200 + i);
		set_mode(name, 0600);
	}
	uint64_t third = snapshot("third");
	assert_true(calls_of(before, after, &done) < 800 && done.rows < 400);
	assert_int_equal(changes, 10);
	(void)calls_of(after, third, &done);
	assert_int_equal(changes, 2000);
	assert_true(done.inodes < 2100 && done.rows < 30000);
	assert_true(calls_of(third, ROOT, &done) < 50);
	assert_int_equal(changes, 0);
}

static void a_large_file_is_read_where_it_changed(void **state)
{
	static char block[65536];
	struct linkfs_diff_progress done;
	struct linkfs_file *file;
	(void)state;
	put("f", "");
	OK(linkfs_file_open(v, NULL, ROOT, "f", LINKFS_O_READ | LINKFS_O_WRITE, 0, &file));
	memset(block, 'x', sizeof(block));
	for (uint64_t i = 0; i < 128; i++)
		OK(linkfs_file_write(file, i * sizeof(block), block, sizeof(block), NULL));
	OK(linkfs_file_truncate(file, UINT64_C(1) << 40));
	uint64_t one = snapshot("one");
	/* The same bytes at another place: nothing has changed but the time, which goes back as well. */
	struct linkfs_stat st = status("f");
	OK(linkfs_file_write(file, 40 * sizeof(block), block, 100, NULL));
	OK(linkfs_path_setattr(v, NULL, ROOT, "f", 0,
			       &(struct linkfs_setattr){.valid = LINKFS_SET_MTIME, .mtime_ns = st.mtime_ns}));
	assert_true(calls_of(one, ROOT, &done) < 100);
	assert_string_equal(text, "");
	/* Zeros into a hole of a terabyte are what was there; anything else is not. */
	memset(block, 0, sizeof(block));
	OK(linkfs_file_write(file, UINT64_C(1) << 39, block, sizeof(block), NULL));
	OK(linkfs_path_setattr(v, NULL, ROOT, "f", 0,
			       &(struct linkfs_setattr){.valid = LINKFS_SET_MTIME, .mtime_ns = st.mtime_ns}));
	assert_true(calls_of(one, ROOT, &done) < 200);
	assert_string_equal(text, "");
	OK(linkfs_file_write(file, (UINT64_C(1) << 39) + 60000, "!", 1, NULL));
	OK(linkfs_path_setattr(v, NULL, ROOT, "f", 0,
			       &(struct linkfs_setattr){.valid = LINKFS_SET_MTIME, .mtime_ns = st.mtime_ns}));
	assert_true(calls_of(one, ROOT, &done) < 200);
	assert_string_equal(text, "M1 /f\n");
	linkfs_file_close(file);
}

/* ---- who is told ------------------------------------------------------------------------------------------------ */

static void what_one_may_not_see_is_not_told(void **state)
{
	const struct linkfs_cred ann = {.uid = 1000, .gid = 1000};
	struct linkfs_diff_progress done;
	(void)state;
	make_dir("open");
	make_dir("closed");
	make_dir("closed/in");
	put("open/a", "a");
	put("open/b", "b");
	put("closed/in/c", "c");
	put("closed/d", "d");
	set_mode("closed", 0700);
	uint64_t one = snapshot("one");
	move("open/a", "closed/a");
	move("closed/d", "open/d");
	put("closed/in/c", "changed");
	put("closed/e", "new");
	OK(linkfs_path_link(v, NULL, ROOT, "open/b", ROOT, "closed/b", 0));
	struct linkfs_diff ask = {.from = one, .to = ROOT};
	OK(ask_as(&ann, &ask, &done));
	assert_string_equal(text, "D0 /open/a\nA0 /open/d\n");
	assert_int_equal(done.hidden, 5);
	OK(ask_as(NULL, &ask, &done));
	assert_string_equal(text, "R0 /open/a /closed/a\nA400 /closed/b\nA0 /closed/e\nM9 /closed/in/c\nR0 /closed/d "
				  "/open/d\n");
	assert_int_equal(done.hidden, 0);
	/* Rights are those of each tree: what was open then is told of then. */
	set_mode("closed", 0755);
	set_mode("open", 0700);
	OK(ask_as(&ann, &ask, &done));
	assert_string_equal(text, "M2 /closed\nR0 /open/a /closed/a\nA400 /closed/b\nA0 /closed/e\nM9 "
				  "/closed/in/c\nM2 /open\n");
	ask.from_path = ask.to_path = "/open/a";
	assert_int_equal(ask_as(&ann, &ask, NULL), LINKFS_EACCES);
}

/* ---- beside others ---------------------------------------------------------------------------------------------- */

struct beside {
	atomic_bool stop;
	atomic_uint rounds;
};

static void *write_beside(void *arg)
{
	struct beside *b = arg;
	char name[64], other[64];
	for (unsigned i = 0; !atomic_load(&b->stop); i++) {
		(void)snprintf(name, sizeof(name), "w/n%u", i % 50);
		(void)snprintf(other, sizeof(other), "w/m%u", i % 50);
		(void)linkfs_path_make(v, NULL, ROOT, name, &(struct linkfs_make){.mode = S_IFREG | 0644}, NULL);
		struct linkfs_file *file;
		if (linkfs_file_open(v, NULL, ROOT, name, LINKFS_O_WRITE, 0, &file) == 0) {
			(void)linkfs_file_write(file, (i % 7) * 3000, "bytes", 5, NULL);
			(void)linkfs_file_truncate(file, (i % 5) * 4000);
			linkfs_file_close(file);
		}
		(void)linkfs_path_rename(v, NULL, ROOT, name, ROOT, other, 0);
		if (i % 3 == 0)
			(void)linkfs_path_unlink(v, NULL, ROOT, other);
		atomic_fetch_add(&b->rounds, 1);
	}
	return NULL;
}

/* Snapshots between the two go, and the live tree changes: what stands still is told right. */
static void others_go_on(void **state)
{
	struct beside b = {false, 0};
	pthread_t thread;
	char name[64];
	(void)state;
	make_dir("w");
	make_dir("s");
	for (unsigned i = 0; i < 300; i++) {
		(void)snprintf(name, sizeof(name), "s/f%u", i);
		put(name, "one");
	}
	uint64_t one = snapshot("one");
	for (unsigned k = 0; k < 10; k++) {
		for (unsigned i = k; i < 300; i += 10) {
			(void)snprintf(name, sizeof(name), "s/f%u", i);
			put(name, "two");
		}
		(void)snprintf(name, sizeof(name), "middle %u", k);
		(void)snapshot(name);
	}
	uint64_t two = snapshot("two");
	OK(pthread_create(&thread, NULL, write_beside, &b));
	for (unsigned k = 0; k < 40; k++) {
		struct linkfs_diff ask = {.from = one, .to = k % 2 ? two : ROOT, .from_path = "/s", .to_path = "/s"};
		if (k % 4 == 0 && k / 4 < 10) {
			(void)snprintf(name, sizeof(name), "middle %u", k / 4);
			OK(linkfs_snapshot_delete(v, NULL, name, NULL, NULL, NULL));
		}
		OK(ask_as(NULL, &ask, NULL));
		assert_int_equal(changes, 300);
		OK(ask_as(NULL, &(struct linkfs_diff){.from = two, .to = ROOT}, NULL));
		for (const char *line = text; *line; line = strchr(line, '\n') + 1)
			assert_true(strstr(line, " /w/") != NULL);
	}
	atomic_store(&b.stop, true);
	OK(pthread_join(thread, NULL));
	print_message("# %u rounds of changes beside it\n", atomic_load(&b.rounds));
	assert_true(atomic_load(&b.rounds) > 40);
	check();
}

static int stop_after(void *arg, const struct linkfs_diff_progress *progress)
{
	(void)progress;
	return --*(int *)arg == 0;
}

static int delete_it(void *arg, const struct linkfs_diff_progress *progress)
{
	bool *done = arg;
	(void)progress;
	if (!*done)
		OK(linkfs_snapshot_delete(v, NULL, "one", NULL, NULL, NULL));
	*done = true;
	return 0;
}

static int first_only(void *arg, const struct linkfs_diff_change *c)
{
	(void)c;
	++*(int *)arg;
	return 1;
}

static void it_can_be_ended(void **state)
{
	char name[64];
	int steps = 3, told = 0;
	bool deleted = false;
	(void)state;
	uint64_t one = snapshot("one");
	for (unsigned i = 0; i < 1000; i++) {
		(void)snprintf(name, sizeof(name), "f%u", i);
		put(name, "x");
	}
	struct linkfs_diff ask = {.from = one, .to = ROOT, .progress = stop_after, .progress_arg = &steps};
	assert_int_equal(ask_as(NULL, &ask, NULL), LINKFS_EINTR);
	assert_int_equal(changes, 0);
	ask.progress = NULL;
	OK(linkfs_diff(v, NULL, &ask, first_only, &told, NULL));
	assert_int_equal(told, 1);
	ask.progress = delete_it;
	ask.progress_arg = &deleted;
	assert_int_equal(ask_as(NULL, &ask, NULL), LINKFS_ESTALE);
	assert_true(deleted && changes == 0);
	assert_int_equal(ask_as(NULL, &ask, NULL), LINKFS_ESTALE);
}

static void it_needs_no_writer(void **state)
{
	struct linkfs_open_options o = {.flags = LINKFS_OPEN_READONLY};
	(void)state;
	put("f", "one");
	(void)snapshot("one");
	put("f", "two");
	put("g", "two");
	OK(linkfs_volume_close(v));
	OK(linkfs_volume_open(volume_path, &o, &v, NULL));
	assert_string_equal(diff(root_of("one"), ROOT), "M9 /f\nA0 /g\n");
	assert_string_equal(diff(ROOT, root_of("one")), "M9 /f\nD0 /g\n");
	assert_string_equal(diff(ROOT, ROOT), "");
}

/* ---- paths ------------------------------------------------------------------------------------------------------ */

static void wrong_questions(void **state)
{
	(void)state;
	put("f", "x");
	make_dir("d");
	make_dir("e");
	uint64_t one = snapshot("one");
	const struct {
		struct linkfs_diff ask;
		int error;
	} rows[] = {
		{{.from = one, .to = ROOT, .from_path = "/none", .to_path = "/none"}, LINKFS_ENOENT},
		{{.from = one, .to = ROOT, .from_path = "/none"}, LINKFS_ENOENT},
		{{.from = one, .to = ROOT, .from_path = "/d", .to_path = "/e"}, LINKFS_EINVAL},
		{{.from = one, .to = ROOT, .from_path = "/f/x", .to_path = "/f/x"}, LINKFS_ENOTDIR},
		{{.from = one, .to = status("f").ino}, LINKFS_ENOTDIR},
		{{.from = one, .to = 1000}, LINKFS_ESTALE},
		{{.from = UINT64_C(7) << 48 | 1, .to = ROOT}, LINKFS_ESTALE},
		{{.from = one, .to = ROOT, .from_path = "/d", .to_path = "/none"}, 0},
		{{.from = one, .to = ROOT, .to_path = "d/."}, 0},
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		assert_int_equal(ask_as(NULL, &rows[i].ask, NULL), rows[i].error);
}

/* A rename over a file, and others that leave two things to tell of one path. */
static void one_path_two_files(void **state)
{
	(void)state;
	make_dir("d");
	put("a", "a");
	put("b", "b");
	put("d/x", "x");
	put("log", "old");
	uint64_t one = snapshot("one");
	move("a", "b");
	/* The directory goes elsewhere, another takes its place. */
	move("d", "e");
	make_dir("d");
	put("d/x", "new");
	OK(linkfs_path_unlink(v, NULL, ROOT, "e/x"));
	/* As a log is rotated. */
	move("log", "log.1");
	put("log", "new");
	assert_string_equal(diff(one, ROOT), "D0 /b\nR0 /a /b\nA0 /d\nM209 /d/x\nR0 /d /e\nA0 /log\nR0 /log /log.1\n");
	assert_string_equal(diff(ROOT, one), "R0 /b /a\nA0 /b\nD0 /d\nR0 /e /d\nM209 /d/x\nD0 /log\nR0 /log.1 /log\n");
}

/* A link's own row says what it follows; nothing else of it changes with a save. */
static void what_tracked_links_follow(void **state)
{
	(void)state;
	put("f", "old");
	put("g", "g");
	OK(linkfs_node_set_flags(v, NULL, status("f").ino, LINKFS_INO_KEEP_LINKS, LINKFS_INO_KEEP_LINKS, NULL));
	OK(linkfs_path_track(v, NULL, ROOT, "f", ROOT, "link", 0, NULL));
	OK(linkfs_path_track(v, NULL, ROOT, "g", ROOT, "other", 0, NULL));
	make_dir("d");
	uint64_t one = snapshot("one");
	/* Moved: its text is another one, it follows the same. */
	move("g", "d/g");
	assert_string_equal(diff(one, ROOT), "R0 /g /d/g\n");
	put("new", "new");
	move("new", "f");
	uint64_t two = snapshot("two");
	assert_string_equal(diff(one, two), "R0 /g /d/g\nM209 /f\nM80 /link\n");
	assert_string_equal(diff(one, ROOT), "R0 /g /d/g\nM209 /f\nM80 /link\n");
	assert_string_equal(diff(two, one), "M209 /f\nR0 /d/g /g\nM80 /link\n");
}

/* A file that takes another's place in a directory that is renamed. */
static void replaced_in_a_renamed_directory(void **state)
{
	(void)state;
	make_dir("d");
	put("d/x", "x");
	put("d/y", "y");
	uint64_t one = snapshot("one");
	move("d", "e");
	OK(linkfs_path_unlink(v, NULL, ROOT, "e/x"));
	put("e/x", "another");
	OK(linkfs_path_unlink(v, NULL, ROOT, "e/y"));
	make_dir("e/y");
	assert_string_equal(diff(one, ROOT), "R0 /d /e\nM209 /e/x\nT200 /e/y\n");
	assert_string_equal(diff(ROOT, one), "R0 /e /d\nM209 /d/x\nT200 /d/y\n");
}

/* A directory is made anew with the files that it had, as programs do that unpack a tree beside another and exchange them. */
static void the_same_files_in_another_directory(void **state)
{
	(void)state;
	make_dir("d");
	make_dir("d/sub");
	put("d/x", "x");
	put("d/y", "y");
	put("d/sub/z", "z");
	uint64_t one = snapshot("one");
	make_dir("new");
	move("d/x", "new/x");
	move("d/y", "new/y");
	move("d/sub", "new/sub");
	OK(linkfs_path_rmdir(v, NULL, ROOT, "d"));
	move("new", "d");
	assert_string_equal(diff(one, ROOT), "M200 /d\n");
	assert_string_equal(diff(ROOT, one), "M200 /d\n");
	set_mode("d/x", 0600);
	put("d/sub/z", "another");
	assert_string_equal(diff(one, ROOT), "M200 /d\nM9 /d/sub/z\nM2 /d/x\n");
	move("d/y", "d/why");
	assert_string_equal(diff(one, ROOT), "M200 /d\nM9 /d/sub/z\nR0 /d/y /d/why\nM2 /d/x\n");
}

/* With keep-deleted what was removed is there still, and nothing of it shows. */
static void kept_files_are_gone(void **state)
{
	(void)state;
	OK(linkfs_volume_set_property(v, NULL, "keep-deleted", "1d", NULL));
	put("f", "f");
	uint64_t one = snapshot("one");
	OK(linkfs_path_unlink(v, NULL, ROOT, "f"));
	uint64_t two = snapshot("two");
	assert_string_equal(diff(one, ROOT), "D0 /f\n");
	assert_string_equal(diff(one, two), "D0 /f\n");
	assert_string_equal(diff(two, ROOT), "");
	assert_string_equal(diff(two, one), "A0 /f\n");
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, volume_setup, volume_teardown)
	const struct CMUnitTest tests[] = {
		T(the_cost_is_that_of_the_change),
		T(a_large_file_is_read_where_it_changed),
		T(what_one_may_not_see_is_not_told),
		T(others_go_on),
		T(it_can_be_ended),
		T(it_needs_no_writer),
		T(wrong_questions),
		T(one_path_two_files),
		T(what_tracked_links_follow),
		T(replaced_in_a_renamed_directory),
		T(the_same_files_in_another_directory),
		T(kept_files_are_gone),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
