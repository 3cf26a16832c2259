/*
 * inode.c - the one door to table inode: validated reads, numbers, times, what stat shows.
 * Layer: core.
 */
#include "inode.h"

#include "inode_cache.h"
#include "node.h"
#include "txn_impl.h"
#include "views.h"

#define KNOWN_FLAGS                                                                                                    \
	(LK_INODE_INLINE | LK_INODE_KEEP_LINKS | LK_INODE_TRACKED | LK_INODE_HAS_ACL | LK_INODE_HAS_DEFAULT_ACL |      \
	 LK_INODE_HAS_CAPS | LK_INODE_TMPFILE | LK_INODE_TRIM | LK_INODE_KEPT | LK_INODE_FOLLOWED | LK_INODE_PACKED |  \
	 LK_INODE_COMPRESS | LK_INODE_NO_COMPRESS)

static bool known_type(int64_t mode)
{
	switch (mode & S_IFMT) {
	case S_IFREG:
	case S_IFDIR:
	case S_IFLNK:
	case S_IFIFO:
	case S_IFSOCK:
	case S_IFCHR:
	case S_IFBLK:
		return true;
	default:
		return false;
	}
}

static bool within(int64_t value, int64_t max)
{
	return value >= 0 && value <= max;
}

/* F5: nothing that breaks a rule gets further than this. */
static bool valid(const struct lk_inode *i, uint64_t ino, int64_t epoch)
{
	int64_t size_max = (i->mode & S_IFMT) == S_IFLNK ? LINKFS_SYMLINK_MAX : (int64_t)LINKFS_FILE_SIZE_MAX;
	return (uint64_t)i->ino == ino && (ino != LINKFS_ROOT_INO || lk_is_dir(i)) && within(i->mode, 0177777) &&
	       known_type(i->mode) && within(i->uid, UINT32_MAX) && within(i->gid, UINT32_MAX) &&
	       within(i->nlink, LINKFS_LINK_MAX) && within(i->size, size_max) && within(i->blocks, LK_DISK_BLOCK_MAX) &&
	       i->rdev >= 0 && (i->flags & ~(int64_t)KNOWN_FLAGS) == 0 &&
	       (!(i->flags & LK_INODE_KEPT) || i->nlink == 0) && within(i->xattr_count, INT32_MAX) && i->born >= 1 &&
	       i->born <= epoch;
}

/* E9: a kept inode shows only to those who held it when it lost its last name. */
static bool hidden(const struct lk_op *op, const struct lk_inode *inode)
{
	return (inode->flags & LK_INODE_KEPT) &&
	       (op->view != LK_VIEW_LIVE || !lk_node_held(op->fs, (uint64_t)inode->ino));
}

static const struct lk_inode *known(struct lk_op *op, uint64_t ino)
{
	return op->view == LK_VIEW_LIVE ? lk_inode_cache_find(op->fs, ino) : lk_view_known(op, ino);
}

int lk_inode_know(struct lk_op *op, uint64_t ino, const struct lk_inode *row)
{
	if (!valid(row, ino, op->fs->epoch))
		return LINKFS_ECORRUPT;
	if (op->view == LK_VIEW_LIVE)
		lk_inode_cache_set(op->fs, row);
	else
		lk_view_know(op, row);
	return 0;
}

static int get(struct lk_op *op, uint64_t ino, bool any, struct lk_inode *out)
{
	if (ino > (uint64_t)LK_INO_MAX) {
		int seen = lk_view_see(op, ino, &ino);
		if (seen)
			return seen;
	}
	if (ino == 0)
		return LINKFS_ESTALE;
	const struct lk_inode *cached = known(op, ino);
	if (cached) {
		if (!any && hidden(op, cached))
			return LINKFS_ESTALE;
		*out = *cached;
		return 0;
	}
	struct lk_inode inode = {.ino = (int64_t)ino};
	int r = lk_txn_get(op, LK_T_INODE, &inode, &inode);
	if (r == LINKFS_ENOENT) /* the root is never removed */
		return ino == LINKFS_ROOT_INO ? LINKFS_ECORRUPT : LINKFS_ESTALE;
	if (r == 0)
		r = lk_inode_know(op, ino, &inode);
	if (r)
		return r;
	if (!any && hidden(op, &inode))
		return LINKFS_ESTALE;
	*out = inode;
	return 0;
}

struct many {
	struct lk_op *op;
	const int64_t *inos;
	uint32_t count, at;
	struct lk_inode *out;
	bool *there;
};

/* Rows come in the order of the numbers; a number that is known already has none asked for. */
static int many_row(void *arg, const void *record)
{
	struct many *m = arg;
	const struct lk_inode *row = record;
	while (m->at < m->count && m->inos[m->at] != row->ino)
		m->at++;
	if (m->at == m->count)
		return LINKFS_ECORRUPT;
	m->there[m->at] = row->born <= m->op->view;
	m->out[m->at] = *row;
	return 0;
}

int lk_inode_get_many(struct lk_op *op, const int64_t *inos, uint32_t count, struct lk_inode *out, bool *there)
{
	struct many m = {.op = op, .inos = inos, .count = count, .out = out, .there = there};
	int64_t asked[LK_INODES_MANY] = {0};
	uint32_t n = 0;
	if (count > LK_INODES_MANY)
		return LINKFS_EINVAL;
	for (uint32_t i = 0; i < count; i++) {
		const struct lk_inode *cached = known(op, (uint64_t)inos[i]);
		there[i] = cached != NULL;
		if (cached)
			out[i] = *cached;
		else
			asked[n++] = inos[i];
	}
	struct lk_scan scan = {
		.table = &lk_tables[LK_T_INODE], .index = LK_BY_KEY, .equal = 1, .among = asked, .among_count = n};
	int r = n ? lk_db_scan(op->fs->db, &scan, many_row, &m) : 0;
	for (uint32_t i = 0, k = 0; r == 0 && i < count; i++) {
		if (k == n || asked[k] != inos[i])
			continue;
		k++;
		if (!there[i] && op->view != LK_VIEW_LIVE) {
			out[i].ino = inos[i];
			r = lk_view_get_old(op, scan.table, &out[i], &out[i]);
			there[i] = r == 0;
			r = r == LINKFS_ENOENT ? 0 : r;
		}
		if (there[i])
			r = lk_inode_know(op, (uint64_t)inos[i], &out[i]);
		else if (r == 0 && inos[i] == LINKFS_ROOT_INO)
			r = LINKFS_ECORRUPT;
	}
	return r;
}

int lk_inode_get(struct lk_op *op, uint64_t ino, struct lk_inode *out)
{
	return get(op, ino, false, out);
}

int lk_inode_get_any(struct lk_op *op, uint64_t ino, struct lk_inode *out)
{
	return get(op, ino, true, out);
}

/* Blocks of a kept inode come with its mark, and come and go while it is open. */
static int count_kept(struct lk_op *op, const struct lk_inode *inode)
{
	struct lk_inode before;
	int r = lk_inode_get_any(op, (uint64_t)inode->ino, &before);
	if (r)
		return r;
	int64_t counted = before.flags & LK_INODE_KEPT ? before.blocks : 0;
	return lk_txn_count(op, LK_COUNTER_KEPT_BLOCKS, inode->blocks - counted, NULL);
}

int lk_inode_put(struct lk_op *op, struct lk_inode *inode)
{
	/* A rule broken here would be read back as damage. */
	inode->born = op->fs->epoch;
	if (!valid(inode, (uint64_t)inode->ino, op->fs->epoch))
		return LINKFS_ECORRUPT;
	int r = lk_op_changes(op);
	if (r == 0 && (inode->flags & LK_INODE_KEPT))
		r = count_kept(op, inode);
	/* A number that this op's counter gave out has no row yet. */
	return r ? r : lk_inode_cache_change(op, inode, inode->ino >= op->counters[LK_COUNTER_NEXT_INO]);
}

int lk_inode_new(struct lk_op *op, struct lk_inode *out)
{
	int64_t next;
	int r = lk_txn_count(op, LK_COUNTER_NEXT_INO, 0, &next);
	if (r)
		return r;
	if (next > LK_INO_MAX)
		return LINKFS_ENOSPC;
	r = lk_txn_count(op, LK_COUNTER_NEXT_INO, 1, NULL);
	if (r == 0)
		r = lk_txn_count(op, LK_COUNTER_INODES, 1, NULL);
	if (r)
		return r;
	*out = (struct lk_inode){.ino = next,
				 .atime_ns = op->now_ns,
				 .mtime_ns = op->now_ns,
				 .ctime_ns = op->now_ns,
				 .btime_ns = op->now_ns};
	return 0;
}

int lk_inode_erase(struct lk_op *op, uint64_t ino)
{
	struct lk_inode key = {.ino = (int64_t)ino};
	bool row;
	int r = lk_op_changes(op);
	if (r == 0)
		r = lk_inode_cache_remove(op, ino, &row);
	if (r == 0 && row)
		r = lk_txn_erase(op, LK_T_INODE, &key);
	if (r)
		return r == LINKFS_ENOENT ? LINKFS_ESTALE : r;
	return lk_txn_count(op, LK_COUNTER_INODES, -1, NULL);
}

void lk_inode_touch(struct lk_op *op, struct lk_inode *inode, bool modified)
{
	inode->ctime_ns = op->now_ns;
	atomic_fetch_add(&op->fs->tree_changes, 1);
	if (modified)
		inode->mtime_ns = op->now_ns;
}

int lk_inode_touch_dir(struct lk_op *op, uint64_t dir, int64_t subdirs)
{
	struct lk_inode inode;
	int r = lk_inode_get(op, dir, &inode);
	if (r)
		return r;
	if (!lk_is_dir(&inode))
		return LINKFS_ENOTDIR;
	if (subdirs) {
		inode.nlink += subdirs;
		if (inode.nlink > LINKFS_LINK_MAX)
			return LINKFS_EMLINK;
		if (inode.nlink < 2)
			return LINKFS_ECORRUPT;
	}
	lk_inode_touch(op, &inode, true);
	return lk_inode_put(op, &inode);
}

void lk_inode_stat(const struct lk_inode *inode, struct linkfs_stat *out)
{
	uint64_t size = (uint64_t)inode->size;
	uint64_t blocks = (uint64_t)inode->blocks * (LK_BLOCK_SIZE / 512);
	if (lk_is_dir(inode)) {
		/* As an ext4 directory of one block: entries are rows, there is nothing truer to show. */
		size = LK_BLOCK_SIZE;
		blocks = LK_BLOCK_SIZE / 512;
	} else if (lk_is_reg(inode) && (inode->flags & LK_INODE_INLINE)) {
		/* tar and others take a file with bytes but no blocks for one hole (as ext4 does for inline data). */
		blocks = (inode->flags & LK_INODE_PACKED ? (uint64_t)inode->rdev + 511 : size + 511) / 512;
	}
	*out = (struct linkfs_stat){
		.ino = (uint64_t)inode->ino,
		.node = (uint64_t)inode->ino,
		.size = size,
		.blocks = blocks,
		.mode = (uint32_t)inode->mode,
		.nlink = (uint32_t)inode->nlink,
		.uid = (uint32_t)inode->uid,
		.gid = (uint32_t)inode->gid,
		.rdev_major = lk_is_reg(inode) ? 0 : (uint32_t)((uint64_t)inode->rdev >> 32),
		.rdev_minor = lk_is_reg(inode) ? 0 : (uint32_t)inode->rdev,
		.blksize = LK_BLOCK_SIZE,
		.flags = (uint32_t)inode->flags &
			 (LINKFS_INO_KEEP_LINKS | LINKFS_INO_TRACKED | LINKFS_INO_COMPRESS | LINKFS_INO_NO_COMPRESS),
		.atime_ns = inode->atime_ns,
		.mtime_ns = inode->mtime_ns,
		.ctime_ns = inode->ctime_ns,
		.btime_ns = inode->btime_ns,
	};
}
