/*
 * cmd_keep_links.c - linkfs keep-links: whether the other names of a file follow when a program saves it by renaming a new file
 * over it (row D7).
 */
#include "table.h"

#include <string.h>
#include <sys/stat.h>

enum { OPT_RECURSIVE = 'R', OPT_VERBOSE = 'v', OPT_JSON = 256 };

struct keep {
	struct cli *cli;
	struct linkfs_volume *volume;
	struct cli_json json;
	bool show, on, recursive, verbose, as_json;
};

/* "3 names", "a directory" */
static const char *what(const struct linkfs_stat *st, char *buf, size_t size)
{
	if (S_ISDIR(st->mode))
		return "a directory: what is made in it keeps its links";
	snprintf(buf, size, "%u name%s", st->nlink, st->nlink == 1 ? "" : "s");
	return buf;
}

static void print(struct keep *keep, const char *display, const struct linkfs_stat *st, bool changed)
{
	bool on = st->flags & LINKFS_INO_KEEP_LINKS, directory = S_ISDIR(st->mode);
	char names[32];
	if (keep->as_json) {
		cli_json_open(&keep->json, NULL, '{');
		cli_json_string(&keep->json, "path", display);
		cli_json_number(&keep->json, "ino", st->ino);
		cli_json_string(&keep->json, "type", directory ? "directory" : "file");
		cli_json_bool(&keep->json, "keep_links", on);
		cli_json_bool(&keep->json, "changed", changed);
		if (!directory)
			cli_json_number(&keep->json, "names", st->nlink);
		cli_json_close(&keep->json, '}');
	} else if (keep->show) {
		fprintf(keep->cli->out, "%s: %s", display, on ? "on" : "off");
		if (on)
			fprintf(keep->cli->out, " (%s)", what(st, names, sizeof(names)));
		fputc('\n', keep->cli->out);
	} else if (keep->verbose && changed) {
		fprintf(keep->cli->out, "'%s': %s now (%s)\n", display, on ? "on" : "off",
			directory && !on ? "a directory" : what(st, names, sizeof(names)));
	}
}

static void tell_error(struct keep *keep, const char *display, int error)
{
	if (error == LINKFS_EPERM)
		cli_failf(keep->cli, display, "only its owner may say whether it keeps its links");
	else if (error == LINKFS_EINVAL)
		cli_failf(keep->cli, display,
			  "is neither a regular file nor a directory; nothing else is saved by renaming");
	else
		cli_failf(keep->cli, display, "%s", linkfs_strerror(cli_gone(error)));
}

static int visit(void *arg, const struct cli_visit *visit)
{
	struct keep *keep = arg;
	const struct linkfs_stat *st = visit->st;
	struct linkfs_stat after = *st;
	int error = 0;
	/* Met on the way: not asked for. */
	if (visit->depth && !S_ISREG(st->mode) && !S_ISDIR(st->mode))
		return 0;
	if (keep->show && !S_ISREG(st->mode) && !S_ISDIR(st->mode))
		error = LINKFS_EINVAL;
	if (!keep->show)
		error = linkfs_node_set_flags(keep->volume, &keep->cli->cred, st->ino,
					      keep->on ? LINKFS_INO_KEEP_LINKS : 0, LINKFS_INO_KEEP_LINKS, &after);
	if (error)
		tell_error(keep, visit->display, error);
	else
		print(keep, visit->display, &after, after.flags != st->flags);
	return 0;
}

static int run(struct cli *cli, const struct cli_args *args)
{
	struct keep keep = {.cli = cli, .json = {.out = cli->out}};
	const char *word = args->operands[0].text;
	for (size_t i = 0; i < args->noptions; i++) {
		keep.recursive |= args->options[i].id == OPT_RECURSIVE;
		keep.verbose |= args->options[i].id == OPT_VERBOSE;
		keep.as_json |= args->options[i].id == OPT_JSON;
	}
	keep.show = strcmp(word, "show") == 0;
	keep.on = strcmp(word, "on") == 0;
	if (!keep.show && !keep.on && strcmp(word, "off") != 0)
		return cli_usage(cli, "'%s' is neither on, off nor show", word);
	if (keep.as_json)
		cli_json_open(&keep.json, NULL, '[');
	for (size_t i = 1; i < args->noperands && !cli_cancelled(cli); i++)
		cli_visit_path(cli, &args->operands[i], keep.recursive, &keep.volume, visit, &keep);
	if (keep.as_json)
		cli_json_close(&keep.json, ']');
	return cli->status;
}

static size_t texts(const struct cli_args *args)
{
	return args->noperands ? 1 : 0;
}

static const struct cli_option options[] = {
	{OPT_RECURSIVE, "recursive", NULL,
	 "Directories with all that is in them; symlinks met on the way are left alone", 0},
	{OPT_VERBOSE, "verbose", NULL, "Tell what was changed", 0},
	{OPT_JSON, "json", NULL, "Write JSON", 0},
	CLI_OPTIONS_END,
};

static const char *const usage[] = {"[OPTION]... on|off|show PATH...", NULL};

const struct cli_command cli_cmd_keep_links = {
	.name = "keep-links",
	.summary = "Let all names of a file follow when a program saves it as a new file",
	.usage = usage,
	.options = options,
	.run = run,
	.texts = texts,
	.min = 2,
};
