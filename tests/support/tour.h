/*
 * tour.h - a tour through a volume that may be hostile: everything in it is looked at and read, then many things are changed. What
 * the calls answer is free, but for this: they end, they answer with codes that linkfs.h lists, and they give names, sizes and
 * attributes within its bounds. Aborts when they do not.
 */
#ifndef LK_TEST_TOUR_H
#define LK_TEST_TOUR_H

#include <linkfs.h>

#define TOUR_FILES 64u

struct tour {
	uint32_t calls, errors, corrupt; /* all, those that failed, those that said LINKFS_ECORRUPT */
	/* By inode number: what reading the content gave. */
	struct {
		int error;
		uint64_t size, sum;
	} file[TOUR_FILES];
};

/* From the root down, then by number. */
void tour_read(struct linkfs_volume *volume, struct tour *tour);
void tour_write(struct linkfs_volume *volume, struct tour *tour);

#endif
