/*
 * host_dir.c - the host's directory that a volume lies in.
 * Layer: api. The host may lack permissions, links and directory syncs (FAT, SMB): what it cannot do is not demanded.
 */
#include "host_dir.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int join(char *out, size_t size, const char *dir, const char *name)
{
	int n = snprintf(out, size, "%s/%s", dir, name);
	return n < 0 || (size_t)n >= size ? LINKFS_ENAMETOOLONG : 0;
}

static int absolute(const char *path, char **out, struct linkfs_message *why)
{
	char *dir = realpath(path, NULL);
	if (!dir)
		return lk_fail(why, linkfs_from_errno(errno), "cannot resolve %s: %s", path, strerror(errno));
	/* Room for the longest name a volume has in it, and for the engine's suffixes. */
	if (strlen(dir) > PATH_MAX - 64) {
		free(dir);
		return lk_fail(why, LINKFS_ENAMETOOLONG, "the path of %s is too long", path);
	}
	*out = dir;
	return 0;
}

int lk_host_volume_dir(const char *path, char **dir_out, struct linkfs_message *why)
{
	struct stat st;
	char meta[PATH_MAX], *dir = NULL;
	if (stat(path, &st)) {
		int e = errno;
		if (e == ENOENT)
			return lk_fail(why, LINKFS_ENOENT,
				       "there is no directory %s; `linkfs create %s` makes a volume there", path, path);
		return lk_fail(why, linkfs_from_errno(e), "cannot look at %s: %s", path, strerror(e));
	}
	if (!S_ISDIR(st.st_mode))
		return lk_fail(why, LINKFS_ENOTVOLUME, "%s is not a directory; a linkfs volume is one", path);
	int r = absolute(path, &dir, why);
	if (r)
		return r;
	r = join(meta, sizeof(meta), dir, "meta.db");
	if (r == 0 && lstat(meta, &st)) {
		int e = errno;
		r = e == ENOENT
			    ? lk_fail(why, LINKFS_ENOTVOLUME,
				      "%s is not a linkfs volume (it has no meta.db); `linkfs create DIR` makes one",
				      path)
			    : lk_fail(why, linkfs_from_errno(e), "cannot look at %s: %s", meta, strerror(e));
	} else if (r == 0 && !S_ISREG(st.st_mode)) {
		r = lk_fail(why, LINKFS_ENOTVOLUME, "%s is not a linkfs volume (its meta.db is not a regular file)",
			    path);
	}
	if (r) {
		free(dir);
		return r;
	}
	*dir_out = dir;
	return 0;
}

static int is_empty(const char *dir, bool *out)
{
	DIR *d = opendir(dir);
	if (!d)
		return linkfs_from_errno(errno);
	bool empty = true;
	errno = 0;
	for (struct dirent *e; empty && (e = readdir(d));)
		empty = !strcmp(e->d_name, ".") || !strcmp(e->d_name, "..");
	int r = errno ? linkfs_from_errno(errno) : 0;
	(void)closedir(d);
	if (r == 0)
		*out = empty;
	return r;
}

int lk_host_claim_dir(const char *path, char **dir_out, bool *made_out, struct linkfs_message *why)
{
	/* 0700: what is in the volume has permissions of its own, and the pieces would go round them. */
	bool made = mkdir(path, 0700) == 0, empty = true;
	if (!made && errno != EEXIST) {
		int e = errno;
		if (e == ENOENT)
			return lk_fail(why, LINKFS_ENOENT, "cannot make %s: its parent directory does not exist", path);
		return lk_fail(why, linkfs_from_errno(e), "cannot make %s: %s", path, strerror(e));
	}
	int r = 0;
	if (!made) {
		struct stat st;
		if (stat(path, &st) || !S_ISDIR(st.st_mode))
			return lk_fail(why, LINKFS_EEXIST, "%s exists and is not a directory", path);
		r = is_empty(path, &empty);
		if (r)
			return lk_fail(why, r, "cannot read directory %s: %s", path, linkfs_strerror(r));
	}
	if (!empty) {
		char meta[PATH_MAX];
		struct stat st;
		bool volume = join(meta, sizeof(meta), path, "meta.db") == 0 && lstat(meta, &st) == 0;
		if (volume)
			return lk_fail(why, LINKFS_EEXIST, "%s is a linkfs volume already", path);
		return lk_fail(
			why, LINKFS_EEXIST,
			"%s is not empty; a new volume needs an empty directory, or a name that is not there yet",
			path);
	}
	r = absolute(path, dir_out, why);
	if (r && made)
		(void)rmdir(path);
	if (r == 0)
		*made_out = made;
	return r;
}

static int sync_one(const char *dir)
{
	int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return linkfs_from_errno(errno);
	int r = 0;
	/* Hosts that cannot sync a directory say so in several ways. */
	if (fsync(fd) && errno != EINVAL && errno != ENOSYS && errno != EOPNOTSUPP && errno != EBADF && errno != ENOTTY)
		r = linkfs_from_errno(errno);
	(void)close(fd);
	return r;
}

int lk_host_sync_dir(const char *dir, bool parent)
{
	int r = sync_one(dir);
	if (r || !parent)
		return r;
	char up[PATH_MAX];
	r = join(up, sizeof(up), dir, "..");
	if (r == 0)
		r = sync_one(up);
	/* A parent that we may not read cannot be synced; nothing can be done about it. */
	return r == LINKFS_EACCES ? 0 : r;
}

/* data.000000 and so on. */
static void remove_pieces(const char *dir)
{
	DIR *d = opendir(dir);
	if (!d)
		return;
	for (struct dirent *e; (e = readdir(d));) {
		const char *digits = e->d_name + 5;
		if (strncmp(e->d_name, "data.", 5) == 0 && strlen(digits) == 6 && strspn(digits, "0123456789") == 6)
			(void)unlinkat(dirfd(d), e->d_name, 0);
	}
	(void)closedir(d);
}

void lk_host_remove_volume(const char *dir, bool made)
{
	static const char *const names[] = {"meta.db-wal", "meta.db-shm", "meta.db-journal", "meta.db", "lock"};
	char path[PATH_MAX];
	for (size_t i = 0; i < LK_ARRAY_LEN(names); i++) {
		if (join(path, sizeof(path), dir, names[i]) == 0)
			(void)unlink(path);
	}
	remove_pieces(dir);
	if (made)
		(void)rmdir(dir);
}

int lk_host_usage(int dir_fd, uint64_t *data_out, uint64_t *meta_out)
{
	uint64_t data = 0, meta = 0;
	int fd = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fd >= 0 ? fdopendir(fd) : NULL;
	if (!d) {
		int error = linkfs_from_errno(errno);
		if (fd >= 0)
			(void)close(fd);
		return error;
	}
	struct stat st;
	for (struct dirent *e; (e = readdir(d));) {
		bool piece = strncmp(e->d_name, "data.", 5) == 0;
		if (!piece && strncmp(e->d_name, "meta.db", 7) != 0)
			continue;
		if (fstatat(dirfd(d), e->d_name, &st, AT_SYMLINK_NOFOLLOW) || !S_ISREG(st.st_mode))
			continue;
		if (piece)
			data += (uint64_t)st.st_blocks * 512;
		else
			meta += (uint64_t)st.st_size;
	}
	(void)closedir(d);
	*data_out = data;
	*meta_out = meta;
	return 0;
}
