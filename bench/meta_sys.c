/*
 * meta_sys.c - the metadata bench over system calls, in a directory of whatever file system.
 */
#include "meta.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char work[4096];
static int dir = -1;

static int check(int result, const char *what, const char *name)
{
	return result < 0 ? meta_fail(what, name, strerror(errno)) : 0;
}

static int sys_begin(const char *place)
{
	(void)snprintf(work, sizeof(work), "%s/bench-XXXXXX", place);
	if (!mkdtemp(work))
		return meta_fail("mkdtemp", work, strerror(errno));
	dir = open(work, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return check(dir, "open", work);
}

static int sys_create(const char *name)
{
	int fd = openat(dir, name, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0644);
	return fd < 0 ? check(fd, "create", name) : check(close(fd), "close", name);
}

static int sys_link(const char *from, const char *to)
{
	return check(linkat(dir, from, dir, to, 0), "link", to);
}

static int sys_symlink(const char *target, const char *name)
{
	return check(symlinkat(target, dir, name), "symlink", name);
}

static int sys_mkdir(const char *name)
{
	return check(mkdirat(dir, name, 0755), "mkdir", name);
}

static int sys_rename(const char *from, const char *to)
{
	return check(renameat(dir, from, dir, to), "rename", to);
}

static int sys_stat(const char *name)
{
	struct stat st;
	return check(fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW), "stat", name);
}

static int sys_readlink(const char *name)
{
	char text[256];
	return check((int)readlinkat(dir, name, text, sizeof(text)), "readlink", name);
}

static int sys_write(const char *name, const void *data, size_t size)
{
	int fd = openat(dir, name, O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0644);
	if (fd < 0)
		return check(fd, "create", name);
	if (write(fd, data, size) != (ssize_t)size)
		return meta_fail("write", name, strerror(errno));
	return check(close(fd), "close", name);
}

static int sys_read(const char *name, void *data, size_t size)
{
	int fd = openat(dir, name, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return check(fd, "open", name);
	if (read(fd, data, size) != (ssize_t)size)
		return meta_fail("read", name, "not all of it");
	return check(close(fd), "close", name);
}

static int sys_list(int with_stat, uint64_t *count_out)
{
	int fd = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *stream = fd < 0 ? NULL : fdopendir(fd);
	if (!stream)
		return meta_fail("opendir", work, strerror(errno));
	uint64_t seen = 0;
	int failed = 0;
	for (struct dirent *entry; !failed && (entry = readdir(stream));) {
		if (entry->d_name[0] == '.')
			continue;
		seen++;
		failed = with_stat && sys_stat(entry->d_name);
	}
	(void)closedir(stream);
	*count_out = seen;
	return failed;
}

static int sys_unlink(const char *name)
{
	return check(unlinkat(dir, name, 0), "unlink", name);
}

static int sys_rmdir(const char *name)
{
	return check(unlinkat(dir, name, AT_REMOVEDIR), "rmdir", name);
}

/* Dentries and inodes go, cached pages stay: every name is asked for again, by all file systems alike. */
static int sys_cold(void)
{
	int fd = open("/proc/sys/vm/drop_caches", O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return meta_fail("open", "/proc/sys/vm/drop_caches", strerror(errno));
	ssize_t n = write(fd, "2", 1);
	(void)close(fd);
	return n == 1 ? 0 : meta_fail("write", "/proc/sys/vm/drop_caches", strerror(errno));
}

static int sys_end(void)
{
	(void)close(dir);
	return check(rmdir(work), "rmdir", work);
}

const struct backend meta_sys = {
	.name = "sys",
	.begin = sys_begin,
	.create = sys_create,
	.link = sys_link,
	.symlink = sys_symlink,
	.mkdir = sys_mkdir,
	.rename = sys_rename,
	.stat = sys_stat,
	.readlink = sys_readlink,
	.write = sys_write,
	.read = sys_read,
	.list = sys_list,
	.unlink = sys_unlink,
	.rmdir = sys_rmdir,
	.cold = sys_cold,
	.end = sys_end,
};
