/*
 * txn_view.c - reading at a snapshot (K2), and copied sets of rows.
 * Layer: core. Among the history rows of a key the one with the smallest last >= s decides alone: it is visible if
 * born <= s. If there is none, the live row is, if born <= s.
 */
#include "txn_impl.h"

#include <string.h>

#define CHUNK_ROWS 64u

int lk_row_set_add(void *arg, const void *record)
{
	struct lk_row_set *set = arg;
	size_t at = set->records.len;
	int r = lk_buf_append(&set->records, record, set->table->record_size);
	if (r)
		return r;
	for (uint8_t i = 0; i < set->table->column_count; i++) {
		const struct lk_column *c = &set->table->columns[i];
		if (c->type != LK_BYTES)
			continue;
		struct lk_bytes *b = lk_bytes_at(c, set->records.p + at);
		size_t offset = set->bytes.len;
		r = lk_buf_append(&set->bytes, b->p, b->len);
		if (r)
			return r;
		/* An offset until lk_row_set_ready(): the buffer still moves. */
		b->p = (const void *)(uintptr_t)offset;
	}
	set->count++;
	return 0;
}

void lk_row_set_ready(struct lk_row_set *set)
{
	for (uint32_t n = 0; n < set->count; n++) {
		uint8_t *record = set->records.p + n * set->table->record_size;
		for (uint8_t i = 0; i < set->table->column_count; i++) {
			const struct lk_column *c = &set->table->columns[i];
			if (c->type != LK_BYTES)
				continue;
			struct lk_bytes *b = lk_bytes_at(c, record);
			b->p = b->len ? set->bytes.p + (uintptr_t)b->p : NULL;
		}
	}
}

const void *lk_row_set_at(const struct lk_row_set *set, uint32_t i)
{
	return set->records.p + i * set->table->record_size;
}

void lk_row_set_clear(struct lk_row_set *set)
{
	set->records.len = set->bytes.len = 0;
	set->count = 0;
}

void lk_row_set_done(struct lk_row_set *set)
{
	lk_buf_done(&set->records);
	lk_buf_done(&set->bytes);
	set->count = 0;
}

static int64_t born_of(const struct lk_table *table, const void *live_form)
{
	return *lk_int_of(&table->columns[table->born_column], live_form);
}

struct first_row {
	struct lk_op *op;
	const struct lk_table *table;
	void *out;
	bool found;
};

static int take_first(void *arg, const void *record)
{
	struct first_row *first = arg;
	first->found = true;
	int r = lk_record_copy(first->op, first->table, record, first->out);
	return r ? r : 1;
}

int lk_view_get_old(struct lk_op *op, const struct lk_table *table, const void *key, void *record)
{
	const struct lk_table *old_table = &lk_tables[table->old];
	_Alignas(8) char from[LK_RECORD_MAX + 8], row[LK_RECORD_MAX + 8];
	struct first_row first = {.op = op, .table = old_table, .out = row};
	struct lk_scan scan = {.table = old_table,
			       .index = LK_OLD_BY_KEY,
			       .equal = table->key_count,
			       .ranged = 1,
			       .from = from,
			       .limit = 1};
	lk_record_to_old(table, key, op->view, from);
	int r = lk_db_scan(op->fs->db, &scan, take_first, &first);
	if (r)
		return r;
	/* A history record starts with the live record's struct. */
	if (!first.found || born_of(table, row) > op->view)
		return LINKFS_ENOENT;
	memcpy(record, row, table->record_size);
	return 0;
}

int lk_view_get(struct lk_op *op, const struct lk_table *table, const void *key, void *record)
{
	_Alignas(8) char row[LK_RECORD_MAX + 8];
	/* A row of history ends before the live row is born: when the view sees the live row, none of them is seen. So what has not changed
	 * since costs one look. */
	int r = lk_live_get(op, table, key, row);
	bool live = r == 0 && born_of(table, row) <= op->view;
	if (live)
		memcpy(record, row, table->record_size);
	if (live || (r && r != LINKFS_ENOENT))
		return r;
	return lk_view_get_old(op, table, key, record);
}

/* By the live key. */
static int compare(const struct lk_table *table, const void *a, const void *b)
{
	return lk_record_compare(table, NULL, table->key_count, a, b);
}

/* One chunk of a merge: live and history rows from the same position on, both in scan order. */
struct merge {
	const struct lk_table *table;
	const struct lk_scan *scan;
	int64_t view;
	struct lk_row_set live, old, position;
	uint32_t chunk;
	uint32_t i, j; /* next row of live, of old */
	uint32_t delivered;
	const void *last; /* the newest key decided in this chunk */
};

static int fill(struct lk_db *db, struct merge *m, const struct lk_scan *scan)
{
	struct lk_scan s = *scan;
	s.limit = m->chunk;
	lk_row_set_clear(&m->live);
	lk_row_set_clear(&m->old);
	m->i = m->j = 0;
	m->last = NULL;
	int r = lk_db_scan(db, &s, lk_row_set_add, &m->live);
	/* The live form of a position serves for history: only columns of the live key are looked at. */
	s.table = m->old.table;
	s.index = LK_OLD_BY_KEY;
	if (r == 0)
		r = lk_db_scan(db, &s, lk_row_set_add, &m->old);
	lk_row_set_ready(&m->live);
	lk_row_set_ready(&m->old);
	return r;
}

/* Takes the next key. *row_out: the row that is visible at the view, or NULL. Returns false when the chunk cannot tell. */
static bool next_key(struct merge *m, const void **row_out)
{
	bool live_full = m->live.count == m->chunk, old_full = m->old.count == m->chunk;
	if ((m->i == m->live.count && live_full) || (m->j == m->old.count && old_full))
		return false;
	const void *live = m->i < m->live.count ? lk_row_set_at(&m->live, m->i) : NULL;
	const void *old = m->j < m->old.count ? lk_row_set_at(&m->old, m->j) : NULL;
	if (!live && !old)
		return false;
	int order = !live ? 1 : !old ? -1 : compare(m->table, live, old);
	if (live && old && m->scan->reverse)
		order = -order;

	const void *chosen = NULL;
	const void *key = order <= 0 ? live : old;
	if (order >= 0) {
		int64_t best = INT64_MAX;
		uint32_t j = m->j;
		for (; j < m->old.count; j++) {
			const void *row = lk_row_set_at(&m->old, j);
			if (compare(m->table, row, key) != 0)
				break;
			int64_t last = lk_record_last(m->old.table, row);
			if (last >= m->view && last < best) {
				best = last;
				chosen = row;
			}
		}
		if (j == m->old.count && old_full)
			return false; /* the key may have more history than the chunk */
		m->j = j;
	}
	if (order <= 0)
		m->i++;
	if (!chosen && order <= 0)
		chosen = live;
	*row_out = chosen && born_of(m->table, chosen) <= m->view ? chosen : NULL;
	m->last = key;
	return true;
}

static bool at_end(const struct merge *m)
{
	return m->i == m->live.count && m->live.count < m->chunk && m->j == m->old.count && m->old.count < m->chunk;
}

static int deliver(struct merge *m, lk_row_fn *fn, void *arg, bool *stop_out)
{
	const void *row;
	while (next_key(m, &row)) {
		if (!row)
			continue;
		int r = fn(arg, row);
		if (r < 0)
			return r;
		m->delivered++;
		if (r > 0 || (m->scan->limit && m->delivered == m->scan->limit)) {
			*stop_out = true;
			return 0;
		}
	}
	*stop_out = at_end(m);
	return 0;
}

int lk_view_scan(struct lk_op *op, const struct lk_scan *scan, lk_row_fn *fn, void *arg)
{
	const struct lk_table *table = scan->table;
	if (scan->equal + scan->ranged > table->key_count)
		return LINKFS_EINVAL;
	struct merge m = {.table = table, .scan = scan, .view = op->view, .chunk = CHUNK_ROWS};
	m.live.table = m.position.table = table;
	m.old.table = &lk_tables[table->old];
	struct lk_scan from = *scan;
	bool stop = false;
	int r;
	while ((r = fill(op->fs->db, &m, &from)) == 0 && (r = deliver(&m, fn, arg, &stop)) == 0 && !stop) {
		if (!m.last) {
			/* One key with more history rows than a chunk holds. */
			m.chunk *= 4;
			continue;
		}
		if (from.equal == table->key_count)
			break;
		lk_row_set_clear(&m.position);
		r = lk_row_set_add(&m.position, m.last);
		if (r)
			break;
		lk_row_set_ready(&m.position);
		from.from = lk_row_set_at(&m.position, 0);
		from.ranged = (uint8_t)(table->key_count - from.equal);
		from.exclusive = true;
	}
	lk_row_set_done(&m.live);
	lk_row_set_done(&m.old);
	lk_row_set_done(&m.position);
	return r;
}
