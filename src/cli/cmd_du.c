/*
 * cmd_du.c - linkfs du: what paths and snapshots cost, what they share, and what deleting them would free (row E2).
 */
#include "du.h"
#include "table.h"

#include <linkfs_snapshots.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum {
	OPT_HUMAN = 'h',
	OPT_SI = 'H',
	OPT_KILO = 'k',
	OPT_BYTES = 'b',
	OPT_DEPTH = 'd',
	OPT_SUMMARIZE = 's',
	OPT_TOTAL = 'c',
	OPT_FULL = 'f',
	OPT_WITH = 256,
	OPT_JSON,
};
#define WITH_FILES 10

struct du {
	struct cli *cli;
	struct du_print print;
	struct linkfs_volume *volume;
	struct linkfs_space *space;
	const struct cli_path *path; /* the operand at hand */
	uint64_t depth, with_files;
	bool full, with, total;
	/* The set of all operands in this volume. */
	struct linkfs_space_item *items;
	size_t item_count, item_cap, operands;
	bool failed; /* one of them is missing in it */
	/* The answer to the question at hand. */
	struct du_with *withs;
	size_t with_count, with_cap;
	bool quiet; /* what cannot be read was told */
};

/* ---- one question ----------------------------------------------------------------------------------------------------------- */

static int on_with(void *arg, const struct linkfs_space_with *with)
{
	struct du *du = arg;
	struct du_with *w;
	if (cli_grow(&du->withs, &du->with_cap, du->with_count, sizeof(*du->withs)) != 0)
		return 1;
	w = &du->withs[du->with_count];
	*w = (struct du_with){.with = *with, .name = with->name ? cli_strdup(with->name) : NULL};
	w->with.name = NULL;
	du->with_count += !with->name || w->name;
	return with->name && !w->name;
}

static int on_skipped(void *arg, const char *path, size_t len, int error)
{
	struct du *du = arg;
	(void)len;
	if (!du->quiet) {
		char *text = cli_spell(du->cli, du->path, path);
		cli_failf(du->cli, text ? text : path, "cannot read the directory: %s", linkfs_strerror(error));
		free(text);
	}
	return 0;
}

static int go_on(void *arg)
{
	const struct du *du = arg;
	return cli_cancelled(du->cli);
}

static void forget_with(struct du *du)
{
	for (size_t i = 0; i < du->with_count; i++)
		free(du->withs[i].name);
	du->with_count = 0;
}

/* Asks, and prints the line. Returns what asking said. */
static int ask(struct du *du, const struct linkfs_space_item *items, size_t count, enum du_kind kind, const char *label)
{
	static const struct du_with none;
	struct linkfs_space_sum sum;
	struct linkfs_space_question q = {.items = items,
					  .item_count = count,
					  .flags = du->full ? LINKFS_SPACE_FULL : 0,
					  .with = du->with ? on_with : NULL,
					  .with_files = du->with_files,
					  .skipped = on_skipped,
					  .progress = go_on,
					  .arg = du};
	int error = linkfs_space_ask(du->space, &du->cli->cred, &q, &sum);
	if (error == 0) {
		struct du_row row = {.kind = kind,
				     .label = label,
				     .label_len = strlen(label),
				     .sum = &sum,
				     .with = du->with ? (du->withs ? du->withs : &none) : NULL,
				     .with_count = du->with_count};
		du_print(&du->print, &row);
	}
	forget_with(du);
	return error;
}

static int keep_item(struct du *du, const struct linkfs_space_item *item)
{
	if (cli_grow(&du->items, &du->item_cap, du->item_count, sizeof(*du->items)) != 0)
		return LINKFS_ENOMEM;
	du->items[du->item_count++] = *item;
	return 0;
}

/* A line of an operand, which is part of the total. */
static int ask_one(struct du *du, const struct linkfs_space_item *item, enum du_kind kind, const char *label)
{
	int error = ask(du, item, 1, kind, label);
	return error ? error : keep_item(du, item);
}

/* ---- snapshots --------------------------------------------------------------------------------------------------------------- */

struct names {
	struct linkfs_snapshot *list; /* names are ours */
	size_t count, cap;
};

static int add_name(void *arg, const struct linkfs_snapshot *snapshot)
{
	struct names *names = arg;
	char *name = cli_strdup(snapshot->name);
	if (!name || cli_grow(&names->list, &names->cap, names->count, sizeof(*names->list)) != 0) {
		free(name);
		return 1;
	}
	names->list[names->count++] = (struct linkfs_snapshot){.id = snapshot->id, .name = name};
	return 0;
}

/* As the operand is written: VOLUME@NAME, or MOUNT/.snapshots/NAME. */
static char *snapshot_label(const struct du *du, const char *name)
{
	const char *text = du->path->text;
	size_t len = strlen(text);
	while (len > 1 && text[len - 1] == '/')
		len--;
	return cli_format("%.*s%c%s", (int)len, text, du->path->in_mount ? '/' : '@', name);
}

/* Each of them, and all together. */
static int ask_snapshots(struct du *du)
{
	struct names names = {0};
	size_t first = du->item_count;
	int error = linkfs_snapshot_list(du->volume, add_name, &names);
	for (size_t i = 0; i < names.count && !error; i++) {
		struct linkfs_space_item item = {.snapshot = names.list[i].id};
		char *label = snapshot_label(du, names.list[i].name);
		error = label ? ask_one(du, &item, DU_SNAPSHOT, label) : LINKFS_ENOMEM;
		/* It came, or went, just now. */
		error = error == LINKFS_ENOENT ? 0 : error;
		free(label);
	}
	if (!error && du->item_count - first > 1)
		error = ask(du, du->items + first, du->item_count - first, DU_SNAPSHOTS, "all snapshots");
	for (size_t i = 0; i < names.count; i++)
		free((void *)(uintptr_t)names.list[i].name);
	free(names.list);
	return error;
}

/* ---- directories below a path ---------------------------------------------------------------------------------------------------- */

static int ask_below(struct du *du, const struct cli_visit *visit)
{
	struct linkfs_space_item item = {.at = visit->dir, .path = visit->name};
	enum du_kind kind = linkfs_node_past(visit->st->ino) ? DU_PAST : DU_PATH;
	int error = visit->depth ? ask(du, &item, 1, kind, visit->display) : 0;
	/* Not there yet at the moment that is asked of, or not any more. */
	return error == LINKFS_ENOENT || error == LINKFS_ENOTDIR ? 0 : error;
}

static int pre(void *arg, const struct cli_visit *visit)
{
	struct du *du = arg;
	int error;
	if (!S_ISDIR(visit->st->mode))
		return CLI_WALK_SKIP;
	if (visit->depth < du->depth)
		return 0;
	error = ask_below(du, visit);
	return error ? error : CLI_WALK_SKIP;
}

static int post(void *arg, const struct cli_visit *visit)
{
	return ask_below(arg, visit);
}

static int walk(struct du *du, const struct linkfs_stat *st)
{
	struct cli_visit start = {.name = "", .st = st, .display = du->path->text};
	du->quiet = true;
	int error = cli_walk(du->cli, du->volume, &start, pre, post, du);
	du->quiet = false;
	return error;
}

/* ---- operands --------------------------------------------------------------------------------------------------------------------- */

/* A volume's own directory, not a path in it. */
static bool is_whole(const struct cli_path *path)
{
	size_t len = strlen(path->text);
	bool snapshot = path->snapshot && *path->snapshot;
	return !path->in_mount && !snapshot && !strstr(path->text, ":/") && len && path->text[len - 1] != ':';
}

static int ask_whole(struct du *du)
{
	struct linkfs_space_item live = {.at = LINKFS_ROOT_INO, .path = "/"};
	char *label = cli_format("%s:/", du->path->text);
	int error = label ? ask_one(du, &live, DU_PATH, label) : LINKFS_ENOMEM;
	free(label);
	return error ? error : ask_snapshots(du);
}

static int ask_path(struct du *du)
{
	const struct cli_path *path = du->path;
	struct linkfs_space_item item = {.at = path->at, .path = path->path};
	enum du_kind kind = DU_PATH;
	struct linkfs_stat st;
	int error = linkfs_path_stat(du->volume, &du->cli->cred, path->at, path->path, LINKFS_NOFOLLOW, &st);
	if (error)
		return error;
	if (linkfs_node_past(st.ino))
		kind = (st.ino & ((UINT64_C(1) << 48) - 1)) == LINKFS_ROOT_INO ? DU_SNAPSHOT : DU_PAST;
	if (kind == DU_PAST)
		cli_note(du->cli, "%s: a part of a snapshot cannot be deleted; it has sizes only", path->text);
	if (du->depth && S_ISDIR(st.mode))
		error = walk(du, &st);
	return error ? error : ask_one(du, &item, kind, path->text);
}

static void ask_operand(struct du *du)
{
	const struct cli_path *path = du->path;
	int error;
	du->print.like = path;
	du->operands++;
	if (is_whole(path))
		error = ask_whole(du);
	else if (path->at == LINKFS_SNAPSHOTS_NODE)
		error = ask_snapshots(du);
	else
		error = ask_path(du);
	du->failed |= error != 0;
	if (error && error != LINKFS_EINTR)
		cli_fail(du->cli, path->text, cli_gone(error));
	else if (error)
		du->cli->status = CLI_EXIT_SOME;
}

static void ask_total(struct du *du)
{
	int error;
	if (du->item_count == 0 || (du->item_count < 2 && !du->total))
		return;
	if (du->failed) {
		cli_note(du->cli, "without a total, as not all of the set was found");
		return;
	}
	du->quiet = true;
	error = ask(du, du->items, du->item_count, DU_TOTAL, "total");
	du->quiet = false;
	if (error)
		cli_fail(du->cli, "total", error);
}

/* What is written while a moment of the volume is open is held back: the volume's log grows until the moment is closed, and a reader like a pager may
 * take its time. */
struct held {
	FILE **stream, *real; /* real NULL: nothing is held back, for want of memory */
	char *text;
	size_t len;
};

static void hold(struct held *h, FILE **stream)
{
	FILE *memory;
	*h = (struct held){.stream = stream};
	memory = open_memstream(&h->text, &h->len);
	if (!memory)
		return;
	h->real = *stream;
	*stream = memory;
}

static void let_go(struct du *du, struct held *h)
{
	if (!h->real)
		return;
	bool whole = fclose(*h->stream) == 0;
	*h->stream = h->real;
	if (h->text)
		(void)fwrite(h->text, 1, h->len, h->real);
	fflush(h->real);
	free(h->text);
	if (!whole)
		cli_fail(du->cli, NULL, LINKFS_ENOMEM);
}

/* The operands that lie in the same volume as the first of them: one moment, one total. */
static void ask_volume(struct du *du, const struct cli_args *args, bool *done, size_t first)
{
	struct held out, err;
	int error = linkfs_space_open(du->volume, &du->space);
	if (error) {
		cli_fail(du->cli, args->operands[first].text, error);
		return;
	}
	hold(&out, &du->cli->out);
	hold(&err, &du->cli->err);
	du->print.json.out = du->cli->out;
	for (size_t i = first; i < args->noperands && !cli_cancelled(du->cli); i++) {
		const struct cli_path *path = &args->operands[i];
		if (done[i] || path->kind != CLI_VOLUME || strcmp(path->volume, args->operands[first].volume) != 0)
			continue;
		done[i] = true;
		du->path = path;
		ask_operand(du);
	}
	if (!cli_cancelled(du->cli))
		ask_total(du);
	linkfs_space_close(du->space);
	du->space = NULL;
	let_go(du, &err);
	let_go(du, &out);
	du->print.json.out = du->cli->out;
	du->item_count = du->operands = 0;
	du->failed = false;
}

static int take_options(struct du *du, const struct cli_args *args)
{
	for (size_t i = 0; i < args->noptions; i++) {
		const char *arg = args->options[i].arg;
		switch (args->options[i].id) {
		case OPT_HUMAN:
			du->print.base = 1024;
			break;
		case OPT_SI:
			du->print.base = 1000;
			break;
		case OPT_KILO:
			du->print.unit = 1024;
			du->print.base = 0;
			break;
		case OPT_BYTES:
			du->print.unit = 1;
			du->print.base = 0;
			break;
		case OPT_DEPTH:
			if (cli_parse_u64(arg, UINT32_MAX, &du->depth) != 0)
				return cli_usage(du->cli, "invalid depth '%s'", arg);
			break;
		case OPT_SUMMARIZE:
			du->depth = 0;
			break;
		case OPT_TOTAL:
			du->total = true;
			break;
		case OPT_FULL:
			du->full = true;
			break;
		case OPT_WITH:
			du->with = true;
			if (arg && cli_parse_u64(arg, SIZE_MAX, &du->with_files) != 0)
				return cli_usage(du->cli, "invalid number of files '%s'", arg);
			break;
		default:
			du->print.as_json = true;
			break;
		}
	}
	return 0;
}

static int run(struct cli *cli, const struct cli_args *args)
{
	struct du du = {.cli = cli, .with_files = WITH_FILES};
	du.print = (struct du_print){.cli = cli, .unit = 1024, .json = {.out = cli->out}};
	if (take_options(&du, args) != 0)
		return cli->status;
	bool *done = cli_alloc((args->noperands + 1) * sizeof(*done));
	if (!done)
		cli_fail(cli, NULL, LINKFS_ENOMEM);
	for (size_t i = 0; done && i < args->noperands && !cli_cancelled(cli); i++) {
		if (done[i] || cli_path_volume(cli, &args->operands[i], &du.volume) != 0)
			continue;
		ask_volume(&du, args, done, i);
	}
	du_print_end(&du.print);
	free(done);
	free(du.items);
	free(du.withs);
	return cli->status;
}

static const struct cli_option options[] = {
	{OPT_TOTAL, "total", NULL, "Also the set of all operands as one, which comes by itself for more than one", 0},
	{OPT_DEPTH, "max-depth", "N",
	 "Also each directory down to N levels below the operand, each as a set of its own", 0},
	{OPT_SUMMARIZE, "summarize", NULL, "Only the operands; the default", 0},
	{OPT_FULL, "full", NULL, "Of snapshots also sizes and what they share, which takes a look at all of the volume",
	 0},
	{OPT_WITH, "with", "FILES",
	 "Also which snapshots and files have what is shared, at most so many files (10; 0: all)", CLI_ARG_OPTIONAL},
	{OPT_HUMAN, "human-readable", NULL, "Sizes in powers of 1024 (as 1.5G)", 0},
	{OPT_SI, "si", NULL, "Sizes in powers of 1000", 0},
	{OPT_KILO, NULL, NULL, "Blocks of 1024 bytes; the default", 0},
	{OPT_BYTES, "bytes", NULL, "Bytes", 0},
	{OPT_JSON, "json", NULL, "Write JSON, with sizes in bytes", 0},
	CLI_OPTIONS_END,
};

static const char *const usage[] = {"[OPTION]... VOLUME", "[OPTION]... VOLUME@SNAPSHOT|PATH...", NULL};

const struct cli_command cli_cmd_du = {
	.name = "du",
	.summary = "Show what paths and snapshots cost, share, and would free",
	.usage = usage,
	.options = options,
	.run = run,
	.default_operand = ".",
	.takes = CLI_TAKES_VOLUME,
	.flags = CLI_READS,
};
