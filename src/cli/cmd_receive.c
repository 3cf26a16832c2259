/*
 * cmd_receive.c - linkfs receive: what linkfs send wrote becomes the tree and a snapshot of a volume.
 */
#include "links.h"
#include "table.h"

#include <linkfs_stream.h>
#include <string.h>

enum { OPT_NAME = 'n', OPT_QUIET = 'q', OPT_DISCARD = 256, OPT_TOKEN, OPT_ABORT, OPT_JSON };

struct receive {
	struct cli *cli;
	const struct cli_path *path;
	struct linkfs_volume *volume;
	const char *name;
	bool quiet, discard, token, abort, as_json;
	struct cli_json json;
};

static int get(void *arg, void *buf, size_t size, size_t *done_out)
{
	const struct receive *r = arg;
	if (cli_cancelled(r->cli))
		return LINKFS_EINTR;
	size_t n = fread(buf, 1, size, r->cli->in);
	if (n == 0 && ferror(r->cli->in))
		return cli_cancelled(r->cli) ? LINKFS_EINTR : LINKFS_EIO;
	*done_out = n;
	return 0;
}

static int go_on(void *arg, const struct linkfs_receive_progress *progress)
{
	const struct receive *r = arg;
	(void)progress;
	return cli_cancelled(r->cli);
}

static void tell(struct receive *r, const struct linkfs_received *done)
{
	if (r->as_json) {
		cli_json_open(&r->json, NULL, '{');
		cli_json_bytes(&r->json, "snapshot", done->name, strlen(done->name));
		cli_json_number(&r->json, "id", done->id);
		cli_json_bool(&r->json, "known", done->known);
		cli_json_number(&r->json, "records", done->records);
		cli_json_number(&r->json, "skipped", done->skipped);
		cli_json_number(&r->json, "bytes", done->bytes);
		cli_json_close(&r->json, '}');
	} else if (!r->quiet) {
		char size[32];
		cli_human_size(done->bytes, 1024, size);
		if (done->known)
			fputs("here already: snapshot ", r->cli->out);
		else
			fputs("received snapshot ", r->cli->out);
		cli_show_bytes(r->cli, done->name, strlen(done->name));
		if (!done->known)
			fprintf(r->cli->out, " (%s%s)", size, done->bytes < 1024 ? " bytes" : "");
		fputc('\n', r->cli->out);
	}
}

/* Streams that follow each other in one input are received in turn. */
static void receive(struct receive *r)
{
	const struct linkfs_receive ask = {.read = get,
					   .arg = r,
					   .progress = go_on,
					   .flags = r->discard ? LINKFS_RECEIVE_DISCARD : 0,
					   .name = r->name};
	/* What programs wrote through mappings is of the tree that is compared with the base. */
	if (r->cli->mount && linkfs_mount_hand_over(r->cli->mount) != 0)
		cli_note(r->cli, "what programs have written through mappings may be missing: out of memory");
	for (unsigned long n = 0;; n++) {
		struct linkfs_received done;
		struct linkfs_message why = {""};
		int error = linkfs_receive(r->volume, &r->cli->cred, &ask, &done, &why);
		if (error == LINKFS_ENODATA && n > 0)
			return;
		if (error) {
			cli_failf(r->cli, r->path->text, "%s", why.text);
			return;
		}
		tell(r, &done);
	}
}

static void show_token(struct receive *r)
{
	struct linkfs_receive_pending pending;
	int error = linkfs_receive_pending(r->volume, &pending);
	if (error == LINKFS_ENOENT)
		cli_failf(r->cli, r->path->text, "nothing is pending");
	else if (error)
		cli_fail(r->cli, r->path->text, error);
	else if (r->as_json) {
		cli_json_open(&r->json, NULL, '{');
		cli_json_bytes(&r->json, "snapshot", pending.name, strlen(pending.name));
		cli_json_bytes(&r->json, "base", pending.base, strlen(pending.base));
		cli_json_number(&r->json, "records", pending.records);
		cli_json_string(&r->json, "token", pending.token);
		cli_json_close(&r->json, '}');
	} else {
		fprintf(r->cli->out, "%s\n", pending.token);
	}
}

static void give_up(struct receive *r)
{
	struct linkfs_message why = {""};
	int error = linkfs_receive_abort(r->volume, &r->cli->cred, &why);
	if (error)
		cli_failf(r->cli, r->path->text, "%s", why.text[0] ? why.text : linkfs_strerror(error));
	else if (!r->quiet)
		fputs("given up: the tree is what it was before\n", r->cli->out);
}

static int run(struct cli *cli, const struct cli_args *args)
{
	struct receive r = {.cli = cli, .path = &args->operands[0], .json = {.out = cli->out}};
	for (size_t i = 0; i < args->noptions; i++) {
		switch (args->options[i].id) {
		case OPT_NAME:
			r.name = args->options[i].arg;
			break;
		case OPT_QUIET:
			r.quiet = true;
			break;
		case OPT_DISCARD:
			r.discard = true;
			break;
		case OPT_TOKEN:
			r.token = true;
			break;
		case OPT_ABORT:
			r.abort = true;
			break;
		default:
			r.as_json = true;
			break;
		}
	}
	if (r.token && (r.abort || r.discard || r.name))
		return cli_usage(cli, "--token tells what is pending, and takes no other option but --json");
	if (r.abort && (r.discard || r.name))
		return cli_usage(cli, "--abort takes neither --discard nor --name");
	/* In a mount the root is where the walk starts. */
	if (r.path->kind == CLI_VOLUME &&
	    ((r.path->snapshot && *r.path->snapshot) || r.path->path[strspn(r.path->path, "./")]))
		return cli_usage(cli, "a volume receives as a whole: name it without a path");
	if (!r.token && !r.abort && cli->in_tty)
		return cli_usage(cli, "the stream is read from standard input, which is a terminal");
	cli->writes = !r.token;
	if (cli_path_volume(cli, r.path, &r.volume) != 0)
		return cli->status;
	if (r.token)
		show_token(&r);
	else if (r.abort)
		give_up(&r);
	else
		receive(&r);
	return cli->status;
}

static const struct cli_option options[] = {
	{OPT_DISCARD, "discard", NULL, "First roll the tree back to the snapshot that the difference starts from", 0},
	{OPT_NAME, "name", "NAME", "Call the snapshot NAME", 0},
	{OPT_TOKEN, "token", NULL, "Receive nothing, and print the token with which 'linkfs send --resume' goes on", 0},
	{OPT_ABORT, "abort", NULL, "Receive nothing, and give up what was cut off: the tree is again what it was", 0},
	{OPT_QUIET, "quiet", NULL, "Tell nothing but errors", 0},
	{OPT_JSON, "json", NULL, "Write JSON", 0},
	CLI_OPTIONS_END,
};

static const char *const usage[] = {"[OPTION]... VOLUME < STREAM", "--token [--json] VOLUME",
				    "--abort [--quiet] VOLUME", NULL};

const struct cli_command cli_cmd_receive = {
	.name = "receive",
	.summary = "Receive a stream of 'linkfs send'",
	.usage = usage,
	.options = options,
	.run = run,
	.takes = CLI_TAKES_VOLUME,
	.min = 1,
	.max = 1,
	.flags = CLI_READS | CLI_INPUT,
};
