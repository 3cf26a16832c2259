/*
 * cmd_explain.c - linkfs explain: how a path is walked, component by component.
 */
#include "links.h"
#include "table.h"
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum { OPT_NO_FOLLOW = 'P', OPT_JSON = 256, OPT_AS };

struct asking {
	struct cli *cli;
	struct cli_ids *ids;
	struct cli_asked asked;
	struct linkfs_cred cred; /* who walks */
	char *here;              /* the directory the walk stands in; "" above the root or where it may not be known */
	const char *mounted_at;
	bool no_follow, json;
	struct cli_json out;
};

static const char *const kinds[] = {"start", "search", "entry", "dot", "up", "expand", "root", "host", "end"};
static const char *const deciders[] = {"root", "owner", "acl", "group", "other"};

static void show_search(struct asking *a, const struct linkfs_step *s)
{
	static const char *const by[] = {"root's right", "the owner's bits", "the ACL", "the group's bits",
					 "the bits for others"};
	char mode[11];
	cli_mode_text(s->stat.mode, mode);
	fputs("  search ", a->cli->out);
	cli_show_bytes(a->cli, a->here, strlen(a->here));
	fprintf(a->cli->out, ": %s, by %s (%s %s %s)\n",
		s->error == 0                ? "yes"
		: s->error == LINKFS_ENOTDIR ? "not a directory"
					     : "NO",
		by[s->decided], mode, cli_ids_user(a->ids, s->stat.uid), cli_ids_group(a->ids, s->stat.gid));
}

static void show_name(struct asking *a, const struct linkfs_step *s)
{
	fputs("  ", a->cli->out);
	cli_show_bytes(a->cli, s->name ? s->name : "", s->name_len);
}

static void show_step(struct asking *a, const struct linkfs_step *s)
{
	FILE *out = a->cli->out;
	switch (s->kind) {
	case LINKFS_STEP_START:
		fputs("start in ", out);
		cli_show_bytes(a->cli, a->here, strlen(a->here));
		fputc('\n', out);
		break;
	case LINKFS_STEP_SEARCH:
		show_search(a, s);
		break;
	case LINKFS_STEP_ENTRY:
		show_name(a, s);
		if (s->error)
			fprintf(out, ": %s\n", linkfs_strerror(s->error));
		else
			fprintf(out, ": %s, inode %" PRIu64 "%s", cli_type_word(s->stat.mode), s->stat.ino,
				s->covered ? "" : "\n");
		if (!s->error && s->covered)
			fprintf(out, ": a bind is crossed, which covers inode %" PRIu64 "\n", s->covered);
		break;
	case LINKFS_STEP_DOT:
		fputs("  .: stays\n", out);
		break;
	case LINKFS_STEP_UP:
		fputs("  ..: ", out);
		if (s->error)
			fputs(linkfs_strerror(s->error), out);
		else
			cli_show_bytes(a->cli, a->here, strlen(a->here));
		fputc('\n', out);
		break;
	case LINKFS_STEP_EXPAND:
		show_name(a, s);
		if (s->error) {
			fprintf(out, ": %s: more than %u symlinks in one walk\n", linkfs_strerror(s->error),
				LINKFS_SYMLOOP_MAX);
			break;
		}
		fputs(" -> ", out);
		cli_show_bytes(a->cli, s->text, s->text_len);
		fprintf(out, ": the walk goes on with this text (symlink %u of %u)\n", s->expansions,
			LINKFS_SYMLOOP_MAX);
		break;
	case LINKFS_STEP_ROOT:
		if (s->above)
			fprintf(out, "  /: starts again at the host's root, %u above the volume's\n", s->above);
		else
			fputs("  /: starts again at the volume's root\n", out);
		break;
	case LINKFS_STEP_HOST:
		show_name(a, s);
		if (s->error)
			fputs(": leads out of the volume\n", out);
		else if (s->above)
			fprintf(out, ": %u above the volume's root, in the host\n", s->above);
		else
			fputs(": the volume's root\n", out);
		break;
	case LINKFS_STEP_END:
		if (s->error)
			fprintf(out, "end: %s (%s)\n",
				s->error == LINKFS_EXDEV ? "leaves the volume" : linkfs_strerror(s->error),
				linkfs_error_name(s->error) + strlen("LINKFS_"));
		else
			fprintf(out, "end: %s, inode %" PRIu64 "\n", cli_type_word(s->stat.mode), s->stat.ino);
		break;
	}
}

static void show_json(struct asking *a, const struct linkfs_step *s)
{
	struct cli_json *json = &a->out;
	cli_json_open(json, NULL, '{');
	cli_json_string(json, "step", kinds[s->kind]);
	if (s->name)
		cli_json_bytes(json, "name", s->name, s->name_len);
	if (s->error)
		cli_json_string(json, "error", linkfs_error_name(s->error) + strlen("LINKFS_"));
	if (s->kind == LINKFS_STEP_SEARCH)
		cli_json_string(json, "decided", deciders[s->decided]);
	if (s->kind == LINKFS_STEP_EXPAND) {
		cli_json_number(json, "expansions", s->expansions);
		if (s->text)
			cli_json_bytes(json, "target", s->text, s->text_len);
	}
	if (s->kind == LINKFS_STEP_HOST || s->kind == LINKFS_STEP_ROOT)
		cli_json_number(json, "above", s->above);
	if (s->path && *s->path)
		cli_json_string(json, "dir", s->path);
	if (s->stat.ino) {
		cli_json_number(json, "ino", s->stat.ino);
		cli_json_string(json, "type", cli_type_word(s->stat.mode));
	}
	if (s->covered)
		cli_json_number(json, "bind_covers", s->covered);
	cli_json_close(json, '}');
}

static int on_step(void *arg, const struct linkfs_step *s)
{
	struct asking *a = arg;
	if (s->path || s->kind == LINKFS_STEP_ROOT) {
		char *copy = cli_strdup(s->path ? s->path : "");
		if (!copy)
			return LINKFS_ENOMEM;
		free(a->here);
		a->here = copy;
	}
	if (a->json)
		show_json(a, s);
	else
		show_step(a, s);
	return cli_cancelled(a->cli);
}

/* What comes after the mount point in an operand that was given as a path in the mount, so that all of it is walked; NULL when the
 * text does not go through the mount point as it is written. */
static const char *after_mount(const char *text, const char *point)
{
	for (;;) {
		text += strspn(text, "/");
		point += strspn(point, "/");
		if (!*point)
			return text;
		size_t len = strcspn(text, "/"), want = strcspn(point, "/");
		if (len == 1 && *text == '.') {
			text++;
			continue;
		}
		if (len != want || memcmp(text, point, len) != 0)
			return NULL;
		text += len;
		point += want;
	}
}

static void ask(struct asking *a, const struct cli_path *path)
{
	if (cli_asked_begin(a->cli, path, a->mounted_at, &a->asked) != 0)
		return;
	char *full = NULL;
	const char *walked = path->path, *host = path->host;
	uint64_t at = path->at;
	if (path->in_mount && host && a->asked.mount_point) {
		full = host[0] == '/' ? cli_strdup(host) : cli_join(a->cli->cwd, host);
		const char *rest = full ? after_mount(full, a->asked.mount_point) : NULL;
		if (rest) {
			walked = *rest ? rest : "/";
			at = LINKFS_ROOT_INO;
		}
	}
	/* Through .snapshots as the kernel walks. */
	if (path->in_mount)
		a->asked.options.flags = LINKFS_LINKS_MOUNT;
	if (a->json) {
		cli_json_open(&a->out, NULL, '{');
		cli_json_string(&a->out, "operand", path->text);
		cli_json_string(&a->out, "volume", path->volume);
		cli_json_open(&a->out, "steps", '[');
	}
	int error = linkfs_path_explain(a->asked.volume, &a->cred, at, walked, a->no_follow ? LINKFS_NOFOLLOW : 0,
					&a->asked.options, on_step, a);
	if (a->json) {
		cli_json_close(&a->out, ']');
		cli_json_close(&a->out, '}');
	}
	if (error == LINKFS_EINVAL && a->mounted_at)
		cli_failf(a->cli, a->mounted_at, "must be an absolute path without '.' and '..'");
	else if (error)
		cli_fail(a->cli, path->text, cli_gone(error));
	free(full);
	free(a->here);
	a->here = NULL;
	cli_asked_done(&a->asked);
}

static int run(struct cli *cli, const struct cli_args *args)
{
	struct asking a = {.cli = cli, .cred = cli->cred, .ids = cli_ids_new(), .out = {.out = cli->out}};
	uint32_t *groups = NULL;
	const char *as = NULL;
	for (size_t i = 0; i < args->noptions; i++) {
		if (args->options[i].id == OPT_NO_FOLLOW)
			a.no_follow = true;
		else if (args->options[i].id == CLI_OPT_MOUNTED_AT)
			a.mounted_at = args->options[i].arg;
		else if (args->options[i].id == OPT_AS)
			as = args->options[i].arg;
		else
			a.json = true;
	}
	int error = as ? cli_parse_as(as, &a.cred, &groups) : 0;
	if (error == LINKFS_ENOENT)
		cli_failf(cli, as, "is no user that this host knows: say which group, as in --as %s:GROUP", as);
	else if (error == LINKFS_ENOMEM)
		cli_fail(cli, as, error);
	else if (error)
		cli_failf(cli, as, "is no user; --as takes USER or USER:GROUP, names or numbers");
	if (error) {
		free(groups);
		cli_ids_free(a.ids);
		return cli->status;
	}
	if (a.json)
		cli_json_open(&a.out, NULL, '[');
	for (size_t i = 0; i < args->noperands; i++)
		ask(&a, &args->operands[i]);
	if (a.json)
		cli_json_close(&a.out, ']');
	free(groups);
	cli_ids_free(a.ids);
	return cli->status;
}

static const struct cli_option options[] = {
	{OPT_NO_FOLLOW, "no-dereference", NULL, "Do not follow a symlink that is the last component", 0},
	CLI_OPTION_MOUNTED_AT,
	{OPT_AS, "as", "USER[:GROUP]", "Walk with the rights of this user instead of yours", 0},
	{OPT_JSON, "json", NULL, "Write JSON", 0},
	CLI_OPTIONS_END,
};

static const char *const usage[] = {"[OPTION]... PATH...", NULL};

const struct cli_command cli_cmd_explain = {
	.name = "explain",
	.summary = "Show how a path is walked, step by step",
	.usage = usage,
	.options = options,
	.run = run,
	.min = 1,
	.flags = CLI_READS,
};
