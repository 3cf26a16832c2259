/*
 * db_sqlite_sql.c - SQL text made from table descriptors.
 * Layer: store. Columns are INTEGER or BLOB, never NULL; tables are STRICT. A table whose key is one integer is a
 * rowid table, every other one is WITHOUT ROWID, so that its rows lie in key order in the B-tree.
 */
#include "db_sqlite.h"

#include <string.h>

static int text(struct lk_buf *out, const char *s)
{
	return lk_buf_append(out, s, strlen(s));
}

static int name(struct lk_buf *out, const char *s)
{
	int r = text(out, "\"");
	if (!r)
		r = text(out, s);
	return r ? r : text(out, "\"");
}

static int end(struct lk_buf *out)
{
	return lk_buf_append(out, "", 1);
}

/* "a","b" for the columns at the given positions (NULL: the first count). */
static int names(struct lk_buf *out, const struct lk_table *table, const uint8_t *columns, uint8_t count)
{
	int r = 0;
	for (uint8_t i = 0; i < count && !r; i++) {
		if (i)
			r = text(out, ",");
		if (!r)
			r = name(out, table->columns[columns ? columns[i] : i].name);
	}
	return r;
}

/* "a"=? AND "b"=? */
static int equals(struct lk_buf *out, const struct lk_table *table, const uint8_t *columns, uint8_t count)
{
	int r = 0;
	for (uint8_t i = 0; i < count && !r; i++) {
		if (i)
			r = text(out, " AND ");
		if (!r)
			r = name(out, table->columns[columns ? columns[i] : i].name);
		if (!r)
			r = text(out, "=?");
	}
	return r;
}

static int marks(struct lk_buf *out, uint8_t count)
{
	int r = 0;
	for (uint8_t i = 0; i < count && !r; i++)
		r = text(out, i ? ",?" : "?");
	return r;
}

int lk_sql_create_table(struct lk_buf *out, const struct lk_table *table)
{
	int r = text(out, "CREATE TABLE ");
	if (!r)
		r = name(out, table->name);
	for (uint8_t i = 0; i < table->column_count && !r; i++) {
		r = text(out, i ? ", " : "(");
		if (!r)
			r = name(out, table->columns[i].name);
		if (!r)
			r = text(out, table->columns[i].type == LK_INT ? " INTEGER" : " BLOB");
		if (!r)
			r = text(out, table->rowid && i == 0 ? " PRIMARY KEY NOT NULL" : " NOT NULL");
	}
	if (!r && !table->rowid) {
		r = text(out, ", PRIMARY KEY(");
		if (!r)
			r = names(out, table, NULL, table->key_count);
		if (!r)
			r = text(out, ")");
	}
	if (!r)
		r = text(out, table->rowid ? ") STRICT" : ") STRICT, WITHOUT ROWID");
	return r ? r : end(out);
}

int lk_sql_create_index(struct lk_buf *out, const struct lk_table *table, const struct lk_index *index)
{
	int r = text(out, "CREATE INDEX ");
	if (!r)
		r = name(out, index->name);
	if (!r)
		r = text(out, " ON ");
	if (!r)
		r = name(out, table->name);
	if (!r)
		r = text(out, "(");
	if (!r)
		r = names(out, table, index->columns, index->column_count);
	if (!r)
		r = text(out, ")");
	return r ? r : end(out);
}

static int get_text(struct lk_buf *out, const struct lk_table *table)
{
	int r = text(out, "SELECT ");
	bool first = true;
	for (uint8_t i = 0; i < table->column_count && !r; i++) {
		if (i < table->key_count && table->columns[i].type == LK_INT)
			continue;
		if (!first)
			r = text(out, ",");
		first = false;
		if (!r)
			r = name(out, table->columns[i].name);
	}
	if (!r && first)
		r = text(out, "1");
	if (!r)
		r = text(out, " FROM ");
	if (!r)
		r = name(out, table->name);
	if (!r)
		r = text(out, " WHERE ");
	return r ? r : equals(out, table, NULL, table->key_count);
}

static int insert_text(struct lk_buf *out, const struct lk_table *table, const char *verb)
{
	int r = text(out, verb);
	if (!r)
		r = name(out, table->name);
	if (!r)
		r = text(out, " VALUES(");
	if (!r)
		r = marks(out, table->column_count);
	return r ? r : text(out, ")");
}

static int erase_text(struct lk_buf *out, const struct lk_table *table)
{
	int r = text(out, "DELETE FROM ");
	if (!r)
		r = name(out, table->name);
	if (!r)
		r = text(out, " WHERE ");
	return r ? r : equals(out, table, NULL, table->key_count);
}

/* "DELETE FROM t WHERE first=?1 AND second<=?2", or the second column of row number ?2. */
static int first_and_second(struct lk_buf *out, const struct lk_table *table, enum lk_operation operation)
{
	if (table->key_count < 2 || table->columns[1].type != LK_INT)
		return LINKFS_EINVAL;
	const char *second = table->columns[1].name;
	int r = text(out, operation == LK_SQL_NTH ? "SELECT " : "DELETE");
	if (!r && operation == LK_SQL_NTH)
		r = name(out, second);
	if (!r)
		r = text(out, " FROM ");
	if (!r)
		r = name(out, table->name);
	if (!r)
		r = text(out, " WHERE ");
	if (!r)
		r = equals(out, table, NULL, 1);
	if (!r)
		r = text(out, operation == LK_SQL_NTH ? " ORDER BY " : " AND ");
	if (!r)
		r = name(out, second);
	return r ? r : text(out, operation == LK_SQL_NTH ? " LIMIT 1 OFFSET ?" : "<=?");
}

int lk_sql_operation(struct lk_buf *out, const struct lk_table *table, enum lk_operation operation)
{
	int r = LINKFS_EINVAL;
	switch (operation) {
	case LK_SQL_GET:
		r = get_text(out, table);
		break;
	case LK_SQL_PUT:
		r = insert_text(out, table, "INSERT OR REPLACE INTO ");
		break;
	case LK_SQL_INSERT:
		r = insert_text(out, table, "INSERT INTO ");
		break;
	case LK_SQL_ERASE:
		r = erase_text(out, table);
		break;
	case LK_SQL_CLEAR:
	case LK_SQL_NTH:
		r = first_and_second(out, table, operation);
		break;
	case LK_SQL_OPERATION_COUNT:
		break;
	}
	return r ? r : end(out);
}

bool lk_sql_selected(const struct lk_scan *scan, uint8_t column)
{
	const struct lk_table *table = scan->table;
	uint8_t columns[LK_COLUMNS_MAX];
	uint8_t count = lk_index_order(table, scan->index, columns);
	for (uint8_t i = 0; i < count; i++) {
		if (columns[i] == column)
			return i >= scan->equal || scan->among || table->columns[column].type == LK_BYTES;
	}
	if (scan->keys_only)
		return scan->also >> column & 1;
	return scan->index < 0 || !table->indexes[scan->index].covering;
}

/* The columns that the rows of a scan have. */
static int selected_text(struct lk_buf *out, const struct lk_scan *scan)
{
	const struct lk_table *table = scan->table;
	bool first = true;
	int r = 0;
	for (uint8_t i = 0; i < table->column_count && !r; i++) {
		if (!lk_sql_selected(scan, i))
			continue;
		if (!first)
			r = text(out, ",");
		first = false;
		if (!r)
			r = name(out, table->columns[i].name);
	}
	return r;
}

static int from_text(struct lk_buf *out, const struct lk_scan *scan)
{
	const struct lk_table *table = scan->table;
	int r = text(out, scan->among ? "SELECT 1 FROM " LK_SQL_KEYS " CROSS JOIN " : "SELECT 1 FROM ");
	if (!r)
		r = name(out, table->name);
	if (r || scan->index < 0)
		return r ? r : text(out, " NOT INDEXED");
	r = text(out, " INDEXED BY ");
	return r ? r : name(out, table->indexes[scan->index].name);
}

static int range_text(struct lk_buf *out, const struct lk_scan *scan, uint8_t column)
{
	static const char *const signs[2][2] = {{">=?", ">?"}, {"<=?", "<?"}};
	int r = name(out, scan->table->columns[column].name);
	return r ? r : text(out, signs[scan->reverse][scan->exclusive]);
}

/* unlikely(): what the function says 1 for ends the scan. Without it SQLite takes the function for a filter that leaves few
 * rows, which makes it sort what already comes in order. */
int lk_sql_scan(struct lk_buf *out, const struct lk_scan *scan)
{
	uint8_t columns[LK_COLUMNS_MAX] = {0};
	uint8_t count = lk_index_order(scan->table, scan->index, columns);
	int r = scan->ranged > 1 ? LINKFS_EINVAL : from_text(out, scan);
	if (!r)
		r = text(out, " WHERE ");
	if (!r && scan->among)
		r = name(out, scan->table->columns[columns[0]].name);
	if (!r && scan->among)
		r = text(out, "=" LK_SQL_KEY);
	if (!r && !scan->among)
		r = equals(out, scan->table, columns, scan->equal);
	if (!r && scan->equal)
		r = text(out, " AND ");
	if (!r && scan->ranged)
		r = range_text(out, scan, columns[scan->equal]);
	if (!r && scan->ranged)
		r = text(out, " AND ");
	if (!r)
		r = text(out, "unlikely(" LK_SQL_ROW_FUNCTION "(");
	if (!r)
		r = selected_text(out, scan);
	if (!r)
		r = text(out, "))");
	/* The numbers are the outer loop, the index the inner one. To be told so SQLite would sort. */
	for (uint8_t i = scan->equal; i < count && !r && !scan->among; i++) {
		r = text(out, i == scan->equal ? " ORDER BY " : ",");
		if (!r)
			r = name(out, scan->table->columns[columns[i]].name);
		if (!r && scan->reverse)
			r = text(out, " DESC");
	}
	return r ? r : end(out);
}
