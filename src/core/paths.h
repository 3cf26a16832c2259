/*
 * paths.h - where things are: the path of a directory and of a name, from the volume's root, through the reverse index.
 * Layer: core.
 */
#ifndef LK_PATHS_H
#define LK_PATHS_H

#include "dirents.h"
#include "perm.h"

/* Remembers the path of one directory within an op: rows of the reverse index come directory by directory. Zeroed: empty. Directories are
 * named by node id: of several paths to one, its place's. */
struct lk_paths {
	struct lk_op *op;
	const struct linkfs_cred *cred;
	uint64_t dir; /* 0: none */
	int error;
	struct lk_buf path, names; /* names: scratch */
};

/* The path of directory dir: "/" or "/a/b". LINKFS_EACCES when cred may not search it or one above it (then no name in it is
 * told to him), LINKFS_ENOENT for one that was removed, or that a bind covers. *out is valid until the next call. */
int lk_paths_dir(struct lk_paths *paths, uint64_t dir, struct lk_bytes *out);
/* The path of the name in dir, with the same errors, in the op's arena, NUL after it. */
int lk_paths_name(struct lk_paths *paths, uint64_t dir, const char *name, size_t len, struct lk_bytes *out);
void lk_paths_done(struct lk_paths *paths);

#endif
