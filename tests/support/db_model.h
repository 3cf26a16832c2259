/*
 * db_model.h - what a metadata engine must hold, kept in memory the simplest way: a list of rows per table.
 */
#ifndef LK_DB_MODEL_H
#define LK_DB_MODEL_H

#include "db.h"

#include <test.h>

struct model_row {
	uint64_t record[LK_RECORD_MAX / 8]; /* its byte columns are owned */
};

struct model_table {
	struct model_row *rows;
	size_t count;
};

struct model {
	struct model_table tables[LK_T_COUNT];
};

void model_done(struct model *m);
void model_copy(const struct model *from, struct model *to);
/* The row with the record's key, or NULL. */
struct model_row *model_find(struct model *m, const struct lk_table *table, const void *key);
void model_put(struct model *m, const struct lk_table *table, const void *record);
void model_erase(struct model *m, const struct lk_table *table, const void *key);

/* Compares column by column: the first differing decides. */
int model_compare(const struct lk_table *table, const uint8_t *columns, uint8_t count, const void *a, const void *b);
/* Fails the test unless all columns in the set (bits) are equal, and the others of got 0 and empty. */
void model_assert_equal(const struct lk_table *table, uint32_t set, const void *got, const void *want);

/* A random record; key columns from a small range when few. Bytes are in *bytes (appended; it does not move: it has
 * room for LK_MODEL_BYTES). */
#define LK_MODEL_BYTES (4 * 70000)
void model_random(struct lk_test_random *random, const struct lk_table *table, bool few, size_t bytes_max, void *record,
		  struct lk_buf *bytes);

/* Runs the scan on db and fails the test unless the rows are exactly the model's, in order. */
void model_check_scan(struct model *m, struct lk_db *db, const struct lk_scan *scan);
/* Erases rows from both. */
void model_clear(struct model *m, struct lk_db *db, const struct lk_table *table, const void *from, int64_t to);
/* Compares the second key column of row number n of those that have from's first. */
void model_check_nth(struct model *m, struct lk_db *db, const struct lk_table *table, const void *from, uint32_t n);
/* Every table: by key and by each index. */
void model_check_all(struct model *m, struct lk_db *db);

#endif
