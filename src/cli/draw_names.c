/*
 * draw_names.c - a file with all that leads to it: its names and the symlinks to it, in their directories up to the one that holds them all.
 */
#include "draw.h"
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* One file's, the best so far. */
struct leading {
	struct draw_pick names, links;
	uint64_t hidden;
};

/* What found room: paths, and what they name. */
struct chosen {
	struct draw_candidate **list;
	size_t len, cap;
};

static int on_name(void *arg, const struct linkfs_name *name)
{
	struct draw_candidate c = {.dir = name->dir};
	return draw_pick_add(arg, name->path, name->path_len, NULL, &c);
}

static int on_link(void *arg, const struct linkfs_referrer *r)
{
	struct draw_candidate c = {.st = {.ino = r->link.ino, .mode = S_IFLNK | 0777}, .dir = r->link.dir};
	return draw_pick_add(arg, r->link.path, r->link.path_len, r->link.text, &c);
}

int draw_dir_path(struct draw *draw, uint64_t ino, char **out)
{
	struct draw_pick pick = {.cli = draw->cli, .max = 1};
	int error = linkfs_node_names(draw->asked.volume, &draw->cli->cred, ino, on_name, &pick, NULL);
	draw_pick_sort(&pick);
	*out = NULL;
	if (!error && pick.len && !(*out = cli_strdup(pick.list[0].name)))
		error = LINKFS_ENOMEM;
	draw_pick_done(&pick);
	return error == LINKFS_ENOMEM ? draw_no_memory(draw) : error;
}

static int gather(struct draw *draw, const struct linkfs_stat *st, struct leading *out)
{
	struct linkfs_volume *volume = draw->asked.volume;
	const struct linkfs_cred *cred = &draw->cli->cred;
	*out = (struct leading){.names = {.cli = draw->cli, .max = draw->max},
				.links = {.cli = draw->cli, .max = draw->max}};
	int error = linkfs_node_names(volume, cred, st->ino, on_name, &out->names, &out->hidden);
	if (!error && !draw->no_pointers)
		error = linkfs_node_referrers(volume, cred, st->ino, &draw->asked.options, on_link, &out->links);
	draw_pick_sort(&out->names);
	draw_pick_sort(&out->links);
	for (size_t i = 0; i < out->names.len; i++)
		out->names.list[i].st = *st;
	return error == LINKFS_ENOMEM ? draw_no_memory(draw) : error;
}

static bool has_dir(const struct chosen *chosen, uint64_t dir)
{
	for (size_t i = 0; i < chosen->len; i++) {
		if (chosen->list[i]->dir == dir)
			return true;
	}
	return false;
}

/* Those that find room, each with its directory's box when that is new. */
static int choose(struct draw *draw, struct draw_pick *pick, size_t most, struct chosen *chosen)
{
	for (; pick->next < pick->len; pick->next++) {
		struct draw_candidate *c = &pick->list[pick->next];
		size_t cost = has_dir(chosen, c->dir) ? 1 : 2;
		if (draw->used + cost > most)
			break;
		if (cli_grow(&chosen->list, &chosen->cap, chosen->len, sizeof(struct draw_candidate *)) != 0)
			return draw_no_memory(draw);
		chosen->list[chosen->len++] = c;
		draw->used += cost;
	}
	return 0;
}

static size_t dir_len(const char *path)
{
	return (size_t)(strrchr(path, '/') - path);
}

/* The path of the deepest directory that holds all of them, "" for the root. */
static char *common_dir(const struct chosen *chosen)
{
	const char *first = chosen->list[0]->name;
	size_t len = dir_len(first);
	for (size_t i = 1; i < chosen->len; i++) {
		const char *path = chosen->list[i]->name;
		size_t have = dir_len(path), same = 0, at = 0;
		while (at < len && at < have && first[at] == path[at]) {
			at++;
			if ((at == len || first[at] == '/') && (at == have || path[at] == '/'))
				same = at;
		}
		len = same;
	}
	return cli_format("%.*s", (int)len, first);
}

static int dir_box(struct draw *draw, const struct linkfs_stat *st, const char *path, size_t *out)
{
	if (draw_find_box(draw, DRAW_DIR, st->ino, out))
		return 0;
	int error = draw_add_box(draw, DRAW_DIR, st, path, out);
	if (!error)
		draw->boxes[*out].partial = true;
	return error;
}

/* One component of a path on the way to a name: a row in a box, and for a directory the box it leads to. */
static int step(struct draw *draw, size_t *box, const char *path, size_t start, size_t end)
{
	struct linkfs_stat st;
	struct draw_end at;
	const char *name = path + start;
	uint64_t dir = draw->boxes[*box].st.ino;
	int error = linkfs_node_lookup(draw->asked.volume, &draw->cli->cred, dir, name, end - start, 0, &st);
	if (!error && !draw_find_row(draw, dir, name, end - start, &at))
		error = draw_add_row(draw, *box, name, end - start, &st);
	if (!error && path[end] && !S_ISDIR(st.mode))
		error = LINKFS_ENOTDIR;
	if (!error && path[end]) {
		char *below = cli_format("%.*s", (int)end, path);
		error = below ? dir_box(draw, &st, below, box) : draw_no_memory(draw);
		free(below);
	}
	return error;
}

static int place(struct draw *draw, size_t top, size_t top_len, const char *path)
{
	size_t box = top, start = top_len + 1;
	int error = 0;
	while (!error && path[start]) {
		size_t end = start + strcspn(path + start, "/");
		error = step(draw, &box, path, start, end);
		start = path[end] ? end + 1 : end;
	}
	/* Renamed or removed since it was found, or closed to the caller: what is there now is not what was asked about. */
	if (error == LINKFS_ENOENT || error == LINKFS_ENOTDIR || error == LINKFS_EACCES || error == LINKFS_ESTALE) {
		draw->left_out++;
		error = 0;
	}
	return error;
}

static int place_all(struct draw *draw, const struct chosen *chosen)
{
	struct linkfs_stat st;
	size_t top;
	char *path = chosen->len ? common_dir(chosen) : NULL;
	if (!chosen->len)
		return 0;
	if (!path)
		return draw_no_memory(draw);
	int error = linkfs_path_stat(draw->asked.volume, &draw->cli->cred, LINKFS_ROOT_INO, *path ? path : "/",
				     LINKFS_NOFOLLOW, &st);
	if (!error)
		error = S_ISDIR(st.mode) ? dir_box(draw, &st, *path ? path : "/", &top) : LINKFS_ENOENT;
	for (size_t i = 0; !error && i < chosen->len; i++)
		error = place(draw, top, strlen(path), chosen->list[i]->name);
	free(path);
	return error;
}

int draw_file(struct draw *draw, const struct linkfs_stat *const *files, size_t count)
{
	struct leading *leading = cli_alloc(count * sizeof(*leading));
	struct chosen chosen = {0};
	size_t box, links = 0;
	int error = 0;
	if (!leading)
		return draw_no_memory(draw);
	for (size_t i = 0; !error && i < count; i++) {
		error = draw_need_inode(draw, files[i], &box);
		if (!error)
			error = gather(draw, files[i], &leading[i]);
		if (!error) {
			draw->boxes[box].asked = true;
			links += leading[i].links.len;
		}
	}
	/* Names first, but a quarter of the room is for symlinks, and every file gets a share. */
	size_t start = draw->used, room = draw->max > start ? draw->max - start : 0;
	size_t kept = links < room / 4 ? links : room / 4;
	for (size_t i = 0; !error && i < count; i++)
		error = choose(draw, &leading[i].names, start + (room - kept) * (i + 1) / count, &chosen);
	for (size_t i = 0; !error && i < count; i++)
		error = choose(draw, &leading[i].links, draw->max, &chosen);
	for (size_t i = 0; !error && i < count; i++)
		error = choose(draw, &leading[i].names, draw->max, &chosen);
	if (!error)
		error = place_all(draw, &chosen);
	for (size_t i = 0; i < count; i++) {
		struct leading *l = &leading[i];
		draw->left_out += l->names.dropped + (l->names.len - l->names.next) + l->links.dropped +
				  (l->links.len - l->links.next);
		draw_pick_done(&l->names);
		draw_pick_done(&l->links);
	}
	free(chosen.list);
	free(leading);
	return error;
}

/* ---- names in words ---- */

struct other {
	const struct draw *draw;
	struct draw_pick pick;
};

static int on_other(void *arg, const struct linkfs_name *name)
{
	struct other *other = arg;
	struct draw_candidate c = {.dir = name->dir};
	struct draw_end end;
	if (draw_find_row(other->draw, name->dir, name->name, name->name_len, &end))
		return 0;
	return draw_pick_add(&other->pick, name->path, name->path_len, NULL, &c);
}

int draw_others(struct draw *draw)
{
	int error = 0;
	for (size_t i = 0; !error && i < draw->len; i++) {
		struct draw_box *box = &draw->boxes[i];
		struct other other = {.draw = draw, .pick = {.cli = draw->cli, .max = DRAW_OTHERS}};
		if (box->kind != DRAW_INODE)
			continue;
		error = cli_gone(linkfs_node_names(draw->asked.volume, &draw->cli->cred, box->st.ino, on_other, &other,
						   &box->hidden));
		draw_pick_sort(&other.pick);
		box->others_count = other.pick.len + other.pick.dropped;
		for (size_t k = 0; !error && k < other.pick.len; k++) {
			box->others[k] = cli_strdup(other.pick.list[k].name);
			if (!box->others[k])
				error = LINKFS_ENOMEM;
		}
		if (error == LINKFS_ENOENT) {
			box->note = "removed meanwhile";
			error = 0;
		}
		draw_pick_done(&other.pick);
	}
	return error == LINKFS_ENOMEM ? draw_no_memory(draw) : error;
}
