/*
 * track_ways.c - ways between directories, as texts: up to the directory above both ends, and down (track_ways.h).
 * Layer: core. Up goes the one way by which the lower end was come by; down goes any that leads there, found from the target upwards,
 * the shortest first. Without binds and directory links there is one, and the cost is that of the two depths. It is bounded: a way
 * of more than LK_TRACK_UPS_MAX directories up, or more than LINKFS_SYMLINK_MAX bytes down, is too long a text whatever else it has.
 */
#include "track_ways.h"

#include "binds.h"
#include "places.h"
#include "set.h"
#include "views.h"

#include <string.h>

#define NAMES 16u /* of one directory read at once: mostly the first of them will do */

/* A way down to what is looked for: by this entry, and on from there. */
struct way {
	struct lk_slot slot;
	const char *name;
	size_t len, total;       /* total: of the whole way, slashes included */
	const struct way *below; /* NULL: the entry is the target's */
	struct way *next;        /* in the order in which they are looked at */
};

struct search {
	struct lk_op *op;
	const struct lk_overlay *overlay;
	bool several; /* a directory may have more than one path */
	bool covered; /* names that a bind covers will do */
	bool too_long;
	struct way *first, **end;
	const struct lk_track_up *up; /* the search is over at one of these; NULL: at the first way */
	uint32_t rows;                /* names read */
	uint64_t dir, cookie;         /* of the last */
	struct lk_set seen;           /* directories; where there are several paths only */
};

static void search_begin(struct search *s, struct lk_op *op, const struct lk_overlay *overlay)
{
	*s = (struct search){.op = op, .overlay = overlay, .several = lk_places_any(op)};
	s->end = &s->first;
}

static bool is_above(const struct lk_track_up *up, uint64_t dir, uint32_t *ups_out)
{
	for (uint32_t i = 0; i < up->count; i++) {
		if (up->dirs[i] == dir) {
			*ups_out = i;
			return true;
		}
	}
	return false;
}

/* Whether the overlay has another thing, or nothing, at the entry. */
static bool is_gone(const struct lk_overlay *o, const struct way *way)
{
	for (uint32_t i = 0; o && i < o->count; i++)
		if (o->entries[i].dir == way->slot.dir && o->entries[i].len == way->len &&
		    memcmp(o->entries[i].name, way->name, way->len) == 0)
			return o->entries[i].ino != way->slot.ino;
	return false;
}

/* The same of a place's entry. */
static bool is_place_gone(const struct search *s, const struct lk_place_entry *entry, uint64_t ino)
{
	const struct lk_overlay *o = s->overlay;

	for (uint32_t i = 0; o && i < o->count; i++)
		if ((int64_t)o->entries[i].dir == entry->dir && o->entries[i].ino != ino &&
		    lk_name_hash(s->op->fs->name_secret, o->entries[i].name, o->entries[i].len) == entry->hash)
			return true;
	return false;
}

/* ---- what leads to an inode ------------------------------------------------------------------------------------- */

static int add_way(struct search *s, const struct lk_slot *slot, const char *name, size_t len)
{
	struct way *way = lk_op_alloc(s->op, sizeof(*way) + len);

	if (!way)
		return LINKFS_ENOMEM;
	*way = (struct way){.slot = *slot, .len = len, .name = (char *)(way + 1)};
	if (len)
		memcpy(way + 1, name, len);
	*s->end = way;
	s->end = &way->next;
	return 0;
}

static int name_row(void *arg, const void *record)
{
	const struct lk_dirent *d = record;
	struct search *s = arg;

	s->rows++;
	s->dir = (uint64_t)d->dir;
	s->cookie = lk_dirent_cookie(d);
	return add_way(
		s, &(struct lk_slot){.dir = (uint64_t)d->dir, .hash = d->hash, .ord = d->ord, .ino = (uint64_t)d->ino},
		d->name.p, d->name.len);
}

static int bind_row(void *arg, const void *record)
{
	const struct lk_bind *b = record;

	return add_way(arg,
		       &(struct lk_slot){
			       .dir = (uint64_t)b->dir, .hash = b->hash, .ord = b->ord, .bound = (uint64_t)b->source},
		       "", 0);
}

/* The way is what it was taken for, by this entry: a bind's gets its name, a name may be covered or go. */
static int look_at(struct search *s, struct way *way, bool *good_out)
{
	struct lk_dirent d = {.dir = (int64_t)way->slot.dir, .hash = way->slot.hash, .ord = way->slot.ord};
	char *name;
	int rc;

	*good_out = true;
	if (way->slot.bound) {
		rc = lk_txn_get(s->op, LK_T_DIRENT, &d, &d);
		if (rc)
			return rc == LINKFS_ENOENT ? LINKFS_ECORRUPT : rc;
		name = lk_op_alloc(s->op, d.name.len + 1);
		if (!name)
			return LINKFS_ENOMEM;
		memcpy(name, d.name.p, d.name.len);
		way->name = name;
		way->len = d.name.len;
		return 0;
	}
	*good_out = !is_gone(s->overlay, way);
	if (!*good_out || s->covered || !s->several || !lk_binds_any(s->op))
		return 0;
	rc = lk_bind_find(s->op, &way->slot);
	*good_out = way->slot.bound == 0;
	return rc;
}

/* Of the ways from tail on those stay that lead to what below is the rest of. */
static int settle_ways(struct search *s, struct way **tail, const struct way *below)
{
	s->end = tail;
	while (*s->end) {
		struct way *way = *s->end;
		bool good;
		int rc = look_at(s, way, &good);

		if (rc)
			return rc;
		way->below = below;
		way->total = way->len + (below ? 1 + below->total : 0);
		s->too_long |= good && way->total > LINKFS_SYMLINK_MAX;
		if (good && way->total <= LINKFS_SYMLINK_MAX)
			s->end = &way->next;
		else
			*s->end = way->next;
	}
	return 0;
}

/* Whether the search is over at one of the ways from way on. */
static bool is_over(const struct search *s, const struct way *way)
{
	uint32_t ups;

	for (; s->up && way; way = way->next)
		if (is_above(s->up, way->slot.dir, &ups))
			return true;
	return way;
}

/* The names of ino, as far as they may be needed. */
static int add_names(struct search *s, uint64_t ino, const struct way *below)
{
	uint32_t limit = s->several || s->overlay ? NAMES : 1;
	int rc;

	s->dir = s->cookie = 0;
	do {
		struct way **tail = s->end;

		s->rows = 0;
		rc = lk_dirent_names_after(s->op, ino, s->dir, s->cookie, limit, name_row, s);
		if (rc == 0)
			rc = settle_ways(s, tail, below);
		if (rc || limit == 1 || is_over(s, *tail))
			break;
	} while (s->rows == limit);
	return rc;
}

/* Adds what leads to ino. by: that entry alone, if it does. */
static int add_ways(struct search *s, uint64_t ino, const struct lk_target *by, const struct way *below)
{
	const struct lk_overlay *o = s->overlay;
	struct way **tail = s->end;
	struct lk_dirent d;
	int rc = 0;

	if (by && by->by_dir) {
		rc = lk_dirent_at(s->op, (uint64_t)by->by_dir, by->by_hash, by->by_ord, ino, &d);
		if (rc == 0)
			rc = name_row(s, &d);
		if (rc == 0)
			rc = settle_ways(s, tail, below);
		if ((rc && rc != LINKFS_ENOENT) || *tail)
			return rc;
	}
	for (uint32_t i = 0; o && i < o->count; i++) {
		rc = o->entries[i].ino != ino ? 0
					      : add_way(s, &(struct lk_slot){.dir = o->entries[i].dir, .ino = ino},
							o->entries[i].name, o->entries[i].len);
		if (rc)
			return rc;
	}
	rc = settle_ways(s, tail, below);
	if (rc == 0)
		rc = add_names(s, ino, below);
	tail = s->end;
	if (rc == 0 && s->several && lk_binds_any(s->op))
		rc = lk_bind_scan(s->op, ino, NULL, 0, bind_row, s);
	return rc ? rc : settle_ways(s, tail, below);
}

/* ---- up --------------------------------------------------------------------------------------------------------- */

/* *node, a node id, becomes that of the directory above. by_names: whatever place is known by the number. */
static int go_up(struct lk_op *op, const struct lk_overlay *overlay, bool by_names, uint64_t *node, uint64_t ino)
{
	struct lk_place_entry entry;
	struct search s;
	int rc;

	search_begin(&s, op, overlay);
	if (!by_names && lk_places_entry(op->fs, *node, &entry) && entry.dir && !is_place_gone(&s, &entry, ino)) {
		*node = entry.parent;
		return 0;
	}
	rc = add_ways(&s, ino, NULL, NULL);
	if (rc == 0 && !s.first && s.several) {
		s.covered = true;
		rc = add_ways(&s, ino, NULL, NULL);
	}
	if (rc == 0 && !s.first)
		rc = LINKFS_ENOENT;
	if (rc == 0)
		*node = op->bits | s.first->slot.dir;
	return rc;
}

int lk_track_climb(struct lk_op *op, const struct lk_overlay *overlay, bool by_names, uint64_t node,
		   struct lk_track_up *up)
{
	up->count = 0;
	for (;;) {
		uint64_t ino;
		int rc = lk_view_see(op, node, &ino);

		if (rc)
			return LINKFS_ENOENT;
		up->dirs[up->count++] = ino;
		if (ino == LINKFS_ROOT_INO || up->count > LK_TRACK_UPS_MAX)
			return 0;
		rc = go_up(op, overlay, by_names, &node, ino);
		if (rc)
			return rc;
	}
}

/* ---- down ------------------------------------------------------------------------------------------------------- */

/* Breadth first, from ino upwards, until one of the directories above the link is met: *out, NULL for none, leads down from it. */
static int search_down(struct search *s, uint64_t ino, const struct lk_target *by, const struct lk_track_up *up,
		       const struct way **out, uint32_t *ups_out)
{
	bool fresh = true;
	int rc;

	*out = NULL;
	s->first = NULL;
	s->end = &s->first;
	s->up = up;
	rc = add_ways(s, ino, by, NULL);
	for (const struct way *way = s->first; rc == 0 && way; way = way->next) {
		uint64_t dir = way->slot.dir;

		if (is_above(up, dir, ups_out)) {
			*out = way;
			return 0;
		}
		s->too_long |= dir == LINKFS_ROOT_INO;
		if (s->several)
			rc = lk_set_add(&s->seen, dir, &fresh);
		if (rc == 0 && fresh && dir != LINKFS_ROOT_INO)
			rc = add_ways(s, dir, NULL, way);
	}
	return rc;
}

/* By the entry by if that can be, else by another; by a covered name only when there is no other way. */
static int find_down(struct search *s, uint64_t ino, const struct lk_target *by, const struct lk_track_up *up,
		     const struct way **out, uint32_t *ups_out)
{
	int rc = search_down(s, ino, by, up, out, ups_out);

	for (unsigned round = 0; rc == 0 && !*out && s->several && round < 2; round++) {
		lk_set_done(&s->seen);
		s->covered = round > 0;
		rc = search_down(s, ino, s->covered ? by : NULL, up, out, ups_out);
	}
	lk_set_done(&s->seen);
	if (rc == 0 && !*out)
		rc = s->too_long ? LINKFS_ENAMETOOLONG : LINKFS_ENOENT;
	return rc;
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

int lk_track_lead(struct lk_op *op, const struct lk_overlay *overlay, const struct lk_track_up *up, uint64_t ino,
		  const struct lk_target *by, const char **text_out, size_t *len_out)
{
	char down[LINKFS_SYMLINK_MAX + 1];
	const struct way *way = NULL;
	struct search s;
	uint32_t ups = 0;
	size_t len = 0;
	int rc = 0;

	search_begin(&s, op, overlay);
	if (!is_above(up, ino, &ups))
		rc = find_down(&s, ino, by, up, &way, &ups);
	for (; rc == 0 && way; way = way->below) {
		if (len)
			down[len++] = '/';
		memcpy(down + len, way->name, way->len);
		len += way->len;
	}
	return rc ? rc : assemble(op, ups, down, len, text_out, len_out);
}

int lk_track_between(struct lk_op *op, const struct lk_overlay *overlay, uint64_t dir, uint64_t ino,
		     const struct lk_target *by, const char **text_out, size_t *len_out)
{
	struct lk_track_up up;
	int rc = lk_track_climb(op, overlay, false, dir, &up);

	return rc ? rc : lk_track_lead(op, overlay, &up, ino, by, text_out, len_out);
}

int lk_track_entry(struct lk_op *op, const struct lk_target *row, struct lk_dirent *out)
{
	struct lk_inode target;
	struct search s;
	int rc = lk_inode_get(op, (uint64_t)row->tracks, &target);

	search_begin(&s, op, NULL);
	s.covered = true;
	if (rc == 0 && target.nlink == 0)
		rc = LINKFS_ENOENT;
	if (rc == 0)
		rc = add_ways(&s, (uint64_t)row->tracks, row, NULL);
	if (rc || !s.first)
		return rc == 0 || rc == LINKFS_ESTALE ? LINKFS_ENOENT : rc;
	*out = (struct lk_dirent){
		.dir = (int64_t)s.first->slot.dir, .ino = row->tracks, .name = {s.first->name, s.first->len}};
	return 0;
}
