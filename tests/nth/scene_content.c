/*
 * scene_content.c - scenarios: content of regular files.
 */
#include "scene.h"

#include <linkfs_snapshots.h>
#include <string.h>
#include <sys/stat.h>

#define B LK_BLOCK_SIZE

static int write_at(struct scene *s, const char *path, uint64_t offset, size_t len, uint32_t flags)
{
	uint64_t ino = 0;
	size_t done = 0;
	int r = scene_find(s, path, &ino);
	if (r == 0)
		r = linkfs_node_write(s->volume, NULL, ino, offset, s->bytes, len, flags, &done, NULL);
	return r ? r : done == len ? 0 : SCENE_WRONG;
}
static int write_inline(struct scene *s)
{
	return write_at(s, "/d1/inline", 100, 300, 0);
}
static int write_out_of_inline(struct scene *s)
{
	return write_at(s, "/d1/inline", 500, 9000, 0);
}
static int write_over(struct scene *s)
{
	return write_at(s, "/d1/sparse", 8 * B, B, 0);
}
static int write_unaligned(struct scene *s)
{
	return write_at(s, "/d1/big", 3 * B + 100, 2 * B, 0);
}
static int write_shared(struct scene *s)
{
	return write_at(s, "/d1/shares", 5 * B, 3 * B, 0);
}
static int write_append(struct scene *s)
{
	return write_at(s, "/d1/big", 0, 5000, LINKFS_WRITE_APPEND);
}
static int write_far(struct scene *s)
{
	return write_at(s, "/d1/inline", 3000 * (uint64_t)B + 5, 100, 0);
}
static int write_large(struct scene *s)
{
	return write_at(s, "/d2/sub/leaf", 0, 150 * B, 0);
}
static int write_killing(struct scene *s)
{
	return write_at(s, "/d1/attrs", 0, 10, LINKFS_WRITE_KILL_SUIDGID);
}
static int write_durable(struct scene *s)
{
	return write_at(s, "/d2/sub/leaf", 0, 6000, LINKFS_WRITE_SYNC);
}

static int cut(struct scene *s, const char *path, uint64_t size)
{
	struct linkfs_setattr change = {.valid = LINKFS_SET_SIZE, .size = size};
	return linkfs_path_setattr(s->volume, NULL, 1, path, 0, &change);
}
static int cut_big(struct scene *s)
{
	return cut(s, "/d1/big", 7 * B + 5);
}
static int cut_sparse(struct scene *s)
{
	return cut(s, "/d1/sparse", 3);
}
static int cut_all(struct scene *s)
{
	return cut(s, "/d1/sparse", 0);
}
static int cut_inline(struct scene *s)
{
	return cut(s, "/d1/inline", 10);
}
static int grow_big(struct scene *s)
{
	return cut(s, "/d1/big", 500 * (uint64_t)B);
}
static int grow_inline(struct scene *s)
{
	return cut(s, "/d1/inline", 9000);
}

static int allocate(struct scene *s, const char *path, uint32_t mode, uint64_t offset, uint64_t len)
{
	uint64_t ino = 0;
	int r = scene_find(s, path, &ino);
	return r ? r : linkfs_node_allocate(s->volume, NULL, ino, mode, offset, len);
}
static int preallocate(struct scene *s)
{
	return allocate(s, "/d2/sub/leaf", LINKFS_ALLOC_KEEP_SIZE, 0, 70 * (uint64_t)B);
}
static int fill_holes(struct scene *s)
{
	return allocate(s, "/d1/sparse", 0, B, 30 * (uint64_t)B);
}
static int punch(struct scene *s)
{
	return allocate(s, "/d1/big", LINKFS_ALLOC_PUNCH | LINKFS_ALLOC_KEEP_SIZE, B + 10, 6 * (uint64_t)B);
}
static int punch_inline(struct scene *s)
{
	return allocate(s, "/d1/inline", LINKFS_ALLOC_PUNCH | LINKFS_ALLOC_KEEP_SIZE, 50, 200);
}
static int zero(struct scene *s)
{
	return allocate(s, "/d1/shares", LINKFS_ALLOC_ZERO, 4 * (uint64_t)B, 20 * (uint64_t)B);
}
static int collapse(struct scene *s)
{
	return allocate(s, "/d1/sparse", LINKFS_ALLOC_COLLAPSE, 3 * (uint64_t)B, 20 * (uint64_t)B);
}
static int insert(struct scene *s)
{
	return allocate(s, "/d1/big", LINKFS_ALLOC_INSERT, 4 * (uint64_t)B, 3 * (uint64_t)B);
}

static int copy(struct scene *s, const char *from, uint64_t from_at, const char *to, uint64_t to_at, uint64_t len)
{
	uint64_t a = 0, b = 0, done = 0;
	int r = scene_find(s, from, &a);
	if (r == 0)
		r = scene_find(s, to, &b);
	if (r == 0)
		r = linkfs_node_copy_range(s->volume, NULL, a, from_at, b, to_at, len, &done);
	return r ? r : done == len ? 0 : SCENE_WRONG;
}
static int copy_shared(struct scene *s)
{
	return copy(s, "/d1/big", 0, "/d2/sub/leaf", B, 16 * (uint64_t)B);
}
static int copy_bytes(struct scene *s)
{
	return copy(s, "/d1/big", 10, "/d1/inline", 30, 5000);
}
static int copy_over(struct scene *s)
{
	return copy(s, "/d1/sparse", 0, "/d1/shares", 2 * B, 10 * (uint64_t)B);
}

static int copy_over_old(struct scene *s)
{
	return copy(s, "/d1/big", B, "/d1/shares", 2 * B, 10 * (uint64_t)B);
}

/* ---- back to a snapshot ----------------------------------------------------------------------------------------------------- */

static int take_id(void *arg, const struct linkfs_snapshot *snapshot)
{
	*(uint64_t *)arg = snapshot->id;
	return 0;
}
static int back(struct scene *s, const char *path)
{
	uint64_t id = 0;
	int r = linkfs_snapshot_show(s->volume, "one", take_id, &id);
	return r ? r : linkfs_path_rollback(s->volume, NULL, LINKFS_ROOT_INO, path, id, 0, NULL, NULL);
}
static int back_big(struct scene *s)
{
	return back(s, "/d1/big");
}
static int back_cut(struct scene *s)
{
	return back(s, "/d1/sparse");
}
static int back_attrs(struct scene *s)
{
	return back(s, "/d1/attrs");
}

/* ---- equal content ---------------------------------------------------------------------------------------------------------- */

static int write_one(struct scene *s)
{
	return write_at(s, "/d1/big", 0, 40 * B + 10, 0);
}
static int cut_one(struct scene *s)
{
	return cut(s, "/d1/big", 40 * B + 10);
}
static int write_other(struct scene *s)
{
	return write_at(s, "/d2/sub/leaf", 0, 40 * B + 10, 0);
}
static int cut_other(struct scene *s)
{
	return cut(s, "/d2/sub/leaf", 40 * B + 10);
}
static int dedupe(struct scene *s)
{
	struct linkfs_dedupe what = {0};
	uint64_t a = 0, b = 0;
	int r = scene_find(s, "/d1/big", &a);
	if (r == 0)
		r = scene_find(s, "/d2/sub/leaf", &b);
	if (r == 0)
		r = linkfs_node_dedupe(s->volume, NULL, a, b, 0, &what);
	return r ? r : what.equal && what.shared == 41 * B ? 0 : SCENE_WRONG;
}
static int merge(struct scene *s)
{
	uint64_t a = 0, dir = 0;
	int r = scene_find(s, "/d1/big", &a);
	if (r == 0)
		r = scene_find(s, "/d2/sub", &dir);
	return r ? r : linkfs_node_merge(s->volume, NULL, a, dir, "leaf", 4);
}

/* ---- reading: what the image holds (image.c) ------------------------------------------------------------------------------- */

static bool is_image(const uint8_t *p, size_t len, size_t from)
{
	for (size_t i = 0; i < len; i++)
		if (p[i] != (uint8_t)(1 + (from + i) / B + (from + i) % 199))
			return false;
	return true;
}
static int read_at(struct scene *s, const char *path, uint64_t offset, size_t len)
{
	uint64_t ino = 0;
	size_t done = 0;
	int r = scene_find(s, path, &ino);
	if (r == 0)
		r = linkfs_node_read(s->volume, ino, offset, s->got, len, &done);
	return r ? r : done == len ? 0 : SCENE_WRONG;
}
static int read_big(struct scene *s)
{
	int r = read_at(s, "/d1/big", 5, 20 * B);
	return r ? r : is_image(s->got, 20 * B, 5) ? 0 : SCENE_WRONG;
}
static int read_inline(struct scene *s)
{
	int r = read_at(s, "/d1/inline", 0, 700);
	return r ? r : is_image(s->got, 700, 0) ? 0 : SCENE_WRONG;
}
static int read_sparse(struct scene *s)
{
	int r = read_at(s, "/d1/sparse", 2 * B, 2 * B);
	return r ? r : is_image(s->got, B, 0) && s->got[B] == 0 && s->got[2 * B - 1] == 0 ? 0 : SCENE_WRONG;
}
static int read_xattr(struct scene *s)
{
	uint64_t ino = 0;
	size_t len = 0;
	int r = scene_find(s, "/d1/attrs", &ino);
	if (r == 0)
		r = linkfs_node_getxattr(s->volume, NULL, ino, "user.two", s->got, NTH_BUF, &len);
	return r ? r : len == 900 && is_image(s->got, len, 0) ? 0 : SCENE_WRONG;
}
static int seek_hole(struct scene *s)
{
	uint64_t ino = 0, at = 0;
	int r = scene_find(s, "/d1/sparse", &ino);
	if (r == 0)
		r = linkfs_node_seek(s->volume, ino, 20 * B, LINKFS_SEEK_HOLE, &at);
	return r ? r : at == 21 * B ? 0 : SCENE_WRONG;
}

#define ONE(name, fn)                                                                                                  \
	{                                                                                                              \
		name, IMAGE_TREE, PHASE_STEPS, {STEP(name, fn), SYNC}, 0                                               \
	}
#define PARTS(name, fn, what)                                                                                          \
	{                                                                                                              \
		name, IMAGE_TREE, PHASE_STEPS, {IN_PARTS(name, fn, what), SYNC}, 0                                     \
	}
#define OLD(name, fn)                                                                                                  \
	{                                                                                                              \
		name, IMAGE_SNAPSHOTS, PHASE_STEPS, {STEP(name, fn), SYNC}, 0                                          \
	}

const struct scenario scenarios_content[] = {
	ONE("write inline", write_inline),
	ONE("write out of inline", write_out_of_inline),
	ONE("write over", write_over),
	ONE("write unaligned", write_unaligned),
	ONE("write to shared", write_shared),
	ONE("append", write_append),
	ONE("write far", write_far),
	ONE("write large", write_large),
	ONE("write that kills capabilities", write_killing),
	{"durable write",
	 IMAGE_TREE,
	 PHASE_STEPS,
	 {DURABLE("write", write_durable), STEP("again", write_over), SYNC},
	 0},
	ONE("cut", cut_big),
	ONE("cut many rows", cut_sparse),
	ONE("cut to nothing", cut_all),
	ONE("cut inline", cut_inline),
	ONE("grow", grow_big),
	ONE("grow inline", grow_inline),
	PARTS("preallocate", preallocate, PARTS_BLOCKS),
	PARTS("fill holes", fill_holes, PARTS_BLOCKS),
	ONE("punch", punch),
	ONE("punch inline", punch_inline),
	PARTS("zero", zero, PARTS_CONTENT),
	ONE("collapse", collapse),
	ONE("insert", insert),
	ONE("copy shares", copy_shared),
	ONE("copy bytes", copy_bytes),
	ONE("copy over", copy_over),
	{"dedupe",
	 IMAGE_TREE,
	 PHASE_STEPS,
	 {STEP("one", write_one), STEP("its size", cut_one), STEP("other", write_other), STEP("its size", cut_other),
	  IN_PARTS("dedupe", dedupe, PARTS_CONTENT), SYNC},
	 0},
	{"merge",
	 IMAGE_TREE,
	 PHASE_STEPS,
	 {STEP("one", write_one), STEP("its size", cut_one), STEP("other", write_other), STEP("its size", cut_other),
	  STEP("merge", merge), SYNC},
	 0},
	OLD("write over a snapshot's", write_unaligned),
	OLD("cut a snapshot's", cut_big),
	OLD("punch a snapshot's", punch),
	OLD("copy over a snapshot's", copy_over_old),
	OLD("back to a snapshot's content", back_big),
	OLD("back to a snapshot's size", back_cut),
	OLD("back to a snapshot's attributes", back_attrs),
	{"reading content",
	 IMAGE_TREE,
	 PHASE_STEPS,
	 {STEP("big", read_big), STEP("inline", read_inline), STEP("sparse", read_sparse), STEP("xattr", read_xattr),
	  STEP("seek", seek_hole)},
	 0},
	{"a batch of content",
	 IMAGE_TREE,
	 PHASE_STEPS,
	 {STEP("write", write_out_of_inline), STEP("write over", write_over), STEP("cut", cut_big), SYNC,
	  STEP("grow", grow_big), STEP("copy", copy_over), STEP("large", write_large), STEP("cut to nothing", cut_all),
	  SYNC, IN_PARTS("preallocate", preallocate, PARTS_BLOCKS), IN_PARTS("fill", fill_holes, PARTS_BLOCKS), SYNC},
	 0},
	{0},
};
