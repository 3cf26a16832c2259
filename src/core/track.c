/*
 * track.c - see track.h.
 * Layer: core. Which links follow an inode says table component, which has rows for the links of other days too: each is looked at.
 */
#include "track.h"

#include "node.h"

#include <string.h>

#define PAGES_KEY 12u  /* T4: for a link whose entry changes (row and its history) */
#define PAGES_TEXT 40u /* and one whose text does: row, history, inode, and components all over the index */
#define PAGES_REST 64u /* and for the call itself */

/* Tracked links of one inode, in the op's arena. */
struct links {
	struct lk_op *op;
	int64_t target;
	uint32_t count, cap;
	int64_t *inos;
};

static int add_link(void *arg, const void *record)
{
	const struct lk_component *c = record;
	struct links *l = arg;

	if (l->count == l->cap) {
		uint32_t cap = l->cap ? l->cap * 4 : 16;
		int64_t *more = lk_op_alloc(l->op, cap * sizeof(*more));

		if (!more)
			return LINKFS_ENOMEM;
		if (l->count)
			memcpy(more, l->inos, l->count * sizeof(*more));
		l->inos = more;
		l->cap = cap;
	}
	l->inos[l->count++] = c->ino;
	return 0;
}

/* A candidate's records. LINKFS_ENOENT: it does not track target (any more). */
static int look_at(struct lk_op *op, int64_t ino, int64_t target, struct lk_inode *inode, struct lk_target *row)
{
	int rc = lk_inode_get_any(op, (uint64_t)ino, inode);

	if (rc)
		return rc == LINKFS_ESTALE ? LINKFS_ENOENT : rc;
	if (!lk_is_lnk(inode) || !(inode->flags & LK_INODE_TRACKED))
		return LINKFS_ENOENT;
	rc = lk_symlink_row(op, inode, row);
	return rc == 0 && row->tracks != target ? LINKFS_ENOENT : rc;
}

/* The links that follow inode. */
static int gather(struct lk_op *op, const struct lk_inode *inode, struct links *out)
{
	struct lk_component key = {.hash = LK_TRACKS_HASH(inode->ino)};
	struct lk_scan scan = {.table = &lk_tables[LK_T_COMPONENT], .index = LK_BY_KEY, .equal = 1, .from = &key};
	uint32_t kept = 0;
	int rc;

	*out = (struct links){.op = op, .target = inode->ino};
	if (!(inode->flags & LK_INODE_FOLLOWED))
		return 0;
	rc = lk_txn_scan(op, &scan, add_link, out);
	for (uint32_t i = 0; rc == 0 && i < out->count; i++) {
		struct lk_inode link;
		struct lk_target row;
		int found = look_at(op, out->inos[i], inode->ino, &link, &row);

		if (found == 0)
			out->inos[kept++] = out->inos[i];
		else if (found != LINKFS_ENOENT)
			rc = found;
	}
	out->count = kept;
	return rc;
}

/* ---- making ---------------------------------------------------------------------------------------------------- */

static int put_marker(struct lk_op *op, int64_t target, int64_t link)
{
	struct lk_component row = {.hash = LK_TRACKS_HASH(target), .ino = link, .is_last = 1};

	return lk_txn_put(op, LK_T_COMPONENT, &row);
}

int lk_track_unmark(struct lk_op *op, int64_t target, int64_t link)
{
	struct lk_component row = {.hash = LK_TRACKS_HASH(target), .ino = link};

	return lk_txn_erase(op, LK_T_COMPONENT, &row);
}

/* The first entry of ino; LINKFS_ENOENT. */
static int first_slot(struct lk_op *op, int64_t ino, struct lk_slot *out)
{
	struct lk_dirent d;
	int rc = lk_dirent_first(op, (uint64_t)ino, &d);

	if (rc == 0)
		*out = (struct lk_slot){.dir = (uint64_t)d.dir, .hash = d.hash, .ord = d.ord, .ino = (uint64_t)d.ino};
	return rc;
}

/* The row of a link that follows target from now on, and the mark by which that is found. */
static int put_tracks(struct lk_op *op, struct lk_target *row, int64_t target)
{
	/* Only of the mark: the text is the same. */
	struct lk_target was = {.ino = row->ino, .tracks = row->tracks, .born = row->born};
	int rc;

	row->tracks = target;
	rc = lk_txn_put(op, LK_T_TARGET, row);
	if (rc == 0 && was.tracks && was.tracks != target && was.born > op->fs->newest_snapshot)
		rc = lk_symlink_release(op, &was, row);
	if (rc)
		return rc == LINKFS_ENOENT ? LINKFS_ECORRUPT : rc;
	return put_marker(op, target, row->ino);
}

int lk_track_set(struct lk_op *op, uint64_t target, const struct lk_slot *named, struct lk_inode *link)
{
	struct lk_slot any;
	struct lk_inode followed;
	struct lk_target row;
	int rc = lk_symlink_row(op, link, &row);

	if (rc == 0)
		rc = lk_inode_get(op, target, &followed);
	if (rc == 0 && !named && !lk_is_dir(&followed)) {
		rc = first_slot(op, (int64_t)target, &any);
		named = &any;
	}
	if (rc)
		return rc;
	if (named && !lk_is_dir(&followed)) {
		row.by_dir = (int64_t)named->dir;
		row.by_hash = named->hash;
		row.by_ord = named->ord;
	}
	rc = put_tracks(op, &row, (int64_t)target);
	link->flags |= LK_INODE_TRACKED;
	if (rc == 0)
		rc = lk_inode_put(op, link);
	if (rc || (followed.flags & LK_INODE_FOLLOWED))
		return rc;
	followed.flags |= LK_INODE_FOLLOWED;
	return lk_inode_put(op, &followed);
}

int lk_track_set_gone(struct lk_op *op, uint64_t target, struct lk_inode *link)
{
	struct lk_target row;
	int rc = lk_symlink_row(op, link, &row);

	if (rc)
		return rc;
	row.by_dir = row.by_hash = row.by_ord = 0;
	rc = put_tracks(op, &row, (int64_t)target);
	link->flags |= LK_INODE_TRACKED;
	return rc ? rc : lk_inode_put(op, link);
}

int lk_track_make(struct lk_op *op, const struct linkfs_cred *cred, const struct lk_inode *target,
		  const struct lk_slot *named, struct lk_where *where, bool replace, struct lk_inode *out)
{
	struct lk_target by = {0};
	struct lk_place there;
	struct lk_slot slot, any;
	struct links links;
	const char *text;
	size_t len;
	int rc;

	if (lk_is_lnk(target))
		return LINKFS_EINVAL;
	/* A bind's entry shows it and is no name of it. */
	if (named && named->ino != (uint64_t)target->ino)
		named = NULL;
	if (!named && !lk_is_dir(target)) {
		rc = first_slot(op, target->ino, &any);
		if (rc)
			return rc;
		named = &any;
	}
	if (named)
		by = (struct lk_target){.by_dir = (int64_t)named->dir, .by_hash = named->hash, .by_ord = named->ord};
	rc = where->last == LK_LAST_NAME ? lk_walk_look(op, where, &slot, &there) : LINKFS_ENOENT;
	if (rc && rc != LINKFS_ENOENT)
		return rc;
	if (rc == 0 && slot.ino == (uint64_t)target->ino)
		return LINKFS_EEXIST;
	rc = gather(op, target, &links);
	if (rc == 0 && links.count >= LK_TRACKERS_MAX)
		rc = LINKFS_EMLINK;
	if (rc == 0)
		rc = lk_track_between(op, NULL, where->dir.id, (uint64_t)target->ino, &by, &text, &len);
	if (rc)
		return rc;
	rc = (replace ? lk_symlink_replace : lk_symlink_make)(op, cred, where, text, len, out);
	return rc ? rc : lk_track_set(op, (uint64_t)target->ino, named, out);
}

/* ---- when names change ------------------------------------------------------------------------------------------ */

/* The link's row has the present text afterwards. */
static int store_text(struct lk_op *op, struct lk_inode *link, struct lk_target *row)
{
	const char *text;
	size_t len;
	int rc = lk_track_stored(op, link, row, &text, &len);

	/* One that is too long is nobody's to read: the last that could be stays. */
	if (rc)
		return rc == LINKFS_ENAMETOOLONG ? 0 : rc;
	if (len == row->text.len && memcmp(text, row->text.p, len) == 0)
		return 0;
	rc = lk_symlink_rewrite(op, link, row, text, len);
	if (rc == 0)
		rc = lk_txn_put(op, LK_T_TARGET, row);
	return rc ? rc : lk_inode_put(op, link);
}

static bool loses_last(const struct lk_inode *inode)
{
	return lk_is_dir(inode) || inode->nlink <= 1;
}

/* How many of the links have another text in their row than they read as. */
static int count_stale(struct lk_op *op, const struct links *l, uint32_t *out)
{
	int rc = 0;

	*out = 0;
	for (uint32_t i = 0; rc == 0 && i < l->count; i++) {
		struct lk_inode link;
		struct lk_target row;
		const char *text;
		size_t len;

		rc = look_at(op, l->inos[i], l->target, &link, &row);
		if (rc == 0)
			rc = lk_track_stored(op, &link, &row, &text, &len);
		if (rc == LINKFS_ENAMETOOLONG)
			rc = 0;
		else if (rc == 0 && (len != row.text.len || memcmp(text, row.text.p, len) != 0))
			*out += 1;
	}
	return rc;
}

static int store_texts(struct lk_op *op, const struct links *l)
{
	int rc = 0;

	for (uint32_t i = 0; rc == 0 && i < l->count; i++) {
		struct lk_inode link;
		struct lk_target row;

		rc = look_at(op, l->inos[i], l->target, &link, &row);
		if (rc == 0)
			rc = store_text(op, &link, &row);
	}
	return rc;
}

/* A tracked link that may live on without a name: open, or kept. */
static int store_own(struct lk_op *op, struct lk_inode *link)
{
	struct lk_target row;
	int rc;

	if (!op->fs->keep_deleted_ns && !lk_node_held(op->fs, (uint64_t)link->ino))
		return 0;
	rc = lk_symlink_row(op, link, &row);
	return rc ? rc : store_text(op, link, &row);
}

int lk_track_before(struct lk_op *op, struct lk_inode *moved, struct lk_inode *leaving, bool stays)
{
	struct links of_moved = {0}, of_leaving = {0};
	uint32_t stale = 0, pages;
	int rc = 0;

	if (moved && (moved->flags & LK_INODE_FOLLOWED) && !lk_is_dir(moved))
		rc = gather(op, moved, &of_moved);
	if (rc == 0 && leaving && (leaving->flags & LK_INODE_FOLLOWED))
		rc = gather(op, leaving, &of_leaving);
	if (rc == 0 && of_leaving.count && !stays && loses_last(leaving))
		rc = count_stale(op, &of_leaving, &stale);
	pages = (of_moved.count + of_leaving.count) * PAGES_KEY + stale * PAGES_TEXT;
	if (rc == 0 && pages > PAGES_REST / 2)
		rc = lk_op_need(op, pages + PAGES_REST);
	if (rc == 0 && stale)
		rc = store_texts(op, &of_leaving);
	/* A link that is put in the place of what it tracks. */
	if (rc == 0 && stale && moved && (moved->flags & LK_INODE_TRACKED))
		rc = lk_inode_get(op, (uint64_t)moved->ino, moved);
	if (rc == 0 && leaving && !stays && (leaving->flags & LK_INODE_TRACKED) && lk_is_lnk(leaving))
		rc = store_own(op, leaving);
	return rc;
}

static bool is_by(const struct lk_target *row, const struct lk_slot *slot)
{
	return row->by_dir == (int64_t)slot->dir && row->by_hash == slot->hash && row->by_ord == slot->ord;
}

static int put_key(struct lk_op *op, struct lk_target *row, const struct lk_slot *slot)
{
	row->by_dir = (int64_t)slot->dir;
	row->by_hash = slot->hash;
	row->by_ord = slot->ord;
	return lk_txn_put(op, LK_T_TARGET, row);
}

int lk_track_moved(struct lk_op *op, const struct lk_inode *inode, const struct lk_slot *from, const struct lk_slot *to)
{
	struct links l;
	int rc = lk_is_dir(inode) ? 0 : gather(op, inode, &l);

	if (lk_is_dir(inode))
		return 0;
	for (uint32_t i = 0; rc == 0 && i < l.count; i++) {
		struct lk_inode link;
		struct lk_target row;

		rc = look_at(op, l.inos[i], l.target, &link, &row);
		if (rc == 0 && is_by(&row, from))
			rc = put_key(op, &row, to);
	}
	return rc;
}

int lk_track_renamed(struct lk_op *op, const struct lk_inode *inode)
{
	struct lk_slot first;
	struct links l;
	int rc;

	if (lk_is_dir(inode) || !(inode->flags & LK_INODE_FOLLOWED))
		return 0;
	rc = first_slot(op, inode->ino, &first);
	if (rc == 0)
		rc = gather(op, inode, &l);
	for (uint32_t i = 0; rc == 0 && i < l.count; i++) {
		struct lk_inode link;
		struct lk_dirent d;
		struct lk_target row;

		rc = look_at(op, l.inos[i], l.target, &link, &row);
		if (rc)
			break;
		rc = lk_dirent_at(op, (uint64_t)row.by_dir, row.by_hash, row.by_ord, (uint64_t)inode->ino, &d);
		if (rc == LINKFS_ENOENT)
			rc = put_key(op, &row, &first);
	}
	return rc == LINKFS_ENOENT ? 0 : rc;
}

int lk_track_follow(struct lk_op *op, struct lk_inode *old, struct lk_inode *fresh, const struct lk_slot *slot)
{
	struct links l;
	int rc = gather(op, old, &l);

	if (rc || !(old->flags & LK_INODE_FOLLOWED))
		return rc;
	rc = lk_op_need(op, l.count * PAGES_KEY * 2 + PAGES_REST);
	for (uint32_t i = 0; rc == 0 && i < l.count; i++) {
		struct lk_inode link;
		struct lk_target row;

		rc = look_at(op, l.inos[i], l.target, &link, &row);
		if (rc)
			break;
		if (slot && !is_by(&row, slot))
			continue;
		rc = put_tracks(op, &row, fresh->ino);
	}
	if (!slot)
		old->flags &= ~(int64_t)LK_INODE_FOLLOWED;
	fresh->flags |= LK_INODE_FOLLOWED;
	return rc;
}

int lk_track_tell(struct lk_op *op, const struct lk_inode *inode)
{
	int rc;

	if (!lk_is_dir(inode) && !(inode->flags & (LK_INODE_FOLLOWED | LK_INODE_TRACKED)))
		return 0;
	rc = lk_op_event(op, LINKFS_EVENT_TEXTS, (uint64_t)inode->ino, NULL, 0);
	return rc ? rc : lk_op_event_beside(op, LINKFS_EVENT_TEXTS, (uint64_t)inode->ino, NULL, 0);
}
