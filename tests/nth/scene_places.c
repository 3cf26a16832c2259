/*
 * scene_places.c - scenarios: binds (C1 to C3) and directory links (D6).
 */
#include "scene.h"

#include <sys/stat.h>

static int link_directory(struct scene *s)
{
	return linkfs_path_link_directory(s->volume, NULL, 1, "/d2/sub", 1, "/d1/sub");
}
static int bind_directory(struct scene *s)
{
	return linkfs_path_bind(s->volume, NULL, 1, "/d2/sub", 1, "/d2/empty");
}
static int bind_file(struct scene *s)
{
	return linkfs_path_bind(s->volume, NULL, 1, "/d1/big", 1, "/d1/inline");
}
static int unbind_directory(struct scene *s)
{
	return linkfs_path_unbind(s->volume, NULL, 1, "/d2/empty");
}
static int make_in_bound(struct scene *s)
{
	return scene_make(s, "/d2/empty/new", S_IFREG | 0640);
}
static int rename_in_linked(struct scene *s)
{
	return linkfs_path_rename(s->volume, NULL, 1, "/d1/sub/leaf", 1, "/d2/sub/moved", 0);
}
static int rmdir_one_name(struct scene *s)
{
	return linkfs_path_rmdir(s->volume, NULL, 1, "/d2/sub");
}
static int hold_bound(struct scene *s)
{
	struct linkfs_stat st;
	int r = linkfs_path_stat(s->volume, NULL, 1, "/d2/empty", LINKFS_HOLD, &st);
	if (r == 0)
		s->ino[0] = st.node;
	return r;
}
static int release_bound(struct scene *s)
{
	linkfs_node_release(s->volume, s->ino[0], 1);
	return 0;
}
static int walk_up(struct scene *s)
{
	struct linkfs_stat st, want;
	int r = linkfs_path_stat(s->volume, NULL, 1, "/d1/sub/..", 0, &st);
	if (r == 0)
		r = linkfs_path_stat(s->volume, NULL, 1, "/d1", 0, &want);
	return r ? r : st.ino == want.ino ? 0 : SCENE_WRONG;
}
static int list_one(void *arg, const struct linkfs_entry *e)
{
	unsigned *n = arg;
	*n += e->ino != 0;
	return 0;
}
static int list(struct scene *s)
{
	unsigned n = 0;
	uint64_t ino = 0;
	int r = scene_find(s, "/d2", &ino);
	if (r == 0)
		r = linkfs_node_readdir(s->volume, NULL, ino, 0, LINKFS_READDIR_STAT, list_one, &n);
	return r ? r : n >= 4 ? 0 : SCENE_WRONG;
}

const struct scenario scenarios_places[] = {
	{"link directory", IMAGE_TREE, PHASE_STEPS, {STEP("link", link_directory), SYNC}, 0},
	{"bind directory", IMAGE_TREE, PHASE_STEPS, {STEP("bind", bind_directory), SYNC}, 0},
	{"bind file", IMAGE_TREE, PHASE_STEPS, {STEP("bind", bind_file), SYNC}, 0},
	{"unbind",
	 IMAGE_TREE,
	 PHASE_STEPS,
	 {STEP("bind", bind_directory), SYNC, STEP("unbind", unbind_directory), SYNC},
	 0},
	{"make in what is bound",
	 IMAGE_TREE,
	 PHASE_STEPS,
	 {STEP("bind", bind_directory), STEP("hold", hold_bound), STEP("make", make_in_bound), STEP("list", list), SYNC,
	  STEP("unbind", unbind_directory), STEP("release", release_bound), SYNC},
	 0},
	{"names of a directory",
	 IMAGE_TREE,
	 PHASE_STEPS,
	 {STEP("link", link_directory), STEP("walk", walk_up), STEP("rename", rename_in_linked),
	  STEP("rmdir", rmdir_one_name), STEP("walk", walk_up), SYNC},
	 0},
	{0},
};
