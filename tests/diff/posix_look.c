/*
 * posix_look.c - see posix_links.h.
 */
#include "posix_links.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- errors --------------------------------------------------------------------------------------------------- */

void lk_fault(struct faults *faults, int error)
{
	if (error && faults->first != error && faults->count++ == 0)
		faults->first = error;
}

/* Whether there were any, which is the answer then. */
bool lk_fault_tell(const struct faults *faults, struct text *out)
{
	if (faults->count == 0)
		return false;
	if (faults->count > 1)
		lk_text_add(out, "!");
	lk_answer_error(out, faults->first);
	return true;
}

const struct user *lk_who(const struct op *op)
{
	return &lk_users[op->user];
}

bool lk_owns(const struct op *op, const struct stat *st)
{
	return lk_who(op)->uid == 0 || lk_who(op)->uid == st->st_uid;
}

/* ---- looking, as the user -------------------------------------------------------------------------------------- */

int lk_find(const struct posix *state, const char *path, bool follow, struct found *out)
{
	*out = (struct found){.fd = openat(state->at, path, O_PATH | O_CLOEXEC | (follow ? 0 : O_NOFOLLOW))};
	return out->fd < 0 || fstatat(out->fd, "", &out->st, AT_EMPTY_PATH) ? errno : 0;
}

int lk_find_entry(const struct posix *state, const char *path, struct entry *out)
{
	size_t end = strlen(path), start;
	out->dir = -1;
	if (end >= PATH_MAX)
		return ENAMETOOLONG;
	while (end && path[end - 1] == '/')
		end--;
	for (start = end; start && path[start - 1] != '/';)
		start--;
	memcpy(out->name, path + start, end - start);
	out->name[end - start] = '\0';
	out->slash = path[end] != '\0';
	out->is_name = end > start && strcmp(out->name, ".") != 0 && strcmp(out->name, "..") != 0;
	out->dir = lk_posix_open_parent(state->at, path);
	return out->dir < 0 ? errno : 0;
}

void lk_let_go(int fd)
{
	if (fd >= 0)
		close(fd);
}

/* To the mount without binds, where all is one. As root. */
void lk_to_bare(const struct posix *state, int *fd)
{
	int other = lk_posix_bare(state, *fd);
	close(*fd);
	*fd = other;
}

int lk_may_write(int dir)
{
	return faccessat(dir, ".", W_OK | X_OK, 0) ? errno : 0;
}
