/*
 * unsteady.c - preloaded into linkfs by test_backup.py. Calls that change files in directory LINKFS_FAIL_DIR are counted: number LINKFS_FAIL_AT,
 * or all from LINKFS_FAIL_FROM on, fail (EIO); with LINKFS_FAIL_COUNT the last line on the error stream says how many there were. And a source that changes while it is backed up. LINKFS_UNSTEADY is a list of PATH=DEED with
 * newlines between: what happens to the file at PATH each time it is read (append, truncate, once, eio) or looked at (vanish, deny, gone, swap).
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

/* Whether path is to suffer the deed. */
static int suffers(const char *path, const char *deed)
{
	const char *list = getenv("LINKFS_UNSTEADY");
	size_t len = strlen(path);
	for (const char *p = list; p && *p; p = strchr(p, '\n') ? strchr(p, '\n') + 1 : NULL) {
		size_t deed_len = strlen(deed);
		if (strncmp(p, path, len) == 0 && p[len] == '=' && strncmp(p + len + 1, deed, deed_len) == 0 &&
		    (p[len + 1 + deed_len] == '\n' || p[len + 1 + deed_len] == '\0'))
			return 1;
	}
	return 0;
}

static int path_of(int fd, const char *name, char path[PATH_MAX + 256])
{
	char link[64];
	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	ssize_t n = readlink(link, path, PATH_MAX - 1);
	if (n < 0)
		return -1;
	path[n] = '\0';
	if (*name)
		snprintf(path + n, PATH_MAX + 256 - (size_t)n, "/%.255s", name);
	return 0;
}

static void append(const char *path)
{
	int fd = open(path, O_WRONLY | O_APPEND);
	if (fd >= 0 && write(fd, "more", 4) != 4)
		abort();
	if (fd >= 0)
		close(fd);
}

static ssize_t read_at(int fd, void *buf, size_t size, off_t offset)
{
	static ssize_t (*real)(int, void *, size_t, off_t);
	char path[PATH_MAX + 256];
	if (!real)
		real = (ssize_t(*)(int, void *, size_t, off_t))dlsym(RTLD_NEXT, "pread64");
	if (path_of(fd, "", path) != 0)
		return real(fd, buf, size, offset);
	if (suffers(path, "eio")) {
		errno = EIO;
		return -1;
	}
	ssize_t n = real(fd, buf, size, offset);
	if (suffers(path, "append"))
		append(path);
	if (suffers(path, "truncate") && truncate(path, 3) != 0)
		abort();
	if (suffers(path, "once")) {
		static int done;
		if (!done++)
			append(path);
	}
	return n;
}

/* With offsets of 64 bits this is pread64, as it is in linkfs. */
ssize_t pread(int fd, void *buf, size_t size, off_t offset)
{
	return read_at(fd, buf, size, offset);
}

/* ---- a disk that fails ------------------------------------------------------------------------------------------------------ */

static long changes;

static int fails(int fd)
{
	const char *dir = getenv("LINKFS_FAIL_DIR"), *one = getenv("LINKFS_FAIL_AT"),
		   *from = getenv("LINKFS_FAIL_FROM");
	char path[PATH_MAX + 256];
	if (!dir || path_of(fd, "", path) != 0 || strncmp(path, dir, strlen(dir)) != 0)
		return 0;
	long n = __atomic_add_fetch(&changes, 1, __ATOMIC_RELAXED);
	if (!(one && n == strtol(one, NULL, 10)) && !(from && n >= strtol(from, NULL, 10)))
		return 0;
	errno = EIO;
	return 1;
}

ssize_t pwrite(int fd, const void *buf, size_t size, off_t offset)
{
	static ssize_t (*real)(int, const void *, size_t, off_t);
	if (!real)
		real = (ssize_t(*)(int, const void *, size_t, off_t))dlsym(RTLD_NEXT, "pwrite64");
	return fails(fd) ? -1 : real(fd, buf, size, offset);
}

int fdatasync(int fd)
{
	static int (*real)(int);
	if (!real)
		real = (int (*)(int))dlsym(RTLD_NEXT, "fdatasync");
	return fails(fd) ? -1 : real(fd);
}

int ftruncate(int fd, off_t size)
{
	static int (*real)(int, off_t);
	if (!real)
		real = (int (*)(int, off_t))dlsym(RTLD_NEXT, "ftruncate64");
	return fails(fd) ? -1 : real(fd, size);
}

__attribute__((destructor)) static void tell(void)
{
	if (getenv("LINKFS_FAIL_COUNT"))
		fprintf(stderr, "%ld\n", changes);
}

/* ---- a source that changes -------------------------------------------------------------------------------------------------- */

int statx(int fd, const char *restrict name, int flags, unsigned mask, struct statx *restrict out)
{
	static int (*real)(int, const char *, int, unsigned, struct statx *);
	char path[PATH_MAX + 256], other[PATH_MAX + 300];
	if (!real)
		real = (int (*)(int, const char *, int, unsigned, struct statx *))dlsym(RTLD_NEXT, "statx");
	if (path_of(fd, name, path) != 0)
		return real(fd, name, flags, mask, out);
	if (*name && suffers(path, "vanish"))
		unlink(path);
	if (*name && suffers(path, "deny")) {
		errno = EACCES;
		return -1;
	}
	int r = real(fd, name, flags, mask, out);
	/* Between the look and the reading. */
	if (*name && suffers(path, "gone"))
		unlink(path);
	snprintf(other, sizeof(other), "%s.new", path);
	if (*name && suffers(path, "swap") && access(other, F_OK) == 0 && rename(other, path) != 0)
		abort();
	return r;
}
