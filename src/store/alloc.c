/*
 * alloc.c - block groups: bitmaps loaded when needed, the log of an operation, commit (alloc.h, K4).
 * Layer: store. alloc_impl.h lists the states of a block.
 *
 * Rows of table grp are dense: groups 0 to n-1. A group is made when the others have no run that is long enough, so a
 * volume stays dense on hosts without sparse files, and files stay in few pieces while there is room.
 */
#include "alloc_impl.h"

#include <stdlib.h>
#include <string.h>

enum log_kind { LOG_USE, LOG_FREE };

struct log_entry {
	uint64_t block;
	uint32_t count;
	uint32_t kind;
};

/* ---- groups ---------------------------------------------------------------------------------------------------- */

static int groups_grow(struct lk_alloc *a, uint32_t count)
{
	if (count <= a->group_cap)
		return 0;
	uint32_t cap = LK_MAX(LK_MAX(count, a->group_cap * 2), 16u);
	void *p = realloc(a->groups, cap * sizeof(*a->groups));
	if (!p)
		return LINKFS_ENOMEM;
	a->groups = p;
	a->group_cap = cap;
	return 0;
}

static int open_row(void *arg, const void *record)
{
	struct lk_alloc *a = arg;
	const struct lk_group *row = record;
	if (row->number != (int64_t)a->group_count || a->group_count >= LK_GROUPS_MAX || row->used < 0 ||
	    row->used > (int64_t)LK_GROUP_BLOCKS || row->bitmap.len != LK_GROUP_BLOCKS / 8)
		return LINKFS_ECORRUPT;
	int r = groups_grow(a, a->group_count + 1);
	if (r)
		return r;
	uint32_t used = (uint32_t)row->used;
	a->groups[a->group_count++] =
		(struct lk_group_state){.used = used, .busy = used, .longest = LK_GROUP_BLOCKS - used};
	a->busy += used;
	return 0;
}

int lk_alloc_open(struct lk_db *db, struct lk_data *data, uint64_t limit_blocks, struct lk_alloc **out)
{
	struct lk_alloc *a = calloc(1, sizeof(*a));
	if (!a)
		return LINKFS_ENOMEM;
	a->db = db;
	a->data = data;
	a->limit_blocks = limit_blocks ? limit_blocks : UINT64_MAX;
	a->changed_from = UINT32_MAX;
	(void)pthread_mutex_init(&a->punch_lock, NULL);
	struct lk_group from = {0};
	struct lk_scan scan = {.table = &lk_tables[LK_T_GROUP], .index = LK_BY_KEY, .from = &from};
	int r = lk_db_scan(db, &scan, open_row, a);
	if (r) {
		lk_alloc_close(a);
		return r;
	}
	*out = a;
	return 0;
}

void lk_alloc_close(struct lk_alloc *a)
{
	if (!a)
		return;
	lk_freed_done(a);
	for (uint32_t i = 0; i < a->group_count; i++)
		free(a->groups[i].bits);
	free(a->groups);
	lk_buf_done(&a->scratch);
	(void)pthread_mutex_destroy(&a->punch_lock);
	free(a);
}

int lk_group_load(struct lk_alloc *a, uint32_t number)
{
	struct lk_group_state *g = &a->groups[number];
	if (g->bits)
		return 0;
	struct lk_group key = {.number = (int64_t)number}, row;
	a->scratch.len = 0;
	int r = lk_db_get(a->db, &lk_tables[LK_T_GROUP], &key, &row, &a->scratch);
	if (r)
		return r == LINKFS_ENOENT ? LINKFS_ECORRUPT : r;
	if (row.bitmap.len != LK_GROUP_BLOCKS / 8 || row.used != (int64_t)g->used)
		return LINKFS_ECORRUPT;
	struct lk_group_bits *bits = malloc(sizeof(*bits));
	if (!bits)
		return LINKFS_ENOMEM;
	uint32_t used = 0;
	for (uint32_t w = 0; w < LK_GROUP_WORDS; w++) {
		bits->allocated[w] = lk_get_u64((const uint8_t *)row.bitmap.p + w * 8);
		used += (uint32_t)__builtin_popcountll(bits->allocated[w]);
	}
	if (used != g->used) {
		free(bits);
		return LINKFS_ECORRUPT;
	}
	memcpy(bits->busy, bits->allocated, sizeof(bits->busy));
	memcpy(bits->durable, bits->allocated, sizeof(bits->durable));
	g->bits = bits;
	a->loaded++;
	return 0;
}

static void group_changed(struct lk_alloc *a, uint32_t number)
{
	a->groups[number].changed = true;
	a->changed_from = LK_MIN(a->changed_from, number);
	a->changed_to = LK_MAX(a->changed_to, number + 1);
}

int lk_group_append(struct lk_alloc *a)
{
	if (a->group_count >= LK_GROUPS_MAX)
		return LINKFS_ENOSPC;
	int r = groups_grow(a, a->group_count + 1);
	if (r)
		return r;
	struct lk_group_bits *bits = calloc(1, sizeof(*bits));
	if (!bits)
		return LINKFS_ENOMEM;
	a->groups[a->group_count] = (struct lk_group_state){.bits = bits, .longest = LK_GROUP_BLOCKS};
	a->loaded++;
	/* Its row is written with the next commit even if nothing gets allocated: rows stay dense. */
	group_changed(a, a->group_count++);
	return 0;
}

/* The part of a run that lies in the group of its first block. */
static struct lk_run in_group(const struct lk_run *run)
{
	uint32_t room = LK_GROUP_BLOCKS - (uint32_t)(run->block % LK_GROUP_BLOCKS);
	return (struct lk_run){run->block, LK_MIN(run->count, room)};
}

static void run_skip(struct lk_run *run, uint32_t count)
{
	run->block += count;
	run->count -= count;
}

#define FOR_GROUPS(part, run)                                                                                          \
	for (struct lk_run rest_ = *(run), part; rest_.count && (part = in_group(&rest_), true);                       \
	     run_skip(&rest_, part.count))

void lk_group_release(struct lk_alloc *a, const struct lk_run *run)
{
	FOR_GROUPS(part, run)
	{
		struct lk_group_state *g = &a->groups[lk_group_of(part.block)];
		lk_bits_clear(g->bits->busy, lk_bit_of(part.block), part.count);
		g->busy -= part.count;
		g->longest = LK_GROUP_BLOCKS;
		a->busy -= part.count;
	}
}

/* ---- an operation's log: reservations given back, used, freed, undone -------------------------------------------- */

void lk_alloc_unreserve(struct lk_alloc *a, const struct lk_run *run)
{
	lk_group_release(a, run);
}

void lk_alloc_tight(struct lk_alloc *a)
{
	a->tight = true;
	a->rotor = 0;
}

static int log_add(struct lk_alloc_log *log, enum log_kind kind, const struct lk_run *run)
{
	struct log_entry e = {run->block, run->count, (uint32_t)kind};
	return lk_buf_append(&log->entries, &e, sizeof(e));
}

static void set_allocated(struct lk_alloc *a, const struct lk_run *run, bool allocated)
{
	FOR_GROUPS(part, run)
	{
		struct lk_group_state *g = &a->groups[lk_group_of(part.block)];
		if (allocated) {
			lk_bits_set(g->bits->allocated, lk_bit_of(part.block), part.count);
			g->used += part.count;
		} else {
			lk_bits_clear(g->bits->allocated, lk_bit_of(part.block), part.count);
			g->used -= part.count;
		}
		group_changed(a, lk_group_of(part.block));
	}
}

/* Whether all of the run is busy and allocated (or busy and not allocated). Loads its groups. */
static int check_run(struct lk_alloc *a, const struct lk_run *run, bool allocated)
{
	uint64_t end = (uint64_t)a->group_count * LK_GROUP_BLOCKS;
	if (run->block >= end || run->count > end - run->block)
		return LINKFS_ECORRUPT;
	FOR_GROUPS(part, run)
	{
		uint32_t number = lk_group_of(part.block);
		int r = lk_group_load(a, number);
		if (r)
			return r;
		const struct lk_group_bits *bits = a->groups[number].bits;
		if (!lk_bits_all(bits->busy, lk_bit_of(part.block), part.count, true) ||
		    !lk_bits_all(bits->allocated, lk_bit_of(part.block), part.count, allocated))
			return LINKFS_ECORRUPT;
	}
	return 0;
}

int lk_alloc_use(struct lk_alloc *a, struct lk_alloc_log *log, const struct lk_run *run)
{
	int r = check_run(a, run, false);
	if (!r)
		r = log_add(log, LOG_USE, run);
	if (!r)
		set_allocated(a, run, true);
	return r;
}

int lk_alloc_free(struct lk_alloc *a, struct lk_alloc_log *log, const struct lk_run *run)
{
	int r = check_run(a, run, true);
	if (!r)
		r = log_add(log, LOG_FREE, run);
	if (!r)
		set_allocated(a, run, false);
	return r;
}

uint64_t lk_alloc_log_freed(const struct lk_alloc_log *log)
{
	const struct log_entry *entries = (const void *)log->entries.p;
	uint64_t freed = 0;
	for (size_t i = 0; i < log->entries.len / sizeof(*entries); i++)
		freed += entries[i].kind == LOG_FREE ? entries[i].count : 0;
	return freed;
}

void lk_alloc_undo(struct lk_alloc *a, struct lk_alloc_log *log)
{
	struct log_entry *entries = (void *)log->entries.p;
	for (size_t i = log->entries.len / sizeof(*entries); i-- > 0;) {
		struct lk_run run = {entries[i].block, entries[i].count};
		bool was_used = entries[i].kind == LOG_USE;
		set_allocated(a, &run, !was_used);
		if (was_used)
			lk_group_release(a, &run);
	}
	log->entries.len = 0;
}

/* Splits a freed run where the last durable state changes its mind about it. */
static void keep_freed(struct lk_alloc *a, struct lk_run run)
{
	while (run.count) {
		struct lk_run part = in_group(&run);
		const uint64_t *durable = a->groups[lk_group_of(part.block)].bits->durable;
		uint32_t from = lk_bit_of(part.block);
		bool named = durable[from / 64] >> (from % 64) & 1;
		part.count = lk_bits_next(durable, from, from + part.count, !named) - from;
		lk_freed_add(a, &part, named);
		run_skip(&run, part.count);
	}
}

void lk_alloc_keep(struct lk_alloc *a, struct lk_alloc_log *log)
{
	const struct log_entry *entries = (void *)log->entries.p;
	for (size_t i = 0; i < log->entries.len / sizeof(*entries); i++) {
		if (entries[i].kind == LOG_FREE)
			keep_freed(a, (struct lk_run){entries[i].block, entries[i].count});
	}
	log->entries.len = 0;
}

/* ---- commit ------------------------------------------------------------------------------------------------------ */

int lk_alloc_flush(struct lk_alloc *a)
{
	for (uint32_t i = a->changed_from; i < a->changed_to; i++) {
		const struct lk_group_state *g = &a->groups[i];
		if (!g->changed)
			continue;
		uint8_t bitmap[LK_GROUP_BLOCKS / 8];
		for (uint32_t w = 0; w < LK_GROUP_WORDS; w++)
			lk_put_u64(bitmap + w * 8, g->bits->allocated[w]);
		struct lk_group row = {
			.number = (int64_t)i, .used = (int64_t)g->used, .bitmap = {bitmap, sizeof(bitmap)}};
		int r = lk_db_put(a->db, &lk_tables[LK_T_GROUP], &row);
		if (r)
			return r;
	}
	return 0;
}

/* Bitmaps that nothing keeps in memory go when there are many. */
static void unload_some(struct lk_alloc *a)
{
	for (uint32_t i = 0; i < a->group_count && a->loaded > LK_GROUPS_LOADED_MAX / 2; i++) {
		struct lk_group_state *g = &a->groups[i];
		if (!g->bits || g->changed || g->busy != g->used || i == lk_group_of(a->rotor))
			continue;
		free(g->bits);
		g->bits = NULL;
		a->loaded--;
	}
}

void lk_alloc_written(struct lk_alloc *a)
{
	for (uint32_t i = a->changed_from; i < a->changed_to; i++) {
		struct lk_group_state *g = &a->groups[i];
		if (g->changed)
			memcpy(g->bits->durable, g->bits->allocated, sizeof(g->bits->durable));
		g->changed = false;
	}
	a->changed_from = UINT32_MAX;
	a->changed_to = 0;
	lk_freed_written(a);
}

void lk_alloc_committed(struct lk_alloc *a)
{
	a->tight = false;
	lk_freed_committed(a);
	if (a->loaded > LK_GROUPS_LOADED_MAX)
		unload_some(a);
}

void lk_alloc_usage(struct lk_alloc *a, uint64_t *used_out, uint64_t *pending_out)
{
	if (atomic_load(&a->any_punched))
		lk_freed_advance(a, false);
	*used_out = a->busy;
	*pending_out = a->waiting;
}
