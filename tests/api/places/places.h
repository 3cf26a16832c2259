/*
 * places.h - what the tests of binds and directory links share beside one_volume.h.
 */
#ifndef PLACES_H
#define PLACES_H

#include "one_volume.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void assert_text(const char *name, const char *text);
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
