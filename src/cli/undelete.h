/*
 * undelete.h - what the files of linkfs undelete share: deletions found by path or number, as copies that outlive the lock.
 */
#ifndef CLI_UNDELETE_H
#define CLI_UNDELETE_H

#include "cli.h"

/* One deletion. */
struct cli_deleted {
	int64_t time_ns, expires_ns;
	uint64_t dir;
	char *name;
	size_t name_len;
	char *path; /* NULL when it is not known */
	uint32_t flags;
	struct linkfs_stat st;
};
struct cli_deletions {
	struct cli_deleted *rows;
	size_t len, cap;
};

/* What an operand stands for: a name in a directory that is there or deleted, a directory that is there (ino), or a file by number. */
struct cli_lost {
	uint64_t number;  /* of "#NUMBER"; the rest is unset then */
	uint64_t dir;     /* where the name is, or was; 0 for the root itself */
	char *name;       /* to be freed */
	uint64_t live;    /* what has the name now; 0: nothing */
	bool live_is_dir; /* and that is a directory */
};

struct cli_undelete {
	struct cli *cli;
	struct linkfs_volume *volume;
	const struct cli_path *path; /* the operand at work */
	bool list, recursive, all, purge, verbose;
	int64_t at_ns, since_ns; /* 0: not given */
	uint64_t to;             /* directory; 0: none */
	const char *suffix;
	size_t done, older; /* names given back or up; those that -r left because they went earlier */
};

/* Says what is wrong. */
int cli_lost_find(struct cli_undelete *u, struct cli_lost *out);
/* The deletions that a query finds, the newest first, at most max, none newer than at_ns (0: any). Says what is wrong. */
int cli_deletions_read(struct cli_undelete *u, const struct linkfs_deleted_query *query, size_t max, int64_t at_ns,
		       struct cli_deletions *out);
void cli_deletions_done(struct cli_deletions *list);
/* What a person calls a deletion: its path as linkfs takes it, or #NUMBER and its name. Allocated. */
char *cli_deleted_spell(struct cli_undelete *u, const struct cli_deleted *deleted);

/* undelete_list.c */
void cli_undelete_print(struct cli_undelete *u, const struct cli_deletions *list, struct cli_json *json,
			struct cli_ids *ids, bool *head);

#endif
