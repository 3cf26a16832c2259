/*
 * cmd_property.c - linkfs get and linkfs set: the properties of a volume.
 */
#include "table.h"
#include <stdlib.h>
#include <string.h>

enum { OPT_JSON = 256 };

static int get_one(struct cli *cli, struct linkfs_volume *volume, const char *volume_text, const char *key, char *value,
		   size_t size)
{
	int error = linkfs_volume_get_property(volume, key, value, size);
	if (error == LINKFS_EINVAL)
		cli_failf(cli, volume_text, "'%s' is no property of a volume ('linkfs get %s' lists them)", key,
			  volume_text);
	else if (error)
		cli_fail(cli, volume_text, error);
	return error;
}

/* The i-th property asked for: those named, or else all. NULL at the end. */
static const char *key_at(const struct cli_args *args, size_t i)
{
	struct linkfs_property property;
	if (args->noperands > 1)
		return i + 1 < args->noperands ? args->operands[i + 1].text : NULL;
	return linkfs_property_known(i, &property) == 0 ? property.key : NULL;
}

static int run_get(struct cli *cli, const struct cli_args *args)
{
	const struct cli_path *path = &args->operands[0];
	bool as_json = cli_args_option(args, OPT_JSON) != NULL;
	struct cli_json json = {.out = cli->out};
	struct linkfs_volume *volume;
	const char *key;
	if (cli_path_volume(cli, path, &volume) != 0)
		return cli->status;
	if (as_json)
		cli_json_open(&json, NULL, '{');
	for (size_t i = 0; (key = key_at(args, i)) != NULL; i++) {
		char value[512];
		if (get_one(cli, volume, path->text, key, value, sizeof(value)) != 0)
			continue;
		if (as_json)
			cli_json_string(&json, key, value);
		else if (args->noperands == 2)
			fprintf(cli->out, "%s\n", value);
		else
			fprintf(cli->out, "%s=%s\n", key, value);
	}
	if (as_json)
		cli_json_close(&json, '}');
	return cli->status;
}

static int run_set(struct cli *cli, const struct cli_args *args)
{
	const struct cli_path *path = &args->operands[0];
	struct linkfs_volume *volume;
	for (size_t i = 1; i < args->noperands; i++) {
		const char *word = args->operands[i].text, *equals = strchr(word, '=');
		if (!equals || equals == word)
			return cli_usage(cli, "'%s' is not KEY=VALUE", word);
	}
	if (cli_path_volume(cli, path, &volume) != 0)
		return cli->status;
	for (size_t i = 1; i < args->noperands; i++) {
		const char *word = args->operands[i].text, *equals = strchr(word, '=');
		struct linkfs_message why = {""};
		char *key = strndup(word, (size_t)(equals - word));
		int error = key ? linkfs_volume_set_property(volume, &cli->cred, key, equals + 1, &why) : LINKFS_ENOMEM;
		if (error && why.text[0])
			cli_failf(cli, path->text, "%s", why.text);
		else if (error)
			cli_fail(cli, path->text, error);
		free(key);
	}
	return cli->status;
}

static const struct cli_option get_options[] = {
	{OPT_JSON, "json", NULL, "Write JSON: an object with a string for each property", 0},
	CLI_OPTIONS_END,
};

static const char *const get_usage[] = {"[OPTION]... [VOLUME [KEY]...]", NULL};

const struct cli_command cli_cmd_get = {
	.name = "get",
	.summary = "Show properties of a volume",
	.usage = get_usage,
	.options = get_options,
	.run = run_get,
	.default_operand = ".",
	.takes = CLI_TAKES_VOLUME,
	.flags = CLI_READS | CLI_TEXT_AFTER,
};

static const char *const set_usage[] = {"VOLUME KEY=VALUE...", NULL};

const struct cli_command cli_cmd_set = {
	.name = "set",
	.summary = "Change properties of a volume",
	.usage = set_usage,
	.run = run_set,
	.takes = CLI_TAKES_VOLUME,
	.min = 2,
	.flags = CLI_TEXT_AFTER,
};
