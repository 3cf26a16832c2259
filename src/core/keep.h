/*
 * keep.h - link-keeping saves (D7): a file is saved by a new one that is renamed over it, and its other names follow.
 * Layer: core. The property is a flag of the inode; a directory hands its own on to files and directories that are made in it.
 */
#ifndef LK_KEEP_H
#define LK_KEEP_H

#include "link.h"

/* Sets the flags of mask (LINKFS_INO_...) to those in flags. LINKFS_EINVAL for a type that takes none, LINKFS_EPERM unless cred
 * owns the file. */
int lk_keep_set(struct lk_op *op, const struct linkfs_cred *cred, uint64_t ino, uint32_t flags, uint32_t mask,
		struct lk_inode *out);

/* The names of a file but the one that is replaced. */
struct lk_keep_name {
	uint64_t dir;
	const char *name;
	size_t len;
};
struct lk_keep {
	struct lk_op *op;
	struct lk_slot replaced;
	struct lk_keep_name *names; /* in the op's arena */
	uint32_t count, cap;
};

/* Whether the other names of old follow when fresh takes the place of one: both are regular files, old keeps its links and has
 * other names, and cred is root or owns both. Else who may write in one name's directory could put a file of his own at the others. */
bool lk_keep_follows(const struct linkfs_cred *cred, const struct lk_inode *old, const struct lk_inode *fresh);
/* Whether or not old has other names: fresh keeps its links then, and binds of old show it from now on. */
int lk_keep_binds(struct lk_op *op, const struct linkfs_cred *cred, const struct lk_inode *old, struct lk_inode *fresh);
/* All names of fresh, which did not keep its links until now: what the kernel knows of them was meant to hold for ever. */
int lk_keep_tell(struct lk_op *op, const struct lk_inode *fresh);
/* Lists them, before a name changes. LINKFS_ECORRUPT when they are not as many as old counts. */
int lk_keep_list(struct lk_op *op, const struct lk_inode *old, const struct lk_slot *replaced, struct lk_keep *out);
/* After the replaced name was given to fresh: so are the others, old loses them. fresh counts them, and is the caller's to put, as
 * dirs are, those of them that are not NULL. */
int lk_keep_follow(struct lk_keep *keep, struct lk_inode *old, struct lk_inode *fresh, struct lk_inode *const dirs[2]);

#endif
