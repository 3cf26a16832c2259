/*
 * node.c - the table of nodes in memory: 16 bytes for each held inode, and a lock only while somebody has it or waits.
 * Layer: core. Split into shards, each with its mutex and its open-addressed table, so that growing one among
 * millions stalls nobody for long. The few locks in use are a list beside the table.
 */
#include "node.h"

#include <stdlib.h>
#include <string.h>

#define SHARDS 64u
#define FIRST_CAP 16u
#define SPARE_LOCKS 8u
#define ORPHAN_MARK (UINT64_C(1) << 63)

struct node_lock {
	pthread_cond_t free;
	uint64_t ino;
	bool held;
	bool tell;      /* content changed: the observer is told once it is unlocked */
	uint32_t users; /* the one who has it and those who wait */
	struct node_lock *next;
};

struct entry {
	uint64_t ino;   /* 0: empty */
	uint64_t holds; /* at least 1, with ORPHAN_MARK */
};

struct shard {
	pthread_mutex_t mutex;
	struct entry *entries;
	uint32_t cap, count; /* cap is a power of two, or 0 */
	struct node_lock *locks, *spares;
	uint32_t spare_count;
};

struct lk_node_table {
	struct shard shards[SHARDS];
};

static uint64_t mix(uint64_t ino)
{
	ino ^= ino >> 32;
	ino *= UINT64_C(0x9e3779b97f4a7c15);
	return ino ^ (ino >> 29);
}

static struct shard *shard_of(struct lk_fs *fs, uint64_t ino)
{
	return &fs->nodes->shards[mix(ino) % SHARDS];
}

static uint32_t home(const struct shard *s, uint64_t ino)
{
	return (uint32_t)(mix(ino) >> 8) & (s->cap - 1);
}

static struct entry *find(struct shard *s, uint64_t ino)
{
	if (!s->cap)
		return NULL;
	for (uint32_t i = home(s, ino);; i = (i + 1) & (s->cap - 1)) {
		if (s->entries[i].ino == ino)
			return &s->entries[i];
		if (!s->entries[i].ino)
			return NULL;
	}
}

static int resize(struct shard *s, uint32_t cap)
{
	struct entry *old = s->entries, *fresh = calloc(cap, sizeof(*fresh));
	if (!fresh)
		return LINKFS_ENOMEM;
	uint32_t old_cap = s->cap;
	s->entries = fresh;
	s->cap = cap;
	for (uint32_t n = 0; n < old_cap; n++) {
		if (!old[n].ino)
			continue;
		uint32_t i = home(s, old[n].ino);
		while (fresh[i].ino)
			i = (i + 1) & (cap - 1);
		fresh[i] = old[n];
	}
	free(old);
	return 0;
}

static int find_or_add(struct shard *s, uint64_t ino, struct entry **out)
{
	struct entry *e = find(s, ino);
	if (!e) {
		/* At most 13/16 full. */
		if ((uint64_t)(s->count + 1) * 16 > (uint64_t)s->cap * 13) {
			int r = s->cap >= UINT32_C(1) << 30 ? LINKFS_ENOMEM
							    : resize(s, s->cap ? s->cap * 2 : FIRST_CAP);
			if (r)
				return r;
		}
		uint32_t i = home(s, ino);
		while (s->entries[i].ino)
			i = (i + 1) & (s->cap - 1);
		e = &s->entries[i];
		*e = (struct entry){.ino = ino};
		s->count++;
	}
	*out = e;
	return 0;
}

/* Those after it in its run move up. */
static void remove_entry(struct shard *s, struct entry *e)
{
	uint32_t mask = s->cap - 1, hole = (uint32_t)(e - s->entries);
	for (uint32_t i = (hole + 1) & mask; s->entries[i].ino; i = (i + 1) & mask) {
		uint32_t from_home = (i - home(s, s->entries[i].ino)) & mask;
		if (from_home >= ((i - hole) & mask)) {
			s->entries[hole] = s->entries[i];
			hole = i;
		}
	}
	s->entries[hole] = (struct entry){0};
	s->count--;
	/* Shrinking is a favour: without memory for it the table stays as it is. */
	if (s->cap > FIRST_CAP && s->count < s->cap / 8)
		(void)resize(s, s->cap / 2);
}

int lk_node_table_new(struct lk_node_table **out)
{
	struct lk_node_table *table = calloc(1, sizeof(*table));
	if (!table)
		return LINKFS_ENOMEM;
	for (uint32_t i = 0; i < SHARDS; i++)
		(void)pthread_mutex_init(&table->shards[i].mutex, NULL);
	*out = table;
	return 0;
}

void lk_node_table_free(struct lk_node_table *table)
{
	if (!table)
		return;
	for (uint32_t i = 0; i < SHARDS; i++) {
		struct shard *s = &table->shards[i];
		for (struct node_lock *l = s->spares, *next; l; l = next) {
			next = l->next;
			(void)pthread_cond_destroy(&l->free);
			free(l);
		}
		free(s->entries);
		(void)pthread_mutex_destroy(&s->mutex);
	}
	free(table);
}

int lk_node_hold(struct lk_fs *fs, uint64_t ino, uint64_t count)
{
	struct shard *s = shard_of(fs, ino);
	struct entry *e;
	if (!count)
		return 0;
	(void)pthread_mutex_lock(&s->mutex);
	int r = find_or_add(s, ino, &e);
	if (r == 0)
		e->holds += count;
	(void)pthread_mutex_unlock(&s->mutex);
	return r;
}

bool lk_node_unhold(struct lk_fs *fs, uint64_t ino, uint64_t count)
{
	struct shard *s = shard_of(fs, ino);
	bool last = false;
	(void)pthread_mutex_lock(&s->mutex);
	struct entry *e = find(s, ino);
	uint64_t holds = e ? e->holds & ~ORPHAN_MARK : 0;
	if (holds && count) {
		/* More than there are (a confused caller) gives up all. */
		holds -= LK_MIN(holds, count);
		last = !holds && (e->holds & ORPHAN_MARK);
		if (holds)
			e->holds = holds | (e->holds & ORPHAN_MARK);
		else
			remove_entry(s, e);
	}
	(void)pthread_mutex_unlock(&s->mutex);
	return last;
}

bool lk_node_held(struct lk_fs *fs, uint64_t ino)
{
	struct shard *s = shard_of(fs, ino);
	(void)pthread_mutex_lock(&s->mutex);
	struct entry *e = find(s, ino);
	(void)pthread_mutex_unlock(&s->mutex);
	return e;
}

uint64_t lk_node_holds(struct lk_fs *fs, uint64_t ino)
{
	struct shard *s = shard_of(fs, ino);
	(void)pthread_mutex_lock(&s->mutex);
	struct entry *e = find(s, ino);
	uint64_t holds = e ? e->holds & ~ORPHAN_MARK : 0;
	(void)pthread_mutex_unlock(&s->mutex);
	return holds;
}

bool lk_node_mark_orphan(struct lk_fs *fs, uint64_t ino)
{
	struct shard *s = shard_of(fs, ino);
	(void)pthread_mutex_lock(&s->mutex);
	struct entry *e = find(s, ino);
	if (e)
		e->holds |= ORPHAN_MARK;
	(void)pthread_mutex_unlock(&s->mutex);
	return e;
}

static struct node_lock *lock_new(struct shard *s, uint64_t ino)
{
	struct node_lock *l = s->spares;
	if (l) {
		s->spares = l->next;
		s->spare_count--;
	} else {
		l = malloc(sizeof(*l));
		if (l && pthread_cond_init(&l->free, NULL)) {
			free(l);
			l = NULL;
		}
		if (!l)
			return NULL;
	}
	l->ino = ino;
	l->held = false;
	l->tell = false;
	l->users = 0;
	l->next = s->locks;
	s->locks = l;
	return l;
}

static void lock_free(struct shard *s, struct node_lock **link)
{
	struct node_lock *l = *link;
	*link = l->next;
	if (s->spare_count < SPARE_LOCKS) {
		l->next = s->spares;
		s->spares = l;
		s->spare_count++;
		return;
	}
	(void)pthread_cond_destroy(&l->free);
	free(l);
}

/* Where the lock of ino hangs, or would. */
static struct node_lock **lock_of(struct shard *s, uint64_t ino)
{
	struct node_lock **link = &s->locks;
	while (*link && (*link)->ino != ino)
		link = &(*link)->next;
	return link;
}

int lk_node_lock(struct lk_fs *fs, uint64_t ino)
{
	struct shard *s = shard_of(fs, ino);
	(void)pthread_mutex_lock(&s->mutex);
	struct node_lock *l = *lock_of(s, ino);
	if (!l)
		l = lock_new(s, ino);
	if (l) {
		l->users++;
		while (l->held)
			(void)pthread_cond_wait(&l->free, &s->mutex);
		l->held = true;
	}
	(void)pthread_mutex_unlock(&s->mutex);
	return l ? 0 : LINKFS_ENOMEM;
}

bool lk_node_tell_later(struct lk_fs *fs, uint64_t ino)
{
	struct shard *s = shard_of(fs, ino);
	(void)pthread_mutex_lock(&s->mutex);
	struct node_lock *l = *lock_of(s, ino);
	bool held = l && l->held;
	if (held)
		l->tell = true;
	(void)pthread_mutex_unlock(&s->mutex);
	return held;
}

/* Returns whether the observer must be told. */
static bool unlock(struct lk_fs *fs, uint64_t ino)
{
	struct shard *s = shard_of(fs, ino);
	bool told = false;
	(void)pthread_mutex_lock(&s->mutex);
	struct node_lock **link = lock_of(s, ino), *l = *link;
	if (l) {
		told = l->tell;
		l->held = l->tell = false;
		if (--l->users)
			(void)pthread_cond_signal(&l->free);
		else
			lock_free(s, link);
	}
	(void)pthread_mutex_unlock(&s->mutex);
	return told;
}

static void tell(struct lk_fs *fs, uint64_t ino)
{
	struct linkfs_event event = {.kind = LINKFS_EVENT_DATA, .ino = ino};
	if (fs->observer)
		fs->observer(fs->observer_arg, &event, 1);
}

void lk_node_unlock(struct lk_fs *fs, uint64_t ino)
{
	if (unlock(fs, ino))
		tell(fs, ino);
}

int lk_node_lock2(struct lk_fs *fs, uint64_t a, uint64_t b)
{
	uint64_t low = LK_MIN(a, b), high = LK_MAX(a, b);
	int r = lk_node_lock(fs, low);
	if (r || low == high)
		return r;
	r = lk_node_lock(fs, high);
	if (r)
		lk_node_unlock(fs, low);
	return r;
}

void lk_node_unlock2(struct lk_fs *fs, uint64_t a, uint64_t b)
{
	bool tell_a = unlock(fs, a), tell_b = a != b && unlock(fs, b);
	if (tell_a)
		tell(fs, a);
	if (tell_b)
		tell(fs, b);
}

void lk_node_usage(struct lk_fs *fs, uint64_t *nodes_out, uint64_t *bytes_out)
{
	uint64_t nodes = 0, bytes = sizeof(*fs->nodes);
	for (uint32_t i = 0; i < SHARDS; i++) {
		struct shard *s = &fs->nodes->shards[i];
		(void)pthread_mutex_lock(&s->mutex);
		nodes += s->count;
		bytes += (uint64_t)s->cap * sizeof(struct entry);
		(void)pthread_mutex_unlock(&s->mutex);
	}
	*nodes_out = nodes;
	*bytes_out = bytes;
}
