/*
 * model_snapshot.c - snapshots in the model: the text of the tree as it was. A snapshot that is being deleted is none.
 */
#include "model_impl.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct snapshot *named(struct model *m, const char *name)
{
	for (unsigned i = 0; i < m->snapshot_count; i++) {
		if (strcmp(m->snapshots[i].name, name) == 0)
			return &m->snapshots[i];
	}
	return NULL;
}

static bool may_be(const char *name)
{
	return *name && strlen(name) < sizeof(((struct snapshot *)NULL)->name) && !strchr(name, '/');
}

static bool take(struct model *m, const char *name, bool dry)
{
	struct lk_buf text = {0};
	if (!may_be(name) || named(m, name) || m->snapshot_count == SNAPSHOTS_MAX)
		return false;
	if (dry)
		return true;
	struct snapshot *s = &m->snapshots[m->snapshot_count++];
	(void)snprintf(s->name, sizeof(s->name), "%s", name);
	model_tree_text(m, &text);
	(void)lk_buf_append(&text, "", 1);
	s->text = (char *)text.p;
	return true;
}

bool model_snapshot(struct model *m, const struct op *op, bool dry)
{
	if (op->kind == OP_SNAPSHOT)
		return take(m, op->a, dry);
	struct snapshot *s = named(m, op->a);
	if (!s || (op->kind == OP_RENAME_SNAPSHOT && (!may_be(op->b) || named(m, op->b))))
		return false;
	if (dry)
		return true;
	if (op->kind == OP_RENAME_SNAPSHOT) {
		(void)snprintf(s->name, sizeof(s->name), "%s", op->b);
		return true;
	}
	free(s->text);
	memmove(s, s + 1, (size_t)(m->snapshots + --m->snapshot_count - s) * sizeof(*s));
	return true;
}

void model_snapshots_text(const struct model *m, struct lk_buf *out)
{
	for (unsigned i = 0; i < m->snapshot_count; i++) {
		const struct snapshot *s = &m->snapshots[i];
		for (const char *line = s->text; *line; line += strcspn(line, "\n") + 1) {
			if (lk_buf_append(out, "@", 1) || lk_buf_append(out, s->name, strlen(s->name)) ||
			    lk_buf_append(out, line, strcspn(line, "\n") + 1))
				abort();
		}
	}
}

void model_snapshots_free(struct model *m)
{
	for (unsigned i = 0; i < m->snapshot_count; i++)
		free(m->snapshots[i].text);
}
