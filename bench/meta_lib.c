/*
 * meta_lib.c - the metadata bench over the library: a volume of its own, path-level calls in one directory.
 */
#include "meta.h"

#include <linkfs.h>
#include <stdio.h>
#include <string.h>

static struct linkfs_volume *volume;
static char path[4096];
static uint64_t dir;

static int check(int r, const char *what, const char *name)
{
	return r ? meta_fail(what, name, linkfs_strerror(r)) : 0;
}

static int lib_open(void)
{
	struct linkfs_message why = {""};
	/* Its peers are mounted noatime. */
	struct linkfs_open_options options = {.flags = LINKFS_OPEN_NOATIME};
	return linkfs_volume_open(path, &options, &volume, &why) ? meta_fail("open", path, why.text) : 0;
}

static int lib_begin(const char *place)
{
	struct linkfs_message why = {""};
	struct linkfs_stat st;
	(void)snprintf(path, sizeof(path), "%s", place);
	if (linkfs_volume_create(path, NULL, &why))
		return meta_fail("create", path, why.text);
	if (lib_open())
		return 1;
	struct linkfs_make how = {.mode = 0040755};
	int r = linkfs_path_make(volume, NULL, LINKFS_ROOT_INO, "bench", &how, &st);
	dir = r ? 0 : st.ino;
	return check(r, "mkdir", "bench");
}

static int lib_create(const char *name)
{
	struct linkfs_file *file;
	int r = linkfs_file_open(volume, NULL, dir, name, LINKFS_O_CREATE | LINKFS_O_EXCL | LINKFS_O_WRITE, 0644,
				 &file);
	if (!r)
		linkfs_file_close(file);
	return check(r, "create", name);
}

static int lib_link(const char *from, const char *to)
{
	return check(linkfs_path_link(volume, NULL, dir, from, dir, to, 0), "link", to);
}

static int lib_symlink(const char *target, const char *name)
{
	return check(linkfs_path_symlink(volume, NULL, target, dir, name, NULL), "symlink", name);
}

static int lib_mkdir(const char *name)
{
	struct linkfs_make how = {.mode = 0040755};
	return check(linkfs_path_make(volume, NULL, dir, name, &how, NULL), "mkdir", name);
}

static int lib_rename(const char *from, const char *to)
{
	return check(linkfs_path_rename(volume, NULL, dir, from, dir, to, 0), "rename", to);
}

static int lib_stat(const char *name)
{
	struct linkfs_stat st;
	return check(linkfs_path_stat(volume, NULL, dir, name, LINKFS_NOFOLLOW, &st), "stat", name);
}

static int lib_readlink(const char *name)
{
	char text[256];
	size_t len;
	return check(linkfs_path_readlink(volume, NULL, dir, name, text, sizeof(text), &len), "readlink", name);
}

static int lib_write(const char *name, const void *data, size_t size)
{
	struct linkfs_file *file;
	size_t done = 0;
	int r = linkfs_file_open(volume, NULL, dir, name, LINKFS_O_CREATE | LINKFS_O_TRUNC | LINKFS_O_WRITE, 0644,
				 &file);
	if (r)
		return check(r, "create", name);
	r = linkfs_file_write(file, 0, data, size, &done);
	linkfs_file_close(file);
	return check(r ? r : done == size ? 0 : LINKFS_EIO, "write", name);
}

static int lib_read(const char *name, void *data, size_t size)
{
	struct linkfs_file *file;
	size_t done = 0;
	int r = linkfs_file_open(volume, NULL, dir, name, LINKFS_O_READ, 0, &file);
	if (r)
		return check(r, "open", name);
	r = linkfs_file_read(file, 0, data, size, &done);
	linkfs_file_close(file);
	return check(r ? r : done == size ? 0 : LINKFS_EIO, "read", name);
}

static int lib_list(int with_stat, uint64_t *count_out)
{
	struct linkfs_dir *stream;
	const struct linkfs_entry *entry = NULL;
	uint64_t seen = 0;
	int r = linkfs_dir_open(volume, NULL, dir, ".", &stream);
	if (r)
		return check(r, "opendir", "bench");
	int failed = 0;
	while (!failed && (r = linkfs_dir_read(stream, &entry)) == 0 && entry) {
		if (entry->name[0] == '.')
			continue;
		seen++;
		char name[256];
		memcpy(name, entry->name, entry->name_len);
		name[entry->name_len] = '\0';
		failed = with_stat && lib_stat(name);
	}
	linkfs_dir_close(stream);
	*count_out = seen;
	return failed || check(r, "readdir", "bench");
}

static int lib_unlink(const char *name)
{
	return check(linkfs_path_unlink(volume, NULL, dir, name), "unlink", name);
}

static int lib_rmdir(const char *name)
{
	return check(linkfs_path_rmdir(volume, NULL, dir, name), "rmdir", name);
}

static int lib_cold(void)
{
	int r = linkfs_volume_close(volume);
	volume = NULL;
	return check(r, "close", path) || lib_open();
}

static int lib_end(void)
{
	return volume ? check(linkfs_volume_close(volume), "close", path) : 0;
}

const struct backend meta_lib = {
	.name = "lib",
	.begin = lib_begin,
	.create = lib_create,
	.link = lib_link,
	.symlink = lib_symlink,
	.mkdir = lib_mkdir,
	.rename = lib_rename,
	.stat = lib_stat,
	.readlink = lib_readlink,
	.write = lib_write,
	.read = lib_read,
	.list = lib_list,
	.unlink = lib_unlink,
	.rmdir = lib_rmdir,
	.cold = lib_cold,
	.end = lib_end,
};
