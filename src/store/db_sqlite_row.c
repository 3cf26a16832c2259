/*
 * db_sqlite_row.c - records in and out of SQLite: one prepared statement per table and operation, and per shape of scan.
 * Layer: store. Values are bound from the record and read into it by the descriptor's offsets. What a row holds is
 * media: every value's type is checked, and a row of the wrong type is LINKFS_ECORRUPT.
 */
#include "db_sqlite.h"

#include <stdlib.h>
#include <string.h>

static int operation(struct lk_sqlite *db, const struct lk_table *table, enum lk_operation op, sqlite3_stmt **out)
{
	sqlite3_stmt **slot = &db->operation[table->id][op];
	if (db->lacks_late && lk_table_late(table->id))
		return op == LK_SQL_GET || op == LK_SQL_ERASE || op == LK_SQL_NTH ? LINKFS_ENOENT : LINKFS_ENOSPC;
	if (!*slot) {
		struct lk_buf sql = {0};
		int r = lk_sql_operation(&sql, table, op);
		if (!r)
			r = lk_sqlite_prepare(db->handle, (const char *)sql.p, slot);
		lk_buf_done(&sql);
		if (r)
			return r;
	}
	*out = *slot;
	return 0;
}

/* The record's bytes stay where they are: the statement is reset before the caller goes on. */
static int bind(sqlite3_stmt *stmt, int at, const struct lk_column *column, const void *record)
{
	if (column->type == LK_INT)
		return sqlite3_bind_int64(stmt, at, *lk_int_of(column, record));
	const struct lk_bytes *bytes = lk_bytes_of(column, record);
	return sqlite3_bind_blob64(stmt, at, bytes->len ? bytes->p : "", bytes->len, SQLITE_STATIC);
}

static int bind_first(sqlite3_stmt *stmt, const struct lk_table *table, uint8_t count, const void *record)
{
	for (uint8_t i = 0; i < count; i++) {
		int code = bind(stmt, i + 1, &table->columns[i], record);
		if (code)
			return code;
	}
	return SQLITE_OK;
}

static bool typed(sqlite3_stmt *stmt, int at, const struct lk_column *column)
{
	return sqlite3_column_type(stmt, at) == (column->type == LK_INT ? SQLITE_INTEGER : SQLITE_BLOB);
}

/* A get reads what the caller's key does not say, and bytes of the key, whose owner may move them. */
static bool got(const struct lk_table *table, uint8_t column)
{
	return column >= table->key_count || table->columns[column].type == LK_BYTES;
}

/* Types first, then room for all bytes (a buffer that grows moves), then the values: nothing is half filled. */
static int read_got(sqlite3_stmt *stmt, const struct lk_table *table, const void *key, void *record,
		    struct lk_buf *bytes)
{
	size_t total = 0;
	int at = 0;
	for (uint8_t i = 0; i < table->column_count; i++) {
		if (!got(table, i))
			continue;
		if (!typed(stmt, at, &table->columns[i]))
			return LINKFS_ECORRUPT;
		if (bytes && table->columns[i].type == LK_BYTES)
			total += (size_t)sqlite3_column_bytes(stmt, at);
		at++;
	}
	if (total) {
		int r = lk_buf_reserve(bytes, total);
		if (r)
			return r;
	}
	at = 0;
	for (uint8_t i = 0; i < table->column_count; i++) {
		const struct lk_column *column = &table->columns[i];
		if (!got(table, i)) {
			*lk_int_at(column, record) = *lk_int_of(column, key);
			continue;
		}
		if (column->type == LK_INT) {
			*lk_int_at(column, record) = sqlite3_column_int64(stmt, at++);
			continue;
		}
		const void *p = sqlite3_column_blob(stmt, at);
		size_t len = (size_t)sqlite3_column_bytes(stmt, at++);
		if (len && !p)
			return LINKFS_ENOMEM;
		struct lk_bytes *to = lk_bytes_at(column, record);
		to->len = len;
		uint8_t *room = bytes && bytes->p ? bytes->p + bytes->len : NULL;
		to->p = room;
		if (room && len) {
			memcpy(room, p, len);
			bytes->len += len;
		}
	}
	return 0;
}

int lk_sqlite_get(struct lk_db *base, const struct lk_table *table, const void *key, void *record, struct lk_buf *bytes)
{
	struct lk_sqlite *db = lk_sqlite_of(base);
	sqlite3_stmt *stmt;
	if (db->lost)
		return LINKFS_EIO;
	int r = operation(db, table, LK_SQL_GET, &stmt);
	if (r)
		return r;
	int code = bind_first(stmt, table, table->key_count, key);
	if (!code)
		code = sqlite3_step(stmt);
	if (code == SQLITE_ROW)
		r = read_got(stmt, table, key, record, bytes);
	else if (code == SQLITE_DONE)
		r = LINKFS_ENOENT;
	(void)sqlite3_reset(stmt);
	return code == SQLITE_ROW || code == SQLITE_DONE ? r : lk_sqlite_failed(db, code);
}

static int writing(struct lk_sqlite *db, const struct lk_table *table, enum lk_operation op, sqlite3_stmt **out)
{
	if (db->lost)
		return LINKFS_EIO;
	if (db->read_only)
		return LINKFS_EROFS;
	if (!db->in_transaction)
		return LINKFS_EINVAL;
	return operation(db, table, op, out);
}

static int write_row(struct lk_sqlite *db, const struct lk_table *table, enum lk_operation op, uint8_t columns,
		     const void *record)
{
	sqlite3_stmt *stmt;
	int r = writing(db, table, op, &stmt);
	if (r)
		return r;
	int code = bind_first(stmt, table, columns, record);
	if (!code)
		code = sqlite3_step(stmt);
	(void)sqlite3_reset(stmt);
	return code == SQLITE_DONE ? 0 : lk_sqlite_failed(db, code);
}

int lk_sqlite_put(struct lk_db *base, const struct lk_table *table, const void *record)
{
	return write_row(lk_sqlite_of(base), table, LK_SQL_PUT, table->column_count, record);
}

int lk_sqlite_insert(struct lk_db *base, const struct lk_table *table, const void *record)
{
	return write_row(lk_sqlite_of(base), table, LK_SQL_INSERT, table->column_count, record);
}

int lk_sqlite_erase(struct lk_db *base, const struct lk_table *table, const void *key)
{
	struct lk_sqlite *db = lk_sqlite_of(base);
	int r = write_row(db, table, LK_SQL_ERASE, table->key_count, key);
	if (r)
		return r;
	return sqlite3_changes64(db->handle) ? 0 : LINKFS_ENOENT;
}

static int make_scan(struct lk_sqlite *db, const struct lk_scan *scan, uint64_t shape, struct lk_scan_stmt **out)
{
	struct lk_scan_stmt *made = calloc(1, sizeof(*made));
	if (!made)
		return LINKFS_ENOMEM;
	struct lk_buf sql = {0};
	int r = lk_sql_scan(&sql, scan);
	if (!r)
		r = lk_sqlite_prepare(db->handle, (const char *)sql.p, &made->stmt);
	lk_buf_done(&sql);
	if (r) {
		free(made);
		return r;
	}
	made->shape = shape;
	for (uint8_t i = 0; i < scan->table->column_count; i++)
		made->selected |= (uint32_t)lk_sql_selected(scan, i) << i;
	made->next = db->scans[scan->table->id];
	db->scans[scan->table->id] = made;
	*out = made;
	return 0;
}

static int scan_stmt(struct lk_sqlite *db, const struct lk_scan *scan, struct lk_scan_stmt **out)
{
	uint64_t shape = (uint64_t)(scan->keys_only ? scan->also : 0) << 32 | (uint32_t)(scan->among != NULL) << 31 |
			 (uint32_t)(scan->index + 1) << 24 | (uint32_t)scan->equal << 16 | (uint32_t)scan->ranged << 8 |
			 (uint32_t)scan->keys_only << 2 | (uint32_t)scan->exclusive << 1 | (uint32_t)scan->reverse;
	for (struct lk_scan_stmt *s = db->scans[scan->table->id]; s; s = s->next) {
		if (s->shape == shape) {
			*out = s;
			return 0;
		}
	}
	return make_scan(db, scan, shape, out);
}

/* A scan that is under way in its parts. */
struct lk_walk {
	const struct lk_table *table;
	uint32_t selected; /* as of the statement */
	uint32_t rows, limit;
	lk_row_fn *fn;
	void *arg;
	int result; /* negative: what stopped it */
	bool stopped;
	uint64_t record[LK_RECORD_MAX / 8];
};

static int read_scanned(struct lk_walk *w, int count, sqlite3_value **values)
{
	int at = 0;
	for (uint8_t i = 0; i < w->table->column_count; i++) {
		const struct lk_column *column = &w->table->columns[i];
		if (!(w->selected >> i & 1))
			continue;
		if (at == count)
			return LINKFS_EINVAL;
		sqlite3_value *value = values[at++];
		if (sqlite3_value_type(value) != (column->type == LK_INT ? SQLITE_INTEGER : SQLITE_BLOB))
			return LINKFS_ECORRUPT;
		if (column->type == LK_INT) {
			*lk_int_at(column, w->record) = sqlite3_value_int64(value);
			continue;
		}
		struct lk_bytes *to = lk_bytes_at(column, w->record);
		to->p = sqlite3_value_blob(value);
		to->len = (size_t)sqlite3_value_bytes(value);
		if (to->len && !to->p)
			return LINKFS_ENOMEM;
	}
	return 0;
}

/* A row of a scan, from inside the statement: a third of the time a row costs is sqlite3_step() coming back and the columns'
 * way out of the statement, and the callback does not use the database anyway. Says whether the scan stops here. */
static void take_row(sqlite3_context *context, int count, sqlite3_value **values)
{
	struct lk_walk *w = *(struct lk_walk **)sqlite3_user_data(context);
	int r = !w ? LINKFS_EINVAL : w->result ? w->result : read_scanned(w, count, values);
	if (w && !r)
		r = w->fn(w->arg, w->record);
	if (w) {
		w->result = r < 0 ? r : 0;
		w->stopped = r > 0 || ++w->rows == w->limit;
	}
	sqlite3_result_int(context, r || w->stopped);
}

int lk_sqlite_row_function(sqlite3 *handle, struct lk_walk **walk)
{
	int code = sqlite3_create_function_v2(handle, LK_SQL_ROW_FUNCTION, -1, SQLITE_UTF8 | SQLITE_DIRECTONLY, walk,
					      take_row, NULL, NULL, NULL);
	return code ? lk_sqlite_error(code) : 0;
}

/* A scan with at most one ranged column. */
static int scan_part(struct lk_sqlite *db, const struct lk_scan *scan, const uint8_t *columns, struct lk_walk *w)
{
	struct lk_scan_stmt *s;
	int r = scan_stmt(db, scan, &s);
	if (r)
		return r;
	int code = SQLITE_OK;
	for (uint8_t i = 0; i < scan->equal + scan->ranged && !code && !scan->among; i++) {
		const struct lk_column *column = &w->table->columns[columns[i]];
		if (i < scan->equal && column->type == LK_INT)
			*lk_int_at(column, w->record) = *lk_int_of(column, scan->from);
		code = bind(s->stmt, i + 1, column, scan->from);
	}
	w->selected = s->selected;
	db->among = (struct lk_among){scan->among, scan->among_count};
	db->walk = w;
	if (!code)
		code = sqlite3_step(s->stmt);
	db->walk = NULL;
	(void)sqlite3_reset(s->stmt);
	if (code && code != SQLITE_DONE && code != SQLITE_ROW)
		return lk_sqlite_failed(db, code);
	return w->result;
}

/* What comes after (x, y, z) is (x, y, after z), then (x, after y), then (after x). SQL can compare tuples, but SQLite does it
 * again at each row; so each part is a statement of its own, and a seek. */
int lk_sqlite_scan(struct lk_db *base, const struct lk_scan *scan, lk_row_fn *fn, void *arg)
{
	struct lk_sqlite *db = lk_sqlite_of(base);
	struct lk_walk w = {.table = scan->table, .limit = scan->limit, .fn = fn, .arg = arg};
	struct lk_scan part = *scan;
	uint8_t columns[LK_COLUMNS_MAX];
	if (db->lost)
		return LINKFS_EIO;
	if (scan->index < LK_BY_KEY || scan->index >= scan->table->index_count ||
	    scan->equal + scan->ranged > lk_index_order(scan->table, scan->index, columns))
		return LINKFS_EINVAL;
	if (scan->among && (scan->equal != 1 || scan->ranged || scan->reverse))
		return LINKFS_EINVAL;
	if (db->lacks_late && lk_table_late(scan->table->id))
		return 0;
	part.ranged = scan->ranged > 0;
	part.equal = (uint8_t)(scan->equal + scan->ranged - part.ranged);
	int r = scan_part(db, &part, columns, &w);
	while (!r && !w.stopped && part.equal > scan->equal) {
		part.equal--;
		part.exclusive = true;
		r = scan_part(db, &part, columns, &w);
	}
	return r;
}

/* Without a function that sees the rows: one makes SQLite ready to take the statement back, which copies every page before it is changed. */
int lk_sqlite_clear(struct lk_db *base, const struct lk_table *table, const void *from, int64_t to, uint32_t *rows_out)
{
	struct lk_sqlite *db = lk_sqlite_of(base);
	sqlite3_stmt *stmt;
	int r = writing(db, table, LK_SQL_CLEAR, &stmt);
	if (r)
		return r;
	int code = bind_first(stmt, table, 1, from);
	if (!code)
		code = sqlite3_bind_int64(stmt, 2, to);
	if (!code)
		code = sqlite3_step(stmt);
	(void)sqlite3_reset(stmt);
	if (code != SQLITE_DONE)
		return lk_sqlite_failed(db, code);
	*rows_out = (uint32_t)sqlite3_changes64(db->handle);
	return 0;
}

int lk_sqlite_nth(struct lk_db *base, const struct lk_table *table, const void *from, uint32_t n, int64_t *second_out)
{
	struct lk_sqlite *db = lk_sqlite_of(base);
	sqlite3_stmt *stmt;
	if (db->lost)
		return LINKFS_EIO;
	int r = operation(db, table, LK_SQL_NTH, &stmt);
	if (r)
		return r;
	int code = bind_first(stmt, table, 1, from);
	if (!code)
		code = sqlite3_bind_int64(stmt, 2, n);
	if (!code)
		code = sqlite3_step(stmt);
	if (code == SQLITE_DONE)
		r = LINKFS_ENOENT;
	else if (code == SQLITE_ROW && !typed(stmt, 0, &table->columns[1]))
		r = LINKFS_ECORRUPT;
	else if (code == SQLITE_ROW)
		*second_out = sqlite3_column_int64(stmt, 0);
	(void)sqlite3_reset(stmt);
	return code == SQLITE_ROW || code == SQLITE_DONE ? r : lk_sqlite_failed(db, code);
}

void lk_sqlite_finalize(struct lk_sqlite *db)
{
	for (size_t t = 0; t < LK_T_COUNT; t++) {
		for (size_t o = 0; o < LK_SQL_OPERATION_COUNT; o++)
			(void)sqlite3_finalize(db->operation[t][o]);
		while (db->scans[t]) {
			struct lk_scan_stmt *s = db->scans[t];
			db->scans[t] = s->next;
			(void)sqlite3_finalize(s->stmt);
			free(s);
		}
	}
	for (size_t c = 0; c < LK_SQL_CONTROL_COUNT; c++)
		(void)sqlite3_finalize(db->control[c]);
}
