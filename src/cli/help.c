/*
 * help.c - help from the table: for people, and as JSON for the build, which makes the option sections of the man
 * pages and the shell completion from it.
 */
#include "run.h"
#include <string.h>

#define TEXT_COLUMN 30
#define LINE_WIDTH 100

void cli_help_all(FILE *out)
{
	fputs("Usage: linkfs COMMAND [OPTION]... [OPERAND]...\n"
	      "A file system in a directory, with complete links.\n\nCommands:\n",
	      out);
	for (const struct cli_command *const *c = cli_commands; *c; c++) {
		if (!((*c)->flags & CLI_HIDDEN))
			fprintf(out, "  %-10s %s\n", (*c)->name, (*c)->summary);
	}
	fputs("\nA path in a volume is VOLUME:/PATH, where VOLUME is the volume's directory; or an ordinary path "
	      "inside\n"
	      "its mount. 'linkfs help COMMAND' tells more; 'man linkfs' tells all.\n",
	      out);
}

/* Words of text, the first line going on at column, the others indented by TEXT_COLUMN. */
static void wrap(FILE *out, const char *text, size_t column)
{
	while (column < TEXT_COLUMN) {
		fputc(' ', out);
		column++;
	}
	while (*text) {
		size_t len = strcspn(text, " ");
		if (column + len > LINE_WIDTH) {
			fprintf(out, "\n%*s", TEXT_COLUMN, "");
			column = TEXT_COLUMN;
		}
		fprintf(out, "%.*s", (int)len, text);
		column += len;
		text += len;
		if (*text == ' ') {
			fputc(' ', out);
			column++;
			text++;
		}
	}
	fputc('\n', out);
}

static void help_option(FILE *out, const struct cli_option *o)
{
	int n = fprintf(out, "  ");
	if (o->id < 256)
		n += fprintf(out, "-%c%s", o->id, o->name ? ", " : "");
	else
		n += fprintf(out, "    ");
	if (o->name)
		n += fprintf(out, "--%s", o->name);
	if (o->arg && (o->flags & CLI_ARG_OPTIONAL))
		n += fprintf(out, "[=%s]", o->arg);
	else if (o->arg)
		n += fprintf(out, "%s%s", o->name ? "=" : " ", o->arg);
	if (n >= TEXT_COLUMN - 1) {
		fputc('\n', out);
		n = 0;
	}
	wrap(out, o->text, (size_t)n);
}

void cli_help_command(FILE *out, const struct cli_command *command)
{
	const char *lead = "Usage:";
	for (const char *const *form = command->usage; *form; form++) {
		fprintf(out, "%s linkfs %s%s%s\n", lead, command->name, **form ? " " : "", *form);
		lead = "  or: ";
	}
	fprintf(out, "%s.\n", command->summary);
	if (command->options && command->options[0].id)
		fputs("\nOptions:\n", out);
	for (const struct cli_option *o = command->options; o && o->id; o++) {
		if (!(o->flags & CLI_OPT_HIDDEN))
			help_option(out, o);
	}
	if (command->flags & CLI_FSCK_EXITS)
		fprintf(out, "\nExit status: %s\n", command->exits);
	else
		fprintf(out, "\nExit status: 0 when all went well, 1 when something failed, 2 for wrong usage.%s%s\n",
			command->exits ? " " : "", command->exits ? command->exits : "");
}

static void dump_options(struct cli_json *json, const struct cli_command *command)
{
	cli_json_open(json, "options", '[');
	for (const struct cli_option *o = command->options; o && o->id; o++) {
		char letter[2] = {(char)o->id, '\0'};
		if (o->flags & CLI_OPT_HIDDEN)
			continue;
		cli_json_open(json, NULL, '{');
		cli_json_string(json, "short", o->id < 256 ? letter : "");
		cli_json_string(json, "long", o->name ? o->name : "");
		cli_json_string(json, "arg", o->arg ? o->arg : "");
		cli_json_bool(json, "optional", (o->flags & CLI_ARG_OPTIONAL) != 0);
		cli_json_bool(json, "path", (o->flags & CLI_ARG_PATH) != 0);
		cli_json_string(json, "text", o->text);
		cli_json_close(json, '}');
	}
	cli_json_close(json, ']');
}

/* The whole table as JSON. */
static int run_table(struct cli *cli, const struct cli_args *args)
{
	static const char *const takes[] = {"paths", "host", "volume", "text"};
	struct cli_json json = {.out = cli->out};
	(void)args;
	cli_json_open(&json, NULL, '[');
	for (const struct cli_command *const *c = cli_commands; *c; c++) {
		if ((*c)->flags & CLI_HIDDEN)
			continue;
		cli_json_open(&json, NULL, '{');
		cli_json_string(&json, "name", (*c)->name);
		cli_json_string(&json, "summary", (*c)->summary);
		cli_json_string(&json, "takes", takes[(*c)->takes]);
		cli_json_string(&json, "exits", (*c)->exits ? (*c)->exits : "");
		cli_json_bool(&json, "all_exits", ((*c)->flags & CLI_FSCK_EXITS) != 0);
		cli_json_open(&json, "usage", '[');
		for (const char *const *form = (*c)->usage; *form; form++)
			cli_json_string(&json, NULL, *form);
		cli_json_close(&json, ']');
		dump_options(&json, *c);
		cli_json_close(&json, '}');
	}
	cli_json_close(&json, ']');
	return CLI_EXIT_OK;
}

static int run_help(struct cli *cli, const struct cli_args *args)
{
	if (args->noperands == 0) {
		cli_help_all(cli->out);
		return CLI_EXIT_OK;
	}
	const struct cli_command *command = cli_command_find(args->operands[0].text);
	if (!command)
		return cli_usage(cli, "%s: no such command", args->operands[0].text);
	cli_help_command(cli->out, command);
	return CLI_EXIT_OK;
}

static int run_version(struct cli *cli, const struct cli_args *args)
{
	(void)args;
	fprintf(cli->out, "linkfs %s\n", linkfs_version());
	return CLI_EXIT_OK;
}

static const char *const help_usage[] = {"[COMMAND]", NULL};
static const char *const no_usage[] = {"", NULL};

const struct cli_command cli_cmd_help = {
	.name = "help",
	.summary = "Tell how a command is used",
	.usage = help_usage,
	.run = run_help,
	.takes = CLI_TAKES_TEXT,
	.max = 1,
	.flags = CLI_LOCAL,
};

const struct cli_command cli_cmd_version = {
	.name = "version",
	.summary = "Show the version",
	.usage = no_usage,
	.run = run_version,
	.takes = CLI_TAKES_TEXT,
	.flags = CLI_LOCAL,
};

const struct cli_command cli_cmd_table = {
	.name = "__table",
	.summary = "The command table as JSON",
	.usage = no_usage,
	.run = run_table,
	.takes = CLI_TAKES_TEXT,
	.flags = CLI_LOCAL | CLI_HIDDEN,
};
