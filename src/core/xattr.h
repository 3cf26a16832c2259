/*
 * xattr.h - extended attributes: the one door to table xattr, and Linux's rules for the namespaces (xattr(7)).
 * Layer: core. inode.xattr_count says how many rows there are, so that files without any never read the table; the flags
 * HAS_ACL, HAS_DEFAULT_ACL and HAS_CAPS say which of the special ones are there.
 */
#ifndef LK_XATTR_H
#define LK_XATTR_H

#include "inode.h"

/* Raw rows. load: LINKFS_ENODATA; the value lives in the op's arena. store and erase change inode's count and flags, do not
 * put it; erase: LINKFS_ENODATA; store: LINKFS_ENOSPC when the list of names would pass 64 KiB. */
int lk_xattr_load(struct lk_op *op, const struct lk_inode *inode, const char *name, struct lk_bytes *out);
int lk_xattr_store(struct lk_op *op, struct lk_inode *inode, const char *name, const void *value, size_t size);
int lk_xattr_erase(struct lk_op *op, struct lk_inode *inode, const char *name);

/* Gives copy, which has none, source's attributes; without all, none of security.* and trusted.*. Before the op's first write. */
int lk_xattr_copy(struct lk_op *op, const struct lk_inode *source, struct lk_inode *copy, bool all);

/* inode gets the attributes that source has in a view, and no others; the op is in the live view. *changed_out: it had not the same. */
int lk_xattr_replace(struct lk_op *op, int64_t view, const struct lk_inode *source, struct lk_inode *inode, bool dry,
		     bool *changed_out);

/* linkfs_node_*xattr(), with checks, ctime and put. */
int lk_xattr_get(struct lk_op *op, const struct linkfs_cred *cred, const struct lk_inode *inode, const char *name,
		 void *buf, size_t size, size_t *len_out);
int lk_xattr_set(struct lk_op *op, const struct linkfs_cred *cred, struct lk_inode *inode, const char *name,
		 const void *value, size_t size, uint32_t flags);
int lk_xattr_list(struct lk_op *op, const struct linkfs_cred *cred, const struct lk_inode *inode, char *buf,
		  size_t size, size_t *len_out);
int lk_xattr_remove(struct lk_op *op, const struct linkfs_cred *cred, struct lk_inode *inode, const char *name);

#endif
