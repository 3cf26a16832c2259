/*
 * places.h - what the tests of binds and directory links share: a volume, and short words for calls on it.
 */
#ifndef PLACES_H
#define PLACES_H

#include "test.h"

#include <linkfs_check.h>
#include <linkfs_links.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define ROOT LINKFS_ROOT_INO
#define OK(call) assert_int_equal(call, 0)

extern struct linkfs_volume *v;
extern char volume_path[4096];

int places_setup(void **state);
int places_teardown(void **state);
void reopen(void);
/* The whole volume against itself. */
void check(void);

void put(const char *name, const char *text);
void assert_text(const char *name, const char *text);
void make_dir(const char *name);
struct linkfs_stat status(const char *name);
uint64_t ino_of(const char *name);
/* LINKFS_... of a stat that fails, or 0. */
int absent(const char *name);
int bind_to(const char *source, const char *name);
int unbind(const char *name);
int rename_to(const char *from, const char *to);
int link_directory(const char *from, const char *to);
/* "a b c": the names in a directory but "." and "..", sorted. Static. */
const char *names_in(const char *dir);
/* The inode that the listing of dir has for name. */
uint64_t listed(const char *dir, const char *name);
/* Every path that linkfs_path_names() tells of, sorted, with spaces between. Static. */
const char *paths_of(const char *name);
#endif
