/*
 * test_calls.c - the engine when single calls to the host or for memory fail: what the error says, and that the failure does not
 * outlive its cause.
 */
#include <calls.h>
#include <db_model.h>

#include <errno.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <string.h>

#define ORPHANS (&lk_tables[LK_T_ORPHAN])

struct fail {
	const char *name; /* of the file whose open fails */
	int flags;        /* it has all of these */
	int error;
	unsigned times, hits;
};

static int before(void *arg, struct call *call)
{
	struct fail *f = arg;
	if (!call->name || strcmp(call->name, f->name) != 0 || (call->mode & f->flags) != f->flags ||
	    f->hits == f->times)
		return 0;
	f->hits++;
	return f->error;
}

/* The first transaction of a new database has a journal. Without room for it the answer is that, not what the half made file looks
 * like. */
static void a_failed_create_says_why(void **in)
{
	(void)in;
	struct fail fail = {.name = "meta.db-journal", .error = ENOSPC, .times = 1000};
	const struct calls_hooks hooks = {.arg = &fail, .kinds = CALL_BIT(CALL_OPEN), .before = before};
	char *dir = lk_test_mkdir();
	struct lk_db *db = NULL;
	struct linkfs_message why = {""};
	calls_watch(dir, &hooks);
	int r = lk_db_open_sqlite(dir, LK_DB_CREATE, &db, &why);
	calls_unwatch();
	assert_true(fail.hits > 0);
	if (r != LINKFS_EIO && r != LINKFS_ENOSPC)
		fail_msg("create says %s: %s", linkfs_error_name(r), why.text);
	lk_test_rmdir(dir);
}

/* SQLite reads a WAL that it cannot open for writing. A checkpoint beside the owner that met that once works the next time. */
static void a_checkpoint_is_tried_anew(void **in)
{
	(void)in;
	struct fail fail = {.name = "meta.db-wal", .flags = O_RDWR, .error = EMFILE, .times = 1};
	const struct calls_hooks hooks = {.arg = &fail, .kinds = CALL_BIT(CALL_OPEN), .before = before};
	char *dir = lk_test_mkdir();
	struct lk_db *db = NULL;
	struct lk_orphan o = {.ino = 1};
	assert_int_equal(lk_db_open_sqlite(dir, LK_DB_CREATE, &db, NULL), 0);
	assert_int_equal(db->ops->begin(db), 0);
	assert_int_equal(lk_db_put(db, ORPHANS, &o), 0);
	assert_int_equal(db->ops->commit(db), 0);
	calls_watch(dir, &hooks);
	assert_true(db->ops->checkpoint(db, false) < 0);
	assert_int_equal(fail.hits, 1);
	assert_int_equal(db->ops->checkpoint(db, false), 0);
	calls_unwatch();
	lk_db_close(db);
	lk_test_rmdir(dir);
}

static sqlite3_mem_methods below;
static bool no_memory;

static void *give(int size)
{
	return no_memory ? NULL : below.xMalloc(size);
}
static void *change(void *old, int size)
{
	return no_memory ? NULL : below.xRealloc(old, size);
}

/* The way back needs no memory; and were it to fail, half a transaction is not what readers see. */
static void a_rollback_needs_no_memory(void **in)
{
	(void)in;
	char *dir = lk_test_mkdir();
	struct lk_db *db = NULL;
	struct lk_orphan o = {.ino = 1};
	assert_int_equal(lk_db_open_sqlite(dir, LK_DB_CREATE, &db, NULL), 0);
	assert_int_equal(db->ops->begin(db), 0);
	assert_int_equal(lk_db_put(db, ORPHANS, &o), 0);
	no_memory = true;
	assert_int_equal(db->ops->rollback(db), 0);
	no_memory = false;
	assert_int_equal(lk_db_get(db, ORPHANS, &o, &o, NULL), LINKFS_ENOENT);
	assert_int_equal(db->ops->begin(db), 0);
	assert_int_equal(lk_db_put(db, ORPHANS, &o), 0);
	assert_int_equal(db->ops->commit(db), 0);
	assert_int_equal(lk_db_get(db, ORPHANS, &o, &o, NULL), 0);
	lk_db_close(db);
	lk_test_rmdir(dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_failed_create_says_why),
		cmocka_unit_test(a_checkpoint_is_tried_anew),
		cmocka_unit_test(a_rollback_needs_no_memory),
	};
	sqlite3_mem_methods ours;
	if (sqlite3_config(SQLITE_CONFIG_GETMALLOC, &below) != SQLITE_OK)
		return 1;
	ours = below;
	ours.xMalloc = give;
	ours.xRealloc = change;
	if (sqlite3_config(SQLITE_CONFIG_MALLOC, &ours) != SQLITE_OK)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
