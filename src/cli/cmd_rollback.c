/*
 * cmd_rollback.c - linkfs rollback: a file or tree back to what it was in a snapshot, and the present state kept in another one (E1).
 */
#include "table.h"

#include <linkfs_snapshots.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { OPT_DRY_RUN = 'n', OPT_QUIET = 'q', OPT_VERBOSE = 'v', OPT_TO = 256, OPT_NO_SNAPSHOT, OPT_JSON };

#define KINDS (LINKFS_ROLLBACK_LEFT + 1)

struct rollback {
	struct cli *cli;
	const struct cli_path *path;
	struct linkfs_volume *volume;
	const char *to;
	bool dry, quiet, verbose, no_snapshot, as_json;
	struct cli_json json;
	unsigned long counts[KINDS], steps;
};

static const char *const words[KINDS] = {
	[LINKFS_ROLLBACK_MADE] = "made",       [LINKFS_ROLLBACK_CHANGED] = "changed", [LINKFS_ROLLBACK_MOVED] = "moved",
	[LINKFS_ROLLBACK_LINKED] = "linked",   [LINKFS_ROLLBACK_REMOVED] = "removed", [LINKFS_ROLLBACK_BOUND] = "bound",
	[LINKFS_ROLLBACK_UNBOUND] = "unbound", [LINKFS_ROLLBACK_LEFT] = "left",
};
static const struct {
	uint32_t bit;
	const char *word;
} parts[] = {
	{LINKFS_ROLLBACK_CONTENT, "content"}, {LINKFS_ROLLBACK_OWNER, "owner"},   {LINKFS_ROLLBACK_MODE, "mode"},
	{LINKFS_ROLLBACK_TIMES, "times"},     {LINKFS_ROLLBACK_XATTRS, "xattrs"}, {LINKFS_ROLLBACK_FLAGS, "flags"},
};
#define PARTS (sizeof(parts) / sizeof(parts[0]))

/* ---- shown ------------------------------------------------------------------------------------------------------ */

static void show_path(const struct rollback *rb, const char *path)
{
	char *spelled = cli_spell(rb->cli, rb->path, path);
	char *shown = spelled ? cli_quote(spelled, strlen(spelled), CLI_QUOTE_SHELL, NULL) : NULL;
	if (shown)
		fputs(rb->cli->out_tty ? shown : spelled, rb->cli->out);
	free(spelled);
	free(shown);
}

static void print(const struct rollback *rb, const struct linkfs_rollback *step)
{
	FILE *out = rb->cli->out;
	const char *between = " (";
	fprintf(out, "%s%s ", rb->dry && step->kind != LINKFS_ROLLBACK_LEFT ? "would be " : "", words[step->kind]);
	show_path(rb, step->path);
	for (size_t i = 0; step->kind == LINKFS_ROLLBACK_CHANGED && i < PARTS; i++) {
		if (!(step->what & parts[i].bit))
			continue;
		fprintf(out, "%s%s", between, parts[i].word);
		between = ", ";
	}
	if (step->kind == LINKFS_ROLLBACK_CHANGED)
		fputc(')', out);
	if (step->from) {
		fputs(" from ", out);
		show_path(rb, step->from);
	}
	if (step->kind == LINKFS_ROLLBACK_LEFT)
		fprintf(out, ": %s", linkfs_strerror(step->error));
	fputc('\n', out);
}

static void print_json(struct rollback *rb, const struct linkfs_rollback *step)
{
	struct cli_json *json = &rb->json;
	cli_json_open(json, NULL, '{');
	cli_json_string(json, "step", words[step->kind]);
	cli_json_string(json, "type", cli_type_word(step->type));
	cli_json_bytes(json, "path", step->path, strlen(step->path));
	if (step->from)
		cli_json_bytes(json, "from", step->from, strlen(step->from));
	if (step->kind == LINKFS_ROLLBACK_CHANGED) {
		cli_json_open(json, "what", '[');
		for (size_t i = 0; i < PARTS; i++)
			if (step->what & parts[i].bit)
				cli_json_string(json, NULL, parts[i].word);
		cli_json_close(json, ']');
	}
	if (step->kind == LINKFS_ROLLBACK_LEFT)
		cli_json_string(json, "error", linkfs_error_name(step->error) + strlen("LINKFS_"));
	cli_json_close(json, '}');
}

static int on_step(void *arg, const struct linkfs_rollback *step)
{
	struct rollback *rb = arg;
	rb->steps++;
	rb->counts[step->kind]++;
	if (rb->as_json)
		print_json(rb, step);
	else if (rb->dry || rb->verbose || step->kind == LINKFS_ROLLBACK_LEFT)
		print(rb, step);
	return cli_cancelled(rb->cli);
}

static void summary(const struct rollback *rb, const char *kept)
{
	FILE *out = rb->cli->out;
	const char *between = "";
	if (rb->quiet || rb->as_json)
		return;
	if (!rb->steps) {
		fputs("nothing to do\n", out);
		return;
	}
	for (size_t i = 0; i < KINDS; i++) {
		if (!rb->counts[i])
			continue;
		fprintf(out, "%s%lu %s%s", between, rb->counts[i], rb->dry ? "would be " : "", words[i]);
		between = ", ";
	}
	if (*kept)
		fprintf(out, "; as it was before: snapshot %s", kept);
	fputc('\n', out);
}

/* ---- done --------------------------------------------------------------------------------------------------------- */

static void tell_error(const struct rollback *rb, int error)
{
	const char *text = rb->path->text;
	switch (error) {
	case LINKFS_ENOENT:
		cli_failf(rb->cli, text,
			  "was not there in snapshot '%s', or the directory that holds it is not there now: roll that "
			  "back",
			  rb->to);
		break;
	case LINKFS_EPERM:
		cli_failf(rb->cli, text, "rollback is for root and for the owner of the root directory");
		break;
	case LINKFS_EBUSY:
		cli_failf(rb->cli, text, "%s",
			  rb->counts[LINKFS_ROLLBACK_LEFT] ? "some things were left as they are"
							   : "a bind stands there: 'linkfs unbind' it first");
		break;
	case LINKFS_EINTR:
		cli_failf(rb->cli, text, "interrupted; the same command goes on from here");
		break;
	case LINKFS_ESTALE:
		cli_failf(rb->cli, text, "snapshot '%s' was deleted meanwhile", rb->to);
		break;
	default:
		cli_fail(rb->cli, text, error);
	}
}

/* The present state. */
static int keep(const struct rollback *rb, char *name, size_t size)
{
	const struct linkfs_snapshot_new what = {.note = "before a rollback"};
	int error = cli_snapshot_dated(rb->cli, rb->volume, "before-rollback-%Y-%m-%dT%H:%M:%S", what, name, size);
	if (error)
		*name = 0;
	return error;
}

static void roll_back(struct rollback *rb, uint64_t id)
{
	struct cli *cli = rb->cli;
	char kept[96] = "";
	int error = 0;
	/* What programs wrote through mappings is of the present state. */
	if (!rb->dry && cli->mount && linkfs_mount_hand_over(cli->mount) != 0)
		cli_note(cli, "what programs have written through mappings may be missing: out of memory");
	if (!rb->dry && !rb->no_snapshot)
		error = keep(rb, kept, sizeof(kept));
	if (rb->as_json) {
		cli_json_open(&rb->json, NULL, '{');
		cli_json_string(&rb->json, "operand", rb->path->text);
		cli_json_open(&rb->json, "steps", '[');
	}
	if (!error)
		error = linkfs_path_rollback(rb->volume, &cli->cred, rb->path->at, rb->path->path, id,
					     rb->dry ? LINKFS_ROLLBACK_DRY_RUN : 0, on_step, rb);
	/* Nothing was changed, as each change is told of: there is nothing to keep. */
	if (*kept && !rb->steps && error != LINKFS_ENOMEM &&
	    linkfs_snapshot_delete(rb->volume, &cli->cred, kept, NULL, NULL, NULL) == 0)
		*kept = 0;
	if (rb->as_json) {
		cli_json_close(&rb->json, ']');
		if (*kept)
			cli_json_string(&rb->json, "before", kept);
		else
			cli_json_null(&rb->json, "before");
		cli_json_close(&rb->json, '}');
		fflush(cli->out);
	}
	if (!error || rb->steps)
		summary(rb, kept);
	if (error)
		tell_error(rb, error);
	if (!rb->dry && rb->steps) {
		error = linkfs_volume_sync(rb->volume);
		if (error)
			cli_failf(cli, rb->path->text, "may not be on disk: %s", linkfs_strerror(error));
	}
}

static int run(struct cli *cli, const struct cli_args *args)
{
	struct rollback rb = {.cli = cli, .path = &args->operands[0], .json = {.out = cli->out}};
	uint64_t id = 0;
	for (size_t i = 0; i < args->noptions; i++) {
		switch (args->options[i].id) {
		case OPT_TO:
			rb.to = args->options[i].arg;
			break;
		case OPT_DRY_RUN:
			rb.dry = true;
			break;
		case OPT_QUIET:
			rb.quiet = true;
			break;
		case OPT_VERBOSE:
			rb.verbose = true;
			break;
		case OPT_NO_SNAPSHOT:
			rb.no_snapshot = true;
			break;
		default:
			rb.as_json = true;
			break;
		}
	}
	if (!rb.to)
		return cli_usage(cli,
				 "--to SNAPSHOT says what to go back to; 'linkfs snapshot list' shows those there are");
	cli->writes = !rb.dry;
	if ((rb.path->snapshot && *rb.path->snapshot) || linkfs_node_past(rb.path->at)) {
		cli_failf(cli, rb.path->text, "%s: give the path in the volume, and the snapshot with --to",
			  CLI_PAST_FIXED);
		return cli->status;
	}
	if (cli_path_volume(cli, rb.path, &rb.volume) == 0 &&
	    cli_snapshot_find(cli, rb.volume, rb.to, rb.path->text, &id) == 0)
		roll_back(&rb, id);
	return cli->status;
}

static const struct cli_option options[] = {
	{OPT_TO, "to", "SNAPSHOT", "The snapshot to go back to: its name, or a time", 0},
	{OPT_DRY_RUN, "dry-run", NULL, "Tell what would be done, and do nothing", 0},
	{OPT_NO_SNAPSHOT, "no-snapshot", NULL, "Do not keep the present state in a snapshot first", 0},
	{OPT_VERBOSE, "verbose", NULL, "Tell of each file", 0},
	{OPT_QUIET, "quiet", NULL, "Do not tell what was done", 0},
	{OPT_JSON, "json", NULL, "Write JSON", 0},
	CLI_OPTIONS_END,
};

static const char *const usage[] = {"[OPTION]... --to SNAPSHOT PATH", NULL};

const struct cli_command cli_cmd_rollback = {
	.name = "rollback",
	.summary = "Bring a file or tree back to what it was in a snapshot",
	.usage = usage,
	.options = options,
	.run = run,
	.min = 1,
	.max = 1,
	.flags = CLI_READS,
};
