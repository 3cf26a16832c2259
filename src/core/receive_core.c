/*
 * receive_core.c - see receive_core.h.
 * Layer: core.
 */
#include "receive_core.h"

#include "acl.h"
#include "binds.h"
#include "link.h"
#include "property.h"
#include "snapshot.h"
#include "track.h"
#include "views.h"
#include "xattr.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define NOTE_KEY "receive"

static int begin(struct lk_fs *fs, struct lk_op *op, uint64_t ino, struct lk_inode *inode)
{
	int rc = lk_op_begin(fs, op, LK_OP_WRITE);

	if (rc)
		return rc;
	rc = lk_inode_get(op, ino, inode);
	return rc ? lk_op_end(op, rc) : 0;
}

static int tell(struct lk_op *op, enum linkfs_event_kind kind, uint64_t ino)
{
	return lk_op_event(op, kind, ino, NULL, 0);
}

int lk_receive_attributes(struct lk_fs *fs, uint64_t ino, const struct lk_received_attributes *what)
{
	struct lk_inode inode;
	struct lk_op op;
	int rc = begin(fs, &op, ino, &inode);

	if (rc)
		return rc;
	if ((what->mode & S_IFMT) != (inode.mode & S_IFMT) || (what->mode & ~(uint32_t)(S_IFMT | 07777)) ||
	    (what->flags & ~LINKFS_INO_KEEP_LINKS) || (what->flags && !lk_is_reg(&inode) && !lk_is_dir(&inode)) ||
	    (lk_is_lnk(&inode) && what->mode != (uint32_t)inode.mode))
		rc = LINKFS_EINVAL;
	inode.mode = what->mode;
	inode.uid = what->uid;
	inode.gid = what->gid;
	inode.atime_ns = what->atime_ns;
	inode.mtime_ns = what->mtime_ns;
	if (what->made)
		inode.btime_ns = what->btime_ns;
	inode.flags = (inode.flags & ~(int64_t)LK_INODE_KEEP_LINKS) |
		      (what->flags & LINKFS_INO_KEEP_LINKS ? LK_INODE_KEEP_LINKS : 0);
	lk_inode_touch(&op, &inode, false);
	if (rc == 0 && (inode.flags & LK_INODE_HAS_ACL))
		rc = lk_acl_chmod(&op, &inode);
	if (rc == 0)
		rc = lk_inode_put(&op, &inode);
	if (rc == 0)
		rc = tell(&op, LINKFS_EVENT_ATTR, ino);
	return lk_op_end(&op, rc);
}

int lk_receive_xattr(struct lk_fs *fs, uint64_t ino, const char *name, const void *value, size_t size)
{
	struct lk_inode inode;
	struct lk_op op;
	int rc = begin(fs, &op, ino, &inode);

	if (rc)
		return rc;
	rc = value ? lk_xattr_set(&op, lk_cred(NULL), &inode, name, value, size, 0)
		   : lk_xattr_remove(&op, lk_cred(NULL), &inode, name);
	return lk_op_end(&op, rc == LINKFS_ENODATA ? 0 : rc);
}

/* A tracked link becomes an ordinary one. */
static int end_following(struct lk_op *op, struct lk_inode *link, struct lk_target *row)
{
	struct lk_target was = {
		.ino = row->ino, .tracks = row->tracks, .born = row->born}; /* only the mark of it goes */
	int rc;

	if (row->tracks == 0)
		return 0;
	row->tracks = row->by_dir = row->by_hash = row->by_ord = 0;
	rc = lk_txn_put(op, LK_T_TARGET, row);
	if (rc == 0 && was.born > op->fs->newest_snapshot)
		rc = lk_symlink_release(op, &was, row);
	link->flags &= ~(int64_t)LK_INODE_TRACKED;
	lk_inode_touch(op, link, false);
	return rc ? rc : lk_inode_put(op, link);
}

/* Gives the symlink that text, if it has another one. */
static int set_text(struct lk_op *op, struct lk_inode *link, struct lk_target *row, struct lk_bytes text)
{
	int rc;

	if (lk_bytes_compare(&row->text, &text) == 0)
		return 0;
	rc = lk_symlink_rewrite(op, link, row, text.p, text.len);
	if (rc == 0)
		rc = lk_txn_put(op, LK_T_TARGET, row);
	lk_inode_touch(op, link, true);
	if (rc == 0)
		rc = lk_inode_put(op, link);
	return rc ? rc : tell(op, LINKFS_EVENT_DATA, (uint64_t)link->ino);
}

int lk_receive_text(struct lk_fs *fs, uint64_t ino, const char *text, size_t len)
{
	struct lk_inode inode;
	struct lk_target row;
	struct lk_op op;
	int rc = begin(fs, &op, ino, &inode);

	if (rc)
		return rc;
	rc = lk_is_lnk(&inode) ? lk_symlink_row(&op, &inode, &row) : LINKFS_EINVAL;
	if (rc == 0)
		rc = end_following(&op, &inode, &row);
	if (rc == 0)
		rc = set_text(&op, &inode, &row, (struct lk_bytes){text, len});
	return lk_op_end(&op, rc);
}

/* What is gone has a number: the one that the link knows, or one that nothing ever has. */
static int gone_number(struct lk_op *op, int64_t tracks, int64_t *out)
{
	struct lk_inode followed;
	int rc = tracks ? lk_inode_get_any(op, (uint64_t)tracks, &followed) : 0;

	*out = tracks;
	if (tracks && (rc == LINKFS_ESTALE || (rc == 0 && followed.nlink == 0)))
		return 0;
	if (rc == 0)
		rc = lk_txn_count(op, LK_COUNTER_NEXT_INO, 0, out);
	if (rc == 0 && *out > LK_INO_MAX)
		rc = LINKFS_ENOSPC;
	return rc ? rc : lk_txn_count(op, LK_COUNTER_NEXT_INO, 1, NULL);
}

int lk_receive_gone(struct lk_fs *fs, uint64_t ino, struct lk_bytes text, uint64_t dir, struct lk_bytes rest)
{
	struct lk_inode inode;
	struct lk_target row;
	struct lk_op op;
	int64_t number;
	int rc = begin(fs, &op, ino, &inode);

	if (rc)
		return rc;
	rc = lk_is_lnk(&inode) && inode.nlink == 1 ? lk_symlink_row(&op, &inode, &row) : LINKFS_EINVAL;
	if (rc == 0)
		rc = gone_number(&op, row.tracks, &number);
	if (rc == 0)
		rc = lk_track_tell_again(&op, &inode, text, dir, rest, &text);
	if (rc == 0)
		rc = set_text(&op, &inode, &row, text);
	if (rc == 0 && row.tracks != number)
		rc = lk_track_set_gone(&op, (uint64_t)number, &inode);
	if (rc == 0)
		rc = lk_track_tell(&op, &inode);
	return lk_op_end(&op, rc);
}

int lk_receive_track(struct lk_fs *fs, uint64_t ino, uint64_t target, uint64_t dir, const char *name, size_t len)
{
	struct lk_inode inode, followed;
	struct lk_slot slot = {0};
	struct lk_op op;
	int rc = begin(fs, &op, ino, &inode);

	if (rc)
		return rc;
	rc = lk_is_lnk(&inode) && inode.nlink == 1 ? lk_inode_get(&op, target, &followed) : LINKFS_EINVAL;
	if (rc == 0 && lk_is_lnk(&followed))
		rc = LINKFS_EINVAL;
	if (rc == 0 && dir) {
		rc = lk_dirent_find(&op, dir, name, len, &slot);
		if (rc == 0 && slot.ino != target)
			rc = LINKFS_ENOENT;
	}
	if (rc == 0)
		rc = lk_track_set(&op, target, dir ? &slot : NULL, &inode);
	if (rc == 0)
		rc = lk_track_tell(&op, &inode);
	return lk_op_end(&op, rc);
}

int lk_receive_bind(struct lk_fs *fs, uint64_t source, uint64_t dir, const char *name, size_t len)
{
	struct lk_inode inode;
	struct lk_where where;
	struct lk_op op;
	int rc = begin(fs, &op, source, &inode);

	if (rc)
		return rc;
	rc = lk_where_at(&op, lk_cred(NULL), dir, name, len, &where);
	if (rc == 0)
		rc = lk_bind_again(&op, &inode, &where);
	return lk_op_end(&op, rc);
}

int lk_receive_followed(struct lk_fs *fs, uint64_t bits, uint64_t ino, uint64_t *target_out)
{
	struct lk_inode inode;
	struct lk_target row = {0};
	struct lk_op op;
	uint64_t node;
	int rc = lk_op_begin(fs, &op, 0);

	if (rc)
		return rc;
	rc = lk_view_see(&op, bits | LINKFS_ROOT_INO, &node);
	if (rc == 0)
		rc = lk_inode_get(&op, ino, &inode);
	if (rc == 0 && lk_is_lnk(&inode))
		rc = lk_symlink_row(&op, &inode, &row);
	rc = lk_op_end(&op, rc);
	if (rc == 0)
		*target_out = (uint64_t)row.tracks;
	return rc;
}

int lk_receive_find(struct lk_fs *fs, uint64_t bits, uint64_t dir, const char *name, size_t len, uint64_t *ino_out,
		    uint64_t *bound_out)
{
	struct lk_slot slot = {0};
	struct lk_inode inode;
	struct lk_op op;
	uint64_t node;
	int rc = lk_op_begin(fs, &op, 0);

	if (rc)
		return rc;
	rc = lk_view_see(&op, bits | LINKFS_ROOT_INO, &node);
	if (rc == 0)
		rc = lk_inode_get(&op, dir, &inode);
	if (rc == 0 && !lk_is_dir(&inode))
		rc = LINKFS_ENOTDIR;
	if (rc == 0)
		rc = lk_dirent_find(&op, dir, name, len, &slot);
	rc = lk_op_end(&op, rc);
	if (rc)
		return rc;
	*ino_out = slot.ino;
	if (bound_out)
		*bound_out = slot.bound;
	return 0;
}

static int nameless_row(void *arg, const void *record)
{
	(void)record;
	++*(uint64_t *)arg;
	return 0;
}

int lk_receive_nameless(struct lk_fs *fs, uint64_t *count_out)
{
	const struct lk_scan scan = {.table = &lk_tables[LK_T_ORPHAN], .index = LK_BY_KEY};
	struct lk_op op;
	int rc = lk_op_begin(fs, &op, 0);

	*count_out = 0;
	return rc ? rc : lk_op_end(&op, lk_txn_scan(&op, &scan, nameless_row, count_out));
}

/* ---- the note --------------------------------------------------------------------------------------------------- */

int lk_receive_note(struct lk_fs *fs, const char *text)
{
	struct lk_op op;
	int rc = lk_op_begin(fs, &op, LK_OP_WRITE);

	if (rc)
		return rc;
	rc = lk_op_end(&op, lk_property_note(&op, NOTE_KEY, text));
	if (rc)
		(void)lk_property_reload(fs);
	return rc;
}

int lk_receive_noted(struct lk_fs *fs, struct lk_buf *out)
{
	struct lk_op op;
	int rc = lk_op_begin(fs, &op, 0);

	if (rc)
		return rc;
	return lk_op_end(&op,
			 lk_property_noted((struct lk_bytes){fs->properties.p, fs->properties.len}, NOTE_KEY, out));
}

int64_t lk_receive_base(const struct lk_fs *fs)
{
	struct lk_buf text = {0};
	uint64_t epoch = 0;

	/* Most of the time there is no such line; without memory for it there is one. */
	if (lk_property_noted((struct lk_bytes){fs->properties.p, fs->properties.len}, NOTE_KEY, &text) == 0) {
		const char *p = (const char *)text.p;

		for (int word = 1; p && word < 6; word++) {
			p = strchr(p, ' ');
			p = p ? p + 1 : NULL;
		}
		if (!p || !lk_take_number(&p, ' ', INT64_MAX, &epoch))
			epoch = 0;
	}
	lk_buf_done(&text);
	return (int64_t)epoch;
}

static int remove_stage(struct lk_op *op, const struct lk_receive_closing *what)
{
	const struct linkfs_cred *root = lk_cred(NULL);
	struct lk_where where;
	int rc = lk_where_at(op, root, what->stage, what->map_name, strlen(what->map_name), &where);

	if (rc == 0)
		rc = lk_link_unlink(op, root, &where);
	if (rc == 0 || rc == LINKFS_ENOENT)
		rc = lk_where_at(op, root, LINKFS_ROOT_INO, what->stage_name, strlen(what->stage_name), &where);
	return rc ? rc : lk_link_rmdir(op, root, &where);
}

static int close_op(struct lk_op *op, const struct lk_receive_closing *what)
{
	const int64_t keep_ns = op->fs->keep_deleted_ns;
	char note[LK_RECEIVE_NOTE_MAX];
	struct lk_inode root;
	struct lk_snapshot other;
	int rc = lk_snapshot_find(op, what->snapshot, strlen(what->snapshot), &other);

	if (rc != LINKFS_ENOENT)
		return rc ? rc : LINKFS_EEXIST;
	op->fs->keep_deleted_ns = 0; /* nobody shall ever want these back */
	rc = remove_stage(op, what);
	op->fs->keep_deleted_ns = keep_ns;
	if (rc == 0)
		rc = lk_inode_get(op, LINKFS_ROOT_INO, &root);
	if (rc)
		return rc;
	root.atime_ns = what->root_atime_ns;
	root.mtime_ns = what->root_mtime_ns;
	lk_inode_touch(op, &root, false);
	rc = lk_inode_put(op, &root);
	if (rc == 0)
		rc = tell(op, LINKFS_EVENT_ATTR, LINKFS_ROOT_INO);
	if (rc == 0 && snprintf(note, sizeof(note), "%s %" PRId64, what->note, op->now_ns) >= (int)sizeof(note))
		rc = LINKFS_ECORRUPT;
	return rc ? rc : lk_property_note(op, NOTE_KEY, note);
}

int lk_receive_close(struct lk_fs *fs, const struct lk_receive_closing *what, uint64_t *changes)
{
	struct lk_op op;
	uint64_t after;
	int rc = lk_op_begin(fs, &op, LK_OP_WRITE | LK_OP_FREES);

	if (rc)
		return rc;
	rc = atomic_load(&fs->tree_changes) == *changes ? close_op(&op, what) : LINKFS_EAGAIN;
	after = atomic_load(&fs->tree_changes);
	rc = lk_op_end(&op, rc);
	if (rc == 0)
		*changes = after;
	else
		(void)lk_property_reload(fs);
	return rc;
}

struct since {
	int64_t time_ns;
	uint64_t last;
	struct lk_op *op;
};

/* The row may be older than its inode. */
static int since_row(void *arg, const void *record)
{
	struct since *s = arg;
	struct lk_inode inode;
	int rc;

	s->last = (uint64_t)((const struct lk_inode *)record)->ino;
	rc = lk_inode_get_any(s->op, s->last, &inode);
	return rc == LINKFS_ESTALE ? 0 : rc ? rc : inode.ctime_ns > s->time_ns ? LINKFS_EAGAIN : 0;
}

int lk_receive_changed_since(struct lk_fs *fs, int64_t time_ns, uint64_t *cursor)
{
	const struct lk_inode from = {.ino = (int64_t)*cursor};
	const struct lk_scan scan = {.table = &lk_tables[LK_T_INODE],
				     .index = LK_BY_KEY,
				     .ranged = 1,
				     .exclusive = true,
				     .from = &from,
				     .limit = 256};
	struct lk_op op;
	struct since s = {.time_ns = time_ns, .op = &op};
	int rc = lk_op_begin(fs, &op, 0);

	if (rc)
		return rc;
	rc = lk_op_end(&op, lk_txn_scan(&op, &scan, since_row, &s));
	*cursor = s.last;
	return rc;
}

int lk_receive_done(struct lk_fs *fs, struct lk_snapshot *s, uint64_t changes)
{
	struct lk_op op;
	int rc = lk_op_begin(fs, &op, LK_OP_WRITE);

	if (rc)
		return rc;
	rc = atomic_load(&fs->tree_changes) == changes ? lk_snapshot_add(&op, s) : LINKFS_EAGAIN;
	if (rc == 0)
		rc = lk_property_note(&op, NOTE_KEY, NULL);
	rc = lk_op_end(&op, rc);
	if (rc)
		(void)lk_property_reload(fs);
	return rc;
}
