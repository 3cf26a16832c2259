/*
 * copied.c - see copied.h.
 * Layer: core.
 */
#include "copied.h"

#include "inode_cache.h"

#include <linkfs.h>
#include <string.h>

#define SPREAD 8 /* inodes for each row up to which reading all of them in order is cheaper than asking for each */

int lk_copied_put(struct lk_op *op, struct lk_copied *row)
{
	struct lk_inode inode;
	int rc = lk_inode_get(op, (uint64_t)row->ino, &inode);

	if (rc)
		return rc;
	row->ino = inode.ino;
	row->own_ctime_ns = inode.ctime_ns;
	if (!lk_copied_valid(row, NULL))
		return LINKFS_EINVAL;
	/* The first time, when all files come at once: an insert needs no savepoint. */
	rc = lk_txn_insert(op, LK_T_COPIED, row);
	return rc == LINKFS_EEXIST ? lk_txn_put(op, LK_T_COPIED, row) : rc;
}

int lk_copied_erase(struct lk_op *op, uint64_t ino)
{
	const struct lk_copied key = {.ino = (int64_t)ino};
	int rc = lk_txn_erase(op, LK_T_COPIED, &key);

	return rc == LINKFS_ENOENT ? 0 : rc;
}

int lk_copied_note(struct lk_op *op, uint64_t ino, struct lk_copied_note *out)
{
	struct lk_inode inode;
	int rc = lk_inode_get(op, ino, &inode);

	out->valid = false;
	if (rc)
		return rc;
	out->row.ino = inode.ino;
	rc = lk_txn_get(op, LK_T_COPIED, &out->row, &out->row);
	out->valid = rc == 0 && out->row.own_ctime_ns == inode.ctime_ns;
	return rc == LINKFS_ENOENT ? 0 : rc;
}

int lk_copied_follow(struct lk_op *op, const struct lk_copied_note *note)
{
	struct lk_copied row = note->row;
	struct lk_inode inode;
	int rc = 0;

	if (!note->valid)
		return 0;
	rc = lk_inode_get_any(op, (uint64_t)row.ino, &inode);
	if (rc == LINKFS_ESTALE || (rc == 0 && inode.nlink == 0))
		return lk_copied_erase(op, (uint64_t)row.ino);
	if (rc || inode.ctime_ns == row.own_ctime_ns)
		return rc;
	row.own_ctime_ns = inode.ctime_ns;
	return lk_txn_put(op, LK_T_COPIED, &row);
}

/* ---- in order --------------------------------------------------------------------------------------------------- */

struct gather {
	struct lk_op *op;
	struct lk_copied *rows;
	enum lk_copied_state *states;
	size_t count, at;
};

static int gather_row(void *arg, const void *record)
{
	struct gather *g = arg;

	g->rows[g->count++] = *(const struct lk_copied *)record;
	return 0;
}

static enum lk_copied_state state_of(const struct lk_copied *row, const struct lk_inode *inode)
{
	if (inode->flags & LK_INODE_KEPT || inode->nlink == 0)
		return LK_COPIED_GONE;
	return inode->ctime_ns == row->own_ctime_ns ? LK_COPIED_AS_MADE : LK_COPIED_CHANGED;
}

static int compare_row(void *arg, const void *record)
{
	const struct lk_inode *inode = record;
	struct gather *g = arg;

	while (g->at < g->count && g->rows[g->at].ino < inode->ino)
		g->at++;
	if (g->at < g->count && g->rows[g->at].ino == inode->ino) {
		const struct lk_inode *newer = lk_inode_cache_find(g->op->fs, (uint64_t)inode->ino);

		g->states[g->at] = state_of(&g->rows[g->at], newer ? newer : inode);
		g->at++;
	}
	return g->at == g->count;
}

/* What compare_row() looks at: reading all of a record takes three times as long. */
static uint32_t compared_columns(void)
{
	static const size_t offsets[] = {offsetof(struct lk_inode, nlink), offsetof(struct lk_inode, ctime_ns),
					 offsetof(struct lk_inode, flags)};
	const struct lk_table *table = &lk_tables[LK_T_INODE];
	uint32_t bits = 0;

	for (size_t i = 0; i < LK_ARRAY_LEN(offsets); i++) {
		for (uint8_t c = 0; c < table->column_count; c++)
			bits |= table->columns[c].offset == offsets[i] ? UINT32_C(1) << c : 0;
	}
	return bits;
}

static int compare_each(struct gather *g)
{
	int rc = 0;

	for (g->at = 0; rc == 0 && g->at < g->count; g->at++) {
		struct lk_inode inode;

		rc = lk_inode_get_any(g->op, (uint64_t)g->rows[g->at].ino, &inode);
		if (rc == 0)
			g->states[g->at] = state_of(&g->rows[g->at], &inode);
		else if (rc == LINKFS_ESTALE)
			rc = 0;
	}
	return rc;
}

int lk_copied_some(struct lk_op *op, uint64_t after, struct lk_copied *rows, enum lk_copied_state *states, size_t max,
		   size_t *count_out)
{
	const struct lk_copied key = {.ino = (int64_t)after};
	const struct lk_scan scan = {.table = &lk_tables[LK_T_COPIED],
				     .index = LK_BY_KEY,
				     .ranged = 1,
				     .exclusive = true,
				     .from = &key,
				     .limit = (uint32_t)max};
	struct gather g = {.op = op, .rows = rows, .states = states};
	int rc = lk_txn_scan(op, &scan, gather_row, &g);

	if (rc)
		return rc;
	*count_out = g.count;
	for (size_t i = 0; i < g.count; i++)
		states[i] = LK_COPIED_GONE;
	if (g.count == 0 || rows[g.count - 1].ino - rows[0].ino > (int64_t)g.count * SPREAD)
		return compare_each(&g);
	/* Those that have no row of their own yet are in memory only: they are asked for below. */
	const struct lk_inode first = {.ino = rows[0].ino};
	const struct lk_scan inodes = {.table = &lk_tables[LK_T_INODE],
				       .index = LK_BY_KEY,
				       .ranged = 1,
				       .keys_only = true,
				       .also = compared_columns(),
				       .from = &first};
	rc = lk_db_scan(op->fs->db, &inodes, compare_row, &g);
	for (size_t i = 0; rc == 0 && i < g.count; i++) {
		const struct lk_inode *fresh =
			states[i] == LK_COPIED_GONE ? lk_inode_cache_find(op->fs, (uint64_t)rows[i].ino) : NULL;

		if (fresh)
			states[i] = state_of(&rows[i], fresh);
	}
	return rc;
}

/* ---- sources ------------------------------------------------------------------------------------------------------ */

int lk_source_scan(struct lk_op *op, lk_row_fn *fn, void *arg)
{
	const struct lk_scan scan = {.table = &lk_tables[LK_T_SOURCE], .index = LK_BY_KEY};

	return lk_txn_scan(op, &scan, fn, arg);
}

static int last_id(void *arg, const void *record)
{
	*(int64_t *)arg = ((const struct lk_source *)record)->id;
	return 0;
}

int lk_source_put(struct lk_op *op, struct lk_source *source)
{
	int rc = 0;

	if (source->machine.len > LK_SOURCE_TEXT_MAX || source->host.len > LK_SOURCE_TEXT_MAX ||
	    source->path.len >= LINKFS_PATH_MAX)
		return LINKFS_ENAMETOOLONG;
	if (source->id == 0) {
		rc = lk_source_scan(op, last_id, &source->id);
		source->id++;
	}
	if (rc == 0 && !lk_source_valid(source, NULL))
		rc = LINKFS_EINVAL;
	return rc ? rc : lk_txn_put(op, LK_T_SOURCE, source);
}

static bool fault(const char **out, const char *text)
{
	if (out)
		*out = text;
	return false;
}

static bool is_text(const struct lk_bytes *text, size_t max)
{
	return text->len <= max && !(text->len && memchr(text->p, 0, text->len));
}

bool lk_source_valid(const struct lk_source *source, const char **fault_out)
{
	if (source->id < 1 || source->id > LK_INO_MAX)
		return fault(fault_out, "its number is out of range");
	if (source->dir < 1 || source->dir > LK_INO_MAX)
		return fault(fault_out, "its directory is out of range");
	if (!is_text(&source->machine, LK_SOURCE_TEXT_MAX) || !is_text(&source->host, LK_SOURCE_TEXT_MAX))
		return fault(fault_out, "its host is no name");
	if (!is_text(&source->path, LINKFS_PATH_MAX - 1) || source->path.len == 0 ||
	    *(const char *)source->path.p != '/')
		return fault(fault_out, "its path is none");
	if (source->files < 0 || source->bytes < 0)
		return fault(fault_out, "what it counts is out of range");
	return true;
}

bool lk_copied_valid(const struct lk_copied *row, const char **fault_out)
{
	if (row->ino < 1 || row->ino > LK_INO_MAX || row->source < 1 || row->source > LK_INO_MAX || row->fs < 1 ||
	    row->fs > LK_INO_MAX)
		return fault(fault_out, "a number is out of range");
	if (row->mode & ~(int64_t)(S_IFMT | 07777) || row->nlink < 0 || row->size < 0)
		return fault(fault_out, "an attribute of the source is out of range");
	if (row->flags & ~(int64_t)LK_COPIED_DOUBT)
		return fault(fault_out, "it has unknown flags");
	return true;
}
