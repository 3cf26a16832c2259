/*
 * rows.c - see rows.h.
 * Layer: check.
 */
#include "rows.h"

#include <string.h>

#define CHUNK_ROWS 256u
#define CHUNK_BYTES (512u * 1024)

void lk_rows_init(struct lk_rows *rows, struct lk_db *db, enum lk_table_id table, int index)
{
	*rows = (struct lk_rows){.db = db, .table = &lk_tables[table], .index = index, .limit = CHUNK_ROWS};
	rows->count = lk_index_order(rows->table, index, rows->columns);
}

void lk_rows_done(struct lk_rows *rows)
{
	lk_buf_done(&rows->records);
	lk_buf_done(&rows->bytes);
	lk_buf_done(&rows->position);
	lk_buf_done(&rows->key);
}

/* Byte columns hold offsets into bytes until the chunk is whole. */
static int copy(const struct lk_table *table, const void *record, struct lk_buf *records, struct lk_buf *bytes)
{
	size_t at = records->len;
	int r = lk_buf_append(records, record, table->record_size);
	for (uint8_t i = 0; r == 0 && i < table->column_count; i++) {
		const struct lk_column *c = &table->columns[i];
		if (c->type != LK_BYTES)
			continue;
		struct lk_bytes *b = lk_bytes_at(c, records->p + at);
		const void *from = b->p;
		b->p = (const void *)(uintptr_t)bytes->len;
		if (b->len)
			r = lk_buf_append(bytes, from, b->len);
	}
	return r;
}

static void settle(const struct lk_table *table, void *record, const struct lk_buf *bytes)
{
	for (uint8_t i = 0; i < table->column_count; i++) {
		const struct lk_column *c = &table->columns[i];
		if (c->type != LK_BYTES)
			continue;
		struct lk_bytes *b = lk_bytes_at(c, record);
		b->p = b->len ? bytes->p + (uintptr_t)b->p : (const void *)"";
	}
}

static void *record_at(const struct lk_rows *rows, uint32_t i)
{
	return rows->records.p + i * rows->table->record_size;
}

static int add(void *arg, const void *record)
{
	struct lk_rows *rows = arg;
	int r = copy(rows->table, record, &rows->records, &rows->bytes);
	if (r)
		return r;
	rows->have++;
	return rows->bytes.len >= CHUNK_BYTES || rows->have >= rows->limit;
}

static int remember(struct lk_rows *rows, const void *record)
{
	struct lk_buf position = {0}, key = {0};
	int r = copy(rows->table, record, &position, &key);
	if (r) {
		lk_buf_done(&position);
		lk_buf_done(&key);
		return r;
	}
	settle(rows->table, position.p, &key);
	lk_buf_done(&rows->position);
	lk_buf_done(&rows->key);
	rows->position = position;
	rows->key = key;
	rows->started = true;
	return 0;
}

static bool ascends(const struct lk_rows *rows, const void *a, const void *b)
{
	return lk_record_compare(rows->table, rows->columns, rows->count, a, b) < 0;
}

static int fill(struct lk_rows *rows)
{
	if (rows->have) {
		int r = remember(rows, record_at(rows, rows->have - 1));
		if (r)
			return r;
	}
	rows->records.len = rows->bytes.len = 0;
	rows->have = rows->at = 0;
	struct lk_scan scan = {.table = rows->table, .index = rows->index, .limit = rows->limit};
	if (rows->started) {
		scan.ranged = rows->count;
		scan.exclusive = true;
		scan.from = rows->position.p;
	}
	int r = lk_db_scan(rows->db, &scan, add, rows);
	if (r)
		return r;
	for (uint32_t i = 0; i < rows->have; i++)
		settle(rows->table, record_at(rows, i), &rows->bytes);
	for (uint32_t i = 0; i < rows->have; i++) {
		const void *before = i ? record_at(rows, i - 1) : rows->started ? rows->position.p : NULL;
		if (before && !ascends(rows, before, record_at(rows, i)))
			return LINKFS_ECORRUPT;
	}
	rows->ended = rows->have == 0;
	return 0;
}

int lk_rows_peek(struct lk_rows *rows, const void **out)
{
	if (rows->at == rows->have && !rows->ended) {
		int r = fill(rows);
		if (r) {
			rows->ended = true;
			rows->have = rows->at = 0;
			return r;
		}
	}
	*out = rows->ended ? NULL : record_at(rows, rows->at);
	return 0;
}

void lk_rows_next(struct lk_rows *rows)
{
	if (rows->at < rows->have) {
		rows->at++;
		rows->seen++;
	}
}

void lk_rows_reread(struct lk_rows *rows)
{
	rows->have = rows->at;
	rows->ended = false;
}
