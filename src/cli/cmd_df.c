/*
 * cmd_df.c - linkfs df: space in volumes, in df(1)'s columns.
 */
#include "table.h"
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum { OPT_HUMAN = 'h', OPT_SI = 'H', OPT_INODES = 'i', OPT_KILO = 'k', OPT_JSON = 256 };

struct row {
	char *volume, *mount;
	struct linkfs_statfs fs;
};

struct df {
	struct cli *cli;
	unsigned human; /* base, 0 for 1K blocks */
	bool inodes;
};

static int gather(struct cli *cli, const struct cli_path *path, struct row *row)
{
	struct linkfs_volume *volume;
	int error = cli_path_volume(cli, path, &volume);
	if (error)
		return error;
	error = linkfs_volume_statfs(volume, &row->fs);
	if (!error) {
		row->volume = cli_strdup(path->volume);
		row->mount = cli_mount_point(path->volume);
		if (!row->mount)
			row->mount = cli_strdup("-");
		if (!row->volume || !row->mount)
			error = LINKFS_ENOMEM;
	}
	if (error)
		cli_fail(cli, path->text, error);
	return error;
}

static void cell(const struct df *df, uint64_t bytes, char buf[32])
{
	if (df->human)
		cli_human_size(bytes, df->human, buf);
	else
		snprintf(buf, 32, "%" PRIu64, (bytes + 1023) / 1024);
}

/* As df: used of used and available, rounded up. */
static unsigned percent(uint64_t used, uint64_t available)
{
	uint64_t all = used + available;
	if (all == 0)
		return 0;
	return (unsigned)(all > UINT64_MAX / 100 ? used / (all / 100) : (used * 100 + all - 1) / all);
}

static void row_cells(const struct df *df, const struct row *row, char cells[4][32])
{
	uint64_t used, available;
	if (df->inodes) {
		used = row->fs.inodes - row->fs.inodes_free;
		available = row->fs.inodes_free;
		snprintf(cells[0], 32, "%" PRIu64, row->fs.inodes);
		snprintf(cells[1], 32, "%" PRIu64, used);
		snprintf(cells[2], 32, "%" PRIu64, available);
	} else {
		used = (row->fs.blocks - row->fs.blocks_free) * row->fs.block_size;
		available = row->fs.blocks_available * row->fs.block_size;
		cell(df, row->fs.blocks * row->fs.block_size, cells[0]);
		cell(df, used, cells[1]);
		cell(df, available, cells[2]);
	}
	snprintf(cells[3], 32, "%u%%", percent(used, available));
}

static void print_rows(const struct df *df, const struct row *rows, size_t len)
{
	const char *heads[4] = {df->inodes  ? "Inodes"
				: df->human ? "Size"
					    : "1K-blocks",
				df->inodes ? "IUsed" : "Used",
				df->inodes  ? "IFree"
				: df->human ? "Avail"
					    : "Available",
				df->inodes ? "IUse%" : "Use%"};
	int widths[4], name = 14;
	char cells[4][32];
	for (int i = 0; i < 4; i++)
		widths[i] = (int)strlen(heads[i]) > (i == 3 ? 4 : 5) ? (int)strlen(heads[i]) : (i == 3 ? 4 : 5);
	for (size_t r = 0; r < len; r++) {
		row_cells(df, &rows[r], cells);
		for (int i = 0; i < 4; i++)
			widths[i] = (int)strlen(cells[i]) > widths[i] ? (int)strlen(cells[i]) : widths[i];
		name = (int)strlen(rows[r].volume) > name ? (int)strlen(rows[r].volume) : name;
	}
	FILE *out = df->cli->out;
	fprintf(out, "%-*s %*s %*s %*s %*s Mounted on\n", name, "Filesystem", widths[0], heads[0], widths[1], heads[1],
		widths[2], heads[2], widths[3], heads[3]);
	for (size_t r = 0; r < len; r++) {
		row_cells(df, &rows[r], cells);
		fprintf(out, "%-*s %*s %*s %*s %*s %s\n", name, rows[r].volume, widths[0], cells[0], widths[1],
			cells[1], widths[2], cells[2], widths[3], cells[3], rows[r].mount);
	}
}

static void print_json(struct cli *cli, const struct row *rows, size_t len)
{
	struct cli_json json = {.out = cli->out};
	cli_json_open(&json, NULL, '[');
	for (size_t i = 0; i < len; i++) {
		cli_json_open(&json, NULL, '{');
		cli_json_string(&json, "volume", rows[i].volume);
		if (strcmp(rows[i].mount, "-") == 0)
			cli_json_null(&json, "mount_point");
		else
			cli_json_string(&json, "mount_point", rows[i].mount);
		cli_json_number(&json, "block_size", rows[i].fs.block_size);
		cli_json_number(&json, "blocks", rows[i].fs.blocks);
		cli_json_number(&json, "blocks_free", rows[i].fs.blocks_free);
		cli_json_number(&json, "blocks_available", rows[i].fs.blocks_available);
		cli_json_number(&json, "inodes", rows[i].fs.inodes);
		cli_json_number(&json, "inodes_free", rows[i].fs.inodes_free);
		cli_json_close(&json, '}');
	}
	cli_json_close(&json, ']');
}

static int run(struct cli *cli, const struct cli_args *args)
{
	struct df df = {.cli = cli};
	bool json = false;
	size_t len = 0;
	for (size_t i = 0; i < args->noptions; i++) {
		int id = args->options[i].id;
		if (id == OPT_HUMAN || id == OPT_SI)
			df.human = id == OPT_HUMAN ? 1024 : 1000;
		else if (id == OPT_KILO)
			df.human = 0;
		else if (id == OPT_INODES)
			df.inodes = true;
		else if (id == OPT_JSON)
			json = true;
	}
	struct row *rows = cli_alloc((args->noperands + 1) * sizeof(*rows));
	if (!rows) {
		cli_fail(cli, NULL, LINKFS_ENOMEM);
		return cli->status;
	}
	for (size_t i = 0; i < args->noperands; i++) {
		if (gather(cli, &args->operands[i], &rows[len]) == 0)
			len++;
	}
	if (json)
		print_json(cli, rows, len);
	else if (len)
		print_rows(&df, rows, len);
	for (size_t i = 0; i < args->noperands; i++) {
		free(rows[i].volume);
		free(rows[i].mount);
	}
	free(rows);
	return cli->status;
}

static const struct cli_option options[] = {
	{OPT_HUMAN, "human-readable", NULL, "Sizes in powers of 1024 (as 1.5G)", 0},
	{OPT_SI, "si", NULL, "Sizes in powers of 1000", 0},
	{OPT_INODES, "inodes", NULL, "Numbers of files instead of space", 0},
	{OPT_KILO, NULL, NULL, "Blocks of 1024 bytes; the default", 0},
	{OPT_JSON, "json", NULL, "Write JSON", 0},
	CLI_OPTIONS_END,
};

static const char *const usage[] = {"[OPTION]... [VOLUME]...", NULL};

const struct cli_command cli_cmd_df = {
	.name = "df",
	.summary = "Show used and free space of volumes",
	.usage = usage,
	.options = options,
	.run = run,
	.default_operand = ".",
	.takes = CLI_TAKES_VOLUME,
};
