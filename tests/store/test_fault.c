/*
 * test_fault.c - the fault injector itself: the n-th call fails, once or from then on, and does nothing below.
 */
#include <db_fault.h>
#include <test.h>

static void the_nth_call_fails(void **in)
{
	(void)in;
	char *dir = lk_test_mkdir();
	struct lk_db *db = NULL;
	assert_int_equal(lk_db_open_sqlite(dir, LK_DB_CREATE, &db, NULL), 0);
	assert_int_equal(lk_db_fault_open(db, &db), 0);
	const struct lk_table *orphans = &lk_tables[LK_T_ORPHAN];
	struct lk_orphan o = {.ino = 1};
	assert_int_equal(db->ops->begin(db), 0);
	lk_db_fault_plan(
		db, &(struct lk_fault_plan){.which = LK_FAULT_PUT | LK_FAULT_INSERT, .n = 3, .code = LINKFS_ENOSPC});
	for (o.ino = 1; o.ino <= 5; o.ino++)
		assert_int_equal(o.ino & 1 ? lk_db_put(db, orphans, &o) : lk_db_insert(db, orphans, &o),
				 o.ino == 3 ? LINKFS_ENOSPC : 0);
	assert_int_equal(lk_db_fault_seen(db).calls, 5);
	assert_int_equal(lk_db_fault_seen(db).failures, 1);
	assert_string_equal(lk_db_fault_seen(db).in, "put");
	for (o.ino = 1; o.ino <= 5; o.ino++)
		assert_int_equal(lk_db_get(db, orphans, &o, &o, NULL), o.ino == 3 ? LINKFS_ENOENT : 0);
	lk_db_fault_plan(db,
			 &(struct lk_fault_plan){.which = LK_FAULT_ALL, .n = 2, .code = LINKFS_EIO, .all_later = true});
	o.ino = 1;
	assert_int_equal(lk_db_get(db, orphans, &o, &o, NULL), 0);
	for (int i = 0; i < 3; i++)
		assert_int_equal(lk_db_erase(db, orphans, &o), LINKFS_EIO);
	assert_int_equal(db->ops->commit(db), LINKFS_EIO);
	lk_db_fault_plan(db, NULL);
	assert_int_equal(lk_db_get(db, orphans, &o, &o, NULL), 0);
	assert_int_equal(db->ops->commit(db), 0);
	assert_int_equal(lk_db_fault_seen(db).commits, 1);
	lk_db_close(db);
	lk_test_rmdir(dir);
}

/* As an engine that rolls back by itself: every later call says so, and the next transaction begins with the old state. */
static void a_failure_loses_the_transaction(void **in)
{
	(void)in;
	char *dir = lk_test_mkdir();
	struct lk_db *db = NULL;
	assert_int_equal(lk_db_open_sqlite(dir, LK_DB_CREATE, &db, NULL), 0);
	assert_int_equal(lk_db_fault_open(db, &db), 0);
	const struct lk_table *orphans = &lk_tables[LK_T_ORPHAN];
	struct lk_orphan o = {.ino = 1};
	lk_db_fault_plan(
		db, &(struct lk_fault_plan){.which = LK_FAULT_FORWARD, .n = 3, .code = LINKFS_ENOSPC, .lose = true});
	assert_int_equal(db->ops->begin(db), 0);
	assert_int_equal(lk_db_insert(db, orphans, &o), 0);
	o.ino = 2;
	assert_int_equal(lk_db_insert(db, orphans, &o), LINKFS_ENOSPC);
	assert_int_equal(lk_db_insert(db, orphans, &o), LINKFS_EIO);
	assert_int_equal(db->ops->commit(db), LINKFS_EIO);
	assert_int_equal(db->ops->rollback(db), 0);
	assert_int_equal(db->ops->begin(db), 0);
	for (o.ino = 1; o.ino <= 2; o.ino++)
		assert_int_equal(lk_db_get(db, orphans, &o, &o, NULL), LINKFS_ENOENT);
	assert_int_equal(db->ops->commit(db), 0);
	lk_db_close(db);
	lk_test_rmdir(dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(the_nth_call_fails),
					   cmocka_unit_test(a_failure_loses_the_transaction)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
