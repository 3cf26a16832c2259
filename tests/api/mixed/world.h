/*
 * world.h - one volume that is changed at random by links of all kinds, and what its tree shows.
 */
#ifndef MIXED_WORLD_H
#define MIXED_WORLD_H

#include "test.h"

#include <linkfs.h>
#include <sys/types.h>

#define ROOT LINKFS_ROOT_INO
#define OK(call) assert_int_equal(call, 0)
#define PATHS_MAX 40000 /* of the tree when it is looked at */

extern struct linkfs_volume *v;
extern struct lk_test_random rnd;
extern unsigned long step;
extern unsigned long done[20]; /* changes of each kind that were made */
/* Whether directories get second names and binds: without them other ways are gone. */
extern bool places;
extern size_t paths_many; /* above that nothing is added: a directory's second name may double them */
extern bool multiplied;   /* the last change gave directories more paths, maybe */

int setup(void **state);
int teardown(void **state);
void reopen(void);
/* The volume's directory. */
const char *world_path(void);
uint64_t below(uint64_t n);

/* The tree by each of its paths, in an order that is the same on each volume. */
struct seen {
	char *path;
	struct linkfs_stat st;
};
extern struct seen seen[PATHS_MAX];
extern size_t seen_count;
void look(void);
/* The same of what lies below root node at. */
void look_at(uint64_t at);
void forget(void);

/* One change at random; returns its result. */
int change(void);
/* A path of what was seen, of the type (0: any). */
const char *some_path(mode_t type);
/* What is seen below root node at, malloc'd: a line for each path. top: "", or a path: of what is there and below it alone, without what
 * depends on the rest. all: with what cannot be set, ctime. */
char *describe(uint64_t at, const char *top, bool all);
/* Symlinks with their texts; those of tracked ones depend on inode numbers where directories have several names. */
extern bool describe_texts;
/* The names of what was seen are the paths by which it was seen. */
void same_names(const struct seen *s);
/* Those that lead to a file or directory seen below root node at are the symlinks seen, by each of their paths, whose walk ends there. */
void same_referrers(uint64_t at, const struct seen *s);
/* The whole volume is clean. */
void check(void);

#endif
