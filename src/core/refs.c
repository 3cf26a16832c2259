/*
 * refs.c - candidates for "which symlinks lead there" (D2, D3), without looking at every symlink.
 * Layer: core.
 *
 * Table component has, for each symlink, the hash of every component of its text but ".", and which is the last. A candidate is a
 * symlink that has the right one; it counts when a walk through one of its names proves it (refs_walk.c). So a hash that two names
 * share, or a name that is elsewhere too, costs a walk and nothing else. That none is missed:
 *
 * R1 (END) Let the walk through link L end at node X, and call a step that changes where the walk stands a move: a name, "..", or the
 *    start of an absolute text. After the last move only "." and slashes follow. The last move is in the text of L or of a
 *    symlink M that the walk met, and is that text's last component but for "."; had it none, the text is one of "." and slashes.
 *    So the text's symlink is a candidate by a name of X (or "..", or the row for "." of such texts, when X is a directory).
 *    If it is M, then M was itself met by the last component, but for ".", of L's text or of another symlink's met before, and a walk
 *    through that name of M alone takes the same steps from there on, with fewer expansions: it ends at X too. So M's name is
 *    proved, its hash is asked for next, and by induction over the symlinks met L is found.
 * R2 (THROUGH, CHANGE) The same with every component instead of the last, and "the walk does it on its way" for "ends there": a
 *    walk through the met name of M alone does what L's walk did while it was in M's text. What a walk does is: come to X by a
 *    name of X; look a changed name up, found or not; or come to X, or leave the moved directory X, by "..". A walk through
 *    a changed tree differs from one through the tree as it is only after it did one of these.
 * R3 (..) Coming to X by "..", and leaving X by "..", happens below X or in it. A walk that began outside came in by a name of X: that
 *    is R2. One that began inside belongs to a symlink in a directory below X (or to M's there): those of the tree
 *    below X are candidates; when that tree is large, those with a component "..".
 * R4 The root has no name; from the host it has the mount point's. "Through the root" may be any absolute text: all symlinks are
 *    candidates then.
 *
 * R5 (tracked links, D5) Their texts are made when they are read, so the index has the target's number for them instead. Such a text
 *    passes through no other symlink and ends at the target: the links that track X are candidates for END. What else a
 *    walk through one does depends on directories above it and its target: where X is a directory, all tracked links are
 *    candidates. Where one text only changes with the tree, its end does not, unless its target goes. A text that is stored,
 *    because the target is gone, has its components in the index. Where directories have several paths neither holds: a text may have to
 *    lead through a name that a bind covers, and end at what the bind shows, and in another place than its first a stored one is made over.
 *    There all tracked links are candidates.
 * Where a file or directory has several paths (places.h) a walk begins at each of a link's, and ".." leads back the way it came. A
 * bind's entry is a name of what it shows (R1, R2), and what it shows lies below its directory (R3).
 *
 * R6 (snapshots) In a snapshot's view all of this holds of the tree as it was: rows of table component stay as long as a text that has them
 *    does, the live one or one in history, so that candidates are a superset in every view; each is proved by a walk in that view, and a
 *    link that was not there, or had another text, is no answer. LK_INODE_FOLLOWED is the inode's of then.
 *
 * What the caller may not walk he is not told: walks are made with his credential, so all of a proof is in what he may see.
 */
#include "refs_impl.h"

#include "binds.h"
#include "places.h"
#include "set.h"

#include <stdlib.h>
#include <string.h>

#define STEP_COST 64u     /* of one step; a walk is 1 */
#define ROWS 256u         /* read at once; as long as a few walks */
#define ROWS_COST 8u      /* of so many */
#define NAMES 16u         /* of one link proved at once */
#define SUBTREE_MAX 4096u /* entries; a larger tree is not searched for symlinks */

struct source {
	int64_t hash;
	int64_t ino, position; /* of the last row read */
};

struct lk_refs {
	struct lk_refs_ask ask;
	char names[2][LINKFS_NAME_MAX + 1];
	bool started, whole; /* whole: every symlink is a candidate */
	bool own;            /* the names of ask.ino are still being read */
	bool tracked;        /* every tracked link is a candidate, those after the row after */
	struct lk_component after;
	struct lk_link_name last; /* of them, or of link's: how far that is */
	uint64_t link;            /* being proved; 0: none */
	uint64_t every;           /* with whole: the last symlink read */
	struct lk_set hashes, links, tree;
	struct source *sources;
	size_t source, source_count, source_cap;
	uint64_t *links_left, *dirs_left;
	size_t link_count, link_cap, dir_count, dir_cap;
	uint64_t dir, dir_cookie; /* the directory being read; 0: none */
	uint32_t tree_entries;
};

static int push(uint64_t **list, size_t *count, size_t *cap, uint64_t number)
{
	if (*count == *cap) {
		size_t want = *cap ? *cap * 2 : 64;
		uint64_t *p = reallocarray(*list, want, sizeof(*p));

		if (!p)
			return LINKFS_ENOMEM;
		*list = p;
		*cap = want;
	}
	(*list)[(*count)++] = number;
	return 0;
}

static int add_link(struct lk_refs *refs, int64_t ino)
{
	bool added = false;
	int rc = ino < 1 || ino > LK_INO_MAX ? LINKFS_ECORRUPT : lk_set_add(&refs->links, (uint64_t)ino, &added);

	return rc || !added ? rc : push(&refs->links_left, &refs->link_count, &refs->link_cap, (uint64_t)ino);
}

static int add_dir(struct lk_refs *refs, uint64_t ino)
{
	bool added = false;
	int rc = lk_set_add(&refs->tree, ino, &added);

	return rc || !added ? rc : push(&refs->dirs_left, &refs->dir_count, &refs->dir_cap, ino);
}

static int add_hash(struct lk_refs *refs, int64_t hash)
{
	struct source source = {.hash = hash};
	bool added = false;
	int rc = lk_set_add(&refs->hashes, (uint64_t)source.hash, &added);

	if (rc || !added)
		return rc;
	if (refs->source_count == refs->source_cap) {
		size_t want = refs->source_cap ? refs->source_cap * 2 : 16;
		struct source *p = reallocarray(refs->sources, want, sizeof(*p));

		if (!p)
			return LINKFS_ENOMEM;
		refs->sources = p;
		refs->source_cap = want;
	}
	refs->sources[refs->source_count++] = source;
	return 0;
}

static int add_source(struct lk_refs *refs, const struct lk_fs *fs, const char *name, size_t len)
{
	return add_hash(refs, lk_name_hash(fs->name_secret, name, len));
}

int lk_refs_new(const struct lk_refs_ask *ask, struct lk_refs **out)
{
	struct lk_refs *refs = calloc(1, sizeof(*refs));

	if (!refs)
		return LINKFS_ENOMEM;
	refs->ask = *ask;
	for (uint32_t i = 0; i < ask->overlay.count; i++) {
		memcpy(refs->names[i], ask->overlay.entries[i].name, ask->overlay.entries[i].len);
		refs->ask.overlay.entries[i].name = refs->names[i];
	}
	*out = refs;
	return 0;
}

void lk_refs_free(struct lk_refs *refs)
{
	if (!refs)
		return;
	lk_set_done(&refs->hashes);
	lk_set_done(&refs->links);
	lk_set_done(&refs->tree);
	free(refs->sources);
	free(refs->links_left);
	free(refs->dirs_left);
	free(refs);
}

/* ---- where candidates come from -------------------------------------------------------------------------------- */

/* R5: what tracks ino, which loses its name, or its place to another. */
static int add_trackers(struct lk_refs *refs, struct lk_op *op, const struct lk_inode *inode)
{
	if (lk_is_dir(inode) || lk_places_any(op)) {
		refs->tracked = true;
		refs->after = (struct lk_component){.hash = INT64_MIN};
		return 0;
	}
	return inode->flags & LK_INODE_FOLLOWED ? add_hash(refs, LK_TRACKS_HASH(inode->ino)) : 0;
}

/* What is at the place where ask.ino is to be. */
static int add_replaced(struct lk_refs *refs, struct lk_op *op)
{
	const struct lk_overlay *o = &refs->ask.overlay;
	struct lk_inode inode;
	struct lk_slot slot;
	int rc = o->count < 2 ? LINKFS_ENOENT
			      : lk_dirent_find(op, o->entries[1].dir, o->entries[1].name, o->entries[1].len, &slot);

	if (rc == 0)
		rc = slot.ino ? lk_inode_get(op, slot.ino, &inode) : LINKFS_ENOENT;
	if (rc == 0)
		rc = add_trackers(refs, op, &inode);
	return rc == LINKFS_ENOENT || rc == LINKFS_ENAMETOOLONG ? 0 : rc;
}

static int start_change(struct lk_refs *refs, struct lk_op *op, const struct lk_inode *inode)
{
	const struct lk_overlay *o = &refs->ask.overlay;
	int rc = add_trackers(refs, op, inode);

	if (rc == 0)
		rc = add_replaced(refs, op);
	for (uint32_t i = 0; rc == 0 && i < o->count; i++)
		rc = add_source(refs, op->fs, o->entries[i].name, o->entries[i].len);
	if (rc == 0 && lk_is_lnk(inode))
		rc = add_link(refs, inode->ino);
	return rc == 0 && o->moved ? add_dir(refs, o->moved) : rc;
}

static int start(struct lk_refs *refs, struct lk_op *op)
{
	const struct lk_host *host = refs->ask.host;
	bool through = refs->ask.kind == LK_REFS_THROUGH;
	struct lk_inode inode;
	int rc = lk_inode_get(op, refs->ask.ino, &inode);

	refs->started = true;
	if (rc)
		return rc == LINKFS_ESTALE ? 0 : rc;
	if (refs->ask.kind == LK_REFS_CHANGE)
		return start_change(refs, op, &inode);
	refs->own = true;
	/* At a directory a walk through a tracked link ends only when it tracks that. */
	if (through || lk_places_any(op))
		rc = add_trackers(refs, op, &inode);
	else if (inode.flags & LK_INODE_FOLLOWED)
		rc = add_hash(refs, LK_TRACKS_HASH(inode.ino));
	if (rc || !lk_is_dir(&inode))
		return rc;
	if (through && inode.ino == LINKFS_ROOT_INO) {
		refs->whole = true;
		return 0;
	}
	if (inode.ino == LINKFS_ROOT_INO && host && host->depth)
		rc = add_source(refs, op->fs, host->names[host->depth - 1].p, host->names[host->depth - 1].len);
	if (rc == 0 && through)
		return add_dir(refs, (uint64_t)inode.ino);
	if (rc == 0)
		rc = add_source(refs, op->fs, "..", 2);
	return rc ? rc : add_source(refs, op->fs, ".", 1);
}

struct gather {
	struct lk_refs *refs;
	struct lk_op *op;
	uint32_t rows;
	struct lk_link_name *names; /* link_row: of the link refs->link */
	uint32_t count;
};

static int own_row(void *arg, const void *record)
{
	const struct lk_dirent *d = record;
	struct gather *g = arg;

	g->rows++;
	g->refs->last.dir = (uint64_t)d->dir;
	g->refs->last.cookie = lk_dirent_cookie(d);
	return add_source(g->refs, g->op->fs, d->name.p, d->name.len);
}

/* Rows of binds, copied: a scan's callback must not look anything up. */
struct bind_list {
	struct lk_op *op;
	struct lk_bind_item {
		struct lk_bind bind;
		struct lk_bind_item *next;
	} * first;
};

static int bind_row(void *arg, const void *record)
{
	struct bind_list *list = arg;
	struct lk_bind_item *item = lk_op_alloc(list->op, sizeof(*item));

	if (!item)
		return LINKFS_ENOMEM;
	item->bind = *(const struct lk_bind *)record;
	item->next = list->first;
	list->first = item;
	return 0;
}

/* The entries at which binds show what is asked about are names of it for a walk. */
static int add_binds(struct lk_refs *refs, struct lk_op *op)
{
	struct bind_list list = {.op = op};
	int rc = lk_binds_any(op) ? lk_bind_scan(op, refs->ask.ino, NULL, 0, bind_row, &list) : 0;

	for (const struct lk_bind_item *item = list.first; rc == 0 && item; item = item->next) {
		struct lk_dirent d = {.dir = item->bind.dir, .hash = item->bind.hash, .ord = item->bind.ord};

		rc = lk_txn_get(op, LK_T_DIRENT, &d, &d);
		if (rc == 0)
			rc = add_source(refs, op->fs, d.name.p, d.name.len);
	}
	return rc == LINKFS_ENOENT ? LINKFS_ECORRUPT : rc;
}

static int read_own(struct lk_refs *refs, struct lk_op *op)
{
	struct gather g = {.refs = refs, .op = op};
	int rc = lk_dirent_names_after(op, refs->ask.ino, refs->last.dir, refs->last.cookie, ROWS, own_row, &g);

	if (rc == 0 && g.rows < ROWS) {
		refs->own = false;
		rc = add_binds(refs, op);
	}
	return rc;
}

static int component_row(void *arg, const void *record)
{
	const struct lk_component *c = record;
	struct gather *g = arg;
	struct source *source = &g->refs->sources[g->refs->source];

	g->rows++;
	source->ino = c->ino;
	source->position = c->position;
	return g->refs->ask.kind == LK_REFS_END && !c->is_last ? 0 : add_link(g->refs, c->ino);
}

static int read_source(struct lk_refs *refs, struct lk_op *op)
{
	const struct source *source = &refs->sources[refs->source];
	struct lk_component key = {.hash = source->hash, .ino = source->ino, .position = source->position};
	struct lk_scan scan = {.table = &lk_tables[LK_T_COMPONENT],
			       .index = LK_BY_KEY,
			       .equal = 1,
			       .ranged = 2,
			       .exclusive = source->ino != 0,
			       .from = &key,
			       .limit = ROWS};
	struct gather g = {.refs = refs, .op = op};
	int rc = lk_txn_scan(op, &scan, component_row, &g);

	if (rc == 0 && g.rows < ROWS)
		refs->source++;
	return rc;
}

static int tracked_row(void *arg, const void *record)
{
	const struct lk_component *c = record;
	struct gather *g = arg;

	if (c->hash >= 0) {
		g->refs->tracked = false;
		return 1;
	}
	g->rows++;
	g->refs->after = *c;
	return add_link(g->refs, c->ino);
}

static int read_tracked(struct lk_refs *refs, struct lk_op *op)
{
	struct lk_component key = refs->after;
	struct lk_scan scan = {.table = &lk_tables[LK_T_COMPONENT],
			       .index = LK_BY_KEY,
			       .ranged = 3,
			       .exclusive = true,
			       .from = &key,
			       .limit = ROWS};
	struct gather g = {.refs = refs, .op = op};
	int rc = lk_txn_scan(op, &scan, tracked_row, &g);

	if (rc == 0 && g.rows < ROWS)
		refs->tracked = false;
	return rc;
}

static int tree_row(void *arg, const void *record)
{
	const struct lk_dirent *d = record;
	struct gather *g = arg;

	g->rows++;
	g->refs->dir_cookie = lk_dirent_cookie(d);
	if (S_ISLNK(lk_dirent_type(d)))
		return add_link(g->refs, d->ino);
	return S_ISDIR(lk_dirent_type(d)) ? add_dir(g->refs, (uint64_t)d->ino) : 0;
}

/* What binds show in refs->dir lies below it too. */
static int add_shown(struct lk_refs *refs, struct lk_op *op)
{
	struct bind_list list = {.op = op};
	int rc = lk_binds_any(op) ? lk_bind_scan_dir(op, refs->dir, bind_row, &list) : 0;

	for (const struct lk_bind_item *item = list.first; rc == 0 && item; item = item->next) {
		struct lk_inode inode;

		rc = lk_inode_get(op, (uint64_t)item->bind.source, &inode);
		if (rc == 0 && lk_is_lnk(&inode))
			rc = add_link(refs, inode.ino);
		else if (rc == 0 && lk_is_dir(&inode))
			rc = add_dir(refs, (uint64_t)inode.ino);
	}
	return rc == LINKFS_ESTALE ? LINKFS_ECORRUPT : rc;
}

/* Symlinks in and below the directories that are left to read. */
static int read_tree(struct lk_refs *refs, struct lk_op *op)
{
	struct gather g = {.refs = refs, .op = op};
	int rc;

	if (!refs->dir) {
		refs->dir = refs->dirs_left[--refs->dir_count];
		refs->dir_cookie = 0;
		rc = add_shown(refs, op);
		if (rc)
			return rc;
	}
	rc = lk_dirent_scan(op, refs->dir, refs->dir_cookie, ROWS, tree_row, &g);
	if (rc)
		return rc;
	refs->tree_entries += g.rows + 1;
	if (g.rows < ROWS)
		refs->dir = 0;
	if (refs->tree_entries <= SUBTREE_MAX)
		return 0;
	refs->dir = 0;
	refs->dir_count = 0;
	return add_source(refs, op->fs, "..", 2);
}

static int target_row(void *arg, const void *record)
{
	const struct lk_target *t = record;
	struct gather *g = arg;

	g->rows++;
	g->refs->every = (uint64_t)t->ino;
	return add_link(g->refs, t->ino);
}

static int read_every(struct lk_refs *refs, struct lk_op *op)
{
	struct lk_target key = {.ino = (int64_t)refs->every};
	struct lk_scan scan = {.table = &lk_tables[LK_T_TARGET],
			       .index = LK_BY_KEY,
			       .ranged = 1,
			       .exclusive = true,
			       .from = &key,
			       .limit = ROWS};
	struct gather g = {.refs = refs, .op = op};
	int rc = lk_txn_scan(op, &scan, target_row, &g);

	if (rc == 0 && g.rows < ROWS)
		refs->whole = false;
	return rc;
}

/* ---- proofs ------------------------------------------------------------------------------------------------------ */

/* In the arena: the scan must be over before the walks begin. */
static int link_row(void *arg, const void *record)
{
	const struct lk_dirent *d = record;
	struct gather *g = arg;
	char *name = lk_op_alloc(g->op, d->name.len + 1);

	if (!name)
		return LINKFS_ENOMEM;
	memcpy(name, d->name.p, d->name.len);
	name[d->name.len] = 0;
	g->names[g->count++] = (struct lk_link_name){
		(uint64_t)d->ino,    (uint64_t)d->dir,
		lk_dirent_cookie(d), name,
		d->name.len,         g->op->bits | (uint64_t)d->dir,
	};
	return 0;
}

static int link_names(struct lk_op *op, uint64_t ino, uint64_t dir, uint64_t cookie, struct lk_link_name *names,
		      uint32_t *count_out)
{
	struct gather g = {.op = op, .names = names};
	struct lk_inode inode;
	int rc = lk_inode_get(op, ino, &inode);

	/* Gone meanwhile, or its row is there for the sake of a snapshot. */
	*count_out = 0;
	if (rc || !lk_is_lnk(&inode))
		return rc == LINKFS_ESTALE ? 0 : rc;
	rc = lk_dirent_names_after(op, ino, dir, cookie, NAMES, link_row, &g);
	*count_out = g.count;
	return rc;
}

struct paths {
	struct lk_op *op;
	struct lk_link_name name;
	lk_link_fn *fn;
	void *arg;
};

static int one_path(void *arg, uint64_t node)
{
	struct paths *p = arg;

	p->name.node = node;
	return p->fn(p->arg, p->op, &p->name);
}

int lk_link_paths(struct lk_op *op, const struct lk_link_name *name, lk_link_fn *fn, void *arg)
{
	struct paths p = {op, *name, fn, arg};
	struct lk_slot slot = {
		.dir = name->dir, .hash = (int64_t)(name->cookie >> 8), .ord = (int64_t)(name->cookie & 255)};
	int rc;

	if (!lk_places_any(op))
		return one_path(&p, op->bits | name->dir);
	rc = lk_bind_find(op, &slot);
	return rc || slot.bound ? rc : lk_places_routes(op, name->dir, one_path, &p);
}

struct prove {
	struct lk_refs *refs;
	const struct linkfs_cred *cred;
	lk_refs_fn *fn;
	void *arg;
};

static int prove_path(void *arg, struct lk_op *op, const struct lk_link_name *link)
{
	const struct prove *p = arg;
	struct lk_refs *refs = p->refs;
	struct lk_proof proof = {0};
	int rc = lk_refs_prove(op, p->cred, &refs->ask, link, &proof);

	if (rc == 0 && proof.met)
		rc = add_source(refs, op->fs, link->name, link->len);
	if (rc == 0 && proof.told)
		rc = p->fn(p->arg, op, link, &proof.before, &proof.after);
	return rc;
}

static int prove_link(struct lk_refs *refs, struct lk_op *op, const struct linkfs_cred *cred, lk_refs_fn *fn, void *arg)
{
	struct prove prove = {refs, cred, fn, arg};
	struct lk_link_name names[NAMES];
	uint32_t count;
	int rc;

	if (!refs->link) {
		refs->link = refs->links_left[--refs->link_count];
		refs->last = (struct lk_link_name){0};
	}
	rc = link_names(op, refs->link, refs->last.dir, refs->last.cookie, names, &count);
	for (uint32_t i = 0; rc == 0 && i < count; i++)
		rc = lk_link_paths(op, &names[i], prove_path, &prove);
	if (rc)
		return rc;
	if (count == NAMES)
		refs->last = names[count - 1];
	else
		refs->link = 0;
	return 0;
}

int lk_refs_step(struct lk_refs *refs, struct lk_op *op, const struct linkfs_cred *cred, lk_refs_fn *fn, void *arg,
		 bool *more_out)
{
	uint32_t cost = 0;
	int rc = refs->started ? 0 : start(refs, op);

	*more_out = true;
	/* ask.ino's own names first: they share refs->last with the proofs. */
	while (rc == 0 && cost < STEP_COST) {
		cost += ROWS_COST;
		if (refs->own) {
			rc = read_own(refs, op);
		} else if (refs->link || refs->link_count) {
			rc = prove_link(refs, op, cred, fn, arg);
			cost -= ROWS_COST - 1;
		} else if (refs->tracked) {
			rc = read_tracked(refs, op);
		} else if (refs->dir || refs->dir_count) {
			rc = read_tree(refs, op);
		} else if (refs->whole) {
			rc = read_every(refs, op);
		} else if (refs->source < refs->source_count) {
			rc = read_source(refs, op);
		} else {
			*more_out = false;
			break;
		}
	}
	return rc;
}

/* ---- every symlink ----------------------------------------------------------------------------------------------- */

static int next_row(void *arg, const void *record)
{
	const struct lk_target *t = record;

	*(uint64_t *)arg = (uint64_t)t->ino;
	return 1;
}

/* The first symlink from ino on; 0 at the end. */
static int link_from(struct lk_op *op, uint64_t ino, uint64_t *out)
{
	struct lk_target key = {.ino = (int64_t)ino};
	struct lk_scan scan = {
		.table = &lk_tables[LK_T_TARGET], .index = LK_BY_KEY, .ranged = 1, .from = &key, .limit = 1};

	*out = 0;
	return lk_txn_scan(op, &scan, next_row, out);
}

int lk_links_step(struct lk_op *op, struct lk_link_name *after, lk_link_fn *fn, void *arg, bool *more_out)
{
	struct lk_link_name names[NAMES];
	uint32_t count;
	int rc = 0;

	*more_out = true;
	for (uint32_t cost = 0; rc == 0 && cost < STEP_COST; cost++) {
		rc = after->dir ? 0 : link_from(op, after->ino, &after->ino);
		if (rc == 0 && after->ino == 0) {
			*more_out = false;
			return 0;
		}
		if (rc == 0)
			rc = link_names(op, after->ino, after->dir, after->cookie, names, &count);
		for (uint32_t i = 0; rc == 0 && i < count; i++, cost++)
			rc = lk_link_paths(op, &names[i], fn, arg);
		if (rc)
			return rc;
		if (count == NAMES)
			*after = names[count - 1];
		else
			*after = (struct lk_link_name){.ino = after->ino + 1};
	}
	return rc;
}
