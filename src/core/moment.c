/*
 * moment.c - see moment.h.
 * Layer: core.
 */
#include "moment.h"

#include "txn.h"

/* The first read fixes the moment; with the owner's lock held no commit comes in between. */
static int begin(struct lk_fs *owner, struct lk_db *db)
{
	struct lk_counter key = {.id = LK_COUNTER_EPOCH};
	int rc;

	(void)pthread_mutex_lock(&owner->lock);
	rc = db->ops->begin(db);
	if (rc == 0)
		rc = lk_db_get(db, &lk_tables[LK_T_COUNTER], &key, &key, NULL);
	(void)pthread_mutex_unlock(&owner->lock);
	return rc == LINKFS_ENOENT ? LINKFS_ECORRUPT : rc;
}

static bool others_can_read(struct lk_fs *owner)
{
	struct lk_db_usage usage = {0};
	int rc;

	if (owner->open_flags & LINKFS_OPEN_READONLY)
		return false;
	(void)pthread_mutex_lock(&owner->lock);
	rc = owner->db->ops->usage(owner->db, &usage);
	(void)pthread_mutex_unlock(&owner->lock);
	return rc == 0 && usage.readers;
}

int lk_moment_open(struct lk_fs *owner, struct lk_fs **out)
{
	struct lk_db *db;
	int rc;

	if (!others_can_read(owner))
		return LINKFS_EAGAIN;
	rc = lk_txn_commit(owner);
	if (rc && rc != LINKFS_EPOISONED)
		return rc;
	rc = lk_db_open_sqlite(owner->path, LK_DB_READONLY, &db, NULL);
	if (rc)
		return rc;
	rc = begin(owner, db);
	if (rc) {
		lk_db_close(db);
		return rc;
	}
	return lk_fs_open_on(db, owner->path, LINKFS_OPEN_READONLY | LK_FS_MOMENT, 0, out, NULL);
}
