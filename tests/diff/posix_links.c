/*
 * posix_links.c - what only linkfs does, done with system calls: copies that share content (D8), saves that keep links (D7), files with equal
 * content (E7). Each looks at everything first, as the user who asks, and answers with the error of what is wrong, with '!' in front when that
 * is more than one thing; then root does it.
 */
#include "posix.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

bool lk_posix_is_links(const struct posix *state, enum op_kind kind)
{
	return (lk_op_row(kind)->on & OP_LINKS) || (state->emulates && kind == OP_RENAME);
}

/* ---- errors --------------------------------------------------------------------------------------------------- */

/* What is wrong so far; the first is told. */
struct faults {
	int first, count;
};

static void fault(struct faults *faults, int error)
{
	if (error && faults->first != error && faults->count++ == 0)
		faults->first = error;
}

/* Whether there were any, which is the answer then. */
static bool tell(const struct faults *faults, struct text *out)
{
	if (faults->count == 0)
		return false;
	if (faults->count > 1)
		lk_text_add(out, "!");
	lk_answer_error(out, faults->first);
	return true;
}

static const struct user *who(const struct op *op)
{
	return &lk_users[op->user];
}

static bool is_in_group(const struct user *user, gid_t gid)
{
	bool in = user->gid == gid;
	for (unsigned i = 0; i < user->ngroups; i++)
		in = in || user->groups[i] == gid;
	return in;
}

static bool owns(const struct op *op, const struct stat *st)
{
	return who(op)->uid == 0 || who(op)->uid == st->st_uid;
}

/* ---- looking, as the user -------------------------------------------------------------------------------------- */

/* A file that is there; fd is -1 when it is not, or not found. */
struct found {
	int fd;
	struct stat st;
};

static int find(const struct posix *state, const char *path, bool follow, struct found *out)
{
	*out = (struct found){.fd = openat(state->at, path, O_PATH | O_CLOEXEC | (follow ? 0 : O_NOFOLLOW))};
	return out->fd < 0 || fstatat(out->fd, "", &out->st, AT_EMPTY_PATH) ? errno : 0;
}

/* The directory of a path's last component, and that. */
struct entry {
	int dir; /* -1: not found */
	char name[PATH_ROOM];
	bool slash;   /* there are slashes after it */
	bool is_name; /* and not ".", ".." or nothing */
};

static int find_entry(const struct posix *state, const char *path, struct entry *out)
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

static void let_go(int fd)
{
	if (fd >= 0)
		close(fd);
}

static int may_write(int dir)
{
	return faccessat(dir, ".", W_OK | X_OK, 0) ? errno : 0;
}

/* Why no name can be made at a path, as link(2) has it. */
static void look_at_new(const struct posix *state, const char *path, struct faults *faults)
{
	struct entry entry;
	struct stat st;
	int error = find_entry(state, path, &entry);
	if (fstatat(state->at, path, &st, AT_SYMLINK_NOFOLLOW) && !*path)
		fault(faults, errno);
	else if (error)
		fault(faults, error);
	else if (!entry.is_name || fstatat(entry.dir, entry.name, &st, AT_SYMLINK_NOFOLLOW) == 0)
		fault(faults, EEXIST);
	else if (errno != ENOENT || entry.slash || (fstat(entry.dir, &st) == 0 && st.st_nlink == 0))
		fault(faults, errno);
	if (!error)
		fault(faults, may_write(entry.dir));
	let_go(entry.dir);
}

/* ---- operations ------------------------------------------------------------------------------------------------- */

/* For who owns the source: all of it, but a group only when he is in it. */
static int put_copy(struct posix *state, const struct op *op, const struct found *source)
{
	struct entry entry;
	struct stat dir;
	char number[24];
	int copy = lk_posix_copy(state, source->fd, op->user == 0), rc = 0;
	if (find_entry(state, state->q, &entry) || fstat(entry.dir, &dir))
		lk_die("a directory went: %s", strerror(errno));
	if (op->user && !is_in_group(who(op), source->st.st_gid)) {
		(void)snprintf(number, sizeof(number), "%d", copy);
		rc = fchownat(copy, "", source->st.st_uid, dir.st_mode & S_ISGID ? dir.st_gid : who(op)->gid,
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
	fault(&faults, find(state, state->p, op->n[0] != 0, &source));
	if (source.fd >= 0) {
		mode_t mode = source.st.st_mode;
		bool own = owns(op, &source.st);
		if (S_ISDIR(mode))
			fault(&faults, EISDIR);
		if ((S_ISCHR(mode) || S_ISBLK(mode)) && op->user)
			fault(&faults, EPERM);
		if (S_ISREG(mode) && !own && faccessat(state->at, state->p, R_OK, 0))
			fault(&faults, errno);
	}
	look_at_new(state, state->q, &faults);
	lk_posix_become_root(state, op->user);
	if (!tell(&faults, out))
		lk_posix_result(out, owns(op, &source.st) ? put_copy(state, op, &source) : put_own(state, op, &source));
	let_go(source.fd);
}

/* The name stands for another file from now on: what is LK_COPY in scratch. */
static int put_over(const struct posix *state, const struct entry *entry)
{
	return renameat(state->scratch_fd, LK_COPY, entry->dir, entry->name);
}

/* Why a file's name cannot be taken away, or given to another, as unlink(2) has it, by who does not own the file. */
static void look_at_old(const struct posix *state, const struct op *op, const char *path, struct entry *entry,
			struct found *found, struct faults *faults)
{
	*found = (struct found){.fd = -1};
	fault(faults, *path ? 0 : ENOENT);
	int error = find_entry(state, path, entry);
	fault(faults, error);
	if (*path && (!entry->is_name || entry->slash))
		fault(faults, EISDIR);
	if (entry->slash)
		faults->count++; /* what is said of them is left open */
	if (error || !entry->is_name || entry->slash)
		return;
	fault(faults, find(state, path, false, found));
	if (found->fd < 0)
		return;
	if (S_ISDIR(found->st.st_mode))
		fault(faults, EISDIR);
	if (!owns(op, &found->st))
		fault(faults, EPERM);
	fault(faults, may_write(entry->dir));
}

static void unshare_name(struct posix *state, const struct op *op, struct text *out)
{
	struct faults faults = {0};
	struct entry entry;
	struct found old;
	lk_posix_become(state, op->kind, op->user);
	look_at_old(state, op, state->p, &entry, &old, &faults);
	lk_posix_become_root(state, op->user);
	if (!tell(&faults, out)) {
		if (old.st.st_nlink > 1) {
			close(lk_posix_copy(state, old.fd, true));
			lk_posix_result(out, put_over(state, &entry));
		} else {
			lk_text_add(out, "ok");
		}
	}
	let_go(old.fd);
	let_go(entry.dir);
}

static void keep_links(struct posix *state, const struct op *op, struct text *out)
{
	struct faults faults = {0};
	struct found found;
	lk_posix_become(state, op->kind, op->user);
	fault(&faults, find(state, state->p, true, &found));
	if (found.fd >= 0 && !S_ISREG(found.st.st_mode) && !S_ISDIR(found.st.st_mode))
		fault(&faults, EINVAL);
	if (found.fd >= 0 && !owns(op, &found.st))
		fault(&faults, EPERM);
	lk_posix_become_root(state, op->user);
	if (!tell(&faults, out)) {
		lk_posix_set_keeps(state, found.fd, op->n[0] != 0);
		lk_text_add(out, "ok");
	}
	let_go(found.fd);
}

static bool have_equal_content(const struct posix *state, const struct found *a, const struct found *b)
{
	return a->st.st_size == b->st.st_size &&
	       lk_posix_content_hash(state, a->fd) == lk_posix_content_hash(state, b->fd);
}

static void look_at_regular(const struct found *found, struct faults *faults)
{
	if (found->fd >= 0 && !S_ISREG(found->st.st_mode))
		fault(faults, S_ISDIR(found->st.st_mode) ? EISDIR : EINVAL);
}

/* Nothing is to be seen of it. */
static void share_equal(struct posix *state, const struct op *op, struct text *out)
{
	struct faults faults = {0};
	struct found a, b;
	lk_posix_become(state, op->kind, op->user);
	fault(&faults, find(state, state->p, true, &a));
	fault(&faults, find(state, state->q, true, &b));
	if (a.fd >= 0 && b.fd >= 0 && a.st.st_ino == b.st.st_ino)
		fault(&faults, EINVAL);
	look_at_regular(&a, &faults);
	look_at_regular(&b, &faults);
	if (a.fd >= 0 && faccessat(state->at, state->p, R_OK, 0))
		fault(&faults, errno);
	if (b.fd >= 0 && !owns(op, &b.st) && faccessat(state->at, state->q, W_OK, 0))
		fault(&faults, errno);
	lk_posix_become_root(state, op->user);
	if (!state->side->against_lib) {
		state->skip = true; /* the command takes directories, and the same file twice */
		lk_text_add(out, "ok");
	} else if (!tell(&faults, out)) {
		lk_text_add(out, "ok %s", have_equal_content(state, &a, &b) ? "equal" : "different");
	}
	let_go(a.fd);
	let_go(b.fd);
}

static void make_one(struct posix *state, const struct op *op, struct text *out)
{
	struct faults faults = {0};
	struct entry entry;
	struct found a, b;
	char number[24];
	int rc = 0;
	lk_posix_become(state, op->kind, op->user);
	fault(&faults, find(state, state->p, true, &a));
	look_at_regular(&a, &faults);
	look_at_old(state, op, state->q, &entry, &b, &faults);
	look_at_regular(&b, &faults);
	if (a.fd >= 0 && !owns(op, &a.st))
		fault(&faults, EPERM);
	lk_posix_become_root(state, op->user);
	bool one = a.fd >= 0 && b.fd >= 0 && a.st.st_ino == b.st.st_ino;
	if (!faults.count && !one && !have_equal_content(state, &a, &b))
		fault(&faults, ENODATA);
	if (!tell(&faults, out)) {
		(void)snprintf(number, sizeof(number), "%d", a.fd);
		if (!one)
			rc = linkat(state->proc_fd, number, state->scratch_fd, LK_COPY, AT_SYMLINK_FOLLOW);
		if (!one && rc == 0)
			rc = put_over(state, &entry);
		lk_posix_result(out, rc);
	}
	let_go(a.fd);
	let_go(b.fd);
	let_go(entry.dir);
}

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
	return find(state, state->p, false, fresh) == 0 && find(state, state->q, false, old) == 0 &&
	       S_ISREG(fresh->st.st_mode) && S_ISREG(old->st.st_mode) && fresh->st.st_ino != old->st.st_ino &&
	       lk_posix_keeps(state, old->fd) && owns(op, &old->st) && owns(op, &fresh->st) && !(op->n[0] & 2);
}

static void rename_name(struct posix *state, const struct op *op, struct text *out)
{
	static struct names names;
	struct found fresh, old;
	struct entry entry = {.dir = -1};
	struct stat dir;
	char number[24];
	bool save = is_save(state, op, &fresh, &old);
	names.count = 0;
	if (save && find_entry(state, state->q, &entry) == 0 && fstat(entry.dir, &dir) == 0) {
		names.ino = old.st.st_ino;
		names.but_dir = dir.st_ino;
		names.but_name = entry.name;
		if (old.st.st_nlink > 1)
			gather(state->root_fd, &names);
	}
	lk_posix_become(state, op->kind, op->user);
	bool ok = lk_posix_result(out, renameat2(state->at, state->p, state->at, state->q, (unsigned)op->n[0]));
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
	let_go(fresh.fd);
	let_go(old.fd);
	let_go(entry.dir);
}

void lk_posix_links(struct posix *state, const struct op *op, struct text *out)
{
	if (!state->emulates) {
		lk_posix_command(state, op, out);
		return;
	}
	switch ((int)op->kind) {
	case OP_RENAME:
		rename_name(state, op, out);
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
