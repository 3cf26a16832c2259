/*
 * linkfs_snapshots.h - the volume as it was: snapshots of the whole of it, in constant time (E1, E2).
 *
 * Errors, threads and paths are as in linkfs.h. A snapshot is read through the calls of linkfs.h: linkfs_snapshot_root() gives the node
 * of its root, which goes where a directory's number goes ("at" of the calls by path; an absolute path then starts at that root). Nodes of
 * a snapshot have inode numbers of their own, above 2^48, so that nobody takes one of its files for a name of the live one. All that
 * changes something there is LINKFS_EROFS, and what would link or move from there to elsewhere LINKFS_EXDEV; linkfs_node_copy_range() out of
 * it shares. When the snapshot is deleted its nodes are LINKFS_ESTALE, also for who has them open.
 */
#ifndef LINKFS_SNAPSHOTS_H
#define LINKFS_SNAPSHOTS_H

#include <linkfs.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The node by which a mount calls its directory of snapshots, .snapshots: no node of the library's. Events of it (LINKFS_EVENT_LISTING)
 * tell that snapshots came, went, or were renamed. */
#define LINKFS_SNAPSHOTS_NODE ((UINT64_C(0xfffe) << 48) | 1)

/* Which tree a node is of: 0 the live one, the same number for all nodes of one snapshot, LINKFS_TREE_PLACE for a directory that several
 * paths lead to: the ino of its stat tells. */
#define LINKFS_TREE_PLACE 0xffffu
static inline uint32_t linkfs_node_tree(uint64_t node)
{
	return (uint32_t)(node >> 48);
}
/* Whether a node (not a place, see above), or the ino of a stat, is of a snapshot, or LINKFS_SNAPSHOTS_NODE. */
static inline int linkfs_node_past(uint64_t node)
{
	return linkfs_node_tree(node) != 0 && linkfs_node_tree(node) != LINKFS_TREE_PLACE;
}

struct linkfs_snapshot {
	uint64_t id;      /* counts up from 1; never used again */
	const char *name; /* NUL after it, as after note */
	size_t name_len;
	const char *note;
	size_t note_len;
	const char *tags; /* sorted, none twice, a comma between two; "" for none */
	size_t tags_len;
	int64_t time_ns; /* when it was taken; since 1970-01-01 UTC */
};
/* Valid during the call. Nonzero ends the listing. Called with no lock held. */
typedef int linkfs_snapshot_fn(void *arg, const struct linkfs_snapshot *snapshot);

/* Tags are words of 1 to 64 bytes without control characters, spaces, ',' and '+'; all those of a snapshot, with a comma between two, have
 * 1,024 bytes at most. Whether such a list, in any order, can be taken: 0, LINKFS_EINVAL or LINKFS_ENAMETOOLONG. */
LINKFS_API int linkfs_snapshot_tags_check(const char *tags);

/* Zero the struct, set what matters. */
struct linkfs_snapshot_new {
	const char *name; /* 1 to 255 bytes without '/', not "." or ".." */
	const char *note; /* at most 4,095 bytes, or NULL */
	const char *tags; /* in any order, a comma between two, or NULL */
};
/* The whole volume as of now, with what open files have been written. It costs a few rows, however large the volume. As any change it is
 * durable after linkfs_volume_sync(), or with the next commit. LINKFS_EEXIST, LINKFS_EINVAL, LINKFS_ENAMETOOLONG, LINKFS_EROFS,
 * LINKFS_ENOSPC, LINKFS_EPERM: cred is neither root's nor that of the owner of the root directory. id_out may be NULL. */
LINKFS_API int linkfs_snapshot_create(struct linkfs_volume *volume, const struct linkfs_cred *cred,
				      const struct linkfs_snapshot_new *what, uint64_t *id_out);
/* All, in the order they were taken in. */
LINKFS_API int linkfs_snapshot_list(struct linkfs_volume *volume, linkfs_snapshot_fn *fn, void *arg);
/* fn is called once, with the snapshot of that name. LINKFS_ENOENT. */
LINKFS_API int linkfs_snapshot_show(struct linkfs_volume *volume, const char *name, linkfs_snapshot_fn *fn, void *arg);
/* The same with the newest that was taken at time_ns or before. LINKFS_ENOENT. */
LINKFS_API int linkfs_snapshot_before(struct linkfs_volume *volume, int64_t time_ns, linkfs_snapshot_fn *fn, void *arg);
/* The root directory of snapshot id as it was then; flags: LINKFS_HOLD or 0. out->node names it, for as long as it is held, or until as many
 * snapshots as there are at most at one time (65,533) have been asked for after it was deleted. LINKFS_ENOENT, LINKFS_EMFILE. */
LINKFS_API int linkfs_snapshot_root(struct linkfs_volume *volume, uint64_t id, uint32_t flags, struct linkfs_stat *out);
/* LINKFS_ENOENT, LINKFS_EEXIST, and the errors of create. */
LINKFS_API int linkfs_snapshot_rename(struct linkfs_volume *volume, const struct linkfs_cred *cred, const char *name,
				      const char *new_name);

/* Tags come and go: lists as above, NULL for none; what is in both goes. To add one that is there, and to remove one that is not, is no
 * error. LINKFS_ENOENT, and the errors of create. */
LINKFS_API int linkfs_snapshot_tag(struct linkfs_volume *volume, const struct linkfs_cred *cred, const char *name,
				   const char *add, const char *remove);

/* What a deletion has done so far. */
struct linkfs_snapshot_progress {
	uint64_t rows;  /* of history looked at */
	uint64_t bytes; /* of disk given back: full blocks that nothing else had */
};
/* Called with no lock held, between steps of some milliseconds each; nonzero leaves the rest to the volume. */
typedef int linkfs_snapshot_progress_fn(void *arg, const struct linkfs_snapshot_progress *progress);
/* The snapshot is gone at once, and its name free; then what it alone kept is given back, step by step, in time proportional to what
 * changed between it and its neighbours. Others go on meanwhile. Cut off, by fn, by a failure or by the end of the process, it goes on by
 * itself while the volume is open for writing; what fails then is met again at the next opening. fn and done_out may be NULL.
 * LINKFS_ENOENT, LINKFS_EPERM, LINKFS_EROFS; LINKFS_EINTR when fn ended it; LINKFS_EBUSY: a stream is pending that starts from it
 * (linkfs_stream.h). */
LINKFS_API int linkfs_snapshot_delete(struct linkfs_volume *volume, const struct linkfs_cred *cred, const char *name,
				      linkfs_snapshot_progress_fn *fn, void *arg,
				      struct linkfs_snapshot_progress *done_out);

/* ---- rollback -------------------------------------------------------------------------------------------------- */

enum linkfs_rollback_kind {
	LINKFS_ROLLBACK_MADE,    /* it was gone: it is there again, with a number of its own */
	LINKFS_ROLLBACK_CHANGED, /* what says: content, attributes */
	LINKFS_ROLLBACK_MOVED,   /* from another path: the same file */
	LINKFS_ROLLBACK_LINKED,  /* a name of a file that has others */
	LINKFS_ROLLBACK_REMOVED, /* it came later, or had this name later; of a directory all below it too */
	LINKFS_ROLLBACK_BOUND,   /* a bind that was there */
	LINKFS_ROLLBACK_UNBOUND, /* one that was not */
	LINKFS_ROLLBACK_LEFT, /* error says why it could not be done, or not all: LINKFS_EBUSY, what goes is shown by a bind elsewhere;
			       * LINKFS_EEXIST, LINKFS_ENOTEMPTY, others made it, or something in it, meanwhile; LINKFS_ENOENT, they
			       * removed it ... */
};
#define LINKFS_ROLLBACK_CONTENT 1u /* or the text of a symlink, or what a tracked one follows */
#define LINKFS_ROLLBACK_OWNER 2u
#define LINKFS_ROLLBACK_MODE 4u
#define LINKFS_ROLLBACK_TIMES 8u   /* of the last change, and of birth */
#define LINKFS_ROLLBACK_XATTRS 16u /* ACLs among them */
#define LINKFS_ROLLBACK_FLAGS 32u  /* LINKFS_INO_KEEP_LINKS */
struct linkfs_rollback {
	enum linkfs_rollback_kind kind;
	uint32_t what;    /* CHANGED: LINKFS_ROLLBACK_CONTENT ... */
	int error;        /* LEFT */
	uint32_t type;    /* S_IFMT bits */
	const char *path; /* from the root; NUL after it */
	const char *from; /* MOVED; else NULL */
};
/* Called with no lock held, after each step; valid during the call. Nonzero ends the work: LINKFS_EINTR. When it was not called nothing was
 * changed. */
typedef int linkfs_rollback_fn(void *arg, const struct linkfs_rollback *step);

/* Tell what would be done, and do nothing. */
#define LINKFS_ROLLBACK_DRY_RUN 1u
/* What path (its last component is not followed) names in the live tree becomes what the same path named in snapshot id: the file, or the
 * directory and all below it; "/": the whole tree. Content is shared with the snapshot, so that it takes no space.
 *
 * A file that is still there keeps its number, so that who has it open, and what leads to it, sees it as it was, by names elsewhere too.
 * What is gone is made anew; names that were of one file are of one file again, as are tracked links, directory links and binds what they were.
 * What came later below path goes. What was moved out of path since stays as it is, and path has a copy of what it was.
 *
 * Each file changes in one step, whole or not at all, however large; a tree in many, and not as one. Cut off (by fn, an error, a crash), the
 * same call goes on. Nothing of the present state is kept: a snapshot taken before does that. What others make in the tree meanwhile, which that
 * snapshot has not, stays. As other changes it is durable after
 * linkfs_volume_sync(). fn may be NULL.
 *
 * For root and the owner of the root directory: LINKFS_EPERM. LINKFS_ENOENT: there is no such snapshot, or path was not there, or the directory
 * that holds it is not there now. LINKFS_EROFS: at is a snapshot's. LINKFS_EBUSY: all was done but for what fn was told of as LEFT, or a bind
 * stands at path. LINKFS_ESTALE: the snapshot was deleted meanwhile. LINKFS_ENOSPC, LINKFS_EINVAL. */
LINKFS_API int linkfs_path_rollback(struct linkfs_volume *volume, const struct linkfs_cred *cred, uint64_t at,
				    const char *path, uint64_t id, uint32_t flags, linkfs_rollback_fn *fn, void *arg);

#ifdef __cplusplus
}
#endif

#endif
