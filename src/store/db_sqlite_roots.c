/*
 * db_sqlite_roots.c - where the tables and indexes of a new database begin: asked of one that is made in memory.
 * Layer: store.
 */
#include "db_sqlite.h"

static int each_root(sqlite3 *handle, lk_root_fn *fn, void *arg)
{
	sqlite3_stmt *stmt = NULL;
	int r = 0, code = SQLITE_ROW;
	if (lk_sqlite_prepare(handle, "SELECT name, rootpage FROM sqlite_schema", &stmt))
		return LINKFS_EIO;
	while (r == 0 && (code = sqlite3_step(stmt)) == SQLITE_ROW) {
		const char *name = (const char *)sqlite3_column_text(stmt, 0);
		if (name)
			r = fn(arg, name, (uint32_t)sqlite3_column_int64(stmt, 1));
	}
	if (r == 0 && code != SQLITE_DONE)
		r = lk_sqlite_error(code);
	(void)sqlite3_finalize(stmt);
	return r;
}

int lk_page_roots(lk_root_fn *fn, void *arg)
{
	sqlite3 *handle = NULL;
	int code = sqlite3_open_v2(":memory:", &handle,
				   SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX, NULL);
	int r = code ? lk_sqlite_error(code) : lk_sqlite_create_schema(handle, NULL);
	if (r == 0)
		r = each_root(handle, fn, arg);
	(void)sqlite3_close(handle);
	return r;
}
