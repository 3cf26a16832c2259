/*
 * rollback.h - a file or tree of the live volume becomes again what it was in a snapshot (E1), by sharing.
 * Layer: core. rollback_file.c does one inode, rollback.c the names of a tree, rollback_plan.c what both look up.
 *
 * "Then" is the snapshot, "now" the live tree. PATH is the name that is asked for, "inside" is what can be reached from it now by entries of
 * directories (what binds show is not inside; what they cover is), when what stands there is, or is younger than, the directory that PATH was
 * then; else PATH alone is inside, and what stands there goes with all that is in it.
 *
 * R1 An inode number never means another file (K1). So a file of then is the same inode now, when that has a name inside: it keeps its
 *    number, and with it open handles, tracked links, binds and its other names. Its content, mode, owner, group, mtime, extended
 *    attributes, ACLs, flag keep-links become those of then in one op: all of it or nothing. ctime is the op's, as for any change.
 * R2 What is outside PATH is never changed, but for two things that cannot be told apart: a file or directory that has a name inside shows
 *    the change by its names outside too, and the directory that holds PATH gets another mtime when PATH's entry changes. A file that
 *    was moved out stays where it is, with what it has now; inside there is a copy, which shares its blocks of then.
 * R3 A file of then that has no name inside now is made anew, with a new number; names that were of one file are of one file again. When the name
 *    is that of a file of the same type and, with content, of the same owner, that is younger than the snapshot and has no other names than those, then that one becomes what the
 *    file was: a save by a new file keeps its number too, and a rollback that is run again finds nothing to do.
 * R4 Content is shared (K3): the rows of extents that differ are replaced by then's, whose blocks gain a reference. What is the same block
 *    already is not touched. Blocks that were allocated and never written come back as holes.
 *    The volume's lock is held meanwhile: some seconds for each GiB that differs.
 * R5 Order: stale binds and stale second names of directories go; directories come to their places, parents first; files get their names;
 *    names that are only of now go; contents and attributes; binds come back; last the attributes of directories, mtime among them. Each step is
 *    one op. Where an entry has to make way for a file that is elsewhere still to be placed, it gets the name LK_ROLLBACK_ASIDE in the same
 *    directory meanwhile.
 * R6 Cut off at any point, what is there is whole, and the same call goes on from there: it ends in the same state. A tree that others change
 *    meanwhile becomes what it was but for what they did: what has a number given since the rollback began, and not by it, is neither
 *    removed nor changed, as no snapshot taken before has it; where it has the name of something that was there, or what they removed is
 *    missing, that is left and told.
 * R7 What cannot be done because of something outside (a bind that shows what would go, LINKFS_EBUSY) is left and told; the rest is done.
 * R8 Whatever changes something is told of, also when it fails half way: no step, nothing changed. Who keeps the present state in a snapshot can
 *    drop that then. The times of directories are told when nothing else is: each step changes them.
 */
#ifndef LK_ROLLBACK_H
#define LK_ROLLBACK_H

#include "views.h"

#include <linkfs_snapshots.h>

#define LK_ROLLBACK_ASIDE ".linkfs-rollback-" /* and a number */

/* The snapshot. */
struct lk_then {
	int64_t view;
	uint64_t bits;
	int64_t next_ino; /* numbers from it on are younger */
};
/* Begins an op that may read both: it is in the live view. LINKFS_ESTALE: the snapshot is gone. */
int lk_then_begin(struct lk_fs *fs, struct lk_op *op, const struct lk_then *then, uint32_t flags);
/* The op, begun so, reads then until lk_view_leave(). Rows that it has written count as of now: K2. */
static inline void lk_then_see(struct lk_op *op, const struct lk_then *then)
{
	op->view = then->view;
	op->bits = then->bits;
}
int lk_then_inode(struct lk_op *op, const struct lk_then *then, uint64_t ino, struct lk_inode *out);

/* ---- one inode (rollback_file.c) ------------------------------------------------------------------------------- */

/* *what_out: LINKFS_ROLLBACK_CONTENT and its kin that differ; 0: it is as it was (R1). No lock held. */
int lk_rollback_look(struct lk_fs *fs, const struct lk_then *then, uint64_t old, uint64_t ino, uint32_t *what_out);
/* Makes it so. The kernel hands over first what it holds of the content. No lock held. */
int lk_rollback_take(struct lk_fs *fs, const struct lk_then *then, uint64_t old, uint64_t ino, uint32_t *what_out);
/* A file with the content and without a name, held: in steps. Regular files only. */
int lk_rollback_copy(struct lk_fs *fs, const struct lk_then *then, uint64_t old, struct lk_inode *out);
/* Attributes, within an op; for one that is made: times of access and birth too. Not put. *changed_out grows. */
int lk_rollback_attributes(struct lk_op *op, const struct lk_then *then, const struct lk_inode *old, bool made,
			   struct lk_inode *inode, uint32_t *changed_out);

/* ---- a tree (rollback.c) ----------------------------------------------------------------------------------------- */

struct lk_rollback_ask {
	struct lk_then then;
	uint64_t dir; /* holds PATH; 0: PATH is the root */
	const char *name;
	size_t len;
	const char *path; /* PATH from the root */
	uint64_t old;     /* what PATH was: a bare number */
	bool dry;         /* tell, and change nothing */
	linkfs_rollback_fn *fn;
	void *arg;
};
/* LINKFS_EBUSY: something was left (R7). No lock held. */
int lk_rollback(struct lk_fs *fs, const struct lk_rollback_ask *ask);

#endif
