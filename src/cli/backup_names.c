/*
 * backup_names.c - names in the volume that a backup makes, moves and removes; see backup.h.
 *
 * A name that is taken gets its new file in one step: that is named anew under a temporary name, and the two names exchange what they stand
 * for. What was displaced is stale from then on and waits, since it may turn out to have moved in the source.
 */
#include "backup.h"

#include <linkfs_links.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>

#define TRIES 8 /* others may change the volume meanwhile */
#define REMOVE_DEPTH_MAX (2 * BACKUP_DEPTH_MAX)

void backup_temp_name(char buf[40])
{
	uint64_t bits = 0;
	if (getrandom(&bits, sizeof(bits), 0) != (ssize_t)sizeof(bits))
		bits = (uint64_t)cli_now_ns();
	snprintf(buf, 40, ".linkfs-backup.%016llx", (unsigned long long)bits);
}

/* An ordinary user must be allowed to change the names of directory ino. */
static int allow(struct backup *b, uint64_t ino)
{
	const struct linkfs_cred *cred = &b->cli->cred;
	struct linkfs_stat st;
	int error = cred->uid == 0 ? 0 : linkfs_node_getattr(b->volume, ino, &st);
	if (error || cred->uid == 0 || (st.mode & 0700) == 0700)
		return error;
	const struct linkfs_setattr set = {.valid = LINKFS_SET_MODE, .mode = (st.mode & 07777) | 0700};
	return linkfs_node_setattr(b->volume, cred, ino, &set, NULL);
}

int backup_touch(struct backup *b, struct backup_node *node)
{
	return b->dry || atomic_exchange(&node->touched, true) ? 0 : allow(b, node->ino);
}

int backup_stale_add(struct backup *b, struct backup_node *node, const char *name, uint64_t ino)
{
	struct backup_stale stale = {.dir = node->ino, .ino = ino, .name = cli_strdup(name), .node = node};
	int error = stale.name ? 0 : LINKFS_ENOMEM;
	pthread_mutex_lock(&b->lock);
	if (!error)
		error = cli_grow(&b->stale, &b->stale_cap, b->nstale, sizeof(stale));
	if (!error)
		b->stale[b->nstale++] = stale;
	pthread_mutex_unlock(&b->lock);
	if (error) {
		free(stale.name);
		return error;
	}
	atomic_fetch_add(&node->refs, 1);
	atomic_store(&node->deferred, true);
	return 0;
}

static int exchange(struct backup *b, struct backup_node *node, const char *temp, const char *name)
{
	const struct linkfs_cred *cred = &b->cli->cred;
	struct linkfs_stat st;
	int error = LINKFS_ENOENT;
	for (unsigned i = 0; i < TRIES && (error == LINKFS_ENOENT || error == LINKFS_EEXIST); i++) {
		error = linkfs_copied_rename(b->volume, cred, node->ino, temp, strlen(temp), node->ino, name,
					     strlen(name), LINKFS_RENAME_EXCHANGE);
		if (!error) {
			error = linkfs_node_lookup(b->volume, cred, node->ino, temp, strlen(temp), 0, &st);
			return error ? error : backup_stale_add(b, node, temp, st.ino);
		}
		if (error == LINKFS_ENOENT)
			error = linkfs_copied_rename(b->volume, cred, node->ino, temp, strlen(temp), node->ino, name,
						     strlen(name), LINKFS_RENAME_NOREPLACE);
	}
	return error;
}

int backup_take_name(struct backup *b, struct backup_node *node, const char *temp, const char *name)
{
	pthread_mutex_lock(&b->moves);
	int error = exchange(b, node, temp, name);
	pthread_mutex_unlock(&b->moves);
	return error;
}

int backup_place(struct backup *b, struct backup_node *node, const char *name, const struct backup_there *there,
		 uint64_t ino)
{
	const struct linkfs_cred *cred = &b->cli->cred;
	char temp[40];
	if (b->dry)
		return 0;
	int error = backup_touch(b, node);
	if (error)
		return error;
	if (!there->ino) {
		error = linkfs_copied_link(b->volume, cred, ino, node->ino, name, strlen(name));
		if (error != LINKFS_EEXIST)
			return error;
	}
	backup_temp_name(temp);
	error = linkfs_copied_link(b->volume, cred, ino, node->ino, temp, strlen(temp));
	return error ? error : backup_take_name(b, node, temp, name);
}

/* ---- directories that moved ---------------------------------------------------------------------------------------------- */

struct position {
	uint64_t dir;
	char *name;
	unsigned names;
};

static int take_dir(void *arg, const struct linkfs_name *name)
{
	uint64_t *dir = arg;
	if (name->flags & LINKFS_NAME_BIND)
		return 0;
	*dir = name->dir;
	return 1;
}

/* Whether directory ino of the volume is a source's, or below one. */
static bool is_below_source(const struct backup *b, uint64_t ino)
{
	for (unsigned depth = 0; ino && depth < REMOVE_DEPTH_MAX; depth++) {
		if (backup_is_home(b, ino))
			return true;
		if (ino == LINKFS_ROOT_INO)
			return false;
		uint64_t dir = 0;
		if (linkfs_node_names(b->volume, &b->cli->cred, ino, take_dir, &dir, NULL) != 0)
			return false;
		ino = dir;
	}
	return false;
}

struct places {
	const struct backup *b;
	uint64_t last; /* that was one */
	bool outside;
};

static int check_place(void *arg, const struct linkfs_name *name)
{
	struct places *p = arg;
	if (name->flags & LINKFS_NAME_BIND || name->dir == p->last)
		return 0;
	p->outside = !is_below_source(p->b, name->dir);
	p->last = name->dir;
	return p->outside;
}

bool backup_is_inside(const struct backup *b, uint64_t ino)
{
	struct places p = {.b = b};
	return linkfs_node_names(b->volume, &b->cli->cred, ino, check_place, &p, NULL) == 0 && !p.outside;
}

static int take_position(void *arg, const struct linkfs_name *name)
{
	struct position *at = arg;
	if (name->flags & LINKFS_NAME_BIND)
		return 0;
	/* One name may be found by several paths. */
	if (at->name && at->dir == name->dir && strlen(at->name) == name->name_len &&
	    memcmp(at->name, name->name, name->name_len) == 0)
		return 0;
	if (at->names++)
		return 1;
	at->dir = name->dir;
	at->name = strndup(name->name, name->name_len);
	return at->name ? 0 : 1;
}

bool backup_is_single(const struct backup *b, uint64_t ino)
{
	struct position at = {0};
	int error = linkfs_node_names(b->volume, &b->cli->cred, ino, take_position, &at, NULL);
	free(at.name);
	return !error && at.names == 1;
}

/* With moves taken. */
static int move_dir(struct backup *b, struct backup_node *node, const char *name, const struct backup_there *there,
		    const struct position *at, uint64_t ino)
{
	const struct linkfs_cred *cred = &b->cli->cred;
	struct linkfs_stat st;
	char temp[40];
	backup_temp_name(temp);
	const char *first = there->ino ? temp : name;
	int error = linkfs_copied_rename(b->volume, cred, at->dir, at->name, strlen(at->name), node->ino, first,
					 strlen(first), LINKFS_RENAME_NOREPLACE);
	if (error)
		return error;
	/* Somebody else may have renamed it meanwhile: then what was moved goes back. */
	error = linkfs_node_lookup(b->volume, cred, node->ino, first, strlen(first), 0, &st);
	if (!error && st.ino != ino) {
		(void)linkfs_copied_rename(b->volume, cred, node->ino, first, strlen(first), at->dir, at->name,
					   strlen(at->name), LINKFS_RENAME_NOREPLACE);
		error = LINKFS_ESTALE;
	}
	return !error && there->ino ? exchange(b, node, temp, name) : error;
}

int backup_move_dir(struct backup *b, struct backup_node *node, const char *name, const struct backup_there *there,
		    uint64_t ino)
{
	struct position at = {0};
	if (b->dry)
		return 0;
	int error = backup_touch(b, node);
	pthread_mutex_lock(&b->moves);
	if (!error)
		error = linkfs_node_names(b->volume, &b->cli->cred, ino, take_position, &at, NULL);
	if (!error && !at.name)
		error = LINKFS_ENOENT;
	/* What somebody put elsewhere is his, and stays there. */
	if (!error && (at.names > 1 || !is_below_source(b, at.dir)))
		error = LINKFS_EXDEV;
	if (!error)
		error = move_dir(b, node, name, there, &at, ino);
	pthread_mutex_unlock(&b->moves);
	free(at.name);
	return error;
}

/* ---- what somebody bound ------------------------------------------------------------------------------------------------ */

static int take_bind(void *arg, const struct linkfs_bind *bind)
{
	struct backup *b = arg;
	char *name = strndup(bind->name, bind->name_len);
	if (!name || cli_grow(&b->binds, &b->binds_cap, b->nbinds, sizeof(*b->binds)) != 0) {
		free(name);
		backup_stop(b, LINKFS_ENOMEM);
		return 1;
	}
	b->binds[b->nbinds++] = (struct backup_bind){bind->dir, name};
	return 0;
}

int backup_binds_load(struct backup *b)
{
	int error = linkfs_volume_binds(b->volume, &b->cli->cred, 0, take_bind, b, NULL);
	return error ? error : atomic_load(&b->fatal);
}

bool backup_is_bound(const struct backup *b, uint64_t dir, const char *name)
{
	for (size_t i = 0; i < b->nbinds; i++) {
		if (b->binds[i].dir == dir && (!name || strcmp(b->binds[i].name, name) == 0))
			return true;
	}
	return false;
}

/* ---- what is stale goes --------------------------------------------------------------------------------------------------- */

static bool is_temp(const char *name)
{
	return strncmp(name, ".linkfs-backup.", 15) == 0;
}

static int remove_tree(struct backup_worker *w, uint64_t dir, const char *name, unsigned depth);

/* All in a directory, in rounds: a listing is of a bounded number. */
static int remove_content(struct backup_worker *w, uint64_t ino, unsigned depth)
{
	struct backup *b = w->b;
	int error = 0;
	for (bool any = true; any && !error;) {
		struct cli_list list = {0};
		error = cli_list_read(b->cli, b->volume, ino, false, false, &list);
		any = !error && list.len;
		for (size_t i = 0; i < list.len && !error; i++)
			error = atomic_load(&b->stop) ? LINKFS_EINTR
						      : remove_tree(w, ino, list.entries[i].name, depth + 1);
		cli_list_done(&list);
	}
	return error;
}

static int remove_tree(struct backup_worker *w, uint64_t dir, const char *name, unsigned depth)
{
	struct backup *b = w->b;
	const struct linkfs_cred *cred = &b->cli->cred;
	struct linkfs_stat st;
	int error = linkfs_node_lookup(b->volume, cred, dir, name, strlen(name), 0, &st);
	if (error)
		return error == LINKFS_ENOENT ? 0 : error;
	bool is_dir = S_ISDIR(st.mode);
	error = linkfs_copied_unlink(b->volume, cred, dir, name, strlen(name), is_dir);
	if (is_dir && error == LINKFS_ENOTEMPTY) {
		error = allow(b, st.ino);
		if (!error)
			error = depth < REMOVE_DEPTH_MAX ? remove_content(w, st.ino, depth) : LINKFS_ENAMETOOLONG;
		if (!error)
			error = linkfs_copied_unlink(b->volume, cred, dir, name, strlen(name), true);
	}
	if (error == LINKFS_ENOENT)
		return 0;
	if (!error && !is_temp(name))
		atomic_fetch_add(&b->counts[BACKUP_REMOVED], 1);
	return error;
}

static void tell_removal(struct backup *b, const struct backup_stale *s)
{
	char *path = b->verbose && !is_temp(s->name) ? backup_path(b, s->node, s->name) : NULL;
	char shown[LINKFS_PATH_MAX];
	if (path)
		fprintf(b->cli->out, "removed %s\n", cli_show(path, shown, sizeof(shown)));
	free(path);
}

void backup_stale_remove(struct backup_worker *w)
{
	struct backup *b = w->b;
	const struct linkfs_cred *cred = &b->cli->cred;
	for (size_t i = 0; i < b->nstale; i++) {
		struct backup_stale *s = &b->stale[i];
		struct linkfs_stat st;
		int error = atomic_load(&b->stop) ? LINKFS_EINTR : 0;
		if (!error && !b->dry) {
			error = linkfs_node_lookup(b->volume, cred, s->dir, s->name, strlen(s->name), 0, &st);
			/* It has moved on, or somebody else was here. */
			if (!error && st.ino == s->ino) {
				tell_removal(b, s);
				error = allow(b, s->dir);
				if (!error)
					error = remove_tree(w, s->dir, s->name, 0);
			} else if (!error)
				atomic_store(&s->node->doubt, true);
			if (error == LINKFS_ENOENT || error == LINKFS_ESTALE)
				error = 0;
		}
		if (error) /* it is still there */
			atomic_store(&s->node->doubt, true);
		if (b->dry) {
			tell_removal(b, s);
			atomic_fetch_add(&b->counts[BACKUP_REMOVED], 1);
		}
		if (error && error != LINKFS_EINTR) {
			if (backup_is_fatal(error))
				backup_stop(b, error);
			else
				backup_tell(b, BACKUP_UNREADABLE, s->node, s->name, error);
		}
		if (cli_cancelled(b->cli) && !atomic_load(&b->stop))
			backup_stop(b, LINKFS_EINTR);
		backup_progress(b);
		backup_node_free(s->node);
		free(s->name);
	}
	b->nstale = 0;
}
