/*
 * db.h - the metadata engine's contract: typed records by key, ordered scans, transactions. Nothing of SQL shows.
 * Layer: store. db_sqlite.c implements it; tests wrap it with a fault injector; a server engine comes later (L1).
 *
 * Records are the structs of schema.h, addressed by their table's descriptor. A database is used by one thread at a
 * time (the owner's metadata lock sees to that); lk_db_checkpoint() may run beside it.
 *
 * Errors are LINKFS codes: LINKFS_ENOENT (no such row), LINKFS_EEXIST, LINKFS_ENOSPC, LINKFS_EIO, LINKFS_ECORRUPT (a
 * page's checksum, a row of the wrong type, SQLite's own finding), LINKFS_ENOMEM.
 */
#ifndef LK_DB_H
#define LK_DB_H

#include "schema.h"

struct lk_db;

/* Which rows: those whose first equal columns (in key order, or in the order of the index) equal those in from, and
 * whose next ranged columns, compared together as one tuple, come after from's (or are equal, unless exclusive).
 * With among, equal is 1 and ranged 0: the first column, an integer, is one of those numbers instead of from's; rows come number by number
 * as they stand there, in order within one. That costs a third of a scan for each.
 * Ascending; with reverse, descending and "come before". limit 0: all. keys_only: the record's other columns are 0 and empty, but for those
 * in also (bits, by their position in the table). */
struct lk_scan {
	const struct lk_table *table;
	int index; /* position in table->indexes, or LK_BY_KEY */
	uint8_t equal, ranged;
	bool exclusive, reverse, keys_only;
	const void *from;
	uint32_t limit;
	uint32_t also;
	const int64_t *among;
	uint32_t among_count;
};
#define LK_BY_KEY (-1)

/* Called for each row; bytes are valid during the call only. It must not use the database. 0 goes on, a positive value
 * stops the scan (which then returns 0), a negative one stops it and is returned. Through a covering index the record's
 * columns that are neither the index's nor the key's are 0 and empty. */
typedef int lk_row_fn(void *arg, const void *record);

struct lk_db_usage {
	uint64_t pages, free_pages; /* of the database file */
	uint32_t page_size;
	uint64_t wal_bytes; /* used part of the WAL */
	bool readers;       /* others can read beside this connection (T5) */
};

/* What the engine found wrong with its own keeping. */
struct lk_db_finding {
	const struct lk_table *table; /* NULL: none can be told */
	bool index_only;              /* the table's rows are whole, an index of it differs: rebuild() mends that */
	const char *text;             /* the engine's words; valid during the call */
};
/* 0 goes on; a negative value stops and is returned. It must not use the database. */
typedef int lk_db_finding_fn(void *arg, const struct lk_db_finding *finding);

#define LK_DB_RESERVE_PAGES 256u

struct lk_db_ops {
	void (*close)(struct lk_db *db);
	/* key: a record whose key columns are set. Fills *record; bytes are copied into *bytes (appended to it) and stay
	 * valid until that buffer is changed. bytes NULL: byte columns come back with p NULL and their length. */
	int (*get)(struct lk_db *db, const struct lk_table *table, const void *key, void *record, struct lk_buf *bytes);
	int (*put)(struct lk_db *db, const struct lk_table *table, const void *record);    /* insert or replace */
	int (*insert)(struct lk_db *db, const struct lk_table *table, const void *record); /* LINKFS_EEXIST */
	int (*erase)(struct lk_db *db, const struct lk_table *table, const void *key);     /* LINKFS_ENOENT */
	int (*scan)(struct lk_db *db, const struct lk_scan *scan, lk_row_fn *fn, void *arg);
	/* Erases the rows whose first key column is from's and whose second, an integer, is at most to, unseen. LINKFS_EINVAL where the key
	 * has no such second column. */
	int (*clear)(struct lk_db *db, const struct lk_table *table, const void *from, int64_t to, uint32_t *rows_out);
	/* The second key column, an integer, of row number n, from 0, of those whose first is from's. LINKFS_ENOENT: they are fewer. */
	int (*nth)(struct lk_db *db, const struct lk_table *table, const void *from, uint32_t n, int64_t *second_out);

	/* A transaction: reads see one state, writes need one (else LINKFS_EINVAL). After some failures (EIO, ENOMEM, ENOSPC
	 * of a call in it) it is gone already: every later call but rollback() is then LINKFS_EIO. Likewise a failed commit
	 * leaves only rollback(), which is harmless without a transaction. */
	int (*begin)(struct lk_db *db);
	int (*commit)(struct lk_db *db); /* durable when it returns 0 */
	/* commit() in two: others of this process and beside it see what was written, and it is durable when a sync() that begins later
	 * returns 0. Any thread, beside the owner's calls; what is written before it returns may be durable or not. */
	int (*write)(struct lk_db *db);
	int (*sync)(struct lk_db *db);
	int (*rollback)(struct lk_db *db);
	/* One savepoint inside a transaction; they do not nest. */
	int (*savepoint)(struct lk_db *db);
	int (*release)(struct lk_db *db);
	int (*undo)(struct lk_db *db); /* back to the savepoint, which is gone then */

	/* T4: makes sure that the transaction can grow by up to pages more pages and still commit and checkpoint.
	 * freeing: the operation gives space back and may use the reserve of LK_DB_RESERVE_PAGES: what it asks for must
	 * be less, by the rows a commit adds. LINKFS_ENOSPC. */
	int (*reserve)(struct lk_db *db, uint32_t pages, bool freeing);
	/* Moves committed pages from the WAL into the database. Any thread; beside the owner's calls where the host
	 * allows it (T5), else LINKFS_EAGAIN and the owner calls it with its lock held (slice). */
	int (*checkpoint)(struct lk_db *db, bool slice);
	int (*usage)(struct lk_db *db, struct lk_db_usage *out);

	/* Reads every page in use and compares what the engine keeps with itself: checksums, trees, indexes with their tables,
	 * types of values. 0 when it came to an end, whatever it found. */
	int (*verify)(struct lk_db *db, lk_db_finding_fn *fn, void *arg);
	/* In a transaction: makes the table's indexes anew from its rows. */
	int (*rebuild)(struct lk_db *db, const struct lk_table *table);
	/* Copies the committed state to a new file, durably; it can take the database's place. LINKFS_EEXIST. */
	int (*copy)(struct lk_db *db, const char *path);
};

struct lk_db {
	const struct lk_db_ops *ops;
};

#define LK_DB_CREATE 1u   /* make the database with our schema; LINKFS_EEXIST if there is one */
#define LK_DB_READONLY 2u /* a reader of committed state beside the writer (T5), or of a volume on read-only media */
/* Opens meta.db in directory path. The schema is compared with ours before anything else runs: LINKFS_ENOTVOLUME,
 * LINKFS_ENEWER, LINKFS_ESCHEMA with why filled. */
int lk_db_open_sqlite(const char *dir, uint32_t flags, struct lk_db **out, struct linkfs_message *why);

/* See linkfs_sqlite_uncounted(). */
int lk_db_uncounted(void);

static inline void lk_db_close(struct lk_db *db)
{
	if (db)
		db->ops->close(db);
}
static inline int lk_db_get(struct lk_db *db, const struct lk_table *table, const void *key, void *record,
			    struct lk_buf *bytes)
{
	return db->ops->get(db, table, key, record, bytes);
}
static inline int lk_db_put(struct lk_db *db, const struct lk_table *table, const void *record)
{
	return db->ops->put(db, table, record);
}
static inline int lk_db_insert(struct lk_db *db, const struct lk_table *table, const void *record)
{
	return db->ops->insert(db, table, record);
}
static inline int lk_db_erase(struct lk_db *db, const struct lk_table *table, const void *key)
{
	return db->ops->erase(db, table, key);
}
static inline int lk_db_clear(struct lk_db *db, const struct lk_table *table, const void *from, int64_t to,
			      uint32_t *rows_out)
{
	return db->ops->clear(db, table, from, to, rows_out);
}
static inline int lk_db_nth(struct lk_db *db, const struct lk_table *table, const void *from, uint32_t n,
			    int64_t *second_out)
{
	return db->ops->nth(db, table, from, n, second_out);
}
static inline int lk_db_scan(struct lk_db *db, const struct lk_scan *scan, lk_row_fn *fn, void *arg)
{
	return db->ops->scan(db, scan, fn, arg);
}

#endif
