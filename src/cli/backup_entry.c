/*
 * backup_entry.c - an entry of a source's directory: which file of the volume it is, whether that is to be made, changed, linked or moved; see
 * backup.h.
 */
#include "backup.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

void backup_entry_fail(struct backup_worker *w, struct backup_node *node, const char *name, enum backup_count kind,
		       int error)
{
	if (backup_is_fatal(error)) {
		backup_stop(w->b, error);
		return;
	}
	atomic_store(&node->doubt, true);
	backup_tell(w->b, kind, node, name, error);
}

/* ---- files ------------------------------------------------------------------------------------------------------------ */

/* The name, of a file that is done. */
static void give_name(struct backup_worker *w, struct backup_node *node, const char *name,
		      const struct backup_there *there, uint64_t ino, enum backup_count counts_as)
{
	if (there->ino == ino && ino) {
		backup_count_one(w->b, counts_as, node, name);
		return;
	}
	int error = backup_place(w->b, node, name, there, ino);
	if (error)
		backup_entry_fail(w, node, name, BACKUP_UNREADABLE, error);
	else
		backup_count_one(w->b, counts_as, node, name);
}

/* The name by which the file was to be read is no more; by this one it may be. */
static void visit_again(struct backup_worker *w, struct backup_waiter *waiter)
{
	const struct backup_there there = {.ino = waiter->there, .type = waiter->there_type};
	struct copy_stat st;
	int error = backup_look(waiter->node->fd, waiter->name, &st);
	if (error)
		backup_entry_fail(w, waiter->node, waiter->name,
				  error == LINKFS_ENOENT ? BACKUP_VANISHED : BACKUP_UNREADABLE, error);
	else
		backup_entry(w, waiter->node, waiter->name, &st, &there);
}

void backup_entry_settle(struct backup_worker *w, struct backup_known *k, uint64_t ino, int error)
{
	struct backup_table *t = &w->b->known;
	bool gone = error == LINKFS_ENOENT || error == LINKFS_EAGAIN;
	pthread_mutex_lock(&t->lock);
	if (ino && ino != k->ino)
		backup_known_set_ino(t, k, ino);
	k->state = !error ? BACKUP_DONE : gone ? BACKUP_VOID : BACKUP_FAILED;
	k->error = error;
	struct backup_waiter *waiters = k->waiters;
	k->waiters = NULL;
	pthread_mutex_unlock(&t->lock);
	while (waiters) {
		struct backup_waiter *next = waiters->next;
		const struct backup_there there = {.ino = waiters->there, .type = waiters->there_type};
		if (!error)
			give_name(w, waiters->node, waiters->name, &there, ino,
				  there.ino == ino ? BACKUP_UNCHANGED : BACKUP_LINKED);
		else if (gone)
			visit_again(w, waiters);
		else
			backup_entry_fail(w, waiters->node, waiters->name, BACKUP_UNREADABLE, error);
		backup_node_done(w, waiters->node);
		free(waiters);
		waiters = next;
	}
}

static int wait_for(struct backup_known *k, struct backup_node *node, const char *name,
		    const struct backup_there *there)
{
	struct backup_waiter *waiter = cli_alloc(sizeof(*waiter) + strlen(name) + 1);
	if (!waiter)
		return LINKFS_ENOMEM;
	waiter->node = node;
	waiter->there = there->ino;
	waiter->there_type = there->type;
	memcpy(waiter->name, name, strlen(name) + 1);
	waiter->next = k->waiters;
	k->waiters = waiter;
	atomic_fetch_add(&node->pending, 1);
	return 0;
}

/* The file that the volume has at the name, made from a file of the source that is no more, or by others: a copy that was brought from
 * elsewhere keeps what is equal. Lock held. */
/* One with other names may be more than this file's. */
static bool adopts(struct backup *b, const struct copy_stat *st, const struct backup_there *there)
{
	struct backup_known *k;
	struct linkfs_stat now;
	if (b->dry || !there->ino || !S_ISREG(st->st.mode) || there->type != S_IFREG)
		return false;
	k = backup_known_at(&b->known, there->ino);
	if (k && k->state != BACKUP_OLD)
		return false;
	if (linkfs_node_getattr(b->volume, there->ino, &now) != 0 || !S_ISREG(now.mode) || now.nlink != 1 ||
	    now.size != st->st.size || now.mtime_ns != st->st.mtime_ns)
		return false;
	if (k)
		k->state = BACKUP_VOID;
	return true;
}

struct decision {
	struct backup_known *copy; /* what is to be copied; NULL: the file is done, and the name may be given to ino */
	uint64_t ino;
	enum backup_action action;
	enum backup_count counts_as;
	bool waits;
	int failed; /* why, when it was met before and could not be copied */
};

/* A file that is not known, or not as this one. Lock held. */
static int decide_new(struct backup *b, uint64_t fs, const struct copy_stat *st, const struct backup_there *there,
		      struct decision *d)
{
	bool adopt = adopts(b, st, there);
	struct backup_known *k = backup_known_add(&b->known, fs, st->st.ino);
	if (!k)
		return LINKFS_ENOMEM;
	if (adopt)
		backup_known_set_ino(&b->known, k, there->ino);
	k->state = BACKUP_BUSY;
	k->doubt = k->fresh = true;
	k->ctime_ns = INT64_MIN;
	*d = (struct decision){.copy = k,
			       .action = adopt ? BACKUP_UPDATE : BACKUP_MAKE,
			       .counts_as = there->ino ? BACKUP_CHANGED : BACKUP_NEW};
	return 0;
}

/* Lock held. */
static int decide_old(struct backup *b, struct backup_known *k, uint64_t fs, const struct copy_stat *st,
		      const struct backup_there *there, struct decision *d)
{
	const struct linkfs_stat *s = &st->st;
	bool here = there->ino == k->ino;
	bool good = !k->changed && !k->doubt && !b->reread && k->size == s->size && k->mtime_ns == s->mtime_ns &&
		    (here || (st->born && backup_is_inside(b, k->ino)));
	if (good && k->ctime_ns == s->ctime_ns && k->mode == s->mode) {
		k->state = BACKUP_DONE;
		d->ino = k->ino;
		d->counts_as = here ? BACKUP_UNCHANGED : BACKUP_LINKED;
		return 0;
	}
	/* A rename, a link made or removed, moves the ctime. */
	if (good && S_ISREG(s->mode) && st->born && (!here || k->nlink != s->nlink)) {
		d->action = BACKUP_ATTRIBUTES;
		d->counts_as = here ? BACKUP_CHANGED : s->nlink > k->nlink ? BACKUP_LINKED : BACKUP_MOVED;
	} else if (!S_ISREG(s->mode) && (good || here)) {
		d->action = BACKUP_UPDATE;
		d->counts_as = here ? BACKUP_CHANGED : s->nlink > k->nlink ? BACKUP_LINKED : BACKUP_MOVED;
	} else if (here && S_ISREG(s->mode)) {
		d->action = BACKUP_UPDATE;
		d->counts_as = BACKUP_CHANGED;
	} else {
		k->state = BACKUP_VOID;
		return decide_new(b, fs, st, there, d);
	}
	k->state = BACKUP_BUSY;
	d->copy = k;
	return 0;
}

static int decide(struct backup *b, struct backup_node *node, uint64_t fs, const char *name, const struct copy_stat *st,
		  const struct backup_there *there, struct decision *d)
{
	struct backup_known *k = backup_known_find(&b->known, fs, st->st.ino);
	/* Numbers that say little: they may have been given to another file meanwhile. */
	if (k && !st->born && st->st.nlink < 2 && k->state != BACKUP_OLD)
		k = NULL;
	/* A number that was used again. */
	if (k && ((k->mode ^ st->st.mode) & S_IFMT) && k->state == BACKUP_OLD) {
		k->state = BACKUP_VOID;
		k = NULL;
	}
	if (!k)
		return decide_new(b, fs, st, there, d);
	switch ((enum backup_state)k->state) {
	case BACKUP_OLD:
		return decide_old(b, k, fs, st, there, d);
	case BACKUP_BUSY:
		d->waits = true;
		return wait_for(k, node, name, there);
	case BACKUP_DONE:
		d->ino = k->ino;
		d->counts_as = there->ino == k->ino ? BACKUP_UNCHANGED : BACKUP_LINKED;
		return 0;
	case BACKUP_FAILED:
	case BACKUP_VOID:
		break;
	}
	d->failed = k->error;
	return 0;
}

static void visit_file(struct backup_worker *w, struct backup_node *node, const char *name, const struct copy_stat *st,
		       const struct backup_there *there)
{
	struct backup *b = w->b;
	struct decision d = {0};
	size_t size = strlen(name) + 1;
	uint64_t fs = node->fs;
	int error = 0;
	/* A file may be mounted over another one, and an overlay shows files of several file systems in one directory. */
	if (st->dev != node->st.dev)
		error = backup_known_fs(&b->known, st->dev, st->st.ino, there->ino, &fs);
	pthread_mutex_lock(&b->known.lock);
	if (!error)
		error = decide(b, node, fs, name, st, there, &d);
	pthread_mutex_unlock(&b->known.lock);
	if (error) {
		backup_entry_fail(w, node, name, BACKUP_UNREADABLE, error);
		return;
	}
	if (d.waits)
		return;
	if (d.failed) {
		backup_entry_fail(w, node, name, BACKUP_UNREADABLE, d.failed);
		return;
	}
	if (!d.copy) {
		give_name(w, node, name, there, d.ino, d.counts_as);
		return;
	}
	struct backup_file *file = cli_alloc(sizeof(*file) + size);
	if (!file) {
		backup_stop(b, LINKFS_ENOMEM);
		backup_entry_settle(w, d.copy, 0, LINKFS_ENOMEM);
		return;
	}
	file->node = node;
	file->known = d.copy;
	file->fs = fs;
	file->st = *st;
	file->there = *there;
	file->action = d.action;
	file->counts_as = d.counts_as;
	memcpy(file->name, name, size);
	atomic_fetch_add(&node->pending, 1);
	backup_batch_add(w, file);
}

/* ---- directories ---------------------------------------------------------------------------------------------------------- */

static int make_dir(struct backup *b, struct backup_node *node, const char *name, const struct backup_there *there,
		    uint64_t *ino_out)
{
	const struct linkfs_make how = {.mode = S_IFDIR | 0700};
	struct linkfs_stat st;
	char temp[40];
	if (b->dry)
		return 0;
	int error = backup_touch(b, node);
	if (!error)
		error = there->ino ? LINKFS_EEXIST
				   : linkfs_node_make(b->volume, &b->cli->cred, node->ino, name, strlen(name), &how, 0,
						      &st);
	if (error == LINKFS_EEXIST) {
		backup_temp_name(temp);
		error = linkfs_node_make(b->volume, &b->cli->cred, node->ino, temp, strlen(temp), &how, 0, &st);
		if (!error)
			error = backup_take_name(b, node, temp, name);
	}
	if (!error)
		*ino_out = st.ino;
	return error;
}

/* The known directory of the source that this one is, claimed; NULL when there is none. *twice: it was met elsewhere in this run. */
static struct backup_known *claim(struct backup_table *t, uint64_t fs, const struct copy_stat *st, bool *twice)
{
	struct backup_known *k = backup_known_find(t, fs, st->st.ino);
	if (k && k->state == BACKUP_OLD && !S_ISDIR(k->mode)) {
		k->state = BACKUP_VOID;
		k = NULL;
	}
	*twice = k && k->state != BACKUP_OLD;
	return k && !*twice ? k : NULL;
}

struct arrival {
	struct backup_known *known;
	uint64_t ino, fs;
	bool made, trusted, moved;
};

/* Finds or makes the copy of a directory. */
static int arrive(struct backup *b, struct backup_node *node, const char *name, const struct copy_stat *st,
		  const struct backup_there *there, struct arrival *a)
{
	struct backup_table *t = &b->known;
	bool twice, is_dir = there->ino && there->type == S_IFDIR, mounted = st->dev != node->st.dev;
	uint64_t fs = node->fs;
	int error = 0;
	if (mounted && is_dir) {
		error = backup_known_fs(t, st->dev, st->st.ino, there->ino, &fs);
		if (error)
			return error;
	}
	pthread_mutex_lock(&t->lock);
	struct backup_known *k = mounted && !is_dir ? NULL : claim(t, fs, st, &twice);
	if (mounted && !is_dir)
		twice = false;
	if (k && !st->born && k->ino != there->ino) { /* the number may be any directory's */
		k->state = BACKUP_VOID;
		k = NULL;
	}
	if (k) {
		a->trusted = b->trusted && k->source == node->source->record.id && k->ino == there->ino &&
			     !k->changed && !k->doubt && !b->reread && k->mtime_ns == st->st.mtime_ns &&
			     k->ctime_ns == st->st.ctime_ns && k->mode == st->st.mode;
		k->state = BACKUP_DONE;
		a->known = k;
		a->ino = k->ino;
	} else if (is_dir) {
		struct backup_known *other = backup_known_at(t, there->ino);
		/* One that is somewhere else as well is not this copy's alone. */
		if ((!other || other->state == BACKUP_OLD) && backup_is_single(b, there->ino)) {
			if (other)
				other->state = BACKUP_VOID;
			a->ino = there->ino;
		}
	}
	pthread_mutex_unlock(&t->lock);
	if (k && k->ino != there->ino) {
		error = mounted ? LINKFS_EXDEV : backup_move_dir(b, node, name, there, k->ino);
		a->moved = !error;
		if (error && backup_is_fatal(error))
			return error;
		if (error) { /* it holds the new place, say: its files are moved one by one */
			pthread_mutex_lock(&t->lock);
			k->state = BACKUP_VOID;
			pthread_mutex_unlock(&t->lock);
			a->known = NULL;
			a->ino = 0;
			a->trusted = false;
			error = 0;
		}
	}
	if (!a->ino) {
		error = make_dir(b, node, name, there, &a->ino);
		a->made = !error;
	}
	a->fs = fs;
	if (error || a->known)
		return error;
	/* Two paths of the source lead to one directory (a bind mount): the second copy is a directory of its own, and not remembered. */
	if (twice) {
		atomic_store(&node->doubt, true);
		return 0;
	}
	if (mounted && !is_dir)
		error = backup_known_fs(t, st->dev, st->st.ino, a->ino, &fs);
	a->fs = fs;
	if (error)
		return error;
	pthread_mutex_lock(&t->lock);
	k = backup_known_find(t, fs, st->st.ino);
	if (!k) {
		k = backup_known_add(t, fs, st->st.ino);
		if (k) {
			k->mode = st->st.mode;
			k->doubt = k->fresh = true;
			k->ctime_ns = INT64_MIN;
			k->state = BACKUP_DONE;
			backup_known_set_ino(t, k, a->ino);
			a->known = k;
		} else {
			error = LINKFS_ENOMEM;
		}
	}
	pthread_mutex_unlock(&t->lock);
	return error;
}

static bool is_others(const struct backup *b, uint64_t ino)
{
	for (size_t i = 0; i < b->nothers; i++) {
		if (b->others[i] == ino)
			return true;
	}
	return false;
}

static void visit_dir(struct backup_worker *w, struct backup_node *node, const char *name, const struct copy_stat *st,
		      const struct backup_there *there, bool leave)
{
	struct backup *b = w->b;
	struct arrival a = {0};
	/* Another source has it: what is in it is that one's. */
	if (there->ino && is_others(b, there->ino)) {
		atomic_fetch_add(&b->dirs, 1);
		return;
	}
	int error = arrive(b, node, name, st, there, &a);
	if (error) {
		backup_entry_fail(w, node, name, BACKUP_UNREADABLE, error);
		return;
	}
	backup_count_one(b,
			 a.made    ? (there->ino ? BACKUP_CHANGED : BACKUP_NEW)
			 : a.moved ? BACKUP_MOVED
				   : BACKUP_COUNTS,
			 node, name);
	atomic_fetch_add(&b->dirs, 1);
	error = backup_walk_into(w, node, name, st, a.known, a.fs, a.ino, a.made, a.trusted, leave);
	if (error)
		backup_entry_fail(w, node, name, BACKUP_UNREADABLE, error);
}

/* ---- what it is ---------------------------------------------------------------------------------------------------------------- */

#ifndef PROC_SUPER_MAGIC
#define PROC_SUPER_MAGIC 0x9fa0
#endif

/* File systems that hold no files, but show something of the kernel. */
bool backup_is_pseudo(int dir_fd, const char *name)
{
	static const long kinds[] = {PROC_SUPER_MAGIC,
				     SYSFS_MAGIC,
				     DEBUGFS_MAGIC,
				     SECURITYFS_MAGIC,
				     CGROUP_SUPER_MAGIC,
				     CGROUP2_SUPER_MAGIC,
				     DEVPTS_SUPER_MAGIC,
				     TRACEFS_MAGIC,
				     PSTOREFS_MAGIC,
				     EFIVARFS_MAGIC,
				     BPF_FS_MAGIC,
				     BINFMTFS_MAGIC,
				     SELINUX_MAGIC,
				     HUGETLBFS_MAGIC,
				     0x62656570 /* configfs */,
				     0x65735543 /* fusectl */,
				     0x19800202 /* mqueue */,
				     0x0187 /* autofs */,
				     0x67596969 /* rpc_pipefs */};
	struct statfs fs;
	int fd = openat(dir_fd, name, O_PATH | O_NOFOLLOW | O_DIRECTORY | O_CLOEXEC);
	bool found = false;
	if (fd >= 0 && fstatfs(fd, &fs) == 0) {
		for (size_t i = 0; i < CLI_ARRAY_LEN(kinds); i++)
			found |= (long)fs.f_type == kinds[i];
	}
	if (fd >= 0)
		close(fd);
	return found;
}

/* The volume itself, and its mount, which the process that serves it must not look into. */
bool backup_is_own(const struct backup *b, const struct copy_stat *st)
{
	for (size_t i = 0; i < b->nown_devs; i++) {
		if (b->own_devs[i] == st->dev)
			return true;
	}
	return st->st.ino == b->volume_inode && st->dev == b->volume_dev;
}

void backup_entry(struct backup_worker *w, struct backup_node *node, const char *name, const struct copy_stat *st,
		  const struct backup_there *there)
{
	struct backup *b = w->b;
	if (!S_ISDIR(st->st.mode)) {
		atomic_fetch_add(&b->files, 1);
		if (S_ISREG(st->st.mode))
			atomic_fetch_add(&b->bytes, st->st.size);
		visit_file(w, node, name, st, there);
		return;
	}
	if (backup_is_own(b, st)) {
		atomic_fetch_add(&b->counts[BACKUP_EXCLUDED], 1);
		return;
	}
	bool leave = st->dev != node->st.dev && (b->one_fs || backup_is_pseudo(node->fd, name));
	visit_dir(w, node, name, st, there, leave);
}
