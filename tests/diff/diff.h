/*
 * diff.h - the differential runner: the same operations on ext4 and on linkfs, whose answers and trees must agree.
 * An operation is a line of text with fixed arguments (op.c), so that any subset of a sequence can be replayed. Each
 * side runs in a process of its own (worker.c) with a back end: POSIX calls in a chroot (posix_*.c) for ext4 and for
 * the mount, or the library (lib_*.c). Answers are canonical texts. tree.c lists a whole tree through either back end,
 * run.c compares and shrinks, gen*.c draw operations, main.c has the options. docs/TESTING.md tells how to use it.
 */
#ifndef LK_DIFF_H
#define LK_DIFF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>

/* ---- text ------------------------------------------------------------------------------------------------ */

struct text {
	char *bytes; /* NUL-terminated when not NULL */
	size_t len, room;
};
void lk_text_clear(struct text *text);
void lk_text_free(struct text *text);
void lk_text_add(struct text *text, const char *format, ...) __attribute__((format(printf, 2, 3), nonnull(2)));
/* Bytes outside printable ASCII, and '%', '{', '}' and space, as %XX. */
void lk_text_escape(struct text *text, const char *bytes, size_t len);
const char *lk_errno_name(int error);
uint64_t lk_hash(uint64_t hash, const void *bytes, size_t len);
_Noreturn void lk_die(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* ---- operations ------------------------------------------------------------------------------------------ */

enum op_kind {
	OP_OPEN,
	OP_CLOSE,
	OP_PREAD,
	OP_PWRITE,
	OP_READ,
	OP_WRITE,
	OP_LSEEK,
	OP_TRUNCATE,
	OP_FTRUNCATE,
	OP_FALLOCATE,
	OP_SEEK,
	OP_COPY,
	OP_MMAP,
	OP_FLOCK,
	OP_LOCK,
	OP_IOCTL,
	OP_FSYNC,
	OP_SYNC,
	OP_MKDIR,
	OP_RMDIR,
	OP_MKNOD,
	OP_SYMLINK,
	OP_READLINK,
	OP_LINK,
	OP_LINKFD,
	OP_UNLINK,
	OP_RENAME,
	OP_SAME,
	OP_STAT,
	OP_FSTAT,
	OP_CHMOD,
	OP_FCHMOD,
	OP_CHOWN,
	OP_FCHOWN,
	OP_UTIMES,
	OP_FUTIMES,
	OP_ACCESS,
	OP_SETXATTR,
	OP_GETXATTR,
	OP_LISTXATTR,
	OP_REMOVEXATTR,
	OP_FSETXATTR,
	OP_FGETXATTR,
	OP_LIST,
	OP_DIRWALK,
	OP_OPENDIR,
	OP_CLOSEDIR,
	OP_CHDIR,
	OP_GETCWD,
	OP_UMASK,
	OP_CLONE,
	OP_UNSHARE,
	OP_KEEP,
	OP_DEDUPE,
	OP_MERGE,
	OP_BIND,
	OP_UNBIND,
	OP_LINKDIR,
	OP_TRACK,
	OP_FORGET,
	OP_RESTART,
	OP_COUNT
};

#define OP_PATTERN 120
#define OP_NUMBERS 6
#define OP_SLOTS 12    /* open files */
#define OP_DIR_SLOTS 4 /* open directories */

/* Paths are patterns: %XX is a byte, {text*N} is text N times. What n[] means stands at each row of op.c. */
struct op {
	enum op_kind kind;
	int user;  /* index of lk_users */
	int at;    /* directory slot that relative paths start from; -1 the working directory */
	int probe; /* also tell which times of the objects around it changed */
	int64_t n[OP_NUMBERS];
	char p[OP_PATTERN], q[OP_PATTERN];
};

#define OP_ON_LIB 1u /* exists in the library */
#define OP_ON_MOUNT 2u
#define OP_ON_ROOT 4u       /* as root only: its reference needs that */
#define OP_ON_NAMESPACE 16u /* where only one side has binds, which the kernel makes in the whole namespace */
#define OP_LINKS 8u         /* of linkfs alone: the reference does it with calls of its own */
struct op_row {
	const char *name;
	unsigned on, numbers; /* numbers: how many of n[] it has */
	unsigned paths;
	int slot; /* index in n[] of the file slot it works on, or -1 */
};
/* Of a rename: when a directory moved, to the root after it, and no directory is open. It may have taken places of binds along, which the kernel does
 * not mount where it went (posix_binds.c). Of a rmdir: the same, for the reference may have mounted all anew (posix_dirs.c). */
#define OP_RENAME_HOME 16
const struct op_row *lk_op_row(enum op_kind kind);
/* Whether it can run in a run of these. */
bool lk_op_fits(enum op_kind kind, unsigned on);
void lk_op_print(const struct op *op, struct text *out);
/* False when the line is not an operation. */
bool lk_op_parse(const char *line, struct op *out);
/* Expands a pattern; at most room - 1 bytes and a NUL. Returns the length. */
size_t lk_pattern_expand(const char *pattern, char *out, size_t room);

/* What generated content is made of: the byte at an offset of stream seed. */
void lk_fill(unsigned char *buf, size_t len, int64_t seed, int64_t offset);
/* A POSIX ACL in the kernel's xattr format, valid or damaged by seed. Returns its length. */
size_t lk_acl_blob(int64_t seed, unsigned char *buf, size_t room);
/* The value of a setxattr operation: an ACL for the two ACL names, else filled bytes. */
size_t lk_xattr_value(const struct op *op, const char *name, unsigned char *buf, size_t room);
#define LK_XATTR_ROOM 70000u
#define LK_LARGEST INT64_C(17592186040320) /* the largest file of ext4 with blocks of 4 KiB, and of linkfs */

struct user {
	uint32_t uid, gid, groups[3];
	unsigned ngroups;
};
extern const struct user lk_users[];
extern const unsigned lk_user_count;

/* ---- answers ----------------------------------------------------------------------------------------------- */

/* "ok ..." or an errno's name. Begins with '~' when the reference says that this answer cannot be compared (the table
 * of known differences in run.c says why); both sides then leave the same state. Begins with '!' when more than one thing is wrong, of
 * which any may be told; "refused" is what a command of linkfs says that has no errno. Both agree with every error. */
struct answer_stat {
	mode_t mode;
	uint64_t nlink, size, rdev_major, rdev_minor, ino;
	uint32_t uid, gid;
	int64_t sec[3]; /* atime, mtime, ctime */
	long nsec[3];
	bool keeps; /* its links (D7); not looked at on a mount */
};
void lk_answer_error(struct text *out, int error); /* a positive errno */
struct side;
void lk_answer_stat(struct text *out, const struct answer_stat *st, const struct side *side);
/* Sorts by bytes. */
struct name_list {
	char **names;
	unsigned *types;
	uint64_t *inos;
	size_t count, room;
};
void lk_names_add(struct name_list *list, const char *name, size_t len, unsigned type, uint64_t ino);
void lk_names_sort(struct name_list *list);
void lk_names_free(struct name_list *list);
void lk_answer_names(struct text *out, const struct name_list *list);
void lk_answer_bytes(struct text *out, const void *bytes, size_t len);

/* ---- back ends --------------------------------------------------------------------------------------------- */

/* Inodes of the reference whose holes depend on how it copies (see known differences); outlives the workers of a run. */
#define LK_TAINTS 512
#define LK_BINDS 64
#define LK_HANDLE_ROOM 144
struct bind_row {
	bool is_name; /* of a directory that has several; otherwise a bind */
	uint64_t dir, source;
	char name[256];
	char dir_handle[LK_HANDLE_ROOM], source_handle[LK_HANDLE_ROOM]; /* of the reference: struct file_handle */
};
#define LK_TRACKS 512
struct track_name {
	uint64_t dir; /* 0: none */
	char name[256];
};
struct track_row {
	uint64_t link, target;
	struct track_name used, other; /* of the target's names, of which there are two at most */
};
struct taints {
	uint64_t inos[LK_TAINTS];
	size_t count;
	struct bind_row binds[LK_BINDS]; /* that the reference has, and the names of directories but for one of each */
	size_t bind_count;
	struct track_row tracks[LK_TRACKS];
	size_t track_count;
};

struct side {
	const char *dir;  /* posix: becomes the root; lib: the volume */
	bool library;     /* which back end */
	bool reference;   /* this side decides what cannot be compared */
	bool against_lib; /* the other side, or this one, is the library */
	bool links;       /* what only linkfs knows is in the run */
	bool commands;    /* this side is a mount, and what only linkfs knows is done by its commands */
	bool fresh;       /* the tree is to be made */
	bool many_users;  /* credentials are switched for each operation */
	bool atime;       /* compare access times */
	const char *bare; /* the reference's file system, mounted where no binds are seen */
	struct taints *taints;
	uint64_t corrupt; /* test of the runner itself: every so manieth answer is wrong */
};

struct back {
	void *(*start)(const struct side *side);
	void (*run)(void *state, const struct op *op, struct text *out);
	void (*tree)(void *state, struct text *out);
	void (*stop)(void *state);
};
extern const struct back lk_back_posix, lk_back_lib;

/* What tree.c needs from a back end. A node is a number: a descriptor or an inode number. */
struct tree_view {
	void *state;
	const struct side *side;
	int (*open_root)(void *state, int64_t *out);
	int (*open_child)(void *state, int64_t dir, const char *name, int64_t *out);
	void (*close)(void *state, int64_t node);
	int (*stat)(void *state, int64_t node, struct answer_stat *out);
	int (*list)(void *state, int64_t node, struct name_list *out);
	/* Adds hash of content (all-zero blocks left out) or of a symlink's text. */
	int (*content)(void *state, int64_t dir, const char *name, int64_t node, mode_t mode, uint64_t *hash);
	int (*xattrs)(void *state, int64_t dir, const char *name, int64_t node, uint64_t *hash, unsigned *count);
};
void lk_tree_list(const struct tree_view *view, struct text *out);
/* The hash of content seen so far with a piece at offset: independent of how holes are represented. */
uint64_t lk_tree_piece(uint64_t hash, uint64_t offset, const unsigned char *bytes, size_t len);

/* ---- workers ----------------------------------------------------------------------------------------------- */

struct worker;
struct worker *lk_worker_start(const struct side *side);
/* Sends operations; the answers come with lk_worker_answer(), one each, in order. False when the worker is gone. */
bool lk_worker_send(struct worker *worker, const struct op *ops, size_t count);
bool lk_worker_tree(struct worker *worker);
/* False with *out telling what happened (killed by a signal, no answer in time). */
bool lk_worker_answer(struct worker *worker, struct text *out);
/* False when it did not end in order: it crashed while closing, leaked, or was stuck. */
bool lk_worker_stop(struct worker *worker);

/* ---- generator --------------------------------------------------------------------------------------------- */

struct gen;
struct gen *lk_gen_new(uint64_t seed, unsigned on, bool many_users);
void lk_gen_next(struct gen *gen, struct op *out);
/* What the reference answered: paths that exist are drawn more often. */
void lk_gen_learn(struct gen *gen, const struct op *op, const char *answer);
void lk_gen_free(struct gen *gen);

/* ---- runs -------------------------------------------------------------------------------------------------- */

struct run_config {
	struct side sides[2];                    /* [0] is the reference; dir is set for each run */
	const char *reference_dir, *subject_dir; /* where each run makes its directories */
	unsigned on;
	size_t tree_every;
	bool verbose; /* print every operation and its answer */
	/* Differences already reported in this run of the program: where both sides refuse, their state is still equal and
	 * the sequence goes on. */
	char (*reported)[160];
	size_t reported_count;
};
struct run_result {
	bool differs;
	size_t index; /* of the operation; the count of operations when only the trees differ */
	struct text answers[2];
	char signature[160];
	size_t done;
};
struct op_list {
	struct op *ops;
	size_t count, room;
};
void lk_ops_add(struct op_list *list, const struct op *op);
void lk_run_generated(const struct run_config *config, uint64_t seed, size_t count, struct op_list *ops,
		      struct run_result *result);
void lk_run_replay(const struct run_config *config, const struct op_list *ops, struct run_result *result);
void lk_run_shrink(const struct run_config *config, struct op_list *ops, struct run_result *result, int seconds);
void lk_run_report(const struct op_list *ops, const struct run_result *result);
void lk_result_free(struct run_result *result);

#define LK_SCRATCH ".scratch" /* after the name of a side's directory: where it makes what it needs (posix_copy.c) */
/* Unmounts all that is mounted below a directory. */
void lk_unmount_below(const char *dir);
/* Removes a tree of any depth. */
void lk_remove_tree(int dir_fd, const char *name);

#endif
