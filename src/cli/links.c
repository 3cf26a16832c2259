/*
 * links.c - see links.h.
 */
#include "links.h"
#include <stdlib.h>
#include <string.h>

int cli_asked_begin(struct cli *cli, const struct cli_path *path, const char *mounted_at, struct cli_asked *out)
{
	*out = (struct cli_asked){.cli = cli, .path = path};
	int error = cli_path_volume(cli, path, &out->volume);
	if (error)
		return error;
	out->mount_point = cli_mount_point(path->volume);
	out->options.mounted_at = mounted_at ? mounted_at : out->mount_point;
	return 0;
}

void cli_asked_done(struct cli_asked *asked)
{
	free(asked->mount_point);
	asked->mount_point = NULL;
}

char *cli_asked_spell(const struct cli_asked *asked, const char *path)
{
	return cli_spell(asked->cli, asked->path, path);
}

void cli_show_bytes(struct cli *cli, const char *bytes, size_t len)
{
	char *shown = cli->out_tty ? cli_quote(bytes, len, CLI_QUOTE_SHELL, NULL) : NULL;
	if (shown)
		fputs(shown, cli->out);
	else
		fwrite(bytes, 1, len, cli->out);
	free(shown);
}

void cli_show_link(const struct cli_asked *asked, const struct linkfs_link *link)
{
	char *path = cli_asked_spell(asked, link->path);
	if (path)
		cli_show_bytes(asked->cli, path, strlen(path));
	fputs(" -> ", asked->cli->out);
	cli_show_bytes(asked->cli, link->text, link->text_len);
	free(path);
}

void cli_json_link(struct cli_json *json, const struct linkfs_link *link)
{
	cli_json_bytes(json, "path", link->path, link->path_len);
	cli_json_bytes(json, "target", link->text, link->text_len);
	cli_json_number(json, "ino", link->ino);
	cli_json_number(json, "dir", link->dir);
}

void cli_json_end(struct cli_json *json, const char *key, const struct linkfs_end *end)
{
	cli_json_open(json, key, '{');
	if (end->error)
		cli_json_string(json, "error", linkfs_error_name(end->error) + strlen("LINKFS_"));
	else
		cli_json_null(json, "error");
	if (end->error)
		cli_json_null(json, "ino");
	else
		cli_json_number(json, "ino", end->ino);
	cli_json_number(json, "expansions", end->expansions);
	cli_json_close(json, '}');
}

int cli_answers_add(struct cli *cli, struct cli_answers *answers, const char *path, const struct linkfs_link *link,
		    const struct linkfs_end *before, const struct linkfs_end *after)
{
	struct cli_answer answer = {.path = cli_strdup(path)};
	int error = cli_grow(&answers->list, &answers->cap, answers->len, sizeof(*answers->list));
	if (link)
		answer.text = cli_strdup(link->text);
	if (error || !answer.path || (link && !answer.text)) {
		free(answer.path);
		free(answer.text);
		cli_fail(cli, path, LINKFS_ENOMEM);
		return LINKFS_ENOMEM;
	}
	if (link) {
		answer.link = *link;
		answer.link.path = answer.path;
		answer.link.text = answer.text;
	}
	if (before)
		answer.before = *before;
	if (after)
		answer.after = *after;
	answers->list[answers->len++] = answer;
	return cli_cancelled(cli) ? LINKFS_EINTR : 0;
}

static int compare(const void *a, const void *b)
{
	const struct cli_answer *x = a, *y = b;
	return strcmp(x->path, y->path);
}

void cli_answers_sort(struct cli_answers *answers)
{
	if (answers->len)
		qsort(answers->list, answers->len, sizeof(*answers->list), compare);
}

void cli_answers_done(struct cli_answers *answers)
{
	for (size_t i = 0; i < answers->len; i++) {
		free(answers->list[i].path);
		free(answers->list[i].text);
	}
	free(answers->list);
	*answers = (struct cli_answers){0};
}
