/*
 * tar_stream.c - where the bytes of an archive come from and go to: the caller's standard input or output, a file of the host, or
 * one in a volume. See tar.h.
 */
#include "tar.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define POLL_MS 100

struct tar_stream {
	struct copy *copy;
	const char *text;    /* for messages */
	FILE *file;          /* standard input or output */
	struct copy_file in; /* a file in a volume, to read or to write */
	uint64_t offset;
	int fd;
	struct copy_dir dir; /* a file that is being written has another name in it */
	char *name, temp[32];
	uint64_t replaced; /* in that volume: the inode whose name it gets */
	bool replaces;     /* on the host */
};

static int told(struct copy *copy, const char *text, int error)
{
	copy->errors++;
	cli_fail(copy->cli, text, error);
	return COPY_TOLD;
}

static struct tar_stream *new_stream(struct copy *copy, const char *text)
{
	struct tar_stream *stream = cli_alloc(sizeof(*stream));
	if (stream)
		*stream = (struct tar_stream){.copy = copy, .text = text, .fd = -1, .in.fd = -1, .dir.fd = -1};
	return stream;
}

/* Paths that mean something else in the process that serves a mount. */
static bool names_own(const struct copy *copy, const struct cli_path *path)
{
	const char *p = path->host;
	return copy->cli->in_owner && path->kind == CLI_HOST &&
	       (strncmp(p, "/dev/fd/", 8) == 0 || strncmp(p, "/dev/std", 8) == 0 ||
		strncmp(p, "/proc/self/", 11) == 0 || strncmp(p, "/proc/thread-self/", 18) == 0);
}

static int refuse_own(struct copy *copy, const struct cli_path *path)
{
	copy->errors++;
	cli_failf(copy->cli, path->text,
		  "names something of the calling process, which the mount's cannot see; use - with '<' or '>'");
	return COPY_TOLD;
}

/* ---- reading ---- */

static int open_host(const struct cli_path *path, struct copy *copy, int *fd_out)
{
	struct stat st;
	/* A FIFO that nobody writes to yet must not hold up the process that serves a mount. */
	int fd = openat(copy->cli->cwd_fd, path->host, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	if (fd < 0)
		return linkfs_from_errno(errno);
	if (fstat(fd, &st) == 0 && S_ISDIR(st.st_mode)) {
		close(fd);
		return LINKFS_EISDIR;
	}
	*fd_out = fd;
	return 0;
}

static int open_in_volume(struct copy *copy, const struct cli_path *path, struct tar_stream *stream)
{
	struct linkfs_volume *volume;
	if (cli_volume_open(copy->cli, path->volume, &volume) != 0)
		return COPY_TOLD;
	int error =
		linkfs_file_open(volume, &copy->cli->cred, path->at, path->path, LINKFS_O_READ, 0, &stream->in.file);
	if (error)
		return cli_gone(error);
	stream->in.volume = volume;
	stream->in.ino = linkfs_file_ino(stream->in.file);
	struct linkfs_stat st;
	error = linkfs_file_stat(stream->in.file, &st);
	return error ? error : S_ISDIR(st.mode) ? LINKFS_EISDIR : S_ISREG(st.mode) ? 0 : LINKFS_EINVAL;
}

int tar_stream_read_open(struct copy *copy, const struct cli_path *path, struct tar_stream **out)
{
	const char *text = path ? path->text : "standard input";
	if (!path && copy->cli->in_tty) {
		copy->errors++;
		cli_failf(copy->cli, NULL,
			  "standard input is a terminal: name the archive, or send it there with '<' or '|'");
		return COPY_TOLD;
	}
	if (path && names_own(copy, path))
		return refuse_own(copy, path);
	struct tar_stream *stream = new_stream(copy, text);
	int error = stream ? 0 : LINKFS_ENOMEM;
	if (!error && !path)
		stream->file = copy->cli->in;
	else if (!error && path->kind == CLI_VOLUME)
		error = open_in_volume(copy, path, stream);
	else if (!error)
		error = open_host(path, copy, &stream->fd);
	if (error) {
		tar_stream_close(stream);
		return error == COPY_TOLD ? error : told(copy, text, error);
	}
	*out = stream;
	return 0;
}

/* Waits until there is something to read, or a cancellation. */
static int wait_for(struct tar_stream *stream, short events)
{
	struct pollfd poller = {.fd = stream->fd, .events = events};
	int n;
	do {
		if (cli_cancelled(stream->copy->cli))
			return LINKFS_EINTR;
		n = poll(&poller, 1, POLL_MS);
	} while (n == 0 || (n < 0 && errno == EINTR));
	return n < 0 ? linkfs_from_errno(errno) : 0;
}

ssize_t tar_stream_read(void *arg, char *buf, size_t size)
{
	struct tar_stream *stream = arg;
	struct cli *cli = stream->copy->cli;
	if (cli_cancelled(cli))
		return LINKFS_EINTR;
	if (stream->file) {
		size_t n = fread(buf, 1, size < 65536 ? size : 65536, stream->file);
		if (n == 0 && ferror(stream->file))
			return cli_cancelled(cli) ? LINKFS_EINTR : LINKFS_EIO;
		return (ssize_t)n;
	}
	if (stream->in.volume) {
		size_t done = 0;
		int error = copy_read(&stream->in, stream->offset, buf, size, &done);
		stream->offset += done;
		return error ? error : (ssize_t)done;
	}
	for (;;) {
		int error = wait_for(stream, POLLIN);
		if (error)
			return error;
		ssize_t n = read(stream->fd, buf, size);
		if (n >= 0)
			return n;
		if (errno != EINTR && errno != EAGAIN)
			return linkfs_from_errno(errno);
	}
}

/* ---- writing ---- */

/* A file in the volume that is exported: the same, but for what is there and is no file. */
static int open_in_place(struct copy *copy, struct tar_stream *stream)
{
	struct copy_stat st;
	int error = copy_stat(copy, &stream->dir, stream->name, false, &st);
	if (!error && !S_ISREG(st.st.mode))
		return S_ISDIR(st.st.mode) ? LINKFS_EISDIR : LINKFS_EINVAL;
	if (!error) {
		stream->replaced = st.st.ino;
		error = linkfs_node_access(stream->dir.volume, &copy->cli->cred, st.st.ino, 2);
	} else if (error == LINKFS_ENOENT) {
		st.st.mode = 0666;
		error = 0;
	}
	if (error)
		return error;
	cli_temp_name(stream->temp);
	error = copy_open_write(copy, &stream->dir, stream->temp, st.st.mode & 0777, COPY_NEW, &stream->in);
	if (error)
		stream->temp[0] = '\0';
	return error;
}

/* What is there and is no file (a device, a FIFO, a symlink to somewhere) is written to as it is; a file is replaced when the new one is whole. */
static int open_output(struct copy *copy, const struct cli_path *path, struct tar_stream *stream)
{
	struct stat st;
	int error = copy_operand(copy, path, &stream->dir, &stream->name);
	if (error)
		return error;
	if (strcmp(stream->name, ".") == 0)
		return LINKFS_EISDIR;
	if (stream->dir.volume)
		return open_in_place(copy, stream);
	bool there = fstatat(stream->dir.fd, stream->name, &st, AT_SYMLINK_NOFOLLOW) == 0;
	if (there && S_ISDIR(st.st_mode))
		return LINKFS_EISDIR;
	uint32_t mode = 0666 & ~copy->cli->cred.umask;
	if (there && !S_ISREG(st.st_mode)) {
		while ((stream->fd = openat(stream->dir.fd, stream->name,
					    O_WRONLY | O_TRUNC | O_CLOEXEC | O_NOCTTY | O_NONBLOCK)) < 0) {
			if (errno != ENXIO || !S_ISFIFO(st.st_mode))
				return linkfs_from_errno(errno);
			if (cli_cancelled(copy->cli)) /* nobody reads from the FIFO yet */
				return LINKFS_EINTR;
			poll(NULL, 0, POLL_MS);
		}
		return 0;
	}
	if (there && faccessat(stream->dir.fd, stream->name, W_OK, 0) != 0)
		return linkfs_from_errno(errno);
	stream->replaces = there;
	cli_temp_name(stream->temp);
	stream->fd = openat(stream->dir.fd, stream->temp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (stream->fd < 0) {
		stream->temp[0] = '\0';
		return linkfs_from_errno(errno);
	}
	return fchmod(stream->fd, there ? st.st_mode & 0777 : mode) == 0 ? 0 : linkfs_from_errno(errno);
}

int tar_stream_write_open(struct copy *copy, const struct cli_path *path, struct tar_stream **out)
{
	const char *text = path ? path->text : "standard output";
	if (!path && copy->cli->out_tty) {
		copy->errors++;
		cli_failf(copy->cli, NULL,
			  "standard output is a terminal: name a file for the archive, or send it on with '>' or '|'");
		return COPY_TOLD;
	}
	if (path && names_own(copy, path))
		return refuse_own(copy, path);
	struct tar_stream *stream = new_stream(copy, text);
	int error = stream ? 0 : LINKFS_ENOMEM;
	if (!error && !path)
		stream->file = copy->cli->out;
	else if (!error)
		error = open_output(copy, path, stream);
	if (error) {
		tar_stream_close(stream);
		return error == COPY_TOLD ? error : told(copy, text, error);
	}
	*out = stream;
	return 0;
}

int tar_stream_write(void *arg, const char *buf, size_t size)
{
	struct tar_stream *stream = arg;
	if (cli_cancelled(stream->copy->cli))
		return LINKFS_EINTR;
	if (stream->file) {
		errno = 0;
		if (fwrite(buf, 1, size, stream->file) == size && !ferror(stream->file))
			return 0;
		return errno ? linkfs_from_errno(errno) : LINKFS_EPIPE;
	}
	if (stream->in.volume) {
		int error = copy_write(stream->copy, &stream->in, stream->offset, buf, size);
		stream->offset += size;
		return error;
	}
	while (size) {
		int error = wait_for(stream, POLLOUT);
		ssize_t n = error ? 0 : write(stream->fd, buf, size);
		if (n < 0 && errno != EINTR && errno != EAGAIN)
			error = linkfs_from_errno(errno);
		if (error)
			return error;
		if (n > 0) {
			buf += n;
			size -= (size_t)n;
		}
	}
	return 0;
}

int tar_stream_finish(struct tar_stream *stream)
{
	if (stream->file) {
		errno = 0;
		return fflush(stream->file) == 0 && !ferror(stream->file) ? 0
		       : errno                                            ? linkfs_from_errno(errno)
									  : LINKFS_EPIPE;
	}
	if (stream->in.volume) {
		const struct copy_dir *dir = &stream->dir;
		int error = linkfs_node_rename(dir->volume, &stream->copy->cli->cred, dir->ino, stream->temp,
					       strlen(stream->temp), dir->ino, stream->name, strlen(stream->name), 0);
		if (!error)
			stream->temp[0] = '\0';
		return error;
	}
	/* What was there before is gone when this is durable. */
	if (stream->replaces && fsync(stream->fd) != 0)
		return linkfs_from_errno(errno);
	int fd = stream->fd;
	stream->fd = -1;
	if (close(fd) != 0)
		return linkfs_from_errno(errno);
	if (stream->temp[0]) {
		if (renameat(stream->dir.fd, stream->temp, stream->dir.fd, stream->name) != 0)
			return linkfs_from_errno(errno);
		stream->temp[0] = '\0';
	}
	return 0;
}

bool tar_stream_is_own(const struct tar_stream *stream, const struct linkfs_volume *volume, uint64_t ino)
{
	return stream->in.volume && stream->in.volume == volume && (ino == stream->in.ino || ino == stream->replaced);
}

void tar_stream_close(struct tar_stream *stream)
{
	if (!stream)
		return;
	copy_close(&stream->in);
	if (stream->fd >= 0)
		close(stream->fd);
	if (stream->temp[0])
		copy_unlink(stream->copy, &stream->dir, stream->temp);
	copy_close_dir(&stream->dir);
	free(stream->name);
	free(stream);
}
