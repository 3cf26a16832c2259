/*
 * model_track.c - tracked links in the model: their texts are made after every operation, from the paths of link and target. A target that is
 * nowhere in the tree leaves its link's text as it was. Where several paths lead to either there are several right texts (tests/api/track): in a
 * tree with tracked links none gets another path.
 */
#include "model_impl.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

struct found {
	struct node *node;
	char *path; /* "/a/b" */
};

struct paths {
	struct found *all;
	size_t count;
};

static void gather(struct paths *p, struct node *dir, const char *above)
{
	for (size_t i = 0; i < dir->entry_count; i++) {
		char path[PATH_MAX];
		struct node *n = dir->entries[i].node;
		(void)snprintf(path, sizeof(path), "%s/%s", above, dir->entries[i].name);
		p->all = realloc(p->all, (p->count + 1) * sizeof(*p->all));
		if (!p->all)
			abort();
		p->all[p->count++] = (struct found){n, strdup(path)};
		if (S_ISDIR(n->mode))
			gather(p, n, path);
	}
}

static void forget(struct paths *p)
{
	for (size_t i = 0; i < p->count; i++)
		free(p->all[i].path);
	free(p->all);
}

/* The relative way from the directory of one path to another. */
static void relative(const char *link, const char *target, char *out, size_t size)
{
	size_t dir = (size_t)(strrchr(link, '/') - link), same = 0, used = 0;
	/* What both have, in whole components. */
	for (size_t i = 0; i <= dir; i++) {
		bool link_ends = i == dir || link[i] == '/', target_ends = target[i] == 0 || target[i] == '/';
		if (link_ends && target_ends)
			same = i;
		if (i == dir || link[i] != target[i])
			break;
	}
	for (size_t i = same; i < dir; i++)
		if (link[i] == '/')
			used += (size_t)snprintf(out + used, size - used, "../");
	const char *rest = target + same + (target[same] == '/');
	(void)snprintf(out + used, size - used, "%s", rest);
	if (!*rest && used)
		out[used - 1] = 0;
	else if (!*rest)
		(void)snprintf(out, size, ".");
}

void model_retrack(struct model *m)
{
	struct paths p = {NULL, 0};
	gather(&p, m->root, "");
	for (size_t i = 0; i < p.count; i++) {
		struct node *l = p.all[i].node;
		char text[PATH_MAX];
		for (size_t k = 0; l->tracks && k < p.count; k++) {
			if (p.all[k].node->id != l->tracks)
				continue;
			relative(p.all[i].path, p.all[k].path, text, sizeof(text));
			free(l->data);
			l->size = strlen(text);
			l->data = (uint8_t *)strdup(text);
			l->summed = false;
			break;
		}
	}
	forget(&p);
}

static unsigned paths_to(const struct paths *p, const struct node *node)
{
	unsigned count = 0;
	for (size_t i = 0; i < p->count; i++)
		count += p->all[i].node == node;
	return count;
}

static bool is_tracked(const struct paths *p, const struct node *node)
{
	for (size_t i = 0; i < p->count; i++) {
		if (p->all[i].node->tracks == node->id)
			return true;
	}
	return false;
}

bool model_keeps_ways(struct model *m, const struct op *op)
{
	struct paths p = {NULL, 0};
	struct place from = {.node = NULL}, to = {.node = NULL};
	bool keeps = true;
	if (!m->tracked)
		return true;
	gather(&p, m->root, "");
	if (op->kind == OP_LINKDIR || op->kind == OP_BIND)
		keeps = false;
	else if (op->kind == OP_LINK)
		keeps = !model_place(m, op->a, &from) || !from.node || !is_tracked(&p, from.node);
	else if (op->kind == OP_HLINK)
		keeps = !m->slots[op->slot] || !is_tracked(&p, m->slots[op->slot]);
	else if (op->kind == OP_RENAME || op->kind == OP_EXCHANGE)
		keeps = model_place(m, op->a, &from) && model_place(m, op->b, &to) && from.dir && to.dir &&
			paths_to(&p, from.dir) <= 1 && paths_to(&p, to.dir) <= 1;
	forget(&p);
	return keeps;
}
