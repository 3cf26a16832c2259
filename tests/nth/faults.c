/*
 * faults.c - what fails, and when: the kinds of failure, and the counting of what each of them counts.
 * malloc and its kin are wrapped at link time (linkfs's objects and this program's); SQLite gets an allocator of ours by its own
 * interface; system calls are seen by calls.h, the metadata engine by db_wrap.h. Syncs are never made: no power is cut here.
 */
#include "nth.h"

#include <db_wrap.h>
#include <errno.h>
#include <pthread.h>
#include <sqlite3.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>

#define W CALL_BIT(CALL_WRITE)
#define NAMES (CALL_BIT(CALL_RENAME) | CALL_BIT(CALL_UNLINK) | CALL_BIT(CALL_MKDIR))
#define FORWARD LK_FAULT_FORWARD

const struct kind kinds[KINDS_MAX] = {
	{"write-eio", FROM_CALLS, W, .code = EIO},
	{"write-enospc", FROM_CALLS, W, .code = ENOSPC},
	{"write-short", FROM_CALLS, W, .is_short = true, .harmless = true},
	{"write-eintr", FROM_CALLS, W, .code = EINTR, .harmless = true, .once_only = true},
	{"read-eio", FROM_CALLS, CALL_BIT(CALL_READ), .code = EIO},
	{"read-short", FROM_CALLS, CALL_BIT(CALL_READ), .is_short = true, .harmless = true},
	{"sync-eio", FROM_CALLS, CALL_BIT(CALL_SYNC), .code = EIO},
	{"truncate-eio", FROM_CALLS, CALL_BIT(CALL_TRUNCATE), .code = EIO},
	{"allocate-enospc", FROM_CALLS, CALL_BIT(CALL_ALLOCATE), .code = ENOSPC},
	{"allocate-eio", FROM_CALLS, CALL_BIT(CALL_ALLOCATE), .code = EIO},
	{"allocate-none", FROM_CALLS, CALL_BIT(CALL_ALLOCATE), .code = EOPNOTSUPP},
	{"open-emfile", FROM_CALLS, CALL_BIT(CALL_OPEN), .code = EMFILE},
	{"open-enospc", FROM_CALLS, CALL_BIT(CALL_OPEN), .code = ENOSPC, .made = true},
	{"map-enomem", FROM_CALLS, CALL_BIT(CALL_MAP), .code = ENOMEM},
	{"name-eio", FROM_CALLS, NAMES, .code = EIO},
	{"malloc", FROM_MALLOC, 0, .code = LINKFS_ENOMEM, .deep = true},
	{"thread", FROM_THREADS, 0, .code = LINKFS_EAGAIN},
	{"sqlite-malloc", FROM_SQLITE, 0, .code = LINKFS_ENOMEM},
	{"db-eio", FROM_DB, FORWARD, .code = LINKFS_EIO, .deep = true},
	{"db-enospc", FROM_DB, FORWARD, .code = LINKFS_ENOSPC},
	{"db-enomem", FROM_DB, FORWARD, .code = LINKFS_ENOMEM},
	{"db-lose", FROM_DB, FORWARD, .code = LINKFS_EIO, .lose = true},
	{"db-any-eio", FROM_DB, LK_FAULT_ALL, .code = LINKFS_EIO},
	{"host-full", FROM_HOST, 0, .code = LINKFS_ENOSPC, .once_only = true},
	{0},
};

const struct kind kind_counting = {.name = "counting", .source = FROM_COUNTING, .harmless = true};
#define PLENTY (INT64_C(1) << 20) /* of blocks, for counting them */

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct point armed; /* under lock; kind NULL: nothing fails */
static atomic_bool is_armed;
static _Atomic uint64_t seen, hit, db_seen;
static int64_t host_least; /* when the last point was disarmed */
static _Atomic int64_t live_own, live_sqlite;
static int64_t clock_ns;
static struct lk_fault_plan plan;

static bool is_of(const struct kind *k, const struct call *call)
{
	return k->which & CALL_BIT(call->kind) && (!k->made || call->made) && !(k->is_short && call->len < 2);
}

static uint64_t counts[KINDS_MAX];

/* Counts the call for every kind that it is of. call NULL: not a system call. */
static void count_for_all(enum source source, const struct call *call)
{
	for (const struct kind *k = kinds; k->name; k++) {
		if (k->source == source && (!call || is_of(k, call)))
			counts[k - kinds]++;
	}
}

/* Whether this call, of those that count for source, fails. */
static bool fails(enum source source)
{
	if (!atomic_load_explicit(&is_armed, memory_order_relaxed))
		return false;
	(void)pthread_mutex_lock(&lock);
	bool yes = false;
	if (armed.kind == &kind_counting)
		count_for_all(source, NULL);
	if (armed.kind && armed.kind->source == source) {
		seen++;
		yes = armed.then ? seen >= armed.n : seen == armed.n;
		hit += yes;
	}
	(void)pthread_mutex_unlock(&lock);
	return yes;
}

void faults_arm(const struct point *point)
{
	(void)pthread_mutex_lock(&lock);
	armed = *point;
	seen = hit = db_seen = 0;
	(void)pthread_mutex_unlock(&lock);
	const struct kind *k = point->kind;
	if (k == &kind_counting) {
		memset(counts, 0, sizeof(counts));
		host_limit(PLENTY);
	}
	if (k && (k->source == FROM_DB || k == &kind_counting)) {
		plan = (struct lk_fault_plan){.which = k->source == FROM_DB ? k->which : LK_FAULT_ALL,
					      .n = point->n,
					      .code = k->code,
					      .all_later = point->then,
					      .lose = k->lose,
					      .counter = &hit,
					      .calls = &db_seen};
		if (lk_db_wrapped())
			lk_db_fault_plan(lk_db_wrapped(), &plan);
		else
			lk_db_wrap_plan(&plan);
	}
	if (k && k->source == FROM_HOST)
		host_limit((int64_t)point->n - 1);
	atomic_store(&is_armed, k != NULL);
}

/* The host stays as it is: its space comes back by deleting. */
void faults_disarm(void)
{
	atomic_store(&is_armed, false);
	lk_db_wrap_plan(NULL);
	(void)pthread_mutex_lock(&lock);
	if (armed.kind == &kind_counting)
		host_least = host_lowest();
	armed.kind = NULL;
	(void)pthread_mutex_unlock(&lock);
	if (lk_db_wrapped())
		lk_db_fault_plan(lk_db_wrapped(), NULL);
}

uint64_t faults_hit(void)
{
	return hit + host_refused();
}

void faults_counts(uint64_t out[KINDS_MAX])
{
	memcpy(out, counts, sizeof(counts));
	for (const struct kind *k = kinds; k->name; k++) {
		if (k->source ==
		    FROM_DB) /* the other calls are few: a point behind the last is found not to be reached */
			out[k - kinds] = db_seen;
		if (k->source == FROM_HOST)
			out[k - kinds] = (uint64_t)(PLENTY - host_least);
	}
}

/* ---- system calls --------------------------------------------------------------------------------------------------- */

static int before(void *arg, struct call *call)
{
	(void)arg;
	const struct kind *k = armed.kind;
	if (k == &kind_counting)
		count_for_all(FROM_CALLS, call);
	if (k && k->source == FROM_CALLS && is_of(k, call) && fails(FROM_CALLS)) {
		if (!k->is_short)
			return k->code;
		call->len = (call->len + 1) / 2;
	}
	int r = host_before(call);
	return !r && call->kind == CALL_SYNC ? CALL_PRETEND : r;
}

static void after(void *arg, const struct call *call, int64_t result, int error)
{
	(void)arg;
	(void)error;
	host_after(call, result);
}

static const struct calls_hooks hooks = {
	.kinds = (1u << CALL_KINDS) - 1,
	.before = before,
	.after = after,
};

void faults_watch(const char *dir)
{
	calls_watch(dir, &hooks);
}

void faults_unwatch(void)
{
	calls_unwatch();
}

int __real_fstatvfs(int fd, struct statvfs *out);
int __wrap_fstatvfs(int fd, struct statvfs *out);
int __wrap_fstatvfs(int fd, struct statvfs *out)
{
	int r = __real_fstatvfs(fd, out);
	if (r == 0 && host_left() >= 0) {
		out->f_frsize = out->f_bsize = 4096;
		out->f_bavail = out->f_bfree = (fsblkcnt_t)host_left();
	}
	return r;
}

/* ---- memory ------------------------------------------------------------------------------------------------------------- */

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *old, size_t size);
void *__real_reallocarray(void *old, size_t count, size_t size);
void __real_free(void *p);
char *__real_strdup(const char *text);
char *__real_realpath(const char *path, char *out);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *old, size_t size);
void *__wrap_reallocarray(void *old, size_t number, size_t size);
void __wrap_free(void *p);
char *__wrap_strdup(const char *text);
char *__wrap_realpath(const char *path, char *out);

static bool no_memory(void)
{
	if (!fails(FROM_MALLOC))
		return false;
	errno = ENOMEM;
	return true;
}

static void *count(void *p)
{
	live_own += p != NULL;
	return p;
}

void *__wrap_malloc(size_t size)
{
	return no_memory() ? NULL : count(__real_malloc(size));
}

void *__wrap_calloc(size_t number, size_t size)
{
	return no_memory() ? NULL : count(__real_calloc(number, size));
}

void *__wrap_realloc(void *old, size_t size)
{
	if (no_memory())
		return NULL;
	void *p = __real_realloc(old, size);
	live_own += p && !old;
	return p;
}

void *__wrap_reallocarray(void *old, size_t number, size_t size)
{
	if (no_memory())
		return NULL;
	void *p = __real_reallocarray(old, number, size);
	live_own += p && !old;
	return p;
}

void __wrap_free(void *p)
{
	live_own -= p != NULL;
	__real_free(p);
}

char *__wrap_strdup(const char *text)
{
	return no_memory() ? NULL : count(__real_strdup(text));
}

char *__wrap_realpath(const char *path, char *out)
{
	if (out)
		return __real_realpath(path, out);
	return no_memory() ? NULL : count(__real_realpath(path, out));
}

/* What linkfs asks of the threads' library (SQLite's own calls are not wrapped). */
int __real_pthread_create(pthread_t *out, const pthread_attr_t *attr, void *(*run)(void *), void *arg);
int __real_pthread_mutex_init(pthread_mutex_t *out, const pthread_mutexattr_t *attr);
int __real_pthread_cond_init(pthread_cond_t *out, const pthread_condattr_t *attr);
int __real_pthread_condattr_init(pthread_condattr_t *out);
int __wrap_pthread_create(pthread_t *out, const pthread_attr_t *attr, void *(*run)(void *), void *arg);
int __wrap_pthread_mutex_init(pthread_mutex_t *out, const pthread_mutexattr_t *attr);
int __wrap_pthread_cond_init(pthread_cond_t *out, const pthread_condattr_t *attr);
int __wrap_pthread_condattr_init(pthread_condattr_t *out);

int __wrap_pthread_create(pthread_t *out, const pthread_attr_t *attr, void *(*run)(void *), void *arg)
{
	return fails(FROM_THREADS) ? EAGAIN : __real_pthread_create(out, attr, run, arg);
}

int __wrap_pthread_mutex_init(pthread_mutex_t *out, const pthread_mutexattr_t *attr)
{
	return fails(FROM_THREADS) ? EAGAIN : __real_pthread_mutex_init(out, attr);
}

int __wrap_pthread_cond_init(pthread_cond_t *out, const pthread_condattr_t *attr)
{
	return fails(FROM_THREADS) ? EAGAIN : __real_pthread_cond_init(out, attr);
}

int __wrap_pthread_condattr_init(pthread_condattr_t *out)
{
	return fails(FROM_THREADS) ? ENOMEM : __real_pthread_condattr_init(out);
}

static sqlite3_mem_methods below;

static void *sqlite_malloc(int size)
{
	void *p = fails(FROM_SQLITE) ? NULL : below.xMalloc(size);
	live_sqlite += p != NULL;
	return p;
}

static void *sqlite_realloc(void *old, int size)
{
	void *p = fails(FROM_SQLITE) ? NULL : below.xRealloc(old, size);
	live_sqlite += p && !old;
	return p;
}

static void sqlite_free(void *p)
{
	live_sqlite -= p != NULL;
	below.xFree(p);
}

void faults_init(void)
{
	sqlite3_mem_methods ours;
	if (sqlite3_config(SQLITE_CONFIG_GETMALLOC, &below) != SQLITE_OK)
		abort();
	ours = below;
	ours.xMalloc = sqlite_malloc;
	ours.xRealloc = sqlite_realloc;
	ours.xFree = sqlite_free;
	if (sqlite3_config(SQLITE_CONFIG_MALLOC, &ours) != SQLITE_OK || sqlite3_initialize() != SQLITE_OK)
		abort();
}

int64_t faults_live_own(void)
{
	return live_own;
}

int64_t faults_live_sqlite(void)
{
	return live_sqlite;
}

/* ---- time ------------------------------------------------------------------------------------------------------------------ */

int64_t __wrap_lk_clock_now_ns(void);
int64_t __wrap_lk_clock_now_ns(void)
{
	return clock_ns;
}

void faults_clock(int64_t ns)
{
	clock_ns = ns;
}
