/*
 * recover_scan.c - rows of pages that no tree leads to, for the gaps of the trees.
 * Layer: check.
 *
 * Three kinds, one after the other: sound pages in use (LOST), pages whose checksum does not hold (BAD), and old versions (STALE: free
 * pages, leftovers in the log). A page's rows decide together whose page it is; inner pages of indexes hold rows as well. A
 * row counts only in a gap of its tree, and an old one only where no LOST page of the same tree spans its key: what such a
 * page does not have was deleted.
 */
#include "recover_read.h"

#include <string.h>

/* One page's rows are read twice: first to find the tree, as far as they lie in the page; then whole, with the pages of their chains
 * but for old versions, whose chains have gone to others. *count_out 0: no row. */
static int read_cell(struct lk_reader *r, struct lk_btree_page *page, uint32_t i, bool whole, bool chains,
		     struct lk_cell *cell, struct lk_value *values, uint32_t *count_out)
{
	struct lk_bytes payload;
	int e = 0;
	*count_out = 0;
	if (!lk_btree_cell(page, i, cell))
		return 0;
	payload = (struct lk_bytes){cell->local, cell->local_len};
	if (whole && chains)
		e = lk_cell_payload(&r->pages, cell, &r->scratch, &payload);
	if (e || (whole && payload.len < cell->len))
		return e;
	if (!lk_record_parse(&payload, cell->len, values, count_out))
		*count_out = 0;
	return 0;
}

static bool fits(const struct lk_tree *t, const struct lk_btree_page *page, const struct lk_cell *cell,
		 const struct lk_value *values, uint32_t count, void *record)
{
	bool table = page->type == LK_BTREE_TABLE_LEAF;
	if (!t->wanted || lk_shape_rowid(&t->shape) != table || !lk_shape_fits(&t->shape, values, count))
		return false;
	for (uint32_t i = 0; i < count; i++) {
		if (values[i].kind == LK_VALUE_CUT)
			return true;
	}
	lk_shape_record(&t->shape, cell->rowid, values, record);
	return lk_row_valid(&t->shape, record);
}

/* The tree that most of the page's rows fit; NULL when it is none that is wanted. */
static int find_tree(struct lk_reader *r, struct lk_btree_page *page, struct lk_tree **out)
{
	_Alignas(8) uint8_t record[LK_RECORD_MAX];
	struct lk_value values[LK_COLUMNS_MAX];
	uint32_t votes[LK_SHAPES_MAX] = {0}, best = 0, count;
	struct lk_cell cell;
	*out = NULL;
	page->spent = 0;
	for (uint32_t i = 0; i < page->cells; i++) {
		int e = read_cell(r, page, i, false, false, &cell, values, &count);
		if (e)
			return e;
		for (uint32_t t = 0; t < r->tree_count && count; t++)
			votes[t] += fits(&r->trees[t], page, &cell, values, count, record);
	}
	for (uint32_t t = 0; t < r->tree_count; t++) {
		if (votes[t] > best) {
			best = votes[t];
			*out = &r->trees[t];
		}
	}
	return 0;
}

static int note_span(struct lk_tree *t, const struct lk_key *low, const struct lk_key *high)
{
	return lk_spans_add(&t->lost, low, high);
}

static int scan_page(struct lk_reader *r, const uint8_t *bytes, uint32_t number, const struct lk_origin *origin)
{
	_Alignas(8) uint8_t record[LK_RECORD_MAX];
	struct lk_value values[LK_COLUMNS_MAX];
	struct lk_btree_page page;
	struct lk_tree *t;
	struct lk_cell cell;
	struct lk_key key, low = {0}, high = {0};
	bool chains = origin->rank != LK_RANK_STALE, any = false;
	uint32_t count;
	if (!lk_btree_parse(bytes, number, &page) || page.type == LK_BTREE_TABLE_INNER)
		return 0;
	int e = find_tree(r, &page, &t);
	if (e || !t || lk_tree_whole(t))
		return e;
	page.spent = 0;
	for (uint32_t i = 0; i < page.cells && e == 0; i++) {
		e = read_cell(r, &page, i, true, chains, &cell, values, &count);
		if (e || !count || !fits(t, &page, &cell, values, count, record))
			continue;
		lk_key_of_record(&t->shape, record, &key);
		if (!any || lk_key_compare(&key, &low) < 0)
			low = key;
		if (!any || lk_key_compare(&key, &high) > 0)
			high = key;
		any = true;
		if (lk_tree_gap(t, &key) && (origin->rank != LK_RANK_STALE || !lk_spans_have(&t->lost, &key, false)))
			e = r->row(r->arg, t, record, origin);
	}
	return e == 0 && any && origin->rank == LK_RANK_LOST ? note_span(t, &low, &high) : e;
}

static int scan_current(struct lk_reader *r, enum lk_rank rank)
{
	struct lk_pages *p = &r->pages;
	uint8_t page[LK_PAGE_SIZE];
	struct lk_origin origin = {.rank = rank, .order = UINT32_MAX};
	int e = 0;
	for (uint32_t n = 2; n <= p->count && e == 0; n++) {
		bool is_free = p->marks[n] & LK_MARK_FREE;
		if (p->marks[n] & (LK_MARK_TREE | LK_MARK_CHAIN | LK_MARK_ZERO))
			continue;
		if (is_free != (rank == LK_RANK_STALE))
			continue;
		bool sound = lk_pages_read(p, n, page);
		if (r->progress && n % 1024 == 0)
			e = r->progress(r->arg, n, p->count);
		if (e || (p->marks[n] & LK_MARK_ZERO) || sound == (rank == LK_RANK_BAD))
			continue;
		origin.page = n;
		if (rank == LK_RANK_STALE)
			origin.order = 0;
		e = scan_page(r, page, n, &origin);
	}
	return e;
}

static int scan_stale(struct lk_reader *r)
{
	struct lk_pages *p = &r->pages;
	uint8_t page[LK_PAGE_SIZE];
	int e = 0;
	for (uint32_t i = 0; i < p->stale_count && e == 0; i++) {
		const struct lk_image *image = &p->stale[i];
		struct lk_origin origin = {.rank = LK_RANK_STALE, .order = image->order, .page = image->page};
		if (lk_pages_read_image(p, image, page))
			e = scan_page(r, page, image->page, &origin);
	}
	return e;
}

int lk_reader_scan(struct lk_reader *r)
{
	bool whole = true;
	for (uint32_t i = 0; i < r->tree_count; i++)
		whole = whole && (!r->trees[i].wanted || lk_tree_whole(&r->trees[i]));
	int e = scan_current(r, LK_RANK_LOST);
	if (e || whole)
		return e;
	e = scan_current(r, LK_RANK_BAD);
	if (e == 0)
		e = scan_current(r, LK_RANK_STALE);
	return e ? e : scan_stale(r);
}
