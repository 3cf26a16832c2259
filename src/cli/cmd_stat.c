/*
 * cmd_stat.c - linkfs stat: attributes of files, in stat(1)'s layout or a format of the caller's.
 */
#include "table.h"
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

enum { OPT_FOLLOW = 'L', OPT_FORMAT = 'c', OPT_TERSE = 't', OPT_PRINTF = 256, OPT_JSON };

#define TIME_FORMAT "%Y-%m-%d %H:%M:%S.%N %z"

struct stat_how {
	struct cli *cli;
	struct cli_ids *ids;
	const struct cli_path *path;
	struct linkfs_volume *volume;
	struct linkfs_stat st;
	char *name; /* %N */
};

static int read_target(const struct stat_how *how, char **target_out, size_t *len_out)
{
	return cli_readlink_at(how->cli, how->volume, how->path->at, how->path->path, target_out, len_out);
}

/* 'NAME', and for symlinks 'NAME' -> 'TARGET', in the shell's quoting. */
static char *quoted_name(const struct stat_how *how, enum cli_quoting style)
{
	char *target = NULL, *shown_target = NULL, *both = NULL;
	size_t len = 0;
	char *shown = cli_quote(how->path->text, strlen(how->path->text), style, NULL);
	if (!S_ISLNK(how->st.mode) || read_target(how, &target, &len) != 0)
		return shown;
	shown_target = cli_quote(target, len, style, NULL);
	if (shown && shown_target)
		both = cli_format("%s -> %s", shown, shown_target);
	free(shown);
	free(shown_target);
	free(target);
	return both;
}

static void put_number(FILE *out, const char *flags, uint64_t value, const char *type)
{
	char digits[32];
	/* Flags and width came from the user, checked by parse_directive: [#0 +-']*[0-9]* */
	bool left = strchr(flags, '-') != NULL, zero = flags[strspn(flags, "-+ '#")] == '0';
	int width = (int)strtol(flags + strspn(flags, "-+ '#0"), NULL, 10);
	if (type[0] == 'o')
		snprintf(digits, sizeof(digits), strchr(flags, '#') && value ? "0%" PRIo64 : "%" PRIo64, value);
	else if (type[0] == 'x')
		snprintf(digits, sizeof(digits), "%" PRIx64, value);
	else
		snprintf(digits, sizeof(digits), "%" PRIu64, value);
	if (left)
		fprintf(out, "%-*s", width, digits);
	else
		for (int pad = width - (int)strlen(digits); pad > 0; pad--)
			fputc(zero ? '0' : ' ', out);
	if (!left)
		fputs(digits, out);
}

static void put_string(FILE *out, const char *flags, const char *value)
{
	int width = (int)strtol(flags + strspn(flags, "-+ '#0"), NULL, 10);
	fprintf(out, "%*s", strchr(flags, '-') ? -width : width, value);
}

static void put_time(const struct stat_how *how, const char *flags, int64_t ns, bool seconds)
{
	char text[96];
	if (!seconds) {
		cli_time_format(how->cli, text, sizeof(text), TIME_FORMAT, ns);
	} else {
		int64_t sec = ns / 1000000000 - (ns % 1000000000 < 0);
		snprintf(text, sizeof(text), "%" PRId64, sec);
	}
	put_string(how->cli->out, flags, text);
}

/* As stat(1) says it where there is no name but the number. */
static const char *known(const char *name)
{
	return name[strspn(name, "0123456789")] == '\0' ? "UNKNOWN" : name;
}

static bool put_time_directive(const struct stat_how *how, const char *flags, char letter)
{
	const struct linkfs_stat *st = &how->st;
	switch (letter) {
	case 'w':
	case 'W':
		put_time(how, flags, st->btime_ns, letter == 'W');
		return true;
	case 'x':
	case 'X':
		put_time(how, flags, st->atime_ns, letter == 'X');
		return true;
	case 'y':
	case 'Y':
		put_time(how, flags, st->mtime_ns, letter == 'Y');
		return true;
	case 'z':
	case 'Z':
		put_time(how, flags, st->ctime_ns, letter == 'Z');
		return true;
	default:
		return false;
	}
}

static void put_directive(const struct stat_how *how, const char *flags, char letter)
{
	const struct linkfs_stat *st = &how->st;
	FILE *out = how->cli->out;
	char mode[11];
	switch (letter) {
	case 'a':
		put_number(out, flags, st->mode & 07777u, "o");
		break;
	case 'A':
		cli_mode_text(st->mode, mode);
		put_string(out, flags, mode);
		break;
	case 'b':
		put_number(out, flags, st->blocks, "u");
		break;
	case 'B':
		put_number(out, flags, 512, "u");
		break;
	case 'd':
	case 'D': /* a volume is no device */
	case 'H':
	case 'L':
		put_number(out, flags, 0, "u");
		break;
	case 'f':
		put_number(out, flags, st->mode, "x");
		break;
	case 'F':
		put_string(out, flags,
			   st->flags & LINKFS_INO_TRACKED ? "tracked symbolic link"
							  : cli_type_text(st->mode, st->size));
		break;
	case 'g':
		put_number(out, flags, st->gid, "u");
		break;
	case 'G':
		put_string(out, flags, known(cli_ids_group(how->ids, st->gid)));
		break;
	case 'h':
		put_number(out, flags, st->nlink, "u");
		break;
	case 'i':
		put_number(out, flags, st->ino, "u");
		break;
	case 'n':
		put_string(out, flags, how->path->text);
		break;
	case 'N':
		put_string(out, flags, how->name ? how->name : how->path->text);
		break;
	case 'o':
		put_number(out, flags, st->blksize, "u");
		break;
	case 'r':
		put_number(out, flags, makedev(st->rdev_major, st->rdev_minor), "u");
		break;
	case 's':
		put_number(out, flags, st->size, "u");
		break;
	case 't':
		put_number(out, flags, st->rdev_major, "x");
		break;
	case 'T':
		put_number(out, flags, st->rdev_minor, "x");
		break;
	case 'u':
		put_number(out, flags, st->uid, "u");
		break;
	case 'U':
		put_string(out, flags, known(cli_ids_user(how->ids, st->uid)));
		break;
	case '%':
		fputc('%', out);
		break;
	default:
		if (!put_time_directive(how, flags, letter))
			fputc('?', out);
		break;
	}
}

static const char *put_escape(FILE *out, const char *p)
{
	static const char letters[] = "abefnrtv\\\"", values[] = "\a\b\033\f\n\r\t\v\\\"";
	const char *found = *p ? strchr(letters, *p) : NULL;
	if (found) {
		fputc(values[found - letters], out);
		return p + 1;
	}
	if (*p >= '0' && *p <= '7') {
		unsigned value = 0;
		for (int i = 0; i < 3 && *p >= '0' && *p <= '7'; i++)
			value = value * 8 + (unsigned)(*p++ - '0');
		fputc((int)(value & 0xff), out);
		return p;
	}
	fputc('\\', out);
	return p;
}

static void put_format(const struct stat_how *how, const char *format, bool escapes)
{
	FILE *out = how->cli->out;
	for (const char *p = format; *p;) {
		if (*p == '\\' && escapes) {
			p = put_escape(out, p + 1);
		} else if (*p == '%') {
			char flags[32] = "";
			size_t len = strspn(p + 1, "-+ '#0123456789");
			if (len < sizeof(flags))
				memcpy(flags, p + 1, len);
			p += 1 + len;
			if (!*p)
				return;
			/* A number that would pad without end is no width. */
			if (len < 6)
				put_directive(how, flags, *p);
			p++;
		} else {
			fputc(*p++, out);
		}
	}
}

static void put_default(const struct stat_how *how)
{
	const struct linkfs_stat *st = &how->st;
	bool device = S_ISCHR(st->mode) || S_ISBLK(st->mode);
	/* A terminal gets no control characters. */
	char *name = quoted_name(how, how->cli->out_tty ? CLI_QUOTE_HIDE : CLI_QUOTE_LITERAL);
	fprintf(how->cli->out, "  File: %s\n", name ? name : how->path->text);
	free(name);
	put_format(how, "  Size: %-10s\tBlocks: %-10b IO Block: %-6o %F\nDevice: %d,%d\tInode: %-10i  ", false);
	put_format(how, device ? "Links: %-5h Device type: " : "Links: %h\n", false);
	if (device)
		fprintf(how->cli->out, "%u,%u\n", st->rdev_major, st->rdev_minor);
	put_format(how, "Access: (%04a/%10A)  Uid: (%5u/%8U)   Gid: (%5g/%8G)\n", false);
	put_format(how, "Access: %x\nModify: %y\nChange: %z\n Birth: %w\n", false);
}

static void put_json(const struct stat_how *how, struct cli_json *json)
{
	char *target;
	size_t len;
	cli_json_open(json, NULL, '{');
	cli_json_string(json, "path", how->path->text);
	cli_json_stat(json, how->ids, &how->st);
	if (S_ISLNK(how->st.mode) && read_target(how, &target, &len) == 0) {
		cli_json_bytes(json, "target", target, len);
		free(target);
	}
	cli_json_close(json, '}');
}

struct options {
	const char *format;
	bool follow, escapes, terse, json;
};

static void stat_one(struct stat_how *how, const struct options *o, struct cli_json *json)
{
	struct cli *cli = how->cli;
	if (cli_path_volume(cli, how->path, &how->volume) != 0)
		return;
	int error = cli_path_stat(cli, how->path, o->follow, &how->st);
	if (error) {
		cli_failf(cli, how->path->text, "cannot stat: %s", linkfs_strerror(error));
		return;
	}
	how->name = quoted_name(how, CLI_QUOTE_ALWAYS);
	if (o->json) {
		put_json(how, json);
	} else if (o->terse) {
		put_format(how, "%n %s %b %f %u %g %D %i %h %t %T %X %Y %Z %W %o", false);
		fputc('\n', cli->out);
	} else if (o->format) {
		put_format(how, o->format, o->escapes);
		if (!o->escapes)
			fputc('\n', cli->out);
	} else {
		put_default(how);
	}
	free(how->name);
	how->name = NULL;
}

static int run(struct cli *cli, const struct cli_args *args)
{
	struct stat_how how = {.cli = cli, .ids = cli_ids_new()};
	struct cli_json json = {.out = cli->out};
	struct options o = {0};
	for (size_t i = 0; i < args->noptions; i++) {
		const struct cli_parsed *option = &args->options[i];
		if (option->id == OPT_FOLLOW)
			o.follow = true;
		else if (option->id == OPT_TERSE)
			o.terse = true;
		else if (option->id == OPT_JSON)
			o.json = true;
		else
			o.format = option->arg;
		if (option->id == OPT_PRINTF || option->id == OPT_FORMAT)
			o.escapes = option->id == OPT_PRINTF;
	}
	if (o.json)
		cli_json_open(&json, NULL, '[');
	for (size_t i = 0; i < args->noperands; i++) {
		how.path = &args->operands[i];
		stat_one(&how, &o, &json);
	}
	if (o.json)
		cli_json_close(&json, ']');
	cli_ids_free(how.ids);
	return cli->status;
}

static const struct cli_option options[] = {
	{OPT_FOLLOW, "dereference", NULL, "Follow symlinks", 0},
	{OPT_FORMAT, "format", "FORMAT", "This instead of the layout, and a newline; the directives are stat(1)'s", 0},
	{OPT_PRINTF, "printf", "FORMAT", "As --format with backslash escapes and no newline", 0},
	{OPT_TERSE, "terse", NULL, "All in one line", 0},
	{OPT_JSON, "json", NULL, "Write JSON", 0},
	CLI_OPTIONS_END,
};

static const char *const usage[] = {"[OPTION]... FILE...", NULL};

const struct cli_command cli_cmd_stat = {
	.name = "stat",
	.summary = "Show the attributes of files",
	.usage = usage,
	.options = options,
	.run = run,
	.min = 1,
	.flags = CLI_READS,
};
