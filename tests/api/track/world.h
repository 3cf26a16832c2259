/*
 * world.h - a volume for the tests of tracked links, and short calls on it by paths from its root.
 */
#ifndef TRACK_WORLD_H
#define TRACK_WORLD_H

#include "test.h"

#include <linkfs.h>
#include <linkfs_check.h>
#include <linkfs_links.h>
#include <linkfs_recover.h>
#include <sys/stat.h>

#define ROOT LINKFS_ROOT_INO
#define OK(call) assert_int_equal(call, 0)

extern struct linkfs_volume *v;

int world_setup(void **state);
int world_teardown(void **state);
void world_reopen(void);
/* The volume is brought back into a new one, which takes its place. */
void world_recover(void);
/* All records agree. */
void world_check(void);

void make_dir(const char *name);
void put(const char *name, const char *text);
/* Its attributes, symlinks not followed. */
struct linkfs_stat status(const char *name);
/* A tracked link at path. */
int track(const char *target, const char *path, uint32_t flags);
int move(const char *from, const char *to, uint32_t flags);
/* The text; its length must be the size. Valid until the second next call. */
const char *text_of(const char *link);
/* Where the link leads; 0: nowhere. */
uint64_t leads_to(const char *link);
/* Text, and the file it leads to (NULL: nowhere). */
void assert_link(const char *link, const char *text, const char *target);

#endif
