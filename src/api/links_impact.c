/*
 * links_impact.c - what a removal or a rename would do to symlinks (linkfs_links.h).
 * Layer: api.
 */
#include "told.h"

#include "paths.h"
#include "refs.h"

#include <stdlib.h>

struct impact {
	struct lk_told told;
	struct lk_paths paths;
	linkfs_impact_fn *fn;
	void *arg;
};

static int tell_impact(void *arg, struct lk_op *op, const struct lk_link_name *name, const struct lk_link_end *before,
		       const struct lk_link_end *after)
{
	struct impact *i = arg;
	struct linkfs_impact *out;
	struct linkfs_link link;
	size_t size = 0;
	char *bytes;
	int rc = lk_link_of(op, &i->paths, name, &link, &size);

	if (rc)
		return rc == LINKFS_EACCES || rc == LINKFS_ENOENT ? 0 : rc;
	out = lk_told_add(&i->told, sizeof(*out), size, &bytes);
	if (!out)
		return LINKFS_ENOMEM;
	out->link = link;
	lk_link_copy(&out->link, &bytes);
	out->before = (struct linkfs_end){before->error, before->ino, before->expansions};
	out->after = (struct linkfs_end){after->error, after->ino, after->expansions};
	return 0;
}

static int give_impact(void *arg, const void *answer)
{
	const struct impact *i = arg;

	return i->fn(i->arg, answer);
}

/* A name by directory, or by path. */
struct named {
	uint64_t dir;
	const char *path; /* NULL: name */
	const char *name;
	size_t len;
};

static int where_of(struct lk_op *op, const struct linkfs_cred *cred, const struct named *named, struct lk_where *out)
{
	return named->path ? lk_walk_to(op, cred, named->dir, named->path, out)
			   : lk_where_at(op, cred, named->dir, named->name, named->len, out);
}

/* to NULL: a removal. *refs_out NULL: nothing would change. */
static int begin(struct linkfs_volume *volume, const struct linkfs_cred *cred, const struct named *from,
		 const struct named *to, const struct lk_host *host, struct lk_refs **refs_out)
{
	struct lk_refs_ask ask = {.host = host};
	struct lk_where a, b;
	bool same = false;
	struct lk_op op;
	int rc = lk_op_begin(lk_volume_fs(volume), &op, 0);

	if (rc)
		return rc;
	rc = where_of(&op, cred, from, &a);
	if (rc == 0 && to)
		rc = where_of(&op, cred, to, &b);
	if (rc == 0 && op.bits)
		rc = LINKFS_EROFS;
	if (rc == 0)
		rc = to ? lk_refs_renaming(&op, &a, &b, &ask, &same) : lk_refs_removal(&op, &a, &ask);
	if (rc == 0 && !same)
		rc = lk_refs_new(&ask, refs_out);
	return lk_op_end(&op, rc);
}

static int impact(struct linkfs_volume *volume, const struct linkfs_cred *cred, const struct named *from,
		  const struct named *to, const struct linkfs_links_options *options, linkfs_impact_fn *fn, void *arg)
{
	struct impact i = {.fn = fn, .arg = arg};
	struct lk_refs *refs = NULL;
	struct lk_host *host = NULL;
	struct lk_op op;
	bool more = true;
	int rc = options && options->flags ? LINKFS_EINVAL : lk_host_parse(options, &host);

	cred = lk_cred(cred);
	if (rc == 0)
		rc = begin(volume, cred, from, to, host, &refs);
	while (rc == 0 && more && refs) {
		rc = lk_op_begin(lk_volume_fs(volume), &op, 0);
		if (rc)
			break;
		i.paths = (struct lk_paths){.op = &op, .cred = cred};
		rc = lk_refs_step(refs, &op, cred, tell_impact, &i, &more);
		lk_paths_done(&i.paths);
		rc = lk_told_slice(&op, rc, &i.told, give_impact, &i);
	}
	lk_refs_free(refs);
	free(host);
	return lk_told_result(rc);
}

int linkfs_node_impact_remove(struct linkfs_volume *volume, const struct linkfs_cred *cred, uint64_t dir,
			      const char *name, size_t name_len, const struct linkfs_links_options *options,
			      linkfs_impact_fn *fn, void *arg)
{
	struct named from = {.dir = dir, .name = name, .len = name_len};

	return impact(volume, cred, &from, NULL, options, fn, arg);
}

int linkfs_node_impact_rename(struct linkfs_volume *volume, const struct linkfs_cred *cred, uint64_t dir,
			      const char *name, size_t name_len, uint64_t new_dir, const char *new_name, size_t new_len,
			      const struct linkfs_links_options *options, linkfs_impact_fn *fn, void *arg)
{
	struct named from = {.dir = dir, .name = name, .len = name_len};
	struct named to = {.dir = new_dir, .name = new_name, .len = new_len};

	return impact(volume, cred, &from, &to, options, fn, arg);
}

int linkfs_path_impact_remove(struct linkfs_volume *volume, const struct linkfs_cred *cred, uint64_t at,
			      const char *path, const struct linkfs_links_options *options, linkfs_impact_fn *fn,
			      void *arg)
{
	struct named from = {.dir = at, .path = path};

	return impact(volume, cred, &from, NULL, options, fn, arg);
}

int linkfs_path_impact_rename(struct linkfs_volume *volume, const struct linkfs_cred *cred, uint64_t old_at,
			      const char *old_path, uint64_t new_at, const char *new_path,
			      const struct linkfs_links_options *options, linkfs_impact_fn *fn, void *arg)
{
	struct named from = {.dir = old_at, .path = old_path};
	struct named to = {.dir = new_at, .path = new_path};

	return impact(volume, cred, &from, &to, options, fn, arg);
}
