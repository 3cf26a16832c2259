/*
 * rollback_content.c - what the files and directories of a tree are, once their names are right (rollback.h).
 * Layer: core.
 */
#include "rollback_impl.h"

#include "track.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- contents ---------------------------------------------------------------------------------------------------------- */

static int tell_step(struct lk_rollback *r, enum linkfs_rollback_kind kind, const char *above, const char *name,
		     size_t len, uint32_t type, uint32_t what, int error)
{
	char *path = malloc(strlen(above) + len + 2);
	int rc;

	if (!path)
		return LINKFS_ENOMEM;
	(void)snprintf(path, strlen(above) + len + 2, "%s%s%.*s", above, len || !*above ? "/" : "", (int)len, name);
	rc = lk_rollback_tell(
		r, &(struct linkfs_rollback){.kind = kind, .what = what, .error = error, .type = type, .path = path});
	free(path);
	return rc;
}

static int tell_change(struct lk_rollback *r, const char *above, const char *name, size_t len, uint32_t type,
		       uint32_t what)
{
	return tell_step(r, LINKFS_ROLLBACK_CHANGED, above, name, len, type, what, 0);
}

/* The entry by which a tracked link named what it follows. */
static int by_then(struct lk_rollback *r, struct lk_op *op, const struct lk_target *was, uint64_t target,
		   struct lk_slot *out)
{
	uint64_t dir = lk_pairs_get(&r->now_of, (uint64_t)was->by_dir);
	struct lk_dirent d;
	int rc;

	*out = (struct lk_slot){0};
	if (!was->by_dir)
		return 0;
	lk_then_see(op, r->then);
	rc = lk_dirent_at(op, (uint64_t)was->by_dir, was->by_hash, was->by_ord, (uint64_t)was->tracks, &d);
	lk_view_leave(op);
	if (rc)
		return rc == LINKFS_ENOENT ? 0 : rc;
	rc = lk_dirent_find(op, dir ? dir : (uint64_t)was->by_dir, d.name.p, d.name.len, out);
	if (rc == 0 && out->ino != target)
		*out = (struct lk_slot){0};
	return rc;
}

/* What it followed is gone: the text of then stays. */
static int track_gone(struct lk_rollback *r, struct lk_op *op, const struct lk_inode *old, const struct lk_target *was,
		      struct lk_inode *link, struct lk_target *row, bool *changed)
{
	const char *text;
	size_t len;
	bool other;
	int rc;

	lk_then_see(op, r->then);
	rc = lk_symlink_text(op, old, 0, &text, &len);
	lk_view_leave(op);
	if (rc)
		return rc == LINKFS_ENAMETOOLONG ? 0 : rc;
	other = row->text.len != len || memcmp(row->text.p, text, len) != 0;
	*changed = other || !(link->flags & LK_INODE_TRACKED) || row->tracks != was->tracks;
	if (!*changed || r->ask->dry)
		return 0;
	if (other) {
		rc = lk_symlink_rewrite(op, link, row, text, len);
		if (rc == 0)
			rc = lk_txn_put(op, LK_T_TARGET, row);
	}
	return rc ? rc : lk_track_set_gone(op, (uint64_t)was->tracks, link);
}

static int track_there(struct lk_rollback *r, struct lk_op *op, const struct lk_target *was, uint64_t now,
		       struct lk_inode *link, const struct lk_target *row, bool *changed)
{
	struct lk_slot by;
	int rc = by_then(r, op, was, now, &by);

	*changed = rc == 0 &&
		   (!(link->flags & LK_INODE_TRACKED) || row->tracks != (int64_t)now ||
		    (by.ino && (row->by_dir != (int64_t)by.dir || row->by_hash != by.hash || row->by_ord != by.ord)));
	if (rc || !*changed || r->ask->dry)
		return rc;
	return lk_track_set(op, now, by.ino ? &by : NULL, link);
}

/* What the link followed then it follows again. */
static int track_op(struct lk_rollback *r, struct lk_op *op, uint64_t old_ino, uint64_t ino, bool *changed)
{
	struct lk_inode old, link, target;
	struct lk_target was, row;
	uint64_t now;
	int rc = lk_then_inode(op, r->then, old_ino, &old);

	if (rc || !(old.flags & LK_INODE_TRACKED))
		return rc;
	lk_then_see(op, r->then);
	rc = lk_symlink_row(op, &old, &was);
	lk_view_leave(op);
	if (rc == 0)
		rc = lk_inode_get(op, ino, &link);
	if (rc == 0)
		rc = lk_symlink_row(op, &link, &row);
	if (rc)
		return rc;
	now = lk_pairs_get(&r->now_of, (uint64_t)was.tracks);
	if (!now)
		now = (uint64_t)was.tracks;
	rc = lk_inode_get(op, now, &target);
	if (rc == LINKFS_ESTALE || (rc == 0 && target.nlink == 0))
		rc = track_gone(r, op, &old, &was, &link, &row, changed);
	else if (rc == 0)
		rc = track_there(r, op, &was, now, &link, &row, changed);
	if (rc == 0 && *changed && !r->ask->dry)
		rc = lk_op_event(op, LINKFS_EVENT_DATA, ino, NULL, 0);
	return rc;
}

static int track(struct lk_rollback *r, uint64_t old, uint64_t now, uint32_t *what)
{
	bool changed = false;
	struct lk_op op;
	int rc = lk_then_begin(r->fs, &op, r->then, r->ask->dry ? 0 : LK_OP_WRITE);

	if (rc == 0)
		rc = lk_op_end(&op, track_op(r, &op, old, now, &changed));
	*what |= changed ? LINKFS_ROLLBACK_CONTENT : 0;
	return rc;
}

int lk_rollback_content(struct lk_rollback *r, const char *above, const char *name, size_t len, uint32_t type,
			uint64_t old)
{
	uint64_t now = lk_pairs_get(&r->now_of, old);
	bool made = lk_set_has(&r->made, old), added = false;
	uint32_t what = 0;
	int rc = now ? lk_set_add(&r->settled, old, &added) : 0;

	if (rc || !added)
		return rc;
	if (S_ISLNK(type))
		rc = track(r, old, now, &what);
	if (rc == 0 && (!made || what)) {
		uint32_t more = 0;

		rc = (r->ask->dry ? lk_rollback_look : lk_rollback_take)(r->fs, r->then, old, now, &more);
		what |= more;
	}
	if (lk_rollback_is_left(r, rc))
		return lk_rollback_tell_entry(r, LINKFS_ROLLBACK_LEFT, above, name, len, type, rc, NULL);
	return rc || !what || made ? rc : tell_change(r, above, name, len, type, what);
}

static int content_entry(void *arg, const struct lk_rollback_entry *e)
{
	const struct lk_rollback_phase *p = arg;

	return S_ISDIR(e->type) ? 0
				: lk_rollback_content(p->r, p->r->dirs[p->at].path, e->name, e->len, e->type, e->ino);
}

int lk_rollback_contents(struct lk_rollback *r)
{
	struct lk_rollback_phase p = {r, 0, false};
	int rc = 0;

	for (; rc == 0 && p.at < r->dir_count; p.at++)
		rc = lk_rollback_entries(r, true, r->dirs[p.at].old, content_entry, &p);
	return rc;
}

int lk_rollback_directories(struct lk_rollback *r)
{
	int rc = 0;

	/* From below: a step in one directory is a change of no other. */
	for (size_t i = r->dir_count; rc == 0 && i--;) {
		const struct lk_rollback_dir *d = &r->dirs[i];
		uint32_t what = 0;

		if (!d->now)
			continue;
		rc = (r->ask->dry ? lk_rollback_look : lk_rollback_take)(r->fs, r->then, d->old, d->now, &what);
		if (lk_rollback_is_left(r, rc)) {
			rc = tell_step(r, LINKFS_ROLLBACK_LEFT, d->path, "", 0, S_IFDIR, 0, rc);
			continue;
		}
		/* Each step in it was a change of its time. */
		if (r->steps)
			what &= ~LINKFS_ROLLBACK_TIMES;
		if (rc == 0 && what && !lk_set_has(&r->made, d->old))
			rc = tell_change(r, d->path, "", 0, S_IFDIR, what);
	}
	return rc;
}
