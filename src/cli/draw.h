/*
 * draw.h - linkfs draw: the picture as a graph of boxes, rows and edges, who fills it, and who writes it down. Everything here runs where the
 * command runs, in the owner of a live volume too; only draw_file.c and draw_render.c run in the caller's process.
 *
 * A directory is a box with a row for each name in it that is drawn. A file with one name is its row; one with several, or one that was
 * asked about, is a box of its own, to which each of its names leads. What is not in the tree that is drawn (a symlink's target
 * elsewhere, or one that is missing) is a small box of its own.
 */
#ifndef CLI_DRAW_H
#define CLI_DRAW_H

#include "links.h"

enum draw_box_kind {
	DRAW_DIR,     /* with rows */
	DRAW_INODE,   /* a file by its number */
	DRAW_OUTSIDE, /* a file or directory of the volume outside the tree that is drawn */
	DRAW_POINTER, /* a symlink outside the tree that leads into it */
	DRAW_MISSING, /* what a symlink looks for in vain */
	DRAW_LEAVES,  /* a place of the host, outside the volume */
	DRAW_KINDS,
};

enum draw_edge_kind {
	DRAW_NAME,     /* a directory's entry to what it names */
	DRAW_SYMLINK,  /* to what its text names */
	DRAW_TRACKED,  /* a tracked symlink's (D5) */
	DRAW_DANGLING, /* a symlink whose walk fails */
	DRAW_BIND,     /* an entry to what a bind shows there (C1) */
	DRAW_SHARED,   /* two files that have blocks in common */
	DRAW_EDGES,
};

struct draw_row {
	char *name;
	size_t len;
	struct linkfs_stat st;
	char *text; /* a symlink's */
	size_t text_len;
	const char *note; /* static, or NULL */
	bool bind;        /* a bind stands there */
};

#define DRAW_OTHERS 3 /* names of a file that are told in words */
struct draw_box {
	enum draw_box_kind kind;
	struct linkfs_stat st; /* ino 0: DRAW_MISSING, DRAW_LEAVES */
	char *path;            /* from the root; DRAW_MISSING: as far as it is known; DRAW_LEAVES: a symlink's text */
	char *title; /* DRAW_DIR: several components when it stands for directories with nothing else in them; or NULL */
	char *text;  /* DRAW_POINTER: the symlink's */
	const char *note; /* static, or NULL: why something is not shown, or is not there */
	struct draw_row *rows;
	size_t len, cap;
	uint64_t left_out; /* entries of a directory that have no row */
	unsigned depth;    /* below the first box of its tree */
	bool first;        /* shown with its whole path */
	bool asked;        /* an operand */
	bool gone;         /* merged into another box */
	bool partial;      /* DRAW_DIR: only rows that have to do with the files that were asked about */
	/* DRAW_INODE: names that have no row. */
	char *others[DRAW_OTHERS]; /* the first ones, sorted */
	uint64_t others_count, hidden;
};

#define DRAW_WHOLE SIZE_MAX
struct draw_end {
	size_t box, row; /* row DRAW_WHOLE: the box, a directory's head */
};
struct draw_edge {
	enum draw_edge_kind kind;
	struct draw_end from, to;
	uint64_t bytes; /* DRAW_SHARED */
};

struct draw {
	struct cli *cli;
	struct cli_asked asked; /* its path is the first operand */
	struct draw_box *boxes;
	size_t len, cap;
	struct draw_edge *edges;
	size_t nedges, edges_cap;
	size_t used, max;      /* rows and boxes that count, and how many there may be */
	unsigned depth;        /* UINT32_MAX: no limit */
	bool pointers;         /* for directories: who points here */
	bool no_pointers;      /* for files: not */
	uint64_t left_out;     /* names and symlinks that found no room */
	uint64_t left_out_dir; /* directories that were not opened */
};

/* draw_graph.c. All of them tell when there is no memory, and return its error. */
int draw_add_box(struct draw *draw, enum draw_box_kind kind, const struct linkfs_stat *st, const char *path,
		 size_t *index_out);
int draw_add_row(struct draw *draw, size_t box, const char *name, size_t len, const struct linkfs_stat *st);
int draw_add_edge(struct draw *draw, enum draw_edge_kind kind, struct draw_end from, struct draw_end to,
		  uint64_t bytes);
/* The box of a directory, or of a file that has one; false when there is none. */
bool draw_find_box(const struct draw *draw, enum draw_box_kind kind, uint64_t ino, size_t *index_out);
bool draw_find_row(const struct draw *draw, uint64_t dir, const char *name, size_t len, struct draw_end *out);
/* Makes sure that a file has a box. */
int draw_need_inode(struct draw *draw, const struct linkfs_stat *st, size_t *index_out);
int draw_no_memory(struct draw *draw);
void draw_sort(struct draw *draw);
/* For a picture to look at, after the edges: puts directories with nothing in them but one directory into that one's title, and finds out which
 * box stands how far to the right. */
int draw_merge(struct draw *draw);
void draw_done(struct draw *draw);

/* draw_pick.c: the best few of many, in bounded memory. */
struct draw_candidate {
	char *name; /* or path */
	size_t len;
	unsigned rank; /* lower is better; then by name */
	struct linkfs_stat st;
	uint64_t dir; /* names and symlinks of a file: the directory, and the last component of name */
	char *text;   /* a symlink's, or NULL */
};
struct draw_pick {
	struct cli *cli; /* whose interrupt ends the gathering */
	struct draw_candidate *list;
	size_t len, cap, max, next;
	uint64_t dropped;
};
/* what: all but the strings, which are copied. LINKFS_ENOMEM, LINKFS_EINTR. */
int draw_pick_add(struct draw_pick *pick, const char *name, size_t len, const char *text,
		  const struct draw_candidate *what);
void draw_pick_sort(struct draw_pick *pick);
void draw_pick_done(struct draw_pick *pick);

/* draw_tree.c: directories that were asked about, and what is below them. draw_names.c: files, with all that leads to them. */
int draw_tree(struct draw *draw, const struct linkfs_stat *st);
int draw_file(struct draw *draw, const struct linkfs_stat *const *files, size_t count);
/* Of each box of a file: the names that have no row. */
int draw_others(struct draw *draw);
/* The smallest path of a directory that the caller may know; NULL and 0: none. Allocated. */
int draw_dir_path(struct draw *draw, uint64_t ino, char **out);

/* draw_binds.c: which rows show what a bind shows; their files get boxes. Before the edges. */
int draw_binds(struct draw *draw);
/* draw_edges.c: from each row to what it names or leads to. draw_shared.c: between files with common blocks. */
int draw_edges(struct draw *draw);
/* What a symlink leads to first, as a number: an inode's, or one made of the place where its walk fails; 0 when that is not told. present: it is
 * drawn already. */
int draw_target(struct draw *draw, uint64_t dir, const char *name, uint64_t *key_out, bool *present_out);
int draw_shared(struct draw *draw);

/* draw_text.c: bytes as text for Graphviz's HTML-like labels and their tooltips, whatever they are: what is no printable UTF-8 is shown as \ooo.
 * Shortened in the middle when it is wider than columns. */
#define DRAW_NO_LIMIT SIZE_MAX
void draw_text(FILE *out, const char *bytes, size_t len, size_t columns);
bool draw_text_is_long(const char *bytes, size_t len, size_t columns);

/* draw_dot.c, draw_json.c */
void draw_dot(const struct draw *draw, FILE *out);
void draw_json(const struct draw *draw, FILE *out);

/* ---- in the caller's process ---- */

enum draw_format { DRAW_DOT, DRAW_SVG, DRAW_PNG, DRAW_JSON, DRAW_FORMATS };
/* draw_file.c: -T, -o. */
extern const struct cli_capture draw_capture;
enum { DRAW_OPT_FORMAT = 'T', DRAW_OPT_OUTPUT = 'o', DRAW_OPT_JSON = 256 };
int draw_choose_format(struct cli *cli, const struct cli_args *args, enum draw_format *out);

/* draw_render.c, or draw_render_none.c without Graphviz. Runs in a process of its own: Graphviz keeps global state, prints, and may fail in
 * any way. Writes the picture of dot to fd; true when it did. */
extern const bool draw_can_render;
bool draw_render(const char *dot, const char *format, int fd);

#endif
