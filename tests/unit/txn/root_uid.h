/*
 * root_uid.h - the smallest change there is, for tests of what becomes of changes: the root's owner.
 */
#ifndef ROOT_UID_H
#define ROOT_UID_H

#include "txn.h"

/* An op that sets it, and ends with result. */
int set_uid(struct lk_fs *fs, int64_t uid, int result);
int64_t get_uid(struct lk_fs *fs);

#endif
