/*
 * draw_dot.c - the picture in Graphviz's language. The same graph always gives the same text. Kinds are told by shape, line and words, never
 * by colour.
 */
#include "draw.h"
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>

#define NAME_COLUMNS 36
#define PATH_COLUMNS 40
#define SHORT_COLUMNS 20
#define FONT "Helvetica,Arial,sans-serif"

/* How each kind looks; DRAW_DIR is a table. */
static const char *const shapes[DRAW_KINDS] = {
	[DRAW_DIR] = "shape=plain",
	[DRAW_INODE] = "shape=box, style=rounded",
	[DRAW_OUTSIDE] = "shape=box, style=dashed",
	[DRAW_POINTER] = "shape=box, style=dashed",
	[DRAW_MISSING] = "shape=box, style=dotted, penwidth=1.6",
	[DRAW_LEAVES] = "shape=cds, style=dashed",
};

static const struct line {
	const char *attributes;
	const char *legend; /* what it is called below the picture */
} lines[DRAW_EDGES] = {
	[DRAW_NAME] = {"penwidth=1.8", "thick line: name"},
	[DRAW_SYMLINK] = {"style=dashed, arrowhead=vee", "dashed: symlink"},
	[DRAW_TRACKED] = {"style=dashed, penwidth=2.4, arrowhead=vee", "thick dashes: tracked symlink"},
	[DRAW_DANGLING] = {"style=dotted, penwidth=1.6, arrowhead=tee", "dotted: symlink that leads nowhere"},
	[DRAW_BIND] = {"penwidth=1.8, arrowhead=dotnormal", "with a dot: bind"},
	[DRAW_SHARED] = {"color=\"black:invis:black\", dir=none", "double: shared blocks"},
};

static void put_id(const struct draw *draw, size_t index, FILE *out)
{
	const struct draw_box *box = &draw->boxes[index];
	if (box->kind == DRAW_DIR)
		fprintf(out, "d%" PRIu64, box->st.ino);
	else if (box->kind == DRAW_INODE)
		fprintf(out, "i%" PRIu64, box->st.ino);
	else
		fprintf(out, "x%zu", index);
}

/* A table cell's tooltip, when what it shows is not all of it. */
static void put_tooltip(FILE *out, const char *name, size_t len, const char *text, size_t text_len)
{
	fputs(" HREF=\"#\" TITLE=\"", out);
	draw_text(out, name, len, DRAW_NO_LIMIT);
	if (text) {
		fputs(" &#8594; ", out);
		draw_text(out, text, text_len, DRAW_NO_LIMIT);
	}
	fputc('"', out);
}

static void put_size(const struct linkfs_stat *st, FILE *out)
{
	char size[32];
	cli_human_size(st->size, 1024, size);
	fprintf(out, "%s%s", size, st->size >= 1024 ? "" : st->size == 1 ? " byte" : " bytes");
}

/* The edge of a row that ends in the same box: no line is drawn for it, for Graphviz leads such lines far around. */
static const struct draw_edge *inner_edge(const struct draw *draw, enum draw_edge_kind kind, size_t box, size_t row)
{
	for (size_t i = 0; i < draw->nedges; i++) {
		const struct draw_edge *e = &draw->edges[i];
		if (e->kind == kind && e->from.box == box && e->from.row == row && e->to.box == box)
			return e;
	}
	return NULL;
}

/* In place of the line: an arrow towards the other row. */
static void put_inner_link(const struct draw *draw, size_t box, size_t row, FILE *out)
{
	const struct draw_edge *e = inner_edge(draw, DRAW_SYMLINK, box, row);
	if (!e)
		e = inner_edge(draw, DRAW_TRACKED, box, row);
	const struct draw_edge *fails = e ? NULL : inner_edge(draw, DRAW_DANGLING, box, row);
	if (!e)
		e = fails;
	if (e)
		fputs(e->to.row != DRAW_WHOLE && e->to.row > row ? " &#8595;" : " &#8593;", out);
	if (fails && !draw->boxes[box].rows[row].note)
		fputs("&#160; <FONT POINT-SIZE=\"9\"><I>leads nowhere</I></FONT>", out);
}

static void put_inner_shared(const struct draw *draw, size_t box, size_t row, FILE *out)
{
	const struct draw_edge *e = inner_edge(draw, DRAW_SHARED, box, row);
	char size[32];
	if (!e)
		return;
	cli_human_size(e->bytes, 1024, size);
	fprintf(out, "&#160; <FONT POINT-SIZE=\"9\"><I>shares %s with ", size);
	draw_text(out, draw->boxes[box].rows[e->to.row].name, draw->boxes[box].rows[e->to.row].len, SHORT_COLUMNS);
	fputs("</I></FONT>", out);
}

static void put_row(const struct draw *draw, size_t index, size_t number, FILE *out)
{
	const struct draw_row *row = &draw->boxes[index].rows[number];
	size_t at;
	bool dir = S_ISDIR(row->st.mode);
	bool box = !dir && draw_find_box(draw, DRAW_INODE, row->st.ino, &at);
	fprintf(out, "<TR><TD PORT=\"r%zu\" ALIGN=\"LEFT\"", number);
	if (draw_text_is_long(row->name, row->len, NAME_COLUMNS) ||
	    (row->text && draw_text_is_long(row->text, row->text_len, NAME_COLUMNS)))
		put_tooltip(out, row->name, row->len, row->text, row->text_len);
	fputc('>', out);
	draw_text(out, row->name, row->len, NAME_COLUMNS);
	if (dir)
		fputc('/', out);
	if (row->text) {
		fputs(" &#8594; ", out);
		draw_text(out, row->text, row->text_len, NAME_COLUMNS);
		put_inner_link(draw, index, number, out);
	} else if (!dir && !box) {
		fputs("&#160; <FONT POINT-SIZE=\"9\">", out);
		if (S_ISREG(row->st.mode))
			put_size(&row->st, out);
		else
			fputs(cli_type_word(row->st.mode), out);
		fputs("</FONT>", out);
		put_inner_shared(draw, index, number, out);
	}
	if (row->note)
		fprintf(out, "&#160; <FONT POINT-SIZE=\"9\"><I>%s</I></FONT>", row->note);
	fputs("</TD></TR>", out);
}

static void put_title(const struct draw_box *box, FILE *out)
{
	const char *slash = strrchr(box->path, '/');
	const char *title = box->first || !slash ? box->path : box->title ? box->title : slash + 1;
	size_t len = strlen(title);
	fputs("<TD PORT=\"h\" ALIGN=\"LEFT\" BGCOLOR=\"#dddddd\"", out);
	if (draw_text_is_long(title, len, PATH_COLUMNS))
		put_tooltip(out, title, len, NULL, 0);
	fprintf(out, "%s><B>", box->asked ? " BORDER=\"2\"" : "");
	draw_text(out, title, len, PATH_COLUMNS);
	if (len == 0 || title[len - 1] != '/')
		fputc('/', out);
	fprintf(out, "</B>&#160; <FONT POINT-SIZE=\"9\">inode %" PRIu64 "</FONT></TD>", box->st.ino);
}

static void put_dir(const struct draw *draw, size_t index, FILE *out)
{
	const struct draw_box *box = &draw->boxes[index];
	fputs("<<TABLE BORDER=\"0\" CELLBORDER=\"1\" CELLSPACING=\"0\" CELLPADDING=\"4\" BGCOLOR=\"white\"><TR>", out);
	put_title(box, out);
	fputs("</TR>", out);
	for (size_t i = 0; i < box->len; i++)
		put_row(draw, index, i, out);
	if (box->left_out)
		fprintf(out, "<TR><TD ALIGN=\"LEFT\"><I>&#8230; %" PRIu64 " more not drawn</I></TD></TR>",
			box->left_out);
	if (box->note)
		fprintf(out, "<TR><TD ALIGN=\"LEFT\"><I>%s</I></TD></TR>", box->note);
	else if (!box->len && !box->left_out)
		fputs("<TR><TD ALIGN=\"LEFT\"><I>empty</I></TD></TR>", out);
	fputs("</TABLE>>", out);
}

static void put_others(const struct draw_box *box, FILE *out)
{
	uint64_t told = 0;
	for (; told < DRAW_OTHERS && box->others[told]; told++) {
		fputs(told ? "<BR ALIGN=\"LEFT\"/>"
			   : "<BR ALIGN=\"LEFT\"/><FONT POINT-SIZE=\"9\">not drawn:<BR ALIGN=\"LEFT\"/>",
		      out);
		draw_text(out, box->others[told], strlen(box->others[told]), PATH_COLUMNS);
	}
	if (box->others_count > told)
		fprintf(out, "<BR ALIGN=\"LEFT\"/>and %" PRIu64 " more", box->others_count - told);
	if (told)
		fputs("</FONT>", out);
	if (box->hidden)
		fprintf(out, "<BR ALIGN=\"LEFT\"/><FONT POINT-SIZE=\"9\">%" PRIu64 " where you may not search</FONT>",
			box->hidden);
}

static void put_inode(const struct draw_box *box, FILE *out)
{
	fprintf(out, "<<B>inode %" PRIu64 "</B><BR ALIGN=\"LEFT\"/>%s", box->st.ino, cli_type_word(box->st.mode));
	if (S_ISREG(box->st.mode)) {
		fputs(", ", out);
		put_size(&box->st, out);
	}
	fprintf(out, "<BR ALIGN=\"LEFT\"/>%" PRIu32 " name%s", box->st.nlink, box->st.nlink == 1 ? "" : "s");
	put_others(box, out);
	if (box->note)
		fprintf(out, "<BR ALIGN=\"LEFT\"/><I>%s</I>", box->note);
	fputs("<BR ALIGN=\"LEFT\"/>>", out);
}

static void put_other_box(const struct draw_box *box, FILE *out)
{
	fputc('<', out);
	draw_text(out, box->path, strlen(box->path), PATH_COLUMNS);
	if (S_ISDIR(box->st.mode) && strcmp(box->path, "/") != 0)
		fputc('/', out);
	if (box->text) {
		fputs(" &#8594; ", out);
		draw_text(out, box->text, strlen(box->text), NAME_COLUMNS);
	}
	if (box->note)
		fprintf(out, "<BR/><FONT POINT-SIZE=\"9\">%s</FONT>", box->note);
	else if (box->st.ino)
		fprintf(out, "<BR/><FONT POINT-SIZE=\"9\">%s, inode %" PRIu64 "</FONT>", cli_type_word(box->st.mode),
			box->st.ino);
	fputc('>', out);
}

static void put_box(const struct draw *draw, size_t index, FILE *out)
{
	const struct draw_box *box = &draw->boxes[index];
	if (box->gone)
		return;
	fputs("  ", out);
	put_id(draw, index, out);
	fprintf(out, " [%s%s, label=", shapes[box->kind],
		box->kind == DRAW_INODE && box->asked ? ", peripheries=2" : "");
	if (box->kind == DRAW_DIR)
		put_dir(draw, index, out);
	else if (box->kind == DRAW_INODE)
		put_inode(box, out);
	else
		put_other_box(box, out);
	fputs("];\n", out);
}

static void put_end(const struct draw *draw, const struct draw_end *end, char side, FILE *out)
{
	put_id(draw, end->box, out);
	if (end->row != DRAW_WHOLE)
		fprintf(out, ":r%zu", end->row);
	else if (draw->boxes[end->box].kind == DRAW_DIR)
		fputs(":h", out);
	fprintf(out, ":%c", side);
}

/* Edges go from left to right, but for those that lead back to what stands further left already: they leave on that side, and have no say in
 * where boxes stand. */
static void put_edge(const struct draw *draw, const struct draw_edge *e, FILE *out)
{
	const struct draw_box *from = &draw->boxes[e->from.box], *to = &draw->boxes[e->to.box];
	bool onward = to->depth > from->depth || from->kind == DRAW_POINTER;
	fputs("  ", out);
	put_end(draw, &e->from, to->depth < from->depth && !onward ? 'w' : 'e', out);
	fputs(" -> ", out);
	put_end(draw, &e->to, onward ? 'w' : 'e', out);
	fprintf(out, " [%s", lines[e->kind].attributes);
	if (!onward || e->kind == DRAW_SHARED)
		fputs(", constraint=false", out);
	if (e->kind == DRAW_NAME && to->kind == DRAW_DIR)
		fputs(", weight=4", out);
	if (e->kind == DRAW_SHARED) {
		char size[32];
		cli_human_size(e->bytes, 1024, size);
		fprintf(out, ", label=\" %s shared\"", size);
	}
	fputs("];\n", out);
}

/* What lines mean, as far as there are any, and what is not in the picture. */
static void put_caption(const struct draw *draw, FILE *out)
{
	const char *between = "";
	fputs("<<FONT POINT-SIZE=\"9\">", out);
	for (size_t kind = 0; kind < DRAW_EDGES; kind++) {
		bool any = false;
		for (size_t i = 0; i < draw->nedges; i++)
			any |= draw->edges[i].kind == kind && draw->edges[i].from.box != draw->edges[i].to.box;
		if (any) {
			fprintf(out, "%s%s", between, lines[kind].legend);
			between = " &#183; ";
		}
	}
	if (draw->left_out) {
		fprintf(out, "%s%" PRIu64 " name%s not drawn", *between ? "<BR ALIGN=\"LEFT\"/>" : "", draw->left_out,
			draw->left_out == 1 ? "" : "s");
		between = " &#183; ";
	}
	if (draw->left_out_dir)
		fprintf(out, "%s%" PRIu64 " director%s not opened",
			draw->left_out ? between
			: *between     ? "<BR ALIGN=\"LEFT\"/>"
				       : "",
			draw->left_out_dir, draw->left_out_dir == 1 ? "y" : "ies");
	fputs("<BR ALIGN=\"LEFT\"/></FONT>>", out);
}

void draw_dot(const struct draw *draw, FILE *out)
{
	/* Tall pictures want room for lines between their columns. */
	size_t tenths = 6 + draw->used / 5;
	fprintf(out,
		"digraph linkfs {\n  graph [charset=\"UTF-8\", rankdir=LR, nodesep=0.25, ranksep=%zu.%zu, "
		"fontname=\"" FONT "\", labelloc=b, labeljust=l, label=",
		tenths / 10, tenths % 10);
	put_caption(draw, out);
	fputs("];\n  node [fontname=\"" FONT "\", fontsize=11];\n  edge [fontname=\"" FONT "\", fontsize=9];\n", out);
	for (size_t i = 0; i < draw->len; i++)
		put_box(draw, i, out);
	for (size_t i = 0; i < draw->nedges; i++) {
		if (draw->edges[i].from.box != draw->edges[i].to.box)
			put_edge(draw, &draw->edges[i], out);
	}
	fputs("}\n", out);
}
