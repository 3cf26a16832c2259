/*
 * scene_names.c - scenarios: names, attributes, xattrs and ACLs.
 */
#include "scene.h"

#include <string.h>
#include <sys/stat.h>

static int make_file(struct scene *s)
{
	return scene_make(s, "/d1/new", S_IFREG | 0640);
}
static int make_dir(struct scene *s)
{
	return scene_make(s, "/d1/newdir", S_IFDIR | 0750);
}
static int make_device(struct scene *s)
{
	return scene_make(s, "/d2/null", S_IFCHR | 0600);
}
static int make_again(struct scene *s)
{
	return scene_make(s, "/d1/inline", S_IFREG | 0640);
}
static int make_below(struct scene *s)
{
	return scene_make(s, "/d1/newdir/f", S_IFREG | 0640);
}
static int symlink_short(struct scene *s)
{
	return linkfs_path_symlink(s->volume, NULL, "../d1/big", 1, "/d2/link", NULL);
}
static int symlink_long(struct scene *s)
{
	static char text[3000];
	for (size_t i = 0; i + 1 < sizeof(text); i++)
		text[i] = "abcdef/"[i % 7];
	return linkfs_path_symlink(s->volume, NULL, text, 1, "/d2/long", NULL);
}
static int symlink_over(struct scene *s)
{
	return linkfs_path_replace_symlink(s->volume, NULL, "d2/name", 1, "/s", NULL);
}
static int track(struct scene *s)
{
	return linkfs_path_track(s->volume, NULL, 1, "/d1/inline", 1, "/d2/tracks", 0, NULL);
}
static int track_over(struct scene *s)
{
	return linkfs_path_track(s->volume, NULL, 1, "/d2/name", 1, "/s", LINKFS_TRACK_REPLACE, NULL);
}
static int link_file(struct scene *s)
{
	return linkfs_path_link(s->volume, NULL, 1, "/d1/inline", 1, "/d2/second", 0);
}
static int link_symlink(struct scene *s)
{
	return linkfs_path_link(s->volume, NULL, 1, "/s", 1, "/d2/s2", 0);
}
static int unlink_inline(struct scene *s)
{
	return linkfs_path_unlink(s->volume, NULL, 1, "/d1/inline");
}
static int unlink_second(struct scene *s)
{
	return linkfs_path_unlink(s->volume, NULL, 1, "/d2/name");
}
static int unlink_last(struct scene *s)
{
	return linkfs_path_unlink(s->volume, NULL, 1, "/d1/big");
}
static int unlink_sparse(struct scene *s)
{
	return linkfs_path_unlink(s->volume, NULL, 1, "/d1/sparse");
}
static int unlink_symlink(struct scene *s)
{
	return linkfs_path_unlink(s->volume, NULL, 1, "/s");
}
static int unlink_attrs(struct scene *s)
{
	return linkfs_path_unlink(s->volume, NULL, 1, "/d1/attrs");
}
static int rmdir_empty(struct scene *s)
{
	return linkfs_path_rmdir(s->volume, NULL, 1, "/d2/empty");
}
static int rmdir_full(struct scene *s)
{
	return linkfs_path_rmdir(s->volume, NULL, 1, "/d2/sub");
}
static int rename_(struct scene *s, const char *from, const char *to, uint32_t flags)
{
	return linkfs_path_rename(s->volume, NULL, 1, from, 1, to, flags);
}
static int rename_here(struct scene *s)
{
	return rename_(s, "/d1/inline", "/d1/renamed", 0);
}
static int rename_there(struct scene *s)
{
	return rename_(s, "/d1/inline", "/d2/moved", 0);
}
static int rename_over_last(struct scene *s)
{
	return rename_(s, "/d1/inline", "/d1/sparse", 0);
}
static int rename_over_name(struct scene *s)
{
	return rename_(s, "/d1/inline", "/d2/name", 0);
}
static int keep_links(struct scene *s)
{
	struct linkfs_stat st;
	uint64_t ino = 0;
	int r = scene_find(s, "/d1/big", &ino);
	return r ? r : linkfs_node_set_flags(s->volume, NULL, ino, LINKFS_INO_KEEP_LINKS, LINKFS_INO_KEEP_LINKS, &st);
}
static int rename_over_symlink(struct scene *s)
{
	return rename_(s, "/d1/attrs", "/s", 0);
}
static int rename_same(struct scene *s)
{
	return rename_(s, "/d1/big", "/d2/name", 0);
}
static int rename_dir(struct scene *s)
{
	return rename_(s, "/d2/sub", "/d1/sub", 0);
}
static int rename_tracked(struct scene *s)
{
	return rename_(s, "/d1/inline", "/d2/sub/elsewhere", 0);
}
static int rename_above(struct scene *s)
{
	return rename_(s, "/d1", "/d2/deeper", 0);
}
static int unlink_tracked(struct scene *s)
{
	return linkfs_path_unlink(s->volume, NULL, 1, "/d2/deeper/inline");
}
static int rename_over_tracked(struct scene *s)
{
	return rename_(s, "/d1/attrs", "/d1/inline", 0);
}
static int keep_tracked(struct scene *s)
{
	struct linkfs_stat st;
	uint64_t ino = 0;
	int r = scene_find(s, "/d1/inline", &ino);
	return r ? r : linkfs_node_set_flags(s->volume, NULL, ino, LINKFS_INO_KEEP_LINKS, LINKFS_INO_KEEP_LINKS, &st);
}
static int unlink_tracks(struct scene *s)
{
	return linkfs_path_unlink(s->volume, NULL, 1, "/d2/tracks");
}
static int rename_dir_over(struct scene *s)
{
	return rename_(s, "/d2/sub", "/d2/empty", 0);
}
static int rename_dir_into_itself(struct scene *s)
{
	return rename_(s, "/d2", "/d2/sub/loop", 0);
}
static int rename_noreplace(struct scene *s)
{
	return rename_(s, "/d1/inline", "/d1/big", LINKFS_RENAME_NOREPLACE);
}
static int exchange_files(struct scene *s)
{
	return rename_(s, "/d1/inline", "/d2/name", LINKFS_RENAME_EXCHANGE);
}
static int exchange_dir(struct scene *s)
{
	return rename_(s, "/d1/inline", "/d2/sub", LINKFS_RENAME_EXCHANGE);
}

static int set(struct scene *s, const char *path, struct linkfs_setattr change)
{
	return linkfs_path_setattr(s->volume, NULL, 1, path, 0, &change);
}
static int set_mode(struct scene *s)
{
	return set(s, "/d1/big", (struct linkfs_setattr){.valid = LINKFS_SET_MODE, .mode = 0600});
}
static int set_owner(struct scene *s)
{
	return set(s, "/d1/attrs",
		   (struct linkfs_setattr){.valid = LINKFS_SET_UID | LINKFS_SET_GID, .uid = 1000, .gid = 1001});
}
static int set_times(struct scene *s)
{
	return set(s, "/d2", (struct linkfs_setattr){.valid = LINKFS_SET_ATIME | LINKFS_SET_MTIME_NOW, .atime_ns = 5});
}

static int set_xattr(struct scene *s, const char *path, const char *name, const void *value, size_t size,
		     uint32_t flags)
{
	uint64_t ino = 0;
	int r = scene_find(s, path, &ino);
	return r ? r : linkfs_node_setxattr(s->volume, NULL, ino, name, value, size, flags);
}
static int xattr_new(struct scene *s)
{
	return set_xattr(s, "/d1/big", "user.new", "value", 5, LINKFS_XATTR_CREATE);
}
static int xattr_replace(struct scene *s)
{
	return set_xattr(s, "/d1/attrs", "user.two", "other", 5, LINKFS_XATTR_REPLACE);
}
static int xattr_large(struct scene *s)
{
	return set_xattr(s, "/d1/attrs", "user.one", s->bytes, 30000, 0);
}
static int xattr_remove(struct scene *s)
{
	uint64_t ino = 0;
	int r = scene_find(s, "/d1/attrs", &ino);
	return r ? r : linkfs_node_removexattr(s->volume, NULL, ino, "user.two");
}
static int xattr_list(struct scene *s)
{
	uint64_t ino = 0;
	size_t len = 0;
	static const char want[] = "security.capability\0user.one\0user.two";
	int r = scene_find(s, "/d1/attrs", &ino);
	if (r == 0)
		r = linkfs_node_listxattr(s->volume, NULL, ino, (char *)s->got, NTH_BUF, &len);
	return r ? r : len == sizeof(want) && memcmp(s->got, want, len) == 0 ? 0 : SCENE_WRONG;
}

/* user::rw- user:1000:rw- group::r-- mask::rw- other::r-- */
static const uint8_t acl[] = {2, 0,    0,    0,    1,    0,    6,  0, 0xff, 0xff, 0xff, 0xff, 2,    0,   6,
			      0, 0xe8, 3,    0,    0,    4,    0,  4, 0,    0xff, 0xff, 0xff, 0xff, 16,  0,
			      6, 0,    0xff, 0xff, 0xff, 0xff, 32, 0, 4,    0,    0xff, 0xff, 0xff, 0xff};
static int acl_access(struct scene *s)
{
	return set_xattr(s, "/d1/attrs", "system.posix_acl_access", acl, sizeof(acl), 0);
}
static int acl_default(struct scene *s)
{
	return set_xattr(s, "/d1", "system.posix_acl_default", acl, sizeof(acl), 0);
}

static int tmpfile_make(struct scene *s)
{
	struct linkfs_file *f = NULL;
	int r = linkfs_file_open(s->volume, NULL, 1, "/d1", LINKFS_O_TMPFILE | LINKFS_O_WRITE | LINKFS_O_READ, 0600,
				 &f);
	if (r == 0)
		s->file = f;
	return r;
}
static int tmpfile_write(struct scene *s)
{
	size_t done = 0;
	int r = linkfs_file_write(s->file, 0, s->bytes, 9000, &done);
	return r ? r : done == 9000 ? 0 : SCENE_WRONG;
}
static int tmpfile_link(struct scene *s)
{
	return linkfs_file_link(s->file, NULL, 1, "/d1/fromtmp");
}
static int open_sparse(struct scene *s)
{
	struct linkfs_file *f = NULL;
	int r = linkfs_file_open(s->volume, NULL, 1, "/d1/sparse", LINKFS_O_WRITE | LINKFS_O_READ, 0, &f);
	if (r == 0)
		s->file = f;
	return r;
}
static int open_new(struct scene *s)
{
	struct linkfs_file *f = NULL;
	int r = linkfs_file_open(s->volume, NULL, 1, "/d2/opened", LINKFS_O_WRITE | LINKFS_O_CREATE | LINKFS_O_EXCL,
				 0644, &f);
	if (r == 0)
		s->file = f;
	return r;
}
static int open_cut(struct scene *s)
{
	struct linkfs_file *f = NULL;
	int r = linkfs_file_open(s->volume, NULL, 1, "/d1/big", LINKFS_O_WRITE | LINKFS_O_TRUNC, 0644, &f);
	if (r == 0)
		s->file = f;
	return r;
}
static int read_unlinked(struct scene *s)
{
	size_t done = 0;
	int r = linkfs_file_read(s->file, 0, s->got, 2 * LK_BLOCK_SIZE, &done);
	if (r)
		return r;
	return done == 2 * LK_BLOCK_SIZE && s->got[0] == 1 && s->got[LK_BLOCK_SIZE] == 0 ? 0 : SCENE_WRONG;
}
static int close_file(struct scene *s)
{
	linkfs_file_close(s->file);
	s->file = NULL;
	return 0;
}
static int hold_dir(struct scene *s)
{
	uint64_t ino = 0;
	int r = scene_find(s, "/d2/empty", &ino);
	if (r == 0)
		r = linkfs_node_hold(s->volume, ino);
	if (r == 0)
		s->ino[0] = ino;
	return r;
}
static int release_dir(struct scene *s)
{
	linkfs_node_release(s->volume, s->ino[0], 1);
	return 0;
}

/* ---- reading -------------------------------------------------------------------------------------------------------------- */

static int walk(struct scene *s)
{
	struct linkfs_stat st;
	int r = linkfs_path_stat(s->volume, NULL, 1, "/d2/../s", 0, &st);
	return r ? r : st.size == 700 ? 0 : SCENE_WRONG;
}
static int walk_to_nothing(struct scene *s)
{
	struct linkfs_stat st;
	return linkfs_path_stat(s->volume, NULL, 1, "/d2/sub/nothing", 0, &st);
}
static int read_link(struct scene *s)
{
	size_t len = 0;
	int r = linkfs_path_readlink(s->volume, NULL, 1, "/s", (char *)s->got, NTH_BUF, &len);
	return r ? r : len == 15 && memcmp(s->got, "d1/../d1/inline", 15) == 0 ? 0 : SCENE_WRONG;
}
static int list_one(void *arg, const struct linkfs_entry *e)
{
	unsigned *n = arg;
	*n += e->ino != 0 && e->cookie != 0;
	return 0;
}
static int list(struct scene *s)
{
	unsigned n = 0;
	uint64_t ino = 0;
	int r = scene_find(s, "/d1", &ino);
	if (r == 0)
		r = linkfs_node_readdir(s->volume, NULL, ino, 0, LINKFS_READDIR_STAT, list_one, &n);
	return r ? r : n == 9 ? 0 : SCENE_WRONG; /* seven, and . and .. */
}
static int read_dir(struct scene *s)
{
	const struct linkfs_entry *e = NULL;
	unsigned n = 0;
	int r = 0;
	if (!s->dir)
		r = linkfs_dir_open(s->volume, NULL, 1, "/d1", &s->dir);
	if (r == 0)
		linkfs_dir_seek(s->dir, 0);
	while (r == 0 && (r = linkfs_dir_read(s->dir, &e)) == 0 && e)
		n++;
	return r ? r : n == 9 ? 0 : SCENE_WRONG;
}
static int access_other(struct scene *s)
{
	struct linkfs_cred cred = {.uid = 1000, .gid = 1000, .umask = 022};
	uint64_t ino = 0;
	int r = scene_find(s, "/d1/sparse", &ino);
	return r ? r : linkfs_node_access(s->volume, &cred, ino, 4);
}

#define ONE(name, fn)                                                                                                  \
	{                                                                                                              \
		name, IMAGE_TREE, PHASE_STEPS, {STEP(name, fn), SYNC}, 0                                               \
	}
#define TWO(name, a, b)                                                                                                \
	{                                                                                                              \
		name, IMAGE_TREE, PHASE_STEPS, {STEP(#a, a), STEP(#b, b), SYNC}, 0                                     \
	}

const struct scenario scenarios_names[] = {
	ONE("make", make_file),
	ONE("mkdir", make_dir),
	ONE("mknod", make_device),
	TWO("make where something is", make_again, make_file),
	TWO("mkdir and make in it", make_dir, make_below),
	ONE("symlink", symlink_short),
	ONE("long symlink", symlink_long),
	ONE("replace symlink", symlink_over),
	ONE("track", track),
	TWO("track, in place of a symlink, one of two names that goes", track_over, unlink_second),
	TWO("track, and rename the target", track, rename_tracked),
	TWO("track, and rename over the target", track, rename_over_tracked),
	TWO("track, and unlink", track, unlink_tracks),
	{"track, move, unlink the target",
	 IMAGE_TREE,
	 PHASE_STEPS,
	 {STEP("track", track), STEP("move", rename_above), STEP("unlink", unlink_tracked), SYNC},
	 0},
	{"track, and a save that keeps links",
	 IMAGE_TREE,
	 PHASE_STEPS,
	 {STEP("track", track), STEP("keep", keep_tracked), STEP("save", rename_over_tracked), SYNC},
	 0},
	ONE("link", link_file),
	ONE("link symlink", link_symlink),
	ONE("unlink inline", unlink_inline),
	ONE("unlink one of two", unlink_second),
	TWO("unlink both of two", unlink_second, unlink_last),
	ONE("unlink many rows", unlink_sparse),
	ONE("unlink symlink", unlink_symlink),
	ONE("unlink with xattrs", unlink_attrs),
	ONE("rmdir", rmdir_empty),
	TWO("rmdir of what is not empty", rmdir_full, rmdir_empty),
	ONE("rename", rename_here),
	ONE("rename to another directory", rename_there),
	ONE("rename over a file", rename_over_last),
	ONE("rename over one of two", rename_over_name),
	TWO("rename over one of two, both follow", keep_links, rename_over_name),
	ONE("rename over a symlink", rename_over_symlink),
	ONE("rename to the same file", rename_same),
	ONE("rename directory", rename_dir),
	ONE("rename directory over one", rename_dir_over),
	TWO("rename refused", rename_dir_into_itself, rename_noreplace),
	ONE("exchange", exchange_files),
	ONE("exchange with a directory", exchange_dir),
	ONE("chmod", set_mode),
	ONE("chown", set_owner),
	ONE("times", set_times),
	ONE("new xattr", xattr_new),
	ONE("replace xattr", xattr_replace),
	ONE("large xattr", xattr_large),
	ONE("remove xattr", xattr_remove),
	ONE("acl", acl_access),
	TWO("default acl and make", acl_default, make_file),
	{"tmpfile",
	 IMAGE_TREE,
	 PHASE_STEPS,
	 {STEP("make", tmpfile_make), STEP("write", tmpfile_write), STEP("link", tmpfile_link), SYNC,
	  STEP("close", close_file), SYNC},
	 0},
	{"tmpfile dropped",
	 IMAGE_TREE,
	 PHASE_STEPS,
	 {STEP("make", tmpfile_make), STEP("write", tmpfile_write), SYNC, STEP("close", close_file), SYNC},
	 0},
	{"unlink while open",
	 IMAGE_TREE,
	 PHASE_STEPS,
	 {STEP("open", open_sparse), STEP("unlink", unlink_sparse), STEP("read", read_unlinked), SYNC,
	  STEP("close", close_file), SYNC},
	 0},
	{"rename over while open",
	 IMAGE_TREE,
	 PHASE_STEPS,
	 {STEP("open", open_sparse), STEP("rename", rename_over_last), STEP("read", read_unlinked),
	  STEP("close", close_file), SYNC},
	 0},
	{"rmdir while held",
	 IMAGE_TREE,
	 PHASE_STEPS,
	 {STEP("hold", hold_dir), STEP("rmdir", rmdir_empty), STEP("release", release_dir), SYNC},
	 0},
	{"open makes", IMAGE_TREE, PHASE_STEPS, {STEP("open", open_new), STEP("close", close_file), SYNC}, 0},
	{"open cuts", IMAGE_TREE, PHASE_STEPS, {STEP("open", open_cut), STEP("close", close_file), SYNC}, 0},
	{"reading names",
	 IMAGE_TREE,
	 PHASE_STEPS,
	 {STEP("walk", walk), STEP("walk to nothing", walk_to_nothing), STEP("readlink", read_link),
	  STEP("readdir", list), STEP("open directory", read_dir), STEP("access", access_other),
	  STEP("listxattr", xattr_list)},
	 0},
	{"a batch of names",
	 IMAGE_TREE,
	 PHASE_STEPS,
	 {STEP("mkdir", make_dir), STEP("make in it", make_below), STEP("link", link_file),
	  STEP("rename over", rename_over_name), STEP("exchange", exchange_dir), SYNC, STEP("xattr", xattr_large),
	  STEP("rename directory", rename_dir), STEP("unlink", unlink_sparse), STEP("symlink", symlink_long), SYNC},
	 0},
	{0},
};
