/*
 * json.c - JSON for programs. Names and targets are bytes; those that are no valid UTF-8 are written byte by byte as the
 * lone surrogates U+DC80 to U+DCFF (Python's "surrogateescape"), which valid UTF-8 can never contain: so the bytes can
 * be had back without doubt (linkfs(1), section JSON).
 */
#include "cli.h"
#include <inttypes.h>
#include <string.h>

static void line(struct cli_json *json)
{
	if (json->lines)
		return;
	fputc('\n', json->out);
	for (unsigned i = 0; i < json->depth; i++)
		fputs("  ", json->out);
}

/* The length of the valid UTF-8 character at p (RFC 3629: no surrogates, no overlong forms), 0 when there is none. */
static size_t utf8_len(const unsigned char *p, size_t len)
{
	static const struct {
		unsigned char low, high, second_low, second_high, more;
	} rows[] = {
		{0xc2, 0xdf, 0x80, 0xbf, 1}, {0xe0, 0xe0, 0xa0, 0xbf, 2}, {0xe1, 0xec, 0x80, 0xbf, 2},
		{0xed, 0xed, 0x80, 0x9f, 2}, {0xee, 0xef, 0x80, 0xbf, 2}, {0xf0, 0xf0, 0x90, 0xbf, 3},
		{0xf1, 0xf3, 0x80, 0xbf, 3}, {0xf4, 0xf4, 0x80, 0x8f, 3},
	};
	if (p[0] < 0x80)
		return 1;
	for (size_t r = 0; r < CLI_ARRAY_LEN(rows); r++) {
		if (p[0] < rows[r].low || p[0] > rows[r].high)
			continue;
		if (len < rows[r].more + 1u || p[1] < rows[r].second_low || p[1] > rows[r].second_high)
			return 0;
		for (size_t i = 2; i <= rows[r].more; i++) {
			if (p[i] < 0x80 || p[i] > 0xbf)
				return 0;
		}
		return rows[r].more + 1u;
	}
	return 0;
}

static void put_text(FILE *out, const char *value, size_t len)
{
	const unsigned char *p = (const unsigned char *)value;
	fputc('"', out);
	for (size_t i = 0; i < len;) {
		size_t n = utf8_len(p + i, len - i);
		if (n == 0) {
			fprintf(out, "\\udc%02x", p[i]);
			n = 1;
		} else if (p[i] == '"' || p[i] == '\\') {
			fprintf(out, "\\%c", p[i]);
		} else if (p[i] < 0x20 || p[i] == 0x7f) {
			fprintf(out, "\\u%04x", p[i]);
		} else {
			fwrite(p + i, 1, n, out);
		}
		i += n;
	}
	fputc('"', out);
}

static void begin(struct cli_json *json, const char *key)
{
	if (json->comma)
		fputc(',', json->out);
	if (json->depth)
		line(json);
	json->comma = true;
	if (key) {
		put_text(json->out, key, strlen(key));
		fputs(": ", json->out);
	}
}

void cli_json_open(struct cli_json *json, const char *key, char bracket)
{
	begin(json, key);
	fputc(bracket, json->out);
	json->depth++;
	json->comma = false;
}

void cli_json_close(struct cli_json *json, char bracket)
{
	json->depth--;
	if (json->comma)
		line(json);
	fputc(bracket, json->out);
	json->comma = true;
	if (json->depth == 0)
		fputc('\n', json->out);
}

void cli_json_bytes(struct cli_json *json, const char *key, const char *value, size_t len)
{
	begin(json, key);
	put_text(json->out, value, len);
}

void cli_json_string(struct cli_json *json, const char *key, const char *value)
{
	cli_json_bytes(json, key, value, strlen(value));
}

void cli_json_tags(struct cli_json *json, const char *tags)
{
	cli_json_open(json, "tags", '[');
	while (*tags) {
		size_t len = strcspn(tags, ",");
		cli_json_bytes(json, NULL, tags, len);
		tags += len + (tags[len] == ',');
	}
	cli_json_close(json, ']');
}

void cli_json_number(struct cli_json *json, const char *key, uint64_t value)
{
	begin(json, key);
	fprintf(json->out, "%" PRIu64, value);
}

void cli_json_bool(struct cli_json *json, const char *key, bool value)
{
	begin(json, key);
	fputs(value ? "true" : "false", json->out);
}

void cli_json_null(struct cli_json *json, const char *key)
{
	begin(json, key);
	fputs("null", json->out);
}

void cli_json_time(struct cli_json *json, const char *key, int64_t ns)
{
	char text[96];
	cli_time_iso(ns, text);
	cli_json_string(json, key, text);
}

const char *cli_type_word(uint32_t mode)
{
	switch (cli_type_letter(mode)) {
	case 'd':
		return "directory";
	case 'l':
		return "symlink";
	case 'p':
		return "fifo";
	case 's':
		return "socket";
	case 'c':
		return "character";
	case 'b':
		return "block";
	default:
		return "file";
	}
}

void cli_json_stat(struct cli_json *json, struct cli_ids *ids, const struct linkfs_stat *st)
{
	char mode[8];
	cli_json_number(json, "ino", st->ino);
	cli_json_string(json, "type", cli_type_word(st->mode));
	snprintf(mode, sizeof(mode), "%04o", (unsigned)(st->mode & 07777u));
	cli_json_string(json, "mode", mode);
	cli_json_number(json, "nlink", st->nlink);
	cli_json_number(json, "uid", st->uid);
	cli_json_number(json, "gid", st->gid);
	cli_json_string(json, "user", cli_ids_user(ids, st->uid));
	cli_json_string(json, "group", cli_ids_group(ids, st->gid));
	cli_json_number(json, "size", st->size);
	cli_json_number(json, "blocks", st->blocks);
	if (cli_type_letter(st->mode) == 'c' || cli_type_letter(st->mode) == 'b') {
		cli_json_number(json, "rdev_major", st->rdev_major);
		cli_json_number(json, "rdev_minor", st->rdev_minor);
	}
	cli_json_time(json, "atime", st->atime_ns);
	cli_json_time(json, "mtime", st->mtime_ns);
	cli_json_time(json, "ctime", st->ctime_ns);
	cli_json_time(json, "btime", st->btime_ns);
}
