/*
 * pass_targets.c - the texts of symlinks, and the index of their components.
 * Layer: check.
 *
 * Every component of every text, live or history, must have its row in component; rows beyond those are candidates that outlived
 * their text, and in order. The index is in the order of hashes, texts are not: the rows that must be there are gathered and
 * sorted, and when there are too many for that, a range of hashes at a time.
 */
#include "check_impl.h"

#include <stdlib.h>
#include <string.h>

#define GATHER_MAX (4u * 1024 * 1024) /* rows of 24 bytes */
#define HASH_END (INT64_C(1) << 55)

/* ---- one text (called by pass_files.c) ------------------------------------------------------------------------------ */

static int lost(struct lk_check *c, struct lk_file *f, enum lk_problem_id id, int64_t len)
{
	struct lk_place place = {LK_NOWHERE, .ino = f->inode.ino, .have = len};
	int r = lk_found(c, id, &place);
	if (r <= 0)
		return r;
	f->exists = f->changed = false;
	return lk_mend_erase(c, LK_T_INODE, &f->inode);
}

static int check_text(struct lk_check *c, struct lk_file *f, const struct lk_target *t)
{
	struct lk_inode *i = &f->inode;
	if (!lk_text_valid(&t->text))
		return lost(c, f, LK_P_TARGET_FIELD, (int64_t)t->text.len);
	struct lk_place place = {LK_NOWHERE, .ino = i->ino, .have = i->size, .want = (int64_t)t->text.len};
	int r = 0;
	if (i->size == place.want)
		return 0;
	r = f->made ? 1 : lk_found(c, LK_P_INODE_SIZE, &place);
	if (r > 0) {
		i->size = place.want;
		f->changed = true;
	}
	return r < 0 ? r : 0;
}

/* D5: what record and row say of a file that is tracked. What the row says decides, for the flag is one bit. */
static int check_tracks(struct lk_check *c, struct lk_file *f, const struct lk_target *t)
{
	struct lk_inode *i = &f->inode;
	bool valid = lk_tracks_valid(t), flag = i->flags & LK_INODE_TRACKED, tracks = valid && t->tracks;
	struct lk_target row = *t;
	struct lk_place place = {LK_NOWHERE, .ino = i->ino, .have = t->tracks, .want = i->flags};
	int r;
	if (valid && flag == tracks)
		return 0;
	r = f->made && valid ? 1 : lk_found(c, LK_P_TARGET_TRACKS, &place);
	if (r <= 0)
		return r;
	i->flags = tracks ? i->flags | LK_INODE_TRACKED : i->flags & ~(int64_t)LK_INODE_TRACKED;
	f->changed = true;
	if (valid)
		return 0;
	row.tracks = row.by_dir = row.by_hash = row.by_ord = 0;
	return lk_mend_put(c, LK_T_TARGET, &row);
}

int lk_target_check(struct lk_check *c, struct lk_file *f)
{
	bool link = (f->inode.mode & LK_CHECK_MODE_MASK) == S_IFLNK;
	const void *record;
	int r = lk_rows_peek(f->targets, &record);
	if (r)
		return lk_unreadable(c, LK_T_TARGET, r);
	const struct lk_target *t = record;
	if (!t || t->ino != f->inode.ino)
		return link && !lk_is_broken(c, LK_T_TARGET) ? lost(c, f, LK_P_TARGET_MISSING, 0) : 0;
	if (link) {
		r = check_text(c, f, t);
		if (r == 0 && f->exists)
			r = check_tracks(c, f, t);
		/* A symlink that went leaves its row to erase_all(). */
		if (f->exists)
			lk_rows_next(f->targets);
		return r;
	}
	r = lk_found(c, LK_P_TARGET_EXTRA, &(struct lk_place){LK_NOWHERE, .ino = t->ino});
	if (r > 0)
		r = lk_mend_erase(c, LK_T_TARGET, t);
	lk_rows_next(f->targets);
	return r;
}

/* ---- components ------------------------------------------------------------------------------------------------------- */

struct wanted {
	int64_t hash, ino;
	int32_t position;
	int32_t is_last;
};

struct gather {
	struct lk_check *c;
	int64_t from, to; /* hashes */
	struct lk_buf rows;
	bool full;
};

static int want_hash(struct gather *g, int64_t ino, int64_t hash, int32_t position, bool last)
{
	struct wanted w = {hash, ino, position, last};
	if (w.hash < g->from || w.hash >= g->to)
		return 0;
	if (g->rows.len / sizeof(w) >= GATHER_MAX) {
		g->full = true;
		return 0;
	}
	return lk_buf_append(&g->rows, &w, sizeof(w));
}

static int want(struct gather *g, int64_t ino, const char *name, size_t len, int32_t position, bool last)
{
	return want_hash(g, ino, lk_name_hash(g->c->secret, name, len), position, last);
}

/* docs/FORMAT.md, "component": a row for each component but empty ones and "."; a text of nothing else has one for ".". */
static int want_text(struct gather *g, int64_t ino, const struct lk_bytes *text)
{
	const char *p = text->p, *end = p + text->len, *name = NULL;
	size_t name_len = 0;
	int32_t position = 0;
	int r = 0;
	while (r == 0 && p < end) {
		const char *slash = memchr(p, '/', (size_t)(end - p));
		size_t len = slash ? (size_t)(slash - p) : (size_t)(end - p);
		if (len && !(len == 1 && *p == '.')) {
			if (name)
				r = want(g, ino, name, name_len, position++, false);
			name = p;
			name_len = len;
		}
		p += len + 1;
	}
	if (r)
		return r;
	return name ? want(g, ino, name, name_len, position, true) : want(g, ino, ".", 1, 0, true);
}

static int gather_from(struct gather *g, enum lk_table_id table)
{
	struct lk_rows rows;
	const void *record;
	int r = 0;
	lk_rows_init(&rows, g->c->db, table, LK_BY_KEY);
	while (!g->full && (r = lk_rows_peek(&rows, &record)) == 0 && record) {
		const struct lk_target *t = record; /* a history record begins as a live one */
		r = lk_text_valid(&t->text) ? want_text(g, t->ino, &t->text) : 0;
		if (r == 0 && t->tracks && lk_tracks_valid(t))
			r = want_hash(g, t->ino, LK_TRACKS_HASH(t->tracks), 0, true);
		if (r)
			break;
		lk_rows_next(&rows);
	}
	lk_rows_done(&rows);
	return g->full ? 0 : r ? lk_unreadable(g->c, table, r) : 0;
}

static int compare_wanted(const void *a, const void *b)
{
	const struct wanted *x = a, *y = b;
	if (x->hash != y->hash)
		return x->hash < y->hash ? -1 : 1;
	if (x->ino != y->ino)
		return x->ino < y->ino ? -1 : 1;
	return (x->position > y->position) - (x->position < y->position);
}

static int missing(struct lk_check *c, const struct wanted *w, const struct lk_component *wrong)
{
	struct lk_place place = {LK_NOWHERE, .ino = w->ino, .count = w->position + 1};
	int r = lk_found(c, wrong ? LK_P_COMPONENT_FIELD : LK_P_COMPONENT_MISSING, &place);
	if (r <= 0)
		return r;
	struct lk_component row = {w->hash, w->ino, w->position, w->is_last};
	r = lk_mend_put(c, LK_T_COMPONENT, &row);
	return r ? r : lk_mend_point(c);
}

static int odd_row(struct lk_check *c, const struct lk_component *row)
{
	bool tracks =
		row->hash < 0 && row->hash >= LK_TRACKS_HASH(LK_INO_MAX) && row->position == 0 && row->is_last == 1;
	bool name = row->hash >= 16 && row->hash < HASH_END - 1;
	bool valid = (name || tracks) && row->ino >= 1 && row->ino <= LK_INO_MAX && row->position >= 0 &&
		     row->position < (int64_t)LINKFS_SYMLINK_MAX && row->is_last >= 0 && row->is_last <= 1;
	if (valid)
		return 0;
	int r = lk_found(c, LK_P_COMPONENT_FIELD, &(struct lk_place){LK_NOWHERE, .ino = row->ino});
	return r > 0 ? lk_mend_erase(c, LK_T_COMPONENT, row) : r;
}

static int order(const struct wanted *w, const struct lk_component *row)
{
	struct wanted as = {row->hash, row->ino, (int32_t)LK_MIN(row->position, (int64_t)INT32_MAX), 0};
	return compare_wanted(w, &as);
}

/* Sorted, and one of each: a symlink may have texts in history that have the same name at the same place, the last in one of them. */
static size_t sort_wanted(struct wanted *all, size_t n)
{
	size_t kept = 0;
	if (n)
		qsort(all, n, sizeof(*all), compare_wanted);
	for (size_t i = 0; i < n; i++) {
		if (kept && compare_wanted(&all[kept - 1], &all[i]) == 0)
			all[kept - 1].is_last |= all[i].is_last;
		else
			all[kept++] = all[i];
	}
	return kept;
}

/* The wanted rows of a range, sorted, against the index, which goes on from range to range. */
static int compare(struct gather *g, struct lk_rows *rows)
{
	struct lk_check *c = g->c;
	struct wanted *all = (void *)g->rows.p;
	size_t n = sort_wanted(all, g->rows.len / sizeof(*all)), i = 0;
	int r = 0;
	while (r == 0) {
		const void *record;
		r = lk_rows_peek(rows, &record);
		const struct lk_component *row = record;
		if (r || (i == n && (!row || row->hash >= g->to)))
			break;
		int o = i == n ? 1 : !row ? -1 : order(&all[i], row);
		if (o < 0) {
			r = missing(c, &all[i++], NULL);
		} else if (o > 0) {
			r = odd_row(c, row);
			lk_rows_next(rows);
		} else {
			/* "Last" may outlive the text that had it, as rows do. */
			r = all[i].is_last && row->is_last != 1 ? missing(c, &all[i], row) : odd_row(c, row);
			i++;
			lk_rows_next(rows);
		}
	}
	return r ? lk_unreadable(c, LK_T_COMPONENT, r) : 0;
}

int lk_pass_targets(struct lk_check *c)
{
	struct lk_rows rows;
	int64_t step = HASH_END;
	int r = 0;
	if (!c->have_secret)
		return 0;
	lk_rows_init(&rows, c->db, LK_T_COMPONENT, LK_BY_KEY);
	struct gather g = {.c = c, .from = LK_TRACKS_HASH(LK_INO_MAX)};
	while (r == 0 && g.from < HASH_END && !lk_is_broken(c, LK_T_COMPONENT)) {
		g.to = LK_MIN(g.from + step, HASH_END);
		g.rows.len = 0;
		g.full = false;
		r = gather_from(&g, LK_T_TARGET);
		if (r == 0 && !g.full)
			r = gather_from(&g, LK_T_TARGET_OLD);
		if (r == 0 && g.full && step > 1) {
			step /= 2;
			continue;
		}
		if (g.to == HASH_END)
			g.to = INT64_MAX;
		if (r == 0)
			r = compare(&g, &rows);
		g.from = g.to;
	}
	c->sum->records += rows.seen;
	lk_rows_done(&rows);
	lk_buf_done(&g.rows);
	return r;
}
