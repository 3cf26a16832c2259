/*
 * backup_walk.c - the job of a directory: what the source lists, what the volume lists, and when both are done the directory's own attributes;
 * see backup.h.
 */
#include "backup.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

struct dir_job {
	struct backup_job job;
	struct backup_node *node;
};

static void run_dir(struct backup_worker *w, struct backup_job *job);

/* ---- workers ------------------------------------------------------------------------------------------------------------- */

struct backup_worker *backup_worker_new(struct backup *b)
{
	struct backup_worker *w = cli_alloc(sizeof(*w));
	if (!w)
		return NULL;
	w->b = b;
	w->copy = (struct copy){.cli = b->cli,
				.keep_mode = true,
				.keep_owner = true,
				.keep_times = true,
				.keep_xattr = true,
				.keep_type = true,
				.buf = malloc(COPY_BUF)};
	w->data = malloc(BACKUP_CHUNK);
	w->other = malloc(BACKUP_CHUNK);
	w->list = malloc(BACKUP_LIST);
	if (w->copy.buf && w->data && w->other && w->list)
		return w;
	backup_worker_free(w);
	return NULL;
}

void backup_worker_free(struct backup_worker *w)
{
	if (!w)
		return;
	free(w->copy.buf);
	free(w->data);
	free(w->other);
	free(w->list);
	free(w->path);
	free(w);
}

/* ---- nodes ---------------------------------------------------------------------------------------------------------------- */

void backup_node_free(struct backup_node *node)
{
	while (node && atomic_fetch_sub(&node->refs, 1) == 1) {
		struct backup_node *parent = node->parent;
		free(node->name);
		free(node);
		node = parent;
	}
}

/* One less uses its descriptor. */
static void release_fd(struct backup_node *node)
{
	if (atomic_fetch_sub(&node->users, 1) == 1 && node->fd >= 0) {
		close(node->fd);
		node->fd = -1;
	}
}

void backup_node_done(struct backup_worker *w, struct backup_node *node)
{
	if (atomic_fetch_sub(&node->pending, 1) != 1)
		return;
	backup_node_finish(w, node, false);
	release_fd(node);
	backup_node_free(node);
}

int backup_walk_into(struct backup_worker *w, struct backup_node *parent, const char *name, const struct copy_stat *st,
		     struct backup_known *known, uint64_t fs, uint64_t ino, bool made, bool trusted, bool leave)
{
	struct backup *b = w->b;
	if (parent->depth >= BACKUP_DEPTH_MAX)
		return LINKFS_ENAMETOOLONG;
	struct backup_node *node = cli_alloc(sizeof(*node));
	struct dir_job *job = cli_alloc(sizeof(*job));
	char *copy = cli_strdup(name);
	if (!node || !job || !copy) {
		free(node);
		free(job);
		free(copy);
		return LINKFS_ENOMEM;
	}
	*node = (struct backup_node){.parent = parent,
				     .name = copy,
				     .fd = -1,
				     .ino = ino,
				     .fs = fs,
				     .st = *st,
				     .source = parent->source,
				     .depth = parent->depth + 1,
				     .known = known,
				     .refs = 1,
				     .users = 1,
				     .pending = 1,
				     .trusted = trusted && !leave,
				     .made = made,
				     .leave = leave};
	atomic_fetch_add(&parent->refs, 1);
	atomic_fetch_add(&parent->users, 1);
	job->job.run = run_dir;
	job->node = node;
	backup_pool_push(b->pool, &job->job);
	return 0;
}

/* ---- the source's listing ---------------------------------------------------------------------------------------------------- */

struct names {
	char *buf; /* of each entry its d_type, its name, a NUL */
	size_t len, cap;
	bool broken; /* the listing ended with an error */
};

struct kernel_dirent { /* getdents64(2) */
	uint64_t ino;
	int64_t off;
	unsigned short reclen;
	unsigned char type;
	char name[];
};

static int keep_name(struct names *names, const struct kernel_dirent *e)
{
	size_t size = strlen(e->name) + 2;
	if (names->len + size > names->cap) {
		size_t cap = names->cap ? names->cap * 2 : 4096;
		char *p = realloc(names->buf, cap);
		if (!p)
			return LINKFS_ENOMEM;
		names->buf = p;
		names->cap = cap;
	}
	names->buf[names->len] = (char)e->type;
	memcpy(names->buf + names->len + 1, e->name, size - 1);
	names->len += size;
	return 0;
}

static int list_source(struct backup_worker *w, int fd, struct names *names)
{
	for (;;) {
		long n = syscall(SYS_getdents64, fd, w->list, BACKUP_LIST);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? linkfs_from_errno(errno) : 0;
		for (long at = 0; at < n;) {
			const struct kernel_dirent *e = (const struct kernel_dirent *)(const void *)(w->list + at);
			at += e->reclen;
			if (strcmp(e->name, ".") == 0 || strcmp(e->name, "..") == 0)
				continue;
			int error = keep_name(names, e);
			if (error)
				return error;
		}
	}
}

/* ---- the volume's listing ------------------------------------------------------------------------------------------------------ */

struct held_name {
	const char *name; /* in the arena, by offset until it is complete */
	size_t offset;
	uint64_t ino;
	uint32_t type;
	bool present; /* in the source as well, or to be left as it is */
};
struct held {
	struct held_name *names;
	size_t len, cap;
	char *arena;
	size_t used, arena_cap;
	bool read;
	int error;
};

static int hold_name(void *arg, const struct linkfs_entry *e)
{
	struct held *held = arg;
	if (e->name[0] == '.' && (e->name_len == 1 || (e->name_len == 2 && e->name[1] == '.')))
		return 0;
	if (held->used + e->name_len + 1 > held->arena_cap) {
		size_t cap = held->arena_cap ? held->arena_cap * 2 : 4096;
		char *p = realloc(held->arena, cap);
		if (!p) {
			held->error = LINKFS_ENOMEM;
			return 1;
		}
		held->arena = p;
		held->arena_cap = cap;
	}
	if (cli_grow(&held->names, &held->cap, held->len, sizeof(*held->names)) != 0) {
		held->error = LINKFS_ENOMEM;
		return 1;
	}
	held->names[held->len++] = (struct held_name){.offset = held->used, .ino = e->ino, .type = e->type};
	memcpy(held->arena + held->used, e->name, e->name_len);
	held->arena[held->used + e->name_len] = '\0';
	held->used += e->name_len + 1;
	return 0;
}

static int by_name(const void *a, const void *b)
{
	const struct held_name *x = a, *y = b;
	return strcmp(x->name, y->name);
}

struct part {
	struct held *held;
	uint64_t cookie;
	size_t count;
};

static int hold_part(void *arg, const struct linkfs_entry *e)
{
	struct part *part = arg;
	int stop = hold_name(part->held, e);
	if (!stop) {
		part->cookie = e->cookie;
		part->count++;
	}
	return stop;
}

static int list_copy(struct backup *b, struct backup_node *node, struct held *held)
{
	struct part part = {.held = held};
	int error = 0;
	/* A directory that was made just now has no names, and what others may put there meanwhile is met when a name is made. */
	if (held->read || !node->ino || node->made)
		return 0;
	held->read = true;
	do {
		part.count = 0;
		error = linkfs_node_readdir(b->volume, &b->cli->cred, node->ino, part.cookie, 0, hold_part, &part);
	} while (!error && !held->error && part.count);
	if (!error)
		error = held->error;
	for (size_t i = 0; i < held->len; i++)
		held->names[i].name = held->arena + held->names[i].offset;
	if (held->len)
		qsort(held->names, held->len, sizeof(*held->names), by_name);
	return error;
}

static struct held_name *find_held(const struct held *held, const char *name)
{
	const struct held_name key = {.name = name};
	return held->len ? bsearch(&key, held->names, held->len, sizeof(key), by_name) : NULL;
}

/* ---- a directory ------------------------------------------------------------------------------------------------------------------ */

/* Low halves differ where numbers do, so files that are there at one time never share one. */
static uint64_t number_of(const struct statx *sx)
{
	return sx->stx_ino ^ ((uint64_t)copy_host_ns(&sx->stx_btime) * UINT64_C(0x9e3779b97f4a7c15)) >> 32 << 32;
}

int backup_look(int fd, const char *name, struct copy_stat *out)
{
	struct statx sx;
	int flags = AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | (*name ? 0 : AT_EMPTY_PATH);
	if (statx(fd, name, flags, STATX_BASIC_STATS | STATX_BTIME, &sx) != 0)
		return linkfs_from_errno(errno);
	copy_host_stat(&sx, out);
	out->born = (sx.stx_mask & STATX_BTIME) && copy_host_ns(&sx.stx_btime) != 0;
	if (out->born)
		out->st.ino = number_of(&sx);
	return 0;
}

/* A file that says in its first bytes that its directory can be made anew (the Cache Directory Tagging Specification). */
static bool is_cache_tag(int fd)
{
	static const char mark[] = "Signature: 8a477f597d28d172789f06886806bc55";
	char buf[sizeof(mark) - 1];
	int tag = openat(fd, "CACHEDIR.TAG", O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	ssize_t n = tag >= 0 ? read(tag, buf, sizeof(buf)) : -1;
	if (tag >= 0)
		close(tag);
	return n == (ssize_t)sizeof(buf) && memcmp(buf, mark, sizeof(buf)) == 0;
}

/* The entry for whose sake the others are left out; NULL when there is none. */
static const char *marker(struct backup *b, const struct backup_node *node, const struct names *names)
{
	for (size_t at = 0; at < names->len && (b->caches || b->nif_present); at += strlen(names->buf + at + 1) + 2) {
		const char *name = names->buf + at + 1;
		if (b->caches && strcmp(name, "CACHEDIR.TAG") == 0 && is_cache_tag(node->fd))
			return name;
		for (size_t i = 0; i < b->nif_present; i++) {
			if (strcmp(name, b->if_present[i]) == 0)
				return name;
		}
	}
	return NULL;
}

struct visit {
	struct backup_worker *w;
	struct backup_node *node;
	struct held held;
	const char *mark;
	size_t prefix; /* of w->path */
	bool trusted;
};

static int set_path(struct backup_worker *w, size_t prefix, const char *name)
{
	size_t need = prefix + strlen(name) + 2;
	if (need > w->path_cap) {
		char *p = realloc(w->path, need * 2);
		if (!p)
			return LINKFS_ENOMEM;
		w->path = p;
		w->path_cap = need * 2;
	}
	memcpy(w->path + prefix, name, strlen(name) + 1);
	return 0;
}

/* The node's path from the top, with a slash after it unless it is empty. */
static int set_prefix(struct backup_worker *w, const struct backup_node *node, size_t *len_out)
{
	if (!node->parent) {
		*len_out = 0;
		return 0;
	}
	int error = set_prefix(w, node->parent, len_out);
	if (!error)
		error = set_path(w, *len_out, node->name);
	if (error)
		return error;
	*len_out += strlen(node->name);
	w->path[(*len_out)++] = '/';
	return 0;
}

static bool is_excluded(struct visit *v, const char *name, bool is_dir)
{
	struct backup_worker *w = v->w;
	if (v->mark && strcmp(name, v->mark) != 0)
		return true;
	if (set_path(w, v->prefix, name) != 0) {
		backup_stop(w->b, LINKFS_ENOMEM);
		return false;
	}
	return backup_rules_exclude(w->b->rules, w->path, is_dir);
}

/* What the volume has at the name, as far as that is known without listing the copy. */
static bool is_settled(struct visit *v, const struct copy_stat *st, struct backup_there *there, bool *unchanged)
{
	struct backup_table *t = &v->w->b->known;
	bool found = false;
	*unchanged = false;
	/* Where numbers may be others each time, names decide. */
	if (!v->trusted || st->dev != v->node->st.dev || !st->born)
		return false;
	pthread_mutex_lock(&t->lock);
	struct backup_known *k = backup_known_find(t, v->node->fs, st->st.ino);
	if (k && ((k->mode ^ st->st.mode) & S_IFMT) == 0) {
		if (S_ISDIR(st->st.mode)) {
			found = k->state == BACKUP_OLD;
			*there = (struct backup_there){k->ino, S_IFDIR};
		} else if ((k->state == BACKUP_OLD || k->state == BACKUP_DONE) && !k->fresh && !k->changed &&
			   !k->doubt && !v->w->b->reread && k->size == st->st.size && k->mtime_ns == st->st.mtime_ns &&
			   k->ctime_ns == st->st.ctime_ns && k->mode == st->st.mode) {
			found = *unchanged = true;
			k->state = BACKUP_DONE;
		}
	}
	pthread_mutex_unlock(&t->lock);
	return found;
}

/* What is left out goes from the copy, unless another source is there. */
static void leave_out(struct visit *v, const char *name)
{
	struct backup *b = v->w->b;
	atomic_fetch_add(&b->counts[BACKUP_EXCLUDED], 1);
	if (v->trusted || !b->nways || list_copy(b, v->node, &v->held) != 0)
		return;
	struct held_name *held = find_held(&v->held, name);
	if (held && held->type == S_IFDIR && backup_is_way(b, held->ino))
		held->present = true;
}

static void one_entry(struct visit *v, unsigned char type, const char *name)
{
	struct backup_worker *w = v->w;
	struct backup_node *node = v->node;
	struct backup_there there = {0};
	struct held_name *held = NULL;
	struct copy_stat st = {0};
	bool unchanged;
	if (type != DT_UNKNOWN && is_excluded(v, name, type == DT_DIR)) {
		leave_out(v, name);
		return;
	}
	int error = backup_look(node->fd, name, &st);
	if (!error && type == DT_UNKNOWN && is_excluded(v, name, S_ISDIR(st.st.mode))) {
		leave_out(v, name);
		return;
	}
	if (!error && is_settled(v, &st, &there, &unchanged)) {
		if (unchanged) {
			atomic_fetch_add(&w->b->files, 1);
			if (S_ISREG(st.st.mode))
				atomic_fetch_add(&w->b->bytes, st.st.size);
			atomic_fetch_add(&w->b->counts[BACKUP_UNCHANGED], 1);
			return;
		}
	} else {
		int failed = list_copy(w->b, node, &v->held);
		if (failed) {
			backup_entry_fail(w, node, name, BACKUP_UNREADABLE, failed);
			return;
		}
		held = find_held(&v->held, name);
		if (held)
			there = (struct backup_there){held->ino, held->type};
	}
	if (held)
		held->present = error != LINKFS_ENOENT;
	if (held && !error && backup_is_bound(w->b, node->ino, name)) /* what it shows is not the copy's */
		error = LINKFS_EBUSY;
	if (error)
		backup_entry_fail(w, node, name, error == LINKFS_ENOENT ? BACKUP_VANISHED : BACKUP_UNREADABLE, error);
	else
		backup_entry(w, node, name, &st, &there);
}

/* Names that the source does not have. */
static void find_stale(struct visit *v)
{
	struct backup *b = v->w->b;
	for (size_t i = 0; i < v->held.len; i++) {
		const struct held_name *h = &v->held.names[i];
		bool stays = h->present || (v->node->leave && h->type == S_IFDIR && backup_is_way(b, h->ino));
		int error = stays ? 0 : backup_touch(b, v->node);
		if (!error && !stays)
			error = backup_stale_add(b, v->node, h->name, h->ino);
		if (error)
			backup_entry_fail(v->w, v->node, h->name, BACKUP_UNREADABLE, error);
	}
}

static void visit_entries(struct visit *v, struct names *names)
{
	struct backup *b = v->w->b;
	v->mark = marker(b, v->node, names);
	v->trusted = v->node->trusted && !v->mark && !backup_is_bound(b, v->node->ino, NULL);
	if (v->mark) /* it may be none any more with the directory as it was */
		atomic_store(&v->node->doubt, true);
	for (size_t at = 0; at < names->len && !atomic_load(&b->stop); at += strlen(names->buf + at + 1) + 2)
		one_entry(v, (unsigned char)names->buf[at], names->buf + at + 1);
	if (v->trusted || names->broken || atomic_load(&b->stop) ||
	    (v->node->leave && backup_is_registered(b, v->node->ino)))
		return;
	int error = list_copy(b, v->node, &v->held);
	if (error)
		backup_entry_fail(v->w, v->node, NULL, BACKUP_UNREADABLE, error);
	else
		find_stale(v);
}

static int open_node(struct backup_node *node)
{
	const int flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
	int from = node->parent ? node->parent->fd : node->source->fd;
	const char *name = node->parent ? node->name : ".";
	/* O_NOATIME is for the owner only. */
	node->fd = openat(from, name, flags | O_NOATIME);
	if (node->fd < 0 && errno == EPERM)
		node->fd = openat(from, name, flags);
	return node->fd < 0 ? linkfs_from_errno(errno) : 0;
}

static void read_node(struct backup_worker *w, struct backup_node *node)
{
	struct visit v = {.w = w, .node = node};
	struct names names = {0};
	struct copy_stat st = {0};
	int64_t begin = cli_now_ns();
	int error = backup_look(node->fd, "", &st);
	/* Another one than was seen, or changed since. */
	if (!error && (st.st.ino != node->st.st.ino || st.dev != node->st.dev)) {
		backup_entry_fail(w, node, NULL, BACKUP_UNSTEADY, 0);
		return;
	} else if (!error) {
		if (st.st.ctime_ns != node->st.st.ctime_ns || st.st.mtime_ns != node->st.st.mtime_ns)
			node->trusted = false;
		node->st = st;
	}
	if (!error)
		error = set_prefix(w, node, &v.prefix);
	if (!error && !node->leave)
		error = list_source(w, node->fd, &names);
	names.broken = error != 0;
	if (backup_in_doubt(node->st.st.ctime_ns, begin))
		atomic_store(&node->doubt, true);
	if (error)
		backup_entry_fail(w, node, NULL, BACKUP_UNREADABLE, error);
	visit_entries(&v, &names);
	free(names.buf);
	free(v.held.names);
	free(v.held.arena);
}

static void run_dir(struct backup_worker *w, struct backup_job *job)
{
	struct backup *b = w->b;
	struct backup_node *node = ((struct dir_job *)(void *)job)->node;
	free(job);
	int error = atomic_load(&b->stop) ? LINKFS_EINTR : open_node(node);
	if (node->parent)
		release_fd(node->parent);
	if (error == LINKFS_EINTR)
		atomic_store(&node->doubt, true);
	else if (error)
		backup_entry_fail(w, node, NULL, error == LINKFS_ENOENT ? BACKUP_VANISHED : BACKUP_UNREADABLE, error);
	else
		read_node(w, node);
	backup_batch_end(w);
	backup_node_done(w, node);
}

/* ---- its end ------------------------------------------------------------------------------------------------------------------------ */

static bool is_as_known(struct backup *b, const struct backup_node *node)
{
	const struct backup_known *k = node->known;
	const struct linkfs_stat *st = &node->st.st;
	if (!k || node->made || b->reread || atomic_load(&node->touched) || atomic_load(&node->doubt))
		return false;
	pthread_mutex_lock(&b->known.lock);
	bool same = !k->fresh && !k->changed && !k->doubt && k->source == node->source->record.id &&
		    k->mtime_ns == st->mtime_ns && k->ctime_ns == st->ctime_ns && k->mode == st->mode;
	pthread_mutex_unlock(&b->known.lock);
	return same;
}

/* What was seen of it is enough: of one that could not be opened, or that is as it should be but for what names that went have changed. */
static int set_plain(struct backup *b, const struct backup_node *node, bool owner)
{
	const struct linkfs_stat *st = &node->st.st;
	const struct linkfs_cred *cred = &b->cli->cred;
	struct linkfs_setattr set = {.valid = LINKFS_SET_ATIME | LINKFS_SET_MTIME | LINKFS_SET_MODE,
				     .mode = st->mode & 07777,
				     .uid = st->uid,
				     .gid = st->gid,
				     .atime_ns = st->atime_ns,
				     .mtime_ns = st->mtime_ns};
	if (owner && cred->uid == 0)
		set.valid |= LINKFS_SET_UID | LINKFS_SET_GID;
	return linkfs_node_setattr(b->volume, cred, node->ino, &set, NULL);
}

void backup_node_finish(struct backup_worker *w, struct backup_node *node, bool again)
{
	struct backup *b = w->b;
	int error = 0;
	if (atomic_load(&b->stop) || b->dry || !node->ino)
		return;
	if (!again && is_as_known(b, node))
		return;
	if (!again && node->fd >= 0)
		error = backup_attributes(w, node, NULL, &node->st, node->fd, node->ino, node->made, NULL);
	else
		error = set_plain(b, node, !again);
	if (error) {
		backup_entry_fail(w, node, NULL, BACKUP_UNREADABLE, error);
		return;
	}
	if (!again && atomic_load(&node->deferred)) {
		pthread_mutex_lock(&b->lock);
		error = cli_grow(&b->deferred, &b->deferred_cap, b->ndeferred, sizeof(*b->deferred));
		if (!error) {
			b->deferred[b->ndeferred++] = node;
			atomic_fetch_add(&node->refs, 1);
		}
		pthread_mutex_unlock(&b->lock);
	} else if (node->known) {
		error = backup_remember(b, node, node->fs, node->ino, &node->st, atomic_load(&node->doubt));
	}
	if (error)
		backup_stop(b, error);
}

int backup_walk(struct backup *b)
{
	struct backup_source *source = b->source;
	struct backup_node *node = cli_alloc(sizeof(*node));
	struct dir_job *job = cli_alloc(sizeof(*job));
	uint64_t fs = 0;
	int error = node && job ? 0 : LINKFS_ENOMEM;
	if (!error)
		error = backup_known_fs(&b->known, source->st.dev, source->st.st.ino, source->top, &fs);
	if (error) {
		free(node);
		free(job);
		return error;
	}
	pthread_mutex_lock(&b->known.lock);
	struct backup_known *k = backup_known_find(&b->known, fs, source->st.st.ino);
	bool known = k && k->state == BACKUP_OLD && k->ino == source->top;
	if (!k) {
		k = backup_known_add(&b->known, fs, source->st.st.ino);
		if (k) {
			k->fresh = k->doubt = true;
			backup_known_set_ino(&b->known, k, source->top);
		}
	} else if (!known) {
		k = NULL;
	}
	if (k)
		k->state = BACKUP_DONE;
	*node = (struct backup_node){.fd = -1,
				     .ino = source->top,
				     .fs = fs,
				     .st = source->st,
				     .source = source,
				     .known = k,
				     .refs = 1,
				     .users = 1,
				     .pending = 1,
				     .trusted = known && b->trusted && k->source == source->record.id && !k->changed &&
						!k->doubt && !b->reread && k->mtime_ns == source->st.st.mtime_ns &&
						k->ctime_ns == source->st.st.ctime_ns};
	pthread_mutex_unlock(&b->known.lock);
	job->job.run = run_dir;
	job->node = node;
	atomic_fetch_add(&b->dirs, 1);
	backup_pool_push(b->pool, &job->job);
	backup_pool_wait(b->pool);
	return 0;
}
