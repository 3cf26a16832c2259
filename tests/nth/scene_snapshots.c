/*
 * scene_snapshots.c - scenarios: snapshots taken, renamed, read, copied from, deleted in several steps, and deletions that go on when the
 * volume is opened again (E1, E2).
 */
#include "scene.h"

#include <linkfs_links.h>
#include <linkfs_snapshots.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define B LK_BLOCK_SIZE

static int take_id(void *arg, const struct linkfs_snapshot *snapshot)
{
	*(uint64_t *)arg = snapshot->id;
	return 0;
}

static int root_of(struct scene *s, const char *name, uint64_t *node_out)
{
	struct linkfs_stat root = {0};
	uint64_t id = 0;
	int r = linkfs_snapshot_show(s->volume, name, take_id, &id);
	if (r == 0)
		r = linkfs_snapshot_root(s->volume, id, 0, &root);
	*node_out = root.node;
	return r;
}

static int create_first(struct scene *s)
{
	return linkfs_snapshot_create(s->volume, NULL, &(struct linkfs_snapshot_new){.name = "new", .note = "a note"},
				      NULL);
}

static int create_second(struct scene *s)
{
	return linkfs_snapshot_create(s->volume, NULL, &(struct linkfs_snapshot_new){.name = "newer"}, NULL);
}

static int create_again(struct scene *s)
{
	return linkfs_snapshot_create(s->volume, NULL, &(struct linkfs_snapshot_new){.name = "new"}, NULL);
}

static int rename_it(struct scene *s)
{
	return linkfs_snapshot_rename(s->volume, NULL, "new", "old");
}

static int change(struct scene *s)
{
	uint64_t ino = 0;
	int r = scene_find(s, "/d1/shares", &ino);
	return r ? r : linkfs_node_write(s->volume, NULL, ino, 2 * B + 5, s->bytes, 3 * B, 0, NULL, NULL);
}

static int unlink_link(struct scene *s)
{
	return linkfs_path_unlink(s->volume, NULL, 1, "/s");
}

/* ---- reading ----------------------------------------------------------------------------------------------------------- */

static int count(void *arg, const struct linkfs_snapshot *snapshot)
{
	(void)snapshot;
	++*(unsigned *)arg;
	return 0;
}

static int list(struct scene *s)
{
	unsigned n = 0;
	int r = linkfs_snapshot_list(s->volume, count, &n);
	return r ? r : n == 3 ? 0 : SCENE_WRONG;
}

/* The image's pieces: a block of data, a block of nothing. */
static int read_past(struct scene *s)
{
	struct linkfs_stat st = {0};
	uint64_t root = 0;
	size_t done = 0;
	int r = root_of(s, "one", &root);
	if (r == 0)
		r = linkfs_path_stat(s->volume, NULL, root, "/d1/pieces", LINKFS_NOFOLLOW, &st);
	if (r == 0)
		r = linkfs_node_read(s->volume, st.ino, 100 * B, s->got, 8 * B, &done);
	if (r)
		return r;
	bool right = st.size == 399 * B && done == 8 * B;
	for (size_t i = 0; right && i < 8; i++)
		right = (s->got[i * B] != 0) == (i % 2 == 0) && (s->got[i * B + B - 1] != 0) == (i % 2 == 0);
	return right ? 0 : SCENE_WRONG;
}

static int count_name(void *arg, const struct linkfs_name *name)
{
	(void)name;
	++*(unsigned *)arg;
	return 0;
}

static int names_past(struct scene *s)
{
	struct linkfs_stat st = {0};
	uint64_t root = 0;
	unsigned n = 0;
	int r = root_of(s, "three", &root);
	if (r == 0)
		r = linkfs_path_stat(s->volume, NULL, root, "/d1/big", LINKFS_NOFOLLOW, &st);
	if (r == 0)
		r = linkfs_node_names(s->volume, NULL, st.ino, count_name, &n, NULL);
	return r ? r : n == 2 && st.nlink == 2 ? 0 : SCENE_WRONG;
}

static int text_past(struct scene *s)
{
	char text[64];
	uint64_t root = 0;
	size_t len = 0;
	int r = root_of(s, "three", &root);
	if (r == 0)
		r = linkfs_path_readlink(s->volume, NULL, root, "/tracked", text, sizeof(text), &len);
	return r ? r : len == 6 && memcmp(text, "d1/big", 6) == 0 ? 0 : SCENE_WRONG;
}

static int count_entry(void *arg, const struct linkfs_entry *e)
{
	(void)e;
	++*(unsigned *)arg;
	return 0;
}

static int listing_past(struct scene *s)
{
	struct linkfs_stat st = {0};
	uint64_t root = 0;
	unsigned n = 0;
	int r = root_of(s, "two", &root);
	if (r == 0)
		r = linkfs_path_stat(s->volume, NULL, root, "/d2", LINKFS_NOFOLLOW, &st);
	if (r == 0)
		r = linkfs_node_readdir(s->volume, NULL, st.ino, 0, LINKFS_READDIR_STAT, count_entry, &n);
	return r ? r : n == 6 ? 0 : SCENE_WRONG; /* ".", "..", "empty", "sub", "name", "moved" */
}

static int write_past(struct scene *s)
{
	struct linkfs_make how = {.mode = S_IFREG | 0644};
	uint64_t root = 0;
	int r = root_of(s, "two", &root);
	return r ? r : linkfs_path_make(s->volume, NULL, root, "/made", &how, NULL);
}

/* Blocks of history get a live row again. */
static int copy_out(struct scene *s)
{
	struct linkfs_stat st = {0};
	uint64_t root = 0, to = 0, done;
	int r = root_of(s, "one", &root);
	if (r == 0)
		r = linkfs_path_stat(s->volume, NULL, root, "/d1/pieces", LINKFS_NOFOLLOW, &st);
	if (r == 0)
		r = scene_find(s, "/d1/shares", &to);
	return r ? r : linkfs_node_copy_range(s->volume, NULL, st.ino, 40 * B, to, 6 * B, 20 * B, &done);
}

/* ---- deleting ----------------------------------------------------------------------------------------------------------- */

/* A deletion that failed is not made again: the volume goes on with it. */
static int delete (struct scene *s, const char *name, unsigned number)
{
	int r = linkfs_snapshot_delete(s->volume, NULL, name, NULL, NULL, NULL);
	if (r == LINKFS_ENOENT && s->ino[number])
		return 0;
	s->ino[number] = 1;
	return r;
}

static int delete_one(struct scene *s)
{
	return delete (s, "one", 1);
}

static int delete_two(struct scene *s)
{
	return delete (s, "two", 2);
}

static int delete_three(struct scene *s)
{
	return delete (s, "three", 3);
}

static int make(struct scene *s)
{
	return scene_make(s, "/made", S_IFREG | 0644);
}

static int write_it(struct scene *s)
{
	uint64_t ino = 0;
	int r = scene_find(s, "/made", &ino);
	return r ? r : linkfs_node_write(s->volume, NULL, ino, 0, s->bytes, 60 * B, 0, NULL, NULL);
}

const struct scenario scenarios_snapshots[] = {
	{"first snapshots",
	 IMAGE_TREE,
	 PHASE_STEPS,
	 {STEP("create", create_first), STEP("change", change), STEP("create another", create_second),
	  STEP("unlink", unlink_link), STEP("rename", rename_it), STEP("create again", create_again), SYNC},
	 0},
	{"more snapshots",
	 IMAGE_PAST,
	 PHASE_STEPS,
	 {STEP("create", create_first), STEP("change", change), STEP("rename", rename_it), SYNC},
	 0},
	{"snapshots read",
	 IMAGE_PAST,
	 PHASE_STEPS,
	 {STEP("list", list), STEP("content", read_past), STEP("names", names_past), STEP("text", text_past),
	  STEP("listing", listing_past), STEP("refused", write_past)},
	 0},
	{"copied out of a snapshot", IMAGE_PAST, PHASE_STEPS, {IN_PARTS("copy", copy_out, PARTS_CONTENT), SYNC}, 0},
	{"snapshots deleted",
	 IMAGE_PAST,
	 PHASE_STEPS,
	 {GOES_ON("delete the second", delete_two), SYNC, GOES_ON("delete the first", delete_one),
	  GOES_ON("delete the third", delete_three), SYNC},
	 0},
	{"snapshot deleted first of all",
	 IMAGE_PAST,
	 PHASE_STEPS,
	 {GOES_ON("delete", delete_two), STEP("make", make), STEP("write", write_it), SYNC},
	 0},
	{"oldest deleted, and written",
	 IMAGE_PAST,
	 PHASE_STEPS,
	 {GOES_ON("delete", delete_one), STEP("change", change), STEP("make", make), STEP("write", write_it), SYNC},
	 0},
	{"copied out and deleted",
	 IMAGE_PAST,
	 PHASE_STEPS,
	 {IN_PARTS("copy", copy_out, PARTS_CONTENT), GOES_ON("delete", delete_one), SYNC},
	 0},
	{"open with a deletion cut off",
	 IMAGE_LEAVING,
	 PHASE_OPEN,
	 {STEP("make", make), STEP("write", write_it), SYNC},
	 0},
	{0},
};
