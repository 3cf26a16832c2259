/*
 * du_print.c - the lines of linkfs du, for people and as JSON.
 */
#include "du.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static void cell(const struct du_print *print, bool known, uint64_t bytes)
{
	char text[32] = "-";
	if (known && print->base)
		cli_human_size(bytes, print->base, text);
	else if (known)
		snprintf(text, sizeof(text), "%" PRIu64, bytes / print->unit + (bytes % print->unit != 0));
	fprintf(print->cli->out, "%11s ", text);
}

/* A file's path as linkfs takes it again. */
static char *spell(const struct du_print *print, const char *path)
{
	struct cli_path live = *print->like;
	live.snapshot = NULL;
	live.at = LINKFS_ROOT_INO;
	return cli_spell(print->cli, &live, path);
}

static void print_with(const struct du_print *print, const struct du_row *row)
{
	for (size_t i = 0; i < row->with_count; i++) {
		const struct du_with *w = &row->with[i];
		char *path = w->name && !w->with.snapshot ? spell(print, w->name) : NULL;
		char *text = path      ? cli_quote(path, strlen(path), CLI_QUOTE_SHELL, NULL)
			     : w->name ? cli_quote(w->name, w->with.name_len, CLI_QUOTE_SHELL, NULL)
				       : NULL;
		fprintf(print->cli->out, "%*s", 3 * 12, "");
		cell(print, true, w->with.bytes);
		if (w->with.snapshot)
			fprintf(print->cli->out, "  with snapshot %s\n", text ? text : "?");
		else if (text)
			fprintf(print->cli->out, "  with %s\n", text);
		else
			fprintf(print->cli->out, "  with inode %" PRIu64 "\n", w->with.ino);
		free(path);
		free(text);
	}
	size_t files = 0;
	for (size_t i = 0; i < row->with_count; i++)
		files += row->with[i].with.snapshot == 0;
	if (row->with && row->sum->with_files > files)
		fprintf(print->cli->out, "%*s  and %" PRIu64 " more\n", 4 * 12, "", row->sum->with_files - files);
}

static void print_text(const struct du_print *print, const struct du_row *row)
{
	const struct linkfs_space_sum *sum = row->sum;
	bool sizes = sum->known & LINKFS_SPACE_HAS_SIZES;
	char *label = row->kind == DU_TOTAL || row->kind == DU_SNAPSHOTS
			      ? cli_strdup(row->label)
			      : cli_quote(row->label, row->label_len, CLI_QUOTE_SHELL, NULL);
	if (!print->begun)
		fprintf(print->cli->out, "%11s %11s %11s %11s\n", "Apparent", "Allocated", "Exclusive", "Shared");
	cell(print, sizes, sum->apparent);
	cell(print, sizes, sum->allocated);
	cell(print, sum->known & LINKFS_SPACE_HAS_EXCLUSIVE, sum->exclusive);
	cell(print, sum->known & LINKFS_SPACE_HAS_SHARED, sum->shared);
	fprintf(print->cli->out, " %s\n", label ? label : "?");
	free(label);
	print_with(print, row);
}

static void json_number(struct cli_json *json, const char *key, bool known, uint64_t value)
{
	if (known)
		cli_json_number(json, key, value);
	else
		cli_json_null(json, key);
}

static void json_with(struct du_print *print, const struct du_row *row)
{
	struct cli_json *json = &print->json;
	cli_json_open(json, "with", '[');
	for (size_t i = 0; i < row->with_count; i++) {
		const struct du_with *w = &row->with[i];
		cli_json_open(json, NULL, '{');
		if (w->with.snapshot)
			cli_json_bytes(json, "snapshot", w->name, w->with.name_len);
		else
			cli_json_number(json, "ino", w->with.ino);
		if (!w->with.snapshot && w->name)
			cli_json_bytes(json, "path", w->name, w->with.name_len);
		cli_json_number(json, "bytes", w->with.bytes);
		cli_json_close(json, '}');
	}
	cli_json_close(json, ']');
	cli_json_number(json, "with_files", row->sum->with_files);
}

static void print_json(struct du_print *print, const struct du_row *row)
{
	static const char *const kinds[] = {[DU_PATH] = "path",
					    [DU_PAST] = "path in snapshot",
					    [DU_SNAPSHOT] = "snapshot",
					    [DU_SNAPSHOTS] = "all snapshots",
					    [DU_TOTAL] = "total"};
	const struct linkfs_space_sum *sum = row->sum;
	struct cli_json *json = &print->json;
	bool sizes = sum->known & LINKFS_SPACE_HAS_SIZES, alone = sum->known & LINKFS_SPACE_HAS_EXCLUSIVE;
	if (!print->begun)
		cli_json_open(json, NULL, '[');
	cli_json_open(json, NULL, '{');
	cli_json_string(json, "kind", kinds[row->kind]);
	if (row->kind != DU_TOTAL && row->kind != DU_SNAPSHOTS)
		cli_json_bytes(json, "name", row->label, row->label_len);
	json_number(json, "files", sizes, sum->files);
	json_number(json, "apparent", sizes, sum->apparent);
	json_number(json, "allocated", sizes, sum->allocated);
	json_number(json, "exclusive", alone, sum->exclusive);
	json_number(json, "inline", alone, sum->inline_bytes);
	json_number(json, "shared", sum->known & LINKFS_SPACE_HAS_SHARED, sum->shared);
	cli_json_bool(json, "complete", !(sum->known & LINKFS_SPACE_SKIPPED));
	if (row->with)
		json_with(print, row);
	cli_json_close(json, '}');
}

void du_print(struct du_print *print, const struct du_row *row)
{
	if (print->as_json)
		print_json(print, row);
	else
		print_text(print, row);
	print->begun = true;
	fflush(print->cli->out);
}

void du_print_end(struct du_print *print)
{
	if (!print->as_json)
		return;
	if (!print->begun)
		cli_json_open(&print->json, NULL, '[');
	cli_json_close(&print->json, ']');
}
