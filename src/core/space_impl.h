/*
 * space_impl.h - what the space*.c files share: the state of one question.
 * Layer: core, private to space*.c. space.c asks and gives up the lock at times, space_rows.c looks at rows, space_names.c at names,
 * space_blocks.c sums up blocks, space_with.c tells what else has them.
 */
#ifndef LK_SPACE_IMPL_H
#define LK_SPACE_IMPL_H

#include "set.h"
#include "share.h"
#include "space.h"
#include "txn_impl.h"

#define LK_SPACE_ROWS 256u /* in one part of a scan */

/* What becomes of a row that names blocks. */
enum lk_space_fate {
	LK_SPACE_DROPPED, /* the set's deletion drops it */
	LK_SPACE_GOING,   /* it goes anyway (Q3) */
	LK_SPACE_STAYS,   /* the set has it, and it stays */
};

/* Where a stretch of blocks begins or ends; which row it is of does not matter. */
struct lk_space_edge {
	uint64_t at;
	uint64_t what; /* refs << 3 | fate << 1 | end */
};
struct lk_space_span {
	uint64_t from, to;
};

/* An inode that is met by several names, or is a directory. */
struct lk_space_node {
	uint64_t ino;
	uint32_t seen, names; /* names that go; those it has, or more when it stays anyway */
	bool dir, listed;     /* of a directory: what is in it is counted, or may not be read */
};

struct lk_space_run {
	struct lk_fs *fs;
	const struct lk_space_ask *ask;
	const struct linkfs_space_question *q;
	struct linkfs_space_sum *sum;
	struct lk_op op;
	bool open;             /* op is */
	uint64_t standing;     /* slices: as it was at the start */
	uint64_t since_ns;     /* of the op */
	struct lk_buf skipped; /* directories to tell of: error, length, path */
	bool full, with;

	/* Epochs, ascending. */
	int64_t *gone, *stay, *going; /* deleted by the set; remaining; being deleted already */
	size_t gone_count, stay_count, going_count;

	/* Blocks with several references, and with "with" all that stay. */
	struct lk_buf edges;
	struct lk_share_range range; /* looked up last */
	struct lk_space_span *spans; /* with: what of the set stays, ascending, disjoint */
	size_t span_count;

	/* Names. */
	struct lk_buf nodes;         /* struct lk_space_node, in the order they were met in */
	uint32_t *node_slots;        /* by number: position in nodes + 1 */
	size_t node_cap;             /* a power of two */
	struct lk_buf due;           /* positions of directories that go and are to be listed */
	bool node_files;             /* an item is a file by its number */
	struct lk_space_item *named; /* the items that are names, in order of (dir, hash, ord) */
	size_t named_count;
	struct lk_set counted; /* files without a name, and when full live ones, whose rows were looked at */
	struct lk_set dropped; /* those that go; of the set when with */

	/* with: bytes of inline content that stay. */
	uint64_t *inline_stay; /* by snapshot that remains: differences */
	struct lk_buf files;   /* struct lk_space_file */
	struct lk_buf answers; /* space_with.c's */
};

struct lk_space_file {
	uint64_t ino, bytes;
};

/* Between two parts of the work: lets others in, tells, asks whether to go on. The op is another one afterwards, with the same view. */
int lk_space_rest(struct lk_space_run *run);
/* Gives the lock up for work that needs none, and takes it again; when the question is asked as a whole they do nothing. */
int lk_space_leave(struct lk_space_run *run);
int lk_space_return(struct lk_space_run *run);
/* Whether a snapshot of the list lies in [born, last]. */
bool lk_space_any(const int64_t *epochs, size_t count, int64_t born, int64_t last);
/* Position of the first epoch that is not below. */
size_t lk_space_first(const int64_t *epochs, size_t count, int64_t epoch);
static inline bool lk_space_stays(const struct lk_space_run *run, int64_t born, int64_t last)
{
	return lk_space_any(run->stay, run->stay_count, born, last);
}

/* space_rows.c */
/* History rows that go with the snapshots, and rows of files that have no name any more. */
int lk_space_history(struct lk_space_run *run);
/* The content of a live file; dropped: it goes. */
int lk_space_file(struct lk_space_run *run, const struct lk_inode *inode, bool dropped);
/* full: what else the snapshots of the set see. */
int lk_space_seen(struct lk_space_run *run);
/* times: in so many trees. */
static inline void lk_space_sizes(struct lk_space_run *run, const struct lk_inode *inode, uint64_t times)
{
	uint64_t allocated = (uint64_t)inode->blocks * LK_BLOCK_SIZE;

	if (lk_is_reg(inode) && (inode->flags & LK_INODE_INLINE))
		allocated += (uint64_t)(inode->flags & LK_INODE_PACKED ? inode->rdev : inode->size);
	run->sum->files += times;
	run->sum->allocated += times * allocated;
	if (lk_is_reg(inode) || lk_is_lnk(inode))
		run->sum->apparent += times * (uint64_t)inode->size;
}
/* A scan of rows as they are, live or history, in parts. table, index, equal and those columns of from are set by the caller. */
struct lk_space_scan {
	enum lk_table_id table;
	int index;
	uint8_t equal;
	bool begun, ended;
	struct lk_row_set set; /* the part */
	_Alignas(8) char from[LK_RECORD_MAX + 8];
};
/* The next part, which has no rows at the end. lk_row_set_done() of its set frees. */
int lk_space_next(struct lk_space_run *run, struct lk_space_scan *scan);

/* space_names.c */
int lk_space_names(struct lk_space_run *run);
/* Whether a name in dir goes with the set. */
bool lk_space_name_goes(const struct lk_space_run *run, uint64_t dir, int64_t hash, int64_t ord);

/* space_blocks.c */
int lk_space_blocks(struct lk_space_run *run, uint64_t from, uint64_t count, enum lk_space_fate fate);
/* All rows were looked at. No op open. */
int lk_space_sum_up(struct lk_space_run *run);

/* space_with.c */
/* Finds what else has what stays. */
int lk_space_with(struct lk_space_run *run);
/* Tells it. No op open. */
int lk_space_tell_with(struct lk_space_run *run);

#endif
