/*
 * binds.c - see binds.h.
 * Layer: core.
 */
#include "binds.h"

#include "places.h"
#include "views.h"

static const struct lk_table *table(void)
{
	return &lk_tables[LK_T_BIND];
}

bool lk_binds_any(struct lk_op *op)
{
	int64_t count = 0;

	if (op->view != LK_VIEW_LIVE)
		return lk_view_has_binds(op);
	(void)lk_txn_count(op, LK_COUNTER_BINDS, 0, &count);
	return count > 0;
}

/* F5 */
static int verify(const struct lk_bind *b)
{
	if (b->dir < 1 || b->dir > LK_INO_MAX || b->source <= (int64_t)LINKFS_ROOT_INO || b->source > LK_INO_MAX ||
	    b->ord < 0 || b->ord > LK_ORD_MAX || b->hash < 16 || b->hash >> 55)
		return LINKFS_ECORRUPT;
	return 0;
}

int lk_bind_find(struct lk_op *op, struct lk_slot *slot)
{
	struct lk_bind row = {.dir = (int64_t)slot->dir, .hash = slot->hash, .ord = slot->ord};
	int rc;

	slot->bound = 0;
	if (!lk_binds_any(op))
		return 0;
	rc = lk_txn_get(op, LK_T_BIND, &row, &row);
	if (rc == 0)
		rc = verify(&row);
	else if (rc == LINKFS_ENOENT)
		return 0;
	if (rc == 0)
		slot->bound = (uint64_t)row.source;
	return rc;
}

/* ---- made and removed ------------------------------------------------------------------------------------------- */

/* The entry that where says, by its own right: not what is shown there. */
static int look(struct lk_op *op, const struct linkfs_cred *cred, struct lk_where *where, struct lk_slot *slot,
		struct lk_inode *covered)
{
	int rc;

	if (where->last == LK_LAST_ROOT)
		return LINKFS_EBUSY;
	if (where->last != LK_LAST_NAME)
		return LINKFS_EINVAL;
	rc = lk_perm_writable(op);
	if (rc == 0)
		rc = lk_dirent_find(op, (uint64_t)where->dir.inode.ino, where->name, where->len, slot);
	if (rc)
		return rc;
	if (slot->ino == 0)
		return LINKFS_ENOENT;
	rc = lk_inode_get(op, slot->ino, covered);
	if (rc)
		return rc == LINKFS_ESTALE ? LINKFS_ECORRUPT : rc;
	if (where->slash && !lk_is_dir(covered))
		return LINKFS_ENOTDIR;
	return lk_perm_delete(op, cred, &where->dir.inode, covered, lk_is_dir(covered));
}

/* The entry shows something else from now on. */
static int tell(struct lk_op *op, const struct lk_where *where, const struct lk_slot *before)
{
	int rc = lk_places_removed(op, before);

	atomic_fetch_add(&op->fs->name_changes, 1);
	if (rc == 0)
		rc = lk_op_event(op, LINKFS_EVENT_ENTRY, before->dir, where->name, where->len);
	/* Texts of tracked links may have led by the entry, or may now. */
	return rc ? rc : lk_op_event(op, LINKFS_EVENT_TEXTS, before->dir, NULL, 0);
}

/* No way leads from the source down to the directory that would show it; and nothing is shown at its own name, but a file again. */
static int check_loop(struct lk_op *op, const struct lk_inode *source, const struct lk_slot *slot, bool again)
{
	bool above = source->ino == (int64_t)slot->ino && (lk_is_dir(source) || !again);
	int rc = 0;

	if (!above && lk_is_dir(source))
		rc = lk_dirent_above(op, (uint64_t)source->ino, slot->dir, &above);
	return rc == 0 && above ? LINKFS_ELOOP : rc;
}

static int add(struct lk_op *op, const struct linkfs_cred *cred, const struct lk_inode *source, struct lk_where *where,
	       bool again)
{
	struct lk_inode covered;
	struct lk_slot slot;
	struct lk_bind row;
	int rc = look(op, cred, where, &slot, &covered);

	if (rc)
		return rc;
	if (source->nlink == 0)
		return LINKFS_ENOENT;
	/* A source is kept from being removed by it: that is for its owner to say. */
	if (!lk_cred_owns(cred, source))
		return LINKFS_EPERM;
	if (slot.bound)
		return LINKFS_EBUSY;
	if (lk_is_dir(source) != lk_is_dir(&covered))
		return lk_is_dir(source) ? LINKFS_ENOTDIR : LINKFS_EISDIR;
	rc = check_loop(op, source, &slot, again);
	if (rc)
		return rc;
	row = (struct lk_bind){
		.dir = (int64_t)slot.dir, .hash = slot.hash, .ord = slot.ord, .source = (int64_t)source->ino};
	atomic_fetch_add(&op->fs->tree_changes, 1);
	rc = lk_txn_insert(op, LK_T_BIND, &row);
	if (rc == 0)
		rc = lk_txn_count(op, LK_COUNTER_BINDS, 1, NULL);
	return rc ? rc : tell(op, where, &slot);
}

int lk_bind_add(struct lk_op *op, const struct linkfs_cred *cred, const struct lk_inode *source, struct lk_where *where)
{
	return add(op, cred, source, where, false);
}

int lk_bind_again(struct lk_op *op, const struct lk_inode *source, struct lk_where *where)
{
	return add(op, lk_cred(NULL), source, where, true);
}

int lk_bind_remove(struct lk_op *op, const struct linkfs_cred *cred, struct lk_where *where)
{
	struct lk_inode covered;
	struct lk_slot slot;
	struct lk_bind row;
	int rc = look(op, cred, where, &slot, &covered);

	if (rc)
		return rc;
	if (!slot.bound)
		return LINKFS_EINVAL;
	row = (struct lk_bind){.dir = (int64_t)slot.dir, .hash = slot.hash, .ord = slot.ord};
	atomic_fetch_add(&op->fs->tree_changes, 1);
	rc = lk_txn_erase(op, LK_T_BIND, &row);
	if (rc == 0)
		rc = lk_txn_count(op, LK_COUNTER_BINDS, -1, NULL);
	return rc ? rc : tell(op, where, &slot);
}

/* ---- by source -------------------------------------------------------------------------------------------------- */

struct pass {
	lk_row_fn *fn;
	void *arg;
	int64_t source;
	uint32_t limit; /* 0: none */
};

static int pass_row(void *arg, const void *record)
{
	const struct pass *p = arg;
	int rc = verify(record);

	return rc ? rc : p->fn(p->arg, record);
}

/* Of the binds of all sources those of one, up to the limit. */
static int pick_row(void *arg, const void *record)
{
	struct pass *p = arg;
	int rc;

	if (((const struct lk_bind *)record)->source != p->source)
		return 0;
	rc = pass_row(p, record);
	return rc ? rc : p->limit && --p->limit == 0;
}

int lk_bind_scan(struct lk_op *op, uint64_t source, const struct lk_bind *after, uint32_t limit, lk_row_fn *fn,
		 void *arg)
{
	struct lk_bind key = after ? *after : (struct lk_bind){0};
	struct pass pass = {fn, arg, (int64_t)source, limit};
	struct lk_scan scan = {.table = table(),
			       .index = source ? LK_BIND_BY_SOURCE : LK_BY_KEY,
			       .equal = source ? 1 : 0,
			       .ranged = after ? 3 : 0,
			       .exclusive = after,
			       .from = &key,
			       .limit = limit};

	key.source = (int64_t)source;
	/* History has no index of sources. */
	if (source && op->view != LK_VIEW_LIVE) {
		scan.index = LK_BY_KEY;
		scan.equal = 0;
		scan.limit = 0;
		return lk_txn_scan(op, &scan, pick_row, &pass);
	}
	return lk_txn_scan(op, &scan, pass_row, &pass);
}

int lk_bind_scan_dir(struct lk_op *op, uint64_t dir, lk_row_fn *fn, void *arg)
{
	struct lk_bind key = {.dir = (int64_t)dir};
	struct lk_scan scan = {.table = table(), .index = LK_BY_KEY, .equal = 1, .from = &key};

	return lk_txn_scan(op, &scan, pass_row, &(struct pass){.fn = fn, .arg = arg});
}

static int one_row(void *arg, const void *record)
{
	(void)record;
	*(bool *)arg = true;
	return 1;
}

int lk_bind_shows(struct lk_op *op, uint64_t ino, bool *out)
{
	*out = false;
	return lk_binds_any(op) ? lk_bind_scan(op, ino, NULL, 1, one_row, out) : 0;
}

struct follow {
	struct lk_bind *rows;
	uint32_t count;
};

static int count_row(void *arg, const void *record)
{
	struct follow *f = arg;

	if (f->rows)
		f->rows[f->count] = *(const struct lk_bind *)record;
	f->count++;
	return 0;
}

/* The rows of the binds of source. */
static int list(struct lk_op *op, uint64_t source, struct follow *f)
{
	int rc = lk_binds_any(op) ? lk_bind_scan(op, source, NULL, 0, count_row, f) : 0;

	if (rc || f->count == 0)
		return rc;
	f->rows = lk_op_alloc(op, f->count * sizeof(*f->rows));
	if (!f->rows)
		return LINKFS_ENOMEM;
	f->count = 0;
	return lk_bind_scan(op, source, NULL, 0, count_row, f);
}

int lk_bind_tell(struct lk_op *op, uint64_t ino)
{
	struct follow f = {NULL, 0};
	int rc = list(op, ino, &f);

	for (uint32_t i = 0; rc == 0 && i < f.count; i++) {
		struct lk_dirent d = {.dir = f.rows[i].dir, .hash = f.rows[i].hash, .ord = f.rows[i].ord};

		rc = lk_txn_get(op, LK_T_DIRENT, &d, &d);
		if (rc == 0)
			rc = lk_op_event(op, LINKFS_EVENT_ENTRY, (uint64_t)d.dir, d.name.p, d.name.len);
	}
	return rc == LINKFS_ENOENT ? LINKFS_ECORRUPT : rc;
}

int lk_bind_follow(struct lk_op *op, uint64_t old, uint64_t fresh)
{
	struct follow f = {NULL, 0};
	int rc = list(op, old, &f);

	for (uint32_t i = 0; rc == 0 && i < f.count; i++) {
		f.rows[i].source = (int64_t)fresh;
		rc = lk_txn_put(op, LK_T_BIND, &f.rows[i]);
		/* Its directory lists another number now; the name itself is asked for at each use (fuse/pack.c). */
		if (rc == 0)
			rc = lk_op_event_beside(op, LINKFS_EVENT_LISTING, (uint64_t)f.rows[i].dir, NULL, 0);
	}
	return rc;
}
