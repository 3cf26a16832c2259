/*
 * posix_dirs.c - directories with several names (D6). On the reference one of the names is the directory and each other one an empty directory with
 * a bind mount of it, in the rows of posix_binds.c. A name that is renamed is made the directory's own before, and one that is removed, or
 * replaced, one of the others; then it is done where none of the mounts is seen.
 */
#include "posix_links.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

bool lk_posix_has_names(const struct posix *state)
{
	const struct taints *known = state->side->taints;
	return known->bind_count && known->binds[0].is_name; /* no sequence has binds as well */
}

uint64_t lk_posix_more_names(const struct posix *state, ino_t ino)
{
	const struct taints *known = state->side->taints;
	uint64_t count = 0;
	for (size_t i = 0; i < known->bind_count; i++)
		count += known->binds[i].is_name && known->binds[i].source == ino;
	return count;
}

/* The row of a name that is a mount; NULL: it is none. */
static struct bind_row *row_at(const struct posix *state, ino_t dir, const char *name)
{
	struct taints *known = state->side->taints;
	for (size_t i = 0; i < known->bind_count; i++) {
		struct bind_row *row = &known->binds[i];
		if (row->is_name && row->dir == dir && strcmp(row->name, name) == 0)
			return row;
	}
	return NULL;
}

static struct bind_row *row_of(const struct posix *state, ino_t source)
{
	struct taints *known = state->side->taints;
	for (size_t i = 0; i < known->bind_count; i++) {
		if (known->binds[i].is_name && known->binds[i].source == source)
			return &known->binds[i];
	}
	return NULL;
}

/* ---- where processes stand -------------------------------------------------------------------------------------- */

/* What is unmounted and mounted again is another mount: who stands in it goes there again, by the path. "" is for who need not. */
struct standing {
	char paths[OP_DIR_SLOTS + 1][PATH_ROOM];
};

static void note_path(const struct posix *state, int fd, char *out)
{
	char number[24];
	struct stat st;
	(void)snprintf(number, sizeof(number), "%d", fd);
	ssize_t n = fstat(fd, &st) || st.st_nlink == 0 ? 0 : readlinkat(state->proc_fd, number, out, PATH_ROOM - 1);
	out[n < 0 ? 0 : n] = '\0';
}

static void note_standing(const struct posix *state, struct standing *out)
{
	int cwd = open(".", O_PATH | O_CLOEXEC);
	note_path(state, cwd, out->paths[OP_DIR_SLOTS]);
	close(cwd);
	for (int i = 0; i < OP_DIR_SLOTS; i++) {
		out->paths[i][0] = '\0';
		if (state->dirs[i])
			note_path(state, dirfd(state->dirs[i]), out->paths[i]);
	}
}

static void stand_again(struct posix *state, const struct standing *standing)
{
	if (standing->paths[OP_DIR_SLOTS][0] && chdir(standing->paths[OP_DIR_SLOTS]))
		lk_die("%s: cannot go back: %s", standing->paths[OP_DIR_SLOTS], strerror(errno));
	for (int i = 0; i < OP_DIR_SLOTS; i++) {
		if (!standing->paths[i][0])
			continue;
		int fd = open(standing->paths[i], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		closedir(state->dirs[i]);
		state->dirs[i] = fd < 0 ? NULL : fdopendir(fd);
		if (!state->dirs[i])
			lk_die("%s: cannot open again: %s", standing->paths[i], strerror(errno));
	}
}

/* ---- which name is the directory -------------------------------------------------------------------------------- */

/* What stands for a directory has its mode and owner, for who may take the name depends on them. */
static void equip(const struct posix *state, const struct bind_row *row)
{
	struct stat st, there;
	int dir = lk_posix_bare_dir(state, row), source = lk_posix_bare_source(state, row);
	if (fstat(source, &st) || fstatat(dir, row->name, &there, AT_SYMLINK_NOFOLLOW))
		lk_die("a name of a directory went: %s", strerror(errno));
	if (((st.st_uid != there.st_uid || st.st_gid != there.st_gid) &&
	     fchownat(dir, row->name, st.st_uid, st.st_gid, AT_SYMLINK_NOFOLLOW)) ||
	    (st.st_mode != there.st_mode && fchmodat(dir, row->name, st.st_mode & 07777, 0)))
		lk_die("a name of a directory: %s", strerror(errno));
	close(dir);
	close(source);
}

/* The row's name and the directory's own change places, and nothing else is to be seen of it. */
static void swap(const struct posix *state, struct bind_row *row)
{
	struct name_list list = {0};
	struct stat st, dirs[2];
	int source = lk_posix_bare_source(state, row), there = lk_posix_bare_dir(state, row);
	int here = openat(source, "..", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (here < 0 || fstat(source, &st) || fstat(here, &dirs[0]) || fstat(there, &dirs[1]) ||
	    lk_posix_list(openat(here, ".", O_RDONLY | O_DIRECTORY | O_NOATIME | O_CLOEXEC), &list))
		lk_die("a directory with several names: %s", strerror(errno));
	size_t i = 0;
	while (i < list.count && (list.inos[i] != st.st_ino || strcmp(list.names[i], ".") == 0))
		i++;
	if (i == list.count || renameat2(here, list.names[i], there, row->name, RENAME_EXCHANGE))
		lk_die("a directory does not come to another name: %s", strerror(errno));
	lk_posix_row_at(row, here, list.names[i]);
	for (i = 0; i < 2; i++) {
		const struct timespec times[2] = {dirs[i].st_atim, dirs[i].st_mtim};
		if (utimensat(i ? there : here, "", times, AT_EMPTY_PATH))
			lk_die("times of a directory: %s", strerror(errno));
	}
	lk_names_free(&list);
	close(source);
	close(there);
	close(here);
}

/* A name that an operation is about: whose it is, and the row when it is not the directory's own. */
struct name {
	ino_t ino; /* 0: of no directory with several */
	struct bind_row *row;
};

static void look_at_name(const struct posix *state, const char *path, struct name *out)
{
	struct entry entry;
	struct stat st, dir;
	*out = (struct name){0};
	int error = lk_find_entry(state, path, &entry);
	if (error == 0 && entry.is_name && fstat(entry.dir, &dir) == 0 &&
	    fstatat(entry.dir, entry.name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(st.st_mode) &&
	    row_of(state, st.st_ino)) {
		out->ino = st.st_ino;
		out->row = row_at(state, dir.st_ino, entry.name);
	}
	lk_let_go(entry.dir);
}

static bool is_empty(const struct posix *state, const char *path)
{
	struct name_list list = {0};
	if (lk_posix_list(openat(state->at, path, O_RDONLY | O_DIRECTORY | O_NOATIME | O_CLOEXEC), &list))
		lk_die("list: %s", strerror(errno));
	bool empty = list.count == 2;
	lk_names_free(&list);
	return empty;
}

/* Whether a name is to be the directory's own, and is not, or the other way round. */
struct wish {
	struct name name;
	bool own, any;
};

static struct bind_row *row_to_swap(const struct posix *state, const struct wish *wish)
{
	if (!wish->any || !wish->name.ino || wish->own == !wish->name.row)
		return NULL;
	return wish->own ? wish->name.row : row_of(state, wish->name.ino);
}

void lk_posix_prepare(struct posix *state, const struct op *op)
{
	static struct standing standing;
	struct wish p, q;
	bool renames = op->kind == OP_RENAME, exchanges = renames && (op->n[0] & 2);
	if ((!renames && op->kind != OP_RMDIR && op->kind != OP_UNLINK && op->kind != OP_DIRWALK) ||
	    !lk_posix_has_names(state))
		return;
	for (size_t i = 0; i < state->side->taints->bind_count; i++)
		equip(state, &state->side->taints->binds[i]);
	p = q = (struct wish){.any = false};
	if (renames || op->kind == OP_RMDIR)
		look_at_name(state, state->p, &p.name);
	if (renames)
		look_at_name(state, state->q, &q.name);
	p.any = renames || op->kind == OP_RMDIR;
	p.own = renames;
	/* One that is replaced by another goes, unless what is in it forbids that. */
	q.any = renames && p.name.ino != q.name.ino;
	q.own = exchanges || (q.name.ino && !is_empty(state, state->q));
	if (!row_to_swap(state, &p) && !row_to_swap(state, &q))
		return;
	note_standing(state, &standing);
	lk_posix_unmount(state);
	struct bind_row *row = row_to_swap(state, &p);
	if (row)
		swap(state, row);
	row = row_to_swap(state, &q);
	if (row)
		swap(state, row);
	lk_posix_mount(state);
	stand_again(state, &standing);
}

/* ---- names go ----------------------------------------------------------------------------------------------------- */

/* chmod to what it is: the time of change alone. */
static void touch(const struct posix *state, int fd)
{
	char number[24];
	struct stat st;
	(void)snprintf(number, sizeof(number), "%d", fd);
	if (fstat(fd, &st) || fchmodat(state->proc_fd, number, st.st_mode & 07777, 0))
		lk_die("touch a directory: %s", strerror(errno));
}

static void name_went(const struct posix *state, struct bind_row *row)
{
	struct taints *known = state->side->taints;
	int source = lk_posix_bare_source(state, row);
	touch(state, source);
	close(source);
	*row = known->binds[--known->bind_count];
}

bool lk_posix_dir_remove(struct posix *state, const struct op *op, struct text *out)
{
	static struct standing standing;
	struct name name;
	struct entry entry;
	if (!lk_posix_has_names(state))
		return false;
	lk_posix_become(state, op->kind, op->user);
	look_at_name(state, op->kind == OP_RMDIR ? state->p : "", &name);
	if (!name.row)
		lk_posix_name(state, op, out);
	else if (lk_find_entry(state, state->p, &entry))
		lk_die("a directory went: %s", strerror(errno));
	lk_posix_become_root(state, op->user);
	if (!name.row)
		return true;
	lk_to_bare(state, &entry.dir);
	note_standing(state, &standing);
	lk_posix_unmount(state);
	lk_posix_become(state, op->kind, op->user);
	bool ok = lk_posix_result(out, unlinkat(entry.dir, entry.name, AT_REMOVEDIR));
	lk_posix_become_root(state, op->user);
	if (ok)
		name_went(state, name.row);
	lk_posix_mount(state);
	if (ok)
		lk_posix_go_home(state);
	else
		stand_again(state, &standing);
	close(entry.dir);
	return true;
}

/* ---- names move --------------------------------------------------------------------------------------------------- */

/* Whether a directory was come to through another, as ".." has it. */
static bool leads_through(int dir, int through)
{
	struct statx at, other, last = {0};
	int fd = openat(dir, ".", O_PATH | O_DIRECTORY | O_CLOEXEC);
	bool found = false;
	if (fd < 0 || statx(through, "", AT_EMPTY_PATH, STATX_INO | STATX_MNT_ID, &other))
		lk_die("look at a directory: %s", strerror(errno));
	for (;;) {
		if (statx(fd, "", AT_EMPTY_PATH, STATX_INO | STATX_MNT_ID, &at))
			lk_die("look at a directory: %s", strerror(errno));
		found = at.stx_ino == other.stx_ino && at.stx_mnt_id == other.stx_mnt_id;
		if (found || (at.stx_ino == last.stx_ino && at.stx_mnt_id == last.stx_mnt_id))
			break;
		last = at;
		int up = openat(fd, "..", O_PATH | O_DIRECTORY | O_CLOEXEC);
		if (up < 0)
			lk_die("look above a directory: %s", strerror(errno));
		close(fd);
		fd = up;
	}
	close(fd);
	return found;
}

/* One side of a rename: the directory, and the name in it as the call has it. */
struct end {
	struct entry entry;
	int error, fd; /* fd: what is there, if it is a directory */
	struct stat dir, st;
	const char *text;
};

static void look_at_end(const struct posix *state, const char *path, struct end *out)
{
	size_t start = strlen(path);
	out->fd = -1;
	out->error = *path ? lk_find_entry(state, path, &out->entry) : ENOENT;
	if (!*path)
		out->entry.dir = -1;
	if (out->error)
		return;
	while (start && path[start - 1] == '/')
		start--;
	while (start && path[start - 1] != '/')
		start--;
	out->text = out->entry.name[0] ? path + start : ".";
	if (fstat(out->entry.dir, &out->dir))
		lk_die("a directory went: %s", strerror(errno));
	out->error = faccessat(out->entry.dir, ".", X_OK, 0) ? errno : 0;
	if (out->error || !out->entry.is_name)
		return;
	out->fd = openat(out->entry.dir, out->entry.name, O_PATH | O_NOFOLLOW | O_DIRECTORY | O_CLOEXEC);
	if (out->fd >= 0 && fstat(out->fd, &out->st))
		lk_die("a directory went: %s", strerror(errno));
}

/* Whether what is at one end lies above the other: 0 no, 1 the other was come to through it, 2 by another way only. As root. */
static int is_above(const struct posix *state, const struct end *end, const struct end *other)
{
	if (end->fd < 0 || end->dir.st_ino == other->dir.st_ino ||
	    !lk_posix_lies_below(state, other->dir.st_ino, end->st.st_ino))
		return 0;
	return leads_through(other->entry.dir, end->fd) ? 1 : 2;
}

/* A mount's kernel looks at permissions, and at what is replaced, before it asks linkfs, who knows of the other ways. */
static void answer_loop(const struct posix *state, const struct op *op, int above, struct text *out)
{
	bool replaces = !(op->n[0] & 3) && faccessat(state->at, state->q, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
	if (above == 2 && (op->user || replaces) && !state->side->against_lib)
		lk_text_add(out, "!");
	lk_answer_error(out, above == 1 ? EINVAL : ELOOP);
}

/* What is replaced has something in it by whichever way; the reference may see what would be moved in it, and say so before all else. */
static void answer_full(const struct op *op, int above, bool dir, struct text *out)
{
	if (above == 2 && op->user)
		lk_text_add(out, "!");
	lk_answer_error(out, above == 2 && !dir ? EISDIR : ENOTEMPTY);
}

/* What is said of a rename that linkfs refuses, or has nothing to do for, where the reference would do it. */
static bool is_settled(const struct posix *state, const struct op *op, const struct end *p, const struct end *q,
		       struct text *out)
{
	int64_t flags = op->n[0] & ~(int64_t)OP_RENAME_HOME;
	struct stat st;
	if (flags > 2 || !p->entry.is_name || !q->entry.is_name ||
	    fstatat(p->entry.dir, p->entry.name, &st, AT_SYMLINK_NOFOLLOW) ||
	    (p->fd < 0 && (p->entry.slash || (flags != 2 && q->entry.slash))))
		return false;
	bool exists = fstatat(q->entry.dir, q->entry.name, &st, AT_SYMLINK_NOFOLLOW) == 0;
	if ((!exists && errno != ENOENT) || (flags == 1 && exists) ||
	    (flags == 2 && (!exists || (q->fd < 0 && q->entry.slash))) || (!exists && q->dir.st_nlink == 0))
		return false;
	if (p->fd >= 0 && q->fd >= 0 && q->st.st_ino == p->st.st_ino) {
		lk_text_add(out, "ok");
		return true;
	}
	int above = is_above(state, p, q);
	if (above) {
		answer_loop(state, op, above, out);
		return true;
	}
	above = is_above(state, q, p);
	if (above && flags == 2)
		answer_loop(state, op, above, out);
	else if (above)
		answer_full(op, above, p->fd >= 0, out);
	return above != 0;
}

static void move(struct posix *state, const struct op *op, struct end *p, struct end *q, struct text *out)
{
	static struct standing standing;
	struct bind_row *row = q->fd < 0 ? NULL : row_at(state, q->dir.st_ino, q->entry.name);
	bool replaces = row && !(op->n[0] & 3);
	lk_to_bare(state, &p->entry.dir);
	lk_to_bare(state, &q->entry.dir);
	if (replaces) {
		note_standing(state, &standing);
		lk_posix_unmount(state);
	}
	lk_posix_become(state, op->kind, op->user);
	bool ok = lk_posix_result(out, renameat2(p->entry.dir, p->text, q->entry.dir, q->text,
						 (unsigned)op->n[0] & ~(unsigned)OP_RENAME_HOME));
	lk_posix_become_root(state, op->user);
	if (!replaces)
		return;
	if (ok)
		name_went(state, row);
	lk_posix_mount(state);
	if (ok)
		lk_posix_go_home(state);
	else
		stand_again(state, &standing);
}

bool lk_posix_dir_rename(struct posix *state, const struct op *op, struct text *out)
{
	static struct end p, q;
	if (!lk_posix_has_names(state))
		return false;
	lk_posix_become(state, op->kind, op->user);
	look_at_end(state, state->p, &p);
	look_at_end(state, state->q, &q);
	if (p.error || q.error)
		lk_posix_name(state, op, out);
	lk_posix_become_root(state, op->user);
	if (!p.error && !q.error && !is_settled(state, op, &p, &q, out))
		move(state, op, &p, &q, out);
	lk_let_go(p.fd);
	lk_let_go(q.fd);
	lk_let_go(p.entry.dir);
	lk_let_go(q.entry.dir);
	return true;
}

/* ---- names are made ----------------------------------------------------------------------------------------------- */

static void judge(const struct posix *state, const struct op *op, const struct found *source, struct entry *entry,
		  struct faults *faults)
{
	struct stat st;
	int error = *state->q ? lk_find_entry(state, state->q, entry) : ENOENT;
	if (!*state->q)
		entry->dir = -1;
	lk_fault(faults, error);
	if (error == 0) {
		if (!entry->is_name || fstatat(entry->dir, entry->name, &st, AT_SYMLINK_NOFOLLOW) == 0)
			lk_fault(faults, EEXIST);
		else
			lk_fault(faults, errno == ENOENT ? 0 : errno);
		if (fstat(entry->dir, &st) == 0 && st.st_nlink == 0)
			lk_fault(faults, ENOENT);
		lk_fault(faults, lk_may_write(entry->dir));
	}
	if (source->fd < 0)
		return;
	if (!S_ISDIR(source->st.st_mode))
		lk_fault(faults, ENOTDIR);
	if (!lk_owns(op, &source->st))
		lk_fault(faults, EPERM);
	if (source->st.st_nlink == 0)
		lk_fault(faults, ENOENT);
}

static void make_name(struct posix *state, struct found *source, struct entry *entry)
{
	lk_to_bare(state, &source->fd);
	lk_to_bare(state, &entry->dir);
	if (mkdirat(entry->dir, entry->name, 0700))
		lk_die("a name of a directory: %s", strerror(errno));
	touch(state, source->fd);
	lk_posix_bound(state, &(struct lk_bind_ends){source->fd, entry->dir, entry->name, true});
}

void lk_posix_linkdir(struct posix *state, const struct op *op, struct text *out)
{
	static struct entry entry;
	struct faults faults = {0};
	struct found source;
	struct stat dir;
	if (!state->emulates) {
		lk_posix_command(state, op, out);
	} else {
		lk_posix_become(state, op->kind, op->user);
		lk_fault(&faults, lk_find(state, state->p, true, &source));
		judge(state, op, &source, &entry, &faults);
		lk_posix_become_root(state, op->user);
		if (source.fd >= 0 && S_ISDIR(source.st.st_mode) && entry.dir >= 0 && fstat(entry.dir, &dir) == 0 &&
		    dir.st_nlink && lk_posix_lies_below(state, dir.st_ino, source.st.st_ino))
			lk_fault(&faults, ELOOP);
		if (!lk_fault_tell(&faults, out)) {
			make_name(state, &source, &entry);
			lk_text_add(out, "ok");
		}
		lk_let_go(source.fd);
		lk_let_go(entry.dir);
	}
	if (strcmp(out->bytes, "ok") == 0)
		lk_posix_go_home(state);
}
