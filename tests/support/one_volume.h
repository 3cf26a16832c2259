/*
 * one_volume.h - what tests through the public headers share: a fresh volume for each, and short words for calls on it by paths from its
 * root.
 */
#ifndef ONE_VOLUME_H
#define ONE_VOLUME_H

#include "test.h"

#include <linkfs.h>
#include <linkfs_check.h>
#include <linkfs_links.h>
#include <sys/stat.h>

#define ROOT LINKFS_ROOT_INO
#define OK(call) assert_int_equal(call, 0)

extern struct linkfs_volume *v;
extern char volume_path[4096];

int volume_setup(void **state);
int volume_teardown(void **state);
/* The one at volume_path, which is not open; and after it was closed. */
void volume_open(void);
void reopen(void);
/* The whole volume against itself. */
void check(void);

/* The file has this content, and is made where it is missing. */
void put(const char *name, const char *text);
/* Its content, all of it, is this text. */
void same_text(const char *path, const char *want);
void make_dir(const char *name);
/* Attributes, symlinks not followed. */
struct linkfs_stat status(const char *name);

#endif
