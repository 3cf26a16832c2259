/*
 * db_sqlite.h - what the files of the SQLite engine share. Nobody else includes it.
 * Layer: store. db_sqlite.c holds life and transactions, _open.c settings and the schema's proof, _sql.c the SQL text,
 * _row.c records in and out, _space.c the reserve and checkpoints, _verify.c what check/ needs; wal_scan.c looks at what a
 * crash left; vfs_sum.c is the file layer below SQLite.
 *
 * Locks: everything is the caller's (one thread at a time) but side and what syncs the log, which have locks of their own.
 */
#ifndef LK_DB_SQLITE_H
#define LK_DB_SQLITE_H

#include "db.h"
#include "vfs_sum.h"

#include <pthread.h>
#include <sqlite3.h>
#include <stdatomic.h>

#define LK_DB_FILE "meta.db"
#define LK_DB_CACHE_KIB 65536
#define LK_DB_BUSY_MS 10000
#define LK_DB_READER_BUSY_MS 1000
#define LK_WAL_TURN (UINT64_C(1) << 32) /* what wal_end counts by when the WAL begins anew */

enum lk_control {
	LK_SQL_BEGIN,
	LK_SQL_COMMIT,
	LK_SQL_ROLLBACK,
	LK_SQL_SAVEPOINT,
	LK_SQL_RELEASE,
	LK_SQL_UNDO,
	LK_SQL_PAGE_COUNT,
	LK_SQL_FREE_COUNT,
	LK_SQL_CONTROL_COUNT,
};

enum lk_operation {
	LK_SQL_GET,
	LK_SQL_PUT,
	LK_SQL_INSERT,
	LK_SQL_ERASE,
	LK_SQL_CLEAR,
	LK_SQL_NTH,
	LK_SQL_OPERATION_COUNT
};

/* A prepared scan; the shape is everything that changes the SQL text. */
struct lk_scan_stmt {
	uint64_t shape;
	uint32_t selected; /* bit per column of the table */
	sqlite3_stmt *stmt;
	struct lk_scan_stmt *next;
};

struct lk_walk;

struct lk_among {
	const int64_t *keys;
	uint32_t count;
};

struct lk_sqlite {
	struct lk_db base;
	sqlite3 *handle;
	char *path; /* of meta.db */
	sqlite3_stmt *control[LK_SQL_CONTROL_COUNT];
	sqlite3_stmt *operation[LK_T_COUNT][LK_SQL_OPERATION_COUNT];
	struct lk_scan_stmt *scans[LK_T_COUNT];
	struct lk_walk *walk;  /* the scan that is under way */
	struct lk_among among; /* and the numbers it asks for */
	bool read_only;
	bool lacks_late;     /* a reader of a volume without the late tables: they have no rows */
	bool exclusive;      /* the host has no shared memory: one connection only */
	bool in_transaction; /* between begin and commit or rollback */
	bool lost;           /* in_transaction, but SQLite has rolled it back by itself */

	pthread_mutex_t side_lock;
	sqlite3 *side; /* the checkpointer's connection */
	struct lk_space side_space;
	/* Where the WAL ended when the newest commit was over, and up to where all is known to be in the database: how often it has begun
	 * anew, in the upper half, and frames. */
	atomic_uint_fast64_t wal_end, wal_copied;

	pthread_mutex_t sync_lock;
	bool unsynced; /* a sync of the log failed: none tells the truth from then on */

	struct lk_space space;
	uint64_t dirty;   /* bound of the pages this transaction has changed */
	bool tight;       /* a reservation failed: the next empty WAL gives back what it can */
	uint64_t db_room; /* pages the database can take at least before its counts must be looked at again */
};

/* _sql.c: SQL text, appended to *out and NUL-terminated. */
int lk_sql_create_table(struct lk_buf *out, const struct lk_table *table);
int lk_sql_create_index(struct lk_buf *out, const struct lk_table *table, const struct lk_index *index);
int lk_sql_operation(struct lk_buf *out, const struct lk_table *table, enum lk_operation operation);
/* A statement that calls LK_SQL_ROW_FUNCTION with the columns of each row, and gives a row of its own where that says 1.
 * At most one ranged column: a tuple's range is walked in parts (db_sqlite_row.c). */
#define LK_SQL_ROW_FUNCTION "linkfs_row"
#define LK_SQL_KEYS "linkfs_keys" /* the table of a scan's among, and its column */
#define LK_SQL_KEY "linkfs_key"
int lk_sql_scan(struct lk_buf *out, const struct lk_scan *scan);
/* Whether a scan's rows have this column: not what a covering index lacks, nor integers that scan->from says already. */
bool lk_sql_selected(const struct lk_scan *scan, uint8_t column);

/* _open.c */
/* flags: LK_DB_... and this: a reader of media that nobody can write, without locks and WAL. */
#define LK_DB_IMMUTABLE 0x80000000u
int lk_sqlite_connect(const char *path, uint32_t flags, struct lk_space *space, sqlite3 **out,
		      struct linkfs_message *why);
int lk_sqlite_tune(sqlite3 *handle, bool read_only);
int lk_sqlite_create_schema(sqlite3 *handle, struct linkfs_message *why);
int lk_sqlite_check_header(sqlite3 *handle, struct linkfs_message *why);
/* *lacks_out: tables are missing that the first volumes did not have (lk_table_late()). */
int lk_sqlite_check_schema(sqlite3 *handle, bool *lacks_out, struct linkfs_message *why);
/* Makes them. */
int lk_sqlite_add_late(sqlite3 *handle);

/* db_sqlite.c */
/* The one place where SQLite's codes become ours. */
int lk_sqlite_error(int code);
int lk_sqlite_prepare(sqlite3 *handle, const char *sql, sqlite3_stmt **out);
int lk_sqlite_exec(sqlite3 *handle, const char *sql);
int lk_sqlite_integer(sqlite3 *handle, const char *sql, int64_t *out);
int lk_sqlite_control_stmt(struct lk_sqlite *db, enum lk_control control, sqlite3_stmt **out);
int lk_sqlite_control(struct lk_sqlite *db, enum lk_control control);
/* After a failed call: notices a transaction that SQLite took back, and maps the code. */
int lk_sqlite_failed(struct lk_sqlite *db, int code);

/* wal_scan.c: of a WAL that a crash left, before the first connection. LINKFS_ECORRUPT when recovery would lose what was
 * durable. */
int lk_wal_scan(const char *path, bool read_only, struct linkfs_message *why);

/* _row.c */
int lk_sqlite_get(struct lk_db *base, const struct lk_table *table, const void *key, void *record,
		  struct lk_buf *bytes);
int lk_sqlite_put(struct lk_db *base, const struct lk_table *table, const void *record);
int lk_sqlite_insert(struct lk_db *base, const struct lk_table *table, const void *record);
int lk_sqlite_erase(struct lk_db *base, const struct lk_table *table, const void *key);
/* Gives a connection LK_SQL_ROW_FUNCTION; *walk is the scan that it serves. */
int lk_sqlite_row_function(sqlite3 *handle, struct lk_walk **walk);
/* And LK_SQL_KEYS (_keys.c). */
int lk_sqlite_keys(sqlite3 *handle, struct lk_among *among);
int lk_sqlite_scan(struct lk_db *base, const struct lk_scan *scan, lk_row_fn *fn, void *arg);
int lk_sqlite_clear(struct lk_db *base, const struct lk_table *table, const void *from, int64_t to, uint32_t *rows_out);
int lk_sqlite_nth(struct lk_db *base, const struct lk_table *table, const void *from, uint32_t n, int64_t *second_out);
void lk_sqlite_finalize(struct lk_sqlite *db);

/* _space.c */
int lk_sqlite_reserve(struct lk_db *base, uint32_t pages, bool freeing);
int lk_sqlite_checkpoint(struct lk_db *base, bool slice);
int lk_sqlite_usage(struct lk_db *base, struct lk_db_usage *out);
int lk_sqlite_empty_wal(struct lk_sqlite *db);
/* Before a transaction: a WAL of which all is in the database begins anew. */
void lk_sqlite_begin_wal(struct lk_sqlite *db);
/* For sqlite3_wal_hook(3) of the owner's connection; arg: struct lk_sqlite. */
int lk_sqlite_committed(void *arg, sqlite3 *handle, const char *name, int frames);
int lk_sqlite_make_files(struct lk_sqlite *db, bool create);
int lk_sqlite_scan_wal(const struct lk_sqlite *db, struct linkfs_message *why);
/* Whether the WAL holds nothing, so that the database alone is the whole state. */
bool lk_sqlite_wal_is_empty(const struct lk_sqlite *db);
/* A sync of the log has failed; one that is under way is waited for. */
bool lk_sqlite_log_failed(struct lk_sqlite *db);
int lk_sqlite_space_open(struct lk_sqlite *db);
void lk_sqlite_space_close(struct lk_sqlite *db, uint64_t pages);

/* _verify.c */
int lk_sqlite_verify(struct lk_db *base, lk_db_finding_fn *fn, void *arg);
int lk_sqlite_rebuild(struct lk_db *base, const struct lk_table *table);
int lk_sqlite_copy(struct lk_db *base, const char *path);

static inline struct lk_sqlite *lk_sqlite_of(struct lk_db *base)
{
	return (struct lk_sqlite *)(void *)base; /* base is the first member */
}

#endif
