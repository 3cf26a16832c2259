/*
 * diff_impl.h - what the parts of diff share: diff.c runs the steps, diff_find.c finds what may have changed, diff_names.c compares the
 * names of an inode, diff_same.c what it has, diff_paths.c says where changes are and puts those at one place together, diff_dirs.c where
 * directories are.
 * Layer: core, private.
 */
#ifndef LK_DIFF_IMPL_H
#define LK_DIFF_IMPL_H

#include "diff.h"
#include "dirents_past.h"
#include "inode.h"

enum { OLDER, NEWER, SIDES };

/* An entry's key, and its name's bytes in d->names. */
struct lk_spell {
	int64_t dir, hash, ord;
	size_t name;
	uint32_t len; /* 0: none */
};

/* Content that is not compared yet. */
enum lk_undecided { LK_DECIDED, LK_WHOLE, LK_RANGES /* those in d->ranges */ };

struct lk_change {
	enum linkfs_diff_kind kind;
	enum lk_undecided undecided;
	uint32_t what;
	bool binds; /* tells of a bind, and not of the inode that has the name */
	bool shown; /* ino is what a bind shows there */
	bool gone;  /* not to be told */
	/* By side, OLDER and NEWER. */
	uint64_t ino[SIDES]; /* 0: none */
	struct lk_spell at[SIDES];
	char *path[SIDES];
};

/* Blocks of a file that are another row's at the older view. */
struct lk_range {
	uint64_t ino, at, count;
};

/* A bind of the newer view. */
struct lk_shown {
	uint64_t source;
	struct lk_spell at; /* without name */
};

/* Records that are kept of those that were met, for each side. */
#define LK_DIFF_KNOWN 65536u

/* A growing array: struct { T *p; size_t count, cap; }. */
#define LK_LIST(T)                                                                                                     \
	struct {                                                                                                       \
		T *p;                                                                                                  \
		size_t count, cap;                                                                                     \
	}
int lk_list_room(void *p_ptr, size_t *cap, size_t count, size_t size);
#define LK_LIST_ADD(list, ...)                                                                                         \
	(lk_list_room(&(list)->p, &(list)->cap, (list)->count, sizeof(*(list)->p))                                     \
		 ? LINKFS_ENOMEM                                                                                       \
		 : ((list)->p[(list)->count++] = (__VA_ARGS__), 0))

struct lk_diff {
	struct lk_fs *fs;
	const struct linkfs_cred *cred;
	struct {
		int64_t epoch, next_ino;
		uint64_t bits;
		const char *prefix;
	} side[SIDES];
	int from, to; /* which side is which */
	struct linkfs_diff_progress progress;
	uint32_t budget; /* rows that are left for this step */

	/* The phase, and where in it the next step goes on. */
	uint32_t phase;
	bool started;
	uint64_t next;                           /* a number, or a position in a list */
	_Alignas(8) char row[LK_RECORD_MAX + 8]; /* of history, the last one looked at */
	LK_LIST(uint64_t) inodes;                /* candidates */
	LK_LIST(struct lk_inode)
	known[SIDES]; /* records of some of them, where they cannot change any more; sorted with them */
	LK_LIST(struct lk_spell) binds; /* the same of binds, without names */
	LK_LIST(struct lk_shown) shown; /* all binds, by source */
	struct lk_buf names;            /* bytes */
	LK_LIST(struct lk_change) changes;
	LK_LIST(struct lk_range) ranges;

	/* The inode that is compared. */
	struct {
		bool begun;
		bool there[SIDES];
		struct lk_inode inode[SIDES];
		uint32_t what;
		enum lk_undecided undecided;
		struct lk_dirent from; /* the place where its names are gone on with; dir 0: the first */
		LK_LIST(struct lk_spell) names[SIDES]; /* that it has at one view only */
	} now;
	struct lk_diff_dirs *dirs[SIDES];
	uint8_t *bytes[SIDES]; /* room for content that is read, made when it is needed */
	bool any_binds;
	bool covered;
};

/* By directory, hash and ordinal; for qsort(3). */
int lk_diff_by_key(const void *a, const void *b);

/* Begins an op of a step; views are fit for lk_diff_see(). */
int lk_diff_begin(struct lk_diff *d, struct lk_op *op);
/* The op reads that side from now on. */
void lk_diff_see(const struct lk_diff *d, struct lk_op *op, int side);
static inline void lk_diff_spend(struct lk_diff *d, uint32_t rows)
{
	d->progress.rows += rows;
	d->budget -= LK_MIN(d->budget, rows);
}
/* The kind of what only that side has. */
static inline enum linkfs_diff_kind lk_diff_alone(const struct lk_diff *d, int side)
{
	return side == d->from ? LINKFS_DIFF_REMOVED : LINKFS_DIFF_ADDED;
}

/* Steps: *done_out says that the phase is over. */
typedef int lk_diff_phase_fn(struct lk_diff *d, struct lk_op *op, bool *done_out);
lk_diff_phase_fn lk_diff_find_dirty, lk_diff_find_changed, lk_diff_find_retargeted, lk_diff_find_made,
	lk_diff_find_unbound, lk_diff_find_bound, lk_diff_sort_found, lk_diff_find_ranges, lk_diff_decide;
lk_diff_phase_fn lk_diff_compare, lk_diff_compare_binds;
lk_diff_phase_fn lk_diff_join_keys, lk_diff_find_paths, lk_diff_join_paths;

/* The inode there, if it has a name and is not kept (E9). */
int lk_diff_inode(struct lk_diff *d, struct lk_op *op, int side, uint64_t ino, struct lk_inode *out, bool *there_out);
/* Several, as lk_inode_get_many(). */
int lk_diff_inodes(struct lk_diff *d, struct lk_op *op, int side, const int64_t *inos, uint32_t count,
		   struct lk_inode *out, bool *there);
/* What differs of two inodes of one type, but for content that has to be read. */
int lk_diff_compare_inodes(struct lk_diff *d, struct lk_op *op, const struct lk_inode inode[SIDES], uint32_t *what_out,
			   enum lk_undecided *undecided_out);
/* Reads what is undecided of a change, no op open. */
int lk_diff_read(struct lk_diff *d, const struct lk_change *change, bool *differs_out);
/* What else became of d->now's inode is told where binds show it as well. */
int lk_diff_tell_binds(struct lk_diff *d, struct lk_op *op, uint64_t ino);
/* Names of d->now's inode, as they were read, or (NULL) a step that reads some. When they are done, its changes are in the list. */
int lk_diff_names(struct lk_diff *d, struct lk_op *op, uint64_t ino, const struct lk_lives *names, bool *done_out);

/* Where a directory is that has one path. */
struct lk_diff_dir {
	struct lk_bytes path; /* in the op's arena */
	bool closed;          /* the caller may not search it, or one above it: it has no path for him */
};
void lk_diff_dirs_free(struct lk_diff_dirs *dirs);
/* A step begins: what is known of the live side may be wrong by now. */
void lk_diff_dirs_begin(struct lk_diff *d);
/* What all names of d->now's inode tell of it, if it is a directory. */
int lk_diff_dirs_learn(struct lk_diff *d, struct lk_op *op, const struct lk_lives *names);
/* Looks up those directories and all above them; at most LK_INODES_MANY. Changes the array. */
int lk_diff_dirs_find(struct lk_diff *d, struct lk_op *op, int side, int64_t *inos, uint32_t count);
/* *known_out false: it was not looked up, or has another number of paths than one, maybe. */
int lk_diff_dirs_path(const struct lk_diff *d, struct lk_op *op, int side, int64_t ino, struct lk_diff_dir *out,
		      bool *known_out);

/* Adds a name's bytes. */
int lk_diff_spell(struct lk_diff *d, const struct lk_dirent *entry, struct lk_spell *out);
/* Those that lk_change.gone leaves out are dropped. */
void lk_diff_sweep(struct lk_diff *d);

#endif
