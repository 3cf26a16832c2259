/*
 * draw_json.c - the picture as JSON: its boxes, rows and edges, for programs that draw by themselves.
 */
#include "draw.h"
#include <string.h>
#include <sys/stat.h>

static const char *const kinds[DRAW_KINDS] = {
	[DRAW_DIR] = "directory",   [DRAW_INODE] = "inode",     [DRAW_OUTSIDE] = "outside",
	[DRAW_POINTER] = "pointer", [DRAW_MISSING] = "missing", [DRAW_LEAVES] = "leaves",
};
static const char *const lines[DRAW_EDGES] = {
	[DRAW_NAME] = "name",         [DRAW_SYMLINK] = "symlink", [DRAW_TRACKED] = "tracked",
	[DRAW_DANGLING] = "dangling", [DRAW_BIND] = "bind",       [DRAW_SHARED] = "shared",
};

static void put_note(struct cli_json *json, const char *note)
{
	if (note)
		cli_json_string(json, "note", note);
}

static void put_stat(struct cli_json *json, const struct linkfs_stat *st)
{
	if (st->ino == 0)
		return;
	cli_json_number(json, "ino", st->ino);
	cli_json_string(json, "type", cli_type_word(st->mode));
	if (st->nlink)
		cli_json_number(json, "nlink", st->nlink);
	if (S_ISREG(st->mode))
		cli_json_number(json, "size", st->size);
}

static void put_row(struct cli_json *json, const struct draw_row *row)
{
	cli_json_open(json, NULL, '{');
	cli_json_bytes(json, "name", row->name, row->len);
	put_stat(json, &row->st);
	if (row->text)
		cli_json_bytes(json, "target", row->text, row->text_len);
	put_note(json, row->note);
	cli_json_close(json, '}');
}

static void put_box(struct cli_json *json, const struct draw_box *box, size_t id)
{
	cli_json_open(json, NULL, '{');
	cli_json_number(json, "id", id);
	cli_json_string(json, "kind", kinds[box->kind]);
	put_stat(json, &box->st);
	if (*box->path)
		cli_json_string(json, "path", box->path);
	if (box->text)
		cli_json_string(json, "target", box->text);
	cli_json_bool(json, "asked", box->asked);
	put_note(json, box->note);
	if (box->kind == DRAW_DIR) {
		cli_json_open(json, "rows", '[');
		for (size_t i = 0; i < box->len; i++)
			put_row(json, &box->rows[i]);
		cli_json_close(json, ']');
		cli_json_number(json, "left_out", box->left_out);
	}
	if (box->kind == DRAW_INODE) {
		cli_json_open(json, "not_drawn", '[');
		for (size_t i = 0; i < DRAW_OTHERS && box->others[i]; i++)
			cli_json_string(json, NULL, box->others[i]);
		cli_json_close(json, ']');
		cli_json_number(json, "not_drawn_count", box->others_count);
		cli_json_number(json, "hidden", box->hidden);
	}
	cli_json_close(json, '}');
}

static void put_end(struct cli_json *json, const char *key, const struct draw_end *end)
{
	cli_json_open(json, key, '{');
	cli_json_number(json, "box", end->box);
	if (end->row == DRAW_WHOLE)
		cli_json_null(json, "row");
	else
		cli_json_number(json, "row", end->row);
	cli_json_close(json, '}');
}

void draw_json(const struct draw *draw, FILE *out)
{
	struct cli_json json = {.out = out};
	cli_json_open(&json, NULL, '{');
	cli_json_string(&json, "volume", draw->asked.path->volume);
	cli_json_open(&json, "boxes", '[');
	for (size_t i = 0; i < draw->len; i++)
		put_box(&json, &draw->boxes[i], i);
	cli_json_close(&json, ']');
	cli_json_open(&json, "edges", '[');
	for (size_t i = 0; i < draw->nedges; i++) {
		const struct draw_edge *e = &draw->edges[i];
		cli_json_open(&json, NULL, '{');
		cli_json_string(&json, "kind", lines[e->kind]);
		put_end(&json, "from", &e->from);
		put_end(&json, "to", &e->to);
		if (e->kind == DRAW_SHARED)
			cli_json_number(&json, "bytes", e->bytes);
		cli_json_close(&json, '}');
	}
	cli_json_close(&json, ']');
	cli_json_number(&json, "left_out", draw->left_out);
	cli_json_number(&json, "not_opened", draw->left_out_dir);
	cli_json_close(&json, '}');
}
