/*
 * track_text.c - the text of a tracked link: made from where it and its target are, or the last one that was.
 * Layer: core.
 */
#include "track_ways.h"

#include "binds.h"
#include "places.h"

#include <string.h>

/* The directory that holds the link; 0: it has no name. */
static int dir_of(struct lk_op *op, const struct lk_inode *link, const struct lk_overlay *o, uint64_t *out)
{
	struct lk_dirent d;
	int rc;

	*out = 0;
	for (uint32_t i = 0; o && i < o->count; i++) {
		if (o->entries[i].ino == (uint64_t)link->ino) {
			*out = o->entries[i].dir;
			return 0;
		}
	}
	rc = link->nlink ? lk_dirent_first(op, (uint64_t)link->ino, &d) : LINKFS_ENOENT;
	if (rc == 0)
		*out = op->bits | (uint64_t)d.dir;
	return rc == LINKFS_ENOENT ? 0 : rc;
}

/* Made from where both are; LINKFS_ENOENT when one is not in the tree. */
static int made(struct lk_op *op, const struct lk_inode *link, uint64_t dir, bool by_names, const struct lk_target *row,
		const struct lk_overlay *o, const char **text_out, size_t *len_out)
{
	struct lk_inode target;
	struct lk_track_up up;
	int rc = lk_inode_get(op, (uint64_t)row->tracks, &target);

	if (rc)
		return rc == LINKFS_ESTALE ? LINKFS_ENOENT : rc;
	if (lk_is_lnk(&target))
		return LINKFS_ECORRUPT;
	if (target.nlink == 0)
		return LINKFS_ENOENT;
	if (dir == 0)
		rc = dir_of(op, link, o, &dir);
	if (rc || dir == 0)
		return rc ? rc : LINKFS_ENOENT;
	rc = lk_track_climb(op, o, by_names, dir, &up);
	return rc ? rc : lk_track_lead(op, o, &up, (uint64_t)target.ino, row, text_out, len_out);
}

int lk_track_stored(struct lk_op *op, const struct lk_inode *inode, const struct lk_target *row, const char **text_out,
		    size_t *len_out)
{
	int rc = made(op, inode, 0, true, row, NULL, text_out, len_out);

	if (rc != LINKFS_ENOENT)
		return rc;
	*text_out = row->text.p;
	*len_out = row->text.len;
	return 0;
}

/* ---- the last text ---------------------------------------------------------------------------------------------- */

static bool is_same_way(const struct lk_track_up *a, const struct lk_track_up *b)
{
	return a->count == b->count && memcmp(a->dirs, b->dirs, a->count * sizeof(a->dirs[0])) == 0;
}

/* How far up the text goes; what it goes down after that begins at *down_out. */
static uint32_t count_ups(const struct lk_bytes *text, struct lk_bytes *down_out)
{
	const char *p = text->p, *end = p + text->len;
	uint32_t ups = 0;

	for (; end - p >= 2 && p[0] == '.' && p[1] == '.' && (end - p == 2 || p[2] == '/'); ups++)
		p += LK_MIN(end - p, 3);
	if (end - p == 1 && *p == '.')
		p = end;
	*down_out = (struct lk_bytes){p, (size_t)(end - p)};
	return ups;
}

/* The directory that so many ".." lead to: above the root is the root. */
static uint64_t top_of(const struct lk_track_up *up, uint32_t ups)
{
	return up->dirs[LK_MIN(ups, up->count - 1)];
}

/* The way to directory dir, and on by down. */
static int lead_on(struct lk_op *op, const struct lk_overlay *o, const struct lk_track_up *here, uint64_t dir,
		   struct lk_bytes down, const char **text_out, size_t *len_out)
{
	const char *head;
	size_t len;
	char *whole;
	int rc = lk_track_lead(op, o, here, dir, NULL, &head, &len);

	if (rc)
		return rc;
	if (down.len == 0) {
		*text_out = head;
		*len_out = len;
		return 0;
	}
	if (len == 1 && head[0] == '.')
		len = 0;
	whole = lk_op_alloc(op, len + 1 + down.len + 1);
	if (!whole)
		return LINKFS_ENOMEM;
	memcpy(whole, head, len);
	if (len)
		whole[len++] = '/';
	memcpy(whole + len, down.p, down.len);
	len += down.len;
	whole[len] = 0;
	*text_out = whole;
	*len_out = len;
	return len > LINKFS_SYMLINK_MAX ? LINKFS_ENAMETOOLONG : 0;
}

/* What text leads to from where up begins, as a text for where here begins. LINKFS_ENOENT: there is none. */
static int carry(struct lk_op *op, const struct lk_overlay *o, const struct lk_bytes *text,
		 const struct lk_track_up *up, const struct lk_track_up *here, const char **text_out, size_t *len_out)
{
	struct lk_bytes down;
	uint32_t ups = count_ups(text, &down);

	return lead_on(op, o, here, top_of(up, ups), down, text_out, len_out);
}

/* The stored one, which is that of the link's directory by its first names. In another place of it: what leads to the same. */
static int last_text(struct lk_op *op, const struct lk_inode *link, uint64_t dir, const struct lk_target *row,
		     const struct lk_overlay *o, const char **text_out, size_t *len_out)
{
	struct lk_track_up up, here;
	uint64_t first = 0;
	int rc = lk_places_any(op) ? dir_of(op, link, o, &first) : 0;

	*text_out = row->text.p;
	*len_out = row->text.len;
	if (rc || first == 0)
		return rc;
	rc = lk_track_climb(op, o, true, first, &up);
	if (rc == 0)
		rc = lk_track_climb(op, o, false, dir ? dir : first, &here);
	if (rc == 0 && !is_same_way(&up, &here))
		rc = carry(op, o, &row->text, &up, &here, text_out, len_out);
	return rc == LINKFS_ENOENT ? 0 : rc;
}

int lk_track_text(struct lk_op *op, const struct lk_inode *inode, uint64_t dir, const struct lk_target *row,
		  const struct lk_overlay *overlay, const char **text_out, size_t *len_out)
{
	int rc = made(op, inode, dir, false, row, overlay, text_out, len_out);

	/* What goes by the change that the overlay tells of leaves the text of before. */
	if (rc == LINKFS_ENOENT && overlay)
		rc = made(op, inode, dir, false, row, NULL, text_out, len_out);
	return rc == LINKFS_ENOENT ? last_text(op, inode, dir, row, overlay, text_out, len_out) : rc;
}

/* ---- for streams -------------------------------------------------------------------------------------------------- */

/* The directory that entry name of dir is, or shows; 0: it is none. */
static int step_down(struct lk_op *op, uint64_t dir, const char *name, size_t len, uint64_t *out)
{
	struct lk_slot slot = {0};
	struct lk_inode inode;
	int rc = lk_dirent_find(op, dir, name, len, &slot);
	uint64_t ino = slot.bound ? slot.bound : slot.ino;

	*out = 0;
	if (rc || ino == 0)
		return rc;
	rc = lk_inode_get(op, ino, &inode);
	if (rc == 0 && lk_is_dir(&inode))
		*out = ino;
	return rc == LINKFS_ESTALE ? 0 : rc;
}

int lk_track_told(struct lk_op *op, const struct lk_inode *link, struct lk_bytes text, uint64_t *dir_out,
		  struct lk_bytes *rest_out)
{
	struct lk_track_up up;
	uint64_t first = 0;
	int rc = dir_of(op, link, NULL, &first);

	*dir_out = 0;
	*rest_out = text;
	if (rc || first == 0)
		return rc;
	rc = lk_track_climb(op, NULL, true, first, &up);
	if (rc)
		return rc == LINKFS_ENOENT ? 0 : rc;
	*dir_out = top_of(&up, count_ups(&text, rest_out));
	while (rc == 0 && rest_out->len) {
		const char *p = rest_out->p, *slash = memchr(p, '/', rest_out->len);
		size_t len = slash ? (size_t)(slash - p) : rest_out->len;
		uint64_t below = 0;

		if (len == 0 || len > LINKFS_NAME_MAX || (p[0] == '.' && (len == 1 || (len == 2 && p[1] == '.'))))
			break;
		rc = step_down(op, *dir_out, p, len, &below);
		if (rc || below == 0)
			break;
		*dir_out = below;
		len += slash ? 1 : 0;
		*rest_out = (struct lk_bytes){p + len, rest_out->len - len};
	}
	return rc;
}

int lk_track_tell_again(struct lk_op *op, const struct lk_inode *link, struct lk_bytes text, uint64_t dir,
			struct lk_bytes rest, struct lk_bytes *out)
{
	struct lk_track_up up;
	struct lk_bytes left;
	uint64_t to, first = 0;
	const char *made_text;
	size_t len;
	int rc = lk_track_told(op, link, text, &to, &left);

	*out = text;
	if (rc || dir == 0 || (to == dir && lk_bytes_compare(&left, &rest) == 0))
		return rc;
	rc = dir_of(op, link, NULL, &first);
	if (rc == 0 && first)
		rc = lk_track_climb(op, NULL, true, first, &up);
	if (rc == 0 && first)
		rc = lead_on(op, NULL, &up, dir, rest, &made_text, &len);
	if (rc == 0 && first)
		*out = (struct lk_bytes){made_text, len};
	return rc == LINKFS_ENOENT || rc == LINKFS_ENAMETOOLONG ? 0 : rc;
}

int lk_stat(struct lk_op *op, const struct lk_inode *inode, uint64_t node, struct linkfs_stat *out)
{
	struct linkfs_stat st;
	const char *text;
	size_t len;
	int rc = 0;

	lk_inode_stat(inode, &st);
	st.ino |= op->bits;
	st.node = st.ino;
	if (lk_is_lnk(inode) && (inode->flags & LK_INODE_TRACKED)) {
		rc = lk_symlink_text(op, inode, lk_places_dir(op->fs, node), &text, &len);
		if (rc == LINKFS_ENAMETOOLONG) {
			rc = 0;
			len = LINKFS_PATH_MAX;
		}
		st.size = rc ? 0 : len;
	}
	if (rc == 0)
		*out = st;
	return rc;
}
