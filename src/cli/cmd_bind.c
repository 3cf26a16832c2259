/*
 * cmd_bind.c - linkfs bind and linkfs unbind: a file or directory shown at another name (rows C1 to C3).
 */
#include "links.h"
#include "table.h"
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { OPT_LIST = 'l', OPT_NO_CREATE = 'n', OPT_VERBOSE = 'v', OPT_REMOVE = 'r', OPT_JSON = 256 };

/* ---- list ---- */

struct listing {
	struct cli *cli;
	struct cli_asked asked;
	bool json;
	struct cli_json out;
};

static int on_bind(void *arg, const struct linkfs_bind *bind)
{
	struct listing *l = arg;
	FILE *out = l->cli->out;
	if (l->json) {
		cli_json_open(&l->out, NULL, '{');
		cli_json_bytes(&l->out, "path", bind->path, bind->path_len);
		if (bind->source_path)
			cli_json_bytes(&l->out, "source", bind->source_path, bind->source_path_len);
		else
			cli_json_null(&l->out, "source");
		cli_json_string(&l->out, "type", cli_type_word(bind->type));
		cli_json_number(&l->out, "ino", bind->source);
		cli_json_number(&l->out, "covered_ino", bind->covered);
		cli_json_number(&l->out, "dir", bind->dir);
		cli_json_close(&l->out, '}');
		return cli_cancelled(l->cli);
	}
	char *at = cli_asked_spell(&l->asked, bind->path);
	char *of = bind->source_path ? cli_asked_spell(&l->asked, bind->source_path)
				     : cli_format("inode %llu", (unsigned long long)bind->source);
	if (at && of) {
		cli_show_bytes(l->cli, at, strlen(at));
		fputs(" shows ", out);
		cli_show_bytes(l->cli, of, strlen(of));
		fputc('\n', out);
	}
	free(at);
	free(of);
	return cli_cancelled(l->cli);
}

static void list(struct listing *l, const struct cli_path *path)
{
	uint64_t hidden = 0;
	if (cli_asked_begin(l->cli, path, NULL, &l->asked) != 0)
		return;
	int error = linkfs_volume_binds(l->asked.volume, &l->cli->cred, 0, on_bind, l, &hidden);
	if (error)
		cli_fail(l->cli, path->text, error);
	else if (hidden)
		cli_note(l->cli, "%s: %llu more in directories that you may not search, or that another bind covers",
			 path->text, (unsigned long long)hidden);
	cli_asked_done(&l->asked);
}

/* ---- bind ---- */

/* An empty file or directory for the bind to stand at. */
static int make_entry(struct cli *cli, struct linkfs_volume *volume, const struct cli_path *source,
		      const struct cli_path *dest)
{
	struct linkfs_stat st;
	int error = linkfs_path_stat(volume, &cli->cred, source->at, source->path, 0, &st);
	if (error)
		return error;
	struct linkfs_make how = {.mode = S_ISDIR(st.mode) ? S_IFDIR | 0777u : S_IFREG | 0666u};
	return linkfs_path_make(volume, &cli->cred, dest->at, dest->path, &how, NULL);
}

static void drop_entry(struct cli *cli, struct linkfs_volume *volume, const struct cli_path *dest)
{
	if (linkfs_path_unlink(volume, &cli->cred, dest->at, dest->path) != 0)
		linkfs_path_rmdir(volume, &cli->cred, dest->at, dest->path);
}

static void tell_bind_error(struct cli *cli, struct linkfs_volume *volume, const struct cli_path *source,
			    const struct cli_path *dest, int error)
{
	switch (error) {
	case LINKFS_EBUSY:
		cli_fail_path(cli, volume, dest, "cannot bind", error);
		break;
	case LINKFS_ELOOP:
		cli_failf(cli, dest->text, "cannot show '%s' here: it would contain itself", source->text);
		break;
	case LINKFS_ENOTDIR:
		cli_failf(cli, dest->text,
			  "cannot show '%s' here: a directory is bound at a directory, and one of the two is none",
			  source->text);
		break;
	case LINKFS_EISDIR:
		cli_failf(cli, dest->text, "is a directory: '%s' is none, and is bound at a file", source->text);
		break;
	case LINKFS_EPERM:
		cli_failf(cli, source->text,
			  "only its owner may bind it, who may also remove the name '%s' from its directory",
			  dest->text);
		break;
	case LINKFS_EINVAL:
		cli_failf(cli, dest->text, "cannot bind at '.' or '..': name the directory");
		break;
	default:
		cli_failf(cli, dest->text, "cannot show '%s' here: %s", source->text, linkfs_strerror(cli_gone(error)));
		break;
	}
}

static void bind_one(struct cli *cli, const struct cli_path *source, const struct cli_path *dest, bool create,
		     bool verbose)
{
	struct linkfs_volume *volume, *other;
	struct linkfs_stat st;
	bool made = false;
	if (cli_path_volume(cli, dest, &volume) != 0 || cli_path_volume(cli, source, &other) != 0)
		return;
	if (other != volume) {
		cli_failf(cli, source->text, "is in another volume: a bind stays in one");
		return;
	}
	int error = linkfs_path_stat(volume, &cli->cred, source->at, source->path, 0, &st);
	if (error) {
		cli_failf(cli, source->text, "%s", linkfs_strerror(cli_gone(error)));
		return;
	}
	error = linkfs_path_bind(volume, &cli->cred, source->at, source->path, dest->at, dest->path);
	if (error == LINKFS_ENOENT && create) {
		error = make_entry(cli, volume, source, dest);
		made = error == 0;
		if (made)
			error = linkfs_path_bind(volume, &cli->cred, source->at, source->path, dest->at, dest->path);
		if (made && error)
			drop_entry(cli, volume, dest);
	}
	if (error)
		tell_bind_error(cli, volume, source, dest, error);
	else if (verbose)
		fprintf(cli->out, "'%s' shows '%s'%s\n", dest->text, source->text, made ? " (made for it)" : "");
}

static int run_bind(struct cli *cli, const struct cli_args *args)
{
	struct listing l = {.cli = cli, .out = {.out = cli->out}};
	bool lists = false, create = true, verbose = false;
	for (size_t i = 0; i < args->noptions; i++) {
		lists |= args->options[i].id == OPT_LIST;
		l.json |= args->options[i].id == OPT_JSON;
		create &= args->options[i].id != OPT_NO_CREATE;
		verbose |= args->options[i].id == OPT_VERBOSE;
	}
	if (!lists && args->noperands != 2)
		return cli_usage(cli, "needs a source and a place, or --list");
	if (!lists && l.json)
		return cli_usage(cli, "--json goes with --list");
	if (!lists) {
		bind_one(cli, &args->operands[0], &args->operands[1], create, verbose);
		return cli->status;
	}
	if (l.json)
		cli_json_open(&l.out, NULL, '[');
	for (size_t i = 0; i < args->noperands && !cli_cancelled(cli); i++)
		list(&l, &args->operands[i]);
	if (l.json)
		cli_json_close(&l.out, ']');
	return cli->status;
}

/* ---- unbind ---- */

static void unbind_one(struct cli *cli, const struct cli_path *path, bool remove, bool verbose)
{
	struct linkfs_volume *volume;
	struct linkfs_stat st;
	if (cli_path_volume(cli, path, &volume) != 0)
		return;
	int error = linkfs_path_unbind(volume, &cli->cred, path->at, path->path);
	if (error == LINKFS_EINVAL) {
		cli_failf(cli, path->text, "no bind stands there; 'linkfs bind --list' shows those there are");
		return;
	}
	if (error) {
		cli_failf(cli, path->text, "cannot unbind: %s", linkfs_strerror(cli_gone(error)));
		return;
	}
	if (verbose)
		fprintf(cli->out, "'%s' is itself again\n", path->text);
	if (!remove)
		return;
	error = linkfs_path_stat(volume, &cli->cred, path->at, path->path, LINKFS_NOFOLLOW, &st);
	if (!error && S_ISDIR(st.mode))
		error = linkfs_path_rmdir(volume, &cli->cred, path->at, path->path);
	else if (!error && S_ISREG(st.mode) && st.size == 0)
		error = linkfs_path_unlink(volume, &cli->cred, path->at, path->path);
	else if (!error)
		error = LINKFS_ENOTEMPTY;
	if (error)
		cli_failf(cli, path->text, "is unbound and stays: %s", linkfs_strerror(cli_gone(error)));
}

static int run_unbind(struct cli *cli, const struct cli_args *args)
{
	bool remove = false, verbose = false;
	for (size_t i = 0; i < args->noptions; i++) {
		remove |= args->options[i].id == OPT_REMOVE;
		verbose |= args->options[i].id == OPT_VERBOSE;
	}
	for (size_t i = 0; i < args->noperands && !cli_cancelled(cli); i++)
		unbind_one(cli, &args->operands[i], remove, verbose);
	return cli->status;
}

static const struct cli_option bind_options[] = {
	{OPT_LIST, "list", NULL, "Show the binds of the volumes that PATH lies in, each as 'PLACE shows SOURCE'", 0},
	{OPT_NO_CREATE, "no-create", NULL,
	 "Fail when nothing is at PLACE, instead of making an empty file or directory", 0},
	{OPT_VERBOSE, "verbose", NULL, "Tell what is bound", 0},
	{OPT_JSON, "json", NULL, "With --list: write JSON", 0},
	CLI_OPTIONS_END,
};

static const struct cli_option unbind_options[] = {
	{OPT_REMOVE, "remove", NULL, "Remove what comes to light, when it is an empty file or directory", 0},
	{OPT_VERBOSE, "verbose", NULL, "Tell what is unbound", 0},
	CLI_OPTIONS_END,
};

static const char *const bind_usage[] = {"[-nv] SOURCE PLACE", "--list [--json] [PATH]...", NULL};
static const char *const unbind_usage[] = {"[OPTION]... PLACE...", NULL};

const struct cli_command cli_cmd_bind = {
	.name = "bind",
	.summary = "Show a file or directory at another place as well",
	.usage = bind_usage,
	.options = bind_options,
	.run = run_bind,
	.default_operand = ".",
};

const struct cli_command cli_cmd_unbind = {
	.name = "unbind",
	.summary = "End binds: what they covered shows again",
	.usage = unbind_usage,
	.options = unbind_options,
	.run = run_unbind,
	.min = 1,
};
