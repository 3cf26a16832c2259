/*
 * links.h - what the commands that ask about links share: where the volume is mounted, how paths are written, answers that are
 * gathered and sorted before they are shown.
 */
#ifndef CLI_LINKS_H
#define CLI_LINKS_H

#include "cli.h"
#include <linkfs_links.h>

/* An operand's volume, and how its answers are written. */
struct cli_asked {
	struct cli *cli;
	const struct cli_path *path;
	struct linkfs_volume *volume;
	char *mount_point; /* NULL: not mounted */
	struct linkfs_links_options options;
};
/* mounted_at: what the user said, or NULL: where the volume is mounted, if it is. Tells what is wrong. */
int cli_asked_begin(struct cli *cli, const struct cli_path *path, const char *mounted_at, struct cli_asked *out);
void cli_asked_done(struct cli_asked *asked);

/* A path from the volume's root as linkfs takes it again, quoted for a terminal: MOUNT/PATH for an operand in a mount, else
 * VOLUME:/PATH. Allocated. */
char *cli_asked_spell(const struct cli_asked *asked, const char *path);
/* Bytes as they are shown: quoted on a terminal. */
void cli_show_bytes(struct cli *cli, const char *bytes, size_t len);
/* Writes "PATH -> TEXT". */
void cli_show_link(const struct cli_asked *asked, const struct linkfs_link *link);
void cli_json_link(struct cli_json *json, const struct linkfs_link *link);
/* "error": null or its name; the inode reached. */
void cli_json_end(struct cli_json *json, const char *key, const struct linkfs_end *end);

/* Answers: a path each, and what belongs to it. */
struct cli_answers {
	struct cli_answer *list;
	size_t len, cap;
};
struct cli_answer {
	char *path;
	char *text; /* a symlink's, or NULL */
	struct linkfs_link link;
	struct linkfs_end before, after;
};
/* link NULL: path alone. Out of memory is told. */
int cli_answers_add(struct cli *cli, struct cli_answers *answers, const char *path, const struct linkfs_link *link,
		    const struct linkfs_end *before, const struct linkfs_end *after);
void cli_answers_sort(struct cli_answers *answers);
void cli_answers_done(struct cli_answers *answers);

#define CLI_OPT_MOUNTED_AT 300
#define CLI_OPTION_MOUNTED_AT                                                                                          \
	{                                                                                                              \
		CLI_OPT_MOUNTED_AT, "mounted-at", "DIR",                                                               \
			"Read absolute symlinks as if the volume were mounted on DIR; / for the volume's own root", 0  \
	}

#endif
