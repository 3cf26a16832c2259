/*
 * test_keep.c - link-keeping saves (D7): a new file is renamed over one name, and all names are names of it; who may have that, and
 * who gets an ordinary rename.
 */
#include "test.h"

#include <linkfs_check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define ROOT LINKFS_ROOT_INO
#define OK(call) assert_int_equal(call, 0)
#define KEEP LINKFS_INO_KEEP_LINKS

static char *top;
static char path[4096];
static struct linkfs_volume *v;

static void open_it(void)
{
	struct linkfs_message why = {"no message"};
	if (linkfs_volume_open(path, NULL, &v, &why))
		fail_msg("open: %s", why.text);
}

static int setup(void **state)
{
	struct linkfs_create_options o = {.root_mode = 0777, .limit_bytes = 16 << 20};
	(void)state;
	top = lk_test_mkdir();
	(void)snprintf(path, sizeof(path), "%s/volume", top);
	OK(linkfs_volume_create(path, &o, NULL));
	open_it();
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	OK(linkfs_volume_close(v));
	lk_test_rmdir(top);
	return 0;
}

/* Names, counts and blocks against each other. */
static void check(void)
{
	struct linkfs_check_options o = {.flags = LINKFS_CHECK_DATA};
	struct linkfs_check_summary sum = {0};
	struct linkfs_message why = {""};
	OK(linkfs_volume_check(v, &o, &sum, &why));
	assert_int_equal(sum.problems, 0);
}

static struct linkfs_stat status(const char *name)
{
	struct linkfs_stat st;
	int r = linkfs_path_stat(v, NULL, ROOT, name, LINKFS_NOFOLLOW, &st);
	if (r)
		fail_msg("%s: %s", name, linkfs_error_name(r));
	return st;
}

static void put_as(const struct linkfs_cred *cred, const char *name, const char *text)
{
	struct linkfs_file *file;
	OK(linkfs_file_open(v, cred, ROOT, name, LINKFS_O_WRITE | LINKFS_O_CREATE, 0644, &file));
	OK(linkfs_file_write(file, 0, text, strlen(text), NULL));
	linkfs_file_close(file);
}

static void put(const char *name, const char *text)
{
	put_as(NULL, name, text);
}

static void assert_text(const char *name, const char *text)
{
	char bytes[64] = "";
	size_t n;
	OK(linkfs_node_read(v, status(name).ino, 0, bytes, sizeof(bytes) - 1, &n));
	assert_string_equal(bytes, text);
}

static void link_to(const char *from, const char *to)
{
	OK(linkfs_path_link(v, NULL, ROOT, from, ROOT, to, 0));
}

static void make_dir(const char *name)
{
	OK(linkfs_path_make(v, NULL, ROOT, name, &(struct linkfs_make){.mode = S_IFDIR | 0777}, NULL));
}

static void keep(const char *name, bool on)
{
	struct linkfs_stat st;
	OK(linkfs_node_set_flags(v, NULL, status(name).ino, on ? KEEP : 0, KEEP, &st));
	assert_int_equal(st.flags & KEEP, on ? KEEP : 0);
}

static int rename_as(const struct linkfs_cred *cred, const char *from, const char *to, uint32_t flags)
{
	return linkfs_path_rename(v, cred, ROOT, from, ROOT, to, flags);
}

/* Three names in three directories. */
static void three(const char *text)
{
	make_dir("x");
	make_dir("y");
	put("a", text);
	link_to("a", "x/b");
	link_to("a", "y/c");
	keep("a", true);
}

static void all_names_follow(void **state)
{
	(void)state;
	three("old");
	uint64_t old = status("a").ino;
	struct linkfs_stat x = status("x"), y = status("y");
	put("new", "new");
	uint64_t fresh = status("new").ino;
	OK(rename_as(NULL, "new", "x/b", 0));
	for (int again = 0; again < 2; again++) {
		const char *const names[] = {"a", "x/b", "y/c"};
		for (size_t i = 0; i < 3; i++) {
			struct linkfs_stat st = status(names[i]);
			assert_int_equal(st.ino, fresh);
			assert_int_equal(st.nlink, 3);
			assert_int_equal(st.flags & KEEP, KEEP);
			assert_text(names[i], "new");
		}
		struct linkfs_stat st;
		assert_int_equal(linkfs_path_stat(v, NULL, ROOT, "new", 0, &st), LINKFS_ENOENT);
		assert_int_equal(linkfs_node_getattr(v, old, &st), LINKFS_ESTALE);
		check();
		OK(linkfs_volume_close(v));
		open_it();
	}
	/* The directories were written to. */
	assert_true(status("x").mtime_ns > x.mtime_ns);
	assert_true(status("y").mtime_ns > y.mtime_ns);
	/* The new file keeps its links as well, by whichever name it is saved. */
	put("z", "third");
	OK(rename_as(NULL, "z", "y/c", 0));
	assert_text("a", "third");
	assert_text("x/b", "third");
	check();
}

static void what_follows_not(void **state)
{
	(void)state;
	three("old");
	uint64_t old = status("a").ino;
	/* An exchange replaces nothing. */
	put("new", "new");
	OK(rename_as(NULL, "new", "a", LINKFS_RENAME_EXCHANGE));
	assert_text("a", "new");
	assert_text("x/b", "old");
	assert_text("new", "old");
	OK(rename_as(NULL, "new", "a", LINKFS_RENAME_EXCHANGE));
	assert_int_equal(rename_as(NULL, "new", "a", LINKFS_RENAME_NOREPLACE), LINKFS_EEXIST);
	assert_int_equal(status("a").ino, old);
	/* A symlink, and a FIFO, take the one name. */
	OK(linkfs_path_symlink(v, NULL, "nowhere", ROOT, "s", NULL));
	OK(rename_as(NULL, "s", "a", 0));
	assert_int_equal(status("x/b").ino, old);
	assert_int_equal(status("x/b").nlink, 2);
	OK(linkfs_path_make(v, NULL, ROOT, "fifo", &(struct linkfs_make){.mode = S_IFIFO | 0666}, NULL));
	link_to("x/b", "d");
	OK(rename_as(NULL, "fifo", "d", 0));
	assert_int_equal(status("x/b").nlink, 2);
	/* Two names of one file: nothing happens. */
	OK(rename_as(NULL, "x/b", "y/c", 0));
	assert_int_equal(status("x/b").nlink, 2);
	/* Nor without the flag, on the old file; the new one's does not matter. */
	keep("new", true);
	keep("x/b", false);
	OK(rename_as(NULL, "new", "x/b", 0));
	assert_text("y/c", "old");
	assert_int_equal(status("y/c").ino, old);
	check();
}

/* A file with one name, whose new file keeps its links as well: it may get more names. */
static void one_name(void **state)
{
	(void)state;
	put("a", "old");
	keep("a", true);
	put("new", "new");
	OK(rename_as(NULL, "new", "a", 0));
	assert_int_equal(status("a").flags & KEEP, KEEP);
	link_to("a", "b");
	put("new", "newer");
	OK(rename_as(NULL, "new", "a", 0));
	assert_text("b", "newer");
	/* Not over another's file. */
	put("c", "c");
	put("new", "new");
	OK(rename_as(NULL, "new", "c", 0));
	assert_int_equal(status("c").flags & KEEP, 0);
	check();
}

/* Names of the file that comes stay its names. */
static void names_of_both(void **state)
{
	(void)state;
	three("old");
	put("new", "new");
	link_to("new", "x/other");
	OK(rename_as(NULL, "new", "a", 0));
	assert_int_equal(status("x/other").nlink, 4);
	assert_int_equal(status("y/c").ino, status("x/other").ino);
	/* And both may lie in one directory. */
	link_to("a", "q");
	put("r", "r");
	OK(rename_as(NULL, "r", "q", 0));
	assert_int_equal(status("a").ino, status("q").ino);
	assert_int_equal(status("a").nlink, 5);
	assert_text("x/other", "r");
	check();
}

static void rights(void **state)
{
	struct linkfs_cred ada = {.uid = 1000, .gid = 1000, .umask = 022},
			   bob = {.uid = 1001, .gid = 1001, .umask = 022};
	struct linkfs_stat st;
	(void)state;
	make_dir("x");
	put_as(&ada, "a", "ada's");
	link_to("a", "x/b");
	link_to("a", "c");
	uint64_t old = status("a").ino;
	assert_int_equal(linkfs_node_set_flags(v, &bob, old, KEEP, KEEP, &st), LINKFS_EPERM);
	assert_int_equal(status("a").flags & KEEP, 0);
	OK(linkfs_node_set_flags(v, &ada, old, KEEP, KEEP, &st));
	/* Bob may write in the root: he takes the one name, and nothing of his comes to the others. */
	put_as(&bob, "bobs", "bob's");
	OK(rename_as(&bob, "bobs", "c", 0));
	assert_text("c", "bob's");
	assert_text("a", "ada's");
	assert_int_equal(status("a").nlink, 2);
	/* Nor does a file of his that Ada moves. */
	put_as(&bob, "bobs", "bob's");
	link_to("a", "d");
	OK(rename_as(&ada, "bobs", "d", 0));
	assert_text("a", "ada's");
	/* The same through a mount, whose kernel has looked at the directories' rights and no further. */
	bob.flags = ada.flags = LINKFS_CRED_KERNEL;
	put_as(&bob, "bobs", "bob's");
	link_to("a", "e");
	OK(rename_as(&bob, "bobs", "e", 0));
	assert_text("a", "ada's");
	assert_int_equal(status("a").nlink, 2);
	/* Ada's own do, and root's. */
	put_as(&ada, "adas", "ada's second");
	OK(rename_as(&ada, "adas", "a", 0));
	assert_text("x/b", "ada's second");
	put("root", "root's");
	OK(rename_as(NULL, "root", "a", 0));
	assert_text("x/b", "root's");
	assert_int_equal(status("x/b").uid, 0);
	check();
}

static void who_may_set_what(void **state)
{
	struct linkfs_stat st;
	(void)state;
	put("a", "a");
	OK(linkfs_path_symlink(v, NULL, "a", ROOT, "s", NULL));
	assert_int_equal(linkfs_node_set_flags(v, NULL, status("s").ino, KEEP, KEEP, &st), LINKFS_EINVAL);
	assert_int_equal(linkfs_node_set_flags(v, NULL, status("a").ino, 1, 1, &st), LINKFS_EINVAL);
	assert_int_equal(linkfs_node_set_flags(v, NULL, status("a").ino, KEEP, 0, &st), LINKFS_EINVAL);
	assert_int_equal(linkfs_node_set_flags(v, NULL, 4711, KEEP, KEEP, &st), LINKFS_ESTALE);
	struct linkfs_stat before = status("a");
	keep("a", true);
	assert_true(status("a").ctime_ns > before.ctime_ns);
	assert_int_equal(status("a").mtime_ns, before.mtime_ns);
	before = status("a");
	keep("a", true); /* is so already */
	assert_int_equal(status("a").ctime_ns, before.ctime_ns);
	OK(linkfs_node_set_flags(v, NULL, before.ino, 0, 0, &st));
	assert_int_equal(st.flags, KEEP);
	OK(linkfs_volume_close(v));
	struct linkfs_open_options o = {.flags = LINKFS_OPEN_READONLY};
	OK(linkfs_volume_open(path, &o, &v, NULL));
	assert_int_equal(linkfs_node_set_flags(v, NULL, before.ino, 0, KEEP, &st), LINKFS_EROFS);
}

static void directories_hand_it_on(void **state)
{
	(void)state;
	make_dir("d");
	put("d/before", "");
	keep("d", true);
	put("d/f", "");
	make_dir("d/e");
	put("d/e/f", "");
	OK(linkfs_path_symlink(v, NULL, "f", ROOT, "d/s", NULL));
	assert_int_equal(status("d/before").flags & KEEP, 0);
	assert_int_equal(status("d/s").flags & KEEP, 0);
	assert_int_equal(status("d/f").flags & KEEP, KEEP);
	assert_int_equal(status("d/e/f").flags & KEEP, KEEP);
	put("old", "");
	OK(linkfs_path_clone(v, NULL, ROOT, "old", ROOT, "d/clone", 0, NULL));
	assert_int_equal(status("d/clone").flags & KEEP, KEEP);
	keep("d", false);
	put("d/after", "");
	assert_int_equal(status("d/after").flags & KEEP, 0);
	check();
}

static void open_files_keep_the_old(void **state)
{
	struct linkfs_file *file;
	char bytes[8] = "";
	size_t n;
	(void)state;
	three("old");
	OK(linkfs_file_open(v, NULL, ROOT, "y/c", LINKFS_O_READ | LINKFS_O_WRITE, 0, &file));
	put("new", "new");
	OK(rename_as(NULL, "new", "a", 0));
	OK(linkfs_file_write(file, 3, "er", 2, NULL));
	OK(linkfs_file_read(file, 0, bytes, sizeof(bytes), &n));
	assert_string_equal(bytes, "older");
	assert_text("y/c", "new");
	linkfs_file_close(file);
	check();
}

/* What an observer is told. */
static struct told {
	enum linkfs_event_kind kind;
	uint32_t flags;
	uint64_t ino;
	char name[16];
} told[64];
static size_t told_count;

static void observe(void *arg, const struct linkfs_event *events, size_t count)
{
	(void)arg;
	for (size_t i = 0; i < count && told_count < 64; i++) {
		struct told *t = &told[told_count++];
		*t = (struct told){events[i].kind, events[i].flags, events[i].ino, ""};
		if (events[i].name)
			memcpy(t->name, events[i].name, events[i].name_len + 1);
	}
}

static bool was_told(enum linkfs_event_kind kind, uint32_t flags, uint64_t ino, const char *name)
{
	for (size_t i = 0; i < told_count; i++) {
		if (told[i].kind == kind && told[i].flags == flags && told[i].ino == ino &&
		    strcmp(told[i].name, name) == 0)
			return true;
	}
	return false;
}

static void observers_learn_of_it(void **state)
{
	struct linkfs_cred kernel = {.flags = LINKFS_CRED_KERNEL};
	(void)state;
	three("old");
	uint64_t x = status("x").ino, y = status("y").ino;
	linkfs_volume_observe(v, observe, NULL);
	put("new", "new");
	uint64_t old = status("a").ino, fresh = status("new").ino;
	told_count = 0;
	OK(rename_as(NULL, "new", "a", 0));
	assert_true(was_told(LINKFS_EVENT_ENTRY, 0, x, "b") && was_told(LINKFS_EVENT_ENTRY, 0, y, "c"));
	assert_true(was_told(LINKFS_EVENT_ENTRY, 0, ROOT, "a") && was_told(LINKFS_EVENT_ENTRY, 0, ROOT, "new"));
	assert_true(was_told(LINKFS_EVENT_ATTR, 0, old, "") && was_told(LINKFS_EVENT_ATTR, 0, fresh, ""));
	/* The kernel is told what it did not ask for, marked, and nothing else. */
	put_as(&kernel, "new", "newer");
	old = fresh;
	fresh = status("new").ino;
	link_to("new", "y/too");
	told_count = 0;
	OK(rename_as(&kernel, "new", "x/b", 0));
	assert_true(was_told(LINKFS_EVENT_LISTING, LINKFS_EVENT_OWN, y, ""));
	assert_true(was_told(LINKFS_EVENT_ATTR, LINKFS_EVENT_OWN, old, "") &&
		    was_told(LINKFS_EVENT_ATTR, LINKFS_EVENT_OWN, fresh, ""));
	assert_true(was_told(LINKFS_EVENT_ENTRY, LINKFS_EVENT_OWN, x, "b"));
	/* A name that the new file had before may follow from now on. */
	assert_true(was_told(LINKFS_EVENT_ENTRY, LINKFS_EVENT_OWN, y, "too"));
	for (size_t i = 0; i < told_count; i++)
		assert_int_equal(told[i].flags, LINKFS_EVENT_OWN);
	/* An ordinary rename of the kernel's own tells nothing. */
	put_as(&kernel, "p", "p");
	put_as(&kernel, "q", "q");
	told_count = 0;
	OK(rename_as(&kernel, "p", "q", 0));
	assert_int_equal(told_count, 0);
	linkfs_volume_observe(v, NULL, NULL);
}

/* Groups of names are a partition: each save, link, removal and move is done to a model of it as well. */
#define NAMES 24
static void groups_stay_groups(void **state)
{
	struct lk_test_random random = {lk_test_seed()};
	int group[NAMES], next = 1; /* 0: no such name */
	char name[NAMES][16], text[16];
	(void)state;
	make_dir("d0");
	make_dir("d1");
	OK(linkfs_volume_set_property(v, NULL, "keep-deleted", lk_test_below(&random, 2) ? "1h" : "off", NULL));
	for (int i = 0; i < NAMES; i++) {
		(void)snprintf(name[i], sizeof(name[i]), "%s%d", i % 3 == 0 ? "" : i % 3 == 1 ? "d0/" : "d1/", i);
		group[i] = 0;
	}
	int steps = lk_test_long() ? 100000 : 3000;
	for (int step = 0; step < steps; step++) {
		int i = (int)lk_test_below(&random, NAMES), j = (int)lk_test_below(&random, NAMES);
		switch (lk_test_below(&random, 4)) {
		case 0: /* link j -> i */
			if (group[i] || !group[j])
				break;
			link_to(name[j], name[i]);
			group[i] = group[j];
			break;
		case 1:
			if (!group[i])
				break;
			OK(linkfs_path_unlink(v, NULL, ROOT, name[i]));
			group[i] = 0;
			break;
		case 2: /* i over j */
			if (i == j || !group[i])
				break;
			OK(rename_as(NULL, name[i], name[j], 0));
			if (group[i] == group[j])
				break;
			for (int k = 0, g = group[j]; g && k < NAMES; k++)
				group[k] = group[k] == g ? group[i] : group[k];
			group[j] = group[i];
			group[i] = 0;
			break;
		default: /* a save */
			(void)snprintf(text, sizeof(text), "%d", next);
			put("tmp", text);
			keep("tmp", true);
			OK(rename_as(NULL, "tmp", name[i], 0));
			for (int k = 0, g = group[i]; g && k < NAMES; k++)
				group[k] = group[k] == g ? next : group[k];
			group[i] = next++;
			break;
		}
		if (step % 100 == 0)
			check();
		for (int k = 0; k < NAMES; k++) {
			if (step % 20 || !group[k])
				continue;
			(void)snprintf(text, sizeof(text), "%d", group[k]);
			assert_text(name[k], text);
		}
	}
	for (int i = 0; i < NAMES; i++) {
		unsigned same = 0;
		for (int k = 0; k < NAMES; k++)
			same += group[i] && group[k] == group[i];
		if (group[i])
			assert_int_equal(status(name[i]).nlink, same);
	}
	check();
}

#define UNIT(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		UNIT(all_names_follow),        UNIT(what_follows_not),
		UNIT(names_of_both),           UNIT(rights),
		UNIT(who_may_set_what),        UNIT(directories_hand_it_on),
		UNIT(open_files_keep_the_old), UNIT(observers_learn_of_it),
		UNIT(groups_stay_groups),      UNIT(one_name),
	};
	return cmocka_run_group_tests_name("api-keep", tests, NULL, NULL);
}
