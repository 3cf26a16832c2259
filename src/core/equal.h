/*
 * equal.h - files with equal content share their blocks, or become one file (E7).
 * Layer: core. Nothing is taken for equal that was not compared byte by byte with both files locked.
 */
#ifndef LK_EQUAL_H
#define LK_EQUAL_H

#include "resolve.h"

/* 128 bits that equal contents have in common, however they are kept: inline, in blocks, with holes or with zeros. Made of the
 * checksums in the rows; only a last block that is not full is read. Of no single moment if the file is written meanwhile. */
int lk_file_digest(struct lk_fs *fs, int64_t view, uint64_t ino, uint64_t out[2]);

/* Block by block what is equal in both gets from's blocks, until the first difference. The caller holds both and no lock. Each
 * step is a whole operation; times stay. share: false looks only. */
int lk_file_dedupe(struct lk_fs *fs, uint64_t from, uint64_t to, bool share, struct linkfs_dedupe *out);

/* Both nodes locked, no op open: whether all their bytes are equal. */
int lk_file_equal(struct lk_fs *fs, uint64_t from, uint64_t to, bool *equal_out);

/* In one op, both nodes locked and found equal: the name where, which is to's, becomes from's. LINKFS_EPERM unless cred owns both,
 * LINKFS_EAGAIN when the name is another file's by now, LINKFS_EMLINK. */
int lk_dedupe_link(struct lk_op *op, const struct linkfs_cred *cred, uint64_t from, uint64_t to,
		   struct lk_where *where);

#endif
