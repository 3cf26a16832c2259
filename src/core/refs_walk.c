/*
 * refs_walk.c - proofs: a walk through a link's name, watched.
 * Layer: core.
 */
#include "refs_impl.h"

#include "link.h"
#include "places.h"

#include <string.h>

struct watch {
	const struct lk_walk_how *how;
	struct lk_link_end *end;
	struct lk_fault *fault;
};

static void note_fault(struct lk_fault *fault, const struct lk_walk *walk, const struct lk_step *step)
{
	const struct lk_where *w = &walk->where;
	bool named = step->kind != LK_STEP_START && step->kind != LK_STEP_SEARCH && step->kind != LK_STEP_ROOT;

	fault->host = walk->above > 0 || step->kind == LK_STEP_HOST;
	fault->dir = fault->host ? 0 : w->dir.id;
	fault->expanding = step->kind == LK_STEP_EXPAND;
	fault->len = (uint8_t)(named ? LK_MIN(w->len, (size_t)LINKFS_NAME_MAX) : 0);
	memcpy(fault->name, w->name, fault->len);
	fault->name[fault->len] = 0;
}

static int watch_step(void *arg, const struct lk_walk *walk, const struct lk_step *step)
{
	const struct watch *watch = arg;

	watch->end->expansions += step->kind == LK_STEP_EXPAND && step->error == 0;
	/* The last step is where it failed, though some failures are noticed only after it (a file in the place of a directory). */
	if (watch->fault && (step->error || step->kind != LK_STEP_SEARCH))
		note_fault(watch->fault, walk, step);
	return watch->how && watch->how->step ? watch->how->step(watch->how->arg, walk, step) : 0;
}

int lk_link_walk(struct lk_op *op, const struct linkfs_cred *cred, const struct lk_link_name *link,
		 const struct lk_walk_how *how, struct lk_link_end *out, struct lk_fault *fault)
{
	struct lk_link_end end = {0};
	struct watch watch = {how, &end, fault};
	struct lk_walk_how mine = {.host = how ? how->host : NULL,
				   .overlay = how ? how->overlay : NULL,
				   .step = watch_step,
				   .arg = &watch};
	struct lk_place found;
	int rc = lk_resolve_how(op, cred, link->node, link->name, true, &mine, &found);

	if (rc && !lk_walk_verdict(rc))
		return rc;
	end.error = rc;
	end.ino = rc ? 0 : (uint64_t)found.inode.ino;
	*out = end;
	return 0;
}

/* What a proof looks for on its way. */
struct look_out {
	const struct lk_refs_ask *ask;
	bool started, met;
};

static bool is_at(const struct lk_overlay *o, uint32_t i, uint64_t dir, const char *name, size_t len)
{
	return i < o->count && o->entries[i].dir == dir && o->entries[i].len == len &&
	       memcmp(o->entries[i].name, name, len) == 0;
}

static bool meets_change(const struct lk_overlay *o, const struct lk_walk *walk, const struct lk_step *step)
{
	const struct lk_where *w = &walk->where;
	uint64_t dir = (uint64_t)w->dir.inode.ino;

	if (step->kind == LK_STEP_UP)
		return o->moved && dir == o->moved;
	return step->kind == LK_STEP_ENTRY && (is_at(o, 0, dir, w->name, w->len) || is_at(o, 1, dir, w->name, w->len));
}

static bool meets_node(const struct look_out *look, const struct lk_walk *walk, const struct lk_step *step)
{
	if (step->error || walk->above ||
	    (step->kind != LK_STEP_ENTRY && step->kind != LK_STEP_UP && step->kind != LK_STEP_ROOT &&
	     step->kind != LK_STEP_HOST))
		return false;
	return (uint64_t)step->found->inode.ino == look->ask->ino &&
	       (look->ask->kind == LK_REFS_THROUGH || lk_walk_spent(walk));
}

static int look_step(void *arg, const struct lk_walk *walk, const struct lk_step *step)
{
	struct look_out *look = arg;
	bool own = step->kind == LK_STEP_ENTRY && !look->started; /* the link's name itself */

	look->started |= own;
	if (look->ask->kind == LK_REFS_CHANGE)
		look->met |= meets_change(&look->ask->overlay, walk, step);
	else if (!own)
		look->met |= meets_node(look, walk, step);
	return 0;
}

/* Whether the path to directory node comes by the name that goes. */
static int leads_through(struct lk_op *op, const struct lk_refs_ask *ask, uint64_t node, bool *out)
{
	const struct lk_overlay *o = &ask->overlay;
	int64_t hash = lk_name_hash(op->fs->name_secret, o->entries[0].name, o->entries[0].len);
	struct lk_place_entry entry;
	int rc = 0;

	*out = false;
	while (rc == 0 && !*out && node != LINKFS_ROOT_INO) {
		if (lk_places_entry(op->fs, node, &entry)) {
			*out = entry.dir == (int64_t)o->entries[0].dir && entry.hash == hash;
			node = entry.parent;
		} else { /* it has one name */
			*out = node == ask->ino;
			rc = lk_dirent_parent(op, node, &node);
		}
	}
	return rc == LINKFS_ENOENT ? 0 : rc;
}

/* Whether the link's name is gone when what is asked about is removed, or stands in its way where it moves. */
static int is_gone(struct lk_op *op, const struct lk_refs_ask *ask, const struct lk_link_name *link, bool *out)
{
	const struct lk_overlay *o = &ask->overlay;
	bool removal = o->count == 1;

	*out = is_at(o, removal ? 0 : 1, link->dir, link->name, link->len);
	if (*out || !removal)
		return 0;
	if (!lk_places_any(op))
		return lk_dirent_above(op, ask->ino, link->dir, out);
	return leads_through(op, ask, link->node, out);
}

static int prove_change(struct lk_op *op, const struct linkfs_cred *cred, const struct lk_refs_ask *ask,
			const struct lk_link_name *link, struct lk_link_end *before, struct lk_link_end *after,
			bool *told_out)
{
	const struct lk_overlay *o = &ask->overlay;
	struct lk_walk_how how = {.host = ask->host, .overlay = o};
	struct lk_link_name moved = *link;
	bool gone;
	int rc = is_gone(op, ask, link, &gone);

	if (rc || gone)
		return rc;
	if (is_at(o, 0, link->dir, link->name, link->len)) {
		moved.dir = moved.node = o->entries[1].dir;
		moved.name = o->entries[1].name;
		moved.len = o->entries[1].len;
	}
	rc = lk_link_walk(op, cred, &moved, &how, after, NULL);
	*told_out = rc == 0 && (before->error == 0 || after->error == 0) &&
		    (before->error != after->error || before->ino != after->ino);
	return rc;
}

int lk_refs_prove(struct lk_op *op, const struct linkfs_cred *cred, const struct lk_refs_ask *ask,
		  const struct lk_link_name *link, struct lk_proof *out)
{
	struct look_out look = {.ask = ask};
	struct lk_walk_how how = {.host = ask->host, .step = look_step, .arg = &look};
	struct lk_inode inode;
	int rc = lk_inode_get(op, ask->ino, &inode);

	/* Gone meanwhile: nothing leads there. */
	if (rc == LINKFS_ESTALE)
		return 0;
	if (rc == 0)
		rc = lk_link_walk(op, cred, link, &how, &out->before, NULL);
	if (rc)
		return rc;
	if (ask->kind == LK_REFS_END && !lk_is_lnk(&inode))
		look.met = out->before.error == 0 && out->before.ino == ask->ino;
	out->met = look.met;
	out->told = look.met;
	if (look.met && ask->kind == LK_REFS_CHANGE) {
		out->told = false;
		rc = prove_change(op, cred, ask, link, &out->before, &out->after, &out->told);
	}
	return rc;
}
