/*
 * links_fix.c - dangling links that lead again where they led (linkfs_links.h).
 * Layer: api. The links are found in slices, as by linkfs_node_dangling(); each is then judged and changed in an operation of its own.
 */
#include "call.h"
#include "told.h"

#include "paths.h"
#include "retarget.h"

#include <stdlib.h>
#include <string.h>

struct fixing {
	struct linkfs_volume *volume;
	struct lk_dangling_ask ask;
	bool dry;
	struct lk_told names;
	linkfs_fix_fn *fn;
	void *arg;
};

/* A dangling link, for later. */
static int gather(void *arg, struct lk_op *op, const struct lk_link_name *name)
{
	struct fixing *f = arg;
	struct lk_link_name *out;
	struct lk_link_end end;
	char *bytes;
	bool dangles;
	int rc = lk_link_dangles(op, &f->ask, name, &end, NULL, &dangles);

	if (rc || !dangles)
		return rc;
	out = lk_told_add(&f->names, sizeof(*out), name->len + 1, &bytes);
	if (!out)
		return LINKFS_ENOMEM;
	*out = *name;
	out->name = lk_told_string(&bytes, name->name, name->len);
	return 0;
}

/* A path, when the caller may know it. */
static int known(int rc, const struct lk_bytes *path, const char **out)
{
	if (rc == 0)
		*out = path->p;
	return rc == LINKFS_EACCES || rc == LINKFS_ENOENT || rc == LINKFS_ESTALE ? 0 : rc;
}

/* Where what moved was, and is. */
static int tell_move(struct lk_op *op, struct lk_paths *paths, const struct lk_moved *moved, struct linkfs_fix *out)
{
	struct lk_dirent first;
	struct lk_bytes from = {NULL, 0}, to = {NULL, 0};
	int rc;

	if (!moved->time_ns)
		return 0;
	out->moved_ns = moved->time_ns;
	rc = known(lk_paths_name(paths, (uint64_t)moved->dir, moved->name.p, moved->name.len, &from), &from,
		   &out->moved_from);
	if (rc == 0)
		rc = lk_dirent_first(op, (uint64_t)moved->ino, &first);
	if (rc)
		return rc == LINKFS_ENOENT ? 0 : rc;
	return known(lk_paths_name(paths, (uint64_t)first.dir, first.name.p, first.name.len, &to), &to, &out->moved_to);
}

/* One link: in op, which is ended. */
static int fix_one(struct fixing *f, const struct lk_link_name *name)
{
	struct lk_retarget done;
	struct linkfs_fix out = {.result = LINKFS_FIX_NONE};
	struct lk_paths paths;
	struct lk_told told = {0};
	struct linkfs_fix *copy = NULL;
	size_t size = 0;
	char *bytes;
	struct lk_op op;
	int rc = f->dry ? lk_op_begin(lk_volume_fs(f->volume), &op, 0) : lk_call_begin(f->volume, &op, f->ask.cred, 0);

	if (rc)
		return rc;
	paths = (struct lk_paths){.op = &op, .cred = f->ask.cred};
	rc = lk_link_of(&op, &paths, name, &out.link, &size);
	if (rc == 0)
		rc = lk_retarget(&op, f->ask.cred, name, f->ask.host, f->dry, &done);
	if (rc == 0)
		rc = tell_move(&op, &paths, &done.moved, &out);
	if (rc == 0 && done.result != LINKFS_FIX_NONE) {
		size_t from = out.moved_from ? strlen(out.moved_from) + 1 : 0;
		size_t to = out.moved_to ? strlen(out.moved_to) + 1 : 0;

		copy = lk_told_add(&told, sizeof(*copy), size + done.len + 1 + from + to, &bytes);
		rc = copy ? 0 : LINKFS_ENOMEM;
	}
	if (rc == 0 && copy) {
		*copy = out;
		copy->result = done.result;
		copy->error = done.error;
		lk_link_copy(&copy->link, &bytes);
		copy->text = done.text ? lk_told_string(&bytes, done.text, done.len) : NULL;
		copy->text_len = done.len;
		if (out.moved_from)
			copy->moved_from = lk_told_string(&bytes, out.moved_from, strlen(out.moved_from));
		if (out.moved_to)
			copy->moved_to = lk_told_string(&bytes, out.moved_to, strlen(out.moved_to));
	}
	lk_paths_done(&paths);
	rc = lk_op_end(&op, rc);
	if (rc == 0 && copy)
		rc = f->fn(f->arg, copy);
	lk_told_done(&told);
	/* Gone meanwhile, or nothing that the caller may know. */
	return rc == LINKFS_EACCES || rc == LINKFS_ENOENT || rc == LINKFS_ESTALE ? 0 : rc;
}

static int give(void *arg, const void *answer)
{
	return fix_one(arg, answer);
}

int linkfs_node_fix_dangling(struct linkfs_volume *volume, const struct linkfs_cred *cred, uint64_t ino,
			     const struct linkfs_links_options *options, linkfs_fix_fn *fn, void *arg)
{
	struct fixing f = {.volume = volume, .ask = {.cred = lk_cred(cred)}, .fn = fn, .arg = arg};
	struct lk_link_name after = {0};
	struct linkfs_stat st = {0};
	struct lk_host *host = NULL;
	struct lk_op op;
	bool more = true;
	int rc = options && options->flags & ~LINKFS_LINKS_DRY_RUN ? LINKFS_EINVAL
								   : linkfs_node_getattr(volume, ino, &st);

	if (rc == 0 && !S_ISDIR(st.mode))
		rc = LINKFS_ENOTDIR;
	if (rc == 0 && st.ino > (uint64_t)LK_INO_MAX)
		rc = LINKFS_EROFS;
	f.ask.top = st.ino;
	if (rc == 0)
		rc = lk_host_parse(options, &host);
	f.ask.host = host;
	f.dry = options && options->flags & LINKFS_LINKS_DRY_RUN;
	while (rc == 0 && more) {
		rc = lk_op_begin(lk_volume_fs(volume), &op, 0);
		if (rc)
			break;
		f.ask.node = 0; /* it may have moved meanwhile */
		rc = lk_links_step(&op, &after, gather, &f, &more);
		rc = lk_told_slice(&op, rc, &f.names, give, &f);
	}
	free(host);
	return lk_told_result(rc);
}

int linkfs_path_fix_dangling(struct linkfs_volume *volume, const struct linkfs_cred *cred, uint64_t at,
			     const char *path, const struct linkfs_links_options *options, linkfs_fix_fn *fn, void *arg)
{
	struct linkfs_stat found;
	int rc = linkfs_path_stat(volume, cred, at, path, 0, &found);

	return rc ? rc : linkfs_node_fix_dangling(volume, cred, found.ino, options, fn, arg);
}
