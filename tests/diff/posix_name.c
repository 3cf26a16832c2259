/*
 * posix_name.c - operations on paths and directories, through system calls.
 */
#include "posix.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

int lk_posix_list(int fd, struct name_list *out)
{
	DIR *dir = fdopendir(fd);
	if (!dir) {
		int error = errno;
		close(fd);
		return error;
	}
	int error;
	for (;;) {
		errno = 0;
		struct dirent *entry = readdir(dir);
		error = errno;
		if (!entry)
			break;
		lk_names_add(out, entry->d_name, strlen(entry->d_name), DTTOIF((unsigned)entry->d_type), entry->d_ino);
	}
	closedir(dir);
	return error;
}

static void list_dir(struct posix *state, struct text *out)
{
	struct name_list list = {0};
	int fd = openat(state->at, state->p, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0) {
		lk_answer_error(out, errno);
		return;
	}
	int error = lk_posix_list(fd, &list);
	if (error) {
		lk_answer_error(out, error);
	} else {
		lk_text_add(out, "ok");
		lk_names_sort(&list);
		lk_answer_names(out, &list);
	}
	lk_names_free(&list);
}

/* Reads some entries, notes the place, changes the directory, goes back to the place and reads on: every entry that was
 * there throughout must have been seen exactly once. */
static void walk_dir(struct posix *state, const struct op *op, struct text *out)
{
	struct name_list list = {0};
	int fd = openat(state->at, state->p, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NONBLOCK);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	if (!dir) {
		lk_answer_error(out, errno);
		return;
	}
	struct dirent *entry;
	for (int64_t i = 0; i < op->n[0] && (entry = readdir(dir)); i++)
		lk_names_add(&list, entry->d_name, strlen(entry->d_name), DTTOIF((unsigned)entry->d_type),
			     entry->d_ino);
	long place = telldir(dir);
	while (readdir(dir))
		;
	if (op->n[1])
		lk_posix_result(out, mknodat(dirfd(dir), state->q, S_IFREG | 0600, 0));
	else if (state->emulates && lk_posix_loses_source(state, dirfd(dir), state->q))
		state->skip = true; /* one of the errors that there may be */
	else
		lk_posix_result(out, unlinkat(dirfd(dir), state->q, 0));
	seekdir(dir, place);
	while ((entry = readdir(dir)))
		lk_names_add(&list, entry->d_name, strlen(entry->d_name), DTTOIF((unsigned)entry->d_type),
			     entry->d_ino);
	for (size_t i = 0; i < list.count; i++) {
		if (strcmp(list.names[i], state->q) == 0) { /* this one may be seen or not */
			list.count--;
			free(list.names[i]);
			list.names[i] = list.names[list.count];
			list.types[i] = list.types[list.count];
			i--;
		}
	}
	lk_names_sort(&list);
	lk_answer_names(out, &list);
	lk_names_free(&list);
	closedir(dir);
}

#define TRIES 5

/* Linux begins a walk anew that lost a race or found no memory at once, and goes on counting its symlinks: a chain of less than 40 is then
 * refused. One of more is refused each time. */
static bool is_loop(int result, unsigned *tries)
{
	return result && errno == ELOOP && ++*tries < TRIES;
}

static void status(struct posix *state, const struct op *op, struct text *out)
{
	struct stat st;
	struct statx stx;
	struct answer_stat answer;
	int flags = op->n[0] ? 0 : AT_SYMLINK_NOFOLLOW, r;
	unsigned tries = 0;
	do {
		r = fstatat(state->at, state->p, &st, flags);
	} while (is_loop(r, &tries));
	if (!lk_posix_result(out, r))
		return;
	lk_posix_stat(&st, &answer);
	answer.nlink += lk_posix_more_names(state, st.st_ino);
	lk_answer_stat(out, &answer, state->side);
	tries = 0;
	do {
		r = statx(state->at, state->p, flags, STATX_BTIME, &stx);
	} while (is_loop(r, &tries));
	if (r)
		lk_text_add(out, " and statx says %s", strerror(errno));
	else
		lk_text_add(out, " born %s",
			    !(stx.stx_mask & STATX_BTIME) ? "never"
			    : stx.stx_btime.tv_sec < st.st_ctim.tv_sec - 86400 ||
					    stx.stx_btime.tv_sec > st.st_ctim.tv_sec + 1
				    ? "at another time"
				    : "now");
}

static void read_link(struct posix *state, const struct op *op, struct text *out)
{
	char target[PATH_ROOM];
	ssize_t n = readlinkat(state->at, state->p, target, (size_t)op->n[0]);
	if (lk_posix_result(out, n)) {
		lk_text_add(out, " %zd ", n);
		lk_text_escape(out, target, (size_t)n < 60 ? (size_t)n : 60);
		lk_answer_bytes(out, target, (size_t)n);
	}
}

static void same_inode(struct posix *state, const struct op *op, struct text *out)
{
	struct stat a, b;
	(void)op;
	if (fstatat(state->at, state->p, &a, AT_SYMLINK_NOFOLLOW) ||
	    fstatat(state->at, state->q, &b, AT_SYMLINK_NOFOLLOW))
		lk_answer_error(out, errno);
	else
		lk_text_add(out, "ok %s", a.st_ino == b.st_ino && a.st_dev == b.st_dev ? "same" : "two");
}

static void link_slot(struct posix *state, const struct op *op, struct text *out)
{
	const struct posix_slot *slot = &state->slots[op->n[0]];
	char number[24];
	if (slot->fd < 0) {
		lk_text_add(out, "noslot");
		return;
	}
	(void)snprintf(number, sizeof(number), "%d", slot->fd);
	lk_posix_result(out, linkat(state->proc_fd, number, state->at, state->p, AT_SYMLINK_FOLLOW));
}

static void open_dir(struct posix *state, const struct op *op, struct text *out)
{
	DIR **slot = &state->dirs[op->n[0]];
	int fd = openat(state->at, state->p, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NONBLOCK);
	int error = errno;
	if (*slot)
		closedir(*slot);
	*slot = fd >= 0 ? fdopendir(fd) : NULL;
	errno = error;
	lk_posix_result(out, *slot ? 0 : -1);
}

static void current_dir(struct text *out)
{
	static char path[1 << 20];
	long n = syscall(SYS_getcwd, path, sizeof(path));
	if (lk_posix_result(out, n))
		lk_text_add(out, " %ld #%016llx", n, (unsigned long long)lk_hash(0, path, (size_t)n));
}

/* faccessat(2) with real ids, which are the caller's here. */
static void may_access(struct posix *state, const struct op *op, struct text *out)
{
	lk_posix_result(out, syscall(SYS_faccessat, state->at, state->p, (int)op->n[0]));
}

static void set_times(struct posix *state, const struct op *op, struct text *out)
{
	struct timespec times[2];
	for (int i = 0; i < 2; i++) {
		int64_t nsec = op->n[2 * i + 1];
		times[i].tv_sec = op->n[2 * i];
		times[i].tv_nsec = nsec == -1 ? UTIME_NOW : nsec == -2 ? UTIME_OMIT : nsec;
	}
	lk_posix_result(out, utimensat(state->at, state->p, times, op->n[4] ? AT_SYMLINK_NOFOLLOW : 0));
}

static void answer_value(struct text *out, ssize_t n, const void *value, int64_t room)
{
	if (!lk_posix_result(out, n))
		return;
	if (room)
		lk_answer_bytes(out, value, (size_t)n);
	else
		lk_text_add(out, " %zd", n);
}

static void answer_list(struct text *out, ssize_t n, const char *names, int64_t room)
{
	struct name_list list = {0};
	if (!lk_posix_result(out, n))
		return;
	lk_text_add(out, " %zd", n);
	for (ssize_t at = 0; room && at < n; at += (ssize_t)strlen(names + at) + 1)
		lk_names_add(&list, names + at, strlen(names + at), 0, 0);
	lk_names_sort(&list);
	lk_answer_names(out, &list);
	lk_names_free(&list);
}

static void xattr(struct posix *state, const struct op *op, struct text *out)
{
	static unsigned char value[LK_XATTR_ROOM];
	const char *p = state->p, *q = state->q;
	if (op->kind == OP_SETXATTR) {
		size_t len = lk_xattr_value(op, q, value, sizeof(value));
		int flags = (int)op->n[2];
		lk_posix_result(out, op->n[3] ? lsetxattr(p, q, value, len, flags) : setxattr(p, q, value, len, flags));
	} else if (op->kind == OP_GETXATTR) {
		size_t room = (size_t)op->n[0];
		answer_value(out, op->n[1] ? lgetxattr(p, q, value, room) : getxattr(p, q, value, room), value,
			     op->n[0]);
	} else if (op->kind == OP_LISTXATTR) {
		size_t room = (size_t)op->n[0];
		char *names = (char *)value;
		answer_list(out, op->n[1] ? llistxattr(p, names, room) : listxattr(p, names, room), names, op->n[0]);
	} else {
		lk_posix_result(out, op->n[0] ? lremovexattr(p, q) : removexattr(p, q));
	}
}

bool lk_posix_meta(struct posix *state, const struct op *op, struct text *out)
{
	switch ((int)op->kind) {
	case OP_TRUNCATE:
		lk_posix_result(out, truncate(state->p, op->n[0]));
		return true;
	case OP_STAT:
		status(state, op, out);
		return true;
	case OP_CHMOD:
		lk_posix_result(out, fchmodat(state->at, state->p, (mode_t)op->n[0], 0));
		return true;
	case OP_CHOWN:
		lk_posix_result(out, fchownat(state->at, state->p, (uid_t)op->n[0], (gid_t)op->n[1],
					      op->n[2] ? AT_SYMLINK_NOFOLLOW : 0));
		return true;
	case OP_UTIMES:
		set_times(state, op, out);
		return true;
	case OP_ACCESS:
		may_access(state, op, out);
		return true;
	case OP_SETXATTR:
	case OP_GETXATTR:
	case OP_LISTXATTR:
	case OP_REMOVEXATTR:
		xattr(state, op, out);
		return true;
	default:
		return false;
	}
}

void lk_posix_name(struct posix *state, const struct op *op, struct text *out)
{
	const char *p = state->p, *q = state->q;
	int at = state->at;
	switch ((int)op->kind) {
	case OP_SYNC: {
		int fd = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (fd >= 0)
			(void)syncfs(fd);
		if (fd >= 0)
			close(fd);
		lk_text_add(out, "ok");
		break;
	}
	case OP_MKDIR:
		lk_posix_result(out, mkdirat(at, p, (mode_t)op->n[0]));
		break;
	case OP_RMDIR:
		lk_posix_result(out, unlinkat(at, p, AT_REMOVEDIR));
		break;
	case OP_MKNOD:
		lk_posix_result(out, mknodat(at, p, (mode_t)op->n[0], makedev((unsigned)op->n[1], (unsigned)op->n[2])));
		break;
	case OP_SYMLINK:
		lk_posix_result(out, symlinkat(p, at, q));
		break;
	case OP_READLINK:
		read_link(state, op, out);
		break;
	case OP_LINK: {
		struct stat st;
		int follow = op->n[0] & 1 ? AT_SYMLINK_FOLLOW : 0;
		if ((op->n[0] & 2) && fstatat(at, p, &st, follow ? 0 : AT_SYMLINK_NOFOLLOW) == 0 && st.st_nlink > 1)
			lk_text_add(out, "untried");
		else
			lk_posix_result(out, linkat(at, p, at, q, follow));
		break;
	}
	case OP_LINKFD:
		link_slot(state, op, out);
		break;
	case OP_UNLINK:
		lk_posix_result(out, unlinkat(at, p, 0));
		break;
	case OP_RENAME:
		lk_posix_result(out, renameat2(at, p, at, q, (unsigned)op->n[0] & ~(unsigned)OP_RENAME_HOME));
		break;
	case OP_SAME:
		same_inode(state, op, out);
		break;
	case OP_LIST:
		list_dir(state, out);
		break;
	case OP_DIRWALK:
		walk_dir(state, op, out);
		break;
	case OP_OPENDIR:
		open_dir(state, op, out);
		break;
	case OP_CLOSEDIR:
		if (state->dirs[op->n[0]])
			closedir(state->dirs[op->n[0]]);
		state->dirs[op->n[0]] = NULL;
		lk_text_add(out, "ok");
		break;
	case OP_CHDIR:
		lk_posix_result(out, chdir(p));
		break;
	case OP_GETCWD:
		current_dir(out);
		break;
	case OP_UMASK:
		(void)umask((mode_t)op->n[0]);
		lk_text_add(out, "ok");
		break;
	case OP_FORGET:
	case OP_RESTART:
		/* One side is enough: caches are the whole machine's. */
		if (!state->side->reference && !state->side->against_lib && state->forget_fd >= 0)
			(void)!write(state->forget_fd, "3", 1);
		struct stat root;
		if (geteuid() != 0 &&
		    fstat(state->root_fd, &root) == 0) /* an ordinary user must find the way in again */
			(void)fchmod(state->root_fd, (root.st_mode & 07777) | 0700);
		lk_text_add(out, "ok"); /* the process ends after this */
		break;
	default:
		lk_die("unknown operation %d", (int)op->kind);
	}
}
