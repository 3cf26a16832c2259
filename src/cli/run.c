/*
 * run.c - where a command runs: in the process that owns the volume it names, or here when nobody does.
 */
#include "run.h"
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int cli_run_here(struct cli *cli, const struct cli_args *args)
{
	int status = cli_snapshots_find(cli, args) ? CLI_EXIT_SOME : cli->command->run(cli, args);
	return status > cli->status ? status : cli->status;
}

/* The owner of a volume when it runs here and takes commands. */
static bool is_live(const char *volume, struct linkfs_owner *owner)
{
	return linkfs_volume_owner(volume, owner) == 0 && owner->local && owner->control_socket[0];
}

/* Whether a path was named as VOLUME:/path, or stands for a volume as a whole. */
static bool is_explicit(const struct cli_command *command, const struct cli_path *path)
{
	return path->kind == CLI_VOLUME && (!path->in_mount || command->takes == CLI_TAKES_VOLUME);
}

/* The last one that is live runs the command: it is mostly the destination. */
static const char *find_runner(const struct cli_command *command, const struct cli_args *args,
			       struct linkfs_owner *owner)
{
	bool any_explicit = false;
	for (size_t i = args->npaths; i > 0; i--) {
		const struct cli_path *path = args->paths[i - 1];
		if (!is_explicit(command, path))
			continue;
		any_explicit = true;
		if (is_live(path->volume, owner))
			return path->volume;
	}
	for (size_t i = args->npaths; i > 0 && !(any_explicit && command->takes == CLI_TAKES_HOST); i--) {
		const struct cli_path *path = args->paths[i - 1];
		if (path->kind == CLI_VOLUME && path->in_mount && is_live(path->volume, owner))
			return path->volume;
	}
	return NULL;
}

/* Paths in other volumes' mounts are host paths for commands that take those; so are paths in volumes that are mounted
 * while the command runs elsewhere. */
static int settle_paths(const struct cli_command *command, struct cli_args *args, const char *runner)
{
	for (size_t i = 0; i < args->npaths && command->takes == CLI_TAKES_HOST; i++) {
		struct cli_path *path = args->paths[i];
		if (path->kind != CLI_VOLUME || (runner && strcmp(path->volume, runner) == 0))
			continue;
		if (path->in_mount) {
			cli_path_as_host(path);
			continue;
		}
		char *point = cli_served_point(path->volume);
		if (point) {
			char *host = cli_args_keep(args, cli_join(point, path->path));
			free(point);
			if (!host)
				return LINKFS_ENOMEM;
			path->kind = CLI_HOST;
			path->host = host;
		}
	}
	return 0;
}

int cli_run(struct cli *cli, int argc, char *const *argv, struct cli_args *args, bool *here_out)
{
	struct linkfs_owner *owner = cli_alloc(sizeof(*owner));
	int status = CLI_EXIT_SOME;
	const char *runner = NULL;
	*here_out = false;
	if (!owner) {
		cli_fail(cli, NULL, LINKFS_ENOMEM);
		return status;
	}
	if (!(cli->command->flags & CLI_LOCAL))
		runner = find_runner(cli->command, args, owner);
	/* The caller's standard input must be readable by the owner only through us; a dead socket means nobody is there. */
	if (settle_paths(cli->command, args, runner) != 0)
		cli_fail(cli, NULL, LINKFS_ENOMEM);
	else if (!runner || cli_run_there(cli, owner->control_socket, argc, argv, args, &status) != 0)
		*here_out = true;
	free(owner);
	return status;
}
