/*
 * undelete.c - calls on deleted files: list, give back, give up (E9).
 * Layer: api.
 */
#include "call.h"
#include "deleted.h"
#include "track.h"

#include <string.h>

#define LIST_ROWS 64u /* looked at with the lock held once */

/* Times of rows, newest first: names are read row by row, in the op's arena. */
struct times {
	int64_t time_ns[LIST_ROWS];
	uint32_t count;
};

static int take_time(void *arg, const void *record)
{
	struct times *times = arg;

	times->time_ns[times->count++] = ((const struct lk_deleted *)record)->time_ns;
	return times->count == LIST_ROWS;
}

/* Rows before time cursor by the narrowest index that the query allows. */
static int next_times(struct lk_op *op, const struct linkfs_deleted_query *query, int64_t cursor, struct times *out)
{
	struct lk_deleted from = {.time_ns = cursor, .ino = (int64_t)query->ino, .dir = (int64_t)query->dir};
	struct lk_scan scan = {.table = &lk_tables[LK_T_DELETED],
			       .index = LK_BY_KEY,
			       .ranged = 1,
			       .exclusive = true,
			       .reverse = true,
			       .from = &from,
			       .limit = LIST_ROWS};

	if (query->ino) {
		scan.index = LK_DELETED_BY_INO;
		scan.equal = 1;
	} else if (query->dir && !(query->flags & LINKFS_DELETED_BELOW)) {
		scan.index = LK_DELETED_BY_DIR;
		scan.equal = 1;
	}
	out->count = 0;
	return lk_txn_scan(op, &scan, take_time, out);
}

struct listing {
	const struct linkfs_cred *cred;
	const struct linkfs_deleted_query *query;
	linkfs_deleted_fn *fn;
	void *arg;
};

static bool matches(const struct linkfs_deleted_query *query, const struct lk_deleted *row)
{
	if (query->ino && query->ino != (uint64_t)row->ino)
		return false;
	if (query->dir && !(query->flags & LINKFS_DELETED_BELOW) && query->dir != (uint64_t)row->dir)
		return false;
	return !query->name ||
	       (query->name_len == row->name.len && memcmp(query->name, row->name.p, row->name.len) == 0);
}

/* Tells of one row, if it is asked for and cred may see it. *stop_out: fn did not take it. */
static int list_one(struct lk_op *op, const struct listing *l, int64_t time_ns, bool *stop_out)
{
	struct linkfs_deleted_query const *query = l->query;
	struct lk_deleted_place place;
	struct linkfs_deleted entry;
	struct lk_deleted row;
	struct lk_inode inode;
	int rc = lk_deleted_get(op, time_ns, &row);

	if (rc || !matches(query, &row))
		return rc == LINKFS_ENOENT ? 0 : rc;
	rc = lk_inode_get_any(op, (uint64_t)row.ino, &inode);
	if (rc || !lk_cred_owns(l->cred, &inode))
		return rc == LINKFS_ESTALE ? 0 : rc;
	if (inode.nlink && !(query->flags & LINKFS_DELETED_NAMED))
		return 0;
	rc = lk_deleted_place(op, l->cred, &row, query->dir, &place);
	if (rc || ((query->flags & LINKFS_DELETED_BELOW) && !place.below))
		return rc;
	entry = (struct linkfs_deleted){.time_ns = row.time_ns,
					.ino = (uint64_t)row.ino,
					.dir = (uint64_t)row.dir,
					.name = row.name.p,
					.name_len = row.name.len,
					.path = place.path};
	if (row.how == LK_DELETED_REPLACED)
		entry.flags |= LINKFS_DELETED_REPLACED;
	if (place.dir_kept)
		entry.flags |= LINKFS_DELETED_DIR_KEPT;
	if (place.dir_gone)
		entry.flags |= LINKFS_DELETED_DIR_GONE;
	if (__builtin_add_overflow(row.time_ns, op->fs->keep_deleted_ns, &entry.expires_ns))
		entry.expires_ns = INT64_MAX;
	rc = lk_stat(op, &inode, (uint64_t)inode.ino, &entry.stat);
	if (rc)
		return rc;
	*stop_out = l->fn(l->arg, &entry) != 0;
	return 0;
}

int linkfs_deleted_list(struct linkfs_volume *volume, const struct linkfs_cred *cred,
			const struct linkfs_deleted_query *query, int64_t *cursor, linkfs_deleted_fn *fn, void *arg)
{
	struct listing l = {lk_cred(cred), query, fn, arg};
	int64_t at = *cursor ? *cursor : INT64_MAX, next = 0;
	struct times times;
	struct lk_op op;
	bool stop = false;
	int rc;

	if ((query->flags & ~(LINKFS_DELETED_BELOW | LINKFS_DELETED_NAMED)) || (query->name && !query->dir))
		return LINKFS_EINVAL;
	rc = lk_op_begin(lk_volume_fs(volume), &op, 0);
	if (rc)
		return rc;
	rc = next_times(&op, query, at, &times);
	for (uint32_t i = 0; rc == 0 && !stop && i < times.count; i++) {
		if (times.time_ns[i] < query->since_ns) {
			times.count = 0; /* nothing follows */
			break;
		}
		rc = list_one(&op, &l, times.time_ns[i], &stop);
		if (!stop)
			at = times.time_ns[i];
	}
	rc = lk_op_end(&op, rc);
	if (rc)
		return rc;
	/* 0 means the end, so a deletion at that very instant is passed over as one that begins the list would be. */
	if (stop || times.count == LIST_ROWS)
		next = at ? at : 1;
	*cursor = next;
	return 0;
}

/* ---- a directory's last removals ------------------------------------------------------------------------------------ */

struct chain {
	int64_t before; /* the directory's mtime before the last one seen: the time of the one that must follow */
	int64_t since;
	uint32_t seen;
	bool any, ends;
};

static int chain_row(void *arg, const void *record)
{
	struct chain *c = arg;
	const struct lk_deleted *row = record;

	c->ends = row->how != LK_DELETED_REMOVED || (c->any && row->time_ns != c->before);
	if (c->ends)
		return 1;
	c->any = true;
	c->since = row->time_ns;
	c->before = row->dir_mtime_ns;
	c->seen++;
	return 0;
}

int linkfs_deleted_since(struct linkfs_volume *volume, uint64_t dir, int64_t *since_out)
{
	struct chain c = {.since = INT64_MAX};
	int rc = 0;

	do {
		struct lk_deleted from = {.time_ns = c.since, .dir = (int64_t)dir};
		struct lk_scan scan = {.table = &lk_tables[LK_T_DELETED],
				       .index = LK_DELETED_BY_DIR,
				       .equal = 1,
				       .ranged = 1,
				       .exclusive = true,
				       .reverse = true,
				       .from = &from,
				       .limit = LIST_ROWS};
		struct lk_op op;

		c.seen = 0;
		rc = lk_op_begin(lk_volume_fs(volume), &op, 0);
		if (rc == 0)
			rc = lk_op_end(&op, lk_txn_scan(&op, &scan, chain_row, &c));
	} while (rc == 0 && !c.ends && c.seen == LIST_ROWS);
	if (rc == 0 && !c.any)
		rc = LINKFS_ENOENT;
	if (rc == 0)
		*since_out = c.since;
	return rc;
}

/* ---- giving back ---------------------------------------------------------------------------------------------------- */

/* One step: the topmost directory that is missing, or the name itself when none is. */
static int restore_step(struct lk_op *op, const struct linkfs_cred *cred, int64_t time_ns,
			const struct lk_undelete *how, bool *done_out, struct lk_inode *out)
{
	static const struct lk_undelete own;
	struct lk_deleted row;
	int64_t missing;
	int rc = lk_deleted_get(op, time_ns, &row);

	*done_out = true;
	if (rc)
		return rc;
	/* Whom it does not belong to gets no directory made for it either. */
	rc = lk_inode_get_any(op, (uint64_t)row.ino, out);
	if (rc)
		return rc == LINKFS_ESTALE ? LINKFS_ENOENT : rc;
	if (!lk_cred_owns(cred, out))
		return LINKFS_EPERM;
	missing = 0;
	rc = how->dir ? 0 : lk_deleted_missing(op, (uint64_t)row.dir, &missing);
	if (rc)
		return rc;
	if (!missing)
		return lk_deleted_restore(op, cred, &row, how, out);
	*done_out = false;
	rc = lk_deleted_get(op, missing, &row);
	return rc ? rc : lk_deleted_restore(op, cred, &row, &own, out);
}

static bool is_dots(const char *name, size_t len)
{
	return name[0] == '.' && (len == 1 || (len == 2 && name[1] == '.'));
}

int linkfs_deleted_restore(struct linkfs_volume *volume, const struct linkfs_cred *cred, int64_t time_ns,
			   const struct linkfs_undelete *how, struct linkfs_stat *out)
{
	struct lk_undelete to = {.dir = 0};
	struct lk_inode inode = {0};
	struct lk_op op;
	bool done = false;
	int rc = 0;

	if (how && (how->flags & ~LINKFS_UNDELETE_DIR_TIME))
		return LINKFS_EINVAL;
	if (how) {
		to = (struct lk_undelete){how->dir, how->name, how->name ? how->name_len : 0,
					  how->flags & LINKFS_UNDELETE_DIR_TIME};
		if (how->name && how->name_len > LINKFS_NAME_MAX)
			return LINKFS_ENAMETOOLONG;
		if (how->name && (lk_name_check(how->name, how->name_len) || is_dots(how->name, how->name_len)))
			return LINKFS_EINVAL;
	}
	cred = lk_cred(cred);
	while (rc == 0 && !done) {
		rc = lk_call_begin(volume, &op, cred, 0);
		if (rc)
			break;
		rc = restore_step(&op, cred, time_ns, &to, &done, &inode);
		rc = lk_call_end(&op, rc, &inode, 0, done ? out : NULL);
	}
	return rc;
}

int linkfs_deleted_purge(struct linkfs_volume *volume, const struct linkfs_cred *cred, int64_t time_ns)
{
	struct lk_deleted row;
	struct lk_inode inode;
	struct lk_op op;
	int rc;

	cred = lk_cred(cred);
	rc = lk_op_begin(lk_volume_fs(volume), &op, lk_op_flags(cred, LK_OP_FREES | LK_OP_BULK | LK_OP_PURGE));
	if (rc)
		return rc;
	rc = lk_deleted_get(&op, time_ns, &row);
	if (rc == 0)
		rc = lk_inode_get_any(&op, (uint64_t)row.ino, &inode);
	if (rc == 0 && !lk_cred_owns(cred, &inode))
		rc = LINKFS_EPERM;
	if (rc == 0 || rc == LINKFS_ESTALE)
		rc = lk_deleted_purge(&op, &row);
	return lk_op_end(&op, rc);
}
