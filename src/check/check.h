/*
 * check.h - check and repair (F2): passes over a volume, and a table of problems.
 * Layer: check. Works on the database and the data pieces themselves, so that it can look at what core refuses to open.
 *
 * Every record is hostile until a pass has judged it. Tables are read in key order by cursors (rows.h) and merged; what passes
 * need of each other is kept in memory: 32 bytes an inode, 24 a history row of one, a bit a data block, 16 for each
 * range that a row names after another.
 */
#ifndef LK_CHECK_H
#define LK_CHECK_H

#include "data.h"
#include "db.h"

#include <linkfs_check.h>

struct lk_check_job {
	struct lk_db *db; /* for repair the owner's, without a transaction; otherwise a reader's, in one */
	struct lk_data *data;
	const char *dir; /* of the volume */
	const struct linkfs_check_options *options;
	/* Called around each look at the database in the pass over data: T5's slices. fresh: rows are read, and their blocks are looked
	 * at until the next time. NULL: not needed. */
	int (*enter)(void *arg, bool fresh);
	void (*leave)(void *arg);
	void *arg;
	/* Called once, before the pass over data, with what the caller holds. NULL: not needed. */
	void (*metadata_done)(void *arg);
};

/* 0 when it came to an end. */
int lk_check_run(const struct lk_check_job *job, struct linkfs_check_summary *out, struct linkfs_message *why);
/* What the summary and the callback get when the database cannot even be opened. */
int lk_check_unopenable(const struct linkfs_check_options *options, const char *what, struct linkfs_check_summary *out);

#endif
