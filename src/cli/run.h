/*
 * run.h - the choice between the owner of a volume and this process; used by main.c only.
 */
#ifndef CLI_RUN_H
#define CLI_RUN_H

#include "cli.h"

/* Runs the command in the owner of the volume it names and returns its status; or sets *here_out: run it here. */
int cli_run(struct cli *cli, int argc, char *const *argv, struct cli_args *args, bool *here_out);

#define CLI_EXIT_FAKE -1
/* mount_helper.c: the words of "mount.linkfs SOURCE DIR [-sfnv] [-N NS] [-o OPTIONS] [-t TYPE]" (mount(8)) as those of
 * "linkfs mount". Returns 0; CLI_EXIT_FAKE when there is nothing to do; CLI_EXIT_USAGE. out has room for 4 * argc + 8: a word may hold several options. */
int cli_mount_helper(int argc, char **argv, int *argc_out, char **out);

/* help.c */
void cli_help_all(FILE *out);
void cli_help_command(FILE *out, const struct cli_command *command);

#endif
