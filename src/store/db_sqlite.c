/*
 * db_sqlite.c - the metadata engine over SQLite: life, transactions, error codes.
 * Layer: store. The owner's connection is the only writer; it keeps its statements prepared for good.
 *
 * SQLite takes a whole transaction back by itself after some errors (a failed write or allocation). lk_sqlite_failed()
 * notices: the database is then "lost", every call fails, and only rollback() leads on, so that the caller's idea of
 * what stands and the database's never part.
 */
#include "db_sqlite.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int lk_sqlite_error(int code)
{
	switch (code) {
	case SQLITE_OK:
	case SQLITE_ROW:
	case SQLITE_DONE:
		return 0;
	case SQLITE_IOERR_NOMEM:
		return LINKFS_ENOMEM;
	case LK_SQLITE_BAD_READ:
		return LINKFS_EIO;
	default:
		break;
	}
	switch (code & 0xff) {
	case SQLITE_FULL:
		return LINKFS_ENOSPC;
	case SQLITE_CORRUPT:
	case SQLITE_NOTADB:
	case SQLITE_SCHEMA:
	case SQLITE_TOOBIG: /* of a row: we write none that large */
		return LINKFS_ECORRUPT;
	case SQLITE_NOMEM:
		return LINKFS_ENOMEM;
	case SQLITE_READONLY:
		return LINKFS_EROFS;
	case SQLITE_CONSTRAINT:
		return code == SQLITE_CONSTRAINT_PRIMARYKEY || code == SQLITE_CONSTRAINT_ROWID ? LINKFS_EEXIST
											       : LINKFS_EINVAL;
	case SQLITE_BUSY:
	case SQLITE_LOCKED:
		return LINKFS_EBUSY;
	case SQLITE_PERM:
	case SQLITE_AUTH:
		return LINKFS_EACCES;
	case SQLITE_MISUSE:
	case SQLITE_RANGE:
	case SQLITE_MISMATCH:
		return LINKFS_EINVAL;
	default:
		return LINKFS_EIO;
	}
}

int lk_sqlite_prepare(sqlite3 *handle, const char *sql, sqlite3_stmt **out)
{
	return lk_sqlite_error(sqlite3_prepare_v3(handle, sql, -1, SQLITE_PREPARE_PERSISTENT, out, NULL));
}

int lk_sqlite_exec(sqlite3 *handle, const char *sql)
{
	return lk_sqlite_error(sqlite3_exec(handle, sql, NULL, NULL, NULL));
}

int lk_sqlite_integer(sqlite3 *handle, const char *sql, int64_t *out)
{
	sqlite3_stmt *stmt;
	int code = sqlite3_prepare_v2(handle, sql, -1, &stmt, NULL);
	if (code)
		return lk_sqlite_error(code);
	code = sqlite3_step(stmt);
	if (code == SQLITE_ROW)
		*out = sqlite3_column_int64(stmt, 0);
	int end = sqlite3_finalize(stmt);
	if (code == SQLITE_ROW)
		return 0;
	return end ? lk_sqlite_error(end) : LINKFS_ECORRUPT;
}

int lk_sqlite_control_stmt(struct lk_sqlite *db, enum lk_control control, sqlite3_stmt **out)
{
	static const char *const texts[LK_SQL_CONTROL_COUNT] = {
		[LK_SQL_BEGIN] = "BEGIN",
		[LK_SQL_COMMIT] = "COMMIT",
		[LK_SQL_ROLLBACK] = "ROLLBACK",
		[LK_SQL_SAVEPOINT] = "SAVEPOINT op",
		[LK_SQL_RELEASE] = "RELEASE op",
		[LK_SQL_UNDO] = "ROLLBACK TO op",
		[LK_SQL_PAGE_COUNT] = "PRAGMA page_count",
		[LK_SQL_FREE_COUNT] = "PRAGMA freelist_count",
	};
	if (!db->control[control]) {
		int r = lk_sqlite_prepare(db->handle, texts[control], &db->control[control]);
		if (r)
			return r;
	}
	*out = db->control[control];
	return 0;
}

int lk_sqlite_control(struct lk_sqlite *db, enum lk_control control)
{
	sqlite3_stmt *stmt;
	int r = lk_sqlite_control_stmt(db, control, &stmt);
	if (r)
		return r;
	int code = sqlite3_step(stmt);
	(void)sqlite3_reset(stmt);
	return code == SQLITE_DONE ? 0 : lk_sqlite_failed(db, code);
}

int lk_sqlite_failed(struct lk_sqlite *db, int code)
{
	if (db->in_transaction && sqlite3_get_autocommit(db->handle))
		db->lost = true;
	int r = lk_sqlite_error(code);
	return r ? r : LINKFS_EIO;
}

static int begin(struct lk_db *base)
{
	struct lk_sqlite *db = lk_sqlite_of(base);
	if (db->in_transaction)
		return LINKFS_EINVAL;
	/* The way back must not fail for lack of memory. */
	sqlite3_stmt *way_back;
	int r = lk_sqlite_control_stmt(db, LK_SQL_ROLLBACK, &way_back);
	if (!r)
		lk_sqlite_begin_wal(db);
	if (!r)
		r = lk_sqlite_control(db, LK_SQL_BEGIN);
	if (!r)
		db->in_transaction = true;
	return r;
}

static int rollback(struct lk_db *base)
{
	struct lk_sqlite *db = lk_sqlite_of(base);
	if (!db->in_transaction)
		return 0;
	int r = sqlite3_get_autocommit(db->handle) ? 0 : lk_sqlite_control(db, LK_SQL_ROLLBACK);
	/* SQLite has the transaction still: nobody may read half of it. */
	db->lost = r && !sqlite3_get_autocommit(db->handle);
	if (db->lost)
		return r;
	db->in_transaction = false;
	db->dirty = 0;
	db->db_room = 0;
	return 0;
}

static int commit_written(struct lk_db *base)
{
	struct lk_sqlite *db = lk_sqlite_of(base);
	if (!db->in_transaction)
		return LINKFS_EINVAL;
	if (db->lost)
		return LINKFS_EIO;
	int r = lk_sqlite_control(db, LK_SQL_COMMIT);
	if (!r) {
		db->in_transaction = false;
		db->dirty = 0;
	}
	return r;
}

bool lk_sqlite_log_failed(struct lk_sqlite *db)
{
	(void)pthread_mutex_lock(&db->sync_lock);
	bool failed = db->unsynced;
	(void)pthread_mutex_unlock(&db->sync_lock);
	return failed;
}

/* SQLite leaves the syncs of commits to us (synchronous=NORMAL); those of a log that begins anew and of checkpoints are its own. */
static int sync_log(struct lk_db *base)
{
	struct lk_sqlite *db = lk_sqlite_of(base);
	/* One at a time: of two the host tells one that something could not be written. */
	(void)pthread_mutex_lock(&db->sync_lock);
	if (!db->unsynced)
		db->unsynced = fdatasync(db->space.wal_fd) != 0;
	int r = db->unsynced ? LINKFS_EIO : 0;
	(void)pthread_mutex_unlock(&db->sync_lock);
	return r;
}

static int commit(struct lk_db *base)
{
	int r = commit_written(base);
	return r || lk_sqlite_of(base)->read_only ? r : sync_log(base);
}

static int inside(struct lk_db *base, enum lk_control control)
{
	struct lk_sqlite *db = lk_sqlite_of(base);
	if (!db->in_transaction)
		return LINKFS_EINVAL;
	return db->lost ? LINKFS_EIO : lk_sqlite_control(db, control);
}

static int savepoint(struct lk_db *base)
{
	return inside(base, LK_SQL_SAVEPOINT);
}

static int release(struct lk_db *base)
{
	return inside(base, LK_SQL_RELEASE);
}

static int undo(struct lk_db *base)
{
	int r = inside(base, LK_SQL_UNDO);
	return r ? r : inside(base, LK_SQL_RELEASE);
}

static void close_db(struct lk_db *base)
{
	struct lk_sqlite *db = lk_sqlite_of(base);
	struct lk_db_usage usage = {0};
	if (db->handle && db->space.db_fd >= 0) {
		(void)rollback(base);
		(void)lk_sqlite_usage(base, &usage);
	}
	lk_sqlite_finalize(db);
	(void)sqlite3_close_v2(db->side);
	(void)sqlite3_close_v2(db->handle);
	lk_sqlite_space_close(db, usage.pages);
	pthread_mutex_destroy(&db->side_lock);
	pthread_mutex_destroy(&db->sync_lock);
	free(db->path);
	free(db);
}

static const struct lk_db_ops ops = {
	.close = close_db,
	.get = lk_sqlite_get,
	.put = lk_sqlite_put,
	.insert = lk_sqlite_insert,
	.erase = lk_sqlite_erase,
	.scan = lk_sqlite_scan,
	.clear = lk_sqlite_clear,
	.nth = lk_sqlite_nth,
	.begin = begin,
	.commit = commit,
	.write = commit_written,
	.sync = sync_log,
	.rollback = rollback,
	.savepoint = savepoint,
	.release = release,
	.undo = undo,
	.reserve = lk_sqlite_reserve,
	.checkpoint = lk_sqlite_checkpoint,
	.usage = lk_sqlite_usage,
	.verify = lk_sqlite_verify,
	.rebuild = lk_sqlite_rebuild,
	.copy = lk_sqlite_copy,
};

/* The absolute path of meta.db, symlinks resolved: SQLite is told to follow none. */
static int find_file(const char *dir, bool create, char **out, struct linkfs_message *why)
{
	char *real = realpath(dir, NULL);
	if (!real)
		return lk_fail(why, linkfs_from_errno(errno), "%s: %s", dir, strerror(errno));
	size_t len = strlen(real);
	char *path = malloc(len + sizeof("/" LK_DB_FILE));
	if (path) {
		memcpy(path, real, len);
		memcpy(path + len, "/" LK_DB_FILE, sizeof("/" LK_DB_FILE));
	}
	free(real);
	if (!path)
		return LINKFS_ENOMEM;
	struct stat st;
	int r = 0;
	if (lstat(path, &st)) {
		int error = errno;
		if (error == ENOENT && !create)
			r = lk_fail(why, LINKFS_ENOTVOLUME, "%s is not a linkfs volume: it has no %s", dir, LK_DB_FILE);
		else if (error != ENOENT)
			r = lk_fail(why, linkfs_from_errno(error), "%s: %s", path, strerror(error));
	} else if (create) {
		r = lk_fail(why, LINKFS_EEXIST, "%s is there already", path);
	} else if (!S_ISREG(st.st_mode)) {
		r = lk_fail(why, LINKFS_ENOTVOLUME, "%s is not a regular file", path);
	}
	if (r)
		free(path);
	else
		*out = path;
	return r;
}

/* What SQLite opens beside meta.db, before it does: a pipe would stop it, and a rollback journal, which a volume that was once
 * whole never has, would be played back before anything is compared. */
static int check_beside(const char *path, struct linkfs_message *why)
{
	static const char *const suffixes[] = {"-wal", "-shm", "-journal"};
	for (size_t i = 0; i < LK_ARRAY_LEN(suffixes); i++) {
		char name[PATH_MAX];
		struct stat st;
		int n = snprintf(name, sizeof(name), "%s%s", path, suffixes[i]);
		if (n < 0 || (size_t)n >= sizeof(name))
			return LINKFS_ENAMETOOLONG;
		if (lstat(name, &st))
			continue;
		if (i == 2)
			return lk_fail(why, LINKFS_ENOTVOLUME,
				       "%s is there: the volume was never wholly made (make it again), or another "
				       "program changed it",
				       name);
		/* A directory in the index's place is harmless: the volume does without (T5). */
		if (!S_ISREG(st.st_mode) && !(i == 1 && S_ISDIR(st.st_mode)))
			return lk_fail(why, LINKFS_ENOTVOLUME, "%s is not a regular file", name);
	}
	return 0;
}

static int connect_and_check(struct lk_sqlite *db, uint32_t flags, struct linkfs_message *why)
{
	int r = lk_sqlite_connect(db->path, flags, db->read_only ? NULL : &db->space, &db->handle, why);
	if (!r && db->exclusive)
		r = lk_sqlite_exec(db->handle, "PRAGMA locking_mode=EXCLUSIVE");
	if (!r && flags & LK_DB_CREATE)
		r = lk_sqlite_create_schema(db->handle, why);
	if (!r)
		r = lk_sqlite_check_header(db->handle, why);
	if (!r)
		r = lk_sqlite_check_schema(db->handle, &db->lacks_late, why);
	/* Again: that read has rolled a journal back, if the making of the volume left one. */
	if (!r)
		r = lk_sqlite_check_header(db->handle, why);
	/* Whether we can write, for SQLite reads without the WAL index where it must. */
	if (!r && !db->read_only)
		r = lk_sqlite_exec(db->handle, "BEGIN IMMEDIATE; ROLLBACK");
	/* Where there is no room for them the volume is as good without. */
	if (!r && !db->read_only && db->lacks_late)
		db->lacks_late = lk_sqlite_add_late(db->handle) != 0;
	return r;
}

/* The WAL index could not be made or mapped: no shared mappings (T5), or no room for its 32 KiB. */
static bool lacks_shared_memory(sqlite3 *handle)
{
	int code = handle ? sqlite3_extended_errcode(handle) : SQLITE_OK;
	switch (code) {
	case SQLITE_IOERR_SHMOPEN:
	case SQLITE_IOERR_SHMSIZE:
	case SQLITE_IOERR_SHMLOCK:
	case SQLITE_IOERR_SHMMAP:
		return true;
	default:
		/* The database itself was opened for writing. */
		return (code & 0xff) == SQLITE_CANTOPEN || (code & 0xff) == SQLITE_READONLY;
	}
}

static int start(struct lk_sqlite *db, uint32_t flags, struct linkfs_message *why)
{
	int r = db->read_only ? 0 : lk_sqlite_make_files(db, flags & LK_DB_CREATE);
	if (!r && !(flags & LK_DB_CREATE))
		r = lk_sqlite_scan_wal(db, why);
	if (!r)
		r = connect_and_check(db, flags, why);
	if (r && lacks_shared_memory(db->handle)) {
		if (db->read_only && !lk_sqlite_wal_is_empty(db))
			return lk_fail(
				why, LINKFS_EROFS,
				"%s was not closed properly, and cannot be recovered where nothing can be written",
				db->path);
		(void)sqlite3_close_v2(db->handle);
		db->handle = NULL;
		db->exclusive = !db->read_only;
		int first = flags & LK_DB_CREATE ? r : 0;
		flags &= ~LK_DB_CREATE;
		r = connect_and_check(db, db->read_only ? flags | LK_DB_IMMUTABLE : flags, why);
		/* That what was to be made is not there is no news: the first try says why. */
		if (first && (r == LINKFS_ENOTVOLUME || r == LINKFS_ESCHEMA)) {
			if (why)
				why->text[0] = 0;
			r = first;
		}
	}
	if (!r)
		r = lk_sqlite_tune(db->handle, db->read_only);
	if (!r)
		r = lk_sqlite_row_function(db->handle, &db->walk);
	if (!r)
		r = lk_sqlite_keys(db->handle, &db->among);
	if (r || db->read_only)
		return r;
	/* There may be what a crash left in the WAL; an error is met again where it matters. */
	atomic_store(&db->wal_end, LK_WAL_TURN);
	(void)sqlite3_wal_hook(db->handle, lk_sqlite_committed, db);
	(void)lk_sqlite_empty_wal(db);
	return lk_sqlite_space_open(db);
}

int lk_db_open_sqlite(const char *dir, uint32_t flags, struct lk_db **out, struct linkfs_message *why)
{
	bool create = flags & LK_DB_CREATE;
	struct lk_sqlite *db = calloc(1, sizeof(*db));
	if (!db)
		return LINKFS_ENOMEM;
	db->base.ops = &ops;
	db->space.wal_fd = db->space.db_fd = db->space.shm_fd = -1;
	db->side_space = db->space;
	db->read_only = flags & LK_DB_READONLY;
	if (pthread_mutex_init(&db->side_lock, NULL) || pthread_mutex_init(&db->sync_lock, NULL)) {
		free(db);
		return LINKFS_ENOMEM;
	}
	if (why)
		why->text[0] = 0;
	int r = find_file(dir, create, &db->path, why);
	if (!r)
		r = check_beside(db->path, why);
	if (!r)
		r = start(db, flags, why);
	if (r) {
		if (why && !why->text[0])
			(void)lk_fail(why, r, "%s/%s: %s", dir, LK_DB_FILE, linkfs_strerror(r));
		close_db(&db->base);
		return r;
	}
	*out = &db->base;
	return 0;
}
