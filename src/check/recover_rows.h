/*
 * recover_rows.h - the rows that were found, one of each, and what of them is to be believed.
 * Layer: check, private to recover_*.c. docs/RECOVER.md has the rules.
 */
#ifndef LK_RECOVER_ROWS_H
#define LK_RECOVER_ROWS_H

#include "recover_read.h"

struct lk_array {
	void *p;
	size_t len, cap;
};
/* A new element, not cleared, or NULL. */
void *lk_array_add(struct lk_array *array, size_t size);
void lk_array_done(struct lk_array *array);

struct lk_inode_row {
	struct lk_inode inode; /* first: ino is its first field */
	uint32_t order;
	uint8_t rank;
	bool rivals; /* other rows of no better rank said something else */
};

struct lk_name_row {
	int64_t ino, dir, hash;
	const char *name;
	uint32_t order;
	uint8_t len, ord;
	uint8_t type;    /* mode's type bits >> 12; 0: the index does not tell */
	uint8_t rank[2]; /* in the table, in its index; 0: not found there */
	bool doubtful;
	bool dropped;
	bool second; /* dropped, but it may be another name of a directory (D6) */
};

struct lk_bytes_row { /* of target and inline */
	int64_t ino;
	struct lk_bytes bytes;
	int64_t tracks, by_dir, by_hash, by_ord; /* of a target */
	uint32_t order;
	uint8_t rank;
};

struct lk_extent_row {
	int64_t ino;
	uint64_t at, disk, count; /* blocks */
	const uint8_t *sums;
	uint32_t order;
	uint32_t length, offset; /* compressed: as in the row */
	uint8_t codec, rank;
};

struct lk_xattr_row {
	int64_t ino;
	struct lk_bytes name, value;
	uint32_t order;
	uint8_t rank;
};

struct lk_punch { /* what an intent is still to make a hole */
	int64_t ino;
	uint64_t from, to; /* blocks; to not in it */
};

struct lk_recover_rows {
	struct lk_array inodes;  /* struct lk_inode_row, by ino */
	struct lk_array binds;   /* struct lk_bind */
	struct lk_array names;   /* struct lk_name_row, by ino, the best first */
	struct lk_array targets; /* struct lk_bytes_row, by ino */
	struct lk_array inlines; /* struct lk_bytes_row, by ino */
	struct lk_array extents; /* struct lk_extent_row, by ino, the best rank first, then by at */
	struct lk_array xattrs;  /* struct lk_xattr_row, by ino and name */
	struct lk_array punches; /* struct lk_punch, by ino */
	struct lk_array orphans; /* int64_t, sorted */
	struct lk_array chunks;  /* char *: memory of what rows point to */
	size_t chunk_left;
	int64_t inode_count; /* what the volume counted; -1: not known */
	uint64_t snapshots;
	uint8_t super_rank; /* 0: there is none */
	bool secret_known;
	uint8_t secret[192];
	char label[256];
	int64_t limit_blocks;
};

/* lk_reader's row function; arg is the rows. */
int lk_recover_rows_add(struct lk_recover_rows *rows, const struct lk_tree *tree, const void *record,
			const struct lk_origin *origin);
/* After the last: sorts, keeps the best of each, drops what whole trees contradict. */
void lk_recover_rows_settle(struct lk_recover_rows *rows, struct lk_reader *reader);
void lk_recover_rows_done(struct lk_recover_rows *rows);

/* How well a name is proved; more is better. */
unsigned lk_name_score(const struct lk_name_row *name);
/* The rows of ino in an array whose elements begin with it and are sorted by it; NULL and 0 when there is none. */
void *lk_recover_rows_of(const struct lk_array *array, size_t size, int64_t ino, size_t *count_out);

#endif
