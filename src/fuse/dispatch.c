/*
 * dispatch.c - the table of operations and the way of one request through it: header and length checks, the handler,
 * the reply's header. No input, however malformed, gets past here unbounded.
 * Layer: fuse.
 */
#include "session.h"

#include <errno.h>
#include <string.h>

#define ARG(type) ((uint16_t)sizeof(struct type))

/* Operations answered with an error tell the kernel never to send them again (ENOSYS), except those where the error is
 * the answer to the one call (ENOTTY). Locks stay with the kernel: they are not negotiated, so never sent. */
const struct lk_fuse_op lk_fuse_ops[LK_FUSE_OPCODES] = {
	[FUSE_LOOKUP] = {"LOOKUP", lk_fuse_lookup, 2, 0, 0},
	[FUSE_FORGET] = {"FORGET", lk_fuse_forget, ARG(fuse_forget_in), LK_FUSE_SILENT | LK_FUSE_NO_NODE, 0},
	[FUSE_GETATTR] = {"GETATTR", lk_fuse_getattr, ARG(fuse_getattr_in), 0, 0},
	[FUSE_SETATTR] = {"SETATTR", lk_fuse_setattr, ARG(fuse_setattr_in), 0, 0},
	[FUSE_READLINK] = {"READLINK", lk_fuse_readlink, 0, 0, 0},
	[FUSE_SYMLINK] = {"SYMLINK", lk_fuse_symlink, 3, LK_FUSE_TELLS, 0},
	[FUSE_MKNOD] = {"MKNOD", lk_fuse_mknod, ARG(fuse_mknod_in) + 2, LK_FUSE_TELLS, 0},
	[FUSE_MKDIR] = {"MKDIR", lk_fuse_mkdir, ARG(fuse_mkdir_in) + 2, LK_FUSE_TELLS, 0},
	[FUSE_UNLINK] = {"UNLINK", lk_fuse_unlink, 2, LK_FUSE_TELLS, 0},
	[FUSE_RMDIR] = {"RMDIR", lk_fuse_rmdir, 2, LK_FUSE_TELLS, 0},
	[FUSE_RENAME] = {"RENAME", lk_fuse_rename, ARG(fuse_rename_in) + 4, LK_FUSE_TELLS, 0},
	[FUSE_LINK] = {"LINK", lk_fuse_link, ARG(fuse_link_in) + 2, LK_FUSE_TELLS, 0},
	[FUSE_OPEN] = {"OPEN", lk_fuse_open, ARG(fuse_open_in), 0, 0},
	[FUSE_READ] = {"READ", lk_fuse_read, ARG(fuse_read_in), 0, 0},
	[FUSE_WRITE] = {"WRITE", lk_fuse_write, ARG(fuse_write_in), 0, 0},
	[FUSE_STATFS] = {"STATFS", lk_fuse_statfs, 0, LK_FUSE_NO_NODE, 0},
	[FUSE_RELEASE] = {"RELEASE", lk_fuse_release, ARG(fuse_release_in), LK_FUSE_NO_NODE, 0},
	[FUSE_FSYNC] = {"FSYNC", lk_fuse_fsync, ARG(fuse_fsync_in), LK_FUSE_SLOW, 0},
	[FUSE_SETXATTR] = {"SETXATTR", lk_fuse_setxattr, LK_FUSE_SETXATTR_SHORT + 2, 0, 0},
	[FUSE_GETXATTR] = {"GETXATTR", lk_fuse_getxattr, ARG(fuse_getxattr_in) + 2, 0, 0},
	[FUSE_LISTXATTR] = {"LISTXATTR", lk_fuse_listxattr, ARG(fuse_getxattr_in), 0, 0},
	[FUSE_REMOVEXATTR] = {"REMOVEXATTR", lk_fuse_removexattr, 2, 0, 0},
	[FUSE_FLUSH] = {"FLUSH", NULL, 0, LK_FUSE_NO_NODE, ENOSYS},
	[FUSE_INIT] = {"INIT", lk_fuse_init, 8, LK_FUSE_NO_NODE, 0},
	[FUSE_OPENDIR] = {"OPENDIR", NULL, 0, LK_FUSE_NO_NODE, ENOSYS},
	[FUSE_READDIR] = {"READDIR", lk_fuse_readdir, ARG(fuse_read_in), 0, 0},
	[FUSE_RELEASEDIR] = {"RELEASEDIR", lk_fuse_release, 0, LK_FUSE_NO_NODE, 0},
	[FUSE_FSYNCDIR] = {"FSYNCDIR", lk_fuse_fsync, ARG(fuse_fsync_in), LK_FUSE_SLOW, 0},
	[FUSE_GETLK] = {"GETLK", NULL, 0, LK_FUSE_NO_NODE, ENOSYS},
	[FUSE_SETLK] = {"SETLK", NULL, 0, LK_FUSE_NO_NODE, ENOSYS},
	[FUSE_SETLKW] = {"SETLKW", NULL, 0, LK_FUSE_NO_NODE, ENOSYS},
	[FUSE_ACCESS] = {"ACCESS", NULL, 0, LK_FUSE_NO_NODE, ENOSYS},
	[FUSE_CREATE] = {"CREATE", lk_fuse_create, ARG(fuse_create_in) + 2, LK_FUSE_TELLS, 0},
	/* No request waits for anything that an interrupt could end; ENOSYS stops them from being sent. */
	[FUSE_INTERRUPT] = {"INTERRUPT", NULL, 0, LK_FUSE_NO_NODE, ENOSYS},
	[FUSE_BMAP] = {"BMAP", NULL, 0, LK_FUSE_NO_NODE, ENOSYS},
	[FUSE_DESTROY] = {"DESTROY", lk_fuse_done, 0, LK_FUSE_NO_NODE, 0},
	[FUSE_IOCTL] = {"IOCTL", NULL, 0, LK_FUSE_NO_NODE, ENOTTY},
	[FUSE_POLL] = {"POLL", NULL, 0, LK_FUSE_NO_NODE, ENOSYS},
	[FUSE_NOTIFY_REPLY] = {"NOTIFY_REPLY", lk_fuse_done, 0, LK_FUSE_SILENT | LK_FUSE_NO_NODE, 0},
	[FUSE_BATCH_FORGET] = {"BATCH_FORGET", lk_fuse_batch_forget, ARG(fuse_batch_forget_in),
			       LK_FUSE_SILENT | LK_FUSE_NO_NODE, 0},
	[FUSE_FALLOCATE] = {"FALLOCATE", lk_fuse_fallocate, ARG(fuse_fallocate_in), LK_FUSE_SLOW, 0},
	[FUSE_READDIRPLUS] = {"READDIRPLUS", lk_fuse_readdirplus, ARG(fuse_read_in), 0, 0},
	[FUSE_RENAME2] = {"RENAME2", lk_fuse_rename2, ARG(fuse_rename2_in) + 4, LK_FUSE_TELLS, 0},
	[FUSE_LSEEK] = {"LSEEK", lk_fuse_lseek, ARG(fuse_lseek_in), 0, 0},
	[FUSE_COPY_FILE_RANGE] = {"COPY_FILE_RANGE", lk_fuse_copy, ARG(fuse_copy_file_range_in), LK_FUSE_SLOW, 0},
	[FUSE_SETUPMAPPING] = {"SETUPMAPPING", NULL, 0, LK_FUSE_NO_NODE, ENOSYS},
	[FUSE_REMOVEMAPPING] = {"REMOVEMAPPING", NULL, 0, LK_FUSE_NO_NODE, ENOSYS},
	[FUSE_SYNCFS] = {"SYNCFS", lk_fuse_syncfs, 0, LK_FUSE_NO_NODE | LK_FUSE_SLOW, 0},
	[FUSE_TMPFILE] = {"TMPFILE", lk_fuse_tmpfile, ARG(fuse_create_in), 0, 0},
	[LK_FUSE_STATX] = {"STATX", lk_fuse_statx_get, sizeof(struct lk_fuse_statx_in), 0, 0},
	[LK_FUSE_COPY_FILE_RANGE_64] = {"COPY_FILE_RANGE_64", lk_fuse_copy_64, ARG(fuse_copy_file_range_in),
					LK_FUSE_SLOW, 0},
};

const struct lk_fuse_op *lk_fuse_op_find(const void *in)
{
	const struct fuse_in_header *header = in;
	if (header->opcode >= LK_FUSE_OPCODES || !lk_fuse_ops[header->opcode].name)
		return NULL;
	return &lk_fuse_ops[header->opcode];
}

int lk_fuse_done(struct lk_fuse_request *rq)
{
	rq->out_len = 0;
	return 0;
}

/* Fills rq from the bytes; returns a negative code when they are no whole request. */
static int unpack(struct lk_fuse_request *rq, const struct lk_fuse_op *op, size_t len)
{
	const struct fuse_in_header *in = rq->in;
	size_t extensions = (size_t)in->total_extlen * 8;
	if (in->len != len || extensions > len - sizeof(*in))
		return LINKFS_EINVAL;
	rq->arg_len = len - sizeof(*in) - extensions;
	if (rq->arg_len < op->min_arg)
		return LINKFS_EINVAL;
	if (!rq->mount->conn.ready && in->opcode != FUSE_INIT)
		return LINKFS_EIO;
	if (op->flags & LK_FUSE_NO_NODE)
		return 0;
	return lk_fuse_ino(in->nodeid, &rq->ino);
}

static int run(struct lk_fuse_request *rq, const struct lk_fuse_op *op, size_t len)
{
	int r = unpack(rq, op, len);
	if (r)
		return -linkfs_errno(r);
	if (!op->run)
		return -op->error;
	if (lk_fuse_is_snapshots(rq->ino) && (r = lk_fuse_snapshots_other(rq->in->opcode)) != 0)
		return -linkfs_errno(r);
	r = op->run(rq);
	if (!r)
		return 0;
	/* ENOSYS would switch the operation off for the life of the mount; only rows and INIT's agreement may. */
	if (r == LINKFS_ENOSYS && !(rq->in->opcode == FUSE_OPEN && rq->mount->conn.no_open))
		r = LINKFS_EOPNOTSUPP;
	return -linkfs_errno(r);
}

size_t lk_fuse_dispatch(struct linkfs_mount *mount, const void *in, size_t len, void *out, size_t out_cap,
			struct lk_fuse_request *rq)
{
	const struct fuse_in_header *header = in;
	struct fuse_out_header *reply = out;
	memset(rq, 0, sizeof(*rq));
	if (len < sizeof(*header) || out_cap < sizeof(*reply))
		return 0;
	rq->mount = mount;
	rq->in = header;
	rq->arg = header + 1;
	rq->out = reply + 1;
	rq->out_cap = out_cap - sizeof(*reply);
	rq->cred.uid = header->uid;
	rq->cred.gid = header->gid;
	rq->cred.flags = LINKFS_CRED_KERNEL;

	const struct lk_fuse_op *op = lk_fuse_op_find(in);
	int error = op ? run(rq, op, len) : -ENOSYS;
	if (op && (op->flags & LK_FUSE_SILENT))
		return 0;
	if (error)
		rq->out_len = 0;
	reply->len = (uint32_t)(sizeof(*reply) + rq->out_len);
	reply->error = error;
	reply->unique = header->unique;
	return reply->len;
}

void lk_fuse_undo(struct lk_fuse_request *rq, const void *out, size_t out_len)
{
	if (rq->held)
		linkfs_node_release(rq->mount->volume, rq->held, 1);
	if (rq->held_entries && out_len > sizeof(struct fuse_out_header))
		lk_fuse_release_entries(rq->mount, (const struct fuse_out_header *)out + 1,
					out_len - sizeof(struct fuse_out_header));
	rq->held = 0;
	rq->held_entries = false;
}
