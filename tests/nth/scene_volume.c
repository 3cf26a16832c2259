/*
 * scene_volume.c - scenarios: volumes as wholes (create, open, recover, sync, checkpoint, close), snapshots, and batches drawn from
 * a seed.
 */
#include "scene.h"

#include <linkfs_diff.h>
#include <linkfs_prune.h>
#include <linkfs_snapshots.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <txn.h>

#define B LK_BLOCK_SIZE

int scene_sync(struct scene *s)
{
	return linkfs_volume_sync(s->volume);
}

int scene_find(struct scene *s, const char *path, uint64_t *ino_out)
{
	struct linkfs_stat st = {0};
	int r = linkfs_path_stat(s->volume, NULL, 1, path, LINKFS_NOFOLLOW, &st);
	if (r == 0)
		*ino_out = st.ino;
	return r;
}

int scene_make(struct scene *s, const char *path, uint32_t mode)
{
	struct linkfs_make how = {.mode = mode, .rdev_major = S_ISCHR(mode) ? 1 : 0, .rdev_minor = 3};
	return linkfs_path_make(s->volume, NULL, 1, path, &how, NULL);
}

static int make(struct scene *s)
{
	return scene_make(s, "/made", S_IFREG | 0644);
}

static int write_it(struct scene *s)
{
	uint64_t ino = 0;
	int r = scene_find(s, "/made", &ino);
	return r ? r : linkfs_node_write(s->volume, NULL, ino, 0, s->bytes, 5 * B + 9, 0, NULL, NULL);
}

static int fsync_it(struct scene *s)
{
	uint64_t ino = 0;
	int r = scene_find(s, "/made", &ino);
	return r ? r : linkfs_node_fsync(s->volume, ino, 1);
}

static int unlink_it(struct scene *s)
{
	return linkfs_path_unlink(s->volume, NULL, 1, "/made");
}

static int info(struct scene *s)
{
	struct linkfs_info i = {0};
	int r = linkfs_volume_info(s->volume, &i);
	return r ? r : i.inodes && i.next_ino > i.inodes && i.block_size == B ? 0 : SCENE_WRONG;
}

static int statfs(struct scene *s)
{
	struct linkfs_statfs f = {0};
	int r = linkfs_volume_statfs(s->volume, &f);
	return r ? r : f.block_size == B && f.blocks_free <= f.blocks ? 0 : SCENE_WRONG;
}

/* As the keeper does. */
static int checkpoint(struct scene *s)
{
	struct lk_db *db = lk_volume_fs(s->volume)->db;
	return db->ops->checkpoint(db, false);
}

/* ---- snapshots ------------------------------------------------------------------------------------------------------------- */

static int snapshot_add(struct scene *s)
{
	struct lk_op op;
	struct lk_snapshot row = {.name = {"three", 5}};
	int r = lk_op_begin(lk_volume_fs(s->volume), &op, LK_OP_WRITE);
	if (r)
		return r;
	r = lk_op_end(&op, lk_txn_snapshot_add(&op, &row));
	if (r == 0)
		s->ino[1] = (uint64_t)row.epoch;
	return r;
}

static int see_epoch(void *arg, const void *record)
{
	*(int64_t *)arg = ((const struct lk_snapshot *)record)->epoch;
	return 1;
}

/* The oldest one, in steps; what an earlier call has done of it stays done. */
static int snapshot_drop(struct scene *s)
{
	struct lk_fs *fs = lk_volume_fs(s->volume);
	struct lk_op op;
	int64_t epoch = (int64_t)s->ino[2];
	bool more = true;
	int r = lk_op_begin(fs, &op, LK_OP_WRITE);
	if (r)
		return r;
	struct lk_scan scan = {.table = &lk_tables[LK_T_SNAPSHOT], .index = LK_BY_KEY};
	if (!epoch)
		r = lk_txn_scan(&op, &scan, see_epoch, &epoch);
	if (r == 0)
		r = lk_txn_snapshot_mark(&op, epoch);
	r = lk_op_end(&op, r);
	if (r == 0)
		s->ino[2] = (uint64_t)epoch;
	while (r == 0 && more) {
		r = lk_op_begin(fs, &op, LK_OP_WRITE | LK_OP_FREES | LK_OP_BULK);
		if (r == 0)
			r = lk_op_end(&op, lk_txn_snapshot_drop(&op, epoch, 7, &(uint32_t){0}, &more));
	}
	return r;
}

/* The ids of some snapshots. */
struct ids {
	uint64_t id[4];
	unsigned count;
};

static int take_id(void *arg, const struct linkfs_snapshot *snapshot)
{
	struct ids *ids = arg;
	ids->id[ids->count++] = snapshot->id;
	return ids->count == LK_ARRAY_LEN(ids->id);
}

static int take_change(void *arg, const struct linkfs_diff_change *change)
{
	uint64_t *sum = arg;
	*sum = (*sum ^ (uint64_t)change->kind << 32 ^ change->what) * 1099511628211u;
	for (const char *p = change->path; *p; p++)
		*sum = (*sum ^ (unsigned char)*p) * 1099511628211u;
	return 0;
}

/* What changed since each snapshot, and back: an answer that comes is the right one. */
static int diff_past(struct scene *s)
{
	static uint64_t right; /* of the first time, when nothing failed */
	struct ids ids = {.count = 0};
	uint64_t sum = 1469598103934665603u;
	int r = linkfs_snapshot_list(s->volume, take_id, &ids);
	for (unsigned i = 0; r == 0 && i < ids.count; i++) {
		struct linkfs_stat root = {0};
		r = linkfs_snapshot_root(s->volume, ids.id[i], 0, &root);
		struct linkfs_diff ask = {.from = root.node, .to = LINKFS_ROOT_INO, .from_path = "/", .to_path = "/"};
		if (r == 0)
			r = linkfs_diff(s->volume, NULL, &ask, take_change, &sum, NULL);
		ask = (struct linkfs_diff){.from = LINKFS_ROOT_INO, .to = root.node};
		if (r == 0)
			r = linkfs_diff(s->volume, NULL, &ask, take_change, &sum, NULL);
	}
	if (r)
		return r;
	if (!right)
		right = sum;
	return sum == right && ids.count ? 0 : SCENE_WRONG;
}

static int rename_old(struct scene *s)
{
	return linkfs_path_rename(s->volume, NULL, 1, "/d1/attrs", 1, "/d1/big", 0);
}

static int tag_one(struct scene *s)
{
	return linkfs_snapshot_tag(s->volume, NULL, "one", "kept", NULL);
}

static int set_every(struct scene *s)
{
	return linkfs_volume_set_property(s->volume, NULL, LINKFS_SNAPSHOT_EVERY, "1h", NULL);
}

static int set_keep(struct scene *s)
{
	return linkfs_volume_set_property(s->volume, NULL, LINKFS_SNAPSHOT_KEEP, "last=1,within=1h", NULL);
}

/* After an error that came when the snapshot was there nothing is due any more. */
static int tick(struct scene *s)
{
	struct linkfs_tick done;
	return linkfs_snapshot_tick(s->volume, NULL, &done);
}

/* All but the newest; those that an earlier call has deleted are gone. */
static int prune(struct scene *s)
{
	struct linkfs_prune_options options = {0};
	struct linkfs_prune_rules *rules;
	int r = linkfs_prune_rules_new(&rules);
	if (r)
		return r;
	options.rules = rules;
	r = linkfs_prune_rules_add(rules, "last", "1", NULL);
	if (r == 0)
		r = linkfs_prune_rules_add(rules, "tag", "a+b", NULL);
	if (r == 0)
		r = linkfs_prune(s->volume, NULL, &options, NULL, NULL);
	linkfs_prune_rules_free(rules);
	return r;
}

static int unlink_old(struct scene *s)
{
	return linkfs_path_unlink(s->volume, NULL, 1, "/d2/moved");
}

static int symlink_old(struct scene *s)
{
	return linkfs_path_symlink(s->volume, NULL, "elsewhere", 1, "/s", NULL);
}

/* ---- batches from a seed ---------------------------------------------------------------------------------------------------- */

static const char *const paths[] = {"/d1/inline", "/d1/big", "/d1/sparse", "/d1/shares", "/d1/attrs",    "/d2/name",
				    "/d2/a",      "/d2/b",   "/d2/sub/c",  "/d1/d",      "/d2/sub/leaf", "/s"};
static const char *const dirs[] = {"/d2/empty", "/d2/sub", "/d1/e", "/d2/f"};

static const char *any(struct lk_test_random *r)
{
	return paths[lk_test_below(r, LK_ARRAY_LEN(paths))];
}
static const char *any_dir(struct lk_test_random *r)
{
	return dirs[lk_test_below(r, LK_ARRAY_LEN(dirs))];
}

static int random_names(struct scene *s, struct lk_test_random *r, uint64_t what)
{
	struct linkfs_volume *v = s->volume;
	const char *a = any(r), *b = any(r), *d = any_dir(r), *e = any_dir(r);
	uint32_t flags = lk_test_below(r, 3) ? 0 : (uint32_t)lk_test_below(r, 3);
	switch (what) {
	case 0:
		return scene_make(s, a, S_IFREG | 0644);
	case 1:
		return scene_make(s, d, S_IFDIR | 0755);
	case 2:
		return linkfs_path_link(v, NULL, 1, a, 1, b, 0);
	case 3:
		return linkfs_path_symlink(v, NULL, b, 1, a, NULL);
	case 4:
		return linkfs_path_unlink(v, NULL, 1, a);
	case 5:
		return linkfs_path_rmdir(v, NULL, 1, d);
	case 6:
		return linkfs_path_rename(v, NULL, 1, d, 1, e, flags);
	case 7:
		return linkfs_path_replace_symlink(v, NULL, d, 1, a, NULL);
	default:
		return linkfs_path_rename(v, NULL, 1, a, 1, b, flags);
	}
}

static int random_content(struct scene *s, struct lk_test_random *r, uint64_t what)
{
	struct linkfs_volume *v = s->volume;
	uint64_t ino = 0, other = 0, done, at = lk_test_below(r, 40 * B), len = 1 + lk_test_below(r, 30 * B);
	const char *a = any(r), *b = any(r);
	if (lk_test_below(r, 2)) {
		at = at / B * B;
		len = (len + B - 1) / B * B;
	}
	struct linkfs_setattr cut = {.valid = LINKFS_SET_SIZE, .size = at};
	static const uint32_t modes[] = {0, 1, 3, 8, 16, 17, 32};
	uint32_t mode = modes[lk_test_below(r, LK_ARRAY_LEN(modes))];
	int e = scene_find(s, a, &ino);
	if (e)
		return e;
	switch (what) {
	case 0:
		return linkfs_node_setattr(v, NULL, ino, &cut, NULL);
	case 1:
	case 2:
		return linkfs_node_allocate(v, NULL, ino, mode, at, len);
	case 3:
		e = scene_find(s, b, &other);
		return e ? e : linkfs_node_copy_range(v, NULL, other, at / 2, ino, at, len, &done);
	case 4:
		return linkfs_node_setxattr(v, NULL, ino, at & 1 ? "user.one" : "user.three", s->bytes, len % 5000, 0);
	case 5:
		return linkfs_node_removexattr(v, NULL, ino, "user.one");
	case 6:
		return linkfs_node_write(v, NULL, ino, at % 3000, s->bytes, len % 900 + 1, 0, NULL, NULL);
	default:
		return linkfs_node_write(v, NULL, ino, at, s->bytes, len, lk_test_below(r, 4) ? 0 : LINKFS_WRITE_APPEND,
					 NULL, NULL);
	}
}

/* The same operation for the same seed and position, however often it is made. */
static int random_step(struct scene *s)
{
	struct lk_test_random r = {s->seed * 1000003 + s->at};
	uint64_t what = lk_test_below(&r, 19);
	return what < 10 ? random_names(s, &r, what) : random_content(s, &r, what - 10);
}

void scenario_random(uint64_t seed, struct scenario *out)
{
	static const struct step any_step = IN_PARTS("random", random_step, PARTS_CONTENT), sync = SYNC;
	struct lk_test_random r = {seed};
	unsigned n = 4 + (unsigned)lk_test_below(&r, NTH_STEPS - 6);
	*out = (struct scenario){.name = "random", .phase = PHASE_STEPS, .seed = seed};
	out->image = lk_test_below(&r, 3) ? IMAGE_TREE : IMAGE_SNAPSHOTS;
	for (unsigned i = 0; i < n; i++)
		out->steps[i] = lk_test_below(&r, 5) ? any_step : sync;
	out->steps[n] = sync;
}

const struct scenario scenarios_volume[] = {
	{"create", IMAGE_NONE, PHASE_CREATE, {STEP("make", make), STEP("write", write_it), SYNC}, 0},
	{"open", IMAGE_TREE, PHASE_OPEN, {STEP("make", make), STEP("write", write_it), SYNC}, 0},
	{"open an empty one", IMAGE_EMPTY, PHASE_OPEN, {STEP("make", make), STEP("write", write_it), SYNC}, 0},
	{"open after a crash", IMAGE_CRASHED, PHASE_OPEN, {STEP("make", make), STEP("write", write_it), SYNC}, 0},
	{"open with snapshots", IMAGE_SNAPSHOTS, PHASE_OPEN, {STEP("make", make), STEP("write", write_it), SYNC}, 0},
	{"close", IMAGE_TREE, PHASE_CLOSE, {STEP("make", make), STEP("write", write_it)}, 0},
	{"close after a sync", IMAGE_TREE, PHASE_CLOSE, {STEP("make", make), STEP("write", write_it), SYNC}, 0},
	{"first steps", IMAGE_EMPTY, PHASE_STEPS, {STEP("make", make), STEP("write", write_it), SYNC}, 0},
	{"syncs",
	 IMAGE_TREE,
	 PHASE_STEPS,
	 {DURABLE("nothing", scene_sync), STEP("make", make), DURABLE("fsync", fsync_it), STEP("write", write_it),
	  DURABLE("fdatasync", fsync_it), STEP("unlink", unlink_it), SYNC, STEP("make again", make), SYNC},
	 0},
	{"told", IMAGE_TREE, PHASE_STEPS, {STEP("info", info), STEP("statfs", statfs)}, 0},
	{"checkpoint",
	 IMAGE_TREE,
	 PHASE_STEPS,
	 {STEP("make", make), STEP("write", write_it), SYNC, STEP("checkpoint", checkpoint), STEP("unlink", unlink_it),
	  SYNC, STEP("checkpoint", checkpoint)},
	 0},
	{"snapshot", IMAGE_SNAPSHOTS, PHASE_STEPS, {STEP("add", snapshot_add), STEP("rename", rename_old), SYNC}, 0},
	{"first snapshot", IMAGE_TREE, PHASE_STEPS, {STEP("add", snapshot_add), STEP("rename", rename_old), SYNC}, 0},
	{"changes after a snapshot",
	 IMAGE_SNAPSHOTS,
	 PHASE_STEPS,
	 {STEP("unlink", unlink_old), STEP("symlink", symlink_old), STEP("rename", rename_old), SYNC},
	 0},
	{"diff",
	 IMAGE_SNAPSHOTS,
	 PHASE_STEPS,
	 {STEP("rename", rename_old), STEP("diff", diff_past), SYNC, STEP("diff", diff_past)},
	 0},
	{"drop a snapshot",
	 IMAGE_SNAPSHOTS,
	 PHASE_STEPS,
	 {GOES_ON("drop", snapshot_drop), SYNC, STEP("unlink", unlink_old), SYNC},
	 0},
	{"prune snapshots",
	 IMAGE_SNAPSHOTS,
	 PHASE_STEPS,
	 {STEP("tag", tag_one), STEP("rename", rename_old), GOES_ON("prune", prune), STEP("unlink", unlink_old), SYNC},
	 0},
	{"snapshots by themselves",
	 IMAGE_SNAPSHOTS,
	 PHASE_STEPS,
	 {STEP("every", set_every), STEP("keep", set_keep), STEP("tick", tick), STEP("rename", rename_old),
	  STEP("again", tick), STEP("unlink", unlink_old), SYNC},
	 0},
	{0},
};
