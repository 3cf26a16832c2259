/*
 * tree.c - a tree as text: one line per name, in the order of names, which a volume and the model give alike. What is
 * left out: times (they come from the clock, and lie in the record that holds what is compared here).
 */
#include "power.h"

#include <limits.h>
#include <linkfs_snapshots.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <xxhash.h>

void tree_add(struct lk_buf *out, const struct tree_line *l)
{
	char text[256];
	int n = snprintf(text, sizeof(text), " %06o nlink %u size %llu id %u owner %u:%u sum %016llx xattrs %016llx\n",
			 l->mode, l->nlink, (unsigned long long)l->size, l->number, l->uid, l->gid,
			 (unsigned long long)l->sum, (unsigned long long)l->xattrs);
	if (n < 0 || lk_buf_append(out, l->path, strlen(l->path)) || lk_buf_append(out, text, (size_t)n))
		abort();
}

uint64_t tree_xattr_sum(const char *name, const void *value, size_t len)
{
	return XXH3_64bits_withSeed(value, len, XXH3_64bits(name, strlen(name)));
}

struct walk {
	struct linkfs_volume *volume;
	struct lk_buf *out;
	struct linkfs_message *why;
	char path[PATH_MAX];
	uint64_t *inos; /* by number - 1 */
	uint32_t ino_count, ino_cap;
	uint8_t *content;
	unsigned depth;
};

struct child {
	char name[256];
	struct linkfs_stat st;
};

struct children {
	struct child *all;
	size_t count;
	uint64_t cookie;
	size_t got;
};

static int take_child(void *arg, const struct linkfs_entry *e)
{
	struct children *c = arg;
	c->cookie = e->cookie;
	c->got++;
	if (!e->stat) /* . and .. */
		return 0;
	void *p = realloc(c->all, (c->count + 1) * sizeof(*c->all));
	if (!p)
		abort();
	c->all = p;
	struct child *child = &c->all[c->count++];
	memcpy(child->name, e->name, e->name_len);
	child->name[e->name_len] = 0;
	child->st = *e->stat;
	return 0;
}

static int by_name(const void *a, const void *b)
{
	return strcmp(((const struct child *)a)->name, ((const struct child *)b)->name);
}

static uint32_t number_of(struct walk *w, uint64_t ino)
{
	for (uint32_t i = 0; i < w->ino_count; i++) {
		if (w->inos[i] == ino)
			return i + 1;
	}
	if (w->ino_count == w->ino_cap) {
		w->ino_cap = w->ino_cap ? 2 * w->ino_cap : 64;
		w->inos = realloc(w->inos, w->ino_cap * sizeof(*w->inos));
		if (!w->inos)
			abort();
	}
	w->inos[w->ino_count++] = ino;
	return w->ino_count;
}

static int failed(struct walk *w, int r, const char *call)
{
	return lk_fail(w->why, r, "%s of %s: %s", call, w->path, linkfs_error_name(r));
}

static int xattrs(struct walk *w, uint64_t ino, uint64_t *sum)
{
	char list[4096];
	size_t len = 0;
	int r = linkfs_node_listxattr(w->volume, NULL, ino, list, sizeof(list), &len);
	if (r)
		return failed(w, r, "listxattr");
	for (const char *name = list; name < list + len; name += strlen(name) + 1) {
		static uint8_t value[LINKFS_XATTR_SIZE_MAX];
		size_t n = 0;
		r = linkfs_node_getxattr(w->volume, NULL, ino, name, value, sizeof(value), &n);
		if (r)
			return failed(w, r, "getxattr");
		*sum += tree_xattr_sum(name, value, n);
	}
	return 0;
}

static int content(struct walk *w, const struct linkfs_stat *st, uint64_t *sum)
{
	size_t done = 0;
	int r;
	if (S_ISLNK(st->mode))
		r = linkfs_node_readlink(w->volume, st->ino, (char *)w->content, OP_FILE_MAX, &done);
	else
		r = linkfs_node_read(w->volume, st->ino, 0, w->content, OP_FILE_MAX, &done);
	if (r)
		return failed(w, r, "read");
	if (done != st->size)
		return lk_fail(w->why, LINKFS_EIO, "%s has %llu bytes, and %zu can be read", w->path,
			       (unsigned long long)st->size, done);
	*sum = XXH3_64bits(w->content, done);
	return 0;
}

static int line(struct walk *w, const struct linkfs_stat *st, uint32_t number)
{
	struct tree_line l = {w->path, st->mode, st->nlink, st->uid, st->gid, number, 0, 0, 0};
	int r = 0;
	if (S_ISREG(st->mode) || S_ISLNK(st->mode)) {
		l.size = st->size;
		r = content(w, st, &l.sum);
	}
	if (r == 0 && (S_ISREG(st->mode) || S_ISDIR(st->mode)))
		r = xattrs(w, st->ino, &l.xattrs);
	if (r == 0)
		tree_add(w->out, &l);
	return r;
}

static int walk(struct walk *w, uint64_t dir, size_t len)
{
	struct children c = {0};
	int r = 0;
	if (w->depth == 40)
		return lk_fail(w->why, LINKFS_ELOOP, "%s is too deep", w->path);
	do {
		c.got = 0;
		r = linkfs_node_readdir(w->volume, NULL, dir, c.cookie, LINKFS_READDIR_STAT, take_child, &c);
	} while (r == 0 && c.got);
	if (r)
		r = failed(w, r, "readdir");
	if (c.count)
		qsort(c.all, c.count, sizeof(*c.all), by_name);
	w->depth++;
	for (size_t i = 0; i < c.count && r == 0; i++) {
		const struct linkfs_stat *st = &c.all[i].st;
		(void)snprintf(w->path + len, sizeof(w->path) - len, "/%s", c.all[i].name);
		r = line(w, st, number_of(w, st->ino));
		if (r == 0 && S_ISDIR(st->mode))
			r = walk(w, st->ino, strlen(w->path));
		w->path[len] = 0;
	}
	w->depth--;
	free(c.all);
	return r;
}

/* The tree of root; its lines begin with prefix. */
static int walk_tree(struct walk *w, uint64_t root, const char *prefix)
{
	struct linkfs_stat st;
	w->ino_count = 0;
	(void)snprintf(w->path, sizeof(w->path), "%s/", prefix);
	int r = linkfs_node_getattr(w->volume, root, &st);
	r = r ? failed(w, r, "getattr") : line(w, &st, 0);
	w->path[strlen(prefix)] = 0;
	return r ? r : walk(w, root, strlen(prefix));
}

struct past {
	struct {
		char name[256];
		uint64_t id;
	} all[64];
	size_t count;
};

static int take_snapshot(void *arg, const struct linkfs_snapshot *s)
{
	struct past *p = arg;
	if (p->count == LK_ARRAY_LEN(p->all))
		abort();
	memcpy(p->all[p->count].name, s->name, s->name_len + 1);
	p->all[p->count++].id = s->id;
	return 0;
}

static int walk_snapshots(struct walk *w)
{
	struct past p = {.count = 0};
	char prefix[300];
	(void)snprintf(w->path, sizeof(w->path), "the volume");
	int r = linkfs_snapshot_list(w->volume, take_snapshot, &p);
	if (r)
		return failed(w, r, "list of snapshots");
	for (size_t i = 0; i < p.count && r == 0; i++) {
		struct linkfs_stat root;
		(void)snprintf(prefix, sizeof(prefix), "@%s", p.all[i].name);
		r = linkfs_snapshot_root(w->volume, p.all[i].id, 0, &root);
		r = r ? failed(w, r, "root of a snapshot") : walk_tree(w, root.node, prefix);
	}
	return r;
}

int tree_of_volume(struct linkfs_volume *volume, struct lk_buf *out, struct linkfs_message *why)
{
	struct walk w = {.volume = volume, .out = out, .why = why, .content = malloc(OP_FILE_MAX)};
	if (!w.content)
		abort();
	int r = walk_tree(&w, LINKFS_ROOT_INO, "");
	if (r == 0)
		r = walk_snapshots(&w);
	if (r == 0)
		(void)lk_buf_append(out, "", 1);
	free(w.content);
	free(w.inos);
	return r;
}
