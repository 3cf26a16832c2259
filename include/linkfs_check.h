/*
 * linkfs_check.h - is a volume whole? Every record against the others, every byte against its checksum; and repair.
 *
 * Errors, threads and paths are as in linkfs.h. docs/CHECK.md lists the problems with what they mean and what repair does.
 */
#ifndef LINKFS_CHECK_H
#define LINKFS_CHECK_H

#include <linkfs.h>

#ifdef __cplusplus
extern "C" {
#endif

enum linkfs_severity {
	LINKFS_PROBLEM_MINOR, /* a count or a mark is wrong: no name and no byte of a file is */
	LINKFS_PROBLEM_ERROR, /* something cannot be found, read or changed as it should */
	LINKFS_PROBLEM_LOSS,  /* something is lost, and repair cannot bring it back */
	LINKFS_PROBLEM_FATAL, /* more than repair can mend: `linkfs recover` saves what is left */
};

/* A row of the table of problems: static and constant. */
struct linkfs_problem {
	const char *id; /* stable: "dirent-no-inode" */
	enum linkfs_severity severity;
	const char *meaning; /* a sentence */
	const char *repair;  /* what LINKFS_CHECK_REPAIR does about it; NULL: nothing */
	const char
		*format; /* the text of a finding: words, and {ino} {dir} {name} {block} {count} {have} {want} {what} */
};
/* All problems; *count_out is their number. */
LINKFS_API const struct linkfs_problem *linkfs_problems(size_t *count_out);

/* One finding. Valid during the callback. */
struct linkfs_finding {
	const struct linkfs_problem *problem;
	const char *text; /* a sentence, with the place */
	const char *path; /* of the file or directory, when it can be told, else NULL; bytes, as names are */
	uint64_t ino;     /* 0: none */
	uint64_t dir;     /* of a name, 0: none */
	const char *name; /* NULL: none */
	size_t name_len;
	uint64_t block; /* of the file, or of the data pieces when ino is 0; LINKFS_NO_BLOCK: none */
	int repaired;   /* it is being mended; when the call fails later, it may not have been */
};
#define LINKFS_NO_BLOCK UINT64_MAX

struct linkfs_check_progress {
	const char *pass;     /* a word or two for people; static */
	uint32_t number, of;  /* of the pass */
	uint64_t done, total; /* within it; records, or bytes in the pass over data; total may be 0: not known */
};

/* Findings and progress are told in the caller's thread, with no lock held but where the host has no shared memory (see
 * linkfs_volume_check()). They must not call linkfs. Nonzero ends the check: LINKFS_EINTR. */
typedef int linkfs_finding_fn(void *arg, const struct linkfs_finding *finding);
typedef int linkfs_progress_fn(void *arg, const struct linkfs_check_progress *progress);

#define LINKFS_CHECK_DATA 1u   /* read every block and compare it with its checksum */
#define LINKFS_CHECK_REPAIR 2u /* mend what can be mended */
#define LINKFS_CHECK_DROP_DATA                                                                                         \
	4u /* with both: blocks whose checksum fails become holes; otherwise reading them stays an error */
#define LINKFS_CHECK_NO_BACKUP 8u /* change without a copy of the metadata */

/* Zero the struct, set what matters. */
struct linkfs_check_options {
	uint32_t flags; /* LINKFS_CHECK_... */
	const char
		*backup; /* where the copy of the metadata goes; NULL: meta.db.repair-DATE in the volume's directory */
	linkfs_finding_fn *finding;   /* may be NULL */
	linkfs_progress_fn *progress; /* may be NULL; called every few milliseconds */
	void *arg;                    /* of both */
};

struct linkfs_check_summary {
	uint64_t problems; /* found */
	uint64_t repaired; /* of those */
	uint64_t left;     /* problems that are still there */
	uint64_t records;  /* looked at */
	uint64_t blocks;   /* of data that were read and compared */
	uint64_t bytes;    /* of data, the same */
	uint64_t inodes;
	uint32_t rounds;   /* 1; with repair more, until nothing is found */
	char backup[4096]; /* the copy that was made before the first change; "" when there was none */
};

/* Checks the volume in directory path, which no other process has open for writing, and repairs it with LINKFS_CHECK_REPAIR.
 * It can look at what linkfs_volume_open() refuses. Returns 0 when it came to an end, whatever it found; *out (may be NULL)
 * tells. Repairs are made in transactions of their own, each of which leaves the volume no worse: after an error, or an
 * end by a callback, another call goes on. Errors: as linkfs_volume_open() but for damage, LINKFS_EINTR, and with repair
 * LINKFS_ENOSPC and whatever writing gives; why is filled. */
LINKFS_API int linkfs_check(const char *path, const struct linkfs_check_options *options,
			    struct linkfs_check_summary *out, struct linkfs_message *why);

/* Checks a volume that this process has open, as of the last commit, which it makes first. Other calls go on meanwhile; blocks
 * that they free are not used again before it returns. Where the volume's host has no shared memory for the database's
 * log, they wait for everything but the reading of data. LINKFS_CHECK_REPAIR is LINKFS_EBUSY. */
LINKFS_API int linkfs_volume_check(struct linkfs_volume *volume, const struct linkfs_check_options *options,
				   struct linkfs_check_summary *out, struct linkfs_message *why);

#ifdef __cplusplus
}
#endif
#endif
