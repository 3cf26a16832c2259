/*
 * dirents_past.h - names of inodes at several views at once, as rows tell it.
 * Layer: core.
 */
#ifndef LK_DIRENTS_PAST_H
#define LK_DIRENTS_PAST_H

#include "dirents.h"

#define LK_LIVES_VIEWS 2u

struct lk_lives_ask {
	struct lk_op *op; /* its view means nothing here */
	const int64_t *inos;
	uint32_t count; /* of them: 1 or more */
	int64_t views[LK_LIVES_VIEWS];
	uint32_t view_count;
	struct lk_dirent from; /* of one inode: the place to begin at; dir 0: the first */
	uint32_t limit;        /* of rows read from each index, about */
};

/* A name, and where it is seen. */
struct lk_life {
	struct lk_dirent row; /* type is not filled; the name is in the op's arena */
	uint32_t at;          /* ask->inos[at] has it */
	uint32_t seen;        /* bit i: at views[i] */
};

struct lk_lives {
	struct lk_life *
		p; /* in the op's arena, in order of at, dir, hash and ord; those of one place are seen at different views */
	uint32_t count, cap;
	uint32_t whole;        /* of so many inodes they are all here; ask->count unless the limit was met */
	struct lk_dirent next; /* of one inode that is not whole: the place to go on at */
	uint32_t rows;         /* that were read, for budgets */
};

static inline bool lk_life_same_place(const struct lk_life *a, const struct lk_life *b)
{
	return a->at == b->at && a->row.dir == b->row.dir && a->row.hash == b->row.hash && a->row.ord == b->row.ord;
}

/* LINKFS_ECORRUPT: a row that cannot be, or two at one place that are seen at the same view. */
int lk_lives_read(const struct lk_lives_ask *ask, struct lk_lives *out);

#endif
