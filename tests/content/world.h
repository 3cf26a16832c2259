/*
 * world.h - what the tests of file content share: a volume in a temporary directory, files in it, and a checker that
 * compares every extent row, block group and shared range with each other.
 */
#ifndef CONTENT_WORLD_H
#define CONTENT_WORLD_H

#include "test.h"

#include <linkfs.h>
#include <volume.h>

struct world {
	char *dir; /* temporary; the volume is dir/v */
	char *volume_path;
	struct linkfs_volume *volume;
	uint64_t limit_bytes;
	uint64_t packed; /* rows of compressed content, at the last world_check() */
	bool damaged;    /* on purpose: a check finds problems when it is closed, not none */
};

void world_open(struct world *w, uint64_t limit_bytes);
/* Whether volumes made here compress, as LINKFS_TEST_PROPERTY says. */
bool world_packs(void);
/* In a directory that is there, for tests that bring their own host. */
void world_open_in(struct world *w, const char *dir, uint64_t limit_bytes);
/* Both check the closed volume, with all its data (F2). */
void world_reopen(struct world *w);
void world_close(struct world *w);

/* A new regular file of root, held. */
uint64_t world_file(struct world *w, const char *name);
void world_write(struct world *w, uint64_t ino, uint64_t offset, const void *buf, size_t size);
void world_truncate(struct world *w, uint64_t ino, uint64_t size);
uint64_t world_size(struct world *w, uint64_t ino);
uint64_t world_blocks(struct world *w, uint64_t ino); /* of LK_BLOCK_SIZE */
/* Reads size bytes, which must all be there. */
void world_read(struct world *w, uint64_t ino, uint64_t offset, void *buf, size_t size);

/* Commits, then fails the test when records contradict each other: tiling, counts, bitmaps, shared ranges, intents. Returns
 * the blocks allocated. */
uint64_t world_check(struct world *w);

#endif
