/*
 * op.c - the operations of a script, on a volume.
 */
#include "power.h"

#include <linkfs_snapshots.h>
#include <snapshot.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <txn.h>
#include <volume.h>

static const char *const names[OP_KINDS] = {
	"create",    "mkdir",  "fifo",       "symlink",  "relink",          "track",   "link",   "linkdir", "bind",
	"unbind",    "unlink", "rmdir",      "rename",   "exchange",        "write",   "wsync",  "append",  "truncate",
	"allocate",  "copy",   "setxattr",   "rmxattr",  "chmod",           "chown",   "open",   "tmpfile", "hwrite",
	"htruncate", "hlink",  "hclose",     "keep",     "clone",           "unshare", "dedupe", "merge",   "fsync",
	"hsync",     "sync",   "checkpoint", "snapshot", "rename-snapshot", "drop",    "reopen",
};

bool op_acknowledges(const struct op *op)
{
	return op->kind == OP_FSYNC || op->kind == OP_HSYNC || op->kind == OP_SYNC || op->kind == OP_WRITE_SYNC ||
	       op->kind == OP_REOPEN;
}

bool op_in_steps(const struct op *op)
{
	return op->kind == OP_COPY || op->kind == OP_ALLOCATE;
}

void op_print(FILE *to, const struct op *op)
{
	(void)fprintf(to, "%s %.60s %.60s x=%llu y=%llu n=%llu slot=%u serial=%llu", names[op->kind], op->a, op->b,
		      (unsigned long long)op->x, (unsigned long long)op->y, (unsigned long long)op->n, op->slot,
		      (unsigned long long)op->serial);
}

void op_bytes(uint64_t serial, uint64_t offset, void *buf, size_t len)
{
	uint8_t *p = buf;
	/* Two of three can be compressed, to a quarter. */
	uint64_t mask = serial % 3 ? UINT64_C(0x0707070707070707) : UINT64_MAX;
	for (size_t i = 0; i < len;) {
		uint64_t word = (offset + i) / 8;
		struct lk_test_random random = {serial * UINT64_C(0x9e3779b97f4a7c15) ^ word};
		uint64_t v = (lk_test_next(&random) & mask) | UINT64_C(0x0101010101010101); /* never a zero byte */
		for (size_t k = (offset + i) % 8; k < 8 && i < len; k++, i++)
			p[i] = (uint8_t)(v >> (8 * k));
	}
}

int subject_open(struct subject *s, struct linkfs_message *why)
{
	struct linkfs_open_options options = {.commit_interval_ms = s->interval_ms ? s->interval_ms : 3600000};
	memset(s->slots, 0, sizeof(s->slots));
	return linkfs_volume_open(s->path, &options, &s->volume, why);
}

int subject_close(struct subject *s)
{
	for (unsigned i = 0; i < OP_SLOTS; i++)
		linkfs_file_close(s->slots[i]);
	memset(s->slots, 0, sizeof(s->slots));
	int r = linkfs_volume_close(s->volume);
	s->volume = NULL;
	return r;
}

static int ino_of(struct subject *s, const char *path, uint64_t *out)
{
	struct linkfs_stat st = {.ino = LINKFS_ROOT_INO};
	int r = *path ? linkfs_path_stat(s->volume, NULL, LINKFS_ROOT_INO, path, LINKFS_NOFOLLOW, &st) : 0;
	*out = st.ino;
	return r;
}

static int make(struct subject *s, const struct op *op)
{
	struct linkfs_make how = {.mode = 0100644};
	if (op->kind == OP_MKDIR)
		how.mode = 0040755;
	else if (op->kind == OP_FIFO)
		how.mode = 0010644;
	return linkfs_path_make(s->volume, NULL, LINKFS_ROOT_INO, op->a, &how, NULL);
}

static int write_op(struct subject *s, const struct op *op)
{
	uint64_t ino = 0, at = op->x;
	struct linkfs_stat st;
	size_t done = 0;
	int r = op->kind == OP_HWRITE ? 0 : ino_of(s, op->a, &ino);
	/* The bytes depend on the place: an appender must know it. */
	if (r == 0 && op->kind == OP_APPEND) {
		r = linkfs_node_getattr(s->volume, ino, &st);
		at = st.size;
	}
	uint8_t *bytes = malloc(op->n);
	if (!bytes)
		abort();
	op_bytes(op->serial, at, bytes, op->n);
	uint32_t flags =
		(op->kind == OP_APPEND ? LINKFS_WRITE_APPEND : 0) | (op->kind == OP_WRITE_SYNC ? LINKFS_WRITE_SYNC : 0);
	if (r == 0 && op->kind == OP_HWRITE)
		r = linkfs_file_write(s->slots[op->slot], at, bytes, op->n, &done);
	else if (r == 0)
		r = linkfs_node_write(s->volume, NULL, ino, at, bytes, op->n, flags, &done, NULL);
	free(bytes);
	return r == 0 && done != op->n ? LINKFS_EIO : r;
}

static int content_op(struct subject *s, const struct op *op)
{
	uint64_t ino = 0, to = 0, done = 0;
	int r = ino_of(s, op->a, &ino);
	if (r)
		return r;
	if (op->kind == OP_TRUNCATE) {
		struct linkfs_setattr change = {.valid = LINKFS_SET_SIZE, .size = op->x};
		return linkfs_node_setattr(s->volume, NULL, ino, &change, NULL);
	}
	if (op->kind == OP_ALLOCATE)
		return linkfs_node_allocate(s->volume, NULL, ino, (uint32_t)op->y, op->x, op->n);
	r = ino_of(s, op->b, &to);
	return r ? r : linkfs_node_copy_range(s->volume, NULL, ino, op->x, to, op->y, op->n, &done);
}

static int attribute_op(struct subject *s, const struct op *op)
{
	uint64_t ino = 0;
	int r = ino_of(s, op->a, &ino);
	if (r)
		return r;
	if (op->kind == OP_RMXATTR)
		return linkfs_node_removexattr(s->volume, NULL, ino, op->b);
	if (op->kind == OP_SETXATTR) {
		uint8_t *value = malloc(op->n + 1);
		if (!value)
			abort();
		op_bytes(op->serial, 0, value, op->n);
		r = linkfs_node_setxattr(s->volume, NULL, ino, op->b, value, op->n, 0);
		free(value);
		return r;
	}
	struct linkfs_setattr change = {.valid = LINKFS_SET_MODE, .mode = (uint32_t)op->x};
	if (op->kind == OP_CHOWN) {
		change = (struct linkfs_setattr){.valid = LINKFS_SET_UID | LINKFS_SET_GID};
		change.uid = (uint32_t)op->x;
		change.gid = (uint32_t)op->y;
	}
	return linkfs_node_setattr(s->volume, NULL, ino, &change, NULL);
}

/* What says the directory and the name of a path. */
static int place_of(struct subject *s, const char *path, uint64_t *dir, const char **name, size_t *len)
{
	return linkfs_path_parent(s->volume, NULL, LINKFS_ROOT_INO, path, dir, name, len, NULL);
}

static int sharing_op(struct subject *s, const struct op *op)
{
	struct linkfs_dedupe what;
	uint64_t ino = 0, other = 0, dir = 0;
	const char *name;
	size_t len;
	int r = ino_of(s, op->a, &ino);
	if (r)
		return r;
	if (op->kind == OP_KEEP)
		return linkfs_node_set_flags(s->volume, NULL, ino, op->x ? LINKFS_INO_KEEP_LINKS : 0,
					     LINKFS_INO_KEEP_LINKS, NULL);
	if (op->kind == OP_UNSHARE)
		return linkfs_path_unshare(s->volume, NULL, LINKFS_ROOT_INO, op->a, NULL);
	if (op->kind == OP_DEDUPE) {
		r = ino_of(s, op->b, &other);
		return r ? r : linkfs_node_dedupe(s->volume, NULL, ino, other, 0, &what);
	}
	r = place_of(s, op->b, &dir, &name, &len);
	if (r)
		return r;
	return op->kind == OP_CLONE ? linkfs_node_clone(s->volume, NULL, ino, dir, name, len, 0, NULL)
				    : linkfs_node_merge(s->volume, NULL, ino, dir, name, len);
}

static int open_op(struct subject *s, const struct op *op)
{
	uint32_t flags = LINKFS_O_READ | LINKFS_O_WRITE | (op->kind == OP_TMPFILE ? LINKFS_O_TMPFILE : 0);
	return linkfs_file_open(s->volume, NULL, LINKFS_ROOT_INO, *op->a ? op->a : ".", flags, 0644,
				&s->slots[op->slot]);
}

#define STEP_ROWS 5 /* of history: so that what little a script leaves takes some steps */

/* As linkfs_snapshot_delete(), in smaller steps, and without the keeper, which works when it likes. */
static int drop(struct subject *s, const struct op *op)
{
	struct lk_fs *fs = lk_volume_fs(s->volume);
	struct lk_snapshot row = {0};
	struct lk_op step;
	bool more = true;
	int r = lk_op_begin(fs, &step, LK_OP_WRITE | LK_OP_FREES);
	if (r)
		return r;
	r = lk_snapshot_find(&step, op->a, strlen(op->a), &row);
	r = lk_op_end(&step, r ? r : lk_txn_snapshot_mark(&step, row.epoch));
	for (uint64_t steps = 0; r == 0 && more && (op->x == 0 || steps < op->x); steps++) {
		r = lk_op_begin(fs, &step, LK_OP_WRITE | LK_OP_FREES | LK_OP_BULK | LK_OP_SILENT | LK_OP_PURGE);
		if (r == 0)
			r = lk_op_end(&step, lk_txn_snapshot_drop(&step, row.epoch, STEP_ROWS, &(uint32_t){0}, &more));
		/* The keeper, who goes on with deletions that were cut off, was faster. */
		if (r == LINKFS_ENOENT) {
			r = 0;
			more = false;
		}
	}
	return r;
}

static int checkpoint(struct subject *s)
{
	struct lk_db *db = lk_volume_fs(s->volume)->db;
	return db->ops->checkpoint(db, false);
}

static int sync_op(struct subject *s, const struct op *op)
{
	uint64_t ino = 0;
	int r = ino_of(s, op->a, &ino);
	return r ? r : linkfs_node_fsync(s->volume, ino, op->x != 0);
}

static int reopen(struct subject *s)
{
	int r = subject_close(s);
	return r ? r : subject_open(s, NULL);
}

int op_run(struct subject *s, const struct op *op)
{
	struct linkfs_volume *v = s->volume;
	switch (op->kind) {
	case OP_CREATE:
	case OP_MKDIR:
	case OP_FIFO:
		return make(s, op);
	case OP_SYMLINK:
		return linkfs_path_symlink(v, NULL, op->b, LINKFS_ROOT_INO, op->a, NULL);
	case OP_TRACK:
		return linkfs_path_track(v, NULL, LINKFS_ROOT_INO, op->b, LINKFS_ROOT_INO, op->a, 0, NULL);
	case OP_RELINK:
		return linkfs_path_replace_symlink(v, NULL, op->b, LINKFS_ROOT_INO, op->a, NULL);
	case OP_LINK:
		return linkfs_path_link(v, NULL, LINKFS_ROOT_INO, op->a, LINKFS_ROOT_INO, op->b, 0);
	case OP_LINKDIR:
		return linkfs_path_link_directory(v, NULL, LINKFS_ROOT_INO, op->a, LINKFS_ROOT_INO, op->b);
	case OP_BIND:
		return linkfs_path_bind(v, NULL, LINKFS_ROOT_INO, op->a, LINKFS_ROOT_INO, op->b);
	case OP_UNBIND:
		return linkfs_path_unbind(v, NULL, LINKFS_ROOT_INO, op->a);
	case OP_UNLINK:
		return linkfs_path_unlink(v, NULL, LINKFS_ROOT_INO, op->a);
	case OP_RMDIR:
		return linkfs_path_rmdir(v, NULL, LINKFS_ROOT_INO, op->a);
	case OP_RENAME:
	case OP_EXCHANGE:
		return linkfs_path_rename(v, NULL, LINKFS_ROOT_INO, op->a, LINKFS_ROOT_INO, op->b,
					  op->kind == OP_EXCHANGE ? LINKFS_RENAME_EXCHANGE : 0);
	case OP_WRITE:
	case OP_WRITE_SYNC:
	case OP_APPEND:
	case OP_HWRITE:
		return write_op(s, op);
	case OP_TRUNCATE:
	case OP_ALLOCATE:
	case OP_COPY:
		return content_op(s, op);
	case OP_SETXATTR:
	case OP_RMXATTR:
	case OP_CHMOD:
	case OP_CHOWN:
		return attribute_op(s, op);
	case OP_KEEP:
	case OP_CLONE:
	case OP_UNSHARE:
	case OP_DEDUPE:
	case OP_MERGE:
		return sharing_op(s, op);
	case OP_OPEN:
	case OP_TMPFILE:
		return open_op(s, op);
	case OP_HTRUNCATE:
		return linkfs_file_truncate(s->slots[op->slot], op->x);
	case OP_HLINK:
		return linkfs_file_link(s->slots[op->slot], NULL, LINKFS_ROOT_INO, op->b);
	case OP_HCLOSE:
		linkfs_file_close(s->slots[op->slot]);
		s->slots[op->slot] = NULL;
		return 0;
	case OP_FSYNC:
		return sync_op(s, op);
	case OP_HSYNC:
		return linkfs_file_sync(s->slots[op->slot], op->x != 0);
	case OP_SYNC:
		return linkfs_volume_sync(v);
	case OP_CHECKPOINT:
		return checkpoint(s);
	case OP_SNAPSHOT:
		return linkfs_snapshot_create(v, NULL, &(struct linkfs_snapshot_new){.name = op->a}, NULL);
	case OP_RENAME_SNAPSHOT:
		return linkfs_snapshot_rename(v, NULL, op->a, op->b);
	case OP_DROP:
		return drop(s, op);
	case OP_REOPEN:
		return reopen(s);
	case OP_KINDS:
	default:
		abort();
	}
}
