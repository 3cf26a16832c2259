/*
 * symlink.c - symbolic links: the text, byte for byte (B1), and the index of its components.
 * Layer: core. Table component holds a row per component of a text, but "." and empty ones: the hash of its name, the
 * symlink, its position among those kept, and whether it is the last. A text of nothing else has one row for ".". "Who may point here" asks it by name and proves each
 * candidate by walking. They stay as long as a live or a history row of the symlink needs them.
 */
#include "link.h"
#include "moved.h"
#include "orphan.h"
#include "track.h"
#include "txn_impl.h"

#include <string.h>

typedef int component_fn(void *arg, const struct lk_component *c);

/* Calls fn for each row that text gives. */
static int each_component(const struct lk_fs *fs, uint64_t ino, const char *text, size_t len, component_fn *fn,
			  void *arg)
{
	const char *p = text, *end = text + len, *name = NULL;
	size_t name_len = 0;
	struct lk_component c = {.ino = (int64_t)ino};
	int rc;

	/* One behind, so that the last is known when it is written. */
	for (;;) {
		const char *stop;

		while (p < end && *p == '/')
			p++;
		stop = p < end ? memchr(p, '/', (size_t)(end - p)) : NULL;
		if (!stop)
			stop = end;
		if (stop - p == 1 && *p == '.') {
			p = stop;
			continue;
		}
		if (!name && p == end) {
			c.hash = lk_name_hash(fs->name_secret, ".", 1);
			c.is_last = 1;
			return fn(arg, &c);
		}
		if (name) {
			c.hash = lk_name_hash(fs->name_secret, name, name_len);
			c.is_last = p == end;
			rc = fn(arg, &c);
			if (rc || p == end)
				return rc;
			c.position++;
		}
		name = p;
		name_len = (size_t)(stop - p);
		p = stop;
	}
}

static int insert_component(void *arg, const struct lk_component *c)
{
	struct lk_component row = *c;
	struct lk_op *op = arg;

	lk_moved_mention(op->fs, c->hash);
	return lk_txn_insert(arg, LK_T_COMPONENT, &row);
}

/* The row's fields are what they must be (F5). */
static bool valid(const struct lk_inode *inode, const struct lk_target *t)
{
	bool tracked = inode->flags & LK_INODE_TRACKED;

	if (t->text.len == 0 || t->text.len > LINKFS_SYMLINK_MAX || memchr(t->text.p, 0, t->text.len))
		return false;
	return tracked ? t->tracks >= 1 && t->tracks <= LK_INO_MAX && t->tracks != t->ino : t->tracks == 0;
}

int lk_symlink_row(struct lk_op *op, const struct lk_inode *inode, struct lk_target *out)
{
	struct lk_target row = {.ino = inode->ino};
	int rc = lk_txn_get(op, LK_T_TARGET, &row, &row);

	if (rc == LINKFS_ENOENT || (rc == 0 && !valid(inode, &row)))
		return LINKFS_ECORRUPT;
	if (rc == 0)
		*out = row;
	return rc;
}

int lk_symlink_text(struct lk_op *op, const struct lk_inode *inode, uint64_t dir, const char **text_out,
		    size_t *len_out)
{
	return lk_symlink_text_over(op, inode, dir, NULL, text_out, len_out);
}

int lk_symlink_text_over(struct lk_op *op, const struct lk_inode *inode, uint64_t dir, const struct lk_overlay *overlay,
			 const char **text_out, size_t *len_out)
{
	struct lk_target target;
	int rc;

	if (!lk_is_lnk(inode))
		return LINKFS_EINVAL;
	rc = lk_symlink_row(op, inode, &target);
	if (rc == 0 && (inode->flags & LK_INODE_TRACKED))
		return lk_track_text(op, inode, dir, &target, overlay, text_out, len_out);
	if (rc)
		return rc;
	*text_out = target.text.p;
	*len_out = target.text.len;
	return 0;
}

/* ---- rows of texts that went --------------------------------------------------------------------------------------- */

#define TEXTS_MAX 256u /* of one symlink, in history; with more of them rows are left behind, which candidates may be */

struct kept {
	int64_t hash;
	int32_t is_last;          /* as the text has it that went */
	bool needed, needed_last; /* by another */
};

struct release {
	struct lk_op *op;
	struct lk_target gone;
	struct kept *rows; /* by position */
	size_t count, cap;
	bool tracks_needed;
	uint32_t texts;
};

static int count_row(void *arg, const struct lk_component *c)
{
	struct release *r = arg;

	(void)c;
	r->cap++;
	return 0;
}

static int take_row(void *arg, const struct lk_component *c)
{
	struct release *r = arg;

	r->rows[r->count++] = (struct kept){.hash = c->hash, .is_last = (int32_t)c->is_last};
	return 0;
}

static int need_row(void *arg, const struct lk_component *c)
{
	struct release *r = arg;

	if ((uint64_t)c->position < r->count && r->rows[c->position].hash == c->hash) {
		r->rows[c->position].needed = true;
		r->rows[c->position].needed_last |= c->is_last != 0;
	}
	return 0;
}

static int each_row(const struct release *r, const struct lk_bytes *text, component_fn *fn)
{
	return text->len == 0
		       ? 0
		       : each_component(r->op->fs, (uint64_t)r->gone.ino, text->p, text->len, fn, (void *)(uintptr_t)r);
}

/* Another row of the symlink. */
static int need_text(void *arg, const void *record)
{
	const struct lk_target *other = record;
	struct release *r = arg;

	r->texts++;
	r->tracks_needed |= other->tracks == r->gone.tracks;
	return each_row(r, &other->text, need_row);
}

static int release_rows(struct release *r)
{
	bool missing = false;
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < r->count; i++) {
		struct lk_component row = {.hash = r->rows[i].hash, .ino = r->gone.ino, .position = (int64_t)i};

		if (!r->rows[i].needed)
			rc = lk_txn_erase(r->op, LK_T_COMPONENT, &row);
		else if (r->rows[i].is_last && !r->rows[i].needed_last)
			rc = lk_txn_put(r->op, LK_T_COMPONENT, &row);
		missing |= rc == LINKFS_ENOENT;
		rc = rc == LINKFS_ENOENT ? 0 : rc;
	}
	if (rc == 0 && r->gone.tracks && !r->tracks_needed)
		rc = lk_track_unmark(r->op, r->gone.tracks, r->gone.ino);
	return rc == 0 && missing ? LINKFS_ENOENT : rc;
}

int lk_symlink_release(struct lk_op *op, const struct lk_target *gone, const struct lk_target *live)
{
	_Alignas(8) char from[sizeof(struct lk_target) + 8] = {0};
	struct release r = {.op = op, .gone = *gone};
	struct lk_scan scan = {.table = &lk_tables[LK_T_TARGET_OLD],
			       .index = LK_OLD_BY_KEY,
			       .equal = 1,
			       .from = from,
			       .limit = TEXTS_MAX};
	int rc = each_row(&r, &gone->text, count_row);

	memcpy(from, &gone->ino, sizeof(gone->ino));
	r.rows = r.cap ? lk_op_alloc(op, r.cap * sizeof(*r.rows)) : NULL;
	if (r.cap && !r.rows)
		return LINKFS_ENOMEM;
	if (rc == 0)
		rc = each_row(&r, &gone->text, take_row);
	if (rc == 0 && live)
		rc = need_text(&r, live);
	r.texts = 0;
	/* Until the first snapshot there is no history. */
	if (rc == 0 && op->fs->epoch > 1)
		rc = lk_db_scan(op->fs->db, &scan, need_text, &r);
	return rc || r.texts == TEXTS_MAX ? rc : release_rows(&r);
}

/* A row of history went with its snapshot. */
static int history_dropped(struct lk_op *op, const void *record)
{
	const struct lk_target *gone = record;
	struct lk_target live = {.ino = gone->ino};
	int rc;

	rc = lk_live_get(op, &lk_tables[LK_T_TARGET], &live, &live);
	if (rc && rc != LINKFS_ENOENT)
		return rc;
	rc = lk_symlink_release(op, gone, rc ? NULL : &live);
	/* What is missing is check's to tell; the snapshot goes all the same. */
	return rc == LINKFS_ENOENT ? 0 : rc;
}

void lk_symlink_start(struct lk_fs *fs)
{
	lk_txn_on_history(fs, LK_T_TARGET, NULL, history_dropped);
}

/* Beside the rows of an older text: where both have the same name at the same place it is a last one if it is one in either. */
static int add_component(void *arg, const struct lk_component *c)
{
	struct lk_component row = *c;
	struct lk_op *op = arg;
	int rc = lk_txn_get(op, LK_T_COMPONENT, &row, &row);

	lk_moved_mention(op->fs, c->hash);
	if (rc && rc != LINKFS_ENOENT)
		return rc;
	if (rc == 0 && row.is_last)
		return 0;
	row = *c;
	return lk_txn_put(op, LK_T_COMPONENT, &row);
}

/* Whether the row goes to history when it is written over or erased. */
static bool stays(const struct lk_op *op, const struct lk_target *row)
{
	return row->born <= op->fs->newest_snapshot;
}

/* Called for an inode that goes. The rows of its components stay while history keeps the text. */
int lk_symlink_drop(struct lk_op *op, struct lk_inode *inode)
{
	struct lk_target target;
	int rc = lk_symlink_row(op, inode, &target);

	if (rc == 0 && !stays(op, &target))
		rc = lk_symlink_release(op, &target, NULL);
	if (rc)
		return rc == LINKFS_ENOENT ? LINKFS_ECORRUPT : rc;
	return lk_txn_erase(op, LK_T_TARGET, &target);
}

int lk_symlink_rewrite(struct lk_op *op, struct lk_inode *inode, struct lk_target *row, const char *text, size_t len)
{
	struct lk_target old = *row;
	int rc = 0;

	row->text = (struct lk_bytes){text, len};
	if (!stays(op, &old))
		rc = lk_symlink_release(op, &old, row);
	if (rc == LINKFS_ENOENT)
		rc = LINKFS_ECORRUPT;
	if (rc == 0)
		rc = each_component(op->fs, (uint64_t)inode->ino, text, len, add_component, op);
	inode->size = (int64_t)len;
	return rc;
}

static int check_target(const char *target, size_t len)
{
	if (len == 0)
		return LINKFS_ENOENT;
	if (len > LINKFS_SYMLINK_MAX)
		return LINKFS_ENAMETOOLONG;
	return memchr(target, 0, len) ? LINKFS_EINVAL : 0;
}

static int put_text(struct lk_op *op, struct lk_inode *inode, const char *target, size_t len)
{
	struct lk_target row = {.ino = inode->ino, .text = {target, len}};
	int rc = lk_txn_insert(op, LK_T_TARGET, &row);

	inode->size = (int64_t)len;
	return rc ? rc : each_component(op->fs, (uint64_t)inode->ino, target, len, insert_component, op);
}

int lk_symlink_copy(struct lk_op *op, const struct lk_inode *source, struct lk_inode *copy)
{
	const char *text;
	size_t len;
	int rc = lk_symlink_text(op, source, 0, &text, &len);

	return rc ? rc : put_text(op, copy, text, len);
}

/* A new symlink without a name; the caller gives it one and touches the directory. Put. */
static int new_symlink(struct lk_op *op, const struct linkfs_cred *cred, const struct lk_inode *dir, const char *target,
		       size_t len, struct lk_inode *out)
{
	int rc = lk_link_new_inode(op, cred, dir, S_IFLNK | 0777, out);

	if (rc)
		return rc;
	out->nlink = 1;
	rc = put_text(op, out, target, len);
	return rc ? rc : lk_inode_put(op, out);
}

int lk_symlink_make(struct lk_op *op, const struct linkfs_cred *cred, struct lk_where *where, const char *target,
		    size_t len, struct lk_inode *out)
{
	struct lk_inode inode;
	struct lk_slot slot;
	int rc = check_target(target, len);

	if (rc == 0)
		rc = lk_link_prepare(op, cred, where, false, &slot);
	if (rc == 0)
		rc = new_symlink(op, cred, &where->dir.inode, target, len, &inode);
	if (rc == 0)
		rc = lk_dirent_insert(op, &slot, where->name, where->len, (uint64_t)inode.ino, S_IFLNK);
	if (rc == 0) {
		lk_inode_touch(op, &where->dir.inode, true);
		rc = lk_inode_put(op, &where->dir.inode);
	}
	if (rc == 0)
		*out = inode;
	return rc;
}

int lk_symlink_replace(struct lk_op *op, const struct linkfs_cred *cred, struct lk_where *where, const char *target,
		       size_t len, struct lk_inode *out)
{
	struct lk_inode inode;
	struct lk_place old;
	struct lk_slot slot;
	int rc = check_target(target, len);

	if (rc)
		return rc;
	if (where->last != LK_LAST_NAME)
		return LINKFS_EISDIR;
	rc = lk_walk_look(op, where, &slot, &old);
	if (rc == LINKFS_ENOENT)
		return lk_symlink_make(op, cred, where, target, len, out);
	if (rc == 0)
		rc = lk_perm_writable(op);
	if (rc == 0)
		rc = lk_perm_delete(op, cred, &where->dir.inode, &old.inode, false);
	if (rc == 0 && where->slash)
		rc = LINKFS_ENOTDIR;
	if (rc == 0 && slot.bound)
		rc = LINKFS_EBUSY;
	if (rc == 0)
		rc = lk_track_before(op, NULL, &old.inode, false);
	if (rc == 0)
		rc = new_symlink(op, cred, &where->dir.inode, target, len, &inode);
	if (rc == 0)
		rc = lk_dirent_replace(op, &slot, where->name, where->len, (uint64_t)inode.ino, S_IFLNK);
	if (rc == 0)
		rc = lk_link_drop_name(op, &old.inode,
				       &(struct lk_lost){(uint64_t)where->dir.inode.ino, where->name, where->len,
							 where->dir.inode.mtime_ns, true});
	if (rc == 0) {
		lk_inode_touch(op, &where->dir.inode, true);
		rc = lk_inode_put(op, &where->dir.inode);
	}
	if (rc == 0)
		*out = inode;
	return rc;
}
