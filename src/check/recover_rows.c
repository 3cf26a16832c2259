/*
 * recover_rows.c - gathers rows, keeps the best of each key, and proves names.
 * Layer: check.
 *
 * Of rows with one key the better rank wins, of inodes then the later ctime, then the later version of the page. A name is true when
 * either of its two trees reaches it; it is false when neither does and one of them is whole at its key; else it is taken from
 * wherever it was found, if its hash is right, and is doubtful when neither both copies nor a sound page speak for it.
 */
#include "recover_rows.h"

#include <stdlib.h>
#include <string.h>

#define CHUNK (256u << 10)
#define PROBES 64u /* names that prove a secret */

void *lk_array_add(struct lk_array *a, size_t size)
{
	if (a->len == a->cap) {
		size_t cap = a->cap ? a->cap * 2 : 64;
		if (cap > SIZE_MAX / size)
			return NULL;
		void *more = realloc(a->p, cap * size);
		if (!more)
			return NULL;
		a->p = more;
		a->cap = cap;
	}
	return (char *)a->p + a->len++ * size;
}

void lk_array_done(struct lk_array *a)
{
	free(a->p);
	*a = (struct lk_array){0};
}

/* A copy that lives as long as the rows. */
static int keep(struct lk_recover_rows *rows, const void *p, size_t len, const void **out)
{
	static const char none[1];
	char **chunk;
	*out = none;
	if (len == 0)
		return 0;
	if (len > rows->chunk_left) {
		size_t size = LK_MAX(len, CHUNK);
		chunk = lk_array_add(&rows->chunks, sizeof(*chunk));
		if (!chunk)
			return LINKFS_ENOMEM;
		*chunk = malloc(size);
		if (!*chunk) {
			rows->chunks.len--;
			return LINKFS_ENOMEM;
		}
		rows->chunk_left = size;
	}
	chunk = (char **)rows->chunks.p + rows->chunks.len - 1;
	/* What is left lies at the chunk's end; a large one is its row's alone. */
	char *at = *chunk + (LK_MAX(len, CHUNK) > CHUNK ? 0 : CHUNK - rows->chunk_left);
	memcpy(at, p, len);
	rows->chunk_left = len > CHUNK ? 0 : rows->chunk_left - len;
	*out = at;
	return 0;
}

static int keep_bytes(struct lk_recover_rows *rows, const struct lk_bytes *b, struct lk_bytes *out)
{
	out->len = b->len;
	return keep(rows, b->p, b->len, &out->p);
}

static int add_super(struct lk_recover_rows *rows, const struct lk_super *s, uint8_t rank)
{
	if (rank <= rows->super_rank)
		return 0;
	rows->super_rank = rank;
	memcpy(rows->secret, s->name_secret.p, sizeof(rows->secret));
	memset(rows->label, 0, sizeof(rows->label));
	if (s->label.len)
		memcpy(rows->label, s->label.p, s->label.len);
	rows->limit_blocks = s->limit_blocks;
	return 0;
}

static int add_inode(struct lk_recover_rows *rows, const struct lk_inode *inode, const struct lk_origin *o)
{
	struct lk_inode_row *row = lk_array_add(&rows->inodes, sizeof(*row));
	if (!row)
		return LINKFS_ENOMEM;
	*row = (struct lk_inode_row){.inode = *inode, .rank = (uint8_t)o->rank, .order = o->order};
	return 0;
}

static int add_name(struct lk_recover_rows *rows, const struct lk_dirent *d, bool index, const struct lk_origin *o)
{
	struct lk_name_row *row = lk_array_add(&rows->names, sizeof(*row));
	const void *name;
	if (!row)
		return LINKFS_ENOMEM;
	*row = (struct lk_name_row){.dir = d->dir,
				    .hash = d->hash,
				    .ino = d->ino,
				    .len = (uint8_t)d->name.len,
				    .ord = (uint8_t)d->ord,
				    .type = (uint8_t)d->type,
				    .order = o->order};
	row->rank[index] = (uint8_t)o->rank;
	int r = keep(rows, d->name.p, d->name.len, &name);
	row->name = name;
	return r;
}

static int add_bytes(struct lk_recover_rows *rows, struct lk_array *array, int64_t ino, const struct lk_bytes *b,
		     const struct lk_origin *o)
{
	struct lk_bytes_row *row = lk_array_add(array, sizeof(*row));
	if (!row)
		return LINKFS_ENOMEM;
	*row = (struct lk_bytes_row){.ino = ino, .rank = (uint8_t)o->rank, .order = o->order};
	return keep_bytes(rows, b, &row->bytes);
}

static int add_target(struct lk_recover_rows *rows, const struct lk_target *t, const struct lk_origin *o)
{
	int e = add_bytes(rows, &rows->targets, t->ino, &t->text, o);
	struct lk_bytes_row *row = e ? NULL : (struct lk_bytes_row *)rows->targets.p + (rows->targets.len - 1);
	if (e)
		return e;
	row->tracks = t->tracks;
	row->by_dir = t->by_dir;
	row->by_hash = t->by_hash;
	row->by_ord = t->by_ord;
	return 0;
}

static int add_extent(struct lk_recover_rows *rows, const struct lk_extent *e, const struct lk_origin *o)
{
	struct lk_extent_row *row = lk_array_add(&rows->extents, sizeof(*row));
	const void *sums;
	if (!row)
		return LINKFS_ENOMEM;
	*row = (struct lk_extent_row){.ino = e->ino,
				      .at = (uint64_t)e->file_block,
				      .disk = (uint64_t)e->disk_block,
				      .count = (uint64_t)e->count,
				      .codec = (uint8_t)e->codec,
				      .length = (uint32_t)e->length,
				      .offset = (uint32_t)e->offset,
				      .rank = (uint8_t)o->rank,
				      .order = o->order};
	int r = keep(rows, e->sums.p, e->sums.len, &sums);
	row->sums = sums;
	return r;
}

static int add_xattr(struct lk_recover_rows *rows, const struct lk_xattr *x, const struct lk_origin *o)
{
	struct lk_xattr_row *row = lk_array_add(&rows->xattrs, sizeof(*row));
	if (!row)
		return LINKFS_ENOMEM;
	*row = (struct lk_xattr_row){.ino = x->ino, .rank = (uint8_t)o->rank, .order = o->order};
	int r = keep_bytes(rows, &x->name, &row->name);
	return r ? r : keep_bytes(rows, &x->value, &row->value);
}

static int add_orphan(struct lk_recover_rows *rows, int64_t ino)
{
	int64_t *row = lk_array_add(&rows->orphans, sizeof(*row));
	if (row)
		*row = ino;
	return row ? 0 : LINKFS_ENOMEM;
}

static int add_intent(struct lk_recover_rows *rows, const struct lk_intent *intent)
{
	if (intent->kind != LK_INTENT_PUNCH)
		return 0;
	struct lk_punch *row = lk_array_add(&rows->punches, sizeof(*row));
	if (row)
		*row = (struct lk_punch){intent->ino, (uint64_t)intent->from, (uint64_t)intent->to};
	return row ? 0 : LINKFS_ENOMEM;
}

static int add_bind(struct lk_recover_rows *rows, const struct lk_bind *bind)
{
	struct lk_bind *row = lk_array_add(&rows->binds, sizeof(*row));
	if (row)
		*row = *bind;
	return row ? 0 : LINKFS_ENOMEM;
}

int lk_recover_rows_add(struct lk_recover_rows *rows, const struct lk_tree *t, const void *record,
			const struct lk_origin *o)
{
	const struct lk_counter *counter = record;
	const struct lk_inline *content = record;
	const struct lk_target *target = record;
	const struct lk_orphan *orphan = record;
	bool reached = o->rank == LK_RANK_REACHED;
	enum lk_table_id table = t->shape.table->id;
	if (table == LK_T_DIRENT)
		return add_name(rows, record, t->shape.index != LK_SHAPE_TABLE, o);
	if (table == LK_T_EXTENT)
		return add_extent(rows, record, o);
	if (table == LK_T_INODE)
		return add_inode(rows, record, o);
	if (table == LK_T_XATTR)
		return add_xattr(rows, record, o);
	if (table == LK_T_INLINE)
		return add_bytes(rows, &rows->inlines, content->ino, &content->content, o);
	if (table == LK_T_TARGET)
		return add_target(rows, target, o);
	if (table == LK_T_SUPER)
		return add_super(rows, record, (uint8_t)o->rank);
	if (o->rank < LK_RANK_LOST) /* none of these is worth a doubt */
		return 0;
	if (table == LK_T_COUNTER && counter->id == LK_COUNTER_INODES && reached)
		rows->inode_count = counter->value;
	else if (table == LK_T_ORPHAN)
		return add_orphan(rows, orphan->ino);
	else if (table == LK_T_INTENT)
		return add_intent(rows, record);
	else if (table == LK_T_BIND && reached)
		return add_bind(rows, record);
	else if (table == LK_T_SNAPSHOT)
		rows->snapshots += !((const struct lk_snapshot *)record)->deleting;
	return 0;
}

void lk_recover_rows_done(struct lk_recover_rows *rows)
{
	for (size_t i = 0; i < rows->chunks.len; i++)
		free(((char **)rows->chunks.p)[i]);
	lk_array_done(&rows->inodes);
	lk_array_done(&rows->binds);
	lk_array_done(&rows->names);
	lk_array_done(&rows->targets);
	lk_array_done(&rows->inlines);
	lk_array_done(&rows->extents);
	lk_array_done(&rows->xattrs);
	lk_array_done(&rows->punches);
	lk_array_done(&rows->orphans);
	lk_array_done(&rows->chunks);
}

/* ---- the best of each -------------------------------------------------------------------------------------------------- */

#define COMPARE(x, y)                                                                                                  \
	do {                                                                                                           \
		if ((x) != (y))                                                                                        \
			return (x) < (y) ? -1 : 1;                                                                     \
	} while (0)

static int by_ino(const void *a, const void *b)
{
	COMPARE(*(const int64_t *)a, *(const int64_t *)b);
	return 0;
}

static int inode_order(const void *a, const void *b)
{
	const struct lk_inode_row *x = a, *y = b;
	COMPARE(x->inode.ino, y->inode.ino);
	COMPARE(y->rank, x->rank);
	COMPARE(y->inode.ctime_ns, x->inode.ctime_ns);
	COMPARE(y->order, x->order);
	return 0;
}

static int bytes_order(const void *a, const void *b)
{
	const struct lk_bytes_row *x = a, *y = b;
	COMPARE(x->ino, y->ino);
	COMPARE(y->rank, x->rank);
	COMPARE(y->order, x->order);
	return 0;
}

static int extent_order(const void *a, const void *b)
{
	const struct lk_extent_row *x = a, *y = b;
	COMPARE(x->ino, y->ino);
	COMPARE(y->rank, x->rank);
	COMPARE(x->at, y->at);
	COMPARE(y->order, x->order);
	return 0;
}

static int xattr_order(const void *a, const void *b)
{
	const struct lk_xattr_row *x = a, *y = b;
	COMPARE(x->ino, y->ino);
	int c = lk_bytes_compare(&x->name, &y->name);
	if (c)
		return c;
	COMPARE(y->rank, x->rank);
	COMPARE(y->order, x->order);
	return 0;
}

static void sort(struct lk_array *a, size_t size, int (*order)(const void *, const void *))
{
	if (a->len)
		qsort(a->p, a->len, size, order);
}

static void settle_inodes(struct lk_recover_rows *rows)
{
	struct lk_inode_row *p = rows->inodes.p;
	size_t kept = 0;
	sort(&rows->inodes, sizeof(*p), inode_order);
	for (size_t i = 0; i < rows->inodes.len; i++) {
		if (kept == 0 || p[kept - 1].inode.ino != p[i].inode.ino)
			p[kept++] = p[i];
		else if (p[kept - 1].rank == p[i].rank && p[i].rank < LK_RANK_REACHED &&
			 memcmp(&p[kept - 1].inode, &p[i].inode, sizeof(p[i].inode)) != 0)
			p[kept - 1].rivals = true;
	}
	rows->inodes.len = kept;
}

static void settle_bytes(struct lk_array *a)
{
	struct lk_bytes_row *p = a->p;
	size_t kept = 0;
	sort(a, sizeof(*p), bytes_order);
	for (size_t i = 0; i < a->len; i++) {
		if (kept == 0 || p[kept - 1].ino != p[i].ino)
			p[kept++] = p[i];
	}
	a->len = kept;
}

static void settle_xattrs(struct lk_recover_rows *rows)
{
	struct lk_xattr_row *p = rows->xattrs.p;
	size_t kept = 0;
	sort(&rows->xattrs, sizeof(*p), xattr_order);
	for (size_t i = 0; i < rows->xattrs.len; i++) {
		if (kept == 0 || p[kept - 1].ino != p[i].ino || lk_bytes_compare(&p[kept - 1].name, &p[i].name) != 0)
			p[kept++] = p[i];
	}
	rows->xattrs.len = kept;
}

void *lk_recover_rows_of(const struct lk_array *a, size_t size, int64_t ino, size_t *count_out)
{
	size_t low = 0, high = a->len, end;
	const char *p = a->p;
	*count_out = 0;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		if (*(const int64_t *)(const void *)(p + middle * size) < ino)
			low = middle + 1;
		else
			high = middle;
	}
	for (end = low; end < a->len && *(const int64_t *)(const void *)(p + end * size) == ino;)
		end++;
	*count_out = end - low;
	return end > low ? (char *)a->p + low * size : NULL;
}

/* ---- names --------------------------------------------------------------------------------------------------------------- */

unsigned lk_name_score(const struct lk_name_row *n)
{
	return LK_MAX(n->rank[0], n->rank[1]) * 2u + (n->rank[0] && n->rank[1]);
}

static int name_compare(const struct lk_name_row *x, const struct lk_name_row *y)
{
	COMPARE(x->dir, y->dir);
	COMPARE(x->hash, y->hash);
	COMPARE(x->ord, y->ord);
	COMPARE(x->ino, y->ino);
	COMPARE(x->len, y->len);
	return memcmp(x->name, y->name, x->len);
}

static int name_order(const void *a, const void *b)
{
	const struct lk_name_row *x = a, *y = b;
	int c = name_compare(x, y);
	if (c)
		return c;
	COMPARE(y->order, x->order);
	return 0;
}

/* By ino, then the best first: of two that say different things of one place the file made later. */
static int proof_order(const void *a, const void *b)
{
	const struct lk_name_row *x = a, *y = b;
	COMPARE(x->ino, y->ino);
	COMPARE(x->dropped, y->dropped);
	COMPARE(lk_name_score(y), lk_name_score(x));
	return name_compare(x, y);
}

/* The copies in the table and in the index become one. */
static void merge_names(struct lk_recover_rows *rows)
{
	struct lk_name_row *p = rows->names.p;
	size_t kept = 0;
	sort(&rows->names, sizeof(*p), name_order);
	for (size_t i = 0; i < rows->names.len; i++) {
		struct lk_name_row *last = kept ? &p[kept - 1] : NULL;
		if (!last || name_compare(last, &p[i]) != 0) {
			p[kept++] = p[i];
			continue;
		}
		if (p[i].rank[0] > last->rank[0]) {
			last->rank[0] = p[i].rank[0];
			last->type = p[i].type;
		}
		last->rank[1] = LK_MAX(last->rank[1], p[i].rank[1]);
	}
	rows->names.len = kept;
}

static bool hash_holds(const struct lk_recover_rows *rows, const struct lk_name_row *n)
{
	return lk_name_hash(rows->secret, n->name, n->len) == n->hash;
}

/* A secret from a page that is not surely the current one must prove itself on names that are sure. */
static void prove_secret(struct lk_recover_rows *rows)
{
	const struct lk_name_row *p = rows->names.p;
	size_t probes = 0;
	rows->secret_known = rows->super_rank == LK_RANK_REACHED;
	if (rows->secret_known || !rows->super_rank)
		return;
	for (size_t i = 0; i < rows->names.len && probes < PROBES; i++) {
		if (LK_MAX(p[i].rank[0], p[i].rank[1]) < LK_RANK_LOST)
			continue;
		if (!hash_holds(rows, &p[i]))
			return;
		probes++;
	}
	rows->secret_known = probes > 0;
}

static bool is_false(const struct lk_name_row *n, struct lk_tree *table, struct lk_tree *index)
{
	struct lk_dirent d = {.dir = n->dir, .hash = n->hash, .ord = n->ord, .ino = n->ino, .name = {n->name, n->len}};
	return !lk_tree_gap_at(table, &d) || !lk_tree_gap_at(index, &d);
}

static void prove_name(const struct lk_recover_rows *rows, struct lk_name_row *n, struct lk_tree *table,
		       struct lk_tree *index)
{
	uint8_t best = LK_MAX(n->rank[0], n->rank[1]);
	n->dropped = n->doubtful = false;
	if (best == LK_RANK_REACHED) {
		/* Unless the other tree says that it is not there. */
		if (!n->rank[0] || !n->rank[1]) {
			struct lk_dirent d = {.dir = n->dir,
					      .hash = n->hash,
					      .ord = n->ord,
					      .ino = n->ino,
					      .name = {n->name, n->len}};
			n->doubtful = !lk_tree_gap_at(n->rank[0] ? index : table, &d);
		}
		return;
	}
	n->dropped = is_false(n, table, index) || (rows->secret_known && !hash_holds(rows, n));
	n->doubtful = best < LK_RANK_LOST && !(n->rank[0] && n->rank[1]);
}

/* One name at a place, and one place of a name. The rows are sorted by place. */
static void settle_rivals(struct lk_recover_rows *rows)
{
	struct lk_name_row *p = rows->names.p, *last = NULL;
	for (size_t i = 0; i < rows->names.len; i++) {
		struct lk_name_row *n = &p[i];
		if (n->dropped)
			continue;
		if (last && last->dir == n->dir && last->hash == n->hash && last->ord == n->ord) {
			bool better = lk_name_score(n) >= lk_name_score(last); /* on a par: the higher ino */
			struct lk_name_row *winner = better ? n : last, *loser = better ? last : n;
			winner->doubtful |= lk_name_score(winner) == lk_name_score(loser);
			loser->dropped = true;
			last = winner;
			continue;
		}
		last = n;
	}
}

void lk_recover_rows_settle(struct lk_recover_rows *rows, struct lk_reader *reader)
{
	struct lk_tree *table = lk_reader_tree(reader, LK_T_DIRENT, LK_SHAPE_TABLE);
	struct lk_tree *index = lk_reader_tree(reader, LK_T_DIRENT, LK_DIRENT_BY_INO);
	struct lk_name_row *names;
	settle_inodes(rows);
	settle_bytes(&rows->targets);
	settle_bytes(&rows->inlines);
	settle_xattrs(rows);
	sort(&rows->extents, sizeof(struct lk_extent_row), extent_order);
	sort(&rows->punches, sizeof(struct lk_punch), by_ino);
	sort(&rows->orphans, sizeof(int64_t), by_ino);
	merge_names(rows);
	prove_secret(rows);
	names = rows->names.p;
	for (size_t i = 0; i < rows->names.len; i++)
		prove_name(rows, &names[i], table, index);
	settle_rivals(rows);
	sort(&rows->names, sizeof(*names), proof_order);
	/* The dropped ones of each file stand last; they go. */
	size_t kept = 0;
	for (size_t i = 0; i < rows->names.len; i++) {
		if (!names[i].dropped)
			names[kept++] = names[i];
	}
	rows->names.len = kept;
}
