/*
 * cmd_cp.c - linkfs cp, import and export: three rows over the copy engine.
 */
#include "copy.h"
#include "table.h"
#include "tar.h"
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>

enum {
	OPT_ARCHIVE = 'a',
	OPT_D = 'd',
	OPT_FORCE = 'f',
	OPT_FOLLOW_ARGS = 'H',
	OPT_LINK = 'l',
	OPT_FOLLOW = 'L',
	OPT_NO_CLOBBER = 'n',
	OPT_PHYSICAL = 'P',
	OPT_PRESERVE_P = 'p',
	OPT_RECURSIVE = 'r',
	OPT_RECURSIVE2 = 'R',
	OPT_TARGET = 't',
	OPT_NO_TARGET = 'T',
	OPT_UPDATE = 'u',
	OPT_VERBOSE = 'v',
	OPT_ONE_FS = 'x',
	OPT_PRESERVE = 256,
	OPT_EXCLUDE,
	OPT_JSON,
	OPT_TAR,
	OPT_GZIP,
	OPT_BZIP2,
	OPT_XZ,
	OPT_ZSTD
};

static int take_preserve(struct copy *copy, const char *list)
{
	if (!list) {
		copy->keep_mode = copy->keep_owner = copy->keep_times = true;
		return 0;
	}
	while (*list) {
		size_t len = strcspn(list, ",");
		if (len == 4 && strncmp(list, "mode", len) == 0)
			copy->keep_mode = true;
		else if (len == 9 && strncmp(list, "ownership", len) == 0)
			copy->keep_owner = true;
		else if (len == 10 && strncmp(list, "timestamps", len) == 0)
			copy->keep_times = true;
		else if (len == 5 && strncmp(list, "links", len) == 0)
			copy->keep_links = true;
		else if (len == 5 && strncmp(list, "xattr", len) == 0)
			copy->keep_xattr = true;
		else if (len == 3 && strncmp(list, "all", len) == 0)
			copy->keep_mode = copy->keep_owner = copy->keep_times = copy->keep_links = copy->keep_xattr =
				true;
		else
			return cli_usage(
				copy->cli,
				"--preserve takes mode, ownership, timestamps, links, xattr or all, not '%.*s'",
				(int)len, list);
		list += len + (list[len] == ',');
	}
	return 0;
}

static void keep_all(struct copy *copy)
{
	copy->recursive = copy->keep_type = true;
	copy->keep_mode = copy->keep_owner = copy->keep_times = copy->keep_links = copy->keep_xattr = true;
}

struct settings {
	const struct cli_path *target_dir;
	bool no_target, json, physical, tar;
	int filter; /* enum tar_filter, or -1 */
};

static int take_option(struct copy *copy, struct settings *settings, const struct cli_parsed *option)
{
	switch (option->id) {
	case OPT_ARCHIVE:
		keep_all(copy);
		settings->physical = true;
		break;
	case OPT_D:
		copy->keep_links = settings->physical = true;
		break;
	case OPT_FORCE:
		copy->force = true;
		break;
	case OPT_FOLLOW_ARGS:
		copy->follow_args = true;
		settings->physical = true;
		break;
	case OPT_LINK:
		copy->hard_link = true;
		break;
	case OPT_FOLLOW:
		copy->follow = true;
		settings->physical = false;
		break;
	case OPT_NO_CLOBBER:
		copy->existing = COPY_SKIP;
		break;
	case OPT_PHYSICAL:
		settings->physical = true;
		copy->follow = copy->follow_args = false;
		break;
	case OPT_PRESERVE_P:
		return take_preserve(copy, NULL);
	case OPT_PRESERVE:
		return take_preserve(copy, option->arg);
	case OPT_RECURSIVE:
	case OPT_RECURSIVE2:
		copy->recursive = copy->keep_type = true;
		break;
	case OPT_TARGET:
		settings->target_dir = option->path;
		break;
	case OPT_NO_TARGET:
		settings->no_target = true;
		break;
	case OPT_UPDATE:
		copy->existing = COPY_UPDATE;
		break;
	case OPT_VERBOSE:
		copy->verbose = true;
		break;
	case OPT_ONE_FS:
		copy->one_fs = true;
		break;
	case OPT_JSON:
		settings->json = true;
		break;
	case OPT_TAR:
		settings->tar = true;
		break;
	case OPT_GZIP:
		settings->filter = TAR_GZIP;
		break;
	case OPT_BZIP2:
		settings->filter = TAR_BZIP2;
		break;
	case OPT_XZ:
		settings->filter = TAR_XZ;
		break;
	case OPT_ZSTD:
		settings->filter = TAR_ZSTD;
		break;
	default:
		break;
	}
	return 0;
}

static int take_options(struct copy *copy, struct settings *settings, const struct cli_args *args,
			const char **excludes)
{
	int status = 0;
	for (size_t i = 0; i < args->noptions && !status; i++) {
		if (args->options[i].id == OPT_EXCLUDE)
			excludes[copy->nexcludes++] = args->options[i].arg;
		else
			status = take_option(copy, settings, &args->options[i]);
	}
	copy->excludes = excludes;
	return status;
}

/* One descriptor is open per level of the host's side. */
static void raise_file_limit(void)
{
	struct rlimit limit;
	if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
		limit.rlim_cur = limit.rlim_max;
		setrlimit(RLIMIT_NOFILE, &limit);
	}
}

static bool check_sides(struct cli *cli, const struct cli_targets *targets, bool import, bool export)
{
	bool volume = targets->dest->kind == CLI_VOLUME;
	for (size_t i = 0; i < targets->nsources; i++) {
		const struct cli_path *source = &targets->sources[i];
		if (import && source->kind == CLI_VOLUME && !source->in_mount) {
			cli_usage(cli,
				  "'%s' is in a volume; import takes trees of the host (cp -a copies between volumes)",
				  source->text);
			return false;
		}
		if (export && source->kind != CLI_VOLUME) {
			cli_not_in_volume(cli, source);
			return false;
		}
		volume |= source->kind == CLI_VOLUME;
	}
	if (import && targets->dest->kind != CLI_VOLUME) {
		cli_not_in_volume(cli, targets->dest);
		return false;
	}
	if (export && targets->dest->kind == CLI_VOLUME && !targets->dest->in_mount) {
		cli_usage(cli, "'%s' is in a volume; export writes to the host (cp -a copies between volumes)",
			  targets->dest->text);
		return false;
	}
	if (!volume)
		cli_usage(cli, "neither source nor destination is in a volume: use cp(1)");
	return volume;
}

static void summary(struct copy *copy, const struct settings *settings)
{
	struct cli *cli = copy->cli;
	if (settings->json) {
		struct cli_json json = {.out = cli->out};
		cli_json_open(&json, NULL, '{');
		cli_json_number(&json, "files", copy->files);
		cli_json_number(&json, "directories", copy->dirs);
		cli_json_number(&json, "symlinks", copy->symlinks);
		cli_json_number(&json, "special", copy->others);
		cli_json_number(&json, "hard_links", copy->links);
		cli_json_number(&json, "bytes", copy->bytes);
		cli_json_number(&json, "skipped", copy->skipped);
		cli_json_number(&json, "errors", copy->errors);
		cli_json_close(&json, '}');
		return;
	}
	if (!cli->err_tty && !copy->errors)
		return;
	char size[32];
	cli_human_size(copy->bytes, 1024, size);
	cli_note(cli,
		 "%" PRIu64 " files (%s), %" PRIu64 " directories, %" PRIu64 " symlinks, %" PRIu64
		 " more names of files, %" PRIu64 " others; %" PRIu64 " errors",
		 copy->files, size, copy->dirs, copy->symlinks, copy->links, copy->others, copy->errors);
}

static int run_tar(struct copy *copy, const struct settings *settings, const struct cli_args *args, bool import)
{
	struct cli *cli = copy->cli;
	if (settings->target_dir)
		return cli_usage(cli, "--tar takes no --target-directory");
	if (import && settings->no_target)
		return cli_usage(cli, "--tar takes no --no-target-directory: what is in the archive has its names");
	if (copy->one_fs)
		return cli_usage(cli, "--tar takes no --one-file-system");
	int status = import ? tar_run_import(copy, args)
			    : tar_run_export(copy, args, settings->no_target, settings->json, settings->filter);
	if (!status)
		summary(copy, settings);
	return status;
}

static int run_copy(struct cli *cli, const struct cli_args *args, bool import, bool export)
{
	struct copy copy = {.cli = cli};
	cli_progress_begin(&copy.progress, cli, false);
	struct settings settings = {.filter = -1};
	struct cli_targets targets;
	const char **excludes = cli_alloc((args->noptions + 1) * sizeof(*excludes));
	if (!excludes) {
		cli_fail(cli, NULL, LINKFS_ENOMEM);
		return cli->status;
	}
	if (import || export) {
		keep_all(&copy);
		copy.existing = COPY_REPLACE;
		settings.physical = true;
	}
	int status = take_options(&copy, &settings, args, excludes);
	/* Without -r a symlink operand stands for its target. */
	if (!copy.recursive && !settings.physical)
		copy.follow_args = true;
	if (!status && settings.filter >= 0 && !settings.tar)
		status = cli_usage(cli, "a compression is for an archive: --tar is missing");
	if (!status && settings.tar) {
		status = run_tar(&copy, &settings, args, import);
		free(excludes);
		return status ? status : cli->status;
	}
	if (!status)
		status = cli_targets_find(cli, args, settings.target_dir, settings.no_target, false, &targets);
	if (!status && check_sides(cli, &targets, import, export)) {
		raise_file_limit();
		copy_run(&copy, &targets);
		if (import || export)
			summary(&copy, &settings);
	}
	free(excludes);
	return status ? status : cli->status;
}

static int run_cp(struct cli *cli, const struct cli_args *args)
{
	return run_copy(cli, args, false, false);
}

static int run_import(struct cli *cli, const struct cli_args *args)
{
	return run_copy(cli, args, true, false);
}

static int run_export(struct cli *cli, const struct cli_args *args)
{
	return run_copy(cli, args, false, true);
}

static const struct cli_option cp_options[] = {
	{OPT_ARCHIVE, "archive", NULL, "Trees with everything: as -r -P --preserve=all", 0},
	{OPT_D, NULL, NULL, "As -P --preserve=links", 0},
	{OPT_FORCE, "force", NULL, "A destination that cannot be written is removed and made anew", 0},
	{OPT_FOLLOW_ARGS, NULL, NULL, "Follow symlinks among the operands", 0},
	{OPT_LINK, "link", NULL, "Hard links instead of copies, within one volume", 0},
	{OPT_FOLLOW, "dereference", NULL, "Copy what symlinks point to", 0},
	{OPT_NO_CLOBBER, "no-clobber", NULL, "Leave what exists as it is", 0},
	{OPT_PHYSICAL, "no-dereference", NULL, "Copy symlinks as symlinks; the default with -r", 0},
	{OPT_PRESERVE_P, NULL, NULL, "As --preserve=mode,ownership,timestamps", 0},
	{OPT_PRESERVE, "preserve", "LIST", "Keep these: mode, ownership, timestamps, links, xattr (with ACLs), all",
	 CLI_ARG_OPTIONAL},
	{OPT_RECURSIVE, "recursive", NULL, "Directories with all that is in them", 0},
	{OPT_RECURSIVE2, NULL, NULL, "As -r", 0},
	{OPT_TARGET, "target-directory", "DIR", "The directory that receives the copies", CLI_ARG_PATH},
	{OPT_NO_TARGET, "no-target-directory", NULL, "The destination is a name, not a directory that receives copies",
	 0},
	{OPT_UPDATE, "update", NULL, "Only where the destination is missing or older", 0},
	{OPT_VERBOSE, "verbose", NULL, "Tell what is copied", 0},
	{OPT_ONE_FS, "one-file-system", NULL, "Stay on the file system of each source", 0},
	CLI_OPTIONS_END,
};

static const struct cli_option import_options[] = {
	{OPT_EXCLUDE, "exclude", "PATTERN", "Leave out names that match; with a / in it, paths below the source", 0},
	{OPT_JSON, "json", NULL, "Write the summary as JSON", 0},
	{OPT_TAR, "tar", NULL, "ARCHIVE is a tar archive; without it, or with -, standard input is", 0},
	{OPT_TARGET, "target-directory", "DIR", "The directory that receives the trees", CLI_ARG_PATH},
	{OPT_NO_TARGET, "no-target-directory", NULL, "The tree's content goes into the destination itself", 0},
	{OPT_VERBOSE, "verbose", NULL, "Tell what is copied", 0},
	{OPT_ONE_FS, "one-file-system", NULL, "Stay on the file system of each source", 0},
	CLI_OPTIONS_END,
};

static const struct cli_option export_options[] = {
	{OPT_EXCLUDE, "exclude", "PATTERN", "Leave out names that match; with a / in it, paths below the source", 0},
	{OPT_JSON, "json", NULL, "Write the summary as JSON", 0},
	{OPT_TAR, "tar", NULL, "Write a tar archive (pax) to ARCHIVE; without it, or to -, to standard output", 0},
	{OPT_BZIP2, "bzip2", NULL, "With --tar: compress the archive by bzip2; as a name that ends in .bz2 says", 0},
	{OPT_GZIP, "gzip", NULL, "With --tar: compress it by gzip; as .gz and .tgz say", 0},
	{OPT_XZ, "xz", NULL, "With --tar: compress it by xz; as .xz says", 0},
	{OPT_ZSTD, "zstd", NULL, "With --tar: compress it by zstd; as .zst says", 0},
	{OPT_TARGET, "target-directory", "DIR", "The directory that receives the trees", CLI_ARG_PATH},
	{OPT_NO_TARGET, "no-target-directory", NULL, "The tree's content goes into the destination itself", 0},
	{OPT_VERBOSE, "verbose", NULL, "Tell what is copied", 0},
	{OPT_ONE_FS, "one-file-system", NULL, "Stay on the file system of each source", 0},
	CLI_OPTIONS_END,
};

static bool import_reads_input(const struct cli_args *args)
{
	return tar_reads_input(args, OPT_TAR);
}

static const char *const cp_usage[] = {"[OPTION]... [-T] SOURCE DEST", "[OPTION]... SOURCE... DIRECTORY",
				       "[OPTION]... -t DIRECTORY SOURCE...", NULL};
static const char *const import_usage[] = {"[OPTION]... TREE... VOLUME:/PATH",
					   "--tar [OPTION]... [ARCHIVE] VOLUME:/PATH", NULL};
static const char *const export_usage[] = {"[OPTION]... VOLUME:/PATH... DIRECTORY",
					   "--tar [OPTION]... VOLUME:/PATH... [ARCHIVE]", NULL};

const struct cli_command cli_cmd_cp = {
	.name = "cp",
	.summary = "Copy files and trees in a volume, between volumes, and from and to the host",
	.usage = cp_usage,
	.options = cp_options,
	.run = run_cp,
	.takes = CLI_TAKES_HOST,
	.min = 1,
};

const struct cli_command cli_cmd_import = {
	.name = "import",
	.summary =
		"Bring trees of the host and tar archives into a volume, with links, holes, times, owners, attributes",
	.usage = import_usage,
	.options = import_options,
	.reads_input = import_reads_input,
	.run = run_import,
	.takes = CLI_TAKES_HOST,
	.min = 1,
};

const struct cli_command cli_cmd_export = {
	.name = "export",
	.summary =
		"Write trees of a volume to the host or as tar archives, with links, holes, times, owners, attributes",
	.usage = export_usage,
	.options = export_options,
	.run = run_export,
	.takes = CLI_TAKES_HOST,
	.min = 1,
};
