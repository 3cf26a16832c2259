/*
 * draw_file.c - where a picture goes: its format, the process that renders it, the file it replaces. All of it in the caller's process, so that
 * nothing that happens here can hurt the owner of a volume. The picture is complete in memory before anything is written.
 */
#include "draw.h"
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define NOBODY 65534

static const struct {
	const char *name;
	bool rendered;
} formats[DRAW_FORMATS] = {
	[DRAW_DOT] = {"dot", false},
	[DRAW_SVG] = {"svg", true},
	[DRAW_PNG] = {"png", true},
	[DRAW_JSON] = {"json", false},
};

static bool find_format(const char *word, enum draw_format *out)
{
	for (unsigned i = 0; i < DRAW_FORMATS; i++) {
		if (strcasecmp(word, formats[i].name) == 0) {
			*out = (enum draw_format)i;
			return true;
		}
	}
	if (strcasecmp(word, "gv") != 0)
		return false;
	*out = DRAW_DOT;
	return true;
}

/* The file to write, or NULL for standard output. */
static const char *output_of(const struct cli_args *args)
{
	const struct cli_parsed *option = cli_args_option(args, DRAW_OPT_OUTPUT);
	return option && strcmp(option->arg, "-") != 0 ? option->arg : NULL;
}

int draw_choose_format(struct cli *cli, const struct cli_args *args, enum draw_format *out)
{
	const struct cli_parsed *format = NULL;
	const char *file = output_of(args);
	*out = DRAW_DOT;
	for (size_t i = 0; i < args->noptions; i++) {
		if (args->options[i].id == DRAW_OPT_FORMAT || args->options[i].id == DRAW_OPT_JSON)
			format = &args->options[i];
	}
	if (format && format->id == DRAW_OPT_JSON) {
		*out = DRAW_JSON;
	} else if (format) {
		if (!find_format(format->arg, out))
			return cli_usage(cli, "unknown format '%s': dot, svg, png or json", format->arg);
	} else if (file) {
		const char *slash = strrchr(file, '/'), *dot = strrchr(slash ? slash : file, '.');
		if (!dot || !find_format(dot + 1, out))
			return cli_usage(
				cli, "what format is '%s'? Name it by -T, or by the suffix .dot, .svg, .png or .json",
				file);
	}
	return 0;
}

static int begin(struct cli *cli, const struct cli_args *args, bool *wanted_out)
{
	enum draw_format format;
	int status = draw_choose_format(cli, args, &format);
	if (status)
		return status;
	if (formats[format].rendered && !draw_can_render) {
		cli_failf(cli, NULL,
			  "this linkfs was built without Graphviz, so -T %s is missing: install libgraphviz-dev and "
			  "build it again; or use "
			  "-T dot, which needs nothing, and make the picture elsewhere: dot -T%s",
			  formats[format].name, formats[format].name);
		return cli->status;
	}
	if (format == DRAW_PNG && !output_of(args) && cli->out_tty)
		return cli_usage(cli, "a PNG picture is nothing for a terminal: use -o FILE");
	*wanted_out = formats[format].rendered || output_of(args);
	return 0;
}

/* ---- rendering ---- */

/* Graphviz gets no rights that it does not need, and its messages go to fd err. Never returns. */
static _Noreturn void render_child(const char *dot, const char *format, int fd, int err)
{
	static const int numbers[] = {SIGINT, SIGTERM, SIGHUP};
	for (size_t i = 0; i < CLI_ARRAY_LEN(numbers); i++)
		signal(numbers[i], SIG_DFL);
	setrlimit(RLIMIT_CORE, &(struct rlimit){0});
	dup2(err, STDOUT_FILENO);
	dup2(err, STDERR_FILENO);
	/* What root draws may come from the owner of somebody's volume. Where this cannot be had, as in a namespace of one user, the rights are
	 * few anyway. */
	bool dropped = geteuid() != 0 || (setgroups(0, NULL) == 0 && setgid(NOBODY) == 0 && setuid(NOBODY) == 0);
	(void)dropped;
	prctl(PR_SET_PDEATHSIG, SIGKILL); /* after the rights: their change takes it back */
	_exit(draw_render(dot, format, fd) ? 0 : 1);
}

#define LOOK_MS 100 /* an interrupt that comes just before we wait is seen after so long */

/* Waits for the child, and ends it when the user ends us. */
static int await_child(struct cli *cli, pid_t child)
{
	struct pollfd ended = {.fd = pidfd_open(child, 0), .events = POLLIN};
	int status = 0;
	pid_t got;
	/* Without such a descriptor poll() only sleeps. */
	while ((got = waitpid(child, &status, WNOHANG)) == 0 || (got < 0 && errno == EINTR)) {
		if (cli_cancelled(cli))
			kill(child, SIGKILL);
		(void)poll(&ended, 1, ended.fd < 0 ? 1 : LOOK_MS);
	}
	if (ended.fd >= 0)
		close(ended.fd);
	return got < 0 ? -1 : status;
}

/* All of a memory file, NUL after it. */
static char *read_all(int fd, size_t *len_out)
{
	struct stat st;
	size_t len = 0;
	if (fstat(fd, &st) != 0)
		return NULL;
	char *bytes = malloc((size_t)st.st_size + 1);
	while (bytes && len < (size_t)st.st_size) {
		ssize_t n = pread(fd, bytes + len, (size_t)st.st_size - len, (off_t)len);
		if (n <= 0)
			break;
		len += (size_t)n;
	}
	if (bytes)
		bytes[len] = '\0';
	*len_out = len;
	return bytes;
}

static void tell_failure(struct cli *cli, int status, int err)
{
	size_t len = 0;
	char *said = read_all(err, &len);
	if (WIFSIGNALED(status) && cli_cancelled(cli))
		cli_fail(cli, "Graphviz", LINKFS_EINTR);
	else if (WIFSIGNALED(status))
		cli_failf(cli, "Graphviz", "ended by signal %d; -T dot works without it", WTERMSIG(status));
	else if (said && len) {
		said[strcspn(said, "\n")] = '\0';
		cli_failf(cli, "Graphviz", "could not draw it (%s); -T dot works without it", said);
	} else {
		cli_failf(cli, "Graphviz", "could not draw it; -T dot works without it");
	}
	free(said);
}

static char *render(struct cli *cli, const char *dot, const char *format, size_t *len_out)
{
	int fd = memfd_create("linkfs-picture", MFD_CLOEXEC), err = memfd_create("linkfs-graphviz", MFD_CLOEXEC);
	char *picture = NULL;
	fflush(cli->err);
	pid_t child = fd < 0 || err < 0 ? -1 : fork();
	if (child == 0)
		render_child(dot, format, fd, err);
	if (child < 0) {
		cli_fail(cli, "Graphviz", linkfs_from_errno(errno));
	} else {
		int status = await_child(cli, child);
		if (status == 0)
			picture = read_all(fd, len_out);
		if (status == 0 && (!picture || *len_out == 0))
			cli_failf(cli, "Graphviz", "made an empty picture; -T dot works without it");
		else if (status != 0)
			tell_failure(cli, status, err);
	}
	if (fd >= 0)
		close(fd);
	if (err >= 0)
		close(err);
	if (picture && *len_out == 0) {
		free(picture);
		picture = NULL;
	}
	return picture;
}

/* ---- writing ---- */

static int write_all(int fd, const char *bytes, size_t len)
{
	while (len) {
		ssize_t n = write(fd, bytes, len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return linkfs_from_errno(errno);
		bytes += n;
		len -= (size_t)n;
	}
	return 0;
}

/* Into what is no regular file: a device, a pipe. */
static int write_into(const char *path, const char *bytes, size_t len)
{
	int fd = open(path, O_WRONLY | O_NOCTTY | O_CLOEXEC);
	if (fd < 0)
		return linkfs_from_errno(errno);
	int error = write_all(fd, bytes, len);
	if (close(fd) != 0 && !error)
		error = linkfs_from_errno(errno);
	return error;
}

/* A new file beside path, renamed over it when it is complete and on disk. old: what is there, or NULL. */
static int write_beside(const char *path, const struct stat *old, const char *bytes, size_t len)
{
	char name[32];
	const char *slash = strrchr(path, '/');
	cli_temp_name(name);
	char *temp = cli_format("%.*s%s", slash ? (int)(slash - path + 1) : 0, path, name);
	if (!temp)
		return LINKFS_ENOMEM;
	int fd = open(temp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
	int error = fd < 0 ? linkfs_from_errno(errno) : 0;
	if (!error && old && fchmod(fd, old->st_mode & 0777) != 0)
		error = linkfs_from_errno(errno);
	if (!error)
		error = write_all(fd, bytes, len);
	if (!error && fsync(fd) != 0)
		error = linkfs_from_errno(errno);
	if (fd >= 0 && close(fd) != 0 && !error)
		error = linkfs_from_errno(errno);
	if (!error && rename(temp, path) != 0)
		error = linkfs_from_errno(errno);
	if (error && fd >= 0)
		unlink(temp);
	free(temp);
	return error;
}

/* Replaces the file, the one that path leads to when it is a symlink. An interrupt waits meanwhile, so that nothing is left behind. */
static int replace(const char *path, const char *bytes, size_t len)
{
	sigset_t blocked, before;
	struct stat st;
	bool there = stat(path, &st) == 0;
	if (there && !S_ISREG(st.st_mode))
		return S_ISDIR(st.st_mode) ? LINKFS_EISDIR : write_into(path, bytes, len);
	if (there && access(path, W_OK) != 0)
		return linkfs_from_errno(errno);
	char *real = there ? realpath(path, NULL) : cli_strdup(path);
	if (!real)
		return linkfs_from_errno(errno);
	sigemptyset(&blocked);
	sigaddset(&blocked, SIGINT);
	sigaddset(&blocked, SIGTERM);
	sigaddset(&blocked, SIGHUP);
	sigprocmask(SIG_BLOCK, &blocked, &before);
	int error = write_beside(real, there ? &st : NULL, bytes, len);
	sigprocmask(SIG_SETMASK, &before, NULL);
	free(real);
	return error;
}

static int end(struct cli *cli, const struct cli_args *args, const char *output, size_t len)
{
	enum draw_format format;
	const char *file = output_of(args);
	char *picture = NULL;
	int status = draw_choose_format(cli, args, &format);
	if (status)
		return status;
	if (formats[format].rendered) {
		picture = render(cli, output, formats[format].name, &len);
		if (!picture)
			return cli->status;
		output = picture;
	}
	if (file) {
		int error = replace(file, output, len);
		if (error)
			cli_failf(cli, file, "cannot be written: %s", linkfs_strerror(error));
	} else {
		fwrite(output, 1, len, cli->out); /* main() tells when it fails */
	}
	free(picture);
	return cli->status;
}

const struct cli_capture draw_capture = {begin, end};
