/*
 * test_stream_tracked.c - tracked links whose target is gone, in streams (docs/STREAM.md, GONE): they arrive as tracked ones that dangle, and lead where
 * they led by each path, also where the receiver's directories go by other names first; and what comes back they follow again.
 */
#include "two_volumes.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* And what arrived is sound. */
static void arrives_sound(uint64_t from, uint64_t to)
{
	arrives(from, to);
	v = second;
	check();
	v = first;
}

static const char *text_in(struct linkfs_volume *volume, const char *path)
{
	static char text[2][LINKFS_PATH_MAX];
	static int turn;
	size_t len = 0;
	turn = !turn;
	OK(linkfs_path_readlink(volume, NULL, ROOT, path, text[turn], sizeof(text[turn]) - 1, &len));
	text[turn][len] = 0;
	return text[turn];
}

static void tracks(struct linkfs_volume *volume, const char *path, int want)
{
	struct linkfs_stat st;
	OK(linkfs_path_stat(volume, NULL, ROOT, path, LINKFS_NOFOLLOW, &st));
	assert_true(st.flags & LINKFS_INO_TRACKED);
	assert_int_equal(linkfs_node_tracks(volume, NULL, st.node, NULL, NULL, NULL), want);
}

/* At both it is a tracked one that dangles, with that text. */
static void dangles(const char *path, const char *text)
{
	tracks(first, path, LINKFS_ENOENT);
	tracks(second, path, LINKFS_ENOENT);
	assert_string_equal(text_in(first, path), text);
	assert_string_equal(text_in(second, path), text);
}

static void in_one_place(void **state)
{
	(void)state;
	make_dir("d");
	put("old", "x");
	put("late", "x");
	OK(linkfs_path_track(v, NULL, ROOT, "/old", ROOT, "/d/gone", 0, NULL));
	OK(linkfs_path_track(v, NULL, ROOT, "/late", ROOT, "/d/goes", 0, NULL));
	OK(linkfs_path_unlink(v, NULL, ROOT, "/old"));
	uint64_t one = snapshot("one");
	arrives_sound(0, one);
	dangles("/d/gone", "../old");
	tracks(second, "/d/goes", 0);
	OK(linkfs_path_unlink(v, NULL, ROOT, "/late"));
	/* Made and dead between the two. */
	put("between", "x");
	OK(linkfs_path_track(v, NULL, ROOT, "/between", ROOT, "/new", 0, NULL));
	OK(linkfs_path_unlink(v, NULL, ROOT, "/between"));
	uint64_t two = snapshot("two");
	arrives_sound(one, two);
	dangles("/d/gone", "../old");
	dangles("/d/goes", "../late");
	dangles("/new", "between");
	/* The text stays where the link goes, as that of any symlink. */
	make_dir("d/e");
	OK(linkfs_path_rename(v, NULL, ROOT, "/d/gone", ROOT, "/d/e/gone", 0));
	OK(linkfs_path_rename(v, NULL, ROOT, "/d/goes", ROOT, "/goes", 0));
	arrives_sound(two, snapshot("three"));
	dangles("/d/e/gone", "../old");
	dangles("/goes", "../late");
}

/* /p/d and /q/r/d are one directory, and so is its inner one. The numbers of /p and /q/r are in this order here, and in the other one there, as
 * a file in /q/r is the first of all objects. */
static void make_places(void)
{
	put("f", "x");
	make_dir("d");
	make_dir("d/in");
	make_dir("p");
	make_dir("q");
	make_dir("q/r");
	make_dir("t");
	put("t/x", "x");
	put("t/y", "y");
	OK(linkfs_path_rename(v, NULL, ROOT, "/f", ROOT, "/q/r/f", 0));
	OK(linkfs_path_rename(v, NULL, ROOT, "/d", ROOT, "/p/d", 0));
	OK(linkfs_path_link_directory(v, NULL, ROOT, "/p/d", ROOT, "/q/r/d"));
	OK(linkfs_path_track(v, NULL, ROOT, "/t/x", ROOT, "/p/d/l", 0, NULL));
	OK(linkfs_path_track(v, NULL, ROOT, "/t/x", ROOT, "/p/d/in/l", 0, NULL));
	OK(linkfs_path_track(v, NULL, ROOT, "/t/y", ROOT, "/p/d/m", 0, NULL));
	OK(linkfs_path_unlink(v, NULL, ROOT, "/t/x"));
}

static void in_several_places(void **state)
{
	(void)state;
	make_places();
	uint64_t one = snapshot("one");
	arrives_sound(0, one);
	dangles("/p/d/l", "../../t/x");
	dangles("/q/r/d/l", "../../../t/x");
	dangles("/p/d/in/l", "../../../t/x");
	dangles("/q/r/d/in/l", "../../../../t/x");
	/* One of the names goes, another one comes, and the link is not touched. */
	OK(linkfs_path_unlink(v, NULL, ROOT, "/t/y"));
	make_dir("s");
	OK(linkfs_path_link_directory(v, NULL, ROOT, "/p/d", ROOT, "/s/d"));
	uint64_t two = snapshot("two");
	arrives_sound(one, two);
	dangles("/p/d/l", "../../t/x");
	dangles("/s/d/l", "../../t/x");
	dangles("/q/r/d/m", "../../../t/y");
	dangles("/s/d/m", "../../t/y");
	make_dir("b");
	OK(linkfs_path_bind(v, NULL, ROOT, "/q/r", ROOT, "/b"));
	uint64_t three = snapshot("three");
	arrives_sound(two, three);
	dangles("/b/d/l", "../../t/x");
	dangles("/q/r/d/in/l", "../../../../t/x");
	OK(linkfs_path_unbind(v, NULL, ROOT, "/b"));
	OK(linkfs_path_rmdir(v, NULL, ROOT, "/p/d"));
	OK(linkfs_path_rmdir(v, NULL, ROOT, "/s/d"));
	uint64_t four = snapshot("four");
	arrives_sound(three, four);
	tracks(second, "/q/r/d/l", LINKFS_ENOENT);
	assert_string_equal(text_in(second, "/q/r/d/l"), text_in(first, "/q/r/d/l"));
}

static int take_deleted(void *arg, const struct linkfs_deleted *d)
{
	*(int64_t *)arg = d->time_ns;
	return 0;
}

static void followed_again(void **state)
{
	int64_t deleted = 0, cursor = 0;
	(void)state;
	OK(linkfs_volume_set_property(v, NULL, "keep-deleted", "1d", NULL));
	put("f", "text");
	OK(linkfs_path_track(v, NULL, ROOT, "/f", ROOT, "/l", 0, NULL));
	OK(linkfs_path_unlink(v, NULL, ROOT, "/f"));
	uint64_t one = snapshot("one");
	arrives_sound(0, one);
	dangles("/l", "f");
	OK(linkfs_deleted_list(v, NULL, &(struct linkfs_deleted_query){0}, &cursor, take_deleted, &deleted));
	OK(linkfs_deleted_restore(v, NULL, deleted, NULL, NULL));
	tracks(v, "/l", 0);
	uint64_t two = snapshot("two");
	arrives_sound(one, two);
	tracks(second, "/l", 0);
	OK(linkfs_path_rename(second, NULL, ROOT, "/f", ROOT, "/g", 0));
	assert_string_equal(text_in(second, "/l"), "g");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(in_one_place, two_volumes_setup, two_volumes_teardown),
		cmocka_unit_test_setup_teardown(in_several_places, two_volumes_setup, two_volumes_teardown),
		cmocka_unit_test_setup_teardown(followed_again, two_volumes_setup, two_volumes_teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
