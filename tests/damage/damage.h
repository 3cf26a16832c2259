/*
 * damage.h - the table of damages: for every problem of src/check/problem.c at least one way to make it in the base volume (image.h).
 */
#ifndef DAMAGE_H
#define DAMAGE_H

#include "image.h"

#define DAMAGE_STAYS 1u  /* repair changes nothing */
#define DAMAGE_CLOSED 2u /* ... and the volume does not open */
#define DAMAGE_DROP 4u   /* mended with LINKFS_CHECK_DROP_DATA only */
#define DAMAGE_ALONE 8u  /* not made together with others */
#define DAMAGE_FORGED                                                                                                  \
	16u /* no accident: pages have checksums that hold, and what is read is not judged while it stays */

/* Patterns are fnmatch(3)'s. Keys are tree.h's. In lists words stand apart by spaces, and '~' is a space in a word. */
struct damage {
	const char *id;   /* the problem */
	const char *text; /* of its first finding */
	const char *path; /* of that finding; NULL: none */
	const char *also; /* ids of problems that follow from it and may be named as well */
	/* What is not as before when it was mended; everything else is. "" and NULL: nothing. */
	const char *changes;
	const char *after;     /* KEY=VALUE that are there then */
	const char *loses;     /* "INO FIELD" of what is lost for good, of a file and not of a name */
	const char *sql;       /* makes it ... */
	const char *beside;    /* ... and this index does not follow */
	const char *unindexed; /* or entries of directories that their index loses */
	bool (*make)(const struct sample *s);
	unsigned kind;
};

extern const struct damage damages[];
extern const size_t damage_count;

/* false: what another damage did before does not let it be made. */
bool damage_make(const struct sample *s, const struct damage *d);
/* Undoes what a damage did outside the volume. */
void damage_end(void);
/* Words for a message. */
const char *damage_how(const struct damage *d);

#endif
