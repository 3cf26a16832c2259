/*
 * snapshots.c - paths in snapshots: VOLUME@NAME:/path, by the snapshot's name or by a time.
 */
#include "cli.h"

#include <linkfs_snapshots.h>
#include <stdlib.h>
#include <string.h>

static int take_id(void *arg, const struct linkfs_snapshot *snapshot)
{
	*(uint64_t *)arg = snapshot->id;
	return 0;
}

int cli_snapshot_find(struct cli *cli, struct linkfs_volume *volume, const char *name, const char *at, uint64_t *id_out)
{
	int64_t time_ns;
	int error = linkfs_snapshot_show(volume, name, take_id, id_out);
	if (error != LINKFS_ENOENT) {
		if (error)
			cli_fail(cli, at, error);
		return error;
	}
	if (cli_time_parse(cli, name, cli_now_ns(), &time_ns) != 0) {
		cli_failf(cli, at,
			  "'%s' is neither a snapshot ('linkfs snapshot list' shows those there are) nor a time", name);
		return error;
	}
	error = linkfs_snapshot_before(volume, time_ns, take_id, id_out);
	if (error == LINKFS_ENOENT) {
		char when[96];
		cli_time_format(cli, when, sizeof(when), "%Y-%m-%d %H:%M:%S", time_ns);
		cli_failf(cli, at, "no snapshot is as old as '%s' (%s)", name, when);
	} else if (error) {
		cli_fail(cli, at, error);
	}
	return error;
}

/* MOUNT/.snapshots/NAME: the directory of snapshots is the mount's, and no node of the library. */
static int find_in_mount(struct cli *cli, struct cli_path *path)
{
	const char *name = path->path, *rest = strchr(name, '/');
	size_t len = rest ? (size_t)(rest - name) : strlen(name);
	struct linkfs_volume *volume;
	struct linkfs_stat root;
	uint64_t id = 0;
	int error = cli_path_volume(cli, path, &volume);
	char *copy = error ? NULL : strndup(name, len);
	if (error || !copy)
		return error ? error : LINKFS_ENOMEM;
	/* What is not there is told when it is walked to. */
	if (linkfs_snapshot_show(volume, copy, take_id, &id) == 0 && linkfs_snapshot_root(volume, id, 0, &root) == 0) {
		path->at = root.node;
		path->path = rest ? rest + strspn(rest, "/") : "";
		if (!*path->path)
			path->path = ".";
	}
	free(copy);
	return 0;
}

int cli_snapshots_find(struct cli *cli, const struct cli_args *args)
{
	for (size_t i = 0; i < args->npaths; i++) {
		struct cli_path *path = args->paths[i];
		struct linkfs_volume *volume;
		struct linkfs_stat root;
		uint64_t id = 0;
		if (path->kind == CLI_VOLUME && path->in_mount && path->at == LINKFS_SNAPSHOTS_NODE) {
			int failed = find_in_mount(cli, path);
			if (failed)
				return failed;
			continue;
		}
		if (path->kind != CLI_VOLUME || !path->snapshot || !*path->snapshot)
			continue;
		int error = cli_path_volume(cli, path, &volume);
		if (!error)
			error = cli_snapshot_find(cli, volume, path->snapshot, path->text, &id);
		if (error)
			return error;
		error = linkfs_snapshot_root(volume, id, 0, &root);
		if (error) {
			cli_fail(cli, path->text, error);
			return error;
		}
		path->at = root.node;
	}
	return 0;
}

/* The snapshot whose nodes have these bits. */
struct search {
	struct linkfs_volume *volume;
	uint32_t tree;
	char *name;
};

static int look_at(void *arg, const struct linkfs_snapshot *snapshot)
{
	struct search *search = arg;
	struct linkfs_stat root;
	if (linkfs_snapshot_root(search->volume, snapshot->id, 0, &root) || linkfs_node_tree(root.node) != search->tree)
		return 0;
	search->name = cli_strdup(snapshot->name);
	return 1;
}

char *cli_snapshot_join(struct cli *cli, const struct cli_path *path, const char *point)
{
	struct search search = {.tree = linkfs_node_tree(path->at)};
	struct linkfs_stat st;
	if (!search.tree || cli_path_volume(cli, path, &search.volume) != 0)
		return cli_strdup(point);
	/* A place tells by its inode. */
	if (linkfs_node_getattr(search.volume, path->at, &st) == 0)
		search.tree = linkfs_node_tree(st.ino);
	if (search.tree)
		(void)linkfs_snapshot_list(search.volume, look_at, &search);
	if (!search.name)
		return cli_strdup(point);
	char *text = cli_format("%s/.snapshots/%s", point, search.name);
	free(search.name);
	return text;
}

int cli_snapshot_dated(struct cli *cli, struct linkfs_volume *volume, const char *format,
		       struct linkfs_snapshot_new what, char *name, size_t size)
{
	size_t len = cli_time_format(cli, name, size, format, cli_now_ns());
	what.name = name;
	int error = linkfs_snapshot_create(volume, &cli->cred, &what, NULL);
	for (unsigned i = 2; error == LINKFS_EEXIST && i < 1000; i++) {
		(void)snprintf(name + len, size - len, ".%u", i);
		error = linkfs_snapshot_create(volume, &cli->cred, &what, NULL);
	}
	return error;
}
