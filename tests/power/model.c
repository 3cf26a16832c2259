/*
 * model.c - the file system as it should be: a tree in memory, changed by the operations of a script.
 */
#include "model_impl.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <xxhash.h>

static void *must(void *p)
{
	if (!p)
		abort();
	return p;
}

static struct node *node_new(uint32_t mode)
{
	static uint64_t ids;
	struct node *n = must(calloc(1, sizeof(*n)));
	n->id = ++ids;
	n->mode = mode;
	n->nlink = S_ISDIR(mode) ? 2 : 1;
	n->names = S_ISDIR(mode);
	return n;
}

static void node_put(struct node *n)
{
	if (n->nlink || n->opens)
		return;
	free(n->data);
	free(n->entries);
	free(n);
}

struct model *model_new(void)
{
	struct model *m = must(calloc(1, sizeof(*m)));
	m->root = node_new(S_IFDIR | 0755);
	m->root->names = 0;
	return m;
}

static void free_tree(struct node *dir)
{
	for (size_t i = 0; i < dir->entry_count; i++) {
		struct node *n = dir->entries[i].node;
		if (S_ISDIR(n->mode) && n->names > 1)
			n->names--;
		else if (S_ISDIR(n->mode))
			free_tree(n);
		else if (--n->nlink == 0)
			node_put(n);
	}
	dir->nlink = 0;
	node_put(dir);
}

void model_free(struct model *m)
{
	if (!m)
		return;
	for (unsigned i = 0; i < OP_SLOTS; i++) {
		if (m->slots[i]) {
			m->slots[i]->opens--;
			node_put(m->slots[i]);
		}
	}
	free_tree(m->root);
	model_snapshots_free(m);
	free(m);
}

/* ---- names ------------------------------------------------------------------------------------------------------------- */

static struct entry *find(const struct node *dir, const char *name)
{
	for (size_t i = 0; i < dir->entry_count; i++) {
		if (strcmp(dir->entries[i].name, name) == 0)
			return &dir->entries[i];
	}
	return NULL;
}

static struct node *shown(const struct entry *e)
{
	return e->bound ? e->bound : e->node;
}

/* The directory a path's last component is in, NULL when there is none; *name is that component. */
static struct node *parent_of(struct model *m, const char *path, char name[256], size_t *bind_out)
{
	const char *start = path;
	struct node *dir = m->root;
	*bind_out = 0;
	for (;;) {
		size_t len = strcspn(path, "/");
		if (!len || len > 255)
			return NULL;
		memcpy(name, path, len);
		name[len] = 0;
		if (!path[len])
			return dir;
		struct entry *e = find(dir, name);
		if (!e || !S_ISDIR(e->node->mode))
			return NULL;
		dir = shown(e);
		path += len + 1;
		if (e->bound)
			*bind_out = (size_t)(path - start);
	}
}

bool model_place(struct model *m, const char *path, struct place *out)
{
	if (!*path) {
		*out = (struct place){.node = m->root};
		return true;
	}
	out->dir = parent_of(m, path, out->name, &out->bind);
	struct entry *e = out->dir ? find(out->dir, out->name) : NULL;
	out->node = e ? shown(e) : NULL;
	out->bound = e && e->bound;
	return out->dir;
}

void model_enter(struct node *dir, const char *name, struct node *node)
{
	size_t at = 0;
	while (at < dir->entry_count && strcmp(dir->entries[at].name, name) < 0)
		at++;
	dir->entries = must(realloc(dir->entries, (dir->entry_count + 1) * sizeof(*dir->entries)));
	memmove(dir->entries + at + 1, dir->entries + at, (dir->entry_count - at) * sizeof(*dir->entries));
	(void)strcpy(dir->entries[at].name, name);
	dir->entries[at].node = node;
	dir->entries[at].bound = NULL;
	dir->entry_count++;
	if (S_ISDIR(node->mode))
		dir->nlink++;
}

static void leave(struct node *dir, const char *name)
{
	struct entry *e = must(find(dir, name));
	if (S_ISDIR(e->node->mode))
		dir->nlink--;
	size_t at = (size_t)(e - dir->entries);
	memmove(e, e + 1, (dir->entry_count - at - 1) * sizeof(*e));
	dir->entry_count--;
}

void model_drop_name(struct place *p)
{
	leave(p->dir, p->name);
	if (S_ISDIR(p->node->mode))
		p->node->nlink = --p->node->names ? p->node->nlink - 1 : 0;
	else
		p->node->nlink--;
	node_put(p->node);
}

/* Whether the name may go, as far as binds are concerned. */
bool model_may_go(const struct place *p)
{
	bool last = S_ISDIR(p->node->mode) ? p->node->names == 1 : p->node->nlink == 1;
	return !p->bound && !(last && p->node->shows);
}

static bool make(struct model *m, const struct op *op, bool dry, uint32_t mode)
{
	struct place p;
	if (!model_place(m, op->a, &p) || !p.dir || p.node)
		return false;
	if (!dry) {
		struct node *n = node_new(mode);
		if (S_ISLNK(mode)) {
			n->size = strlen(op->b);
			n->data = must(malloc(n->size));
			memcpy(n->data, op->b, n->size);
		}
		model_enter(p.dir, p.name, n);
	}
	return true;
}

static bool make_symlink(struct model *m, const struct op *op, bool dry)
{
	struct place p;
	if (op->kind == OP_RELINK && model_place(m, op->a, &p) && p.node) {
		if (S_ISDIR(p.node->mode) || !model_may_go(&p))
			return false;
		if (!dry)
			model_drop_name(&p);
	}
	return make(m, op, dry, S_IFLNK | 0777);
}

/* The text comes with model_retrack(). */
static bool make_tracked(struct model *m, const struct op *op, bool dry)
{
	struct op empty = {OP_SYMLINK, .a = op->a, .b = ""};
	struct place target, p;
	if (!model_place(m, op->b, &target) || !target.node || S_ISLNK(target.node->mode) ||
	    !make(m, &empty, dry, S_IFLNK | 0777))
		return false;
	if (!dry) {
		(void)model_place(m, op->a, &p);
		p.node->tracks = target.node->id;
		m->tracked = true;
	}
	return true;
}

static bool make_link(struct model *m, const struct op *op, bool dry)
{
	struct place p = {.node = m->slots[op->slot]}, to;
	if (op->kind == OP_HLINK ? !p.node : !model_place(m, op->a, &p))
		return false;
	if (!p.node || S_ISDIR(p.node->mode) || !model_place(m, op->b, &to) || !to.dir || to.node)
		return false;
	if ((p.node->nlink == 0 && !p.node->temporary) || p.node->tracks)
		return false;
	if (!dry) {
		p.node->nlink++;
		p.node->temporary = false;
		model_enter(to.dir, to.name, p.node);
	}
	return true;
}

static bool unlink_name(struct model *m, const struct op *op, bool dry)
{
	struct place p;
	if (!model_place(m, op->a, &p) || !p.node || !p.dir || S_ISDIR(p.node->mode) != (op->kind == OP_RMDIR))
		return false;
	if ((op->kind == OP_RMDIR && p.node->entry_count && p.node->names == 1) || !model_may_go(&p))
		return false;
	if (!dry)
		model_drop_name(&p);
	return true;
}

static bool is_below(const struct node *top, const struct node *n)
{
	if (top == n)
		return true;
	for (size_t i = 0; i < top->entry_count; i++) {
		const struct entry *e = &top->entries[i];
		if (S_ISDIR(e->node->mode) && (is_below(e->node, n) || (e->bound && is_below(e->bound, n))))
			return true;
	}
	return false;
}

static bool link_directory(struct model *m, const struct op *op, bool dry)
{
	struct place p, to;
	if (!model_place(m, op->a, &p) || !p.node || !S_ISDIR(p.node->mode) || p.node == m->root)
		return false;
	if (!model_place(m, op->b, &to) || !to.dir || to.node || is_below(p.node, to.dir))
		return false;
	if (!dry) {
		p.node->nlink++;
		p.node->names++;
		model_enter(to.dir, to.name, p.node);
	}
	return true;
}

static bool bind_name(struct model *m, const struct op *op, bool dry)
{
	struct place p, to;
	if (!model_place(m, op->a, &p) || !p.node || p.node == m->root || S_ISLNK(p.node->mode))
		return false;
	if (!model_place(m, op->b, &to) || !to.dir || !to.node || to.bound || to.node == p.node)
		return false;
	if (S_ISDIR(to.node->mode) != S_ISDIR(p.node->mode) || (S_ISDIR(p.node->mode) && is_below(p.node, to.dir)))
		return false;
	if (!dry) {
		((struct entry *)must(find(to.dir, to.name)))->bound = p.node;
		p.node->shows++;
	}
	return true;
}

static bool unbind_name(struct model *m, const struct op *op, bool dry)
{
	struct place p;
	if (!model_place(m, op->a, &p) || !p.node || !p.bound)
		return false;
	if (!dry) {
		((struct entry *)must(find(p.dir, p.name)))->bound = NULL;
		p.node->shows--;
	}
	return true;
}

static bool rename_name(struct model *m, const struct op *op, bool dry)
{
	struct place from, to;
	bool exchange = op->kind == OP_EXCHANGE;
	if (!model_place(m, op->a, &from) || !model_place(m, op->b, &to) || !from.dir || !to.dir || !from.node)
		return false;
	if (from.bound || to.bound || from.bind != to.bind || strncmp(op->a, op->b, from.bind) != 0)
		return false;
	if (from.node == to.node || is_below(from.node, to.dir) || (exchange && !to.node))
		return false;
	if (exchange && is_below(to.node, from.dir))
		return false;
	if (!exchange && to.node) {
		if (!model_may_go(&to) && !model_follows(to.node, from.node))
			return false;
		if (S_ISDIR(to.node->mode) != S_ISDIR(from.node->mode) || to.node->entry_count)
			return false;
	}
	if (dry)
		return true;
	leave(from.dir, from.name);
	if (exchange)
		leave(to.dir, to.name);
	else if (to.node) {
		if (model_follows(to.node, from.node)) {
			to.node->opens++; /* it stays until its last name has followed */
			model_drop_name(&to);
			model_follow(m, to.node, from.node);
			to.node->opens--;
			node_put(to.node);
		} else {
			model_drop_name(&to);
		}
	}
	model_enter(to.dir, to.name, from.node);
	if (exchange)
		model_enter(from.dir, from.name, to.node);
	return true;
}

/* ---- attributes and open files --------------------------------------------------------------------------------------------- */

static bool change_xattr(struct model *m, const struct op *op, bool dry)
{
	struct place p;
	if (!model_place(m, op->a, &p) || !p.node || !(S_ISREG(p.node->mode) || S_ISDIR(p.node->mode)))
		return false;
	struct node *n = p.node;
	unsigned i = 0;
	while (i < n->xattr_count && strcmp(n->xattrs[i].name, op->b) != 0)
		i++;
	if (op->kind == OP_RMXATTR && i == n->xattr_count)
		return false;
	if (op->kind == OP_SETXATTR && i == sizeof(n->xattrs) / sizeof(n->xattrs[0]))
		return false;
	if (dry)
		return true;
	if (op->kind == OP_RMXATTR) {
		n->xattrs[i] = n->xattrs[--n->xattr_count];
		return true;
	}
	uint8_t *value = must(malloc(op->n + 1));
	op_bytes(op->serial, 0, value, op->n);
	assert(strlen(op->b) < sizeof(n->xattrs[i].name));
	(void)strcpy(n->xattrs[i].name, op->b);
	n->xattrs[i].sum = tree_xattr_sum(op->b, value, op->n);
	n->xattr_count += i == n->xattr_count;
	free(value);
	return true;
}

static bool change_attributes(struct model *m, const struct op *op, bool dry)
{
	struct place p;
	if (!model_place(m, op->a, &p) || !p.node || S_ISLNK(p.node->mode))
		return false;
	if (dry)
		return true;
	if (op->kind == OP_CHMOD) {
		p.node->mode = (p.node->mode & (uint32_t)S_IFMT) | (uint32_t)op->x;
	} else {
		p.node->uid = (uint32_t)op->x;
		p.node->gid = (uint32_t)op->y;
	}
	return true;
}

static bool open_file(struct model *m, const struct op *op, bool dry)
{
	struct place p;
	if (m->slots[op->slot] || !model_place(m, op->a, &p) || !p.node)
		return false;
	if (op->kind == OP_TMPFILE ? !S_ISDIR(p.node->mode) : !S_ISREG(p.node->mode))
		return false;
	if (dry)
		return true;
	if (op->kind == OP_TMPFILE) {
		p.node = node_new(S_IFREG | 0644);
		p.node->nlink = 0;
		p.node->temporary = true;
	}
	p.node->opens++;
	m->slots[op->slot] = p.node;
	return true;
}

static bool close_file(struct model *m, const struct op *op, bool dry)
{
	struct node *n = m->slots[op->slot];
	if (!n)
		return false;
	if (!dry && op->kind == OP_HCLOSE) {
		m->slots[op->slot] = NULL;
		n->opens--;
		node_put(n);
	}
	return true;
}

static bool apply(struct model *m, const struct op *op, bool dry)
{
	struct place p;
	switch (op->kind) {
	case OP_CREATE:
		return make(m, op, dry, S_IFREG | 0644);
	case OP_MKDIR:
		return make(m, op, dry, S_IFDIR | 0755);
	case OP_FIFO:
		return make(m, op, dry, S_IFIFO | 0644);
	case OP_SYMLINK:
	case OP_RELINK:
		return make_symlink(m, op, dry);
	case OP_TRACK:
		return make_tracked(m, op, dry);
	case OP_LINKDIR:
		return link_directory(m, op, dry);
	case OP_BIND:
		return bind_name(m, op, dry);
	case OP_UNBIND:
		return unbind_name(m, op, dry);
	case OP_LINK:
	case OP_HLINK:
		return make_link(m, op, dry);
	case OP_UNLINK:
	case OP_RMDIR:
		return unlink_name(m, op, dry);
	case OP_RENAME:
	case OP_EXCHANGE:
		return rename_name(m, op, dry);
	case OP_WRITE:
	case OP_WRITE_SYNC:
	case OP_APPEND:
	case OP_HWRITE:
		return model_write(m, op, dry);
	case OP_TRUNCATE:
	case OP_HTRUNCATE:
		return model_resize(m, op, dry);
	case OP_ALLOCATE:
		return model_allocate(m, op, dry);
	case OP_COPY:
		return model_copy(m, op, dry);
	case OP_SETXATTR:
	case OP_RMXATTR:
		return change_xattr(m, op, dry);
	case OP_CHMOD:
	case OP_CHOWN:
		return change_attributes(m, op, dry);
	case OP_KEEP:
	case OP_CLONE:
	case OP_UNSHARE:
	case OP_DEDUPE:
	case OP_MERGE:
		return model_share(m, op, dry);
	case OP_OPEN:
	case OP_TMPFILE:
		return open_file(m, op, dry);
	case OP_HCLOSE:
	case OP_HSYNC:
		return close_file(m, op, dry);
	case OP_FSYNC:
		return model_place(m, op->a, &p) && p.node;
	case OP_REOPEN:
		for (unsigned i = 0; i < OP_SLOTS; i++) {
			if (m->slots[i])
				return false;
		}
		return true;
	case OP_SNAPSHOT:
	case OP_RENAME_SNAPSHOT:
	case OP_DROP:
		return model_snapshot(m, op, dry);
	case OP_SYNC:
	case OP_CHECKPOINT:
		return true;
	case OP_KINDS:
	default:
		abort();
	}
}

bool model_apply(struct model *m, const struct op *op, bool dry)
{
	bool done = (!dry || model_keeps_ways(m, op)) && apply(m, op, dry);
	if (done && !dry && m->tracked)
		model_retrack(m);
	return done;
}

/* ---- as text ----------------------------------------------------------------------------------------------------------------- */

static void text_of(struct model *m, struct node *dir, char *path, size_t len, struct lk_buf *out)
{
	for (size_t i = 0; i < dir->entry_count; i++) {
		struct node *n = shown(&dir->entries[i]);
		size_t name = strlen(dir->entries[i].name);
		assert(len + name + 2 < PATH_MAX);
		path[len] = '/';
		memcpy(path + len + 1, dir->entries[i].name, name + 1);
		if (!n->number)
			n->number = ++m->numbers;
		if (!n->summed) {
			n->sum = S_ISREG(n->mode) || S_ISLNK(n->mode) ? XXH3_64bits(n->data, n->size) : 0;
			n->summed = true;
		}
		struct tree_line line = {path, n->mode, n->nlink, n->uid, n->gid, n->number, n->size, n->sum, 0};
		for (unsigned k = 0; k < n->xattr_count; k++)
			line.xattrs += n->xattrs[k].sum;
		tree_add(out, &line);
		if (S_ISDIR(n->mode))
			text_of(m, n, path, len + 1 + name, out);
	}
}

static void forget_numbers(struct node *dir)
{
	for (size_t i = 0; i < dir->entry_count; i++) {
		struct node *n = shown(&dir->entries[i]);
		n->number = 0;
		if (S_ISDIR(n->mode))
			forget_numbers(n);
	}
}

void model_tree_text(struct model *m, struct lk_buf *out)
{
	char path[PATH_MAX] = "/";
	struct node *r = m->root;
	struct tree_line line = {path, r->mode, r->nlink, r->uid, r->gid, 0, 0, 0, 0};
	for (unsigned k = 0; k < r->xattr_count; k++)
		line.xattrs += r->xattrs[k].sum;
	forget_numbers(r);
	m->numbers = 0;
	tree_add(out, &line);
	text_of(m, r, path, 0, out);
}

void model_text(struct model *m, struct lk_buf *out)
{
	model_tree_text(m, out);
	model_snapshots_text(m, out);
	(void)lk_buf_append(out, "", 1);
}
