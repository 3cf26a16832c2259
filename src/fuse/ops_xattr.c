/*
 * ops_xattr.c - extended attributes, POSIX ACLs among them.
 * Layer: fuse.
 */
#include "session.h"

#include <string.h>
#include <sys/xattr.h>

static int take_xattr_name(const struct lk_fuse_request *rq, size_t *pos, const char **name_out)
{
	size_t len;
	int r = lk_fuse_take_text(rq, pos, name_out, &len);
	if (r)
		return r;
	return len == 0 || len > LINKFS_XATTR_NAME_MAX ? LINKFS_ERANGE : 0;
}

int lk_fuse_setxattr(struct lk_fuse_request *rq)
{
	const struct fuse_setxattr_in *arg = rq->arg;
	bool extended = rq->mount->conn.agreed & FUSE_SETXATTR_EXT;
	size_t pos = extended ? sizeof(*arg) : LK_FUSE_SETXATTR_SHORT;
	const char *name;
	uint32_t flags = 0;
	_Static_assert(XATTR_CREATE == LINKFS_XATTR_CREATE && XATTR_REPLACE == LINKFS_XATTR_REPLACE,
		       "flags are the kernel's");
	int r = take_xattr_name(rq, &pos, &name);
	if (r)
		return r;
	if (arg->flags & ~(LINKFS_XATTR_CREATE | LINKFS_XATTR_REPLACE) || arg->size != rq->arg_len - pos)
		return LINKFS_EINVAL;
	if (arg->size > LINKFS_XATTR_SIZE_MAX)
		return LINKFS_E2BIG;
	flags = arg->flags;
	if (extended && (arg->setxattr_flags & FUSE_SETXATTR_ACL_KILL_SGID))
		flags |= LINKFS_XATTR_KILL_SGID;
	return linkfs_node_setxattr(rq->mount->volume, &rq->cred, rq->ino, name, (const char *)rq->arg + pos, arg->size,
				    flags);
}

/* The length alone when the caller asked with size 0, else the bytes. */
static int reply_bytes(struct lk_fuse_request *rq, size_t asked, size_t len)
{
	if (asked) {
		if (len > rq->out_cap)
			return LINKFS_ERANGE;
		rq->out_len = len;
		return 0;
	}
	struct fuse_getxattr_out *out = lk_fuse_reply(rq, sizeof(*out));
	if (!out)
		return LINKFS_EIO;
	out->size = (uint32_t)len;
	return 0;
}

static size_t room(const struct lk_fuse_request *rq, size_t asked)
{
	return asked < rq->out_cap ? asked : rq->out_cap;
}

int lk_fuse_getxattr(struct lk_fuse_request *rq)
{
	const struct fuse_getxattr_in *arg = rq->arg;
	const char *name;
	size_t pos = sizeof(*arg), len = 0;
	int r = take_xattr_name(rq, &pos, &name);
	if (!r && !strncmp(name, "linkfs.", 7))
		r = lk_fuse_links_xattr(rq, name, room(rq, arg->size), &len);
	else if (!r)
		r = linkfs_node_getxattr(rq->mount->volume, &rq->cred, rq->ino, name, rq->out, room(rq, arg->size),
					 &len);
	return r ? r : reply_bytes(rq, arg->size, len);
}

int lk_fuse_listxattr(struct lk_fuse_request *rq)
{
	const struct fuse_getxattr_in *arg = rq->arg;
	size_t len = 0;
	int r = linkfs_node_listxattr(rq->mount->volume, &rq->cred, rq->ino, rq->out, room(rq, arg->size), &len);
	return r ? r : reply_bytes(rq, arg->size, len);
}

int lk_fuse_removexattr(struct lk_fuse_request *rq)
{
	const char *name;
	size_t pos = 0;
	int r = take_xattr_name(rq, &pos, &name);
	if (!r)
		r = linkfs_node_removexattr(rq->mount->volume, &rq->cred, rq->ino, name);
	if (!r && !strcmp(name, "security.capability"))
		lk_fuse_uncapped(rq);
	return r;
}
