/*
 * recover_cell.c - b-tree pages, cells and records as SQLite's file format lays them out.
 * Layer: check. U, X, M and K are that document's names: usable bytes of a page, the most of a payload that stays in it
 * whole, the least that stays, and what stays otherwise.
 */
#include "recover_read.h"

#include <string.h>

#define U LK_PAGE_SUMMED

bool lk_btree_parse(const uint8_t *page, uint32_t number, struct lk_btree_page *out)
{
	uint32_t at = number == 1 ? 100 : 0;
	const uint8_t *h = page + at;
	uint8_t type = h[0];
	if (type != LK_BTREE_INDEX_INNER && type != LK_BTREE_TABLE_INNER && type != LK_BTREE_INDEX_LEAF &&
	    type != LK_BTREE_TABLE_LEAF)
		return false;
	uint32_t cells = (uint32_t)h[3] << 8 | h[4];
	uint32_t first = at + (lk_btree_inner(type) ? 12 : 8);
	if (first + cells * 2 > U)
		return false;
	*out = (struct lk_btree_page){.bytes = page,
				      .cells = cells,
				      .first = first,
				      .right = lk_btree_inner(type) ? lk_get_be32(h + 8) : 0,
				      .type = type};
	return true;
}

/* Up to 9 bytes, the last of which gives 8 bits. Returns how many, 0 when it does not end before end. */
static uint32_t get_varint(const uint8_t *p, const uint8_t *end, uint64_t *out)
{
	uint64_t v = 0;
	for (uint32_t i = 0; i < 9 && p + i < end; i++) {
		if (i == 8) {
			*out = v << 8 | p[i];
			return 9;
		}
		v = v << 7 | (p[i] & 0x7f);
		if (!(p[i] & 0x80)) {
			*out = v;
			return i + 1;
		}
	}
	return 0;
}

static bool locate_payload(const uint8_t *p, const uint8_t *end, bool index, struct lk_cell *c)
{
	uint64_t most = index ? (U - 12) * 64 / 255 - 23 : U - 35;
	uint64_t least = (U - 12) * 32 / 255 - 23;
	uint64_t local = c->len;
	if (c->len > LK_PAYLOAD_MAX)
		return false;
	if (local > most) {
		uint64_t k = least + (c->len - least) % (U - 4);
		local = k <= most ? k : least;
	}
	if ((uint64_t)(end - p) < local + (local < c->len ? 4 : 0))
		return false;
	c->local = p;
	c->local_len = (uint32_t)local;
	c->next = local < c->len ? lk_get_be32(p + local) : 0;
	return true;
}

bool lk_btree_cell(struct lk_btree_page *page, uint32_t i, struct lk_cell *out)
{
	const uint8_t *pointer = page->bytes + page->first + i * 2, *end = page->bytes + U;
	uint32_t at = (uint32_t)pointer[0] << 8 | pointer[1], n;
	uint64_t value;
	if (at < page->first + page->cells * 2 || at >= U)
		return false;
	const uint8_t *p = page->bytes + at;
	*out = (struct lk_cell){0};
	if (lk_btree_inner(page->type)) {
		if (end - p < 4)
			return false;
		out->child = lk_get_be32(p);
		p += 4;
	}
	if (page->type != LK_BTREE_TABLE_INNER) {
		n = get_varint(p, end, &out->len);
		if (n == 0)
			return false;
		p += n;
	}
	if (page->type == LK_BTREE_TABLE_INNER || page->type == LK_BTREE_TABLE_LEAF) {
		n = get_varint(p, end, &value);
		if (n == 0)
			return false;
		p += n;
		out->rowid = (int64_t)value;
	}
	if (page->type == LK_BTREE_TABLE_INNER)
		return true;
	if (!locate_payload(p, end, page->type != LK_BTREE_TABLE_LEAF, out))
		return false;
	page->spent += out->local_len;
	return page->spent <= LK_CELLS_MAX;
}

#define CHAIN_MAX (LK_PAYLOAD_MAX / (U - 4) + 1)

int lk_cell_payload(struct lk_pages *pages, const struct lk_cell *cell, struct lk_buf *buf, struct lk_bytes *out)
{
	uint8_t page[LK_PAGE_SIZE];
	uint32_t chain[CHAIN_MAX], len = 0, next = cell->next;
	uint64_t have = cell->local_len;
	*out = (struct lk_bytes){cell->local, cell->local_len};
	if (have == cell->len)
		return 0;
	buf->len = 0;
	int r = lk_buf_append(buf, cell->local, cell->local_len);
	while (r == 0 && have < cell->len && len < CHAIN_MAX) {
		if (!lk_pages_read(pages, next, page) || (pages->marks[next] & (LK_MARK_TREE | LK_MARK_CHAIN)))
			return 0;
		size_t n = (size_t)LK_MIN(cell->len - have, U - 4);
		uint32_t after = lk_get_be32(page);
		have += n;
		if ((after == 0) != (have == cell->len)) /* longer or shorter than the payload */
			return 0;
		r = lk_buf_append(buf, page + 4, n);
		chain[len++] = next;
		next = after;
	}
	if (r || have < cell->len)
		return r;
	for (uint32_t i = 0; i < len; i++)
		pages->marks[chain[i]] |= LK_MARK_CHAIN;
	*out = (struct lk_bytes){buf->p, buf->len};
	return 0;
}

/* Bytes of a value of serial type t; 0 also for the types that have no meaning. */
static uint64_t serial_len(uint64_t t)
{
	static const uint8_t len[12] = {0, 1, 2, 3, 4, 6, 8, 8, 0, 0, 0, 0};
	return t < 12 ? len[t] : (t - 12) / 2;
}

static int64_t get_signed(const uint8_t *p, uint64_t len)
{
	uint64_t v = p[0] & 0x80 ? UINT64_MAX : 0;
	for (uint64_t i = 0; i < len; i++)
		v = v << 8 | p[i];
	return (int64_t)v;
}

static bool get_value(uint64_t t, const uint8_t *p, struct lk_value *out)
{
	*out = (struct lk_value){0};
	if (t == 0)
		out->kind = LK_VALUE_NULL;
	else if (t <= 6 || t == 8 || t == 9)
		out->kind = LK_VALUE_INT;
	else if (t >= 12)
		out->kind = t & 1 ? LK_VALUE_TEXT : LK_VALUE_BYTES;
	else
		return false; /* a real number: none of ours */
	if (t >= 12)
		out->bytes = (struct lk_bytes){p, (size_t)serial_len(t)};
	else if (t >= 8)
		out->number = t == 9;
	else if (t)
		out->number = get_signed(p, serial_len(t));
	return true;
}

bool lk_record_parse(const struct lk_bytes *payload, uint64_t full_len, struct lk_value values[LK_COLUMNS_MAX],
		     uint32_t *count_out)
{
	const uint8_t *start = payload->p, *end = start + payload->len;
	uint64_t header, type, at, len;
	uint32_t n = get_varint(start, end, &header), count = 0;
	if (n == 0 || header < n || header > payload->len)
		return false;
	at = header;
	for (const uint8_t *p = start + n; p < start + header; p += n) {
		n = get_varint(p, start + header, &type);
		if (n == 0 || count == LK_COLUMNS_MAX)
			return false;
		len = serial_len(type);
		if (len > full_len - at)
			return false;
		if (at + len > payload->len)
			values[count] = (struct lk_value){.kind = LK_VALUE_CUT};
		else if (!get_value(type, start + at, &values[count]))
			return false;
		at += len;
		count++;
	}
	*count_out = count;
	return at == full_len;
}
