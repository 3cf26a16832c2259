/*
 * told.c - see told.h.
 * Layer: api.
 */
#include "told.h"

#include "paths.h"
#include "refs.h"

#include <sched.h>
#include <stdlib.h>
#include <string.h>

struct lk_told_item {
	struct lk_told_item *next;
	_Alignas(16) char answer[];
};

void *lk_told_add(struct lk_told *told, size_t size, size_t string_bytes, char **bytes_out)
{
	struct lk_told_item *item = malloc(sizeof(*item) + size + string_bytes);

	if (!item)
		return NULL;
	item->next = NULL;
	if (told->last)
		told->last->next = item;
	else
		told->first = item;
	told->last = item;
	memset(item->answer, 0, size);
	*bytes_out = item->answer + size;
	return item->answer;
}

const char *lk_told_string(char **bytes, const void *p, size_t len)
{
	char *copy = *bytes;

	if (len)
		memcpy(copy, p, len);
	copy[len] = 0;
	*bytes += len + 1;
	return copy;
}

int lk_told_give(struct lk_told *told, lk_give_fn *give, void *arg)
{
	int rc = 0;

	while (told->first) {
		struct lk_told_item *item = told->first;

		told->first = item->next;
		if (rc == 0)
			rc = give(arg, item->answer);
		free(item);
	}
	told->last = NULL;
	return rc;
}

static int give_none(void *arg, const void *answer)
{
	(void)arg;
	(void)answer;
	return 0;
}

void lk_told_done(struct lk_told *told)
{
	(void)lk_told_give(told, give_none, NULL);
}

int lk_told_slice(struct lk_op *op, int rc, struct lk_told *told, lk_give_fn *give, void *arg)
{
	rc = lk_op_end(op, rc);
	if (rc) {
		lk_told_done(told);
		return rc;
	}
	rc = lk_told_give(told, give, arg);
	(void)sched_yield();
	return rc;
}

int lk_host_parse(const struct linkfs_links_options *options, struct lk_host **out)
{
	const char *p = options ? options->mounted_at : NULL;
	struct lk_host *host;

	*out = NULL;
	if (!p)
		return 0;
	if (p[0] != '/' || strlen(p) >= LINKFS_PATH_MAX)
		return LINKFS_EINVAL;
	host = malloc(sizeof(*host));
	if (!host)
		return LINKFS_ENOMEM;
	host->depth = 0;
	for (p += strspn(p, "/"); *p; p += strspn(p, "/")) {
		size_t len = strcspn(p, "/");

		if (p[0] == '.' && (len == 1 || (len == 2 && p[1] == '.'))) {
			free(host);
			return LINKFS_EINVAL;
		}
		host->names[host->depth++] = (struct lk_bytes){p, len};
		p += len;
	}
	if (host->depth == 0)
		free(host);
	else
		*out = host;
	return 0;
}

int lk_link_of(struct lk_op *op, struct lk_paths *paths, const struct lk_link_name *name, struct linkfs_link *out,
	       size_t *bytes_out)
{
	struct lk_inode inode;
	struct lk_bytes path;
	int rc = lk_paths_name(paths, name->node, name->name, name->len, &path);

	if (rc == 0)
		rc = lk_inode_get(op, name->ino, &inode);
	if (rc == 0)
		rc = lk_symlink_text(op, &inode, name->node, &out->text, &out->text_len);
	if (rc == LINKFS_ENAMETOOLONG) { /* a tracked link's; nobody can read it */
		out->text = "";
		out->text_len = 0;
		rc = 0;
	}
	if (rc)
		return rc;
	out->path = path.p;
	out->path_len = path.len;
	out->dir = op->bits | name->dir;
	out->ino = op->bits | name->ino;
	*bytes_out = out->path_len + out->text_len + 2;
	return 0;
}

/* Whether the link's path comes through directory top. */
static int is_below(struct lk_op *op, uint64_t top, const struct lk_link_name *name, bool *out)
{
	struct lk_place at = {.id = name->node};
	int rc;

	if (!lk_places_any(op))
		return lk_dirent_above(op, top, name->dir, out);
	rc = lk_inode_get(op, name->node, &at.inode);
	while (rc == 0 && (uint64_t)at.inode.ino != top && at.inode.ino != LINKFS_ROOT_INO)
		rc = lk_place_parent(op, &at, &at);
	*out = (uint64_t)at.inode.ino == top;
	return rc == LINKFS_ENOENT ? 0 : rc;
}

int lk_link_dangles(struct lk_op *op, struct lk_dangling_ask *ask, const struct lk_link_name *name,
		    struct lk_link_end *end, struct lk_fault *fault, bool *out)
{
	struct lk_walk_how how = {.host = ask->host};
	int rc = 0;

	*out = false;
	if (ask->node != name->node) {
		rc = is_below(op, ask->top, name, &ask->below);
		ask->node = rc ? 0 : name->node;
	}
	if (rc || !ask->below)
		return rc;
	rc = lk_link_walk(op, ask->cred, name, &how, end, fault);
	*out = rc == 0 && end->error && end->error != LINKFS_EACCES;
	return rc;
}

void lk_link_copy(struct linkfs_link *link, char **bytes)
{
	link->path = lk_told_string(bytes, link->path, link->path_len);
	link->text = lk_told_string(bytes, link->text, link->text_len);
}
