/*
 * test_alloc.c - the allocator against K4: a random model of every block's state, undo, commits, readers in flight,
 * punches, limits, and bitmaps that lie. The database is a small table of group rows kept here.
 */
#include "test.h"

#include <alloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define G LK_GROUP_BLOCKS
#define ROWS 64u

struct fake_db {
	struct lk_db db;
	uint32_t count;
	struct {
		int64_t number, used;
		size_t len;
		uint8_t bitmap[G / 8];
	} rows[ROWS];
	uint32_t puts;
};

static int fake_get(struct lk_db *db, const struct lk_table *table, const void *key, void *record, struct lk_buf *bytes)
{
	struct fake_db *f = (struct fake_db *)(void *)db;
	const struct lk_group *k = key;
	assert_int_equal(table->id, LK_T_GROUP);
	for (uint32_t i = 0; i < f->count; i++) {
		if (f->rows[i].number != k->number)
			continue;
		size_t at = bytes->len;
		assert_int_equal(lk_buf_append(bytes, f->rows[i].bitmap, f->rows[i].len), 0);
		*(struct lk_group *)record =
			(struct lk_group){k->number, f->rows[i].used, {bytes->p + at, f->rows[i].len}};
		return 0;
	}
	return LINKFS_ENOENT;
}

static int fake_put(struct lk_db *db, const struct lk_table *table, const void *record)
{
	struct fake_db *f = (struct fake_db *)(void *)db;
	const struct lk_group *g = record;
	assert_int_equal(table->id, LK_T_GROUP);
	assert_int_equal(g->bitmap.len, G / 8);
	uint32_t i = 0;
	while (i < f->count && f->rows[i].number != g->number)
		i++;
	assert_true(i < ROWS);
	f->count = LK_MAX(f->count, i + 1);
	f->rows[i].number = g->number;
	f->rows[i].used = g->used;
	f->rows[i].len = g->bitmap.len;
	memcpy(f->rows[i].bitmap, g->bitmap.p, g->bitmap.len);
	f->puts++;
	return 0;
}

static int fake_scan(struct lk_db *db, const struct lk_scan *scan, lk_row_fn *fn, void *arg)
{
	struct fake_db *f = (struct fake_db *)(void *)db;
	assert_int_equal(scan->table->id, LK_T_GROUP);
	for (uint32_t i = 0; i < f->count; i++) {
		struct lk_group g = {f->rows[i].number, f->rows[i].used, {f->rows[i].bitmap, f->rows[i].len}};
		int r = fn(arg, &g);
		if (r)
			return r < 0 ? r : 0;
	}
	return 0;
}

static const struct lk_db_ops fake_ops = {.get = fake_get, .put = fake_put, .scan = fake_scan};

struct world {
	char *dir;
	struct lk_data *data;
	struct fake_db *db;
	struct lk_alloc *alloc;
};

static void world_open(struct world *w, uint64_t limit)
{
	w->dir = lk_test_mkdir();
	assert_int_equal(lk_data_open(w->dir, false, &w->data, NULL), 0);
	w->db = calloc(1, sizeof(*w->db));
	assert_non_null(w->db);
	w->db->db.ops = &fake_ops;
	assert_int_equal(lk_alloc_open(&w->db->db, w->data, limit, &w->alloc), 0);
}

static void world_close(struct world *w)
{
	lk_alloc_close(w->alloc);
	lk_data_close(w->data);
	free(w->db);
	lk_test_rmdir(w->dir);
}

static void commit(struct world *w)
{
	assert_int_equal(lk_alloc_flush(w->alloc), 0);
	lk_alloc_written(w->alloc);
	lk_alloc_committed(w->alloc);
}

static bool row_bit(const struct fake_db *f, uint64_t block)
{
	for (uint32_t i = 0; i < f->count; i++)
		if (f->rows[i].number == (int64_t)(block / G))
			return f->rows[i].bitmap[block % G / 8] >> (block % 8) & 1;
	return false;
}

static uint32_t reserve(struct world *w, uint32_t count, struct lk_run *runs, uint32_t max)
{
	uint32_t n = 0, sum = 0;
	assert_int_equal(lk_alloc_reserve(w->alloc, count, 0, runs, max, &n), 0);
	for (uint32_t i = 0; i < n; i++) {
		assert_true(runs[i].count > 0);
		assert_int_equal(runs[i].block / G, (runs[i].block + runs[i].count - 1) / G);
		sum += runs[i].count;
	}
	assert_int_equal(sum, count);
	return n;
}

/* Reserves, uses and keeps. */
static struct lk_run make_used(struct world *w, uint32_t count)
{
	struct lk_run run;
	struct lk_alloc_log log = {0};
	assert_int_equal(reserve(w, count, &run, 1), 1);
	assert_int_equal(lk_alloc_use(w->alloc, &log, &run), 0);
	lk_alloc_keep(w->alloc, &log);
	lk_buf_done(&log.entries);
	return run;
}

static void free_kept(struct world *w, struct lk_run run)
{
	struct lk_alloc_log log = {0};
	assert_int_equal(lk_alloc_free(w->alloc, &log, &run), 0);
	lk_alloc_keep(w->alloc, &log);
	lk_buf_done(&log.entries);
}

static uint64_t used_of(struct world *w, uint64_t *pending)
{
	uint64_t used, p;
	lk_alloc_usage(w->alloc, &used, &p);
	if (pending)
		*pending = p;
	return used;
}

/* Fills the volume up to its limit; block counts of what could be had. */
static uint32_t room(struct world *w, uint32_t most)
{
	struct lk_run runs[512];
	uint32_t n = 0, lo = 0, hi = most;
	while (lo < hi) {
		uint32_t mid = lo + (hi - lo + 1) / 2;
		int r = lk_alloc_reserve(w->alloc, mid, 0, runs, 512, &n);
		assert_true(r == 0 || r == LINKFS_ENOSPC);
		if (r) {
			hi = mid - 1;
			continue;
		}
		lo = mid;
		for (uint32_t i = 0; i < n; i++)
			lk_alloc_unreserve(w->alloc, &runs[i]);
	}
	return lo;
}

static void long_requests_are_one_run(void **state)
{
	(void)state;
	struct world w;
	world_open(&w, 0);
	struct lk_run runs[8];
	assert_int_equal(reserve(&w, 256, runs, 8), 1);
	uint32_t n = reserve(&w, G, runs, 8); /* the rest of this group and the next */
	assert_int_equal(n, 2);
	n = reserve(&w, 3 * G / 2, runs, 8);
	assert_true(n >= 2 && n <= 3);
	/* A file that grows goes on where it ended. */
	struct lk_run first = make_used(&w, 10), next;
	assert_int_equal(lk_alloc_reserve(w.alloc, 5, first.block + 10, &next, 1, &n), 0);
	assert_int_equal(n, 1);
	assert_true(next.block == first.block + 10);
	/* Fewer runs allowed than it takes: refused, and nothing stays reserved. */
	uint64_t before = used_of(&w, NULL);
	assert_int_equal(lk_alloc_reserve(w.alloc, 3 * G, 0, runs, 2, &n), LINKFS_ENOSPC);
	assert_true(used_of(&w, NULL) == before);
	assert_int_equal(lk_alloc_reserve(w.alloc, 1, 0, runs, 0, &n), LINKFS_ENOSPC);
	world_close(&w);
}

static void freed_blocks_wait_for_the_commit(void **state)
{
	(void)state;
	struct world w;
	world_open(&w, 100);
	struct lk_run a = make_used(&w, 100), none;
	uint32_t n;
	commit(&w);
	assert_true(row_bit(w.db, a.block));
	free_kept(&w, a);
	/* The limit counts what files hold, but the blocks themselves stay away until the commit. */
	struct lk_run other = make_used(&w, 100);
	assert_true(other.block >= a.block + 100 || other.block + 100 <= a.block);
	uint64_t pending;
	assert_int_equal(used_of(&w, &pending), 200);
	assert_int_equal(pending, 100);
	assert_int_equal(lk_alloc_reserve(w.alloc, 1, 0, &none, 1, &n), LINKFS_ENOSPC);
	commit(&w);
	assert_false(row_bit(w.db, a.block));
	lk_alloc_discard(w.alloc);
	free_kept(&w, other);
	commit(&w);
	lk_alloc_discard(w.alloc);
	commit(&w);
	assert_int_equal(used_of(&w, &pending), 0);
	assert_int_equal(pending, 0);
	world_close(&w);
}

/* What is committed and not durable yet may become so: what it names and what the state before it named stays away, each until what no longer
 * names it is durable. */
static void a_written_commit_counts_and_the_one_before_it(void **state)
{
	(void)state;
	struct world w;
	world_open(&w, 0);
	struct lk_run old = make_used(&w, 100), fresh;
	uint64_t pending;
	commit(&w);
	free_kept(&w, old);
	fresh = make_used(&w, 50);
	assert_int_equal(lk_alloc_flush(w.alloc), 0);
	lk_alloc_written(w.alloc);
	assert_int_equal(used_of(&w, &pending), 150);
	assert_int_equal(pending, 100);
	/* Freed in the next batch: the written one names it. What the next one made itself is free at once. */
	free_kept(&w, fresh);
	free_kept(&w, make_used(&w, 7));
	lk_alloc_committed(w.alloc);
	lk_alloc_discard(w.alloc);
	assert_int_equal(used_of(&w, &pending), 50);
	assert_int_equal(pending, 50);
	assert_true(row_bit(w.db, fresh.block));
	commit(&w);
	lk_alloc_discard(w.alloc);
	commit(&w);
	assert_int_equal(used_of(&w, &pending), 0);
	assert_int_equal(pending, 0);
	world_close(&w);
}

static void own_blocks_of_a_batch_are_free_at_once(void **state)
{
	(void)state;
	struct world w;
	world_open(&w, 0);
	struct lk_run keep = make_used(&w, G - 8); /* the group has 8 left */
	commit(&w);
	for (int i = 0; i < 100; i++) {
		struct lk_run run = make_used(&w, 8);
		assert_int_equal(run.block / G, keep.block / G);
		free_kept(&w, run);
		if (i < 99)
			lk_alloc_tight(w.alloc); /* no new group while there is room in this one */
	}
	world_close(&w);
}

static void undo_takes_everything_back(void **state)
{
	(void)state;
	struct world w;
	world_open(&w, 64);
	struct lk_run a = make_used(&w, 32), b;
	commit(&w);
	struct lk_alloc_log log = {0};
	uint32_t n;
	assert_int_equal(lk_alloc_reserve(w.alloc, 16, 0, &b, 1, &n), 0);
	assert_int_equal(lk_alloc_use(w.alloc, &log, &b), 0);
	assert_int_equal(lk_alloc_free(w.alloc, &log, &a), 0);
	struct lk_run half = {b.block + 4, 8};
	assert_int_equal(lk_alloc_free(w.alloc, &log, &half), 0);
	assert_int_equal(lk_alloc_free(w.alloc, &log, &half), LINKFS_ECORRUPT); /* freed twice */
	lk_alloc_undo(w.alloc, &log);
	assert_int_equal(used_of(&w, NULL), 32);
	commit(&w);
	for (uint32_t i = 0; i < 32; i++)
		assert_true(row_bit(w.db, a.block + i));
	for (uint32_t i = 0; i < 16; i++)
		assert_false(row_bit(w.db, b.block + i));
	assert_int_equal(room(&w, 100), 32);
	lk_buf_done(&log.entries);
	world_close(&w);
}

static void wrong_frees_are_damage(void **state)
{
	(void)state;
	struct world w;
	world_open(&w, 0);
	struct lk_alloc_log log = {0};
	struct lk_run a = make_used(&w, 10);
	struct lk_run bad[] = {
		{a.block, 11}, {a.block + 5, 100}, {G * UINT64_C(10), 1}, {UINT64_MAX, 1}, {0, UINT32_MAX}};
	for (size_t i = 0; i < LK_ARRAY_LEN(bad); i++)
		assert_int_equal(lk_alloc_free(w.alloc, &log, &bad[i]), LINKFS_ECORRUPT);
	assert_int_equal(lk_alloc_use(w.alloc, &log, &a), LINKFS_ECORRUPT); /* not reserved */
	assert_int_equal(log.entries.len, 0);
	assert_int_equal(used_of(&w, NULL), 10);
	lk_buf_done(&log.entries);
	world_close(&w);
}

/* A full volume with a limit: nothing can be had while a reader that began before the free is in flight. */
static void readers_hold_what_was_freed_after_them(void **state)
{
	(void)state;
	struct world w;
	world_open(&w, 0);
	struct lk_run a = make_used(&w, 12);
	struct lk_run rest = make_used(&w, G - 12);
	commit(&w);
	uint64_t r1 = lk_alloc_reader_begin(w.alloc);
	free_kept(&w, a);
	commit(&w);
	uint64_t pending;
	(void)used_of(&w, &pending);
	assert_int_equal(pending, 12);
	uint64_t r2 = lk_alloc_reader_begin(w.alloc); /* began after: need not hold it */
	commit(&w);
	(void)used_of(&w, &pending);
	assert_int_equal(pending, 12);
	lk_alloc_reader_end(w.alloc, r1);
	uint64_t r3 = lk_alloc_reader_begin(w.alloc);
	lk_alloc_reader_end(w.alloc, r2);
	/* A stream of readers, never none in flight, does not keep the blocks for ever. */
	for (int i = 0; i < 4; i++) {
		uint64_t next = lk_alloc_reader_begin(w.alloc);
		lk_alloc_reader_end(w.alloc, r3);
		r3 = next;
		commit(&w);
	}
	(void)used_of(&w, &pending);
	assert_int_equal(pending, 0);
	lk_alloc_reader_end(w.alloc, r3);

	/* The same for blocks that one batch allocated and freed. */
	struct lk_run b = make_used(&w, 12);
	assert_true(b.block == a.block);
	r1 = lk_alloc_reader_begin(w.alloc);
	free_kept(&w, b);
	struct lk_run c = make_used(&w, 12);
	assert_true(c.block + 12 <= b.block || c.block >= b.block + 12);
	lk_alloc_reader_end(w.alloc, r1);
	(void)rest;
	world_close(&w);
}

static void punched_runs_come_back_after_the_punch(void **state)
{
	(void)state;
	struct world w;
	world_open(&w, 0);
	uint8_t *bytes = malloc(64 * (size_t)LK_BLOCK_SIZE), *got = malloc(64 * (size_t)LK_BLOCK_SIZE);
	assert_true(bytes && got);
	memset(bytes, 0xab, 64 * (size_t)LK_BLOCK_SIZE);
	struct lk_run a = make_used(&w, 64);
	assert_int_equal(lk_data_write(w.data, a.block, 64, bytes), 0);
	commit(&w);
	/* Freed in two pieces of 32 in the wrong order, and one short one: merged and punched together. */
	free_kept(&w, (struct lk_run){a.block + 32, 20});
	free_kept(&w, (struct lk_run){a.block, 32});
	commit(&w);
	uint64_t pending;
	(void)used_of(&w, &pending);
	assert_int_equal(pending, lk_data_can_discard(w.data) ? 52 : 0);
	assert_int_equal(lk_data_read(w.data, a.block, 64, got), 0);
	assert_memory_equal(got, bytes, 64 * (size_t)LK_BLOCK_SIZE); /* not before the discard */
	lk_alloc_discard(w.alloc);
	assert_int_equal(lk_data_read(w.data, a.block, 64, got), 0);
	if (lk_data_can_discard(w.data))
		assert_int_equal(got[0] | got[52 * LK_BLOCK_SIZE - 1], 0);
	assert_memory_equal(got + 52 * (size_t)LK_BLOCK_SIZE, bytes, 12 * (size_t)LK_BLOCK_SIZE);
	commit(&w);
	(void)used_of(&w, &pending);
	assert_int_equal(pending, 0);
	free(bytes);
	free(got);
	world_close(&w);
}

/* A chunk whose blocks are freed one by one, and not in order, is given back whole with the last of them. */
static void crumbs_are_punched_with_their_chunk(void **state)
{
	(void)state;
	enum { CHUNK = 16, BLOCKS = 4 * CHUNK }; /* LK_PUNCH_BLOCKS_MIN */
	struct world w;
	uint64_t pending;
	world_open(&w, 0);
	uint8_t *bytes = malloc(BLOCKS * (size_t)LK_BLOCK_SIZE);
	assert_non_null(bytes);
	memset(bytes, 0xab, BLOCKS * (size_t)LK_BLOCK_SIZE);
	struct lk_run a = make_used(&w, BLOCKS);
	assert_int_equal(lk_data_write(w.data, a.block, BLOCKS, bytes), 0);
	commit(&w);
	if (!lk_data_can_discard(w.data))
		skip();
	/* The first whole chunk of the run. */
	uint64_t chunk = (a.block + CHUNK - 1) / CHUNK * CHUNK;
	for (uint32_t i = 0; i < CHUNK; i++) {
		free_kept(&w, (struct lk_run){chunk + i * 7 % CHUNK, 1});
		commit(&w);
		(void)used_of(&w, &pending);
		assert_int_equal(pending, i + 1 == CHUNK ? CHUNK : 0);
		lk_alloc_discard(w.alloc);
	}
	commit(&w);
	(void)used_of(&w, &pending);
	assert_int_equal(pending, 0);
	assert_int_equal(lk_data_read(w.data, chunk, CHUNK, bytes), 0);
	for (size_t i = 0; i < CHUNK * (size_t)LK_BLOCK_SIZE; i++)
		assert_int_equal(bytes[i], 0);
	/* Its neighbours in use keep what they hold. */
	assert_int_equal(lk_data_read(w.data, chunk + CHUNK, CHUNK, bytes), 0);
	for (size_t i = 0; i < CHUNK * (size_t)LK_BLOCK_SIZE; i++)
		assert_int_equal(bytes[i], 0xab);
	/* And they are taken from there again. */
	assert_true(make_used(&w, CHUNK).count == CHUNK);
	free(bytes);
	world_close(&w);
}

static void lying_bitmaps_are_damage(void **state)
{
	(void)state;
	for (int how = 0; how < 6; how++) {
		struct world w;
		world_open(&w, 0);
		struct lk_run a = make_used(&w, 100);
		commit(&w);
		lk_alloc_close(w.alloc);
		w.alloc = NULL;
		int at_open = LINKFS_ECORRUPT;
		switch (how) {
		case 0:
			w.db->rows[0].bitmap[G / 8 - 1] ^= 0x80;
			at_open = 0;
			break;
		case 1:
			w.db->rows[0].used++;
			at_open = 0;
			break;
		case 2:
			w.db->rows[0].used = -1;
			break;
		case 3:
			w.db->rows[0].used = G + 1;
			break;
		case 4:
			w.db->rows[0].len--;
			break;
		default:
			w.db->rows[0].number = 1 << 24;
			break;
		}
		assert_int_equal(lk_alloc_open(&w.db->db, w.data, 0, &w.alloc), at_open);
		if (!at_open) {
			struct lk_alloc_log log = {0};
			struct lk_run run;
			uint32_t n;
			assert_int_equal(lk_alloc_free(w.alloc, &log, &a), LINKFS_ECORRUPT);
			assert_int_equal(lk_alloc_reserve(w.alloc, 1, 0, &run, 1, &n), LINKFS_ECORRUPT);
			lk_buf_done(&log.entries);
		} else {
			assert_null(w.alloc);
		}
		world_close(&w);
	}
}

/* ---- the random model -------------------------------------------------------------------------------------------- */

#define BLOCKS (4 * G)
enum state { FREE, RESERVED, USED };

struct model {
	struct world w;
	struct lk_test_random random;
	uint8_t now[BLOCKS];      /* enum state */
	bool durable[BLOCKS];     /* allocated at the last commit */
	uint8_t readers[BLOCKS];  /* bit r: reader r may look at it */
	struct lk_run runs[4096]; /* used or reserved */
	bool reserved[4096];
	uint32_t count;
	struct {
		uint64_t ticket;
		bool live;
	} readers_live[3];
};

static void model_check_free(struct model *m, uint64_t block)
{
	/* K4: what was just reserved was free, is named by no durable row, and no reader can look at it. */
	assert_true(block < BLOCKS);
	assert_int_equal(m->now[block], FREE);
	assert_false(m->durable[block]);
	assert_int_equal(m->readers[block], 0);
}

static void model_reserve(struct model *m)
{
	struct lk_run runs[64];
	uint32_t n, want = 1 + (uint32_t)lk_test_below(&m->random, lk_test_below(&m->random, 20) ? 40 : 3000);
	uint64_t hint = m->count ? m->runs[lk_test_below(&m->random, m->count)].block + 7 : 0;
	if (lk_test_below(&m->random, 2))
		lk_alloc_tight(m->w.alloc); /* keeps the model small */
	int r = lk_alloc_reserve(m->w.alloc, want, hint, runs, 64, &n);
	if (r == LINKFS_ENOSPC)
		return;
	assert_int_equal(r, 0);
	uint32_t sum = 0;
	for (uint32_t i = 0; i < n; i++) {
		for (uint32_t b = 0; b < runs[i].count; b++) {
			model_check_free(m, runs[i].block + b);
			m->now[runs[i].block + b] = RESERVED;
		}
		sum += runs[i].count;
		if (m->count == LK_ARRAY_LEN(m->runs)) {
			for (uint32_t b = 0; b < runs[i].count; b++)
				m->now[runs[i].block + b] = FREE;
			lk_alloc_unreserve(m->w.alloc, &runs[i]);
			continue;
		}
		m->reserved[m->count] = true;
		m->runs[m->count++] = runs[i];
	}
	assert_int_equal(sum, want);
}

/* One operation over some runs: uses the reserved, frees the used (or a part); kept or undone. */
static void model_operate(struct model *m)
{
	struct lk_alloc_log log = {0};
	bool undo = lk_test_below(&m->random, 4) == 0;
	uint32_t start = (uint32_t)lk_test_below(&m->random, m->count + 1),
		 steps = 1 + (uint32_t)lk_test_below(&m->random, 4);
	for (uint32_t i = start; i < m->count && steps; i++, steps--) {
		struct lk_run run = m->runs[i];
		enum state to = m->reserved[i] ? USED : FREE;
		assert_int_equal(m->reserved[i] ? lk_alloc_use(m->w.alloc, &log, &run)
						: lk_alloc_free(m->w.alloc, &log, &run),
				 0);
		/* What was reserved and is undone is free again, too. */
		enum state end = undo ? (m->reserved[i] ? FREE : USED) : to;
		for (uint32_t b = 0; b < run.count; b++) {
			m->now[run.block + b] = (uint8_t)end;
			for (unsigned r = 0; end == FREE && !undo && r < LK_ARRAY_LEN(m->readers_live); r++)
				if (m->readers_live[r].live)
					m->readers[run.block + b] |= (uint8_t)(1u << r);
		}
		m->reserved[i] = false;
		if (end == FREE)
			m->runs[i].count = 0;
	}
	if (undo)
		lk_alloc_undo(m->w.alloc, &log);
	else
		lk_alloc_keep(m->w.alloc, &log);
	uint32_t kept = 0;
	for (uint32_t i = 0; i < m->count; i++) {
		if (m->runs[i].count) {
			m->reserved[kept] = m->reserved[i];
			m->runs[kept++] = m->runs[i];
		}
	}
	m->count = kept;
	lk_buf_done(&log.entries);
}

static void model_commit(struct model *m)
{
	commit(&m->w);
	for (uint64_t b = 0; b < BLOCKS; b++) {
		m->durable[b] = m->now[b] == USED;
		assert_int_equal(row_bit(m->w.db, b), m->durable[b]);
	}
}

static void model_reader(struct model *m, unsigned r)
{
	if (m->readers_live[r].live) {
		lk_alloc_reader_end(m->w.alloc, m->readers_live[r].ticket);
		for (uint64_t b = 0; b < BLOCKS; b++)
			m->readers[b] &= (uint8_t) ~(1u << r);
	} else {
		m->readers_live[r].ticket = lk_alloc_reader_begin(m->w.alloc);
	}
	m->readers_live[r].live = !m->readers_live[r].live;
}

/* Closed and opened again: reservations are gone, everything durable stays. */
static void model_reopen(struct model *m)
{
	model_commit(m);
	lk_alloc_close(m->w.alloc);
	assert_int_equal(lk_alloc_open(&m->w.db->db, m->w.data, 0, &m->w.alloc), 0);
	uint32_t kept = 0;
	for (uint32_t i = 0; i < m->count; i++) {
		if (m->reserved[i]) {
			memset(m->now + m->runs[i].block, FREE, m->runs[i].count);
			continue;
		}
		m->reserved[kept] = false;
		m->runs[kept++] = m->runs[i];
	}
	m->count = kept;
	memset(m->readers, 0, sizeof(m->readers));
	memset(m->readers_live, 0, sizeof(m->readers_live));
}

static void random_histories_keep_the_rules(void **state)
{
	(void)state;
	struct model *m = calloc(1, sizeof(*m));
	assert_non_null(m);
	m->random.state = lk_test_seed();
	world_open(&m->w, 3 * G);
	for (int step = 0; step < 6000; step++) {
		switch (lk_test_below(&m->random, 40)) {
		case 0:
			model_commit(m);
			break;
		case 1:
			lk_alloc_discard(m->w.alloc);
			break;
		case 2:
			model_reader(m, (unsigned)lk_test_below(&m->random, 3));
			break;
		case 3:
			if (lk_test_below(&m->random, 40) == 0)
				model_reopen(m);
			break;
		default:
			if (lk_test_below(&m->random, 5) < 3)
				model_reserve(m);
			else
				model_operate(m);
		}
	}
	/* Everything goes back: nothing is lost on the way. */
	for (unsigned r = 0; r < 3; r++)
		if (m->readers_live[r].live)
			model_reader(m, r);
	for (uint32_t i = 0; i < m->count; i++) {
		if (m->reserved[i])
			lk_alloc_unreserve(m->w.alloc, &m->runs[i]);
		else
			free_kept(&m->w, m->runs[i]);
	}
	commit(&m->w);
	lk_alloc_discard(m->w.alloc);
	commit(&m->w);
	uint64_t pending;
	assert_int_equal(used_of(&m->w, &pending), 0);
	assert_int_equal(pending, 0);
	world_close(&m->w);
	free(m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(long_requests_are_one_run),
		cmocka_unit_test(freed_blocks_wait_for_the_commit),
		cmocka_unit_test(a_written_commit_counts_and_the_one_before_it),
		cmocka_unit_test(own_blocks_of_a_batch_are_free_at_once),
		cmocka_unit_test(undo_takes_everything_back),
		cmocka_unit_test(wrong_frees_are_damage),
		cmocka_unit_test(readers_hold_what_was_freed_after_them),
		cmocka_unit_test(punched_runs_come_back_after_the_punch),
		cmocka_unit_test(crumbs_are_punched_with_their_chunk),
		cmocka_unit_test(lying_bitmaps_are_damage),
		cmocka_unit_test(random_histories_keep_the_rules),
	};
	return cmocka_run_group_tests_name("alloc", tests, NULL, NULL);
}
