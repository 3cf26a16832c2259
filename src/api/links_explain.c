/*
 * links_explain.c - a walk, step by step (linkfs_links.h): the walker's own steps, copied.
 * Layer: api.
 */
#include "told.h"

#include "paths.h"
#include "refs.h"
#include "snapshot.h"
#include "track.h"

#include <linkfs_snapshots.h>
#include <stdlib.h>
#include <string.h>

struct explain {
	struct lk_told told;
	bool mount; /* LINKFS_LINKS_MOUNT */
	struct lk_paths paths;
	linkfs_step_fn *fn;
	void *arg;
};

static enum linkfs_step_kind kind_of(enum lk_step_kind kind)
{
	static const enum linkfs_step_kind kinds[] = {
		[LK_STEP_START] = LINKFS_STEP_START, [LK_STEP_SEARCH] = LINKFS_STEP_SEARCH,
		[LK_STEP_ENTRY] = LINKFS_STEP_ENTRY, [LK_STEP_DOT] = LINKFS_STEP_DOT,
		[LK_STEP_UP] = LINKFS_STEP_UP,       [LK_STEP_EXPAND] = LINKFS_STEP_EXPAND,
		[LK_STEP_ROOT] = LINKFS_STEP_ROOT,   [LK_STEP_HOST] = LINKFS_STEP_HOST,
	};

	return kinds[kind];
}

static enum linkfs_decider decider_of(enum lk_decider decider)
{
	static const enum linkfs_decider deciders[] = {
		[LK_BY_POWER] = LINKFS_BY_ROOT,  [LK_BY_OWNER] = LINKFS_BY_OWNER, [LK_BY_ACL] = LINKFS_BY_ACL,
		[LK_BY_GROUP] = LINKFS_BY_GROUP, [LK_BY_OTHER] = LINKFS_BY_OTHER,
	};

	return deciders[decider];
}

/* ---- .snapshots, which a mount has and no volume ---------------------------------------------------------------- */

#define SNAPSHOTS ".snapshots"

static bool is_snapshots(const struct lk_place *place)
{
	return place->id == LINKFS_SNAPSHOTS_NODE;
}

/* The directory of snapshots, as who walks meets it: anyone may search it. */
static void enter_snapshots(struct lk_op *op, struct lk_place *out)
{
	lk_view_leave(op);
	*out = (struct lk_place){
		.id = LINKFS_SNAPSHOTS_NODE,
		.inode = {.ino = (int64_t)LK_INO_MASK, .mode = S_IFDIR | 0555, .nlink = 2},
	};
}

static int enter(struct lk_op *op, uint64_t id, struct lk_place *out)
{
	out->id = id;
	return lk_inode_get(op, id, &out->inode);
}

static int enter_snapshot(struct lk_op *op, const struct lk_where *where, struct lk_place *out)
{
	struct lk_snapshot row;
	uint64_t bits = 0;
	int rc = where->len > LINKFS_NAME_MAX ? LINKFS_ENAMETOOLONG
					      : lk_snapshot_find(op, where->name, where->len, &row);

	if (rc == 0)
		rc = lk_view_bits(op->fs, row.epoch, &bits);
	return rc ? rc : enter(op, bits | LINKFS_ROOT_INO, out);
}

/* Finds what only a mount has: .snapshots in the live root, unless that has such an entry, the snapshots in it, and the way up from them. */
static bool look_mount(void *arg, const struct lk_walk *walk, struct lk_place *out, int *rc_out)
{
	const struct lk_where *w = &walk->where;
	struct lk_slot slot;

	(void)arg;
	if (is_snapshots(&w->dir)) {
		if (w->last == LK_LAST_NAME)
			*rc_out = enter_snapshot(walk->op, w, out);
		else if (w->last == LK_LAST_DOTDOT)
			*rc_out = enter(walk->op, LINKFS_ROOT_INO, out);
		return w->last == LK_LAST_NAME || w->last == LK_LAST_DOTDOT;
	}
	if (w->last == LK_LAST_DOTDOT && walk->op->bits && lk_id_is_root(w->dir.id)) {
		enter_snapshots(walk->op, out);
		*rc_out = 0;
		return true;
	}
	if (w->last != LK_LAST_NAME || w->dir.id != LINKFS_ROOT_INO || w->len != strlen(SNAPSHOTS) ||
	    memcmp(w->name, SNAPSHOTS, w->len) != 0)
		return false;
	*rc_out = lk_walk_look(walk->op, w, &slot, out);
	if (*rc_out == LINKFS_ENOENT) {
		enter_snapshots(walk->op, out);
		*rc_out = 0;
	}
	return true;
}

/* A path in the view that the walk is in, as it is in the mount. */
static int path_in_mount(const struct explain *e, struct lk_op *op, struct lk_bytes *path)
{
	struct lk_snapshot row = {.epoch = op->view};
	size_t len = path->len == 1 ? 0 : path->len; /* "/" */
	int rc = e->mount && op->bits ? lk_txn_get(op, LK_T_SNAPSHOT, &row, &row) : LINKFS_ENOENT;
	char *p, *at;

	if (rc)
		return rc == LINKFS_ENOENT ? 0 : rc;
	p = lk_op_alloc(op, strlen("/" SNAPSHOTS "/") + row.name.len + len);
	if (!p)
		return LINKFS_ENOMEM;
	at = stpcpy(p, "/" SNAPSHOTS "/");
	at = mempcpy(at, row.name.p, row.name.len);
	at = mempcpy(at, path->p, len);
	*path = (struct lk_bytes){p, (size_t)(at - p)};
	return 0;
}

/* lk_stat() of what a step found. */
static int stat_found(struct lk_op *op, const struct lk_place *found, struct linkfs_stat *out)
{
	if (!is_snapshots(found))
		return lk_stat(op, &found->inode, found->id, out);
	lk_inode_stat(&found->inode, out);
	out->ino = out->node = LINKFS_SNAPSHOTS_NODE;
	return 0;
}

/* ---- steps ------------------------------------------------------------------------------------------------------- */

/* The path of the directory the step led to; p NULL when it led to none. */
static int path_after(struct explain *e, const struct lk_walk *walk, const struct lk_step *step, struct lk_bytes *out)
{
	int rc = 0;

	*out = (struct lk_bytes){NULL, 0};
	if (walk->above && (step->kind == LK_STEP_HOST || step->kind == LK_STEP_ROOT)) {
		*out = (struct lk_bytes){"", 0};
	} else if (step->error || step->kind == LK_STEP_SEARCH || step->kind == LK_STEP_DOT ||
		   step->kind == LK_STEP_EXPAND || !lk_is_dir(&step->found->inode)) {
		return 0;
	} else if (is_snapshots(step->found)) {
		*out = (struct lk_bytes){"/" SNAPSHOTS, strlen("/" SNAPSHOTS)};
	} else if (step->found->inode.ino == LINKFS_ROOT_INO) {
		*out = (struct lk_bytes){"/", 1};
	} else if (step->kind == LK_STEP_ENTRY) {
		rc = lk_paths_name(&e->paths, walk->where.dir.id, walk->where.name, walk->where.len, out);
	} else {
		rc = lk_paths_dir(&e->paths, step->found->id, out);
	}
	if (rc == 0 && out->len && !is_snapshots(step->found))
		rc = path_in_mount(e, walk->op, out);
	return rc == LINKFS_EACCES || rc == LINKFS_ENOENT ? 0 : rc;
}

static bool has_name(enum lk_step_kind kind)
{
	return kind == LK_STEP_ENTRY || kind == LK_STEP_DOT || kind == LK_STEP_UP || kind == LK_STEP_EXPAND ||
	       kind == LK_STEP_HOST;
}

static int tell_step(void *arg, const struct lk_walk *walk, const struct lk_step *step)
{
	const struct lk_where *w = &walk->where;
	struct explain *e = arg;
	struct linkfs_step *out;
	struct lk_bytes path;
	char *bytes;
	int rc;

	/* A path of slashes alone has no component. */
	if (step->kind == LK_STEP_DOT && w->last == LK_LAST_ROOT)
		return 0;
	rc = path_after(e, walk, step, &path);
	if (rc)
		return rc;
	out = lk_told_add(&e->told, sizeof(*out), path.len + w->len + step->text_len + 3, &bytes);
	if (!out)
		return LINKFS_ENOMEM;
	out->kind = kind_of(step->kind);
	out->error = step->error;
	out->expansions = LK_MIN(walk->expansions, LINKFS_SYMLOOP_MAX);
	out->above = walk->above;
	out->covered = step->error ? 0 : step->covered;
	if (step->error == 0 || step->kind == LK_STEP_SEARCH || step->kind == LK_STEP_EXPAND)
		rc = stat_found(walk->op, step->found, &out->stat);
	if (rc)
		return rc;
	if (step->kind == LK_STEP_HOST || walk->above)
		out->stat = (struct linkfs_stat){0};
	if (step->kind == LK_STEP_SEARCH)
		out->decided = decider_of(lk_perm_decider(walk->cred, &step->found->inode));
	if (path.p)
		out->path = lk_told_string(&bytes, path.p, path.len);
	if (has_name(step->kind) && w->last != LK_LAST_ROOT) {
		out->name = lk_told_string(&bytes, w->name, w->len);
		out->name_len = w->len;
	}
	if (step->kind == LK_STEP_EXPAND && step->error == 0) {
		out->text = lk_told_string(&bytes, step->text, step->text_len);
		out->text_len = step->text_len;
	}
	return 0;
}

static int tell_end(struct explain *e, struct lk_op *op, int error, const struct lk_place *found)
{
	char *bytes;
	struct linkfs_step *out = lk_told_add(&e->told, sizeof(*out), 0, &bytes);

	if (!out)
		return LINKFS_ENOMEM;
	out->kind = LINKFS_STEP_END;
	out->error = error;
	return error ? 0 : stat_found(op, found, &out->stat);
}

static int give_step(void *arg, const void *answer)
{
	const struct explain *e = arg;

	return e->fn(e->arg, answer);
}

int linkfs_path_explain(struct linkfs_volume *volume, const struct linkfs_cred *cred, uint64_t at, const char *path,
			uint32_t flags, const struct linkfs_links_options *options, linkfs_step_fn *fn, void *arg)
{
	struct explain e = {.fn = fn, .arg = arg};
	struct lk_walk_how how = {.step = tell_step, .arg = &e};
	struct lk_host *host = NULL;
	struct lk_place found;
	struct lk_op op;
	int rc;

	if (flags & ~LINKFS_NOFOLLOW || (options && options->flags & ~LINKFS_LINKS_MOUNT))
		return LINKFS_EINVAL;
	if (options && options->flags & LINKFS_LINKS_MOUNT) {
		e.mount = how.leaves = true;
		how.look = look_mount;
	}
	cred = lk_cred(cred);
	rc = lk_host_parse(options, &host);
	if (rc == 0)
		rc = lk_op_begin(lk_volume_fs(volume), &op, 0);
	if (rc) {
		free(host);
		return rc;
	}
	how.host = host;
	e.paths = (struct lk_paths){.op = &op, .cred = cred};
	rc = lk_resolve_how(&op, cred, at, path, !(flags & LINKFS_NOFOLLOW), &how, &found);
	if (rc == 0 || lk_walk_verdict(rc))
		rc = tell_end(&e, &op, rc, &found);
	lk_paths_done(&e.paths);
	rc = lk_told_slice(&op, rc, &e.told, give_step, &e);
	free(host);
	return lk_told_result(rc);
}
