/*
 * test_open.c - what opening refuses, and how it says so (V3, F5): files that are no database of ours, and databases
 * whose schema differs from ours in anything.
 */
#include "volume.h"

#include <vfs_sum.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

static int setup(void **out)
{
	char *dir = lk_test_mkdir();
	struct lk_db *db = NULL;
	assert_int_equal(lk_db_open_sqlite(dir, LK_DB_CREATE, &db, NULL), 0);
	assert_int_equal(db->ops->begin(db), 0);
	volume_fill(db, NULL, 1);
	assert_int_equal(db->ops->commit(db), 0);
	lk_db_close(db);
	*out = dir;
	return 0;
}

static int teardown(void **in)
{
	lk_test_rmdir(*in);
	return 0;
}

static void refused(const char *dir, int code, const char *says)
{
	static const uint32_t how[] = {0, LK_DB_READONLY};
	for (size_t i = 0; i < LK_ARRAY_LEN(how); i++) {
		struct lk_db *db = NULL;
		struct linkfs_message why = {""};
		int r = lk_db_open_sqlite(dir, how[i], &db, &why);
		if (r == 0)
			lk_db_close(db);
		assert_string_equal(linkfs_error_name(r), linkfs_error_name(code));
		assert_null(db);
		if (!strstr(why.text, says))
			fail_msg("\"%s\" does not say \"%s\"", why.text, says);
	}
}

static void change(const char *dir, const char *sql)
{
	volume_sql(dir, lk_vfs_sum(), sql);
}

static void a_trigger(void **in)
{
	change(*in, "CREATE TRIGGER spy AFTER INSERT ON inode BEGIN DELETE FROM dirent; END");
	refused(*in, LINKFS_ESCHEMA, "trigger \"spy\"");
}

static void a_view(void **in)
{
	change(*in, "CREATE VIEW extra_view AS SELECT * FROM inode");
	refused(*in, LINKFS_ESCHEMA, "view \"extra_view\"");
}

static void a_table_more(void **in)
{
	change(*in, "CREATE TABLE stowaway(a)");
	refused(*in, LINKFS_ESCHEMA, "table \"stowaway\"");
}

static void an_index_more(void **in)
{
	change(*in, "CREATE INDEX inode_by_size ON inode(size)");
	refused(*in, LINKFS_ESCHEMA, "index \"inode_by_size\"");
}

static void an_index_less(void **in)
{
	change(*in, "DROP INDEX dirent_by_ino");
	refused(*in, LINKFS_ESCHEMA, "dirent_by_ino");
}

static void a_table_less(void **in)
{
	change(*in, "DROP TABLE shared");
	refused(*in, LINKFS_ESCHEMA, "shared");
}

static void another_column(void **in)
{
	change(*in, "ALTER TABLE orphan ADD COLUMN more INTEGER");
	refused(*in, LINKFS_ESCHEMA, "orphan");
}

static void another_definition(void **in)
{
	change(*in, "PRAGMA writable_schema=ON; UPDATE sqlite_schema SET sql = replace(sql, 'STRICT', '') WHERE name = "
		    "'inode'");
	refused(*in, LINKFS_ESCHEMA, "inode");
}

static void sql_that_does_not_parse(void **in)
{
	change(*in, "PRAGMA writable_schema=ON; UPDATE sqlite_schema SET sql = 'CREATE TABLE inode(((' WHERE name = "
		    "'inode'");
	struct lk_db *db = NULL;
	int r = lk_db_open_sqlite(*in, 0, &db, NULL);
	assert_true(r == LINKFS_ECORRUPT || r == LINKFS_ESCHEMA);
}

static void a_table_twice(void **in)
{
	change(*in,
	       "PRAGMA writable_schema=ON; INSERT INTO sqlite_schema SELECT type, name, tbl_name, rootpage, sql FROM "
	       "sqlite_schema WHERE name = 'bind_by_source'");
	struct lk_db *db = NULL;
	int r = lk_db_open_sqlite(*in, 0, &db, NULL);
	assert_true(r == LINKFS_ECORRUPT || r == LINKFS_ESCHEMA);
}

static void another_application(void **in)
{
	change(*in, "PRAGMA application_id=252006674");
	refused(*in, LINKFS_ENOTVOLUME, "application");
}

static void a_newer_format(void **in)
{
	change(*in, "PRAGMA user_version=2");
	refused(*in, LINKFS_ENEWER, "version 2");
}

static void an_unknown_format(void **in)
{
	change(*in, "PRAGMA user_version=0");
	refused(*in, LINKFS_ESCHEMA, "version 0");
}

static void another_journal_mode(void **in)
{
	change(*in, "PRAGMA journal_mode=DELETE");
	refused(*in, LINKFS_ESCHEMA, "WAL");
}

/* What only the WAL says counts as well. */
static void a_newer_format_in_the_wal(void **in)
{
	char path[4200];
	struct file_bytes db, wal;
	sqlite3 *handle = NULL;
	(void)snprintf(path, sizeof(path), "%s/meta.db", (char *)*in);
	assert_int_equal(sqlite3_open_v2(path, &handle, SQLITE_OPEN_READWRITE, lk_vfs_sum()), SQLITE_OK);
	assert_int_equal(sqlite3_exec(handle, "PRAGMA user_version=3", NULL, NULL, NULL), SQLITE_OK);
	file_read(*in, "meta.db", &db);
	file_read(*in, "meta.db-wal", &wal);
	assert_int_equal(sqlite3_close(handle), SQLITE_OK);
	file_write(*in, "meta.db", &db);
	file_write(*in, "meta.db-wal", &wal);
	refused(*in, LINKFS_ENEWER, "version 3");
	free(db.p);
	free(wal.p);
}

static void no_database_at_all(void **in)
{
	static uint8_t text[] =
		"This is a text and no database, though it is longer than a database's header of one hundred "
		"bytes, which is read first.";
	char path[4200], other[4200];
	struct file_bytes b = {text, sizeof(text)};
	(void)snprintf(path, sizeof(path), "%s/meta.db", (char *)*in);
	(void)snprintf(other, sizeof(other), "%s/other.db", (char *)*in);
	file_write(*in, "meta.db", &b);
	refused(*in, LINKFS_ENOTVOLUME, "not an SQLite database");
	b.len = 10;
	file_write(*in, "meta.db", &b);
	refused(*in, LINKFS_ENOTVOLUME, "too short");
	b.len = 0;
	file_write(*in, "meta.db", &b);
	refused(*in, LINKFS_ENOTVOLUME, "too short");
	assert_int_equal(rename(path, other), 0);
	refused(*in, LINKFS_ENOTVOLUME, "no meta.db");
	assert_int_equal(symlink("other.db", path), 0);
	refused(*in, LINKFS_ENOTVOLUME, "not a regular file");
	assert_int_equal(unlink(path), 0);
	assert_int_equal(mkfifo(path, 0600), 0);
	refused(*in, LINKFS_ENOTVOLUME, "not a regular file");
	assert_int_equal(unlink(path), 0);
	assert_int_equal(mkdir(path, 0700), 0);
	refused(*in, LINKFS_ENOTVOLUME, "not a regular file");
	assert_int_equal(rmdir(path), 0);
	refused("/nonexistent/volume", LINKFS_ENOENT, "/nonexistent/volume");
}

static void create_does_not_overwrite(void **in)
{
	struct lk_db *db = NULL;
	struct linkfs_message why = {""};
	int64_t generation = 0;
	assert_int_equal(lk_db_open_sqlite(*in, LK_DB_CREATE, &db, &why), LINKFS_EEXIST);
	assert_non_null(strstr(why.text, "meta.db"));
	assert_int_equal(lk_db_open_sqlite(*in, 0, &db, &why), 0);
	assert_int_equal(volume_check(db, &generation), 0);
	assert_int_equal(generation, 1);
	lk_db_close(db);
}

/* STRICT keeps such rows out; one that was smuggled in is told as damage, and only where it is. */
static void a_value_of_the_wrong_type(void **in)
{
	change(*in, "PRAGMA writable_schema=ON; UPDATE sqlite_schema SET sql = replace(sql, ') STRICT', ')') WHERE "
		    "name = 'inode'");
	change(*in, "UPDATE inode SET size = 'big' WHERE ino = 7; UPDATE inode SET uid = 1.5 WHERE ino = 8");
	change(*in, "PRAGMA writable_schema=ON; UPDATE sqlite_schema SET sql = sql || ' STRICT' WHERE name = 'inode'");
	struct lk_db *db = NULL;
	assert_int_equal(lk_db_open_sqlite(*in, 0, &db, NULL), 0);
	struct lk_inode inode = {.ino = 7, .mode = 3};
	assert_int_equal(lk_db_get(db, &lk_tables[LK_T_INODE], &inode, &inode, NULL), LINKFS_ECORRUPT);
	assert_int_equal(inode.mode, 3);
	inode.ino = 8;
	assert_int_equal(lk_db_get(db, &lk_tables[LK_T_INODE], &inode, &inode, NULL), LINKFS_ECORRUPT);
	inode.ino = 9;
	assert_int_equal(lk_db_get(db, &lk_tables[LK_T_INODE], &inode, &inode, NULL), 0);
	int64_t generation = 0;
	assert_int_equal(volume_check(db, &generation), LINKFS_ECORRUPT);
	lk_db_close(db);
}

static void a_link_to_the_volume_is_followed(void **in)
{
	char link_path[4200];
	struct lk_db *db = NULL;
	(void)snprintf(link_path, sizeof(link_path), "%s/link", (char *)*in);
	assert_int_equal(symlink(*in, link_path), 0);
	assert_int_equal(lk_db_open_sqlite(link_path, 0, &db, NULL), 0);
	lk_db_close(db);
}

/* On media that nobody can write: a volume that was closed is read, one that was not is refused, saying why. */
static void read_only_media(void **in)
{
	const char *dir = *in;
	char shm[4200];
	struct lk_db *db = NULL;
	struct linkfs_message why = {""};
	int64_t generation = 0;
	(void)snprintf(shm, sizeof(shm), "%s/meta.db-shm", dir);
	if (mount(dir, dir, NULL, MS_BIND, NULL)) {
		print_message("# cannot make a bind mount: %s\n", strerror(errno));
		skip();
	}
	int remounted = mount(NULL, dir, NULL, MS_BIND | MS_REMOUNT | MS_RDONLY, NULL);
	int r = lk_db_open_sqlite(dir, LK_DB_READONLY, &db, &why);
	int content = r ? r : volume_check(db, &generation);
	if (!r)
		lk_db_close(db);
	int owner = lk_db_open_sqlite(dir, 0, &db, &why);
	(void)umount2(dir, MNT_DETACH);
	assert_int_equal(remounted, 0);
	assert_int_equal(content, 0);
	assert_int_equal(generation, 1);
	assert_int_equal(owner, LINKFS_EROFS);
	volume_crash(dir, 2, 2);
	assert_int_equal(unlink(shm), 0);
	assert_int_equal(mount(dir, dir, NULL, MS_BIND, NULL), 0);
	remounted = mount(NULL, dir, NULL, MS_BIND | MS_REMOUNT | MS_RDONLY, NULL);
	r = lk_db_open_sqlite(dir, LK_DB_READONLY, &db, &why);
	(void)umount2(dir, MNT_DETACH);
	assert_int_equal(remounted, 0);
	assert_int_equal(r, LINKFS_EROFS);
	assert_non_null(strstr(why.text, "not closed properly"));
}

static int count_row(void *arg, const void *record)
{
	(void)record;
	++*(unsigned *)arg;
	return 0;
}

static unsigned copied_rows(struct lk_db *db)
{
	const struct lk_scan scan = {.table = &lk_tables[LK_T_COPIED], .index = LK_BY_KEY};
	unsigned count = 0;
	assert_int_equal(lk_db_scan(db, &scan, count_row, &count), 0);
	return count;
}

/* A volume of the first linkfs, which knew no backups: it reads as if they were empty, and gets them when it is written. */
static void without_the_late_tables(void **in)
{
	static const char *const drops[] = {"DROP TABLE copied; DROP TABLE source", "DROP TABLE copied",
					    "DROP TABLE source"};
	for (size_t i = 0; i < LK_ARRAY_LEN(drops); i++) {
		struct lk_copied row = {.ino = 5, .source = 1, .fs = 1, .mode = 0100644}, back = {.ino = 5};
		struct lk_source source = {.id = 1};
		struct lk_db *db = NULL;
		change(*in, "DELETE FROM copied; DELETE FROM source");
		change(*in, drops[i]);
		assert_int_equal(lk_db_open_sqlite(*in, LK_DB_READONLY, &db, NULL), 0);
		assert_int_equal(copied_rows(db), 0);
		assert_int_equal(lk_db_get(db, &lk_tables[LK_T_COPIED], &back, &back, NULL), LINKFS_ENOENT);
		lk_db_close(db);
		for (int again = 0; again < 2; again++) {
			assert_int_equal(lk_db_open_sqlite(*in, 0, &db, NULL), 0);
			assert_int_equal(copied_rows(db), (unsigned)again);
			assert_int_equal(db->ops->begin(db), 0);
			assert_int_equal(lk_db_put(db, &lk_tables[LK_T_COPIED], &row), 0);
			assert_int_equal(lk_db_get(db, &lk_tables[LK_T_SOURCE], &source, &source, NULL), LINKFS_ENOENT);
			assert_int_equal(db->ops->commit(db), 0);
			lk_db_close(db);
		}
	}
	change(*in, "DROP TABLE moved");
	refused(*in, LINKFS_ESCHEMA, "moved");
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(a_trigger),
		TEST(a_view),
		TEST(a_table_more),
		TEST(an_index_more),
		TEST(an_index_less),
		TEST(a_table_less),
		TEST(another_column),
		TEST(another_definition),
		TEST(sql_that_does_not_parse),
		TEST(a_table_twice),
		TEST(another_application),
		TEST(a_newer_format),
		TEST(an_unknown_format),
		TEST(another_journal_mode),
		TEST(a_newer_format_in_the_wal),
		TEST(no_database_at_all),
		TEST(create_does_not_overwrite),
		TEST(a_value_of_the_wrong_type),
		TEST(a_link_to_the_volume_is_followed),
		TEST(read_only_media),
		TEST(without_the_late_tables),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
