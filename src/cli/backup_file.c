/*
 * backup_file.c - the job of a file that is to be made, read again, or given new attributes; see backup.h.
 *
 * A file is changed in place, and of its content only the blocks that are others: so snapshots share the rest, and its number and its other
 * names stay. It is looked at before and after it is read; when it changed meanwhile it is read again, a few times.
 */
#include "backup.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define TRIES 3
#define AGAIN_MAX 1000 /* in a directory */
#define BLOCK 4096u
#define TICK_NS 20000000              /* by which the kernel's clock of files may be behind */
#define COARSE_NS INT64_C(2000000000) /* where times have no fractions */

bool backup_in_doubt(int64_t ctime_ns, int64_t begin_ns)
{
	int64_t margin = ctime_ns % 1000000000 ? TICK_NS : COARSE_NS;
	return ctime_ns > begin_ns - margin;
}

struct linkfs_copied backup_row(const struct backup_node *node, uint64_t fs, uint64_t ino, const struct copy_stat *st,
				bool doubt)
{
	return (struct linkfs_copied){.ino = ino,
				      .source = node->source->record.id,
				      .fs = fs,
				      .inode = st->st.ino,
				      .mode = st->st.mode,
				      .nlink = st->st.nlink,
				      .size = S_ISDIR(st->st.mode) ? 0 : st->st.size,
				      .mtime_ns = st->st.mtime_ns,
				      .ctime_ns = st->st.ctime_ns,
				      .flags = doubt ? LINKFS_COPIED_DOUBT : 0};
}

int backup_remember(struct backup *b, const struct backup_node *node, uint64_t fs, uint64_t ino,
		    const struct copy_stat *st, bool doubt)
{
	const struct linkfs_copied row = backup_row(node, fs, ino, st, doubt);
	return b->dry ? 0 : linkfs_copied_put(b->volume, &b->cli->cred, &row);
}

bool backup_inherits(const struct backup *b, struct backup_node *node)
{
	int known = atomic_load(&node->inherits);
	size_t len = 0;
	if (!known) {
		int error = linkfs_node_getxattr(b->volume, &b->cli->cred, node->ino, "system.posix_acl_default", NULL,
						 0, &len);
		known = error == LINKFS_ENODATA ? 1 : 2;
		atomic_store(&node->inherits, known);
	}
	return known == 2;
}

int backup_attributes(struct backup_worker *w, struct backup_node *node, const char *name, const struct copy_stat *st,
		      int fd, uint64_t ino, bool made, bool *changed)
{
	if (w->b->dry || (fd < 0 && node->fd < 0))
		return 0;
	const struct copy_dir from = {.fd = node->fd}, to = {.volume = w->b->volume, .ino = node->ino, .fd = -1};
	const struct copy_file open = {.fd = fd};
	struct backup_node *dir = name ? node : node->parent;
	const struct copy_meta meta = {.from_dir = &from,
				       .to_dir = &to,
				       .from_name = name,
				       .from = st,
				       .from_file = fd >= 0 ? &open : NULL,
				       .to_ino = ino,
				       .made = made,
				       .exact = !made || !dir || backup_inherits(w->b, dir),
				       .changed = changed};
	return copy_attributes(&w->copy, &meta);
}

/* ---- content -------------------------------------------------------------------------------------------------------------- */

struct transfer {
	struct backup_worker *w;
	int fd;
	uint64_t ino;
	uint64_t end; /* of what was written */
	bool compare; /* the copy has content */
	bool wrote;
};

static int put_bytes(struct transfer *t, uint64_t offset, const char *data, size_t len)
{
	struct backup *b = t->w->b;
	size_t done = 0;
	t->wrote = true;
	int error = linkfs_node_write(b->volume, &b->cli->cred, t->ino, offset, data, len, 0, &done, NULL);
	t->end = offset + done;
	return error;
}

/* Writes the blocks that are others than the copy's. */
static int put_changes(struct transfer *t, uint64_t offset, size_t len)
{
	const char *data = t->w->data;
	char *other = t->w->other;
	size_t have = 0;
	int error = 0;
	while (have < len) {
		size_t done = 0;
		error = linkfs_node_read(t->w->b->volume, t->ino, offset + have, other + have, len - have, &done);
		if (error)
			return error;
		if (done == 0)
			break;
		have += done;
	}
	for (size_t at = 0; at < len && !error;) {
		size_t end = at;
		while (end < len) {
			size_t step = len - end < BLOCK ? len - end : BLOCK;
			if (end + step <= have && memcmp(data + end, other + end, step) == 0)
				break;
			end += step;
		}
		if (end > at)
			error = put_bytes(t, offset + at, data + at, end - at);
		at = end + (len - end < BLOCK ? len - end : BLOCK);
	}
	return error;
}

static int take_range(struct transfer *t, uint64_t offset, uint64_t end, uint64_t *reached)
{
	struct backup_worker *w = t->w;
	while (offset < end) {
		size_t want = end - offset < BACKUP_CHUNK ? (size_t)(end - offset) : BACKUP_CHUNK;
		ssize_t n = pread(t->fd, w->data, want, (off_t)offset);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return linkfs_from_errno(errno);
		if (n == 0)
			break; /* it shrank */
		if (atomic_load(&w->b->stop))
			return LINKFS_EINTR;
		int error = t->compare ? put_changes(t, offset, (size_t)n) : put_bytes(t, offset, w->data, (size_t)n);
		if (error)
			return error;
		atomic_fetch_add(&w->b->read_bytes, (unsigned long long)n);
		offset += (uint64_t)n;
	}
	*reached = offset;
	return 0;
}

/* What the copy has in a hole of the source goes. */
static int clear_range(struct transfer *t, uint64_t offset, uint64_t end)
{
	struct backup *b = t->w->b;
	uint64_t data;
	if (!t->compare || offset >= end)
		return 0;
	int error = linkfs_node_seek(b->volume, t->ino, offset, LINKFS_SEEK_DATA, &data);
	if (error == LINKFS_ENXIO || (!error && data >= end))
		return 0;
	if (!error) {
		t->wrote = true;
		error = linkfs_node_allocate(b->volume, &b->cli->cred, t->ino,
					     LINKFS_ALLOC_PUNCH | LINKFS_ALLOC_KEEP_SIZE, offset, end - offset);
	}
	return error;
}

static int take_sparse(struct transfer *t, uint64_t size, uint64_t *reached)
{
	uint64_t at = 0, written = 0;
	while (at < size) {
		off_t data = lseek(t->fd, (off_t)at, SEEK_DATA);
		if (data < 0 && errno == ENXIO) { /* a hole up to the end */
			int error = clear_range(t, at, size);
			*reached = size;
			return error;
		}
		if (data < 0)
			return errno == EINVAL ? take_range(t, 0, size, reached) : linkfs_from_errno(errno);
		off_t hole = lseek(t->fd, data, SEEK_HOLE);
		uint64_t end = hole < 0 || (uint64_t)hole > size ? size : (uint64_t)hole;
		int error = clear_range(t, at, (uint64_t)data);
		if (!error)
			error = take_range(t, (uint64_t)data, end, &written);
		if (error)
			return error;
		if (written < end) {
			*reached = written;
			return 0;
		}
		at = end;
	}
	*reached = size;
	return 0;
}

/* size is what the copy has; it has the source's at the end. */
static int take_content(struct transfer *t, const struct linkfs_stat *st, uint64_t size)
{
	struct backup *b = t->w->b;
	uint64_t reached = 0;
	int error = 0;
	if (size > st->size) {
		const struct linkfs_setattr cut = {.valid = LINKFS_SET_SIZE, .size = st->size};
		t->wrote = true;
		error = linkfs_node_setattr(b->volume, &b->cli->cred, t->ino, &cut, NULL);
	}
	if (error)
		return error;
	/* The number of blocks does not tell: attributes may have some as well. */
	off_t hole = st->size > BLOCK ? lseek(t->fd, 0, SEEK_HOLE) : -1;
	error = hole >= 0 && (uint64_t)hole < st->size ? take_sparse(t, st->size, &reached)
						       : take_range(t, 0, st->size, &reached);
	/* Bytes up to the end were written, into a file that was empty. */
	if (error || (!t->compare && t->end == reached))
		return error;
	struct linkfs_stat now;
	error = linkfs_node_getattr(b->volume, t->ino, &now);
	if (!error && now.size != reached) {
		const struct linkfs_setattr set = {.valid = LINKFS_SET_SIZE, .size = reached};
		t->wrote = true;
		error = linkfs_node_setattr(b->volume, &b->cli->cred, t->ino, &set, NULL);
	}
	return error;
}

/* ---- one file ----------------------------------------------------------------------------------------------------------------- */

struct made {
	uint64_t ino;
	const char *name; /* that it has until it is whole: its own, or temp */
	char temp[40];
	bool is_new, doubt, unsteady;
	bool changed; /* it was not equal in everything */
	bool wrote;   /* content */
};

static void take_temp(struct made *m)
{
	backup_temp_name(m->temp);
	m->name = m->temp;
}

/* A new file, under its name where that is free. */
static int begin_new(struct backup *b, struct backup_file *f, struct made *m, const struct linkfs_make *how,
		     const char *text)
{
	const struct linkfs_cred *cred = &b->cli->cred;
	struct linkfs_stat st;
	int error = backup_touch(b, f->node);
	m->name = f->name;
	if (f->there.ino)
		take_temp(m);
	for (unsigned i = 0; i < 2 && !error; i++) {
		error = text ? linkfs_node_symlink(b->volume, cred, f->node->ino, m->name, strlen(m->name), text,
						   strlen(text), 0, &st)
			     : linkfs_node_make(b->volume, cred, f->node->ino, m->name, strlen(m->name), how, 0, &st);
		if (error != LINKFS_EEXIST || m->name == m->temp)
			break;
		take_temp(m);
		error = 0;
	}
	if (error)
		return error;
	m->ino = st.ino;
	m->is_new = true;
	return 0;
}

static void drop_new(struct backup *b, struct backup_file *f, struct made *m)
{
	if (m->is_new)
		(void)linkfs_node_unlink(b->volume, &b->cli->cred, f->node->ino, m->name, strlen(m->name));
	m->is_new = false;
}

bool backup_same_times(const struct copy_stat *a, const struct copy_stat *b)
{
	return a->st.size == b->st.size && a->st.mtime_ns == b->st.mtime_ns && a->st.ctime_ns == b->st.ctime_ns;
}

static int read_regular(struct backup_worker *w, struct backup_file *f, int fd, struct made *m)
{
	struct backup *b = w->b;
	struct transfer t = {.w = w, .fd = fd, .compare = f->action != BACKUP_MAKE};
	const struct linkfs_make how = {.mode = S_IFREG | 0600};
	struct linkfs_stat copy = {0};
	int error = 0;
	if (f->action == BACKUP_MAKE)
		error = begin_new(b, f, m, &how, NULL);
	else
		m->ino = f->known->ino;
	t.ino = m->ino;
	for (unsigned i = 0; i < TRIES && !error; i++) {
		struct copy_stat after;
		int64_t begin = cli_now_ns();
		if (t.compare)
			error = linkfs_node_getattr(b->volume, m->ino, &copy);
		if (!error)
			error = take_content(&t, &f->st.st, copy.size);
		if (!error)
			error = backup_look(fd, "", &after);
		if (error)
			break;
		m->unsteady = !backup_same_times(&f->st, &after);
		m->doubt = m->unsteady || backup_in_doubt(after.st.ctime_ns, begin);
		f->st = after;
		if (!m->unsteady)
			break;
		t.compare = true;
	}
	m->changed |= t.wrote;
	m->wrote |= t.wrote;
	return error;
}

int backup_open_source(const struct backup_file *f, int *fd_out)
{
	const int flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY | O_NOFOLLOW;
	int fd = openat(f->node->fd, f->name, flags | O_NOATIME);
	if (fd < 0 && errno == EPERM)
		fd = openat(f->node->fd, f->name, flags);
	if (fd < 0)
		return linkfs_from_errno(errno);
	*fd_out = fd;
	return 0;
}

/* LINKFS_EAGAIN: the name is another file's by now. */
static int copy_regular(struct backup_worker *w, struct backup_file *f, struct made *m)
{
	struct copy_stat now;
	int fd = -1;
	int64_t begin = cli_now_ns();
	int error = backup_open_source(f, &fd);
	if (error)
		return error == LINKFS_ELOOP ? LINKFS_EAGAIN : error;
	error = backup_look(fd, "", &now);
	if (!error && (now.st.ino != f->st.st.ino || now.dev != f->st.dev || !S_ISREG(now.st.mode)))
		error = LINKFS_EAGAIN;
	if (!error)
		f->st = now;
	if (!error && f->action == BACKUP_ATTRIBUTES) {
		m->ino = f->known->ino;
		m->doubt = backup_in_doubt(now.st.ctime_ns, begin);
	} else if (!error) {
		error = read_regular(w, f, fd, m);
	}
	if (!error)
		error = backup_attributes(w, f->node, f->name, &f->st, fd, m->ino, m->is_new, &m->changed);
	close(fd);
	return error;
}

/* Whether the copy, a symlink or special file, is what the source's is. */
static bool is_equal(struct backup *b, const struct backup_file *f, const char *text)
{
	struct linkfs_stat st;
	char *own = NULL;
	size_t len = 0;
	bool same =
		linkfs_node_getattr(b->volume, f->known->ino, &st) == 0 && ((st.mode ^ f->st.st.mode) & S_IFMT) == 0;
	if (same && text) {
		same = cli_readlink(b->volume, f->known->ino, &own, &len) == 0 && len == strlen(text) &&
		       memcmp(own, text, len) == 0;
		free(own);
	} else if (same && !S_ISFIFO(st.mode) && !S_ISSOCK(st.mode)) {
		same = st.rdev_major == f->st.st.rdev_major && st.rdev_minor == f->st.st.rdev_minor;
	}
	return same;
}

static int copy_special(struct backup_worker *w, struct backup_file *f, struct made *m)
{
	struct backup *b = w->b;
	const struct copy_dir from = {.fd = f->node->fd};
	const struct linkfs_make how = {.mode = (f->st.st.mode & S_IFMT) | 0600,
					.rdev_major = f->st.st.rdev_major,
					.rdev_minor = f->st.st.rdev_minor};
	char *text = NULL;
	struct copy_stat now;
	int64_t begin = cli_now_ns();
	/* It may have waited since it was looked at. */
	int error = backup_look(f->node->fd, f->name, &now);
	if (!error && (now.st.ino != f->st.st.ino || now.dev != f->st.dev || ((now.st.mode ^ f->st.st.mode) & S_IFMT)))
		error = LINKFS_EAGAIN;
	if (!error)
		f->st = now;
	if (!error && S_ISLNK(f->st.st.mode))
		error = copy_readlink(&w->copy, &from, f->name, &f->st, &text);
	if (error == LINKFS_EINVAL)
		error = LINKFS_EAGAIN;
	if (!error && f->action != BACKUP_MAKE && is_equal(b, f, text))
		m->ino = f->known->ino;
	else if (!error)
		error = begin_new(b, f, m, &how, text);
	free(text);
	m->doubt = backup_in_doubt(f->st.st.ctime_ns, begin);
	return error ? error : backup_attributes(w, f->node, f->name, &f->st, -1, m->ino, m->is_new, &m->changed);
}

static int copy_file(struct backup_worker *w, struct backup_file *f, struct made *m)
{
	struct backup *b = w->b;
	int error = S_ISREG(f->st.st.mode) ? copy_regular(w, f, m) : copy_special(w, f, m);
	if (!error)
		error = backup_remember(b, f->node, f->fs, m->ino, &f->st, m->doubt);
	if (!error && m->is_new && m->name == m->temp)
		error = backup_take_name(b, f->node, m->temp, f->name);
	else if (!error && !m->is_new && f->there.ino != m->ino)
		error = backup_place(b, f->node, f->name, &f->there, m->ino);
	if (error)
		drop_new(b, f, m);
	return error;
}

/* The name became another file's while it was looked at: from the start. */
static bool look_again(struct backup_worker *w, struct backup_file *f)
{
	struct backup_known *k = f->known;
	struct copy_stat st;
	if (f->node->fd < 0 || atomic_fetch_add(&f->node->again, 1) >= AGAIN_MAX)
		return false;
	int error = backup_look(f->node->fd, f->name, &st);
	if (error || (st.st.ino == f->st.st.ino && st.dev == f->st.dev && ((st.st.mode ^ f->st.st.mode) & S_IFMT) == 0))
		return false;
	/* The number that was looked for is no file of this name now; it may be one of another. */
	backup_entry_settle(w, k, 0, LINKFS_EAGAIN);
	atomic_store(&f->node->doubt, true);
	backup_entry(w, f->node, f->name, &st, &f->there);
	return true;
}

static enum backup_count kind_of(int error)
{
	return error == LINKFS_ENOENT ? BACKUP_VANISHED : error == LINKFS_EAGAIN ? BACKUP_UNSTEADY : BACKUP_UNREADABLE;
}

/* The source's file is no more, or another one by now, or it is the copy's directory that is gone. */
static int what_is_gone(const struct backup_file *f)
{
	struct copy_stat st;
	if (f->node->fd < 0 || backup_look(f->node->fd, f->name, &st) != 0)
		return LINKFS_ENOENT;
	return st.st.ino == f->st.st.ino && st.dev == f->st.dev ? LINKFS_ESTALE : LINKFS_EAGAIN;
}

/* The file is what the source's is: it is counted, and known from now on. */
static void tell_made(struct backup *b, struct backup_file *f, const struct made *m)
{
	struct backup_node *node = f->node;
	bool idle = !b->dry && !m->is_new && !m->changed && f->there.ino == m->ino;
	if (m->unsteady)
		backup_tell(b, BACKUP_UNSTEADY, node, f->name, 0);
	else
		backup_count_one(b, idle ? BACKUP_UNCHANGED : f->counts_as, node, f->name);
	pthread_mutex_lock(&b->known.lock);
	f->known->fresh |= m->is_new;
	f->known->wrote |= m->wrote;
	f->known->size = f->st.st.size;
	f->known->mtime_ns = f->st.st.mtime_ns;
	f->known->ctime_ns = f->st.st.ctime_ns;
	f->known->mode = f->st.st.mode;
	f->known->nlink = f->st.st.nlink;
	f->known->doubt = m->doubt;
	f->known->changed = false;
	pthread_mutex_unlock(&b->known.lock);
}

static void end(struct backup_worker *w, struct backup_file *f, uint64_t ino, int error)
{
	struct backup_node *node = f->node;
	backup_entry_settle(w, f->known, ino, error);
	backup_node_done(w, node);
	free(f);
}

void backup_file_made(struct backup_worker *w, struct backup_file *f, uint64_t ino, bool doubt)
{
	const struct made m = {.ino = ino, .is_new = true, .changed = true, .wrote = f->st.st.size > 0, .doubt = doubt};
	tell_made(w->b, f, &m);
	end(w, f, ino, 0);
}

void backup_file_run(struct backup_worker *w, struct backup_file *f)
{
	struct backup *b = w->b;
	struct backup_node *node = f->node;
	struct made m = {0};
	int error = atomic_load(&b->stop) ? LINKFS_EINTR : 0;
	if (!error && !b->dry)
		error = copy_file(w, f, &m);
	if (error == LINKFS_ENOENT || error == LINKFS_ESTALE)
		error = what_is_gone(f);
	if (error == LINKFS_EAGAIN && look_again(w, f)) {
		backup_node_done(w, node);
		free(f);
		return;
	}
	if (error == LINKFS_EINTR)
		atomic_store(&node->doubt, true);
	else if (error)
		backup_entry_fail(w, node, f->name, kind_of(error), error);
	else
		tell_made(b, f, &m);
	end(w, f, error ? 0 : m.ino, error);
}
