/*
 * track_ways.h - between track_text.c, which has the texts of tracked links, and track_ways.c, which finds the ways that they tell.
 * Layer: core.
 */
#ifndef LK_TRACK_WAYS_H
#define LK_TRACK_WAYS_H

#include "track.h"

#define LK_TRACK_UPS_MAX (LINKFS_SYMLINK_MAX / 3 + 1) /* of "../" each */

/* The directories from one up to the root, by number. */
struct lk_track_up {
	uint64_t dirs[LK_TRACK_UPS_MAX + 1];
	uint32_t count;
};

/* From directory node up, by the place that it is. by_names: by first names, whatever place is known by the number. LINKFS_ENOENT: it is not in the tree. */
int lk_track_climb(struct lk_op *op, const struct lk_overlay *overlay, bool by_names, uint64_t node,
		   struct lk_track_up *up);
/* The text from the lowest directory of up to ino, in the arena; by (may be NULL) tells the entry to prefer. LINKFS_ENOENT: no way. */
int lk_track_lead(struct lk_op *op, const struct lk_overlay *overlay, const struct lk_track_up *up, uint64_t ino,
		  const struct lk_target *by, const char **text_out, size_t *len_out);

#endif
