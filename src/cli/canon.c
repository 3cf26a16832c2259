/*
 * canon.c - the canonical path of something in a volume: symlinks expanded, "." and ".." gone, from the root on. For
 * readlink -f and for relative symlinks.
 */
#include "cli.h"
#include <linkfs_links.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

struct level {
	uint64_t ino; /* 0: does not exist */
	char *name;
};

struct canon {
	struct cli *cli;
	struct linkfs_volume *volume;
	enum cli_canon how;
	struct level *levels; /* below the root */
	size_t len, cap;
	unsigned expansions;
};

static uint64_t here(const struct canon *canon)
{
	return canon->len ? canon->levels[canon->len - 1].ino : LINKFS_ROOT_INO;
}

static int push(struct canon *canon, uint64_t ino, const char *name, size_t len)
{
	char *copy = strndup(name, len);
	if (!copy || cli_grow(&canon->levels, &canon->cap, canon->len, sizeof(*canon->levels)) != 0) {
		free(copy);
		return LINKFS_ENOMEM;
	}
	canon->levels[canon->len++] = (struct level){ino, copy};
	return 0;
}

static void pop_to(struct canon *canon, size_t len)
{
	while (canon->len > len)
		free(canon->levels[--canon->len].name);
}

static int walk(struct canon *canon, const char *path, bool outer_last);

static int on_start(void *arg, const struct linkfs_step *step)
{
	char **path = arg;
	if (step->kind == LINKFS_STEP_START && step->path)
		*path = cli_strdup(step->path);
	return 1;
}

/* Levels from the root down to directory at, by the path it is found by. */
static int start_at(struct canon *canon, uint64_t at)
{
	char *path = NULL;
	int error = linkfs_path_explain(canon->volume, &canon->cli->cred, at, ".", 0, NULL, on_start, &path);
	if (!error && !path)
		error = LINKFS_EACCES;
	if (!error)
		error = walk(canon, path, true);
	free(path);
	return cli_gone(error);
}

/* The path of the levels, and name below it (NULL: none). */
static char *path_of(const struct canon *canon, const char *name, size_t len)
{
	size_t size = len + 2, n = 0;
	for (size_t i = 0; i < canon->len; i++)
		size += strlen(canon->levels[i].name) + 1;
	char *text = cli_alloc(size);
	for (size_t i = 0; text && i < canon->len; i++)
		n += (size_t)snprintf(text + n, size - n, "/%s", canon->levels[i].name);
	if (text && (name || n == 0))
		(void)snprintf(text + n, size - n, "/%.*s", (int)len, name ? name : "");
	return text;
}

/* The text of the symlink name where the walk stands: a tracked one's is another by each path. */
static int read_text(struct canon *canon, const struct linkfs_stat *st, const char *name, size_t len, char **text_out)
{
	if (!(st->flags & LINKFS_INO_TRACKED))
		return cli_readlink(canon->volume, st->ino, text_out, NULL);
	char *path = path_of(canon, name, len);
	int error = path ? cli_readlink_at(canon->cli, canon->volume, LINKFS_ROOT_INO, path, text_out, NULL)
			 : LINKFS_ENOMEM;
	free(path);
	return error;
}

static int expand(struct canon *canon, const struct linkfs_stat *st, const char *name, size_t len, bool last)
{
	char *text = NULL;
	if (++canon->expansions > LINKFS_SYMLOOP_MAX)
		return canon->how == CLI_CANON_MISSING ? LINKFS_ENOENT : LINKFS_ELOOP;
	int error = read_text(canon, st, name, len, &text);
	if (!error)
		error = walk(canon, text, last);
	free(text);
	return error;
}

static int component(struct canon *canon, const char *name, size_t len, bool last)
{
	struct linkfs_stat st = {0};
	if (len == 1 && name[0] == '.')
		return 0;
	if (len == 2 && name[0] == '.' && name[1] == '.') {
		pop_to(canon, canon->len ? canon->len - 1 : 0);
		return 0;
	}
	int error = here(canon) ? linkfs_node_lookup(canon->volume, &canon->cli->cred, here(canon), name, len, 0, &st)
				: LINKFS_ENOENT;
	if (!error && S_ISLNK(st.mode))
		return expand(canon, &st, name, len, last);
	if (!error)
		return !last && !S_ISDIR(st.mode) && canon->how != CLI_CANON_MISSING ? LINKFS_ENOTDIR
										     : push(canon, st.ino, name, len);
	bool may =
		canon->how == CLI_CANON_MISSING || (canon->how == CLI_CANON_PARENT && last && error == LINKFS_ENOENT);
	return may ? push(canon, 0, name, len) : error;
}

static int walk(struct canon *canon, const char *path, bool outer_last)
{
	if (*path == '/')
		pop_to(canon, 0);
	for (;;) {
		while (*path == '/')
			path++;
		if (!*path)
			return 0;
		size_t len = strcspn(path, "/");
		const char *rest = path + len + strspn(path + len, "/");
		int error = component(canon, path, len, outer_last && !*rest);
		if (error)
			return cli_gone(error);
		path = rest;
	}
}

int cli_canonical(struct cli *cli, struct linkfs_volume *volume, uint64_t at, const char *path, enum cli_canon how,
		  char **out)
{
	struct canon canon = {.cli = cli, .volume = volume, .how = how};
	int error = *path == '/' ? 0 : start_at(&canon, at);
	if (!error)
		error = walk(&canon, path, true);
	char *text = error ? NULL : path_of(&canon, NULL, 0);
	if (!error && !text)
		error = LINKFS_ENOMEM;
	pop_to(&canon, 0);
	free(canon.levels);
	if (!error)
		*out = text;
	return error;
}

char *cli_spell(struct cli *cli, const struct cli_path *like, const char *path)
{
	char *point = like->in_mount ? cli_mount_point(like->volume) : NULL;
	char *top = point ? cli_snapshot_join(cli, like, point) : NULL;
	char *text = top ? cli_join(top, *path == '/' ? path + 1 : path) : NULL;
	free(top);
	free(point);
	if (!text && like->snapshot && *like->snapshot)
		return cli_format("%s@%s:%s", like->volume, like->snapshot, path);
	return text ? text : cli_format("%s:%s", like->volume, path);
}
