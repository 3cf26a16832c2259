/*
 * cmd_draw.c - linkfs draw: the picture of names, inodes and symlinks around files and directories. This part runs where the volume is open and
 * writes DOT or JSON; what becomes of DOT is decided in the caller's process (draw_file.c).
 */
#include "draw.h"
#include "table.h"
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { OPT_FOLLOW = 'L', OPT_DEPTH = 'd', OPT_MAX = 'n', OPT_REFERRERS = 257, OPT_NO_REFERRERS };

#define MAX_DEFAULT 60
#define MAX_MOST 2000

struct operands {
	struct linkfs_stat *stats;
	const struct linkfs_stat **files;
	size_t count, nfiles;
};

static int read_options(struct cli *cli, const struct cli_args *args, struct draw *draw, const char **mounted_at,
			bool *follow)
{
	for (size_t i = 0; i < args->noptions; i++) {
		const char *arg = args->options[i].arg;
		uint64_t value;
		switch (args->options[i].id) {
		case OPT_FOLLOW:
			*follow = true;
			break;
		case OPT_DEPTH:
			if (cli_parse_u64(arg, UINT32_MAX - 1, &value) != 0)
				return cli_usage(cli, "invalid depth '%s'", arg);
			draw->depth = (unsigned)value;
			break;
		case OPT_MAX:
			if (cli_parse_u64(arg, MAX_MOST, &value) != 0 || value == 0)
				return cli_usage(cli, "invalid number of nodes '%s': 1 to %d", arg, MAX_MOST);
			draw->max = (size_t)value;
			break;
		case OPT_REFERRERS:
			draw->pointers = true;
			draw->no_pointers = false;
			break;
		case OPT_NO_REFERRERS:
			draw->pointers = false;
			draw->no_pointers = true;
			break;
		case CLI_OPT_MOUNTED_AT:
			*mounted_at = arg;
			break;
		default:
			break;
		}
	}
	return 0;
}

static int find_operands(struct cli *cli, const struct cli_args *args, bool follow, struct operands *out)
{
	out->stats = cli_alloc(args->noperands * sizeof(*out->stats));
	out->files = cli_alloc(args->noperands * sizeof(const struct linkfs_stat *));
	if (!out->stats || !out->files) {
		cli_fail(cli, NULL, LINKFS_ENOMEM);
		return LINKFS_ENOMEM;
	}
	for (size_t i = 0; i < args->noperands; i++) {
		const struct cli_path *path = &args->operands[i];
		struct linkfs_stat *st = &out->stats[out->count];
		if (path->kind == CLI_VOLUME && strcmp(path->volume, args->operands[0].volume) != 0) {
			cli_failf(cli, path->text, "is in another volume than %s: a picture is of one",
				  args->operands[0].text);
			return LINKFS_EXDEV;
		}
		int error = cli_path_stat(cli, path, follow, st);
		if (error) {
			if (path->kind == CLI_VOLUME)
				cli_fail(cli, path->text, error);
			return error;
		}
		out->count++;
		if (!S_ISDIR(st->mode))
			out->files[out->nfiles++] = st;
	}
	return 0;
}

static int make(struct draw *draw, const struct operands *operands)
{
	int error = operands->nfiles ? draw_file(draw, operands->files, operands->nfiles) : 0;
	for (size_t i = 0; !error && i < operands->count; i++) {
		if (S_ISDIR(operands->stats[i].mode))
			error = draw_tree(draw, &operands->stats[i]);
	}
	draw_sort(draw);
	if (!error)
		error = draw_binds(draw);
	if (!error)
		error = draw_edges(draw);
	if (!error)
		error = draw_others(draw);
	if (!error)
		error = draw_shared(draw);
	return error;
}

static void tell_left_out(const struct draw *draw)
{
	if (draw->left_out)
		cli_note(draw->cli, "%" PRIu64 " name%s not drawn: there is room for %zu nodes (--max-nodes)",
			 draw->left_out, draw->left_out == 1 ? "" : "s", draw->max);
	if (draw->left_out_dir)
		cli_note(draw->cli, "%" PRIu64 " director%s not opened (--depth, --max-nodes)", draw->left_out_dir,
			 draw->left_out_dir == 1 ? "y" : "ies");
}

static int run(struct cli *cli, const struct cli_args *args)
{
	struct draw draw = {.cli = cli, .max = MAX_DEFAULT, .depth = UINT32_MAX};
	struct operands operands = {0};
	enum draw_format format = DRAW_DOT;
	const char *mounted_at = NULL;
	bool follow = false;
	int error = read_options(cli, args, &draw, &mounted_at, &follow);
	if (!error)
		error = draw_choose_format(cli, args, &format);
	if (error)
		return error;
	if (cli_asked_begin(cli, &args->operands[0], mounted_at, &draw.asked) != 0)
		return cli->status;
	if (find_operands(cli, args, follow, &operands) == 0) {
		error = cli_gone(make(&draw, &operands));
		if (error == LINKFS_EINVAL && mounted_at)
			cli_failf(cli, mounted_at, "must be an absolute path without '.' and '..'");
		else if (error && cli->status == 0)
			cli_fail(cli, args->operands[0].text, error);
		if (!error) {
			tell_left_out(&draw);
			if (format == DRAW_JSON)
				draw_json(&draw, cli->out);
			else if (draw_merge(&draw) == 0)
				draw_dot(&draw, cli->out);
		}
	}
	draw_done(&draw);
	free(operands.stats);
	free(operands.files);
	cli_asked_done(&draw.asked);
	return cli->status;
}

static const struct cli_option options[] = {
	{DRAW_OPT_FORMAT, "format", "FORMAT",
	 "One of dot, svg, png and json; otherwise the suffix of the output's name decides, or it is dot", 0},
	{DRAW_OPT_OUTPUT, "output", "FILE",
	 "Write to FILE on the host, which is replaced only when the picture is complete", 0},
	{OPT_DEPTH, "depth", "N", "Do not open directories that are N levels below PATH; 0 draws PATH's entries alone",
	 0},
	{OPT_MAX, "max-nodes", "N", "Draw at most N names and files (60)", 0},
	{OPT_FOLLOW, "dereference", NULL, "When PATH is a symlink, draw what it leads to", 0},
	{OPT_REFERRERS, "referrers", NULL, "Also the symlinks that lead to PATH; for a file they are always drawn", 0},
	{OPT_NO_REFERRERS, "no-referrers", NULL, "Leave out the symlinks that lead to a file", 0},
	CLI_OPTION_MOUNTED_AT,
	{DRAW_OPT_JSON, "json", NULL, "Write JSON: the same as -T json", 0},
	CLI_OPTIONS_END,
};

static const char *const usage[] = {"[OPTION]... PATH...", NULL};

const struct cli_command cli_cmd_draw = {
	.name = "draw",
	.summary = "Draw the names, inodes and symlinks around a file or a directory",
	.usage = usage,
	.options = options,
	.run = run,
	.capture = &draw_capture,
	.min = 1,
	.flags = CLI_READS,
};
