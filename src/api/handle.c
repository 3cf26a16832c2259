/*
 * handle.c - open files: a hold, and what the file was opened for.
 * Layer: api. Rights are asked once, when the file is opened; what is done through the handle goes by its mode, as with a
 * descriptor. Opening follows do_open() and open_last_lookups() of Linux 6.18's fs/namei.c.
 */
#include "call.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

struct linkfs_file {
	struct linkfs_volume *volume;
	uint64_t ino;
	uint32_t flags; /* LINKFS_O_... */
	atomic_bool wrote;
	struct linkfs_cred cred; /* the opener's: who he is decides what a write or truncate drops */
	uint32_t groups[];
};

#define KNOWN_FLAGS                                                                                                    \
	(LINKFS_O_READ | LINKFS_O_WRITE | LINKFS_O_APPEND | LINKFS_O_CREATE | LINKFS_O_EXCL | LINKFS_O_TRUNC |         \
	 LINKFS_O_NOFOLLOW | LINKFS_O_SYNC | LINKFS_O_TMPFILE)

/* What opening a file that is there asks of it. */
static int may_open(struct lk_op *op, const struct linkfs_cred *cred, const struct lk_inode *inode, uint32_t flags)
{
	bool write = flags & (LINKFS_O_WRITE | LINKFS_O_TRUNC);
	uint32_t mask = (flags & LINKFS_O_READ ? LK_MAY_READ : 0) | (write ? LK_MAY_WRITE : 0);
	int rc;

	if (lk_is_lnk(inode))
		return LINKFS_ELOOP;
	if (lk_is_dir(inode) && write)
		return LINKFS_EISDIR;
	if (write && lk_is_reg(inode)) {
		rc = lk_perm_writable(op);
		if (rc)
			return rc;
	}
	rc = lk_perm_check(op, cred, inode, mask);
	if (rc)
		return rc;
	/* Pipes, sockets and devices are the business of a kernel. */
	return lk_is_reg(inode) || lk_is_dir(inode) ? 0 : LINKFS_ENXIO;
}

static int make_file(struct lk_op *op, const struct linkfs_cred *cred, struct lk_where *where, struct lk_slot *slot,
		     uint32_t mode, struct lk_inode *out)
{
	struct linkfs_make how = {.mode = S_IFREG | (mode & 07777)};
	int rc = where->dir.inode.nlink ? lk_perm_writable(op) : LINKFS_ENOENT;

	if (rc == 0)
		rc = lk_perm_create(op, cred, &where->dir.inode);
	return rc ? rc : lk_link_make_at(op, cred, where, slot, &how, out);
}

/* Walks to the file and makes it where that is asked. */
static int find_or_make(struct lk_op *op, const struct linkfs_cred *cred, uint64_t at, const char *path, uint32_t flags,
			uint32_t mode, struct lk_inode *out, bool *made_out)
{
	bool create = flags & LINKFS_O_CREATE, exclusive = create && (flags & LINKFS_O_EXCL);
	struct lk_place found;
	struct lk_walk walk;
	struct lk_slot slot;
	int rc = lk_walk_begin(&walk, op, cred, at, path);

	if (rc == 0)
		rc = lk_walk_parent(&walk);
	for (;;) {
		struct lk_where *w = &walk.where;

		if (rc)
			return rc;
		if (create && w->last == LK_LAST_NAME && (w->slash || walk.need_dir))
			return LINKFS_EISDIR;
		rc = lk_walk_look(op, w, &slot, &found);
		if (rc == LINKFS_ENOENT && create && w->last == LK_LAST_NAME) {
			*made_out = true;
			return make_file(op, cred, w, &slot, mode, out);
		}
		if (rc)
			return rc;
		if (!lk_is_lnk(&found.inode) || exclusive ||
		    ((flags & LINKFS_O_NOFOLLOW) && !w->slash && !walk.need_dir))
			break;
		rc = lk_walk_follow(&walk, &found);
	}
	if (exclusive)
		return LINKFS_EEXIST;
	if (create && lk_is_dir(&found.inode))
		return LINKFS_EISDIR;
	if ((walk.where.slash || walk.need_dir) && !lk_is_dir(&found.inode))
		return LINKFS_ENOTDIR;
	*out = found.inode;
	return may_open(op, cred, out, flags);
}

static int find_tmpfile(struct lk_op *op, const struct linkfs_cred *cred, uint64_t at, const char *path, uint32_t flags,
			uint32_t mode, struct lk_inode *out)
{
	struct lk_place dir;
	int rc = lk_resolve(op, cred, at, path, !(flags & LINKFS_O_NOFOLLOW), &dir);

	return rc ? rc : lk_link_tmpfile(op, cred, &dir.inode, mode, !(flags & LINKFS_O_EXCL), out);
}

static int check_flags(uint32_t flags)
{
	if (flags & ~KNOWN_FLAGS)
		return LINKFS_EINVAL;
	if (!(flags & (LINKFS_O_READ | LINKFS_O_WRITE)))
		return LINKFS_EINVAL;
	if ((flags & LINKFS_O_TMPFILE) && (!(flags & LINKFS_O_WRITE) || (flags & LINKFS_O_CREATE)))
		return LINKFS_EINVAL;
	return 0;
}

static struct linkfs_file *new_file(struct linkfs_volume *volume, const struct linkfs_cred *cred, uint32_t flags)
{
	struct linkfs_file *file = malloc(sizeof(*file) + cred->ngroups * sizeof(file->groups[0]));

	if (!file)
		return NULL;
	file->volume = volume;
	file->ino = 0;
	atomic_init(&file->wrote, false);
	file->flags = flags;
	file->cred = *cred;
	if (cred->ngroups)
		memcpy(file->groups, cred->groups, cred->ngroups * sizeof(file->groups[0]));
	file->cred.groups = file->groups;
	return file;
}

static int truncate_opened(struct linkfs_file *file, uint64_t size)
{
	struct linkfs_setattr change = {.valid = LINKFS_SET_SIZE, .size = size};

	return lk_call_setattr(file->volume, &file->cred, file->ino, &change, true, NULL);
}

int linkfs_file_open(struct linkfs_volume *volume, const struct linkfs_cred *cred, uint64_t at, const char *path,
		     uint32_t flags, uint32_t mode, struct linkfs_file **out)
{
	struct lk_fs *fs = lk_volume_fs(volume);
	bool tmpfile = flags & LINKFS_O_TMPFILE, made = false;
	struct lk_inode inode = {0};
	struct linkfs_file *file;
	struct lk_op op;
	int rc = check_flags(flags);

	if (rc)
		return rc;
	cred = lk_cred(cred);
	file = new_file(volume, cred, flags);
	if (!file)
		return LINKFS_ENOMEM;
	rc = lk_call_begin(volume, &op, cred, 0);
	if (rc) {
		free(file);
		return rc;
	}
	if (tmpfile)
		rc = find_tmpfile(&op, cred, at, path, flags, mode, &inode);
	else
		rc = find_or_make(&op, cred, at, path, flags, mode, &inode, &made);
	tmpfile = tmpfile && rc == 0;
	rc = lk_call_end(&op, rc, &inode, tmpfile ? 0 : LINKFS_HOLD, NULL);
	if (rc && tmpfile)
		lk_orphan_unhold(fs, (uint64_t)inode.ino);
	if (rc) {
		free(file);
		return rc;
	}
	file->ino = op.bits | (uint64_t)inode.ino;
	if ((flags & LINKFS_O_TRUNC) && !made && !tmpfile && lk_is_reg(&inode)) {
		rc = truncate_opened(file, 0); /* with O_READ too, as on Linux */
		if (rc) {
			linkfs_file_close(file);
			return rc;
		}
	}
	*out = file;
	return 0;
}

void linkfs_file_close(struct linkfs_file *file)
{
	if (!file)
		return;
	if (atomic_load(&file->wrote))
		linkfs_node_written(file->volume, file->ino);
	lk_call_unhold(lk_volume_fs(file->volume), file->ino, 1);
	free(file);
}

uint64_t linkfs_file_ino(const struct linkfs_file *file)
{
	return file->ino;
}

int linkfs_file_read(struct linkfs_file *file, uint64_t offset, void *buf, size_t size, size_t *done_out)
{
	if (!(file->flags & LINKFS_O_READ))
		return LINKFS_EBADF;
	return linkfs_node_read(file->volume, file->ino, offset, buf, size, done_out);
}

int linkfs_file_write(struct linkfs_file *file, uint64_t offset, const void *buf, size_t size, size_t *done_out)
{
	uint32_t flags = file->cred.uid == 0 ? 0 : LINKFS_WRITE_KILL_SUIDGID;

	if (!(file->flags & LINKFS_O_WRITE))
		return LINKFS_EBADF;
	if (file->flags & LINKFS_O_APPEND)
		flags |= LINKFS_WRITE_APPEND;
	if (file->flags & LINKFS_O_SYNC)
		flags |= LINKFS_WRITE_SYNC;
	atomic_store(&file->wrote, true);
	return linkfs_node_write(file->volume, &file->cred, file->ino, offset, buf, size, flags, done_out, NULL);
}

int linkfs_file_truncate(struct linkfs_file *file, uint64_t size)
{
	/* EINVAL as ftruncate(2) has it. */
	return file->flags & LINKFS_O_WRITE ? truncate_opened(file, size) : LINKFS_EINVAL;
}

int linkfs_file_stat(struct linkfs_file *file, struct linkfs_stat *out)
{
	return linkfs_node_getattr(file->volume, file->ino, out);
}

int linkfs_file_sync(struct linkfs_file *file, int data_only)
{
	return linkfs_node_fsync(file->volume, file->ino, data_only);
}

int linkfs_file_link(struct linkfs_file *file, const struct linkfs_cred *cred, uint64_t at, const char *path)
{
	struct lk_inode inode = {0};
	struct lk_where where;
	struct lk_op op;
	int rc;

	cred = lk_cred(cred);
	rc = lk_call_begin_both(file->volume, &op, cred, file->ino, at);
	if (rc)
		return rc;
	rc = lk_inode_get(&op, file->ino, &inode);
	if (rc == 0)
		rc = lk_walk_to(&op, cred, at, path, &where);
	if (rc == 0)
		rc = lk_link_add(&op, cred, &inode, &where);
	return lk_op_end(&op, rc);
}
