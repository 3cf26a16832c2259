/*
 * track_text.c - the text of a tracked link, from where it and its target are: up to the directory above both, and down.
 * Layer: core. The cost is that of the two depths, and bounded: a way of more than UPS_MAX directories up, or more than
 * LINKFS_SYMLINK_MAX bytes down, is too long a text whatever else it has.
 */
#include "track.h"

#include <string.h>

#define UPS_MAX (LINKFS_SYMLINK_MAX / 3 + 1) /* of "../" each */

struct entry {
	struct lk_op *op;
	const struct lk_overlay *overlay;
	uint64_t dir; /* 0: none */
	size_t len;
	char name[LINKFS_NAME_MAX];
};

static int take(struct entry *e, uint64_t dir, const char *name, size_t len)
{
	e->dir = dir;
	e->len = len;
	memcpy(e->name, name, len);
	return 1;
}

/* Whether the overlay has another thing, or nothing, at the entry. */
static bool is_gone(const struct lk_overlay *o, uint64_t ino, uint64_t dir, const char *name, size_t len)
{
	for (uint32_t i = 0; o && i < o->count; i++) {
		if (o->entries[i].dir == dir && o->entries[i].len == len && memcmp(o->entries[i].name, name, len) == 0)
			return o->entries[i].ino != ino;
	}
	return false;
}

static int take_row(void *arg, const void *record)
{
	const struct lk_dirent *d = record;
	struct entry *e = arg;

	if (is_gone(e->overlay, (uint64_t)d->ino, (uint64_t)d->dir, d->name.p, d->name.len))
		return 0;
	return take(e, (uint64_t)d->dir, d->name.p, d->name.len);
}

/* An entry of ino: the one that is asked for when it is one, else the first. */
static int entry_of(struct entry *e, uint64_t ino, const struct lk_target *by)
{
	const struct lk_overlay *o = e->overlay;
	struct lk_dirent d;
	int rc = by && by->by_dir ? lk_dirent_at(e->op, (uint64_t)by->by_dir, by->by_hash, by->by_ord, ino, &d)
				  : LINKFS_ENOENT;

	e->dir = 0;
	if (rc && rc != LINKFS_ENOENT)
		return rc;
	if (rc == 0 && take_row(e, &d))
		return 0;
	for (uint32_t i = 0; o && i < o->count; i++) {
		if (o->entries[i].ino == ino) {
			(void)take(e, o->entries[i].dir, o->entries[i].name, o->entries[i].len);
			return 0;
		}
	}
	rc = lk_dirent_names(e->op, ino, 0, take_row, e);
	return rc == 0 && e->dir == 0 ? LINKFS_ENOENT : rc;
}

/* The directories from dir up. */
struct way_up {
	uint64_t dirs[UPS_MAX + 1];
	uint32_t count;
};

static int climb(struct entry *e, uint64_t dir, struct way_up *up)
{
	for (;;) {
		int rc;

		up->dirs[up->count++] = dir;
		if (dir == LINKFS_ROOT_INO || up->count > UPS_MAX)
			return 0;
		rc = entry_of(e, dir, NULL);
		if (rc)
			return rc;
		dir = e->dir;
	}
}

static bool is_above(const struct way_up *up, uint64_t dir, uint32_t *ups_out)
{
	for (uint32_t i = 0; i < up->count; i++) {
		if (up->dirs[i] == dir) {
			*ups_out = i;
			return true;
		}
	}
	return false;
}

/* "../" for each, then what is in buf from start on. */
static int assemble(struct lk_op *op, uint32_t ups, const char *down, size_t down_len, const char **text_out,
		    size_t *len_out)
{
	size_t len = ups * 3 + down_len;
	char *text;

	if (down_len == 0) /* "..", "../..", "." */
		len = ups ? len - 1 : 1;
	if (len > LINKFS_SYMLINK_MAX)
		return LINKFS_ENAMETOOLONG;
	text = lk_op_alloc(op, ups * 3 + down_len + 2);
	if (!text)
		return LINKFS_ENOMEM;
	text[0] = '.';
	for (uint32_t i = 0; i < ups; i++)
		memcpy(text + (size_t)i * 3, "../", 3);
	if (down_len)
		memcpy(text + (size_t)ups * 3, down, down_len);
	text[len] = 0;
	*text_out = text;
	*len_out = len;
	return 0;
}

int lk_track_between(struct lk_op *op, const struct lk_overlay *overlay, uint64_t dir, uint64_t ino,
		     const struct lk_target *by, const char **text_out, size_t *len_out)
{
	struct entry e = {.op = op, .overlay = overlay};
	char down[LINKFS_SYMLINK_MAX + 1];
	size_t start = sizeof(down);
	struct way_up up = {.count = 0};
	uint32_t ups = 0;
	int rc = climb(&e, dir, &up);

	for (uint64_t at = ino; rc == 0 && !is_above(&up, at, &ups); at = e.dir) {
		size_t slash = start < sizeof(down);

		if (at == LINKFS_ROOT_INO)
			return LINKFS_ENAMETOOLONG;
		rc = entry_of(&e, at, at == ino ? by : NULL);
		if (rc)
			return rc;
		if (e.len + slash > start)
			return LINKFS_ENAMETOOLONG;
		if (slash)
			down[--start] = '/';
		start -= e.len;
		memcpy(down + start, e.name, e.len);
	}
	return rc ? rc : assemble(op, ups, down + start, sizeof(down) - start, text_out, len_out);
}

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
		*out = (uint64_t)d.dir;
	return rc == LINKFS_ENOENT ? 0 : rc;
}

/* Made from where both are; LINKFS_ENOENT when one is not in the tree. */
static int made(struct lk_op *op, const struct lk_inode *link, const struct lk_target *row, const struct lk_overlay *o,
		const char **text_out, size_t *len_out)
{
	struct lk_inode target;
	uint64_t dir = 0;
	int rc = lk_inode_get(op, (uint64_t)row->tracks, &target);

	if (rc)
		return rc == LINKFS_ESTALE ? LINKFS_ENOENT : rc;
	if (lk_is_lnk(&target))
		return LINKFS_ECORRUPT;
	if (target.nlink == 0)
		return LINKFS_ENOENT;
	rc = dir_of(op, link, o, &dir);
	if (rc || dir == 0)
		return rc ? rc : LINKFS_ENOENT;
	return lk_track_between(op, o, dir, (uint64_t)target.ino, row, text_out, len_out);
}

int lk_track_text(struct lk_op *op, const struct lk_inode *inode, const struct lk_target *row,
		  const struct lk_overlay *overlay, const char **text_out, size_t *len_out)
{
	int rc = made(op, inode, row, overlay, text_out, len_out);

	/* What goes by the change that the overlay tells of leaves the text of before. */
	if (rc == LINKFS_ENOENT && overlay)
		rc = made(op, inode, row, NULL, text_out, len_out);
	if (rc != LINKFS_ENOENT)
		return rc;
	*text_out = row->text.p;
	*len_out = row->text.len;
	return 0;
}

int lk_track_entry(struct lk_op *op, const struct lk_target *row, struct lk_dirent *out)
{
	struct entry e = {.op = op};
	struct lk_inode target;
	char *name;
	int rc = lk_inode_get(op, (uint64_t)row->tracks, &target);

	if (rc == 0 && target.nlink == 0)
		rc = LINKFS_ENOENT;
	if (rc == 0)
		rc = entry_of(&e, (uint64_t)row->tracks, row);
	if (rc)
		return rc == LINKFS_ESTALE ? LINKFS_ENOENT : rc;
	name = lk_op_alloc(op, e.len);
	if (!name)
		return LINKFS_ENOMEM;
	memcpy(name, e.name, e.len);
	*out = (struct lk_dirent){.dir = (int64_t)e.dir, .ino = row->tracks, .name = {name, e.len}};
	return 0;
}

int lk_stat(struct lk_op *op, const struct lk_inode *inode, struct linkfs_stat *out)
{
	struct linkfs_stat st;
	const char *text;
	size_t len;
	int rc = 0;

	lk_inode_stat(inode, &st);
	if (lk_is_lnk(inode) && (inode->flags & LK_INODE_TRACKED)) {
		rc = lk_symlink_text(op, inode, &text, &len);
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
