/*
 * db_fault.c - the fault injector of db_fault.h.
 */
#include "db_fault.h"

#include <pthread.h>
#include <stdlib.h>

struct fault {
	struct lk_db base;
	struct lk_db *inner;
	pthread_mutex_t lock; /* guards the rest: checkpoints come from another thread */
	unsigned which;
	uint64_t n, calls, failures;
	int code;
	bool all_later;
};

static struct fault *fault_of(struct lk_db *base)
{
	return (struct fault *)(void *)base;
}

/* The code this call fails with, or 0. */
static int now(struct lk_db *base, unsigned call)
{
	struct fault *f = fault_of(base);
	int code = 0;
	(void)pthread_mutex_lock(&f->lock);
	if (f->which & call) {
		f->calls++;
		if (f->n && (f->all_later ? f->calls >= f->n : f->calls == f->n)) {
			code = f->code;
			f->failures++;
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
	int r = now(db, LK_FAULT_GET);
	return r ? r : lk_db_get(fault_of(db)->inner, table, key, record, bytes);
}

static int fault_put(struct lk_db *db, const struct lk_table *table, const void *record)
{
	int r = now(db, LK_FAULT_PUT);
	return r ? r : lk_db_put(fault_of(db)->inner, table, record);
}

static int fault_insert(struct lk_db *db, const struct lk_table *table, const void *record)
{
	int r = now(db, LK_FAULT_INSERT);
	return r ? r : lk_db_insert(fault_of(db)->inner, table, record);
}

static int fault_erase(struct lk_db *db, const struct lk_table *table, const void *key)
{
	int r = now(db, LK_FAULT_ERASE);
	return r ? r : lk_db_erase(fault_of(db)->inner, table, key);
}

static int fault_scan(struct lk_db *db, const struct lk_scan *scan, lk_row_fn *fn, void *arg)
{
	int r = now(db, LK_FAULT_SCAN);
	return r ? r : lk_db_scan(fault_of(db)->inner, scan, fn, arg);
}

#define PLAIN(name, bit)                                                                                               \
	static int fault_##name(struct lk_db *db)                                                                      \
	{                                                                                                              \
		int r = now(db, bit);                                                                                  \
		return r ? r : fault_of(db)->inner->ops->name(fault_of(db)->inner);                                    \
	}
PLAIN(begin, LK_FAULT_BEGIN)
PLAIN(commit, LK_FAULT_COMMIT)
PLAIN(rollback, LK_FAULT_ROLLBACK)
PLAIN(savepoint, LK_FAULT_SAVEPOINT)
PLAIN(release, LK_FAULT_RELEASE)
PLAIN(undo, LK_FAULT_UNDO)

static int fault_reserve(struct lk_db *db, uint32_t pages, bool freeing)
{
	int r = now(db, LK_FAULT_RESERVE);
	return r ? r : fault_of(db)->inner->ops->reserve(fault_of(db)->inner, pages, freeing);
}

static int fault_checkpoint(struct lk_db *db, bool slice)
{
	int r = now(db, LK_FAULT_CHECKPOINT);
	return r ? r : fault_of(db)->inner->ops->checkpoint(fault_of(db)->inner, slice);
}

static int fault_usage(struct lk_db *db, struct lk_db_usage *out)
{
	int r = now(db, LK_FAULT_USAGE);
	return r ? r : fault_of(db)->inner->ops->usage(fault_of(db)->inner, out);
}

/* Repair's own calls are not failed here: their writes are. */
static int fault_verify(struct lk_db *db, lk_db_finding_fn *fn, void *arg)
{
	return fault_of(db)->inner->ops->verify(fault_of(db)->inner, fn, arg);
}

static int fault_rebuild(struct lk_db *db, const struct lk_table *table)
{
	return fault_of(db)->inner->ops->rebuild(fault_of(db)->inner, table);
}

static int fault_copy(struct lk_db *db, const char *path)
{
	return fault_of(db)->inner->ops->copy(fault_of(db)->inner, path);
}

static const struct lk_db_ops ops = {
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
	*out = &f->base;
	return 0;
}

void lk_db_fault_set(struct lk_db *db, unsigned which, uint64_t n, int code, bool all_later)
{
	struct fault *f = fault_of(db);
	(void)pthread_mutex_lock(&f->lock);
	f->which = which;
	f->n = n;
	f->code = code;
	f->all_later = all_later;
	f->calls = f->failures = 0;
	(void)pthread_mutex_unlock(&f->lock);
}

uint64_t lk_db_fault_calls(struct lk_db *db)
{
	struct fault *f = fault_of(db);
	(void)pthread_mutex_lock(&f->lock);
	uint64_t calls = f->calls;
	(void)pthread_mutex_unlock(&f->lock);
	return calls;
}

uint64_t lk_db_fault_failures(struct lk_db *db)
{
	struct fault *f = fault_of(db);
	(void)pthread_mutex_lock(&f->lock);
	uint64_t failures = f->failures;
	(void)pthread_mutex_unlock(&f->lock);
	return failures;
}
