/*
 * linkfs_backup.h - what a volume remembers of trees that are backed up into it (E4): which they are, and which of their files each file
 * was made from. With it a program that copies a tree again finds what has not changed, and what was only moved, without reading it.
 *
 * Errors, threads and durability are as in linkfs.h. What is written here is for root and the owner of the volume's root directory
 * (LINKFS_EPERM). Snapshots have none of it.
 */
#ifndef LINKFS_BACKUP_H
#define LINKFS_BACKUP_H

#include <linkfs.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A tree of a host, and the directory of the volume that has its content. Texts have no NUL in them and one after them. */
struct linkfs_source {
	uint64_t id;         /* counts up from 1 */
	uint64_t dir;        /* inode number; it may be gone */
	const char *machine; /* identifies the host: at most 255 bytes */
	const char *host;    /* its name, for people: at most 255 bytes */
	const char *path;    /* absolute, on the host: at most 4,095 bytes */
	uint64_t
		rules; /* the caller's: identifies by which rules files were left out; 0: the last backup did not come to its end */
	int64_t time_ns;       /* when the last one that did began */
	uint64_t files, bytes; /* that it found */
};
/* Valid during the call. Nonzero ends the listing. Called with no lock held. */
typedef int linkfs_source_fn(void *arg, const struct linkfs_source *source);
/* All, in the order of their ids. */
LINKFS_API int linkfs_source_list(struct linkfs_volume *volume, linkfs_source_fn *fn, void *arg);
/* Writes one anew; id 0: one more, and *id_out (may be NULL) is its id. LINKFS_EINVAL, LINKFS_ENAMETOOLONG. */
LINKFS_API int linkfs_source_put(struct linkfs_volume *volume, const struct linkfs_cred *cred,
				 const struct linkfs_source *source, uint64_t *id_out);
/* Forgets a source; what it is remembered by for its files stays until it is met. Its files stay in any case. LINKFS_ENOENT. */
LINKFS_API int linkfs_source_forget(struct linkfs_volume *volume, const struct linkfs_cred *cred, uint64_t id);

/* A file of the volume, of any type, and what the source's file was when this one was made, or made equal to it. */
struct linkfs_copied {
	uint64_t ino;
	uint64_t source;
	uint64_t fs;    /* the caller's: tells file systems of the source apart. 1 to 2^48 - 1 */
	uint64_t inode; /* the source's number */
	uint32_t mode, nlink;
	uint64_t size;
	int64_t mtime_ns, ctime_ns;
	uint32_t flags;       /* LINKFS_COPIED_... */
	int64_t own_ctime_ns; /* the copy's own, when this was remembered of it; told by linkfs_copied_list(), else ignored */
};
#define LINKFS_COPIED_DOUBT 1u /* the caller's: it is to be read again all the same */
/* Set by linkfs_copied_list(): the file, or its attributes or names, were changed since by other calls than those below; or it is gone. */
#define LINKFS_COPIED_CHANGED 256u
#define LINKFS_COPIED_GONE 512u
/* The next ones, of all sources, in the order of their ino, from *after on (0 to begin with), which is moved on; none at the end. At most max
 * of them and some thousands. Costs about as much as reading the records in order. */
LINKFS_API int linkfs_copied_list(struct linkfs_volume *volume, uint64_t *after, struct linkfs_copied *rows, size_t max,
				  size_t *count_out);
/* File ino, as it is now, was made from that. LINKFS_ESTALE, LINKFS_EINVAL. */
LINKFS_API int linkfs_copied_put(struct linkfs_volume *volume, const struct linkfs_cred *cred,
				 const struct linkfs_copied *row);
/* A new file, whole. */
struct linkfs_copied_new {
	const char *name; /* in the directory; need not end with a NUL */
	size_t name_len;
	const void *content;
	size_t size; /* at most LINKFS_COPIED_NEW_MAX */
	struct linkfs_setattr
		attributes; /* of owner, mode and times; what is not valid is as linkfs_node_make() makes it with mode 0600 */
	struct linkfs_copied row; /* what it was made from; of it ino is set */
};
#define LINKFS_COPIED_NEW_MAX 65536u /* bytes of content */
#define LINKFS_COPIED_NEW_COUNT 16u  /* files in one call */
/* Makes count regular files in directory dir, each with its content and attributes, and remembers what they were made from: as calls to
 * linkfs_node_make(), linkfs_node_write(), linkfs_node_setattr() and linkfs_copied_put() would, but all of them at once or none, nobody sees one
 * half, and at a fraction of their cost. LINKFS_EEXIST when there is something at one of the names, LINKFS_EINVAL, and what those calls
 * fail with. LINKFS_ENOSPC comes where there is no room for all of them at once; single calls may find room yet, as they wait for what was freed and
 * take back what keep-deleted keeps. An ACL that dir hands on is inherited as it is by linkfs_node_make(). Durable with the next sync. */
LINKFS_API int linkfs_copied_make(struct linkfs_volume *volume, const struct linkfs_cred *cred, uint64_t dir,
				  struct linkfs_copied_new *files, size_t count);
/* No more is known of files ino[0] to ino[count - 1]. Numbers that are gone, or of which nothing is known, are no error. */
LINKFS_API int linkfs_copied_forget(struct linkfs_volume *volume, const struct linkfs_cred *cred, const uint64_t *ino,
				    size_t count);

/* As linkfs_node_link(), linkfs_node_unlink(), linkfs_node_rmdir() and linkfs_node_rename(); what is known of the files whose names change
 * is as good afterwards as it was before. Of the directories it is not: their entries are others now. */
LINKFS_API int linkfs_copied_link(struct linkfs_volume *volume, const struct linkfs_cred *cred, uint64_t ino,
				  uint64_t dir, const char *name, size_t name_len);
LINKFS_API int linkfs_copied_unlink(struct linkfs_volume *volume, const struct linkfs_cred *cred, uint64_t dir,
				    const char *name, size_t name_len, int is_dir);
LINKFS_API int linkfs_copied_rename(struct linkfs_volume *volume, const struct linkfs_cred *cred, uint64_t old_dir,
				    const char *old_name, size_t old_len, uint64_t new_dir, const char *new_name,
				    size_t new_len, uint32_t flags);

#ifdef __cplusplus
}
#endif

#endif
