/*
 * cmd_check.c - linkfs check: is a volume whole, and repair (row F2).
 */
#include "table.h"
#include <inttypes.h>
#include <linkfs_check.h>
#include <stdlib.h>
#include <string.h>

/* e2fsck(8)'s. */
#define EXIT_CORRECTED 1
#define EXIT_UNCORRECTED 4

enum { OPT_REPAIR = 'p', OPT_DATA = 'd', OPT_JSON = 256, OPT_DROP_DATA, OPT_BACKUP, OPT_NO_BACKUP, OPT_PROBLEMS };

struct checking {
	struct cli *cli;
	const char *what; /* the volume, as typed */
	struct cli_json *json;
	bool shown; /* a line of progress stands on the terminal */
};

static const char *severity_word(enum linkfs_severity severity)
{
	static const char *const words[] = {"minor", "error", "loss", "fatal"};
	return (size_t)severity < CLI_ARRAY_LEN(words) ? words[severity] : "error";
}

static void clear_progress(struct checking *k)
{
	if (k->shown)
		fputs("\r\033[K", k->cli->err);
	fflush(k->cli->err);
	k->shown = false;
}

static void finding_json(struct cli_json *json, const struct linkfs_finding *f)
{
	cli_json_open(json, NULL, '{');
	cli_json_string(json, "id", f->problem->id);
	cli_json_string(json, "severity", severity_word(f->problem->severity));
	cli_json_string(json, "text", f->text);
	if (f->path)
		cli_json_string(json, "path", f->path);
	if (f->ino)
		cli_json_number(json, "ino", f->ino);
	if (f->dir)
		cli_json_number(json, "dir", f->dir);
	if (f->name)
		cli_json_bytes(json, "name", f->name, f->name_len);
	if (f->block != LINKFS_NO_BLOCK)
		cli_json_number(json, "block", f->block);
	cli_json_bool(json, "repaired", f->repaired);
	cli_json_close(json, '}');
}

static int on_finding(void *arg, const struct linkfs_finding *f)
{
	struct checking *k = arg;
	clear_progress(k);
	if (k->json) {
		finding_json(k->json, f);
	} else {
		char path[LINKFS_PATH_MAX * 2];
		fprintf(k->cli->out, "%s: ", f->problem->id);
		if (f->path)
			fprintf(k->cli->out, "%s: ", cli_show(f->path, path, sizeof(path)));
		fprintf(k->cli->out, "%s%s\n", f->text, f->repaired ? " [repaired]" : "");
	}
	return cli_cancelled(k->cli);
}

static int on_progress(void *arg, const struct linkfs_check_progress *p)
{
	struct checking *k = arg;
	if (k->cli->err_tty) {
		fprintf(k->cli->err, "\r\033[K%u/%u %s ", p->number, p->of, p->pass);
		if (p->total)
			fprintf(k->cli->err, "%u%%", (unsigned)((double)p->done * 100 / (double)p->total));
		else if (p->done)
			fprintf(k->cli->err, "%" PRIu64, p->done);
		fflush(k->cli->err);
		k->shown = true;
	}
	return cli_cancelled(k->cli);
}

static void summary_text(struct checking *k, const struct linkfs_check_summary *s)
{
	FILE *out = k->cli->out;
	char human[32], path[LINKFS_PATH_MAX * 2];
	fprintf(out, "%s: ", cli_show(k->what, path, sizeof(path)));
	if (!s->problems)
		fprintf(out, "clean");
	else if (!s->left)
		fprintf(out, "%" PRIu64 " problem%s, all repaired", s->problems, s->problems == 1 ? "" : "s");
	else
		fprintf(out, "%" PRIu64 " problem%s, %" PRIu64 " repaired, %" PRIu64 " left", s->problems,
			s->problems == 1 ? "" : "s", s->repaired, s->left);
	fprintf(out, "; %" PRIu64 " files, %" PRIu64 " records", s->inodes, s->records);
	if (s->bytes) {
		cli_human_size(s->bytes, 1024, human);
		fprintf(out, ", %s of data", human);
	}
	fputc('\n', out);
	if (s->backup[0])
		fprintf(out, "%s: the metadata as it was is in %s\n", cli_show(k->what, path, sizeof(path)), s->backup);
}

static void summary_json(struct cli_json *json, const struct linkfs_check_summary *s)
{
	cli_json_number(json, "problems", s->problems);
	cli_json_number(json, "repaired", s->repaired);
	cli_json_number(json, "left", s->left);
	cli_json_number(json, "files", s->inodes);
	cli_json_number(json, "records", s->records);
	cli_json_number(json, "data_bytes", s->bytes);
	cli_json_number(json, "rounds", s->rounds);
	if (s->backup[0])
		cli_json_string(json, "backup", s->backup);
	else
		cli_json_null(json, "backup");
}

static int check(struct checking *k, const struct cli_path *path, const struct linkfs_check_options *options,
		 struct linkfs_check_summary *sum, struct linkfs_message *why)
{
	struct cli *cli = k->cli;
	struct linkfs_volume *volume;
	if (!cli->in_owner || strcmp(path->volume, cli->own_volume) != 0)
		return linkfs_check(path->volume, options, sum, why);
	int error = cli_path_volume(cli, path, &volume);
	return error ? error : linkfs_volume_check(volume, options, sum, why);
}

static void one(struct checking *k, const struct cli_path *path, struct linkfs_check_options *options,
		struct linkfs_check_summary *sum)
{
	struct linkfs_message why = {""};
	struct cli *cli = k->cli;
	if (path->kind != CLI_VOLUME) {
		cli_not_in_volume(cli, path);
		return;
	}
	k->what = path->text;
	options->arg = k;
	if (k->json) {
		cli_json_open(k->json, NULL, '{');
		cli_json_string(k->json, "volume", path->volume);
		cli_json_open(k->json, "findings", '[');
	}
	int error = check(k, path, options, sum, &why);
	clear_progress(k);
	if (k->json)
		cli_json_close(k->json, ']');
	if (error && why.text[0])
		cli_failf(cli, NULL, "%s", why.text);
	else if (error)
		cli_fail(cli, path->text, error);
	else if (k->json)
		summary_json(k->json, sum);
	else
		summary_text(k, sum);
	if (k->json)
		cli_json_close(k->json, '}');
	int status = error ? CLI_EXIT_FSCK_FAILED : sum->left ? EXIT_UNCORRECTED : sum->problems ? EXIT_CORRECTED : 0;
	if (status > cli->status)
		cli->status = status;
}

static void list_problems(struct cli *cli, struct cli_json *json)
{
	size_t count;
	const struct linkfs_problem *all = linkfs_problems(&count);
	if (json)
		cli_json_open(json, NULL, '[');
	for (size_t i = 0; i < count; i++) {
		if (!json) {
			fprintf(cli->out, "%s (%s)\n    %s.\n    Repair: %s.\n", all[i].id,
				severity_word(all[i].severity), all[i].meaning, all[i].repair ? all[i].repair : "none");
			continue;
		}
		cli_json_open(json, NULL, '{');
		cli_json_string(json, "id", all[i].id);
		cli_json_string(json, "severity", severity_word(all[i].severity));
		cli_json_string(json, "meaning", all[i].meaning);
		if (all[i].repair)
			cli_json_string(json, "repair", all[i].repair);
		else
			cli_json_null(json, "repair");
		cli_json_close(json, '}');
	}
	if (json)
		cli_json_close(json, ']');
}

static int usage_wrong(struct cli *cli, const struct cli_args *args)
{
	bool repair = cli_args_option(args, OPT_REPAIR) != NULL;
	bool backup = cli_args_option(args, OPT_BACKUP) || cli_args_option(args, OPT_NO_BACKUP);
	if (cli_args_option(args, OPT_DROP_DATA) && (!repair || !cli_args_option(args, OPT_DATA)))
		return cli_usage(cli, "--drop-data needs --data and --repair");
	if (backup && !repair)
		return cli_usage(cli, "--backup and --no-backup need --repair");
	if (cli_args_option(args, OPT_BACKUP) && cli_args_option(args, OPT_NO_BACKUP))
		return cli_usage(cli, "--backup and --no-backup exclude each other");
	if (cli_args_option(args, OPT_BACKUP) && args->noperands > 1)
		return cli_usage(cli, "--backup names one file, and several volumes are given");
	return 0;
}

static int run(struct cli *cli, const struct cli_args *args)
{
	struct cli_json json = {.out = cli->out};
	struct checking k = {.cli = cli, .json = cli_args_option(args, OPT_JSON) ? &json : NULL};
	const struct cli_parsed *backup = cli_args_option(args, OPT_BACKUP);
	struct linkfs_check_options options = {
		.flags = (cli_args_option(args, OPT_DATA) ? LINKFS_CHECK_DATA : 0) |
			 (cli_args_option(args, OPT_REPAIR) ? LINKFS_CHECK_REPAIR : 0) |
			 (cli_args_option(args, OPT_DROP_DATA) ? LINKFS_CHECK_DROP_DATA : 0) |
			 (cli_args_option(args, OPT_NO_BACKUP) ? LINKFS_CHECK_NO_BACKUP : 0),
		.backup = backup ? backup->arg : NULL,
		.finding = on_finding,
		.progress = on_progress,
	};
	int status = usage_wrong(cli, args);
	if (status)
		return status;
	if (cli_args_option(args, OPT_PROBLEMS)) {
		list_problems(cli, k.json);
		return 0;
	}
	struct linkfs_check_summary *sum = cli_alloc(sizeof(*sum));
	if (!sum) {
		cli_fail(cli, NULL, LINKFS_ENOMEM);
		return cli->status;
	}
	if (k.json)
		cli_json_open(&json, NULL, '[');
	for (size_t i = 0; i < args->noperands && !cli_cancelled(cli); i++)
		one(&k, &args->operands[i], &options, sum);
	if (k.json)
		cli_json_close(&json, ']');
	free(sum);
	return cli->status;
}

static const struct cli_option options[] = {
	{OPT_DATA, "data", NULL, "Read every block of data too, and compare it with its checksum", 0},
	{OPT_REPAIR, "repair", NULL, "Repair what can be repaired; the volume must not be mounted", 0},
	{OPT_DROP_DATA, "drop-data", NULL,
	 "With --data and --repair: damaged blocks become holes, which read as zeros; otherwise reading them stays an "
	 "error",
	 0},
	{OPT_BACKUP, "backup", "FILE",
	 "Where the copy of the metadata goes that is made before the first change (default: meta.db.repair-DATE in "
	 "the volume)",
	 0},
	{OPT_NO_BACKUP, "no-backup", NULL, "Change without such a copy", 0},
	{OPT_PROBLEMS, "problems", NULL, "List all problems, what they mean and what repair does, and check nothing",
	 0},
	{OPT_JSON, "json", NULL, "Write JSON", 0},
	CLI_OPTIONS_END,
};

static const char *const usage[] = {"[OPTION]... [VOLUME]...", NULL};

const struct cli_command cli_cmd_check = {
	.name = "check",
	.summary = "Check that a volume is whole, and repair it",
	.usage = usage,
	.options = options,
	.exits = "0 no problems; 1 problems, all repaired; 4 problems left; 8 it could not be "
		 "checked, or was "
		 "interrupted; 16 wrong usage. The largest of several volumes' counts",
	.run = run,
	.default_operand = ".",
	.takes = CLI_TAKES_VOLUME,
	.usage_status = CLI_EXIT_FSCK_USAGE,
	.fail_status = CLI_EXIT_FSCK_FAILED,
};
