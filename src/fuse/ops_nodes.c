/*
 * ops_nodes.c - LOOKUP and FORGET: how the kernel learns of nodes and lets go of them. Every reply that names a node
 * takes one hold in the library, FORGET gives them back; so an unlinked file lives as long as the kernel knows it.
 * The root is never counted: the kernel knows it without asking.
 * Layer: fuse.
 */
#include "session.h"

#include <string.h>

/* "." names the node itself, whatever its type: that is how the kernel turns a file handle into a node whose
 * inode it has dropped. */
static int lookup_self(struct lk_fuse_request *rq, struct linkfs_stat *st)
{
	int r = linkfs_node_hold(rq->mount->volume, rq->ino);
	if (r)
		return r;
	r = linkfs_node_getattr(rq->mount->volume, rq->ino, st);
	if (r)
		linkfs_node_release(rq->mount->volume, rq->ino, 1);
	else
		st->node = rq->ino;
	return r;
}

int lk_fuse_lookup(struct lk_fuse_request *rq)
{
	struct linkfs_volume *volume = rq->mount->volume;
	const char *name;
	size_t len, pos = 0;
	int r = lk_fuse_take_name(rq, &pos, &name, &len);
	if (r)
		return r;
	struct fuse_entry_out *out = lk_fuse_reply(rq, sizeof(*out));
	if (!out)
		return LINKFS_EIO;
	struct linkfs_stat st;
	if (len == 1 && name[0] == '.' && !lk_fuse_is_snapshots(rq->ino))
		r = lookup_self(rq, &st);
	else if (lk_fuse_is_snapshots(rq->ino))
		r = lk_fuse_snapshots_lookup(rq, name, len, &st);
	else
		r = linkfs_node_lookup(volume, &rq->cred, rq->ino, name, len, LINKFS_HOLD, &st);
	if (r == LINKFS_ENOENT && lk_fuse_is_snapshots_name(rq, name, len))
		r = lk_fuse_snapshots_lookup(rq, name, len, &st);
	if (r == LINKFS_ENOENT) {
		/* Node 0 is an absent name that the kernel may remember: only this mount can make it appear; in a place, also by another one. */
		out->entry_valid = lk_fuse_name_time(rq);
		return 0;
	}
	if (r)
		return r;
	if (st.ino == LINKFS_ROOT_INO)
		linkfs_node_release(volume, st.ino, 1);
	else
		rq->held = st.node;
	lk_fuse_pack_entry(rq, out, &st);
	lk_fuse_entry_known(rq, out);
	return 0;
}

static void forget(struct lk_fuse_request *rq, uint64_t nodeid, uint64_t count)
{
	uint64_t ino;
	if (lk_fuse_ino(nodeid, &ino) || ino == LINKFS_ROOT_INO || !count)
		return;
	linkfs_node_release(rq->mount->volume, ino, count);
}

int lk_fuse_forget(struct lk_fuse_request *rq)
{
	const struct fuse_forget_in *arg = rq->arg;
	forget(rq, rq->in->nodeid, arg->nlookup);
	return 0;
}

int lk_fuse_batch_forget(struct lk_fuse_request *rq)
{
	const struct fuse_batch_forget_in *arg = rq->arg;
	const struct fuse_forget_one *one = (const void *)(arg + 1);
	size_t count = (rq->arg_len - sizeof(*arg)) / sizeof(*one);
	if (count > arg->count)
		count = arg->count;
	for (size_t i = 0; i < count; i++)
		forget(rq, one[i].nodeid, one[i].nlookup);
	return 0;
}

void lk_fuse_release_entries(struct linkfs_mount *mount, const void *records, size_t len)
{
	const uint8_t *p = records;
	size_t left = len;
	while (left >= FUSE_NAME_OFFSET_DIRENTPLUS) {
		const struct fuse_direntplus *plus = (const void *)p;
		size_t size = FUSE_DIRENTPLUS_SIZE(plus);
		if (plus->entry_out.nodeid)
			linkfs_node_release(mount->volume, plus->entry_out.nodeid, 1);
		if (size > left)
			break;
		p += size;
		left -= size;
	}
}
