/*
 * cmd_touch.c - linkfs touch: sets times, makes empty files.
 */
#include "table.h"
#include <string.h>
#include <sys/stat.h>

enum {
	OPT_ATIME = 'a',
	OPT_MTIME = 'm',
	OPT_CREATE = 'c',
	OPT_DATE = 'd',
	OPT_LINK = 'h',
	OPT_REF = 'r',
	OPT_STAMP = 't',
	OPT_TIME = 256
};

struct touch {
	struct cli *cli;
	bool no_create, no_follow;
	struct linkfs_setattr set;
};

static int touch_one(const struct touch *touch, const struct cli_path *path)
{
	struct linkfs_volume *volume;
	const struct linkfs_cred *cred = &touch->cli->cred;
	uint32_t flags = touch->no_follow ? LINKFS_NOFOLLOW : 0;
	int error = cli_path_volume(touch->cli, path, &volume);
	if (error)
		return 0; /* told already */
	error = linkfs_path_setattr(volume, cred, path->at, path->path, flags, &touch->set);
	if (error != LINKFS_ENOENT)
		return error;
	if (touch->no_create || touch->no_follow)
		return touch->no_create ? 0 : error;
	struct linkfs_file *file;
	error = linkfs_file_open(volume, cred, path->at, path->path, LINKFS_O_WRITE | LINKFS_O_CREATE, 0666, &file);
	if (error)
		return error;
	error = linkfs_node_setattr(volume, cred, linkfs_file_ino(file), &touch->set, NULL);
	linkfs_file_close(file);
	return error;
}

struct times {
	bool given;
	int64_t atime_ns, mtime_ns;
};

static int take_times(struct cli *cli, const struct cli_parsed *option, struct times *times)
{
	int64_t now = cli_now_ns(), ns = 0;
	int error;
	if (option->id == OPT_REF) {
		struct linkfs_stat st;
		error = cli_any_stat(cli, option->path, true, &st);
		if (error) {
			cli_failf(cli, option->arg, "cannot read its times: %s", linkfs_strerror(error));
			return CLI_EXIT_SOME;
		}
		*times = (struct times){true, st.atime_ns, st.mtime_ns};
		return 0;
	}
	if (option->id == OPT_DATE)
		error = cli_time_parse(cli, option->arg, now, &ns);
	else
		error = cli_time_parse_stamp(cli, option->arg, now, &ns);
	if (error)
		return cli_usage(cli, "'%s' is no date; write 2024-02-29 13:45:00.5 +01:00, @SECONDS, or '2 days ago'",
				 option->arg);
	*times = (struct times){true, ns, ns};
	return 0;
}

static void choose(struct touch *touch, const struct times *times, bool atime, bool mtime)
{
	if (!atime && !mtime)
		atime = mtime = true;
	touch->set.atime_ns = times->atime_ns;
	touch->set.mtime_ns = times->mtime_ns;
	if (atime)
		touch->set.valid |= times->given ? LINKFS_SET_ATIME : LINKFS_SET_ATIME_NOW;
	if (mtime)
		touch->set.valid |= times->given ? LINKFS_SET_MTIME : LINKFS_SET_MTIME_NOW;
}

static int take_word(struct cli *cli, const char *arg, bool *atime, bool *mtime)
{
	if (strcmp(arg, "access") == 0 || strcmp(arg, "atime") == 0 || strcmp(arg, "use") == 0)
		*atime = true;
	else if (strcmp(arg, "modify") == 0 || strcmp(arg, "mtime") == 0)
		*mtime = true;
	else
		return cli_usage(cli, "--time is access or modify, not '%s'", arg);
	return 0;
}

static int run(struct cli *cli, const struct cli_args *args)
{
	struct touch touch = {.cli = cli};
	struct times times = {0};
	bool atime = false, mtime = false;
	int status = 0;
	for (size_t i = 0; i < args->noptions && !status; i++) {
		switch (args->options[i].id) {
		case OPT_ATIME:
			atime = true;
			break;
		case OPT_MTIME:
			mtime = true;
			break;
		case OPT_CREATE:
			touch.no_create = true;
			break;
		case OPT_LINK:
			touch.no_follow = true;
			break;
		case OPT_TIME:
			status = take_word(cli, args->options[i].arg, &atime, &mtime);
			break;
		default:
			status = take_times(cli, &args->options[i], &times);
			break;
		}
	}
	if (status)
		return status;
	choose(&touch, &times, atime, mtime);
	for (size_t i = 0; i < args->noperands; i++) {
		int error = touch_one(&touch, &args->operands[i]);
		if (error)
			cli_failf(cli, args->operands[i].text, "cannot touch: %s", linkfs_strerror(cli_gone(error)));
	}
	return cli->status;
}

static const struct cli_option options[] = {
	{OPT_ATIME, NULL, NULL, "Set the access time only", 0},
	{OPT_MTIME, NULL, NULL, "Set the modification time only", 0},
	{OPT_CREATE, "no-create", NULL, "Make no files", 0},
	{OPT_DATE, "date", "DATE",
	 "This time instead of now: an ISO 8601 date, @SECONDS, or a distance as '2 days ago'", 0},
	{OPT_LINK, "no-dereference", NULL, "The symlink itself instead of its target", 0},
	{OPT_REF, "reference", "FILE", "The times of this file, in a volume or on the host", CLI_ARG_PATH},
	{OPT_STAMP, NULL, "STAMP", "The time [[CC]YY]MMDDhhmm[.ss]", 0},
	{OPT_TIME, "time", "WORD", "One of access (as -a) and modify (as -m)", 0},
	CLI_OPTIONS_END,
};

static const char *const usage[] = {"[OPTION]... FILE...", NULL};

const struct cli_command cli_cmd_touch = {
	.name = "touch",
	.summary = "Set the times of files; make those that are missing",
	.usage = usage,
	.options = options,
	.run = run,
	.min = 1,
};
