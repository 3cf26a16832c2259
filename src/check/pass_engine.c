/*
 * pass_engine.c - the engine's own check: pages and their checksums, trees, indexes.
 * Layer: check. Damaged trees end all repair: a row that cannot be read must not be taken for one that is not there. An index that
 * differs is made anew; that of names is a second copy of them and is used first (pass_index.c).
 */
#include "check_impl.h"

#include <stdio.h>
#include <string.h>

struct engine {
	struct lk_check *c;
	struct lk_buf fatal; /* texts, each with its NUL */
	uint64_t count[LK_T_COUNT];
	char first[LK_T_COUNT][200];
};

#define TEXTS_MAX 4096u

static int take(void *arg, const struct lk_db_finding *finding)
{
	struct engine *e = arg;
	if (finding->table && finding->index_only) {
		size_t t = finding->table->id;
		if (e->count[t]++ == 0)
			(void)snprintf(e->first[t], sizeof(e->first[t]), "%s", finding->text);
		return 0;
	}
	if (e->fatal.len > TEXTS_MAX * 64)
		return 0;
	return lk_buf_append(&e->fatal, finding->text, strlen(finding->text) + 1);
}

static int tell_fatal(struct lk_check *c, const struct lk_buf *texts)
{
	int r = 0;
	if (texts->len)
		c->repair = false;
	for (size_t at = 0; r >= 0 && at < texts->len; at += strlen((const char *)texts->p + at) + 1) {
		struct lk_place place = {LK_NOWHERE, .what = (const char *)texts->p + at};
		r = lk_found(c, LK_P_ENGINE, &place);
	}
	return r < 0 ? r : 0;
}

static int tell_index(struct lk_check *c, struct engine *e, enum lk_table_id table)
{
	c->stale |= UINT32_C(1) << table;
	struct lk_place place = {LK_NOWHERE, .count = (int64_t)e->count[table], .what = e->first[table]};
	int r = lk_found(c, LK_P_INDEX, &place);
	/* Names that the index alone has are taken out of it before. */
	if (r <= 0 || table == LK_T_DIRENT)
		return r < 0 ? r : 0;
	return lk_index_rebuild(c, table, NULL, NULL);
}

int lk_index_rebuild(struct lk_check *c, enum lk_table_id table, int (*then)(struct lk_check *, void *), void *arg)
{
	int r = lk_mend_end(c);
	if (r == 0)
		r = lk_mend_rebuild(c, table);
	if (r == 0 && then)
		r = then(c, arg);
	if (r == 0)
		return lk_mend_end(c);
	if (c->failed || (r != LINKFS_ECORRUPT && r != LINKFS_EIO))
		return r;
	/* The index's own pages are damaged, so that not even giving them up works. */
	lk_mend_abandon(c);
	c->repair = false;
	c->mended--;
	c->sum->repaired--;
	c->left++;
	struct lk_place place = {LK_NOWHERE, .what = "an index is damaged so that it cannot be made anew"};
	r = lk_found(c, LK_P_ENGINE, &place);
	return LK_MIN(r, 0);
}

int lk_pass_engine(struct lk_check *c)
{
	struct engine e = {.c = c};
	c->stale = 0;
	int r = c->db->ops->verify(c->db, take, &e);
	if (r == 0)
		r = tell_fatal(c, &e.fatal);
	for (int t = 0; r == 0 && t < LK_T_COUNT; t++) {
		if (e.count[t])
			r = tell_index(c, &e, (enum lk_table_id)t);
	}
	lk_buf_done(&e.fatal);
	return r;
}
