/*
 * test_trees.c - whole trees come back (E9): directories are kept, missing ones come back before what was in them, the last removals
 * of a directory are told from earlier ones, its time is put back; and snapshots keep seeing what is given up.
 */
#include "kept.h"

#include <file.h>
#include <inode.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void missing_directories_come_back_first(void **state)
{
	(void)state;
	struct world w;
	struct linkfs_stat a, b, st;
	struct linkfs_setattr change = {.valid = LINKFS_SET_MODE | LINKFS_SET_UID, .mode = 02750, .uid = 55};
	kept_open(&w, "1d", 0);
	put(&w, "a/", NULL);
	put(&w, "a/b/", NULL);
	put(&w, "a/b/c/", NULL);
	put(&w, "a/b/c/f", "deep");
	put(&w, "a/b/other", "x");
	assert_int_equal(linkfs_node_setattr(w.volume, NULL, at(&w, "a/b"), &change, NULL), 0);
	assert_int_equal(linkfs_node_setxattr(w.volume, NULL, at(&w, "a/b"), "user.k", "v", 1, 0), 0);
	stat_of(&w, "a", &a);
	stat_of(&w, "a/b", &b);
	take(&w, "a/b/c/f");
	take(&w, "a/b/other");
	take(&w, "a/b/c/");
	take(&w, "a/b/");
	take(&w, "a/");
	kept_check(&w);
	world_reopen(&w);
	/* Its path is told though nothing of it is there. */
	int64_t f = lost(&w, "/a/b/c/f");
	assert_true(f != 0);
	const struct deletions *all = list(&w, NULL, NULL);
	for (uint32_t i = 0; i < all->count; i++)
		assert_int_equal(all->row[i].flags, all->row[i].dir == LINKFS_ROOT_INO ? 0 : LINKFS_DELETED_DIR_KEPT);
	assert_int_equal(restore(&w, f), 0);
	expect_content(&w, "a/b/c/f", "deep");
	stat_of(&w, "a/b", &st);
	assert_int_equal(st.ino, b.ino);
	assert_int_equal(st.mode, b.mode);
	assert_int_equal(st.uid, 55);
	assert_int_equal(st.nlink, 3);
	char buf[4];
	size_t len;
	assert_int_equal(linkfs_node_getxattr(w.volume, NULL, b.ino, "user.k", buf, sizeof(buf), &len), 0);
	stat_of(&w, "a", &st);
	assert_int_equal(st.ino, a.ino);
	assert_int_equal(st.nlink, 3);
	assert_int_equal(at(&w, "a/b/other"), 0);
	/* It moved meanwhile: the place is where the directory is. */
	move(&w, "a/b", "moved");
	assert_int_equal(restore(&w, lost(&w, "/moved/other")), 0);
	expect_content(&w, "moved/other", "x");
	kept_check(&w);
	world_close(&w);
}

static void a_taken_or_lost_directory_needs_another(void **state)
{
	(void)state;
	struct world w;
	kept_open(&w, "1d", 0);
	put(&w, "a/", NULL);
	put(&w, "a/f", "one");
	put(&w, "a/g", "two");
	take(&w, "a/f");
	take(&w, "a/g");
	take(&w, "a/");
	uint64_t made = put(&w, "a/", NULL);
	int64_t f = lost(&w, "/a/f");
	assert_int_equal(restore(&w, f), LINKFS_EEXIST);
	/* The directory under another name; then its files find it. */
	struct linkfs_undelete how = {.name = "a-old", .name_len = 5};
	assert_int_equal(linkfs_deleted_restore(w.volume, NULL, lost(&w, "/a"), &how, NULL), 0);
	assert_int_equal(restore(&w, lost(&w, "/a-old/f")), 0);
	expect_content(&w, "a-old/f", "one");
	/* Gone for good. */
	take(&w, "a-old/f");
	take(&w, "a-old/");
	assert_int_equal(linkfs_deleted_purge(w.volume, NULL, lost(&w, "/a-old")), 0);
	const struct deletions *all = list(&w, NULL, NULL);
	assert_int_equal(all->count, 2);
	for (uint32_t i = 0; i < 2; i++) {
		assert_string_equal(all->path[i], "?");
		assert_int_equal(all->row[i].flags, LINKFS_DELETED_DIR_GONE);
	}
	assert_int_equal(restore(&w, all->row[0].time_ns), LINKFS_ESTALE);
	how = (struct linkfs_undelete){.dir = made};
	assert_int_equal(linkfs_deleted_restore(w.volume, NULL, all->row[0].time_ns, &how, NULL), 0);
	expect_content(&w, "a/f", "one");
	/* A directory that somebody stands in is not given back under him. */
	struct linkfs_dir *dir;
	put(&w, "b/", NULL);
	assert_int_equal(linkfs_dir_open(w.volume, NULL, 1, "b", &dir), 0);
	take(&w, "b/");
	assert_int_equal(restore(&w, lost(&w, "/b")), LINKFS_EBUSY);
	linkfs_dir_close(dir);
	assert_int_equal(restore(&w, lost(&w, "/b")), 0);
	kept_check(&w);
	world_close(&w);
}

static int64_t since(struct world *w, uint64_t dir)
{
	int64_t time = 0;
	int r = linkfs_deleted_since(w->volume, dir, &time);
	assert_true(r == 0 || r == LINKFS_ENOENT);
	return r ? 0 : time;
}

static void the_last_removals_are_told_from_earlier_ones(void **state)
{
	(void)state;
	struct world w;
	char name[32];
	kept_open(&w, "1d", 0);
	uint64_t dir = put(&w, "d/", NULL);
	assert_int_equal(since(&w, dir), 0);
	put(&w, "d/a", NULL);
	put(&w, "d/b", NULL);
	put(&w, "d/c", NULL);
	put(&w, "d/s/", NULL);
	take(&w, "d/a");
	assert_int_equal(since(&w, dir), lost(&w, "/d/a"));
	put(&w, "d/new", NULL); /* comes between */
	take(&w, "d/b");
	assert_int_equal(since(&w, dir), lost(&w, "/d/b"));
	take(&w, "d/c");
	assert_int_equal(since(&w, dir), lost(&w, "/d/b"));
	take(&w, "d/s/");
	assert_int_equal(since(&w, dir), lost(&w, "/d/b"));
	/* A change of a file in it, of its mode, of other directories: none of these matters. */
	struct linkfs_setattr change = {.valid = LINKFS_SET_MODE, .mode = 0700};
	assert_int_equal(linkfs_node_setattr(w.volume, NULL, dir, &change, NULL), 0);
	put(&w, "elsewhere", NULL);
	take(&w, "elsewhere");
	take(&w, "d/new");
	assert_int_equal(since(&w, dir), lost(&w, "/d/b"));
	/* What is moved away, and what takes a name, ends it. */
	put(&w, "d/x", NULL);
	put(&w, "d/y", NULL);
	put(&w, "d/z", NULL);
	take(&w, "d/x");
	move(&w, "d/y", "y");
	take(&w, "d/z");
	assert_int_equal(since(&w, dir), lost(&w, "/d/z"));
	put(&w, "d/v", NULL);
	put(&w, "d/u", NULL);
	move(&w, "d/v", "d/u");
	assert_int_equal(since(&w, dir), 0);
	take(&w, "d/u");
	assert_int_equal(since(&w, dir), lost(&w, "/d/u"));
	/* More than one look at the table. */
	for (int i = 0; i < 300; i++) {
		(void)snprintf(name, sizeof(name), "d/n%d", i);
		put(&w, name, NULL);
	}
	for (int i = 0; i < 300; i++) {
		(void)snprintf(name, sizeof(name), "d/n%d", i);
		take(&w, name);
	}
	assert_int_equal(since(&w, dir), lost(&w, "/d/n0"));
	world_close(&w);
}

/* Newest first with LINKFS_UNDELETE_DIR_TIME: the directory's time becomes what it was, when nothing else changed it. */
static void a_directorys_time_is_put_back(void **state)
{
	(void)state;
	struct world w;
	struct linkfs_stat before, st;
	kept_open(&w, "1d", 0);
	put(&w, "d/", NULL);
	put(&w, "d/a", NULL);
	put(&w, "d/s/", NULL);
	put(&w, "d/b", NULL);
	struct linkfs_setattr old = {.valid = LINKFS_SET_MTIME, .mtime_ns = INT64_C(1000000000000000007)};
	assert_int_equal(linkfs_node_setattr(w.volume, NULL, at(&w, "d"), &old, NULL), 0);
	stat_of(&w, "d", &before);
	struct linkfs_undelete how = {.flags = LINKFS_UNDELETE_DIR_TIME};
	take(&w, "d/a");
	take(&w, "d/s/");
	take(&w, "d/b");
	take(&w, "d/");
	assert_int_equal(restore(&w, lost(&w, "/d")), 0);
	stat_of(&w, "d", &st);
	assert_true(st.mtime_ns > before.mtime_ns && st.ctime_ns > before.ctime_ns);
	assert_int_equal(linkfs_deleted_restore(w.volume, NULL, lost(&w, "/d/b"), &how, NULL), 0);
	assert_int_equal(linkfs_deleted_restore(w.volume, NULL, lost(&w, "/d/s"), &how, NULL), 0);
	assert_int_equal(linkfs_deleted_restore(w.volume, NULL, lost(&w, "/d/a"), &how, NULL), 0);
	stat_of(&w, "d", &st);
	assert_int_equal(st.mtime_ns, before.mtime_ns);
	assert_int_equal(st.nlink, before.nlink);
	/* Not without asking, and not when something else changed. */
	take(&w, "d/a");
	assert_int_equal(restore(&w, lost(&w, "/d/a")), 0);
	stat_of(&w, "d", &st);
	assert_true(st.mtime_ns > before.mtime_ns);
	assert_int_equal(linkfs_node_setattr(w.volume, NULL, at(&w, "d"), &old, NULL), 0);
	take(&w, "d/a");
	put(&w, "d/n", NULL);
	stat_of(&w, "d", &before);
	assert_int_equal(linkfs_deleted_restore(w.volume, NULL, lost(&w, "/d/a"), &how, NULL), 0);
	stat_of(&w, "d", &st);
	assert_true(st.mtime_ns > before.mtime_ns);
	world_close(&w);
}

/* What is kept is versioned as what is there: a snapshot's view of a file outlives its being kept and given up. */
static void snapshots_keep_what_is_given_up(void **state)
{
	(void)state;
	struct world w;
	struct lk_fs *fs;
	struct lk_op op;
	struct lk_snapshot s = {.name = {"s", 1}};
	uint8_t got[40 * LK_BLOCK_SIZE];
	size_t n = 0;
	kept_open(&w, "1d", 0);
	fs = lk_volume_fs(w.volume);
	put_blocks(&w, "f", 40, 0x5a);
	put(&w, "small", "inline");
	uint64_t f = at(&w, "f"), small = at(&w, "small");
	assert_int_equal(lk_op_begin(fs, &op, LK_OP_WRITE), 0);
	assert_int_equal(lk_op_end(&op, lk_txn_snapshot_add(&op, &s)), 0);
	take(&w, "f");
	take(&w, "small");
	assert_int_equal(kept_check(&w), 40);
	assert_int_equal(linkfs_deleted_purge(w.volume, NULL, lost(&w, "/f")), 0);
	assert_int_equal(linkfs_deleted_purge(w.volume, NULL, lost(&w, "/small")), 0);
	assert_int_equal(kept_check(&w), 40); /* history names them */
	assert_int_equal(lk_file_read(fs, s.epoch, f, 0, got, sizeof(got), &n), 0);
	assert_int_equal(n, sizeof(got));
	for (size_t i = 0; i < n; i++)
		assert_int_equal(got[i], 0x5a);
	assert_int_equal(lk_file_read(fs, s.epoch, small, 0, got, sizeof(got), &n), 0);
	assert_memory_equal(got, "inline", 6);
	bool more = true;
	assert_int_equal(lk_op_begin(fs, &op, LK_OP_WRITE), 0);
	assert_int_equal(lk_op_end(&op, lk_txn_snapshot_mark(&op, s.epoch)), 0);
	while (more) {
		assert_int_equal(lk_op_begin(fs, &op, LK_OP_WRITE | LK_OP_FREES | LK_OP_BULK), 0);
		assert_int_equal(lk_op_end(&op, lk_txn_snapshot_drop(&op, s.epoch, 50, &(uint32_t){0}, &more)), 0);
	}
	assert_int_equal(kept_check(&w), 0);
	world_close(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(missing_directories_come_back_first),
		cmocka_unit_test(a_taken_or_lost_directory_needs_another),
		cmocka_unit_test(the_last_removals_are_told_from_earlier_ones),
		cmocka_unit_test(a_directorys_time_is_put_back),
		cmocka_unit_test(snapshots_keep_what_is_given_up),
	};
	return cmocka_run_group_tests_name("undelete-trees", tests, NULL, NULL);
}
