/*
 * cmd_readlink.c - linkfs readlink: the text of symlinks, or the canonical path.
 */
#include "table.h"
#include <stdlib.h>
#include <string.h>

enum {
	OPT_CANON = 'f',
	OPT_ALL = 'e',
	OPT_MISSING = 'm',
	OPT_NO_NEWLINE = 'n',
	OPT_ZERO = 'z',
	OPT_VERBOSE = 'v',
	OPT_QUIET = 'q',
	OPT_JSON = 256
};

struct readlink_how {
	struct cli *cli;
	bool canonical, no_newline, zero, verbose, json;
	enum cli_canon canon;
	struct cli_json out;
};

static int read_one(const struct readlink_how *how, const struct cli_path *path, char **text_out, size_t *len_out)
{
	struct cli *cli = how->cli;
	struct linkfs_volume *volume;
	struct linkfs_stat st;
	char *canonical = NULL;
	int error = cli_path_volume(cli, path, &volume);
	if (error)
		return error;
	if (how->canonical) {
		error = cli_canonical(cli, volume, path->at, path->path, how->canon, &canonical);
		char *text = error ? NULL : cli_spell(cli, path, canonical);
		free(canonical);
		if (!error && !text)
			error = LINKFS_ENOMEM;
		if (!error) {
			*text_out = text;
			*len_out = strlen(text);
		}
	} else {
		error = cli_path_stat(cli, path, false, &st);
		if (!error)
			error = cli_readlink_at(cli, volume, path->at, path->path, text_out, len_out);
	}
	if (error && how->verbose)
		cli_fail(cli, path->text, error);
	else if (error && cli->status < CLI_EXIT_SOME)
		cli->status = CLI_EXIT_SOME;
	return error;
}

static void print(struct readlink_how *how, const struct cli_path *path, const char *text, size_t len)
{
	FILE *out = how->cli->out;
	if (how->json) {
		cli_json_open(&how->out, NULL, '{');
		cli_json_string(&how->out, "path", path->text);
		cli_json_bytes(&how->out, how->canonical ? "canonical" : "target", text, len);
		cli_json_close(&how->out, '}');
		return;
	}
	fwrite(text, 1, len, out);
	if (!how->no_newline)
		fputc(how->zero ? '\0' : '\n', out);
}

static int run(struct cli *cli, const struct cli_args *args)
{
	struct readlink_how how = {.cli = cli, .out = {.out = cli->out}};
	for (size_t i = 0; i < args->noptions; i++) {
		switch (args->options[i].id) {
		case OPT_CANON:
			how.canonical = true;
			how.canon = CLI_CANON_PARENT;
			break;
		case OPT_ALL:
			how.canonical = true;
			how.canon = CLI_CANON_ALL;
			break;
		case OPT_MISSING:
			how.canonical = true;
			how.canon = CLI_CANON_MISSING;
			break;
		case OPT_NO_NEWLINE:
			how.no_newline = true;
			break;
		case OPT_ZERO:
			how.zero = true;
			break;
		case OPT_VERBOSE:
			how.verbose = true;
			break;
		case OPT_QUIET:
			how.verbose = false;
			break;
		default:
			how.json = true;
			break;
		}
	}
	if (args->noperands > 1)
		how.no_newline = false;
	if (how.json)
		cli_json_open(&how.out, NULL, '[');
	for (size_t i = 0; i < args->noperands; i++) {
		char *text = NULL;
		size_t len = 0;
		if (read_one(&how, &args->operands[i], &text, &len) == 0)
			print(&how, &args->operands[i], text, len);
		free(text);
	}
	if (how.json)
		cli_json_close(&how.out, ']');
	return cli->status;
}

static const struct cli_option options[] = {
	{OPT_CANON, "canonicalize", NULL, "The path without symlinks; all but the last component must exist", 0},
	{OPT_ALL, "canonicalize-existing", NULL, "The same; all components must exist", 0},
	{OPT_MISSING, "canonicalize-missing", NULL, "The same; nothing need exist", 0},
	{OPT_NO_NEWLINE, "no-newline", NULL, "No newline at the end (with one operand)", 0},
	{OPT_ZERO, "zero", NULL, "NUL instead of newline", 0},
	{OPT_VERBOSE, "verbose", NULL, "Say what is wrong; otherwise only the exit status does", 0},
	{OPT_QUIET, "quiet", NULL, "Say nothing; the default", 0},
	{OPT_JSON, "json", NULL, "Write JSON", 0},
	CLI_OPTIONS_END,
};

static const char *const usage[] = {"[OPTION]... PATH...", NULL};

const struct cli_command cli_cmd_readlink = {
	.name = "readlink",
	.summary = "Show the text of symlinks, or canonical paths",
	.usage = usage,
	.options = options,
	.run = run,
	.min = 1,
	.flags = CLI_READS,
};
