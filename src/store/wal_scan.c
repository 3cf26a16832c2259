/*
 * wal_scan.c - looks through a WAL that a crash left before SQLite recovers from it (F1, F3).
 * Layer: store. SQLite ends the log at the first frame that does not hold and drops what stands behind. After a power cut
 * that is right: what was written since the last sync reached the disk in any order, or not at all. But a flipped bit in
 * an older frame would cost commits that were acknowledged, without a word. What can be told apart:
 *
 * W1 Each commit syncs the log before the next one writes to it. So where a frame that holds stands behind the end of the
 *    commit that a bad frame belongs to, the bad one was on the disk once: that is damage, and the volume is refused.
 * W2 Two checksums, SQLite's over a frame and the one before it and ours in its page, are 128 bits. Where turning one bit
 *    makes both hold it is turned: damage is mended so, and if a power cut left just that, the commit may as well show.
 * W3 Frames behind the end that carry the log's salts are wiped, so that W1 never takes what two cuts left for one.
 *
 * More than one wrong bit in the log's last commit looks like a torn write, and is taken for one: no later sync proves more.
 * The header's 32 bytes lie in one sector, so a header that is neither zero nor holds is damage wherever frames hold.
 */
#include "db_sqlite.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define WAL_MAGIC 0x377f0682u /* and the order of the words in checksums in the lowest bit */
#define WAL_VERSION 3007000u
#define CHUNK_FRAMES 64u
#define READER_TRIES 3
#define SECTOR 512u /* what is written wholly or not at all */

struct scan {
	int fd;
	bool read_only;
	uint8_t header[LK_WAL_HEADER];
	uint64_t frames; /* that the file has room for */
	uint8_t *chunk;
	uint64_t chunk_at, chunk_count;
	/* What was found. */
	uint64_t end; /* the first frame that does not hold, or frames */
	bool damage, remains, mended;
};

static uint32_t get_be(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static void put_be(uint8_t *p, uint32_t v)
{
	for (int i = 0; i < 4; i++)
		p[i] = (uint8_t)(v >> (24 - 8 * i));
}

static uint32_t get_word(const struct scan *s, const uint8_t *p)
{
	if (s->header[3] & 1)
		return get_be(p);
	return (uint32_t)p[3] << 24 | (uint32_t)p[2] << 16 | (uint32_t)p[1] << 8 | p[0];
}

/* SQLite's checksum, from sum on. */
static void add_sum(const struct scan *s, const uint8_t *p, size_t len, uint32_t sum[2])
{
	for (size_t i = 0; i < len; i += 8) {
		sum[0] += get_word(s, p + i) + sum[1];
		sum[1] += get_word(s, p + i + 4) + sum[0];
	}
}

static bool header_holds(const struct scan *s)
{
	const uint8_t *h = s->header;
	uint32_t sum[2] = {0, 0};
	add_sum(s, h, 24, sum);
	return (get_be(h) & ~1u) == WAL_MAGIC && get_be(h + 4) == WAL_VERSION && get_be(h + 8) == LK_PAGE_SIZE &&
	       get_be(h + 24) == sum[0] && get_be(h + 28) == sum[1];
}

/* before: the header of the frame before, or the end of the WAL's: its last 8 bytes are the checksum to go on from. */
static void frame_sum(const struct scan *s, const uint8_t *before, const uint8_t *frame, uint32_t sum[2])
{
	sum[0] = get_be(before + LK_FRAME_HEADER - 8);
	sum[1] = get_be(before + LK_FRAME_HEADER - 4);
	add_sum(s, frame, 8, sum);
	add_sum(s, frame + LK_FRAME_HEADER, LK_PAGE_SIZE, sum);
}

static bool has_salts(const struct scan *s, const uint8_t *frame)
{
	return memcmp(frame + 8, s->header + 16, 8) == 0;
}

/* Its page count is that of the database after a commit. */
static bool is_commit(const uint8_t *frame)
{
	return get_be(frame + 4) != 0;
}

static bool frame_holds(const struct scan *s, const uint8_t *before, const uint8_t *frame)
{
	const uint8_t *page = frame + LK_FRAME_HEADER;
	uint32_t sum[2];
	if (!has_salts(s, frame) || get_be(frame) == 0)
		return false;
	frame_sum(s, before, frame, sum);
	return get_be(frame + 16) == sum[0] && get_be(frame + 20) == sum[1] &&
	       lk_get_u64(page + LK_PAGE_SUMMED) == lk_page_sum(page, get_be(frame));
}

/* ---- one wrong bit (W2) ---------------------------------------------------------------------------------------------- */

static unsigned bits_apart(const uint8_t *a, const uint8_t *b, size_t len)
{
	unsigned n = 0;
	for (size_t i = 0; i < len; i++)
		n += (unsigned)__builtin_popcount((unsigned)(a[i] ^ b[i]));
	return n;
}

/* Two bits may do: that of a stored checksum's last word, and that of the last word it was made from. Then the frame
 * behind tells: it must hold too. next is NULL where there is none, or where it does not hold either way. */
struct mending {
	const struct scan *scan;
	const uint8_t *before, *next;
};

static bool holds_with_next(const struct mending *m, const uint8_t *frame)
{
	return frame_holds(m->scan, m->before, frame) && (!m->next || frame_holds(m->scan, frame, m->next));
}

static bool mend_header(struct scan *s, const uint8_t *next)
{
	for (unsigned bit = 0; bit < 8 * LK_WAL_HEADER; bit++) {
		s->header[bit / 8] ^= (uint8_t)(1u << bit % 8);
		if (header_holds(s) && (!next || frame_holds(s, s->header + LK_WAL_HEADER - LK_FRAME_HEADER, next)))
			return true;
		s->header[bit / 8] ^= (uint8_t)(1u << bit % 8);
	}
	return false;
}

/* Bytes [at, at + 8) of frame become those of right, if that is one bit and all there is to mend. */
static bool mend_bytes(const struct mending *m, uint8_t *frame, size_t at, const uint8_t right[8])
{
	uint8_t was[8];
	memcpy(was, frame + at, 8);
	if (bits_apart(was, right, 8) != 1)
		return false;
	memcpy(frame + at, right, 8);
	if (holds_with_next(m, frame))
		return true;
	memcpy(frame + at, was, 8);
	return false;
}

/* Turns a bit of the word at p if that moves the checksum by lack. One more in the word moves it by weight. */
static bool mend_word(const struct mending *m, uint8_t *frame, size_t at, const uint32_t weight[2],
		      const uint32_t lack[2])
{
	uint32_t word = get_word(m->scan, frame + at);
	for (unsigned bit = 0; bit < 32; bit++) {
		uint32_t step = word >> bit & 1 ? 0u - (1u << bit) : 1u << bit;
		if (weight[0] * step != lack[0] || weight[1] * step != lack[1])
			continue;
		uint8_t *byte = frame + at + (m->scan->header[3] & 1 ? 3 - bit / 8 : bit / 8);
		*byte ^= (uint8_t)(1u << bit % 8);
		if (holds_with_next(m, frame))
			return true;
		*byte ^= (uint8_t)(1u << bit % 8);
	}
	return false;
}

static bool mend_frame(const struct mending *m, uint8_t *frame)
{
	uint32_t sum[2];
	uint8_t right[8];
	if (mend_bytes(m, frame, 8, m->scan->header + 16))
		return true;
	if (!has_salts(m->scan, frame))
		return false;
	frame_sum(m->scan, m->before, frame, sum);
	put_be(right, sum[0]);
	put_be(right + 4, sum[1]);
	if (mend_bytes(m, frame, 16, right))
		return true;
	/* The checksum is linear: from the last pair of words back, what one more in each would add to it. */
	uint32_t lack[2] = {get_be(frame + 16) - sum[0], get_be(frame + 20) - sum[1]};
	uint32_t first[2] = {1, 1}, second[2] = {0, 1};
	for (size_t pair = (8 + LK_PAGE_SIZE) / 8; pair-- > 0;) {
		size_t at = pair ? LK_FRAME_HEADER + (pair - 1) * 8 : 0;
		if (mend_word(m, frame, at, first, lack) || mend_word(m, frame, at + 4, second, lack))
			return true;
		uint32_t *const weights[] = {first, second};
		for (int i = 0; i < 2; i++) {
			weights[i][0] += weights[i][1];
			weights[i][1] += weights[i][0];
		}
	}
	return false;
}

/* ---- the walk ------------------------------------------------------------------------------------------------------------ */

static uint64_t offset_of(uint64_t frame)
{
	return LK_WAL_HEADER + frame * LK_FRAME_SIZE;
}

static int get_frame(struct scan *s, uint64_t number, uint8_t **out)
{
	if (number < s->chunk_at || number >= s->chunk_at + s->chunk_count) {
		uint64_t count = LK_MIN(s->frames - number, (uint64_t)CHUNK_FRAMES);
		s->chunk_count = 0;
		int r = lk_pread_all(s->fd, s->chunk, (size_t)count * LK_FRAME_SIZE, offset_of(number));
		if (r)
			return r;
		s->chunk_at = number;
		s->chunk_count = count;
	}
	*out = s->chunk + (size_t)(number - s->chunk_at) * LK_FRAME_SIZE;
	return 0;
}

static int write_back(struct scan *s, const uint8_t *p, size_t len, uint64_t offset)
{
	s->mended = true;
	return s->read_only ? 0 : lk_pwrite_all(s->fd, p, len, offset);
}

/* The frame behind, for mending; NULL at the end of the file. */
static int get_next(const struct scan *s, uint64_t number, uint8_t buf[LK_FRAME_SIZE], const uint8_t **out)
{
	*out = number < s->frames ? buf : NULL;
	return *out ? lk_pread_all(s->fd, buf, LK_FRAME_SIZE, offset_of(number)) : 0;
}

static int try_frame(struct scan *s, const uint8_t *before, uint8_t *frame, bool *mended_out)
{
	uint8_t buf[LK_FRAME_SIZE];
	struct mending m = {.scan = s, .before = before};
	int r = get_next(s, s->end + 1, buf, &m.next);
	if (r)
		return r;
	bool mended = m.next && mend_frame(&m, frame);
	m.next = NULL;
	*mended_out = mended || mend_frame(&m, frame);
	return *mended_out ? write_back(s, frame, LK_FRAME_SIZE, offset_of(s->end)) : 0;
}

static int try_header(struct scan *s, bool *mended_out)
{
	uint8_t buf[LK_FRAME_SIZE];
	const uint8_t *next;
	int r = get_next(s, 0, buf, &next);
	if (r)
		return r;
	*mended_out = (next && mend_header(s, next)) || mend_header(s, NULL);
	return *mended_out ? write_back(s, s->header, LK_WAL_HEADER, 0) : 0;
}

/* Frames that hold, one after another, mended where need be. before is the last one's header then. */
static int walk_good(struct scan *s, uint8_t before[LK_FRAME_HEADER])
{
	memcpy(before, s->header + LK_WAL_HEADER - LK_FRAME_HEADER, LK_FRAME_HEADER);
	for (s->end = 0; s->end < s->frames; s->end++) {
		uint8_t *frame;
		int r = get_frame(s, s->end, &frame);
		if (r)
			return r;
		if (!frame_holds(s, before, frame)) {
			bool mended = false;
			r = try_frame(s, before, frame, &mended);
			if (r || !mended)
				return r;
		}
		memcpy(before, frame, LK_FRAME_HEADER);
	}
	return 0;
}

/* The mark of a commit and the salts lie in one sector: a torn frame has both from one write. */
static bool is_of_one_write(uint64_t frame)
{
	return (offset_of(frame) + 4) / SECTOR == (offset_of(frame) + 15) / SECTOR;
}

/* What stands behind: W1's proof, and what W3 wipes. before is the header of the last good frame. */
static int walk_behind(struct scan *s, uint8_t before[LK_FRAME_HEADER])
{
	bool committed = false; /* a commit ended between the bad frame and here */
	for (uint64_t i = s->end; i < s->frames; i++) {
		uint8_t *frame;
		int r = get_frame(s, i, &frame);
		if (r)
			return r;
		if (has_salts(s, frame)) {
			bool holds = frame_holds(s, before, frame);
			s->remains = true;
			s->damage |= committed && holds;
			committed |= is_commit(frame) && (holds || is_of_one_write(i));
		}
		memcpy(before, frame, LK_FRAME_HEADER);
	}
	return 0;
}

/* A header that does not hold: whether a frame does that follows another one. */
static int walk_headless(struct scan *s)
{
	uint8_t before[LK_FRAME_HEADER];
	for (uint64_t i = 0; i < s->frames && !s->damage; i++) {
		uint8_t *frame;
		int r = get_frame(s, i, &frame);
		if (r)
			return r;
		memcpy(s->header + 16, frame + 8, 8);
		s->damage = i > 0 && memcmp(before + 8, frame + 8, 8) == 0 && frame_holds(s, before, frame);
		memcpy(before, frame, LK_FRAME_HEADER);
	}
	return 0;
}

static int wipe(struct scan *s)
{
	static const uint8_t zeros[LK_FRAME_HEADER];
	for (uint64_t i = s->end; i < s->frames; i++) {
		uint8_t *frame;
		int r = get_frame(s, i, &frame);
		if (r == 0 && has_salts(s, frame))
			r = lk_pwrite_all(s->fd, zeros, sizeof(zeros), offset_of(i));
		if (r)
			return r;
	}
	return 0;
}

static int look(struct scan *s)
{
	static const uint8_t zeros[LK_WAL_HEADER];
	uint8_t before[LK_FRAME_HEADER];
	off_t size = lseek(s->fd, 0, SEEK_END);
	s->damage = s->remains = s->mended = false;
	s->chunk_count = 0;
	s->end = 0;
	if (size < (off_t)offset_of(1))
		return 0;
	s->frames = ((uint64_t)size - LK_WAL_HEADER) / LK_FRAME_SIZE;
	int r = lk_pread_all(s->fd, s->header, LK_WAL_HEADER, 0);
	/* Retired (vfs_layer.c): one bit of nothing is nothing. */
	if (r || bits_apart(s->header, zeros, LK_WAL_HEADER) <= 1)
		return r;
	if (!header_holds(s)) {
		bool mended = false;
		r = try_header(s, &mended);
		if (r == 0 && !mended)
			return walk_headless(s);
	}
	if (r == 0)
		r = walk_good(s, before);
	return r ? r : walk_behind(s, before);
}

/* Beside a writer a reader may see a frame that is being written; it holds the next time. */
static int look_patiently(struct scan *s)
{
	const struct timespec pause = {.tv_nsec = 20000000};
	int r = look(s);
	for (int i = 1; r == 0 && s->read_only && (s->damage || s->mended) && i < READER_TRIES; i++) {
		(void)nanosleep(&pause, NULL);
		r = look(s);
	}
	return r;
}

int lk_wal_scan(const char *path, bool read_only, struct linkfs_message *why)
{
	struct scan s = {.fd = open(path, (read_only ? O_RDONLY : O_RDWR) | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC),
			 .read_only = read_only};
	struct stat st;
	/* Nothing to lose; SQLite says what is wrong. */
	if (s.fd < 0 || fstat(s.fd, &st) || !S_ISREG(st.st_mode)) {
		if (s.fd >= 0)
			(void)close(s.fd);
		return 0;
	}
	s.chunk = malloc((size_t)CHUNK_FRAMES * LK_FRAME_SIZE);
	int r = s.chunk ? look_patiently(&s) : LINKFS_ENOMEM;
	if (r == 0 && !s.damage && s.remains && !read_only)
		r = wipe(&s);
	/* A full host that copies on write: opening comes first, and W3 guards against a second cut of a rare kind. */
	if (r == LINKFS_ENOSPC && !s.mended)
		r = 0;
	if (r == 0 && !read_only && (s.mended || s.remains) && fdatasync(s.fd))
		r = linkfs_from_errno(errno);
	free(s.chunk);
	(void)close(s.fd);
	if (r)
		return lk_fail(why, r, "%s: %s", path, linkfs_strerror(r));
	if (s.damage)
		return lk_fail(
			why, LINKFS_ECORRUPT,
			"%s is damaged at frame %llu: changes that were made durable stand behind it, and to open the "
			"volume would lose them; use a copy of the volume, or `linkfs recover` what can be read",
			path, (unsigned long long)s.end + 1);
	if (s.mended && read_only)
		return lk_fail(why, LINKFS_ECORRUPT,
			       "%s has a wrong bit; open the volume for writing once, which mends it", path);
	return 0;
}
