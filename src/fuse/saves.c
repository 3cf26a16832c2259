/*
 * saves.c - renames over a file that keeps its links (D7). The kernel moves what it knows of the file that comes to the new name, with the
 * time that it was given: for ever, as it was nobody's then. Another save by another name makes this one lead elsewhere, and a word about it
 * follows the answer only (notify.c). So the file's own name is made to be asked at each use before it moves: the first request is answered
 * with ESTALE, at which the VFS walks anew, asking for every name (LOOKUP_REVAL), and renames again; names of the file get no time in
 * between, and its other names that nobody uses are dropped. The second request is carried out whatever was asked: a caller that does not
 * walk anew (nfsd) tries as often as it likes.
 * Layer: fuse.
 */
#include "session.h"

#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>

#define COMING_MAX 64u
/* A rename that did not come again by then was ended by a signal. */
#define COMING_S 600

struct coming {
	uint64_t ino; /* 0: free */
	int64_t since_s;
};

struct lk_fuse_saves {
	pthread_mutex_t lock;
	_Atomic bool kept; /* the kernel was told of a file that keeps its links, as it is before it renames over one */
	_Atomic uint32_t count; /* of those in use */
	struct coming coming[COMING_MAX];
};

struct lk_fuse_saves *lk_fuse_saves_new(void)
{
	struct lk_fuse_saves *s = calloc(1, sizeof(*s));
	if (s)
		pthread_mutex_init(&s->lock, NULL);
	return s;
}

void lk_fuse_saves_free(struct lk_fuse_saves *s)
{
	if (!s)
		return;
	pthread_mutex_destroy(&s->lock);
	free(s);
}

static int64_t seconds(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec;
}

static bool keeps(const struct linkfs_stat *st)
{
	return S_ISREG(st->mode) && (st->flags & LINKFS_INO_KEEP_LINKS) && !lk_fuse_is_past(st->ino);
}

/* Lock held. */
static struct coming *find(struct lk_fuse_saves *s, uint64_t ino)
{
	for (size_t i = 0; i < COMING_MAX; i++) {
		if (s->coming[i].ino == ino)
			return &s->coming[i];
	}
	return NULL;
}

/* Lock held. Renames that were ended by a signal. */
static void drop_ended(struct lk_fuse_saves *s)
{
	int64_t now = seconds();
	for (size_t i = 0; i < COMING_MAX; i++) {
		if (s->coming[i].ino && now - s->coming[i].since_s > COMING_S) {
			s->coming[i].ino = 0;
			atomic_fetch_sub(&s->count, 1);
		}
	}
}

static bool is_coming(struct lk_fuse_saves *s, uint64_t ino)
{
	if (atomic_load(&s->count) == 0)
		return false;
	pthread_mutex_lock(&s->lock);
	bool found = find(s, ino) != NULL;
	if (!found)
		drop_ended(s);
	pthread_mutex_unlock(&s->lock);
	return found;
}

bool lk_fuse_save_asks(struct linkfs_mount *mount, const struct linkfs_stat *st)
{
	struct lk_fuse_saves *s = mount->saves;
	bool kept = keeps(st);
	if (kept && s)
		atomic_store(&s->kept, true);
	return kept || (s && is_coming(s, st->ino));
}

/* Whether this is the first request: it is remembered. Where there is no room the rename goes on as it came. */
static bool is_first(struct lk_fuse_saves *s, uint64_t ino)
{
	pthread_mutex_lock(&s->lock);
	struct coming *at = find(s, ino);
	bool first = !at;
	if (at) {
		at->ino = 0;
		atomic_fetch_sub(&s->count, 1);
	} else if ((at = find(s, 0)) != NULL) {
		*at = (struct coming){ino, seconds()};
		atomic_fetch_add(&s->count, 1);
	} else {
		first = false;
	}
	pthread_mutex_unlock(&s->lock);
	return first;
}

bool lk_fuse_save_comes(struct lk_fuse_request *rq, const char *old_name, size_t old_len, uint64_t new_dir,
			const char *new_name, size_t new_len)
{
	struct lk_fuse_saves *s = rq->mount->saves;
	struct linkfs_volume *volume = rq->mount->volume;
	const struct linkfs_cred cred = {.flags = LINKFS_CRED_KERNEL};
	struct linkfs_stat old, fresh;
	if (!s || !atomic_load(&s->kept))
		return false;
	if (linkfs_node_lookup(volume, &cred, new_dir, new_name, new_len, 0, &old) != 0 || !keeps(&old))
		return false;
	if (linkfs_node_lookup(volume, &cred, rq->ino, old_name, old_len, 0, &fresh) != 0 || !S_ISREG(fresh.mode))
		return false;
	if (keeps(&fresh) || !is_first(s, fresh.ino))
		return false;
	/* The walk asks for the one name. */
	if (fresh.nlink > 1)
		lk_fuse_drop_names(rq->mount, fresh.node);
	return true;
}
