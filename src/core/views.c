/*
 * views.c - see views.h.
 * Layer: core.
 */
#include "views.h"

#include <stdlib.h>
#include <string.h>

#define KNOWN 1024u /* a power of two */

enum has_binds { NOT_ASKED, NONE, SOME };

struct slot {
	int64_t epoch; /* 0: free */
	uint64_t holds;
	bool gone; /* the snapshot is deleted */
	enum has_binds binds;
};

struct known {
	uint64_t bits; /* 0: none */
	struct lk_inode inode;
};

struct lk_views {
	struct slot *slots; /* number i + 1 */
	uint32_t count, cap;
	struct known *known; /* KNOWN of them, or NULL; each has one place */
};

int lk_views_new(struct lk_views **out)
{
	struct lk_views *views = calloc(1, sizeof(*views));

	if (!views)
		return LINKFS_ENOMEM;
	*out = views;
	return 0;
}

void lk_views_free(struct lk_views *views)
{
	if (views) {
		free(views->slots);
		free(views->known);
	}
	free(views);
}

static struct slot *slot_of(struct lk_views *views, uint64_t id)
{
	uint64_t number = id >> LK_INO_BITS;

	return number && number <= views->count ? &views->slots[number - 1] : NULL;
}

/* The number of the first slot of this epoch, which is count where none has it; of a free one for 0. */
static uint32_t find(const struct lk_views *views, int64_t epoch)
{
	uint32_t i = 0;

	while (i < views->count && views->slots[i].epoch != epoch)
		i++;
	return i;
}

/* A slot for it: its own, one that is free, or a new one. */
static int take(struct lk_views *views, int64_t epoch, uint32_t *out)
{
	uint32_t found = find(views, epoch);

	if (found < views->count) {
		*out = found;
		return 0;
	}
	found = find(views, 0);
	if (found == LK_VIEW_SLOTS)
		return LINKFS_EMFILE;
	if (found == views->cap) {
		uint32_t cap = views->cap ? views->cap * 2 : 16;
		struct slot *more = realloc(views->slots, cap * sizeof(*more));

		if (!more)
			return LINKFS_ENOMEM;
		views->slots = more;
		views->cap = cap;
	}
	if (found == views->count)
		views->count++;
	else if (views->known) /* it was another's */
		memset(views->known, 0, KNOWN * sizeof(*views->known));
	views->slots[found] = (struct slot){.epoch = epoch};
	*out = found;
	return 0;
}

int lk_view_bits(struct lk_fs *fs, int64_t epoch, uint64_t *bits_out)
{
	uint32_t i = 0;
	int rc = take(fs->views, epoch, &i);

	if (rc == 0)
		*bits_out = (uint64_t)(i + 1) << LK_INO_BITS;
	return rc;
}

uint64_t lk_view_bits_taken(const struct lk_fs *fs, int64_t epoch)
{
	const struct lk_views *views = fs->views;
	uint32_t i = find(views, epoch);

	if (i < views->count && !views->slots[i].gone)
		return (uint64_t)(i + 1) << LK_INO_BITS;
	return 0;
}

bool lk_view_stands(const struct lk_fs *fs, int64_t epoch, uint64_t bits)
{
	const struct slot *s = slot_of(fs->views, bits);

	/* A snapshot may have been among what poison took back. */
	return s && s->epoch == epoch && !s->gone && !atomic_load(&fs->poisoned);
}

uint64_t lk_view_bits_of(struct lk_fs *fs, uint64_t id)
{
	uint64_t node = lk_id_is_place(id) ? lk_places_ino(fs, id) : id;

	return node & ~LK_INO_MASK;
}

int lk_view_see(struct lk_op *op, uint64_t id, uint64_t *ino_out)
{
	uint64_t node = lk_id_is_place(id) ? lk_places_ino(op->fs, id) : id;
	uint64_t bits = node & ~LK_INO_MASK;
	const struct slot *s = slot_of(op->fs->views, node);

	if (node == 0 || (bits && (!s || s->epoch == 0 || s->gone)) || (bits != op->bits && (op->bits || op->changed)))
		return LINKFS_ESTALE;
	if (bits != op->bits) {
		op->bits = bits;
		op->view = s->epoch;
	}
	*ino_out = node & LK_INO_MASK;
	return 0;
}

/* ---- what is known of them ------------------------------------------------------------------------------------- */

static struct known *place_of(const struct lk_views *views, uint64_t bits, uint64_t ino)
{
	return &views->known[(ino + (bits >> LK_INO_BITS) * 61) % KNOWN];
}

const struct lk_inode *lk_view_known(const struct lk_op *op, uint64_t ino)
{
	const struct lk_views *views = op->fs->views;
	const struct known *k = op->bits && views->known ? place_of(views, op->bits, ino) : NULL;

	return k && k->bits == op->bits && (uint64_t)k->inode.ino == ino ? &k->inode : NULL;
}

void lk_view_know(struct lk_op *op, const struct lk_inode *inode)
{
	struct lk_views *views = op->fs->views;

	if (op->bits == 0)
		return;
	if (!views->known)
		views->known = calloc(KNOWN, sizeof(*views->known));
	/* Without memory it is looked up each time. */
	if (views->known)
		*place_of(views, op->bits, (uint64_t)inode->ino) = (struct known){op->bits, *inode};
}

/* None of now, and none in history that lasted until the snapshot. */
static bool may_have_binds(struct lk_op *op)
{
	int64_t count = 0;
	bool found = false;

	if (lk_txn_count(op, LK_COUNTER_BINDS, 0, &count) || count)
		return true;
	return lk_txn_history_since(op, LK_T_BIND, op->view, &found) || found;
}

bool lk_view_has_binds(struct lk_op *op)
{
	struct slot *s = slot_of(op->fs->views, op->bits);

	if (!s)
		return true;
	if (s->binds == NOT_ASKED)
		s->binds = may_have_binds(op) ? SOME : NONE;
	return s->binds == SOME;
}

/* ---- holds ------------------------------------------------------------------------------------------------------ */

static void settle(struct slot *s)
{
	if (s->gone && s->holds == 0)
		*s = (struct slot){0};
}

void lk_view_hold(struct lk_fs *fs, uint64_t id, uint64_t count)
{
	struct slot *s = slot_of(fs->views, id);

	if (s)
		s->holds += count;
}

void lk_view_unhold(struct lk_fs *fs, uint64_t id, uint64_t count)
{
	struct slot *s = slot_of(fs->views, id);

	if (!s)
		return;
	s->holds -= LK_MIN(s->holds, count);
	settle(s);
}

void lk_view_gone(struct lk_fs *fs, int64_t epoch)
{
	uint32_t i = find(fs->views, epoch);

	if (i < fs->views->count) {
		fs->views->slots[i].gone = true;
		settle(&fs->views->slots[i]);
	}
}
