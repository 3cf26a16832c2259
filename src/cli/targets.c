/*
 * targets.c - sources and destination of cp, mv and ln, and what else these share.
 */
#include "copy.h"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>

static int host_stat(struct cli *cli, const char *path, bool follow, struct linkfs_stat *out)
{
	struct statx sx;
	if (statx(cli->cwd_fd, path, follow ? 0 : AT_SYMLINK_NOFOLLOW, STATX_BASIC_STATS | STATX_BTIME, &sx) != 0)
		return linkfs_from_errno(errno);
	struct copy_stat there;
	copy_host_stat(&sx, &there);
	*out = there.st;
	out->blksize = sx.stx_blksize;
	out->btime_ns = copy_host_ns(&sx.stx_btime);
	return 0;
}

int cli_any_stat(struct cli *cli, const struct cli_path *path, bool follow, struct linkfs_stat *out)
{
	if (path->kind == CLI_VOLUME)
		return cli_path_stat(cli, path, follow, out);
	return host_stat(cli, path->host, follow, out);
}

int cli_targets_find(struct cli *cli, const struct cli_args *args, const struct cli_path *target_dir,
		     bool no_target_dir, bool no_follow, struct cli_targets *out)
{
	struct linkfs_stat st = {0};
	if (target_dir && no_target_dir)
		return cli_usage(cli, "--target-directory and --no-target-directory exclude each other");
	if (!target_dir && args->noperands < 2)
		return cli_usage(cli, "missing destination after '%s'", args->operands[0].text);
	if (no_target_dir && args->noperands > 2)
		return cli_usage(cli, "extra operand '%s'", args->operands[2].text);
	size_t nsources = target_dir ? args->noperands : args->noperands - 1;
	const struct cli_path *dest = target_dir ? target_dir : &args->operands[nsources];
	*out = (struct cli_targets){.sources = args->operands, .nsources = nsources, .dest = dest};
	if (no_target_dir)
		return 0;
	if (cli->command->takes != CLI_TAKES_HOST && dest->kind != CLI_VOLUME) {
		cli_not_in_volume(cli, dest);
		return CLI_EXIT_SOME;
	}
	int error = cli_any_stat(cli, dest, !no_follow, &st);
	out->into = !error && S_ISDIR(st.mode);
	if (out->into || (!target_dir && nsources == 1))
		return 0;
	if (cli->status == 0 || error)
		cli_failf(cli, dest->text, "%s", error ? linkfs_strerror(error) : "is not a directory");
	return CLI_EXIT_SOME;
}

void cli_temp_name(char buf[32])
{
	uint64_t number = 0;
	if (getrandom(&number, sizeof(number), 0) != (ssize_t)sizeof(number))
		number = (uint64_t)cli_now_ns();
	snprintf(buf, 32, ".linkfs-%016llx", (unsigned long long)number);
}
