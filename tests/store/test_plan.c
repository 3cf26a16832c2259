/*
 * test_plan.c - SQLite serves every operation and every part of a scan by one seek into one B-tree: no sorting, no
 * automatic index, no walk over what is not wanted; and through the covering index without touching the table.
 */
#include <db_model.h>

#include <db_sqlite.h>

#include <stdio.h>
#include <string.h>

static sqlite3 *handle;

/* All of the plan's lines in one string. */
static void plan_of(const char *sql, char *out, size_t size)
{
	char explain[4096];
	sqlite3_stmt *stmt = NULL;
	size_t n = 0;
	(void)snprintf(explain, sizeof(explain), "EXPLAIN QUERY PLAN %s", sql);
	if (sqlite3_prepare_v2(handle, explain, -1, &stmt, NULL))
		fail_msg("%s: %s", sql, sqlite3_errmsg(handle));
	out[0] = 0;
	while (sqlite3_step(stmt) == SQLITE_ROW && n < size)
		n += (size_t)snprintf(out + n, size - n, "%s; ", (const char *)sqlite3_column_text(stmt, 3));
	assert_int_equal(sqlite3_finalize(stmt), SQLITE_OK);
}

static void check(const char *sql, bool seeks, const char *must)
{
	char plan[1000];
	plan_of(sql, plan, sizeof(plan));
	if (strstr(plan, "TEMP B-TREE") || strstr(plan, "AUTOMATIC") || (seeks && strstr(plan, "SCAN")) ||
	    !strstr(plan, must))
		fail_msg("%s: %s", sql, plan);
}

static void every_shape_is_one_seek(void **in)
{
	(void)in;
	struct lk_buf sql = {0};
	for (size_t t = 0; t < LK_T_COUNT; t++) {
		const struct lk_table *table = &lk_tables[t];
		for (int o = LK_SQL_GET; o < LK_SQL_OPERATION_COUNT; o++) {
			sql.len = 0;
			int r = lk_sql_operation(&sql, table, (enum lk_operation)o);
			bool by_second = o == LK_SQL_CLEAR || o == LK_SQL_NTH;
			if (by_second && r == LINKFS_EINVAL)
				continue;
			assert_int_equal(r, 0);
			check((const char *)sql.p, true, "");
		}
		for (int index = LK_BY_KEY; index < table->index_count; index++) {
			uint8_t columns[LK_COLUMNS_MAX];
			uint8_t most = lk_index_order(table, index, columns);
			for (unsigned shape = 0; shape < (unsigned)(most + 1) * (most + 1) * 4; shape++) {
				struct lk_scan scan = {.table = table,
						       .index = index,
						       .exclusive = shape & 1,
						       .reverse = shape >> 1 & 1};
				scan.equal = (uint8_t)((shape >> 2) % (most + 1u));
				scan.ranged = (uint8_t)((shape >> 2) / (most + 1u));
				if (scan.ranged > 1 || scan.equal + scan.ranged > most)
					continue;
				sql.len = 0;
				assert_int_equal(lk_sql_scan(&sql, &scan), 0);
				const char *must = index == LK_BY_KEY ? "" : table->indexes[index].name;
				check((const char *)sql.p, scan.equal + scan.ranged > 0, must);
				if (index != LK_BY_KEY && table->indexes[index].covering)
					check((const char *)sql.p, false, "COVERING INDEX");
			}
		}
	}
	lk_buf_done(&sql);
}

/* The numbers are the outer loop, and each is a seek in the index asked for. */
static void many_keys_are_a_seek_each(void **in)
{
	(void)in;
	struct lk_buf sql = {0};
	for (size_t t = 0; t < LK_T_COUNT; t++) {
		const struct lk_table *table = &lk_tables[t];
		for (int index = LK_BY_KEY; index < table->index_count; index++) {
			int64_t one = 1;
			struct lk_scan scan = {
				.table = table, .index = index, .equal = 1, .among = &one, .among_count = 1};
			char plan[1000];
			sql.len = 0;
			assert_int_equal(lk_sql_scan(&sql, &scan), 0);
			check((const char *)sql.p, false, index == LK_BY_KEY ? "SEARCH" : table->indexes[index].name);
			plan_of((const char *)sql.p, plan, sizeof(plan));
			assert_ptr_equal(strstr(plan, "SCAN " LK_SQL_KEYS), plan);
			assert_non_null(strstr(plan, "; SEARCH"));
		}
	}
	lk_buf_done(&sql);
}

static int setup(void **out)
{
	char *dir = lk_test_mkdir(), path[4200];
	struct lk_db *db = NULL;
	assert_int_equal(lk_db_open_sqlite(dir, LK_DB_CREATE, &db, NULL), 0);
	lk_db_close(db);
	(void)snprintf(path, sizeof(path), "%s/meta.db", dir);
	assert_int_equal(sqlite3_open_v2(path, &handle, SQLITE_OPEN_READWRITE, NULL), SQLITE_OK);
	assert_int_equal(lk_sqlite_row_function(handle, NULL), 0);
	assert_int_equal(lk_sqlite_keys(handle, NULL), 0);
	*out = dir;
	return 0;
}

static int teardown(void **in)
{
	assert_int_equal(sqlite3_close(handle), SQLITE_OK);
	lk_test_rmdir(*in);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test_setup_teardown(every_shape_is_one_seek, setup, teardown),
					   cmocka_unit_test_setup_teardown(many_keys_are_a_seek_each, setup, teardown)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
