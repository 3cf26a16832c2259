/*
 * wreck.h - volumes with several damages of tests/damage, their repair, and what it must come to. Apart from power.h, because the headers of
 * the two folders have names in common.
 */
#ifndef POWER_WRECK_H
#define POWER_WRECK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct wreck;
/* With the volume that is damaged, whole. */
struct wreck *wreck_new(void);
void wreck_free(struct wreck *w);
/* The directory of the volume: states are made there, and each call below is about what lies there. */
const char *wreck_path(const struct wreck *w);

/* Damages drawn from seed, in a whole volume that lies there then. */
void wreck_make(struct wreck *w, uint64_t seed);
/* Which ones, one a line. */
const char *wreck_story(const struct wreck *w);
/* Remembers the rows of the damaged volume. The files are not the same afterwards. */
void wreck_note_damage(struct wreck *w);
/* The repair, with a copy of the metadata ("copy", in the volume's directory) or without. False: why tells. */
bool wreck_repair(struct wreck *w, bool copy, char *why, size_t size);
/* Of the damaged volume: mends it after it was opened and closed, and remembers whether that comes to the same end. */
void wreck_note_use(struct wreck *w);
/* Of a volume that an undisturbed repair mended: remembers what it shows, and fails the test unless a check finds nothing. */
void wreck_note_end(struct wreck *w);

#define WRECK_COPY                                                                                                     \
	1u           /* the copy: whole if it has its name, there if a row has changed; only when there was to be one */
#define WRECK_USE 2u /* opens and closes it first, for writing where that does no harm to the damaged volume */
/* Before the repair is run again. */
bool wreck_is_safe(struct wreck *w, unsigned flags, char *why, size_t size);
/* After it: a check with all data finds nothing, and the volume shows what it must. */
bool wreck_is_mended(struct wreck *w, char *why, size_t size);

#endif
