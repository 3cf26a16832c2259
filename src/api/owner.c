/*
 * owner.c - takes, tells and releases the lock file of a volume (F6, T6).
 * Layer: api.
 */
#include "owner.h"

#include "owner_text.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>

#define BEAT_SECONDS 20
#define BEAT_DEAD_SECONDS 90
/* lk_owner_read() takes the lock for an instant to see whether it is free; an opener outwaits that. */
#define TRIES 10
#define TRY_MS 5

struct lk_owner_file {
	int fd; /* -1: a reader of a volume whose lock file it cannot open */
	bool read_only;
	bool beating;
	bool stop;
	pthread_mutex_t mutex; /* guards text and stop */
	pthread_cond_t wake;
	pthread_t beater;
	struct lk_owner_text text;
};

static void sleep_ms(long ms)
{
	struct timespec t = {.tv_sec = 0, .tv_nsec = ms * 1000000};
	(void)nanosleep(&t, NULL);
}

static int lock_path(const char *dir, char *path, size_t size)
{
	int n = snprintf(path, size, "%s/lock", dir);
	return n < 0 || (size_t)n >= size ? LINKFS_ENAMETOOLONG : 0;
}

/* Whether flock here may not exclude other machines: file systems with others behind them, or a server we cannot see. */
static bool is_remote(int fd)
{
	static const unsigned long types[] = {
		0x6969,     /* NFS */
		0x517b,     /* SMB */
		0xfe534d42, /* SMB2 */
		0xff534d42, /* CIFS */
		0x01021997, /* 9p */
		0x65735546, /* FUSE */
		0x00c36400, /* Ceph */
		0x5346414f, /* AFS */
		0x6b414653, /* kAFS */
		0x73757245, /* Coda */
		0x0bd00bd0, /* Lustre */
		0x47504653, /* GPFS */
		0x7461636f, /* OCFS2 */
		0x01161970, /* GFS2 */
		0x786f4256, /* VirtualBox shared folder */
	};
	struct statfs s;
	if (fstatfs(fd, &s))
		return false;
	for (size_t i = 0; i < LK_ARRAY_LEN(types); i++) {
		if ((unsigned long)s.f_type == types[i])
			return true;
	}
	return false;
}

static void read_text(int fd, struct lk_owner_text *out)
{
	char text[LK_OWNER_TEXT_MAX];
	size_t n = 0;
	if (lk_pread_some(fd, text, sizeof(text), 0, &n))
		n = 0;
	lk_owner_parse(text, n, out);
}

static bool beats(const struct lk_owner_text *text)
{
	int64_t age = (int64_t)time(NULL) - text->beat;
	/* A beat from the future is another machine's clock: as good as now, up to a point. */
	return text->beat && age < BEAT_DEAD_SECONDS && age > -3600;
}

/* 0, LINKFS_ELOCKED, or LINKFS_EOPNOTSUPP when the host has no flock. */
static int try_flock(int fd, int how)
{
	for (;;) {
		if (flock(fd, how | LOCK_NB) == 0)
			return 0;
		if (errno == EINTR)
			continue;
		if (errno == EWOULDBLOCK)
			return LINKFS_ELOCKED;
		if (errno == ENOSYS || errno == EOPNOTSUPP || errno == ENOLCK || errno == EINVAL || errno == EBADF)
			return LINKFS_EOPNOTSUPP;
		return linkfs_from_errno(errno);
	}
}

static int flock_patiently(int fd, int how)
{
	int r = LINKFS_ELOCKED;
	for (int i = 0; i < TRIES && r == LINKFS_ELOCKED; i++) {
		if (i)
			sleep_ms(TRY_MS);
		r = try_flock(fd, how);
	}
	return r;
}

static int fail_locked(const char *dir, const struct lk_owner_text *t, struct linkfs_message *why)
{
	if (!t->pid || !t->host[0])
		return lk_fail(
			why, LINKFS_ELOCKED,
			"%s is in use by another process, which does not say who it is; `fuser %s/lock` may find it",
			dir, dir);
	bool local = lk_owner_is_local(t);
	if (t->mount_point[0])
		return lk_fail(
			why, LINKFS_ELOCKED,
			"%s is in use by process %llu on host %s, mounted at %s; work there, or unmount it first "
			"(`linkfs umount %s`%s%s)",
			dir, (unsigned long long)t->pid, t->host, t->mount_point, t->mount_point, local ? "" : " on ",
			local ? "" : t->host);
	return lk_fail(why, LINKFS_ELOCKED, "%s is in use by process %llu on host %s, not mounted; wait until it ends",
		       dir, (unsigned long long)t->pid, t->host);
}

static int fail_held(const char *dir, int fd, struct linkfs_message *why)
{
	/* Readers share the lock and leave the text alone: it is some former owner's. */
	if (try_flock(fd, LOCK_SH) == 0)
		return lk_fail(why, LINKFS_ELOCKED,
			       "%s is being read by another process (opened read-only); wait until it ends", dir);
	struct lk_owner_text text = {0};
	/* An owner that has just come has not written its text yet. */
	for (int i = 0; i < TRIES; i++) {
		if (i)
			sleep_ms(TRY_MS);
		read_text(fd, &text);
		if (text.pid)
			break;
	}
	return fail_locked(dir, &text, why);
}

static int fail_stranger(const char *dir, const struct lk_owner_text *t, struct linkfs_message *why)
{
	char host[sizeof(t->host)];
	memcpy(host, t->host, sizeof(host));
	return lk_fail(
		why, LINKFS_ELOCKED,
		"%s was in use by process %llu on host %s a moment ago; if that host is gone, try again in %d seconds",
		dir, (unsigned long long)t->pid, host[0] ? host : "(unknown)", BEAT_DEAD_SECONDS);
}

static int open_lock(const char *dir, bool read_only, int *fd_out, struct linkfs_message *why)
{
	char path[PATH_MAX];
	int r = lock_path(dir, path, sizeof(path));
	if (r)
		return lk_fail(why, r, "the path %s is too long", dir);
	int flags = O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | (read_only ? O_RDONLY : O_RDWR | O_CREAT);
	int fd = open(path, flags, 0600);
	if (fd < 0 && read_only && (errno == ENOENT || errno == EACCES || errno == EPERM)) {
		/* A volume on media without its lock file, or a private one: nobody can be kept out, reading goes on. */
		*fd_out = -1;
		return 0;
	}
	if (fd < 0) {
		int e = errno;
		if (e == EACCES || e == EPERM || e == EROFS)
			return lk_fail(why, linkfs_from_errno(e),
				       "cannot write to %s (%s); open it read-only, or change its permissions", path,
				       strerror(e));
		return lk_fail(why, linkfs_from_errno(e), "cannot open %s: %s", path, strerror(e));
	}
	struct stat st;
	if (fstat(fd, &st) || !S_ISREG(st.st_mode)) {
		(void)close(fd);
		return lk_fail(why, LINKFS_ENOTVOLUME, "%s is not a regular file: %s is no linkfs volume", path, dir);
	}
	*fd_out = fd;
	return 0;
}

/* The file we locked is still the one in the directory (somebody may have replaced it meanwhile). */
static bool still_there(const char *dir, int fd)
{
	char path[PATH_MAX];
	struct stat a, b;
	return lock_path(dir, path, sizeof(path)) == 0 && fstat(fd, &a) == 0 && lstat(path, &b) == 0 &&
	       a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

/* Best effort: a full host, or one that forgets, makes the message to others poorer and nothing worse. */
static void write_text(struct lk_owner_file *owner)
{
	char text[LK_OWNER_TEXT_MAX];
	if (owner->beating)
		owner->text.beat = (int64_t)time(NULL);
	size_t n = lk_owner_format(&owner->text, text);
	if (lk_pwrite_all(owner->fd, text, n, 0) == 0)
		(void)!ftruncate(owner->fd, (off_t)n);
}

static void *beat_main(void *arg)
{
	struct lk_owner_file *owner = arg;
	(void)pthread_mutex_lock(&owner->mutex);
	while (!owner->stop) {
		struct timespec at;
		(void)clock_gettime(CLOCK_REALTIME, &at);
		at.tv_sec += BEAT_SECONDS;
		if (pthread_cond_timedwait(&owner->wake, &owner->mutex, &at) == ETIMEDOUT)
			write_text(owner);
	}
	(void)pthread_mutex_unlock(&owner->mutex);
	return NULL;
}

static int copy_place(char *to, size_t size, const char *from)
{
	size_t n = from ? strlen(from) : 0;
	if (n >= size)
		return LINKFS_ENAMETOOLONG;
	memset(to, 0, size);
	if (n)
		memcpy(to, from, n);
	return 0;
}

/* With fd locked for us: makes *out. The beating owner gets its thread. */
static int become(int fd, bool read_only, bool beating, const char *mount_point, const char *control_socket,
		  struct lk_owner_file **out)
{
	struct lk_owner_file *owner = calloc(1, sizeof(*owner));
	if (!owner)
		return LINKFS_ENOMEM;
	owner->fd = fd;
	owner->read_only = read_only;
	lk_owner_self(&owner->text);
	int r = copy_place(owner->text.mount_point, sizeof(owner->text.mount_point), mount_point);
	if (r == 0)
		r = copy_place(owner->text.control_socket, sizeof(owner->text.control_socket), control_socket);
	if (r) {
		free(owner);
		return r;
	}
	(void)pthread_mutex_init(&owner->mutex, NULL);
	(void)pthread_cond_init(&owner->wake, NULL);
	owner->beating = beating && !read_only;
	if (!read_only)
		write_text(owner);
	if (owner->beating && pthread_create(&owner->beater, NULL, beat_main, owner))
		owner->beating = false;
	*out = owner;
	return 0;
}

int lk_owner_take(const char *dir, bool read_only, const char *mount_point, const char *control_socket,
		  struct lk_owner_file **out, struct linkfs_message *why)
{
	int fd = -1, r;
	for (;;) {
		r = open_lock(dir, read_only, &fd, why);
		if (r)
			return r;
		if (fd < 0)
			break;
		r = flock_patiently(fd, read_only ? LOCK_SH : LOCK_EX);
		if (r == LINKFS_ELOCKED) {
			r = fail_held(dir, fd, why);
			(void)close(fd);
			return r;
		}
		if (r && r != LINKFS_EOPNOTSUPP) {
			(void)close(fd);
			return lk_fail(why, r, "cannot lock %s/lock: %s", dir, linkfs_strerror(r));
		}
		if (read_only || still_there(dir, fd))
			break;
		(void)close(fd);
	}
	bool beating = false;
	if (fd >= 0) {
		beating = r == LINKFS_EOPNOTSUPP || is_remote(fd);
		struct lk_owner_text text;
		read_text(fd, &text);
		/* With flock, a former owner on this machine is surely gone. */
		if (beats(&text) && (r == LINKFS_EOPNOTSUPP || !lk_owner_is_local(&text))) {
			r = fail_stranger(dir, &text, why);
			(void)close(fd);
			return r;
		}
	}
	r = become(fd, read_only, beating, mount_point, control_socket, out);
	if (r) {
		if (fd >= 0)
			(void)close(fd);
		return lk_fail(why, r, "cannot own %s: %s", dir, linkfs_strerror(r));
	}
	return 0;
}

int lk_owner_tell(struct lk_owner_file *owner, const char *mount_point, const char *control_socket)
{
	if ((mount_point && strlen(mount_point) >= sizeof(owner->text.mount_point)) ||
	    (control_socket && strlen(control_socket) >= sizeof(owner->text.control_socket)))
		return LINKFS_ENAMETOOLONG;
	(void)pthread_mutex_lock(&owner->mutex);
	(void)copy_place(owner->text.mount_point, sizeof(owner->text.mount_point), mount_point);
	(void)copy_place(owner->text.control_socket, sizeof(owner->text.control_socket), control_socket);
	if (!owner->read_only && owner->fd >= 0)
		write_text(owner);
	(void)pthread_mutex_unlock(&owner->mutex);
	return 0;
}

void lk_owner_release(struct lk_owner_file *owner)
{
	if (!owner)
		return;
	if (owner->beating) {
		(void)pthread_mutex_lock(&owner->mutex);
		owner->stop = true;
		(void)pthread_cond_signal(&owner->wake);
		(void)pthread_mutex_unlock(&owner->mutex);
		(void)pthread_join(owner->beater, NULL);
	}
	if (owner->fd >= 0) {
		if (!owner->read_only)
			(void)!ftruncate(owner->fd, 0);
		(void)close(owner->fd);
	}
	(void)pthread_cond_destroy(&owner->wake);
	(void)pthread_mutex_destroy(&owner->mutex);
	free(owner);
}

/* The lock file, to look at. */
static int open_to_look(const char *dir, int *fd_out)
{
	char path[PATH_MAX];
	int r = lock_path(dir, path, sizeof(path));
	if (r)
		return r;
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (fd < 0)
		return linkfs_from_errno(errno);
	struct stat st;
	if (fstat(fd, &st) || !S_ISREG(st.st_mode)) {
		(void)close(fd);
		return LINKFS_ENOTVOLUME;
	}
	*fd_out = fd;
	return 0;
}

int lk_owner_wait(const char *dir, uint32_t milliseconds)
{
	int fd = -1;
	int r = open_to_look(dir, &fd);
	if (r)
		return r == LINKFS_ENOENT ? 0 : r; /* never opened, or nothing that would keep anybody out */
	r = try_flock(fd, LOCK_EX);
	for (uint32_t waited = 0; r == LINKFS_ELOCKED && waited < milliseconds; waited += TRY_MS) {
		sleep_ms(TRY_MS);
		r = try_flock(fd, LOCK_EX);
	}
	(void)close(fd);
	return r;
}

int lk_owner_read(const char *dir, struct linkfs_owner *out)
{
	int fd = -1;
	int r = open_to_look(dir, &fd);
	if (r)
		return r;
	r = try_flock(fd, LOCK_SH);
	bool locked = r == LINKFS_ELOCKED;
	if (r == 0)
		(void)flock(fd, LOCK_UN);
	struct lk_owner_text text = {0};
	for (int i = 0; i < TRIES; i++) {
		read_text(fd, &text);
		if (text.pid || !locked)
			break;
		sleep_ms(TRY_MS);
	}
	(void)close(fd);
	if (r && r != LINKFS_ELOCKED && r != LINKFS_EOPNOTSUPP)
		return r;
	bool local = lk_owner_is_local(&text);
	if (!locked && !(beats(&text) && (r == LINKFS_EOPNOTSUPP || !local)))
		return LINKFS_ENOENT;
	memset(out, 0, sizeof(*out));
	out->pid = (uint32_t)text.pid;
	out->local = text.pid && local;
	memcpy(out->host, text.host, sizeof(out->host));
	memcpy(out->mount_point, text.mount_point, sizeof(out->mount_point));
	memcpy(out->control_socket, text.control_socket, sizeof(out->control_socket));
	return 0;
}
