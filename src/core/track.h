/*
 * track.h - tracked symlinks (D5): a symlink that knows its target's inode, and whose text is made when it is read.
 * Layer: core. track_text.c makes texts from the ways that track_ways.c finds, track.c makes links and keeps them when their targets' names change.
 *
 * L1 Row target of a tracked link has the target's number (tracks), the entry by which the text names it (by_...; none for a
 *    directory, which has one name), and a text. While the target and the link have names in the tree the text is made
 *    from where both are, so that moving a directory changes no row; in each place of the link's directory (K5) another one. Else the stored text holds: the last one there was,
 *    from the link's directory by its first names; its other places have a text that leads to the same.
 * L2 So the stored text is made the present one before the target, or the link, loses its last name, and by_ follows the
 *    entry when it is renamed. When it is removed and others are left, the first of those (by directory number) takes its place.
 * L3 Row component (-target, link) stands for every tracked link, and the target has LK_INODE_FOLLOWED; rows and flag may outlive
 *    the links. So what nothing follows costs a rename or an unlink one look at the flag.
 * L4 A tracked link has one name, and never tracks a symlink: its text passes through no other link.
 */
#ifndef LK_TRACK_H
#define LK_TRACK_H

#include "link.h"

/* How many links may track one file: each is written to when it is renamed or goes. */
#define LK_TRACKERS_MAX 1000u

/* The row of a symlink, verified: LINKFS_ECORRUPT. */
int lk_symlink_row(struct lk_op *op, const struct lk_inode *inode, struct lk_target *out);
/* Stores another text in the row of a symlink, with the index of its components; inode's size is set. Neither is put yet. */
int lk_symlink_rewrite(struct lk_op *op, struct lk_inode *inode, struct lk_target *row, const char *text, size_t len);
/* The rows in component that gone needed, and that neither live (NULL: there is none) nor the symlink's history does, go. gone is no row
 * any more, or about to be none; what of it has no bytes or is 0 counts for nothing. LINKFS_ENOENT: one was not there; the others
 * went. */
int lk_symlink_release(struct lk_op *op, const struct lk_target *gone, const struct lk_target *live);
/* Once, after lk_txn_start(): what history drops is released. */
void lk_symlink_start(struct lk_fs *fs);

/* ---- texts (track_text.c, track_ways.c) --------------------------------------------------------------------- */

/* The text from directory dir, a node id, to ino, through the entry by (or NULL: any), in the arena, NUL after it. Neither is a removed
 * one: LINKFS_ENOENT. LINKFS_ENAMETOOLONG. With an overlay: as the tree would be then. */
int lk_track_between(struct lk_op *op, const struct lk_overlay *overlay, uint64_t dir, uint64_t ino,
		     const struct lk_target *by, const char **text_out, size_t *len_out);
/* The text of a tracked link whose row is given, as it is now in directory dir (a node id; 0: one that it has a name in). LINKFS_ENAMETOOLONG:
 * no symlink can have it. */
int lk_track_text(struct lk_op *op, const struct lk_inode *inode, uint64_t dir, const struct lk_target *row,
		  const struct lk_overlay *overlay, const char **text_out, size_t *len_out);
/* The text that its row is to have: from its directory by the first names of all, whatever place is known by the number. */
int lk_track_stored(struct lk_op *op, const struct lk_inode *inode, const struct lk_target *row, const char **text_out,
		    size_t *len_out);
/* What text, the stored one of a link whose target is gone, tells whatever names directories go by: the last directory on the way that there
 * is (0: the link is in no directory), and what of the text is left. */
int lk_track_told(struct lk_op *op, const struct lk_inode *link, struct lk_bytes text, uint64_t *dir_out,
		  struct lk_bytes *rest_out);
/* The text to store so that it tells this: the given one if it does, or else if none can; in the arena otherwise. */
int lk_track_tell_again(struct lk_op *op, const struct lk_inode *link, struct lk_bytes text, uint64_t dir,
			struct lk_bytes rest, struct lk_bytes *out);
/* The entry by which the row's link names its target, as one of a directory's rows. LINKFS_ENOENT: the target has none. */
int lk_track_entry(struct lk_op *op, const struct lk_target *row, struct lk_dirent *out);
/* lk_inode_stat() with the true size of a tracked link, as node shows it; LINKFS_PATH_MAX for a text that is too long. */
int lk_stat(struct lk_op *op, const struct lk_inode *inode, uint64_t node, struct linkfs_stat *out);

/* ---- links (track.c) ----------------------------------------------------------------------------------------- */

/* A tracked link to target, which named names (NULL: any of its names). replace: as lk_symlink_replace(), else as
 * lk_symlink_make(). LINKFS_EEXIST when the link would take the place of target itself, LINKFS_EMLINK beyond LK_TRACKERS_MAX. */
int lk_track_make(struct lk_op *op, const struct linkfs_cred *cred, const struct lk_inode *target,
		  const struct lk_slot *named, struct lk_where *where, bool replace, struct lk_inode *out);

/* A symlink with one name that is there already tracks target (no symlink) from now on. */
int lk_track_set(struct lk_op *op, uint64_t target, const struct lk_slot *named, struct lk_inode *link);

/* The same for a target that is gone: it dangles with its text. */
int lk_track_set_gone(struct lk_op *op, uint64_t target, struct lk_inode *link);

/* What the calls that change names tell, all of it no more than a look at a flag for what nothing tracks.
 * before: after the checks and before the first write: moved gets another name, a name of leaving goes, or leaving, when stays is set,
 * gets another name too (each may be NULL). Proves room, stores last texts; both records are kept up to date. */
int lk_track_before(struct lk_op *op, struct lk_inode *moved, struct lk_inode *leaving, bool stays);
/* The entry from of inode has become to. */
int lk_track_moved(struct lk_op *op, const struct lk_inode *inode, const struct lk_slot *from,
		   const struct lk_slot *to);
/* A name of inode went and others are left, or came back (undelete): who named it by an entry that is no more takes another. */
int lk_track_renamed(struct lk_op *op, const struct lk_inode *inode);
/* fresh takes over the name slot of old, or with NULL all of its names, and what tracks it by them (D7, E7). Flags of both change;
 * neither is put. */
int lk_track_follow(struct lk_op *op, struct lk_inode *old, struct lk_inode *fresh, const struct lk_slot *slot);
/* The row by which target's links are found goes. LINKFS_ENOENT: it was not there. */
int lk_track_unmark(struct lk_op *op, int64_t target, int64_t link);
/* Tells the observer that texts may have changed with what became of inode: nothing unless it is a directory, a tracked link, or
 * tracked. */
int lk_track_tell(struct lk_op *op, const struct lk_inode *inode);

#endif
