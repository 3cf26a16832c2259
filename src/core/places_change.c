/*
 * places_change.c - what operations do to places (P2 to P4), and whom their events concern.
 * Layer: core.
 */
#include "places_impl.h"

#include "node.h"

#include <stdlib.h>

enum change_kind { REMOVED, MOVED, LINKED };

struct lk_place_change {
	struct lk_place_change *next;
	enum change_kind kind;
	uint64_t from_id, to_id;
	struct lk_slot from, to;
	struct lk_spot *spare; /* room for a place that may have to be made */
};

static int note(struct lk_op *op, enum change_kind kind, const struct lk_slot *from, bool spare,
		struct lk_place_change **out)
{
	struct lk_place_change *c = lk_op_alloc(op, sizeof(*c)), **end = &op->place_changes;

	if (!c)
		return LINKFS_ENOMEM;
	*c = (struct lk_place_change){.kind = kind, .from = *from};
	if (spare) {
		c->spare = malloc(sizeof(*c->spare));
		if (!c->spare)
			return LINKFS_ENOMEM;
	}
	while (*end)
		end = &(*end)->next;
	*end = c;
	*out = c;
	return 0;
}

int lk_places_removed(struct lk_op *op, const struct lk_slot *slot)
{
	struct lk_place_change *c;

	op->fs->places->generation++;
	return lk_places_used(op->fs) ? note(op, REMOVED, slot, false, &c) : 0;
}

int lk_places_moved(struct lk_op *op, uint64_t from_id, const struct lk_slot *from, uint64_t to_id,
		    const struct lk_slot *to)
{
	struct lk_place_change *c;
	int rc;

	if (S_ISDIR(from->type))
		op->fs->places->generation++;
	else if (!S_ISLNK(from->type))
		return 0;
	if (!lk_places_used(op->fs))
		return 0;
	rc = note(op, MOVED, from, true, &c);
	if (rc)
		return rc;
	c->from_id = from_id;
	c->to_id = to_id;
	c->to = *to;
	c->to.ino = from->ino;
	c->to.bound = 0;
	return 0;
}

int lk_places_linked(struct lk_op *op, const struct lk_slot *slot)
{
	struct lk_place_change *c;

	op->fs->places->generation++;
	return note(op, LINKED, slot, true, &c);
}

/* ---- made ------------------------------------------------------------------------------------------------------- */

/* A place whose id is the number, for who holds the directory by it. */
static void keep_number(struct lk_fs *fs, struct lk_place_change *c, uint64_t parent, const struct lk_slot *slot)
{
	uint64_t ino = c->from.ino;

	if (lk_spot_find(fs->places, ino) || !lk_spot_plain_holds(fs, ino))
		return;
	lk_spot_add(fs, c->spare, ino, ino, parent, slot);
	c->spare = NULL;
}

static void make_moved(struct lk_fs *fs, struct lk_place_change *c)
{
	struct lk_spot *s, *next;

	/* What moved out of a directory by its number, and was known by its own: the number goes with it. */
	if (!lk_id_is_place(c->from_id) && lk_id_is_place(c->to_id))
		keep_number(fs, c, c->from_id, &c->from);
	for (s = lk_spot_of_ino(fs->places, c->from.ino); s; s = next) {
		next = s->next_ino;
		if (s->ino != c->from.ino || !lk_spot_at(s, (int64_t)c->from.dir, c->from.hash, c->from.ord))
			continue;
		if (s->parent == c->from_id)
			lk_spot_move(fs, s, c->to_id, &c->to);
		else
			lk_spot_move(fs, s, s->parent, c->from.dir == c->to.dir ? &c->to : NULL);
	}
}

static void make_removed(struct lk_fs *fs, const struct lk_place_change *c)
{
	uint64_t ino = c->from.bound ? c->from.bound : c->from.ino;

	for (struct lk_spot *s = lk_spot_of_ino(fs->places, ino); s; s = s->next_ino)
		if (s->ino == ino && lk_spot_at(s, (int64_t)c->from.dir, c->from.hash, c->from.ord))
			lk_spot_move(fs, s, 0, NULL);
}

static void settle_loose(struct lk_fs *fs)
{
	while (fs->places->loose) {
		struct lk_spot *s = fs->places->loose;

		fs->places->loose = s->next_loose;
		s->loose = false;
		lk_spot_settle(fs, s);
	}
}

bool lk_places_due(const struct lk_op *op)
{
	return op->place_changes || op->fs->places->loose;
}

void lk_places_end(struct lk_op *op, bool stands)
{
	for (struct lk_place_change *c = op->place_changes; c; c = c->next) {
		if (stands && c->kind == REMOVED)
			make_removed(op->fs, c);
		else if (stands && c->kind == MOVED)
			make_moved(op->fs, c);
		else if (stands)
			keep_number(op->fs, c, c->from.dir, &c->from);
		free(c->spare);
	}
	op->place_changes = NULL;
	settle_loose(op->fs);
}

/* ---- told ------------------------------------------------------------------------------------------------------- */

static bool is_own(const struct lk_op *op, uint64_t id)
{
	for (uint32_t i = 0; i < op->own_count; i++)
		if (op->own[i] == id)
			return true;
	return false;
}

/* Of the nodes that the call named, those of directory ino. */
static uint32_t own_count(const struct lk_op *op, uint64_t ino)
{
	uint32_t count = 0;

	for (uint32_t i = 0; i < op->own_count; i++)
		count += op->own[i] == ino || lk_places_ino(op->fs, op->own[i]) == ino;
	return count;
}

/* e for node id. */
static int tell_node(struct lk_op *op, const struct linkfs_event *e, uint64_t id, struct linkfs_event *out,
		     uint32_t *count)
{
	bool maybe = e->flags & LK_EVENT_MAYBE, own = maybe && is_own(op, id);

	/* A rename from one place of a directory to another: the kernel knows of the name it named in each only. */
	if (own &&
	    !(e->kind == LINKFS_EVENT_ENTRY && !lk_id_is_place(id) && op->own_count > 1 && own_count(op, e->ino) > 1))
		return 0;
	out[*count] = *e;
	out[*count].ino = id;
	out[*count].flags = e->flags & ~LK_EVENT_MAYBE;
	/* Names in a place ask anew by themselves. */
	if (e->kind == LINKFS_EVENT_ENTRY && lk_id_is_place(id))
		out[*count].kind = LINKFS_EVENT_LISTING;
	else if (maybe && !own)
		out[*count].flags |= LINKFS_EVENT_ELSEWHERE;
	++*count;
	return 0;
}

static uint32_t count_spots(const struct lk_op *op, uint64_t ino)
{
	uint32_t count = 0;

	for (const struct lk_spot *s = lk_spot_of_ino(op->fs->places, ino); s; s = s->next_ino)
		count += s->ino == ino;
	return count;
}

int lk_places_events(struct lk_op *op)
{
	struct linkfs_event *list = op->events, *out;
	uint32_t most = 0, count = 0;
	bool names = false;

	for (uint32_t i = 0; i < op->event_count; i++) {
		uint32_t spots = count_spots(op, list[i].ino);

		most += 1 + spots;
		names |= spots && list[i].kind == LINKFS_EVENT_ENTRY;
	}
	out = lk_op_alloc(op, most * sizeof(*out));
	if (!out)
		return LINKFS_ENOMEM;
	for (uint32_t i = 0; i < op->event_count; i++) {
		const struct linkfs_event *e = &list[i];
		bool spots = count_spots(op, e->ino) > 0;

		/* Whoever knows the directory, or nobody: texts are read elsewhere. */
		if (e->kind == LINKFS_EVENT_TEXTS) {
			out[count] = *e;
			out[count++].flags &= ~LK_EVENT_MAYBE;
			continue;
		}
		/* The kernel's own change of what it knows by one id only. With a name that it is told of goes what became of
		 * the file. */
		if ((e->flags & LK_EVENT_MAYBE) && !spots && !(names && e->kind == LINKFS_EVENT_ATTR))
			continue;
		if (!spots || e->ino == LINKFS_ROOT_INO || lk_spot_plain_holds(op->fs, e->ino))
			(void)tell_node(op, e, e->ino, out, &count);
		for (const struct lk_spot *s = lk_spot_of_ino(op->fs->places, e->ino); s; s = s->next_ino)
			if (s->ino == e->ino && s->id != s->ino && s->holds)
				(void)tell_node(op, e, s->id, out, &count);
	}
	op->events = out;
	op->event_count = op->event_cap = count;
	return 0;
}
