/*
 * test_directories.c - directories with several names (D6) through the library.
 */
#include "places.h"

#include <linkfs_recover.h>

static void one_directory_two_names(void **state)
{
	struct linkfs_stat a, b;
	(void)state;
	make_dir("labels");
	make_dir("labels/ecm");
	make_dir("labels/ecm/album");
	make_dir("styles");
	make_dir("styles/jazz");
	put("labels/ecm/album/song", "one");
	OK(link_directory("labels/ecm", "styles/jazz/ecm"));
	a = status("labels/ecm");
	b = status("styles/jazz/ecm");
	assert_memory_equal(&a, &b, sizeof(a));
	assert_int_equal(a.nlink, 4); /* two names, itself, and the album */
	assert_int_equal(status("styles/jazz").nlink, 3);
	assert_int_equal(status("labels").nlink, 3);
	assert_text("styles/jazz/ecm/album/song", "one");
	put("styles/jazz/ecm/album/song2", "two");
	assert_text("labels/ecm/album/song2", "two");
	make_dir("labels/ecm/new");
	assert_string_equal(names_in("styles/jazz/ecm"), "album new");
	assert_int_equal(ino_of("styles/jazz/ecm/.."), ino_of("styles/jazz"));
	assert_int_equal(ino_of("styles/jazz/ecm/album/../.."), ino_of("styles/jazz"));
	assert_int_equal(ino_of("labels/ecm/album/../.."), ino_of("labels"));
	assert_int_equal(listed("styles/jazz/ecm", ".."), ino_of("styles/jazz"));
	assert_int_equal(listed("labels/ecm", ".."), ino_of("labels"));
	check();
	reopen();
	assert_string_equal(names_in("styles/jazz/ecm"), "album new");
	assert_string_equal(paths_of("labels/ecm"), "/labels/ecm /styles/jazz/ecm");
	assert_string_equal(paths_of("labels/ecm/album/song"), "/labels/ecm/album/song /styles/jazz/ecm/album/song");
	/* A whole publisher is renamed. */
	OK(rename_to("labels/ecm", "labels/ECM Records"));
	assert_string_equal(paths_of("styles/jazz/ecm/album"), "/labels/ECM Records/album /styles/jazz/ecm/album");
	OK(rename_to("styles/jazz/ecm/album", "album"));
	assert_string_equal(names_in("labels/ECM Records"), "new");
	assert_string_equal(paths_of("album/song"), "/album/song");
	assert_int_equal(status("labels/ECM Records").nlink, 4);
	check();
}

static void the_content_stays_with_the_others(void **state)
{
	(void)state;
	make_dir("a");
	make_dir("a/full");
	put("a/f", "f");
	OK(link_directory("a", "b"));
	OK(link_directory("b", "c"));
	assert_int_equal(status("a").nlink, 5);
	OK(linkfs_path_rmdir(v, NULL, ROOT, "a"));
	assert_int_equal(absent("a"), LINKFS_ENOENT);
	assert_int_equal(status("b").nlink, 4);
	assert_text("b/f", "f");
	OK(linkfs_path_rmdir(v, NULL, ROOT, "c"));
	assert_int_equal(status("b").nlink, 3);
	check();
	/* The last one is a directory like any other. */
	assert_int_equal(linkfs_path_rmdir(v, NULL, ROOT, "b"), LINKFS_ENOTEMPTY);
	OK(linkfs_path_unlink(v, NULL, ROOT, "b/f"));
	OK(linkfs_path_rmdir(v, NULL, ROOT, "b/full"));
	OK(linkfs_path_rmdir(v, NULL, ROOT, "b"));
	assert_string_equal(names_in("/"), "");
	assert_int_equal(status("/").nlink, 2);
	check();
}

static void no_directory_lies_in_itself(void **state)
{
	(void)state;
	make_dir("a");
	make_dir("a/b");
	make_dir("a/b/c");
	make_dir("x");
	assert_int_equal(link_directory("a", "a/b/c/a"), LINKFS_ELOOP);
	assert_int_equal(link_directory("a", "a/a"), LINKFS_ELOOP);
	assert_int_equal(link_directory("/", "x/root"), LINKFS_ELOOP);
	/* By another path. */
	OK(link_directory("a/b", "x/b"));
	assert_int_equal(link_directory("x", "a/b/x"), LINKFS_ELOOP);
	assert_int_equal(rename_to("x", "a/b/c/x"), LINKFS_ELOOP);
	assert_int_equal(rename_to("x", "x/b/x"), LINKFS_EINVAL); /* into itself, as it was walked */
	make_dir("y");
	OK(rename_to("y", "a/b/c/y"));
	assert_int_equal(linkfs_path_rename(v, NULL, ROOT, "x", ROOT, "a/b/c/y", LINKFS_RENAME_EXCHANGE), LINKFS_ELOOP);
	/* What is only replaced comes to lie in nothing: it is not empty, or not of the kind of what replaces it. */
	put("a/b/c/f", "f");
	assert_int_equal(rename_to("a/b/c/y", "x"), LINKFS_ENOTEMPTY);
	assert_int_equal(rename_to("a/b/c/f", "x"), LINKFS_EISDIR);
	/* Through a bind, and what it covers. */
	make_dir("p");
	make_dir("p/q");
	make_dir("z");
	OK(bind_to("z", "p/q"));
	assert_int_equal(link_directory("p", "z/p"), LINKFS_ELOOP);
	OK(unbind("p/q"));
	OK(link_directory("p", "z/p"));
	assert_int_equal(bind_to("z", "p/q"), LINKFS_ELOOP);
	check();
}

static void who_may_and_what_may(void **state)
{
	const struct linkfs_cred ada = {.uid = 1000, .gid = 1000}, bob = {.uid = 1001, .gid = 1001};
	struct linkfs_make how = {.mode = S_IFDIR | 0755};
	(void)state;
	OK(linkfs_path_make(v, &ada, ROOT, "ada", &how, NULL));
	OK(linkfs_path_make(v, &bob, ROOT, "bob", &how, NULL));
	put("file", "f");
	assert_int_equal(linkfs_path_link_directory(v, &bob, ROOT, "ada", ROOT, "bob/ada"), LINKFS_EPERM);
	assert_int_equal(linkfs_path_link_directory(v, &ada, ROOT, "ada", ROOT, "bob/ada"), LINKFS_EACCES);
	assert_int_equal(link_directory("file", "bob/file"), LINKFS_ENOTDIR);
	assert_int_equal(link_directory("ada", "bob"), LINKFS_EEXIST);
	assert_int_equal(link_directory("none", "bob/none"), LINKFS_ENOENT);
	assert_int_equal(linkfs_path_link(v, NULL, ROOT, "ada", ROOT, "bob/ada", 0), LINKFS_EPERM); /* A5 */
	OK(linkfs_path_link_directory(v, &ada, ROOT, "ada", ROOT, "ada2"));
	OK(link_directory("ada", "bob/ada"));
	assert_int_equal(status("ada").nlink, 4);
	check();
}

/* A node that was held by its number keeps it for the path it was found by. */
static void nodes_stay(void **state)
{
	struct linkfs_stat first, second, sub, below, up, again;
	uint64_t first_node;
	(void)state;
	make_dir("p");
	make_dir("p/d");
	make_dir("p/d/sub");
	make_dir("q");
	OK(linkfs_path_stat(v, NULL, ROOT, "p/d", LINKFS_HOLD, &first));
	assert_int_equal(first.node, first.ino);
	OK(linkfs_path_stat(v, NULL, ROOT, "p/d/sub", LINKFS_HOLD, &sub));
	first_node = first.node;
	OK(link_directory("p/d", "q/e"));
	OK(linkfs_path_stat(v, NULL, ROOT, "p/d", LINKFS_HOLD, &again));
	assert_int_equal(again.node, first_node);
	OK(linkfs_path_stat(v, NULL, ROOT, "q/e", LINKFS_HOLD, &second));
	assert_int_equal(second.ino, first.ino);
	assert_int_not_equal(second.node, first.node);
	OK(linkfs_path_stat(v, NULL, ROOT, "q/e/sub", LINKFS_HOLD, &below));
	assert_int_not_equal(below.node, sub.node);
	OK(linkfs_node_lookup(v, NULL, sub.node, "..", 2, 0, &up));
	assert_int_equal(up.ino, first.ino);
	/* A rename takes the node along, below the directory that was renamed as well. */
	OK(rename_to("q/e", "moved"));
	OK(linkfs_path_stat(v, NULL, ROOT, "moved", LINKFS_HOLD, &again));
	assert_int_equal(again.node, second.node);
	OK(linkfs_path_stat(v, NULL, ROOT, "moved/sub", LINKFS_HOLD, &again));
	assert_int_equal(again.node, below.node);
	OK(linkfs_node_lookup(v, NULL, second.node, "..", 2, 0, &up));
	assert_int_equal(up.ino, ROOT);
	/* The number's name goes: nobody else gets the number while it is held. */
	OK(linkfs_path_rmdir(v, NULL, ROOT, "p/d"));
	OK(linkfs_path_stat(v, NULL, ROOT, "moved", LINKFS_HOLD, &again));
	assert_int_equal(again.node, second.node);
	OK(link_directory("moved", "p/d"));
	OK(linkfs_path_stat(v, NULL, ROOT, "p/d", LINKFS_HOLD, &again));
	assert_int_not_equal(again.node, first_node);
	linkfs_node_release(v, again.node, 1);
	linkfs_node_release(v, first_node, 2);
	linkfs_node_release(v, second.node, 3);
	linkfs_node_release(v, sub.node, 1);
	linkfs_node_release(v, below.node, 2);
	assert_int_equal(linkfs_volume_has_places(v), 0);
	check();
}

static int add_text(void *arg, const char *path)
{
	char *text = arg;
	(void)snprintf(text + strlen(text), 512 - strlen(text), "%s ", path);
	return 0;
}

static int on_referrer(void *arg, const struct linkfs_referrer *r)
{
	return add_text(arg, r->link.path);
}

static int on_dangling(void *arg, const struct linkfs_dangling *d)
{
	return add_text(arg, d->link.path);
}

static int on_impact(void *arg, const struct linkfs_impact *i)
{
	return add_text(arg, i->link.path);
}

static void questions_about_links(void **state)
{
	char text[512] = "";
	(void)state;
	make_dir("p");
	make_dir("p/d");
	make_dir("q");
	make_dir("b");
	put("q/mark", "q");
	put("p/d/f", "f");
	OK(linkfs_path_symlink(v, NULL, "../mark", ROOT, "p/d/up", NULL));
	OK(linkfs_path_symlink(v, NULL, "q/e/f", ROOT, "to-f", NULL));
	OK(linkfs_path_symlink(v, NULL, "b/f", ROOT, "by-bind", NULL));
	OK(link_directory("p/d", "q/e"));
	/* The one link leads to the file from one of its places, and nowhere from the other. */
	OK(linkfs_path_referrers(v, NULL, ROOT, "q/mark", 0, NULL, NULL, on_referrer, text));
	assert_string_equal(text, "/q/e/up ");
	text[0] = 0;
	OK(linkfs_path_dangling(v, NULL, ROOT, "/", NULL, on_dangling, text));
	assert_true(!strcmp(text, "/p/d/up /by-bind ") || !strcmp(text, "/by-bind /p/d/up "));
	OK(bind_to("p/d", "b"));
	text[0] = 0;
	OK(linkfs_path_referrers(v, NULL, ROOT, "p/d/f", 0, NULL, NULL, on_referrer, text));
	assert_true(!strcmp(text, "/to-f /by-bind ") || !strcmp(text, "/by-bind /to-f "));
	assert_string_equal(paths_of("p/d/f"), "/b/f /p/d/f /q/e/f");
	assert_string_equal(paths_of("p/d"), "/b /p/d /q/e");
	text[0] = 0;
	OK(linkfs_path_impact_remove(v, NULL, ROOT, "q/e", NULL, on_impact, text));
	assert_string_equal(text, "/to-f ");
	text[0] = 0;
	OK(linkfs_path_impact_remove(v, NULL, ROOT, "q/mark", NULL, on_impact, text));
	assert_string_equal(text, "/q/e/up ");
	text[0] = 0;
	OK(linkfs_path_impact_rename(v, NULL, ROOT, "q/e", ROOT, "p/e", NULL, on_impact, text));
	assert_true(!strcmp(text, "/to-f /q/e/up ") || !strcmp(text, "/q/e/up /to-f "));
	check();
}

static int on_step(void *arg, const struct linkfs_step *s)
{
	char part[64] = "";
	if (s->kind == LINKFS_STEP_ENTRY || s->kind == LINKFS_STEP_UP)
		(void)snprintf(part, sizeof(part), "%s%s", s->path ? s->path : "-", s->covered ? "(bind)" : "");
	return *part ? add_text(arg, part) : 0;
}

static void explained(void **state)
{
	char text[512] = "";
	(void)state;
	make_dir("a");
	make_dir("a/s");
	make_dir("p");
	make_dir("p/b");
	put("a/f", "f");
	OK(bind_to("a", "p/b"));
	OK(linkfs_path_explain(v, NULL, ROOT, "p/b/s/../../b/f", 0, NULL, on_step, text));
	assert_string_equal(text, "/p /p/b(bind) /p/b/s /p/b /p /p/b(bind) - ");
	OK(link_directory("a", "p/c"));
	text[0] = 0;
	OK(linkfs_path_explain(v, NULL, ROOT, "p/c/s/..", 0, NULL, on_step, text));
	assert_string_equal(text, "/p /p/c /p/c/s /p/c ");
}

struct last {
	int64_t time_ns;
	unsigned count;
};

static int on_deleted(void *arg, const struct linkfs_deleted *d)
{
	struct last *last = arg;
	if (!last->count++)
		last->time_ns = d->time_ns;
	return 0;
}

static void deleted_names_come_back(void **state)
{
	struct linkfs_deleted_query query = {.dir = ROOT, .flags = LINKFS_DELETED_NAMED};
	struct last last = {0, 0};
	int64_t cursor = 0;
	(void)state;
	OK(linkfs_volume_set_property(v, NULL, LINKFS_KEEP_DELETED, "1h", NULL));
	make_dir("a");
	put("a/f", "f");
	OK(link_directory("a", "b"));
	OK(linkfs_path_rmdir(v, NULL, ROOT, "b"));
	OK(linkfs_deleted_list(v, NULL, &query, &cursor, on_deleted, &last));
	assert_int_equal(last.count, 1);
	OK(linkfs_deleted_restore(v, NULL, last.time_ns, NULL, NULL));
	assert_text("b/f", "f");
	assert_int_equal(status("a").nlink, 3);
	check();
	/* Not where it would lie in itself. */
	OK(linkfs_path_rmdir(v, NULL, ROOT, "b"));
	last.count = 0;
	cursor = 0;
	OK(linkfs_deleted_list(v, NULL, &query, &cursor, on_deleted, &last));
	struct linkfs_undelete how = {.dir = ino_of("a"), .name = "b", .name_len = 1};
	assert_int_equal(linkfs_deleted_restore(v, NULL, last.time_ns, &how, NULL), LINKFS_ELOOP);
	OK(linkfs_deleted_restore(v, NULL, last.time_ns, NULL, NULL));
	/* Both names, one after the other: it is kept, and comes back with both. */
	OK(linkfs_path_unlink(v, NULL, ROOT, "a/f"));
	OK(linkfs_path_rmdir(v, NULL, ROOT, "a"));
	OK(linkfs_path_rmdir(v, NULL, ROOT, "b"));
	check();
	query.flags = 0;
	for (int i = 0; i < 2; i++) {
		last.count = 0;
		cursor = 0;
		query.flags = LINKFS_DELETED_NAMED;
		OK(linkfs_deleted_list(v, NULL, &query, &cursor, on_deleted, &last));
		OK(linkfs_deleted_restore(v, NULL, last.time_ns, NULL, NULL));
	}
	assert_int_equal(ino_of("a"), ino_of("b"));
	assert_int_equal(status("a").nlink, 3);
	check();
}

/* A volume that is well comes back with the names of its directories; one that a directory had before does not. */
static void recovered_with_their_names(void **state)
{
	struct linkfs_recover_options options = {0};
	struct linkfs_recover_result result;
	struct linkfs_message why = {""};
	char fresh[4200];
	(void)state;
	make_dir("a");
	make_dir("a/s");
	put("a/s/f", "f");
	make_dir("b");
	make_dir("gone");
	OK(link_directory("a", "b/a2"));
	OK(link_directory("b", "gone/b"));
	OK(rename_to("gone/b", "b3"));
	OK(link_directory("a/s", "b/a2/s2"));
	make_dir("gone/shown");
	OK(bind_to("a/s", "gone/shown"));
	put("gone/file", "covered");
	OK(bind_to("a/s/f", "gone/file"));
	OK(linkfs_volume_close(v));
	(void)snprintf(fresh, sizeof(fresh), "%s.new", volume_path);
	if (linkfs_recover(volume_path, fresh, &options, &result, &why))
		fail_msg("recover: %s", why.text);
	assert_int_equal(result.lost_names, 0);
	OK(linkfs_volume_open(fresh, NULL, &v, NULL));
	assert_string_equal(paths_of("a"), "/a /b/a2 /b3/a2");
	assert_string_equal(paths_of("a/s"), "/a/s /a/s2 /b/a2/s /b/a2/s2 /b3/a2/s /b3/a2/s2 /gone/shown");
	assert_string_equal(names_in("gone"), "file shown");
	assert_string_equal(names_in("gone/shown"), "f");
	assert_text("gone/file", "f");
	OK(unbind("gone/file"));
	assert_text("gone/file", "covered");
	OK(unbind("gone/shown"));
	assert_text("b3/a2/s2/f", "f");
	check();
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, volume_setup, volume_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(one_directory_two_names),
		TEST(the_content_stays_with_the_others),
		TEST(no_directory_lies_in_itself),
		TEST(who_may_and_what_may),
		TEST(nodes_stay),
		TEST(questions_about_links),
		TEST(explained),
		TEST(deleted_names_come_back),
		TEST(recovered_with_their_names),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
