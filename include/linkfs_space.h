/*
 * linkfs_space.h - what files and snapshots cost: their own space, what they share, and what deleting them gives back (E2).
 *
 * Errors, threads and paths are as in linkfs.h. Sizes are bytes: those of blocks are multiples of the block's 4,096, and the content of small
 * files, which is kept among the metadata, counts as it is. Names, attributes, texts of symlinks and other metadata are not counted.
 */
#ifndef LINKFS_SPACE_H
#define LINKFS_SPACE_H

#include <linkfs.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A volume at one moment. All that is asked of one linkfs_space is true of the same moment, whatever becomes of the volume meanwhile. */
struct linkfs_space;

/* The moment is now: everything that calls before this one did is in it; it is made durable first (a volume that is poisoned is as it was last
 * committed). The volume's other users go on meanwhile. While it is there the volume's log cannot begin anew, so it is for a question or some,
 * not to be kept. Closed before the volume is; used by one thread at a time.
 * Where the volume lies on a file system without shared memory, another reader beside the owner is not possible: each question is then true of
 * a moment of its own. It is asked in slices of some milliseconds; what changed the volume between them is noticed, and if that happens twice
 * the third try holds the volume's lock from end to end. */
LINKFS_API int linkfs_space_open(struct linkfs_volume *volume, struct linkfs_space **out);
/* NULL is allowed. */
LINKFS_API void linkfs_space_close(struct linkfs_space *space);

/* A snapshot, or a path with all that is below it. */
struct linkfs_space_item {
	uint64_t snapshot; /* its id (linkfs_snapshots.h); 0: at and path count */
	uint64_t at;       /* where path starts, as in the calls by path */
	const char *path;  /* a symlink at its end is not followed, unless a slash follows */
};

#define LINKFS_SPACE_FULL                                                                                              \
	1u /* of whole snapshots also sizes and what they share: in proportion to the volume, not to the change */
#define LINKFS_SPACE_NOW 2u /* exclusive: only what is free at once. Files without a name that are open or kept stay */

/* Something outside of a set that keeps some of its blocks. */
struct linkfs_space_with {
	uint64_t snapshot; /* its id; 0: a file */
	uint64_t ino;      /* of a file */
	const char
		*name; /* the snapshot's, or a path of the file; NULL: the file has no name, or none that may be told */
	size_t name_len; /* NUL after it */
	uint64_t bytes;  /* that it has in common with the set, each block once */
};
/* Valid during the call. Nonzero ends the question with LINKFS_EINTR. Called with no lock held. */
typedef int linkfs_space_with_fn(void *arg, const struct linkfs_space_with *with);
/* A directory that the caller may not read: what is in it is not counted, as he could not delete it. path as it is from the root, with a NUL
 * after it. Nonzero ends the question with LINKFS_EINTR. Called with no lock held. */
typedef int linkfs_space_skipped_fn(void *arg, const char *path, size_t path_len, int error);
/* Called every few milliseconds, with no lock held; nonzero ends the question with LINKFS_EINTR. */
typedef int linkfs_space_progress_fn(void *arg);

/* One set. Zeroed fields are good. */
struct linkfs_space_question {
	const struct linkfs_space_item *items;
	size_t item_count;
	uint32_t flags; /* LINKFS_SPACE_... */
	linkfs_space_with_fn
		*with;     /* snapshots first, oldest first, then files, those with most in common first; implies FULL.
				     * It takes a look at every extent of the volume. */
	size_t with_files; /* how many files at most; 0: all */
	linkfs_space_skipped_fn *skipped;
	linkfs_space_progress_fn *progress;
	void *arg;
};

#define LINKFS_SPACE_HAS_SIZES 1u     /* apparent and allocated are known */
#define LINKFS_SPACE_HAS_EXCLUSIVE 2u /* exclusive and inline_bytes */
#define LINKFS_SPACE_HAS_SHARED 4u
#define LINKFS_SPACE_SKIPPED 8u /* something could not be read: see skipped */

struct linkfs_space_sum {
	uint32_t known;    /* LINKFS_SPACE_HAS_..., LINKFS_SPACE_SKIPPED; what is not known is 0 */
	uint64_t files;    /* files of all types that were counted, each once, in each snapshot */
	uint64_t apparent; /* sizes of regular files and lengths of symlinks' texts */
	uint64_t
		allocated; /* what stat calls blocks, and content kept among the metadata; blocks of two files count twice */
	uint64_t exclusive; /* what is free once exactly this set is deleted, whatever else there is */
	uint64_t
		inline_bytes; /* the part of exclusive that is among the metadata: the rest is what df shows more as free */
	uint64_t
		shared; /* blocks of the set, each once, and content among the metadata, that stay when it is deleted */
	uint64_t with_files; /* with "with": how many files have part in shared */
};

/* What the set costs, looked at as one thing: blocks that two of its members share are exclusive when nothing else has them.
 *
 * A snapshot is deleted as linkfs_snapshot_delete() does it, a path as `linkfs rm -r` does it: the name goes, and what is below it; a file with
 * another name outside of the set stays, and so does a directory with all its content; what a bind covers or shows stays, because it
 * cannot be removed (LINKFS_EBUSY). The root is its content. What rights the caller would need to delete is not asked. Files that somebody
 * has open, and those that property keep-deleted keeps, give their space back when they are really gone; that is what is told. Snapshots
 * that are being deleted, and files without a name that are open or kept, already count as gone; with LINKFS_SPACE_NOW such files count as
 * what stays, so that exclusive is what deleting snapshots gives back before they go.
 *
 * A path inside a snapshot cannot be deleted by itself: it has sizes only, and of a set with one in it nothing more is known. Of whole
 * snapshots only exclusive is known, unless LINKFS_SPACE_FULL; its time is then in proportion to what changed between them and their
 * neighbours, and to the files without a name. Paths take time in proportion to the files and extents below them.
 *
 * Memory: about 40 bytes for each directory and each file with several names below the paths, and 32 bytes for each stretch of disk blocks in
 * the set that is shared; with "with" also 8 bytes a file of the set, and 40 for each extent anywhere that has part in what stays.
 *
 * cred walks the paths and reads the directories (NULL: root). *out is filled when it returns 0. LINKFS_ENOENT (a path, or a snapshot: they came,
 * or went, since linkfs_space_open()), LINKFS_EACCES, LINKFS_ENOTDIR, LINKFS_ELOOP, LINKFS_ENAMETOOLONG, LINKFS_EINVAL (unknown flags), LINKFS_EINTR,
 * LINKFS_ECORRUPT, LINKFS_ENOMEM. */
LINKFS_API int linkfs_space_ask(struct linkfs_space *space, const struct linkfs_cred *cred,
				const struct linkfs_space_question *question, struct linkfs_space_sum *out);

#ifdef __cplusplus
}
#endif

#endif
