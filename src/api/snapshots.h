/*
 * snapshots.h - what the calls on snapshots share: who may, a deletion's second part, pruning.
 * Layer: api, private.
 */
#ifndef LK_SNAPSHOTS_H
#define LK_SNAPSHOTS_H

#include "retain.h"
#include "snapshot.h"
#include "volume.h"

#include <linkfs_prune.h>

/* A snapshot as the public calls tell of it; its strings go to bytes, which has room for LK_SNAPSHOT_BYTES(). */
#define LK_SNAPSHOT_BYTES(s) ((s)->name.len + (s)->note.len + (s)->tags.len + 3)
struct linkfs_snapshot lk_snapshot_told(const struct lk_snapshot *s, char *bytes);
/* LINKFS_EPERM, LINKFS_EROFS. */
int lk_snapshots_may_change(struct linkfs_volume *volume, const struct linkfs_cred *cred);
/* The whole of lk_snapshot_delete() and its steps. Adds to *done, and tells fn (NULL: nobody) of that between two steps. LINKFS_EINTR: the
 * rest is left to the volume; and their errors. */
int lk_snapshot_give_back(struct lk_fs *fs, const char *name, size_t len, struct lk_snapshot_work *work,
			  linkfs_snapshot_progress_fn *fn, void *arg, struct linkfs_snapshot_progress *done);
/* linkfs_prune() without a look at rights; the snapshot spared (0: none) stays whatever the rules say. */
int lk_prune(struct linkfs_volume *volume, const struct linkfs_prune_options *options, const struct lk_retain *rules,
	     int64_t spared, struct linkfs_prune_done *done, struct linkfs_message *why);

#endif
