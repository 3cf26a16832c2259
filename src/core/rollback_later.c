/*
 * rollback_later.c - what came later goes, names and binds; and binds that were there come back (rollback.h).
 * Layer: core.
 */
#include "rollback_impl.h"

#include "binds.h"
#include "link.h"

#include <stdlib.h>
#include <string.h>

#define DEPTH_MAX (LINKFS_PATH_MAX / 2)

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

static int remove_name(struct lk_rollback *r, const struct lk_rollback_entry *e)
{
	struct lk_where where;
	struct lk_op op;
	int rc = lk_op_begin(r->fs, &op, LK_OP_WRITE | LK_OP_FREES);

	if (rc)
		return rc;
	rc = lk_where_at(&op, lk_cred(NULL), e->dir, e->name, e->len, &where);
	if (rc == 0)
		rc = (S_ISDIR(e->type) ? lk_link_rmdir : lk_link_unlink)(&op, lk_cred(NULL), &where);
	rc = lk_op_end(&op, rc);
	return rc == LINKFS_ENOENT || rc == LINKFS_ESTALE ? 0 : rc;
}

static int remove_tree(void *arg, const struct lk_rollback_entry *e)
{
	struct removal *m = arg;
	bool others = false;
	int rc;

	/* What it is in stays then too, and that is told. */
	if (lk_rollback_is_fresh(m->r, e->ino))
		return 0;
	rc = S_ISDIR(e->type) ? has_others(m->r, e->ino, &others) : 0;
	/* One with other names keeps what is in it. */
	if (rc == 0 && S_ISDIR(e->type) && !others) {
		struct removal below = {m->r, m->depth + 1};

		rc = m->depth < DEPTH_MAX ? lk_rollback_entries(m->r, false, e->ino, remove_tree, &below)
					  : LINKFS_ECORRUPT;
	}
	return rc ? rc : remove_name(m->r, e);
}

int lk_rollback_remove(struct lk_rollback *r, const char *above, bool quiet, const struct lk_rollback_entry *e)
{
	struct removal m = {r, 0};
	int rc = r->ask->dry ? 0 : remove_tree(&m, e);

	if (rc) {
		/* Whatever the error is: some of what was below may be gone, and no step without a word. */
		int told = lk_rollback_tell_entry(r, LINKFS_ROLLBACK_LEFT, above, e->name, e->len, e->type, rc, NULL);

		return lk_rollback_is_left(r, rc) ? told : rc;
	}
	if (quiet || (lk_rollback_is_aside(e->name, e->len) && lk_set_has(&r->aside, e->ino)))
		return 0;
	return lk_rollback_tell_entry(r, LINKFS_ROLLBACK_REMOVED, above, e->name, e->len, e->type, 0, NULL);
}

static int later_entry(void *arg, const struct lk_rollback_entry *e)
{
	const struct lk_rollback_phase *p = arg;
	struct lk_rollback *r = p->r;
	const struct lk_rollback_dir *d = &r->dirs[p->at];
	uint64_t there = 0;
	struct lk_op op;
	int rc;

	if (lk_set_has(&r->moved, lk_slot_mark(e->dir, e->hash, e->ord)) || lk_rollback_is_fresh(r, e->ino))
		return 0;
	rc = lk_then_begin(r->fs, &op, r->then, 0);
	if (rc == 0)
		rc = lk_op_end(&op, lk_rollback_then_at(r, &op, d->old, e->name, e->len, &there));
	return rc || there ? rc : lk_rollback_remove(r, d->path, false, e);
}

int lk_rollback_later(struct lk_rollback *r)
{
	struct lk_rollback_phase p = {r, 0, false};
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
	uint64_t old_dir = 0, there = 0;
	bool others = false;
	char *above = NULL;
	struct lk_op op;
	int rc = S_ISDIR(e->type) ? has_others(r, e->ino, &others) : 0;

	if (rc || !others)
		return rc;
	rc = lk_then_begin(r->fs, &op, r->then, 0);
	if (rc)
		return rc;
	rc = lk_rollback_guess_dir(r, &op, e->dir, &old_dir);
	if (rc == 0 && old_dir)
		rc = lk_rollback_then_at(r, &op, old_dir, e->name, e->len, &there);
	/* One made since may become what was there. */
	if (rc == 0 && there && e->ino >= (uint64_t)r->then->next_ino)
		there = e->ino;
	if (rc == 0 && there != e->ino)
		rc = lk_rollback_path_of(&op, e->dir, &above);
	rc = lk_op_end(&op, rc);
	if (rc == 0 && there != e->ino) {
		rc = remove_name(r, e);
		if (rc == 0)
			rc = lk_rollback_tell_entry(r, LINKFS_ROLLBACK_REMOVED, above ? above : "", e->name, e->len,
						    e->type, 0, NULL);
		if (lk_rollback_is_left(r, rc)) /* it is met again */
			rc = 0;
	}
	free(above);
	return rc;
}

int lk_rollback_second_names(struct lk_rollback *r)
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

/* Whether what is number now was old then: the same, or, before anything is placed, one made since (R3). */
static bool may_be(const struct lk_rollback *r, bool placed, uint64_t old, int64_t now)
{
	uint64_t other = placed ? lk_pairs_get(&r->now_of, old) : 0;

	return (uint64_t)now == (other ? other : old) || (!placed && now >= r->then->next_ino);
}

/* A bind of now that was not there then, or at another entry. */
static int unbind_op(struct lk_rollback *r, struct lk_op *op, bool placed, const struct lk_bind *b, struct lk_dirent *d,
		     bool *goes)
{
	uint64_t old_dir = 0;
	struct lk_slot slot = {0};
	struct lk_where where;
	int rc;

	*d = (struct lk_dirent){.dir = b->dir, .hash = b->hash, .ord = b->ord};
	rc = lk_txn_get(op, LK_T_DIRENT, d, d);
	if (rc == 0)
		rc = lk_rollback_guess_dir(r, op, (uint64_t)b->dir, &old_dir);
	if (rc)
		return rc;
	if (old_dir) {
		lk_then_see(op, r->then);
		rc = lk_dirent_find(op, old_dir, d->name.p, d->name.len, &slot);
		lk_view_leave(op);
	}
	*goes = rc == 0 &&
		!(slot.bound && may_be(r, placed, slot.bound, b->source) && may_be(r, placed, slot.ino, d->ino));
	if (rc || !*goes || r->ask->dry)
		return rc;
	rc = lk_where_at(op, lk_cred(NULL), (uint64_t)b->dir, d->name.p, d->name.len, &where);
	return rc ? rc : lk_bind_remove(op, lk_cred(NULL), &where);
}

static int unbind_one(struct lk_rollback *r, bool placed, const struct lk_bind *b)
{
	struct lk_dirent d;
	char name[LINKFS_NAME_MAX + 1];
	char *above = NULL;
	bool goes = false;
	struct lk_op op;
	int rc = lk_then_begin(r->fs, &op, r->then, r->ask->dry ? 0 : LK_OP_WRITE);

	if (rc)
		return rc;
	rc = unbind_op(r, &op, placed, b, &d, &goes);
	if (rc == 0 && goes) {
		memcpy(name, d.name.p, d.name.len);
		rc = lk_rollback_path_of(&op, (uint64_t)b->dir, &above);
	}
	rc = lk_op_end(&op, rc);
	/* Its entry, or all of it, went meanwhile. */
	if ((rc == LINKFS_ENOENT || rc == LINKFS_ESTALE) && lk_rollback_is_left(r, rc))
		return 0;
	if (rc == 0 && goes)
		rc = lk_rollback_tell_entry(r, LINKFS_ROLLBACK_UNBOUND, above ? above : "", name, d.name.len,
					    lk_dirent_type(&d), 0, NULL);
	free(above);
	return rc;
}

int lk_rollback_unbind(struct lk_rollback *r, bool placed)
{
	struct bind_list l = {0};
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < r->inside.cap; i++) {
		if (!r->inside.slots[i])
			continue;
		rc = binds_of(r, false, r->inside.slots[i], &l);
		for (size_t k = 0; rc == 0 && k < l.count; k++)
			rc = unbind_one(r, placed, &l.binds[k]);
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
	rc = lk_where_at(op, lk_cred(NULL), d->now, entry->name.p, entry->name.len, &where);
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
		rc = lk_bind_remove(op, lk_cred(NULL), &where);
	return rc ? rc : lk_bind_again(op, &inode, &where);
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
	if (rc && !lk_rollback_is_left(r, rc))
		return rc;
	/* The directory is gone: that is told already. */
	if (!comes)
		return 0;
	return lk_rollback_tell_entry(r, rc ? LINKFS_ROLLBACK_LEFT : LINKFS_ROLLBACK_BOUND, d->path, name, len,
				      lk_dirent_type(&entry), rc, NULL);
}

int lk_rollback_bind(struct lk_rollback *r)
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
