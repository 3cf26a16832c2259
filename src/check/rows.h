/*
 * rows.h - a table read in key order, row by row, a few hundred at a time: between two rows the database may be used.
 * Layer: check, private. Rows that do not ascend are damage: merges rely on the order.
 */
#ifndef LK_ROWS_H
#define LK_ROWS_H

#include "db.h"

struct lk_rows {
	struct lk_db *db;
	const struct lk_table *table;
	int index;
	uint8_t columns[LK_COLUMNS_MAX]; /* of the order */
	uint8_t count;
	uint32_t limit;               /* rows in a chunk */
	struct lk_buf records, bytes; /* the chunk */
	struct lk_buf position, key;  /* the last row before it */
	uint32_t have, at;
	bool started, ended;
	uint64_t seen;
};

/* index: LK_BY_KEY, or an index whose columns hold the whole key. Nothing to undo but lk_rows_done(). */
void lk_rows_init(struct lk_rows *rows, struct lk_db *db, enum lk_table_id table, int index);
/* The row at hand, NULL at the end: valid until lk_rows_next() has been called. */
int lk_rows_peek(struct lk_rows *rows, const void **out);
void lk_rows_next(struct lk_rows *rows);
/* Forgets what was read ahead: the table was changed behind the row at hand. */
void lk_rows_reread(struct lk_rows *rows);
void lk_rows_done(struct lk_rows *rows);

#endif
