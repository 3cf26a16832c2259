/*
 * diff.c - what changed between two views: the steps, and the answer (diff.h).
 * Layer: core. Candidates are gathered first (diff_find.c), then compared one by one (diff_names.c, diff_same.c), then found their paths and
 * sorted (diff_paths.c); content is read last, and only of what is to be told.
 */
#include "diff_impl.h"

#include "snapshot.h"
#include "track.h"
#include "txn_impl.h"
#include "views.h"

#include <stdlib.h>
#include <string.h>

#define STEP_ROWS 256u
#define BATCH_NAMES 256u /* rows of names of LK_INODES_MANY inodes */

int lk_list_room(void *p_ptr, size_t *cap, size_t count, size_t size)
{
	size_t more = *cap ? *cap * 2 : 16;
	void *old, *grown;

	if (count < *cap)
		return 0;
	memcpy(&old, p_ptr, sizeof(old));
	grown = reallocarray(old, more, size);
	if (!grown)
		return LINKFS_ENOMEM;
	*cap = more;
	memcpy(p_ptr, &grown, sizeof(grown));
	return 0;
}

int lk_diff_new(const struct lk_diff_ask *ask, struct lk_diff **out)
{
	struct lk_diff *d = calloc(1, sizeof(*d));

	if (!d)
		return LINKFS_ENOMEM;
	d->fs = ask->fs;
	d->cred = ask->cred;
	d->covered = ask->covered;
	/* The live view is the largest number. */
	d->from = ask->from.epoch <= ask->to.epoch ? OLDER : NEWER;
	d->to = d->from == OLDER ? NEWER : OLDER;
	d->side[d->from].epoch = ask->from.epoch;
	d->side[d->from].prefix = ask->from.prefix;
	d->side[d->to].epoch = ask->to.epoch;
	d->side[d->to].prefix = ask->to.prefix;
	*out = d;
	return 0;
}

static void free_change(struct lk_change *c)
{
	free(c->path[OLDER]);
	free(c->path[NEWER]);
}

void lk_diff_free(struct lk_diff *d)
{
	if (!d)
		return;
	for (size_t i = 0; i < d->changes.count; i++)
		free_change(&d->changes.p[i]);
	free(d->changes.p);
	free(d->ranges.p);
	free(d->inodes.p);
	free(d->known[OLDER].p);
	free(d->known[NEWER].p);
	free(d->binds.p);
	free(d->shown.p);
	free(d->now.names[OLDER].p);
	free(d->now.names[NEWER].p);
	lk_diff_dirs_free(d->dirs[OLDER]);
	lk_diff_dirs_free(d->dirs[NEWER]);
	free(d->bytes[OLDER]);
	free(d->bytes[NEWER]);
	lk_buf_done(&d->names);
	free(d);
}

void lk_diff_sweep(struct lk_diff *d)
{
	size_t kept = 0;

	for (size_t i = 0; i < d->changes.count; i++) {
		if (d->changes.p[i].gone)
			free_change(&d->changes.p[i]);
		else
			d->changes.p[kept++] = d->changes.p[i];
	}
	d->changes.count = kept;
}

/* ---- steps ------------------------------------------------------------------------------------------------------ */

static int find_side(struct lk_diff *d, struct lk_op *op, int side)
{
	struct lk_snapshot row = {.epoch = d->side[side].epoch};
	int rc;

	if (row.epoch == LK_VIEW_LIVE) /* what is made meanwhile is not asked about */
		return d->side[side].next_ino ? 0 : lk_txn_count(op, LK_COUNTER_NEXT_INO, 0, &d->side[side].next_ino);
	if (d->side[side].bits && lk_view_stands(op->fs, row.epoch, d->side[side].bits))
		return 0;
	rc = lk_txn_get(op, LK_T_SNAPSHOT, &row, &row);
	if (rc == LINKFS_ENOENT || (rc == 0 && row.deleting))
		return LINKFS_ESTALE;
	d->side[side].next_ino = row.next_ino;
	return rc ? rc : lk_view_bits(op->fs, row.epoch, &d->side[side].bits);
}

int lk_diff_begin(struct lk_diff *d, struct lk_op *op)
{
	int rc = lk_op_begin(d->fs, op, 0);

	if (rc)
		return rc;
	rc = find_side(d, op, OLDER);
	if (rc == 0)
		rc = find_side(d, op, NEWER);
	return rc ? lk_op_end(op, rc) : 0;
}

void lk_diff_see(const struct lk_diff *d, struct lk_op *op, int side)
{
	op->view = d->side[side].epoch;
	op->bits = d->side[side].bits;
}

/* The live records that are no rows yet come first: they may become rows between two steps, which the next phases do not miss. Sorting
 * takes as long as there are many changes, and needs no lock. */
static const struct {
	lk_diff_phase_fn *run;
	bool unlocked; /* op is NULL */
} phases[] = {
	{lk_diff_find_dirty, false}, {lk_diff_find_changed, false},  {lk_diff_find_retargeted, false},
	{lk_diff_find_made, false},  {lk_diff_find_unbound, false},  {lk_diff_find_bound, false},
	{lk_diff_sort_found, true},  {lk_diff_compare, false},       {lk_diff_find_ranges, false},
	{lk_diff_decide, true},      {lk_diff_compare_binds, false}, {lk_diff_join_keys, true},
	{lk_diff_find_paths, false}, {lk_diff_join_paths, true},
};

/* Some of the phase that is due. */
static int advance(struct lk_diff *d, struct lk_op *op)
{
	bool done = false;
	int rc = phases[d->phase].run(d, op, &done);

	if (rc == 0 && done) {
		d->phase++;
		d->started = false;
		d->next = 0;
	}
	return rc;
}

int lk_diff_step(struct lk_diff *d, bool *more_out)
{
	struct lk_op op;
	int rc = 0;

	if (d->phase < LK_ARRAY_LEN(phases) && phases[d->phase].unlocked) {
		rc = advance(d, NULL);
		*more_out = d->phase < LK_ARRAY_LEN(phases);
		return rc;
	}
	rc = lk_diff_begin(d, &op);
	if (rc)
		return rc;
	d->budget = STEP_ROWS;
	lk_diff_dirs_begin(d);
	if (d->side[OLDER].epoch == d->side[NEWER].epoch)
		d->phase = LK_ARRAY_LEN(phases);
	while (rc == 0 && d->budget && d->phase < LK_ARRAY_LEN(phases) && !phases[d->phase].unlocked)
		rc = advance(d, &op);
	rc = lk_op_end(&op, rc);
	*more_out = d->phase < LK_ARRAY_LEN(phases);
	return rc;
}

bool lk_diff_found(const struct lk_diff *d, const uint64_t **inos_out, size_t *count_out)
{
	if (d->phase < LK_ARRAY_LEN(phases) && phases[d->phase].run != lk_diff_compare)
		return false;
	*inos_out = d->inodes.p;
	*count_out = d->inodes.count;
	return true;
}

void lk_diff_progress(const struct lk_diff *d, struct linkfs_diff_progress *out)
{
	*out = d->progress;
}

/* ---- comparing -------------------------------------------------------------------------------------------------- */

/* If the record was met when the inode was found, the op has it from now on. */
static int recall(struct lk_diff *d, struct lk_op *op, int side, uint64_t ino)
{
	const struct lk_inode *p = d->known[side].p;
	size_t count = d->known[side].count, i = lk_first_number(p, count, sizeof(*p), ino);

	return i < count && (uint64_t)p[i].ino == ino ? lk_inode_know(op, ino, &p[i]) : 0;
}

int lk_diff_inode(struct lk_diff *d, struct lk_op *op, int side, uint64_t ino, struct lk_inode *out, bool *there_out)
{
	int rc;

	lk_diff_see(d, op, side);
	rc = recall(d, op, side, ino);
	if (rc == 0)
		rc = lk_inode_get_any(op, ino, out);
	lk_diff_spend(d, 1);
	*there_out = rc == 0 && out->nlink > 0;
	return rc == LINKFS_ESTALE ? 0 : rc;
}

int lk_diff_inodes(struct lk_diff *d, struct lk_op *op, int side, const int64_t *inos, uint32_t count,
		   struct lk_inode *out, bool *there)
{
	int rc = 0;

	lk_diff_see(d, op, side);
	for (uint32_t i = 0; rc == 0 && i < count; i++)
		rc = recall(d, op, side, (uint64_t)inos[i]);
	if (rc == 0 && count)
		rc = lk_inode_get_many(op, inos, count, out, there);
	lk_diff_spend(d, count);
	return rc;
}

/* Candidates that are looked at together, with all that rows tell of them. */
struct batch {
	int64_t inos[LK_INODES_MANY];
	uint32_t count;
	struct lk_inode inode[SIDES][LK_INODES_MANY];
	bool there[SIDES][LK_INODES_MANY];
	struct lk_lives names; /* of so many as are whole; the one after them has too many to be read at once */
};

static int read_batch(struct lk_diff *d, struct lk_op *op, struct batch *b)
{
	struct lk_lives_ask ask = {.op = op,
				   .inos = b->inos,
				   .views = {d->side[OLDER].epoch, d->side[NEWER].epoch},
				   .view_count = SIDES,
				   .limit = BATCH_NAMES};
	int rc = 0;

	b->count = (uint32_t)LK_MIN(d->inodes.count - d->next, (size_t)LK_INODES_MANY);
	for (uint32_t i = 0; i < b->count; i++)
		b->inos[i] = (int64_t)d->inodes.p[d->next + i];
	for (int side = 0; rc == 0 && side < SIDES; side++) {
		uint32_t n = 0;

		/* What has a number that the view did not know yet is not there; numbers are in order. */
		while (n < b->count && b->inos[n] < d->side[side].next_ino)
			n++;
		memset(b->there[side], 0, sizeof(b->there[side]));
		rc = lk_diff_inodes(d, op, side, b->inos, n, b->inode[side], b->there[side]);
	}
	ask.count = b->count;
	if (rc == 0)
		rc = lk_lives_read(&ask, &b->names);
	lk_diff_spend(d, b->names.rows);
	return rc;
}

static int compare_one(struct lk_diff *d, struct lk_op *op, const struct batch *b, uint32_t at)
{
	int rc = 0;

	d->now.what = 0;
	d->now.undecided = LK_DECIDED;
	for (int side = 0; side < SIDES; side++) {
		d->now.inode[side] = b->inode[side][at];
		d->now.there[side] = b->there[side][at] && b->inode[side][at].nlink > 0;
		d->now.names[side].count = 0;
	}
	if (d->now.there[OLDER] && d->now.there[NEWER])
		rc = lk_diff_compare_inodes(d, op, d->now.inode, &d->now.what, &d->now.undecided);
	if (rc)
		return rc;
	d->now.from = (struct lk_dirent){0};
	d->now.begun = true;
	d->progress.inodes++;
	return 0;
}

/* Its names, and what is to be told: all of it, or a step. */
static int compare_names(struct lk_diff *d, struct lk_op *op, const struct lk_lives *names)
{
	bool done = !d->now.there[OLDER] && !d->now.there[NEWER];
	int rc = done ? 0 : lk_diff_names(d, op, d->inodes.p[d->next], names, &done);

	if (rc == 0 && done) {
		d->now.begun = false;
		d->next++;
	}
	return rc;
}

/* One with very many names is gone on with until it is done; else all of a batch, which is of this step. */
int lk_diff_compare(struct lk_diff *d, struct lk_op *op, bool *done_out)
{
	struct batch b = {.count = 0};
	uint32_t first = 0;
	int rc;

	if (d->next == d->inodes.count) {
		*done_out = true;
		return 0;
	}
	if (d->now.begun)
		return compare_names(d, op, NULL);
	rc = read_batch(d, op, &b);
	for (uint32_t i = 0; rc == 0 && i < b.count && !d->now.begun; i++) {
		struct lk_lives names = {.p = b.names.p + first, .whole = 1};

		while (first + names.count < b.names.count && names.p[names.count].at == i)
			names.count++;
		first += names.count;
		rc = compare_one(d, op, &b, i);
		if (rc == 0 && i < b.names.whole)
			rc = lk_diff_dirs_learn(d, op, &names);
		if (rc == 0)
			rc = compare_names(d, op, i < b.names.whole ? &names : NULL);
	}
	return rc;
}

/* ---- the answer ------------------------------------------------------------------------------------------------- */

/* Reads the inodes of a change as they are now, for who wants to know what they are like. */
static int look_again(struct lk_diff *d, struct lk_change *c, struct linkfs_stat st[SIDES])
{
	struct lk_inode inode[SIDES];
	bool there[SIDES] = {false, false};
	struct lk_op op;
	int rc = lk_diff_begin(d, &op);

	if (rc)
		return rc;
	for (int side = 0; rc == 0 && side < SIDES; side++) {
		st[side] = (struct linkfs_stat){0};
		if (c->ino[side])
			rc = lk_diff_inode(d, &op, side, c->ino[side], &inode[side], &there[side]);
		if (rc || !there[side])
			continue;
		rc = lk_stat(&op, &inode[side], op.bits | c->ino[side], &st[side]);
		st[side].ino = c->ino[side];
		st[side].node = op.bits | c->ino[side];
	}
	/* Two files of one name. */
	if (rc == 0 && (c->what & LINKFS_DIFF_FILE) && !c->shown && there[OLDER] && there[NEWER]) {
		if ((inode[OLDER].mode & S_IFMT) != (inode[NEWER].mode & S_IFMT))
			c->kind = LINKFS_DIFF_TYPE;
		else
			rc = lk_diff_compare_inodes(d, &op, inode, &c->what, &c->undecided);
	}
	return lk_op_end(&op, rc);
}

static void fill(const struct lk_diff *d, const struct lk_change *c, const struct linkfs_stat st[SIDES],
		 struct linkfs_diff_change *out)
{
	const char *path = c->path[d->to] ? c->path[d->to] : c->path[d->from];
	const char *old = c->kind == LINKFS_DIFF_RENAMED ? c->path[d->from] : NULL;

	*out = (struct linkfs_diff_change){
		.kind = c->kind, .what = c->what, .path = path, .path_len = strlen(path), .old_path = old};
	out->old_path_len = old ? strlen(old) : 0;
	if (c->kind != LINKFS_DIFF_ADDED || (c->what & LINKFS_DIFF_LINKS))
		out->before = st[d->from];
	if (c->kind != LINKFS_DIFF_REMOVED || (c->what & LINKFS_DIFF_LINKS))
		out->after = st[d->to];
}

int lk_diff_next(struct lk_diff *d, struct linkfs_diff_change *out, bool *any_out)
{
	*any_out = false;
	while (d->next < d->changes.count) {
		struct lk_change *c = &d->changes.p[d->next++];
		struct linkfs_stat st[SIDES];
		bool differs = false;
		int rc = look_again(d, c, st);

		if (rc == 0 && c->undecided)
			rc = lk_diff_read(d, c, &differs);
		if (rc)
			return rc;
		if (differs)
			c->what |= LINKFS_DIFF_CONTENT;
		if (c->kind == LINKFS_DIFF_MODIFIED && c->what == 0)
			continue;
		fill(d, c, st, out);
		*any_out = true;
		return 0;
	}
	return 0;
}
