/*
 * recover.h - a new volume from what is left of one: what linkfs_recover() is made of.
 * Layer: check. Who may read and write where is the caller's business.
 */
#ifndef LK_RECOVER_H
#define LK_RECOVER_H

#include "base.h"

#include <linkfs_recover.h>

struct lk_recovery;

/* Reads what is left in directory dir and decides what to make of it. */
int lk_recovery_open(const char *dir, const struct linkfs_recover_options *options, struct lk_recovery **out,
		     struct linkfs_message *why);
/* How the new volume is to be made. Label and what else points into the recovery. */
void lk_recovery_new_volume(const struct lk_recovery *recovery, struct linkfs_create_options *out);
/* Makes everything in the new volume in directory new_dir, which lk_fs_create() made; NULL: only says what would come. */
int lk_recovery_build(struct lk_recovery *recovery, const char *new_dir, struct linkfs_recover_result *out,
		      struct linkfs_message *why);
/* NULL is allowed. */
void lk_recovery_close(struct lk_recovery *recovery);

#endif
