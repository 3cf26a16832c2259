/*
 * perm.h - who may do what (F7): Linux's generic_permission with POSIX ACLs, sticky directories, ownership, and the
 * changes of attributes under those rules.
 * Layer: core. A credential with LINKFS_CRED_KERNEL passes every check; side effects happen all the same.
 */
#ifndef LK_PERM_H
#define LK_PERM_H

#include "inode.h"

#define LK_MAY_EXEC 1u
#define LK_MAY_WRITE 2u
#define LK_MAY_READ 4u

/* cred, or root's when it is NULL (linkfs.h). */
const struct linkfs_cred *lk_cred(const struct linkfs_cred *cred);
/* Root's powers, or checked by the kernel. */
static inline bool lk_cred_may_all(const struct linkfs_cred *cred)
{
	return cred->uid == 0 || (cred->flags & LINKFS_CRED_KERNEL);
}
bool lk_cred_in_group(const struct linkfs_cred *cred, int64_t gid);
/* Owner of inode, or may all. */
bool lk_cred_owns(const struct linkfs_cred *cred, const struct lk_inode *inode);

/* What decides about cred's rights to inode. */
enum lk_decider { LK_BY_POWER, LK_BY_OWNER, LK_BY_ACL, LK_BY_GROUP, LK_BY_OTHER };
enum lk_decider lk_perm_decider(const struct linkfs_cred *cred, const struct lk_inode *inode);
/* LINKFS_EACCES, or an error from reading the ACL. Does not look at whether the volume is read-only. */
int lk_perm_check(struct lk_op *op, const struct linkfs_cred *cred, const struct lk_inode *inode, uint32_t mask);
/* LINKFS_EROFS unless op is a writing one. Calls that fail later than for a read-only volume begin a reading op there
 * and ask this at the point where Linux would. */
int lk_perm_writable(const struct lk_op *op);
/* A name in dir may come: LINKFS_ENOENT for a removed directory, LINKFS_EACCES. */
int lk_perm_create(struct lk_op *op, const struct linkfs_cred *cred, const struct lk_inode *dir);
/* The name of victim in dir may go: LINKFS_EACCES, LINKFS_EPERM (sticky), LINKFS_ENOTDIR, LINKFS_EISDIR. */
int lk_perm_delete(struct lk_op *op, const struct linkfs_cred *cred, const struct lk_inode *dir,
		   const struct lk_inode *victim, bool want_dir);
/* Whether a change of content by cred drops setuid or setgid from inode (Linux: not when root makes it). */
bool lk_perm_drops_bits(const struct linkfs_cred *cred, const struct lk_inode *inode);
/* Drops file capabilities; not put. */
int lk_perm_kill_caps(struct lk_op *op, struct lk_inode *inode);
/* Drops file capabilities, setuid and setgid; not put. Without group execution setgid goes only when cred may not keep it
 * and is not in the group (Linux: setattr_should_drop_sgid). asked: the kernel asks, which it does only for those
 * without CAP_FSETID. Directories keep all. */
int lk_perm_kill_privs(struct lk_op *op, const struct linkfs_cred *cred, struct lk_inode *inode, bool asked);

/* All of linkfs_node_setattr() but the node's write lock, which the caller holds for LINKFS_SET_SIZE. opened: through a
 * handle opened for writing, so that the size may be changed whatever the mode says now. Puts inode. */
int lk_attr_set(struct lk_op *op, const struct linkfs_cred *cred, struct lk_inode *inode,
		const struct linkfs_setattr *change, bool opened);
/* Whether relatime (or the volume's option) wants inode's atime set to now_ns by a read (M9). */
bool lk_atime_due(const struct lk_op *op, const struct lk_inode *inode);
/* Sets it, in an op of its own and only if still due; a failure is nobody's business. No lock held. */
void lk_atime_touch(struct lk_fs *fs, uint64_t ino);

#endif
