/*
 * cmd_ls.c - linkfs ls: gathers what is to be listed; ls_print.c shows it.
 */
#include "ls.h"
#include "table.h"
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

struct pending { /* a directory that waits for its turn */
	struct cli_place place;
	char *path;
};

struct gather {
	struct ls *ls;
	struct ls_item *items;
	size_t len, cap;
	struct pending *dirs; /* a stack: the next is the last */
	size_t ndirs, dirs_cap;
	bool headers;
};

static void free_items(struct gather *g)
{
	for (size_t i = 0; i < g->len; i++) {
		free(g->items[i].name);
		free(g->items[i].shown);
		free(g->items[i].target);
		free(g->items[i].path);
	}
	g->len = 0;
}

static void free_dir(struct pending *dir)
{
	cli_place_release(&dir->place);
	free(dir->path);
}

static bool has_acl(struct cli *cli, struct linkfs_volume *volume, const struct linkfs_stat *st)
{
	size_t len;
	if (S_ISLNK(st->mode))
		return false;
	return linkfs_node_getxattr(volume, &cli->cred, st->ino, "system.posix_acl_access", NULL, 0, &len) == 0 ||
	       (S_ISDIR(st->mode) &&
		linkfs_node_getxattr(volume, &cli->cred, st->ino, "system.posix_acl_default", NULL, 0, &len) == 0);
}

/* Where a file is found: walk from directory at. */
struct where {
	struct linkfs_volume *volume;
	uint64_t at;
	const char *walk;
	bool unknown; /* could not be followed */
};

/* Takes path over. */
static int add_item(struct gather *g, const struct where *where, const char *name, char *path,
		    const struct linkfs_stat *st)
{
	struct ls *ls = g->ls;
	struct linkfs_volume *volume = where->volume;
	struct linkfs_stat target;
	struct ls_item item = {.name = cli_strdup(name), .path = path, .st = *st};
	bool more = ls->format == LS_LONG || ls->format == LS_JSON;
	item.shown = cli_quote(name, strlen(name), ls->quoting, &item.width);
	item.quoted = (ls->quoting == CLI_QUOTE_SHELL || ls->quoting == CLI_QUOTE_SHELL_MARKS) && item.shown &&
		      (item.shown[0] == '\'' || item.shown[0] == '"') && strcmp(item.shown, name) != 0;
	item.unknown = where->unknown && ls->format == LS_LONG;
	if (more && S_ISLNK(st->mode) && !item.unknown)
		cli_readlink_found(ls->cli, volume, where->at, where->walk, st, &item.target, NULL);
	if (item.target && ls->indicator == LS_CLASSIFY &&
	    linkfs_path_stat(volume, &ls->cli->cred, where->at, where->walk, 0, &target) == 0)
		item.target_mode = target.mode;
	item.has_acl = ls->format == LS_LONG && has_acl(ls->cli, volume, st);
	if (!item.name || !item.shown || !path || cli_grow(&g->items, &g->cap, g->len, sizeof(item)) != 0) {
		free(item.name);
		free(item.shown);
		free(item.target);
		free(path);
		return LINKFS_ENOMEM;
	}
	g->items[g->len++] = item;
	return 0;
}

static int add_dir(struct gather *g, const struct where *where, uint64_t ino, const char *path)
{
	struct pending dir;
	char *copy = cli_strdup(path);
	if (!copy || cli_grow(&g->dirs, &g->dirs_cap, g->ndirs, sizeof(*g->dirs)) != 0) {
		free(copy);
		return LINKFS_ENOMEM;
	}
	cli_place_hold(g->ls->cli, where->volume, where->at, where->walk, ino, &dir.place);
	dir.path = copy;
	g->dirs[g->ndirs++] = dir;
	return 0;
}

/* ---- order ---- */

static int by_name(const struct ls_item *a, const struct ls_item *b)
{
	int order = strcoll(a->name, b->name);
	return order ? order : strcmp(a->name, b->name);
}

static int compare(const void *left, const void *right, void *arg)
{
	const struct ls *ls = arg;
	const struct ls_item *a = left, *b = right;
	int order = 0;
	if (ls->sort == LS_BY_TIME) {
		int64_t x = ls_item_time(ls, a), y = ls_item_time(ls, b);
		order = (x < y) - (x > y);
	} else if (ls->sort == LS_BY_SIZE) {
		order = (a->st.size < b->st.size) - (a->st.size > b->st.size);
	}
	if (!order)
		order = by_name(a, b);
	return ls->reverse ? -order : order;
}

static void sort_items(struct gather *g)
{
	if (g->ls->sort != LS_UNSORTED && g->len)
		qsort_r(g->items, g->len, sizeof(*g->items), compare, g->ls);
}

/* ---- directories ---- */

static bool wanted(const struct ls *ls, const char *name)
{
	if (name[0] != '.' || ls->all)
		return true;
	return ls->almost_all && strcmp(name, ".") != 0 && strcmp(name, "..") != 0;
}

static int read_dir(struct gather *g, const struct pending *dir, bool *readable_out)
{
	struct ls *ls = g->ls;
	struct linkfs_volume *volume = dir->place.volume;
	struct cli_list list;
	int error = cli_list_read(ls->cli, volume, dir->place.node, true, ls->all, &list);
	if (error) {
		cli_failf(ls->cli, dir->path, "cannot open directory: %s", linkfs_strerror(error));
		return error == LINKFS_EINTR ? error : 0;
	}
	*readable_out = true;
	for (size_t i = 0; i < list.len && !error; i++) {
		const struct cli_entry *e = &list.entries[i];
		struct linkfs_stat st = e->st;
		if (!wanted(ls, e->name))
			continue;
		struct where where = {.volume = volume, .at = dir->place.node, .walk = e->name};
		char *path = cli_join(dir->path, e->name);
		int followed = 0;
		if (ls->follow && S_ISLNK(st.mode))
			followed = linkfs_path_stat(volume, &ls->cli->cred, where.at, e->name, 0, &st);
		if (followed && path) {
			st = e->st;
			where.unknown = true;
			cli_failf(ls->cli, path, "cannot access: %s", linkfs_strerror(followed));
		}
		error = add_item(g, &where, e->name, path, &st);
	}
	cli_list_done(&list);
	return error;
}

static void print_header(struct gather *g, const char *path)
{
	struct ls *ls = g->ls;
	if (ls->format == LS_JSON)
		return;
	if (ls->printed)
		fputc('\n', ls->cli->out);
	ls->printed = true;
	if (g->headers) {
		char *shown = cli_quote(path, strlen(path), ls->quoting, NULL);
		fprintf(ls->cli->out, "%s:\n", shown ? shown : path);
		free(shown);
	}
}

/* Subdirectories go on the stack in reverse, so that they come in order. */
static int push_subdirs(struct gather *g, const struct cli_place *place)
{
	int error = 0;
	for (size_t i = g->len; i > 0 && !error; i--) {
		const struct ls_item *item = &g->items[i - 1];
		if (!S_ISDIR(item->st.mode) || strcmp(item->name, ".") == 0 || strcmp(item->name, "..") == 0)
			continue;
		struct where where = {.volume = place->volume, .at = place->node, .walk = item->name};
		error = add_dir(g, &where, item->st.ino, item->path);
	}
	return error;
}

static int list_dirs(struct gather *g)
{
	int error = 0;
	while (g->ndirs && !error) {
		struct pending dir = g->dirs[--g->ndirs];
		bool readable = false;
		error = cli_cancelled(g->ls->cli) ? LINKFS_EINTR : read_dir(g, &dir, &readable);
		if (!error && readable) {
			sort_items(g);
			print_header(g, dir.path);
			ls_print_total(g->ls, g->items, g->len);
			ls_print(g->ls, g->items, g->len);
			if (g->ls->recursive)
				error = push_subdirs(g, &dir.place);
		}
		free_dir(&dir);
		free_items(g);
	}
	while (g->ndirs)
		free_dir(&g->dirs[--g->ndirs]);
	return error;
}

/* ---- operands ---- */

static int add_operand(struct gather *g, const struct cli_path *path)
{
	struct ls *ls = g->ls;
	struct linkfs_volume *volume;
	struct linkfs_stat st, target;
	if (cli_path_volume(ls->cli, path, &volume) != 0)
		return 0;
	int error = cli_path_stat(ls->cli, path, ls->follow || ls->follow_args, &st);
	if (error == LINKFS_ENOENT && !ls->follow)
		error = cli_path_stat(ls->cli, path, false, &st);
	if (error) {
		cli_failf(ls->cli, path->text, "cannot access: %s", linkfs_strerror(error));
		return 0;
	}
	bool follow_dir = !ls->directory && ls->format != LS_LONG && ls->indicator != LS_CLASSIFY;
	if (S_ISLNK(st.mode) && follow_dir && cli_path_stat(ls->cli, path, true, &target) == 0 && S_ISDIR(target.mode))
		st = target;
	struct where where = {.volume = volume, .at = path->at, .walk = path->path};
	if (S_ISDIR(st.mode) && !ls->directory)
		return add_dir(g, &where, st.ino, path->text);
	return add_item(g, &where, path->text, cli_strdup(path->text), &st);
}

static void reverse_dirs(struct gather *g)
{
	for (size_t i = 0; i < g->ndirs / 2; i++) {
		struct pending t = g->dirs[i];
		g->dirs[i] = g->dirs[g->ndirs - 1 - i];
		g->dirs[g->ndirs - 1 - i] = t;
	}
}

static int compare_dirs(const void *left, const void *right, void *arg)
{
	const struct ls *ls = arg;
	const struct pending *a = left, *b = right;
	int order = strcoll(a->path, b->path);
	return ls->reverse ? -order : order;
}

static int list_operands(struct ls *ls, const struct cli_args *args)
{
	struct gather g = {.ls = ls, .headers = args->noperands > 1 || ls->recursive};
	int error = 0;
	if (ls->format == LS_JSON)
		cli_json_open(&ls->json, NULL, '[');
	for (size_t i = 0; i < args->noperands && !error; i++)
		error = add_operand(&g, &args->operands[i]);
	if (!error) {
		sort_items(&g);
		if (ls->sort != LS_UNSORTED && g.ndirs)
			qsort_r(g.dirs, g.ndirs, sizeof(*g.dirs), compare_dirs, ls);
		reverse_dirs(&g);
		ls_print(ls, g.items, g.len);
		ls->printed = g.len != 0;
		free_items(&g);
		error = list_dirs(&g);
	}
	free_items(&g);
	free(g.items);
	while (g.ndirs)
		free_dir(&g.dirs[--g.ndirs]);
	free(g.dirs);
	if (ls->format == LS_JSON)
		cli_json_close(&ls->json, ']');
	return error;
}

static int run(struct cli *cli, const struct cli_args *args)
{
	struct ls ls = {
		.cli = cli,
		.ids = cli_ids_new(),
		.json = {.out = cli->out},
		.format = cli->out_tty ? LS_COLUMNS : LS_SINGLE,
		.quoting = cli->out_tty ? CLI_QUOTE_SHELL : CLI_QUOTE_LITERAL,
		.width = cli->width ? cli->width : 80,
		.now_ns = cli_now_ns(),
	};
	if (!cli->time_style || ls_take_style(&ls, cli->time_style) != 0)
		ls_take_style(&ls, "locale");
	int status = ls_take_options(&ls, args);
	if (ls.quoting == CLI_QUOTE_LITERAL && cli->out_tty) /* a terminal never gets control characters */
		ls.quoting = CLI_QUOTE_HIDE;
	if (ls.indicator == LS_CLASSIFY && ls.quoting == CLI_QUOTE_SHELL)
		ls.quoting = CLI_QUOTE_SHELL_MARKS;
	if (!status) {
		int error = list_operands(&ls, args);
		if (error && error != LINKFS_EINTR)
			cli_fail(cli, NULL, error);
		status = cli->status;
	}
	cli_ids_free(ls.ids);
	return status;
}

static const struct cli_option options[] = {
	{'a', "all", NULL, "All names, those that begin with a dot too", 0},
	{'A', "almost-all", NULL, "All names but . and .. themselves", 0},
	{'b', "escape", NULL, "Odd bytes as \\n, \\303 and the like", 0},
	{'c', NULL, NULL, "With -l the time of the last change of status; without, sort by it", 0},
	{'C', NULL, NULL, "In columns; the default on a terminal", 0},
	{'d', "directory", NULL, "Directories themselves, not what is in them", 0},
	{'F', "classify", NULL, "A mark after names: / directory, @ symlink, * program, | FIFO, = socket", 0},
	{OPT_FULL, "full-time", NULL, "As -l --time-style=full-iso", 0},
	{'g', NULL, NULL, "As -l without the owner", 0},
	{'G', "no-group", NULL, "No group in long lines", 0},
	{'h', "human-readable", NULL, "Sizes in powers of 1024 (as 1.5K)", 0},
	{OPT_SI, "si", NULL, "Sizes in powers of 1000", 0},
	{'H', "dereference-command-line", NULL, "Follow symlinks among the operands", 0},
	{'i', "inode", NULL, "Inode numbers: names of one file show the same", 0},
	{OPT_JSON, "json", NULL, "Write JSON", 0},
	{'l', NULL, NULL, "Long lines: mode, names, owner, group, size, time", 0},
	{'L', "dereference", NULL, "Show what symlinks point to", 0},
	{'n', "numeric-uid-gid", NULL, "As -l with numbers for users and groups", 0},
	{'N', "literal", NULL, "Names as they are", 0},
	{'o', NULL, NULL, "As -l without the group", 0},
	{'p', NULL, NULL, "A / after directories", 0},
	{'q', "hide-control-chars", NULL, "A ? for what cannot be shown", 0},
	{'Q', "quote-name", NULL, "Names as C strings", 0},
	{OPT_QUOTING, "quoting-style", "WORD", "One of literal, shell-escape, shell-escape-always, c and escape", 0},
	{'r', "reverse", NULL, "The other way round", 0},
	{'R', "recursive", NULL, "Directories inside directories too", 0},
	{'s', "size", NULL, "Allocated blocks of 1024 bytes", 0},
	{'S', NULL, NULL, "Largest first", 0},
	{OPT_SORT, "sort", "WORD", "By name, time (as -t), size (as -S), or none (as -U)", 0},
	{'t', NULL, NULL, "Newest first", 0},
	{OPT_STYLE, "time-style", "STYLE",
	 "One of locale, iso, long-iso, full-iso, or +FORMAT as of strftime(3) with %N; TIME_STYLE otherwise", 0},
	{'u', NULL, NULL, "With -l the access time; without, sort by it", 0},
	{'U', NULL, NULL, "Unsorted", 0},
	{'w', "width", "COLS", "Width of the terminal; 0 for no limit", 0},
	{'1', NULL, NULL, "One name per line; the default elsewhere", 0},
	CLI_OPTIONS_END,
};

static const char *const usage[] = {"[OPTION]... [PATH]...", NULL};

const struct cli_command cli_cmd_ls = {
	.name = "ls",
	.summary = "List directories and files",
	.usage = usage,
	.options = options,
	.run = run,
	.default_operand = ".",
	.flags = CLI_READS,
};
