/*
 * cmd_snapshot.c - linkfs snapshot: the volume as it was (rows E1, E2).
 */
#include "table.h"

#include <linkfs_snapshots.h>
#include <stdlib.h>
#include <string.h>

enum { OPT_NOTE = 'm', OPT_QUIET = 'q', OPT_TAG = 't', OPT_JSON = 256, OPT_ADD, OPT_REMOVE };

struct snapshots {
	struct cli *cli;
	struct linkfs_volume *volume;
	const struct cli_path *path;
	struct cli_json json;
	const char *note;
	char *tags, *add, *remove; /* lists; NULL: the option was not given */
	bool as_json, quiet;
	int column; /* width of names in a listing */
};

static void tell_error(const struct snapshots *s, const char *name, int error)
{
	switch (error) {
	case LINKFS_ENOENT:
		cli_failf(s->cli, s->path->text,
			  "no snapshot is called '%s'; 'linkfs snapshot list' shows those there are", name);
		break;
	case LINKFS_EEXIST:
		cli_failf(s->cli, s->path->text, "a snapshot is called '%s' already", name);
		break;
	case LINKFS_EINVAL:
		cli_failf(s->cli, s->path->text,
			  "'%s' cannot be a snapshot's name: it is empty, '.' or '..', or has a '/' in it", name);
		break;
	case LINKFS_EBUSY:
		cli_failf(s->cli, s->path->text,
			  "'%s' is what a stream starts from that was cut off: receive its rest, or 'linkfs receive "
			  "--abort'",
			  name);
		break;
	case LINKFS_EPERM:
		cli_failf(s->cli, s->path->text, "snapshots are for root and for the owner of the root directory");
		break;
	default:
		cli_failf(s->cli, s->path->text, "%s: %s", name, linkfs_strerror(error));
	}
}

/* ---- shown ------------------------------------------------------------------------------------------------------ */

static int print_json(struct snapshots *s, const struct linkfs_snapshot *snapshot)
{
	cli_json_open(&s->json, NULL, '{');
	cli_json_bytes(&s->json, "name", snapshot->name, snapshot->name_len);
	cli_json_number(&s->json, "id", snapshot->id);
	cli_json_time(&s->json, "time", snapshot->time_ns);
	cli_json_bytes(&s->json, "note", snapshot->note, snapshot->note_len);
	cli_json_tags(&s->json, snapshot->tags);
	cli_json_close(&s->json, '}');
	return 0;
}

static char *shown(const char *name, size_t len, size_t *width_out)
{
	return cli_quote(name, len, CLI_QUOTE_SHELL, width_out);
}

static int print(void *arg, const struct linkfs_snapshot *snapshot)
{
	struct snapshots *s = arg;
	char time[96];
	size_t width = 0;
	if (s->as_json)
		return print_json(s, snapshot);
	cli_time_format(s->cli, time, sizeof(time), "%Y-%m-%d %H:%M:%S %z", snapshot->time_ns);
	char *name = shown(snapshot->name, snapshot->name_len, &width);
	char *note = shown(snapshot->note, snapshot->note_len, NULL);
	if (!name || !note) {
		cli_fail(s->cli, NULL, LINKFS_ENOMEM);
	} else {
		bool more = *snapshot->note || *snapshot->tags;
		int pad = more && s->column > (int)width ? s->column - (int)width : 0;
		fprintf(s->cli->out, "%s  %s%*s", time, name, pad, "");
		if (*snapshot->tags)
			fprintf(s->cli->out, "  [%s]", snapshot->tags);
		if (*snapshot->note)
			fprintf(s->cli->out, "  %s", note);
		fputc('\n', s->cli->out);
	}
	free(name);
	free(note);
	return cli_cancelled(s->cli);
}

static int measure(void *arg, const struct linkfs_snapshot *snapshot)
{
	struct snapshots *s = arg;
	size_t width = 0;
	free(shown(snapshot->name, snapshot->name_len, &width));
	if ((int)width > s->column)
		s->column = (int)width;
	return 0;
}

static void list(struct snapshots *s)
{
	int error = s->as_json ? 0 : linkfs_snapshot_list(s->volume, measure, s);
	if (s->as_json)
		cli_json_open(&s->json, NULL, '[');
	if (!error)
		error = linkfs_snapshot_list(s->volume, print, s);
	if (s->as_json)
		cli_json_close(&s->json, ']');
	if (error)
		cli_fail(s->cli, s->path->text, error);
}

static void show(struct snapshots *s, const char *name)
{
	int error = linkfs_snapshot_show(s->volume, name, print, s);
	if (error)
		tell_error(s, name, error);
}

/* ---- changed ---------------------------------------------------------------------------------------------------- */

static void create(struct snapshots *s, const char *name)
{
	char dated[64];
	/* Without memory for it what the kernel still holds is missing, and the snapshot is one all the same. */
	if (s->cli->mount && linkfs_mount_hand_over(s->cli->mount) != 0)
		cli_note(s->cli, "what programs have written through mappings may be missing: out of memory");
	const struct linkfs_snapshot_new what = {.name = name, .note = s->note, .tags = s->tags};
	int error = name ? linkfs_snapshot_create(s->volume, &s->cli->cred, &what, NULL)
			 : cli_snapshot_dated(s->cli, s->volume, "%Y-%m-%dT%H:%M:%S", what, dated, sizeof(dated));
	if (error) {
		tell_error(s, name ? name : dated, error);
		return;
	}
	/* What was said to be there is on the disk. */
	error = linkfs_volume_sync(s->volume);
	if (error)
		cli_failf(s->cli, s->path->text, "the snapshot may not be on disk: %s", linkfs_strerror(error));
	else if (!s->quiet)
		fprintf(s->cli->out, "%s\n", name ? name : dated);
}

static int go_on(void *arg, const struct linkfs_snapshot_progress *progress)
{
	const struct snapshots *s = arg;
	(void)progress;
	return cli_cancelled(s->cli);
}

static void delete_one(struct snapshots *s, const char *name)
{
	struct linkfs_snapshot_progress done;
	char size[32];
	int error = linkfs_snapshot_delete(s->volume, &s->cli->cred, name, go_on, s, &done);
	if (error == LINKFS_EINTR) {
		cli_note(s->cli, "%s is gone; the rest of its space comes back while the volume is in use", name);
		return;
	}
	if (error) {
		tell_error(s, name, error);
		return;
	}
	cli_human_size(done.bytes, 1024, size);
	if (s->as_json) {
		cli_json_open(&s->json, NULL, '{');
		cli_json_string(&s->json, "name", name);
		cli_json_number(&s->json, "freed", done.bytes);
		cli_json_close(&s->json, '}');
	} else if (!s->quiet) {
		fprintf(s->cli->out, "%s: gone, %s given back\n", name, size);
	}
}

static void delete (struct snapshots *s, const struct cli_args *args)
{
	if (s->as_json)
		cli_json_open(&s->json, NULL, '[');
	for (size_t i = 2; i < args->noperands && !cli_cancelled(s->cli); i++)
		delete_one(s, args->operands[i].text);
	if (s->as_json)
		cli_json_close(&s->json, ']');
}

static void tag(struct snapshots *s, const struct cli_args *args)
{
	for (size_t i = 2; i < args->noperands; i++) {
		const char *name = args->operands[i].text;
		int error = linkfs_snapshot_tag(s->volume, &s->cli->cred, name, s->add, s->remove);
		if (error == LINKFS_ENAMETOOLONG)
			cli_failf(s->cli, s->path->text, "'%s' would have more than 1024 bytes of tags", name);
		else if (error)
			tell_error(s, name, error);
	}
}

/* Adds the tags of one option to those of others like it. */
static bool take_tags(struct cli *cli, char **list, const char *more)
{
	char *joined = *list && **list ? cli_format("%s,%s", *list, more) : cli_strdup(more);
	free(*list);
	*list = joined;
	if (!joined)
		cli_fail(cli, NULL, LINKFS_ENOMEM);
	else if (!*more || linkfs_snapshot_tags_check(joined))
		cli_usage(cli, "'%s' is no tag: 1 to 64 bytes without spaces, ',' and '+'; 1024 in all", more);
	else
		return true;
	return false;
}

/* ---- the command ------------------------------------------------------------------------------------------------- */

enum verb { CREATE, LIST, SHOW, DELETE, RENAME, TAG, VERBS };
static const struct {
	const char *word;
	size_t min, max; /* operands after the volume; max 0: any number */
	bool reads;
	const char *form;
} verbs[VERBS] = {
	[CREATE] = {"create", 0, 1, false, "VOLUME [NAME]"},
	[LIST] = {"list", 0, 0, true, "VOLUME"},
	[SHOW] = {"show", 1, 1, true, "VOLUME NAME"},
	[DELETE] = {"delete", 1, SIZE_MAX, false, "VOLUME NAME..."},
	[RENAME] = {"rename", 2, 2, false, "VOLUME NAME NEWNAME"},
	[TAG] = {"tag", 1, SIZE_MAX, false, "VOLUME NAME..."},
};

static void act(struct snapshots *s, enum verb verb, const struct cli_args *args)
{
	const char *name = args->noperands > 2 ? args->operands[2].text : NULL;
	int error;
	switch (verb) {
	case CREATE:
		create(s, name);
		break;
	case LIST:
		list(s);
		break;
	case SHOW:
		show(s, name);
		break;
	case DELETE:
		delete (s, args);
		break;
	case RENAME:
		error = linkfs_snapshot_rename(s->volume, &s->cli->cred, name, args->operands[3].text);
		if (error)
			tell_error(s, error == LINKFS_ENOENT ? name : args->operands[3].text, error);
		break;
	case TAG:
		tag(s, args);
		break;
	case VERBS:
		break;
	}
}

static int run_verb(struct snapshots *s, const struct cli_args *args)
{
	struct cli *cli = s->cli;
	const char *word = args->operands[0].text;
	enum verb verb = CREATE;
	while (verb < VERBS && strcmp(word, verbs[verb].word) != 0)
		verb++;
	if (verb == VERBS)
		return cli_usage(cli, "'%s' is neither create, list, show, delete, rename nor tag", word);
	size_t names = args->noperands - 2;
	if (names < verbs[verb].min || names > verbs[verb].max)
		return cli_usage(cli, "'%s' takes %s", word, verbs[verb].form);
	if ((s->note || s->tags) && verb != CREATE)
		return cli_usage(cli, s->note ? "a note is given when a snapshot is created"
					      : "--tag is for 'create'; 'tag' takes --add and --remove");
	if ((s->add || s->remove) != (verb == TAG))
		return cli_usage(cli, "'tag', and nothing else, takes --add or --remove");
	cli->writes = !verbs[verb].reads;
	if (cli_path_volume(cli, s->path, &s->volume) == 0)
		act(s, verb, args);
	return cli->status;
}

static int run(struct cli *cli, const struct cli_args *args)
{
	struct snapshots s = {.cli = cli, .json = {.out = cli->out}, .path = &args->operands[1]};
	bool good = true;
	for (size_t i = 0; i < args->noptions && good; i++) {
		const struct cli_parsed *option = &args->options[i];
		if (option->id == OPT_NOTE)
			s.note = option->arg;
		s.quiet |= option->id == OPT_QUIET;
		s.as_json |= option->id == OPT_JSON;
		if (option->id == OPT_TAG)
			good = take_tags(cli, &s.tags, option->arg);
		else if (option->id == OPT_ADD)
			good = take_tags(cli, &s.add, option->arg);
		else if (option->id == OPT_REMOVE)
			good = take_tags(cli, &s.remove, option->arg);
	}
	int status = good ? run_verb(&s, args) : cli->status;
	free(s.tags);
	free(s.add);
	free(s.remove);
	return status;
}

static size_t texts(const struct cli_args *args)
{
	return args->noperands ? 1 : 0;
}

static const struct cli_option options[] = {
	{OPT_NOTE, "note", "TEXT", "With create: a text to keep with the snapshot", 0},
	{OPT_TAG, "tag", "TAG",
	 "With create: a tag of the snapshot, or several with commas between; may be given again", 0},
	{OPT_ADD, "add", "TAG", "With tag: it gets this tag; may be given again", 0},
	{OPT_REMOVE, "remove", "TAG", "With tag: it loses this tag; may be given again", 0},
	{OPT_QUIET, "quiet", NULL, "Do not tell the name of what was created, or what was given back", 0},
	{OPT_JSON, "json", NULL, "With list, show and delete: write JSON", 0},
	CLI_OPTIONS_END,
};

static const char *const usage[] = {"create [-m TEXT] [-t TAG]... VOLUME [NAME]",
				    "list|show [--json] VOLUME [NAME]",
				    "delete [--json] VOLUME NAME...",
				    "rename VOLUME NAME NEWNAME",
				    "tag [--add TAG]... [--remove TAG]... VOLUME NAME...",
				    NULL};

const struct cli_command cli_cmd_snapshot = {
	.name = "snapshot",
	.summary = "Keep the whole volume as it is now, to look at later",
	.usage = usage,
	.options = options,
	.run = run,
	.texts = texts,
	.takes = CLI_TAKES_VOLUME,
	.min = 2,
	.flags = CLI_READS | CLI_TEXT_AFTER,
};
