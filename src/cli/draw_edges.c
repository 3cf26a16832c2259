/*
 * draw_edges.c - from each row of the picture to what it names, and from symlinks to what their text names first. Each symlink is walked by
 * the library's own walker (linkfs_path_explain()), whose steps tell that and where it fails.
 */
#include "draw.h"
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define FAULT_KEY (UINT64_C(1) << 63) /* no inode's number */

/* What a walk over a symlink has shown. */
struct walked {
	struct draw *draw;
	char *here;     /* the directory it stands in; NULL: may not be known, or above the volume's root */
	char *fault;    /* the last component that was looked up, with its directory */
	uint64_t dir;   /* likewise, by number */
	uint32_t above; /* directories of the host above the root */
	size_t left;    /* components of the symlink's text, and of what that expands to, that are still to be walked */
	bool counting;
	/* What the text's last component names, before that is followed. */
	bool found;
	struct linkfs_stat st;
	uint64_t st_dir;
	char *st_name; /* NULL: it was named by "..", or "/" */
	char *st_path;
	int error; /* of the walk to its end */
};

static size_t components(const char *text, size_t len)
{
	size_t count = 0;
	for (size_t i = 0; i < len; i++)
		count += text[i] != '/' && (i == 0 || text[i - 1] == '/');
	return count;
}

static int set(char **to, char *value)
{
	free(*to);
	*to = value;
	return value ? 0 : LINKFS_ENOMEM;
}

static int looked_up(struct walked *w, const struct linkfs_step *s)
{
	int error = 0;
	char *path = w->here ? cli_join(w->here, s->name) : cli_strdup(s->name);
	bool last = w->counting && !w->found && w->left == 1;
	if (!path)
		return LINKFS_ENOMEM;
	if (!s->error && last) {
		error = set(&w->st_name, cli_strdup(s->name));
		if (!error)
			error = set(&w->st_path, cli_strdup(path));
	}
	free(w->fault);
	w->fault = path;
	return error;
}

/* A component was walked: was it the text's last? */
static int consumed(struct walked *w, const struct linkfs_step *s)
{
	if (!w->counting || w->found || s->error)
		return 0;
	if (--w->left > 0 || w->above)
		return 0;
	w->found = true;
	w->st = s->stat;
	w->st_dir = w->dir;
	if (s->kind == LINKFS_STEP_HOST) { /* down into the volume again */
		w->st = (struct linkfs_stat){0};
		int error = linkfs_node_getattr(w->draw->asked.volume, LINKFS_ROOT_INO, &w->st);
		if (error)
			return error;
	}
	return w->st_path || !w->here ? 0 : set(&w->st_path, cli_strdup(w->here));
}

static int on_step(void *arg, const struct linkfs_step *s)
{
	struct walked *w = arg;
	int error = 0;
	if (s->kind == LINKFS_STEP_END) {
		w->error = s->error;
		if (!s->error && w->counting && !w->found) { /* a text of slashes alone */
			w->found = true;
			w->st = s->stat;
			error = set(&w->st_path, cli_strdup("/"));
		}
		return error;
	}
	w->above = s->above;
	if (s->kind == LINKFS_STEP_SEARCH)
		w->dir = s->stat.ino;
	if (s->kind == LINKFS_STEP_ENTRY)
		error = looked_up(w, s);
	if (!error && s->path && *s->path)
		error = set(&w->here, cli_strdup(s->path));
	if (!error && s->kind == LINKFS_STEP_EXPAND && !s->error) {
		w->left += components(s->text, s->text_len);
		w->counting = true;
	} else if (!error && (s->kind == LINKFS_STEP_ENTRY || s->kind == LINKFS_STEP_DOT || s->kind == LINKFS_STEP_UP ||
			      s->kind == LINKFS_STEP_HOST)) {
		error = consumed(w, s);
	}
	return error;
}

static void walked_done(struct walked *w)
{
	free(w->here);
	free(w->fault);
	free(w->st_name);
	free(w->st_path);
}

/* ---- where edges end ---- */

static bool find_any_row(const struct draw *draw, uint64_t ino, struct draw_end *out)
{
	for (size_t i = 0; i < draw->len; i++) {
		for (size_t k = 0; k < draw->boxes[i].len; k++) {
			if (draw->boxes[i].rows[k].st.ino == ino) {
				*out = (struct draw_end){i, k};
				return true;
			}
		}
	}
	return false;
}

static bool find_end(const struct draw *draw, const struct walked *w, struct draw_end *out)
{
	const struct linkfs_stat *st = &w->st;
	*out = (struct draw_end){0, DRAW_WHOLE};
	if (S_ISDIR(st->mode) && draw_find_box(draw, DRAW_DIR, st->ino, &out->box))
		return true;
	if (!S_ISLNK(st->mode) && draw_find_box(draw, DRAW_INODE, st->ino, &out->box))
		return true;
	return (w->st_name && draw_find_row(draw, w->st_dir, w->st_name, strlen(w->st_name), out)) ||
	       find_any_row(draw, st->ino, out);
}

/* A small box for what is not in the tree; the same for all that lead there. False when there is no room. */
static int need_box(struct draw *draw, enum draw_box_kind kind, const struct linkfs_stat *st, const char *path,
		    const char *note, bool *room_out, size_t *out)
{
	*room_out = true;
	for (size_t i = 0; i < draw->len; i++) {
		const struct draw_box *box = &draw->boxes[i];
		bool same = st ? box->st.ino == st->ino : strcmp(box->path, path) == 0 && box->note == note;
		if (box->kind == kind && same) {
			*out = i;
			return 0;
		}
	}
	if (draw->used >= draw->max) {
		*room_out = false;
		draw->left_out++;
		return 0;
	}
	draw->used++;
	int error = draw_add_box(draw, kind, st, path, out);
	if (!error)
		draw->boxes[*out].note = note;
	return error;
}

static int lead(struct draw *draw, struct draw_end from, const struct walked *w)
{
	struct draw_row *row = &draw->boxes[from.box].rows[from.row];
	bool fails = w->error && w->error != LINKFS_EACCES, room = true;
	struct draw_end to = {0, DRAW_WHOLE};
	size_t inode;
	int error = 0;
	/* A symlink with a box of its own and no second name leads from there. */
	struct draw_end start = from;
	if (row->st.nlink == 1 && draw_find_box(draw, DRAW_INODE, row->st.ino, &inode))
		start = (struct draw_end){inode, DRAW_WHOLE};
	if (w->error == LINKFS_EACCES)
		row->note = "you may not follow it";
	if (w->error == LINKFS_ELOOP)
		row->note = "loops";
	if (w->found) {
		if (!find_end(draw, w, &to))
			error = need_box(draw, DRAW_OUTSIDE, &w->st, w->st_path, NULL, &room, &to.box);
	} else if (w->error == LINKFS_EXDEV) {
		error = need_box(draw, DRAW_LEAVES, NULL, row->text, "outside the volume", &room, &to.box);
	} else if (fails) {
		error = need_box(draw, DRAW_MISSING, NULL, w->fault ? w->fault : "", linkfs_strerror(w->error), &room,
				 &to.box);
	} else {
		return 0;
	}
	if (!error && !room)
		draw->boxes[from.box].rows[from.row].note = "target not drawn";
	if (error || !room || (to.box == from.box && to.row == from.row))
		return error;
	bool tracked = draw->boxes[from.box].rows[from.row].st.flags & LINKFS_INO_TRACKED;
	return draw_add_edge(draw, fails ? DRAW_DANGLING : tracked ? DRAW_TRACKED : DRAW_SYMLINK, start, to, 0);
}

int draw_target(struct draw *draw, uint64_t dir, const char *name, uint64_t *key_out, bool *present_out)
{
	struct walked w = {.draw = draw};
	struct draw_end end;
	int error = linkfs_path_explain(draw->asked.volume, &draw->cli->cred, dir, name, 0, &draw->asked.options,
					on_step, &w);
	*present_out = !error && w.found && find_end(draw, &w, &end);
	*key_out = 0;
	if (!error && w.found) {
		*key_out = w.st.ino;
	} else if (!error && w.error && w.error != LINKFS_EACCES && w.fault) {
		uint64_t hash = FAULT_KEY;
		for (const char *p = w.fault; *p; p++)
			hash = (hash ^ (unsigned char)*p) * UINT64_C(0x100000001b3);
		*key_out = hash | FAULT_KEY;
	}
	walked_done(&w);
	/* Removed meanwhile: draw_edges() will see. */
	if (error == LINKFS_ENOMEM)
		return draw_no_memory(draw);
	return error == LINKFS_ESTALE ? 0 : error;
}

static int follow(struct draw *draw, struct draw_end from)
{
	const struct draw_box *box = &draw->boxes[from.box];
	const struct draw_row *row = &box->rows[from.row];
	struct walked w = {.draw = draw};
	int error = row->text ? linkfs_path_explain(draw->asked.volume, &draw->cli->cred, box->st.ino, row->name, 0,
						    &draw->asked.options, on_step, &w)
			      : 0;
	if (!error && row->text && (w.counting || w.error))
		error = lead(draw, from, &w);
	walked_done(&w);
	return error == LINKFS_ENOMEM ? draw_no_memory(draw) : error;
}

static int row_edges(struct draw *draw, struct draw_end from)
{
	const struct draw_row *row = &draw->boxes[from.box].rows[from.row];
	struct draw_end to = {0, DRAW_WHOLE};
	bool dir = S_ISDIR(row->st.mode);
	int error = 0;
	if (draw_find_box(draw, dir ? DRAW_DIR : DRAW_INODE, row->st.ino, &to.box))
		error = draw_add_edge(draw, row->bind ? DRAW_BIND : DRAW_NAME, from, to, 0);
	return !error && S_ISLNK(row->st.mode) ? follow(draw, from) : error;
}

int draw_edges(struct draw *draw)
{
	size_t boxes = draw->len; /* those that come now have no rows */
	for (size_t i = 0; i < boxes; i++) {
		for (size_t k = 0; k < draw->boxes[i].len; k++) {
			int error = cli_cancelled(draw->cli) ? LINKFS_EINTR : row_edges(draw, (struct draw_end){i, k});
			if (error)
				return error;
		}
	}
	return 0;
}
