/*
 * cmd_advise.c - linkfs advise: which kind of link suits, and by which rule (linkfs-advise(1)).
 */
#include "links.h"
#include "table.h"
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum {
	OPT_TARGET_MOVE = 256,
	OPT_LINK_MOVE,
	OPT_TARGET_DELETE,
	OPT_REPLACED,
	OPT_FOLLOWS,
	OPT_SHARE,
	OPT_COVER,
	OPT_JSON,
};

static enum linkfs_answer *answer_of(struct linkfs_question *q, int id)
{
	switch (id) {
	case OPT_TARGET_MOVE:
		return &q->survive_target_move;
	case OPT_LINK_MOVE:
		return &q->survive_link_move;
	case OPT_TARGET_DELETE:
		return &q->survive_target_delete;
	case OPT_REPLACED:
		return &q->replaced;
	case OPT_FOLLOWS:
		return &q->follows;
	case OPT_SHARE:
		return &q->share_edits;
	default:
		return &q->covers;
	}
}

static const struct {
	const char *word, *command, *name;
} links[] = {
	[LINKFS_ADVISE_HARD] = {"another name (hard link)", "linkfs ln", "hard"},
	[LINKFS_ADVISE_SYMLINK] = {"a relative symlink", "linkfs ln -s -r", "symlink"},
	[LINKFS_ADVISE_ABSOLUTE] = {"an absolute symlink", "ln -s", "absolute"},
	[LINKFS_ADVISE_TRACKED] = {"a tracked symlink", "linkfs ln -s --track", "tracked"},
	[LINKFS_ADVISE_DIRECTORY] = {"a directory link", "linkfs ln --directory", "directory"},
	[LINKFS_ADVISE_BIND] = {"a bind", "linkfs bind", "bind"},
	[LINKFS_ADVISE_COW] = {"a copy that shares its blocks", "linkfs ln --cow", "cow"},
	[LINKFS_ADVISE_COPY] = {"a copy; no link does it", "linkfs cp -a", "copy"},
};

static void show_word(struct cli *cli, const char *text)
{
	char *quoted = cli_quote(text, strlen(text), CLI_QUOTE_SHELL, NULL);
	fputc(' ', cli->out);
	fputs(quoted ? quoted : text, cli->out);
	free(quoted);
}

static void show(struct cli *cli, const struct linkfs_advice *advice, const struct cli_args *args)
{
	FILE *out = cli->out;
	fprintf(out, "%s: %s", links[advice->link].word, links[advice->link].command);
	show_word(cli, args->operands[0].text);
	show_word(cli, args->operands[1].text);
	fprintf(out, "\n  rule %s: %s\n", advice->rule, advice->why);
	if (advice->beware)
		fprintf(out, "  beware: %s\n", advice->beware);
	for (size_t i = 0; advice->assumed[i]; i++)
		fprintf(out, "  assumed: %s\n", advice->assumed[i]);
}

static void show_json(struct cli *cli, const struct linkfs_advice *advice)
{
	struct cli_json json = {.out = cli->out};
	cli_json_open(&json, NULL, '{');
	cli_json_string(&json, "link", links[advice->link].name);
	cli_json_string(&json, "command", links[advice->link].command);
	cli_json_string(&json, "rule", advice->rule);
	cli_json_string(&json, "why", advice->why);
	if (advice->beware)
		cli_json_string(&json, "beware", advice->beware);
	else
		cli_json_null(&json, "beware");
	cli_json_open(&json, "assumed", '[');
	for (size_t i = 0; advice->assumed[i]; i++)
		cli_json_string(&json, NULL, advice->assumed[i]);
	cli_json_close(&json, ']');
	cli_json_close(&json, '}');
}

/* What can be seen of the two paths. */
static int look(struct cli *cli, const struct cli_path *from, const struct cli_path *to, struct linkfs_question *q)
{
	struct linkfs_stat st;
	if (from->kind != CLI_VOLUME && to->kind != CLI_VOLUME) {
		cli_failf(cli, from->text, "neither this nor '%s' is in a linkfs volume", to->text);
		return LINKFS_EINVAL;
	}
	bool same = from->kind == CLI_VOLUME && to->kind == CLI_VOLUME && strcmp(from->volume, to->volume) == 0;
	struct linkfs_volume *volume;
	if (from->kind == CLI_VOLUME && cli_path_volume(cli, from, &volume) != 0)
		return LINKFS_EINVAL;
	int error = cli_gone(cli_any_stat(cli, from, true, &st));
	if (error && error != LINKFS_ENOENT && error != LINKFS_ENOTDIR) {
		cli_fail(cli, from->text, error);
		return error;
	}
	q->same_volume = same ? LINKFS_YES : LINKFS_NO;
	q->exists = error ? LINKFS_NO : LINKFS_YES;
	if (!error)
		q->directory = S_ISDIR(st.mode) ? LINKFS_YES : LINKFS_NO;
	return 0;
}

static int run(struct cli *cli, const struct cli_args *args)
{
	struct linkfs_question question = {0};
	struct linkfs_advice advice;
	bool json = false;
	for (size_t i = 0; i < args->noptions; i++) {
		const struct cli_parsed *option = &args->options[i];
		if (option->id == OPT_JSON) {
			json = true;
			continue;
		}
		bool no = option->arg && strcmp(option->arg, "no") == 0;
		if (option->arg && !no && strcmp(option->arg, "yes") != 0)
			return cli_usage(cli, "'%s' is neither yes nor no", option->arg);
		*answer_of(&question, option->id) = no ? LINKFS_NO : LINKFS_YES;
	}
	if (look(cli, &args->operands[0], &args->operands[1], &question) != 0)
		return cli->status;
	linkfs_advise(&question, &advice);
	if (json)
		show_json(cli, &advice);
	else
		show(cli, &advice, args);
	return cli->status;
}

static const struct cli_option options[] = {
	{OPT_SHARE, "share-edits", "yes|no", "An edit through one is to show through the other", CLI_ARG_OPTIONAL},
	{OPT_TARGET_MOVE, "survive-target-move", "yes|no", "The link is to work when TARGET was moved",
	 CLI_ARG_OPTIONAL},
	{OPT_LINK_MOVE, "survive-link-move", "yes|no", "The link is to work when it was moved itself",
	 CLI_ARG_OPTIONAL},
	{OPT_TARGET_DELETE, "survive-target-delete", "yes|no", "The content is to stay when TARGET is deleted",
	 CLI_ARG_OPTIONAL},
	{OPT_REPLACED, "replaced", "yes|no",
	 "Something new is put in TARGET's place: programs save by rename, or versions are switched", CLI_ARG_OPTIONAL},
	{OPT_FOLLOWS, "follows", "yes|no", "The programs that use the link follow symlinks", CLI_ARG_OPTIONAL},
	{OPT_COVER, "cover", "yes|no", "What is at LINK now is to be there again when the link is removed",
	 CLI_ARG_OPTIONAL},
	{OPT_JSON, "json", NULL, "Write JSON", 0},
	CLI_OPTIONS_END,
};

static const char *const usage[] = {"[OPTION]... TARGET LINK", NULL};

const struct cli_command cli_cmd_advise = {
	.name = "advise",
	.summary = "Say which kind of link suits, and why",
	.usage = usage,
	.options = options,
	.run = run,
	.takes = CLI_TAKES_HOST,
	.min = 2,
	.max = 2,
	.flags = CLI_READS,
};
