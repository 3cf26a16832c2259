/*
 * dirents_past.c - the names of an inode at a snapshot (K2): the two indexes by inode, live and history, say where names may be, and each
 * place is read at the snapshot.
 * Layer: core.
 */
#include "dirents.h"

#include <stdlib.h>
#include <string.h>

struct place {
	int64_t dir, hash, ord;
};

struct places {
	struct lk_op *op;
	struct place *all; /* in the arena */
	size_t count, cap;
};

static int add(struct places *p, const struct lk_dirent *d)
{
	if (p->count == p->cap) {
		size_t cap = p->cap ? p->cap * 2 : 16;
		struct place *more = lk_op_alloc(p->op, cap * sizeof(*more));

		if (!more)
			return LINKFS_ENOMEM;
		if (p->count)
			memcpy(more, p->all, p->count * sizeof(*more));
		p->all = more;
		p->cap = cap;
	}
	p->all[p->count++] = (struct place){d->dir, d->hash, d->ord};
	return 0;
}

/* A history record begins with the live one's struct. */
static int add_row(void *arg, const void *record)
{
	return add(arg, record);
}

static int compare(const void *a, const void *b)
{
	const struct place *x = a, *y = b;

	if (x->dir != y->dir)
		return x->dir < y->dir ? -1 : 1;
	if (x->hash != y->hash)
		return x->hash < y->hash ? -1 : 1;
	return (x->ord > y->ord) - (x->ord < y->ord);
}

static int gather(struct lk_op *op, uint64_t ino, struct places *out)
{
	static const struct {
		enum lk_table_id table;
		int index;
	} where[] = {{LK_T_DIRENT, LK_DIRENT_BY_INO}, {LK_T_DIRENT_OLD, LK_DIRENT_OLD_BY_INO}};
	int rc = 0;

	*out = (struct places){.op = op};
	for (size_t i = 0; rc == 0 && i < LK_ARRAY_LEN(where); i++) {
		_Alignas(8) char key[LK_RECORD_MAX + 8] = {0};
		struct lk_scan scan = {
			.table = &lk_tables[where[i].table], .index = where[i].index, .equal = 1, .from = key};

		((struct lk_dirent *)(void *)key)->ino = (int64_t)ino;
		rc = lk_db_scan(op->fs->db, &scan, add_row, out);
	}
	if (out->count)
		qsort(out->all, out->count, sizeof(*out->all), compare);
	return rc;
}

int lk_dirent_names_past(struct lk_op *op, uint64_t ino, uint64_t dir, uint64_t cookie, uint32_t limit, lk_row_fn *fn,
			 void *arg)
{
	struct place after = {(int64_t)dir, (int64_t)(cookie >> 8), (int64_t)(cookie & 255)};
	struct places p;
	uint32_t told = 0;
	int rc = gather(op, ino, &p);

	for (size_t i = 0; rc == 0 && i < p.count; i++) {
		const struct place *at = &p.all[i];
		struct lk_dirent d;

		if ((i && compare(&p.all[i - 1], at) == 0) || (dir && compare(at, &after) <= 0))
			continue;
		rc = lk_dirent_at(op, (uint64_t)at->dir, at->hash, at->ord, ino, &d);
		if (rc == LINKFS_ENOENT) { /* not its name then */
			rc = 0;
			continue;
		}
		if (rc == 0)
			rc = fn(arg, &d);
		if (rc > 0 || (rc == 0 && limit && ++told == limit))
			return 0;
	}
	return rc;
}
