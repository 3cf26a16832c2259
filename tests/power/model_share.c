/*
 * model_share.c - names and content that belong together in the model: keep-links (D7), copies that share until they are written (D8), equal
 * files (E7). What they share on the disk shows nowhere in the tree.
 */
#include "model_impl.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

bool model_follows(const struct node *old, const struct node *fresh)
{
	return old->keep && (old->nlink > 1 || old->shows) && S_ISREG(old->mode) && S_ISREG(fresh->mode);
}

static void follow(struct node *dir, struct node *old, struct node *fresh)
{
	for (size_t i = 0; i < dir->entry_count; i++) {
		struct entry *e = &dir->entries[i];
		if (e->bound == old) {
			e->bound = fresh;
			fresh->shows++;
			old->shows--;
		}
		if (e->node == old) {
			e->node = fresh;
			fresh->nlink++;
			old->nlink--;
		} else if (S_ISDIR(e->node->mode)) {
			follow(e->node, old, fresh);
		}
	}
}

void model_follow(struct model *m, struct node *old, struct node *fresh)
{
	follow(m->root, old, fresh);
	fresh->keep = true;
}

static struct node *copy_of(const struct node *n)
{
	struct node *copy = malloc(sizeof(*copy));
	if (!copy)
		abort();
	*copy = *n;
	copy->data = malloc(n->size + 1);
	if (!copy->data)
		abort();
	if (n->size)
		memcpy(copy->data, n->data, n->size);
	copy->entries = NULL;
	copy->nlink = 1;
	copy->opens = 0;
	copy->shows = 0;
	copy->temporary = false;
	return copy;
}

static bool make_clone(struct model *m, struct node *n, const struct op *op, bool dry)
{
	struct place to;
	if (S_ISDIR(n->mode) || !model_place(m, op->b, &to) || !to.dir || to.node)
		return false;
	if (!dry)
		model_enter(to.dir, to.name, copy_of(n));
	return true;
}

static bool split(struct place *p, bool dry)
{
	if (S_ISDIR(p->node->mode) || p->bound)
		return false;
	if (dry || p->node->nlink == 1)
		return true;
	struct node *copy = copy_of(p->node);
	model_drop_name(p);
	model_enter(p->dir, p->name, copy);
	return true;
}

static bool equal(const struct node *a, const struct node *b)
{
	return a->size == b->size && (a->size == 0 || memcmp(a->data, b->data, a->size) == 0);
}

static bool with_another(struct model *m, struct node *n, const struct op *op, bool dry)
{
	struct place to;
	if (!S_ISREG(n->mode) || !model_place(m, op->b, &to) || !to.node || !S_ISREG(to.node->mode) || to.node == n)
		return false;
	if (op->kind == OP_DEDUPE)
		return true; /* nobody sees it */
	if (!equal(n, to.node) || !model_may_go(&to))
		return false;
	if (!dry) {
		model_drop_name(&to);
		model_enter(to.dir, to.name, n);
		n->nlink++;
	}
	return true;
}

bool model_share(struct model *m, const struct op *op, bool dry)
{
	struct place p;
	if (!model_place(m, op->a, &p) || !p.node || !p.dir)
		return false;
	if (op->kind == OP_CLONE)
		return make_clone(m, p.node, op, dry);
	if (op->kind == OP_UNSHARE)
		return split(&p, dry);
	if (op->kind != OP_KEEP)
		return with_another(m, p.node, op, dry);
	if (!S_ISREG(p.node->mode))
		return false;
	if (!dry)
		p.node->keep = op->x != 0;
	return true;
}
