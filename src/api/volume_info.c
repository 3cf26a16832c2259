/*
 * volume_info.c - what a volume says of itself: statfs and info.
 * Layer: api.
 */
#include "volume.h"

#include "host_dir.h"
#include "txn.h"

#include <string.h>

struct numbers {
	uint64_t used, pending; /* data blocks */
	uint64_t inodes, next_ino, epoch;
	uint64_t kept, kept_blocks; /* deleted files that are kept */
	int64_t keep_ns;
	struct lk_db_usage db;
};

static int gather(struct lk_fs *fs, struct numbers *n)
{
	struct lk_op op;
	int r = lk_op_begin(fs, &op, 0);
	if (r)
		return r;
	int64_t inodes = 0, next = 0, kept = 0, kept_blocks = 0;
	lk_alloc_usage(fs->alloc, &n->used, &n->pending);
	r = fs->db->ops->usage(fs->db, &n->db);
	if (r == 0)
		r = lk_txn_count(&op, LK_COUNTER_INODES, 0, &inodes);
	if (r == 0)
		r = lk_txn_count(&op, LK_COUNTER_NEXT_INO, 0, &next);
	if (r == 0)
		r = lk_txn_count(&op, LK_COUNTER_KEPT, 0, &kept);
	if (r == 0)
		r = lk_txn_count(&op, LK_COUNTER_KEPT_BLOCKS, 0, &kept_blocks);
	n->inodes = (uint64_t)(inodes - LK_MIN(kept, inodes));
	n->kept = (uint64_t)kept;
	n->kept_blocks = (uint64_t)kept_blocks;
	n->keep_ns = fs->keep_deleted_ns;
	n->next_ino = (uint64_t)next;
	n->epoch = (uint64_t)fs->epoch;
	return lk_op_end(&op, r);
}

/* Free is what the host could still give, and what we have from it and do not use: freed blocks (K4 keeps them until a
 * commit; some hosts never take them back) and free pages of the database. So is what kept files have (E9): whoever writes gets it. Blocks
 * that they share with files that are there count too, though they would not come back. */
int linkfs_volume_statfs(struct linkfs_volume *volume, struct linkfs_statfs *out)
{
	struct lk_fs *fs = volume->fs;
	struct numbers n = {0};
	uint64_t host_free, host_total, on_host, meta;
	int r = gather(fs, &n);
	if (r == 0)
		r = lk_data_space(fs->data, &host_free, &host_total);
	if (r == 0)
		r = lk_host_usage(lk_data_dir(fs->data), &on_host, &meta);
	if (r)
		return r;
	uint64_t data = (n.used - LK_MIN(n.used, n.pending + n.kept_blocks)) * LK_BLOCK_SIZE;
	uint64_t spare_pages = n.db.free_pages * n.db.page_size;
	uint64_t meta_used = n.db.pages * n.db.page_size - LK_MIN(spare_pages, n.db.pages * n.db.page_size);
	uint64_t free_bytes = host_free + (on_host > data ? on_host - data : 0) + spare_pages;
	if (fs->limit_blocks) {
		uint64_t limit = fs->limit_blocks * LK_BLOCK_SIZE;
		free_bytes = LK_MIN(free_bytes, limit - LK_MIN(limit, data));
	}
	uint64_t blocks_free = free_bytes / LK_BLOCK_SIZE;
	uint64_t numbers_left = (uint64_t)LK_INO_MAX + 1 - LK_MIN((uint64_t)LK_INO_MAX + 1, n.next_ino);
	/* A small file costs about 256 bytes of metadata. */
	uint64_t inodes_free = LK_MIN(numbers_left, free_bytes / 256);
	*out = (struct linkfs_statfs){
		.block_size = LK_BLOCK_SIZE,
		.blocks = (data + meta_used + LK_BLOCK_SIZE - 1) / LK_BLOCK_SIZE + blocks_free,
		.blocks_free = blocks_free,
		.blocks_available = blocks_free,
		.inodes = n.inodes + inodes_free,
		.inodes_free = inodes_free,
		.name_max = LINKFS_NAME_MAX,
	};
	return 0;
}

int linkfs_volume_info(struct linkfs_volume *volume, struct linkfs_info *out)
{
	struct lk_fs *fs = volume->fs;
	struct numbers n = {0};
	uint64_t on_host, meta;
	int r = gather(fs, &n);
	if (r == 0)
		r = lk_host_usage(lk_data_dir(fs->data), &on_host, &meta);
	if (r)
		return r;
	bool poisoned = atomic_load(&fs->poisoned);
	memset(out, 0, sizeof(*out));
	memcpy(out->uuid, fs->uuid, sizeof(out->uuid));
	memcpy(out->label, fs->label, sizeof(out->label));
	size_t len = strlen(fs->path);
	memcpy(out->path, fs->path, LK_MIN(len, sizeof(out->path) - 1));
	out->format_version = LK_FORMAT_VERSION;
	out->read_only = poisoned || (fs->open_flags & LINKFS_OPEN_READONLY);
	out->poisoned = poisoned;
	out->block_size = LK_BLOCK_SIZE;
	out->features_compat = fs->features_compat;
	out->features_ro_compat = fs->features_ro_compat;
	out->features_incompat = fs->features_incompat;
	out->created_ns = fs->created_ns;
	out->inodes = n.inodes;
	out->next_ino = n.next_ino;
	out->epoch = n.epoch;
	out->data_blocks_used = n.used - LK_MIN(n.used, n.pending);
	out->meta_bytes = meta;
	out->limit_bytes = fs->limit_blocks * LK_BLOCK_SIZE;
	out->commits = lk_txn_commits(fs);
	out->keep_deleted_ns = n.keep_ns;
	out->kept_inodes = n.kept;
	out->kept_blocks = n.kept_blocks;
	return 0;
}
