/*
 * pass_copied.c - what backups remember (E4): each row by itself. Files, directories and sources that they name may be gone.
 * Layer: check.
 */
#include "check_impl.h"

#include "copied.h"

static const char *fault_of(enum lk_table_id table, const void *record, int64_t *key_out)
{
	const char *fault = NULL;
	if (table == LK_T_SOURCE) {
		*key_out = ((const struct lk_source *)record)->id;
		return lk_source_valid(record, &fault) ? NULL : fault;
	}
	*key_out = ((const struct lk_copied *)record)->ino;
	return lk_copied_valid(record, &fault) ? NULL : fault;
}

static int judge(struct lk_check *c, enum lk_table_id table, const void *record, int64_t key, const char *fault)
{
	int r = lk_found(c, table == LK_T_SOURCE ? LK_P_SOURCE_FIELD : LK_P_COPIED_FIELD,
			 &(struct lk_place){LK_NOWHERE, .have = key, .what = fault});
	if (r > 0)
		r = lk_mend_erase(c, table, record);
	return r < 0 ? r : lk_mend_point(c);
}

static int one_table(struct lk_check *c, enum lk_table_id table)
{
	struct lk_rows rows;
	const void *record;
	int r;
	lk_rows_init(&rows, c->db, table, LK_BY_KEY);
	while ((r = lk_rows_peek(&rows, &record)) == 0 && record) {
		int64_t key;
		const char *fault = fault_of(table, record, &key);
		r = fault ? judge(c, table, record, key, fault) : 0;
		if (r)
			break;
		lk_rows_next(&rows);
	}
	c->sum->records += rows.seen;
	lk_rows_done(&rows);
	return r ? lk_unreadable(c, table, r) : 0;
}

int lk_pass_copied(struct lk_check *c)
{
	int r = one_table(c, LK_T_SOURCE);
	return r ? r : one_table(c, LK_T_COPIED);
}
