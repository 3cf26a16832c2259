/*
 * test_snapshot.c - the rules of snapshots (E1, E2; linkfs_snapshots.h).
 */
#include "one_volume.h"

#include <linkfs_links.h>
#include <linkfs_snapshots.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static int64_t now_ns(void)
{
	struct timespec t;
	(void)clock_gettime(CLOCK_REALTIME, &t);
	return t.tv_sec * INT64_C(1000000000) + t.tv_nsec;
}

static int create(const char *name)
{
	return linkfs_snapshot_create(v, NULL, &(struct linkfs_snapshot_new){.name = name}, NULL);
}

static int take_id(void *arg, const struct linkfs_snapshot *s)
{
	*(uint64_t *)arg = s->id;
	return 0;
}

static uint64_t id_of(const char *name)
{
	uint64_t id = 0;
	OK(linkfs_snapshot_show(v, name, take_id, &id));
	return id;
}

static uint64_t root_of(const char *name)
{
	struct linkfs_stat st;
	OK(linkfs_snapshot_root(v, id_of(name), 0, &st));
	return st.node;
}

static uint64_t node_in(uint64_t at, const char *path)
{
	struct linkfs_stat st;
	OK(linkfs_path_stat(v, NULL, at, path, LINKFS_NOFOLLOW, &st));
	return st.ino;
}

static void nothing_can_be_changed(void **state)
{
	struct linkfs_setattr set = {.valid = LINKFS_SET_MODE, .mode = 0600};
	struct linkfs_make how = {.mode = S_IFREG | 0644};
	struct linkfs_file *file;
	struct linkfs_stat st;
	(void)state;
	put("f", "then");
	make_dir("d");
	put("d/g", "");
	OK(create("s"));
	uint64_t s = root_of("s"), f = node_in(s, "f"), d = node_in(s, "d");
	assert_true(f >> 48 && f >> 48 != 0xffff);
	assert_int_equal(f & 0xffffffffffff, status("f").ino);
	assert_int_equal(linkfs_path_make(v, NULL, s, "new", &how, NULL), LINKFS_EROFS);
	assert_int_equal(linkfs_path_symlink(v, NULL, "x", s, "new", NULL), LINKFS_EROFS);
	assert_int_equal(linkfs_path_unlink(v, NULL, s, "f"), LINKFS_EROFS);
	assert_int_equal(linkfs_path_rmdir(v, NULL, s, "d"), LINKFS_EROFS);
	assert_int_equal(linkfs_path_rename(v, NULL, s, "f", s, "g", 0), LINKFS_EROFS);
	assert_int_equal(linkfs_path_link(v, NULL, s, "f", s, "g", 0), LINKFS_EROFS);
	assert_int_equal(linkfs_path_bind(v, NULL, s, "f", s, "d/g"), LINKFS_EROFS);
	assert_int_equal(linkfs_path_track(v, NULL, s, "f", s, "t", 0, NULL), LINKFS_EROFS);
	assert_int_equal(linkfs_path_clone(v, NULL, s, "f", s, "c", 0, NULL), LINKFS_EROFS);
	assert_int_equal(linkfs_path_unshare(v, NULL, s, "f", NULL), LINKFS_EROFS);
	assert_int_equal(linkfs_path_setattr(v, NULL, s, "f", 0, &set), LINKFS_EROFS);
	assert_int_equal(linkfs_node_setattr(v, NULL, f, &set, NULL), LINKFS_EROFS);
	set = (struct linkfs_setattr){.valid = LINKFS_SET_SIZE};
	assert_int_equal(linkfs_node_setattr(v, NULL, f, &set, NULL), LINKFS_EROFS);
	assert_int_equal(linkfs_node_write(v, NULL, f, 0, "x", 1, 0, NULL, NULL), LINKFS_EROFS);
	assert_int_equal(linkfs_node_allocate(v, NULL, f, 0, 0, 4096), LINKFS_EROFS);
	assert_int_equal(linkfs_node_setxattr(v, NULL, f, "user.a", "x", 1, 0), LINKFS_EROFS);
	assert_int_equal(linkfs_node_set_flags(v, NULL, f, LINKFS_INO_KEEP_LINKS, LINKFS_INO_KEEP_LINKS, &st),
			 LINKFS_EROFS);
	assert_int_equal(linkfs_node_access(v, NULL, f, 2), LINKFS_EROFS);
	OK(linkfs_node_access(v, NULL, f, 4));
	assert_int_equal(linkfs_file_open(v, NULL, s, "f", LINKFS_O_WRITE, 0, &file), LINKFS_EROFS);
	assert_int_equal(linkfs_file_open(v, NULL, s, "n", LINKFS_O_WRITE | LINKFS_O_CREATE, 0644, &file),
			 LINKFS_EROFS);
	assert_int_equal(linkfs_node_make(v, NULL, d, "n", 1, &how, 0, &st), LINKFS_EROFS);
	assert_int_equal(linkfs_node_unlink(v, NULL, d, "g", 1), LINKFS_EROFS);
	assert_int_equal(linkfs_node_rename(v, NULL, d, "g", 1, d, "h", 1, 0), LINKFS_EROFS);
	/* From the one to the other. */
	assert_int_equal(linkfs_path_link(v, NULL, s, "f", ROOT, "g", 0), LINKFS_EXDEV);
	assert_int_equal(linkfs_path_link(v, NULL, ROOT, "f", s, "g", 0), LINKFS_EXDEV);
	assert_int_equal(linkfs_path_rename(v, NULL, s, "f", ROOT, "g", 0), LINKFS_EXDEV);
	assert_int_equal(linkfs_path_rename(v, NULL, ROOT, "f", s, "g", 0), LINKFS_EXDEV);
	assert_int_equal(linkfs_path_bind(v, NULL, s, "d", ROOT, "d"), LINKFS_EXDEV);
	assert_int_equal(linkfs_path_track(v, NULL, s, "f", ROOT, "t", 0, NULL), LINKFS_EXDEV);
	assert_int_equal(linkfs_node_link(v, NULL, f, ROOT, "g", 1, 0, &st), LINKFS_EXDEV);
	assert_int_equal(linkfs_node_rename(v, NULL, d, "g", 1, ROOT, "g", 1, 0), LINKFS_EXDEV);
	OK(create("t"));
	assert_int_equal(linkfs_path_rename(v, NULL, s, "f", root_of("t"), "g", 0), LINKFS_EXDEV);
	check();
}

static void names_and_notes(void **state)
{
	char name[300], note[5000];
	struct linkfs_cred other = {.uid = 1000, .gid = 1000};
	const struct linkfs_snapshot_new noted = {.name = "s", .note = note}, mine = {.name = "mine"};
	uint64_t id = 0;
	(void)state;
	memset(name, 'n', sizeof(name));
	name[256] = 0;
	assert_int_equal(create(name), LINKFS_ENAMETOOLONG);
	name[255] = 0;
	OK(create(name));
	assert_int_equal(create(name), LINKFS_EEXIST);
	assert_int_equal(create(""), LINKFS_EINVAL);
	assert_int_equal(create("."), LINKFS_EINVAL);
	assert_int_equal(create(".."), LINKFS_EINVAL);
	assert_int_equal(create("a/b"), LINKFS_EINVAL);
	OK(create("\xff odd\n"));
	memset(note, 'x', sizeof(note));
	note[4096] = 0;
	assert_int_equal(linkfs_snapshot_create(v, NULL, &noted, NULL), LINKFS_ENAMETOOLONG);
	note[4095] = 0;
	OK(linkfs_snapshot_create(v, NULL, &noted, &id));
	assert_int_equal(id, id_of("s"));
	assert_int_equal(linkfs_snapshot_rename(v, NULL, "s", "\xff odd\n"), LINKFS_EEXIST);
	assert_int_equal(linkfs_snapshot_rename(v, NULL, "s", "a/b"), LINKFS_EINVAL);
	assert_int_equal(linkfs_snapshot_rename(v, NULL, "none", "t"), LINKFS_ENOENT);
	OK(linkfs_snapshot_rename(v, NULL, "s", "s"));
	OK(linkfs_snapshot_rename(v, NULL, "s", "t"));
	assert_int_equal(id_of("t"), id);
	assert_int_equal(linkfs_snapshot_create(v, &other, &mine, NULL), LINKFS_EPERM);
	assert_int_equal(linkfs_snapshot_rename(v, &other, "t", "mine"), LINKFS_EPERM);
	assert_int_equal(linkfs_snapshot_delete(v, &other, "t", NULL, NULL, NULL), LINKFS_EPERM);
	assert_int_equal(linkfs_snapshot_delete(v, NULL, "none", NULL, NULL, NULL), LINKFS_ENOENT);
	reopen();
	assert_int_equal(id_of("t"), id);
	OK(linkfs_snapshot_delete(v, NULL, "t", NULL, NULL, NULL));
	assert_int_equal(linkfs_snapshot_show(v, "t", take_id, &id), LINKFS_ENOENT);
	OK(create("t")); /* the name is free; the number is another */
	assert_true(id_of("t") > id);
	check();
}

static int take_tags(void *arg, const struct linkfs_snapshot *s)
{
	assert_int_equal(strlen(s->tags), s->tags_len);
	strcpy(arg, s->tags);
	return 0;
}

static const char *tags_of(const char *name)
{
	static char tags[1025];
	OK(linkfs_snapshot_show(v, name, take_tags, tags));
	return tags;
}

static int create_tagged(const char *name, const char *tags)
{
	return linkfs_snapshot_create(v, NULL, &(struct linkfs_snapshot_new){.name = name, .tags = tags}, NULL);
}

static int tag(const char *add, const char *remove)
{
	return linkfs_snapshot_tag(v, NULL, "s", add, remove);
}

static void tags(void **state)
{
	struct linkfs_cred other = {.uid = 1000, .gid = 1000};
	char many[1025], word[66];
	(void)state;
	OK(create("none"));
	assert_string_equal(tags_of("none"), "");
	OK(create_tagged("s", "b,a,b,B,a-long.one:of/them"));
	assert_string_equal(tags_of("s"), "B,a,a-long.one:of/them,b");
	reopen();
	assert_string_equal(tags_of("s"), "B,a,a-long.one:of/them,b");
	OK(tag("c", "a,none"));
	assert_string_equal(tags_of("s"), "B,a-long.one:of/them,b,c");
	OK(tag("b,x", "x,B"));
	assert_string_equal(tags_of("s"), "a-long.one:of/them,b,c");
	OK(tag(NULL, "a-long.one:of/them,b,c"));
	assert_string_equal(tags_of("s"), "");
	OK(tag(NULL, NULL));
	for (const char **bad = (const char *[]){"a b", "a,", ",a", ",", "a\n", "a+b", "\x7f", NULL}; *bad; bad++) {
		assert_int_equal(linkfs_snapshot_tags_check(*bad), LINKFS_EINVAL);
		assert_int_equal(create_tagged("bad", *bad), LINKFS_EINVAL);
		assert_int_equal(tag(*bad, NULL), LINKFS_EINVAL);
		assert_int_equal(tag(NULL, *bad), LINKFS_EINVAL);
	}
	memset(word, 'w', sizeof(word));
	word[65] = 0;
	assert_int_equal(create_tagged("bad", word), LINKFS_ENAMETOOLONG);
	word[64] = 0;
	OK(tag(word, NULL));
	assert_string_equal(tags_of("s"), word);
	/* 1,024 bytes and no more. */
	OK(tag(NULL, word));
	for (unsigned i = 0; i < 205; i++)
		(void)snprintf(many + 5 * i, sizeof(many) - 5 * i, "%04u,", i);
	many[1024] = 0;
	OK(tag(many, NULL));
	assert_string_equal(tags_of("s"), many);
	assert_int_equal(tag("x", NULL), LINKFS_ENAMETOOLONG);
	OK(tag("x", "0000"));
	assert_int_equal(tag("more", NULL), LINKFS_ENAMETOOLONG);
	assert_int_equal(linkfs_snapshot_tag(v, NULL, "bad", "x", NULL), LINKFS_ENOENT);
	assert_int_equal(linkfs_snapshot_tag(v, &other, "s", "y", NULL), LINKFS_EPERM);
	assert_int_equal(strlen(tags_of("s")), 1021);
	check();
}

static void one_for_a_time(void **state)
{
	uint64_t id = 0;
	int64_t before = now_ns();
	(void)state;
	OK(create("one"));
	(void)usleep(2000);
	int64_t between = now_ns();
	(void)usleep(2000);
	OK(create("two"));
	assert_int_equal(linkfs_snapshot_before(v, before, take_id, &id), LINKFS_ENOENT);
	OK(linkfs_snapshot_before(v, between, take_id, &id));
	assert_int_equal(id, id_of("one"));
	OK(linkfs_snapshot_before(v, INT64_MAX, take_id, &id));
	assert_int_equal(id, id_of("two"));
}

static void deleted_under_its_readers(void **state)
{
	struct linkfs_stat st, root;
	const struct linkfs_entry *e;
	struct linkfs_file *file;
	struct linkfs_dir *dir;
	char buf[8];
	size_t n;
	(void)state;
	put("f", "then");
	OK(create("s"));
	OK(linkfs_snapshot_root(v, id_of("s"), LINKFS_HOLD, &root));
	put("f", "now");
	OK(linkfs_file_open(v, NULL, root.node, "f", LINKFS_O_READ, 0, &file));
	OK(linkfs_dir_open(v, NULL, root.node, "/", &dir));
	OK(linkfs_file_read(file, 0, buf, sizeof(buf), &n));
	assert_int_equal(n, 4);
	OK(linkfs_snapshot_delete(v, NULL, "s", NULL, NULL, NULL));
	assert_int_equal(linkfs_file_read(file, 0, buf, sizeof(buf), &n), LINKFS_ESTALE);
	assert_int_equal(linkfs_dir_read(dir, &e), LINKFS_ESTALE);
	assert_int_equal(linkfs_path_stat(v, NULL, root.node, "f", 0, &st), LINKFS_ESTALE);
	/* Its slot is not another's while it is held. */
	OK(create("t"));
	assert_true(root_of("t") != root.node);
	linkfs_file_close(file);
	linkfs_dir_close(dir);
	linkfs_node_release(v, root.node, 1);
	OK(create("u"));
	assert_int_equal(root_of("u"), root.node); /* free again */
	check();
}

static int stop(void *arg, const struct linkfs_snapshot_progress *p)
{
	(void)arg;
	(void)p;
	return 1;
}

static uint64_t used(void)
{
	struct linkfs_info info;
	OK(linkfs_volume_sync(v));
	OK(linkfs_volume_info(v, &info));
	return info.data_blocks_used;
}

static void fill(const char *name, char c, size_t len)
{
	struct linkfs_file *file;
	char bytes[16384];
	assert_true(len <= sizeof(bytes));
	memset(bytes, c, len);
	OK(linkfs_file_open(v, NULL, ROOT, name, LINKFS_O_WRITE | LINKFS_O_CREATE, 0644, &file));
	OK(linkfs_file_write(file, 0, bytes, len, NULL));
	linkfs_file_close(file);
}

#define MANY 1100 /* files: two records of each are more than a step of a deletion looks at, LK_SNAPSHOT_COMMIT */

/* A deletion that is left goes on by itself, now and after the next open. */
static void a_deletion_cut_off(void **state)
{
	struct linkfs_snapshot_progress done;
	char name[32];
	(void)state;
	for (int turn = 0; turn < 2; turn++) {
		for (int i = 0; i < MANY; i++) {
			(void)snprintf(name, sizeof(name), "f%d", i);
			fill(name, 'a', 4096);
		}
		uint64_t want = used();
		OK(create("s"));
		for (int i = 0; i < MANY; i++) {
			(void)snprintf(name, sizeof(name), "f%d", i);
			fill(name, 'b', 4096);
		}
		assert_int_equal(used(), 2 * want);
		assert_int_equal(linkfs_snapshot_delete(v, NULL, "s", stop, NULL, &done), LINKFS_EINTR);
		assert_true(done.rows > 0);
		if (turn)
			reopen();
		for (unsigned waits = 0; waits < 400 && used() != want; waits++)
			(void)usleep(50000);
		assert_int_equal(used(), want);
		check();
	}
	/* What it gives back is told. */
	OK(create("s"));
	fill("f0", 'c', 4096);
	OK(linkfs_snapshot_delete(v, NULL, "s", NULL, NULL, &done));
	assert_int_equal(done.bytes, 4096);
}

static int count_name(void *arg, const struct linkfs_name *name)
{
	(void)name;
	++*(unsigned *)arg;
	return 0;
}

/* More names than are looked at under one lock: each slice is of the snapshot. */
static void many_names_and_entries(void **state)
{
	const struct linkfs_entry *e;
	struct linkfs_dir *dir;
	unsigned count = 0, entries = 0;
	char name[32];
	(void)state;
	make_dir("d");
	put("f", "");
	for (int i = 0; i < 3000; i++) {
		(void)snprintf(name, sizeof(name), "d/%d", i);
		OK(linkfs_path_link(v, NULL, ROOT, "f", ROOT, name, 0));
	}
	OK(create("s"));
	for (int i = 0; i < 3000; i++) {
		(void)snprintf(name, sizeof(name), "d/%d", i);
		OK(linkfs_path_unlink(v, NULL, ROOT, name));
	}
	uint64_t s = root_of("s");
	OK(linkfs_path_names(v, NULL, s, "f", 0, NULL, count_name, &count, NULL));
	assert_int_equal(count, 3001);
	OK(linkfs_dir_open(v, NULL, s, "d", &dir));
	while (linkfs_dir_read(dir, &e) == 0 && e) {
		entries++;
		assert_int_equal(e->ino >> 48, s >> 48);
	}
	linkfs_dir_close(dir);
	assert_int_equal(entries, 3002);
	count = 0;
	OK(linkfs_path_names(v, NULL, ROOT, "f", 0, NULL, count_name, &count, NULL));
	assert_int_equal(count, 1);
}

static void a_thousand(void **state)
{
	char name[32], text[32], buf[32];
	struct linkfs_file *file;
	size_t n;
	(void)state;
	for (int i = 0; i < 1000; i++) {
		(void)snprintf(text, sizeof(text), "text %d", i);
		put("f", text);
		(void)snprintf(name, sizeof(name), "s%d", i);
		OK(create(name));
	}
	put("f", "now");
	for (int i = 0; i < 1000; i += 37) {
		(void)snprintf(text, sizeof(text), "text %d", i);
		(void)snprintf(name, sizeof(name), "s%d", i);
		OK(linkfs_file_open(v, NULL, root_of(name), "/f", LINKFS_O_READ, 0, &file));
		OK(linkfs_file_read(file, 0, buf, sizeof(buf) - 1, &n));
		buf[n] = 0;
		assert_string_equal(buf, text);
		linkfs_file_close(file);
	}
	check();
}

static void from_it_into_the_volume(void **state)
{
	struct linkfs_stat st;
	uint64_t done, before;
	char buf[4];
	size_t n;
	(void)state;
	fill("f", 'a', 16384);
	OK(create("s"));
	fill("f", 'b', 16384);
	put("g", "");
	before = used();
	OK(linkfs_node_copy_range(v, NULL, node_in(root_of("s"), "f"), 0, status("g").ino, 0, 16384, &done));
	assert_int_equal(done, 16384);
	assert_int_equal(used(), before); /* shared */
	OK(linkfs_node_read(v, status("g").ino, 5000, buf, 1, &n));
	assert_int_equal(buf[0], 'a');
	OK(linkfs_snapshot_delete(v, NULL, "s", NULL, NULL, NULL));
	assert_int_equal(used(), before);
	OK(linkfs_node_read(v, status("g").ino, 5000, buf, 1, &n));
	assert_int_equal(buf[0], 'a');
	assert_int_equal(linkfs_path_stat(v, NULL, ROOT, "f", 0, &st), 0);
	check();
}

/* A row of the index of components may outlive the text that had it, with its mark of a last one. */
static void components_outlive_texts(void **state)
{
	(void)state;
	put("x", "");
	OK(linkfs_path_track(v, NULL, ROOT, "x", ROOT, "l", 0, NULL));
	OK(create("s")); /* its text is "x" */
	OK(linkfs_path_rename(v, NULL, ROOT, "x", ROOT, "y", 0));
	make_dir("x");
	OK(linkfs_path_rename(v, NULL, ROOT, "y", ROOT, "x/y", 0));
	OK(linkfs_path_unlink(v, NULL, ROOT, "x/y")); /* now it is "x/y", for good */
	check();
	OK(linkfs_snapshot_delete(v, NULL, "s", NULL, NULL, NULL));
	check();
	OK(linkfs_path_unlink(v, NULL, ROOT, "l"));
	check();
}

static int count_referrer(void *arg, const struct linkfs_referrer *r)
{
	assert_int_equal(linkfs_node_tree(r->link.ino), linkfs_node_tree(r->end.ino));
	++*(int *)arg;
	return 0;
}

static int count_dangling(void *arg, const struct linkfs_dangling *d)
{
	(void)d;
	++*(int *)arg;
	return 0;
}

static int no_fix(void *arg, const struct linkfs_fix *fix)
{
	(void)arg;
	fail_msg("%s is fixed", fix->link.path);
	return 0;
}

static int no_impact(void *arg, const struct linkfs_impact *impact)
{
	(void)arg;
	fail_msg("%s is told", impact->link.path);
	return 0;
}

static void questions_about_links(void **state)
{
	struct linkfs_links_options mounted = {.mounted_at = "/mnt/v"};
	struct linkfs_stat st;
	int count = 0;
	(void)state;
	put("f", "");
	OK(linkfs_path_symlink(v, NULL, "f", ROOT, "l", NULL));
	OK(linkfs_path_symlink(v, NULL, "/mnt/v/f", ROOT, "a", NULL));
	OK(create("s"));
	uint64_t s = root_of("s");
	OK(linkfs_path_unlink(v, NULL, ROOT, "f"));
	OK(linkfs_path_unlink(v, NULL, ROOT, "l"));
	OK(linkfs_path_symlink(v, NULL, "nowhere", ROOT, "l", NULL));
	/* Both led there, the absolute one by the mount point, which the snapshot's root stands for. */
	OK(linkfs_path_referrers(v, NULL, s, "f", 0, &mounted, &st, count_referrer, &count));
	assert_int_equal(count, 2);
	assert_int_equal(st.ino, node_in(s, "f"));
	OK(linkfs_path_dangling(v, NULL, s, "/", &mounted, count_dangling, &count));
	assert_int_equal(count, 2);
	OK(linkfs_path_dangling(v, NULL, s, "/", NULL, count_dangling, &count));
	assert_int_equal(count, 3); /* /mnt/v is not in the volume */
	assert_int_equal(linkfs_path_dangling(v, NULL, s, "f", NULL, count_dangling, &count), LINKFS_ENOTDIR);
	assert_int_equal(linkfs_path_fix_dangling(v, NULL, s, "/", NULL, no_fix, NULL), LINKFS_EROFS);
	assert_int_equal(linkfs_path_impact_remove(v, NULL, s, "f", NULL, no_impact, NULL), LINKFS_EROFS);
	assert_int_equal(linkfs_path_impact_rename(v, NULL, s, "f", s, "g", NULL, no_impact, NULL), LINKFS_EROFS);
	/* Deleted, it answers nothing. */
	OK(linkfs_snapshot_delete(v, NULL, "s", NULL, NULL, NULL));
	assert_int_equal(linkfs_node_referrers(v, NULL, st.ino, NULL, count_referrer, &count), LINKFS_ESTALE);
	assert_int_equal(linkfs_node_dangling(v, NULL, s, NULL, count_dangling, &count), LINKFS_ESTALE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(nothing_can_be_changed, volume_setup, volume_teardown),
		cmocka_unit_test_setup_teardown(names_and_notes, volume_setup, volume_teardown),
		cmocka_unit_test_setup_teardown(tags, volume_setup, volume_teardown),
		cmocka_unit_test_setup_teardown(one_for_a_time, volume_setup, volume_teardown),
		cmocka_unit_test_setup_teardown(deleted_under_its_readers, volume_setup, volume_teardown),
		cmocka_unit_test_setup_teardown(a_deletion_cut_off, volume_setup, volume_teardown),
		cmocka_unit_test_setup_teardown(many_names_and_entries, volume_setup, volume_teardown),
		cmocka_unit_test_setup_teardown(a_thousand, volume_setup, volume_teardown),
		cmocka_unit_test_setup_teardown(from_it_into_the_volume, volume_setup, volume_teardown),
		cmocka_unit_test_setup_teardown(components_outlive_texts, volume_setup, volume_teardown),
		cmocka_unit_test_setup_teardown(questions_about_links, volume_setup, volume_teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
