/*
 * test_stream_edges.c - streams where something else than what is sent has its say (linkfs_stream.h): what the sender's live tree shares meanwhile,
 * names of one file that moved between files that look the same, what happens between the verification and the snapshot, an empty volume that
 * is not as new.
 */
#include "two_volumes.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BLOCK 4096u

static void fill(const char *path, size_t blocks, int seed)
{
	char *bytes = malloc(blocks * BLOCK);
	assert_non_null(bytes);
	for (size_t i = 0; i < blocks * BLOCK; i++)
		bytes[i] = (char)(seed + (int)(i % 253) + (int)(i / BLOCK));
	put(path, "");
	OK(linkfs_node_write(v, NULL, status(path).ino, 0, bytes, blocks * BLOCK, 0, NULL, NULL));
	free(bytes);
}

/* ---- the same two, the same bytes -------------------------------------------------------------------------------- */

static void live_clones_change_no_stream(void **state)
{
	struct stream_bytes whole[2] = {{0}}, difference[2] = {{0}};
	(void)state;
	fill("a", 300, 1);
	fill("b", 20, 2);
	fill("c", 3, 3);
	uint64_t one = snapshot("one");
	for (int i = 0; i < 9; i++) { /* in pieces, which lie apart */
		char *bytes = malloc(90 * BLOCK);
		assert_non_null(bytes);
		memset(bytes, 'a' + i, 90 * BLOCK);
		if (i == 0)
			put("new", "");
		OK(linkfs_node_write(v, NULL, status("new").ino, (uint64_t)i * 90 * BLOCK, bytes, 90 * BLOCK, 0, NULL,
				     NULL));
		free(bytes);
		fill("b", 20 + (size_t)i % 2, i);
		OK(linkfs_volume_sync(v));
	}
	uint64_t two = snapshot("two");
	OK(stream_case_send(v, 0, two, NULL, &whole[0]));
	OK(stream_case_send(v, one, two, NULL, &difference[0]));
	OK(linkfs_path_clone(v, NULL, ROOT, "/new", ROOT, "/later", 0, NULL));
	OK(linkfs_path_clone(v, NULL, ROOT, "/a", ROOT, "/a2", 0, NULL));
	OK(linkfs_path_unlink(v, NULL, ROOT, "/b"));
	OK(stream_case_send(v, 0, two, NULL, &whole[1]));
	OK(stream_case_send(v, one, two, NULL, &difference[1]));
	assert_int_equal(whole[0].len, whole[1].len);
	assert_memory_equal(whole[0].p, whole[1].p, whole[0].len);
	assert_int_equal(difference[0].len, difference[1].len);
	assert_memory_equal(difference[0].p, difference[1].p, difference[0].len);
	for (int i = 0; i < 2; i++) {
		stream_case_free(&whole[i]);
		stream_case_free(&difference[i]);
	}
}

static uint64_t disk[64];
static size_t disks;

static int take_extent(void *arg, const struct linkfs_extent *e)
{
	(void)arg;
	for (uint64_t at = 0; at < e->length && disks < 64; at += BLOCK)
		disk[disks++] = e->disk + at;
	return 0;
}

/* Where the file's blocks lie in the copy. */
static size_t blocks_there(const char *path, uint64_t out[64])
{
	struct linkfs_stat st;
	uint64_t offset = 0;
	disks = 0;
	OK(linkfs_path_stat(second, NULL, ROOT, path, 0, &st));
	while (offset != UINT64_MAX)
		OK(linkfs_node_extents(second, st.node, &offset, take_extent, NULL));
	memcpy(out, disk, sizeof(disk));
	return disks;
}

static void shared_there(const char *a, const char *b, size_t blocks)
{
	uint64_t x[64] = {0}, y[64] = {0};
	assert_int_equal(blocks_there(a, x), blocks);
	assert_int_equal(blocks_there(b, y), blocks);
	assert_memory_equal(x, y, blocks * sizeof(x[0]));
}

/* Several have a block, and some only up to their end: it is copied from one that has all of what is needed. */
static void copied_from_who_has_enough(void **state)
{
	const struct linkfs_setattr more = {.valid = LINKFS_SET_SIZE, .size = 2 * BLOCK};
	char bytes[BLOCK + 64];
	(void)state;
	memset(bytes, 'x', sizeof(bytes));
	put("full", "");
	put("grows", "");
	OK(linkfs_node_write(v, NULL, status("full").ino, 0, bytes, sizeof(bytes), 0, NULL, NULL));
	OK(linkfs_path_clone(v, NULL, ROOT, "/full", ROOT, "/less", 0, NULL));
	OK(linkfs_path_setattr(v, NULL, ROOT, "/full", 0, &more));
	OK(linkfs_node_write(v, NULL, status("grows").ino, 0, bytes, sizeof(bytes), 0, NULL, NULL));
	uint64_t one = snapshot("one");
	arrives(0, one);
	OK(linkfs_path_clone(v, NULL, ROOT, "/full", ROOT, "/again", 0, NULL));
	OK(linkfs_path_setattr(v, NULL, ROOT, "/grows", 0, &more));
	OK(linkfs_path_clone(v, NULL, ROOT, "/grows", ROOT, "/grown", 0, NULL));
	arrives(one, snapshot("two"));
	same_trees();
	shared_there("/full", "/again", 2);
	shared_there("/grows", "/grown", 2);
}

/* A file without a name has its blocks in the base still. */
static void what_is_deleted_is_no_source(void **state)
{
	(void)state;
	OK(linkfs_volume_set_property(v, NULL, LINKFS_KEEP_DELETED, "7d", NULL));
	fill("x", 40, 1);
	OK(linkfs_path_clone(v, NULL, ROOT, "/x", ROOT, "/y", 0, NULL));
	OK(linkfs_path_unlink(v, NULL, ROOT, "/x"));
	uint64_t one = snapshot("one");
	OK(linkfs_path_clone(v, NULL, ROOT, "/y", ROOT, "/z", 0, NULL));
	OK(linkfs_path_unlink(v, NULL, ROOT, "/y"));
	uint64_t two = snapshot("two");
	arrives(0, one);
	arrives(one, two);
	same_trees();
}

static void small_and_large(void **state)
{
	char bytes[100];
	(void)state;
	memset(bytes, 'q', sizeof(bytes));
	fill("f", 2, 1);
	OK(linkfs_path_setattr(v, NULL, ROOT, "/f", 0,
			       &(struct linkfs_setattr){.valid = LINKFS_SET_SIZE, .size = 100}));
	OK(linkfs_node_write(v, NULL, status("f").ino, 0, bytes, 100, 0, NULL, NULL));
	put("g", "small");
	uint64_t one = snapshot("one");
	OK(linkfs_path_setattr(v, NULL, ROOT, "/f", 0, &(struct linkfs_setattr){.valid = LINKFS_SET_SIZE, .size = 0}));
	OK(linkfs_node_write(v, NULL, status("f").ino, 0, bytes, 100, 0, NULL, NULL));
	fill("g", 1, 5);
	OK(linkfs_path_setattr(v, NULL, ROOT, "/g", 0, &(struct linkfs_setattr){.valid = LINKFS_SET_SIZE, .size = 5}));
	uint64_t two = snapshot("two");
	arrives(0, one);
	arrives(one, two);
	same_trees();
}

/* Compressed, more lies with the metadata than plain; whatever the receiver makes of it. */
static void write_sizes(int seed)
{
	static const size_t sizes[] = {100, 2048, 2049, 4096, 9000, 65536, 65537, 300000};
	char name[16], *bytes = malloc(300000);
	assert_non_null(bytes);
	for (size_t i = 0; i < 300000; i++)
		bytes[i] = (char)('a' + ((int)(i / 50) + seed) % 20);
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		(void)snprintf(name, sizeof(name), "f%zu", i);
		size_t size = sizes[(i + (size_t)seed) % (sizeof(sizes) / sizeof(sizes[0]))];
		if (seed % 2 == 0) /* all at once, and else over what is there */
			put(name, "");
		OK(linkfs_node_write(v, NULL, status(name).ino, 0, bytes, size, 0, NULL, NULL));
	}
	free(bytes);
}

static void content_that_is_compressed(const char *at_receiver)
{
	OK(linkfs_volume_set_property(first, NULL, "compression", "zstd", NULL));
	OK(linkfs_volume_set_property(second, NULL, "compression", at_receiver, NULL));
	write_sizes(0);
	uint64_t one = snapshot("one");
	assert_true(status("f4").blocks * 512 < 9000);
	write_sizes(1);
	put("small", "x");
	uint64_t two = snapshot("two");
	OK(linkfs_volume_set_property(first, NULL, "compression", "none", NULL));
	write_sizes(4);
	uint64_t three = snapshot("three");
	arrives(0, one);
	arrives(one, two);
	arrives(two, three);
	same_trees();
	v = second;
	check();
	v = first;
}

static void compressed_here(void **state)
{
	(void)state;
	content_that_is_compressed("none");
}

static void compressed_at_both(void **state)
{
	(void)state;
	content_that_is_compressed("zstd");
}

/* Rolled back, a tracked link follows again what is gone since, while here and there the file that took its place lives on. */
static void a_link_that_follows_what_is_gone(void **state)
{
	(void)state;
	put("x", "first");
	OK(linkfs_node_set_flags(v, NULL, status("x").ino, LINKFS_INO_KEEP_LINKS, LINKFS_INO_KEEP_LINKS, NULL));
	OK(linkfs_path_track(v, NULL, ROOT, "/x", ROOT, "/l", 0, NULL));
	uint64_t one = snapshot("one");
	put("y", "second");
	OK(linkfs_path_rename(v, NULL, ROOT, "/y", ROOT, "/x", 0));
	OK(linkfs_path_rename(v, NULL, ROOT, "/x", ROOT, "/z", 0));
	uint64_t two = snapshot("two");
	OK(linkfs_path_rollback(v, NULL, ROOT, "/l", one, 0, NULL, NULL));
	uint64_t three = snapshot("three");
	arrives(0, one);
	arrives(one, two);
	arrives(two, three);
	struct linkfs_stat here, there;
	int r = linkfs_path_stat(first, NULL, ROOT, "/l", 0, &here);
	assert_int_equal(linkfs_path_stat(second, NULL, ROOT, "/l", 0, &there), r);
	v = second;
	check();
	v = first;
}

/* As many bytes of names as there may be, and then others. */
static void all_attributes_replaced(void **state)
{
	char name[300];
	(void)state;
	put("f", "x");
	for (int i = 0; i < 255; i++) {
		(void)snprintf(name, sizeof(name), "user.%03d-%0240d", i, 1);
		if (linkfs_node_setxattr(v, NULL, status("f").ino, name, "v", 1, 0) != 0)
			break;
	}
	uint64_t one = snapshot("one");
	for (int i = 0; i < 255; i++) {
		(void)snprintf(name, sizeof(name), "user.%03d-%0240d", i, 1);
		if (linkfs_node_removexattr(v, NULL, status("f").ino, name) != 0)
			break;
		(void)snprintf(name, sizeof(name), "user.%03d-%0240d", i, 2);
		OK(linkfs_node_setxattr(v, NULL, status("f").ino, name, "v", 1, 0));
	}
	uint64_t two = snapshot("two");
	arrives(0, one);
	arrives(one, two);
}

/* ---- what the receiver has --------------------------------------------------------------------------------------- */

static void attributes_of_an_empty_root(void **state)
{
	(void)state;
	OK(linkfs_node_setxattr(second, NULL, ROOT, "user.own", "x", 1, 0));
	put("f", "text");
	arrives(0, snapshot("one"));
	same_trees();
}

static void open_files_without_names(void **state)
{
	struct linkfs_file *file;
	(void)state;
	put("f", "text");
	OK(linkfs_file_open(second, NULL, ROOT, "/open", LINKFS_O_WRITE | LINKFS_O_CREATE, 0600, &file));
	OK(linkfs_path_unlink(second, NULL, ROOT, "/open"));
	OK(linkfs_file_write(file, 0, "still written", 13, NULL));
	arrives(0, snapshot("one"));
	same_trees();
	linkfs_file_close(file);
}

/* Two files of two names each, and the same in all else: which name is of which is not. */
static void regroup(struct linkfs_volume *volume)
{
	OK(linkfs_path_unlink(volume, NULL, ROOT, "/b"));
	OK(linkfs_path_unlink(volume, NULL, ROOT, "/c"));
	OK(linkfs_path_link(volume, NULL, ROOT, "/a", ROOT, "/c", 0));
	OK(linkfs_path_link(volume, NULL, ROOT, "/d", ROOT, "/b", 0));
	OK(linkfs_path_setattr(volume, NULL, ROOT, "/", 0,
			       &(struct linkfs_setattr){.valid = LINKFS_SET_MTIME, .mtime_ns = 5}));
}

static void regrouped_links_are_another_tree(void **state)
{
	struct stream_bytes stream = {0};
	(void)state;
	const struct linkfs_setattr times = {.valid = LINKFS_SET_MTIME, .mtime_ns = 5};
	put("a", "same");
	put("d", "same");
	OK(linkfs_path_link(v, NULL, ROOT, "/a", ROOT, "/b", 0));
	OK(linkfs_path_link(v, NULL, ROOT, "/d", ROOT, "/c", 0));
	OK(linkfs_path_setattr(v, NULL, ROOT, "/a", 0, &times));
	OK(linkfs_path_setattr(v, NULL, ROOT, "/d", 0, &times));
	OK(linkfs_path_setattr(v, NULL, ROOT, "/", 0, &times));
	uint64_t one = snapshot("one");
	put("e", "new");
	uint64_t two = snapshot("two");
	arrives(0, one);
	OK(stream_case_send(v, one, two, NULL, &stream));
	regroup(second);
	assert_int_equal(stream_case_receive(second, &stream, stream.len, 0, NULL), LINKFS_EXDEV);
	OK(stream_case_receive(second, &stream, stream.len, LINKFS_RECEIVE_DISCARD, NULL));
	same_trees();
	stream_case_free(&stream);
}

/* A name that others give, in a directory that the stream has nothing to do with, whose times they put back. */
static void names_elsewhere_are_noticed(void **state)
{
	struct stream_bytes stream = {0};
	struct linkfs_stat st;
	(void)state;
	make_dir("d");
	make_dir("e");
	put("d/f", "text");
	uint64_t one = snapshot("one");
	put("d/f", "more");
	uint64_t two = snapshot("two");
	arrives(0, one);
	OK(stream_case_send(v, one, two, NULL, &stream));
	assert_int_equal(stream_case_receive(second, &stream, stream.len - 64, 0, NULL), LINKFS_EPIPE);
	OK(linkfs_path_stat(second, NULL, ROOT, "/e", 0, &st));
	OK(linkfs_path_link_directory(second, NULL, ROOT, "/d", ROOT, "/e/again"));
	OK(linkfs_path_setattr(second, NULL, ROOT, "/e", 0,
			       &(struct linkfs_setattr){.valid = LINKFS_SET_MTIME, .mtime_ns = st.mtime_ns}));
	assert_int_equal(stream_case_receive(second, &stream, stream.len, 0, NULL), LINKFS_EAGAIN);
	OK(linkfs_path_rmdir(second, NULL, ROOT, "/e/again"));
	OK(linkfs_path_setattr(second, NULL, ROOT, "/e", 0,
			       &(struct linkfs_setattr){.valid = LINKFS_SET_MTIME, .mtime_ns = st.mtime_ns}));
	OK(stream_case_receive(second, &stream, stream.len, 0, NULL));
	same_trees();
	stream_case_free(&stream);
}

/* ---- between the verification and the snapshot ------------------------------------------------------------------- */

static void in_the_way(void *arg, size_t at)
{
	const struct stream_bytes *s = arg;
	if (at == s->len - 64)
		(void)linkfs_snapshot_create(second, NULL, &(struct linkfs_snapshot_new){.name = "one"}, NULL);
}

static void changed_after_it_was_verified(void **state)
{
	struct stream_bytes stream = {0};
	struct linkfs_stat st;
	(void)state;
	put("f", "sent");
	uint64_t one = snapshot("one");
	OK(stream_case_send(v, 0, one, NULL, &stream));
	stream.told = in_the_way;
	stream.told_arg = &stream;
	assert_int_equal(stream_case_receive(second, &stream, stream.len, 0, NULL), LINKFS_EEXIST);
	stream.told = NULL;
	OK(linkfs_snapshot_rename(second, NULL, "one", "other"));
	OK(linkfs_path_stat(second, NULL, ROOT, "/f", 0, &st));
	OK(linkfs_node_write(second, NULL, st.ino, 0, "mine", 4, 0, NULL, NULL));
	assert_int_equal(stream_case_receive(second, &stream, stream.len, 0, NULL), LINKFS_EAGAIN);
	/* All of it is done again, and is right then. */
	OK(stream_case_receive(second, &stream, stream.len, 0, NULL));
	same_trees();
	stream_case_free(&stream);
}

/* ---- who is not root ----------------------------------------------------------------------------------------------- */

static int receive_as(const struct linkfs_cred *cred, struct stream_bytes *stream, size_t end)
{
	const struct linkfs_receive ask = {.read = stream_case_get, .arg = stream};
	stream->at = 0;
	stream->end = end;
	return linkfs_receive(second, cred, &ask, NULL, NULL);
}

static void give(struct linkfs_volume *volume, const char *path)
{
	OK(linkfs_path_setattr(
		volume, NULL, ROOT, path, 0,
		&(struct linkfs_setattr){.valid = LINKFS_SET_UID | LINKFS_SET_GID, .uid = 1000, .gid = 1000}));
}

/* Which object is which is told by a file in a directory of his: he makes his own file's base another's. */
static void a_forged_map_gives_no_secret(void **state)
{
	const struct linkfs_cred user = {.uid = 1000, .gid = 1000};
	struct stream_bytes stream = {0};
	struct linkfs_stat secret, dir;
	unsigned char map[16 * 64];
	size_t len = 0;
	(void)state;
	give(first, "/");
	fill("his", 4, 1);
	give(first, "/his");
	fill("secret", 4, 2);
	uint64_t one = snapshot("one");
	OK(linkfs_path_clone(v, NULL, ROOT, "/his", ROOT, "/copy", 0, NULL));
	give(first, "/copy");
	uint64_t two = snapshot("two");
	arrives(0, one);
	OK(stream_case_send(first, one, two, NULL, &stream));
	size_t n = 1; /* the first CLONE */
	while (stream.p[stream_case_record(&stream, n)] != 11)
		n++;
	assert_int_equal(receive_as(&user, &stream, stream_case_record(&stream, n)), LINKFS_EPIPE);
	OK(linkfs_path_stat(second, NULL, ROOT, "/secret", 0, &secret));
	OK(linkfs_path_stat(second, &user, ROOT, "/.linkfs-receive", 0, &dir));
	OK(linkfs_path_stat(second, NULL, ROOT, "/.linkfs-receive/map", 0, &dir));
	OK(linkfs_node_read(second, dir.ino, 0, map, sizeof(map), &len));
	assert_true(len >= 32 && len % 16 == 0);
	for (size_t i = 0; i < len; i += 16)
		if (map[i + 8])
			map[i + 8] = (unsigned char)secret.ino;
	OK(linkfs_path_unlink(second, &user, ROOT, "/.linkfs-receive/map"));
	struct linkfs_file *file;
	OK(linkfs_file_open(second, &user, ROOT, "/.linkfs-receive/map", LINKFS_O_WRITE | LINKFS_O_CREATE, 0600,
			    &file));
	OK(linkfs_file_write(file, 0, map, len, NULL));
	linkfs_file_close(file);
	assert_int_equal(receive_as(&user, &stream, stream.len), LINKFS_EPERM);
	stream_case_free(&stream);
}

static void what_root_began_is_roots(void **state)
{
	const struct linkfs_cred user = {.uid = 1000, .gid = 1000};
	struct stream_bytes stream = {0};
	struct linkfs_stat st;
	(void)state;
	give(first, "/");
	give(second, "/");
	put("f", "text");
	give(first, "/f");
	OK(stream_case_send(first, 0, snapshot("one"), NULL, &stream));
	assert_int_equal(receive_as(NULL, &stream, stream_case_record(&stream, 3)), LINKFS_EPIPE);
	assert_int_equal(receive_as(&user, &stream, stream.len), LINKFS_EPERM);
	OK(linkfs_path_stat(second, NULL, ROOT, "/.linkfs-receive", 0, &st));
	assert_int_equal(st.uid, 0);
	OK(receive_as(NULL, &stream, stream.len));
	same_trees();
	stream_case_free(&stream);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(live_clones_change_no_stream, two_volumes_setup, two_volumes_teardown),
		cmocka_unit_test_setup_teardown(copied_from_who_has_enough, two_volumes_setup, two_volumes_teardown),
		cmocka_unit_test_setup_teardown(what_is_deleted_is_no_source, two_volumes_setup, two_volumes_teardown),
		cmocka_unit_test_setup_teardown(small_and_large, two_volumes_setup, two_volumes_teardown),
		cmocka_unit_test_setup_teardown(compressed_here, two_volumes_setup, two_volumes_teardown),
		cmocka_unit_test_setup_teardown(compressed_at_both, two_volumes_setup, two_volumes_teardown),
		cmocka_unit_test_setup_teardown(a_link_that_follows_what_is_gone, two_volumes_setup,
						two_volumes_teardown),
		cmocka_unit_test_setup_teardown(all_attributes_replaced, two_volumes_setup, two_volumes_teardown),
		cmocka_unit_test_setup_teardown(attributes_of_an_empty_root, two_volumes_setup, two_volumes_teardown),
		cmocka_unit_test_setup_teardown(open_files_without_names, two_volumes_setup, two_volumes_teardown),
		cmocka_unit_test_setup_teardown(regrouped_links_are_another_tree, two_volumes_setup,
						two_volumes_teardown),
		cmocka_unit_test_setup_teardown(names_elsewhere_are_noticed, two_volumes_setup, two_volumes_teardown),
		cmocka_unit_test_setup_teardown(changed_after_it_was_verified, two_volumes_setup, two_volumes_teardown),
		cmocka_unit_test_setup_teardown(a_forged_map_gives_no_secret, two_volumes_setup, two_volumes_teardown),
		cmocka_unit_test_setup_teardown(what_root_began_is_roots, two_volumes_setup, two_volumes_teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
