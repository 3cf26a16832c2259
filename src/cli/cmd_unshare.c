/*
 * cmd_unshare.c - linkfs unshare: names get inodes of their own, so that an edit no longer shows through the others (row D8).
 */
#include "table.h"

enum { OPT_VERBOSE = 'v', OPT_JSON = 256 };

struct unshare {
	struct cli *cli;
	struct cli_json json;
	bool verbose, as_json;
};

static void print(struct unshare *how, const struct cli_path *path, const struct linkfs_stat *before,
		  const struct linkfs_stat *after)
{
	bool changed = before->ino != after->ino;
	if (how->as_json) {
		cli_json_open(&how->json, NULL, '{');
		cli_json_string(&how->json, "path", path->text);
		cli_json_number(&how->json, "ino", after->ino);
		cli_json_number(&how->json, "ino_before", before->ino);
		cli_json_bool(&how->json, "changed", changed);
		cli_json_number(&how->json, "other_names", changed ? before->nlink - 1 : 0);
		cli_json_close(&how->json, '}');
	} else if (how->verbose && changed) {
		fprintf(how->cli->out, "'%s': inode %llu instead of %llu, which keeps %u name%s\n", path->text,
			(unsigned long long)after->ino, (unsigned long long)before->ino, before->nlink - 1,
			before->nlink == 2 ? "" : "s");
	} else if (how->verbose) {
		fprintf(how->cli->out, "'%s': the only name of inode %llu\n", path->text,
			(unsigned long long)after->ino);
	}
}

static void unshare_one(struct unshare *how, const struct cli_path *path)
{
	struct cli *cli = how->cli;
	struct linkfs_volume *volume;
	struct linkfs_stat before = {0}, after = {0};
	if (cli_path_volume(cli, path, &volume) != 0)
		return;
	int error = linkfs_path_stat(volume, &cli->cred, path->at, path->path, LINKFS_NOFOLLOW, &before);
	if (!error)
		error = linkfs_path_unshare(volume, &cli->cred, path->at, path->path, &after);
	error = cli_gone(error);
	if (error == LINKFS_EISDIR)
		cli_failf(cli, path->text,
			  "is a directory: it has one name, or the names share what is in it on purpose");
	else if (error == LINKFS_EPERM)
		cli_failf(cli, path->text, "cannot be unshared: only the owner of a file may do that");
	else if (error == LINKFS_EAGAIN)
		cli_failf(cli, path->text, "became another file's name meanwhile; nothing was changed");
	else if (error)
		cli_failf(cli, path->text, "cannot be unshared: %s", linkfs_strerror(error));
	else
		print(how, path, &before, &after);
}

static int run(struct cli *cli, const struct cli_args *args)
{
	struct unshare how = {.cli = cli, .json = {.out = cli->out}};
	for (size_t i = 0; i < args->noptions; i++) {
		if (args->options[i].id == OPT_VERBOSE)
			how.verbose = true;
		else
			how.as_json = true;
	}
	if (how.as_json)
		cli_json_open(&how.json, NULL, '[');
	for (size_t i = 0; i < args->noperands && !cli_cancelled(cli); i++)
		unshare_one(&how, &args->operands[i]);
	if (how.as_json)
		cli_json_close(&how.json, ']');
	return cli->status;
}

static const struct cli_option options[] = {
	{OPT_VERBOSE, "verbose", NULL, "Tell which inode each name stands for then", 0},
	{OPT_JSON, "json", NULL, "Write JSON", 0},
	CLI_OPTIONS_END,
};

static const char *const usage[] = {"[OPTION]... NAME...", NULL};

const struct cli_command cli_cmd_unshare = {
	.name = "unshare",
	.summary = "Give names inodes of their own that share the content until one is written",
	.usage = usage,
	.options = options,
	.run = run,
	.min = 1,
};
