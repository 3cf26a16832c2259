/*
 * resolve.h - the one path walker: components, symlinks, "..", search permission (path_resolution(7)).
 * Layer: core. A walk stands at a place: a directory, and how it was come by. Its id is the inode number, but for what is found
 * through a bind or directory link or below: there a place has an id of its own, and its parent place is ".." (K5, places.h).
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

/* What a walk may be told beside the path, and what it tells: questions about links (refs.h) walk so. */
enum lk_step_kind {
	LK_STEP_START,  /* found: where the walk starts */
	LK_STEP_SEARCH, /* found: the directory that was asked for search permission */
	LK_STEP_ENTRY,  /* the component is a name; found: what it names */
	LK_STEP_DOT,    /* "." */
	LK_STEP_UP,     /* ".."; found: the parent */
	LK_STEP_EXPAND, /* found: a symlink, whose text comes before the rest of the path now */
	LK_STEP_ROOT,   /* its text is absolute: found: the root; or the host's root, so far above it */
	LK_STEP_HOST,   /* the component is walked in a directory of the host above the root, and leads to another */
};
struct lk_step {
	enum lk_step_kind kind;
	int error;        /* the walk ends here with it; found says nothing then, but for SEARCH and EXPAND */
	uint64_t covered; /* ENTRY: what the entry names, when a bind shows something else; else 0 */
	const struct lk_place *found; /* valid during the call, as is text */
	const char *text;             /* EXPAND */
	size_t text_len;
};
struct lk_walk;
/* A step, in the order in which the walk makes them; walk->where is the directory it was made in, and the component. A
 * result other than 0 ends the walk. */
typedef int lk_step_fn(void *arg, const struct lk_walk *walk, const struct lk_step *step);

/* The host's directories above the volume's root, from the host's root down: the components of the mount point's path, none
 * of which is a symlink. */
#define LK_HOST_MAX (LINKFS_PATH_MAX / 2)
struct lk_host {
	uint32_t depth;
	struct lk_bytes names[LK_HOST_MAX];
};

/* Names and a ".." that a walk takes for other than they are. */
struct lk_overlay {
	uint32_t count;
	struct {
		uint64_t dir;
		const char *name;
		size_t len;
		uint64_t ino; /* what it names; 0: it is not there */
	} entries[2];
	uint64_t moved, parent; /* directory moved lies in parent; 0: none */
};

/* Finds the component walk->where in the place of the walk: false leaves it to that, else *rc_out, and *out with 0. */
typedef bool lk_look_fn(void *arg, const struct lk_walk *walk, struct lk_place *out, int *rc_out);

struct lk_walk_how {
	const struct lk_host *host;       /* NULL: above the root is the root, and absolute texts start there */
	const struct lk_overlay *overlay; /* or NULL */
	lk_step_fn *step;                 /* or NULL */
	void *arg;
	bool text;        /* the path is a symlink's text: when absolute it starts where those do, with host */
	bool leaves;      /* absolute texts lead out of a snapshot, to the live root; its ".." is look's */
	lk_look_fn *look; /* or NULL */
	void *look_arg;
};

struct lk_walk {
	struct lk_op *op;
	const struct linkfs_cred *cred;
	const struct lk_walk_how *how; /* or NULL */
	uint64_t covered;              /* by the bind that the step at hand crosses */
	uint32_t above; /* the walk stands so many directories above the root; where.dir is the root then */
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
/* Both at once, for who needs no more than where. */
int lk_walk_to(struct lk_op *op, const struct linkfs_cred *cred, uint64_t at, const char *path, struct lk_where *out);
/* Goes on after the last component turned out to be symlink link and is to be followed: its text is walked to its own
 * last component (lk_walk_parent()). LINKFS_ELOOP. */
int lk_walk_follow(struct lk_walk *walk, const struct lk_place *link);
/* Finds the last component (of any kind): LINKFS_ENOENT when it is not there. slot is filled for LK_LAST_NAME. */
int lk_walk_look(struct lk_op *op, const struct lk_where *where, struct lk_slot *slot, struct lk_place *out);

/* The whole walk: what path names. follow: also when the last component is a symlink. */
int lk_resolve(struct lk_op *op, const struct linkfs_cred *cred, uint64_t at, const char *path, bool follow,
	       struct lk_place *out);
/* The same with how (NULL: none). LINKFS_EXDEV for what leads, or ends, above the root in the host. */
int lk_resolve_how(struct lk_op *op, const struct linkfs_cred *cred, uint64_t at, const char *path, bool follow,
		   const struct lk_walk_how *how, struct lk_place *out);
/* Whether error is where a walk ended rather than a failure to walk. */
bool lk_walk_verdict(int error);
/* Nothing is left to walk but slashes and ".". */
bool lk_walk_spent(const struct lk_walk *walk);
/* ".." of a directory. */
int lk_place_parent(struct lk_op *op, const struct lk_place *dir, struct lk_place *out);

#endif
