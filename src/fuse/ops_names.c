/*
 * ops_names.c - operations on directory entries: make, link, remove, rename, and the text of symlinks.
 *
 * Who is responsible for modes: under DONT_MASK and POSIX_ACL the umask arrives beside the mode and the library applies
 * it or the directory's default ACL, once. The setgid bit of a new file that the caller may not give has already been
 * taken off by the VFS; the group and the bit that a setgid directory hands on are the library's.
 * Layer: fuse.
 */
#include "session.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

/* The reply of everything that makes or finds a name: an entry, and for what opens it (NULL: nothing) an open file behind it. */
static int reply_entry(struct lk_fuse_request *rq, const struct linkfs_stat *st, const struct fuse_create_in *opened)
{
	size_t size = sizeof(struct fuse_entry_out) + (opened ? sizeof(struct fuse_open_out) : 0);
	struct fuse_entry_out *out = lk_fuse_reply(rq, size);
	int r = out ? 0 : LINKFS_EIO;
	if (!r && opened)
		r = lk_fuse_writer_opens(rq->mount, st->node, opened->flags);
	if (r) {
		linkfs_node_release(rq->mount->volume, st->node, 1);
		return r;
	}
	rq->held = st->node;
	lk_fuse_pack_entry(rq, out, st);
	lk_fuse_entry_known(rq, out);
	if (opened) {
		struct fuse_open_out *file = (void *)(out + 1);
		file->open_flags = FOPEN_KEEP_CACHE | FOPEN_NOFLUSH;
	}
	return 0;
}

/* Names that always exist: the kernel never asks to make or remove them. */
static bool is_dots(const char *name, size_t len)
{
	return name[0] == '.' && (len == 1 || (len == 2 && name[1] == '.'));
}

static int take_new_name(struct lk_fuse_request *rq, size_t *pos, const char **name, size_t *len)
{
	int r = lk_fuse_take_name(rq, pos, name, len);
	if (!r && is_dots(*name, *len))
		r = LINKFS_EINVAL;
	return r;
}

static int make(struct lk_fuse_request *rq, size_t pos, const struct linkfs_make *how,
		const struct fuse_create_in *opened)
{
	const char *name;
	size_t len;
	struct linkfs_stat st;
	int r = take_new_name(rq, &pos, &name, &len);
	if (!r)
		r = linkfs_node_make(rq->mount->volume, &rq->cred, rq->ino, name, len, how, LINKFS_HOLD, &st);
	return r ? r : reply_entry(rq, &st, opened);
}

int lk_fuse_mknod(struct lk_fuse_request *rq)
{
	const struct fuse_mknod_in *arg = rq->arg;
	struct linkfs_make how = {.mode = arg->mode};
	/* 12 bits of major between the two parts of the minor. */
	how.rdev_major = (arg->rdev >> 8) & 0xfffu;
	how.rdev_minor = (arg->rdev & 0xffu) | ((arg->rdev >> 12) & 0xfff00u);
	rq->cred.umask = arg->umask & 0777u;
	if ((how.mode & S_IFMT) == S_IFDIR)
		return LINKFS_EPERM;
	return make(rq, sizeof(*arg), &how, NULL);
}

int lk_fuse_mkdir(struct lk_fuse_request *rq)
{
	const struct fuse_mkdir_in *arg = rq->arg;
	struct linkfs_make how = {.mode = S_IFDIR | (arg->mode & 07777u)};
	rq->cred.umask = arg->umask & 0777u;
	return make(rq, sizeof(*arg), &how, NULL);
}

int lk_fuse_create(struct lk_fuse_request *rq)
{
	const struct fuse_create_in *arg = rq->arg;
	struct linkfs_make how = {.mode = S_IFREG | (arg->mode & 07777u)};
	rq->cred.umask = arg->umask & 0777u;
	int r = make(rq, sizeof(*arg), &how, arg);
	/* The kernel believed the name absent, and somebody beside the mount made it meanwhile. It checks no
	 * permissions on what CREATE returns, so this must not open it: ESTALE makes the kernel walk again. */
	if (r == LINKFS_EEXIST && !(arg->flags & O_EXCL))
		r = LINKFS_ESTALE;
	return r;
}

int lk_fuse_tmpfile(struct lk_fuse_request *rq)
{
	const struct fuse_create_in *arg = rq->arg;
	struct linkfs_stat st;
	rq->cred.umask = arg->umask & 0777u;
	int r = linkfs_node_tmpfile(rq->mount->volume, &rq->cred, rq->ino, S_IFREG | (arg->mode & 07777u), &st);
	return r ? r : reply_entry(rq, &st, arg);
}

int lk_fuse_symlink(struct lk_fuse_request *rq)
{
	const char *name, *target;
	size_t len, target_len, pos = 0;
	struct linkfs_stat st;
	int r = take_new_name(rq, &pos, &name, &len);
	if (!r)
		r = lk_fuse_take_text(rq, &pos, &target, &target_len);
	if (r)
		return r;
	if (target_len == 0)
		return LINKFS_ENOENT;
	if (target_len > LINKFS_SYMLINK_MAX)
		return LINKFS_ENAMETOOLONG;
	r = linkfs_node_symlink(rq->mount->volume, &rq->cred, rq->ino, name, len, target, target_len, LINKFS_HOLD, &st);
	return r ? r : reply_entry(rq, &st, NULL);
}

int lk_fuse_readlink(struct lk_fuse_request *rq)
{
	size_t len = 0;
	if (rq->out_cap < LINKFS_SYMLINK_MAX)
		return LINKFS_EIO;
	int r = lk_fuse_texts_reading(rq->mount, rq->ino);
	if (!r)
		r = linkfs_node_readlink(rq->mount->volume, rq->ino, rq->out, LINKFS_SYMLINK_MAX, &len);
	if (!r)
		rq->out_len = len;
	return r;
}

int lk_fuse_link(struct lk_fuse_request *rq)
{
	const struct fuse_link_in *arg = rq->arg;
	const char *name;
	size_t len, pos = sizeof(*arg);
	uint64_t ino;
	struct linkfs_stat st;
	int r = take_new_name(rq, &pos, &name, &len);
	if (!r)
		r = lk_fuse_ino(arg->oldnodeid, &ino);
	if (!r)
		r = linkfs_node_link(rq->mount->volume, &rq->cred, ino, rq->ino, name, len, LINKFS_HOLD, &st);
	return r ? r : reply_entry(rq, &st, NULL);
}

int lk_fuse_unlink(struct lk_fuse_request *rq)
{
	const char *name;
	size_t len, pos = 0;
	int r = take_new_name(rq, &pos, &name, &len);
	return r ? r : linkfs_node_unlink(rq->mount->volume, &rq->cred, rq->ino, name, len);
}

int lk_fuse_rmdir(struct lk_fuse_request *rq)
{
	const char *name;
	size_t len, pos = 0;
	int r = take_new_name(rq, &pos, &name, &len);
	return r ? r : linkfs_node_rmdir(rq->mount->volume, &rq->cred, rq->ino, name, len);
}

static int rename_names(struct lk_fuse_request *rq, size_t pos, uint64_t new_nodeid, uint32_t flags)
{
	const char *old_name, *new_name;
	size_t old_len, new_len;
	uint64_t new_dir;
	int r = take_new_name(rq, &pos, &old_name, &old_len);
	if (!r)
		r = take_new_name(rq, &pos, &new_name, &new_len);
	if (!r)
		r = lk_fuse_ino(new_nodeid, &new_dir);
	if (r)
		return r;
	if (flags == 0 && lk_fuse_save_comes(rq, old_name, old_len, new_dir, new_name, new_len))
		return LINKFS_ESTALE;
	return linkfs_node_rename(rq->mount->volume, &rq->cred, rq->ino, old_name, old_len, new_dir, new_name, new_len,
				  flags);
}

int lk_fuse_rename(struct lk_fuse_request *rq)
{
	const struct fuse_rename_in *arg = rq->arg;
	return rename_names(rq, sizeof(*arg), arg->newdir, 0);
}

int lk_fuse_rename2(struct lk_fuse_request *rq)
{
	const struct fuse_rename2_in *arg = rq->arg;
	_Static_assert(RENAME_NOREPLACE == LINKFS_RENAME_NOREPLACE && RENAME_EXCHANGE == LINKFS_RENAME_EXCHANGE,
		       "flags are the kernel's");
	if (arg->flags & ~(LINKFS_RENAME_NOREPLACE | LINKFS_RENAME_EXCHANGE))
		return LINKFS_EINVAL;
	return rename_names(rq, sizeof(*arg), arg->newdir, arg->flags);
}
