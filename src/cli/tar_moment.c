/*
 * tar_moment.c - an export that reads a volume as it was at one moment: a snapshot, which is there as long as the export runs; see tar.h.
 */
#include "tar.h"

/* Nodes of a snapshot have its number above the inode's. */
#define LOW ((UINT64_C(1) << 48) - 1)

static bool is_live(const struct copy_dir *dir)
{
	struct linkfs_stat st;
	return dir->volume && linkfs_node_getattr(dir->volume, dir->ino, &st) == 0 && !linkfs_node_past(st.ino);
}

void tar_moment_take(struct tar_moment *moment, const struct copy_dir *dir)
{
	struct cli *cli = moment->copy->cli;
	struct linkfs_snapshot_new what = {.note = "read by linkfs export --tar, which deletes it when it is done"};
	struct linkfs_stat root;
	uint64_t id = 0;
	if (!cli->in_owner || moment->volume || !is_live(dir))
		return;
	int error = cli_snapshot_dated(cli, dir->volume, "export-%Y-%m-%dT%H:%M:%S", what, moment->snapshot,
				       sizeof(moment->snapshot) - 8);
	if (error == LINKFS_EPERM || error == LINKFS_EROFS)
		return;
	if (!error) {
		moment->volume = dir->volume;
		error = cli_snapshot_find(cli, dir->volume, moment->snapshot, moment->snapshot, &id);
	}
	if (!error)
		error = linkfs_snapshot_root(dir->volume, id, LINKFS_HOLD, &root);
	if (error)
		cli_note(
			cli,
			"no snapshot can be taken to read from (%s): what changes meanwhile may be in the archive half",
			linkfs_strerror(error));
	else
		moment->root = root.node;
}

void tar_moment_end(struct tar_moment *moment)
{
	struct copy *copy = moment->copy;
	if (!moment->volume)
		return;
	if (moment->root)
		linkfs_node_release(moment->volume, moment->root, 1);
	int error = linkfs_snapshot_delete(moment->volume, &copy->cli->cred, moment->snapshot, NULL, NULL, NULL);
	if (error && error != LINKFS_ENOENT) {
		copy->errors++;
		cli_failf(copy->cli, moment->snapshot, "this snapshot, which the export took, could not be deleted: %s",
			  linkfs_strerror(error));
	}
}

uint64_t tar_moment_ino(const struct tar_moment *moment, const struct linkfs_volume *volume, uint64_t ino)
{
	return moment->root && volume == moment->volume && (ino & ~LOW) == (moment->root & ~LOW) ? ino & LOW : ino;
}

void tar_moment_go_back(const struct tar_moment *moment, struct copy_dir *dir)
{
	struct linkfs_stat st;
	if (!moment->root || dir->volume != moment->volume || !is_live(dir) ||
	    linkfs_node_getattr(dir->volume, dir->ino, &st) != 0)
		return;
	uint64_t node = (moment->root & ~LOW) | (st.ino & LOW);
	if (linkfs_node_getattr(dir->volume, node, &st) != 0)
		return;
	cli_place_release(&dir->place);
	dir->ino = node;
}
