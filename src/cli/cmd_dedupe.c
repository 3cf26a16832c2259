/*
 * cmd_dedupe.c - linkfs dedupe: files with equal content share their blocks, or become names of one file (row E7).
 */
#include "dedupe.h"
#include "links.h"
#include "parallel.h"
#include "table.h"
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum {
	OPT_DRY_RUN = 'n',
	OPT_VERBOSE = 'v',
	OPT_MINIMUM = 's',
	OPT_IGNORE_MODE = 'p',
	OPT_IGNORE_OWNER = 'o',
	OPT_IGNORE_TIME = 't',
	OPT_HARDLINK = 256,
	OPT_IGNORE_XATTRS,
	OPT_THREADS,
	OPT_JSON
};

struct dedupe {
	struct cli *cli;
	struct dedupe_set set;
	struct dedupe_rules rules;
	uint64_t minimum;
	bool hardlink, dry_run, verbose, as_json;
	struct cli_json json;
	/* of the whole run */
	uint64_t looked_at, groups, files, names, shared, freed;
	/* of the group that is being worked on */
	const struct dedupe_file *kept;
	bool told;
};

/* ---- collecting ------------------------------------------------------------------------------------------------------ */

static int meet(void *arg, const struct cli_visit *visit)
{
	struct dedupe *d = arg;
	if (cli_cancelled(d->cli))
		return LINKFS_EINTR;
	if (!S_ISREG(visit->st->mode) || visit->st->size < d->minimum)
		return 0;
	d->looked_at++;
	return dedupe_set_add(&d->set, visit->st, visit->dir, visit->name, visit->len, visit->display);
}

static int collect(struct dedupe *d, const struct cli_path *path)
{
	struct cli *cli = d->cli;
	struct linkfs_volume *volume;
	struct linkfs_stat st;
	struct cli_visit start = {.name = "", .st = &st, .display = path->text};
	if (cli_path_volume(cli, path, &volume) != 0)
		return 0;
	if (d->set.volume && d->set.volume != volume) {
		cli_failf(cli, path->text, "lies in another volume than the first: files of two volumes share nothing");
		return 0;
	}
	d->set.volume = volume;
	int error = cli_path_stat(cli, path, false, &st);
	if (!error && !S_ISDIR(st.mode))
		error = linkfs_path_parent(volume, &cli->cred, path->at, path->path, &start.dir, &start.name,
					   &start.len, NULL);
	if (error) {
		cli_fail(cli, path->text, cli_gone(error));
		return 0;
	}
	return S_ISDIR(st.mode) ? cli_walk(cli, volume, &start, meet, NULL, d) : meet(d, &start);
}

/* ---- telling --------------------------------------------------------------------------------------------------------- */

static const char *display(const struct dedupe *d, const struct dedupe_file *f)
{
	return d->set.names[f->first].display;
}

static void tell_kept(struct dedupe *d)
{
	if (d->told)
		return;
	d->told = true;
	d->groups++;
	if (d->as_json) {
		cli_json_open(&d->json, NULL, '{');
		cli_json_number(&d->json, "size", d->kept->st.size);
		cli_json_string(&d->json, "kept", display(d, d->kept));
		cli_json_open(&d->json, "same", '[');
	}
}

static void tell_end(struct dedupe *d)
{
	if (d->told && d->as_json) {
		cli_json_close(&d->json, ']');
		cli_json_close(&d->json, '}');
	}
	d->told = false;
}

static void tell(struct dedupe *d, const char *path, const struct linkfs_dedupe *what)
{
	tell_kept(d);
	if (d->as_json) {
		cli_json_open(&d->json, NULL, '{');
		cli_json_string(&d->json, "path", path);
		cli_json_number(&d->json, "shared", what->shared);
		cli_json_number(&d->json, "freed", what->freed);
		cli_json_close(&d->json, '}');
	} else if (d->verbose) {
		cli_show_bytes(d->cli, path, strlen(path));
		fputs(d->hardlink ? " => " : " ~ ", d->cli->out);
		cli_show_bytes(d->cli, display(d, d->kept), strlen(display(d, d->kept)));
		fputc('\n', d->cli->out);
	}
}

/* ---- acting ---------------------------------------------------------------------------------------------------------- */

static void refuse(struct dedupe *d, const char *path, int error)
{
	if (error == LINKFS_EPERM)
		cli_failf(d->cli, path, "is not yours: only the owner of both files may make them one");
	else if (error == LINKFS_EAGAIN || error == LINKFS_ESTALE || error == LINKFS_ENOENT)
		cli_failf(d->cli, path, "changed meanwhile, and was left as it is");
	else
		cli_failf(d->cli, path, "was left as it is: %s", linkfs_strerror(error));
}

/* The names of f become names of the kept file, one by one. *left: so many could not. */
static int join_names(struct dedupe *d, struct dedupe_file *f, const struct linkfs_dedupe *what, size_t *left)
{
	*left = f->names;
	for (size_t i = 0; i < f->names && !cli_cancelled(d->cli); i++) {
		const struct dedupe_name *n = &d->set.names[f->first + i];
		int error = d->dry_run ? 0
				       : linkfs_node_merge(d->set.volume, &d->cli->cred, d->kept->st.ino, n->dir,
							   n->name, strlen(n->name));
		if (error == LINKFS_ENODATA) /* written meanwhile */
			return LINKFS_EAGAIN;
		if (error) {
			refuse(d, n->display, error);
			continue;
		}
		(*left)--;
		d->names++;
		tell(d, n->display, what);
	}
	return 0;
}

static void refuse_file(struct dedupe *d, const struct dedupe_file *f, int error)
{
	cli_progress_end(&d->set.progress);
	refuse(d, display(d, f), error);
}

/* What was found out about a file is told, and with --hardlink done. */
static void conclude(struct dedupe *d, struct dedupe_file *f)
{
	d->shared += f->what.shared;
	d->freed += f->what.freed;
	if (f->error) {
		refuse_file(d, f, f->error);
	} else if (f->equal && d->hardlink) {
		size_t left = 0;
		int error = join_names(d, f, &f->what, &left);
		d->files += left == 0;
		if (error)
			refuse_file(d, f, error);
	} else if (f->equal && f->what.shared) {
		d->files++;
		tell(d, display(d, f), &f->what);
	}
}

/* Groups within one part of the files, each told under the file that is kept. */
static void conclude_part(struct dedupe *d, size_t first, size_t end)
{
	for (size_t k = first; k < end && !cli_cancelled(d->cli); k++) {
		if (!d->set.files[k].done || d->set.files[k].with != k)
			continue;
		d->kept = &d->set.files[k];
		for (size_t i = k + 1; i < end && dedupe_alike(d->kept, &d->set.files[i]); i++) {
			if (d->set.files[i].done && d->set.files[i].with == k && !cli_cancelled(d->cli))
				conclude(d, &d->set.files[i]);
		}
		tell_end(d);
	}
}

static void refuse_digest(void *arg, const struct dedupe_file *f, int error)
{
	struct dedupe *d = arg;
	if (cli_gone(error) != LINKFS_ENOENT)
		cli_fail(d->cli, display(d, f), error);
}

/* Part by part, whole groups each, so that what is done is told soon. */
#define PART 256

static int work_on(struct dedupe *d)
{
	struct dedupe_set *set = &d->set;
	int error = 0;
	for (size_t i = 0, end; i < set->nfiles && !error && !cli_cancelled(d->cli); i = end) {
		end = i + PART < set->nfiles ? i + PART : set->nfiles;
		while (end < set->nfiles && dedupe_alike(&set->files[end - 1], &set->files[end]))
			end++;
		error = dedupe_prove(set, d->hardlink ? &d->rules : NULL, d->dry_run, i, end);
		cli_progress_end(&set->progress);
		conclude_part(d, i, end);
	}
	return error;
}

static void summary(struct dedupe *d)
{
	char shared[32], freed[32];
	cli_human_size(d->shared, 1024, shared);
	cli_human_size(d->freed, 1024, freed);
	if (d->as_json) {
		cli_json_close(&d->json, ']');
		cli_json_number(&d->json, "looked_at", d->looked_at);
		cli_json_number(&d->json, "groups", d->groups);
		cli_json_number(&d->json, "files", d->files);
		if (d->hardlink)
			cli_json_number(&d->json, "names", d->names);
		cli_json_number(&d->json, "shared", d->shared);
		cli_json_number(&d->json, "freed", d->freed);
		cli_json_bool(&d->json, "dry_run", d->dry_run);
		cli_json_close(&d->json, '}');
		return;
	}
	fprintf(d->cli->out, "%" PRIu64 " names looked at; ", d->looked_at);
	if (d->hardlink)
		fprintf(d->cli->out, "%" PRIu64 " name%s %s to another file with equal content", d->names,
			d->names == 1 ? "" : "s", d->dry_run ? "would go" : "went");
	else
		fprintf(d->cli->out, "%" PRIu64 " file%s %s %s with an equal one", d->files, d->files == 1 ? "" : "s",
			d->dry_run ? "would share" : "share", shared);
	fprintf(d->cli->out, "; %s %s\n", freed, d->dry_run ? "would be freed at least" : "freed");
}

static int run(struct cli *cli, const struct cli_args *args)
{
	struct dedupe d = {.cli = cli,
			   .set = {.cli = cli, .threads = cli_threads()},
			   .rules = {true, true, true, true},
			   .minimum = 1,
			   .json = {.out = cli->out}};
	uint64_t threads;
	for (size_t i = 0; i < args->noptions; i++) {
		const char *arg = args->options[i].arg;
		switch (args->options[i].id) {
		case OPT_MINIMUM:
			if (cli_parse_size(arg, &d.minimum) != 0)
				return cli_usage(cli, "'%s' is not a size", arg);
			break;
		case OPT_THREADS:
			if (cli_parse_u64(arg, CLI_THREADS_MAX, &threads) != 0 || threads == 0)
				return cli_usage(cli, "'%s' is no number of threads: 1 to %u", arg, CLI_THREADS_MAX);
			d.set.threads = (unsigned)threads;
			break;
		case OPT_IGNORE_MODE:
			d.rules.mode = false;
			break;
		case OPT_IGNORE_OWNER:
			d.rules.owner = false;
			break;
		case OPT_IGNORE_TIME:
			d.rules.time = false;
			break;
		case OPT_IGNORE_XATTRS:
			d.rules.xattrs = false;
			break;
		}
		d.hardlink |= args->options[i].id == OPT_HARDLINK;
		d.dry_run |= args->options[i].id == OPT_DRY_RUN;
		d.verbose |= args->options[i].id == OPT_VERBOSE;
		d.as_json |= args->options[i].id == OPT_JSON;
	}
	if (!d.hardlink && !(d.rules.mode && d.rules.owner && d.rules.time && d.rules.xattrs))
		return cli_usage(cli,
				 "what is to be ignored matters only with --hardlink: files that share stay separate");
	int error = 0;
	d.set.refuse = refuse_digest;
	d.set.arg = &d;
	cli_progress_begin(&d.set.progress, cli, d.as_json);
	for (size_t i = 0; i < args->noperands && !error; i++)
		error = collect(&d, &args->operands[i]);
	if (!error && d.set.volume)
		error = dedupe_set_group(&d.set);
	bool grouped = !error;
	if (grouped && d.as_json) {
		cli_json_open(&d.json, NULL, '{');
		cli_json_open(&d.json, "groups_of_files", '[');
	}
	if (!error)
		error = work_on(&d);
	if (error && !cli_cancelled(cli))
		cli_fail(cli, args->operands[0].text, error);
	if (grouped)
		summary(&d);
	dedupe_set_done(&d.set);
	return cli->status;
}

static const struct cli_option options[] = {
	{OPT_HARDLINK, "hardlink", NULL, "Make equal files names of one file instead of letting them share", 0},
	{OPT_DRY_RUN, "dry-run", NULL, "Change nothing, and say what would be freed", 0},
	{OPT_MINIMUM, "minimum-size", "SIZE", "Leave smaller files alone (1)", 0},
	{OPT_IGNORE_MODE, "ignore-mode", NULL, "With --hardlink: also files with other permissions", 0},
	{OPT_IGNORE_OWNER, "ignore-owner", NULL, "With --hardlink: also files of other users and groups", 0},
	{OPT_IGNORE_TIME, "ignore-time", NULL, "With --hardlink: also files with another mtime", 0},
	{OPT_IGNORE_XATTRS, "ignore-xattrs", NULL, "With --hardlink: also files with other attributes and ACLs", 0},
	{OPT_THREADS, "threads", "N", "Compare by N threads (two for each core)", 0},
	{OPT_VERBOSE, "verbose", NULL, "Tell each file and which one it is equal to", 0},
	{OPT_JSON, "json", NULL, "Write JSON", 0},
	CLI_OPTIONS_END,
};

static const char *const usage[] = {"[OPTION]... PATH...", NULL};

const struct cli_command cli_cmd_dedupe = {
	.name = "dedupe",
	.summary = "Let files with equal content share their space",
	.usage = usage,
	.options = options,
	.run = run,
	.min = 1,
};
