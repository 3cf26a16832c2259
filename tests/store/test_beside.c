/*
 * test_beside.c - checkpoints beside the owner begin only when there is something to copy. SQLite up to 3.51.2 may take frames of a WAL that
 * a commit begins anew for copied, when a checkpoint that finds all copied begins at that moment (sqlite.org/wal.html#walresetbug). That
 * moment cannot be hit at will; that no such checkpoint begins can be seen, for the call is counted here, at link time.
 */
#include <db_model.h>

#include <sqlite3.h>

#define ORPHANS (&lk_tables[LK_T_ORPHAN])

int __real_sqlite3_wal_checkpoint_v2(sqlite3 *handle, const char *name, int mode, int *frames, int *done);
int __wrap_sqlite3_wal_checkpoint_v2(sqlite3 *handle, const char *name, int mode, int *frames, int *done);

static struct {
	unsigned passive;
	struct lk_db *commits; /* commits once more right before the next passive one */
	struct lk_db *later;   /* or right after it */
} seen;

static void commit_one(struct lk_db *db, int64_t ino)
{
	struct lk_orphan o = {.ino = ino};
	assert_int_equal(db->ops->begin(db), 0);
	assert_int_equal(lk_db_put(db, ORPHANS, &o), 0);
	assert_int_equal(db->ops->commit(db), 0);
}

int __wrap_sqlite3_wal_checkpoint_v2(sqlite3 *handle, const char *name, int mode, int *frames, int *done)
{
	struct lk_db *commits = seen.commits, *later = seen.later;
	int code;
	assert_non_null(handle);
	if (mode == SQLITE_CHECKPOINT_PASSIVE) {
		seen.passive++;
		seen.commits = seen.later = NULL;
		if (commits)
			commit_one(commits, 1000);
	}
	code = __real_sqlite3_wal_checkpoint_v2(handle, name, mode, frames, done);
	if (mode == SQLITE_CHECKPOINT_PASSIVE && later)
		commit_one(later, 2000);
	return code;
}

/* Checkpoints beside the owner, and says how many of them SQLite was asked for. */
static unsigned beside(struct lk_db *db)
{
	unsigned before = seen.passive;
	assert_int_equal(db->ops->checkpoint(db, false), 0);
	return seen.passive - before;
}

static int setup(void **out)
{
	struct lk_db *db = NULL;
	*out = lk_test_mkdir();
	if (lk_db_open_sqlite(*out, LK_DB_CREATE, &db, NULL))
		return -1;
	lk_db_close(db);
	return 0;
}

static int teardown(void **in)
{
	lk_test_rmdir(*in);
	return 0;
}

static struct lk_db *opened(void **in)
{
	struct lk_db *db = NULL;
	struct lk_db_usage usage;
	assert_int_equal(lk_db_open_sqlite(*in, 0, &db, NULL), 0);
	assert_int_equal(db->ops->usage(db, &usage), 0);
	if (!usage.readers) { /* one connection only */
		lk_db_close(db);
		return NULL;
	}
	return db;
}

static void none_begins_when_all_is_copied(void **in)
{
	struct lk_db *db = opened(in);
	if (!db)
		skip();
	assert_int_equal(beside(db), 0); /* opening has emptied the WAL */
	commit_one(db, 1);
	assert_int_equal(beside(db), 1);
	assert_int_equal(beside(db), 0);
	/* A transaction that has changed nothing leaves no frames. */
	assert_int_equal(db->ops->begin(db), 0);
	assert_int_equal(db->ops->commit(db), 0);
	assert_int_equal(beside(db), 0);
	assert_int_equal(db->ops->begin(db), 0);
	assert_int_equal(db->ops->rollback(db), 0);
	assert_int_equal(beside(db), 0);
	/* Nor is one that is still open any. */
	struct lk_orphan o = {.ino = 2};
	assert_int_equal(db->ops->begin(db), 0);
	assert_int_equal(lk_db_put(db, ORPHANS, &o), 0);
	assert_int_equal(beside(db), 0);
	assert_int_equal(db->ops->commit(db), 0);
	assert_int_equal(beside(db), 1);
	/* The owner's own copies all as well. */
	commit_one(db, 3);
	assert_int_equal(db->ops->checkpoint(db, true), 0);
	assert_int_equal(beside(db), 0);
	lk_db_close(db);
}

/* A reader keeps the WAL from being copied whole, or from beginning anew. */
static void a_part_is_not_all(void **in)
{
	struct lk_db *db = opened(in), *reader = NULL;
	if (!db)
		skip();
	commit_one(db, 1);
	assert_int_equal(lk_db_open_sqlite(*in, LK_DB_READONLY, &reader, NULL), 0);
	assert_int_equal(reader->ops->begin(reader), 0);
	struct lk_orphan o = {.ino = 1};
	assert_int_equal(lk_db_get(reader, ORPHANS, &o, &o, NULL), 0);
	commit_one(db, 2);
	assert_int_equal(beside(db), 1);
	assert_int_equal(beside(db), 1); /* the second commit is not copied yet */
	assert_int_equal(reader->ops->rollback(reader), 0);
	assert_int_equal(beside(db), 1);
	assert_int_equal(beside(db), 0);
	lk_db_close(reader);
	lk_db_close(db);
}

/* What is committed before one looks is copied with it. */
static void what_came_before_is_copied(void **in)
{
	struct lk_db *db = opened(in);
	if (!db)
		skip();
	commit_one(db, 1);
	seen.commits = db;
	assert_int_equal(beside(db), 1);
	assert_int_equal(beside(db), 0);
	commit_one(db, 2);
	assert_int_equal(beside(db), 1);
	lk_db_close(db);
}

/* The last commits of a burst come while one is under way: they are not left to the next burst. */
static void what_came_meanwhile_is_next(void **in)
{
	struct lk_db *db = opened(in);
	if (!db)
		skip();
	for (int64_t turn = 0; turn < 3; turn++) {
		for (int64_t i = 0; i < 4; i++) /* the WAL begins anew, longer and as long as it was */
			commit_one(db, 10 * turn + i);
		seen.later = db;
		assert_int_equal(beside(db), 1);
		assert_int_equal(beside(db), 1);
		assert_int_equal(beside(db), 0);
	}
	lk_db_close(db);
}

/* Whatever the WAL's length was before. */
static void a_wal_that_began_anew_is_seen(void **in)
{
	struct lk_db *db = opened(in);
	int64_t ino = 1;
	if (!db)
		skip();
	for (int64_t commits = 1; commits < 5; commits++) {
		for (int64_t i = 0; i < commits; i++)
			commit_one(db, ino++);
		assert_int_equal(beside(db), 1);
		assert_int_equal(beside(db), 0);
	}
	for (int64_t commits = 5; commits > 0; commits--) {
		for (int64_t i = 0; i < commits; i++)
			commit_one(db, ino++);
		if (commits % 2)
			assert_int_equal(db->ops->checkpoint(db, true), 0);
		else
			assert_int_equal(beside(db), 1);
		assert_int_equal(beside(db), 0);
	}
	lk_db_close(db);
}

/* What was copied is no part of the WAL any more when the next transaction asks for room. */
static void a_copied_wal_begins_anew(void **in)
{
	struct lk_db *db = opened(in), *reader = NULL;
	struct lk_db_usage usage;
	struct lk_orphan o = {.ino = 1};
	if (!db)
		skip();
	for (int64_t i = 1; i < 20; i++)
		commit_one(db, i);
	assert_int_equal(db->ops->usage(db, &usage), 0);
	uint64_t full = usage.wal_bytes;
	assert_int_equal(beside(db), 1);
	assert_int_equal(db->ops->begin(db), 0);
	assert_int_equal(db->ops->usage(db, &usage), 0);
	assert_int_equal(usage.wal_bytes, 0);
	assert_int_equal(db->ops->rollback(db), 0);
	/* Beside a reader of what is in it, it goes on, and nothing is lost to him. */
	commit_one(db, 100);
	assert_int_equal(lk_db_open_sqlite(*in, LK_DB_READONLY, &reader, NULL), 0);
	assert_int_equal(reader->ops->begin(reader), 0);
	assert_int_equal(lk_db_get(reader, ORPHANS, &o, &o, NULL), 0);
	assert_int_equal(beside(db), 1);
	commit_one(db, 101);
	o.ino = 101;
	assert_int_equal(lk_db_get(reader, ORPHANS, &o, &o, NULL), LINKFS_ENOENT);
	o.ino = 100;
	assert_int_equal(lk_db_get(reader, ORPHANS, &o, &o, NULL), 0);
	assert_int_equal(reader->ops->rollback(reader), 0);
	lk_db_close(reader);
	assert_int_equal(db->ops->usage(db, &usage), 0);
	assert_true(usage.wal_bytes > 0 && usage.wal_bytes < full);
	lk_db_close(db);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(none_begins_when_all_is_copied, setup, teardown),
		cmocka_unit_test_setup_teardown(a_part_is_not_all, setup, teardown),
		cmocka_unit_test_setup_teardown(what_came_before_is_copied, setup, teardown),
		cmocka_unit_test_setup_teardown(what_came_meanwhile_is_next, setup, teardown),
		cmocka_unit_test_setup_teardown(a_wal_that_began_anew_is_seen, setup, teardown),
		cmocka_unit_test_setup_teardown(a_copied_wal_begins_anew, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
