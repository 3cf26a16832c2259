/*
 * cmd_rm.c - linkfs rm: removes names; a file goes with its last one.
 */
#include "table.h"
#include <string.h>
#include <sys/stat.h>

enum { OPT_RECURSIVE = 'r', OPT_RECURSIVE2 = 'R', OPT_FORCE = 'f', OPT_DIR = 'd', OPT_VERBOSE = 'v' };

static bool is_dots(const char *name, size_t len)
{
	return (len == 1 && name[0] == '.') || (len == 2 && name[0] == '.' && name[1] == '.');
}

static void remove_one(struct cli_remove *how, const struct cli_path *path, bool force)
{
	struct cli *cli = how->cli;
	struct linkfs_stat st;
	const char *name;
	size_t len;
	uint64_t dir;
	int slash = 0;
	if (cli_path_volume(cli, path, &how->volume) != 0)
		return;
	how->like = path;
	int error = linkfs_path_parent(how->volume, &cli->cred, path->at, path->path, &dir, &name, &len, &slash);
	if (!error && is_dots(name, len)) {
		cli_failf(cli, path->text, "refusing to remove '.', '..' or the root of a volume");
		return;
	}
	if (!error)
		error = linkfs_node_lookup(how->volume, &cli->cred, dir, name, len, 0, &st);
	if (!error && slash && !S_ISDIR(st.mode))
		error = LINKFS_ENOTDIR;
	if (error == LINKFS_ENOENT && force)
		return;
	if (error)
		cli_failf(cli, path->text, "cannot remove: %s", linkfs_strerror(cli_gone(error)));
	else
		cli_remove(how, dir, name, len, &st, path->text);
}

static int run(struct cli *cli, const struct cli_args *args)
{
	struct cli_remove how = {.cli = cli};
	bool force = false;
	for (size_t i = 0; i < args->noptions; i++) {
		switch (args->options[i].id) {
		case OPT_FORCE:
			force = true;
			break;
		case OPT_DIR:
			how.dirs = true;
			break;
		case OPT_VERBOSE:
			how.verbose = true;
			break;
		default:
			how.recursive = true;
			break;
		}
	}
	if (args->noperands == 0 && !force)
		return cli_usage(cli, "missing operand");
	for (size_t i = 0; i < args->noperands && !cli_cancelled(cli); i++)
		remove_one(&how, &args->operands[i], force);
	return cli->status;
}

static const struct cli_option options[] = {
	{OPT_FORCE, "force", NULL, "What does not exist is no error", 0},
	{OPT_RECURSIVE, "recursive", NULL, "Directories with all that is in them", 0},
	{OPT_RECURSIVE2, NULL, NULL, "As -r", 0},
	{OPT_DIR, "dir", NULL, "Empty directories too", 0},
	{OPT_VERBOSE, "verbose", NULL, "Tell what is removed", 0},
	CLI_OPTIONS_END,
};

static const char *const usage[] = {"[OPTION]... FILE...", NULL};

const struct cli_command cli_cmd_rm = {
	.name = "rm",
	.summary = "Remove names of files, and trees",
	.usage = usage,
	.options = options,
	.run = run,
};
