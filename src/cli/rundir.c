/*
 * rundir.c - where control sockets live: /run/linkfs for root, $XDG_RUNTIME_DIR/linkfs for others, and /tmp/linkfs-UID
 * where neither is usable. The directory must belong to us and be closed to everyone else: in /tmp anyone could have
 * made it first.
 */
#include "proto.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

static bool usable(const char *path)
{
	struct stat st;
	if (mkdir(path, 0700) != 0 && errno != EEXIST)
		return false;
	if (lstat(path, &st) != 0 || !S_ISDIR(st.st_mode) || st.st_uid != geteuid())
		return false;
	return (st.st_mode & 077) == 0 || chmod(path, 0700) == 0;
}

int cli_runtime_dir(char *buf, size_t size, struct linkfs_message *why)
{
	const char *base = geteuid() == 0 ? "/run" : getenv("XDG_RUNTIME_DIR");
	int len = base && base[0] == '/' ? snprintf(buf, size, "%s/linkfs", base) : -1;
	/* A socket's path has 107 bytes; "/UUID-PID.sock" takes 60. */
	if (len > 0 && len < 48 && (size_t)len < size && usable(buf))
		return 0;
	snprintf(buf, size, "/tmp/linkfs-%u", (unsigned)geteuid());
	if (usable(buf))
		return 0;
	if (why)
		snprintf(why->text, sizeof(why->text),
			 "%s: cannot be used for the control socket: it must be a directory of yours with mode 0700",
			 buf);
	return LINKFS_EACCES;
}

/* "UUID-PID.sock": the number, or 0. */
static pid_t socket_pid(const char *name)
{
	const char *dash = strrchr(name, '-');
	char *end;
	long pid = dash ? strtol(dash + 1, &end, 10) : 0;
	return pid > 0 && pid <= INT32_MAX && strcmp(end, ".sock") == 0 ? (pid_t)pid : 0;
}

/* Gone, or dead and only not reaped yet. */
static bool is_gone(pid_t pid)
{
	char path[32], text[512];
	if (kill(pid, 0) != 0)
		return errno == ESRCH;
	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	FILE *file = fopen(path, "re");
	size_t len = file ? fread(text, 1, sizeof(text) - 1, file) : 0;
	if (file)
		fclose(file);
	text[len] = '\0';
	const char *state = strrchr(text, ')');
	return state && state[1] == ' ' && (state[2] == 'Z' || state[2] == 'X');
}

void cli_runtime_clean(const char *dir)
{
	int fd = open(dir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	DIR *stream = fd >= 0 ? fdopendir(fd) : NULL;
	if (!stream) {
		if (fd >= 0)
			close(fd);
		return;
	}
	for (struct dirent *e = readdir(stream); e; e = readdir(stream)) {
		pid_t pid = socket_pid(e->d_name);
		if (pid && is_gone(pid))
			unlinkat(fd, e->d_name, 0);
	}
	closedir(stream);
}

bool cli_runtime_owns(const char *path, uid_t uid)
{
	struct stat dir, file;
	char text[128];
	const char *name = strrchr(path, '/');
	size_t len = name ? (size_t)(name - path) : 0;
	if (path[0] != '/' || len == 0 || len >= sizeof(text) || strlen(name + 1) < 32 || !socket_pid(name + 1))
		return false;
	memcpy(text, path, len);
	text[len] = '\0';
	return lstat(text, &dir) == 0 && S_ISDIR(dir.st_mode) && dir.st_uid == uid && (dir.st_mode & 022) == 0 &&
	       lstat(path, &file) == 0 && S_ISSOCK(file.st_mode) && file.st_uid == uid;
}

int cli_runtime_listen(const char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	if (strlen(path) >= sizeof(address.sun_path))
		return LINKFS_ENAMETOOLONG;
	memcpy(address.sun_path, path, strlen(path) + 1);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return linkfs_from_errno(errno);
	unlink(path); /* a process with our number that died */
	/* The directory is closed to others, so the moment before the chmod is harmless. */
	if (bind(fd, (const struct sockaddr *)&address, sizeof(address)) != 0 || chmod(path, 0600) != 0 ||
	    listen(fd, 16) != 0) {
		int error = linkfs_from_errno(errno);
		close(fd);
		return error;
	}
	return fd;
}
