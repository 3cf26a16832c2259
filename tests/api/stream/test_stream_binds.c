/*
 * test_stream_binds.c - binds in streams (docs/STREAM.md): what they show and what they cover is compared with the base, each by itself, and a file's may
 * stand at a name of the file itself.
 */
#include "two_volumes.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* What a bind covers is of the tree as well, though nobody sees it. */
static void what_binds_cover_is_compared(void **state)
{
	struct stream_bytes stream = {0};
	struct linkfs_stat st;
	(void)state;
	make_dir("d");
	make_dir("covered");
	put("covered/x", "text");
	put("file", "shown");
	put("file2", "covered");
	OK(linkfs_path_bind(v, NULL, ROOT, "/d", ROOT, "/covered"));
	OK(linkfs_path_bind(v, NULL, ROOT, "/file", ROOT, "/file2"));
	uint64_t one = snapshot("one");
	put("e", "new");
	uint64_t two = snapshot("two");
	arrives(0, one);
	OK(stream_case_send(v, one, two, NULL, &stream));
	for (int i = 0; i < 3; i++) {
		const char *at = i < 2 ? "/covered" : "/file2", *shown = i < 2 ? "/d" : "/file";
		OK(linkfs_path_unbind(second, NULL, ROOT, at));
		OK(linkfs_path_stat(second, NULL, ROOT, i == 0 ? "/covered/x" : at, 0, &st));
		if (i == 1)
			OK(linkfs_path_make(second, NULL, ROOT, "/covered/y", &(struct linkfs_make){.mode = S_IFREG},
					    NULL));
		else
			OK(linkfs_node_write(second, NULL, st.ino, 0, "TEXT", 4, 0, NULL, NULL));
		OK(linkfs_path_bind(second, NULL, ROOT, shown, ROOT, at));
		assert_int_equal(stream_case_receive(second, &stream, stream.len, 0, NULL), LINKFS_EXDEV);
		OK(linkfs_path_rollback(second, NULL, ROOT, "/", 1, 0, NULL, NULL));
	}
	OK(stream_case_receive(second, &stream, stream.len, 0, NULL));
	same_trees();
	stream_case_free(&stream);
}

/* Rolled back, both are other inodes: what the bind shows, and what it covers. */
static void what_binds_show_and_cover_was_rolled_back(void **state)
{
	struct stream_bytes stream = {0};
	struct linkfs_stat was, is;
	(void)state;
	put("shown", "shown");
	put("covered", "covered");
	OK(linkfs_path_bind(v, NULL, ROOT, "/shown", ROOT, "/covered"));
	uint64_t one = snapshot("one");
	put("e", "new");
	uint64_t two = snapshot("two");
	arrives(0, one);
	OK(stream_case_send(v, one, two, NULL, &stream));
	OK(linkfs_path_stat(second, NULL, ROOT, "/shown", 0, &was));
	OK(linkfs_path_unbind(second, NULL, ROOT, "/covered"));
	OK(linkfs_path_unlink(second, NULL, ROOT, "/covered"));
	OK(linkfs_path_unlink(second, NULL, ROOT, "/shown"));
	OK(linkfs_path_rollback(second, NULL, ROOT, "/", 1, 0, NULL, NULL));
	OK(linkfs_path_stat(second, NULL, ROOT, "/shown", 0, &is));
	assert_true(is.ino != was.ino);
	/* Another content of what is covered is another tree. */
	OK(linkfs_path_unbind(second, NULL, ROOT, "/covered"));
	OK(linkfs_path_stat(second, NULL, ROOT, "/covered", 0, &is));
	OK(linkfs_node_write(second, NULL, is.ino, 0, "COVERED", 7, 0, NULL, NULL));
	OK(linkfs_node_setattr(second, NULL, is.ino,
			       &(struct linkfs_setattr){.valid = LINKFS_SET_MTIME, .mtime_ns = is.mtime_ns}, NULL));
	OK(linkfs_path_bind(second, NULL, ROOT, "/shown", ROOT, "/covered"));
	assert_int_equal(stream_case_receive(second, &stream, stream.len, 0, NULL), LINKFS_EXDEV);
	OK(linkfs_path_unbind(second, NULL, ROOT, "/covered"));
	OK(linkfs_node_write(second, NULL, is.ino, 0, "covered", 7, 0, NULL, NULL));
	OK(linkfs_node_setattr(second, NULL, is.ino,
			       &(struct linkfs_setattr){.valid = LINKFS_SET_MTIME, .mtime_ns = is.mtime_ns}, NULL));
	OK(linkfs_path_bind(second, NULL, ROOT, "/shown", ROOT, "/covered"));
	OK(stream_case_receive(second, &stream, stream.len, 0, NULL));
	same_trees();
	stream_case_free(&stream);
}

/* A file that is saved over one with keep-links takes the names of that, also one at which a bind shows it. */
static void a_file_that_a_bind_shows_at_its_own_name(void **state)
{
	(void)state;
	put("a", "old");
	OK(linkfs_node_set_flags(v, NULL, status("a").ino, LINKFS_INO_KEEP_LINKS, LINKFS_INO_KEEP_LINKS, NULL));
	OK(linkfs_path_link(v, NULL, ROOT, "/a", ROOT, "/b", 0));
	put("new", "new");
	OK(linkfs_path_bind(v, NULL, ROOT, "/new", ROOT, "/b"));
	uint64_t one = snapshot("one");
	arrives(0, one);
	OK(linkfs_path_rename(v, NULL, ROOT, "/new", ROOT, "/a", 0));
	assert_int_equal(status("b").ino, status("a").ino);
	uint64_t two = snapshot("two");
	arrives(one, two);
	same_trees();
	put("c", "text");
	arrives(two, snapshot("three"));
	for (int i = 0; i < 2; i++) {
		v = second;
		check();
		OK(linkfs_path_unbind(v, NULL, ROOT, "/b"));
		assert_int_equal(linkfs_path_unbind(v, NULL, ROOT, "/b"), LINKFS_EINVAL);
		assert_int_equal(status("b").ino, status("a").ino);
		/* It comes back, too. */
		OK(linkfs_path_rollback(v, NULL, ROOT, "/", 3, 0, NULL, NULL));
	}
	check();
	/* Nobody else makes one. */
	OK(linkfs_path_unbind(v, NULL, ROOT, "/b"));
	assert_int_equal(linkfs_path_bind(v, NULL, ROOT, "/a", ROOT, "/b"), LINKFS_ELOOP);
	v = first;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(what_binds_cover_is_compared, two_volumes_setup, two_volumes_teardown),
		cmocka_unit_test_setup_teardown(what_binds_show_and_cover_was_rolled_back, two_volumes_setup,
						two_volumes_teardown),
		cmocka_unit_test_setup_teardown(a_file_that_a_bind_shows_at_its_own_name, two_volumes_setup,
						two_volumes_teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
