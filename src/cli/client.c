/*
 * client.c - the caller's end of the control socket: sends the command, relays its streams, returns its status.
 */
#include "proto.h"
#include <errno.h>
#include <fcntl.h>
#include <locale.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/statfs.h>
#include <sys/un.h>
#include <unistd.h>

#define FUSE_MAGIC 0x65735546

/* Connects, and makes sure that the listener is ours or root's, and that it is an owner's: a lock file in somebody's volume may
 * name any socket. */
static int connect_owner(const char *path, uid_t *uid_out)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	struct ucred peer;
	socklen_t size = sizeof(peer);
	if (strlen(path) >= sizeof(address.sun_path))
		return LINKFS_ENAMETOOLONG;
	memcpy(address.sun_path, path, strlen(path) + 1);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return linkfs_from_errno(errno);
	if (connect(fd, (const struct sockaddr *)&address, sizeof(address)) != 0 ||
	    getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0) {
		int error = linkfs_from_errno(errno);
		close(fd);
		return error ? error : LINKFS_EIO;
	}
	if ((peer.uid != geteuid() && peer.uid != 0 && geteuid() != 0) || !cli_runtime_owns(path, peer.uid)) {
		close(fd);
		return LINKFS_EACCES;
	}
	*uid_out = peer.uid;
	return fd;
}

/* The header of the request, with the working directory's descriptor beside it. */
static int send_header(int fd, size_t len, int cwd_fd)
{
	uint8_t header[CLI_FRAME_HEADER] = {(uint8_t)len,         (uint8_t)(len >> 8), (uint8_t)(len >> 16),
					    (uint8_t)(len >> 24), CLI_FRAME_REQUEST,   0};
	union {
		struct cmsghdr align;
		char room[CMSG_SPACE(sizeof(int))];
	} control = {.room = {0}};
	struct iovec iov = {header, sizeof(header)};
	struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
	if (cwd_fd >= 0) {
		msg.msg_control = &control;
		msg.msg_controllen = sizeof(control);
		struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(c), &cwd_fd, sizeof(int));
	}
	return sendmsg(fd, &msg, MSG_NOSIGNAL) == (ssize_t)sizeof(header) ? 0 : LINKFS_EPIPE;
}

/* "../x" seen from /a/b is /a/x: only leading dots, because the rest may go through symlinks. */
static char *from_cwd(const char *cwd, const char *path)
{
	size_t len = strlen(cwd);
	if (path[0] == '/')
		return cli_strdup(path);
	for (;;) {
		if (strncmp(path, "./", 2) == 0) {
			path += 2;
		} else if (strncmp(path, "../", 3) == 0 || strcmp(path, "..") == 0) {
			path += path[2] ? 3 : 2;
			while (len > 1 && cwd[len - 1] != '/')
				len--;
			if (len > 1)
				len--;
		} else {
			break;
		}
		while (*path == '/')
			path++;
	}
	return cli_format("%.*s/%s", (int)len, cwd, path);
}

static int fill_paths(struct cli_request *request, const struct cli *cli, const struct cli_args *args, bool have_cwd)
{
	request->paths = cli_alloc((args->npaths + 1) * sizeof(*request->paths));
	if (!request->paths)
		return LINKFS_ENOMEM;
	for (size_t i = 0; i < args->npaths; i++) {
		const struct cli_path *from = args->paths[i];
		struct cli_path *to = &request->paths[request->npaths++];
		to->kind = from->kind;
		to->at = from->at;
		to->in_mount = from->in_mount;
		to->text = cli_strdup(from->text ? from->text : "");
		to->volume = cli_strdup(from->volume ? from->volume : "");
		to->path = cli_strdup(from->path ? from->path : "");
		to->snapshot = cli_strdup(from->snapshot ? from->snapshot : "");
		if (from->host && !have_cwd && from->host[0])
			to->host = from_cwd(cli->cwd, from->host);
		else
			to->host = cli_strdup(from->host ? from->host : "");
		if (!to->text || !to->volume || !to->path || !to->host || !to->snapshot)
			return LINKFS_ENOMEM;
	}
	return 0;
}

static int fill_words(struct cli_request *request, int argc, char *const *argv)
{
	request->argv = cli_alloc(((size_t)argc + 1) * sizeof(*request->argv));
	if (!request->argv)
		return LINKFS_ENOMEM;
	for (; request->argc < (uint32_t)argc; request->argc++) {
		request->argv[request->argc] = cli_strdup(argv[request->argc]);
		if (!request->argv[request->argc])
			return LINKFS_ENOMEM;
	}
	return 0;
}

static int fill_request(struct cli *cli, int argc, char *const *argv, const struct cli_args *args, bool have_cwd,
			struct cli_request *out)
{
	*out = (struct cli_request){
		.flags = (cli->in_tty ? CLI_REQUEST_IN_TTY : 0) | (cli->out_tty ? CLI_REQUEST_OUT_TTY : 0) |
			 (cli->err_tty ? CLI_REQUEST_ERR_TTY : 0) | (cli->tz ? CLI_REQUEST_HAS_TZ : 0),
		.width = cli->width,
		.umask = cli->cred.umask,
		.cwd = cli_strdup(cli->cwd),
		.tz = cli_strdup(cli->tz ? cli->tz : ""),
		.time_style = cli_strdup(cli->time_style ? cli->time_style : ""),
		.block_size = cli_strdup(cli->block_size ? cli->block_size : ""),
		.collate = cli_strdup(setlocale(LC_COLLATE, NULL)),
		.ctype = cli_strdup(setlocale(LC_CTYPE, NULL)),
		.time = cli_strdup(setlocale(LC_TIME, NULL)),
	};
	int error = fill_words(out, argc, argv);
	return error ? error : fill_paths(out, cli, args, have_cwd);
}

/* The working directory as a descriptor, unless it lies in a mount: the owner must never hold one of its own. */
static int open_cwd(void)
{
	struct statfs fs;
	int fd = open(".", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (fd >= 0 && (fstatfs(fd, &fs) != 0 || fs.f_type == FUSE_MAGIC)) {
		close(fd);
		fd = -1;
	}
	return fd;
}

static int send_request(struct cli *cli, int fd, uid_t owner, int argc, char *const *argv, const struct cli_args *args)
{
	struct cli_request request;
	uint8_t *bytes = NULL;
	size_t len = 0;
	/* Another user's process gets no descriptor of ours. */
	int cwd_fd = owner == geteuid() ? open_cwd() : -1;
	int error = fill_request(cli, argc, argv, args, cwd_fd >= 0, &request);
	if (!error)
		error = cli_request_encode(&request, &bytes, &len);
	cli_request_done(&request);
	if (!error)
		error = send_header(fd, len, cwd_fd);
	for (size_t at = 0; !error && at < len;) {
		ssize_t n = send(fd, bytes + at, len - at, MSG_NOSIGNAL);
		if (n > 0)
			at += (size_t)n;
		else
			error = LINKFS_EPIPE;
	}
	free(bytes);
	if (cwd_fd >= 0)
		close(cwd_fd);
	return error;
}

/* Another user's process may send a terminal nothing that commands it, but for the end of a progress line. */
static void make_harmless(char *buf, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)buf[i];
		bool erases = c == 0x1b && i + 2 < len && buf[i + 1] == '[' && buf[i + 2] == 'K';
		if ((c < 0x20 && c != '\n' && c != '\t' && c != '\r' && !erases) || c == 0x7f)
			buf[i] = '?';
	}
}

static int copy_out(int socket_fd, size_t len, FILE *to, bool clean)
{
	char buf[4096];
	while (len) {
		size_t part = len < sizeof(buf) ? len : sizeof(buf);
		int error = cli_socket_read(socket_fd, buf, part);
		if (error)
			return error;
		if (clean)
			make_harmless(buf, part);
		if (fwrite(buf, 1, part, to) != part)
			return LINKFS_EIO;
		len -= part;
	}
	return fflush(to) == 0 ? 0 : LINKFS_EIO;
}

static int answer_want(int fd)
{
	char *buf = cli_alloc(CLI_FRAME_DATA_MAX);
	ssize_t n;
	if (!buf)
		return LINKFS_ENOMEM;
	do {
		n = read(STDIN_FILENO, buf, CLI_FRAME_DATA_MAX);
	} while (n < 0 && errno == EINTR);
	int error = cli_frame_send(fd, CLI_FRAME_IN, buf, n > 0 ? (size_t)n : 0);
	free(buf);
	return error;
}

/* input says that the command line names standard input: an owner that asks for it otherwise gets none. stranger: the owner is
 * another user's process. */
static int relay(struct cli *cli, int fd, bool input, bool stranger, int *status_out)
{
	for (;;) {
		enum cli_frame type;
		size_t len;
		uint8_t status[4];
		int error = cli_frame_header(fd, &type, &len, NULL);
		if (!error && type == CLI_FRAME_OUT)
			error = copy_out(fd, len, cli->out, stranger && cli->out_tty);
		else if (!error && type == CLI_FRAME_ERR)
			error = copy_out(fd, len, cli->err, stranger);
		else if (!error && type == CLI_FRAME_WANT && len == 0)
			error = input ? answer_want(fd) : LINKFS_EINVAL;
		else if (!error && type == CLI_FRAME_EXIT && len == sizeof(status)) {
			error = cli_socket_read(fd, status, sizeof(status));
			if (!error)
				*status_out = status[0];
			return error;
		} else if (!error) {
			error = LINKFS_EINVAL;
		}
		if (error)
			return error;
	}
}

static bool is_input(const char *text)
{
	return strcmp(text, "-") == 0 || strcmp(text, "/dev/stdin") == 0 || strcmp(text, "file:/dev/stdin") == 0;
}

static bool names_input(const struct cli_command *command, const struct cli_args *args)
{
	if (command->reads_input && command->reads_input(args))
		return true;
	for (size_t i = 0; i < args->noperands; i++) {
		if (is_input(args->operands[i].text))
			return true;
	}
	for (size_t i = 0; i < args->noptions; i++) {
		if (args->options[i].arg && is_input(args->options[i].arg))
			return true;
	}
	return false;
}

int cli_run_there(struct cli *cli, const char *socket_path, int argc, char *const *argv, const struct cli_args *args,
		  int *status_out)
{
	uid_t owner = 0;
	int fd = connect_owner(socket_path, &owner);
	if (fd < 0)
		return fd;
	int error = send_request(cli, fd, owner, argc, argv, args);
	int status = 0;
	/* Even when sending failed: the owner may have said why. */
	bool input = cli->command->flags & CLI_INPUT || names_input(cli->command, args);
	int relayed = relay(cli, fd, input, owner != geteuid() && owner != 0, &status);
	close(fd);
	if (relayed == LINKFS_EPIPE || (error && relayed)) {
		cli_failf(cli, NULL, "the process that serves the volume ended before the command did");
		status = CLI_EXIT_SOME;
	} else if (relayed) {
		cli_fail(cli, "output", relayed);
		status = CLI_EXIT_SOME;
	}
	*status_out = status;
	return 0;
}

int cli_farewell_ask(struct cli *cli, const char *socket_path, int *fd_out)
{
	uid_t owner = 0;
	int fd = connect_owner(socket_path, &owner);
	(void)cli;
	if (fd < 0)
		return fd;
	int error = cli_frame_send(fd, CLI_FRAME_FAREWELL, NULL, 0);
	if (error) {
		close(fd);
		return error;
	}
	*fd_out = fd;
	return 0;
}

int cli_farewell_wait(struct cli *cli, int fd, int *status_out)
{
	int error = relay(cli, fd, false, true, status_out);
	close(fd);
	return error;
}
