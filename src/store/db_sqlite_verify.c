/*
 * db_sqlite_verify.c - what check/ asks of the engine: SQLite's own integrity check, indexes made anew, a copy of the database.
 * Layer: store. The integrity check reads every page in use through the file layer, so it proves the page checksums (V3) too.
 */
#include "db_sqlite.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FINDINGS_MAX "1000000"
#define ROOTS_MAX 128u

/* Root pages of trees, to name what SQLite numbers. */
struct roots {
	struct {
		int64_t page;
		char name[64];
		const struct lk_table *table;
	} at[ROOTS_MAX];
	size_t count;
};

static const struct lk_table *table_named(const char *name)
{
	for (size_t t = 0; t < LK_T_COUNT; t++) {
		if (strcmp(lk_tables[t].name, name) == 0)
			return &lk_tables[t];
	}
	return NULL;
}

static const struct lk_table *table_of_index(const char *name)
{
	for (size_t t = 0; t < LK_T_COUNT; t++) {
		for (uint8_t i = 0; i < lk_tables[t].index_count; i++) {
			if (strcmp(lk_tables[t].indexes[i].name, name) == 0)
				return &lk_tables[t];
		}
	}
	return NULL;
}

/* Best effort: without it findings name pages only. */
static void load_roots(struct lk_sqlite *db, struct roots *roots)
{
	sqlite3_stmt *stmt = NULL;
	roots->count = 0;
	if (sqlite3_prepare_v2(db->handle, "SELECT rootpage, name, tbl_name FROM sqlite_schema", -1, &stmt, NULL))
		return;
	while (roots->count < ROOTS_MAX && sqlite3_step(stmt) == SQLITE_ROW) {
		const char *name = (const char *)sqlite3_column_text(stmt, 1);
		const char *table = (const char *)sqlite3_column_text(stmt, 2);
		roots->at[roots->count].page = sqlite3_column_int64(stmt, 0);
		(void)snprintf(roots->at[roots->count].name, sizeof(roots->at[0].name), "%s", name ? name : "");
		roots->at[roots->count++].table = table ? table_named(table) : NULL;
	}
	(void)sqlite3_finalize(stmt);
}

/* The word after prefix in text, in word; false when it is not there. */
static bool word_after(const char *text, const char *prefix, char *word, size_t size)
{
	const char *p = strstr(text, prefix);
	if (!p)
		return false;
	p += strlen(prefix);
	size_t len = strcspn(p, " .:");
	if (len == 0 || len >= size)
		return false;
	memcpy(word, p, len);
	word[len] = '\0';
	return true;
}

/* What SQLite's texts say (sqlite3's pragma.c and btree.c): a tree by its root page, an index by its name, or a column of a table. */
static void classify(const struct roots *roots, const char *text, struct lk_db_finding *out, char *shown, size_t size)
{
	char word[80];
	out->text = text;
	if (word_after(text, "missing from index ", word, sizeof(word)) ||
	    word_after(text, "entries in index ", word, sizeof(word)) ||
	    word_after(text, "entry in index ", word, sizeof(word)) ||
	    word_after(text, "values differ from index ", word, sizeof(word))) {
		out->table = table_of_index(word);
		out->index_only = out->table != NULL;
		return;
	}
	if (word_after(text, "Tree ", word, sizeof(word))) {
		int64_t page = strtoll(word, NULL, 10);
		for (size_t i = 0; i < roots->count; i++) {
			if (roots->at[i].page != page)
				continue;
			out->table = roots->at[i].table;
			/* A broken tree of an index is an index that can be made anew. */
			out->index_only = out->table && strcmp(out->table->name, roots->at[i].name) != 0;
			(void)snprintf(shown, size, "%s \"%s\": %s", out->index_only ? "index" : "table",
				       roots->at[i].name, text);
			out->text = shown;
			return;
		}
		return;
	}
	if (word_after(text, "value in ", word, sizeof(word)))
		out->table = table_named(word);
}

int lk_sqlite_verify(struct lk_db *base, lk_db_finding_fn *fn, void *arg)
{
	struct lk_sqlite *db = lk_sqlite_of(base);
	struct roots roots;
	sqlite3_stmt *stmt = NULL;
	char shown[600];
	if (db->lost)
		return LINKFS_EIO;
	load_roots(db, &roots);
	int code = sqlite3_prepare_v2(db->handle, "PRAGMA integrity_check(" FINDINGS_MAX ")", -1, &stmt, NULL);
	int r = 0;
	while (!code && !r) {
		code = sqlite3_step(stmt);
		if (code != SQLITE_ROW)
			break;
		code = SQLITE_OK;
		const char *text = (const char *)sqlite3_column_text(stmt, 0);
		if (!text)
			r = LINKFS_ENOMEM;
		/* One row may hold several lines. */
		while (!r && text && *text && strcmp(text, "ok") != 0) {
			struct lk_db_finding finding = {0};
			char line[512];
			size_t len = strcspn(text, "\n");
			(void)snprintf(line, sizeof(line), "%.*s", (int)LK_MIN(len, sizeof(line) - 1), text);
			text += len + (text[len] == '\n');
			if (strncmp(line, "*** in database main ***", 24) == 0)
				continue;
			classify(&roots, line, &finding, shown, sizeof(shown));
			r = fn(arg, &finding);
		}
	}
	/* What ends the check itself is damage too. */
	if (!r && code && code != SQLITE_DONE) {
		(void)snprintf(shown, sizeof(shown), "the check of the database ended early: %s",
			       code == LK_SQLITE_BAD_SUM ? "a page's checksum does not hold"
							 : sqlite3_errmsg(db->handle));
		r = lk_sqlite_error(code);
		if (r == LINKFS_ECORRUPT || r == LINKFS_EIO) {
			struct lk_db_finding finding = {.text = shown};
			r = fn(arg, &finding);
		}
	}
	(void)sqlite3_finalize(stmt);
	return r;
}

int lk_sqlite_rebuild(struct lk_db *base, const struct lk_table *table)
{
	struct lk_sqlite *db = lk_sqlite_of(base);
	char sql[120];
	if (db->lost)
		return LINKFS_EIO;
	if (db->read_only)
		return LINKFS_EROFS;
	if (!db->in_transaction)
		return LINKFS_EINVAL;
	for (uint8_t i = 0; i < table->index_count; i++) {
		(void)snprintf(sql, sizeof(sql), "REINDEX \"%s\"", table->indexes[i].name);
		int code = sqlite3_exec(db->handle, sql, NULL, NULL, NULL);
		if (code)
			return lk_sqlite_failed(db, code);
	}
	return 0;
}

static int sync_parent(const char *path)
{
	char *copy = strdup(path);
	if (!copy)
		return LINKFS_ENOMEM;
	int fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int r = fd < 0 || fsync(fd) ? linkfs_from_errno(errno) : 0;
	if (fd >= 0)
		(void)close(fd);
	free(copy);
	return r;
}

/* Page by page, through our file layer on both sides: the copy has its checksums. */
static int copy_to(struct lk_sqlite *db, const char *path)
{
	sqlite3 *to = NULL;
	const char *layer = lk_vfs_sum();
	int code = layer ? sqlite3_open_v2(path, &to,
					   SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_NOFOLLOW |
						   SQLITE_OPEN_PRIVATECACHE | SQLITE_OPEN_EXRESCODE,
					   layer)
			 : SQLITE_ERROR;
	int reserved = LK_PAGE_RESERVED;
	if (!code)
		code = sqlite3_exec(to, "PRAGMA page_size=4096; PRAGMA journal_mode=OFF; PRAGMA synchronous=FULL", NULL,
				    NULL, NULL);
	if (!code)
		code = sqlite3_file_control(to, "main", SQLITE_FCNTL_RESERVE_BYTES, &reserved);
	sqlite3_backup *backup = code ? NULL : sqlite3_backup_init(to, "main", db->handle, "main");
	if (!code && !backup)
		code = sqlite3_errcode(to);
	if (backup) {
		code = sqlite3_backup_step(backup, -1);
		int end = sqlite3_backup_finish(backup);
		code = code == SQLITE_DONE ? end : code;
	}
	int closed = sqlite3_close(to);
	return lk_sqlite_error(code ? code : closed);
}

/* Takes the place only when nothing is there; where the host cannot do that in one step, in two. */
static int rename_to_new(const char *from, const char *to)
{
	struct stat st;
	if (renameat2(AT_FDCWD, from, AT_FDCWD, to, RENAME_NOREPLACE) == 0)
		return 0;
	if (errno != EINVAL && errno != ENOSYS)
		return linkfs_from_errno(errno);
	if (lstat(to, &st) == 0)
		return LINKFS_EEXIST;
	return rename(from, to) ? linkfs_from_errno(errno) : 0;
}

/* A copy that was cut off never has the name of a whole one. */
int lk_sqlite_copy(struct lk_db *base, const char *path)
{
	struct lk_sqlite *db = lk_sqlite_of(base);
	struct stat st;
	char *part = NULL;
	if (db->lost)
		return LINKFS_EIO;
	if (lstat(path, &st) == 0)
		return LINKFS_EEXIST;
	if (asprintf(&part, "%s.part", path) < 0)
		return LINKFS_ENOMEM;
	(void)unlink(part);
	int fd = open(part, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	int r = fd < 0 ? linkfs_from_errno(errno) : copy_to(db, part);
	if (!r && fsync(fd))
		r = linkfs_from_errno(errno);
	if (!r)
		r = rename_to_new(part, path);
	if (r && fd >= 0)
		(void)unlink(part);
	if (!r)
		r = sync_parent(path);
	if (fd >= 0)
		(void)close(fd);
	free(part);
	return r;
}
