/*
 * txn_rows.c - reading and writing records in an op, with the history K2 asks for.
 * Layer: core.
 */
#include "txn_impl.h"

#include <string.h>

int lk_record_copy(struct lk_op *op, const struct lk_table *table, const void *record, void *out)
{
	size_t total = 0;
	for (uint8_t i = 0; i < table->column_count; i++) {
		if (table->columns[i].type == LK_BYTES)
			total += lk_bytes_of(&table->columns[i], record)->len;
	}
	char *p = NULL;
	if (total) {
		p = lk_op_alloc(op, total);
		if (!p)
			return LINKFS_ENOMEM;
	}
	if (out != record)
		memcpy(out, record, table->record_size);
	for (uint8_t i = 0; total && i < table->column_count; i++) {
		if (table->columns[i].type != LK_BYTES)
			continue;
		struct lk_bytes *b = lk_bytes_at(&table->columns[i], out);
		if (b->len)
			memcpy(p, b->p, b->len);
		b->p = p;
		p += b->len;
	}
	return 0;
}

/* The engine copies a row's bytes into the batch's scratch buffer, which moves as it grows; the record handed out has
 * them in the op's arena, which does not. */
int lk_live_get(struct lk_op *op, const struct lk_table *table, const void *key, void *record)
{
	_Alignas(8) char row[LK_RECORD_MAX + 8];
	struct lk_buf *scratch = &op->fs->batch->scratch;
	scratch->len = 0;
	int r = lk_db_get(op->fs->db, table, key, row, scratch);
	if (r)
		return r;
	if (scratch->len)
		r = lk_record_copy(op, table, row, row);
	if (r == 0)
		memcpy(record, row, table->record_size);
	return r;
}

int lk_txn_get(struct lk_op *op, enum lk_table_id id, const void *key, void *record)
{
	const struct lk_table *table = &lk_tables[id];
	if (op->view == LK_VIEW_LIVE || !table->versioned)
		return lk_live_get(op, table, key, record);
	return lk_view_get(op, table, key, record);
}

int lk_txn_scan(struct lk_op *op, const struct lk_scan *scan, lk_row_fn *fn, void *arg)
{
	if (op->view == LK_VIEW_LIVE || !scan->table->versioned)
		return lk_db_scan(op->fs->db, scan, fn, arg);
	if (scan->index != LK_BY_KEY)
		return LINKFS_EINVAL;
	return lk_view_scan(op, scan, fn, arg);
}

/* Pages of a row's bytes that do not fit its leaf. */
static uint32_t long_pages(const struct lk_table *table, const void *record)
{
	size_t total = 0;
	for (uint8_t i = 0; i < table->column_count; i++) {
		if (table->columns[i].type == LK_BYTES)
			total += lk_bytes_of(&table->columns[i], record)->len;
	}
	return (uint32_t)(total / (LK_BLOCK_SIZE / 2));
}

/* K2: before the live row of key is overwritten or deleted, keep it when the newest snapshot sees it. ENOENT: no row. */
static int keep(struct lk_op *op, const struct lk_table *table, const void *key)
{
	_Alignas(8) char row[LK_RECORD_MAX + 8], old[LK_RECORD_MAX + 8];
	int64_t newest = op->fs->newest_snapshot;
	int r = lk_live_get(op, table, key, row);
	if (r)
		return r;
	if (*lk_int_of(&table->columns[table->born_column], row) > newest)
		return 0;
	lk_record_to_old(table, row, newest, old);
	r = lk_db_put(op->fs->db, &lk_tables[table->old], old);
	if (r == 0 && op->fs->batch->kept[table->id])
		r = op->fs->batch->kept[table->id](op, row);
	op->rows++;
	op->pages += LK_ROW_PAGES + long_pages(table, row);
	return r;
}

int lk_row_put(struct lk_op *op, const struct lk_table *table, void *record)
{
	if (table->versioned) {
		int r = op->fs->newest_snapshot ? keep(op, table, record) : 0;
		if (r && r != LINKFS_ENOENT)
			return r;
		*lk_int_at(&table->columns[table->born_column], record) = op->fs->epoch;
	}
	return lk_db_put(op->fs->db, table, record);
}

int lk_txn_put(struct lk_op *op, enum lk_table_id id, void *record)
{
	int r = lk_op_writes(op);
	op->pages += long_pages(&lk_tables[id], record);
	return r ? r : lk_row_put(op, &lk_tables[id], record);
}

/* Whether an insert can be undone by erasing the key, without a savepoint: the op's first row write, with a key of integers that
 * stand first in the record. */
static bool is_first(const struct lk_op *op, const struct lk_table *table)
{
	if (op->savepoint || op->first || table->key_count > LK_FIRST_KEY)
		return false;
	for (uint8_t i = 0; i < table->key_count; i++) {
		if (table->columns[i].type != LK_INT || table->columns[i].offset != i * sizeof(int64_t))
			return false;
	}
	return true;
}

int lk_txn_insert(struct lk_op *op, enum lk_table_id id, void *record)
{
	const struct lk_table *table = &lk_tables[id];
	bool first = is_first(op, table);
	int r = first ? lk_op_changes(op) : lk_op_writes(op);
	op->pages += LK_ROW_PAGES + long_pages(table, record);
	if (r)
		return r;
	if (table->versioned)
		*lk_int_at(&table->columns[table->born_column], record) = op->fs->epoch;
	r = lk_db_insert(op->fs->db, table, record);
	if (r == 0 && first) {
		op->first = true;
		op->first_table = id;
		memset(op->first_key, 0, sizeof(op->first_key));
		memcpy(op->first_key, record, table->key_count * sizeof(int64_t));
	}
	return r;
}

int lk_txn_erase(struct lk_op *op, enum lk_table_id id, const void *key)
{
	const struct lk_table *table = &lk_tables[id];
	int r = lk_op_writes(op);
	if (r == 0 && table->versioned && op->fs->newest_snapshot)
		r = keep(op, table, key);
	if (r)
		return r;
	return lk_db_erase(op->fs->db, table, key);
}

void lk_txn_on_history(struct lk_fs *fs, enum lk_table_id table, lk_history_fn *kept, lk_history_fn *dropped)
{
	fs->batch->kept[table] = kept;
	fs->batch->dropped[table] = dropped;
}
