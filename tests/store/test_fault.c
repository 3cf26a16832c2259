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
	lk_db_fault_set(db, LK_FAULT_PUT | LK_FAULT_INSERT, 3, LINKFS_ENOSPC, false);
	for (o.ino = 1; o.ino <= 5; o.ino++)
		assert_int_equal(o.ino & 1 ? lk_db_put(db, orphans, &o) : lk_db_insert(db, orphans, &o),
				 o.ino == 3 ? LINKFS_ENOSPC : 0);
	assert_int_equal(lk_db_fault_calls(db), 5);
	assert_int_equal(lk_db_fault_failures(db), 1);
	for (o.ino = 1; o.ino <= 5; o.ino++)
		assert_int_equal(lk_db_get(db, orphans, &o, &o, NULL), o.ino == 3 ? LINKFS_ENOENT : 0);
	lk_db_fault_set(db, LK_FAULT_ALL, 2, LINKFS_EIO, true);
	o.ino = 1;
	assert_int_equal(lk_db_get(db, orphans, &o, &o, NULL), 0);
	for (int i = 0; i < 3; i++)
		assert_int_equal(lk_db_erase(db, orphans, &o), LINKFS_EIO);
	assert_int_equal(db->ops->commit(db), LINKFS_EIO);
	lk_db_fault_set(db, 0, 0, 0, false);
	assert_int_equal(lk_db_get(db, orphans, &o, &o, NULL), 0);
	assert_int_equal(db->ops->commit(db), 0);
	lk_db_close(db);
	lk_test_rmdir(dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(the_nth_call_fails)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
