/*
 * recover_impl.h - one recovery: rows, the files that are made of them, the volume they are made in.
 * Layer: check, private to recover_*.c.
 */
#ifndef LK_RECOVER_IMPL_H
#define LK_RECOVER_IMPL_H

#include "recover.h"
#include "recover_rows.h"

#include "data.h"
#include "fs.h"

#include <sys/stat.h>

/* A file of any kind that is brought back, or of which at least something is told. */
struct lk_found {
	int64_t ino;
	const struct lk_inode_row *inode; /* NULL: its attributes are lost */
	struct lk_name_row *names;        /* the best first; with those that were dropped later */
	size_t name_count;
	uint64_t new_ino;    /* once made, in a new volume */
	struct lk_found *up; /* of a directory with a name: the directory of the first name */
	uint32_t type;       /* mode's type bits; 0: not known */
	uint32_t dirs;       /* of a directory: those whose up it is */
	bool directory;      /* something lies in it */
	bool skipped;        /* not made */
	bool lost;           /* skipped, though it was there */
	bool nameless;       /* goes to lost+found */
	bool doubtful;
	bool orphan; /* skipped: had lost its last name */
	bool made;
	bool busy, settled; /* marks of the search for cycles */
	uint32_t again; /* in lost+found its name with this number after it, because the name is taken; 0: without */
};

struct lk_recovery {
	struct linkfs_recover_options options;
	struct lk_reader reader;
	struct lk_recover_rows rows;
	struct lk_array found; /* struct lk_found, by ino; does not grow once it is made */
	struct linkfs_recover_result result;
	struct lk_data *data; /* of the damaged volume */
	struct lk_fs *fs;     /* the new one; NULL: nothing is made */
	uint64_t lost_found;  /* inode number of that directory in it, once it is needed */
	bool lost_found_made;
	char lost_found_name[32];
	struct lk_buf path;  /* of the file at hand */
	struct lk_buf block; /* content on its way */
	struct lk_pack *pack;
	struct lk_packer *chunk; /* its plain bytes are those of chunk_row's chunk; NULL: none was needed yet */
	const struct lk_extent_row *chunk_row;
	size_t chunk_size;
	uint64_t done, total; /* files */
	uint32_t uid, gid;    /* owner of what has lost its own */
};

/* recover_plan.c: fills found. */
int lk_recovery_plan(struct lk_recovery *r);
struct lk_found *lk_recovery_find(struct lk_recovery *r, int64_t ino);
/* The first name that is not dropped; NULL: none. */
struct lk_name_row *lk_found_name(const struct lk_found *f);

#define LK_NUMBER_MAX 48
/* Its name in lost+found. */
void lk_found_number(const struct lk_found *f, char out[LK_NUMBER_MAX]);

/* recover_report.c: problems, with the file's path. problem's what and the numbers are set by the caller. */
int lk_recovery_report(struct lk_recovery *r, const struct lk_found *f, struct linkfs_recover_problem *problem);
int lk_recovery_simple(struct lk_recovery *r, const struct lk_found *f, enum linkfs_recover_what what, uint64_t count);
int lk_recovery_progress(struct lk_recovery *r);

/* recover_content.c: the file's bytes into new_ino (nothing is written without r->fs). *size_out is its size. */
int lk_recovery_content(struct lk_recovery *r, struct lk_found *f, uint64_t *size_out);

/* recover_build.c */
int lk_recovery_make(struct lk_recovery *r);

static inline bool lk_bad_rank(uint8_t rank)
{
	return rank < LK_RANK_LOST;
}

#endif
