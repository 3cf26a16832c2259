/*
 * db_wrap.c - lk_db_open_sqlite() with the fault injector around what it opens.
 */
#include "db_wrap.h"

int __real_lk_db_open_sqlite(const char *dir, uint32_t flags, struct lk_db **out, struct linkfs_message *why);
int __wrap_lk_db_open_sqlite(const char *dir, uint32_t flags, struct lk_db **out, struct linkfs_message *why);

static struct lk_db *newest;
static const struct lk_fault_plan *next_plan;
static struct lk_db_ops ops; /* the injector's, with a close that forgets */
static void (*injector_close)(struct lk_db *db);

static void close_and_forget(struct lk_db *db)
{
	if (newest == db)
		newest = NULL;
	injector_close(db);
}

int __wrap_lk_db_open_sqlite(const char *dir, uint32_t flags, struct lk_db **out, struct linkfs_message *why)
{
	struct lk_db *db;
	int r = __real_lk_db_open_sqlite(dir, flags, &db, why);
	if (r == 0)
		r = lk_db_fault_open(db, &db);
	if (r)
		return r;
	lk_db_fault_plan(db, next_plan);
	injector_close = db->ops->close;
	ops = *db->ops;
	ops.close = close_and_forget;
	db->ops = &ops;
	newest = *out = db;
	return 0;
}

struct lk_db *lk_db_wrapped(void)
{
	return newest;
}

void lk_db_wrap_plan(const struct lk_fault_plan *plan)
{
	next_plan = plan;
}
