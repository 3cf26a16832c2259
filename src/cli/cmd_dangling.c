/*
 * cmd_dangling.c - linkfs dangling: the symlinks that lead nowhere, loop, or leave the volume, and where each fails.
 */
#include "links.h"
#include "table.h"
#include <stdlib.h>
#include <string.h>

enum { OPT_ZERO = 'z', OPT_JSON = 256 };

struct asking {
	struct cli *cli;
	struct cli_asked asked;
	bool zero, json;
	struct cli_json out;
};

/* Why, with the component at fault. */
static void show_fault(struct cli *cli, const struct linkfs_dangling *d)
{
	FILE *out = cli->out;
	const char *before, *after = "";
	switch (d->end.error) {
	case LINKFS_ELOOP:
		before = "loops: one expansion too many at ";
		break;
	case LINKFS_ENOTDIR:
		before = "not a directory: ";
		break;
	case LINKFS_ENAMETOOLONG:
		before = "too long a name: ";
		break;
	case LINKFS_EXDEV:
		before = "leaves the volume at ";
		break;
	default:
		before = "there is no ";
		break;
	}
	fputs(before, out);
	cli_show_bytes(cli, d->fault_name, d->fault_name_len);
	if (*d->fault_dir) {
		fputs(" in ", out);
		cli_show_bytes(cli, d->fault_dir, strlen(d->fault_dir));
	}
	fputs(after, out);
}

static int on_dangling(void *arg, const struct linkfs_dangling *d)
{
	struct asking *a = arg;
	FILE *out = a->cli->out;
	if (a->json) {
		cli_json_open(&a->out, NULL, '{');
		cli_json_link(&a->out, &d->link);
		cli_json_string(&a->out, "error", linkfs_error_name(d->end.error) + strlen("LINKFS_"));
		if (*d->fault_dir)
			cli_json_string(&a->out, "fault_dir", d->fault_dir);
		else
			cli_json_null(&a->out, "fault_dir");
		cli_json_bytes(&a->out, "fault_name", d->fault_name, d->fault_name_len);
		cli_json_close(&a->out, '}');
	} else if (a->zero) {
		char *shown = cli_asked_spell(&a->asked, d->link.path);
		if (shown)
			fwrite(shown, 1, strlen(shown) + 1, out);
		free(shown);
	} else {
		cli_show_link(&a->asked, &d->link);
		fputs(": ", out);
		show_fault(a->cli, d);
		fputc('\n', out);
	}
	return cli_cancelled(a->cli);
}

static int run(struct cli *cli, const struct cli_args *args)
{
	struct asking a = {.cli = cli, .out = {.out = cli->out}};
	const char *mounted_at = NULL;
	for (size_t i = 0; i < args->noptions; i++) {
		if (args->options[i].id == OPT_ZERO)
			a.zero = true;
		else if (args->options[i].id == CLI_OPT_MOUNTED_AT)
			mounted_at = args->options[i].arg;
		else
			a.json = true;
	}
	if (a.json)
		cli_json_open(&a.out, NULL, '[');
	for (size_t i = 0; i < args->noperands && !cli_cancelled(cli); i++) {
		const struct cli_path *path = &args->operands[i];
		if (cli_asked_begin(cli, path, mounted_at, &a.asked) != 0)
			continue;
		int error = cli_gone(linkfs_path_dangling(a.asked.volume, &cli->cred, path->at, path->path,
							  &a.asked.options, on_dangling, &a));
		if (error == LINKFS_EINVAL && mounted_at)
			cli_failf(cli, mounted_at, "must be an absolute path without '.' and '..'");
		else if (error)
			cli_fail(cli, path->text, error);
		cli_asked_done(&a.asked);
	}
	if (a.json)
		cli_json_close(&a.out, ']');
	return cli->status;
}

static const struct cli_option options[] = {
	CLI_OPTION_MOUNTED_AT,
	{OPT_ZERO, "zero", NULL, "Show paths alone, each ended by NUL", 0},
	{OPT_JSON, "json", NULL, "Write JSON", 0},
	CLI_OPTIONS_END,
};

static const char *const usage[] = {"[OPTION]... [DIRECTORY]...", NULL};

const struct cli_command cli_cmd_dangling = {
	.name = "dangling",
	.summary = "Show the symlinks that lead nowhere, loop, or leave the volume",
	.usage = usage,
	.options = options,
	.run = run,
	.default_operand = ".",
	.flags = CLI_READS,
};
