/*
 * cmd_recover.c - linkfs recover: a new volume out of one whose metadata is beyond repair.
 */
#include "progress.h"
#include "table.h"
#include <inttypes.h>
#include <linkfs_recover.h>
#include <stdlib.h>
#include <string.h>

enum { OPT_LIST = 'l', OPT_JSON = 256 };

struct recover {
	struct cli *cli;
	struct cli_json json;
	bool as_json;
	struct cli_progress progress;
};

static const struct {
	enum linkfs_recover_what what;
	const char *name; /* in JSON */
	const char *text; /* after the path and the range, before the count */
} kinds[] = {
	{LINKFS_RECOVER_FILE_LOST, "file-lost", "lost: nothing but its name or number is left"},
	{LINKFS_RECOVER_RANGE_LOST, "range-lost", "content lost, reads as zeros"},
	{LINKFS_RECOVER_NAMES_LOST, "names-lost", "names missing"},
	{LINKFS_RECOVER_ATTRIBUTES_LOST, "attributes-lost", "owner, permissions and times are lost"},
	{LINKFS_RECOVER_XATTRS_LOST, "xattrs-lost", "extended attributes lost"},
	{LINKFS_RECOVER_PLACE_LOST, "place-lost", "its name is lost"},
	{LINKFS_RECOVER_DOUBTFUL, "doubtful", "doubtful: from a damaged page or an old one"},
	{LINKFS_RECOVER_SNAPSHOTS_LOST, "snapshots-lost", "snapshots not brought back"},
	{LINKFS_RECOVER_UNTRACED, "untraced", "files lost without a trace"},
};

static size_t kind_of(enum linkfs_recover_what what)
{
	size_t i = 0;
	while (i + 1 < CLI_ARRAY_LEN(kinds) && kinds[i].what != what)
		i++;
	return i;
}

static int progress(void *arg, enum linkfs_recover_phase phase, uint64_t done, uint64_t total)
{
	struct recover *run = arg;
	if (cli_progress_due(&run->progress))
		cli_progress_show(&run->progress, 0, 0, "%s %" PRIu64 " of %" PRIu64,
				  phase == LINKFS_RECOVER_PAGES ? "page" : "file", done, total);
	return cli_cancelled(run->cli);
}

static void show_problem(struct recover *run, const struct linkfs_recover_problem *problem)
{
	FILE *out = run->cli->out;
	char *path = problem->path_len ? cli_quote(problem->path, problem->path_len, CLI_QUOTE_SHELL, NULL) : NULL;
	if (path)
		fprintf(out, "%s: ", path);
	else if (problem->ino)
		fprintf(out, "inode %" PRIu64 ": ", problem->ino);
	free(path);
	if (problem->what == LINKFS_RECOVER_RANGE_LOST)
		fprintf(out, "bytes %" PRIu64 " to %" PRIu64 ": ", problem->offset,
			problem->offset + problem->length - 1);
	fputs(kinds[kind_of(problem->what)].text, out);
	if (problem->count)
		fprintf(out, ": %" PRIu64, problem->count);
	fputc('\n', out);
}

static void json_problem(struct cli_json *json, const struct linkfs_recover_problem *problem)
{
	cli_json_open(json, NULL, '{');
	cli_json_string(json, "what", kinds[kind_of(problem->what)].name);
	if (problem->ino)
		cli_json_number(json, "ino", problem->ino);
	else
		cli_json_null(json, "ino");
	if (problem->path_len)
		cli_json_bytes(json, "path", problem->path, problem->path_len);
	else
		cli_json_null(json, "path");
	if (problem->what == LINKFS_RECOVER_RANGE_LOST) {
		cli_json_number(json, "offset", problem->offset);
		cli_json_number(json, "length", problem->length);
	}
	if (problem->count)
		cli_json_number(json, "count", problem->count);
	cli_json_close(json, '}');
}

static void on_problem(void *arg, const struct linkfs_recover_problem *problem)
{
	struct recover *run = arg;
	cli_progress_end(&run->progress);
	if (run->as_json)
		json_problem(&run->json, problem);
	else
		show_problem(run, problem);
}

static void json_result(struct cli_json *json, const struct linkfs_recover_result *r)
{
	cli_json_bool(json, "complete", r->complete != 0);
	cli_json_open(json, "database", '{');
	cli_json_number(json, "pages", r->pages);
	cli_json_number(json, "pages_bad", r->pages_bad);
	cli_json_number(json, "pages_mended", r->pages_mended);
	cli_json_number(json, "pages_lost", r->pages_lost);
	cli_json_number(json, "log_frames", r->log_frames);
	cli_json_bool(json, "log_damaged", r->log_damaged != 0);
	cli_json_number(json, "trees_damaged", r->trees_damaged);
	cli_json_bool(json, "secret_lost", r->secret_lost != 0);
	cli_json_close(json, '}');
	cli_json_open(json, "recovered", '{');
	cli_json_number(json, "directories", r->directories);
	cli_json_number(json, "files", r->files);
	cli_json_number(json, "symlinks", r->symlinks);
	cli_json_number(json, "specials", r->specials);
	cli_json_number(json, "names", r->names);
	cli_json_number(json, "bytes", r->bytes);
	cli_json_number(json, "xattrs", r->xattrs);
	cli_json_number(json, "nameless", r->nameless);
	cli_json_number(json, "doubtful", r->doubtful);
	cli_json_close(json, '}');
	cli_json_open(json, "lost", '{');
	cli_json_number(json, "files", r->lost_files);
	cli_json_number(json, "untraced", r->untraced);
	cli_json_number(json, "ranges", r->lost_ranges);
	cli_json_number(json, "bytes", r->lost_bytes);
	cli_json_number(json, "names", r->lost_names);
	cli_json_number(json, "attributes", r->lost_attributes);
	cli_json_number(json, "xattrs", r->lost_xattrs);
	cli_json_number(json, "snapshots", r->snapshots);
	cli_json_close(json, '}');
}

static void show_result(struct cli *cli, const struct linkfs_recover_result *r)
{
	FILE *out = cli->out;
	char size[32];
	fprintf(out,
		"%-13s%" PRIu64 " pages, %" PRIu64 " damaged, %" PRIu64 " mended, %" PRIu64
		" without a tree; %u damaged trees\n",
		"Database:", r->pages, r->pages_bad, r->pages_mended, r->pages_lost, r->trees_damaged);
	fprintf(out, "%-13s%" PRIu64 " pages in use%s\n", "Log:", r->log_frames,
		r->log_damaged ? ", damaged: later changes may be missing" : "");
	if (r->secret_lost)
		fprintf(out, "%-13sthe key of their hashes is lost: they are not proved\n", "Names:");
	cli_human_size(r->bytes, 1024, size);
	fprintf(out,
		"%-13s%" PRIu64 " directories, %" PRIu64 " files, %" PRIu64 " symlinks, %" PRIu64
		" special files; %" PRIu64 " names, %" PRIu64 " bytes of content (%s), %" PRIu64
		" extended attributes\n",
		"Recovered:", r->directories, r->files, r->symlinks, r->specials, r->names, r->bytes, size, r->xattrs);
	if (r->nameless || r->doubtful)
		fprintf(out, "%-13s%" PRIu64 " in lost+found, %" PRIu64 " doubtful\n", "Of these:", r->nameless,
			r->doubtful);
	if (!r->complete)
		fprintf(out,
			"%-13s%" PRIu64 " files, %" PRIu64 " bytes in %" PRIu64 " ranges, %" PRIu64
			" names, attributes of %" PRIu64 " files, %" PRIu64 " extended attributes, %" PRIu64
			" snapshots\n",
			"Lost:", r->lost_files + r->untraced, r->lost_bytes, r->lost_ranges, r->lost_names,
			r->lost_attributes, r->lost_xattrs, r->snapshots);
}

static int check_operands(struct cli *cli, const struct cli_args *args, bool list)
{
	if (!list && args->noperands == 1)
		return cli_usage(cli, "missing new volume after '%s'", args->operands[0].text);
	if (list && args->noperands == 2)
		return cli_usage(cli, "--list makes no new volume");
	return 0;
}

static int run(struct cli *cli, const struct cli_args *args)
{
	struct recover run = {.cli = cli, .json = {.out = cli->out}};
	cli_progress_begin(&run.progress, cli, false);
	bool list = cli_args_option(args, OPT_LIST) != NULL;
	struct linkfs_recover_options options = {
		.flags = list ? LINKFS_RECOVER_LIST : 0, .problem = on_problem, .progress = progress, .arg = &run};
	struct linkfs_recover_result result = {0};
	struct linkfs_message why = {""};
	int error = check_operands(cli, args, list);
	if (error)
		return error;
	run.as_json = cli_args_option(args, OPT_JSON) != NULL;
	if (run.as_json) {
		cli_json_open(&run.json, NULL, '{');
		cli_json_open(&run.json, "problems", '[');
	}
	error = linkfs_recover(args->operands[0].text, list ? NULL : args->operands[1].text, &options, &result, &why);
	cli_progress_end(&run.progress);
	if (run.as_json) {
		cli_json_close(&run.json, ']');
		if (!error)
			json_result(&run.json, &result);
		cli_json_close(&run.json, '}');
	} else if (!error) {
		show_result(cli, &result);
	}
	if (error && why.text[0])
		cli_failf(cli, NULL, "%s", why.text);
	else if (error)
		cli_fail(cli, args->operands[0].text, error);
	else if (!result.complete)
		cli->status = cli->status > CLI_EXIT_SOME ? cli->status : CLI_EXIT_SOME;
	return cli->status;
}

static const struct cli_option options[] = {
	{OPT_LIST, "list", NULL, "Make nothing, only say what would come of it", 0},
	{OPT_JSON, "json", NULL, "Write JSON", 0},
	CLI_OPTIONS_END,
};

static const char *const usage[] = {"[OPTION]... VOLUME NEWVOLUME", "--list [OPTION]... VOLUME", NULL};

const struct cli_command cli_cmd_recover = {
	.name = "recover",
	.summary = "Make a new volume of what is left of a damaged one",
	.usage = usage,
	.options = options,
	.exits = "0 everything was brought back; 1 something is lost or doubtful; 8 it could not be done; 16 wrong "
		 "usage",
	.run = run,
	.takes = CLI_TAKES_TEXT,
	.min = 1,
	.max = 2,
	.usage_status = CLI_EXIT_FSCK_USAGE,
	.fail_status = CLI_EXIT_FSCK_FAILED,
};
