/*
 * copy_host.c - what the host says of its files and directories, for all that reads or writes there; see copy.h.
 */
#include "copy.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

int64_t copy_host_ns(const struct statx_timestamp *t)
{
	return t->tv_sec * 1000000000 + t->tv_nsec;
}

void copy_host_stat(const struct statx *sx, struct copy_stat *out)
{
	*out = (struct copy_stat){
		.dev = makedev(sx->stx_dev_major, sx->stx_dev_minor),
		.st = {.ino = sx->stx_ino,
		       .size = sx->stx_size,
		       .blocks = sx->stx_blocks,
		       .mode = sx->stx_mode,
		       .nlink = sx->stx_nlink,
		       .uid = sx->stx_uid,
		       .gid = sx->stx_gid,
		       .rdev_major = sx->stx_rdev_major,
		       .rdev_minor = sx->stx_rdev_minor,
		       .atime_ns = copy_host_ns(&sx->stx_atime),
		       .mtime_ns = copy_host_ns(&sx->stx_mtime),
		       .ctime_ns = copy_host_ns(&sx->stx_ctime)},
	};
}

static int read_all(DIR *stream, struct cli_list *list)
{
	for (;;) {
		errno = 0;
		struct dirent *e = readdir(stream);
		if (!e)
			return errno ? linkfs_from_errno(errno) : 0;
		if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
			continue;
		char *name = cli_strdup(e->d_name);
		if (!name || cli_grow(&list->entries, &list->cap, list->len, sizeof(*list->entries)) != 0) {
			free(name);
			return LINKFS_ENOMEM;
		}
		list->entries[list->len++] = (struct cli_entry){.name = name, .len = strlen(name)};
	}
}

int copy_host_list(int dir, struct cli_list *out)
{
	struct cli_list list = {0};
	int fd = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *stream = fd >= 0 ? fdopendir(fd) : NULL;
	if (!stream) {
		int error = linkfs_from_errno(errno);
		if (fd >= 0)
			close(fd);
		return error;
	}
	int error = read_all(stream, &list);
	closedir(stream);
	if (error)
		cli_list_done(&list);
	else
		*out = list;
	return error;
}
