/*
 * mend.c - writing repairs: a copy of the metadata first, then transactions that hold whole mends.
 * Layer: check. The space of each write is proved before it (T4).
 */
#include "check_impl.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#define BATCH_ROWS 2000u
#define ROW_PAGES 16u /* a row's write: leaves, siblings and what is above in two or three trees */

static int make_backup(struct lk_check *c)
{
	char *path = c->sum->backup;
	size_t size = sizeof(c->sum->backup);
	if (c->options->flags & LINKFS_CHECK_NO_BACKUP || path[0])
		return 0;
	int r = LINKFS_EEXIST;
	for (unsigned try = 0; r == LINKFS_EEXIST && try < 100; try++) {
		int len;
		if (c->options->backup) {
			len = snprintf(path, size, "%s", c->options->backup);
			try = 100;
		} else {
			time_t now = time(NULL);
			struct tm tm;
			char date[32];
			if (!gmtime_r(&now, &tm) || strftime(date, sizeof(date), "%Y%m%dT%H%M%SZ", &tm) == 0)
				date[0] = '\0';
			len = try ? snprintf(path, size, "%s/meta.db.repair-%s.%u", c->job->dir, date, try)
				  : snprintf(path, size, "%s/meta.db.repair-%s", c->job->dir, date);
		}
		r = len < 0 || (size_t)len >= size ? LINKFS_ENAMETOOLONG : c->db->ops->copy(c->db, path);
	}
	if (r) {
		(void)lk_fail(c->why, r, "cannot make the copy of the metadata at %s: %s", path, linkfs_strerror(r));
		path[0] = '\0';
	}
	return r;
}

/* Before each write. */
static int prepare(struct lk_check *c, uint32_t pages)
{
	int r = 0;
	if (!c->repair)
		return lk_fail(c->why, LINKFS_EINVAL, "a repair was tried where none may be made");
	if (!c->in_batch) {
		r = make_backup(c);
		if (r == 0)
			r = c->db->ops->begin(c->db);
		c->in_batch = r == 0;
		c->pending = 0;
	}
	if (r == 0)
		r = c->db->ops->reserve(c->db, pages, false);
	if (r == LINKFS_ENOSPC)
		return lk_fail(c->why, r, "there is no room on the host for the repair of %s", c->job->dir);
	c->pending++;
	return r;
}

static uint32_t pages_of(const struct lk_table *table, const void *record)
{
	size_t total = 0;
	for (uint8_t i = 0; i < table->column_count; i++) {
		if (table->columns[i].type == LK_BYTES)
			total += lk_bytes_of(&table->columns[i], record)->len;
	}
	return ROW_PAGES + (uint32_t)(total / (LK_BLOCK_SIZE / 2));
}

/* Remembered, so that nobody takes a write that failed for a table that cannot be read. */
static int done(struct lk_check *c, int r)
{
	if (r == LINKFS_EIO || r == LINKFS_ECORRUPT)
		c->failed = true;
	return r;
}

int lk_mend_put(struct lk_check *c, enum lk_table_id table, const void *record)
{
	int r = prepare(c, pages_of(&lk_tables[table], record));
	return done(c, r ? r : lk_db_put(c->db, &lk_tables[table], record));
}

int lk_mend_insert(struct lk_check *c, enum lk_table_id table, const void *record)
{
	int r = prepare(c, pages_of(&lk_tables[table], record));
	return done(c, r ? r : lk_db_insert(c->db, &lk_tables[table], record));
}

int lk_mend_new_inode(struct lk_check *c, const struct lk_inode *inode)
{
	struct lk_counter next = {LK_COUNTER_NEXT_INO, inode->ino + 1};
	int r = lk_mend_put(c, LK_T_INODE, inode);
	c->largest_ino = LK_MAX(c->largest_ino, inode->ino);
	/* A counter that is missing is made when all numbers are known. */
	if (r || !c->next_ino || c->next_ino > inode->ino)
		return r;
	c->next_ino = next.value;
	return lk_mend_put(c, LK_T_COUNTER, &next);
}

int lk_mend_erase(struct lk_check *c, enum lk_table_id table, const void *key)
{
	int r = prepare(c, ROW_PAGES);
	if (r == 0)
		r = lk_db_erase(c->db, &lk_tables[table], key);
	return done(c, r == LINKFS_ENOENT ? 0 : r);
}

int lk_mend_rebuild(struct lk_check *c, enum lk_table_id table)
{
	struct lk_db_usage usage;
	int r = c->db->ops->usage(c->db, &usage);
	if (r == 0)
		r = prepare(c, (uint32_t)LK_MIN(usage.pages / 2 + ROW_PAGES, (uint64_t)UINT32_MAX));
	return r ? r : c->db->ops->rebuild(c->db, &lk_tables[table]);
}

/* K2: the live row of key goes to history when the newest snapshot sees it. */
static int keep(struct lk_check *c, const struct lk_table *table, const void *key)
{
	_Alignas(8) char row[LK_RECORD_MAX + 8], old[LK_RECORD_MAX + 8];
	struct lk_buf bytes = {0};
	if (!c->newest)
		return 0;
	int r = lk_db_get(c->db, table, key, row, &bytes);
	if (r == 0 && *lk_int_of(&table->columns[table->born_column], row) <= c->newest) {
		lk_record_to_old(table, row, c->newest, old);
		r = lk_mend_put(c, table->old, old);
	}
	lk_buf_done(&bytes);
	return r == LINKFS_ENOENT ? 0 : r;
}

int lk_mend_remove(struct lk_check *c, enum lk_table_id table, const void *key)
{
	int r = keep(c, &lk_tables[table], key);
	return r ? r : lk_mend_erase(c, table, key);
}

int lk_mend_end(struct lk_check *c)
{
	if (!c->in_batch)
		return 0;
	int r = c->db->ops->commit(c->db);
	if (r) {
		lk_mend_abandon(c);
		(void)done(c, r);
		return lk_fail(c->why, r, "a repair of %s could not be committed: %s", c->job->dir, linkfs_strerror(r));
	}
	c->in_batch = false;
	return 0;
}

int lk_mend_point(struct lk_check *c)
{
	return c->pending < BATCH_ROWS ? 0 : lk_mend_end(c);
}

void lk_mend_abandon(struct lk_check *c)
{
	if (c->in_batch)
		(void)c->db->ops->rollback(c->db);
	c->in_batch = false;
}

int lk_get(struct lk_check *c, enum lk_table_id table, const void *key, void *record, struct lk_buf *bytes)
{
	return lk_db_get(c->db, &lk_tables[table], key, record, bytes);
}
