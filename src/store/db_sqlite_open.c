/*
 * db_sqlite_open.c - connections: defensive settings, and the proof that the database has our schema (V3, F5).
 * Layer: store. Nothing of the database runs before its header and every row of sqlite_schema have been compared with
 * what the descriptors say: no trigger, view, table, index or constraint but ours.
 */
#include "db_sqlite.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define HEADER_SIZE 100

static const struct {
	int id, value;
} limits[] = {
	{SQLITE_LIMIT_LENGTH, 1 << 20},
	{SQLITE_LIMIT_SQL_LENGTH, 1 << 14},
	{SQLITE_LIMIT_COLUMN, 2 * LK_COLUMNS_MAX},
	{SQLITE_LIMIT_EXPR_DEPTH, 32},
	{SQLITE_LIMIT_COMPOUND_SELECT, 2},
	{SQLITE_LIMIT_VDBE_OP, 100000},
	{SQLITE_LIMIT_FUNCTION_ARG, LK_COLUMNS_MAX}, /* a row of a scan */
	{SQLITE_LIMIT_ATTACHED, 0},
	{SQLITE_LIMIT_LIKE_PATTERN_LENGTH, 64},
	{SQLITE_LIMIT_VARIABLE_NUMBER, 64},
	{SQLITE_LIMIT_TRIGGER_DEPTH, 1},
	{SQLITE_LIMIT_WORKER_THREADS, 0},
};

static const struct {
	int id, on;
} switches[] = {
	{SQLITE_DBCONFIG_DEFENSIVE, 1},
	{SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0},
	{SQLITE_DBCONFIG_ENABLE_LOAD_EXTENSION, 0},
	{SQLITE_DBCONFIG_ENABLE_TRIGGER, 0},
	{SQLITE_DBCONFIG_ENABLE_VIEW, 0},
	{SQLITE_DBCONFIG_ENABLE_FKEY, 0},
	{SQLITE_DBCONFIG_ENABLE_FTS3_TOKENIZER, 0},
	{SQLITE_DBCONFIG_WRITABLE_SCHEMA, 0},
	{SQLITE_DBCONFIG_DQS_DDL, 0},
	{SQLITE_DBCONFIG_DQS_DML, 0},
};

/* A path as an SQLite URI: only what is surely harmless stays as it is. */
static int uri_of(const char *path, struct lk_buf *out)
{
	static const char safe[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/._-";
	int r = lk_buf_append(out, "file:", 5);
	for (const char *p = path; *p && !r; p++) {
		char hex[4];
		(void)snprintf(hex, sizeof(hex), "%%%02x", (unsigned)(unsigned char)*p);
		r = strchr(safe, *p) ? lk_buf_append(out, p, 1) : lk_buf_append(out, hex, 3);
	}
	return r ? r : lk_buf_append(out, "?immutable=1", sizeof("?immutable=1"));
}

static int open_handle(const char *path, uint32_t how, sqlite3 **out)
{
	int flags = SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_NOFOLLOW | SQLITE_OPEN_PRIVATECACHE | SQLITE_OPEN_EXRESCODE;
	flags |= how & LK_DB_READONLY ? SQLITE_OPEN_READONLY : SQLITE_OPEN_READWRITE;
	if (how & LK_DB_CREATE)
		flags |= SQLITE_OPEN_CREATE;
	const char *layer = lk_vfs_sum();
	if (!layer)
		return SQLITE_ERROR;
	if (!(how & LK_DB_IMMUTABLE))
		return sqlite3_open_v2(path, out, flags, layer);
	struct lk_buf uri = {0};
	int code = uri_of(path, &uri) ? SQLITE_NOMEM
				      : sqlite3_open_v2((const char *)uri.p, out, flags | SQLITE_OPEN_URI, layer);
	lk_buf_done(&uri);
	return code;
}

int lk_db_uncounted(void)
{
	/* Refused from the first use on. */
	return sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0) ? LINKFS_EBUSY : 0;
}

int lk_sqlite_connect(const char *path, uint32_t how, struct lk_space *space, sqlite3 **out, struct linkfs_message *why)
{
	sqlite3 *handle = NULL;
	int code = open_handle(path, how, &handle);
	for (size_t i = 0; i < LK_ARRAY_LEN(switches) && !code; i++)
		code = sqlite3_db_config(handle, switches[i].id, switches[i].on, (int *)NULL);
	if (!code)
		code = sqlite3_busy_timeout(handle, how & LK_DB_READONLY ? LK_DB_READER_BUSY_MS : LK_DB_BUSY_MS);
	if (!code && space)
		code = sqlite3_file_control(handle, "main", LK_FCNTL_SPACE, space);
	if (code) {
		int r = lk_fail(why, lk_sqlite_error(code), "%s: %s", path,
				handle ? sqlite3_errmsg(handle) : sqlite3_errstr(code));
		(void)sqlite3_close(handle);
		return r;
	}
	/* SQLite falls back to reading when the file cannot be written. */
	if (!(how & LK_DB_READONLY) && sqlite3_db_readonly(handle, "main") == 1) {
		(void)sqlite3_close(handle);
		return lk_fail(why, access(path, W_OK) && errno == EACCES ? LINKFS_EACCES : LINKFS_EROFS,
			       "%s cannot be written", path);
	}
	for (size_t i = 0; i < LK_ARRAY_LEN(limits); i++)
		(void)sqlite3_limit(handle, limits[i].id, limits[i].value);
	int r = lk_sqlite_exec(handle, "PRAGMA cell_size_check=ON; PRAGMA mmap_size=0; PRAGMA temp_store=MEMORY");
	if (r) {
		(void)sqlite3_close(handle);
		return r;
	}
	*out = handle;
	return 0;
}

int lk_sqlite_tune(sqlite3 *handle, bool read_only)
{
	char sql[200];
	(void)snprintf(sql, sizeof(sql),
		       "PRAGMA synchronous=NORMAL; PRAGMA secure_delete=OFF; PRAGMA wal_autocheckpoint=0;"
		       "PRAGMA cache_spill=OFF; PRAGMA cache_size=-%d; PRAGMA automatic_index=OFF",
		       LK_DB_CACHE_KIB);
	int r = lk_sqlite_exec(handle, sql);
	return !r && read_only ? lk_sqlite_exec(handle, "PRAGMA query_only=ON") : r;
}

/* What sqlite_schema must hold, in order: each table, then its indexes. fn's name and table are descriptors' own. */
typedef int schema_fn(void *arg, const char *type, const char *name, const char *table, const char *sql);

static int some_objects(bool late, schema_fn *fn, void *arg)
{
	struct lk_buf sql = {0};
	int r = 0;
	for (size_t t = 0; t < LK_T_COUNT && !r; t++) {
		const struct lk_table *table = &lk_tables[t];
		if (lk_table_late(table->id) != late)
			continue;
		sql.len = 0;
		r = lk_sql_create_table(&sql, table);
		if (!r)
			r = fn(arg, "table", table->name, table->name, (const char *)sql.p);
		for (uint8_t i = 0; i < table->index_count && !r; i++) {
			sql.len = 0;
			r = lk_sql_create_index(&sql, table, &table->indexes[i]);
			if (!r)
				r = fn(arg, "index", table->indexes[i].name, table->name, (const char *)sql.p);
		}
	}
	lk_buf_done(&sql);
	return r;
}

static int each_object(schema_fn *fn, void *arg)
{
	int r = some_objects(false, fn, arg);
	return r ? r : some_objects(true, fn, arg);
}

static int make_object(void *arg, const char *type, const char *name, const char *table, const char *sql)
{
	(void)type;
	(void)name;
	(void)table;
	return lk_sqlite_exec(arg, sql);
}

/* In rollback mode, one transaction: meta.db is whole or empty. The change to WAL comes last. */
int lk_sqlite_create_schema(sqlite3 *handle, struct linkfs_message *why)
{
	char sql[200];
	(void)snprintf(sql, sizeof(sql),
		       "PRAGMA page_size=4096; PRAGMA auto_vacuum=NONE; PRAGMA encoding='UTF-8'; BEGIN;"
		       "PRAGMA application_id=%d; PRAGMA user_version=%d",
		       LK_APPLICATION_ID, LK_FORMAT_VERSION);
	int reserved = LK_PAGE_RESERVED;
	int r = lk_sqlite_error(sqlite3_file_control(handle, "main", SQLITE_FCNTL_RESERVE_BYTES, &reserved));
	if (!r)
		r = lk_sqlite_exec(handle, sql);
	if (!r)
		r = each_object(make_object, handle);
	if (!r)
		r = lk_sqlite_exec(handle, "COMMIT; PRAGMA journal_mode=WAL");
	return r ? lk_fail(why, r, "the database cannot be made: %s", sqlite3_errmsg(handle)) : 0;
}

static uint32_t get_u32(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static int check_identity(uint32_t application, uint32_t version, struct linkfs_message *why)
{
	if (application != LK_APPLICATION_ID)
		return lk_fail(why, LINKFS_ENOTVOLUME, "%s belongs to another application (application_id 0x%08x)",
			       LK_DB_FILE, application);
	if (version > LK_FORMAT_VERSION)
		return lk_fail(why, LINKFS_ENEWER,
			       "the volume has format version %u, and this linkfs knows %d: use a newer linkfs",
			       version, LK_FORMAT_VERSION);
	if (version != LK_FORMAT_VERSION)
		return lk_fail(why, LINKFS_ESCHEMA, "the volume's format version %u is unknown", version);
	return 0;
}

/* What a volume may look like whose making was cut short. */
static int fail_half_made(struct linkfs_message *why, int error, const char *what)
{
	return lk_fail(why, error, "%s %s; if the volume was just being made, remove it and make it again", LK_DB_FILE,
		       what);
}

/* The first 100 bytes of the file, as SQLite's file format lays them out. What is compared here is written once, when
 * the volume is made. Read through SQLite's own descriptor: closing another one would drop its locks (fcntl). */
int lk_sqlite_check_header(sqlite3 *handle, struct linkfs_message *why)
{
	sqlite3_file *file = NULL;
	uint8_t header[HEADER_SIZE];
	int code = sqlite3_file_control(handle, "main", SQLITE_FCNTL_FILE_POINTER, &file);
	if (!code)
		code = file->pMethods->xRead(file, header, HEADER_SIZE, 0);
	if (code == SQLITE_IOERR_SHORT_READ)
		return fail_half_made(why, LINKFS_ENOTVOLUME, "is too short to be a database");
	if (code)
		return lk_sqlite_error(code);
	if (memcmp(header, "SQLite format 3", 16))
		return fail_half_made(why, LINKFS_ENOTVOLUME, "is not an SQLite database");
	int r = check_identity(get_u32(header + 68), get_u32(header + 60), why);
	if (r)
		return r;
	if (header[16] != LK_PAGE_SIZE >> 8 || header[17] != 0 || header[20] != LK_PAGE_RESERVED)
		return lk_fail(why, LINKFS_ESCHEMA, "%s does not have pages of %d bytes with %d for the checksum",
			       LK_DB_FILE, LK_PAGE_SIZE, LK_PAGE_RESERVED);
	if (header[18] != 2 || header[19] != 2)
		return fail_half_made(why, LINKFS_ESCHEMA, "is not in WAL mode");
	return 0;
}

#define OBJECTS_MAX 64

struct object {
	const char *type, *name, *table;
	size_t sql; /* where its text begins */
};

/* What must be there. */
struct proof {
	struct object all[OBJECTS_MAX];
	unsigned count;
	struct lk_buf sql;
	uint64_t seen; /* bit per object */
};

static int add_object(void *arg, const char *type, const char *name, const char *table, const char *sql)
{
	struct proof *p = arg;
	if (p->count == OBJECTS_MAX)
		return LINKFS_EOVERFLOW;
	p->all[p->count++] = (struct object){type, name, table, p->sql.len};
	return lk_buf_append(&p->sql, sql, strlen(sql) + 1);
}

/* A row of the database: it is one of ours, and the first of its kind. */
static bool is_ours(struct proof *p, const struct object *row, const char *sql, bool *name_known_out)
{
	*name_known_out = false;
	for (unsigned i = 0; i < p->count; i++) {
		const struct object *o = &p->all[i];
		if (strcmp(row->name, o->name) != 0)
			continue;
		*name_known_out = true;
		if (strcmp(row->type, o->type) == 0 && strcmp(row->table, o->table) == 0 &&
		    strcmp(sql, (const char *)p->sql.p + o->sql) == 0 && !(p->seen >> i & 1)) {
			p->seen |= UINT64_C(1) << i;
			return true;
		}
	}
	return false;
}

/* The first that is not there; those of late tables are none. */
static const struct object *find_missing(const struct proof *p, bool *lacks_late_out)
{
	const struct object *missing = NULL;
	*lacks_late_out = false;
	for (unsigned i = p->count; i--;) {
		bool late = false;
		if (p->seen >> i & 1)
			continue;
		for (size_t t = 0; t < LK_T_COUNT; t++)
			late |= lk_table_late(lk_tables[t].id) && strcmp(p->all[i].table, lk_tables[t].name) == 0;
		*lacks_late_out |= late;
		missing = late ? missing : &p->all[i];
	}
	return missing;
}

static const char *column_text(sqlite3_stmt *stmt, int at)
{
	const char *s = (const char *)sqlite3_column_text(stmt, at);
	return s ? s : "";
}

static int check_row(struct proof *p, sqlite3_stmt *stmt, struct linkfs_message *why)
{
	const struct object row = {column_text(stmt, 0), column_text(stmt, 1), column_text(stmt, 2), 0};
	bool name_known;
	if (is_ours(p, &row, column_text(stmt, 3), &name_known))
		return 0;
	return lk_fail(why, LINKFS_ESCHEMA,
		       name_known ? "%s has another definition of %s \"%.100s\""
				  : "%s has a %s \"%.100s\" that is not linkfs's",
		       LK_DB_FILE,
		       strcmp(row.type, "table") == 0 || strcmp(row.type, "index") == 0 ||
				       strcmp(row.type, "view") == 0 || strcmp(row.type, "trigger") == 0
			       ? row.type
			       : "schema entry",
		       row.name);
}

static int check_rows(struct proof *p, sqlite3 *handle, struct linkfs_message *why)
{
	sqlite3_stmt *stmt = NULL;
	int code = sqlite3_prepare_v2(handle, "SELECT type, name, tbl_name, sql FROM sqlite_schema", -1, &stmt, NULL);
	int r = 0;
	while (!code && !r) {
		code = sqlite3_step(stmt);
		if (code != SQLITE_ROW)
			break;
		code = SQLITE_OK;
		r = check_row(p, stmt, why);
	}
	if (!r && code != SQLITE_DONE)
		r = lk_fail(why, lk_sqlite_error(code), "%s: %s", LK_DB_FILE, sqlite3_errmsg(handle));
	(void)sqlite3_finalize(stmt);
	return r;
}

int lk_sqlite_check_schema(sqlite3 *handle, bool *lacks_out, struct linkfs_message *why)
{
	_Static_assert(LK_T_COUNT * 2 <= OBJECTS_MAX, "seen has a bit for every table and index");
	struct proof p = {.count = 0};
	int64_t application = 0, version = 0;
	/* Again, now as the WAL has it. */
	int r = lk_sqlite_integer(handle, "PRAGMA application_id", &application);
	if (!r)
		r = lk_sqlite_integer(handle, "PRAGMA user_version", &version);
	if (!r)
		r = check_identity((uint32_t)application, (uint32_t)version, why);
	if (!r)
		r = each_object(add_object, &p);
	if (!r)
		r = check_rows(&p, handle, why);
	if (!r) {
		const struct object *missing = find_missing(&p, lacks_out);
		if (missing)
			r = lk_fail(why, LINKFS_ESCHEMA, "%s lacks %s \"%s\"", LK_DB_FILE, missing->type,
				    missing->name);
	}
	lk_buf_done(&p.sql);
	return r;
}

static int make_if_missing(void *arg, const char *type, const char *name, const char *table, const char *sql)
{
	char text[80];
	int64_t there = 0;
	(void)snprintf(text, sizeof(text), "SELECT count(*) FROM sqlite_schema WHERE name='%s'", name);
	int r = lk_sqlite_integer(arg, text, &there);
	return r || there ? r : make_object(arg, type, name, table, sql);
}

int lk_sqlite_add_late(sqlite3 *handle)
{
	int r = lk_sqlite_exec(handle, "BEGIN IMMEDIATE");
	if (r)
		return r;
	r = some_objects(true, make_if_missing, handle);
	if (!r)
		r = lk_sqlite_exec(handle, "COMMIT");
	if (r && !sqlite3_get_autocommit(handle))
		(void)lk_sqlite_exec(handle, "ROLLBACK");
	return r;
}
