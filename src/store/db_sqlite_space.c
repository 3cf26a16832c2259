/*
 * db_sqlite_space.c - the reserve of T4, and checkpoints.
 * Layer: store.
 */
#include "db_sqlite.h"

int lk_sqlite_reserve(struct lk_db *base, uint32_t pages, bool freeing)
{
	struct lk_sqlite *db = lk_sqlite_of(base);
	(void)pages;
	(void)freeing;
	return db->lost ? LINKFS_EIO : db->read_only ? LINKFS_EROFS : 0;
}

static int checkpoint_on(sqlite3 *handle)
{
	int code = sqlite3_wal_checkpoint_v2(handle, "main", SQLITE_CHECKPOINT_PASSIVE, NULL, NULL);
	return code == SQLITE_BUSY ? 0 : lk_sqlite_error(code);
}

int lk_sqlite_checkpoint(struct lk_db *base, bool slice)
{
	struct lk_sqlite *db = lk_sqlite_of(base);
	if (db->read_only)
		return LINKFS_EROFS;
	if (slice)
		return db->in_transaction ? LINKFS_EINVAL : checkpoint_on(db->handle);
	if (db->exclusive)
		return LINKFS_EAGAIN;
	if (pthread_mutex_lock(&db->side_lock))
		return LINKFS_EIO;
	int r = 0;
	if (!db->side) {
		r = lk_sqlite_connect(db->path, false, false, &db->side, NULL);
		if (!r)
			r = lk_sqlite_exec(db->side, "PRAGMA wal_autocheckpoint=0; PRAGMA cache_size=-256");
	}
	if (!r)
		r = checkpoint_on(db->side);
	(void)pthread_mutex_unlock(&db->side_lock);
	return r;
}

int lk_sqlite_usage(struct lk_db *base, struct lk_db_usage *out)
{
	struct lk_sqlite *db = lk_sqlite_of(base);
	int64_t pages = 0, free_pages = 0;
	int r = lk_sqlite_integer(db->handle, "PRAGMA page_count", &pages);
	if (!r)
		r = lk_sqlite_integer(db->handle, "PRAGMA freelist_count", &free_pages);
	if (r)
		return r;
	*out = (struct lk_db_usage){.pages = (uint64_t)pages, .free_pages = (uint64_t)free_pages, .page_size = 4096};
	return 0;
}
