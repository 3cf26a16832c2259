/*
 * copy_side.c - the operations of the copy engine on the host and in volumes; see copy.h.
 */
#include "copy.h"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

static int host_error(void)
{
	return linkfs_from_errno(errno);
}

static int host_stat(int fd, const char *name, bool follow, struct copy_stat *out)
{
	struct statx sx;
	if (statx(fd, name, follow ? 0 : AT_SYMLINK_NOFOLLOW, STATX_BASIC_STATS, &sx) != 0)
		return host_error();
	copy_host_stat(&sx, out);
	return 0;
}

int copy_stat(struct copy *copy, const struct copy_dir *dir, const char *name, bool follow, struct copy_stat *out)
{
	struct linkfs_stat st;
	const struct linkfs_cred *cred = &copy->cli->cred;
	if (!dir->volume)
		return host_stat(dir->fd, name, follow, out);
	int error = linkfs_node_lookup(dir->volume, cred, dir->ino, name, strlen(name), 0, &st);
	if (!error && follow && S_ISLNK(st.mode))
		error = linkfs_path_stat(dir->volume, cred, dir->ino, name, 0, &st);
	if (error)
		return cli_gone(error);
	/* The volume's address tells volumes apart. */
	*out = (struct copy_stat){.st = st, .dev = (uint64_t)(uintptr_t)dir->volume};
	return 0;
}

int copy_list(struct copy *copy, const struct copy_dir *dir, struct cli_list *out)
{
	if (!dir->volume)
		return copy_host_list(dir->fd, out);
	return cli_list_read(copy->cli, dir->volume, dir->ino, false, false, out);
}

void copy_place(struct copy *copy, struct linkfs_volume *volume, uint64_t at, const char *path, uint64_t ino,
		struct copy_dir *out)
{
	*out = (struct copy_dir){.volume = volume, .fd = -1};
	cli_place_hold(copy->cli, volume, at, path, ino, &out->place);
	out->ino = out->place.node;
}

int copy_open_dir(struct copy *copy, const struct copy_dir *dir, const char *name, bool follow, struct copy_dir *out)
{
	struct copy_stat found = {0};
	if (!dir->volume) {
		int fd = openat(dir->fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | (follow ? 0 : O_NOFOLLOW));
		if (fd < 0)
			return host_error();
		*out = (struct copy_dir){.fd = fd};
		return 0;
	}
	int error = copy_stat(copy, dir, name, follow, &found);
	if (!error && !S_ISDIR(found.st.mode))
		error = LINKFS_ENOTDIR;
	if (error)
		return error;
	copy_place(copy, dir->volume, dir->ino, name, found.st.ino, out);
	return 0;
}

void copy_close_dir(struct copy_dir *dir)
{
	if (!dir->volume && dir->fd >= 0)
		close(dir->fd);
	cli_place_release(&dir->place);
	dir->fd = -1;
}

int copy_readlink(struct copy *copy, const struct copy_dir *dir, const char *name, const struct copy_stat *st,
		  char **text_out)
{
	if (dir->volume)
		return cli_readlink_found(copy->cli, dir->volume, dir->ino, name, &st->st, text_out, NULL);
	char *text = cli_alloc(LINKFS_SYMLINK_MAX + 2);
	ssize_t len = text ? readlinkat(dir->fd, name, text, LINKFS_SYMLINK_MAX + 1) : -1;
	if (len < 0 || len > (ssize_t)LINKFS_SYMLINK_MAX) {
		int error = !text ? LINKFS_ENOMEM : len < 0 ? host_error() : LINKFS_ENAMETOOLONG;
		free(text);
		return error;
	}
	*text_out = text;
	return 0;
}

int copy_mkdir(struct copy *copy, const struct copy_dir *dir, const char *name, uint32_t mode)
{
	struct linkfs_make make = {.mode = S_IFDIR | mode};
	if (!dir->volume)
		return mkdirat(dir->fd, name, mode) == 0 ? 0 : host_error();
	return linkfs_node_make(dir->volume, &copy->cli->cred, dir->ino, name, strlen(name), &make, 0, NULL);
}

int copy_make(struct copy *copy, const struct copy_dir *dir, const char *name, const struct linkfs_stat *st,
	      uint64_t *ino_out)
{
	struct linkfs_make make = {.mode = st->mode, .rdev_major = st->rdev_major, .rdev_minor = st->rdev_minor};
	if (!dir->volume) {
		dev_t dev = makedev(st->rdev_major, st->rdev_minor);
		if (mknodat(dir->fd, name, (st->mode & S_IFMT) | 0600, dev) != 0)
			return host_error();
		uint32_t mode = st->mode & 07777 & ~(copy->keep_mode ? 0 : copy->cli->cred.umask);
		return fchmodat(dir->fd, name, mode, AT_SYMLINK_NOFOLLOW) == 0 ? 0 : host_error();
	}
	struct linkfs_stat made;
	int error = linkfs_node_make(dir->volume, &copy->cli->cred, dir->ino, name, strlen(name), &make, 0, &made);
	if (!error)
		*ino_out = made.ino;
	return error;
}

int copy_symlink(struct copy *copy, const struct copy_dir *dir, const char *name, const char *text, uint64_t *ino_out)
{
	struct linkfs_stat made;
	if (!dir->volume)
		return symlinkat(text, dir->fd, name) == 0 ? 0 : host_error();
	int error = linkfs_node_symlink(dir->volume, &copy->cli->cred, dir->ino, name, strlen(name), text, strlen(text),
					0, &made);
	if (!error)
		*ino_out = made.ino;
	return error;
}

int copy_unlink(struct copy *copy, const struct copy_dir *dir, const char *name)
{
	if (!dir->volume)
		return unlinkat(dir->fd, name, 0) == 0 ? 0 : host_error();
	return linkfs_node_unlink(dir->volume, &copy->cli->cred, dir->ino, name, strlen(name));
}

void copy_drop_half(struct copy *copy, const struct copy_dir *dir, const char *name, const struct copy_file *file)
{
	struct copy_stat there = {0};
	struct stat st = {.st_ino = file->ino};
	if (!dir->volume && fstat(file->fd, &st) != 0)
		return;
	if (copy_stat(copy, dir, name, false, &there) == 0 && there.st.ino == st.st_ino &&
	    (dir->volume || there.dev == st.st_dev))
		copy_unlink(copy, dir, name);
}

int copy_open_read(struct copy *copy, const struct copy_dir *dir, const char *name, bool follow, struct copy_file *out)
{
	struct copy_file file = {.volume = dir->volume, .fd = -1};
	if (!dir->volume) {
		int flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY | (follow ? 0 : O_NOFOLLOW);
		/* O_NOATIME is for the owner only. */
		file.fd = openat(dir->fd, name, flags | O_NOATIME);
		if (file.fd < 0 && errno == EPERM)
			file.fd = openat(dir->fd, name, flags);
		if (file.fd < 0)
			return host_error();
	} else {
		int error = linkfs_file_open(dir->volume, &copy->cli->cred, dir->ino, name,
					     LINKFS_O_READ | (follow ? 0 : LINKFS_O_NOFOLLOW), 0, &file.file);
		if (error)
			return cli_gone(error);
		file.ino = linkfs_file_ino(file.file);
	}
	*out = file;
	return 0;
}

int copy_open_write(struct copy *copy, const struct copy_dir *dir, const char *name, uint32_t mode, enum copy_open how,
		    struct copy_file *out)
{
	struct copy_file file = {.volume = dir->volume, .fd = -1};
	if (!dir->volume) {
		int flags = how == COPY_NEW ? O_CREAT | O_EXCL : O_TRUNC | O_NONBLOCK;
		if (how != COPY_THERE_FOLLOW)
			flags |= O_NOFOLLOW;
		file.fd = openat(dir->fd, name, O_WRONLY | O_CLOEXEC | O_NOCTTY | flags, 0600);
		if (file.fd < 0)
			return host_error();
		if (how == COPY_NEW && mode != 0600 && fchmod(file.fd, mode & 07777) != 0) {
			close(file.fd);
			return host_error();
		}
	} else if (how != COPY_NEW) {
		uint32_t flags = LINKFS_O_WRITE | LINKFS_O_TRUNC | (how == COPY_THERE ? LINKFS_O_NOFOLLOW : 0);
		int error = linkfs_file_open(dir->volume, &copy->cli->cred, dir->ino, name, flags, 0, &file.file);
		if (error)
			return cli_gone(error);
		file.ino = linkfs_file_ino(file.file);
	} else {
		struct linkfs_make make = {.mode = S_IFREG | mode};
		struct linkfs_stat st;
		int error =
			linkfs_node_make(dir->volume, &copy->cli->cred, dir->ino, name, strlen(name), &make, 0, &st);
		if (error)
			return cli_gone(error);
		file.ino = st.ino;
	}
	*out = file;
	return 0;
}

void copy_close(struct copy_file *file)
{
	linkfs_file_close(file->file);
	if (file->fd >= 0)
		close(file->fd);
	*file = (struct copy_file){.fd = -1};
}

int copy_read(struct copy_file *file, uint64_t offset, void *buf, size_t size, size_t *done_out)
{
	ssize_t n;
	if (file->volume)
		return cli_gone(linkfs_node_read(file->volume, file->ino, offset, buf, size, done_out));
	do {
		n = pread(file->fd, buf, size, (off_t)offset);
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		return host_error();
	*done_out = (size_t)n;
	return 0;
}

int copy_write(struct copy *copy, struct copy_file *file, uint64_t offset, const void *buf, size_t size)
{
	const char *p = buf;
	if (file->volume)
		return cli_gone(
			linkfs_node_write(file->volume, &copy->cli->cred, file->ino, offset, buf, size, 0, NULL, NULL));
	while (size) {
		ssize_t n = pwrite(file->fd, p, size, (off_t)offset);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? host_error() : LINKFS_EIO;
		p += n;
		offset += (uint64_t)n;
		size -= (size_t)n;
	}
	return 0;
}

int copy_seek(struct copy_file *file, uint64_t offset, int whence, uint64_t *out)
{
	if (file->volume)
		return linkfs_node_seek(file->volume, file->ino, offset, whence, out);
	off_t at = lseek(file->fd, (off_t)offset, whence == LINKFS_SEEK_DATA ? SEEK_DATA : SEEK_HOLE);
	if (at < 0)
		return host_error();
	*out = (uint64_t)at;
	return 0;
}

bool copy_has_holes(struct copy_file *file, uint64_t size)
{
	uint64_t hole = size;
	return size > 4096 && copy_seek(file, 0, LINKFS_SEEK_HOLE, &hole) == 0 && hole < size;
}

static bool is_dots(const char *name)
{
	return name[0] == '\0' || strcmp(name, ".") == 0 || strcmp(name, "..") == 0;
}

static int host_operand(struct copy *copy, const struct cli_path *path, struct copy_dir *dir_out, char **name_out)
{
	char *name = cli_basename(path->host), *dir = NULL;
	if (!name)
		return LINKFS_ENOMEM;
	if (is_dots(name)) {
		free(name);
		name = cli_strdup(".");
		dir = cli_strdup(path->host);
	} else {
		size_t end = strlen(path->host);
		while (end > 0 && path->host[end - 1] == '/')
			end--;
		end -= strlen(name);
		dir = end ? strndup(path->host, end) : cli_strdup(".");
	}
	int fd = name && dir ? openat(copy->cli->cwd_fd, dir, O_PATH | O_DIRECTORY | O_CLOEXEC) : -1;
	int error = !name || !dir ? LINKFS_ENOMEM : fd < 0 ? host_error() : 0;
	free(dir);
	if (error) {
		free(name);
		return error;
	}
	*dir_out = (struct copy_dir){.fd = fd};
	*name_out = name;
	return 0;
}

/* What of a path leads to the directory in which its last component is looked up; "" for none, slashes for the root. */
static char *way_to_parent(const char *path)
{
	size_t end = strlen(path);
	while (end > 0 && path[end - 1] == '/')
		end--;
	while (end > 0 && path[end - 1] != '/')
		end--;
	return end || *path != '/' ? strndup(path, end) : cli_strdup("/");
}

int copy_operand(struct copy *copy, const struct cli_path *path, struct copy_dir *dir_out, char **name_out)
{
	struct linkfs_volume *volume;
	const char *name;
	uint64_t dir;
	size_t len;
	if (path->kind == CLI_HOST)
		return host_operand(copy, path, dir_out, name_out);
	int error = cli_volume_open(copy->cli, path->volume, &volume);
	if (error)
		return COPY_TOLD;
	error = linkfs_path_parent(volume, &copy->cli->cred, path->at, path->path, &dir, &name, &len, NULL);
	if (error)
		return cli_gone(error);
	bool up = len == 2 && memcmp(name, "..", 2) == 0;
	char *way = up ? cli_strdup(path->path) : way_to_parent(path->path);
	char *copy_of_name = up ? cli_strdup(".") : strndup(name, len);
	if (!way || !copy_of_name)
		error = LINKFS_ENOMEM;
	if (!error && up) {
		struct linkfs_stat st;
		error = cli_gone(linkfs_path_stat(volume, &copy->cli->cred, path->at, way, 0, &st));
		dir = st.ino;
	}
	if (!error && *way)
		copy_place(copy, volume, path->at, way, dir, dir_out);
	else if (!error)
		*dir_out = (struct copy_dir){.volume = volume, .ino = dir, .fd = -1};
	free(way);
	if (error) {
		free(copy_of_name);
		return error;
	}
	*name_out = copy_of_name;
	return 0;
}
