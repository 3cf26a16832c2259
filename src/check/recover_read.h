/*
 * recover_read.h - meta.db and its log read without SQLite: pages, cells, records, trees.
 * Layer: check, private to recover_*.c. After "Database File Format" on sqlite.org; docs/FORMAT.md has what is ours.
 *
 * Everything read is hostile: every offset, length, count and page number is checked before it is used.
 */
#ifndef LK_RECOVER_READ_H
#define LK_RECOVER_READ_H

#include "page.h"

/* ---- pages and log (recover_pages.c, recover_wal.c) ------------------------------------------------------------ */

/* A version of a page: in the database file, or in a frame of the log. */
struct lk_image {
	uint64_t offset; /* of its 4096 bytes */
	uint32_t page;
	uint32_t order; /* later versions have larger ones */
	bool wal;
};

#define LK_MARK_LOOKED 1u   /* SOUND and ZERO are known */
#define LK_MARK_SOUND 2u    /* its checksum holds */
#define LK_MARK_ZERO 4u     /* nothing but zeros: never written */
#define LK_MARK_TREE 8u     /* a tree leads to it */
#define LK_MARK_FREE 16u    /* the list of free pages has it */
#define LK_MARK_CHAIN 32u   /* part of a long row in a tree */
#define LK_MARK_LED 64u     /* a tree leads there, whatever it is */
#define LK_MARK_MENDED 128u /* SOUND with one bit changed */

struct lk_mended {
	uint32_t page, bit;
};

struct lk_pages {
	int db_fd, wal_fd;    /* wal_fd -1: none */
	uint32_t count;       /* page numbers are 1 to count */
	uint32_t db_count;    /* pages in the database file */
	struct lk_image *log; /* what the log puts in place of pages, by page */
	uint32_t log_count;
	struct lk_image *stale; /* whole versions of pages that are not the current ones */
	uint32_t stale_count;
	uint32_t frames;  /* of the log that were applied */
	bool log_damaged; /* in its middle */
	struct lk_mended *mended;
	uint32_t mended_count, mend_left; /* mend_left: pages for which it is still tried */
	uint8_t *marks;                   /* LK_MARK_..., by page number */
};

int lk_pages_open(const char *dir, struct lk_pages *out, struct linkfs_message *why);
void lk_pages_close(struct lk_pages *pages);
/* The current version of a page, zeros for what cannot be read. Returns whether its checksum holds. One wrong bit is mended:
 * of all pages that differ in one bit only the right one has the checksum. */
bool lk_pages_read(struct lk_pages *pages, uint32_t number, uint8_t page[LK_PAGE_SIZE]);
bool lk_pages_read_image(struct lk_pages *pages, const struct lk_image *image, uint8_t page[LK_PAGE_SIZE]);
/* Fills log, stale, frames and log_damaged. */
int lk_wal_read(struct lk_pages *pages);

/* ---- b-tree pages and records (recover_cell.c) --------------------------------------------------------------------- */

#define LK_BTREE_INDEX_INNER 2
#define LK_BTREE_TABLE_INNER 5
#define LK_BTREE_INDEX_LEAF 10
#define LK_BTREE_TABLE_LEAF 13

struct lk_btree_page {
	const uint8_t *bytes;
	uint32_t cells, first; /* first: offset of the array of cell pointers */
	uint32_t right;        /* the last child of an inner page */
	uint32_t spent;        /* bytes of cells read so far; 0 before each reading */
	uint8_t type;
};

struct lk_cell {
	int64_t rowid;  /* tables */
	uint32_t child; /* inner pages */
	uint64_t len;   /* of the payload; 0 for the inner pages of tables */
	const uint8_t *local;
	uint32_t local_len;
	uint32_t next; /* first page of the rest, when local_len < len */
};

static inline bool lk_btree_inner(uint8_t type)
{
	return type == LK_BTREE_INDEX_INNER || type == LK_BTREE_TABLE_INNER;
}

#define LK_CELLS_MAX (2u * LK_PAGE_SIZE) /* bytes of cells: they do not overlap in a page that anybody wrote */

/* False when it is no page of a b-tree. */
bool lk_btree_parse(const uint8_t *page, uint32_t number, struct lk_btree_page *out);
/* False as well when the cells read so far are more than a page holds. */
bool lk_btree_cell(struct lk_btree_page *page, uint32_t at, struct lk_cell *out);

#define LK_PAYLOAD_MAX (1u << 18) /* more than any row of ours has */

/* The cell's payload in one piece: in the page, or in buf. When its chain of further pages is not whole, or belongs to
 * another row, only what lies in the page: out->len is less than cell->len then. The chain's pages get LK_MARK_CHAIN. */
int lk_cell_payload(struct lk_pages *pages, const struct lk_cell *cell, struct lk_buf *buf, struct lk_bytes *out);

enum lk_value_kind { LK_VALUE_NULL, LK_VALUE_INT, LK_VALUE_BYTES, LK_VALUE_TEXT, LK_VALUE_CUT };
struct lk_value {
	enum lk_value_kind kind; /* CUT: beyond what there is of the payload */
	int64_t number;
	struct lk_bytes bytes;
};
/* False when it is no record of at most LK_COLUMNS_MAX values. */
bool lk_record_parse(const struct lk_bytes *payload, uint64_t full_len, struct lk_value values[LK_COLUMNS_MAX],
		     uint32_t *count_out);

static inline uint32_t lk_get_be32(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

/* ---- shapes: what rows of our tables and indexes look like (recover_shape.c) -------------------------------------- */

struct lk_shape {
	const struct lk_table *table;
	int index; /* or LK_SHAPE_TABLE */
	const char *name;
	uint8_t count, key_count;       /* columns, and of them those that order the rows and are unique */
	uint8_t column[LK_COLUMNS_MAX]; /* of the table */
};
#define LK_SHAPE_TABLE (-1)
#define LK_SHAPES_MAX 56

/* All tables, each followed by its indexes, in the order of sqlite_schema. Returns how many. */
uint32_t lk_shapes_make(struct lk_shape shapes[LK_SHAPES_MAX]);
/* Whether the b-tree is one of tables (rowid) or of indexes. */
static inline bool lk_shape_rowid(const struct lk_shape *shape)
{
	return shape->index == LK_SHAPE_TABLE && shape->table->rowid;
}
bool lk_shape_fits(const struct lk_shape *shape, const struct lk_value *values, uint32_t count);
/* The record struct of shape->table; columns that an index has not are 0. */
void lk_shape_record(const struct lk_shape *shape, int64_t rowid, const struct lk_value *values, void *record);
/* Whether every column holds what linkfs could have written (F5). An index row's other columns are not looked at. */
bool lk_row_valid(const struct lk_shape *shape, const void *record);

/* A key as bytes that compare as the tree orders it. */
struct lk_key {
	uint16_t len;
	uint8_t bytes[LK_COLUMNS_MAX * 2 + 256];
};
void lk_key_of_rowid(int64_t rowid, struct lk_key *out);
/* False when a key column is CUT. */
bool lk_key_of_values(const struct lk_shape *shape, const struct lk_value *values, struct lk_key *out);
void lk_key_of_record(const struct lk_shape *shape, const void *record, struct lk_key *out);
int lk_key_compare(const struct lk_key *a, const struct lk_key *b);

/* ---- trees (recover_walk.c, recover_scan.c) -------------------------------------------------------------------------- */

/* How far a row is to be trusted, the best last. */
enum lk_rank {
	LK_RANK_STALE = 1, /* a sound page that is known to be free, or an older version */
	LK_RANK_BAD,       /* a current page whose checksum does not hold */
	LK_RANK_LOST,      /* a sound page that no tree leads to */
	LK_RANK_REACHED,   /* a sound page in its tree */
};

struct lk_span { /* from..to, both in it; a NULL end is open */
	struct lk_key *from, *to;
};
struct lk_spans {
	struct lk_span *p;
	uint32_t len, cap;
	bool sorted;
};

/* One table or index. */
struct lk_tree {
	struct lk_shape shape;
	uint32_t root;        /* 0: not known */
	bool wanted;          /* rows of it are brought back */
	struct lk_spans gaps; /* keys after from and up to to: what the tree does not reach */
	struct lk_spans lost; /* keys of pages of rank LOST */
};

struct lk_origin {
	enum lk_rank rank;
	uint32_t order;
	uint32_t page;
};

struct lk_reader {
	struct lk_pages pages;
	struct lk_tree trees[LK_SHAPES_MAX];
	uint32_t tree_count;
	bool free_known;  /* the list of free pages is whole */
	uint64_t broken;  /* rows in trees that are not what they must be, or whose further pages are damaged */
	uint64_t missing; /* pages that trees lead to and that lie behind the file's end */
	uint64_t walked;
	/* A row of a wanted tree, checked by lk_row_valid(). Its bytes are valid during the call. */
	int (*row)(void *arg, const struct lk_tree *tree, const void *record, const struct lk_origin *origin);
	int (*progress)(void *arg, uint64_t done, uint64_t total);
	void *arg;
	struct lk_buf scratch;
};

/* Opens and walks the trees; then takes rows from pages that no tree leads to, as far as trees have gaps. */
int lk_reader_open(const char *dir, struct lk_reader *reader, struct linkfs_message *why);
int lk_reader_run(struct lk_reader *reader);
int lk_reader_scan(struct lk_reader *reader); /* run's second half */
void lk_reader_close(struct lk_reader *reader);
struct lk_tree *lk_reader_tree(struct lk_reader *reader, enum lk_table_id table, int index);

/* Whether the tree does not say what is at this key. */
bool lk_tree_gap(struct lk_tree *tree, const struct lk_key *key);
/* The same for the record's key. */
bool lk_tree_gap_at(struct lk_tree *tree, const void *record);
static inline bool lk_tree_whole(const struct lk_tree *tree)
{
	return tree->gaps.len == 0;
}
int lk_spans_add(struct lk_spans *spans, const struct lk_key *from, const struct lk_key *to);
bool lk_spans_have(struct lk_spans *spans, const struct lk_key *key, bool after_from);
void lk_spans_done(struct lk_spans *spans);

#endif
