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
	int scratch_fd; /* where the reference makes what it then puts into its tree; -1 when it need not */
	int command_fd; /* the process that runs linkfs's commands; -1 when there is none */
	pid_t command_pid;
	int mount_fd;  /* of the mount that the tree is in */
	int bare_fd;   /* of a mount without binds; -1 when there is none */
	bool emulates; /* what only linkfs knows is done with system calls */
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
int lk_posix_read_content(int fd, uint64_t *hash);
int lk_posix_list(int fd, struct name_list *out);
/* "ok" or the errno's name. */
bool lk_posix_result(struct text *out, int64_t result);

/* posix_file.c: what is said of this file's holes is not compared any more. */
void lk_posix_taint(const struct posix *state, int fd);
/* posix.c: who runs the operation, and root again. */
void lk_posix_become(struct posix *state, enum op_kind kind, int user);
void lk_posix_become_root(struct posix *state, int user);
int lk_posix_open_parent(int at, const char *path);

/* posix_copy.c; descriptors are O_PATH. */
#define LK_COPY "copy" /* in scratch */
bool lk_posix_keeps(const struct posix *state, int fd);
void lk_posix_set_keeps(const struct posix *state, int fd, bool on);
void lk_posix_copy_content(const struct posix *state, int from, int to);
uint64_t lk_posix_content_hash(const struct posix *state, int fd);
/* A copy of a file with all that belongs to it, by name LK_COPY in scratch; its descriptor. privileged: all xattrs. */
int lk_posix_copy(const struct posix *state, int from, bool privileged);
/* The same of a symlink, with another text. */
int lk_posix_copy_symlink(const struct posix *state, int from, const char *text);

/* posix_links.c: the operations that only linkfs knows, and those that it does otherwise than ext4. They are begun as root. False when it is none. */
bool lk_posix_is_links(const struct posix *state, enum op_kind kind);
void lk_posix_links(struct posix *state, const struct op *op, struct text *out);

/* posix_track.c: the texts of tracked links are those of the day. As root. */
void lk_posix_retrack(struct posix *state, enum op_kind kind);

/* posix_binds.c */
/* The same file in the mount without binds. As root. */
int lk_posix_bare(const struct posix *state, int fd);
/* Whether a bind stands there. */
bool lk_posix_is_place(int dir, const char *path);
/* Whether taking this name takes the last one of what a bind shows. */
bool lk_posix_loses_source(const struct posix *state, int dir, const char *path);
/* Whether a way leads from the one down to the other, binds and what they cover included. As root. */
bool lk_posix_lies_below(const struct posix *state, ino_t dir, ino_t above);
struct lk_bind_ends {
	int source, dir;
	const char *name;
	bool is_name; /* see struct bind_row */
};
/* It is noted, and the reference mounts it. */
void lk_posix_bound(struct posix *state, const struct lk_bind_ends *ends);
void lk_posix_unbound(struct posix *state, int dir, const char *name);
bool lk_posix_is_source(const struct posix *state, ino_t ino);
/* All of them, for a while. */
void lk_posix_unmount(const struct posix *state);
void lk_posix_mount(const struct posix *state);
/* Of a row, in the mount without binds. */
int lk_posix_bare_dir(const struct posix *state, const struct bind_row *row);
int lk_posix_bare_source(const struct posix *state, const struct bind_row *row);
/* The row's name is another now. */
void lk_posix_row_at(struct bind_row *row, int dir, const char *name);
/* After a rename or rmdir with OP_RENAME_HOME. */
void lk_posix_moved(struct posix *state, const struct op *op);
/* After a bind or unbind: to the root, and no directory is open. */
void lk_posix_go_home(struct posix *state);

/* posix_dirs.c: directories with several names. */
bool lk_posix_has_names(const struct posix *state);
/* Before anything of an operation, as root: the reference's directories come to where it can be done. */
void lk_posix_prepare(struct posix *state, const struct op *op);
/* The links of a directory by its further names. */
uint64_t lk_posix_more_names(const struct posix *state, ino_t ino);

/* command.c: a process that runs linkfs with the arguments it is sent. */
int lk_command_start(pid_t *pid_out);
/* Waits for its end: it stands in a namespace with the mount. */
void lk_command_stop(int fd, pid_t pid);
/* Its exit status. NULL ends the arguments. */
int lk_command(int fd, const char *const *args);
void lk_posix_command(struct posix *state, const struct op *op, struct text *out);

#endif
