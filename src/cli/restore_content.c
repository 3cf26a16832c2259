/*
 * restore_content.c - bytes for linkfs restore: written with their holes, and compared; see restore.h.
 */
#include "restore.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int host_error(void)
{
	return linkfs_from_errno(errno);
}

static int write_all(int fd, const char *p, size_t size, uint64_t offset)
{
	while (size) {
		ssize_t n = pwrite(fd, p, size, (off_t)offset);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? host_error() : LINKFS_EIO;
		p += n;
		offset += (uint64_t)n;
		size -= (size_t)n;
	}
	return 0;
}

/* Where the next data is, and where it ends; both size at the end of the file. */
static int next_data(struct copy_file *in, uint64_t offset, uint64_t size, uint64_t *data, uint64_t *end)
{
	*data = *end = size;
	int error = copy_seek(in, offset, LINKFS_SEEK_DATA, data);
	if (error == LINKFS_ENXIO)
		return 0;
	if (!error)
		error = copy_seek(in, *data, LINKFS_SEEK_HOLE, end);
	if (*end > size)
		*end = size;
	return error;
}

int restore_content(struct restore *r, struct copy_file *in, uint64_t size, int fd)
{
	uint64_t offset = 0, written = 0, end = 0;
	int error = 0;
	while (offset < size && !error) {
		error = next_data(in, offset, size, &offset, &end);
		while (!error && offset < end) {
			size_t want = end - offset < RESTORE_BUF ? (size_t)(end - offset) : RESTORE_BUF, n = 0;
			error = cli_cancelled(r->cli) ? LINKFS_EINTR : copy_read(in, offset, r->buf, want, &n);
			if (!error && n == 0) /* the file of the live tree shrank */
				error = LINKFS_EBUSY;
			if (!error)
				error = write_all(fd, r->buf, n, offset);
			if (!error) {
				offset += n;
				written = offset;
				r->done.bytes += n;
				r->moved += n;
				restore_progress(r);
			}
		}
	}
	if (!error && written < size && ftruncate(fd, (off_t)size) != 0)
		error = host_error();
	return error;
}

static int read_there(int fd, char *buf, size_t size, uint64_t offset, size_t *done_out)
{
	ssize_t n;
	do {
		n = pread(fd, buf, size, (off_t)offset);
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		return host_error();
	*done_out = (size_t)n;
	return 0;
}

/* Where both have a hole nothing is to be read: the first byte from offset on that one of them may have. */
static int skip_holes(struct copy_file *in, int fd, uint64_t size, uint64_t *offset)
{
	uint64_t data = size, end;
	int error = next_data(in, *offset, size, &data, &end);
	if (error || data == *offset)
		return error;
	off_t there = lseek(fd, (off_t)*offset, SEEK_DATA);
	if (there < 0 && errno != ENXIO)
		return host_error();
	*offset = there >= 0 && (uint64_t)there < data ? (uint64_t)there : data;
	return 0;
}

static int compare_bytes(struct restore *r, struct copy_file *in, int fd, uint64_t size, bool *differ_out)
{
	const size_t half = RESTORE_BUF / 2;
	char *there = r->buf + half;
	int error = 0;
	for (uint64_t offset = 0; offset < size && !error && !*differ_out;) {
		error = skip_holes(in, fd, size, &offset);
		if (error || offset == size)
			break;
		size_t want = size - offset < half ? (size_t)(size - offset) : half, a = 0, b = 0;
		error = cli_cancelled(r->cli) ? LINKFS_EINTR : copy_read(in, offset, r->buf, want, &a);
		while (!error && b < a) {
			size_t n = 0;
			error = read_there(fd, there + b, a - b, offset + b, &n);
			if (n == 0)
				break;
			b += n;
		}
		if (!error)
			*differ_out = a == 0 || b < a || memcmp(r->buf, there, a) != 0;
		offset += a;
		r->moved += a;
		restore_progress(r);
	}
	return error;
}

static int compare_content(struct restore *r, const struct copy_dir *from, const char *from_name,
			   const struct copy_stat *st, int fd, bool *differ_out)
{
	struct copy_file in = {.fd = -1};
	char path[40];
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	int error = copy_open_read(&r->copy, from, from_name, false, &in);
	if (error)
		return error;
	/* The file that was looked at, whatever has its name by now. */
	int flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY, there = open(path, flags | O_NOATIME);
	if (there < 0 && errno == EPERM)
		there = open(path, flags);
	error = there < 0 ? host_error() : compare_bytes(r, &in, there, st->st.size, differ_out);
	if (there >= 0)
		close(there);
	copy_close(&in);
	return error;
}

static int compare_text(struct restore *r, const struct copy_dir *from, const char *from_name,
			const struct copy_stat *st, int fd, bool *differ_out)
{
	char *text = NULL, *there = r->buf;
	int error = copy_readlink(&r->copy, from, from_name, st, &text);
	if (error)
		return error;
	ssize_t len = readlinkat(fd, "", there, RESTORE_BUF);
	error = len < 0 ? host_error() : 0;
	*differ_out = !error && ((size_t)len != strlen(text) || memcmp(text, there, (size_t)len) != 0);
	free(text);
	return error;
}

int restore_compare(struct restore *r, const struct copy_dir *from, const char *from_name, const struct copy_stat *st,
		    int fd, const struct copy_stat *there, bool strict, uint32_t *what_out)
{
	bool differ = false;
	int error = restore_compare_meta(r, from, st, fd, there, strict, what_out);
	if (error || (*what_out && !strict))
		return error;
	if (S_ISLNK(st->st.mode))
		error = compare_text(r, from, from_name, st, fd, &differ);
	else if (S_ISREG(st->st.mode) && st->st.size != there->st.size)
		differ = true;
	else if (S_ISREG(st->st.mode))
		error = compare_content(r, from, from_name, st, fd, &differ);
	if (differ)
		*what_out |= LINKFS_DIFF_CONTENT;
	return error;
}
