/*
 * test_rollback.c - the rules of linkfs_path_rollback() (E1; linkfs_snapshots.h). That any tree goes back is api-rollback-random's.
 */
#include "one_volume.h"

#include "past.h"

#include <linkfs_snapshots.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BIG (UINT64_C(3) << 20)

struct told {
	unsigned counts[LINKFS_ROLLBACK_LEFT + 1], steps, stop; /* stop: at the step of that number */
	uint32_t what;
};

static int on_step(void *arg, const struct linkfs_rollback *step)
{
	struct told *t = arg;
	t->counts[step->kind]++;
	t->what |= step->what;
	return ++t->steps == t->stop;
}

static struct told back(const char *path, uint64_t id)
{
	struct told told = {.stop = 0};
	OK(linkfs_path_rollback(v, NULL, ROOT, path, id, 0, on_step, &told));
	return told;
}

static void fill(const char *path, uint64_t offset, uint64_t size, int byte)
{
	struct linkfs_file *file;
	char *buf = malloc(size);
	assert_non_null(buf);
	memset(buf, byte, size);
	OK(linkfs_file_open(v, NULL, ROOT, path, LINKFS_O_WRITE | LINKFS_O_CREATE, 0644, &file));
	OK(linkfs_file_write(file, offset, buf, size, NULL));
	linkfs_file_close(file);
	free(buf);
}

static int byte_at(struct linkfs_file *file, uint64_t offset)
{
	unsigned char c = 0;
	size_t n = 0;
	OK(linkfs_file_read(file, offset, &c, 1, &n));
	return n ? c : -1;
}

static uint64_t used(void)
{
	struct linkfs_info info;
	OK(linkfs_volume_sync(v));
	OK(linkfs_volume_info(v, &info));
	return info.data_blocks_used;
}

static void a_file_stays_the_same_file(void **state)
{
	struct linkfs_setattr set = {
		.valid = LINKFS_SET_MODE | LINKFS_SET_UID | LINKFS_SET_MTIME, .mode = 0600, .uid = 7, .mtime_ns = 5};
	struct linkfs_file *open_file;
	struct linkfs_stat was, is;
	struct told told;
	char value[8];
	size_t len;
	(void)state;
	make_dir("d");
	fill("d/f", 0, BIG, 'a');
	OK(linkfs_path_link(v, NULL, ROOT, "d/f", ROOT, "other", 0));
	OK(linkfs_path_track(v, NULL, ROOT, "d/f", ROOT, "tracked", 0, NULL));
	was = status("d/f");
	OK(linkfs_node_setxattr(v, NULL, was.ino, "user.a", "then", 4, 0));
	was = status("d/f");
	uint64_t id = take_snapshot("s"), before = used();
	OK(linkfs_file_open(v, NULL, ROOT, "d/f", LINKFS_O_READ, 0, &open_file));
	fill("d/f", 100, 5000, 'b');
	fill("d/f", BIG, 9000, 'c');
	OK(linkfs_path_setattr(v, NULL, ROOT, "d/f", 0, &set));
	OK(linkfs_node_setxattr(v, NULL, was.ino, "user.a", "now", 3, 0));
	OK(linkfs_node_setxattr(v, NULL, was.ino, "user.b", "new", 3, 0));
	told = back("d/f", id);
	assert_int_equal(told.steps, 1);
	assert_int_equal(told.counts[LINKFS_ROLLBACK_CHANGED], 1);
	assert_int_equal(told.what, LINKFS_ROLLBACK_CONTENT | LINKFS_ROLLBACK_OWNER | LINKFS_ROLLBACK_MODE |
					    LINKFS_ROLLBACK_TIMES | LINKFS_ROLLBACK_XATTRS);
	is = status("other");
	assert_int_equal(is.ino, was.ino);
	assert_true(is.mode == was.mode && is.uid == was.uid && is.size == was.size && is.nlink == 2 &&
		    is.mtime_ns == was.mtime_ns && is.btime_ns == was.btime_ns && is.ctime_ns > was.ctime_ns);
	assert_int_equal(byte_at(open_file, 100), 'a'); /* who has it open sees it */
	assert_int_equal(byte_at(open_file, BIG), -1);
	linkfs_file_close(open_file);
	OK(linkfs_node_getxattr(v, NULL, is.ino, "user.a", value, sizeof(value), &len));
	assert_int_equal(len, 4);
	assert_int_equal(linkfs_node_getxattr(v, NULL, is.ino, "user.b", value, sizeof(value), &len), LINKFS_ENODATA);
	assert_int_equal(used(), before); /* all is shared */
	assert_int_equal(back("d/f", id).steps, 0);
	check();
}

static void one_that_is_gone_is_made_anew(void **state)
{
	struct told told;
	(void)state;
	make_dir("d");
	fill("d/f", 0, BIG, 'a');
	OK(linkfs_path_link(v, NULL, ROOT, "d/f", ROOT, "d/g", 0));
	uint64_t id = take_snapshot("s"), old = status("d/f").ino, before = used();
	OK(linkfs_path_unlink(v, NULL, ROOT, "d/f"));
	OK(linkfs_path_unlink(v, NULL, ROOT, "d/g"));
	told = back("d", id);
	assert_int_equal(told.counts[LINKFS_ROLLBACK_MADE], 1);
	assert_int_equal(told.counts[LINKFS_ROLLBACK_LINKED], 1);
	assert_true(status("d/f").ino > old); /* K1 */
	assert_int_equal(status("d/f").ino, status("d/g").ino);
	assert_int_equal(status("d/f").nlink, 2);
	assert_int_equal(used(), before);
	/* By itself it is a file of its own. */
	OK(linkfs_path_unlink(v, NULL, ROOT, "d/g"));
	assert_int_equal(back("d/g", id).counts[LINKFS_ROLLBACK_MADE], 1);
	assert_true(status("d/f").ino != status("d/g").ino);
	assert_int_equal(used(), before);
	check();
}

static void what_was_moved_out_stays(void **state)
{
	(void)state;
	make_dir("in");
	make_dir("out");
	put("in/f", "then");
	uint64_t id = take_snapshot("s"), ino = status("in/f").ino;
	OK(linkfs_path_rename(v, NULL, ROOT, "in/f", ROOT, "out/f", 0));
	put("out/f", "now");
	struct linkfs_stat moved = status("out/f");
	assert_int_equal(back("in", id).counts[LINKFS_ROLLBACK_MADE], 1);
	same_text("in/f", "then");
	same_text("out/f", "now");
	assert_int_equal(status("out/f").ino, ino);
	assert_int_equal(status("out/f").ctime_ns, moved.ctime_ns);
	/* Of the whole it is a rename; the copy goes. */
	assert_int_equal(back("/", id).counts[LINKFS_ROLLBACK_MOVED], 1);
	assert_int_equal(status("in/f").ino, ino);
	same_text("in/f", "then");
	check();
}

static void a_save_by_rename_keeps_its_number(void **state)
{
	(void)state;
	put("f", "then");
	uint64_t id = take_snapshot("s");
	put("tmp", "saved");
	uint64_t saved = status("tmp").ino;
	OK(linkfs_path_rename(v, NULL, ROOT, "tmp", ROOT, "f", 0));
	struct told told = back("f", id);
	assert_true(told.steps == 1 && told.counts[LINKFS_ROLLBACK_CHANGED] == 1);
	assert_int_equal(status("f").ino, saved);
	same_text("f", "then");
	/* With a name elsewhere it is somebody else's too, and stays. */
	put("tmp", "mine");
	OK(linkfs_path_link(v, NULL, ROOT, "tmp", ROOT, "elsewhere", 0));
	OK(linkfs_path_rename(v, NULL, ROOT, "tmp", ROOT, "f", 0));
	told = back("f", id);
	assert_true(told.counts[LINKFS_ROLLBACK_MADE] == 1 && told.counts[LINKFS_ROLLBACK_REMOVED] == 1);
	same_text("f", "then");
	same_text("elsewhere", "mine");
	check();
}

static void names_that_are_exchanged(void **state)
{
	(void)state;
	make_dir("d");
	make_dir("d/a");
	make_dir("d/a/b");
	put("d/a/b/x", "x");
	put("d/y", "y");
	uint64_t id = take_snapshot("s"), a = status("d/a").ino, b = status("d/a/b").ino, y = status("d/y").ino;
	/* Inside out; a file where a directory was, and the other way round. */
	OK(linkfs_path_rename(v, NULL, ROOT, "d/a/b", ROOT, "d/tmp", 0));
	OK(linkfs_path_rename(v, NULL, ROOT, "d/a", ROOT, "d/tmp/b", 0));
	OK(linkfs_path_rename(v, NULL, ROOT, "d/y", ROOT, "d/a", 0));
	OK(linkfs_path_rename(v, NULL, ROOT, "d/tmp", ROOT, "d/y", 0));
	(void)back("d", id);
	assert_true(status("d/a").ino == a && status("d/a/b").ino == b && status("d/y").ino == y);
	same_text("d/a/b/x", "x");
	assert_int_equal(back("d", id).steps, 0);
	check();
}

/* Ended at each step in turn, and gone on with. */
static void cut_off_at_each_step(void **state)
{
	struct told told = {.stop = 0};
	unsigned n = 0;
	uint64_t id;
	(void)state;
	for (int rc = LINKFS_EINTR; rc;) {
		char name[32];
		make_dir("d");
		make_dir("d/sub");
		put("d/f", "f");
		put("d/sub/g", "g");
		put("d/gone", "gone");
		OK(linkfs_path_link(v, NULL, ROOT, "d/gone", ROOT, "d/sub/gone", 0));
		OK(linkfs_path_symlink(v, NULL, "sub/g", ROOT, "d/link", NULL));
		(void)snprintf(name, sizeof(name), "s%u", n);
		id = take_snapshot(name);
		put("d/f", "changed");
		OK(linkfs_path_rename(v, NULL, ROOT, "d/sub", ROOT, "d/moved", 0));
		OK(linkfs_path_rename(v, NULL, ROOT, "d/f", ROOT, "d/moved/f", 0));
		put("d/f", "another");
		OK(linkfs_path_link(v, NULL, ROOT, "d/f", ROOT, "d/f2", 0));
		OK(linkfs_path_unlink(v, NULL, ROOT, "d/gone"));
		OK(linkfs_path_unlink(v, NULL, ROOT, "d/moved/gone"));
		make_dir("d/later");
		put("d/later/x", "x");
		told = (struct told){.stop = ++n};
		rc = linkfs_path_rollback(v, NULL, ROOT, "d", id, 0, on_step, &told);
		assert_true(rc == 0 || rc == LINKFS_EINTR);
		check();
		(void)back("d", id);
		same_text("d/f", "f");
		same_text("d/sub/g", "g");
		same_text("d/link", "g");
		same_text("d/gone", "gone");
		assert_int_equal(status("d/gone").ino, status("d/sub/gone").ino);
		assert_int_equal(status("d").nlink, 3);
		assert_int_equal(back("d", id).steps, 0);
		check();
		/* All anew. */
		OK(linkfs_path_unlink(v, NULL, ROOT, "d/f"));
		OK(linkfs_path_unlink(v, NULL, ROOT, "d/link"));
		OK(linkfs_path_unlink(v, NULL, ROOT, "d/gone"));
		OK(linkfs_path_unlink(v, NULL, ROOT, "d/sub/gone"));
		OK(linkfs_path_unlink(v, NULL, ROOT, "d/sub/g"));
		OK(linkfs_path_rmdir(v, NULL, ROOT, "d/sub"));
		OK(linkfs_path_rmdir(v, NULL, ROOT, "d"));
	}
	print_message("# %u steps\n", n);
	assert_true(n > 6);
}

static void what_a_bind_holds_is_left(void **state)
{
	struct told told = {.stop = 0};
	(void)state;
	make_dir("d");
	uint64_t id = take_snapshot("s");
	put("d/f", "later");
	put("d/g", "later");
	put("shown", "");
	OK(linkfs_path_bind(v, NULL, ROOT, "d/f", ROOT, "shown"));
	assert_int_equal(linkfs_path_rollback(v, NULL, ROOT, "d", id, 0, on_step, &told), LINKFS_EBUSY);
	assert_true(told.counts[LINKFS_ROLLBACK_LEFT] == 1 && told.counts[LINKFS_ROLLBACK_REMOVED] == 1);
	same_text("shown", "later");
	assert_int_equal(linkfs_path_rollback(v, NULL, ROOT, "shown", id, 0, on_step, &told), LINKFS_ENOENT);
	told = back("/", id);
	assert_int_equal(told.counts[LINKFS_ROLLBACK_UNBOUND], 1);
	check();
}

static void refused(void **state)
{
	struct linkfs_cred other = {.uid = 1000, .gid = 1000};
	struct linkfs_stat root;
	(void)state;
	put("f", "then");
	make_dir("d");
	put("d/x", "");
	uint64_t id = take_snapshot("s");
	put("g", "");
	OK(linkfs_path_unlink(v, NULL, ROOT, "d/x"));
	OK(linkfs_path_rmdir(v, NULL, ROOT, "d"));
	assert_int_equal(linkfs_path_rollback(v, &other, ROOT, "f", id, 0, NULL, NULL), LINKFS_EPERM);
	assert_int_equal(linkfs_path_rollback(v, NULL, ROOT, "f", id + 1, 0, NULL, NULL), LINKFS_ENOENT);
	assert_int_equal(linkfs_path_rollback(v, NULL, ROOT, "g", id, 0, NULL, NULL), LINKFS_ENOENT);
	assert_int_equal(linkfs_path_rollback(v, NULL, ROOT, "d/x", id, 0, NULL, NULL), LINKFS_ENOENT);
	assert_int_equal(linkfs_path_rollback(v, NULL, ROOT, "f", id, 2, NULL, NULL), LINKFS_EINVAL);
	OK(linkfs_snapshot_root(v, id, 0, &root));
	assert_int_equal(linkfs_path_rollback(v, NULL, root.node, "f", id, 0, NULL, NULL), LINKFS_EROFS);
	uint64_t found = 0;
	OK(linkfs_snapshot_show(v, "s", take_id, &found));
	assert_int_equal(found, id);
	OK(linkfs_snapshot_delete(v, NULL, "s", NULL, NULL, NULL));
	assert_int_equal(linkfs_path_rollback(v, NULL, ROOT, "f", id, 0, NULL, NULL), LINKFS_ENOENT);
	check();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_file_stays_the_same_file, volume_setup, volume_teardown),
		cmocka_unit_test_setup_teardown(one_that_is_gone_is_made_anew, volume_setup, volume_teardown),
		cmocka_unit_test_setup_teardown(what_was_moved_out_stays, volume_setup, volume_teardown),
		cmocka_unit_test_setup_teardown(a_save_by_rename_keeps_its_number, volume_setup, volume_teardown),
		cmocka_unit_test_setup_teardown(names_that_are_exchanged, volume_setup, volume_teardown),
		cmocka_unit_test_setup_teardown(cut_off_at_each_step, volume_setup, volume_teardown),
		cmocka_unit_test_setup_teardown(what_a_bind_holds_is_left, volume_setup, volume_teardown),
		cmocka_unit_test_setup_teardown(refused, volume_setup, volume_teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
