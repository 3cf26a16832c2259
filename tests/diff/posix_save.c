/*
 * posix_save.c - what ext4 knows too and linkfs does otherwise: a rename that takes the links along (D7), and names where binds stand (C2, C3).
 */
#include "posix_links.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- saves --------------------------------------------------------------------------------------------------------- */

#define NAMES 256

/* The names of a file but one. */
struct names {
	ino_t ino;
	ino_t but_dir;
	const char *but_name;
	struct {
		int dir;
		char name[256];
	} at[NAMES];
	size_t count;
};

static void gather(int dir, struct names *names)
{
	struct name_list list = {0};
	struct stat st;
	if (fstat(dir, &st) || lk_posix_list(openat(dir, ".", O_RDONLY | O_DIRECTORY | O_NOATIME | O_CLOEXEC), &list))
		lk_die("list: %s", strerror(errno));
	for (size_t i = 0; i < list.count; i++) {
		const char *name = list.names[i];
		if (list.types[i] == S_IFDIR && strcmp(name, ".") != 0 && strcmp(name, "..") != 0) {
			int child = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOATIME | O_NOFOLLOW | O_CLOEXEC);
			if (child < 0)
				lk_die("open: %s", strerror(errno));
			gather(child, names);
			close(child);
		} else if (list.inos[i] == names->ino &&
			   !(st.st_ino == names->but_dir && strcmp(name, names->but_name) == 0)) {
			if (names->count == NAMES)
				lk_die("a file with too many names");
			names->at[names->count].dir = dup(dir);
			(void)snprintf(names->at[names->count++].name, sizeof(names->at[0].name), "%s", name);
		}
	}
	lk_names_free(&list);
}

/* Whether a rename takes the file's keep-links along, and what is replaced by what. */
static bool is_save(struct posix *state, const struct op *op, struct found *fresh, struct found *old)
{
	*old = (struct found){.fd = -1};
	return lk_find(state, state->p, false, fresh) == 0 && lk_find(state, state->q, false, old) == 0 &&
	       S_ISREG(fresh->st.st_mode) && S_ISREG(old->st.st_mode) && fresh->st.st_ino != old->st.st_ino &&
	       lk_posix_keeps(state, old->fd) && lk_owns(op, &old->st) && lk_owns(op, &fresh->st) && !(op->n[0] & 2);
}

/* Any error will do: where a bind stands the kernel judges what is covered before it says that it is busy, linkfs what is shown; and on a
 * mount the kernel looks at much before it asks linkfs, who knows of the binds. */
static void loosen(const struct posix *state, bool at_place, struct text *out)
{
	struct text loose = {0};
	bool other = !state->side->against_lib && strcmp(out->bytes, "EXDEV") == 0;
	if (out->bytes[0] == '!' || strncmp(out->bytes, "ok", 2) == 0 || (!at_place && !other))
		return;
	lk_text_add(&loose, "!%s", out->bytes);
	lk_text_free(out);
	*out = loose;
}

/* Whether what is moved would come to show itself below, by a bind. */
static bool loops(const struct posix *state, const struct op *op)
{
	struct stat dirs[2], moved[2];
	bool is[2] = {false, false};
	for (int i = 0; i < 2; i++) {
		struct entry entry;
		if (lk_find_entry(state, i ? state->q : state->p, &entry))
			return false;
		is[i] = fstat(entry.dir, &dirs[i]) == 0 &&
			fstatat(entry.dir, entry.name, &moved[i], AT_SYMLINK_NOFOLLOW) == 0 &&
			S_ISDIR(moved[i].st_mode) && entry.is_name;
		close(entry.dir);
	}
	if (dirs[0].st_ino == dirs[1].st_ino)
		return false;
	return (is[0] && lk_posix_lies_below(state, dirs[1].st_ino, moved[0].st_ino)) ||
	       ((op->n[0] & 2) && is[1] && lk_posix_lies_below(state, dirs[0].st_ino, moved[1].st_ino));
}

/* Whether a rename takes the last name from what a bind shows. */
static bool old_goes(const struct posix *state)
{
	struct stat a, b;
	return fstatat(state->at, state->p, &a, AT_SYMLINK_NOFOLLOW) == 0 &&
	       fstatat(state->at, state->q, &b, AT_SYMLINK_NOFOLLOW) == 0 && a.st_ino != b.st_ino &&
	       lk_posix_loses_source(state, state->at, state->q);
}

void lk_posix_rename(struct posix *state, const struct op *op, struct text *out)
{
	static struct names names;
	struct found fresh, old;
	struct entry entry = {.dir = -1};
	struct stat dir;
	char number[24];
	if (lk_posix_dir_rename(state, op, out))
		return;
	bool save = is_save(state, op, &fresh, &old);
	names.count = 0;
	if (save && lk_find_entry(state, state->q, &entry) == 0 && fstat(entry.dir, &dir) == 0) {
		names.ino = old.st.st_ino;
		names.but_dir = dir.st_ino;
		names.but_name = entry.name;
		if (old.st.st_nlink > 1) {
			int root = lk_posix_bare(state, state->root_fd);
			int top = openat(root, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
			gather(top, &names);
			close(top);
			close(root);
		}
		lk_to_bare(state, &fresh.fd);
	}
	if (state->side->taints->bind_count && loops(state, op)) {
		lk_text_add(out, "!ELOOP");
		lk_let_go(fresh.fd);
		lk_let_go(old.fd);
		lk_let_go(entry.dir);
		return;
	}
	lk_posix_become(state, op->kind, op->user);
	bool ok = false, place = lk_posix_is_place(state->at, state->p) || lk_posix_is_place(state->at, state->q);
	if (!(op->n[0] & 2) && old_goes(state))
		lk_text_add(out, "!EBUSY");
	else
		ok = lk_posix_result(out, renameat2(state->at, state->p, state->at, state->q,
						    (unsigned)op->n[0] & ~(unsigned)OP_RENAME_HOME));
	struct stat a, b;
	/* Nothing happens, and a mount's kernel says so without asking. */
	if (!state->side->against_lib && strcmp(out->bytes, "EXDEV") == 0 &&
	    fstatat(state->at, state->p, &a, AT_SYMLINK_NOFOLLOW) == 0 &&
	    fstatat(state->at, state->q, &b, AT_SYMLINK_NOFOLLOW) == 0 && a.st_ino == b.st_ino)
		state->skip = true;
	loosen(state, place, out);
	lk_posix_become_root(state, op->user);
	(void)snprintf(number, sizeof(number), "%d", fresh.fd);
	for (size_t i = 0; i < names.count; i++) {
		const struct entry other = {.dir = names.at[i].dir};
		if (ok && (linkat(state->proc_fd, number, state->scratch_fd, LK_COPY, AT_SYMLINK_FOLLOW) ||
			   renameat(state->scratch_fd, LK_COPY, other.dir, names.at[i].name)))
			lk_die("a name does not follow: %s", strerror(errno));
		close(other.dir);
	}
	if (ok && save)
		lk_posix_set_keeps(state, fresh.fd, true);
	lk_let_go(fresh.fd);
	lk_let_go(old.fd);
	lk_let_go(entry.dir);
}

/* Hard links know nothing of binds: a file does not know by which path it was found. */
void lk_posix_link(struct posix *state, const struct op *op, struct text *out)
{
	bool by_fd = op->kind == OP_LINKFD;
	const char *new_path = by_fd ? state->p : state->q;
	struct found source = {.fd = -1};
	struct entry entry;
	char number[24];
	struct stat st;
	lk_posix_become(state, op->kind, op->user);
	if (!by_fd && fstatat(state->at, state->p, &st, op->n[0] & 1 ? 0 : AT_SYMLINK_NOFOLLOW) == 0 &&
	    lk_posix_is_tracked(state, st.st_ino))
		lk_text_add(out, "!EMLINK");
	else
		lk_posix_name(state, op, out);
	lk_posix_become_root(state, op->user);
	if (strcmp(out->bytes, "EXDEV") != 0)
		return;
	lk_text_clear(out);
	if (by_fd)
		source.fd = dup(state->slots[op->n[0]].fd);
	else if (lk_find(state, state->p, op->n[0] & 1, &source))
		lk_die("a file went: %s", strerror(errno));
	if (lk_find_entry(state, new_path, &entry))
		lk_die("a directory went: %s", strerror(errno));
	lk_to_bare(state, &source.fd);
	lk_to_bare(state, &entry.dir);
	(void)snprintf(number, sizeof(number), "%d", source.fd);
	lk_posix_become(state, op->kind, op->user);
	lk_posix_result(out, linkat(state->proc_fd, number, entry.dir, entry.name, AT_SYMLINK_FOLLOW));
	lk_posix_become_root(state, op->user);
	close(source.fd);
	close(entry.dir);
}

void lk_posix_remove(struct posix *state, const struct op *op, struct text *out)
{
	if (lk_posix_dir_remove(state, op, out))
		return;
	lk_posix_become(state, op->kind, op->user);
	bool place = lk_posix_is_place(state->at, state->p);
	if (lk_posix_loses_source(state, state->at, state->p))
		lk_text_add(out, "!EBUSY");
	else
		lk_posix_name(state, op, out);
	loosen(state, place, out);
	lk_posix_become_root(state, op->user);
}
