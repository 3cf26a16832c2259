/*
 * link.h - names come, go and move: make, link, unlink, rmdir, symlink, rename (A1-A6, B1).
 * Layer: core. Each function is one whole call: checks in Linux's order, every record changed, events queued. Where
 * says the name; its directory may be searched (resolve.h). Records in *where are kept up to date.
 */
#ifndef LK_LINK_H
#define LK_LINK_H

#include "deleted.h"
#include "resolve.h"

/* The type and permissions that how asks for, as mknod(2) and mkdir(2) take them (mode_out may be NULL): LINKFS_EINVAL
 * for a type that cannot be made, which Linux says before it looks at the path. */
int lk_link_how(const struct linkfs_make *how, uint32_t *mode_out);
int lk_link_make(struct lk_op *op, const struct linkfs_cred *cred, struct lk_where *where,
		 const struct linkfs_make *how, struct lk_inode *out);
/* As make of a regular file for a name that was looked for and is absent (open with O_CREAT). */
int lk_link_make_at(struct lk_op *op, const struct linkfs_cred *cred, struct lk_where *where, struct lk_slot *slot,
		    const struct linkfs_make *how, struct lk_inode *out);
/* The caller took a hold of *out before the op ends; linkable: LK_INODE_TMPFILE. See lk_link_tmpfile() in link.c. */
int lk_link_tmpfile(struct lk_op *op, const struct linkfs_cred *cred, struct lk_inode *dir, uint32_t mode,
		    bool linkable, struct lk_inode *out);
int lk_link_add(struct lk_op *op, const struct linkfs_cred *cred, struct lk_inode *inode, struct lk_where *where);
/* Another name for a directory (D6): LINKFS_ENOTDIR, LINKFS_ELOOP (it would contain itself), LINKFS_EPERM (not its owner). */
int lk_link_dir(struct lk_op *op, const struct linkfs_cred *cred, struct lk_inode *inode, struct lk_where *where);
/* What that asks and counts, for a directory with a name that gets another one in dir; the entry and both inodes are the caller's. */
int lk_link_dir_again(struct lk_op *op, struct lk_inode *inode, uint64_t dir);
int lk_link_unlink(struct lk_op *op, const struct linkfs_cred *cred, struct lk_where *where);
int lk_link_rmdir(struct lk_op *op, const struct linkfs_cred *cred, struct lk_where *where);
/* LINKFS_EINVAL for flags that rename does not take; Linux looks at them before the paths. */
int lk_rename_flags(uint32_t flags);
int lk_rename(struct lk_op *op, const struct linkfs_cred *cred, struct lk_where *from, struct lk_where *to,
	      uint32_t flags);

/* symlink.c */
int lk_symlink_make(struct lk_op *op, const struct linkfs_cred *cred, struct lk_where *where, const char *target,
		    size_t len, struct lk_inode *out);
/* Puts a symlink in place of a file or symlink of that name, or makes it (B5). LINKFS_EISDIR. */
int lk_symlink_replace(struct lk_op *op, const struct linkfs_cred *cred, struct lk_where *where, const char *target,
		       size_t len, struct lk_inode *out);
/* The text of a symlink, in the op's arena; no NUL is after it. LINKFS_EINVAL for another type. dir: the node id of the directory it is
 * found in, 0 for whichever; a tracked link's text depends on that and on the tree. LINKFS_ENAMETOOLONG: such a one's is too long
 * for a symlink. */
int lk_symlink_text(struct lk_op *op, const struct lk_inode *inode, uint64_t dir, const char **text_out,
		    size_t *len_out);
/* The same as the overlay (or NULL) would have it. */
int lk_symlink_text_over(struct lk_op *op, const struct lk_inode *inode, uint64_t dir, const struct lk_overlay *overlay,
			 const char **text_out, size_t *len_out);

/* copy, an inode that is not put yet, becomes a symlink with the text of source. */
int lk_symlink_copy(struct lk_op *op, const struct lk_inode *source, struct lk_inode *copy);

/* Shared by the above. A new inode of cred in dir (inode_init_owner(9)'s rules), with what dir hands on; not put. */
int lk_link_new_inode(struct lk_op *op, const struct linkfs_cred *cred, const struct lk_inode *dir, uint32_t mode,
		      struct lk_inode *out);
/* The same rules for an inode that is there: owner, group, mode, what dir hands on (with lk_acl_inherit()). Not put. */
int lk_link_own(struct lk_op *op, const struct linkfs_cred *cred, const struct lk_inode *dir, uint32_t mode,
		struct lk_inode *inode);
/* The name's last component is one, absent, and may come: LINKFS_EEXIST, LINKFS_ENOENT, LINKFS_EROFS, LINKFS_EACCES. */
int lk_link_prepare(struct lk_op *op, const struct linkfs_cred *cred, struct lk_where *where, bool want_dir,
		    struct lk_slot *slot);
/* Whether a name of directory dir may be removed: it is empty, or has another name that its content stays by (D6). LINKFS_EBUSY: it has not,
 * and a bind shows it. */
int lk_link_may_go(struct lk_op *op, uint64_t dir, bool *out);
/* inode lost a name, whose entry is gone: counts, puts, keeps it or makes an orphan of it when that was the last. LINKFS_EBUSY: it was
 * the last, and a bind shows it. */
int lk_link_drop_name(struct lk_op *op, struct lk_inode *inode, const struct lk_lost *lost);

#endif
