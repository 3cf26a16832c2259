/*
 * content.c - the content of files by inode number: read, write, sync, allocate, seek, extents, copy (linkfs.h).
 * Layer: api. Permissions are the opener's business.
 */
#include "file.h"
#include "volume.h"

int linkfs_node_read(struct linkfs_volume *volume, uint64_t ino, uint64_t offset, void *buf, size_t size,
		     size_t *done_out)
{
	return lk_file_read(lk_volume_fs(volume), LK_VIEW_LIVE, ino, offset, buf, size, done_out);
}

int linkfs_node_write(struct linkfs_volume *volume, const struct linkfs_cred *cred, uint64_t ino, uint64_t offset,
		      const void *buf, size_t size, uint32_t flags, size_t *done_out, uint64_t *offset_out)
{
	if (flags & ~(LINKFS_WRITE_APPEND | LINKFS_WRITE_KILL_SUIDGID | LINKFS_WRITE_SYNC | LINKFS_WRITE_MAPPED))
		return LINKFS_EINVAL;
	return lk_file_write(lk_volume_fs(volume), cred, ino, offset, buf, size, flags, done_out, offset_out);
}

int linkfs_node_fsync(struct linkfs_volume *volume, uint64_t ino, int data_only)
{
	/* T2: one commit makes everything before it durable; with nothing new it costs a look under the lock. */
	(void)ino;
	(void)data_only;
	return lk_txn_commit(lk_volume_fs(volume));
}

int linkfs_node_allocate(struct linkfs_volume *volume, const struct linkfs_cred *cred, uint64_t ino, uint32_t mode,
			 uint64_t offset, uint64_t length)
{
	return lk_file_allocate(lk_volume_fs(volume), cred, ino, mode, offset, length);
}

int linkfs_node_seek(struct linkfs_volume *volume, uint64_t ino, uint64_t offset, int whence, uint64_t *out)
{
	return lk_file_seek(lk_volume_fs(volume), LK_VIEW_LIVE, ino, offset, whence, out);
}

int linkfs_node_extents(struct linkfs_volume *volume, uint64_t ino, uint64_t *offset, linkfs_extent_fn *fn, void *arg)
{
	return lk_file_extents(lk_volume_fs(volume), LK_VIEW_LIVE, ino, offset, fn, arg);
}

int linkfs_node_copy_range(struct linkfs_volume *volume, const struct linkfs_cred *cred, uint64_t from,
			   uint64_t from_offset, uint64_t to, uint64_t to_offset, uint64_t length, uint64_t *done_out)
{
	return lk_file_copy_range(lk_volume_fs(volume), cred, from, from_offset, to, to_offset, length, done_out);
}

int linkfs_node_compress(struct linkfs_volume *volume, const struct linkfs_cred *cred, uint64_t ino, uint32_t level,
			 uint64_t *offset, uint64_t *saved_out)
{
	if (level > LINKFS_COMPRESSION_LEVEL_MAX)
		return LINKFS_EINVAL;
	return lk_file_pack(lk_volume_fs(volume), cred, ino, (int)level, offset, saved_out);
}

void linkfs_node_written(struct linkfs_volume *volume, uint64_t ino)
{
	(void)lk_file_pack_end(lk_volume_fs(volume), ino);
}
