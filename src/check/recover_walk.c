/*
 * recover_walk.c - the trees of a damaged database, walked as far as sound pages lead.
 * Layer: check.
 *
 * A page belongs to a tree when its checksum holds, a sound page of the tree points to it, its kind and every row fit the tree, and its
 * keys lie in order between those that lead to it (so that an outdated page in its place shows). What lies under
 * any other pointer is a gap: a range of keys of which the tree says nothing. Outside its gaps a tree is the truth: a row that
 * is not there is not in the volume.
 */
#include "recover_read.h"

#include <stdlib.h>
#include <string.h>

#define DEPTH_MAX 20 /* SQLite's own limit */
#define SCHEMA_COLUMNS 5

/* ---- ranges of keys -------------------------------------------------------------------------------------------------- */

static int copy_key(const struct lk_key *key, struct lk_key **out)
{
	*out = NULL;
	if (!key)
		return 0;
	size_t size = offsetof(struct lk_key, bytes) + key->len;
	*out = malloc(size);
	if (!*out)
		return LINKFS_ENOMEM;
	memcpy(*out, key, size);
	return 0;
}

int lk_spans_add(struct lk_spans *s, const struct lk_key *from, const struct lk_key *to)
{
	struct lk_span span;
	if (s->len == s->cap) {
		uint32_t cap = s->cap ? s->cap * 2 : 16;
		struct lk_span *more = realloc(s->p, cap * sizeof(*more));
		if (!more)
			return LINKFS_ENOMEM;
		s->p = more;
		s->cap = cap;
	}
	int r = copy_key(from, &span.from);
	if (r == 0) {
		r = copy_key(to, &span.to);
		if (r)
			free(span.from);
	}
	if (r)
		return r;
	s->p[s->len++] = span;
	s->sorted = false;
	return 0;
}

void lk_spans_done(struct lk_spans *s)
{
	for (uint32_t i = 0; i < s->len; i++) {
		free(s->p[i].from);
		free(s->p[i].to);
	}
	free(s->p);
	*s = (struct lk_spans){0};
}

static int by_from(const void *a, const void *b)
{
	const struct lk_span *x = a, *y = b;
	if (!x->from || !y->from)
		return (x->from != NULL) - (y->from != NULL);
	return lk_key_compare(x->from, y->from);
}

/* Sorts, and makes one range of those that touch. */
static void sort(struct lk_spans *s)
{
	uint32_t kept = 0;
	if (s->len)
		qsort(s->p, s->len, sizeof(*s->p), by_from);
	for (uint32_t i = 0; i < s->len; i++) {
		struct lk_span *last = kept ? &s->p[kept - 1] : NULL, next = s->p[i];
		if (!last || (last->to && next.from && lk_key_compare(last->to, next.from) < 0)) {
			s->p[kept++] = next;
			continue;
		}
		bool longer = last->to && (!next.to || lk_key_compare(next.to, last->to) > 0);
		free(longer ? last->to : next.to);
		if (longer)
			last->to = next.to;
		free(next.from);
	}
	s->len = kept;
	s->sorted = true;
}

bool lk_spans_have(struct lk_spans *s, const struct lk_key *key, bool after_from)
{
	if (!s->sorted)
		sort(s);
	/* The last range that begins before the key. */
	uint32_t low = 0, high = s->len;
	while (low < high) {
		uint32_t middle = low + (high - low) / 2;
		const struct lk_key *from = s->p[middle].from;
		int c = from ? lk_key_compare(from, key) : -1;
		if (c < 0 || (c == 0 && !after_from))
			low = middle + 1;
		else
			high = middle;
	}
	return low && (!s->p[low - 1].to || lk_key_compare(key, s->p[low - 1].to) <= 0);
}

bool lk_tree_gap(struct lk_tree *tree, const struct lk_key *key)
{
	return lk_spans_have(&tree->gaps, key, true);
}

bool lk_tree_gap_at(struct lk_tree *tree, const void *record)
{
	struct lk_key key;
	if (tree->gaps.len == 0)
		return false;
	lk_key_of_record(&tree->shape, record, &key);
	return lk_tree_gap(tree, &key);
}

/* ---- the walk ---------------------------------------------------------------------------------------------------------- */

/* A page under examination, on the stack of the walk. */
struct level {
	struct lk_btree_page page;
	uint8_t bytes[LK_PAGE_SIZE];
};

static bool kind_fits(const struct lk_tree *t, uint8_t type)
{
	return lk_shape_rowid(&t->shape) ? type == LK_BTREE_TABLE_LEAF || type == LK_BTREE_TABLE_INNER
					 : type == LK_BTREE_INDEX_LEAF || type == LK_BTREE_INDEX_INNER;
}

/* Reads cell i's row (there is none on the inner pages of tables) and key. *fits_out false: it does not fit the tree.
 * whole: also what does not lie in the page. */
static int read_row(struct lk_reader *r, const struct lk_tree *t, struct lk_btree_page *page, uint32_t i, bool whole,
		    struct lk_cell *cell, struct lk_value *values, struct lk_key *key, bool *fits_out)
{
	struct lk_bytes payload;
	int e = 0;
	uint32_t count = 0;
	*fits_out = false;
	if (!lk_btree_cell(page, i, cell))
		return 0;
	if (lk_shape_rowid(&t->shape))
		lk_key_of_rowid(cell->rowid, key);
	if (page->type == LK_BTREE_TABLE_INNER) {
		*fits_out = true;
		return 0;
	}
	payload = (struct lk_bytes){cell->local, cell->local_len};
	if (whole)
		e = lk_cell_payload(&r->pages, cell, &r->scratch, &payload);
	if (e)
		return e;
	*fits_out = lk_record_parse(&payload, cell->len, values, &count) && lk_shape_fits(&t->shape, values, count) &&
		    (lk_shape_rowid(&t->shape) || lk_key_of_values(&t->shape, values, key));
	return 0;
}

static bool is_cut(const struct lk_value *values, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++) {
		if (values[i].kind == LK_VALUE_CUT)
			return true;
	}
	return false;
}

/* Every cell fits, in order, between the keys that lead here. */
static int examine(struct lk_reader *r, const struct lk_tree *t, struct lk_btree_page *page, const struct lk_key *from,
		   const struct lk_key *to, bool *fits_out)
{
	struct lk_value values[LK_COLUMNS_MAX];
	struct lk_cell cell;
	struct lk_key keys[2];
	const struct lk_key *last = from;
	bool fits = true;
	int e = 0;
	page->spent = 0;
	for (uint32_t i = 0; i < page->cells && e == 0 && fits; i++) {
		struct lk_key *key = &keys[i & 1];
		e = read_row(r, t, page, i, false, &cell, values, key, &fits);
		if (e == 0 && fits)
			fits = (!last || lk_key_compare(last, key) <= 0) && (!to || lk_key_compare(key, to) <= 0);
		last = key;
	}
	*fits_out = fits;
	return e;
}

static int give_row(struct lk_reader *r, const struct lk_tree *t, const struct lk_cell *cell,
		    const struct lk_value *values, uint32_t number)
{
	_Alignas(8) uint8_t record[LK_RECORD_MAX];
	struct lk_origin origin = {.rank = LK_RANK_REACHED, .page = number, .order = UINT32_MAX};
	if (!t->wanted)
		return 0;
	if (is_cut(values, t->shape.count)) {
		r->broken++;
		return 0;
	}
	lk_shape_record(&t->shape, cell->rowid, values, record);
	if (!lk_row_valid(&t->shape, record)) {
		r->broken++;
		return 0;
	}
	return r->row(r->arg, t, record, &origin);
}

static int walk(struct lk_reader *r, struct lk_tree *t, uint32_t number, uint32_t depth, const struct lk_key *from,
		const struct lk_key *to);

static int descend(struct lk_reader *r, struct lk_tree *t, struct level *level, uint32_t number, uint32_t depth,
		   const struct lk_key *from, const struct lk_key *to)
{
	struct lk_value values[LK_COLUMNS_MAX];
	struct lk_cell cell;
	struct lk_key keys[2];
	const struct lk_key *last = from;
	bool fits, inner = lk_btree_inner(level->page.type);
	int e = 0;
	level->page.spent = 0;
	for (uint32_t i = 0; i < level->page.cells && e == 0; i++) {
		struct lk_key *key = &keys[i & 1];
		e = read_row(r, t, &level->page, i, true, &cell, values, key, &fits);
		/* The row first: its values lie in a buffer that the walk below uses. */
		if (e == 0 && fits && level->page.type != LK_BTREE_TABLE_INNER)
			e = give_row(r, t, &cell, values, number);
		if (e == 0 && inner)
			e = walk(r, t, cell.child, depth + 1, last, key);
		last = key;
	}
	return e == 0 && inner ? walk(r, t, level->page.right, depth + 1, last, to) : e;
}

static int walk(struct lk_reader *r, struct lk_tree *t, uint32_t number, uint32_t depth, const struct lk_key *from,
		const struct lk_key *to)
{
	struct lk_pages *p = &r->pages;
	bool fits = false;
	int e = 0;
	r->missing += number > p->count;
	if (number >= 1 && number <= p->count)
		p->marks[number] |= LK_MARK_LED;
	/* Page 1 is the schema's; a page that is in a tree already is in no second one. */
	if (number < 2 || number > p->count || depth > DEPTH_MAX || (p->marks[number] & (LK_MARK_TREE | LK_MARK_CHAIN)))
		return lk_spans_add(&t->gaps, from, to);
	struct level *level = malloc(sizeof(*level));
	if (!level)
		return LINKFS_ENOMEM;
	if (lk_pages_read(p, number, level->bytes) && lk_btree_parse(level->bytes, number, &level->page) &&
	    kind_fits(t, level->page.type)) {
		p->marks[number] |= LK_MARK_TREE; /* before its chains are read: none of them leads here */
		e = examine(r, t, &level->page, from, to, &fits);
		if (!fits)
			p->marks[number] &= (uint8_t)~LK_MARK_TREE;
	}
	if (e == 0 && r->progress && ++r->walked % 1024 == 0)
		e = r->progress(r->arg, r->walked, p->count);
	if (e == 0)
		e = fits ? descend(r, t, level, number, depth, from, to) : lk_spans_add(&t->gaps, from, to);
	free(level);
	return e;
}

/* ---- roots --------------------------------------------------------------------------------------------------------------- */

static void set_root(struct lk_reader *r, const void *name, size_t len, int64_t root)
{
	for (uint32_t i = 0; i < r->tree_count; i++) {
		struct lk_tree *t = &r->trees[i];
		if (!t->root && strlen(t->shape.name) == len && memcmp(t->shape.name, name, len) == 0 && root > 1 &&
		    root <= (int64_t)r->pages.count)
			t->root = (uint32_t)root;
	}
}

/* A row of sqlite_schema: type, name, table, root page, SQL. */
static int schema_row(struct lk_reader *r, const struct lk_cell *cell)
{
	struct lk_value v[LK_COLUMNS_MAX];
	struct lk_bytes payload;
	uint32_t count;
	int e = lk_cell_payload(&r->pages, cell, &r->scratch, &payload);
	if (e == 0 && lk_record_parse(&payload, cell->len, v, &count) && count == SCHEMA_COLUMNS &&
	    v[1].kind == LK_VALUE_TEXT && v[3].kind == LK_VALUE_INT)
		set_root(r, v[1].bytes.p, v[1].bytes.len, v[3].number);
	return e;
}

static int walk_schema(struct lk_reader *r, uint32_t number, uint32_t depth)
{
	struct lk_pages *p = &r->pages;
	struct lk_cell cell;
	int e = 0;
	if (number < 1 || number > p->count || depth > DEPTH_MAX || (p->marks[number] & LK_MARK_TREE))
		return 0;
	struct level *level = malloc(sizeof(*level));
	if (!level)
		return LINKFS_ENOMEM;
	if (lk_pages_read(p, number, level->bytes) && lk_btree_parse(level->bytes, number, &level->page) &&
	    (level->page.type == LK_BTREE_TABLE_LEAF || level->page.type == LK_BTREE_TABLE_INNER)) {
		p->marks[number] |= LK_MARK_TREE;
		for (uint32_t i = 0; i < level->page.cells && e == 0; i++) {
			if (!lk_btree_cell(&level->page, i, &cell))
				continue;
			e = level->page.right ? walk_schema(r, cell.child, depth + 1) : schema_row(r, &cell);
		}
		if (e == 0 && level->page.right)
			e = walk_schema(r, level->page.right, depth + 1);
	}
	free(level);
	return e;
}

static int default_root(void *arg, const char *name, uint32_t root)
{
	set_root(arg, name, strlen(name), root);
	return 0;
}

/* ---- free pages ------------------------------------------------------------------------------------------------------------ */

static bool mark_free(struct lk_pages *p, uint32_t number)
{
	if (number < 2 || number > p->count || (p->marks[number] & (LK_MARK_TREE | LK_MARK_CHAIN | LK_MARK_FREE)))
		return false;
	p->marks[number] |= LK_MARK_FREE;
	return true;
}

/* Trunk pages: the next one, how many leaves, the leaves. */
static void walk_free(struct lk_reader *r)
{
	struct lk_pages *p = &r->pages;
	uint8_t page[LK_PAGE_SIZE];
	if (!lk_pages_read(p, 1, page))
		return;
	uint32_t next = lk_get_be32(page + 32), left = lk_get_be32(page + 36);
	while (next) {
		if (!mark_free(p, next) || left == 0 || !lk_pages_read(p, next, page))
			return;
		uint32_t leaves = lk_get_be32(page + 4);
		left--;
		if (leaves > LK_PAGE_SUMMED / 4 - 2 || leaves > left)
			return;
		for (uint32_t i = 0; i < leaves; i++) {
			if (!mark_free(p, lk_get_be32(page + 8 + i * 4)))
				return;
		}
		left -= leaves;
		next = lk_get_be32(page);
	}
	r->free_known = left == 0;
}

/* ---- the reader -------------------------------------------------------------------------------------------------------------- */

static bool wanted(const struct lk_shape *s)
{
	static const enum lk_table_id tables[] = {LK_T_SUPER,  LK_T_COUNTER, LK_T_INODE,    LK_T_DIRENT,
						  LK_T_TARGET, LK_T_INLINE,  LK_T_EXTENT,   LK_T_XATTR,
						  LK_T_ORPHAN, LK_T_INTENT,  LK_T_SNAPSHOT, LK_T_BIND};
	for (size_t i = 0; i < LK_ARRAY_LEN(tables); i++) {
		if (s->table->id == tables[i])
			return s->index == LK_SHAPE_TABLE || s->table->id == LK_T_DIRENT;
	}
	return false;
}

struct lk_tree *lk_reader_tree(struct lk_reader *r, enum lk_table_id table, int index)
{
	for (uint32_t i = 0; i < r->tree_count; i++) {
		if (r->trees[i].shape.table->id == table && r->trees[i].shape.index == index)
			return &r->trees[i];
	}
	return NULL;
}

int lk_reader_open(const char *dir, struct lk_reader *r, struct linkfs_message *why)
{
	struct lk_shape shapes[LK_SHAPES_MAX];
	r->tree_count = lk_shapes_make(shapes);
	for (uint32_t i = 0; i < r->tree_count; i++)
		r->trees[i] = (struct lk_tree){.shape = shapes[i], .wanted = wanted(&shapes[i])};
	return lk_pages_open(dir, &r->pages, why);
}

int lk_reader_run(struct lk_reader *r)
{
	int e = walk_schema(r, 1, 0);
	/* Where a schema page is lost: no statement of ours ever moves a root, so a new database tells. */
	if (e == 0)
		e = lk_page_roots(default_root, r);
	for (uint32_t i = 0; i < r->tree_count && e == 0; i++) {
		struct lk_tree *t = &r->trees[i];
		e = walk(r, t, t->root, 0, NULL, NULL);
	}
	if (e)
		return e;
	walk_free(r);
	return lk_reader_scan(r);
}

void lk_reader_close(struct lk_reader *r)
{
	lk_pages_close(&r->pages);
	for (uint32_t i = 0; i < r->tree_count; i++) {
		lk_spans_done(&r->trees[i].gaps);
		lk_spans_done(&r->trees[i].lost);
	}
	lk_buf_done(&r->scratch);
	r->tree_count = 0;
}
