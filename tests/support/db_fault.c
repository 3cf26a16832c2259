/*
 * db_fault.c - the fault injector of db_fault.h.
 */
#include "db_fault.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

struct fault {
	struct lk_db base;
	struct lk_db *inner;
	pthread_mutex_t lock; /* guards the rest: checkpoints and syncs come from other threads */
	struct lk_fault_plan plan;
	struct lk_fault_seen seen;
	bool paused;
	bool open; /* a transaction is */
	bool lost; /* it was rolled back, and nobody was told yet */
};

static struct fault *fault_of(struct lk_db *base)
{
	return (struct fault *)(void *)base;
}

/* The code this call fails with, or 0. */
static int now(struct lk_db *base, unsigned call, const char *name)
{
	struct fault *f = fault_of(base);
	int code = 0;
	(void)pthread_mutex_lock(&f->lock);
	bool beside = call == LK_FAULT_BESIDE || call == LK_FAULT_SYNC;
	if (f->lost && call != LK_FAULT_ROLLBACK && !beside)
		code = LINKFS_EIO;
	if (!code && !f->paused && f->plan.which & call) {
		uint64_t i = ++f->seen.calls, n = f->plan.n;
		if (f->plan.calls)
			++*f->plan.calls;
		if (n && (f->plan.all_later ? i >= n : i == n)) {
			code = f->plan.code;
			f->seen.failures++;
			if (f->plan.counter)
				++*f->plan.counter;
			f->seen.in = name;
			f->lost = f->plan.lose && f->open && !beside;
			if (f->lost)
				(void)f->inner->ops->rollback(f->inner);
		}
	}
	(void)pthread_mutex_unlock(&f->lock);
	return code;
}

static void fault_close(struct lk_db *base)
{
	struct fault *f = fault_of(base);
	lk_db_close(f->inner);
	(void)pthread_mutex_destroy(&f->lock);
	free(f);
}

static int fault_get(struct lk_db *db, const struct lk_table *table, const void *key, void *record,
		     struct lk_buf *bytes)
{
	int r = now(db, LK_FAULT_GET, "get");
	return r ? r : lk_db_get(fault_of(db)->inner, table, key, record, bytes);
}

static int fault_put(struct lk_db *db, const struct lk_table *table, const void *record)
{
	int r = now(db, LK_FAULT_PUT, "put");
	return r ? r : lk_db_put(fault_of(db)->inner, table, record);
}

static int fault_insert(struct lk_db *db, const struct lk_table *table, const void *record)
{
	int r = now(db, LK_FAULT_INSERT, "insert");
	return r ? r : lk_db_insert(fault_of(db)->inner, table, record);
}

static int fault_erase(struct lk_db *db, const struct lk_table *table, const void *key)
{
	int r = now(db, LK_FAULT_ERASE, "erase");
	return r ? r : lk_db_erase(fault_of(db)->inner, table, key);
}

static int fault_clear(struct lk_db *db, const struct lk_table *table, const void *from, int64_t to, uint32_t *rows_out)
{
	int r = now(db, LK_FAULT_ERASE, "clear");
	return r ? r : lk_db_clear(fault_of(db)->inner, table, from, to, rows_out);
}

static int fault_nth(struct lk_db *db, const struct lk_table *table, const void *from, uint32_t n, int64_t *second_out)
{
	int r = now(db, LK_FAULT_SCAN, "nth");
	return r ? r : lk_db_nth(fault_of(db)->inner, table, from, n, second_out);
}

static int fault_scan(struct lk_db *db, const struct lk_scan *scan, lk_row_fn *fn, void *arg)
{
	int r = now(db, LK_FAULT_SCAN, "scan");
	return r ? r : lk_db_scan(fault_of(db)->inner, scan, fn, arg);
}

#define PLAIN(name, bit)                                                                                               \
	static int fault_##name(struct lk_db *db)                                                                      \
	{                                                                                                              \
		int r = now(db, bit, #name);                                                                           \
		return r ? r : fault_of(db)->inner->ops->name(fault_of(db)->inner);                                    \
	}
PLAIN(savepoint, LK_FAULT_SAVEPOINT)
PLAIN(release, LK_FAULT_RELEASE)
PLAIN(undo, LK_FAULT_UNDO)
PLAIN(sync, LK_FAULT_SYNC)

static int fault_begin(struct lk_db *db)
{
	struct fault *f = fault_of(db);
	int r = now(db, LK_FAULT_BEGIN, "begin");
	if (!r)
		r = f->inner->ops->begin(f->inner);
	if (!r) {
		(void)pthread_mutex_lock(&f->lock);
		f->open = true;
		f->seen.begins++;
		(void)pthread_mutex_unlock(&f->lock);
	}
	return r;
}

static int commit_by(struct lk_db *db, int (*commit)(struct lk_db *db))
{
	struct fault *f = fault_of(db);
	int r = now(db, LK_FAULT_COMMIT, "commit");
	if (!r)
		r = commit(f->inner);
	if (!r) {
		(void)pthread_mutex_lock(&f->lock);
		f->open = false;
		f->seen.commits++;
		(void)pthread_mutex_unlock(&f->lock);
	}
	return r;
}

static int fault_commit(struct lk_db *db)
{
	return commit_by(db, fault_of(db)->inner->ops->commit);
}

static int fault_write(struct lk_db *db)
{
	return commit_by(db, fault_of(db)->inner->ops->write);
}

static int fault_rollback(struct lk_db *db)
{
	struct fault *f = fault_of(db);
	int r = now(db, LK_FAULT_ROLLBACK, "rollback");
	if (!r && !f->lost)
		r = f->inner->ops->rollback(f->inner);
	if (!r)
		f->open = f->lost = false;
	return r;
}

static int fault_reserve(struct lk_db *db, uint32_t pages, bool freeing)
{
	int r = now(db, LK_FAULT_RESERVE, "reserve");
	return r ? r : fault_of(db)->inner->ops->reserve(fault_of(db)->inner, pages, freeing);
}

static int fault_checkpoint(struct lk_db *db, bool slice)
{
	int r = now(db, slice ? LK_FAULT_CHECKPOINT : LK_FAULT_BESIDE, "checkpoint");
	return r ? r : fault_of(db)->inner->ops->checkpoint(fault_of(db)->inner, slice);
}

static int fault_usage(struct lk_db *db, struct lk_db_usage *out)
{
	int r = now(db, LK_FAULT_USAGE, "usage");
	return r ? r : fault_of(db)->inner->ops->usage(fault_of(db)->inner, out);
}

static int fault_verify(struct lk_db *db, lk_db_finding_fn *fn, void *arg)
{
	int r = now(db, LK_FAULT_VERIFY, "verify");
	return r ? r : fault_of(db)->inner->ops->verify(fault_of(db)->inner, fn, arg);
}

static int fault_rebuild(struct lk_db *db, const struct lk_table *table)
{
	int r = now(db, LK_FAULT_REBUILD, "rebuild");
	return r ? r : fault_of(db)->inner->ops->rebuild(fault_of(db)->inner, table);
}

static int fault_copy(struct lk_db *db, const char *path)
{
	int r = now(db, LK_FAULT_COPY, "copy");
	return r ? r : fault_of(db)->inner->ops->copy(fault_of(db)->inner, path);
}

static const struct lk_db_ops ops = {
	.close = fault_close,
	.get = fault_get,
	.put = fault_put,
	.insert = fault_insert,
	.erase = fault_erase,
	.scan = fault_scan,
	.clear = fault_clear,
	.nth = fault_nth,
	.begin = fault_begin,
	.commit = fault_commit,
	.write = fault_write,
	.sync = fault_sync,
	.rollback = fault_rollback,
	.savepoint = fault_savepoint,
	.release = fault_release,
	.undo = fault_undo,
	.reserve = fault_reserve,
	.checkpoint = fault_checkpoint,
	.usage = fault_usage,
	.verify = fault_verify,
	.rebuild = fault_rebuild,
	.copy = fault_copy,
};

int lk_db_fault_open(struct lk_db *inner, struct lk_db **out)
{
	struct fault *f = calloc(1, sizeof(*f));
	if (!f || pthread_mutex_init(&f->lock, NULL)) {
		free(f);
		lk_db_close(inner);
		return LINKFS_ENOMEM;
	}
	f->base.ops = &ops;
	f->inner = inner;
	f->plan.which = LK_FAULT_ALL;
	*out = &f->base;
	return 0;
}

void lk_db_fault_plan(struct lk_db *db, const struct lk_fault_plan *plan)
{
	static const struct lk_fault_plan none = {.which = LK_FAULT_ALL};
	struct fault *f = fault_of(db);
	(void)pthread_mutex_lock(&f->lock);
	f->plan = plan ? *plan : none;
	memset(&f->seen, 0, sizeof(f->seen));
	(void)pthread_mutex_unlock(&f->lock);
}

struct lk_fault_seen lk_db_fault_seen(struct lk_db *db)
{
	struct fault *f = fault_of(db);
	(void)pthread_mutex_lock(&f->lock);
	struct lk_fault_seen seen = f->seen;
	(void)pthread_mutex_unlock(&f->lock);
	return seen;
}

void lk_db_fault_pause(struct lk_db *db, bool on)
{
	struct fault *f = fault_of(db);
	(void)pthread_mutex_lock(&f->lock);
	f->paused = on;
	(void)pthread_mutex_unlock(&f->lock);
}
