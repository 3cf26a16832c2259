/*
 * cmd_diff.c - linkfs diff: what changed between two snapshots, or between one and now (row E3).
 */
#include "links.h"
#include "table.h"

#include <inttypes.h>
#include <linkfs_diff.h>
#include <linkfs_snapshots.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define EXIT_DIFFERS 1
#define EXIT_TROUBLE 2
#define INO_MASK ((UINT64_C(1) << 48) - 1) /* of a number in a snapshot: the file's own */

enum { OPT_ZERO = 'z', OPT_QUIET = 'q', OPT_NAMES = 256, OPT_STATUS, OPT_EXIT, OPT_JSON };

struct diff {
	struct cli *cli;
	const struct cli_path *from, *to; /* to: the same as from when only one tree was named */
	struct cli_json json;
	struct cli_ids *ids;
	bool zero, quiet, names, tell_exit, as_json;
	bool any;
};

static const struct {
	uint32_t bit;
	char letter;
	const char *word;
} kinds_of_change[] = {
	{LINKFS_DIFF_FILE, 'i', "file"},       {LINKFS_DIFF_LINKS, 'l', "links"},
	{LINKFS_DIFF_BIND, 'b', "bind"},       {LINKFS_DIFF_CONTENT, 'c', "content"},
	{LINKFS_DIFF_TIME, 't', "mtime"},      {LINKFS_DIFF_MODE, 'p', "mode"},
	{LINKFS_DIFF_OWNER, 'o', "owner"},     {LINKFS_DIFF_XATTRS, 'x', "xattrs"},
	{LINKFS_DIFF_DEVICE, 'd', "device"},   {LINKFS_DIFF_FLAGS, 'k', "keep-links"},
	{LINKFS_DIFF_FOLLOWS, 'f', "follows"},
};

static const struct {
	char letter;
	const char *word;
} words[] = {
	[LINKFS_DIFF_ADDED] = {'A', "added"},       [LINKFS_DIFF_REMOVED] = {'D', "removed"},
	[LINKFS_DIFF_MODIFIED] = {'M', "modified"}, [LINKFS_DIFF_TYPE] = {'T', "type"},
	[LINKFS_DIFF_RENAMED] = {'R', "renamed"},
};

/* ---- the answer ------------------------------------------------------------------------------------------------- */

static void print_field(const struct diff *d, const char *bytes, size_t len, bool last)
{
	if (d->zero) {
		fwrite(bytes, 1, len, d->cli->out);
		fputc('\0', d->cli->out);
		return;
	}
	cli_show_bytes(d->cli, bytes, len);
	fputc(last ? '\n' : '\t', d->cli->out);
}

static void print_line(const struct diff *d, const struct linkfs_diff_change *c)
{
	char status[2 + CLI_ARRAY_LEN(kinds_of_change)];
	size_t len = 0;
	status[len++] = words[c->kind].letter;
	for (size_t i = 0; i < CLI_ARRAY_LEN(kinds_of_change); i++) {
		if (c->what & kinds_of_change[i].bit)
			status[len++] = kinds_of_change[i].letter;
	}
	if (!d->names)
		print_field(d, status, len, false);
	if (!d->names && c->old_path)
		print_field(d, c->old_path, c->old_path_len, false);
	print_field(d, c->path, c->path_len, true);
}

static void print_file(struct diff *d, const char *key, const struct linkfs_stat *st)
{
	if (st->ino == 0) {
		cli_json_null(&d->json, key);
		return;
	}
	cli_json_open(&d->json, key, '{');
	cli_json_stat(&d->json, d->ids, st);
	cli_json_close(&d->json, '}');
}

static void print_json(struct diff *d, const struct linkfs_diff_change *c)
{
	struct cli_json *json = &d->json;
	cli_json_open(json, NULL, '{');
	cli_json_string(json, "status", words[c->kind].word);
	cli_json_bytes(json, "path", c->path, c->path_len);
	if (c->old_path)
		cli_json_bytes(json, "old_path", c->old_path, c->old_path_len);
	else
		cli_json_null(json, "old_path");
	cli_json_open(json, "what", '[');
	for (size_t i = 0; i < CLI_ARRAY_LEN(kinds_of_change); i++) {
		if (c->what & kinds_of_change[i].bit)
			cli_json_string(json, NULL, kinds_of_change[i].word);
	}
	cli_json_close(json, ']');
	print_file(d, "before", &c->before);
	print_file(d, "after", &c->after);
	cli_json_close(json, '}');
}

static int on_change(void *arg, const struct linkfs_diff_change *c)
{
	struct diff *d = arg;
	d->any = true;
	if (d->quiet)
		return 1;
	if (d->as_json)
		print_json(d, c);
	else
		print_line(d, c);
	return cli_cancelled(d->cli);
}

static int on_progress(void *arg, const struct linkfs_diff_progress *progress)
{
	const struct diff *d = arg;
	(void)progress;
	return cli_cancelled(d->cli);
}

/* ---- what is asked ---------------------------------------------------------------------------------------------- */

/* The operand is a whole tree. */
static bool is_whole(struct linkfs_volume *volume, const struct cli_path *path)
{
	struct linkfs_stat st;
	if (strcmp(path->path, "/") == 0)
		return true;
	/* In a mount the root is where the walk starts. */
	return path->path[0] == '.' && path->path[1 + strspn(path->path + 1, "/")] == '\0' &&
	       linkfs_node_getattr(volume, path->at, &st) == 0 && (st.ino & INO_MASK) == LINKFS_ROOT_INO;
}

/* What is walked from the operand's directory; NULL for the whole tree. */
static const char *path_of(struct linkfs_volume *volume, const struct cli_path *path, const char *operand)
{
	if (operand)
		return operand;
	return is_whole(volume, path) ? NULL : path->path;
}

static void tell_error(const struct diff *d, const char *operand, int error)
{
	const char *what = operand ? operand : d->from->text;
	switch (error) {
	case LINKFS_ENOENT:
		cli_failf(d->cli, what, "there is no such file in either of the two trees");
		break;
	case LINKFS_EINVAL:
		cli_failf(d->cli, what, "is another file than %s; name one file or directory at two times",
			  d->to->text);
		break;
	case LINKFS_ESTALE:
		cli_failf(d->cli, what, "a snapshot was deleted meanwhile");
		break;
	case LINKFS_EINTR:
		break;
	default:
		cli_fail(d->cli, what, error);
		break;
	}
}

static bool is_live(struct linkfs_volume *volume, uint64_t at)
{
	struct linkfs_stat st;
	return linkfs_node_getattr(volume, at, &st) == 0 && linkfs_node_tree(st.ino) == 0;
}

/* A name below MOUNT/.snapshots that is no snapshot's, or no name. */
static bool is_no_tree(const struct diff *d, const struct cli_path *path)
{
	if (path->at != LINKFS_SNAPSHOTS_NODE)
		return false;
	size_t len = strcspn(path->path, "/");
	if (len == 0 || (len == 1 && path->path[0] == '.'))
		cli_failf(d->cli, path->text, "holds the snapshots; name one of them");
	else
		cli_failf(d->cli, path->text,
			  "no snapshot is called '%.*s'; 'linkfs snapshot list' shows those there are", (int)len,
			  path->path);
	return true;
}

/* What programs wrote through shared mappings belongs to what is there now. */
static void hand_over(const struct diff *d, struct linkfs_volume *volume, const struct linkfs_diff *ask)
{
	bool live = is_live(volume, ask->from) || is_live(volume, ask->to);
	if (d->cli->mount && live && linkfs_mount_hand_over(d->cli->mount) != 0)
		cli_note(d->cli, "what programs have written through mappings may be missing: out of memory");
}

static int ask(struct diff *d, struct linkfs_volume *volume, const char *operand)
{
	struct linkfs_diff_progress done = {0};
	struct linkfs_diff ask = {.from = d->from->at,
				  .to = LINKFS_ROOT_INO,
				  .from_path = path_of(volume, d->from, operand),
				  .progress = on_progress,
				  .progress_arg = d};
	if (d->to != d->from) {
		ask.to = d->to->at;
		ask.to_path = path_of(volume, d->to, operand);
		/* The whole of the other tree is the root there. */
		if (!ask.from_path && ask.to_path)
			ask.from_path = "/";
		if (ask.from_path && !ask.to_path)
			ask.to_path = "/";
	}
	hand_over(d, volume, &ask);
	int error = linkfs_diff(volume, &d->cli->cred, &ask, on_change, d, &done);
	if (error)
		tell_error(d, operand, error);
	else if (done.hidden && !d->quiet)
		cli_note(d->cli, "%s: %" PRIu64 " more in directories that you may not search", d->from->text,
			 done.hidden);
	return error;
}

static void show(struct diff *d, struct linkfs_volume *volume, const char *operand)
{
	d->ids = d->as_json ? cli_ids_new() : NULL;
	if (d->as_json && !d->ids) {
		cli_fail(d->cli, NULL, LINKFS_ENOMEM);
		return;
	}
	if (d->as_json)
		cli_json_open(&d->json, NULL, '[');
	(void)ask(d, volume, operand);
	if (d->as_json)
		cli_json_close(&d->json, ']');
	cli_ids_free(d->ids);
}

static int run(struct cli *cli, const struct cli_args *args)
{
	struct diff d = {.cli = cli, .json = {.out = cli->out}, .from = &args->operands[0]};
	struct linkfs_volume *volume, *other;
	for (size_t i = 0; i < args->noptions; i++) {
		int id = args->options[i].id;
		d.zero |= id == OPT_ZERO;
		d.quiet |= id == OPT_QUIET;
		d.names |= id == OPT_NAMES;
		d.as_json |= id == OPT_JSON;
		d.tell_exit |= id == OPT_EXIT || id == OPT_QUIET;
	}
	d.as_json &= !d.quiet;
	d.to = args->noperands > 1 ? &args->operands[1] : d.from;
	const char *operand = args->noperands > 2 ? args->operands[2].text : NULL;
	if (d.as_json && (d.zero || d.names))
		return cli_usage(cli, "--json goes with neither --zero nor --name-only");
	if (cli_path_volume(cli, d.from, &volume) != 0 || cli_path_volume(cli, d.to, &other) != 0)
		return cli->status;
	if (volume != other) {
		cli_failf(cli, d.to->text, "is of another volume than %s", d.from->text);
		return cli->status;
	}
	if (is_no_tree(&d, d.from) || (d.to != d.from && is_no_tree(&d, d.to)))
		return cli->status;
	if (d.to == d.from && is_live(volume, d.from->at))
		return cli_usage(cli, "'%s' is what is there now; name a snapshot to compare it with", d.from->text);
	if (operand && !(is_whole(volume, d.from) && is_whole(volume, d.to)))
		return cli_usage(cli, "'%s': the trees have a path already", operand);
	show(&d, volume, operand);
	if (cli->status == CLI_EXIT_OK && d.any && d.tell_exit)
		cli->status = EXIT_DIFFERS;
	return cli->status;
}

static const struct cli_option options[] = {
	{OPT_NAMES, "name-only", NULL, "Show paths alone: of what was renamed, the new one", 0},
	{OPT_STATUS, "name-status", NULL, "As without it", CLI_OPT_HIDDEN},
	{OPT_ZERO, "zero", NULL, "End each status and path with NUL instead of tabs and newlines, and quote nothing",
	 0},
	{OPT_EXIT, "exit-code", NULL, "Exit with status 1 when there are differences", 0},
	{OPT_QUIET, "quiet", NULL, "Show nothing, and exit as with --exit-code", 0},
	{OPT_JSON, "json", NULL, "Write JSON", 0},
	CLI_OPTIONS_END,
};

static const char *const usage[] = {"[OPTION]... VOLUME@SNAPSHOT [VOLUME[@SNAPSHOT] [PATH]]",
				    "[OPTION]... VOLUME@SNAPSHOT:/PATH VOLUME[@SNAPSHOT]:/PATH",
				    "[OPTION]... MOUNT/.snapshots/NAME[/PATH] MOUNT[/.snapshots/NAME][/PATH]", NULL};

const struct cli_command cli_cmd_diff = {
	.name = "diff",
	.summary = "Show what changed between two snapshots, or since one",
	.usage = usage,
	.options = options,
	.exits = "0 done, with --exit-code: there are no differences; 1 with --exit-code: there are; 2 wrong usage, or "
		 "something failed",
	.usage_status = EXIT_TROUBLE,
	.fail_status = EXIT_TROUBLE,
	.run = run,
	.takes = CLI_TAKES_VOLUME,
	.min = 1,
	.max = 3,
	.flags = CLI_READS | CLI_SNAPSHOT_WORDS | CLI_TEXT_THIRD,
};
