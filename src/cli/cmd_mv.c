/*
 * cmd_mv.c - linkfs mv: renames, in one step each.
 */
#include "table.h"
#include <linkfs_snapshots.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum {
	OPT_FORCE = 'f',
	OPT_NO_CLOBBER = 'n',
	OPT_NO_TARGET = 'T',
	OPT_TARGET = 't',
	OPT_VERBOSE = 'v',
	OPT_UPDATE = 'u',
	OPT_EXCHANGE = 256
};

struct mv {
	struct cli *cli;
	struct linkfs_volume *volume;
	uint32_t flags;
	bool verbose, update;
};

static int move(struct mv *mv, const struct cli_path *source, uint64_t at, const char *path)
{
	const struct linkfs_cred *cred = &mv->cli->cred;
	struct linkfs_stat from, to;
	if (mv->update && linkfs_path_stat(mv->volume, cred, source->at, source->path, LINKFS_NOFOLLOW, &from) == 0 &&
	    linkfs_path_stat(mv->volume, cred, at, path, LINKFS_NOFOLLOW, &to) == 0 && to.mtime_ns >= from.mtime_ns)
		return 0;
	/* rename(2) does nothing for two names of one file; a user who moves one onto the other should know. */
	if (mv->flags == 0 &&
	    linkfs_path_stat(mv->volume, cred, source->at, source->path, LINKFS_NOFOLLOW, &from) == 0 &&
	    linkfs_path_stat(mv->volume, cred, at, path, LINKFS_NOFOLLOW, &to) == 0 && to.ino == from.ino &&
	    !S_ISDIR(from.mode)) {
		cli_failf(mv->cli, source->text,
			  "the destination is the same file: nothing to move (rm removes one of its names)");
		return 0;
	}
	return linkfs_path_rename(mv->volume, cred, source->at, source->path, at, path, mv->flags);
}

static void tell_error(struct mv *mv, const struct cli_path *source, uint64_t at, const char *path, const char *display,
		       int error)
{
	struct cli *cli = mv->cli;
	const char *name;
	uint64_t dir;
	size_t len;
	char *reason = NULL;
	if (error == LINKFS_EBUSY &&
	    linkfs_path_parent(mv->volume, &cli->cred, source->at, source->path, &dir, &name, &len, NULL) == 0)
		reason = cli_bind_at_fault(cli, mv->volume, source, dir, name, len);
	/* A source of a bind may move: then it is the place it moves to. */
	if (error == LINKFS_EBUSY && path &&
	    linkfs_path_parent(mv->volume, &cli->cred, at, path, &dir, &name, &len, NULL) == 0) {
		char *there = cli_bind_at_fault(cli, mv->volume, source, dir, name, len);
		if (there) {
			cli_failf(cli, display, "cannot be replaced: %s", there);
			free(there);
			free(reason);
			return;
		}
	}
	if (error == LINKFS_EXDEV && (linkfs_node_past(source->at) || linkfs_node_past(at)))
		cli_failf(cli, source->text, "cannot move to '%s': %s", display, CLI_PAST_FIXED);
	else if (error == LINKFS_EXDEV)
		cli_failf(cli, source->text,
			  "cannot move to '%s': a bind lies between them; copy it with 'linkfs cp -a', then remove it",
			  display);
	else if (error == LINKFS_ELOOP)
		cli_failf(cli, source->text, "cannot move to '%s': the directory would come to lie in itself", display);
	else
		cli_failf(cli, source->text, "cannot move to '%s': %s", display,
			  reason ? reason : linkfs_strerror(error));
	free(reason);
}

static void move_one(struct mv *mv, const struct cli_targets *targets, const struct cli_path *source)
{
	struct cli *cli = mv->cli;
	const struct cli_path *dest = targets->dest;
	struct linkfs_volume *volume;
	char *name = NULL, *display = NULL;
	uint64_t at = dest->at;
	if (cli_path_volume(cli, source, &volume) != 0)
		return;
	if (volume != mv->volume) {
		cli_failf(cli, source->text, "is in another volume: copy it with 'linkfs cp -a', then remove it");
		return;
	}
	int error = 0, before = cli->status;
	if (targets->into) {
		/* By path, so that it is known through which bind it leads. */
		char *base = cli_basename(source->path);
		name = base ? cli_join(dest->path, base) : NULL;
		display = base ? cli_join(dest->text, base) : NULL;
		free(base);
	} else {
		name = cli_strdup(dest->path);
		display = cli_strdup(dest->text);
	}
	if (!error && (!name || !display))
		error = LINKFS_ENOMEM;
	if (!error)
		error = cli_gone(move(mv, source, at, name));
	if (error == LINKFS_EEXIST && (mv->flags & LINKFS_RENAME_NOREPLACE))
		error = 0;
	else if (!error && mv->verbose && cli->status == before)
		fprintf(cli->out, "%s '%s' -> '%s'\n", mv->flags & LINKFS_RENAME_EXCHANGE ? "exchanged" : "renamed",
			source->text, display);
	if (error)
		tell_error(mv, source, at, name, display ? display : dest->text, error);
	free(name);
	free(display);
}

static int run(struct cli *cli, const struct cli_args *args)
{
	struct mv mv = {.cli = cli};
	struct cli_targets targets;
	const struct cli_path *target_dir = NULL;
	bool no_target = false;
	for (size_t i = 0; i < args->noptions; i++) {
		switch (args->options[i].id) {
		case OPT_FORCE:
			mv.flags &= ~LINKFS_RENAME_NOREPLACE;
			break;
		case OPT_NO_CLOBBER:
			mv.flags |= LINKFS_RENAME_NOREPLACE;
			break;
		case OPT_EXCHANGE:
			mv.flags |= LINKFS_RENAME_EXCHANGE;
			break;
		case OPT_NO_TARGET:
			no_target = true;
			break;
		case OPT_TARGET:
			target_dir = args->options[i].path;
			break;
		case OPT_UPDATE:
			mv.update = true;
			break;
		default:
			mv.verbose = true;
			break;
		}
	}
	if (mv.flags == (LINKFS_RENAME_NOREPLACE | LINKFS_RENAME_EXCHANGE))
		return cli_usage(cli, "-n and --exchange exclude each other");
	int status = cli_targets_find(cli, args, target_dir, no_target, false, &targets);
	if (status)
		return status;
	if (cli_path_volume(cli, targets.dest, &mv.volume) != 0)
		return cli->status;
	for (size_t i = 0; i < targets.nsources; i++)
		move_one(&mv, &targets, &targets.sources[i]);
	return cli->status;
}

static const struct cli_option options[] = {
	{OPT_EXCHANGE, "exchange", NULL, "Exchange source and destination", 0},
	{OPT_FORCE, "force", NULL, "Replace what exists; the default", 0},
	{OPT_NO_CLOBBER, "no-clobber", NULL, "Leave what exists as it is", 0},
	{OPT_TARGET, "target-directory", "DIR", "The directory that receives the sources", CLI_ARG_PATH},
	{OPT_NO_TARGET, "no-target-directory", NULL, "The destination is a name, not a directory that receives sources",
	 0},
	{OPT_UPDATE, "update", NULL, "Only where the destination is missing or older", 0},
	{OPT_VERBOSE, "verbose", NULL, "Tell what is moved", 0},
	CLI_OPTIONS_END,
};

static const char *const usage[] = {"[OPTION]... [-T] SOURCE DEST", "[OPTION]... SOURCE... DIRECTORY",
				    "[OPTION]... -t DIRECTORY SOURCE...", NULL};

const struct cli_command cli_cmd_mv = {
	.name = "mv",
	.summary = "Rename and move within a volume",
	.usage = usage,
	.options = options,
	.run = run,
	.min = 1,
};
