/*
 * init.c - INIT: what the kernel offers and what of it is taken (design M2).
 * Layer: fuse.
 */
#include "session.h"

#include <string.h>

/* Taken when offered. Left out on purpose: AUTO_INVAL_DATA (nobody changes files beside this mount unseen),
 * HANDLE_KILLPRIV (its first version asks for an xattr on every write), POSIX_LOCKS and FLOCK_LOCKS (the kernel keeps
 * locks), splice (content is copied once into the page cache anyway), PASSTHROUGH. */
static const uint64_t wanted = FUSE_ASYNC_READ | FUSE_ATOMIC_O_TRUNC | FUSE_EXPORT_SUPPORT | FUSE_BIG_WRITES |
			       FUSE_DONT_MASK | FUSE_DO_READDIRPLUS | FUSE_READDIRPLUS_AUTO | FUSE_ASYNC_DIO |
			       FUSE_PARALLEL_DIROPS | FUSE_POSIX_ACL | FUSE_MAX_PAGES | FUSE_CACHE_SYMLINKS |
			       FUSE_NO_OPENDIR_SUPPORT | FUSE_EXPLICIT_INVAL_DATA | FUSE_HANDLE_KILLPRIV_V2 |
			       FUSE_SETXATTR_EXT | (uint64_t)FUSE_INIT_EXT;

/* Requests that nobody waits for (readahead, asynchronous direct I/O) which may be under way at once. */
#define BACKGROUND_MAX 64u

int lk_fuse_init(struct lk_fuse_request *rq)
{
	struct lk_fuse_conn *conn = &rq->mount->conn;
	struct fuse_init_in in;
	memset(&in, 0, sizeof(in));
	memcpy(&in, rq->arg, rq->arg_len < sizeof(in) ? rq->arg_len : sizeof(in));
	if (conn->ready || in.major < FUSE_KERNEL_VERSION)
		return LINKFS_EIO;
	struct fuse_init_out *out = lk_fuse_reply(rq, sizeof(*out));
	if (!out)
		return LINKFS_EIO;
	out->major = FUSE_KERNEL_VERSION;
	out->minor = LK_FUSE_MINOR;
	if (in.major > FUSE_KERNEL_VERSION)
		return 0; /* the kernel asks again with our major version */
	if (in.minor < LK_FUSE_MINOR_MIN)
		return LINKFS_EIO;

	uint64_t offered = in.flags;
	if (in.flags & FUSE_INIT_EXT)
		offered |= (uint64_t)in.flags2 << 32;
	uint64_t agreed = offered & wanted;
	if (conn->writeback)
		agreed |= offered & FUSE_WRITEBACK_CACHE;
	/* With OPEN switched off nobody would see the flag, and O_TRUNC would be lost. */
	conn->no_open = conn->no_open && (offered & FUSE_NO_OPEN_SUPPORT);
	if (conn->no_open)
		agreed = (agreed | FUSE_NO_OPEN_SUPPORT) & ~(uint64_t)FUSE_ATOMIC_O_TRUNC;

	conn->minor = in.minor < LK_FUSE_MINOR ? in.minor : LK_FUSE_MINOR;
	conn->offered = offered;
	conn->agreed = agreed;
	conn->writeback = agreed & FUSE_WRITEBACK_CACHE;
	conn->ready = true;

	out->max_readahead = in.max_readahead;
	out->flags = (uint32_t)agreed;
	out->flags2 = (uint32_t)(agreed >> 32);
	out->max_background = BACKGROUND_MAX;
	out->congestion_threshold = BACKGROUND_MAX * 3 / 4;
	out->max_write = LK_FUSE_CONTENT_MAX;
	out->max_pages = LK_FUSE_PAGES_MAX;
	out->time_gran = 1;
	return 0;
}
