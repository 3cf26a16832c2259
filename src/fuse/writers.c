/*
 * writers.c - files that are open for reading and writing: their pages may be mapped, and written to without a word to us. A snapshot wants
 * what programs see, so the kernel is made to hand over first (M5).
 * A mapping keeps its file open, so RELEASE comes after the last one is gone.
 * Layer: fuse.
 */
#include "session.h"

#include <fcntl.h>
#include <stdlib.h>

#define CHAINS 256u

struct writer {
	uint64_t node, count;
	struct writer *next;
};

struct lk_fuse_writers {
	pthread_mutex_t lock;
	struct writer *chains[CHAINS];
	size_t count;
};

struct lk_fuse_writers *lk_fuse_writers_new(void)
{
	struct lk_fuse_writers *w = calloc(1, sizeof(*w));
	if (w)
		pthread_mutex_init(&w->lock, NULL);
	return w;
}

void lk_fuse_writers_free(struct lk_fuse_writers *w)
{
	if (!w)
		return;
	for (size_t i = 0; i < CHAINS; i++) {
		for (struct writer *at = w->chains[i], *next; at; at = next) {
			next = at->next;
			free(at);
		}
	}
	pthread_mutex_destroy(&w->lock);
	free(w);
}

/* Where node is, or where it would be. Lock held. */
static struct writer **find(struct lk_fuse_writers *w, uint64_t node)
{
	struct writer **link = &w->chains[(node * UINT64_C(0x9e3779b97f4a7c15)) >> 56];
	while (*link && (*link)->node != node)
		link = &(*link)->next;
	return link;
}

static bool may_map(uint32_t flags)
{
	return (flags & O_ACCMODE) == O_RDWR;
}

int lk_fuse_writer_opens(struct linkfs_mount *mount, uint64_t node, uint32_t flags)
{
	struct lk_fuse_writers *w = mount->writers;
	int r = 0;
	if (!w || !may_map(flags))
		return 0;
	pthread_mutex_lock(&w->lock);
	struct writer **link = find(w, node);
	if (!*link) {
		*link = calloc(1, sizeof(**link));
		if (*link) {
			(*link)->node = node;
			w->count++;
		}
	}
	if (*link)
		(*link)->count++;
	else
		r = LINKFS_ENOMEM;
	pthread_mutex_unlock(&w->lock);
	return r;
}

void lk_fuse_writer_closes(struct linkfs_mount *mount, uint64_t node, uint32_t flags)
{
	struct lk_fuse_writers *w = mount->writers;
	if (!w || !may_map(flags))
		return;
	pthread_mutex_lock(&w->lock);
	struct writer **link = find(w, node), *at = *link;
	if (at && --at->count == 0) {
		*link = at->next;
		w->count--;
		free(at);
	}
	pthread_mutex_unlock(&w->lock);
}

int linkfs_mount_hand_over(struct linkfs_mount *mount)
{
	struct lk_fuse_writers *w = mount->writers;
	size_t count = 0;
	if (!w || atomic_load(&mount->gone))
		return 0;
	pthread_mutex_lock(&w->lock);
	uint64_t *nodes = calloc(w->count + 1, sizeof(*nodes));
	for (size_t i = 0; nodes && i < CHAINS; i++)
		for (const struct writer *at = w->chains[i]; at; at = at->next)
			nodes[count++] = at->node;
	pthread_mutex_unlock(&w->lock);
	if (!nodes)
		return LINKFS_ENOMEM;
	/* Without the lock: the kernel writes the pages to us while we wait. */
	for (size_t i = 0; i < count; i++)
		lk_fuse_drop_pages(mount, nodes[i]);
	free(nodes);
	return 0;
}
