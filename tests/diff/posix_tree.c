/*
 * posix_tree.c - the view of a whole tree through system calls, and removal of trees of any depth.
 */
#include "posix.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

static int view_root(void *arg, int64_t *out)
{
	const struct posix *state = arg;
	int fd = openat(state->root_fd, ".", O_PATH | O_DIRECTORY | O_CLOEXEC);
	*out = fd;
	return fd < 0 ? errno : 0;
}

static int view_child(void *arg, int64_t dir, const char *name, int64_t *out)
{
	(void)arg;
	int fd = openat((int)dir, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	*out = fd;
	return fd < 0 ? errno : 0;
}

static void view_close(void *arg, int64_t node)
{
	(void)arg;
	close((int)node);
}

static int view_stat(void *arg, int64_t node, struct answer_stat *out)
{
	const struct posix *state = arg;
	struct stat st;
	if (fstatat((int)node, "", &st, AT_EMPTY_PATH))
		return errno;
	lk_posix_stat(&st, out);
	out->nlink += lk_posix_more_names(state, st.st_ino);
	if (state->emulates && (S_ISREG(st.st_mode) || S_ISDIR(st.st_mode)))
		out->keeps = state->side->against_lib && lk_posix_keeps(state, (int)node);
	return 0;
}

/* Without a change of access times where that is allowed, so that looking does not disturb. */
static int open_quietly(int dir, const char *name, int flags)
{
	int fd = openat(dir, name, flags | O_RDONLY | O_NOFOLLOW | O_NOATIME | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0 && errno == EPERM)
		fd = openat(dir, name, flags | O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
	return fd;
}

static int view_list(void *arg, int64_t node, struct name_list *out)
{
	const struct posix *state = arg;
	struct stat st;
	int fd = open_quietly((int)node, ".", O_DIRECTORY);
	int error = fd < 0 ? errno : lk_posix_list(fd, out);
	/* The kernel lists what a mount covers, linkfs what is shown. */
	for (size_t i = 0; state->side->taints->bind_count && i < out->count; i++) {
		if (fstatat((int)node, out->names[i], &st, AT_SYMLINK_NOFOLLOW) == 0)
			out->inos[i] = st.st_ino;
	}
	return error;
}

int lk_posix_read_content(int fd, uint64_t *hash)
{
	static unsigned char buf[1 << 16];
	off_t at = 0;
	/* Pieces start at multiples of 512, and holes are skipped: files may be sparse and huge. */
	for (;;) {
		off_t data = lseek(fd, at, SEEK_DATA);
		if (data < 0)
			return errno == ENXIO ? 0 : errno;
		at = data & ~(off_t)4095;
		ssize_t n = pread(fd, buf, sizeof(buf), at);
		if (n < 0)
			return errno;
		if (n == 0)
			return 0;
		*hash = lk_tree_piece(*hash, (uint64_t)at, buf, (size_t)n);
		at += n;
	}
}

static int view_content(void *arg, int64_t dir, const char *name, int64_t node, mode_t mode, uint64_t *hash)
{
	(void)arg;
	if (S_ISLNK(mode)) {
		char target[PATH_ROOM];
		ssize_t n = readlinkat((int)node, "", target, sizeof(target));
		if (n < 0)
			return errno;
		*hash = lk_hash(0, target, (size_t)n);
		return 0;
	}
	int fd = open_quietly((int)dir, name, 0);
	if (fd < 0)
		return errno;
	int error = lk_posix_read_content(fd, hash);
	close(fd);
	return error;
}

static int hash_xattrs(const char *name, uint64_t *hash, unsigned *count)
{
	static char names[65536];
	static unsigned char value[LK_XATTR_ROOM];
	ssize_t len = llistxattr(name, names, sizeof(names));
	if (len < 0)
		return errno == ENOTSUP ? 0 : errno;
	for (ssize_t at = 0; at < len; at += (ssize_t)strlen(names + at) + 1) {
		ssize_t n = lgetxattr(name, names + at, value, sizeof(value));
		if (n < 0)
			return errno;
		*hash += lk_hash(lk_hash(0, names + at, strlen(names + at)), value, (size_t)n);
		(*count)++;
	}
	return 0;
}

static int view_xattrs(void *arg, int64_t dir, const char *name, int64_t node, uint64_t *hash, unsigned *count)
{
	(void)arg;
	int back = open(".", O_PATH | O_CLOEXEC); /* an ordinary user may have closed the way back */
	if (back < 0)
		return errno;
	if (fchdir((int)(dir < 0 ? node : dir))) {
		int error = errno;
		close(back);
		return error;
	}
	int error = hash_xattrs(name, hash, count);
	if (fchdir(back))
		lk_die("cannot go back: %s", strerror(errno));
	close(back);
	return error;
}

void lk_posix_tree(struct posix *state, struct text *out)
{
	const struct tree_view view = {
		.state = state,
		.side = state->side,
		.open_root = view_root,
		.open_child = view_child,
		.close = view_close,
		.stat = view_stat,
		.list = view_list,
		.content = view_content,
		.xattrs = view_xattrs,
	};
	lk_tree_list(&view, out);
}

void lk_remove_tree(int dir_fd, const char *name)
{
	if (unlinkat(dir_fd, name, 0) == 0 || errno == ENOENT)
		return;
	(void)fchmodat(dir_fd, name, 0700, 0);
	int fd = openat(dir_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return;
	struct name_list list = {0};
	(void)lk_posix_list(dup(fd), &list);
	for (size_t i = 0; i < list.count; i++) {
		if (strcmp(list.names[i], ".") != 0 && strcmp(list.names[i], "..") != 0)
			lk_remove_tree(fd, list.names[i]);
	}
	lk_names_free(&list);
	close(fd);
	(void)unlinkat(dir_fd, name, AT_REMOVEDIR);
}
