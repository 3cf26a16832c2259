/*
 * posix_copy.c - the reference's own copies of files, for what linkfs does in one call: made by root in a directory beside the tree that is
 * compared (scratch), to be linked or renamed into it. And the flag that linkfs calls keep-links, which on ext4 is chattr's "d": it
 * means nothing to ext4, stays with the inode, and is handed on to what is made in a directory, as linkfs's is.
 */
#include "posix.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

/* For reading, by an O_PATH descriptor of any file, and without a change of its access time. */
static int reopen(const struct posix *state, int fd, int flags)
{
	char number[24];
	(void)snprintf(number, sizeof(number), "%d", fd);
	return openat(state->proc_fd, number, flags | O_NOATIME | O_NONBLOCK | O_CLOEXEC);
}

bool lk_posix_keeps(const struct posix *state, int fd)
{
	int again = reopen(state, fd, O_RDONLY), flags = 0;
	if (again < 0)
		return false;
	bool keeps = ioctl(again, FS_IOC_GETFLAGS, &flags) == 0 && (flags & FS_NODUMP_FL);
	close(again);
	return keeps;
}

void lk_posix_set_keeps(const struct posix *state, int fd, bool on)
{
	int again = reopen(state, fd, O_RDONLY), flags = 0;
	if (again < 0 || ioctl(again, FS_IOC_GETFLAGS, &flags))
		lk_die("flags of a file: %s", strerror(errno));
	int wanted = on ? flags | FS_NODUMP_FL : flags & ~FS_NODUMP_FL;
	if (wanted != flags && ioctl(again, FS_IOC_SETFLAGS, &wanted))
		lk_die("set flags of a file: %s", strerror(errno));
	close(again);
}

void lk_posix_copy_content(const struct posix *state, int from, int to)
{
	static char buf[1 << 16];
	struct stat st;
	int in = reopen(state, from, O_RDONLY), out = reopen(state, to, O_WRONLY);
	if (in < 0 || out < 0 || fstat(in, &st) || ftruncate(out, st.st_size))
		lk_die("copy: %s", strerror(errno));
	for (off_t at = 0;;) {
		off_t data = lseek(in, at, SEEK_DATA);
		if (data < 0)
			break;
		off_t end = lseek(in, data, SEEK_HOLE);
		for (at = data; at < end;) {
			size_t part = end - at < (off_t)sizeof(buf) ? (size_t)(end - at) : sizeof(buf);
			ssize_t n = pread(in, buf, part, at);
			if (n <= 0 || pwrite(out, buf, (size_t)n, at) != n)
				lk_die("copy: %s", strerror(errno));
			at += n;
		}
	}
	close(in);
	close(out);
	lk_posix_taint(state, to);
}

uint64_t lk_posix_content_hash(const struct posix *state, int fd)
{
	uint64_t hash = 0;
	int again = reopen(state, fd, O_RDONLY);
	if (again < 0 || lk_posix_read_content(again, &hash))
		lk_die("read: %s", strerror(errno));
	close(again);
	return hash;
}

/* All xattrs, or those that who is not root may copy. The descriptors are O_PATH, also of symlinks: their names in /proc are links that
 * are followed once. */
static void copy_xattrs(const struct posix *state, int from, int to, bool all)
{
	static char names[65536], value[LK_XATTR_ROOM];
	char numbers[2][24];
	int back = open(".", O_PATH | O_CLOEXEC);
	(void)snprintf(numbers[0], sizeof(numbers[0]), "%d", from);
	(void)snprintf(numbers[1], sizeof(numbers[1]), "%d", to);
	if (back < 0 || fchdir(state->proc_fd))
		lk_die("go to /proc: %s", strerror(errno));
	ssize_t len = listxattr(numbers[0], names, sizeof(names));
	for (ssize_t at = 0; at < len; at += (ssize_t)strlen(names + at) + 1) {
		const char *name = names + at;
		if (!all && (strncmp(name, "security.", 9) == 0 || strncmp(name, "trusted.", 8) == 0))
			continue;
		ssize_t n = getxattr(numbers[0], name, value, sizeof(value));
		if (n < 0 || setxattr(numbers[1], name, value, (size_t)n, 0))
			lk_die("copy of xattr %s: %s", name, strerror(errno));
	}
	if (fchdir(back))
		lk_die("cannot go back: %s", strerror(errno));
	close(back);
}

static int copy(const struct posix *state, int from, const char *text, bool privileged)
{
	char target[PATH_ROOM], number[24];
	struct stat st;
	int rc = fstatat(from, "", &st, AT_EMPTY_PATH), scratch = state->scratch_fd;
	(void)unlinkat(scratch, LK_COPY, 0);
	if (rc == 0 && S_ISLNK(st.st_mode)) {
		ssize_t n = readlinkat(from, "", target, sizeof(target) - 1);
		target[n < 0 ? 0 : n] = '\0';
		rc = n < 0 ? -1 : symlinkat(text ? text : target, scratch, LK_COPY);
	} else if (rc == 0) {
		rc = mknodat(scratch, LK_COPY, (st.st_mode & S_IFMT) | 0600, st.st_rdev);
	}
	int to = rc ? -1 : openat(scratch, LK_COPY, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	if (to < 0)
		lk_die("make a copy: %s", strerror(errno));
	if (S_ISREG(st.st_mode)) {
		lk_posix_copy_content(state, from, to);
		lk_posix_set_keeps(state, to, lk_posix_keeps(state, from));
	}
	(void)snprintf(number, sizeof(number), "%d", to);
	if (fchownat(to, "", st.st_uid, st.st_gid, AT_EMPTY_PATH) ||
	    (!S_ISLNK(st.st_mode) && fchmodat(state->proc_fd, number, st.st_mode & 07777, 0)))
		lk_die("owner of a copy: %s", strerror(errno));
	copy_xattrs(state, from, to, privileged);
	struct timespec times[2] = {st.st_atim, st.st_mtim};
	if (utimensat(to, "", times, AT_EMPTY_PATH))
		lk_die("times of a copy: %s", strerror(errno));
	return to;
}

int lk_posix_copy(const struct posix *state, int from, bool privileged)
{
	return copy(state, from, NULL, privileged);
}

int lk_posix_copy_symlink(const struct posix *state, int from, const char *text)
{
	return copy(state, from, text, true);
}
