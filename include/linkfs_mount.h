/*
 * linkfs_mount.h - serve an open volume as a FUSE mount. A second public header, so that the command line can
 * mount without knowing the protocol; a build without FUSE links a version of these that answers LINKFS_ENOSYS.
 */
#ifndef LINKFS_MOUNT_H
#define LINKFS_MOUNT_H

#include "linkfs_prune.h"

#ifdef __cplusplus
extern "C" {
#endif

struct linkfs_mount;

/* What nobody waits for went wrong: a sentence without the reason, and the reason. From any thread. */
typedef void linkfs_mount_log_fn(void *arg, int error, const char *text);

/* Zero the struct, set what matters. */
struct linkfs_mount_options {
	const char *source; /* shown in /proc/mounts; the volume's path */
	const char *
		extra; /* more kernel mount options, comma-separated ("nosuid,nodev,noexec,ro,noatime..."); may be NULL */
	uint32_t allow_other;  /* users other than the mounter may use it (default for root) */
	uint32_t threads;      /* 0: as many as the machine suggests */
	uint32_t poll_us;      /* how long a worker polls before it sleeps; UINT32_MAX: adaptive (default when 0) */
	uint32_t no_poll;      /* always sleep */
	uint32_t writeback;    /* the kernel's writeback cache (M5) */
	uint32_t no_snapshots; /* OPEN may be answered with ENOSYS (M2); none are taken by themselves */
	linkfs_zone_fn *zone;  /* for snapshots that the mount takes by itself (linkfs_snapshot_tick()); NULL: UTC */
	linkfs_mount_log_fn *log;
	void *zone_arg, *log_arg;
};

/* Mounts at mount_point (a directory; must be absolute): mount(2) for root, fusermount3 otherwise. A stale mount there
 * is detached first. The kernel's INIT has been answered when it returns 0: the mount serves as soon as
 * linkfs_mount_serve() runs. why names the cause and the way out. */
LINKFS_API int linkfs_mount_open(struct linkfs_volume *volume, const char *mount_point,
				 const struct linkfs_mount_options *options, struct linkfs_mount **out,
				 struct linkfs_message *why);
/* Serves until unmounted or linkfs_mount_stop() is called, then unmounts if needed. Blocks. */
LINKFS_API int linkfs_mount_serve(struct linkfs_mount *mount);
/* Ends linkfs_mount_serve() soon; async-signal-safe. Refused by the kernel (busy) it detaches the mount lazily. */
LINKFS_API void linkfs_mount_stop(struct linkfs_mount *mount);
LINKFS_API void linkfs_mount_close(struct linkfs_mount *mount);

/* Request counters since the mount began. Row i is one operation; LINKFS_ENOENT past the end. */
struct linkfs_mount_counter {
	const char *operation; /* "LOOKUP" */
	uint64_t requests, errors;
	uint64_t nanoseconds; /* spent serving */
};
LINKFS_API int linkfs_mount_counter(struct linkfs_mount *mount, size_t i, struct linkfs_mount_counter *out);

/* Has the kernel hand over what programs have written through shared mappings (mmap(2)) and it has not written to the volume yet: returns when
 * it has. Before a snapshot. From any thread but the observer's. LINKFS_ENOMEM. */
LINKFS_API int linkfs_mount_hand_over(struct linkfs_mount *mount);

/* Unmounts what is mounted at mount_point (root: umount2, otherwise fusermount3 -u), lazily when lazy is set. */
LINKFS_API int linkfs_unmount(const char *mount_point, int lazy, struct linkfs_message *why);

#ifdef __cplusplus
}
#endif
#endif
