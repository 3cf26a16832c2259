/*
 * recover_pages.c - the pages of a damaged meta.db: each as the log or the file has it, and whether its checksum holds.
 * Layer: check. Opened for reading only, and never by SQLite.
 */
#include "recover_read.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MEND_MAX 2048u /* pages; each takes some 10 ms when it cannot be mended */

static int open_file(const char *dir, const char *name, int *fd_out, uint64_t *size_out)
{
	struct stat st;
	char *path = NULL;
	if (asprintf(&path, "%s/%s", dir, name) < 0)
		return LINKFS_ENOMEM;
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK), e = errno;
	free(path);
	if (fd < 0)
		return linkfs_from_errno(e);
	if (fstat(fd, &st) || !S_ISREG(st.st_mode)) {
		(void)close(fd);
		return LINKFS_ENOTVOLUME;
	}
	*fd_out = fd;
	*size_out = (uint64_t)st.st_size;
	return 0;
}

static bool is_zero(const uint8_t *page)
{
	return page[0] == 0 && memcmp(page, page + 1, LK_PAGE_SIZE - 1) == 0;
}

/* A host that cannot read a page gives none of it: the rest of the volume is still there. */
static void read_page(int fd, uint64_t offset, uint8_t *page)
{
	size_t done = 0;
	if (lk_pread_some(fd, page, LK_PAGE_SIZE, offset, &done))
		done = 0;
	memset(page + done, 0, LK_PAGE_SIZE - done);
}

static const struct lk_image *find_log(const struct lk_pages *p, uint32_t number)
{
	uint32_t low = 0, high = p->log_count;
	while (low < high) {
		uint32_t middle = low + (high - low) / 2;
		if (p->log[middle].page == number)
			return &p->log[middle];
		if (p->log[middle].page < number)
			low = middle + 1;
		else
			high = middle;
	}
	return NULL;
}

static void flip(uint8_t *page, uint32_t bit)
{
	page[bit / 8] ^= (uint8_t)(1u << bit % 8);
}

/* Finds the bit, in the page or in the sum itself; some ten thousand sums, so not for every page of a ruin. */
static bool mend(struct lk_pages *p, uint32_t number, uint8_t *page)
{
	if (p->mend_left == 0)
		return false;
	p->mend_left--;
	for (uint32_t bit = 0; bit < (LK_PAGE_SUMMED + 8) * 8; bit++) {
		flip(page, bit);
		if (lk_page_sound(page, number)) {
			p->mended[p->mended_count++] = (struct lk_mended){number, bit};
			return true;
		}
		flip(page, bit);
	}
	return false;
}

static void mend_again(const struct lk_pages *p, uint32_t number, uint8_t *page)
{
	for (uint32_t i = 0; i < p->mended_count; i++) {
		if (p->mended[i].page == number)
			flip(page, p->mended[i].bit);
	}
}

bool lk_pages_read(struct lk_pages *p, uint32_t number, uint8_t page[LK_PAGE_SIZE])
{
	if (number == 0 || number > p->count) {
		memset(page, 0, LK_PAGE_SIZE);
		return false;
	}
	const struct lk_image *image = find_log(p, number);
	if (image)
		read_page(p->wal_fd, image->offset, page);
	else
		read_page(p->db_fd, (uint64_t)(number - 1) * LK_PAGE_SIZE, page);
	uint8_t *mark = &p->marks[number];
	if (!(*mark & LK_MARK_LOOKED)) {
		*mark |= LK_MARK_LOOKED;
		if (lk_page_sound(page, number))
			*mark |= LK_MARK_SOUND;
		else if (is_zero(page))
			*mark |= LK_MARK_ZERO;
		else if (mend(p, number, page))
			*mark |= LK_MARK_SOUND | LK_MARK_MENDED;
	} else if (*mark & LK_MARK_MENDED) {
		mend_again(p, number, page);
	}
	return *mark & LK_MARK_SOUND;
}

bool lk_pages_read_image(struct lk_pages *p, const struct lk_image *image, uint8_t page[LK_PAGE_SIZE])
{
	read_page(image->wal ? p->wal_fd : p->db_fd, image->offset, page);
	return lk_page_sound(page, image->page);
}

int lk_pages_open(const char *dir, struct lk_pages *p, struct linkfs_message *why)
{
	uint64_t size = 0, wal_size = 0;
	*p = (struct lk_pages){.db_fd = -1, .wal_fd = -1};
	int r = open_file(dir, "meta.db", &p->db_fd, &size);
	if (r)
		return lk_fail(why, r, "cannot read %s/meta.db: %s", dir, linkfs_strerror(r));
	r = open_file(dir, "meta.db-wal", &p->wal_fd, &wal_size);
	if (r && r != LINKFS_ENOENT)
		return lk_fail(why, r, "cannot read %s/meta.db-wal: %s", dir, linkfs_strerror(r));
	uint64_t pages = (size + LK_PAGE_SIZE - 1) / LK_PAGE_SIZE;
	if (pages > UINT32_MAX / 2)
		return lk_fail(why, LINKFS_EFBIG, "%s/meta.db is too large", dir);
	p->db_count = (uint32_t)pages;
	r = lk_wal_read(p);
	if (r == 0) {
		p->count = LK_MAX(p->db_count, p->log_count ? p->log[p->log_count - 1].page : 0);
		p->marks = calloc((size_t)p->count + 1, 1);
		p->mended = calloc(MEND_MAX, sizeof(*p->mended));
		p->mend_left = MEND_MAX;
		if (!p->marks || !p->mended)
			r = LINKFS_ENOMEM;
	}
	return r ? lk_fail(why, r, "cannot read the log of %s: %s", dir, linkfs_strerror(r)) : 0;
}

void lk_pages_close(struct lk_pages *p)
{
	if (p->db_fd >= 0)
		(void)close(p->db_fd);
	if (p->wal_fd >= 0)
		(void)close(p->wal_fd);
	free(p->log);
	free(p->stale);
	free(p->marks);
	free(p->mended);
	*p = (struct lk_pages){.db_fd = -1, .wal_fd = -1};
}
