/*
 * test_track.c - the rules of tracked links (D5): what the text is after each kind of move, which name of several, what happens when the target goes,
 * what is refused, who may know what.
 */
#include "world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int unlink_it(const char *name)
{
	return linkfs_path_unlink(v, NULL, ROOT, name);
}

static void link_to(const char *from, const char *to)
{
	OK(linkfs_path_link(v, NULL, ROOT, from, ROOT, to, 0));
}

static void it_follows(void **state)
{
	(void)state;
	make_dir("a");
	make_dir("a/b");
	make_dir("c");
	put("a/b/f", "hello");
	OK(track("a/b/f", "c/l", 0));
	assert_link("c/l", "../a/b/f", "a/b/f");
	assert_int_equal(status("c/l").mode, S_IFLNK | 0777);
	assert_int_equal(status("c/l").flags & LINKFS_INO_TRACKED, LINKFS_INO_TRACKED);
	OK(move("a/b/f", "a/b/g", 0)); /* the target is renamed, and moved */
	assert_link("c/l", "../a/b/g", "a/b/g");
	OK(move("a/b/g", "g", 0));
	assert_link("c/l", "../g", "g");
	OK(move("g", "a/b/f", 0));
	OK(move("a", "x", 0)); /* a directory above it */
	assert_link("c/l", "../x/b/f", "x/b/f");
	OK(move("c", "x/b/c", 0)); /* one above the link */
	assert_link("x/b/c/l", "../f", "x/b/f");
	OK(move("x/b/c/l", "l", 0)); /* the link itself */
	assert_link("l", "x/b/f", "x/b/f");
	make_dir("y");
	OK(move("x", "y", LINKFS_RENAME_EXCHANGE));
	assert_link("l", "y/b/f", "y/b/f");
	put("y/b/other", "");
	OK(move("y/b/f", "y/b/other", LINKFS_RENAME_EXCHANGE));
	assert_link("l", "y/b/other", "y/b/other");
	OK(move("l", "y/b/f", LINKFS_RENAME_EXCHANGE)); /* the link with a file */
	assert_link("y/b/f", "other", "y/b/other");
	OK(move("y/b/f", "y/b/other", LINKFS_RENAME_EXCHANGE)); /* and with its target */
	assert_link("y/b/other", "f", "y/b/f");
	reopen();
	assert_link("y/b/other", "f", "y/b/f");
}

static void directories_are_tracked_too(void **state)
{
	(void)state;
	make_dir("a");
	make_dir("a/b");
	OK(track("a", "l", 0));
	assert_link("l", "a", "a");
	OK(track("a", "a/b/up", 0));
	assert_link("a/b/up", "..", "a");
	OK(track("a/b", "a/b/self", 0));
	assert_link("a/b/self", ".", "a/b");
	OK(track("/", "a/b/root", 0));
	assert_link("a/b/root", "../..", "/");
	OK(track("/", "top", 0));
	assert_link("top", ".", "/");
	OK(move("a/b", "b", 0));
	assert_link("b/up", "../a", "a");
	assert_link("b/self", ".", "b");
	assert_link("b/root", "..", "/");
	OK(linkfs_path_rmdir(v, NULL, ROOT, "a"));
	assert_link("l", "a", NULL);
	assert_link("b/up", "../a", NULL);
}

static void it_tracks_what_symlinks_lead_to(void **state)
{
	(void)state;
	make_dir("d");
	put("d/f", "");
	OK(linkfs_path_symlink(v, NULL, "d", ROOT, "dir", NULL));
	OK(linkfs_path_symlink(v, NULL, "dir/f", ROOT, "file", NULL));
	OK(track("file", "l", 0));
	assert_link("l", "d/f", "d/f");
	OK(track("l", "d/m", 0)); /* through another tracked link */
	assert_link("d/m", "f", "d/f");
	assert_int_equal(track("nothing", "n", 0), LINKFS_ENOENT);
	OK(linkfs_path_symlink(v, NULL, "nothing", ROOT, "dangling", NULL));
	assert_int_equal(track("dangling", "n", 0), LINKFS_ENOENT);
	assert_int_equal(track("d/f/", "n", 0), LINKFS_ENOTDIR);
}

static void a_deleted_target_leaves_the_last_text(void **state)
{
	(void)state;
	make_dir("a");
	put("a/f", "old");
	OK(track("a/f", "l", 0));
	OK(move("a", "b", 0)); /* the stored text is an older one now */
	OK(unlink_it("b/f"));
	assert_link("l", "b/f", NULL);
	put("b/f", "new"); /* healed, as any symlink */
	assert_link("l", "b/f", "b/f");
	OK(move("b/f", "b/g", 0)); /* but not tracked any more */
	assert_link("l", "b/f", NULL);
	check();
	/* The same by a rename over it: the text leads to the new file then. */
	put("t", "old");
	OK(track("t", "m", 0));
	put("new", "new");
	OK(move("new", "t", 0));
	assert_link("m", "t", "t");
	OK(move("t", "u", 0));
	assert_link("m", "t", NULL);
	/* By a symlink put in its place. */
	put("s", "");
	OK(track("s", "k", 0));
	OK(linkfs_path_replace_symlink(v, NULL, "u", ROOT, "s", NULL));
	assert_link("k", "s", "u");
	/* By the link itself. */
	put("own", "");
	make_dir("sub");
	OK(track("own", "sub/o", 0));
	OK(move("sub", "sub2", 0));
	OK(move("sub2/o", "own", 0));
	assert_link("own", "../own", NULL);
}

static void the_name_that_was_used_stays(void **state)
{
	(void)state;
	make_dir("a");
	make_dir("b");
	make_dir("c");
	put("b/two", "");
	link_to("b/two", "c/three");
	link_to("b/two", "a/one");
	OK(track("c/three", "l", 0));
	OK(track("b/two", "m", 0));
	assert_link("l", "c/three", "c/three");
	assert_link("m", "b/two", "b/two");
	OK(move("c/three", "a/drei", 0)); /* renamed: followed */
	assert_link("l", "a/drei", "a/drei");
	assert_link("m", "b/two", "b/two");
	OK(unlink_it("b/two")); /* removed: another one, the same from now on */
	const char *now = strcmp(text_of("m"), "a/one") == 0 ? "a/one" : "a/drei";
	assert_link("m", now, "a/one");
	link_to("a/one", "zero");
	link_to("a/one", "c/four");
	assert_link("m", now, "a/one");
	assert_link("l", "a/drei", "a/one");
	put("over", ""); /* replaced: likewise */
	OK(move("over", "a/drei", 0));
	assert_true(status("a/drei").ino != status("a/one").ino);
	assert_int_equal(leads_to("l"), status("a/one").ino);
	assert_int_equal(leads_to("m"), status("a/one").ino);
	check();
}

static void it_has_one_name(void **state)
{
	(void)state;
	put("f", "");
	OK(track("f", "l", 0));
	assert_int_equal(linkfs_path_link(v, NULL, ROOT, "l", ROOT, "l2", 0), LINKFS_EMLINK);
	OK(linkfs_path_link(v, NULL, ROOT, "l", ROOT, "f2", LINKFS_FOLLOW)); /* what it leads to */
	OK(linkfs_path_clone(v, NULL, ROOT, "l", ROOT, "copy", 0, NULL));    /* a copy is an ordinary one */
	assert_int_equal(status("copy").flags & LINKFS_INO_TRACKED, 0);
	OK(move("f", "g", 0));
	assert_link("copy", "f", NULL);
	assert_link("l", "g", "g");
}

static void it_takes_the_place_of_a_file_in_one_step(void **state)
{
	struct linkfs_stat st;
	(void)state;
	put("f", "");
	put("there", "");
	make_dir("dir");
	assert_int_equal(track("f", "there", 0), LINKFS_EEXIST);
	OK(track("f", "there", LINKFS_TRACK_REPLACE));
	assert_link("there", "f", "f");
	OK(track("dir", "there", LINKFS_TRACK_REPLACE));
	assert_link("there", "dir", "dir");
	OK(track("f", "absent", LINKFS_TRACK_REPLACE));
	assert_link("absent", "f", "f");
	assert_int_equal(track("f", "dir", LINKFS_TRACK_REPLACE), LINKFS_EISDIR);
	assert_int_equal(track("f", "f", LINKFS_TRACK_REPLACE), LINKFS_EEXIST);
	assert_int_equal(track("f", "f", 0), LINKFS_EEXIST);
	assert_int_equal(track("f", "x", 2), LINKFS_EINVAL);
	assert_int_equal(linkfs_path_track(v, NULL, ROOT, "f", ROOT, "no/where", 0, &st), LINKFS_ENOENT);
	check();
}

static void saves_that_keep_links_keep_tracked_ones(void **state)
{
	struct linkfs_stat st;
	(void)state;
	make_dir("d");
	put("f", "old");
	OK(track("f", "d/l", 0));
	OK(linkfs_node_set_flags(v, NULL, status("f").ino, LINKFS_INO_KEEP_LINKS, LINKFS_INO_KEEP_LINKS, &st));
	put("new", "new");
	uint64_t fresh = status("new").ino;
	OK(track("new", "d/n", 0));
	OK(move("new", "f", 0));
	assert_int_equal(status("f").ino, fresh);
	OK(move("f", "g", 0));
	assert_link("d/l", "../g", "g"); /* not only by its text */
	assert_link("d/n", "../g", "g");
	/* With several names. */
	link_to("g", "d/h");
	OK(track("d/h", "m", 0));
	put("new", "newest");
	OK(move("new", "g", 0));
	OK(move("d/h", "h", 0));
	assert_link("m", "h", "h");
	assert_link("d/l", "../g", "h");
	assert_int_equal(status("h").nlink, 2);
	check();
}

static void unshared_names_are_left(void **state)
{
	(void)state;
	put("a", "text");
	link_to("a", "b");
	OK(track("b", "l", 0));
	OK(linkfs_path_unshare(v, NULL, ROOT, "b", NULL));
	assert_link("l", "a", "a"); /* it tracks the file, not the name */
	check();
}

static int take_time(void *arg, const struct linkfs_deleted *d)
{
	*(int64_t *)arg = d->time_ns;
	return 1;
}

/* The newest row is the first that is listed. */
static int64_t newest_deleted(void)
{
	struct linkfs_deleted_query q = {.flags = 0};
	int64_t cursor = 0, time = 0;
	OK(linkfs_deleted_list(v, NULL, &q, &cursor, take_time, &time));
	assert_true(time);
	return time;
}

static void recovery_brings_tracking_back(void **state)
{
	(void)state;
	make_dir("a");
	make_dir("d");
	put("a/f", "");
	link_to("a/f", "d/second");
	put("gone", "");
	OK(track("a/f", "l", 0));
	OK(track("d/second", "m", 0));
	OK(track("d", "dir", 0));
	OK(track("gone", "dead", 0));
	OK(move("a", "b", 0)); /* the stored text is an older one */
	OK(unlink_it("gone"));
	world_recover();
	assert_link("l", "b/f", "b/f");
	assert_link("m", "d/second", "d/second");
	assert_link("dead", "gone", NULL);
	OK(move("b/f", "f", 0));
	OK(move("d", "e", 0));
	assert_link("l", "f", "f");
	assert_link("m", "e/second", "e/second");
	assert_link("dir", "e", "e");
	check();
}

/* E7: equal files become names of one; what tracks a file by a name tracks the one that has it then. */
static void merged_files_take_their_links_along(void **state)
{
	(void)state;
	make_dir("d");
	put("kept", "equal");
	put("other", "equal");
	link_to("other", "d/second");
	OK(track("other", "l", 0));
	OK(track("d/second", "m", 0));
	uint64_t kept = status("kept").ino;
	OK(linkfs_node_merge(v, NULL, kept, ROOT, "other", 5));
	assert_int_equal(leads_to("l"), kept);
	assert_true(leads_to("m") != kept);
	OK(linkfs_node_merge(v, NULL, kept, status("d").ino, "second", 6));
	OK(move("other", "d/o", 0));
	OK(move("d/second", "s", 0));
	assert_link("l", "d/o", "kept");
	assert_link("m", "s", "kept");
	check();
}

static void undeleted_targets_are_followed_again(void **state)
{
	struct linkfs_undelete to = {.dir = ROOT, .name = "back", .name_len = 4};
	(void)state;
	OK(linkfs_volume_set_property(v, NULL, LINKFS_KEEP_DELETED, "1d", NULL));
	make_dir("d");
	put("d/f", "");
	OK(track("d/f", "l", 0));
	OK(track("d", "k", 0));
	uint64_t ino = status("d/f").ino;
	OK(unlink_it("d/f"));
	assert_link("l", "d/f", NULL);
	OK(linkfs_deleted_restore(v, NULL, newest_deleted(), &to, NULL));
	assert_int_equal(status("back").ino, ino);
	assert_link("l", "back", "back");
	OK(move("back", "d/again", 0));
	assert_link("l", "d/again", "d/again");
	OK(unlink_it("l")); /* the link comes back and goes on */
	OK(move("d", "e", 0));
	to.name = "l2";
	to.name_len = 2;
	OK(linkfs_deleted_restore(v, NULL, newest_deleted(), &to, NULL));
	assert_link("l2", "e/again", "e/again");
	check();
}

/* Deep enough that a text between its ends is too long. */
static void too_long_a_way_is_said(void **state)
{
	char name[256], text[LINKFS_PATH_MAX];
	uint64_t dir = ROOT;
	struct linkfs_stat st;
	size_t len;
	(void)state;
	memset(name, 'n', 255);
	name[255] = 0;
	make_dir("top");
	OK(linkfs_path_stat(v, NULL, ROOT, "top", 0, &st));
	dir = st.ino;
	for (int i = 0; i < 15; i++) {
		OK(linkfs_node_make(v, NULL, dir, name, 255, &(struct linkfs_make){.mode = S_IFDIR | 0777}, 0, &st));
		dir = st.ino;
	}
	OK(linkfs_node_make(v, NULL, dir, name, 250, &(struct linkfs_make){.mode = S_IFREG | 0644}, 0, &st));
	/* 3 + 1 + 15 x 256 + 250: fits. */
	OK(linkfs_path_track(v, NULL, dir, name + 5, ROOT, "l", 0, NULL));
	uint64_t link = status("l").ino;
	assert_int_equal(status("l").size, 4094);
	OK(linkfs_node_readlink(v, link, text, sizeof(text), &len));
	assert_int_equal(len, 4094);
	assert_int_equal(leads_to("l"), st.ino);
	OK(move("top", "longer", 0));
	assert_int_equal(linkfs_node_readlink(v, link, text, sizeof(text), &len), LINKFS_ENAMETOOLONG);
	assert_int_equal(status("l").size, LINKFS_PATH_MAX);
	assert_int_equal(linkfs_path_stat(v, NULL, ROOT, "l", 0, &st), LINKFS_ENAMETOOLONG);
	assert_int_equal(linkfs_path_track(v, NULL, dir, name + 5, ROOT, "m", 0, NULL), LINKFS_ENAMETOOLONG);
	check();
	OK(move("longer", "t", 0));
	assert_int_equal(leads_to("l"), leads_to("l"));
	assert_int_equal(status("l").size, 4092);
	check();
}

static void a_thousand_links_and_no_more(void **state)
{
	char name[32];
	(void)state;
	put("f", "");
	make_dir("d");
	for (int i = 0; i < 1000; i++) {
		(void)snprintf(name, sizeof(name), "d/%d", i);
		OK(track("f", name, 0));
	}
	assert_int_equal(track("f", "d/more", 0), LINKFS_EMLINK);
	OK(unlink_it("d/17"));
	OK(track("f", "d/more", 0));
	OK(move("f", "g", 0));
	assert_link("d/more", "../g", "g");
	OK(move("d", "e", 0));
	OK(unlink_it("g"));
	for (int i = 0; i < 1000; i++) {
		(void)snprintf(name, sizeof(name), "e/%d", i);
		if (i != 17)
			assert_link(name, "../g", NULL);
	}
	check();
}

struct asked {
	char path[256];
	int count;
};

static int take_name(void *arg, const struct linkfs_name *name)
{
	struct asked *a = arg;
	a->count++;
	(void)snprintf(a->path, sizeof(a->path), "%s", name->path);
	assert_int_equal(name->path_len, strlen(name->path));
	return 0;
}

static void who_asks_is_told_what_he_may_know(void **state)
{
	struct linkfs_cred user = {.uid = 1000, .gid = 1000};
	struct linkfs_setattr closed = {.valid = LINKFS_SET_MODE, .mode = 0700};
	struct asked a = {.count = 0};
	uint64_t target = 0;
	(void)state;
	make_dir("d");
	put("d/f", "");
	put("plain", "");
	OK(track("d/f", "l", 0));
	uint64_t link = status("l").ino;
	OK(linkfs_node_tracks(v, &user, link, take_name, &a, &target));
	assert_string_equal(a.path, "/d/f");
	assert_int_equal(target, status("d/f").ino);
	OK(linkfs_node_tracks(v, &user, link, NULL, NULL, NULL));
	OK(linkfs_node_setattr(v, NULL, status("d").ino, &closed, NULL));
	assert_int_equal(linkfs_node_tracks(v, &user, link, take_name, &a, &target), LINKFS_EACCES);
	OK(linkfs_node_tracks(v, NULL, link, take_name, &a, &target));
	assert_int_equal(a.count, 2);
	assert_int_equal(linkfs_node_tracks(v, NULL, status("plain").ino, take_name, &a, NULL), LINKFS_EINVAL);
	assert_int_equal(linkfs_path_track(v, &user, ROOT, "d/f", ROOT, "mine", 0, NULL), LINKFS_EACCES);
	OK(unlink_it("d/f"));
	assert_int_equal(linkfs_node_tracks(v, NULL, link, take_name, &a, NULL), LINKFS_ENOENT);
	assert_int_equal(a.count, 2);
}

static int count_referrer(void *arg, const struct linkfs_referrer *r)
{
	(void)r;
	(*(int *)arg)++;
	return 0;
}

static int referrers(const char *name, uint32_t flags)
{
	struct linkfs_links_options o = {.flags = flags};
	int n = 0;
	OK(linkfs_node_referrers(v, NULL, status(name).ino, &o, count_referrer, &n));
	return n;
}

static int count_impact(void *arg, const struct linkfs_impact *i)
{
	assert_int_equal(i->before.error, 0);
	(*(int *)arg)++;
	return 0;
}

static int impact(const char *name, const char *to)
{
	int n = 0;
	if (to)
		OK(linkfs_path_impact_rename(v, NULL, ROOT, name, ROOT, to, NULL, count_impact, &n));
	else
		OK(linkfs_path_impact_remove(v, NULL, ROOT, name, NULL, count_impact, &n));
	return n;
}

static void questions_know_them(void **state)
{
	(void)state;
	make_dir("a");
	make_dir("a/b");
	make_dir("x");
	put("a/b/f", "");
	put("other", "");
	OK(track("a/b/f", "x/l", 0));
	OK(linkfs_path_symlink(v, NULL, "x/l", ROOT, "chain", NULL));
	OK(move("a", "z", 0)); /* no component of a stored text is a name on the way now */
	OK(move("z/b/f", "z/b/g", 0));
	assert_int_equal(referrers("z/b/g", 0), 2);
	assert_int_equal(referrers("z/b", 0), 0);
	assert_int_equal(referrers("z/b", LINKFS_LINKS_THROUGH), 2);
	assert_int_equal(referrers("z", LINKFS_LINKS_THROUGH), 2);
	assert_int_equal(impact("z/b/g", NULL), 2);
	assert_int_equal(impact("z", NULL), 2);
	assert_int_equal(impact("z/b/g", "z/h"), 0); /* followed */
	assert_int_equal(impact("z/b", "b"), 0);
	assert_int_equal(impact("z", "zz"), 0);
	assert_int_equal(impact("x", "z/x"), 1);       /* the chain leads to x/l, which is not there then */
	assert_int_equal(impact("other", "z/b/g"), 2); /* both lead to the other file then */
	OK(unlink_it("z/b/g"));
	assert_int_equal(referrers("z/b", LINKFS_LINKS_THROUGH), 2);
	put("z/b/g", "");
	assert_int_equal(referrers("z/b/g", 0), 2); /* by the stored text */
	check();
}

static void moves_are_told(void **state)
{
	(void)state;
	make_dir("d");
	put("d/f", "");
	put("plain", "");
	OK(track("d/f", "l", 0));
	linkfs_volume_observe(v, count_texts, NULL);
	texts_told = 0;
	OK(move("plain", "plain2", 0));
	assert_int_equal(texts_told, 0);
	OK(move("d/f", "d/g", 0));
	assert_int_equal(texts_told, 1);
	OK(move("d", "e", 0));
	assert_int_equal(texts_told, 2);
	OK(move("l", "e/l", 0));
	assert_int_equal(texts_told, 3);
	link_to("e/g", "h");
	OK(unlink_it("e/g"));
	assert_int_equal(texts_told, 4);
	linkfs_volume_observe(v, NULL, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(it_follows, volume_setup, volume_teardown),
		cmocka_unit_test_setup_teardown(directories_are_tracked_too, volume_setup, volume_teardown),
		cmocka_unit_test_setup_teardown(it_tracks_what_symlinks_lead_to, volume_setup, volume_teardown),
		cmocka_unit_test_setup_teardown(a_deleted_target_leaves_the_last_text, volume_setup, volume_teardown),
		cmocka_unit_test_setup_teardown(the_name_that_was_used_stays, volume_setup, volume_teardown),
		cmocka_unit_test_setup_teardown(it_has_one_name, volume_setup, volume_teardown),
		cmocka_unit_test_setup_teardown(it_takes_the_place_of_a_file_in_one_step, volume_setup,
						volume_teardown),
		cmocka_unit_test_setup_teardown(saves_that_keep_links_keep_tracked_ones, volume_setup, volume_teardown),
		cmocka_unit_test_setup_teardown(unshared_names_are_left, volume_setup, volume_teardown),
		cmocka_unit_test_setup_teardown(recovery_brings_tracking_back, volume_setup, volume_teardown),
		cmocka_unit_test_setup_teardown(merged_files_take_their_links_along, volume_setup, volume_teardown),
		cmocka_unit_test_setup_teardown(undeleted_targets_are_followed_again, volume_setup, volume_teardown),
		cmocka_unit_test_setup_teardown(too_long_a_way_is_said, volume_setup, volume_teardown),
		cmocka_unit_test_setup_teardown(a_thousand_links_and_no_more, volume_setup, volume_teardown),
		cmocka_unit_test_setup_teardown(who_asks_is_told_what_he_may_know, volume_setup, volume_teardown),
		cmocka_unit_test_setup_teardown(questions_know_them, volume_setup, volume_teardown),
		cmocka_unit_test_setup_teardown(moves_are_told, volume_setup, volume_teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
