/*
 * model.c - see model.h.
 */
#include "model.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* ---- reading a volume ---- */

struct listing {
	struct model *m;
	uint64_t dir;
	uint64_t cookie;
	bool any;
};

static int take(void *arg, const struct linkfs_entry *e)
{
	struct listing *l = arg;
	struct model *m = l->m;
	l->cookie = e->cookie;
	l->any = true;
	if (e->name[0] == '.' && (e->name_len == 1 || (e->name_len == 2 && e->name[1] == '.')))
		return 0;
	if (m->count == m->cap) {
		m->cap = m->cap ? m->cap * 2 : 64;
		m->entries = realloc(m->entries, m->cap * sizeof(*m->entries));
		assert_non_null(m->entries);
	}
	struct entry *entry = &m->entries[m->count++];
	*entry = (struct entry){.dir = l->dir, .ino = e->ino};
	assert_true(e->name_len < sizeof(entry->name));
	memcpy(entry->name, e->name, e->name_len);
	return 0;
}

/* The order of a listing is the volume's own; a seed must give the same tree on each. */
static int by_name(const void *a, const void *b)
{
	const struct entry *x = a, *y = b;
	return strcmp(x->name, y->name);
}

static void load_node(struct model *m, struct linkfs_volume *v, uint64_t ino, uint64_t parent)
{
	struct linkfs_stat st;
	char text[LINKFS_SYMLINK_MAX + 1];
	size_t len;
	if (ino > m->max) {
		uint64_t max = ino * 2 + 64;
		m->nodes = realloc(m->nodes, (max + 1) * sizeof(*m->nodes));
		assert_non_null(m->nodes);
		memset(m->nodes + (m->max ? m->max + 1 : 0), 0,
		       (max - (m->max ? m->max : (uint64_t)-1)) * sizeof(*m->nodes));
		m->max = max;
	}
	if (m->nodes[ino].mode)
		return;
	assert_int_equal(linkfs_node_getattr(v, ino, &st), 0);
	m->nodes[ino] = (struct node){.mode = st.mode, .uid = st.uid, .parent = parent};
	if (S_ISLNK(st.mode)) {
		assert_int_equal(linkfs_node_readlink(v, ino, text, sizeof(text), &len), 0);
		m->nodes[ino].text = strndup(text, len);
	}
	if (!S_ISDIR(st.mode))
		return;
	struct listing l = {.m = m, .dir = ino, .any = true};
	m->nodes[ino].first = m->count;
	while (l.any) {
		l.any = false;
		assert_int_equal(linkfs_node_readdir(v, NULL, ino, l.cookie, 0, take, &l), 0);
	}
	size_t first = m->nodes[ino].first, count = m->count - first;
	m->nodes[ino].count = count;
	if (count)
		qsort(m->entries + first, count, sizeof(*m->entries), by_name);
	for (size_t i = first; i < first + count; i++)
		load_node(m, v, m->entries[i].ino, ino);
}

void model_load(struct model *m, struct linkfs_volume *v)
{
	*m = (struct model){0};
	load_node(m, v, LINKFS_ROOT_INO, LINKFS_ROOT_INO);
}

void model_done(struct model *m)
{
	for (uint64_t i = 0; m->nodes && i <= m->max; i++)
		free(m->nodes[i].text);
	free(m->nodes);
	free(m->entries);
	*m = (struct model){0};
}

/* ---- changes ---- */

/* Texts are shared with the original. */
static void copy(const struct model *m, struct model *out)
{
	*out = *m;
	out->nodes = malloc((m->max + 1) * sizeof(*m->nodes));
	out->entries = malloc((m->count + 1) * sizeof(*m->entries));
	assert_non_null(out->nodes);
	assert_non_null(out->entries);
	memcpy(out->nodes, m->nodes, (m->max + 1) * sizeof(*m->nodes));
	memcpy(out->entries, m->entries, m->count * sizeof(*m->entries));
}

void model_copy_done(struct model *m)
{
	free(m->nodes);
	free(m->entries);
	*m = (struct model){0};
}

static void remove_tree(struct model *m, size_t entry)
{
	const struct node *n = &m->nodes[m->entries[entry].ino];
	m->entries[entry].gone = true;
	for (size_t i = 0; S_ISDIR(n->mode) && i < n->count; i++)
		remove_tree(m, n->first + i);
}

void model_remove(const struct model *m, size_t entry, struct model *out)
{
	copy(m, out);
	remove_tree(out, entry);
}

/* The entry keeps its index: it is looked for in its new directory by moved_entry. */
void model_rename(const struct model *m, size_t entry, uint64_t dir, const char *name, struct model *out)
{
	copy(m, out);
	for (size_t i = 0; i < m->nodes[dir].count; i++) {
		size_t there = m->nodes[dir].first + i;
		if (strcmp(m->entries[there].name, name) == 0 && there != entry)
			out->entries[there].gone = true;
	}
	out->moved_entry = entry + 1;
	out->moved_dir = dir;
	snprintf(out->moved_name, sizeof(out->moved_name), "%s", name);
	if (S_ISDIR(m->nodes[m->entries[entry].ino].mode))
		out->nodes[m->entries[entry].ino].parent = dir;
}

/* ---- walking ---- */

/* What is left to walk: components, the next one last. "/" stands for slashes at a text's end: what they follow must be a directory. */
struct part {
	const char *p;
	size_t len;
};
struct left {
	struct part parts[8192];
	size_t count;
};

static bool is(struct part part, const char *text)
{
	return part.len == strlen(text) && memcmp(part.p, text, part.len) == 0;
}

struct state {
	const struct model *m;
	const struct walker *who;
	struct left *left;
	struct walk_end *out;
	uint64_t dir;
	const char *host[64]; /* the mount point's components */
	size_t host_len[64];
	size_t depth, above;
	bool at_dir; /* the walk stands in dir and has no other node */
};

static void put_text(struct state *s, const char *text, size_t len)
{
	const char *end = text + len;
	size_t from = s->left->count;
	for (const char *p = text; p < end;) {
		while (p < end && *p == '/')
			p++;
		const char *stop = p;
		while (stop < end && *stop != '/')
			stop++;
		if (stop > p)
			s->left->parts[s->left->count++] = (struct part){p, (size_t)(stop - p)};
		p = stop;
	}
	if (len && text[len - 1] == '/' && s->left->count > from)
		s->left->parts[s->left->count++] = (struct part){"/", 1};
	for (size_t i = from, j = s->left->count; i + 1 < j; i++, j--) {
		struct part swap = s->left->parts[i];
		s->left->parts[i] = s->left->parts[j - 1];
		s->left->parts[j - 1] = swap;
	}
}

static bool spent(const struct state *s)
{
	for (size_t i = 0; i < s->left->count; i++)
		if (!is(s->left->parts[i], ".") && !is(s->left->parts[i], "/"))
			return false;
	return true;
}

static void arrive(struct state *s, uint64_t ino)
{
	if (s->out->narrivals < ARRIVALS_MAX) {
		s->out->arrivals[s->out->narrivals].ino = ino;
		s->out->arrivals[s->out->narrivals++].last = spent(s);
	}
}

static uint64_t find(const struct model *m, uint64_t dir, struct part name)
{
	if (m->moved_entry && m->moved_dir == dir && is(name, m->moved_name))
		return m->entries[m->moved_entry - 1].ino;
	for (size_t i = 0; i < m->nodes[dir].count; i++) {
		size_t at = m->nodes[dir].first + i;
		const struct entry *e = &m->entries[at];
		if (!e->gone && at + 1 != m->moved_entry && is(name, e->name))
			return e->ino;
	}
	return 0;
}

static bool may_search(const struct state *s, uint64_t dir)
{
	const struct node *n = &s->m->nodes[dir];
	if (s->who->uid == 0)
		return true;
	return n->mode & (s->who->uid == n->uid ? S_IXUSR : S_IXOTH);
}

static int step_host(struct state *s, struct part part)
{
	size_t at = s->depth - s->above;
	if (is(part, ".") || is(part, "/"))
		return 0;
	if (is(part, "..")) {
		s->above += s->above < s->depth;
		return 0;
	}
	if (part.len != s->host_len[at] || memcmp(part.p, s->host[at], part.len) != 0)
		return LINKFS_EXDEV;
	if (--s->above == 0) {
		s->dir = LINKFS_ROOT_INO;
		arrive(s, LINKFS_ROOT_INO);
	}
	return 0;
}

static int expand(struct state *s, uint64_t ino)
{
	const char *text = s->m->nodes[ino].text;
	if (s->out->expansions == LINKFS_SYMLOOP_MAX)
		return LINKFS_ELOOP;
	s->out->expansions++;
	if (text[0] == '/') {
		s->above = s->depth;
		s->dir = LINKFS_ROOT_INO;
	}
	put_text(s, text, strlen(text));
	if (text[0] == '/' && s->above == 0)
		arrive(s, LINKFS_ROOT_INO);
	return 0;
}

/* Walks one component. *node_out: a node that is no directory, when nothing may follow; else 0. */
static int step(struct state *s, struct part part, bool follow, uint64_t *node_out)
{
	*node_out = 0;
	if (s->above)
		return step_host(s, part);
	if (is(part, "/"))
		return 0;
	if (!may_search(s, s->dir))
		return LINKFS_EACCES;
	if (is(part, "."))
		return 0;
	if (is(part, "..")) {
		if (s->dir == LINKFS_ROOT_INO && s->depth) {
			s->above = 1;
			return 0;
		}
		s->dir = s->m->nodes[s->dir].parent;
		arrive(s, s->dir);
		return 0;
	}
	if (part.len > LINKFS_NAME_MAX)
		return LINKFS_ENAMETOOLONG;
	uint64_t ino = find(s->m, s->dir, part);
	if (!ino)
		return LINKFS_ENOENT;
	arrive(s, ino);
	uint32_t mode = s->m->nodes[ino].mode;
	if (S_ISLNK(mode) && (follow || s->left->count))
		return expand(s, ino);
	if (S_ISDIR(mode)) {
		s->dir = ino;
		return 0;
	}
	*node_out = ino;
	return s->left->count ? LINKFS_ENOTDIR : 0;
}

void model_walk(const struct model *m, const struct walker *who, uint64_t at, const char *path, bool follow,
		struct walk_end *out)
{
	static struct left room; /* one walk at a time */
	struct left *left = &room;
	struct state s = {.m = m, .who = who, .left = left, .out = out, .dir = path[0] == '/' ? LINKFS_ROOT_INO : at};
	uint64_t node = 0;
	left->count = 0;
	out->error = 0;
	out->expansions = 0;
	out->narrivals = 0;
	for (const char *p = who->mounted_at; p && *p;) {
		p += strspn(p, "/");
		size_t len = strcspn(p, "/");
		if (len) {
			s.host[s.depth] = p;
			s.host_len[s.depth++] = len;
		}
		p += len;
	}
	put_text(&s, path, strlen(path));
	while (left->count && out->error == 0)
		out->error = step(&s, left->parts[--left->count], follow, &node);
	if (out->error == 0 && s.above)
		out->error = LINKFS_EXDEV;
	out->ino = out->error ? 0 : node ? node : s.dir;
}

void model_follow(const struct model *m, const struct walker *who, size_t entry, struct walk_end *out)
{
	const struct entry *e = &m->entries[entry];
	bool moved = entry + 1 == m->moved_entry;
	model_walk(m, who, moved ? m->moved_dir : e->dir, moved ? m->moved_name : e->name, true, out);
	/* The first arrival is the link itself. */
	if (out->narrivals) {
		out->narrivals--;
		memmove(out->arrivals, out->arrivals + 1, out->narrivals * sizeof(out->arrivals[0]));
	}
}

void model_path(const struct model *m, const struct walker *who, size_t entry, char *out, size_t size)
{
	char path[8192], next[8192];
	uint64_t dir = m->entries[entry].dir;
	struct state s = {.m = m, .who = who};
	snprintf(path, sizeof(path), "/%s", m->entries[entry].name);
	for (;;) {
		if (!may_search(&s, dir)) {
			out[0] = 0;
			return;
		}
		if (dir == LINKFS_ROOT_INO)
			break;
		for (size_t i = 0; i < m->count; i++) {
			if (m->entries[i].ino != dir)
				continue;
			snprintf(next, sizeof(next), "/%s", m->entries[i].name);
			break;
		}
		size_t len = strlen(next), rest = strlen(path);
		assert_true(len + rest < sizeof(path));
		memcpy(next + len, path, rest + 1);
		memcpy(path, next, len + rest + 1);
		dir = m->nodes[dir].parent;
	}
	snprintf(out, size, "%s", path);
}

bool model_below(const struct model *m, size_t entry, uint64_t top)
{
	for (uint64_t dir = m->entries[entry].dir;; dir = m->nodes[dir].parent) {
		if (dir == top)
			return true;
		if (dir == LINKFS_ROOT_INO)
			return false;
	}
}

bool model_is_link(const struct model *m, size_t entry)
{
	return S_ISLNK(m->nodes[m->entries[entry].ino].mode) && !m->entries[entry].gone;
}
