/*
 * pass_graph.c - loops among directories that several ways lead to: names of a directory beyond its first (D6), and binds (C3).
 * Layer: check. From the root down, a way that leads to a directory it came through closes a loop. Without second names and binds
 * there is nothing to do here, and pass_tree.c finds what is cut off from the root.
 */
#include "check_impl.h"

#include <stdlib.h>

#define FIRST UINT32_MAX /* the way by a directory's first name */

struct edge {
	uint32_t from, to; /* positions */
	uint32_t way;      /* in c->ways, or FIRST */
};

struct level {
	size_t next, end; /* edges of the directory that are left */
	uint32_t at;
	uint32_t way; /* it was come by */
};

struct graph {
	struct lk_check *c;
	struct edge *edges;
	size_t count;
	struct level *stack;
	size_t depth, cap;
	bool binds;
};

static const struct lk_seen_way *way_at(const struct lk_check *c, uint32_t i)
{
	return (const struct lk_seen_way *)(const void *)c->ways.p + i;
}

static size_t way_count(const struct lk_check *c)
{
	return c->ways.len / sizeof(struct lk_seen_way);
}

int lk_way_add(struct lk_check *c, int64_t parent, int64_t child, const struct lk_bind *bind)
{
	struct lk_seen_way way = {.parent = parent, .child = child};
	if (bind) {
		way.bind = true;
		way.hash = bind->hash;
		way.ord = bind->ord;
	}
	return lk_buf_append(&c->ways, &way, sizeof(way));
}

static int by_from(const void *a, const void *b)
{
	const struct edge *x = a, *y = b;
	return (x->from > y->from) - (x->from < y->from);
}

static void add_edge(struct graph *g, int64_t parent, int64_t child, uint32_t way)
{
	const struct lk_seen_inode *p = lk_seen_find(g->c, parent), *s = lk_seen_find(g->c, child);
	if (p && s && p->type == S_IFDIR && s->type == S_IFDIR)
		g->edges[g->count++] = (struct edge){lk_seen_position(g->c, p), lk_seen_position(g->c, s), way};
}

static int gather(struct graph *g)
{
	size_t most = way_count(g->c);
	for (size_t i = 0; i < lk_seen_count(g->c); i++)
		most += lk_seen_at(g->c, i)->parent != LK_NO_PARENT;
	g->edges = calloc(most + 1, sizeof(*g->edges));
	if (!g->edges)
		return LINKFS_ENOMEM;
	for (size_t i = 0; i < lk_seen_count(g->c); i++) {
		const struct lk_seen_inode *s = lk_seen_at(g->c, i);
		if (s->type == S_IFDIR && s->parent != LK_NO_PARENT)
			g->edges[g->count++] = (struct edge){s->parent, (uint32_t)i, FIRST};
	}
	for (uint32_t i = 0; i < way_count(g->c); i++)
		if (g->binds || !way_at(g->c, i)->bind)
			add_edge(g, way_at(g->c, i)->parent, way_at(g->c, i)->child, i);
	qsort(g->edges, g->count, sizeof(*g->edges), by_from);
	return 0;
}

static size_t first_edge(const struct graph *g, uint32_t from)
{
	size_t low = 0, high = g->count;
	while (low < high) {
		size_t mid = low + (high - low) / 2;
		if (g->edges[mid].from < from)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

static int push(struct graph *g, uint32_t at, uint32_t way)
{
	if (g->depth == g->cap) {
		size_t cap = g->cap ? g->cap * 2 : 64;
		struct level *p = reallocarray(g->stack, cap, sizeof(*p));
		if (!p)
			return LINKFS_ENOMEM;
		g->stack = p;
		g->cap = cap;
	}
	g->stack[g->depth++] = (struct level){first_edge(g, at), first_edge(g, at + 1), at, way};
	lk_seen_at(g->c, at)->flags |= LK_SEEN_WALKING;
	return 0;
}

/* ---- what closes a loop goes ---------------------------------------------------------------------------------------- */

struct find_name {
	int64_t dir;
	struct lk_dirent found;
};

static int name_row(void *arg, const void *record)
{
	struct find_name *f = arg;
	const struct lk_dirent *d = record;
	if (d->dir != f->dir)
		return 0;
	f->found = *d;
	f->found.name = (struct lk_bytes){"", 0};
	return 1;
}

static int drop_name(struct graph *g, const struct edge *e)
{
	struct lk_seen_inode *dir = lk_seen_at(g->c, e->from), *s = lk_seen_at(g->c, e->to);
	struct lk_dirent key = {.ino = s->ino, .name = {"", 0}};
	struct lk_scan scan = {.table = &lk_tables[LK_T_DIRENT], .index = LK_DIRENT_BY_INO, .equal = 1, .from = &key};
	struct find_name f = {.dir = dir->ino};
	struct lk_place place = {LK_NOWHERE, .ino = s->ino, .dir = dir->ino};
	int r = lk_found(g->c, LK_P_DIR_LOOP, &place);
	if (r <= 0)
		return r;
	r = lk_db_scan(g->c->db, &scan, name_row, &f);
	if (r == 0 && f.found.dir)
		r = lk_mend_erase(g->c, LK_T_DIRENT, &f.found);
	s->names--;
	dir->children--;
	g->c->dir_names--;
	return r ? r : lk_mend_point(g->c);
}

static int drop_bind(struct graph *g, uint32_t i)
{
	const struct lk_seen_way *w = way_at(g->c, i);
	struct lk_bind key = {.dir = w->parent, .hash = w->hash, .ord = w->ord};
	int r = lk_found(g->c, LK_P_BIND_LOOP, &(struct lk_place){LK_NOWHERE, .ino = w->child, .dir = w->parent});
	if (r <= 0)
		return r;
	g->c->binds--;
	r = lk_mend_erase(g->c, LK_T_BIND, &key);
	return r ? r : lk_mend_point(g->c);
}

static bool is_bind(const struct graph *g, uint32_t way)
{
	return way != FIRST && way_at(g->c, way)->bind;
}

/* e leads to a directory on the stack. Names alone make no loop when binds are looked at: those were dealt with. */
static int loop(struct graph *g, const struct edge *e)
{
	if (!g->binds)
		return drop_name(g, e);
	if (is_bind(g, e->way))
		return drop_bind(g, e->way);
	for (size_t i = g->depth; i-- && g->stack[i].at != e->to;)
		if (is_bind(g, g->stack[i].way))
			return drop_bind(g, g->stack[i].way);
	return 0;
}

static int walk(struct graph *g, uint32_t root)
{
	int r = push(g, root, FIRST);
	while (r == 0 && g->depth) {
		struct level *top = &g->stack[g->depth - 1];
		if (top->next == top->end) {
			struct lk_seen_inode *s = lk_seen_at(g->c, top->at);
			s->flags = (uint16_t)((s->flags & ~LK_SEEN_WALKING) | LK_SEEN_WALKED);
			g->depth--;
			continue;
		}
		const struct edge *e = &g->edges[top->next++];
		uint16_t flags = lk_seen_at(g->c, e->to)->flags;
		if (flags & LK_SEEN_WALKING)
			r = loop(g, e);
		else if (!(flags & LK_SEEN_WALKED))
			r = push(g, e->to, e->way);
	}
	return r;
}

int lk_graph_check(struct lk_check *c, bool binds)
{
	struct graph g = {.c = c, .binds = binds};
	const struct lk_seen_inode *root = lk_seen_find(c, LINKFS_ROOT_INO);
	if (!root || way_count(c) == 0)
		return 0;
	for (size_t i = 0; i < lk_seen_count(c); i++)
		lk_seen_at(c, i)->flags &= (uint16_t) ~(LK_SEEN_WALKING | LK_SEEN_WALKED);
	int r = gather(&g);
	if (r == 0)
		r = walk(&g, lk_seen_position(c, root));
	free(g.edges);
	free(g.stack);
	return r;
}
