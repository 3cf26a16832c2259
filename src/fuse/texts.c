/*
 * texts.c - the texts of tracked symlinks (D5) that the kernel holds. It caches a symlink's text as a page, for ever; a tracked link's is
 * another one after it, its target, or a directory above either has moved (LINKFS_EVENT_TEXTS), and which links lie below a
 * directory nobody knows cheaply. So the mount remembers which tracked links' texts were read, and a move has the kernel drop these and
 * no others: each text that is dropped was asked for since the last time, so that the telling never costs more than the reading did.
 * Sizes are not cached at all (attr_valid 0).
 *
 * To drop a page is to wait for its lock, which a READLINK under way has until a worker answers it. So no worker drops pages: a live
 * command does it in its own thread, before it returns; what a rename of the kernel's own calls for (LINKFS_EVENT_OWN) the
 * teller does, a thread with no other duty, and then sends the rename's reply, which the worker has left to it (M6).
 *
 * A link is marked as read before its text is made: a move either comes before, and the text is the new one, or finds the mark.
 * The lock here comes before the volume's: the set asks what is held. So nothing here is called from the library's callbacks.
 * Layer: fuse.
 */
#include "session.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#define BATCH 256u
#define FIRST_CAP 64u

struct lk_fuse_texts {
	pthread_mutex_t lock;
	pthread_cond_t work, idle;
	/* Tracked links that the kernel was told of, by slot_for(). Open addressing. */
	uint64_t *slots;
	size_t cap, count;    /* cap is a power of two, or 0 */
	size_t sweep_at;      /* at this count the links that the kernel has let go of leave the set */
	_Atomic size_t known; /* count; read without the lock */
	_Atomic size_t read;  /* those that were read */
	_Atomic bool lossy;   /* one could not be added: any link may be tracked */
	/* The teller. */
	_Atomic bool busy; /* texts are to be dropped, or replies sent */
	bool due, ending, started;
	struct fuse_out_header *replies;
	size_t reply_count, reply_cap;
	pthread_t thread;
};

/* ---- the set: lock held --------------------------------------------------------------------------------------- */

/* A node id x 2, + 1 when the text was read since it was dropped last. The bit that this pushes out is a place's. */
static uint64_t slot_for(uint64_t id)
{
	return id << 1;
}

static uint64_t id_in(uint64_t slot)
{
	uint64_t id = slot >> 1;
	return linkfs_node_tree(id) ? id | UINT64_C(1) << 63 : id;
}

static size_t home(const struct lk_fuse_texts *t, uint64_t id)
{
	return (size_t)((id * UINT64_C(0x9e3779b97f4a7c15)) >> 32) & (t->cap - 1);
}

/* Where id is, or would be. */
static uint64_t *slot_of(const struct lk_fuse_texts *t, uint64_t id)
{
	size_t i = home(t, id);
	while (t->slots[i] && id_in(t->slots[i]) != id)
		i = (i + 1) & (t->cap - 1);
	return &t->slots[i];
}

static bool resize(struct lk_fuse_texts *t, size_t cap)
{
	struct lk_fuse_texts old = {.slots = t->slots, .cap = t->cap};
	uint64_t *slots = calloc(cap, sizeof(*slots));
	if (!slots)
		return false;
	t->slots = slots;
	t->cap = cap;
	for (size_t i = 0; i < old.cap; i++)
		if (old.slots[i])
			*slot_of(t, id_in(old.slots[i])) = old.slots[i];
	free(old.slots);
	return true;
}

/* NULL: no memory. */
static uint64_t *find_or_add(struct lk_fuse_texts *t, uint64_t id)
{
	if ((t->count + 1) * 4 > t->cap * 3 && !resize(t, t->cap ? t->cap * 2 : FIRST_CAP))
		return NULL;
	uint64_t *slot = slot_of(t, id);
	if (!*slot) {
		*slot = slot_for(id);
		atomic_store(&t->known, ++t->count);
	}
	return slot;
}

/* Links that the kernel let go of leave the set, each time it has doubled. */
static void forget_unheld(struct linkfs_mount *mount)
{
	struct lk_fuse_texts *t = mount->texts;
	struct lk_fuse_texts fresh = {.cap = t->cap};
	fresh.slots = t->count > t->sweep_at ? calloc(t->cap, sizeof(*fresh.slots)) : NULL;
	if (!fresh.slots)
		return;
	for (size_t i = 0; i < t->cap; i++) {
		if (!t->slots[i])
			continue;
		if (linkfs_node_is_held(mount->volume, id_in(t->slots[i]))) {
			*slot_of(&fresh, id_in(t->slots[i])) = t->slots[i];
			fresh.count++;
		} else if (t->slots[i] & 1) {
			atomic_fetch_sub(&t->read, 1);
		}
	}
	free(t->slots);
	t->slots = fresh.slots;
	atomic_store(&t->known, t->count = fresh.count);
	t->sweep_at = 2 * t->count > FIRST_CAP ? 2 * t->count : FIRST_CAP;
}

/* Takes up to BATCH of the links whose texts were read, from position *at on; they count as not read from now on. */
static size_t take(struct lk_fuse_texts *t, size_t *at, uint64_t *ids)
{
	size_t n = 0;
	for (; *at < t->cap && n < BATCH; ++*at) {
		if (t->slots[*at] & 1) {
			ids[n++] = id_in(t->slots[*at]);
			t->slots[*at] &= ~UINT64_C(1);
			atomic_fetch_sub(&t->read, 1);
		}
	}
	return n;
}

/* ---- dropping -------------------------------------------------------------------------------------------------- */

static void drop(struct linkfs_mount *mount)
{
	struct lk_fuse_texts *t = mount->texts;
	uint64_t ids[BATCH];
	size_t n = 1;
	while (n) {
		/* From the start each time: the table may have been made anew. A text that is read meanwhile is the new one, or is
		 * dropped once more. */
		size_t at = 0;
		pthread_mutex_lock(&t->lock);
		n = take(t, &at, ids);
		pthread_mutex_unlock(&t->lock);
		for (size_t i = 0; i < n; i++)
			lk_fuse_drop_pages(mount, ids[i]);
		if (n < BATCH)
			break;
	}
	pthread_mutex_lock(&t->lock);
	forget_unheld(mount);
	pthread_mutex_unlock(&t->lock);
}

static void send_replies(const struct linkfs_mount *mount, const struct fuse_out_header *replies, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		ssize_t n;
		do {
			n = write(mount->fd, &replies[i], sizeof(replies[i]));
		} while (n < 0 && errno == EINTR);
	}
}

static void *teller_main(void *arg)
{
	struct linkfs_mount *mount = arg;
	struct lk_fuse_texts *t = mount->texts;
	pthread_mutex_lock(&t->lock);
	for (;;) {
		while (!t->due && !t->reply_count && !t->ending)
			pthread_cond_wait(&t->work, &t->lock);
		if (!t->due && !t->reply_count)
			break;
		/* A reply that is here now came after the move that made it wait. */
		struct fuse_out_header *replies = t->replies;
		size_t count = t->reply_count;
		bool due = t->due;
		t->replies = NULL;
		t->reply_count = t->reply_cap = 0;
		t->due = false;
		pthread_mutex_unlock(&t->lock);
		if (due)
			drop(mount);
		send_replies(mount, replies, count);
		free(replies);
		pthread_mutex_lock(&t->lock);
		if (!t->due && !t->reply_count) {
			atomic_store(&t->busy, false);
			pthread_cond_broadcast(&t->idle);
		}
	}
	pthread_mutex_unlock(&t->lock);
	return NULL;
}

/* ---- what the rest of the mount tells ---------------------------------------------------------------------------- */

void lk_fuse_texts_known(struct linkfs_mount *mount, uint64_t id)
{
	struct lk_fuse_texts *t = mount->texts;
	if (!t)
		return;
	pthread_mutex_lock(&t->lock);
	forget_unheld(mount);
	if (!find_or_add(t, id))
		atomic_store(&t->lossy, true);
	pthread_mutex_unlock(&t->lock);
}

int lk_fuse_texts_reading(struct linkfs_mount *mount, uint64_t id)
{
	struct lk_fuse_texts *t = mount->texts;
	if (!t || (!atomic_load(&t->known) && !atomic_load(&t->lossy)))
		return 0;
	pthread_mutex_lock(&t->lock);
	uint64_t *slot = atomic_load(&t->lossy) ? find_or_add(t, id) : slot_of(t, id);
	if (slot && *slot && !(*slot & 1)) {
		*slot |= 1;
		atomic_fetch_add(&t->read, 1);
	}
	pthread_mutex_unlock(&t->lock);
	return slot ? 0 : LINKFS_ENOMEM;
}

void lk_fuse_texts_moved(struct linkfs_mount *mount, bool own)
{
	struct lk_fuse_texts *t = mount->texts;
	if (!t || !atomic_load(&t->read) || atomic_load(&mount->gone))
		return;
	if (!own) {
		drop(mount);
		return;
	}
	pthread_mutex_lock(&t->lock);
	if (t->started && !t->ending) {
		t->due = true;
		atomic_store(&t->busy, true);
		pthread_cond_signal(&t->work);
	}
	pthread_mutex_unlock(&t->lock);
}

bool lk_fuse_texts_defer(struct linkfs_mount *mount, const struct fuse_out_header *reply)
{
	struct lk_fuse_texts *t = mount->texts;
	bool taken = false;
	if (!t || !atomic_load(&t->busy))
		return false;
	pthread_mutex_lock(&t->lock);
	while (atomic_load(&t->busy) && !t->ending && !taken) {
		if (t->reply_count == t->reply_cap) {
			size_t cap = t->reply_cap ? t->reply_cap * 2 : 16;
			struct fuse_out_header *p = reallocarray(t->replies, cap, sizeof(*p));
			if (!p) { /* rather late than before the texts are gone */
				pthread_cond_wait(&t->idle, &t->lock);
				continue;
			}
			t->replies = p;
			t->reply_cap = cap;
		}
		t->replies[t->reply_count++] = *reply;
		taken = true;
		pthread_cond_signal(&t->work);
	}
	pthread_mutex_unlock(&t->lock);
	return taken;
}

int lk_fuse_texts_start(struct linkfs_mount *mount)
{
	struct lk_fuse_texts *t = calloc(1, sizeof(*t));
	sigset_t all, old;
	if (!t)
		return LINKFS_ENOMEM;
	pthread_mutex_init(&t->lock, NULL);
	pthread_cond_init(&t->work, NULL);
	pthread_cond_init(&t->idle, NULL);
	t->sweep_at = FIRST_CAP;
	mount->texts = t;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	int e = pthread_create(&t->thread, NULL, teller_main, mount);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	t->started = e == 0;
	return e ? linkfs_from_errno(e) : 0;
}

void lk_fuse_texts_stop(struct linkfs_mount *mount)
{
	struct lk_fuse_texts *t = mount->texts;
	if (!t || !t->started)
		return;
	pthread_mutex_lock(&t->lock);
	t->ending = true;
	pthread_cond_signal(&t->work);
	pthread_cond_broadcast(&t->idle);
	pthread_mutex_unlock(&t->lock);
	pthread_join(t->thread, NULL);
	t->started = false;
}

void lk_fuse_texts_end(struct linkfs_mount *mount)
{
	struct lk_fuse_texts *t = mount->texts;
	if (!t)
		return;
	lk_fuse_texts_stop(mount);
	pthread_cond_destroy(&t->idle);
	pthread_cond_destroy(&t->work);
	pthread_mutex_destroy(&t->lock);
	free(t->replies);
	free(t->slots);
	free(t);
	mount->texts = NULL;
}
