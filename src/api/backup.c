/*
 * backup.c - calls on what a volume remembers of backups (linkfs_backup.h).
 * Layer: api.
 */
#include <linkfs_backup.h>

#include "copied.h"
#include "file.h"
#include "perm.h"
#include "told.h"

#include <stdlib.h>
#include <string.h>

#define SLICE 4096u

_Static_assert(LINKFS_COPIED_NEW_MAX == LK_NEW_MAX, "what can be made at once");

/* Whoever may take snapshots. */
static int change_begin(struct linkfs_volume *volume, const struct linkfs_cred *cred, struct lk_op *op, uint32_t more)
{
	struct lk_inode root;
	int rc = lk_op_begin(lk_volume_fs(volume), op, LK_OP_WRITE | more);

	if (rc)
		return rc;
	rc = lk_inode_get(op, LINKFS_ROOT_INO, &root);
	if (rc == 0 && !lk_cred_owns(lk_cred(cred), &root))
		rc = LINKFS_EPERM;
	return rc ? lk_op_end(op, rc) : 0;
}

/* ---- sources ------------------------------------------------------------------------------------------------------ */

struct listing {
	struct lk_told told;
	linkfs_source_fn *fn;
	void *arg;
};

static int tell(void *arg, const void *record)
{
	const struct lk_source *s = record;
	struct listing *l = arg;
	struct linkfs_source *out;
	char *bytes;

	out = lk_told_add(&l->told, sizeof(*out), s->machine.len + s->host.len + s->path.len + 3, &bytes);
	if (!out)
		return LINKFS_ENOMEM;
	*out = (struct linkfs_source){.id = (uint64_t)s->id,
				      .dir = (uint64_t)s->dir,
				      .rules = (uint64_t)s->rules,
				      .time_ns = s->time_ns,
				      .files = (uint64_t)s->files,
				      .bytes = (uint64_t)s->bytes};
	out->machine = lk_told_string(&bytes, s->machine.p, s->machine.len);
	out->host = lk_told_string(&bytes, s->host.p, s->host.len);
	out->path = lk_told_string(&bytes, s->path.p, s->path.len);
	return 0;
}

static int give(void *arg, const void *answer)
{
	const struct listing *l = arg;

	return l->fn(l->arg, answer) ? 1 : 0;
}

int linkfs_source_list(struct linkfs_volume *volume, linkfs_source_fn *fn, void *arg)
{
	struct listing l = {.fn = fn, .arg = arg};
	struct lk_op op;
	int rc = lk_op_begin(lk_volume_fs(volume), &op, 0);

	if (rc)
		return rc;
	return lk_told_result(lk_told_slice(&op, lk_source_scan(&op, tell, &l), &l.told, give, &l));
}

static struct lk_bytes text_of(const char *text)
{
	return (struct lk_bytes){text ? text : "", text ? strnlen(text, LINKFS_PATH_MAX) : 0};
}

int linkfs_source_put(struct linkfs_volume *volume, const struct linkfs_cred *cred, const struct linkfs_source *source,
		      uint64_t *id_out)
{
	struct lk_source row = {.id = (int64_t)source->id,
				.dir = (int64_t)source->dir,
				.machine = text_of(source->machine),
				.host = text_of(source->host),
				.path = text_of(source->path),
				.rules = (int64_t)source->rules,
				.time_ns = source->time_ns,
				.files = (int64_t)source->files,
				.bytes = (int64_t)source->bytes};
	struct lk_op op;
	int rc = change_begin(volume, cred, &op, 0);

	if (rc == 0)
		rc = lk_op_end(&op, lk_source_put(&op, &row));
	if (rc == 0 && id_out)
		*id_out = (uint64_t)row.id;
	return rc;
}

int linkfs_source_forget(struct linkfs_volume *volume, const struct linkfs_cred *cred, uint64_t id)
{
	const struct lk_source key = {.id = (int64_t)id};
	struct lk_op op;
	int rc = change_begin(volume, cred, &op, LK_OP_FREES);

	return rc ? rc : lk_op_end(&op, lk_txn_erase(&op, LK_T_SOURCE, &key));
}

/* ---- files --------------------------------------------------------------------------------------------------------- */

static void give_row(const struct lk_copied *row, enum lk_copied_state state, struct linkfs_copied *out)
{
	static const uint32_t flags[] = {[LK_COPIED_AS_MADE] = 0,
					 [LK_COPIED_CHANGED] = LINKFS_COPIED_CHANGED,
					 [LK_COPIED_GONE] = LINKFS_COPIED_GONE};

	*out = (struct linkfs_copied){.ino = (uint64_t)row->ino,
				      .source = (uint64_t)row->source,
				      .fs = (uint64_t)row->fs,
				      .inode = (uint64_t)row->inode,
				      .mode = (uint32_t)row->mode,
				      .nlink = (uint32_t)row->nlink,
				      .size = (uint64_t)row->size,
				      .mtime_ns = row->mtime_ns,
				      .ctime_ns = row->ctime_ns,
				      .flags = ((uint32_t)row->flags & LINKFS_COPIED_DOUBT) | flags[state],
				      .own_ctime_ns = row->own_ctime_ns};
}

int linkfs_copied_list(struct linkfs_volume *volume, uint64_t *after, struct linkfs_copied *rows, size_t max,
		       size_t *count_out)
{
	size_t want = LK_MIN(max, SLICE), count = 0;
	struct lk_copied *found = malloc((want ? want : 1) * sizeof(*found));
	enum lk_copied_state *states = malloc((want ? want : 1) * sizeof(*states));
	struct lk_op op;
	int rc = found && states ? lk_op_begin(lk_volume_fs(volume), &op, 0) : LINKFS_ENOMEM;

	if (rc == 0) {
		rc = want ? lk_copied_some(&op, *after, found, states, want, &count) : 0;
		rc = lk_op_end(&op, rc);
	}
	for (size_t i = 0; rc == 0 && i < count; i++)
		give_row(&found[i], states[i], &rows[i]);
	if (rc == 0 && count)
		*after = (uint64_t)found[count - 1].ino;
	if (rc == 0)
		*count_out = count;
	free(found);
	free(states);
	return rc;
}

static struct lk_copied record_of(const struct linkfs_copied *row)
{
	return (struct lk_copied){.ino = (int64_t)row->ino,
				  .source = (int64_t)row->source,
				  .fs = (int64_t)row->fs,
				  .inode = (int64_t)row->inode,
				  .mode = row->mode,
				  .nlink = row->nlink,
				  .size = (int64_t)row->size,
				  .mtime_ns = row->mtime_ns,
				  .ctime_ns = row->ctime_ns,
				  .flags = row->flags & LINKFS_COPIED_DOUBT};
}

int linkfs_copied_put(struct linkfs_volume *volume, const struct linkfs_cred *cred, const struct linkfs_copied *row)
{
	struct lk_copied record = record_of(row);
	struct lk_op op;
	int rc = change_begin(volume, cred, &op, 0);

	return rc ? rc : lk_op_end(&op, lk_copied_put(&op, &record));
}

/* Whole, in the op: its name, the content of which the blocks are written, attributes, and what is remembered. */
static int make_file(struct lk_op *op, const struct linkfs_cred *cred, uint64_t dir, struct linkfs_copied_new *file,
		     struct lk_new *contents, size_t at)
{
	const struct linkfs_make how = {.mode = S_IFREG | 0600};
	struct lk_inode inode = {0};
	struct lk_copied record;
	struct lk_where where;
	int rc = lk_where_at(op, cred, dir, file->name, file->name_len, &where);

	if (rc == 0)
		rc = lk_link_make(op, cred, &where, &how, &inode);
	if (rc == 0)
		rc = lk_new_put(op, contents, at, &inode);
	if (rc == 0)
		rc = lk_attr_set(op, cred, &inode, &file->attributes, false);
	if (rc)
		return rc;
	file->row.ino = (uint64_t)inode.ino;
	record = record_of(&file->row);
	return lk_copied_put(op, &record);
}

/* A name, an inode's content and what is remembered: as many rows may be pages of their own. */
#define FILE_PAGES 24u

static int make_files(struct linkfs_volume *volume, const struct linkfs_cred *cred, uint64_t dir,
		      struct linkfs_copied_new *files, size_t count, const struct lk_bytes *bytes)
{
	struct lk_new *contents = NULL;
	struct lk_op op;
	int rc = lk_new_write(lk_volume_fs(volume), dir, bytes, count, &contents);

	if (rc)
		return rc;
	/* One by one they need less at a time: no kept file is given up for this. */
	rc = change_begin(volume, cred, &op, LK_OP_BULK | LK_OP_PURGE);
	if (rc == 0) {
		rc = lk_op_need(&op, (uint32_t)count * FILE_PAGES);
		for (size_t i = 0; rc == 0 && i < count; i++)
			rc = make_file(&op, lk_cred(cred), dir, &files[i], contents, i);
		rc = lk_op_end(&op, rc);
	}
	lk_new_done(contents);
	return rc;
}

int linkfs_copied_make(struct linkfs_volume *volume, const struct linkfs_cred *cred, uint64_t dir,
		       struct linkfs_copied_new *files, size_t count)
{
	const uint32_t settable =
		LINKFS_SET_MODE | LINKFS_SET_UID | LINKFS_SET_GID | LINKFS_SET_ATIME | LINKFS_SET_MTIME;
	struct lk_bytes bytes[LINKFS_COPIED_NEW_COUNT];

	if (count > LINKFS_COPIED_NEW_COUNT)
		return LINKFS_EINVAL;
	for (size_t i = 0; i < count; i++) {
		if (files[i].size > LINKFS_COPIED_NEW_MAX || (files[i].attributes.valid & ~settable))
			return LINKFS_EINVAL;
		bytes[i] = (struct lk_bytes){files[i].content, files[i].size};
	}
	return count == 0 ? 0 : make_files(volume, cred, dir, files, count, bytes);
}

int linkfs_copied_forget(struct linkfs_volume *volume, const struct linkfs_cred *cred, const uint64_t *ino,
			 size_t count)
{
	int rc = 0;

	for (size_t at = 0; rc == 0 && at < count; at += 64) {
		struct lk_op op;

		rc = change_begin(volume, cred, &op, LK_OP_FREES | LK_OP_BULK);
		if (rc)
			break;
		for (size_t i = at; rc == 0 && i < LK_MIN(at + 64, count); i++)
			rc = lk_copied_erase(&op, ino[i]);
		rc = lk_op_end(&op, rc);
	}
	return rc;
}

int linkfs_copied_link(struct linkfs_volume *volume, const struct linkfs_cred *cred, uint64_t ino, uint64_t dir,
		       const char *name, size_t name_len)
{
	struct lk_copied_note note = {.valid = false};
	struct lk_inode inode = {0};
	struct lk_where where;
	struct lk_op op;
	int rc;

	cred = lk_cred(cred);
	rc = lk_call_begin_both(volume, &op, cred, ino, dir);
	if (rc)
		return rc;
	rc = lk_copied_note(&op, ino, &note);
	if (rc == 0)
		rc = lk_inode_get(&op, ino, &inode);
	if (rc == 0)
		rc = lk_where_at(&op, cred, dir, name, name_len, &where);
	if (rc == 0)
		rc = lk_link_add(&op, cred, &inode, &where);
	if (rc == 0)
		rc = lk_copied_follow(&op, &note);
	return lk_op_end(&op, rc);
}

/* What the entry names; nothing is noted where there is none. */
static int note_at(struct lk_op *op, const struct lk_where *where, struct lk_copied_note *out)
{
	struct lk_place found;
	struct lk_slot slot;
	int rc = lk_walk_look(op, where, &slot, &found);

	out->valid = false;
	if (rc == 0)
		rc = lk_copied_note(op, (uint64_t)found.inode.ino, out);
	return rc == LINKFS_ENOENT ? 0 : rc;
}

int linkfs_copied_unlink(struct linkfs_volume *volume, const struct linkfs_cred *cred, uint64_t dir, const char *name,
			 size_t name_len, int is_dir)
{
	struct lk_copied_note note = {.valid = false};
	struct lk_where where;
	struct lk_op op;
	int rc;

	cred = lk_cred(cred);
	rc = lk_call_begin(volume, &op, cred, LK_OP_FREES);
	if (rc)
		return rc;
	rc = lk_where_at(&op, cred, dir, name, name_len, &where);
	if (rc == 0)
		rc = note_at(&op, &where, &note);
	if (rc == 0)
		rc = is_dir ? lk_link_rmdir(&op, cred, &where) : lk_link_unlink(&op, cred, &where);
	if (rc == 0)
		rc = lk_copied_follow(&op, &note);
	return lk_op_end(&op, rc);
}

int linkfs_copied_rename(struct linkfs_volume *volume, const struct linkfs_cred *cred, uint64_t old_dir,
			 const char *old_name, size_t old_len, uint64_t new_dir, const char *new_name, size_t new_len,
			 uint32_t flags)
{
	struct lk_copied_note moved = {.valid = false}, other = {.valid = false};
	struct lk_where from, to;
	struct lk_op op;
	int rc;

	cred = lk_cred(cred);
	rc = lk_call_begin_both(volume, &op, cred, old_dir, new_dir);
	if (rc)
		return rc;
	rc = lk_where_at(&op, cred, old_dir, old_name, old_len, &from);
	if (rc == 0)
		rc = lk_where_at(&op, cred, new_dir, new_name, new_len, &to);
	if (rc == 0)
		rc = note_at(&op, &from, &moved);
	if (rc == 0)
		rc = note_at(&op, &to, &other);
	if (rc == 0)
		rc = lk_rename(&op, cred, &from, &to, flags);
	if (rc == 0)
		rc = lk_copied_follow(&op, &moved);
	if (rc == 0)
		rc = lk_copied_follow(&op, &other);
	return lk_op_end(&op, rc);
}
