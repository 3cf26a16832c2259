/*
 * cmd_info.c - linkfs info: what a volume is, who serves it, and its request counters.
 */
#include "table.h"
#include <inttypes.h>
#include <linkfs_stream.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { OPT_COUNTERS = 'c', OPT_JSON = 256 };

struct facts {
	struct linkfs_info info;
	struct linkfs_owner owner;
	char uuid[40];
	char *properties;  /* lines KEY=VALUE, allocated */
	bool served;       /* by another process than this command's own */
	char *mount_point; /* NULL when not mounted */
	bool receiving;    /* a stream was cut off */
	struct linkfs_receive_pending pending;
};

static void format_uuid(const uint8_t uuid[16], char out[40])
{
	size_t n = 0;
	for (size_t i = 0; i < 16; i++)
		n += (size_t)snprintf(out + n, 40 - n, "%s%02x", i == 4 || i == 6 || i == 8 || i == 10 ? "-" : "",
				      uuid[i]);
}

static char *list_properties(struct linkfs_volume *volume)
{
	struct linkfs_property property;
	char *list = cli_strdup(""), value[512];
	for (size_t i = 0; list && linkfs_property_known(i, &property) == 0; i++) {
		char *more = linkfs_volume_get_property(volume, property.key, value, sizeof(value)) == 0
				     ? cli_format("%s%s=%s\n", list, property.key, value)
				     : NULL;
		free(list);
		list = more;
	}
	return list;
}

static int gather(struct cli *cli, const struct cli_path *path, struct facts *facts)
{
	struct linkfs_volume *volume;
	int error = cli_path_volume(cli, path, &volume);
	if (error)
		return error;
	error = linkfs_volume_info(volume, &facts->info);
	facts->receiving = linkfs_receive_pending(volume, &facts->pending) == 0;
	free(facts->properties);
	facts->properties = error ? NULL : list_properties(volume);
	if (!error && !facts->properties)
		error = LINKFS_ENOMEM;
	if (error) {
		cli_fail(cli, path->text, error);
		return error;
	}
	format_uuid(facts->info.uuid, facts->uuid);
	free(facts->mount_point);
	facts->mount_point = cli_mount_point(path->volume);
	facts->served = cli->in_owner && linkfs_volume_owner(path->volume, &facts->owner) == 0;
	return 0;
}

static void show_size(struct cli *cli, const char *what, uint64_t bytes)
{
	char human[32];
	cli_human_size(bytes, 1024, human);
	fprintf(cli->out, "%-12s%" PRIu64 " bytes (%s)\n", what, bytes, human);
}

static void show(struct cli *cli, const struct facts *facts)
{
	const struct linkfs_info *info = &facts->info;
	FILE *out = cli->out;
	char when[80], text[LINKFS_PATH_MAX * 2];
	cli_time_format(cli, when, sizeof(when), "%Y-%m-%d %H:%M:%S %z", info->created_ns);
	fprintf(out, "%-12s%s\n", "Volume:", cli_show(info->path, text, sizeof(text)));
	if (info->label[0])
		fprintf(out, "%-12s%s\n", "Label:", cli_show(info->label, text, sizeof(text)));
	fprintf(out, "%-12s%s\n%-12s%s\n%-12s%u\n", "UUID:", facts->uuid, "Created:", when,
		"Format:", info->format_version);
	fprintf(out, "%-12s%" PRIu64 "\n", "Files:", info->inodes);
	show_size(cli, "Data:", info->data_blocks_used * info->block_size);
	show_size(cli, "Metadata:", info->meta_bytes);
	if (info->limit_bytes)
		show_size(cli, "Limit:", info->limit_bytes);
	for (const char *line = facts->properties; *line; line += strcspn(line, "\n") + 1)
		fprintf(out, "%-12s%.*s\n", line == facts->properties ? "Properties:" : "", (int)strcspn(line, "\n"),
			line);
	if (info->kept_inodes) {
		char human[32];
		cli_human_size(info->kept_blocks * info->block_size, 1024, human);
		fprintf(out, "%-12s%" PRIu64 " deleted files, %s (free for others: see 'linkfs undelete --list')\n",
			"Kept:", info->kept_inodes, human);
	}
	if (facts->receiving)
		fprintf(out,
			"%-12ssnapshot '%s', %" PRIu64 " records so far (see 'linkfs receive --token' and '--abort')\n",
			"Receiving:", cli_show(facts->pending.name, text, sizeof(text)), facts->pending.records);
	if (info->poisoned)
		fprintf(out, "%-12s%s\n",
			"State:", "READ-ONLY: writing to the disk failed; unmount, look after the disk, mount again");
	else if (info->read_only)
		fprintf(out, "%-12s%s\n", "State:", "read-only");
	if (facts->mount_point)
		fprintf(out, "%-12s%s\n", "Mounted on:", cli_show(facts->mount_point, text, sizeof(text)));
	else
		fprintf(out, "%-12sno\n", "Mounted:");
	if (facts->served)
		fprintf(out, "%-12spid %u on %s\n", "Served by:", facts->owner.pid,
			cli_show(facts->owner.host, text, sizeof(text)));
}

static void show_json(struct cli_json *json, const struct facts *facts)
{
	const struct linkfs_info *info = &facts->info;
	cli_json_string(json, "path", info->path);
	cli_json_string(json, "label", info->label);
	cli_json_string(json, "uuid", facts->uuid);
	cli_json_time(json, "created", info->created_ns);
	cli_json_number(json, "format", info->format_version);
	cli_json_number(json, "features_compat", info->features_compat);
	cli_json_number(json, "features_ro_compat", info->features_ro_compat);
	cli_json_number(json, "features_incompat", info->features_incompat);
	cli_json_number(json, "inodes", info->inodes);
	cli_json_number(json, "next_ino", info->next_ino);
	cli_json_number(json, "epoch", info->epoch);
	cli_json_number(json, "block_size", info->block_size);
	cli_json_number(json, "data_blocks_used", info->data_blocks_used);
	cli_json_number(json, "meta_bytes", info->meta_bytes);
	cli_json_number(json, "limit_bytes", info->limit_bytes);
	if (facts->receiving) {
		cli_json_open(json, "receiving", '{');
		cli_json_bytes(json, "snapshot", facts->pending.name, strlen(facts->pending.name));
		cli_json_number(json, "records", facts->pending.records);
		cli_json_close(json, '}');
	} else {
		cli_json_null(json, "receiving");
	}
	cli_json_open(json, "properties", '{');
	for (char *line = facts->properties; *line; line += strlen(line) + 1) {
		char *equals = strchr(line, '=');
		line[strcspn(line, "\n")] = '\0';
		*equals = '\0';
		cli_json_string(json, line, equals + 1);
		*equals = '=';
	}
	cli_json_close(json, '}');
	cli_json_number(json, "kept_inodes", info->kept_inodes);
	cli_json_number(json, "kept_blocks", info->kept_blocks);
	cli_json_bool(json, "read_only", info->read_only);
	cli_json_bool(json, "poisoned", info->poisoned);
	cli_json_number(json, "commits", info->commits);
	if (facts->mount_point)
		cli_json_string(json, "mount_point", facts->mount_point);
	else
		cli_json_null(json, "mount_point");
	if (!facts->served) {
		cli_json_null(json, "owner");
		return;
	}
	cli_json_open(json, "owner", '{');
	cli_json_number(json, "pid", facts->owner.pid);
	cli_json_string(json, "host", facts->owner.host);
	cli_json_string(json, "mount_point", facts->owner.mount_point);
	cli_json_string(json, "control_socket", facts->owner.control_socket);
	cli_json_close(json, '}');
}

static void show_counters(struct cli *cli, struct cli_json *json)
{
	struct linkfs_mount_counter counter;
	uint64_t total = 0;
	if (json)
		cli_json_open(json, "requests", '[');
	else
		fprintf(cli->out, "\n%-20s %12s %10s %12s %10s\n", "REQUEST", "COUNT", "ERRORS", "TIME us", "EACH us");
	for (size_t i = 0; cli->mount && linkfs_mount_counter(cli->mount, i, &counter) == 0; i++) {
		if (counter.requests == 0)
			continue;
		total += counter.requests;
		if (json) {
			cli_json_open(json, NULL, '{');
			cli_json_string(json, "operation", counter.operation);
			cli_json_number(json, "requests", counter.requests);
			cli_json_number(json, "errors", counter.errors);
			cli_json_number(json, "nanoseconds", counter.nanoseconds);
			cli_json_close(json, '}');
		} else {
			fprintf(cli->out, "%-20s %12" PRIu64 " %10" PRIu64 " %12" PRIu64 " %10.2f\n", counter.operation,
				counter.requests, counter.errors, counter.nanoseconds / 1000,
				(double)counter.nanoseconds / 1000.0 / (double)counter.requests);
		}
	}
	if (json)
		cli_json_close(json, ']');
	else
		fprintf(cli->out, "%-20s %12" PRIu64 "\n", "total", total);
}

static int run(struct cli *cli, const struct cli_args *args)
{
	bool counters = cli_args_option(args, OPT_COUNTERS) != NULL;
	struct cli_json json = {.out = cli->out};
	bool as_json = cli_args_option(args, OPT_JSON) != NULL;
	struct facts *facts = cli_alloc(sizeof(*facts));
	if (!facts) {
		cli_fail(cli, NULL, LINKFS_ENOMEM);
		return cli->status;
	}
	if (as_json)
		cli_json_open(&json, NULL, '[');
	for (size_t i = 0; i < args->noperands; i++) {
		const struct cli_path *path = &args->operands[i];
		if (gather(cli, path, facts) != 0)
			continue;
		bool have = counters && cli->mount && strcmp(path->volume, cli->own_volume) == 0;
		if (counters && !have)
			cli_failf(cli, path->text, "not mounted: there are no request counters");
		if (as_json) {
			cli_json_open(&json, NULL, '{');
			show_json(&json, facts);
			if (cli->mount && strcmp(path->volume, cli->own_volume) == 0)
				show_counters(cli, &json);
			cli_json_close(&json, '}');
		} else {
			show(cli, facts);
			if (have)
				show_counters(cli, NULL);
			if (i + 1 < args->noperands)
				fputc('\n', cli->out);
		}
	}
	if (as_json)
		cli_json_close(&json, ']');
	free(facts->mount_point);
	free(facts->properties);
	free(facts);
	return cli->status;
}

static const struct cli_option options[] = {
	{OPT_COUNTERS, "counters", NULL,
	 "Show how often the mount was asked for what, and how long it took (in JSON always)", 0},
	{OPT_JSON, "json", NULL, "Write JSON", 0},
	CLI_OPTIONS_END,
};

static const char *const usage[] = {"[OPTION]... [VOLUME]...", NULL};

const struct cli_command cli_cmd_info = {
	.name = "info",
	.summary = "Show what a volume is, who serves it and its request counters",
	.usage = usage,
	.options = options,
	.run = run,
	.default_operand = ".",
	.takes = CLI_TAKES_VOLUME,
};
