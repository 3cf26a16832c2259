/*
 * pass_past.c - the content of files as snapshots see it: at each snapshot that one of its history rows lasts until, an inode has its
 * text, its inline content, or extents that tile its size (K2, K3).
 * Layer: check. Between those snapshots nothing changes, so they stand for all. The rows of one inode are in memory.
 */
#include "check_impl.h"

#include <stdlib.h>
#include <string.h>

/* A row of the inode at hand, live (last 0) or history. */
struct version {
	int64_t key; /* of an extent: its file block; else 0 */
	int64_t last, born;
	int64_t count; /* of an extent: blocks; else bytes */
	int64_t plain; /* of inline content: what it unpacks to; 0: it is not compressed */
};

struct past {
	struct lk_check *c;
	int64_t ino;
	struct lk_buf inodes;   /* struct lk_inode with its last behind it: records of inode_old's form */
	struct lk_buf extents;  /* struct version, by key and then last, the live one at the end */
	struct lk_buf contents; /* struct version: inline and texts; a file has one or the other */
	struct lk_buf epochs;   /* int64_t */
};

#define INODE_SIZE (sizeof(struct lk_inode) + sizeof(int64_t))

/* ---- the rows of one inode ------------------------------------------------------------------------------------------ */

struct take {
	struct past *p;
	const struct lk_table *table; /* live or history */
	bool old;
};

static int take_row(void *arg, const void *record)
{
	struct take *t = arg;
	struct past *p = t->p;
	int64_t last = t->old ? lk_record_last(t->table, record) : 0;
	int r = t->old ? lk_buf_append(&p->epochs, &last, sizeof(last)) : 0;
	if (r)
		return r;
	/* Rows that break a rule were told by the passes before. */
	if (t->table->id == LK_T_INODE || t->table->id == LK_T_INODE_OLD) {
		const struct lk_inode *i = record;
		if (!lk_type_known(i->mode) || lk_inode_fault(i, p->c->epoch))
			return 0;
		r = lk_buf_append(&p->inodes, record, sizeof(struct lk_inode));
		return r ? r : lk_buf_append(&p->inodes, &last, sizeof(last));
	}
	if (t->table->id == LK_T_EXTENT || t->table->id == LK_T_EXTENT_OLD) {
		const struct lk_extent *e = record;
		if (lk_extent_fault(e))
			return 0;
		struct version v = {e->file_block, last, e->born, e->count, 0};
		return lk_buf_append(&p->extents, &v, sizeof(v));
	}
	bool text = t->table->id == LK_T_TARGET || t->table->id == LK_T_TARGET_OLD;
	const struct lk_target *target = record;
	const struct lk_inline *content = record;
	struct version v = {0, last, text ? target->born : content->born,
			    (int64_t)(text ? target->text.len : content->content.len), 0};
	if (!text)
		r = lk_packed_size(p->c, content->content, &v.plain);
	if (r == LINKFS_ENOMEM)
		return r;
	return lk_buf_append(&p->contents, &v, sizeof(v));
}

static int compare_versions(const void *a, const void *b)
{
	const struct version *x = a, *y = b;
	if (x->key != y->key)
		return x->key < y->key ? -1 : 1;
	/* The live one last. */
	uint64_t l = (uint64_t)x->last - 1, m = (uint64_t)y->last - 1;
	return l < m ? -1 : l > m;
}

static int compare_epochs(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
	return x < y ? -1 : x > y;
}

static int gather(struct past *p, enum lk_table_id table, bool old)
{
	_Alignas(8) char key[LK_RECORD_MAX + 8] = {0};
	struct take t = {p, &lk_tables[table], old};
	struct lk_scan scan = {.table = t.table, .index = old ? LK_OLD_BY_KEY : LK_BY_KEY, .equal = 1, .from = key};
	memcpy(key, &p->ino, sizeof(p->ino)); /* the first field of all of them */
	int r = lk_db_scan(p->c->db, &scan, take_row, &t);
	return r ? lk_unreadable(p->c, table, r) : 0;
}

static int gather_all(struct past *p)
{
	static const enum lk_table_id tables[] = {LK_T_INODE, LK_T_INLINE, LK_T_TARGET, LK_T_EXTENT};
	int r = 0;
	p->inodes.len = p->extents.len = p->contents.len = p->epochs.len = 0;
	for (size_t i = 0; r == 0 && i < LK_ARRAY_LEN(tables); i++) {
		r = gather(p, lk_tables[tables[i]].old, true);
		if (r == 0)
			r = gather(p, tables[i], false);
	}
	if (p->extents.len)
		qsort(p->extents.p, p->extents.len / sizeof(struct version), sizeof(struct version), compare_versions);
	if (p->contents.len)
		qsort(p->contents.p, p->contents.len / sizeof(struct version), sizeof(struct version),
		      compare_versions);
	if (p->epochs.len)
		qsort(p->epochs.p, p->epochs.len / sizeof(int64_t), sizeof(int64_t), compare_epochs);
	return r;
}

/* ---- at one snapshot -------------------------------------------------------------------------------------------------- */

/* K2: of the versions of a key, from *at on, the one that is there at the epoch, or NULL; *at goes behind them. */
static const struct version *visible(const struct lk_buf *rows, size_t *at, int64_t epoch)
{
	const struct version *all = (const void *)rows->p, *found = NULL;
	size_t n = rows->len / sizeof(*all), first = *at;
	for (; *at < n && all[*at].key == all[first].key; ++*at) {
		if (!found && (all[*at].last == 0 || all[*at].last >= epoch))
			found = &all[*at];
	}
	return found && found->born <= epoch ? found : NULL;
}

/* The inode's record then; *last_out: 0 when it is the live one. */
static const struct lk_inode *inode_at(const struct past *p, int64_t epoch, int64_t *last_out)
{
	const struct lk_inode *live = NULL;
	for (size_t at = 0; at < p->inodes.len; at += INODE_SIZE) {
		const struct lk_inode *i = (const void *)(p->inodes.p + at);
		int64_t last;
		memcpy(&last, p->inodes.p + at + sizeof(*i), sizeof(last));
		*last_out = last;
		if (last == 0)
			live = i;
		else if (last >= epoch)
			return i->born <= epoch ? i : NULL;
	}
	*last_out = 0;
	return live && live->born <= epoch ? live : NULL;
}

static struct lk_place place_at(const struct past *p, int64_t epoch, const char *what)
{
	return (struct lk_place){LK_NOWHERE, .ino = p->ino, .have = epoch, .what = what};
}

static int mend_hole(struct past *p, int64_t epoch, int64_t from, int64_t to)
{
	_Alignas(8) char old[LK_RECORD_MAX + 8];
	struct lk_extent hole = {.ino = p->ino,
				 .file_block = from,
				 .count = to - from,
				 .codec = LK_CODEC_HOLE,
				 .sums = {"", 0},
				 .born = epoch};
	lk_record_to_old(&lk_tables[LK_T_EXTENT], &hole, epoch, old);
	return lk_mend_put(p->c, LK_T_EXTENT_OLD, old);
}

static int drop_extent(struct past *p, const struct version *v)
{
	_Alignas(8) char old[LK_RECORD_MAX + 8];
	struct lk_extent key = {.ino = p->ino, .file_block = v->key};
	lk_record_to_old(&lk_tables[LK_T_EXTENT], &key, v->last, old);
	return lk_mend_erase(p->c, LK_T_EXTENT_OLD, old);
}

static int check_extents(struct past *p, const struct lk_inode *i, int64_t epoch)
{
	int64_t end = 0, size = (i->size + LK_BLOCK_SIZE - 1) / LK_BLOCK_SIZE;
	const struct version *before = NULL;
	struct lk_place gap = place_at(p, epoch, "its extents leave a gap, or end before its size");
	struct lk_place overlap = place_at(p, epoch, "two of its extents map the same blocks");
	int r = 0;
	for (size_t at = 0; r == 0 && at < p->extents.len / sizeof(struct version);) {
		const struct version *v = visible(&p->extents, &at, epoch);
		if (!v)
			continue;
		if (v->key > end) {
			r = lk_found(p->c, LK_P_HISTORY_CONTENT, &gap);
			if (r > 0)
				r = mend_hole(p, epoch, end, v->key);
		} else if (v->key < end) {
			r = lk_found(p->c, LK_P_HISTORY_CONTENT, &overlap);
			if (r > 0 && (v->last || (before && before->last)))
				r = drop_extent(p, v->last ? v : before);
			else
				r = LK_MIN(r, 0);
		}
		end = LK_MAX(end, v->key + v->count);
		before = v;
	}
	if (r || end >= size)
		return r;
	r = lk_found(p->c, LK_P_HISTORY_CONTENT, &gap);
	return r > 0 ? mend_hole(p, epoch, end, size) : r;
}

/* Its record then goes, and with it what named it (pass_history.c); a live one is pass_files.c's. */
static int drop_record(struct past *p, int64_t last)
{
	_Alignas(8) char old[LK_RECORD_MAX + 8];
	struct lk_inode key = {.ino = p->ino};
	lk_record_to_old(&lk_tables[LK_T_INODE], &key, last, old);
	return last ? lk_mend_erase(p->c, LK_T_INODE_OLD, old) : 0;
}

/* Inline content or a text: the record follows what is there; zeros stand for inline content that is not. */
static int check_content(struct past *p, const struct lk_inode *i, int64_t last, int64_t epoch, bool text)
{
	_Alignas(8) char old[LK_RECORD_MAX + 8];
	static const uint8_t zeros[LK_INLINE_MAX];
	size_t at = 0;
	const struct version *v = p->contents.len ? visible(&p->contents, &at, epoch) : NULL;
	struct lk_place place = place_at(p, epoch, v ? "its size is not its content's" : "its content is missing");
	bool packed = !text && (i->flags & LK_INODE_PACKED);
	if (v ? (packed ? v->plain : v->count) == i->size : i->size == 0 && !text)
		return 0;
	int r = lk_found(p->c, LK_P_HISTORY_CONTENT, &place);
	if (r <= 0)
		return r;
	if (v && last && (!packed || v->plain)) {
		struct lk_inode row = *i;
		row.size = packed ? v->plain : v->count;
		lk_record_to_old(&lk_tables[LK_T_INODE], &row, last, old);
		return lk_mend_put(p->c, LK_T_INODE_OLD, old);
	}
	if (text)
		return drop_record(p, last);
	if (packed && i->size > (int64_t)LK_INLINE_MAX)
		return drop_record(p, last);
	size_t len = (size_t)LK_MIN(i->size, (int64_t)LK_INLINE_MAX);
	struct lk_inline row = {.ino = p->ino, .content = {zeros, len}, .born = epoch};
	lk_record_to_old(&lk_tables[LK_T_INLINE], &row, v && v->last ? v->last : epoch, old);
	return len ? lk_mend_put(p->c, LK_T_INLINE_OLD, old) : drop_record(p, last);
}

static int check_at(struct past *p, int64_t epoch)
{
	int64_t last;
	const struct lk_inode *i = inode_at(p, epoch, &last);
	if (!i)
		return 0;
	switch (i->mode & LK_CHECK_MODE_MASK) {
	case S_IFLNK:
		return check_content(p, i, last, epoch, true);
	case S_IFREG:
		return i->flags & LK_INODE_INLINE ? check_content(p, i, last, epoch, false)
						  : check_extents(p, i, epoch);
	default:
		return 0;
	}
}

/* Whether the snapshot can be read. */
static bool is_readable(const struct lk_check *c, int64_t epoch)
{
	return lk_snapshot_before(c, epoch) == epoch;
}

static int one_inode(struct past *p)
{
	uint64_t found = p->c->left + p->c->mended;
	int r = gather_all(p);
	const int64_t *epochs = (const void *)p->epochs.p;
	for (size_t k = 0; r == 0 && k < p->epochs.len / sizeof(*epochs); k++) {
		if ((k && epochs[k] == epochs[k - 1]) || !is_readable(p->c, epochs[k]))
			continue;
		r = check_at(p, epochs[k]);
		/* What was mended changes what the others see: they come in the next round. */
		if (p->c->left + p->c->mended != found && p->c->repair)
			break;
	}
	return r < 0 ? r : lk_mend_point(p->c);
}

/* ---- all ---------------------------------------------------------------------------------------------------------------- */

int lk_pass_past(struct lk_check *c)
{
	static const enum lk_table_id tables[] = {LK_T_INODE_OLD, LK_T_EXTENT_OLD, LK_T_INLINE_OLD, LK_T_TARGET_OLD};
	struct lk_rows rows[LK_ARRAY_LEN(tables)];
	struct past p = {.c = c};
	int r = 0;
	for (size_t i = 0; i < LK_ARRAY_LEN(tables); i++) {
		lk_rows_init(&rows[i], c->db, tables[i], LK_OLD_BY_KEY);
		if (lk_is_broken(c, tables[i]) || lk_is_broken(c, LK_T_SNAPSHOT))
			rows[i].ended = true;
	}
	for (uint64_t done = 0; r == 0; done++) {
		const void *record[LK_ARRAY_LEN(tables)];
		p.ino = INT64_MAX;
		for (size_t i = 0; r == 0 && i < LK_ARRAY_LEN(tables); i++) {
			r = lk_rows_peek(&rows[i], &record[i]);
			if (r)
				r = lk_unreadable(c, tables[i], r);
			else if (record[i])
				p.ino = LK_MIN(p.ino, *(const int64_t *)record[i]);
		}
		if (r || p.ino == INT64_MAX)
			break;
		for (size_t i = 0; r == 0 && i < LK_ARRAY_LEN(tables); i++) {
			while ((r = lk_rows_peek(&rows[i], &record[i])) == 0 && record[i] &&
			       *(const int64_t *)record[i] == p.ino)
				lk_rows_next(&rows[i]);
			if (r)
				r = lk_unreadable(c, tables[i], r);
		}
		if (r == 0)
			r = one_inode(&p);
		if (r == 0)
			r = lk_progress(c, done);
	}
	for (size_t i = 0; i < LK_ARRAY_LEN(tables); i++)
		lk_rows_done(&rows[i]);
	lk_buf_done(&p.inodes);
	lk_buf_done(&p.extents);
	lk_buf_done(&p.contents);
	lk_buf_done(&p.epochs);
	return r;
}
