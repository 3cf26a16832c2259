/*
 * rollback.c - see rollback.h: the names of a tree, in the order of R5.
 * Layer: core. Nothing here writes a row of its own: each step is made of the calls that change names and their rules.
 */
#include "rollback_impl.h"

#include "binds.h"
#include "link.h"
#include "orphan.h"
#include "track.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- names ------------------------------------------------------------------------------------------------------- */

/* A name that the directory has not. */
static int find_aside(struct lk_op *op, uint64_t dir, uint64_t ino, char out[64], struct lk_where *where)
{
	for (unsigned n = 0;; n++) {
		struct lk_slot slot;
		int len = snprintf(out, 64, LK_ROLLBACK_ASIDE "%llu.%u", (unsigned long long)ino, n);
		int rc = lk_where_at(op, lk_cred(NULL), dir, out, (size_t)len, where);

		if (rc == 0)
			rc = lk_dirent_find(op, dir, out, (size_t)len, &slot);
		if (rc || slot.ino == 0)
			return rc;
	}
}

static int put_aside(struct lk_rollback *r, struct lk_op *op, struct lk_where *from, struct lk_where *to, uint64_t ino)
{
	bool added;
	int rc = lk_rename(op, lk_cred(NULL), from, to, 0);

	return rc ? rc : lk_set_add(&r->aside, ino, &added);
}

/* Nothing has the name afterwards: what is younger than the snapshot goes, what may be wanted elsewhere is put aside. The directory at PATH
 * was emptied before. */
static int free_name(struct lk_rollback *r, struct lk_op *op, uint64_t dir, const char *name, size_t len)
{
	struct lk_where where, aside;
	struct lk_slot slot;
	struct lk_place there;
	bool shown = false;
	char text[64];
	int rc = lk_where_at(op, lk_cred(NULL), dir, name, len, &where);

	if (rc == 0)
		rc = lk_walk_look(op, &where, &slot, &there);
	if (rc)
		return rc == LINKFS_ENOENT ? 0 : rc;
	if (slot.bound && dir == r->ask->dir)
		return LINKFS_EBUSY;
	if (lk_rollback_is_fresh(r, slot.ino))
		return LINKFS_EEXIST;
	if (slot.bound)
		rc = lk_bind_remove(op, lk_cred(NULL), &where);
	if (rc == 0 && slot.bound)
		rc = lk_walk_look(op, &where, &slot, &there);
	if (rc)
		return rc;
	/* What a bind shows goes when that has gone. */
	rc = lk_bind_shows(op, slot.ino, &shown);
	if (rc)
		return rc;
	if (dir == r->ask->dir || (!shown && !lk_is_dir(&there.inode) && slot.ino >= (uint64_t)r->then->next_ino))
		return lk_is_dir(&there.inode) ? lk_link_rmdir(op, lk_cred(NULL), &where)
					       : lk_link_unlink(op, lk_cred(NULL), &where);
	rc = find_aside(op, dir, slot.ino, text, &aside);
	return rc ? rc : put_aside(r, op, &where, &aside, slot.ino);
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
	int rc = r->ask->dry ? 0 : free_name(r, op, s->dir, s->name, s->len);

	if (rc == 0)
		rc = lk_rollback_misplaced(r, op, s->now, (uint64_t)s->old.ino, &d, &found);
	if (rc == 0 && found && !lk_rollback_is_aside(d.name.p, d.name.len))
		rc = lk_rollback_path_of_name(op, &d, from);
	if (rc == 0 && r->ask->dry) {
		bool added;

		return found ? lk_set_add(&r->moved, lk_slot_mark((uint64_t)d.dir, d.hash, d.ord), &added) : 0;
	}
	if (rc == 0)
		rc = lk_where_at(op, lk_cred(NULL), s->dir, s->name, s->len, &to);
	if (rc == 0 && found) {
		rc = lk_where_at(op, lk_cred(NULL), (uint64_t)d.dir, d.name.p, d.name.len, &was);
		return rc ? rc : lk_rename(op, lk_cred(NULL), &was, &to, 0);
	}
	if (rc == 0)
		rc = lk_inode_get(op, s->now, &inode);
	if (rc)
		return rc;
	return (lk_is_dir(&inode) ? lk_link_dir : lk_link_add)(op, lk_cred(NULL), &inode, &to);
}

/* PATH lies in the younger directory that has its name: they change places, and that one is put aside in what it held, where the rest
 * of what is in it is found. */
static int unwrap_op(struct step *s, struct lk_op *op, char **from)
{
	struct lk_rollback *r = s->r;
	struct lk_where to, was, between, below;
	struct lk_dirent d;
	char text[64], inner[64];
	bool found = false;
	int rc = lk_rollback_misplaced(r, op, s->now, (uint64_t)s->old.ino, &d, &found);

	/* Others moved it. */
	if (rc || !found)
		return rc ? rc : LINKFS_ENOENT;
	rc = lk_rollback_path_of_name(op, &d, from);
	if (rc == 0)
		rc = lk_where_at(op, lk_cred(NULL), (uint64_t)d.dir, d.name.p, d.name.len, &was);
	if (rc == 0)
		rc = find_aside(op, s->dir, s->now, text, &between);
	if (rc == 0)
		rc = lk_rename(op, lk_cred(NULL), &was, &between, 0);
	if (rc == 0)
		rc = find_aside(op, s->now, s->slot.ino, inner, &below);
	if (rc == 0)
		rc = lk_where_at(op, lk_cred(NULL), s->dir, s->name, s->len, &to);
	if (rc == 0)
		rc = put_aside(r, op, &to, &below, s->slot.ino);
	if (rc == 0)
		rc = lk_where_at(op, lk_cred(NULL), s->dir, text, strlen(text), &between);
	if (rc == 0)
		rc = lk_where_at(op, lk_cred(NULL), s->dir, s->name, s->len, &to);
	return rc ? rc : lk_rename(op, lk_cred(NULL), &between, &to, 0);
}

static int place(struct step *s, bool unwrap)
{
	struct lk_rollback *r = s->r;
	char *from = NULL;
	struct lk_op op;
	int rc = lk_then_begin(r->fs, &op, r->then, r->ask->dry ? 0 : LK_OP_WRITE | LK_OP_BULK);

	if (rc == 0)
		rc = lk_op_end(&op, (unwrap ? unwrap_op : place_op)(s, &op, &from));
	if (rc == 0)
		rc = lk_rollback_tell_entry(r, from ? LINKFS_ROLLBACK_MOVED : LINKFS_ROLLBACK_LINKED, s->above, s->name,
					    s->len, s->old.mode & S_IFMT, 0, from);
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
	return rc ? rc : lk_symlink_make(op, lk_cred(NULL), where, text, len, out);
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
		rc = lk_where_at(op, lk_cred(NULL), s->dir, s->name, s->len, &where);
	if (rc == 0 && nameless) {
		rc = lk_inode_get(op, nameless, out);
		if (rc == 0)
			rc = lk_link_add(op, lk_cred(NULL), out, &where);
	} else if (rc == 0 && lk_is_lnk(&s->old)) {
		rc = make_symlink(s, op, &where, out);
	} else if (rc == 0) {
		rc = lk_link_make(op, lk_cred(NULL), &where, &how, out);
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
		  : lk_rollback_tell_entry(r, added ? LINKFS_ROLLBACK_MADE : LINKFS_ROLLBACK_LINKED, s->above, s->name,
					   s->len, s->old.mode & S_IFMT, 0, NULL);
}

/* What stands where something else is to be, unless it is placed elsewhere; at PATH it is not (see run()). */
static int tell_replaced(struct step *s)
{
	if (!s->slot.ino || (s->dir != s->r->ask->dir && lk_set_has(&s->r->old_inos, s->slot.ino)))
		return 0;
	return lk_rollback_tell_entry(s->r, LINKFS_ROLLBACK_REMOVED, s->above, s->name, s->len, s->slot.type, 0, NULL);
}

/* The name is old's afterwards; *now_out: 0 in a dry run for what is not there. */
static int settle_entry(struct lk_rollback *r, uint64_t dir, const char *above, const char *name, size_t len,
			uint64_t old, uint64_t *now_out)
{
	struct step s = {.r = r, .dir = dir, .above = above, .name = name, .len = len};
	uint64_t left = r->left;
	bool stands;
	int rc = look(&s, old);

	*now_out = 0;
	if (rc == 0 && s.slot.ino && s.slot.ino != s.now)
		rc = tell_replaced(&s);
	stands = rc == 0 && dir && dir == r->ask->dir && S_ISDIR(s.slot.type) && s.slot.ino != s.now && !r->ask->dry;
	/* The directory that stands at PATH goes with all that is in it, unless what was there is. */
	if (stands && !s.now) {
		struct lk_rollback_entry e = {.dir = dir, .ino = s.slot.ino, .type = S_IFDIR, .len = (uint32_t)len};

		memcpy(e.name, name, len);
		rc = lk_rollback_remove(r, above, true, &e);
	}
	if (rc || r->left != left)
		return rc;
	if (!s.now)
		rc = make(&s);
	else if (s.now != s.slot.ino)
		rc = place(&s, stands);
	if (rc == 0 && s.now)
		rc = pair(r, old, s.now, lk_is_dir(&s.old));
	if (lk_rollback_is_left(r, rc)) {
		/* What is there still is looked at all the same; what was to be PATH is not. */
		if (dir == r->ask->dir)
			s.now = 0;
		rc = lk_rollback_tell_entry(r, LINKFS_ROLLBACK_LEFT, above, name, len, s.old.mode & S_IFMT, rc, NULL);
	}
	*now_out = s.now;
	return rc;
}

/* ---- phases: directories, then files ------------------------------------------------------------------------------- */

static int one_entry(void *arg, const struct lk_rollback_entry *e)
{
	struct lk_rollback_phase *p = arg;
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
	struct lk_rollback_phase p = {r, 0, dirs};
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

/* ---- the whole ----------------------------------------------------------------------------------------------------------- */

static int tree(struct lk_rollback *r, uint64_t now)
{
	int rc = lk_rollback_unbind(r, false);

	r->dirs[0].now = now;
	if (rc == 0)
		rc = lk_rollback_second_names(r);
	if (rc == 0)
		rc = each_dir(r, true);
	if (rc == 0)
		rc = each_dir(r, false);
	if (rc == 0 && !r->ask->dry)
		rc = lk_rollback_unbind(r, true);
	if (rc == 0)
		rc = lk_rollback_later(r);
	/* After it: what a tracked link followed may have gone. */
	if (rc == 0)
		rc = lk_rollback_contents(r);
	if (rc == 0)
		rc = lk_rollback_bind(r);
	return rc ? rc : lk_rollback_directories(r);
}

static int begin(struct lk_rollback *r, struct lk_inode *old, uint64_t *top)
{
	const struct lk_rollback_ask *ask = r->ask;
	struct lk_slot slot = {.ino = LINKFS_ROOT_INO, .type = S_IFDIR};
	struct lk_op op;
	int64_t next = 0;
	int rc = lk_then_begin(r->fs, &op, r->then, 0);

	if (rc)
		return rc;
	rc = lk_txn_count(&op, LK_COUNTER_NEXT_INO, 0, &next);
	r->fresh = (uint64_t)next;
	if (rc == 0)
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
	struct lk_inode old = {0};
	uint64_t top = 0, now = LINKFS_ROOT_INO;
	char *dir;
	int rc = begin(r, &old, &top);

	if (rc)
		return rc;
	dir = malloc(above + 1);
	if (!dir)
		return LINKFS_ENOMEM;
	memcpy(dir, ask->path, above);
	dir[above] = 0;
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
		rc = lk_rollback_content(r, dir, ask->name, ask->len, (uint32_t)old.mode & S_IFMT, ask->old);
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
	lk_set_done(&r.aside);
	lk_set_done(&r.placed);
	return rc == 0 && r.left ? LINKFS_EBUSY : rc;
}
