/*
 * backup_known.c - what the volume remembers of the sources' files, in memory: found by the source's number, and by the volume's. See backup.h.
 *
 * A file system of the host is known by a number made from what was met of it first: the volume's directory, and the source's. Devices have
 * other numbers after each boot; the directory that is met, and its inode number, stay.
 */
#include "backup.h"

#include <stdlib.h>
#include <string.h>

#define CHUNK 1024u

struct backup_chunk {
	struct backup_chunk *next;
	size_t used;
	struct backup_known items[CHUNK];
};

/* Numbers that follow each other, as those in a directory mostly do, are neighbours. */
static size_t bucket_of(const struct backup_table *t, uint64_t number)
{
	return (size_t)number & (t->buckets - 1);
}

static int resize(struct backup_table *t, size_t buckets)
{
	struct backup_known **by_inode = calloc(buckets, sizeof(*by_inode)),
			    **by_ino = calloc(buckets, sizeof(*by_ino));
	if (!by_inode || !by_ino) {
		free(by_inode);
		free(by_ino);
		return LINKFS_ENOMEM;
	}
	free(t->by_inode);
	free(t->by_ino);
	t->by_inode = by_inode;
	t->by_ino = by_ino;
	t->buckets = buckets;
	for (struct backup_chunk *c = t->chunks; c; c = c->next) {
		for (size_t i = 0; i < c->used; i++) {
			struct backup_known *k = &c->items[i], **head = &by_inode[bucket_of(t, k->inode)];
			k->by_inode = *head;
			*head = k;
			head = &by_ino[bucket_of(t, k->ino)];
			k->by_ino = *head;
			*head = k;
		}
	}
	return 0;
}

int backup_table_init(struct backup_table *t)
{
	pthread_mutex_init(&t->lock, NULL);
	return resize(t, 4096);
}

void backup_table_done(struct backup_table *t)
{
	while (t->chunks) {
		struct backup_chunk *c = t->chunks;
		t->chunks = c->next;
		free(c);
	}
	free(t->by_inode);
	free(t->by_ino);
	free(t->devs);
	free(t->aliases);
	free(t->gone);
	pthread_mutex_destroy(&t->lock);
}

static uint64_t canonical(const struct backup_table *t, uint64_t fs)
{
	for (size_t i = 0; i < t->naliases; i++) {
		if (t->aliases[i].id == fs)
			fs = t->aliases[i].to; /* made so that no alias leads to another one */
	}
	return fs;
}

struct backup_known *backup_known_find(struct backup_table *t, uint64_t fs, uint64_t inode)
{
	struct backup_known *k = t->by_inode[bucket_of(t, inode)];
	while (k && (k->inode != inode || k->state == BACKUP_VOID || canonical(t, k->fs) != fs))
		k = k->by_inode;
	return k;
}

struct backup_known *backup_known_at(struct backup_table *t, uint64_t ino)
{
	struct backup_known *k = t->by_ino[bucket_of(t, ino)];
	while (k && (k->ino != ino || k->state == BACKUP_VOID))
		k = k->by_ino;
	return k;
}

struct backup_known *backup_known_add(struct backup_table *t, uint64_t fs, uint64_t inode)
{
	if (t->count >= t->buckets && resize(t, t->buckets * 4) != 0)
		return NULL;
	if (!t->chunks || t->chunks->used == CHUNK) {
		struct backup_chunk *c = cli_alloc(sizeof(*c));
		if (!c)
			return NULL;
		c->next = t->chunks;
		t->chunks = c;
	}
	struct backup_known *k = &t->chunks->items[t->chunks->used++];
	*k = (struct backup_known){.inode = inode, .fs = fs};
	struct backup_known **head = &t->by_inode[bucket_of(t, inode)];
	k->by_inode = *head;
	*head = k;
	head = &t->by_ino[bucket_of(t, 0)];
	k->by_ino = *head;
	*head = k;
	t->count++;
	return k;
}

void backup_known_set_ino(struct backup_table *t, struct backup_known *k, uint64_t ino)
{
	struct backup_known **at = &t->by_ino[bucket_of(t, k->ino)];
	while (*at != k)
		at = &(*at)->by_ino;
	*at = k->by_ino;
	k->ino = ino;
	at = &t->by_ino[bucket_of(t, ino)];
	k->by_ino = *at;
	*at = k;
}

int backup_known_each(struct backup_table *t, int (*fn)(void *arg, const struct backup_known *k), void *arg)
{
	int error = 0;
	for (struct backup_chunk *c = t->chunks; c && !error; c = c->next) {
		for (size_t i = 0; i < c->used && !error; i++)
			error = c->items[i].state == BACKUP_VOID ? 0 : fn(arg, &c->items[i]);
	}
	return error;
}

static int take_row(struct backup_table *t, const struct linkfs_copied *row)
{
	if (row->flags & LINKFS_COPIED_GONE) {
		if (cli_grow(&t->gone, &t->gone_cap, t->ngone, sizeof(*t->gone)) != 0)
			return LINKFS_ENOMEM;
		t->gone[t->ngone++] = row->ino;
		return 0;
	}
	struct backup_known *k = backup_known_add(t, row->fs, row->inode);
	if (!k)
		return LINKFS_ENOMEM;
	k->size = row->size;
	k->mtime_ns = row->mtime_ns;
	k->ctime_ns = row->ctime_ns;
	k->mode = row->mode;
	k->nlink = row->nlink;
	k->source = row->source;
	k->own_ctime_ns = row->own_ctime_ns;
	k->doubt = row->flags & LINKFS_COPIED_DOUBT;
	k->changed = row->flags & LINKFS_COPIED_CHANGED;
	backup_known_set_ino(t, k, row->ino);
	return 0;
}

#define ROWS 4096u

int backup_table_load(struct backup_table *t, struct linkfs_volume *volume)
{
	struct linkfs_copied *rows = malloc(ROWS * sizeof(*rows));
	uint64_t after = 0;
	size_t count = 1;
	int error = rows ? 0 : LINKFS_ENOMEM;
	while (!error && count) {
		error = linkfs_copied_list(volume, &after, rows, ROWS, &count);
		for (size_t i = 0; i < count && !error; i++)
			error = take_row(t, &rows[i]);
	}
	free(rows);
	return error;
}

static int add_alias(struct backup_table *t, uint64_t id, uint64_t to)
{
	to = canonical(t, to);
	id = canonical(t, id);
	if (id == to)
		return 0;
	if (cli_grow(&t->aliases, &t->aliases_cap, t->naliases, sizeof(*t->aliases)) != 0)
		return LINKFS_ENOMEM;
	for (size_t i = 0; i < t->naliases; i++) {
		if (t->aliases[i].to == id)
			t->aliases[i].to = to;
	}
	t->aliases[t->naliases++] = (struct backup_alias){id, to};
	return 0;
}

static bool is_taken(const struct backup_table *t, uint64_t id)
{
	for (size_t i = 0; i < t->ndevs; i++) {
		if (t->devs[i].id == id)
			return true;
	}
	return false;
}

/* The same for the same two, so that a run that was cut off is gone on with. None that is an inode number of a volume. */
static uint64_t new_id(const struct backup_table *t, uint64_t inode, uint64_t ino)
{
	const uint64_t top = UINT64_C(1) << 47;
	uint64_t id;
	do {
		inode = (inode + ino) * UINT64_C(0x9e3779b97f4a7c15) + 1;
		id = canonical(t, top | inode >> 17);
	} while (is_taken(t, id));
	return id;
}

int backup_known_fs(struct backup_table *t, uint64_t dev, uint64_t inode, uint64_t ino, uint64_t *fs_out)
{
	int error = 0;
	pthread_mutex_lock(&t->lock);
	const struct backup_known *row = ino ? backup_known_at(t, ino) : NULL;
	uint64_t told = row && row->inode == inode && row->state == BACKUP_OLD ? canonical(t, row->fs) : 0;
	size_t i = 0;
	while (i < t->ndevs && t->devs[i].dev != dev)
		i++;
	/* Of two file systems that are there at one time only one can be that one. */
	if (is_taken(t, told))
		told = 0;
	if (i < t->ndevs) {
		*fs_out = t->devs[i].id;
		if (told)
			error = add_alias(t, told, *fs_out);
	} else if (cli_grow(&t->devs, &t->devs_cap, t->ndevs, sizeof(*t->devs)) != 0) {
		error = LINKFS_ENOMEM;
	} else {
		*fs_out = told ? told : new_id(t, inode, ino);
		t->devs[t->ndevs++] = (struct backup_fs){dev, *fs_out};
	}
	pthread_mutex_unlock(&t->lock);
	return error;
}
