/*
 * posix_file.c - operations on open files, through system calls.
 */
#include "posix.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fiemap.h>
#include <linux/fs.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/xattr.h>
#include <unistd.h>

/* Whether the file has blocks that are allocated and not written: ext4 says of those "data" or "hole" by what its page
 * cache happens to hold. */
static bool has_unwritten(int fd)
{
	union {
		struct fiemap map;
		char room[sizeof(struct fiemap) + 512 * sizeof(struct fiemap_extent)];
	} request = {.map = {.fm_length = FIEMAP_MAX_OFFSET, .fm_extent_count = 512}};
	if (ioctl(fd, FS_IOC_FIEMAP, &request.map))
		return true;
	for (unsigned i = 0; i < request.map.fm_mapped_extents; i++) {
		if (request.map.fm_extents[i].fe_flags & FIEMAP_EXTENT_UNWRITTEN)
			return true;
	}
	return request.map.fm_mapped_extents == 512;
}

static bool is_tainted(const struct posix *state, int fd)
{
	struct stat st;
	if (fstat(fd, &st))
		return true;
	const struct taints *taints = state->side->taints;
	for (size_t i = 0; i < taints->count; i++) {
		if (taints->inos[i] == st.st_ino)
			return true;
	}
	return taints->count == LK_TAINTS;
}

static bool is_regular(int fd)
{
	struct stat st;
	return fstat(fd, &st) == 0 && S_ISREG(st.st_mode);
}

static void open_file(struct posix *state, const struct op *op, struct text *out)
{
	struct posix_slot *slot = &state->slots[op->n[0]];
	if (slot->fd >= 0)
		close(slot->fd);
	slot->fd = -1;
	int flags = (int)op->n[1];
	/* Opening what is neither a file nor a directory is the kernel's business, not the library's. */
	struct stat st;
	bool special = false;
	int fd = openat(state->at, state->p, flags | O_NONBLOCK | O_CLOEXEC, (mode_t)op->n[2]);
	int error = errno;
	if (state->side->against_lib && state->side->reference) {
		if (fd >= 0)
			special = fstat(fd, &st) == 0 && !S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode);
		else
			special = error == ENXIO || error == ENODEV || error == ENOTTY ||
				  (fstatat(state->at, state->p, &st, 0) == 0 && !S_ISREG(st.st_mode) &&
				   !S_ISDIR(st.st_mode)) ||
				  (error == EACCES && (flags & O_CREAT) && (flags & O_NOFOLLOW) &&
				   fstatat(state->at, state->p, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISLNK(st.st_mode));
	}
	if (special) {
		state->skip = true;
		if (fd >= 0)
			close(fd);
		fd = -1;
	}
	errno = error;
	if (!lk_posix_result(out, special ? 0 : fd))
		return;
	slot->fd = fd;
	slot->user = op->user;
	slot->flags = flags;
}

static void read_file(struct posix *state, const struct op *op, int fd, bool positioned, struct text *out)
{
	(void)state;
	size_t size = (size_t)op->n[positioned ? 2 : 1];
	unsigned char *buf = malloc(size + 1);
	if (!buf)
		lk_die("out of memory");
	ssize_t n = positioned ? pread(fd, buf, size, op->n[1]) : read(fd, buf, size);
	if (lk_posix_result(out, n))
		lk_answer_bytes(out, buf, (size_t)n);
	free(buf);
}

static void write_file(const struct op *op, int fd, bool positioned, struct text *out)
{
	size_t size = (size_t)op->n[positioned ? 2 : 1];
	unsigned char *buf = malloc(size + 1);
	if (!buf)
		lk_die("out of memory");
	lk_fill(buf, size, op->n[positioned ? 3 : 2], positioned ? op->n[1] : 0);
	ssize_t n = positioned ? pwrite(fd, buf, size, op->n[1]) : write(fd, buf, size);
	if (lk_posix_result(out, n))
		lk_text_add(out, " %zd", n);
	free(buf);
}

void lk_posix_taint(const struct posix *state, int fd)
{
	struct stat st;
	struct taints *taints = state->side->taints;
	if (!is_tainted(state, fd) && fstat(fd, &st) == 0)
		taints->inos[taints->count++] = st.st_ino;
}

static void copy_range(struct posix *state, const struct op *op, int fd, struct text *out)
{
	struct posix_slot *from = &state->slots[op->n[0]], *to = &state->slots[op->n[2]];
	if (to->fd < 0) {
		lk_text_add(out, "noslot");
		return;
	}
	if (state->side->against_lib && ((from->flags & O_ACCMODE) == O_WRONLY || (to->flags & O_ACCMODE) == O_RDONLY ||
					 (to->flags & O_APPEND) || !is_regular(fd) || !is_regular(to->fd))) {
		lk_text_add(out, "nohandle");
		return;
	}
	if (state->side->reference && !state->side->against_lib && op->n[3] >= LK_LARGEST)
		state->skip = true; /* no state changes: 0 bytes or EFBIG */
	off_t in = op->n[1], end = op->n[3];
	size_t left = (size_t)op->n[4];
	int64_t done = 0, n = 0;
	/* A short count may be where the caller's file system chose to stop: go on to the end or the error. */
	do {
		n = copy_file_range(fd, &in, to->fd, &end, left, 0);
		if (n > 0) {
			done += n;
			left -= (size_t)n;
		}
	} while (n > 0 && left);
	if (lk_posix_result(out, done ? done : n))
		lk_text_add(out, " %lld", (long long)done);
	if (done)
		lk_posix_taint(state, to->fd);
}

static void map_write(struct posix *state, const struct op *op, int fd, struct text *out)
{
	struct stat st;
	int64_t offset = op->n[1] & ~INT64_C(4095), len = op->n[2] % 70000 + 1;
	if (fstat(fd, &st) || !S_ISREG(st.st_mode)) {
		lk_text_add(out, "not a file");
		return;
	}
	if (offset + len > st.st_size)
		len = st.st_size - offset;
	if (len <= 0) {
		lk_text_add(out, "past the end");
		return;
	}
	void *map = mmap(NULL, (size_t)len, PROT_READ | PROT_WRITE, MAP_SHARED, fd, offset);
	if (map == MAP_FAILED) {
		lk_answer_error(out, errno);
		return;
	}
	lk_text_add(out, "ok");
	lk_answer_bytes(out, map, (size_t)len);
	lk_fill(map, (size_t)len, op->n[3], offset);
	/* Until then a FUSE server knows nothing of the write, and its time may come after a later utimensat. */
	(void)msync(map, (size_t)len, MS_SYNC);
	munmap(map, (size_t)len);
	lk_posix_taint(state, fd);
}

static void lock_range(const struct op *op, int fd, struct text *out)
{
	struct flock lock = {.l_type = (short)op->n[1], .l_whence = SEEK_SET, .l_start = op->n[2], .l_len = op->n[3]};
	lk_posix_result(out, fcntl(fd, F_OFD_SETLK, &lock));
}

static void seek_hole(struct posix *state, const struct op *op, int fd, struct text *out)
{
	if (state->side->reference && (!is_regular(fd) || is_tainted(state, fd) || has_unwritten(fd)))
		state->skip = true;
	if (!is_regular(fd)) {
		lk_text_add(out, "not a file");
		return;
	}
	off_t at = lseek(fd, op->n[1], (int)op->n[2]);
	if (lk_posix_result(out, at))
		lk_text_add(out, " %lld", (long long)at);
	(void)lseek(fd, 0, SEEK_SET);
}

static void file_xattr(struct posix *state, const struct op *op, int fd, struct text *out)
{
	static unsigned char value[LK_XATTR_ROOM];
	if (op->kind == OP_FSETXATTR) {
		size_t len = lk_xattr_value(op, state->q, value, sizeof(value));
		lk_posix_result(out, fsetxattr(fd, state->q, value, len, (int)op->n[2]));
		return;
	}
	ssize_t n = fgetxattr(fd, state->q, value, (size_t)op->n[0]);
	if (lk_posix_result(out, n)) {
		if (op->n[0])
			lk_answer_bytes(out, value, (size_t)n);
		else
			lk_text_add(out, " %zd", n);
	}
}

static void times_of(const int64_t *n, struct timespec out[2])
{
	for (int i = 0; i < 2; i++) {
		out[i].tv_sec = n[2 * i];
		out[i].tv_nsec = n[2 * i + 1];
		if (n[2 * i + 1] == -1)
			out[i].tv_nsec = UTIME_NOW;
		if (n[2 * i + 1] == -2)
			out[i].tv_nsec = UTIME_OMIT;
	}
}

static void file_status(const struct posix *state, int fd, struct text *out)
{
	struct stat st;
	struct answer_stat answer;
	if (lk_posix_result(out, fstat(fd, &st))) {
		lk_posix_stat(&st, &answer);
		answer.nlink += lk_posix_more_names(state, st.st_ino);
		lk_answer_stat(out, &answer, state->side);
	}
}

bool lk_posix_file(struct posix *state, const struct op *op, struct text *out)
{
	const struct op_row *row = lk_op_row(op->kind);
	struct timespec times[2];
	if (row->slot < 0 || op->kind == OP_LINKFD)
		return false;
	if (op->kind == OP_OPEN) {
		open_file(state, op, out);
		return true;
	}
	struct posix_slot *slot = &state->slots[op->n[row->slot]];
	int fd = slot->fd;
	if (fd < 0) {
		lk_text_add(out, "noslot");
		return true;
	}
	switch ((int)op->kind) {
	case OP_CLOSE:
		lk_posix_result(out, close(fd));
		slot->fd = -1;
		break;
	case OP_PREAD:
	case OP_READ:
		read_file(state, op, fd, op->kind == OP_PREAD, out);
		break;
	case OP_PWRITE:
	case OP_WRITE:
		write_file(op, fd, op->kind == OP_PWRITE, out);
		break;
	case OP_LSEEK: {
		if (!is_regular(fd)) {
			lk_text_add(out, "not a file");
			break;
		}
		off_t before = lseek(fd, 0, SEEK_CUR), at = lseek(fd, op->n[1], (int)op->n[2]);
		if (at > LK_LARGEST) { /* FUSE has no limit of its own, see known differences */
			(void)lseek(fd, before, SEEK_SET);
			at = -1;
			errno = EINVAL;
		}
		if (lk_posix_result(out, at))
			lk_text_add(out, " %lld", (long long)at);
		break;
	}
	case OP_FTRUNCATE:
		lk_posix_result(out, ftruncate(fd, op->n[1]));
		break;
	case OP_FALLOCATE:
		if (state->side->against_lib && ((slot->flags & O_ACCMODE) == O_RDONLY || !is_regular(fd)))
			lk_text_add(out, "nohandle");
		else
			lk_posix_result(out, fallocate(fd, (int)op->n[1], op->n[2], op->n[3]));
		break;
	case OP_SEEK:
		seek_hole(state, op, fd, out);
		break;
	case OP_COPY:
		copy_range(state, op, fd, out);
		break;
	case OP_MMAP:
		map_write(state, op, fd, out);
		break;
	case OP_FLOCK:
		lk_posix_result(out, flock(fd, (int)op->n[1] | LOCK_NB));
		break;
	case OP_LOCK:
		lock_range(op, fd, out);
		break;
	case OP_IOCTL: {
		long room[64] = {0};
		lk_posix_result(out, ioctl(fd, (unsigned long)op->n[1], room));
		break;
	}
	case OP_FSYNC:
		lk_posix_result(out, op->n[1] ? fdatasync(fd) : fsync(fd));
		break;
	case OP_FSTAT:
		file_status(state, fd, out);
		break;
	case OP_FCHMOD:
		lk_posix_result(out, fchmod(fd, (mode_t)op->n[1]));
		break;
	case OP_FCHOWN:
		lk_posix_result(out, fchown(fd, (uid_t)op->n[1], (gid_t)op->n[2]));
		break;
	case OP_FUTIMES:
		times_of(op->n + 1, times);
		lk_posix_result(out, futimens(fd, times));
		break;
	case OP_FSETXATTR:
	case OP_FGETXATTR:
		file_xattr(state, op, fd, out);
		break;
	default:
		lk_die("%s is no operation on files", row->name);
	}
	return true;
}
