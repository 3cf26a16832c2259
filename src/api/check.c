/*
 * check.c - linkfs_check.h's calls: a volume that nobody owns, or the moment of one that is open here.
 * Layer: api.
 *
 * Beside the owner's calls a connection of its own reads the last commit (T5), and a reader's ticket keeps the blocks of that moment
 * from being used again (K4). Where the host has no shared memory for that, records are read with the volume's lock held, and
 * then the rows of data in slices, each with the blocks of its own moment.
 */
#include "check.h"

#include "host_dir.h"
#include "owner.h"
#include "problem.h"
#include "txn.h"
#include "volume.h"

#include <stdlib.h>

#define FLAGS (LINKFS_CHECK_DATA | LINKFS_CHECK_REPAIR | LINKFS_CHECK_DROP_DATA | LINKFS_CHECK_NO_BACKUP)

const struct linkfs_problem *linkfs_problems(size_t *count_out)
{
	*count_out = LK_P_COUNT;
	return lk_problems;
}

static int check_options(const struct linkfs_check_options *o, struct linkfs_message *why)
{
	if (o->flags & ~FLAGS)
		return lk_fail(why, LINKFS_EINVAL, "unknown flags 0x%x to check a volume", o->flags & ~FLAGS);
	if ((o->flags & LINKFS_CHECK_DROP_DATA) &&
	    (o->flags & (LINKFS_CHECK_DATA | LINKFS_CHECK_REPAIR)) != (LINKFS_CHECK_DATA | LINKFS_CHECK_REPAIR))
		return lk_fail(why, LINKFS_EINVAL, "data is dropped only by a repair that reads the data");
	return 0;
}

/* ---- a volume that nobody owns ------------------------------------------------------------------------------------- */

/* What a check finds damaged already at the door. */
static bool is_damage(int r)
{
	return r == LINKFS_ECORRUPT || r == LINKFS_ESCHEMA || r == LINKFS_ENOTVOLUME;
}

static int check_dir(const char *dir, const struct linkfs_check_options *o, struct linkfs_check_summary *out,
		     struct linkfs_message *why)
{
	bool repair = o->flags & LINKFS_CHECK_REPAIR;
	struct linkfs_message text = {""};
	struct lk_check_job job = {.dir = dir, .options = o};
	int r = lk_db_open_sqlite(dir, repair ? 0 : LK_DB_READONLY, &job.db, &text);
	if (is_damage(r))
		return lk_check_unopenable(o, text.text, out);
	if (r)
		return lk_fail(why, r, "%s", text.text);
	r = lk_data_open(dir, !repair, &job.data, why);
	if (r == 0 && !repair)
		r = job.db->ops->begin(job.db);
	if (r == 0)
		r = lk_check_run(&job, out, why);
	if (!repair)
		(void)job.db->ops->rollback(job.db);
	lk_data_close(job.data);
	lk_db_close(job.db);
	return r;
}

int linkfs_check(const char *path, const struct linkfs_check_options *options, struct linkfs_check_summary *out,
		 struct linkfs_message *why)
{
	struct linkfs_check_options o = options ? *options : (struct linkfs_check_options){0};
	struct lk_owner_file *owner = NULL;
	char *dir = NULL;
	if (!path || !*path)
		return lk_fail(why, LINKFS_EINVAL, "the path of the volume is empty");
	int r = check_options(&o, why);
	if (r == 0)
		r = lk_host_volume_dir(path, &dir, why);
	if (r)
		return r;
	struct linkfs_check_summary *sum = malloc(sizeof(*sum));
	if (!sum) {
		free(dir);
		return lk_fail(why, LINKFS_ENOMEM, "out of memory");
	}
	r = lk_owner_take(dir, !(o.flags & LINKFS_CHECK_REPAIR), NULL, NULL, &owner, why);
	if (r == 0)
		r = check_dir(dir, &o, sum, why);
	if (r == 0 && out)
		*out = *sum;
	lk_owner_release(owner);
	free(sum);
	free(dir);
	return r;
}

/* ---- a volume that is open here -------------------------------------------------------------------------------------- */

struct live {
	struct lk_fs *fs;
	uint64_t ticket;
	bool held; /* the ticket */
	bool locked;
};

static void lock(struct live *l)
{
	(void)pthread_mutex_lock(&l->fs->lock);
	l->locked = true;
}

static void unlock(struct live *l)
{
	l->locked = false;
	(void)pthread_mutex_unlock(&l->fs->lock);
}

/* Lock held: blocks freed from now on stay as they are, in place of those since the last ticket. */
static void take_ticket(struct live *l)
{
	uint64_t before = l->ticket;
	bool held = l->held;
	l->ticket = lk_alloc_reader_begin(l->fs->alloc);
	l->held = true;
	if (held)
		lk_alloc_reader_end(l->fs->alloc, before);
}

/* A reader of the last commit. Its first read fixes the moment. */
static int open_moment(struct live *l, struct lk_db **out)
{
	struct lk_db *db;
	struct lk_counter key = {.id = LK_COUNTER_EPOCH};
	int r = lk_db_open_sqlite(l->fs->path, LK_DB_READONLY, &db, NULL);
	if (r)
		return r;
	lock(l);
	r = db->ops->begin(db);
	if (r == 0) {
		r = lk_db_get(db, &lk_tables[LK_T_COUNTER], &key, &key, NULL);
		/* Damage is what the check is to find. */
		r = r == LINKFS_ENOENT || r == LINKFS_ECORRUPT ? 0 : r;
	}
	if (r == 0)
		take_ticket(l);
	unlock(l);
	if (r)
		lk_db_close(db);
	else
		*out = db;
	return r;
}

static int enter(void *arg, bool fresh)
{
	struct live *l = arg;
	lock(l);
	if (fresh)
		take_ticket(l);
	return 0;
}

static void leave(void *arg)
{
	unlock(arg);
}

static void metadata_done(void *arg)
{
	struct live *l = arg;
	if (l->locked)
		unlock(l);
}

static bool others_can_read(struct lk_fs *fs)
{
	struct lk_db_usage usage = {0};
	(void)pthread_mutex_lock(&fs->lock);
	int r = fs->db->ops->usage(fs->db, &usage);
	(void)pthread_mutex_unlock(&fs->lock);
	return r == 0 && usage.readers;
}

static int check_live(struct live *l, const struct linkfs_check_options *o, struct linkfs_check_summary *sum,
		      struct linkfs_message *why)
{
	struct lk_fs *fs = l->fs;
	struct lk_check_job job = {.data = fs->data, .dir = fs->path, .options = o, .arg = l};
	if (others_can_read(fs)) {
		int r = open_moment(l, &job.db);
		if (r)
			return lk_fail(why, r, "cannot read %s beside its owner: %s", fs->path, linkfs_strerror(r));
		r = lk_check_run(&job, sum, why);
		(void)job.db->ops->rollback(job.db);
		lk_db_close(job.db);
		return r;
	}
	job.db = fs->db;
	job.enter = enter;
	job.leave = leave;
	job.metadata_done = metadata_done;
	int r = lk_txn_settle(fs);
	if (r)
		return lk_fail(why, r, "cannot commit %s: %s", fs->path, linkfs_strerror(r));
	l->locked = true;
	r = lk_check_run(&job, sum, why);
	if (l->locked)
		unlock(l);
	return r;
}

int linkfs_volume_check(struct linkfs_volume *volume, const struct linkfs_check_options *options,
			struct linkfs_check_summary *out, struct linkfs_message *why)
{
	struct linkfs_check_options o = options ? *options : (struct linkfs_check_options){0};
	struct live l = {.fs = lk_volume_fs(volume)};
	int r = check_options(&o, why);
	if (r)
		return r;
	if (o.flags & LINKFS_CHECK_REPAIR)
		return lk_fail(why, LINKFS_EBUSY, "%s is in use: it can be checked now, and repaired when it is closed",
			       l.fs->path);
	/* A poisoned volume is checked as it was last committed. */
	r = lk_txn_commit(l.fs);
	if (r && r != LINKFS_EPOISONED)
		return lk_fail(why, r, "cannot commit %s: %s", l.fs->path, linkfs_strerror(r));
	struct linkfs_check_summary *sum = malloc(sizeof(*sum));
	if (!sum)
		return lk_fail(why, LINKFS_ENOMEM, "out of memory");
	r = check_live(&l, &o, sum, why);
	if (l.held)
		lk_alloc_reader_end(l.fs->alloc, l.ticket);
	if (r == 0 && out)
		*out = *sum;
	free(sum);
	return r;
}
