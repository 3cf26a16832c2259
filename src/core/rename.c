/*
 * rename.c - names move (A2, A7): rename(2) with NOREPLACE and EXCHANGE.
 * Layer: core. The order of checks is that of Linux 6.18's do_renameat2() and vfs_rename(), then ext4's. ".." needs no
 * record of its own: it is read from the entry that names the directory.
 */
#include "binds.h"
#include "keep.h"
#include "moved.h"
#include "orphan.h"
#include "places.h"
#include "track.h"

/* One side of a rename: the name, its entry, what it names now. */
struct side {
	struct lk_where *where;
	struct lk_inode *dir; /* both sides share one record when the directory is the same */
	struct lk_slot slot;
	struct lk_place node;
	bool exists;
};

static int look(struct lk_op *op, struct side *s)
{
	int rc = lk_walk_look(op, s->where, &s->slot, &s->node);

	s->exists = rc == 0;
	return rc;
}

static bool is_dir(const struct side *s)
{
	return s->exists && lk_is_dir(&s->node.inode);
}

/* Whether the path walked to directory dir leads through place id. */
static int leads_through(struct lk_op *op, const struct lk_place *dir, uint64_t id, bool *out)
{
	struct lk_place at = *dir;
	int rc = 0;

	while (rc == 0 && at.id != id && at.id != LINKFS_ROOT_INO)
		rc = lk_place_parent(op, &at, &at);
	*out = at.id == id;
	return rc == LINKFS_ENOENT ? 0 : rc;
}

/* Whether what s names would come below itself in other's directory: by the path walked that is inside, as on Linux, and by another
 * one it is LINKFS_ELOOP. */
static int check_inside(struct lk_op *op, const struct side *s, const struct side *other, int inside)
{
	bool above, through = true;
	int rc = lk_dirent_above(op, s->slot.ino, (uint64_t)other->dir->ino, &above);

	if (rc == 0 && above && lk_places_any(op))
		rc = leads_through(op, &other->where->dir, s->node.id, &through);
	if (rc || !above)
		return rc;
	return through ? inside : LINKFS_ELOOP;
}

/* What do_renameat2() asks before any permission. */
static int check_shape(struct lk_op *op, struct side *from, struct side *to, uint32_t flags)
{
	bool exchange = flags & LINKFS_RENAME_EXCHANGE;
	int rc = lk_perm_writable(op);

	if (rc)
		return rc;
	rc = look(op, from);
	if (rc)
		return rc;
	rc = look(op, to);
	if (rc == LINKFS_ENOENT && !exchange && to->dir->nlink)
		rc = 0;
	if (rc)
		return rc;
	if (to->exists && (flags & LINKFS_RENAME_NOREPLACE))
		return LINKFS_EEXIST;
	if (exchange && !is_dir(to) && to->where->slash)
		return LINKFS_ENOTDIR;
	if (!is_dir(from) && (from->where->slash || (!exchange && to->where->slash)))
		return LINKFS_ENOTDIR;
	if (from->dir->ino == to->dir->ino)
		return 0;
	if (is_dir(from))
		rc = check_inside(op, from, to, LINKFS_EINVAL);
	if (rc || !is_dir(to))
		return rc;
	rc = check_inside(op, to, from, exchange ? LINKFS_EINVAL : LINKFS_ENOTEMPTY);
	/* What is replaced comes to lie nowhere; that it cannot be, for it is not empty, is found after the rights. */
	return rc == LINKFS_ELOOP && !exchange ? 0 : rc;
}

/* What vfs_rename() asks of directories that change their parent: they are written to, for their ".." changes. */
static int check_parents(struct lk_op *op, const struct linkfs_cred *cred, const struct side *from,
			 const struct side *to, bool exchange)
{
	int rc = is_dir(from) ? lk_perm_check(op, cred, &from->node.inode, LK_MAY_WRITE) : 0;

	if (rc == 0 && exchange && is_dir(to))
		rc = lk_perm_check(op, cred, &to->node.inode, LK_MAY_WRITE);
	return rc;
}

/* What vfs_rename() asks. */
static int check_rights(struct lk_op *op, const struct linkfs_cred *cred, struct side *from, struct side *to,
			uint32_t flags)
{
	bool exchange = flags & LINKFS_RENAME_EXCHANGE;
	int rc = lk_perm_delete(op, cred, from->dir, &from->node.inode, is_dir(from));

	if (rc)
		return rc;
	if (!to->exists)
		rc = lk_perm_create(op, cred, to->dir);
	else
		rc = lk_perm_delete(op, cred, to->dir, &to->node.inode, exchange ? is_dir(to) : is_dir(from));
	if (rc == 0 && from->dir != to->dir)
		rc = check_parents(op, cred, from, to, exchange);
	/* C2: where a bind stands. */
	return rc == 0 && (from->slot.bound || to->slot.bound) ? LINKFS_EBUSY : rc;
}

/* D7: the other names of what is replaced follow. */
static bool follows(const struct linkfs_cred *cred, const struct side *from, const struct side *to, uint32_t flags)
{
	return to->exists && !(flags & LINKFS_RENAME_EXCHANGE) &&
	       lk_keep_follows(cred, &to->node.inode, &from->node.inode);
}

/* What ext4 asks: an empty target, room for the links of directories. */
static int check_room(struct lk_op *op, struct side *from, struct side *to, uint32_t flags, bool follow)
{
	bool exchange = flags & LINKFS_RENAME_EXCHANGE, empty;
	int rc;

	if (follow && from->node.inode.nlink > (int64_t)LINKFS_LINK_MAX - (to->node.inode.nlink - 1))
		return LINKFS_EMLINK;

	if (!exchange && is_dir(to)) {
		rc = lk_dirent_empty(op, to->slot.ino, &empty);
		if (rc || !empty)
			return rc ? rc : LINKFS_ENOTEMPTY;
	}
	if (from->dir == to->dir)
		return 0;
	if (is_dir(from) && !is_dir(to) && to->dir->nlink >= (int64_t)LINKFS_LINK_MAX)
		return LINKFS_EMLINK;
	if (exchange && is_dir(to) && !is_dir(from) && from->dir->nlink >= (int64_t)LINKFS_LINK_MAX)
		return LINKFS_EMLINK;
	return 0;
}

/* The moved file's ctime changes, and what tracks it goes with it. */
static int touch_moved(struct lk_op *op, struct side *s, const struct lk_slot *from, const struct lk_slot *to)
{
	int rc;

	lk_inode_touch(op, &s->node.inode, false);
	rc = lk_inode_put(op, &s->node.inode);
	if (rc == 0)
		rc = lk_op_event(op, LINKFS_EVENT_ATTR, (uint64_t)s->node.inode.ino, NULL, 0);
	if (rc == 0 && (s->node.inode.flags & LK_INODE_FOLLOWED))
		rc = lk_track_moved(op, &s->node.inode, from, to);
	return rc ? rc : lk_track_tell(op, &s->node.inode);
}

/* What was at from is at to now (slots as they were found). */
static int tell_places(struct lk_op *op, const struct side *from, const struct lk_slot *was_from, const struct side *to,
		       const struct lk_slot *was_to)
{
	return lk_places_moved(op, from->where->dir.id, was_from, to->where->dir.id, was_to);
}

static int exchange_names(struct lk_op *op, struct side *from, struct side *to)
{
	uint64_t from_ino = from->slot.ino, to_ino = to->slot.ino;
	uint32_t from_type = from->slot.type, to_type = to->slot.type;
	struct lk_slot was_from = from->slot, was_to = to->slot;
	int rc;

	bool other = from->dir != to->dir;

	rc = lk_track_before(op, &from->node.inode, &to->node.inode, true);
	if (rc == 0)
		rc = lk_moved_note(op, &from->node.inode, &from->slot, from->where->name, from->where->len, other,
				   true);
	if (rc == 0)
		rc = lk_moved_note(op, &to->node.inode, &to->slot, to->where->name, to->where->len, other, true);
	if (rc == 0)
		rc = lk_dirent_replace(op, &from->slot, from->where->name, from->where->len, to_ino, to_type);
	if (rc == 0)
		rc = lk_dirent_replace(op, &to->slot, to->where->name, to->where->len, from_ino, from_type);
	if (rc == 0)
		rc = touch_moved(op, from, &from->slot, &to->slot);
	if (rc == 0)
		rc = touch_moved(op, to, &to->slot, &from->slot);
	if (rc == 0)
		rc = tell_places(op, from, &was_from, to, &was_to);
	if (rc == 0)
		rc = tell_places(op, to, &was_to, from, &was_from);
	if (is_dir(from) != is_dir(to)) {
		from->dir->nlink += is_dir(from) ? -1 : 1;
		to->dir->nlink += is_dir(from) ? 1 : -1;
	}
	return rc;
}

static int move_name(struct lk_op *op, const struct linkfs_cred *cred, struct side *from, struct side *to, bool follow)
{
	uint64_t ino = from->slot.ino;
	uint32_t type = from->slot.type;
	struct lk_lost lost = {(uint64_t)to->dir->ino, to->where->name, to->where->len, to->dir->mtime_ns, true};
	struct lk_inode *const dirs[2] = {from->dir, to->dir};
	struct lk_slot was_from = from->slot, was_to = to->slot;
	bool kept = from->node.inode.flags & LK_INODE_KEEP_LINKS;
	struct lk_keep keep;
	int rc = follow ? lk_keep_list(op, &to->node.inode, &to->slot, &keep) : 0;

	if (rc == 0)
		rc = lk_track_before(op, &from->node.inode, to->exists && !follow ? &to->node.inode : NULL, false);
	if (rc == 0 && follow)
		rc = lk_track_follow(op, &to->node.inode, &from->node.inode, NULL);
	if (rc == 0)
		rc = lk_dirent_remove(op, &from->slot, from->where->name, from->where->len);
	if (rc == 0)
		rc = lk_moved_note(op, &from->node.inode, &from->slot, from->where->name, from->where->len,
				   from->dir != to->dir, false);
	if (rc)
		return rc;
	if (to->exists)
		rc = lk_dirent_replace(op, &to->slot, to->where->name, to->where->len, ino, type);
	else
		rc = lk_dirent_insert(op, &to->slot, to->where->name, to->where->len, ino, type);
	if (rc == 0 && to->exists && lk_places_has(&to->node.inode))
		rc = lk_places_removed(op, &was_to);
	if (rc == 0)
		rc = tell_places(op, from, &was_from, to, &was_to);
	if (rc == 0 && to->exists)
		rc = lk_keep_binds(op, cred, &to->node.inode, &from->node.inode);
	if (rc == 0 && to->exists)
		rc = lk_link_drop_name(op, &to->node.inode, &lost);
	if (rc == 0 && follow)
		rc = lk_keep_follow(&keep, &to->node.inode, &from->node.inode, dirs);
	if (rc == 0)
		rc = touch_moved(op, from, &from->slot, &to->slot);
	/* The kernel's own rename gave the name what it knew of the file that came, which was to hold for ever. */
	if (rc == 0 && !kept && (from->node.inode.flags & LK_INODE_KEEP_LINKS))
		rc = lk_keep_tell(op, &from->node.inode);
	else if (rc == 0 && follow)
		rc = lk_op_event_beside(op, LINKFS_EVENT_ENTRY, (uint64_t)to->dir->ino, to->where->name,
					to->where->len);
	if (is_dir(from)) {
		from->dir->nlink--;
		to->dir->nlink += is_dir(to) ? 0 : 1;
	}
	return rc;
}

int lk_rename_flags(uint32_t flags)
{
	if (flags & ~(LINKFS_RENAME_NOREPLACE | LINKFS_RENAME_EXCHANGE))
		return LINKFS_EINVAL;
	if ((flags & LINKFS_RENAME_NOREPLACE) && (flags & LINKFS_RENAME_EXCHANGE))
		return LINKFS_EINVAL;
	return 0;
}

int lk_rename(struct lk_op *op, const struct linkfs_cred *cred, struct lk_where *from, struct lk_where *to,
	      uint32_t flags)
{
	struct side f = {.where = from, .dir = &from->dir.inode};
	struct side t = {.where = to, .dir = from->dir.inode.ino == to->dir.inode.ino ? f.dir : &to->dir.inode};
	int rc;

	rc = lk_rename_flags(flags);
	if (rc)
		return rc;
	/* C3: as between mounts. */
	if (lk_places_bind(op->fs, from->dir.id) != lk_places_bind(op->fs, to->dir.id))
		return LINKFS_EXDEV;
	if (from->last != LK_LAST_NAME)
		return LINKFS_EBUSY;
	if (to->last != LK_LAST_NAME)
		return flags & LINKFS_RENAME_NOREPLACE ? LINKFS_EEXIST : LINKFS_EBUSY;
	rc = check_shape(op, &f, &t, flags);
	if (rc)
		return rc;
	/* Two names of one file: nothing to do (POSIX). */
	if (t.exists && f.slot.ino == t.slot.ino)
		return 0;
	bool follow = follows(cred, &f, &t, flags);

	rc = check_rights(op, cred, &f, &t, flags);
	if (rc == 0)
		rc = check_room(op, &f, &t, flags, follow);
	if (rc == 0)
		rc = flags & LINKFS_RENAME_EXCHANGE ? exchange_names(op, &f, &t) : move_name(op, cred, &f, &t, follow);
	if (rc)
		return rc;
	/* A directory counts at least itself and its name; less is damage, found before it is written. */
	if (f.dir->nlink < 2 || t.dir->nlink < 2)
		return LINKFS_ECORRUPT;
	lk_inode_touch(op, f.dir, true);
	rc = lk_inode_put(op, f.dir);
	if (rc || t.dir == f.dir)
		return rc;
	lk_inode_touch(op, t.dir, true);
	return lk_inode_put(op, t.dir);
}
