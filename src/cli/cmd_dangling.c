/*
 * cmd_dangling.c - linkfs dangling: the symlinks that lead nowhere, loop, or leave the volume, and where each fails; --fix: those that moves
 * broke lead again where they led.
 */
#include "links.h"
#include "table.h"
#include <linkfs_snapshots.h>
#include <stdlib.h>
#include <string.h>

enum { OPT_ZERO = 'z', OPT_DRY_RUN = 'n', OPT_JSON = 256, OPT_FIX };

#define EXIT_LEFT 3 /* some links are left as they were */

struct asking {
	struct cli *cli;
	struct cli_asked asked;
	bool zero, json, fix, dry;
	uint64_t left; /* dangling links that are not fixed */
	struct cli_json out;
};

/* Why, with the component at fault. */
static void show_fault(struct cli *cli, const struct linkfs_dangling *d)
{
	FILE *out = cli->out;
	const char *before, *after = "";
	switch (d->end.error) {
	case LINKFS_ELOOP:
		before = "loops: one expansion too many at ";
		break;
	case LINKFS_ENOTDIR:
		before = "not a directory: ";
		break;
	case LINKFS_ENAMETOOLONG:
		before = "too long a name: ";
		break;
	case LINKFS_EXDEV:
		before = "leaves the volume at ";
		break;
	default:
		before = "there is no ";
		break;
	}
	fputs(before, out);
	cli_show_bytes(cli, d->fault_name, d->fault_name_len);
	if (*d->fault_dir) {
		fputs(" in ", out);
		cli_show_bytes(cli, d->fault_dir, strlen(d->fault_dir));
	}
	fputs(after, out);
}

static int on_dangling(void *arg, const struct linkfs_dangling *d)
{
	struct asking *a = arg;
	FILE *out = a->cli->out;
	if (a->json) {
		cli_json_open(&a->out, NULL, '{');
		cli_json_link(&a->out, &d->link);
		cli_json_string(&a->out, "error", linkfs_error_name(d->end.error) + strlen("LINKFS_"));
		if (*d->fault_dir)
			cli_json_string(&a->out, "fault_dir", d->fault_dir);
		else
			cli_json_null(&a->out, "fault_dir");
		cli_json_bytes(&a->out, "fault_name", d->fault_name, d->fault_name_len);
		cli_json_close(&a->out, '}');
	} else if (a->zero) {
		char *shown = cli_asked_spell(&a->asked, d->link.path);
		if (shown)
			fwrite(shown, 1, strlen(shown) + 1, out);
		free(shown);
	} else {
		cli_show_link(&a->asked, &d->link);
		fputs(": ", out);
		show_fault(a->cli, d);
		fputc('\n', out);
	}
	return cli_cancelled(a->cli);
}

static const char *word_of(enum linkfs_fix_result result, bool dry)
{
	switch (result) {
	case LINKFS_FIX_DONE:
		return dry ? "would-fix" : "fixed";
	case LINKFS_FIX_AMBIGUOUS:
		return "ambiguous";
	case LINKFS_FIX_NAMES:
		return "several-names";
	case LINKFS_FIX_OTHER:
		return "other-link";
	case LINKFS_FIX_FAILED:
		return "failed";
	case LINKFS_FIX_NONE:
	case LINKFS_FIX_UNKNOWN:
		break;
	}
	return "unknown";
}

/* "; /a was moved to /b at 2026-..." */
static void show_move(struct cli *cli, const struct linkfs_fix *fix)
{
	FILE *out = cli->out;
	char when[96];
	if (!fix->moved_ns || !fix->moved_from)
		return;
	cli_time_iso(fix->moved_ns, when);
	fputs("; ", out);
	cli_show_bytes(cli, fix->moved_from, strlen(fix->moved_from));
	fputs(" was moved", out);
	if (fix->moved_to) {
		fputs(" and is ", out);
		cli_show_bytes(cli, fix->moved_to, strlen(fix->moved_to));
		fputs(" now", out);
	}
	fprintf(out, " (%.19s)", when);
}

static void show_fix(struct asking *a, const struct linkfs_fix *fix)
{
	FILE *out = a->cli->out;
	cli_show_link(&a->asked, &fix->link);
	switch (fix->result) {
	case LINKFS_FIX_DONE:
		fputs(a->dry ? ": would be " : ": is now ", out);
		cli_show_bytes(a->cli, fix->text, fix->text_len);
		break;
	case LINKFS_FIX_AMBIGUOUS:
		fputs(": left alone: it has led to different files", out);
		break;
	case LINKFS_FIX_NAMES:
		fputs(": left alone: the symlink has several names", out);
		break;
	case LINKFS_FIX_OTHER:
		fputs(": left alone: another symlink on its way dangles", out);
		break;
	case LINKFS_FIX_FAILED:
		fprintf(out, ": left alone: %s", linkfs_strerror(fix->error));
		break;
	case LINKFS_FIX_NONE:
	case LINKFS_FIX_UNKNOWN:
		fputs(": left alone: no move is known that broke it", out);
		break;
	}
	show_move(a->cli, fix);
	fputc('\n', out);
}

static int on_fix(void *arg, const struct linkfs_fix *fix)
{
	struct asking *a = arg;
	/* Another link's fault: it is counted by that one. */
	a->left += fix->result != LINKFS_FIX_DONE && fix->result != LINKFS_FIX_OTHER;
	if (!a->json) {
		show_fix(a, fix);
		return cli_cancelled(a->cli);
	}
	cli_json_open(&a->out, NULL, '{');
	cli_json_link(&a->out, &fix->link);
	cli_json_string(&a->out, "result", word_of(fix->result, a->dry));
	if (fix->text)
		cli_json_bytes(&a->out, "new_target", fix->text, fix->text_len);
	else
		cli_json_null(&a->out, "new_target");
	if (fix->error)
		cli_json_string(&a->out, "error", linkfs_error_name(fix->error) + strlen("LINKFS_"));
	else
		cli_json_null(&a->out, "error");
	if (fix->moved_ns) {
		char when[96];
		cli_time_iso(fix->moved_ns, when);
		cli_json_open(&a->out, "moved", '{');
		cli_json_string(&a->out, "time", when);
		if (fix->moved_from)
			cli_json_string(&a->out, "from", fix->moved_from);
		else
			cli_json_null(&a->out, "from");
		if (fix->moved_to)
			cli_json_string(&a->out, "to", fix->moved_to);
		else
			cli_json_null(&a->out, "to");
		cli_json_close(&a->out, '}');
	} else {
		cli_json_null(&a->out, "moved");
	}
	cli_json_close(&a->out, '}');
	return cli_cancelled(a->cli);
}

static int ask(struct asking *a, const struct cli_path *path)
{
	struct cli *cli = a->cli;
	if (!a->fix)
		return linkfs_path_dangling(a->asked.volume, &cli->cred, path->at, path->path, &a->asked.options,
					    on_dangling, a);
	if (a->dry)
		a->asked.options.flags = LINKFS_LINKS_DRY_RUN;
	return linkfs_path_fix_dangling(a->asked.volume, &cli->cred, path->at, path->path, &a->asked.options, on_fix,
					a);
}

static int run(struct cli *cli, const struct cli_args *args)
{
	struct asking a = {.cli = cli, .out = {.out = cli->out}};
	const char *mounted_at = NULL;
	for (size_t i = 0; i < args->noptions; i++) {
		if (args->options[i].id == OPT_ZERO)
			a.zero = true;
		else if (args->options[i].id == OPT_FIX)
			a.fix = true;
		else if (args->options[i].id == OPT_DRY_RUN)
			a.dry = true;
		else if (args->options[i].id == CLI_OPT_MOUNTED_AT)
			mounted_at = args->options[i].arg;
		else
			a.json = true;
	}
	if (a.dry && !a.fix)
		return cli_usage(cli, "--dry-run needs --fix");
	if (a.zero && a.fix)
		return cli_usage(cli, "-z and --fix exclude each other");
	cli->writes = a.fix && !a.dry;
	if (a.json)
		cli_json_open(&a.out, NULL, '[');
	for (size_t i = 0; i < args->noperands && !cli_cancelled(cli); i++) {
		const struct cli_path *path = &args->operands[i];
		if (cli_asked_begin(cli, path, mounted_at, &a.asked) != 0)
			continue;
		int error = cli_gone(ask(&a, path));
		if (error == LINKFS_EINVAL && mounted_at)
			cli_failf(cli, mounted_at, "must be an absolute path without '.' and '..'");
		else if (error == LINKFS_EROFS && linkfs_node_past(path->at))
			cli_failf(cli, path->text, "%s", CLI_PAST_FIXED);
		else if (error)
			cli_fail(cli, path->text, error);
		cli_asked_done(&a.asked);
	}
	if (a.json)
		cli_json_close(&a.out, ']');
	if (cli->status == 0 && a.left)
		cli->status = EXIT_LEFT;
	return cli->status;
}

static const struct cli_option options[] = {
	{OPT_FIX, "fix", NULL,
	 "Make those that a move has broken lead again where they led: the target, the link, or a directory above "
	 "either was moved",
	 0},
	CLI_OPTION_MOUNTED_AT,
	{OPT_DRY_RUN, "dry-run", NULL, "With --fix: tell what would be done, and do nothing", 0},
	{OPT_ZERO, "zero", NULL, "Show paths alone, each ended by NUL", 0},
	{OPT_JSON, "json", NULL, "Write JSON", 0},
	CLI_OPTIONS_END,
};

static const char *const usage[] = {"[OPTION]... [DIRECTORY]...", NULL};

const struct cli_command cli_cmd_dangling = {
	.name = "dangling",
	.summary = "Show the symlinks that lead nowhere, loop, or leave the volume",
	.usage = usage,
	.options = options,
	.run = run,
	.default_operand = ".",
	.flags = CLI_READS,
	.exits =
		"0 done, with --fix: no link is left dangling; 1 an error; 2 wrong usage; 3 with --fix: links are left "
		"that dangle",
};
