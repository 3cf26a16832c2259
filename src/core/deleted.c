/*
 * deleted.c - kept files come and go: kept, given up when their time is over, given up early when space is short (deleted.h).
 * Layer: core. Giving up is one op for a row; what a large file has goes in the steps of orphan.c after it.
 */
#include "deleted.h"

#include "node.h"
#include "orphan.h"
#include "txn_impl.h"

#include <string.h>

#define EXPIRE_ROWS 256u  /* in one call: the keeper has commits to make in between */
#define STEP_ROWS 64u     /* the first step of making room ends after so many rows ... */
#define STEP_BLOCKS 1024u /* ... or blocks */
#define STEP_MAX 8u
#define SLACK_MIN_NS                                                                                                   \
	INT64_C(50000000) /* the keeper looks again no sooner than this, and gathers what is due till then */
#define SLACK_MAX_NS INT64_C(60000000000)  /* nor later than it must by more than this */
#define LOOK_MAX_NS INT64_C(3600000000000) /* the wall clock may be set: look at it again after this */

/* ---- keeping ------------------------------------------------------------------------------------------------------ */

/* The keeper's next look: wait_ns from now, and then what is due is gathered a little. Lock held. */
static void look_in(struct lk_fs *fs, int64_t wait_ns)
{
	int64_t slack = LK_MIN(LK_MAX(fs->keep_deleted_ns / 16, SLACK_MIN_NS), SLACK_MAX_NS);
	wait_ns = LK_MIN(LK_MAX(wait_ns, INT64_C(0)), LOOK_MAX_NS) + slack;
	fs->deleted_due = lk_clock_monotonic_ns() + (uint64_t)wait_ns;
}

int lk_deleted_add(struct lk_op *op, struct lk_inode *inode, const struct lk_lost *lost)
{
	struct lk_deleted row = {.time_ns = op->now_ns,
				 .ino = inode->ino,
				 .dir = (int64_t)lost->dir,
				 .name = {lost->name, lost->len},
				 .dir_mtime_ns = lost->dir_mtime_ns,
				 .how = lost->replaced ? LK_DELETED_REPLACED : LK_DELETED_REMOVED};
	int r;
	op->pages += LK_ROW_PAGES / 2; /* a third tree */
	/* Taken only when the clock was set back to the very nanosecond. */
	while ((r = lk_txn_insert(op, LK_T_DELETED, &row)) == LINKFS_EEXIST)
		row.time_ns++;
	if (r || inode->nlink)
		return r;
	inode->flags |= LK_INODE_KEPT;
	if (!op->fs->deleted_due) {
		look_in(op->fs, op->fs->keep_deleted_ns);
		lk_keeper_wake(op->fs);
	}
	return lk_txn_count(op, LK_COUNTER_KEPT, 1, NULL);
}

bool lk_deleted_any(struct lk_fs *fs)
{
	/* A row without a kept inode holds no more than itself. */
	return fs->batch->counters[LK_COUNTER_KEPT] > 0;
}

/* ---- giving up ------------------------------------------------------------------------------------------------------ */

static int give_up(struct lk_op *op, struct lk_inode *inode)
{
	int r = lk_txn_count(op, LK_COUNTER_KEPT, -1, NULL);
	if (r == 0)
		r = lk_txn_count(op, LK_COUNTER_KEPT_BLOCKS, -inode->blocks, NULL);
	inode->flags &= ~(int64_t)LK_INODE_KEPT;
	if (r == 0)
		r = lk_inode_put(op, inode);
	return r ? r : lk_orphan_add(op, inode);
}

int lk_deleted_purge(struct lk_op *op, const struct lk_deleted *row)
{
	struct lk_deleted other;
	struct lk_inode inode;
	int r = lk_txn_erase(op, LK_T_DELETED, row);
	if (r == 0)
		r = lk_inode_get_any(op, (uint64_t)row->ino, &inode);
	/* A name of a file that has gone, or has others. */
	if (r || !(inode.flags & LK_INODE_KEPT))
		return r == LINKFS_ESTALE ? 0 : r;
	r = lk_deleted_of(op, (uint64_t)row->ino, &other);
	return r == LINKFS_ENOENT ? give_up(op, &inode) : r;
}

static int take_row(void *arg, const void *record)
{
	struct lk_deleted *out = arg;
	*out = *(const struct lk_deleted *)record;
	out->name = (struct lk_bytes){NULL, 0};
	return 1;
}

/* The oldest row after time *after; without its name. LINKFS_ENOENT. */
static int oldest(struct lk_op *op, int64_t after, struct lk_deleted *out)
{
	struct lk_deleted from = {.time_ns = after}, found = {.ino = 0};
	struct lk_scan scan = {.table = &lk_tables[LK_T_DELETED],
			       .index = LK_BY_KEY,
			       .ranged = 1,
			       .exclusive = true,
			       .from = &from,
			       .limit = 1};
	int r = lk_txn_scan(op, &scan, take_row, &found);
	if (r)
		return r;
	if (!found.ino)
		return LINKFS_ENOENT;
	*out = found;
	return 0;
}

#define PURGE_FLAGS (LK_OP_WRITE | LK_OP_FREES | LK_OP_BULK | LK_OP_SILENT | LK_OP_PURGE)

struct purge {
	int64_t after;   /* rows up to this time were left as they are: damage, or nothing to be had from them */
	bool only_due;   /* only those whose time is over; else those that give space */
	int64_t wait_ns; /* until the next one's is */
	int64_t blocks;  /* given up */
	uint32_t rows;   /* that went */
};

/* How long the row's time still is. */
static int64_t time_left(const struct lk_op *op, const struct lk_deleted *row)
{
	int64_t end;
	if (__builtin_add_overflow(row->time_ns, op->fs->keep_deleted_ns, &end))
		return LOOK_MAX_NS;
	return op->fs->keep_deleted_ns && end > op->now_ns ? LK_MIN(end, op->now_ns + LOOK_MAX_NS) - op->now_ns : 0;
}

/* A file that is still open gives its space only when it is closed: no reason to give it up. */
static int check_gives(struct lk_op *op, const struct lk_deleted *row)
{
	struct lk_inode inode;
	int r = lk_inode_get_any(op, (uint64_t)row->ino, &inode);
	if (r)
		return r == LINKFS_ESTALE ? 0 : r;
	return (inode.flags & LK_INODE_KEPT) && lk_node_held(op->fs, (uint64_t)row->ino) ? LINKFS_EBUSY : 0;
}

/* One op: the oldest row goes. LINKFS_ENOENT when there is none, LINKFS_EAGAIN when its time has not come. */
static int purge_oldest(struct lk_fs *fs, struct purge *purge)
{
	struct lk_deleted row = {0};
	struct lk_op op;
	int r = lk_op_begin(fs, &op, PURGE_FLAGS);
	if (r)
		return r;
	int64_t before = fs->batch->counters[LK_COUNTER_KEPT_BLOCKS];
	r = oldest(&op, purge->after, &row);
	if (r == 0 && purge->only_due) {
		purge->wait_ns = time_left(&op, &row);
		if (fs->batch->stopping || purge->wait_ns)
			r = LINKFS_EAGAIN;
	}
	bool found = r == 0;
	if (found && !purge->only_due)
		r = check_gives(&op, &row);
	if (r == 0)
		r = lk_deleted_purge(&op, &row);
	int64_t blocks = before - fs->batch->counters[LK_COUNTER_KEPT_BLOCKS];
	r = lk_op_end(&op, r);
	if (r == 0) {
		purge->blocks += blocks;
		purge->rows++;
	} else if (found && (r == LINKFS_ECORRUPT || r == LINKFS_EBUSY)) {
		purge->after = row.time_ns; /* the others go all the same */
		r = 0;
	}
	return r;
}

bool lk_deleted_make_room(struct lk_fs *fs, unsigned step)
{
	uint32_t rows = STEP_ROWS << LK_MIN(step, STEP_MAX);
	int64_t blocks = (int64_t)STEP_BLOCKS << LK_MIN(step, STEP_MAX);
	struct purge purge = {.after = INT64_MIN};
	while (purge.rows < rows && purge.blocks < blocks && purge_oldest(fs, &purge) == 0)
		;
	return purge.rows && lk_txn_commit(fs) == 0;
}

/* When the keeper is to look again, by the oldest row that is not damaged. Returns whether its time is over. */
static bool plan(struct lk_fs *fs, int64_t after)
{
	struct lk_deleted row;
	struct lk_op op;
	int64_t left = LOOK_MAX_NS;
	if (lk_op_begin(fs, &op, 0))
		return false;
	int r = oldest(&op, after, &row);
	if (r == 0)
		left = time_left(&op, &row);
	if (r == 0)
		look_in(fs, left);
	else if (r != LINKFS_ENOENT || after != INT64_MIN)
		look_in(fs, SLACK_MAX_NS);
	else
		fs->deleted_due = 0; /* until one is kept */
	(void)lk_op_end(&op, r == LINKFS_ENOENT ? 0 : r);
	return left == 0;
}

void lk_deleted_expire(struct lk_fs *fs)
{
	struct purge purge = {.after = INT64_MIN, .only_due = true};
	int r = 0;
	for (uint32_t i = 0; r == 0 && i < EXPIRE_ROWS; i++)
		r = purge_oldest(fs, &purge);
	/* With more due the next look comes at once: a full host or a failed disk would make that a loop. */
	if (r)
		(void)plan(fs, purge.after);
}

void lk_deleted_recover(struct lk_fs *fs)
{
	if (plan(fs, INT64_MIN))
		lk_deleted_expire(fs);
	(void)pthread_mutex_lock(&fs->lock);
	if (fs->deleted_due)
		lk_keeper_wake(fs);
	(void)pthread_mutex_unlock(&fs->lock);
}

void lk_deleted_look(struct lk_fs *fs)
{
	(void)plan(fs, INT64_MIN);
	(void)pthread_mutex_lock(&fs->lock);
	if (fs->deleted_due)
		lk_keeper_wake(fs);
	(void)pthread_mutex_unlock(&fs->lock);
}
