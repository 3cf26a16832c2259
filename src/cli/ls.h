/*
 * ls.h - between cmd_ls.c, which gathers, and ls_print.c, which shows.
 */
#ifndef CLI_LS_H
#define CLI_LS_H

#include "cli.h"

enum { OPT_STYLE = 256, OPT_FULL, OPT_JSON, OPT_QUOTING, OPT_SI, OPT_SORT };

enum ls_format { LS_SINGLE, LS_COLUMNS, LS_LONG, LS_JSON };
enum ls_sort { LS_BY_NAME, LS_BY_TIME, LS_BY_SIZE, LS_UNSORTED };
enum ls_time { LS_MTIME, LS_CTIME, LS_ATIME, LS_BTIME };
enum ls_indicator { LS_NO_INDICATOR, LS_SLASH, LS_CLASSIFY };

struct ls_item {
	char *name;   /* as it is */
	char *shown;  /* quoted */
	size_t width; /* of shown on a terminal */
	char *target; /* a symlink's text, with LS_LONG and LS_JSON */
	char *path;   /* display path, LS_JSON and recursion */
	struct linkfs_stat st;
	bool has_acl, quoted;
	bool unknown;         /* its attributes cannot be had (-L of a dangling link) */
	uint32_t target_mode; /* with -F: what a symlink leads to, 0 for nowhere */
};

struct ls {
	struct cli *cli;
	struct cli_ids *ids;
	struct cli_json json;
	enum ls_format format;
	enum ls_sort sort;
	enum ls_time time;
	enum ls_indicator indicator;
	enum cli_quoting quoting;
	bool all, almost_all, inode, blocks, recursive, directory, reverse, numeric, no_group, no_owner, follow,
		follow_args;
	unsigned human; /* base, 0 for bytes */
	unsigned width;
	const char *recent_format, *old_format;
	int64_t now_ns;
	bool printed; /* something came before: a blank line is due */
};

int64_t ls_item_time(const struct ls *ls, const struct ls_item *item);
void ls_print(struct ls *ls, struct ls_item *items, size_t len);
void ls_print_total(struct ls *ls, const struct ls_item *items, size_t len);

/* Settings from the options; nonzero is the status of wrong usage. */
int ls_take_options(struct ls *ls, const struct cli_args *args);
int ls_take_style(struct ls *ls, const char *style);

#endif
