/*
 * db_sqlite_space.c - T4's reserve, checkpoints, and what a closed volume keeps.
 * Layer: store.
 *
 * The proof. COMMIT writes one frame per dirty page at the WAL's end, and a checkpoint writes each page to its place in
 * the database. Both cannot lack space when
 *   wal_used + (dirty + pages) frames  fit what is allocated to the WAL, and
 *   page count - free pages + pages    fit what is allocated to the database (free pages are used first).
 * How many pages are dirty SQLite does not tell; it is at most the pages in its cache (none is spilled before COMMIT),
 * and at most the sum of what was reserved in this transaction. LK_DB_RESERVE_PAGES more stay for operations that free.
 * The WAL's index in shared memory is a file too: it is grown with the WAL.
 */
#include "db_sqlite.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define STEP_MIN (256u * 1024)
#define STEP_MAX (16u * 1024 * 1024)
#define SHM_REGION_FRAMES 4096
/* What a WAL that was emptied keeps: the reserve, and an operation that does not free. */
#define WAL_KEPT (LK_WAL_HEADER + (uint64_t)LK_DB_RESERVE_PAGES * 3 / 2 * LK_FRAME_SIZE)

/* Grows *allocated to at least need bytes: doubling up to STEP_MAX, or, when the host has not that much, by less. */
static int grow(struct lk_space *space, int fd, uint64_t *allocated, uint64_t need)
{
	if (need <= *allocated)
		return 0;
	if (fd < 0)
		return LINKFS_ENOSPC;
	uint64_t step = LK_MIN(LK_MAX(*allocated, (uint64_t)STEP_MIN), (uint64_t)STEP_MAX);
	for (;;) {
		uint64_t to = LK_MAX(need, *allocated + step);
		int r = lk_space_allocate(space, fd, *allocated, to);
		if (!r)
			*allocated = to;
		if (r != LINKFS_ENOSPC || to == need)
			return r;
		step = step / 4;
	}
}

/* The WAL index covers what is allocated to the WAL. */
static int grow_shm(struct lk_sqlite *db)
{
	sqlite3_file *file = NULL;
	if (db->exclusive)
		return 0;
	int code = sqlite3_file_control(db->handle, "main", SQLITE_FCNTL_FILE_POINTER, &file);
	uint64_t frames = db->space.wal_allocated / LK_FRAME_SIZE + 64; /* the first region holds the header too */
	int regions = (int)(frames / SHM_REGION_FRAMES) + 1;
	for (int i = db->space.shm_regions; !code && i < regions; i++) {
		void volatile *region = NULL;
		code = file->pMethods->xShmMap(file, i, LK_SHM_REGION, 1, &region);
	}
	if (code)
		return code == SQLITE_IOERR_SHMSIZE ? LINKFS_ENOSPC : lk_sqlite_error(code);
	return 0;
}

static int reserve_wal(struct lk_sqlite *db, uint64_t dirty, uint32_t keep)
{
	uint64_t need = db->space.wal_used + LK_WAL_HEADER + (dirty + keep) * LK_FRAME_SIZE;
	if (need <= db->space.wal_allocated)
		return 0;
	int r = grow(&db->space, db->space.wal_fd, &db->space.wal_allocated, need);
	return r ? r : grow_shm(db);
}

static int pragma_value(struct lk_sqlite *db, enum lk_control control, uint64_t *out)
{
	sqlite3_stmt *stmt;
	int r = lk_sqlite_control_stmt(db, control, &stmt);
	if (r)
		return r;
	int code = sqlite3_step(stmt);
	sqlite3_int64 value = code == SQLITE_ROW ? sqlite3_column_int64(stmt, 0) : -1;
	(void)sqlite3_reset(stmt);
	if (code != SQLITE_ROW)
		return lk_sqlite_failed(db, code);
	if (value < 0)
		return LINKFS_ECORRUPT;
	*out = (uint64_t)value;
	return 0;
}

static int reserve_db(struct lk_sqlite *db, uint32_t pages, uint32_t keep)
{
	uint64_t count = 0, free_pages = 0;
	int r = pragma_value(db, LK_SQL_PAGE_COUNT, &count);
	if (!r)
		r = pragma_value(db, LK_SQL_FREE_COUNT, &free_pages);
	if (r)
		return r;
	/* The file reaches to count whatever is free in it; what it grows by beyond that is what free pages do not give. */
	uint64_t more = (uint64_t)pages + keep;
	uint64_t need = (count + more - LK_MIN(more, free_pages)) * LK_PAGE_SIZE;
	r = grow(&db->space, db->space.db_fd, &db->space.db_allocated, need);
	if (r)
		return r;
	/* Until this is used up no look at the counts is needed. */
	db->db_room = db->space.db_allocated / LK_PAGE_SIZE + free_pages - count;
	return 0;
}

static int reserve(struct lk_sqlite *db, uint32_t pages, uint32_t keep)
{
	uint64_t dirty = db->dirty + pages;
	if (db->space.wal_used + LK_WAL_HEADER + (dirty + keep) * LK_FRAME_SIZE > db->space.wal_allocated) {
		int cached = 0, highest = 0;
		if (!sqlite3_db_status(db->handle, SQLITE_DBSTATUS_CACHE_USED, &cached, &highest, 0) && cached >= 0)
			dirty = LK_MIN(dirty, (uint64_t)cached / LK_PAGE_SIZE + pages);
		int r = reserve_wal(db, dirty, keep);
		if (r)
			return r;
	}
	if (db->db_room < (uint64_t)pages + keep) {
		int r = reserve_db(db, pages, keep);
		if (r)
			return r;
	}
	db->dirty = dirty;
	db->db_room -= LK_MIN(db->db_room, pages);
	return 0;
}

int lk_sqlite_reserve(struct lk_db *base, uint32_t pages, bool freeing)
{
	struct lk_sqlite *db = lk_sqlite_of(base);
	if (db->lost)
		return LINKFS_EIO;
	if (db->read_only)
		return LINKFS_EROFS;
	int r = reserve(db, pages, freeing ? 0 : LK_DB_RESERVE_PAGES);
	db->tight |= r == LINKFS_ENOSPC;
	return r;
}

/* ---- checkpoints ------------------------------------------------------------------------------------------------------ */

int lk_sqlite_committed(void *arg, sqlite3 *handle, const char *name, int frames)
{
	struct lk_sqlite *db = arg;
	uint64_t end = atomic_load(&db->wal_end);
	(void)handle;
	(void)name;
	/* A commit makes the WAL longer, or begins it anew. One that does both is noticed by its length. */
	if ((uint64_t)frames <= end % LK_WAL_TURN)
		end += LK_WAL_TURN;
	atomic_store(&db->wal_end, end - end % LK_WAL_TURN + (uint64_t)frames);
	return SQLITE_OK;
}

/* Until SQLite 3.51.3 a checkpoint that begins when all is copied, while a commit begins the WAL anew, may not notice, and then says of
 * new frames that they are copied (sqlite.org/wal.html#walresetbug). So none begins beside the owner unless a commit is over whose frames
 * are not copied: the WAL does not begin anew before they are. */
static bool is_copied(struct lk_sqlite *db)
{
	return atomic_load(&db->wal_end) <= atomic_load(&db->wal_copied);
}

static void note_copied(struct lk_sqlite *db, uint64_t end)
{
	uint_fast64_t copied = atomic_load(&db->wal_copied);
	while (copied < end && !atomic_compare_exchange_weak(&db->wal_copied, &copied, end))
		;
}

/* Under side_lock. */
static int checkpoint_on(struct lk_sqlite *db, sqlite3 *handle, int mode, int *frames_out)
{
	/* While there is something to copy the WAL does not begin anew: what is found copied is of this turn. */
	uint64_t end = atomic_load(&db->wal_end);
	int done = 0;
	*frames_out = -1;
	int code = sqlite3_wal_checkpoint_v2(handle, "main", mode, frames_out, &done);
	/* Where it is busy it says what it has done as well, or -1. */
	if (*frames_out >= 0 && done == *frames_out)
		note_copied(db, end - end % LK_WAL_TURN + (uint64_t)done);
	/* Busy: a reader holds the WAL's tail; the rest is done. */
	return code == SQLITE_BUSY ? 0 : lk_sqlite_error(code);
}

/* Cuts a WAL of which all is in the database. Its header is gone for good before: the frames of a WAL that was cut and has a header are an
 * earlier state, which recovery would write over the present one. What fails leaves the WAL as long as it is. */
static bool cut_wal(struct lk_space *space, uint64_t size)
{
	static const uint8_t none[LK_WAL_HEADER];
	off_t now = lseek(space->wal_fd, 0, SEEK_END);
	if (now < 0)
		return false;
	if ((uint64_t)now > size &&
	    (lk_pwrite_all(space->wal_fd, none, sizeof(none), 0) != 0 || fdatasync(space->wal_fd) != 0))
		return false;
	/* What is allocated behind it goes in any case. */
	return ftruncate(space->wal_fd, (off_t)size) == 0;
}

/* The host is full: what the WAL does not need goes to the database. The WAL is empty, as SQLite's own TRUNCATE left it. */
static void give_wal_back(struct lk_space *space)
{
	uint64_t kept = WAL_KEPT;
	if (space->wal_fd >= 0 && space->wal_allocated > kept && cut_wal(space, kept))
		space->wal_allocated = kept;
}

/* TRUNCATE begins the WAL anew (our file layer keeps the file's length). Readers are not waited for. */
int lk_sqlite_empty_wal(struct lk_sqlite *db)
{
	int frames = -1;
	if (pthread_mutex_trylock(&db->side_lock))
		return 0; /* one is under way beside us: SQLite would be busy */
	(void)sqlite3_busy_timeout(db->handle, 0);
	int r = checkpoint_on(db, db->handle, SQLITE_CHECKPOINT_TRUNCATE, &frames);
	(void)sqlite3_busy_timeout(db->handle, LK_DB_BUSY_MS);
	/* Nobody has committed meanwhile. */
	if (!r && frames == 0)
		note_copied(db, atomic_load(&db->wal_end));
	(void)pthread_mutex_unlock(&db->side_lock);
	if (!r && frames >= 0)
		db->space.wal_used = frames ? LK_WAL_HEADER + (uint64_t)frames * LK_FRAME_SIZE : 0;
	if (!r && frames == 0 && db->tight)
		give_wal_back(&db->space);
	db->tight = false;
	return r;
}

/* SQLite would do so at the first write, but what that needs is proved before, at the WAL's old end: space would be allocated there, which the
 * next sync had to make durable. */
void lk_sqlite_begin_wal(struct lk_sqlite *db)
{
	if (!db->read_only && !db->exclusive && db->space.wal_used > LK_WAL_HEADER && is_copied(db))
		(void)lk_sqlite_empty_wal(db);
}

static int side_open(struct lk_sqlite *db)
{
	int r = lk_sqlite_connect(db->path, 0, &db->side_space, &db->side, NULL);
	if (r)
		return r;
	r = lk_sqlite_exec(db->side, "PRAGMA synchronous=FULL; PRAGMA wal_autocheckpoint=0; PRAGMA cache_size=-256");
	if (r) {
		(void)sqlite3_close(db->side);
		db->side = NULL;
	}
	return r;
}

int lk_sqlite_checkpoint(struct lk_db *base, bool slice)
{
	struct lk_sqlite *db = lk_sqlite_of(base);
	if (db->read_only)
		return LINKFS_EROFS;
	if (slice)
		return db->in_transaction ? LINKFS_EINVAL : lk_sqlite_empty_wal(db);
	if (db->exclusive)
		return LINKFS_EAGAIN;
	if (pthread_mutex_lock(&db->side_lock))
		return LINKFS_EIO;
	int frames = -1, r = 0;
	bool due = !is_copied(db); /* asked once: the owner commits meanwhile */
	if (due && !db->side)
		r = side_open(db);
	/* A descriptor that is newer than a failed sync of the log is not told of it. */
	if (due && !r && lk_sqlite_log_failed(db))
		r = LINKFS_EIO;
	if (!r && due)
		r = checkpoint_on(db, db->side, SQLITE_CHECKPOINT_PASSIVE, &frames);
	/* Where SQLite could not open the WAL for writing, were it for a moment's lack of descriptors, it reads it from then
	 * on: the next checkpoint gets a new connection. */
	if (r && db->side) {
		(void)sqlite3_close(db->side);
		db->side = NULL;
	}
	(void)pthread_mutex_unlock(&db->side_lock);
	return r;
}

int lk_sqlite_usage(struct lk_db *base, struct lk_db_usage *out)
{
	struct lk_sqlite *db = lk_sqlite_of(base);
	struct lk_db_usage usage = {
		.page_size = LK_PAGE_SIZE, .wal_bytes = db->space.wal_used, .readers = !db->exclusive};
	int r = db->lost ? LINKFS_EIO : pragma_value(db, LK_SQL_PAGE_COUNT, &usage.pages);
	if (!r)
		r = pragma_value(db, LK_SQL_FREE_COUNT, &usage.free_pages);
	if (!r)
		*out = usage;
	return r;
}

/* ---- create, open and close ----------------------------------------------------------------------------------------------------- */

static int make_file(const char *path, int flags)
{
	int fd = open(path, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC | flags, 0600);
	if (fd < 0)
		return linkfs_from_errno(errno);
	/* On a host that copies on write (btrfs) an overwrite may lack space, whatever was preallocated. Pages have
	 * checksums of our own. Hosts that know no such flag refuse it, and need none. */
	int attributes = 0;
	if (ioctl(fd, FS_IOC_GETFLAGS, &attributes) == 0) {
		attributes |= FS_NOCOW_FL;
		(void)ioctl(fd, FS_IOC_SETFLAGS, &attributes);
	}
	return close(fd) ? linkfs_from_errno(errno) : 0;
}

static char *path_with(const struct lk_sqlite *db, const char *suffix)
{
	size_t len = strlen(db->path), more = strlen(suffix) + 1;
	char *path = malloc(len + more);
	if (path) {
		memcpy(path, db->path, len);
		memcpy(path + len, suffix, more);
	}
	return path;
}

/* Before the first connection: the WAL index is made by us too, for the flag; one that is there is somebody's in use. */
int lk_sqlite_make_files(struct lk_sqlite *db, bool create)
{
	char *wal = path_with(db, "-wal"), *shm = path_with(db, "-shm");
	int r = wal && shm ? 0 : LINKFS_ENOMEM;
	if (!r && create)
		r = make_file(db->path, O_EXCL);
	if (!r)
		r = make_file(wal, create ? 0 : O_EXCL);
	if (r == LINKFS_EEXIST && !create)
		r = 0;
	if (!r)
		(void)make_file(shm, O_EXCL);
	free(wal);
	free(shm);
	return r;
}

int lk_sqlite_scan_wal(const struct lk_sqlite *db, struct linkfs_message *why)
{
	char *wal = path_with(db, "-wal");
	int r = wal ? lk_wal_scan(wal, db->read_only, why) : LINKFS_ENOMEM;
	free(wal);
	return r;
}

bool lk_sqlite_wal_is_empty(const struct lk_sqlite *db)
{
	uint8_t magic[4] = {0};
	size_t done = 0;
	char *wal = path_with(db, "-wal");
	int fd = wal ? open(wal, O_RDONLY | O_NOFOLLOW | O_CLOEXEC) : -1;
	bool empty = wal && fd < 0 && errno == ENOENT;
	if (fd >= 0) {
		empty = lk_pread_some(fd, magic, sizeof(magic), 0, &done) == 0 && memcmp(magic, "\0\0\0\0", 4) == 0;
		(void)close(fd);
	}
	free(wal);
	return empty;
}

/* The owner's files for preallocation. A full host is no reason not to open: reading works, and deleting works within
 * what the last owner kept. */
int lk_sqlite_space_open(struct lk_sqlite *db)
{
	char *wal = path_with(db, "-wal");
	if (!wal)
		return LINKFS_ENOMEM;
	db->space.db_fd = open(db->path, O_RDWR | O_NOFOLLOW | O_CLOEXEC);
	db->space.wal_fd = open(wal, O_RDWR | O_NOFOLLOW | O_CLOEXEC);
	int error = errno;
	free(wal);
	if (db->space.db_fd < 0 || db->space.wal_fd < 0)
		return linkfs_from_errno(error);
	int r = reserve(db, 0, LK_DB_RESERVE_PAGES);
	db->dirty = 0;
	return r == LINKFS_ENOSPC ? 0 : r;
}

static void shrink_wal(struct lk_space *space)
{
	uint8_t magic[4];
	/* Only a WAL that was retired (vfs_sum.c): another connection may still use it. */
	if (lk_pread_all(space->wal_fd, magic, sizeof(magic), 0) || memcmp(magic, "\0\0\0\0", 4) != 0)
		return;
	(void)cut_wal(space, LK_MIN(WAL_KEPT, space->wal_allocated));
	space->wal_used = 0;
}

static void shrink_db(struct lk_space *space, uint64_t pages)
{
	uint64_t end = pages * LK_PAGE_SIZE, kept = (uint64_t)LK_DB_RESERVE_PAGES * LK_PAGE_SIZE;
	off_t size = lseek(space->db_fd, 0, SEEK_END);
	if (!pages || size < 0 || space->db_allocated <= end + 2 * kept)
		return;
	/* Drops what is allocated behind the end, and zeros written there where there is no fallocate. */
	if (ftruncate(space->db_fd, LK_MIN(size, (off_t)end)) == 0)
		(void)lk_space_allocate(space, space->db_fd, end, end + kept);
}

void lk_sqlite_space_close(struct lk_sqlite *db, uint64_t pages)
{
	if (db->space.wal_fd >= 0 && db->space.db_fd >= 0) {
		shrink_wal(&db->space);
		if (db->space.wal_used == 0)
			shrink_db(&db->space, pages);
	}
	lk_space_close(&db->space);
	lk_space_close(&db->side_space);
}
