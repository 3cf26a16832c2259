/*
 * scene_backup.c - scenarios: what a volume remembers of backups (E4), and names that change and are remembered all the same.
 */
#include "scene.h"

#include <linkfs_backup.h>
#include <string.h>
#include <sys/stat.h>

static int put_source(struct scene *s)
{
	const struct linkfs_source source = {.id = s->ino[1],
					     .dir = 1,
					     .machine = "machine",
					     .host = "host",
					     .path = "/home",
					     .rules = 5,
					     .files = 3};
	uint64_t id = 0;
	int r = linkfs_source_put(s->volume, NULL, &source, &id);
	if (r == 0)
		s->ino[1] = id;
	return r;
}

static int make(struct scene *s)
{
	return scene_make(s, "/copy", S_IFREG | 0644);
}

static int put_file(struct scene *s)
{
	struct linkfs_copied row = {.source = s->ino[1],
				    .fs = 1,
				    .inode = 77,
				    .mode = S_IFREG | 0600,
				    .nlink = 1,
				    .size = 5,
				    .mtime_ns = 9};
	int r = scene_find(s, "/copy", &row.ino);
	return r ? r : linkfs_copied_put(s->volume, NULL, &row);
}

static int add_name(struct scene *s)
{
	uint64_t ino = 0;
	int r = scene_find(s, "/copy", &ino);
	return r ? r : linkfs_copied_link(s->volume, NULL, ino, 1, "name", 4);
}

static int move_name(struct scene *s)
{
	return linkfs_copied_rename(s->volume, NULL, 1, "name", 4, 1, "moved", 5, LINKFS_RENAME_NOREPLACE);
}

static int exchange(struct scene *s)
{
	return linkfs_copied_rename(s->volume, NULL, 1, "moved", 5, 1, "d1", 2, LINKFS_RENAME_EXCHANGE);
}

static int remove_name(struct scene *s)
{
	return linkfs_copied_unlink(s->volume, NULL, 1, "copy", 4, 0);
}

/* Through all that the row is as good as it was. */
static int known(struct scene *s)
{
	struct linkfs_copied row[4];
	uint64_t after = 0;
	size_t count = 0;
	int r = linkfs_copied_list(s->volume, &after, row, 4, &count);
	if (r)
		return r;
	return count == 1 && row[0].inode == 77 && row[0].source == s->ino[1] && row[0].flags == 0 ? 0 : SCENE_WRONG;
}

static int remove_last(struct scene *s)
{
	return linkfs_copied_unlink(s->volume, NULL, 1, "d1", 2, 0);
}

static int unknown(struct scene *s)
{
	struct linkfs_copied row[4];
	uint64_t after = 0;
	size_t count = 9;
	int r = linkfs_copied_list(s->volume, &after, row, 4, &count);
	return r ? r : count == 0 ? 0 : SCENE_WRONG;
}

static int touch(struct scene *s)
{
	struct linkfs_setattr set = {.valid = LINKFS_SET_MODE, .mode = 0640};
	uint64_t ino = 0;
	int r = scene_find(s, "/copy", &ino);
	return r ? r : linkfs_node_setattr(s->volume, NULL, ino, &set, NULL);
}

static int changed(struct scene *s)
{
	struct linkfs_copied row[4];
	uint64_t after = 0;
	size_t count = 0;
	int r = linkfs_copied_list(s->volume, &after, row, 4, &count);
	if (r)
		return r;
	return count == 1 && row[0].flags == LINKFS_COPIED_CHANGED ? 0 : SCENE_WRONG;
}

static int forget_file(struct scene *s)
{
	uint64_t ino = 0;
	int r = scene_find(s, "/copy", &ino);
	return r ? r : linkfs_copied_forget(s->volume, NULL, &ino, 1);
}

static int take(void *arg, const struct linkfs_source *source)
{
	*(bool *)arg = source->files == 3 && strcmp(source->path, "/home") == 0 && strcmp(source->host, "host") == 0;
	return 0;
}

static int listed(struct scene *s)
{
	bool good = false;
	int r = linkfs_source_list(s->volume, take, &good);
	return r ? r : good ? 0 : SCENE_WRONG;
}

static int forget_source(struct scene *s)
{
	return linkfs_source_forget(s->volume, NULL, s->ino[1]);
}

/* Three that come whole: content in a row, in blocks and in none. */
static int make_whole(struct scene *s)
{
	static uint8_t bytes[20000];
	struct linkfs_copied_new files[3] = {{.size = 900}, {.size = 20000}, {.size = 0}};
	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)(i * 2654435761u >> 13);
	for (size_t i = 0; i < 3; i++) {
		files[i].name = &"wxy"[i];
		files[i].name_len = 1;
		files[i].content = bytes;
		files[i].attributes = (struct linkfs_setattr){
			.valid = LINKFS_SET_MODE | LINKFS_SET_MTIME, .mode = 0640, .mtime_ns = 5};
		files[i].row = (struct linkfs_copied){.source = s->ino[1],
						      .fs = 1,
						      .inode = 80 + i,
						      .mode = S_IFREG | 0640,
						      .nlink = 1,
						      .mtime_ns = 5};
	}
	return linkfs_copied_make(s->volume, NULL, 1, files, 3);
}

static int whole_known(struct scene *s)
{
	struct linkfs_copied row[4];
	uint64_t after = 0, ino = 0;
	size_t count = 0;
	int r = linkfs_copied_list(s->volume, &after, row, 4, &count);
	for (size_t i = 0; r == 0 && i < count; i++) {
		const char name[] = {'/', "wxy"[i], '\0'};
		r = scene_find(s, name, &ino);
		if (r == 0 && (row[i].ino != ino || row[i].inode != 80 + i || row[i].flags))
			r = SCENE_WRONG;
	}
	return r ? r : count == 3 ? 0 : SCENE_WRONG;
}

static int pack(struct scene *s)
{
	return linkfs_volume_set_property(s->volume, NULL, LINKFS_COMPRESSION, "zstd", NULL);
}

const struct scenario scenarios_backup[] = {
	{"files that come whole",
	 IMAGE_TREE,
	 PHASE_STEPS,
	 {STEP("source", put_source), STEP("make", make_whole), STEP("known", whole_known), SYNC},
	 0},
	{"files that come whole, compressed",
	 IMAGE_TREE,
	 PHASE_STEPS,
	 {STEP("compress", pack), STEP("source", put_source), STEP("make", make_whole), STEP("known", whole_known),
	  SYNC},
	 0},
	{"what is remembered follows names",
	 IMAGE_TREE,
	 PHASE_STEPS,
	 {STEP("source", put_source), STEP("make", make), STEP("remember", put_file), STEP("link", add_name),
	  STEP("rename", move_name), STEP("exchange", exchange), STEP("unlink", remove_name), STEP("known", known),
	  SYNC, STEP("unlink the last", remove_last), STEP("nothing known", unknown), SYNC},
	 0},
	{"what is remembered is void, and forgotten",
	 IMAGE_PAST,
	 PHASE_STEPS,
	 {STEP("source", put_source), STEP("make", make), STEP("remember", put_file), STEP("list", listed),
	  STEP("change", touch), STEP("changed", changed), STEP("forget", forget_file), STEP("nothing known", unknown),
	  STEP("forget the source", forget_source), SYNC},
	 0},
	{0},
};
