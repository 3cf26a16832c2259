/*
 * test_fix.c - linkfs_node_fix_dangling() (D3): what is retargeted after which move, to what text, and what is left alone and why.
 */
#include "world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct told {
	char path[64], old[128], text[128], from[128], to[128];
	enum linkfs_fix_result result;
	int error;
};
static struct told told[64];
static int told_count;

static void copy(char *to, size_t size, const char *from)
{
	(void)snprintf(to, size, "%s", from ? from : "");
}

static int hear(void *arg, const struct linkfs_fix *f)
{
	struct told *t = &told[told_count++];
	(void)arg;
	assert_true(told_count <= 64);
	copy(t->path, sizeof(t->path), f->link.path);
	copy(t->old, sizeof(t->old), f->link.text);
	copy(t->text, sizeof(t->text), f->text);
	copy(t->from, sizeof(t->from), f->moved_from);
	copy(t->to, sizeof(t->to), f->moved_to);
	t->result = f->result;
	t->error = f->error;
	assert_int_equal(f->text_len, f->text ? strlen(f->text) : 0);
	return 0;
}

static void fix_as(const struct linkfs_cred *cred, uint32_t flags)
{
	struct linkfs_links_options o = {.flags = flags};
	told_count = 0;
	OK(linkfs_node_fix_dangling(v, cred, ROOT, &o, hear, NULL));
}

static void fix(void)
{
	fix_as(NULL, 0);
}

static const struct told *about(const char *path)
{
	for (int i = 0; i < told_count; i++)
		if (strcmp(told[i].path, path) == 0)
			return &told[i];
	fail_msg("%s was not told", path);
	return &told[0];
}

static void assert_left(const char *path, enum linkfs_fix_result why)
{
	const struct told *t = about(path);
	assert_int_equal(t->result, why);
	assert_string_equal(t->text, "");
	assert_string_equal(text_of(path), t->old);
}

static void assert_fixed(const char *path, const char *text, const char *from, const char *to)
{
	const struct told *t = about(path);
	assert_int_equal(t->result, LINKFS_FIX_DONE);
	assert_string_equal(t->text, text);
	assert_string_equal(t->from, from);
	assert_string_equal(t->to, to);
	assert_string_equal(text_of(path), text);
}

static void symlink_at(const char *text, const char *path)
{
	OK(linkfs_path_symlink(v, NULL, text, ROOT, path, NULL));
}

static void a_target_that_moved(void **state)
{
	(void)state;
	make_dir("a");
	make_dir("a/b");
	make_dir("c");
	put("a/b/f", "");
	symlink_at("../a/b/f", "c/file");
	symlink_at("../a/b/f", "c/way");
	symlink_at("a/b", "dir");
	symlink_at("/a/b/f", "c/absolute");
	uint64_t file = status("c/file").ino, target = status("a/b/f").ino;
	OK(move("a/b/f", "c/g", 0));
	fix_as(NULL, LINKFS_LINKS_DRY_RUN);
	assert_int_equal(told_count, 3);
	assert_string_equal(about("/c/file")->text, "g");
	assert_string_equal(text_of("c/file"), "../a/b/f");
	fix();
	assert_fixed("/c/file", "g", "/a/b/f", "/c/g");
	assert_fixed("/c/absolute", "/c/g", "/a/b/f", "/c/g");
	assert_int_equal(status("c/file").ino, file);
	assert_int_equal(leads_to("c/way"), target);
	check();
	OK(move("c/g", "a/b/f", 0));
	fix();
	assert_fixed("/c/file", "../a/b/f", "/c/g", "/a/b/f");
	assert_fixed("/c/absolute", "/a/b/f", "/c/g", "/a/b/f");
	/* A directory on the way, twice, and reopened in between. */
	OK(move("a/b", "b2", 0));
	reopen();
	OK(move("b2", "c/b3", 0));
	fix();
	assert_fixed("/c/file", "b3/f", "/a/b", "/c/b3");
	assert_fixed("/dir", "c/b3", "/a/b", "/c/b3");
	assert_fixed("/c/absolute", "/c/b3/f", "/a/b", "/c/b3");
	check();
	fix();
	assert_int_equal(told_count, 0);
}

static void a_link_that_moved(void **state)
{
	(void)state;
	make_dir("a");
	make_dir("a/p");
	make_dir("a/p/q");
	make_dir("z");
	put("a/f", "");
	put("a/p/g", "");
	symlink_at("../../f", "a/p/q/out");
	symlink_at("../g", "a/p/q/in");
	symlink_at("f", "a/beside");
	OK(move("a/beside", "z/beside", 0));
	fix();
	assert_int_equal(told_count, 1);
	assert_fixed("/z/beside", "../a/f", "/a/beside", "/z/beside");
	OK(move("a/p", "p", 0)); /* a directory above it */
	assert_int_equal(leads_to("p/q/in"), status("p/g").ino);
	fix();
	assert_int_equal(told_count, 1);
	assert_fixed("/p/q/out", "../../a/f", "/a/p", "/p");
	/* Both, and the directories change places. */
	OK(move("p/q", "z", LINKFS_RENAME_EXCHANGE));
	fix();
	for (int i = 0; i < told_count; i++)
		assert_int_equal(told[i].result, LINKFS_FIX_DONE);
	assert_int_equal(leads_to("z/out"), status("a/f").ino);
	assert_int_equal(leads_to("z/in"), status("p/g").ino);
	assert_int_equal(leads_to("p/q/beside"), status("a/f").ino);
	check();
}

static void what_is_not_known_is_left(void **state)
{
	struct linkfs_cred user = {.uid = 1000, .gid = 1000};
	(void)state;
	put("deleted", "");
	put("moved", "");
	put("named", "");
	symlink_at("deleted", "to-deleted");
	symlink_at("never", "to-never");
	symlink_at("self", "self");
	symlink_at("moved", "first");
	symlink_at("first", "chain");
	symlink_at("named", "one");
	OK(linkfs_path_link(v, NULL, ROOT, "one", ROOT, "two", 0));
	OK(linkfs_path_unlink(v, NULL, ROOT, "deleted"));
	OK(move("moved", "elsewhere", 0));
	OK(move("named", "renamed", 0));
	symlink_at("moved", "too-late"); /* made after the move: it never led there */
	struct linkfs_setattr closed = {.valid = LINKFS_SET_MODE, .mode = 0755};
	OK(linkfs_node_setattr(v, NULL, ROOT, &closed, NULL));
	fix_as(&user, 0);
	assert_left("/first", LINKFS_FIX_FAILED);
	assert_int_equal(about("/first")->error, LINKFS_EACCES);
	fix();
	assert_left("/to-deleted", LINKFS_FIX_UNKNOWN);
	assert_left("/to-never", LINKFS_FIX_UNKNOWN);
	assert_left("/self", LINKFS_FIX_UNKNOWN);
	assert_left("/too-late", LINKFS_FIX_UNKNOWN);
	assert_left("/one", LINKFS_FIX_NAMES);
	assert_left("/two", LINKFS_FIX_NAMES);
	assert_fixed("/first", "elsewhere", "/moved", "/elsewhere");
	assert_int_equal(leads_to("chain"), status("elsewhere").ino);
	assert_string_equal(text_of("chain"), "first");
}

static void the_fault_is_another_links(void **state)
{
	(void)state;
	make_dir("d");
	put("d/f", "");
	symlink_at("d", "cur");
	symlink_at("cur/f", "through");
	OK(move("d", "e", 0));
	fix_as(NULL, LINKFS_LINKS_DRY_RUN);
	assert_int_equal(about("/through")->result, LINKFS_FIX_OTHER);
	assert_int_equal(about("/cur")->result, LINKFS_FIX_DONE);
	fix();
	assert_int_equal(leads_to("through"), status("e/f").ino);
	assert_string_equal(text_of("through"), "cur/f");
}

static void doubts_are_told(void **state)
{
	(void)state;
	/* Something else has had the name since, and is gone. */
	put("f", "");
	symlink_at("f", "a");
	OK(move("f", "old", 0));
	put("f", "another");
	OK(linkfs_path_unlink(v, NULL, ROOT, "f"));
	fix();
	assert_left("/a", LINKFS_FIX_AMBIGUOUS);
	/* It led to one file after the other, and both moved. */
	put("g", "");
	symlink_at("g", "b");
	OK(move("g", "g1", 0));
	put("g", "");
	OK(move("g", "g2", 0));
	fix();
	assert_left("/b", LINKFS_FIX_AMBIGUOUS);
	/* Moved there and back and away: one file. */
	put("h", "");
	symlink_at("h", "c");
	OK(move("h", "h1", 0));
	OK(move("h1", "h", 0));
	OK(move("h", "h2", 0));
	fix();
	assert_fixed("/c", "h2", "/h", "/h2");
	/* What moved is gone meanwhile. */
	put("i", "");
	symlink_at("i", "d");
	OK(move("i", "i1", 0));
	OK(linkfs_path_unlink(v, NULL, ROOT, "i1"));
	fix();
	assert_left("/d", LINKFS_FIX_UNKNOWN);
	check();
}

static void below_a_directory_only(void **state)
{
	struct linkfs_links_options o = {.mounted_at = "/mnt/v"};
	(void)state;
	make_dir("in");
	put("f", "");
	symlink_at("../f", "in/a");
	symlink_at("f", "b");
	symlink_at("/mnt/v/f", "in/abs");
	OK(move("f", "g", 0));
	told_count = 0;
	OK(linkfs_path_fix_dangling(v, NULL, ROOT, "in", &o, hear, NULL));
	assert_int_equal(told_count, 2);
	assert_fixed("/in/a", "../g", "/f", "/g");
	assert_fixed("/in/abs", "/mnt/v/g", "/f", "/g");
	assert_string_equal(text_of("b"), "f");
	o.flags = LINKFS_LINKS_THROUGH;
	assert_int_equal(linkfs_path_fix_dangling(v, NULL, ROOT, "in", &o, hear, NULL), LINKFS_EINVAL);
	assert_int_equal(linkfs_path_fix_dangling(v, NULL, ROOT, "g", NULL, hear, NULL), LINKFS_ENOTDIR);
}

/* More moves than are remembered: the oldest are forgotten, and their links left. */
static void the_journal_is_bounded(void **state)
{
	char a[32], b[32];
	(void)state;
	make_dir("d");
	put("first", "");
	symlink_at("first", "to-first");
	OK(move("first", "first2", 0));
	put("d/x", "");
	symlink_at("x", "d/to-x");
	for (int i = 0; i < 4200; i++) {
		(void)snprintf(a, sizeof(a), i % 2 ? "d/y" : "d/x");
		(void)snprintf(b, sizeof(b), i % 2 ? "d/x" : "d/y");
		OK(move(a, b, 0));
		if (i == 0)
			symlink_at("y", "d/to-y");
	}
	put("last", "");
	symlink_at("last", "to-last");
	OK(move("last", "last2", 0));
	fix();
	assert_left("/to-first", LINKFS_FIX_UNKNOWN);
	assert_fixed("/to-last", "last2", "/last", "/last2");
	check();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_target_that_moved, volume_setup, volume_teardown),
		cmocka_unit_test_setup_teardown(a_link_that_moved, volume_setup, volume_teardown),
		cmocka_unit_test_setup_teardown(what_is_not_known_is_left, volume_setup, volume_teardown),
		cmocka_unit_test_setup_teardown(the_fault_is_another_links, volume_setup, volume_teardown),
		cmocka_unit_test_setup_teardown(doubts_are_told, volume_setup, volume_teardown),
		cmocka_unit_test_setup_teardown(below_a_directory_only, volume_setup, volume_teardown),
		cmocka_unit_test_setup_teardown(the_journal_is_bounded, volume_setup, volume_teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
