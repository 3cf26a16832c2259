/*
 * worker.c - one side of a run in a process of its own: what kills it, hangs it or changes its credentials, working
 * directory and umask concerns nobody else. Operations go in and answers come out over a socket.
 */
#include "diff.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define ANSWER_TIMEOUT_MS 60000

struct worker {
	pid_t pid;
	int fd;
};

enum request { REQUEST_OPS = 1, REQUEST_TREE = 2 };

static bool write_all(int fd, const void *bytes, size_t len)
{
	const char *at = bytes;
	while (len) {
		ssize_t n = send(fd, at, len, MSG_NOSIGNAL);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return false;
		at += n;
		len -= (size_t)n;
	}
	return true;
}

static bool read_all(int fd, void *bytes, size_t len, int timeout_ms)
{
	char *at = bytes;
	while (len) {
		struct pollfd poll_fd = {.fd = fd, .events = POLLIN};
		int ready = poll(&poll_fd, 1, timeout_ms);
		if (ready < 0 && errno == EINTR)
			continue;
		if (ready <= 0) {
			errno = ready ? errno : ETIMEDOUT;
			return false;
		}
		ssize_t n = recv(fd, at, len, 0);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) {
			errno = ECONNRESET;
			return false;
		}
		at += n;
		len -= (size_t)n;
	}
	return true;
}

static bool send_text(int fd, const struct text *text)
{
	uint64_t len = text->len;
	return write_all(fd, &len, sizeof(len)) && write_all(fd, text->bytes, text->len);
}

static _Noreturn void work(const struct side *side, int fd)
{
	const struct back *back = side->library ? &lk_back_lib : &lk_back_posix;
	(void)signal(SIGPIPE, SIG_IGN); /* a FIFO that nobody reads is EPIPE */
	void *state = back->start(side);
	struct text out = {0};
	uint64_t done = 0;
	for (;;) {
		uint32_t head[2];
		if (!read_all(fd, head, sizeof(head), -1))
			break;
		if (head[0] == REQUEST_TREE) {
			lk_text_clear(&out);
			back->tree(state, &out);
			if (!send_text(fd, &out))
				break;
			continue;
		}
		struct op *ops = calloc(head[1], sizeof(*ops));
		if (!ops || !read_all(fd, ops, head[1] * sizeof(*ops), -1))
			break;
		for (uint32_t i = 0; i < head[1]; i++) {
			lk_text_clear(&out);
			back->run(state, &ops[i], &out);
			if (side->corrupt && ++done % side->corrupt == 0)
				lk_text_add(&out, " corrupted");
			if (!send_text(fd, &out))
				_exit(98);
		}
		free(ops);
	}
	back->stop(state);
	lk_text_free(&out);
	/* Only the library's side is looked through for leaks; the other may be in a chroot without /proc. */
	if (!side->library)
		_exit(0);
	exit(0);
}

struct worker *lk_worker_start(const struct side *side)
{
	struct worker *worker = calloc(1, sizeof(*worker));
	int pair[2];
	if (!worker || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair))
		lk_die("socketpair: %s", strerror(errno));
	fflush(NULL);
	pid_t parent = getpid();
	worker->pid = fork();
	if (worker->pid < 0)
		lk_die("fork: %s", strerror(errno));
	if (worker->pid == 0) {
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (getppid() != parent)
			_exit(97);
		close(pair[0]);
		free(worker);
		work(side, pair[1]);
	}
	close(pair[1]);
	worker->fd = pair[0];
	return worker;
}

bool lk_worker_send(struct worker *worker, const struct op *ops, size_t count)
{
	uint32_t head[2] = {REQUEST_OPS, (uint32_t)count};
	return write_all(worker->fd, head, sizeof(head)) && write_all(worker->fd, ops, count * sizeof(*ops));
}

bool lk_worker_tree(struct worker *worker)
{
	uint32_t head[2] = {REQUEST_TREE, 0};
	return write_all(worker->fd, head, sizeof(head));
}

bool lk_worker_answer(struct worker *worker, struct text *out)
{
	uint64_t len;
	lk_text_clear(out);
	if (read_all(worker->fd, &len, sizeof(len), ANSWER_TIMEOUT_MS)) {
		char *bytes = calloc(1, len + 1);
		if (!bytes)
			lk_die("out of memory");
		bool ok = read_all(worker->fd, bytes, len, ANSWER_TIMEOUT_MS);
		if (ok)
			lk_text_add(out, "%s", bytes);
		free(bytes);
		if (ok)
			return true;
	}
	int status = 0;
	if (errno == ETIMEDOUT) {
		lk_text_add(out, "no answer in %d s", ANSWER_TIMEOUT_MS / 1000);
	} else if (waitpid(worker->pid, &status, 0) == worker->pid) {
		worker->pid = 0;
		if (WIFSIGNALED(status))
			lk_text_add(out, "died of signal %d", WTERMSIG(status));
		else
			lk_text_add(out, "exited with status %d", WEXITSTATUS(status));
	}
	return false;
}

bool lk_worker_stop(struct worker *worker)
{
	int status = 0;
	if (!worker)
		return true;
	(void)shutdown(worker->fd, SHUT_RDWR); /* the other worker may hold a copy */
	close(worker->fd);
	if (worker->pid) {
		/* The end of the socket ends the worker. A worker hung in a mount is killed; if even that does not end it, the
		 * fixture that aborts the mount will. */
		for (int wait_ms = 0; waitpid(worker->pid, &status, WNOHANG) == 0; wait_ms += wait_ms < 20 ? 1 : 20) {
			if (wait_ms > 20000) {
				kill(worker->pid, SIGKILL);
				break;
			}
			usleep(wait_ms < 20 ? 1000 : 20000);
		}
	}
	free(worker);
	return status == 0;
}
