/*
 * cmd_restore.c - linkfs restore: a tree or file of a volume, or of a snapshot, back to the host exactly (row E5).
 */
#include "restore.h"
#include "table.h"

#include <string.h>
#include <sys/resource.h>

enum {
	OPT_DRY_RUN = 'n',
	OPT_QUIET = 'q',
	OPT_VERBOSE = 'v',
	OPT_OVERWRITE = 256,
	OPT_MERGE,
	OPT_DELETE,
	OPT_VERIFY,
	OPT_MOUNTS,
	OPT_JSON
};

/* One descriptor is open per level. */
static void raise_file_limit(void)
{
	struct rlimit limit;
	if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
		limit.rlim_cur = limit.rlim_max;
		setrlimit(RLIMIT_NOFILE, &limit);
	}
}

static void take_options(struct restore *r, const struct cli_args *args)
{
	for (size_t i = 0; i < args->noptions; i++) {
		switch (args->options[i].id) {
		case OPT_DRY_RUN:
			r->dry = true;
			break;
		case OPT_QUIET:
			r->quiet = true;
			break;
		case OPT_VERBOSE:
			r->verbose = true;
			break;
		case OPT_OVERWRITE:
			r->how = RESTORE_OVERWRITE;
			break;
		case OPT_MERGE:
			r->how = r->how == RESTORE_OVERWRITE ? r->how : RESTORE_MERGE;
			break;
		case OPT_DELETE:
			r->removes = true;
			break;
		case OPT_VERIFY:
			r->verify = true;
			break;
		case OPT_MOUNTS:
			r->mounts = true;
			break;
		default:
			r->as_json = true;
			break;
		}
	}
}

static bool names_own(const char *path)
{
	return strncmp(path, "/dev/std", 8) == 0 || strncmp(path, "/dev/fd", 7) == 0 ||
	       strncmp(path, "/proc/self/", 11) == 0 || strncmp(path, "/proc/thread-self/", 18) == 0;
}

static int run(struct cli *cli, const struct cli_args *args)
{
	struct restore r = {
		.cli = cli, .source = &args->operands[0], .dest = &args->operands[1], .json = {.out = cli->out}};
	struct linkfs_volume *volume;
	take_options(&r, args);
	bool merges = cli_args_option(args, OPT_MERGE) != NULL;
	if (r.how == RESTORE_OVERWRITE && merges)
		return cli_usage(cli, "--overwrite replaces what is there, --merge leaves it: choose one");
	if (r.removes && r.how != RESTORE_OVERWRITE)
		return cli_usage(cli, "--delete goes with --overwrite");
	if (r.verify && (r.how != RESTORE_NEW || r.dry))
		return cli_usage(cli,
				 "--verify changes nothing: leave out --overwrite, --merge, --delete and --dry-run");
	if (r.source->kind != CLI_VOLUME) {
		cli_not_in_volume(cli, r.source);
		return cli->status;
	}
	if (r.dest->kind == CLI_VOLUME) {
		cli_failf(cli, r.dest->text,
			  "is in a volume; restore writes to the host ('linkfs rollback' and 'linkfs cp -a' bring "
			  "things back in a volume)");
		return cli->status;
	}
	if (cli->in_owner && names_own(r.dest->host)) {
		cli_failf(cli, r.dest->text,
			  "names something of the calling process, which the mount's cannot see; give its path");
		return cli->status;
	}
	if (cli_path_volume(cli, r.source, &volume) != 0)
		return cli->status;
	/* What programs wrote through shared mappings belongs to what is there now. */
	if (cli->mount && !linkfs_node_past(r.source->at) && linkfs_mount_hand_over(cli->mount) != 0)
		cli_note(cli, "what programs have written through mappings may be missing: out of memory");
	raise_file_limit();
	restore_run(&r);
	return cli->status;
}

static const struct cli_option options[] = {
	{OPT_OVERWRITE, "overwrite", NULL, "Replace what differs; what the volume does not have stays", 0},
	{OPT_MERGE, "merge", NULL, "Add what is missing; what is there stays", 0},
	{OPT_DELETE, "delete", NULL, "With --overwrite: remove what the volume does not have", 0},
	{OPT_VERIFY, "verify", NULL, "Write nothing: compare, and show what differs as diff does", 0},
	{OPT_DRY_RUN, "dry-run", NULL, "Tell what would be done, and do nothing", 0},
	{OPT_MOUNTS, "mounts", NULL, "Go into file systems that are mounted below DEST", 0},
	{OPT_VERBOSE, "verbose", NULL, "Tell of each file", 0},
	{OPT_QUIET, "quiet", NULL, "Do not tell what was done", 0},
	{OPT_JSON, "json", NULL, "Write the report as JSON", 0},
	CLI_OPTIONS_END,
};

static const char *const usage[] = {"[OPTION]... VOLUME[@SNAPSHOT]:/PATH DEST",
				    "[OPTION]... MOUNT/.snapshots/NAME[/PATH] DEST", NULL};

const struct cli_command cli_cmd_restore = {
	.name = "restore",
	.summary = "Bring a tree or file back to the host exactly as it was",
	.usage = usage,
	.options = options,
	.exits = "0 done, with --verify: there are no differences; 1 something failed, with --verify: there are "
		 "differences; 2 wrong usage, with --verify also: something could not be compared; 3 all is there, but "
		 "owners, attributes or devices that this user may not set or make",
	.run = run,
	.takes = CLI_TAKES_HOST,
	.min = 2,
	.max = 2,
	.flags = CLI_READS,
};
