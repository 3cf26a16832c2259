/*
 * test_rules.c - deleted files are kept, hidden, listed, given back and given up (E9): the rules of linkfs.h, one by one.
 */
#include "kept.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

static void properties_are_typed(void **state)
{
	(void)state;
	static const char *const good[][2] = {{"7d", "7d"},    {"168h", "7d"},      {"1w", "7d"}, {"90m", "90m"},
					      {"3600s", "1h"}, {"1d12h", "36h"},    {"0", "off"}, {"off", "off"},
					      {"0s", "off"},   {"36500d", "36500d"}};
	static const char *const bad[] = {
		"", "7", "d", "-7d", "7x", "7d ", "7 d", "1.5d", "36501d", "99999999999999999999d", "on"};
	struct linkfs_message why = {""};
	struct linkfs_property property = {0};
	char value[64];
	struct world w;
	world_open(&w, 0);
	assert_int_equal(linkfs_property_known(0, &property), 0);
	assert_string_equal(property.key, LINKFS_KEEP_DELETED);
	assert_string_equal(property.initial, "off");
	assert_int_equal(linkfs_property_known(4, &property), LINKFS_ENOENT);
	assert_int_equal(linkfs_volume_get_property(w.volume, "keep-deleted", value, sizeof(value)), 0);
	assert_string_equal(value, "off");
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		assert_int_equal(linkfs_volume_set_property(w.volume, NULL, "keep-deleted", good[i][0], &why), 0);
		assert_int_equal(linkfs_volume_get_property(w.volume, "keep-deleted", value, sizeof(value)), 0);
		assert_string_equal(value, good[i][1]);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		why.text[0] = 0;
		if (linkfs_volume_set_property(w.volume, NULL, "keep-deleted", bad[i], &why) != LINKFS_EINVAL)
			fail_msg("'%s' was taken", bad[i]);
		assert_non_null(strstr(why.text, "12h"));
	}
	assert_int_equal(linkfs_volume_set_property(w.volume, NULL, "keep", "7d", &why), LINKFS_EINVAL);
	assert_non_null(strstr(why.text, "keep-deleted"));
	assert_int_equal(linkfs_volume_get_property(w.volume, "keep", value, sizeof(value)), LINKFS_EINVAL);
	assert_int_equal(linkfs_volume_get_property(w.volume, "keep-deleted", value, 3), LINKFS_ERANGE);
	/* It stays, and is the owner's to change: of the root directory, whoever that is. */
	kept_set(&w, "12h");
	world_reopen(&w);
	assert_int_equal(linkfs_volume_get_property(w.volume, "keep-deleted", value, sizeof(value)), 0);
	assert_string_equal(value, "12h");
	struct linkfs_info info;
	assert_int_equal(linkfs_volume_info(w.volume, &info), 0);
	assert_int_equal(info.keep_deleted_ns, INT64_C(43200000000000));
	struct linkfs_cred user = {.uid = 1000, .gid = 1000};
	assert_int_equal(linkfs_volume_set_property(w.volume, &user, "keep-deleted", "off", &why), LINKFS_EPERM);
	struct linkfs_setattr own = {.valid = LINKFS_SET_UID, .uid = 1000};
	assert_int_equal(linkfs_node_setattr(w.volume, NULL, LINKFS_ROOT_INO, &own, NULL), 0);
	assert_int_equal(linkfs_volume_set_property(w.volume, &user, "keep-deleted", "1h", &why), 0);
	world_close(&w);
}

static void a_volume_is_made_with_properties(void **state)
{
	(void)state;
	struct linkfs_message why = {""};
	char path[4096], value[64], *dir = lk_test_mkdir();
	const char *words[] = {"keep-deleted=3d", "keep-deleted=48h"};
	struct linkfs_create_options options = {.properties = words, .property_count = 2};
	struct linkfs_volume *volume;
	(void)snprintf(path, sizeof(path), "%s/v", dir);
	words[1] = "colour=blue";
	assert_int_equal(linkfs_volume_create(path, &options, &why), LINKFS_EINVAL);
	assert_non_null(strstr(why.text, "colour"));
	words[1] = "keep-deleted";
	assert_int_equal(linkfs_volume_create(path, &options, &why), LINKFS_EINVAL);
	assert_int_not_equal(access(path, F_OK), 0); /* nothing is left of it */
	words[1] = "keep-deleted=48h";
	assert_int_equal(linkfs_volume_create(path, &options, &why), 0);
	assert_int_equal(linkfs_volume_open(path, NULL, &volume, &why), 0);
	assert_int_equal(linkfs_volume_get_property(volume, "keep-deleted", value, sizeof(value)), 0);
	assert_string_equal(value, "2d");
	assert_int_equal(linkfs_volume_close(volume), 0);
	lk_test_rmdir(dir);
}

static void off_keeps_nothing(void **state)
{
	(void)state;
	struct world w;
	world_open(&w, 0);
	put(&w, "f", "content");
	put(&w, "d/", NULL);
	take(&w, "f");
	take(&w, "d/");
	assert_int_equal(list(&w, NULL, NULL)->count, 0);
	assert_int_equal(kept_inodes(&w), 0);
	kept_check(&w);
	world_close(&w);
}

/* unlink, rename over, a symlink put in a file's place, rmdir; files, symlinks, special files, directories. */
static void every_way_of_losing_a_name_keeps(void **state)
{
	(void)state;
	struct world w;
	struct linkfs_stat before[5], after;
	static const char *const paths[] = {"/unlinked", "/replaced", "/to-symlink", "/fifo", "/dir"};
	kept_open(&w, "1d", 0);
	put(&w, "unlinked", "one");
	put(&w, "replaced", "two");
	put(&w, "to-symlink", "three");
	put(&w, "new", "new");
	put(&w, "dir/", NULL);
	struct linkfs_make fifo = {.mode = S_IFIFO | 0640};
	assert_int_equal(linkfs_path_make(w.volume, NULL, 1, "fifo", &fifo, NULL), 0);
	assert_int_equal(linkfs_path_symlink(w.volume, NULL, "target", 1, "link", NULL), 0);
	struct linkfs_setattr change = {.valid = LINKFS_SET_MODE | LINKFS_SET_UID | LINKFS_SET_MTIME,
					.mode = 0604,
					.uid = 77,
					.mtime_ns = 123456789};
	assert_int_equal(linkfs_node_setattr(w.volume, NULL, at(&w, "unlinked"), &change, NULL), 0);
	assert_int_equal(linkfs_node_setxattr(w.volume, NULL, at(&w, "unlinked"), "user.colour", "blue", 4, 0), 0);
	for (int i = 0; i < 5; i++)
		stat_of(&w, paths[i], &before[i]);
	uint64_t link = at(&w, "link");
	take(&w, "unlinked");
	move(&w, "new", "replaced");
	assert_int_equal(linkfs_path_replace_symlink(w.volume, NULL, "x", 1, "to-symlink", NULL), 0);
	take(&w, "fifo");
	take(&w, "dir/");
	take(&w, "link");
	const struct deletions *all = list(&w, NULL, NULL);
	assert_int_equal(all->count, 6);
	assert_string_equal(all->path[0], "/link");
	for (int i = 0; i < 5; i++) {
		const struct linkfs_deleted *d = &all->row[5 - i];
		assert_string_equal(all->path[5 - i], paths[i]);
		assert_int_equal(d->ino, before[i].ino);
		assert_int_equal(d->dir, LINKFS_ROOT_INO);
		assert_int_equal(d->flags, i == 1 || i == 2 ? LINKFS_DELETED_REPLACED : 0);
		assert_int_equal(d->expires_ns - d->time_ns, INT64_C(86400000000000));
		assert_int_equal(d->stat.nlink, 0);
		assert_int_equal(d->stat.mode, before[i].mode);
		assert_int_equal(d->stat.size, before[i].size);
		assert_int_equal(d->stat.uid, before[i].uid);
	}
	kept_check(&w);
	world_reopen(&w);
	move(&w, "replaced", "newer");
	take(&w, "to-symlink");
	for (int i = 0; i < 5; i++) {
		int64_t time = 0;
		all = list(&w, NULL, NULL);
		for (uint32_t k = 0; k < all->count; k++)
			time = all->row[k].ino == before[i].ino ? all->row[k].time_ns : time;
		assert_int_equal(linkfs_deleted_restore(w.volume, NULL, time, NULL, &after), 0);
		assert_int_equal(after.ino, before[i].ino);
		stat_of(&w, paths[i], &after);
		assert_int_equal(after.ino, before[i].ino);
		assert_int_equal(after.nlink, before[i].nlink);
		assert_int_equal(after.mode, before[i].mode);
		assert_int_equal(after.uid, before[i].uid);
		assert_int_equal(after.mtime_ns, before[i].mtime_ns);
		assert_int_equal(after.btime_ns, before[i].btime_ns);
		assert_int_equal(restore(&w, time), LINKFS_ENOENT);
	}
	expect_content(&w, "unlinked", "one");
	expect_content(&w, "replaced", "two");
	expect_content(&w, "to-symlink", "three");
	char buf[64];
	size_t len = 0;
	assert_int_equal(
		linkfs_node_getxattr(w.volume, NULL, at(&w, "unlinked"), "user.colour", buf, sizeof(buf), &len), 0);
	assert_memory_equal(buf, "blue", 4);
	assert_int_equal(restore(&w, lost(&w, "/link")), 0);
	assert_int_equal(at(&w, "link"), link);
	assert_int_equal(linkfs_node_readlink(w.volume, link, buf, sizeof(buf), &len), 0);
	assert_memory_equal(buf, "target", 6);
	assert_int_equal(kept_inodes(&w), 1); /* the symlink "x" */
	kept_check(&w);
	world_close(&w);
}

static void a_kept_file_is_hidden(void **state)
{
	(void)state;
	struct world w;
	struct linkfs_stat st;
	struct linkfs_setattr change = {.valid = LINKFS_SET_SIZE};
	char buf[16];
	size_t n;
	kept_open(&w, "1d", 0);
	uint64_t ino = put(&w, "f", "secret"), dir = put(&w, "d/", NULL);
	take(&w, "f");
	take(&w, "d/");
	for (int round = 0; round < 2; round++) {
		assert_int_equal(linkfs_node_getattr(w.volume, ino, &st), LINKFS_ESTALE);
		assert_int_equal(linkfs_node_hold(w.volume, ino), LINKFS_ESTALE);
		assert_int_equal(linkfs_node_read(w.volume, ino, 0, buf, sizeof(buf), &n), LINKFS_ESTALE);
		assert_int_equal(linkfs_node_write(w.volume, NULL, ino, 0, "x", 1, 0, &n, NULL), LINKFS_ESTALE);
		assert_int_equal(linkfs_node_setattr(w.volume, NULL, ino, &change, NULL), LINKFS_ESTALE);
		assert_int_equal(linkfs_node_listxattr(w.volume, NULL, ino, buf, sizeof(buf), &n), LINKFS_ESTALE);
		assert_int_equal(linkfs_node_link(w.volume, NULL, ino, 1, "g", 1, 0, &st), LINKFS_ESTALE);
		assert_int_equal(linkfs_node_allocate(w.volume, NULL, ino, 0, 0, 1), LINKFS_ESTALE);
		assert_int_equal(linkfs_node_lookup(w.volume, NULL, dir, ".", 1, LINKFS_HOLD, &st), LINKFS_ESTALE);
		assert_int_equal(linkfs_node_access(w.volume, NULL, dir, 1), LINKFS_ESTALE);
		assert_int_equal(
			linkfs_node_make(w.volume, NULL, dir, "x", 1, &(struct linkfs_make){.mode = 0644}, 0, &st),
			LINKFS_ESTALE);
		world_reopen(&w);
	}
	world_close(&w);
}

/* Who has it open goes on; what he writes is kept. Given up meanwhile, it goes with his last hold. */
static void an_open_file_is_kept_as_it_is_closed(void **state)
{
	(void)state;
	struct world w;
	struct linkfs_stat st;
	struct linkfs_file *file;
	size_t n;
	kept_open(&w, "1d", 0);
	put(&w, "f", "before");
	assert_int_equal(linkfs_file_open(w.volume, NULL, 1, "f", LINKFS_O_READ | LINKFS_O_WRITE, 0, &file), 0);
	take(&w, "f");
	assert_int_equal(linkfs_file_write(file, 0, "after!", 6, &n), 0);
	assert_int_equal(linkfs_file_stat(file, &st), 0);
	assert_int_equal(st.nlink, 0);
	/* Larger than it was when its name went: the counters follow. */
	assert_int_equal(linkfs_file_truncate(file, 5 * LK_BLOCK_SIZE), 0);
	assert_int_equal(linkfs_node_allocate(w.volume, NULL, st.ino, 0, 0, 5 * LK_BLOCK_SIZE), 0);
	kept_check(&w);
	assert_int_equal(linkfs_file_truncate(file, 6), 0);
	kept_check(&w);
	linkfs_file_close(file);
	kept_check(&w);
	assert_int_equal(restore(&w, lost(&w, "/f")), 0);
	expect_content(&w, "f", "after!");
	/* Given back while it is open: one file. */
	assert_int_equal(linkfs_file_open(w.volume, NULL, 1, "f", LINKFS_O_READ | LINKFS_O_WRITE, 0, &file), 0);
	take(&w, "f");
	assert_int_equal(restore(&w, lost(&w, "/f")), 0);
	assert_int_equal(linkfs_file_write(file, 0, "thrice", 6, &n), 0);
	linkfs_file_close(file);
	expect_content(&w, "f", "thrice");
	/* Given up while it is open. */
	assert_int_equal(linkfs_file_open(w.volume, NULL, 1, "f", LINKFS_O_READ | LINKFS_O_WRITE, 0, &file), 0);
	take(&w, "f");
	assert_int_equal(linkfs_deleted_purge(w.volume, NULL, lost(&w, "/f")), 0);
	assert_int_equal(kept_inodes(&w), 0);
	char buf[8] = {0};
	assert_int_equal(linkfs_file_read(file, 0, buf, 6, &n), 0);
	assert_string_equal(buf, "thrice");
	kept_check(&w);
	uint64_t ino = linkfs_file_ino(file);
	linkfs_file_close(file);
	struct lk_op op;
	struct lk_inode inode;
	assert_int_equal(lk_op_begin(lk_volume_fs(w.volume), &op, 0), 0);
	assert_int_equal(lk_op_end(&op, lk_inode_get_any(&op, ino, &inode)), LINKFS_ESTALE);
	kept_check(&w);
	world_close(&w);
}

static void temporary_files_are_not_kept(void **state)
{
	(void)state;
	struct world w;
	struct linkfs_file *file;
	kept_open(&w, "1d", 0);
	assert_int_equal(linkfs_file_open(w.volume, NULL, 1, ".", LINKFS_O_WRITE | LINKFS_O_TMPFILE, 0600, &file), 0);
	linkfs_file_close(file);
	assert_int_equal(kept_inodes(&w), 0);
	assert_int_equal(list(&w, NULL, NULL)->count, 0);
	/* With a name it is a file as any. */
	assert_int_equal(linkfs_file_open(w.volume, NULL, 1, ".", LINKFS_O_WRITE | LINKFS_O_TMPFILE, 0600, &file), 0);
	assert_int_equal(linkfs_file_link(file, NULL, 1, "named"), 0);
	linkfs_file_close(file);
	take(&w, "named");
	assert_int_equal(kept_inodes(&w), 1);
	kept_check(&w);
	world_close(&w);
}

static void every_lost_name_can_come_back(void **state)
{
	(void)state;
	struct world w;
	struct linkfs_stat st;
	struct linkfs_deleted_query unnamed = {.flags = 0};
	kept_open(&w, "1d", 0);
	uint64_t ino = put(&w, "a", "shared");
	tie(&w, "a", "b");
	tie(&w, "a", "c");
	take(&w, "a");
	/* The file is there: only who asks for names sees one. */
	assert_int_equal(kept_inodes(&w), 0);
	assert_int_equal(list(&w, NULL, &unnamed)->count, 0);
	assert_int_equal(list(&w, NULL, NULL)->count, 1);
	take(&w, "b");
	take(&w, "c");
	assert_int_equal(kept_inodes(&w), 1);
	assert_int_equal(list(&w, NULL, &unnamed)->count, 3);
	struct linkfs_deleted_query by_ino = {.ino = ino, .flags = LINKFS_DELETED_NAMED};
	assert_int_equal(list(&w, NULL, &by_ino)->count, 3);
	/* The oldest name first: any of them ends the keeping. */
	assert_int_equal(restore(&w, lost(&w, "/a")), 0);
	assert_int_equal(kept_inodes(&w), 0);
	expect_content(&w, "a", "shared");
	assert_int_equal(restore(&w, lost(&w, "/c")), 0);
	stat_of(&w, "c", &st);
	assert_int_equal(st.ino, ino);
	assert_int_equal(st.nlink, 2);
	/* A row given up: the file stays while it has a name or a row. */
	take(&w, "a");
	take(&w, "c");
	assert_int_equal(linkfs_deleted_purge(w.volume, NULL, lost(&w, "/c")), 0);
	assert_int_equal(kept_inodes(&w), 1);
	assert_int_equal(linkfs_deleted_purge(w.volume, NULL, lost(&w, "/b")), 0);
	assert_int_equal(kept_inodes(&w), 1);
	assert_int_equal(restore(&w, lost(&w, "/a")), 0);
	expect_content(&w, "a", "shared");
	take(&w, "a");
	assert_int_equal(linkfs_deleted_purge(w.volume, NULL, lost(&w, "/a")), 0);
	assert_int_equal(kept_inodes(&w), 0);
	assert_int_equal(list(&w, NULL, NULL)->count, 0);
	kept_check(&w);
	world_close(&w);
}

static void nothing_is_overwritten(void **state)
{
	(void)state;
	struct world w;
	kept_open(&w, "1d", 0);
	uint64_t old = put(&w, "f", "old");
	uint64_t dir = put(&w, "d/", NULL);
	take(&w, "f");
	put(&w, "f", "new");
	int64_t time = lost(&w, "/f");
	assert_int_equal(restore(&w, time), LINKFS_EEXIST);
	expect_content(&w, "f", "new");
	struct linkfs_undelete how = {.name = "f.old", .name_len = 5};
	struct linkfs_undelete bad[] = {{.name = "a/b", .name_len = 3},
					{.name = "..", .name_len = 2},
					{.name = ".", .name_len = 1},
					{.name = "", .name_len = 0},
					{.flags = 64}};
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]) - 2; i++)
		assert_int_equal(linkfs_deleted_restore(w.volume, NULL, time, &bad[i], NULL), LINKFS_EINVAL);
	assert_int_equal(linkfs_deleted_restore(w.volume, NULL, time, &bad[4], NULL), LINKFS_EINVAL);
	struct linkfs_undelete to_file = {.dir = at(&w, "f")};
	assert_int_equal(linkfs_deleted_restore(w.volume, NULL, time, &to_file, NULL), LINKFS_ENOTDIR);
	assert_int_equal(linkfs_deleted_restore(w.volume, NULL, time, &how, NULL), 0);
	expect_content(&w, "f.old", "old");
	take(&w, "f.old");
	how = (struct linkfs_undelete){.dir = dir};
	assert_int_equal(linkfs_deleted_restore(w.volume, NULL, lost(&w, "/f.old"), &how, NULL), 0);
	assert_int_equal(at(&w, "d/f.old"), old);
	/* A name that the file has again is no other's: only the memory of its loss goes. */
	tie(&w, "d/f.old", "twice");
	take(&w, "twice");
	tie(&w, "d/f.old", "twice");
	assert_int_equal(restore(&w, lost(&w, "/twice")), 0);
	assert_int_equal(lost(&w, "/twice"), 0);
	kept_check(&w);
	world_close(&w);
}

static void owners_see_and_restore_their_own(void **state)
{
	(void)state;
	struct world w;
	struct linkfs_cred ann = {.uid = 1000, .gid = 1000}, bob = {.uid = 1001, .gid = 1001};
	struct linkfs_setattr own = {.valid = LINKFS_SET_UID, .uid = 1000};
	kept_open(&w, "1d", 0);
	uint64_t dir = put(&w, "d/", NULL), hidden = put(&w, "d/h/", NULL);
	put(&w, "d/f", "ann's");
	put(&w, "d/h/g", "ann's too");
	assert_int_equal(linkfs_node_setattr(w.volume, NULL, at(&w, "d/f"), &own, NULL), 0);
	assert_int_equal(linkfs_node_setattr(w.volume, NULL, at(&w, "d/h/g"), &own, NULL), 0);
	take(&w, "d/f");
	take(&w, "d/h/g");
	int64_t f = lost(&w, "/d/f"), g = lost(&w, "/d/h/g");
	assert_int_equal(list(&w, &ann, NULL)->count, 2);
	assert_int_equal(list(&w, &bob, NULL)->count, 0);
	assert_int_equal(linkfs_deleted_restore(w.volume, &bob, f, NULL, NULL), LINKFS_EPERM);
	assert_int_equal(linkfs_deleted_purge(w.volume, &bob, f), LINKFS_EPERM);
	/* The owner needs the directory as for any new name: to write and to search it. */
	assert_int_equal(linkfs_deleted_restore(w.volume, &ann, f, NULL, NULL), LINKFS_EACCES);
	struct linkfs_setattr open = {.valid = LINKFS_SET_MODE, .mode = 0777},
			      closed = {.valid = LINKFS_SET_MODE, .mode = 0700};
	assert_int_equal(linkfs_node_setattr(w.volume, NULL, dir, &open, NULL), 0);
	assert_int_equal(linkfs_deleted_restore(w.volume, &ann, f, NULL, NULL), 0);
	/* What may not be searched is not told. */
	assert_int_equal(linkfs_node_setattr(w.volume, NULL, hidden, &closed, NULL), 0);
	const struct deletions *all = list(&w, &ann, NULL);
	assert_int_equal(all->count, 1);
	assert_string_equal(all->path[0], "?");
	assert_string_equal(all->name[0], "g");
	assert_int_equal(linkfs_deleted_purge(w.volume, &ann, g), 0);
	/* A directory of another's comes back for root, or for him. */
	put(&w, "d/s/", NULL);
	put(&w, "d/s/f", "x");
	assert_int_equal(linkfs_node_setattr(w.volume, NULL, at(&w, "d/s/f"), &own, NULL), 0);
	take(&w, "d/s/f");
	take(&w, "d/s/");
	assert_int_equal(linkfs_deleted_restore(w.volume, &ann, lost(&w, "/d/s/f"), NULL, NULL), LINKFS_EPERM);
	assert_int_equal(at(&w, "d/s"), 0);
	assert_int_equal(restore(&w, lost(&w, "/d/s/f")), 0);
	kept_check(&w);
	world_close(&w);
}

static int stop_at_third(void *arg, const struct linkfs_deleted *d)
{
	(void)d;
	return ++*(int *)arg == 3;
}

static void a_list_goes_on_where_it_stopped(void **state)
{
	(void)state;
	struct world w;
	char name[16];
	kept_open(&w, "1d", 0);
	uint64_t dir = put(&w, "d/", NULL);
	for (int i = 0; i < 200; i++) {
		(void)snprintf(name, sizeof(name), i % 2 ? "d/%d" : "%d", i);
		put(&w, name, NULL);
		take(&w, name);
	}
	assert_int_equal(list(&w, NULL, NULL)->count, 200);
	struct linkfs_deleted_query in = {.dir = dir}, one = {.dir = dir, .name = "7", .name_len = 1},
				    below = {.dir = LINKFS_ROOT_INO, .flags = LINKFS_DELETED_BELOW},
				    wrong = {.name = "7", .name_len = 1};
	assert_int_equal(list(&w, NULL, &in)->count, 100);
	assert_int_equal(list(&w, NULL, &one)->count, 1);
	assert_int_equal(list(&w, NULL, &below)->count, 200);
	int64_t middle = list(&w, NULL, &one)->row[0].time_ns;
	struct linkfs_deleted_query since = {.since_ns = middle};
	assert_int_equal(list(&w, NULL, &since)->count, 193);
	int calls = 0;
	int64_t cursor = 0;
	assert_int_equal(linkfs_deleted_list(w.volume, NULL, &wrong, &cursor, stop_at_third, &calls), LINKFS_EINVAL);
	assert_int_equal(linkfs_deleted_list(w.volume, NULL, &below, &cursor, stop_at_third, &calls), 0);
	assert_int_equal(calls, 3);
	/* Two were read, so 198 are left; rows that go meanwhile do not disturb. */
	assert_int_equal(linkfs_deleted_purge(w.volume, NULL, cursor), 0);
	uint32_t left = 0;
	while (cursor) {
		calls = 3;
		assert_int_equal(linkfs_deleted_list(w.volume, NULL, &below, &cursor, stop_at_third, &calls), 0);
		left += (uint32_t)calls - 3;
	}
	assert_int_equal(left, 198);
	world_close(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(properties_are_typed),
		cmocka_unit_test(a_volume_is_made_with_properties),
		cmocka_unit_test(off_keeps_nothing),
		cmocka_unit_test(every_way_of_losing_a_name_keeps),
		cmocka_unit_test(a_kept_file_is_hidden),
		cmocka_unit_test(an_open_file_is_kept_as_it_is_closed),
		cmocka_unit_test(temporary_files_are_not_kept),
		cmocka_unit_test(every_lost_name_can_come_back),
		cmocka_unit_test(nothing_is_overwritten),
		cmocka_unit_test(owners_see_and_restore_their_own),
		cmocka_unit_test(a_list_goes_on_where_it_stopped),
	};
	return cmocka_run_group_tests_name("undelete-rules", tests, NULL, NULL);
}
