/*
 * track.c - tracked symlinks: making them, and asking what they follow (D5).
 * Layer: api.
 */
#include "call.h"
#include "told.h"

#include "paths.h"
#include "track.h"

#include <string.h>

/* What path names, symlinks followed, and the entry that named it last; slot->ino 0: none did (".", "..", "/"). */
static int find_target(struct lk_op *op, const struct linkfs_cred *cred, uint64_t at, const char *path,
		       struct lk_place *out, struct lk_slot *slot)
{
	struct lk_walk walk;
	int rc = lk_walk_begin(&walk, op, cred, at, path);

	if (rc == 0)
		rc = lk_walk_parent(&walk);
	while (rc == 0) {
		slot->ino = 0;
		rc = lk_walk_look(op, &walk.where, slot, out);
		if (rc || !lk_is_lnk(&out->inode))
			break;
		rc = lk_walk_follow(&walk, out);
	}
	if (rc == 0 && (walk.where.slash || walk.need_dir) && !lk_is_dir(&out->inode))
		rc = LINKFS_ENOTDIR;
	return rc;
}

int linkfs_path_track(struct linkfs_volume *volume, const struct linkfs_cred *cred, uint64_t target_at,
		      const char *target, uint64_t at, const char *path, uint32_t flags, struct linkfs_stat *out)
{
	struct lk_inode inode = {0};
	struct lk_place found, place = {0};
	struct lk_where where;
	struct lk_slot slot;
	struct lk_op op;
	int rc;

	if (flags & ~LINKFS_TRACK_REPLACE)
		return LINKFS_EINVAL;
	cred = lk_cred(cred);
	rc = lk_call_begin_both(volume, &op, cred, target_at, at);
	if (rc)
		return rc;
	rc = find_target(&op, cred, target_at, target, &found, &slot);
	if (rc == 0)
		rc = lk_walk_to(&op, cred, at, path, &where);
	if (rc == 0)
		rc = lk_track_make(&op, cred, &found.inode, slot.ino ? &slot : NULL, &where,
				   flags & LINKFS_TRACK_REPLACE, &inode);
	if (rc == 0)
		rc = lk_call_place(&op, &where, &inode, &place);
	return lk_call_end_at(&op, rc, &place, 0, out);
}

/* The path of what the row's link follows. */
static int tell_target(struct lk_op *op, const struct linkfs_cred *cred, const struct lk_target *row,
		       struct lk_told *told)
{
	struct lk_paths paths = {.op = op, .cred = cred};
	struct lk_bytes path = {"/", 1};
	struct linkfs_name *out;
	struct lk_dirent d = {.name = {"", 0}};
	char *bytes;
	int rc = 0;

	if (row->tracks != (int64_t)LINKFS_ROOT_INO)
		rc = lk_track_entry(op, row, &d);
	if (rc == 0 && d.dir)
		rc = lk_paths_name(&paths, op->bits | (uint64_t)d.dir, d.name.p, d.name.len, &path);
	lk_paths_done(&paths);
	if (rc)
		return rc;
	out = lk_told_add(told, sizeof(*out), path.len + 1, &bytes);
	if (!out)
		return LINKFS_ENOMEM;
	out->path = lk_told_string(&bytes, path.p, path.len);
	out->path_len = path.len;
	out->dir = op->bits | (uint64_t)d.dir;
	out->name = out->path + path.len - d.name.len;
	out->name_len = d.name.len;
	return 0;
}

struct listener {
	linkfs_name_fn *fn;
	void *arg;
};

static int give(void *arg, const void *answer)
{
	const struct listener *l = arg;

	return l->fn ? l->fn(l->arg, answer) : 0;
}

int linkfs_node_tracks(struct linkfs_volume *volume, const struct linkfs_cred *cred, uint64_t ino, linkfs_name_fn *fn,
		       void *arg, uint64_t *target_out)
{
	struct listener listener = {fn, arg};
	struct lk_target row = {0};
	struct lk_told told = {0};
	struct lk_inode inode;
	struct lk_op op;
	int rc = lk_op_begin(lk_volume_fs(volume), &op, 0);

	if (rc)
		return rc;
	rc = lk_inode_get(&op, ino, &inode);
	if (rc == 0 && (!lk_is_lnk(&inode) || !(inode.flags & LK_INODE_TRACKED)))
		rc = LINKFS_EINVAL;
	if (rc == 0)
		rc = lk_symlink_row(&op, &inode, &row);
	if (rc == 0)
		rc = tell_target(&op, lk_cred(cred), &row, &told);
	if (target_out && (rc == 0 || rc == LINKFS_EACCES))
		*target_out = op.bits | (uint64_t)row.tracks;
	return lk_told_result(lk_told_slice(&op, rc, &told, give, &listener));
}
