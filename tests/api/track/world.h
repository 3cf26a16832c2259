/*
 * world.h - what the tests of tracked links share beside one_volume.h.
 */
#ifndef TRACK_WORLD_H
#define TRACK_WORLD_H

#include "one_volume.h"

#include <linkfs_recover.h>

/* The volume is brought back into a new one, which takes its place. */
void world_recover(void);
/* A tracked link at path. */
int track(const char *target, const char *path, uint32_t flags);
int move(const char *from, const char *to, uint32_t flags);
/* The text; its length must be the size. Valid until the second next call. */
const char *text_of(const char *link);
/* Where the link leads; 0: nowhere. */
uint64_t leads_to(const char *link);
/* An observer (linkfs_volume_observe()) that counts what tells of texts. */
extern unsigned texts_told;
void count_texts(void *arg, const struct linkfs_event *events, size_t count);
/* Text, and the file it leads to (NULL: nowhere). */
void assert_link(const char *link, const char *text, const char *target);

#endif
