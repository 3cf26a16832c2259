/*
 * tar.h - tar streams for import and export (E8). tar_read.c and tar_write.c turn a stream of bytes into entries and back, and
 * are the only files that know libarchive, as tar_gunzip.c is for zlib; tar_stream.c has the bytes' other ends; tar_import.c and tar_export.c
 * walk, with the sides of the copy engine (copy.h).
 */
#ifndef CLI_TAR_H
#define CLI_TAR_H

#include "copy.h"

/* Longest name of an entry, in bytes, with its end: two of them and the attributes are less than what libarchive takes for a header. What is
 * deeper was made to harm. */
#define TAR_PATH_MAX 262144u

struct tar_xattr {
	char *name; /* as in a volume; ACLs are system.posix_acl_access and _default in the kernel's format */
	char *value;
	size_t len;
};

/* What an archive says of a file. When read, all of it is good until the next entry is. */
struct tar_entry {
	const char *path;
	const char *hardlink;  /* the earlier name this is another one of, or NULL */
	const char *text;      /* of a symlink, or NULL */
	struct linkfs_stat st; /* mode, uid, gid, size, rdev, mtime_ns, atime_ns */
	bool has_mtime, has_atime;
	struct tar_xattr *xattrs;
	size_t nxattrs, xattrs_cap;
	char told[256]; /* read: what of the entry could not be understood, or "" */
};
/* Takes value over; LINKFS_ENOMEM. */
int tar_entry_xattr(struct tar_entry *entry, const char *name, char *value, size_t len);
void tar_entry_clear(struct tar_entry *entry);
#define TAR_ACL_ACCESS "system.posix_acl_access"
#define TAR_ACL_DEFAULT "system.posix_acl_default"

/* ---- tar_read.c ---- */

struct tar_reader;
/* Up to size bytes; 0 at the end; or an error. */
typedef ssize_t tar_source_fn(void *arg, char *buf, size_t size);
/* The first header is read. LINKFS_EINVAL: no archive; tar_reader_why() says more; a reader was made in any case but LINKFS_ENOMEM. */
int tar_reader_open(tar_source_fn *source, void *arg, struct tar_reader **out);
void tar_reader_close(struct tar_reader *reader);
const char *tar_reader_why(const struct tar_reader *reader);
/* 1 with an entry, 0 at the end of the archive, or an error: the rest cannot be read. */
int tar_reader_next(struct tar_reader *reader, struct tar_entry **out);
/* 1 with a piece of the entry's content, good until the next call; 0 at its end; or an error. Between pieces are holes. */
int tar_reader_data(struct tar_reader *reader, const void **buf_out, size_t *len_out, uint64_t *offset_out);
/* After the end: whether it was marked as such, as it is unless something was cut off. */
bool tar_reader_ended(const struct tar_reader *reader);

/* After the end: reads what is left of a compressed stream, of which the checksum comes last. An error: what was read may be wrong. */
int tar_reader_finish(struct tar_reader *reader);

/* ---- tar_gunzip.c ---- */

/* What comes from source, unpacked where gzip packed it. NULL: no memory. */
struct tar_gunzip *tar_gunzip_new(tar_source_fn *source, void *arg);
void tar_gunzip_free(struct tar_gunzip *g);
/* As a source. LINKFS_EINVAL: damaged, tar_gunzip_why() says how. */
ssize_t tar_gunzip_read(struct tar_gunzip *g, char *buf, size_t size);
/* Whether it is packed by gzip, once something was read. */
bool tar_gunzip_found(const struct tar_gunzip *g);
/* NULL: nothing was found damaged. */
const char *tar_gunzip_why(const struct tar_gunzip *g);

/* ---- tar_write.c ---- */

enum tar_filter { TAR_PLAIN, TAR_GZIP, TAR_BZIP2, TAR_XZ, TAR_ZSTD };
struct tar_writer;
/* All of it, or an error. */
typedef int tar_sink_fn(void *arg, const char *buf, size_t size);
/* LINKFS_EOPNOTSUPP: this libarchive does not have the filter. */
int tar_writer_open(enum tar_filter filter, tar_sink_fn *sink, void *arg, struct tar_writer **out);
/* Frees it; what was not finished stays so. */
void tar_writer_close(struct tar_writer *writer);
const char *tar_writer_why(const struct tar_writer *writer);

struct tar_segment {
	uint64_t offset, len;
};
/* An entry whose content follows, for regular files that are no hard links: its size is st.size, data lies in nsegments
 * segments (NULL: all of it). LINKFS_EINVAL: the entry cannot be written and was left out; other errors end the archive. */
int tar_writer_entry(struct tar_writer *writer, const struct tar_entry *entry, const struct tar_segment *segments,
		     size_t nsegments);
/* The entry's next bytes; NULL for zeros. Holes are to be written, too, and cost nothing. */
int tar_writer_data(struct tar_writer *writer, const char *buf, uint64_t len);
/* The end mark, and all that was held back. */
int tar_writer_finish(struct tar_writer *writer);

/* ---- tar_pax.c ---- */

/* Mends the header of an entry of that name: all the bytes that libarchive wrote for it. *bytes is allocated, and may be another afterwards.
 * LINKFS_EIO: it is no header. */
int tar_pax_mend(char **bytes, size_t *len, const char *path);

/* ---- tar_library.c ---- */

/* Before anything else here: loads libarchive. False: it cannot be had, which is told. Not for several threads at once. */
bool tar_can(struct copy *copy);

/* ---- tar_stream.c: the archive as bytes ---- */

struct tar_stream;
/* path NULL: standard input, or output. Says what is wrong and returns COPY_TOLD. */
int tar_stream_read_open(struct copy *copy, const struct cli_path *path, struct tar_stream **out);
tar_source_fn tar_stream_read;
int tar_stream_write_open(struct copy *copy, const struct cli_path *path, struct tar_stream **out);
tar_sink_fn tar_stream_write;
/* Whether the inode of a volume is the file that is written, or the one whose name it gets. */
bool tar_stream_is_own(const struct tar_stream *stream, const struct linkfs_volume *volume, uint64_t ino);
/* A file gets its name when it is whole. */
int tar_stream_finish(struct tar_stream *stream);
/* Frees it; what was not finished has no name. */
void tar_stream_close(struct tar_stream *stream);

/* ---- cmd_tar.c: import and export with --tar ---- */

/* These return a status when the command line is wrong; else what was done is in *copy. */
int tar_run_import(struct copy *copy, const struct cli_args *args);
/* filter: -1 for what the archive's name says. */
int tar_run_export(struct copy *copy, const struct cli_args *args, bool content_only, bool json, int filter);
/* Whether an import reads standard input without naming it. */
bool tar_reads_input(const struct cli_args *args, int option_tar);

/* ---- tar_import.c, tar_export.c ---- */

/* Messages are given; what was done is in *copy. */
void tar_import(struct copy *copy, const struct cli_path *archive, const struct cli_path *dest);
/* content_only: a directory's content, without its name. */
void tar_export(struct copy *copy, const struct cli_path *sources, size_t nsources, const struct cli_path *archive,
		bool content_only, enum tar_filter filter);

/* ---- tar_attrs.c ---- */

/* Tells and counts what is wrong with an entry. */
void tar_refuse(struct copy *copy, const char *path, const char *format, ...) CLI_PRINTF(3, 4);
/* Whether after this error nothing that follows could go better. */
bool tar_is_end(int error);

/* Directories get mode and times when nothing comes into them any more: at the end. */
struct tar_late {
	uint64_t ino;
	int64_t mtime_ns, atime_ns;
	uint32_t mode, valid;
	char *acl; /* mostly NULL */
	size_t acl_len;
};
struct tar_attrs {
	struct copy *copy;
	struct linkfs_volume *volume;
	struct tar_late *late;
	size_t nlate, late_cap;
	bool gave_acl; /* a directory has got a default ACL: those that were walked before may be it */
};
/* Of a file that was just made; gives_acl says that its directory has a default ACL. Attributes that cannot be set are told; an error is one that
 * ends the import, or of owner, mode or times. */
int tar_attrs_set(struct tar_attrs *at, const struct tar_entry *entry, uint64_t ino, bool gives_acl);
/* Of a directory; drop: ACLs that it may have go, but for the archive's. */
int tar_attrs_dir(struct tar_attrs *at, const struct tar_entry *entry, uint64_t ino, bool drop);
/* Gives directories what was held back, once. */
void tar_attrs_finish(struct tar_attrs *at);

/* ---- tar_map.c ---- */

struct tar_map {
	struct tar_segment *segments;
	size_t len, cap;
};
/* Where the data of a file lies, when it has holes. */
int tar_map_file(struct copy *copy, struct copy_file *file, uint64_t size, struct tar_map *map, bool *sparse_out);

/* ---- tar_moment.c: one moment of a volume that others change ---- */

struct tar_moment {
	struct copy *copy;
	struct linkfs_volume *volume; /* NULL: none was taken */
	uint64_t root;
	char snapshot[LINKFS_NAME_MAX + 1];
};
/* When dir is in the live tree of a volume that this process serves for others, too: takes a snapshot, once. Who may not, or
 * cannot, reads what is there. */
void tar_moment_take(struct tar_moment *moment, const struct copy_dir *dir);
/* The inode in the live tree, of one that was read at that moment or is live; others as they are. */
uint64_t tar_moment_ino(const struct tar_moment *moment, const struct linkfs_volume *volume, uint64_t ino);
/* Has dir be the same directory as it was at that moment. */
void tar_moment_go_back(const struct tar_moment *moment, struct copy_dir *dir);
/* Deletes the snapshot. */
void tar_moment_end(struct tar_moment *moment);

/* ---- tar_way.c: directories by the names of entries ---- */

/* The names of a path, without what is empty or ".". Refuses "..", what is longer than TAR_PATH_MAX, and nothing else. */
struct tar_names {
	char *room;
	const char **names;
	size_t len, cap, room_cap;
	bool absolute; /* there was a leading '/' */
};
/* LINKFS_EINVAL: it has "..". LINKFS_ENAMETOOLONG, LINKFS_ENOMEM. */
int tar_names_split(struct tar_names *names, const char *path);
void tar_names_done(struct tar_names *names);

struct tar_step {
	char *name;
	struct copy_dir dir;
	bool gives_acl; /* it has a default ACL */
};
/* The directories that lead to the last one asked for: the next is mostly near. */
struct tar_way {
	struct tar_step *steps; /* the first is where all begins, which is not closed */
	size_t len, cap;
};
/* The directory that the first count names lead to; no symlink is followed. With make those that are missing are made.
 * LINKFS_ELOOP: a symlink is on the way, LINKFS_ENOTDIR; *at_out is the name at fault. *made_out counts. */
int tar_way_walk(struct copy *copy, struct tar_way *way, const struct tar_names *names, size_t count, bool make,
		 size_t *at_out, uint64_t *made_out);
void tar_way_done(struct tar_way *way);

#endif
