/*
 * moved.c - see moved.h.
 * Layer: core.
 */
#include "moved.h"

#include <string.h>

#define BITS (sizeof(((struct lk_moved_memory *)0)->places) * 8)
#define NAME_BITS (sizeof(((struct lk_moved_memory *)0)->names) * 8)

static uint32_t bit_of(int64_t dir, int64_t hash)
{
	uint64_t h = ((uint64_t)dir ^ (uint64_t)hash) * UINT64_C(0x9e3779b97f4a7c15);

	return (uint32_t)(h >> 40) % BITS;
}

static void set_bit(struct lk_moved_memory *m, int64_t dir, int64_t hash)
{
	uint32_t bit = bit_of(dir, hash);

	m->places[bit / 64] |= UINT64_C(1) << bit % 64;
}

static int load_row(void *arg, const void *record)
{
	const struct lk_moved *row = record;
	struct lk_moved_memory *m = arg;

	set_bit(m, row->dir, row->hash);
	m->count++;
	return 0;
}

static int load(struct lk_op *op)
{
	struct lk_moved_memory *m = &op->fs->moved;
	struct lk_moved key = {.time_ns = INT64_MIN};
	struct lk_scan scan = {.table = &lk_tables[LK_T_MOVED],
			       .index = LK_BY_KEY,
			       .ranged = 1,
			       .from = &key,
			       .limit = 2 * LK_MOVED_MAX};
	int rc;

	if (m->loaded)
		return 0;
	m->count = 0;
	rc = lk_txn_scan(op, &scan, load_row, m);
	m->loaded = rc == 0;
	return rc;
}

/* ---- names that texts have ------------------------------------------------------------------------------------- */

static uint32_t name_bit(int64_t hash)
{
	return (uint32_t)((uint64_t)hash >> 5) % NAME_BITS;
}

void lk_moved_mention(struct lk_fs *fs, int64_t hash)
{
	struct lk_moved_memory *m = &fs->moved;
	uint32_t bit = name_bit(hash);

	m->names[bit / 64] |= UINT64_C(1) << bit % 64;
	if (++m->mentions > LK_MENTIONS_MAX && m->texts == LK_TEXTS_FEW)
		m->texts = LK_TEXTS_MANY;
}

static int mention_row(void *arg, const void *record)
{
	lk_moved_mention(arg, ((const struct lk_component *)record)->hash);
	return 0;
}

static int load_mentions(struct lk_op *op)
{
	struct lk_moved_memory *m = &op->fs->moved;
	struct lk_component key = {.hash = 0};
	struct lk_scan scan = {.table = &lk_tables[LK_T_COMPONENT],
			       .index = LK_BY_KEY,
			       .ranged = 1,
			       .from = &key,
			       .limit = LK_MENTIONS_MAX + 1};
	int rc;

	m->mentions = 0;
	rc = lk_txn_scan(op, &scan, mention_row, op->fs);
	if (rc == 0)
		m->texts = m->mentions > LK_MENTIONS_MAX ? LK_TEXTS_MANY : LK_TEXTS_FEW;
	return rc;
}

static int any_row(void *arg, const void *record)
{
	(void)record;
	*(bool *)arg = true;
	return 1;
}

/* Whether some text has a component of that hash. */
static int mentioned(struct lk_op *op, int64_t hash, bool *out)
{
	struct lk_moved_memory *m = &op->fs->moved;
	struct lk_component key = {.hash = hash};
	struct lk_scan scan = {
		.table = &lk_tables[LK_T_COMPONENT], .index = LK_BY_KEY, .equal = 1, .from = &key, .limit = 1};
	uint32_t bit = name_bit(hash);
	int rc = m->texts == LK_TEXTS_UNKNOWN ? load_mentions(op) : 0;

	*out = false;
	if (rc || (m->texts == LK_TEXTS_FEW && !(m->names[bit / 64] >> bit % 64 & 1)))
		return rc;
	return lk_txn_scan(op, &scan, any_row, out);
}

static int may_break(struct lk_op *op, const struct lk_inode *inode, const struct lk_slot *slot, bool other_dir,
		     bool *out)
{
	int rc = 0;

	*out = other_dir && lk_is_lnk(inode);
	if (!*out)
		rc = mentioned(op, slot->hash, out);
	if (rc == 0 && !*out && other_dir && lk_is_dir(inode))
		rc = mentioned(op, lk_name_hash(op->fs->name_secret, "..", 2), out);
	return rc;
}

/* ---- the journal ------------------------------------------------------------------------------------------------- */

static int take_time(void *arg, const void *record)
{
	*(struct lk_moved *)arg = (struct lk_moved){.time_ns = ((const struct lk_moved *)record)->time_ns, .ino = 1};
	return 1;
}

static int drop_oldest(struct lk_op *op)
{
	struct lk_moved key = {.time_ns = INT64_MIN}, oldest = {.ino = 0};
	struct lk_scan scan = {
		.table = &lk_tables[LK_T_MOVED], .index = LK_BY_KEY, .ranged = 1, .from = &key, .limit = 1};
	int rc = lk_txn_scan(op, &scan, take_time, &oldest);

	if (rc || !oldest.ino)
		return rc;
	op->fs->moved.count--;
	return lk_txn_erase(op, LK_T_MOVED, &oldest);
}

int lk_moved_note(struct lk_op *op, const struct lk_inode *inode, const struct lk_slot *slot, const char *name,
		  size_t len, bool other_dir, bool filled)
{
	struct lk_moved row = {.time_ns = op->now_ns,
			       .ino = inode->ino,
			       .dir = (int64_t)slot->dir,
			       .hash = slot->hash,
			       .name = {name, len},
			       .filled = filled};
	bool needed;
	int rc = may_break(op, inode, slot, other_dir, &needed);

	if (rc || !needed)
		return rc;
	rc = load(op);
	if (rc == 0 && op->fs->moved.count >= LK_MOVED_MAX)
		rc = drop_oldest(op);
	if (rc)
		return rc;
	while ((rc = lk_txn_insert(op, LK_T_MOVED, &row)) == LINKFS_EEXIST)
		row.time_ns++;
	if (rc)
		return rc;
	set_bit(&op->fs->moved, row.dir, row.hash);
	op->fs->moved.count++;
	return 0;
}

/* ---- reading --------------------------------------------------------------------------------------------------- */

static int verify(const struct lk_moved *row)
{
	if (row->ino < 1 || row->ino > LK_INO_MAX || row->dir < 1 || row->dir > LK_INO_MAX || row->name.len == 0 ||
	    row->name.len > LINKFS_NAME_MAX || lk_name_check(row->name.p, row->name.len))
		return LINKFS_ECORRUPT;
	return 0;
}

int lk_moved_at(struct lk_op *op, int64_t time_ns, struct lk_moved *out)
{
	struct lk_moved row = {.time_ns = time_ns};
	int rc = lk_txn_get(op, LK_T_MOVED, &row, &row);

	if (rc == 0)
		rc = verify(&row);
	if (rc == 0)
		*out = row;
	return rc;
}

/* The row of a place that fits, by time. */
struct find {
	const char *name; /* NULL: any */
	size_t len;
	bool open; /* only one that is not filled */
	int64_t after, found;
};

static int find_row(void *arg, const void *record)
{
	const struct lk_moved *row = record;
	struct find *f = arg;

	if (row->time_ns <= f->after || (f->open && row->filled))
		return 0;
	if (f->name && (row->name.len != f->len || memcmp(row->name.p, f->name, f->len) != 0))
		return 0;
	f->found = row->time_ns;
	return 1;
}

static int find(struct lk_op *op, const struct lk_moved *key, int index, struct find *f, struct lk_moved *out)
{
	struct lk_scan scan = {.table = &lk_tables[LK_T_MOVED],
			       .index = index,
			       .equal = index == LK_MOVED_BY_PLACE ? 2 : 1,
			       .from = key,
			       .limit = 0};
	int rc = lk_txn_scan(op, &scan, find_row, f);

	if (rc)
		return rc;
	return f->found == INT64_MIN ? LINKFS_ENOENT : lk_moved_at(op, f->found, out);
}

static int from_place(struct lk_op *op, uint64_t dir, const char *name, size_t len, int64_t time_ns, bool open,
		      struct lk_moved *out)
{
	struct lk_moved key = {.dir = (int64_t)dir, .hash = lk_name_hash(op->fs->name_secret, name, len)};
	struct find f = {.name = name, .len = len, .open = open, .after = time_ns, .found = INT64_MIN};

	return find(op, &key, LK_MOVED_BY_PLACE, &f, out);
}

int lk_moved_from_place(struct lk_op *op, uint64_t dir, const char *name, size_t len, int64_t time_ns,
			struct lk_moved *out)
{
	return from_place(op, dir, name, len, time_ns, false, out);
}

int lk_moved_of(struct lk_op *op, uint64_t ino, int64_t time_ns, struct lk_moved *out)
{
	struct lk_moved key = {.ino = (int64_t)ino};
	struct find f = {.after = time_ns, .found = INT64_MIN};

	return find(op, &key, LK_MOVED_BY_INO, &f, out);
}

int lk_moved_filled(struct lk_op *op, const struct lk_slot *slot, const char *name, size_t len)
{
	struct lk_moved_memory *m = &op->fs->moved;
	uint32_t bit = bit_of((int64_t)slot->dir, slot->hash);
	struct lk_moved row;
	int rc = load(op);

	if (rc || !(m->places[bit / 64] >> bit % 64 & 1))
		return rc;
	/* At most one is open: the last. */
	rc = from_place(op, slot->dir, name, len, INT64_MIN, true, &row);
	if (rc)
		return rc == LINKFS_ENOENT ? 0 : rc;
	row.filled = 1;
	return lk_txn_put(op, LK_T_MOVED, &row);
}
