/*
 * rollback.c - see rollback.h: the names of a tree, in the order of R5.
 * Layer: core. Nothing here writes a row of its own: each step is made of the calls that change names and their rules.
 */
#include "rollback_impl.h"

#include "binds.h"
#include "link.h"
#include "orphan.h"
#include "paths.h"
#include "track.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ASIDE_LEN (sizeof(LK_ROLLBACK_ASIDE) - 1)
#define DEPTH_MAX (LINKFS_PATH_MAX / 2)

static const struct linkfs_cred *root_cred(void)
{
	return lk_cred(NULL);
}

/* ---- telling ---------------------------------------------------------------------------------------------------- */

static int tell(struct lk_rollback *r, const struct linkfs_rollback *step)
{
	r->left += step->kind == LINKFS_ROLLBACK_LEFT;
	return r->ask->fn && r->ask->fn(r->ask->arg, step) ? LINKFS_EINTR : 0;
}

/* An entry of the directory whose path is above ("" for the root). */
static int tell_entry(struct lk_rollback *r, enum linkfs_rollback_kind kind, const char *above, const char *name,
		      size_t len, uint32_t type, int error, const char *from)
{
	char *path = malloc(strlen(above) + len + 2);
	int rc;

	if (!path)
		return LINKFS_ENOMEM;
	(void)sprintf(path, "%s/%.*s", above, (int)len, name);
	rc = tell(r, &(struct linkfs_rollback){.kind = kind, .type = type, .error = error, .path = path, .from = from});
	free(path);
	return rc;
}

/* The path of a directory of now, malloc'd; "" for the root, and NULL when it has none. */
static int path_of(struct lk_op *op, uint64_t dir, char **out)
{
	struct lk_paths paths = {.op = op, .cred = root_cred()};
	struct lk_bytes path;
	int rc = lk_paths_dir(&paths, dir, &path);

	*out = NULL;
	if (rc == 0) {
		*out = strndup(path.p, path.len == 1 ? 0 : path.len);
		rc = *out ? 0 : LINKFS_ENOMEM;
	}
	lk_paths_done(&paths);
	return rc == LINKFS_ENOENT ? 0 : rc;
}

/* What R7 leaves; anything else ends the work. */
static bool is_left(int error)
{
	return error == LINKFS_EBUSY || error == LINKFS_ELOOP || error == LINKFS_EXDEV || error == LINKFS_EMLINK ||
	       error == LINKFS_ENOTEMPTY;
}

static bool is_aside(const char *name, size_t len)
{
	return len > ASIDE_LEN && memcmp(name, LK_ROLLBACK_ASIDE, ASIDE_LEN) == 0;
}

/* ---- names ------------------------------------------------------------------------------------------------------- */

/* A name that the directory has not. */
static int find_aside(struct lk_op *op, uint64_t dir, uint64_t ino, char out[64], struct lk_where *where)
{
	for (unsigned n = 0;; n++) {
		struct lk_slot slot;
		int len = snprintf(out, 64, LK_ROLLBACK_ASIDE "%llu.%u", (unsigned long long)ino, n);
		int rc = lk_where_at(op, root_cred(), dir, out, (size_t)len, where);

		if (rc == 0)
			rc = lk_dirent_find(op, dir, out, (size_t)len, &slot);
		if (rc || slot.ino == 0)
			return rc;
	}
}

/* Nothing has the name afterwards: what is younger than the snapshot goes, what may be wanted elsewhere is put aside. The directory at PATH
 * was emptied before. */
static int free_name(struct lk_rollback *r, struct lk_op *op, uint64_t dir, const char *name, size_t len)
{
	struct lk_where where, aside;
	struct lk_slot slot;
	struct lk_place there;
	char text[64];
	int rc = lk_where_at(op, root_cred(), dir, name, len, &where);

	if (rc == 0)
		rc = lk_walk_look(op, &where, &slot, &there);
	if (rc)
		return rc == LINKFS_ENOENT ? 0 : rc;
	if (slot.bound && dir == r->ask->dir)
		return LINKFS_EBUSY;
	if (slot.bound)
		rc = lk_bind_remove(op, root_cred(), &where);
	if (rc == 0 && slot.bound)
		rc = lk_walk_look(op, &where, &slot, &there);
	if (rc)
		return rc;
	if (dir == r->ask->dir || (!lk_is_dir(&there.inode) && slot.ino >= (uint64_t)r->then->next_ino))
		return lk_is_dir(&there.inode) ? lk_link_rmdir(op, root_cred(), &where)
					       : lk_link_unlink(op, root_cred(), &where);
	rc = find_aside(op, dir, slot.ino, text, &aside);
	return rc ? rc : lk_rename(op, root_cred(), &where, &aside, 0);
}

/* What an entry of then comes to. */
struct step {
	struct lk_rollback *r;
	uint64_t dir; /* now; 0: not there yet, in a dry run */
	const char *above, *name;
	size_t len;
	struct lk_inode old;
	struct lk_slot slot; /* now */
	uint64_t now;        /* 0: to be made */
};

static int look(struct step *s, uint64_t old)
{
	struct lk_rollback *r = s->r;
	struct lk_op op;
	int rc = lk_then_begin(r->fs, &op, r->then, 0);

	if (rc)
		return rc;
	s->slot = (struct lk_slot){0};
	rc = lk_then_inode(&op, r->then, old, &s->old);
	if (rc == 0 && s->dir)
		rc = lk_dirent_find(&op, s->dir, s->name, s->len, &s->slot);
	if (rc == 0)
		rc = lk_rollback_find(r, &op, &s->old, &s->slot, &s->now);
	return lk_op_end(&op, rc);
}

static int pair(struct lk_rollback *r, uint64_t old, uint64_t now, bool dir)
{
	bool added;
	int rc = lk_pairs_set(&r->now_of, old, now);

	if (rc == 0)
		rc = lk_pairs_set(&r->old_of, now, old);
	return rc == 0 && dir && r->whole ? lk_set_add(&r->inside, now, &added) : rc;
}

/* Gives s->now the name. *from: where it was, malloc'd, or NULL: it has others. */
static int place_op(struct step *s, struct lk_op *op, char **from)
{
	struct lk_rollback *r = s->r;
	struct lk_where to, was;
	struct lk_inode inode;
	struct lk_dirent d;
	bool found = false;
	char *above = NULL;
	int rc = r->ask->dry ? 0 : free_name(r, op, s->dir, s->name, s->len);

	if (rc == 0)
		rc = lk_rollback_misplaced(r, op, s->now, (uint64_t)s->old.ino, &d, &found);
	if (rc == 0 && found && !is_aside(d.name.p, d.name.len))
		rc = path_of(op, (uint64_t)d.dir, &above);
	if (rc == 0 && above) {
		*from = malloc(strlen(above) + d.name.len + 2);
		if (*from)
			(void)sprintf(*from, "%s/%.*s", above, (int)d.name.len, (const char *)d.name.p);
		else
			rc = LINKFS_ENOMEM;
	}
	free(above);
	if (rc == 0 && r->ask->dry) {
		bool added;

		return found ? lk_set_add(&r->moved, lk_slot_mark((uint64_t)d.dir, d.hash, d.ord), &added) : 0;
	}
	if (rc == 0)
		rc = lk_where_at(op, root_cred(), s->dir, s->name, s->len, &to);
	if (rc == 0 && found) {
		rc = lk_where_at(op, root_cred(), (uint64_t)d.dir, d.name.p, d.name.len, &was);
		return rc ? rc : lk_rename(op, root_cred(), &was, &to, 0);
	}
	if (rc == 0)
		rc = lk_inode_get(op, s->now, &inode);
	if (rc)
		return rc;
	return (lk_is_dir(&inode) ? lk_link_dir : lk_link_add)(op, root_cred(), &inode, &to);
}

static int place(struct step *s)
{
	struct lk_rollback *r = s->r;
	char *from = NULL;
	struct lk_op op;
	int rc = lk_then_begin(r->fs, &op, r->then, r->ask->dry ? 0 : LK_OP_WRITE | LK_OP_BULK);

	if (rc == 0)
		rc = lk_op_end(&op, place_op(s, &op, &from));
	if (rc == 0)
		rc = tell_entry(r, from ? LINKFS_ROLLBACK_MOVED : LINKFS_ROLLBACK_LINKED, s->above, s->name, s->len,
				s->old.mode & S_IFMT, 0, from);
	free(from);
	return rc;
}

/* The text of then for a symlink that is made; what a tracked one follows comes later. */
static int make_symlink(struct step *s, struct lk_op *op, struct lk_where *where, struct lk_inode *out)
{
	const char *text;
	size_t len;
	int rc;

	lk_then_see(op, s->r->then);
	rc = lk_symlink_text(op, &s->old, 0, &text, &len);
	lk_view_leave(op);
	return rc ? rc : lk_symlink_make(op, root_cred(), where, text, len, out);
}

static int make_op(struct step *s, struct lk_op *op, uint64_t nameless, struct lk_inode *out)
{
	struct linkfs_make how = {.mode = (uint32_t)s->old.mode & (S_IFMT | 0700),
				  .rdev_major = (uint32_t)((uint64_t)s->old.rdev >> 32),
				  .rdev_minor = (uint32_t)s->old.rdev};
	struct lk_where where;
	uint32_t what = 0;
	int rc = free_name(s->r, op, s->dir, s->name, s->len);

	if (rc == 0)
		rc = lk_where_at(op, root_cred(), s->dir, s->name, s->len, &where);
	if (rc == 0 && nameless) {
		rc = lk_inode_get(op, nameless, out);
		if (rc == 0)
			rc = lk_link_add(op, root_cred(), out, &where);
	} else if (rc == 0 && lk_is_lnk(&s->old)) {
		rc = make_symlink(s, op, &where, out);
	} else if (rc == 0) {
		rc = lk_link_make(op, root_cred(), &where, &how, out);
	}
	/* A directory's come last: what is put into it would change them. */
	if (rc == 0 && !lk_is_dir(&s->old))
		rc = lk_rollback_attributes(op, s->r->then, &s->old, true, out, &what);
	else if (rc == 0)
		out->btime_ns = s->old.btime_ns;
	return rc ? rc : lk_inode_put(op, out);
}

static int make(struct step *s)
{
	struct lk_rollback *r = s->r;
	struct lk_inode copy = {0}, inode = {0};
	struct lk_op op;
	bool added;
	int rc = 0;

	if (!r->ask->dry && lk_is_reg(&s->old))
		rc = lk_rollback_copy(r->fs, r->then, (uint64_t)s->old.ino, &copy);
	if (rc)
		return rc;
	if (!r->ask->dry) {
		rc = lk_then_begin(r->fs, &op, r->then, LK_OP_WRITE | LK_OP_BULK);
		if (rc == 0)
			rc = lk_op_end(&op, make_op(s, &op, (uint64_t)copy.ino, &inode));
		if (copy.ino)
			lk_orphan_unhold(r->fs, (uint64_t)copy.ino);
		s->now = rc ? 0 : (uint64_t)inode.ino;
		if (rc == 0)
			rc = pair(r, (uint64_t)s->old.ino, s->now, lk_is_dir(&s->old));
	}
	added = true;
	if (rc == 0)
		rc = lk_set_add(&r->made, (uint64_t)s->old.ino, &added);
	return rc ? rc
		  : tell_entry(r, added ? LINKFS_ROLLBACK_MADE : LINKFS_ROLLBACK_LINKED, s->above, s->name, s->len,
			       s->old.mode & S_IFMT, 0, NULL);
}

/* In a dry run: what stands where something else is to be and was nowhere then. */
static int tell_replaced(struct step *s)
{
	if (!s->slot.ino || lk_set_has(&s->r->old_inos, s->slot.ino))
		return 0;
	return tell_entry(s->r, LINKFS_ROLLBACK_REMOVED, s->above, s->name, s->len, s->slot.type, 0, NULL);
}

static int remove_entry(struct lk_rollback *r, uint64_t dir, const char *above, const struct lk_rollback_entry *e);

/* The name is old's afterwards; *now_out: 0 in a dry run for what is not there. */
static int settle_entry(struct lk_rollback *r, uint64_t dir, const char *above, const char *name, size_t len,
			uint64_t old, uint64_t *now_out)
{
	struct step s = {.r = r, .dir = dir, .above = above, .name = name, .len = len};
	int rc = look(&s, old);

	if (rc == 0 && s.slot.ino && s.slot.ino != s.now)
		rc = tell_replaced(&s);
	/* The directory that stands at PATH goes with all that is in it. */
	if (rc == 0 && dir && dir == r->ask->dir && S_ISDIR(s.slot.type) && s.slot.ino != s.now && !r->ask->dry) {
		struct lk_rollback_entry e = {.dir = dir, .ino = s.slot.ino, .type = S_IFDIR, .len = (uint32_t)len};

		memcpy(e.name, name, len);
		rc = remove_entry(r, dir, NULL, &e);
	}
	if (rc)
		return rc;
	if (!s.now)
		rc = make(&s);
	else if (s.now != s.slot.ino)
		rc = place(&s);
	if (rc == 0 && s.now)
		rc = pair(r, old, s.now, lk_is_dir(&s.old));
	if (is_left(rc))
		rc = tell_entry(r, LINKFS_ROLLBACK_LEFT, above, name, len, s.old.mode & S_IFMT, rc, NULL);
	*now_out = s.now;
	return rc;
}

/* ---- phases: directories, then files ------------------------------------------------------------------------------- */

struct phase {
	struct lk_rollback *r;
	size_t at;
	bool dirs;
};

static int one_entry(void *arg, const struct lk_rollback_entry *e)
{
	struct phase *p = arg;
	struct lk_rollback *r = p->r;
	const struct lk_rollback_dir *d = &r->dirs[p->at];
	uint64_t now;
	int rc;

	if (S_ISDIR(e->type) != p->dirs)
		return 0;
	rc = settle_entry(r, d->now, d->path, e->name, e->len, e->ino, &now);
	return rc;
}

static int each_dir(struct lk_rollback *r, bool dirs)
{
	struct phase p = {r, 0, dirs};
	int rc = 0;

	for (; rc == 0 && p.at < r->dir_count; p.at++) {
		struct lk_rollback_dir *d = &r->dirs[p.at];

		if (p.at && !d->now)
			d->now = lk_pairs_get(&r->now_of, d->old);
		/* Left (R7). */
		if (!d->now && !r->ask->dry)
			continue;
		rc = lk_rollback_entries(r, true, d->old, one_entry, &p);
	}
	return rc;
}

/* ---- contents ---------------------------------------------------------------------------------------------------------- */

static int tell_change(struct lk_rollback *r, const char *above, const char *name, size_t len, uint32_t type,
		       uint32_t what)
{
	char *path = malloc(strlen(above) + len + 2);
	int rc;

	if (!path)
		return LINKFS_ENOMEM;
	(void)sprintf(path, "%s%s%.*s", above, len || !*above ? "/" : "", (int)len, name);
	rc = tell(r,
		  &(struct linkfs_rollback){.kind = LINKFS_ROLLBACK_CHANGED, .what = what, .type = type, .path = path});
	free(path);
	return rc;
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

static int content(struct lk_rollback *r, const char *above, const char *name, size_t len, uint32_t type, uint64_t old)
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
	return rc || !what || made ? rc : tell_change(r, above, name, len, type, what);
}

static int content_entry(void *arg, const struct lk_rollback_entry *e)
{
	const struct phase *p = arg;

	return S_ISDIR(e->type) ? 0 : content(p->r, p->r->dirs[p->at].path, e->name, e->len, e->type, e->ino);
}

static int contents(struct lk_rollback *r)
{
	struct phase p = {r, 0, false};
	int rc = 0;

	for (; rc == 0 && p.at < r->dir_count; p.at++)
		rc = lk_rollback_entries(r, true, r->dirs[p.at].old, content_entry, &p);
	return rc;
}

static int attributes(struct lk_rollback *r)
{
	int rc = 0;

	/* From below: a step in one directory is a change of no other. */
	for (size_t i = r->dir_count; rc == 0 && i--;) {
		const struct lk_rollback_dir *d = &r->dirs[i];
		uint32_t what = 0;

		if (!d->now)
			continue;
		rc = (r->ask->dry ? lk_rollback_look : lk_rollback_take)(r->fs, r->then, d->old, d->now, &what);
		what &= ~LINKFS_ROLLBACK_TIMES;
		if (rc == 0 && what && !lk_set_has(&r->made, d->old))
			rc = tell_change(r, d->path, "", 0, S_IFDIR, what);
	}
	return rc;
}

/* ---- what came later --------------------------------------------------------------------------------------------------- */

/* Whether directory ino has more names than this one. */
static int count_row(void *arg, const void *record)
{
	(void)record;
	++*(uint32_t *)arg;
	return 0;
}

static int has_others(struct lk_rollback *r, uint64_t ino, bool *out)
{
	uint32_t names = 0;
	struct lk_op op;
	int rc = lk_op_begin(r->fs, &op, 0);

	if (rc == 0)
		rc = lk_op_end(&op, lk_dirent_names(&op, ino, 2, count_row, &names));
	*out = names > 1;
	return rc;
}

struct removal {
	struct lk_rollback *r;
	unsigned depth;
};

static int remove_one(struct lk_rollback *r, const struct lk_rollback_entry *e)
{
	struct lk_where where;
	struct lk_op op;
	int rc = lk_op_begin(r->fs, &op, LK_OP_WRITE | LK_OP_FREES);

	if (rc)
		return rc;
	rc = lk_where_at(&op, root_cred(), e->dir, e->name, e->len, &where);
	if (rc == 0)
		rc = (S_ISDIR(e->type) ? lk_link_rmdir : lk_link_unlink)(&op, root_cred(), &where);
	rc = lk_op_end(&op, rc);
	return rc == LINKFS_ENOENT || rc == LINKFS_ESTALE ? 0 : rc;
}

static int remove_tree(void *arg, const struct lk_rollback_entry *e)
{
	struct removal *m = arg;
	bool others = false;
	int rc = S_ISDIR(e->type) ? has_others(m->r, e->ino, &others) : 0;

	/* One with other names keeps what is in it. */
	if (rc == 0 && S_ISDIR(e->type) && !others) {
		struct removal below = {m->r, m->depth + 1};

		rc = m->depth < DEPTH_MAX ? lk_rollback_entries(m->r, false, e->ino, remove_tree, &below)
					  : LINKFS_ECORRUPT;
	}
	return rc ? rc : remove_one(m->r, e);
}

/* above NULL: it is told already. */
static int remove_entry(struct lk_rollback *r, uint64_t dir, const char *above, const struct lk_rollback_entry *e)
{
	struct removal m = {r, 0};
	int rc = r->ask->dry ? 0 : remove_tree(&m, e);

	(void)dir;
	if (is_left(rc))
		return tell_entry(r, LINKFS_ROLLBACK_LEFT, above ? above : "", e->name, e->len, e->type, rc, NULL);
	if (rc || !above || is_aside(e->name, e->len))
		return rc;
	return tell_entry(r, LINKFS_ROLLBACK_REMOVED, above, e->name, e->len, e->type, 0, NULL);
}

static int later_entry(void *arg, const struct lk_rollback_entry *e)
{
	const struct phase *p = arg;
	struct lk_rollback *r = p->r;
	const struct lk_rollback_dir *d = &r->dirs[p->at];
	uint64_t there = 0;
	struct lk_op op;
	int rc;

	if (lk_set_has(&r->moved, lk_slot_mark(e->dir, e->hash, e->ord)))
		return 0;
	rc = lk_then_begin(r->fs, &op, r->then, 0);
	if (rc == 0)
		rc = lk_op_end(&op, lk_rollback_then_at(r, &op, d->old, e->name, e->len, &there));
	return rc || there ? rc : remove_entry(r, e->dir, d->path, e);
}

static int later(struct lk_rollback *r)
{
	struct phase p = {r, 0, false};
	int rc = 0;

	for (; rc == 0 && p.at < r->dir_count; p.at++)
		if (r->dirs[p.at].now)
			rc = lk_rollback_entries(r, false, r->dirs[p.at].now, later_entry, &p);
	return rc;
}

/* ---- directory links and binds ------------------------------------------------------------------------------------------ */

/* Second names that directories did not have: what is moved next could come to lie in itself by them. */
static int second_name(void *arg, const struct lk_rollback_entry *e)
{
	struct lk_rollback *r = arg;
	uint64_t old_dir = lk_rollback_old_dir(r, e->dir), there = 0;
	bool others = false;
	struct lk_op op;
	int rc = S_ISDIR(e->type) ? has_others(r, e->ino, &others) : 0;

	if (rc || !others)
		return rc;
	rc = lk_then_begin(r->fs, &op, r->then, 0);
	if (rc == 0 && old_dir)
		rc = lk_rollback_then_at(r, &op, old_dir, e->name, e->len, &there);
	rc = lk_op_end(&op, rc);
	if (rc || there == e->ino)
		return rc;
	rc = remove_one(r, e);
	return is_left(rc) ? 0 : rc; /* it is met again */
}

static int second_names(struct lk_rollback *r)
{
	struct lk_op op;
	bool any;
	int rc = lk_op_begin(r->fs, &op, 0);

	if (rc)
		return rc;
	any = lk_dir_links_any(&op);
	rc = lk_op_end(&op, 0);
	for (size_t i = 0; rc == 0 && any && !r->ask->dry && i < r->inside.cap; i++)
		if (r->inside.slots[i])
			rc = lk_rollback_entries(r, false, r->inside.slots[i], second_name, r);
	return rc;
}

/* Binds at entries of a directory. */
struct bind_list {
	struct lk_bind *binds;
	size_t count, cap;
};

static int bind_row(void *arg, const void *record)
{
	struct bind_list *l = arg;

	if (l->count == l->cap) {
		size_t cap = l->cap ? l->cap * 2 : 16;
		struct lk_bind *p = reallocarray(l->binds, cap, sizeof(*p));

		if (!p)
			return LINKFS_ENOMEM;
		l->binds = p;
		l->cap = cap;
	}
	l->binds[l->count++] = *(const struct lk_bind *)record;
	return 0;
}

static int binds_of(struct lk_rollback *r, bool then, uint64_t dir, struct bind_list *out)
{
	struct lk_op op;
	int rc = lk_then_begin(r->fs, &op, r->then, 0);

	out->count = 0;
	if (rc)
		return rc;
	if (then)
		lk_then_see(&op, r->then);
	if (lk_binds_any(&op))
		rc = lk_bind_scan_dir(&op, dir, bind_row, out);
	return lk_op_end(&op, rc);
}

/* Whether what is number now was old then, as far as is known before anything is placed: the same, or made since (R3). */
static bool may_be(const struct lk_rollback *r, uint64_t old, int64_t now)
{
	return (uint64_t)now == old || now >= r->then->next_ino;
}

/* A bind of now that was not there then, or at another entry. */
static int unbind_op(struct lk_rollback *r, struct lk_op *op, const struct lk_bind *b, struct lk_dirent *d, bool *goes)
{
	uint64_t old_dir = lk_rollback_old_dir(r, (uint64_t)b->dir);
	struct lk_slot slot = {0};
	struct lk_where where;
	int rc;

	*d = (struct lk_dirent){.dir = b->dir, .hash = b->hash, .ord = b->ord};
	rc = lk_txn_get(op, LK_T_DIRENT, d, d);
	if (rc)
		return rc;
	if (old_dir) {
		lk_then_see(op, r->then);
		rc = lk_dirent_find(op, old_dir, d->name.p, d->name.len, &slot);
		lk_view_leave(op);
	}
	*goes = rc == 0 && !(slot.bound && may_be(r, slot.bound, b->source) && may_be(r, slot.ino, d->ino));
	if (rc || !*goes || r->ask->dry)
		return rc;
	rc = lk_where_at(op, root_cred(), (uint64_t)b->dir, d->name.p, d->name.len, &where);
	return rc ? rc : lk_bind_remove(op, root_cred(), &where);
}

static int unbind_one(struct lk_rollback *r, const struct lk_bind *b)
{
	struct lk_dirent d;
	char name[LINKFS_NAME_MAX + 1];
	char *above = NULL;
	bool goes = false;
	struct lk_op op;
	int rc = lk_then_begin(r->fs, &op, r->then, r->ask->dry ? 0 : LK_OP_WRITE);

	if (rc)
		return rc;
	rc = unbind_op(r, &op, b, &d, &goes);
	if (rc == 0 && goes) {
		memcpy(name, d.name.p, d.name.len);
		rc = path_of(&op, (uint64_t)b->dir, &above);
	}
	rc = lk_op_end(&op, rc);
	if (rc == 0 && goes)
		rc = tell_entry(r, LINKFS_ROLLBACK_UNBOUND, above ? above : "", name, d.name.len, lk_dirent_type(&d), 0,
				NULL);
	free(above);
	return rc;
}

static int unbind(struct lk_rollback *r)
{
	struct bind_list l = {0};
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < r->inside.cap; i++) {
		if (!r->inside.slots[i])
			continue;
		rc = binds_of(r, false, r->inside.slots[i], &l);
		for (size_t k = 0; rc == 0 && k < l.count; k++)
			rc = unbind_one(r, &l.binds[k]);
	}
	free(l.binds);
	return rc;
}

static int bind_op(struct lk_rollback *r, struct lk_op *op, const struct lk_rollback_dir *d, const struct lk_bind *b,
		   struct lk_dirent *entry, bool *comes)
{
	uint64_t source = lk_pairs_get(&r->now_of, (uint64_t)b->source);
	struct lk_slot slot;
	struct lk_where where;
	struct lk_inode inode;
	int rc;

	*entry = (struct lk_dirent){.dir = b->dir, .hash = b->hash, .ord = b->ord};
	lk_then_see(op, r->then);
	rc = lk_txn_get(op, LK_T_DIRENT, entry, entry);
	lk_view_leave(op);
	if (rc || !d->now) {
		*comes = rc == 0;
		return rc;
	}
	rc = lk_where_at(op, root_cred(), d->now, entry->name.p, entry->name.len, &where);
	if (rc == 0)
		rc = lk_dirent_find(op, d->now, entry->name.p, entry->name.len, &slot);
	if (!source)
		source = (uint64_t)b->source;
	*comes = rc == 0 && slot.bound != source;
	if (rc || !*comes || r->ask->dry)
		return rc;
	rc = lk_inode_get(op, source, &inode);
	if (rc == LINKFS_ESTALE)
		rc = LINKFS_ENOENT;
	if (rc == 0 && slot.bound)
		rc = lk_bind_remove(op, root_cred(), &where);
	return rc ? rc : lk_bind_add(op, root_cred(), &inode, &where);
}

static int bind_one(struct lk_rollback *r, const struct lk_rollback_dir *d, const struct lk_bind *b)
{
	struct lk_dirent entry = {.dir = 0};
	char name[LINKFS_NAME_MAX + 1];
	size_t len = 0;
	bool comes = false;
	struct lk_op op;
	int rc = lk_then_begin(r->fs, &op, r->then, r->ask->dry ? 0 : LK_OP_WRITE);

	if (rc)
		return rc;
	rc = bind_op(r, &op, d, b, &entry, &comes);
	if (comes) {
		len = entry.name.len;
		memcpy(name, entry.name.p, len);
	}
	rc = lk_op_end(&op, rc);
	if (!comes || (rc && !is_left(rc) && rc != LINKFS_ENOENT))
		return rc;
	return tell_entry(r, rc ? LINKFS_ROLLBACK_LEFT : LINKFS_ROLLBACK_BOUND, d->path, name, len,
			  lk_dirent_type(&entry), rc, NULL);
}

static int bind(struct lk_rollback *r)
{
	struct bind_list l = {0};
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < r->dir_count; i++) {
		rc = binds_of(r, true, r->dirs[i].old, &l);
		for (size_t k = 0; rc == 0 && k < l.count; k++)
			rc = bind_one(r, &r->dirs[i], &l.binds[k]);
	}
	free(l.binds);
	return rc;
}

/* ---- the whole ----------------------------------------------------------------------------------------------------------- */

static int tree(struct lk_rollback *r, uint64_t now)
{
	int rc = unbind(r);

	r->dirs[0].now = now;
	if (rc == 0)
		rc = second_names(r);
	if (rc == 0)
		rc = each_dir(r, true);
	if (rc == 0)
		rc = each_dir(r, false);
	if (rc == 0)
		rc = later(r);
	/* After it: what a tracked link followed may have gone. */
	if (rc == 0)
		rc = contents(r);
	if (rc == 0)
		rc = bind(r);
	return rc ? rc : attributes(r);
}

static int begin(struct lk_rollback *r, struct lk_inode *old, uint64_t *top)
{
	const struct lk_rollback_ask *ask = r->ask;
	struct lk_slot slot = {.ino = LINKFS_ROOT_INO, .type = S_IFDIR};
	struct lk_op op;
	int rc = lk_then_begin(r->fs, &op, r->then, 0);

	if (rc)
		return rc;
	rc = lk_then_inode(&op, r->then, ask->old, old);
	if (rc == 0 && ask->dir)
		rc = lk_dirent_find(&op, ask->dir, ask->name, ask->len, &slot);
	if (rc == 0 && slot.bound)
		rc = LINKFS_EBUSY;
	*top = S_ISDIR(slot.type) && slot.ino ? slot.ino : 0;
	return lk_op_end(&op, rc);
}

static int run(struct lk_rollback *r)
{
	const struct lk_rollback_ask *ask = r->ask;
	size_t above = ask->dir ? strlen(ask->path) - ask->len - 1 : 0;
	struct lk_inode old;
	uint64_t top = 0, now = LINKFS_ROOT_INO;
	char *dir;
	int rc = begin(r, &old, &top);

	if (rc)
		return rc;
	dir = strndup(ask->path, above);
	if (!dir)
		return LINKFS_ENOMEM;
	r->whole = lk_is_dir(&old);
	if (r->whole)
		rc = lk_rollback_add_dir(r, ask->old, dir, ask->name ? ask->name : "", ask->len);
	if (rc == 0 && r->whole)
		rc = lk_rollback_scan_then(r);
	/* What stands at PATH is inside only when it is, or becomes, what was there. */
	if (rc == 0 && r->whole && top && (top == ask->old || top >= (uint64_t)r->then->next_ino))
		rc = lk_rollback_scan_now(r, top);
	if (rc == 0 && ask->dir)
		rc = settle_entry(r, ask->dir, dir, ask->name, ask->len, ask->old, &now);
	else if (rc == 0)
		rc = pair(r, LINKFS_ROOT_INO, LINKFS_ROOT_INO, true);
	if (rc == 0 && r->whole && (now || ask->dry))
		rc = tree(r, now);
	else if (rc == 0 && !r->whole)
		rc = content(r, dir, ask->name, ask->len, (uint32_t)old.mode & S_IFMT, ask->old);
	free(dir);
	return rc;
}

int lk_rollback(struct lk_fs *fs, const struct lk_rollback_ask *ask)
{
	struct lk_rollback r = {.fs = fs, .ask = ask, .then = &ask->then};
	int rc = run(&r);

	for (size_t i = 0; i < r.dir_count; i++)
		free(r.dirs[i].path);
	free(r.dirs);
	free(r.now_of.slots);
	free(r.old_of.slots);
	lk_set_done(&r.old_inos);
	lk_set_done(&r.inside);
	lk_set_done(&r.made);
	lk_set_done(&r.settled);
	lk_set_done(&r.moved);
	return rc == 0 && r.left ? LINKFS_EBUSY : rc;
}
