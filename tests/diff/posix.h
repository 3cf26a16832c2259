/*
 * posix.h - the back end of system calls: what its files share.
 */
#ifndef LK_DIFF_POSIX_H
#define LK_DIFF_POSIX_H

#include "diff.h"

#include <dirent.h>

#define PATH_ROOM 8192

struct posix_slot {
	int fd;   /* -1 when empty */
	int user; /* who opened it */
	int flags;
};

struct posix {
	const struct side *side;
	int proc_fd; /* /proc/self/fd from before the chroot */
	int root_fd;
	int forget_fd; /* /proc/sys/vm/drop_caches, -1 when not root */
	struct posix_slot slots[OP_SLOTS];
	DIR *dirs[OP_DIR_SLOTS];
	bool protected_links; /* fs.protected_hardlinks */
	/* Of the operation that runs now: */
	int at;
	char p[PATH_ROOM], q[PATH_ROOM];
	bool skip; /* this answer cannot be compared */
};

/* Runs the operation when it works on open files; false when it is not one of those. */
bool lk_posix_file(struct posix *state, const struct op *op, struct text *out);
bool lk_posix_meta(struct posix *state, const struct op *op, struct text *out);
void lk_posix_name(struct posix *state, const struct op *op, struct text *out);
void lk_posix_tree(struct posix *state, struct text *out);
void lk_posix_stat(const struct stat *st, struct answer_stat *out);
int lk_posix_list(int fd, struct name_list *out);
/* "ok" or the errno's name. */
bool lk_posix_result(struct text *out, int64_t result);

#endif
