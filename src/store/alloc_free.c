/*
 * alloc_free.c - from freed to free: pending, draining, punching (K4; alloc_impl.h lists the states).
 * Layer: store.
 *
 * Draining. Readers count themselves in the era they begin in, of two that take turns; a freed block waits in the
 * list of the era it was freed in. The era turns only when the readers of the other one, begun in the era before, are
 * gone. So the readers that may still look at a block of list e are those counted in e: when the era has turned
 * away from e and its count is 0, the list is free. A stream of new readers cannot hold this up.
 *
 * Punching. A drained run is punched before it becomes free, outside the metadata lock. When blocks run short,
 * what only waits for its punch is freed without one. The host is given back aligned chunks of LK_PUNCH_BLOCKS_MIN: a run
 * takes in what is free already of the chunks it lies in, so that a chunk is punched when its last block goes.
 */
#include "alloc_impl.h"

#include <stdlib.h>

static struct lk_run *runs_of(const struct lk_buf *buf)
{
	return (void *)buf->p;
}

static size_t run_count(const struct lk_buf *buf)
{
	return buf->len / sizeof(struct lk_run);
}

/* Files are freed in order, mostly: grow the last run when it fits. */
static bool list_add(struct lk_buf *list, const struct lk_run *run)
{
	struct lk_run *last = list->len ? &runs_of(list)[run_count(list) - 1] : NULL;
	if (last && last->count <= UINT32_MAX - run->count) {
		if (last->block + last->count == run->block) {
			last->count += run->count;
			return true;
		}
		if (run->block + run->count == last->block) {
			last->block = run->block;
			last->count += run->count;
			return true;
		}
	}
	return lk_buf_append(list, run, sizeof(*run)) == 0;
}

void lk_freed_add(struct lk_alloc *a, const struct lk_run *run, bool durable)
{
	/* Out of memory: the run stays busy until the volume is opened again. That loses nothing else. */
	a->waiting += run->count;
	if (durable)
		(void)list_add(&a->pending, run);
	else if (list_add(&a->drain[a->era], run))
		a->drain_blocks += run->count;
}

static void make_free(struct lk_alloc *a, const struct lk_run *run)
{
	lk_group_release(a, run);
	a->waiting -= run->count;
}

static void free_all(struct lk_alloc *a, struct lk_punch *list)
{
	while (list) {
		struct lk_punch *next = list->next;
		for (size_t i = 0; i < run_count(&list->runs); i++)
			make_free(a, &runs_of(&list->runs)[i]);
		lk_buf_done(&list->runs);
		free(list);
		list = next;
	}
}

static int compare_runs(const void *a, const void *b)
{
	const struct lk_run *x = a, *y = b;
	return x->block < y->block ? -1 : x->block > y->block;
}

/* Free blocks of one group become busy again and wait with the run that takes them in. */
static bool take_in(struct lk_alloc *a, uint64_t block, uint32_t count)
{
	struct lk_group_state *g = &a->groups[lk_group_of(block)];
	uint32_t from = lk_bit_of(block);
	if (!count || !lk_bits_all(g->bits->busy, from, count, false))
		return false;
	lk_bits_set(g->bits->busy, from, count);
	g->busy += count;
	a->busy += count;
	a->waiting += count;
	return true;
}

static void widen(struct lk_alloc *a, struct lk_run *run)
{
	uint32_t before = (uint32_t)(run->block % LK_PUNCH_BLOCKS_MIN);
	uint64_t end = run->block + run->count;
	uint32_t after = (uint32_t)(-end % LK_PUNCH_BLOCKS_MIN);
	if (run->count >= UINT32_MAX - 2 * LK_PUNCH_BLOCKS_MIN)
		return;
	if (take_in(a, run->block - before, before)) {
		run->block -= before;
		run->count += before;
	}
	if (take_in(a, end, after))
		run->count += after;
}

/* No reader can look at the list's blocks any more: long runs go on to be punched, the others are free. */
static void release_list(struct lk_alloc *a, struct lk_buf *list)
{
	size_t n = run_count(list), merged = 0, kept = 0;
	if (!n)
		return;
	struct lk_run *runs = runs_of(list);
	qsort(runs, n, sizeof(*runs), compare_runs);
	for (size_t i = 0; i < n; i++) {
		a->drain_blocks -= runs[i].count;
		if (merged && runs[merged - 1].block + runs[merged - 1].count == runs[i].block &&
		    runs[merged - 1].count <= UINT32_MAX - runs[i].count)
			runs[merged - 1].count += runs[i].count;
		else
			runs[merged++] = runs[i];
	}
	struct lk_punch *punch = lk_data_can_discard(a->data) ? malloc(sizeof(*punch)) : NULL;
	for (size_t i = 0; i < merged; i++) {
		if (punch)
			widen(a, &runs[i]);
		if (punch && runs[i].count >= LK_PUNCH_BLOCKS_MIN)
			runs[kept++] = runs[i];
		else
			make_free(a, &runs[i]);
	}
	list->len = kept * sizeof(*runs);
	if (!kept) {
		free(punch);
		return;
	}
	punch->runs = *list;
	*list = (struct lk_buf){0};
	pthread_mutex_lock(&a->punch_lock);
	punch->next = a->to_punch;
	a->to_punch = punch;
	pthread_mutex_unlock(&a->punch_lock);
}

void lk_freed_advance(struct lk_alloc *a, bool hard)
{
	/* Twice: what was freed in this era can go at once when nobody reads. */
	for (int turn = 0; turn < 2; turn++) {
		unsigned other = 1 - a->era;
		if (atomic_load(&a->readers[other]))
			break;
		release_list(a, &a->drain[other]);
		if (!a->drain[a->era].len)
			break;
		a->era = other;
	}
	pthread_mutex_lock(&a->punch_lock);
	struct lk_punch *punched = a->punched, *unpunched = hard ? a->to_punch : NULL;
	a->punched = NULL;
	if (hard)
		a->to_punch = NULL;
	atomic_store(&a->any_punched, false);
	pthread_mutex_unlock(&a->punch_lock);
	free_all(a, punched);
	free_all(a, unpunched);
}

void lk_freed_written(struct lk_alloc *a)
{
	struct lk_buf empty = a->written;
	a->written = a->pending;
	a->pending = empty;
}

void lk_freed_committed(struct lk_alloc *a)
{
	struct lk_buf *to = &a->drain[a->era];
	size_t n = run_count(&a->written);
	for (size_t i = 0; i < n; i++) {
		if (list_add(to, &runs_of(&a->written)[i]))
			a->drain_blocks += runs_of(&a->written)[i].count;
	}
	a->written.len = 0;
	lk_freed_advance(a, false);
}

void lk_alloc_discard(struct lk_alloc *a)
{
	pthread_mutex_lock(&a->punch_lock);
	struct lk_punch *list = a->to_punch;
	a->to_punch = NULL;
	pthread_mutex_unlock(&a->punch_lock);
	while (list) {
		struct lk_punch *next = list->next;
		for (size_t i = 0; i < run_count(&list->runs); i++)
			lk_data_discard(a->data, runs_of(&list->runs)[i].block, runs_of(&list->runs)[i].count);
		pthread_mutex_lock(&a->punch_lock);
		list->next = a->punched;
		a->punched = list;
		atomic_store(&a->any_punched, true);
		pthread_mutex_unlock(&a->punch_lock);
		list = next;
	}
}

uint64_t lk_alloc_reader_begin(struct lk_alloc *a)
{
	atomic_fetch_add(&a->readers[a->era], 1);
	return a->era;
}

void lk_alloc_reader_end(struct lk_alloc *a, uint64_t ticket)
{
	atomic_fetch_sub(&a->readers[ticket & 1], 1);
}

static void drop_punches(struct lk_punch *list)
{
	while (list) {
		struct lk_punch *next = list->next;
		lk_buf_done(&list->runs);
		free(list);
		list = next;
	}
}

void lk_freed_done(struct lk_alloc *a)
{
	lk_buf_done(&a->pending);
	lk_buf_done(&a->written);
	lk_buf_done(&a->drain[0]);
	lk_buf_done(&a->drain[1]);
	drop_punches(a->to_punch);
	drop_punches(a->punched);
}
