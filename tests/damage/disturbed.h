/*
 * disturbed.h - a damaged volume whose repair is disturbed: what an undisturbed one comes to, and that it comes to it when it is run again.
 */
#ifndef DAMAGE_DISTURBED_H
#define DAMAGE_DISTURBED_H

#include "damage.h"

struct disturbed {
	struct base b;
	char other[4200];     /* a directory to look at copies in */
	struct image damaged; /* files */
	struct tree rows;     /* of the damaged database */
	struct tree mended;   /* what an undisturbed repair gives */
	struct tree history;  /* and its rows of history */
	char story[1600];
};

void disturbed_make(struct disturbed *d);
void disturbed_done(struct disturbed *d);
/* One that repair mends. */
const struct damage *disturbed_draw(struct lk_test_random *random);
/* The volume with these damages lies there then. */
void disturbed_damage(struct disturbed *d, const struct damage *const *damages_made, unsigned count);
/* An undisturbed repair was made: this is what it gives. */
void disturbed_note(struct disturbed *d);
/* A copy that has its name is complete, and the state before the first change. Then the repair, run again, comes to the same end; when says
 * what disturbed the first. */
void disturbed_goes_on(const struct disturbed *d, const char *when);

#endif
