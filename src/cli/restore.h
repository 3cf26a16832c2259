/*
 * restore.h - linkfs restore: a tree of a volume out to the host, exactly, and safely where others have rights in the destination (row E5).
 *
 * What is guaranteed, against whoever is not root and not the user that restores, whatever they do in the destination meanwhile:
 * - No symlink of the destination is ever followed, and no mount below it crossed unless asked: names are opened one at a time by openat2
 *   with RESOLVE_BENEATH and RESOLVE_NO_SYMLINKS, relative to a directory held open; longer ways start at the destination.
 * - No inode that was there before is changed, but for directories below the destination, which get their attributes. A file that was there
 *   is replaced by a new one: it may be a hard link to something outside.
 * - What is new is made with O_EXCL in a directory that is ours alone (0700): one made in this run, or the workshop, a private one made for
 *   the purpose in a directory that was there before ("shared"). It gets content, owner, mode and times through descriptors, is moved to its
 *   name, and then is whole: under no name stands half a file.
 * - A directory stays ours and 0700 until all in it is done. Nobody else can enter it or move it to another directory (that takes write
 *   permission on the directory itself), so what is below it needs no further proof.
 * - A shared directory can be moved away by those who have rights in it, the destination too. Before and after each change it is walked to anew from the
 *   destination, and what was put into one that is not there any more is taken out again. Who moves a directory away in the
 *   instant between gets no more than who moves it away later: an entry that is finished, or one that is closed to them.
 * - Hard links are made to files made in this run, told by device, inode and time of birth and linked through a descriptor.
 * Root, and processes of the restoring user, can do what they like.
 */
#ifndef CLI_RESTORE_H
#define CLI_RESTORE_H

#include "copy.h"

#include <linkfs_diff.h>

/* Tells a file of the host from every other, also from a later one with its number. */
struct restore_id {
	uint64_t dev, ino;
	int64_t born_ns; /* 0 where the file system does not keep it */
};

/* A directory of the destination, held open. */
struct restore_dir {
	int fd;
	int shop; /* the workshop; -1: none yet */
	bool shared;
	char shop_name[32];
	struct restore_id id;
};

struct restore_frame {
	struct copy_dir from;
	struct copy_stat stat;
	struct restore_dir to;
	char *name; /* in the frame below */
	struct cli_list list;
	size_t next, display_len, below_len;
	bool settles; /* gets its attributes when it is done */
	bool absent;  /* of a dry run: the destination has no such directory */
	bool opened;  /* an ordinary user's own that may not be written: it may for now, and was `mode` */
	uint32_t mode;
};

enum restore_how { RESTORE_NEW, RESTORE_OVERWRITE, RESTORE_MERGE };

/* A file of the volume with several names, and what became of them so far. */
struct restore_group {
	struct restore_id id;
	bool made; /* in this run: names are linked to paths[0]; else all of paths were there and are as they should be */
	char **paths; /* below the destination */
	size_t len, cap;
};

struct restore_counts {
	uint64_t restored, replaced, unchanged, kept, removed, failed;
	uint64_t files, dirs, symlinks, others, links, bytes;
	uint64_t no_owner, no_mode, no_xattrs, no_devices, differ;
};

struct restore {
	struct cli *cli;
	struct copy copy; /* for the source's side */
	const struct cli_path *source, *dest;
	enum restore_how how;
	bool removes; /* --delete */
	bool dry, verify, verbose, quiet, as_json, mounts;
	bool privileged; /* may set owners */
	bool stopped;    /* nothing more can be done */
	/* Where the destination has its name, when it was there and others may have rights in that directory; -1: no need to look. */
	int above;
	char *above_name;
	struct restore_frame *frames;
	size_t len, cap;
	char *display,
		*below; /* paths of the entry at hand: the source's for messages, the copy's below the destination */
	size_t display_len, display_cap, below_len, below_cap;
	struct copy_map *map; /* from a source's inode to the index of its group */
	struct restore_group *groups;
	size_t ngroups, groups_cap;
	struct copy_map *there; /* from the inode of a file of the destination with several names to the source's */
	struct restore_counts done;
	size_t below_skip;                                /* of below, what dest says already */
	uint64_t total_bytes, total_entries, seen, moved; /* for the progress; moved: bytes read */
	struct cli_progress progress;
	struct cli_json json;
	char *buf; /* RESTORE_BUF bytes */
};
/* Exit statuses beside the common ones. */
#define RESTORE_EXIT_DIFFERS 1
#define RESTORE_EXIT_TROUBLE 2
#define RESTORE_EXIT_MISSED 3
#define RESTORE_BUF ((size_t)LINKFS_XATTR_SIZE_MAX * 8)

/* ---- restore.c ---- */
/* Copies or compares source to dest. Messages are given, counts are in *r. */
void restore_run(struct restore *r);

/* ---- restore_start.c ---- */
/* The first frame. COPY_TOLD when there is nothing to do. */
int restore_start(struct restore *r);
void restore_close_frame(struct restore_frame *frame);

/* ---- restore_dest.c: the destination's side; all return 0 or an error ---- */
#define RESTORE_MODE_BITS 07777u
/* One name in an open directory, or a way below it. */
int restore_openat(const struct restore *r, int dir, const char *path, int flags, int *fd_out);
/* Of any length. */
int restore_walk(const struct restore *r, const char *path, size_t len, int *fd_out);
int restore_stat_fd(int fd, struct copy_stat *out, struct restore_id *id_out);
bool restore_same(const struct restore_id *a, const struct restore_id *b);
/* What stands at a name, held by an O_PATH descriptor. *out is filled. LINKFS_ENOENT. */
int restore_look(const struct restore *r, const struct restore_dir *dir, const char *name, int *fd_out,
		 struct copy_stat *out);
/* Whether what is held open as the directory at hand still lies below the destination. LINKFS_ESTALE when not. */
int restore_beneath(const struct restore *r);
bool restore_is_ours(int fd);
/* Where the entries of dir are made. */
int restore_shop(const struct restore *r, struct restore_dir *dir, int *fd_out);
int restore_close_shop(struct restore_dir *dir);
void restore_close(struct restore_dir *dir);
/* A new directory, ours alone, under a free name or in the place of a file. */
int restore_make_dir(const struct restore *r, struct restore_dir *dir, const char *name, bool replace,
		     struct restore_dir *out);
int restore_enter(const struct restore *r, const struct restore_dir *dir, const char *name, struct restore_dir *out);
/* Moves what was made as temp in the shop to its name, and makes sure of where that is. */
int restore_place(const struct restore *r, struct restore_dir *dir, const char *temp, const char *name, bool replace);
/* Another name for what fd holds. */
int restore_link(const struct restore *r, struct restore_dir *dir, int fd, const char *name, bool replace);
/* A file, or a tree. */
int restore_remove(struct restore *r, const struct restore_dir *dir, const char *name);
void restore_names_sort(struct cli_list *list);
bool restore_names_have(const struct cli_list *sorted, const struct cli_entry *entry);

/* ---- restore_content.c ---- */
/* Data where the volume has data, holes where it has holes. */
int restore_content(struct restore *r, struct copy_file *in, uint64_t size, int fd);
/* What of an entry that is there differs from the volume's: bits of LINKFS_DIFF_...; fd is its O_PATH descriptor. strict: also what
 * this user could not set. */
int restore_compare(struct restore *r, const struct copy_dir *from, const char *from_name, const struct copy_stat *st,
		    int fd, const struct copy_stat *there, bool strict, uint32_t *what_out);

/* ---- restore_entry.c ---- */
/* Everything that is no directory. */
int restore_file(struct restore *r, struct restore_frame *frame, const char *from_name, const struct copy_stat *st,
		 const char *name);

/* ---- restore_meta.c ---- */
/* Owner, extended attributes, mode, times of what fd holds; path: it is an O_PATH descriptor. clean: attributes that the source
 * does not have are removed. What this user may not set is counted. */
int restore_attributes(struct restore *r, const struct copy_dir *from, const struct copy_stat *st, int fd, bool path,
		       bool clean);
int restore_compare_meta(struct restore *r, const struct copy_dir *from, const struct copy_stat *st, int fd,
			 const struct copy_stat *there, bool strict, uint32_t *what_out);

/* ---- restore_verify.c ---- */
/* Compares one entry and tells what differs. Returns whether it is a directory in both, to be gone into. */
bool restore_verify_entry(struct restore *r, struct restore_frame *frame, const char *from_name,
			  const struct copy_stat *st, const char *name);
/* The destination itself. */
void restore_verify_top(struct restore *r, struct restore_frame *frame);
/* What is in the directory at hand and not in the volume. */
void restore_verify_rest(struct restore *r, struct restore_frame *frame);

/* ---- restore_tell.c ---- */
void restore_progress(struct restore *r);
void restore_progress_end(struct restore *r);
/* Where the entry at hand goes: the destination as it was given, and the path below it. Allocated. */
char *restore_dest_path(const struct restore *r, const char *below);
/* Tells and counts that the entry at hand failed; damage is told of the source. COPY_TOLD: without a message. */
void restore_fail(struct restore *r, const char *what, int error);
/* Of a path below the destination, with --verbose and in a dry run: "replaced". */
void restore_tell(struct restore *r, const char *word, const char *below);
void restore_begin(struct restore *r);
void restore_end(struct restore *r);
/* Whether an error is the destination's as a whole: what follows would fail too. */
bool restore_is_final(int error);

#endif
