/*
 * links.c - names, referrers, dangling links (linkfs_links.h).
 * Layer: api. Long answers are made in slices, each an operation of its own, so that the volume's lock is never held for long.
 */
#include "told.h"

#include "binds.h"
#include "paths.h"
#include "refs.h"
#include "track.h"
#include "views.h"

#include <stdlib.h>

/* ---- names ------------------------------------------------------------------------------------------------ */

#define NAMES 128u

struct names {
	struct lk_op *op;
	uint64_t ino, dir, cookie; /* dir, cookie: of the last name read */
	uint64_t hidden;
	bool started, binds; /* binds: the names are done, now those */
	struct lk_dirent rows[NAMES];
	uint32_t count;
	struct lk_told told;
};

static int names_row(void *arg, const void *record)
{
	const struct lk_dirent *d = record;
	struct names *n = arg;
	char *copy = lk_op_alloc(n->op, d->name.len);

	if (!copy)
		return LINKFS_ENOMEM;
	for (size_t i = 0; i < d->name.len; i++)
		copy[i] = ((const char *)d->name.p)[i];
	n->rows[n->count] = *d;
	n->rows[n->count++].name.p = copy;
	return 0;
}

/* After the rows read. */
static void names_go_on(struct names *n, bool *more_out)
{
	n->dir = (uint64_t)n->rows[NAMES - 1].dir;
	n->cookie = lk_dirent_cookie(&n->rows[NAMES - 1]);
	*more_out = true;
}

static int tell_path(struct names *n, const struct lk_bytes *path, uint64_t dir, size_t len, uint32_t flags)
{
	struct linkfs_name *out;
	char *bytes;

	out = lk_told_add(&n->told, sizeof(*out), path->len + 1, &bytes);
	if (!out)
		return LINKFS_ENOMEM;
	out->path = lk_told_string(&bytes, path->p, path->len);
	out->path_len = path->len;
	out->dir = dir;
	out->name = out->path + path->len - len;
	out->name_len = len;
	out->flags = flags;
	return 0;
}

/* A name, at each path to its directory. */
struct told_name {
	struct names *n;
	struct lk_paths *paths;
	const struct lk_dirent *d;
	uint32_t flags;
	bool any;
};

static int tell_at(void *arg, uint64_t node)
{
	struct told_name *t = arg;
	struct lk_bytes path;
	int rc = lk_paths_name(t->paths, node, t->d->name.p, t->d->name.len, &path);

	t->any = true;
	if (rc == LINKFS_EACCES || rc == LINKFS_ENOENT) {
		t->n->hidden++;
		return 0;
	}
	return rc ? rc : tell_path(t->n, &path, t->n->op->bits | (uint64_t)t->d->dir, t->d->name.len, t->flags);
}

static int tell_name(struct names *n, struct lk_paths *paths, const struct lk_dirent *d, uint32_t flags)
{
	struct told_name told = {n, paths, d, flags, false};
	struct lk_slot slot = {.dir = (uint64_t)d->dir, .hash = d->hash, .ord = d->ord};
	int rc = flags ? 0 : lk_bind_find(n->op, &slot);

	if (rc == 0 && !slot.bound)
		rc = lk_places_routes(n->op, (uint64_t)d->dir, tell_at, &told);
	/* Covered by a bind, or in a directory that was removed, which is damage. */
	if (rc == 0 && !told.any)
		n->hidden++;
	return rc;
}

static int bind_row(void *arg, const void *record)
{
	const struct lk_bind *b = record;
	struct names *n = arg;

	n->rows[n->count++] = (struct lk_dirent){.dir = b->dir, .hash = b->hash, .ord = b->ord};
	return 0;
}

/* The entries at which binds show it. */
static int binds_slice(struct names *n, struct lk_paths *paths, bool *more_out)
{
	struct lk_bind after = {
		.dir = (int64_t)n->dir, .hash = (int64_t)(n->cookie >> 8), .ord = (int64_t)(n->cookie & 255)};
	int rc = lk_bind_scan(n->op, n->ino & LK_INO_MASK, n->dir ? &after : NULL, NAMES, bind_row, n);

	for (uint32_t i = 0; rc == 0 && i < n->count; i++) {
		rc = lk_txn_get(n->op, LK_T_DIRENT, &n->rows[i], &n->rows[i]);
		if (rc == 0)
			rc = tell_name(n, paths, &n->rows[i], LINKFS_NAME_BIND);
	}
	if (rc == 0 && n->count == NAMES)
		names_go_on(n, more_out);
	return rc == LINKFS_ENOENT ? LINKFS_ECORRUPT : rc;
}

/* The next names; *more_out: there may be others. */
static int names_slice(struct names *n, struct lk_op *op, const struct linkfs_cred *cred, bool *more_out)
{
	struct lk_paths paths = {.op = op, .cred = cred};
	const struct lk_bytes root = {"/", 1};
	struct lk_inode inode;
	int rc = lk_inode_get(op, n->ino, &inode);

	n->op = op;
	n->count = 0;
	*more_out = false;
	/* Gone between two slices. */
	if (rc == LINKFS_ESTALE && n->started)
		return 0;
	if (rc)
		return rc;
	n->ino = op->bits | (uint64_t)inode.ino;
	n->started = true;
	if (inode.ino == (int64_t)LINKFS_ROOT_INO)
		return tell_path(n, &root, 0, 0, 0);
	if (n->binds) {
		rc = binds_slice(n, &paths, more_out);
		lk_paths_done(&paths);
		return rc;
	}
	rc = lk_dirent_names_after(op, (uint64_t)inode.ino, n->dir, n->cookie, NAMES, names_row, n);
	for (uint32_t i = 0; rc == 0 && i < n->count; i++)
		rc = tell_name(n, &paths, &n->rows[i], 0);
	if (rc == 0 && n->count == NAMES) {
		names_go_on(n, more_out);
	} else if (rc == 0 && lk_binds_any(op)) {
		n->binds = *more_out = true;
		n->dir = n->cookie = 0;
	}
	lk_paths_done(&paths);
	return rc;
}

struct name_listener {
	linkfs_name_fn *fn;
	void *arg;
};

static int give_name(void *arg, const void *answer)
{
	const struct name_listener *l = arg;

	return l->fn(l->arg, answer);
}

/* path NULL: of ino at. */
static int list_names(struct linkfs_volume *volume, const struct linkfs_cred *cred, uint64_t at, const char *path,
		      bool follow, struct linkfs_stat *out, struct name_listener *listener, uint64_t *hidden_out)
{
	struct names *n = calloc(1, sizeof(*n));
	struct lk_place found;
	struct lk_op op;
	bool more = true;
	int rc = n ? 0 : LINKFS_ENOMEM;

	cred = lk_cred(cred);
	if (n)
		n->ino = at;
	while (rc == 0 && more) {
		rc = lk_op_begin(lk_volume_fs(volume), &op, 0);
		if (rc)
			break;
		if (path && !n->started) {
			rc = lk_resolve(&op, cred, at, path, follow, &found);
			n->ino = rc ? 0 : found.id;
			if (rc == 0 && out)
				rc = lk_stat(&op, &found.inode, found.id, out);
		}
		if (rc == 0)
			rc = names_slice(n, &op, cred, &more);
		rc = lk_told_slice(&op, rc, &n->told, give_name, listener);
	}
	if (rc >= 0 && hidden_out)
		*hidden_out = n->hidden;
	free(n);
	return lk_told_result(rc);
}

int linkfs_node_names(struct linkfs_volume *volume, const struct linkfs_cred *cred, uint64_t ino, linkfs_name_fn *fn,
		      void *arg, uint64_t *hidden_out)
{
	struct name_listener listener = {fn, arg};

	return list_names(volume, cred, ino, NULL, false, NULL, &listener, hidden_out);
}

int linkfs_path_names(struct linkfs_volume *volume, const struct linkfs_cred *cred, uint64_t at, const char *path,
		      uint32_t flags, struct linkfs_stat *out, linkfs_name_fn *fn, void *arg, uint64_t *hidden_out)
{
	struct name_listener listener = {fn, arg};

	if (flags & ~LINKFS_NOFOLLOW)
		return LINKFS_EINVAL;
	return list_names(volume, cred, at, path, !(flags & LINKFS_NOFOLLOW), out, &listener, hidden_out);
}

/* ---- referrers -------------------------------------------------------------------------------------------- */

struct referrers {
	struct lk_told told;
	struct lk_paths paths;
	linkfs_referrer_fn *fn;
	void *arg;
};

static int tell_referrer(void *arg, struct lk_op *op, const struct lk_link_name *name, const struct lk_link_end *end,
			 const struct lk_link_end *after)
{
	struct referrers *r = arg;
	struct linkfs_link link;
	struct linkfs_referrer *out;
	size_t size = 0;
	char *bytes;
	int rc = lk_link_of(op, &r->paths, name, &link, &size);

	(void)after;
	if (rc)
		return rc == LINKFS_EACCES || rc == LINKFS_ENOENT ? 0 : rc;
	out = lk_told_add(&r->told, sizeof(*out), size, &bytes);
	if (!out)
		return LINKFS_ENOMEM;
	out->link = link;
	lk_link_copy(&out->link, &bytes);
	out->end = (struct linkfs_end){end->error, end->error ? 0 : op->bits | end->ino, end->expansions};
	return 0;
}

static int give_referrer(void *arg, const void *answer)
{
	const struct referrers *r = arg;

	return r->fn(r->arg, answer);
}

int linkfs_node_referrers(struct linkfs_volume *volume, const struct linkfs_cred *cred, uint64_t ino,
			  const struct linkfs_links_options *options, linkfs_referrer_fn *fn, void *arg)
{
	struct lk_refs_ask ask = {.kind = LK_REFS_END, .ino = ino};
	struct referrers r = {.fn = fn, .arg = arg};
	struct linkfs_stat there = {0};
	struct lk_refs *refs = NULL;
	struct lk_host *host = NULL;
	struct lk_op op;
	bool more = true;
	int rc;

	if (options && options->flags & ~LINKFS_LINKS_THROUGH)
		return LINKFS_EINVAL;
	if (options && options->flags & LINKFS_LINKS_THROUGH)
		ask.kind = LK_REFS_THROUGH;
	cred = lk_cred(cred);
	rc = linkfs_node_getattr(volume, ino, &there);
	ask.ino = there.ino & LK_INO_MASK;
	if (rc == 0)
		rc = lk_host_parse(options, &host);
	ask.host = host;
	if (rc == 0)
		rc = lk_refs_new(&ask, &refs);
	while (rc == 0 && more) {
		rc = lk_op_begin(lk_volume_fs(volume), &op, 0);
		if (rc)
			break;
		r.paths = (struct lk_paths){.op = &op, .cred = cred};
		rc = lk_view_see(&op, there.ino, &ask.ino);
		if (rc == 0)
			rc = lk_refs_step(refs, &op, cred, tell_referrer, &r, &more);
		lk_paths_done(&r.paths);
		rc = lk_told_slice(&op, rc, &r.told, give_referrer, &r);
	}
	lk_refs_free(refs);
	free(host);
	return lk_told_result(rc);
}

int linkfs_path_referrers(struct linkfs_volume *volume, const struct linkfs_cred *cred, uint64_t at, const char *path,
			  uint32_t flags, const struct linkfs_links_options *options, struct linkfs_stat *out,
			  linkfs_referrer_fn *fn, void *arg)
{
	struct linkfs_stat found;
	int rc = flags & ~LINKFS_NOFOLLOW ? LINKFS_EINVAL
					  : linkfs_path_stat(volume, cred, at, path, flags | LINKFS_HOLD, &found);

	if (rc)
		return rc;
	rc = linkfs_node_referrers(volume, cred, found.ino, options, fn, arg);
	lk_call_unhold(lk_volume_fs(volume), found.node, 1);
	if (rc == 0 && out)
		*out = found;
	return rc;
}

/* ---- dangling --------------------------------------------------------------------------------------------- */

struct dangling {
	struct lk_told told;
	struct lk_paths paths;
	struct lk_dangling_ask ask;
	linkfs_dangling_fn *fn;
	void *arg;
};

static int tell_dangling(struct dangling *d, struct lk_op *op, const struct lk_link_name *name,
			 const struct lk_link_end *end, const struct lk_fault *fault)
{
	struct linkfs_dangling *out;
	struct linkfs_link link;
	struct lk_bytes path, dir = {"", 0};
	size_t size = 0;
	char *bytes;
	int rc = lk_link_of(op, &d->paths, name, &link, &size);

	if (rc == 0 && !fault->host)
		rc = lk_paths_dir(&d->paths, fault->dir, &dir);
	if (rc)
		return rc == LINKFS_EACCES || rc == LINKFS_ENOENT ? 0 : rc;
	path = dir;
	out = lk_told_add(&d->told, sizeof(*out), size + path.len + fault->len + 2, &bytes);
	if (!out)
		return LINKFS_ENOMEM;
	out->link = link;
	lk_link_copy(&out->link, &bytes);
	out->end = (struct linkfs_end){end->error, 0, end->expansions};
	out->fault_dir = lk_told_string(&bytes, path.p, path.len);
	out->fault_name = lk_told_string(&bytes, fault->name, fault->len);
	out->fault_name_len = fault->len;
	return 0;
}

static int look_at_link(void *arg, struct lk_op *op, const struct lk_link_name *name)
{
	struct dangling *d = arg;
	struct lk_link_end end;
	struct lk_fault fault = {0};
	bool dangles;
	int rc = lk_link_dangles(op, &d->ask, name, &end, &fault, &dangles);

	return rc || !dangles ? rc : tell_dangling(d, op, name, &end, &fault);
}

static int give_dangling(void *arg, const void *answer)
{
	const struct dangling *d = arg;

	return d->fn(d->arg, answer);
}

int linkfs_node_dangling(struct linkfs_volume *volume, const struct linkfs_cred *cred, uint64_t ino,
			 const struct linkfs_links_options *options, linkfs_dangling_fn *fn, void *arg)
{
	struct dangling d = {.ask = {.cred = lk_cred(cred)}, .fn = fn, .arg = arg};
	struct lk_link_name after = {0};
	struct linkfs_stat st = {0};
	struct lk_host *host = NULL;
	struct lk_op op;
	bool more = true;
	int rc = options && options->flags ? LINKFS_EINVAL : linkfs_node_getattr(volume, ino, &st);

	if (rc == 0 && !S_ISDIR(st.mode))
		rc = LINKFS_ENOTDIR;
	if (rc == 0)
		rc = lk_host_parse(options, &host);
	d.ask.host = host;
	while (rc == 0 && more) {
		rc = lk_op_begin(lk_volume_fs(volume), &op, 0);
		if (rc)
			break;
		d.paths = (struct lk_paths){.op = &op, .cred = d.ask.cred};
		d.ask.node = 0; /* it may have moved meanwhile */
		rc = lk_view_see(&op, st.ino, &d.ask.top);
		if (rc == 0)
			rc = lk_links_step(&op, &after, look_at_link, &d, &more);
		lk_paths_done(&d.paths);
		rc = lk_told_slice(&op, rc, &d.told, give_dangling, &d);
	}
	free(host);
	return lk_told_result(rc);
}

int linkfs_path_dangling(struct linkfs_volume *volume, const struct linkfs_cred *cred, uint64_t at, const char *path,
			 const struct linkfs_links_options *options, linkfs_dangling_fn *fn, void *arg)
{
	struct linkfs_stat found;
	int rc = linkfs_path_stat(volume, cred, at, path, 0, &found);

	return rc ? rc : linkfs_node_dangling(volume, cred, found.ino, options, fn, arg);
}
