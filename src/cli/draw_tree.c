/*
 * draw_tree.c - a directory and what is below it, breadth first, until the picture is full. Each directory first gets a share of the room;
 * what is left then goes to the first that has more. What takes part in links comes before what does not.
 */
#include "draw.h"
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define PART 4096
#define SHARE_MIN 4

/* A directory that is to be opened, or is and has more than found room. */
struct pending {
	char *path;
	struct linkfs_stat st;
	struct draw_end row; /* where its name is; box DRAW_WHOLE: nowhere */
	size_t box;
	unsigned depth;
	bool open;
	struct draw_pick rest;
};

struct tree {
	struct draw *draw;
	struct pending *list;
	size_t len, cap;
	/* What symlinks lead to that is not drawn yet (draw_target()): each will need room if it does not come by itself. */
	uint64_t *wanted;
	size_t nwanted, wanted_cap;
};

static size_t room(const struct tree *tree)
{
	const struct draw *draw = tree->draw;
	size_t taken = draw->used + tree->nwanted;
	return taken < draw->max ? draw->max - taken : 0;
}

static bool is_wanted(const struct tree *tree, uint64_t key, size_t *at_out)
{
	for (size_t i = 0; i < tree->nwanted; i++) {
		if (tree->wanted[i] == key) {
			*at_out = i;
			return true;
		}
	}
	return false;
}

static int want(struct tree *tree, uint64_t key)
{
	if (cli_grow(&tree->wanted, &tree->wanted_cap, tree->nwanted, sizeof(*tree->wanted)) != 0)
		return draw_no_memory(tree->draw);
	tree->wanted[tree->nwanted++] = key;
	return 0;
}

static int await(struct tree *tree, const char *path, const struct linkfs_stat *st, struct draw_end row, unsigned depth)
{
	char *copy = cli_strdup(path);
	if (!copy || cli_grow(&tree->list, &tree->cap, tree->len, sizeof(*tree->list)) != 0) {
		free(copy);
		return draw_no_memory(tree->draw);
	}
	tree->list[tree->len++] = (struct pending){.path = copy, .st = *st, .row = row, .depth = depth};
	return 0;
}

/* What takes part in links, and where more of it may be, comes before the rest. */
static unsigned rank_of(const struct linkfs_stat *st)
{
	return S_ISDIR(st->mode) || S_ISLNK(st->mode) || st->nlink > 1 ? 0 : 1;
}

static int read_dir(struct tree *tree, struct pending *p)
{
	struct draw *draw = tree->draw;
	struct cli_list list;
	uint64_t cookie = 0;
	int error;
	p->rest = (struct draw_pick){.cli = draw->cli, .max = room(tree) + 1};
	/* Who may list but not search could not learn more of a name than that it is there. */
	error = linkfs_node_access(draw->asked.volume, &draw->cli->cred, p->st.ino, 5);
	if (error)
		return error;
	do {
		error = cli_list_some(draw->cli, draw->asked.volume, p->st.ino, true, PART, &cookie, &list);
		if (error)
			return error;
		for (size_t i = 0; !error && i < list.len; i++) {
			const struct cli_entry *e = &list.entries[i];
			struct draw_candidate c = {.rank = rank_of(&e->st), .st = e->st};
			error = draw_pick_add(&p->rest, e->name, e->len, NULL, &c);
		}
		size_t len = list.len;
		cli_list_done(&list);
		if (error || len == 0)
			break;
	} while (true);
	draw_pick_sort(&p->rest);
	return error == LINKFS_ENOMEM ? draw_no_memory(draw) : error;
}

static int add_entry(struct tree *tree, size_t index, const struct draw_candidate *c)
{
	struct draw *draw = tree->draw;
	struct draw_end end;
	size_t box = tree->list[index].box, inode;
	unsigned depth = tree->list[index].depth;
	if (draw_find_row(draw, tree->list[index].st.ino, c->name, c->len, &end))
		return 0;
	int error = draw_add_row(draw, box, c->name, c->len, &c->st);
	if (error)
		return error;
	draw->used++;
	if (is_wanted(tree, c->st.ino, &inode))
		tree->wanted[inode] = tree->wanted[--tree->nwanted];
	if (!S_ISDIR(c->st.mode))
		return c->st.nlink > 1 ? draw_need_inode(draw, &c->st, &inode) : 0;
	end = (struct draw_end){box, draw->boxes[box].len - 1};
	if (depth + 1 > draw->depth) {
		draw->boxes[end.box].rows[end.row].note = "not opened";
		draw->left_out_dir++;
		return 0;
	}
	char *path = cli_join(tree->list[index].path, c->name);
	error = path ? await(tree, path, &c->st, end, depth + 1) : draw_no_memory(draw);
	free(path);
	return error;
}

/* How much room an entry takes: its row, the box of a file with several names, what a symlink leads to (*key_out, 0: nothing new). */
static int cost_of(struct tree *tree, uint64_t dir, const struct draw_candidate *c, size_t *cost_out, uint64_t *key_out)
{
	bool present = true;
	size_t at;
	int error = 0;
	*cost_out = 1;
	*key_out = 0;
	if (!S_ISDIR(c->st.mode) && c->st.nlink > 1 && !draw_find_box(tree->draw, DRAW_INODE, c->st.ino, &at))
		++*cost_out;
	if (S_ISLNK(c->st.mode))
		error = draw_target(tree->draw, dir, c->name, key_out, &present);
	if (present || *key_out == c->st.ino || is_wanted(tree, *key_out, &at))
		*key_out = 0;
	if (*key_out)
		++*cost_out;
	return error;
}

/* Gives rows to the next entries of a directory, at most about share of them. */
static int fill(struct tree *tree, size_t index, size_t share)
{
	for (;;) {
		struct draw_pick *rest = &tree->list[index].rest;
		size_t cost;
		uint64_t key;
		if (rest->next == rest->len || share == 0)
			return 0;
		const struct draw_candidate c = rest->list[rest->next];
		int error = cost_of(tree, tree->list[index].st.ino, &c, &cost, &key);
		if (error || cost > room(tree))
			return error;
		rest->next++;
		share--;
		error = add_entry(tree, index, &c); /* c's strings stay where they are; the list may not */
		if (!error && key)
			error = want(tree, key);
		if (error)
			return error;
	}
}

static int open_dir(struct tree *tree, size_t index, size_t share)
{
	struct draw *draw = tree->draw;
	struct pending *p = &tree->list[index];
	size_t box;
	bool have = draw_find_box(draw, DRAW_DIR, p->st.ino, &box);
	if (have && !draw->boxes[box].partial)
		return 0;
	if (!have && room(tree) == 0 && p->row.box != DRAW_WHOLE) {
		draw->boxes[p->row.box].rows[p->row.row].note = "not opened";
		draw->left_out_dir++;
		return 0;
	}
	int error = have ? 0 : draw_add_box(draw, DRAW_DIR, &p->st, p->path, &box);
	if (error)
		return error;
	draw->boxes[box].partial = false;
	p->box = box;
	p->open = true;
	error = read_dir(tree, p);
	if (error == LINKFS_EACCES)
		draw->boxes[box].note = "you may not list and search it";
	else if (error == LINKFS_ENOENT || error == LINKFS_ESTALE)
		draw->boxes[box].note = "removed meanwhile";
	else if (error == LINKFS_ECORRUPT || error == LINKFS_EIO)
		draw->boxes[box].note = "damaged: see linkfs check";
	else if (error)
		return error;
	return fill(tree, index, share);
}

/* So many rows that what waits to be opened finds room too. */
static size_t share_of(const struct tree *tree, size_t waiting)
{
	size_t share = room(tree) / (waiting ? waiting : 1), most = tree->draw->max / 4;
	if (share > most)
		share = most;
	return share < SHARE_MIN ? SHARE_MIN : share;
}

static int grow(struct tree *tree)
{
	size_t next = 0;
	for (;;) {
		int error = 0;
		size_t more = 0;
		for (; !error && next < tree->len; next++)
			error = cli_cancelled(tree->draw->cli) ? LINKFS_EINTR
							       : open_dir(tree, next, share_of(tree, tree->len - next));
		while (more < tree->len && tree->list[more].rest.next == tree->list[more].rest.len)
			more++;
		if (error || more == tree->len)
			return error;
		size_t before = tree->list[more].rest.next;
		error = fill(tree, more, share_of(tree, 1));
		if (error || tree->list[more].rest.next == before)
			return error;
	}
}

static int on_pointer(void *arg, const struct linkfs_referrer *r)
{
	const struct linkfs_link *link = &r->link;
	struct draw_candidate c = {.st = {.ino = link->ino, .mode = S_IFLNK | 0777}, .dir = link->dir};
	return draw_pick_add(arg, link->path, link->path_len, link->text, &c);
}

/* Symlinks that lead to the directory from outside the picture. */
static int add_pointers(struct draw *draw, const struct linkfs_stat *st, size_t dir)
{
	struct draw_pick pick = {.cli = draw->cli, .max = draw->max};
	int error = linkfs_node_referrers(draw->asked.volume, &draw->cli->cred, st->ino, &draw->asked.options,
					  on_pointer, &pick);
	draw_pick_sort(&pick);
	for (size_t i = 0; !error && i < pick.len; i++) {
		const struct draw_candidate *c = &pick.list[i];
		const char *name = strrchr(c->name, '/') + 1;
		struct draw_end end;
		size_t box;
		if (draw_find_row(draw, c->dir, name, strlen(name), &end))
			continue;
		if (draw->used >= draw->max) {
			draw->left_out++;
			continue;
		}
		draw->used++;
		error = draw_add_box(draw, DRAW_POINTER, &c->st, c->name, &box);
		if (!error)
			draw->boxes[box].text = cli_strdup(c->text);
		if (!error && !draw->boxes[box].text)
			error = draw_no_memory(draw);
		if (!error)
			error = draw_add_edge(draw, DRAW_SYMLINK, (struct draw_end){box, DRAW_WHOLE},
					      (struct draw_end){dir, DRAW_WHOLE}, 0);
	}
	draw->left_out += pick.dropped;
	draw_pick_done(&pick);
	return error;
}

int draw_tree(struct draw *draw, const struct linkfs_stat *st)
{
	struct tree tree = {.draw = draw};
	char *from_root = NULL;
	size_t box;
	int error = draw_dir_path(draw, st->ino, &from_root);
	if (!error)
		error = await(&tree, from_root ? from_root : "?", st, (struct draw_end){DRAW_WHOLE, DRAW_WHOLE}, 0);
	if (!error) {
		draw->used++;
		error = grow(&tree);
	}
	if (!error && draw_find_box(draw, DRAW_DIR, st->ino, &box)) {
		draw->boxes[box].asked = true;
		if (draw->pointers)
			error = add_pointers(draw, st, box);
	}
	for (size_t i = 0; i < tree.len; i++) {
		struct pending *p = &tree.list[i];
		uint64_t left = p->rest.dropped + (p->rest.len - p->rest.next);
		if (!error && p->open) {
			draw->boxes[p->box].left_out = left;
			draw->left_out += left;
		}
		draw_pick_done(&p->rest);
		free(p->path);
	}
	free(tree.list);
	free(tree.wanted);
	free(from_root);
	return error;
}
