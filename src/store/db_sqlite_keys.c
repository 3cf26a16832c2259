/*
 * db_sqlite_keys.c - a table of numbers that are in memory, for scans of many keys in one statement (lk_scan.among): a statement costs more
 * than the seek in it.
 * Layer: store. The table is there without being made, reads what db->among says, and nothing can be written to it.
 */
#include "db_sqlite.h"

#include <stdlib.h>

struct keys {
	sqlite3_vtab base;
	const struct lk_among *among;
};

struct cursor {
	sqlite3_vtab_cursor base;
	uint32_t at;
};

static const struct lk_among *among_of(const sqlite3_vtab_cursor *c)
{
	return ((const struct keys *)(const void *)c->pVtab)->among;
}

static int keys_connect(sqlite3 *handle, void *arg, int argc, const char *const *argv, sqlite3_vtab **out, char **why)
{
	struct keys *keys;
	int code = sqlite3_declare_vtab(handle, "CREATE TABLE x(" LK_SQL_KEY " INTEGER)");

	(void)argc;
	(void)argv;
	(void)why;
	if (code)
		return code;
	keys = calloc(1, sizeof(*keys));
	if (!keys)
		return SQLITE_NOMEM;
	keys->among = arg;
	*out = &keys->base;
	return SQLITE_OK;
}

static int keys_disconnect(sqlite3_vtab *table)
{
	free(table);
	return SQLITE_OK;
}

static int keys_plan(sqlite3_vtab *table, sqlite3_index_info *info)
{
	(void)table;
	info->estimatedCost = 100;
	info->estimatedRows = 100;
	return SQLITE_OK;
}

static int keys_open(sqlite3_vtab *table, sqlite3_vtab_cursor **out)
{
	struct cursor *c = calloc(1, sizeof(*c));

	(void)table;
	if (!c)
		return SQLITE_NOMEM;
	*out = &c->base;
	return SQLITE_OK;
}

static int keys_close(sqlite3_vtab_cursor *base)
{
	free(base);
	return SQLITE_OK;
}

static int keys_first(sqlite3_vtab_cursor *base, int plan, const char *text, int argc, sqlite3_value **argv)
{
	(void)plan;
	(void)text;
	(void)argc;
	(void)argv;
	((struct cursor *)(void *)base)->at = 0;
	return SQLITE_OK;
}

static int keys_next(sqlite3_vtab_cursor *base)
{
	((struct cursor *)(void *)base)->at++;
	return SQLITE_OK;
}

static int keys_end(sqlite3_vtab_cursor *base)
{
	return ((struct cursor *)(void *)base)->at >= among_of(base)->count;
}

static int keys_column(sqlite3_vtab_cursor *base, sqlite3_context *context, int column)
{
	(void)column;
	sqlite3_result_int64(context, among_of(base)->keys[((struct cursor *)(void *)base)->at]);
	return SQLITE_OK;
}

static int keys_rowid(sqlite3_vtab_cursor *base, sqlite3_int64 *out)
{
	*out = ((struct cursor *)(void *)base)->at;
	return SQLITE_OK;
}

/* Without xCreate it is there under its module's name, and no other can be made. */
static const sqlite3_module module = {
	.xConnect = keys_connect,
	.xBestIndex = keys_plan,
	.xDisconnect = keys_disconnect,
	.xDestroy = keys_disconnect,
	.xOpen = keys_open,
	.xClose = keys_close,
	.xFilter = keys_first,
	.xNext = keys_next,
	.xEof = keys_end,
	.xColumn = keys_column,
	.xRowid = keys_rowid,
};

int lk_sqlite_keys(sqlite3 *handle, struct lk_among *among)
{
	int code = sqlite3_create_module_v2(handle, LK_SQL_KEYS, &module, among, NULL);

	return code ? lk_sqlite_error(code) : 0;
}
