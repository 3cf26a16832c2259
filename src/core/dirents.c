/*
 * dirents.c - directory entries (K1): buckets of equal hashes, the reverse index, readdir order.
 * Layer: core.
 *
 * A bucket is the rows of one (dir, hash). Insertion takes its lowest free ordinal and removal drops one row and moves
 * none, so that a cookie, which is hash and ordinal, means one entry for as long as that entry lives.
 */
#include "dirents.h"
#include "binds.h"
#include "moved.h"
#include "name_cache.h"
#include "places.h"

#include <string.h>

static const struct lk_table *table(void)
{
	return &lk_tables[LK_T_DIRENT];
}

int lk_name_check(const char *name, size_t len)
{
	if (len == 0 || memchr(name, '/', len) || memchr(name, 0, len))
		return LINKFS_EINVAL;
	return 0;
}

static bool type_valid(int64_t type)
{
	switch ((uint32_t)type << 12) {
	case S_IFREG:
	case S_IFDIR:
	case S_IFLNK:
	case S_IFIFO:
	case S_IFSOCK:
	case S_IFCHR:
	case S_IFBLK:
		return type >= 0 && type <= 15;
	default:
		return false;
	}
}

/* What a row must be before anything relies on it (F5). The reverse index does not hold the type. */
int lk_dirent_verify(const struct lk_dirent *d, bool with_type)
{
	const char *name = d->name.p;
	size_t len = d->name.len;

	if (len == 0 || len > LINKFS_NAME_MAX || memchr(name, '/', len) || memchr(name, 0, len) ||
	    (name[0] == '.' && (len == 1 || (len == 2 && name[1] == '.'))))
		return LINKFS_ECORRUPT;
	/* Nothing names the root. */
	if (d->ino <= (int64_t)LINKFS_ROOT_INO || d->ino > LK_INO_MAX || d->dir < 1 || d->dir > LK_INO_MAX ||
	    (with_type && !type_valid(d->type)) || d->ord < 0 || d->ord > LK_ORD_MAX || d->hash < 16 || d->hash >> 55)
		return LINKFS_ECORRUPT;
	return 0;
}

struct find {
	struct lk_slot *slot;
	const char *name;
	size_t len;
	int64_t free_ord;
	bool any;
};

static int find_row(void *arg, const void *record)
{
	struct find *f = arg;
	const struct lk_dirent *d = record;
	int rc = lk_dirent_verify(d, true);

	if (rc)
		return rc;
	f->any = true;
	if (d->ord == f->free_ord)
		f->free_ord++;
	if (d->name.len != f->len || memcmp(d->name.p, f->name, f->len) != 0)
		return 0;
	f->slot->ord = d->ord;
	f->slot->ino = (uint64_t)d->ino;
	f->slot->type = lk_dirent_type(d);
	return 1;
}

int lk_dirent_find(struct lk_op *op, uint64_t dir, const char *name, size_t len, struct lk_slot *slot)
{
	struct find f = {.slot = slot, .name = name, .len = len};
	struct lk_dirent key;
	struct lk_scan scan = {.table = table(), .index = LK_BY_KEY, .equal = 2, .from = &key};
	int rc;

	if (len > LINKFS_NAME_MAX)
		return LINKFS_ENAMETOOLONG;
	slot->dir = dir;
	slot->hash = lk_name_hash(op->fs->name_secret, name, len);
	slot->ino = 0;
	slot->type = 0;
	slot->bound = 0;
	if (op->view == LK_VIEW_LIVE && lk_name_cache_find(op->fs, slot, name, len))
		return slot->ino ? lk_bind_find(op, slot) : 0;
	key.dir = (int64_t)dir;
	key.hash = slot->hash;
	key.ord = 0;
	rc = lk_txn_scan(op, &scan, find_row, &f);
	if (rc)
		return rc;
	if (slot->ino == 0)
		slot->ord = f.free_ord;
	if (op->view == LK_VIEW_LIVE && slot->ino)
		lk_name_cache_set(op->fs, slot, name, len);
	else if (op->view == LK_VIEW_LIVE && !f.any)
		lk_name_cache_set_empty(op->fs, slot);
	return slot->ino ? lk_bind_find(op, slot) : 0;
}

static void fill(struct lk_dirent *d, const struct lk_slot *slot, const char *name, size_t len)
{
	memset(d, 0, sizeof(*d));
	d->dir = (int64_t)slot->dir;
	d->hash = slot->hash;
	d->ord = slot->ord;
	d->ino = (int64_t)slot->ino;
	d->type = (int64_t)(slot->type >> 12);
	d->name.p = name;
	d->name.len = len;
}

int lk_dirent_insert(struct lk_op *op, struct lk_slot *slot, const char *name, size_t len, uint64_t ino, uint32_t mode)
{
	struct lk_dirent d;
	int rc;

	if (slot->ord > LK_ORD_MAX)
		return LINKFS_ENOSPC;
	slot->ino = ino;
	slot->type = mode & S_IFMT;
	fill(&d, slot, name, len);
	atomic_fetch_add(&op->fs->name_changes, 1);
	rc = lk_txn_insert(op, LK_T_DIRENT, &d);
	if (rc == LINKFS_EEXIST) /* the bucket was just read: the ordinal was free */
		return LINKFS_ECORRUPT;
	if (rc == 0)
		lk_name_cache_add(op->fs, slot, name, len);
	if (rc == 0)
		rc = lk_moved_filled(op, slot, name, len);
	return rc ? rc : lk_op_event(op, LINKFS_EVENT_ENTRY, slot->dir, name, len);
}

int lk_dirent_replace(struct lk_op *op, struct lk_slot *slot, const char *name, size_t len, uint64_t ino, uint32_t mode)
{
	struct lk_dirent d;
	int rc;

	slot->ino = ino;
	slot->type = mode & S_IFMT;
	fill(&d, slot, name, len);
	atomic_fetch_add(&op->fs->name_changes, 1);
	rc = lk_txn_put(op, LK_T_DIRENT, &d);
	if (rc == 0)
		lk_name_cache_set(op->fs, slot, name, len);
	return rc ? rc : lk_op_event(op, LINKFS_EVENT_ENTRY, slot->dir, name, len);
}

int lk_dirent_remove(struct lk_op *op, const struct lk_slot *slot, const char *name, size_t len)
{
	struct lk_dirent d;
	int rc;

	fill(&d, slot, name, len);
	lk_name_cache_drop(op->fs, slot);
	atomic_fetch_add(&op->fs->name_changes, 1);
	rc = lk_txn_erase(op, LK_T_DIRENT, &d);
	if (rc == LINKFS_ENOENT) /* it was just read */
		return LINKFS_ECORRUPT;
	return rc ? rc : lk_op_event(op, LINKFS_EVENT_ENTRY, slot->dir, name, len);
}

int lk_dirent_at(struct lk_op *op, uint64_t dir, int64_t hash, int64_t ord, uint64_t ino, struct lk_dirent *out)
{
	struct lk_dirent d = {.dir = (int64_t)dir, .hash = hash, .ord = ord};
	int rc = lk_txn_get(op, LK_T_DIRENT, &d, &d);

	if (rc == 0 && (uint64_t)d.ino != ino)
		rc = LINKFS_ENOENT;
	if (rc == 0)
		rc = lk_dirent_verify(&d, true);
	if (rc == 0)
		*out = d;
	return rc;
}

/* Passes verified rows on. */
struct pass {
	lk_row_fn *fn;
	void *arg;
	bool with_type;
};

static int pass_row(void *arg, const void *record)
{
	struct pass *p = arg;
	int rc = lk_dirent_verify(record, p->with_type);

	return rc ? rc : p->fn(p->arg, record);
}

/* The same for a directory's rows in the order of their keys. */
struct listing {
	struct pass pass;
	const struct lk_fs *fs;
	int64_t hash; /* of the row before */
	size_t len;
	char name[LINKFS_NAME_MAX];
};

static int list_row(void *arg, const void *record)
{
	struct listing *l = arg;
	const struct lk_dirent *d = record;
	int rc = lk_dirent_verify(d, true);

	if (rc)
		return rc;
	/* A name in another bucket than its own could not be found, nor the second of one name. */
	if (d->hash != lk_name_hash(l->fs->name_secret, d->name.p, d->name.len) ||
	    (d->hash == l->hash && d->name.len == l->len && memcmp(d->name.p, l->name, l->len) == 0))
		return LINKFS_ECORRUPT;
	l->hash = d->hash;
	l->len = d->name.len;
	memcpy(l->name, d->name.p, d->name.len);
	return l->pass.fn(l->pass.arg, record);
}

int lk_dirent_scan(struct lk_op *op, uint64_t dir, uint64_t cookie, uint32_t limit, lk_row_fn *fn, void *arg)
{
	struct listing l = {.pass = {fn, arg, true}, .fs = op->fs};
	struct lk_dirent key = {.dir = (int64_t)dir, .hash = (int64_t)(cookie >> 8), .ord = (int64_t)(cookie & 255)};
	struct lk_scan scan = {.table = table(),
			       .index = LK_BY_KEY,
			       .equal = 1,
			       .ranged = 2,
			       .exclusive = true,
			       .from = &key,
			       .limit = limit};

	return lk_txn_scan(op, &scan, list_row, &l);
}

int lk_dirent_names(struct lk_op *op, uint64_t ino, uint32_t limit, lk_row_fn *fn, void *arg)
{
	return lk_dirent_names_after(op, ino, 0, 0, limit, fn, arg);
}

int lk_dirent_names_after(struct lk_op *op, uint64_t ino, uint64_t dir, uint64_t cookie, uint32_t limit, lk_row_fn *fn,
			  void *arg)
{
	struct pass p = {fn, arg, false};
	struct lk_dirent key = {.ino = (int64_t)ino,
				.dir = (int64_t)dir,
				.hash = (int64_t)(cookie >> 8),
				.ord = (int64_t)(cookie & 255)};
	struct lk_scan scan = {.table = table(),
			       .index = LK_DIRENT_BY_INO,
			       .equal = 1,
			       .ranged = dir ? 3 : 0,
			       .exclusive = dir,
			       .from = &key,
			       .limit = limit};

	if (op->view != LK_VIEW_LIVE)
		return lk_dirent_names_past(op, ino, dir, cookie, limit, fn, arg);
	return lk_txn_scan(op, &scan, pass_row, &p);
}

static int one_row(void *arg, const void *record)
{
	const struct lk_dirent *d = record;

	*(uint64_t *)arg = (uint64_t)d->dir;
	return 1;
}

int lk_dirent_empty(struct lk_op *op, uint64_t dir, bool *out)
{
	uint64_t found = 0;
	int rc = lk_dirent_scan(op, dir, 0, 1, one_row, &found);

	if (rc == 0)
		*out = found == 0;
	return rc;
}

struct first {
	struct lk_op *op;
	struct lk_dirent row;
	bool found;
};

static int first_row(void *arg, const void *record)
{
	struct first *first = arg;
	const struct lk_dirent *d = record;
	char *name = lk_op_alloc(first->op, d->name.len);

	if (!name)
		return LINKFS_ENOMEM;
	memcpy(name, d->name.p, d->name.len);
	first->row = *d;
	first->row.name.p = name;
	first->found = true;
	return 1;
}

int lk_dirent_first(struct lk_op *op, uint64_t ino, struct lk_dirent *out)
{
	struct first first = {.op = op};
	int rc = lk_dirent_names(op, ino, 1, first_row, &first);

	*out = first.row;
	return rc == 0 && !first.found ? LINKFS_ENOENT : rc;
}

struct parents {
	uint64_t first;
	bool more;
};

static int parent_row(void *arg, const void *record)
{
	struct parents *p = arg;
	const struct lk_dirent *d = record;

	p->more = p->first != 0;
	if (!p->more)
		p->first = (uint64_t)d->dir;
	return 0;
}

bool lk_dir_links_any(struct lk_op *op)
{
	int64_t count = 0;

	(void)lk_txn_count(op, LK_COUNTER_DIR_NAMES, 0, &count);
	return count > 0 || op->view != LK_VIEW_LIVE;
}

int lk_dirent_named(struct lk_op *op, uint64_t ino, bool *out)
{
	uint64_t found = 0;
	int rc = lk_dirent_names(op, ino, 1, one_row, &found);

	if (rc == 0)
		*out = found != 0;
	return rc;
}

/* A directory with two names that the volume does not count is damage: a cycle that can be entered has one, and whoever lists it asks
 * for its parent first. */
int lk_dirent_parent(struct lk_op *op, uint64_t ino, uint64_t *out)
{
	struct parents found = {0};
	int rc;

	if (ino == LINKFS_ROOT_INO) {
		*out = ino;
		return 0;
	}
	rc = lk_dirent_names(op, ino, 2, parent_row, &found);
	if (rc)
		return rc;
	if (found.more && !lk_dir_links_any(op))
		return LINKFS_ECORRUPT;
	if (found.first == 0)
		return LINKFS_ENOENT;
	*out = found.first;
	return 0;
}

/* The depth of a tree is bounded by what a hostile volume can loop: more steps than the volume has numbers cannot be, and a
 * parent chain that meets itself is found by Brent's method. */
int lk_dirent_above(struct lk_op *op, uint64_t node, uint64_t from, bool *out)
{
	uint64_t at = from, mark = from, steps = 0, power = 2;
	int rc;

	if (lk_dir_links_any(op) || lk_binds_any(op))
		return lk_routes_above(op, node, from, out);
	for (;;) {
		if (at == node) {
			*out = true;
			return 0;
		}
		if (at == LINKFS_ROOT_INO) {
			*out = false;
			return 0;
		}
		rc = lk_dirent_parent(op, at, &at);
		if (rc == LINKFS_ENOENT) { /* a removed directory is below nothing */
			*out = false;
			return 0;
		}
		if (rc)
			return rc;
		if (at == mark)
			return LINKFS_ECORRUPT;
		if (++steps == power) {
			mark = at;
			power *= 2;
		}
	}
}
