/*
 * cmd_cat.c - linkfs cat: content of files, one after the other.
 */
#include "table.h"
#include <stdlib.h>
#include <string.h>

#define PART 262144

static bool put(struct cli *cli, const char *buf, size_t len)
{
	if (fwrite(buf, 1, len, cli->out) == len)
		return true;
	if (cli->status < CLI_EXIT_SOME)
		cli->status = CLI_EXIT_SOME;
	return false;
}

static bool cat_input(struct cli *cli, char *buf)
{
	for (;;) {
		size_t n = fread(buf, 1, PART, cli->in);
		if (n == 0)
			return true;
		if (!put(cli, buf, n))
			return false;
	}
}

static bool cat_file(struct cli *cli, const struct cli_path *path, char *buf)
{
	struct linkfs_volume *volume;
	struct linkfs_file *file;
	uint64_t offset = 0;
	size_t done;
	bool writable = true;
	if (cli_path_volume(cli, path, &volume) != 0)
		return true;
	int error = linkfs_file_open(volume, &cli->cred, path->at, path->path, LINKFS_O_READ, 0, &file);
	if (error) {
		cli_fail(cli, path->text, cli_gone(error));
		return true;
	}
	do {
		done = 0;
		error = cli_cancelled(cli) ? LINKFS_EINTR : linkfs_file_read(file, offset, buf, PART, &done);
		if (!error && done)
			writable = put(cli, buf, done);
		offset += done;
	} while (!error && done && writable);
	linkfs_file_close(file);
	if (error)
		cli_fail(cli, path->text, error);
	return writable && error != LINKFS_EINTR;
}

static int run(struct cli *cli, const struct cli_args *args)
{
	char *buf = cli_alloc(PART);
	bool more = buf != NULL;
	if (!buf)
		cli_fail(cli, NULL, LINKFS_ENOMEM);
	for (size_t i = 0; i < args->noperands && more; i++) {
		if (strcmp(args->operands[i].text, "-") == 0)
			more = cat_input(cli, buf);
		else
			more = cat_file(cli, &args->operands[i], buf);
	}
	free(buf);
	return cli->status;
}

static const char *const usage[] = {"FILE...", NULL};

const struct cli_command cli_cmd_cat = {
	.name = "cat",
	.summary = "Write the content of files; - stands for standard input",
	.usage = usage,
	.run = run,
	.min = 1,
};
