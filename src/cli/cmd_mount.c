/*
 * cmd_mount.c - linkfs mount: serves a volume as a file system, from a daemon or in the foreground.
 * The daemon opens the volume after it forks, because locks and threads do not survive a fork; the caller waits for one
 * record on a pipe: that the mount serves, or what went wrong (design M8).
 */
#include "mount.h"
#include "table.h"
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <syslog.h>
#include <unistd.h>

enum { OPT_FOREGROUND = 'f', OPT_OPTIONS = 'o', OPT_READONLY = 'r', OPT_SLOPPY = 's' };

struct daemon {
	struct cli *cli;
	struct mount_settings settings;
	char *volume_path, *mount_point;
	struct linkfs_volume *volume;
	struct linkfs_mount *mount;
	struct cli_server *server;
	pthread_t signals;
	bool have_signals;
	int ready_fd; /* -1 in the foreground */
	char socket[512];
};

/* What the daemon tells its starter. */
struct report {
	int32_t status;
	char text[1024];
};

/* ---- signals ---- */

static sigset_t ending_signals(void)
{
	sigset_t set;
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	sigaddset(&set, SIGUSR1); /* our own: the mount has ended */
	return set;
}

/* Waits for a signal instead of handling it: no handler, no state outside the thread. */
static void *signal_loop(void *arg)
{
	struct daemon *daemon = arg;
	sigset_t set = ending_signals();
	int number = 0;
	while (sigwait(&set, &number) == 0 && number != SIGUSR1)
		linkfs_mount_stop(daemon->mount);
	return NULL;
}

/* Before any thread is made: all of them inherit the mask. */
static void block_signals(void)
{
	sigset_t set = ending_signals();
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	signal(SIGPIPE, SIG_IGN);
}

/* ---- start and end ---- */

/* In the foreground the starter's errors are seen, in the background nobody's. */
static void log_error(void *arg, int error, const char *text)
{
	struct daemon *daemon = arg;
	if (daemon->ready_fd < 0) {
		cli_note(daemon->cli, "%s: %s: %s", daemon->volume_path, text, linkfs_strerror(error));
		return;
	}
	openlog("linkfs", LOG_PID, LOG_DAEMON);
	syslog(LOG_ERR, "%s: %s: %s", daemon->volume_path, text, linkfs_strerror(error));
}

static int start(struct daemon *daemon, struct linkfs_message *why)
{
	struct mount_settings *s = &daemon->settings;
	struct linkfs_mount_options options = {
		.source = daemon->volume_path,
		.extra = s->extra[0] ? s->extra : NULL,
		.allow_other = s->allow_other,
		.threads = s->threads,
		.poll_us = s->poll_us,
		.no_poll = s->no_poll,
		.writeback = s->writeback,
		.no_snapshots = s->no_snapshots,
		.zone = cli_zone,
		.zone_arg = daemon->cli,
		.log = log_error,
		.log_arg = daemon,
	};
	struct linkfs_open_options open_options = {.flags = s->open_flags, .commit_interval_ms = s->commit_ms};
	int error = linkfs_volume_open(daemon->volume_path, &open_options, &daemon->volume, why);
	if (error)
		return error;
	error = linkfs_mount_open(daemon->volume, daemon->mount_point, &options, &daemon->mount, why);
	if (error)
		return error;
	if (pthread_create(&daemon->signals, NULL, signal_loop, daemon) == 0)
		daemon->have_signals = true;
	else
		error = LINKFS_EAGAIN;
	if (!error)
		error = cli_server_start(daemon->volume, daemon->mount, daemon->volume_path, daemon->socket,
					 sizeof(daemon->socket), &daemon->server);
	if (error && !why->text[0])
		snprintf(why->text, sizeof(why->text), "%s: cannot listen for commands: %s", daemon->volume_path,
			 linkfs_strerror(error));
	if (!error)
		error = linkfs_volume_set_owner(daemon->volume, daemon->mount_point, daemon->socket);
	return error;
}

static int finish(struct daemon *daemon)
{
	cli_server_stop(daemon->server);
	if (daemon->have_signals) {
		pthread_kill(daemon->signals, SIGUSR1);
		pthread_join(daemon->signals, NULL);
	}
	linkfs_mount_close(daemon->mount);
	int error = linkfs_volume_close(daemon->volume);
	cli_server_free(daemon->server, error ? CLI_EXIT_SOME : CLI_EXIT_OK);
	return error;
}

/* Tells a service manager that asked for it (sd_notify(3)). */
static void notify(const char *state)
{
	const char *path = getenv("NOTIFY_SOCKET");
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	if (!path || strlen(path) >= sizeof(address.sun_path) || (path[0] != '/' && path[0] != '@'))
		return;
	memcpy(address.sun_path, path, strlen(path));
	if (path[0] == '@')
		address.sun_path[0] = '\0';
	socklen_t size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(path) + (path[0] == '/'));
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd >= 0) {
		sendto(fd, state, strlen(state), MSG_NOSIGNAL, (const struct sockaddr *)&address, size);
		close(fd);
	}
}

static int serve(struct daemon *daemon)
{
	int error = linkfs_mount_serve(daemon->mount);
	notify("STOPPING=1");
	return error;
}

/* ---- in the foreground ---- */

static int run_foreground(struct cli *cli, struct daemon *daemon)
{
	struct linkfs_message why = {""};
	block_signals();
	int error = start(daemon, &why);
	if (error) {
		if (why.text[0])
			cli_failf(cli, NULL, "%s", why.text);
		else
			cli_fail(cli, daemon->volume_path, error);
		finish(daemon);
		return cli->status;
	}
	notify("READY=1");
	error = serve(daemon);
	int closed = finish(daemon);
	if (error || closed)
		cli_failf(cli, daemon->volume_path, "the mount ended with an error: %s",
			  linkfs_strerror(error ? error : closed));
	return cli->status;
}

/* ---- in the background ---- */

static void report(struct daemon *daemon, int status, const char *text)
{
	struct report report = {.status = status};
	snprintf(report.text, sizeof(report.text), "%s", text);
	if (write(daemon->ready_fd, &report, sizeof(report)) < 0)
		return;
	close(daemon->ready_fd);
}

static void detach(void)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	if (null < 0)
		return;
	for (int fd = 0; fd < 3; fd++)
		dup2(null, fd);
	if (null > 2)
		close(null);
}

static int run_daemon(struct daemon *daemon)
{
	struct linkfs_message why = {""};
	/* What the caller had open is none of ours: it may be a pipe or a lock that somebody waits for. */
	unsigned ready = (unsigned)daemon->ready_fd;
	if (ready > 3)
		close_range(3, ready - 1, 0);
	close_range(ready + 1, ~0u, 0);
	setsid();
	if (chdir("/") != 0)
		return CLI_EXIT_SOME;
	block_signals();
	int error = start(daemon, &why);
	if (error) {
		finish(daemon);
		report(daemon, CLI_EXIT_SOME, why.text[0] ? why.text : linkfs_strerror(error));
		return CLI_EXIT_SOME;
	}
	detach();
	report(daemon, CLI_EXIT_OK, "");
	error = serve(daemon);
	int closed = finish(daemon);
	if (error || closed) {
		openlog("linkfs", LOG_PID, LOG_DAEMON);
		syslog(LOG_ERR, "%s: the mount ended with an error: %s", daemon->volume_path,
		       linkfs_strerror(error ? error : closed));
	}
	return error || closed ? CLI_EXIT_SOME : CLI_EXIT_OK;
}

static int wait_report(struct cli *cli, struct daemon *daemon, int fd)
{
	struct report report = {0};
	size_t done = 0;
	while (done < sizeof(report)) {
		ssize_t n = read(fd, (char *)&report + done, sizeof(report) - done);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		done += (size_t)n;
	}
	if (done < sizeof(report)) {
		cli_failf(cli, daemon->volume_path,
			  "the process that was to serve the mount died; 'linkfs mount -f' shows more");
		return cli->status;
	}
	report.text[sizeof(report.text) - 1] = '\0';
	if (report.status)
		cli_failf(cli, NULL, "%s", report.text);
	return cli->status;
}

static int run_background(struct cli *cli, struct daemon *daemon)
{
	int fds[2];
	if (pipe2(fds, O_CLOEXEC) != 0) {
		cli_fail(cli, NULL, linkfs_from_errno(errno));
		return cli->status;
	}
	fflush(cli->out);
	pid_t pid = fork();
	if (pid == 0) {
		close(fds[0]);
		daemon->ready_fd = fds[1];
		_exit(run_daemon(daemon));
	}
	close(fds[1]);
	int status = CLI_EXIT_SOME;
	if (pid < 0)
		cli_fail(cli, NULL, linkfs_from_errno(errno));
	else
		status = wait_report(cli, daemon, fds[0]);
	close(fds[0]);
	return status;
}

/* ---- the command ---- */

/* Early, so that the commonest mistakes get their message from here, before anything starts. */
static bool check_mount_point(struct cli *cli, const char *path, char **out)
{
	struct stat st;
	char *real = realpath(path, NULL);
	if (!real && errno == ENOTCONN) { /* a dead mount: detached when mounting */
		*out = cli_absolute(cli, path);
		return *out != NULL;
	}
	if (!real) {
		cli_failf(cli, path, "mount point: %s", strerror(errno));
		return false;
	}
	if (stat(real, &st) == 0 && !S_ISDIR(st.st_mode)) {
		cli_failf(cli, path, "mount point: is not a directory");
		free(real);
		return false;
	}
	*out = real;
	return true;
}

#define LAST_OWNER_WAIT_MS 10000

/* Whether a process was killed and is still on its way out: a thread of it may wait for the disk, and until then it holds the lock, and
 * its mount is there. */
static bool is_dying(uint32_t pid)
{
	char path[64], line[256];
	bool dying = false;
	snprintf(path, sizeof(path), "/proc/%u/status", pid);
	FILE *file = fopen(path, "re");
	if (!file)
		return errno == ENOENT; /* gone meanwhile */
	while (!dying && fgets(line, sizeof(line), file)) {
		if (strncmp(line, "SigPnd:", 7) == 0 || strncmp(line, "ShdPnd:", 7) == 0)
			dying = strtoull(line + 7, NULL, 16) >> (SIGKILL - 1) & 1;
		else
			dying = strncmp(line, "State:\tZ", 8) == 0 || strncmp(line, "State:\tX", 8) == 0;
	}
	fclose(file);
	return dying;
}

/* A mount that was taken away by umount(8), which does not wait: its process still makes the last changes durable. Or one that was
 * killed just now. */
static void wait_for_last(const char *volume, const struct linkfs_owner *owner)
{
	char *point = cli_served_point(volume);
	if (!point || is_dying(owner->pid))
		(void)linkfs_volume_wait_unused(volume, LAST_OWNER_WAIT_MS);
	free(point);
}

/* A service that starts the file system must not see it already there. */
static bool already_mounted(struct cli *cli, const char *volume, const char *mount_point)
{
	struct linkfs_owner *owner = cli_alloc(sizeof(*owner));
	bool mounted = false;
	if (owner && linkfs_volume_owner(volume, owner) == 0 && owner->local && owner->mount_point[0])
		wait_for_last(volume, owner);
	if (owner && linkfs_volume_owner(volume, owner) == 0 && owner->local && owner->mount_point[0]) {
		mounted = true;
		cli_failf(cli, volume, "is mounted on %s already%s (pid %u)", owner->mount_point,
			  strcmp(owner->mount_point, mount_point) == 0
				  ? ""
				  : "; a volume has one mount, 'linkfs umount' ends it",
			  owner->pid);
	}
	free(owner);
	return mounted;
}

static int run(struct cli *cli, const struct cli_args *args)
{
	struct daemon *daemon = cli_alloc(sizeof(*daemon));
	bool foreground = false;
	int status = 0;
	if (!daemon) {
		cli_fail(cli, NULL, LINKFS_ENOMEM);
		return cli->status;
	}
	daemon->cli = cli;
	daemon->ready_fd = -1;
	mount_settings_init(&daemon->settings, cli->cred.uid == 0);
	daemon->settings.sloppy = cli_args_option(args, OPT_SLOPPY) != NULL;
	for (size_t i = 0; i < args->noptions && !status; i++) {
		if (args->options[i].id == OPT_SLOPPY)
			continue;
		if (args->options[i].id == OPT_FOREGROUND)
			foreground = true;
		else if (args->options[i].id == OPT_READONLY)
			status = mount_settings_parse(cli, &daemon->settings, "ro");
		else
			status = mount_settings_parse(cli, &daemon->settings, args->options[i].arg);
	}
	const char *volume = args->operands[0].text;
	if (!status) {
		daemon->volume_path = realpath(volume, NULL);
		if (!daemon->volume_path) {
			cli_failf(cli, volume, "%s", strerror(errno));
			status = CLI_EXIT_SOME;
		} else if (!check_mount_point(cli, args->operands[1].text, &daemon->mount_point) ||
			   already_mounted(cli, daemon->volume_path, daemon->mount_point)) {
			status = CLI_EXIT_SOME;
		}
	}
	if (!status)
		status = foreground ? run_foreground(cli, daemon) : run_background(cli, daemon);
	free(daemon->volume_path);
	free(daemon->mount_point);
	free(daemon);
	return status;
}

static const struct cli_option options[] = {
	{OPT_FOREGROUND, "foreground", NULL, "Serve in this process until unmounted or interrupted", 0},
	{OPT_OPTIONS, "options", "LIST",
	 "Mount options, comma-separated: ro, rw, noatime, relatime, strictatime, nosuid, nodev, noexec, allow_other, "
	 "commit=SECONDS, writeback, nosnapshots, threads=N, poll=MICROSECONDS",
	 0},
	{OPT_READONLY, "read-only", NULL, "As -o ro", 0},
	{OPT_SLOPPY, "sloppy", NULL, "Ignore mount options that are not known", 0},
	CLI_OPTIONS_END,
};

static const char *const usage[] = {"[OPTION]... VOLUME DIRECTORY", NULL};

const struct cli_command cli_cmd_mount = {
	.name = "mount",
	.summary = "Mount a volume on a directory",
	.usage = usage,
	.options = options,
	.run = run,
	.takes = CLI_TAKES_TEXT,
	.min = 2,
	.max = 2,
	.flags = CLI_LOCAL,
};
