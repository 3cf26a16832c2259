/*
 * ops_dirs.c - READDIR and READDIRPLUS. The offset of an entry is the library's cookie, so there is no state per open
 * directory; the kernel caches the plain listing (its default when OPENDIR is switched off).
 * Layer: fuse.
 */
#include "session.h"

#include <string.h>

struct listing {
	struct lk_fuse_request *rq;
	uint8_t *p;
	size_t size, len;
	bool plus;
	bool full;
	bool any; /* an entry came in this round */
};

static void put_dirent(struct fuse_dirent *out, const struct linkfs_entry *entry)
{
	out->ino = entry->ino;
	out->off = entry->cookie;
	out->namelen = (uint32_t)entry->name_len;
	out->type = entry->type >> 12;
	memcpy(out->name, entry->name, entry->name_len);
}

static int add_entry(void *arg, const struct linkfs_entry *entry)
{
	struct listing *l = arg;
	size_t head = l->plus ? FUSE_NAME_OFFSET_DIRENTPLUS : FUSE_NAME_OFFSET;
	size_t size = FUSE_REC_ALIGN(head + entry->name_len);
	l->any = true;
	if (size > l->size - l->len) {
		l->full = true;
		return 1;
	}
	uint8_t *p = l->p + l->len;
	memset(p, 0, size);
	if (l->plus) {
		struct fuse_direntplus *plus = (void *)p;
		/* Node 0 tells the kernel that the name comes without a lookup: "." and "..". */
		if (entry->stat)
			lk_fuse_pack_entry(l->rq, &plus->entry_out, entry->stat);
		put_dirent(&plus->dirent, entry);
	} else {
		put_dirent((void *)p, entry);
	}
	l->len += size;
	return 0;
}

/* The entries from there on, after the callback: the volume's lock is held in it. */
static void make_known(const struct listing *l, size_t from)
{
	for (size_t at = from; l->plus && at < l->len;) {
		const struct fuse_direntplus *plus = (const void *)(l->p + at);
		lk_fuse_entry_known(l->rq, &plus->entry_out);
		at += FUSE_DIRENTPLUS_SIZE(plus);
	}
}

static uint64_t last_cookie(const struct listing *l, size_t from, uint64_t cookie)
{
	size_t at = from;
	while (at < l->len) {
		const void *p = l->p + at;
		if (l->plus) {
			const struct fuse_direntplus *plus = p;
			cookie = plus->dirent.off;
			at += FUSE_DIRENTPLUS_SIZE(plus);
		} else {
			const struct fuse_dirent *dirent = p;
			cookie = dirent->off;
			at += FUSE_DIRENT_SIZE(dirent);
		}
	}
	return cookie;
}

int lk_fuse_list(struct lk_fuse_request *rq, bool plus, uint64_t cookie, void *out, size_t size, size_t *len_out,
		 uint64_t *more_out)
{
	uint32_t flags = plus ? LINKFS_READDIR_STAT | LINKFS_HOLD : 0;
	struct listing l = {.rq = rq, .p = out, .size = size, .plus = plus};
	*more_out = 0;
	if (plus)
		(void)lk_fuse_name_time(rq); /* known then, where no call may be made: in the callback */
	/* The library may return early; go on until the reply is nearly full or the directory ends. */
	do {
		size_t from = l.len;
		l.any = false;
		int r = lk_fuse_is_snapshots(rq->ino) ? lk_fuse_snapshots_list(rq, cookie, add_entry, &l)
						      : linkfs_node_readdir(rq->mount->volume, &rq->cred, rq->ino,
									    cookie, flags, add_entry, &l);
		make_known(&l, from);
		if (r && l.len == 0)
			return r;
		if (r)
			break; /* the kernel gets what there is and meets the error with its next request */
		cookie = last_cookie(&l, from, cookie);
	} while (l.any && !l.full && l.len < l.size - l.size / 4);
	if (l.full && l.len == 0)
		return LINKFS_EINVAL; /* too small for one entry, as getdents says it */
	*len_out = l.len;
	if (l.any)
		*more_out = cookie;
	return 0;
}

static size_t room(const struct lk_fuse_request *rq)
{
	const struct fuse_read_in *arg = rq->arg;
	size_t size = arg->size < rq->out_cap ? arg->size : rq->out_cap;
	return size < LK_FUSE_CONTENT_MAX ? size : LK_FUSE_CONTENT_MAX;
}

int lk_fuse_readdir(struct lk_fuse_request *rq)
{
	const struct fuse_read_in *arg = rq->arg;
	if (arg->offset >> 63)
		return LINKFS_EINVAL;
	if (lk_fuse_ahead_take(rq, arg->offset, room(rq)))
		return 0;
	return lk_fuse_list(rq, false, arg->offset, rq->out, room(rq), &rq->out_len, &rq->next_cookie);
}

int lk_fuse_readdirplus(struct lk_fuse_request *rq)
{
	const struct fuse_read_in *arg = rq->arg;
	uint64_t more;
	if (arg->offset >> 63)
		return LINKFS_EINVAL;
	int r = lk_fuse_list(rq, true, arg->offset, rq->out, room(rq), &rq->out_len, &more);
	rq->held_entries = r == 0;
	return r;
}
