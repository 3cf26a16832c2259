/*
 * inode_cache.c - a set-associative table of clean inode records, and a table of dirty ones.
 * Layer: core. A directory that gets a thousand entries is written once, not a thousand times; a file that comes and goes
 * between two commits, never.
 */
#include "inode_cache.h"

#include "txn_impl.h"

#include <stdlib.h>
#include <string.h>

#define WAYS 4u
#define SETS 4096u /* 16,384 records, 1.9 MiB of memory once all are used */
#define PAGE 4096u

/* One cache line tells what a set holds. The records themselves lie in the order in which they first came, so that a few of
 * them, whatever their numbers, touch few pages: a page touched for the first time costs as much as reading a record. */
struct set {
	int64_t ino[WAYS]; /* 0: empty */
	uint32_t used[WAYS];
	uint32_t at[WAYS]; /* position in records + 1; 0: none yet */
};

struct dirty {
	struct lk_inode inode;
	bool row; /* the database has a row of it */
};

/* What an op changed: the dirty record before, or that there was none. In the op's arena, newest first. */
struct lk_inode_log {
	struct lk_inode_log *next;
	uint64_t ino;
	bool was_dirty;
	struct dirty before;
};

struct lk_inode_cache {
	uint32_t stamp;
	uint32_t dirty_count, dirty_rows;            /* dirty_rows: of those, with a row */
	uint32_t slot[4 * LK_INODES_DIRTY_MAX];      /* by hash: position in dirty + 1, 0 is empty; linear probing */
	struct dirty dirty[2 * LK_INODES_DIRTY_MAX]; /* dense, in no order */
	uint32_t records_used;
	struct set set[SETS];
	struct lk_inode records[SETS * WAYS]; /* clean */
};

#define SLOT_MASK (4 * LK_INODES_DIRTY_MAX - 1)

int lk_inode_cache_new(bool ready, struct lk_inode_cache **out)
{
	struct lk_inode_cache *cache = calloc(1, sizeof(*cache));
	if (!cache)
		return LINKFS_ENOMEM;
	for (volatile unsigned char *p = (void *)cache->set; ready && p < (unsigned char *)(cache->set + SETS);
	     p += PAGE)
		*p = 0;
	*out = cache;
	return 0;
}

void lk_inode_cache_free(struct lk_inode_cache *cache)
{
	free(cache);
}

static uint32_t hash(uint64_t ino)
{
	return (uint32_t)((ino * UINT64_C(0x9e3779b97f4a7c15)) >> 40);
}

/* ---- dirty records ---------------------------------------------------------------------------------------------- */

/* The slot of ino, or the empty one where it would be. */
static uint32_t slot_of(const struct lk_inode_cache *c, uint64_t ino)
{
	uint32_t s = hash(ino) & SLOT_MASK;
	while (c->slot[s] && (uint64_t)c->dirty[c->slot[s] - 1].inode.ino != ino)
		s = (s + 1) & SLOT_MASK;
	return s;
}

static struct dirty *find_dirty(struct lk_inode_cache *c, uint64_t ino)
{
	uint32_t at = c->dirty_count ? c->slot[slot_of(c, ino)] : 0;
	return at ? &c->dirty[at - 1] : NULL;
}

static int set_dirty(struct lk_inode_cache *c, const struct dirty *d)
{
	uint32_t s = slot_of(c, (uint64_t)d->inode.ino);
	if (!c->slot[s]) {
		/* An op begins with at most LK_INODES_DIRTY_MAX; one that changes as many more is none of ours. */
		if (c->dirty_count == LK_ARRAY_LEN(c->dirty))
			return LINKFS_ENOMEM;
		c->slot[s] = ++c->dirty_count;
	} else {
		c->dirty_rows -= c->dirty[c->slot[s] - 1].row;
	}
	c->dirty[c->slot[s] - 1] = *d;
	c->dirty_rows += d->row;
	return 0;
}

static void drop_dirty(struct lk_inode_cache *c, uint64_t ino)
{
	uint32_t hole = slot_of(c, ino), at = c->slot[hole];
	if (!at)
		return;
	c->dirty_rows -= c->dirty[at - 1].row;
	/* The last one takes its place, and its slot must say so, before slots move. */
	if (at != c->dirty_count) {
		c->slot[slot_of(c, (uint64_t)c->dirty[c->dirty_count - 1].inode.ino)] = at;
		c->dirty[at - 1] = c->dirty[c->dirty_count - 1];
	}
	c->dirty_count--;
	c->slot[hole] = 0;
	for (uint32_t s = (hole + 1) & SLOT_MASK; c->slot[s]; s = (s + 1) & SLOT_MASK) {
		uint32_t home = hash((uint64_t)c->dirty[c->slot[s] - 1].inode.ino) & SLOT_MASK;
		if (((s - home) & SLOT_MASK) >= ((s - hole) & SLOT_MASK)) {
			c->slot[hole] = c->slot[s];
			c->slot[s] = 0;
			hole = s;
		}
	}
}

/* Notes the state before a change. */
static int log_change(struct lk_op *op, uint64_t ino, const struct dirty *now)
{
	struct lk_inode_log *log = lk_op_alloc(op, sizeof(*log));
	if (!log)
		return LINKFS_ENOMEM;
	log->next = op->inode_log;
	log->ino = ino;
	log->was_dirty = now;
	if (now)
		log->before = *now;
	op->inode_log = log;
	return 0;
}

int lk_inode_cache_change(struct lk_op *op, const struct lk_inode *inode, bool fresh)
{
	struct lk_inode_cache *c = op->fs->inodes;
	const struct dirty *now = find_dirty(c, (uint64_t)inode->ino);
	struct dirty d = {.inode = *inode, .row = now ? now->row : !fresh};
	int r = log_change(op, (uint64_t)inode->ino, now);
	return r ? r : set_dirty(c, &d);
}

/* ---- clean records ---------------------------------------------------------------------------------------------- */

/* Numbers are given out one after the other, and so fill the sets evenly. */
static struct set *set_of(struct lk_inode_cache *c, uint64_t ino)
{
	return &c->set[ino % SETS];
}

/* Its way in a set; WAYS: none. */
static uint32_t way_of(const struct set *set, uint64_t ino)
{
	uint32_t w = 0;
	while (w < WAYS && (uint64_t)set->ino[w] != ino)
		w++;
	return w;
}

static struct lk_inode *find_clean(struct lk_inode_cache *c, uint64_t ino)
{
	struct set *set = set_of(c, ino);
	uint32_t w = way_of(set, ino);
	if (w == WAYS)
		return NULL;
	set->used[w] = ++c->stamp;
	return &c->records[set->at[w] - 1];
}

/* An empty way, or the one whose last use is longest ago. */
static uint32_t victim_of(const struct lk_inode_cache *c, const struct set *set)
{
	uint32_t victim = 0, oldest = 0;
	for (uint32_t w = 0; w < WAYS; w++) {
		uint32_t age = set->ino[w] ? c->stamp - set->used[w] : UINT32_MAX;
		if (age > oldest) {
			oldest = age;
			victim = w;
		}
	}
	return victim;
}

void lk_inode_cache_set(struct lk_fs *fs, const struct lk_inode *inode)
{
	struct lk_inode_cache *c = fs->inodes;
	struct set *set = set_of(c, (uint64_t)inode->ino);
	uint32_t w = way_of(set, (uint64_t)inode->ino);
	if (w == WAYS)
		w = victim_of(c, set);
	if (!set->at[w])
		set->at[w] = ++c->records_used;
	set->ino[w] = inode->ino;
	set->used[w] = ++c->stamp;
	c->records[set->at[w] - 1] = *inode;
}

const struct lk_inode *lk_inode_cache_find(struct lk_fs *fs, uint64_t ino)
{
	const struct dirty *d = find_dirty(fs->inodes, ino);
	return d ? &d->inode : find_clean(fs->inodes, ino);
}

int lk_inode_cache_remove(struct lk_op *op, uint64_t ino, bool *row_out)
{
	struct lk_inode_cache *c = op->fs->inodes;
	const struct dirty *now = find_dirty(c, ino);
	bool row = now ? now->row : true;
	if (now) {
		int r = log_change(op, ino, now);
		if (r)
			return r;
		drop_dirty(c, ino);
	}
	struct set *set = set_of(c, ino);
	uint32_t w = way_of(set, ino);
	if (w < WAYS)
		set->ino[w] = 0;
	*row_out = row;
	return 0;
}

void lk_inode_cache_undo(struct lk_op *op)
{
	struct lk_inode_cache *c = op->fs->inodes;
	for (const struct lk_inode_log *log = op->inode_log; log; log = log->next) {
		/* There is room: the op began with these. */
		if (log->was_dirty)
			(void)set_dirty(c, &log->before);
		else
			drop_dirty(c, log->ino);
	}
	op->inode_log = NULL;
}

void lk_inode_cache_clear(struct lk_fs *fs)
{
	struct lk_inode_cache *c = fs->inodes;
	if (!c)
		return;
	memset(c->slot, 0, sizeof(c->slot));
	memset(c->set, 0, sizeof(c->set));
	c->records_used = 0;
	c->dirty_count = c->dirty_rows = 0;
}

/* ---- flush ------------------------------------------------------------------------------------------------------ */

static int by_ino(const void *a, const void *b)
{
	const struct dirty *x = a, *y = b;
	return x->inode.ino < y->inode.ino ? -1 : x->inode.ino > y->inode.ino;
}

int lk_inode_cache_flush(struct lk_fs *fs)
{
	struct lk_inode_cache *c = fs->inodes;
	if (!c->dirty_count)
		return 0;
	struct lk_op op;
	lk_op_internal(fs, &op);
	/* In the order of the B-tree. The slots are wrong until they are emptied or made anew. */
	qsort(c->dirty, c->dirty_count, sizeof(c->dirty[0]), by_ino);
	memset(c->slot, 0, sizeof(c->slot));
	int r = 0;
	for (uint32_t i = 0; r == 0 && i < c->dirty_count; i++)
		r = lk_row_put(&op, &lk_tables[LK_T_INODE], &c->dirty[i].inode);
	lk_op_internal_done(&op);
	if (r) {
		for (uint32_t i = 0; i < c->dirty_count; i++)
			c->slot[slot_of(c, (uint64_t)c->dirty[i].inode.ino)] = i + 1;
		return r;
	}
	for (uint32_t i = 0; i < c->dirty_count; i++)
		lk_inode_cache_set(fs, &c->dirty[i].inode);
	c->dirty_count = c->dirty_rows = 0;
	return 0;
}

uint32_t lk_inode_cache_dirty(const struct lk_fs *fs)
{
	return fs->inodes->dirty_count;
}

int lk_inode_cache_each_dirty(const struct lk_fs *fs, int (*fn)(void *arg, const struct lk_inode *inode), void *arg)
{
	const struct lk_inode_cache *c = fs->inodes;
	int r = 0;
	for (uint32_t i = 0; r == 0 && i < c->dirty_count; i++)
		r = fn(arg, &c->dirty[i].inode);
	return r;
}

uint32_t lk_inode_cache_pages(const struct lk_fs *fs)
{
	const struct lk_inode_cache *c = fs->inodes;
	/* New rows have neighbouring numbers and lie at least 16 to a page; others each in a page of its own at worst. */
	return c->dirty_rows + (c->dirty_count - c->dirty_rows) / 16 + 8;
}
