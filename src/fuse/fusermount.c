/*
 * fusermount.c - mounting for ordinary users through the setuid helper fusermount3 of package fuse3: it mounts and
 * passes the connection's descriptor back over a socket whose number it finds in _FUSE_COMMFD. What it says on its
 * error stream goes into the caller's message.
 * Layer: fuse.
 */
#include "session.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define HELPER "fusermount3"

extern char **environ;

struct helper {
	pid_t pid;
	int err_fd;
	char said[512];
};

/* A copy of the environment with the socket's number; the strings are the environment's own but the first. */
static char **environment(char *commfd)
{
	size_t n = 0, to = 0;
	while (environ[n])
		n++;
	char **copy = calloc(n + 2, sizeof(*copy));
	if (!copy)
		return NULL;
	copy[to++] = commfd;
	for (size_t i = 0; i < n; i++) {
		if (strncmp(environ[i], "_FUSE_COMMFD=", 13))
			copy[to++] = environ[i];
	}
	return copy;
}

static int start(struct helper *helper, char *const argv[], int sock, struct linkfs_message *why)
{
	int err[2];
	char commfd[32];
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attr;
	sigset_t none;
	memset(helper, 0, sizeof(*helper));
	if (pipe2(err, O_CLOEXEC))
		return linkfs_from_errno(errno);
	snprintf(commfd, sizeof(commfd), "_FUSE_COMMFD=%d", sock);
	char **env = environment(commfd);
	if (!env) {
		close(err[0]);
		close(err[1]);
		return LINKFS_ENOMEM;
	}
	sigemptyset(&none);
	posix_spawnattr_init(&attr);
	posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGMASK);
	posix_spawnattr_setsigmask(&attr, &none);
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_adddup2(&actions, err[1], STDERR_FILENO);
	/* Onto itself: the child's copy loses its close-on-exec flag. */
	if (sock >= 0)
		posix_spawn_file_actions_adddup2(&actions, sock, sock);
	int e = posix_spawnp(&helper->pid, HELPER, &actions, &attr, argv, env);
	posix_spawn_file_actions_destroy(&actions);
	posix_spawnattr_destroy(&attr);
	free(env);
	close(err[1]);
	helper->err_fd = err[0];
	if (!e)
		return 0;
	close(err[0]);
	if (e == ENOENT)
		return lk_fuse_say(why, LINKFS_ENOENT,
				   HELPER " is not installed: it mounts for ordinary users; install package fuse3, or "
					  "mount as root");
	return lk_fuse_say(why, linkfs_from_errno(e), "cannot run " HELPER ": %s", strerror(e));
}

/* Reads what it says until it ends; true when its exit status is 0. */
static bool finish(struct helper *helper)
{
	size_t len = 0;
	char rest[256];
	int status;
	for (;;) {
		size_t room = sizeof(helper->said) - 1 - len;
		ssize_t n = room ? read(helper->err_fd, helper->said + len, room)
				 : read(helper->err_fd, rest, sizeof(rest));
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		len += room ? (size_t)n : 0;
	}
	close(helper->err_fd);
	while (len && helper->said[len - 1] == '\n')
		len--;
	helper->said[len] = 0;
	for (char *p = helper->said; *p; p++) {
		if (*p == '\n')
			*p = ' ';
	}
	while (waitpid(helper->pid, &status, 0) < 0) {
		if (errno != EINTR)
			return false;
	}
	return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

/* Waits for the descriptor; -1 when the helper closed its end without one. */
static int receive(int sock)
{
	char byte;
	union {
		struct cmsghdr header;
		char room[CMSG_SPACE(sizeof(int))];
	} control;
	struct iovec iov = {.iov_base = &byte, .iov_len = 1};
	struct msghdr msg = {
		.msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control)};
	ssize_t n;
	do {
		n = recvmsg(sock, &msg, MSG_CMSG_CLOEXEC);
	} while (n < 0 && errno == EINTR);
	const struct cmsghdr *header = n > 0 ? CMSG_FIRSTHDR(&msg) : NULL;
	if (!header || header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS ||
	    header->cmsg_len != CMSG_LEN(sizeof(int)))
		return -1;
	int fd;
	memcpy(&fd, CMSG_DATA(header), sizeof(fd));
	return fd;
}

int lk_fuse_helper_mount(const char *point, const char *options, int *fd_out, struct linkfs_message *why)
{
	int sock[2];
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sock))
		return linkfs_from_errno(errno);
	char *opts = strdup(options), *where = strdup(point);
	char name[] = HELPER, o[] = "-o", dashes[] = "--";
	char *argv[] = {name, o, opts, dashes, where, NULL};
	struct helper helper;
	int r = opts && where ? start(&helper, argv, sock[0], why) : LINKFS_ENOMEM;
	close(sock[0]);
	if (!r) {
		int fd = receive(sock[1]);
		bool fine = finish(&helper);
		if (fd >= 0 && fine) {
			*fd_out = fd;
		} else {
			if (fd >= 0)
				close(fd);
			r = lk_fuse_say(why, LINKFS_EPERM, "cannot mount on %s: %s", point,
					helper.said[0] ? helper.said : HELPER " gave no reason");
		}
	}
	close(sock[1]);
	free(opts);
	free(where);
	return r;
}

int lk_fuse_helper_unmount(const char *point, bool lazy, struct linkfs_message *why)
{
	char name[] = HELPER, u[] = "-u", uz[] = "-uz", dashes[] = "--";
	char *where = strdup(point);
	char *argv[] = {name, lazy ? uz : u, dashes, where, NULL};
	struct helper helper;
	int r = where ? start(&helper, argv, -1, why) : LINKFS_ENOMEM;
	if (!r && !finish(&helper)) {
		bool busy = strstr(helper.said, strerror(EBUSY)) != NULL;
		r = lk_fuse_say(why, busy ? LINKFS_EBUSY : LINKFS_EPERM, "cannot unmount %s: %s", point,
				helper.said[0] ? helper.said : HELPER " gave no reason");
	}
	free(where);
	return r;
}
