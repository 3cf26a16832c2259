/*
 * tree.c - a whole tree as sorted lines, through either back end: path, attributes, explicit times, hashes of content
 * and xattrs, and for a file of several names the first of them.
 */
#include "diff.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct seen {
	uint64_t ino;
	char *path;
};

struct walk {
	const struct tree_view *view;
	struct text *out;
	struct text path;
	struct seen *seen;
	size_t count, room;
};

static const char *first_name(struct walk *walk, uint64_t ino)
{
	for (size_t i = 0; i < walk->count; i++) {
		if (walk->seen[i].ino == ino)
			return walk->seen[i].path;
	}
	if (walk->count == walk->room) {
		walk->room = walk->room ? walk->room * 2 : 64;
		walk->seen = realloc(walk->seen, walk->room * sizeof(*walk->seen));
		if (!walk->seen)
			lk_die("out of memory");
	}
	walk->seen[walk->count].ino = ino;
	walk->seen[walk->count].path = strdup(walk->path.bytes);
	if (!walk->seen[walk->count].path)
		lk_die("out of memory");
	walk->count++;
	return NULL;
}

uint64_t lk_tree_piece(uint64_t hash, uint64_t offset, const unsigned char *bytes, size_t len)
{
	/* Sums over 512-byte units that are not all zero: the order and the borders of pieces do not matter as long as
	 * offset is a multiple of 512. */
	static const unsigned char zeros[512];
	for (size_t at = 0; at < len; at += 512) {
		size_t unit = len - at < 512 ? len - at : 512;
		if (memcmp(bytes + at, zeros, unit) == 0)
			continue;
		while (unit && bytes[at + unit - 1] == 0)
			unit--;
		uint64_t place = offset + at;
		hash += lk_hash(lk_hash(0, &place, sizeof(place)), bytes + at, unit);
	}
	return hash;
}

static void walk_node(struct walk *walk, int64_t dir, const char *name, int64_t node)
{
	const struct tree_view *view = walk->view;
	struct answer_stat st;
	lk_text_add(walk->out, "%s", walk->path.bytes);
	int error = view->stat(view->state, node, &st);
	if (error) {
		lk_text_add(walk->out, " stat: %s\n", lk_errno_name(error));
		return;
	}
	struct name_list list = {0};
	if (S_ISDIR(st.mode)) {
		/* The listing first: it may touch the access time that the line shows. */
		error = view->list(view->state, node, &list);
		if (error)
			lk_text_add(walk->out, " list: %s", lk_errno_name(error));
		lk_names_sort(&list);
	}
	lk_answer_stat(walk->out, &st, view->side);
	if (S_ISREG(st.mode) || S_ISLNK(st.mode)) {
		uint64_t hash = 0;
		error = view->content(view->state, dir, name, node, st.mode, &hash);
		if (error)
			lk_text_add(walk->out, " content: %s", lk_errno_name(error));
		else
			lk_text_add(walk->out, " #%016llx", (unsigned long long)hash);
	}
	uint64_t hash = 0;
	unsigned count = 0;
	error = view->xattrs(view->state, dir, name, node, &hash, &count);
	if (error)
		lk_text_add(walk->out, " xattrs: %s", lk_errno_name(error));
	else if (count)
		lk_text_add(walk->out, " xattrs %u #%016llx", count, (unsigned long long)hash);
	if (!S_ISDIR(st.mode) && st.nlink > 1) {
		const char *first = first_name(walk, st.ino);
		if (first)
			lk_text_add(walk->out, " = %s", first);
	}
	lk_text_add(walk->out, "\n");

	size_t path_len = walk->path.len;
	for (size_t i = 0; i < list.count; i++) {
		if (strcmp(list.names[i], ".") == 0 || strcmp(list.names[i], "..") == 0)
			continue;
		lk_text_add(&walk->path, "/");
		lk_text_escape(&walk->path, list.names[i], strlen(list.names[i]));
		int64_t child;
		error = view->open_child(view->state, node, list.names[i], &child);
		if (error) {
			lk_text_add(walk->out, "%s listed, but: %s\n", walk->path.bytes, lk_errno_name(error));
		} else {
			struct answer_stat child_st;
			if (view->stat(view->state, child, &child_st) == 0 &&
			    (child_st.ino != list.inos[i] || (child_st.mode & S_IFMT) != list.types[i]))
				lk_text_add(walk->out, "%s: the listing has type %o, stat %o; same inode: %d\n",
					    walk->path.bytes, list.types[i] >> 12,
					    (unsigned)(child_st.mode & S_IFMT) >> 12, child_st.ino == list.inos[i]);
			walk_node(walk, node, list.names[i], child);
			view->close(view->state, child);
		}
		walk->path.len = path_len;
		walk->path.bytes[path_len] = '\0';
	}
	lk_names_free(&list);
}

void lk_tree_list(const struct tree_view *view, struct text *out)
{
	struct walk walk = {.view = view, .out = out};
	lk_text_clear(&walk.path);
	lk_text_add(&walk.path, ".");
	int64_t root;
	int error = view->open_root(view->state, &root);
	if (error) {
		lk_text_add(out, "root: %s\n", lk_errno_name(error));
	} else {
		walk_node(&walk, -1, ".", root);
		view->close(view->state, root);
	}
	for (size_t i = 0; i < walk.count; i++)
		free(walk.seen[i].path);
	free(walk.seen);
	lk_text_free(&walk.path);
}
