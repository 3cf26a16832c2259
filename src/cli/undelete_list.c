/*
 * undelete_list.c - linkfs undelete --list: deletions as lines for people, or as JSON.
 */
#include "undelete.h"
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static void print_json(struct cli_json *json, struct cli_ids *ids, const struct cli_deleted *d)
{
	cli_json_open(json, NULL, '{');
	cli_json_time(json, "deleted", d->time_ns);
	cli_json_time(json, "expires", d->expires_ns);
	if (d->path)
		cli_json_string(json, "path", d->path);
	else
		cli_json_null(json, "path");
	cli_json_bytes(json, "name", d->name, d->name_len);
	cli_json_number(json, "dir", d->dir);
	cli_json_bool(json, "replaced", d->flags & LINKFS_DELETED_REPLACED);
	cli_json_bool(json, "dir_deleted", d->flags & (LINKFS_DELETED_DIR_KEPT | LINKFS_DELETED_DIR_GONE));
	cli_json_bool(json, "dir_gone", d->flags & LINKFS_DELETED_DIR_GONE);
	cli_json_stat(json, ids, &d->st);
	cli_json_close(json, '}');
}

static void print_line(struct cli_undelete *u, struct cli_ids *ids, const struct cli_deleted *d)
{
	char when[80], mode[11], size[32], number[32];
	char *spelled = d->path ? cli_strdup(d->path) : cli_format("?/%s", d->name);
	char *quoted = spelled ? cli_quote(spelled, strlen(spelled),
					   u->cli->out_tty ? CLI_QUOTE_SHELL : CLI_QUOTE_LITERAL, NULL)
			       : NULL;
	cli_time_format(u->cli, when, sizeof(when), "%Y-%m-%d %H:%M:%S", d->time_ns);
	cli_mode_text(d->st.mode, mode);
	cli_human_size(d->st.size, 1024, size);
	snprintf(number, sizeof(number), "#%" PRIu64, d->st.ino);
	fprintf(u->cli->out, "%s  %-9s %s %-8s %6s  %s%s\n", when, number, mode, cli_ids_user(ids, d->st.uid), size,
		quoted ? quoted : "", d->flags & LINKFS_DELETED_REPLACED ? "  (replaced)" : "");
	free(quoted);
	free(spelled);
}

void cli_undelete_print(struct cli_undelete *u, const struct cli_deletions *list, struct cli_json *json,
			struct cli_ids *ids, bool *head)
{
	for (size_t i = 0; i < list->len; i++) {
		if (json) {
			print_json(json, ids, &list->rows[i]);
			continue;
		}
		if (!*head)
			fprintf(u->cli->out, "%-19s  %-9s %-10s %-8s %6s  %s\n", "DELETED", "INODE", "MODE", "OWNER",
				"SIZE", "PATH");
		*head = true;
		print_line(u, ids, &list->rows[i]);
	}
}
