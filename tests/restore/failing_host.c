/*
 * failing_host.c - a host whose calls fail: preloaded into linkfs by test_faults.py. Of the calls that restore makes on its destination, and the
 * volume's reads, the FAIL_NTH-th fails with FAIL_ERRNO; the number of all goes to FAIL_COUNT when the process ends. syncfs does not wait.
 * With SLOW_US, some calls wait first: what lies between two of them is open to others for longer (test_attack.py).
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/xattr.h>
#include <unistd.h>

static long calls, nth = -1;
static int error;
static unsigned slow_us;

static int fails(void)
{
	if (nth < 0) {
		const char *n = getenv("FAIL_NTH"), *e = getenv("FAIL_ERRNO");
		nth = n ? strtol(n, NULL, 10) : 0;
		error = e ? (int)strtol(e, NULL, 10) : EIO;
		const char *slow = getenv("SLOW_US");
		slow_us = slow ? (unsigned)strtoul(slow, NULL, 10) : 0;
		srandom((unsigned)getpid());
	}
	if (slow_us && random() % 16 == 0)
		usleep((unsigned)random() % slow_us);
	if (++calls != nth)
		return 0;
	errno = error;
	return 1;
}

__attribute__((destructor)) static void tell(void)
{
	const char *path = getenv("FAIL_COUNT");
	FILE *out = path ? fopen(path, "w") : NULL;
	if (out) {
		fprintf(out, "%ld\n", calls);
		fclose(out);
	}
}

#define REAL(type, name, params, args)                                                                                 \
	__attribute__((visibility("default"))) type name params                                                        \
	{                                                                                                              \
		static type(*real) params;                                                                             \
		if (fails())                                                                                           \
			return -1;                                                                                     \
		if (!real)                                                                                             \
			*(void **)&real = dlsym(RTLD_NEXT, #name);                                                     \
		return real args;                                                                                      \
	}

REAL(int, mkdirat, (int dir, const char *name, mode_t mode), (dir, name, mode))
REAL(int, mknodat, (int dir, const char *name, mode_t mode, dev_t dev), (dir, name, mode, dev))
REAL(int, symlinkat, (const char *text, int dir, const char *name), (text, dir, name))
REAL(int, linkat, (int from, const char *a, int to, const char *b, int flags), (from, a, to, b, flags))
REAL(int, unlinkat, (int dir, const char *name, int flags), (dir, name, flags))
REAL(int, renameat, (int from, const char *a, int to, const char *b), (from, a, to, b))
REAL(int, renameat2, (int from, const char *a, int to, const char *b, unsigned flags), (from, a, to, b, flags))
REAL(ssize_t, pwrite64, (int fd, const void *buf, size_t size, off64_t offset), (fd, buf, size, offset))
REAL(ssize_t, pread64, (int fd, void *buf, size_t size, off64_t offset), (fd, buf, size, offset))
REAL(int, ftruncate64, (int fd, off64_t size), (fd, size))
REAL(int, fchownat, (int dir, const char *name, uid_t uid, gid_t gid, int flags), (dir, name, uid, gid, flags))
REAL(int, fchmod, (int fd, mode_t mode), (fd, mode))
REAL(int, chmod, (const char *path, mode_t mode), (path, mode))
REAL(int, futimens, (int fd, const struct timespec times[2]), (fd, times))
REAL(int, utimensat, (int dir, const char *name, const struct timespec times[2], int flags), (dir, name, times, flags))
REAL(int, fsetxattr, (int fd, const char *name, const void *value, size_t size, int flags),
     (fd, name, value, size, flags))
REAL(int, setxattr, (const char *path, const char *name, const void *value, size_t size, int flags),
     (path, name, value, size, flags))
REAL(ssize_t, flistxattr, (int fd, char *list, size_t size), (fd, list, size))
REAL(int, statx, (int dir, const char *name, int flags, unsigned mask, struct statx *out),
     (dir, name, flags, mask, out))

__attribute__((visibility("default"))) int syncfs(int fd)
{
	(void)fd;
	return fails() ? -1 : 0;
}

/* openat2 has no function of its own. */
__attribute__((visibility("default"))) long syscall(long number, ...)
{
	static long (*real)(long, ...);
	long args[6];
	va_list ap;
	va_start(ap, number);
	for (int i = 0; i < 6; i++)
		args[i] = va_arg(ap, long);
	va_end(ap);
	if (number == SYS_openat2 && fails())
		return -1;
	if (!real)
		*(void **)&real = dlsym(RTLD_NEXT, "syscall");
	return real(number, args[0], args[1], args[2], args[3], args[4], args[5]);
}
