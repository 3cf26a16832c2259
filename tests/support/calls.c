/*
 * calls.c - defines the system calls of calls.h in the test program, in front of libc's.
 *
 * A descriptor below the watched directory has an entry in fds; all others go straight on. The names ending in 64 are
 * the same calls here: files are 64-bit in both.
 */
#undef _FILE_OFFSET_BITS
#undef _FORTIFY_SOURCE
#include "calls.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

_Static_assert(sizeof(off_t) == 8, "off_t and off64_t are one");

#define PUBLIC __attribute__((visibility("default")))
#define FDS_MAX 4096
#define FILES_MAX 4096

struct fd_entry {
	uint32_t file; /* 0: not watched */
	char name[NAME_MAX + 1];
};

static atomic_bool watching;
static _Thread_local bool inside; /* a hook is running, or a call of our own */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static char watched[PATH_MAX];
static size_t watched_len;
static const struct calls_hooks *hooks;
static struct fd_entry fds[FDS_MAX];
static struct {
	dev_t dev;
	ino_t ino;
	bool gone;
} files[FILES_MAX];
static uint32_t file_count;

static void *next(const char *name)
{
	void *p = dlsym(RTLD_NEXT, name);
	if (!p) {
		(void)fprintf(stderr, "calls: no %s behind ours\n", name);
		abort();
	}
	return p;
}

/* real_NAME: the next definition of NAME, found at its first use. */
#define REAL(type, name, ...)                                                                                          \
	typedef type name##_fn(__VA_ARGS__);                                                                           \
	static name##_fn *real_##name(void)                                                                            \
	{                                                                                                              \
		static _Atomic(name##_fn *) found;                                                                     \
		name##_fn *fn = atomic_load_explicit(&found, memory_order_relaxed);                                    \
		if (!fn) {                                                                                             \
			void *p = next(#name);                                                                         \
			memcpy(&fn, &p, sizeof(fn));                                                                   \
			atomic_store_explicit(&found, fn, memory_order_relaxed);                                       \
		}                                                                                                      \
		return fn;                                                                                             \
	}

REAL(int, openat, int, const char *, int, ...)
REAL(int, close, int)
REAL(ssize_t, read, int, void *, size_t)
REAL(ssize_t, pread, int, void *, size_t, off_t)
REAL(ssize_t, readv, int, const struct iovec *, int)
REAL(ssize_t, preadv, int, const struct iovec *, int, off_t)
REAL(ssize_t, write, int, const void *, size_t)
REAL(ssize_t, pwrite, int, const void *, size_t, off_t)
REAL(ssize_t, writev, int, const struct iovec *, int)
REAL(ssize_t, pwritev, int, const struct iovec *, int, off_t)
REAL(int, ftruncate, int, off_t)
REAL(int, fallocate, int, int, off_t, off_t)
REAL(int, posix_fallocate, int, off_t, off_t)
REAL(int, fsync, int)
REAL(int, fdatasync, int)
REAL(int, renameat, int, const char *, int, const char *)
REAL(int, renameat2, int, const char *, int, const char *, unsigned)
REAL(int, unlinkat, int, const char *, int)
REAL(int, mkdir, const char *, mode_t)
REAL(void *, mmap, void *, size_t, int, int, int, off_t)

/* ---- what is watched ------------------------------------------------------------------------------------------------- */

static bool is_active(void)
{
	return atomic_load_explicit(&watching, memory_order_acquire) && !inside;
}

static bool is_watched(int fd)
{
	return is_active() && fd >= 0 && fd < FDS_MAX && fds[fd].file;
}

static void enter(void)
{
	(void)pthread_mutex_lock(&lock);
	inside = true;
}

static void leave(void)
{
	inside = false;
	(void)pthread_mutex_unlock(&lock);
}

/* The name below the watched directory of path from directory at: "" for itself, NULL when it lies elsewhere. */
static const char *name_of(int at, const char *path, char out[NAME_MAX + 1])
{
	char whole[2 * PATH_MAX];
	const char *base = "";
	char cwd[PATH_MAX];
	if (path[0] != '/' && at == AT_FDCWD) {
		base = getcwd(cwd, sizeof(cwd));
		if (!base)
			return NULL;
	} else if (path[0] != '/') {
		if (at < 0 || at >= FDS_MAX || !fds[at].file || fds[at].name[0])
			return NULL;
		base = watched;
	}
	int n = path[0] == '/' ? snprintf(whole, sizeof(whole), "%s", path)
			       : snprintf(whole, sizeof(whole), "%s/%s", base, path);
	if (n < 0 || (size_t)n >= sizeof(whole))
		return NULL;
	while (n > 1 && (whole[n - 1] == '/' || (whole[n - 1] == '.' && whole[n - 2] == '/')))
		whole[--n] = 0;
	if (strncmp(whole, watched, watched_len) != 0)
		return NULL;
	if (!whole[watched_len]) {
		out[0] = 0;
		return out;
	}
	const char *name = whole + watched_len + 1;
	if (whole[watched_len] != '/' || strchr(name, '/') || strlen(name) > NAME_MAX || strcmp(name, "..") == 0)
		return NULL;
	(void)strcpy(out, name);
	return out;
}

static uint32_t file_number(int fd, bool made)
{
	struct stat st;
	if (fstat(fd, &st))
		return 0;
	for (uint32_t i = 0; i < file_count && !made; i++) {
		if (files[i].dev == st.st_dev && files[i].ino == st.st_ino && !files[i].gone)
			return i + 1;
	}
	if (file_count == FILES_MAX) {
		(void)fprintf(stderr, "calls: more than %d files\n", FILES_MAX);
		abort();
	}
	files[file_count].dev = st.st_dev;
	files[file_count].ino = st.st_ino;
	files[file_count].gone = false;
	return ++file_count;
}

static uint32_t number_of_name(const char *path)
{
	struct stat st;
	if (lstat(path, &st))
		return 0;
	for (uint32_t i = 0; i < file_count; i++) {
		if (files[i].dev == st.st_dev && files[i].ino == st.st_ino && !files[i].gone)
			return i + 1;
	}
	return 0;
}

static bool wanted(const struct call *call)
{
	return hooks->kinds & CALL_BIT(call->kind);
}

static int ask(struct call *call)
{
	return wanted(call) && hooks->before ? hooks->before(hooks->arg, call) : 0;
}

/* Tells what came of it; leaves errno as the caller is to see it. */
static int64_t tell(const struct call *call, int64_t result, int error)
{
	if (wanted(call) && hooks->after)
		hooks->after(hooks->arg, call, result, result < 0 ? error : 0);
	errno = error;
	return result;
}

/* A call on a watched descriptor: hooks around what made() does. */
typedef int64_t make_fn(int fd, const struct call *call);

static int64_t on_fd(int fd, struct call *call, make_fn *make)
{
	enter();
	call->file = fds[fd].file;
	call->name = fds[fd].name;
	int error = ask(call);
	int64_t result = -1;
	if (error == CALL_PRETEND) {
		result = call->kind == CALL_READ || call->kind == CALL_WRITE ? (int64_t)call->len : 0;
		error = 0;
	} else if (!error) {
		errno = 0;
		result = make(fd, call);
		error = errno;
	}
	result = tell(call, result, error);
	leave();
	return result;
}

/* ---- content --------------------------------------------------------------------------------------------------------- */

static int64_t make_read(int fd, const struct call *call)
{
	return real_pread()(fd, (void *)(uintptr_t)call->data, call->len, (off_t)call->offset);
}

static int64_t make_write(int fd, const struct call *call)
{
	return real_pwrite()(fd, call->data, call->len, (off_t)call->offset);
}

/* At the descriptor's own offset, which moves. */
static int64_t at_offset(int fd, struct call *call, make_fn *make)
{
	bool end = call->kind == CALL_WRITE && fcntl(fd, F_GETFL) & O_APPEND;
	off_t at = lseek(fd, 0, end ? SEEK_END : SEEK_CUR);
	call->offset = (uint64_t)at;
	int64_t n = at < 0 ? -1 : on_fd(fd, call, make);
	int error = errno;
	if (n > 0)
		(void)lseek(fd, at + n, SEEK_SET);
	errno = error;
	return n;
}

/* As one piece: what a power cut does to it is the same. */
static int64_t vector(int fd, const struct iovec *v, int count, const off_t *offset, bool writing)
{
	size_t len = 0, at = 0;
	for (int i = 0; i < count; i++)
		len += v[i].iov_len;
	char *all = malloc(len ? len : 1);
	if (!all)
		abort();
	for (int i = 0; i < count && writing; at += v[i++].iov_len)
		memcpy(all + at, v[i].iov_base, v[i].iov_len);
	struct call call = {.kind = writing ? CALL_WRITE : CALL_READ, .data = all, .len = len};
	call.offset = offset ? (uint64_t)*offset : 0;
	make_fn *make = writing ? make_write : make_read;
	int64_t n = offset ? on_fd(fd, &call, make) : at_offset(fd, &call, make);
	at = 0;
	for (int i = 0; i < count && !writing && n > 0 && at < (size_t)n; i++) {
		size_t part = v[i].iov_len < (size_t)n - at ? v[i].iov_len : (size_t)n - at;
		memcpy(v[i].iov_base, all + at, part);
		at += part;
	}
	int error = errno;
	free(all);
	errno = error;
	return n;
}

PUBLIC ssize_t read(int fd, void *buf, size_t len)
{
	struct call call = {.kind = CALL_READ, .data = buf, .len = len};
	return is_watched(fd) ? (ssize_t)at_offset(fd, &call, make_read) : real_read()(fd, buf, len);
}

PUBLIC ssize_t pread(int fd, void *buf, size_t len, off_t offset)
{
	struct call call = {.kind = CALL_READ, .data = buf, .len = len, .offset = (uint64_t)offset};
	return is_watched(fd) ? (ssize_t)on_fd(fd, &call, make_read) : real_pread()(fd, buf, len, offset);
}

PUBLIC ssize_t readv(int fd, const struct iovec *v, int count)
{
	return is_watched(fd) ? (ssize_t)vector(fd, v, count, NULL, false) : real_readv()(fd, v, count);
}

PUBLIC ssize_t preadv(int fd, const struct iovec *v, int count, off_t offset)
{
	return is_watched(fd) ? (ssize_t)vector(fd, v, count, &offset, false) : real_preadv()(fd, v, count, offset);
}

PUBLIC ssize_t write(int fd, const void *buf, size_t len)
{
	struct call call = {.kind = CALL_WRITE, .data = buf, .len = len};
	return is_watched(fd) ? (ssize_t)at_offset(fd, &call, make_write) : real_write()(fd, buf, len);
}

PUBLIC ssize_t pwrite(int fd, const void *buf, size_t len, off_t offset)
{
	struct call call = {.kind = CALL_WRITE, .data = buf, .len = len, .offset = (uint64_t)offset};
	return is_watched(fd) ? (ssize_t)on_fd(fd, &call, make_write) : real_pwrite()(fd, buf, len, offset);
}

PUBLIC ssize_t writev(int fd, const struct iovec *v, int count)
{
	return is_watched(fd) ? (ssize_t)vector(fd, v, count, NULL, true) : real_writev()(fd, v, count);
}

PUBLIC ssize_t pwritev(int fd, const struct iovec *v, int count, off_t offset)
{
	return is_watched(fd) ? (ssize_t)vector(fd, v, count, &offset, true) : real_pwritev()(fd, v, count, offset);
}

static int64_t make_truncate(int fd, const struct call *call)
{
	return real_ftruncate()(fd, (off_t)call->offset);
}

PUBLIC int ftruncate(int fd, off_t size)
{
	struct call call = {.kind = CALL_TRUNCATE, .offset = (uint64_t)size};
	return is_watched(fd) ? (int)on_fd(fd, &call, make_truncate) : real_ftruncate()(fd, size);
}

static int64_t make_allocate(int fd, const struct call *call)
{
	return real_fallocate()(fd, call->mode, (off_t)call->offset, (off_t)call->len);
}

PUBLIC int fallocate(int fd, int mode, off_t offset, off_t len)
{
	struct call call = {.kind = CALL_ALLOCATE, .mode = mode, .offset = (uint64_t)offset, .len = (uint64_t)len};
	return is_watched(fd) ? (int)on_fd(fd, &call, make_allocate) : real_fallocate()(fd, mode, offset, len);
}

/* Returns its error and leaves errno alone. */
static int64_t make_posix_allocate(int fd, const struct call *call)
{
	errno = real_posix_fallocate()(fd, (off_t)call->offset, (off_t)call->len);
	return errno ? -1 : 0;
}

PUBLIC int posix_fallocate(int fd, off_t offset, off_t len)
{
	struct call call = {.kind = CALL_ALLOCATE, .offset = (uint64_t)offset, .len = (uint64_t)len};
	if (!is_watched(fd))
		return real_posix_fallocate()(fd, offset, len);
	int before = errno;
	int error = on_fd(fd, &call, make_posix_allocate) < 0 ? errno : 0;
	errno = before;
	return error;
}

static int64_t make_sync(int fd, const struct call *call)
{
	return call->mode ? real_fdatasync()(fd) : real_fsync()(fd);
}

PUBLIC int fsync(int fd)
{
	struct call call = {.kind = CALL_SYNC};
	return is_watched(fd) ? (int)on_fd(fd, &call, make_sync) : real_fsync()(fd);
}

PUBLIC int fdatasync(int fd)
{
	struct call call = {.kind = CALL_SYNC, .mode = 1};
	return is_watched(fd) ? (int)on_fd(fd, &call, make_sync) : real_fdatasync()(fd);
}

PUBLIC void *mmap(void *at, size_t len, int prot, int flags, int fd, off_t offset)
{
	struct call call = {.kind = CALL_MAP, .mode = prot, .offset = (uint64_t)offset, .len = len};
	if (!(flags & MAP_SHARED) || !is_watched(fd))
		return real_mmap()(at, len, prot, flags, fd, offset);
	enter();
	call.file = fds[fd].file;
	call.name = fds[fd].name;
	int error = ask(&call);
	void *p = MAP_FAILED;
	if (!error) {
		errno = 0;
		p = real_mmap()(at, len, prot, flags, fd, offset);
		error = errno;
	}
	(void)tell(&call, p == MAP_FAILED ? -1 : 0, error);
	leave();
	return p;
}

/* ---- names --------------------------------------------------------------------------------------------------------------- */

static int open_watched(int at, const char *path, int flags, mode_t mode, const char *name)
{
	struct stat st;
	struct call call = {.kind = CALL_OPEN, .name = name, .mode = flags, .file = 0};
	call.made = flags & O_CREAT && fstatat(at, path, &st, AT_SYMLINK_NOFOLLOW) && errno == ENOENT;
	int fd = -1, error = ask(&call);
	if (!error) {
		errno = 0;
		fd = real_openat()(at, path, flags, mode);
		error = errno;
	}
	if (fd >= FDS_MAX)
		abort();
	if (fd >= 0) {
		call.file = fds[fd].file = file_number(fd, call.made);
		(void)strcpy(fds[fd].name, name);
	}
	return (int)tell(&call, fd, error);
}

static int open_any(int at, const char *path, int flags, mode_t mode)
{
	char name[NAME_MAX + 1];
	if (!is_active())
		return real_openat()(at, path, flags, mode);
	enter();
	const char *found = name_of(at, path, name);
	int fd = found ? open_watched(at, path, flags, mode, found) : real_openat()(at, path, flags, mode);
	int error = errno;
	leave();
	errno = error;
	return fd;
}

#define OPEN_MODE(flags)                                                                                               \
	mode_t mode = 0;                                                                                               \
	if ((flags) & (O_CREAT | __O_TMPFILE)) {                                                                       \
		va_list args;                                                                                          \
		va_start(args, flags);                                                                                 \
		mode = va_arg(args, mode_t);                                                                           \
		va_end(args);                                                                                          \
	}

PUBLIC int open(const char *path, int flags, ...)
{
	OPEN_MODE(flags)
	return open_any(AT_FDCWD, path, flags, mode);
}

PUBLIC int openat(int at, const char *path, int flags, ...)
{
	OPEN_MODE(flags)
	return open_any(at, path, flags, mode);
}

PUBLIC int close(int fd)
{
	if (fd >= 0 && fd < FDS_MAX && fds[fd].file) {
		/* Before the call: the number may be another thread's right after it. */
		bool nested = inside;
		if (!nested)
			enter();
		fds[fd].file = 0;
		if (!nested)
			leave();
	}
	return real_close()(fd);
}

static void forget(uint32_t file)
{
	if (file)
		files[file - 1].gone = true;
}

static int real_rename(int at, const char *path, int to_at, const char *to, unsigned flags)
{
	return flags ? real_renameat2()(at, path, to_at, to, flags) : real_renameat()(at, path, to_at, to);
}

static int64_t on_names(struct call *call, int at, const char *path, int to_at, const char *to, int flags)
{
	int error = ask(call);
	int64_t result = -1;
	if (!error) {
		errno = 0;
		if (call->kind == CALL_RENAME)
			result = real_rename(at, path, to_at, to, (unsigned)flags);
		else if (call->kind == CALL_MKDIR)
			result = real_mkdir()(path, (mode_t)flags);
		else
			result = real_unlinkat()(at, path, flags);
		error = errno;
	}
	for (int i = 0; i < FDS_MAX && result == 0 && call->kind == CALL_RENAME && call->to; i++) {
		if (fds[i].file && fds[i].file == call->file)
			(void)strcpy(fds[i].name, call->to);
	}
	return tell(call, result, error);
}

PUBLIC int unlinkat(int at, const char *path, int flags)
{
	char name[NAME_MAX + 1];
	if (!is_active())
		return real_unlinkat()(at, path, flags);
	enter();
	struct call call = {.kind = CALL_UNLINK, .name = name_of(at, path, name), .mode = flags};
	struct stat st;
	int r;
	if (call.name) {
		bool last = fstatat(at, path, &st, AT_SYMLINK_NOFOLLOW) == 0 && st.st_nlink == 1;
		call.file = at == AT_FDCWD ? number_of_name(path) : 0;
		r = (int)on_names(&call, at, path, 0, NULL, flags);
		if (r == 0 && last)
			forget(call.file);
	} else {
		r = real_unlinkat()(at, path, flags);
	}
	int error = errno;
	leave();
	errno = error;
	return r;
}

PUBLIC int unlink(const char *path)
{
	return unlinkat(AT_FDCWD, path, 0);
}

PUBLIC int rmdir(const char *path)
{
	return unlinkat(AT_FDCWD, path, AT_REMOVEDIR);
}

static int rename_any(int at, const char *path, int to_at, const char *to, unsigned flags)
{
	char from_name[NAME_MAX + 1], to_name[NAME_MAX + 1];
	if (!is_active())
		return real_rename(at, path, to_at, to, flags);
	enter();
	struct call call = {.kind = CALL_RENAME, .name = name_of(at, path, from_name), .mode = (int)flags};
	call.to = name_of(to_at, to, to_name);
	int r;
	if (call.name || call.to) {
		if (flags & ~(unsigned)RENAME_NOREPLACE)
			abort(); /* nothing here exchanges names */
		uint32_t over = to_at == AT_FDCWD ? number_of_name(to) : 0;
		call.file = at == AT_FDCWD ? number_of_name(path) : 0;
		r = (int)on_names(&call, at, path, to_at, to, (int)flags);
		if (r == 0 && over != call.file)
			forget(over);
	} else {
		r = real_rename(at, path, to_at, to, flags);
	}
	int error = errno;
	leave();
	errno = error;
	return r;
}

PUBLIC int renameat(int at, const char *path, int to_at, const char *to)
{
	return rename_any(at, path, to_at, to, 0);
}

PUBLIC int renameat2(int at, const char *path, int to_at, const char *to, unsigned flags)
{
	return rename_any(at, path, to_at, to, flags);
}

PUBLIC int rename(const char *path, const char *to)
{
	return renameat(AT_FDCWD, path, AT_FDCWD, to);
}

PUBLIC int mkdir(const char *path, mode_t mode)
{
	char name[NAME_MAX + 1];
	if (!is_active())
		return real_mkdir()(path, mode);
	enter();
	struct call call = {.kind = CALL_MKDIR, .name = name_of(AT_FDCWD, path, name), .mode = (int)mode};
	int r = call.name ? (int)on_names(&call, AT_FDCWD, path, 0, NULL, (int)mode) : real_mkdir()(path, mode);
	int error = errno;
	leave();
	errno = error;
	return r;
}

/* ---- the names that end in 64 --------------------------------------------------------------------------------------------- */

#define SAME_AS(name) __attribute__((visibility("default"), alias(name)))
/* Declared anew, because the headers know these types as others of the same shape. */
int open64(const char *path, int flags, ...) SAME_AS("open");
int openat64(int at, const char *path, int flags, ...) SAME_AS("openat");
ssize_t pread64(int fd, void *buf, size_t len, __off64_t offset) SAME_AS("pread");
ssize_t pwrite64(int fd, const void *buf, size_t len, __off64_t offset) SAME_AS("pwrite");
ssize_t preadv64(int fd, const struct iovec *v, int count, __off64_t offset) SAME_AS("preadv");
ssize_t pwritev64(int fd, const struct iovec *v, int count, __off64_t offset) SAME_AS("pwritev");
int ftruncate64(int fd, __off64_t size) SAME_AS("ftruncate");
int fallocate64(int fd, int mode, __off64_t offset, __off64_t len) SAME_AS("fallocate");
int posix_fallocate64(int fd, __off64_t offset, __off64_t len) SAME_AS("posix_fallocate");
void *mmap64(void *at, size_t len, int prot, int flags, int fd, __off64_t offset) SAME_AS("mmap");

/* ---- the watch -------------------------------------------------------------------------------------------------------------- */

void calls_watch(const char *dir, const struct calls_hooks *wanted_hooks)
{
	char *real = realpath(dir, NULL);
	enter();
	int n = snprintf(watched, sizeof(watched), "%s", real ? real : dir);
	watched_len = n < 0 ? 0 : (size_t)n;
	while (watched_len > 1 && watched[watched_len - 1] == '/')
		watched[--watched_len] = 0;
	memset(fds, 0, sizeof(fds));
	file_count = 0;
	hooks = wanted_hooks;
	leave();
	free(real);
	atomic_store_explicit(&watching, true, memory_order_release);
}

void calls_unwatch(void)
{
	atomic_store_explicit(&watching, false, memory_order_release);
	enter();
	memset(fds, 0, sizeof(fds));
	hooks = NULL;
	leave();
}

const char *call_kind_name(enum call_kind kind)
{
	static const char *const names[CALL_KINDS] = {"open", "read",   "write",  "truncate", "allocate",
						      "sync", "rename", "unlink", "mkdir",    "map"};
	return kind < CALL_KINDS ? names[kind] : "?";
}
