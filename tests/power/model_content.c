/*
 * model_content.c - content of files in the model.
 */
#include "model_impl.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static void resize(struct node *n, uint64_t size)
{
	n->data = realloc(n->data, size ? size : 1);
	if (!n->data)
		abort();
	if (size > n->size)
		memset(n->data + n->size, 0, size - n->size);
	n->size = size;
	n->summed = false;
}

static struct node *file_of(struct model *m, const struct op *op)
{
	struct place p = {.node = m->slots[op->slot]};
	bool slot = op->kind == OP_HWRITE || op->kind == OP_HTRUNCATE;
	if (!slot && !model_place(m, op->a, &p))
		return NULL;
	return p.node && S_ISREG(p.node->mode) ? p.node : NULL;
}

bool model_write(struct model *m, const struct op *op, bool dry)
{
	struct node *n = file_of(m, op);
	uint64_t at = n && op->kind == OP_APPEND ? n->size : op->x;
	if (!n || !op->n || at + op->n > OP_FILE_MAX)
		return false;
	if (dry)
		return true;
	if (at + op->n > n->size)
		resize(n, at + op->n);
	op_bytes(op->serial, at, n->data + at, op->n);
	n->summed = false;
	return true;
}

static bool shift(struct node *n, const struct op *op, bool dry)
{
	bool insert = op->y == LINKFS_ALLOC_INSERT;
	if ((op->x | op->n) % 4096 || (insert ? op->x >= n->size : op->x + op->n >= n->size))
		return false;
	if (insert && n->size + op->n > OP_FILE_MAX)
		return false;
	if (dry)
		return true;
	uint64_t old = n->size;
	if (insert) {
		resize(n, old + op->n);
		memmove(n->data + op->x + op->n, n->data + op->x, old - op->x);
		memset(n->data + op->x, 0, op->n);
	} else {
		memmove(n->data + op->x, n->data + op->x + op->n, old - op->x - op->n);
		resize(n, old - op->n);
	}
	return true;
}

bool model_allocate(struct model *m, const struct op *op, bool dry)
{
	struct node *n = file_of(m, op);
	uint64_t end = op->x + op->n;
	if (!n || !op->n || end > OP_FILE_MAX)
		return false;
	if (op->y & (LINKFS_ALLOC_COLLAPSE | LINKFS_ALLOC_INSERT))
		return shift(n, op, dry);
	if (dry)
		return true;
	if (!(op->y & LINKFS_ALLOC_KEEP_SIZE) && end > n->size)
		resize(n, end);
	if (op->y & (LINKFS_ALLOC_PUNCH | LINKFS_ALLOC_ZERO) && op->x < n->size)
		memset(n->data + op->x, 0, LK_MIN(end, n->size) - op->x);
	n->summed = false;
	return true;
}

bool model_copy(struct model *m, const struct op *op, bool dry)
{
	struct place from, to;
	if (!model_place(m, op->a, &from) || !model_place(m, op->b, &to) || !from.node || !to.node)
		return false;
	if (!S_ISREG(from.node->mode) || !S_ISREG(to.node->mode) || from.node == to.node || op->x >= from.node->size)
		return false;
	uint64_t n = LK_MIN(op->n, from.node->size - op->x);
	if (!n || op->y + n > OP_FILE_MAX)
		return false;
	if (dry)
		return true;
	if (op->y + n > to.node->size)
		resize(to.node, op->y + n);
	memcpy(to.node->data + op->y, from.node->data + op->x, n);
	to.node->summed = false;
	return true;
}

bool model_resize(struct model *m, const struct op *op, bool dry)
{
	struct node *n = file_of(m, op);
	if (!n || op->x > OP_FILE_MAX)
		return false;
	if (!dry)
		resize(n, op->x);
	return true;
}
