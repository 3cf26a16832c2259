/*
 * alloc.h - which disk blocks are in use: bitmaps of block groups, kept in memory, written to table grp at commit.
 * Layer: store. K4: a reservation lives in memory; a freed block is allocatable again once the batch that freed it is
 * durable (at once if that batch also allocated it) and no read that began before the free is still in flight.
 * Guarded by the metadata lock, but for lk_alloc_reader_begin/end.
 */
#ifndef LK_ALLOC_H
#define LK_ALLOC_H

#include "data.h"
#include "db.h"

struct lk_alloc;

struct lk_run {
	uint64_t block;
	uint32_t count;
};

/* What one operation allocated and freed, so that it can be taken back. Zero-initialised is empty. */
struct lk_alloc_log {
	struct lk_buf entries;
};

/* Loads groups from the database on demand. limit_blocks 0: only the host limits. */
int lk_alloc_open(struct lk_db *db, struct lk_data *data, uint64_t limit_blocks, struct lk_alloc **out);
void lk_alloc_close(struct lk_alloc *alloc);

/* Reserves count blocks in at most max_runs runs (each inside one group), as contiguous as can be, near hint (0: none).
 * LINKFS_ENOSPC reserves nothing. */
int lk_alloc_reserve(struct lk_alloc *alloc, uint32_t count, uint64_t hint, struct lk_run *runs, uint32_t max_runs,
		     uint32_t *run_count_out);
/* The same for blocks that take the place of replaced others: those do not count against the volume's limit. */
int lk_alloc_reserve_for(struct lk_alloc *alloc, uint32_t count, uint32_t replaced, uint64_t hint, struct lk_run *runs,
			 uint32_t max_runs, uint32_t *run_count_out);
/* Gives a reservation, or a part of one, back unused. */
void lk_alloc_unreserve(struct lk_alloc *alloc, const struct lk_run *run);
/* The host refused a write for space: until the next commit reserve where it has blocks already, low and in any piece. */
void lk_alloc_tight(struct lk_alloc *alloc);
/* A reservation (or part) becomes allocated in this operation. */
int lk_alloc_use(struct lk_alloc *alloc, struct lk_alloc_log *log, const struct lk_run *run);
/* Allocated blocks become free in this operation. LINKFS_ECORRUPT if they are not allocated. */
int lk_alloc_free(struct lk_alloc *alloc, struct lk_alloc_log *log, const struct lk_run *run);
/* Blocks that the operation freed so far. */
uint64_t lk_alloc_log_freed(const struct lk_alloc_log *log);
/* The operation failed: what it used is reserved no longer, what it freed is allocated again. */
void lk_alloc_undo(struct lk_alloc *alloc, struct lk_alloc_log *log);
/* The operation stands. */
void lk_alloc_keep(struct lk_alloc *alloc, struct lk_alloc_log *log);

/* Commit: write changed groups into the open transaction; then, when it is committed and may become durable at any moment, know what it
 * names; then, when it is durable, release what was freed: before the next is written. The
 * discard of released space to the host happens in lk_alloc_discard(), called without the metadata lock, after each commit;
 * runs worth it are free only after that (or when space is short). */
int lk_alloc_flush(struct lk_alloc *alloc);
void lk_alloc_written(struct lk_alloc *alloc);
void lk_alloc_committed(struct lk_alloc *alloc);
void lk_alloc_discard(struct lk_alloc *alloc);

/* A read in flight keeps the blocks freed after it began. Begin is called under the metadata lock; end from any
 * thread without it. */
uint64_t lk_alloc_reader_begin(struct lk_alloc *alloc);
void lk_alloc_reader_end(struct lk_alloc *alloc, uint64_t ticket);

/* Blocks that cannot be reserved (allocated, reserved, waiting), and of those the freed ones that wait for a commit, a
 * reader or a discard. */
void lk_alloc_usage(struct lk_alloc *alloc, uint64_t *used_out, uint64_t *pending_out);

#endif
