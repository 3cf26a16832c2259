/*
 * snapshots.c - .snapshots in the root of a mount (E1): a directory that is in no volume, with the snapshots in it. The root's listing
 * leaves it out, so that nothing that walks the tree walks all of its past too; by name it is there, unless the root has an entry of that
 * name. Names in it, and its own, ask anew each time: what they stand for changes by commands. What is below a snapshot never does.
 * Layer: fuse.
 */
#include "session.h"

#include <linkfs_snapshots.h>
#include <string.h>
#include <sys/stat.h>

#define FIRST_COOKIE 3u /* of the first snapshot: after "." and ".." */

bool lk_fuse_is_snapshots(uint64_t node)
{
	return node == LINKFS_SNAPSHOTS_NODE;
}

bool lk_fuse_is_snapshots_name(const struct lk_fuse_request *rq, const char *name, size_t len)
{
	static const char reserved[] = ".snapshots";
	return rq->ino == LINKFS_ROOT_INO && !rq->mount->no_snapshots && len == sizeof(reserved) - 1 &&
	       memcmp(name, reserved, len) == 0;
}

struct newest {
	uint64_t count;
	int64_t time_ns;
};

static int count_one(void *arg, const struct linkfs_snapshot *snapshot)
{
	struct newest *n = arg;
	n->count++;
	n->time_ns = snapshot->time_ns;
	return 0;
}

int lk_fuse_snapshots_stat(struct lk_fuse_request *rq, struct linkfs_stat *out)
{
	struct newest n = {0};
	struct linkfs_stat root;
	int r = linkfs_node_getattr(rq->mount->volume, LINKFS_ROOT_INO, &root);
	if (!r)
		r = linkfs_snapshot_list(rq->mount->volume, count_one, &n);
	if (r)
		return r;
	*out = root;
	out->ino = out->node = LINKFS_SNAPSHOTS_NODE;
	out->mode = S_IFDIR | 0555;
	out->nlink = (uint32_t)(n.count < LINKFS_LINK_MAX - 2 ? n.count + 2 : LINKFS_LINK_MAX);
	out->flags = 0;
	if (n.count)
		out->mtime_ns = out->ctime_ns = n.time_ns;
	return 0;
}

static int take_id(void *arg, const struct linkfs_snapshot *snapshot)
{
	*(uint64_t *)arg = snapshot->id;
	return 0;
}

int lk_fuse_snapshots_lookup(struct lk_fuse_request *rq, const char *name, size_t len, struct linkfs_stat *out)
{
	char text[LINKFS_NAME_MAX + 1];
	uint64_t id = 0;
	if (rq->ino == LINKFS_ROOT_INO || (len == 1 && name[0] == '.'))
		return lk_fuse_snapshots_stat(rq, out);
	if (len == 2 && memcmp(name, "..", 2) == 0)
		return linkfs_node_lookup(rq->mount->volume, &rq->cred, LINKFS_ROOT_INO, name, len, LINKFS_HOLD, out);
	memcpy(text, name, len); /* a name of the protocol is no longer */
	text[len] = 0;
	int r = linkfs_snapshot_show(rq->mount->volume, text, take_id, &id);
	return r ? r : linkfs_snapshot_root(rq->mount->volume, id, LINKFS_HOLD, out);
}

struct listing {
	linkfs_entry_fn *fn;
	void *arg;
	uint64_t after;
	bool full;
};

static int list_one(void *arg, const struct linkfs_snapshot *snapshot)
{
	struct listing *l = arg;
	struct linkfs_entry entry = {.name = snapshot->name,
				     .name_len = snapshot->name_len,
				     .ino = LINKFS_SNAPSHOTS_NODE + snapshot->id,
				     .cookie = snapshot->id + FIRST_COOKIE - 1,
				     .type = S_IFDIR};
	if (entry.cookie <= l->after)
		return 0;
	l->full = l->fn(l->arg, &entry) != 0;
	return l->full;
}

int lk_fuse_snapshots_list(struct lk_fuse_request *rq, uint64_t cookie, linkfs_entry_fn *fn, void *arg)
{
	static const char *const dots[] = {".", ".."};
	struct listing l = {.fn = fn, .arg = arg, .after = cookie};
	for (uint64_t i = cookie; i < FIRST_COOKIE - 1; i++) {
		struct linkfs_entry entry = {.name = dots[i],
					     .name_len = i + 1,
					     .ino = i ? LINKFS_ROOT_INO : LINKFS_SNAPSHOTS_NODE,
					     .cookie = i + 1,
					     .type = S_IFDIR};
		if (fn(arg, &entry))
			return 0;
	}
	return linkfs_snapshot_list(rq->mount->volume, list_one, &l);
}

int lk_fuse_snapshots_other(uint32_t opcode)
{
	switch (opcode) {
	case FUSE_LOOKUP:
	case FUSE_FORGET:
	case FUSE_GETATTR:
	case LK_FUSE_STATX:
	case FUSE_READDIR:
	case FUSE_READDIRPLUS:
	case FUSE_FSYNCDIR:
		return 0;
	case FUSE_GETXATTR:
		return LINKFS_ENODATA;
	case FUSE_LISTXATTR:
		return LINKFS_EOPNOTSUPP;
	default:
		return LINKFS_EROFS;
	}
}
