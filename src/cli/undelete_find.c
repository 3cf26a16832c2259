/*
 * undelete_find.c - what an operand of linkfs undelete means: a path whose last parts may be deleted, or "#NUMBER".
 */
#include "undelete.h"
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

struct reader {
	struct cli_deletions *list;
	size_t max;
	int64_t at_ns;
	int error;
};

static int copy(struct cli_deletions *list, const struct linkfs_deleted *from)
{
	char *name = strndup(from->name, from->name_len), *path = from->path ? cli_strdup(from->path) : NULL;
	if (!name || (from->path && !path) || cli_grow(&list->rows, &list->cap, list->len, sizeof(*list->rows)) != 0) {
		free(name);
		free(path);
		return LINKFS_ENOMEM;
	}
	list->rows[list->len++] = (struct cli_deleted){.time_ns = from->time_ns,
						       .expires_ns = from->expires_ns,
						       .dir = from->dir,
						       .name = name,
						       .name_len = from->name_len,
						       .path = path,
						       .flags = from->flags,
						       .st = from->stat};
	return 0;
}

static int take(void *arg, const struct linkfs_deleted *deleted)
{
	struct reader *reader = arg;
	if (reader->error || reader->list->len >= reader->max)
		return 1;
	if (!reader->at_ns || deleted->time_ns <= reader->at_ns)
		reader->error = copy(reader->list, deleted);
	return 0;
}

int cli_deletions_read(struct cli_undelete *u, const struct linkfs_deleted_query *query, size_t max, int64_t at_ns,
		       struct cli_deletions *out)
{
	struct reader reader = {.list = out, .max = max, .at_ns = at_ns};
	int64_t cursor = 0;
	int error;
	do {
		error = linkfs_deleted_list(u->volume, &u->cli->cred, query, &cursor, take, &reader);
		if (!error)
			error = reader.error;
		if (!error && cli_cancelled(u->cli))
			error = LINKFS_EINTR;
	} while (!error && cursor && out->len < max);
	if (error)
		cli_fail(u->cli, u->path->text, error);
	return error;
}

void cli_deletions_done(struct cli_deletions *list)
{
	for (size_t i = 0; i < list->len; i++) {
		free(list->rows[i].name);
		free(list->rows[i].path);
	}
	free(list->rows);
	*list = (struct cli_deletions){0};
}

char *cli_deleted_spell(struct cli_undelete *u, const struct cli_deleted *deleted)
{
	if (deleted->path)
		return cli_spell(u->cli, u->path, deleted->path);
	return cli_format("#%llu (%s)", (unsigned long long)deleted->st.ino, deleted->name);
}

/* The deleted directory that was last called so in dir. */
static int find_deleted_dir(struct cli_undelete *u, uint64_t dir, const char *name, uint64_t *ino_out)
{
	const struct linkfs_deleted_query query = {.dir = dir, .name = name, .name_len = strlen(name)};
	struct cli_deletions found = {0};
	int error = cli_deletions_read(u, &query, SIZE_MAX, u->at_ns, &found);
	uint64_t ino = 0;
	for (size_t i = 0; !ino && i < found.len; i++) {
		if (S_ISDIR(found.rows[i].st.mode))
			ino = found.rows[i].st.ino;
	}
	cli_deletions_done(&found);
	if (!error && !ino)
		cli_failf(u->cli, u->path->text, "there is no '%s' on the way, nor was one deleted that is still kept",
			  name);
	*ino_out = ino;
	return error ? error : ino ? 0 : LINKFS_ENOENT;
}

/* Cuts the last component off text; NULL when there is none but dots. */
static char *cut_last(char *text)
{
	size_t len = strlen(text);
	while (len && text[len - 1] == '/')
		text[--len] = '\0';
	char *slash = strrchr(text, '/'), *name = slash ? slash + 1 : text;
	if (!*name || strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
		return NULL;
	char *copied = cli_strdup(name);
	*name = '\0';
	return copied;
}

/* The directory that text names, there or deleted. text is cut. */
static int find_dir(struct cli_undelete *u, char *text, uint64_t *ino_out)
{
	struct linkfs_stat st;
	uint64_t dir;
	int error = linkfs_path_stat(u->volume, &u->cli->cred, u->path->at, *text ? text : ".", 0, &st);
	if (!error && !S_ISDIR(st.mode))
		error = LINKFS_ENOTDIR;
	*ino_out = error ? 0 : st.ino;
	if (error != LINKFS_ENOENT) {
		if (error)
			cli_fail(u->cli, u->path->text, error);
		return error;
	}
	char *name = cut_last(text);
	if (!name) {
		cli_fail(u->cli, u->path->text, LINKFS_ENOENT);
		return LINKFS_ENOENT;
	}
	error = find_dir(u, text, &dir);
	if (!error)
		error = find_deleted_dir(u, dir, name, ino_out);
	free(name);
	return error;
}

/* "#123" */
static bool is_number(const char *name, uint64_t *out)
{
	return name[0] == '#' && name[1] && strspn(name + 1, "0123456789") == strlen(name + 1) &&
	       cli_parse_u64(name + 1, UINT64_MAX, out) == 0;
}

int cli_lost_find(struct cli_undelete *u, struct cli_lost *out)
{
	struct linkfs_stat st;
	*out = (struct cli_lost){0};
	char *text = cli_strdup(u->path->path);
	if (!text) {
		cli_fail(u->cli, u->path->text, LINKFS_ENOMEM);
		return LINKFS_ENOMEM;
	}
	out->name = cut_last(text);
	int error = 0;
	if (!out->name) { /* a directory that can be named without its name */
		error = linkfs_path_stat(u->volume, &u->cli->cred, u->path->at, u->path->path, 0, &st);
		if (error)
			cli_fail(u->cli, u->path->text, error);
	} else if (!is_number(out->name, &out->number)) {
		error = find_dir(u, text, &out->dir);
		if (!error &&
		    linkfs_node_lookup(u->volume, &u->cli->cred, out->dir, out->name, strlen(out->name), 0, &st) != 0)
			st = (struct linkfs_stat){0};
	} else {
		st = (struct linkfs_stat){0};
	}
	free(text);
	if (!error) {
		out->live = st.ino;
		out->live_is_dir = st.ino && S_ISDIR(st.mode);
	}
	if (error) {
		free(out->name);
		out->name = NULL;
	}
	return error;
}
