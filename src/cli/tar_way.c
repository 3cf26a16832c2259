/*
 * tar_way.c - the directories that names of tar entries lead to, walked without following anything; see tar.h.
 */
#include "tar.h"
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

int tar_names_split(struct tar_names *names, const char *path)
{
	size_t size = strlen(path) + 1;
	names->len = 0;
	names->absolute = path[0] == '/';
	if (size > TAR_PATH_MAX)
		return LINKFS_ENAMETOOLONG;
	if (size > names->room_cap) {
		char *room = realloc(names->room, size * 2);
		if (!room)
			return LINKFS_ENOMEM;
		names->room = room;
		names->room_cap = size * 2;
	}
	memcpy(names->room, path, size);
	for (char *p = names->room; *p;) {
		size_t len = strcspn(p, "/");
		bool more = p[len] != '\0';
		p[len] = '\0';
		if (strcmp(p, "..") == 0)
			return LINKFS_EINVAL;
		if (len && strcmp(p, ".") != 0) {
			if (cli_grow(&names->names, &names->cap, names->len, sizeof(*names->names)) != 0)
				return LINKFS_ENOMEM;
			names->names[names->len++] = p;
		}
		p += len + more;
	}
	return 0;
}

void tar_names_done(struct tar_names *names)
{
	free(names->room);
	free(names->names);
	*names = (struct tar_names){0};
}

static void pop_to(struct tar_way *way, size_t len)
{
	while (way->len > len) {
		struct tar_step *step = &way->steps[--way->len];
		copy_close_dir(&step->dir);
		free(step->name);
	}
}

static int push(struct copy *copy, struct tar_way *way, const char *name)
{
	struct tar_step step = {.name = cli_strdup(name)};
	size_t len = 0;
	int error = step.name ? cli_grow(&way->steps, &way->cap, way->len, sizeof(step)) : LINKFS_ENOMEM;
	if (!error)
		error = copy_open_dir(copy, &way->steps[way->len - 1].dir, name, false, &step.dir);
	if (error) {
		free(step.name);
		return error;
	}
	step.gives_acl = linkfs_node_getxattr(step.dir.volume, NULL, step.dir.ino, TAR_ACL_DEFAULT, NULL, 0, &len) == 0;
	way->steps[way->len++] = step;
	return 0;
}

static int step_into(struct copy *copy, struct tar_way *way, const char *name, bool make, uint64_t *made_out)
{
	const struct copy_dir *dir = &way->steps[way->len - 1].dir;
	struct copy_stat st;
	int error = copy_stat(copy, dir, name, false, &st);
	if (error == LINKFS_ENOENT && make) {
		error = copy_mkdir(copy, dir, name, 0777);
		*made_out += error == 0;
		if (error == LINKFS_EEXIST || error == 0)
			error = copy_stat(copy, dir, name, false, &st);
	}
	if (!error && S_ISLNK(st.st.mode))
		error = LINKFS_ELOOP;
	return error ? error : push(copy, way, name);
}

int tar_way_walk(struct copy *copy, struct tar_way *way, const struct tar_names *names, size_t count, bool make,
		 size_t *at_out, uint64_t *made_out)
{
	size_t same = 0;
	int error = 0;
	while (same < count && same + 1 < way->len && strcmp(way->steps[same + 1].name, names->names[same]) == 0)
		same++;
	pop_to(way, same + 1);
	while (!error && way->len <= count) {
		*at_out = way->len - 1;
		error = step_into(copy, way, names->names[way->len - 1], make, made_out);
	}
	return error;
}

void tar_way_done(struct tar_way *way)
{
	if (way->len)
		pop_to(way, 1);
	free(way->steps);
	*way = (struct tar_way){0};
}
