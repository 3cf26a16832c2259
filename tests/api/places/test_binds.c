/*
 * test_binds.c - binds (C1 to C3) through the library: what is shown, what is covered, what is refused.
 */
#include "places.h"

static void a_bound_directory_is_the_source(void **state)
{
	struct linkfs_stat a, b;
	(void)state;
	make_dir("a");
	make_dir("a/sub");
	make_dir("b");
	put("a/f", "one");
	put("b/covered", "old");
	OK(bind_to("a", "b"));
	a = status("a");
	b = status("b");
	assert_memory_equal(&a, &b, sizeof(a));
	assert_string_equal(names_in("b"), "f sub");
	assert_text("b/f", "one");
	put("b/f", "two");
	assert_text("a/f", "two");
	put("b/new", "new");
	assert_text("a/new", "new");
	make_dir("b/sub/deeper");
	assert_int_equal(ino_of("a/sub/deeper"), ino_of("b/sub/deeper"));
	OK(linkfs_path_unlink(v, NULL, ROOT, "b/new"));
	assert_int_equal(absent("a/new"), LINKFS_ENOENT);
	/* A listing does not tell it from a real entry either. */
	assert_int_equal(listed("/", "b"), ino_of("a"));
	reopen();
	assert_text("b/f", "two");
	check();
	OK(unbind("b"));
	assert_string_equal(names_in("b"), "covered");
	assert_text("b/covered", "old");
	assert_text("a/f", "two");
	assert_int_equal(unbind("b"), LINKFS_EINVAL);
	check();
}

static void a_bound_file_is_the_source(void **state)
{
	(void)state;
	put("a", "one");
	put("b", "covered");
	make_dir("d");
	put("d/c", "");
	OK(bind_to("a", "b"));
	OK(bind_to("b", "d/c")); /* what is shown, not the bind */
	put("b", "two");
	assert_text("a", "two");
	assert_text("d/c", "two");
	assert_int_equal(ino_of("b"), ino_of("a"));
	assert_int_equal(status("a").nlink, 1);
	OK(unbind("b"));
	assert_text("b", "covered");
	assert_text("d/c", "two");
	check();
}

static void the_parent_is_that_of_the_place(void **state)
{
	struct linkfs_stat b, up, sub, top_up;
	(void)state;
	make_dir("a");
	make_dir("a/sub");
	make_dir("p");
	make_dir("p/q");
	make_dir("p/q/b");
	put("p/q/mark", "in q");
	put("mark", "in the root");
	OK(bind_to("a", "p/q/b"));
	assert_int_equal(ino_of("p/q/b/.."), ino_of("p/q"));
	assert_int_equal(ino_of("p/q/b/sub/../.."), ino_of("p/q"));
	assert_int_equal(ino_of("a/sub/../.."), ROOT);
	assert_int_equal(listed("p/q/b", ".."), ino_of("p/q"));
	assert_int_equal(listed("a", ".."), ROOT);
	assert_int_equal(listed("p/q/b/sub", ".."), ino_of("a"));
	/* One symlink leads to the file beside each place. */
	OK(linkfs_path_symlink(v, NULL, "../mark", ROOT, "a/link", NULL));
	OK(linkfs_path_stat(v, NULL, ROOT, "p/q/b/link", 0, &up));
	assert_int_equal(up.ino, ino_of("p/q/mark"));
	OK(linkfs_path_stat(v, NULL, ROOT, "a/link", 0, &up));
	assert_int_equal(up.ino, ino_of("mark"));
	/* By node: what is held goes on from where it was found. */
	OK(linkfs_path_stat(v, NULL, ROOT, "p/q/b", LINKFS_HOLD, &b));
	assert_int_equal(b.ino, ino_of("a"));
	assert_int_not_equal(b.node, b.ino);
	assert_int_equal(linkfs_volume_has_places(v), 1);
	OK(linkfs_node_lookup(v, NULL, b.node, "sub", 3, LINKFS_HOLD, &sub));
	OK(linkfs_node_lookup(v, NULL, sub.node, "..", 2, LINKFS_HOLD, &up));
	assert_int_equal(up.node, b.node);
	OK(linkfs_node_lookup(v, NULL, b.node, "..", 2, LINKFS_HOLD, &top_up));
	assert_int_equal(top_up.ino, ino_of("p/q"));
	assert_int_equal(top_up.node, top_up.ino);
	OK(linkfs_path_stat(v, NULL, sub.node, "../../mark", 0, &up));
	assert_int_equal(up.ino, ino_of("p/q/mark"));
	linkfs_node_release(v, b.node, 2);
	linkfs_node_release(v, top_up.node, 1);
	assert_int_equal(linkfs_node_getattr(v, b.node, &up), 0); /* sub is below it */
	linkfs_node_release(v, sub.node, 1);
	assert_int_equal(linkfs_node_getattr(v, b.node, &up), LINKFS_ESTALE);
	assert_int_equal(linkfs_volume_has_places(v), 0);
	check();
}

static void what_is_bound_stays(void **state)
{
	(void)state;
	make_dir("a");
	make_dir("a/full");
	make_dir("b");
	make_dir("other");
	put("file", "f");
	put("shown", "");
	put("third", "3");
	OK(bind_to("a", "b"));
	OK(bind_to("file", "shown"));
	/* The place. */
	assert_int_equal(linkfs_path_rmdir(v, NULL, ROOT, "b"), LINKFS_EBUSY);
	assert_int_equal(linkfs_path_unlink(v, NULL, ROOT, "shown"), LINKFS_EBUSY);
	assert_int_equal(rename_to("b", "c"), LINKFS_EBUSY);
	assert_int_equal(rename_to("other", "b"), LINKFS_EBUSY);
	assert_int_equal(rename_to("third", "shown"), LINKFS_EBUSY);
	assert_int_equal(linkfs_path_rename(v, NULL, ROOT, "third", ROOT, "shown", LINKFS_RENAME_EXCHANGE),
			 LINKFS_EBUSY);
	assert_int_equal(linkfs_path_replace_symlink(v, NULL, "x", ROOT, "shown", NULL), LINKFS_EBUSY);
	assert_int_equal(linkfs_path_unshare(v, NULL, ROOT, "shown", NULL), LINKFS_EBUSY);
	/* The source, as long as it has no other name. */
	assert_int_equal(linkfs_path_rmdir(v, NULL, ROOT, "a"), LINKFS_EBUSY);
	assert_int_equal(linkfs_path_unlink(v, NULL, ROOT, "file"), LINKFS_EBUSY);
	assert_int_equal(rename_to("third", "file"), LINKFS_EBUSY);
	OK(linkfs_path_link(v, NULL, ROOT, "file", ROOT, "file2", 0));
	OK(linkfs_path_unlink(v, NULL, ROOT, "file"));
	assert_text("shown", "f");
	/* A bind stands at an entry once. */
	assert_int_equal(bind_to("other", "b"), LINKFS_EBUSY);
	/* The source may move, and so may what is above the place. */
	OK(rename_to("a", "other/a2"));
	make_dir("above");
	make_dir("above/in");
	make_dir("above/in/bound");
	OK(bind_to("other/a2", "above/in/bound"));
	OK(rename_to("above/in", "moved"));
	assert_string_equal(names_in("moved/bound"), "full");
	assert_string_equal(names_in("b"), "full");
	check();
	/* Nothing of a refused call is left: all of it ends as it began. */
	OK(unbind("moved/bound"));
	OK(unbind("b"));
	OK(linkfs_path_rmdir(v, NULL, ROOT, "b"));
	OK(linkfs_path_rmdir(v, NULL, ROOT, "other/a2/full"));
	OK(linkfs_path_rmdir(v, NULL, ROOT, "other/a2"));
	check();
}

static void what_cannot_be_bound(void **state)
{
	(void)state;
	make_dir("a");
	make_dir("a/in");
	make_dir("b");
	put("f", "f");
	put("g", "g");
	assert_int_equal(bind_to("a", "none"), LINKFS_ENOENT);
	assert_int_equal(bind_to("none", "b"), LINKFS_ENOENT);
	assert_int_equal(bind_to("a", "f"), LINKFS_ENOTDIR);
	assert_int_equal(bind_to("f", "b"), LINKFS_EISDIR);
	assert_int_equal(bind_to("f", "g/"), LINKFS_ENOTDIR);
	assert_int_equal(bind_to("a", "b/."), LINKFS_EINVAL);
	assert_int_equal(bind_to("b", "/"), LINKFS_EBUSY);
	/* Within itself, straight and around a corner. */
	assert_int_equal(bind_to("a", "a"), LINKFS_ELOOP);
	assert_int_equal(bind_to("f", "f"), LINKFS_ELOOP);
	assert_int_equal(bind_to("/", "b"), LINKFS_ELOOP);
	assert_int_equal(bind_to("a", "a/in"), LINKFS_ELOOP);
	make_dir("b/in");
	OK(bind_to("a", "b/in"));
	assert_int_equal(bind_to("b", "a/in"), LINKFS_ELOOP);
	assert_int_equal(rename_to("b", "a/in/b"), LINKFS_ELOOP);
	/* What is covered counts: it comes back. */
	make_dir("c");
	make_dir("c/deep");
	make_dir("d");
	make_dir("d/x");
	OK(bind_to("d", "c/deep"));
	OK(unbind("c/deep"));
	check();
	assert_string_equal(names_in("a"), "in");
	/* The other way is no loop: a directory bound over one it lies in. */
	make_dir("e");
	make_dir("e/inner");
	put("e/inner/f", "inner");
	OK(bind_to("e/inner", "e"));
	assert_text("e/f", "inner");
	assert_int_equal(absent("e/inner"), LINKFS_ENOENT);
	OK(unbind("e"));
	assert_text("e/inner/f", "inner");
	check();
}

static void renames_stay_on_one_side(void **state)
{
	(void)state;
	make_dir("a");
	make_dir("a/x");
	make_dir("b");
	make_dir("c");
	put("a/f", "f");
	put("out", "o");
	OK(bind_to("a", "b"));
	OK(bind_to("a", "c"));
	assert_int_equal(rename_to("b/f", "f"), LINKFS_EXDEV);
	assert_int_equal(rename_to("out", "b/out"), LINKFS_EXDEV);
	assert_int_equal(rename_to("b/f", "a/f2"), LINKFS_EXDEV);
	assert_int_equal(rename_to("b/f", "c/f2"), LINKFS_EXDEV);
	OK(rename_to("b/f", "b/x/f2"));
	assert_text("a/x/f2", "f");
	assert_text("c/x/f2", "f");
	/* A file does not know by which path it was found. */
	OK(linkfs_path_link(v, NULL, ROOT, "b/x/f2", ROOT, "name", 0));
	assert_text("name", "f");
	check();
}

static void who_may(void **state)
{
	const struct linkfs_cred ada = {.uid = 1000, .gid = 1000}, bob = {.uid = 1001, .gid = 1001};
	struct linkfs_make how = {.mode = S_IFDIR | 0755};
	(void)state;
	OK(linkfs_path_make(v, &ada, ROOT, "ada", &how, NULL));
	OK(linkfs_path_make(v, &bob, ROOT, "bob", &how, NULL));
	OK(linkfs_path_make(v, &ada, ROOT, "ada/place", &how, NULL));
	OK(linkfs_path_make(v, &ada, ROOT, "ada/source", &how, NULL));
	OK(linkfs_path_make(v, &bob, ROOT, "bob/source", &how, NULL));
	OK(linkfs_path_bind(v, &ada, ROOT, "ada/source", ROOT, "ada/place"));
	/* A bind keeps its source from being removed: no stranger may do that to it. */
	assert_int_equal(linkfs_path_bind(v, &ada, ROOT, "bob/source", ROOT, "ada/place"), LINKFS_EPERM);
	assert_int_equal(linkfs_path_bind(v, &bob, ROOT, "bob/source", ROOT, "ada/place"), LINKFS_EACCES);
	assert_int_equal(linkfs_path_unbind(v, &bob, ROOT, "ada/place"), LINKFS_EACCES);
	OK(linkfs_path_unbind(v, &ada, ROOT, "ada/place"));
	OK(bind_to("bob/source", "ada/place")); /* root */
	check();
}

static void saves_take_binds_along(void **state)
{
	struct linkfs_stat st;
	(void)state;
	put("doc", "old");
	put("shown", "");
	OK(bind_to("doc", "shown"));
	OK(linkfs_node_set_flags(v, NULL, ino_of("doc"), LINKFS_INO_KEEP_LINKS, LINKFS_INO_KEEP_LINKS, &st));
	put("doc.new", "new");
	OK(rename_to("doc.new", "doc"));
	assert_text("doc", "new");
	assert_text("shown", "new");
	assert_int_equal(ino_of("shown"), ino_of("doc"));
	assert_int_equal(status("doc").flags, LINKFS_INO_KEEP_LINKS);
	put("doc.new", "again");
	OK(rename_to("doc.new", "doc"));
	assert_text("shown", "again");
	check();
}

struct told {
	char text[256];
	unsigned count;
};

static int on_bind(void *arg, const struct linkfs_bind *bind)
{
	struct told *told = arg;
	(void)snprintf(told->text + strlen(told->text), sizeof(told->text) - strlen(told->text), "%s=%s ", bind->path,
		       bind->source_path ? bind->source_path : "?");
	told->count++;
	return 0;
}

static void they_are_listed(void **state)
{
	const struct linkfs_cred bob = {.uid = 1001, .gid = 1001};
	struct told told = {"", 0};
	uint64_t hidden = 7;
	char name[32];
	(void)state;
	OK(linkfs_volume_binds(v, NULL, 0, on_bind, &told, &hidden));
	assert_int_equal(told.count, 0);
	assert_int_equal(hidden, 0);
	put("f", "f");
	make_dir("d");
	make_dir("d/in");
	put("d/here", "");
	OK(bind_to("f", "d/here"));
	OK(linkfs_volume_binds(v, NULL, 0, on_bind, &told, &hidden));
	assert_string_equal(told.text, "/d/here=/f ");
	for (int i = 0; i < 150; i++) {
		(void)snprintf(name, sizeof(name), "p%d", i);
		make_dir(name);
		OK(bind_to("d/in", name));
	}
	told.text[0] = 0;
	told.count = 0;
	OK(linkfs_volume_binds(v, NULL, ino_of("f"), on_bind, &told, NULL));
	assert_string_equal(told.text, "/d/here=/f ");
	told.text[0] = 0;
	told.count = 0;
	OK(linkfs_volume_binds(v, NULL, 0, on_bind, &told, NULL));
	assert_int_equal(told.count, 151);
	/* A path that he may not know is not told. */
	OK(linkfs_path_setattr(v, NULL, ROOT, "d", 0,
			       &(struct linkfs_setattr){.valid = LINKFS_SET_MODE, .mode = 0700}));
	told.text[0] = 0;
	told.count = 0;
	OK(linkfs_volume_binds(v, &bob, ino_of("f"), on_bind, &told, &hidden));
	assert_int_equal(told.count, 0);
	assert_int_equal(hidden, 1);
	told.text[0] = 0;
	told.count = 0;
	OK(linkfs_volume_binds(v, &bob, ino_of("d/in"), on_bind, &told, &hidden));
	assert_int_equal(told.count, 150);
	assert_non_null(strstr(told.text, "=? "));
	assert_null(strstr(told.text, "/d/in"));
	check();
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, volume_setup, volume_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_bound_directory_is_the_source),
		TEST(a_bound_file_is_the_source),
		TEST(the_parent_is_that_of_the_place),
		TEST(what_is_bound_stays),
		TEST(what_cannot_be_bound),
		TEST(renames_stay_on_one_side),
		TEST(who_may),
		TEST(saves_take_binds_along),
		TEST(they_are_listed),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
