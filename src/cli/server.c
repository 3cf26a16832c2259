/*
 * server.c - the owner's end of the control socket: one thread per caller runs the same command functions on the
 * volume that this process has open, with the caller's credentials (SO_PEERCRED: our own user or root), umask, locale
 * and time zone, its streams at the other end of the socket.
 */
#include "proto.h"
#include <errno.h>
#include <fcntl.h>
#include <locale.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define CALLERS_MAX 64
#define GROUPS_MAX 65536
#define REQUEST_SECONDS 10
#define CANCEL_CHECK_NS 20000000u

struct caller {
	struct caller *next;
	struct cli_server *server;
	pthread_t thread;
	int fd;
	bool done;           /* the thread only has to be joined; under the server's lock */
	bool gone;           /* the other side hung up */
	uint64_t checked_ns; /* when that was last looked at */
	size_t in_left;      /* bytes of an input frame that were not read yet */
	char *buffers;       /* of the three streams */
};

struct cli_server {
	struct linkfs_volume *volume;
	struct linkfs_mount *mount;
	char *volume_path, *path;
	int listen_fd, wake_fd;
	pthread_t thread;
	pthread_mutex_t lock; /* guards what follows */
	struct caller *callers;
	size_t ncallers;
	int waiters[CALLERS_MAX]; /* told when the volume is closed */
	size_t nwaiters;
	bool stopping;
};

/* ---- a caller's streams ---- */

static ssize_t write_stream(struct caller *caller, enum cli_frame type, const char *buf, size_t size)
{
	for (size_t at = 0; at < size;) {
		size_t part = size - at < CLI_FRAME_DATA_MAX ? size - at : CLI_FRAME_DATA_MAX;
		if (cli_frame_send(caller->fd, type, buf + at, part) != 0) {
			caller->gone = true;
			errno = EPIPE;
			return (ssize_t)at; /* fopencookie(3): what is less than size is an error, and -1 is not */
		}
		at += part;
	}
	return (ssize_t)size;
}

static ssize_t write_out(void *cookie, const char *buf, size_t size)
{
	return write_stream(cookie, CLI_FRAME_OUT, buf, size);
}

static ssize_t write_err(void *cookie, const char *buf, size_t size)
{
	return write_stream(cookie, CLI_FRAME_ERR, buf, size);
}

/* Asks the caller for input only when a command reads it; what stdio does not take yet stays in the socket. */
static ssize_t read_in(void *cookie, char *buf, size_t size)
{
	struct caller *caller = cookie;
	enum cli_frame type = CLI_FRAME_IN;
	int error = 0;
	if (caller->in_left == 0) {
		error = cli_frame_send(caller->fd, CLI_FRAME_WANT, NULL, 0);
		if (!error)
			error = cli_frame_header(caller->fd, &type, &caller->in_left, NULL);
		if (!error && type != CLI_FRAME_IN)
			error = LINKFS_EINVAL;
	}
	size_t n = size < caller->in_left ? size : caller->in_left;
	if (!error && n)
		error = cli_socket_read(caller->fd, buf, n);
	if (error) {
		caller->gone = true;
		errno = EIO;
		return -1;
	}
	caller->in_left -= n;
	return (ssize_t)n;
}

static bool is_cancelled(void *arg)
{
	struct caller *caller = arg;
	struct timespec ts;
	clock_gettime(CLOCK_MONOTONIC_COARSE, &ts);
	uint64_t now = (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
	if (!caller->gone && now - caller->checked_ns > CANCEL_CHECK_NS) {
		char byte;
		caller->checked_ns = now;
		ssize_t n = recv(caller->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
		caller->gone = n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR);
	}
	return caller->gone;
}

static int open_streams(struct caller *caller, struct cli *cli)
{
	static const cookie_io_functions_t in = {.read = read_in};
	static const cookie_io_functions_t out = {.write = write_out};
	static const cookie_io_functions_t err = {.write = write_err};
	cli->in = fopencookie(caller, "r", in);
	cli->out = fopencookie(caller, "w", out);
	cli->err = fopencookie(caller, "w", err);
	if (!cli->in || !cli->out || !cli->err)
		return LINKFS_ENOMEM;
	caller->buffers = malloc(2 * CLI_FRAME_DATA_MAX + 4096);
	if (!caller->buffers)
		return LINKFS_ENOMEM;
	setvbuf(cli->in, caller->buffers, _IOFBF, CLI_FRAME_DATA_MAX);
	setvbuf(cli->out, caller->buffers + CLI_FRAME_DATA_MAX, cli->out_tty ? _IOLBF : _IOFBF, CLI_FRAME_DATA_MAX);
	setvbuf(cli->err, caller->buffers + 2 * CLI_FRAME_DATA_MAX, _IOFBF, 4096);
	return 0;
}

static void close_streams(struct cli *cli)
{
	if (cli->in)
		fclose(cli->in);
	if (cli->out)
		fclose(cli->out);
	if (cli->err)
		fclose(cli->err);
}

/* ---- running ---- */

static int peer_credentials(int fd, struct cli *cli)
{
	struct ucred peer;
	socklen_t size = sizeof(peer);
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0)
		return LINKFS_EACCES;
	if (peer.uid != geteuid() && peer.uid != 0)
		return LINKFS_EACCES;
	cli->cred.uid = peer.uid;
	cli->cred.gid = peer.gid;
	size = GROUPS_MAX * sizeof(uint32_t);
	cli->groups = cli_alloc(size);
	if (!cli->groups)
		return LINKFS_ENOMEM;
	if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, cli->groups, &size) != 0)
		size = 0;
	cli->cred.groups = cli->groups;
	cli->cred.ngroups = (uint32_t)(size / sizeof(uint32_t));
	return 0;
}

/* A locale's name must not be a path: the C library would open it. */
static locale_t add_locale(locale_t base, int mask, const char *name)
{
	locale_t made = base && name[0] && !strchr(name, '/') ? newlocale(mask, name, base) : (locale_t)0;
	return made ? made : base;
}

static locale_t caller_locale(const struct cli_request *request)
{
	locale_t locale = newlocale(LC_ALL_MASK, "C", (locale_t)0);
	locale = add_locale(locale, LC_COLLATE_MASK, request->collate);
	locale = add_locale(locale, LC_CTYPE_MASK, request->ctype);
	return add_locale(locale, LC_TIME_MASK, request->time);
}

/* The caller has resolved the paths; here they take the places of those that parsing finds. */
static int run_command(struct cli *cli, const struct cli_request *request)
{
	struct cli_args args;
	const struct cli_command *command = cli_command_find(request->argv[0]);
	if (!command || (command->flags & CLI_LOCAL))
		return cli_usage(cli, "no such command for a volume that is in use");
	cli->command = command;
	int status = cli_args_parse(cli, command, (int)request->argc - 1, request->argv + 1, &args);
	if (status)
		return status;
	if (args.npaths != request->npaths) {
		cli_fail(cli, "request", LINKFS_EINVAL);
		cli_args_done(&args);
		return CLI_EXIT_SOME;
	}
	/* A lock file may send its readers to another volume's owner. */
	bool ours = false;
	for (size_t i = 0; i < args.npaths; i++) {
		*args.paths[i] = request->paths[i];
		ours = ours ||
		       (args.paths[i]->kind == CLI_VOLUME && strcmp(args.paths[i]->volume, cli->own_volume) == 0);
	}
	if (!ours) {
		cli_failf(cli, NULL, "this process serves the volume %s, and was asked for another", cli->own_volume);
		cli_args_done(&args);
		return CLI_EXIT_SOME;
	}
	status = cli_run_here(cli, &args);
	cli_args_done(&args);
	return status;
}

static void run_request(struct caller *caller, const struct cli_request *request, int cwd_fd)
{
	struct cli_server *server = caller->server;
	struct cli cli = {
		.in_tty = request->flags & CLI_REQUEST_IN_TTY,
		.out_tty = request->flags & CLI_REQUEST_OUT_TTY,
		.err_tty = request->flags & CLI_REQUEST_ERR_TTY,
		.width = request->width,
		.cwd_fd = cwd_fd,
		.cwd = request->cwd,
		.tz = request->flags & CLI_REQUEST_HAS_TZ ? request->tz : NULL,
		.time_style = request->time_style[0] ? request->time_style : NULL,
		.block_size = request->block_size[0] ? request->block_size : NULL,
		.cancel = is_cancelled,
		.cancel_arg = caller,
		.mount = server->mount,
		.own_volume = server->volume_path,
		.in_owner = true,
	};
	locale_t locale = caller_locale(request);
	locale_t before = locale ? uselocale(locale) : (locale_t)0;
	int status = CLI_EXIT_SOME;
	cli.cred.umask = request->umask;
	if (open_streams(caller, &cli) == 0 && peer_credentials(caller->fd, &cli) == 0 &&
	    cli_volume_lend(&cli, server->volume_path, server->volume) == 0)
		status = run_command(&cli, request);
	cli_volumes_close(&cli);
	if (cli.status > status)
		status = cli.status;
	if (cli.out && fflush(cli.out) != 0 && status == 0)
		status = CLI_EXIT_SOME;
	close_streams(&cli);
	free(caller->buffers);
	free(cli.groups);
	if (locale) {
		uselocale(before);
		freelocale(locale);
	}
	uint8_t bytes[4] = {(uint8_t)status, 0, 0, 0};
	cli_frame_send(caller->fd, CLI_FRAME_EXIT, bytes, sizeof(bytes));
}

static void refuse(int fd, const char *text)
{
	uint8_t bytes[4] = {CLI_EXIT_SOME, 0, 0, 0};
	if (cli_frame_send(fd, CLI_FRAME_ERR, text, strlen(text)) == 0)
		cli_frame_send(fd, CLI_FRAME_EXIT, bytes, sizeof(bytes));
}

static void serve_request(struct caller *caller, size_t len, int cwd_fd)
{
	struct cli_request request;
	uint8_t *bytes = malloc(len + 1);
	int error = bytes ? cli_socket_read(caller->fd, bytes, len) : LINKFS_ENOMEM;
	if (!error)
		error = cli_request_decode(bytes, len, &request);
	free(bytes);
	setsockopt(caller->fd, SOL_SOCKET, SO_RCVTIMEO, &(struct timeval){0}, sizeof(struct timeval));
	if (error == LINKFS_ENEWER)
		refuse(caller->fd,
		       "linkfs: the volume is served by another version of linkfs; unmount and mount it again\n");
	else if (error)
		refuse(caller->fd, "linkfs: the request could not be read\n");
	if (error)
		return;
	if (cwd_fd < 0)
		cwd_fd = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	else
		cwd_fd = fcntl(cwd_fd, F_DUPFD_CLOEXEC, 0);
	run_request(caller, &request, cwd_fd);
	if (cwd_fd >= 0)
		close(cwd_fd);
	cli_request_done(&request);
}

/* Keeps the connection for the farewell; false when there are too many. */
static bool keep_waiter(struct cli_server *server, int fd)
{
	bool kept = false;
	pthread_mutex_lock(&server->lock);
	if (server->nwaiters < CLI_ARRAY_LEN(server->waiters)) {
		server->waiters[server->nwaiters++] = fd;
		kept = true;
	}
	pthread_mutex_unlock(&server->lock);
	return kept;
}

static void *serve_caller(void *arg)
{
	struct caller *caller = arg;
	struct cli_server *server = caller->server;
	enum cli_frame type;
	size_t len;
	int cwd_fd = -1;
	bool keep = false;
	setsockopt(caller->fd, SOL_SOCKET, SO_RCVTIMEO, &(struct timeval){.tv_sec = REQUEST_SECONDS},
		   sizeof(struct timeval));
	if (cli_frame_header(caller->fd, &type, &len, &cwd_fd) == 0) {
		if (type == CLI_FRAME_REQUEST)
			serve_request(caller, len, cwd_fd);
		else if (type == CLI_FRAME_FAREWELL && len == 0)
			keep = keep_waiter(server, caller->fd);
		if (cwd_fd >= 0)
			close(cwd_fd);
	}
	pthread_mutex_lock(&server->lock);
	if (!keep)
		close(caller->fd);
	caller->fd = -1;
	caller->done = true;
	pthread_mutex_unlock(&server->lock);
	return NULL;
}

/* Joins the threads that ended; all of them when all is set. */
static void reap(struct cli_server *server, bool all)
{
	struct caller *keep = NULL;
	pthread_mutex_lock(&server->lock);
	struct caller *list = server->callers;
	server->callers = NULL;
	pthread_mutex_unlock(&server->lock);
	while (list) {
		struct caller *caller = list;
		list = caller->next;
		pthread_mutex_lock(&server->lock);
		bool done = caller->done;
		if (all && caller->fd >= 0)
			shutdown(caller->fd, SHUT_RDWR);
		pthread_mutex_unlock(&server->lock);
		if (done || all) {
			pthread_join(caller->thread, NULL);
			free(caller);
			server->ncallers--;
		} else {
			caller->next = keep;
			keep = caller;
		}
	}
	pthread_mutex_lock(&server->lock);
	server->callers = keep;
	pthread_mutex_unlock(&server->lock);
}

static void accept_caller(struct cli_server *server)
{
	int fd = accept4(server->listen_fd, NULL, NULL, SOCK_CLOEXEC);
	struct ucred peer;
	socklen_t size = sizeof(peer);
	if (fd < 0)
		return;
	reap(server, false);
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0 || (peer.uid != geteuid() && peer.uid != 0)) {
		refuse(fd, "linkfs: the volume belongs to another user\n");
		close(fd);
		return;
	}
	struct caller *caller = server->ncallers < CALLERS_MAX ? cli_alloc(sizeof(*caller)) : NULL;
	if (caller) {
		caller->server = server;
		caller->fd = fd;
	}
	if (!caller || pthread_create(&caller->thread, NULL, serve_caller, caller) != 0) {
		refuse(fd, "linkfs: too many commands at once on this volume\n");
		close(fd);
		free(caller);
		return;
	}
	pthread_mutex_lock(&server->lock);
	caller->next = server->callers;
	server->callers = caller;
	pthread_mutex_unlock(&server->lock);
	server->ncallers++;
}

static void *accept_loop(void *arg)
{
	struct cli_server *server = arg;
	for (;;) {
		struct pollfd fds[2] = {{.fd = server->listen_fd, .events = POLLIN},
					{.fd = server->wake_fd, .events = POLLIN}};
		if (poll(fds, 2, -1) < 0 && errno != EINTR)
			break;
		if (fds[1].revents)
			break;
		if (fds[0].revents & POLLIN)
			accept_caller(server);
	}
	return NULL;
}

/* ---- start and stop ---- */

static int make_path(struct linkfs_volume *volume, char *path, size_t size)
{
	struct linkfs_info *info = cli_alloc(sizeof(*info));
	char dir[80], uuid[33];
	struct linkfs_message why = {""};
	int error = info ? linkfs_volume_info(volume, info) : LINKFS_ENOMEM;
	if (!error)
		error = cli_runtime_dir(dir, sizeof(dir), &why);
	for (size_t i = 0; !error && i < 16; i++)
		snprintf(uuid + 2 * i, 3, "%02x", info->uuid[i]);
	if (!error)
		cli_runtime_clean(dir);
	if (!error)
		snprintf(path, size, "%s/%s-%d.sock", dir, uuid, (int)getpid());
	free(info);
	return error;
}

int cli_server_start(struct linkfs_volume *volume, struct linkfs_mount *mount, const char *volume_path, char *path_out,
		     size_t size, struct cli_server **out)
{
	struct cli_server *server = cli_alloc(sizeof(*server));
	char path[128], stamp[8];
	if (!server)
		return LINKFS_ENOMEM;
	server->volume = volume;
	server->mount = mount;
	pthread_mutex_init(&server->lock, NULL);
	server->listen_fd = server->wake_fd = -1;
	/* Settles the environment before other threads look at it (timefmt.c). */
	cli_time_format(&(struct cli){.tz = getenv("TZ")}, stamp, sizeof(stamp), "%H", 0);
	int error = make_path(volume, path, sizeof(path));
	if (!error)
		error = strlen(path) < size ? 0 : LINKFS_ENAMETOOLONG;
	if (!error) {
		server->path = cli_strdup(path);
		server->volume_path = cli_strdup(volume_path);
		server->wake_fd = eventfd(0, EFD_CLOEXEC);
		server->listen_fd = cli_runtime_listen(path);
		error = server->listen_fd < 0 ? server->listen_fd : 0;
	}
	if (!error && (!server->path || !server->volume_path || server->wake_fd < 0))
		error = LINKFS_ENOMEM;
	if (!error && pthread_create(&server->thread, NULL, accept_loop, server) != 0)
		error = LINKFS_EAGAIN;
	if (error) {
		if (server->listen_fd >= 0)
			unlink(path);
		cli_server_free(server, CLI_EXIT_SOME);
		return error;
	}
	memcpy(path_out, path, strlen(path) + 1);
	server->stopping = false;
	*out = server;
	return 0;
}

void cli_server_stop(struct cli_server *server)
{
	if (!server || server->stopping)
		return;
	server->stopping = true;
	uint64_t one = 1;
	if (write(server->wake_fd, &one, sizeof(one)) < 0)
		return;
	pthread_join(server->thread, NULL);
	unlink(server->path);
	close(server->listen_fd);
	server->listen_fd = -1;
	reap(server, true);
}

void cli_server_free(struct cli_server *server, int status)
{
	if (!server)
		return;
	uint8_t bytes[4] = {(uint8_t)status, 0, 0, 0};
	for (size_t i = 0; i < server->nwaiters; i++) {
		cli_frame_send(server->waiters[i], CLI_FRAME_EXIT, bytes, sizeof(bytes));
		close(server->waiters[i]);
	}
	if (server->listen_fd >= 0)
		close(server->listen_fd);
	if (server->wake_fd >= 0)
		close(server->wake_fd);
	pthread_mutex_destroy(&server->lock);
	free(server->volume_path);
	free(server->path);
	free(server);
}
