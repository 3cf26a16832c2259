/*
 * ops_attr.c - attributes: GETATTR, SETATTR, STATX, STATFS. All go by inode, so they work on descriptors of files that
 * have no name any more.
 * Layer: fuse.
 */
#include "session.h"

#include <linux/stat.h>
#include <string.h>

static int reply_attr(struct lk_fuse_request *rq, const struct linkfs_stat *st)
{
	struct fuse_attr_out *out = lk_fuse_reply(rq, sizeof(*out));
	if (!out)
		return LINKFS_EIO;
	out->attr_valid = lk_fuse_attr_valid(st);
	lk_fuse_pack_attr(&out->attr, st);
	return 0;
}

static int stat_node(struct lk_fuse_request *rq, struct linkfs_stat *st)
{
	return lk_fuse_is_snapshots(rq->ino) ? lk_fuse_snapshots_stat(rq, st)
					     : linkfs_node_getattr(rq->mount->volume, rq->ino, st);
}

int lk_fuse_getattr(struct lk_fuse_request *rq)
{
	struct linkfs_stat st;
	int r = stat_node(rq, &st);
	return r ? r : reply_attr(rq, &st);
}

/* One thread on one inode; that two of them may have one key does no harm. */
static uint64_t caller_key(const struct lk_fuse_request *rq)
{
	return rq->ino ^ (uint64_t)rq->in->pid << 40 ^ 1ull << 63;
}

void lk_fuse_uncapped(struct lk_fuse_request *rq)
{
	atomic_store_explicit(&rq->mount->uncapped, caller_key(rq), memory_order_relaxed);
}

/* Under HANDLE_KILLPRIV_V2 the kernel takes its order to drop setuid and setgid out of a SETATTR before it sends it. When
 * nothing else was asked, nothing is left, and that means: chown() to nobody, which drops the bits whoever asks; a write
 * to such a file by somebody who may not keep them; or root's write, which drops file capabilities only. The last is
 * told by the REMOVEXATTR right before it. */
static bool empty_means_kill(const struct lk_fuse_request *rq)
{
	uint64_t key = caller_key(rq);
	bool uncapped = atomic_compare_exchange_strong(&rq->mount->uncapped, &key, 0);
	return rq->cred.uid != 0 || !uncapped;
}

/* The kernel's valid bits in the library's words. */
static void unpack_change(const struct lk_fuse_request *rq, const struct fuse_setattr_in *arg,
			  struct linkfs_setattr *change)
{
	const struct lk_fuse_conn *conn = &rq->mount->conn;
	uint32_t valid = arg->valid;
	memset(change, 0, sizeof(*change));
	if (valid & FATTR_MODE)
		change->valid |= LINKFS_SET_MODE;
	if (valid & FATTR_UID)
		change->valid |= LINKFS_SET_UID;
	if (valid & FATTR_GID)
		change->valid |= LINKFS_SET_GID;
	if (valid & FATTR_SIZE)
		change->valid |= LINKFS_SET_SIZE;
	if (valid & FATTR_ATIME)
		change->valid |= valid & FATTR_ATIME_NOW ? LINKFS_SET_ATIME_NOW : LINKFS_SET_ATIME;
	if (valid & FATTR_MTIME)
		change->valid |= valid & FATTR_MTIME_NOW ? LINKFS_SET_MTIME_NOW : LINKFS_SET_MTIME;
	if (valid & FATTR_CTIME)
		change->valid |= LINKFS_SET_CTIME;
	if (valid & FATTR_KILL_SUIDGID)
		change->valid |= LINKFS_SET_KILL_SUIDGID;

	/* ftruncate() changes mtime even when the size stays, truncate() does not; the kernel leaves the time out for
	 * the first and tells it by the file handle. O_TRUNC does too, and without OPEN comes as a plain size 0. */
	if ((valid & FATTR_SIZE) && !(valid & FATTR_MTIME) && ((valid & FATTR_FH) || (conn->no_open && arg->size == 0)))
		change->valid |= LINKFS_SET_MTIME_NOW;

	const uint32_t asked =
		FATTR_MODE | FATTR_UID | FATTR_GID | FATTR_SIZE | FATTR_ATIME | FATTR_MTIME | FATTR_CTIME;
	if (!(valid & asked) && empty_means_kill(rq))
		change->valid |= LINKFS_SET_KILL_SUIDGID;

	change->mode = arg->mode & 07777u;
	change->uid = arg->uid;
	change->gid = arg->gid;
	change->size = arg->size;
	change->atime_ns = lk_fuse_unpack_time(arg->atime, arg->atimensec);
	change->mtime_ns = lk_fuse_unpack_time(arg->mtime, arg->mtimensec);
	change->ctime_ns = lk_fuse_unpack_time(arg->ctime, arg->ctimensec);
}

int lk_fuse_setattr(struct lk_fuse_request *rq)
{
	struct linkfs_setattr change;
	struct linkfs_stat st;
	unpack_change(rq, rq->arg, &change);
	if (!change.valid)
		return lk_fuse_getattr(rq);
	if (change.valid & LINKFS_SET_KILL_SUIDGID)
		lk_fuse_join_group(rq);
	int r = linkfs_node_setattr(rq->mount->volume, &rq->cred, rq->ino, &change, &st);
	return r ? r : reply_attr(rq, &st);
}

static void pack_time(struct lk_fuse_sx_time *out, uint64_t sec, uint32_t nsec)
{
	out->sec = (int64_t)sec;
	out->nsec = nsec;
}

/* The kernel asks with STATX only for what GETATTR does not have: the birth time. */
int lk_fuse_statx_get(struct lk_fuse_request *rq)
{
	struct linkfs_stat st;
	struct fuse_attr attr;
	int r = stat_node(rq, &st);
	if (r)
		return r;
	struct lk_fuse_statx_out *out = lk_fuse_reply(rq, sizeof(*out));
	if (!out)
		return LINKFS_EIO;
	lk_fuse_pack_attr(&attr, &st);
	out->attr_valid = lk_fuse_attr_valid(&st);
	struct lk_fuse_statx *sx = &out->stat;
	sx->mask = STATX_BASIC_STATS | STATX_BTIME;
	sx->blksize = attr.blksize;
	sx->nlink = attr.nlink;
	sx->uid = attr.uid;
	sx->gid = attr.gid;
	sx->mode = (uint16_t)attr.mode;
	sx->ino = attr.ino;
	sx->size = attr.size;
	sx->blocks = attr.blocks;
	pack_time(&sx->atime, attr.atime, attr.atimensec);
	pack_time(&sx->mtime, attr.mtime, attr.mtimensec);
	pack_time(&sx->ctime, attr.ctime, attr.ctimensec);
	st.atime_ns = st.btime_ns;
	lk_fuse_pack_attr(&attr, &st);
	pack_time(&sx->btime, attr.atime, attr.atimensec);
	sx->rdev_major = st.rdev_major;
	sx->rdev_minor = st.rdev_minor;
	return 0;
}

int lk_fuse_statfs(struct lk_fuse_request *rq)
{
	struct linkfs_statfs st;
	int r = linkfs_volume_statfs(rq->mount->volume, &st);
	if (r)
		return r;
	struct fuse_statfs_out *out = lk_fuse_reply(rq, sizeof(*out));
	if (!out)
		return LINKFS_EIO;
	out->st.bsize = (uint32_t)st.block_size;
	out->st.frsize = (uint32_t)st.block_size;
	out->st.blocks = st.blocks;
	out->st.bfree = st.blocks_free;
	out->st.bavail = st.blocks_available;
	out->st.files = st.inodes;
	out->st.ffree = st.inodes_free;
	out->st.namelen = (uint32_t)st.name_max;
	return 0;
}
