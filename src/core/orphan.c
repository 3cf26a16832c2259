/*
 * orphan.c - inodes without a name: kept while held, erased at once when small and unheld, else in bounded steps.
 * Layer: core. A row in table orphan stands for every inode that has no name and is not erased yet, so that a crash
 * at any moment leaves nothing that the next open does not find (A2).
 */
#include "orphan.h"

#include "file.h"
#include "node.h"
#include "txn_impl.h"

#define ROWS_IN_OP 16u    /* erased within the op that took the last name */
#define ROWS_IN_STEP 256u /* erased in one step after it */
#define SCAN_ROWS 256u

/* Erases what inode has, at most max_rows rows of content. When more is left, inode is put with what is left. */
static int erase_some(struct lk_op *op, struct lk_inode *inode, uint32_t max_rows, bool *more_out)
{
	bool more = false;
	int r = 0;
	if (lk_is_reg(inode))
		r = lk_file_drop(op, inode, max_rows, &more);
	else if (lk_is_lnk(inode))
		r = lk_symlink_drop(op, inode);
	if (r == 0 && more)
		r = lk_inode_put(op, inode);
	if (r == 0 && !more && inode->xattr_count)
		r = lk_xattr_drop(op, inode);
	if (r == 0 && !more)
		r = lk_inode_erase(op, (uint64_t)inode->ino);
	if (r == 0)
		*more_out = more;
	return r;
}

int lk_orphan_add(struct lk_op *op, struct lk_inode *inode)
{
	struct lk_orphan row = {.ino = inode->ino};
	uint64_t ino = (uint64_t)inode->ino;
	if (lk_node_mark_orphan(op->fs, ino))
		return lk_txn_put(op, LK_T_ORPHAN, &row);
	bool more;
	int r = erase_some(op, inode, ROWS_IN_OP, &more);
	if (r || !more)
		return r;
	r = lk_txn_put(op, LK_T_ORPHAN, &row);
	return r ? r : lk_op_reclaim(op, ino);
}

int lk_orphan_add_held(struct lk_op *op, struct lk_inode *inode)
{
	uint64_t ino = (uint64_t)inode->ino;
	int r = lk_node_hold(op->fs, ino, 1);
	if (r)
		return r;
	r = lk_orphan_add(op, inode);
	if (r)
		(void)lk_node_unhold(op->fs, ino, 1);
	return r;
}

int lk_orphan_remove(struct lk_op *op, uint64_t ino)
{
	struct lk_orphan row = {.ino = (int64_t)ino};
	int r = lk_txn_erase(op, LK_T_ORPHAN, &row);
	return r == LINKFS_ENOENT ? LINKFS_ECORRUPT : r;
}

static int step(struct lk_op *op, uint64_t ino, bool *more_out)
{
	struct lk_orphan row = {.ino = (int64_t)ino};
	struct lk_inode inode;
	bool more = false;
	*more_out = false;
	int r = lk_txn_get(op, LK_T_ORPHAN, &row, &row);
	if (r) /* no orphan: a file whose truncation needs more steps */
		return r == LINKFS_ENOENT ? lk_file_trim_step(op, ino, more_out) : r;
	/* Held again between the last hold's end and now: that hold's end comes here again, so it must find the mark. */
	if (lk_node_mark_orphan(op->fs, ino))
		return lk_file_trim_step(op, ino, more_out);
	r = lk_inode_get(op, ino, &inode);
	/* A row for a file that has names, or for none, is wrong: the row goes, the file stays. */
	if (r == 0 && inode.nlink == 0)
		r = erase_some(op, &inode, ROWS_IN_STEP, &more);
	else if (r == LINKFS_ESTALE)
		r = 0;
	if (r == 0 && !more)
		r = lk_txn_erase(op, LK_T_ORPHAN, &row);
	if (r == 0)
		*more_out = more;
	return r;
}

int lk_orphan_released(struct lk_fs *fs, uint64_t ino)
{
	bool more = true;
	int r = 0;
	while (r == 0 && more) {
		struct lk_op op;
		r = lk_op_begin(fs, &op, LK_OP_WRITE | LK_OP_FREES | LK_OP_BULK | LK_OP_SILENT | LK_OP_PURGE);
		if (r)
			break;
		r = lk_op_end(&op, step(&op, ino, &more));
	}
	return r;
}

/* Up to SCAN_ROWS rows of a table whose key is one number, from number *from on; *from goes behind the last. */
static int next_rows(struct lk_fs *fs, enum lk_table_id table, struct lk_row_set *set, int64_t *from)
{
	_Alignas(8) char key[LK_RECORD_MAX] = {0};
	*lk_int_at(&lk_tables[table].columns[0], key) = *from;
	set->table = &lk_tables[table];
	lk_row_set_clear(set);
	struct lk_scan scan = {.table = set->table,
			       .index = LK_BY_KEY,
			       .ranged = 1,
			       .exclusive = true,
			       .from = key,
			       .limit = SCAN_ROWS};
	struct lk_op op;
	int r = lk_op_begin(fs, &op, 0);
	if (r)
		return r;
	r = lk_op_end(&op, lk_txn_scan(&op, &scan, lk_row_set_add, set));
	lk_row_set_ready(set);
	if (r == 0 && set->count)
		*from = *lk_int_of(&set->table->columns[0], lk_row_set_at(set, set->count - 1));
	return r;
}

void lk_orphan_unhold(struct lk_fs *fs, uint64_t ino)
{
	if (lk_node_unhold(fs, ino, 1))
		(void)lk_orphan_released(fs, ino);
}

int lk_orphan_recover(struct lk_fs *fs)
{
	struct lk_row_set set = {0};
	int64_t from = INT64_MIN;
	int r;
	/* What one of them meets (damage, a full disk) keeps neither the others nor the volume from opening: its row stays. */
	while ((r = next_rows(fs, LK_T_INTENT, &set, &from)) == 0 && set.count) {
		for (uint32_t i = 0; i < set.count; i++)
			(void)lk_file_resume(fs, lk_row_set_at(&set, i));
	}
	from = INT64_MIN;
	while (r == 0 && (r = next_rows(fs, LK_T_ORPHAN, &set, &from)) == 0 && set.count) {
		for (uint32_t i = 0; i < set.count; i++) {
			const struct lk_orphan *row = lk_row_set_at(&set, i);
			(void)lk_orphan_released(fs, (uint64_t)row->ino);
		}
	}
	lk_row_set_done(&set);
	return r;
}
