/*
 * places.c - the table of places: found, held, let go (places.h).
 * Layer: core.
 */
#include "places_impl.h"

#include "binds.h"
#include "node.h"
#include "views.h"

#include <stdlib.h>

int lk_places_new(struct lk_places **out)
{
	struct lk_places *places = calloc(1, sizeof(*places));

	if (!places)
		return LINKFS_ENOMEM;
	places->next = LK_PLACE_SLOT << 48 | 1;
	*out = places;
	return 0;
}

void lk_places_free(struct lk_places *places)
{
	for (uint32_t i = 0; places && i < LK_SPOT_CHAINS; i++) {
		for (struct lk_spot *s = places->by_id[i], *next; s; s = next) {
			next = s->next_id;
			free(s);
		}
	}
	free(places);
}

bool lk_places_used(const struct lk_fs *fs)
{
	return atomic_load_explicit(&fs->places->count, memory_order_relaxed) > 0;
}

bool lk_places_any(struct lk_op *op)
{
	return lk_places_used(op->fs) || lk_dir_links_any(op) || lk_binds_any(op);
}

/* ---- the table ------------------------------------------------------------------------------------------------- */

struct lk_spot *lk_spot_find(const struct lk_places *places, uint64_t id)
{
	struct lk_spot *s = places->by_id[lk_spot_chain(id)];

	while (s && s->id != id)
		s = s->next_id;
	return s;
}

static uint32_t entry_chain(uint64_t parent, int64_t hash)
{
	return lk_spot_chain(parent ^ (uint64_t)hash << 1);
}

static struct lk_spot *find_entry(const struct lk_places *places, uint64_t parent, const struct lk_slot *slot)
{
	struct lk_spot *s = places->by_entry[entry_chain(parent, slot->hash)];

	while (s && (s->parent != parent || !lk_spot_at(s, (int64_t)slot->dir, slot->hash, slot->ord)))
		s = s->next_entry;
	return s;
}

static void link_entry(struct lk_places *places, struct lk_spot *s, uint64_t parent, const struct lk_slot *slot)
{
	struct lk_spot **chain = &places->by_entry[entry_chain(parent, slot->hash)], *above;

	s->parent = parent;
	s->dir = (int64_t)slot->dir;
	s->hash = slot->hash;
	s->ord = slot->ord;
	s->bound = slot->bound != 0;
	s->next_entry = *chain;
	*chain = s;
	above = lk_spot_find(places, parent);
	s->counted = above;
	if (above)
		above->kids++;
}

/* A lost one stays its parent's kid: what is below it has a way up. */
static void unlink_entry(struct lk_places *places, struct lk_spot *s)
{
	struct lk_spot **link = &places->by_entry[entry_chain(s->parent, s->hash)];

	if (!s->dir)
		return;
	while (*link != s)
		link = &(*link)->next_entry;
	*link = s->next_entry;
	s->dir = 0;
}

/* Looked at when the op is over, and not sooner: who called may be on his way through the table. */
static void loosen(struct lk_places *places, struct lk_spot *s)
{
	if (s->loose)
		return;
	s->loose = true;
	s->next_loose = places->loose;
	places->loose = s;
}

static void drop_parent(struct lk_fs *fs, struct lk_spot *s)
{
	struct lk_spot *above = s->counted ? lk_spot_find(fs->places, s->parent) : NULL;

	if (above) {
		above->kids--;
		lk_spot_settle(fs, above);
	}
}

void lk_spot_add(struct lk_fs *fs, struct lk_spot *spot, uint64_t id, uint64_t ino, uint64_t parent,
		 const struct lk_slot *slot)
{
	struct lk_places *places = fs->places;

	*spot = (struct lk_spot){.id = id ? id : places->next++, .ino = ino};
	spot->next_id = places->by_id[lk_spot_chain(spot->id)];
	places->by_id[lk_spot_chain(spot->id)] = spot;
	spot->next_ino = places->by_ino[lk_spot_chain(ino)];
	places->by_ino[lk_spot_chain(ino)] = spot;
	loosen(places, spot);
	link_entry(places, spot, parent, slot);
	atomic_fetch_add_explicit(&places->count, 1, memory_order_relaxed);
}

void lk_spot_move(struct lk_fs *fs, struct lk_spot *spot, uint64_t parent, const struct lk_slot *slot)
{
	struct lk_spot *above = spot->counted ? lk_spot_find(fs->places, spot->parent) : NULL;

	unlink_entry(fs->places, spot);
	if (!slot)
		return;
	link_entry(fs->places, spot, parent, slot);
	if (above) {
		above->kids--;
		loosen(fs->places, above);
	}
}

uint64_t lk_spot_plain_holds(struct lk_fs *fs, uint64_t ino)
{
	uint64_t holds = lk_node_holds(fs, ino);

	for (const struct lk_spot *s = lk_spot_of_ino(fs->places, ino); s; s = s->next_ino)
		if (s->ino == ino)
			holds -= LK_MIN(holds, s->holds);
	return holds;
}

static bool is_needed(struct lk_fs *fs, const struct lk_spot *s)
{
	return s->holds || s->kids || s->loose || (s->id == s->ino && lk_spot_plain_holds(fs, s->ino));
}

void lk_spot_settle(struct lk_fs *fs, struct lk_spot *s)
{
	struct lk_places *places = fs->places;
	struct lk_spot **link;

	if (is_needed(fs, s))
		return;
	unlink_entry(places, s);
	for (link = &places->by_id[lk_spot_chain(s->id)]; *link != s; link = &(*link)->next_id)
		;
	*link = s->next_id;
	for (link = &places->by_ino[lk_spot_chain(s->ino)]; *link != s; link = &(*link)->next_ino)
		;
	*link = s->next_ino;
	atomic_fetch_sub_explicit(&places->count, 1, memory_order_relaxed);
	drop_parent(fs, s);
	free(s);
}

/* ---- found ------------------------------------------------------------------------------------------------------ */

static int count_row(void *arg, const void *record)
{
	(void)record;
	++*(uint32_t *)arg;
	return 0;
}

/* Whether directory ino has a single name. */
static int has_one_name(struct lk_op *op, uint64_t ino, bool *out)
{
	uint32_t count = 0;
	int rc = lk_dir_links_any(op) ? lk_dirent_names(op, ino, 2, count_row, &count) : 0;

	*out = count < 2;
	return rc;
}

int lk_places_make(struct lk_op *op, uint64_t parent, const struct lk_slot *slot, uint64_t *id_out)
{
	struct lk_spot *s = malloc(sizeof(*s));

	if (!s)
		return LINKFS_ENOMEM;
	lk_spot_add(op->fs, s, 0, op->bits | (slot->bound ? slot->bound : slot->ino), parent, slot);
	*id_out = s->id;
	return 0;
}

int lk_places_enter(struct lk_op *op, uint64_t parent, const struct lk_slot *slot, uint64_t *id_out)
{
	struct lk_places *places = op->fs->places;
	uint64_t ino = op->bits | (slot->bound ? slot->bound : slot->ino);
	struct lk_spot *s = find_entry(places, parent, slot);
	bool one = false;
	int rc = 0;

	if (s && s->ino == ino && s->bound == (slot->bound != 0)) {
		*id_out = s->id;
		return 0;
	}
	if (s)
		lk_spot_move(op->fs, s, 0, NULL);
	if (!slot->bound && !lk_id_is_place(parent) && !lk_spot_find(places, ino))
		rc = has_one_name(op, slot->ino, &one);
	if (rc)
		return rc;
	if (one) {
		*id_out = ino;
		return 0;
	}
	return lk_places_make(op, parent, slot, id_out);
}

uint64_t lk_places_ino(struct lk_fs *fs, uint64_t id)
{
	const struct lk_spot *s = lk_id_is_place(id) ? lk_spot_find(fs->places, id) : NULL;

	return s ? s->ino : 0;
}

bool lk_places_entry(struct lk_fs *fs, uint64_t id, struct lk_place_entry *out)
{
	const struct lk_spot *s = lk_places_used(fs) ? lk_spot_find(fs->places, id) : NULL;

	if (!s)
		return false;
	*out = (struct lk_place_entry){s->parent, s->dir, s->hash, s->ord};
	return true;
}

uint64_t lk_places_dir(struct lk_fs *fs, uint64_t id)
{
	struct lk_place_entry entry;

	return lk_places_entry(fs, id, &entry) && entry.dir ? entry.parent : 0;
}

uint64_t lk_places_bind(struct lk_fs *fs, uint64_t id)
{
	const struct lk_spot *s = lk_places_used(fs) ? lk_spot_find(fs->places, id) : NULL;

	while (s && !s->bound)
		s = lk_spot_find(fs->places, s->parent);
	return s ? s->id : 0;
}

bool lk_places_below(struct lk_op *op, uint64_t at, uint64_t from)
{
	const struct lk_spot *s = lk_spot_find(op->fs->places, from);

	while (s && from != at) {
		from = s->parent;
		s = lk_spot_find(op->fs->places, from);
	}
	return from == at;
}

/* ---- held ------------------------------------------------------------------------------------------------------- */

int lk_places_hold(struct lk_fs *fs, uint64_t id, uint64_t count)
{
	struct lk_spot *s = lk_id_is_place(id) ? lk_spot_find(fs->places, id) : NULL;
	int rc;

	if (lk_id_is_place(id) && !s)
		return LINKFS_ESTALE;
	rc = lk_node_hold(fs, s ? s->ino : id, count);
	if (rc == 0 && s)
		s->holds += count;
	if (rc == 0)
		lk_view_hold(fs, s ? s->ino : id, count);
	return rc;
}

bool lk_places_unhold(struct lk_fs *fs, uint64_t id, uint64_t count, uint64_t *ino_out)
{
	struct lk_spot *s = lk_places_used(fs) ? lk_spot_find(fs->places, id) : NULL;
	bool last;

	*ino_out = s ? s->ino : id;
	if (lk_id_is_place(id)) {
		count = s ? LK_MIN(count, s->holds) : 0;
		if (s)
			s->holds -= count;
	}
	last = count && lk_node_unhold(fs, *ino_out, count);
	lk_view_unhold(fs, *ino_out, count);
	if (s)
		lk_spot_settle(fs, s);
	return last;
}

bool lk_places_held(struct lk_fs *fs, uint64_t id)
{
	const struct lk_spot *s = lk_id_is_place(id) ? lk_spot_find(fs->places, id) : NULL;

	if (lk_id_is_place(id))
		return s && s->holds;
	return lk_spot_plain_holds(fs, id) > 0;
}
