/*
 * cmd_create.c - linkfs create: makes a volume.
 */
#include "table.h"
#include <stdlib.h>
#include <unistd.h>

enum { OPT_LABEL = 'L', OPT_MODE = 'm', OPT_PROPERTY = 'o', OPT_LIMIT = 256 };

static int usage_error(struct cli *cli, const char **properties, const char *what, const char *arg)
{
	free(properties);
	return cli_usage(cli, "'%s' is no %s", arg, what);
}

static int run(struct cli *cli, const struct cli_args *args)
{
	struct linkfs_create_options options = {.root_uid = cli->cred.uid, .root_gid = cli->cred.gid};
	struct cli_mode *mode;
	const char **properties = cli_alloc((args->noptions + 1) * sizeof(*properties));
	if (!properties) {
		cli_fail(cli, NULL, LINKFS_ENOMEM);
		return cli->status;
	}
	options.properties = properties;
	for (size_t i = 0; i < args->noptions; i++) {
		const char *arg = args->options[i].arg;
		switch (args->options[i].id) {
		case OPT_LABEL:
			options.label = arg;
			break;
		case OPT_LIMIT:
			if (cli_parse_size(arg, &options.limit_bytes) != 0)
				return usage_error(cli, properties, "size", arg);
			break;
		case OPT_PROPERTY:
			properties[options.property_count++] = arg;
			break;
		case OPT_MODE:
			if (cli_mode_parse(arg, &mode) != 0)
				return usage_error(cli, properties, "mode", arg);
			options.root_mode = cli_mode_apply(mode, 0755, true, cli->cred.umask);
			cli_mode_free(mode);
			break;
		default:
			break;
		}
	}
	for (size_t i = 0; i < args->noperands; i++) {
		struct linkfs_message why = {""};
		int error = linkfs_volume_create(args->operands[i].text, &options, &why);
		if (error && why.text[0])
			cli_failf(cli, NULL, "%s", why.text);
		else if (error)
			cli_fail(cli, args->operands[i].text, error);
	}
	free(properties);
	return cli->status;
}

static const struct cli_option options[] = {
	{OPT_LABEL, "label", "TEXT", "A label, at most 255 bytes, shown by info", 0},
	{OPT_LIMIT, "limit", "SIZE", "The most bytes of file data that the volume may hold (as 500M, 20G)", 0},
	{OPT_MODE, "mode", "MODE", "Permissions of the root directory, 0755 by default", 0},
	{OPT_PROPERTY, NULL, "KEY=VALUE", "A property, as 'linkfs set' takes it; may be given again", 0},
	CLI_OPTIONS_END,
};

static const char *const usage[] = {"[OPTION]... VOLUME...", NULL};

const struct cli_command cli_cmd_create = {
	.name = "create",
	.summary = "Make a volume in a new or empty directory",
	.usage = usage,
	.options = options,
	.run = run,
	.takes = CLI_TAKES_TEXT,
	.min = 1,
	.flags = CLI_LOCAL,
};
