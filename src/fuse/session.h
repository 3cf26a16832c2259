/*
 * session.h - what the files of the mount share: the session (struct linkfs_mount), one request on its way through
 * dispatch, and the functions across files. How a request travels:
 *
 *   wait.c reads bytes -> dispatch.c checks the header and the table row -> ops_*.c unpacks, calls linkfs_node_*,
 *   packs (pack.c) -> dispatch.c writes the reply's header -> wait.c writes the bytes.
 *
 * Everything between the two ends is a function of bytes to bytes and runs without a kernel in tests/fuse/.
 * Node id: the kernel's name of an inode; see lk_fuse_ino(). Layer: fuse; includes the public headers only.
 */
#ifndef LK_FUSE_SESSION_H
#define LK_FUSE_SESSION_H

#include "protocol.h"
#include <linkfs.h>
#include <linkfs_mount.h>
#include <linkfs_snapshots.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#define LK_FUSE_ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))

/* Longest content of one request or reply (M2: 256 pages), and the room beside it for headers. */
#define LK_FUSE_CONTENT_MAX 1048576u
#define LK_FUSE_PAGES_MAX 256u
#define LK_FUSE_BUFFER_SIZE (LK_FUSE_CONTENT_MAX + 8192u)

/* Forever, in seconds: the kernel clamps it to the longest time it can count. */
#define LK_FUSE_FOREVER (1ull << 40)

/* What INIT agreed on. Written before the first other request is served. */
struct lk_fuse_conn {
	uint32_t minor;
	uint64_t offered, agreed; /* FUSE_... flags, flags2 in the upper half */
	uint32_t generation;      /* of every inode but the root: ties file handles to this volume */
	bool ready;
	bool no_open; /* OPEN is answered with ENOSYS */
	bool writeback;
};

struct lk_fuse_counts {
	_Atomic uint64_t requests, errors, nanoseconds;
};

struct lk_fuse_pool;
struct lk_fuse_notifier;
struct lk_fuse_ahead;
struct lk_fuse_texts;
struct lk_fuse_writers;
struct lk_fuse_saves;
struct lk_fuse_timer;

struct linkfs_mount {
	struct linkfs_volume *volume;
	struct lk_fuse_conn conn;
	struct lk_fuse_counts counts[LK_FUSE_OPCODES];
	_Atomic uint32_t slow_ns[LK_FUSE_OPCODES]; /* moving average of the time to serve one (pool.c) */
	int fd;                                    /* the connection */
	int stop_fd;                               /* eventfd: linkfs_mount_stop(), or a worker saw the connection go */
	_Atomic bool stopping;                     /* asked to stop */
	_Atomic bool gone;                         /* the kernel's side is closed */
	bool privileged;                           /* made by mount(2), not by fusermount3 */
	bool mounted;
	bool no_snapshots;
	uint32_t threads, poll_us;
	_Atomic uint64_t uncapped; /* ops_attr.c: who last took the file capabilities off which inode */
	uint64_t mount_id;         /* of /proc/self/mountinfo; 0: not found there */
	uint32_t dev_minor;        /* of st_dev; its major is 0 */
	char *point;               /* absolute, without symlinks */
	struct lk_fuse_pool *pool;
	struct lk_fuse_notifier *notifier;
	struct lk_fuse_ahead *ahead;
	struct lk_fuse_texts *texts; /* NULL: none are remembered */
	struct lk_fuse_writers *writers;
	struct lk_fuse_saves *saves; /* NULL: renames go on as they come */
	struct lk_fuse_timer *timer; /* NULL: the mount takes no snapshots by itself */
};

/* ---- one request ------------------------------------------------------------------------------------------ */

struct lk_fuse_request {
	struct linkfs_mount *mount;
	const struct fuse_in_header *in;
	const void *arg; /* what follows the header, 8-byte aligned */
	size_t arg_len;
	void *out; /* room for the reply's content, 8-byte aligned */
	size_t out_cap, out_len;
	struct linkfs_cred cred; /* umask is set by the operations that have one */
	uint32_t group;          /* the supplementary group lk_fuse_join_group() found */
	uint64_t ino;            /* the node of the header's id */
	enum { LK_FUSE_ASK, LK_FUSE_ONE_PATH, LK_FUSE_MORE_PATHS } paths; /* of that node (lk_fuse_name_time()) */
	uint64_t held;     /* the node the reply gives the kernel a hold on; 0: none */
	bool held_entries; /* the reply is READDIRPLUS records, each with a hold */
	uint64_t
		next_cookie; /* the reply is READDIR records, and the caller surely asks for those after this; else 0 */
};

/* Handlers return 0 with out_len set, or a negative LINKFS_E... code. */
typedef int lk_fuse_handler(struct lk_fuse_request *rq);

#define LK_FUSE_SILENT 1u  /* has no reply */
#define LK_FUSE_NO_NODE 2u /* the header's node id means nothing */
#define LK_FUSE_TELLS 8u   /* changes names: where directories have several places, tells of it and waits */
#define LK_FUSE_SLOW 4u    /* may wait for the disk or move much: never served by the only thread that listens */

struct lk_fuse_op {
	const char *name;
	lk_fuse_handler *run; /* NULL: answered with error */
	uint16_t min_arg;     /* least bytes after the header */
	uint8_t flags;
	int error; /* a host errno; 0 with run NULL: no such operation */
};
extern const struct lk_fuse_op lk_fuse_ops[LK_FUSE_OPCODES];

/* Serves one request of len bytes at in (aligned); the reply goes to out, at most out_cap bytes (at least
 * LK_FUSE_BUFFER_SIZE in service). Returns the reply's length, 0 when there is none. rq is filled for
 * lk_fuse_undo(). */
size_t lk_fuse_dispatch(struct linkfs_mount *mount, const void *in, size_t len, void *out, size_t out_cap,
			struct lk_fuse_request *rq);
/* The kernel did not take the reply: gives back the holds it would have learned of. */
void lk_fuse_undo(struct lk_fuse_request *rq, const void *out, size_t out_len);
/* Puts the file's group into the caller's credential when he is in it and it decides about setgid. */
void lk_fuse_join_group(struct lk_fuse_request *rq);
/* The supplementary groups of a thread; *out is freed by the caller, NULL when there are none. */
uint32_t lk_fuse_groups(uint32_t thread, uint32_t **out);
/* The table row of a request, NULL when there is none. in has at least a header. */
const struct lk_fuse_op *lk_fuse_op_find(const void *in);

/* What the library calls the node of a node id: the same number. LINKFS_ESTALE for one that can be none. The 48 bits below are an inode's
 * number or a place's (K5); the 16 above are 0 for the live tree, all ones for a place, and a snapshot's slot in between (M4). */
int lk_fuse_ino(uint64_t nodeid, uint64_t *ino_out);
static inline bool lk_fuse_is_place(uint64_t nodeid)
{
	return linkfs_node_tree(nodeid) == LINKFS_TREE_PLACE;
}

/* Of a snapshot; what has places of its own there is not told. */
static inline bool lk_fuse_is_past(uint64_t nodeid)
{
	return linkfs_node_past(nodeid);
}
/* A symlink whose text changes with what it tracks: in a snapshot nothing does. */
static inline bool lk_fuse_is_tracked(const struct linkfs_stat *st)
{
	return (st->flags & LINKFS_INO_TRACKED) && !linkfs_node_past(st->ino);
}

/* ---- .snapshots (snapshots.c) ------------------------------------------------------------------------------ */

/* Whether a node is that directory; whether the name in rq's directory is its. */
bool lk_fuse_is_snapshots(uint64_t node);
bool lk_fuse_is_snapshots_name(const struct lk_fuse_request *rq, const char *name, size_t len);
int lk_fuse_snapshots_stat(struct lk_fuse_request *rq, struct linkfs_stat *out);
/* In the root, which has no such entry, or in the directory: with a hold on a snapshot's root. LINKFS_ENOENT. */
int lk_fuse_snapshots_lookup(struct lk_fuse_request *rq, const char *name, size_t len, struct linkfs_stat *out);
int lk_fuse_snapshots_list(struct lk_fuse_request *rq, uint64_t cookie, linkfs_entry_fn *fn, void *arg);
/* What another operation on it gets; 0: it is one of those that it takes. */
int lk_fuse_snapshots_other(uint32_t opcode);

/* ---- unpacking and packing (pack.c) ----------------------------------------------------------------------- */

/* Takes the next NUL-terminated name at *pos of the arguments and moves *pos behind it. LINKFS_EINVAL when it does not
 * end inside them or is empty or holds a slash, LINKFS_ENAMETOOLONG beyond LINKFS_NAME_MAX. */
int lk_fuse_take_name(const struct lk_fuse_request *rq, size_t *pos, const char **name_out, size_t *len_out);
/* As above for bytes that may be any text: a symlink's target. */
int lk_fuse_take_text(const struct lk_fuse_request *rq, size_t *pos, const char **text_out, size_t *len_out);
/* Room for a reply of size zeroed bytes; NULL when it does not fit. Sets out_len. */
void *lk_fuse_reply(struct lk_fuse_request *rq, size_t size);

void lk_fuse_pack_attr(struct fuse_attr *out, const struct linkfs_stat *st);
/* How long attributes hold: not at all those of a tracked symlink, whose size others change. */
uint64_t lk_fuse_attr_valid(const struct linkfs_stat *st);
/* Of a name in rq's directory. Before the reply goes lk_fuse_entry_known() is to see it, where calls of the library may be made. */
void lk_fuse_pack_entry(struct lk_fuse_request *rq, struct fuse_entry_out *out, const struct linkfs_stat *st);
void lk_fuse_entry_known(const struct lk_fuse_request *rq, const struct fuse_entry_out *out);
/* Seconds for which the kernel may take names in rq's directory, absent ones too, for what they were: none where they change by other
 * paths. */
uint64_t lk_fuse_name_time(struct lk_fuse_request *rq);
/* Nanoseconds since the epoch of the protocol's seconds and nanoseconds, clamped to what 64 bits hold. */
int64_t lk_fuse_unpack_time(uint64_t sec, uint32_t nsec);

/* ---- operations ------------------------------------------------------------------------------------------- */

lk_fuse_handler lk_fuse_init;                                                                   /* init.c */
lk_fuse_handler lk_fuse_lookup, lk_fuse_forget, lk_fuse_batch_forget;                           /* ops_nodes.c */
lk_fuse_handler lk_fuse_mknod, lk_fuse_mkdir, lk_fuse_symlink, lk_fuse_create, lk_fuse_tmpfile; /* ops_names.c */
lk_fuse_handler lk_fuse_link, lk_fuse_unlink, lk_fuse_rmdir, lk_fuse_rename, lk_fuse_rename2, lk_fuse_readlink;
lk_fuse_handler lk_fuse_getattr, lk_fuse_setattr, lk_fuse_statx_get, lk_fuse_statfs;       /* ops_attr.c */
lk_fuse_handler lk_fuse_open, lk_fuse_release, lk_fuse_read, lk_fuse_write, lk_fuse_fsync; /* ops_content.c */
lk_fuse_handler lk_fuse_syncfs, lk_fuse_fallocate, lk_fuse_lseek, lk_fuse_copy, lk_fuse_copy_64;
lk_fuse_handler lk_fuse_setxattr, lk_fuse_getxattr, lk_fuse_listxattr, lk_fuse_removexattr; /* ops_xattr.c */
/* ops_links.c: GETXATTR of a name in linkfs.; into rq->out, at most size bytes (0: none, the length is asked). LINKFS_ENODATA. */
int lk_fuse_links_xattr(struct lk_fuse_request *rq, const char *name, size_t size, size_t *len_out);
/* Whether a request, which has a header at least, is one, and so may take long. */
bool lk_fuse_asks_links(const void *in, size_t len);
lk_fuse_handler lk_fuse_readdir, lk_fuse_readdirplus; /* ops_dirs.c */
lk_fuse_handler lk_fuse_done;                         /* an operation that only needs a reply */

/* READDIR records after cookie, at most size bytes, into out. *more_out: the cookie to go on from, 0 at the
 * end. (ops_dirs.c) */
int lk_fuse_list(struct lk_fuse_request *rq, bool plus, uint64_t cookie, void *out, size_t size, size_t *len_out,
		 uint64_t *more_out);

/* The file capabilities of rq's inode have been removed: see unpack_change() in ops_attr.c. */
void lk_fuse_uncapped(struct lk_fuse_request *rq);
/* Drops every hold of the READDIRPLUS records in a reply's content. */
void lk_fuse_release_entries(struct linkfs_mount *mount, const void *records, size_t len);

/* ---- the rest --------------------------------------------------------------------------------------------- */

void lk_fuse_count(struct linkfs_mount *mount, uint32_t opcode, bool failed, uint64_t nanoseconds); /* counters.c */

/* pool.c: serves with up to mount->threads threads until the connection is gone or lk_fuse_pool_end(). */
int lk_fuse_pool_start(struct linkfs_mount *mount);
void lk_fuse_pool_end(struct linkfs_mount *mount); /* tells and waits for all workers */
/* wait.c */
/* Serves the first request, which must be INIT, within timeout_ms. */
int lk_fuse_serve_init(struct linkfs_mount *mount, int timeout_ms);
uint64_t lk_fuse_clock_ns(void);

/* ahead.c: parts of listings read before they are asked for. A mount whose ahead is NULL reads none. */
struct lk_fuse_ahead *lk_fuse_ahead_new(void);
void lk_fuse_ahead_free(struct lk_fuse_ahead *ahead);
/* After the reply to rq, whose next_cookie is set. */
void lk_fuse_ahead_make(struct lk_fuse_request *rq);
/* Fills rq's reply with size bytes of records at most after cookie if they are there and still true. */
bool lk_fuse_ahead_take(struct lk_fuse_request *rq, uint64_t cookie, size_t size);

/* notify.c */
int lk_fuse_notifier_start(struct linkfs_mount *mount);
/* Sends what is waiting and takes no more; callers go on at once. The workers must still be answering. */
void lk_fuse_notifier_stop(struct linkfs_mount *mount);
void lk_fuse_notifier_end(struct linkfs_mount *mount);
/* Sends what an observer's events call for and returns when the kernel has taken it. The caller holds no lock. */
void lk_fuse_notify_events(struct linkfs_mount *mount, const struct linkfs_event *events, size_t count);

/* The kernel drops the pages of a node, changed ones after it has written them to us: a file's content, or the text of a symlink; and its
 * attributes. Waits for requests that are under way for them. */
void lk_fuse_drop_pages(struct linkfs_mount *mount, uint64_t node);

/* The kernel drops what it knows of the node's names, but for those that somebody uses just now. It waits for no lock. Kernels before
 * 6.18 cannot. */
void lk_fuse_drop_names(struct linkfs_mount *mount, uint64_t node);

/* writers.c: files that are open so that they may be mapped and written to. flags: open(2)'s. */
struct lk_fuse_writers *lk_fuse_writers_new(void);
void lk_fuse_writers_free(struct lk_fuse_writers *writers);
int lk_fuse_writer_opens(struct linkfs_mount *mount, uint64_t node, uint32_t flags);
void lk_fuse_writer_closes(struct linkfs_mount *mount, uint64_t node, uint32_t flags);

/* saves.c: what the kernel knows of a file that is renamed over one that keeps its links. */
struct lk_fuse_saves *lk_fuse_saves_new(void);
void lk_fuse_saves_free(struct lk_fuse_saves *saves);
/* Whether names of the file are to be asked at each use: it keeps its links, or is about to. */
bool lk_fuse_save_asks(struct linkfs_mount *mount, const struct linkfs_stat *st);
/* Whether a rename of rq's directory is to be answered with ESTALE, so that the kernel asks for the names and comes again. */
bool lk_fuse_save_comes(struct lk_fuse_request *rq, const char *old_name, size_t old_len, uint64_t new_dir,
			const char *new_name, size_t new_len);

/* texts.c: texts of tracked symlinks that the kernel holds. Start last, stop while workers still answer. */
int lk_fuse_texts_start(struct linkfs_mount *mount);
void lk_fuse_texts_stop(struct linkfs_mount *mount);
void lk_fuse_texts_end(struct linkfs_mount *mount);
/* A reply names the tracked link, by node id. */
void lk_fuse_texts_known(struct linkfs_mount *mount, uint64_t id);
/* Before the text of node id is made for the kernel. */
int lk_fuse_texts_reading(struct linkfs_mount *mount, uint64_t id);
/* Texts may be others now. own: by a call of the kernel's own, whose reply waits (defer); else returns when the kernel has dropped them. */
void lk_fuse_texts_moved(struct linkfs_mount *mount, bool own);
/* Takes a reply of a header alone when it must wait until texts are dropped, and sends it then. */
bool lk_fuse_texts_defer(struct linkfs_mount *mount, const struct fuse_out_header *reply);

/* timer.c: snapshots by themselves. new where there may be any; start when workers answer, stop while they still do. */
int lk_fuse_timer_new(struct linkfs_mount *mount, const struct linkfs_mount_options *options);
int lk_fuse_timer_start(struct linkfs_mount *mount);
void lk_fuse_timer_stop(struct linkfs_mount *mount);
void lk_fuse_timer_end(struct linkfs_mount *mount);
/* A property was set. */
void lk_fuse_timer_wake(struct linkfs_mount *mount);

/* attach.c: making and removing the mount itself. */
int lk_fuse_attach(struct linkfs_mount *mount, const char *point, const struct linkfs_mount_options *options,
		   struct linkfs_message *why);
void lk_fuse_raise_readahead(const struct linkfs_mount *mount);
/* Unmounts if it is still there; lazily when it is in use. */
void lk_fuse_detach(struct linkfs_mount *mount);
int lk_fuse_unmount_at(const char *point, bool lazy, struct linkfs_message *why);

/* fusermount.c: the mount helper for ordinary users. */
int lk_fuse_helper_mount(const char *point, const char *options, int *fd_out, struct linkfs_message *why);
int lk_fuse_helper_unmount(const char *point, bool lazy, struct linkfs_message *why);

/* mountinfo.c */
struct lk_fuse_mountinfo {
	uint64_t id;
	uint32_t dev_minor;
	char type[64];
	char source[512];
};
/* The topmost mount at an absolute path without symlinks; LINKFS_ENOENT when nothing is mounted there. */
int lk_fuse_mountinfo_at(const char *point, struct lk_fuse_mountinfo *out);
/* Where the mount with this id and device is now (point_out of size bytes); LINKFS_ENOENT when it is gone. Both numbers are used
 * again when the mount is gone. */
int lk_fuse_mountinfo_point(uint64_t id, uint32_t dev_minor, char *point_out, size_t size);

/* message.c */
int lk_fuse_say(struct linkfs_message *why, int error, const char *format, ...) __attribute__((format(printf, 3, 4)));

#endif
