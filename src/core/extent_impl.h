/*
 * extent_impl.h - rows copied out of a scan, and checked: what extent.c, extent_edit.c share.
 * Layer: core, private to extent*.c, and space*.c for the check.
 */
#ifndef LK_EXTENT_IMPL_H
#define LK_EXTENT_IMPL_H

#include "extent.h"

struct lk_ext_row {
	struct lk_ext e;
	size_t sums; /* offset in the list's sums; RAW and ZSTD */
};

/* Zero-initialised is empty; lk_ext_rows_done() frees. */
struct lk_ext_rows {
	struct lk_buf rows, sums;
	uint64_t stop; /* collecting downwards ends with the row that begins below it, or at 0 */
	bool ascending;
};

/* F5: fills *out from a row of ino, or LINKFS_ECORRUPT. */
int lk_ext_check(const struct lk_extent *row, uint64_t ino, struct lk_ext *out);
/* A lk_row_fn, arg the list: adds every row. */
int lk_ext_rows_add(void *list, const void *record);

static inline size_t lk_ext_rows_count(const struct lk_ext_rows *l)
{
	return l->rows.len / sizeof(struct lk_ext_row);
}
static inline struct lk_ext_row *lk_ext_rows_at(const struct lk_ext_rows *l, size_t i)
{
	return (struct lk_ext_row *)(void *)l->rows.p + i;
}
static inline void lk_ext_rows_done(struct lk_ext_rows *l)
{
	lk_buf_done(&l->rows);
	lk_buf_done(&l->sums);
}
/* Where the sums of the blocks from the skip-th on stand in a row's, if it has any. */
static inline const uint8_t *lk_ext_sums(const struct lk_ext_rows *l, const struct lk_ext_row *o, uint64_t skip)
{
	if (!lk_ext_data(o->e.codec))
		return NULL;
	return l->sums.p + o->sums + (o->e.codec == LK_CODEC_RAW ? skip * 8 : 0);
}
static inline uint64_t lk_ext_end(const struct lk_ext *e)
{
	return e->at + e->count;
}

/* sums: 8 bytes a block for RAW, 8 for ZSTD, else unused. fresh: no row has this key. */
int lk_ext_put(struct lk_op *op, uint64_t ino, const struct lk_ext *e, const uint8_t *sums, bool fresh);
int lk_ext_erase(struct lk_op *op, uint64_t ino, uint64_t at);

#endif
