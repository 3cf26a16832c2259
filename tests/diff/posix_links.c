/*
 * posix_links.c - what only linkfs does, done with system calls: copies that share content (D8), the flag keep-links (D7), files with equal
 * content (E7); posix_save.c and posix_place.c have the rest. Each looks at everything first, as the user who asks, and answers with the error of what is wrong,
 * with '!' in front when that is more than one thing; then root does it.
 */
#include "posix_links.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

bool lk_posix_is_links(const struct posix *state, enum op_kind kind)
{
	return (lk_op_row(kind)->on & OP_LINKS) ||
	       (state->emulates &&
		(kind == OP_RENAME || kind == OP_LINK || kind == OP_LINKFD || kind == OP_UNLINK || kind == OP_RMDIR));
}

/* Why no name can be made at a path, as link(2) has it. */
static void look_at_new(const struct posix *state, const char *path, struct faults *faults)
{
	struct entry entry;
	struct stat st;
	int error = lk_find_entry(state, path, &entry);
	if (fstatat(state->at, path, &st, AT_SYMLINK_NOFOLLOW) && !*path)
		lk_fault(faults, errno);
	else if (error)
		lk_fault(faults, error);
	else if (!entry.is_name || fstatat(entry.dir, entry.name, &st, AT_SYMLINK_NOFOLLOW) == 0)
		lk_fault(faults, EEXIST);
	else if (errno != ENOENT || entry.slash || (fstat(entry.dir, &st) == 0 && st.st_nlink == 0))
		lk_fault(faults, errno);
	if (!error)
		lk_fault(faults, lk_may_write(entry.dir));
	lk_let_go(entry.dir);
}

/* ---- operations ------------------------------------------------------------------------------------------------- */

static bool is_in_group(const struct user *user, gid_t gid)
{
	bool in = user->gid == gid;
	for (unsigned i = 0; i < user->ngroups; i++)
		in = in || user->groups[i] == gid;
	return in;
}

/* For who owns the source: all of it, but a group only when he is in it. */
static int put_copy(struct posix *state, const struct op *op, const struct found *source)
{
	struct entry entry;
	struct stat dir;
	char number[24];
	int copy = lk_posix_copy(state, source->fd, op->user == 0), rc = 0;
	if (lk_find_entry(state, state->q, &entry) || fstat(entry.dir, &dir))
		lk_die("a directory went: %s", strerror(errno));
	lk_to_bare(state, &entry.dir);
	if (op->user && !is_in_group(lk_who(op), source->st.st_gid)) {
		(void)snprintf(number, sizeof(number), "%d", copy);
		rc = fchownat(copy, "", source->st.st_uid, dir.st_mode & S_ISGID ? dir.st_gid : lk_who(op)->gid,
			      AT_EMPTY_PATH);
		if (rc == 0 && !S_ISLNK(source->st.st_mode))
			rc = fchmodat(state->proc_fd, number, source->st.st_mode & 07777 & ~(mode_t)S_ISGID, 0);
	}
	if (S_ISREG(source->st.st_mode) && lk_posix_keeps(state, entry.dir))
		lk_posix_set_keeps(state, copy, true);
	if (rc == 0)
		rc = linkat(state->scratch_fd, LK_COPY, entry.dir, entry.name, 0);
	if (rc == 0)
		rc = unlinkat(state->scratch_fd, LK_COPY, 0);
	close(copy);
	close(entry.dir);
	return rc;
}

/* For anybody else: a new file of his with the same content. */
static int put_own(struct posix *state, const struct op *op, const struct found *source)
{
	char target[PATH_ROOM];
	int rc;
	lk_posix_become(state, op->kind, op->user);
	if (S_ISLNK(source->st.st_mode)) {
		ssize_t n = readlinkat(source->fd, "", target, sizeof(target) - 1);
		target[n < 0 ? 0 : n] = '\0';
		rc = n < 0 ? -1 : symlinkat(target, state->at, state->q);
	} else {
		rc = mknodat(state->at, state->q, source->st.st_mode & (S_IFMT | 0777), 0);
	}
	lk_posix_become_root(state, op->user);
	if (rc || !S_ISREG(source->st.st_mode))
		return rc;
	int copy = openat(state->at, state->q, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	if (copy < 0)
		lk_die("a copy went: %s", strerror(errno));
	lk_posix_copy_content(state, source->fd, copy);
	close(copy);
	return 0;
}

static void clone_file(struct posix *state, const struct op *op, struct text *out)
{
	struct faults faults = {0};
	struct found source;
	lk_posix_become(state, op->kind, op->user);
	lk_fault(&faults, lk_find(state, state->p, op->n[0] != 0, &source));
	if (source.fd >= 0) {
		mode_t mode = source.st.st_mode;
		bool own = lk_owns(op, &source.st);
		if (S_ISDIR(mode))
			lk_fault(&faults, EISDIR);
		if ((S_ISCHR(mode) || S_ISBLK(mode)) && op->user)
			lk_fault(&faults, EPERM);
		if (S_ISREG(mode) && !own && faccessat(state->at, state->p, R_OK, 0))
			lk_fault(&faults, errno);
	}
	look_at_new(state, state->q, &faults);
	lk_posix_become_root(state, op->user);
	if (!lk_fault_tell(&faults, out))
		lk_posix_result(out,
				lk_owns(op, &source.st) ? put_copy(state, op, &source) : put_own(state, op, &source));
	lk_let_go(source.fd);
}

/* The name stands for another file from now on: what is LK_COPY in scratch. */
static int put_over(const struct posix *state, struct entry *entry)
{
	lk_to_bare(state, &entry->dir);
	return renameat(state->scratch_fd, LK_COPY, entry->dir, entry->name);
}

/* Why a file's name cannot be taken away, or given to another, as unlink(2) has it, by who does not own the file. */
static void look_at_old(const struct posix *state, const struct op *op, const char *path, struct entry *entry,
			struct found *found, struct faults *faults)
{
	*found = (struct found){.fd = -1};
	lk_fault(faults, *path ? 0 : ENOENT);
	int error = lk_find_entry(state, path, entry);
	lk_fault(faults, error);
	if (*path && (!entry->is_name || entry->slash))
		lk_fault(faults, EISDIR);
	if (entry->slash || !entry->is_name)
		faults->count++; /* what is said of them is left open */
	if (error || !entry->is_name || entry->slash)
		return;
	lk_fault(faults, lk_find(state, path, false, found));
	if (found->fd < 0)
		return;
	if (S_ISDIR(found->st.st_mode))
		lk_fault(faults, EISDIR);
	if (!lk_owns(op, &found->st))
		lk_fault(faults, EPERM);
	lk_fault(faults, lk_may_write(entry->dir));
	lk_fault(faults, lk_posix_is_place(entry->dir, entry->name) ? EBUSY : 0);
}

static void unshare_name(struct posix *state, const struct op *op, struct text *out)
{
	struct faults faults = {0};
	struct entry entry;
	struct found old;
	lk_posix_become(state, op->kind, op->user);
	look_at_old(state, op, state->p, &entry, &old, &faults);
	lk_posix_become_root(state, op->user);
	if (!lk_fault_tell(&faults, out)) {
		if (old.st.st_nlink > 1) {
			close(lk_posix_copy(state, old.fd, true));
			lk_posix_result(out, put_over(state, &entry));
		} else {
			lk_text_add(out, "ok");
		}
	}
	lk_let_go(old.fd);
	lk_let_go(entry.dir);
}

static void keep_links(struct posix *state, const struct op *op, struct text *out)
{
	struct faults faults = {0};
	struct found found;
	lk_posix_become(state, op->kind, op->user);
	lk_fault(&faults, lk_find(state, state->p, true, &found));
	if (found.fd >= 0 && !S_ISREG(found.st.st_mode) && !S_ISDIR(found.st.st_mode))
		lk_fault(&faults, EINVAL);
	if (found.fd >= 0 && !lk_owns(op, &found.st))
		lk_fault(&faults, EPERM);
	lk_posix_become_root(state, op->user);
	if (!lk_fault_tell(&faults, out)) {
		lk_posix_set_keeps(state, found.fd, op->n[0] != 0);
		lk_text_add(out, "ok");
	}
	lk_let_go(found.fd);
}

static bool have_equal_content(const struct posix *state, const struct found *a, const struct found *b)
{
	return a->st.st_size == b->st.st_size &&
	       lk_posix_content_hash(state, a->fd) == lk_posix_content_hash(state, b->fd);
}

static void look_at_regular(const struct found *found, struct faults *faults)
{
	if (found->fd >= 0 && !S_ISREG(found->st.st_mode))
		lk_fault(faults, S_ISDIR(found->st.st_mode) ? EISDIR : EINVAL);
}

/* Nothing is to be seen of it. */
static void share_equal(struct posix *state, const struct op *op, struct text *out)
{
	struct faults faults = {0};
	struct found a, b;
	lk_posix_become(state, op->kind, op->user);
	lk_fault(&faults, lk_find(state, state->p, true, &a));
	lk_fault(&faults, lk_find(state, state->q, true, &b));
	if (a.fd >= 0 && b.fd >= 0 && a.st.st_ino == b.st.st_ino)
		lk_fault(&faults, EINVAL);
	look_at_regular(&a, &faults);
	look_at_regular(&b, &faults);
	if (a.fd >= 0 && faccessat(state->at, state->p, R_OK, 0))
		lk_fault(&faults, errno);
	if (b.fd >= 0 && !lk_owns(op, &b.st) && faccessat(state->at, state->q, W_OK, 0))
		lk_fault(&faults, errno);
	lk_posix_become_root(state, op->user);
	if (!state->side->against_lib) {
		state->skip = true; /* the command takes directories, and the same file twice */
		lk_text_add(out, "ok");
	} else if (!lk_fault_tell(&faults, out)) {
		lk_text_add(out, "ok %s", have_equal_content(state, &a, &b) ? "equal" : "different");
	}
	lk_let_go(a.fd);
	lk_let_go(b.fd);
}

static void make_one(struct posix *state, const struct op *op, struct text *out)
{
	struct faults faults = {0};
	struct entry entry;
	struct found a, b;
	char number[24];
	int rc = 0;
	lk_posix_become(state, op->kind, op->user);
	lk_fault(&faults, lk_find(state, state->p, true, &a));
	look_at_regular(&a, &faults);
	look_at_old(state, op, state->q, &entry, &b, &faults);
	look_at_regular(&b, &faults);
	if (a.fd >= 0 && !lk_owns(op, &a.st))
		lk_fault(&faults, EPERM);
	lk_posix_become_root(state, op->user);
	bool one = a.fd >= 0 && b.fd >= 0 && a.st.st_ino == b.st.st_ino;
	if (!faults.count && !one && !have_equal_content(state, &a, &b))
		lk_fault(&faults, ENODATA);
	if (!one && b.fd >= 0 && lk_posix_loses_source(state, entry.dir, entry.name))
		lk_fault(&faults, EBUSY);
	if (!lk_fault_tell(&faults, out)) {
		lk_to_bare(state, &a.fd);
		(void)snprintf(number, sizeof(number), "%d", a.fd);
		if (!one)
			rc = linkat(state->proc_fd, number, state->scratch_fd, LK_COPY, AT_SYMLINK_FOLLOW);
		if (!one && rc == 0)
			rc = put_over(state, &entry);
		lk_posix_result(out, rc);
	}
	lk_let_go(a.fd);
	lk_let_go(b.fd);
	lk_let_go(entry.dir);
}

void lk_posix_links(struct posix *state, const struct op *op, struct text *out)
{
	if (op->kind == OP_BIND || op->kind == OP_UNBIND || op->kind == OP_LINKDIR) {
		(op->kind == OP_LINKDIR ? lk_posix_linkdir : lk_posix_place)(state, op, out);
		return;
	}
	if (!state->emulates) {
		lk_posix_command(state, op, out);
		return;
	}
	switch ((int)op->kind) {
	case OP_TRACK:
		lk_posix_track(state, op, out);
		break;
	case OP_LINK:
	case OP_LINKFD:
		lk_posix_link(state, op, out);
		break;
	case OP_UNLINK:
	case OP_RMDIR:
		lk_posix_remove(state, op, out);
		break;
	case OP_RENAME:
		lk_posix_rename(state, op, out);
		break;
	case OP_CLONE:
		clone_file(state, op, out);
		break;
	case OP_UNSHARE:
		unshare_name(state, op, out);
		break;
	case OP_KEEP:
		keep_links(state, op, out);
		break;
	case OP_DEDUPE:
		share_equal(state, op, out);
		break;
	case OP_MERGE:
		make_one(state, op, out);
		break;
	default:
		lk_die("%s is no operation on links", lk_op_row(op->kind)->name);
	}
}
