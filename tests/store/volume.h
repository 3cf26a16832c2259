/*
 * volume.h - a small database with pages of every kind, and files as bytes, for the tests of damage.
 */
#ifndef LK_TEST_VOLUME_H
#define LK_TEST_VOLUME_H

#include <db_model.h>

#include <sqlite3.h>

struct file_bytes {
	uint8_t *p;
	size_t len;
};

/* Fails the test when it cannot; name is below dir. */
void file_read(const char *dir, const char *name, struct file_bytes *out);
void file_write(const char *dir, const char *name, const struct file_bytes *bytes);

/* Rows with generation in what they hold, and their model (NULL: none). Rows of an older one are replaced. */
void volume_fill(struct lk_db *db, struct model *m, int64_t generation);
/* Fails the test when what db holds is neither ours nor an error. Returns 0 with the generation (-1: empty) or
 * LINKFS_ECORRUPT. */
int volume_check(struct lk_db *db, int64_t *generation_out);
/* Runs SQL in dir/meta.db with SQLite itself; layer NULL: its own file layer. Fails the test on an error. */
void volume_sql(const char *dir, const char *layer, const char *sql);
/* In a child process: opens, fills once per generation, each committed, and dies without closing. */
void volume_crash(const char *dir, int64_t from, int64_t to);

#endif
