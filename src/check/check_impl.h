/*
 * check_impl.h - what the passes share: the state of a run, findings, mending.
 * Layer: check, private.
 *
 * A pass looks at rows and calls lk_found() for what is wrong. When that says so it mends, with lk_mend_*(), and ends each mend
 * with lk_mend_point(): transactions end there and nowhere else, so that whatever cuts a repair off leaves whole
 * mends. Rows are mended before counts (the order of the passes), and rounds are run until one finds nothing to mend.
 */
#ifndef LK_CHECK_IMPL_H
#define LK_CHECK_IMPL_H

#include "check.h"
#include "problem.h"
#include "rows.h"

#include <sys/stat.h>

#define LK_CHECK_MODE_MASK 0xf000u

/* flags of a lk_seen_inode */
#define LK_SEEN_ORPHAN 1u   /* has a row in orphan */
#define LK_SEEN_DELETED 2u  /* a row in deleted names it */
#define LK_SEEN_CONTENT 4u  /* something would be lost with it */
#define LK_SEEN_TRIM 8u     /* LK_INODE_TRIM is set */
#define LK_SEEN_TMPFILE 16u /* LK_INODE_TMPFILE is set */
#define LK_SEEN_WALKED 32u  /* a directory that leads to the root */
#define LK_SEEN_WALKING 64u /* on the way that is being walked */
#define LK_SEEN_KEPT 128u   /* LK_INODE_KEPT is set: without a name on purpose */

#define LK_NO_PARENT UINT32_MAX

struct lk_seen_inode {
	int64_t ino;
	uint32_t nlink;    /* as recorded */
	uint32_t names;    /* dirents that name it */
	uint32_t children; /* of a directory: directories in it */
	uint32_t parent;   /* of a directory: position of the one that holds its name, or LK_NO_PARENT */
	uint32_t entries;  /* of a directory: whether it has any */
	uint16_t type;     /* S_IFMT bits */
	uint16_t flags;
};

/* A way to a directory besides its first name: another name of it, or a bind. */
struct lk_seen_way {
	int64_t parent, child;
	int64_t hash, ord; /* of a bind */
	bool bind;
};

/* When a history row of an inode was there. */
struct lk_seen_old {
	int64_t ino, last, born;
};

struct lk_seen_snapshot {
	int64_t epoch;
	bool deleting;
};

struct lk_blocks; /* blocks.h */

struct lk_check {
	struct lk_db *db;
	struct lk_data *data;
	const struct lk_check_job *job;
	const struct linkfs_check_options *options;
	struct linkfs_check_summary *sum;
	struct linkfs_message *why;
	bool repair; /* in force: LINKFS_CHECK_REPAIR, and nothing forbids it */
	bool drop_data;
	struct lk_pack *pack;
	bool packed; /* pass_files.c, pass_history.c: there is a row of codec ZSTD, or an inode with LK_INODE_PACKED */
	bool packed_known; /* pass_super.c: the super record says so */
	bool in_batch;     /* a transaction of mends is open */
	bool failed;       /* a mend could not be written */
	uint32_t pending;  /* row writes in it */
	uint32_t round;
	uint64_t mended; /* in this round */
	uint64_t left;   /* in this round: found and not mended */
	uint32_t broken; /* bit per table: it cannot be read to its end */
	uint32_t stale;  /* bit per table: an index differs */
	struct linkfs_check_progress progress;
	uint64_t told_ns;

	/* pass_super.c */
	bool have_secret;
	uint8_t secret[192];
	int64_t epoch, next_ino;
	int64_t counted_inodes, counted_kept, counted_kept_blocks; /* -1: there is no such counter */
	int64_t counted_dir_names, counted_binds;
	uint64_t limit_blocks;
	struct lk_buf snapshots; /* struct lk_seen_snapshot, ascending */
	int64_t newest;          /* K2's N */

	/* pass_files.c */
	struct lk_buf inodes;      /* struct lk_seen_inode, ascending */
	int64_t largest_ino;       /* live or history */
	int64_t kept, kept_blocks; /* inodes with LK_INODE_KEPT */
	struct lk_blocks *blocks;
	uint64_t block_end; /* disk blocks from here on no piece holds */

	/* pass_history.c */
	struct lk_buf olds; /* struct lk_seen_old, ascending by ino, last */

	/* pass_names.c, pass_links.c */
	struct lk_buf ways;       /* struct lk_seen_way */
	int64_t dir_names, binds; /* names of directories beyond their first; rows of bind */

	int64_t lost_found; /* its number, once it was needed */
};

/* ---- findings (report.c) */

/* What a finding is about; unset is zero, block LINKFS_NO_BLOCK where none. */
struct lk_place {
	int64_t ino, dir;
	struct lk_bytes name;
	uint64_t block;
	int64_t count, have, want;
	const char *what;
};
#define LK_NOWHERE .block = LINKFS_NO_BLOCK

/* Tells. 0: go on; 1: mend it now; negative: an error that ends the run. */
int lk_found(struct lk_check *c, enum lk_problem_id id, const struct lk_place *place);
/* done and total of the pass's progress. LINKFS_EINTR. */
int lk_progress(struct lk_check *c, uint64_t done);
/* A cursor failed with r: damage is told and remembered, 0; anything else is returned. */
int lk_unreadable(struct lk_check *c, enum lk_table_id table, int r);
static inline bool lk_is_broken(const struct lk_check *c, enum lk_table_id table)
{
	return c->broken >> table & 1;
}
/* The path of an inode, NUL-terminated, or LINKFS_ENOENT. */
int lk_path_of(struct lk_check *c, int64_t ino, struct lk_buf *out);

/* ---- mending (mend.c) */

int lk_mend_put(struct lk_check *c, enum lk_table_id table, const void *record);
int lk_mend_insert(struct lk_check *c, enum lk_table_id table, const void *record);
/* The record of an inode that had none. The counter of numbers is above it in the same transaction, so that the volume opens wherever the
 * repair is cut off. */
int lk_mend_new_inode(struct lk_check *c, const struct lk_inode *inode);
/* Erasing what is not there is no error. */
int lk_mend_erase(struct lk_check *c, enum lk_table_id table, const void *key);
int lk_mend_rebuild(struct lk_check *c, enum lk_table_id table);
/* The mend of LK_P_INDEX, in a transaction of its own with what then (or NULL) does (pass_engine.c). Where it cannot be made, that is
 * told and repair ends. */
int lk_index_rebuild(struct lk_check *c, enum lk_table_id table, int (*then)(struct lk_check *, void *), void *arg);
/* K2: as erase of a live row that was right, so that snapshots keep it. */
int lk_mend_remove(struct lk_check *c, enum lk_table_id table, const void *key);
/* Between two mends. */
int lk_mend_point(struct lk_check *c);
/* After a pass: what was mended is committed. */
int lk_mend_end(struct lk_check *c);
void lk_mend_abandon(struct lk_check *c);
int lk_get(struct lk_check *c, enum lk_table_id table, const void *key, void *record, struct lk_buf *bytes);

/* ---- what is known of inodes (seen.c) */

struct lk_seen_inode *lk_seen_find(struct lk_check *c, int64_t ino);
static inline struct lk_seen_inode *lk_seen_at(const struct lk_check *c, size_t i)
{
	return (struct lk_seen_inode *)(void *)c->inodes.p + i;
}
static inline size_t lk_seen_count(const struct lk_check *c)
{
	return c->inodes.len / sizeof(struct lk_seen_inode);
}
static inline uint32_t lk_seen_position(const struct lk_check *c, const struct lk_seen_inode *s)
{
	return (uint32_t)(s - (const struct lk_seen_inode *)(const void *)c->inodes.p);
}
/* Adds one, at its place. Positions behind it move. */
int lk_seen_add(struct lk_check *c, const struct lk_seen_inode *s);
/* Whether ino existed at the snapshot: 1, 0, or an error. */
int lk_seen_at_snapshot(struct lk_check *c, int64_t ino, int64_t epoch);
bool lk_is_snapshot(const struct lk_check *c, int64_t epoch);
/* The newest existing snapshot at or before epoch; 0: none. */
int64_t lk_snapshot_before(const struct lk_check *c, int64_t epoch);

/* ---- judging single records (judge.c) */

bool lk_type_known(int64_t mode);
bool lk_name_valid(const void *name, size_t len);
/* A text of a symlink. */
bool lk_text_valid(const struct lk_bytes *text);
/* What a symlink's row says of the file it tracks is in range, or it tracks none. */
bool lk_tracks_valid(const struct lk_target *t);
/* Key, hash and type of a dirent row are in their ranges. */
bool lk_dirent_valid(const struct lk_dirent *d);
/* NULL, or what is wrong with it. */
const char *lk_extent_fault(const struct lk_extent *e);
const char *lk_inode_fault(const struct lk_inode *i, int64_t epoch);
const char *lk_xattr_fault(const struct lk_xattr *x);
/* The inode flag that stands for an attribute; 0. */
int64_t lk_xattr_flag(const struct lk_bytes *name);
/* Content of a type that cannot have it is refused: what a file of this mode may have as flags. */
int64_t lk_flags_allowed(int64_t mode);

/* ---- passes, in their order */

int lk_pass_engine(struct lk_check *c);
int lk_pass_super(struct lk_check *c);
int lk_pass_files(struct lk_check *c);
int lk_pass_history(struct lk_check *c);
int lk_pass_past(struct lk_check *c);
int lk_pass_index(struct lk_check *c);
int lk_pass_names(struct lk_check *c);
int lk_pass_orphans(struct lk_check *c);
int lk_pass_tree(struct lk_check *c);
int lk_pass_links(struct lk_check *c);
int lk_pass_tracks(struct lk_check *c);
int lk_pass_moved(struct lk_check *c);
int lk_pass_copied(struct lk_check *c);
int lk_pass_targets(struct lk_check *c);
int lk_pass_blocks(struct lk_check *c);
int lk_pass_counters(struct lk_check *c);
int lk_pass_data(struct lk_check *c);

/* pass_graph.c: bind NULL for a name. The check is of names, then of those and binds; directories it comes to are LK_SEEN_WALKED. */
int lk_way_add(struct lk_check *c, int64_t parent, int64_t child, const struct lk_bind *bind);
int lk_graph_check(struct lk_check *c, bool binds);

/* pass_files.c's parts: one inode with the rows at hand of the cursors. */
struct lk_file {
	struct lk_inode inode;
	bool exists;  /* it has a record */
	bool changed; /* the record is to be put */
	bool made;    /* ... for there was none: its size is what is found */
	struct lk_rows *inlines, *extents, *targets, *xattrs;
};
int lk_content_check(struct lk_check *c, struct lk_file *f);
int lk_extents_check(struct lk_check *c, struct lk_file *f, int64_t *end_out, int64_t *blocks_out);
/* The bytes of a compressed content of the inline table: how many they are; LINKFS_ECORRUPT. LINKFS_ENOMEM. */
int lk_packed_size(struct lk_check *c, struct lk_bytes stored, int64_t *size_out);
int lk_xattrs_check(struct lk_check *c, struct lk_file *f);
/* A symlink without a text goes: f->exists is false then. */
int lk_target_check(struct lk_check *c, struct lk_file *f);
/* The rows of an inode that has no record stay: their blocks are named all the same. */
int lk_rows_of_nothing(struct lk_check *c, struct lk_file *f);

/* A mark of an inode's record is taken away. */
int lk_mark_erase(struct lk_check *c, int64_t ino, int64_t flag);

/* lostfound.c */
/* Gives an inode without a name one in /lost+found. */
int lk_reconnect(struct lk_check *c, int64_t ino);
/* Puts a name for ino into dir: name itself, or one made from it that is free. */
int lk_name_add(struct lk_check *c, int64_t dir, const void *name, size_t len, int64_t ino, uint32_t type);

#endif
