/*
 * posix_place.c - whether a bind may be made or ended (C1 to C3); posix_binds.c does it.
 */
#include "posix_links.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- binds -------------------------------------------------------------------------------------------------------- */

/* Who may not remove a name from a sticky directory. */
static void look_at_sticky(const struct op *op, int dir, const struct stat *there, struct faults *faults)
{
	struct stat st;
	if (fstat(dir, &st) == 0 && (st.st_mode & S_ISVTX) && !lk_owns(op, &st) && !lk_owns(op, there))
		lk_fault(faults, EPERM);
}

/* The entry that a bind stands at, or is to; and what it names by its own right. */
static void look_at_place(struct posix *state, const struct op *op, const char *path, struct entry *entry,
			  struct stat *covered, struct faults *faults)
{
	int error = lk_find_entry(state, path, entry);
	lk_fault(faults, *path ? error : ENOENT);
	if (error)
		return;
	if (!entry->is_name) {
		lk_fault(faults, entry->name[0] ? EINVAL : EBUSY);
		faults->count++;
		return;
	}
	lk_fault(faults, lk_may_write(entry->dir));
	lk_posix_become_root(state, op->user);
	int dir = lk_posix_bare(state, entry->dir);
	if (fstatat(dir, entry->name, covered, AT_SYMLINK_NOFOLLOW))
		lk_fault(faults, errno);
	else
		look_at_sticky(op, dir, covered, faults);
	lk_fault(faults, entry->slash && !S_ISDIR(covered->st_mode) ? ENOTDIR : 0);
	close(dir);
	lk_posix_become(state, op->kind, op->user);
}

/* Whether it may be made. */
static void judge_bind(struct posix *state, const struct op *op, struct text *out)
{
	struct faults faults = {0};
	struct entry entry;
	struct found source;
	struct stat covered = {0}, dir;
	lk_posix_become(state, op->kind, op->user);
	lk_fault(&faults, lk_find(state, state->p, true, &source));
	look_at_place(state, op, state->q, &entry, &covered, &faults);
	lk_posix_become_root(state, op->user);
	if (source.fd >= 0 && covered.st_ino) {
		if (source.st.st_nlink == 0)
			lk_fault(&faults, ENOENT);
		if (!lk_owns(op, &source.st))
			lk_fault(&faults, EPERM);
		if (lk_posix_is_place(entry.dir, entry.name))
			lk_fault(&faults, EBUSY);
		if (S_ISDIR(source.st.st_mode) != S_ISDIR(covered.st_mode))
			lk_fault(&faults, S_ISDIR(source.st.st_mode) ? ENOTDIR : EISDIR);
		if (source.st.st_ino == covered.st_ino || (S_ISDIR(source.st.st_mode) && fstat(entry.dir, &dir) == 0 &&
							   lk_posix_lies_below(state, dir.st_ino, source.st.st_ino)))
			lk_fault(&faults, ELOOP);
	}
	if (!lk_fault_tell(&faults, out))
		lk_text_add(out, "ok");
	lk_let_go(source.fd);
	lk_let_go(entry.dir);
}

/* Whether it may be ended. */
static void judge_unbind(struct posix *state, const struct op *op, struct text *out)
{
	struct faults faults = {0};
	struct entry entry;
	struct stat covered = {0};
	lk_posix_become(state, op->kind, op->user);
	look_at_place(state, op, state->p, &entry, &covered, &faults);
	lk_posix_become_root(state, op->user);
	if (covered.st_ino && !lk_posix_is_place(entry.dir, entry.name))
		lk_fault(&faults, EINVAL);
	if (!lk_fault_tell(&faults, out))
		lk_text_add(out, "ok");
	lk_let_go(entry.dir);
}

/* Not tried: both are files and not of one type, which a listing of the kernel's tells; and what is to be covered is shown by a bind, where the
 * kernel would cover it as well. */
static bool is_odd(const struct posix *state)
{
	struct stat source, place;
	if (fstatat(state->at, state->p, &source, 0) || fstatat(state->at, state->q, &place, AT_SYMLINK_NOFOLLOW))
		return false;
	return lk_posix_is_source(state, place.st_ino) ||
	       (!S_ISDIR(source.st_mode) && !S_ISDIR(place.st_mode) && ((source.st_mode ^ place.st_mode) & S_IFMT));
}

void lk_posix_place(struct posix *state, const struct op *op, struct text *out)
{
	bool binds = op->kind == OP_BIND, odd = false;
	struct found source = {.fd = -1};
	struct entry entry = {.dir = -1};
	lk_posix_become(state, op->kind, op->user);
	if (binds) {
		odd = is_odd(state);
		(void)lk_find(state, state->p, true, &source);
	}
	(void)lk_find_entry(state, binds ? state->q : state->p, &entry);
	lk_posix_become_root(state, op->user);
	if (odd)
		lk_text_add(out, "untried");
	else if (!state->emulates)
		lk_posix_command(state, op, out);
	else if (binds)
		judge_bind(state, op, out);
	else
		judge_unbind(state, op, out);
	if (strcmp(out->bytes, "ok") == 0) {
		if (binds)
			lk_posix_bound(state, &(struct lk_bind_ends){source.fd, entry.dir, entry.name, false});
		else
			lk_posix_unbound(state, entry.dir, entry.name);
		lk_posix_go_home(state);
	}
	lk_let_go(source.fd);
	lk_let_go(entry.dir);
}
