/*
 * two_volumes.h - what tests of streams share that send from one volume and receive in another: both are fresh for each test, and v, of one_volume.h, is the
 * first of them at its begin.
 */
#ifndef TWO_VOLUMES_H
#define TWO_VOLUMES_H

#include "one_volume.h"
#include "stream_case.h"

extern struct linkfs_volume *first, *second; /* the sender, the receiver */
extern char second_path[4300];

int two_volumes_setup(void **state);
int two_volumes_teardown(void **state);
/* Of v. */
uint64_t snapshot(const char *name);
/* Sends from the first, receives in the second. */
void arrives(uint64_t from, uint64_t to);
/* Both show the same now. */
void same_trees(void);

#endif
