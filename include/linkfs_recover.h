/*
 * linkfs_recover.h - a new volume out of one whose metadata is beyond repair.
 *
 * linkfs_recover() reads the database of a volume page by page, without SQLite and without trusting its trees, takes the
 * rows that are left, and makes a new volume of them with the ordinary library. The damaged volume is only read; nobody
 * may own it meanwhile. docs/RECOVER.md tells by which rules rows are taken, preferred and dropped.
 *
 * Errors, outputs and threads are as in linkfs.h. Snapshots and sharing between files do not come along: a file's
 * content is copied.
 */
#ifndef LINKFS_RECOVER_H
#define LINKFS_RECOVER_H

#include "linkfs.h"

#ifdef __cplusplus
extern "C" {
#endif

enum linkfs_recover_what {
	LINKFS_RECOVER_FILE_LOST = 1,   /* of the file a name or a number is left, and nothing else */
	LINKFS_RECOVER_RANGE_LOST,      /* length bytes from offset on read as zeros */
	LINKFS_RECOVER_NAMES_LOST,      /* count more names of the file are missing */
	LINKFS_RECOVER_ATTRIBUTES_LOST, /* owner, permissions and times are made up */
	LINKFS_RECOVER_XATTRS_LOST,     /* count extended attributes are missing */
	LINKFS_RECOVER_PLACE_LOST,      /* no name is left: path is where it lies in lost+found */
	LINKFS_RECOVER_DOUBTFUL,        /* rests on a page whose checksum does not hold, or that may be outdated */
	LINKFS_RECOVER_SNAPSHOTS_LOST,  /* count snapshots stay behind */
	LINKFS_RECOVER_UNTRACED,        /* count files were counted by the volume and left no other trace */
};

struct linkfs_recover_problem {
	enum linkfs_recover_what what;
	uint64_t ino;     /* the file's number in the damaged volume; 0 for what concerns no file */
	const char *path; /* in the new volume, absolute; "" when there is none; valid during the callback */
	size_t path_len;
	uint64_t offset, length; /* RANGE_LOST */
	uint64_t count;          /* where the kind says so */
};

/* Called for each problem, in the order in which files are made. */
typedef void linkfs_recover_problem_fn(void *arg, const struct linkfs_recover_problem *problem);

enum linkfs_recover_phase {
	LINKFS_RECOVER_PAGES, /* reading the database; in pages */
	LINKFS_RECOVER_FILES, /* making files; in files */
};
/* Called now and then. Nonzero ends the work: LINKFS_EINTR, and the new volume is removed. */
typedef int linkfs_recover_progress_fn(void *arg, enum linkfs_recover_phase phase, uint64_t done, uint64_t total);

#define LINKFS_RECOVER_LIST 1u /* make nothing: only say what would come of it */

/* Zero the struct, set what matters. */
struct linkfs_recover_options {
	uint32_t flags; /* LINKFS_RECOVER_LIST */
	linkfs_recover_problem_fn *problem;
	linkfs_recover_progress_fn *progress;
	void *arg; /* of both */
};

struct linkfs_recover_result {
	/* The database. */
	uint64_t pages;         /* in use or maybe so */
	uint64_t pages_bad;     /* of them, checksum does not hold */
	uint64_t pages_mended;  /* one bit was wrong, and which one is proved by the checksum */
	uint64_t pages_lost;    /* whole, but no tree leads to them */
	uint64_t log_frames;    /* of the write-ahead log that were applied */
	uint32_t log_damaged;   /* the log is damaged: later changes may be missing */
	uint32_t trees_damaged; /* of the 12 whose rows are brought back */
	uint32_t secret_lost;   /* names could not be proved by their hashes */
	/* Brought back. */
	uint64_t directories, files, symlinks, specials; /* the root is not counted */
	uint64_t names;                                  /* of them all, those in lost+found included */
	uint64_t bytes;                                  /* of file content whose checksums hold */
	uint64_t xattrs;
	uint64_t doubtful; /* files of all kinds */
	uint64_t nameless; /* in lost+found */
	/* Not brought back. */
	uint64_t lost_files, lost_ranges, lost_bytes, lost_names, lost_xattrs;
	uint64_t lost_attributes; /* files whose owner, permissions and times are made up */
	uint64_t snapshots;
	uint64_t untraced;
	uint32_t complete; /* everything came back, and nothing of it is doubtful */
};

/* Makes new_volume, which must not exist, out of the volume in directory volume; with LINKFS_RECOVER_LIST new_volume may be
 * NULL. The new one is durable when it returns 0; on failure it is removed. Needs memory in proportion to the metadata.
 * LINKFS_EEXIST, LINKFS_ELOCKED (volume has an owner), LINKFS_ENOTVOLUME (no meta.db), LINKFS_ECORRUPT (no row is left),
 * LINKFS_ENOSPC, LINKFS_EINTR ... with why filled. */
LINKFS_API int linkfs_recover(const char *volume, const char *new_volume, const struct linkfs_recover_options *options,
			      struct linkfs_recover_result *out, struct linkfs_message *why);

#ifdef __cplusplus
}
#endif
#endif
