/*
 * fingerprint.h - 16 bytes that two inodes of two volumes have in common when they are the same in all that a stream brings (docs/STREAM.md):
 * owner, mode, mtime, birth, flags, attributes, content, text, names. Inodes and directories are told by the stream's numbers.
 * Layer: core. Takes the lock itself.
 */
#ifndef LK_FINGERPRINT_H
#define LK_FINGERPRINT_H

#include "fs.h"
#include "pairs.h"

struct lk_fingerprint {
	struct lk_fs *fs;
	uint64_t bits;                    /* of a snapshot's node ids, which are held; 0: the live tree */
	const struct lk_pairs *number_of; /* by inode number */
};
/* One that is gone has one of its own. LINKFS_ESTALE: the snapshot is gone. */
int lk_fingerprint(const struct lk_fingerprint *f, uint64_t number, uint64_t ino, uint8_t out[16]);
/* Of all binds of the view. */
int lk_fingerprint_binds(const struct lk_fingerprint *f, uint8_t out[16]);

#endif
