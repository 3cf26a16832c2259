/*
 * posix_links.h - what the files share that do with system calls what only linkfs does: looking, as the user who asks, and collecting what is wrong.
 */
#ifndef LK_DIFF_POSIX_LINKS_H
#define LK_DIFF_POSIX_LINKS_H

#include "posix.h"

/* What is wrong so far; the first is told. */
struct faults {
	int first, count;
};
void lk_fault(struct faults *faults, int error);
/* Whether there were any, which is the answer then. */
bool lk_fault_tell(const struct faults *faults, struct text *out);

const struct user *lk_who(const struct op *op);
bool lk_owns(const struct op *op, const struct stat *st);

/* A file that is there; fd is -1 when it is not, or not found. */
struct found {
	int fd;
	struct stat st;
};
int lk_find(const struct posix *state, const char *path, bool follow, struct found *out);

/* The directory of a path's last component, and that. */
struct entry {
	int dir; /* -1: not found */
	char name[PATH_ROOM];
	bool slash;   /* there are slashes after it */
	bool is_name; /* and not ".", ".." or nothing */
};
int lk_find_entry(const struct posix *state, const char *path, struct entry *out);
/* Closes what is open. */
void lk_let_go(int fd);
/* To the mount without binds, where all is one. As root. */
void lk_to_bare(const struct posix *state, int *fd);
int lk_may_write(int dir);

/* posix_save.c */
void lk_posix_rename(struct posix *state, const struct op *op, struct text *out);
void lk_posix_link(struct posix *state, const struct op *op, struct text *out);
void lk_posix_remove(struct posix *state, const struct op *op, struct text *out);
/* posix_track.c */
void lk_posix_track(struct posix *state, const struct op *op, struct text *out);
bool lk_posix_is_tracked(const struct posix *state, ino_t ino);
/* posix_dirs.c. False: no directory has several names, and what others do is right. */
bool lk_posix_dir_rename(struct posix *state, const struct op *op, struct text *out);
bool lk_posix_dir_remove(struct posix *state, const struct op *op, struct text *out);
void lk_posix_linkdir(struct posix *state, const struct op *op, struct text *out);
/* posix_place.c */
void lk_posix_place(struct posix *state, const struct op *op, struct text *out);

#endif
