/*
 * pack.c - between the protocol's bytes and the library's types: names out of requests, attributes into replies.
 * Layer: fuse.
 */
#include "session.h"

#include <string.h>
#include <sys/stat.h>

#define NSEC_PER_SEC 1000000000

int lk_fuse_ino(uint64_t nodeid, uint64_t *ino_out)
{
	if (nodeid == 0)
		return LINKFS_ESTALE;
	*ino_out = nodeid;
	return 0;
}

int lk_fuse_take_text(const struct lk_fuse_request *rq, size_t *pos, const char **text_out, size_t *len_out)
{
	if (*pos >= rq->arg_len)
		return LINKFS_EINVAL;
	const char *text = (const char *)rq->arg + *pos;
	const char *end = memchr(text, 0, rq->arg_len - *pos);
	if (!end)
		return LINKFS_EINVAL;
	*text_out = text;
	*len_out = (size_t)(end - text);
	*pos += *len_out + 1;
	return 0;
}

int lk_fuse_take_name(const struct lk_fuse_request *rq, size_t *pos, const char **name_out, size_t *len_out)
{
	const char *name;
	size_t len;
	int r = lk_fuse_take_text(rq, pos, &name, &len);
	if (r)
		return r;
	if (len > LINKFS_NAME_MAX)
		return LINKFS_ENAMETOOLONG;
	if (len == 0 || memchr(name, '/', len))
		return LINKFS_EINVAL;
	*name_out = name;
	*len_out = len;
	return 0;
}

void *lk_fuse_reply(struct lk_fuse_request *rq, size_t size)
{
	if (size > rq->out_cap)
		return NULL;
	memset(rq->out, 0, size);
	rq->out_len = size;
	return rq->out;
}

int64_t lk_fuse_unpack_time(uint64_t sec, uint32_t nsec)
{
	int64_t s = (int64_t)sec, ns;
	if (nsec >= NSEC_PER_SEC)
		nsec = NSEC_PER_SEC - 1;
	if (__builtin_mul_overflow(s, (int64_t)NSEC_PER_SEC, &ns) || __builtin_add_overflow(ns, (int64_t)nsec, &ns))
		return s < 0 ? INT64_MIN : INT64_MAX;
	return ns;
}

/* Seconds rounded down, so that the rest is never negative. */
static void split_time(int64_t ns, int64_t *sec_out, uint32_t *nsec_out)
{
	int64_t sec = ns / NSEC_PER_SEC, rest = ns % NSEC_PER_SEC;
	if (rest < 0) {
		rest += NSEC_PER_SEC;
		sec--;
	}
	*sec_out = sec;
	*nsec_out = (uint32_t)rest;
}

/* The kernel's 32-bit form of a device number: 12 bits of major, 20 of minor. */
static uint32_t pack_device(uint32_t major, uint32_t minor)
{
	return (minor & 0xffu) | (major & 0xfffu) << 8 | (minor & 0xfff00u) << 12;
}

void lk_fuse_pack_attr(struct fuse_attr *out, const struct linkfs_stat *st)
{
	int64_t sec;
	out->ino = st->ino;
	out->size = st->size;
	out->blocks = st->blocks;
	split_time(st->atime_ns, &sec, &out->atimensec);
	out->atime = (uint64_t)sec;
	split_time(st->mtime_ns, &sec, &out->mtimensec);
	out->mtime = (uint64_t)sec;
	split_time(st->ctime_ns, &sec, &out->ctimensec);
	out->ctime = (uint64_t)sec;
	out->mode = st->mode;
	out->nlink = st->nlink;
	out->uid = st->uid;
	out->gid = st->gid;
	out->rdev = pack_device(st->rdev_major, st->rdev_minor);
	out->blksize = st->blksize;
	out->flags = 0;
}

uint64_t lk_fuse_attr_valid(const struct linkfs_stat *st)
{
	return lk_fuse_is_tracked(st) || lk_fuse_is_snapshots(st->ino) ? 0 : LK_FUSE_FOREVER;
}

uint64_t lk_fuse_name_time(struct lk_fuse_request *rq)
{
	if (rq->paths == LK_FUSE_ASK && lk_fuse_is_past(rq->ino))
		rq->paths = lk_fuse_is_snapshots(rq->ino) ? LK_FUSE_MORE_PATHS : LK_FUSE_ONE_PATH;
	if (rq->paths == LK_FUSE_ASK)
		rq->paths = linkfs_node_several_paths(rq->mount->volume, rq->ino) == 0 ? LK_FUSE_ONE_PATH
										       : LK_FUSE_MORE_PATHS;
	return rq->paths == LK_FUSE_ONE_PATH ? LK_FUSE_FOREVER : 0;
}

void lk_fuse_entry_known(const struct lk_fuse_request *rq, const struct fuse_entry_out *out)
{
	if (out->nodeid && S_ISLNK(out->attr.mode) && out->attr_valid == 0)
		lk_fuse_texts_known(rq->mount, out->nodeid);
}

void lk_fuse_pack_entry(struct lk_fuse_request *rq, struct fuse_entry_out *out, const struct linkfs_stat *st)
{
	out->nodeid = st->node;
	/* The kernel makes its root before it asks us and with generation 0. */
	out->generation = st->ino == LINKFS_ROOT_INO ? 0 : rq->mount->conn.generation;
	/* Names of a file that keeps its links may become another file's by a rename of which this directory sees nothing. */
	out->entry_valid = lk_fuse_save_asks(rq->mount, st) ? 0 : lk_fuse_name_time(rq);
	/* The root may get an entry of that name. */
	if (lk_fuse_is_snapshots(st->ino))
		out->entry_valid = 0;
	/* Kernels before 6.14 cut a cached text at the size they know, which each lookup brings anew. */
	if (lk_fuse_is_tracked(st) && rq->mount->conn.minor < LK_FUSE_MINOR_WHOLE_TEXTS)
		out->entry_valid = 0;
	out->attr_valid = lk_fuse_attr_valid(st);
	out->entry_valid_nsec = 0;
	out->attr_valid_nsec = 0;
	lk_fuse_pack_attr(&out->attr, st);
}
