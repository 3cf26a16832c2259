/*
 * dirents_past.c - the names of inodes at snapshots (K2), from the two indexes by inode, live and history: a row is seen at every view from
 * born to last, and no two rows of one place are seen at the same.
 * Layer: core.
 */
#include "dirents_past.h"

#include <stdlib.h>
#include <string.h>

#define PAST_ROWS 64u

struct gather {
	const struct lk_lives_ask *ask;
	struct lk_lives *out;
	const struct lk_table *table;
	uint32_t rows, at; /* of this index: how many, and the number in ask->inos whose they are */
	struct lk_dirent last;
};

static int compare_places(const struct lk_dirent *x, const struct lk_dirent *y)
{
	if (x->dir != y->dir)
		return x->dir < y->dir ? -1 : 1;
	if (x->hash != y->hash)
		return x->hash < y->hash ? -1 : 1;
	return (x->ord > y->ord) - (x->ord < y->ord);
}

static int by_place(const void *a, const void *b)
{
	const struct lk_life *x = a, *y = b;

	if (x->at != y->at)
		return x->at < y->at ? -1 : 1;
	return compare_places(&x->row, &y->row);
}

static int keep(struct gather *g, const struct lk_dirent *d, uint32_t seen)
{
	struct lk_lives *out = g->out;
	struct lk_op *op = g->ask->op;
	char *name = lk_op_alloc(op, d->name.len);

	if (out->count == out->cap) {
		uint32_t cap = out->cap ? out->cap * 2 : 16;
		struct lk_life *more = lk_op_alloc(op, cap * sizeof(*more));

		if (!more)
			return LINKFS_ENOMEM;
		if (out->count)
			memcpy(more, out->p, out->count * sizeof(*more));
		out->p = more;
		out->cap = cap;
	}
	if (!name)
		return LINKFS_ENOMEM;
	memcpy(name, d->name.p, d->name.len);
	out->p[out->count] = (struct lk_life){.row = *d, .at = g->at, .seen = seen};
	out->p[out->count++].row.name.p = name;
	return 0;
}

static int add_row(void *arg, const void *record)
{
	struct gather *g = arg;
	const struct lk_lives_ask *ask = g->ask;
	const struct lk_dirent *d = record;
	bool old = g->table->id == LK_T_DIRENT_OLD;
	int64_t last = old ? lk_record_last(g->table, record) : LK_VIEW_LIVE;
	uint32_t seen = 0;
	int rc;

	g->rows++;
	while (g->at < ask->count && ask->inos[g->at] != d->ino)
		g->at++;
	/* What lies there after the last place, and what is of no view, could not be gone on from. */
	if (g->at == ask->count || d->dir < 1 || (old && last == LK_VIEW_LIVE))
		return LINKFS_ECORRUPT;
	g->last = *d;
	for (uint32_t i = 0; i < ask->view_count; i++)
		seen |= (uint32_t)(d->born <= ask->views[i] && ask->views[i] <= last) << i;
	if (!seen)
		return 0;
	rc = lk_dirent_verify(d, old);
	return rc ? rc : keep(g, d, seen);
}

/* One of the indexes. What a full scan may have cut off is not whole: from its last inode on, or of one inode from its last place on. */
static int gather(const struct lk_lives_ask *ask, uint32_t limit, enum lk_table_id table, int index,
		  struct lk_lives *out)
{
	_Alignas(8) char from[LK_RECORD_MAX + 8] = {0};
	struct gather g = {.ask = ask, .out = out, .table = &lk_tables[table]};
	struct lk_dirent *key = (void *)from;
	struct lk_scan scan = {.table = g.table, .index = index, .equal = 1, .from = from, .limit = limit};
	int rc;

	if (ask->count == 1) {
		*key = ask->from;
		key->ino = ask->inos[0];
		scan.ranged = ask->from.dir ? 3 : 0;
	} else {
		scan.among = ask->inos;
		scan.among_count = ask->count;
	}
	rc = lk_db_scan(ask->op->fs->db, &scan, add_row, &g);
	out->rows += g.rows + 1;
	if (rc || g.rows < limit)
		return rc;
	out->whole = LK_MIN(out->whole, g.at);
	if (ask->count == 1 && (out->next.dir == 0 || compare_places(&g.last, &out->next) < 0))
		out->next = (struct lk_dirent){.dir = g.last.dir, .hash = g.last.hash, .ord = g.last.ord};
	return 0;
}

/* Puts them in order, those of one place together, without what is not whole. */
static int settle(struct lk_lives *out)
{
	uint32_t kept = 0;

	if (out->count)
		qsort(out->p, out->count, sizeof(*out->p), by_place);
	for (uint32_t i = 0; i < out->count; i++) {
		struct lk_life *life = &out->p[i], *before = kept ? &out->p[kept - 1] : NULL;

		if (life->at > out->whole || (life->at == out->whole && compare_places(&life->row, &out->next) >= 0))
			break;
		if (before && lk_life_same_place(before, life) && (before->seen & life->seen))
			return LINKFS_ECORRUPT;
		out->p[kept++] = *life;
	}
	out->count = kept;
	return 0;
}

int lk_lives_read(const struct lk_lives_ask *ask, struct lk_lives *out)
{
	uint32_t limit = ask->limit;
	int rc;

	for (;;) {
		*out = (struct lk_lives){.whole = ask->count};
		rc = gather(ask, limit, LK_T_DIRENT, LK_DIRENT_BY_INO, out);
		if (rc == 0)
			rc = gather(ask, limit, LK_T_DIRENT_OLD, LK_DIRENT_OLD_BY_INO, out);
		/* More history of one place than that: it has to be read as a whole. */
		if (rc || ask->count > 1 || out->whole || compare_places(&out->next, &ask->from) != 0)
			break;
		limit *= 4;
	}
	return rc ? rc : settle(out);
}

int lk_dirent_names_past(struct lk_op *op, uint64_t ino, uint64_t dir, uint64_t cookie, uint32_t limit, lk_row_fn *fn,
			 void *arg)
{
	int64_t number = (int64_t)ino;
	const struct lk_dirent after = {
		.dir = (int64_t)dir, .hash = (int64_t)(cookie >> 8), .ord = (int64_t)(cookie & 255)};
	struct lk_lives_ask ask = {
		.op = op, .inos = &number, .count = 1, .views = {op->view}, .view_count = 1, .limit = PAST_ROWS};
	struct lk_lives lives;
	uint32_t told = 0;

	ask.from = after;
	do {
		int rc = lk_lives_read(&ask, &lives);

		for (uint32_t i = 0; rc == 0 && i < lives.count; i++) {
			if (dir && compare_places(&lives.p[i].row, &after) <= 0)
				continue;
			rc = fn(arg, &lives.p[i].row);
			if (rc > 0 || (rc == 0 && limit && ++told == limit))
				return 0;
		}
		if (rc)
			return rc;
		ask.from = lives.next;
	} while (!lives.whole);
	return 0;
}
