/*
 * test_verify.c - what check/ asks of the engine: its own check tells rows from indexes, indexes are made anew, and a copy is a whole
 * database with its checksums.
 */
#include "test.h"

#include <db.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <vfs_sum.h>

#define ROWS 3000

struct state {
	char *dir;
	char file[4200], copy_dir[4200], copy[4300];
};

static struct lk_db *open_db(const char *dir, uint32_t flags)
{
	struct lk_db *db;
	struct linkfs_message why = {""};
	if (lk_db_open_sqlite(dir, flags, &db, &why))
		fail_msg("%s", why.text);
	return db;
}

static int setup(void **out)
{
	struct state *s = calloc(1, sizeof(*s));
	assert_non_null(s);
	s->dir = lk_test_mkdir();
	(void)snprintf(s->file, sizeof(s->file), "%s/meta.db", s->dir);
	(void)snprintf(s->copy_dir, sizeof(s->copy_dir), "%s/copy", s->dir);
	(void)snprintf(s->copy, sizeof(s->copy), "%s/meta.db", s->copy_dir);
	assert_int_equal(mkdir(s->copy_dir, 0700), 0);
	struct lk_db *db = open_db(s->dir, LK_DB_CREATE);
	assert_int_equal(db->ops->begin(db), 0);
	for (int64_t i = 0; i < ROWS; i++) {
		char name[32];
		int len = snprintf(name, sizeof(name), "name-%lld", (long long)i);
		struct lk_dirent d = {i % 7, 100 + i * 31 % 997, i, 1000 + i, 8, {name, (size_t)len}, 1};
		assert_int_equal(lk_db_insert(db, &lk_tables[LK_T_DIRENT], &d), 0);
	}
	assert_int_equal(db->ops->commit(db), 0);
	lk_db_close(db);
	*out = s;
	return 0;
}

static int teardown(void **in)
{
	struct state *s = *in;
	lk_test_rmdir(s->dir);
	free(s);
	return 0;
}

struct findings {
	unsigned index, other;
	const struct lk_table *table;
	int stop;
};

static int take(void *arg, const struct lk_db_finding *finding)
{
	struct findings *f = arg;
	assert_true(finding->text && finding->text[0]);
	if (finding->index_only) {
		assert_non_null(finding->table);
		f->index++;
	} else {
		f->other++;
	}
	f->table = finding->table;
	return f->stop;
}

static struct findings verify(struct lk_db *db)
{
	struct findings f = {0};
	assert_int_equal(db->ops->verify(db, take, &f), 0);
	return f;
}

static int count_row(void *arg, const void *record)
{
	(void)record;
	++*(int64_t *)arg;
	return 0;
}

static int64_t count(struct lk_db *db, int index)
{
	int64_t n = 0;
	struct lk_scan scan = {.table = &lk_tables[LK_T_DIRENT], .index = index};
	assert_int_equal(lk_db_scan(db, &scan, count_row, &n), 0);
	return n;
}

/* With the index out of the schema, rows go without it. */
static void lose_rows(const struct state *s)
{
	static const char *const steps[] = {
		"PRAGMA writable_schema=ON; CREATE TABLE hidden AS SELECT rowid AS r, * FROM sqlite_schema WHERE "
		"name='dirent_by_ino'; DELETE FROM sqlite_schema WHERE name='dirent_by_ino'",
		"DELETE FROM dirent WHERE ino % 10 = 0",
		"PRAGMA writable_schema=ON; INSERT INTO sqlite_schema(rowid,type,name,tbl_name,rootpage,sql) SELECT "
		"r,type,name,tbl_name,rootpage,sql FROM hidden; DROP TABLE hidden",
	};
	for (size_t i = 0; i < LK_ARRAY_LEN(steps); i++) {
		sqlite3 *db;
		assert_int_equal(sqlite3_open_v2(s->file, &db, SQLITE_OPEN_READWRITE, lk_vfs_sum()), SQLITE_OK);
		assert_int_equal(sqlite3_exec(db, steps[i], NULL, NULL, NULL), SQLITE_OK);
		assert_int_equal(sqlite3_close(db), SQLITE_OK);
	}
}

static void an_index_that_differs_is_made_anew(void **in)
{
	struct state *s = *in;
	struct lk_db *db = open_db(s->dir, 0);
	struct findings f = verify(db);
	assert_int_equal(f.index + f.other, 0);
	lk_db_close(db);
	lose_rows(s);
	db = open_db(s->dir, 0);
	f = verify(db);
	assert_true(f.index > 0);
	assert_int_equal(f.other, 0);
	assert_ptr_equal(f.table, &lk_tables[LK_T_DIRENT]);
	/* A callback that stops it. */
	f.stop = LINKFS_EINTR;
	assert_int_equal(db->ops->verify(db, take, &f), LINKFS_EINTR);
	assert_int_equal(count(db, LK_BY_KEY), ROWS - ROWS / 10);
	assert_int_equal(count(db, LK_DIRENT_BY_INO), ROWS);
	assert_int_equal(db->ops->rebuild(db, &lk_tables[LK_T_DIRENT]), LINKFS_EINVAL);
	assert_int_equal(db->ops->begin(db), 0);
	assert_int_equal(db->ops->rebuild(db, &lk_tables[LK_T_DIRENT]), 0);
	assert_int_equal(db->ops->commit(db), 0);
	assert_int_equal(count(db, LK_DIRENT_BY_INO), ROWS - ROWS / 10);
	f = verify(db);
	assert_int_equal(f.index + f.other, 0);
	lk_db_close(db);
	db = open_db(s->dir, LK_DB_READONLY);
	f = verify(db);
	assert_int_equal(f.index + f.other, 0);
	assert_int_equal(db->ops->rebuild(db, &lk_tables[LK_T_DIRENT]), LINKFS_EROFS);
	lk_db_close(db);
}

static void flip(const char *file, off_t at)
{
	uint8_t byte;
	int fd = open(file, O_RDWR);
	assert_true(fd >= 0);
	assert_int_equal(pread(fd, &byte, 1, at), 1);
	byte ^= 1;
	assert_int_equal(pwrite(fd, &byte, 1, at), 1);
	(void)close(fd);
}

static void damaged_pages_are_told(void **in)
{
	struct state *s = *in;
	struct stat st;
	assert_int_equal(stat(s->file, &st), 0);
	struct lk_test_random random = {lk_test_seed()};
	unsigned told = 0;
	struct lk_db *db = open_db(s->dir, LK_DB_READONLY);
	struct lk_db_usage usage;
	assert_int_equal(db->ops->usage(db, &usage), 0);
	lk_db_close(db);
	for (unsigned i = 0; i < 60; i++) {
		/* Behind the pages of the schema, which opening reads. */
		off_t at = (off_t)(4096 * (5 + lk_test_below(&random, usage.pages - 5)) + lk_test_below(&random, 4088));
		flip(s->file, at);
		if (lk_db_open_sqlite(s->dir, LK_DB_READONLY, &db, NULL) == 0) {
			struct findings f = verify(db);
			told += f.index + f.other > 0;
			assert_int_equal(db->ops->copy(db, s->copy) != 0, f.index + f.other > 0);
			/* A copy that failed leaves nothing. */
			assert_int_equal(access(s->copy, F_OK) == 0, f.index + f.other == 0);
			(void)unlink(s->copy);
			lk_db_close(db);
		} else {
			told++;
		}
		flip(s->file, at);
	}
	/* The rest hit free pages. */
	assert_true(told > 30);
}

static void a_copy_is_a_whole_database(void **in)
{
	struct state *s = *in;
	struct lk_db *db = open_db(s->dir, 0);
	assert_int_equal(db->ops->copy(db, s->copy), 0);
	assert_int_equal(db->ops->copy(db, s->copy), LINKFS_EEXIST);
	lk_db_close(db);
	db = open_db(s->copy_dir, 0);
	struct findings f = verify(db);
	assert_int_equal(f.index + f.other, 0);
	assert_int_equal(count(db, LK_BY_KEY), ROWS);
	assert_int_equal(count(db, LK_DIRENT_BY_INO), ROWS);
	struct lk_counter c = {1, 2};
	assert_int_equal(db->ops->begin(db), 0);
	assert_int_equal(lk_db_put(db, &lk_tables[LK_T_COUNTER], &c), 0);
	assert_int_equal(db->ops->commit(db), 0);
	lk_db_close(db);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(an_index_that_differs_is_made_anew),
		TEST(damaged_pages_are_told),
		TEST(a_copy_is_a_whole_database),
	};
	return cmocka_run_group_tests_name("store-verify", tests, NULL, NULL);
}
