/*
 * cmd_impact.c - linkfs impact: which symlinks would dangle, or lead elsewhere, if something were removed or moved.
 */
#include "links.h"
#include "table.h"
#include <linkfs_snapshots.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { OPT_NO_TARGET = 'T', OPT_ZERO = 'z', OPT_JSON = 256 };

struct asking {
	struct cli *cli;
	struct cli_asked asked;
	struct cli_answers answers;
	const char *mounted_at;
	bool zero, json, no_target;
	struct cli_json out;
};

static int on_impact(void *arg, const struct linkfs_impact *i)
{
	struct asking *a = arg;
	return cli_answers_add(a->cli, &a->answers, i->link.path, &i->link, &i->before, &i->after);
}

static const char *effect_of(const struct cli_answer *answer)
{
	if (answer->before.error)
		return "heals";
	return answer->after.error ? "breaks" : "changes";
}

static void show(struct asking *a)
{
	FILE *out = a->cli->out;
	for (size_t i = 0; i < a->answers.len; i++) {
		const struct cli_answer *answer = &a->answers.list[i];
		if (a->zero) {
			char *shown = cli_asked_spell(&a->asked, answer->path);
			if (shown)
				fwrite(shown, 1, strlen(shown) + 1, out);
			free(shown);
			continue;
		}
		cli_show_link(&a->asked, &answer->link);
		if (answer->before.error)
			fprintf(out, ": would lead somewhere again (now: %s)\n", linkfs_strerror(answer->before.error));
		else if (answer->after.error)
			fprintf(out, ": would dangle: %s\n", linkfs_strerror(answer->after.error));
		else
			fputs(": would lead to another file\n", out);
	}
}

static void show_json(struct asking *a)
{
	cli_json_open(&a->out, NULL, '{');
	cli_json_string(&a->out, "operand", a->asked.path->text);
	cli_json_string(&a->out, "volume", a->asked.path->volume);
	cli_json_open(&a->out, "links", '[');
	for (size_t i = 0; i < a->answers.len; i++) {
		const struct cli_answer *answer = &a->answers.list[i];
		cli_json_open(&a->out, NULL, '{');
		cli_json_link(&a->out, &answer->link);
		cli_json_string(&a->out, "effect", effect_of(answer));
		cli_json_end(&a->out, "before", &answer->before);
		cli_json_end(&a->out, "after", &answer->after);
		cli_json_close(&a->out, '}');
	}
	cli_json_close(&a->out, ']');
	cli_json_close(&a->out, '}');
}

/* The path that mv would give it; into a directory that is there, as mv does. Allocated. */
static int new_place(struct asking *a, const struct cli_path *from, const struct cli_path *to, uint64_t *at_out,
		     char **path_out)
{
	struct linkfs_stat st;
	bool into = !a->no_target && cli_path_stat(a->cli, to, true, &st) == 0 && S_ISDIR(st.mode);
	*at_out = into ? st.ino : to->at;
	*path_out = into ? cli_basename(from->path) : cli_strdup(to->path);
	return *path_out ? 0 : LINKFS_ENOMEM;
}

static int ask_library(struct asking *a, const struct cli_path *from, const struct cli_path *to)
{
	const struct linkfs_cred *cred = &a->cli->cred;
	char *path = NULL;
	uint64_t at = 0;
	if (!to)
		return linkfs_path_impact_remove(a->asked.volume, cred, from->at, from->path, &a->asked.options,
						 on_impact, a);
	int error = new_place(a, from, to, &at, &path);
	if (!error)
		error = linkfs_path_impact_rename(a->asked.volume, cred, from->at, from->path, at, path,
						  &a->asked.options, on_impact, a);
	free(path);
	return error;
}

static void tell_error(struct asking *a, const struct cli_path *from, const struct cli_path *to, int error)
{
	if (error == LINKFS_EINVAL && a->mounted_at && a->mounted_at[0] != '/')
		cli_failf(a->cli, a->mounted_at, "must be an absolute path without '.' and '..'");
	else if (error == LINKFS_EINVAL && to)
		cli_failf(a->cli, from->text, "cannot be moved below itself, to '%s'", to->text);
	else if (error == LINKFS_EROFS ||
		 (error == LINKFS_EXDEV && (linkfs_node_past(from->at) || (to && linkfs_node_past(to->at)))))
		cli_failf(a->cli, from->text, "%s", CLI_PAST_FIXED);
	else if (error == LINKFS_EBUSY)
		cli_failf(a->cli, from->text, "is no name that can be removed or moved");
	else if (error && to)
		cli_failf(a->cli, from->text, "cannot be moved to '%s': %s", to->text, linkfs_strerror(error));
	else if (error)
		cli_fail(a->cli, from->text, error);
}

static void ask(struct asking *a, const struct cli_path *from, const struct cli_path *to)
{
	if (cli_asked_begin(a->cli, from, a->mounted_at, &a->asked) != 0)
		return;
	if (to && (to->kind != CLI_VOLUME || strcmp(to->volume, from->volume) != 0)) {
		cli_failf(a->cli, to->text, "is not in the volume of '%s': what is moved there is copied, and removed",
			  from->text);
	} else {
		int error = cli_gone(ask_library(a, from, to));
		tell_error(a, from, to, error);
		cli_answers_sort(&a->answers);
		if (!error && a->json)
			show_json(a);
		else if (!error)
			show(a);
	}
	cli_answers_done(&a->answers);
	cli_asked_done(&a->asked);
}

static int run(struct cli *cli, const struct cli_args *args)
{
	struct asking a = {.cli = cli, .out = {.out = cli->out}};
	for (size_t i = 0; i < args->noptions; i++) {
		switch (args->options[i].id) {
		case OPT_NO_TARGET:
			a.no_target = true;
			break;
		case OPT_ZERO:
			a.zero = true;
			break;
		case CLI_OPT_MOUNTED_AT:
			a.mounted_at = args->options[i].arg;
			break;
		default:
			a.json = true;
			break;
		}
	}
	bool move = strcmp(args->operands[0].text, "mv") == 0;
	if (!move && strcmp(args->operands[0].text, "rm") != 0)
		return cli_usage(cli, "'%s' is neither rm nor mv", args->operands[0].text);
	if (move && args->noperands < 3)
		return cli_usage(cli, "mv needs a path and its new path");
	size_t end = args->noperands - move;
	if (a.json)
		cli_json_open(&a.out, NULL, '[');
	for (size_t i = 1; i < end && !cli_cancelled(cli); i++)
		ask(&a, &args->operands[i], move ? &args->operands[end] : NULL);
	if (a.json)
		cli_json_close(&a.out, ']');
	return cli->status;
}

static size_t texts(const struct cli_args *args)
{
	return args->noperands ? 1 : 0;
}

static const struct cli_option options[] = {
	{OPT_NO_TARGET, "no-target-directory", NULL, "With mv: NEW is a name, also when a directory is there", 0},
	CLI_OPTION_MOUNTED_AT,
	{OPT_ZERO, "zero", NULL, "Show paths alone, each ended by NUL", 0},
	{OPT_JSON, "json", NULL, "Write JSON", 0},
	CLI_OPTIONS_END,
};

static const char *const usage[] = {"[OPTION]... rm PATH...", "[OPTION]... mv PATH... NEW", NULL};

const struct cli_command cli_cmd_impact = {
	.name = "impact",
	.summary = "Show which symlinks a removal or a move would break",
	.usage = usage,
	.options = options,
	.run = run,
	.texts = texts,
	.min = 2,
	.flags = CLI_READS,
};
