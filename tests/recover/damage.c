/*
 * damage.c - see damage.h. The walk trusts its database: it is a healthy one.
 */
#include "damage.h"

#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#define USABLE 4080u

static uint32_t be32(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static uint64_t varint(const uint8_t **p)
{
	uint64_t v = 0;
	for (int i = 0; i < 8; i++) {
		v = v << 7 | (**p & 0x7f);
		if (!(*(*p)++ & 0x80))
			return v;
	}
	return v << 8 | *(*p)++;
}

static const uint8_t *at(const struct file_image *db, uint32_t page)
{
	assert_true(page >= 1 && page <= db->len / PAGE);
	return db->p + (size_t)(page - 1) * PAGE;
}

/* The pages behind a payload that does not fit. */
static void mark_chain(const struct file_image *db, struct page_info *pages, const char *tree, uint32_t owner,
		       const uint8_t *payload, uint64_t len, bool index)
{
	uint64_t most = index ? (USABLE - 12) * 64 / 255 - 23 : USABLE - 35, least = (USABLE - 12) * 32 / 255 - 23;
	if (len <= most)
		return;
	uint64_t local = least + (len - least) % (USABLE - 4);
	uint32_t next = be32(payload + (local <= most ? local : least));
	while (next) {
		(void)snprintf(pages[next].tree, sizeof(pages[next].tree), "%s", tree);
		pages[next].owner = owner;
		next = be32(at(db, next));
	}
}

static void mark_tree(const struct file_image *db, struct page_info *pages, const char *tree, uint32_t page)
{
	const uint8_t *p = at(db, page), *h = p + (page == 1 ? 100 : 0);
	bool inner = h[0] == 2 || h[0] == 5, index = h[0] == 2 || h[0] == 10;
	struct page_info *info = &pages[page];
	(void)snprintf(info->tree, sizeof(info->tree), "%s", tree);
	info->type = h[0];
	info->cells = (unsigned)h[3] << 8 | h[4];
	for (unsigned i = 0; i < info->cells; i++) {
		const uint8_t *pointer = h + (inner ? 12 : 8) + 2 * i, *cell = p + (pointer[0] << 8 | pointer[1]);
		if (inner) {
			mark_tree(db, pages, tree, be32(cell));
			cell += 4;
		}
		if (h[0] == 5)
			continue;
		uint64_t len = varint(&cell);
		if (!index)
			(void)varint(&cell);
		mark_chain(db, pages, tree, page, cell, len, index);
	}
	if (inner)
		mark_tree(db, pages, tree, be32(h + 8));
}

struct page_info *map_pages(const char *dir, uint32_t *count_out)
{
	struct file_image db;
	char uri[4200];
	sqlite3 *handle = NULL;
	sqlite3_stmt *stmt = NULL;
	image_read(dir, "meta.db", &db);
	uint32_t count = (uint32_t)(db.len / PAGE);
	struct page_info *pages = calloc((size_t)count + 1, sizeof(*pages));
	assert_non_null(pages);
	mark_tree(&db, pages, "schema", 1);
	(void)snprintf(uri, sizeof(uri), "file:%s/meta.db?immutable=1", dir);
	assert_int_equal(sqlite3_open_v2(uri, &handle, SQLITE_OPEN_READONLY | SQLITE_OPEN_URI, NULL), SQLITE_OK);
	assert_int_equal(sqlite3_prepare_v2(handle, "SELECT name, rootpage FROM sqlite_schema", -1, &stmt, NULL),
			 SQLITE_OK);
	while (sqlite3_step(stmt) == SQLITE_ROW)
		mark_tree(&db, pages, (const char *)sqlite3_column_text(stmt, 0),
			  (uint32_t)sqlite3_column_int64(stmt, 1));
	(void)sqlite3_finalize(stmt);
	(void)sqlite3_close(handle);
	image_done(&db);
	*count_out = count;
	return pages;
}

void page_zero(struct file_image *db, uint32_t page)
{
	memset(db->p + (size_t)(page - 1) * PAGE, 0, PAGE);
}

void page_noise(struct file_image *db, uint32_t page, struct lk_test_random *random)
{
	uint8_t *p = db->p + (size_t)(page - 1) * PAGE;
	for (size_t i = 0; i < PAGE; i++)
		p[i] = (uint8_t)lk_test_next(random);
}

void page_sum(struct file_image *db, uint32_t page)
{
	uint8_t *p = db->p + (size_t)(page - 1) * PAGE;
	uint64_t sum = XXH3_64bits_withSeed(p, USABLE, page);
	for (int i = 0; i < 8; i++)
		p[USABLE + (unsigned)i] = (uint8_t)(sum >> (8 * i));
}
