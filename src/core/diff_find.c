/*
 * diff_find.c - what may differ between two views (diff.h, D1 to D3): history of the interval, inodes made in it, and what is not in rows yet.
 * Layer: core.
 */
#include "diff_impl.h"

#include "binds.h"
#include "inode_cache.h"
#include "txn_impl.h"

#include <stdlib.h>
#include <string.h>

#define FIND_ROWS 256u

static int add_inode(struct lk_diff *d, int64_t ino)
{
	if (ino < 1 || ino > LK_INO_MAX)
		return LINKFS_ECORRUPT;
	return LK_LIST_ADD(&d->inodes, (uint64_t)ino);
}

/* ---- history, from the largest last down (D2) ------------------------------------------------------------------- */

struct history {
	struct lk_diff *d;
	const struct lk_table *live, *table;
	lk_row_fn *fn;
	uint32_t rows;
	bool done;
};

static int history_row(void *arg, const void *record)
{
	struct history *h = arg;
	struct lk_diff *d = h->d;

	h->rows++;
	if (lk_record_last(h->table, record) < d->side[OLDER].epoch) {
		h->done = true;
		return 1;
	}
	memcpy(d->row, record, h->table->record_size);
	/* Others are of inodes made since, or between two changes. */
	if (*lk_int_of(&h->live->columns[h->live->born_column], record) > d->side[OLDER].epoch)
		return 0;
	return h->fn(d, record);
}

/* The rows of a table that are the older view's and not the newer's: the next of them. */
static int find_history(struct lk_diff *d, struct lk_op *op, enum lk_table_id live, lk_row_fn *fn, bool *done_out)
{
	const struct lk_table *table = &lk_tables[lk_tables[live].old];
	struct history h = {.d = d, .live = &lk_tables[live], .table = table, .fn = fn};
	struct lk_scan scan = {.table = table,
			       .index = LK_BY_KEY,
			       .ranged = table->key_count,
			       .exclusive = d->started,
			       .reverse = true,
			       .from = d->row,
			       .limit = FIND_ROWS};
	int rc;

	if (!d->started) {
		memset(d->row, 0, sizeof(d->row));
		for (uint8_t i = 0; i < table->key_count; i++)
			*lk_int_at(&table->columns[i], d->row) = INT64_MAX;
		*lk_int_at(&table->columns[0], d->row) = d->side[NEWER].epoch - 1;
		d->started = true;
	}
	rc = lk_db_scan(op->fs->db, &scan, history_row, &h);
	lk_diff_spend(d, h.rows + 1);
	*done_out = h.done || h.rows < FIND_ROWS;
	return rc;
}

static int keep_record(struct lk_diff *d, int side, const struct lk_inode *inode)
{
	return d->known[side].count < LK_DIFF_KNOWN ? LK_LIST_ADD(&d->known[side], *inode) : 0;
}

/* D2: it is the older view's record. */
static int changed_row(void *arg, const void *record)
{
	const struct lk_inode *inode = record;
	int rc = add_inode(arg, inode->ino);

	return rc ? rc : keep_record(arg, OLDER, inode);
}

int lk_diff_find_changed(struct lk_diff *d, struct lk_op *op, bool *done_out)
{
	return find_history(d, op, LK_T_INODE, changed_row, done_out);
}

static int target_row(void *arg, const void *record)
{
	return add_inode(arg, ((const struct lk_target *)record)->ino);
}

int lk_diff_find_retargeted(struct lk_diff *d, struct lk_op *op, bool *done_out)
{
	return find_history(d, op, LK_T_TARGET, target_row, done_out);
}

static int add_bind(struct lk_diff *d, const struct lk_bind *b)
{
	return LK_LIST_ADD(&d->binds, (struct lk_spell){.dir = b->dir, .hash = b->hash, .ord = b->ord});
}

static int unbound_row(void *arg, const void *record)
{
	return add_bind(arg, record);
}

int lk_diff_find_unbound(struct lk_diff *d, struct lk_op *op, bool *done_out)
{
	return find_history(d, op, LK_T_BIND, unbound_row, done_out);
}

/* ---- made since ------------------------------------------------------------------------------------------------- */

static int dirty_record(void *arg, const struct lk_inode *inode)
{
	struct lk_diff *d = arg;

	return inode->ino < d->side[NEWER].next_ino ? add_inode(d, inode->ino) : 0;
}

/* All that is not in rows yet was changed after the newest snapshot. */
int lk_diff_find_dirty(struct lk_diff *d, struct lk_op *op, bool *done_out)
{
	*done_out = true;
	return d->side[NEWER].epoch == LK_VIEW_LIVE ? lk_inode_cache_each_dirty(op->fs, dirty_record, d) : 0;
}

struct made {
	struct lk_diff *d;
	uint32_t rows;
	bool done;
};

static int made_row(void *arg, const void *record)
{
	const struct lk_inode *inode = record;
	struct made *m = arg;
	int rc;

	m->rows++;
	if (inode->ino >= m->d->side[NEWER].next_ino) {
		m->done = true;
		return 1;
	}
	m->d->next = (uint64_t)inode->ino;
	rc = add_inode(m->d, inode->ino);
	return rc || m->d->side[NEWER].epoch == LK_VIEW_LIVE ? rc : keep_record(m->d, NEWER, inode);
}

int lk_diff_find_made(struct lk_diff *d, struct lk_op *op, bool *done_out)
{
	struct made m = {.d = d};
	struct lk_inode from = {.ino = (int64_t)d->next};
	struct lk_scan scan = {.table = &lk_tables[LK_T_INODE],
			       .index = LK_BY_KEY,
			       .ranged = 1,
			       .exclusive = true,
			       .from = &from,
			       .limit = FIND_ROWS};
	int rc;

	if (!d->started) {
		from.ino = d->side[OLDER].next_ino - 1;
		d->started = true;
	}
	lk_diff_see(d, op, NEWER);
	rc = lk_txn_scan(op, &scan, made_row, &m);
	lk_diff_spend(d, m.rows + 1);
	*done_out = m.done || m.rows < FIND_ROWS;
	return rc;
}

struct bound {
	struct lk_diff *d;
	uint32_t rows;
};

static int bound_row(void *arg, const void *record)
{
	const struct lk_bind *bind = record;
	struct bound *b = arg;
	int rc = LK_LIST_ADD(&b->d->shown, (struct lk_shown){(uint64_t)bind->source,
							     {.dir = bind->dir, .hash = bind->hash, .ord = bind->ord}});

	b->rows++;
	b->d->any_binds = true;
	memcpy(b->d->row, bind, sizeof(*bind));
	return rc == 0 && bind->born > b->d->side[OLDER].epoch ? add_bind(b->d, bind) : rc;
}

/* Nothing but the rows themselves says which binds are new. */
int lk_diff_find_bound(struct lk_diff *d, struct lk_op *op, bool *done_out)
{
	struct bound b = {.d = d};
	struct lk_scan scan = {.table = &lk_tables[LK_T_BIND],
			       .index = LK_BY_KEY,
			       .ranged = lk_tables[LK_T_BIND].key_count,
			       .exclusive = true,
			       .from = d->row,
			       .limit = FIND_ROWS};
	int rc;

	if (!d->started) {
		memset(d->row, 0, sizeof(d->row));
		d->started = true;
	}
	lk_diff_see(d, op, NEWER);
	rc = lk_txn_scan(op, &scan, bound_row, &b);
	lk_diff_spend(d, b.rows + 1);
	*done_out = b.rows < FIND_ROWS;
	return rc;
}

/* ---- put in order ----------------------------------------------------------------------------------------------- */

int lk_diff_by_key(const void *a, const void *b)
{
	const struct lk_spell *x = a, *y = b;

	if (x->dir != y->dir)
		return x->dir < y->dir ? -1 : 1;
	if (x->hash != y->hash)
		return x->hash < y->hash ? -1 : 1;
	return (x->ord > y->ord) - (x->ord < y->ord);
}

int lk_diff_sort_found(struct lk_diff *d, struct lk_op *op, bool *done_out)
{
	size_t kept = 0;

	(void)op;
	if (d->inodes.count)
		qsort(d->inodes.p, d->inodes.count, sizeof(*d->inodes.p), lk_by_number);
	for (size_t i = 0; i < d->inodes.count; i++)
		if (i == 0 || d->inodes.p[i] != d->inodes.p[i - 1])
			d->inodes.p[kept++] = d->inodes.p[i];
	d->inodes.count = kept;
	for (int side = 0; side < SIDES; side++)
		if (d->known[side].count)
			qsort(d->known[side].p, d->known[side].count, sizeof(struct lk_inode), lk_by_number);
	if (d->binds.count)
		qsort(d->binds.p, d->binds.count, sizeof(*d->binds.p), lk_diff_by_key);
	kept = 0;
	for (size_t i = 0; i < d->binds.count; i++)
		if (i == 0 || lk_diff_by_key(&d->binds.p[i], &d->binds.p[i - 1]) != 0)
			d->binds.p[kept++] = d->binds.p[i];
	d->binds.count = kept;
	d->any_binds |= kept > 0;
	if (d->shown.count)
		qsort(d->shown.p, d->shown.count, sizeof(*d->shown.p), lk_by_number);
	*done_out = true;
	return 0;
}

/* ---- blocks ----------------------------------------------------------------------------------------------------- */

/* The changes are in the order of their inodes still. The first of ino; the count: none. */
static size_t first_change(const struct lk_diff *d, uint64_t ino)
{
	size_t low = 0, high = d->changes.count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;
		const struct lk_change *c = &d->changes.p[middle];

		if (LK_MAX(c->ino[OLDER], c->ino[NEWER]) < ino)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static int range_row(void *arg, const void *record)
{
	const struct lk_extent *e = record;
	struct lk_diff *d = arg;
	size_t i = first_change(d, (uint64_t)e->ino);
	bool asked = false;

	for (; i < d->changes.count && d->changes.p[i].ino[OLDER] == (uint64_t)e->ino; i++)
		asked |= d->changes.p[i].undecided == LK_RANGES;
	if (!asked)
		return 0;
	if (e->file_block < 0 || e->count < 1)
		return LINKFS_ECORRUPT;
	return LK_LIST_ADD(&d->ranges,
			   (struct lk_range){(uint64_t)e->ino, (uint64_t)e->file_block, (uint64_t)e->count});
}

static int by_range(const void *a, const void *b)
{
	const struct lk_range *x = a, *y = b;

	if (x->ino != y->ino)
		return x->ino < y->ino ? -1 : 1;
	return x->at < y->at ? -1 : x->at > y->at;
}

static bool any_undecided(const struct lk_diff *d)
{
	for (size_t i = 0; i < d->changes.count; i++)
		if (d->changes.p[i].undecided == LK_RANGES)
			return true;
	return false;
}

/* A file none of whose blocks is another row's has the content that it had (D3). */
int lk_diff_decide(struct lk_diff *d, struct lk_op *op, bool *done_out)
{
	size_t r = 0;

	(void)op;
	if (d->ranges.count)
		qsort(d->ranges.p, d->ranges.count, sizeof(*d->ranges.p), by_range);

	for (size_t i = 0; i < d->changes.count; i++) {
		struct lk_change *c = &d->changes.p[i];

		if (c->undecided != LK_RANGES)
			continue;
		while (r < d->ranges.count && d->ranges.p[r].ino < c->ino[OLDER])
			r++;
		if (r < d->ranges.count && d->ranges.p[r].ino == c->ino[OLDER])
			continue;
		c->undecided = LK_DECIDED;
		c->gone = c->kind == LINKFS_DIFF_MODIFIED && c->what == 0;
	}
	lk_diff_sweep(d);
	*done_out = true;
	return 0;
}

int lk_diff_find_ranges(struct lk_diff *d, struct lk_op *op, bool *done_out)
{
	if (!d->started && !any_undecided(d)) {
		*done_out = true;
		return 0;
	}
	return find_history(d, op, LK_T_EXTENT, range_row, done_out);
}
