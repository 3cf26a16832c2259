/*
 * cmd_names.c - linkfs names and linkfs referrers: what leads to a file, by names and by symlinks.
 */
#include "links.h"
#include "table.h"
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum { OPT_FOLLOW = 'L', OPT_INODE = 'i', OPT_ZERO = 'z', OPT_THROUGH = 256, OPT_JSON };

struct asking {
	struct cli *cli;
	struct cli_asked asked;
	struct cli_answers answers;
	struct linkfs_stat st;
	uint64_t hidden;
	uint64_t ino; /* -i; 0: the operand's */
	const char *mounted_at;
	bool follow, zero, through, json;
	struct cli_json out;
};

static int on_name(void *arg, const struct linkfs_name *name)
{
	struct asking *a = arg;
	return cli_answers_add(a->cli, &a->answers, name->path, NULL, NULL, NULL);
}

static int on_referrer(void *arg, const struct linkfs_referrer *r)
{
	struct asking *a = arg;
	return cli_answers_add(a->cli, &a->answers, r->link.path, &r->link, &r->end, NULL);
}

/* The file that is asked about. */
static int find(struct asking *a)
{
	const struct cli_path *path = a->asked.path;
	int error = a->ino ? linkfs_node_getattr(a->asked.volume, a->ino, &a->st)
			   : cli_path_stat(a->cli, path, a->follow, &a->st);
	error = cli_gone(error);
	if (error && a->ino)
		cli_failf(a->cli, path->text, "there is no inode %" PRIu64, a->ino);
	else if (error)
		cli_fail(a->cli, path->text, error);
	return error;
}

static void show_names(struct asking *a)
{
	for (size_t i = 0; i < a->answers.len; i++) {
		char *shown = cli_asked_spell(&a->asked, a->answers.list[i].path);
		if (shown && a->zero)
			fwrite(shown, 1, strlen(shown) + 1, a->cli->out);
		else if (shown)
			cli_show_bytes(a->cli, shown, strlen(shown));
		if (!a->zero)
			fputc('\n', a->cli->out);
		free(shown);
	}
	if (a->st.nlink == 0)
		cli_note(a->cli, "%s: inode %" PRIu64 " is unlinked and still open: it has no name",
			 a->asked.path->text, a->st.ino);
	if (a->hidden)
		cli_note(a->cli, "%s: %" PRIu64 " more in directories that you may not search", a->asked.path->text,
			 a->hidden);
}

static void show_referrers(struct asking *a)
{
	for (size_t i = 0; i < a->answers.len; i++) {
		const struct cli_answer *answer = &a->answers.list[i];
		if (a->zero) {
			char *shown = cli_asked_spell(&a->asked, answer->path);
			if (shown)
				fwrite(shown, 1, strlen(shown) + 1, a->cli->out);
			free(shown);
			continue;
		}
		cli_show_link(&a->asked, &answer->link);
		if (answer->before.error)
			fprintf(a->cli->out, ": %s", linkfs_strerror(answer->before.error));
		fputc('\n', a->cli->out);
	}
}

static void show_json(struct asking *a, bool referrers)
{
	struct cli_json *json = &a->out;
	cli_json_open(json, NULL, '{');
	cli_json_string(json, "operand", a->asked.path->text);
	cli_json_string(json, "volume", a->asked.path->volume);
	cli_json_number(json, "ino", a->st.ino);
	cli_json_string(json, "type", cli_type_word(a->st.mode));
	cli_json_number(json, "nlink", a->st.nlink);
	cli_json_open(json, referrers ? "referrers" : "names", '[');
	for (size_t i = 0; i < a->answers.len; i++) {
		const struct cli_answer *answer = &a->answers.list[i];
		if (!referrers) {
			cli_json_string(json, NULL, answer->path);
			continue;
		}
		cli_json_open(json, NULL, '{');
		cli_json_link(json, &answer->link);
		cli_json_end(json, "end", &answer->before);
		cli_json_close(json, '}');
	}
	cli_json_close(json, ']');
	if (!referrers)
		cli_json_number(json, "hidden", a->hidden);
	cli_json_close(json, '}');
}

static void ask(struct asking *a, const struct cli_path *path, bool referrers)
{
	if (cli_asked_begin(a->cli, path, a->mounted_at, &a->asked) != 0)
		return;
	const struct linkfs_cred *cred = &a->cli->cred;
	a->hidden = 0;
	a->asked.options.flags = a->through ? LINKFS_LINKS_THROUGH : 0;
	if (find(a) == 0) {
		int error = referrers ? linkfs_node_referrers(a->asked.volume, cred, a->st.ino, &a->asked.options,
							      on_referrer, a)
				      : linkfs_node_names(a->asked.volume, cred, a->st.ino, on_name, a, &a->hidden);
		error = cli_gone(error);
		if (error == LINKFS_EINVAL && a->mounted_at)
			cli_failf(a->cli, a->mounted_at, "must be an absolute path without '.' and '..'");
		else if (error)
			cli_fail(a->cli, path->text, error);
		cli_answers_sort(&a->answers);
		if (!error && a->json)
			show_json(a, referrers);
		else if (!error && referrers)
			show_referrers(a);
		else if (!error)
			show_names(a);
	}
	cli_answers_done(&a->answers);
	cli_asked_done(&a->asked);
}

static int run(struct cli *cli, const struct cli_args *args, bool referrers)
{
	struct asking a = {.cli = cli, .out = {.out = cli->out}};
	for (size_t i = 0; i < args->noptions; i++) {
		switch (args->options[i].id) {
		case OPT_FOLLOW:
			a.follow = true;
			break;
		case OPT_INODE:
			if (cli_parse_u64(args->options[i].arg, UINT64_MAX, &a.ino) != 0 || a.ino == 0)
				return cli_usage(cli, "invalid inode number '%s'", args->options[i].arg);
			break;
		case OPT_ZERO:
			a.zero = true;
			break;
		case OPT_THROUGH:
			a.through = true;
			break;
		case CLI_OPT_MOUNTED_AT:
			a.mounted_at = args->options[i].arg;
			break;
		default:
			a.json = true;
			break;
		}
	}
	if (a.json)
		cli_json_open(&a.out, NULL, '[');
	for (size_t i = 0; i < args->noperands && !cli_cancelled(cli); i++)
		ask(&a, &args->operands[i], referrers);
	if (a.json)
		cli_json_close(&a.out, ']');
	return cli->status;
}

static int run_names(struct cli *cli, const struct cli_args *args)
{
	return run(cli, args, false);
}

static int run_referrers(struct cli *cli, const struct cli_args *args)
{
	return run(cli, args, true);
}

static const struct cli_option names_options[] = {
	{OPT_INODE, "inode", "NUMBER", "Ask about the file with this inode number; PATH only says in which volume", 0},
	{OPT_FOLLOW, "dereference", NULL, "When PATH is a symlink, ask about what it leads to", 0},
	{OPT_ZERO, "zero", NULL, "End each line with NUL instead of a newline, and quote nothing", 0},
	{OPT_JSON, "json", NULL, "Write JSON", 0},
	CLI_OPTIONS_END,
};

static const struct cli_option referrers_options[] = {
	{OPT_INODE, "inode", "NUMBER", "Ask about the file with this inode number; PATH only says in which volume", 0},
	{OPT_FOLLOW, "dereference", NULL, "When PATH is a symlink, ask about what it leads to", 0},
	{OPT_THROUGH, "through", NULL, "Also the symlinks that come to PATH on their way to somewhere else", 0},
	CLI_OPTION_MOUNTED_AT,
	{OPT_ZERO, "zero", NULL, "Show paths alone, each ended by NUL", 0},
	{OPT_JSON, "json", NULL, "Write JSON", 0},
	CLI_OPTIONS_END,
};

static const char *const usage[] = {"[OPTION]... PATH...", NULL};

const struct cli_command cli_cmd_names = {
	.name = "names",
	.summary = "Show every name of a file",
	.usage = usage,
	.options = names_options,
	.run = run_names,
	.min = 1,
	.flags = CLI_READS,
};

const struct cli_command cli_cmd_referrers = {
	.name = "referrers",
	.summary = "Show the symlinks that lead to a file or through a directory",
	.usage = usage,
	.options = referrers_options,
	.run = run_referrers,
	.min = 1,
	.flags = CLI_READS,
};
