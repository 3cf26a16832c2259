/*
 * alloc_reserve.c - where new blocks come from: near the hint, then long runs round the groups, then a new group, then crumbs.
 * Layer: store. alloc_impl.h lists the states of a block.
 */
#include "alloc_impl.h"

#define RUN_GOOD 64u /* a run of an extent row's length is as good as a longer one */
#define RUN_FAIR 8u

static uint32_t clip(uint32_t from, uint32_t count)
{
	return count > LK_GROUP_BLOCKS - from ? LK_GROUP_BLOCKS : from + count;
}

struct request {
	uint32_t left; /* blocks still wanted */
	struct lk_run *runs;
	uint32_t run_max, run_count;
};

static void take(struct lk_alloc *a, struct request *q, uint64_t block, uint32_t count)
{
	struct lk_group_state *g = &a->groups[lk_group_of(block)];
	lk_bits_set(g->bits->busy, lk_bit_of(block), count);
	g->busy += count;
	a->busy += count;
	a->rotor = block + count;
	q->left -= count;
	if (q->run_count) {
		struct lk_run *last = &q->runs[q->run_count - 1];
		if (last->block + last->count == block && lk_group_of(last->block) == lk_group_of(block)) {
			last->count += count;
			return;
		}
	}
	q->runs[q->run_count++] = (struct lk_run){block, count};
}

/* Takes runs of at least want blocks (or of all that is left) from position from of a group on. */
static int take_from(struct lk_alloc *a, struct request *q, uint32_t number, uint32_t from, uint32_t want)
{
	struct lk_group_state *g = &a->groups[number];
	want = LK_MIN(want, q->left);
	if (LK_GROUP_BLOCKS - g->busy < want || g->longest < want)
		return 0;
	int r = lk_group_load(a, number);
	if (r)
		return r;
	uint32_t longest = 0, at = from;
	while (q->left && q->run_count < q->run_max) {
		uint32_t start = lk_bits_next(g->bits->busy, at, LK_GROUP_BLOCKS, false);
		if (start == LK_GROUP_BLOCKS) {
			/* Seen from the start: nothing longer is left than what was passed over. */
			if (from == 0)
				g->longest = longest;
			break;
		}
		/* No further than what is wanted. */
		uint32_t end = lk_bits_next(g->bits->busy, start, clip(start, q->left), true);
		want = LK_MIN(want, q->left);
		if (end - start >= want) {
			uint32_t n = LK_MIN(end - start, q->left);
			take(a, q, (uint64_t)number * LK_GROUP_BLOCKS + start, n);
			end = start + n;
		} else {
			longest = LK_MAX(longest, end - start);
		}
		at = end;
	}
	return 0;
}

/* Once round all groups, from the rotor on. */
static int take_round(struct lk_alloc *a, struct request *q, uint32_t want)
{
	uint32_t n = a->group_count, first = lk_group_of(a->rotor), from = lk_bit_of(a->rotor);
	if (first >= n)
		first = from = 0;
	for (uint32_t i = 0; i <= n && n && want && q->left && q->run_count < q->run_max; i++) {
		if (i == n && from == 0)
			break;
		int r = take_from(a, q, (first + i) % n, i == 0 ? from : 0, want);
		if (r)
			return r;
	}
	return 0;
}

static int take_new(struct lk_alloc *a, struct request *q)
{
	while (q->left && q->run_count < q->run_max) {
		int r = lk_group_append(a);
		if (r)
			return r == LINKFS_ENOSPC ? 0 : r;
		r = take_from(a, q, a->group_count - 1, 0, 1);
		if (r)
			return r;
	}
	return 0;
}

static int take_at(struct lk_alloc *a, struct request *q, uint64_t hint)
{
	uint32_t number = lk_group_of(hint), from = lk_bit_of(hint);
	if (hint == 0 || hint > (uint64_t)LK_DISK_BLOCK_MAX || number >= a->group_count)
		return 0;
	int r = lk_group_load(a, number);
	if (r)
		return r;
	uint32_t end = lk_bits_next(a->groups[number].bits->busy, from, clip(from, q->left), true);
	/* A short stump beside the hint is not worth a run of its own. */
	if (end - from >= LK_MIN(q->left, RUN_FAIR))
		take(a, q, hint, LK_MIN(end - from, q->left));
	return 0;
}

/* From the groups there are: runs worth having, or when tight any. */
static int take_old(struct lk_alloc *a, struct request *q, uint64_t hint, bool any)
{
	int r = q->run_max ? take_at(a, q, hint) : 0;
	if (!r)
		r = take_round(a, q, q->left);
	if (!r)
		r = take_round(a, q, RUN_GOOD);
	if (!r && any)
		r = take_round(a, q, RUN_FAIR);
	if (!r && any)
		r = take_round(a, q, 1);
	return r;
}

/* Freed blocks that can be had come before a new group, and a new group before crumbs. */
static int take_all(struct lk_alloc *a, struct request *q, uint64_t hint)
{
	int r = take_old(a, q, hint, a->tight);
	if (!r && q->left && a->waiting) {
		lk_freed_advance(a, a->tight);
		r = take_old(a, q, 0, a->tight);
	}
	if (!r)
		r = take_new(a, q);
	if (!r)
		r = take_old(a, q, 0, true);
	if (!r && q->left && a->waiting) {
		lk_freed_advance(a, true);
		r = take_old(a, q, 0, true);
	}
	return r;
}

int lk_alloc_reserve(struct lk_alloc *a, uint32_t count, uint64_t hint, struct lk_run *runs, uint32_t max_runs,
		     uint32_t *run_count_out)
{
	return lk_alloc_reserve_for(a, count, 0, hint, runs, max_runs, run_count_out);
}

int lk_alloc_reserve_for(struct lk_alloc *a, uint32_t count, uint32_t replaced, uint64_t hint, struct lk_run *runs,
			 uint32_t max_runs, uint32_t *run_count_out)
{
	if (a->drain_blocks || atomic_load_explicit(&a->any_punched, memory_order_relaxed))
		lk_freed_advance(a, false);
	if (!runs || !max_runs)
		return LINKFS_ENOSPC;
	uint64_t held = a->busy - a->waiting, room = a->limit_blocks > held ? a->limit_blocks - held : 0;
	if (count > replaced && count - replaced > room)
		return LINKFS_ENOSPC;
	struct request q = {.left = count, .runs = runs, .run_max = max_runs};
	int r = take_all(a, &q, hint);
	if (!r && q.left)
		r = LINKFS_ENOSPC;
	if (r) {
		for (uint32_t i = 0; i < q.run_count; i++)
			lk_group_release(a, &runs[i]);
		return r;
	}
	*run_count_out = q.run_count;
	return 0;
}
