/*
 * node_dir.c - listing a directory by inode number.
 * Layer: api. A plain listing goes from the scan straight to the callback. With attributes or holds, which need other
 * tables, a scan gathers a batch in the op's arena and the callback sees it then; binds, too, are looked up after it; all under the lock, so that entries,
 * attributes and holds are of one moment.
 */
#include "binds.h"
#include "call.h"
#include "track.h"

#include <string.h>

/* Most callers stop when their buffer is full, after a number of entries that only they know: small batches first. */
#define FIRST_BATCH 48u
#define LAST_BATCH 512u
#define ENTRIES_MAX 1024u /* of one call */

struct batch {
	struct lk_op *op;
	struct batch *before;
	uint32_t count, held; /* held: so many of the first hold their node */
	uint64_t *nodes;      /* of the entries; NULL: their inodes' numbers */
	struct linkfs_entry entries[];
};

/* name: room for the entry's name and a NUL; bits: of the view. */
static void entry_of(const struct lk_dirent *d, uint64_t bits, char *name, struct linkfs_entry *out)
{
	memcpy(name, d->name.p, d->name.len);
	name[d->name.len] = 0;
	*out = (struct linkfs_entry){
		.name = name,
		.name_len = d->name.len,
		.ino = bits | (uint64_t)d->ino,
		.cookie = lk_dirent_cookie(d),
		.type = lk_dirent_type(d),
	};
}

static int gather(void *arg, const void *record)
{
	const struct lk_dirent *d = record;
	struct batch *b = arg;
	char *name = lk_op_alloc(b->op, d->name.len + 1);

	if (!name)
		return LINKFS_ENOMEM;
	entry_of(d, b->op->bits, name, &b->entries[b->count++]);
	return 0;
}

struct plain {
	linkfs_entry_fn *fn;
	void *arg;
	uint64_t bits;
};

static int pass_on(void *arg, const void *record)
{
	const struct plain *p = arg;
	char name[LINKFS_NAME_MAX + 1];
	struct linkfs_entry e;

	entry_of(record, p->bits, name, &e);
	return p->fn(p->arg, &e) != 0;
}

/* "." and "..", as far as they come after cookie. Returns nonzero when fn stopped. */
static int dots(struct lk_op *op, const struct lk_place *dir, uint64_t cookie, linkfs_entry_fn *fn, void *arg,
		bool *stopped_out)
{
	struct linkfs_entry e = {.name = ".",
				 .name_len = 1,
				 .ino = op->bits | (uint64_t)dir->inode.ino,
				 .cookie = LK_COOKIE_DOT,
				 .type = S_IFDIR};
	struct lk_place parent;
	int rc;

	if (cookie < LK_COOKIE_DOT && fn(arg, &e)) {
		*stopped_out = true;
		return 0;
	}
	if (cookie >= LK_COOKIE_DOTDOT)
		return 0;
	rc = lk_place_parent(op, dir, &parent);
	if (rc)
		return rc;
	e = (struct linkfs_entry){.name = "..",
				  .name_len = 2,
				  .ino = op->bits | (uint64_t)parent.inode.ino,
				  .cookie = LK_COOKIE_DOTDOT,
				  .type = S_IFDIR};
	*stopped_out = fn(arg, &e) != 0;
	return 0;
}

/* The node id of what the entry shows, where that has places. */
static int find_node(struct lk_op *op, const struct lk_place *dir, const struct lk_slot *slot,
		     const struct linkfs_entry *entry, uint64_t *node_out)
{
	struct lk_inode inode;
	int rc;

	if (!S_ISDIR(entry->type) && !S_ISLNK(entry->type))
		return 0;
	rc = lk_inode_get(op, entry->ino, &inode);
	if (rc)
		return rc == LINKFS_ESTALE ? LINKFS_ECORRUPT : rc;
	return lk_places_has(&inode) ? lk_places_enter(op, dir->id, slot, node_out) : 0;
}

/* What the entries show, where that is not what they name: binds, and places (K5). In the arena, after the scan. */
static int look_closer(struct batch *b, const struct lk_place *dir, uint32_t flags)
{
	struct lk_op *op = b->op;

	b->nodes = lk_op_alloc(op, b->count * sizeof(*b->nodes));
	if (!b->nodes)
		return LINKFS_ENOMEM;
	for (uint32_t i = 0; i < b->count; i++) {
		struct linkfs_entry *e = &b->entries[i];
		struct lk_slot slot = {.dir = (uint64_t)dir->inode.ino,
				       .hash = (int64_t)(e->cookie >> 8),
				       .ord = (int64_t)(e->cookie & 255),
				       .ino = e->ino & LK_INO_MASK,
				       .type = e->type};
		struct lk_inode inode;
		int rc = lk_bind_find(op, &slot);

		if (rc == 0 && slot.bound) {
			rc = lk_inode_get(op, slot.bound, &inode);
			if (rc)
				return rc == LINKFS_ESTALE ? LINKFS_ECORRUPT : rc;
			e->ino = op->bits | slot.bound;
			e->type = (uint32_t)inode.mode & S_IFMT;
		}
		b->nodes[i] = e->ino;
		/* A tracked link's size is that in its place. */
		if (rc == 0 && (flags & LINKFS_HOLD || (flags && S_ISLNK(e->type))))
			rc = find_node(op, dir, &slot, e, &b->nodes[i]);
		if (rc)
			return rc;
	}
	return 0;
}

static void unhold(struct batch *b, uint32_t i)
{
	uint64_t ino;

	(void)lk_places_unhold(b->op->fs, b->nodes ? b->nodes[i] : b->entries[i].ino, 1, &ino);
}

/* Hands the batch to fn. */
static int hand_out(struct batch *b, uint32_t flags, linkfs_entry_fn *fn, void *arg, bool *stopped_out)
{
	struct lk_op *op = b->op;
	struct linkfs_stat stat;
	struct lk_inode inode;
	int rc;

	for (uint32_t i = 0; i < b->count; i++) {
		struct linkfs_entry *e = &b->entries[i];
		uint64_t node = b->nodes ? b->nodes[i] : e->ino;

		if (flags & LINKFS_READDIR_STAT) {
			rc = lk_inode_get(op, e->ino, &inode);
			if (rc)
				return rc == LINKFS_ESTALE ? LINKFS_ECORRUPT : rc;
			rc = lk_stat(op, &inode, node, &stat);
			if (rc)
				return rc;
			stat.node = flags & LINKFS_HOLD ? node : stat.ino;
			e->stat = &stat;
		}
		if (flags & LINKFS_HOLD) {
			rc = lk_places_hold(op->fs, node, 1);
			if (rc)
				return rc;
			b->held = i + 1;
		}
		if (fn(arg, e)) {
			/* Nothing was unlinked meanwhile: the lock is held. */
			if (flags & LINKFS_HOLD) {
				unhold(b, i);
				b->held = i;
			}
			*stopped_out = true;
			return 0;
		}
	}
	return 0;
}

/* Entries after cookie, batch by batch. *last_out is the newest batch, also on failure. */
static int list(struct lk_op *op, const struct lk_place *dir, uint64_t cookie, uint32_t flags, linkfs_entry_fn *fn,
		void *arg, struct batch **last_out)
{
	bool closer = lk_places_any(op);
	uint32_t size = FIRST_BATCH, total = 0;
	bool stopped = false;
	int rc = 0;

	while (rc == 0 && !stopped && total < ENTRIES_MAX) {
		struct batch *b = lk_op_alloc(op, sizeof(*b) + size * sizeof(b->entries[0]));

		if (!b)
			return LINKFS_ENOMEM;
		b->op = op;
		b->before = *last_out;
		b->count = b->held = 0;
		b->nodes = NULL;
		*last_out = b;
		rc = lk_dirent_scan(op, (uint64_t)dir->inode.ino, cookie, size, gather, b);
		if (rc == 0 && closer)
			rc = look_closer(b, dir, flags);
		if (rc == 0)
			rc = hand_out(b, flags, fn, arg, &stopped);
		if (b->count < size)
			break;
		cookie = b->entries[b->count - 1].cookie;
		total += b->count;
		size = LK_MIN(size * 2, LAST_BATCH);
	}
	return rc;
}

uint64_t linkfs_volume_name_changes(struct linkfs_volume *volume)
{
	return atomic_load(&lk_volume_fs(volume)->name_changes);
}

int linkfs_node_readdir(struct linkfs_volume *volume, const struct linkfs_cred *cred, uint64_t dir, uint64_t cookie,
			uint32_t flags, linkfs_entry_fn *fn, void *arg)
{
	struct lk_fs *fs = lk_volume_fs(volume);
	struct batch *last = NULL;
	struct lk_place place;
	bool stopped = false, due = false;
	struct lk_op op;
	int rc;

	if (flags & ~(LINKFS_HOLD | LINKFS_READDIR_STAT))
		return LINKFS_EINVAL;
	rc = lk_op_begin(fs, &op, 0);
	if (rc)
		return rc;
	place.id = dir;
	rc = lk_inode_get(&op, dir, &place.inode);
	if (rc == 0 && !lk_is_dir(&place.inode))
		rc = LINKFS_ENOTDIR;
	if (rc == 0)
		rc = lk_perm_check(&op, lk_cred(cred), &place.inode, LK_MAY_READ);
	if (rc == 0 && place.inode.nlink == 0)
		rc = LINKFS_ENOENT;
	if (rc == 0) {
		due = lk_atime_due(&op, &place.inode);
		rc = dots(&op, &place, cookie, fn, arg, &stopped);
	}
	if (rc == 0 && !stopped && (flags || lk_binds_any(&op)))
		rc = list(&op, &place, cookie, flags, fn, arg, &last);
	else if (rc == 0 && !stopped)
		rc = lk_dirent_scan(&op, (uint64_t)place.inode.ino, cookie, ENTRIES_MAX, pass_on,
				    &(struct plain){fn, arg, op.bits});
	/* What the caller was told about before an error is not his: he is told the error only. */
	for (struct batch *b = last; rc && b; b = b->before)
		for (uint32_t i = 0; i < b->held; i++)
			unhold(b, i);
	rc = lk_op_end(&op, rc);
	if (rc == 0 && due)
		lk_atime_touch(fs, (uint64_t)place.inode.ino);
	return rc;
}
