/*
 * mounted.h - a volume mounted by this process itself, for tests that use a mount and its library at once.
 */
#ifndef MOUNTED_H
#define MOUNTED_H

#include <linkfs.h>
#include <linkfs_mount.h>
#include <pthread.h>
#include <stdbool.h>
#include <sys/types.h>

struct mounted {
	char *dir; /* temporary, holds the two below */
	char volume_path[256], point[256];
	struct linkfs_volume *volume;
	struct linkfs_mount *mount;
	pthread_t server;
	int served; /* what linkfs_mount_serve() returned */
};

/* A fresh volume, mounted and served by a thread. options may be NULL. Fails the test when it cannot. */
void mounted_begin(struct mounted *m, const struct linkfs_mount_options *options);
/* Stops, closes and removes everything; fails the test when the mount or the volume does not end well. */
void mounted_end(struct mounted *m);
/* The path of a name in the mount: a static buffer, one of eight in turn. */
const char *at(const struct mounted *m, const char *name);
/* Requests of one operation so far. */
uint64_t requests(struct mounted *m, const char *operation);
uint64_t link_count(const char *path);
/* Makes the kernel forget names and inodes it can do without. */
void drop_caches(void);
/* Runs fn in a child as user uid, group gid with one more group; returns its exit status. */
int as_user(uid_t uid, gid_t gid, gid_t extra, int (*fn)(struct mounted *m), struct mounted *m);

/* Runs the group in a child process and cleans up mounts below a directory of its own, whatever happens there. */
int run_guarded(int (*tests)(void));

#endif
