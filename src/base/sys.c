/*
 * sys.c - clocks, randomness and whole-buffer I/O over the host.
 * Layer: base.
 */
#include "base.h"

#include <errno.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

int64_t lk_clock_now_ns(void)
{
	struct timespec ts;
	(void)clock_gettime(CLOCK_REALTIME, &ts);
	return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

uint64_t lk_clock_monotonic_ns(void)
{
	struct timespec ts;
	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

int lk_random(void *p, size_t len)
{
	uint8_t *b = p;
	while (len) {
		ssize_t n = getrandom(b, len, 0);
		if (n < 0) {
			if (errno == EINTR)
				continue;
			return linkfs_from_errno(errno);
		}
		b += n;
		len -= (size_t)n;
	}
	return 0;
}

int lk_pread_some(int fd, void *buf, size_t len, uint64_t offset, size_t *done_out)
{
	uint8_t *b = buf;
	size_t done = 0;
	while (done < len) {
		ssize_t n = pread(fd, b + done, len - done, (off_t)(offset + done));
		if (n < 0) {
			if (errno == EINTR)
				continue;
			return linkfs_from_errno(errno);
		}
		if (n == 0)
			break;
		done += (size_t)n;
	}
	*done_out = done;
	return 0;
}

int lk_pread_all(int fd, void *buf, size_t len, uint64_t offset)
{
	size_t done = 0;
	int r = lk_pread_some(fd, buf, len, offset, &done);
	if (r)
		return r;
	return done == len ? 0 : LINKFS_EIO;
}

int lk_pwrite_all(int fd, const void *buf, size_t len, uint64_t offset)
{
	const uint8_t *b = buf;
	while (len) {
		ssize_t n = pwrite(fd, b, len, (off_t)offset);
		if (n < 0) {
			if (errno == EINTR)
				continue;
			return linkfs_from_errno(errno);
		}
		if (n == 0)
			return LINKFS_EIO;
		b += n;
		len -= (size_t)n;
		offset += (uint64_t)n;
	}
	return 0;
}
