/*
 * protocol.h - the kernel's FUSE protocol: <linux/fuse.h>, and our own declarations of what kernels up to protocol
 * 7.45 speak and the header of a stable distribution (7.38) does not have yet. The layouts are those of the kernel's
 * include/uapi/linux/fuse.h; the names are ours, so that a newer header does not collide.
 * Layer: fuse.
 */
#ifndef LK_FUSE_PROTOCOL_H
#define LK_FUSE_PROTOCOL_H

#include <linux/fuse.h>
#include <stddef.h>
#include <stdint.h>

/* The oldest minor we serve: 7.31 (Linux 5.4) is the first with every reply format used here. */
#define LK_FUSE_MINOR_MIN 31u
#define LK_FUSE_MINOR 45u
#define LK_FUSE_MINOR_WHOLE_TEXTS 42u /* of Linux 6.14 */

/* Operations the header may lack. */
#define LK_FUSE_STATX 52u              /* since 7.39 */
#define LK_FUSE_COPY_FILE_RANGE_64 53u /* since 7.45 */

/* Rows of the operation table: one more than the highest number known here. */
#define LK_FUSE_OPCODES 54u

struct lk_fuse_sx_time {
	int64_t sec;
	uint32_t nsec;
	int32_t reserved;
};

struct lk_fuse_statx {
	uint32_t mask;
	uint32_t blksize;
	uint64_t attributes;
	uint32_t nlink;
	uint32_t uid;
	uint32_t gid;
	uint16_t mode;
	uint16_t spare0;
	uint64_t ino;
	uint64_t size;
	uint64_t blocks;
	uint64_t attributes_mask;
	struct lk_fuse_sx_time atime, btime, ctime, mtime;
	uint32_t rdev_major, rdev_minor;
	uint32_t dev_major, dev_minor;
	uint64_t spare2[14];
};

struct lk_fuse_statx_in {
	uint32_t getattr_flags;
	uint32_t reserved;
	uint64_t fh;
	uint32_t sx_flags;
	uint32_t sx_mask;
};

struct lk_fuse_statx_out {
	uint64_t attr_valid;
	uint32_t attr_valid_nsec;
	uint32_t flags;
	uint64_t spare[2];
	struct lk_fuse_statx stat;
};

struct lk_fuse_copy_out {
	uint64_t bytes_copied;
};

/* A notification since 7.45: the kernel drops the names of nodes that nobody uses just now. The node ids follow. */
#define LK_FUSE_NOTIFY_PRUNE 9
#define LK_FUSE_MINOR_PRUNE 45u
struct lk_fuse_prune_out {
	uint32_t count;
	uint32_t padding;
	uint64_t spare;
};

_Static_assert(sizeof(struct lk_fuse_statx) == 256, "statx of the protocol");
_Static_assert(sizeof(struct lk_fuse_statx_in) == 24, "statx request");
_Static_assert(sizeof(struct lk_fuse_statx_out) == 288, "statx reply");
_Static_assert(sizeof(struct lk_fuse_prune_out) == 16, "prune notification");
_Static_assert(sizeof(struct fuse_in_header) == 40, "request header");
_Static_assert(sizeof(struct fuse_init_out) == 64, "INIT reply");
_Static_assert(sizeof(struct fuse_setxattr_in) == 16, "SETXATTR request");

/* A SETXATTR request without SETXATTR_EXT ends after its flags. */
#define LK_FUSE_SETXATTR_SHORT 8u

#endif
