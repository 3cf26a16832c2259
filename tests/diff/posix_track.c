/*
 * posix_track.c - tracked symlinks (D5): the reference notes which symlink follows which file, by which of its names, and after each operation that changes
 * names puts a symlink with the text of the day in its place. Sequences with them keep to files of at most two names, so that it is plain which
 * name a link goes by when it loses its own; and have no binds.
 */
#include "posix_links.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- the tree ----------------------------------------------------------------------------------------------------- */

struct named {
	ino_t ino, dir;
	char *path, *name; /* from the root; the name is the end of it */
};
struct names {
	struct named *at;
	size_t count, room;
};

static void gather(int dir, const char *above, struct names *names)
{
	struct name_list list = {0};
	struct stat st;
	if (fstat(dir, &st) || lk_posix_list(openat(dir, ".", O_RDONLY | O_DIRECTORY | O_NOATIME | O_CLOEXEC), &list))
		lk_die("list: %s", strerror(errno));
	for (size_t i = 0; i < list.count; i++) {
		char path[PATH_ROOM];
		if (strcmp(list.names[i], ".") == 0 || strcmp(list.names[i], "..") == 0)
			continue;
		(void)snprintf(path, sizeof(path), "%s/%s", above, list.names[i]);
		if (names->count == names->room) {
			names->room = names->room ? names->room * 2 : 64;
			names->at = realloc(names->at, names->room * sizeof(*names->at));
		}
		char *copy = strdup(path);
		if (!names->at || !copy)
			lk_die("out of memory");
		names->at[names->count++] =
			(struct named){list.inos[i], st.st_ino, copy, copy + strlen(copy) - strlen(list.names[i])};
		if (list.types[i] != S_IFDIR)
			continue;
		int child = openat(dir, list.names[i], O_RDONLY | O_DIRECTORY | O_NOATIME | O_NOFOLLOW | O_CLOEXEC);
		if (child < 0)
			lk_die("open: %s", strerror(errno));
		gather(child, path, names);
		close(child);
	}
	lk_names_free(&list);
}

static void forget(struct names *names)
{
	for (size_t i = 0; i < names->count; i++)
		free(names->at[i].path);
	free(names->at);
}

/* The name of a file that is (or with but, is not) at an entry; NULL: none. */
static const struct named *name_of(const struct names *names, ino_t ino, const struct track_name *at, bool but)
{
	for (size_t i = 0; i < names->count; i++) {
		const struct named *n = &names->at[i];
		bool is = n->dir == at->dir && strcmp(n->name, at->name) == 0;
		if (n->ino == ino && is != but)
			return n;
	}
	return NULL;
}

static void note(struct track_name *out, const struct named *n)
{
	*out = (struct track_name){0};
	if (!n)
		return;
	out->dir = n->dir;
	(void)snprintf(out->name, sizeof(out->name), "%s", n->name);
}

/* ---- texts -------------------------------------------------------------------------------------------------------- */

/* The relative way from the directory of a link's path to another path; "" is the root's. */
static void relative(const char *link, const char *target, char *out, size_t room)
{
	size_t dir = (size_t)(strrchr(link, '/') - link), same = 0, used = 0;
	for (size_t i = 0; i <= dir; i++) {
		bool link_ends = i == dir || link[i] == '/', target_ends = target[i] == '\0' || target[i] == '/';
		if (link_ends && target_ends)
			same = i;
		if (i == dir || link[i] != target[i])
			break;
	}
	out[0] = '\0';
	for (size_t i = same; i < dir; i++) {
		if (link[i] == '/')
			used += (size_t)snprintf(out + used, room - used, "../");
	}
	const char *rest = target + same + (target[same] == '/');
	(void)snprintf(out + used, room - used, "%s", rest);
	if (!*rest && used)
		out[used - 1] = '\0';
	else if (!*rest)
		(void)snprintf(out, room, ".");
}

/* Another symlink with all that the old one had but its text, at the same name; the directory's times stay. */
static ino_t retext(const struct posix *state, const struct named *link, const char *text)
{
	char dir_path[PATH_ROOM];
	struct stat st, dir_st;
	(void)snprintf(dir_path, sizeof(dir_path), ".%.*s", (int)(link->name - link->path), link->path);
	int dir = openat(state->root_fd, dir_path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	int old = openat(dir, link->name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	if (dir < 0 || old < 0 || fstat(dir, &dir_st))
		lk_die("a tracked link went: %s", strerror(errno));
	int fresh = lk_posix_copy_symlink(state, old, text);
	const struct timespec times[2] = {dir_st.st_atim, dir_st.st_mtim};
	lk_to_bare(state, &dir);
	if (fstat(fresh, &st) || renameat(state->scratch_fd, LK_COPY, dir, link->name) ||
	    utimensat(dir, "", times, AT_EMPTY_PATH))
		lk_die("a tracked link's text: %s", strerror(errno));
	close(dir);
	close(old);
	close(fresh);
	return st.st_ino;
}

/* False when the link is gone. One that follows nothing any more is a tracked link all the same, with one name. */
static bool follow(const struct posix *state, const struct names *names, struct track_row *row)
{
	static const struct track_name nowhere;
	char text[PATH_ROOM], now[PATH_ROOM];
	struct stat root;
	const struct named *link = name_of(names, row->link, &nowhere, true), *target = NULL;
	if (!link || fstat(state->root_fd, &root))
		return false;
	if (!row->target)
		return true;
	if (row->target != root.st_ino) {
		target = name_of(names, row->target, &row->used, false);
		/* Its own name went, or was renamed: not the other one it had before, if there is one. */
		if (!target)
			target = name_of(names, row->target, &row->other, true);
		if (!target)
			target = name_of(names, row->target, &nowhere, true);
		if (!target) {
			row->target = 0;
			return true;
		}
		note(&row->used, target);
		note(&row->other, name_of(names, row->target, &row->used, true));
	}
	relative(link->path, target ? target->path : "", text, sizeof(text));
	char path[PATH_ROOM];
	(void)snprintf(path, sizeof(path), ".%s", link->path);
	ssize_t n = readlinkat(state->root_fd, path, now, sizeof(now) - 1);
	if (n < 0)
		lk_die("a tracked link: %s", strerror(errno));
	now[n] = '\0';
	if (strcmp(now, text) != 0)
		row->link = retext(state, link, text);
	return true;
}

void lk_posix_retrack(struct posix *state, enum op_kind kind)
{
	static const bool changes[OP_COUNT] = {
		[OP_RENAME] = true, [OP_UNLINK] = true,  [OP_RMDIR] = true, [OP_DIRWALK] = true,
		[OP_LINK] = true,   [OP_UNSHARE] = true, [OP_TRACK] = true};
	struct taints *known = state->side->taints;
	struct names names = {0};
	if (!state->emulates || !changes[kind] || !known->track_count)
		return;
	int top = openat(state->root_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	gather(top, "", &names);
	close(top);
	for (size_t i = 0; i < known->track_count;) {
		if (follow(state, &names, &known->tracks[i]))
			i++;
		else
			known->tracks[i] = known->tracks[--known->track_count];
	}
	forget(&names);
}

bool lk_posix_is_tracked(const struct posix *state, ino_t ino)
{
	const struct taints *known = state->side->taints;
	for (size_t i = 0; i < known->track_count; i++) {
		if (known->tracks[i].link == ino)
			return true;
	}
	return false;
}

/* ---- made ---------------------------------------------------------------------------------------------------------- */

/* The path from the root, "" for that. */
static void path_of(const struct posix *state, int fd, char *out, size_t room)
{
	char number[24];
	(void)snprintf(number, sizeof(number), "%d", fd);
	ssize_t n = readlinkat(state->proc_fd, number, out, room - 1);
	if (n < 1)
		lk_die("path of a file: %s", strerror(errno));
	out[n == 1 ? 0 : n] = '\0';
}

static void look(struct posix *state, const struct op *op, const struct found *target, struct entry *entry,
		 struct faults *faults)
{
	struct stat there, dir;
	int error = lk_find_entry(state, state->q, entry);
	lk_fault(faults, *state->q ? error : ENOENT);
	if (error)
		return;
	lk_fault(faults, lk_may_write(entry->dir));
	if (!entry->is_name || entry->slash) {
		lk_fault(faults, EEXIST);
		faults->count++;
		return;
	}
	if (target->fd >= 0 && target->st.st_nlink == 0)
		lk_fault(faults, ENOENT);
	if (fstat(entry->dir, &dir) || dir.st_nlink == 0)
		lk_fault(faults, ENOENT);
	if (fstatat(entry->dir, entry->name, &there, AT_SYMLINK_NOFOLLOW)) {
		lk_fault(faults, errno == ENOENT ? 0 : errno);
		return;
	}
	if (!op->n[0] || (target->fd >= 0 && target->st.st_ino == there.st_ino))
		lk_fault(faults, EEXIST);
	if (S_ISDIR(there.st_mode))
		lk_fault(faults, EISDIR);
	if ((dir.st_mode & S_ISVTX) && !lk_owns(op, &dir) && !lk_owns(op, &there))
		lk_fault(faults, EPERM);
}

/* As the user, whose symlink it is. */
static int make(struct posix *state, const struct op *op, const char *text, const struct entry *entry)
{
	static const char temporary[] = ".tracked";
	lk_posix_become(state, op->kind, op->user);
	int rc = symlinkat(text, entry->dir, temporary);
	if (rc == 0)
		rc = renameat(entry->dir, temporary, entry->dir, entry->name);
	lk_posix_become_root(state, op->user);
	return rc;
}

void lk_posix_track(struct posix *state, const struct op *op, struct text *out)
{
	char target_path[PATH_ROOM], link_path[PATH_ROOM + 300], text[PATH_ROOM];
	struct taints *known = state->side->taints;
	struct faults faults = {0};
	struct entry entry;
	struct found target;
	struct stat st, dir;
	lk_posix_become(state, op->kind, op->user);
	lk_fault(&faults, lk_find(state, state->p, true, &target));
	look(state, op, &target, &entry, &faults);
	lk_posix_become_root(state, op->user);
	if (!lk_fault_tell(&faults, out)) {
		path_of(state, target.fd, target_path, sizeof(target_path));
		path_of(state, entry.dir, link_path, PATH_ROOM);
		strcat(strcat(link_path, "/"), entry.name);
		relative(link_path, target_path, text, sizeof(text));
		struct track_row row = {.target = target.st.st_ino};
		char *name = strrchr(target_path, '/');
		if (name) {
			(void)snprintf(row.used.name, sizeof(row.used.name), "%s", name + 1);
			*name = '\0';
			(void)snprintf(link_path, sizeof(link_path), ".%s", target_path);
			if (fstatat(state->root_fd, link_path, &dir, 0))
				lk_die("a directory went: %s", strerror(errno));
			row.used.dir = dir.st_ino;
		}
		bool ok = lk_posix_result(out, make(state, op, text, &entry));
		if (ok && (fstatat(entry.dir, entry.name, &st, AT_SYMLINK_NOFOLLOW) || known->track_count == LK_TRACKS))
			lk_die("too many tracked links, or one that went");
		row.link = ok ? st.st_ino : 0;
		if (ok)
			known->tracks[known->track_count++] = row;
	}
	lk_let_go(target.fd);
	lk_let_go(entry.dir);
}
