/*
 * draw_binds.c - the rows of the picture at which a bind stands (row C1). What it shows is drawn like any other file or directory; the line to it tells.
 */
#include "draw.h"
#include <sys/stat.h>

static int on_bind(void *arg, const struct linkfs_bind *bind)
{
	struct draw *draw = arg;
	struct draw_end at;
	size_t box;
	if (!draw_find_row(draw, bind->dir, bind->name, bind->name_len, &at))
		return cli_cancelled(draw->cli) ? LINKFS_EINTR : 0;
	struct draw_row *row = &draw->boxes[at.box].rows[at.row];
	row->bind = true;
	if (S_ISDIR(row->st.mode))
		return 0;
	const struct linkfs_stat st = row->st;
	return draw_need_inode(draw, &st, &box);
}

int draw_binds(struct draw *draw)
{
	return linkfs_volume_binds(draw->asked.volume, &draw->cli->cred, 0, on_bind, draw, NULL);
}
