/*
 * ahead.c - a long directory is read ahead: while the caller takes in one part of the listing, the next is made.
 *
 * A part belongs to a slot by its directory, holds for the very request that is expected next, once, and only while no
 * name in the volume has changed since before it was read (linkfs_volume_name_changes()). Who asks while it is being
 * made waits for it. Plain READDIR only: READDIRPLUS gives the kernel holds, which must not be taken for a guess.
 * Layer: fuse.
 */
#include "session.h"

#include <stdlib.h>
#include <string.h>

#define SLOTS 4u
#define SIZE_MAX_AHEAD 65536u /* getdents of the C library asks for 32 KiB */

struct slot {
	pthread_mutex_t lock;
	uint64_t ino, cookie; /* ino 0: empty */
	uint64_t changes;
	uint64_t next_cookie;
	size_t size, len;
	uint8_t *records; /* SIZE_MAX_AHEAD bytes, once needed */
};

struct lk_fuse_ahead {
	struct slot slots[SLOTS];
};

struct lk_fuse_ahead *lk_fuse_ahead_new(void)
{
	struct lk_fuse_ahead *ahead = calloc(1, sizeof(*ahead));
	for (size_t i = 0; ahead && i < SLOTS; i++)
		pthread_mutex_init(&ahead->slots[i].lock, NULL);
	return ahead;
}

void lk_fuse_ahead_free(struct lk_fuse_ahead *ahead)
{
	for (size_t i = 0; ahead && i < SLOTS; i++) {
		pthread_mutex_destroy(&ahead->slots[i].lock);
		free(ahead->slots[i].records);
	}
	free(ahead);
}

static struct slot *slot_of(const struct lk_fuse_request *rq)
{
	struct lk_fuse_ahead *ahead = rq->mount->ahead;
	return ahead ? &ahead->slots[rq->ino % SLOTS] : NULL;
}

void lk_fuse_ahead_make(struct lk_fuse_request *rq)
{
	const struct fuse_read_in *arg = rq->arg;
	struct slot *slot = slot_of(rq);
	if (!slot || arg->size > SIZE_MAX_AHEAD || lk_fuse_is_snapshots(rq->ino) || pthread_mutex_trylock(&slot->lock))
		return;
	slot->ino = 0;
	if (!slot->records)
		slot->records = malloc(SIZE_MAX_AHEAD);
	slot->changes = linkfs_volume_name_changes(rq->mount->volume);
	if (slot->records &&
	    lk_fuse_list(rq, false, rq->next_cookie, slot->records, arg->size, &slot->len, &slot->next_cookie) == 0) {
		slot->ino = rq->ino;
		slot->cookie = rq->next_cookie;
		slot->size = arg->size;
	}
	pthread_mutex_unlock(&slot->lock);
}

bool lk_fuse_ahead_take(struct lk_fuse_request *rq, uint64_t cookie, size_t size)
{
	struct slot *slot = slot_of(rq);
	if (!slot || !cookie)
		return false;
	pthread_mutex_lock(&slot->lock);
	bool taken = slot->ino == rq->ino && slot->cookie == cookie && slot->size == size && slot->len <= rq->out_cap &&
		     slot->changes == linkfs_volume_name_changes(rq->mount->volume);
	if (taken) {
		memcpy(rq->out, slot->records, slot->len);
		rq->out_len = slot->len;
		rq->next_cookie = slot->next_cookie;
		slot->ino = 0;
	}
	pthread_mutex_unlock(&slot->lock);
	return taken;
}
