/*
 * vfs_space.c - space taken from the host before it is needed (T4).
 * Layer: store.
 */
#include "vfs_sum.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fiemap.h>
#include <linux/fs.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

static int host_error(int error)
{
	return error == EDQUOT || error == EFBIG ? LINKFS_ENOSPC : linkfs_from_errno(error);
}

/* For hosts without fallocate: the file is grown by writing zeros behind its end. */
static int write_zeros(int fd, uint64_t to)
{
	static const uint8_t zeros[65536];
	off_t end = lseek(fd, 0, SEEK_END);
	if (end < 0)
		return host_error(errno);
	for (uint64_t at = (uint64_t)end; at < to;) {
		size_t n = (size_t)LK_MIN(to - at, (uint64_t)sizeof(zeros));
		int r = lk_pwrite_all(fd, zeros, n, at);
		if (r)
			return r;
		at += n;
	}
	return 0;
}

/* XFS wants free space for a range even where all of it is allocated: on a full host what is there counts. */
static bool is_allocated(int fd, uint64_t from, uint64_t to)
{
	union {
		struct fiemap map;
		uint8_t room[sizeof(struct fiemap) + 32 * sizeof(struct fiemap_extent)];
	} u;
	while (from < to) {
		memset(&u, 0, sizeof(u));
		u.map.fm_start = from;
		u.map.fm_length = to - from;
		u.map.fm_extent_count = 32;
		u.map.fm_flags = FIEMAP_FLAG_SYNC;
		if (ioctl(fd, FS_IOC_FIEMAP, &u.map) || !u.map.fm_mapped_extents)
			return false;
		uint64_t begun = from;
		for (uint32_t i = 0; i < u.map.fm_mapped_extents && i < 32; i++) {
			const struct fiemap_extent *e = &u.map.fm_extents[i];
			if (e->fe_logical > from || e->fe_flags & (FIEMAP_EXTENT_UNKNOWN | FIEMAP_EXTENT_DELALLOC))
				return false;
			from = LK_MAX(from, e->fe_logical + e->fe_length);
		}
		if (from == begun)
			return false;
	}
	return true;
}

int lk_space_allocate(struct lk_space *space, int fd, uint64_t from, uint64_t to)
{
	if (!space->no_fallocate) {
		while (fallocate(fd, FALLOC_FL_KEEP_SIZE, (off_t)from, (off_t)(to - from))) {
			if (errno == EINTR)
				continue;
			int error = errno;
			if (error == ENOSPC && is_allocated(fd, from, to))
				return 0;
			if (error != EOPNOTSUPP && error != ENOSYS)
				return host_error(error);
			space->no_fallocate = true;
			break;
		}
		if (!space->no_fallocate)
			return 0;
	}
	return write_zeros(fd, to);
}

static void close_fd(int *fd)
{
	if (*fd >= 0)
		(void)close(*fd);
	*fd = -1;
}

void lk_space_close(struct lk_space *space)
{
	close_fd(&space->wal_fd);
	close_fd(&space->db_fd);
	close_fd(&space->shm_fd);
}
