/*
 * list.c - reading directories whole, walking by inode number, and the small path helpers of the commands.
 * A directory is read before anything is printed or changed: the library's callback runs under the volume's lock.
 */
#include "cli.h"
#include <stdlib.h>
#include <string.h>

struct reader {
	struct cli_list *list;
	uint64_t cookie;
	size_t seen, max;
	bool dots;
	int error;
};

static int take(void *arg, const struct linkfs_entry *entry)
{
	struct reader *reader = arg;
	struct cli_list *list = reader->list;
	if (list->len >= reader->max)
		return 1;
	bool dot = entry->name[0] == '.' && (entry->name_len == 1 || (entry->name_len == 2 && entry->name[1] == '.'));
	if (!dot || reader->dots) {
		char *name = strndup(entry->name, entry->name_len);
		if (!name || cli_grow(&list->entries, &list->cap, list->len, sizeof(*list->entries)) != 0) {
			free(name);
			reader->error = LINKFS_ENOMEM;
			return 1;
		}
		struct cli_entry *e = &list->entries[list->len++];
		*e = (struct cli_entry){.name = name, .len = entry->name_len, .ino = entry->ino, .type = entry->type};
		if (entry->stat)
			e->st = *entry->stat;
	}
	reader->seen++;
	reader->cookie = entry->cookie;
	return 0;
}

/* Attributes that came with no entry; entries that were removed since go. */
static int fill_stats(struct linkfs_volume *volume, struct cli_list *list)
{
	size_t kept = 0;
	int error = 0;
	for (size_t i = 0; i < list->len; i++) {
		struct cli_entry *e = &list->entries[i];
		if (e->st.ino == 0 && !error)
			error = linkfs_node_getattr(volume, e->ino, &e->st);
		if (error == LINKFS_ESTALE) {
			free(e->name);
			error = 0;
			continue;
		}
		list->entries[kept++] = *e;
	}
	list->len = kept;
	return error;
}

static int read_entries(struct cli *cli, struct linkfs_volume *volume, uint64_t dir, bool stats, struct reader *reader)
{
	int error;
	do {
		reader->seen = 0;
		error = linkfs_node_readdir(volume, &cli->cred, dir, reader->cookie, stats ? LINKFS_READDIR_STAT : 0,
					    take, reader);
		if (!error)
			error = reader->error;
		if (!error && cli_cancelled(cli))
			error = LINKFS_EINTR;
	} while (!error && reader->seen && reader->list->len < reader->max);
	if (!error && stats)
		error = fill_stats(volume, reader->list);
	if (error)
		cli_list_done(reader->list);
	return cli_gone(error);
}

int cli_list_read(struct cli *cli, struct linkfs_volume *volume, uint64_t dir, bool stats, bool dots,
		  struct cli_list *out)
{
	struct cli_list list = {0};
	struct reader reader = {.list = &list, .dots = dots, .max = SIZE_MAX};
	int error = read_entries(cli, volume, dir, stats, &reader);
	if (!error)
		*out = list;
	return error;
}

int cli_list_some(struct cli *cli, struct linkfs_volume *volume, uint64_t dir, bool stats, size_t max, uint64_t *cookie,
		  struct cli_list *out)
{
	struct cli_list list = {0};
	struct reader reader = {.list = &list, .max = max, .cookie = *cookie};
	int error;
	do { /* when all that was read is gone, more may follow */
		uint64_t before = reader.cookie;
		error = read_entries(cli, volume, dir, stats, &reader);
		if (error || list.len || reader.cookie == before)
			break;
	} while (true);
	if (error)
		return error;
	*cookie = reader.cookie;
	*out = list;
	return 0;
}

void cli_list_done(struct cli_list *list)
{
	for (size_t i = 0; i < list->len; i++)
		free(list->entries[i].name);
	free(list->entries);
	*list = (struct cli_list){0};
}

int cli_gone(int error)
{
	return error == LINKFS_ESTALE ? LINKFS_ENOENT : error;
}

int cli_path_stat(struct cli *cli, const struct cli_path *path, bool follow, struct linkfs_stat *out)
{
	struct linkfs_volume *volume;
	int error = cli_path_volume(cli, path, &volume);
	if (error)
		return error;
	return cli_gone(linkfs_path_stat(volume, &cli->cred, path->at, path->path, follow ? 0 : LINKFS_NOFOLLOW, out));
}

/* path NULL: of number at. */
static int read_text(struct linkfs_volume *volume, const struct linkfs_cred *cred, uint64_t at, const char *path,
		     char **text_out, size_t *len_out)
{
	char *text = cli_alloc(LINKFS_SYMLINK_MAX + 1);
	size_t len = 0;
	if (!text)
		return LINKFS_ENOMEM;
	int error = path ? linkfs_path_readlink(volume, cred, at, path, text, LINKFS_SYMLINK_MAX, &len)
			 : linkfs_node_readlink(volume, at, text, LINKFS_SYMLINK_MAX, &len);
	if (error) {
		free(text);
		return cli_gone(error);
	}
	text[len] = '\0';
	*text_out = text;
	if (len_out)
		*len_out = len;
	return 0;
}

int cli_readlink(struct linkfs_volume *volume, uint64_t ino, char **text_out, size_t *len_out)
{
	return read_text(volume, NULL, ino, NULL, text_out, len_out);
}

int cli_readlink_at(struct cli *cli, struct linkfs_volume *volume, uint64_t at, const char *path, char **text_out,
		    size_t *len_out)
{
	return read_text(volume, &cli->cred, at, path, text_out, len_out);
}

int cli_readlink_found(struct cli *cli, struct linkfs_volume *volume, uint64_t at, const char *path,
		       const struct linkfs_stat *st, char **text_out, size_t *len_out)
{
	if (st->flags & LINKFS_INO_TRACKED && cli_readlink_at(cli, volume, at, path, text_out, len_out) == 0)
		return 0;
	return cli_readlink(volume, st->ino, text_out, len_out);
}

void cli_place_hold(struct cli *cli, struct linkfs_volume *volume, uint64_t at, const char *path, uint64_t ino,
		    struct cli_place *out)
{
	struct linkfs_stat st;
	*out = (struct cli_place){.volume = volume, .node = ino};
	if (linkfs_node_several_paths(volume, ino) != 1 ||
	    linkfs_path_stat(volume, &cli->cred, at, path, LINKFS_HOLD, &st) != 0)
		return;
	struct cli_place found = {.volume = volume, .node = st.node, .held = true};
	if (st.ino == ino)
		*out = found;
	else
		cli_place_release(&found);
}

void cli_place_release(struct cli_place *place)
{
	if (place->held)
		linkfs_node_release(place->volume, place->node, 1);
	place->held = false;
}

char *cli_join(const char *dir, const char *name)
{
	size_t len = strlen(dir);
	return cli_format("%s%s%s", dir, len && dir[len - 1] == '/' ? "" : "/", name);
}

char *cli_basename(const char *path)
{
	size_t end = strlen(path);
	while (end > 0 && path[end - 1] == '/')
		end--;
	size_t start = end;
	while (start > 0 && path[start - 1] != '/')
		start--;
	return strndup(path + start, end - start);
}
