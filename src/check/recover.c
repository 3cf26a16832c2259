/*
 * recover.c - a recovery from end to end: read what is left, decide, make the new volume (recover.h).
 * Layer: check.
 */
#include "recover_impl.h"

#include "pack.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SPARE_BLOCKS 1024u /* what a write may take besides what it keeps */

static int pages_progress(void *arg, uint64_t done, uint64_t total)
{
	struct lk_recovery *r = arg;
	if (!r->options.progress)
		return 0;
	return r->options.progress(r->options.arg, LINKFS_RECOVER_PAGES, LK_MIN(done, total), total) ? LINKFS_EINTR : 0;
}

static int take_row(void *arg, const struct lk_tree *tree, const void *record, const struct lk_origin *origin)
{
	struct lk_recovery *r = arg;
	return lk_recover_rows_add(&r->rows, tree, record, origin);
}

static int read_all(const char *dir, struct lk_recovery *r, struct linkfs_message *why)
{
	int e = lk_reader_open(dir, &r->reader, why);
	if (e)
		return e;
	r->reader.row = take_row;
	r->reader.progress = pages_progress;
	r->reader.arg = r;
	e = lk_reader_run(&r->reader);
	if (e == 0)
		e = lk_recovery_plan(r);
	if (e)
		return lk_fail(why, e, "cannot read what is left of %s: %s", dir, linkfs_strerror(e));
	if (r->rows.inodes.len == 0 && r->rows.names.len == 0 && r->rows.extents.len == 0 && r->rows.inlines.len == 0)
		return lk_fail(why, LINKFS_ECORRUPT, "no record of a file is left in %s/meta.db", dir);
	return lk_data_open(dir, true, &r->data, why);
}

int lk_recovery_open(const char *dir, const struct linkfs_recover_options *options, struct lk_recovery **out,
		     struct linkfs_message *why)
{
	struct lk_recovery *r = calloc(1, sizeof(*r));
	if (!r)
		return lk_fail(why, LINKFS_ENOMEM, "out of memory");
	r->reader.pages.db_fd = r->reader.pages.wal_fd = -1;
	r->rows.inode_count = -1;
	r->uid = geteuid();
	r->gid = getegid();
	if (options)
		r->options = *options;
	int e = lk_pack_new(&r->pack);
	if (e)
		(void)lk_fail(why, e, "out of memory");
	else
		e = read_all(dir, r, why);
	if (e)
		lk_recovery_close(r);
	else
		*out = r;
	return e;
}

void lk_recovery_new_volume(const struct lk_recovery *r, struct linkfs_create_options *out)
{
	*out = (struct linkfs_create_options){.root_uid = r->uid, .root_gid = r->gid};
	/* Only from a page that can be trusted: neither can be seen to be wrong. */
	if (r->rows.super_rank < LK_RANK_LOST)
		return;
	out->label = r->rows.label[0] ? r->rows.label : NULL;
	if (r->rows.limit_blocks == 0)
		return;
	/* What files shared is copied for each, and must have room. */
	const struct lk_extent_row *e = r->rows.extents.p;
	uint64_t blocks = SPARE_BLOCKS;
	for (size_t i = 0; i < r->rows.extents.len; i++)
		blocks += e[i].codec == LK_CODEC_RAW || e[i].codec == LK_CODEC_ZSTD ? e[i].count : 0;
	blocks = LK_MAX(blocks, (uint64_t)r->rows.limit_blocks);
	out->limit_bytes = LK_MIN(blocks, (uint64_t)LK_DISK_BLOCK_MAX) * LK_BLOCK_SIZE;
}

int lk_recovery_build(struct lk_recovery *r, const char *new_dir, struct linkfs_recover_result *out,
		      struct linkfs_message *why)
{
	int e = new_dir ? lk_fs_open(new_dir, 0, 0, &r->fs, why) : 0;
	if (e)
		return e;
	e = lk_recovery_make(r);
	if (e)
		(void)lk_fail(why, e, "cannot make %s: %s", r->path.len ? (const char *)r->path.p : "the new volume",
			      linkfs_strerror(e));
	if (r->fs) {
		int closed = lk_fs_close(r->fs);
		r->fs = NULL;
		if (e == 0 && closed)
			e = lk_fail(why, closed, "cannot write the new volume: %s", linkfs_strerror(closed));
	}
	if (e == 0)
		*out = r->result;
	return e;
}

void lk_recovery_close(struct lk_recovery *r)
{
	if (!r)
		return;
	lk_reader_close(&r->reader);
	lk_recover_rows_done(&r->rows);
	lk_array_done(&r->found);
	lk_data_close(r->data);
	lk_pack_give(r->pack, r->chunk);
	lk_pack_free(r->pack);
	lk_buf_done(&r->path);
	lk_buf_done(&r->block);
	free(r);
}
