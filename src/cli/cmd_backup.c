/*
 * cmd_backup.c - linkfs backup: host trees into a volume, again and again, with a snapshot each time (row E4).
 */
#include "backup.h"
#include "parallel.h"
#include "table.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define EXIT_FAILED 3

enum {
	OPT_ONE_FS = 'x',
	OPT_DRY = 'n',
	OPT_VERBOSE = 'v',
	OPT_QUIET = 'q',
	OPT_TAG = 't',
	OPT_THREADS = 'j',
	OPT_EXCLUDE = 256,
	OPT_EXCLUDE_FROM,
	OPT_CACHES,
	OPT_IF_PRESENT,
	OPT_NAME,
	OPT_NO_SNAPSHOT,
	OPT_HOST,
	OPT_TAKE_OVER,
	OPT_REREAD,
	OPT_DEDUPE,
	OPT_JSON
};

#define RULES_MAX (16u << 20)

static int read_rules(struct backup *b, const char *name)
{
	bool input = strcmp(name, "-") == 0 || strcmp(name, "/dev/stdin") == 0;
	int fd = input ? -1 : openat(b->cli->cwd_fd, name, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	FILE *in = input ? b->cli->in : fd >= 0 ? fdopen(fd, "r") : NULL;
	char *text = NULL;
	size_t len = 0, cap = 0, n = 1;
	int error = in ? 0 : linkfs_from_errno(errno);
	while (!error && n) {
		if (len + 1 >= cap) { /* a NUL follows what was read */
			char *p = cap >= RULES_MAX ? NULL : realloc(text, cap ? cap * 2 : 4096);
			error = p ? 0 : cap >= RULES_MAX ? LINKFS_EFBIG : LINKFS_ENOMEM;
			text = p ? p : text;
			cap = p ? (cap ? cap * 2 : 4096) : cap;
			continue;
		}
		n = fread(text + len, 1, cap - 1 - len, in);
		len += n;
		text[len] = '\0';
	}
	if (!error && ferror(in))
		error = LINKFS_EIO;
	if (!error)
		error = backup_rules_add_text(b->rules, text, len);
	if (in && !input)
		fclose(in);
	free(text);
	if (error)
		cli_failf(b->cli, name, "patterns cannot be read: %s", linkfs_strerror(error));
	return error;
}

static int take_tags(struct backup *b, const char *more)
{
	char *joined = cli_format("%s,%s", b->tags ? b->tags : "backup", more);
	free(b->tags);
	b->tags = joined;
	if (joined && *more && linkfs_snapshot_tags_check(joined) == 0)
		return 0;
	if (!joined)
		cli_fail(b->cli, NULL, LINKFS_ENOMEM);
	else
		cli_usage(b->cli, "'%s' is no tag: 1 to 64 bytes without spaces, ',' and '+'; 1024 in all", more);
	return LINKFS_EINVAL;
}

static int take_threads(struct backup *b, const char *text)
{
	uint64_t value = 0;
	if (cli_parse_u64(text, 64, &value) != 0 || value == 0) {
		cli_usage(b->cli, "--threads takes a number from 1 to 64, not '%s'", text);
		return LINKFS_EINVAL;
	}
	b->threads = (unsigned)value;
	return 0;
}

static int take_option(struct backup *b, const struct cli_parsed *option)
{
	b->one_fs |= option->id == OPT_ONE_FS;
	b->dry |= option->id == OPT_DRY;
	b->verbose |= option->id == OPT_VERBOSE;
	b->quiet |= option->id == OPT_QUIET;
	b->caches |= option->id == OPT_CACHES;
	b->no_snapshot |= option->id == OPT_NO_SNAPSHOT;
	b->take_over |= option->id == OPT_TAKE_OVER;
	b->reread |= option->id == OPT_REREAD;
	b->dedupe |= option->id == OPT_DEDUPE;
	b->json |= option->id == OPT_JSON;
	switch (option->id) {
	case OPT_TAG:
		return take_tags(b, option->arg);
	case OPT_THREADS:
		return take_threads(b, option->arg);
	case OPT_EXCLUDE:
		return backup_rules_add(b->rules, option->arg);
	case OPT_EXCLUDE_FROM:
		return read_rules(b, option->arg);
	case OPT_IF_PRESENT:
		b->if_present[b->nif_present++] = option->arg;
		break;
	case OPT_NAME:
		b->snapshot_name = option->arg;
		break;
	case OPT_HOST:
		if (!*option->arg || strlen(option->arg) > 255) {
			cli_usage(b->cli, "--host takes a name of 1 to 255 bytes");
			return LINKFS_EINVAL;
		}
		b->host_name = option->arg;
		break;
	default:
		break;
	}
	return 0;
}

/* All that decides what is left out, as text. */
static char *rule_text(const struct backup *b)
{
	char *text = cli_format("%d%d", b->caches, b->one_fs);
	for (size_t i = 0; i < b->nif_present && text; i++) {
		char *more = cli_format("%s/%s", text, b->if_present[i]);
		free(text);
		text = more;
	}
	return text;
}

static int check(struct backup *b)
{
	struct cli *cli = b->cli;
	if (b->no_snapshot && (b->snapshot_name || b->tags))
		return cli_usage(cli, "--no-snapshot goes with neither --name nor --tag");
	if (b->json && b->verbose)
		return cli_usage(cli, "--json and --verbose do not go together");
	if (b->dest->kind == CLI_VOLUME &&
	    ((b->dest->snapshot && *b->dest->snapshot) || linkfs_node_past(b->dest->at))) {
		cli_failf(cli, b->dest->text, "%s", CLI_PAST_FIXED);
		return cli->status;
	}
	if (b->dest->kind == CLI_HOST && access(b->dest->text, X_OK) == 0) {
		cli_failf(cli, b->dest->text,
			  "is neither a volume ('linkfs create' makes one) nor in a volume's mount");
		return cli->status;
	}
	if (b->dest->kind == CLI_HOST && errno != ENOTCONN) {
		cli_failf(cli, b->dest->text, "cannot be backed up into: %s; 'linkfs create' makes volumes",
			  strerror(errno));
		return cli->status;
	}
	return 0;
}

/* b has all that it needs, but for what the options say. */
static int run_with(struct backup *b, const struct cli_args *args)
{
	struct cli *cli = b->cli;
	char *text = NULL;
	int error = 0;
	for (size_t i = 0; i < args->noptions && !error; i++)
		error = take_option(b, &args->options[i]);
	if (!error && !cli->status)
		error = (text = rule_text(b)) ? 0 : LINKFS_ENOMEM;
	if (error && !cli->status)
		cli_fail(cli, NULL, error);
	int status = cli->status ? cli->status : check(b);
	if (!status) {
		b->digest = backup_rules_digest(b->rules, text);
		status = cli_path_volume(cli, b->dest, &b->volume) ? cli->status : backup_run(b, args);
	}
	free(text);
	return status;
}

static int run(struct cli *cli, const struct cli_args *args)
{
	struct backup *b = cli_alloc(sizeof(*b));
	const char **if_present = cli_alloc((args->noptions + 1) * sizeof(*if_present));
	struct backup_rules *rules = backup_rules_new();
	int status;
	if (b && if_present && rules) {
		b->cli = cli;
		b->threads = cli_threads();
		b->if_present = if_present;
		b->dest = &args->operands[args->noperands - 1];
		b->rules = rules;
		status = run_with(b, args);
		free(b->tags);
	} else {
		cli_fail(cli, NULL, LINKFS_ENOMEM);
		status = cli->status;
	}
	backup_rules_free(rules);
	free(if_present);
	free(b);
	return status;
}

static const struct cli_option options[] = {
	{OPT_ONE_FS, "one-file-system", NULL, "Stay on the file system of each directory", 0},
	{OPT_EXCLUDE, "exclude", "PATTERN", "Leave out what matches, as in a .gitignore; may be given again", 0},
	{OPT_EXCLUDE_FROM, "exclude-from", "FILE",
	 "Patterns from a file, as a .gitignore or with rsync's '- ' and '+ '; may be given again", 0},
	{OPT_CACHES, "exclude-caches", NULL, "Leave out what is in directories with a CACHEDIR.TAG", 0},
	{OPT_IF_PRESENT, "exclude-if-present", "NAME",
	 "Leave out what is in directories that have NAME; may be given again", 0},
	{OPT_DRY, "dry-run", NULL, "Tell what would be done, and write nothing", 0},
	{OPT_NAME, "name", "NAME", "The snapshot's name; else the time", 0},
	{OPT_TAG, "tag", "TAG", "A tag of the snapshot besides 'backup'; may be given again", 0},
	{OPT_NO_SNAPSHOT, "no-snapshot", NULL, "Take none", 0},
	{OPT_REREAD, "reread", NULL, "Read every file and compare, whatever its times say", 0},
	{OPT_DEDUPE, "dedupe", NULL,
	 "Let what was written share its space with files of equal content, before the snapshot", 0},
	{OPT_HOST, "host", "NAME", "Take this name for the host's identity", 0},
	{OPT_TAKE_OVER, "take-over", NULL, "Replace what another source, or no backup, has put there", 0},
	{OPT_THREADS, "threads", "N", "Read with so many threads (1 to 64)", 0},
	{OPT_VERBOSE, "verbose", NULL, "Tell each file that is not as it was", 0},
	{OPT_QUIET, "quiet", NULL, "No report, no progress", 0},
	{OPT_JSON, "json", NULL, "Write the report as JSON", 0},
	CLI_OPTIONS_END,
};

static const char *const usage[] = {"[OPTION]... DIR... VOLUME[:/DIR]", NULL};

const struct cli_command cli_cmd_backup = {
	.name = "backup",
	.summary = "Bring a volume up to date with trees of the host, and take a snapshot",
	.usage = usage,
	.options = options,
	.exits = "0: all is in the snapshot; 1: done, but some files could not be read, or changed while they were "
		 "read, or files of the volume are damaged; 2: wrong usage; 3: failed, "
		 "and no snapshot was taken; interrupted, the command ends by the signal",
	.usage_status = CLI_EXIT_USAGE,
	.fail_status = EXIT_FAILED,
	.run = run,
	.takes = CLI_TAKES_HOST,
	.min = 2,
	.flags = CLI_VOLUME_LAST,
};
