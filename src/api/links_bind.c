/*
 * links_bind.c - the binds of a volume, with their paths (linkfs_links.h).
 * Layer: api.
 */
#include "told.h"

#include "binds.h"
#include "paths.h"

#define BINDS 64u

struct binds {
	struct lk_bind rows[BINDS];
	uint32_t count;
	uint64_t source; /* 0: of all */
	uint64_t hidden;
	struct lk_told told;
	linkfs_bind_fn *fn;
	void *arg;
};

static int take_row(void *arg, const void *record)
{
	struct binds *b = arg;

	b->rows[b->count++] = *(const struct lk_bind *)record;
	return 0;
}

/* One path of what is shown; p NULL when cred may not know it. */
static int source_path(struct lk_op *op, struct lk_paths *paths, const struct lk_inode *source, struct lk_bytes *out)
{
	struct lk_dirent d;
	int rc;

	if (lk_is_dir(source)) {
		rc = lk_paths_dir(paths, (uint64_t)source->ino, out);
	} else {
		rc = lk_dirent_first(op, (uint64_t)source->ino, &d);
		if (rc == LINKFS_ENOENT)
			return LINKFS_ECORRUPT;
		if (rc == 0)
			rc = lk_paths_name(paths, (uint64_t)d.dir, d.name.p, d.name.len, out);
	}
	if (rc == LINKFS_EACCES || rc == LINKFS_ENOENT) {
		*out = (struct lk_bytes){NULL, 0};
		rc = 0;
	}
	return rc;
}

static int tell(struct binds *b, struct lk_op *op, struct lk_paths *paths, const struct lk_bind *row)
{
	struct lk_dirent d = {.dir = row->dir, .hash = row->hash, .ord = row->ord};
	struct lk_bytes path, source;
	struct lk_inode inode;
	struct linkfs_bind *out;
	char *bytes;
	int rc = lk_txn_get(op, LK_T_DIRENT, &d, &d);

	if (rc == 0)
		rc = lk_inode_get(op, (uint64_t)row->source, &inode);
	if (rc == LINKFS_ENOENT || rc == LINKFS_ESTALE)
		return LINKFS_ECORRUPT;
	if (rc == 0)
		rc = lk_paths_name(paths, (uint64_t)d.dir, d.name.p, d.name.len, &path);
	if (rc == LINKFS_EACCES || rc == LINKFS_ENOENT) {
		b->hidden++;
		return 0;
	}
	if (rc == 0)
		rc = source_path(op, paths, &inode, &source);
	if (rc)
		return rc;
	out = lk_told_add(&b->told, sizeof(*out), path.len + source.len + 2, &bytes);
	if (!out)
		return LINKFS_ENOMEM;
	out->path = lk_told_string(&bytes, path.p, path.len);
	out->path_len = path.len;
	out->dir = (uint64_t)d.dir;
	out->name = out->path + path.len - d.name.len;
	out->name_len = d.name.len;
	out->covered = (uint64_t)d.ino;
	out->source = (uint64_t)row->source;
	out->type = (uint32_t)inode.mode & S_IFMT;
	if (source.p) {
		out->source_path = lk_told_string(&bytes, source.p, source.len);
		out->source_path_len = source.len;
	}
	return 0;
}

static int give(void *arg, const void *answer)
{
	const struct binds *b = arg;

	return b->fn(b->arg, answer);
}

int linkfs_volume_binds(struct linkfs_volume *volume, const struct linkfs_cred *cred, uint64_t source,
			linkfs_bind_fn *fn, void *arg, uint64_t *hidden_out)
{
	struct binds b = {.source = source, .fn = fn, .arg = arg};
	struct lk_bind after;
	bool more = true, started = false;
	struct lk_op op;
	int rc = 0;

	while (rc == 0 && more) {
		struct lk_paths paths = {.op = &op, .cred = lk_cred(cred)};

		rc = lk_op_begin(lk_volume_fs(volume), &op, 0);
		if (rc)
			break;
		b.count = 0;
		rc = lk_bind_scan(&op, source, started ? &after : NULL, BINDS, take_row, &b);
		for (uint32_t i = 0; rc == 0 && i < b.count; i++)
			rc = tell(&b, &op, &paths, &b.rows[i]);
		more = b.count == BINDS;
		if (b.count)
			after = b.rows[b.count - 1];
		started = true;
		lk_paths_done(&paths);
		rc = lk_told_slice(&op, rc, &b.told, give, &b);
	}
	if (rc >= 0 && hidden_out)
		*hidden_out = b.hidden;
	return lk_told_result(rc);
}
