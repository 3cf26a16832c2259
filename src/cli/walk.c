/*
 * walk.c - visiting a tree in a volume by inode numbers, with a stack of its own: a volume may be deeper than any stack.
 * Directories are read in parts; cookies stay good while what was read is being removed.
 */
#include "cli.h"
#include <linkfs_links.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define PART 4096

struct frame {
	struct cli_visit visit; /* of the directory itself */
	struct linkfs_stat st;
	char *name;
	uint64_t cookie;
	struct cli_list list;
	size_t next, display_len;
};

struct walk {
	struct cli *cli;
	struct linkfs_volume *volume;
	cli_visit_fn *pre, *post;
	void *arg;
	struct frame *frames;
	size_t len, cap;
	char *display;
	size_t display_len, display_cap;
};

static int set_display(struct walk *walk, size_t keep, const char *name, size_t len)
{
	size_t need = keep + len + 2;
	if (need > walk->display_cap) {
		char *p = realloc(walk->display, need * 2);
		if (!p)
			return LINKFS_ENOMEM;
		walk->display = p;
		walk->display_cap = need * 2;
	}
	if (keep && walk->display[keep - 1] != '/')
		walk->display[keep++] = '/';
	memcpy(walk->display + keep, name, len);
	walk->display_len = keep + len;
	walk->display[walk->display_len] = '\0';
	return 0;
}

static int push(struct walk *walk, const struct cli_visit *visit)
{
	char *name = strndup(visit->name, visit->len);
	if (!name || cli_grow(&walk->frames, &walk->cap, walk->len, sizeof(*walk->frames)) != 0) {
		free(name);
		return LINKFS_ENOMEM;
	}
	walk->frames[walk->len++] =
		(struct frame){.visit = *visit, .st = *visit->st, .name = name, .display_len = walk->display_len};
	return 0;
}

static int enter(struct walk *walk, const struct cli_visit *visit)
{
	int result = walk->pre ? walk->pre(walk->arg, visit) : 0;
	if (result == CLI_WALK_SKIP)
		return 0;
	if (result || !S_ISDIR(visit->st->mode))
		return result;
	return push(walk, visit);
}

static int leave(struct walk *walk)
{
	struct frame *frame = &walk->frames[walk->len - 1];
	struct cli_visit visit = frame->visit;
	visit.name = frame->name;
	visit.st = &frame->st;
	walk->display[frame->display_len] = '\0';
	visit.display = walk->display;
	int result = walk->post ? walk->post(walk->arg, &visit) : 0;
	free(frame->name);
	cli_list_done(&frame->list);
	walk->len--;
	return result;
}

static int step(struct walk *walk)
{
	struct frame *frame = &walk->frames[walk->len - 1];
	if (frame->next == frame->list.len) {
		cli_list_done(&frame->list);
		frame->next = 0;
		int error =
			cli_list_some(walk->cli, walk->volume, frame->st.ino, true, PART, &frame->cookie, &frame->list);
		if (error == LINKFS_EINTR)
			return error;
		if (error) {
			walk->display[frame->display_len] = '\0';
			cli_failf(walk->cli, walk->display, "cannot read the directory: %s", linkfs_strerror(error));
		}
		if (error || frame->list.len == 0)
			return leave(walk);
	}
	const struct cli_entry *e = &frame->list.entries[frame->next++];
	int error = set_display(walk, frame->display_len, e->name, e->len);
	if (error)
		return error;
	struct cli_visit visit = {.dir = frame->st.ino,
				  .name = e->name,
				  .len = e->len,
				  .st = &e->st,
				  .display = walk->display,
				  .depth = (unsigned)walk->len};
	return enter(walk, &visit);
}

int cli_walk(struct cli *cli, struct linkfs_volume *volume, const struct cli_visit *start, cli_visit_fn *pre,
	     cli_visit_fn *post, void *arg)
{
	struct walk walk = {.cli = cli, .volume = volume, .pre = pre, .post = post, .arg = arg};
	struct cli_visit visit = *start;
	int error = set_display(&walk, 0, start->display, strlen(start->display));
	if (!error) {
		visit.display = walk.display;
		error = enter(&walk, &visit);
	}
	while (!error && walk.len)
		error = cli_cancelled(cli) ? LINKFS_EINTR : step(&walk);
	for (; walk.len; walk.len--) {
		free(walk.frames[walk.len - 1].name);
		cli_list_done(&walk.frames[walk.len - 1].list);
	}
	free(walk.frames);
	free(walk.display);
	if (error < 0)
		cli_fail(cli, start->display, error);
	return error;
}

/* ---- removing ---- */

/* Before what is in a directory goes: a bound one keeps all of it, and of one with several names only the name goes. */
static int remove_name_only(struct cli_remove *how, const struct cli_visit *visit)
{
	const struct linkfs_cred *cred = &how->cli->cred;
	int error = linkfs_node_rmdir(how->volume, cred, visit->dir, visit->name, visit->len);
	if (error && error != LINKFS_EBUSY)
		return 0;
	if (error)
		cli_fail_name(how->cli, how->volume, how->like, visit->display, "cannot remove", visit->dir,
			      visit->name, visit->len, error);
	else if (how->verbose)
		fprintf(how->cli->out, "removed directory '%s'\n", visit->display);
	return CLI_WALK_SKIP;
}

static int remove_file(void *arg, const struct cli_visit *visit)
{
	struct cli_remove *how = arg;
	if (S_ISDIR(visit->st->mode))
		return how->recursive ? remove_name_only(how, visit) : 0;
	int error = linkfs_node_unlink(how->volume, &how->cli->cred, visit->dir, visit->name, visit->len);
	if (error && error != LINKFS_ENOENT)
		cli_fail_name(how->cli, how->volume, how->like, visit->display, "cannot remove", visit->dir,
			      visit->name, visit->len, error);
	else if (!error && how->verbose)
		fprintf(how->cli->out, "removed '%s'\n", visit->display);
	return 0;
}

static int remove_dir(void *arg, const struct cli_visit *visit)
{
	struct cli_remove *how = arg;
	int error = linkfs_node_rmdir(how->volume, &how->cli->cred, visit->dir, visit->name, visit->len);
	if (error && error != LINKFS_ENOENT)
		cli_fail_name(how->cli, how->volume, how->like, visit->display, "cannot remove", visit->dir,
			      visit->name, visit->len, error);
	else if (!error && how->verbose)
		fprintf(how->cli->out, "removed directory '%s'\n", visit->display);
	return 0;
}

static int count_name(void *arg, const struct linkfs_name *name)
{
	(void)name;
	return ++*(unsigned *)arg > 1;
}

/* Whether a directory stays when this name of it goes. */
static bool has_other_names(struct cli_remove *how, const struct linkfs_stat *st)
{
	unsigned names = 0;
	if (st->nlink > 2) /* as every directory has that has directories in it */
		(void)linkfs_node_names(how->volume, NULL, st->ino, count_name, &names, NULL);
	return names > 1;
}

void cli_remove(struct cli_remove *how, uint64_t dir, const char *name, size_t len, const struct linkfs_stat *st,
		const char *display)
{
	struct cli_visit visit = {.dir = dir, .name = name, .len = len, .st = st, .display = display};
	if (!S_ISDIR(st->mode))
		remove_file(how, &visit);
	else if (how->recursive)
		cli_walk(how->cli, how->volume, &visit, remove_file, remove_dir, how);
	else if (how->dirs || has_other_names(how, st))
		remove_dir(how, &visit);
	else
		cli_failf(how->cli, display,
			  "cannot remove: Is a directory (use -r for its content too, -d when it is empty)");
}

void cli_visit_path(struct cli *cli, const struct cli_path *path, bool recursive, struct linkfs_volume **volume,
		    cli_visit_fn *visit, void *arg)
{
	struct linkfs_stat st;
	if (cli_path_volume(cli, path, volume) != 0)
		return;
	int error = cli_path_stat(cli, path, true, &st);
	if (error) {
		cli_fail(cli, path->text, cli_gone(error));
		return;
	}
	const struct cli_visit start = {.name = "", .st = &st, .display = path->text};
	if (recursive)
		cli_walk(cli, *volume, &start, visit, NULL, arg);
	else
		visit(arg, &start);
}
