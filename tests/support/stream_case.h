/*
 * stream_case.h - a volume with two snapshots that have something of everything, as streams in memory; for tests of receiving.
 * Through the public headers. What cannot fail in a test ends it.
 */
#ifndef LK_TEST_STREAM_CASE_H
#define LK_TEST_STREAM_CASE_H

#include <linkfs_stream.h>

struct stream_bytes {
	unsigned char *p;
	size_t len, cap;
	size_t at, end;                     /* while it is read */
	void (*told)(void *arg, size_t at); /* before each read; may be NULL */
	void *told_arg;
};
/* Makes a volume at path, which is gone afterwards: all of the first, and the difference to the second. */
void stream_case_make(const char *path, struct stream_bytes *first, struct stream_bytes *second);
int stream_case_send(struct linkfs_volume *volume, uint64_t from, uint64_t to, const char *token,
		     struct stream_bytes *out);
/* Up to byte end. why may be NULL. */
int stream_case_receive(struct linkfs_volume *volume, struct stream_bytes *stream, size_t end, uint32_t flags,
			struct linkfs_message *why);
/* The read of a struct linkfs_receive, from at to end. */
int stream_case_get(void *arg, void *buf, size_t size, size_t *done_out);
/* What the tree below node at shows, malloc'd: a line for each path. NULL with *error_out. */
char *stream_case_text(struct linkfs_volume *volume, uint64_t at, int *error_out);
/* The same of a snapshot; "none" when there is none of that name. */
char *stream_case_past(struct linkfs_volume *volume, const char *name, int *error_out);
void stream_case_free(struct stream_bytes *stream);
/* Where record number n begins; the length past the last one. */
size_t stream_case_record(const struct stream_bytes *stream, size_t n);

#endif
