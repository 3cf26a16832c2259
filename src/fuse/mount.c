/*
 * mount.c - include/linkfs_mount.h: the life of a mount, from open to close.
 * Layer: fuse.
 */
#include "session.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

/* How long the kernel may take to send INIT; it does so while it mounts. */
#define INIT_TIMEOUT_MS 10000
/* How long a mount that was taken away may take to let go of its connection. */
#define FAREWELL_MS 200

static void observe(void *arg, const struct linkfs_event *events, size_t count)
{
	lk_fuse_notify_events(arg, events, count);
}

/* File handles hold the generation: one of another volume mounted at the same place must not be taken for ours. */
static uint32_t generation_of(struct linkfs_volume *volume)
{
	struct linkfs_info *info = calloc(1, sizeof(*info));
	uint32_t generation = 0;
	if (info && linkfs_volume_info(volume, info) == 0) {
		for (size_t i = 0; i < sizeof(info->uuid); i += sizeof(uint32_t)) {
			uint32_t word;
			memcpy(&word, info->uuid + i, sizeof(word));
			generation ^= word;
		}
	}
	free(info);
	return generation;
}

static struct linkfs_mount *session_new(struct linkfs_volume *volume, const struct linkfs_mount_options *options)
{
	struct linkfs_mount *mount = calloc(1, sizeof(*mount));
	if (!mount)
		return NULL;
	mount->volume = volume;
	mount->fd = -1;
	mount->threads = options->threads;
	mount->poll_us = options->no_poll ? 0 : options->poll_us ? options->poll_us : UINT32_MAX;
	mount->conn.no_open = options->no_snapshots;
	mount->no_snapshots = options->no_snapshots;
	mount->conn.writeback = options->writeback;
	mount->conn.generation = generation_of(volume);
	mount->ahead = lk_fuse_ahead_new();
	mount->saves = lk_fuse_saves_new();
	mount->writers = options->no_snapshots ? NULL : lk_fuse_writers_new();
	mount->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (mount->stop_fd < 0) {
		lk_fuse_ahead_free(mount->ahead);
		lk_fuse_writers_free(mount->writers);
		lk_fuse_saves_free(mount->saves);
		free(mount);
		return NULL;
	}
	return mount;
}

int linkfs_mount_open(struct linkfs_volume *volume, const char *mount_point, const struct linkfs_mount_options *options,
		      struct linkfs_mount **out, struct linkfs_message *why)
{
	static const struct linkfs_mount_options none;
	if (!volume || !mount_point || !out)
		return lk_fuse_say(why, LINKFS_EINVAL, "no volume or no mount point given");
	if (why)
		why->text[0] = 0;
	struct linkfs_mount *mount = session_new(volume, options ? options : &none);
	if (!mount)
		return lk_fuse_say(why, LINKFS_ENOMEM, "out of memory");
	int r = lk_fuse_attach(mount, mount_point, options ? options : &none, why);
	if (!r)
		r = lk_fuse_serve_init(mount, INIT_TIMEOUT_MS);
	if (!r)
		r = lk_fuse_notifier_start(mount);
	if (!r)
		r = lk_fuse_texts_start(mount);
	if (!r)
		r = lk_fuse_timer_new(mount, options ? options : &none);
	if (r) {
		if (why && !why->text[0])
			lk_fuse_say(why, r, "the kernel and linkfs did not agree on a protocol for %s: %s", mount_point,
				    linkfs_strerror(r));
		linkfs_mount_close(mount);
		return r;
	}
	lk_fuse_raise_readahead(mount);
	linkfs_volume_observe(volume, observe, mount);
	*out = mount;
	return 0;
}

/* True when the connection went within the time. */
static bool wait_gone(struct linkfs_mount *mount, int timeout_ms)
{
	uint64_t end = lk_fuse_clock_ns() + (uint64_t)timeout_ms * 1000000u;
	while (!atomic_load(&mount->gone) && lk_fuse_clock_ns() < end)
		poll(NULL, 0, 1);
	return atomic_load(&mount->gone);
}

int linkfs_mount_serve(struct linkfs_mount *mount)
{
	int r = lk_fuse_pool_start(mount);
	if (r)
		return r;
	/* Without a thread for it the mount serves, and takes no snapshots by itself. */
	(void)lk_fuse_timer_start(mount);
	struct pollfd wait = {.fd = mount->stop_fd, .events = POLLIN};
	while (!atomic_load(&mount->gone) && !atomic_load(&mount->stopping))
		poll(&wait, 1, -1);
	lk_fuse_timer_stop(mount);
	/* Unmounting may need answers (dirty pages of mappings), so the workers go on until it is done. */
	lk_fuse_detach(mount);
	wait_gone(mount, FAREWELL_MS);
	/* While somebody still answers: the kernel takes a notification only when the request that has the page is answered. */
	lk_fuse_notifier_stop(mount);
	lk_fuse_texts_stop(mount);
	lk_fuse_pool_end(mount);
	return 0;
}

void linkfs_mount_stop(struct linkfs_mount *mount)
{
	const uint64_t one = 1;
	int saved = errno;
	atomic_store(&mount->stopping, true);
	ssize_t n = write(mount->stop_fd, &one, sizeof(one));
	(void)n;
	errno = saved;
}

void linkfs_mount_close(struct linkfs_mount *mount)
{
	if (!mount)
		return;
	if (mount->notifier) {
		linkfs_volume_observe(mount->volume, NULL, NULL);
		lk_fuse_notifier_end(mount);
	}
	lk_fuse_texts_end(mount);
	lk_fuse_timer_end(mount);
	lk_fuse_detach(mount);
	if (mount->fd >= 0)
		close(mount->fd);
	close(mount->stop_fd);
	lk_fuse_ahead_free(mount->ahead);
	lk_fuse_writers_free(mount->writers);
	lk_fuse_saves_free(mount->saves);
	free(mount->point);
	free(mount);
}

int linkfs_unmount(const char *mount_point, int lazy, struct linkfs_message *why)
{
	return lk_fuse_unmount_at(mount_point, lazy != 0, why);
}
