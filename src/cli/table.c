/*
 * table.c - the command table.
 */
#include "table.h"
#include <string.h>

const struct cli_command *const cli_commands[] = {
	/* clang-format off */
	&cli_cmd_create,
	&cli_cmd_info,
	&cli_cmd_mount,
	&cli_cmd_umount,
	&cli_cmd_sync,
	&cli_cmd_df,
	&cli_cmd_du,
	&cli_cmd_check,
	&cli_cmd_recover,
	&cli_cmd_import,
	&cli_cmd_export,
	&cli_cmd_backup,
	&cli_cmd_restore,
	&cli_cmd_ls,
	&cli_cmd_stat,
	&cli_cmd_cat,
	&cli_cmd_cp,
	&cli_cmd_ln,
	&cli_cmd_unshare,
	&cli_cmd_bind,
	&cli_cmd_unbind,
	&cli_cmd_keep_links,
	&cli_cmd_compress,
	&cli_cmd_readlink,
	&cli_cmd_mkdir,
	&cli_cmd_rmdir,
	&cli_cmd_touch,
	&cli_cmd_mv,
	&cli_cmd_rm,
	&cli_cmd_chmod,
	&cli_cmd_chown,
	&cli_cmd_chgrp,
	&cli_cmd_names,
	&cli_cmd_referrers,
	&cli_cmd_dangling,
	&cli_cmd_dedupe,
	&cli_cmd_impact,
	&cli_cmd_explain,
	&cli_cmd_advise,
	&cli_cmd_draw,
	&cli_cmd_snapshot,
	&cli_cmd_prune,
	&cli_cmd_diff,
	&cli_cmd_rollback,
	&cli_cmd_send,
	&cli_cmd_receive,
	&cli_cmd_undelete,
	&cli_cmd_get,
	&cli_cmd_set,
	&cli_cmd_help,
	&cli_cmd_version,
	&cli_cmd_table,
	NULL,
	/* clang-format on */
};

const struct cli_command *cli_command_find(const char *name)
{
	for (const struct cli_command *const *c = cli_commands; *c; c++) {
		if (strcmp((*c)->name, name) == 0)
			return *c;
	}
	return NULL;
}
