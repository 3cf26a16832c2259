/*
 * cmd_tar.c - the --tar forms of linkfs import and export: which operand is the archive, which are trees, how it is compressed.
 */
#include "tar.h"
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static bool is_dash(const struct cli_path *path)
{
	return strcmp(path->text, "-") == 0;
}

static bool ends_with(const char *text, const char *end)
{
	size_t len = strlen(text), n = strlen(end);
	return len > n && strcmp(text + len - n, end) == 0;
}

static enum tar_filter filter_of(const char *name)
{
	static const struct {
		const char *end;
		enum tar_filter filter;
	} rows[] = {
		{".gz", TAR_GZIP},    {".tgz", TAR_GZIP}, {".taz", TAR_GZIP}, {".bz2", TAR_BZIP2}, {".tbz", TAR_BZIP2},
		{".tbz2", TAR_BZIP2}, {".xz", TAR_XZ},    {".txz", TAR_XZ},   {".zst", TAR_ZSTD},  {".tzst", TAR_ZSTD},
	};
	for (size_t i = 0; i < CLI_ARRAY_LEN(rows); i++) {
		if (ends_with(name, rows[i].end))
			return rows[i].filter;
	}
	return TAR_PLAIN;
}

bool tar_reads_input(const struct cli_args *args, int option_tar)
{
	return cli_args_option(args, option_tar) && args->noperands == 1;
}

int tar_run_import(struct copy *copy, const struct cli_args *args)
{
	struct cli *cli = copy->cli;
	const struct cli_path *dest = &args->operands[args->noperands - 1];
	const struct cli_path *archive = args->noperands > 1 ? &args->operands[0] : NULL;
	if (args->noperands > 2)
		return cli_usage(cli, "extra operand '%s': --tar takes one archive and the directory that receives it",
				 args->operands[2].text);
	if (is_dash(dest))
		return cli_usage(cli, "missing destination after '-'");
	if (dest->kind != CLI_VOLUME) {
		cli_not_in_volume(cli, dest);
		return CLI_EXIT_SOME;
	}
	tar_import(copy, archive && !is_dash(archive) ? archive : NULL, dest);
	return 0;
}

/* Writing over a file that was meant as a tree to export would be a pity. */
static int check_inferred(struct cli *cli, const struct cli_path *path)
{
	struct linkfs_stat st;
	if (ends_with(path->text, ".tar") || filter_of(path->text) != TAR_PLAIN)
		return 0;
	if (cli_any_stat(cli, path, true, &st) != 0 || !S_ISREG(st.mode) || st.size == 0)
		return 0;
	return cli_usage(cli,
			 "'%s' exists: an archive that replaces it needs a name that ends in .tar or says a "
			 "compression; to export it add - for standard output",
			 path->text);
}

/* The archive is "-", or the one operand that is no path in a volume, or the last one of several; without one it is standard output. */
static int find_archive(struct cli *cli, const struct cli_args *args, size_t *at_out)
{
	size_t found = args->noperands;
	for (size_t i = 0; i < args->noperands; i++) {
		const struct cli_path *path = &args->operands[i];
		if (!is_dash(path) && path->kind == CLI_VOLUME)
			continue;
		if (found < args->noperands)
			return cli_usage(cli, "'%s' and '%s' are both outside of the volume: there is one archive",
					 args->operands[found].text, path->text);
		found = i;
	}
	if (found == args->noperands && args->noperands > 1 && args->operands[args->noperands - 1].in_mount) {
		found = args->noperands - 1;
		int status = check_inferred(cli, &args->operands[found]);
		if (status)
			return status;
	}
	*at_out = found;
	return 0;
}

int tar_run_export(struct copy *copy, const struct cli_args *args, bool content_only, bool json, int filter)
{
	struct cli *cli = copy->cli;
	size_t at = 0, count = 0;
	int status = find_archive(cli, args, &at);
	if (status)
		return status;
	bool named = at < args->noperands, dash = named && is_dash(&args->operands[at]);
	if (named && args->noperands == 1) {
		if (dash)
			return cli_usage(cli, "missing operand: the trees that go into the archive");
		cli_not_in_volume(cli, &args->operands[at]);
		return CLI_EXIT_SOME;
	}
	const struct cli_path *archive = named && !dash ? &args->operands[at] : NULL;
	if (json && !archive)
		return cli_usage(cli, "--json needs a file for the archive: standard output is the archive itself");
	struct cli_path *sources = cli_alloc(args->noperands * sizeof(*sources));
	if (!sources) {
		cli_fail(cli, NULL, LINKFS_ENOMEM);
		return CLI_EXIT_SOME;
	}
	for (size_t i = 0; i < args->noperands; i++) {
		if (i != at)
			sources[count++] = args->operands[i];
	}
	if (content_only && count > 1)
		status = cli_usage(cli, "extra operand '%s': -T takes one tree", sources[1].text);
	else
		tar_export(copy, sources, count, archive, content_only,
			   filter >= 0 ? (enum tar_filter)filter
			   : archive   ? filter_of(archive->text)
				       : TAR_PLAIN);
	free(sources);
	return status;
}
