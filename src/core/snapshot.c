/*
 * snapshot.c - see snapshot.h.
 * Layer: core. Names are looked up by going through the rows: there are thousands of snapshots at most, of which each is a short row.
 */
#include "snapshot.h"

#include "inode_cache.h"
#include "receive_core.h"
#include "tags.h"
#include "txn_impl.h"

#include <linkfs_snapshots.h>
#include <string.h>

#define CLEAN_STEPS 64u /* of the keeper, who has other things to do */

int lk_snapshot_check(const char *name, size_t len)
{
	if (len > LINKFS_NAME_MAX)
		return LINKFS_ENAMETOOLONG;
	if (len == 0 || memchr(name, '/', len) || memchr(name, 0, len) ||
	    (name[0] == '.' && (len == 1 || (len == 2 && name[1] == '.'))))
		return LINKFS_EINVAL;
	return 0;
}

struct search {
	struct lk_op *op;
	const char *name; /* NULL: by time */
	size_t len;
	int64_t time_ns;
	int64_t epoch; /* found; 0: none */
};

static int look_at(void *arg, const void *record)
{
	const struct lk_snapshot *s = record;
	struct search *q = arg;

	if (s->deleting)
		return 0;
	if (q->name) {
		if (s->name.len != q->len || memcmp(s->name.p, q->name, q->len) != 0)
			return 0;
		q->epoch = s->epoch;
		return 1;
	}
	/* Clocks go back at times: of those that are not after it the newest is the one taken last. */
	if (s->time_ns <= q->time_ns)
		q->epoch = s->epoch;
	return 0;
}

static int find(struct lk_op *op, struct search *q, struct lk_snapshot *out)
{
	struct lk_scan scan = {.table = &lk_tables[LK_T_SNAPSHOT], .index = LK_BY_KEY};
	int rc = lk_txn_scan(op, &scan, look_at, q);

	if (rc == 0 && q->epoch == 0)
		rc = LINKFS_ENOENT;
	if (rc)
		return rc;
	out->epoch = q->epoch;
	return lk_txn_get(op, LK_T_SNAPSHOT, out, out);
}

int lk_snapshot_find(struct lk_op *op, const char *name, size_t len, struct lk_snapshot *out)
{
	return find(op, &(struct search){.op = op, .name = name, .len = len}, out);
}

int lk_snapshot_at(struct lk_op *op, int64_t time_ns, struct lk_snapshot *out)
{
	return find(op, &(struct search){.op = op, .time_ns = time_ns}, out);
}

/* The name may be had. */
static int is_free(struct lk_op *op, const char *name, size_t len)
{
	struct lk_snapshot other;
	int rc = lk_snapshot_check(name, len);

	if (rc == 0)
		rc = lk_snapshot_find(op, name, len, &other);
	return rc == LINKFS_ENOENT ? 0 : rc == 0 ? LINKFS_EEXIST : rc;
}

/* There are others now, or by other names. */
static int tell(struct lk_op *op)
{
	return lk_op_event(op, LINKFS_EVENT_LISTING, LINKFS_SNAPSHOTS_NODE, NULL, 0);
}

int lk_snapshot_add(struct lk_op *op, struct lk_snapshot *s)
{
	int rc = is_free(op, s->name.p, s->name.len);

	if (s->time_ns == 0)
		s->time_ns = op->now_ns;
	if (rc == 0)
		rc = lk_txn_snapshot_add(op, s);
	return rc ? rc : tell(op);
}

struct pass {
	lk_row_fn *fn;
	void *arg;
};

static int pass_row(void *arg, const void *record)
{
	const struct pass *p = arg;

	return ((const struct lk_snapshot *)record)->deleting ? 0 : p->fn(p->arg, record);
}

int lk_snapshot_scan(struct lk_op *op, int64_t after, lk_row_fn *fn, void *arg)
{
	struct lk_snapshot key = {.epoch = after};
	struct lk_scan scan = {
		.table = &lk_tables[LK_T_SNAPSHOT], .index = LK_BY_KEY, .ranged = 1, .exclusive = true, .from = &key};

	return lk_txn_scan(op, &scan, pass_row, &(struct pass){fn, arg});
}

int lk_snapshot_rename(struct lk_op *op, const char *name, size_t len, const char *to, size_t to_len)
{
	struct lk_snapshot row;
	int rc = lk_snapshot_find(op, name, len, &row);

	if (rc == 0 && len == to_len && memcmp(name, to, len) == 0)
		return 0;
	if (rc == 0)
		rc = is_free(op, to, to_len);
	if (rc)
		return rc;
	row.name = (struct lk_bytes){to, to_len};
	rc = lk_txn_put(op, LK_T_SNAPSHOT, &row);
	return rc ? rc : tell(op);
}

int lk_snapshot_tag(struct lk_op *op, const char *name, size_t len, struct lk_bytes add, struct lk_bytes remove)
{
	struct lk_buf text = {0};
	struct lk_snapshot row;
	int rc = lk_snapshot_find(op, name, len, &row);

	if (rc == 0)
		rc = lk_tags_change(row.tags, add, remove, &text);
	if (rc == 0) {
		row.tags = (struct lk_bytes){text.len ? (const void *)text.p : "", text.len};
		rc = lk_txn_put(op, LK_T_SNAPSHOT, &row);
	}
	lk_buf_done(&text);
	return rc;
}

/* ---- deleting --------------------------------------------------------------------------------------------------- */

#define STEP_FLAGS (LK_OP_WRITE | LK_OP_FREES | LK_OP_BULK | LK_OP_PURGE | LK_OP_ALONE)

/* Rows of a snapshot that is marked; ends the op. A failure leaves *work as it was. */
static int step(struct lk_op *op, struct lk_snapshot_work *work, int rc)
{
	uint32_t most = lk_op_is_alone(op) ? LK_SNAPSHOT_COMMIT : LK_SNAPSHOT_STEP, rows = 0;
	struct lk_fs *fs = op->fs;
	bool more = false, commit;
	uint64_t blocks;

	if (rc == 0)
		rc = lk_txn_snapshot_drop(op, work->epoch, most, &rows, &more);
	if (rc == LINKFS_ENOENT && work->more) /* the keeper was here */
		rc = 0;
	blocks = lk_alloc_log_freed(&op->alloc);
	commit = fs->batch->rows + op->rows >= LK_SNAPSHOT_COMMIT;
	rc = lk_op_end(op, rc);
	if (rc)
		return rc;
	work->more = more;
	work->rows += rows;
	work->blocks += blocks;
	return commit ? lk_txn_commit(fs) : 0;
}

static int find_either(struct lk_op *op, const char *name, size_t len, struct lk_snapshot *row)
{
	int rc = name ? lk_snapshot_find(op, name, len, row) : lk_txn_get(op, LK_T_SNAPSHOT, row, row);

	if (rc == 0 && row->deleting)
		rc = LINKFS_ENOENT;
	return rc == 0 && row->epoch == lk_receive_base(op->fs) ? LINKFS_EBUSY : rc;
}

static int mark(struct lk_op *op, int64_t epoch)
{
	int rc = lk_txn_snapshot_mark(op, epoch);

	if (rc == 0)
		rc = tell(op);
	/* Before the lock is given up: from the next write on the snapshot is not what it was. If the op does not stand nodes that
	 * were known are looked up anew, and that is all. */
	if (rc == 0)
		lk_view_gone(op->fs, epoch);
	return rc;
}

/* What it kept cannot be given back, for now or at all: it goes all the same, and keeps nobody from deleting others. */
static void mark_alone(struct lk_fs *fs, struct lk_snapshot_work *work)
{
	struct lk_op op;

	if (lk_op_begin(fs, &op, LK_OP_WRITE | LK_OP_FREES) == 0)
		work->more = lk_op_end(&op, mark(&op, work->epoch)) == 0;
}

int lk_snapshot_delete(struct lk_fs *fs, const char *name, size_t len, struct lk_snapshot_work *work)
{
	struct lk_snapshot row = {.epoch = work->epoch};
	struct lk_op op;
	int rc = lk_op_begin(fs, &op, STEP_FLAGS);
	bool marked;

	if (rc)
		return rc;
	work->more = false;
	rc = find_either(&op, name, len, &row);
	work->epoch = row.epoch;
	if (rc == 0)
		rc = mark(&op, row.epoch);
	marked = rc == 0;
	rc = step(&op, work, rc);
	if (rc && marked)
		mark_alone(fs, work);
	return rc;
}

struct newer {
	int64_t than;
	bool found;
};

static int is_newer(void *arg, const void *record)
{
	struct newer *q = arg;

	q->found = ((const struct lk_bind *)record)->born > q->than;
	return q->found;
}

int lk_snapshot_differs(struct lk_op *op, int64_t epoch, bool *out)
{
	/* The snapshot had all records written: what is newer than its row has changed since. And what was there then and is another now, or
	 * gone, has a row in history that lasts until then or later. Something new is in a directory, which has changed; but for binds, which
	 * change nothing else and are few. */
	const struct lk_scan binds = {.table = &lk_tables[LK_T_BIND], .index = LK_BY_KEY};
	struct newer bind = {.than = epoch};
	bool differs = lk_inode_cache_dirty(op->fs) > 0;
	int rc = 0;

	for (int t = 0; rc == 0 && !differs && t < LK_T_LIVE_COUNT; t++) {
		if (lk_tables[t].versioned)
			rc = lk_txn_history_since(op, (enum lk_table_id)t, epoch, &differs);
	}
	if (rc == 0 && !differs && atomic_load(&op->fs->linked))
		rc = lk_db_scan(op->fs->db, &binds, is_newer, &bind);
	*out = differs || bind.found;
	return rc;
}

int lk_snapshot_step(struct lk_fs *fs, struct lk_snapshot_work *work)
{
	struct lk_op op;
	int rc = lk_op_begin(fs, &op, STEP_FLAGS | LK_OP_SILENT);

	return rc ? rc : step(&op, work, 0);
}

void lk_snapshot_leave(struct lk_fs *fs)
{
	(void)pthread_mutex_lock(&fs->lock);
	atomic_store(&fs->snapshots_due, true);
	lk_keeper_wake(fs);
	(void)pthread_mutex_unlock(&fs->lock);
}

static int first_deleting(void *arg, const void *record)
{
	const struct lk_snapshot *s = record;

	if (!s->deleting)
		return 0;
	*(int64_t *)arg = s->epoch;
	return 1;
}

/* The oldest that is being deleted; 0: none. */
static int next_deleting(struct lk_fs *fs, int64_t *epoch_out)
{
	struct lk_scan scan = {.table = &lk_tables[LK_T_SNAPSHOT], .index = LK_BY_KEY};
	struct lk_op op;
	int rc = lk_op_begin(fs, &op, 0);

	*epoch_out = 0;
	return rc ? rc : lk_op_end(&op, lk_txn_scan(&op, &scan, first_deleting, epoch_out));
}

int lk_snapshot_recover(struct lk_fs *fs)
{
	int64_t epoch;
	int rc = next_deleting(fs, &epoch);

	if (rc == 0 && epoch)
		lk_snapshot_leave(fs);
	return rc;
}

void lk_snapshot_clean(struct lk_fs *fs)
{
	struct lk_snapshot_work work = {.more = true};
	int rc = next_deleting(fs, &work.epoch);

	for (unsigned steps = 0; rc == 0 && work.epoch && work.more && steps < CLEAN_STEPS; steps++)
		rc = lk_snapshot_step(fs, &work);
	/* A failure (damage, a full disk) is met again at the next open and no sooner. */
	if (rc || work.epoch == 0)
		atomic_store(&fs->snapshots_due, false);
}
