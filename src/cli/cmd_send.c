/*
 * cmd_send.c - linkfs send: a snapshot, or the difference of two, as a stream on standard output.
 */
#include "table.h"

#include <linkfs_stream.h>
#include <string.h>

enum { OPT_PROPERTIES = 'p', OPT_VERBOSE = 'v', OPT_RESUME = 256 };

struct send {
	struct cli *cli;
	bool verbose;
	unsigned long long records, bytes;
};

static int put(void *arg, const void *bytes, size_t len)
{
	struct send *s = arg;
	if (cli_cancelled(s->cli))
		return LINKFS_EINTR;
	if (fwrite(bytes, 1, len, s->cli->out) != len)
		return LINKFS_EPIPE;
	s->bytes += len;
	return 0;
}

static int go_on(void *arg, const struct linkfs_send_progress *progress)
{
	struct send *s = arg;
	s->records = progress->records;
	return cli_cancelled(s->cli);
}

static int no_snapshot(struct cli *cli, const struct cli_path *path)
{
	cli_failf(cli, path->text,
		  "names no snapshot: give it as VOLUME@SNAPSHOT ('linkfs snapshot list' shows those there are)");
	return cli->status;
}

static void tell_error(struct send *s, const struct cli_path *path, int error, const struct linkfs_message *why)
{
	if (error == LINKFS_EINTR)
		cli_failf(s->cli, path->text, "interrupted");
	else if (error == LINKFS_EPIPE)
		cli_failf(s->cli, path->text,
			  "the stream cannot be written: nobody reads it any more, or there is no space");
	else if (error == LINKFS_ESTALE)
		cli_failf(s->cli, path->text, "a snapshot was deleted meanwhile");
	else if (why->text[0])
		cli_failf(s->cli, path->text, "%s", why->text);
	else
		cli_fail(s->cli, path->text, error);
}

static void act(struct send *s, const struct cli_path *path, struct linkfs_send *ask)
{
	struct linkfs_volume *volume;
	struct linkfs_message why = {""};
	if (cli_path_volume(s->cli, path, &volume) != 0)
		return;
	ask->write = put;
	ask->progress = go_on;
	ask->arg = s;
	int error = linkfs_send(volume, &s->cli->cred, ask, &why);
	if (!error && fflush(s->cli->out) != 0)
		error = LINKFS_EPIPE;
	if (error)
		tell_error(s, path, error, &why);
	else if (s->verbose)
		cli_note(s->cli, "%llu bytes sent", s->bytes);
}

static int snapshot_of(struct cli *cli, const struct cli_path *path, uint64_t *out)
{
	struct linkfs_volume *volume;
	if (path->kind != CLI_VOLUME)
		return cli_path_volume(cli, path, &volume) ? cli->status : 0;
	if (!path->snapshot || !*path->snapshot || strcmp(path->path, "/") != 0)
		return no_snapshot(cli, path);
	if (cli_path_volume(cli, path, &volume) != 0)
		return cli->status;
	return cli_snapshot_find(cli, volume, path->snapshot, path->text, out) ? cli->status : 0;
}

static int run(struct cli *cli, const struct cli_args *args)
{
	struct send s = {.cli = cli};
	struct linkfs_send ask = {.flags = 0};
	const struct cli_path *first = &args->operands[0], *last = &args->operands[args->noperands - 1];
	for (size_t i = 0; i < args->noptions; i++) {
		if (args->options[i].id == OPT_RESUME)
			ask.token = args->options[i].arg;
		else if (args->options[i].id == OPT_PROPERTIES)
			ask.flags |= LINKFS_SEND_PROPERTIES;
		else
			s.verbose = true;
	}
	if (cli->out_tty)
		return cli_usage(cli,
				 "the stream is no text for a terminal: send it to a file or into 'linkfs receive'");
	if (ask.token && (args->noperands > 1 || ask.flags))
		return cli_usage(cli, "--resume knows the snapshots: name the volume alone");
	if (first->kind == CLI_VOLUME && last->kind == CLI_VOLUME && strcmp(first->volume, last->volume) != 0)
		return cli_usage(cli, "the two snapshots are not of one volume");
	if (!ask.token && snapshot_of(cli, last, &ask.to))
		return cli->status;
	if (args->noperands > 1 && snapshot_of(cli, first, &ask.from))
		return cli->status;
	act(&s, last, &ask);
	return cli->status;
}

static const struct cli_option options[] = {
	{OPT_RESUME, "resume", "TOKEN", "Go on where 'linkfs receive --token' says that it was cut off", 0},
	{OPT_PROPERTIES, "properties", NULL, "Send the properties of the volume as well", 0},
	{OPT_VERBOSE, "verbose", NULL, "Tell at the end how much was sent", 0},
	CLI_OPTIONS_END,
};

static const char *const usage[] = {"[OPTION]... VOLUME@SNAPSHOT > FILE",
				    "[OPTION]... VOLUME@OLDER VOLUME@NEWER > FILE", "--resume TOKEN VOLUME > FILE",
				    NULL};

const struct cli_command cli_cmd_send = {
	.name = "send",
	.summary = "Write a snapshot, or the difference of two, as a stream",
	.usage = usage,
	.options = options,
	.run = run,
	.takes = CLI_TAKES_VOLUME,
	.min = 1,
	.max = 2,
	.flags = CLI_READS | CLI_SNAPSHOT_WORDS,
};
