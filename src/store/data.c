/*
 * data.c - the data pieces (data.h): sparse host files of 1 GiB, opened when first used, synced when dirty.
 * Layer: store.
 *
 * A piece's descriptor is found without a lock (two levels of atomic pointers); opening, making and closing one takes
 * open_lock. Descriptors of clean pieces that nobody uses are closed again when many are open, so that a volume of
 * any size stays under the process's descriptor limit. A user announces itself before it looks at the descriptor, the
 * closer withdraws the descriptor before it looks for users: one of the two sees the other (sequential consistency).
 */
#include "data.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define CHUNK_PIECES 2048u
#define CHUNKS ((uint32_t)((LK_DISK_BLOCK_MAX + 1) / LK_PIECE_BLOCKS / CHUNK_PIECES))
#define OPEN_MAX_PIECES 128u
#define WRITEBACK_STEP (UINT64_C(8) << 20) /* so much may wait in a piece before the host is told to write */

struct piece {
	atomic_int fd; /* the descriptor + 1; 0 when it is not open */
	atomic_uint users;
	_Atomic uint64_t dirty;  /* bytes written since the last sync */
	_Atomic uint64_t behind; /* of them those that the host was not yet told to write */
};

struct lk_data {
	int dir_fd;
	bool read_only;
	atomic_bool dir_dirty;
	atomic_bool no_punch, no_allocate; /* the host said that it cannot */
	_Atomic uint64_t dirty;            /* the sum over pieces */
	atomic_uint piece_end;             /* pieces from here on were never opened */
	pthread_mutex_t open_lock;
	uint32_t open_count; /* open_lock */
	uint32_t close_hand; /* open_lock */
	pthread_mutex_t sync_lock;
	_Atomic(struct piece *) chunks[CHUNKS];
};

static void piece_name(uint32_t number, char name[32])
{
	(void)snprintf(name, 32, "data.%06u", number);
}

int lk_data_open(const char *dir, bool read_only, struct lk_data **out, struct linkfs_message *why)
{
	struct lk_data *d = calloc(1, sizeof(*d));
	if (!d)
		return lk_fail(why, LINKFS_ENOMEM, "%s: out of memory", dir);
	d->read_only = read_only;
	d->dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (d->dir_fd < 0) {
		int r = linkfs_from_errno(errno);
		free(d);
		return lk_fail(why, r, "%s: cannot open the volume's directory: %s", dir, linkfs_strerror(r));
	}
	(void)pthread_mutex_init(&d->open_lock, NULL);
	(void)pthread_mutex_init(&d->sync_lock, NULL);
	*out = d;
	return 0;
}

static struct piece *piece_if_known(struct lk_data *d, uint32_t number)
{
	struct piece *chunk = atomic_load(&d->chunks[number / CHUNK_PIECES]);
	return chunk ? &chunk[number % CHUNK_PIECES] : NULL;
}

void lk_data_close(struct lk_data *d)
{
	if (!d)
		return;
	uint32_t end = atomic_load(&d->piece_end);
	for (uint32_t i = 0; i < end; i++) {
		struct piece *p = piece_if_known(d, i);
		if (p && atomic_load(&p->fd))
			(void)close(atomic_load(&p->fd) - 1);
	}
	for (uint32_t i = 0; i < CHUNKS; i++)
		free(atomic_load(&d->chunks[i]));
	(void)close(d->dir_fd);
	(void)pthread_mutex_destroy(&d->open_lock);
	(void)pthread_mutex_destroy(&d->sync_lock);
	free(d);
}

/* open_lock held. Closes clean pieces without users until few enough are open, if there are such. */
static void close_some(struct lk_data *d)
{
	uint32_t end = atomic_load(&d->piece_end);
	for (uint32_t looked = 0; looked < end && d->open_count >= OPEN_MAX_PIECES; looked++) {
		struct piece *p = piece_if_known(d, d->close_hand++ % end);
		int fd = p ? atomic_load(&p->fd) : 0;
		if (!fd)
			continue;
		atomic_store(&p->fd, 0);
		if (atomic_load(&p->users) || atomic_load(&p->dirty)) {
			atomic_store(&p->fd, fd);
			continue;
		}
		(void)close(fd - 1);
		d->open_count--;
	}
}

/* open_lock held. */
static int piece_open(struct lk_data *d, struct piece *p, uint32_t number, bool make)
{
	char name[32];
	piece_name(number, name);
	if (d->open_count >= OPEN_MAX_PIECES)
		close_some(d);
	/* A hostile volume may have a link or a pipe here. */
	int mode = (d->read_only ? O_RDONLY : O_RDWR) | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK;
	int fd = openat(d->dir_fd, name, mode);
	if (fd < 0 && errno == ENOENT && make) {
		fd = openat(d->dir_fd, name, mode | O_CREAT, 0600);
		if (fd >= 0)
			atomic_store(&d->dir_dirty, true);
	}
	if (fd < 0)
		return errno == ELOOP || errno == EISDIR ? LINKFS_ECORRUPT : linkfs_from_errno(errno);
	struct stat st;
	if (fstat(fd, &st) || !S_ISREG(st.st_mode)) {
		(void)close(fd);
		return LINKFS_ECORRUPT;
	}
	d->open_count++;
	if (atomic_load(&d->piece_end) <= number)
		atomic_store(&d->piece_end, number + 1);
	atomic_store(&p->fd, fd + 1);
	return 0;
}

/* Announces a user and gives the piece's descriptor; piece_put() ends it. LINKFS_ENOENT if there is no such piece
 * and make is false. */
static int piece_get(struct lk_data *d, uint32_t number, bool make, struct piece **out, int *fd_out)
{
	struct piece *p = piece_if_known(d, number);
	int r = 0;
	if (p) {
		atomic_fetch_add(&p->users, 1);
		int fd = atomic_load(&p->fd);
		if (fd) {
			*out = p;
			*fd_out = fd - 1;
			return 0;
		}
	}
	pthread_mutex_lock(&d->open_lock);
	if (!p) {
		p = piece_if_known(d, number);
		if (!p) {
			struct piece *chunk = calloc(CHUNK_PIECES, sizeof(*chunk));
			if (!chunk) {
				pthread_mutex_unlock(&d->open_lock);
				return LINKFS_ENOMEM;
			}
			atomic_store(&d->chunks[number / CHUNK_PIECES], chunk);
			p = &chunk[number % CHUNK_PIECES];
		}
		atomic_fetch_add(&p->users, 1);
	}
	if (!atomic_load(&p->fd))
		r = piece_open(d, p, number, make);
	if (r) {
		atomic_fetch_sub(&p->users, 1);
	} else {
		*out = p;
		*fd_out = atomic_load(&p->fd) - 1;
	}
	pthread_mutex_unlock(&d->open_lock);
	return r;
}

static void piece_put(struct piece *p)
{
	atomic_fetch_sub(&p->users, 1);
}

/* The part of [block, block + count) that lies in block's piece. */
static uint32_t in_piece(uint64_t block, uint32_t count)
{
	return LK_MIN(count, LK_PIECE_BLOCKS - (uint32_t)(block % LK_PIECE_BLOCKS));
}

static bool range_ok(uint64_t block, uint32_t count)
{
	return block <= (uint64_t)LK_DISK_BLOCK_MAX && count <= (uint64_t)LK_DISK_BLOCK_MAX + 1 - block;
}

int lk_data_read(struct lk_data *d, uint64_t block, uint32_t count, void *buf)
{
	uint8_t *to = buf;
	if (!range_ok(block, count))
		return LINKFS_ECORRUPT;
	while (count) {
		uint32_t n = in_piece(block, count);
		size_t len = (size_t)n * LK_BLOCK_SIZE, done = 0;
		struct piece *p;
		int fd;
		int r = piece_get(d, (uint32_t)(block / LK_PIECE_BLOCKS), false, &p, &fd);
		if (!r) {
			r = lk_pread_some(fd, to, len, block % LK_PIECE_BLOCKS * LK_BLOCK_SIZE, &done);
			piece_put(p);
		} else if (r == LINKFS_ENOENT) {
			r = 0;
		}
		if (r)
			return r;
		memset(to + done, 0, len - done);
		to += len;
		block += n;
		count -= n;
	}
	return 0;
}

/* The host begins to write what lies in its cache, and nobody waits: the sync before a commit then finds little. It promises nothing,
 * and takes nothing from that sync: blocks are rarely written twice before a commit, and what fails here the sync reports. */
static void write_behind(struct piece *p, int fd, uint64_t len)
{
	if (atomic_fetch_add(&p->behind, len) + len >= WRITEBACK_STEP &&
	    atomic_exchange(&p->behind, 0) >= WRITEBACK_STEP)
		(void)sync_file_range(fd, 0, 0, SYNC_FILE_RANGE_WRITE);
}

int lk_data_write(struct lk_data *d, uint64_t block, uint32_t count, const void *buf)
{
	const uint8_t *from = buf;
	if (d->read_only)
		return LINKFS_EROFS;
	if (!range_ok(block, count))
		return LINKFS_EFBIG;
	while (count) {
		uint32_t n = in_piece(block, count);
		size_t len = (size_t)n * LK_BLOCK_SIZE;
		struct piece *p;
		int fd;
		int r = piece_get(d, (uint32_t)(block / LK_PIECE_BLOCKS), true, &p, &fd);
		if (r)
			return r;
		r = lk_pwrite_all(fd, from, len, block % LK_PIECE_BLOCKS * LK_BLOCK_SIZE);
		/* After the write, so that a sync that clears the mark has the bytes before it. */
		atomic_fetch_add(&p->dirty, len);
		atomic_fetch_add(&d->dirty, len);
		write_behind(p, fd, len);
		piece_put(p);
		if (r)
			return r;
		from += len;
		block += n;
		count -= n;
	}
	return 0;
}

static bool not_supported(int error)
{
	return error == EOPNOTSUPP || error == ENOSYS || error == EINVAL || error == ENODEV;
}

int lk_data_allocate(struct lk_data *d, uint64_t block, uint32_t count)
{
	if (d->read_only)
		return LINKFS_EROFS;
	if (!range_ok(block, count))
		return LINKFS_EFBIG;
	while (count) {
		if (atomic_load(&d->no_allocate))
			return LINKFS_EOPNOTSUPP;
		uint32_t n = in_piece(block, count);
		struct piece *p;
		int fd;
		int r = piece_get(d, (uint32_t)(block / LK_PIECE_BLOCKS), true, &p, &fd);
		if (r)
			return r;
		int e;
		do {
			e = fallocate(fd, 0, (off_t)(block % LK_PIECE_BLOCKS * LK_BLOCK_SIZE),
				      (off_t)n * (off_t)LK_BLOCK_SIZE)
				    ? errno
				    : 0;
		} while (e == EINTR);
		atomic_fetch_add(&p->dirty, 1);
		atomic_fetch_add(&d->dirty, 1);
		piece_put(p);
		if (not_supported(e)) {
			atomic_store(&d->no_allocate, true);
			return LINKFS_EOPNOTSUPP;
		}
		if (e)
			return linkfs_from_errno(e);
		block += n;
		count -= n;
	}
	return 0;
}

void lk_data_discard(struct lk_data *d, uint64_t block, uint32_t count)
{
	if (d->read_only || !range_ok(block, count))
		return;
	while (count && !atomic_load(&d->no_punch)) {
		uint32_t n = in_piece(block, count);
		struct piece *p;
		int fd;
		if (!piece_get(d, (uint32_t)(block / LK_PIECE_BLOCKS), false, &p, &fd)) {
			int e = fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
					  (off_t)(block % LK_PIECE_BLOCKS * LK_BLOCK_SIZE),
					  (off_t)n * (off_t)LK_BLOCK_SIZE)
					? errno
					: 0;
			piece_put(p);
			if (not_supported(e))
				atomic_store(&d->no_punch, true);
		}
		block += n;
		count -= n;
	}
}

bool lk_data_can_discard(const struct lk_data *d)
{
	return !d->read_only && !atomic_load(&d->no_punch);
}

static int sync_piece(struct lk_data *d, uint32_t number)
{
	struct piece *p = piece_if_known(d, number);
	if (!p || !atomic_load(&p->dirty))
		return 0;
	int fd;
	int r = piece_get(d, number, false, &p, &fd);
	if (r)
		return r == LINKFS_ENOENT ? LINKFS_EIO : r;
	/* Cleared before the sync: what is written meanwhile stays marked. A dirty piece is never closed, and a user
	 * keeps this one open, so the host's report of a write error cannot be lost. */
	uint64_t bytes = atomic_exchange(&p->dirty, 0);
	atomic_store(&p->behind, 0);
	int e;
	do {
		e = fdatasync(fd) ? errno : 0;
	} while (e == EINTR);
	if (e) {
		atomic_fetch_add(&p->dirty, bytes);
		r = linkfs_from_errno(e);
	} else {
		atomic_fetch_sub(&d->dirty, bytes);
	}
	piece_put(p);
	return r;
}

int lk_data_sync(struct lk_data *d)
{
	/* A second caller waits: what the first has cleared is durable only when its sync is over. */
	pthread_mutex_lock(&d->sync_lock);
	int result = 0;
	uint32_t end = atomic_load(&d->piece_end);
	for (uint32_t i = 0; i < end; i++) {
		int r = sync_piece(d, i);
		if (r && !result)
			result = r;
	}
	if (atomic_exchange(&d->dir_dirty, false)) {
		/* Some hosts have no sync of directories and say EINVAL; there is nothing better to do there. */
		if (fsync(d->dir_fd) && errno != EINVAL) {
			int r = linkfs_from_errno(errno);
			atomic_store(&d->dir_dirty, true);
			if (!result)
				result = r;
		}
	}
	pthread_mutex_unlock(&d->sync_lock);
	return result;
}

int lk_data_dir(const struct lk_data *d)
{
	return d->dir_fd;
}

int lk_data_space(struct lk_data *d, uint64_t *free_out, uint64_t *total_out)
{
	struct statvfs s;
	if (fstatvfs(d->dir_fd, &s))
		return linkfs_from_errno(errno);
	uint64_t unit = s.f_frsize ? s.f_frsize : s.f_bsize;
	*free_out = (uint64_t)s.f_bavail * unit;
	*total_out = (uint64_t)s.f_blocks * unit;
	return 0;
}

uint64_t lk_data_dirty_bytes(struct lk_data *d)
{
	return atomic_load(&d->dirty);
}

/* The number in a piece's name; false for another name. */
static bool piece_number(const char *name, uint64_t *out)
{
	char again[32];
	char *end;
	if (strncmp(name, "data.", 5) != 0)
		return false;
	uint64_t number = strtoull(name + 5, &end, 10);
	if (*end || number > (uint64_t)LK_DISK_BLOCK_MAX / LK_PIECE_BLOCKS)
		return false;
	piece_name((uint32_t)number, again);
	*out = number;
	return strcmp(again, name) == 0;
}

int lk_data_end(struct lk_data *d, uint64_t *end_out)
{
	uint64_t end = 0, number;
	int fd = openat(d->dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	if (!dir) {
		int r = linkfs_from_errno(errno);
		if (fd >= 0)
			(void)close(fd);
		return r;
	}
	errno = 0;
	for (struct dirent *e; (e = readdir(dir)) != NULL; errno = 0) {
		if (piece_number(e->d_name, &number))
			end = LK_MAX(end, (number + 1) * LK_PIECE_BLOCKS);
	}
	int r = errno ? linkfs_from_errno(errno) : 0;
	(void)closedir(dir);
	if (r == 0)
		*end_out = end;
	return r;
}
