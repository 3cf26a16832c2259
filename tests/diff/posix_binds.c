/*
 * posix_binds.c - binds (C1 to C3), done with the kernel's bind mounts. linkfs binds an entry of a directory, which shows something else by whatever path the
 * directory is reached; so the mounts are shared: what is mounted at an entry by one path is then mounted there by all. What is
 * linked or renamed for linkfs's sake is so in a mount of its own without any of them (bare).
 */
#include "posix.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/mount.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

union handle {
	struct file_handle handle;
	char room[LK_HANDLE_ROOM];
};
_Static_assert(LK_HANDLE_ROOM >= sizeof(struct file_handle) + MAX_HANDLE_SZ, "a row has room for a handle");

static void handle_of(int fd, union handle *out)
{
	int mount_id;
	*out = (union handle){.handle = {.handle_bytes = MAX_HANDLE_SZ}};
	if (name_to_handle_at(fd, "", &out->handle, &mount_id, AT_EMPTY_PATH))
		lk_die("handle: %s", strerror(errno));
}

/* The file as it is in a mount. */
static int open_in(int mount_fd, union handle *handle)
{
	int fd = open_by_handle_at(mount_fd, &handle->handle, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		lk_die("open by handle: %s", strerror(errno));
	return fd;
}

int lk_posix_bare(const struct posix *state, int fd)
{
	union handle handle;
	handle_of(fd, &handle);
	return open_in(state->bare_fd, &handle);
}

bool lk_posix_is_place(int dir, const char *path)
{
	struct statx stx;
	return statx(dir, path, AT_SYMLINK_NOFOLLOW, STATX_INO, &stx) == 0 &&
	       (stx.stx_attributes & STATX_ATTR_MOUNT_ROOT);
}

bool lk_posix_loses_source(const struct posix *state, int dir, const char *path)
{
	struct stat st;
	return state->side->taints->bind_count && fstatat(dir, path, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
	       (S_ISDIR(st.st_mode) || st.st_nlink == 1) && lk_posix_is_source(state, st.st_ino);
}

/* ---- what lies above what ------------------------------------------------------------------------------------- */

#define DIRS 4096

struct above {
	ino_t ino, parent;
};
struct tree {
	struct above at[DIRS];
	size_t count;
};

static void gather(int dir, struct tree *tree)
{
	struct name_list list = {0};
	struct stat st;
	if (fstat(dir, &st) || lk_posix_list(openat(dir, ".", O_RDONLY | O_DIRECTORY | O_NOATIME | O_CLOEXEC), &list))
		lk_die("list: %s", strerror(errno));
	for (size_t i = 0; i < list.count; i++) {
		const char *name = list.names[i];
		if (list.types[i] != S_IFDIR || strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
			continue;
		int child = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOATIME | O_NOFOLLOW | O_CLOEXEC);
		if (child < 0 || tree->count == DIRS)
			lk_die("open: %s", strerror(errno));
		tree->at[tree->count++] = (struct above){list.inos[i], st.st_ino};
		gather(child, tree);
		close(child);
	}
	lk_names_free(&list);
}

static bool reaches(const struct taints *known, const struct tree *tree, ino_t from, ino_t to, unsigned depth)
{
	if (from == to)
		return true;
	if (depth > 2000)
		lk_die("a loop of binds");
	for (size_t i = 0; i < tree->count; i++) {
		if (tree->at[i].ino == from && reaches(known, tree, tree->at[i].parent, to, depth + 1))
			return true;
	}
	for (size_t i = 0; i < known->bind_count; i++) {
		if (known->binds[i].source == from && reaches(known, tree, known->binds[i].dir, to, depth + 1))
			return true;
	}
	return false;
}

bool lk_posix_lies_below(const struct posix *state, ino_t dir, ino_t above)
{
	static struct tree tree;
	int root = lk_posix_bare(state, state->root_fd);
	int top = openat(root, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	tree.count = 0;
	gather(top, &tree);
	close(top);
	close(root);
	return reaches(state->side->taints, &tree, dir, above, 0);
}

/* ---- made and removed ------------------------------------------------------------------------------------------ */

/* A process that stands in what is covered now, or goes, would see what linkfs does not say anything about. */
void lk_posix_go_home(struct posix *state)
{
	for (int i = 0; i < OP_DIR_SLOTS; i++) {
		if (state->dirs[i])
			closedir(state->dirs[i]);
		state->dirs[i] = NULL;
	}
	if (fchdir(state->root_fd))
		lk_die("cannot go to the root: %s", strerror(errno));
}

bool lk_posix_is_source(const struct posix *state, ino_t ino)
{
	const struct taints *known = state->side->taints;
	for (size_t i = 0; i < known->bind_count; i++) {
		if (known->binds[i].source == ino && !known->binds[i].is_name)
			return true;
	}
	return false;
}

static int open_end(const struct posix *state, const char *stored)
{
	union handle handle;
	memcpy(handle.room, stored, sizeof(handle.room));
	/* First there, where it changes no access time on the way to what the kernel has forgotten. */
	int known = open_in(state->bare_fd, &handle), fd = open_in(state->mount_fd, &handle);
	close(known);
	return fd;
}

/* In the mount that all others are made from, at the entry itself whatever covers the way to it. */
static void mount_row(const struct posix *state, const struct bind_row *row)
{
	int source = open_end(state, row->source_handle), dir = open_end(state, row->dir_handle);
	int tree = (int)syscall(SYS_open_tree, source, "",
				OPEN_TREE_CLONE | AT_EMPTY_PATH | AT_RECURSIVE | OPEN_TREE_CLOEXEC);
	int place = openat(dir, row->name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	if (tree < 0 || place < 0 ||
	    syscall(SYS_move_mount, tree, "", place, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH))
		lk_die("bind mount: %s", strerror(errno));
	close(tree);
	close(place);
	close(source);
	close(dir);
}

void lk_posix_mount(const struct posix *state)
{
	const struct taints *known = state->side->taints;
	for (size_t i = 0; i < known->bind_count; i++)
		mount_row(state, &known->binds[i]);
}

static int open_bare(const struct posix *state, const char *stored)
{
	union handle handle;
	memcpy(handle.room, stored, sizeof(handle.room));
	return open_in(state->bare_fd, &handle);
}

int lk_posix_bare_dir(const struct posix *state, const struct bind_row *row)
{
	return open_bare(state, row->dir_handle);
}

int lk_posix_bare_source(const struct posix *state, const struct bind_row *row)
{
	return open_bare(state, row->source_handle);
}

void lk_posix_row_at(struct bind_row *row, int dir, const char *name)
{
	union handle handle;
	struct stat st;
	if (fstat(dir, &st))
		lk_die("a directory went: %s", strerror(errno));
	row->dir = st.st_ino;
	(void)snprintf(row->name, sizeof(row->name), "%s", name);
	handle_of(dir, &handle);
	memcpy(row->dir_handle, handle.room, sizeof(handle.room));
}

void lk_posix_bound(struct posix *state, const struct lk_bind_ends *ends)
{
	struct taints *known = state->side->taints;
	struct stat dir, source;
	union handle handle;
	if (fstat(ends->dir, &dir) || fstat(ends->source, &source) || known->bind_count == LK_BINDS)
		lk_die("too many binds, or ends that went");
	struct bind_row *row = &known->binds[known->bind_count++];
	row->dir = dir.st_ino;
	row->source = source.st_ino;
	row->is_name = ends->is_name;
	(void)snprintf(row->name, sizeof(row->name), "%s", ends->name);
	if (!state->emulates)
		return;
	handle_of(ends->dir, &handle);
	memcpy(row->dir_handle, handle.room, sizeof(handle.room));
	handle_of(ends->source, &handle);
	memcpy(row->source_handle, handle.room, sizeof(handle.room));
	mount_row(state, row);
}

/* All are unmounted and the others made anew: with one that others stand in, the kernel would take those away everywhere. */
void lk_posix_unmount(const struct posix *state)
{
	const struct taints *known = state->side->taints;
	int back = open(".", O_PATH | O_CLOEXEC);
	for (size_t i = 0; i < known->bind_count; i++) {
		int dir = open_end(state, known->binds[i].dir_handle);
		/* EINVAL: it went with another. */
		if (fchdir(dir) || (umount2(known->binds[i].name, MNT_DETACH | UMOUNT_NOFOLLOW) && errno != EINVAL))
			lk_die("umount: %s", strerror(errno));
		close(dir);
	}
	if (fchdir(back))
		lk_die("cannot go back: %s", strerror(errno));
	close(back);
}

void lk_posix_moved(struct posix *state, const struct op *op)
{
	struct stat p = {0}, q = {0};
	(void)fstatat(state->at, state->q, &q, AT_SYMLINK_NOFOLLOW);
	if (op->n[0] & 2)
		(void)fstatat(state->at, state->p, &p, AT_SYMLINK_NOFOLLOW);
	if (op->kind == OP_RENAME && !S_ISDIR(p.st_mode) && !S_ISDIR(q.st_mode))
		return;
	lk_posix_go_home(state);
	if (!state->emulates || op->kind == OP_RMDIR)
		return;
	lk_posix_unmount(state);
	lk_posix_mount(state);
}

void lk_posix_unbound(struct posix *state, int dir, const char *name)
{
	struct taints *known = state->side->taints;
	struct stat st;
	size_t i = 0;
	if (fstat(dir, &st))
		lk_die("a directory went: %s", strerror(errno));
	while (i < known->bind_count && (known->binds[i].dir != st.st_ino || strcmp(known->binds[i].name, name) != 0))
		i++;
	if (i == known->bind_count)
		lk_die("a bind that nobody made");
	if (state->emulates)
		lk_posix_unmount(state);
	known->binds[i] = known->binds[--known->bind_count];
	if (state->emulates)
		lk_posix_mount(state);
}

/* Mount points are listed with spaces and the like in octal. */
static void unescape(char *text)
{
	char *out = text;
	for (const char *in = text; *in; in++) {
		unsigned byte;
		if (in[0] == '\\' && sscanf(in + 1, "%3o", &byte) == 1) {
			*out++ = (char)byte;
			in += 3;
		} else {
			*out++ = *in;
		}
	}
	*out = '\0';
}

/* One round: a mount that another covers has to wait for the next. */
static void unmount_round(const char *dir, size_t *found, size_t *done)
{
	static char line[8192], at[4096];
	size_t len = strlen(dir);
	FILE *list = fopen("/proc/self/mountinfo", "re");
	*found = *done = 0;
	while (list && fgets(line, sizeof(line), list)) {
		if (sscanf(line, "%*s %*s %*s %*s %4095s", at) != 1 || strncmp(at, dir, len) != 0 || at[len] != '/')
			continue;
		unescape(at);
		++*found;
		*done += umount2(at, MNT_DETACH | UMOUNT_NOFOLLOW) == 0;
	}
	if (list)
		fclose(list);
}

void lk_unmount_below(const char *dir)
{
	size_t found, done;
	do
		unmount_round(dir, &found, &done);
	while (done);
	if (found)
		lk_die("%zu binds below %s stay", found, dir);
}
