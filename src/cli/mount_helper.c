/*
 * mount_helper.c - the program under the name mount.linkfs, which mount(8) runs for type linkfs and for /etc/fstab.
 */
#include "run.h"
#include <string.h>

/* Literals are passed on as words that nobody changes. */
static char *word(const char *text)
{
	union {
		const char *from;
		char *to;
	} u = {.from = text};
	return u.to;
}

static int wrong(const char *what)
{
	fprintf(stderr, "mount.linkfs: %s\nUsage: mount.linkfs VOLUME DIRECTORY [-sfnv] [-o OPTIONS]\n", what);
	return CLI_EXIT_USAGE;
}

int cli_mount_helper(int argc, char **argv, int *argc_out, char **out)
{
	char *operands[2] = {NULL, NULL};
	size_t noperands = 0;
	bool fake = false, sloppy = false, read_only = false;
	int n = 0;
	out[n++] = argv[0];
	out[n++] = word("mount");
	for (int i = 1; i < argc; i++) {
		if (argv[i][0] != '-' || argv[i][1] == '\0') {
			if (noperands == 2)
				return wrong("too many arguments");
			operands[noperands++] = argv[i];
			continue;
		}
		for (const char *p = argv[i] + 1; *p; p++) {
			bool takes = strchr("oNt", *p) != NULL;
			if (takes && i + 1 >= argc)
				return wrong("an option lacks its argument");
			if (*p == 'o') {
				out[n++] = word("-o");
				out[n++] = argv[i + 1];
			} else if (*p == 's') {
				sloppy = true;
			} else if (*p == 'f') {
				fake = true;
			} else if (*p == 'r') {
				read_only = true;
			} else if (!takes && !strchr("nvw", *p)) {
				return wrong("unknown option");
			}
			if (takes) {
				i++;
				break;
			}
		}
	}
	if (noperands != 2)
		return wrong("a volume and a directory are needed");
	if (sloppy)
		out[n++] = word("-s");
	if (read_only)
		out[n++] = word("-r");
	out[n++] = word("--");
	out[n++] = operands[0];
	out[n++] = operands[1];
	out[n] = NULL;
	*argc_out = n;
	return fake ? CLI_EXIT_FAKE : 0;
}
