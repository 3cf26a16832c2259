/*
 * db_model.c - the model of db_model.h.
 */
#include "db_model.h"

#include <stdlib.h>
#include <string.h>

static void copy_record(const struct lk_table *table, const void *from, void *to)
{
	memcpy(to, from, table->record_size);
	for (uint8_t i = 0; i < table->column_count; i++) {
		if (table->columns[i].type != LK_BYTES)
			continue;
		struct lk_bytes *b = lk_bytes_at(&table->columns[i], to);
		void *p = malloc(b->len + 1);
		assert_non_null(p);
		if (b->len)
			memcpy(p, b->p, b->len);
		b->p = p;
	}
}

static void free_record(const struct lk_table *table, void *record)
{
	for (uint8_t i = 0; i < table->column_count; i++) {
		if (table->columns[i].type == LK_BYTES) {
			struct lk_bytes *b = lk_bytes_at(&table->columns[i], record);
			void *p;
			memcpy(&p, &b->p, sizeof(p));
			free(p);
		}
	}
}

void model_done(struct model *m)
{
	for (size_t t = 0; t < LK_T_COUNT; t++) {
		for (size_t i = 0; i < m->tables[t].count; i++)
			free_record(&lk_tables[t], m->tables[t].rows[i].record);
		free(m->tables[t].rows);
	}
	memset(m, 0, sizeof(*m));
}

void model_copy(const struct model *from, struct model *to)
{
	for (size_t t = 0; t < LK_T_COUNT; t++) {
		size_t count = from->tables[t].count;
		to->tables[t].count = count;
		to->tables[t].rows = calloc(count + 1, sizeof(struct model_row));
		assert_non_null(to->tables[t].rows);
		for (size_t i = 0; i < count; i++)
			copy_record(&lk_tables[t], from->tables[t].rows[i].record, to->tables[t].rows[i].record);
	}
}

int model_compare(const struct lk_table *table, const uint8_t *columns, uint8_t count, const void *a, const void *b)
{
	for (uint8_t i = 0; i < count; i++) {
		const struct lk_column *c = &table->columns[columns ? columns[i] : i];
		if (c->type == LK_INT) {
			int64_t x = *lk_int_of(c, a), y = *lk_int_of(c, b);
			if (x != y)
				return x < y ? -1 : 1;
			continue;
		}
		const struct lk_bytes *x = lk_bytes_of(c, a), *y = lk_bytes_of(c, b);
		size_t common = LK_MIN(x->len, y->len);
		int d = common ? memcmp(x->p, y->p, common) : 0;
		if (d)
			return d;
		if (x->len != y->len)
			return x->len < y->len ? -1 : 1;
	}
	return 0;
}

struct model_row *model_find(struct model *m, const struct lk_table *table, const void *key)
{
	struct model_table *t = &m->tables[table->id];
	for (size_t i = 0; i < t->count; i++) {
		if (model_compare(table, NULL, table->key_count, t->rows[i].record, key) == 0)
			return &t->rows[i];
	}
	return NULL;
}

void model_put(struct model *m, const struct lk_table *table, const void *record)
{
	struct model_table *t = &m->tables[table->id];
	struct model_row *row = model_find(m, table, record);
	if (row) {
		free_record(table, row->record);
	} else {
		t->rows = realloc(t->rows, (t->count + 1) * sizeof(*t->rows));
		assert_non_null(t->rows);
		row = &t->rows[t->count++];
		memset(row, 0, sizeof(*row));
	}
	copy_record(table, record, row->record);
}

void model_erase(struct model *m, const struct lk_table *table, const void *key)
{
	struct model_table *t = &m->tables[table->id];
	struct model_row *row = model_find(m, table, key);
	assert_non_null(row);
	free_record(table, row->record);
	*row = t->rows[--t->count];
}

void model_assert_equal(const struct lk_table *table, uint32_t set, const void *got, const void *want)
{
	for (uint8_t i = 0; i < table->column_count; i++) {
		const struct lk_column *c = &table->columns[i];
		bool in = set >> i & 1;
		if (c->type == LK_INT) {
			assert_int_equal(*lk_int_of(c, got), in ? *lk_int_of(c, want) : 0);
			continue;
		}
		const struct lk_bytes *g = lk_bytes_of(c, got), *w = lk_bytes_of(c, want);
		assert_int_equal(g->len, in ? w->len : 0);
		if (g->len)
			assert_memory_equal(g->p, w->p, g->len);
	}
}

static int64_t random_int(struct lk_test_random *random, bool few)
{
	static const int64_t special[] = {0, 1, -1, 127, 128, 32767, INT32_MAX, INT32_MIN, INT64_MAX, INT64_MIN};
	if (few)
		return special[lk_test_below(random, 4)] + (int64_t)lk_test_below(random, 3);
	switch (lk_test_below(random, 3)) {
	case 0:
		return special[lk_test_below(random, LK_ARRAY_LEN(special))];
	case 1:
		return (int64_t)lk_test_below(random, 1000);
	default:
		return (int64_t)lk_test_next(random);
	}
}

void model_random(struct lk_test_random *random, const struct lk_table *table, bool few, size_t bytes_max, void *record,
		  struct lk_buf *bytes)
{
	for (uint8_t i = 0; i < table->column_count; i++) {
		const struct lk_column *c = &table->columns[i];
		bool small = few && i < table->key_count;
		if (c->type == LK_INT) {
			/* Also what indexes hold: repeated values, so that their order by key shows. */
			*lk_int_at(c, record) = random_int(random, small || (few && lk_test_below(random, 2)));
			continue;
		}
		struct lk_bytes *b = lk_bytes_at(c, record);
		size_t max = small ? 3 : lk_test_below(random, 8) ? LK_MIN(bytes_max, (size_t)40) : bytes_max;
		b->len = lk_test_below(random, max + 1);
		assert_true(bytes->len + b->len <= LK_MODEL_BYTES);
		assert_int_equal(lk_buf_reserve(bytes, LK_MODEL_BYTES - bytes->len), 0);
		b->p = bytes->p + bytes->len;
		for (size_t k = 0; k < b->len; k++)
			bytes->p[bytes->len++] =
				(uint8_t)(small ? lk_test_below(random, 2) * 255 : lk_test_next(random));
	}
}

/* The scan's order: the index's columns, then the rest of the key. */
static uint8_t scan_order(const struct lk_scan *scan, uint8_t columns[LK_COLUMNS_MAX])
{
	const struct lk_table *table = scan->table;
	uint8_t count = 0;
	if (scan->index != LK_BY_KEY) {
		for (uint8_t i = 0; i < table->indexes[scan->index].column_count; i++)
			columns[count++] = table->indexes[scan->index].columns[i];
	}
	for (uint8_t i = 0; i < table->key_count; i++) {
		uint8_t j = 0;
		while (j < count && columns[j] != i)
			j++;
		if (j == count)
			columns[count++] = i;
	}
	return count;
}

struct check {
	const struct lk_scan *scan;
	struct model_row **want;
	size_t count, at;
	uint32_t set;
};

static int check_row(void *arg, const void *record)
{
	struct check *c = arg;
	assert_true(c->at < c->count);
	model_assert_equal(c->scan->table, c->set, record, c->want[c->at++]->record);
	return 0;
}

/* The numbers ascend here, so that the rows of all do. */
static bool is_among(const struct lk_scan *scan, const struct lk_column *first, const void *record)
{
	for (uint32_t i = 0; i < scan->among_count; i++) {
		if (scan->among[i] == *lk_int_of(first, record))
			return true;
	}
	return false;
}

static bool in_scan(const struct lk_scan *scan, const uint8_t *columns, const void *record)
{
	if (scan->among)
		return is_among(scan, &scan->table->columns[columns[0]], record);
	if (model_compare(scan->table, columns, scan->equal, record, scan->from) != 0)
		return false;
	if (!scan->ranged)
		return true;
	int d = model_compare(scan->table, columns + scan->equal, scan->ranged, record, scan->from);
	if (scan->reverse)
		d = -d;
	return scan->exclusive ? d > 0 : d >= 0;
}

void model_check_scan(struct model *m, struct lk_db *db, const struct lk_scan *scan)
{
	const struct lk_table *table = scan->table;
	struct model_table *t = &m->tables[table->id];
	uint8_t columns[LK_COLUMNS_MAX];
	uint8_t order = scan_order(scan, columns);
	struct check c = {.scan = scan, .set = UINT32_MAX};
	c.want = calloc(t->count + 1, sizeof(struct model_row *));
	assert_non_null(c.want);
	for (size_t i = 0; i < t->count; i++) {
		if (!in_scan(scan, columns, t->rows[i].record))
			continue;
		size_t at = c.count++;
		for (; at > 0; at--) {
			int d = model_compare(table, columns, order, c.want[at - 1]->record, t->rows[i].record);
			if (scan->reverse ? d > 0 : d < 0)
				break;
			c.want[at] = c.want[at - 1];
		}
		c.want[at] = &t->rows[i];
	}
	if (scan->limit && c.count > scan->limit)
		c.count = scan->limit;
	if (scan->keys_only || (scan->index != LK_BY_KEY && table->indexes[scan->index].covering)) {
		c.set = 0;
		for (uint8_t i = 0; i < order; i++)
			c.set |= UINT32_C(1) << columns[i];
		c.set |= scan->keys_only ? scan->also : 0;
	}
	assert_int_equal(lk_db_scan(db, scan, check_row, &c), 0);
	assert_int_equal(c.at, c.count);
	free(c.want);
}

/* Whether erasing and counting by the first two columns are made for the table. */
static bool has_second(const struct lk_table *table)
{
	return table->key_count >= 2 && table->columns[1].type == LK_INT;
}

void model_clear(struct model *m, struct lk_db *db, const struct lk_table *table, const void *from, int64_t to)
{
	const struct model_table *rows = &m->tables[table->id];
	uint32_t went = 0, want = 0;
	if (!has_second(table)) {
		assert_int_equal(lk_db_clear(db, table, from, to, &went), LINKFS_EINVAL);
		return;
	}
	for (size_t i = 0; i < rows->count;) {
		const void *record = rows->rows[i].record;
		if (model_compare(table, NULL, 1, record, from) == 0 && *lk_int_of(&table->columns[1], record) <= to) {
			model_erase(m, table, record);
			want++;
		} else {
			i++;
		}
	}
	assert_int_equal(lk_db_clear(db, table, from, to, &went), 0);
	assert_int_equal(went, want);
}

static int by_number(const void *a, const void *b)
{
	const int64_t *x = a, *y = b;
	return (*x > *y) - (*x < *y);
}

void model_check_nth(struct model *m, struct lk_db *db, const struct lk_table *table, const void *from, uint32_t n)
{
	const struct model_table *rows = &m->tables[table->id];
	int64_t got = 0, *seconds;
	size_t count = 0;
	if (!has_second(table)) {
		assert_int_equal(lk_db_nth(db, table, from, n, &got), LINKFS_EINVAL);
		return;
	}
	seconds = calloc(rows->count + 1, sizeof(*seconds));
	assert_non_null(seconds);
	for (size_t i = 0; i < rows->count; i++) {
		if (model_compare(table, NULL, 1, rows->rows[i].record, from) == 0)
			seconds[count++] = *lk_int_of(&table->columns[1], rows->rows[i].record);
	}
	qsort(seconds, count, sizeof(*seconds), by_number);
	assert_int_equal(lk_db_nth(db, table, from, n, &got), n < count ? 0 : LINKFS_ENOENT);
	if (n < count)
		assert_int_equal(got, seconds[n]);
	free(seconds);
}

void model_check_all(struct model *m, struct lk_db *db)
{
	for (size_t t = 0; t < LK_T_COUNT; t++) {
		for (int index = LK_BY_KEY; index < lk_tables[t].index_count; index++) {
			struct lk_scan scan = {.table = &lk_tables[t], .index = index};
			model_check_scan(m, db, &scan);
			scan.reverse = true;
			model_check_scan(m, db, &scan);
		}
	}
}
