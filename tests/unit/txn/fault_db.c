/*
 * fault_db.c - wraps a database so that its n-th call fails.
 */
#include "fault_db.h"

#include <string.h>

static struct fault_db *of(struct lk_db *db)
{
	return (struct fault_db *)(void *)((char *)db - offsetof(struct fault_db, base));
}

static int trip(struct fault_db *f, const char *where)
{
	if (f->lost)
		return LINKFS_EIO;
	if (++f->calls != f->fail_at)
		return 0;
	f->tripped = true;
	if (f->lose && f->open) {
		f->lost = true;
		(void)f->real->ops->rollback(f->real);
	}
	f->tripped_in = where;
	return f->error;
}

#define FORWARD(name, parameters, arguments)                                                                           \
	static int fault_##name parameters                                                                             \
	{                                                                                                              \
		struct fault_db *f = of(db);                                                                           \
		int r = trip(f, #name);                                                                                \
		db = f->real;                                                                                          \
		return r ? r : db->ops->name arguments;                                                                \
	}
FORWARD(get, (struct lk_db * db, const struct lk_table *t, const void *key, void *record, struct lk_buf *bytes),
	(db, t, key, record, bytes))
FORWARD(put, (struct lk_db * db, const struct lk_table *t, const void *record), (db, t, record))
FORWARD(insert, (struct lk_db * db, const struct lk_table *t, const void *record), (db, t, record))
FORWARD(erase, (struct lk_db * db, const struct lk_table *t, const void *key), (db, t, key))
FORWARD(scan, (struct lk_db * db, const struct lk_scan *scan, lk_row_fn *fn, void *arg), (db, scan, fn, arg))
FORWARD(savepoint, (struct lk_db * db), (db))
FORWARD(release, (struct lk_db * db), (db))
FORWARD(undo, (struct lk_db * db), (db))
FORWARD(reserve, (struct lk_db * db, uint32_t pages, bool freeing), (db, pages, freeing))
FORWARD(usage, (struct lk_db * db, struct lk_db_usage *out), (db, out))

static int fault_begin(struct lk_db *db)
{
	struct fault_db *f = of(db);
	int r = trip(f, "begin");
	f->begins++;
	if (r == 0)
		r = f->real->ops->begin(f->real);
	f->open = r == 0;
	return r;
}

static int fault_commit(struct lk_db *db)
{
	struct fault_db *f = of(db);
	int r = trip(f, "commit");
	if (r == 0)
		r = f->real->ops->commit(f->real);
	if (r == 0) {
		f->commits++;
		f->open = false;
	}
	return r;
}

/* The way out of a failure: never fails here. */
static int fault_rollback(struct lk_db *db)
{
	struct fault_db *f = of(db);
	f->open = false;
	if (f->lost) {
		f->lost = false;
		return 0;
	}
	return f->real->ops->rollback(f->real);
}

static int fault_checkpoint(struct lk_db *db, bool slice)
{
	struct fault_db *f = of(db);
	int r = slice ? trip(f, "checkpoint") : 0;
	return r ? r : f->real->ops->checkpoint(f->real, slice);
}

static void fault_close(struct lk_db *db)
{
	lk_db_close(of(db)->real);
}

static const struct lk_db_ops fault_ops = {
	.close = fault_close,
	.get = fault_get,
	.put = fault_put,
	.insert = fault_insert,
	.erase = fault_erase,
	.scan = fault_scan,
	.begin = fault_begin,
	.commit = fault_commit,
	.rollback = fault_rollback,
	.savepoint = fault_savepoint,
	.release = fault_release,
	.undo = fault_undo,
	.reserve = fault_reserve,
	.checkpoint = fault_checkpoint,
	.usage = fault_usage,
};

void fault_db_init(struct fault_db *fault, struct lk_db *real)
{
	memset(fault, 0, sizeof(*fault));
	fault->base.ops = &fault_ops;
	fault->real = real;
}
