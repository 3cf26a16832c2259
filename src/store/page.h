/*
 * page.h - a page of meta.db as the file layer leaves it (V3), and where a new database's tables and indexes begin.
 * Layer: store. What those need to know who read meta.db without SQLite; vfs_sum.h has the rest.
 */
#ifndef LK_PAGE_H
#define LK_PAGE_H

#include "schema.h"

#define LK_PAGE_SIZE 4096
#define LK_PAGE_RESERVED 16
#define LK_PAGE_SUMMED (LK_PAGE_SIZE - LK_PAGE_RESERVED)
#define LK_WAL_HEADER 32
#define LK_FRAME_HEADER 24
#define LK_FRAME_SIZE (LK_FRAME_HEADER + LK_PAGE_SIZE)

/* XXH3-64 of the page's first LK_PAGE_SUMMED bytes, seeded with its number. */
uint64_t lk_page_sum(const void *page, uint32_t number);
/* Whether the sum in the page's reserved bytes is its own. */
bool lk_page_sound(const void *page, uint32_t number);

/* Called for each table and index with its root page in a database that was just made. All volumes are made by the same
 * statements in the same order, so that their roots are the same: nothing moves a root later. */
typedef int lk_root_fn(void *arg, const char *name, uint32_t root);
int lk_page_roots(lk_root_fn *fn, void *arg);

#endif
