/*
 * lib.h - the back end of the library: what its files share.
 */
#ifndef LK_DIFF_LIB_H
#define LK_DIFF_LIB_H

#include "diff.h"

#include <linkfs.h>
#include <linkfs_check.h>

#define PATH_ROOM 8192

struct lib_slot {
	struct linkfs_file *file; /* NULL when empty */
	uint64_t ino;
	int user;
	int flags; /* as given to open(2) */
	bool regular;
};

struct lib {
	const struct side *side;
	struct linkfs_volume *volume;
	struct lib_slot slots[OP_SLOTS];
	struct linkfs_dir *dirs[OP_DIR_SLOTS];
	uint64_t nodes[OP_DIR_SLOTS]; /* held: where paths that begin there begin, which may be one of several places */
	uint64_t cwd;                 /* held */
	uint32_t umask;
	bool crash; /* end without closing the volume */
	/* Of the operation that runs now: */
	uint64_t at;
	struct linkfs_cred cred;
	char p[PATH_ROOM], q[PATH_ROOM];
};

/* "ok" or the errno's name; a result is 0 or a LINKFS_E... */
bool lk_lib_result(struct text *out, int result);
void lk_lib_stat(const struct linkfs_stat *st, struct answer_stat *out);
int lk_lib_list(struct lib *state, const struct linkfs_cred *cred, uint64_t dir, struct name_list *out);
bool lk_lib_file(struct lib *state, const struct op *op, struct text *out);
bool lk_lib_meta(struct lib *state, const struct op *op, struct text *out);
void lk_lib_name(struct lib *state, const struct op *op, struct text *out);
/* After a rename or rmdir with OP_RENAME_HOME. */
void lk_lib_moved(struct lib *state, const struct op *op);
bool lk_lib_links(struct lib *state, const struct op *op, struct text *out);
void lk_lib_tree(struct lib *state, struct text *out);
void lk_lib_close_dir(struct lib *state, int slot);
void lk_lib_close_all(struct lib *state);
/* Sets the times of op's utimes and futimes; first is the index of its numbers. False: a time is not valid. */
bool lk_lib_times(const struct op *op, unsigned first, struct linkfs_setattr *out);

#endif
