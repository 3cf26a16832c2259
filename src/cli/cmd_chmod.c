/*
 * cmd_chmod.c - linkfs chmod, chown and chgrp.
 */
#include "table.h"
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum {
	OPT_RECURSIVE = 'R',
	OPT_LINK = 'h',
	OPT_VERBOSE = 'v',
	OPT_QUIET = 'f',
	OPT_REF = 256,
	OPT_FOLLOW = 257,
	OPT_FROM = 258
};

struct change {
	struct cli *cli;
	struct linkfs_volume *volume;
	struct cli_mode *mode;
	struct linkfs_setattr set; /* chown */
	bool recursive, no_follow, verbose, quiet;
	bool from_uid, from_gid;
	uint32_t uid, gid;
};

static void tell(struct change *change, const char *display, int error)
{
	if (error && !change->quiet)
		cli_failf(change->cli, display, "cannot change: %s", linkfs_strerror(cli_gone(error)));
	else if (error)
		change->cli->status = change->cli->status > CLI_EXIT_SOME ? change->cli->status : CLI_EXIT_SOME;
	else if (change->verbose)
		fprintf(change->cli->out, "changed '%s'\n", display);
}

static int change_visit(void *arg, const struct cli_visit *visit)
{
	struct change *change = arg;
	struct linkfs_setattr set = change->set;
	const struct linkfs_stat *st = visit->st;
	if (change->mode) {
		if (S_ISLNK(st->mode)) /* a symlink's mode is never consulted (B1) */
			return 0;
		set.valid = LINKFS_SET_MODE;
		set.mode = cli_mode_apply(change->mode, st->mode, S_ISDIR(st->mode), change->cli->cred.umask);
	} else if ((change->from_uid && st->uid != change->uid) || (change->from_gid && st->gid != change->gid)) {
		return 0;
	}
	tell(change, visit->display, linkfs_node_setattr(change->volume, &change->cli->cred, st->ino, &set, NULL));
	return 0;
}

static void change_operand(struct change *change, const struct cli_path *path)
{
	struct linkfs_stat st;
	bool follow = change->mode ? true : !change->no_follow && !change->recursive;
	if (cli_path_volume(change->cli, path, &change->volume) != 0)
		return;
	int error = cli_path_stat(change->cli, path, follow, &st);
	if (error) {
		tell(change, path->text, error);
		return;
	}
	struct cli_visit visit = {.name = "", .st = &st, .display = path->text};
	if (change->recursive)
		cli_walk(change->cli, change->volume, &visit, change_visit, NULL, change);
	else
		change_visit(change, &visit);
}

static int change_operands(struct change *change, const struct cli_args *args, size_t first)
{
	if (first >= args->noperands)
		return cli_usage(change->cli, args->noperands ? "missing operand after '%s'" : "missing operand",
				 args->noperands ? args->operands[args->noperands - 1].text : "");
	for (size_t i = first; i < args->noperands && !cli_cancelled(change->cli); i++)
		change_operand(change, &args->operands[i]);
	return change->cli->status;
}

/* "USER", "USER:", "USER:GROUP", ":GROUP" */
static int parse_owner(struct cli *cli, const char *text, struct linkfs_setattr *set)
{
	const char *colon = strchr(text, ':');
	char *user = colon ? strndup(text, (size_t)(colon - text)) : cli_strdup(text);
	int error = user ? 0 : LINKFS_ENOMEM;
	if (!error && user[0]) {
		bool login = colon && !colon[1];
		error = cli_parse_user(user, &set->uid, login ? &set->gid : NULL);
		set->valid |= LINKFS_SET_UID | (login ? LINKFS_SET_GID : 0);
	}
	free(user);
	if (error)
		return cli_usage(cli, "'%s': no such user", text);
	if (colon && colon[1]) {
		if (cli_parse_group(colon + 1, &set->gid) != 0)
			return cli_usage(cli, "'%s': no such group", text);
		set->valid |= LINKFS_SET_GID;
	}
	return 0;
}

static int parse_from(struct change *change, const char *text)
{
	struct linkfs_setattr set = {0};
	int status = parse_owner(change->cli, text, &set);
	change->from_uid = set.valid & LINKFS_SET_UID;
	change->from_gid = set.valid & LINKFS_SET_GID;
	change->uid = set.uid;
	change->gid = set.gid;
	return status;
}

static int take_options(struct change *change, const struct cli_args *args)
{
	int status = 0;
	for (size_t i = 0; i < args->noptions && !status; i++) {
		switch (args->options[i].id) {
		case OPT_RECURSIVE:
			change->recursive = true;
			break;
		case OPT_LINK:
			change->no_follow = true;
			break;
		case OPT_FOLLOW:
			change->no_follow = false;
			break;
		case OPT_VERBOSE:
			change->verbose = true;
			break;
		case OPT_QUIET:
			change->quiet = true;
			break;
		case OPT_FROM:
			status = parse_from(change, args->options[i].arg);
			break;
		default:
			break;
		}
	}
	return status;
}

/* The attributes of --reference's file; found says if there is one. */
static int reference(struct change *change, const struct cli_args *args, bool *found, struct linkfs_stat *st)
{
	const struct cli_parsed *option = cli_args_option(args, OPT_REF);
	*found = option != NULL;
	int error = option ? cli_any_stat(change->cli, option->path, true, st) : 0;
	if (!error)
		return 0;
	cli_failf(change->cli, option->arg, "cannot read its attributes: %s", linkfs_strerror(error));
	return CLI_EXIT_SOME;
}

static int run_chmod(struct cli *cli, const struct cli_args *args)
{
	struct change change = {.cli = cli};
	struct linkfs_stat ref;
	char octal[16];
	bool by_ref;
	int status = take_options(&change, args);
	if (!status)
		status = reference(&change, args, &by_ref, &ref);
	if (status)
		return status;
	if (!by_ref && args->noperands == 0)
		return cli_usage(cli, "missing operand");
	if (by_ref)
		snprintf(octal, sizeof(octal), "0%04o", (unsigned)(ref.mode & 07777));
	const char *text = by_ref ? octal : args->operands[0].text;
	if (cli_mode_parse(text, &change.mode) != 0)
		return cli_usage(cli, "'%s' is no mode; write 0755 or u=rwx,go+r", text);
	status = change_operands(&change, args, by_ref ? 0 : 1);
	cli_mode_free(change.mode);
	return status;
}

static int run_owner(struct cli *cli, const struct cli_args *args, bool group)
{
	struct change change = {.cli = cli};
	struct linkfs_stat ref;
	bool by_ref;
	int status = take_options(&change, args);
	if (!status)
		status = reference(&change, args, &by_ref, &ref);
	if (status)
		return status;
	if (!by_ref && args->noperands == 0)
		return cli_usage(cli, "missing operand");
	if (by_ref) {
		change.set.valid = LINKFS_SET_GID | (group ? 0 : LINKFS_SET_UID);
		change.set.uid = ref.uid;
		change.set.gid = ref.gid;
	} else if (group) {
		change.set.valid = LINKFS_SET_GID;
		if (cli_parse_group(args->operands[0].text, &change.set.gid) != 0)
			return cli_usage(cli, "'%s': no such group", args->operands[0].text);
	} else {
		status = parse_owner(cli, args->operands[0].text, &change.set);
	}
	return status ? status : change_operands(&change, args, by_ref ? 0 : 1);
}

static int run_chown(struct cli *cli, const struct cli_args *args)
{
	return run_owner(cli, args, false);
}

static int run_chgrp(struct cli *cli, const struct cli_args *args)
{
	return run_owner(cli, args, true);
}

static size_t texts(const struct cli_args *args)
{
	return cli_args_option(args, OPT_REF) ? 0 : 1;
}

static const struct cli_option chmod_options[] = {
	{OPT_RECURSIVE, "recursive", NULL,
	 "Directories with all that is in them; symlinks met on the way are left alone", 0},
	{OPT_REF, "reference", "FILE", "The mode of this file, in a volume or on the host, instead of MODE",
	 CLI_ARG_PATH},
	{OPT_QUIET, "silent", NULL, "No messages about what cannot be changed", 0},
	{OPT_VERBOSE, "verbose", NULL, "Tell what is changed", 0},
	CLI_OPTIONS_END,
};

static const struct cli_option chown_options[] = {
	{OPT_RECURSIVE, "recursive", NULL,
	 "Directories with all that is in them, symlinks themselves and not their targets", 0},
	{OPT_LINK, "no-dereference", NULL, "The symlink itself instead of its target", 0},
	{OPT_FOLLOW, "dereference", NULL, "The target of a symlink; the default without -R", 0},
	{OPT_FROM, "from", "OWNER", "Only files that belong to this user and group ([USER][:[GROUP]])", 0},
	{OPT_REF, "reference", "FILE", "As this file, in a volume or on the host", CLI_ARG_PATH},
	{OPT_QUIET, "silent", NULL, "No messages about what cannot be changed", 0},
	{OPT_VERBOSE, "verbose", NULL, "Tell what is changed", 0},
	CLI_OPTIONS_END,
};

static const char *const chmod_usage[] = {"[OPTION]... MODE FILE...", "[OPTION]... --reference=FILE FILE...", NULL};
static const char *const chown_usage[] = {"[OPTION]... [USER][:[GROUP]] FILE...",
					  "[OPTION]... --reference=FILE FILE...", NULL};
static const char *const chgrp_usage[] = {"[OPTION]... GROUP FILE...", "[OPTION]... --reference=FILE FILE...", NULL};

const struct cli_command cli_cmd_chmod = {
	.name = "chmod",
	.summary = "Change permissions",
	.usage = chmod_usage,
	.options = chmod_options,
	.run = run_chmod,
	.texts = texts,
	.flags = CLI_DASH_MODE,
};

const struct cli_command cli_cmd_chown = {
	.name = "chown",
	.summary = "Change user and group",
	.usage = chown_usage,
	.options = chown_options,
	.run = run_chown,
	.texts = texts,
};

const struct cli_command cli_cmd_chgrp = {
	.name = "chgrp",
	.summary = "Change the group",
	.usage = chgrp_usage,
	.options = chown_options,
	.run = run_chgrp,
	.texts = texts,
};
