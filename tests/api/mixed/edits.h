/*
 * edits.h - changes beside those of world.h, for trees with snapshots: content, attributes, saves, files that stay open, blocks shared with what
 * was, and long rows of history.
 */
#ifndef MIXED_EDITS_H
#define MIXED_EDITS_H

#include "world.h"

#define EDITS 16
extern unsigned long edited[EDITS]; /* of each kind that were made */
/* Files stay open over changes and snapshots. */
extern bool edits_open;

/* One at random. snapshot: a root node of one to copy from; 0: none. */
void edit(uint64_t snapshot);
/* A file gets some hundred pieces, or loses them: more rows of history than one step of a deletion looks at. */
void edit_long(void);
/* Before the volume is closed. */
void edits_close(void);

#endif
