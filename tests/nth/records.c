/*
 * records.c - the records of a volume compared with each other: names against counts, content against groups and shared ranges,
 * counters against what they count. docs/FORMAT.md sections 4 and 5 are the rules.
 */
#include "nth.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <txn.h>
#include <unistd.h>

#define INODES_MAX 400
#define BLOCKS LK_GROUP_BLOCKS /* the images stay within one group */

struct rec {
	struct lk_inode row;
	int64_t names, dirs_in_it, xattrs, end, raw_end, blocks, inline_len, target_len;
};

struct look {
	struct lk_op op;
	struct rec recs[INODES_MAX];
	size_t count;
	int64_t dirents, indexed; /* rows by key, by index */
	uint64_t dirent_sum, index_sum;
	uint16_t refs[BLOCKS];
	int64_t used;
	int64_t counters[LK_COUNTERS];
	int64_t dir_names, binds; /* names of directories beyond their first; rows of bind */
	int64_t epochs[8];        /* of snapshots */
	unsigned epoch_count;
	const struct lk_table *live; /* whose history is looked at */
	bool settled;
	char *why;
	size_t why_size;
	bool bad;
};

static int wrong(struct look *l, const char *format, ...) __attribute__((format(printf, 2, 3)));
static int wrong(struct look *l, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	if (!l->bad)
		(void)vsnprintf(l->why, l->why_size, format, args);
	va_end(args);
	l->bad = true;
	return 0;
}

static struct rec *rec_of(struct look *l, int64_t ino)
{
	for (size_t i = 0; i < l->count; i++)
		if (l->recs[i].row.ino == ino)
			return &l->recs[i];
	return NULL;
}

static int see_inode(void *arg, const void *record)
{
	struct look *l = arg;
	if (l->count == INODES_MAX)
		return wrong(l, "more than %d inodes", INODES_MAX);
	l->recs[l->count++].row = *(const struct lk_inode *)record;
	return 0;
}

static uint64_t dirent_sum(const struct lk_dirent *d)
{
	uint64_t v[4] = {(uint64_t)d->ino, (uint64_t)d->dir, (uint64_t)d->hash, (uint64_t)d->ord};
	return lk_block_sum(v, sizeof(v)) ^ lk_block_sum(d->name.p, d->name.len);
}

static int see_dirent(void *arg, const void *record)
{
	struct look *l = arg;
	const struct lk_dirent *d = record;
	struct rec *dir = rec_of(l, d->dir), *to = rec_of(l, d->ino);
	l->dirents++;
	l->dirent_sum += dirent_sum(d);
	if (!dir || !S_ISDIR((mode_t)dir->row.mode))
		return wrong(l, "a name in %lld, which is no directory", (long long)d->dir);
	if (!to)
		return wrong(l, "a name of %lld, which is not there", (long long)d->ino);
	if (to->row.mode >> 12 != d->type)
		return wrong(l, "a name of %lld with another type", (long long)d->ino);
	to->names++;
	dir->dirs_in_it += S_ISDIR((mode_t)to->row.mode);
	return 0;
}

static int see_index(void *arg, const void *record)
{
	struct look *l = arg;
	l->indexed++;
	l->index_sum += dirent_sum(record);
	return 0;
}

static int see_xattr(void *arg, const void *record)
{
	struct look *l = arg;
	struct rec *r = rec_of(l, ((const struct lk_xattr *)record)->ino);
	if (!r)
		return wrong(l, "an xattr of nothing");
	r->xattrs++;
	return 0;
}

static int see_inline(void *arg, const void *record)
{
	struct look *l = arg;
	const struct lk_inline *row = record;
	struct rec *r = rec_of(l, row->ino);
	if (!r)
		return wrong(l, "inline content of nothing");
	r->inline_len = (int64_t)row->content.len;
	return 0;
}

static int see_target(void *arg, const void *record)
{
	struct look *l = arg;
	const struct lk_target *row = record;
	struct rec *r = rec_of(l, row->ino);
	if (!r)
		return wrong(l, "a symlink's text of nothing");
	r->target_len = (int64_t)row->text.len;
	return 0;
}

static void see_blocks(struct look *l, const struct lk_extent *e)
{
	if (e->codec == LK_CODEC_HOLE)
		return;
	int64_t named = lk_blocks_named(e->codec, e->count, e->length);
	if (e->disk_block < 0 || e->disk_block + named > BLOCKS) {
		(void)wrong(l, "blocks of %lld lie far out", (long long)e->ino);
		return;
	}
	for (int64_t i = 0; i < named; i++)
		l->refs[e->disk_block + i]++;
}

static int see_extent(void *arg, const void *record)
{
	struct look *l = arg;
	const struct lk_extent *e = record;
	struct rec *r = rec_of(l, e->ino);
	if (!r)
		return wrong(l, "content of %lld, which is not there", (long long)e->ino);
	if (r->end != e->file_block)
		return wrong(l, "extents of %lld do not tile at %lld", (long long)e->ino, (long long)e->file_block);
	r->end += e->count;
	if (e->codec == LK_CODEC_RAW || e->codec == LK_CODEC_ZSTD)
		r->raw_end = r->end;
	r->blocks += lk_blocks_counted(e->codec, e->count, e->length);
	see_blocks(l, e);
	return 0;
}

static int see_old(void *arg, const void *record)
{
	see_blocks(arg, record);
	return 0;
}

static int see_shared(void *arg, const void *record)
{
	struct look *l = arg;
	const struct lk_shared *s = record;
	if (s->refs < 2 || s->count < 1 || s->disk_block < 0 || s->disk_block + s->count > BLOCKS)
		return wrong(l, "a shared range that cannot be");
	for (int64_t i = 0; i < s->count; i++) {
		if (l->refs[s->disk_block + i] != s->refs)
			return wrong(l, "block %lld is named %u times, shared says %lld",
				     (long long)(s->disk_block + i), l->refs[s->disk_block + i], (long long)s->refs);
		l->refs[s->disk_block + i] = 1;
	}
	return 0;
}

static int see_group(void *arg, const void *record)
{
	struct look *l = arg;
	const struct lk_group *g = record;
	const uint8_t *bits = g->bitmap.p;
	if (g->number != 0)
		return g->used ? wrong(l, "a group far out") : 0;
	for (uint32_t i = 0; i < BLOCKS; i++) {
		unsigned set = bits[i / 8] >> (i % 8) & 1;
		l->used += set;
		if (set != l->refs[i])
			return wrong(l, "block %u: bit %u, named %u times", i, set, l->refs[i]);
	}
	return g->used == l->used ? 0 : wrong(l, "a group counts wrong");
}

static int see_orphan(void *arg, const void *record)
{
	struct look *l = arg;
	const struct lk_orphan *o = record;
	if (l->settled)
		return wrong(l, "orphan %lld is left", (long long)o->ino);
	return 0;
}

static int see_intent(void *arg, const void *record)
{
	struct look *l = arg;
	(void)record;
	return l->settled ? wrong(l, "an intent is left") : 0;
}

static int see_counter(void *arg, const void *record)
{
	struct look *l = arg;
	const struct lk_counter *c = record;
	if (c->id > 0 && c->id < LK_COUNTERS)
		l->counters[c->id] = c->value;
	return 0;
}

static int see_snapshot(void *arg, const void *record)
{
	struct look *l = arg;
	const struct lk_snapshot *s = record;
	if (s->deleting)
		return l->settled ? wrong(l, "snapshot %lld is still being deleted", (long long)s->epoch) : 0;
	if (l->epoch_count == LK_ARRAY_LEN(l->epochs))
		return wrong(l, "too many snapshots");
	l->epochs[l->epoch_count++] = s->epoch;
	return 0;
}

/* A row of history lasts until a snapshot that is there. */
static int see_history(void *arg, const void *record)
{
	struct look *l = arg;
	int64_t last;
	memcpy(&last, (const char *)record + l->live->record_size, sizeof(last));
	for (unsigned i = 0; i < l->epoch_count; i++)
		if (l->epochs[i] == last)
			return 0;
	return l->settled ? wrong(l, "a row in the history of %s is kept for snapshot %lld, which is gone",
				  l->live->name, (long long)last)
			  : 0;
}

static int see_bind(void *arg, const void *record)
{
	struct look *l = arg;
	(void)record;
	l->binds++;
	return 0;
}

static void scan(struct look *l, enum lk_table_id table, int index, lk_row_fn *fn)
{
	static const char zero[LK_RECORD_MAX + 8] __attribute__((aligned(8)));
	struct lk_scan q = {.table = &lk_tables[table], .index = index, .from = zero};
	int r = lk_txn_scan(&l->op, &q, fn, l);
	if (r)
		(void)wrong(l, "scan of %s: %s", lk_tables[table].name, linkfs_error_name(r));
}

static void judge(struct look *l, const struct rec *r)
{
	const struct lk_inode *i = &r->row;
	long long ino = (long long)i->ino;
	bool dir = S_ISDIR((mode_t)i->mode), reg = S_ISREG((mode_t)i->mode);
	int64_t links = dir ? LK_MAX((int64_t)r->names, (int64_t)1) + 1 + r->dirs_in_it : r->names;
	if (i->nlink != links && !(dir && i->nlink == 0 && !l->settled))
		(void)wrong(l, "inode %lld says %lld links, has %lld", ino, (long long)i->nlink, (long long)links);
	if (dir && r->names > 1)
		l->dir_names += r->names - 1;
	if (dir && i->ino != LINKFS_ROOT_INO && r->names < 1)
		(void)wrong(l, "directory %lld has %lld names", ino, (long long)r->names);
	if (l->settled && i->nlink == 0)
		(void)wrong(l, "inode %lld has no name", ino);
	if (i->xattr_count != r->xattrs)
		(void)wrong(l, "inode %lld says %lld xattrs, has %lld", ino, (long long)i->xattr_count,
			    (long long)r->xattrs);
	if (i->blocks != r->blocks)
		(void)wrong(l, "inode %lld says %lld blocks, has %lld", ino, (long long)i->blocks,
			    (long long)r->blocks);
	if (S_ISLNK((mode_t)i->mode) ? r->target_len != i->size : r->target_len != 0)
		(void)wrong(l, "the text of symlink %lld is not as long as it says", ino);
	bool in_row = reg && i->flags & LK_INODE_INLINE;
	int64_t stored = i->flags & LK_INODE_PACKED ? i->rdev : i->size;
	if (in_row ? r->inline_len != stored || r->end : r->inline_len != 0)
		(void)wrong(l, "inline content of %lld is not as long as it says", ino);
	if (reg && !in_row && r->end * LK_BLOCK_SIZE < i->size)
		(void)wrong(l, "extents of %lld end before its size", ino);
	if (reg && !(i->flags & LK_INODE_TRIM) && (r->raw_end - 1) * LK_BLOCK_SIZE >= i->size && r->raw_end)
		(void)wrong(l, "inode %lld has content behind its end", ino);
	if (l->settled && i->flags & LK_INODE_TRIM)
		(void)wrong(l, "a truncation of %lld is left", ino);
	if (i->ino >= l->counters[LK_COUNTER_NEXT_INO])
		(void)wrong(l, "inode %lld is not below the next number", ino);
}

bool records_agree(struct linkfs_volume *volume, bool settled, char *why, size_t why_size)
{
	struct look *l = calloc(1, sizeof(*l));
	if (!l)
		abort();
	l->settled = settled;
	l->why = why;
	l->why_size = why_size;
	int r = lk_op_begin(lk_volume_fs(volume), &l->op, 0);
	if (r) {
		(void)wrong(l, "cannot begin: %s", linkfs_error_name(r));
	} else {
		scan(l, LK_T_COUNTER, LK_BY_KEY, see_counter);
		scan(l, LK_T_INODE, LK_BY_KEY, see_inode);
		scan(l, LK_T_DIRENT, LK_BY_KEY, see_dirent);
		scan(l, LK_T_DIRENT, LK_DIRENT_BY_INO, see_index);
		scan(l, LK_T_XATTR, LK_BY_KEY, see_xattr);
		scan(l, LK_T_INLINE, LK_BY_KEY, see_inline);
		scan(l, LK_T_TARGET, LK_BY_KEY, see_target);
		scan(l, LK_T_EXTENT, LK_BY_KEY, see_extent);
		scan(l, LK_T_EXTENT_OLD, LK_BY_KEY, see_old);
		scan(l, LK_T_SHARED, LK_BY_KEY, see_shared);
		scan(l, LK_T_GROUP, LK_BY_KEY, see_group);
		scan(l, LK_T_ORPHAN, LK_BY_KEY, see_orphan);
		scan(l, LK_T_INTENT, LK_BY_KEY, see_intent);
		scan(l, LK_T_BIND, LK_BY_KEY, see_bind);
		scan(l, LK_T_SNAPSHOT, LK_BY_KEY, see_snapshot);
		for (int t = 0; t < LK_T_LIVE_COUNT; t++) {
			l->live = &lk_tables[t];
			if (l->live->versioned)
				scan(l, (enum lk_table_id)l->live->old, LK_BY_KEY, see_history);
		}
		(void)lk_op_end(&l->op, 0);
		for (size_t i = 0; i < l->count; i++)
			judge(l, &l->recs[i]);
		if (l->dirents != l->indexed || l->dirent_sum != l->index_sum)
			(void)wrong(l, "names and their index differ");
		if (l->counters[LK_COUNTER_DIR_NAMES] != l->dir_names || l->counters[LK_COUNTER_BINDS] != l->binds)
			(void)wrong(l, "%lld names of directories and %lld binds counted, %lld and %lld are there",
				    (long long)l->counters[LK_COUNTER_DIR_NAMES],
				    (long long)l->counters[LK_COUNTER_BINDS], (long long)l->dir_names,
				    (long long)l->binds);
		if (l->counters[LK_COUNTER_INODES] != (int64_t)l->count)
			(void)wrong(l, "%lld inodes counted, %zu are there", (long long)l->counters[LK_COUNTER_INODES],
				    l->count);
		if (l->counters[LK_COUNTER_DATA_BLOCKS] && l->counters[LK_COUNTER_DATA_BLOCKS] != l->used)
			(void)wrong(l, "%lld blocks counted, %lld are in use",
				    (long long)l->counters[LK_COUNTER_DATA_BLOCKS], (long long)l->used);
	}
	bool good = !l->bad;
	free(l);
	return good;
}

static int see_deleting(void *arg, const void *record)
{
	*(bool *)arg |= ((const struct lk_snapshot *)record)->deleting != 0;
	return 0;
}

int deletions_end(struct linkfs_volume *volume)
{
	static const struct lk_snapshot zero;
	struct lk_scan q = {.table = &lk_tables[LK_T_SNAPSHOT], .index = LK_BY_KEY, .from = &zero};
	for (unsigned waits = 0; waits < 20000; waits++) {
		bool deleting = false;
		struct lk_op op;
		int r = lk_op_begin(lk_volume_fs(volume), &op, 0);
		if (r == 0)
			r = lk_op_end(&op, lk_txn_scan(&op, &q, see_deleting, &deleting));
		if (r || !deleting)
			return r;
		(void)usleep(500);
	}
	return LINKFS_EAGAIN;
}
