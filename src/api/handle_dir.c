/*
 * handle_dir.c - open directories: a hold, a position, and a few entries read ahead.
 * Layer: api. The position is a cookie and needs nothing remembered: entries read ahead are dropped by a seek.
 */
#include "call.h"

#include <stdlib.h>
#include <string.h>

#define AHEAD_ENTRIES 64u

struct slot {
	struct linkfs_entry entry;
	char name[LINKFS_NAME_MAX + 1];
};

struct linkfs_dir {
	struct linkfs_volume *volume;
	uint64_t ino, node; /* node: held */
	uint64_t cookie;    /* after the entry given last */
	uint32_t at, count;
	struct slot ahead[AHEAD_ENTRIES];
};

int linkfs_dir_open(struct linkfs_volume *volume, const struct linkfs_cred *cred, uint64_t at, const char *path,
		    struct linkfs_dir **out)
{
	struct lk_place found = {0};
	struct linkfs_dir *dir;
	struct lk_op op;
	int rc;

	cred = lk_cred(cred);
	dir = malloc(sizeof(*dir));
	if (!dir)
		return LINKFS_ENOMEM;
	rc = lk_op_begin(lk_volume_fs(volume), &op, 0);
	if (rc) {
		free(dir);
		return rc;
	}
	rc = lk_resolve(&op, cred, at, path, true, &found);
	if (rc == 0 && !lk_is_dir(&found.inode))
		rc = LINKFS_ENOTDIR;
	if (rc == 0)
		rc = lk_perm_check(&op, cred, &found.inode, LK_MAY_READ);
	rc = lk_call_end_at(&op, rc, &found, LINKFS_HOLD, NULL);
	if (rc) {
		free(dir);
		return rc;
	}
	dir->volume = volume;
	dir->ino = op.bits | (uint64_t)found.inode.ino;
	dir->node = found.id;
	dir->cookie = 0;
	dir->at = dir->count = 0;
	*out = dir;
	return 0;
}

static int take(void *arg, const struct linkfs_entry *entry)
{
	struct linkfs_dir *dir = arg;
	struct slot *s;

	if (dir->count == AHEAD_ENTRIES)
		return 1;
	s = &dir->ahead[dir->count++];
	s->entry = *entry;
	memcpy(s->name, entry->name, entry->name_len);
	s->name[entry->name_len] = 0;
	s->entry.name = s->name;
	return 0;
}

int linkfs_dir_read(struct linkfs_dir *dir, const struct linkfs_entry **out)
{
	if (dir->at == dir->count) {
		int rc;

		dir->at = dir->count = 0;
		/* Rights were asked when it was opened. A directory that was removed has nothing more. */
		rc = linkfs_node_readdir(dir->volume, NULL, dir->node, dir->cookie, 0, take, dir);
		if (rc && rc != LINKFS_ENOENT) {
			dir->count = 0;
			return rc;
		}
		if (dir->count == 0) {
			*out = NULL;
			return 0;
		}
	}
	*out = &dir->ahead[dir->at++].entry;
	dir->cookie = (*out)->cookie;
	return 0;
}

uint64_t linkfs_dir_tell(const struct linkfs_dir *dir)
{
	return dir->cookie;
}

void linkfs_dir_seek(struct linkfs_dir *dir, uint64_t cookie)
{
	dir->cookie = cookie;
	dir->at = dir->count = 0;
}

uint64_t linkfs_dir_ino(const struct linkfs_dir *dir)
{
	return dir->ino;
}

void linkfs_dir_close(struct linkfs_dir *dir)
{
	if (!dir)
		return;
	lk_call_unhold(lk_volume_fs(dir->volume), dir->node, 1);
	free(dir);
}
