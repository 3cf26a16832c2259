/*
 * cmd_compress.c - linkfs compress: whether a file's content is compressed, what that makes of it, and compressing what is there (row E10).
 */
#include "table.h"

#include <string.h>
#include <sys/stat.h>

enum { OPT_RECURSIVE = 'R', OPT_VERBOSE = 'v', OPT_LEVEL = 'l', OPT_JSON = 256 };

#define BOTH (LINKFS_INO_COMPRESS | LINKFS_INO_NO_COMPRESS)

static const struct word {
	const char *text;
	uint32_t flags;
} words[] = {{"on", LINKFS_INO_COMPRESS}, {"off", LINKFS_INO_NO_COMPRESS}, {"inherit", 0}};

struct compress {
	struct cli *cli;
	struct linkfs_volume *volume;
	struct cli_json json;
	const struct word *set; /* NULL: show or now */
	bool now, recursive, verbose, as_json;
	uint32_t level;
	uint64_t files, size, stored, saved; /* of what was met */
};

static const char *setting(const struct linkfs_stat *st)
{
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		if ((st->flags & BOTH) == words[i].flags)
			return words[i].text;
	}
	return "?";
}

/* "12M in 4.1M (34 %)" */
static void ratio(uint64_t size, uint64_t stored, char *buf, size_t room)
{
	char plain[32], disk[32];
	cli_human_size(size, 1024, plain);
	cli_human_size(stored, 1024, disk);
	snprintf(buf, room, "%s in %s (%u %%)", plain, disk,
		 size ? (unsigned)((stored * 100 + size / 2) / size) : 100u);
}

static void print(struct compress *c, const char *display, const struct linkfs_stat *st, bool changed, uint64_t saved)
{
	uint64_t stored = st->blocks * 512;
	bool file = S_ISREG(st->mode);
	char text[96];
	ratio(st->size, stored, text, sizeof(text));
	if (c->as_json) {
		cli_json_open(&c->json, NULL, '{');
		cli_json_string(&c->json, "path", display);
		cli_json_number(&c->json, "ino", st->ino);
		cli_json_string(&c->json, "type", file ? "file" : "directory");
		cli_json_string(&c->json, "compress", setting(st));
		cli_json_bool(&c->json, "changed", changed);
		if (file) {
			cli_json_number(&c->json, "size", st->size);
			cli_json_number(&c->json, "stored", stored);
		}
		if (file && c->now)
			cli_json_number(&c->json, "saved", saved);
		cli_json_close(&c->json, '}');
	} else if (!c->set && !c->now) {
		fprintf(c->cli->out, "%s: %s", display, setting(st));
		if (file)
			fprintf(c->cli->out, ", %s", text);
		fputc('\n', c->cli->out);
	} else if (c->verbose && c->now && saved) {
		fprintf(c->cli->out, "'%s': %s\n", display, text);
	} else if (c->verbose && changed) {
		fprintf(c->cli->out, "'%s': %s now\n", display, setting(st));
	}
}

static int rewrite(struct compress *c, uint64_t ino, uint64_t *saved)
{
	uint64_t offset = 0;
	int error = 0;
	while (error == 0 && offset != UINT64_MAX)
		error = cli_cancelled(c->cli)
				? LINKFS_EINTR
				: linkfs_node_compress(c->volume, &c->cli->cred, ino, c->level, &offset, saved);
	return error;
}

static void tell_error(struct compress *c, const char *display, int error)
{
	if (error == LINKFS_EPERM)
		cli_failf(c->cli, display, "only its owner may say whether and when it is compressed");
	else if (error == LINKFS_EINVAL)
		cli_failf(c->cli, display, "is neither a regular file nor a directory; there is nothing to compress");
	else if (error != LINKFS_EINTR)
		cli_failf(c->cli, display, "%s", linkfs_strerror(cli_gone(error)));
}

static int visit(void *arg, const struct cli_visit *visit)
{
	struct compress *c = arg;
	const struct linkfs_stat *st = visit->st;
	struct linkfs_stat after = *st;
	bool file = S_ISREG(st->mode);
	uint64_t saved = 0;
	int error = 0;
	/* Met on the way: not asked for. */
	if (visit->depth && !file && !S_ISDIR(st->mode))
		return 0;
	if (!file && !S_ISDIR(st->mode))
		error = LINKFS_EINVAL;
	else if (c->set)
		error = linkfs_node_set_flags(c->volume, &c->cli->cred, st->ino, c->set->flags, BOTH, &after);
	else if (c->now && file)
		error = rewrite(c, st->ino, &saved);
	if (error == 0 && c->now && file)
		error = linkfs_node_getattr(c->volume, st->ino, &after);
	if (error) {
		tell_error(c, visit->display, error);
		return 0;
	}
	c->files += file;
	c->size += file ? after.size : 0;
	c->stored += file ? after.blocks * 512 : 0;
	c->saved += saved;
	print(c, visit->display, &after, after.flags != st->flags || saved, saved);
	return 0;
}

static void sum_up(struct compress *c)
{
	char text[96], saved[32];
	ratio(c->size, c->stored, text, sizeof(text));
	cli_human_size(c->saved, 1024, saved);
	if (c->now)
		fprintf(c->cli->out, "%s saved; %llu file%s, %s\n", saved, (unsigned long long)c->files,
			c->files == 1 ? "" : "s", text);
	else if (!c->set && c->files > 1)
		fprintf(c->cli->out, "%llu files, %s\n", (unsigned long long)c->files, text);
}

static int run(struct cli *cli, const struct cli_args *args)
{
	struct compress c = {.cli = cli, .json = {.out = cli->out}};
	const char *word = args->operands[0].text;
	uint64_t level = 0;
	for (size_t i = 0; i < args->noptions; i++) {
		c.recursive |= args->options[i].id == OPT_RECURSIVE;
		c.verbose |= args->options[i].id == OPT_VERBOSE;
		c.as_json |= args->options[i].id == OPT_JSON;
		if (args->options[i].id == OPT_LEVEL &&
		    (cli_parse_u64(args->options[i].arg, LINKFS_COMPRESSION_LEVEL_MAX, &level) != 0 || level == 0))
			return cli_usage(cli, "'%s' is no level from 1 to %u", args->options[i].arg,
					 LINKFS_COMPRESSION_LEVEL_MAX);
	}
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		if (strcmp(word, words[i].text) == 0)
			c.set = &words[i];
	}
	c.now = strcmp(word, "now") == 0;
	if (!c.set && !c.now && strcmp(word, "show") != 0)
		return cli_usage(cli, "'%s' is none of on, off, inherit, show and now", word);
	if (level && !c.now)
		return cli_usage(
			cli,
			"a level is for 'now'; the volume's is set with 'linkfs set VOLUME compression=zstd:LEVEL'");
	c.level = level || !c.now ? (uint32_t)level : LINKFS_COMPRESSION_LEVEL_DEFAULT;
	if (c.as_json)
		cli_json_open(&c.json, NULL, '[');
	for (size_t i = 1; i < args->noperands && !cli_cancelled(cli); i++)
		cli_visit_path(cli, &args->operands[i], c.recursive, &c.volume, visit, &c);
	if (c.as_json)
		cli_json_close(&c.json, ']');
	else
		sum_up(&c);
	return cli->status;
}

static size_t texts(const struct cli_args *args)
{
	return args->noperands ? 1 : 0;
}

static const struct cli_option options[] = {
	{OPT_RECURSIVE, "recursive", NULL,
	 "Directories with all that is in them; symlinks met on the way are left alone", 0},
	{OPT_LEVEL, "level", "N", "With now: 1 (fast) to 19 (small); 3 by default", 0},
	{OPT_VERBOSE, "verbose", NULL, "Tell what was changed", 0},
	{OPT_JSON, "json", NULL, "Write JSON", 0},
	CLI_OPTIONS_END,
};

static const char *const usage[] = {"[OPTION]... on|off|inherit|show|now PATH...", NULL};

const struct cli_command cli_cmd_compress = {
	.name = "compress",
	.summary = "Say whether content is compressed, or compress what is there",
	.usage = usage,
	.options = options,
	.run = run,
	.texts = texts,
	.min = 2,
};
