/*
 * acl.h - POSIX ACLs: the kernel's xattr format (fs/posix_acl.c, acl(5)), checks by them, and their tie to the mode.
 * Layer: core. The access ACL is kept only where the mode cannot say it; the flags HAS_ACL and HAS_DEFAULT_ACL of an
 * inode spare the others a read.
 */
#ifndef LK_ACL_H
#define LK_ACL_H

#include "inode.h"

#define LK_ACL_ACCESS "system.posix_acl_access"
#define LK_ACL_DEFAULT "system.posix_acl_default"

enum lk_acl_tag {
	LK_ACL_USER_OBJ = 1,
	LK_ACL_USER = 2,
	LK_ACL_GROUP_OBJ = 4,
	LK_ACL_GROUP = 8,
	LK_ACL_MASK = 16,
	LK_ACL_OTHER = 32
};

struct lk_acl_entry {
	uint16_t tag, perm;
	uint32_t id; /* USER and GROUP only */
};
struct lk_acl {
	uint32_t count;
	const struct lk_acl_entry *entries; /* in the op's arena */
};

/* The mode's permission bits that acl stands for; *minimal_out: nothing of it is lost by that. */
uint32_t lk_acl_mode(const struct lk_acl *acl, bool *minimal_out);
/* 0 or LINKFS_EACCES, for a credential that is not the inode's owner. */
int lk_acl_check(struct lk_op *op, const struct linkfs_cred *cred, const struct lk_inode *inode, uint32_t mask);
/* The inode's mode was changed: rewrites the access ACL's owner, mask (or group) and other. */
int lk_acl_chmod(struct lk_op *op, struct lk_inode *inode);
/* Gives a new inode (not a symlink) what dir hands on: its default ACL, or else cred's umask. The inode's mode is
 * final afterwards; it is not put. */
int lk_acl_inherit(struct lk_op *op, const struct linkfs_cred *cred, const struct lk_inode *dir,
		   struct lk_inode *inode);
/* setxattr of an ACL under its rules: name is one of the two; size 0, or a value without entries, removes
 * it. Changes inode, does not put; *same_out (false before) is set when there was nothing to change. */
int lk_acl_set(struct lk_op *op, const struct linkfs_cred *cred, struct lk_inode *inode, const char *name,
	       const void *value, size_t size, bool kill_sgid, bool *same_out);

#endif
