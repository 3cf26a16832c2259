/*
 * test_track_places.c - tracked links where several paths lead to one directory (D5 with C1, C2, D6): in each place the link has the text
 * that is right there, and follows as elsewhere.
 */
#include "world.h"

#include <stdio.h>
#include <string.h>

static void link_directory(const char *from, const char *to)
{
	OK(linkfs_path_link_directory(v, NULL, ROOT, from, ROOT, to));
}

static void bind_to(const char *source, const char *at)
{
	OK(linkfs_path_bind(v, NULL, ROOT, source, ROOT, at));
}

static void unbind(const char *at)
{
	OK(linkfs_path_unbind(v, NULL, ROOT, at));
}

static void each_name_of_its_directory(void **state)
{
	(void)state;
	make_dir("p");
	make_dir("q");
	make_dir("q/r");
	make_dir("t");
	make_dir("p/d");
	put("t/f", "");
	OK(track("t/f", "p/d/l", 0));
	link_directory("p/d", "q/r/d2");
	assert_link("p/d/l", "../../t/f", "t/f");
	assert_link("q/r/d2/l", "../../../t/f", "t/f");
	/* The target, a directory above it, one above a place. */
	OK(move("t/f", "g", 0));
	assert_link("p/d/l", "../../g", "g");
	assert_link("q/r/d2/l", "../../../g", "g");
	OK(move("g", "q/g", 0));
	assert_link("p/d/l", "../../q/g", "q/g");
	assert_link("q/r/d2/l", "../../g", "q/g");
	OK(move("q/r", "r", 0));
	assert_link("p/d/l", "../../q/g", "q/g");
	assert_link("r/d2/l", "../../q/g", "q/g");
	/* One made through the second name, of what is below it. */
	put("r/d2/h", "");
	OK(track("r/d2/h", "r/d2/m", 0));
	assert_link("p/d/m", "h", "p/d/h");
	OK(track("p/d", "r/d2/up", 0));
	assert_link("p/d/up", ".", "p/d");
	assert_link("r/d2/up", ".", "p/d");
	/* The first name goes. */
	OK(linkfs_path_rmdir(v, NULL, ROOT, "p/d"));
	assert_link("r/d2/l", "../../q/g", "q/g");
	OK(move("r/d2", "d", 0));
	assert_link("d/l", "../q/g", "q/g");
	check();
}

static void each_name_of_its_targets_directory(void **state)
{
	(void)state;
	make_dir("a");
	make_dir("a/d");
	make_dir("b");
	put("a/d/f", "");
	OK(track("a/d/f", "b/l", 0));
	assert_link("b/l", "../a/d/f", "a/d/f");
	link_directory("a/d", "b/e"); /* a way that is as good, and shorter */
	assert_int_equal(leads_to("b/l"), status("a/d/f").ino);
	OK(linkfs_path_rmdir(v, NULL, ROOT, "a/d"));
	assert_link("b/l", "e/f", "b/e/f");
	check();
}

static void through_binds(void **state)
{
	(void)state;
	make_dir("d");
	make_dir("x");
	make_dir("x/y");
	make_dir("x/y/b");
	put("f", "");
	OK(track("f", "d/l", 0));
	bind_to("d", "x/y/b");
	assert_link("d/l", "../f", "f");
	assert_link("x/y/b/l", "../../../f", "f");
	OK(move("x", "z", 0));
	OK(move("f", "z/f", 0));
	assert_link("d/l", "../z/f", "z/f");
	assert_link("z/y/b/l", "../../f", "z/f");
	unbind("z/y/b");
	check();
}

static void around_covers(void **state)
{
	(void)state;
	make_dir("t");
	make_dir("other");
	make_dir("seen");
	make_dir("u");
	put("t/f", "");
	OK(track("t/f", "l", 0));
	uint64_t ino = status("t/f").ino;
	/* The only way is covered: it leads nowhere, and does again when the bind is gone. */
	bind_to("other", "t");
	assert_int_equal(leads_to("l"), 0);
	unbind("t");
	assert_link("l", "t/f", "t/f");
	/* What is covered is seen elsewhere. */
	bind_to("t", "seen");
	bind_to("other", "t");
	assert_link("l", "seen/f", "seen/f");
	assert_int_equal(leads_to("l"), ino);
	unbind("t");
	unbind("seen");
	/* Another name is not covered. */
	OK(linkfs_path_link(v, NULL, ROOT, "t/f", ROOT, "u/g", 0));
	put("file", "");
	bind_to("file", "t/f");
	assert_link("l", "u/g", "u/g");
	unbind("t/f");
	assert_link("l", "t/f", "t/f");
	check();
}

static void the_last_text_in_each_place(void **state)
{
	(void)state;
	make_dir("a");
	make_dir("a/b");
	make_dir("a/b/c");
	make_dir("a/b/d");
	make_dir("at");
	make_dir("t");
	put("t/f", "old");
	make_dir("t/g");
	OK(track("t/f", "a/b/d/l", 0));
	OK(track("t/g", "a/b/d/m", 0));
	link_directory("a/b/d", "d2");
	bind_to("a/b/d", "a/b/c");
	bind_to("a", "at");
	/* A save by a rename: the text stays what it was, and leads to what has the name now. */
	put("t/new", "new");
	OK(move("t/new", "t/f", 0));
	assert_link("a/b/d/l", "../../../t/f", "t/f");
	assert_link("a/b/c/l", "../../../t/f", "t/f");
	assert_link("d2/l", "../t/f", "t/f");
	assert_link("at/b/d/l", "../../../t/f", "t/f");
	/* A directory that is made again. */
	OK(linkfs_path_rmdir(v, NULL, ROOT, "t/g"));
	assert_link("a/b/d/m", "../../../t/g", NULL);
	assert_link("d2/m", "../t/g", NULL);
	make_dir("t/g");
	assert_link("a/b/d/m", "../../../t/g", "t/g");
	assert_link("d2/m", "../t/g", "t/g");
	reopen();
	assert_link("d2/l", "../t/f", "t/f");
	assert_link("a/b/d/l", "../../../t/f", "t/f");
	unbind("at");
	unbind("a/b/c");
	OK(linkfs_path_rmdir(v, NULL, ROOT, "a/b/d"));
	assert_link("d2/l", "../t/f", "t/f");
	check();
}

static uint64_t node_of(uint64_t dir, const char *name, struct linkfs_stat *st)
{
	OK(linkfs_node_lookup(v, NULL, dir, name, strlen(name), LINKFS_HOLD, st));
	return st->node;
}

static void assert_node(uint64_t node, const char *text)
{
	char buf[LINKFS_PATH_MAX];
	struct linkfs_stat st;
	size_t len;
	OK(linkfs_node_readlink(v, node, buf, sizeof(buf), &len));
	buf[len] = 0;
	assert_string_equal(buf, text);
	OK(linkfs_node_getattr(v, node, &st));
	assert_int_equal(st.size, len);
}

struct found {
	const char *name;
	struct linkfs_stat st;
};

static int find_entry(void *arg, const struct linkfs_entry *e)
{
	struct found *f = arg;
	if (strcmp(e->name, f->name) == 0) {
		assert_non_null(e->stat);
		f->st = *e->stat;
	}
	return 0;
}

static uint64_t listed_node(uint64_t dir, const char *name)
{
	struct found f = {.name = name};
	OK(linkfs_node_readdir(v, NULL, dir, 0, LINKFS_HOLD | LINKFS_READDIR_STAT, find_entry, &f));
	return f.st.node;
}

/* Listed with attributes and without a hold. */
static uint64_t listed_size(uint64_t dir, const char *name)
{
	struct found f = {.name = name};
	OK(linkfs_node_readdir(v, NULL, dir, 0, LINKFS_READDIR_STAT, find_entry, &f));
	assert_int_equal(f.st.node, f.st.ino);
	return f.st.size;
}

static void a_node_in_each_place(void **state)
{
	struct linkfs_stat st;
	(void)state;
	make_dir("p");
	make_dir("d");
	put("f", "");
	OK(track("f", "d/l", 0));
	OK(linkfs_path_symlink(v, NULL, "f", ROOT, "d/plain", NULL));
	link_directory("d", "p/d");
	uint64_t p = node_of(ROOT, "p", &st);
	uint64_t d1 = node_of(ROOT, "d", &st), d2 = node_of(p, "d", &st);
	uint64_t l1 = node_of(d1, "l", &st);
	assert_int_equal(st.ino, status("d/l").ino);
	assert_int_equal(st.size, strlen("../f"));
	uint64_t l2 = node_of(d2, "l", &st);
	assert_int_equal(st.ino, status("d/l").ino);
	assert_int_equal(st.size, strlen("../../f"));
	assert_true(l1 != l2);
	assert_node(l1, "../f");
	assert_node(l2, "../../f");
	assert_int_equal(listed_node(d1, "l"), l1);
	assert_int_equal(listed_node(d2, "l"), l2);
	assert_int_equal(listed_size(d1, "l"), strlen("../f"));
	assert_int_equal(listed_size(d2, "l"), strlen("../../f"));
	assert_int_equal(node_of(d2, "l", &st), l2);
	/* Others have one node. */
	uint64_t plain = node_of(d1, "plain", &st);
	assert_int_equal(node_of(d2, "plain", &st), plain);
	/* A node goes with its entry, by whatever place that is renamed. */
	OK(linkfs_node_rename(v, NULL, d1, "l", 1, d1, "m", 1, 0));
	assert_int_equal(node_of(d1, "m", &st), l1);
	assert_int_equal(node_of(d2, "m", &st), l2);
	assert_node(l2, "../../f");
	OK(linkfs_node_rename(v, NULL, d2, "m", 1, ROOT, "m", 1, 0));
	assert_node(node_of(ROOT, "m", &st), "f");
	OK(linkfs_node_rename(v, NULL, ROOT, "m", 1, d2, "n", 1, 0));
	assert_node(node_of(d1, "n", &st), "../f");
	assert_node(node_of(d2, "n", &st), "../../f");
	OK(linkfs_node_unlink(v, NULL, d2, "n", 1));
	assert_int_equal(linkfs_node_lookup(v, NULL, d1, "n", 1, LINKFS_HOLD, &st), LINKFS_ENOENT);
	reopen(); /* holds and all */
	check();
}

/* Who holds a directory by its number from before its second name has the text of the way he knows, also the last one. */
static void the_last_text_by_number(void **state)
{
	struct linkfs_stat st;
	(void)state;
	make_dir("low");
	make_dir("high");
	make_dir("high/e");
	make_dir("high/e/d");
	put("f", "");
	OK(track("f", "high/e/d/l", 0));
	uint64_t d = node_of(node_of(node_of(ROOT, "high", &st), "e", &st), "d", &st);
	uint64_t l = node_of(d, "l", &st);
	assert_int_equal(d, st.ino - 2); /* by number */
	link_directory("high/e/d", "low/d");
	assert_int_equal(node_of(d, "l", &st), l);
	assert_node(l, "../../../f");
	OK(linkfs_path_unlink(v, NULL, ROOT, "f"));
	assert_node(l, "../../../f");
	assert_string_equal(text_of("low/d/l"), "../../f");
	reopen(); /* holds and all */
	assert_string_equal(text_of("high/e/d/l"), "../../../f");
	assert_string_equal(text_of("low/d/l"), "../../f");
	check();
}

#define TELLS(call)                                                                                                    \
	do {                                                                                                           \
		texts_told = 0;                                                                                        \
		call;                                                                                                  \
		assert_true(texts_told > 0);                                                                           \
	} while (0)

static void what_changes_texts_is_told(void **state)
{
	(void)state;
	make_dir("d");
	make_dir("e");
	make_dir("at");
	put("d/f", "");
	OK(track("d/f", "e/l", 0));
	linkfs_volume_observe(v, count_texts, NULL);
	TELLS(bind_to("e", "at"));
	TELLS(unbind("at"));
	TELLS(link_directory("e", "e2"));
	TELLS(OK(move("e2", "at/e2", 0)));
	TELLS(OK(linkfs_path_rmdir(v, NULL, ROOT, "e")));
	/* A name that no bind covers, for a file that had none. */
	uint64_t f = status("d/f").ino;
	make_dir("other");
	TELLS(bind_to("other", "d"));
	assert_string_equal(text_of("at/e2/l"), "../../d/f");
	TELLS(OK(linkfs_node_link(v, NULL, f, ROOT, "g", 1, 0, NULL)));
	assert_string_equal(text_of("at/e2/l"), "../../g");
	TELLS(unbind("d"));
	linkfs_volume_observe(v, NULL, NULL);
	assert_link("at/e2/l", "../../d/f", "d/f");
}

static int count_link(void *arg, const struct linkfs_referrer *r)
{
	(void)r;
	++*(int *)arg;
	return 0;
}

static void questions_know_each_path(void **state)
{
	struct linkfs_links_options options = {0};
	int count = 0;
	(void)state;
	make_dir("d");
	make_dir("p");
	put("f", "");
	OK(track("f", "d/l", 0));
	link_directory("d", "p/d");
	OK(linkfs_path_referrers(v, NULL, ROOT, "f", 0, &options, NULL, count_link, &count));
	assert_int_equal(count, 2);
	check();
	world_recover();
	assert_link("d/l", "../f", "f");
	assert_link("p/d/l", "../../f", "f");
}

static int count_impact(void *arg, const struct linkfs_impact *i)
{
	assert_string_equal(i->link.path, "/d/sub/s");
	assert_int_equal(i->after.error, LINKFS_ENOENT);
	++*(int *)arg;
	return 0;
}

/* The first name's directories are held by their numbers from before there was the second. */
static void impact_of_a_second_name(void **state)
{
	struct linkfs_links_options options = {0};
	struct linkfs_stat st;
	int count = 0;
	(void)state;
	make_dir("d");
	make_dir("d/sub");
	put("d/f", "");
	(void)node_of(node_of(ROOT, "d", &st), "sub", &st);
	link_directory("d", "e");
	OK(linkfs_path_symlink(v, NULL, "../../e/f", ROOT, "d/sub/s", NULL));
	OK(linkfs_path_impact_remove(v, NULL, ROOT, "e", &options, count_impact, &count));
	assert_int_equal(count, 1);
	reopen(); /* holds and all */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(each_name_of_its_directory, volume_setup, volume_teardown),
		cmocka_unit_test_setup_teardown(each_name_of_its_targets_directory, volume_setup, volume_teardown),
		cmocka_unit_test_setup_teardown(through_binds, volume_setup, volume_teardown),
		cmocka_unit_test_setup_teardown(around_covers, volume_setup, volume_teardown),
		cmocka_unit_test_setup_teardown(the_last_text_in_each_place, volume_setup, volume_teardown),
		cmocka_unit_test_setup_teardown(the_last_text_by_number, volume_setup, volume_teardown),
		cmocka_unit_test_setup_teardown(a_node_in_each_place, volume_setup, volume_teardown),
		cmocka_unit_test_setup_teardown(what_changes_texts_is_told, volume_setup, volume_teardown),
		cmocka_unit_test_setup_teardown(questions_know_each_path, volume_setup, volume_teardown),
		cmocka_unit_test_setup_teardown(impact_of_a_second_name, volume_setup, volume_teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
