/*
 * recover_wal.c - the write-ahead log: which frames count, and which whole pages lie about in it besides.
 * Layer: check. Never lets SQLite recover it: that would write to the volume.
 *
 * Frames count up to the last commit to which SQLite's running checksum holds. When it breaks, two things can be behind that:
 * the log's end, torn by a power cut in its last transaction, or damage. It is damage when two commits or more with the log's own salts
 * and whole pages follow, because a commit is synced before the next one begins. Then the log is read on to the last of them, and the
 * page of a damaged frame is lost, but where a later frame has it again. Whole pages in any other frame are old versions.
 *
 * When the log's header is damaged the first frame's salts stand in for it. A log that was done with has zeros there: it says the same as
 * the database, page for page, and gives what the database has lost and nothing else.
 */
#include "recover_read.h"

#include <stdlib.h>
#include <string.h>

#define MAGIC 0x377f0682u /* the lowest bit: checksums over big-endian words */
#define VERSION 3007000u

struct frame {
	uint32_t page, commit, salt[2];
	bool chained; /* SQLite's checksum holds from the first frame to this one */
	bool ours;    /* has the header's salts */
	bool whole;   /* the page's own checksum holds */
};

struct log {
	struct frame *frames;
	uint32_t count;
	bool header;  /* it is whole */
	bool emptied; /* it is nothing but zeros */
	bool salted;  /* salt is known */
	bool big;
	uint32_t salt[2];
};

static uint32_t word(const uint8_t *p, bool big)
{
	return big ? lk_get_be32(p)
		   : (uint32_t)p[3] << 24 | (uint32_t)p[2] << 16 | (uint32_t)p[1] << 8 | (uint32_t)p[0];
}

static void running_sum(const uint8_t *p, size_t len, bool big, uint32_t s[2])
{
	for (size_t i = 0; i + 8 <= len; i += 8) {
		s[0] += word(p + i, big) + s[1];
		s[1] += word(p + i + 4, big) + s[0];
	}
}

static bool read_header(int fd, struct log *log, uint32_t s[2])
{
	uint8_t h[LK_WAL_HEADER];
	log->emptied = true;
	if (lk_pread_all(fd, h, sizeof(h), 0))
		return false;
	for (size_t i = 0; i < sizeof(h); i++)
		log->emptied = log->emptied && h[i] == 0;
	if ((lk_get_be32(h) & ~1u) != MAGIC || lk_get_be32(h + 4) != VERSION || lk_get_be32(h + 8) != LK_PAGE_SIZE)
		return false;
	log->big = lk_get_be32(h) & 1;
	s[0] = s[1] = 0;
	running_sum(h, 24, log->big, s);
	log->salt[0] = lk_get_be32(h + 16);
	log->salt[1] = lk_get_be32(h + 20);
	return s[0] == lk_get_be32(h + 24) && s[1] == lk_get_be32(h + 28);
}

static uint64_t frame_at(uint32_t i)
{
	return LK_WAL_HEADER + (uint64_t)i * LK_FRAME_SIZE;
}

static void fill_frame(struct frame *f, const struct log *log, const uint8_t *buf)
{
	*f = (struct frame){.page = lk_get_be32(buf),
			    .commit = lk_get_be32(buf + 4),
			    .salt = {lk_get_be32(buf + 8), lk_get_be32(buf + 12)}};
	f->ours = log->salted && f->salt[0] == log->salt[0] && f->salt[1] == log->salt[1];
	f->whole = f->page && lk_page_sound(buf + LK_FRAME_HEADER, f->page);
}

/* Whether the frame's checksum goes on from s; s becomes the frame's. */
static bool follows(const uint8_t *buf, bool big, uint32_t s[2])
{
	running_sum(buf, 8, big, s);
	running_sum(buf + LK_FRAME_HEADER, LK_PAGE_SIZE, big, s);
	bool same = s[0] == lk_get_be32(buf + 16) && s[1] == lk_get_be32(buf + 20);
	s[0] = lk_get_be32(buf + 16);
	s[1] = lk_get_be32(buf + 20);
	return same;
}

static void chain(struct log *log, uint32_t i, const uint8_t *buf, uint32_t s[2])
{
	struct frame *f = &log->frames[i];
	uint32_t other[2] = {s[0], s[1]};
	bool before = i == 0 || log->frames[i - 1].chained;
	bool follow = follows(buf, log->big, s);
	if (!log->header && i == 0)
		follow = f->whole;
	if (!log->header && i == 1 && !follow && follows(buf, true, other))
		log->big = follow = true;
	f->chained = before && follow && f->ours && f->page;
}

static int read_frames(int fd, struct log *log)
{
	uint8_t buf[LK_FRAME_SIZE];
	uint32_t s[2] = {0, 0}, cap = 0;
	log->header = log->salted = read_header(fd, log, s);
	for (uint32_t i = 0; i < UINT32_MAX / 2; i++) {
		size_t done = 0;
		if (lk_pread_some(fd, buf, sizeof(buf), frame_at(i), &done))
			memset(buf, 0, sizeof(buf)); /* unreadable: as damaged; the end is found by the next */
		else if (done < LK_FRAME_SIZE)
			break;
		if (i == cap) {
			cap = cap ? cap * 2 : 256;
			struct frame *more = realloc(log->frames, cap * sizeof(*more));
			if (!more)
				return LINKFS_ENOMEM;
			log->frames = more;
		}
		if (i == 0 && !log->header) {
			log->salted = true;
			log->salt[0] = lk_get_be32(buf + 8);
			log->salt[1] = lk_get_be32(buf + 12);
		}
		log->count = i + 1;
		fill_frame(&log->frames[i], log, buf);
		chain(log, i, buf, s);
	}
	return 0;
}

/* How many frames count. */
static uint32_t find_end(const struct log *log, bool *damaged_out)
{
	uint32_t end = 0, later = 0, last = 0, i = 0;
	for (; i < log->count && log->frames[i].chained; i++) {
		if (log->frames[i].commit)
			end = i + 1;
	}
	for (; i < log->count; i++) {
		const struct frame *f = &log->frames[i];
		if (f->ours && f->whole && f->commit) {
			later++;
			last = i + 1;
		}
	}
	*damaged_out = later >= 2;
	return *damaged_out ? last : end;
}

static int by_page(const void *a, const void *b)
{
	const struct lk_image *x = a, *y = b;
	if (x->page != y->page)
		return x->page < y->page ? -1 : 1;
	return x->order < y->order ? -1 : x->order > y->order;
}

/* Later versions have larger orders: those in the log's own generation come last, others by their first salt, which SQLite counts up. */
static uint32_t order_of(const struct log *log, uint32_t i, uint32_t end)
{
	const struct frame *f = &log->frames[i];
	if (f->ours)
		return (i < end ? 2 : 3) * (UINT32_MAX / 4) + LK_MIN(i, UINT32_MAX / 4 - 1);
	return 1 + (uint32_t)(f->salt[0] % (UINT32_MAX / 4 - 1));
}

static struct lk_image image_of(const struct log *log, uint32_t i, uint32_t end)
{
	return (struct lk_image){.offset = frame_at(i) + LK_FRAME_HEADER,
				 .page = log->frames[i].page,
				 .order = order_of(log, i, end),
				 .wal = true};
}

/* Keeps the newest of each page. What the last one of the log covers in the file, when it is damaged, is an old version. */
static void settle(struct lk_pages *p, const struct log *log)
{
	uint32_t kept = 0;
	qsort(p->log, p->log_count, sizeof(*p->log), by_page);
	for (uint32_t i = 0; i < p->log_count; i++) {
		const struct lk_image *image = &p->log[i];
		uint32_t at = (uint32_t)((image->offset - LK_WAL_HEADER) / LK_FRAME_SIZE);
		bool last = i + 1 == p->log_count || p->log[i + 1].page != image->page;
		if (!last && log->frames[at].whole && p->log_damaged)
			p->stale[p->stale_count++] = *image;
		if (!last)
			continue;
		if (!log->frames[at].whole && image->page <= p->db_count)
			p->stale[p->stale_count++] = (struct lk_image){
				.offset = (uint64_t)(image->page - 1) * LK_PAGE_SIZE, .page = image->page};
		p->log[kept++] = *image;
	}
	p->log_count = kept;
}

/* Of a log that was done with: only what the database has lost. Where it says something else than a sound page it was not done
 * with, or partly written over: which of the two is the newer one cannot be told. */
static void keep_lost(struct lk_pages *p)
{
	uint8_t ours[LK_PAGE_SIZE], theirs[LK_PAGE_SIZE];
	uint32_t kept = 0;
	for (uint32_t i = 0; i < p->log_count; i++) {
		struct lk_image image = p->log[i];
		struct lk_image db = {.offset = (uint64_t)(image.page - 1) * LK_PAGE_SIZE, .page = image.page};
		if (!lk_pages_read_image(p, &db, theirs)) {
			p->log[kept++] = image;
			continue;
		}
		(void)lk_pages_read_image(p, &image, ours);
		if (memcmp(ours, theirs, LK_PAGE_SUMMED) != 0) {
			p->log_damaged = true;
			p->stale[p->stale_count++] = image;
		}
	}
	p->log_count = kept;
}

static int take(struct lk_pages *p, const struct log *log)
{
	uint32_t end = find_end(log, &p->log_damaged);
	/* A page number far past what the file and the log can hold is nobody's. */
	uint64_t most = p->db_count + UINT64_C(64) * log->count + 1024;
	p->frames = log->emptied ? 0 : end;
	p->log_damaged = p->log_damaged || (!log->header && !log->emptied && end);
	if (log->count == 0)
		return 0;
	p->log = calloc(log->count, sizeof(*p->log));
	p->stale = calloc((size_t)log->count * 2, sizeof(*p->stale));
	if (!p->log || !p->stale)
		return LINKFS_ENOMEM;
	for (uint32_t i = 0; i < log->count; i++) {
		const struct frame *f = &log->frames[i];
		if (f->page == 0 || f->page > most || f->page > UINT32_MAX / 2)
			continue;
		if (i < end && f->ours)
			p->log[p->log_count++] = image_of(log, i, end);
		else if (f->whole)
			p->stale[p->stale_count++] = image_of(log, i, end);
	}
	settle(p, log);
	if (log->emptied)
		keep_lost(p);
	return 0;
}

int lk_wal_read(struct lk_pages *p)
{
	struct log log = {0};
	int r = p->wal_fd < 0 ? 0 : read_frames(p->wal_fd, &log);
	if (r == 0)
		r = take(p, &log);
	free(log.frames);
	return r;
}
