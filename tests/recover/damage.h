/*
 * damage.h - whose each page of a healthy meta.db is, read here without the product's reader; and damage to pages.
 */
#ifndef RECOVER_DAMAGE_H
#define RECOVER_DAMAGE_H

#include "tree.h"

#define PAGE 4096u

struct page_info {
	char tree[32]; /* table or index; "schema"; "" for what no tree leads to */
	uint8_t type;  /* of a b-tree page; 0: further page of a long row */
	unsigned cells;
	uint32_t owner; /* of such a further page: the page its chain begins on */
};
/* pages[1] is page 1. Freed by the caller. */
struct page_info *map_pages(const char *dir, uint32_t *count_out);

void page_zero(struct file_image *db, uint32_t page);
void page_noise(struct file_image *db, uint32_t page, struct lk_test_random *random);
/* Gives a changed page a checksum that holds. */
void page_sum(struct file_image *db, uint32_t page);

#endif
