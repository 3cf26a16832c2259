/*
 * main.c - the program linkfs: finds the command, parses, resolves, runs it in the right process, and turns an interrupt
 * into a clean end: what was done is committed.
 */
#include "run.h"
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <locale.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

static volatile sig_atomic_t interrupted;

static void on_signal(int number)
{
	interrupted = number;
}

static bool is_interrupted(void *arg)
{
	(void)arg;
	return interrupted != 0;
}

/* The first signal ends the command at its next step; the second ends the process as ever. */
static void catch_signals(void)
{
	static const int numbers[] = {SIGINT, SIGTERM, SIGHUP};
	struct sigaction action = {.sa_handler = on_signal, .sa_flags = (int)SA_RESETHAND};
	for (size_t i = 0; i < CLI_ARRAY_LEN(numbers); i++) {
		struct sigaction old;
		if (sigaction(numbers[i], NULL, &old) == 0 && old.sa_handler != SIG_IGN)
			sigaction(numbers[i], &action, NULL);
	}
	signal(SIGPIPE, SIG_IGN);
}

static unsigned terminal_width(void)
{
	struct winsize size = {0};
	const char *columns = getenv("COLUMNS");
	uint64_t value;
	if (columns && cli_parse_u64(columns, 10000, &value) == 0 && value)
		return (unsigned)value;
	return ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 ? size.ws_col : 0;
}

static int fill_groups(struct cli *cli)
{
	int count = getgroups(0, NULL);
	cli->groups = cli_alloc((size_t)(count > 0 ? count : 1) * sizeof(gid_t));
	if (!cli->groups)
		return LINKFS_ENOMEM;
	count = count > 0 ? getgroups(count, cli->groups) : 0;
	cli->cred.groups = cli->groups;
	cli->cred.ngroups = count > 0 ? (uint32_t)count : 0;
	return 0;
}

static int fill_context(struct cli *cli, char **cwd_out)
{
	mode_t mask = umask(0);
	umask(mask);
	*cwd_out = getcwd(NULL, 0);
	if (!*cwd_out && errno == ENOMEM)
		return LINKFS_ENOMEM;
	*cli = (struct cli){
		.in = stdin,
		.out = stdout,
		.err = stderr,
		.in_tty = isatty(STDIN_FILENO),
		.out_tty = isatty(STDOUT_FILENO),
		.err_tty = isatty(STDERR_FILENO),
		.width = terminal_width(),
		.cred = {.uid = geteuid(), .gid = getegid(), .umask = mask & 0777},
		.cwd_fd = AT_FDCWD,
		.cwd = *cwd_out ? *cwd_out : "",
		.tz = getenv("TZ"),
		.time_style = getenv("TIME_STYLE"),
		.block_size = getenv("LS_BLOCK_SIZE"),
		.cancel = is_interrupted,
	};
	return fill_groups(cli);
}

static bool asks_help(int argc, char **argv)
{
	for (int i = 2; i < argc && strcmp(argv[i], "--") != 0; i++) {
		if (strcmp(argv[i], "--help") == 0)
			return true;
	}
	return false;
}

/* Runs it, in the owner of its volume or here. */
static int run_resolved(struct cli *cli, int argc, char **argv, struct cli_args *args)
{
	bool here = false;
	int status = cli_run(cli, argc - 1, argv + 1, args, &here);
	if (here) {
		if (!(cli->command->flags & CLI_LOCAL))
			catch_signals();
		status = cli_run_here(cli, args);
		cli_volumes_close(cli);
	}
	return status > cli->status ? status : cli->status;
}

static int run_captured(struct cli *cli, int argc, char **argv, struct cli_args *args)
{
	const struct cli_capture *capture = cli->command->capture;
	bool wanted = false, tty = cli->out_tty;
	char *output = NULL;
	size_t len = 0;
	int status = capture->begin(cli, args, &wanted);
	if (status || !wanted)
		return status ? status : run_resolved(cli, argc, argv, args);
	FILE *out = open_memstream(&output, &len);
	if (!out) {
		cli_fail(cli, NULL, LINKFS_ENOMEM);
		return cli->status;
	}
	cli->out = out;
	cli->out_tty = false;
	status = run_resolved(cli, argc, argv, args);
	bool whole = !ferror(out);
	whole = fclose(out) == 0 && whole;
	cli->out = stdout;
	cli->out_tty = tty;
	if (!status && !whole)
		cli_fail(cli, NULL, LINKFS_ENOMEM);
	else if (!status)
		status = capture->end(cli, args, output, len);
	free(output);
	return status;
}

static int run_command(struct cli *cli, int argc, char **argv)
{
	struct cli_args args;
	if (asks_help(argc, argv)) {
		cli_help_command(cli->out, cli->command);
		return CLI_EXIT_OK;
	}
	int status = cli_args_parse(cli, cli->command, argc - 2, argv + 2, &args);
	if (status)
		return status;
	status = cli_args_resolve(cli, cli->command, &args);
	if (!status && cli->command->capture)
		status = run_captured(cli, argc, argv, &args);
	else if (!status)
		status = run_resolved(cli, argc, argv, &args);
	cli_args_done(&args);
	return status > cli->status ? status : cli->status;
}

static int run_word(struct cli *cli, int argc, char **argv)
{
	const char *word = argc > 1 ? argv[1] : NULL;
	if (!word) {
		cli_help_all(cli->err);
		return CLI_EXIT_USAGE;
	}
	if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0)
		word = "help";
	if (strcmp(word, "--version") == 0 || strcmp(word, "-V") == 0)
		word = "version";
	cli->command = cli_command_find(word);
	if (!cli->command)
		return cli_usage(cli, "%s: no such command", word);
	return run_command(cli, argc, argv);
}

/* Descriptors that are closed would be those of the volume's files: what is read and written there fails, as it would. */
static void fill_standard(void)
{
	for (int fd = 0; fd < 3; fd++)
		if (fcntl(fd, F_GETFD) < 0 && errno == EBADF)
			(void)open("/dev/null", fd == 0 ? O_WRONLY : O_RDONLY);
}

int main(int argc, char **argv)
{
	struct cli cli;
	fill_standard();
	(void)linkfs_sqlite_uncounted();
	char *cwd = NULL;
	/* What nothing depends on is not loaded, a file for each. Messages are English. */
	setlocale(LC_COLLATE, "");
	setlocale(LC_CTYPE, "");
	setlocale(LC_TIME, "");
	if (fill_context(&cli, &cwd) != 0) {
		fputs("linkfs: out of memory\n", stderr);
		return CLI_EXIT_SOME;
	}
	const char *slash = strrchr(argc > 0 ? argv[0] : "", '/');
	char **words = NULL;
	int status = 0;
	if (argc > 0 && strcmp(slash ? slash + 1 : argv[0], "mount.linkfs") == 0) {
		words = cli_alloc(((size_t)argc * 4 + 8) * sizeof(*words));
		status = words ? cli_mount_helper(argc, argv, &argc, words) : CLI_EXIT_SOME;
		if (!words)
			cli_fail(&cli, NULL, LINKFS_ENOMEM);
		argv = words;
	}
	if (status == 0)
		status = run_word(&cli, argc, argv);
	else if (status == CLI_EXIT_FAKE)
		status = 0;
	free(words);
	errno = 0;
	if (fflush(stdout) != 0 || ferror(stdout)) {
		if (errno != EPIPE && errno != 0)
			cli_fail(&cli, "standard output", linkfs_from_errno(errno));
		status = status > CLI_EXIT_SOME ? status : CLI_EXIT_SOME;
	}
	free(cli.groups);
	free(cwd);
	if (interrupted) { /* end as the signal would have, now that all is closed */
		signal(interrupted, SIG_DFL);
		raise(interrupted);
	}
	return status;
}
