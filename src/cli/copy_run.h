/*
 * copy_run.h - between copy.c, which walks, and copy_entry.c, which copies one entry that is no directory.
 */
#ifndef CLI_COPY_RUN_H
#define CLI_COPY_RUN_H

#include "copy.h"

struct copy_frame {
	struct copy_dir from, to;
	struct copy_stat stat;
	char *from_name, *to_name; /* in the frame below */
	struct cli_list list;
	size_t next, display_len, below_len;
	bool made, merged;
};

struct copy_run {
	struct copy *copy;
	struct copy_frame *frames;
	size_t len, cap;
	struct copy_dir from, to; /* where the operand and its copy are named */
	char *display;            /* path of the source for messages */
	size_t display_len, display_cap;
	char *below; /* path of the copy below run.to: for links on the host */
	size_t below_len, below_cap;
	uint64_t dev;              /* of the operand, for one_fs */
	uint64_t top_dev, top_ino; /* the copy of the operand, when it is a directory */
};

/* Copies a file, symlink or special file that has attributes st, under name in directory to. */
void copy_entry(struct copy_run *run, const struct copy_dir *from, const char *from_name, bool follow,
		const struct copy_stat *st, const struct copy_dir *to, const char *name);
/* Tells and counts a failure at run->display. */
void copy_fail(struct copy_run *run, const char *what, int error);

#endif
