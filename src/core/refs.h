/*
 * refs.h - who points here: symlinks by where they lead (D2, D3), candidates from table component, each proved by the walker.
 * Layer: core. refs.c gathers candidates, refs_walk.c proves them; why no link is missed stands at the top of refs.c.
 */
#ifndef LK_REFS_H
#define LK_REFS_H

#include "resolve.h"

/* One name of a symlink at one of its paths: what it leads to depends on the directory, and where that was come by. All numbers are bare, of
 * the op's view (views.h), but for node. */
struct lk_link_name {
	uint64_t ino, dir, cookie;
	const char *name; /* NUL after it */
	size_t len;
	uint64_t node; /* dir's node id, for the path */
};
/* Where a walk through it ends: error 0 and an inode, or a verdict (lk_walk_verdict()). */
struct lk_link_end {
	int error;
	uint64_t ino;        /* bare */
	uint32_t expansions; /* of symlinks, its own among them */
};
/* The step a walk failed at: name (len 0: none) in directory dir (0: a directory of the host); expanding: a symlink there could not be
 * followed. */
struct lk_fault {
	uint64_t dir; /* a node id, for the op */
	bool expanding, host;
	uint8_t len;
	char name[LINKFS_NAME_MAX + 1];
};

/* Walks through a link's name, from its directory on. fault may be NULL; it is filled when the walk fails. Returns 0 with a verdict in
 * *out, or what kept it from being walked. */
int lk_link_walk(struct lk_op *op, const struct linkfs_cred *cred, const struct lk_link_name *link,
		 const struct lk_walk_how *how, struct lk_link_end *out, struct lk_fault *fault);

enum lk_refs_kind {
	LK_REFS_END,     /* the walk ends at ino; of a symlink: it comes to it as its last component */
	LK_REFS_THROUGH, /* the walk comes to ino, by name, "..", or an absolute text */
	LK_REFS_CHANGE,  /* it ends elsewhere than now when overlay is so */
};
struct lk_refs_ask {
	enum lk_refs_kind kind;
	uint64_t ino; /* CHANGE: what is moved or removed */
	const struct lk_host *host;
	/* CHANGE: entries[0] names ino now; of a move, entries[1] is where it will. Names are copied. */
	struct lk_overlay overlay;
};
/* The CHANGE that the name goes, or is renamed; where says names as walked to. LINKFS_EBUSY for "." and its like, LINKFS_ENOENT, and
 * rename's errors that do not depend on rights. *same_out: both are names of one file, and a rename does nothing. */
int lk_refs_removal(struct lk_op *op, const struct lk_where *where, struct lk_refs_ask *ask);
int lk_refs_renaming(struct lk_op *op, const struct lk_where *from, const struct lk_where *to, struct lk_refs_ask *ask,
		     bool *same_out);

/* before; after: LK_REFS_CHANGE only. Bytes are valid during the call, in which the op may be read through. */
typedef int lk_refs_fn(void *arg, struct lk_op *op, const struct lk_link_name *link, const struct lk_link_end *before,
		       const struct lk_link_end *after);

struct lk_refs;
int lk_refs_new(const struct lk_refs_ask *ask, struct lk_refs **out);
/* Goes on for a bounded time in op, an op of its own each time, which reads the same view each time (lk_view_see(); CHANGE: the live one), so that the volume's lock is not held for long: what others
 * change between the steps may or may not be seen. *more_out: there is more to do. */
int lk_refs_step(struct lk_refs *refs, struct lk_op *op, const struct linkfs_cred *cred, lk_refs_fn *fn, void *arg,
		 bool *more_out);
void lk_refs_free(struct lk_refs *refs);

/* fn for each path that name may be found by: none while a bind covers it. */
typedef int lk_link_fn(void *arg, struct lk_op *op, const struct lk_link_name *link);
int lk_link_paths(struct lk_op *op, const struct lk_link_name *name, lk_link_fn *fn, void *arg);
/* Every symlink of the op's view by each of its paths, in steps: names after *after in order (ino, dir, cookie); *after grows. */
int lk_links_step(struct lk_op *op, struct lk_link_name *after, lk_link_fn *fn, void *arg, bool *more_out);

#endif
