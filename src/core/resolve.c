/*
 * resolve.c - the path walker (B2, B4). Linux's rules (fs/namei.c, path_resolution(7)): each directory is asked for
 * search permission before the name in it is; a symlink in the middle puts its text before the rest of the path; the
 * text of the 41st is not looked at.
 * Layer: core. The texts walked lie in the caller's path and in the op's arena; nothing is copied. Every walk is this one: what
 * asks about links watches its steps, or has it take a change for made (lk_walk_how).
 */
#include "resolve.h"
#include "link.h"
#include "views.h"

#include <string.h>

static enum lk_last last_of(const char *name, size_t len)
{
	if (name[0] != '.' || len > 2)
		return LK_LAST_NAME;
	if (len == 1)
		return LK_LAST_DOT;
	return name[1] == '.' ? LK_LAST_DOTDOT : LK_LAST_NAME;
}

static int place_of(struct lk_op *op, uint64_t ino, struct lk_place *out)
{
	out->id = ino;
	return lk_inode_get(op, ino, &out->inode);
}

/* An entry or index row names ino, so it exists. */
static int place_named(struct lk_op *op, uint64_t ino, struct lk_place *out)
{
	int rc = place_of(op, op->bits | ino, out);

	return rc == LINKFS_ESTALE ? LINKFS_ECORRUPT : rc;
}

int lk_place_parent(struct lk_op *op, const struct lk_place *dir, struct lk_place *out)
{
	struct lk_place_entry entry;
	uint64_t parent;
	int rc;

	if (lk_places_entry(op->fs, dir->id, &entry)) {
		rc = place_of(op, entry.parent, out);
	} else {
		rc = lk_dirent_parent(op, (uint64_t)dir->inode.ino, &parent);
		if (rc == 0)
			rc = place_of(op, op->bits | parent, out);
	}
	if (rc == LINKFS_ESTALE || (rc == 0 && !lk_is_dir(&out->inode)))
		return LINKFS_ECORRUPT;
	return rc;
}

/* dir may be walked through. */
static int may_search(struct lk_op *op, const struct linkfs_cred *cred, const struct lk_inode *dir)
{
	if (!lk_is_dir(dir))
		return LINKFS_ENOTDIR;
	return lk_perm_check(op, cred, dir, LK_MAY_EXEC);
}

int lk_where_at(struct lk_op *op, const struct linkfs_cred *cred, uint64_t dir, const char *name, size_t len,
		struct lk_where *out)
{
	int rc = lk_name_check(name, len);

	if (rc == 0)
		rc = place_of(op, dir, &out->dir);
	lk_op_own(op, dir);
	if (rc == 0)
		rc = may_search(op, cred, &out->dir.inode);
	if (rc)
		return rc;
	out->name = name;
	out->len = len;
	out->last = last_of(name, len);
	out->slash = false;
	return 0;
}

/* Tells a step. */
static int tell(const struct lk_walk *walk, enum lk_step_kind kind, int error, const struct lk_place *found)
{
	struct lk_step step = {.kind = kind, .error = error, .found = found, .covered = walk->covered};
	int rc;

	if (!walk->how || !walk->how->step || (error && !lk_walk_verdict(error)))
		return error;
	rc = walk->how->step(walk->how->arg, walk, &step);
	return rc ? rc : error;
}

bool lk_walk_verdict(int error)
{
	return error == LINKFS_ENOENT || error == LINKFS_ELOOP || error == LINKFS_ENOTDIR || error == LINKFS_EACCES ||
	       error == LINKFS_ENAMETOOLONG || error == LINKFS_EXDEV;
}

static int search(const struct lk_walk *walk)
{
	const struct lk_place *dir = &walk->where.dir;

	return walk->above ? 0 : tell(walk, LK_STEP_SEARCH, may_search(walk->op, walk->cred, &dir->inode), dir);
}

/* Puts text before what is still to be walked; a text of nothing but slashes leaves nothing to walk. */
static void push(struct lk_walk *walk, const char *p, const char *end)
{
	while (p < end && *p == '/')
		p++;
	if (p == end)
		return;
	walk->rest[walk->depth].p = p;
	walk->rest[walk->depth].end = end;
	walk->depth++;
}

bool lk_walk_spent(const struct lk_walk *walk)
{
	for (uint32_t i = 0; i < walk->depth; i++)
		for (const char *p = walk->rest[i].p; p < walk->rest[i].end; p++)
			if (*p != '/' && (*p != '.' || (p + 1 < walk->rest[i].end && p[1] != '/')))
				return false;
	return true;
}

static int begin(struct lk_walk *walk, struct lk_op *op, const struct linkfs_cred *cred, uint64_t at, const char *path,
		 const struct lk_walk_how *how)
{
	size_t len = strnlen(path, LINKFS_PATH_MAX);
	int rc;

	if (len == 0)
		return LINKFS_ENOENT;
	if (len == LINKFS_PATH_MAX)
		return LINKFS_ENAMETOOLONG;
	walk->op = op;
	walk->cred = cred;
	walk->how = how;
	walk->covered = 0;
	walk->above = how && how->text && how->host && path[0] == '/' ? how->host->depth : 0;
	walk->expansions = 0;
	walk->need_dir = false;
	walk->depth = 0;
	walk->where = (struct lk_where){.name = ".", .len = 1, .last = LK_LAST_ROOT};
	push(walk, path, path + len);
	rc = place_of(op, path[0] == '/' ? lk_view_bits_of(op->fs, at) | LINKFS_ROOT_INO : at, &walk->where.dir);
	return rc ? rc : tell(walk, LK_STEP_START, 0, &walk->where.dir);
}

int lk_walk_begin(struct lk_walk *walk, struct lk_op *op, const struct linkfs_cred *cred, uint64_t at, const char *path)
{
	return begin(walk, op, cred, at, path, NULL);
}

static int tell_expand(const struct lk_walk *walk, const struct lk_place *link, const char *text, size_t len, int error)
{
	struct lk_step step = {.kind = LK_STEP_EXPAND, .error = error, .found = link, .text = text, .text_len = len};
	int rc = walk->how && walk->how->step ? walk->how->step(walk->how->arg, walk, &step) : 0;

	return rc ? rc : error;
}

/* Counts an expansion of link, whose directory the walk stands in, and puts its text before the rest. */
static int expand(struct lk_walk *walk, const struct lk_place *link)
{
	const char *text = "";
	size_t len = 0;
	int rc;

	if (walk->expansions++ >= LINKFS_SYMLOOP_MAX)
		return tell_expand(walk, link, text, len, LINKFS_ELOOP);
	rc = lk_symlink_text_over(walk->op, &link->inode, walk->where.dir.id, walk->how ? walk->how->overlay : NULL,
				  &text, &len);
	if (rc == 0 || rc == LINKFS_ENAMETOOLONG)
		rc = tell_expand(walk, link, text, len, rc);
	if (rc == 0 && text[0] == '/') {
		if (walk->how && walk->how->leaves)
			lk_view_leave(walk->op);
		rc = place_named(walk->op, LINKFS_ROOT_INO, &walk->where.dir);
		walk->above = walk->how && walk->how->host ? walk->how->host->depth : 0;
		if (rc == 0)
			rc = tell(walk, LK_STEP_ROOT, 0, &walk->where.dir);
	}
	if (rc == 0)
		push(walk, text, text + len);
	return rc;
}

/* Takes the next component off the texts. False when there is none. */
static bool next(struct lk_walk *walk, bool *final_out)
{
	struct lk_where *w = &walk->where;
	const char *p, *end, *stop;

	if (walk->depth == 0) {
		w->last = LK_LAST_ROOT;
		w->name = ".";
		w->len = 1;
		w->slash = true;
		return false;
	}
	p = walk->rest[walk->depth - 1].p;
	end = walk->rest[walk->depth - 1].end;
	stop = memchr(p, '/', (size_t)(end - p));
	if (!stop)
		stop = end;
	w->name = p;
	w->len = (size_t)(stop - p);
	w->last = last_of(p, w->len);
	w->slash = stop < end;
	walk->depth--;
	push(walk, stop, end);
	*final_out = walk->depth == 0;
	return true;
}

/* What the entry shows. */
static int shown(struct lk_op *op, uint64_t dir, const struct lk_slot *slot, struct lk_place *out)
{
	int rc = place_named(op, slot->bound ? slot->bound : slot->ino, out);

	if (rc)
		return rc;
	if (slot->bound ? lk_is_dir(&out->inode) != S_ISDIR(slot->type) : (out->inode.mode & S_IFMT) != slot->type)
		return LINKFS_ECORRUPT;
	return lk_places_has(&out->inode) && lk_places_any(op) ? lk_places_enter(op, dir, slot, &out->id) : 0;
}

int lk_walk_look(struct lk_op *op, const struct lk_where *where, struct lk_slot *slot, struct lk_place *out)
{
	int rc;

	switch (where->last) {
	case LK_LAST_ROOT:
	case LK_LAST_DOT:
		*out = where->dir;
		return 0;
	case LK_LAST_DOTDOT:
		return lk_place_parent(op, &where->dir, out);
	case LK_LAST_NAME:
		break;
	}
	/* Linux looks into no removed directory, so it does not judge the name either. */
	if (where->len > LINKFS_NAME_MAX && where->dir.inode.nlink == 0)
		return LINKFS_ENOENT;
	rc = lk_dirent_find(op, (uint64_t)where->dir.inode.ino, where->name, where->len, slot);
	if (rc)
		return rc;
	if (slot->ino == 0)
		return LINKFS_ENOENT;
	return shown(op, where->dir.id, slot, out);
}

/* The component in a directory of the host: it leads back towards the mount point, further up, or out of what is known. */
static int look_above(struct lk_walk *walk)
{
	const struct lk_host *host = walk->how->host;
	const struct lk_bytes *down = &host->names[host->depth - walk->above];
	const struct lk_where *w = &walk->where;

	if (w->last == LK_LAST_DOTDOT)
		walk->above = LK_MIN(walk->above + 1, host->depth);
	else if (w->last == LK_LAST_NAME && w->len == down->len && memcmp(w->name, down->p, w->len) == 0)
		walk->above--;
	else if (w->last == LK_LAST_NAME)
		return LINKFS_EXDEV;
	return 0;
}

static bool is_entry(const struct lk_overlay *o, uint32_t i, const struct lk_where *w)
{
	return o->entries[i].dir == (uint64_t)w->dir.inode.ino && o->entries[i].len == w->len &&
	       memcmp(o->entries[i].name, w->name, w->len) == 0;
}

/* Whether the walk came to the moved directory by the name that moves: it may have others (D6). */
static bool was_moved(const struct lk_walk *walk)
{
	const struct lk_overlay *o = walk->how->overlay;
	struct lk_place_entry entry;

	if (!lk_places_entry(walk->op->fs, walk->where.dir.id, &entry))
		return true;
	return entry.dir == (int64_t)o->entries[0].dir &&
	       entry.hash == lk_name_hash(walk->op->fs->name_secret, o->entries[0].name, o->entries[0].len);
}

/* What the overlay names here. Where directories have places it has one of its own, at an entry that there is not yet. */
static int place_over(struct lk_walk *walk, uint64_t ino, struct lk_place *out)
{
	const struct lk_where *w = &walk->where;
	struct lk_slot slot = {.dir = (uint64_t)w->dir.inode.ino, .ord = LK_ORD_MAX + 1, .ino = ino, .type = S_IFDIR};
	int rc = place_named(walk->op, ino, out);

	if (rc || !lk_is_dir(&out->inode) || !lk_places_any(walk->op))
		return rc;
	slot.hash = lk_name_hash(walk->op->fs->name_secret, w->name, w->len);
	return lk_places_make(walk->op, w->dir.id, &slot, &out->id);
}

/* The component, as the overlay has it: true when it has, with *rc_out. */
static bool look_over(struct lk_walk *walk, struct lk_place *out, int *rc_out)
{
	const struct lk_overlay *o = walk->how->overlay;
	const struct lk_where *w = &walk->where;

	if (w->last == LK_LAST_DOTDOT && o->moved && (uint64_t)w->dir.inode.ino == o->moved && was_moved(walk)) {
		*rc_out = place_named(walk->op, o->parent, out);
		return true;
	}
	for (uint32_t i = 0; w->last == LK_LAST_NAME && i < o->count; i++) {
		if (is_entry(o, i, w)) {
			*rc_out = o->entries[i].ino ? place_over(walk, o->entries[i].ino, out) : LINKFS_ENOENT;
			return true;
		}
	}
	return false;
}

/* lk_walk_look() of the walk's component, with what the walk was told. */
static int look(struct lk_walk *walk, struct lk_place *out)
{
	static const enum lk_step_kind kinds[] = {[LK_LAST_NAME] = LK_STEP_ENTRY,
						  [LK_LAST_DOT] = LK_STEP_DOT,
						  [LK_LAST_DOTDOT] = LK_STEP_UP,
						  [LK_LAST_ROOT] = LK_STEP_DOT};
	const struct lk_walk_how *how = walk->how;
	enum lk_step_kind kind = kinds[walk->where.last];
	struct lk_slot slot = {0};
	bool above = walk->above > 0;
	int rc = 0;

	if (!how)
		return lk_walk_look(walk->op, &walk->where, &slot, out);
	if (!above && how->host && kind == LK_STEP_UP && walk->where.dir.inode.ino == LINKFS_ROOT_INO &&
	    !(how->leaves && walk->op->bits)) {
		walk->above = 1;
		above = true;
	} else if (above) {
		rc = look_above(walk);
	} else if (how->look ? !how->look(how->look_arg, walk, out, &rc)
			     : !how->overlay || !look_over(walk, out, &rc)) {
		rc = lk_walk_look(walk->op, &walk->where, &slot, out);
		if (rc == 0 && kind == LK_STEP_ENTRY && slot.bound)
			walk->covered = slot.ino;
	}
	if (above && rc == 0)
		*out = walk->where.dir;
	rc = tell(walk, above && kind != LK_STEP_DOT ? LK_STEP_HOST : kind, rc, out);
	walk->covered = 0;
	return rc;
}

int lk_walk_parent(struct lk_walk *walk)
{
	struct lk_place found;
	bool final;
	int rc;

	while (next(walk, &final)) {
		rc = search(walk);
		if (rc || final)
			return rc;
		rc = look(walk, &found);
		if (rc)
			return rc;
		if (lk_is_lnk(&found.inode)) {
			rc = expand(walk, &found);
			if (rc)
				return rc;
		} else if (lk_is_dir(&found.inode)) {
			walk->where.dir = found;
		} else {
			return LINKFS_ENOTDIR;
		}
	}
	return lk_is_dir(&walk->where.dir.inode) ? 0 : LINKFS_ENOTDIR;
}

int lk_walk_follow(struct lk_walk *walk, const struct lk_place *link)
{
	int rc;

	walk->need_dir |= walk->where.slash;
	rc = expand(walk, link);
	return rc ? rc : lk_walk_parent(walk);
}

int lk_resolve_how(struct lk_op *op, const struct linkfs_cred *cred, uint64_t at, const char *path, bool follow,
		   const struct lk_walk_how *how, struct lk_place *out)
{
	struct lk_walk walk;
	struct lk_place found;
	int rc = begin(&walk, op, cred, at, path, how);

	if (rc == 0)
		rc = lk_walk_parent(&walk);
	for (;;) {
		if (rc)
			return rc;
		rc = look(&walk, &found);
		if (rc)
			return rc;
		if (!lk_is_lnk(&found.inode) || !(follow || walk.where.slash || walk.need_dir))
			break;
		rc = lk_walk_follow(&walk, &found);
	}
	if (walk.above)
		return LINKFS_EXDEV;
	if ((walk.where.slash || walk.need_dir) && !lk_is_dir(&found.inode))
		return LINKFS_ENOTDIR;
	*out = found;
	return 0;
}

int lk_walk_to(struct lk_op *op, const struct linkfs_cred *cred, uint64_t at, const char *path, struct lk_where *out)
{
	struct lk_walk walk;
	int rc = lk_walk_begin(&walk, op, cred, at, path);

	if (rc == 0)
		rc = lk_walk_parent(&walk);
	if (rc == 0)
		*out = walk.where;
	return rc;
}

int lk_resolve(struct lk_op *op, const struct linkfs_cred *cred, uint64_t at, const char *path, bool follow,
	       struct lk_place *out)
{
	return lk_resolve_how(op, cred, at, path, follow, NULL, out);
}
