/*
 * linkfs.h - the linkfs library: a file system in a directory, with complete links.
 *
 * A volume is one host directory (a metadata database and data pieces). One process at a time owns it;
 * every call here works on a volume that this process has opened.
 *
 * Errors. Every function that can fail returns 0 or a negative LINKFS_E... code (never errno). Outputs are
 * untouched on failure. linkfs_errno() maps a code to the host's errno, linkfs_strerror() to a text.
 *
 * Threads. All functions may be called from any thread at once, on one volume or several, unless a comment
 * says otherwise. No function prints, exits or keeps global state. Callbacks run with the volume's lock held
 * and must not call linkfs.
 *
 * Durability. A change is visible to every later call when the call that made it returns. It is durable when
 * linkfs_volume_sync(), linkfs_node_fsync(), linkfs_file_sync() or linkfs_volume_close() returned 0 after it;
 * without those, within the volume's commit interval. After a power cut the volume equals the result of some
 * prefix of its operations. Namespace calls are atomic: they happen wholly or not at all.
 *
 * Names are bytes (pointer and length, 1 to 255, no '/' and no NUL). Paths are NUL-terminated bytes.
 */
#ifndef LINKFS_H
#define LINKFS_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__) && defined(LINKFS_BUILDING)
#define LINKFS_API __attribute__((visibility("default")))
#else
#define LINKFS_API
#endif

#define LINKFS_VERSION_MAJOR 0
#define LINKFS_VERSION_MINOR 1
#define LINKFS_VERSION_PATCH 0

/* ---- errors ------------------------------------------------------------------------------------------- */

/* The codes below 1000 have the numbers of Linux's errno on every platform; those above are linkfs's own. */
enum linkfs_error {
	LINKFS_OK = 0,
	LINKFS_EPERM = -1,
	LINKFS_ENOENT = -2,
	LINKFS_EINTR = -4,
	LINKFS_EIO = -5,
	LINKFS_ENXIO = -6,
	LINKFS_E2BIG = -7,
	LINKFS_EBADF = -9,
	LINKFS_EAGAIN = -11,
	LINKFS_ENOMEM = -12,
	LINKFS_EACCES = -13,
	LINKFS_EBUSY = -16,
	LINKFS_EEXIST = -17,
	LINKFS_EXDEV = -18,
	LINKFS_ENODEV = -19,
	LINKFS_ENOTDIR = -20,
	LINKFS_EISDIR = -21,
	LINKFS_EINVAL = -22,
	LINKFS_EMFILE = -24,
	LINKFS_ENOTTY = -25,
	LINKFS_ETXTBSY = -26,
	LINKFS_EFBIG = -27,
	LINKFS_ENOSPC = -28,
	LINKFS_ESPIPE = -29,
	LINKFS_EROFS = -30,
	LINKFS_EMLINK = -31,
	LINKFS_EPIPE = -32,
	LINKFS_ERANGE = -34,
	LINKFS_ENAMETOOLONG = -36,
	LINKFS_ENOSYS = -38,
	LINKFS_ENOTEMPTY = -39,
	LINKFS_ELOOP = -40,
	LINKFS_ENODATA = -61,
	LINKFS_EOVERFLOW = -75,
	LINKFS_EOPNOTSUPP = -95,
	LINKFS_ENOTCONN = -107,
	LINKFS_ESTALE = -116,
	LINKFS_EDQUOT = -122,

	LINKFS_ECORRUPT = -1001,   /* a checksum or an invariant of the volume does not hold (errno EIO) */
	LINKFS_ENOTVOLUME = -1002, /* the directory is not a linkfs volume (EINVAL) */
	LINKFS_ENEWER = -1003,     /* the volume needs a newer linkfs (EOPNOTSUPP) */
	LINKFS_ELOCKED = -1004,    /* another process owns the volume (EBUSY) */
	LINKFS_ESCHEMA = -1005,    /* the database's schema is not linkfs's (EIO) */
	LINKFS_EPOISONED = -1006,  /* an earlier sync failed; the volume is read-only until reopened (EIO) */
};

/* The host's errno for a code (positive; 0 for 0; EIO for a code that is not listed). */
LINKFS_API int linkfs_errno(int error);
/* The code for a host errno (negative). Unknown numbers give LINKFS_EIO. */
LINKFS_API int linkfs_from_errno(int host_errno);
/* The name of a code ("LINKFS_ENOENT") and its text ("No such file or directory"); static strings, never NULL. */
LINKFS_API const char *linkfs_error_name(int error);
LINKFS_API const char *linkfs_strerror(int error);

/* A sentence for people beside an error code: what was wrong, where, and what to do. Owned by the caller;
 * every function that takes one accepts NULL. Written only when the function fails. Names of files and what a volume holds
 * stand in it as they are, but for control characters and broken UTF-8, which are '?'. */
struct linkfs_message {
	char text[1024];
};

/* The library's version as "MAJOR.MINOR.PATCH"; a static string. */
LINKFS_API const char *linkfs_version(void);

/* For a program that uses SQLite through linkfs only: SQLite does not count the process's memory from then on (its sqlite3_memory_used() and
 * limits of the heap), which costs some 5 % of the time of every change. Call it before any other call of linkfs or SQLite, in one thread.
 * LINKFS_EBUSY: SQLite is at work already, and nothing has changed. */
LINKFS_API int linkfs_sqlite_uncounted(void);

/* ---- common types --------------------------------------------------------------------------------------- */

#define LINKFS_ROOT_INO 1u
#define LINKFS_NAME_MAX 255u
#define LINKFS_PATH_MAX 4096u    /* with the terminating NUL, as Linux's PATH_MAX */
#define LINKFS_SYMLINK_MAX 4095u /* longest target text */
#define LINKFS_SYMLOOP_MAX 40u   /* expansions in one walk */
#define LINKFS_LINK_MAX 2147483647u
#define LINKFS_XATTR_NAME_MAX 255u
#define LINKFS_XATTR_SIZE_MAX 65536u
#define LINKFS_FILE_SIZE_MAX 17592186040320u /* 16 TiB - 4 KiB, ext4's limit at 4 KiB blocks */

/* Who asks. groups may be NULL when ngroups is 0 and is only read during the call. uid 0 overrides permissions
 * as Linux's root does. A NULL pointer to a credential means uid 0, gid 0, umask 022. */
struct linkfs_cred {
	uint32_t uid, gid;
	const uint32_t *groups; /* supplementary groups */
	uint32_t ngroups;
	uint32_t umask;
	uint32_t flags; /* LINKFS_CRED_... */
};

/* The kernel has checked permissions already and keeps its own caches: check none, and send the observer
 * no event for what this call changes. Used by the mount. */
#define LINKFS_CRED_KERNEL 1u

/* Attributes of a file. ino is what stat shows. node is what calls take that go on from here: ino itself, but for a directory that
 * several paths lead to, by a bind or a directory link on the way, and a tracked symlink in one. There it is the place: it is "..", the path
 * and the text that differ. It
 * is one only when LINKFS_HOLD was given, and good as long as it is held. Times are nanoseconds since 1970-01-01 UTC (1677 to 2262; what is set outside is clamped). */
/* Names follow a save: see linkfs_node_set_flags(). */
#define LINKFS_INO_KEEP_LINKS 2u
/* A tracked symlink: see linkfs_path_track(). */
#define LINKFS_INO_TRACKED 4u
/* Content is compressed, or not, whatever the volume's property says: of a file, and what is made in a directory inherits it. */
#define LINKFS_INO_COMPRESS 2048u
#define LINKFS_INO_NO_COMPRESS 4096u
struct linkfs_stat {
	uint64_t ino, node;
	uint64_t size;   /* bytes; for a symlink the length of its text */
	uint64_t blocks; /* allocated, in units of 512 bytes */
	uint32_t mode;   /* type and permissions as in Linux's st_mode */
	uint32_t nlink;
	uint32_t uid, gid;
	uint32_t rdev_major, rdev_minor;
	uint32_t blksize; /* preferred I/O size, bytes */
	uint32_t flags;   /* LINKFS_INO_...; linkfs_node_set_flags() */
	int64_t atime_ns, mtime_ns, ctime_ns, btime_ns;
};

/* ---- volumes ---------------------------------------------------------------------------------------------- */

struct linkfs_volume;

/* Zero the struct, set what matters. */
struct linkfs_create_options {
	const char *label; /* NULL for none; at most 255 bytes */
	uint32_t root_uid, root_gid;
	uint32_t root_mode;            /* permissions of the root directory; 0 means 0755 */
	uint64_t limit_bytes;          /* most bytes of file data the volume may hold; 0 for no limit of its own */
	const char *const *properties; /* property_count words KEY=VALUE, as linkfs_volume_set_property() takes them */
	size_t property_count;
};

/* Makes a volume in directory path, which must be absent or empty (its parent must exist). On failure what
 * was made is removed. Durable when it returns. Errors: LINKFS_EEXIST (not empty), LINKFS_ENOENT,
 * LINKFS_EACCES, LINKFS_ENOSPC ... with why filled. */
LINKFS_API int linkfs_volume_create(const char *path, const struct linkfs_create_options *options,
				    struct linkfs_message *why);

#define LINKFS_OPEN_READONLY 1u
#define LINKFS_OPEN_NOATIME 2u /* reads never change atime (otherwise relatime) */
#define LINKFS_OPEN_STRICTATIME 4u

/* Zero the struct, set what matters. */
struct linkfs_open_options {
	uint32_t flags;              /* LINKFS_OPEN_... */
	uint32_t commit_interval_ms; /* 0 means 5000 */
	const char *mount_point;     /* told to others in the lock file; may be NULL */
	const char *control_socket;  /* likewise */
};

/* Opens the volume in directory path and becomes its owner; finishes what a crash left undone (orphans, intents).
 * *out is freed by linkfs_volume_close(). Errors: LINKFS_ENOENT, LINKFS_ENOTVOLUME, LINKFS_ENEWER,
 * LINKFS_ELOCKED (why names host, pid and mount point of the owner), LINKFS_ESCHEMA, LINKFS_ECORRUPT ... */
LINKFS_API int linkfs_volume_open(const char *path, const struct linkfs_open_options *options,
				  struct linkfs_volume **out, struct linkfs_message *why);

/* Commits, releases the volume and frees it, whatever it returns. NULL is allowed. The caller has closed every
 * file and directory handle and no call is in flight. Returns the result of the last commit. */
LINKFS_API int linkfs_volume_close(struct linkfs_volume *volume);

/* Makes everything done so far durable. LINKFS_EPOISONED after any failed sync, until the volume is reopened. */
LINKFS_API int linkfs_volume_sync(struct linkfs_volume *volume);

/* Who owns the volume at path, read from its lock file without opening it. */
struct linkfs_owner {
	uint32_t pid;
	int local; /* whether the owner runs on this host */
	char host[256];
	char mount_point[4096];   /* "" when not mounted */
	char control_socket[512]; /* "" when it has none */
};
/* LINKFS_ENOENT when nobody owns it, LINKFS_ENOTVOLUME when path is no volume. */
LINKFS_API int linkfs_volume_owner(const char *path, struct linkfs_owner *out);

/* Waits until no process has the volume at path open, its owner or a reader, for at most so many milliseconds; for who
 * unmounted it, say. It holds nothing off: somebody may open it right after. LINKFS_ELOCKED when it was still open at the
 * end, LINKFS_ENOTVOLUME; LINKFS_EACCES when the caller may not read its lock file, LINKFS_EOPNOTSUPP on a host without
 * flock. Thread-safe. */
LINKFS_API int linkfs_volume_wait_unused(const char *path, uint32_t milliseconds);

/* Rewrites the owner's line in the lock file (after mounting, before unmounting). NULL for none. */
LINKFS_API int linkfs_volume_set_owner(struct linkfs_volume *volume, const char *mount_point,
				       const char *control_socket);

struct linkfs_statfs {
	uint64_t block_size; /* bytes; the unit of the next three */
	uint64_t blocks, blocks_free, blocks_available;
	uint64_t inodes, inodes_free; /* files in use plus a generous bound */
	uint64_t name_max;
};
LINKFS_API int linkfs_volume_statfs(struct linkfs_volume *volume, struct linkfs_statfs *out);

struct linkfs_info {
	uint8_t uuid[16];
	char label[256];
	char path[4096]; /* absolute path of the volume's directory */
	uint32_t format_version;
	uint32_t read_only; /* opened so, or poisoned */
	uint32_t poisoned;
	uint32_t block_size;
	uint64_t features_compat, features_ro_compat, features_incompat;
	int64_t created_ns;
	uint64_t inodes; /* files, directories, symlinks ... now */
	uint64_t next_ino;
	uint64_t epoch;
	uint64_t data_blocks_used; /* of block_size bytes */
	uint64_t meta_bytes;       /* database and its WAL on the host */
	uint64_t limit_bytes;
	uint64_t commits;                  /* since opened */
	int64_t keep_deleted_ns;           /* property keep-deleted; 0: off */
	uint64_t kept_inodes, kept_blocks; /* deleted and kept; not in inodes, but in data_blocks_used */
};
LINKFS_API int linkfs_volume_info(struct linkfs_volume *volume, struct linkfs_info *out);

/* Properties: settings that are kept in the volume. Keys and values are text. */
/* "none", "zstd" or "zstd:LEVEL" (1 to 19; 3 when left out): how content that is written from now on is compressed. What is there stays as it
 * is. Content that does not get smaller stays plain. */
#define LINKFS_COMPRESSION "compression"
#define LINKFS_KEEP_DELETED "keep-deleted" /* a duration; see "deleted files" below; others: linkfs_prune.h */
struct linkfs_property {
	const char *key;
	const char *initial; /* its value when it was never set */
	const char *form;    /* what a value looks like, for people */
	const char *text;    /* what it does, for people */
};
/* The i-th property that this linkfs knows; static strings. LINKFS_ENOENT past the end. */
LINKFS_API int linkfs_property_known(size_t i, struct linkfs_property *out);
/* The value in its usual form ("7d" for "168h"), NUL-terminated. LINKFS_EINVAL for an unknown key, LINKFS_ERANGE when size is too
 * small (512 bytes always suffice). linkfs_volume_info() has the values as numbers. */
LINKFS_API int linkfs_volume_get_property(struct linkfs_volume *volume, const char *key, char *buf, size_t size);
/* Changes it at once; durable as any change is. For root and the owner of the volume's root directory, else LINKFS_EPERM.
 * LINKFS_EINVAL with why naming the known keys, or what a value looks like. */
LINKFS_API int linkfs_volume_set_property(struct linkfs_volume *volume, const struct linkfs_cred *cred, const char *key,
					  const char *value, struct linkfs_message *why);

/* What changed beside the kernel's back: all that calls whose credential lacks LINKFS_CRED_KERNEL did, and what the kernel's own
 * calls changed besides what they asked for. */
enum linkfs_event_kind {
	LINKFS_EVENT_ATTR,  /* attributes or xattrs of ino */
	LINKFS_EVENT_DATA,  /* content (or symlink text) of ino, and its attributes */
	LINKFS_EVENT_ENTRY, /* name in directory ino came, went or changed */
	LINKFS_EVENT_LISTING, /* times of directory ino, and what a listing of it shows; its names ask anew by themselves */
	LINKFS_EVENT_PROPERTY, /* a property of the volume was set; ino is the root */
	LINKFS_EVENT_TEXTS, /* texts and sizes of tracked symlinks may be others than before, because ino moved or lost a name */
};
/* The kernel's own call made it, and waits with a lock on the directories it named: who tells the kernel of an entry must not
 * wait until it listens. All events of one call of the observer have it, or none. */
#define LINKFS_EVENT_OWN 1u
/* Beside LINKFS_EVENT_OWN: the directory is none of those that the call named, so that telling of an entry may wait until the kernel
 * listens. */
#define LINKFS_EVENT_ELSEWHERE 2u
struct linkfs_event {
	enum linkfs_event_kind kind;
	uint32_t flags;   /* LINKFS_EVENT_... */
	uint64_t ino;     /* the node: a directory with several places has an event for each (see linkfs_stat) */
	const char *name; /* LINKFS_EVENT_ENTRY only; valid during the call */
	size_t name_len;
};
/* Sets the one observer of a volume (NULL: none). It is called after the change is visible and before the call
 * that made it returns, in that call's thread, with no lock held; it may block. Not while calls are in flight. */
typedef void linkfs_observer(void *arg, const struct linkfs_event *events, size_t count);
LINKFS_API void linkfs_volume_observe(struct linkfs_volume *volume, linkfs_observer *observer, void *arg);

/* ---- node-level calls: by inode number, as a mount or an NFS server needs them ------------------------------- */

/* An inode number is never used again. A number that is gone gives LINKFS_ESTALE. Wherever a directory's number is taken, a place's node id
 * (struct linkfs_stat) is as well: linkfs_node_hold() to linkfs_node_rename(), and "at" of the calls by path; a tracked symlink's likewise. By its number a directory with
 * several paths is found by one of them.
 *
 * Holds. An unlinked file lives while it has holds (or open handles). Calls that return an inode take
 * LINKFS_HOLD to add one hold in the same step. Holds do not survive the process. */
#define LINKFS_HOLD 1u

LINKFS_API int linkfs_node_hold(struct linkfs_volume *volume, uint64_t ino);
/* 1 while anybody holds ino, else 0; always 1 for the root. Nothing that was not held has been told to a kernel. */
LINKFS_API int linkfs_node_is_held(struct linkfs_volume *volume, uint64_t ino);
/* 1 while somebody holds, or a call uses, a directory by a place (linkfs_stat). Takes no lock. */
LINKFS_API int linkfs_volume_has_places(struct linkfs_volume *volume);
/* 1 when more than one path leads to directory ino, or it is a place; else 0. Who remembers what names stand for must ask anew where it is 1:
 * they change by other paths. Costs nothing in a volume without directory links and binds. LINKFS_ESTALE ... */
LINKFS_API int linkfs_node_several_paths(struct linkfs_volume *volume, uint64_t ino);
/* Gives up count holds; the last one of an unlinked file frees it. Never fails for a held node. */
LINKFS_API void linkfs_node_release(struct linkfs_volume *volume, uint64_t ino, uint64_t count);

/* The entry name in directory dir. "." and ".." work (".." of the root is the root). Checks search permission. */
LINKFS_API int linkfs_node_lookup(struct linkfs_volume *volume, const struct linkfs_cred *cred, uint64_t dir,
				  const char *name, size_t name_len, uint32_t flags, struct linkfs_stat *out);
LINKFS_API int linkfs_node_getattr(struct linkfs_volume *volume, uint64_t ino, struct linkfs_stat *out);

#define LINKFS_SET_MODE 1u
#define LINKFS_SET_UID 2u
#define LINKFS_SET_GID 4u
#define LINKFS_SET_SIZE 8u
#define LINKFS_SET_ATIME 16u
#define LINKFS_SET_MTIME 32u
#define LINKFS_SET_ATIME_NOW 64u
#define LINKFS_SET_MTIME_NOW 128u
#define LINKFS_SET_CTIME 256u        /* the kernel's own; only with LINKFS_CRED_KERNEL */
#define LINKFS_SET_KILL_SUIDGID 512u /* the kernel asks to drop setuid and setgid bits with this change */
struct linkfs_setattr {
	uint32_t valid; /* LINKFS_SET_... */
	uint32_t mode, uid, gid;
	uint64_t size;
	int64_t atime_ns, mtime_ns, ctime_ns;
};
/* Changes attributes, all or none, under POSIX's rules for the credential (owner, group, setuid and setgid
 * dropped on chown, ACL mask kept with the mode). out may be NULL. */
LINKFS_API int linkfs_node_setattr(struct linkfs_volume *volume, const struct linkfs_cred *cred, uint64_t ino,
				   const struct linkfs_setattr *change, struct linkfs_stat *out);

/* 0 when the credential may do all of mask (4 read, 2 write, 1 execute or search; 0 exists), else LINKFS_EACCES
 * (LINKFS_EROFS for writing to a read-only volume). */
LINKFS_API int linkfs_node_access(struct linkfs_volume *volume, const struct linkfs_cred *cred, uint64_t ino,
				  uint32_t mask);

/* The text of a symlink, not NUL-terminated, cut at size; *len_out is what was written. LINKFS_EINVAL if not a symlink. */
LINKFS_API int linkfs_node_readlink(struct linkfs_volume *volume, uint64_t ino, char *buf, size_t size,
				    size_t *len_out);

/* Makes a file of the type in mode (regular, directory, FIFO, socket, character or block device; a mode without
 * type is a regular file). Owner is the credential's uid; group its gid, or the directory's when that is setgid. The
 * directory's default ACL or else the credential's umask is applied, once. out may be NULL. LINKFS_EEXIST ... */
struct linkfs_make {
	uint32_t mode;
	uint32_t rdev_major, rdev_minor;
};
LINKFS_API int linkfs_node_make(struct linkfs_volume *volume, const struct linkfs_cred *cred, uint64_t dir,
				const char *name, size_t name_len, const struct linkfs_make *how, uint32_t flags,
				struct linkfs_stat *out);
/* A regular file without a name (O_TMPFILE): nlink 0, always held (LINKFS_HOLD is implied), gone with its last hold
 * unless linkfs_node_link() gave it a name. */
LINKFS_API int linkfs_node_tmpfile(struct linkfs_volume *volume, const struct linkfs_cred *cred, uint64_t dir,
				   uint32_t mode, struct linkfs_stat *out);
LINKFS_API int linkfs_node_symlink(struct linkfs_volume *volume, const struct linkfs_cred *cred, uint64_t dir,
				   const char *name, size_t name_len, const char *target, size_t target_len,
				   uint32_t flags, struct linkfs_stat *out);
/* Another name for a file of any type but directory (LINKFS_EPERM). LINKFS_EMLINK at LINKFS_LINK_MAX. */
LINKFS_API int linkfs_node_link(struct linkfs_volume *volume, const struct linkfs_cred *cred, uint64_t ino,
				uint64_t dir, const char *name, size_t name_len, uint32_t flags,
				struct linkfs_stat *out);
/* Another name for a directory, for who owns it or root (LINKFS_EPERM). ino is seen whole, as a real directory, by each of its names, with one
 * inode number; nlink counts its names, itself and the directories in it. LINKFS_ELOOP: it would come to lie below itself, by whichever
 * path; rename says that too. linkfs_node_rmdir() of one of several names leaves the content with the others, and so it needs
 * not be empty. */
LINKFS_API int linkfs_node_link_directory(struct linkfs_volume *volume, const struct linkfs_cred *cred, uint64_t ino,
					  uint64_t dir, const char *name, size_t name_len);
/* The entry name, which must exist (LINKFS_ENOENT), shows source from now on instead of what it names: for every call and program that is what
 * is there, until linkfs_node_unbind(). Both are directories or neither is (LINKFS_ENOTDIR, LINKFS_EISDIR). For who owns source or
 * is root (LINKFS_EPERM), and may remove the name (LINKFS_EACCES, LINKFS_EPERM). LINKFS_ELOOP: source would contain itself, now or
 * after an unbind. LINKFS_EBUSY: a bind stands there already.
 * While it stands: removing, renaming and replacing the entry, and taking the last name from source, is LINKFS_EBUSY
 * (linkfs_volume_binds() tells which bind); source may be renamed. A rename between what is shown through a bind and anything else is
 * LINKFS_EXDEV, as between mounts. ".." in a bound directory is the directory of the entry. */
LINKFS_API int linkfs_node_bind(struct linkfs_volume *volume, const struct linkfs_cred *cred, uint64_t source,
				uint64_t dir, const char *name, size_t name_len);
/* What was covered shows again. For who may remove the name. LINKFS_EINVAL: no bind stands there. */
LINKFS_API int linkfs_node_unbind(struct linkfs_volume *volume, const struct linkfs_cred *cred, uint64_t dir,
				  const char *name, size_t name_len);
LINKFS_API int linkfs_node_unlink(struct linkfs_volume *volume, const struct linkfs_cred *cred, uint64_t dir,
				  const char *name, size_t name_len);
LINKFS_API int linkfs_node_rmdir(struct linkfs_volume *volume, const struct linkfs_cred *cred, uint64_t dir,
				 const char *name, size_t name_len);

/* Sets the flags of mask to those that are in flags as well; the others stay. For root and the owner of a regular file or a directory,
 * else LINKFS_EPERM; LINKFS_EINVAL for other types and unknown flags.
 *
 * LINKFS_INO_KEEP_LINKS, of a file: when another regular file is renamed over one of its names (rename without EXCHANGE, as a program does
 * that saves into a new file), all its other names become the new file's as well, in the same step, and the new file has the flag. That is
 * for root, and for who owns both files: for others the rename takes the one name and leaves the rest, as always. Who has the old file open
 * keeps it. LINKFS_EMLINK when the new file would have too many names. Time in proportion to the number of names.
 * Of a directory: files and directories made in it have the flag from the start.
 *
 * LINKFS_INO_COMPRESS and LINKFS_INO_NO_COMPRESS, not together (LINKFS_EINVAL): content written from now on is compressed, or not, whatever property
 * LINKFS_COMPRESSION says; with the property's level when it has one. Of a directory: as above. */
LINKFS_API int linkfs_node_set_flags(struct linkfs_volume *volume, const struct linkfs_cred *cred, uint64_t ino,
				     uint32_t flags, uint32_t mask, struct linkfs_stat *out);

/* Gives the name an inode of its own, which shares the content's blocks with the old one until either is written: other names, and
 * whoever has the file open, keep the old inode, and an edit no longer shows through. Everything but the number and the
 * birth and change times is as it was. A file with one name is left as it is. *out (may be NULL) is what the name stands for then.
 * Atomic: other calls see the old inode or the new one. Who does not own the file gets LINKFS_EPERM; directories LINKFS_EISDIR.
 * LINKFS_EAGAIN: the name became another file's meanwhile. Costs no data blocks; time in proportion to the number of extents. */
LINKFS_API int linkfs_node_unshare(struct linkfs_volume *volume, const struct linkfs_cred *cred, uint64_t dir,
				   const char *name, size_t name_len, uint32_t flags, struct linkfs_stat *out);
/* A new file whose content is that of ino and shares its blocks until one of the two is written. The owner of ino (or root) gets
 * owner, mode, times and xattrs too, as cp -a copies them; for anybody else, who must be able to read ino, it is a file of his
 * own. Atomic. Symlinks and special files are copied as such; directories are LINKFS_EISDIR. */
LINKFS_API int linkfs_node_clone(struct linkfs_volume *volume, const struct linkfs_cred *cred, uint64_t ino,
				 uint64_t dir, const char *name, size_t name_len, uint32_t flags,
				 struct linkfs_stat *out);

#define LINKFS_RENAME_NOREPLACE 1u
#define LINKFS_RENAME_EXCHANGE 2u
#define LINKFS_RENAME_WHITEOUT 4u /* refused: LINKFS_EINVAL */
LINKFS_API int linkfs_node_rename(struct linkfs_volume *volume, const struct linkfs_cred *cred, uint64_t old_dir,
				  const char *old_name, size_t old_len, uint64_t new_dir, const char *new_name,
				  size_t new_len, uint32_t flags);

/* One directory entry. cookie is the position after it: pass it to go on. Cookies are stable: they survive
 * changes to the directory, remounts and restarts; 0 is the start; they are below 2^63. */
struct linkfs_entry {
	const char *name; /* valid during the callback */
	size_t name_len;
	uint64_t ino;
	uint64_t cookie;
	uint32_t type;                  /* S_IFMT bits of the mode */
	const struct linkfs_stat *stat; /* with LINKFS_READDIR_STAT, else NULL; NULL for "." and ".." too */
};
/* Nonzero stops; the entry then counts as not read. */
typedef int linkfs_entry_fn(void *arg, const struct linkfs_entry *entry);
#define LINKFS_READDIR_STAT 2u /* beside LINKFS_HOLD, which holds every entry the callback accepted but . and .. */
/* Lists directory dir from cookie on, "." and ".." first. Ends at the end, or when fn stops it: both return 0.
 * A call may also return 0 after a bounded number of entries; the end is reached when fn was never called. */
LINKFS_API int linkfs_node_readdir(struct linkfs_volume *volume, const struct linkfs_cred *cred, uint64_t dir,
				   uint64_t cookie, uint32_t flags, linkfs_entry_fn *fn, void *arg);
/* A number that grows with every change of any name in the volume, at the latest before the call that makes it returns. A
 * listing read after one answer still holds while the answer is the same. Takes no lock. */
LINKFS_API uint64_t linkfs_volume_name_changes(struct linkfs_volume *volume);

/* Content. Reads past the end give 0 bytes. Permissions are the opener's business: these check none. */
LINKFS_API int linkfs_node_read(struct linkfs_volume *volume, uint64_t ino, uint64_t offset, void *buf, size_t size,
				size_t *done_out);
#define LINKFS_WRITE_APPEND 1u       /* at the end, whatever offset says; *offset_out tells where */
#define LINKFS_WRITE_KILL_SUIDGID 2u /* drop setuid, setgid and file capabilities, as Linux does on write */
#define LINKFS_WRITE_SYNC 4u         /* durable when it returns (O_SYNC) */
#define LINKFS_WRITE_MAPPED 8u       /* pages that were mapped and changed: drops nothing, as Linux does not either */
/* Writes all of it or fails with nothing written (LINKFS_ENOSPC, LINKFS_EFBIG, LINKFS_EROFS ...). A write that crosses
 * LINKFS_FILE_SIZE_MAX is cut there; *done_out tells (may be NULL, as may offset_out). */
LINKFS_API int linkfs_node_write(struct linkfs_volume *volume, const struct linkfs_cred *cred, uint64_t ino,
				 uint64_t offset, const void *buf, size_t size, uint32_t flags, size_t *done_out,
				 uint64_t *offset_out);
/* Makes content and attributes of ino durable, and every operation before (group commit). */
LINKFS_API int linkfs_node_fsync(struct linkfs_volume *volume, uint64_t ino, int data_only);

/* Modes are Linux's FALLOC_FL_ numbers. Any other combination is LINKFS_EOPNOTSUPP. */
#define LINKFS_ALLOC_KEEP_SIZE 1u
#define LINKFS_ALLOC_PUNCH 2u    /* with KEEP_SIZE */
#define LINKFS_ALLOC_COLLAPSE 8u /* alone; offset and length multiples of the block size */
#define LINKFS_ALLOC_ZERO 16u    /* with or without KEEP_SIZE */
#define LINKFS_ALLOC_INSERT 32u  /* alone; offset and length multiples of the block size */
LINKFS_API int linkfs_node_allocate(struct linkfs_volume *volume, const struct linkfs_cred *cred, uint64_t ino,
				    uint32_t mode, uint64_t offset, uint64_t length);

#define LINKFS_SEEK_DATA 3
#define LINKFS_SEEK_HOLE 4
/* LINKFS_ENXIO past the end, or when no data follows. */
LINKFS_API int linkfs_node_seek(struct linkfs_volume *volume, uint64_t ino, uint64_t offset, int whence, uint64_t *out);
/* A stretch of a file's content that has blocks of the volume. */
struct linkfs_extent {
	uint64_t offset,
		length; /* bytes in the file, multiples of the block size; the last may reach past the file's size */
	uint64_t disk;  /* bytes in the volume's data: files share what has the same place */
	uint64_t
		disk_length; /* bytes there; of compressed content fewer than in the file, and all that belongs to what it was compressed with */
	uint32_t flags; /* LINKFS_EXTENT_... */
};
#define LINKFS_EXTENT_SHARED                                                                                           \
	1u /* part of it, or all, belongs to more: another file, another place in this one, an earlier state */
#define LINKFS_EXTENT_UNWRITTEN 2u  /* reserved; reads as zeros */
#define LINKFS_EXTENT_COMPRESSED 4u /* disk is where what holds it begins */
typedef int linkfs_extent_fn(void *arg, const struct linkfs_extent *extent);
/* Lists where the content of file ino lies, in order of offset, from the extent that holds byte *offset on: 0 to begin with. Sets *offset to
 * where to go on, UINT64_MAX at the end; a call may return 0 after a bounded number. A nonzero result of fn stops it: that extent
 * then counts as not read; a negative one is returned. Holes are left out, and content that is kept with the metadata (small files) has no
 * extents and is shared with nobody. Neighbours may be told apart or as one. Each call is of one moment. Checks no
 * permission. LINKFS_EISDIR, LINKFS_EINVAL (no regular file), LINKFS_ESTALE, LINKFS_ECORRUPT. */
LINKFS_API int linkfs_node_extents(struct linkfs_volume *volume, uint64_t ino, uint64_t *offset, linkfs_extent_fn *fn,
				   void *arg);
/* Copies a range; whole blocks are shared, not copied. The ranges must not overlap in one file (LINKFS_EINVAL).
 * Stops at the source's end; *done_out tells. */
LINKFS_API int linkfs_node_copy_range(struct linkfs_volume *volume, const struct linkfs_cred *cred, uint64_t from,
				      uint64_t from_offset, uint64_t to, uint64_t to_offset, uint64_t length,
				      uint64_t *done_out);

/* Compresses content that is there: some of the file's, from byte *offset on (0 to begin with); *offset is where to go on, UINT64_MAX at the end, and what it
 * saved on disk is added to *saved_out. level: 1 to LINKFS_COMPRESSION_LEVEL_MAX; 0: as the file and the volume say, which may be not at all.
 * The file is the same to everybody, its times too; each step happens wholly or not at all. What snapshots or other files share is left alone, as it would be there twice, and what
 * does not get smaller. For root and the owner, else LINKFS_EPERM. LINKFS_EISDIR, LINKFS_EINVAL (no regular file, or no such level), LINKFS_EROFS. */
#define LINKFS_COMPRESSION_LEVEL_MAX 19u
#define LINKFS_COMPRESSION_LEVEL_DEFAULT 3u
LINKFS_API int linkfs_node_compress(struct linkfs_volume *volume, const struct linkfs_cred *cred, uint64_t ino,
				    uint32_t level, uint64_t *offset, uint64_t *saved_out);
/* A hint: who wrote to the file is done for now. Where content is compressed, the end of what was written in small pieces is made one then.
 * linkfs_file_close() and a mount's close(2) say so themselves. */
LINKFS_API void linkfs_node_written(struct linkfs_volume *volume, uint64_t ino);

/* Files with equal content. */

/* 128 bits that depend on the content of a regular file alone: equal contents have equal ones, however they are kept, and others hardly
 * ever; nothing is proved by them. Made of the checksums that the volume keeps of each block, so that nothing is read but a last block that is not
 * full. Of no single moment when the file is written meanwhile. Not stable between versions of the library. Checks no permission.
 * LINKFS_EISDIR, LINKFS_EINVAL (no regular file), LINKFS_ESTALE, LINKFS_ECORRUPT. */
LINKFS_API int linkfs_node_digest(struct linkfs_volume *volume, uint64_t ino, uint64_t digest_out[2]);

struct linkfs_dedupe {
	uint64_t shared; /* bytes that now share their blocks and did not */
	uint64_t freed;  /* of those, bytes in blocks that nothing else named, earlier states included */
	int equal;       /* the contents were equal to the end */
};
/* Compares the contents of two regular files byte by byte and lets file to share the blocks of file from wherever both have content
 * on disk, until the first difference. Nobody sees a change: content, times and sizes stay, and a write to either shows in that one alone. In steps of
 * 512 KiB, each of which is atomic and keeps writers out of both files; what was shared before an error or a difference stays shared.
 * Small files kept with the metadata have no blocks and are compared only. cred must be able to read from, and to own or be able to write to.
 * LINKFS_DEDUPE_LOOK changes nothing and counts what would be done. LINKFS_EACCES, LINKFS_EISDIR, LINKFS_EINVAL, LINKFS_ESTALE,
 * LINKFS_EROFS, LINKFS_ENOSPC, LINKFS_ECORRUPT. *out is set in any case. */
#define LINKFS_DEDUPE_LOOK 1u
LINKFS_API int linkfs_node_dedupe(struct linkfs_volume *volume, const struct linkfs_cred *cred, uint64_t from,
				  uint64_t to, uint32_t flags, struct linkfs_dedupe *out);
/* The name, another regular file's so far, becomes a name of file ino, in one step, if the two contents are equal; they are compared with both files
 * locked against writers. Owner, mode, times, xattrs and flags are ino's from then on, whatever the other's were; the other file
 * loses this name as by unlink. Who has it open keeps it. A name of ino already is left alone. LINKFS_ENODATA when the contents differ;
 * LINKFS_EPERM unless cred owns both files or is root; LINKFS_EAGAIN when the name became another file's meanwhile; LINKFS_EMLINK; and as
 * linkfs_node_unlink(). */
LINKFS_API int linkfs_node_merge(struct linkfs_volume *volume, const struct linkfs_cred *cred, uint64_t ino,
				 uint64_t dir, const char *name, size_t name_len);

/* Extended attributes under Linux's rules (user.*, trusted.*, security.*, system.posix_acl_access and _default in the
 * kernel's xattr format). size 0 asks for the length; too small a buffer is LINKFS_ERANGE; none is LINKFS_ENODATA.
 * The list is NUL-terminated names, those the credential may see. */
#define LINKFS_XATTR_CREATE 1u
#define LINKFS_XATTR_REPLACE 2u
#define LINKFS_XATTR_KILL_SGID 4u /* with an ACL: the kernel asks to drop setgid */
LINKFS_API int linkfs_node_getxattr(struct linkfs_volume *volume, const struct linkfs_cred *cred, uint64_t ino,
				    const char *name, void *buf, size_t size, size_t *len_out);
LINKFS_API int linkfs_node_setxattr(struct linkfs_volume *volume, const struct linkfs_cred *cred, uint64_t ino,
				    const char *name, const void *value, size_t size, uint32_t flags);
LINKFS_API int linkfs_node_listxattr(struct linkfs_volume *volume, const struct linkfs_cred *cred, uint64_t ino,
				     char *buf, size_t size, size_t *len_out);
LINKFS_API int linkfs_node_removexattr(struct linkfs_volume *volume, const struct linkfs_cred *cred, uint64_t ino,
				       const char *name);

/* ---- path-level calls: for programs that embed a file tree ------------------------------------------------------ */

/* A path that starts with '/' is walked from the volume's root, else from directory at (LINKFS_ROOT_INO, or any
 * directory's number). Absolute symlink targets start at the volume's root. Walks as Linux does: search permission in
 * each directory, at most LINKFS_SYMLOOP_MAX expansions, trailing slashes follow and demand a directory. */
#define LINKFS_NOFOLLOW 4u /* do not follow a symlink that is the last component */
LINKFS_API int linkfs_path_stat(struct linkfs_volume *volume, const struct linkfs_cred *cred, uint64_t at,
				const char *path, uint32_t flags, struct linkfs_stat *out);
/* The directory of the last component and its name, for calls that make or remove it. *name_out points into path
 * (or to "." for a path of only slashes); trailing slashes are not part of the name; *slash_out (may be NULL) tells if
 * there were any. The last component is not looked at. */
LINKFS_API int linkfs_path_parent(struct linkfs_volume *volume, const struct linkfs_cred *cred, uint64_t at,
				  const char *path, uint64_t *dir_out, const char **name_out, size_t *name_len_out,
				  int *slash_out);
LINKFS_API int linkfs_path_make(struct linkfs_volume *volume, const struct linkfs_cred *cred, uint64_t at,
				const char *path, const struct linkfs_make *how, struct linkfs_stat *out);
LINKFS_API int linkfs_path_symlink(struct linkfs_volume *volume, const struct linkfs_cred *cred, const char *target,
				   uint64_t at, const char *path, struct linkfs_stat *out);
/* Puts a symlink at path in place of whatever file or symlink is there, in one step (ln -sfn). A directory there is LINKFS_EISDIR. */
LINKFS_API int linkfs_path_replace_symlink(struct linkfs_volume *volume, const struct linkfs_cred *cred,
					   const char *target, uint64_t at, const char *path, struct linkfs_stat *out);
/* Makes a tracked symlink (D5) at path to what target names, symlinks followed: a file or directory of this volume. Its text is the
 * relative path from its directory to the target at every moment: moving or renaming the target, the link, or a directory above either
 * changes it; where several paths lead to its directory, each reads another. Of a target with several names it has the one that was used, followed when that is renamed; when that is removed,
 * one of the others. When the target has lost its last name the text stays what it was, and the link is as any dangling symlink; a
 * new file there is where it leads, and is not tracked. The text is for all to read who come to the link, also when the target has moved
 * to where they may not look. A save by rename over the target leaves the link at the name, but see LINKFS_INO_KEEP_LINKS.
 * flags LINKFS_TRACK_REPLACE: as linkfs_path_replace_symlink(). A tracked symlink has one name: linking it is LINKFS_EMLINK.
 * LINKFS_EEXIST without REPLACE when something is there, and when that is the target itself; LINKFS_EMLINK when 1,000 links
 * track the target; LINKFS_ENAMETOOLONG when the text would be longer than 4,095 bytes. When it becomes so by a move, reading or following the link is
 * LINKFS_ENAMETOOLONG, and its size 4096, until another move makes it shorter. */
#define LINKFS_TRACK_REPLACE 1u
LINKFS_API int linkfs_path_track(struct linkfs_volume *volume, const struct linkfs_cred *cred, uint64_t target_at,
				 const char *target, uint64_t at, const char *path, uint32_t flags,
				 struct linkfs_stat *out);
/* flags LINKFS_FOLLOW: when old_path is a symlink, link its target (AT_SYMLINK_FOLLOW); default links the symlink itself. */
#define LINKFS_FOLLOW 8u
LINKFS_API int linkfs_path_link(struct linkfs_volume *volume, const struct linkfs_cred *cred, uint64_t old_at,
				const char *old_path, uint64_t new_at, const char *new_path, uint32_t flags);
/* linkfs_node_unshare() and linkfs_node_clone() by path. The last component of path is never followed; old_path's is with
 * LINKFS_FOLLOW. */
LINKFS_API int linkfs_path_unshare(struct linkfs_volume *volume, const struct linkfs_cred *cred, uint64_t at,
				   const char *path, struct linkfs_stat *out);
LINKFS_API int linkfs_path_clone(struct linkfs_volume *volume, const struct linkfs_cred *cred, uint64_t old_at,
				 const char *old_path, uint64_t new_at, const char *new_path, uint32_t flags,
				 struct linkfs_stat *out);
/* By path: what is linked or shown is followed when it is a symlink, the name that receives it is not. */
LINKFS_API int linkfs_path_link_directory(struct linkfs_volume *volume, const struct linkfs_cred *cred, uint64_t old_at,
					  const char *old_path, uint64_t new_at, const char *new_path);
LINKFS_API int linkfs_path_bind(struct linkfs_volume *volume, const struct linkfs_cred *cred, uint64_t source_at,
				const char *source_path, uint64_t at, const char *path);
LINKFS_API int linkfs_path_unbind(struct linkfs_volume *volume, const struct linkfs_cred *cred, uint64_t at,
				  const char *path);
LINKFS_API int linkfs_path_unlink(struct linkfs_volume *volume, const struct linkfs_cred *cred, uint64_t at,
				  const char *path);
LINKFS_API int linkfs_path_rmdir(struct linkfs_volume *volume, const struct linkfs_cred *cred, uint64_t at,
				 const char *path);
LINKFS_API int linkfs_path_rename(struct linkfs_volume *volume, const struct linkfs_cred *cred, uint64_t old_at,
				  const char *old_path, uint64_t new_at, const char *new_path, uint32_t flags);
LINKFS_API int linkfs_path_readlink(struct linkfs_volume *volume, const struct linkfs_cred *cred, uint64_t at,
				    const char *path, char *buf, size_t size, size_t *len_out);
/* flags: 0 or LINKFS_NOFOLLOW. */
LINKFS_API int linkfs_path_setattr(struct linkfs_volume *volume, const struct linkfs_cred *cred, uint64_t at,
				   const char *path, uint32_t flags, const struct linkfs_setattr *change);

/* Open files: keep an unlinked file alive and remember what they were opened for. */
struct linkfs_file;
#define LINKFS_O_READ 1u
#define LINKFS_O_WRITE 2u
#define LINKFS_O_APPEND 4u
#define LINKFS_O_CREATE 8u /* make a regular file with mode when there is none */
#define LINKFS_O_EXCL 16u  /* with CREATE: LINKFS_EEXIST when there is one, a dangling symlink included */
#define LINKFS_O_TRUNC 32u
#define LINKFS_O_NOFOLLOW 64u /* LINKFS_ELOOP when the last component is a symlink */
#define LINKFS_O_SYNC 128u    /* every write durable when it returns */
#define LINKFS_O_TMPFILE 256u /* path names a directory; makes a file without a name in it */
/* *out is freed by linkfs_file_close(). Directories: LINKFS_EISDIR for writing. */
LINKFS_API int linkfs_file_open(struct linkfs_volume *volume, const struct linkfs_cred *cred, uint64_t at,
				const char *path, uint32_t flags, uint32_t mode, struct linkfs_file **out);
/* Frees the handle (NULL allowed); the last handle of an unlinked file frees the file. Not durable: sync first. */
LINKFS_API void linkfs_file_close(struct linkfs_file *file);
LINKFS_API uint64_t linkfs_file_ino(const struct linkfs_file *file);
/* As linkfs_node_read/write; LINKFS_EBADF when not opened for it. */
LINKFS_API int linkfs_file_read(struct linkfs_file *file, uint64_t offset, void *buf, size_t size, size_t *done_out);
LINKFS_API int linkfs_file_write(struct linkfs_file *file, uint64_t offset, const void *buf, size_t size,
				 size_t *done_out);
LINKFS_API int linkfs_file_truncate(struct linkfs_file *file, uint64_t size);
LINKFS_API int linkfs_file_stat(struct linkfs_file *file, struct linkfs_stat *out);
LINKFS_API int linkfs_file_sync(struct linkfs_file *file, int data_only);
/* Gives an open file (of O_TMPFILE, or unlinked) a name (linkat with AT_EMPTY_PATH). A file that was unlinked, other
 * than by O_TMPFILE, is LINKFS_ENOENT as on Linux. */
LINKFS_API int linkfs_file_link(struct linkfs_file *file, const struct linkfs_cred *cred, uint64_t at,
				const char *path);

/* Open directories. */
struct linkfs_dir;
LINKFS_API int linkfs_dir_open(struct linkfs_volume *volume, const struct linkfs_cred *cred, uint64_t at,
			       const char *path, struct linkfs_dir **out);
/* The next entry, valid until the next call on this handle; *out is NULL at the end. One thread at a time per handle. */
LINKFS_API int linkfs_dir_read(struct linkfs_dir *dir, const struct linkfs_entry **out);
LINKFS_API uint64_t linkfs_dir_tell(const struct linkfs_dir *dir);
LINKFS_API void linkfs_dir_seek(struct linkfs_dir *dir, uint64_t cookie);
LINKFS_API uint64_t linkfs_dir_ino(const struct linkfs_dir *dir);
LINKFS_API void linkfs_dir_close(struct linkfs_dir *dir);

/* ---- deleted files ------------------------------------------------------------------------------------------- */

/* With property keep-deleted, each name that goes (unlink, rmdir, rename or replace_symlink over it) is remembered for that long, and a
 * file or directory that lost its last name is kept with its number, content and attributes. It is not in the tree, its number is
 * LINKFS_ESTALE (but for who held it when its name went), and its space counts as free: when space is short the oldest go early, before
 * LINKFS_ENOSPC is said. A file that was open goes on as ever and is kept as it is when it is closed. Files made by O_TMPFILE that never
 * had a name are not kept. A shorter duration holds for what is kept already; "off" gives all of it up.
 *
 * Who: root everything; others what they own. To give a name back one must also be allowed to make it: to write and search the directory. */

struct linkfs_deleted {
	int64_t time_ns; /* when the name went; no two are equal: this is what names the deletion */
	uint64_t ino;
	uint64_t dir;     /* the directory it was in */
	const char *name; /* this and path are valid during the callback */
	size_t name_len;
	const char *
		path; /* from the root, as its directory is called now or was last; NULL when it is gone, or may not be searched */
	uint32_t flags;          /* LINKFS_DELETED_... */
	int64_t expires_ns;      /* when it is given up at the latest */
	struct linkfs_stat stat; /* nlink: names that it has today */
};
#define LINKFS_DELETED_REPLACED 1u /* another file took its name in the same step */
#define LINKFS_DELETED_DIR_KEPT 2u /* its directory was deleted and is kept; it comes back with it */
#define LINKFS_DELETED_DIR_GONE 4u /* its directory, or one above, is gone for good */

/* Which ones; zero what does not matter. */
struct linkfs_deleted_query {
	uint64_t dir;     /* those that were in this directory (by number; it may be deleted and kept itself); 0: all */
	const char *name; /* with dir: of this name */
	size_t name_len;
	uint64_t ino;     /* names of this file */
	int64_t since_ns; /* that went at this time or after it */
	uint32_t flags;
};
#define LINKFS_DELETED_BELOW 1u /* dir: at any depth in it */
#define LINKFS_DELETED_NAMED 2u /* names of files that have others, too */
typedef int linkfs_deleted_fn(void *arg, const struct linkfs_deleted *deleted);
/* Lists them, the newest first. *cursor is 0 to begin with, and says where to go on; it is 0 again at the end. A call may return 0 after a
 * bounded number of them. fn may stop it with a nonzero result: that one then counts as not read. */
LINKFS_API int linkfs_deleted_list(struct linkfs_volume *volume, const struct linkfs_cred *cred,
				   const struct linkfs_deleted_query *query, int64_t *cursor, linkfs_deleted_fn *fn,
				   void *arg);
/* When the removals that are the last changes of directory dir began: the time of the first name that went from it since anything came
 * into it or was moved out of it. So those since then are what rm -r took. LINKFS_ENOENT when none went last. */
LINKFS_API int linkfs_deleted_since(struct linkfs_volume *volume, uint64_t dir, int64_t *since_out);

struct linkfs_undelete {
	uint64_t dir;     /* the directory to put it in; 0: where it was */
	const char *name; /* the name to give it; NULL: its own */
	size_t name_len;
	uint32_t flags;
};
/* When the removal was the last change of its directory, the directory's mtime becomes again what it was before. */
#define LINKFS_UNDELETE_DIR_TIME 1u
/* Gives one name back; how may be NULL. Directories on the way that were deleted and are kept are given back first, each in a step of
 * its own. Never in the place of something: LINKFS_EEXIST. A directory comes back empty; what went from it finds its place again.
 * Errors: LINKFS_ENOENT (no such deletion, or no more), LINKFS_EPERM (another's file), LINKFS_EACCES (the directory), LINKFS_ESTALE (its
 * directory is gone for good: name another), LINKFS_EBUSY (a directory that is still in use, as a working directory is; or with
 * a mount, for a moment after its removal), LINKFS_EROFS, LINKFS_ENOSPC. out may be NULL. */
LINKFS_API int linkfs_deleted_restore(struct linkfs_volume *volume, const struct linkfs_cred *cred, int64_t time_ns,
				      const struct linkfs_undelete *how, struct linkfs_stat *out);
/* Gives one up now; the file's space with its last one. LINKFS_ENOENT, LINKFS_EPERM. */
LINKFS_API int linkfs_deleted_purge(struct linkfs_volume *volume, const struct linkfs_cred *cred, int64_t time_ns);

#ifdef __cplusplus
}
#endif
#endif
