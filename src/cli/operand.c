/*
 * operand.c - what an operand names. Always runs in the caller's process: only there do relative paths, and paths
 * inside mounts, mean what the caller means. The rule (linkfs(1)): "file:PATH" is a host path; a word with ":/" in it,
 * or a ':' at its end, is VOLUME:/PATH, cut at the first, or VOLUME@SNAPSHOT:/PATH; every other word is a host path. A host path inside a mount
 * of ours is named by the inode of its directory, taken from the directory's file handle, and its last component.
 */
#include "cli.h"
#include <errno.h>
#include <fcntl.h>
#include <linkfs_snapshots.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define HANDLE_INO64_GEN 0x81        /* FILEID_INO64_GEN of the kernel's exportfs.h: ino high, low, generation */
#define HANDLE_INO64_GEN_PARENT 0x82 /* the same, and the parent's */

struct resolve {
	struct cli *cli;
	const struct cli_command *command;
	struct cli_args *args;
	struct cli_mount *mounts;
	size_t nmounts;
};

/* The mount of ours that fd lies in and the inode there; NULL when it lies elsewhere. */
static const struct cli_mount *mount_of(const struct resolve *resolve, int fd, uint64_t *ino_out)
{
	union {
		struct file_handle handle;
		char room[sizeof(struct file_handle) + MAX_HANDLE_SZ];
	} u = {.handle = {.handle_bytes = MAX_HANDLE_SZ}};
	int mount_id;
	if (name_to_handle_at(fd, "", &u.handle, &mount_id, AT_EMPTY_PATH) != 0)
		return NULL;
	for (size_t i = 0; i < resolve->nmounts; i++) {
		uint32_t word[3];
		if (resolve->mounts[i].id != mount_id)
			continue;
		if (u.handle.handle_type != HANDLE_INO64_GEN && u.handle.handle_type != HANDLE_INO64_GEN_PARENT)
			return NULL;
		if (u.handle.handle_bytes < sizeof(word))
			return NULL;
		memcpy(word, u.handle.f_handle, sizeof(word));
		*ino_out = (uint64_t)word[0] << 32 | word[1];
		return &resolve->mounts[i];
	}
	return NULL;
}

/* A directory that several paths lead to is named by what the kernel calls this path, for as long as it knows it: the descriptor
 * stays open until the command is done. */
static void keep_or_close(int fd, uint64_t node)
{
	if (linkfs_node_tree(node) == 0)
		close(fd);
}

static int name_in_mount(struct resolve *resolve, struct cli_path *path, const struct cli_mount *mount, uint64_t at,
			 const char *name)
{
	char *volume = cli_args_keep(resolve->args, cli_absolute(resolve->cli, mount->source));
	if (!volume)
		return LINKFS_ENOMEM;
	path->kind = CLI_VOLUME;
	path->volume = volume;
	path->at = at;
	path->path = name;
	path->in_mount = true;
	return 0;
}

static bool is_dots(const char *name, size_t len)
{
	return (len == 1 && name[0] == '.') || (len == 2 && name[0] == '.' && name[1] == '.');
}

/* The deepest directory of text[0, *start) that exists: cuts *start to it and says where it lies. */
static int open_deepest(const struct resolve *resolve, const char *text, size_t *start,
			const struct cli_mount **mount_out, uint64_t *ino_out)
{
	for (;;) {
		char *dir = *start == 0 ? cli_strdup(".") : strndup(text, *start);
		if (!dir)
			return LINKFS_ENOMEM;
		int fd = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
		free(dir);
		if (fd >= 0) {
			*mount_out = mount_of(resolve, fd, ino_out);
			keep_or_close(fd, *mount_out ? *ino_out : 0);
			return 0;
		}
		if (*start == 0 || (errno != ENOENT && errno != ENOTDIR))
			return 0;
		while (*start > 0 && text[*start - 1] == '/')
			--*start;
		while (*start > 0 && text[*start - 1] != '/')
			--*start;
	}
}

/* 1 when the path lies in a mount of ours and path says where, 0 when not. */
static int try_mount(struct resolve *resolve, struct cli_path *path)
{
	const char *text = path->host;
	size_t end = strlen(text);
	const struct cli_mount *mount;
	uint64_t ino;
	while (end > 0 && text[end - 1] == '/')
		end--;
	size_t start = end;
	while (start > 0 && text[start - 1] != '/')
		start--;
	/* The whole path first: it may be a mount point, or end in "..". */
	int fd = open(text, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	mount = fd >= 0 ? mount_of(resolve, fd, &ino) : NULL;
	if (fd >= 0)
		keep_or_close(fd, mount ? ino : 0);
	else if (errno == ENOTCONN)
		return 0;
	/* The last directory on the way that exists; what follows need not, yet (mkdir -p). */
	size_t full = start;
	uint64_t dir_ino = 0;
	const struct cli_mount *dir_mount = NULL;
	int error = open_deepest(resolve, text, &start, &dir_mount, &dir_ino);
	if (error)
		return error;
	/* The library knows no directory .snapshots: what is in it are roots. */
	bool root = dir_mount && (dir_ino == LINKFS_SNAPSHOTS_NODE || (mount && ino == LINKFS_SNAPSHOTS_NODE));
	if (mount && (mount != dir_mount || start != full || root || is_dots(text + start, end - start)))
		error = name_in_mount(resolve, path, mount, ino, text[strlen(text) - 1] == '/' ? "./" : ".");
	else if (dir_mount && (mount == dir_mount || fd < 0))
		error = name_in_mount(resolve, path, dir_mount, dir_ino, text + start);
	return error ? error : path->kind == CLI_VOLUME;
}

static int name_volume(struct resolve *resolve, struct cli_path *path, const char *dir, size_t len, const char *rest)
{
	char *volume = cli_args_keep(resolve->args, strndup(dir, len));
	char *full = volume ? cli_args_keep(resolve->args, cli_absolute(resolve->cli, volume)) : NULL;
	if (!full)
		return LINKFS_ENOMEM;
	path->kind = CLI_VOLUME;
	path->host = NULL;
	path->volume = full;
	path->at = LINKFS_ROOT_INO;
	path->path = *rest ? rest : "/";
	return 0;
}

static bool is_volume(const char *path)
{
	struct linkfs_owner *owner = cli_alloc(sizeof(*owner));
	int error = owner ? linkfs_volume_owner(path, owner) : LINKFS_ENOMEM;
	free(owner);
	return error == 0 || error == LINKFS_ENOENT;
}

/* VOLUME@SNAPSHOT, cut at the last '@'; a volume's own name may have one. */
static int name_snapshot(struct resolve *resolve, struct cli_path *path, const char *dir, size_t len, const char *rest)
{
	const char *at = memrchr(dir, '@', len);
	char *whole = at ? cli_args_keep(resolve->args, strndup(dir, len)) : NULL;
	if (at && !whole)
		return LINKFS_ENOMEM;
	if (!at || at == dir || at + 1 == dir + len || memchr(at, '/', (size_t)(dir + len - at)) ||
	    access(whole, F_OK) == 0)
		return name_volume(resolve, path, dir, len, rest);
	path->snapshot = cli_args_keep(resolve->args, strndup(at + 1, (size_t)(dir + len - at - 1)));
	return path->snapshot ? name_volume(resolve, path, dir, (size_t)(at - dir), rest) : LINKFS_ENOMEM;
}

/* "VOLUME@SNAPSHOT" alone: the whole of it. */
static bool is_snapshot(const char *text)
{
	const char *at = strrchr(text, '@');
	if (!at || at == text || !at[1] || strchr(at, '/') || access(text, F_OK) == 0)
		return false;
	char *volume = strndup(text, (size_t)(at - text));
	bool found = volume && access(volume, F_OK) == 0 && is_volume(volume);
	free(volume);
	return found;
}

/* Whether the operand may be a volume as a whole, by its directory alone. */
static bool takes_volume(const struct resolve *resolve, const struct cli_path *path)
{
	const struct cli_args *args = resolve->args;
	return resolve->command->takes == CLI_TAKES_VOLUME ||
	       ((resolve->command->flags & CLI_VOLUME_LAST) && args->noperands &&
		path == &args->operands[args->noperands - 1]);
}

static int resolve_one(struct resolve *resolve, struct cli_path *path)
{
	const char *text = path->text;
	const char *colon = strstr(text, ":/");
	size_t len = strlen(text);
	int found = 0;
	if (strncmp(text, "file:", 5) == 0) {
		path->host = text + 5;
	} else if (colon && colon > text) {
		return name_snapshot(resolve, path, text, (size_t)(colon - text), colon + 1);
	} else if (len > 1 && text[len - 1] == ':') {
		return name_snapshot(resolve, path, text, len - 1, "");
	}
	if (!*path->host)
		return 0;
	if (takes_volume(resolve, path) && access(path->host, F_OK) == 0 && is_volume(path->host))
		return name_volume(resolve, path, path->host, strlen(path->host), "");
	if (path->host == text && is_snapshot(text) &&
	    (resolve->command->takes == CLI_TAKES_VOLUME || resolve->command->flags & CLI_SNAPSHOT_WORDS))
		return name_snapshot(resolve, path, text, len, "");
	if (resolve->nmounts)
		found = try_mount(resolve, path);
	return found < 0 ? found : 0;
}

int cli_args_resolve(struct cli *cli, const struct cli_command *command, struct cli_args *args)
{
	struct resolve resolve = {.cli = cli, .command = command, .args = args};
	int error = cli_mounts_read(&resolve.mounts, &resolve.nmounts);
	for (size_t i = 0; i < args->npaths && !error; i++)
		error = args->paths[i]->text ? resolve_one(&resolve, args->paths[i]) : 0;
	cli_mounts_free(resolve.mounts, resolve.nmounts);
	if (error) {
		cli_fail(cli, "operands", error);
		return CLI_EXIT_SOME;
	}
	return 0;
}

void cli_path_as_host(struct cli_path *path)
{
	if (path->kind == CLI_VOLUME && path->in_mount) {
		path->kind = CLI_HOST;
		path->in_mount = false;
	}
}

void cli_not_in_volume(struct cli *cli, const struct cli_path *path)
{
	const char *host = path->host ? path->host : path->text;
	if (access(host, F_OK) != 0 && errno == ENOTCONN)
		cli_failf(cli, path->text,
			  "the mount is dead; detach it with 'linkfs umount', or mount the volume again");
	else if (is_volume(host))
		cli_failf(cli, path->text, "this is a volume; name a path in it: %s:/", path->text);
	else
		cli_failf(cli, path->text, "not inside a linkfs mount; write VOLUME:/PATH for a path in a volume");
}
