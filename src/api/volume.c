/*
 * volume.c - volumes: create, open, close, sync, observe, and the calls on one inode that need nothing but it.
 * Layer: api.
 */
#include "call.h"

#include "host_dir.h"
#include "inode.h"
#include "owner.h"
#include "track.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int linkfs_sqlite_uncounted(void)
{
	return lk_db_uncounted();
}

int linkfs_volume_create(const char *path, const struct linkfs_create_options *options, struct linkfs_message *why)
{
	bool made_dir = false;
	char *dir = NULL;
	struct lk_owner_file *owner = NULL;
	if (!path || !*path)
		return lk_fail(why, LINKFS_EINVAL, "the path of the volume is empty");
	int r = lk_host_claim_dir(path, &dir, &made_dir, why);
	if (r)
		return r;
	r = lk_owner_take(dir, false, NULL, NULL, &owner, why);
	if (r == 0)
		r = lk_fs_create(dir, options, why);
	if (r == 0) {
		r = lk_host_sync_dir(dir, made_dir);
		if (r)
			(void)lk_fail(why, r, "cannot make %s durable: %s", dir, linkfs_strerror(r));
	}
	/* Removed while it is still ours, so that nobody can take a volume that is going. */
	if (r)
		lk_host_remove_volume(dir, made_dir);
	lk_owner_release(owner);
	free(dir);
	return r;
}

int linkfs_volume_open(const char *path, const struct linkfs_open_options *options, struct linkfs_volume **out,
		       struct linkfs_message *why)
{
	struct linkfs_open_options o = options ? *options : (struct linkfs_open_options){0};
	bool read_only = o.flags & LINKFS_OPEN_READONLY;
	const uint32_t known = LINKFS_OPEN_READONLY | LINKFS_OPEN_NOATIME | LINKFS_OPEN_STRICTATIME;
	if (!path || !*path)
		return lk_fail(why, LINKFS_EINVAL, "the path of the volume is empty");
	if (o.flags & ~known)
		return lk_fail(why, LINKFS_EINVAL, "unknown flags 0x%x to open a volume", o.flags & ~known);
	char *dir = NULL;
	int r = lk_host_volume_dir(path, &dir, why);
	if (r)
		return r;
	struct linkfs_volume *volume = calloc(1, sizeof(*volume));
	if (!volume)
		r = lk_fail(why, LINKFS_ENOMEM, "out of memory");
	if (r == 0)
		r = lk_owner_take(dir, read_only, o.mount_point, o.control_socket, &volume->owner, why);
	if (r == 0)
		r = lk_fs_open(dir, o.flags, o.commit_interval_ms, &volume->fs, why);
	free(dir);
	if (r) {
		if (volume)
			lk_owner_release(volume->owner);
		free(volume);
		return r;
	}
	*out = volume;
	return 0;
}

int linkfs_volume_close(struct linkfs_volume *volume)
{
	if (!volume)
		return 0;
	int r = lk_fs_close(volume->fs);
	lk_owner_release(volume->owner);
	free(volume);
	return r;
}

int linkfs_volume_sync(struct linkfs_volume *volume)
{
	return lk_txn_commit(volume->fs);
}

static int dir_of(const char *path, char **dir)
{
	int r = path && *path ? lk_host_volume_dir(path, dir, NULL) : LINKFS_EINVAL;
	return r == LINKFS_ENOENT || r == LINKFS_ENOTDIR ? LINKFS_ENOTVOLUME : r;
}

int linkfs_volume_owner(const char *path, struct linkfs_owner *out)
{
	char *dir = NULL;
	int r = dir_of(path, &dir);
	if (!r)
		r = lk_owner_read(dir, out);
	free(dir);
	return r;
}

int linkfs_volume_wait_unused(const char *path, uint32_t milliseconds)
{
	char *dir = NULL;
	int r = dir_of(path, &dir);
	if (!r)
		r = lk_owner_wait(dir, milliseconds);
	free(dir);
	return r;
}

int linkfs_volume_set_owner(struct linkfs_volume *volume, const char *mount_point, const char *control_socket)
{
	return lk_owner_tell(volume->owner, mount_point, control_socket);
}

void linkfs_volume_observe(struct linkfs_volume *volume, linkfs_observer *observer, void *arg)
{
	struct lk_fs *fs = volume->fs;
	(void)pthread_mutex_lock(&fs->lock);
	fs->observer = observer;
	fs->observer_arg = arg;
	(void)pthread_mutex_unlock(&fs->lock);
}

/* An inode without a name and without a hold is on its way out, whatever its record still says. */
static int get_alive(struct lk_op *op, uint64_t ino, struct lk_inode *out)
{
	struct lk_inode inode;
	int r = lk_inode_get(op, ino, &inode);
	if (r)
		return r;
	if (inode.nlink == 0 && !lk_node_held(op->fs, (uint64_t)inode.ino))
		return LINKFS_ESTALE;
	*out = inode;
	return 0;
}

int linkfs_node_hold(struct linkfs_volume *volume, uint64_t ino)
{
	struct lk_op op;
	struct lk_inode inode;
	int r = lk_op_begin(volume->fs, &op, 0);
	if (r)
		return r;
	r = get_alive(&op, ino, &inode);
	if (r == 0)
		r = lk_places_hold(volume->fs, ino, 1);
	return lk_op_end(&op, r);
}

int linkfs_node_is_held(struct linkfs_volume *volume, uint64_t ino)
{
	struct lk_fs *fs = volume->fs;
	bool held;
	if (ino == LINKFS_ROOT_INO || !lk_places_used(fs))
		return ino == LINKFS_ROOT_INO || lk_node_held(fs, ino);
	(void)pthread_mutex_lock(&fs->lock);
	held = lk_places_held(fs, ino);
	(void)pthread_mutex_unlock(&fs->lock);
	return held;
}

int linkfs_node_several_paths(struct linkfs_volume *volume, uint64_t ino)
{
	struct lk_fs *fs = volume->fs;
	struct lk_inode inode;
	bool several = true;
	struct lk_op op;
	if (lk_id_is_place(ino))
		return 1;
	if (!atomic_load_explicit(&fs->linked, memory_order_relaxed))
		return 0;
	int r = lk_op_begin(fs, &op, 0);
	if (r)
		return r;
	r = lk_inode_get(&op, ino, &inode);
	if (r == 0 && lk_is_dir(&inode))
		r = lk_places_several(&op, ino, &several);
	else
		several = false;
	r = lk_op_end(&op, r);
	return r ? r : several;
}

int linkfs_volume_has_places(struct linkfs_volume *volume)
{
	return lk_places_used(volume->fs);
}

void linkfs_node_release(struct linkfs_volume *volume, uint64_t ino, uint64_t count)
{
	lk_call_unhold(volume->fs, ino, count);
}

int linkfs_node_getattr(struct linkfs_volume *volume, uint64_t ino, struct linkfs_stat *out)
{
	struct lk_op op;
	struct lk_inode inode;
	int r = lk_op_begin(volume->fs, &op, 0);
	if (r)
		return r;
	r = get_alive(&op, ino, &inode);
	if (r == 0)
		r = lk_stat(&op, &inode, ino, out);
	return lk_op_end(&op, r);
}
