/*
 * linkfs_diff.h - what changed between two snapshots, or between a snapshot and now (E3).
 *
 * Errors, threads and paths are as in linkfs.h. Files are told apart by their inodes: a file that has another name is renamed, whatever
 * else became of it. The time is that of the change: of the files changed, made or removed between the two (also of those that were only
 * read, where access times are kept), of their names, of what was written, and of the number of binds; the size of the volume does not
 * matter, nor do files that nothing happened to.
 */
#ifndef LINKFS_DIFF_H
#define LINKFS_DIFF_H

#include <linkfs.h>

#ifdef __cplusplus
extern "C" {
#endif

enum linkfs_diff_kind {
	LINKFS_DIFF_ADDED =
		1, /* a name that was not there: of a new file, or with LINKFS_DIFF_LINKS of one that has others */
	LINKFS_DIFF_REMOVED,  /* a name that is not there any more; with LINKFS_DIFF_LINKS its file is still there */
	LINKFS_DIFF_MODIFIED, /* the file is another in what the bits say */
	LINKFS_DIFF_TYPE,     /* what has the name is of another type, and so another file */
	LINKFS_DIFF_RENAMED,  /* the file had the name old_path; the bits say what else changed in it */
};

/* What differs. Access times, ctime and link counts are not compared, nor is the mtime of directories, which changes with each entry. */
#define LINKFS_DIFF_CONTENT 1u   /* a file's bytes (compared, when they lie elsewhere), or a symlink's text */
#define LINKFS_DIFF_MODE 2u      /* permissions */
#define LINKFS_DIFF_OWNER 4u     /* user or group */
#define LINKFS_DIFF_TIME 8u      /* mtime */
#define LINKFS_DIFF_XATTRS 16u   /* extended attributes, ACLs among them */
#define LINKFS_DIFF_DEVICE 32u   /* number of a device node */
#define LINKFS_DIFF_FLAGS 64u    /* LINKFS_INO_KEEP_LINKS */
#define LINKFS_DIFF_FOLLOWS 128u /* the symlink tracks something else, or does not track any more */
#define LINKFS_DIFF_BIND 256u    /* a bind at the name shows something else, or came or went */
#define LINKFS_DIFF_FILE 512u    /* the name is another file's: of two files, what else the bits say */
#define LINKFS_DIFF_LINKS 1024u  /* ADDED and REMOVED: of a file that is there before and after */

/*
 * One difference. Strings are valid during the call and have a NUL after them. Each name is told of: of a file with several all its names are
 * modified. At a name where a bind stands it is what the bind shows that is compared; a bind that came or went is told, and nothing of what
 * lies below it. What lies below a directory that was renamed is not told of if nothing else became of it.
 */
struct linkfs_diff_change {
	enum linkfs_diff_kind kind;
	uint32_t what;    /* bits, as above */
	const char *path; /* from the root; REMOVED: as it was, else as it is */
	size_t path_len;
	const char *old_path; /* RENAMED: as it was, else NULL */
	size_t old_path_len;
	/* The file before and after, zero where there is none. Both have the inode number that the file has in the live tree, so that a file
	 * that stayed has one number; node names it for the calls of linkfs.h, while nobody holds it as long as linkfs_snapshot_root() says. */
	struct linkfs_stat before, after;
};
/* Nonzero ends the answer. Called with no lock held. */
typedef int linkfs_diff_fn(void *arg, const struct linkfs_diff_change *change);

/* How far it has come. */
struct linkfs_diff_progress {
	uint64_t rows;   /* records of the volume that were looked at for what changed */
	uint64_t inodes; /* compared */
	uint64_t hidden; /* names that changed in directories that cred may not search */
};
/* Called with no lock held, between steps of some milliseconds each, before the first answer; nonzero ends it with LINKFS_EINTR. */
typedef int linkfs_diff_progress_fn(void *arg, const struct linkfs_diff_progress *progress);

/* Zero the struct, set what matters. */
struct linkfs_diff {
	/* A directory of each tree: linkfs_snapshot_root() of a snapshot, or LINKFS_ROOT_INO for now; any of the two may be the older one. */
	uint64_t from, to;
	/* Only what lies at these paths, or below: NULL for all, or, of one of the two, for the path that the other leads to. They are walked from from and to; where both are there they must be one path,
	 * or one file. A change is told of when it has to do with one of them, so that what is moved out or in shows both its paths. */
	const char *from_path, *to_path;
	linkfs_diff_progress_fn *progress; /* may be NULL */
	void *progress_arg;
};

/*
 * Tells fn what differs between the trees of from and to, in the order of the paths (bytes compared); at one path what was removed comes
 * first. What cred may not see is not told: names in directories that he may not search; of a file that came out of one, that it was added.
 * Of several paths to a directory (directory links, binds) one is told: one below the asked path before others, and no bind's before a bind's.
 * Snapshots are exact. When one of the two is the live tree others go on writing to it, and each change is told as it was at a moment
 * during the call; what is exact is a snapshot taken before. The memory is that of the change. done_out (may be NULL) is filled also after an
 * error. LINKFS_ENOENT: neither path is there; LINKFS_EINVAL: both are, and are different things; LINKFS_EACCES, LINKFS_ENOTDIR ... as other
 * walks; LINKFS_ESTALE: from or to is not there, or a snapshot was deleted meanwhile; LINKFS_EINTR: progress ended it.
 */
LINKFS_API int linkfs_diff(struct linkfs_volume *volume, const struct linkfs_cred *cred, const struct linkfs_diff *ask,
			   linkfs_diff_fn *fn, void *arg, struct linkfs_diff_progress *done_out);

#ifdef __cplusplus
}
#endif

#endif
