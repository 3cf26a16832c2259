/*
 * copy.h - the copy engine behind cp, import and export. A side is a volume or the host; both have the same small set of
 * operations (copy_side.c), all relative to an open directory, none of which follows a symlink unless told to: so
 * what appears in the destination leads nowhere else; directories that are moved away are followed (restore.h does better). Directories of the engine's own
 * mount are never opened by the process that serves it.
 */
#ifndef CLI_COPY_H
#define CLI_COPY_H

#include "cli.h"
#include "progress.h"

struct copy_dir {
	struct linkfs_volume *volume; /* NULL: the host */
	uint64_t ino;                 /* the place's node id, where the directory has several paths */
	struct cli_place place;
	int fd;
};

struct copy_stat {
	struct linkfs_stat st;
	uint64_t dev;
	bool born; /* linkfs backup: st.ino tells it from later files with the same number too */
};

struct copy_file {
	struct linkfs_volume *volume;
	struct linkfs_file *file;
	uint64_t ino;
	int fd;
};

enum copy_existing {
	COPY_OVERWRITE, /* cp: into the file that is there */
	COPY_REPLACE,   /* import, export: a new file in its place */
	COPY_SKIP,      /* -n */
	COPY_UPDATE,    /* -u: only what is older */
};

struct copy_map;

struct copy {
	struct cli *cli;
	bool recursive, follow, follow_args, force, verbose, one_fs, hard_link;
	bool keep_mode, keep_owner, keep_times, keep_links, keep_xattr,
		keep_type; /* keep_type: symlinks, devices as such */
	enum copy_existing existing;
	const char *const *excludes;
	size_t nexcludes;
	struct copy_map *map;
	char *buf; /* COPY_BUF bytes, of which attributes take all */
	/* host identities that must not be entered */
	uint64_t *own_devs;
	size_t nown_devs;
	uint64_t volume_dev, volume_ino; /* the directory of the destination's volume */
	/* what was done */
	uint64_t files, dirs, links, symlinks, others, bytes, errors, skipped;
	struct cli_progress progress; /* begun by who shows it */
};
#define COPY_BUF 262144u
#define COPY_TOLD 1 /* instead of an error: the message was given */

/* A path of keep bytes gets another name behind it. */
int copy_set_path(char **path, size_t *len, size_t *cap, size_t keep, const char *name);

/* ---- copy_host.c ---- */
struct statx;
struct statx_timestamp;
int64_t copy_host_ns(const struct statx_timestamp *t);
/* What statx(2) with STATX_BASIC_STATS says. */
void copy_host_stat(const struct statx *sx, struct copy_stat *out);
/* The names in an open directory, without "." and "..", in no order; the caller's by cli_list_done(). */
int copy_host_list(int dir, struct cli_list *out);

/* ---- copy_side.c ---- */
int copy_stat(struct copy *copy, const struct copy_dir *dir, const char *name, bool follow, struct copy_stat *out);
int copy_list(struct copy *copy, const struct copy_dir *dir, struct cli_list *out);
int copy_open_dir(struct copy *copy, const struct copy_dir *dir, const char *name, bool follow, struct copy_dir *out);
/* Directory ino of a volume, to which path leads from at. */
void copy_place(struct copy *copy, struct linkfs_volume *volume, uint64_t at, const char *path, uint64_t ino,
		struct copy_dir *out);
void copy_close_dir(struct copy_dir *dir);
int copy_readlink(struct copy *copy, const struct copy_dir *dir, const char *name, const struct copy_stat *st,
		  char **text_out);
int copy_mkdir(struct copy *copy, const struct copy_dir *dir, const char *name, uint32_t mode);
/* FIFOs, sockets, devices. In a volume *ino_out is what was made: the name may be another's at once. */
int copy_make(struct copy *copy, const struct copy_dir *dir, const char *name, const struct linkfs_stat *st,
	      uint64_t *ino_out);
int copy_symlink(struct copy *copy, const struct copy_dir *dir, const char *name, const char *text, uint64_t *ino_out);
int copy_unlink(struct copy *copy, const struct copy_dir *dir, const char *name);
/* The name of a file that failed half, unless others have put theirs there meanwhile. */
void copy_drop_half(struct copy *copy, const struct copy_dir *dir, const char *name, const struct copy_file *file);
int copy_open_read(struct copy *copy, const struct copy_dir *dir, const char *name, bool follow, struct copy_file *out);
/* A new file; or the one that is there, cut to nothing, through a symlink or not. */
enum copy_open { COPY_NEW, COPY_THERE, COPY_THERE_FOLLOW };
int copy_open_write(struct copy *copy, const struct copy_dir *dir, const char *name, uint32_t mode, enum copy_open how,
		    struct copy_file *out);
void copy_close(struct copy_file *file);
int copy_read(struct copy_file *file, uint64_t offset, void *buf, size_t size, size_t *done_out);
int copy_write(struct copy *copy, struct copy_file *file, uint64_t offset, const void *buf, size_t size);
int copy_seek(struct copy_file *file, uint64_t offset, int whence, uint64_t *out);
/* Whether a file of this size has holes. How many blocks it has does not say so: those of attributes count, too. */
bool copy_has_holes(struct copy_file *file, uint64_t size);
/* The directory and name that an operand stands for; "." for a directory as a whole. name_out is allocated. */
int copy_operand(struct copy *copy, const struct cli_path *path, struct copy_dir *dir_out, char **name_out);

/* ---- copy_meta.c ---- */
/* Content of an open file; size is what the source's attributes say. */
int copy_content(struct copy *copy, struct copy_file *from, const struct copy_stat *st, struct copy_file *to);
/* What of the source's attributes is to be kept, onto what was made. file (may be NULL) is the destination's when open.
 * merged says that the destination's directory was there before (it may have given ACLs); exact, for volumes, that the destination was, and is to
 * have nothing more than the source: what is equal already is not set again. */
struct copy_meta {
	const struct copy_dir *from_dir, *to_dir;
	const char *from_name, *to_name;
	const struct copy_stat *from;
	const struct copy_file *from_file, *to_file;
	uint64_t to_ino; /* in a volume */
	bool made, merged, exact;
	bool *changed; /* may be NULL: set when something was set, in a volume */
};
int copy_attributes(struct copy *copy, const struct copy_meta *meta);
/* An open directory that was made gives up what the one above handed on to it. */
void copy_drop_acls(struct copy *copy, const struct copy_dir *dir);
/* What copy_attributes() gives to a new file of a volume, when one call can do it; false: the host's file, open as fd, has extended attributes or
 * setuid bits. Uses copy->buf. */
bool copy_new_attributes(struct copy *copy, const struct copy_stat *st, int fd, struct linkfs_setattr *set_out);
/* Extended attributes that are not copied: labels that a security module of the host keeps are its own business, and so are those of others'
 * namespaces. */
bool copy_xattr_is_foreign(const char *name, bool root);

/* ---- copy.c ---- */
/* Copies sources as targets says. Messages are given; the summary is in *copy. */
void copy_run(struct copy *copy, const struct cli_targets *targets);
/* Fills own_devs, which the caller frees. */
void copy_find_own_mounts(struct copy *copy);

/* Shows on a terminal, from time to time, how far it is; display is the path of what comes next. */
void copy_progress(struct copy *copy, const char *display);
/* Clears the line of progress before something else is said. */
void copy_progress_end(struct copy *copy);
/* Whether name, at path below the directory that the copy goes to, is not to be copied. */
bool copy_is_excluded(const struct copy *copy, const char *name, const char *path);

/* ---- copy_map.c: where the names of files with several went ---- */
struct copy_place {
	uint64_t ino, dev; /* the destination's */
	char *path;        /* host: below the destination's root */
};
struct copy_map *copy_map_new(void);
void copy_map_free(struct copy_map *map);
const struct copy_place *copy_map_find(const struct copy_map *map, uint64_t dev, uint64_t ino);
/* Takes path over (may be NULL). */
int copy_map_add(struct copy_map *map, uint64_t dev, uint64_t ino, const struct copy_place *place);

#endif
