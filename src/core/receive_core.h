/*
 * receive_core.h - what a received stream sets that no program's call does (docs/STREAM.md): attributes as they were, what a tracked link follows,
 * the snapshot at the end. Each is one op and can be done again.
 * Layer: core. No lock held.
 */
#ifndef LK_RECEIVE_CORE_H
#define LK_RECEIVE_CORE_H

#include "inode.h"

struct lk_received_attributes {
	uint32_t mode; /* with the type, which must be the inode's */
	uint32_t uid, gid;
	uint32_t flags; /* LINKFS_INO_KEEP_LINKS */
	int64_t atime_ns, mtime_ns, btime_ns;
	bool made; /* it was not there before: its birth is set, which nothing changes later */
};
/* LINKFS_EINVAL: of another type, or with bits that there are none of. An ACL is kept in step with the mode. */
int lk_receive_attributes(struct lk_fs *fs, uint64_t ino, const struct lk_received_attributes *what);
/* value NULL: it goes, if it is there. The rules of setxattr(2) for root. */
int lk_receive_xattr(struct lk_fs *fs, uint64_t ino, const char *name, const void *value, size_t size);
/* The text of a symlink, which is an ordinary one then. */
int lk_receive_text(struct lk_fs *fs, uint64_t ino, const char *text, size_t len);
/* Symlink ino follows target, by the entry name of directory dir (0: any). LINKFS_ENOENT: target has no such name. */
int lk_receive_track(struct lk_fs *fs, uint64_t ino, uint64_t target, uint64_t dir, const char *name, size_t len);
/* Symlink ino followed what is gone: it dangles with that text, or another that leads the same way, from directory dir (0: none) on by
 * rest, where its directory goes by other names first (lk_track_told()). */
int lk_receive_gone(struct lk_fs *fs, uint64_t ino, struct lk_bytes text, uint64_t dir, struct lk_bytes rest);
/* Inode source is shown at the entry name of directory dir (lk_bind_again()). */
int lk_receive_bind(struct lk_fs *fs, uint64_t source, uint64_t dir, const char *name, size_t len);
/* What symlink ino of a view follows; 0: nothing. */
int lk_receive_followed(struct lk_fs *fs, uint64_t bits, uint64_t ino, uint64_t *target_out);

/* The entry name of directory dir, what a bind shows there apart: *ino_out 0 for none. bits: of a snapshot's node ids, or 0. */
int lk_receive_find(struct lk_fs *fs, uint64_t bits, uint64_t dir, const char *name, size_t len, uint64_t *ino_out,
		    uint64_t *bound_out);

/* How many inodes have no name and are held open. */
int lk_receive_nameless(struct lk_fs *fs, uint64_t *count_out);

/* What is under way is noted beside the properties of the volume, where no rollback and no program reaches it. text NULL: nothing is.
 * noted: LINKFS_ENOENT; the text is appended to out, NUL after it. Words, the sixth of which is the number of
 * the snapshot that it starts from. */
#define LK_RECEIVE_NOTE_MAX 2048u
int lk_receive_note(struct lk_fs *fs, const char *text);
int lk_receive_noted(struct lk_fs *fs, struct lk_buf *out);
/* The snapshot that what is noted starts from, which is not to be deleted; 0: none. Lock held. */
int64_t lk_receive_base(const struct lk_fs *fs);
/* The end is two ops, which happen only when nobody changed the tree since it was verified: *changes is fs->tree_changes before that, and what it
 * is afterwards. LINKFS_EAGAIN: others did. */
struct lk_receive_closing {
	uint64_t stage;
	const char *stage_name, *map_name, *note; /* the time of the op is its last word */
	const char *snapshot;                     /* LINKFS_EEXIST: there is one of that name */
	int64_t root_atime_ns, root_mtime_ns;
};
/* The stage goes, LINKFS_ENOTEMPTY if it holds anything but the map, and the root gets its times. */
int lk_receive_close(struct lk_fs *fs, const struct lk_receive_closing *what, uint64_t *changes);
/* The snapshot is taken, and the note goes. LINKFS_EEXIST. */
int lk_receive_done(struct lk_fs *fs, struct lk_snapshot *s, uint64_t changes);
/* Whether anything was changed after that time: LINKFS_EAGAIN. *cursor, 0 at first, is 0 when all was looked at. */
int lk_receive_changed_since(struct lk_fs *fs, int64_t time_ns, uint64_t *cursor);

#endif
