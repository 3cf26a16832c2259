/*
 * cmd_mkdir.c - linkfs mkdir and rmdir.
 */
#include "table.h"
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { OPT_MODE = 'm', OPT_PARENTS = 'p', OPT_VERBOSE = 'v', OPT_IGNORE = 256 };

struct mkdir_how {
	struct cli *cli;
	struct cli_mode *mode;
	bool parents, verbose;
};

static int make(struct mkdir_how *how, struct linkfs_volume *volume, const struct cli_path *path, const char *text,
		bool last)
{
	struct linkfs_cred cred = how->cli->cred;
	struct linkfs_make make = {.mode = S_IFDIR | 0777};
	struct linkfs_stat st;
	/* The directories on the way must let us in (POSIX, mkdir -p). */
	if (!last)
		cred.umask &= ~0300u;
	int error = linkfs_path_make(volume, &cred, path->at, text, &make, &st);
	if (!error && last && how->mode) {
		/* linkfs create's mode is relative to a=rwx, as mkdir's -m is. */
		struct linkfs_setattr set = {.valid = LINKFS_SET_MODE};
		set.mode =
			cli_mode_apply(how->mode, 0777 | (st.mode & (S_ISUID | S_ISGID)), true, how->cli->cred.umask);
		error = linkfs_node_setattr(volume, &how->cli->cred, st.ino, &set, NULL);
	}
	if (!error && how->verbose)
		fprintf(how->cli->out, "linkfs: created directory '%s'\n", last ? path->text : text);
	return error;
}

/* Makes what is missing of a path, from its beginning on. */
static int make_all(struct mkdir_how *how, struct linkfs_volume *volume, const struct cli_path *path)
{
	char *text = cli_strdup(path->path);
	struct linkfs_stat st;
	int error = text ? 0 : LINKFS_ENOMEM;
	for (size_t i = 0; !error && text[i];) {
		i += strspn(text + i, "/");
		i += strcspn(text + i, "/");
		char after = text[i];
		bool last = text[i + strspn(text + i, "/")] == '\0';
		text[i] = '\0';
		error = text[strspn(text, "/")] ? make(how, volume, path, text, last) : LINKFS_EEXIST;
		if (error == LINKFS_EEXIST) {
			error = linkfs_path_stat(volume, &how->cli->cred, path->at, text[0] ? text : "/", 0, &st);
			if (!error && !S_ISDIR(st.mode))
				error = last ? LINKFS_EEXIST : LINKFS_ENOTDIR;
		}
		text[i] = after;
	}
	free(text);
	return error;
}

static int run_mkdir(struct cli *cli, const struct cli_args *args)
{
	struct mkdir_how how = {.cli = cli};
	for (size_t i = 0; i < args->noptions; i++) {
		switch (args->options[i].id) {
		case OPT_MODE:
			cli_mode_free(how.mode);
			how.mode = NULL;
			if (cli_mode_parse(args->options[i].arg, &how.mode) != 0)
				return cli_usage(cli, "'%s' is no mode", args->options[i].arg);
			break;
		case OPT_PARENTS:
			how.parents = true;
			break;
		default:
			how.verbose = true;
			break;
		}
	}
	for (size_t i = 0; i < args->noperands; i++) {
		const struct cli_path *path = &args->operands[i];
		struct linkfs_volume *volume;
		if (cli_path_volume(cli, path, &volume) != 0)
			continue;
		int error = how.parents ? make_all(&how, volume, path) : make(&how, volume, path, path->path, true);
		if (error)
			cli_failf(cli, path->text, "cannot create directory: %s", linkfs_strerror(cli_gone(error)));
	}
	cli_mode_free(how.mode);
	return cli->status;
}

static int run_rmdir(struct cli *cli, const struct cli_args *args)
{
	for (size_t i = 0; i < args->noperands; i++) {
		const struct cli_path *path = &args->operands[i];
		struct linkfs_volume *volume;
		if (cli_path_volume(cli, path, &volume) != 0)
			continue;
		int error = linkfs_path_rmdir(volume, &cli->cred, path->at, path->path);
		if (error == LINKFS_ENOTEMPTY && cli_args_option(args, OPT_IGNORE))
			continue;
		if (error)
			cli_fail_path(cli, volume, path, "cannot remove", error);
		else if (cli_args_option(args, OPT_VERBOSE))
			fprintf(cli->out, "linkfs: removed directory '%s'\n", path->text);
	}
	return cli->status;
}

static const struct cli_option mkdir_options[] = {
	{OPT_MODE, "mode", "MODE", "Permissions, as chmod takes them, instead of rwxrwxrwx less the umask", 0},
	{OPT_PARENTS, "parents", NULL, "Make missing directories on the way; an existing directory is no error", 0},
	{OPT_VERBOSE, "verbose", NULL, "Tell what is made", 0},
	CLI_OPTIONS_END,
};

static const struct cli_option rmdir_options[] = {
	{OPT_IGNORE, "ignore-fail-on-non-empty", NULL, "A directory that is not empty is left without a word", 0},
	{OPT_VERBOSE, "verbose", NULL, "Tell what is removed", 0},
	CLI_OPTIONS_END,
};

static const char *const usage[] = {"[OPTION]... DIRECTORY...", NULL};

const struct cli_command cli_cmd_mkdir = {
	.name = "mkdir",
	.summary = "Make directories",
	.usage = usage,
	.options = mkdir_options,
	.run = run_mkdir,
	.min = 1,
};

const struct cli_command cli_cmd_rmdir = {
	.name = "rmdir",
	.summary = "Remove empty directories",
	.usage = usage,
	.options = rmdir_options,
	.run = run_rmdir,
	.min = 1,
};
