/*
 * txn.c - operations: begin, end, undo, the arena, counters and events (T1, T4).
 * Layer: core. txn_rows.c writes versioned rows, txn_view.c reads them at a snapshot, txn_commit.c makes them durable.
 *
 * Invariants, cited by number in the tests:
 * I1  An op that ended with 0 stands wholly; any other op left nothing: no row, no counter, no block, no inode record (J1-J3 in
 *     inode_cache.h).
 * I2  Ops stand in the order of their ends; what is written, and of that what is durable, is always a prefix of them (F1).
 * I3  Metadata that is durable names only data bytes that are durable: data is synced before COMMIT, under the lock for
 *     what was written since the syncs without it.
 * I4  After a failed sync, COMMIT or undo nothing is written any more (T4); every later sync says so.
 * I5  With no snapshot (N = 0), a write of a row is one write and no read.
 * I6  A row visible in an existing snapshot is never lost: it is live with born <= s, or in history (K2).
 * I7  A counter in memory equals the row plus what the standing ops of the open transaction added.
 * I8  Nothing to commit means no sync, no write and no wake-up.
 */
#include "txn_impl.h"

#include "deleted.h"
#include "inode_cache.h"
#include "name_cache.h"
#include "node.h"
#include "orphan.h"
#include "places.h"

#include <stdlib.h>
#include <string.h>

uint32_t lk_op_flags(const struct linkfs_cred *cred, uint32_t more)
{
	bool kernel = cred && (cred->flags & LINKFS_CRED_KERNEL);
	return LK_OP_WRITE | (kernel ? LK_OP_SILENT : 0) | more;
}

void *lk_op_alloc(struct lk_op *op, size_t len)
{
	len = (len + 15) & ~(size_t)15;
	if (len <= (size_t)(op->arena_end - op->arena)) {
		void *p = op->arena;
		op->arena += len;
		return p;
	}
	if (len > SIZE_MAX / 4)
		return NULL;
	size_t size = LK_MAX(len, (size_t)4 * LK_OP_ARENA);
	struct lk_arena_chunk *chunk = malloc(sizeof(*chunk) + size);
	if (!chunk)
		return NULL;
	chunk->next = op->chunks;
	op->chunks = chunk;
	/* A chunk for one large record leaves the rest of the older chunk in use. */
	if (size - len > (size_t)(op->arena_end - op->arena)) {
		op->arena = chunk->bytes + len;
		op->arena_end = chunk->bytes + size;
	}
	return chunk->bytes;
}

static void arena_done(struct lk_op *op)
{
	for (struct lk_arena_chunk *c = op->chunks, *next; c; c = next) {
		next = c->next;
		free(c);
	}
	op->chunks = NULL;
}

/* T4's proof that one more op can have as many pages; ahead for those that follow when there is plenty. When it fails: everything
 * that stands is made durable and the WAL is emptied, once. */
static int prove_space(struct lk_op *op, uint32_t pages)
{
	struct lk_fs *fs = op->fs;
	struct lk_batch *batch = fs->batch;
	bool frees = op->flags & LK_OP_FREES;
	int r = lk_inode_cache_dirty(fs) < LK_INODES_DIRTY_MAX ? 0 : lk_inode_cache_flush(fs);
	if (r || batch->proved >= pages)
		return r;
	uint32_t flush = lk_inode_cache_pages(fs);
	if (fs->db->ops->reserve(fs->db, pages + LK_PROOF_AHEAD + flush, false) == 0) {
		batch->proved = pages + LK_PROOF_AHEAD;
		return 0;
	}
	/* Before the reserve comes what kept files can give. */
	bool kept = !(op->flags & LK_OP_PURGE) && lk_deleted_any(fs);
	r = fs->db->ops->reserve(fs->db, pages + flush, frees && !kept);
	if (r != LINKFS_ENOSPC)
		return r;
	r = lk_batch_move_log(fs);
	if (r)
		return r;
	op->discard = true;
	r = lk_batch_open(fs);
	if (r)
		return r;
	flush = lk_inode_cache_pages(fs);
	r = fs->db->ops->reserve(fs->db, pages + flush, frees && !kept);
	op->tight = kept && r == LINKFS_ENOSPC;
	return op->tight && frees ? fs->db->ops->reserve(fs->db, pages + flush, true) : r;
}

static void op_init(struct lk_fs *fs, struct lk_op *op, uint32_t flags)
{
	memset(op, 0, offsetof(struct lk_op, first_chunk));
	op->fs = fs;
	op->view = LK_VIEW_LIVE;
	op->flags = flags;
	op->arena = op->first_chunk;
	op->arena_end = op->first_chunk + sizeof(op->first_chunk);
}

void lk_op_internal(struct lk_fs *fs, struct lk_op *op)
{
	op_init(fs, op, LK_OP_WRITE | LK_OP_SILENT);
	op->changed = op->savepoint = true;
}

void lk_op_internal_done(struct lk_op *op)
{
	arena_done(op);
}

/* Takes the lock and opens the batch. */
static int enter(struct lk_fs *fs, uint32_t flags)
{
	bool write = flags & LK_OP_WRITE;
	int r = 0;
	if (write)
		lk_batch_lock(fs);
	else
		(void)pthread_mutex_lock(&fs->lock);
	if (write && ((fs->open_flags & LINKFS_OPEN_READONLY) || atomic_load(&fs->poisoned)))
		r = LINKFS_EROFS;
	else if (fs->batch->torn)
		r = lk_batch_mend(fs);
	else if (!fs->batch->open && !atomic_load(&fs->poisoned))
		r = lk_batch_open(fs);
	if (r)
		(void)pthread_mutex_unlock(&fs->lock);
	return r;
}

/* T4, before anything is done: kept files give their space back to whoever lacks it, and before the reserve is touched. Who only used the
 * reserve has one try: what is left then is for him. */
static int find_space(struct lk_op *op)
{
	struct lk_fs *fs = op->fs;
	uint32_t pages = op->flags & LK_OP_BULK ? LK_OP_BULK_PAGES : LK_OP_PAGES;
	bool made = true;
	for (unsigned step = 0;; step++) {
		op->tight = false;
		op->refused = prove_space(op, pages);
		bool lacks = op->refused == LINKFS_ENOSPC || (op->tight && step == 0);
		if (!lacks || !made || (op->flags & LK_OP_PURGE) || !lk_deleted_any(fs))
			return 0;
		(void)pthread_mutex_unlock(&fs->lock);
		made = lk_deleted_make_room(fs, step);
		int r = enter(fs, op->flags);
		if (r)
			return r;
	}
}

int lk_op_begin(struct lk_fs *fs, struct lk_op *op, uint32_t flags)
{
	op_init(fs, op, flags);
	int r = enter(fs, flags);
	if (r == 0 && (flags & LK_OP_WRITE))
		r = find_space(op);
	if (r)
		return r;
	struct lk_batch *batch = fs->batch;
	op->now_ns = lk_clock_now_ns();
	if (flags & LK_OP_WRITE) {
		memcpy(op->counters, batch->counters, sizeof(op->counters));
		op->newest_snapshot = fs->newest_snapshot;
		op->alloc.entries = batch->spare_log;
		batch->spare_log = (struct lk_buf){0};
	}
	return 0;
}

int lk_op_need(struct lk_op *op, uint32_t pages)
{
	if (op->changed || op->refused)
		return op->refused;
	op->refused = op->fs->db->ops->reserve(op->fs->db, pages, op->flags & LK_OP_FREES);
	return op->refused;
}

bool lk_op_is_alone(const struct lk_op *op)
{
	return op->flags & LK_OP_ALONE && !lk_batch_waits(op->fs->batch);
}

int lk_op_changes(struct lk_op *op)
{
	op->rows++;
	op->pages++;
	if (op->changed)
		return 0;
	if (!(op->flags & LK_OP_WRITE) || op->view != LK_VIEW_LIVE || atomic_load(&op->fs->poisoned))
		return LINKFS_EROFS;
	if (op->refused)
		return op->refused;
	op->changed = true;
	return 0;
}

int lk_op_writes(struct lk_op *op)
{
	int r = lk_op_changes(op);
	op->pages += LK_ROW_PAGES;
	if (r || op->savepoint || op->alone)
		return r;
	if (lk_op_is_alone(op)) {
		op->alone = true;
		return 0;
	}
	r = op->fs->db->ops->savepoint(op->fs->db);
	op->savepoint = r == 0;
	return r;
}

/* I1 for everything outside the rows. */
static void forget(struct lk_op *op)
{
	struct lk_fs *fs = op->fs;
	struct lk_batch *batch = fs->batch;
	/* NEXT_INO too: nobody has seen the numbers of an op that failed. */
	memcpy(batch->counters, op->counters, sizeof(batch->counters));
	fs->epoch = batch->counters[LK_COUNTER_EPOCH];
	fs->newest_snapshot = op->newest_snapshot;
	lk_inode_cache_undo(op);
	if (op->changed)
		lk_name_cache_clear(fs);
	if (fs->alloc)
		lk_alloc_undo(fs->alloc, &op->alloc);
}

/* Whether an error is one after which the engine may have rolled back the whole batch by itself. */
static bool may_lose(int error)
{
	return error == LINKFS_EIO || error == LINKFS_ENOMEM || error == LINKFS_ENOSPC || error == LINKFS_ECORRUPT;
}

/* Takes back what the op did. */
static void take_back(struct lk_op *op)
{
	struct lk_fs *fs = op->fs;
	int r = op->savepoint ? fs->db->ops->undo(fs->db) : 0;
	if (r == 0 && op->first && !op->alone) {
		_Alignas(8) char row[LK_RECORD_MAX] = {0};
		memcpy(row, op->first_key, sizeof(op->first_key));
		r = lk_db_erase(fs->db, &lk_tables[op->first_table], row);
	}
	forget(op);
	if (op->alone)
		lk_batch_drop(fs);
	else if (r)
		lk_batch_lost(fs, r);
}

static int finish_write(struct lk_op *op, int result, bool *commit_out)
{
	struct lk_fs *fs = op->fs;
	if (result == 0 && atomic_load(&fs->poisoned))
		result = LINKFS_EROFS;
	if (result == 0 && op->savepoint)
		result = fs->db->ops->release(fs->db);
	if (result) {
		take_back(op);
		return result;
	}
	if (fs->alloc)
		lk_alloc_keep(fs->alloc, &op->alloc);
	lk_counters_tell(fs);
	if (op->changed)
		*commit_out = lk_batch_stands(fs, op);
	return 0;
}

/* Never with a node's lock held: who is told may wait for who waits for it. Changes of content are made under one, by its holder,
 * and told when it is unlocked; what else became of that inode in the same op (a capability that went) is told with it. */
static void tell(struct lk_op *op)
{
	struct lk_fs *fs = op->fs;
	uint64_t later = 0;
	uint32_t n = 0;
	for (uint32_t i = 0; i < op->event_count; i++) {
		const struct linkfs_event *e = &op->events[i];
		if (e->kind == LINKFS_EVENT_DATA && (e->ino == later || lk_node_tell_later(fs, e->ino)))
			later = e->ino;
	}
	for (uint32_t i = 0; i < op->event_count; i++) {
		if (!later || op->events[i].kind == LINKFS_EVENT_ENTRY || op->events[i].ino != later)
			op->events[n++] = op->events[i];
	}
	if (n && fs->observer)
		fs->observer(fs->observer_arg, op->events, n);
}

int lk_op_end(struct lk_op *op, int result)
{
	struct lk_fs *fs = op->fs;
	struct lk_batch *batch = fs->batch;
	bool commit = false;
	if (result == 0 && op->event_count && lk_places_used(fs))
		result = lk_places_events(op);
	if (op->flags & LK_OP_WRITE) {
		result = finish_write(op, result, &commit);
		op->alloc.entries.len = 0;
		if (batch->spare_log.p)
			lk_buf_done(&op->alloc.entries);
		else
			batch->spare_log = op->alloc.entries;
	}
	batch->proved -= LK_MIN(batch->proved, op->pages);
	if (may_lose(result))
		lk_batch_check(fs);
	if (lk_places_due(op))
		lk_places_end(op, result == 0);
	(void)pthread_mutex_unlock(&fs->lock);

	if (op->discard)
		lk_alloc_discard(fs->alloc);
	if (result == 0) {
		if (op->event_count)
			tell(op);
		/* What could not be reclaimed now stays an orphan and is, with its last hold or at the next open. */
		for (uint32_t i = 0; i < op->reclaim_count; i++)
			(void)lk_orphan_released(fs, op->reclaim[i]);
		/* The op stands whatever this says; a failure has poisoned, and the next sync tells. */
		if (commit)
			(void)lk_txn_commit(fs);
	}
	arena_done(op);
	return result;
}

int lk_txn_count(struct lk_op *op, int64_t counter, int64_t delta, int64_t *out)
{
	if (counter <= 0 || counter >= LK_COUNTERS)
		return LINKFS_EINVAL;
	struct lk_batch *batch = op->fs->batch;
	int64_t value = batch->counters[counter];
	if (delta) {
		if (!(op->flags & LK_OP_WRITE))
			return LINKFS_EROFS;
		if (__builtin_add_overflow(value, delta, &value) || value < 0)
			return LINKFS_ECORRUPT;
		batch->counters[counter] = value;
		batch->counters_dirty |= 1u << counter;
		if (counter == LK_COUNTER_EPOCH)
			op->fs->epoch = value;
	}
	if (out)
		*out = value;
	return 0;
}

/* Makes room for one more element of a list in the arena. */
static void *grow(struct lk_op *op, void *list, uint32_t count, uint32_t *cap, size_t size)
{
	if (count < *cap)
		return list;
	uint32_t want = *cap ? *cap * 2 : 8;
	void *p = lk_op_alloc(op, want * size);
	if (!p)
		return NULL;
	if (count)
		memcpy(p, list, count * size);
	*cap = want;
	return p;
}

int lk_op_reclaim(struct lk_op *op, uint64_t ino)
{
	uint64_t *list = grow(op, op->reclaim, op->reclaim_count, &op->reclaim_cap, sizeof(*list));
	if (!list)
		return LINKFS_ENOMEM;
	op->reclaim = list;
	list[op->reclaim_count++] = ino;
	return 0;
}

static int add_event(struct lk_op *op, enum linkfs_event_kind kind, uint64_t ino, const void *name, size_t name_len,
		     uint32_t flags)
{
	if (!op->fs->observer)
		return 0;
	struct linkfs_event *list = grow(op, op->events, op->event_count, &op->event_cap, sizeof(*list));
	if (!list)
		return LINKFS_ENOMEM;
	op->events = list;
	struct linkfs_event event = {.kind = kind, .ino = ino, .flags = flags};
	if (kind == LINKFS_EVENT_ENTRY) {
		char *copy = lk_op_alloc(op, name_len + 1);
		if (!copy)
			return LINKFS_ENOMEM;
		if (name_len)
			memcpy(copy, name, name_len);
		copy[name_len] = '\0';
		event.name = copy;
		event.name_len = name_len;
	}
	list[op->event_count++] = event;
	return 0;
}

int lk_op_event(struct lk_op *op, enum linkfs_event_kind kind, uint64_t ino, const void *name, size_t name_len)
{
	if (!(op->flags & LK_OP_SILENT))
		return add_event(op, kind, ino, name, name_len, 0);
	if (kind == LINKFS_EVENT_DATA || !lk_places_used(op->fs))
		return 0;
	return add_event(op, kind, ino, name, name_len, LINKFS_EVENT_OWN | LK_EVENT_MAYBE);
}

int lk_op_event_beside(struct lk_op *op, enum linkfs_event_kind kind, uint64_t ino, const void *name, size_t name_len)
{
	return op->flags & LK_OP_SILENT ? add_event(op, kind, ino, name, name_len, LINKFS_EVENT_OWN) : 0;
}
