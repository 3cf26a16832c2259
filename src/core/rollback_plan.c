/*
 * rollback_plan.c - what a rollback looks up: both trees, and which file of now is which of then (rollback.h, R1 to R3).
 * Layer: core.
 */
#include "rollback_impl.h"

#include "orphan.h"

#include <stdlib.h>
#include <string.h>

#define BATCH 128u      /* entries read in one op */
#define GUESS_DEPTH 64u /* directories */

/* ---- entries ------------------------------------------------------------------------------------------------------ */

struct batch {
	struct lk_rollback_entry entries[BATCH];
	uint32_t count;
};

static int batch_row(void *arg, const void *record)
{
	const struct lk_dirent *d = record;
	struct batch *b = arg;
	struct lk_rollback_entry *e = &b->entries[b->count++];

	*e = (struct lk_rollback_entry){.dir = (uint64_t)d->dir,
					.ino = (uint64_t)d->ino,
					.hash = d->hash,
					.ord = d->ord,
					.type = lk_dirent_type(d),
					.len = (uint32_t)d->name.len};
	memcpy(e->name, d->name.p, d->name.len);
	return 0;
}

int lk_rollback_entries(struct lk_rollback *r, bool then, uint64_t dir, lk_rollback_entry_fn *fn, void *arg)
{
	struct batch *b = malloc(sizeof(*b));
	uint64_t cookie = 0;
	bool more = true;
	int rc = b ? 0 : LINKFS_ENOMEM;

	while (rc == 0 && more) {
		struct lk_op op;

		b->count = 0;
		rc = lk_then_begin(r->fs, &op, r->then, 0);
		if (rc)
			break;
		if (then)
			lk_then_see(&op, r->then);
		rc = lk_op_end(&op, lk_dirent_scan(&op, dir, cookie, BATCH, batch_row, b));
		more = b->count == BATCH;
		for (uint32_t i = 0; rc == 0 && i < b->count; i++)
			rc = fn(arg, &b->entries[i]);
		if (b->count)
			cookie = (uint64_t)b->entries[b->count - 1].hash << 8 | (uint64_t)b->entries[b->count - 1].ord;
	}
	free(b);
	return rc;
}

int lk_rollback_add_dir(struct lk_rollback *r, uint64_t old, const char *above, const char *name, size_t len)
{
	size_t above_len = strlen(above);
	char *path;

	if (r->dir_count == r->dir_cap) {
		size_t cap = r->dir_cap ? r->dir_cap * 2 : 64;
		struct lk_rollback_dir *p = reallocarray(r->dirs, cap, sizeof(*p));

		if (!p)
			return LINKFS_ENOMEM;
		r->dirs = p;
		r->dir_cap = cap;
	}
	path = malloc(above_len + len + 2);
	if (!path)
		return LINKFS_ENOMEM;
	memcpy(path, above, above_len);
	if (len)
		path[above_len++] = '/';
	memcpy(path + above_len, name, len);
	path[above_len + len] = 0;
	r->dirs[r->dir_count++] = (struct lk_rollback_dir){.old = old, .path = path};
	return 0;
}

struct scan {
	struct lk_rollback *r;
	size_t at;
	struct lk_set *seen;
	uint64_t *left; /* of now */
	size_t count, cap;
};

static int then_entry(void *arg, const struct lk_rollback_entry *e)
{
	struct scan *s = arg;
	bool added;
	int rc = lk_set_add(&s->r->old_inos, e->ino, &added);

	if (rc || !added || !S_ISDIR(e->type))
		return rc;
	return lk_rollback_add_dir(s->r, e->ino, s->r->dirs[s->at].path, e->name, e->len);
}

int lk_rollback_scan_then(struct lk_rollback *r)
{
	struct scan s = {.r = r};
	bool added;
	int rc = lk_set_add(&r->old_inos, r->ask->old, &added);

	for (; rc == 0 && s.at < r->dir_count; s.at++)
		rc = lk_rollback_entries(r, true, r->dirs[s.at].old, then_entry, &s);
	return rc;
}

static int now_dir(struct scan *s, uint64_t ino)
{
	bool added;
	int rc = lk_set_add(&s->r->inside, ino, &added);

	if (rc || !added)
		return rc;
	if (s->count == s->cap) {
		size_t cap = s->cap ? s->cap * 2 : 64;
		uint64_t *p = reallocarray(s->left, cap, sizeof(*p));

		if (!p)
			return LINKFS_ENOMEM;
		s->left = p;
		s->cap = cap;
	}
	s->left[s->count++] = ino;
	return 0;
}

static int now_entry(void *arg, const struct lk_rollback_entry *e)
{
	return S_ISDIR(e->type) ? now_dir(arg, e->ino) : 0;
}

int lk_rollback_scan_now(struct lk_rollback *r, uint64_t top)
{
	struct scan s = {.r = r};
	int rc = top ? now_dir(&s, top) : 0;

	while (rc == 0 && s.count)
		rc = lk_rollback_entries(r, false, s.left[--s.count], now_entry, &s);
	free(s.left);
	return rc;
}

/* ---- which is which ----------------------------------------------------------------------------------------------- */

int lk_rollback_then_at(struct lk_rollback *r, struct lk_op *op, uint64_t old_dir, const char *name, size_t len,
			uint64_t *out)
{
	struct lk_slot slot;
	int rc;

	lk_then_see(op, r->then);
	rc = lk_dirent_find(op, old_dir, name, len, &slot);
	lk_view_leave(op);
	if (rc == 0)
		*out = slot.ino;
	return rc;
}

uint64_t lk_rollback_old_dir(const struct lk_rollback *r, uint64_t now)
{
	uint64_t old = lk_pairs_get(&r->old_of, now);

	/* One whose turn has not come: it will be itself. */
	if (!old && lk_set_has(&r->inside, now) && lk_set_has(&r->old_inos, now))
		old = now;
	return old;
}

struct names {
	struct lk_op *op;
	struct lk_rollback_name {
		struct lk_dirent d;
		struct lk_rollback_name *next;
	} * first;
	uint32_t count;
};

static int name_row(void *arg, const void *record)
{
	const struct lk_dirent *d = record;
	struct names *n = arg;
	struct lk_rollback_name *item = lk_op_alloc(n->op, sizeof(*item) + d->name.len);

	if (!item)
		return LINKFS_ENOMEM;
	item->d = *d;
	item->d.name.p = memcpy(item + 1, d->name.p, d->name.len);
	item->next = n->first;
	n->first = item;
	n->count++;
	return 0;
}

/* Whether that name was one of old's. */
static int was_name(struct lk_rollback *r, struct lk_op *op, const struct lk_dirent *d, uint64_t old, bool *out)
{
	uint64_t dir = r->ask->dir && (uint64_t)d->dir == r->ask->dir ? 0 : lk_rollback_old_dir(r, (uint64_t)d->dir);
	uint64_t there = 0;
	int rc;

	/* PATH itself: its directory need not be the one of then. */
	if (r->ask->dir && (uint64_t)d->dir == r->ask->dir && d->name.len == r->ask->len &&
	    memcmp(d->name.p, r->ask->name, r->ask->len) == 0) {
		*out = old == r->ask->old;
		return 0;
	}
	*out = false;
	if (!dir)
		return 0;
	rc = lk_rollback_then_at(r, op, dir, d->name.p, d->name.len, &there);
	*out = rc == 0 && there == old;
	return rc;
}

int lk_rollback_guess_dir(struct lk_rollback *r, struct lk_op *op, uint64_t now, uint64_t *out)
{
	struct {
		const char *name;
		size_t len;
	} down[GUESS_DEPTH];
	uint64_t old = 0;
	unsigned depth = 0;
	int rc = 0;

	/* Up to one that is known, and down again by the same names. */
	*out = 0;
	while (rc == 0 && !(old = lk_rollback_old_dir(r, now))) {
		struct names n = {.op = op};

		if (depth == GUESS_DEPTH || now < (uint64_t)r->then->next_ino)
			return 0;
		rc = lk_dirent_names(op, now, 2, name_row, &n);
		if (rc || n.count != 1)
			return rc;
		if (r->ask->dir && (uint64_t)n.first->d.dir == r->ask->dir) {
			old = r->ask->old;
			break;
		}
		down[depth].name = n.first->d.name.p;
		down[depth++].len = n.first->d.name.len;
		now = (uint64_t)n.first->d.dir;
	}
	while (rc == 0 && old && depth--) {
		rc = lk_rollback_then_at(r, op, old, down[depth].name, down[depth].len, &old);
		if (rc == LINKFS_ENOTDIR)
			return 0;
	}
	if (rc == 0)
		*out = old;
	return rc;
}

int lk_rollback_misplaced(struct lk_rollback *r, struct lk_op *op, uint64_t ino, uint64_t old, struct lk_dirent *out,
			  bool *found_out)
{
	struct names n = {.op = op};
	bool added;
	int rc;

	*found_out = false;
	/* Of thousands of names each would be looked at for each that is given. */
	if (lk_set_has(&r->placed, ino))
		return 0;
	rc = lk_dirent_names(op, ino, 0, name_row, &n);
	for (const struct lk_rollback_name *i = n.first; rc == 0 && i && !*found_out; i = i->next) {
		bool right;

		if (!lk_set_has(&r->inside, (uint64_t)i->d.dir) ||
		    lk_set_has(&r->moved, lk_slot_mark((uint64_t)i->d.dir, i->d.hash, i->d.ord)))
			continue;
		rc = was_name(r, op, &i->d, old, &right);
		if (rc == 0 && !right) {
			*out = i->d;
			*found_out = true;
		}
	}
	return rc || *found_out ? rc : lk_set_add(&r->placed, ino, &added);
}

/* Whether the same inode has a name inside. */
static int is_inside(struct lk_rollback *r, struct lk_op *op, uint64_t ino, const struct lk_slot *slot, bool *out)
{
	struct names n = {.op = op};
	struct lk_inode inode;
	int rc = lk_inode_get(op, ino, &inode);

	*out = false;
	if (rc || inode.nlink == 0)
		return rc == LINKFS_ESTALE ? 0 : rc;
	if (slot->ino == ino || lk_is_dir(&inode)) {
		*out = slot->ino == ino || lk_set_has(&r->inside, ino);
		return 0;
	}
	rc = lk_dirent_names(op, ino, 0, name_row, &n);
	for (const struct lk_rollback_name *i = n.first; rc == 0 && i && !*out; i = i->next)
		*out = lk_set_has(&r->inside, (uint64_t)i->d.dir);
	return rc;
}

/* The same of a directory, while others are still to be placed. */
static int will_be_name(struct lk_rollback *r, struct lk_op *op, const struct lk_dirent *d, uint64_t old, bool *out)
{
	uint64_t dir = 0, there = 0;
	int rc = was_name(r, op, d, old, out);

	if (rc || *out || (r->ask->dir && (uint64_t)d->dir == r->ask->dir))
		return rc;
	rc = lk_rollback_guess_dir(r, op, (uint64_t)d->dir, &dir);
	if (rc == 0 && dir)
		rc = lk_rollback_then_at(r, op, dir, d->name.p, d->name.len, &there);
	*out = rc == 0 && there == old;
	return rc;
}

/* R3: the younger file that has the name, and no others than the old one had. */
static int may_become(struct lk_rollback *r, struct lk_op *op, const struct lk_inode *old, const struct lk_slot *slot,
		      bool *out)
{
	struct names n = {.op = op};
	struct lk_inode inode;
	int rc;

	*out = false;
	if (slot->ino < (uint64_t)r->then->next_ino || lk_pairs_get(&r->old_of, slot->ino) ||
	    lk_rollback_is_fresh(r, slot->ino))
		return 0;
	rc = lk_inode_get(op, slot->ino, &inode);
	if (rc || ((inode.mode ^ old->mode) & S_IFMT) || (!lk_is_reg(old) && inode.rdev != old->rdev) ||
	    (!(old->flags & LK_INODE_TRACKED) && (inode.flags & LK_INODE_TRACKED)))
		return rc;
	/* Whose it is may have it open still, and would read and write what is somebody else's. */
	if (lk_is_reg(&inode) && inode.uid != old->uid)
		return 0;
	rc = lk_dirent_names(op, slot->ino, 0, name_row, &n);
	*out = n.count == 1;
	if (rc || n.count == 1)
		return rc;
	*out = true;
	for (const struct lk_rollback_name *i = n.first; rc == 0 && i && *out; i = i->next)
		rc = (lk_is_dir(&inode) ? will_be_name : was_name)(r, op, &i->d, (uint64_t)old->ino, out);
	return rc;
}

int lk_rollback_find(struct lk_rollback *r, struct lk_op *op, const struct lk_inode *old, const struct lk_slot *slot,
		     uint64_t *out)
{
	uint64_t ino = (uint64_t)old->ino, now = lk_pairs_get(&r->now_of, ino);
	bool is = false;
	int rc = 0;

	if (!now) {
		rc = is_inside(r, op, ino, slot, &is);
		if (rc == 0 && is)
			now = ino;
	}
	if (rc == 0 && !now && slot->ino) {
		rc = may_become(r, op, old, slot, &is);
		if (rc == 0 && is)
			now = slot->ino;
	}
	if (rc == 0)
		*out = now;
	return rc;
}
