/*
 * retarget.c - see retarget.h.
 * Layer: core.
 *
 * The proof. Table moved tells where things were. A walk "at time t" finds ".." and names as they were then: of a directory that moved
 * since, ".." is where it was before the first move after t; a name that something was moved away from after t is what was moved first;
 * what has come to its place after t, by a move or because it is younger, was not there. The link is walked from the directory that it was in
 * then. Times tried are those just before the moves that have to do with the walk, the newest first: where it leads to something that is
 * still there is where the link led when it last worked.
 *
 * It is ambiguous when at another of these times it leads to something else, or when something else has had the name since, which the
 * link led to as well. Never tried is a time before the link, or its text, was made.
 */
#include "retarget.h"

#include "link.h"
#include "paths.h"
#include "track.h"

#include <string.h>

#define TIMES_MAX 64u

struct past {
	struct lk_op *op;
	int64_t at;
	bool filled; /* the walk used a name that something else has had since */
	uint32_t count, tried;
	int64_t times[TIMES_MAX]; /* of moves; descending from position tried on */
};

static void add_time(struct past *p, int64_t time)
{
	uint32_t i;

	for (i = 0; i < p->count; i++)
		if (p->times[i] == time)
			return;
	if (p->count == TIMES_MAX)
		return;
	for (i = p->count++; i > p->tried && p->times[i - 1] < time; i--)
		p->times[i] = p->times[i - 1];
	p->times[i] = time;
}

/* The times of an inode's moves; the first after p->at. LINKFS_ENOENT. */
static int moves_of(struct past *p, uint64_t ino, struct lk_moved *out)
{
	struct lk_moved row = {.time_ns = INT64_MIN};
	bool found = false;
	int rc = 0;

	for (uint32_t n = 0; rc == 0 && n < TIMES_MAX; n++) {
		rc = lk_moved_of(p->op, ino, row.time_ns, &row);
		if (rc == 0)
			add_time(p, row.time_ns);
		if (rc == 0 && !found && row.time_ns > p->at) {
			*out = row;
			found = true;
		}
	}
	return rc && rc != LINKFS_ENOENT ? rc : found ? 0 : LINKFS_ENOENT;
}

static int moves_from(struct past *p, const struct lk_where *w, struct lk_moved *out)
{
	struct lk_moved row = {.time_ns = INT64_MIN};
	bool found = false;
	int rc = 0;

	for (uint32_t n = 0; rc == 0 && n < TIMES_MAX; n++) {
		rc = lk_moved_from_place(p->op, (uint64_t)w->dir.inode.ino, w->name, w->len, row.time_ns, &row);
		if (rc == 0)
			add_time(p, row.time_ns);
		if (rc == 0 && !found && row.time_ns > p->at) {
			*out = row;
			found = true;
		}
	}
	return rc && rc != LINKFS_ENOENT ? rc : found ? 0 : LINKFS_ENOENT;
}

static int place_of(struct lk_op *op, uint64_t ino, struct lk_place *out)
{
	int rc = lk_inode_get(op, ino, &out->inode);

	out->id = ino;
	return rc == LINKFS_ESTALE || (rc == 0 && out->inode.nlink == 0) ? LINKFS_ENOENT : rc;
}

static int look_up_name(struct past *p, const struct lk_where *w, struct lk_place *out)
{
	struct lk_moved away = {0}, other = {0};
	struct lk_slot slot;
	int rc = w->len > LINKFS_NAME_MAX ? LINKFS_ENAMETOOLONG : moves_from(p, w, &away);
	bool moved = rc == 0;

	if (rc && rc != LINKFS_ENOENT)
		return rc;
	rc = moved ? place_of(p->op, (uint64_t)away.ino, out) : lk_walk_look(p->op, w, &slot, out);
	if (rc)
		return rc;
	/* It was elsewhere then, or not yet made. */
	rc = moves_of(p, (uint64_t)out->inode.ino, &other);
	if (rc && rc != LINKFS_ENOENT)
		return rc;
	if ((rc == 0 && (!moved || other.time_ns != away.time_ns)) || out->inode.btime_ns > p->at)
		return LINKFS_ENOENT;
	p->filled |= moved && away.filled;
	return 0;
}

static bool look(void *arg, const struct lk_walk *walk, struct lk_place *out, int *rc_out)
{
	const struct lk_where *w = &walk->where;
	struct lk_moved away;
	struct past *p = arg;

	if (w->last == LK_LAST_NAME) {
		*rc_out = look_up_name(p, w, out);
		return true;
	}
	if (w->last != LK_LAST_DOTDOT)
		return false;
	*rc_out = moves_of(p, (uint64_t)w->dir.inode.ino, &away);
	if (*rc_out == LINKFS_ENOENT)
		return false;
	if (*rc_out == 0)
		*rc_out = place_of(p->op, (uint64_t)away.dir, out);
	return true;
}

/* Whether the walk failed in the link's own text, not in that of a symlink on its way. */
struct fault {
	const char *text;
	size_t len;
	bool own;
};

static int see_fault(void *arg, const struct lk_walk *walk, const struct lk_step *step)
{
	struct fault *f = arg;
	const char *name = walk->where.name;

	(void)step;
	f->own = name >= f->text && name < f->text + f->len;
	return 0;
}

struct work {
	struct lk_op *op;
	const struct linkfs_cred *cred;
	const struct lk_link_name *link;
	const struct lk_host *host;
	struct lk_inode inode;
	const char *text;
	size_t len;
	struct past past;
};

/* What the link's text names at a time, the last component not followed: 0, or a verdict. */
static int walk_at(struct work *w, int64_t at, struct fault *fault, struct lk_place *out)
{
	struct lk_walk_how how = {.host = w->host, .text = true, .look = look, .look_arg = &w->past};
	uint64_t dir = w->link->dir;
	struct lk_moved away;
	int rc;

	w->past.at = at;
	w->past.filled = false;
	if (fault) {
		how.step = see_fault;
		how.arg = fault;
	}
	rc = moves_of(&w->past, w->link->ino, &away);
	if (rc == 0)
		dir = (uint64_t)away.dir;
	else if (rc != LINKFS_ENOENT)
		return rc;
	rc = lk_resolve_how(w->op, w->cred, dir, w->text, false, &how, out);
	/* A directory that was removed since. */
	return rc == LINKFS_ESTALE ? LINKFS_ENOENT : rc;
}

/* The newest time at which the link led somewhere that is still there. out->result stays UNKNOWN when there is none. */
static int find_target(struct work *w, struct lk_place *target, struct lk_retarget *out)
{
	int64_t since = LK_MAX(w->inode.btime_ns, LK_MIN(w->inode.mtime_ns, w->op->now_ns));
	struct past *p = &w->past;
	bool found = false;
	int rc = 0;

	while (rc == 0 && p->tried < p->count) {
		int64_t time = p->times[p->tried++];
		struct lk_place place;

		if (time <= since)
			continue;
		rc = walk_at(w, time - 1, NULL, &place);
		if (rc && lk_walk_verdict(rc)) {
			rc = 0;
			continue;
		}
		if (rc || place.inode.ino == w->inode.ino)
			continue;
		if (!found) {
			found = true;
			*target = place;
			out->result = p->filled ? LINKFS_FIX_AMBIGUOUS : LINKFS_FIX_DONE;
			rc = lk_moved_at(w->op, time, &out->moved);
		} else if (place.inode.ino != target->inode.ino) {
			out->result = LINKFS_FIX_AMBIGUOUS;
		}
	}
	return rc;
}

/* ---- the new text ------------------------------------------------------------------------------------------------ */

static int absolute_text(struct work *w, uint64_t ino, struct lk_retarget *out)
{
	struct lk_paths paths = {.op = w->op, .cred = w->cred};
	struct lk_bytes path = {"/", 1};
	struct lk_dirent first;
	size_t above = 0;
	char *p;
	int rc = 0;

	if (ino != LINKFS_ROOT_INO) {
		rc = lk_dirent_first(w->op, ino, &first);
		if (rc == 0)
			rc = lk_paths_name(&paths, (uint64_t)first.dir, first.name.p, first.name.len, &path);
		lk_paths_done(&paths);
	}
	for (uint32_t i = 0; rc == 0 && w->host && i < w->host->depth; i++)
		above += w->host->names[i].len + 1;
	if (rc == 0 && above + path.len > LINKFS_SYMLINK_MAX)
		rc = LINKFS_ENAMETOOLONG;
	if (rc)
		return rc;
	p = lk_op_alloc(w->op, above + path.len + 1);
	if (!p)
		return LINKFS_ENOMEM;
	out->text = p;
	for (uint32_t i = 0; w->host && i < w->host->depth; i++) {
		*p++ = '/';
		memcpy(p, w->host->names[i].p, w->host->names[i].len);
		p += w->host->names[i].len;
	}
	memcpy(p, path.p, path.len);
	p[path.len] = 0;
	out->len = above + path.len;
	return 0;
}

/* The new text, as the caller may walk it. */
static int make_text(struct work *w, const struct lk_place *target, struct lk_retarget *out)
{
	struct lk_walk_how how = {.host = w->host, .text = true};
	uint64_t ino = (uint64_t)target->inode.ino;
	struct lk_place there;
	int rc = w->text[0] == '/' ? absolute_text(w, ino, out)
				   : lk_track_between(w->op, NULL, w->link->node, ino, NULL, &out->text, &out->len);

	if (rc == 0)
		rc = lk_resolve_how(w->op, w->cred, w->link->node, out->text, false, &how, &there);
	return rc == 0 && there.inode.ino != target->inode.ino ? LINKFS_ENOENT : rc;
}

static int change(struct work *w, const struct lk_retarget *new)
{
	struct lk_target row;
	int rc = lk_symlink_row(w->op, &w->inode, &row);

	if (rc == 0)
		rc = lk_symlink_rewrite(w->op, &w->inode, &row, new->text, new->len);
	if (rc == 0)
		rc = lk_txn_put(w->op, LK_T_TARGET, &row);
	lk_inode_touch(w->op, &w->inode, true);
	if (rc == 0)
		rc = lk_inode_put(w->op, &w->inode);
	return rc ? rc : lk_op_event(w->op, LINKFS_EVENT_DATA, (uint64_t)w->inode.ino, NULL, 0);
}

/* Who may put another symlink in its place may. */
static int may_change(struct work *w, bool dry)
{
	struct lk_inode dir;
	int rc = dry ? 0 : lk_perm_writable(w->op);

	if (rc == 0)
		rc = lk_inode_get(w->op, w->link->dir, &dir);
	return rc ? rc : lk_perm_delete(w->op, w->cred, &dir, &w->inode, false);
}

static bool is_answer(int error)
{
	return lk_walk_verdict(error) || error == LINKFS_EPERM || error == LINKFS_EROFS;
}

/* It dangles, and by its own text: what becomes of it. */
static int solve(struct work *w, bool dry, struct lk_retarget *out)
{
	struct lk_place target = {0};
	int rc = find_target(w, &target, out);

	if (rc || out->result != LINKFS_FIX_DONE)
		return rc;
	if (w->inode.nlink > 1) {
		out->result = LINKFS_FIX_NAMES;
		return 0;
	}
	rc = may_change(w, dry);
	if (rc == 0)
		rc = make_text(w, &target, out);
	if (rc && is_answer(rc)) {
		out->result = LINKFS_FIX_FAILED;
		out->error = rc;
		return 0;
	}
	return rc || dry ? rc : change(w, out);
}

/* With a NUL after it: it is walked as a path. */
static int take_text(struct work *w)
{
	const char *text;
	char *copy;
	int rc = lk_symlink_text(w->op, &w->inode, w->link->node, &text, &w->len);

	if (rc)
		return rc;
	copy = lk_op_alloc(w->op, w->len + 1);
	if (!copy)
		return LINKFS_ENOMEM;
	memcpy(copy, text, w->len);
	copy[w->len] = 0;
	w->text = copy;
	return 0;
}

int lk_retarget(struct lk_op *op, const struct linkfs_cred *cred, const struct lk_link_name *link,
		const struct lk_host *host, bool dry, struct lk_retarget *out)
{
	struct work w = {.op = op, .cred = cred, .link = link, .host = host, .past = {.op = op}};
	struct lk_walk_how how = {.host = host};
	struct lk_link_end end;
	struct lk_place found;
	struct fault fault;
	int rc = lk_inode_get(op, link->ino, &w.inode);

	*out = (struct lk_retarget){.result = LINKFS_FIX_NONE};
	if (rc || !lk_is_lnk(&w.inode))
		return rc == LINKFS_ESTALE ? 0 : rc;
	rc = lk_link_walk(op, cred, link, &how, &end, NULL);
	if (rc || end.error == 0 || end.error == LINKFS_EACCES)
		return rc;
	out->result = LINKFS_FIX_UNKNOWN;
	/* What a tracked link followed is deleted, not moved. */
	if ((end.error != LINKFS_ENOENT && end.error != LINKFS_ENOTDIR) || (w.inode.flags & LK_INODE_TRACKED))
		return 0;
	rc = take_text(&w);
	if (rc)
		return rc;
	fault = (struct fault){.text = w.text, .len = w.len};
	rc = walk_at(&w, INT64_MAX, &fault, &found);
	if (rc && !lk_walk_verdict(rc))
		return rc;
	if (rc == 0 || !fault.own) {
		out->result = LINKFS_FIX_OTHER;
		return 0;
	}
	return solve(&w, dry, out);
}
