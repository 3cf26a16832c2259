/*
 * du.h - what the files of linkfs du share: cmd_du.c asks, du_print.c shows.
 */
#ifndef CLI_DU_H
#define CLI_DU_H

#include "cli.h"

#include <linkfs_space.h>

enum du_kind { DU_PATH, DU_PAST, DU_SNAPSHOT, DU_SNAPSHOTS, DU_TOTAL };

/* One line: a set, what it is called, and what it costs. */
struct du_row {
	enum du_kind kind;
	const char *label; /* as it is written; of a snapshot its name */
	size_t label_len;
	const struct linkfs_space_sum *sum;
	const struct du_with *with;
	size_t with_count;
};

struct du_with {
	struct linkfs_space_with with;
	char *name; /* or NULL */
};

struct du_print {
	struct cli *cli;
	const struct cli_path *like; /* an operand: how paths are written */
	unsigned base;               /* of human sizes; 0: none */
	uint64_t unit;               /* bytes, without base */
	bool as_json, begun;
	struct cli_json json;
};

void du_print(struct du_print *print, const struct du_row *row);
/* After the last row. */
void du_print_end(struct du_print *print);

#endif
