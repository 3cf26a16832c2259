/*
 * snapshot.c - calls on snapshots (linkfs_snapshots.h).
 * Layer: api.
 */
#include "snapshots.h"

#include "tags.h"
#include "told.h"

#include <string.h>

#define NOTE_MAX 4095u

/* Whoever may set a volume's properties. */
static int may_change(struct lk_op *op, const struct linkfs_cred *cred)
{
	struct lk_inode root;
	int rc = lk_inode_get(op, LINKFS_ROOT_INO, &root);

	return rc == 0 && !lk_cred_owns(cred, &root) ? LINKFS_EPERM : rc;
}

static int change_begin(struct linkfs_volume *volume, const struct linkfs_cred *cred, struct lk_op *op)
{
	int rc = lk_op_begin(lk_volume_fs(volume), op, LK_OP_WRITE);

	if (rc)
		return rc;
	rc = may_change(op, lk_cred(cred));
	return rc ? lk_op_end(op, rc) : 0;
}

static struct lk_bytes text_of(const char *text, size_t max)
{
	return (struct lk_bytes){text ? text : "", text ? strnlen(text, max + 1) : 0};
}

int linkfs_snapshot_tags_check(const char *tags)
{
	struct lk_buf text = {0};
	int rc = lk_tags_make(text_of(tags, LK_TAGS_MAX), &text);

	lk_buf_done(&text);
	return rc;
}

int linkfs_snapshot_create(struct linkfs_volume *volume, const struct linkfs_cred *cred,
			   const struct linkfs_snapshot_new *what, uint64_t *id_out)
{
	struct lk_snapshot row = {.name = text_of(what->name, LINKFS_NAME_MAX), .note = text_of(what->note, NOTE_MAX)};
	struct lk_buf tags = {0};
	struct lk_op op;
	int rc = row.note.len > NOTE_MAX ? LINKFS_ENAMETOOLONG : lk_tags_make(text_of(what->tags, LK_TAGS_MAX), &tags);

	if (rc == 0)
		rc = change_begin(volume, cred, &op);
	if (rc == 0) {
		row.tags = (struct lk_bytes){tags.len ? (const void *)tags.p : "", tags.len};
		rc = lk_op_end(&op, lk_snapshot_add(&op, &row));
	}
	lk_buf_done(&tags);
	if (rc == 0 && id_out)
		*id_out = (uint64_t)row.epoch;
	return rc;
}

int linkfs_snapshot_tag(struct linkfs_volume *volume, const struct linkfs_cred *cred, const char *name, const char *add,
			const char *remove)
{
	struct lk_op op;
	int rc = change_begin(volume, cred, &op);

	if (rc)
		return rc;
	return lk_op_end(&op, lk_snapshot_tag(&op, name, strnlen(name, LINKFS_NAME_MAX + 1), text_of(add, LK_TAGS_MAX),
					      text_of(remove, LK_TAGS_MAX)));
}

int linkfs_snapshot_rename(struct linkfs_volume *volume, const struct linkfs_cred *cred, const char *name,
			   const char *new_name)
{
	struct lk_op op;
	int rc = change_begin(volume, cred, &op);

	if (rc)
		return rc;
	return lk_op_end(&op, lk_snapshot_rename(&op, name, strnlen(name, LINKFS_NAME_MAX + 1), new_name,
						 strnlen(new_name, LINKFS_NAME_MAX + 1)));
}

/* ---- listed and found ------------------------------------------------------------------------------------------- */

struct listing {
	struct lk_told told;
	linkfs_snapshot_fn *fn;
	void *arg;
};

struct linkfs_snapshot lk_snapshot_told(const struct lk_snapshot *s, char *bytes)
{
	struct linkfs_snapshot out = {
		.id = (uint64_t)s->epoch,
		.name_len = s->name.len,
		.note_len = s->note.len,
		.tags_len = s->tags.len,
		.time_ns = s->time_ns,
	};

	out.name = lk_told_string(&bytes, s->name.p, s->name.len);
	out.note = lk_told_string(&bytes, s->note.p, s->note.len);
	out.tags = lk_told_string(&bytes, s->tags.p, s->tags.len);
	return out;
}

static int tell(void *arg, const void *record)
{
	const struct lk_snapshot *s = record;
	struct listing *l = arg;
	struct linkfs_snapshot *out;
	char *bytes;

	out = lk_told_add(&l->told, sizeof(*out), LK_SNAPSHOT_BYTES(s), &bytes);
	if (!out)
		return LINKFS_ENOMEM;
	*out = lk_snapshot_told(s, bytes);
	return 0;
}

static int give(void *arg, const void *answer)
{
	const struct listing *l = arg;

	return l->fn(l->arg, answer) ? 1 : 0;
}

int linkfs_snapshot_list(struct linkfs_volume *volume, linkfs_snapshot_fn *fn, void *arg)
{
	struct listing l = {.fn = fn, .arg = arg};
	struct lk_op op;
	int rc = lk_op_begin(lk_volume_fs(volume), &op, 0);

	if (rc)
		return rc;
	return lk_told_result(lk_told_slice(&op, lk_snapshot_scan(&op, 0, tell, &l), &l.told, give, &l));
}

/* name NULL: by time. */
static int show(struct linkfs_volume *volume, const char *name, int64_t time_ns, linkfs_snapshot_fn *fn, void *arg)
{
	struct listing l = {.fn = fn, .arg = arg};
	struct lk_snapshot row;
	struct lk_op op;
	int rc = lk_op_begin(lk_volume_fs(volume), &op, 0);

	if (rc)
		return rc;
	rc = name ? lk_snapshot_find(&op, name, strnlen(name, LINKFS_NAME_MAX + 1), &row)
		  : lk_snapshot_at(&op, time_ns, &row);
	if (rc == 0)
		rc = tell(&l, &row);
	return lk_told_result(lk_told_slice(&op, rc, &l.told, give, &l));
}

int linkfs_snapshot_show(struct linkfs_volume *volume, const char *name, linkfs_snapshot_fn *fn, void *arg)
{
	return show(volume, name, 0, fn, arg);
}

int linkfs_snapshot_before(struct linkfs_volume *volume, int64_t time_ns, linkfs_snapshot_fn *fn, void *arg)
{
	return show(volume, NULL, time_ns, fn, arg);
}

int linkfs_snapshot_root(struct linkfs_volume *volume, uint64_t id, uint32_t flags, struct linkfs_stat *out)
{
	struct lk_snapshot row = {.epoch = (int64_t)id};
	struct lk_place root = {0};
	struct lk_op op;
	uint64_t bits;
	int rc;

	if (flags & ~LINKFS_HOLD || id > INT64_MAX)
		return LINKFS_EINVAL;
	rc = lk_op_begin(lk_volume_fs(volume), &op, 0);
	if (rc)
		return rc;
	rc = lk_txn_get(&op, LK_T_SNAPSHOT, &row, &row);
	if (rc == 0 && row.deleting)
		rc = LINKFS_ENOENT;
	if (rc == 0)
		rc = lk_view_bits(op.fs, row.epoch, &bits);
	if (rc == 0) {
		root.id = bits | LINKFS_ROOT_INO;
		rc = lk_inode_get(&op, root.id, &root.inode);
	}
	return lk_call_end_at(&op, rc, &root, flags, out);
}

/* ---- deleted ---------------------------------------------------------------------------------------------------- */

int lk_snapshots_may_change(struct linkfs_volume *volume, const struct linkfs_cred *cred)
{
	struct lk_op op;
	int rc = change_begin(volume, cred, &op);

	return rc ? rc : lk_op_end(&op, 0);
}

int lk_snapshot_give_back(struct lk_fs *fs, const char *name, size_t len, struct lk_snapshot_work *work,
			  linkfs_snapshot_progress_fn *fn, void *arg, struct linkfs_snapshot_progress *done)
{
	const struct linkfs_snapshot_progress before = *done;
	int rc = lk_snapshot_delete(fs, name, len, work);

	while (rc == 0) {
		done->rows = before.rows + work->rows;
		done->bytes = before.bytes + work->blocks * LK_BLOCK_SIZE;
		if (!work->more)
			return 0;
		rc = fn && fn(arg, done) ? LINKFS_EINTR : lk_snapshot_step(fs, work);
	}
	/* If it is gone no name leads to it: whatever failed, the rest is the volume's. */
	if (work->more)
		lk_snapshot_leave(fs);
	return rc;
}

int linkfs_snapshot_delete(struct linkfs_volume *volume, const struct linkfs_cred *cred, const char *name,
			   linkfs_snapshot_progress_fn *fn, void *arg, struct linkfs_snapshot_progress *done_out)
{
	struct linkfs_snapshot_progress done = {0};
	struct lk_snapshot_work work = {0};
	int rc = lk_snapshots_may_change(volume, cred);

	if (rc == 0)
		rc = lk_snapshot_give_back(lk_volume_fs(volume), name, strnlen(name, LINKFS_NAME_MAX + 1), &work, fn,
					   arg, &done);
	if (done_out)
		*done_out = done;
	return rc;
}
