/*
 * resolve.h - the one path walker: components, symlinks, "..", search permission (path_resolution(7)).
 * Layer: core. A walk stands at a place: a directory, and how it was come by. Today a directory has one place and its id
 * is the inode number; below binds and directory links a place has an id of its own and its parent place is ".." (K5).
 */
#ifndef LK_RESOLVE_H
#define LK_RESOLVE_H

#include "dirents.h"
#include "perm.h"

/* A node a walk came to. id names the place (M4); inode.ino is what stat shows. */
struct lk_place {
	uint64_t id;
	struct lk_inode inode;
};

enum lk_last { LK_LAST_NAME, LK_LAST_DOT, LK_LAST_DOTDOT, LK_LAST_ROOT };

/* A name in a directory that exists and may be searched: what calls that make, remove and rename names work on. */
struct lk_where {
	struct lk_place dir;
	const char *name; /* in the path or the arena; "." for LK_LAST_ROOT */
	size_t len;
	enum lk_last last;
	bool slash; /* slashes stood after it */
};

/* By directory number, for node-level calls: LINKFS_ENOTDIR, LINKFS_EINVAL (name), LINKFS_EACCES (search). */
int lk_where_at(struct lk_op *op, const struct linkfs_cred *cred, uint64_t dir, const char *name, size_t len,
		struct lk_where *out);

struct lk_walk {
	struct lk_op *op;
	const struct linkfs_cred *cred;
	struct lk_where where;
	uint32_t expansions;
	bool need_dir; /* a symlink that was the last component had slashes after it */
	uint32_t depth;
	struct {
		const char *p, *end; /* text not walked yet; the newest is walked first */
	} rest[LINKFS_SYMLOOP_MAX + 1];
};

/* Starts a walk of path from directory at. LINKFS_ENOENT for "", LINKFS_ENAMETOOLONG. */
int lk_walk_begin(struct lk_walk *walk, struct lk_op *op, const struct linkfs_cred *cred, uint64_t at,
		  const char *path);
/* Walks to the last component, which is not looked at: walk->where says which and in what directory. */
int lk_walk_parent(struct lk_walk *walk);
/* Goes on after the last component turned out to be symlink link and is to be followed: its text is walked to its own
 * last component (lk_walk_parent()). LINKFS_ELOOP. */
int lk_walk_follow(struct lk_walk *walk, const struct lk_inode *link);
/* Finds the last component (of any kind): LINKFS_ENOENT when it is not there. slot is filled for LK_LAST_NAME. */
int lk_walk_look(struct lk_op *op, const struct lk_where *where, struct lk_slot *slot, struct lk_place *out);

/* The whole walk: what path names. follow: also when the last component is a symlink. */
int lk_resolve(struct lk_op *op, const struct linkfs_cred *cred, uint64_t at, const char *path, bool follow,
	       struct lk_place *out);
/* ".." of a directory. */
int lk_place_parent(struct lk_op *op, const struct lk_place *dir, struct lk_place *out);

#endif
