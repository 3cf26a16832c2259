/*
 * restore_meta.c - attributes for linkfs restore: set through descriptors in an order in which none undoes another (a change of owner drops
 * setuid bits and capabilities, extended attributes need the right to write), and compared.
 */
#include "restore.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/xattr.h>
#include <unistd.h>

#define NAMES_SIZE ((size_t)LINKFS_XATTR_SIZE_MAX * 2)

static int host_error(void)
{
	return linkfs_from_errno(errno);
}

struct held {
	int fd;
	bool path; /* O_PATH: what takes a descriptor takes this one by its name in /proc */
	char name[40];
};

static struct held hold(int fd, bool path)
{
	struct held h = {.fd = fd, .path = path};
	snprintf(h.name, sizeof(h.name), "/proc/self/fd/%d", fd);
	return h;
}

/* ---- extended attributes ---- */

/* Labels that a security module of the host keeps are its own business, and names that mean something to one file system only. */
static bool is_foreign(const char *name)
{
	if (strncmp(name, "security.", 9) == 0)
		return strcmp(name, "security.selinux") == 0 || strncmp(name, "security.SMACK64", 16) == 0 ||
		       strcmp(name, "security.ima") == 0 || strcmp(name, "security.evm") == 0;
	return strncmp(name, "system.", 7) == 0 && strncmp(name, "system.posix_acl_", 17) != 0;
}

/* For root alone. Ordinary users do not see the first at all. */
static bool is_privileged(const char *name)
{
	return strncmp(name, "trusted.", 8) == 0 || strncmp(name, "security.", 9) == 0;
}

static int source_names(struct restore *r, const struct copy_dir *from, uint64_t ino, size_t *len_out)
{
	int error = linkfs_node_listxattr(from->volume, &r->cli->cred, ino, r->buf, NAMES_SIZE, len_out);
	if (error == LINKFS_EOPNOTSUPP) {
		*len_out = 0;
		return 0;
	}
	return error;
}

static int there_names(const struct held *h, char *names, size_t *len_out)
{
	ssize_t n = h->path ? listxattr(h->name, names, NAMES_SIZE) : flistxattr(h->fd, names, NAMES_SIZE);
	if (n < 0 && errno != EOPNOTSUPP && errno != EPERM)
		return host_error();
	*len_out = n < 0 ? 0 : (size_t)n;
	return 0;
}

static bool has_name(const char *names, size_t len, const char *name)
{
	for (size_t i = 0; i < len; i += strlen(names + i) + 1) {
		if (strcmp(names + i, name) == 0)
			return true;
	}
	return false;
}

/* Those that the source does not have go; names are the source's. */
static int clean_xattrs(const struct held *h, const char *names, size_t len, char *there)
{
	size_t there_len = 0;
	int error = there_names(h, there, &there_len);
	for (size_t i = 0; i < there_len && !error; i += strlen(there + i) + 1) {
		const char *name = there + i;
		if (is_foreign(name) || has_name(names, len, name))
			continue;
		int n = h->path ? removexattr(h->name, name) : fremovexattr(h->fd, name);
		if (n != 0 && errno != ENODATA && errno != EPERM && errno != EACCES)
			error = host_error();
	}
	return error;
}

/* Some file systems say that they are full when they have little room for one file's attributes. */
static int xattr_error(int fd)
{
	int error = host_error();
	struct statvfs fs;
	if (error == LINKFS_ENOSPC && fstatvfs(fd, &fs) == 0 && fs.f_bavail > 0)
		error = LINKFS_E2BIG;
	return error;
}

static int set_xattrs(struct restore *r, const struct copy_dir *from, uint64_t ino, const struct held *h, bool clean)
{
	char *names = r->buf, *value = r->buf + NAMES_SIZE;
	size_t len = 0, size = 0;
	bool missed = false;
	int error = source_names(r, from, ino, &len);
	if (!error && clean)
		error = clean_xattrs(h, names, len, value);
	for (size_t i = 0; i < len && !error; i += strlen(names + i) + 1) {
		const char *name = names + i;
		if (is_foreign(name))
			continue;
		if (is_privileged(name) && !r->privileged) {
			missed = true;
			continue;
		}
		error = linkfs_node_getxattr(from->volume, &r->cli->cred, ino, name, value, LINKFS_XATTR_SIZE_MAX,
					     &size);
		if (error) {
			error = error == LINKFS_ENODATA ? 0 : error;
			continue;
		}
		int n = h->path ? setxattr(h->name, name, value, size, 0) : fsetxattr(h->fd, name, value, size, 0);
		if (n != 0 && (errno == EPERM || errno == EOPNOTSUPP))
			missed = true;
		else if (n != 0)
			error = xattr_error(h->fd);
	}
	r->done.no_xattrs += missed;
	return error;
}

/* ---- owner, mode, times ---- */

static struct timespec spec_of(int64_t ns)
{
	int64_t rest = ns % 1000000000;
	if (rest < 0)
		rest += 1000000000;
	return (struct timespec){.tv_sec = (time_t)((ns - rest) / 1000000000), .tv_nsec = (long)rest};
}

/* Sets what may be set; *mode_out loses bits that would be somebody else's rights. */
static int set_owner(struct restore *r, const struct linkfs_stat *st, int fd, uint32_t *mode_out)
{
	struct stat now;
	if (fstat(fd, &now) != 0)
		return host_error();
	if (now.st_uid == st->uid && now.st_gid == st->gid)
		return 0;
	if (fchownat(fd, "", st->uid, st->gid, AT_EMPTY_PATH) == 0)
		return 0;
	/* EINVAL: an id that this user namespace or file system does not have. */
	if (errno != EPERM && errno != EINVAL && errno != EOPNOTSUPP)
		return host_error();
	if (now.st_gid != st->gid && fchownat(fd, "", (uid_t)-1, st->gid, AT_EMPTY_PATH) == 0)
		now.st_gid = st->gid;
	if (now.st_uid != st->uid)
		*mode_out &= ~(uint32_t)S_ISUID;
	if (now.st_gid != st->gid)
		*mode_out &= ~(uint32_t)S_ISGID;
	r->done.no_owner++;
	return 0;
}

int restore_attributes(struct restore *r, const struct copy_dir *from, const struct copy_stat *st, int fd, bool path,
		       bool clean)
{
	struct held h = hold(fd, path);
	uint32_t mode = st->st.mode & RESTORE_MODE_BITS;
	struct timespec times[2] = {spec_of(st->st.atime_ns), spec_of(st->st.mtime_ns)};
	int error = set_owner(r, &st->st, fd, &mode);
	if (!error)
		error = set_xattrs(r, from, st->st.ino, &h, clean);
	if (!error && (path ? utimensat(fd, "", times, AT_EMPTY_PATH) : futimens(fd, times)) != 0)
		error = host_error();
	/* Last, as it opens a directory to others. */
	if (!error && !S_ISLNK(st->st.mode) && (path ? chmod(h.name, mode) : fchmod(fd, mode)) != 0) {
		struct stat now;
		/* File systems without modes. */
		if ((errno == EPERM || errno == EOPNOTSUPP) && fstat(fd, &now) == 0 && now.st_uid == geteuid())
			r->done.no_mode++;
		else
			error = host_error();
	}
	return error;
}

/* ---- compared ---- */

static int compare_xattrs(struct restore *r, const struct copy_dir *from, uint64_t ino, const struct held *h,
			  bool strict, bool *differ_out)
{
	char *names = r->buf, *there = r->buf + NAMES_SIZE, *a = there + NAMES_SIZE, *b = a + LINKFS_XATTR_SIZE_MAX;
	size_t len = 0, there_len = 0, size = 0;
	int error = source_names(r, from, ino, &len);
	if (!error)
		error = there_names(h, there, &there_len);
	for (size_t i = 0; i < there_len && !error && !*differ_out; i += strlen(there + i) + 1)
		*differ_out = !is_foreign(there + i) && !has_name(names, len, there + i);
	for (size_t i = 0; i < len && !error && !*differ_out; i += strlen(names + i) + 1) {
		const char *name = names + i;
		if (is_foreign(name) || (!r->privileged && is_privileged(name) && !strict))
			continue;
		error = linkfs_node_getxattr(from->volume, &r->cli->cred, ino, name, a, LINKFS_XATTR_SIZE_MAX, &size);
		if (error)
			continue;
		ssize_t n = h->path ? getxattr(h->name, name, b, LINKFS_XATTR_SIZE_MAX)
				    : fgetxattr(h->fd, name, b, LINKFS_XATTR_SIZE_MAX);
		if (n < 0 && errno != ENODATA && errno != EOPNOTSUPP && errno != EPERM)
			error = host_error();
		else
			*differ_out = n < 0 || (size_t)n != size || memcmp(a, b, size) != 0;
	}
	return error;
}

int restore_compare_meta(struct restore *r, const struct copy_dir *from, const struct copy_stat *st, int fd,
			 const struct copy_stat *there, bool strict, uint32_t *what_out)
{
	struct held h = hold(fd, true);
	uint32_t mode = st->st.mode & RESTORE_MODE_BITS, what = 0;
	bool owner = st->st.uid != there->st.uid || st->st.gid != there->st.gid, xattrs = false;
	if (owner && !strict && !r->privileged) {
		/* What was restored before is as well as it can be. */
		if (st->st.uid != there->st.uid)
			mode &= ~(uint32_t)S_ISUID;
		if (st->st.gid != there->st.gid)
			mode &= ~(uint32_t)S_ISGID;
		owner = there->st.uid != geteuid();
	}
	if (owner)
		what |= LINKFS_DIFF_OWNER;
	if (!S_ISLNK(st->st.mode) && mode != (there->st.mode & RESTORE_MODE_BITS))
		what |= LINKFS_DIFF_MODE;
	if (st->st.mtime_ns != there->st.mtime_ns)
		what |= LINKFS_DIFF_TIME;
	if ((S_ISBLK(st->st.mode) || S_ISCHR(st->st.mode)) &&
	    (st->st.rdev_major != there->st.rdev_major || st->st.rdev_minor != there->st.rdev_minor))
		what |= LINKFS_DIFF_DEVICE;
	int error = compare_xattrs(r, from, st->st.ino, &h, strict, &xattrs);
	if (xattrs)
		what |= LINKFS_DIFF_XATTRS;
	*what_out |= what;
	return error;
}
