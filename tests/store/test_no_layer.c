/*
 * test_no_layer.c - an SQLite whose file layer is not what linkfs stands on: `none` there, or an `old` one. A volume is then neither
 * made nor opened, with a sentence, and no page is written. A process registers its layer once, so each is a program run.
 */
#include <db_sqlite.h>
#include <test.h>

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

static bool old_layer;

static void no_volume_without_checksums(void **in)
{
	(void)in;
	sqlite3_vfs *real = sqlite3_vfs_find("unix"), older;
	char *dir = lk_test_mkdir(), path[4200];
	struct lk_db *db = NULL;
	struct linkfs_message why = {""};
	struct stat st;
	(void)snprintf(path, sizeof(path), "%s/meta.db", dir);
	assert_non_null(real);
	assert_int_equal(sqlite3_vfs_unregister(real), SQLITE_OK);
	older = *real;
	older.iVersion = 1;
	if (old_layer)
		assert_int_equal(sqlite3_vfs_register(&older, 1), SQLITE_OK);
	for (int i = 0; i < 2; i++) {
		assert_null(lk_vfs_sum());
		assert_true(lk_db_open_sqlite(dir, i ? 0 : LK_DB_CREATE, &db, &why) < 0);
		assert_true(strlen(why.text) > 0);
		assert_null(db);
		assert_true(stat(path, &st) != 0 || st.st_size == 0);
	}
	if (old_layer)
		(void)sqlite3_vfs_unregister(&older);
	lk_test_rmdir(dir);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(no_volume_without_checksums)};
	old_layer = argc > 1 && strcmp(argv[1], "old") == 0;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
