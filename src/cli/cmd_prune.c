/*
 * cmd_prune.c - linkfs prune: which snapshots stay, and the others deleted (row E6).
 */
#include "table.h"

#include <linkfs_prune.h>
#include <stdlib.h>
#include <string.h>

enum {
	OPT_DRY_RUN = 'n',
	OPT_QUIET = 'q',
	OPT_TAG = 't',
	OPT_JSON = 256,
	OPT_ALL,
	OPT_KEEP_WITHIN,
	OPT_KEEP_WITHIN_HOURLY,
	OPT_KEEP_WITHIN_DAILY,
	OPT_KEEP_WITHIN_WEEKLY,
	OPT_KEEP_WITHIN_MONTHLY,
	OPT_KEEP_WITHIN_YEARLY,
	OPT_KEEP_TAG,
};

#define KEEP "keep-" /* what an option's name has before the rule's */

struct prune {
	struct cli *cli;
	struct linkfs_volume *volume;
	const struct cli_path *path;
	struct cli_json json;
	struct linkfs_prune_options options;
	const char **tags;
	bool as_json, quiet, dry_run;
	int column; /* width of names */
};

/* ---- what is told ------------------------------------------------------------------------------------------------- */

static int measure(void *arg, const struct linkfs_snapshot *snapshot)
{
	struct prune *p = arg;
	size_t width = 0;
	free(cli_quote(snapshot->name, snapshot->name_len, CLI_QUOTE_SHELL, &width));
	if ((int)width > p->column)
		p->column = (int)width;
	return 0;
}

static void print_json(struct prune *p, const struct linkfs_pruned *pruned)
{
	const struct linkfs_snapshot *s = pruned->snapshot;
	struct linkfs_prune_rule rule;
	cli_json_open(&p->json, NULL, '{');
	cli_json_bytes(&p->json, "name", s->name, s->name_len);
	cli_json_number(&p->json, "id", s->id);
	cli_json_time(&p->json, "time", s->time_ns);
	cli_json_tags(&p->json, s->tags);
	cli_json_bool(&p->json, "stays", pruned->kept_by != 0);
	cli_json_open(&p->json, "by", '[');
	for (size_t i = 0; linkfs_prune_rule(i, &rule) == 0; i++) {
		if (!(pruned->kept_by >> i & 1))
			continue;
		cli_json_open(&p->json, NULL, '{');
		cli_json_string(&p->json, "rule", rule.name);
		cli_json_bool(&p->json, "oldest", pruned->as_oldest >> i & 1);
		cli_json_close(&p->json, '}');
	}
	cli_json_close(&p->json, ']');
	cli_json_close(&p->json, '}');
}

static void print_rules(struct prune *p, const struct linkfs_pruned *pruned)
{
	struct linkfs_prune_rule rule;
	const char *between = "stays: ";
	for (size_t i = 0; linkfs_prune_rule(i, &rule) == 0; i++) {
		if (!(pruned->kept_by >> i & 1))
			continue;
		fprintf(p->cli->out, "%s%s%s", between, pruned->as_oldest >> i & 1 ? "oldest " : "", rule.name);
		between = ", ";
	}
	fprintf(p->cli->out, "%s\n", pruned->kept_by ? "" : "goes");
}

static int print(void *arg, const struct linkfs_pruned *pruned)
{
	const struct linkfs_snapshot *s = pruned->snapshot;
	struct prune *p = arg;
	char time[96];
	size_t width = 0;
	if (p->as_json) {
		print_json(p, pruned);
	} else if (!p->quiet) {
		char *name = cli_quote(s->name, s->name_len, CLI_QUOTE_SHELL, &width);
		if (!name) {
			cli_fail(p->cli, NULL, LINKFS_ENOMEM);
			return 1;
		}
		cli_time_format(p->cli, time, sizeof(time), "%Y-%m-%d %H:%M:%S %z", s->time_ns);
		fprintf(p->cli->out, "%s  %s%*s  ", time, name, p->column > (int)width ? p->column - (int)width : 0,
			"");
		print_rules(p, pruned);
		free(name);
	}
	return cli_cancelled(p->cli);
}

static void print_total(struct prune *p, const struct linkfs_prune_done *done)
{
	char size[32];
	cli_human_size(done->bytes, 1024, size);
	if (p->as_json) {
		cli_json_bool(&p->json, "dry_run", p->dry_run);
		cli_json_number(&p->json, "stay", done->kept);
		cli_json_number(&p->json, "go", done->goes);
		if (!p->dry_run)
			cli_json_number(&p->json, "gone", done->gone);
		cli_json_number(&p->json, p->dry_run ? "would_free" : "freed", done->bytes);
	} else if (p->quiet) {
		return;
	} else if (p->dry_run) {
		fprintf(p->cli->out, "%llu stay, %llu would go and give %s back\n", (unsigned long long)done->kept,
			(unsigned long long)done->goes, size);
	} else {
		fprintf(p->cli->out, "%llu stay, %llu gone, %s given back\n", (unsigned long long)done->kept,
			(unsigned long long)done->gone, size);
	}
}

static void tell_error(struct prune *p, int error, const struct linkfs_prune_done *done,
		       const struct linkfs_message *why)
{
	const char *hint = done->goes && !done->kept ? " (--all-may-go allows it)" : "";
	unsigned long long left = done->goes - done->gone;
	if (error == LINKFS_EINTR && !cli_cancelled(p->cli))
		return; /* told already */
	if (error == LINKFS_EINTR && done->gone)
		cli_note(p->cli,
			 "interrupted: of %llu snapshots that were to go %llu are gone, %llu are still there; what is "
			 "not "
			 "given back yet comes back while the volume is in use",
			 (unsigned long long)done->goes, (unsigned long long)done->gone, left);
	else if (error == LINKFS_EINTR)
		cli_note(p->cli, "interrupted: no snapshot was deleted");
	else if (error == LINKFS_EPERM)
		cli_failf(p->cli, p->path->text, "snapshots are for root and for the owner of the root directory");
	else if (why->text[0])
		cli_failf(p->cli, p->path->text, "%s%s", why->text, hint);
	else if (done->gone)
		cli_failf(p->cli, p->path->text, "%s; of %llu snapshots that were to go %llu are still there",
			  linkfs_strerror(error), (unsigned long long)done->goes, left);
	else
		cli_fail(p->cli, p->path->text, error);
}

/* ---- the command --------------------------------------------------------------------------------------------------- */

static int go_on(void *arg, const struct linkfs_snapshot_progress *progress)
{
	const struct prune *p = arg;
	(void)progress;
	return cli_cancelled(p->cli);
}

static void act(struct prune *p)
{
	struct linkfs_message why = {""};
	struct linkfs_prune_done done = {0};
	int error = p->as_json || p->quiet ? 0 : linkfs_snapshot_list(p->volume, measure, p);
	if (p->as_json) {
		cli_json_open(&p->json, NULL, '{');
		cli_json_open(&p->json, "snapshots", '[');
	}
	if (!error)
		error = linkfs_prune(p->volume, &p->cli->cred, &p->options, &done, &why);
	/* What was said to be gone is. */
	int synced = done.gone ? linkfs_volume_sync(p->volume) : 0;
	if (p->as_json)
		cli_json_close(&p->json, ']');
	if (!error || p->as_json)
		print_total(p, &done);
	if (p->as_json)
		cli_json_close(&p->json, '}');
	if (error)
		tell_error(p, error, &done, &why);
	if (synced)
		cli_failf(p->cli, p->path->text, "what was deleted may be there again after a crash: %s",
			  linkfs_strerror(synced));
}

/* The rule of an option. NULL: it has none. */
static const char *rule_of(int id)
{
	for (const struct cli_option *o = cli_cmd_prune.options; o->id; o++) {
		if (o->id == id)
			return strncmp(o->name, KEEP, strlen(KEEP)) == 0 ? o->name + strlen(KEEP) : NULL;
	}
	return NULL;
}

static int take_option(struct prune *p, struct linkfs_prune_rules *rules, const struct cli_parsed *option,
		       bool *any_rule)
{
	struct linkfs_message why = {""};
	const char *rule = rule_of(option->id);
	int error = 0;
	if (rule) {
		*any_rule = true;
		error = linkfs_prune_rules_add(rules, rule, option->arg, &why);
	}
	p->dry_run |= option->id == OPT_DRY_RUN;
	p->quiet |= option->id == OPT_QUIET;
	p->as_json |= option->id == OPT_JSON;
	if (option->id == OPT_ALL)
		p->options.flags |= LINKFS_PRUNE_ALL;
	if (option->id == OPT_TAG) {
		if (*option->arg && linkfs_snapshot_tags_check(option->arg))
			return cli_usage(p->cli, "'%s' is no list of tags", option->arg);
		p->tags[p->options.tag_count++] = option->arg;
	}
	if (error == LINKFS_EINVAL)
		return cli_usage(p->cli, KEEP "%s", why.text);
	if (error)
		cli_fail(p->cli, NULL, error);
	return p->cli->status;
}

static int run_with(struct prune *p, struct linkfs_prune_rules *rules, const struct cli_args *args)
{
	struct cli *cli = p->cli;
	bool any_rule = false;
	for (size_t i = 0; i < args->noptions; i++) {
		if (take_option(p, rules, &args->options[i], &any_rule))
			return cli->status;
	}
	if (!any_rule && !(p->options.tag_count && p->options.flags & LINKFS_PRUNE_ALL))
		return cli_usage(cli, "there is no rule for what is to stay, such as --keep-last 3");
	p->options.rules = rules;
	p->options.tags = p->tags;
	p->options.zone = cli_zone;
	p->options.zone_arg = cli;
	p->options.flags |= p->dry_run ? LINKFS_PRUNE_DRY_RUN : 0;
	p->options.tell = print;
	p->options.progress = go_on;
	p->options.tell_arg = p->options.progress_arg = p;
	cli->writes = !p->dry_run;
	if (cli_path_volume(cli, p->path, &p->volume) == 0)
		act(p);
	return cli->status;
}

static int run(struct cli *cli, const struct cli_args *args)
{
	struct prune p = {.cli = cli, .json = {.out = cli->out}, .path = &args->operands[0]};
	struct linkfs_prune_rules *rules = NULL;
	p.tags = cli_alloc((args->noptions + 1) * sizeof(*p.tags));
	if (!p.tags || linkfs_prune_rules_new(&rules))
		cli_fail(cli, NULL, LINKFS_ENOMEM);
	else
		(void)run_with(&p, rules, args);
	linkfs_prune_rules_free(rules);
	free(p.tags);
	return cli->status;
}

static const struct cli_option options[] = {
	{'l', KEEP "last", "N", "Keep the last N snapshots; here and below 'unlimited' is all", 0},
	{'H', KEEP "hourly", "N", "Keep the newest of each of the last N hours that have snapshots", 0},
	{'d', KEEP "daily", "N", "The same of days", 0},
	{'w', KEEP "weekly", "N", "The same of weeks, which begin on Mondays", 0},
	{'m', KEEP "monthly", "N", "The same of months", 0},
	{'y', KEEP "yearly", "N", "The same of years", 0},
	{OPT_KEEP_WITHIN, KEEP "within", "TIME",
	 "Keep all that are younger than TIME, as 1y5m7d2h: years, months, days and hours before the newest", 0},
	{OPT_KEEP_WITHIN_HOURLY, KEEP "within-hourly", "TIME", "Of those keep the newest of each hour", 0},
	{OPT_KEEP_WITHIN_DAILY, KEEP "within-daily", "TIME", "The same of days", 0},
	{OPT_KEEP_WITHIN_WEEKLY, KEEP "within-weekly", "TIME", "The same of weeks", 0},
	{OPT_KEEP_WITHIN_MONTHLY, KEEP "within-monthly", "TIME", "The same of months", 0},
	{OPT_KEEP_WITHIN_YEARLY, KEEP "within-yearly", "TIME", "The same of years", 0},
	{OPT_KEEP_TAG, KEEP "tag", "TAGS",
	 "Keep all that have these tags, with commas between; those without tags if empty; may be given again", 0},
	{OPT_TAG, "tag", "TAGS",
	 "Look only at snapshots that have these tags; without tags if empty; may be given again for others", 0},
	{OPT_DRY_RUN, "dry-run", NULL, "Show what stays and what goes, and delete nothing", 0},
	{OPT_ALL, "all-may-go", NULL, "Also when none stays; with --tag also without a rule", 0},
	{OPT_QUIET, "quiet", NULL, "Tell nothing but errors", 0},
	{OPT_JSON, "json", NULL, "Write JSON: an object with an array of snapshots, and what was done", 0},
	CLI_OPTIONS_END,
};

static const char *const usage[] = {"--keep-RULE VALUE... [OPTION]... VOLUME", NULL};

const struct cli_command cli_cmd_prune = {
	.name = "prune",
	.summary = "Delete snapshots that no rule keeps",
	.usage = usage,
	.options = options,
	.run = run,
	.takes = CLI_TAKES_VOLUME,
	.min = 1,
	.max = 1,
	.flags = CLI_READS,
};
