/*
 * command.c - the commands of linkfs on the mount that a back end of system calls stands in. That stands in a chroot, so a process from before it runs
 * them. Commands tell no errno: an answer is "ok" or "refused".
 */
#include "posix.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define WORDS 12
#define REQUEST_ROOM (4 * PATH_ROOM)

extern char **environ;

static int run_words(const char *words, size_t len)
{
	char *argv[WORDS + 2] = {getenv("LINKFS_BIN")};
	size_t count = 1;
	int status;
	pid_t pid;
	for (size_t at = 0; at < len && count < WORDS; at += strlen(words + at) + 1)
		argv[count++] = (char *)(uintptr_t)(words + at);
	if (posix_spawn(&pid, argv[0], NULL, NULL, argv, environ) || waitpid(pid, &status, 0) != pid)
		return 127;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 126;
}

static _Noreturn void serve(int fd)
{
	static char words[REQUEST_ROOM];
	int null = open("/dev/null", O_RDWR);
	(void)dup2(null, STDOUT_FILENO);
	if (!getenv("LINKFS_DIFF_TRACE"))
		(void)dup2(null, STDERR_FILENO);
	for (;;) {
		ssize_t n = recv(fd, words, sizeof(words), 0);
		if (n <= 0)
			_exit(0);
		int status = run_words(words, (size_t)n);
		if (send(fd, &status, sizeof(status), MSG_NOSIGNAL) != sizeof(status))
			_exit(0);
	}
}

int lk_command_start(pid_t *pid_out)
{
	int pair[2], room = 4 * REQUEST_ROOM;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair))
		lk_die("socketpair: %s", strerror(errno));
	(void)setsockopt(pair[0], SOL_SOCKET, SO_SNDBUF, &room, sizeof(room));
	fflush(NULL);
	pid_t pid = fork();
	if (pid < 0)
		lk_die("fork: %s", strerror(errno));
	if (pid == 0) {
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
		close(pair[0]);
		serve(pair[1]);
	}
	close(pair[1]);
	*pid_out = pid;
	return pair[0];
}

void lk_command_stop(int fd, pid_t pid)
{
	if (fd < 0)
		return;
	close(fd);
	(void)waitpid(pid, NULL, 0);
}

int lk_command(int fd, const char *const *args)
{
	static char words[REQUEST_ROOM];
	size_t len = 0;
	int status;
	for (; *args; args++) {
		size_t n = strlen(*args) + 1;
		if (len + n > sizeof(words))
			return 125;
		memcpy(words + len, *args, n);
		len += n;
	}
	if (send(fd, words, len, MSG_NOSIGNAL) != (ssize_t)len ||
	    recv(fd, &status, sizeof(status), 0) != sizeof(status))
		lk_die("no more commands: %s", strerror(errno));
	return status;
}

/* ---- operations ------------------------------------------------------------------------------------------------- */

/* VOLUME:/path of what a descriptor stands for, from the volume's root and without symlinks. */
static bool spell(const struct posix *state, int fd, char *out, size_t room)
{
	char number[24], path[PATH_ROOM];
	const char *run = strrchr(state->side->dir, '/');
	(void)snprintf(number, sizeof(number), "%d", fd);
	ssize_t n = fd < 0 ? -1 : readlinkat(state->proc_fd, number, path, sizeof(path) - 1);
	if (n <= 0)
		return false;
	path[n] = '\0';
	return snprintf(out, room, "%s:%s%s", getenv("LINKFS_VOLUME"), run, path) < (int)room;
}

static bool spell_file(const struct posix *state, const char *path, char *out, size_t room)
{
	int fd = openat(state->at, path, O_PATH | O_CLOEXEC);
	bool ok = spell(state, fd, out, room);
	if (fd >= 0)
		close(fd);
	return ok;
}

/* Of a name that may not be there, or must not be followed. */
static bool spell_name(const struct posix *state, const char *path, char *out, size_t room)
{
	const char *name = path + strlen(path);
	while (name > path && name[-1] == '/')
		name--;
	while (name > path && name[-1] != '/')
		name--;
	int fd = lk_posix_open_parent(state->at, path);
	bool ok = *path && *name && strlen(path) < PATH_MAX && spell(state, fd, out, room);
	if (fd >= 0)
		close(fd);
	if (!ok || strlen(out) + strlen(name) + 2 > room)
		return false;
	strcat(strcat(out, "/"), name);
	return true;
}

void lk_posix_command(struct posix *state, const struct op *op, struct text *out)
{
	static char a[2 * PATH_ROOM], b[2 * PATH_ROOM];
	const char *args[WORDS] = {0};
	size_t n = 0;
	bool ok = true;
	switch ((int)op->kind) {
	case OP_CLONE:
		args[n++] = "ln";
		args[n++] = "--cow";
		args[n++] = "-T";
		ok = op->n[0] ? spell_file(state, state->p, a, sizeof(a)) : spell_name(state, state->p, a, sizeof(a));
		ok = ok && spell_name(state, state->q, b, sizeof(b));
		break;
	case OP_UNSHARE:
		args[n++] = "unshare";
		ok = spell_name(state, state->p, a, sizeof(a));
		break;
	case OP_KEEP:
		args[n++] = "keep-links";
		args[n++] = op->n[0] ? "on" : "off";
		ok = spell_file(state, state->p, a, sizeof(a));
		break;
	case OP_DEDUPE:
		args[n++] = "dedupe";
		ok = spell_file(state, state->p, a, sizeof(a)) && spell_file(state, state->q, b, sizeof(b));
		break;
	case OP_TRACK:
		args[n++] = "ln";
		args[n++] = "-s";
		args[n++] = "--track";
		args[n++] = "-T";
		if (op->n[0])
			args[n++] = "-f";
		ok = spell_file(state, state->p, a, sizeof(a)) && spell_name(state, state->q, b, sizeof(b));
		break;
	case OP_LINKDIR:
		args[n++] = "ln";
		args[n++] = "--directory";
		args[n++] = "-T";
		ok = spell_file(state, state->p, a, sizeof(a)) && spell_name(state, state->q, b, sizeof(b));
		break;
	case OP_BIND:
		args[n++] = "bind";
		args[n++] = "-n";
		ok = spell_file(state, state->p, a, sizeof(a)) && spell_name(state, state->q, b, sizeof(b));
		break;
	case OP_UNBIND:
		args[n++] = "unbind";
		ok = spell_name(state, state->p, a, sizeof(a));
		break;
	default:
		lk_die("%s is no command", lk_op_row(op->kind)->name);
	}
	args[n++] = a;
	if (lk_op_row(op->kind)->paths > 1)
		args[n++] = b;
	lk_text_add(out, ok && lk_command(state->command_fd, args) == 0 ? "ok" : "refused");
}
