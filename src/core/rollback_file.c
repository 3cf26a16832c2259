/*
 * rollback_file.c - one inode becomes what it was (rollback.h, R1 and R4).
 * Layer: core. An op reads then and now in turn; what T4 has to prove is counted before the first write.
 */
#include "rollback.h"

#include "file_impl.h"
#include "link.h"
#include "orphan.h"
#include "track.h"
#include "txn_impl.h"
#include "xattr.h"

#include <string.h>

#define ROW_PAGES 2u    /* of one stretch replaced: neighbours share leaves of three tables */
#define COPY_STEPS 128u /* stretches of a nameless file in one op */
#define PAGES_REST 64u  /* of the rest of an op */

int lk_then_begin(struct lk_fs *fs, struct lk_op *op, const struct lk_then *then, uint32_t flags)
{
	uint64_t ino;
	int rc = lk_op_begin(fs, op, flags);

	if (rc)
		return rc;
	rc = lk_view_see(op, then->bits | LINKFS_ROOT_INO, &ino);
	if (rc == 0 && op->view != then->view)
		rc = LINKFS_ESTALE;
	lk_view_leave(op);
	return rc ? lk_op_end(op, rc) : 0;
}

int lk_then_inode(struct lk_op *op, const struct lk_then *then, uint64_t ino, struct lk_inode *out)
{
	int rc;

	lk_then_see(op, then);
	rc = lk_inode_get(op, ino, out);
	lk_view_leave(op);
	return rc;
}

/* ---- content ---------------------------------------------------------------------------------------------------- */

/* Walks both mappings side by side. */
struct walk {
	struct lk_op *op;
	const struct lk_then *then;
	uint64_t old, ino;
	uint64_t at, end; /* in blocks; end: of then's size */
	uint64_t now_end; /* of the rows now */
};
/* A stretch that differs: then's, and what it is to be. */
struct stretch {
	uint64_t at, count;
	struct lk_ext then;
	bool hole;
};

/* The next one; count 0 at the end. */
static int next_stretch(struct walk *w, struct stretch *out)
{
	*out = (struct stretch){0};
	while (w->at < w->end) {
		struct lk_ext then, now = {0};
		bool there = w->at < w->now_end, hole, same;
		uint64_t stop;
		int rc;

		lk_then_see(w->op, w->then);
		rc = lk_extent_find(w->op, w->old, w->at, &then);
		lk_view_leave(w->op);
		if (rc == 0 && there)
			rc = lk_extent_find(w->op, w->ino, w->at, &now);
		if (rc)
			return rc;
		hole = !lk_ext_data(then.codec);
		stop = LK_MIN(w->end, then.at + then.count);
		if (there)
			stop = LK_MIN(stop, now.at + now.count);
		then = lk_ext_part(&then, w->at - then.at, stop - w->at);
		if (there)
			now = lk_ext_part(&now, w->at - now.at, stop - w->at);
		if (!there)
			same = false;
		else if (hole)
			same = !lk_ext_data(now.codec);
		else
			same = lk_ext_same(&then, &now);
		if (!same) {
			*out = (struct stretch){w->at, stop - w->at, then, hole};
			w->at = stop;
			return 0;
		}
		w->at = stop;
	}
	return 0;
}

static int take_stretch(struct walk *w, struct lk_inode *inode, const struct stretch *s)
{
	struct lk_map map;
	uint8_t sums[LK_EXTENT_BLOCKS_MAX * 8];
	struct lk_seg seg = {.count = s->count, .codec = LK_CODEC_HOLE};
	int rc = 0;

	if (!s->hole) {
		if (s->count > LK_EXTENT_BLOCKS_MAX)
			return LINKFS_ECORRUPT;
		lk_then_see(w->op, w->then);
		rc = lk_extent_map(w->op, w->old, s->at, (uint32_t)s->count, &map);
		lk_view_leave(w->op);
		for (uint32_t i = 0; rc == 0 && i < s->count; i++)
			lk_put_u64(sums + (size_t)i * 8, map.sums[i]);
		seg.codec = s->then.codec;
		seg.disk = s->then.disk;
		seg.length = s->then.length;
		seg.offset = s->then.offset;
		seg.sums = sums;
		if (rc == 0)
			rc = lk_share_add(w->op, s->then.disk, lk_ext_named(&s->then));
	}
	return rc ? rc : lk_extent_replace(w->op, inode, s->at, &seg, 1);
}

static int walk_begin(struct walk *w, struct lk_op *op, const struct lk_then *then, const struct lk_inode *old,
		      const struct lk_inode *inode)
{
	*w = (struct walk){.op = op,
			   .then = then,
			   .old = (uint64_t)old->ino,
			   .ino = (uint64_t)inode->ino,
			   .end = lk_blocks_up((uint64_t)old->size)};
	return inode->flags & LK_INODE_INLINE ? 0 : lk_extent_end(op, w->ino, &w->now_end);
}

/* Content that lay in the inode's row. */
static int inline_content(struct lk_op *op, const struct lk_then *then, const struct lk_inode *old, uint8_t **out)
{
	int rc;

	lk_then_see(op, then);
	rc = lk_file_inline_get(op, old, 0, out);
	lk_view_leave(op);
	return rc;
}

static int inline_differs(struct lk_op *op, const struct lk_inode *old, const uint8_t *content,
			  const struct lk_inode *inode, bool *out)
{
	uint8_t *now;
	int rc;

	*out = !(inode->flags & LK_INODE_INLINE) || inode->size != old->size;
	if (*out)
		return 0;
	rc = lk_file_inline_get(op, inode, 0, &now);
	*out = rc == 0 && old->size && memcmp(now, content, (size_t)old->size) != 0;
	return rc;
}

static int need(struct lk_op *op, uint64_t rows)
{
	uint64_t pages = rows * ROW_PAGES + PAGES_REST;

	if (pages <= LK_OP_BULK_PAGES)
		return 0;
	return pages > UINT32_MAX ? LINKFS_ENOSPC : lk_op_need(op, (uint32_t)pages);
}

static int take_inline(struct lk_op *op, const struct lk_then *then, const struct lk_inode *old, struct lk_inode *inode,
		       bool dry, bool *changed)
{
	uint64_t rows = 0;
	uint8_t *content;
	bool more = false;
	int rc = inline_content(op, then, old, &content);

	if (rc == 0)
		rc = inline_differs(op, old, content, inode, changed);
	if (rc || !*changed || dry)
		return rc;
	if (!(inode->flags & LK_INODE_INLINE)) {
		rc = lk_extent_count(op, (uint64_t)inode->ino, 0, &rows);
		if (rc == 0)
			rc = need(op, rows);
		if (rc == 0)
			rc = lk_file_drop(op, inode, UINT32_MAX, &more);
	}
	if (rc || !(old->flags & LK_INODE_PACKED))
		return rc ? rc : lk_file_inline_put(op, inode, content, (size_t)old->size);
	struct lk_bytes stored = {NULL, 0};
	lk_then_see(op, then);
	rc = lk_file_inline_stored(op, old, &stored);
	lk_view_leave(op);
	return rc ? rc : lk_file_inline_store(op, inode, stored.p, stored.len, (size_t)old->size, true);
}

static int take_extents(struct lk_op *op, const struct lk_then *then, const struct lk_inode *old,
			struct lk_inode *inode, bool dry, bool *changed)
{
	struct walk w;
	struct stretch s;
	uint64_t rows = 0, past = 0;
	bool more = false;
	int rc = walk_begin(&w, op, then, old, inode);

	if (rc == 0)
		rc = next_stretch(&w, &s);
	for (; rc == 0 && s.count; rows++)
		rc = next_stretch(&w, &s);
	if (rc)
		return rc;
	*changed = rows || (w.end && (inode->flags & LK_INODE_INLINE)) || inode->size != old->size;
	if (!*changed || dry)
		return 0;
	if (w.now_end > w.end)
		rc = lk_extent_count(op, w.ino, w.end, &past);
	if (rc == 0)
		rc = need(op, rows + past);
	if (rc == 0 && (inode->flags & LK_INODE_INLINE)) {
		rc = lk_file_drop(op, inode, UINT32_MAX, &more);
		inode->flags &= ~(int64_t)LK_INODE_INLINE;
	}
	if (rc == 0)
		rc = walk_begin(&w, op, then, old, inode);
	if (rc == 0)
		rc = next_stretch(&w, &s);
	while (rc == 0 && s.count) {
		rc = take_stretch(&w, inode, &s);
		if (rc == 0)
			rc = next_stretch(&w, &s);
	}
	if (rc == 0 && w.now_end > w.end)
		rc = lk_extent_trim(op, inode, w.end, UINT32_MAX, &more);
	if (w.end == 0)
		inode->flags |= LK_INODE_INLINE;
	inode->size = old->size;
	return rc;
}

static int take_content(struct lk_op *op, const struct lk_then *then, const struct lk_inode *old,
			struct lk_inode *inode, bool dry, bool *changed)
{
	return (old->flags & LK_INODE_INLINE ? take_inline : take_extents)(op, then, old, inode, dry, changed);
}

/* ---- symlinks ---------------------------------------------------------------------------------------------------- */

static int take_text(struct lk_op *op, const struct lk_then *then, const struct lk_inode *old, struct lk_inode *inode,
		     bool dry, bool *changed)
{
	struct lk_target was, row;
	int rc;

	/* What a tracked link follows is the tree's business (rollback.c): its text is made. */
	if ((old->flags | inode->flags) & LK_INODE_TRACKED)
		return 0;
	lk_then_see(op, then);
	rc = lk_symlink_row(op, old, &was);
	lk_view_leave(op);
	if (rc == 0)
		rc = lk_symlink_row(op, inode, &row);
	if (rc)
		return rc;
	*changed = was.text.len != row.text.len || memcmp(was.text.p, row.text.p, row.text.len) != 0;
	if (!*changed || dry)
		return 0;
	rc = lk_symlink_rewrite(op, inode, &row, was.text.p, was.text.len);
	return rc ? rc : lk_txn_put(op, LK_T_TARGET, &row);
}

/* ---- attributes --------------------------------------------------------------------------------------------------- */

static uint32_t compare(const struct lk_inode *old, const struct lk_inode *inode)
{
	uint32_t what = 0;

	if (old->uid != inode->uid || old->gid != inode->gid)
		what |= LINKFS_ROLLBACK_OWNER;
	if (old->mode != inode->mode)
		what |= LINKFS_ROLLBACK_MODE;
	if (old->mtime_ns != inode->mtime_ns || (old->ino != inode->ino && old->btime_ns != inode->btime_ns))
		what |= LINKFS_ROLLBACK_TIMES;
	if ((old->flags ^ inode->flags) & LK_INODE_KEEP_LINKS)
		what |= LINKFS_ROLLBACK_FLAGS;
	return what;
}

int lk_rollback_attributes(struct lk_op *op, const struct lk_then *then, const struct lk_inode *old, bool made,
			   struct lk_inode *inode, uint32_t *changed_out)
{
	bool xattrs = false;
	uint32_t what = compare(old, inode);
	int rc = lk_xattr_replace(op, then->view, old, inode, false, &xattrs);

	inode->mode = old->mode;
	inode->uid = old->uid;
	inode->gid = old->gid;
	inode->mtime_ns = old->mtime_ns;
	inode->flags = (inode->flags & ~(int64_t)LK_INODE_KEEP_LINKS) | (old->flags & LK_INODE_KEEP_LINKS);
	if (made) {
		inode->atime_ns = old->atime_ns;
		inode->btime_ns = old->btime_ns;
	}
	*changed_out |= what | (xattrs ? LINKFS_ROLLBACK_XATTRS : 0);
	return rc;
}

/* Both records, of one type. */
static int both(struct lk_op *op, const struct lk_then *then, uint64_t old_ino, uint64_t ino, struct lk_inode *old,
		struct lk_inode *inode)
{
	int rc = lk_then_inode(op, then, old_ino, old);

	if (rc == 0)
		rc = lk_inode_get(op, ino, inode);
	return rc == 0 && (old->mode & S_IFMT) != (inode->mode & S_IFMT) ? LINKFS_ECORRUPT : rc;
}

/* Nothing has been written to the record since: K2. Whatever changes content or attributes does. */
static bool is_untouched(const struct lk_then *then, uint64_t old, const struct lk_inode *inode)
{
	return (uint64_t)inode->ino == old && inode->born <= then->view;
}

static int differences(struct lk_op *op, const struct lk_then *then, const struct lk_inode *old, struct lk_inode *inode,
		       uint32_t *what)
{
	bool changed = false, xattrs = false;
	int rc = 0;

	if (lk_is_reg(inode))
		rc = take_content(op, then, old, inode, true, &changed);
	else if (lk_is_lnk(inode))
		rc = take_text(op, then, old, inode, true, &changed);
	if (rc == 0)
		rc = lk_xattr_replace(op, then->view, old, inode, true, &xattrs);
	*what = compare(old, inode) | (changed ? LINKFS_ROLLBACK_CONTENT : 0) | (xattrs ? LINKFS_ROLLBACK_XATTRS : 0);
	return rc;
}

int lk_rollback_look(struct lk_fs *fs, const struct lk_then *then, uint64_t old_ino, uint64_t ino, uint32_t *what_out)
{
	struct lk_inode old, inode;
	uint32_t what = 0;
	struct lk_op op;
	int rc = lk_then_begin(fs, &op, then, 0);

	if (rc)
		return rc;
	rc = both(&op, then, old_ino, ino, &old, &inode);
	if (rc == 0 && !is_untouched(then, old_ino, &inode))
		rc = differences(&op, then, &old, &inode, &what);
	rc = lk_op_end(&op, rc);
	if (rc == 0)
		*what_out = what;
	return rc;
}

static int take(struct lk_op *op, const struct lk_then *then, uint64_t old_ino, uint64_t ino, uint32_t *what)
{
	struct lk_inode old, inode;
	bool changed = false;
	int rc = both(op, then, old_ino, ino, &old, &inode);

	if (rc == 0 && lk_is_reg(&inode))
		rc = take_content(op, then, &old, &inode, false, &changed);
	else if (rc == 0 && lk_is_lnk(&inode))
		rc = take_text(op, then, &old, &inode, false, &changed);
	*what = changed ? LINKFS_ROLLBACK_CONTENT : 0;
	if (rc == 0)
		rc = lk_rollback_attributes(op, then, &old, false, &inode, what);
	if (rc || !*what)
		return rc;
	if (old_ino != ino) /* R3 */
		inode.btime_ns = old.btime_ns;
	lk_inode_touch(op, &inode, false);
	rc = lk_inode_put(op, &inode);
	return rc ? rc : lk_op_event(op, changed ? LINKFS_EVENT_DATA : LINKFS_EVENT_ATTR, ino, NULL, 0);
}

/* The kernel, told that the content changed, hands over what programs wrote through mappings, and takes it anew. */
static int have_handed_over(struct lk_fs *fs, uint64_t ino)
{
	struct lk_op op;
	int rc = lk_op_begin(fs, &op, LK_OP_WRITE);

	return rc ? rc : lk_op_end(&op, lk_op_event(&op, LINKFS_EVENT_DATA, ino, NULL, 0));
}

int lk_rollback_take(struct lk_fs *fs, const struct lk_then *then, uint64_t old, uint64_t ino, uint32_t *what_out)
{
	uint32_t what = 0;
	struct lk_op op;
	int rc = lk_rollback_look(fs, then, old, ino, &what);

	if (rc == 0 && what == 0)
		*what_out = 0;
	if (rc || what == 0)
		return rc;
	if (what & LINKFS_ROLLBACK_CONTENT)
		rc = have_handed_over(fs, ino);
	if (rc == 0)
		rc = lk_node_lock(fs, ino);
	if (rc)
		return rc;
	rc = lk_file_settle(fs, ino);
	if (rc == 0)
		rc = lk_then_begin(fs, &op, then, LK_OP_WRITE | LK_OP_BULK);
	if (rc == 0)
		rc = lk_op_end(&op, take(&op, then, old, ino, &what));
	lk_node_unlock(fs, ino);
	if (rc == 0)
		*what_out = what;
	return rc;
}

/* ---- copies --------------------------------------------------------------------------------------------------------- */

static int make_nameless(struct lk_op *op, const struct lk_then *then, uint64_t old_ino, struct lk_inode *out)
{
	struct lk_inode old, copy;
	int rc = lk_then_inode(op, then, old_ino, &old);

	if (rc == 0)
		rc = lk_inode_new(op, &copy);
	if (rc)
		return rc;
	copy.mode = S_IFREG | 0600;
	copy.flags |= LK_INODE_TMPFILE | LK_INODE_INLINE;
	rc = lk_inode_put(op, &copy);
	if (rc == 0)
		rc = lk_orphan_add_held(op, &copy);
	if (rc == 0)
		*out = copy;
	return rc;
}

/* Some of the content. Rows tile the size at every moment. */
static int copy_some(struct lk_op *op, const struct lk_then *then, uint64_t old_ino, uint64_t ino, bool *done_out)
{
	struct lk_inode old, copy;
	struct stretch s = {0};
	struct walk w;
	bool changed;
	int rc = both(op, then, old_ino, ino, &old, &copy);

	if (rc)
		return rc;
	if (old.flags & LK_INODE_INLINE) {
		rc = take_inline(op, then, &old, &copy, false, &changed);
		*done_out = true;
		return rc ? rc : lk_inode_put(op, &copy);
	}
	copy.flags &= ~(int64_t)LK_INODE_INLINE;
	rc = walk_begin(&w, op, then, &old, &copy);
	if (rc)
		return rc;
	w.at = LK_MIN(w.now_end, w.end);
	for (uint32_t i = 0; rc == 0 && i < COPY_STEPS; i++) {
		rc = next_stretch(&w, &s);
		if (rc || s.count == 0)
			break;
		rc = take_stretch(&w, &copy, &s);
	}
	*done_out = w.at == w.end;
	copy.size = *done_out ? old.size : (int64_t)(w.at * LK_BLOCK_SIZE);
	if (copy.size == 0)
		copy.flags |= LK_INODE_INLINE;
	return rc ? rc : lk_inode_put(op, &copy);
}

int lk_rollback_copy(struct lk_fs *fs, const struct lk_then *then, uint64_t old, struct lk_inode *out)
{
	struct lk_inode copy = {0};
	bool made, done = false;
	struct lk_op op;
	int rc = lk_then_begin(fs, &op, then, LK_OP_WRITE);

	if (rc)
		return rc;
	rc = make_nameless(&op, then, old, &copy);
	made = rc == 0;
	rc = lk_op_end(&op, rc);
	while (rc == 0 && !done) {
		rc = lk_then_begin(fs, &op, then, LK_OP_WRITE | LK_OP_BULK | LK_OP_SILENT);
		if (rc == 0)
			rc = lk_op_end(&op, copy_some(&op, then, old, (uint64_t)copy.ino, &done));
	}
	if (rc && made)
		lk_orphan_unhold(fs, (uint64_t)copy.ino);
	if (rc == 0)
		*out = copy;
	return rc;
}
