/*
 * ops_content.c - OPEN and what is done with an open file. There is no state per open file: node ids carry the holds,
 * and the kernel checks what a descriptor may do.
 * Layer: fuse.
 */
#include "session.h"

#include <fcntl.h>
#include <string.h>

int lk_fuse_open(struct lk_fuse_request *rq)
{
	const struct fuse_open_in *arg = rq->arg;
	if (rq->mount->conn.no_open)
		return LINKFS_ENOSYS;
	if ((arg->flags & O_ACCMODE) != O_RDONLY && lk_fuse_is_past(rq->ino))
		return LINKFS_EROFS;
	if (arg->flags & O_TRUNC) {
		/* ATOMIC_O_TRUNC: nobody else truncates. */
		struct linkfs_setattr change = {.valid = LINKFS_SET_SIZE | LINKFS_SET_MTIME_NOW};
		if (arg->open_flags & FUSE_OPEN_KILL_SUIDGID) {
			change.valid |= LINKFS_SET_KILL_SUIDGID;
			lk_fuse_join_group(rq);
		}
		int r = linkfs_node_setattr(rq->mount->volume, &rq->cred, rq->ino, &change, NULL);
		if (r)
			return r;
	}
	struct fuse_open_out *out = lk_fuse_reply(rq, sizeof(*out));
	if (!out)
		return LINKFS_EIO;
	out->open_flags = FOPEN_KEEP_CACHE | FOPEN_NOFLUSH;
	return lk_fuse_writer_opens(rq->mount, rq->ino, arg->flags);
}

int lk_fuse_release(struct lk_fuse_request *rq)
{
	const struct fuse_release_in *arg = rq->arg;
	if (rq->in->opcode == FUSE_RELEASE)
		lk_fuse_writer_closes(rq->mount, rq->in->nodeid, arg->flags);
	/* Nobody waits for this reply. */
	if (rq->in->opcode == FUSE_RELEASE && (arg->flags & O_ACCMODE) != O_RDONLY && !lk_fuse_is_past(rq->in->nodeid))
		linkfs_node_written(rq->mount->volume, rq->in->nodeid);
	return lk_fuse_done(rq);
}

int lk_fuse_read(struct lk_fuse_request *rq)
{
	const struct fuse_read_in *arg = rq->arg;
	size_t size = arg->size, done = 0;
	if (size > LK_FUSE_CONTENT_MAX)
		size = LK_FUSE_CONTENT_MAX;
	if (size > rq->out_cap)
		size = rq->out_cap;
	int r = linkfs_node_read(rq->mount->volume, rq->ino, arg->offset, rq->out, size, &done);
	if (!r)
		rq->out_len = done;
	return r;
}

int lk_fuse_write(struct lk_fuse_request *rq)
{
	const struct fuse_write_in *arg = rq->arg;
	size_t done = 0;
	uint32_t flags = 0;
	if (arg->size != rq->arg_len - sizeof(*arg))
		return LINKFS_EINVAL;
	if (arg->write_flags & FUSE_WRITE_KILL_SUIDGID) {
		flags |= LINKFS_WRITE_KILL_SUIDGID;
		lk_fuse_join_group(rq);
	}
	/* What a write of its own has to drop, the kernel has had dropped before it let the pages be changed. */
	if (arg->write_flags & FUSE_WRITE_CACHE)
		flags |= LINKFS_WRITE_MAPPED;
	/* The kernel sends an FSYNC after a synchronous write, once for all pieces of a call, but not after an asynchronous
	 * direct one. */
	if ((arg->flags & (O_SYNC | O_DSYNC)) && (arg->flags & O_DIRECT))
		flags |= LINKFS_WRITE_SYNC;
	int r = linkfs_node_write(rq->mount->volume, &rq->cred, rq->ino, arg->offset, arg + 1, arg->size, flags, &done,
				  NULL);
	if (r)
		return r;
	struct fuse_write_out *out = lk_fuse_reply(rq, sizeof(*out));
	if (!out)
		return LINKFS_EIO;
	out->size = (uint32_t)done;
	return 0;
}

/* FSYNC and FSYNCDIR. */
int lk_fuse_fsync(struct lk_fuse_request *rq)
{
	const struct fuse_fsync_in *arg = rq->arg;
	return linkfs_node_fsync(rq->mount->volume, rq->ino, (arg->fsync_flags & FUSE_FSYNC_FDATASYNC) != 0);
}

int lk_fuse_syncfs(struct lk_fuse_request *rq)
{
	return linkfs_volume_sync(rq->mount->volume);
}

int lk_fuse_fallocate(struct lk_fuse_request *rq)
{
	const struct fuse_fallocate_in *arg = rq->arg;
	return linkfs_node_allocate(rq->mount->volume, &rq->cred, rq->ino, arg->mode, arg->offset, arg->length);
}

int lk_fuse_lseek(struct lk_fuse_request *rq)
{
	const struct fuse_lseek_in *arg = rq->arg;
	uint64_t offset;
	if (arg->whence != LINKFS_SEEK_DATA && arg->whence != LINKFS_SEEK_HOLE)
		return LINKFS_EINVAL;
	int r = linkfs_node_seek(rq->mount->volume, rq->ino, arg->offset, (int)arg->whence, &offset);
	if (r)
		return r;
	struct fuse_lseek_out *out = lk_fuse_reply(rq, sizeof(*out));
	if (!out)
		return LINKFS_EIO;
	out->offset = offset;
	return 0;
}

static int copy(struct lk_fuse_request *rq, uint64_t most, uint64_t *done_out)
{
	const struct fuse_copy_file_range_in *arg = rq->arg;
	uint64_t to, len = arg->len < most ? arg->len : most;
	int r = arg->flags ? LINKFS_EINVAL : lk_fuse_ino(arg->nodeid_out, &to);
	if (r)
		return r;
	return linkfs_node_copy_range(rq->mount->volume, &rq->cred, rq->ino, arg->off_in, to, arg->off_out, len,
				      done_out);
}

/* The first form answers in 32 bits. Cut at a block, so that the rest still shares whole blocks. */
int lk_fuse_copy(struct lk_fuse_request *rq)
{
	uint64_t done;
	int r = copy(rq, UINT32_MAX & ~4095u, &done);
	if (r)
		return r;
	struct fuse_write_out *out = lk_fuse_reply(rq, sizeof(*out));
	if (!out)
		return LINKFS_EIO;
	out->size = (uint32_t)done;
	return 0;
}

int lk_fuse_copy_64(struct lk_fuse_request *rq)
{
	uint64_t done;
	int r = copy(rq, UINT64_MAX, &done);
	if (r)
		return r;
	struct lk_fuse_copy_out *out = lk_fuse_reply(rq, sizeof(*out));
	if (!out)
		return LINKFS_EIO;
	out->bytes_copied = done;
	return 0;
}
