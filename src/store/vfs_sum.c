/*
 * vfs_sum.c - page checksums below SQLite (V3): the files. vfs_layer.c is the layer that opens them.
 * Layer: store. Main database and WAL files are wrapped; journals and temporary files are the unix layer's own.
 *
 * The WAL. SQLite writes a frame as two writes: 24 bytes of header, which hold SQLite's own checksum over the page as it
 * was handed out, then the page. We change the page's reserved bytes after that, so its last 8 bytes are chosen to keep
 * SQLite's checksum: over 32-bit words x0 x1 ... it is s0 += x[i] + s1, s1 += x[i+1] + s0 (mod 2^32), which is linear,
 * so when the sum's two words grow by du and dv the next two must shrink by 2du + dv and du + dv.
 */
#include "vfs_sum.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <xxhash.h>

#define GATHER_FRAMES 31u /* less than 128 KiB: the unix layer writes no more at once */

enum kind { MAIN_DB, WAL };

struct sum_file {
	sqlite3_file base; /* first: SQLite's view of us */
	enum kind kind;
	struct sum_file *db; /* of a WAL: its database */
	struct lk_space *space;
	const char *name;  /* of a database; SQLite keeps it as long as the file is open */
	int64_t header_at; /* of a WAL: offset of the frame header kept in header, to be written with its page; or -1 */
	uint8_t header[LK_FRAME_HEADER];
	/* Of a WAL: frames gathered for one write, of one commit. Nobody reads them before its last: SQLite publishes frames after it. */
	uint8_t *gathered;
	int64_t gathered_at;
	size_t gathered_len;
	uint8_t order; /* of the words in a WAL's checksums: 0 not known yet, 1 little-endian, 2 big-endian */
};

/* The wrapped file lies behind ours in the same piece of memory. */
static sqlite3_file *real(sqlite3_file *file)
{
	return (sqlite3_file *)(void *)((char *)file + sizeof(struct sum_file));
}

static struct sum_file *sum_of(sqlite3_file *file)
{
	return (struct sum_file *)(void *)file;
}

uint64_t lk_page_sum(const void *page, uint32_t number)
{
	return XXH3_64bits_withSeed(page, LK_PAGE_SUMMED, number);
}

static uint32_t get_be(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static uint32_t get_word(const uint8_t *p, uint8_t order)
{
	return order == 2 ? get_be(p) : (uint32_t)p[3] << 24 | (uint32_t)p[2] << 16 | (uint32_t)p[1] << 8 | p[0];
}

static void put_word(uint8_t *p, uint8_t order, uint32_t v)
{
	for (int i = 0; i < 4; i++)
		p[i] = (uint8_t)(v >> (order == 2 ? 24 - 8 * i : 8 * i));
}

bool lk_page_sound(const void *page, uint32_t number)
{
	return lk_get_u64((const uint8_t *)page + LK_PAGE_SUMMED) == lk_page_sum(page, number);
}

/* ---- the main database ------------------------------------------------------------------------------------------- */

static int fail_read(int code)
{
	return (code & 0xff) == SQLITE_IOERR && code != SQLITE_IOERR_NOMEM ? LK_SQLITE_BAD_READ : code;
}

static int db_read(sqlite3_file *file, void *buf, int amount, sqlite3_int64 offset)
{
	int code = real(file)->pMethods->xRead(real(file), buf, amount, offset);
	/* SQLite reads parts of page 1 before it knows the page size: compared field by field by lk_sqlite_check_header. */
	if (amount != LK_PAGE_SIZE || offset % LK_PAGE_SIZE != 0)
		return code;
	if (code)
		return code == SQLITE_IOERR_SHORT_READ ? LK_SQLITE_BAD_SUM : fail_read(code);
	return lk_page_sound(buf, (uint32_t)(offset / LK_PAGE_SIZE) + 1) ? SQLITE_OK : LK_SQLITE_BAD_SUM;
}

static int db_write(sqlite3_file *file, const void *buf, int amount, sqlite3_int64 offset)
{
	if (amount != LK_PAGE_SIZE || offset % LK_PAGE_SIZE != 0)
		return SQLITE_IOERR_WRITE;
	uint32_t number = (uint32_t)(offset / LK_PAGE_SIZE) + 1;
	uint64_t sum = lk_page_sum(buf, number);
	const uint8_t *page = buf;
	/* A page that comes out of the WAL has it. */
	if (lk_get_u64(page + LK_PAGE_SUMMED) == sum)
		return real(file)->pMethods->xWrite(real(file), page, amount, offset);
	uint8_t copy[LK_PAGE_SIZE];
	memcpy(copy, page, LK_PAGE_SUMMED);
	lk_put_u64(copy + LK_PAGE_SUMMED, sum);
	memset(copy + LK_PAGE_SUMMED + 8, 0, 8);
	return real(file)->pMethods->xWrite(real(file), copy, amount, offset);
}

/* ---- the WAL ------------------------------------------------------------------------------------------------------- */

/* Whether a write or read at offset is that of a frame's page. */
static bool is_page(int amount, int64_t offset)
{
	return amount == LK_PAGE_SIZE && offset >= LK_WAL_HEADER &&
	       (offset - LK_WAL_HEADER) % LK_FRAME_SIZE == LK_FRAME_HEADER;
}

static bool is_frame_header(int amount, int64_t offset)
{
	return amount == LK_FRAME_HEADER && offset >= LK_WAL_HEADER && (offset - LK_WAL_HEADER) % LK_FRAME_SIZE == 0;
}

static int write_gathered(struct sum_file *f)
{
	size_t len = f->gathered_len;
	f->gathered_len = 0;
	if (!len)
		return SQLITE_OK;
	return real(&f->base)->pMethods->xWrite(real(&f->base), f->gathered, (int)len, f->gathered_at);
}

static int wal_flush(struct sum_file *f)
{
	int code = write_gathered(f);
	if (code || f->header_at < 0)
		return code;
	int64_t at = f->header_at;
	f->header_at = -1;
	return real(&f->base)->pMethods->xWrite(real(&f->base), f->header, LK_FRAME_HEADER, at);
}

/* Recovery reads whole frames and checks SQLite's sums itself. Those do not tell whether a frame has our sum or an older one of the
 * same page (the power went before its last sector was written over the frame that was there): that is the WAL's end too,
 * which a salt that is not the WAL's tells SQLite. */
static int read_frame(sqlite3_file *file, uint8_t *frame, int64_t offset)
{
	int code = real(file)->pMethods->xRead(real(file), frame, LK_FRAME_SIZE, offset);
	if (!code && !lk_page_sound(frame + LK_FRAME_HEADER, get_be(frame)))
		memset(frame + 8, 0, 8);
	return code;
}

static int wal_read(sqlite3_file *file, void *buf, int amount, sqlite3_int64 offset)
{
	struct sum_file *f = sum_of(file);
	int code = wal_flush(f);
	if (code)
		return code;
	if (amount == LK_FRAME_SIZE && is_frame_header(LK_FRAME_HEADER, offset))
		return read_frame(file, buf, offset);
	if (!is_page(amount, offset))
		return real(file)->pMethods->xRead(real(file), buf, amount, offset);
	uint8_t frame[LK_FRAME_SIZE];
	code = real(file)->pMethods->xRead(real(file), frame, LK_FRAME_SIZE, offset - LK_FRAME_HEADER);
	if (code)
		return code == SQLITE_IOERR_SHORT_READ ? LK_SQLITE_BAD_SUM : fail_read(code);
	const uint8_t *page = frame + LK_FRAME_HEADER;
	if (!lk_page_sound(page, get_be(frame)))
		return LK_SQLITE_BAD_SUM;
	memcpy(buf, page, LK_PAGE_SIZE);
	return SQLITE_OK;
}

static int learn_order(struct sum_file *f)
{
	uint8_t magic[4];
	if (f->order)
		return SQLITE_OK;
	int code = real(&f->base)->pMethods->xRead(real(&f->base), magic, sizeof(magic), 0);
	if (!code)
		f->order = magic[3] & 1 ? 2 : 1;
	return code;
}

/* Puts the sum into the reserved bytes and keeps SQLite's checksum of the frame. */
static void stamp(uint8_t *page, uint32_t number, uint8_t order)
{
	uint8_t *reserved = page + LK_PAGE_SUMMED;
	uint32_t old[4];
	for (int i = 0; i < 4; i++)
		old[i] = get_word(reserved + 4 * i, order);
	lk_put_u64(reserved, lk_page_sum(page, number));
	uint32_t du = get_word(reserved, order) - old[0];
	uint32_t dv = get_word(reserved + 4, order) - old[1];
	put_word(reserved + 8, order, old[2] - 2 * du - dv);
	put_word(reserved + 12, order, old[3] - du - dv);
}

/* The frame that ends a commit says how many pages the database has then. */
static bool is_last_of_commit(const uint8_t *frame)
{
	return get_be(frame + 4) != 0;
}

/* A new frame: its header was kept. */
static int write_frame(struct sum_file *f, const void *buf)
{
	int64_t at = f->header_at;
	f->header_at = -1;
	if (!f->gathered)
		f->gathered = malloc(GATHER_FRAMES * LK_FRAME_SIZE);
	if (!f->gathered)
		return SQLITE_IOERR_NOMEM;
	bool fits = f->gathered_len && f->gathered_at + (int64_t)f->gathered_len == at &&
		    f->gathered_len < GATHER_FRAMES * LK_FRAME_SIZE;
	int code = fits ? SQLITE_OK : write_gathered(f);
	if (code)
		return code;
	if (!f->gathered_len)
		f->gathered_at = at;
	uint8_t *frame = f->gathered + f->gathered_len;
	memcpy(frame, f->header, LK_FRAME_HEADER);
	memcpy(frame + LK_FRAME_HEADER, buf, LK_PAGE_SIZE);
	stamp(frame + LK_FRAME_HEADER, get_be(frame), f->order);
	f->gathered_len += LK_FRAME_SIZE;
	return is_last_of_commit(frame) ? write_gathered(f) : SQLITE_OK;
}

/* The same page is written again into its frame, whose header stands. */
static int rewrite_page(struct sum_file *f, const void *buf, int64_t offset)
{
	uint8_t header[LK_FRAME_HEADER], page[LK_PAGE_SIZE];
	int code = wal_flush(f);
	if (!code)
		code = real(&f->base)->pMethods->xRead(real(&f->base), header, LK_FRAME_HEADER,
						       offset - LK_FRAME_HEADER);
	if (code)
		return code;
	memcpy(page, buf, LK_PAGE_SIZE);
	stamp(page, get_be(header), f->order);
	return real(&f->base)->pMethods->xWrite(real(&f->base), page, LK_PAGE_SIZE, offset);
}

static int wal_write(sqlite3_file *file, const void *buf, int amount, sqlite3_int64 offset)
{
	struct sum_file *f = sum_of(file);
	struct lk_space *space = f->db->space;
	if (is_page(amount, offset)) {
		int code = learn_order(f);
		if (!code)
			code = f->header_at == offset - LK_FRAME_HEADER ? write_frame(f, buf)
									: rewrite_page(f, buf, offset);
		if (!code && space && (uint64_t)offset + LK_PAGE_SIZE > space->wal_used)
			space->wal_used = (uint64_t)offset + LK_PAGE_SIZE;
		return code;
	}
	if (is_frame_header(amount, offset)) {
		int code = f->header_at < 0 ? SQLITE_OK : wal_flush(f);
		memcpy(f->header, buf, LK_FRAME_HEADER);
		f->header_at = offset;
		return code;
	}
	int code = wal_flush(f);
	if (code)
		return code;
	if (amount != LK_WAL_HEADER || offset != 0)
		return SQLITE_IOERR_WRITE;
	f->order = ((const uint8_t *)buf)[3] & 1 ? 2 : 1;
	if (space)
		space->wal_used = LK_WAL_HEADER;
	return real(file)->pMethods->xWrite(real(file), buf, amount, offset);
}

/* ---- both ------------------------------------------------------------------------------------------------------------ */

static int file_close(sqlite3_file *file)
{
	struct sum_file *f = sum_of(file);
	int code = f->kind == WAL ? wal_flush(f) : SQLITE_OK;
	int closed = real(file)->pMethods ? real(file)->pMethods->xClose(real(file)) : SQLITE_OK;
	free(f->gathered);
	return code ? code : closed;
}

/* The owner's files keep what was preallocated: SQLite cuts the database at the end of a checkpoint, and the WAL when it
 * begins anew. Stale frames behind the WAL's end are no danger: what they hold is in the database. */
static int file_truncate(sqlite3_file *file, sqlite3_int64 size)
{
	struct sum_file *f = sum_of(file);
	int code = f->kind == WAL ? wal_flush(f) : SQLITE_OK;
	if (code)
		return code;
	struct lk_space *space = f->kind == WAL ? f->db->space : f->space;
	if (!space)
		return real(file)->pMethods->xTruncate(real(file), size);
	if (f->kind == WAL) {
		if (size == 0)
			space->wal_used = 0;
		return SQLITE_OK;
	}
	sqlite3_int64 now = 0;
	code = real(file)->pMethods->xFileSize(real(file), &now);
	return code || size <= now ? code : real(file)->pMethods->xTruncate(real(file), size);
}

static int file_sync(sqlite3_file *file, int flags)
{
	struct sum_file *f = sum_of(file);
	int code = f->kind == WAL ? wal_flush(f) : SQLITE_OK;
	return code ? code : real(file)->pMethods->xSync(real(file), flags);
}

static int file_size(sqlite3_file *file, sqlite3_int64 *size)
{
	struct sum_file *f = sum_of(file);
	int code = f->kind == WAL ? wal_flush(f) : SQLITE_OK;
	return code ? code : real(file)->pMethods->xFileSize(real(file), size);
}

static int file_lock(sqlite3_file *file, int level)
{
	return real(file)->pMethods->xLock(real(file), level);
}

static int file_unlock(sqlite3_file *file, int level)
{
	return real(file)->pMethods->xUnlock(real(file), level);
}

static int file_check_lock(sqlite3_file *file, int *out)
{
	return real(file)->pMethods->xCheckReservedLock(real(file), out);
}

static int file_control(sqlite3_file *file, int op, void *arg)
{
	struct sum_file *f = sum_of(file);
	if (op == LK_FCNTL_SPACE && f->kind == MAIN_DB) {
		f->space = arg;
		return SQLITE_OK;
	}
	return real(file)->pMethods->xFileControl(real(file), op, arg);
}

static int file_sector_size(sqlite3_file *file)
{
	return real(file)->pMethods->xSectorSize(real(file));
}

/* Powersafe overwrite, whatever the unix layer was told: without it SQLite splits frames at sectors. */
static int file_characteristics(sqlite3_file *file)
{
	return real(file)->pMethods->xDeviceCharacteristics(real(file)) | SQLITE_IOCAP_POWERSAFE_OVERWRITE;
}

/* The WAL index is written through a mapping, where a lack of space is a SIGBUS. SQLite takes one block per 4 KiB of it,
 * which is not all on a host with smaller blocks. The first call opens it: the unix layer then cuts an old one. */
static int shm_allocate(sqlite3_file *file, int region, int size)
{
	struct lk_space *space = sum_of(file)->space;
	void volatile *mapped = NULL;
	int code = real(file)->pMethods->xShmMap(real(file), region, size, 0, &mapped);
	if (code)
		return code;
	if (space->shm_fd < 0) {
		char name[PATH_MAX];
		int len = snprintf(name, sizeof(name), "%s-shm", sum_of(file)->name);
		if (len < 0 || (size_t)len >= sizeof(name))
			return SQLITE_CANTOPEN;
		space->shm_fd = open(name, O_RDWR | O_NOFOLLOW | O_CLOEXEC);
		if (space->shm_fd < 0)
			return SQLITE_IOERR_SHMOPEN;
	}
	int r = lk_space_allocate(space, space->shm_fd, 0, ((uint64_t)region + 1) * (uint64_t)size);
	if (!r)
		space->shm_regions = region + 1;
	return r ? SQLITE_IOERR_SHMSIZE : SQLITE_OK;
}

static int shm_map(sqlite3_file *file, int region, int size, int extend, void volatile **out)
{
	struct lk_space *space = sum_of(file)->space;
	if (space && extend && region >= space->shm_regions) {
		int code = shm_allocate(file, region, size);
		if (code)
			return code;
	}
	return real(file)->pMethods->xShmMap(real(file), region, size, extend, out);
}

static int shm_lock(sqlite3_file *file, int offset, int count, int flags)
{
	return real(file)->pMethods->xShmLock(real(file), offset, count, flags);
}

static void shm_barrier(sqlite3_file *file)
{
	real(file)->pMethods->xShmBarrier(real(file));
}

static int shm_unmap(sqlite3_file *file, int delete)
{
	return real(file)->pMethods->xShmUnmap(real(file), delete);
}

#define SHARED_METHODS                                                                                                 \
	.iVersion = 2, .xClose = file_close, .xTruncate = file_truncate, .xSync = file_sync, .xFileSize = file_size,   \
	.xLock = file_lock, .xUnlock = file_unlock, .xCheckReservedLock = file_check_lock,                             \
	.xFileControl = file_control, .xSectorSize = file_sector_size, .xDeviceCharacteristics = file_characteristics, \
	.xShmMap = shm_map, .xShmLock = shm_lock, .xShmBarrier = shm_barrier, .xShmUnmap = shm_unmap

/* Version 2: no xFetch, so that nothing is ever mapped past the checksums. */
static const sqlite3_io_methods db_methods = {SHARED_METHODS, .xRead = db_read, .xWrite = db_write};
static const sqlite3_io_methods wal_methods = {SHARED_METHODS, .xRead = wal_read, .xWrite = wal_write};

int lk_sum_file_size(const sqlite3_vfs *base)
{
	return (int)sizeof(struct sum_file) + base->szOsFile;
}

int lk_sum_file_open(sqlite3_vfs *base, const char *name, sqlite3_file *file, int flags, int *out_flags)
{
	struct sum_file *f = sum_of(file);
	memset(f, 0, sizeof(*f));
	f->kind = flags & SQLITE_OPEN_WAL ? WAL : MAIN_DB;
	f->header_at = -1;
	f->name = name;
	if (f->kind == WAL)
		f->db = sum_of(sqlite3_database_file_object(name));
	real(file)->pMethods = NULL;
	int code = base->xOpen(base, name, real(file), flags, out_flags);
	/* With pMethods set SQLite calls xClose even after a failed open. */
	if (code && !real(file)->pMethods)
		return code;
	f->base.pMethods = f->kind == WAL ? &wal_methods : &db_methods;
	return code;
}
