/*
 * base.h - what every layer uses: error codes, byte buffers, clocks, small helpers.
 * Layer: base (the lowest). Depends on include/linkfs.h and libc only.
 */
#ifndef LK_BASE_H
#define LK_BASE_H

#include <linkfs.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LK_ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))
#define LK_MIN(a, b) ((a) < (b) ? (a) : (b))
#define LK_MAX(a, b) ((a) > (b) ? (a) : (b))

/* Bytes that somebody else owns. */
struct lk_bytes {
	const void *p;
	size_t len;
};

/* A growable buffer. Zero-initialised is empty; lk_buf_done() frees. */
struct lk_buf {
	uint8_t *p;
	size_t len, cap;
};
int lk_buf_reserve(struct lk_buf *buf, size_t more); /* LINKFS_ENOMEM */
int lk_buf_append(struct lk_buf *buf, const void *p, size_t len);
void lk_buf_done(struct lk_buf *buf);

/* For qsort(3) of elements that begin with a uint64_t, or an int64_t that is never negative. */
int lk_by_number(const void *a, const void *b);
/* Where in such an array, in that order, the first is whose number is not below this one; count: none is. size: of an element. */
size_t lk_first_number(const void *p, size_t count, size_t size, uint64_t number);

/* The decimal number at *p, of digits only, max at most, with the byte end after it, which may be NUL; *p is then behind that. false, and
 * nothing is changed: there is no such number. The other one takes a minus too. */
bool lk_take_number(const char **p, char end, uint64_t max, uint64_t *out);
bool lk_take_signed(const char **p, char end, int64_t *out);

/* Wall clock, nanoseconds since 1970 UTC, and monotonic clock. */
int64_t lk_clock_now_ns(void);
uint64_t lk_clock_monotonic_ns(void);

/* Cryptographically random bytes (getrandom). */
int lk_random(void *p, size_t len);

/* Fills message->text when message is not NULL, control characters and broken UTF-8 as ?; returns error, so that callers can write return lk_fail(...). */
int lk_fail(struct linkfs_message *message, int error, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* Whole-buffer I/O: retry on EINTR and short counts. Return 0, or a LINKFS code; a short read is LINKFS_EIO,
 * except that lk_pread_some gives what there is. */
int lk_pread_all(int fd, void *buf, size_t len, uint64_t offset);
int lk_pread_some(int fd, void *buf, size_t len, uint64_t offset, size_t *done_out);
int lk_pwrite_all(int fd, const void *buf, size_t len, uint64_t offset);

/* Little-endian access for records kept in blobs. */
static inline void lk_put_u64(void *p, uint64_t v)
{
	uint8_t *b = p;
	for (int i = 0; i < 8; i++)
		b[i] = (uint8_t)(v >> (8 * i));
}
static inline uint64_t lk_get_u64(const void *p)
{
	const uint8_t *b = p;
	uint64_t v = 0;
	for (int i = 0; i < 8; i++)
		v |= (uint64_t)b[i] << (8 * i);
	return v;
}

#endif
