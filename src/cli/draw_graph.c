/*
 * draw_graph.c - the picture's boxes, rows and edges (draw.h).
 */
#include "draw.h"
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

int draw_no_memory(struct draw *draw)
{
	cli_fail(draw->cli, draw->asked.path->text, LINKFS_ENOMEM);
	return LINKFS_ENOMEM;
}

int draw_add_box(struct draw *draw, enum draw_box_kind kind, const struct linkfs_stat *st, const char *path,
		 size_t *index_out)
{
	char *copy = cli_strdup(path ? path : "");
	if (!copy || cli_grow(&draw->boxes, &draw->cap, draw->len, sizeof(*draw->boxes)) != 0) {
		free(copy);
		return draw_no_memory(draw);
	}
	draw->boxes[draw->len] = (struct draw_box){.kind = kind, .path = copy};
	if (st)
		draw->boxes[draw->len].st = *st;
	*index_out = draw->len++;
	return 0;
}

/* The text by the path that the box shows. */
static int read_text(struct draw *draw, const struct draw_box *box, struct draw_row *row)
{
	char *path = cli_join(box->path, row->name);
	int error = path ? cli_readlink_found(draw->cli, draw->asked.volume, LINKFS_ROOT_INO, path, &row->st,
					      &row->text, &row->text_len)
			 : LINKFS_ENOMEM;
	free(path);
	return error;
}

int draw_add_row(struct draw *draw, size_t index, const char *name, size_t len, const struct linkfs_stat *st)
{
	struct draw_box *box = &draw->boxes[index];
	struct draw_row row = {.name = cli_alloc(len + 1), .len = len, .st = *st};
	if (!row.name || cli_grow(&box->rows, &box->cap, box->len, sizeof(*box->rows)) != 0) {
		free(row.name);
		return draw_no_memory(draw);
	}
	memcpy(row.name, name, len);
	int error = S_ISLNK(st->mode) ? read_text(draw, box, &row) : 0;
	if (error == LINKFS_ENOMEM) {
		free(row.name);
		return draw_no_memory(draw);
	}
	if (error)
		row.note = "unreadable";
	box->rows[box->len++] = row;
	return 0;
}

int draw_add_edge(struct draw *draw, enum draw_edge_kind kind, struct draw_end from, struct draw_end to, uint64_t bytes)
{
	if (cli_grow(&draw->edges, &draw->edges_cap, draw->nedges, sizeof(*draw->edges)) != 0)
		return draw_no_memory(draw);
	draw->edges[draw->nedges++] = (struct draw_edge){.kind = kind, .from = from, .to = to, .bytes = bytes};
	return 0;
}

bool draw_find_box(const struct draw *draw, enum draw_box_kind kind, uint64_t ino, size_t *index_out)
{
	for (size_t i = 0; i < draw->len; i++) {
		if (draw->boxes[i].kind == kind && draw->boxes[i].st.ino == ino) {
			*index_out = i;
			return true;
		}
	}
	return false;
}

bool draw_find_row(const struct draw *draw, uint64_t dir, const char *name, size_t len, struct draw_end *out)
{
	size_t at;
	if (!draw_find_box(draw, DRAW_DIR, dir, &at))
		return false;
	const struct draw_box *box = &draw->boxes[at];
	for (size_t i = 0; i < box->len; i++) {
		if (box->rows[i].len == len && memcmp(box->rows[i].name, name, len) == 0) {
			*out = (struct draw_end){at, i};
			return true;
		}
	}
	return false;
}

int draw_need_inode(struct draw *draw, const struct linkfs_stat *st, size_t *index_out)
{
	if (draw_find_box(draw, DRAW_INODE, st->ino, index_out))
		return 0;
	draw->used++;
	return draw_add_box(draw, DRAW_INODE, st, NULL, index_out);
}

static int compare_rows(const void *a, const void *b)
{
	const struct draw_row *x = a, *y = b;
	return strcmp(x->name, y->name);
}

void draw_sort(struct draw *draw)
{
	for (size_t i = 0; i < draw->len; i++) {
		if (draw->boxes[i].len)
			qsort(draw->boxes[i].rows, draw->boxes[i].len, sizeof(*draw->boxes[i].rows), compare_rows);
	}
}

/* ---- directories with one directory in them ---- */

struct touching {
	size_t in, out, others, in_edge, out_edge;
};

static struct touching edges_of(const struct draw *draw, size_t box)
{
	struct touching t = {0};
	for (size_t i = 0; i < draw->nedges; i++) {
		const struct draw_edge *e = &draw->edges[i];
		if (e->kind == DRAW_NAME && e->to.box == box) {
			t.in++;
			t.in_edge = i;
		} else if (e->kind == DRAW_NAME && e->from.box == box) {
			t.out++;
			t.out_edge = i;
		} else if (e->from.box == box || e->to.box == box) {
			t.others++;
		}
	}
	return t;
}

static char *title_of(const struct draw_box *box)
{
	return box->title ? cli_strdup(box->title) : cli_basename(box->path);
}

/* Box at gives its title to the box below, which takes its place. */
static int merge_box(struct draw *draw, size_t at, const struct touching *t)
{
	struct draw_box *box = &draw->boxes[at];
	struct draw_box *below = &draw->boxes[draw->edges[t->out_edge].to.box];
	char *first = title_of(box), *second = title_of(below);
	char *title = first && second ? cli_format("%s/%s", first, second) : NULL;
	free(first);
	free(second);
	if (!title)
		return draw_no_memory(draw);
	free(below->title);
	below->title = title;
	box->gone = true;
	draw->edges[t->in_edge].to = draw->edges[t->out_edge].to;
	memmove(&draw->edges[t->out_edge], &draw->edges[t->out_edge + 1],
		(draw->nedges - t->out_edge - 1) * sizeof(*draw->edges));
	draw->nedges--;
	return 0;
}

/* How far to the right each box stands. */
static void set_depths(struct draw *draw)
{
	bool changed = true;
	for (size_t round = 0; changed && round < draw->len; round++) {
		changed = false;
		for (size_t i = 0; i < draw->nedges; i++) {
			const struct draw_edge *e = &draw->edges[i];
			struct draw_box *to = &draw->boxes[e->to.box];
			bool leads = e->kind == DRAW_NAME || to->kind == DRAW_OUTSIDE || to->kind == DRAW_MISSING ||
				     to->kind == DRAW_LEAVES;
			if (!leads || to->depth > draw->boxes[e->from.box].depth)
				continue;
			to->depth = draw->boxes[e->from.box].depth + 1;
			changed = true;
		}
	}
}

int draw_merge(struct draw *draw)
{
	for (size_t i = 0; i < draw->len; i++) {
		const struct draw_box *box = &draw->boxes[i];
		if (box->kind != DRAW_DIR || box->asked || box->len != 1 || box->left_out || box->note)
			continue;
		struct touching t = edges_of(draw, i);
		size_t below = t.out == 1 ? draw->edges[t.out_edge].to.box : i;
		/* One with several names (D6) is found by each of its ways. */
		if (t.in == 1 && t.out == 1 && !t.others && draw->boxes[below].kind == DRAW_DIR &&
		    edges_of(draw, below).in == 1) {
			int error = merge_box(draw, i, &t);
			if (error)
				return error;
		}
	}
	for (size_t i = 0; i < draw->len; i++)
		draw->boxes[i].first = edges_of(draw, i).in == 0;
	set_depths(draw);
	return 0;
}

void draw_done(struct draw *draw)
{
	for (size_t i = 0; i < draw->len; i++) {
		struct draw_box *box = &draw->boxes[i];
		for (size_t k = 0; k < box->len; k++) {
			free(box->rows[k].name);
			free(box->rows[k].text);
		}
		for (size_t k = 0; k < DRAW_OTHERS; k++)
			free(box->others[k]);
		free(box->rows);
		free(box->path);
		free(box->title);
		free(box->text);
	}
	free(draw->boxes);
	free(draw->edges);
	draw->boxes = NULL;
	draw->edges = NULL;
	draw->len = draw->nedges = 0;
}
