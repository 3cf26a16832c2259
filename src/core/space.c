/*
 * space.c - one question about space from its beginning to its end (space.h).
 * Layer: core.
 */
#include "space_impl.h"

#include "binds.h"
#include "inode_cache.h"
#include "views.h"

#include <sched.h>
#include <stdlib.h>
#include <string.h>

#define SLICE_NS UINT64_C(2000000)   /* of the lock, where others want it */
#define MOMENT_NS UINT64_C(10000000) /* between looks at whether to go on, where nobody does */

/* ---- what paths name ---------------------------------------------------------------------------------------------- */

/* The last entry of the path, a symlink before slashes followed. */
static int walk(struct lk_walk *walk, struct lk_slot *slot, struct lk_place *place)
{
	int rc = lk_walk_parent(walk);

	for (;;) {
		bool dir = walk->where.slash || walk->need_dir;

		if (rc == 0)
			rc = lk_walk_look(walk->op, &walk->where, slot, place);
		if (rc || !dir || lk_is_dir(&place->inode))
			return rc;
		if (!lk_is_lnk(&place->inode))
			return LINKFS_ENOTDIR;
		rc = lk_walk_follow(walk, place);
	}
}

struct one_name {
	struct lk_slot slot;
	uint32_t count;
};

static int count_name(void *arg, const void *record)
{
	const struct lk_dirent *d = record;
	struct one_name *n = arg;

	n->slot = (struct lk_slot){.dir = (uint64_t)d->dir, .hash = d->hash, .ord = d->ord};
	return ++n->count > 1;
}

/* "." and "..": as the directory's name, if it has one name; none of several goes. */
static int by_number(struct lk_op *op, uint64_t ino, struct lk_slot *slot)
{
	struct one_name n = {.count = 0};
	int rc = lk_dirent_names(op, ino, 2, count_name, &n);

	if (rc == 0 && n.count == 1) {
		*slot = n.slot;
		rc = lk_bind_find(op, slot);
	} else {
		slot->bound = ino;
	}
	return rc;
}

int lk_space_find(struct lk_op *op, const struct linkfs_cred *cred, uint64_t at, const char *path,
		  struct lk_space_item *out)
{
	struct lk_slot slot = {0};
	struct lk_place place = {0};
	struct lk_walk w;
	int rc = lk_walk_begin(&w, op, cred, at, path);

	if (rc == 0)
		rc = walk(&w, &slot, &place);
	if (rc)
		return rc;
	*out = (struct lk_space_item){.kind = LK_SPACE_NODE, .ino = (uint64_t)place.inode.ino};
	if (op->view != LK_VIEW_LIVE) {
		out->epoch = op->view;
		out->kind = out->ino == LINKFS_ROOT_INO ? LK_SPACE_SNAPSHOT : LK_SPACE_PAST;
		return 0;
	}
	if (out->ino == LINKFS_ROOT_INO)
		return 0;
	if (w.where.last != LK_LAST_NAME)
		rc = by_number(op, out->ino, &slot);
	if (rc == 0 && !slot.bound) {
		out->kind = LK_SPACE_NAME;
		out->dir = slot.dir;
		out->hash = slot.hash;
		out->ord = slot.ord;
	}
	return rc;
}

/* ---- slices --------------------------------------------------------------------------------------------------------- */

static int begin(struct lk_space_run *run, int64_t view)
{
	int rc = lk_op_begin(run->fs, &run->op, 0);

	if (rc)
		return rc;
	run->open = true;
	run->op.view = view;
	run->since_ns = lk_clock_monotonic_ns();
	if (run->ask->slices && !run->ask->whole && run->fs->batch->standing != run->standing)
		return LINKFS_EAGAIN;
	return 0;
}

static int end(struct lk_space_run *run, int rc)
{
	if (!run->open)
		return rc;
	run->open = false;
	return lk_op_end(&run->op, rc);
}

struct skipped {
	int error;
	size_t len;
};

/* No op open. */
static int tell(struct lk_space_run *run)
{
	size_t at = 0;

	while (at < run->skipped.len) {
		struct skipped s;
		const char *path = (const char *)run->skipped.p + at + sizeof(s);

		memcpy(&s, run->skipped.p + at, sizeof(s));
		if (run->q->skipped && run->q->skipped(run->q->arg, path, s.len, s.error))
			return LINKFS_EINTR;
		at += sizeof(s) + s.len + 1;
	}
	run->skipped.len = 0;
	return run->q->progress && run->q->progress(run->q->arg) ? LINKFS_EINTR : 0;
}

int lk_space_rest(struct lk_space_run *run)
{
	int64_t view = run->op.view;
	int rc;

	if (run->ask->whole || lk_clock_monotonic_ns() - run->since_ns < (run->ask->slices ? SLICE_NS : MOMENT_NS))
		return 0;
	rc = end(run, 0);
	if (rc == 0)
		rc = tell(run);
	if (rc)
		return rc;
	if (run->ask->slices)
		(void)sched_yield();
	return begin(run, view);
}

/* ---- which snapshots go --------------------------------------------------------------------------------------------- */

size_t lk_space_first(const int64_t *epochs, size_t count, int64_t epoch)
{
	size_t low = 0;

	while (low < count) {
		size_t middle = low + (count - low) / 2;

		if (epochs[middle] < epoch)
			low = middle + 1;
		else
			count = middle;
	}
	return low;
}

bool lk_space_any(const int64_t *epochs, size_t count, int64_t born, int64_t last)
{
	size_t i = lk_space_first(epochs, count, born);

	return i < count && epochs[i] <= last;
}

struct sorting {
	int64_t *wanted; /* epochs of the set's, ascending */
	size_t wanted_count;
	struct lk_buf gone, stay, going;
};

static int sort_row(void *arg, const void *record)
{
	const struct lk_snapshot *s = record;
	struct sorting *sorting = arg;
	bool wanted = lk_space_any(sorting->wanted, sorting->wanted_count, s->epoch, s->epoch);

	if (s->deleting)
		return lk_buf_append(&sorting->going, &s->epoch, sizeof(s->epoch));
	return lk_buf_append(wanted ? &sorting->gone : &sorting->stay, &s->epoch, sizeof(s->epoch));
}

static int by_epoch(const void *a, const void *b)
{
	const int64_t *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

static void take_list(struct lk_buf *from, int64_t **list, size_t *count)
{
	*list = (int64_t *)(void *)from->p;
	*count = from->len / sizeof(int64_t);
}

/* Rows come by epoch. */
static int sort_snapshots(struct lk_space_run *run)
{
	const struct lk_space_ask *ask = run->ask;
	struct sorting sorting = {.wanted = calloc(ask->item_count + 1, sizeof(int64_t))};
	struct lk_scan scan = {.table = &lk_tables[LK_T_SNAPSHOT], .index = LK_BY_KEY};
	int rc;

	if (!sorting.wanted)
		return LINKFS_ENOMEM;
	for (size_t i = 0; i < ask->item_count; i++)
		if (ask->items[i].kind == LK_SPACE_SNAPSHOT)
			sorting.wanted[sorting.wanted_count++] = ask->items[i].epoch;
	if (sorting.wanted_count)
		qsort(sorting.wanted, sorting.wanted_count, sizeof(int64_t), by_epoch);
	rc = lk_txn_scan(&run->op, &scan, sort_row, &sorting);
	free(sorting.wanted);
	take_list(&sorting.gone, &run->gone, &run->gone_count);
	take_list(&sorting.stay, &run->stay, &run->stay_count);
	take_list(&sorting.going, &run->going, &run->going_count);
	for (size_t i = 0; rc == 0 && i < ask->item_count; i++)
		if (ask->items[i].kind == LK_SPACE_SNAPSHOT &&
		    !lk_space_any(run->gone, run->gone_count, ask->items[i].epoch, ask->items[i].epoch))
			rc = LINKFS_ENOENT;
	return rc;
}

/* ---- the whole -------------------------------------------------------------------------------------------------------- */

static uint32_t known(const struct lk_space_run *run)
{
	uint32_t bits = LINKFS_SPACE_HAS_SIZES | LINKFS_SPACE_HAS_EXCLUSIVE | LINKFS_SPACE_HAS_SHARED;

	for (size_t i = 0; i < run->ask->item_count; i++) {
		if (run->ask->items[i].kind == LK_SPACE_PAST)
			bits &= ~(LINKFS_SPACE_HAS_EXCLUSIVE | LINKFS_SPACE_HAS_SHARED);
		if (run->ask->items[i].kind == LK_SPACE_SNAPSHOT && !run->full)
			bits &= ~(LINKFS_SPACE_HAS_SIZES | LINKFS_SPACE_HAS_SHARED);
	}
	return bits;
}

static int look(struct lk_space_run *run)
{
	int rc = sort_snapshots(run);

	if (rc == 0 && run->with) {
		run->inline_stay = calloc(run->stay_count + 1, sizeof(*run->inline_stay));
		rc = run->inline_stay ? 0 : LINKFS_ENOMEM;
	}
	if (rc == 0)
		rc = lk_space_history(run);
	if (rc == 0)
		rc = lk_space_names(run);
	if (rc == 0 && run->full && run->gone_count)
		rc = lk_space_seen(run);
	return rc;
}

int lk_space_leave(struct lk_space_run *run)
{
	return run->ask->whole ? 0 : end(run, 0);
}

int lk_space_return(struct lk_space_run *run)
{
	return run->ask->whole ? 0 : begin(run, LK_VIEW_LIVE);
}

/* The lock is not held while millions of edges are sorted, unless it has to be. */
static int sum_up(struct lk_space_run *run)
{
	int rc = lk_space_leave(run);

	if (rc == 0)
		rc = lk_space_sum_up(run);
	if (rc == 0 && run->with)
		rc = lk_space_return(run);
	return rc == 0 && run->with ? lk_space_with(run) : rc;
}

static void forget_unknown(struct linkfs_space_sum *sum)
{
	if (!(sum->known & LINKFS_SPACE_HAS_SIZES))
		sum->apparent = sum->allocated = sum->files = 0;
	if (!(sum->known & LINKFS_SPACE_HAS_EXCLUSIVE))
		sum->exclusive = sum->inline_bytes = 0;
	if (!(sum->known & LINKFS_SPACE_HAS_SHARED))
		sum->shared = 0;
}

static void done(struct lk_space_run *run)
{
	free(run->gone);
	free(run->stay);
	free(run->going);
	free(run->spans);
	free(run->node_slots);
	free(run->inline_stay);
	free(run->named);
	lk_buf_done(&run->due);
	lk_buf_done(&run->edges);
	lk_buf_done(&run->nodes);
	lk_buf_done(&run->skipped);
	lk_buf_done(&run->files);
	lk_buf_done(&run->answers);
	lk_set_done(&run->counted);
	lk_set_done(&run->dropped);
}

int lk_space_count(struct lk_fs *fs, const struct lk_space_ask *ask, struct linkfs_space_sum *out)
{
	struct linkfs_space_sum sum = {0};
	struct lk_space_run *run = calloc(1, sizeof(*run));
	int rc;

	if (!run)
		return LINKFS_ENOMEM;
	*run = (struct lk_space_run){.fs = fs, .ask = ask, .q = ask->question, .sum = &sum};
	run->with = ask->question->with != NULL;
	run->full = run->with || (ask->question->flags & LINKFS_SPACE_FULL);
	sum.known = known(run);
	run->with &= (sum.known & LINKFS_SPACE_HAS_SHARED) != 0;
	rc = 0;
	if (ask->slices && !ask->whole) {
		/* All inode records are rows then, and stay so while nothing changes. */
		rc = lk_txn_settle(fs);
		if (rc == 0) {
			run->standing = fs->batch->standing;
			(void)pthread_mutex_unlock(&fs->lock);
		}
	}
	if (rc == 0)
		rc = begin(run, LK_VIEW_LIVE);
	if (rc == 0 && ask->whole)
		rc = lk_inode_cache_flush(fs);
	if (rc == 0)
		rc = look(run);
	if (rc == 0)
		rc = sum_up(run);
	rc = end(run, rc);
	if (rc == 0)
		rc = tell(run);
	if (rc == 0 && run->with)
		rc = lk_space_tell_with(run);
	forget_unknown(&sum);
	if (rc == 0)
		*out = sum;
	done(run);
	free(run);
	return rc;
}
