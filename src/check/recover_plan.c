/*
 * recover_plan.c - which files there are, which of their names hold, and where each directory hangs.
 * Layer: check. The rules are numbered in docs/RECOVER.md; comments cite them.
 */
#include "recover_impl.h"

#include <stdlib.h>
#include <string.h>

struct lk_found *lk_recovery_find(struct lk_recovery *r, int64_t ino)
{
	size_t count;
	return lk_recover_rows_of(&r->found, sizeof(struct lk_found), ino, &count);
}

struct lk_name_row *lk_found_name(const struct lk_found *f)
{
	for (size_t i = 0; i < f->name_count; i++) {
		if (!f->names[i].dropped)
			return &f->names[i];
	}
	return NULL;
}

/* ---- every inode number that anything speaks of ------------------------------------------------------------------- */

static int add_ino(struct lk_array *inos, int64_t ino)
{
	int64_t *p = lk_array_add(inos, sizeof(*p));
	if (p)
		*p = ino;
	return p ? 0 : LINKFS_ENOMEM;
}

/* The numbers at the head of each element of a sorted array, each once. */
static int add_inos(struct lk_array *inos, const struct lk_array *rows, size_t size)
{
	const char *p = rows->p;
	int64_t last = 0;
	int e = 0;
	for (size_t i = 0; i < rows->len && e == 0; i++) {
		int64_t ino = *(const int64_t *)(const void *)(p + i * size);
		if (ino != last)
			e = add_ino(inos, ino);
		last = ino;
	}
	return e;
}

static int by_ino(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
	return (x > y) - (x < y);
}

static int gather_inos(struct lk_recovery *r, struct lk_array *inos)
{
	const struct lk_name_row *names = r->rows.names.p;
	int e = add_ino(inos, LINKFS_ROOT_INO);
	if (e == 0)
		e = add_inos(inos, &r->rows.inodes, sizeof(struct lk_inode_row));
	if (e == 0)
		e = add_inos(inos, &r->rows.names, sizeof(struct lk_name_row));
	if (e == 0)
		e = add_inos(inos, &r->rows.targets, sizeof(struct lk_bytes_row));
	if (e == 0)
		e = add_inos(inos, &r->rows.inlines, sizeof(struct lk_bytes_row));
	if (e == 0)
		e = add_inos(inos, &r->rows.extents, sizeof(struct lk_extent_row));
	for (size_t i = 0; i < r->rows.names.len && e == 0; i++)
		e = add_ino(inos, names[i].dir);
	if (e == 0)
		qsort(inos->p, inos->len, sizeof(int64_t), by_ino);
	return e;
}

static int make_found(struct lk_recovery *r, const struct lk_array *inos)
{
	const int64_t *p = inos->p;
	size_t count;
	for (size_t i = 0; i < inos->len; i++) {
		if (i && p[i] == p[i - 1])
			continue;
		struct lk_found *f = lk_array_add(&r->found, sizeof(*f));
		if (!f)
			return LINKFS_ENOMEM;
		*f = (struct lk_found){.ino = p[i]};
		f->names = lk_recover_rows_of(&r->rows.names, sizeof(*f->names), p[i], &f->name_count);
		f->inode = lk_recover_rows_of(&r->rows.inodes, sizeof(*f->inode), p[i], &count);
	}
	return 0;
}

/* ---- what each of them is ------------------------------------------------------------------------------------------ */

static bool has_rows(const struct lk_array *a, size_t size, int64_t ino)
{
	size_t count;
	return lk_recover_rows_of(a, size, ino, &count) != NULL;
}

/* P2: the type, where the inode is lost. */
static uint32_t guess_type(const struct lk_recovery *r, const struct lk_found *f)
{
	const struct lk_recover_rows *rows = &r->rows;
	if (f->directory || f->ino == LINKFS_ROOT_INO)
		return S_IFDIR;
	for (size_t i = 0; i < f->name_count; i++) {
		if (f->names[i].type)
			return (uint32_t)f->names[i].type << 12;
	}
	if (has_rows(&rows->targets, sizeof(struct lk_bytes_row), f->ino))
		return S_IFLNK;
	if (has_rows(&rows->inlines, sizeof(struct lk_bytes_row), f->ino) ||
	    has_rows(&rows->extents, sizeof(struct lk_extent_row), f->ino))
		return S_IFREG;
	return 0;
}

/* Directories by what lies in them, unless a sound inode says that they are none. */
static void mark_directories(struct lk_recovery *r)
{
	struct lk_name_row *names = r->rows.names.p;
	for (size_t i = 0; i < r->rows.names.len; i++) {
		struct lk_found *dir = lk_recovery_find(r, names[i].dir);
		if (dir && (!dir->inode || S_ISDIR((mode_t)dir->inode->inode.mode)))
			dir->directory = true;
		else
			names[i].dropped = true;
	}
}

static void check_types(struct lk_found *f)
{
	for (size_t i = 0; i < f->name_count; i++) {
		if (f->names[i].type && (uint32_t)f->names[i].type << 12 != f->type)
			f->names[i].doubtful = true;
	}
}

static bool in_orphans(const struct lk_recovery *r, int64_t ino)
{
	return has_rows(&r->rows.orphans, sizeof(int64_t), ino);
}

static bool names_whole(struct lk_recovery *r)
{
	return lk_tree_whole(lk_reader_tree(&r->reader, LK_T_DIRENT, LK_SHAPE_TABLE)) ||
	       lk_tree_whole(lk_reader_tree(&r->reader, LK_T_DIRENT, LK_DIRENT_BY_INO));
}

static bool inode_gap(struct lk_recovery *r, int64_t ino)
{
	struct lk_inode key = {.ino = ino};
	return lk_tree_gap_at(lk_reader_tree(&r->reader, LK_T_INODE, LK_SHAPE_TABLE), &key);
}

/* The best rank of content that needs no inode to be of use. */
static uint8_t content_rank(const struct lk_recovery *r, int64_t ino)
{
	const struct lk_array *arrays[] = {&r->rows.targets, &r->rows.inlines};
	uint8_t best = 0;
	size_t count;
	for (size_t i = 0; i < LK_ARRAY_LEN(arrays); i++) {
		const struct lk_bytes_row *b = lk_recover_rows_of(arrays[i], sizeof(*b), ino, &count);
		if (b)
			best = LK_MAX(best, b->rank);
	}
	const struct lk_extent_row *e = lk_recover_rows_of(&r->rows.extents, sizeof(*e), ino, &count);
	return e ? LK_MAX(best, e->rank) : best;
}

/* P3: an inode without a name. */
static void judge_nameless(struct lk_recovery *r, struct lk_found *f)
{
	uint8_t rank = f->inode ? f->inode->rank : content_rank(r, f->ino);
	bool sure = f->inode && rank == LK_RANK_REACHED;
	f->nameless = true;
	if (f->directory || sure)
		return;
	/* Names that are all there do not name it: it was deleted. An old version without a name says the same. */
	if (names_whole(r) || rank < LK_RANK_BAD || (!f->inode && !inode_gap(r, f->ino)) ||
	    (!f->inode && lk_bad_rank(rank)))
		f->skipped = true;
}

static void judge(struct lk_recovery *r, struct lk_found *f)
{
	const struct lk_name_row *name = lk_found_name(f);
	f->type = f->inode ? (uint32_t)f->inode->inode.mode & S_IFMT : guess_type(r, f);
	check_types(f);
	if (f->ino == LINKFS_ROOT_INO) {
		f->type = S_IFDIR;
		return;
	}
	/* P4: in use when it lost its last name, and gone with the process that used it. */
	if (!name && !f->directory && ((f->inode && f->inode->inode.nlink == 0) || in_orphans(r, f->ino))) {
		f->skipped = f->orphan = true;
		return;
	}
	if (!name) {
		judge_nameless(r, f);
		return;
	}
	/* P5: no more than the name is left. */
	if (!f->inode && (f->type == 0 || f->type == S_IFCHR || f->type == S_IFBLK ||
			  (!f->directory && !inode_gap(r, f->ino) && content_rank(r, f->ino) < LK_RANK_LOST)))
		f->skipped = f->lost = true;
	if (f->inode && f->inode->inode.nlink == 0)
		f->doubtful = true;
}

/* ---- names and directories ----------------------------------------------------------------------------------------- */

static int by_place(const void *a, const void *b)
{
	const struct lk_name_row *x = *(struct lk_name_row *const *)a, *y = *(struct lk_name_row *const *)b;
	if (x->dir != y->dir)
		return x->dir < y->dir ? -1 : 1;
	int c = memcmp(x->name, y->name, LK_MIN(x->len, y->len));
	if (c || x->len != y->len)
		return c ? c : (int)x->len - (int)y->len;
	unsigned sx = lk_name_score(x), sy = lk_name_score(y);
	if (sx != sy)
		return sx > sy ? -1 : 1;
	return (x->ino < y->ino) - (x->ino > y->ino);
}

/* P6: one file at a place. */
static int drop_doubles(struct lk_recovery *r)
{
	struct lk_name_row *names = r->rows.names.p;
	size_t count = 0;
	struct lk_name_row **all = calloc(r->rows.names.len + 1, sizeof(*all));
	if (!all)
		return LINKFS_ENOMEM;
	for (size_t i = 0; i < r->rows.names.len; i++) {
		if (!names[i].dropped)
			all[count++] = &names[i];
	}
	qsort(all, count, sizeof(*all), by_place);
	for (size_t i = 1, kept = 0; i < count; i++) {
		struct lk_name_row *a = all[kept], *b = all[i];
		if (a->dir == b->dir && a->len == b->len && memcmp(a->name, b->name, a->len) == 0) {
			a->doubtful = true;
			b->dropped = true;
		} else {
			kept = i;
		}
	}
	free(all);
	return 0;
}

/* Names in what is no directory in the end, and second names of directories: those come back by their own rule (recover_build.c). */
static void drop_unusable(struct lk_recovery *r, struct lk_found *f)
{
	bool first = true;
	for (size_t i = 0; i < f->name_count; i++) {
		struct lk_name_row *n = &f->names[i];
		if (n->dropped)
			continue;
		struct lk_found *dir = lk_recovery_find(r, n->dir);
		bool usable = dir && dir->type == S_IFDIR && !dir->skipped && f->ino != LINKFS_ROOT_INO &&
			      (first || f->type != S_IFDIR);
		n->second = !usable && dir && dir->type == S_IFDIR && !dir->skipped && f->type == S_IFDIR &&
			    f->ino != LINKFS_ROOT_INO;
		n->dropped = !usable;
		if (usable && f->type == S_IFDIR)
			f->up = dir;
		first = first && !usable;
	}
}

static void cut_off(struct lk_found *f)
{
	for (size_t i = 0; i < f->name_count; i++)
		f->names[i].dropped = true;
	f->up = NULL;
	f->nameless = true;
}

/* P7: of directories that lead in a circle the one with the weakest name is cut off. */
static void break_cycle(struct lk_found *f)
{
	struct lk_found *weakest = f, *g = f;
	do {
		const struct lk_name_row *a = lk_found_name(g), *b = lk_found_name(weakest);
		if (a && b && lk_name_score(a) < lk_name_score(b))
			weakest = g;
		g = g->up;
	} while (g && g != f);
	cut_off(weakest);
}

static void break_cycles(struct lk_recovery *r)
{
	struct lk_found *all = r->found.p;
	for (size_t i = 0; i < r->found.len; i++) {
		struct lk_found *f = &all[i];
		while (f && !f->settled && !f->busy) {
			f->busy = true;
			f = f->up;
		}
		struct lk_found *circle = f && f->busy && !f->settled ? f : NULL;
		for (f = &all[i]; f && !f->settled; f = f->up)
			f->settled = true;
		if (circle)
			break_cycle(circle);
	}
}

static void count_trees(struct lk_recovery *r)
{
	const struct lk_pages *p = &r->reader.pages;
	struct linkfs_recover_result *out = &r->result;
	for (uint32_t n = 1; n <= p->count; n++) {
		uint8_t m = p->marks[n];
		bool led = m & LK_MARK_LED || n == 1, used = led || m & (LK_MARK_TREE | LK_MARK_CHAIN);
		if (m & LK_MARK_FREE)
			continue;
		out->pages += used || !(m & LK_MARK_ZERO);
		out->pages_bad += !(m & LK_MARK_SOUND) && (led || !(m & LK_MARK_ZERO));
		out->pages_lost += (m & LK_MARK_SOUND) && !(m & (LK_MARK_TREE | LK_MARK_CHAIN));
	}
	out->pages += r->reader.missing;
	out->pages_bad += r->reader.missing;
	out->pages_mended = p->mended_count;
	out->log_frames = p->frames;
	out->log_damaged = p->log_damaged;
	for (uint32_t i = 0; i < r->reader.tree_count; i++)
		out->trees_damaged += r->reader.trees[i].wanted && !lk_tree_whole(&r->reader.trees[i]);
	out->secret_lost = !r->rows.secret_known;
	out->snapshots = r->rows.snapshots;
}

int lk_recovery_plan(struct lk_recovery *r)
{
	struct lk_array inos = {0};
	lk_recover_rows_settle(&r->rows, &r->reader);
	count_trees(r);
	int e = gather_inos(r, &inos);
	if (e == 0)
		e = make_found(r, &inos);
	lk_array_done(&inos);
	if (e)
		return e;
	struct lk_found *all = r->found.p;
	mark_directories(r);
	for (size_t i = 0; i < r->found.len; i++)
		judge(r, &all[i]);
	e = drop_doubles(r);
	for (size_t i = 0; i < r->found.len && e == 0; i++)
		drop_unusable(r, &all[i]);
	if (e == 0)
		break_cycles(r);
	for (size_t i = 0; i < r->found.len && e == 0; i++) {
		if (!all[i].skipped && all[i].ino != LINKFS_ROOT_INO && !lk_found_name(&all[i]))
			all[i].nameless = true;
		r->total += !all[i].skipped;
	}
	return e;
}
