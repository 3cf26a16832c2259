/*
 * cmd_sync.c - linkfs sync: makes everything that was done so far durable (row F1).
 */
#include "table.h"

static int run(struct cli *cli, const struct cli_args *args)
{
	for (size_t i = 0; i < args->noperands; i++) {
		struct linkfs_volume *volume;
		if (cli_path_volume(cli, &args->operands[i], &volume) != 0)
			continue;
		int error = linkfs_volume_sync(volume);
		if (error)
			cli_fail(cli, args->operands[i].text, error);
	}
	return cli->status;
}

static const char *const usage[] = {"[VOLUME]...", NULL};

const struct cli_command cli_cmd_sync = {
	.name = "sync",
	.summary = "Make everything done so far durable",
	.usage = usage,
	.run = run,
	.default_operand = ".",
	.takes = CLI_TAKES_VOLUME,
};
